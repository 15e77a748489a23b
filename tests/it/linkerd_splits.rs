//! Goal: where Linkerd's proxies send requests, and how they treat them: splits, failover, routes of profiles,
//! precedence, limits on streams, limits of rates by client.
//! Method: small meshes of which each pod answers in 5 ms; the version of a workload says who answered.
//!
//! Source: docs/linkerd-traffic.md; `plan::linkerd::{split, profile, precedence}`, `model::linkerd::failover`.

use crate::support::{count, ledger, run, run_with, try_plan};
use crate::swarm::random_ones_obey;
use meshsim::kernel::stream::{Stream, below};
use meshsim::observe::run::Run;
use meshsim::vocabulary::outcome::Details;
use std::fmt::Write as _;

/// `front` calls `web`, whose pods are v1 and v2; `east` and `west` are services besides.
fn mesh(duration: &str, traffic: &str, web: &str, more: &str) -> String {
    let service = |name: &str, keys: &str, versions: &[&str]| {
        let mut text = format!("[[service]]\nname = \"{name}\"\n{keys}\n");
        for version in versions {
            let _ = write!(
                text,
                "[[service.workload]]\nversion = \"{version}\"\nreplicas = 2\nworkers = 8\ntime = \"5ms\"\n"
            );
        }
        text
    };
    format!(
        "[scenario]\nduration = \"{duration}\"\ninterval = \"1s\"\n[mesh]\nprofile = \"linkerd\"\n\
         drain.termination = \"100ms\"\n\
         [[service]]\nname = \"front\"\n[[service.workload]]\nreplicas = 2\ntime = \"1ms\"\n{}{}{}\
         [[traffic]]\nid = \"calls\"\nfrom = \"front\"\nto = \"web\"\n{traffic}\n{more}\n",
        service("web", web, &["v1", "v2"]),
        service("east", "", &["e"]),
        service("west", "", &["w"]),
    )
}

const BUSY: &str = "arrivals = { poisson = \"300rps\" }";
const STEADY: &str = "arrivals = { constant = \"50rps\" }";

fn event(id: &str, at: &str, does: &str, target: &str, more: &str) -> String {
    format!(
        "[[event]]\nid = \"{id}\"\nat = \"{at}\"\ndo = \"{does}\"\ntarget = \"{target}\"\n{more}\n"
    )
}

/// Good answers of a version.
fn by(run: &Run, version: &str) -> u64 {
    let rows = run.outcomes.iter().filter(|row| row.version == version);
    rows.filter(|row| row.outcome.status == 200).map(|row| row.count).sum()
}

fn of(run: &Run, details: Details) -> u64 {
    let rows = run.outcomes.iter().filter(|row| row.outcome.details == details);
    rows.map(|row| row.count).sum()
}

#[track_caller]
fn is_about(count: u64, expected: f64, run: &Run) {
    let off = (count as f64 - expected).abs();
    let limit = 4.0 * expected.max(4.0).sqrt();
    assert!(off <= limit, "{count}, not {expected}: {}", ledger(run, "front", "web"));
}

#[track_caller]
fn is_wrong(text: &str, what: &str) {
    let why = try_plan(text, &[]).expect_err(what);
    assert!(why.contains(what), "{why}");
}

// === TrafficSplit ===

#[test]
fn a_split_goes_over_services_and_versions_by_relative_weights() {
    let run = run(&mesh("1m", BUSY, "traffic_split = { east = 1, v2 = \"500m\", v1 = 0 }", ""));
    let all = run.requests.total as f64;
    is_about(by(&run, "e"), all * 2.0 / 3.0, &run);
    is_about(by(&run, "v2"), all / 3.0, &run);
    assert_eq!(by(&run, "v1"), 0);
    // The service itself may be its own backend.
    let leaf = crate::support::run(&mesh("1m", BUSY, "traffic_split = { web = 3, east = 1 }", ""));
    is_about(by(&leaf, "e"), leaf.requests.total as f64 / 4.0, &leaf);
    is_about(by(&leaf, "v1"), leaf.requests.total as f64 * 3.0 / 8.0, &leaf);
}

