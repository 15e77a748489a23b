//! Goal: what apps speak matters in a mesh of Linkerd: gRPC and its statuses, the queue before apps of HTTP/2, endpoints
//! with and without a proxy in one service, apps that end before a proxy that lives on, bad answers that count as slow.
//! Method: small meshes whose numbers can be reckoned by hand.
//!
//! Source: docs/linkerd-traffic.md; `world::linkerd_{grpc,app,balancer,endpoint,lookup}`.

use crate::support::{count, ledger, run, run_with, try_plan};
use meshsim::observe::run::Run;
use meshsim::vocabulary::counter::Counter;
use meshsim::vocabulary::outcome::Details;

/// `front` of two pods calls `back`; `keys` are of the service, `workload` of its workload.
fn mesh(duration: &str, traffic: &str, keys: &str, workload: &str, more: &str) -> String {
    format!(
        "[scenario]\nduration = \"{duration}\"\ninterval = \"1s\"\n[mesh]\nprofile = \"linkerd\"\n\
         [[service]]\nname = \"front\"\n[[service.workload]]\nreplicas = 2\ntime = \"1ms\"\n\
         [[service]]\nname = \"back\"\n{keys}\n[[service.workload]]\nversion = \"v1\"\nworkers = 8\ntime = \"5ms\"\n{workload}\n\
         [[traffic]]\nid = \"calls\"\nfrom = \"front\"\nto = \"back\"\n{traffic}\n{more}\n"
    )
}

const STEADY: &str = "arrivals = { constant = \"20rps\" }";
const THREE: &str = "replicas = 3";

fn event(id: &str, at: &str, does: &str, target: &str, more: &str) -> String {
    format!(
        "[[event]]\nid = \"{id}\"\nat = \"{at}\"\ndo = \"{does}\"\ntarget = \"{target}\"\n{more}\n"
    )
}

/// Errors of gRPC with such a status.
fn grpc_errors(share: &str, status: u8) -> String {
    let keys = format!(
        "share = \"{share}\"\nstatus = 200\nresponse_headers = {{ grpc-status = \"{status}\" }}"
    );
    event("broken", "10s", "errors", "service:back", &keys)
}

fn of(run: &Run, details: Details) -> u64 {
    let rows = run.outcomes.iter().filter(|row| row.outcome.details == details);
    rows.map(|row| row.count).sum()
}

// === gRPC ===

#[test]
fn failure_accrual_counts_statuses_of_grpc() {
    let keys = "app_protocol = \"grpc\"\nfailure_accrual = {}";
    // Unknown, DeadlineExceeded, PermissionDenied, Internal, Unavailable, DataLoss.
    for (status, is_failure) in [
        (2, true),
        (4, true),
        (5, false),
        (7, true),
        (8, false),
        (13, true),
        (14, true),
        (15, true),
    ] {
        let text = mesh("1m", STEADY, keys, THREE, &grpc_errors("100%", status));
        let run = run(&text);
        let shut = of(&run, Details::LinkerdFailFast) + of(&run, Details::LinkerdLoadShed);
        assert_eq!(is_failure, 500 < shut, "{status}: {}", ledger(&run, "front", "back"));
        // All of it is HTTP 200.
        assert_eq!(count(&run, "front", "back", "200 -"), run.requests.total, "{status}");
        // 5, 7 and 8 are as 404, 403 and 429: no errors of the server's.
        let is_error = ![5, 7, 8].contains(&status);
        let errors = run.requests.total - run.requests.ok;
        assert_eq!(is_error || is_failure, 500 < errors, "{status}: {errors}");
    }
    // Resources that are exhausted count against the share of good answers.
    let keys = "app_protocol = \"grpc\"\nfailure_accrual = { mode = \"unified\" }";
    let run = run(&mesh("1m", STEADY, keys, THREE, &grpc_errors("100%", 8)));
    assert!(500 < of(&run, Details::LinkerdLoadShed), "{}", ledger(&run, "front", "back"));
}

