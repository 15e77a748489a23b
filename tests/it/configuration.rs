//! What proxies know of clusters and endpoints besides what requests show: active health checks.
//!
//! Source: measurements of Envoy 1.40, families e09 and e11.

use crate::support::{ledger, plan_with, play, run};
use meshsim::world::options::Options;

/// A gateway without a mesh in front of a good and a bad app, 20 requests a second for 3 s.
fn text(service: &str, bad: &str, more: &str) -> String {
    format!(
        r#"
[scenario]
duration = "4s"
[mesh]
profile = "none"
ingress.replicas = 1
[[service]]
name = "server"
balancer = "round_robin"
panic_threshold = 0
{service}
[[service.workload]]
version = "bad"
time = "1ms"
{bad}
[[service.workload]]
version = "good"
time = "1ms"
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

fn two(service: &str, bad: &str, more: &str) -> String {
    ledger(&run(&text(service, bad, more)), "users", "server")
}

const CHECKS: &str =
    r#"health_checks = { interval = "200ms", timeout = "100ms", no_traffic_interval = "200ms" }"#;

#[test]
fn an_endpoint_that_fails_its_checks_gets_no_requests() {
    let errors = r#"errors = "100%""#;
    assert_eq!(two("", errors, ""), "200 -: 30, 500 -: 30");
    assert_eq!(two(CHECKS, errors, ""), "200 -: 60");
    assert_eq!(two(CHECKS, "behaviour = { check_status = 503 }", ""), "200 -: 60");
    assert_eq!(two(CHECKS, "behaviour = { check_delay = \"150ms\" }", ""), "200 -: 60");
}

#[test]
fn the_dry_run_counts_checks() {
    let events = |interval: &str| {
        let intervals = format!("interval = \"{interval}\", no_traffic_interval = \"{interval}\"");
        let checks = format!("health_checks = {{ {intervals} }}");
        let plan = plan_with(&text(&checks, "", ""), &[]);
        let run = play(&plan, Options::default());
        (meshsim::world::estimate::estimate(&plan).events, run.events as f64)
    };
    let ((told, real), (few_told, few_real)) = (events("10ms"), events("1s"));
    let off = (told - few_told) / (real - few_real) - 1.0;
    assert!(off.abs() < 0.15, "{told} told, {real} in the run");
}

#[test]
fn a_port_that_refuses_is_found_out_by_three_checks() {
    let event = r#"
[[event]]
id = "down"
at = "1s"
for = "1s"
do = "behave"
behaviour = { port = "refuses" }
target = "service:server/bad"
"#;
    let closes = "behaviour = { connection_close = true }";
    // Two to three intervals of 200 ms at 10 requests a second, plus one; ten without checks.
    assert_eq!(two("", closes, event), "200 -: 50, 503 UF: 10");
    let (seen, few) = (two(CHECKS, closes, event), ["4", "5", "6"]);
    assert!(few.iter().any(|n| seen.ends_with(&format!("503 UF: {n}"))), "{seen}");
}
