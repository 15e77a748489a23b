//! Admission control: what a proxy refuses while too many of its requests fail.
//!
//! Source: Envoy's formula; see `model::proxy::filter::admission_control`.

use crate::support::{assert_share, count, run, run_with};
use meshsim::observe::run::Run;

/// A gateway with admission control in front of a service that fails so from 60 s to 120 s.
fn guarded(admission: &str, errors: &str, more: &str) -> Run {
    run(&mesh(admission, errors, more))
}

fn mesh(admission: &str, errors: &str, more: &str) -> String {
    format!(
        r#"
[scenario]
duration = "200s"
[mesh]
profile = "none"
ingress.replicas = 1
proxy.workers = 1
[[service]]
name = "server"
[[service.workload]]
workers = 100
time = "1ms"
[[filter]]
at = "ingress"
admission_control = {{ {admission} }}
[[traffic]]
id = "users"
from = "ingress"
to = "server"
arrivals = {{ constant = "100rps" }}
[[event]]
id = "failing"
at = "60s"
for = "60s"
do = "errors"
target = "service:server"
{errors}
{more}
"#
    )
}

/// Requests of the traffic that ended so from one instant to another, by the phases of a run.
fn refused(run: &Run) -> u64 {
    count(run, "users", "server", "503 -")
}

#[test]
fn half_of_the_requests_failing_settles_where_the_formula_says() {
    // Half of what passes fails: (n - 0.5 n / 0.95) / (n + 1), with n of the last 30 s in the thousands.
    let stops = r#"
[[event]]
id = "stops"
at = "120s"
do = "traffic"
target = "traffic:users"
factor = 0
"#;
    let run = guarded("", "share = 0.5", stops);
    let settled = 1.0 - 0.5 / 0.95;
    // For half a minute it grows to that.
    let refused_share = refused(&run) as f64 / 6_000.0;
    assert!((0.7 * settled..settled).contains(&refused_share), "{refused_share} of {settled}");
    // What is refused is not sent, and what is sent fails by halves.
    let failed = count(&run, "users", "server", "500 -");
    assert_share("failed", failed, run.attempts.total - 6_000, 0.5, 4.0);
}

#[test]
fn a_dead_service_gets_a_fifth_of_the_requests_and_all_of_them_when_it_is_well() {
    let quick = guarded(r#"sampling_window = "10s""#, "share = 1.0", "");
    let failed = count(&quick, "users", "server", "500 -");
    // 80 % are refused at most: 1,200 of 6,000, and some of the first seconds, and the window's rest.
    assert!((1_200..2_400).contains(&failed), "{failed}");
    let after = refused(&quick) + failed;
    assert!(after < 6_000 + 1_000, "{after} in a minute of failures and ten seconds more");
    let mild = r#"sampling_window = "10s", max_rejection_probability = "20%""#;
    let mild = guarded(mild, "share = 1.0", "");
    assert!(refused(&mild) < refused(&quick) / 3);
}

#[test]
fn what_counts_as_a_success_is_a_matter_of_settings() {
    // Errors of the client are none of the server.
    assert_eq!(refused(&guarded("", "share = 1.0\nstatus = 404", "")), 0);
    let strict = "http_success = [{ start = 200, end = 400 }]";
    assert!(2_000 < refused(&guarded(strict, "share = 1.0\nstatus = 404", "")));
    // A gRPC status is looked at in place of the status.
    let grpc = |status: u8| {
        format!("share = 1.0\nstatus = 200\nresponse_headers = {{ grpc-status = \"{status}\" }}")
    };
    assert!(2_000 < refused(&guarded("", &grpc(14), "")));
    assert_eq!(refused(&guarded("", &grpc(5), "")), 0);
    assert!(2_000 < refused(&guarded("grpc_success = [\"0\"]", &grpc(5), "")));
}

#[test]
fn few_requests_a_second_are_never_refused() {
    assert_eq!(refused(&guarded("rps_threshold = 101", "share = 1.0", "")), 0);
    assert!(2_000 < refused(&guarded("rps_threshold = 10", "share = 1.0", "")));
}

/// Goal: the gateway counts what it sees, not who sent it. Method: clients that would leave after longer
/// than any answer takes.
#[test]
fn requests_of_clients_with_a_mind_of_their_own_count_as_any() {
    let text = mesh("", "share = 1.0", "");
    let with = run_with(&text, &["traffic.users.client={ timeout = \"30s\" }"]);
    let without = run(&text);
    assert_eq!(refused(&with), refused(&without));
    assert!(2_000 < refused(&with), "{} refused", refused(&with));
}
