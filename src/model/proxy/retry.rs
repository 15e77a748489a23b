//! Retries: whether a failed attempt is tried again, and after how long.
//!
//! Source: Envoy router filter docs (`retry_on`); measured on Envoy 1.40 (families e02, e03):
//! back-off k is uniform on [0, min(base · 2^(k−1), max)); a per-try timeout and a reset are
//! retried by 5xx, gateway-error and reset only; an overflow, no host and the route timeout never.
//! Left out: conditions that requests bear in headers of their own.
//!
//! An answer that bears `x-envoy-ratelimited` is tried again by `envoy-ratelimited` and by nothing else
//! (`RetryStateImpl::wouldRetryFromHeaders`). A rate-limited back-off of Δ is uniform on [Δ, 1.5 Δ), in
//! place of the exponential one, after the answer that asked for it only.

use crate::kernel::stream::below;
use crate::kernel::time::{Duration, Time};
use crate::plan::matching::is_like;
use crate::plan::policy::{ResetFormat, ResetHeader, RetryOn, RetryPolicy};
use crate::plan::reply::ReplyHeaders;
use crate::vocabulary::outcome::{Details, Outcome};

/// Whether an attempt that ended with `outcome` matches the policy's conditions.
#[must_use]
#[inline]
pub fn is_retriable(
    policy: &RetryPolicy,
    outcome: Outcome,
    headers: Option<&ReplyHeaders>,
) -> bool {
    if let Some(headers) = headers {
        return answer_is_retriable(policy, outcome.status, headers);
    }
    if outcome.details == Details::ViaUpstream {
        return status_is_retriable(policy, outcome.status);
    }
    failure_is_retriable(policy, outcome)
}

/// The same of an answer with headers.
#[cold]
fn answer_is_retriable(policy: &RetryPolicy, status: u16, headers: &ReplyHeaders) -> bool {
    if headers.get("x-envoy-ratelimited").is_some() {
        return policy.on.has(RetryOn::ENVOY_RATELIMITED);
    }
    let matchers = policy.headers.as_ref().map_or(&[][..], |one| &one.retriable);
    let is_like_one = || matchers.iter().any(|one| is_like(one, headers.get(&one.name)));
    status_is_retriable(policy, status)
        || (policy.on.has(RetryOn::RETRIABLE_HEADERS) && is_like_one())
        || headers.grpc_status().and_then(grpc_condition).is_some_and(|one| policy.on.has(one))
}

/// The condition that asks for retries of a gRPC status.
const fn grpc_condition(status: u8) -> Option<RetryOn> {
    Some(match status {
        1 => RetryOn::CANCELLED,
        4 => RetryOn::DEADLINE_EXCEEDED,
        8 => RetryOn::RESOURCE_EXHAUSTED,
        13 => RetryOn::INTERNAL,
        14 => RetryOn::UNAVAILABLE,
        _ => return None,
    })
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
        | Details::HandshakeClosed
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
        | Details::AppGrpcError
        | Details::AppCallFailed => return status_is_retriable(policy, outcome.status),
        // Limits, filters, clients that left, and whatever Envoy does not say.
        _ => return false,
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
    full_jitter((policy.backoff_base, policy.backoff_max), number, draw)
}

/// The same by the limits of the first wait and of all.
#[must_use]
pub fn full_jitter((base, max): (Duration, Duration), number: u32, draw: u64) -> Duration {
    let doubled = base.ns().saturating_mul(1 << (number - 1).min(32));
    let limit_ms = doubled.min(max.ns()) / 1_000_000;
    Duration::from_ms(below(draw, usize::try_from(limit_ms.max(1)).unwrap_or(1)) as u64)
}

/// How long an answer asks to wait, if its headers do, in a way that the policy takes. `now` is the
/// clock of the run, which begins at the Unix time 0.
#[must_use]
#[cold]
pub fn reset_interval(policy: &RetryPolicy, headers: &ReplyHeaders, now: Time) -> Option<Duration> {
    let policy = policy.headers.as_ref()?;
    let interval = |header: &ResetHeader| {
        let seconds: u64 = headers.get(&header.name)?.parse().ok()?;
        let seconds = match header.format {
            ResetFormat::Seconds => seconds,
            ResetFormat::UnixTimestamp => seconds.checked_sub(now.ns() / NS_PER_S)?,
        };
        let interval = Duration::from_ns(seconds.checked_mul(NS_PER_S)?);
        (interval <= policy.max_interval).then_some(interval)
    };
    // The first that can be read; what it asks for is of no use if it is nothing.
    policy.resets.iter().find_map(interval).filter(|interval| !interval.is_zero())
}

const NS_PER_S: u64 = 1_000_000_000;

