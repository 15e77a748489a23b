//! Named numbers and counters of small cases, which Envoy's rules and the names' own words decide.

use crate::truth_cases::{case, play, set};
use meshsim::check::truth::facts::{Facts, Metric};
use serde_json::{Value, json};

fn number(facts: &Facts, name: &str) -> f64 {
    match facts.metrics.get(name) {
        Some(Metric::Number(number)) => *number,
        other => panic!("{name}: {other:?}"),
    }
}

fn of_key(facts: &Facts, name: &str, key: &str) -> Option<f64> {
    match facts.metrics.get(name) {
        Some(Metric::ByKey(table)) => table.get(key).copied(),
        other => panic!("{name}: {other:?}"),
    }
}

#[track_caller]
fn counted(facts: &Facts, wanted: &[(&str, u32)]) {
    for (name, wanted) in wanted {
        let count = facts.stats.get(*name).copied().unwrap_or(0.0);
        assert!((count - f64::from(*wanted)).abs() < 0.5, "{name}: {count} instead of {wanted}");
    }
}

fn is(number: f64, wanted: f64) -> bool {
    (number - wanted).abs() < 1e-9
}

fn refuses() -> Value {
    json!({"kind": "refuse"})
}

/// A burst meets two connections: two are at the application, whatever waits; hosts that get nothing have
/// had none.
#[test]
fn what_waits_for_a_connection_is_not_at_the_application() {
    let mut case = case();
    set(&mut case, "/load/0", json!({"at_s": 0, "kind": "burst", "count": 10}));
    set(&mut case, "/hosts/0/behaviour/delay_ms", json!(20));
    case["proxies"][0]["clusters"][0]["circuit_breakers"] = json!({"max_connections": 2});
    let facts = play(&case);
    assert_eq!(of_key(&facts, "max_concurrent_at_endpoint", "a"), Some(2.0));
    // The other cluster is not in use.
    assert_eq!(of_key(&facts, "max_concurrent_at_endpoint", "b"), None);
    set(&mut case, "/proxies/0/routes/0/cluster", json!("other"));
    case["load"][0]["count"] = json!(1);
    let most = play(&case);
    let [b, c] = ["b", "c"].map(|host| of_key(&most, "max_concurrent_at_endpoint", host));
    assert_eq!(b.zip(c).map(|(b, c)| b + c), Some(1.0));
}

/// Who gives up leaves the application at work: ten requests, one every 10 ms, of 100 ms each.
#[test]
fn an_application_works_on_when_its_proxy_gives_up() {
    let mut case = case();
    set(&mut case, "/load/0/count", json!(10));
    set(&mut case, "/hosts/0/behaviour/delay_ms", json!(95));
    set(&mut case, "/proxies/0/routes/0/timeout_ms", json!(15));
    let facts = play(&case);
    assert_eq!(of_key(&facts, "max_concurrent_at_endpoint", "a"), Some(10.0));
    assert!(is(number(&facts, "leaf_completed_answers"), 10.0));
    assert!(is(number(&facts, "leaf_wasted_answers"), 0.0));
    counted(&facts, &[("upstream_rq_timeout", 10), ("upstream_rq_504", 10)]);
    set(&mut case, "/hosts/0/behaviour/kind", json!("hang"));
    assert!(is(number(&play(&case), "leaf_completed_answers"), 0.0));
}

/// Of the copies to a mirror, those are counted that came there, not what the route itself sends.
#[test]
fn copies_are_counted_without_the_requests_themselves() {
    let mut case = case();
    case["proxies"][0]["routes"][0]["mirror"] = json!([{"cluster": "other", "percent": 100}]);
    assert!(is(number(&play(&case), "mirrored"), 100.0));
    case["proxies"][0]["routes"][0]["mirror"] = json!([{"cluster": "svc", "percent": 100}]);
    assert!(is(number(&play(&case), "mirrored"), 100.0));
}

