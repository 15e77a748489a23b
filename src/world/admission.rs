//! Admission control: requests that a proxy refuses because too many of them fail.
//!
//! Source: Envoy's `source/extensions/filters/http/admission_control`: 503 without a flag,
//! `denied_by_admission_control`; a request whose client left has no answer, and is not counted.
//! Left out: an answer counts when it ends, not with its headers.

use super::World;
use super::client::purpose;
use super::state::Call;
use crate::kernel::slab::Id;
use crate::model::proxy::filter::admission_control::{Controller, is_success};
use crate::plan::Plan;
use crate::plan::filter::{AdmissionControl, Filter};
use crate::vocabulary::outcome::{Details, Outcome};
use std::collections::BTreeMap;

/// By place of the filter and worker: what was seen there.
pub(super) type Controllers = BTreeMap<(usize, u8), Controller>;

impl World<'_> {
    /// Whether admission control refuses a request.
    #[cold]
    pub(super) fn admission_refuses(
        &mut self,
        id: Id<Call>,
        place: usize,
        policy: &AdmissionControl,
    ) -> bool {
        let Call { pod, key, worker, .. } = self.calls[id];
        let now = self.now;
        let controller = self.filter_state(pod).controllers.entry((place, worker)).or_default();
        controller.refuses(policy, now, key.draw(0, purpose::ADMISSION))
    }

    /// A request ends: the admission controls that let it pass count it.
    #[cold]
    pub(super) fn count_admitted(&mut self, id: Id<Call>, outcome: Outcome) {
        let Call { pod, worker, filter, workload, .. } = self.calls[id];
        let (plan, now) = (self.plan, self.now);
        if filter == 0 || outcome.status == 0 {
            return;
        }
        let is_refused = outcome.details == Details::AdmissionDenied;
        let passed = usize::from(filter.div_ceil(2)) - usize::from(is_refused);
        let headers = self.headers(workload, outcome);
        let grpc = headers.and_then(crate::plan::reply::ReplyHeaders::grpc_status);
        let filters = &plan.universe.workloads[self.pods[pod as usize].workload.index()].filters;
        for (place, filter) in filters.iter().enumerate().take(passed) {
            if let Filter::AdmissionControl(policy) = filter {
                let is_success = is_success(policy, outcome.status, grpc);
                let controllers = &mut self.filter_state(pod).controllers;
                controllers.entry((place, worker)).or_default().record(policy, now, is_success);
            }
        }
    }
}

/// Whether some proxy has admission control for what it sends.
pub(super) fn has_some(plan: &Plan) -> bool {
    let mut filters = plan.universe.workloads.iter().flat_map(|one| &one.filters);
    filters.any(|filter| matches!(filter, Filter::AdmissionControl(_)))
}
