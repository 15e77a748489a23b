//! Global rate limits: a proxy asks a rate limit service, which counts.
//!
//! A request that one of the filter's limits is about waits while the service is asked, by the routes of
//! that service, for as long as the filter's timeout allows. The service counts when it has done its
//! work, also for those who no longer wait.
//!
//! Source: Envoy's `source/extensions/filters/http/ratelimit/ratelimit.cc`: over the limit is 429 RL
//! `request_rate_limited`; a service that cannot be asked lets pass, or is 500 RLSE `rate_limiter_error`.
//! Left out: limits of routes, for which a filter would have to know the route; the request to the service
//! is not taken back when the client of the one that waits leaves.

use super::World;
use super::client::purpose;
use super::compiled::Target;
use super::event::Event;
use super::filters::asks as asks_key;
use super::state::{Attempt, Call, Held, Parent};
use crate::kernel::queue::TimerId;
use crate::kernel::slab::Id;
use crate::model::proxy::filter::global_rate_limit::{Counters, Descriptor, descriptors};
use crate::plan::Plan;
use crate::plan::filter::{Filter, GlobalRateLimit};
use crate::plan::universe::ServiceId;
use crate::vocabulary::outcome::{Details, Outcome};
use std::collections::BTreeMap;

/// What a limit says of a request.
#[derive(Clone, Debug)]
pub(super) struct Limit<'p> {
    pub(super) filter: &'p GlobalRateLimit,
    pub(super) of: Vec<Descriptor>,
}

/// What is asked for a request.
#[derive(Clone, Debug)]
pub(super) struct Ask<'p> {
    limit: Limit<'p>,
    /// What the service found; none before it did.
    is_over: Option<bool>,
}

impl Ask<'_> {
    /// How the request ends by what the service answered, or failed to; none if it passes.
    pub(super) fn refusal(&self, outcome: Outcome) -> Option<Outcome> {
        let is_answer = outcome.details.is_of_upstream() && outcome.status == 200;
        let details = match self.is_over.filter(|_| is_answer) {
            Some(true) => Details::RequestRateLimited,
            None if self.limit.filter.failure_mode_deny => Details::RateLimiterError,
            _ => return None,
        };
        Some(Outcome::failure(details))
    }
}

/// Rate limit services, and what they are asked.
#[derive(Debug, Default)]
pub(crate) struct RateLimits<'p> {
    counters: BTreeMap<ServiceId, Counters>,
    /// By the call that asks.
    asks: BTreeMap<Id<Call>, Ask<'p>>,
    /// By the call that waits: the one that asks.
    asking: BTreeMap<Id<Call>, Id<Call>>,
    /// By the attempt of one that asked and no longer waits.
    unheard: BTreeMap<Id<Attempt>, Ask<'p>>,
}

impl<'p> RateLimits<'p> {
    /// A call asks.
    pub(super) fn begin(&mut self, asks: Id<Call>, limit: Limit<'p>) {
        self.asks.insert(asks, Ask { limit, is_over: None });
    }

    /// It is over.
    pub(super) fn end(&mut self, asks: Id<Call>) -> Option<Ask<'p>> {
        self.asks.remove(&asks)
    }
}

/// Entries of what is unheard between two looks at which are still under way.
const UNHEARD_PER_LOOK: usize = 1 << 10;

impl<'p> World<'p> {
    /// Asks whether a request may pass: whether it waits for that. It does not where no limit is about it.
    #[cold]
    pub(super) fn ask_rate_limit(
        &mut self,
        id: Id<Call>,
        place: usize,
        filter: &'p GlobalRateLimit,
    ) -> bool {
        let Call { pod, key, class, batch, .. } = self.calls[id];
        let of = &self.plan.universe.classes[class.index()];
        let of = descriptors(filter, of, key.draw(0, purpose::SESSION));
        if of.is_empty() {
            return false;
        }
        let workload = self.pods[pod as usize].workload;
        let edge = self.compiled.asked_edge(workload, filter.service);
        let call = &mut self.calls[id];
        call.held = Held::RateLimit;
        if !filter.timeout.is_zero() {
            let lane = self.queue.lane(filter.timeout);
            call.timeout = self.queue.after_lane(lane, Event::RouteTimeout(id.index()).pack());
        }
        let asks = self.calls.next_id();
        self.filters.rate_limits.begin(asks, Limit { filter, of });
        self.filters.rate_limits.asking.insert(id, asks);
        let target = Target { to: filter.service, class, edge };
        self.begin_call(key.child(asks_key(place)), Parent::RateLimit(id), batch, pod, target);
        true
    }

    /// The filter's timeout has passed: the service could not be asked.
    #[cold]
    pub(super) fn rate_limit_timeout(&mut self, id: Id<Call>) {
        let asks =
            self.filters.rate_limits.asking.get(&id).copied().expect("a call that waits asks");
        self.cancel_call(asks, Outcome::failure(Details::ResponseTimeout));
    }

    /// The service has done its work for an attempt, if it is one that asks: it counts.
    #[cold]
    pub(super) fn count_at_limiter(&mut self, id: Id<Attempt>) {
        let limits = &mut self.filters.rate_limits;
        let ask = match limits.asks.get_mut(&self.attempts[id].call) {
            Some(ask) => ask,
            None => match limits.unheard.get_mut(&id) {
                Some(ask) => ask,
                None => return,
            },
        };
        let Limit { filter, of } = &ask.limit;
        let counters = limits.counters.entry(filter.service).or_default();
        ask.is_over = Some(counters.count(filter, of, self.now));
        limits.unheard.remove(&id);
    }

    /// An attempt is given up by who asks; the service works on.
    #[cold]
    pub(super) fn keep_ask(&mut self, id: Id<Attempt>) {
        let Some(ask) = self.filters.rate_limits.asks.get(&self.attempts[id].call) else { return };
        let unheard = &mut self.filters.rate_limits.unheard;
        unheard.insert(id, ask.clone());
        if unheard.len().is_multiple_of(UNHEARD_PER_LOOK) {
            unheard.retain(|id, _| self.attempts.get(*id).is_some());
        }
    }

    /// Who asked is gone with its proxy.
    #[cold]
    pub(super) fn drop_ask(&mut self, asks: Id<Call>) {
        self.filters.rate_limits.asks.remove(&asks);
        if let Parent::RateLimit(waits) = self.calls[asks].parent {
            self.filters.rate_limits.asking.remove(&waits);
        }
    }

    /// The service has answered, or could not be asked.
    #[cold]
    pub(super) fn rate_limited(&mut self, id: Id<Call>, asks: Id<Call>, outcome: Outcome) {
        let ask = self.filters.rate_limits.end(asks).expect("one that asks");
        self.filters.rate_limits.asking.remove(&id);
        let Some(call) = self.calls.get_mut(id) else { return };
        if call.is_over || call.held != Held::RateLimit {
            return;
        }
        call.held = Held::Not;
        let timeout = std::mem::replace(&mut call.timeout, TimerId::NONE);
        let Call { pod, service, class, key, .. } = *call;
        if !timeout.is_none() {
            self.queue.cancel(timeout);
        }
        match ask.refusal(outcome) {
            Some(ended) => self.end_early(id, ended),
            None => self.route(id, pod, service, class, key),
        }
    }
}

/// Whether some proxy asks a rate limit service, whose apps then do more than answer.
pub(super) fn has_some(plan: &Plan) -> bool {
    let workloads = plan.universe.workloads.iter();
    let mut filters = workloads.flat_map(|one| one.filters.iter().chain(&one.inbound));
    filters.any(|filter| matches!(filter, Filter::GlobalRateLimit(_)))
}
