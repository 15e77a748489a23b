//! What a service asks of Linkerd's outbound proxies: failure accrual, retries, timeouts, rate limits.
//!
//! Source: linkerd2 policy-controller/k8s/index/src/outbound/index.rs:2020-2250 and index/http.rs:371 for
//! annotations and their bounds; linkerd2-proxy linkerd/proxy/client-policy/src/grpc.rs for gRPC's failure codes.
//! Left out: settings in headers of requests (`--allow-l5d-request-headers`).

use super::{LinkerdAccrual, LinkerdBudget, LinkerdRetry};
use crate::kernel::time::Duration;
use std::ops::RangeInclusive;

/// By what failure accrual counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accrual {
    /// Not at all.
    Off,
    /// Failures in a row.
    Consecutive,
    /// Failures in a row, and the share of good answers in a window.
    Unified,
}

/// An exponential back-off: min · 2^n, at most max, and a jitter on top that does not lead beyond max.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Backoff {
    /// The first wait.
    pub min: Duration,
    /// The longest, above zero and no shorter than the first.
    pub max: Duration,
    /// At most this share of a wait comes on top, 0 to 100.
    pub jitter: f64,
}

impl Backoff {
    /// What is wrong with it, in the words of the proxy's own check.
    pub fn problem(&self) -> Option<&'static str> {
        if self.max < self.min {
            Some("maximum must not be less than minimum")
        } else if self.max.is_zero() {
            Some("maximum must be non-zero")
        } else if !(0.0..=100.0).contains(&self.jitter) {
            Some("jitter must be from 0 to 100")
        } else {
            None
        }
    }
}

/// When an endpoint is shut out.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct FailureAccrual {
    /// Failures in a row; 0 for none.
    pub max_failures: u32,
    /// For how long.
    pub backoff: Backoff,
    /// Too small a share of good answers, if that counts.
    pub success_rate: Option<SuccessRate>,
    /// `unified`: then a rate limit fails a probe.
    pub is_unified: bool,
}

/// Too small a share of good answers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SuccessRate {
    /// A smaller share shuts an endpoint out; above 0, at most 1.
    pub threshold: f64,
    /// Over this time, 10 ms at least.
    pub window: Duration,
    /// With so many answers in it.
    pub min_requests: u32,
}

impl FailureAccrual {
    /// As the parameters say; none if it is off.
    pub fn new(rules: &LinkerdAccrual) -> Option<Self> {
        let backoff =
            Backoff { min: rules.min_penalty, max: rules.max_penalty, jitter: rules.jitter.0 };
        let counts_rate = rules.mode == Accrual::Unified && 0.0 < rules.success_threshold;
        let success_rate = counts_rate.then_some(SuccessRate {
            threshold: rules.success_threshold,
            window: rules.success_window,
            min_requests: rules.success_min_requests,
        });
        let is_unified = rules.mode == Accrual::Unified;
        let accrual = Self { max_failures: rules.max_failures, backoff, success_rate, is_unified };
        (rules.mode != Accrual::Off).then_some(accrual)
    }

    /// What is wrong with it.
    pub fn problem(&self) -> Option<&'static str> {
        const REQUESTS_MAX: u32 = 1_000_000;
        let rate = self.success_rate;
        if rate.is_some_and(|rate| rate.window < Duration::from_ms(10)) {
            Some("the success-rate window must be 10ms at least")
        } else if rate.is_some_and(|rate| REQUESTS_MAX < rate.min_requests) {
            Some("the success rate must need no more than 1000000 requests")
        } else {
            self.backoff.problem()
        }
    }
}

/// Retries by a budget (`ServiceProfile`).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RetryBudget {
    /// Retries allowed for each request, 0 to 1000.
    pub ratio: f64,
    /// Retries allowed in any second besides.
    pub min_per_s: u32,
    /// Requests count for so long, 1 s to 60 s.
    pub ttl: Duration,
}

impl RetryBudget {
    /// As the parameters say.
    pub fn new(rules: &LinkerdBudget) -> Self {
        Self { ratio: rules.ratio.0, min_per_s: rules.min_per_s, ttl: rules.ttl }
    }