#[test]
fn an_app_of_grpc_that_fails_says_unknown() {
    let broken = event("broken", "10s", "errors", "service:back", "share = \"100%\"");
    let keys = "app_protocol = \"grpc\"\nfailure_accrual = {}";
    let run = run(&mesh("1m", STEADY, keys, THREE, &broken));
    let errors = of(&run, Details::AppGrpcError);
    assert!((21..120).contains(&errors), "{}", ledger(&run, "front", "back"));
    assert!(50 < of(&run, Details::LinkerdFailFast));
}

#[test]
fn a_limit_on_a_response_of_grpc_is_no_success() {
    let keys = "app_protocol = \"grpc\"\ntimeouts = { response = \"2ms\" }";
    let run = run(&mesh("20s", STEADY, keys, THREE, ""));
    assert_eq!(of(&run, Details::LinkerdResponseTimeout), run.requests.total);
    assert_eq!(run.requests.ok, 0);
    let counts = run.linkerd.expect("a mesh of Linkerd");
    assert_eq!(counts.outbound.timeout, run.requests.total);
    assert_eq!(counts.counted(&run, Counter::GoodResponses), 0);
}

#[test]
fn retries_of_grpc_go_by_its_statuses() {
    let bad = |keys: &str| {
        let errors = grpc_errors("50%", 14).replace("at = \"10s\"", "at = \"0s\"");
        let keys = format!("app_protocol = \"grpc\"\n{keys}");
        let run = run(&mesh("1m", "arrivals = { poisson = \"200rps\" }", &keys, THREE, &errors));
        (run.requests.total - run.requests.ok) as f64 / run.requests.total as f64
    };
    for (keys, share) in [
        ("", 0.5),
        ("retry = { grpc = \"unavailable\" }", 0.25),
        ("retry = { grpc = \"cancelled,unavailable\", limit = 3 }", 0.0625),
        ("retry = { grpc = \"internal\" }", 0.5),
        ("retry = { http = \"5xx\" }", 0.5),
        ("service_profile = { is_retryable = true, min_retries_per_s = 1000 }", 0.0),
    ] {
        let shown = bad(keys);
        assert!((shown - share).abs() < 0.02, "{keys}: {shown}, not {share}");
    }
}

#[test]
fn proxies_answer_grpc_in_an_http_200() {
    let down = event("down", "30s", "fail", "service:back", "for = \"30s\"");
    let run = run(&mesh("2m", STEADY, "app_protocol = \"grpc\"", THREE, &down));
    let (waited, shed) = (of(&run, Details::LinkerdFailFast), of(&run, Details::LinkerdLoadShed));
    assert!((50..=61).contains(&waited) && (450..=800).contains(&shed), "{waited} and {shed}");
    assert_eq!(count(&run, "front", "back", "200 -"), run.requests.total);
    let broken = of(&run, Details::LinkerdConnectionError);
    assert_eq!(run.requests.total - run.requests.ok, waited + shed + broken);
    let late = mesh("10s", STEADY, "app_protocol = \"grpc\"\ntimeout = \"2ms\"", THREE, "");
    let late = crate::support::run(&late);
    assert_eq!(of(&late, Details::LinkerdTimeout), late.requests.total);
    assert_eq!((ledger(&late, "front", "back").as_str(), late.requests.ok), ("200 -: 199", 0));
}

// === a probe that is given up ===

/// The one endpoint is shut out at 10 s; its probe at 11 s meets an app that never answers.
fn with_a_probe(more: &str) -> Run {
    let keys = "failure_accrual = { max_failures = 1 }";
    let broken =
        event("broken", "10s", "errors", "service:back", "share = \"100%\"\nfor = \"500ms\"");
    let never = "behaviour = { reply = \"never\" }\nfor = \"9s\"";
    let never = event("never", "10500ms", "behave", "service:back", never);
    let traffic = format!("{STEADY}\nclient = {{ timeout = \"500ms\" }}");
    run(&mesh("2m", &traffic, keys, "", &format!("{broken}{never}{more}")))
}

