//! Goal: the request path of a mesh of Linkerd: discovery, queues with fail-fast, its balancer, and the answers that
//! its proxies give by themselves.
//! Method: small meshes whose numbers can be reckoned by hand.
//!
//! Source: docs/linkerd-traffic.md; `model::linkerd`.

use crate::support::{count, ledger, run, run_with, try_plan};
use crate::swarm::random_ones_obey;
use meshsim::kernel::stream::{Stream, below};
use meshsim::observe::run::Run;
use meshsim::vocabulary::outcome::Details;
use std::fmt::Write as _;

/// `front` of two pods calls `back` of three; `traffic` are keys of the source.
fn mesh(duration: &str, traffic: &str, back: &str, more: &str) -> String {
    format!(
        "[scenario]\nduration = \"{duration}\"\ninterval = \"1s\"\n[mesh]\nprofile = \"linkerd\"\n\
         [[service]]\nname = \"front\"\n[[service.workload]]\nreplicas = 2\ntime = \"1ms\"\n\
         [[service]]\nname = \"back\"\n{back}\n[[service.workload]]\nreplicas = 3\nworkers = 8\ntime = \"5ms\"\n\
         [[traffic]]\nid = \"calls\"\nfrom = \"front\"\nto = \"back\"\n{traffic}\n{more}\n"
    )
}

/// The three pods of `back` are its version v2.
fn versions(text: &str) -> String {
    text.replace("replicas = 3", "version = \"v2\"\nreplicas = 3")
}

const STEADY: &str = "arrivals = { constant = \"20rps\" }";

fn event(id: &str, at: &str, does: &str, target: &str, more: &str) -> String {
    format!(
        "[[event]]\nid = \"{id}\"\nat = \"{at}\"\ndo = \"{does}\"\ntarget = \"{target}\"\n{more}\n"
    )
}

fn of(run: &Run, details: Details) -> u64 {
    let rows = run.outcomes.iter().filter(|row| row.outcome.details == details);
    rows.map(|row| row.count).sum()
}

#[test]
fn requests_go_over_one_connection_to_each_endpoint() {
    let run = run(&mesh("1m", STEADY, "", ""));
    assert_eq!(ledger(&run, "front", "back"), "200 -: 1199");
    // Two clients, three endpoints; no certificate is looked at again.
    assert_eq!(run.control_plane.handshakes, 6);
}

#[test]
fn who_waits_when_fail_fast_begins_gets_504_and_who_comes_then_503() {
    let down = event("down", "30s", "fail", "service:back", "for = \"30s\"");
    let run = run(&mesh("2m", STEADY, "", &down));
    let (waited, shed) = (of(&run, Details::LinkerdFailFast), of(&run, Details::LinkerdLoadShed));
    // Three seconds at 20 a second, and then 27 and some until a connection is up again.
    assert!((55..=61).contains(&waited), "{}", ledger(&run, "front", "back"));
    assert!((500..=800).contains(&shed), "{}", ledger(&run, "front", "back"));
    assert_eq!(count(&run, "front", "back", "504 -"), waited);
    assert_eq!(count(&run, "front", "back", "503 -"), shed);
    let old = run_with(&mesh("2m", STEADY, "", &down), &["mesh.profile=linkerd@2.12"]);
    assert_eq!(count(&old, "front", "back", "504 -"), 0);
}

#[test]
fn one_dead_endpoint_costs_no_more_than_what_is_on_its_connection() {
    let down = event("down", "30s", "fail", "pod:back-0", "");
    let text = mesh("2m", "arrivals = { poisson = \"200rps\" }", "", &down);
    let run = run(&text);
    let bad = run.requests.total - run.requests.ok;
    assert!(bad <= 10, "{}", ledger(&run, "front", "back"));
}

