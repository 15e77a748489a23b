//! Hedged tries: after a per-try timeout another try goes out and the first goes on. The first good
//! answer wins, and the others are reset.
//!
//! A soft timeout asks for a retry whatever the policy's conditions are, as long as some are left and
//! the breaker has a slot; else the call bears `URX` or `UO` and waits for the tries that it has. An
//! answer that would be tried again, or that cannot be, is passed over while others are under way.
//!
//! Source: Envoy's `Filter::onSoftPerTryTimeout`, `RetryStateImpl::shouldHedgeRetryPerTryTimeout` and
//! `resetOtherUpstreams` (source/common/router); measured (e03 `hedge_on_per_try_timeout`).
//! Left out: two back-offs of one call at once, also that of a try that is no longer the last; the client proxy's work for answers that are passed over.

use super::World;
use super::client::purpose;
use super::event::Event;
use super::routing::rule;
use super::state::{Attempt, Call, Phase};
use super::tries::late;
use crate::kernel::slab::Id;
use crate::model::proxy::retry;
use crate::plan::reply::ReplyHeaders;
use crate::vocabulary::flag::{Flags, ResponseFlag};
use crate::vocabulary::outcome::{Details, Outcome};

/// What a call with several tries has beside the last one.
#[derive(Default)]
pub(crate) struct Hedge {
    /// Tries that go on.
    tries: Vec<Id<Attempt>>,
    /// Another one is to follow.
    backs_off: bool,
    /// Back-offs under way whose tries are not wanted any more.
    unwanted: u32,
}

