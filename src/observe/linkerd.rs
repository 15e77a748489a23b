//! What Linkerd's proxies count, and what of it a run holds already.
//!
//! Source: `vocabulary::counter`.
//! Left out: what single proxies have counted; `inbound_http_errors_total`: what servers' proxies answer themselves is
//! counted where the client's proxy hears it; names of balancers, of transports, of routes and of the control client.

use super::run::Run;
use crate::vocabulary::counter::Counter;
use crate::vocabulary::outcome::{Details, Outcome};

/// Counted in a mesh of Linkerd's, after the warm-up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkerdCounts {
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

impl LinkerdCounts {
    /// What a counter shows at the end of a run.
    pub fn counted(&self, run: &Run, counter: Counter) -> u64 {
        let of = |wanted: &dyn Fn(Outcome) -> bool| {
            let rows = run.outcomes.iter().filter(|row| wanted(row.outcome));
            rows.map(|row| row.count).sum::<u64>()
        };
        let is_one = |all: &'static [Details]| of(&|outcome| all.contains(&outcome.details));
        match counter {
            Counter::Requests => run.attempts.total,
            Counter::GoodResponses => {
                of(&|outcome| is_of_endpoint(outcome.details) && is_good(outcome))
            }
            Counter::FailedResponses => {
                of(&|outcome| is_of_endpoint(outcome.details) && !is_good(outcome))
            }
            Counter::FailFast => is_one(&[Details::LinkerdFailFast]),
            Counter::LoadShed => is_one(&[Details::LinkerdLoadShed]),
            Counter::ResponseTimeout => is_one(&[
                Details::LinkerdTimeout,
                Details::LinkerdProfileTimeout,
                Details::LinkerdResponseTimeout,
                Details::LinkerdIdleTimeout,
            ]),
            Counter::Io => {
                is_one(&[Details::LinkerdConnectionError, Details::LinkerdConnectTimeout])
            }
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
