//! Small cases in the format of the measured ones, which nobody has measured: what a real Envoy does
//! with them follows from its rules, which each test names.

use meshsim::check::truth::facts::Facts;
use meshsim::check::truth::lower::{Lowered, Lowering, lower};
use meshsim::check::truth::observe;
use meshsim::check::truth::schema::config::Config;
use meshsim::world::options::{Go, Options};
use meshsim::world::simulate;
use serde_json::{Value, json};

/// A proxy with two clusters of three hosts, which answer after 1 ms; 100 requests, one every 10 ms.
fn case() -> Value {
    let host = |name: &str| json!({"name": name, "behaviour": {"kind": "respond", "delay_ms": 1, "status": 200}});
    let cluster = |name: &str, hosts: &[&str]| {
        let endpoints: Vec<Value> = hosts.iter().map(|host| json!({"host": host})).collect();
        json!({
            "name": name, "lb_policy": "ROUND_ROBIN", "connect_timeout_ms": 250, "http": "http1",
            "endpoints": endpoints,
        })
    };
    json!({
        "defaults": "envoy-1.40", "entry": "envoy",
        "proxies": [{
            "name": "envoy", "workers": 1,
            "routes": [{"prefix": "/", "cluster": "svc", "timeout_ms": 0}],
            "clusters": [cluster("svc", &["a"]), cluster("other", &["b", "c"])],
        }],
        "hosts": [host("a"), host("b"), host("c")],
        "load": [{"at_s": 0, "kind": "open_loop", "count": 100, "rate_rps": 100}],
    })
}

fn plan(case: &Value) -> (Config, Box<Lowered>) {
    let config: Config = serde_json::from_value(case.clone()).expect("a configuration");
    match lower(&config) {
        Lowering::Plan(lowered) => (config, lowered),
        other => panic!("{other:?}"),
    }
}

fn play(case: &Value) -> Facts {
    let (config, lowered) = plan(case);
    let options = Options { access_log: true, ..Options::default() };
    let run = simulate(&lowered.plan, 1, options, &mut |_| Go::On);
    assert!(run.partial.is_none());
    observe::facts(&config, &lowered, &run, &[])
}

/// Counts as `key: count, key: count`.
fn words(counts: &std::collections::BTreeMap<String, f64>) -> String {
    let cells = counts.iter().map(|(key, count)| format!("{key}: {count}"));
    cells.collect::<Vec<_>>().join(", ")
}

fn outcomes(case: &Value) -> String {
    words(&play(case).outcomes)
}

fn set(case: &mut Value, place: &str, value: Value) {
    *case.pointer_mut(place).unwrap_or_else(|| panic!("{place} is not there")) = value;
}

#[test]
fn a_share_of_errors_stands_in_for_whatever_the_status_is() {
    let mut case = case();
    set(&mut case, "/load/0/count", json!(1000));
    let answers = json!({
        "kind": "respond", "delay_ms": 1, "status": 404, "error_p": 0.3, "error_status": 503,
    });
    set(&mut case, "/hosts/0/behaviour", answers);
    let facts = play(&case);
    assert_eq!(facts.outcomes.len(), 2, "{}", words(&facts.outcomes));
    let (errors, others) =
        (facts.outcomes["503/-/via_upstream"], facts.outcomes["404/-/via_upstream"]);
    assert!((errors + others - 1000.0).abs() < 0.5, "{}", words(&facts.outcomes));
    assert!((240.0..360.0).contains(&errors), "{errors} of 1000");
}

/// The listener takes a plain request for a handshake, which fails (`HTTP_REQUEST`): there is no stream,
/// and the connection manager logs streams.
#[test]
fn plaintext_to_an_entry_with_tls_is_no_request() {
    let mut case = case();
    case["proxies"][0]["listener"] = json!({"tls": {"certificate": "leaf"}});
    case["load"][0]["abort_after_ms"] = json!(20);
    assert_eq!(outcomes(&case), "");
}