#[test]
fn a_slow_endpoint_gets_fewer_requests() {
    let slow = event("slow", "0s", "slow", "service:back/v1", "factor = 20");
    let back = "[[service.workload]]\nversion = \"v1\"\nworkers = 8\ntime = \"5ms\"\n";
    let run = run(&versions(&mesh("1m", "arrivals = { poisson = \"100rps\" }", back, &slow)));
    let to = |version: &str| -> u64 {
        let rows = run.outcomes.iter().filter(|row| row.version == version);
        rows.map(|row| row.count).sum()
    };
    // One of four, 20 times as slow: of a choice between two it loses nearly each.
    assert!(to("v1") * 20 < to("v2"), "{} and {}", to("v1"), to("v2"));
}

/// A leaf ends at 31 s; at a minute the pods of `back` start again, and with them the connections.
fn with_a_leaf_that_ends(whose: &str) -> Run {
    let leaf = "certificate = { not_after = \"31s\" }";
    let over = event("over", "30s", "secret", whose, leaf);
    let again = event("again", "1m", "restart", "service:back", "");
    run(&mesh("3m", STEADY, "", &format!("{over}{again}")))
}

/// TLS 1.3: the client is connected before it hears that its leaf is refused, a round trip later, and connects again
/// 100 ms after: there is always an endpoint soon, and no fail-fast.
#[test]
fn a_client_whose_leaf_is_over_gets_502_and_no_fail_fast() {
    let run = with_a_leaf_that_ends("service:front");
    let shown = ledger(&run, "front", "back");
    let refused = count(&run, "front", "back", "502 -");
    assert!((2_000..=2_400).contains(&refused), "{shown}");
    assert_eq!(count(&run, "front", "back", "504 -"), 0, "{shown}");
    assert_eq!(count(&run, "front", "back", "503 -"), 0, "{shown}");
    // Two clients, three endpoints, a try each 100 to 110 ms, of two minutes: the wait does not grow.
    let tries = run.control_plane.handshakes_failed;
    assert!((5_000..=7_200).contains(&tries), "{tries}");
}

/// The other way round connections fail at once, and the wait between them grows.
#[test]
fn a_server_whose_leaf_is_over_is_no_endpoint() {
    let run = with_a_leaf_that_ends("service:back");
    let shown = ledger(&run, "front", "back");
    // Those of three seconds have waited, all others find fail-fast.
    let waited = count(&run, "front", "back", "504 -");
    assert!((40..=70).contains(&waited), "{shown}");
    let shed = count(&run, "front", "back", "503 -");
    assert!((2_200..=2_400).contains(&(shed + waited)), "{shown}");
    let tries = run.control_plane.handshakes_failed;
    assert!((30..=100).contains(&tries), "{tries}");
}

#[test]
fn an_app_that_closes_is_a_broken_connection() {
    let closes =
        event("closes", "30s", "behave", "service:back", "behaviour = { reply = \"closes\" }");
    let run = run(&mesh("1m", STEADY, "", &closes));
    let shown = ledger(&run, "front", "back");
    assert!((550..=600).contains(&count(&run, "front", "back", "502 -")), "{shown}");
    assert_eq!(count(&run, "front", "back", "503 -"), 0, "{shown}");
}

/// The bar of the outage: who calls once a minute on a new connection fails, who is busy does not.
#[test]
fn in_an_outage_those_fail_that_open_a_connection_for_a_rare_call() {
    let down = event("down", "10m", "fail", "linkerd", "for = \"2h\"");
    let client = "client = { timeout = \"10s\" }";
    let rare =
        format!("arrivals = {{ constant = \"60/h\" }}\napp_connection = \"per-request\"\n{client}");
    let rare = run(&mesh("3h", &rare, "", &down));
    let shown = ledger(&rare, "front", "back");
    let hung = count(&rare, "front", "back", "0 DC");
    assert!((115..=125).contains(&hung), "{shown}");
    let busy = format!(
        "arrivals = {{ constant = \"20rps\" }}\napp_connection = \"per-request\"\n{client}"
    );
    let busy = run(&mesh("3h", &busy, "", &down));
    assert_eq!(busy.requests.total, busy.requests.ok, "{}", ledger(&busy, "front", "back"));
    // Its app keeps its connections: rare, but known.
    let kept =
        run(&mesh("3h", &format!("arrivals = {{ constant = \"60/h\" }}\n{client}"), "", &down));
    assert_eq!(kept.requests.total, kept.requests.ok, "{}", ledger(&kept, "front", "back"));
    let text = mesh("3h", "arrivals = { constant = \"60/h\" }", "", &down);
    let istio = ["mesh.profile=istio-sidecar", "event.down.target=istiod"];
    let istio = run_with(&text, &istio);
    assert_eq!(istio.requests.total, istio.requests.ok);
}

