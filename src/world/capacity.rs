//! What istiod computes and keeps: cores, memory, and the end of a replica that has too little.
//!
//! Everything that a replica computes goes through [`World::compute`]: pushes, push contexts,
//! signatures. A replica whose memory exceeds its limit is killed; its streams come back, to it or to
//! the others, and may kill those.
//!
//! Source: see the parameters `istiod.*`; the issues 12664, 14205, 44336.
//! Left out: memory that Go gives back late; the CPU limit's throttling periods.

use super::World;
use super::control::{CA, INJECTOR, PARTS, XDS};
use super::event::Event;
use super::shares::Taken;
use crate::kernel::queue::Ticket;
use crate::kernel::time::{Duration, Time};
use crate::observe::control_plane::ReplicaRow;
use crate::observe::series::Readings;
use crate::plan::timeline::Action;
use crate::vocabulary::cause::{CauseId, CauseKind};
use crate::vocabulary::fact::FactKind;
use crate::vocabulary::metric::Gauge;

/// However many proxies are connected, this much of a replica's cores is left for what they ask.
const LEFT: f64 = 0.1;

impl World<'_> {
    /// A replica computes something; when it is done.
    pub(super) fn compute(&mut self, replica: u32, work: Duration) -> Time {
        let per_proxy = self.plan.parameters.istiod.cpu_per_proxy;
        let replica = &mut self.control.replicas[replica as usize];
        let cores = replica.cpu.count() as f64;
        let taken = replica.connected.len() as f64 * per_proxy;
        let factor = replica.slow * cores / (cores - taken).max(LEFT * cores);
        replica.cpu.run(self.now, work.scale(factor))
    }

    /// Bytes of a replica's memory.
    pub(super) fn memory_of(&self, replica: usize) -> u64 {
        let istiod = &self.plan.parameters.istiod;
        let replica = &self.control.replicas[replica];
        if !replica.is_wanted || replica.is_away() {
            return 0;
        }
        istiod.memory_base.0
            + istiod.memory_per_proxy.0 * replica.connected.len() as u64
            + istiod.memory_per_connecting_proxy.0 * u64::from(replica.push.pushing())
    }

    /// Core time that a replica has used until now.
    pub(super) fn cpu_used(&self, replica: usize) -> Duration {
        self.control.replicas[replica].cpu.used(self.now)
    }

    /// A stream or a push more: whether the replica has the memory for it; else it is killed.
    pub(super) fn check_memory(&mut self, index: u32) {
        let limit = self.plan.parameters.istiod.memory_limit.0;
        if limit == 0 || self.memory_of(index as usize) <= limit {
            return;
        }
        let because = self.control.causes[XDS].filter(|one| Some(*one) != self.control.oom_cause);
        let cause = match (self.control.oom_cause, because) {
            (Some(known), None) => known,
            _ => self.caused(CauseKind::Unreachable, because, || {
                "istiod needs more memory than it may have".to_owned()
            }),
        };
        self.control.oom_cause = Some(cause);
        for part in [CA, XDS, INJECTOR] {
            self.control.causes[part] = Some(cause);
        }
        self.control.counts.replicas_killed += 1;
        let name = self.controller(XDS, index);
        self.fact(FactKind::ReplicaKilled, || (name, "OOMKilled".to_owned()));
        let parameters = &self.plan.parameters;
        let rules = &parameters.kubernetes;
        let (base, max, reset) =
            (rules.restart_backoff, rules.restart_backoff_max, rules.restart_reset);
        let wait = self.control.replicas[index as usize].crash.end(self.now, base, max, reset);
        self.stop_replica(index);
        self.start_replica(index, wait);
        self.conditions_changed();
    }

    /// Once every replica is well and has nothing to push, and every proxy is there, what took istiod away is
    /// history: it is not why a replica needs too much memory a day later.
    #[cold]
    pub(super) fn forget_outage(&mut self) {
        let control = &self.control;
        let is_well = |index: usize| {
            let replica = &control.replicas[index];
            let serves = [CA, XDS, INJECTOR].iter().all(|part| control.serves(index, *part));
            let is_idle = replica.push.is_empty() && replica.push.pushing() == 0;
            !replica.is_wanted
                || (serves && is_idle && replica.frozen == 0 && replica.is_at_speed())
        };
        let counts = &self.census.counts;
        let is_whole = counts.connected == counts.proxies
            && counts.starting + counts.not_ready + counts.crash_looping == 0;
        if is_whole && (0..control.replicas.len()).all(is_well) {
            self.control.causes = [None; PARTS];
            self.control.oom_cause = None;
        }
    }

    /// What a share of the replicas computes takes another time.
    pub(super) fn slow_control_plane(&mut self) {
        let mut factors = vec![1.0; self.control.replicas.len()];
        let mut blamed = None;
        for (action, cause) in self.in_force() {
            if let Action::SlowControlPlane { share, factor } = action {
                let affected = self.control.affected(*share);
                factors[..affected].iter_mut().for_each(|one| *one *= factor);
                blamed = cause;
            }
        }
        for (replica, factor) in self.control.replicas.iter_mut().zip(factors) {
            replica.slow = factor;
        }
        if blamed.is_some() {
            self.control.causes[CA] = blamed;
            self.control.causes[XDS] = blamed;
        }
        self.review_calm();
    }

    /// A share of the replicas follows the API server no more, or again.
    pub(super) fn freeze_control_plane(&mut self, share: f64, begins: bool) {
        let affected = self.control.affected_by(Taken::View(share.to_bits()), begins);
        for index in 0..affected {
            let replica = &mut self.control.replicas[index];
            if begins {
                replica.frozen = replica.frozen.saturating_add(1);
                continue;
            }
            replica.frozen = replica.frozen.saturating_sub(1);
            let is_behind = replica.context < self.config.watched;
            if replica.frozen == 0
                && is_behind
                && self.control.serves(index, XDS)
                && let Some(time) = self.control.replicas[index].debounce.change(self.now)
            {
                let slot = u32::try_from(index).expect("few replicas");
                self.queue.at(time, Event::Debounce(slot).pack());
            }
        }
        if self.plan.linkerd.is_some() {
            // Who asks for a destination may be answered again.
            return self.conditions_changed();
        }
        self.review_calm();
    }

    /// Something was written that concerns every proxy.
    pub(super) fn push_all(&mut self, cause: Option<CauseId>) {
        self.config.begin_version(self.now, cause);
        self.control.full_versions.push(self.config.version());
        self.schedule_watch();
    }

    /// A certificate is asked for, and the answer will take until then: it may run out before.
    pub(super) fn expect_expiry(&mut self, index: u32, answer: Time) {
        let pod = &self.pods[index as usize];
        let Some(leaf) = &pod.leaf else { return };
        let at = leaf.not_after;
        if at <= self.now || answer <= at || self.end <= at || pod.expiry != Ticket::NONE {
            return;
        }
        let cause = self.caused(CauseKind::RenewalFailed, self.control.causes[CA], || {
            match self.plan.linkerd {
                None => "certificate renewals wait for istiod's CPU".to_owned(),
                Some(_) => "certificate renewals wait for identity's CPU".to_owned(),
            }
        });
        let ticket = self.queue.at(at, Event::Expire(index).pack());
        let pod = &mut self.pods[index as usize];
        pod.renewal_cause = Some(cause);
        pod.expiry = ticket;
    }

    /// A row for each replica.
    pub(super) fn read_replicas(&mut self) {
        let per_proxy = self.plan.parameters.istiod.cpu_per_proxy;
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        for (replica, one) in self.control.replicas.iter().enumerate() {
            if one.is_wanted {
                let streams = one.connected.len();
                self.recorder.replicas.push(ReplicaRow {
                    time: self.now,
                    replica: count(replica),
                    is_ready: self.control.serves(replica, XDS),
                    streams: count(streams),
                    push_queue: count(one.push.len() + one.push.pushing() as usize),
                    cpu: one.cpu.busy(self.now) as f64 + streams as f64 * per_proxy,
                    memory: self.memory_of(replica),
                    version: one.context,
                });
            }
        }
    }

    /// What gauges show of istiod.
    pub(super) fn read_istiod(&self, readings: &mut Readings) {
        let per_proxy = self.plan.parameters.istiod.cpu_per_proxy;
        let (mut ready, mut queue, mut cores, mut memory) = (0_u32, 0, 0.0, 0);
        let (mut most, mut least) = (0, usize::MAX);
        for (index, replica) in self.control.replicas.iter().enumerate() {
            let streams = replica.connected.len();
            queue += replica.push.len() + replica.push.pushing() as usize;
            cores += replica.cpu.busy(self.now) as f64 + streams as f64 * per_proxy;
            memory = memory.max(self.memory_of(index));
            most = most.max(streams);
            if self.control.serves(index, XDS) {
                ready += 1;
                least = least.min(streams);
            }
        }
        let mut set = |gauge: Gauge, value: f64| readings[gauge as usize] = value;
        set(Gauge::IstiodReady, f64::from(ready));
        set(Gauge::IstiodPushQueue, queue as f64);
        set(Gauge::IstiodCpu, cores);
        set(Gauge::IstiodMemory, memory as f64 / 1_048_576.0);
        set(Gauge::IstiodStreamsMax, most as f64);
        set(Gauge::IstiodStreamsMin, if ready == 0 { 0.0 } else { least as f64 });
    }
}
