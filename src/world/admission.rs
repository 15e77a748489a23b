//! Admission control: requests that a proxy refuses because too many of them fail.
//!
//! Source: Envoy's `source/extensions/filters/http/admission_control`: 503 without a flag,
//! `denied_by_admission_control`; a request whose client left has no answer, and is not counted.
//! Left out: an answer counts when it ends, not with its headers.

use super::World;
use super::client::purpose;
use super::filters::{HALVES, nth};
use super::state::{Attempt, Call};
use crate::kernel::slab::Id;
use crate::model::proxy::filter::admission_control::{Controller, is_success};
use crate::plan::Plan;
use crate::plan::behaviour::Reply;
use crate::plan::filter::{AdmissionControl, Filter};
use crate::plan::reply::ReplyHeaders;
use crate::plan::universe::Workload;
use crate::vocabulary::outcome::{Details, Outcome};
use std::collections::BTreeMap;

/// Which requests of a proxy a filter is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Side {
    Outbound,
    Inbound,
}

/// The filter's side, its place there, and the worker.
pub(super) type Place = (Side, usize, u8);
/// What was seen there.
pub(super) type Controllers = BTreeMap<Place, Controller>;

impl World<'_> {
    /// Whether admission control refuses a request that is to be sent.
    #[cold]
    pub(super) fn refuses_to_send(
        &mut self,
        id: Id<Call>,
        place: usize,
        policy: &AdmissionControl,
    ) -> bool {
        let Call { pod, key, worker, .. } = self.calls[id];
        let draw = key.draw(nth(place), purpose::ADMISSION);
        self.admission_refuses(pod, (Side::Outbound, place, worker), policy, draw)
    }

    /// Whether a request is refused at a place.
    pub(super) fn admission_refuses(
        &mut self,
        pod: u32,
        place: Place,
        policy: &AdmissionControl,
        draw: u64,
    ) -> bool {
        let now = self.now;
        let controllers = &mut self.filter_state(pod).controllers;
        controllers.entry(place).or_default().refuses(policy, now, draw)
    }

    /// A request that was sent ends: the admission controls that let it pass count it.
    #[cold]
    pub(super) fn count_sent(&mut self, id: Id<Call>, outcome: Outcome) {
        let Call { pod, worker, filter, workload, .. } = self.calls[id];
        if filter == 0 || outcome.status == 0 {
            return;
        }
        let is_refused = outcome.details == Details::AdmissionDenied;
        let passed = usize::from(filter.div_ceil(HALVES)) - usize::from(is_refused);
        let grpc = self.headers(workload, outcome).and_then(ReplyHeaders::grpc_status);
        let (plan, workload) = (self.plan, self.pods[pod as usize].workload);
        let workload = &plan.universe.workloads[workload.index()];
        let filters = workload.filters.iter().take(passed);
        self.count_admitted((pod, Side::Outbound, worker), filters, (outcome.status, grpc));
    }

    /// The app of a sidecar has done its work for a request.
    #[cold]
    pub(super) fn count_answered(&mut self, id: Id<Attempt>) {
        let attempt = self.attempts[id];
        let outcome = match self.workloads[attempt.workload.index()].behaviour.reply {
            Reply::Whole | Reply::SlowBody(_) | Reply::HeadersThenReset(_) => {
                self.app_outcome(id, &attempt)
            }
            Reply::Closes | Reply::Resets => Outcome::answer(503),
            Reply::Never => return,
        };
        self.count_received(id, usize::MAX, outcome);
    }

    /// A request that was received is answered: so many filters have let it pass.
    #[cold]
    pub(super) fn count_received(&mut self, id: Id<Attempt>, passed: usize, outcome: Outcome) {
        let Attempt { call, pod, server_worker, workload, .. } = self.attempts[id];
        if call.is_none() || !self.pods[pod as usize].has_sidecar {
            return;
        }
        let grpc = self.headers(Some(workload), outcome).and_then(ReplyHeaders::grpc_status);
        let plan = self.plan;
        let filters = plan.universe.workloads[workload.index()].inbound.iter().take(passed);
        self.count_admitted((pod, Side::Inbound, server_worker), filters, (outcome.status, grpc));
    }

    /// The admission controls among filters count an answer with this status.
    fn count_admitted<'f>(
        &mut self,
        (pod, side, worker): (u32, Side, u8),
        filters: impl Iterator<Item = &'f Filter>,
        (status, grpc): (u16, Option<u8>),
    ) {
        let now = self.now;
        for (place, filter) in filters.enumerate() {
            if let Filter::AdmissionControl(policy) = filter {
                let is_success = is_success(policy, status, grpc);
                let controllers = &mut self.filter_state(pod).controllers;
                let controller = controllers.entry((side, place, worker)).or_default();
                controller.record(policy, now, is_success);
            }
        }
    }
}

/// Whether some proxy has admission control for what it sends.
pub(super) fn has_outbound(plan: &Plan) -> bool {
    has(plan, |workload| &workload.filters)
}

/// Whether some has it for what it receives.
pub(super) fn has_inbound(plan: &Plan) -> bool {
    has(plan, |workload| &workload.inbound)
}

fn has(plan: &Plan, filters: fn(&Workload) -> &Vec<Filter>) -> bool {
    let mut filters = plan.universe.workloads.iter().flat_map(filters);
    filters.any(|filter| matches!(filter, Filter::AdmissionControl(_)))
}