#[test]
fn a_split_of_zeros_is_none() {
    let run = run(&mesh("20s", BUSY, "traffic_split = { east = 0, west = \"0m\" }", ""));
    assert_eq!(by(&run, "v1") + by(&run, "v2"), run.requests.total);
}

/// As one without endpoints: it waits for three seconds, and then the others have its share.
#[test]
fn a_backend_that_does_not_exist_costs_its_share_of_three_seconds() {
    let run = run(&mesh("30s", STEADY, "traffic_split = { v1 = 1, ghost = 1 }", ""));
    let late = of(&run, Details::LinkerdFailFast);
    // Half of two clients' three seconds at 50 a second.
    assert!((50..=110).contains(&late), "{}", ledger(&run, "front", "web"));
    assert_eq!(by(&run, "v1") + late, run.requests.total);
}

#[test]
fn a_split_wins_over_routes_accrual_and_annotations_until_it_is_removed() {
    let keys = "traffic_split = { web = 1 }\nfailure_accrual = {}\nretry = { limit = 3 }\n\
                [[service.route]]\nweights = { v1 = 1 }";
    let broken = event("broken", "0s", "errors", "service:web", "share = \"100%\"");
    let removed = event("removed", "20s", "split", "service:web", "removed = true");
    let removal = format!("{broken}{removed}");
    // Twenty seconds of errors, passed on as they are; after that endpoints are shut out and requests wait: in
    // the balancer that was there before, which has breakers now, and in one that is the route's.
    let shut = "traffic_split = { web = 1 }\nfailure_accrual = {}";
    for (keys, most) in [(shut, 1250), (keys, 1080)] {
        let run = run(&mesh("40s", STEADY, keys, &removal));
        let errors = of(&run, Details::AppError);
        assert!((999..most).contains(&errors), "{}", ledger(&run, "front", "web"));
        assert!(100 < of(&run, Details::LinkerdLoadShed), "{}", ledger(&run, "front", "web"));
    }
    let others = run(&mesh("40s", STEADY, keys, &removed));
    // The route gives all to v1 when the split is gone.
    is_about(by(&others, "v2"), 500.0, &others);
}

#[test]
fn an_event_shifts_a_split_and_takes_it_back() {
    let shift = event(
        "shift",
        "10s",
        "split",
        "service:web",
        "for = \"10s\"\ntraffic_split = { east = 1 }",
    );
    let run = run(&mesh("30s", STEADY, "traffic_split = { v1 = 1 }", &shift));
    is_about(by(&run, "e"), 500.0, &run);
    assert_eq!(by(&run, "v1") + by(&run, "e"), run.requests.total);
    // One that has none before, and none after.
    let first = crate::support::run(&mesh("30s", STEADY, "", &shift));
    is_about(by(&first, "e"), 500.0, &first);
    is_wrong(
        &mesh("30s", STEADY, "", &event("no", "1s", "split", "service:web", "removed = true")),
        "`web` has no traffic split",
    );
    is_wrong(&mesh("30s", STEADY, "traffic_split = {}", ""), "a split of nothing");
    let route = event("route", "1s", "route", "service:web", "weights = { v1 = 1 }");
    is_wrong(
        &mesh("30s", STEADY, "traffic_split = { v1 = 1 }", &route),
        "`web` has a `traffic_split`, which wins over routes",
    );
    let istio = mesh("30s", STEADY, "", &shift).replace("\"linkerd\"", "\"istio-sidecar\"");
    is_wrong(&istio, "does nothing without Linkerd");
}

#[test]
fn clients_without_a_proxy_know_no_split() {
    let keys = "traffic_split = { east = 1 }";
    let plain = run_with(&mesh("20s", STEADY, keys, ""), &["service.front.meshed=false"]);
    assert_eq!(by(&plain, "e"), 0, "{}", ledger(&plain, "front", "web"));
    assert_eq!(plain.requests.total, plain.requests.ok);
}

