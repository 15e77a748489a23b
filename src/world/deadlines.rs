//! Apps that give their calls no more time than their own request has (`deadlines`).
//!
//! What a request has when it is sent is the least of what its proxy gives it (the timeout of the try, or
//! what is left of the route's) and, if an app with deadlines makes it, of what is left to that app. It is
//! told as a time to go, which the next app counts from when it gets the request, so that each hop learns
//! of the end a link later than the one above. No call begins after it, and those in flight end at it: the
//! app leaves them, which its proxy logs as 0 DC over HTTP/1.1 and 0 DR over HTTP/2. A limit of the call's
//! own route that is shorter is 504 UT, as ever. Local work is not interrupted.
//!
//! Source: gRPC's `grpc-timeout` (PROTOCOL-HTTP2.md) and its clients, which send what is left of a
//! context's deadline and reset the stream when it is over. Envoy's `FilterUtility::setTimeoutHeaders`: the
//! router writes the lesser of the two timeouts into `x-envoy-expected-rq-timeout-ms`, and for gRPC into
//! `grpc-timeout` where the route has `max_grpc_timeout`, as Istio's routes have (`setTimeout` in
//! `pilot/pkg/networking/core/route/route.go`; those of sidecars to their apps have
//! `max_stream_duration.grpc_timeout_header_max` of 0, which takes the header as it is). A proxy that
//! takes `grpc-timeout` for its own timeout begins to count after the app that sent it, so that the app
//! leaves first: Envoy's documentation of `grpc_timeout_offset` says so.
//! Left out: routers with `respect_expected_rq_timeout`, which take the other header for their own timeout
//! (no mesh sets it by itself), and `grpc_timeout_offset`; clients of traffic, whose timeout nobody is
//! told; the wait for a connection, which a proxy does not take off.

use super::World;
use super::event::Event;
use super::proxied::cancelled;
use super::routing::rule;
use super::state::{Attempt, Call, Parent, Phase};
use crate::kernel::slab::Id;
use crate::kernel::time::{Duration, Time};
use crate::vocabulary::outcome::Outcome;

impl World<'_> {
    /// When the time of a visit is over, as its app knows; none if it is not told, or has no limit.
    pub(super) fn deadline_of(&self, id: Id<Attempt>) -> Option<Time> {
        let attempt = self.attempts.get(id)?;
        if !self.plan.deadlines.contains(&attempt.workload) {
            return None;
        }
        let given =
            if attempt.call.is_none() { self.given.get(&id).copied() } else { self.gives(id) };
        given.map(|given| attempt.entered.saturating_add(given))
    }

    /// How much time an attempt was given when it was sent, while its call is there.
    fn gives(&self, id: Id<Attempt>) -> Option<Duration> {
        let attempt = &self.attempts[id];
        let call = self.calls.get(attempt.call)?;
        let rule = rule(self.plan, call);
        let of_route = (!rule.timeout.is_zero()).then(|| {
            // A timer that is gone fires now.
            if call.timeout.is_none() { self.now } else { self.queue.fires_at(call.timeout) }
        });
        let of_app = self.visit_of(call.parent).and_then(|visit| self.deadline_of(visit));
        let left = |end: Time| end.saturating_since(attempt.sent_at);
        // One that is hedged goes on when its time is over.
        let is_cut = !rule.retry.per_try_timeout.is_zero() && !rule.retry.hedges;
        let of_try = is_cut.then_some(rule.retry.per_try_timeout);
        [of_route.map(left), of_app.map(left), of_try].into_iter().flatten().min()
    }

    /// The visit that makes a call, by itself or as a send of a client of the app.
    pub(super) fn visit_of(&self, parent: Parent) -> Option<Id<Attempt>> {
        match parent {
            Parent::Visit(visit, _) | Parent::Tied(visit, _) => Some(visit),
            Parent::Sent(request) => self.visit_of(self.sends.requests[request].parent),
            _ => None,
        }
    }

    /// The client of an attempt leaves: what the attempt was given would be gone with its call.
    pub(super) fn remember_given(&mut self, id: Id<Attempt>) {
        let Attempt { workload, phase, .. } = self.attempts[id];
        let is_there = matches!(
            phase,
            Phase::Sent | Phase::Inbound | Phase::Queued | Phase::Working | Phase::Calling
        );
        if !is_there || !self.plan.deadlines.contains(&workload) {
            return;
        }
        if let Some(given) = self.gives(id) {
            self.given.insert(id, given);
        }
    }

    /// Whether the time of a visit is over.
    pub(super) fn is_late(&self, id: Id<Attempt>) -> bool {
        self.deadline_of(id).is_some_and(|deadline| deadline <= self.now)
    }

    /// A call that a visit has made, if it has not ended already, ends with the visit's time at the latest.
    pub(super) fn limit_call(&mut self, visit: Id<Attempt>, made: Id<Call>) {
        let Some(deadline) = self.deadline_of(visit) else { return };
        let Some(call) = self.calls.get_mut(made).filter(|call| !call.is_over) else { return };
        call.pending += 1;
        self.queue.at(deadline, Event::Deadline(made.index()).pack());
    }

    /// The time of a call is over: its app leaves it. A status that it has seen stays.
    pub(super) fn deadline(&mut self, slot: u32) {
        let (id, call) = self.calls.at_mut(slot).expect("a call with a pending event");
        let Call { pod, service, attempt, is_over, .. } = *call;
        if let Some(later) = self.thaws_at(pod, false).filter(|_| !is_over) {
            self.queue.at(later, Event::Deadline(slot).pack());
            return self.stale();
        }
        self.calls[id].pending -= 1;
        if is_over {
            if self.calls[id].pending == 0 {
                self.calls.remove(id);
            }
            return self.stale();
        }
        let mut outcome = cancelled(self.plan.universe.services[service.index()].protocol);
        let streams = |one: &&Attempt| one.phase == Phase::Streaming;
        if let Some(attempt) = self.attempts.get(attempt).filter(streams) {
            outcome = Outcome { status: attempt.outcome.status, ..outcome };
        }
        self.cancel_call(id, outcome);
    }

    /// What is remembered is of visits that are there, and whose client is not.
    pub(super) fn audit_given(&self) {
        let is_alone = |id: &Id<Attempt>| {
            let attempt = self.attempts.get(*id);
            attempt.is_some_and(|one| one.phase != Phase::Over && one.call.is_none())
        };
        assert!(
            self.given.keys().all(is_alone),
            "a visit is over, and what it had been given is not"
        );
    }
}
