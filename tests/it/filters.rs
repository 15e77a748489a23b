//! Filters of a gateway: what passes, what is held, what is ended, and how it is logged.
//!
//! Source: measurements of Envoy 1.40, families e06 and e11.

use crate::support::{assert_share, count, ledger, plan_with, play};
use meshsim::kernel::time::Duration;
use meshsim::observe::run::Run;
use meshsim::plan::filter::{
    Abort, ExtAuthz, Fault, Filter, LocalRateLimit, Principal, Rbac, RbacPolicy,
};
use meshsim::plan::universe::ServiceId;
use meshsim::world::options::Options;

/// Requests through a gateway with these filters; `authz` says how the authorization service is.
fn through(filters: &[Filter], rate: &str, authz: &str) -> Run {
    let text = format!(
        r#"
[scenario]
duration = "22s"
[mesh]
profile = "none"
ingress.replicas = 1
[[service]]
name = "authz"
timeout = "200ms"
[[service.workload]]
workers = 100
time = "1ms"
{authz}
[[service]]
name = "server"
timeout = "200ms"
retries = {{ attempts = 2, on = ["5xx"] }}
[[service.workload]]
workers = 100
time = "1ms"
[[traffic]]
id = "users"
from = "ingress"
to = "server"
headers = {{ x-role = "reader" }}
arrivals = {{ constant = "{rate}" }}
[[event]]
id = "no-more"
at = "20010ms"
do = "traffic"
target = "traffic:users"
factor = 0
"#
    );
    let mut plan = plan_with(&text, &[]);
    let gateway = plan.universe.workloads.iter_mut().find(|one| one.name == "ingress");
    gateway.expect("a gateway").filters = filters.to_vec();
    let service = plan.universe.services.iter().position(|one| one.name == "authz");
    assert_eq!(service, Some(AUTHZ.0 as usize));
    play(&plan, Options::default())
}

const AUTHZ: ServiceId = ServiceId(0);

fn users(run: &Run) -> String {
    ledger(run, "users", "server")
}

#[test]
fn a_delay_is_not_covered_by_the_route_timeout_and_an_abort_is_not_retried() {
    let fault = Fault {
        delay: Duration::from_ms(300),
        delay_share: 0.5,
        abort: Abort::Http(500),
        abort_share: 0.2,
        max_active: None,
    };
    let run = through(&[Filter::Fault(fault)], "200rps", "");
    let total = run.requests.total;
    for (ended, share) in [("200 -", 0.4), ("200 DI", 0.4), ("500 FI", 0.1), ("500 DI,FI", 0.1)] {
        assert_share(ended, count(&run, "users", "server", ended), total, share, 4.0);
    }
    // Those that are aborted reach nobody.
    assert_share("attempts", run.attempts.total, total, 0.8, 4.0);
    assert_eq!(run.attempts.retries, 0);
}

#[test]
fn no_more_are_delayed_at_once_than_the_filter_may_hold() {
    let fault = Fault {
        delay: Duration::from_s(1),
        delay_share: 1.0,
        max_active: Some(3),
        ..Fault::default()
    };
    let run = through(&[Filter::Fault(fault)], "20rps", "");
    // Three at a time for a second each, and until they are answered: one that comes just then is too early.
    assert_eq!(users(&run), "200 -: 342, 200 DI: 58");
}

#[test]
fn a_bucket_lets_pass_what_it_holds_and_what_is_filled_in() {
    let policy = LocalRateLimit {
        max_tokens: 10,
        tokens_per_fill: 5,
        fill_interval: Duration::from_ms(500),
    };
    let run = through(&[Filter::LocalRateLimit(policy)], "50rps", "");
    let passed = count(&run, "users", "server", "200 -");
    // 10 at first and 40 fills of 5, of which the first may find the bucket full.
    assert!((205..=210).contains(&passed), "{}", users(&run));
    assert_eq!(passed + count(&run, "users", "server", "429 RL"), 1000);
}

#[test]
fn access_is_by_the_first_policy_that_matches() {
    let rbac = |header: &str| {
        let principal = Principal::HeaderPresent(header.to_owned());
        let policies = vec![RbacPolicy { name: "readers".to_owned(), principal }];
        Filter::Rbac(Rbac { allows: true, policies })
    };
    assert_eq!(users(&through(&[rbac("x-role")], "10rps", "")), "200 -: 200");
    assert_eq!(users(&through(&[rbac("x-other")], "10rps", "")), "403 -: 200");
}

#[test]
fn an_authorization_service_that_is_down_fails_closed_unless_told_otherwise() {
    let ask =
        |failure_mode_allow| Filter::ExtAuthz(ExtAuthz { service: AUTHZ, failure_mode_allow });
    let down = r#"behaviour = { port = "refuses" }"#;
    let slow = r#"behaviour = { reply = "never" }"#;
    let denies = "errors = { share = 1.0, status = 401 }";
    assert_eq!(users(&through(&[ask(false)], "10rps", "")), "200 -: 200");
    assert_eq!(users(&through(&[ask(false)], "10rps", denies)), "401 UAEX: 200");
    assert_eq!(users(&through(&[ask(false)], "10rps", down)), "403 UAEX: 200");
    assert_eq!(users(&through(&[ask(true)], "10rps", down)), "200 -: 200");
    assert_eq!(users(&through(&[ask(true)], "10rps", slow)), "200 -: 200");
}

