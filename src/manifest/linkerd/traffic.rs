//! Timeouts, retries, circuit breaking and the balancer's penalties, as annotations give them.
//!
//! Each of the four groups is read as a whole: one value that does not parse drops the group on a
//! Service (with a line in the policy controller's log) and the whole route on a route.
//! Source: linkerd2 `policy-controller/k8s/index/src/outbound/index.rs` (`parse_accrual_config`,
//! `parse_timeouts`, `parse_load_biaser_config`, `parse_duration`), `outbound/index/http.rs`
//! (`parse_http_retry`), `outbound/index/grpc.rs` (`parse_grpc_retry`).
//! Left out: `l5d-retry-*` request headers (off unless the controller allows them).

use crate::manifest::linkerd::annotation::{self, Annotation, Annotations};
use crate::manifest::source::At;

/// Why a group was dropped, and where.
pub type Fault = (At, String);

/// How long things may take, in nanoseconds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Timeouts {
    /// From the request's head to the end of the answer, retries included.
    pub request_ns: Option<u64>,
    /// From the end of the request to the head of the answer.
    pub response_ns: Option<u64>,
    /// Between two frames of a stream.
    pub idle_ns: Option<u64>,
    /// Where the first of them is.
    pub at: At,
}

/// What is retried, and how often.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retry {
    /// Retries after the first try; 1 if not told (0 counts as not told).
    pub limit: u16,
    /// How long each try but the last may take until its answer's head, in nanoseconds.
    pub timeout_ns: Option<u64>,
    /// Answers that are retried: ranges of HTTP status codes.
    pub statuses: Vec<(u16, u16)>,
    /// Answers that are retried: gRPC codes.
    pub grpc_codes: Vec<u8>,
    /// Where the first of them is.
    pub at: At,
}

/// When an endpoint is taken out.
#[derive(Clone, PartialEq, Debug)]
pub struct Accrual {
    /// Failures in a row; 7 if not told, 0 never.
    pub max_failures: u32,
    /// Shortest and longest time out, in nanoseconds; 1 s and 60 s if not told.
    pub penalty_ns: (u64, u64),
    /// Random part of the time out; 0.5 if not told.
    pub jitter_ratio: f64,
    /// The share of good answers below which it is taken out too (mode `unified`).
    pub success_rate: Option<SuccessRate>,
    /// Whether a `Retry-After` of the endpoint lengthens its time out.
    pub honors_retry_after: bool,
    /// Where the mode is.
    pub at: At,
}

/// A success rate over a window.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SuccessRate {
    /// Share from 0 to 1; 0.8 if not told, 0 never.
    pub threshold: f64,
    /// The window in nanoseconds; 10 s if not told.
    pub window_ns: u64,
    /// Answers in the window before it counts; 5 if not told.
    pub min_requests: u32,
}

/// Failures make an endpoint look slow to the balancer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Penalty {
    /// How slow, in nanoseconds; 5 s if not told.
    pub penalty_ns: u64,
    /// The longest `Retry-After` that counts, in nanoseconds; 300 s if not told.
    pub max_retry_after_ns: u64,
    /// Where it is.
    pub at: At,
}

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const CONSECUTIVE: &str = "balancer.linkerd.io/failure-accrual-consecutive";
const SUCCESS_RATE: &str = "balancer.alpha.linkerd.io/failure-accrual-success-rate";

/// Reads `timeout.linkerd.io/*`; none if there is no such annotation.
pub fn timeouts(annotations: &Annotations<'_>) -> Result<Option<Timeouts>, Fault> {
    let keys =
        ["timeout.linkerd.io/response", "timeout.linkerd.io/request", "timeout.linkerd.io/idle"];
    let Some(at) = keys.iter().find_map(|key| annotations.get(key)).map(|found| found.at) else {
        return Ok(None);
    };
    let [response_ns, request_ns, idle_ns] = keys.map(|key| duration(annotations, key));
    Ok(Some(Timeouts { response_ns: response_ns?, request_ns: request_ns?, idle_ns: idle_ns?, at }))
}

impl Timeouts {
    /// The same with zeros taken for no timeout.
    #[must_use]
    pub fn effective(&self) -> Self {
        let some = |timeout: Option<u64>| timeout.filter(|timeout| *timeout != 0);
        let Self { request_ns, response_ns, idle_ns, at } = *self;
        Self {
            request_ns: some(request_ns),
            response_ns: some(response_ns),
            idle_ns: some(idle_ns),
            at,
        }
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.request_ns.is_none() && self.response_ns.is_none() && self.idle_ns.is_none()
    }
}

