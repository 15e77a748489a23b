//! HTTP filters of a proxy: what a request passes before it is routed.
//!
//! A filter lets a request pass, ends it, or holds it: a delay, or the answer of a service that is asked. A
//! held request goes on with the next filter.
//!
//! Source: Envoy's HTTP filter chain; measured on Envoy 1.40 (families e06, e11).
//! Left out: what filters do with answers; those of received requests stand in `inbound_filters`.

use super::World;
use super::admission::Controllers;
use super::client::purpose;
use super::compiled::Target;
use super::event::Event;
use super::inbound_filters;
use super::overload::Doors;
use super::rate_limits::RateLimits;
use super::shedding::{Place, Shedding};
use super::state::{Attempt, Call, Held, Parent};
use crate::kernel::slab::Id;
use crate::kernel::stream::draw_at;
use crate::kernel::time::Time;
use crate::model::proxy::filter::rate_limit::TokenBucket;
use crate::model::proxy::filter::{buffer, cors, fault, rbac};
use crate::plan::filter::{Buffer, ExtAuthz, Fault, Filter, LocalRateLimit, Rbac};
use crate::plan::universe::{Defect, RequestClass};
use crate::vocabulary::flag::{Flags, ResponseFlag};
use crate::vocabulary::outcome::{Details, Outcome};
use std::collections::{BTreeMap, BTreeSet};

/// Filters that a proxy has are numbered in halves: the fault filter delays, then aborts.
pub(super) const HALVES: u8 = 2;
/// What filters remember, and what they have asked.
#[derive(Debug, Default)]
pub(crate) struct Filters<'p> {
    pub(super) of_pods: BTreeMap<u32, FilterState>,
    pub(super) rate_limits: RateLimits<'p>,
    /// Requests that sidecars hold.
    pub(super) inbound: inbound_filters::Held,
}

/// What the filters of one pod's proxy remember.
#[derive(Clone, Debug, Default)]
pub(crate) struct FilterState {
    /// By filter; none for filters without a bucket, and before its first use.
    buckets: Vec<Option<TokenBucket>>,
    /// The same for requests that it receives.
    inbound_buckets: Vec<Option<TokenBucket>>,
    /// Requests that a fault filter delays or has delayed, where it counts them.
    delayed: BTreeSet<Id<Call>>,
    /// The same for requests that it receives.
    pub(super) inbound_delayed: BTreeSet<Id<Attempt>>,
    pub(super) controllers: Controllers,
    /// By side and place.
    pub(super) shedding: BTreeMap<Place, Shedding>,
    pub(super) doors: Doors,
}

/// Whether a request goes on at once.
enum Pass {
    /// It does.
    On,
    /// It ended, or goes on later.
    Held,
}

