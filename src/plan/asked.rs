//! What a request's own headers change of the rule that it follows: timeouts and retries that it asks for,
//! and retries that it cannot have because its body is too long to be kept.
//!
//! Headers are known for each class of requests, so that each class that asks for something has a rule of
//! its own, behind those of its table.
//!
//! Source: Envoy's router filter, "HTTP headers (consumed)"; measured on Envoy 1.40 (families e02, e03, e06):
//! headers of requests from outside are stripped, and a body above the limit is sent neither again nor
//! elsewhere (`retry_or_shadow_abandoned`).
//! Left out: `x-envoy-upstream-rq-timeout-alt-response`, `x-envoy-upstream-stream-duration-ms`.

use super::matching::{HeaderMatch, ValueMatch};
use super::policy::{HeaderPolicy, RetryOn, RetryPolicy};
use super::route::{RouteRule, RouteTable};
use super::universe::RequestClass;
use crate::kernel::time::Duration;
use std::str::FromStr;

const TIMEOUT: &str = "x-envoy-upstream-rq-timeout-ms";
const PER_TRY_TIMEOUT: &str = "x-envoy-upstream-rq-per-try-timeout-ms";
const RETRY_ON: &str = "x-envoy-retry-on";
const RETRY_GRPC_ON: &str = "x-envoy-retry-grpc-on";
const STATUSES: &str = "x-envoy-retriable-status-codes";
const HEADER_NAMES: &str = "x-envoy-retriable-header-names";
const MAX_RETRIES: &str = "x-envoy-max-retries";
const HEDGES: &str = "x-envoy-hedge-on-per-try-timeout";

/// The headers of internal requests that a router obeys, in lower case.
pub const HEADERS: [&str; 8] = [
    TIMEOUT,
    PER_TRY_TIMEOUT,
    RETRY_ON,
    RETRY_GRPC_ON,
    STATUSES,
    HEADER_NAMES,
    MAX_RETRIES,
    HEDGES,
];

/// How long the body of a request is, in bytes.
pub const CONTENT_LENGTH: &str = "content-length";

/// The conditions that `x-envoy-retry-grpc-on` knows, and the other one does not.
const OF_GRPC: [RetryOn; 5] = [
    RetryOn::CANCELLED,
    RetryOn::DEADLINE_EXCEEDED,
    RetryOn::INTERNAL,
    RetryOn::RESOURCE_EXHAUSTED,
    RetryOn::UNAVAILABLE,
];

/// Whether the value of one of [`HEADERS`] says anything to a router.
#[must_use]
pub fn is_understood(name: &str, value: &str) -> bool {
    match name {
        TIMEOUT | PER_TRY_TIMEOUT => value.parse::<u64>().is_ok(),
        RETRY_ON | RETRY_GRPC_ON => conditions(value, name == RETRY_GRPC_ON) != RetryOn::default(),
        STATUSES => !numbers::<u16>(value).is_empty(),
        HEADER_NAMES => !value.trim().is_empty(),
        HEDGES => matches!(value, "true" | "false"),
        _ => value.parse::<u32>().is_ok(),
    }
}

/// The rule of a class whose headers change it; none if they do not. Those of [`HEADERS`] count only if the
/// request is internal.
#[must_use]
pub fn changed(rule: &RouteRule, class: &RequestClass, is_internal: bool) -> Option<RouteRule> {
    let mut own = rule.clone();
    if is_internal {
        obey(&mut own, class);
    }
    if shortest_body(class).is_some_and(|bytes| rule.buffer_limit < bytes) {
        let RetryPolicy { per_try_timeout, per_try_idle_timeout, .. } = own.retry;
        own.retry = RetryPolicy { per_try_timeout, per_try_idle_timeout, ..no_retry() };
        own.mirrors.clear();
    }
    (own != *rule).then_some(own)
}

/// Gives each class of internal requests that changes its rule one of its own, behind those of the table.
pub fn add_rules(table: &mut RouteTable, classes: &[RequestClass]) {
    let own_from = table.rules.len();
    for (class, place) in classes.iter().zip(&mut table.rule_of_class) {
        let Some(rule) = place.map(|place| &table.rules[usize::from(place)]) else { continue };
        let Some(own) = changed(rule, class, true) else { continue };
        let known = table.rules[own_from..].iter().position(|one| *one == own);
        let index = known.map_or(table.rules.len(), |known| own_from + known);
        if index == table.rules.len() {
            table.rules.push(own);
        }
        *place = u16::try_from(index).ok();
    }
}

