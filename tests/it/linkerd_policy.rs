//! Goal: who may call changes while a mesh runs, and proxies that were not told go by what they have.
//! Method: one service and its client, whose requests are counted by how they ended in stretches of time.
//!
//! Source: linkerd2-proxy linkerd/app/inbound/src/policy/store.rs:97,163.

use crate::support::{files, plan_with, play, run, try_plan};
use meshsim::check::assert::judge;
use meshsim::check::judgement::Verdict;
use meshsim::kernel::time::Time;
use meshsim::observe::run::Run;
use meshsim::vocabulary::outcome::Details;
use meshsim::world::options::Options;

/// `web` calls `api` ten times a second.
fn mesh(keys: &str, of_api: &str, more: &str) -> String {
    format!(
        r#"
[scenario]
duration = "30m"
interval = "1s"
[mesh]
profile = "linkerd@edge-26.8"
{keys}
[[node]]
name = "one"
[[service]]
name = "web"
[[service.workload]]
time = "1ms"
calls = [{{ to = "api" }}]
[[service]]
name = "api"
{of_api}
[[service.workload]]
time = "1ms"
[[traffic]]
id = "users"
from = "ingress"
to = "web"
arrivals = {{ constant = "10rps" }}
{more}
"#
    )
}

fn event(id: &str, at: &str, lasts: &str, does: &str) -> String {
    let lasts = if lasts.is_empty() { String::new() } else { format!("for = \"{lasts}\"\n") };
    format!("[[event]]\nid = \"{id}\"\nat = \"{at}\"\n{lasts}{does}\n")
}

const NOBODY: &str =
    "do = \"server\"\ntarget = \"service:api\"\nserver = { access_policy = \"deny\" }";
const WEB: &str = "do = \"server\"\ntarget = \"service:api\"\nserver = { clients = [\"web\"] }";
const POLICY: &str = "do = \"fail\"\ntarget = \"linkerd/policy\"";

/// The seconds in which requests failed: the first, the last and how many.
fn failing(run: &Run) -> Option<(f64, f64, usize)> {
    let bad: Vec<f64> = run
        .series
        .iter()
        .filter(|row| row.requests.failed() != 0)
        .map(|row| row.time.since(Time::ZERO).as_s())
        .collect();
    Some((*bad.first()?, *bad.last()?, bad.len()))
}

/// Calls of `web` that ended so.
fn ended(run: &Run, details: Details) -> u64 {
    let rows = run.outcomes.iter().filter(|row| row.outcome.details == details);
    rows.filter(|row| row.source == "web").map(|row| row.count).sum()
}

fn denied(run: &Run) -> u64 {
    ended(run, Details::LinkerdUnauthorized)
}

#[test]
fn a_server_that_is_written_counts_at_once_and_until_it_is_taken_back() {
    let all = run(&mesh("", "", ""));
    assert_eq!(denied(&all), 0);
    let closed = run(&mesh("", "", &event("close", "10m", "5m", NOBODY)));
    // 300 s of ten a second; the controller's watch is half a second late on either side.
    let count = denied(&closed);
    assert!((2990..=3010).contains(&count), "{count}");
    // Its client may call again with an authorization.
    let more = event("close", "10m", "", NOBODY) + &event("open", "15m", "", WEB);
    let count = denied(&run(&mesh("", "", &more)));
    assert!((2990..=3010).contains(&count), "{count}");
    // What the plan says counts again when it is over.
    let usual = "server = { access_policy = \"deny\" }";
    let more = event("open", "10m", "5m", WEB);
    let count = denied(&run(&mesh("", usual, &more)));
    assert!((14_990..=15_010).contains(&count), "{count}");
    let gone =
        event("gone", "10m", "", "do = \"server\"\ntarget = \"service:api\"\nremoved = true");
    let count = denied(&run(&mesh("", usual, &gone)));
    assert!((5990..=6010).contains(&count), "{count}");
}

#[test]
fn nothing_is_written_while_the_api_server_is_away() {
    let away = event("away", "5m", "10m", "do = \"fail\"\ntarget = \"api_server\"");
    let run = run(&mesh("", "", &format!("{away}{}", event("nobody", "10m", "", NOBODY))));
    assert_eq!(denied(&run), 0);
}

#[test]
fn a_limit_that_is_written_counts_at_once() {
    let more = event(
        "limit",
        "10m",
        "10m",
        "do = \"server\"\ntarget = \"service:api\"\nlocal_rate_limit = { total = 4 }",
    );
    let run = run(&mesh("", "", &more));
    let over = ended(&run, Details::LinkerdRateLimited);
    assert!((3500..=3650).contains(&over), "{over}");
}

