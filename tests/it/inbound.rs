//! Sidecars that try their own apps again.
//!
//! Source: Istio from 1.24 on; measured on Envoy 1.40: `reset-before-request` retries a refused connection.

use crate::support::{ledger, run};
use meshsim::observe::run::Run;

/// Users before a server of one pod, whose clients try nothing again; so many requests a second for 3 s.
fn play(retries: u32, rate: &str, more: &str) -> Run {
    run(&format!(
        r#"
[scenario]
duration = "5s"
[mesh]
retry.inbound_attempts = {retries}
[[service]]
name = "server"
retries = {{ attempts = 0 }}
[[service.workload]]
workers = 100
time = "1ms"
[[traffic]]
id = "users"
from = "ingress"
to = "server"
arrivals = {{ constant = "{rate}" }}
[[event]]
id = "no-more"
at = "3010ms"
do = "traffic"
target = "traffic:users"
factor = 0
{more}
"#
    ))
}

const REFUSES: &str = "[[event]]\nid = \"refuses\"\nat = \"0s\"\ndo = \"behave\"\n\
                       target = \"service:server\"\nbehaviour = { port = \"refuses\" }\n";

fn longest_ms(run: &Run) -> f64 {
    run.latency.quantile(1.0).unwrap_or_default() as f64 / 1e6
}

#[test]
fn an_app_that_refuses_for_long_costs_two_back_offs_more() {
    let (none, two) = (play(0, "20rps", REFUSES), play(2, "20rps", REFUSES));
    assert_eq!(ledger(&none, "users", "server"), "503 -: 60");
    assert_eq!(ledger(&two, "users", "server"), "503 -: 60");
    assert_eq!(two.attempts.total, 60, "the client's proxy sees one try");
    // Below 25 ms and then below 50 ms.
    let (before, after) = (longest_ms(&none), longest_ms(&two));
    assert!(before < 10.0 && 30.0 < after && after < 85.0, "{before} and {after} ms");
}

#[test]
fn an_app_that_refuses_for_a_moment_is_not_noticed_by_most() {
    let moment = "[[event]]\nid = \"moment\"\nat = \"1s\"\nfor = \"20ms\"\ndo = \"behave\"\n\
                  target = \"service:server\"\nbehaviour = { port = \"refuses\" }\n";
    let failed = |run: &Run| run.requests.total - run.requests.ok;
    let (none, two) = (play(0, "1000rps", moment), play(2, "1000rps", moment));
    assert!((18..=22).contains(&failed(&none)), "{}", failed(&none));
    assert!(failed(&two) < 10, "{}", failed(&two));
}

#[test]
fn a_request_passes_the_filters_once() {
    let limit = "[[filter]]\nat = \"server\"\n\
                 local_rate_limit = { max_tokens = 60, fill_interval = \"1h\" }\n";
    let run = play(2, "20rps", &format!("{REFUSES}{limit}"));
    assert_eq!(ledger(&run, "users", "server"), "503 -: 60");
}

#[test]
fn what_an_app_had_when_it_died_is_not_tried_again() {
    let dies = "[[event]]\nid = \"dies\"\nat = \"1s\"\nfor = \"20ms\"\ndo = \"fail\"\npart = \"app\"\n\
                target = \"service:server\"\n\
                [[event]]\nid = \"slow\"\nat = \"0s\"\ndo = \"slow\"\nfactor = 500\n\
                target = \"service:server\"\n";
    let (none, two) = (play(0, "20rps", dies), play(2, "20rps", dies));
    // Half a second of requests was in the app; with one more at the closed door at most.
    let failed = |run: &Run| run.requests.total - run.requests.ok;
    assert!(9 <= failed(&none) && failed(&two) + 1 >= failed(&none), "{}", failed(&none));
    assert!(9 <= failed(&two), "{}", failed(&two));
}
