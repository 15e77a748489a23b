//! Retries: whether a failed attempt is tried again, and after how long.
//!
//! Source: Envoy router filter docs (`retry_on`); measured on Envoy 1.40 (families e02, e03):
//! back-off k is uniform on [0, min(base · 2^(k−1), max)); a per-try timeout and a reset are
//! retried by 5xx, gateway-error and reset only; an overflow, no host and the route timeout never.
//! Left out: rate-limited back-off, retriable headers, hedging, buffer limits.

use crate::kernel::stream::below;
use crate::kernel::time::Duration;
use crate::plan::policy::{RetryOn, RetryPolicy};
use crate::vocabulary::outcome::{Details, Outcome};

/// Whether an attempt that ended with `outcome` matches the policy's conditions.
#[must_use]
#[inline]
pub fn is_retriable(policy: &RetryPolicy, outcome: Outcome) -> bool {
    if outcome.details == Details::ViaUpstream {
        return status_is_retriable(policy, outcome.status);
    }
    failure_is_retriable(policy, outcome)
}

fn failure_is_retriable(policy: &RetryPolicy, outcome: Outcome) -> bool {
    let any_failure = RetryOn::FIVE_XX.with(RetryOn::GATEWAY_ERROR).with(RetryOn::RESET);
    let conditions = match outcome.details {
        Details::ConnectionRefused
        | Details::ConnectionTimeout
        | Details::ServerCertificateExpired
        | Details::ServerCertificateUntrusted
        | Details::NoSecret
        | Details::WrongVersionNumber
        | Details::ServerIssuerExpired
        | Details::ServerCertificateNotYetValid
        | Details::ServerIssuerNotYetValid
        | Details::ServerNameMismatch
        | Details::ClientCertificateExpired
        | Details::ClientCertificateBad
        | Details::ClientCertificateUntrusted
        | Details::ClientNameMismatch
        | Details::ClientCertificateMissing
        | Details::NoCommonVersion => {
            any_failure.with(RetryOn::CONNECT_FAILURE).with(RetryOn::RESET_BEFORE_REQUEST)
        }
        Details::RemoteRefusedStream => any_failure.with(RetryOn::REFUSED_STREAM),
        Details::ConnectionTermination
        | Details::RemoteReset
        | Details::PerTryTimeout
        | Details::PerTryIdleTimeout
        | Details::MaxStreamDuration => any_failure,
        Details::ViaUpstream
        | Details::AppOverflow
        | Details::AppError
        | Details::AppCallFailed => return status_is_retriable(policy, outcome.status),
        Details::NoHealthyUpstream
        | Details::ClusterNotFound
        | Details::RouteNotFound
        | Details::Overflow
        | Details::ResponseTimeout
        | Details::StreamIdleTimeout
        | Details::ResetAfterResponse
        | Details::DirectResponse
        | Details::FaultAbort
        | Details::LocalRateLimited
        | Details::DropOverload
        | Details::RbacNoMatch
        | Details::RbacMatched
        | Details::ExtAuthzDenied
        | Details::ExtAuthzError
        | Details::MissingHost
        | Details::HeadersTooLarge
        | Details::CodecError
        | Details::DownstreamReset
        | Details::DownstreamDisconnect => return false,
    };
    policy.on.0 & conditions.0 != 0
}

fn status_is_retriable(policy: &RetryPolicy, status: u16) -> bool {
    if status < 400 && policy.statuses.is_empty() {
        return false;
    }
    let on = policy.on;
    (on.has(RetryOn::FIVE_XX) && 500 <= status)
        || (on.has(RetryOn::GATEWAY_ERROR) && (502..=504).contains(&status))
        || (on.has(RetryOn::RETRIABLE_4XX) && status == 409)
        || (on.has(RetryOn::RETRIABLE_STATUS_CODES) && policy.statuses.contains(&status))
}

/// The wait before retry `number` (from 1). Whole milliseconds, as Envoy's timers have.
#[must_use]
pub fn backoff(policy: &RetryPolicy, number: u32, draw: u64) -> Duration {
    let doubled = policy.backoff_base.ns().saturating_mul(1 << (number - 1).min(32));
    let limit_ms = doubled.min(policy.backoff_max.ns()) / 1_000_000;
    Duration::from_ms(below(draw, usize::try_from(limit_ms.max(1)).unwrap_or(1)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::parameter::Parameters;
    use crate::vocabulary::flag::ResponseFlag;

    fn policy(on: RetryOn) -> RetryPolicy {
        RetryPolicy {
            retries: 2,
            on,
            statuses: vec![],
            per_try_timeout: Duration::ZERO,
            per_try_idle_timeout: Duration::ZERO,
            backoff_base: Duration::from_ms(25),
            backoff_max: Duration::from_ms(250),
            previous_hosts: true,
            hedges: false,
            host_attempts: 5,
        }
    }

    #[test]
    fn istios_default_set_retries_connect_failures_and_nothing_else_of_http() {
        let istio = policy(Parameters::default().retry.on);
        let retried = |details| is_retriable(&istio, Outcome::failure(details));
        assert!(retried(Details::ConnectionRefused));
        assert!(retried(Details::ServerCertificateExpired));
        for details in [
            Details::ConnectionTermination,
            Details::PerTryTimeout,
            Details::ResponseTimeout,
            Details::Overflow,
            Details::NoHealthyUpstream,
        ] {
            assert!(!retried(details), "{details:?}");
        }
        assert!(!is_retriable(&istio, Outcome::answer(503)));
    }

    #[test]
    fn five_xx_takes_every_failure_but_never_an_overflow_or_the_route_timeout() {
        let all = policy(RetryOn::FIVE_XX);
        assert!(is_retriable(&all, Outcome::answer(500)));
        assert!(is_retriable(&all, Outcome::failure(Details::PerTryTimeout)));
        assert!(!is_retriable(&all, Outcome::failure(Details::Overflow)));
        let late = Outcome::failure(Details::ResponseTimeout).flagged(ResponseFlag::URX);
        assert!(!is_retriable(&all, late));
        assert!(!is_retriable(&all, Outcome::answer(404)));
    }

    #[test]
    fn backoff_doubles_up_to_its_limit_in_whole_milliseconds() {
        let istio = policy(RetryOn::default());
        let longest = |number| backoff(&istio, number, u64::MAX);
        let ms = Duration::from_ms;
        assert_eq!(
            [1, 2, 3, 4, 5, 40].map(longest),
            [ms(24), ms(49), ms(99), ms(199), ms(249), ms(249)]
        );
        assert_eq!(backoff(&istio, 1, 0), Duration::ZERO);
    }
}