/// With one host each retry goes where the try before went; a host that refuses has seen none.
#[test]
fn retries_are_those_that_an_application_saw() {
    let name = "retry_landed_on_same_host_as_previous_attempt";
    let mut case = case();
    case["proxies"][0]["routes"][0]["retry_policy"] =
        json!({"retry_on": ["5xx"], "num_retries": 2, "back_off_base_ms": 1});
    set(&mut case, "/hosts/0/behaviour/status", json!(503));
    let facts = play(&case);
    assert_eq!(of_key(&facts, name, "retries_seen_by_upstreams"), Some(200.0));
    assert_eq!(of_key(&facts, name, "same"), Some(200.0));
    counted(
        &facts,
        &[
            ("upstream_rq_total", 300),
            ("upstream_rq_503", 100),
            ("retry.upstream_rq_503", 200),
            ("upstream_rq_retry_limit_exceeded", 100),
            ("upstream_rq_retry_success", 0),
            ("cluster.svc.upstream_rq_completed", 100),
            ("cluster.other.upstream_rq_completed", 0),
        ],
    );
    set(&mut case, "/hosts/0/behaviour", refuses());
    let facts = play(&case);
    assert_eq!(of_key(&facts, name, "retries_seen_by_upstreams"), Some(0.0));
    counted(
        &facts,
        &[
            ("upstream_rq_total", 0),
            ("upstream_cx_connect_fail", 300),
            ("upstream_cx_connect_timeout", 0),
            ("upstream_rq_pending_failure_eject", 300),
            ("retry.upstream_rq_503", 0),
            ("upstream_rq_503", 100),
        ],
    );
    assert!(is(number(&facts, "attempts_to_bad_host"), 300.0));
}

/// The route timeout in the middle of a back-off meets no try: Envoy counts neither it nor its 504.
#[test]
fn a_timeout_that_meets_no_try_is_not_counted() {
    let mut case = case();
    case["proxies"][0]["routes"][0]["retry_policy"] = json!({"retry_on": ["5xx"], "num_retries": 1, "back_off_base_ms": 60000, "back_off_max_ms": 60000});
    set(&mut case, "/proxies/0/routes/0/timeout_ms", json!(20));
    set(&mut case, "/hosts/0/behaviour/status", json!(503));
    set(&mut case, "/load/0/count", json!(10));
    let facts = play(&case);
    assert_eq!(facts.outcomes.keys().next().map(|key| &key[..6]), Some("504/UT"));
    counted(
        &facts,
        &[("upstream_rq_timeout", 0), ("upstream_rq_504", 0), ("retry.upstream_rq_503", 10)],
    );
}

/// Nobody healthy: each choice is made in panic, unless the cluster never panics.
#[test]
fn choices_in_panic_are_counted() {
    let mut case = case();
    case["proxies"][0]["clusters"][0]["endpoints"][0]["health"] = json!("UNHEALTHY");
    let facts = play(&case);
    assert!(is(number(&facts, "panic"), 100.0), "{:?}", facts.stats);
    case["proxies"][0]["clusters"][0]["healthy_panic_threshold_percent"] = json!(0);
    let facts = play(&case);
    assert!(is(number(&facts, "panic"), 0.0));
    counted(&facts, &[("upstream_cx_none_healthy", 100), ("upstream_rq_503", 100)]);
}

/// Independent draws have the variance of a binomial distribution in blocks of any size; a cluster that is
/// not there never gets a request by its name, and one that gets all has no variance.
#[test]
fn draws_between_clusters_are_dispersed_like_a_binomial() {
    let mut case = case();
    set(&mut case, "/load/0/count", json!(10_000));
    set(&mut case, "/load/0/rate_rps", json!(1000));
    let weights = |svc: u32| {
        json!([{"prefix": "/", "timeout_ms": 0, "weighted_clusters": [
            {"cluster": "svc", "weight": svc}, {"cluster": "other", "weight": 30}]}])
    };
    set(&mut case, "/proxies/0/routes", weights(70));
    let facts = play(&case);
    let name = "dispersion_vs_binomial";
    let svc = of_key(&facts, name, "svc").expect("a dispersion");
    // 100 blocks: one standard deviation is 0.14.
    assert!((0.58..1.42).contains(&svc), "{svc}");
    assert!(of_key(&facts, name, "other").is_some_and(|other| is(other, svc)));
    set(&mut case, "/proxies/0/routes", weights(0));
    assert_eq!(of_key(&play(&case), name, "svc"), None);
}
