//! Goal: the request path of a mesh of Linkerd: discovery, queues with fail-fast, its balancer, and the answers that
//! its proxies give by themselves.
//! Method: small meshes whose numbers can be reckoned by hand.
//!
//! Source: docs/linkerd-traffic.md; `model::linkerd`.

use crate::support::{assert_share, count, ledger, run, run_with, try_plan};
use crate::swarm::obey;
use meshsim::observe::run::Run;
use meshsim::vocabulary::outcome::Details;

/// `front` of two pods calls `back` of three; `traffic` are keys of the source.
fn mesh(duration: &str, traffic: &str, back: &str, more: &str) -> String {
    format!(
        "[scenario]\nduration = \"{duration}\"\ninterval = \"1m\"\n[mesh]\nprofile = \"linkerd\"\n\
         [[service]]\nname = \"front\"\n[[service.workload]]\nreplicas = 2\ntime = \"1ms\"\n\
         [[service]]\nname = \"back\"\n{back}\n[[service.workload]]\nreplicas = 3\nworkers = 8\ntime = \"5ms\"\n\
         [[traffic]]\nid = \"calls\"\nfrom = \"front\"\nto = \"back\"\n{traffic}\n{more}\n"
    )
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
    obey(&mesh("20s", STEADY, "", &event("roll", "5s", "rollout", "service:back", "")));
    obey(&mesh("20s", STEADY, "", &event("roll", "5s", "restart", "service:front", "")));
}

/// The bar of the outage: who calls once a minute on a new connection fails, who is busy does not.
#[test]
fn in_an_outage_those_fail_that_open_a_connection_for_a_rare_call() {
    let down = event("down", "10m", "fail", "istiod", "for = \"2h\"");
    let client = "client = { timeout = \"10s\" }";
    let rare =
        format!("arrivals = {{ constant = \"1/m\" }}\napp_connection = \"per-request\"\n{client}");
    let rare = run(&mesh("3h", &rare, "", &down));
    let shown = ledger(&rare, "front", "back");
    let hung = count(&rare, "front", "back", "0 DC");
    assert!((115..=125).contains(&hung), "{shown}");
    let busy =
        format!("arrivals = {{ constant = \"1rps\" }}\napp_connection = \"per-request\"\n{client}");
    let busy = run(&mesh("3h", &busy, "", &down));
    assert_eq!(busy.requests.total, busy.requests.ok, "{}", ledger(&busy, "front", "back"));
    // Its app keeps its connections: rare, but known.
    let kept =
        run(&mesh("3h", &format!("arrivals = {{ constant = \"1/m\" }}\n{client}"), "", &down));
    assert_eq!(kept.requests.total, kept.requests.ok, "{}", ledger(&kept, "front", "back"));
    let text = mesh("3h", "arrivals = { constant = \"1/m\" }", "", &down);
    let istio = run_with(&text, &["mesh.profile=istio-sidecar"]);
    assert_eq!(istio.requests.total, istio.requests.ok);
}

#[test]
fn an_unknown_destination_hangs_until_the_control_plane_is_back_or_is_reset_up_to_2_12() {
    let down = event("down", "0s", "fail", "istiod", "for = \"10m\"");
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
    assert_share("all in all", run.requests.ok, run.requests.total, 1.0, f64::MAX);
}