/// Reads `retry.linkerd.io/*` for HTTP.
pub fn http_retry(annotations: &Annotations<'_>) -> Result<Option<Retry>, Fault> {
    let on = annotations.get("retry.linkerd.io/http");
    let mut statuses = Vec::new();
    for condition in on.iter().flat_map(|on| on.value.split(',')) {
        let status = status_range(condition);
        let Some(status) = status else { return Err(unknown_condition(on, condition)) };
        statuses.push(status);
    }
    retry(annotations, on, statuses, Vec::new())
}

/// Reads `retry.linkerd.io/*` for gRPC.
pub fn grpc_retry(annotations: &Annotations<'_>) -> Result<Option<Retry>, Fault> {
    let on = annotations.get("retry.linkerd.io/grpc");
    let mut codes = Vec::new();
    for condition in on.iter().flat_map(|on| on.value.split(',')) {
        let code = match condition.to_ascii_lowercase().as_str() {
            "cancelled" => 1,
            "deadline-exceeded" => 4,
            "resource-exhausted" => 8,
            "internal" => 13,
            "unavailable" => 14,
            _ => return Err(unknown_condition(on, condition)),
        };
        codes.push(code);
    }
    retry(annotations, on, Vec::new(), codes)
}

fn unknown_condition(on: Option<&Annotation<'_>>, condition: &str) -> Fault {
    let spaced = if condition.trim() == condition { "" } else { " (spaces count)" };
    let at = on.map_or_else(At::default, |on| on.at);
    (at, format!("`{condition}` is no condition for retries{spaced}"))
}

fn retry(
    annotations: &Annotations<'_>,
    on: Option<&Annotation<'_>>,
    statuses: Vec<(u16, u16)>,
    grpc_codes: Vec<u8>,
) -> Result<Option<Retry>, Fault> {
    let limit_at = annotations.get("retry.linkerd.io/limit");
    let limit = number::<u16>(annotations, "retry.linkerd.io/limit")?.filter(|limit| *limit != 0);
    let timeout_ns = duration(annotations, "retry.linkerd.io/timeout")?.filter(|ns| *ns != 0);
    if limit.is_none() && timeout_ns.is_none() && on.is_none() {
        return Ok(None);
    }
    let timeout_at = annotations.get("retry.linkerd.io/timeout");
    let at = on.or(limit_at).or(timeout_at).map_or_else(At::default, |found| found.at);
    Ok(Some(Retry { limit: limit.unwrap_or(1), timeout_ns, statuses, grpc_codes, at }))
}