/// Up to 2.12 a lookup is given up 3 s after it began, also one whose controller goes while it is under way.
#[test]
fn a_lookup_that_loses_its_controller_is_given_up_all_the_same() {
    let text = r#"
[scenario]
duration = "60s"
[mesh]
profile = "linkerd@2.12"
[[node]]
name = "n0"
[[node]]
name = "n1"
[[service]]
name = "front"
[[service.workload]]
nodes = ["n1"]
time = "1ms"
[[service]]
name = "back"
[[service.workload]]
workers = 8
time = "5ms"
replicas = 4
[[traffic]]
id = "calls"
from = "front"
to = "back"
arrivals = { constant = { steps = [["0s", "0rps"], ["20s", "1rps"]] } }
app_connection = "per-request"
client = { timeout = "25s" }
[[event]]
id = "slow"
at = "10s"
do = "degrade"
target = "link:n0<->n1"
delay = "1s"
[[event]]
id = "down"
at = "22s"
for = "30s"
do = "fail"
target = "linkerd/destination"
"#;
    let run = run(text);
    let of = |details: Details| -> u64 {
        let rows = run.outcomes.iter().filter(|row| row.outcome.details == details);
        rows.map(|row| row.count).sum()
    };
    assert!(10 <= of(Details::LinkerdUnknown), "{}", ledger(&run, "front", "back"));
    assert_eq!(of(Details::DownstreamDisconnect), 0);
}

#[test]
fn an_unknown_destination_hangs_until_the_control_plane_is_back_or_is_reset_up_to_2_12() {
    let down = event("down", "0s", "fail", "linkerd", "for = \"10m\"");
    let text = mesh(
        "20m",
        "arrivals = { constant = \"1rps\" }\napp_connection = \"per-request\"",
        "",
        &down,
    );
    let new = run(&text);
    assert_eq!(new.requests.total, new.requests.ok, "{}", ledger(&new, "front", "back"));
    let old = run_with(&text, &["mesh.profile=linkerd@2.12"]);
    let reset = of(&old, Details::LinkerdUnknown);
    assert_eq!(count(&old, "front", "back", "0 -"), reset);
    assert!((600..=662).contains(&reset), "{}", ledger(&old, "front", "back"));
}

#[test]
fn an_app_that_refuses_is_502_and_one_that_swallows_504() {
    let refuses =
        event("port", "30s", "behave", "service:back", "behaviour = { port = \"refuses\" }");
    let run = run(&mesh("1m", STEADY, "", &refuses));
    assert_eq!(ledger(&run, "front", "back"), "200 -: 599, 502 -: 600");
}

#[test]
fn a_full_queue_sheds_load() {
    let down = event("down", "30s", "fail", "service:back", "for = \"30s\"");
    let run = run_with(
        &mesh("1m", "arrivals = { constant = \"1000rps\" }", "", &down),
        &["mesh.linkerd_outbound.http_queue=100"],
    );
    // A queue of 100 and one that is served, in each of two proxies.
    assert_eq!(of(&run, Details::LinkerdFailFast), 202, "{}", ledger(&run, "front", "back"));
}

// === policies ===

const FAILS_FIRST: &str = "failure_accrual = {}";

#[test]
fn failure_accrual_shuts_an_endpoint_out() {
    let broken = event("broken", "10s", "errors", "service:back", "share = \"100%\"");
    let text = mesh("1m", STEADY, FAILS_FIRST, &broken);
    let run = run(&text);
    let errors = of(&run, Details::AppError);
    assert!((42..120).contains(&errors), "{}", ledger(&run, "front", "back"));
    // All are shut out: as without endpoints.
    assert!(50 < of(&run, Details::LinkerdFailFast) && 500 < of(&run, Details::LinkerdLoadShed));
    let without = crate::support::run(&mesh("1m", STEADY, "", &broken));
    assert_eq!(of(&without, Details::AppError), 1000);
    let by_profile = "failure_accrual = {}\nservice_profile = {}";
    assert!(try_plan(&mesh("1m", STEADY, by_profile, &broken), &[]).is_err());
}

