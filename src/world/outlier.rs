//! Outlier detection while running: what attempts show, who is ejected, who comes back.
//!
//! Source: `model::proxy::outlier`.
//! Left out: nothing.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use super::World;
use super::event::Event;
use super::state::NONE;
use crate::kernel::stream::draw_at;
use crate::kernel::time::{Duration, Time};
use crate::model::proxy::outlier::{Detected, Origin, may_eject, outliers, takes};
use crate::observe::access_log::Ejected;
use crate::vocabulary::fact::FactKind;
use crate::vocabulary::outcome::Outcome;

impl World<'_> {
    /// An attempt at an endpoint ended, or its headers came: outlier detection counts it. What ends after
    /// its headers was counted with them.
    ///
    /// Source: Envoy's router: `onUpstreamHeaders`, `onUpstreamReset`, `onPerTryTimeoutCommon`,
    /// `onResponseTimeout` while headers are awaited; nothing else counts.
    #[inline(always)]
    pub(super) fn judge_endpoint(
        &mut self,
        index: u32,
        slot: u32,
        outcome: Outcome,
        has_headers: bool,
    ) {
        let upstream = &self.upstreams[index as usize];
        let outcome = if self.compiled.has.reply_headers && upstream.policy.outlier.is_some() {
            self.with_status_of_grpc(index, slot, outcome)
        } else {
            outcome
        };
        let upstream = &mut self.upstreams[index as usize];
        let Some(outlier) = &upstream.policy.outlier else { return };
        if !outcome.details.is_of_endpoint() {
            return;
        }
        if has_headers && !outcome.details.breaks_off() {
            return;
        }
        let host = &mut upstream.hosts[slot as usize];
        let detected = host.health.record(outlier, outcome);
        if detected.any() {
            self.detect(index, slot, detected);
        }
        if self.upstreams[index as usize].counts_answers {
            self.expect_tick(index);
        }
    }

    /// Failures in a row reached their number: each detection may eject, and starts to count anew
    /// whether it does or not.
    #[cold]
    fn detect(&mut self, index: u32, slot: u32, detected: Detected) {
        let Some(outlier) = &self.upstreams[index as usize].policy.outlier else { return };
        let mut draws = self.outlier_draws(index, slot);
        for enforcing in detected.enforcing(&outlier.forms) {
            self.eject(index, slot, enforcing, &mut draws);
        }
        self.upstreams[index as usize].hosts[slot as usize].health.start_over(detected);
    }

    /// Ejects an endpoint, if the share of ejected ones allows it, in the enforced share of cases.
    fn eject(&mut self, index: u32, slot: u32, enforcing: f64, mut draw: impl FnMut() -> u64) {
        let now = self.clock.time(self.now);
        let upstream = &mut self.upstreams[index as usize];
        let Some(outlier) = &upstream.policy.outlier else { return };
        let (members, ejected) = (upstream.members.len(), upstream.ejected as usize);
        let host = &mut upstream.hosts[slot as usize];
        if host.health.is_ejected() || !host.is_member {
            return;
        }
        if !may_eject(outlier, ejected, members) {
            return self.count(index, |counters| counters.ejections_overflow += 1);
        }
        let (pod, client) = (host.pod, upstream.pod);
        if !takes(enforcing, &mut draw) {
            return self.log_ejection(client, pod, Ejected::NotEnforced);
        }
        host.health.eject(outlier, now, draw);
        self.drain_endpoint(index, slot);
        self.expect_tick(index);
        self.health_changed(index);
        self.count(index, |counters| counters.ejections += 1);
        self.log_ejection(client, pod, Ejected::Out);
        let by = |world: &Self| format!("by {}", world.pod_name(client));
        self.fact_of(FactKind::EndpointEjected, pod, by);
    }

    /// The next interval of outlier detection has something to do.
    fn expect_tick(&mut self, index: u32) {
        let upstream = &mut self.upstreams[index as usize];
        let Some(outlier) = upstream.policy.outlier.as_ref().filter(|_| !upstream.has_tick) else {
            return;
        };
        upstream.has_tick = true;
        let now = self.clock.time(self.now);
        let at = self.clock.instant(next_on_grid(now, outlier.interval));
        self.queue.at(at.max(self.now), Event::OutlierTick(index).pack());
    }

    /// Random numbers of one moment for one endpoint of an upstream.
    fn outlier_draws(&self, index: u32, slot: u32) -> impl FnMut() -> u64 + use<> {
        let upstream = &self.upstreams[index as usize];
        let hash = |pod: u32| self.pods[pod as usize].hash;
        let of = hash(upstream.pod) ^ hash(upstream.hosts[slot as usize].pod).rotate_left(32);
        let owner = of ^ self.compiled.clusters[upstream.cluster.index()].hash;
        let (seed, first) = (self.seed, 2 * self.now.ns());
        let mut number = 0;
        move || {
            number += 1;
            draw_at(seed, "outlier", owner, first + number)
        }
    }

    /// The answers of the interval that ended are compared.
    fn compare_answers(&mut self, index: u32) {
        let upstream = &mut self.upstreams[index as usize];
        let Some(outlier) = &upstream.policy.outlier else { return };
        let forms = outlier.forms;
        let hosts = upstream.hosts.iter_mut().zip(0..).filter(|(host, _)| host.pod != NONE);
        let (mut slots, mut answers) = (Vec::new(), [Vec::new(), Vec::new()]);
        for (host, slot) in hosts {
            let counted = host.health.take_answers();
            if host.is_member && !host.health.is_ejected() {
                slots.push(slot);
                for (all, one) in answers.iter_mut().zip(counted) {
                    all.push(one);
                }
            }
        }
        for (origin, answers) in [Origin::External, Origin::Local].into_iter().zip(&answers) {
            for (nth, enforcing) in outliers(&forms, origin, answers) {
                let draws = self.outlier_draws(index, slots[nth]);
                self.eject(index, slots[nth], enforcing, draws);
            }
        }
    }

    /// The interval of outlier detection: some come back.
    pub(super) fn outlier_tick(&mut self, index: u32) {
        let upstream = &mut self.upstreams[index as usize];
        upstream.has_tick = false;
        let policy = &self.plan.universe.clusters[upstream.cluster.index()].policy;
        let Some(outlier) = policy.outlier else { return self.stale() };
        let now = self.clock.time(self.now);
        if self.clock.is_stopped() || !is_on_grid(now, outlier.interval) {
            // The clock of traffic has stood still meanwhile.
            upstream.has_tick = true;
            let next = next_on_grid(now, outlier.interval);
            return self.put_tick_off(Event::OutlierTick(index), next);
        }
        let mut returned = Vec::new();
        for (host, slot) in upstream.hosts.iter_mut().zip(0_usize..) {
            if host.pod != NONE && host.health.needs_ticks() && host.health.tick(&outlier, now) {
                returned.push((slot, host.pod));
            }
        }
        let counts_answers = upstream.counts_answers;
        if upstream.hosts.iter().any(|host| host.pod != NONE && host.health.needs_ticks()) {
            upstream.has_tick = true;
            self.queue.after(outlier.interval, Event::OutlierTick(index).pack());
        }
        for (slot, _) in &returned {
            // One by one: the first may be told at once, the others then wait.
            self.upstreams[index as usize].hosts[*slot].health.come_back();
            self.health_changed(index);
        }
        if counts_answers {
            self.compare_answers(index);
        }
        let client = self.upstreams[index as usize].pod;
        for (_, pod) in returned {
            self.log_ejection(client, pod, Ejected::Back);
            let by = |world: &Self| format!("by {}", world.pod_name(client));
            self.fact_of(FactKind::EndpointUnejected, pod, by);
        }
    }
}

/// Whether `now` is a point of the grid of an interval from time zero.
fn is_on_grid(now: Time, interval: Duration) -> bool {
    now.ns().is_multiple_of(interval.ns().max(1))
}

/// The next point after `now` on the grid of an interval from time zero.
fn next_on_grid(now: Time, interval: Duration) -> Time {
    let interval = interval.ns().max(1);
    Time::from_ns((now.ns() / interval + 1) * interval)
}
