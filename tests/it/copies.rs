//! Several tries of a request at once, and copies of requests that nobody waits for.
//!
//! Source: measurements of Envoy 1.40, e03 `hedge_on_per_try_timeout` and e11 `mirror_10pct_*`.

use crate::support::{ledger, plan_with, run};
use meshsim::observe::run::Run;
use meshsim::world::options::{Go, Options};
use meshsim::world::simulate;

/// A gateway without a mesh in front of a server, and an audit beside it; 20 requests a second for 3 s.
fn play(service: &str, workload: &str, audit: &str) -> Run {
    run(&format!(
        r#"
[scenario]
duration = "5s"
[mesh]
profile = "none"
ingress.replicas = 1
[[service]]
name = "audit"
[[service.workload]]
workers = 1000
{audit}
[[service]]
name = "server"
{service}
[[service.workload]]
workers = 1000
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
    ))
}

fn hedged(attempts: u32, workload: &str) -> Run {
    let retries = format!(
        "retries = {{ attempts = {attempts}, on = [\"5xx\"], per_try_timeout = \"100ms\", \
         hedge_on_per_try_timeout = true }}"
    );
    let service = format!("{retries}\ncircuit_breaker = {{ max_retries = 1000 }}");
    play(&service, workload, "time = \"1ms\"")
}

#[test]
fn the_first_of_several_tries_wins_if_it_goes_on() {
    let run = hedged(2, "time = \"500ms\"");
    // Its third try found no retry left, hence the flag, as measured.
    assert_eq!(ledger(&run, "users", "server"), "200 URX: 60");
    assert_eq!((run.attempts.total, run.attempts.retries), (180, 120));
    let longest = run.latency.quantile(1.0).unwrap_or_default() as f64 / 1e6;
    assert!((500.0..503.0).contains(&longest), "{longest} ms");
}

#[test]
fn an_answer_in_time_needs_no_other_try_and_bad_ones_are_tried_again() {
    let run = hedged(2, "time = \"50ms\"");
    assert_eq!((ledger(&run, "users", "server").as_str(), run.attempts.total), ("200 -: 60", 60));
    // Each of the three tries ends with a 503; the last one is the answer.
    let run = hedged(2, "time = \"150ms\"\nerrors = { share = 1.0, status = 503 }");
    assert_eq!(ledger(&run, "users", "server"), "503 URX: 60");
    assert_eq!(run.attempts.total, 180);
}

#[test]
fn a_route_timeout_ends_all_tries_of_a_request() {
    let retries = "timeout = \"250ms\"\nretries = { attempts = 5, on = [\"5xx\"], \
                   per_try_timeout = \"100ms\", hedge_on_per_try_timeout = true }\n\
                   circuit_breaker = { max_retries = 1000 }";
    let run = play(retries, "time = \"500ms\"", "time = \"1ms\"");
    assert_eq!(ledger(&run, "users", "server"), "504 UT: 60");
}

#[test]
fn copies_neither_delay_nor_fail_the_request() {
    let mirror = "[[service.route]]\nmirror = { to = \"audit\" }";
    let audit = "time = \"80ms\"\nerrors = { share = 1.0, status = 503 }";
    let run = play(mirror, "time = \"1ms\"", audit);
    assert_eq!(ledger(&run, "users", "server"), "200 -: 60");
    assert_eq!(ledger(&run, "users", "audit"), "503 -: 60");
    assert_eq!((run.requests.total, run.requests.ok), (60, 60));
    let longest = run.latency.quantile(1.0).unwrap_or_default() as f64 / 1e6;
    assert!(longest < 5.0, "{longest} ms");
}