/// What the headers of an internal request ask for.
fn obey(own: &mut RouteRule, class: &RequestClass) {
    if let Some(timeout) = number(class, TIMEOUT) {
        own.timeout = Duration::from_ms(timeout);
    }
    let retry = &mut own.retry;
    if let Some(timeout) = number(class, PER_TRY_TIMEOUT) {
        retry.per_try_timeout = Duration::from_ms(timeout);
    }
    // Envoy's number of retries without a policy of the route.
    let has_policy = retry.on != RetryOn::default() || retry.retries != 0;
    for (name, is_grpc) in [(RETRY_ON, false), (RETRY_GRPC_ON, true)] {
        let Some(words) = header(class, name) else { continue };
        if !has_policy {
            retry.retries = 1;
        }
        retry.on = retry.on.with(conditions(words, is_grpc));
    }
    if let Some(codes) = header(class, STATUSES) {
        retry.statuses.extend(numbers::<u16>(codes));
    }
    if let Some(names) = header(class, HEADER_NAMES) {
        let none = HeaderPolicy { max_interval: Duration::from_s(300), ..HeaderPolicy::default() };
        let policy = retry.headers.get_or_insert_with(|| Box::new(none));
        let names = names.split(',').map(|name| name.trim().to_lowercase());
        policy.retriable.extend(names.filter(|name| !name.is_empty()).map(|name| HeaderMatch {
            name,
            value: ValueMatch::Present,
            invert: false,
        }));
    }
    if let Some(retries) = number(class, MAX_RETRIES) {
        let retries = u32::try_from(retries).unwrap_or(u32::MAX);
        retry.retries = retries.min(RETRIES_MAX);
    }
    if let Some(hedges) = header(class, HEDGES) {
        retry.hedges = hedges == "true" || (retry.hedges && hedges != "false");
    }
}

fn header<'c>(class: &'c RequestClass, name: &str) -> Option<&'c str> {
    let found = class.headers.iter().find(|(header, _)| header == name);
    found.map(|(_, value)| value.as_str())
}

/// More retries than any request has time for; tries are counted in 16 bits.
pub const RETRIES_MAX: u32 = 60_000;

/// A year in milliseconds: more is no limit to any run.
const MOST: u64 = 31_536_000_000;

fn number(class: &RequestClass, name: &str) -> Option<u64> {
    let asked: u64 = header(class, name)?.parse().ok()?;
    Some(asked.min(MOST))
}

fn numbers<N: FromStr>(list: &str) -> Vec<N> {
    list.split(',').filter_map(|number| number.trim().parse().ok()).collect()
}

fn conditions(words: &str, is_grpc: bool) -> RetryOn {
    let mut on = RetryOn::default();
    for word in words.split(',') {
        let known = RetryOn::ALL.iter().find(|(_, name)| *name == word.trim());
        if let Some((one, _)) = known.filter(|(one, _)| OF_GRPC.contains(one) == is_grpc) {
            on = on.with(*one);
        }
    }
    on
}

/// The shortest and the longest body of a class's requests, in bytes; none if they have none. A range in
/// braces has one number a request.
#[must_use]
pub fn bodies(class: &RequestClass) -> Option<(u64, u64)> {
    let value = header(class, CONTENT_LENGTH)?;
    let range = value.strip_prefix('{').and_then(|value| value.strip_suffix('}'));
    let (first, last) = range.and_then(|range| range.split_once("..")).unwrap_or((value, value));
    Some((first.parse().ok()?, last.parse().ok()?))
}

fn shortest_body(class: &RequestClass) -> Option<u64> {
    bodies(class).map(|(shortest, _)| shortest)
}

