//! Filters of a sidecar for what it receives: before the app, after the proxy's own work.
//!
//! A filter that holds a request has the sidecar take it up again by the same event with which the request
//! came out of the proxy's work, and it goes on with the next filter. What a sidecar refuses is to its
//! client an answer like any other, without a flag.
//!
//! Source: Envoy's HTTP filter chain of the inbound listener, as `filters`.
//! Left out: the sidecar's own access log; that a client who leaves ends what is asked for it.

use super::World;
use super::admission::Side;
use super::client::purpose;
use super::compiled::Target;
use super::event::Event;
use super::filters::{HALVES, authorization, denial, nth};
use super::rate_limits::Limit;
use super::routing::rule;
use super::security::Ends;
use super::shedding::is_in_pod;
use super::state::{Attempt, Call, Parent, Phase};
use crate::kernel::queue::TimerId;
use crate::kernel::slab::Id;
use crate::kernel::time::Duration;
use crate::model::proxy::filter::global_rate_limit::descriptors;
use crate::model::proxy::filter::{buffer, cors, fault, rbac};
use crate::plan::filter::{Fault, Filter, Rbac};
use crate::plan::universe::{ClassId, RequestClass, ServiceId};
use crate::vocabulary::outcome::{Details, Outcome};
use std::collections::BTreeMap;

/// A received request that filters have held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inbound {
    /// The next filter, in halves.
    next: u8,
    /// The call by which a service is asked for it; none if it waits for no answer.
    asks: Id<Call>,
    /// By when that is to be answered.
    timeout: TimerId,
}

/// Requests by attempt.
pub(super) type Held = BTreeMap<Id<Attempt>, Inbound>;

const FRESH: Inbound = Inbound { next: 0, asks: Id::NONE, timeout: TimerId::NONE };
/// Entries between two looks at which are still under way.
const HELD_PER_LOOK: usize = 1 << 10;

/// What a filter does with a request.
enum Pass {
    On,
    Held,
    Refused(Outcome),
}

impl<'p> World<'p> {
    /// Takes a request through the filters of the sidecar that received it: whether it goes on to
    /// the app. If not, the sidecar has answered, or holds it.
    #[cold]
    pub(super) fn pass_inbound(&mut self, id: Id<Attempt>) -> bool {
        let (plan, attempt) = (self.plan, self.attempts[id]);
        if attempt.open_calls != 0 {
            // It has passed them; its sidecar tries the app again.
            return true;
        }
        let mut state = self.filters.inbound.remove(&id).unwrap_or(FRESH);
        if !state.asks.is_none() {
            // It waits still: its timeout has passed.
            self.pods[attempt.pod as usize].inbound += 1;
            self.filters.inbound.insert(id, Inbound { timeout: TimerId::NONE, ..state });
            self.cancel_call(state.asks, Outcome::failure(Details::ResponseTimeout));
            return false;
        }
        let filters = &plan.universe.workloads[attempt.workload.index()].inbound;
        while let Some(filter) = filters.get(usize::from(state.next / HALVES)) {
            let (place, is_second) = (usize::from(state.next / HALVES), state.next % HALVES == 1);
            state.next += 1;
            if !self.config.filters.is_empty() && !self.has_filter(attempt.pod, place, true) {
                continue;
            }
            let pass = match filter {
                Filter::Fault(fault) if is_second => Self::abort_inbound(&attempt, place, fault),
                Filter::Fault(fault) => self.delay_inbound(id, &mut state, place, fault),
                _ if is_second => Pass::On,
                _ => self.pass_one(id, place, state, filter),
            };
            match pass {
                Pass::On => {}
                Pass::Held => return false,
                Pass::Refused(outcome) => {
                    self.refuse_inbound(id, place, outcome);
                    return false;
                }
            }
        }
        true
    }