/// linkerd2-proxy forgets the permit with the request, and classifies none that is dropped before its header: nobody
/// ends the probation.
#[test]
fn a_probe_whose_client_leaves_ends_no_probation() {
    let run = with_a_probe("");
    assert!(run.requests.ok <= 205, "{}", ledger(&run, "front", "back"));
    // The endpoint is new with its pod.
    let again = with_a_probe(&event("again", "1m", "rollout", "service:back", ""));
    assert!((1_000..1_400).contains(&again.requests.ok), "{}", ledger(&again, "front", "back"));
}

#[test]
fn a_probe_whose_connection_breaks_has_failed_and_the_next_one_heals() {
    let crash = event("crash", "15s", "restart", "pod:back-v1-0", "");
    let run = with_a_probe(&crash);
    assert!(1_800 < run.requests.ok, "{}", ledger(&run, "front", "back"));
}

// === bad answers are slow ones ===

#[test]
fn failed_answers_that_count_as_slow_ones_keep_others_away() {
    let bad = |keys: &str, headers: &str| {
        let back = format!(
            "replicas = 2\n[[service.workload]]\nversion = \"v2\"\nworkers = 8\ntime = \"1ms\"\n\
             errors = {{ share = 1.0, status = 503{headers} }}"
        );
        let traffic = "arrivals = { poisson = \"100rps\" }";
        let run = run(&mesh("1m", traffic, keys, &back, ""));
        of(&run, Details::AppError)
    };
    // What fails is quick, and so it is liked.
    assert!(2_000 < bad("", ""));
    assert!(bad("penalize_failures = {}", "") < 40);
    assert!(2_000 < bad("penalize_failures = { is_on = false }", ""));
    let (short, asks) = (
        "penalize_failures = { penalty = \"1ms\" }",
        ", response_headers = { retry-after = \"60\" }",
    );
    assert!(bad(short, asks) * 10 < bad(short, ""), "{} and {}", bad(short, asks), bad(short, ""));
    let capped = "penalize_failures = { penalty = \"1ms\", max_retry_after = \"1ms\" }";
    assert_eq!(bad(capped, asks), bad(short, ""));
    let mesh_wide =
        mesh("1m", "arrivals = { poisson = \"100rps\" }", "", "errors = { share = 0.5 }", "");
    let on = run_with(&mesh_wide, &["mesh.linkerd_balancer.penalize_failures=true"]);
    assert_eq!(on.requests.total, run(&mesh_wide).requests.total);
}

// === the queue before the app ===

#[test]
fn an_app_of_http2_that_refuses_is_504_for_a_second_and_503_then() {
    let refuses = event(
        "port",
        "30s",
        "behave",
        "service:back",
        "behaviour = { port = \"refuses\" }\nfor = \"20s\"",
    );
    let run = run(&mesh("2m", STEADY, "app_protocol = \"http2\"", "", &refuses));
    let shown = ledger(&run, "front", "back");
    let (waited, shed) =
        (count(&run, "front", "back", "504 -"), count(&run, "front", "back", "503 -"));
    assert!((19..=21).contains(&waited), "{shown}");
    // Tries come 12.7 s and 22.7 s after the first, and a jitter on top.
    assert!((360..=520).contains(&shed), "{shown}");
    assert_eq!(count(&run, "front", "back", "502 -"), 0, "{shown}");
    assert_eq!(of(&run, Details::LinkerdLoadShed), shed);
    // They are the server's proxy's errors, and none of its client's.
    let counts = run.linkerd.expect("a mesh of Linkerd");
    assert_eq!((counts.inbound.failfast, counts.inbound.loadshed), (waited, shed));
    assert_eq!((counts.outbound.failfast, counts.outbound.loadshed), (0, 0));
    let swallows =
        mesh("2m", STEADY, "app_protocol = \"http2\"", "", &refuses).replace("refuses", "swallows");
    let swallows = crate::support::run(&swallows);
    let waited = count(&swallows, "front", "back", "504 -");
    assert!((19..=21).contains(&waited), "{}", ledger(&swallows, "front", "back"));
    let quick = ["mesh.linkerd_inbound.http_failfast=100ms", "mesh.linkerd_inbound.http_queue=0"];
    let text = mesh("2m", STEADY, "app_protocol = \"http2\"", "", &refuses);
    let few = run_with(&text, &quick);
    assert_eq!(count(&few, "front", "back", "504 -"), 1, "{}", ledger(&few, "front", "back"));
    let soon = run_with(&text, &["mesh.linkerd_inbound.backoff_max=200ms"]);
    let back = count(&soon, "front", "back", "503 -");
    assert!((370..=385).contains(&back), "{}", ledger(&soon, "front", "back"));
}

