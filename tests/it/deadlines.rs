//! Apps that give their calls no more time than their own request has, in a whole world.
//!
//! Source: `world/deadlines.rs`; what proxies log of an app that leaves is measured on Envoy 1.40 (e06, e10).

use crate::support::{count, ledger, run, run_with};
use meshsim::observe::run::Run;

/// A chain of three hops under a limit of 200 ms at the edge, ten requests a second for ten seconds:
/// the front works for 10 ms, the middle for 150 ms, and it calls the leaf twice, for 100 ms each.
const MESH: &str = r#"
[scenario]
duration = "40s"
interval = "1s"
[mesh]
profile = "istio-sidecar@1.28"
[[service]]
name = "front"
timeout = "200ms"
[[service.workload]]
workers = 100
time = "10ms"
deadlines = true
calls = [{ to = "middle" }]
[[service]]
name = "middle"
[[service.workload]]
workers = 100
time = "150ms"
deadlines = true
calls = [{ to = "leaf" }, { to = "leaf" }]
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

const NOBODY: [&str; 2] = ["service.front.deadlines=false", "service.middle.deadlines=false"];

/// Sojourns at an app: how many, and the longest in milliseconds.
fn sojourns(run: &Run, workload: &str) -> (u64, u64) {
    let row = run.stations.iter().find(|row| row.workload == workload).expect("a station");
    (row.sojourn.count(), row.sojourn.max_ns() / 1_000_000)
}

/// Goal: what deadlines save of the work that nobody waits for. Method: the same chain with and
/// without; what users see is the same.
#[test]
fn a_chain_stops_working_when_the_edge_gives_up() {
    let without = run_with(MESH, &NOBODY);
    assert_eq!(ledger(&without, "users", "front"), "504 UT: 99");
    assert_eq!(ledger(&without, "front", "middle"), "200 -: 99");
    assert_eq!(ledger(&without, "middle", "leaf"), "200 -: 198", "two calls for nobody");
    assert_eq!(sojourns(&without, "leaf").0, 198);
    for (profile, protocol, ended) in [
        ("istio-sidecar@1.28", "http1", "0 DC: 99"),
        ("istio-sidecar@1.28", "http2", "0 DR: 99"),
        ("none", "http1", "0 DC: 99"),
    ] {
        let profile = format!("mesh.profile={profile}");
        let (middle, leaf) = (
            format!("service.middle.protocol={protocol}"),
            format!("service.leaf.protocol={protocol}"),
        );
        let run = run_with(MESH, &[&profile, &middle, &leaf]);
        assert_eq!(ledger(&run, "users", "front"), "504 UT: 99");
        assert_eq!(ledger(&run, "front", "middle"), ended, "{profile}");
        assert_eq!(ledger(&run, "middle", "leaf"), ended, "{profile}: one call, and cut");
        // Each hop counts from when it gets the request: a few links later than the edge.
        let (fronts, longest) = sojourns(&run, "front");
        assert_eq!(fronts, 99);
        assert!((196..=202).contains(&longest), "{profile}: {longest} ms at the front");
        let (middles, longest) = sojourns(&run, "middle");
        assert_eq!(middles, 99);
        assert!((185..=194).contains(&longest), "{profile}: {longest} ms at the middle");
        // Local work is not interrupted.
        let (leaves, longest) = sojourns(&run, "leaf");
        assert_eq!(leaves, 99, "half the work of the leaf is saved");
        assert!((100..=101).contains(&longest), "{longest} ms at the leaf");
    }
}

#[test]
fn no_call_begins_when_the_time_is_over() {
    let run = run_with(MESH, &["service.middle.time=250ms"]);
    assert_eq!(ledger(&run, "front", "middle"), "0 DC: 99");
    assert_eq!(ledger(&run, "middle", "leaf"), "");
    assert_eq!(sojourns(&run, "middle").1, 250, "its client had left, and it did not know");
    // A worker that comes free late is as good as late work.
    let sets = ["service.middle.workers=1", "service.middle.time=110ms"];
    let queued = run_with(MESH, &sets);
    let calls = count(&queued, "middle", "leaf", "0 DC");
    assert!((1..99).contains(&calls), "{}", ledger(&queued, "middle", "leaf"));
}

/// Goal: a deadline goes down as far as each app passes it on, and no farther.
#[test]
fn who_is_not_told_works_on() {
    let first = run_with(MESH, &["service.middle.deadlines=false"]);
    assert_eq!(ledger(&first, "front", "middle"), "0 DC: 99");
    assert_eq!(ledger(&first, "middle", "leaf"), "200 -: 198");
    // The front has a deadline and passes nothing on: the middle's request has no limit.
    let second = run_with(MESH, &["service.front.deadlines=false"]);
    assert_eq!(ledger(&second, "front", "middle"), "200 -: 99");
    assert_eq!(ledger(&second, "middle", "leaf"), "200 -: 198");
}

#[test]
fn a_limit_of_the_calls_own_route_that_is_shorter_comes_first() {
    // The first call begins at some 165 ms, and has 35 left.
    let shorter = run_with(MESH, &["service.leaf.timeout=20ms"]);
    assert_eq!(ledger(&shorter, "middle", "leaf"), "504 UT: 99");
    assert_eq!(ledger(&shorter, "front", "middle"), "500 -: 99", "a call that it needed failed");
    let longer = run_with(MESH, &["service.leaf.timeout=50ms"]);
    assert_eq!(ledger(&longer, "middle", "leaf"), "0 DC: 99");
}

