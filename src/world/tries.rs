//! After a try of a call: another one, or the end. The last stretch of the journey.
//!
//! Source: measured on Envoy 1.40 (families e02, e04): the slot of the retry breaker is taken at the
//! decision and held through the back-off.
//! Left out: several tries at once, which stand in `hedging`.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use super::World;
use super::client::purpose;
use super::event::Event;
use super::routing::rule;
use super::state::{Attempt, Call, Parent};
use crate::kernel::slab::Id;
use crate::kernel::time::Duration;
use crate::model::proxy::retry;
use crate::observe::recorder::Ended;
use crate::plan::reply::ReplyHeaders;
use crate::plan::universe::WorkloadId;
use crate::vocabulary::cause::CauseId;
use crate::vocabulary::flag::{Flags, ResponseFlag};
use crate::vocabulary::outcome::{Details, Outcome};

impl<'p> World<'p> {
    /// A try ended without an answer.
    pub(super) fn fail_try(&mut self, id: Id<Call>, outcome: Outcome, cause: Option<CauseId>) {
        if self.compiled.has.hedging && self.waits_for_others(id, outcome, None) {
            return;
        }
        let call = &mut self.calls[id];
        call.attempt = Id::NONE;
        call.outcome = outcome;
        call.cause = cause;
        self.judge(id);
    }

    /// The last try's outcome stands in the call: try again, or end.
    pub(super) fn judge(&mut self, id: Id<Call>) {
        let call = &mut self.calls[id];
        let outcome = call.outcome;
        // The slot of the retry breaker is given back, and asked for again.
        if std::mem::take(&mut call.holds_retry) {
            self.upstreams[call.upstream as usize].gauges.retries -= 1;
        }
        let is_success = outcome.details == Details::ViaUpstream && outcome.status < 400;
        if is_success && call.takes_success {
            self.end_call(id, outcome);
        } else if let Some(outcome) = self.retry(id) {
            self.end_early(id, outcome);
        }
    }

    /// Whether an attempt that ends like this will be followed by another.
    pub(super) fn will_retry(&self, attempt: &Attempt, outcome: Outcome) -> bool {
        let call = &self.calls[attempt.call];
        let policy = &rule(self.plan, call).retry;
        let headers = self.headers(call.workload, outcome);
        let upstream = &self.upstreams[call.upstream as usize];
        let mut gauges = upstream.gauges;
        gauges.retries -= u32::from(call.holds_retry);
        // A hedged try may be at a cluster that its call has left.
        gauges.requests -= u32::from(attempt.upstream == call.upstream);
        policy.retries != 0
            && u32::from(call.tries) <= policy.retries
            && retry::is_retriable(policy, outcome, headers)
            && gauges.admits_retry(&upstream.policy.breaker, 1)
    }

    /// A retry is decided upon with the headers of an answer: its slot of the retry breaker is taken at once,
    /// so that nobody else counts on it while the proxy works on the answer.
    pub(super) fn reserve_retry(&mut self, attempt: &Attempt) {
        let call = &mut self.calls[attempt.call];
        if !call.holds_retry && attempt.upstream == call.upstream {
            call.holds_retry = true;
            self.upstreams[attempt.upstream as usize].gauges.retries += 1;
        }
    }