#[test]
fn an_inbound_proxy_sheds_what_is_one_too_many() {
    let slow = "time = \"500ms\"";
    let text = mesh("1m", STEADY, "", "", "").replace("time = \"5ms\"", slow);
    let few = run_with(&text, &["mesh.linkerd_inbound.max_in_flight=4"]);
    // Four at a time for half a second: eight a second of twenty.
    let ok = few.requests.ok;
    assert!((440..=500).contains(&ok), "{}", ledger(&few, "front", "back"));
    assert_eq!(of(&few, Details::LinkerdLoadShed), few.requests.total - ok);
}

// === endpoints of two kinds ===

#[test]
fn endpoints_without_a_proxy_have_connections_of_http1_beside_those_that_have_one() {
    let plain = "replicas = 2\n[[service.workload]]\nversion = \"v2\"\nreplicas = 2\ninject = false\nworkers = 8\ntime = \"5ms\"";
    let run = run(&mesh("1m", "arrivals = { poisson = \"400rps\" }", "", plain, ""));
    assert_eq!(run.requests.ok, run.requests.total);
    // Two clients, two endpoints with a proxy.
    assert_eq!(run.control_plane.handshakes, 4);
    let to = |version: &str| -> u64 {
        let rows = run.outcomes.iter().filter(|row| row.version == version);
        rows.map(|row| row.count).sum()
    };
    assert!(5_000 < to("v1") && 5_000 < to("v2"), "{} and {}", to("v1"), to("v2"));
    // One that is lost costs what is on its connection.
    let down = event("down", "30s", "fail", "pod:back-v1-0", "");
    let less = crate::support::run(&mesh("1m", STEADY, "", plain, &down));
    assert!(less.requests.total - less.requests.ok <= 3, "{}", ledger(&less, "front", "back"));
}

// === an app that ends ===

/// What an app keeps open holds what its proxy knows; when it ends, its proxy forgets.
#[test]
fn an_app_that_ends_gives_up_what_its_proxy_knows() {
    let down = event("down", "10m", "fail", "linkerd", "");
    let away = |time: &str| {
        event("app", "690s", "fail", "service:front", &format!("part = \"app\"\nfor = \"{time}\""))
    };
    let traffic = "arrivals = { constant = \"60/h\" }\nclient = { timeout = \"10s\" }";
    let hung = |more: &str| {
        let run = run(&mesh("1h", traffic, "", THREE, &format!("{down}{more}")));
        count(&run, "front", "back", "0 DC")
    };
    assert_eq!(hung(""), 0);
    assert!((45..=50).contains(&hung(&away("20s"))), "{}", hung(&away("20s")));
}

// === what may be said ===

