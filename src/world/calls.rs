//! The calls that an app makes for a request, and their end with it. Those with a client of the app stand
//! in `app_sends`.
//!
//! Most apps work on when their client has left. One that passes cancellation on (`cancels_calls`) hears
//! of it a link's delay later, and its proxy's loopback after that: calls in flight end at once as their
//! proxy sees it, 0 DC over HTTP/1.1 and 0 DR over HTTP/2, and are not tried again; later ones are
//! not made. A call that was required ends the program. Local work is not interrupted, nor does who
//! waits for a worker leave the queue: what such a framework cancels is a context, at which work looks
//! only where it waits for somebody else.
//!
//! Source: Go's `net/http`: `Request.Context` is done when the client's connection closes or its HTTP/2
//! stream is reset, and a call with this context ends then; what proxies log is measured on Envoy 1.40
//! (families e06, e10).
//! Left out: the proxies' work for a reset; an app that looks at its context in the middle of its work.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use super::World;
use super::client::purpose;
use super::proxied::cancelled;
use super::state::{Attempt, Call, NONE, Parent, Phase};
use crate::kernel::slab::Id;
use crate::kernel::stream::uniform;
use crate::kernel::time::Duration;
use crate::plan::universe::WorkloadId;
use crate::vocabulary::cause::CauseId;
use crate::vocabulary::outcome::Outcome;
use std::collections::BTreeMap;
use std::ops::Range;

/// Calls in flight that end with the visit that makes them.
pub(crate) type Tied = BTreeMap<Id<Attempt>, Vec<Id<Call>>>;

impl World<'_> {
    /// Makes the calls of a step. Whether all have ended already.
    #[inline(always)]
    pub(super) fn make_calls(
        &mut self,
        id: Id<Attempt>,
        sites: Range<usize>,
        holds_worker: bool,
    ) -> bool {
        self.calls_of_step::<false>(id, sites, holds_worker)
    }

    /// The same; those that are `WATCHED` may end with the visit, and then fail before they are made if
    /// the visit's client has left already, or its time is over; or they have a client of the app.
    #[inline(always)]
    fn calls_of_step<const WATCHED: bool>(
        &mut self,
        id: Id<Attempt>,
        sites: Range<usize>,
        holds_worker: bool,
    ) -> bool {
        let has_left = WATCHED && (self.left.contains(&id) || self.is_late(id));
        let attempt = &mut self.attempts[id];
        let (key, pod, batch) = (attempt.key, attempt.pod, attempt.batch);
        attempt.step += 1;
        attempt.phase = Phase::Calling;
        // One more than there are, so that a call that ends at once does not go on from here.
        attempt.open_calls = 1;
        for site in sites {
            let call = self.compiled.calls[site];
            let batch = if call.rare == NONE { batch } else { self.rare_batch(call.rare, batch) };
            let certain = 1.0 <= call.probability;
            if certain || uniform(key.draw(0, purpose::CALL + call.index)) < call.probability {
                let attempt = &mut self.attempts[id];
                if has_left {
                    attempt.call_failed |= call.required;
                    continue;
                }
                attempt.open_calls += 1;
                let parent = if WATCHED {
                    self.watched(id, batch, &call)
                } else {
                    Parent::Visit(id, call.required)
                };
                let made = self.calls.next_id();
                self.begin_call(key.child(call.index), parent, batch, pod, call.target);
                if WATCHED {
                    self.limit_call(id, made);
                }
            }
        }
        let attempt = &mut self.attempts[id];
        attempt.open_calls -= 1;
        if attempt.open_calls == 0 {
            return true;
        }
        if !holds_worker && attempt.holds_worker {
            self.leave_station(id);
        }
        false
    }

    /// A call that the visit made has ended.
    pub(super) fn call_ended(
        &mut self,
        id: Id<Attempt>,
        required: bool,
        outcome: Outcome,
        cause: Option<CauseId>,
    ) {
        // The visit's pod may have crashed meanwhile.
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        if attempt.phase != Phase::Calling {
            return;
        }
        if required && !outcome.is_ok() {
            attempt.call_failed = true;
            attempt.cause = cause;
        }
        attempt.open_calls -= 1;
        if attempt.open_calls == 0 {
            self.go_on(id);
        }
    }

    // === calls that end with their request ===

    /// Makes the calls of a step that the app watches over, as [`Self::make_calls`] does.
    #[cold]
    #[inline(never)]
    pub(super) fn make_watched_calls(
        &mut self,
        id: Id<Attempt>,
        sites: Range<usize>,
        holds_worker: bool,
    ) -> bool {
        self.calls_of_step::<true>(id, sites, holds_worker)
    }

    /// A call that would have ended with its visit is over.
    #[cold]
    pub(super) fn untie(&mut self, id: Id<Attempt>, call: Id<Call>) {
        if let Some(calls) = self.tied.get_mut(&id) {
            calls.retain(|one| *one != call);
            if calls.is_empty() {
                self.tied.remove(&id);
            }
        }
    }

    /// Whether an app passes cancellation on.
    pub(super) fn cancels_calls(&self, workload: WorkloadId) -> bool {
        self.plan.cancelling.contains(&workload)
    }

    /// An app hears that the client of a request has left.
    pub(super) fn app_left(&mut self, id: Id<Attempt>) {
        self.left.insert(id);
        let in_flight = self.tied.remove(&id).unwrap_or_default();
        for call in in_flight {
            let service = self.calls[call].service;
            let protocol = self.plan.universe.services[service.index()].protocol;
            self.cancel_call(call, cancelled(protocol));
        }
        self.leave_requests(id);
    }

    /// An attempt whose client has left is over.
    #[cold]
    pub(super) fn close_left(&mut self, id: Id<Attempt>) {
        self.left.remove(&id);
        self.unread.remove(&id);
        self.given.remove(&id);
        self.close_attempt(id);
    }

    /// What is remembered is of visits and calls that are there.
    pub(super) fn audit_tied(&self) {
        let is_there = |id: &Id<Attempt>| {
            self.attempts.get(*id).is_some_and(|attempt| attempt.phase != Phase::Over)
        };
        assert!(self.left.iter().all(is_there), "a visit is over, and its client's leaving is not");
        let mut calls = self.tied.values().flatten();
        let is_open = |id: &Id<Call>| self.calls.get(*id).is_some_and(|call| !call.is_over);
        assert!(calls.all(is_open), "a call is over, and would be ended with its visit");
    }

    /// How much longer than its proxy an app takes to hear of a client that has left.
    pub(super) fn hears_later(&self, pod: u32) -> Duration {
        if self.pods[pod as usize].is_meshed {
            self.plan.parameters.proxy.loopback
        } else {
            Duration::ZERO
        }
    }
}
