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

/// Two filters of a kind draw for themselves: three quarters of the requests fail at one of two halves, not half.
#[test]
fn two_filters_of_a_kind_draw_for_themselves() {
    let half = |more: &str| {
        format!(
            "[[filter]]\nat = \"front\"\n{more}\nfault = {{ abort = 503, abort_share = \"50%\" }}\n"
        )
    };
    let inbound = half("").repeat(2);
    let outbound = half("direction = \"outbound\"").repeat(2);
    let failed = |filters: &str| {
        let text = mesh("", "time = \"1ms\"", filters).replace("[\"4s\"", "[\"8s\"");
        let run = run(&text.replace("20rps", "500rps"));
        run.requests.failed() as f64 / run.requests.total as f64
    };
    for filters in [&inbound, &outbound] {
        let share = failed(filters);
        assert!((share - 0.75).abs() < 0.03, "{share}");
    }
}

/// A cluster changes while a hedged try waits for its back-off: the try at the old cluster asks the breaker
/// of the new one, at which the call has no stream yet.
#[test]
fn a_hedged_try_outlives_its_cluster() {
    let back = "time = \"1ms\"\nbehaviour = { reply = \"slow_body\", body_delay = \"5ms\", connect_delay = \"20ms\" }";
    let change = "[[event]]\nid = \"change\"\nat = \"500ms\"\nfor = \"23ms\"\nevery = \"46ms\"\ntimes = 100\ndo = \"cluster\"\ntarget = \"service:back\"\ncluster = { circuit_breaker = { max_requests = 50 } }\n";
    let hedged = "name = \"back\"\nretries = { attempts = 3, on = [\"5xx\"], per_try_timeout = \"30ms\", backoff_base = \"25ms\", hedge_on_per_try_timeout = true }\n[[service.workload]]\nerrors = { share = 0.5, status = 503 }";
    for time in [40, 50, 60] {
        let text = mesh("", back, change)
            .replace("name = \"back\"\n[[service.workload]]", hedged)
            .replace("[mesh]", "[mesh]\nprofile = \"none\"")
            .replace("time = \"1ms\"\nbehaviour", &format!("time = \"{time}ms\"\nbehaviour"))
            .replace("20rps", "10rps")
            .replace("[\"4s\"", "[\"8s\"");
        let run = run(&text);
        assert!(run.attempts.retries > 30, "{}", ledger(&run, "front", "back"));
    }
}
