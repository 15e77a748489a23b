//! Connections from the pool's side: how long they live, and how long they take to open.
//!
//! Source: measurements of Envoy 1.40, families e08 (`*_conn_duration_1s_*`) and e14.

use crate::support::{ledger, plan_with, play};
use meshsim::observe::run::Run;
use meshsim::world::options::Options;

/// A gateway without a mesh in front of one app, 20 requests a second for 3 s.
fn run(service: &str, workload: &str) -> Run {
    run_slowly("1ms", service, workload)
}

/// The same, with an app that works for so long.
fn run_slowly(time: &str, service: &str, workload: &str) -> Run {
    let text = format!(
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
time = "{time}"
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
"#
    );
    play(&plan_with(&text, &[]), Options { access_log: true, ..Options::default() })
}

fn connections(run: &Run) -> u64 {
    let log = run.access_log.as_ref().expect("it was asked for");
    log.counters.values().map(|one| one.connections).sum()
}

#[test]
fn a_connection_is_drained_at_its_age_and_no_request_is_lost() {
    for protocol in ["http1", "http2"] {
        let kept = run(&format!("protocol = \"{protocol}\""), "");
        assert_eq!(connections(&kept), 1, "{protocol}");
        let aged = run(
            &format!("protocol = \"{protocol}\"\nconnections = {{ max_duration = \"480ms\" }}"),
            "",
        );
        assert_eq!(ledger(&aged, "users", "server"), "200 -: 60");
        // One each half of a second: the next one is opened when it is needed.
        assert_eq!(connections(&aged), 6, "{protocol}");
    }
}

#[test]
fn a_request_on_a_connection_that_reaches_its_age_is_finished() {
    // Every request is under way when its connection reaches its age.
    let aged = run(
        "connections = { max_duration = \"10ms\" }",
        "calls = [{ to = \"leaf\" }]\n[[service]]\nname = \"leaf\"\n[[service.workload]]\nworkers = 1000\ntime = \"30ms\"",
    );
    assert_eq!(ledger(&aged, "users", "server"), "200 -: 60");
    assert!(60 <= connections(&aged), "{}", connections(&aged));
}

#[test]
fn an_endpoint_that_takes_connections_late_delays_the_first_request_only_or_fails_it() {
    let late = "behaviour = { connect_delay = \"120ms\" }";
    let patient = run("", late);
    assert_eq!(ledger(&patient, "users", "server"), "200 -: 60");
    // Those of 0 and 50 and 100 ms wait, over HTTP/1.1 for a connection each.
    assert_eq!(connections(&patient), 3);
    assert_eq!(connections(&run("protocol = \"http2\"", late)), 1);
    let impatient = run("connections = { connect_timeout = \"100ms\" }", late);
    assert_eq!(ledger(&impatient, "users", "server"), "503 UF: 60");
}

#[test]
fn a_connection_with_a_request_in_progress_is_not_idle() {
    let h2 = "protocol = \"http2\"";
    let closes = "behaviour = { idle_close = \"20ms\" }";
    // Each request, every 50 ms, takes 70 ms: one connection is never idle.
    assert_eq!(connections(&run_slowly("70ms", h2, closes)), 1);
    assert_eq!(connections(&run_slowly("1ms", h2, closes)), 60);
}
