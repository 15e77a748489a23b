//! Apps that do not answer at once and as a whole, and proxies that send requests on: what the
//! client proxy logs.
//!
//! Source: measurements of Envoy 1.40, families e03, e06, e10 and e11.

use crate::support::{ledger, plan_with, play, run, run_with};
use meshsim::observe::run::Run;
use meshsim::plan::Plan;
use meshsim::plan::route::Destination;
use meshsim::plan::universe::{Role, ServiceId, Step, WorkloadId};
use meshsim::world::options::Options;

/// A gateway without a mesh in front of one app: plain HTTP/1.1, no proxy work.
fn plain(service: &str, workload: &str, more: &str) -> String {
    format!(
        r#"
[scenario]
duration = "4s"
[mesh]
profile = "none"
ingress.replicas = 1
[[service]]
name = "server"
{service}
[[service.workload]]
workers = 1000
time = "1ms"
{workload}
[[traffic]]
id = "users"
from = "ingress"
to = "server"
arrivals = {{ constant = "20rps" }}
[[event]]
id = "no-more"
at = "3010ms"
do = "traffic"
target = "traffic:users"
factor = 0
{more}
"#
    )
}

fn outcome(service: &str, workload: &str) -> String {
    ledger(&run(&plain(service, workload, "")), "users", "server")
}

