//! Apps that end their calls when their client has left, in a whole world.
//!
//! Source: `world/calls.rs`; measured on Envoy 1.40 (families e06, e10) for what proxies log.

use crate::support::{count, ledger, run, run_with};

/// Users who leave after 200 ms, ten a second for ten seconds; a shop that calls stock and then
/// prices, each of which takes a second.
const MESH: &str = r#"
[scenario]
duration = "40s"
interval = "1s"
[mesh]
profile = "istio-sidecar@1.28"
[[service]]
name = "shop"
[[service.workload]]
workers = 100
time = "10ms"
cancels_calls = true
calls = [{ to = "stock" }, { to = "prices" }]
[[service]]
name = "stock"
[[service.workload]]
workers = 100
time = "1s"
[[service]]
name = "prices"
[[service.workload]]
workers = 100
time = "1s"
[[traffic]]
id = "users"
from = "ingress"
to = "shop"
arrivals = { constant = { steps = [["0s", "10rps"], ["10s", "0rps"]] } }
client = { timeout = "200ms" }
"#;

/// Sojourns at an app: how many, and the longest in milliseconds.
fn sojourns(run: &meshsim::observe::run::Run, workload: &str) -> (u64, u64) {
    let row = run.stations.iter().find(|row| row.workload == workload).expect("a station");
    (row.sojourn.count(), row.sojourn.max_ns() / 1_000_000)
}

#[test]
fn calls_in_flight_end_and_later_ones_are_not_made() {
    let stays = run_with(MESH, &["service.shop.cancels_calls=false"]);
    assert_eq!(ledger(&stays, "shop", "stock"), "200 -: 99");
    assert_eq!(ledger(&stays, "shop", "prices"), "200 -: 99", "work for nobody");
    for (profile, protocol, ended) in [
        ("istio-sidecar@1.28", "http1", "0 DC: 99"),
        ("istio-sidecar@1.28", "http2", "0 DR: 99"),
        ("none", "http1", "0 DC: 99"),
    ] {
        let profile = format!("mesh.profile={profile}");
        let protocol = format!("service.stock.protocol={protocol}");
        let run = run_with(MESH, &[&profile, &protocol]);
        assert_eq!(ledger(&run, "users", "shop"), "0 DC: 99");
        assert_eq!(ledger(&run, "shop", "stock"), ended, "{profile} {protocol}");
        assert_eq!(ledger(&run, "shop", "prices"), "");
        // The client leaves after 200 ms, and a link and a loopback later the app is done with it.
        let (shops, longest) = sojourns(&run, "shop");
        assert_eq!(shops, 99);
        assert!((195..=201).contains(&longest), "{profile}: {longest} ms at the shop");
        // The stock does what it was asked for: local work is not interrupted.
        let (stocks, longest) = sojourns(&run, "stock");
        assert_eq!(stocks, 99);
        assert!((1000..=1001).contains(&longest), "{longest} ms at the stock");
    }
}

#[test]
fn who_works_when_its_client_leaves_works_on_and_calls_nobody() {
    let run = run_with(MESH, &["service.shop.time=500ms"]);
    assert_eq!(ledger(&run, "shop", "stock"), "");
    let (shops, longest) = sojourns(&run, "shop");
    assert_eq!(shops, 99);
    assert!((500..=501).contains(&longest), "{longest} ms at the shop");
}

#[test]
fn who_waits_for_a_worker_gets_it_works_and_calls_nobody() {
    let sets = ["service.shop.workers=1", "service.shop.time=150ms"];
    let (cancels, stays) = (
        run_with(MESH, &sets),
        run_with(MESH, &[&sets[..], &["service.shop.cancels_calls=false"]].concat()),
    );
    let calls = |run| count(run, "shop", "stock", "0 DC") + count(run, "shop", "stock", "200 -");
    // Those who had left before their turn make no call, but take their time.
    assert!((1..20).contains(&calls(&cancels)), "{}", ledger(&cancels, "shop", "stock"));
    assert!(calls(&stays) < 40, "the run ends before a worker of two seconds a request is done");
    assert_eq!(sojourns(&cancels, "shop").0, 99);
}

#[test]
fn a_call_that_is_not_required_ends_too_and_the_work_after_it_is_done() {
    let calls = r#"service.shop.calls=[{ to = "stock", required = false, after = "300ms" }, { to = "prices", required = false }]"#;
    let run = run_with(MESH, &[calls]);
    assert_eq!(ledger(&run, "shop", "stock"), "0 DC: 99");
    assert_eq!(ledger(&run, "shop", "prices"), "");
    let (_, longest) = sojourns(&run, "shop");
    assert!((495..=501).contains(&longest), "{longest} ms at the shop");
}

#[test]
fn calls_at_once_all_end_and_are_not_tried_again() {
    let calls = r#"service.shop.calls=[{ to = "stock", mode = "parallel" }, { to = "prices", mode = "parallel" }]"#;
    let retries = r#"service.stock.retries={ attempts = 3, on = "5xx,reset" }"#;
    let run = run_with(MESH, &[calls, retries]);
    assert_eq!(ledger(&run, "shop", "stock"), "0 DC: 99");
    assert_eq!(ledger(&run, "shop", "prices"), "0 DC: 99");
    assert_eq!(sojourns(&run, "stock").0, 99);
}

#[test]
fn timeouts_of_a_route_and_of_a_try_reach_the_app_as_well() {
    let waits = "traffic.users.client.timeout=30s";
    let timeout = run_with(MESH, &[waits, "service.shop.timeout=200ms"]);
    assert_eq!(ledger(&timeout, "users", "shop"), "504 UT: 99");
    assert_eq!(ledger(&timeout, "shop", "stock"), "0 DC: 99");
    let retries = r#"service.shop.retries={ attempts = 1, on = "5xx", per_try_timeout = "200ms" }"#;
    let per_try = run_with(MESH, &[waits, retries]);
    assert_eq!(ledger(&per_try, "users", "shop"), "504 URX,UT: 99");
    assert_eq!(ledger(&per_try, "shop", "stock"), "0 DC: 198");
}

#[test]
fn who_waits_long_enough_sees_no_difference() {
    let waits = "traffic.users.client.timeout=30s";
    let with = run_with(MESH, &[waits]);
    let without = run_with(MESH, &[waits, "service.shop.cancels_calls=false"]);
    assert_eq!(ledger(&with, "users", "shop"), "200 -: 99");
    assert_eq!(with.digest, without.digest);
}

/// Goal: laws hold where pods end or stand still under calls that end with their request. Method:
/// the shop restarts, its sidecars' pods freeze for longer than users wait; the audit counts.
#[test]
fn books_are_kept_when_pods_end_or_freeze_under_such_calls() {
    let events = r#"
[[event]]
id = "restart"
at = "3s"
do = "restart"
target = "service:shop"
[[event]]
id = "freeze"
at = "6s"
for = "1s"
do = "freeze"
target = "service:shop"
"#;
    let run = run(&format!("{MESH}{events}"));
    assert_eq!(run.requests.total, 99);
    // While the shop is away its users get errors; frozen, it hears of those who left when it thaws.
    let ended = count(&run, "shop", "stock", "0 DC");
    assert!((40..80).contains(&ended), "{}", ledger(&run, "shop", "stock"));
    assert_eq!(ledger(&run, "shop", "prices"), "");
}