// === failover ===

const FAILOVER: &str = "failover = { primary = \"web\", secondaries = [\"east\", \"west\"] }";

#[test]
fn secondaries_take_over_while_the_primary_is_not_ready() {
    let gone = |id: &str, whose: &str, at: &str, lasts: &str| {
        event(id, at, "scale", whose, &format!("for = \"{lasts}\"\nreplicas = 0"))
    };
    let away =
        gone("a", "service:web/v1", "20s", "20s") + &gone("b", "service:web/v2", "20s", "20s");
    let run = run(&mesh("1m", STEADY, FAILOVER, &away));
    let [web, east, west] = [by(&run, "v1") + by(&run, "v2"), by(&run, "e"), by(&run, "w")];
    assert!(400 < east && 400 < west, "{}", ledger(&run, "front", "web"));
    assert!((1_700..2_050).contains(&web), "{web}: {}", ledger(&run, "front", "web"));
    // Three watches of 500 ms at 50 a second: who waits for the primary goes on waiting for it, in vain.
    let late = of(&run, Details::LinkerdFailFast);
    assert!((60..=80).contains(&late), "{late}: {}", ledger(&run, "front", "web"));
    assert!(run.requests.total - run.requests.ok - late < 10, "{}", ledger(&run, "front", "web"));
    // Of those that are ready.
    let one = gone("c", "service:east", "10s", "40s");
    let run = crate::support::run(&mesh("1m", STEADY, FAILOVER, &format!("{away}{one}")));
    assert!(by(&run, "e") == 0 && 800 < by(&run, "w"), "{}", ledger(&run, "front", "web"));
    // Nobody: weights stay, and requests fail.
    let other = gone("d", "service:west", "10s", "40s");
    let run = crate::support::run(&mesh("1m", STEADY, FAILOVER, &format!("{away}{one}{other}")));
    assert_eq!(by(&run, "e") + by(&run, "w"), 0);
    assert!(600 < of(&run, Details::LinkerdLoadShed), "{}", ledger(&run, "front", "web"));
}

/// The extension writes to the API server: without one nothing moves.
#[test]
fn a_failover_waits_for_the_api_server() {
    let away = event("away", "20s", "fail", "service:web", "for = \"20s\"");
    let down = event("down", "15s", "fail", "api_server", "for = \"15s\"");
    let run = run(&mesh("1m", STEADY, FAILOVER, &format!("{away}{down}")));
    let moved = by(&run, "e") + by(&run, "w");
    assert!((200..700).contains(&moved), "{}", ledger(&run, "front", "web"));
    assert!(200 < run.requests.total - run.requests.ok, "{}", ledger(&run, "front", "web"));
}

// === routes of a ServiceProfile ===

fn profile(routes: &str) -> String {
    format!("service_profile = {{ min_retries_per_s = 1000, routes = [{routes}] }}")
}

const BOOKS: &str =
    "{ name = \"books\", condition = { path_regex = \"/books/[0-9]+\" }, is_retryable = true }";

#[test]
fn the_first_route_whose_condition_holds_treats_a_request() {
    let half = event("half", "0s", "errors", "service:web", "share = \"50%\"");
    let bad = |path: &str, routes: &str| {
        let traffic = format!("{BUSY}\npath = \"{path}\"");
        let run = run(&mesh("20s", &traffic, &profile(routes), &half));
        (run.requests.total - run.requests.ok) as f64 / run.requests.total as f64
    };
    assert!(bad("/books/7?page=2", BOOKS) < 0.01);
    // No route takes it: none tries it again.
    assert!((bad("/books/all", BOOKS) - 0.5).abs() < 0.05);
    let writes =
        "{ name = \"no\", condition = { any = [{ method = \"GET\" }, { path_regex = \"/x\" }] } }";
    assert!((bad("/books/7", &format!("{writes}, {BOOKS}")) - 0.5).abs() < 0.05);
    let not = "{ name = \"no\", condition = { not = { method = \"GET\" } } }";
    assert!(bad("/books/7", &format!("{not}, {BOOKS}")) < 0.01);
}