#[test]
fn annotations_try_again_as_often_as_the_limit_says() {
    let broken = event("broken", "0s", "errors", "service:back", "share = \"50%\"");
    let bad = |keys: &str| {
        let run = run(&mesh("1m", "arrivals = { poisson = \"200rps\" }", keys, &broken));
        (run.requests.total - run.requests.ok) as f64 / run.requests.total as f64
    };
    for (keys, share) in [
        ("", 0.5),
        ("retry = { http = \"5xx\" }", 0.25),
        ("retry = { limit = 3 }", 0.0625),
        ("retry = { http = \"502-504\" }", 0.5),
        // The budget has some left for half of the failures, a hundred a second, at most.
        ("service_profile = { is_retryable = true, min_retries_per_s = 1000 }", 0.0),
    ] {
        let shown = bad(keys);
        assert!((shown - share).abs() < 0.02, "{keys}: {shown}, not {share}");
    }
}

#[test]
fn a_limit_on_a_request_is_504_without_a_flag() {
    let keys = "timeout = \"2ms\"";
    let run = run(&mesh("10s", STEADY, keys, ""));
    assert_eq!(of(&run, Details::LinkerdTimeout), run.requests.total);
    assert_eq!(ledger(&run, "front", "back"), "504 -: 199");
    let profile =
        crate::support::run(&mesh("10s", STEADY, "service_profile = { timeout = \"2ms\" }", ""));
    assert_eq!(of(&profile, Details::LinkerdProfileTimeout), profile.requests.total);
}

/// A backend without endpoints costs its share for three seconds; then the others have it.
#[test]
fn weights_of_backends_that_are_not_ready_go_to_the_others() {
    let back = "[[service.route]]\nweights = { v1 = 50, v2 = 50 }\n\
                [[service.workload]]\nversion = \"v1\"\nworkers = 8\ntime = \"5ms\"\n";
    let gone = event("gone", "30s", "scale", "service:back/v1", "replicas = 0");
    let text = versions(&mesh("2m", STEADY, back, &gone));
    let run = run_with(&text, &["mesh.drain.termination=100ms"]);
    let failed = of(&run, Details::LinkerdFailFast);
    assert!((20..45).contains(&failed), "{}", ledger(&run, "front", "back"));
    assert_eq!(of(&run, Details::LinkerdLoadShed), 0);
    assert!(run.requests.total - run.requests.ok - failed < 5);
}

#[test]
fn inbound_proxies_ask_for_identities_and_count() {
    let denied = |keys: &str, more: &[&str]| {
        let run = run_with(&mesh("10s", STEADY, keys, ""), more);
        (of(&run, Details::LinkerdUnauthorized), of(&run, Details::LinkerdRateLimited))
    };
    let plain = ["service.front.meshed=false"];
    assert_eq!(denied("server = { access_policy = \"all-authenticated\" }", &[]), (0, 0));
    assert_eq!(denied("server = { access_policy = \"all-authenticated\" }", &plain), (199, 0));
    assert_eq!(denied("server = { clients = [\"front\"] }", &[]), (0, 0));
    assert_eq!(denied("server = { clients = [\"back\"] }", &[]), (199, 0));
    assert_eq!(denied("", &["mesh.linkerd_inbound.default_policy=deny"]), (199, 0));
    // One a second at each of three pods, and one more at the beginning.
    let (_, limited) = denied("local_rate_limit = { total = 1 }", &[]);
    assert!((160..=172).contains(&limited), "{limited}");
    assert_eq!(denied("local_rate_limit = { total = 100, identity = 100 }", &[]), (0, 0));
}

