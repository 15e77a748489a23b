//! Headers of answers: looked up when they decide something, carried by nobody.
//!
//! An answer has the headers that its app gives at the moment when it is looked at: a change of the app's
//! behaviour while the answer is on its way is taken for one before.
//!
//! Source: `plan::reply`; the header of rate limits: Envoy's local and global rate limit filters.
//! Left out: answers that a proxy without an app passes on lose their headers; that Envoy looks for a gRPC
//! status only if the request is one of gRPC; statuses in trailers, which outlier detection does not see.

use super::World;
use crate::kernel::time::Duration;
use crate::model::proxy::retry;
use crate::plan::behaviour::Reply;
use crate::plan::filter::Filter;
use crate::plan::policy::RetryPolicy;
use crate::plan::reply::{ReplyHeaders, ReplyHeadersId, http_of_grpc};
use crate::plan::universe::WorkloadId;
use crate::vocabulary::outcome::{Details, Outcome};
use std::sync::LazyLock;

/// The header that Envoy's rate limits give their answers.
static RATE_LIMITED: LazyLock<ReplyHeaders> =
    LazyLock::new(|| ReplyHeaders(vec![("x-envoy-ratelimited".to_owned(), "true".to_owned())]));

/// Whether headers have a gRPC status that stands for a failure of the server.
fn is_error(headers: &ReplyHeaders) -> bool {
    headers.grpc_status().is_some_and(|status| 500 <= http_of_grpc(status))
}

impl<'p> World<'p> {
    /// The headers of an answer from a workload, if it is one and has some that matter.
    #[cold]
    #[inline(never)]
    pub(super) fn answer_headers(
        &self,
        workload: Option<WorkloadId>,
        outcome: Outcome,
    ) -> Option<&'p ReplyHeaders> {
        if self.is_of_rate_limit(workload, outcome) {
            return Some(&RATE_LIMITED);
        }
        let state = &self.workloads[workload?.index()];
        let (behaviour, errors) = (&state.behaviour, &state.errors);
        let is_of_app = match outcome.details {
            // Other statuses are a sidecar's, which answers for its app.
            Details::ViaUpstream => outcome.status == 200,
            Details::AppOverflow | Details::AppCallFailed | Details::AppGrpcError => true,
            Details::AppError => !matches!(behaviour.reply, Reply::Closes | Reply::Resets),
            _ => false,
        };
        let table = |id: ReplyHeadersId| &self.plan.replies[id.0 as usize];
        let of_errors = errors.status.headers.filter(|id| match outcome.details {
            Details::AppGrpcError => is_error(table(*id)),
            details => details == Details::AppError,
        });
        let id = of_errors.or(behaviour.headers).filter(|_| is_of_app)?;
        Some(table(id))
    }

    /// An app's answer: 200 with a gRPC status that is an error is none that is good.
    #[cold]
    #[inline(never)]
    pub(super) fn with_grpc_status(&self, workload: WorkloadId, outcome: Outcome) -> Outcome {
        let headers = self.answer_headers(Some(workload), outcome);
        if outcome.status == 200 && headers.is_some_and(is_error) {
            return Outcome { details: Details::AppGrpcError, ..outcome };
        }
        let is_told = headers.is_some_and(|one| one.grpc_status().is_some());
        if 500 <= outcome.status && !is_told && self.serves_grpc(workload) {
            return Outcome { status: 200, details: Details::AppGrpcError, ..outcome };
        }
        outcome
    }

    /// An attempt's outcome as outlier detection counts it: a gRPC status has the HTTP status that stands
    /// for it, whatever the answer's own (Envoy's `Filter::onUpstreamHeaders`).
    #[cold]
    #[inline(never)]
    pub(super) fn with_status_of_grpc(
        &self,
        upstream: u32,
        slot: u32,
        outcome: Outcome,
    ) -> Outcome {
        let pod = self.upstreams[upstream as usize].hosts[slot as usize].pod;
        let workload = self.pods.get(pod as usize).map(|pod| pod.workload);
        let headers = self.answer_headers(workload, outcome);
        let status = headers.and_then(ReplyHeaders::grpc_status).map(http_of_grpc);
        Outcome { status: status.unwrap_or(outcome.status), ..outcome }
    }

    /// Whether an answer is that of a sidecar's rate limit. An app that answers 429 by itself fails.
    fn is_of_rate_limit(&self, workload: Option<WorkloadId>, outcome: Outcome) -> bool {
        let inbound = |id: WorkloadId| &self.plan.universe.workloads[id.index()].inbound;
        outcome == Outcome::answer(429) && workload.is_some_and(|id| limits_rates(inbound(id)))
    }

    /// How long to wait before retry `number` of a call: as its answer asks, or by the policy.
    #[cold]
    #[inline(never)]
    pub(super) fn asked_backoff(
        &self,
        policy: &RetryPolicy,
        headers: &ReplyHeaders,
        (number, draw): (u32, u64),
    ) -> Duration {
        match retry::reset_interval(policy, headers, self.now) {
            Some(interval) => retry::rate_limited_backoff(interval, draw),
            None => retry::backoff(policy, number, draw),
        }
    }
}

/// Whether some of the filters limits rates.
pub(super) fn limits_rates(filters: &[Filter]) -> bool {
    let is_one =
        |one: &Filter| matches!(one, Filter::LocalRateLimit(_) | Filter::GlobalRateLimit(_));
    filters.iter().any(is_one)
}
