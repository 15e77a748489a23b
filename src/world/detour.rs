//! The ways off the straight journey: timeouts, resets, attempts given up, calls whose pod is gone;
//! and the books that a call and an attempt are taken off.
//!
//! Source: measured on Envoy 1.40 (families e03, e06); the rules stand with the methods.
//! Left out: what an app does when its client has left, which stands in `calls`.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use super::World;
use super::client::purpose;
use super::event::Event;
use super::network::Transit;
use super::state::{Attempt, Call, LAST_TRIES, Parent, Phase};
use crate::kernel::queue::TimerId;
use crate::kernel::slab::Id;
use crate::kernel::time::{Duration, Time};
use crate::observe::recorder::Ended;
use crate::vocabulary::outcome::{Details, Outcome};

impl World<'_> {
    /// The event concerns something that is gone.
    pub(super) fn stale(&mut self) {
        self.is_stale = true;
    }

    /// The breaker refuses a try, which a connection would take or which would wait for one: 503 UO,
    /// never retried.
    #[cold]
    #[inline(never)]
    pub(super) fn overflow(&mut self, id: Id<Call>, is_active: bool) {
        self.count(self.calls[id].upstream, |counters| {
            let count = if is_active {
                &mut counters.active_overflow
            } else {
                &mut counters.pending_overflow
            };
            *count += 1;
        });
        if let Some(log) = &mut self.access {
            log.is_refused_to_wait = !is_active;
        }
        self.fail_try(id, Outcome::failure(Details::Overflow), None);
    }

    /// The client learns that its connection is gone.
    pub(super) fn reset(&mut self, slot: u32) {
        let Some((id, attempt)) = self.live_attempt(slot, Phase::Broken) else { return };
        if self.calls.get(attempt.call).is_none() {
            return self.close_left(id);
        }
        let outcome = Outcome::failure(Details::ConnectionTermination);
        // The others on this connection learn it by events of their own.
        self.retire_connection(attempt.connection);
        self.close_attempt_at_client(id, outcome);
        self.fail_try(attempt.call, outcome, attempt.cause);
    }

    /// Whether a pod may have open calls: those of visits, also of such as ended with the app, and
    /// those of traffic.
    pub(super) fn may_call(&self, index: u32) -> bool {
        let pod = &self.pods[index as usize];
        let is_source = self.sources.iter().any(|source| source.from == pod.workload);
        let may_copy = self.compiled.has.mirrors;
        pod.visits != 0
            || pod.has_orphans
            || is_source
            || may_copy
            || self.compiled.has.inbound_filters
            || self.compiled.has.asks
            || self.makes_rare_calls(pod.workload)
    }

    /// A pod's calls end with it. Most pods that end have none: no look at all calls then.
    pub(super) fn drop_calls(&mut self, pod: u32) {
        if !self.may_call(pod) {
            return;
        }
        let calls = self.calls.iter().filter(|(_, call)| call.pod == pod && !call.is_over);
        let calls: Vec<_> = calls.map(|(id, _)| id).collect();
        for call in calls {
            self.drop_call(call);
        }
        self.pods[pod as usize].has_orphans = false;
    }

    /// A call leaves the books without an end to tell: its pod crashed.
    fn drop_call(&mut self, id: Id<Call>) {
        self.end_delay(id);
        let attempt = self.calls[id].attempt;
        if !attempt.is_none() {
            self.abandon(attempt, Outcome::failure(Details::DownstreamDisconnect));
        }
        if self.linkerd.is_some() {
            self.leave_linkerd(id, Details::DownstreamDisconnect);
        }
        let call = self.calls[id];
        // A request from outside loses its connection.
        let outcome = Outcome::failure(Details::ConnectionTermination);
        self.log_dropped(id, outcome);
        if matches!(call.parent, Parent::RateLimit(_) | Parent::Inbound(_)) {
            self.drop_ask(id);
        }
        self.close_call(id);
        if let Parent::Tied(visit, _) = call.parent {
            return self.untie(visit, id);
        }
        if matches!(
            call.parent,
            Parent::Visit(..)
                | Parent::Proxied(_)
                | Parent::Authorization(..)
                | Parent::RateLimit(_)
                | Parent::Inbound(_)
                | Parent::Mirrored
                | Parent::Unsimulated
        ) {
            // Nobody inside is left to be told.
            return;
        }
        let latency = self.now.since(call.began);
        let sample = call.sample(latency, outcome);
        let cause = self.pod_cause(call.pod);
        let ended = Ended { edge: call.edge, sample, cause };
        if let Parent::Sent(request) = call.parent {
            return self.send_dropped(request, ended);
        }
        self.recorder.ended(self.now, ended);
        self.ledger.root_ended(self.now, latency);
        if let Parent::User(source, user) = call.parent {
            self.user_thinks(source, user, Some(call.key));
        }
    }

    /// The call leaves the books; its record stays while an event names it.
    #[inline(always)]
    pub(super) fn close_call(&mut self, id: Id<Call>) {
        self.ledger.calls_ended += 1;
        if self.compiled.has.hedging {
            self.close_hedge(id);
        }
        let call = &mut self.calls[id];
        assert!(!call.is_over, "a call ends once");
        let timeout = std::mem::replace(&mut call.timeout, TimerId::NONE);
        if !timeout.is_none() {
            self.queue.cancel(timeout);
        }
        if !call.idle.is_none() {
            self.queue.cancel(call.idle);
        }
        if std::mem::take(&mut call.holds_retry) {
            self.upstreams[call.upstream as usize].gauges.retries -= 1;
        }
        if LAST_TRIES < usize::from(call.tries) {
            let upstream = self.upstreams.get_mut(call.upstream as usize);
            upstream.map(|one| one.tried_before.remove(&call.key.0));
        }
        if call.pending == 0 {
            self.calls.remove(id);
        } else {
            call.is_over = true;
        }
    }

    /// The attempt that an event names, as it is now, if the event still means something to it.
    #[inline]
    pub(super) fn live_attempt(
        &mut self,
        slot: u32,
        phase: Phase,
    ) -> Option<(Id<Attempt>, Attempt)> {
        let (id, attempt) = self.attempts.at_mut(slot).expect("an attempt with a pending event");
        attempt.pending -= 1;
        let attempt = *attempt;
        self.owner = self.pods[attempt.pod as usize].hash;
        if attempt.phase == phase {
            return Some((id, attempt));
        }
        if attempt.phase == Phase::Over && attempt.pending == 0 {
            self.attempts.remove(id);
        }
        self.stale();
        None
    }

    /// The client gives an attempt up; the endpoint works on.
    pub(super) fn abandon(&mut self, id: Id<Attempt>, outcome: Outcome) {
        let attempt = self.attempts[id];
        if attempt.phase == Phase::Waiting {
            self.stop_waiting(id);
            return self.close_attempt(id);
        }
        if self.has_odd_apps {
            if self.linkerd.is_some() {
                self.heard_by_linkerd(&attempt, false);
            }
            self.resets_stream(&attempt);
            self.keep_ask(id);
        }
        self.detach(id, outcome, false);
        self.tell_of_leaving(id);
        self.attempts[id].call = Id::NONE;
        self.attempts[id].connection = Id::NONE;
        match attempt.phase {
            Phase::Hung => self.let_go(id),
            Phase::Streaming => self.close_attempt(id),
            _ => {}
        }
    }

    /// The attempt no longer uses its connection, and its endpoint is judged by its outcome.
    #[inline(always)]
    pub(super) fn detach(&mut self, id: Id<Attempt>, outcome: Outcome, is_complete: bool) {
        let attempt = &mut self.attempts[id];
        let per_try = std::mem::replace(&mut attempt.per_try, TimerId::NONE);
        let attempt = *attempt;
        if !per_try.is_none() {
            self.queue.cancel(per_try);
        }
        let upstream = &mut self.upstreams[attempt.upstream as usize];
        upstream.gauges.requests -= 1;
        if self.sampling.is_some() {
            upstream.demand.held(self.now.since(attempt.arrived));
        }
        upstream.hosts[attempt.host as usize].active -= 1;
        let has_headers = attempt.phase == Phase::Streaming;
        self.judge_endpoint(attempt.upstream, attempt.host, outcome, has_headers);
        self.release_connection(attempt.connection, is_complete);
    }

    /// A broken attempt whose client is still there.
    fn close_attempt_at_client(&mut self, id: Id<Attempt>, outcome: Outcome) {
        self.detach(id, outcome, false);
        self.close_attempt(id);
    }

    /// Nothing of the attempt is left, but for events that name it.
    #[inline(always)]
    pub(super) fn close_attempt(&mut self, id: Id<Attempt>) {
        self.ledger.attempts_closed += 1;
        let attempt = &mut self.attempts[id];
        if attempt.pending == 0 {
            self.attempts.remove(id);
        } else {
            attempt.phase = Phase::Over;
            attempt.call = Id::NONE;
        }
    }

    /// Until when a pod stands still: when an event that comes now is to be handled. Work that
    /// was going on takes as much longer as the pod stood still; packets wait for the end.
    #[inline]
    pub(super) fn thaws_at(&self, pod: u32, is_work: bool) -> Option<Time> {
        if self.frozen.is_empty() {
            return None;
        }
        let (from, until) = self.pods.get(pod as usize)?.frozen?;
        if until <= self.now {
            return None;
        }
        Some(if is_work { self.now + until.since(from) } else { until })
    }

    /// The call that an event names, if it is still open and its pod does not stand still.
    #[inline]
    pub(super) fn live_call(&mut self, slot: u32, event: Event) -> Option<Id<Call>> {
        let (id, call) = self.calls.at_mut(slot).expect("a call with a pending event");
        call.pending -= 1;
        self.owner = call.key.0;
        if call.is_over {
            if call.pending == 0 {
                self.calls.remove(id);
            }
            self.stale();
            return None;
        }
        let pod = call.pod;
        if let Some(later) = self.thaws_at(pod, true) {
            self.calls[id].pending += 1;
            self.queue.at(later, event.pack());
            self.stale();
            return None;
        }
        Some(id)
    }

    /// A packet was swallowed: TCP sends it again, or gives the connection up.
    pub(super) fn send_later(&mut self, id: Id<Attempt>, event: Event) {
        self.ledger.lost += 1;
        let network = &self.plan.parameters.network;
        let patience = self.gives_up_after(&self.attempts[id]);
        let attempt = &mut self.attempts[id];
        attempt.pending += 1;
        attempt.resent += 1;
        attempt.is_held = true;
        attempt.cause = self.nodes.cause;
        let wait = network.rto * (1 << (attempt.resent - 1).min(20));
        let give_up = attempt.sent_at + patience;
        if give_up <= self.now + wait {
            attempt.phase = Phase::Broken;
            self.queue.at(give_up.max(self.now), Event::Reset(id.index()).pack());
        } else {
            self.queue.after(wait, event.pack());
        }
    }

    // === what goes wrong at the endpoint ===

    /// Whether the pod's port takes connections and requests.
    pub(super) fn is_listening(&self, pod: u32) -> bool {
        self.pods[pod as usize].is_listening()
    }

    /// The pod has died under an attempt: the client hears of it by a reset.
    pub(super) fn break_attempt(&mut self, id: Id<Attempt>) {
        let attempt = self.attempts[id];
        if attempt.call.is_none() {
            return self.close_left(id);
        }
        let client = attempt.client;
        let cause = self.pod_cause(attempt.pod);
        let record = &mut self.attempts[id];
        record.phase = Phase::Broken;
        record.cause = cause;
        match self.transit(attempt.pod, client, 0, || 0, Duration::ZERO) {
            Transit::Sent { path, .. } => {
                self.attempts[id].pending += 1;
                let draw = || attempt.key.draw(1, purpose::LINK_BACK);
                self.over(path, Duration::ZERO, draw, Event::Reset(id.index()));
            }
            Transit::Swallowed => self.swallow(id),
        }
    }

    /// Nobody will ever answer: TCP gives up in the end.
    pub(super) fn swallow(&mut self, id: Id<Attempt>) {
        let cause = self.nodes.cause;
        let patience = self.gives_up_after(&self.attempts[id]);
        let attempt = &mut self.attempts[id];
        if attempt.call.is_none() {
            return self.close_left(id);
        }
        attempt.phase = Phase::Broken;
        attempt.cause = attempt.cause.or(cause);
        attempt.pending += 1;
        let give_up = (attempt.sent_at + patience).max(self.now);
        self.queue.at(give_up, Event::Reset(id.index()).pack());
    }
}