/// The wait that an answer asked for: longer by up to a half of it, in whole milliseconds.
#[must_use]
#[cold]
pub fn rate_limited_backoff(interval: Duration, draw: u64) -> Duration {
    let half_ms = usize::try_from(interval.ns() / 2_000_000).unwrap_or(usize::MAX);
    interval + Duration::from_ms(below(draw, half_ms.max(1)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::matching::{HeaderMatch, ValueMatch};
    use crate::plan::parameter::Parameters;
    use crate::plan::policy::HeaderPolicy;
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
            previous_priorities: 0,
            hedges: false,
            headers: None,
            host_attempts: 5,
        }
    }

    #[test]
    fn istios_default_set_retries_connect_failures_and_nothing_else_of_http() {
        let istio = policy(Parameters::default().retry.on);
        let retried = |details| is_retriable(&istio, Outcome::failure(details), None);
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
        assert!(!is_retriable(&istio, Outcome::answer(503), None));
    }

    #[test]
    fn five_xx_takes_every_failure_but_never_an_overflow_or_the_route_timeout() {
        let all = policy(RetryOn::FIVE_XX);
        assert!(is_retriable(&all, Outcome::answer(500), None));
        assert!(is_retriable(&all, Outcome::failure(Details::PerTryTimeout), None));
        assert!(!is_retriable(&all, Outcome::failure(Details::Overflow), None));
        let late = Outcome::failure(Details::ResponseTimeout).flagged(ResponseFlag::URX);
        assert!(!is_retriable(&all, late, None));
        assert!(!is_retriable(&all, Outcome::answer(404), None));
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

    fn headers(all: &[(&str, &str)]) -> ReplyHeaders {
        ReplyHeaders(all.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    #[test]
    fn grpc_statuses_are_conditions_of_their_own_whatever_the_http_status() {
        let conditions = [
            ("1", RetryOn::CANCELLED),
            ("4", RetryOn::DEADLINE_EXCEEDED),
            ("8", RetryOn::RESOURCE_EXHAUSTED),
            ("13", RetryOn::INTERNAL),
            ("14", RetryOn::UNAVAILABLE),
        ];
        for (status, _) in conditions {
            let answer = headers(&[("grpc-status", status)]);
            for (own, on) in conditions {
                let is_retried = is_retriable(&policy(on), Outcome::answer(200), Some(&answer));
                assert_eq!(is_retried, own == status, "{status} on {on}");
            }
        }
        let all = policy(RetryOn(u16::MAX));
        let fine = headers(&[("grpc-status", "0")]);
        assert!(!is_retriable(&all, Outcome::answer(200), Some(&fine)));
    }

    #[test]
    fn what_is_rate_limited_is_tried_again_by_its_own_condition_only() {
        let limited = headers(&[("x-envoy-ratelimited", "true"), ("grpc-status", "14")]);
        let with = |on| is_retriable(&policy(on), Outcome::answer(503), Some(&limited));
        assert!(!with(RetryOn::FIVE_XX.with(RetryOn::UNAVAILABLE)));
        assert!(with(RetryOn::ENVOY_RATELIMITED));
        assert!(!is_retriable(&policy(RetryOn::ENVOY_RATELIMITED), Outcome::answer(503), None));
    }

    #[test]
    fn retriable_headers_need_the_condition_and_one_that_matches() {
        let header = |name: &str, value| HeaderMatch { name: name.into(), value, invert: false };
        let retriable = vec![
            header("x-retry", ValueMatch::Present),
            header("x-state", ValueMatch::Exact("full".into())),
        ];
        let list = Some(Box::new(HeaderPolicy { retriable, ..HeaderPolicy::default() }));
        let on = RetryPolicy { headers: list, ..policy(RetryOn::RETRIABLE_HEADERS) };
        let of = |policy: &RetryPolicy, all| {
            is_retriable(policy, Outcome::answer(200), Some(&headers(all)))
        };
        assert!(of(&on, &[("x-retry", "")]) && of(&on, &[("x-state", "full")]));
        assert!(!of(&on, &[("x-state", "empty")]) && !of(&on, &[]));
        let off = RetryPolicy { on: RetryOn::FIVE_XX, ..on };
        assert!(!of(&off, &[("x-retry", "")]));
    }

    #[test]
    fn an_answer_says_when_to_come_back_in_seconds_or_by_the_clock() {
        let header = |name: &str, format| ResetHeader { name: name.into(), format };
        let resets = vec![
            header("retry-after", ResetFormat::Seconds),
            header("x-reset", ResetFormat::UnixTimestamp),
        ];
        let list =
            HeaderPolicy { resets, max_interval: Duration::from_ms(300_000), retriable: vec![] };
        let policy = RetryPolicy { headers: Some(Box::new(list)), ..policy(RetryOn::FIVE_XX) };
        let now = Time::from_ns(100 * NS_PER_S + 1);
        let of = |all| reset_interval(&policy, &headers(all), now).map(|one| one.ns() / NS_PER_S);
        assert_eq!(of(&[("retry-after", "2"), ("x-reset", "130")]), Some(2));
        assert_eq!(of(&[("x-reset", "130")]), Some(30));
        // What cannot be read, is past or is too far gives way to the next.
        assert_eq!(of(&[("retry-after", "soon"), ("x-reset", "130")]), Some(30));
        assert_eq!(of(&[("retry-after", "301"), ("x-reset", "130")]), Some(30));
        assert_eq!(of(&[("x-reset", "99")]), None);
        assert_eq!((of(&[("retry-after", "0")]), of(&[])), (None, None));
        let bounds = [0, u64::MAX].map(|draw| rate_limited_backoff(Duration::from_ms(2000), draw));
        assert_eq!(bounds, [Duration::from_ms(2000), Duration::from_ms(2999)]);
    }
}
