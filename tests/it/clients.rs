//! Clients that leave and send again, in a whole world.
//!
//! Source: `plan::client`; measured on Envoy 1.40 (family e06) for what the proxy logs.

use crate::support::{ledger, run, run_with};

/// A server that takes a second, ten requests a second for ten seconds, and a client.
fn mesh(profile: &str, client: &str, more: &str) -> String {
    format!(
        r#"
[scenario]
duration = "40s"
interval = "1s"
[mesh]
profile = "{profile}"
[[service]]
name = "server"
[[service.workload]]
workers = 100
time = "1s"
[[traffic]]
id = "users"
from = "ingress"
to = "server"
arrivals = {{ constant = {{ steps = [["0s", "10rps"], ["10s", "0rps"]] }} }}
{client}
{more}
"#
    )
}

fn users(client: &str) -> String {
    ledger(&run(&mesh("istio-sidecar@1.28", client, "")), "users", "server")
}

#[test]
fn a_client_that_leaves_is_0_dc_and_the_app_works_on() {
    for profile in ["istio-sidecar@1.28", "none"] {
        let run = run(&mesh(profile, "client = { timeout = \"200ms\" }", ""));
        assert_eq!(ledger(&run, "users", "server"), "0 DC: 99");
        assert_eq!(run.latency.max_ns(), 200_000_000);
        assert_eq!(run.attempts.retries, 0);
        assert_eq!(run.stations[0].sojourn.count(), 99, "work for nobody");
    }
}

#[test]
fn a_client_that_waits_long_enough_changes_nothing() {
    let without = run(&mesh("istio-sidecar@1.28", "", ""));
    let with = run(&mesh("istio-sidecar@1.28", "client = { timeout = \"30s\", attempts = 3 }", ""));
    assert_eq!(ledger(&with, "users", "server"), "200 -: 99");
    assert_eq!(with.latency.sum_ns(), without.latency.sum_ns());
    assert_eq!(with.digest, without.digest, "the timers of clients are cancelled");
}

#[test]
fn a_request_that_is_sent_three_times_is_one() {
    let run =
        run(&mesh("istio-sidecar@1.28", "client = { timeout = \"200ms\", attempts = 2 }", ""));
    assert_eq!(ledger(&run, "users", "server"), "0 DC: 99");
    assert_eq!((run.requests.total, run.attempts.calls), (99, 99));
    assert_eq!((run.attempts.total, run.attempts.retries), (3 * 99, 2 * 99));
    assert_eq!(run.series.iter().map(|row| row.retries).sum::<u64>(), 2 * 99);
    assert_eq!(run.latency.max_ns(), 600_000_000, "from the intended start");
}

#[test]
fn what_fails_is_sent_again_and_counts_as_it_ended() {
    let fails = "[[event]]\nid = \"e\"\nat = \"0s\"\nfor = \"15s\"\ndo = \"errors\"\ntarget = \"service:server\"\n";
    let client = "client = { attempts = 1, backoff_base = \"20s\", jitter = \"none\" }";
    let text = mesh("istio-sidecar@1.28", client, fails);
    assert_eq!(ledger(&run(&text), "users", "server"), "200 -: 99");
    let at_once = run(&mesh("istio-sidecar@1.28", "client = { attempts = 1 }", fails));
    assert_eq!(ledger(&at_once, "users", "server"), "500 -: 99");
    assert_eq!(at_once.attempts.total, 2 * 99);
}

#[test]
fn a_bucket_and_a_breaker_stop_what_fails() {
    let bucket = "bucket = { size = 5, deposit = 0.5 }";
    let breaker = "breaker = { share = \"10%\" }";
    for (what, sends) in [(bucket, 99 + 5 + 47), (breaker, 99)] {
        let client = format!("client = {{ timeout = \"200ms\", attempts = 1, {what} }}");
        let run = run(&mesh("none", &client, ""));
        assert!(
            run.attempts.total.abs_diff(sends) <= 3,
            "{what}: {} sends, about {sends} expected",
            run.attempts.total
        );
    }
}

#[test]
fn users_of_a_closed_loop_leave_and_go_on_thinking() {
    let text = mesh("none", "client = { timeout = \"200ms\", attempts = 1 }", "");
    let users = "traffic.users.arrivals={ closed = { users = 4, think = \"600ms\" } }";
    let run = run_with(&text, &[users]);
    // Each asks once a second, and waits twice 200 ms.
    assert_eq!(ledger(&run, "users", "server"), "0 DC: 156");
}

/// Goal: laws hold where clients' pods end under them. Method: the gateway and the server restart while
/// requests are sent, waited for and sent again; the audit counts.
#[test]
fn a_client_outlives_the_proxies_on_its_way() {
    let restart = |target: &str, at: &str| {
        format!(
            "[[event]]\nid = \"{target}\"\nat = \"{at}\"\ndo = \"restart\"\ntarget = \"{target}\"\n"
        )
    };
    let more = restart("service:server", "5s") + &restart("pod:ingress-0", "3s");
    let client = "client = { timeout = \"3s\", attempts = 3, backoff_base = \"500ms\" }";
    let run = run(&mesh("istio-sidecar@1.28", client, &more));
    assert_eq!(run.requests.total, 99);
    assert!(99 < run.attempts.total);
    let expected = users(client);
    assert_eq!(expected, "200 -: 99");
}
