//! Probes of apps by their kubelets: readiness and liveness.
//!
//! A probe is a request over HTTP of no great work. It stands in the app's queue behind those who
//! wait already: if the last of them still waits when the time is over, so would the probe. A frozen
//! app does not answer, a slow or failing one answers as it answers health checks. Three failures
//! 10 s apart take a pod from its endpoints 20 to 31 s after it went wrong.
//!
//! ```text
//! Probe ──── answered in time? ──── ProbeTimeout
//!   └──────────── period ──────────── Probe
//! ```
//!
//! Source: kubernetes `pkg/kubelet/prober`; istio `rewriteAppHTTPProbe` (the agent's port 15020, so
//! that `strict` lets them pass).
//! Left out: the worker that a probe takes; the grace period of a container that ignores SIGTERM,
//! but for a frozen one; `exec`, TCP and gRPC probes.

use super::World;
use super::event::Event;
use super::state::{Attempt, Life, Phase};
use crate::kernel::queue::Ticket;
use crate::kernel::slab::Id;
use crate::kernel::stream::uniform;
use crate::model::cluster::probe::Health;
use crate::model::proxy::health_check::Check as Answer;
use crate::plan::behaviour::Port;
use crate::plan::pods::Probe;
use crate::plan::tls::ServerTls;
use crate::vocabulary::fact::FactKind;

/// An app that is probed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched {
    pub health: Health,
    /// The next probe, and the answer that is awaited.
    next: Ticket,
    waits: Ticket,
    /// Numbers the probes.
    number: u32,
    /// The last of those who waited for a worker when it was asked.
    behind: Id<Attempt>,
}

impl World<'_> {
    fn probe_rules(&self, slot: u32) -> Option<Probe> {
        let workload = self.pods[(slot / 2) as usize].workload;
        let rules = self.plan.pods.get(&workload)?;
        if slot.is_multiple_of(2) { rules.readiness } else { rules.liveness }
    }

    /// A pod's app is there: its kubelet begins to probe it, at its own moment of the period.
    pub(super) fn start_probes(&mut self, index: u32, is_old: bool) {
        if self.plan.pods.is_empty() {
            return;
        }
        for slot in [2 * index, 2 * index + 1] {
            let Some(probe) = self.probe_rules(slot) else { continue };
            let believed = is_old || slot % 2 == 1;
            let phase =
                uniform(self.loop_key(index, 11).draw(self.pods[index as usize].birth, slot));
            let wait = probe.initial_delay + probe.period.scale(phase);
            let next = self.queue.after(wait, Event::Probe(slot).pack());
            let watched = Watched {
                health: Health::new(believed),
                next,
                waits: Ticket::NONE,
                number: 0,
                behind: Id::NONE,
            };
            self.kubernetes.probes.insert(slot, watched);
        }
    }

    pub(super) fn forget_probes(&mut self, index: u32) {
        if !self.kubernetes.probes.is_empty() {
            self.kubernetes.probes.remove(&(2 * index));
            self.kubernetes.probes.remove(&(2 * index + 1));
        }
    }

    /// A kubelet probes an app.
    pub(super) fn probe(&mut self, slot: u32, ticket: Ticket) {
        let Some(probe) = self.probe_rules(slot) else { return self.stale() };
        let Some(watched) = self.kubernetes.probes.get_mut(&slot).filter(|one| one.next == ticket)
        else {
            return self.stale();
        };
        watched.next = self.queue.after(probe.period, Event::Probe(slot).pack());
        watched.number += 1;
        watched.behind = Id::NONE;
        let pod = &self.pods[(slot / 2) as usize];
        let is_running = matches!(pod.life, Life::Ready | Life::WaitingForProxy);
        if !is_running || self.nodes.is_dead(pod.node) || !self.kubelet_is_up(pod.node.0) {
            return;
        }
        if let Some(is_good) = self.probed(slot, &probe) {
            return self.probe_result(slot, is_good);
        }
        let wait = self.queue.after(probe.timeout, Event::ProbeTimeout(slot).pack());
        if let Some(watched) = self.kubernetes.probes.get_mut(&slot) {
            watched.waits = wait;
        }
    }

    /// What comes of a probe, if it is known at once.
    fn probed(&mut self, slot: u32, probe: &Probe) -> Option<bool> {
        let index = slot / 2;
        let pod = &self.pods[index as usize];
        let state = &self.workloads[pod.workload.index()];
        if !pod.app_is_up || state.behaviour.port == Port::Refuses || self.is_unencrypted(index) {
            return Some(false);
        }
        if pod.frozen.is_some() || state.behaviour.port == Port::Swallows {
            return None;
        }
        let number = self.kubernetes.probes.get(&slot).map_or(0, |one| one.number);
        let key = self.loop_key(index, 10).child(slot % 2);
        let (answer, takes) = self.answer_to_check(index, key, number);
        let pod = &self.pods[index as usize];
        let crowd = f64::from(pod.station.busy() + 1) / f64::from(pod.station.workers);
        let takes = takes
            .map(|takes| if pod.station.is_shared() { takes.scale(crowd.max(1.0)) } else { takes });
        let in_time = takes.is_some_and(|takes| takes <= probe.timeout);
        if in_time
            && !pod.station.is_shared()
            && let Some(behind) = pod.station.last_waiting()
        {
            if let Some(watched) = self.kubernetes.probes.get_mut(&slot) {
                watched.behind = behind;
            }
            return None;
        }
        let is_good = matches!(answer, Answer::Status(status) if (200..400).contains(&status));
        if in_time { Some(is_good) } else { None }
    }

    /// Whether the kubelet's plaintext meets a proxy that takes none.
    fn is_unencrypted(&self, index: u32) -> bool {
        let pod = &self.pods[index as usize];
        let is_strict = || *self.security.server_mode(pod.workload) == ServerTls::Strict;
        pod.has_sidecar && !self.plan.parameters.pod.rewrite_probes && is_strict()
    }

    /// The answer to a probe is late, unless the app came to it.
    pub(super) fn probe_timeout(&mut self, slot: u32, ticket: Ticket) {
        let Some(watched) = self.kubernetes.probes.get_mut(&slot).filter(|one| one.waits == ticket)
        else {
            return self.stale();
        };
        watched.waits = Ticket::NONE;
        let behind = watched.behind;
        let is_thawed = self.pods[(slot / 2) as usize].frozen.is_none();
        let waits = |one: &Attempt| one.phase == Phase::Queued;
        let is_served =
            !behind.is_none() && !self.attempts.get(behind).is_some_and(waits) && is_thawed;
        self.probe_result(slot, is_served);
    }

    fn probe_result(&mut self, slot: u32, is_good: bool) {
        let Some(probe) = self.probe_rules(slot) else { return };
        let Some(watched) = self.kubernetes.probes.get_mut(&slot) else { return };
        if !watched.health.result(is_good, &probe) {
            return;
        }
        let index = slot / 2;
        match (slot % 2, is_good) {
            (0, false) => {
                self.fact_of(FactKind::ProbeFailed, index, |_| "readiness".to_owned());
                self.take_out(index);
            }
            (0, true) => self.serve_if_good(index),
            (_, false) => {
                self.fact_of(FactKind::ProbeFailed, index, |_| "liveness".to_owned());
                self.end_app(index, "its liveness probe failed");
            }
            (_, true) => {}
        }
    }

    /// What starts again stands still no more.
    pub(super) fn thaw_app(&mut self, index: u32) {
        let pod = &mut self.pods[index as usize];
        if pod.frozen.take().is_some() {
            pod.station.resume(self.now);
            pod.workers.reset();
        }
    }
}