impl World<'_> {
    /// A back-off is over: whether the try that it was for is still wanted.
    #[cold]
    pub(super) fn is_still_wanted(&mut self, id: Id<Call>) -> bool {
        let Some(hedge) = self.hedged.get_mut(&id) else { return true };
        if hedge.unwanted != 0 {
            hedge.unwanted -= 1;
            return false;
        }
        std::mem::take(&mut hedge.backs_off)
    }

    /// A hedged call ends.
    #[cold]
    pub(super) fn close_hedge(&mut self, id: Id<Call>) {
        self.reset_tries(id, Id::NONE);
        self.hedged.remove(&id);
    }

    /// Whether a try that has its per-try timeout goes on beside another: then that is seen to.
    #[cold]
    pub(super) fn hedges(&mut self, id: Id<Attempt>, outcome: Outcome) -> bool {
        let attempt = self.attempts[id];
        let call = attempt.call;
        if !matches!(outcome.details, Details::PerTryTimeout | Details::PerTryIdleTimeout)
            || !rule(self.plan, &self.calls[call]).retry.hedges
        {
            return false;
        }
        // Outlier detection takes it for a failure, although an answer may follow.
        self.judge_endpoint(attempt.upstream, attempt.host, outcome, false);
        if self.calls[call].attempt == id {
            self.hedged.entry(call).or_default().tries.push(id);
            self.calls[call].attempt = Id::NONE;
            self.calls[call].outcome = outcome;
            self.try_beside(call, None);
        }
        true
    }

    /// Another try of a call whose last one goes on, or the flag that says why there is none.
    fn try_beside(&mut self, id: Id<Call>, headers: Option<&ReplyHeaders>) {
        let call = &mut self.calls[id];
        let (tries, index) = (u32::from(call.tries), call.upstream);
        let policy = &rule(self.plan, call).retry;
        let upstream = &mut self.upstreams[index as usize];
        upstream.gauges.retries -= u32::from(std::mem::take(&mut call.holds_retry));
        if policy.retries < tries {
            call.flags = call.flags.and(Flags::of(ResponseFlag::URX));
        } else if upstream.gauges.admits_retry(&upstream.policy.breaker, 0) {
            upstream.gauges.retries += 1;
            call.holds_retry = true;
            call.pending += 1;
            self.hedged.entry(id).or_default().backs_off = true;
            let draw = call.key.draw(tries, purpose::BACKOFF);
            let wait = match headers {
                Some(headers) => self.asked_backoff(policy, headers, (tries, draw)),
                None => retry::backoff(policy, tries, draw),
            };
            let wait = late(wait, self.options.backoff_late);
            self.queue.after(wait, Event::BackedOff(id.index()).pack());
            self.log_try(id);
        } else {
            call.flags = call.flags.and(Flags::of(ResponseFlag::UO));
            self.count(index, |counters| counters.retry_overflow += 1);
        }
    }

    /// A try of a call has ended with `outcome`: whether others go on and the call waits for them.
    #[cold]
    pub(super) fn waits_for_others(
        &mut self,
        id: Id<Call>,
        outcome: Outcome,
        headers: Option<&ReplyHeaders>,
    ) -> bool {
        let Some(hedge) = self.hedged.remove(&id) else { return false };
        let Hedge { mut tries, backs_off, unwanted } = hedge;
        let before = tries.len();
        tries.retain(|one| self.is_try_of(*one, id));
        // One that was hedged is not tried again (Envoy's `UpstreamRequest::retried`).
        let was_hedged = tries.len() < before;
        let call = &self.calls[id];
        let has_current = self.is_try_of(call.attempt, id);
        let is_retriable = retry::is_retriable(&rule(self.plan, call).retry, outcome, headers);
        let ends = match outcome.details {
            Details::NoHealthyUpstream => true,
            details => details.is_of_upstream() && !is_retriable,
        };
        let is_alone = tries.is_empty() && !has_current && !backs_off;
        if ends || is_alone {
            self.hedged.insert(id, Hedge { tries, backs_off, unwanted });
            self.reset_tries(id, Id::NONE);
            return false;
        }
        let again = is_retriable && !backs_off && !was_hedged;
        self.hedged.insert(id, Hedge { tries, backs_off, unwanted });
        if again || !has_current {
            self.calls[id].attempt = Id::NONE;
        }
        if again {
            self.calls[id].outcome = outcome;
            self.try_beside(id, headers);
        }
        true
    }

    /// An answer that has left its connection: whether the call waits for others.
    #[cold]
    pub(super) fn is_passed_over(&mut self, id: Id<Attempt>, outcome: Outcome) -> bool {
        let Attempt { call, workload, .. } = self.attempts[id];
        if !self.hedged.contains_key(&call) {
            return false;
        }
        // It is no try of the call any more.
        self.attempts[id].call = Id::NONE;
        let headers = self.headers(Some(workload), outcome);
        let waits = self.waits_for_others(call, outcome, headers);
        if waits {
            self.close_attempt(id);
        } else {
            self.calls[call].workload = Some(workload);
        }
        waits
    }

    fn is_try_of(&self, attempt: Id<Attempt>, call: Id<Call>) -> bool {
        let attempt = self.attempts.get(attempt);
        attempt.is_some_and(|one| one.call == call && one.phase != Phase::Over)
    }

    /// All tries of a hedged call but the winner are reset.
    #[cold]
    pub(super) fn reset_tries(&mut self, id: Id<Call>, winner: Id<Attempt>) {
        let Some(Hedge { tries, backs_off, unwanted }) = self.hedged.remove(&id) else { return };
        let unwanted = unwanted + u32::from(backs_off);
        if unwanted != 0 {
            // The event of the back-off finds that its try is not wanted any more.
            self.hedged.insert(id, Hedge { unwanted, ..Hedge::default() });
        }
        let outcome = Outcome::failure(Details::DownstreamDisconnect);
        // One that waits for a connection first, so that none of the others' is given to it.
        let current = std::mem::replace(&mut self.calls[id].attempt, winner);
        for one in [current].into_iter().chain(tries) {
            if one != winner && self.is_try_of(one, id) {
                self.abandon(one, outcome);
            }
        }
    }
}