#[test]
fn settings_of_policies_are_looked_at_for_the_whole_mesh() {
    for (key, why) in [
        ("linkerd_accrual.min_penalty = \"2m\"", "maximum must not be less than minimum"),
        ("linkerd_accrual.success_window = \"1ms\"", "10ms at least"),
        ("linkerd_budget.ttl = \"2m\"", "from 1s to 60s"),
        ("linkerd_retry.backoff_min = \"1s\"", "maximum must not be less than minimum"),
        ("linkerd_retry.backoff_jitter = 101.0", "jitter must be from 0 to 100"),
    ] {
        let text = mesh("10s", STEADY, "", "", "")
            .replace("profile = \"linkerd\"\n", &format!("profile = \"linkerd\"\n{key}\n"));
        let told = try_plan(&text, &[]).expect_err(key);
        assert!(told.contains(why), "{key}: {told}");
    }
    for key in ["app_protocol = \"grpc\"", "penalize_failures = {}"] {
        let text = mesh("10s", STEADY, key, "", "").replace("\"linkerd\"", "\"istio-sidecar\"");
        let told = try_plan(&text, &[]).expect_err(key);
        assert!(told.contains("does nothing without Linkerd"), "{key}: {told}");
    }
}

// === what is no HTTP ===

/// How long the first request takes, and how many fail, of those that keep their connections.
fn without_http(protocol: &str, plain: &[&str]) -> Run {
    let keys = format!("app_protocol = \"{protocol}\"");
    run_with(&mesh("2m", "arrivals = { constant = \"1rps\" }", &keys, THREE, ""), plain)
}

#[test]
fn nobody_judges_endpoints_without_http() {
    let broken = event("broken", "10s", "errors", "service:back", "share = \"100%\"");
    let each = format!("{STEADY}\napp_connection = \"per-request\"");
    for (protocol, is_judged) in [("http1", true), ("tcp", false)] {
        let text = mesh("1m", &each, &format!("app_protocol = \"{protocol}\""), THREE, &broken);
        let run = run_with(&text, &["mesh.linkerd_accrual.mode=\"consecutive\""]);
        let shed = of(&run, Details::LinkerdFailFast) + of(&run, Details::LinkerdLoadShed);
        assert_eq!(0 < shed, is_judged, "{protocol}: {}", ledger(&run, "front", "back"));
    }
}

#[test]
fn who_waits_for_a_server_that_speaks_first_waits_ten_seconds_on_either_side() {
    let longest = |run: &Run| run.latency.max_ns() as f64 / 1e9;
    for (protocol, plain, seconds) in [
        ("server-first", &[][..], 20.0),
        ("server-first", &["service.back.meshed=false"][..], 10.0),
        ("server-first", &["mesh.linkerd_inbound.detect_timeout=1s"][..], 11.0),
        ("server-first", &["mesh.linkerd_outbound.detect_timeout=1s"][..], 11.0),
        ("opaque", &[][..], 0.0),
        ("tcp", &[][..], 0.0),
        ("http1", &[][..], 0.0),
    ] {
        let run = without_http(protocol, plain);
        assert_eq!(run.requests.ok, run.requests.total, "{}", ledger(&run, "front", "back"));
        let shown = longest(&run);
        assert!((seconds..seconds + 0.1).contains(&shown), "{protocol}: {shown} s");
    }
    // Only connections wait, but each of them.
    let one_each = mesh(
        "2m",
        "arrivals = { constant = \"1rps\" }\napp_connection = \"per-request\"",
        "app_protocol = \"server-first\"",
        THREE,
        "",
    );
    let each = run(&one_each);
    let shortest = each.latency.min_ns() as f64 / 1e9;
    assert!((20.0..20.1).contains(&shortest), "{shortest}");
    assert!(99 <= each.control_plane.handshakes, "{}", each.control_plane.handshakes);
    let kept = without_http("opaque", &[]);
    // One exchange at a time from each of two pods: one connection each.
    assert_eq!(kept.control_plane.handshakes, 2);
}