#[test]
fn a_share_of_the_requests_is_copied_whatever_they_draw_else() {
    let with = |share: &str| {
        let mirror =
            format!("[[service.route]]\nmirror = {{ to = \"audit\", share = \"{share}\" }}");
        play(&mirror, "time = { exponential = \"20ms\" }", "time = \"1ms\"")
    };
    let (none, half) = (with("0%"), with("50%"));
    assert_eq!(ledger(&none, "users", "audit"), "");
    let copies: u64 =
        half.outcomes.iter().filter(|row| row.destination == "audit").map(|row| row.count).sum();
    assert!((15..=45).contains(&copies), "{copies} of 60");
    assert_eq!(none.latency.quantile(0.5), half.latency.quantile(0.5));
}

/// A hedge's back-off is under way when an answer begins whose body is late: that ends the call once.
#[test]
fn a_back_off_that_an_answer_has_overtaken_is_forgotten() {
    for reply in ["slow_body", "headers_then_reset"] {
        let text = format!(
            r#"
[scenario]
duration = "60s"
[[service]]
name = "leaf"
timeout = "60ms"
retries = {{ attempts = 2, on = ["5xx"], per_try_timeout = "15ms", hedge_on_per_try_timeout = true }}
[[service.workload]]
workers = 4
time = {{ exponential = "10ms" }}
behaviour = {{ reply = "{reply}", body_delay = "5ms" }}
[[traffic]]
id = "users"
from = "ingress"
to = "leaf"
arrivals = {{ poisson = "50rps" }}
"#
        );
        let plan = plan_with(&text, &[]);
        for seed in 1..=5 {
            let run = simulate(&plan, seed, Options::default(), &mut |_| Go::On);
            assert!(1_000 < run.requests.total, "{} requests", run.requests.total);
        }
    }
}

/// Envoy's `request_mirror_policies` is a list: each of them copies for itself.
#[test]
fn a_request_may_be_copied_to_several() {
    let route =
        "[[service.route]]\nmirror = [{ to = \"audit\" }, { to = \"audit\", share = \"50%\" }]";
    let run = play(route, "time = \"1ms\"", "time = \"1ms\"");
    assert_eq!(ledger(&run, "users", "server"), "200 -: 60");
    let copies: u64 =
        run.outcomes.iter().filter(|row| row.destination == "audit").map(|row| row.count).sum();
    assert!((75..=105).contains(&copies), "{copies}");
}

/// Users before a server that fails, with retries, and copies to an audit; 20 requests for 1 s.
fn long(length: &str, service: &str, route: &str) -> (String, u64) {
    let run = run(&format!(
        r#"
[scenario]
duration = "5s"
[mesh]
profile = "none"
ingress.replicas = 1
[[service]]
name = "server"
retries = {{ attempts = 1, on = ["5xx"] }}
circuit_breaker = {{ max_retries = 100 }}
{service}
[[service.route]]
mirror = {{ to = "audit" }}
{route}
[[service.workload]]
time = "1ms"
errors = {{ share = 1.0, status = 500 }}
[[service]]
name = "audit"
[[service.workload]]
time = "1ms"
[[traffic]]
id = "users"
from = "ingress"
to = "server"
headers = {{ content-length = "{length}" }}
arrivals = {{ constant = "20rps" }}
[[event]]
id = "no-more"
at = "1010ms"
do = "traffic"
target = "traffic:users"
factor = 0
"#
    ));
    let audited = run.outcomes.iter().filter(|row| row.destination == "audit");
    (ledger(&run, "users", "server"), audited.map(|row| row.count).sum())
}

#[test]
fn a_request_that_is_too_long_to_be_kept_is_sent_once_and_not_copied() {
    let limit = "per_request_buffer_limit = 65536";
    let (kept, sent_once) = (("500 URX: 20".to_owned(), 20), ("500 -: 20".to_owned(), 0));
    assert_eq!(long("65536", limit, ""), kept);
    assert_eq!(long("65537", limit, ""), sent_once);
    // The route's limit is nearer; where nobody says anything, it is a mebibyte.
    assert_eq!(long("65537", limit, "per_request_buffer_limit = 100000"), kept);
    assert_eq!(long("65537", "", ""), kept);
    assert_eq!(long("1048577", "", ""), sent_once);
}