/// What Linkerd's proxies count is in the summary and in assertions, by its names.
#[test]
fn counters_are_called_as_linkerds_are() {
    let errors = "do = \"errors\"\ntarget = \"service:api\"\nshare = \"30%\"\nstatus = 503";
    let more = event("bad", "5m", "5m", errors)
        + &event("close", "20m", "5m", NOBODY)
        + "[[assert]]\nname = \"some are denied\"\nexpect = \"inbound_http_authz_deny_total > 2900\"\n\
           [[assert]]\nname = \"none waits\"\nexpect = \"outbound_http_errors_total(error=failfast) == 0\"\n\
           [[assert]]\nname = \"retries\"\nexpect = \"outbound_http_route_retry_requests_total > 800\"\n\
           [[assert]]\nname = \"too few\"\nexpect = \"request_total < 10\"\n";
    let plan = plan_with(&mesh("", "retry = { http = \"5xx\" }", &more), &[]);
    let run = play(&plan, Options::default());
    let verdicts: Vec<_> = judge(&plan, &run).into_iter().map(|one| one.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Pass, Verdict::Pass, Verdict::Fail]);
    let counts = run.linkerd.expect("a mesh of Linkerd");
    assert_eq!(counts.denied, denied(&run));
    // Of the first tries 30 % fail, and of the second ones, too; nobody may try three times.
    assert_eq!(counts.retries, counts.retry_successes + counts.retry_limit_exceeded);
    assert!((200..340).contains(&counts.retry_limit_exceeded), "{counts:?}");
    let summary = String::from_utf8(files(&run)[0].1.clone()).expect("text");
    assert!(summary.contains("\"response_total{classification=\\\"failure\\\"}\""), "{summary}");
}

/// With the policy controller away the last policy stays, and the next one comes with the proxy's client.
#[test]
fn without_the_policy_controller_the_last_one_stays() {
    let more = event("down", "9m", "10m", POLICY) + &event("close", "10m", "", NOBODY);
    let run = run(&mesh("", "", &more));
    let denied = denied(&run);
    // From 19 m and up to a minute of back-off on.
    let most = 11 * 600;
    assert!((most - 620..most).contains(&denied), "{denied}");
}

/// A proxy that starts meanwhile goes by what it was injected with: the `Server` is not heeded.
#[test]
fn a_proxy_that_was_never_told_goes_by_the_default_policy() {
    let restart = "do = \"restart\"\ntarget = \"service:api\"";
    let usual = "server = { access_policy = \"deny\" }";
    let more = event("down", "9m", "10m", POLICY) + &event("restart", "10m", "", restart);
    let told = denied(&run(&mesh("", usual, "")));
    assert!(told > 17_900, "{told}");
    let open = denied(&run(&mesh("", usual, &more)));
    // From the restart until the controller and the proxy's client are back.
    assert!((17_900 - 6100..17_900 - 5300).contains(&open), "{open}");
    // `deny` as injected closes connections.
    let keys = "linkerd_inbound.default_policy = \"deny\"";
    let usual = "server = { clients = [\"web\"] }";
    // All may call `web`.
    let open = "name = \"web\"\nserver = { access_policy = \"all-unauthenticated\" }";
    let mesh = |more: &str| mesh(keys, usual, more).replacen("name = \"web\"", open, 1);
    let closed = run(&mesh(&more));
    assert_eq!(denied(&closed), 0);
    let broken = ended(&closed, Details::LinkerdConnectionError);
    assert!((5300..6100).contains(&broken), "{broken}");
    let (first, last, _) = failing(&closed).expect("failures");
    assert!((600.0..620.0).contains(&first) && last < 1201.0, "{first} {last}");
    // Without the outage it is told before it is ready.
    let more = event("restart", "10m", "", restart);
    let told = run(&mesh(&more));
    assert!(ended(&told, Details::LinkerdConnectionError) < 10);
    assert_eq!(denied(&told), 0);
}

#[test]
fn a_server_is_of_linkerd_and_says_something() {
    let text = mesh("", "", &event("e", "1m", "", NOBODY));
    let istio = text.replace("linkerd@edge-26.8", "istio-sidecar");
    let problems = try_plan(&istio, &[]).expect_err("no Linkerd");
    assert!(problems.contains("does nothing without Linkerd"), "{problems}");
    let both = format!("{NOBODY}\nremoved = true");
    let problems = try_plan(&mesh("", "", &event("e", "1m", "", &both)), &[]).expect_err("both");
    assert!(problems.contains("it is not clear who may call"), "{problems}");
    let nothing = "do = \"server\"\ntarget = \"service:api\"";
    let problems =
        try_plan(&mesh("", "", &event("e", "1m", "", nothing)), &[]).expect_err("nothing");
    assert!(problems.contains("it is not clear who may call"), "{problems}");
    let unknown = NOBODY.replace("service:api", "service:apo");
    let problems = try_plan(&mesh("", "", &event("e", "1m", "", &unknown)), &[]).expect_err("apo");
    assert!(problems.contains("apo"), "{problems}");
}