#[test]
fn a_limit_on_a_try_is_a_deadline_and_one_of_a_hedged_try_is_none() {
    let no_limit = "service.front.timeout=0s";
    let tries = r#"service.front.retries={ attempts = 1, on = "5xx", per_try_timeout = "200ms" }"#;
    let run = run_with(MESH, &[no_limit, tries]);
    assert_eq!(ledger(&run, "users", "front"), "504 URX,UT: 99");
    assert_eq!(ledger(&run, "front", "middle"), "0 DC: 198");
    assert_eq!(ledger(&run, "middle", "leaf"), "0 DC: 198");
    let hedged = r#"service.front.retries={ attempts = 1, on = "5xx", per_try_timeout = "200ms", hedge_on_per_try_timeout = true }"#;
    let run = run_with(MESH, &[no_limit, hedged]);
    assert_eq!(ledger(&run, "users", "front"), "200 -: 99");
    assert_eq!(count(&run, "front", "middle", "0 DC"), 0);
}

/// Goal: a request that is tried again late has less time. Method: the first try of 120 ms takes more
/// than half of the route's 200 ms; the second one is cut by the route, not by its own limit.
#[test]
fn a_later_try_has_what_is_left_of_the_route() {
    let tries = r#"service.front.retries={ attempts = 1, on = "5xx", per_try_timeout = "120ms" }"#;
    let run = run_with(MESH, &["service.middle.time=30ms", tries]);
    assert_eq!(ledger(&run, "users", "front"), "504 UT: 99");
    // The second try has at most 80 ms: less a back-off of 25: 10 at the front and 30 at the middle leave one call some time.
    assert_eq!(ledger(&run, "front", "middle"), "0 DC: 198");
    assert_eq!(ledger(&run, "middle", "leaf"), "0 DC: 198");
    let (_, longest) = sojourns(&run, "front");
    assert!((115..=122).contains(&longest), "{longest} ms at the front");
}

#[test]
fn calls_that_are_not_needed_are_passed_over() {
    let calls = r#"service.middle.calls=[{ to = "leaf", required = false, after = "5ms" }, { to = "leaf", required = false }]"#;
    let run = run_with(MESH, &[calls]);
    assert_eq!(ledger(&run, "middle", "leaf"), "0 DC: 99");
    let (_, longest) = sojourns(&run, "middle");
    assert!((190..=199).contains(&longest), "{longest} ms at the middle, with 5 ms after the call");
}

#[test]
fn who_has_time_enough_sees_no_difference() {
    let long = "service.front.timeout=10s";
    let with = run_with(MESH, &[long]);
    let without = run_with(MESH, &[&NOBODY[..], &[long]].concat());
    assert_eq!(ledger(&with, "users", "front"), "200 -: 99");
    assert_eq!(with.digest, without.digest);
    // Nor does who has no limit at all.
    let none = "service.front.timeout=0s";
    let unlimited = run_with(MESH, &[none]);
    assert_eq!(unlimited.digest, run_with(MESH, &[&NOBODY[..], &[none]].concat()).digest);
}

/// Goal: with both, whatever comes first ends the calls. Method: users leave after 100 ms, before any
/// deadline, and only the front hears of it.
#[test]
fn an_app_may_hear_of_its_client_first() {
    let leaves = r#"traffic.users.client={ timeout = "100ms" }"#;
    let cancels = "service.front.cancels_calls=true";
    let run = run_with(MESH, &[leaves, cancels]);
    assert_eq!(ledger(&run, "users", "front"), "0 DC: 99");
    assert_eq!(ledger(&run, "front", "middle"), "0 DC: 99");
    let (_, longest) = sojourns(&run, "front");
    assert!((96..=102).contains(&longest), "{longest} ms at the front");
    // The middle was told of 190 ms, and of nothing since: it makes its call until then.
    assert_eq!(ledger(&run, "middle", "leaf"), "0 DC: 99");
    // Without, each knows its time only, which goes on when the users have left.
    let run = run_with(MESH, &[leaves]);
    let (_, longest) = sojourns(&run, "front");
    assert!((196..=202).contains(&longest), "{longest} ms at the front");
}

/// Goal: laws hold where pods end or stand still under calls with deadlines. Method: the middle
/// restarts, the front freezes for longer than its requests have; the audit counts.
#[test]
fn books_are_kept_when_pods_end_or_freeze_under_such_calls() {
    let events = r#"
[[event]]
id = "restart"
at = "3s"
do = "restart"
target = "service:middle"
[[event]]
id = "freeze"
at = "6s"
for = "1s"
do = "freeze"
target = "service:front"
"#;
    let run = run(&format!("{MESH}{events}"));
    assert_eq!(run.requests.total, 99);
    let ended = count(&run, "front", "middle", "0 DC");
    assert!((40..90).contains(&ended), "{}", ledger(&run, "front", "middle"));
}

/// A client of the app sends again while there is time: never after the end of its own request.
#[test]
fn an_app_sends_again_within_the_time_of_its_request() {
    let client = "client = { timeout = \"50ms\", attempts = 9, backoff_base = \"1ms\", backoff_max = \"1ms\", jitter = \"none\" }\ncalls = [{ to = \"middle\" }]";
    let text = MESH.replace("calls = [{ to = \"middle\" }]", client);
    let sends = |sets: &[&str]| {
        let run = run_with(&text, sets);
        assert_eq!(ledger(&run, "users", "front"), "504 UT: 99");
        // The middle works on: it passes nothing on.
        sojourns(&run, "middle").0
    };
    // At 10, 61, 112 and 163 ms; nobody stops it without a deadline.
    assert_eq!((sends(&[]), sends(&NOBODY)), (4 * 99, 10 * 99));
}