#[test]
fn keys_of_envoy_are_mistakes_in_a_mesh_of_linkerd_and_the_other_way_round() {
    let keys = [
        "retries = { attempts = 1 }",
        "outlier_detection = true",
        "circuit_breaker = { max_pending = 1 }",
        "balancer = \"random\"",
        "[[service.route]]\nretries = { attempts = 1 }",
    ];
    for key in keys {
        let why = try_plan(&mesh("10s", STEADY, key, ""), &[]).expect_err(key);
        assert!(why.contains("does nothing in a mesh of Linkerd"), "{key}: {why}");
    }
    for key in ["retry = {}", "failure_accrual = {}", "service_profile = {}", "server = {}"] {
        let text = mesh("10s", STEADY, key, "").replace("\"linkerd\"", "\"istio-sidecar\"");
        let why = try_plan(&text, &[]).expect_err(key);
        assert!(why.contains("does nothing without Linkerd"), "{key}: {why}");
    }
}

// === random plans ===

/// One of several.
type Pick<'p> = &'p mut dyn FnMut(&[&str]) -> String;

/// A mesh of Linkerd in which everything may happen.
fn random(seed: u64) -> String {
    let mut draws = Stream::new(seed, "linkerd", "author");
    let mut pick = |list: &[&str]| list[below(draws.next_u64(), list.len())].to_owned();
    let mut text = random_heading(&mut pick);
    for node in 0..3 {
        let _ = write!(text, "[[node]]\nname = \"n{node}\"\n");
    }
    for service in 0..3 {
        text += &random_service(&mut pick, service);
    }
    text + &random_traffic(&mut pick)
}

fn random_heading(pick: Pick<'_>) -> String {
    let releases = ["linkerd", "linkerd@2.14", "linkerd@2.13", "linkerd@2.12"];
    let text = format!(
        "[scenario]\nduration = \"{}\"\n{}\n[mesh]\nprofile = \"{}\"\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n",
        pick(&["4s", "12s", "30s"]),
        pick(&["", "start = \"cold\""]),
        pick(&releases),
        pick(&["", "linkerd_outbound.http_failfast = \"200ms\""]),
        pick(&["", "linkerd_outbound.http_queue = 1", "linkerd_outbound.max_in_flight = 3"]),
        pick(&[
            "",
            "linkerd_outbound.discovery_idle = \"300ms\"",
            "linkerd_inbound.max_in_flight = 2"
        ]),
        pick(&["", "linkerd_outbound.unknown_timeout = \"100ms\""]),
        pick(&["", "linkerd_accrual.mode = \"consecutive\"", "linkerd_accrual.mode = \"unified\""]),
        pick(&["", "linkerd_accrual.max_failures = 1", "linkerd_accrual.min_penalty = \"50ms\""]),
        pick(&["", "cert.ttl = \"2s\"", "cert.ttl = \"8s\""]),
        pick(&[
            "",
            "connections.churn = \"5rps\"",
            "linkerd_inbound.default_policy = \"all-authenticated\"",
            "linkerd_outbound.detect_timeout = \"100ms\"\nlinkerd_inbound.detect_timeout = \"50ms\""
        ]),
    );
    text + "kubernetes.node_grace = \"1s\"\nkubernetes.eviction_after = \"200ms\"\n"
}

