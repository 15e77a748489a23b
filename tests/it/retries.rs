//! What the headers of answers decide: whether a request is tried again, and when.
//!
//! Source: Envoy's router (`x-envoy-retry-on`, `x-envoy-retry-grpc-on`, `rate_limited_retry_back_off`).

use crate::support::{ledger, run};
use meshsim::observe::run::Run;
use meshsim::vocabulary::fact::FactKind;

/// A gateway without a mesh in front of a server; 20 requests a second for 3 s, each answered in 1 ms.
fn play(service: &str, workload: &str, more: &str) -> Run {
    run(&format!(
        r#"
[scenario]
duration = "40s"
[mesh]
profile = "none"
ingress.replicas = 1
[[service]]
name = "server"
circuit_breaker = {{ max_retries = 1000 }}
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
    ))
}

/// All answers are 200 with these headers; two retries on these conditions.
fn answered(on: &str, headers: &str) -> (String, u64) {
    let service = format!("retries = {{ attempts = 2, on = [{on}] }}");
    let workload = format!("behaviour = {{ response_headers = {{ {headers} }} }}");
    let run = play(&service, &workload, "");
    (ledger(&run, "users", "server"), run.attempts.retries)
}

#[test]
fn a_grpc_status_is_tried_again_by_its_own_condition() {
    let unavailable = r#"grpc-status = "14""#;
    let gave_up = || ("200 URX: 60".to_owned(), 120);
    let fine = || ("200 -: 60".to_owned(), 0);
    assert_eq!(answered("\"unavailable\"", unavailable), gave_up());
    assert_eq!(answered("\"5xx\", \"reset\", \"cancelled\"", unavailable), fine());
    assert_eq!(answered("\"internal\"", r#"grpc-status = "13""#), gave_up());
    assert_eq!(answered("\"unavailable\"", r#"grpc-status = "0""#), fine());
}

#[test]
fn istios_defaults_retry_grpc_errors_that_last() {
    let errors =
        r#"errors = { share = 1.0, status = 200, response_headers = { Grpc-Status = "14" } }"#;
    // Its conditions, which no profile changes: `unavailable` is among them.
    let twice = "retries = { attempts = 2 }";
    let run = play(twice, errors, "");
    assert_eq!(ledger(&run, "users", "server"), "200 URX: 60");
    assert_eq!(run.attempts.retries, 120);
    let internal = errors.replace("14", "13");
    let run = play(twice, &internal, "");
    assert_eq!((ledger(&run, "users", "server").as_str(), run.attempts.retries), ("200 -: 60", 0));
}

#[test]
fn retriable_headers_are_looked_for_in_every_answer() {
    let list = |matcher: &str| {
        format!(
            "retries = {{ attempts = 1, on = [\"retriable-headers\"], \
             retriable_headers = [{{ name = \"x-again\", {matcher} }}] }}"
        )
    };
    let with = |matcher: &str| {
        let workload = r#"behaviour = { response_headers = { X-Again = "please" } }"#;
        play(&list(matcher), workload, "").attempts.retries
    };
    assert_eq!((with("exact = \"please\""), with("prefix = \"no\"")), (60, 0));
    assert_eq!(with("exact = \"no\", invert = true"), 60);
}

#[test]
fn what_is_rate_limited_upstream_needs_a_condition_of_its_own() {
    let with = |on: &str| {
        let service = format!("retries = {{ attempts = 2, on = [{on}] }}");
        let workload = "errors = { share = 1.0, status = 503, \
                        response_headers = { x-envoy-ratelimited = \"true\" } }";
        let run = play(&service, workload, "");
        (ledger(&run, "users", "server"), run.attempts.retries)
    };
    assert_eq!(with("\"5xx\", \"gateway-error\""), ("503 -: 60".to_owned(), 0));
    assert_eq!(with("\"envoy-ratelimited\""), ("503 URX: 60".to_owned(), 120));
}

#[test]
fn a_conflict_is_tried_again_by_retriable_4xx() {
    let with = |status: u16| {
        let workload = format!("errors = {{ share = 1.0, status = {status} }}");
        play("retries = { attempts = 1, on = [\"retriable-4xx\"] }", &workload, "").attempts.retries
    };
    assert_eq!((with(409), with(429)), (60, 0));
}

/// How long requests took in milliseconds, the shortest and the longest: one retry of a 503 with these
/// headers.
fn waits(backoff: &str, headers: &str) -> (f64, f64) {
    let service = format!(
        "retries = {{ attempts = 1, on = [\"5xx\"], backoff_base = \"25ms\", \
         rate_limited_backoff = {{ {backoff} }} }}"
    );
    let workload =
        format!("errors = {{ share = 1.0, status = 503, response_headers = {{ {headers} }} }}");
    let run = play(&service, &workload, "");
    assert_eq!(run.attempts.retries, 60);
    let at = |share| run.latency.quantile(share).unwrap_or_default() as f64 / 1e6;
    (at(0.0), at(1.0))
}

#[test]
fn a_back_off_is_as_long_as_the_answer_asks_and_up_to_half_as_much_more() {
    let resets = "reset_headers = [{ name = \"Retry-After\" }]";
    let (shortest, longest) = waits(resets, "retry-after = \"2\"");
    // Measured: 1 s became 1.2 and 1.4 s.
    assert!((2000.0..2150.0).contains(&shortest) && (2850.0..3010.0).contains(&longest));
    // What asks for too much is passed over: 25 ms at most, and two tries.
    let (_, longest) = waits(&format!("{resets}, max_interval = \"1s\""), "retry-after = \"2\"");
    assert!(longest < 35.0, "{longest} ms");
    let (_, longest) = waits(resets, "x-other = \"2\"");
    assert!(longest < 35.0, "{longest} ms");
}

#[test]
fn a_back_off_until_a_time_of_the_clock_gathers_those_who_wait() {
    let resets = "reset_headers = [{ name = \"x-reset\", format = \"unix_timestamp\" }]";
    let (shortest, longest) = waits(resets, "x-reset = \"20\"");
    // From whole seconds 0 to 2 until 20 s: 18 to 20 s, and up to half of that.
    assert!(17_900.0 < shortest && shortest < 22_000.0, "{shortest} ms");
    assert!(24_000.0 < longest && longest < 30_010.0, "{longest} ms");
}

#[test]
fn headers_of_errors_come_and_go_with_events() {
    let event = |more: &str| {
        format!(
            "[[event]]\nid = \"limited\"\nat = \"1s\"\nuntil = \"2s\"\ndo = \"errors\"\n\
             target = \"service:server\"\nstatus = 429\n{more}"
        )
    };
    let service = "retries = { attempts = 1, on = [\"retriable-headers\"], \
                   retriable_headers = [{ name = \"retry-after\" }] }";
    let with = play(service, "", &event("response_headers = { retry-after = \"1\" }"));
    let without = play(service, "", &event(""));
    assert_eq!((with.attempts.retries, without.attempts.retries), (20, 0));
    let behave = "[[event]]\nid = \"odd\"\nat = \"1s\"\nuntil = \"2s\"\ndo = \"behave\"\n\
                  target = \"service:server\"\n\
                  behaviour = { response_headers = { retry-after = \"1\" } }";
    assert_eq!(play(service, "", behave).attempts.retries, 20);
}

#[test]
fn hedged_tries_heed_the_headers_of_answers() {
    let with = |on: &str| {
        let service = format!(
            "retries = {{ attempts = 1, on = [{on}], per_try_timeout = \"100ms\", \
             hedge_on_per_try_timeout = true }}"
        );
        let workload = r#"behaviour = { response_headers = { grpc-status = "8" } }"#;
        let run = play(&service, workload, "");
        (ledger(&run, "users", "server"), run.attempts.retries)
    };
    assert_eq!(with("\"resource-exhausted\""), ("200 URX: 60".to_owned(), 60));
    assert_eq!(with("\"unavailable\""), ("200 -: 60".to_owned(), 0));
}

/// Four pods of the first priority that answer 503, and one of the second that does not.
fn by_priority(retries: &str) -> (String, u64) {
    let service = format!("retries = {{ on = [\"5xx\"], {retries} }}");
    let bad = "version = \"v1\"\nreplicas = 4\nerrors = { share = 1.0, status = 503 }\n\
               [[service.workload]]\nversion = \"v2\"\npriority = 1\ntime = \"1ms\"";
    let run = play(&service, bad, "");
    (ledger(&run, "users", "server"), run.attempts.retries)
}

#[test]
fn a_retry_keeps_away_from_priorities_that_were_tried() {
    let gave_up = |retries| ("503 URX: 60".to_owned(), retries);
    let fine = |retries| ("200 -: 60".to_owned(), retries);
    // Other pods of the first priority, as long as it is healthy.
    assert_eq!(by_priority("attempts = 1"), gave_up(60));
    assert_eq!(by_priority("attempts = 1, previous_priorities = 1"), fine(60));
    // Istio's `retryRemoteLocalities`: the first two tries are at home.
    assert_eq!(by_priority("attempts = 1, previous_priorities = 2"), gave_up(60));
    assert_eq!(by_priority("attempts = 2, previous_priorities = 2"), fine(120));
}

/// Envoy maps a gRPC status to an HTTP status for outlier detection (`router.cc`, `onUpstreamHeaders`); its
/// client sees a failure, whatever the HTTP status is.
#[test]
fn a_grpc_error_is_a_failure_to_meters_and_outlier_detection() {
    let outlier = "outlier_detection = { consecutive_5xx = 3, interval = \"1s\", max_ejection_share = \"100%\" }";
    let with = |status: u8| {
        let headers =
            format!("behaviour = {{ response_headers = {{ grpc-status = \"{status}\" }} }}");
        let run = play(outlier, &headers, "");
        let ejected = run.log.iter().any(|fact| fact.kind == FactKind::EndpointEjected);
        (run.requests.ok, ejected)
    };
    assert_eq!(with(14), (0, true));
    assert_eq!(with(13), (0, true));
    assert_eq!(with(0), (60, false));
    // `not_found` stands for 404.
    assert_eq!(with(5), (60, false));
}