#[test]
fn classes_of_answers_say_what_is_tried_again() {
    let bad = |status: u16, classes: &str| {
        let errors = format!("share = \"50%\"\nstatus = {status}");
        let half = event("half", "0s", "errors", "service:web", &errors);
        let open = BOOKS.strip_suffix(" }").expect("a table");
        let route = format!("{open}, response_classes = [{classes}] }}");
        let traffic = format!("{BUSY}\npath = \"/books/7\"");
        let run = run(&mesh("20s", &traffic, &profile(&route), &half));
        count(&run, "front", "web", &format!("{status} -")) as f64 / run.requests.total as f64
    };
    let near = |shown: f64, expected: f64| assert!((shown - expected).abs() < 0.05, "{shown}");
    near(bad(503, ""), 0.0);
    near(bad(503, "{ status = \"503\", is_failure = false }"), 0.5);
    near(bad(404, ""), 0.5);
    near(bad(404, "{ status = \"400-404\", is_failure = true }"), 0.0);
}

#[test]
fn a_route_has_its_own_limit() {
    let slow = "{ name = \"slow\", condition = { path_regex = \"/slow\" }, timeout = \"2ms\" }";
    let late = |path: &str| {
        let traffic = format!("{STEADY}\npath = \"{path}\"");
        let run = run(&mesh("10s", &traffic, &profile(slow), ""));
        of(&run, Details::LinkerdProfileTimeout) == run.requests.total
    };
    assert!(late("/slow") && !late("/fast"));
}

#[test]
fn a_split_keeps_the_routes_of_the_profile() {
    let half = event("half", "0s", "errors", "service:east", "share = \"50%\"");
    let keys = format!("{}\ntraffic_split = {{ east = 1 }}", profile(BOOKS));
    let traffic = format!("{BUSY}\npath = \"/books/7\"");
    let run = run(&mesh("20s", &traffic, &keys, &half));
    assert!(run.requests.total - run.requests.ok < 60, "{}", ledger(&run, "front", "web"));
    assert!(run.requests.ok == by(&run, "e"));
}

#[test]
fn what_a_profile_may_not_say() {
    for (routes, what) in [
        ("", "a profile of no routes"),
        ("{ name = \"a\", condition = {} }", "a condition that says nothing"),
        ("{ name = \"a\", condition = { path_regex = \"(\" } }", "unclosed group"),
        (
            "{ name = \"a\", condition = { method = \"GET\" }, response_classes = [{ status = \"5xx\" }] }",
            "no range of statuses",
        ),
    ] {
        is_wrong(&mesh("10s", STEADY, &profile(routes), ""), what);
    }
    let beside = format!("service_profile = {{ is_retryable = true, routes = [{BOOKS}] }}");
    is_wrong(&mesh("10s", STEADY, &beside, ""), "does nothing beside `routes`");
}

// === routes ===

#[test]
fn two_backends_of_weight_0_panic_and_one_takes_all() {
    let route = |weights: &str| format!("[[service.route]]\nweights = {{ {weights} }}");
    let both = run(&mesh("10s", STEADY, &route("v1 = 0, v2 = 0"), ""));
    assert_eq!(of(&both, Details::LinkerdPanic), both.requests.total);
    assert_eq!(ledger(&both, "front", "web"), "0 -: 499");
    let alone = run(&mesh("10s", STEADY, &route("v2 = 0"), ""));
    assert_eq!(by(&alone, "v2"), alone.requests.total);
    // Those that another rule takes are reset as well: the routes of a service are built together.
    let two =
        format!("[[service.route]]\nmatch = {{ path = \"/x\" }}\n{}", route("v1 = 0, v2 = 0"));
    let two = run(&mesh("10s", &format!("{STEADY}\npath = \"/x\""), &two, ""));
    assert_eq!(of(&two, Details::LinkerdPanic), two.requests.total);
}

