//! Where two features meet: questions of filters, clients of apps, deadlines, and pods that end meanwhile.
//! The laws of the checked build are what is tested.

use crate::support::{ledger, run, try_plan};

/// Users before a front that calls a back; 20 requests a second for 4 s of 8.
fn mesh(front: &str, back: &str, more: &str) -> String {
    format!(
        r#"
[scenario]
duration = "8s"
[mesh]
ingress.replicas = 1
[[service]]
name = "front"
timeout = "300ms"
[[service.workload]]
workers = 1000
time = "1ms"
calls = [{{ to = "back" }}]
{front}
[[service]]
name = "back"
[[service.workload]]
workers = 1000
{back}
[[service]]
name = "authz"
[[service.workload]]
workers = 1000
time = "2s"
[[traffic]]
id = "users"
from = "ingress"
to = "front"
arrivals = {{ constant = {{ steps = [["0s", "20rps"], ["4s", "0rps"]] }} }}
{more}
"#
    )
}

const RESTART: &str =
    "[[event]]\nid = \"again\"\nat = \"4500ms\"\ndo = \"restart\"\ntarget = \"service:front\"\n";

/// A filter asks for a call that is left: the question goes on, and the pod ends before it is answered.
#[test]
fn a_question_outlives_its_call_and_ends_with_its_pod() {
    for filter in [
        "ext_authz = { service = \"authz\" }",
        "global_rate_limit = { service = \"authz\", limit = [{ requests = 9, unit = \"second\" }], timeout = \"5s\" }",
    ] {
        for front in
            ["deadlines = true", "client = { timeout = \"100ms\" }", "cancels_calls = true"]
        {
            let filter = format!(
                "[[filter]]\nat = \"front\"\ndirection = \"outbound\"\n{filter}\n{RESTART}"
            );
            let run = run(&mesh(front, "time = \"1ms\"", &filter));
            let ended = ledger(&run, "users", "front");
            assert!(ended.contains("504 UT") || ended.contains("500"), "{front}: {ended}");
        }
    }
}

/// A freeze puts a send off beyond the deadline of the request that it is for.
#[test]
fn nothing_is_sent_after_a_freeze_that_outlasts_the_deadline() {
    let front = "deadlines = true\nclient = { attempts = 5, backoff_base = \"200ms\", backoff_max = \"200ms\", jitter = \"none\" }";
    let freeze = "[[event]]\nid = \"still\"\nat = \"1s\"\nfor = \"1s\"\ndo = \"freeze\"\ntarget = \"service:front\"\n";
    let run = run(&mesh(front, "time = \"1ms\"\nerrors = 1.0", freeze));
    assert!(run.requests.total > 70, "{}", ledger(&run, "users", "front"));
}

/// A proxy that starts again has a full bucket.
#[test]
fn what_filters_remember_ends_with_their_proxy() {
    let limited = |more: &str| {
        let filter = format!(
            "[[filter]]\nat = \"front\"\nlocal_rate_limit = {{ max_tokens = 10, tokens_per_fill = 1, fill_interval = \"1h\" }}\n{more}"
        );
        let text = mesh("", "time = \"1ms\"", &filter).replace("[\"4s\"", "[\"8s\"");
        let run = run(&text);
        let rows = run.outcomes.iter().filter(|row| row.source == "users");
        rows.filter(|row| row.outcome.status == 200).map(|row| row.count).sum::<u64>()
    };
    let restart = RESTART.replace("4500ms", "1s");
    assert_eq!((limited(""), limited(&restart)), (10, 20));
}

#[test]
fn numbers_in_headers_are_as_great_as_they_please() {
    for header in [
        "x-envoy-upstream-rq-timeout-ms",
        "x-envoy-upstream-rq-per-try-timeout-ms",
        "x-envoy-max-retries",
    ] {
        let text = mesh("", "time = \"1ms\"", "")
            .replace("[mesh]", "[mesh]\ninternal_requests = \"all\"")
            .replace(
                "to = \"front\"\narrivals",
                &format!(
                    "to = \"front\"\nheaders = {{ {header} = \"99999999999999999\" }}\narrivals"
                ),
            );
        let run = run(&text);
        assert_eq!(ledger(&run, "users", "front"), format!("200 -: {}", run.requests.total));
    }
}

#[test]
fn questions_that_ask_each_other_never_end_and_are_refused() {
    let filter = |at: &str, service: &str| {
        format!("[[filter]]\nat = \"{at}\"\next_authz = {{ service = \"{service}\" }}\n")
    };
    let round = filter("back", "authz") + &filter("authz", "back");
    let told = try_plan(&mesh("", "time = \"1ms\"", &round), &[]).expect_err("it never ends");
    assert!(told.contains("authz -> back"), "{told}");
    // One way is fine.
    assert!(try_plan(&mesh("", "time = \"1ms\"", &filter("back", "authz")), &[]).is_ok());
}