impl World<'_> {
    /// Takes a call through the listener and the filters of its pod's proxy; whether it is to be
    /// routed now.
    #[cold]
    #[inline(never)]
    pub(super) fn pass_gates(&mut self, id: Id<Call>) -> bool {
        if self.linkerd.is_some() && self.enter_linkerd(id) {
            return false;
        }
        (!self.compiled.has.listeners || self.enter_listener(id))
            && self.pass_filters(id)
            && (!self.compiled.has.rejections || self.has_routes(id))
    }

    /// A call ends: the listener and the filters that it came through hear of it.
    #[cold]
    #[inline(never)]
    pub(super) fn leave_proxy(&mut self, id: Id<Call>, outcome: Outcome) {
        if self.compiled.has.listeners {
            self.leave_listener(id);
        }
        if self.linkerd.is_some() {
            return self.leave_linkerd(id, outcome.details);
        }
        self.count_sent(id, outcome);
    }

    fn pass_filters(&mut self, id: Id<Call>) -> bool {
        let plan = self.plan;
        if let Some(defect) = plan.universe.classes[self.calls[id].class.index()].defect {
            self.end_early(id, Outcome::failure(refused(defect)));
            return false;
        }
        loop {
            let call = &self.calls[id];
            let Some(pod) = self.pods.get(call.pod as usize) else { return true };
            let filters = &plan.universe.workloads[pod.workload.index()].filters;
            let place = usize::from(call.filter / HALVES);
            // What a filter asks for itself passes none.
            let is_own = matches!(
                call.parent,
                Parent::Authorization(..) | Parent::RateLimit(_) | Parent::Inbound(_)
            );
            if is_own || filters.len() <= place {
                return true;
            }
            let (is_second, pod) = (call.filter % HALVES == 1, call.pod);
            self.calls[id].filter += 1;
            if !self.config.filters.is_empty() && !self.has_filter(pod, place, false) {
                continue;
            }
            let pass = match &filters[place] {
                Filter::Fault(fault) if is_second => self.abort(id, place, fault),
                Filter::Fault(fault) => self.delay(id, place, fault),
                _ if is_second => Pass::On,
                Filter::LocalRateLimit(policy) => self.rate_limit(id, place, policy),
                Filter::Rbac(rbac) => self.authorize(id, rbac),
                Filter::ExtAuthz(policy) => self.ask_authorization(id, place, *policy),
                Filter::GlobalRateLimit(policy) if self.ask_rate_limit(id, place, policy) => {
                    Pass::Held
                }
                Filter::AdmissionControl(policy) if self.refuses_to_send(id, place, policy) => {
                    self.end_at_filter(id, Outcome::failure(Details::AdmissionDenied))
                }
                Filter::Cors(cors) if cors::answers(cors, self.class(id)) => {
                    self.end_at_filter(id, Outcome::failure(Details::CorsResponse))
                }
                Filter::Buffer(buffer) if self.is_too_long(id, *buffer) => {
                    self.end_at_filter(id, Outcome::failure(Details::PayloadTooLarge))
                }
                Filter::Overload(policy) if self.sheds_sent(id, place, policy) => {
                    self.end_at_filter(id, Outcome::failure(Details::Overload))
                }
                Filter::Overload(_)
                | Filter::ConnectionLimit(_)
                | Filter::GlobalRateLimit(_)
                | Filter::AdmissionControl(_)
                | Filter::Cors(_)
                | Filter::Buffer(_) => Pass::On,
            };
            if matches!(pass, Pass::Held) {
                return false;
            }
        }
    }

    fn class(&self, id: Id<Call>) -> &RequestClass {
        &self.plan.universe.classes[self.calls[id].class.index()]
    }

    fn is_too_long(&self, id: Id<Call>, buffer: Buffer) -> bool {
        let draw = self.calls[id].key.draw(0, purpose::SESSION);
        buffer::is_too_long(buffer.max_request_bytes, self.class(id), draw)
    }

    /// A proxy ends, and with it what its filters remember.
    pub(super) fn forget_filters(&mut self, pod: u32) {
        self.open_doors(pod);
        self.filters.of_pods.remove(&pod);
    }

    pub(super) fn filter_state(&mut self, pod: u32) -> &mut FilterState {
        self.filters.of_pods.entry(pod).or_default()
    }

    fn delay(&mut self, id: Id<Call>, place: usize, fault: &Fault) -> Pass {
        let Call { pod, key, .. } = self.calls[id];
        if !self.may_fault(pod, fault) {
            // Both halves.
            self.calls[id].filter += 1;
            return Pass::On;
        }
        let Some(delay) = fault::delay(fault, key.draw(nth(place), purpose::FAULT_DELAY)) else {
            return Pass::On;
        };
        if fault.max_active.is_some() {
            self.filter_state(pod).delayed.insert(id);
        }
        let call = &mut self.calls[id];
        call.flags = call.flags.with(ResponseFlag::DI);
        call.held = Held::Delay;
        call.pending += 1;
        self.queue.after(delay, Event::Routed(id.index()).pack());
        Pass::Held
    }

    /// Whether fewer requests than may be are delayed, or were, and are not answered yet.
    fn may_fault(&mut self, pod: u32, fault: &Fault) -> bool {
        let Some(most) = fault.max_active else { return true };
        let mut delayed = std::mem::take(&mut self.filter_state(pod).delayed);
        delayed.retain(|id| self.calls.get(*id).is_some_and(|call| !call.is_over));
        let active = delayed.len();
        self.filter_state(pod).delayed = delayed;
        active < most as usize
    }

    /// A call's delay is over, or the call.
    pub(super) fn end_delay(&mut self, id: Id<Call>) {
        let call = &mut self.calls[id];
        if call.held == Held::Delay {
            call.held = Held::Not;
        }
    }

    fn abort(&mut self, id: Id<Call>, place: usize, fault: &Fault) -> Pass {
        let draw = self.calls[id].key.draw(nth(place), purpose::FAULT_ABORT);
        fault::abort(fault, draw).map_or(Pass::On, |outcome| self.end_at_filter(id, outcome))
    }

    fn end_at_filter(&mut self, id: Id<Call>, outcome: Outcome) -> Pass {
        self.end_early(id, outcome);
        Pass::Held
    }

    fn rate_limit(&mut self, id: Id<Call>, place: usize, policy: &LocalRateLimit) -> Pass {
        if self.take_token(self.calls[id].pod, place, false, policy) {
            return Pass::On;
        }
        self.end_at_filter(id, Outcome::failure(Details::LocalRateLimited))
    }

    /// Takes a token of the bucket of a pod's filter; false if there is none.
    pub(super) fn take_token(
        &mut self,
        pod: u32,
        place: usize,
        is_inbound: bool,
        policy: &LocalRateLimit,
    ) -> bool {
        // Its proxy began at some instant before the run.
        let name = if is_inbound { "inbound token bucket" } else { "token bucket" };
        let draw = draw_at(self.seed, name, self.pods[pod as usize].hash, place as u64);
        let (now, first) = (self.now, Time::from_ns(draw % policy.fill_interval.ns().max(1)));
        let state = self.filter_state(pod);
        let buckets = if is_inbound { &mut state.inbound_buckets } else { &mut state.buckets };
        if buckets.len() <= place {
            buckets.resize(place + 1, None);
        }
        buckets[place].get_or_insert_with(|| TokenBucket::new(policy, first)).take(policy, now)
    }

    fn authorize(&mut self, id: Id<Call>, policy: &Rbac) -> Pass {
        let class = self.calls[id].class;
        if rbac::may_pass(policy, &self.plan.universe.classes[class.index()].headers, None) {
            return Pass::On;
        }
        self.end_at_filter(id, Outcome::failure(denial(policy)))
    }

    /// The request waits for the answer of an authorization service.
    fn ask_authorization(&mut self, id: Id<Call>, place: usize, policy: ExtAuthz) -> Pass {
        let Call { pod, key, class, batch, .. } = self.calls[id];
        let workload = self.pods[pod as usize].workload;
        let edge = self.compiled.asked_edge(workload, policy.service);
        self.calls[id].held = Held::Authorization;
        let target = Target { to: policy.service, class, edge };
        let parent = Parent::Authorization(id, policy.failure_mode_allow);
        self.begin_call(key.child(asks(place)), parent, batch, pod, target);
        Pass::Held
    }

    /// The authorization service has answered, or could not be asked.
    pub(super) fn authorized(&mut self, id: Id<Call>, allows_failure: bool, outcome: Outcome) {
        let Some(call) = self.calls.get_mut(id) else { return };
        if call.is_over || call.held != Held::Authorization {
            return;
        }
        call.held = Held::Not;
        let Call { pod, service, class, key, .. } = *call;
        match authorization(allows_failure, outcome) {
            Some(ended) => self.end_early(id, ended),
            None => self.route(id, pod, service, class, key),
        }
    }
}