    /// What is wrong with it.
    pub fn problem(&self) -> Option<&'static str> {
        let ttl = Duration::from_s(1)..=Duration::from_s(60);
        if !ttl.contains(&self.ttl) {
            Some("the budget's ttl must be from 1s to 60s")
        } else if !(0.0..=1000.0).contains(&self.ratio) {
            Some("the budget's ratio must be from 0 to 1000")
        } else {
            None
        }
    }
}

/// Retries by annotation.
#[derive(Clone, PartialEq, Debug)]
pub struct RetryPolicy {
    /// HTTP statuses that are tried again (`retry.linkerd.io/http`).
    pub http: Vec<RangeInclusive<u16>>,
    /// gRPC statuses that are tried again (`retry.linkerd.io/grpc`).
    pub grpc: Vec<u8>,
    /// Retries of a request, at least 1.
    pub limit: u32,
    /// An attempt is given up when it has no header by then (`retry.linkerd.io/timeout`); the last is not.
    pub timeout: Option<Duration>,
    /// The wait before each.
    pub backoff: Backoff,
    /// Requests with longer bodies are not tried again.
    pub max_body_bytes: u64,
}

impl RetryPolicy {
    /// As the parameters say, for these statuses. A limit of 0 is as if nothing were said: 1.
    pub fn new(rules: &LinkerdRetry, http: Vec<RangeInclusive<u16>>, grpc: Vec<u8>) -> Self {
        Self {
            http,
            grpc,
            limit: rules.limit.max(1),
            timeout: None,
            backoff: Backoff {
                min: rules.backoff_min,
                max: rules.backoff_max,
                jitter: rules.backoff_jitter.0,
            },
            max_body_bytes: rules.max_body.0,
        }
    }
}

/// Reads `retry.linkerd.io/http`: statuses, `a-b`, `5xx`, `gateway-error`.
pub fn read_http_statuses(text: &str) -> Result<Vec<RangeInclusive<u16>>, String> {
    let help = |word: &str| {
        format!("`{word}` is no status: write 503, 500-504, 5xx or gateway-error, with commas")
    };
    let status = |word: &str| match word.parse::<u16>() {
        Ok(status @ 100..=599) => Ok(status),
        _ => Err(help(word)),
    };
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    words
        .map(|word| match word {
            "5xx" => Ok(500..=599),
            "gateway-error" => Ok(502..=504),
            _ => match word.split_once('-') {
                Some((first, last)) => {
                    let range = status(first)?..=status(last)?;
                    if range.is_empty() { Err(help(word)) } else { Ok(range) }
                }
                None => status(word).map(|one| one..=one),
            },
        })
        .collect()
}

/// Reads `retry.linkerd.io/grpc`.
pub fn read_grpc_statuses(text: &str) -> Result<Vec<u8>, String> {
    const CODES: [(&str, u8); 5] = [
        ("cancelled", 1),
        ("deadline-exceeded", 4),
        ("resource-exhausted", 8),
        ("internal", 13),
        ("unavailable", 14),
    ];
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    words
        .map(|word| {
            let found = CODES.iter().find(|(name, _)| *name == word);
            found.map(|(_, code)| *code).ok_or_else(|| {
                let names = CODES.map(|(name, _)| name).join(", ");
                format!("`{word}` is no gRPC status to retry; there are {names}")
            })
        })
        .collect()
}

/// Limits on a stream (`timeout.linkerd.io/…`, `HTTPRoute`'s `timeouts.request`); zero for none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Timeouts {
    /// On the whole of it, retries included.
    pub request: Duration,
    /// From the request's last byte, or the response's header if that comes first, to the response's end.
    pub response: Duration,
    /// Without a byte in either direction.
    pub idle: Duration,
}

impl Timeouts {
    /// Those of a route and of its service: any that the route says replaces all of the service's.
    #[must_use]
    pub fn of_route(route: Self, service: Self) -> Self {
        if route == Self::default() { service } else { route }
    }
}

/// What the annotations of a route say; each replaces what its service says.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Annotations {
    /// Limits on its streams, but that on the whole request.
    pub timeouts: Timeouts,
    /// Retries (`retry.linkerd.io/…`).
    pub retry: Option<RetryPolicy>,
}