#[test]
fn each_way_to_fail_has_its_status_its_flag_and_its_details() {
    let of = |behaviour: &str| outcome("", &format!("behaviour = {{ {behaviour} }}"));
    assert_eq!(of(r#"port = "refuses""#), "503 UF: 60");
    assert_eq!(of(r#"reply = "closes""#), "503 UC: 60");
    assert_eq!(of(r#"reply = "slow_body", body_delay = "30ms""#), "200 -: 60");
    assert_eq!(of(r#"reply = "headers_then_reset", body_delay = "30ms""#), "200 UPE: 60");
    assert_eq!(of("connection_close = true"), "200 -: 60");
}

#[test]
fn a_black_hole_is_a_connect_timeout_and_a_hang_ends_with_the_route_timeout() {
    let connect = "connections = { connect_timeout = \"250ms\" }";
    let hole = outcome(connect, r#"behaviour = { port = "swallows" }"#);
    assert!(hole.starts_with("503 UF: "), "{hole}");
    let hang = outcome("timeout = \"200ms\"", r#"behaviour = { reply = "never" }"#);
    assert!(hang.starts_with("504 UT: "), "{hang}");
}

#[test]
fn a_timeout_in_the_middle_of_a_body_keeps_the_status_that_the_client_has_seen() {
    let late = r#"behaviour = { reply = "slow_body", body_delay = "500ms" }"#;
    let ended = outcome("timeout = \"200ms\"\nretries = { attempts = 2, on = [\"5xx\"] }", late);
    assert!(ended.starts_with("200 UT: "), "{ended}");
    // A per-try timeout ends with the headers.
    let ended =
        outcome("retries = { attempts = 2, on = [\"5xx\"], per_try_timeout = \"100ms\" }", late);
    assert!(ended.starts_with("200 -: "), "{ended}");
}

#[test]
fn a_truncated_200_is_not_ok() {
    let text = plain("", r#"behaviour = { reply = "headers_then_reset", body_delay = "1ms" }"#, "");
    let run = run(&text);
    assert_eq!((run.requests.ok, run.requests.failed()), (0, run.requests.total));
}

/// The median latency in milliseconds where every answer is a 503 that is tried twice more, over
/// links of 5 ms.
fn median_of_three_tries(workload: &str) -> f64 {
    let service =
        "retries = { attempts = 2, on = [\"5xx\"], backoff_base = \"1ms\", backoff_max = \"2ms\" }";
    let workload = format!("errors = {{ share = 1.0, status = 503 }}\n{workload}");
    let text = plain(service, &workload, "");
    let run = run_with(&text, &["mesh.network.same_node=5ms"]);
    assert_eq!(ledger(&run, "users", "server"), "503 URX: 60");
    run.latency.quantile(0.5).unwrap_or_default() as f64 / 1e6
}

#[test]
fn a_retried_answer_with_a_body_costs_its_connection() {
    // Each retry waits for a connection of its own: a round trip more.
    let (empty, body) =
        (median_of_three_tries(""), median_of_three_tries("behaviour = { body = true }"));
    assert!((33.0..36.0).contains(&empty), "{empty}");
    assert!((empty + 19.0..empty + 21.0).contains(&body), "{empty} {body}");
}

#[test]
fn behaviour_changes_with_an_event_and_comes_back() {
    let event = r#"
[[event]]
id = "hole"
at = "1s"
for = "1s"
do = "behave"
target = "service:server"
behaviour = { reply = "closes" }
"#;
    let ended = ledger(&run(&plain("", "", event)), "users", "server");
    assert_eq!(ended, "200 -: 40, 503 UC: 20");
}

/// The plan of `text` with its first `hops` services made proxies, each before the next.
fn chain(text: &str, hops: usize) -> Plan {
    let mut plan = plan_with(text, &[]);
    let universe = &mut plan.universe;
    for hop in 0..hops {
        let (proxy, next) = (WorkloadId(id(universe, &format!("hop{hop}-"))), hop + 1);
        let name = if next == hops { "leaf".to_owned() } else { format!("hop{next}") };
        let to = universe.services.iter().position(|one| one.name == name).expect("a service");
        let workload = &mut universe.workloads[proxy.index()];
        workload.role = Role::Gateway;
        workload.program = vec![Step::Forward(ServiceId(u32::try_from(to).expect("few")))];
    }
    assert!(universe.routes.iter().all(|table| {
        let split = &table.rules[0].split;
        split.iter().all(|(to, _)| matches!(to, Destination::Cluster(_)))
    }));
    plan
}

fn id(universe: &meshsim::plan::universe::Universe, name: &str) -> u32 {
    let found = universe.workloads.iter().position(|one| format!("{}-", one.name) == name);
    u32::try_from(found.expect("a workload")).expect("few")
}

fn hops(count: usize, service: &str, edge: &str, leaf: &str, rate: &str) -> Run {
    let mut text = format!(
        r#"
[scenario]
duration = "12s"
[mesh]
profile = "none"
ingress.replicas = 1
[[traffic]]
id = "users"
from = "ingress"
to = "hop0"
arrivals = {{ constant = "{rate}" }}
[[event]]
id = "no-more"
at = "10010ms"
do = "traffic"
target = "traffic:users"
factor = 0
[[service]]
name = "leaf"
{service}
[[service.workload]]
workers = 1000
{leaf}
"#
    );
    for hop in 0..count {
        let policy = if hop == 0 { edge } else { service };
        let head = format!("[[service]]\nname = \"hop{hop}\"\n{policy}\n");
        text += &head;
        text += "[[service.workload]]\nworkers = 100000\ntime = \"0s\"\n";
    }
    play(&chain(&text, count), Options::default())
}

#[test]
fn three_tries_a_hop_are_27_at_the_leaf_of_three() {
    // The gateway tries, and two proxies behind it: three hops.
    let retries = "retries = { attempts = 2, on = [\"5xx\"], backoff_base = \"5ms\", backoff_max = \"10ms\" }\ncircuit_breaker = { max_retries = 10000 }";
    let leaf = "time = \"10ms\"\nerrors = { share = 1.0, status = 503 }";
    let run = hops(2, retries, retries, leaf, "15rps");
    assert_eq!(ledger(&run, "users", "hop0"), "503 URX: 150");
    assert_eq!(ledger(&run, "hop0", "hop1"), "503 URX: 450");
    assert_eq!(ledger(&run, "hop1", "leaf"), "503 URX: 1350");
    assert_eq!(run.attempts.total, 150 * 3 + 450 * 3 + 1350 * 3);
}

#[test]
fn who_times_out_first_cancels_the_chain_below() {
    let leaf = "time = \"200ms\"";
    let run = hops(2, "", "timeout = \"100ms\"", leaf, "20rps");
    let (edge, middle, last) =
        (ledger(&run, "users", "hop0"), ledger(&run, "hop0", "hop1"), ledger(&run, "hop1", "leaf"));
    assert!(edge == "504 UT: 200", "{edge}");
    assert!(middle == "0 DC: 200", "{middle}");
    assert!(last == "0 DC: 200", "{last}");
}

#[test]
fn each_limit_has_its_own_details_and_the_shortest_counts() {
    let slow = "time = \"500ms\"";
    let of = |service: &str| {
        let text = plain(service, "", "").replace("time = \"1ms\"", slow);
        let run = run(&text);
        let row = run.outcomes.iter().find(|row| row.destination == "server").expect("a row");
        format!("{} {}", ledger(&run, "users", "server"), row.outcome.details.text())
    };
    assert_eq!(of("idle_timeout = \"200ms\""), "504 SI: 60 stream_idle_timeout");
    assert_eq!(
        of("connections = { max_stream_duration = \"200ms\" }"),
        "504 UMSDR: 60 upstream_max_stream_duration_reached"
    );
    let idle = "retries = { attempts = 1, on = [\"5xx\"], per_try_idle_timeout = \"100ms\" }";
    assert_eq!(of(idle), "504 URX,UT: 60 upstream_per_try_idle_timeout");
    let both = format!("timeout = \"50ms\"\n{idle}");
    assert_eq!(of(&both), "504 UT: 60 response_timeout");
}

#[test]
fn a_body_that_is_late_counts_as_idle_and_a_whole_stream_has_its_limit() {
    let late = r#"behaviour = { reply = "slow_body", body_delay = "500ms" }"#;
    assert_eq!(outcome("idle_timeout = \"200ms\"", late), "200 SI: 60");
    let limit = "connections = { max_stream_duration = \"200ms\" }";
    assert_eq!(outcome(limit, late), "200 UMSDR: 60");
    assert_eq!(outcome("idle_timeout = \"600ms\"", late), "200 -: 60");
}

#[test]
fn a_route_may_answer_itself() {
    let direct = "[[service.route]]\ndirect_response = 404\n";
    let text =
        plain("", "", "").replace("[[service.workload]]", &format!("{direct}[[service.workload]]"));
    assert_eq!(ledger(&run(&text), "users", "server"), "404 -: 60");
    let run = run(&text.replace("direct_response = 404", "redirect = 301"));
    assert_eq!(ledger(&run, "users", "server"), "301 -: 60");
    assert_eq!(run.attempts.total, 0);
}

#[test]
fn a_stream_that_is_reset_leaves_its_connection() {
    let resets = r#"behaviour = { reply = "resets" }"#;
    let run_of = |protocol: &str| run(&plain(&format!("protocol = \"{protocol}\""), resets, ""));
    let (h1, h2) = (run_of("http1"), run_of("http2"));
    assert_eq!(ledger(&h1, "users", "server"), "503 UC: 60");
    assert_eq!(ledger(&h2, "users", "server"), "503 UR: 60");
}

#[test]
fn a_request_meets_the_close_of_an_idle_connection_and_loses() {
    // A request each 50 ms, answered 1 ms after it has come.
    let of = |service: &str, idle_close: &str| {
        outcome(service, &format!("behaviour = {{ idle_close = \"{idle_close}\" }}"))
    };
    // Closed 50 us before the next request comes, and after that was sent; the one after has a new one.
    assert_eq!(of("", "48950us"), "200 -: 30, 503 UC: 30");
    let h2 = "protocol = \"http2\"";
    assert_eq!(of(h2, "48950us"), "200 -: 30, 503 UR: 30");
    // Closed long before, which is known; or not yet.
    assert_eq!(of("", "40ms"), "200 -: 60");
    assert_eq!(of("", "60ms"), "200 -: 60");
    let retried = "retries = { attempts = 1, on = [\"reset\"] }";
    assert_eq!(of(retried, "48950us"), "200 -: 60");
}

#[test]
fn a_sidecar_answers_for_an_app_that_has_closed_its_connection() {
    let meshed = |idle_close: &str| {
        let text = plain("", &format!("behaviour = {{ idle_close = \"{idle_close}\" }}"), "");
        ledger(
            &run(&text.replace("profile = \"none\"", "profile = \"istio-sidecar@1.28\"")),
            "users",
            "server",
        )
    };
    // One in two at most: after a failure the next connection is new. The link's jitter spares one.
    assert_eq!(meshed("48950us"), "200 -: 31, 503 -: 29");
    assert_eq!(meshed("48500us"), "200 -: 60");
}