#[test]
fn longer_paths_then_headers_then_methods_decide_and_not_the_order() {
    let rules = "[[service.route]]\nmatch = { method = \"GET\" }\nweights = { v1 = 1 }\n\
                 [[service.route]]\nmatch = { headers = { x-user = \"anna\" } }\nweights = { v2 = 1 }";
    let traffic = format!("{STEADY}\nheaders = {{ x-user = \"anna\" }}");
    let text = mesh("10s", &traffic, rules, "");
    let last = run(&text);
    assert_eq!(by(&last, "v2"), last.requests.total, "the method is looked at last");
    let rank = ["mesh.linkerd_route.method_rank=\"after-path\""];
    let after = run_with(&text, &rank);
    assert_eq!(by(&after, "v1"), after.requests.total);
    let paths = "[[service.route]]\nmatch = { prefix = \"/v\" }\nweights = { v1 = 1 }\n\
                 [[service.route]]\nmatch = { prefix = \"/vier/\" }\nweights = { v2 = 1 }";
    let to = |path: &str| {
        let run = run(&mesh("10s", &format!("{STEADY}\npath = \"{path}\""), paths, ""));
        (by(&run, "v1") != 0, by(&run, "v2") != 0, of(&run, Details::LinkerdNoRoute) != 0)
    };
    assert_eq!(to("/vier/x"), (false, true, false), "the longer prefix");
    assert_eq!(to("/v/x"), (true, false, false));
    assert_eq!(to("/vierzig"), (false, false, true), "a prefix ends at a slash");
}

// === limits ===

#[test]
fn a_limit_on_responses_is_504_and_resets_what_has_a_header() {
    let run = run(&mesh("10s", STEADY, "timeouts = { response = \"2ms\" }", ""));
    assert_eq!(of(&run, Details::LinkerdResponseTimeout), run.requests.total);
    assert_eq!(ledger(&run, "front", "web"), "504 -: 499");
    let slow = event(
        "slow",
        "0s",
        "behave",
        "service:web",
        "behaviour = { reply = \"slow_body\", body_delay = \"300ms\" }",
    );
    let ends = |keys: &str| {
        let run = crate::support::run(&mesh("10s", STEADY, keys, &slow));
        let late = of(&run, Details::LinkerdResponseTimeout);
        (late, of(&run, Details::LinkerdIdleTimeout), run.requests.total, run.requests.ok)
    };
    let (late, idle, all, ok) = ends("timeouts = { response = \"100ms\" }");
    assert!(late == all && idle == 0 && ok == 0, "{late} of {all}");
    let (late, idle, all, _) = ends("timeouts = { idle = \"100ms\", response = \"1s\" }");
    assert!(idle == all && late == 0, "{idle} of {all}");
    let (late, idle, all, ok) = ends("timeouts = { idle = \"500ms\" }");
    assert!(late + idle == 0 && 480 < ok && ok <= all, "{ok} of {all}");
    // Neither is tried again, whatever the statuses to retry are.
    let (late, _, all, _) = ends("retry = { limit = 3 }\ntimeouts = { response = \"100ms\" }");
    assert_eq!(late, all);
}

#[test]
fn any_limit_of_a_route_replaces_all_of_its_service() {
    let late = |route: &str| {
        let keys = format!("timeouts = {{ request = \"2ms\" }}\n[[service.route]]\n{route}");
        let run = run(&mesh("10s", STEADY, &keys, ""));
        (of(&run, Details::LinkerdTimeout), of(&run, Details::LinkerdResponseTimeout))
    };
    assert_eq!(late(""), (499, 0));
    assert_eq!(late("timeouts = { response = \"2ms\" }"), (0, 499));
    assert_eq!(late("timeouts = { idle = \"1s\" }"), (0, 0));
    assert_eq!(late("timeout = \"1s\""), (0, 0));
    let both = "timeout = \"1s\"\ntimeouts = { idle = \"1s\" }";
    is_wrong(&mesh("10s", STEADY, both, ""), "`timeout` beside `timeouts`");
}