#[test]
fn filters_are_passed_in_order() {
    let abort = Fault { abort: Abort::Http(418), abort_share: 1.0, ..Fault::default() };
    let none =
        LocalRateLimit { max_tokens: 1, tokens_per_fill: 1, fill_interval: Duration::from_s(100) };
    let (abort, none) = (Filter::Fault(abort), Filter::LocalRateLimit(none));
    assert_eq!(users(&through(&[abort.clone(), none.clone()], "10rps", "")), "418 FI: 200");
    let limited = users(&through(&[none, abort], "10rps", ""));
    assert!(limited.ends_with("429 RL: 199") || limited.ends_with("429 RL: 198"), "{limited}");
}

// === filters as a scenario says them ===

/// A gateway, a caller and a callee with sidecars, and these filters; the ledger of an edge.
fn meshed(filters: &str, edge: (&str, &str)) -> String {
    meshed_with(filters, edge, &[])
}

/// The same with other settings.
fn meshed_with(filters: &str, edge: (&str, &str), sets: &[&str]) -> String {
    let text = format!(
        r#"
[scenario]
duration = "22s"
[mesh]
profile = "istio-sidecar@1.28"
ingress.replicas = 1
[[service]]
name = "caller"
[[service.workload]]
workers = 100
time = "1ms"
calls = [{{ to = "callee", headers = {{ x-role = "reader" }}, required = false }}]
[[service]]
name = "callee"
[[service.workload]]
workers = 100
time = "1ms"
{filters}
[[traffic]]
id = "users"
from = "ingress"
to = "caller"
arrivals = {{ constant = "20rps" }}
[[event]]
id = "no-more"
at = "20010ms"
do = "traffic"
target = "traffic:users"
factor = 0
"#
    );
    ledger(&play(&plan_with(&text, sets), Options::default()), edge.0, edge.1)
}

#[test]
fn a_sidecar_limits_what_its_app_receives_and_its_caller_sees_a_plain_answer() {
    let limit = r#"
[[filter]]
at = "callee"
local_rate_limit = { max_tokens = 5, tokens_per_fill = 5, fill_interval = "1s" }"#;
    let ended = meshed(limit, ("caller", "callee"));
    // The 5 of the beginning, and 5 at each of 20 fills, of which the last may come too late for all.
    let passed: u32 = ended["200 -: ".len()..].split(',').next().unwrap_or("").parse().unwrap_or(0);
    assert!((100..=105).contains(&passed), "{ended}");
    assert!(ended.ends_with(&format!(", 429 -: {}", 400 - passed)), "{ended}");
}

#[test]
fn access_control_knows_a_caller_by_its_certificate() {
    let of = |action: &str, policy: &str| {
        let rbac = format!(
            "[[filter]]\nat = \"callee\"\nrbac = {{ action = \"{action}\", policy = [{policy}] }}"
        );
        meshed(&rbac, ("caller", "callee"))
    };
    assert_eq!(of("allow", r#"{ name = "p", source = "caller" }"#), "200 -: 400");
    assert_eq!(of("allow", r#"{ name = "p", source = "ingress" }"#), "403 -: 400");
    assert_eq!(of("deny", r#"{ name = "p", source = "caller" }"#), "403 -: 400");
    assert_eq!(of("deny", r#"{ name = "p", header = "X-Role" }"#), "403 -: 400");
    // In plaintext nobody knows who it is.
    let by_source = "[[filter]]\nat = \"callee\"\n\
                     rbac = { policy = [{ name = \"p\", source = \"caller\" }] }";
    let plain = meshed_with(by_source, ("caller", "callee"), &["service.callee.tls=disable"]);
    assert_eq!(plain, "403 -: 400");
    // Nobody matches: nobody passes.
    assert_eq!(of("allow", ""), "403 -: 400");
}

#[test]
fn a_sidecar_injects_faults_into_what_its_app_sends_alone() {
    let fault = "[[filter]]\nat = \"caller\"\ndirection = \"outbound\"\nfault = { abort = 418 }";
    assert_eq!(meshed(fault, ("caller", "callee")), "418 FI: 400");
    assert_eq!(meshed(fault, ("users", "caller")), "200 -: 400");
}

#[test]
fn what_no_proxy_can_read_is_refused_before_all_filters() {
    let of = |defect: &str| {
        let text = format!(
            r#"
[scenario]
duration = "5s"
[mesh]
profile = "istio-sidecar@1.28"
[[service]]
name = "server"
[[service.workload]]
time = "1ms"
[[filter]]
at = "ingress"
fault = {{ abort = 418 }}
[[traffic]]
id = "users"
from = "ingress"
to = "server"
malformed = "{defect}"
arrivals = {{ constant = "2rps" }}
"#
        );
        let run = play(&plan_with(&text, &[]), Options::default());
        (users(&run), run.attempts.total)
    };
    for (defect, ended) in
        [("missing_host", "400 -"), ("headers_too_large", "431 DPE"), ("codec_error", "400 DPE")]
    {
        let (ledger, attempts) = of(defect);
        assert_eq!(ledger.split(':').next(), Some(ended));
        assert_eq!(attempts, 0, "{defect} reached an endpoint");
    }
}
