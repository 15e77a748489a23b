//! gRPC under Linkerd: the status that an outcome has besides that of HTTP.
//!
//! Answers of gRPC are HTTP 200, also those that a proxy makes itself. An app's status stands among the headers of its
//! answers (`response_headers`); an error without one is `UNKNOWN`, as servers answer for handlers that fail, and a full
//! queue `UNAVAILABLE`.
//!
//! Source: linkerd2-proxy linkerd/app/core/src/{classify,errors/respond}.rs; linkerd/proxy/client-policy/src/grpc.rs.
//! Left out: statuses in trailers after data, which come later than the header; `grpc-retry-pushback-ms`; a `Retry-After`
//! that is a date.

use super::World;
use super::linkerd_balancer::Balancer;
use super::state::Call;
use crate::kernel::slab::Id;
use crate::kernel::time::Duration;
use crate::model::linkerd::accrual::Class;
use crate::model::linkerd::answer::{Answer, RateLimited};
use crate::model::linkerd::peak_ewma::is_penalized;
use crate::plan::linkerd::wire::AppProtocol;
use crate::plan::reply::ReplyHeaders;
use crate::plan::universe::{ServiceId, WorkloadId};
use crate::vocabulary::outcome::{Details, Outcome};

const UNKNOWN: u8 = 2;
const UNAVAILABLE: u8 = 14;

impl World<'_> {
    /// What a service is called over.
    pub(super) fn app_protocol(&self, service: ServiceId) -> AppProtocol {
        self.plan.linkerd_rules.protocol(service)
    }

    /// What the apps of a workload speak.
    pub(super) fn app_protocol_at(&self, workload: WorkloadId) -> AppProtocol {
        self.linkerd.as_ref().map_or(AppProtocol::Http1, |own| own.inbound.protocol(workload))
    }

    /// Whether they speak gRPC.
    pub(super) fn serves_grpc(&self, workload: WorkloadId) -> bool {
        self.app_protocol_at(workload) == AppProtocol::Grpc
    }

    /// The gRPC status of an outcome of a call, if it has one.
    fn grpc_status(&self, call: &Call, outcome: Outcome) -> Option<u8> {
        let headers = self.headers(call.workload, outcome);
        let told = headers.and_then(ReplyHeaders::grpc_status);
        if told.is_some() || self.app_protocol(call.service) != AppProtocol::Grpc {
            return told;
        }
        match outcome.details {
            Details::ViaUpstream if outcome.status == 200 => Some(0),
            Details::ViaUpstream
            | Details::AppError
            | Details::AppGrpcError
            | Details::AppCallFailed => Some(UNKNOWN),
            Details::AppOverflow => Some(UNAVAILABLE),
            details => {
                let failfast = self.own().linkerd_outbound.failfast_status;
                let failfast = u16::try_from(failfast).unwrap_or(504);
                answer_of(details).map(|answer| answer.grpc_status(failfast))
            }
        }
    }

    /// HTTP status and gRPC status of an outcome.
    pub(super) fn statuses(&self, id: Id<Call>, outcome: Outcome) -> (u16, Option<u8>) {
        (outcome.status, self.grpc_status(&self.calls[id], outcome))
    }

    /// A bad answer counts as a slow one, if the service is called so: whether it did.
    pub(super) fn penalize(&mut self, id: Id<Call>, outcome: Outcome) -> bool {
        let index = self.calls[id].upstream;
        let balancers = self.linkerd.as_ref().map(|own| &own.balancers);
        if balancers.and_then(|all| all.get(&index)).is_none_or(|one| one.biaser.is_none()) {
            return false;
        }
        let (status, grpc) = self.statuses(id, outcome);
        let (is_penalized, heeds) = is_penalized(status, grpc);
        if !is_penalized {
            return false;
        }
        let headers = self.headers(self.calls[id].workload, outcome);
        let asked = headers.and_then(retry_after).filter(|_| heeds);
        let now = self.now;
        let own = self.outbound();
        let slot = own.way(id).host;
        let Some(Balancer { endpoints, biaser, .. }) = own.balancers.get_mut(&index) else {
            return false;
        };
        if let (Some(endpoint), Some(rules)) = (endpoints.get_mut(&slot), biaser) {
            endpoint.ewma.penalize(now, rules, asked);
        }
        true
    }

    /// What an outcome says of the endpoint.
    pub(super) fn meaning_of(&self, id: Id<Call>, outcome: Outcome) -> Class {
        let (status, grpc) = self.statuses(id, outcome);
        Class::of(status, grpc)
    }
}

/// The wait that a `Retry-After` asks for, in seconds.
fn retry_after(headers: &ReplyHeaders) -> Option<Duration> {
    let seconds = headers.get("retry-after")?.trim().parse::<u32>().ok()?;
    Some(Duration::from_s(seconds.into()))
}

/// The answer of a proxy that an outcome is.
const fn answer_of(details: Details) -> Option<Answer> {
    Some(match details {
        Details::LinkerdFailFast => Answer::FailFast,
        Details::LinkerdLoadShed => Answer::LoadShed,
        Details::LinkerdConnectTimeout => Answer::ConnectTimeout(Duration::ZERO),
        Details::LinkerdConnectionError => Answer::ConnectionError,
        Details::LinkerdTimeout => Answer::RequestTimeout(Duration::ZERO),
        Details::LinkerdProfileTimeout => Answer::ProfileTimeout(Duration::ZERO),
        Details::LinkerdResponseTimeout => Answer::ResponseTimeout(Duration::ZERO),
        Details::LinkerdIdleTimeout => Answer::IdleTimeout(Duration::ZERO),
        Details::LinkerdNoRoute => Answer::NoRoute,
        Details::LinkerdInjected => Answer::Injected(500),
        Details::LinkerdUnauthorized => Answer::Unauthorized,
        Details::LinkerdRateLimited => Answer::RateLimited(RateLimited::Total(0)),
        _ => return None,
    })
}