    /// A filter that is no fault.
    fn pass_one(
        &mut self,
        id: Id<Attempt>,
        place: usize,
        state: Inbound,
        filter: &'p Filter,
    ) -> Pass {
        let attempt = self.attempts[id];
        let class = self.class_of(&attempt).map(|(_, class)| class);
        let session =
            || self.calls.get(attempt.call).map_or(0, |call| call.key.draw(0, purpose::SESSION));
        let refused = match filter {
            Filter::LocalRateLimit(policy) => {
                let passes = self.take_token(attempt.pod, place, true, policy);
                (!passes).then_some(Details::LocalRateLimited)
            }
            Filter::Rbac(policy) => self.refusal(policy, &attempt),
            Filter::Cors(cors) => class
                .is_some_and(|class| cors::answers(cors, class))
                .then_some(Details::CorsResponse),
            Filter::Buffer(buffer) => class
                .is_some_and(|one| buffer::is_too_long(buffer.max_request_bytes, one, session()))
                .then_some(Details::PayloadTooLarge),
            Filter::AdmissionControl(policy) => {
                let Attempt { pod, server_worker, key, .. } = attempt;
                let controller = (Side::Inbound, place, server_worker);
                let draw = key.draw(nth(place), purpose::ADMISSION);
                let is_refused = self.admission_refuses(pod, controller, policy, draw);
                is_refused.then_some(Details::AdmissionDenied)
            }
            Filter::ExtAuthz(policy) => return self.ask_inbound(id, state, policy.service, None),
            Filter::GlobalRateLimit(filter) => {
                let of =
                    class.map(|class| descriptors(filter, class, session())).unwrap_or_default();
                if of.is_empty() {
                    return Pass::On;
                }
                return self.ask_inbound(id, state, filter.service, Some(Limit { filter, of }));
            }
            Filter::Overload(policy) => {
                self.sheds_received(id, place, policy).then_some(Details::Overload)
            }
            Filter::Fault(_) | Filter::ConnectionLimit(_) => None,
        };
        refused.map_or(Pass::On, |details| Pass::Refused(Outcome::failure(details)))
    }

    // === faults ===

    fn delay_inbound(
        &mut self,
        id: Id<Attempt>,
        state: &mut Inbound,
        place: usize,
        fault: &Fault,
    ) -> Pass {
        let Attempt { pod, key, .. } = self.attempts[id];
        if !self.may_fault_inbound(pod, fault) {
            // Both halves.
            state.next += 1;
            return Pass::On;
        }
        let Some(delay) = fault::delay(fault, key.draw(nth(place), purpose::FAULT_DELAY)) else {
            return Pass::On;
        };
        if fault.max_active.is_some() {
            self.filter_state(pod).inbound_delayed.insert(id);
        }
        self.hold(id, *state);
        self.attempts[id].pending += 1;
        self.queue.after(delay, Event::Enter(id.index()).pack());
        Pass::Held
    }

    /// Whether fewer requests than may be are delayed, or were, and are still in the pod.
    fn may_fault_inbound(&mut self, pod: u32, fault: &Fault) -> bool {
        let Some(most) = fault.max_active else { return true };
        let mut delayed = std::mem::take(&mut self.filter_state(pod).inbound_delayed);
        delayed.retain(|id| self.attempts.get(*id).is_some_and(|one| is_in_pod(one.phase)));
        let active = delayed.len();
        self.filter_state(pod).inbound_delayed = delayed;
        active < most as usize
    }

    fn abort_inbound(attempt: &Attempt, place: usize, fault: &Fault) -> Pass {
        let draw = attempt.key.draw(nth(place), purpose::FAULT_ABORT);
        fault::abort(fault, draw).map_or(Pass::On, Pass::Refused)
    }

    // === services that are asked ===

    /// A request is held: its sidecar has it again.
    fn hold(&mut self, id: Id<Attempt>, state: Inbound) {
        self.pods[self.attempts[id].pod as usize].inbound += 1;
        let held = &mut self.filters.inbound;
        held.insert(id, state);
        if held.len().is_multiple_of(HELD_PER_LOOK) {
            held.retain(|id, _| {
                self.attempts.get(*id).is_some_and(|one| one.phase == Phase::Inbound)
            });
        }
    }