    /// The headers of an answer, where some have any.
    #[inline(always)]
    pub(super) fn headers(
        &self,
        workload: Option<WorkloadId>,
        outcome: Outcome,
    ) -> Option<&'p ReplyHeaders> {
        if self.compiled.has.reply_headers { self.answer_headers(workload, outcome) } else { None }
    }

    /// Backs off for another try; or how the call ends. Most calls end well and never come here.
    #[cold]
    #[inline(never)]
    fn retry(&mut self, id: Id<Call>) -> Option<Outcome> {
        if self.is_linkerds(id) {
            return self.retry_by_linkerd(id);
        }
        let call = &self.calls[id];
        let (outcome, tries, index) = (call.outcome, u32::from(call.tries), call.upstream);
        let policy = &rule(self.plan, call).retry;
        let headers = self.headers(call.workload, outcome);
        if !retry::is_retriable(policy, outcome, headers) {
            return Some(outcome);
        }
        if policy.retries < tries {
            return Some(outcome.flagged(ResponseFlag::URX));
        }
        let upstream = &mut self.upstreams[index as usize];
        let own = u32::from(outcome.details != Details::Overflow);
        if !upstream.gauges.admits_retry(&upstream.policy.breaker, own) {
            self.count(index, |counters| counters.retry_overflow += 1);
            return Some(outcome.flagged(ResponseFlag::UO));
        }
        upstream.gauges.retries += 1;
        let draw = self.calls[id].key.draw(tries, purpose::BACKOFF);
        let wait = match headers {
            Some(headers) => self.asked_backoff(policy, headers, (tries, draw)),
            None => retry::backoff(policy, tries, draw),
        };
        let wait = late(wait, self.options.backoff_late);
        let call = &mut self.calls[id];
        call.holds_retry = true;
        call.pending += 1;
        self.queue.after(wait, Event::BackedOff(id.index()).pack());
        self.log_try(id);
        None
    }

    /// The back-off is over.
    pub(super) fn backed_off(&mut self, slot: u32) {
        if let Some(id) = self.live_call(slot, Event::BackedOff(slot)) {
            if self.compiled.has.hedging && !self.is_still_wanted(id) {
                return self.stale();
            }
            if self.compiled.has.cluster_rules && !self.find_cluster_again(id) {
                return;
            }
            if self.is_linkerds(id) {
                return self.backed_off_by_linkerd(id);
            }
            self.catch_up(self.calls[id].upstream);
            self.log_retry(id);
            self.try_endpoint(id);
        }
    }

    /// A call ends otherwise than by a good answer, which is seldom.
    pub(super) fn end_early(&mut self, id: Id<Call>, outcome: Outcome) {
        self.end_call(id, outcome);
    }

    /// The end: told to whoever asked, exactly once.
    #[inline(always)]
    fn end_call(&mut self, id: Id<Call>, outcome: Outcome) {
        if self.compiled.has.clients && matches!(self.calls[id].parent, Parent::Sent(_)) {
            return self.end_send(id, outcome);
        }
        let call = &self.calls[id];
        let flags = if self.compiled.has.flags { call.flags } else { Flags::NONE };
        let outcome = Outcome { flags: outcome.flags.and(flags), ..outcome };
        let (parent, key, edge) = (call.parent, call.key, call.edge);
        let latency = self.now.since(call.began);
        let sample = call.sample(latency, outcome);
        let cause = if sample.is_ok { None } else { self.why(id, outcome) };
        let ended = Ended { edge, sample, cause };
        self.log_call(id, outcome);
        if self.compiled.has.ends {
            self.leave_proxy(id, outcome);
        }
        self.close_call(id);
        self.recorder.ended(self.now, ended);
        match parent {
            Parent::Traffic(_) => self.ledger.root_ended(self.now, latency),
            Parent::User(source, user) => {
                self.ledger.root_ended(self.now, latency);
                self.user_thinks(source, user, Some(key));
            }
            Parent::Visit(visit, required) => self.call_ended(visit, required, outcome, cause),
            Parent::Tied(visit, required) => {
                self.untie(visit, id);
                self.call_ended(visit, required, outcome, cause);
            }
            Parent::Proxied(visit) => self.forwarded(visit, outcome, cause),
            Parent::Authorization(call, fails_open) => self.authorized(call, fails_open, outcome),
            Parent::RateLimit(call) => self.rate_limited(call, id, outcome),
            Parent::Inbound(visit) => self.inbound_asked(visit, id, outcome),
            Parent::Sent(_) | Parent::Mirrored | Parent::Unsimulated => {}
        }
    }
}

/// When a timer fires that is `late`; one of no time is none.
pub(super) fn late(wait: Duration, late: Duration) -> Duration {
    if wait.is_zero() { wait } else { wait + late }
}
