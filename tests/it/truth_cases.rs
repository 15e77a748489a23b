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
pub(crate) fn case() -> Value {
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

pub(crate) fn play(case: &Value) -> Facts {
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

pub(crate) fn set(case: &mut Value, place: &str, value: Value) {
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

/// How a proxy that ends by SIGTERM logs what it has in flight.
const CLOSED: &str =
    "0/DC/downstream_local_disconnect(purging_socket_that_have_not_progressed_to_connections)";

/// A process that is gone logs nothing that is refused; only SIGTERM leaves it the time to log what was
/// in flight.
#[test]
fn an_entry_that_ends_logs_nothing_more() {
    let ended = |verb: &str| {
        let mut case = case();
        set(&mut case, "/hosts/0/behaviour/delay_ms", json!(50));
        case["steps"] = json!([{"at_s": 0.5, "do": verb, "target": "envoy"}]);
        outcomes(&case)
    };
    assert_eq!(ended("proxy_kill"), "200/-/via_upstream: 45");
    assert_eq!(ended("proxy_sigterm"), format!("{CLOSED}: 5, 200/-/via_upstream: 45"));
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

/// A proxy in front of the case's, which is its only host.
fn behind_another(mut case: Value) -> Value {
    let front = json!({
        "name": "front", "workers": 1,
        "routes": [{"prefix": "/", "cluster": "next", "timeout_ms": 0}],
        "clusters": [{
            "name": "next", "lb_policy": "ROUND_ROBIN", "connect_timeout_ms": 250, "http": "http1",
            "endpoints": [{"host": "envoy"}],
        }],
    });
    let proxies = case["proxies"].as_array_mut().expect("a list");
    proxies.insert(0, front);
    case["entry"] = json!("front");
    case
}

/// Measured in `proxy_sigterm_h1_istio` of family e13: a proxy that ends by SIGTERM logs what is in flight.
#[test]
fn a_proxy_logs_at_sigterm_what_it_has_in_flight_and_at_sigkill_nothing() {
    let hop = |verb: &str| {
        let mut case = behind_another(case());
        set(&mut case, "/hosts/0/behaviour/delay_ms", json!(50));
        case["steps"] = json!([{"at_s": 0.502, "do": verb, "target": "envoy"}]);
        words(&play(&case).hops["envoy"])
    };
    assert_eq!(hop("proxy_sigterm"), format!("{CLOSED}: 5, 200/-/via_upstream: 46"));
    assert_eq!(hop("proxy_kill"), "200/-/via_upstream: 46");
}

/// A body that breaks off does so for everybody behind it.
#[test]
fn a_cut_answer_is_cut_at_each_hop() {
    let mut case = behind_another(case());
    let cut =
        json!({"kind": "headers_then_reset", "delay_ms": 1, "status": 200, "body_delay_ms": 20});
    set(&mut case, "/hosts/0/behaviour", cut);
    let facts = play(&case);
    let wanted = "200/UPE/upstream_reset_after_response_started{protocol_error}: 100";
    assert_eq!(words(&facts.outcomes), wanted);
    assert_eq!(words(&facts.hops["envoy"]), wanted);
    set(&mut case, "/proxies/0/clusters/0/http", json!("http2"));
    let reset = "200/UR/upstream_reset_after_response_started{remote_reset}: 100";
    assert_eq!(outcomes(&case), reset);
}

/// The RBAC filter names the policy by which it denies.
#[test]
fn a_denial_names_its_policy() {
    let mut case = case();
    let filter = json!({"filter": "rbac", "action": "DENY", "policies": [
        {"name": "no guests", "principal": {"header_present": "X-Guest"}},
        {"name": "a", "principal": {"header_present": "x-none"}},
    ]});
    case["proxies"][0]["listener"] = json!({"filters": [filter]});
    assert_eq!(outcomes(&case), "200/-/via_upstream: 100");
    case["load"][0]["headers"] = json!({"x-guest": "1"});
    assert_eq!(outcomes(&case), "403/-/rbac_access_denied_matched_policy[no_guests]: 100");
}

/// An authorization service that answers 5xx has failed; `failure_mode_allow` is for that.
#[test]
fn an_authorization_service_fails_by_5xx() {
    let with = |status: u16, allows: bool| {
        let mut case = case();
        set(&mut case, "/hosts/1/behaviour/status", json!(status));
        set(&mut case, "/hosts/2/behaviour/status", json!(status));
        let filter =
            json!({"filter": "ext_authz", "cluster": "other", "failure_mode_allow": allows});
        case["proxies"][0]["listener"] = json!({"filters": [filter]});
        outcomes(&case)
    };
    assert_eq!(with(503, true), "200/-/via_upstream: 100");
    assert_eq!(with(503, false), "403/UAEX/ext_authz_error: 100");
    assert_eq!(with(401, true), "401/UAEX/ext_authz_denied: 100");
}

/// A fault is active until its stream ends, not until its delay does (Envoy's `FaultFilter::onDestroy`).
#[test]
fn a_fault_is_active_until_its_request_ends() {
    let mut case = case();
    set(&mut case, "/hosts/0/behaviour/delay_ms", json!(5000));
    let filter = json!({
        "filter": "fault", "delay_ms": 10, "delay_percent": 100, "max_active_faults": 3,
    });
    case["proxies"][0]["listener"] = json!({"filters": [filter]});
    assert_eq!(outcomes(&case), "200/-/via_upstream: 97, 200/DI/via_upstream: 3");
}

/// A client with a new connection for each request meets the listener as it is.
#[test]
fn new_connections_find_the_new_listener() {
    let with = |each: bool, step: Value| {
        let mut case = case();
        case["load"][0]["new_connection_each"] = json!(each);
        case["steps"] = json!([step]);
        words(&play(&case).clusters)
    };
    let routes = json!({"routes": [{"prefix": "/", "cluster": "other", "timeout_ms": 0}]});
    let update = json!({"at_s": 0.505, "do": "lds_update", "target": "listener", "args": routes});
    assert_eq!(with(true, update.clone()), "other: 49, svc: 51");
    assert_eq!(with(false, update), "svc: 100");
    let remove = json!({"at_s": 0.505, "do": "lds_remove", "target": "listener"});
    assert_eq!(with(true, remove), "svc: 51");
}

/// A route's hash policy holds for whichever of its weighted clusters is drawn.
#[test]
fn weighted_clusters_hash_too() {
    let mut case = case();
    set(&mut case, "/proxies/0/clusters/1/lb_policy", json!("RING_HASH"));
    let route = json!({
        "prefix": "/", "timeout_ms": 0, "hash_on_header": "x-user",
        "weighted_clusters": [{"cluster": "other", "weight": 1}],
    });
    set(&mut case, "/proxies/0/routes/0", route);
    case["load"][0]["headers"] = json!({"x-user": "eve"});
    assert_eq!(play(&case).hosts.len(), 1);
}

/// Weights of localities that are all zero are none (Envoy's `rebuildLocalityScheduler`).
#[test]
fn localities_without_any_weight_are_balanced_as_one() {
    let mut case = case();
    case["proxies"][0]["clusters"][0]["locality_weights"] = json!({"z0": 0});
    let endpoints = json!([{"host": "a", "locality": "z0"}]);
    set(&mut case, "/proxies/0/clusters/0/endpoints", endpoints);
    assert_eq!(outcomes(&case), "200/-/via_upstream: 100");
}

/// Static routes are refused if they copy requests to a cluster that is not there; weights count as they
/// are configured, not as `runtime` has them.
#[test]
fn routes_are_looked_at_before_a_proxy_starts() {
    let is_accepted = |route: Value| {
        let mut case = case();
        case["proxies"][0]["runtime"] = json!({"w.svc": 0});
        set(&mut case, "/proxies/0/routes/0", route);
        let config: Config = serde_json::from_value(case).expect("a configuration");
        !matches!(lower(&config), Lowering::Rejected)
    };
    let copies = |to: &str| {
        let mirror = json!([{"cluster": to, "percent": 100}]);
        json!({"prefix": "/", "cluster": "svc", "mirror": mirror})
    };
    let weighted = |weight: u32| {
        let clusters = json!([{"cluster": "svc", "weight": weight}]);
        json!({"prefix": "/", "weighted_clusters": clusters, "runtime_key_prefix": "w"})
    };
    assert!(is_accepted(copies("other")) && !is_accepted(copies("ghost")));
    assert!(is_accepted(weighted(1)) && !is_accepted(weighted(0)));
}

/// Envoy copies a request once it is on its way: not one that was reset at once (`onRequestComplete`).
#[test]
fn a_request_that_goes_nowhere_is_not_copied() {
    let hits = |endpoints: Value, breakers: Value| {
        let mut case = case();
        let mirror = json!([{"cluster": "other", "percent": 100}]);
        let route = json!({"prefix": "/", "cluster": "svc", "timeout_ms": 0, "mirror": mirror});
        set(&mut case, "/proxies/0/routes/0", route);
        set(&mut case, "/proxies/0/clusters/0/endpoints", endpoints);
        case["proxies"][0]["clusters"][0]["circuit_breakers"] = breakers;
        let facts = play(&case);
        facts.hits.get("b").unwrap_or(&0.0) + facts.hits.get("c").unwrap_or(&0.0)
    };
    let there = json!([{"host": "a"}]);
    assert!((hits(there.clone(), json!({})) - 100.0).abs() < 0.5);
    assert!(hits(json!([]), json!({})) < 0.5);
    assert!(hits(there, json!({"max_pending_requests": 0})) < 0.5);
}

/// Measured (e04, `retry_storm_burst10…`): of ten errors at once three are tried again. Only their bodies are not read,
/// and cost a connection each: the seven that the retry breaker lets through leave theirs open.
#[test]
fn answers_that_a_full_retry_breaker_lets_through_keep_their_connections() {
    let mut case = case();
    set(&mut case, "/load/0", json!({"at_s": 0, "kind": "burst", "count": 10}));
    let answers = json!({"kind": "respond", "delay_ms": 2, "status": 503, "body_bytes": 4});
    set(&mut case, "/hosts/0/behaviour", answers);
    case["proxies"][0]["routes"][0]["retry_policy"] =
        json!({"retry_on": ["5xx"], "num_retries": 2});
    let (_, lowered) = plan(&case);
    let options = Options { access_log: true, ..Options::default() };
    let run = simulate(&lowered.plan, 1, options, &mut |_| Go::On);
    let log = run.access_log.expect("it was asked for");
    assert_eq!(log.counters.values().map(|one| one.connections).sum::<u64>(), 10);
}
