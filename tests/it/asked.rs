//! What requests ask of proxies by their own headers, and limits of routes on streams and bodies, in a
//! whole world.
//!
//! Source: `plan/asked.rs`; measured on Envoy 1.40 (families e02, e03, e06; `max_duration_timeout`).

use crate::support::{count, ledger, plan_with, run_with};
use meshsim::observe::run::Run;

/// Ten requests a second for ten seconds, through a front to a leaf that takes 100 ms.
const MESH: &str = r#"
[scenario]
duration = "40s"
interval = "1s"
[mesh]
profile = "istio-sidecar@1.28"
[[service]]
name = "front"
[[service.workload]]
workers = 100
time = "10ms"
calls = [{ to = "leaf" }]
[[service]]
name = "leaf"
[[service.workload]]
workers = 100
time = "100ms"
[[traffic]]
id = "users"
from = "ingress"
to = "front"
arrivals = { constant = { steps = [["0s", "10rps"], ["10s", "0rps"]] } }
"#;

const FAILS: &str = r#"service.leaf.errors={ share = "100%", status = 503 }"#;

/// Requests that the apps of a workload have worked on.
fn visits(run: &Run, workload: &str) -> u64 {
    let row = run.stations.iter().find(|row| row.workload == workload).expect("a station");
    row.sojourn.count()
}

