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
    // Three at a time for a second each.
    assert_eq!(users(&run), "200 -: 340, 200 DI: 60");
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