/// The number of a filter's draws, so that two of a kind in one chain draw for themselves.
pub(super) fn nth(place: usize) -> u32 {
    u32::try_from(place).expect("few filters")
}

/// Names the key of what a filter at a place asks: beside sends and tries from 0 on, and copies from the
/// greatest number but one downwards.
pub(super) fn asks(place: usize) -> u32 {
    const ASKS: u32 = 1 << 31;
    if place == 0 { u32::MAX } else { ASKS + nth(place) }
}

/// How a request ends by what an authorization service answered, or failed to; none if it passes.
pub(super) fn authorization(allows_failure: bool, outcome: Outcome) -> Option<Outcome> {
    // An answer of 5xx is none: the service failed (Envoy's `raw_http_client_impl.cc`).
    let has_answer = outcome.details.is_of_upstream() && outcome.status < 500;
    let passes = if has_answer { outcome.status == 200 } else { allows_failure };
    let flags = Flags::of(ResponseFlag::UAEX);
    let ended = if has_answer {
        Outcome { status: outcome.status, flags, details: Details::ExtAuthzDenied }
    } else {
        Outcome { status: 403, flags, details: Details::ExtAuthzError }
    };
    (!passes).then_some(ended)
}

pub(super) const fn denial(policy: &Rbac) -> Details {
    if policy.allows { Details::RbacNoMatch } else { Details::RbacMatched }
}

/// How a proxy's codec and connection manager refuse a request, before any filter.
const fn refused(defect: Defect) -> Details {
    match defect {
        Defect::MissingHost => Details::MissingHost,
        Defect::HeadersTooLarge => Details::HeadersTooLarge,
        Defect::CodecError => Details::CodecError,
    }
}
