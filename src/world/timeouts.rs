//! Limits on requests and attempts, and what a proxy logs when they pass.
//!
//! Once the client has seen the headers of an answer, its status stays what it was (UNCONFIRMED of a
//! route's `max_stream_duration`, which leaves 200 without a flag).
//!
//! Source: measured on Envoy 1.40 (family e03; a route's `max_stream_duration`: 504 `max_duration_timeout`).
//! Left out: that this one begins with the request, before what a fault filter delays; the limit on a
//! stream's duration after the headers, where another limit was shorter before; limits on the downstream's
//! requests.

use super::World;
use super::compiled::shorter;
use super::event::Event;
use super::routing::rule;
use super::state::{Attempt, Call, Held, Phase};
use crate::kernel::queue::{LaneId, TimerId};
use crate::kernel::slab::Id;
use crate::kernel::time::Duration;
use crate::model::linkerd::answer::Answer;
use crate::vocabulary::outcome::{Details, Outcome};

impl World<'_> {
    /// The route timeout: 504 UT, or that of its streams: 504 without a flag. Neither is retried.
    pub(super) fn route_timeout(&mut self, slot: u32) {
        let id = self.calls.id_at(slot).expect("the timer of an open call");
        self.calls[id].timeout = TimerId::NONE;
        if self.is_linkerds(id) {
            return self.cut_stream(id, self.limit_of_linkerd(id));
        }
        if self.calls[id].held == Held::RateLimit {
            return self.rate_limit_timeout(id);
        }
        let limits = rule(self.plan, &self.calls[id]);
        let is_of_stream = shorter(limits.timeout, limits.max_stream_duration) != limits.timeout;
        let details = if is_of_stream { Details::MaxDuration } else { Details::ResponseTimeout };
        self.give_up(id, Outcome::failure(details));
    }

    /// The client has heard nothing for long: 504 SI, never retried.
    pub(super) fn stream_idle(&mut self, slot: u32) {
        let id = self.calls.id_at(slot).expect("the timer of an open call");
        self.calls[id].idle = TimerId::NONE;
        if self.is_linkerds(id) {
            return self.response_is_late(id);
        }
        self.give_up(id, Outcome::failure(Details::StreamIdleTimeout));
    }

    /// A call's client is to hear something within the lane's delay.
    #[cold]
    pub(super) fn expect_idle(&mut self, id: Id<Call>, lane: LaneId) {
        let timer = self.queue.after_lane(lane, Event::StreamIdle(id.index()).pack());
        self.calls[id].idle = timer;
    }

    fn give_up(&mut self, id: Id<Call>, mut outcome: Outcome) {
        let attempt_id = self.calls[id].attempt;
        if let Some(attempt) = self.attempts.get(attempt_id).copied() {
            self.calls[id].cause = attempt.cause.or(self.calls[id].cause);
            if attempt.phase == Phase::Streaming {
                outcome.status = attempt.outcome.status;
            }
            self.abandon(attempt_id, outcome);
        }
        self.end_early(id, outcome);
    }

    /// A limit on an attempt: 504, retried if the policy has a condition for it.
    pub(super) fn per_try_timeout(&mut self, slot: u32) {
        let id = self.attempts.id_at(slot).expect("the timer of an open attempt");
        self.attempts[id].per_try = TimerId::NONE;
        let attempt = self.attempts[id];
        if attempt.phase == Phase::Streaming && self.is_linkerds(attempt.call) {
            return self.cut_stream(attempt.call, Answer::IdleTimeout(Duration::ZERO));
        }
        let mut outcome = Outcome::failure(self.limit_of(&attempt));
        if attempt.phase == Phase::Streaming {
            outcome.status = attempt.outcome.status;
            self.abandon(id, outcome);
            return self.end_early(attempt.call, outcome);
        }
        if self.compiled.has.hedging && self.hedges(id, outcome) {
            return;
        }
        self.abandon(id, outcome);
        self.fail_try(attempt.call, outcome, attempt.cause);
    }

    /// Which limit on an attempt has passed: the shortest of those that hold.
    fn limit_of(&self, attempt: &Attempt) -> Details {
        let retry = &rule(self.plan, &self.calls[attempt.call]).retry;
        let max_stream = self.upstreams[attempt.upstream as usize].policy.pool.max_stream_duration;
        let per_try = match attempt.phase {
            Phase::Streaming => Duration::ZERO,
            _ => retry.per_try_timeout,
        };
        let least = shorter(shorter(per_try, retry.per_try_idle_timeout), max_stream);
        if least == per_try && !per_try.is_zero() {
            Details::PerTryTimeout
        } else if least == retry.per_try_idle_timeout {
            Details::PerTryIdleTimeout
        } else {
            Details::MaxStreamDuration
        }
    }

    /// The lane of the shorter delay.
    #[cold]
    pub(super) fn shorter_lane(&self, one: Option<LaneId>, other: LaneId) -> LaneId {
        let delay = |lane| self.queue.delay(lane);
        one.filter(|one| delay(*one) <= delay(other)).unwrap_or(other)
    }

    /// The headers of an answer have come: limits on hearing nothing begin anew, that on a try for
    /// its headers is over.
    pub(super) fn heard(&mut self, id: Id<Attempt>) {
        let attempt = self.attempts[id];
        if self.is_linkerds(attempt.call) {
            return self.header_by_linkerd(id);
        }
        let is_lasting = self.limit_of(&attempt) == Details::MaxStreamDuration;
        if !attempt.per_try.is_none() && !is_lasting {
            self.queue.cancel(attempt.per_try);
            let idle = rule(self.plan, &self.calls[attempt.call]).retry.per_try_idle_timeout;
            self.attempts[id].per_try = if idle.is_zero() {
                TimerId::NONE
            } else {
                let lane = self.queue.lane(idle);
                self.queue.after_lane(lane, Event::PerTryTimeout(id.index()).pack())
            };
        }
        let call = attempt.call;
        let idle = self.calls[call].idle;
        if !idle.is_none() {
            self.queue.cancel(idle);
            let lane = self.queue.lane(rule(self.plan, &self.calls[call]).idle_timeout);
            let event = Event::StreamIdle(call.index()).pack();
            self.calls[call].idle = self.queue.after_lane(lane, event);
        }
    }
}