fn status_range(text: &str) -> Option<(u16, u16)> {
    let code = |text: &str| text.parse::<u16>().ok().filter(|code| (100..600).contains(code));
    if text.eq_ignore_ascii_case("5xx") {
        return Some((500, 599));
    }
    if text.eq_ignore_ascii_case("gateway-error") {
        return Some((502, 504));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((code(first)?, code(last)?)).filter(|(first, last)| first <= last)
}

/// Reads `balancer.linkerd.io/failure-accrual*`.
pub fn accrual(annotations: &Annotations<'_>) -> Result<Option<Accrual>, Fault> {
    let Some(mode) = annotations.get("balancer.linkerd.io/failure-accrual") else {
        return Ok(None);
    };
    let success_rate = match mode.value {
        "consecutive" => None,
        "unified" => Some(success_rate(annotations)?),
        other => return Err((mode.at, format!("there is no failure accrual `{other}`"))),
    };
    let key = |suffix: &str| format!("{CONSECUTIVE}-{suffix}");
    let min = duration(annotations, &key("min-penalty"))?.unwrap_or(SECOND);
    let max = duration(annotations, &key("max-penalty"))?.unwrap_or(60 * SECOND);
    if min > max || max == 0 {
        let found = annotations.get(&key("max-penalty")).or(annotations.get(&key("min-penalty")));
        let what = "max-penalty must be above zero and not below min-penalty".to_owned();
        return Err((found.map_or(mode.at, |found| found.at), what));
    }
    let jitter = key("jitter-ratio");
    let jitter_ratio = number::<f64>(annotations, &jitter)?.unwrap_or(0.5);
    in_range(annotations, &jitter, jitter_ratio, 100.0)?;
    let max_failures = number::<u32>(annotations, &key("max-failures"))?.unwrap_or(7);
    // A toggle of its own: a bad value leaves it off and drops nothing else.
    let honor = annotations.value("balancer.alpha.linkerd.io/failure-accrual-honor-retry-after");
    let honors_retry_after = honor.and_then(annotation::boolean).unwrap_or(false);
    let penalty_ns = (min, max);
    let at = mode.at;
    Ok(Some(Accrual {
        max_failures,
        penalty_ns,
        jitter_ratio,
        success_rate,
        honors_retry_after,
        at,
    }))
}

fn success_rate(annotations: &Annotations<'_>) -> Result<SuccessRate, Fault> {
    let key = |suffix: &str| format!("{SUCCESS_RATE}-{suffix}");
    let threshold = number::<f64>(annotations, &key("threshold"))?.unwrap_or(0.8);
    in_range(annotations, &key("threshold"), threshold, 1.0)?;
    let window_ns = duration(annotations, &key("window"))?.unwrap_or(10 * SECOND);
    let is_on = threshold > 0.0;
    if window_ns == 0 || (is_on && window_ns < 10 * MS) {
        return Err((place(annotations, &key("window")), "must be at least 10ms".to_owned()));
    }
    let min_requests = number::<u32>(annotations, &key("min-requests"))?.unwrap_or(5);
    if is_on && min_requests > 1_000_000 {
        let what = "must be at most 1000000".to_owned();
        return Err((place(annotations, &key("min-requests")), what));
    }
    Ok(SuccessRate { threshold, window_ns, min_requests })
}

/// Reads `balancer.alpha.linkerd.io/penalize-failures` and what goes with it.
pub fn penalty(annotations: &Annotations<'_>) -> Result<Option<Penalty>, Fault> {
    let Some(toggle) = annotations.get("balancer.alpha.linkerd.io/penalize-failures") else {
        return Ok(None);
    };
    match annotation::boolean(toggle.value) {
        Some(true) => {}
        Some(false) => return Ok(None),
        None => return Err((toggle.at, format!("`{}` is neither true nor false", toggle.value))),
    }
    let key = |suffix: &str| format!("balancer.alpha.linkerd.io/load-biaser-{suffix}");
    let penalty_ns = duration(annotations, &key("penalty"))?.unwrap_or(5 * SECOND);
    if penalty_ns / MS > u64::from(u32::MAX) {
        return Err((place(annotations, &key("penalty")), "must be below 49.7 days".to_owned()));
    }
    let max_retry_after_ns = duration(annotations, &key("max-retry-after"))?;
    let max_retry_after_ns = max_retry_after_ns.unwrap_or(300 * SECOND);
    Ok(Some(Penalty { penalty_ns, max_retry_after_ns, at: toggle.at }))
}

fn place(annotations: &Annotations<'_>, key: &str) -> At {
    annotations.get(key).map_or_else(At::default, |found| found.at)
}

fn in_range(annotations: &Annotations<'_>, key: &str, value: f64, most: f64) -> Result<(), Fault> {
    if (0.0..=most).contains(&value) {
        return Ok(());
    }
    Err((place(annotations, key), format!("must be from 0 to {most}, not {value}")))
}

fn number<T: std::str::FromStr>(
    annotations: &Annotations<'_>,
    key: &str,
) -> Result<Option<T>, Fault> {
    let Some(found) = annotations.get(key) else { return Ok(None) };
    let number = found.value.trim().parse::<T>().ok();
    number.map(Some).ok_or_else(|| (found.at, format!("`{}` is no such number", found.value)))
}

fn duration(annotations: &Annotations<'_>, key: &str) -> Result<Option<u64>, Fault> {
    let Some(found) = annotations.get(key) else { return Ok(None) };
    duration_ns(found.value).map(Some).map_err(|what| (found.at, what))
}

/// The policy controller's durations: one whole number with ms, s, m, h or d.
pub fn duration_ns(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let wrong = |why: &str| format!("`{text}` is no duration: {why}");
    if number.is_empty() || unit.contains('.') {
        return Err(wrong("a whole number with ms, s, m, h or d, such as 250ms or 10s"));
    }
    let number: u64 = number.parse().map_err(|_| wrong("too long"))?;
    let unit = match unit {
        "" if number == 0 => 0,
        "ms" => MS,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3_600 * SECOND,
        "d" => 86_400 * SECOND,
        "" => return Err(wrong(&format!("its unit is missing ({number}s or {number}ms?)"))),
        _ => return Err(wrong("only one unit of ms, s, m, h, d")),
    };
    number.checked_mul(unit).ok_or_else(|| wrong("too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'n>(pairs: &[(&'n str, &'n str)]) -> Annotations<'n> {
        let at = At::default();
        let list = pairs.iter().map(|(key, value)| Annotation { key, value, at, key_at: at });
        Annotations { list: list.collect() }
    }

    #[test]
    fn durations_are_one_whole_number_with_a_unit() {
        let cases = [
            ("250ms", Some(250 * MS)),
            ("10s", Some(10 * SECOND)),
            ("1d", Some(86_400 * SECOND)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("1m30s", None),
            ("0.5s", None),
            ("10", None),
            ("-5s", None),
            ("", None),
            ("5us", None),
            ("999999999999999d", None),
        ];
        for (text, expected) in cases {
            assert_eq!(duration_ns(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn retries_have_conditions_of_their_protocol() {
        let retry = http_retry(&of(&[("retry.linkerd.io/http", "5xx,429,500-502,gateway-error")]));
        let retry = retry.unwrap().unwrap();
        assert_eq!(retry.statuses, [(500, 599), (429, 429), (500, 502), (502, 504)]);
        assert_eq!((retry.limit, retry.timeout_ns), (1, None));
        let zero = of(&[("retry.linkerd.io/limit", "0"), ("retry.linkerd.io/http", "5xx")]);
        assert_eq!(http_retry(&zero).unwrap().unwrap().limit, 1, "zero counts as not told");
        assert_eq!(http_retry(&of(&[("retry.linkerd.io/limit", "0")])), Ok(None));
        let grpc = of(&[("retry.linkerd.io/grpc", "internal,Unavailable")]);
        assert_eq!(grpc_retry(&grpc).unwrap().unwrap().grpc_codes, [13, 14]);
        for bad in ["5xx, 429", "600", "504-502", "4xx", "reset"] {
            assert!(http_retry(&of(&[("retry.linkerd.io/http", bad)])).is_err(), "{bad}");
        }
    }

    #[test]
    fn circuit_breaking_has_limits() {
        let on = ("balancer.linkerd.io/failure-accrual", "consecutive");
        let plain = accrual(&of(&[on])).unwrap().unwrap();
        assert_eq!((plain.max_failures, plain.penalty_ns), (7, (SECOND, 60 * SECOND)));
        assert_eq!(plain.success_rate, None);
        let unified = accrual(&of(&[(on.0, "unified")])).unwrap().unwrap();
        let rate = unified.success_rate.unwrap();
        assert_eq!((rate.window_ns, rate.min_requests), (10 * SECOND, 5));
        let bad = [
            (on.0, "always"),
            ("balancer.linkerd.io/failure-accrual-consecutive-max-failures", "many"),
            ("balancer.linkerd.io/failure-accrual-consecutive-min-penalty", "2m"),
            ("balancer.linkerd.io/failure-accrual-consecutive-jitter-ratio", "101"),
        ];
        for pair in bad {
            assert!(accrual(&of(&[pair, on])).is_err(), "{pair:?}");
        }
        let unified = (on.0, "unified");
        let bad = [
            ("balancer.alpha.linkerd.io/failure-accrual-success-rate-threshold", "1.1"),
            ("balancer.alpha.linkerd.io/failure-accrual-success-rate-window", "9ms"),
            ("balancer.alpha.linkerd.io/failure-accrual-success-rate-min-requests", "1000001"),
        ];
        for pair in bad {
            assert!(accrual(&of(&[unified, pair])).is_err(), "{pair:?}");
            assert!(accrual(&of(&[on, pair])).is_ok(), "not read without the mode: {pair:?}");
        }
    }

    #[test]
    fn penalties_are_off_unless_asked_for() {
        let toggle = "balancer.alpha.linkerd.io/penalize-failures";
        assert_eq!(penalty(&of(&[])), Ok(None));
        assert_eq!(penalty(&of(&[(toggle, "f")])), Ok(None));
        let on = penalty(&of(&[(toggle, " True ")])).unwrap().unwrap();
        assert_eq!((on.penalty_ns, on.max_retry_after_ns), (5 * SECOND, 300 * SECOND));
        assert!(penalty(&of(&[(toggle, "yes")])).is_err());
    }

    #[test]
    fn timeouts_are_a_group() {
        assert_eq!(timeouts(&of(&[])), Ok(None));
        let good = of(&[("timeout.linkerd.io/request", "2s"), ("timeout.linkerd.io/idle", "0s")]);
        let good = timeouts(&good).unwrap().unwrap();
        assert_eq!((good.request_ns, good.idle_ns), (Some(2 * SECOND), Some(0)));
        assert_eq!(good.effective().idle_ns, None);
        let bad = of(&[("timeout.linkerd.io/request", "2s"), ("timeout.linkerd.io/idle", "x")]);
        assert!(timeouts(&bad).is_err());
    }
}