#[test]
fn retries_of_a_route_replace_those_of_its_service() {
    let broken = event("broken", "0s", "errors", "service:web", "share = \"50%\"\nstatus = 503");
    let bad = |service: &str, route: &str| {
        let keys = format!("{service}\n[[service.route]]\n{route}");
        let run = run(&mesh("20s", BUSY, &keys, &broken));
        (run.requests.total - run.requests.ok) as f64 / run.requests.total as f64
    };
    assert!((bad("", "retry = {}") - 0.25).abs() < 0.03);
    assert!(bad("", "retry = { limit = 9 }") < 0.02);
    // As a set: the service's limit does not count beside the route's statuses.
    assert!((bad("retry = { limit = 9 }", "retry = { http = \"503\" }") - 0.25).abs() < 0.03);
    assert!((bad("retry = { limit = 9 }", "retry = { http = \"500\" }") - 0.5).abs() < 0.03);
}

#[test]
fn a_long_body_is_sent_once() {
    let broken = event("broken", "0s", "errors", "service:web", "share = \"50%\"");
    let bad = |length: u32, keys: &str, set: &[&str]| {
        let traffic = format!("{BUSY}\nheaders = {{ content-length = \"{length}\" }}");
        let run = run_with(&mesh("20s", &traffic, keys, &broken), set);
        (run.requests.total - run.requests.ok) as f64 / run.requests.total as f64
    };
    let budget = "service_profile = { is_retryable = true, min_retries_per_s = 1000 }";
    let annotation = "retry = { limit = 9 }";
    for keys in [budget, annotation] {
        assert!(bad(65_536, keys, &[]) < 0.02, "{keys}");
        assert!((bad(65_537, keys, &[]) - 0.5).abs() < 0.05, "{keys}");
    }
    let less = ["mesh.linkerd_budget.max_body=\"1KiB\"", "mesh.linkerd_retry.max_body=\"1KiB\""];
    for keys in [budget, annotation] {
        assert!((bad(1025, keys, &less) - 0.5).abs() < 0.05, "{keys}");
    }
}

#[test]
fn overrides_limit_some_clients_instead_of_each() {
    let limited = |keys: &str| {
        let run = run(&mesh("10s", STEADY, keys, ""));
        of(&run, Details::LinkerdRateLimited)
    };
    let overridden = |clients: &str| {
        format!(
            "local_rate_limit = {{ identity = 1, overrides = [{{ rps = 100, clients = [{clients}] }}] }}"
        )
    };
    // One a second at each of four pods, and one more at the beginning.
    assert!(450 < limited(&overridden("\"east\"")));
    assert_eq!(limited(&overridden("\"east\", \"front\"")), 0);
    is_wrong(&mesh("10s", STEADY, &overridden("\"fron\""), ""), "there is no client `fron`");
}

// === random plans ===

/// One of several.
type Pick<'p> = &'p mut dyn FnMut(&[&str]) -> String;

fn random(seed: u64) -> String {
    let mut draws = Stream::new(seed, "linkerd splits", "author");
    let mut pick = |list: &[&str]| list[below(draws.next_u64(), list.len())].to_owned();
    let traffic = format!(
        "arrivals = {{ poisson = \"{}\" }}\npath = \"{}\"\nmethod = \"{}\"\n{}\n{}",
        pick(&["20rps", "100rps"]),
        pick(&["/", "/a", "/a/b?c=1"]),
        pick(&["GET", "POST"]),
        pick(&[
            "",
            "headers = { content-length = \"{1..200000}\" }",
            "headers = { x-user = \"anna\" }"
        ]),
        pick(&[
            "",
            "app_connection = \"per-request\"",
            "client = { timeout = \"30ms\", attempts = 2 }"
        ]),
    );
    let web = random_web(&mut pick);
    let events = random_events(&mut pick);
    let text = mesh(&pick(&["4s", "12s"]), &traffic, &web, &events);
    let replicas = format!("replicas = {}", pick(&["1", "2", "0"]));
    let front = pick(&["name = \"front\"", "name = \"front\"\nmeshed = false"]);
    text.replacen("name = \"front\"", &front, 1)
        .replace("replicas = 2\nworkers", &format!("{replicas}\nworkers"))
}