/// Nothing is tried again.
#[must_use]
pub fn no_retry() -> RetryPolicy {
    RetryPolicy {
        retries: 0,
        on: RetryOn::default(),
        statuses: Vec::new(),
        per_try_timeout: Duration::ZERO,
        per_try_idle_timeout: Duration::ZERO,
        backoff_base: Duration::from_ms(25),
        backoff_max: Duration::from_ms(250),
        previous_hosts: false,
        host_attempts: 1,
        previous_priorities: 0,
        hedges: false,
        headers: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::linkerd::policy::Annotations;
    use crate::plan::route::BUFFER_LIMIT;
    use std::collections::BTreeMap;

    fn rule(retry: RetryPolicy) -> RouteRule {
        RouteRule {
            matches: Vec::new(),
            split: Vec::new(),
            direct: None,
            cluster_header: None,
            missing_status: None,
            timeout: Duration::from_s(15),
            idle_timeout: Duration::ZERO,
            max_stream_duration: Duration::ZERO,
            buffer_limit: BUFFER_LIMIT,
            linkerd: Annotations::default(),
            retry,
            mirrors: Vec::new(),
            changes: BTreeMap::new(),
        }
    }

    fn class(headers: &[(&str, &str)]) -> RequestClass {
        RequestClass {
            method: "GET".into(),
            path: "/".into(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            defect: None,
        }
    }

    #[test]
    fn an_internal_request_gets_what_it_asks_for() {
        let plain = rule(no_retry());
        let asks = class(&[
            (TIMEOUT, "250"),
            (PER_TRY_TIMEOUT, "100"),
            (RETRY_ON, "5xx, reset,nonsense,unavailable"),
            (STATUSES, "429, 503"),
            (HEADER_NAMES, "X-Again"),
            (HEDGES, "true"),
        ]);
        let own = changed(&plain, &asks, true).expect("another rule");
        assert_eq!(own.timeout, Duration::from_ms(250));
        assert_eq!(own.retry.per_try_timeout, Duration::from_ms(100));
        assert_eq!(own.retry.on, RetryOn::FIVE_XX.with(RetryOn::RESET), "and nothing of gRPC");
        assert_eq!((own.retry.retries, own.retry.hedges), (1, true));
        assert_eq!(own.retry.statuses, [429, 503]);
        assert_eq!(own.retry.headers.expect("a policy").retriable[0].name, "x-again");
        assert_eq!(changed(&plain, &asks, false), None, "requests from outside get nothing");
        let grpc = changed(&plain, &class(&[(RETRY_GRPC_ON, "unavailable,5xx")]), true);
        assert_eq!(grpc.expect("another rule").retry.on, RetryOn::UNAVAILABLE);
    }

    #[test]
    fn a_policy_keeps_its_number_unless_another_is_asked_for() {
        let policy = RetryPolicy { retries: 3, on: RetryOn::RESET, ..no_retry() };
        let of = |headers: &[(&str, &str)]| {
            changed(&rule(policy.clone()), &class(headers), true).map(|own| own.retry.retries)
        };
        assert_eq!(of(&[(RETRY_ON, "5xx")]), Some(3));
        assert_eq!(of(&[(RETRY_ON, "5xx"), (MAX_RETRIES, "0")]), Some(0));
        assert_eq!(of(&[(MAX_RETRIES, "many")]), None);
        assert!(!is_understood(MAX_RETRIES, "many") && is_understood(MAX_RETRIES, "4"));
        assert!(
            !is_understood(RETRY_ON, "unavailable") && is_understood(RETRY_GRPC_ON, "unavailable")
        );
    }

    #[test]
    fn who_is_too_long_to_be_kept_keeps_the_limits_of_a_try_only() {
        let retry = RetryPolicy { retries: 3, per_try_timeout: Duration::from_ms(9), ..no_retry() };
        let limited = RouteRule { buffer_limit: 1000, ..rule(retry) };
        let of = |bytes: &str| changed(&limited, &class(&[(CONTENT_LENGTH, bytes)]), false);
        assert_eq!(of("1000"), None);
        let own = of("1001").expect("another rule").retry;
        assert_eq!((own.retries, own.per_try_timeout), (0, Duration::from_ms(9)));
        assert_eq!(bodies(&class(&[(CONTENT_LENGTH, "{900..1100}")])), Some((900, 1100)));
        assert!(of("{1001..2000}").is_some());
    }

    #[test]
    fn classes_that_ask_for_the_same_share_a_rule() {
        let classes = [
            class(&[(MAX_RETRIES, "4"), ("x-user", "anna")]),
            class(&[]),
            class(&[(MAX_RETRIES, "4")]),
        ];
        let mut table = RouteTable {
            service: crate::plan::universe::ServiceId(0),
            name: "routes".into(),
            rules: vec![rule(no_retry())],
            rule_of_class: vec![Some(0); 3],
        };
        add_rules(&mut table, &classes);
        assert_eq!(table.rule_of_class, [Some(1), Some(0), Some(1)]);
        assert_eq!((table.rules.len(), table.rules[1].retry.retries), (2, 4));
    }
}