/// `HTTPLocalRateLimitPolicy`: requests per second, each with as many at once; 0 for no limit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LocalRateLimit {
    /// Of all clients.
    pub total_rps: u32,
    /// Of each client identity; clients without one share a limit.
    pub identity_rps: u32,
    /// Of all clients of a list together, instead of the limit for each.
    pub overrides: Vec<RateOverride>,
}

/// A limit of its own for some clients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RateOverride {
    /// Requests per second of all of them; 0 is as if it were not there.
    pub rps: u32,
    /// Their identities, by id.
    pub clients: Vec<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::linkerd::Linkerd;
    use crate::plan::linkerd::words::Ratio;

    #[test]
    fn statuses_read_as_the_annotations_write_them() {
        let http = read_http_statuses("418, 500-504,5xx,gateway-error").expect("all read");
        assert_eq!(http, [418..=418, 500..=504, 500..=599, 502..=504]);
        assert_eq!(read_grpc_statuses("cancelled,unavailable"), Ok(vec![1, 14]));
        for text in ["504-500", "99", "600", "6xx", "a-b", "500-"] {
            assert!(read_http_statuses(text).is_err(), "{text}");
        }
        assert!(read_grpc_statuses("unknown").is_err());
    }

    #[test]
    fn accrual_is_off_until_a_service_asks_for_it() {
        let mut rules = Linkerd::default().linkerd_accrual;
        assert_eq!(FailureAccrual::new(&rules), None);
        rules.mode = Accrual::Consecutive;
        let consecutive = FailureAccrual::new(&rules).expect("it is on");
        assert_eq!((consecutive.max_failures, consecutive.success_rate), (7, None));
        rules.mode = Accrual::Unified;
        let unified = FailureAccrual::new(&rules).expect("it is on");
        assert_eq!(unified.success_rate.map(|rate| rate.min_requests), Some(5));
        rules.success_threshold = 0.0;
        assert_eq!(FailureAccrual::new(&rules).and_then(|one| one.success_rate), None);
    }

    #[test]
    fn settings_that_the_controller_refuses_are_problems() {
        let mut rules = Linkerd::default().linkerd_accrual;
        rules.mode = Accrual::Unified;
        let problem = |rules: &LinkerdAccrual| FailureAccrual::new(rules)?.problem();
        assert_eq!(problem(&rules), None);
        rules.success_window = Duration::from_ms(9);
        assert!(problem(&rules).is_some_and(|what| what.contains("10ms")));
        rules.success_window = Duration::from_ms(10);
        rules.success_min_requests = 1_000_001;
        assert!(problem(&rules).is_some());
        rules.success_min_requests = 5;
        rules.min_penalty = Duration::from_s(61);
        assert_eq!(problem(&rules), Some("maximum must not be less than minimum"));
        (rules.min_penalty, rules.max_penalty) = (Duration::ZERO, Duration::ZERO);
        assert_eq!(problem(&rules), Some("maximum must be non-zero"));
        rules.max_penalty = Duration::from_s(1);
        rules.jitter = Ratio(101.0);
        assert!(problem(&rules).is_some_and(|what| what.contains("jitter")));
        let budget = RetryBudget::new(&Linkerd::default().linkerd_budget);
        assert_eq!(budget.problem(), None);
        for ttl in [Duration::from_ms(999), Duration::from_s(61)] {
            assert!(RetryBudget { ttl, ..budget }.problem().is_some());
        }
    }

    #[test]
    fn one_timeout_of_a_route_replaces_all_of_its_service() {
        let service = Timeouts { request: Duration::from_s(1), ..Timeouts::default() };
        let route = Timeouts { idle: Duration::from_s(9), ..Timeouts::default() };
        assert_eq!(Timeouts::of_route(route, service), route);
        assert_eq!(Timeouts::of_route(Timeouts::default(), service), service);
    }

    #[test]
    fn a_limit_of_zero_is_one_retry() {
        let mut rules = Linkerd::default().linkerd_retry;
        rules.limit = 0;
        assert_eq!(RetryPolicy::new(&rules, Vec::new(), Vec::new()).limit, 1);
    }
}