#[test]
fn what_goes_wrong_without_http_closes_the_connection() {
    let refuses =
        event("port", "30s", "behave", "service:back", "behaviour = { port = \"refuses\" }");
    let text = mesh("1m", STEADY, "app_protocol = \"opaque\"", THREE, &refuses);
    let run = run(&text);
    assert_eq!(ledger(&run, "front", "back"), "0 -: 600, 200 -: 599");
    assert_eq!(of(&run, Details::LinkerdConnectionError), 600);
    let gone = event("gone", "30s", "scale", "service:back", "replicas = 0");
    let text = mesh("1m", STEADY, "app_protocol = \"opaque\"", THREE, &gone);
    let gone = run_with(&text, &["mesh.drain.termination=100ms"]);
    let waited = of(&gone, Details::LinkerdFailFast);
    assert!((55..=62).contains(&waited), "{}", ledger(&gone, "front", "back"));
    let soon = ["mesh.drain.termination=100ms", "mesh.linkerd_outbound.tcp_failfast=1s"];
    let waited = of(&run_with(&text, &soon), Details::LinkerdFailFast);
    assert!((15..=22).contains(&waited), "{waited}");
    let denied = "app_protocol = \"tcp\"\nserver = { clients = [\"back\"] }";
    let denied = crate::support::run(&mesh("10s", STEADY, denied, THREE, ""));
    assert_eq!(ledger(&denied, "front", "back"), "0 -: 199");
    assert_eq!(of(&denied, Details::LinkerdUnauthorized), 199);
}

/// Connections are balanced, requests are not; and errors tell a proxy nothing.
#[test]
fn connections_of_bytes_stay_where_they_are() {
    let broken = event("broken", "10s", "errors", "service:back", "share = \"100%\"");
    let on = ["mesh.linkerd_accrual.mode=consecutive"];
    let run = run_with(&mesh("1m", STEADY, "app_protocol = \"opaque\"", THREE, &broken), &on);
    assert_eq!(of(&run, Details::AppError), 1000, "{}", ledger(&run, "front", "back"));
    for key in [
        "failure_accrual = {}",
        "retry = {}",
        "timeout = \"1s\"",
        "service_profile = {}",
        "local_rate_limit = { total = 1 }",
        "penalize_failures = {}",
        "[[service.route]]\nweights = { v1 = 1 }",
    ] {
        let text = mesh("10s", STEADY, &format!("app_protocol = \"opaque\"\n{key}"), "", "");
        let told = try_plan(&text, &[]).expect_err(key);
        assert!(told.contains("does nothing where `app_protocol` is no HTTP"), "{key}: {told}");
    }
}

// === connections ===

/// A link swallows all: pings find out, or the socket's own timeout.
#[test]
fn what_is_swallowed_fails_after_a_ping_or_the_user_timeout() {
    let longest = |keys: &[&str]| {
        let cut = event("cut", "30s", "cut", "link:one<->two", "for = \"1m\"");
        let nodes = "[[node]]\nname = \"one\"\n[[node]]\nname = \"two\"\n";
        let text = mesh("3m", STEADY, "", THREE, &format!("{cut}{nodes}"));
        let run = run_with(&text, keys);
        // One of two clients has two endpoints beyond the link, of which it draws both every third time.
        let broken = of(&run, Details::LinkerdConnectionError);
        assert!((1..150).contains(&broken), "{}", ledger(&run, "front", "back"));
        run.latency.max_ns() as f64 / 1e9
    };
    let shown = longest(&[]);
    assert!((12.9..13.2).contains(&shown), "{shown}");
    let shown = longest(&["mesh.linkerd_connection.ping_interval=0s"]);
    assert!((29.9..30.2).contains(&shown), "{shown}");
    let shown = longest(&["mesh.linkerd_connection.tcp_user_timeout=5s"]);
    assert!((4.9..5.2).contains(&shown), "{shown}");
}

#[test]
fn idle_connections_of_http1_are_kept_up_to_a_number() {
    let opened = |keys: &[&str]| {
        let text = mesh("30s", "arrivals = { poisson = \"400rps\" }", "meshed = false", "", "");
        let text = text.replace("workers = 8", "workers = 64");
        let run = run_with(&text, keys);
        assert_eq!(run.requests.ok, run.requests.total);
        run.events
    };
    let (few, many) = (opened(&["mesh.linkerd_connection.http1_max_idle=0"]), opened(&[]));
    assert!(many + 10_000 < few, "{many} and {few} events: a connection for each request");
}