/// Envoy's connect timeout covers the handshake.
#[test]
fn a_handshake_that_nobody_answers_ends_with_the_connect_timeout() {
    for kind in ["hang", "reset_before_headers", "fin_before_headers", "blackhole"] {
        let mut case = case();
        set(&mut case, "/load/0", json!({"at_s": 0, "kind": "sequential", "count": 5}));
        set(&mut case, "/hosts/0/behaviour", json!({"kind": kind, "delay_ms": 1}));
        case["proxies"][0]["clusters"][0]["tls"] = json!({"version": "1.3"});
        case["proxies"][0]["routes"][0]["retry_policy"] =
            json!({"retry_on": ["connect-failure"], "num_retries": 1});
        let facts = play(&case);
        let wanted = "503/URX,UF/upstream_reset_before_response_started{connection_timeout}: 5";
        assert_eq!(words(&facts.outcomes), wanted, "{kind}");
        assert!((500.0..550.0).contains(&facts.duration.mean), "{kind}: {:?}", facts.duration);
    }
}

/// A process that is gone logs neither what was in flight nor what is refused.
#[test]
fn a_killed_entry_logs_nothing_more() {
    for verb in ["proxy_kill", "proxy_sigterm"] {
        let mut case = case();
        set(&mut case, "/hosts/0/behaviour/delay_ms", json!(50));
        case["steps"] = json!([{"at_s": 0.5, "do": verb, "target": "envoy"}]);
        assert_eq!(outcomes(&case), "200/-/via_upstream: 45");
    }
}

/// EDS says weight, priority, health and locality of an endpoint for each cluster by itself.
#[test]
fn one_host_may_be_another_endpoint_in_each_cluster() {
    let mut case = case();
    set(&mut case, "/load/0/count", json!(400));
    let split = json!([{"cluster": "svc", "weight": 1}, {"cluster": "other", "weight": 1}]);
    let route = json!({"prefix": "/", "weighted_clusters": split, "timeout_ms": 0});
    set(&mut case, "/proxies/0/routes/0", route);
    let (one, two) = ("/proxies/0/clusters/0/endpoints", "/proxies/0/clusters/1/endpoints");
    set(&mut case, one, json!([{"host": "a", "weight": 9}, {"host": "b", "weight": 1}]));
    set(&mut case, two, json!([{"host": "a"}, {"host": "b", "priority": 1}]));
    let share = |case: &Value| {
        let facts = play(case);
        facts.hosts["a"] / (facts.hosts["a"] + facts.hosts["b"])
    };
    // Nine in ten of the one, all of the other.
    assert!((share(&case) - 0.95).abs() < 0.03, "{}", share(&case));
    // From 2 s on nobody of the first priority of `other`: half of all goes to b there.
    let sick = json!([{"host": "a", "health": "UNHEALTHY"}]);
    let step =
        json!({"at_s": 2, "do": "eds_set_health", "target": "other", "args": {"endpoints": sick}});
    case["steps"] = json!([step]);
    assert!((share(&case) - 0.70).abs() < 0.05, "{}", share(&case));
    // The same of the other cluster, by a whole new list: there a has nine in ten, and then one.
    let list = json!([{"host": "a", "weight": 1}, {"host": "b", "weight": 9}]);
    let step = json!({"at_s": 2, "do": "eds_set", "target": "svc", "args": {"endpoints": list}});
    case["steps"] = json!([step]);
    assert!((share(&case) - 0.75).abs() < 0.05, "{}", share(&case));
}

/// The connection ends, and with it what was not answered (UC) or not wholly (UPE).
#[test]
fn a_host_that_stops_leaves_nothing_open() {
    let with = |behaviour: Value| {
        let mut case = case();
        set(&mut case, "/load/0/count", json!(20));
        set(&mut case, "/hosts/0/behaviour", behaviour);
        let args = json!({"close": "rst"});
        case["steps"] = json!([{"at_s": 0.5, "do": "host_stop", "target": "a", "args": args}]);
        outcomes(&case)
    };
    let reset = "503/UC/upstream_reset_before_response_started{connection_termination}: 20";
    assert_eq!(with(json!({"kind": "hang"})), reset);
    assert_eq!(with(json!({"kind": "respond", "delay_ms": 1000, "status": 200})), reset);
    let slow = json!({"kind": "slow_body", "delay_ms": 1, "status": 200, "body_delay_ms": 1000});
    let half = "200/UPE/upstream_reset_after_response_started{protocol_error}: 20";
    assert_eq!(with(slow), half);
}