    /// Asks a service whether a received request may pass: authorization, or a rate limit.
    fn ask_inbound(
        &mut self,
        id: Id<Attempt>,
        state: Inbound,
        to: ServiceId,
        limit: Option<Limit<'p>>,
    ) -> Pass {
        let Attempt { workload, key, pod, batch, .. } = self.attempts[id];
        let Some((class, _)) = self.class_of(&self.attempts[id]) else { return Pass::On };
        let edge = self.compiled.asked_edge(workload, to);
        let asks = self.calls.next_id();
        let mut timeout = TimerId::NONE;
        if let Some(limit) = limit {
            if !limit.filter.timeout.is_zero() {
                let lane = self.queue.lane(limit.filter.timeout);
                timeout = self.queue.after_lane(lane, Event::Enter(id.index()).pack());
                self.attempts[id].pending += 1;
            }
            self.filters.rate_limits.begin(asks, limit);
        }
        self.hold(id, Inbound { asks, timeout, ..state });
        let key = key.child(u32::MAX - u32::from(state.next));
        self.begin_call(key, Parent::Inbound(id), batch, pod, Target { to, class, edge });
        Pass::Held
    }

    /// Whether an event that comes to a pod that stands still is the timeout of what is asked for the
    /// request: then that is over.
    #[cold]
    pub(super) fn ask_is_late(&mut self, id: Id<Attempt>) -> bool {
        let Some(state) = self.filters.inbound.get_mut(&id) else { return false };
        state.timeout = TimerId::NONE;
        let asks = state.asks;
        if !asks.is_none() {
            self.cancel_call(asks, Outcome::failure(Details::ResponseTimeout));
        }
        !asks.is_none()
    }

    /// A service that was asked for a received request has answered, or could not be asked.
    #[cold]
    pub(super) fn inbound_asked(&mut self, id: Id<Attempt>, asks: Id<Call>, outcome: Outcome) {
        let limit = self.filters.rate_limits.end(asks);
        let is_here = self.attempts.get(id).is_some_and(|one| one.phase == Phase::Inbound);
        let state = self.filters.inbound.get_mut(&id).filter(|state| state.asks == asks);
        let Some(state) = state.filter(|_| is_here) else { return };
        state.asks = Id::NONE;
        let timeout = std::mem::replace(&mut state.timeout, TimerId::NONE);
        let place = usize::from(state.next / HALVES);
        let attempt = &mut self.attempts[id];
        if !timeout.is_none() {
            self.queue.cancel(timeout);
            attempt.pending -= 1;
        }
        let filters = &self.plan.universe.workloads[attempt.workload.index()].inbound;
        let refused = match (&filters[place], limit) {
            (Filter::ExtAuthz(policy), _) => authorization(policy.failure_mode_allow, outcome),
            (_, Some(limit)) => limit.refusal(outcome),
            _ => None,
        };
        if let Some(outcome) = refused {
            self.filters.inbound.remove(&id);
            self.pods[attempt.pod as usize].inbound -= 1;
            return self.refuse_inbound(id, place, outcome);
        }
        attempt.pending += 1;
        self.queue.after(Duration::ZERO, Event::Enter(id.index()).pack());
    }

    // === what is refused ===

    /// The sidecar answers for the filter at a place. To the client it is an answer like any other.
    fn refuse_inbound(&mut self, id: Id<Attempt>, place: usize, outcome: Outcome) {
        let answer = Outcome::answer(outcome.status);
        self.count_received(id, place, answer);
        self.answer(id, answer);
    }

    /// The class of a request as a sidecar receives it, if its client is still there.
    fn class_of(&self, attempt: &Attempt) -> Option<(ClassId, &'p RequestClass)> {
        let call = self.calls.get(attempt.call)?;
        let class = rule(self.plan, call).onward(call.class);
        Some((class, &self.plan.universe.classes[class.index()]))
    }

    /// Why a sidecar's access control does not let a request pass, if it does not.
    fn refusal(&self, policy: &Rbac, attempt: &Attempt) -> Option<Details> {
        let universe = &self.plan.universe;
        let cluster = self.upstreams[attempt.upstream as usize].cluster;
        let ends = Ends { client: attempt.client, cluster, server: attempt.pod };
        let client = self.pods.get(attempt.client as usize).filter(|_| self.is_mutual(ends));
        let source = client.map(|pod| universe.workloads[pod.workload.index()].app.as_str());
        let headers = self.class_of(attempt).map_or(&[][..], |(_, class)| &class.headers);
        (!rbac::may_pass(policy, headers, source)).then_some(denial(policy))
    }
}
