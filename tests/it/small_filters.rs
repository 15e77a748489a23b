//! CORS and buffers: filters that look at one request alone.
//!
//! Source: Envoy's filters; see `model::proxy::filter::{cors, buffer}`.

use crate::support::{ledger, run};
use meshsim::observe::run::Run;

/// Requests to a server behind a gateway and a sidecar, with a filter.
fn filtered(filter: &str, request: &str) -> Run {
    run(&format!(
        r#"
[scenario]
duration = "10s"
[mesh]
profile = "istio-sidecar@1.28"
[[service]]
name = "server"
[[service.workload]]
time = "1ms"
[[filter]]
{filter}
[[traffic]]
id = "users"
from = "ingress"
to = "server"
{request}
arrivals = {{ constant = "10rps" }}
"#
    ))
}

/// How all of them ended, and whether any got to the server.
fn ended(filter: &str, request: &str) -> (String, bool) {
    let run = filtered(filter, request);
    let words = ledger(&run, "users", "server");
    (words.split(':').next().unwrap_or_default().to_owned(), run.attempts.total != 0)
}

const PREFLIGHT: &str = r#"
method = "OPTIONS"
headers = { origin = "https://shop.example", access-control-request-method = "PUT" }
"#;

fn details(run: &Run) -> Vec<&'static str> {
    let mut all: Vec<_> = run.outcomes.iter().map(|row| row.outcome.details.text()).collect();
    all.dedup();
    all
}

#[test]
fn a_gateway_answers_the_preflights_of_origins_that_may_ask() {
    let shop = "at = \"ingress\"\ncors = { allow_origin = [{ suffix = \"shop.example\" }] }";
    assert_eq!(ended(shop, PREFLIGHT), ("200 -".to_owned(), false));
    assert_eq!(details(&filtered(shop, PREFLIGHT)), ["cors_response"]);
    // The same by another method is a request like any other.
    let get = PREFLIGHT.replace("OPTIONS", "GET");
    assert_eq!(ended(shop, &get), ("200 -".to_owned(), true));
    let other = "at = \"ingress\"\ncors = { allow_origin = [{ exact = \"https://other\" }] }";
    assert_eq!(ended(other, PREFLIGHT), ("200 -".to_owned(), true));
    let closed = "at = \"ingress\"\ncors = { forward_not_matching_preflights = false }";
    assert_eq!(ended(closed, PREFLIGHT), ("200 -".to_owned(), false));
}

#[test]
fn a_body_above_the_limit_is_refused_at_either_side() {
    let of =
        |bytes: u32| format!("method = \"POST\"\nheaders = {{ content-length = \"{bytes}\" }}");
    let at = |at: &str| format!("at = \"{at}\"\nbuffer = {{ max_request_bytes = 65536 }}");
    assert_eq!(ended(&at("ingress"), &of(65_536)), ("200 -".to_owned(), true));
    assert_eq!(ended(&at("ingress"), &of(65_537)), ("413 -".to_owned(), false));
    let refused = filtered(&at("ingress"), &of(65_537));
    assert_eq!(details(&refused), ["request_payload_too_large"]);
    // A sidecar's refusal is an answer to the gateway.
    assert_eq!(ended(&at("server"), &of(65_537)), ("413 -".to_owned(), true));
    assert_eq!(ended(&at("server"), &of(65_536)), ("200 -".to_owned(), true));
    assert_eq!(details(&filtered(&at("server"), &of(65_537))), ["via_upstream"]);
}