fn call(headers: &str) -> String {
    format!(r#"service.front.calls=[{{ to = "leaf", headers = {{ {headers} }} }}]"#)
}

#[test]
fn a_timeout_that_is_asked_for_holds_where_the_request_is_believed() {
    let asks = call(r#"x-envoy-upstream-rq-timeout-ms = "50""#);
    let users = r#"traffic.users.headers={ X-Envoy-Upstream-Rq-Timeout-Ms = "30" }"#;
    let nobody = run_with(MESH, &[&asks, users]);
    assert_eq!(ledger(&nobody, "users", "front"), "200 -: 99");
    assert_eq!(ledger(&nobody, "front", "leaf"), "200 -: 99");
    // What is stripped is not there: it is the same plan.
    assert_eq!(plan_with(MESH, &[&asks, users]).digest(), plan_with(MESH, &[]).digest());
    let pods = run_with(MESH, &[&asks, users, "mesh.internal_requests=pods"]);
    assert_eq!(ledger(&pods, "front", "leaf"), "504 UT: 99");
    assert_eq!(ledger(&pods, "users", "front"), "500 -: 99", "a call that it needed failed");
    let all = run_with(MESH, &[&asks, users, "mesh.internal_requests=all"]);
    assert_eq!(ledger(&all, "users", "front"), "504 UT: 99");
    assert_eq!(ledger(&all, "front", "leaf"), "504 UT: 99");
    // It stands over the route's own, shorter or longer.
    let longer = call(r#"x-envoy-upstream-rq-timeout-ms = "150""#);
    let sets = ["service.leaf.timeout=50ms", "mesh.internal_requests=pods", &longer];
    assert_eq!(ledger(&run_with(MESH, &sets), "front", "leaf"), "200 -: 99");
    assert_eq!(ledger(&run_with(MESH, &sets[..2]), "front", "leaf"), "504 UT: 99");
}

#[test]
fn retries_that_are_asked_for_are_made() {
    let pods = "mesh.internal_requests=pods";
    let none = "service.leaf.retries.attempts=0";
    // Without a policy of the route Envoy tries once more.
    let once = run_with(MESH, &[FAILS, none, pods, &call(r#"x-envoy-retry-on = "5xx""#)]);
    assert_eq!(ledger(&once, "front", "leaf"), "503 URX: 99");
    assert_eq!(visits(&once, "leaf"), 198);
    let thrice = call(r#"x-envoy-retry-on = "5xx", x-envoy-max-retries = "3""#);
    assert_eq!(visits(&run_with(MESH, &[FAILS, none, pods, &thrice]), "leaf"), 396);
    assert_eq!(visits(&run_with(MESH, &[FAILS, none, &thrice]), "leaf"), 99, "nobody is believed");
    // Conditions are added to those of the route, and statuses to its list.
    let listed = call(r#"x-envoy-retriable-status-codes = "503""#);
    assert_eq!(visits(&run_with(MESH, &[FAILS, pods, &listed]), "leaf"), 297);
    let off = call(r#"x-envoy-retriable-status-codes = "503", x-envoy-max-retries = "0""#);
    let off = run_with(MESH, &[FAILS, pods, &off]);
    assert_eq!(visits(&off, "leaf"), 99);
    assert_eq!(ledger(&off, "front", "leaf"), "503 URX: 99", "a policy of no retries");
}

#[test]
fn a_limit_of_a_try_and_hedging_may_be_asked_for() {
    let pods = "mesh.internal_requests=pods";
    let tries = call(r#"x-envoy-upstream-rq-per-try-timeout-ms = "50", x-envoy-retry-on = "5xx""#);
    let run = run_with(MESH, &[pods, &tries]);
    assert_eq!(ledger(&run, "front", "leaf"), "504 URX,UT: 99");
    assert_eq!(visits(&run, "leaf"), 297);
    let hedges = call(
        r#"x-envoy-upstream-rq-per-try-timeout-ms = "50", x-envoy-retry-on = "5xx", x-envoy-hedge-on-per-try-timeout = "true""#,
    );
    let run = run_with(MESH, &[pods, &hedges]);
    assert_eq!(count(&run, "front", "leaf", "504 URX,UT"), 0, "the first try goes on and wins");
}

#[test]
fn an_event_that_changes_routes_leaves_what_is_asked_for() {
    let mesh = format!(
        "{}{}",
        MESH.replace(
            "time = \"100ms\"",
            "version = \"v1\"\ntime = \"100ms\"\n[[service.workload]]\nversion = \"v2\"\nworkers = 100\ntime = \"100ms\""
        ),
        r#"
[[event]]
id = "shift"
at = "5s"
do = "route"
target = "service:leaf"
weights = { v1 = 0, v2 = 1 }
"#
    );
    let asks = call(r#"x-envoy-upstream-rq-timeout-ms = "50""#);
    let run = run_with(&mesh, &[&asks, "mesh.internal_requests=pods"]);
    assert_eq!(ledger(&run, "front", "leaf"), "504 UT: 99");
    assert!(50 < visits(&run, "leaf-v2"), "{} requests at v2", visits(&run, "leaf-v2"));
}

#[test]
fn a_limit_on_streams_takes_the_place_of_the_timeout() {
    let limit = "service.leaf.max_stream_duration=50ms";
    let run = run_with(MESH, &[limit]);
    assert_eq!(ledger(&run, "front", "leaf"), "504 -: 99");
    let details = run.outcomes.iter().find(|row| row.destination == "leaf").expect("a row");
    assert_eq!(details.outcome.details.text(), "max_duration_timeout");
    // It is never tried again, though it is a 504, and bounds all tries together.
    let retried = r#"service.leaf.retries={ attempts = 3, on = "5xx", per_try_timeout = "20ms" }"#;
    let run = run_with(MESH, &[limit, retried]);
    assert_eq!(ledger(&run, "front", "leaf"), "504 -: 99");
    assert!(visits(&run, "leaf") < 300, "{} visits", visits(&run, "leaf"));
    // The timeout is not looked at; one that the request asks for is.
    let both = [limit, "service.leaf.timeout=20ms"];
    assert_eq!(ledger(&run_with(MESH, &both), "front", "leaf"), "504 -: 99");
    let long = ["service.leaf.max_stream_duration=1s", "service.leaf.timeout=20ms"];
    assert_eq!(ledger(&run_with(MESH, &long), "front", "leaf"), "200 -: 99");
    let asks = call(r#"x-envoy-upstream-rq-timeout-ms = "20""#);
    let run = run_with(MESH, &[limit, &asks, "mesh.internal_requests=pods"]);
    assert_eq!(ledger(&run, "front", "leaf"), "504 UT: 99");
}

#[test]
fn a_route_has_a_limit_on_streams_of_its_own_and_a_body_is_cut_by_it() {
    let of_route = r#"service.leaf.route=[{ max_stream_duration = "50ms" }]"#;
    let run = run_with(MESH, &["service.leaf.max_stream_duration=1s", of_route]);
    assert_eq!(ledger(&run, "front", "leaf"), "504 -: 99");
    let body = r#"service.leaf.behaviour={ reply = "slow_body", body_delay = "200ms" }"#;
    let run = run_with(MESH, &["service.leaf.max_stream_duration=150ms", body]);
    assert_eq!(ledger(&run, "front", "leaf"), "200 -: 99", "the status that was seen stays");
    assert_eq!(ledger(&run, "users", "front"), "500 -: 99", "but it is no whole answer");
}

#[test]
fn a_body_that_is_too_long_to_be_kept_is_not_sent_again() {
    let retries = r#"service.leaf.retries={ attempts = 2, on = "5xx" }"#;
    let long = call(r#"content-length = "2000""#);
    let kept = run_with(MESH, &[FAILS, retries, &long]);
    assert_eq!(ledger(&kept, "front", "leaf"), "503 URX: 99");
    assert_eq!(visits(&kept, "leaf"), 297);
    let limit = "service.leaf.per_request_buffer_limit=1000";
    let run = run_with(MESH, &[FAILS, retries, &long, limit]);
    assert_eq!(ledger(&run, "front", "leaf"), "503 -: 99");
    assert_eq!(visits(&run, "leaf"), 99);
    let short = call(r#"content-length = "1000""#);
    assert_eq!(visits(&run_with(MESH, &[FAILS, retries, &short, limit]), "leaf"), 297);
    // Envoy's default is a mebibyte, and a route may say something else.
    let huge = call(r#"content-length = "1048577""#);
    assert_eq!(visits(&run_with(MESH, &[FAILS, retries, &huge]), "leaf"), 99);
    let of_route = "service.leaf.route=[{ per_request_buffer_limit = 2000000 }]";
    assert_eq!(visits(&run_with(MESH, &[FAILS, retries, &huge, limit, of_route]), "leaf"), 297);
}

#[test]
fn a_body_that_is_too_long_to_be_kept_is_not_copied() {
    let mirror = r#"service.leaf.route=[{ mirror = { to = "front" } }]"#;
    let long = r#"traffic.users.headers={ content-length = "2000" }"#;
    let direct = "traffic.users.to=leaf";
    let no_calls = "service.front.calls=[]";
    let limit = "service.leaf.per_request_buffer_limit=1000";
    let copied = run_with(MESH, &[mirror, long, direct, no_calls]);
    assert_eq!(visits(&copied, "front"), 99);
    let run = run_with(MESH, &[mirror, long, direct, no_calls, limit]);
    assert_eq!(ledger(&run, "users", "leaf"), "200 -: 99");
    assert_eq!(visits(&run, "front"), 0);
}