fn random_web(pick: Pick<'_>) -> String {
    let split = pick(&[
        "",
        "traffic_split = { v1 = 1, east = \"500m\" }",
        "traffic_split = { web = 1, ghost = 2, west = 0 }",
        "traffic_split = { east = 0 }",
        "failover = { primary = \"web\", secondaries = [\"east\", \"west\"] }",
        "failover = { primary = \"ghost\", secondaries = [\"v1\", \"east\", \"west\"] }",
    ]);
    let route = "{ name = \"r\", condition = { any = [{ method = \"POST\" }, { path_regex = \"/a.*\" }] }, \
                 is_retryable = true, timeout = \"12ms\", response_classes = [{ status = \"500-503\", is_failure = true }] }";
    let policy = pick(&[
        "",
        "failure_accrual = { max_failures = 2, min_penalty = \"100ms\" }",
        "retry = { limit = 2, timeout = \"6ms\" }\ntimeouts = { response = \"7ms\", idle = \"3ms\" }",
        "timeouts = { request = \"9ms\", idle = \"4ms\" }",
        &profile(route),
        &format!("service_profile = {{ routes = [{BOOKS}, {route}] }}"),
    ]);
    let limit = pick(&[
        "",
        "local_rate_limit = { total = 50, identity = 9, overrides = [{ rps = 4, clients = [\"front\"] }] }",
    ]);
    let routes = pick(&[
        "",
        "[[service.route]]\nmatch = { prefix = \"/a\" }\nweights = { v1 = 0, v2 = 0 }\n[[service.route]]",
        "[[service.route]]\nmatch = [{ method = \"GET\" }, { path = \"/a\" }]\nweights = { v1 = 1, v9 = 1 }\n\
         timeouts = { response = \"8ms\" }\nretry = { limit = 2, timeout = \"7ms\" }\n[[service.route]]\nweights = { v2 = 0 }",
    ]);
    let routes = if policy.contains("profile") { String::new() } else { routes };
    let wire = pick(&[
        "",
        "app_protocol = \"http2\"",
        "app_protocol = \"grpc\"",
        "app_protocol = \"grpc\"\npenalize_failures = { penalty = \"50ms\" }",
        "app_protocol = \"tcp\"",
    ]);
    format!("{wire}\n{split}\n{policy}\n{limit}\n{routes}")
}

fn random_events(pick: Pick<'_>) -> String {
    let mut text = String::new();
    for number in 0..6 {
        let (does, target, more) =
            match pick(&["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]).as_str() {
                "0" => ("split", "service:web", "traffic_split = { v2 = 1, west = 3 }"),
                "1" => ("split", "service:web", "removed = true"),
                "2" => ("scale", "service:web/v1", "replicas = 0"),
                "3" => ("scale", "service:east", "replicas = 0"),
                "4" => ("fail", "service:web", ""),
                "5" => ("errors", "service:web", "share = \"60%\"\nstatus = 503"),
                "6" => ("fail", "api_server", ""),
                "7" => (
                    "behave",
                    "service:web",
                    "behaviour = { reply = \"slow_body\", body_delay = \"5ms\" }",
                ),
                "8" => ("server", "service:web", "server = { clients = [\"front\"] }"),
                _ => ("fail", "linkerd", ""),
            };
        let lasts = format!("for = \"{}\"\n{more}", pick(&["300ms", "1s", "2s"]));
        let at = pick(&["0s", "500ms", "1s", "2s", "3s"]);
        text += &event(&format!("e{number}"), &at, does, target, &lasts);
    }
    text
}

#[test]
fn random_splits_and_profiles_obey_the_laws() {
    random_ones_obey(80, 4, random);
}