fn random_service(pick: Pick<'_>, service: usize) -> String {
    let mut text = format!("[[service]]\nname = \"s{service}\"\n");
    for keys in [
        ["", "meshed = false", "meshed = true"],
        [
            "",
            "retry = { limit = 2, timeout = \"4ms\" }",
            "service_profile = { is_retryable = true, timeout = \"20ms\" }",
        ],
        ["", "local_rate_limit = { total = 5, identity = 2 }", "server = { clients = [\"s0\"] }"],
        ["", "", "penalize_failures = { penalty = \"40ms\" }"],
    ] {
        let _ = writeln!(text, "{}", pick(&keys));
    }
    let protocols = ["http1", "http1", "http1", "http2", "grpc", "tcp", "server-first", "opaque"];
    let protocol = pick(&protocols);
    let is_tcp = !["http1", "http2", "grpc"].contains(&protocol.as_str());
    if is_tcp {
        // No more than that: what is about requests is a mistake there.
        text = format!("[[service]]\nname = \"s{service}\"\n");
    }
    let _ = writeln!(text, "app_protocol = \"{protocol}\"");
    if pick(&["yes", "no"]) == "yes" && !is_tcp && !text.contains("service_profile") {
        let _ = writeln!(
            text,
            "{}",
            pick(&[
                "timeout = \"10ms\"",
                "[[service.route]]\nweights = { v0 = 1, v1 = 1 }",
                "[[service.route]]\nweights = { v0 = 3, v1 = 0 }"
            ])
        );
    }
    for version in 0..2 {
        let calls = match service {
            2 => String::new(),
            _ => format!(
                "calls = [{{ to = \"s{}\"{} }}]",
                service + 1,
                pick(&["", ", app_connection = \"per-request\"", ", required = false"])
            ),
        };
        let _ = write!(
            text,
            "[[service.workload]]\nversion = \"v{version}\"\nreplicas = {}\ntime = \"2ms\"\n{calls}\n{}\n{}\n",
            pick(&["0", "1", "3"]),
            pick(&["", "", "inject = false"]),
            pick(&[
                "",
                "errors = { share = 0.5 }",
                "errors = { share = 0.5, status = 200, response_headers = { grpc-status = \"14\" } }",
                "errors = { share = 0.3, status = 429, response_headers = { retry-after = \"2\" } }",
                "behaviour = { port = \"refuses\" }",
                "behaviour = { reply = \"closes\" }",
                "behaviour = { reply = \"resets\" }",
                "behaviour = { port = \"swallows\" }"
            ]),
        );
    }
    text
}

fn random_traffic(pick: Pick<'_>) -> String {
    let mut text = String::new();
    for source in 0..2 {
        let _ = write!(
            text,
            "[[traffic]]\nid = \"t{source}\"\nfrom = \"{}\"\nto = \"s{source}\"\narrivals = {{ poisson = \"{}\" }}\n{}\n{}\n",
            ["ingress", "s0/v0"][source],
            pick(&["1rps", "20rps", "100rps"]),
            pick(&["", "app_connection = \"per-request\""]),
            pick(&[
                "",
                "client = { timeout = \"50ms\" }",
                "client = { timeout = \"1s\", attempts = 2 }"
            ]),
        );
    }
    let actions = [
        "do = \"fail\"\ntarget = \"linkerd\"",
        "do = \"fail\"\ntarget = \"service:s1\"",
        "do = \"fail\"\ntarget = \"pod:s1-v1-0\"",
        "do = \"fail\"\ntarget = \"node:n1\"",
        "do = \"restart\"\ntarget = \"service:s0\"",
        "do = \"freeze\"\ntarget = \"service:s1\"",
        "do = \"rollout\"\ntarget = \"service:s1\"",
        "do = \"errors\"\ntarget = \"service:s2\"\nshare = \"90%\"",
        "do = \"scale\"\ntarget = \"service:s2/v0\"\nreplicas = 0",
        "do = \"slow\"\ntarget = \"service:s2\"\nfactor = 20",
        "do = \"cut\"\ntarget = \"link:n0->n1\"",
        "do = \"behave\"\ntarget = \"service:s2\"\nbehaviour = { port = \"refuses\" }",
        "do = \"behave\"\ntarget = \"service:s1\"\nbehaviour = { port = \"swallows\" }",
        "do = \"fail\"\ntarget = \"service:s0\"\npart = \"app\"",
        "do = \"fail\"\ntarget = \"service:s1\"\npart = \"app\"",
    ];
    for number in 0..5 {
        let _ = write!(
            text,
            "[[event]]\nid = \"e{number}\"\nat = \"{}\"\nfor = \"{}\"\n{}\n",
            pick(&["0s", "500ms", "1s", "2s"]),
            pick(&["200ms", "1s", "2s"]),
            pick(&actions),
        );
    }
    text
}

#[test]
fn random_meshes_of_linkerd_obey_the_laws() {
    random_ones_obey(60, 2, random);
}
