//! Global rate limits: a service counts for all proxies, and may be slow or down.
//!
//! Source: Envoy's rate limit filter and its reference service; see `world::rate_limits`.

use crate::support::{count, ledger, run};
use meshsim::observe::run::Run;

/// Two gateways with a filter, and a rate limit service with these keys, for so many seconds of 50
/// requests a second.
fn limited(filter: &str, limiter: &str, more: &str) -> Run {
    run(&format!(
        r#"
[scenario]
duration = "22s"
[mesh]
profile = "none"
ingress.replicas = 2
[[service]]
name = "limiter"
timeout = "1s"
[[service.workload]]
workers = 100
{limiter}
[[service]]
name = "server"
[[service.workload]]
workers = 100
time = "1ms"
[[filter]]
at = "ingress"
global_rate_limit = {{ service = "limiter", {filter} }}
[[traffic]]
id = "users"
from = "ingress"
to = "server"
headers = {{ x-user = "ann" }}
arrivals = {{ constant = "50rps" }}
[[event]]
id = "no-more"
at = "20010ms"
do = "traffic"
target = "traffic:users"
factor = 0
{more}
"#
    ))
}

const FAST: &str = r#"time = "1ms""#;
const TEN: &str = r#"limit = [{ requests = 10, unit = "second" }]"#;

fn users(run: &Run) -> String {
    ledger(run, "users", "server")
}

#[test]
fn gateways_share_the_counters_of_the_service() {
    // 21 windows, of which the first and the last have fewer requests, by the time of the way.
    let run = limited(TEN, FAST, "");
    let passed = count(&run, "users", "server", "200 -");
    assert!((200..=210).contains(&passed), "{}", users(&run));
    assert_eq!(passed + count(&run, "users", "server", "429 RL"), 1000);
    assert_eq!(ledger(&run, "ingress", "limiter"), "200 -: 1000");
}

#[test]
fn each_value_of_a_header_has_its_own_limit_and_who_lacks_it_is_not_asked_about() {
    let by_user = r#"limit = [{ requests = 5, unit = "minute", header = "X-User" }]"#;
    let bob = r#"
[[traffic]]
id = "bob"
from = "ingress"
to = "server"
headers = { x-user = "bob" }
arrivals = { constant = "1rps" }
[[traffic]]
id = "nobody"
from = "ingress"
to = "server"
arrivals = { constant = "1rps" }
"#;
    let run = limited(by_user, FAST, bob);
    assert_eq!(count(&run, "users", "server", "200 -"), 5);
    assert_eq!(count(&run, "bob", "server", "200 -"), 5);
    let of_nobody = ledger(&run, "nobody", "server");
    assert!(of_nobody.starts_with("200 -: 2") && !of_nobody.contains("429"), "{of_nobody}");
    let asked = count(&run, "ingress", "limiter", "200 -");
    assert!((1020..=1022).contains(&asked), "{asked}: none for those without the header");
}

#[test]
fn a_service_that_is_slow_or_down_lets_pass_unless_told_otherwise() {
    let slow = r#"time = "50ms""#;
    let down = "time = \"1ms\"\nbehaviour = { port = \"refuses\" }";
    let fails = "time = \"1ms\"\nerrors = 1.0";
    let denies = format!("failure_mode_deny = true, {TEN}");
    for limiter in [slow, down, fails] {
        assert_eq!(users(&limited(TEN, limiter, "")), "200 -: 1000", "{limiter}");
        assert_eq!(users(&limited(&denies, limiter, "")), "500 RLSE: 1000", "{limiter}");
    }
    // The timeout is waited for, and no longer.
    let late_ns = limited(TEN, slow, "").latency.quantile(0.5).expect("requests");
    assert!((21_000_000..23_000_000).contains(&late_ns), "{late_ns}");
    let patient = format!("timeout = \"100ms\", {TEN}");
    assert!(users(&limited(&patient, slow, "")).contains("429 RL"));
}

#[test]
fn the_service_counts_what_nobody_waits_for_any_more() {
    let hundred = r#"limit = [{ requests = 100, unit = "minute" }]"#;
    let slow = r#"
[[event]]
id = "slow"
at = "0s"
for = "10s"
do = "slow"
target = "service:limiter"
factor = 50
"#;
    // 500 requests pass in the first ten seconds, because nobody waits for the count; but they count.
    let run = limited(hundred, FAST, slow);
    let passed = count(&run, "users", "server", "200 -");
    assert!((498..=502).contains(&passed), "{}", users(&run));
    assert_eq!(count(&run, "users", "server", "429 RL"), 1000 - passed);
}

#[test]
fn limits_hold_for_what_a_sidecar_sends() {
    let run = run(r#"
[scenario]
duration = "10s"
[mesh]
profile = "istio-sidecar@1.28"
[[service]]
name = "caller"
[[service.workload]]
time = "1ms"
calls = [{ to = "callee", required = false }]
[[service]]
name = "callee"
[[service.workload]]
time = "1ms"
[[service]]
name = "limiter"
[[service.workload]]
time = "1ms"
[[filter]]
at = "caller"
direction = "outbound"
global_rate_limit = { service = "limiter", limit = [{ requests = 7, unit = "hour" }] }
[[traffic]]
id = "users"
from = "ingress"
to = "caller"
arrivals = { constant = "10rps" }
"#);
    assert_eq!(count(&run, "caller", "callee", "200 -"), 7);
    assert_eq!(ledger(&run, "users", "caller").split(':').next(), Some("200 -"));
}
