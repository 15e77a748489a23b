//! What Linkerd's proxies count, and what of it a run holds already.
//!
//! Source: `vocabulary::counter`.
//! Left out: what single proxies have counted; names of balancers, of transports, of routes and of the control client.

use super::run::Run;
use crate::vocabulary::counter::Counter;
use crate::vocabulary::outcome::{Details, Outcome};

/// Counted in a mesh of Linkerd's, after the warm-up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkerdCounts {
    /// What clients' proxies answered themselves.
    pub outbound: Errors,
    /// What servers' proxies did.
    pub inbound: Errors,
    /// Retries made.
    pub retries: u64,
    /// Calls that a retry has saved.
    pub retry_successes: u64,
    /// Calls that would have been tried again, were it allowed as often.
    pub retry_limit_exceeded: u64,
    /// Retries that no backend took.
    pub retry_overflow: u64,
    /// Requests that servers' proxies let in.
    pub allowed: u64,
    /// Requests that they did not.
    pub denied: u64,
    /// Certificates that proxies took.
    pub refreshes: u64,
    /// Certificates that they were given and did not take.
    pub failed_refreshes: u64,
}

/// Requests that proxies answered with errors of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Errors {
    /// They waited when fail-fast began.
    pub failfast: u64,
    /// They came during it, to a full queue, or as one too many.
    pub loadshed: u64,
    /// A limit passed.
    pub timeout: u64,
    /// Refused, reset, closed, or no connection in time.
    pub io: u64,
}

impl Errors {
    /// One that ended so, if that is an error of a proxy.
    pub const fn count(&mut self, details: Details) {
        match details {
            Details::LinkerdFailFast => self.failfast += 1,
            Details::LinkerdLoadShed => self.loadshed += 1,
            Details::LinkerdTimeout
            | Details::LinkerdProfileTimeout
            | Details::LinkerdResponseTimeout
            | Details::LinkerdIdleTimeout => self.timeout += 1,
            Details::LinkerdConnectionError | Details::LinkerdConnectTimeout => self.io += 1,
            _ => {}
        }
    }
}

impl LinkerdCounts {
    /// What a counter shows at the end of a run.
    pub fn counted(&self, run: &Run, counter: Counter) -> u64 {
        let of = |wanted: &dyn Fn(Outcome) -> bool| {
            let rows = run.outcomes.iter().filter(|row| wanted(row.outcome));
            rows.map(|row| row.count).sum::<u64>()
        };
        match counter {
            Counter::Requests => run.attempts.total,
            Counter::GoodResponses => {
                of(&|outcome| is_of_endpoint(outcome.details) && is_good(outcome))
            }
            Counter::FailedResponses => {
                of(&|outcome| is_of_endpoint(outcome.details) && !is_good(outcome))
            }
            Counter::FailFast => self.outbound.failfast,
            Counter::LoadShed => self.outbound.loadshed,
            Counter::ResponseTimeout => self.outbound.timeout,
            Counter::Io => self.outbound.io,
            Counter::InboundFailFast => self.inbound.failfast,
            Counter::InboundLoadShed => self.inbound.loadshed,
            Counter::InboundIo => self.inbound.io,
            Counter::RetryRequests => self.retries,
            Counter::RetrySuccesses => self.retry_successes,
            Counter::RetryLimitExceeded => self.retry_limit_exceeded,
            Counter::RetryOverflow => self.retry_overflow,
            Counter::AuthzAllow => self.allowed,
            Counter::AuthzDeny => self.denied,
            Counter::Refreshes => self.refreshes,
            Counter::FailedRefreshes => self.failed_refreshes,
        }
    }
}

/// Whether an endpoint, or its proxy, was asked.
fn is_of_endpoint(details: Details) -> bool {
    !matches!(
        details,
        Details::LinkerdFailFast
            | Details::LinkerdLoadShed
            | Details::LinkerdNoRoute
            | Details::LinkerdInjected
            | Details::LinkerdUnknown
    )
}

/// Whether its class is success: below 500, and over gRPC no status that a proxy or an app refuses with.
fn is_good(outcome: Outcome) -> bool {
    let is_refused = outcome.status == 200
        && matches!(
            outcome.details,
            Details::LinkerdUnauthorized | Details::LinkerdRateLimited | Details::LinkerdNoRoute
        );
    outcome.is_ok() && !is_refused
}
