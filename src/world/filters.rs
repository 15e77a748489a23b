//! HTTP filters of a proxy: what a request passes before it is routed, and before it is handed to
//! the app.
//!
//! A filter lets a request pass, ends it, or holds it: a delay, or the answer of an authorization
//! service. A held request goes on with the next filter.
//!
//! Source: Envoy's HTTP filter chain; measured on Envoy 1.40 (families e06, e11).
//! Left out: what filters do with answers; filters of received requests that hold them.

use super::World;
use super::client::purpose;
use super::compiled::Target;
use super::event::Event;
use super::routing::rule;
use super::security::Ends;
use super::state::{Attempt, Call, Held, Parent};
use crate::kernel::slab::Id;
use crate::kernel::stream::draw_at;
use crate::kernel::time::Time;
use crate::model::proxy::filter::rate_limit::TokenBucket;
use crate::model::proxy::filter::{fault, rbac};
use crate::plan::filter::{ExtAuthz, Fault, Filter, LocalRateLimit, Rbac};
use crate::plan::universe::Defect;
use crate::vocabulary::flag::{Flags, ResponseFlag};
use crate::vocabulary::outcome::{Details, Outcome};

/// Filters that a proxy has are numbered in halves: the fault filter delays, then aborts.
const HALVES: u8 = 2;
/// What the filters of one pod's proxy remember.
#[derive(Clone, Debug, Default)]
pub(crate) struct FilterState {
    /// By filter; none for filters without a bucket, and before its first use.
    buckets: Vec<Option<TokenBucket>>,
    /// The same for requests that it receives.
    inbound_buckets: Vec<Option<TokenBucket>>,
    /// Requests that a fault filter delays.
    delayed: u32,
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
        (!self.compiled.has.listeners || self.enter_listener(id))
            && (!self.compiled.has.rejections || self.has_routes(id))
            && self.pass_filters(id)
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
            let is_own = matches!(call.parent, Parent::Authorization(..));
            if is_own || filters.len() <= place {
                return true;
            }
            let is_second = call.filter % HALVES == 1;
            self.calls[id].filter += 1;
            let pass = match &filters[place] {
                Filter::Fault(fault) if is_second => self.abort(id, fault),
                Filter::Fault(fault) => self.delay(id, fault),
                _ if is_second => Pass::On,
                Filter::LocalRateLimit(policy) => self.rate_limit(id, place, policy),
                Filter::Rbac(rbac) => self.authorize(id, rbac),
                Filter::ExtAuthz(policy) => self.ask_authorization(id, *policy),
            };
            if matches!(pass, Pass::Held) {
                return false;
            }
        }
    }

    fn filter_state(&mut self, pod: u32) -> &mut FilterState {
        self.filters.entry(pod).or_default()
    }

    fn delay(&mut self, id: Id<Call>, fault: &Fault) -> Pass {
        let (pod, key) = (self.calls[id].pod, self.calls[id].key);
        let active = self.filter_state(pod).delayed;
        let Some(delay) = fault::delay(fault, active, key.draw(0, purpose::FAULT_DELAY)) else {
            return Pass::On;
        };
        self.filter_state(pod).delayed += 1;
        let call = &mut self.calls[id];
        call.flags = call.flags.with(ResponseFlag::DI);
        call.held = Held::Delay;
        call.pending += 1;
        self.queue.after(delay, Event::Routed(id.index()).pack());
        Pass::Held
    }

    /// A call's delay is over, or the call.
    pub(super) fn end_delay(&mut self, id: Id<Call>) {
        let call = &mut self.calls[id];
        if call.held == Held::Delay {
            call.held = Held::Not;
            let pod = call.pod;
            self.filter_state(pod).delayed -= 1;
        }
    }

    fn abort(&mut self, id: Id<Call>, fault: &Fault) -> Pass {
        let Call { pod, key, .. } = self.calls[id];
        let active = self.filter_state(pod).delayed;
        match fault::abort(fault, active, key.draw(0, purpose::FAULT_ABORT)) {
            Some(outcome) => self.end_at_filter(id, outcome),
            None => Pass::On,
        }
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
    fn take_token(
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

    /// Takes a request through the filters of the sidecar that received it: whether it goes on to
    /// the app. If not, the sidecar has answered.
    #[cold]
    pub(super) fn pass_inbound(&mut self, id: Id<Attempt>) -> bool {
        let (plan, attempt) = (self.plan, self.attempts[id]);
        if attempt.open_calls != 0 {
            // It has passed them; its sidecar tries the app again.
            return true;
        }
        let filters = &plan.universe.workloads[attempt.workload.index()].inbound;
        for (place, filter) in filters.iter().enumerate() {
            let refused = match filter {
                Filter::LocalRateLimit(policy) => {
                    let passes = self.take_token(attempt.pod, place, true, policy);
                    (!passes).then_some(Details::LocalRateLimited)
                }
                Filter::Rbac(policy) => self.refusal(policy, &attempt),
                Filter::Fault(_) | Filter::ExtAuthz(_) => None,
            };
            if let Some(details) = refused {
                // To the client it is an answer like any other.
                self.answer(id, Outcome::answer(Outcome::failure(details).status));
                return false;
            }
        }
        true
    }

    /// Why a sidecar's access control does not let a request pass, if it does not.
    fn refusal(&self, policy: &Rbac, attempt: &Attempt) -> Option<Details> {
        let universe = &self.plan.universe;
        let cluster = self.upstreams[attempt.upstream as usize].cluster;
        let ends = Ends { client: attempt.client, cluster, server: attempt.pod };
        let client = self.pods.get(attempt.client as usize).filter(|_| self.is_mutual(ends));
        let source = client.map(|pod| universe.workloads[pod.workload.index()].app.as_str());
        let call = self.calls.get(attempt.call);
        let class = call.map(|call| rule(self.plan, call).onward(call.class));
        let headers = class.map_or(&[][..], |class| &universe.classes[class.index()].headers);
        (!rbac::may_pass(policy, headers, source)).then_some(denial(policy))
    }

    fn authorize(&mut self, id: Id<Call>, policy: &Rbac) -> Pass {
        let class = self.calls[id].class;
        if rbac::may_pass(policy, &self.plan.universe.classes[class.index()].headers, None) {
            return Pass::On;
        }
        self.end_at_filter(id, Outcome::failure(denial(policy)))
    }

    /// The request waits for the answer of an authorization service.
    fn ask_authorization(&mut self, id: Id<Call>, policy: ExtAuthz) -> Pass {
        let Call { pod, key, class, batch, .. } = self.calls[id];
        let workload = self.pods[pod as usize].workload;
        let edge = self.compiled.authz_edge(workload, policy.service);
        self.calls[id].held = Held::Authorization;
        let target = Target { to: policy.service, class, edge };
        let parent = Parent::Authorization(id, policy.failure_mode_allow);
        self.begin_call(key.child(u32::MAX), parent, batch, pod, target);
        Pass::Held
    }

    /// The authorization service has answered, or could not be asked.
    pub(super) fn authorized(&mut self, id: Id<Call>, allows_failure: bool, outcome: Outcome) {
        let Some(call) = self.calls.get_mut(id) else { return };
        if call.is_over || call.held != Held::Authorization {
            return;
        }
        call.held = Held::Not;
        let has_answer = outcome.details.is_of_upstream();
        let passes = if has_answer { outcome.status == 200 } else { allows_failure };
        if passes {
            let Call { pod, service, class, key, .. } = *call;
            return self.route(id, pod, service, class, key);
        }
        let flags = Flags::of(ResponseFlag::UAEX);
        let ended = if has_answer && outcome.status < 500 {
            Outcome { status: outcome.status, flags, details: Details::ExtAuthzDenied }
        } else {
            Outcome { status: 403, flags, details: Details::ExtAuthzError }
        };
        self.end_early(id, ended);
    }
}

const fn denial(policy: &Rbac) -> Details {
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
