//! Retries by annotation: which outcomes are tried again, how often, and after how long.
//!
//! There is no budget: only the limit. Each retry draws backend and endpoint anew. If no backend is ready
//! when its back-off is over, the outcome before it is passed on.
//!
//! Source: linkerd2-proxy linkerd/http/retry/src/lib.rs:280-345; linkerd/app/outbound/src/http/logical/policy/route/retry.rs:127.
//! Left out: gRPC statuses in trailers after data.

use super::backoff::wait;
use crate::kernel::time::Duration;
use crate::plan::linkerd::policy::RetryPolicy;

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attempted {
    /// An answer, also one that the endpoint's own stack made of a failed connection (502, 504).
    Answer {
        /// HTTP status.
        status: u16,
        /// gRPC status, if it is one of gRPC.
        grpc: Option<u8>,
    },
    /// It waited when fail-fast began: another backend may be there.
    FailFast,
    /// It was shed.
    LoadShed,
    /// It had no header in time.
    HeaderTimeout,
    /// The peer refused the stream (`REFUSED_STREAM`).
    RefusedStream,
    /// The request's time is over, or its client's connection broke.
    Other,
}

/// What becomes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Decision {
    /// It is passed on: it is not to be tried again.
    Pass,
    /// It is passed on: its request is too long, or was not read to its end.
    BodyTooLong,
    /// It is passed on: no more retries.
    LimitExceeded,
    /// It is tried again after this.
    Retry(Duration),
}

/// Whether an outcome is one to try again.
#[must_use]
pub fn is_retriable(policy: &RetryPolicy, attempted: Attempted) -> bool {
    match attempted {
        Attempted::Answer { status, grpc } => {
            grpc.is_some_and(|code| policy.grpc.contains(&code))
                || policy.http.iter().any(|range| range.contains(&status))
        }
        Attempted::FailFast | Attempted::HeaderTimeout | Attempted::RefusedStream => true,
        Attempted::LoadShed | Attempted::Other => false,
    }
}

/// What becomes of an attempt before which there were so many retries. `body_bytes` is none if the
/// request was not read to its end.
pub fn decide(
    policy: &RetryPolicy,
    retries: u32,
    attempted: Attempted,
    body_bytes: Option<u64>,
    draw: impl FnOnce() -> u64,
) -> Decision {
    if !is_retriable(policy, attempted) {
        Decision::Pass
    } else if body_bytes.is_none_or(|bytes| policy.max_body_bytes < bytes) {
        Decision::BodyTooLong
    } else if policy.limit <= retries {
        Decision::LimitExceeded
    } else {
        Decision::Retry(wait(&policy.backoff, retries, draw()))
    }
}

/// The limit on an attempt's header before which there were so many retries: the last attempt has none.
#[must_use]
pub fn header_timeout(policy: &RetryPolicy, retries: u32) -> Option<Duration> {
    policy.timeout.filter(|_| retries < policy.limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::linkerd::Linkerd;
    use crate::plan::linkerd::policy::read_http_statuses;

    fn policy(limit: u32) -> RetryPolicy {
        let rules = Linkerd::default().linkerd_retry;
        let http = read_http_statuses("gateway-error").expect("a word");
        let timeout = Some(Duration::from_ms(300));
        RetryPolicy { limit, timeout, ..RetryPolicy::new(&rules, http, vec![14]) }
    }

    const fn answer(status: u16) -> Attempted {
        Attempted::Answer { status, grpc: None }
    }

    #[test]
    fn what_is_tried_again() {
        let grpc = |code| Attempted::Answer { status: 200, grpc: Some(code) };
        for (attempted, is) in [
            (answer(200), false),
            (answer(500), false),
            (answer(502), true),
            (answer(504), true),
            (grpc(0), false),
            (grpc(14), true),
            (grpc(13), false),
            (Attempted::FailFast, true),
            (Attempted::HeaderTimeout, true),
            (Attempted::RefusedStream, true),
            (Attempted::LoadShed, false),
            (Attempted::Other, false),
        ] {
            assert_eq!(is_retriable(&policy(1), attempted), is, "{attempted:?}");
        }
    }

    #[test]
    fn one_retry_by_default_and_growing_waits_with_more() {
        let decided = |limit, retries| decide(&policy(limit), retries, answer(503), Some(0), || 0);
        assert_eq!(decided(1, 0), Decision::Retry(Duration::from_ms(25)));
        assert_eq!(decided(1, 1), Decision::LimitExceeded);
        let waits = [25, 50, 100, 200, 250].map(|ms| Decision::Retry(Duration::from_ms(ms)));
        assert_eq!([0, 1, 2, 3, 4].map(|retries| decided(5, retries)), waits);
    }

    #[test]
    fn a_long_body_is_sent_once() {
        let decided = |bytes| decide(&policy(1), 0, answer(503), bytes, || 0);
        assert_eq!(decided(Some(65_536)), Decision::Retry(Duration::from_ms(25)));
        assert_eq!(decided(Some(65_537)), Decision::BodyTooLong);
        assert_eq!(decided(None), Decision::BodyTooLong);
    }

    #[test]
    fn the_last_attempt_has_all_the_time() {
        let limits = [0, 1, 2].map(|retries| header_timeout(&policy(2), retries).is_some());
        assert_eq!(limits, [true, true, false]);
    }
}
