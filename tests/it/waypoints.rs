//! Goal: calls through waypoints: what acts there, whose certificates matter, what istiod and Kubernetes do for their
//! pods, and who goes past them.
//! Method: small ambient meshes; `front` calls `back` through `wp`, whose own calls are an edge of their own.
//!
//! Source: Istio's `listener_waypoint.go`, `xds/endpoints`, `istio-discovery/files/waypoint.yaml`.

use crate::support::{assert_share, count, ledger, run, run_with, try_plan};
use crate::swarm::obey;
use meshsim::kernel::stream::{Stream, below};
use meshsim::observe::run::Run;
use meshsim::vocabulary::metric::Gauge;
use std::fmt::Write as _;

/// `front` calls `back` twenty times a second through `replicas` pods of `wp`; three nodes.
fn mesh(duration: &str, replicas: u32, of_back: &str, more: &str) -> String {
    format!(
        "[scenario]\nduration = \"{duration}\"\ninterval = \"1m\"\nstart = \"cold\"\n[mesh]\n\
         profile = \"istio-ambient@1.28\"\nconnections.churn = \"60/h\"\n\
         [[node]]\nname = \"node\"\ncount = 3\n\
         [[waypoint]]\nname = \"wp\"\nreplicas = {replicas}\n\
         [[service]]\nname = \"front\"\n[[service.workload]]\nreplicas = 6\ntime = \"1ms\"\n\
         [[service]]\nname = \"back\"\nwaypoint = \"wp\"\n{of_back}\n\
         [[service.workload]]\nreplicas = 6\nworkers = 8\ntime = \"1ms\"\n\
         [[traffic]]\nid = \"calls\"\nfrom = \"front\"\nto = \"back\"\narrivals = {{ poisson = \"20rps\" }}\n\
         {more}\n"
    )
}

fn event(id: &str, at: &str, does: &str, target: &str, more: &str) -> String {
    format!(
        "[[event]]\nid = \"{id}\"\nat = \"{at}\"\ndo = \"{does}\"\ntarget = \"{target}\"\n{more}\n"
    )
}

/// Requests that failed in the minutes `from..to`, and all.
fn failed(run: &Run, from: usize, to: usize) -> (u64, u64) {
    let rows = &run.series[from..to];
    let of = |ok: bool| -> u64 {
        rows.iter().map(|row| if ok { row.requests.ok } else { row.requests.total }).sum()
    };
    (of(false) - of(true), of(false))
}

fn most(run: &Run, gauge: Gauge) -> f64 {
    run.series.iter().map(|row| row.gauges[gauge as usize]).fold(0.0, f64::max)
}

#[test]
fn a_call_goes_through_a_waypoint_pod_and_takes_its_time_there() {
    let text = mesh("10m", 2, "", "");
    let run = run_with(&text, &["mesh.connections.churn=0"]);
    let all = count(&run, "front", "back", "200 -");
    assert!(11_000 < all, "{}", ledger(&run, "front", "back"));
    assert_eq!(ledger(&run, "front", "back"), format!("200 -: {all}"));
    assert_eq!(ledger(&run, "wp", "back"), format!("200 -: {all}"));
    // 125 us at each way; each longer by a millisecond, the request takes two more.
    let slow = ["mesh.connections.churn=0", "mesh.waypoint.request=1125us"];
    let slow = run_with(&text, &[&slow[..], &["mesh.waypoint.response=1125us"]].concat());
    let p50 = |run: &Run| run.latency.quantile(0.5).expect("requests") as f64;
    let more = p50(&slow) - p50(&run);
    assert!((1.9e6..2.3e6).contains(&more), "{more} ns");
}

#[test]
fn the_gateway_goes_past_a_waypoint_unless_the_service_is_labelled() {
    let users = "[[traffic]]\nid = \"users\"\nfrom = \"ingress\"\nto = \"back\"\n\
                 arrivals = { poisson = \"20rps\" }\n";
    let through = |of_back: &str| {
        let run = run(&mesh("5m", 2, of_back, users));
        let of = |source: &str| count(&run, source, "back", "200 -");
        assert_eq!(of("users") + of("front"), run.requests.total);
        (of("wp") - of("front"), of("users"))
    };
    let (via, _) = through("");
    assert_eq!(via, 0);
    let (via, users) = through("ingress_use_waypoint = true");
    assert_eq!(via, users);
}

#[test]
fn whoever_is_outside_of_the_mesh_goes_past_a_waypoint() {
    let text =
        mesh("2m", 2, "", "").replace("name = \"front\"", "name = \"front\"\nmeshed = false");
    let run = run(&text);
    assert_eq!(count(&run, "front", "back", "200 -"), run.requests.total);
    assert_eq!(ledger(&run, "wp", "back"), "");
}

#[test]
fn retries_and_timeouts_of_the_service_act_at_the_waypoint() {
    let bad = |of_back: &str| {
        let text = mesh("20m", 2, of_back, "");
        run(&text.replace("workers = 8\n", "workers = 8\nerrors = \"50%\"\n"))
    };
    let run_ = bad("retries = { attempts = 2, on = \"5xx\" }");
    assert_share(
        "of three tries",
        count(&run_, "front", "back", "500 -"),
        run_.requests.total,
        0.125,
        4.0,
    );
    assert_eq!(count(&run_, "wp", "back", "500 URX"), count(&run_, "front", "back", "500 -"));
    // Without a word, what an endpoint has answered is not tried again.
    let run_ = bad("");
    assert_share("of one", count(&run_, "wp", "back", "500 -"), run_.requests.total, 0.5, 4.0);
    let late =
        mesh("5m", 2, "timeout = \"5ms\"", "").replace("8\ntime = \"1ms\"", "8\ntime = \"9ms\"");
    let late = run(&late);
    assert_eq!(count(&late, "wp", "back", "504 UT"), late.requests.total);
    assert_eq!(count(&late, "front", "back", "504 -"), late.requests.total);
}

#[test]
fn a_circuit_breaker_and_outlier_detection_act_at_the_waypoint() {
    // One request at a time at each of the two workers' proxy, of which there is one pod.
    let text = mesh("5m", 1, "circuit_breaker = { max_requests = 1 }", "");
    let text = text.replace("8\ntime = \"1ms\"", "8\ntime = \"200ms\"");
    let run_ = run(&text);
    assert!(0 < count(&run_, "wp", "back", "503 UO"), "{}", ledger(&run_, "wp", "back"));
    assert_eq!(count(&run_, "wp", "back", "503 UO"), count(&run_, "front", "back", "503 -"));
    // One of six pods fails for ten minutes: it is ejected for most of the time.
    let sick = event("sick", "5m", "errors", "service:back/bad", "for = \"10m\"\nstatus = 503");
    let outlier = "outlier_detection = { consecutive_5xx = 3, base_ejection = \"1m\", max_ejection_share = \"50%\" }";
    let sick = |of_back: &str| {
        let text = mesh("20m", 1, of_back, &sick).replace(
            "[[traffic]]",
            "[[service.workload]]\nversion = \"bad\"\nreplicas = 1\ntime = \"1ms\"\n[[traffic]]",
        );
        count(&run(&text), "front", "back", "503 -")
    };
    let (with, without) = (sick(outlier), sick(""));
    assert!(0 < with && 10 * with < without, "{with} and {without} failures");
}

#[test]
fn a_waypoint_without_pods_resets_connections() {
    let none = event("none", "5m", "scale", "service:wp", "replicas = 0");
    let run = run(&mesh("10m", 2, "", &none));
    let (bad, all) = failed(&run, 6, 10);
    assert_eq!(bad, all);
    assert_eq!(failed(&run, 0, 5).0, 0);
    let by = |words: &str| count(&run, "front", "back", words);
    assert_eq!(by("503 UC") + by("200 -"), run.requests.total, "{}", ledger(&run, "front", "back"));
    // All of it comes from the event.
    let roots = run.outcomes.iter().filter(|row| row.outcome.status == 503);
    assert!(roots.clone().all(|row| row.cause.is_some()));
    // There from the start on, it is the same.
    let run = run_with(&mesh("1m", 0, "", ""), &[]);
    assert_eq!(count(&run, "front", "back", "503 UC"), run.requests.total);
}

#[test]
fn each_waypoint_pod_has_a_certificate_of_its_own_with_the_timing_of_sidecars() {
    let issued = |duration: &str| {
        let run = run_with(
            &mesh(duration, 40, "", ""),
            &["traffic.calls.arrivals={ poisson = \"0.01rps\" }"],
        );
        assert!((most(&run, Gauge::Proxies) - 43.0).abs() < 0.5, "a ztunnel a node, and each pod");
        run.control_plane.certificates_issued
    };
    // Six accounts on nodes at 11 h 59 min; 40 pods within 1 % of 24 h around the half.
    assert_eq!(issued("11h45m"), 46);
    assert!((46..86).contains(&issued("11h58m")));
    assert_eq!(issued("12h15m"), 92);
}

#[test]
fn a_waypoint_pod_whose_certificate_is_expired_is_lost_to_its_callers() {
    // At 12 h the ztunnels have renewed theirs, and some of the pods.
    let down = event("down", "12h", "fail", "istiod/ca", "");
    let text = mesh("26h", 8, "", &down);
    let run = run_with(&text, &["traffic.calls.arrivals={ poisson = \"2rps\" }"]);
    let expired = run.control_plane.certificates_expired;
    assert!((1..8).contains(&expired), "{expired} of 8");
    assert_eq!(failed(&run, 0, 1_440).0, 0);
    let (bad, all) = failed(&run, 1_470, 1_560);
    assert_share("of the pods", bad, all, expired as f64 / 8.0, 5.0);
    // ztunnel says no more than that the connection is gone, and asks no other pod; by tunnels that are open yet, the
    // pod is reached, and then refused by the ztunnels behind it.
    let (lost, refused) =
        (count(&run, "front", "back", "503 UC"), count(&run, "wp", "back", "503 UC"));
    assert_eq!(lost + refused, run.requests.total - run.requests.ok);
    assert_eq!(refused, count(&run, "front", "back", "503 -"));
    assert!(0 < refused && 10 * refused < lost, "{refused} and {lost}");
}

#[test]
fn an_expired_ztunnel_behind_the_waypoint_is_a_503_there() {
    // The accounts of `back` are gone, `front` is a service outside of the mesh's ztunnels: the gateway.
    let users = "[[traffic]]\nid = \"users\"\nfrom = \"ingress\"\nto = \"back\"\n\
                 arrivals = { poisson = \"2rps\" }\n";
    let down = event("down", "11h58m", "fail", "istiod", "");
    let roll = event("roll", "11h", "rollout", "service:wp", "");
    let text = mesh("25h", 2, "ingress_use_waypoint = true", &(users.to_owned() + &down + &roll));
    let run = run_with(&text, &["traffic.calls.arrivals={ poisson = \"0.1rps\" }"]);
    // The waypoint's pods are an hour old when istiod goes: theirs hold until 35 h.
    assert!(0 < count(&run, "wp", "back", "503 UC"), "{}", ledger(&run, "wp", "back"));
    let (bad, all) = failed(&run, 1_470, 1_500);
    assert_eq!(bad, all);
}

#[test]
fn pods_of_a_waypoint_need_no_webhook_but_istiod() {
    let story = event("down", "5m", "fail", "istiod", "for = \"15m\"")
        + &event("roll", "10m", "rollout", "service:wp", "");
    let run = run(&mesh("30m", 2, "", &story));
    assert_eq!(run.control_plane.pods_refused, 0);
    // One is made, is not ready, and starts again after 30 s, and with a growing wait; none is missing meanwhile.
    assert!(3 < run.control_plane.container_restarts, "{}", run.control_plane.container_restarts);
    assert_eq!(run.control_plane.pods_created, 2);
    assert_eq!(run.requests.ok, run.requests.total, "{}", ledger(&run, "front", "back"));
}

#[test]
fn a_tunnel_to_a_pod_that_is_gone_is_uc_which_only_retries_of_resets_save() {
    let users = "[[traffic]]\nid = \"users\"\nfrom = \"ingress\"\nto = \"back\"\n\
                 arrivals = { poisson = \"20rps\" }\n";
    let story = event("down", "5m", "fail", "istiod", "")
        + &event("less", "10m", "scale", "service:back", "replicas = 3");
    // The request is written before the tunnel fails: neither reset-before-request nor connect-failure.
    for policy in ["", "retries = { attempts = 2, on = \"connect-failure,reset-before-request\" }"]
    {
        let run = run(&mesh("30m", 2, policy, &story));
        let (bad, all) = failed(&run, 12, 30);
        assert_share("of one try", bad, all, 0.5, 5.0);
        assert_eq!(run.requests.failed(), count(&run, "wp", "back", "503 UC"), "{policy}");
    }
    let saved = run(&mesh("30m", 2, "retries = { attempts = 2, on = \"reset\" }", &story));
    let (bad, all) = failed(&saved, 12, 30);
    // Two retries, neither at the same pod: 3/6 · 2/5 · 1/4 are lost.
    assert_share("of three tries", bad, all, 0.05, 6.0);
    // ztunnels do not know that pods are gone, either; nor does the gateway, which says so as the waypoint does.
    let flat = mesh("30m", 2, "", &story).replace("waypoint = \"wp\"\n", "");
    let (bad, all) = failed(&run(&flat), 12, 30);
    assert_share("without a waypoint", bad, all, 0.5, 5.0);
    let run = run(&mesh("30m", 2, "", &(users.to_owned() + &story)));
    let lost = count(&run, "users", "back", "503 UC");
    assert!(0 < lost, "{}", ledger(&run, "users", "back"));
    let ok = count(&run, "users", "back", "200 -");
    assert_eq!(ledger(&run, "users", "back"), format!("200 -: {ok}, 503 UC: {lost}"));
}

#[test]
fn faults_stand_at_the_waypoint_and_routes_change_there() {
    let fault = "[[filter]]\nat = \"wp\"\nfault = { abort = 503, abort_share = \"50%\" }\n";
    let run_ = run(&mesh("10m", 2, "", fault));
    assert_share("aborted", count(&run_, "wp", "back", "503 FI"), run_.requests.total, 0.5, 4.0);
    assert_eq!(count(&run_, "wp", "back", "503 FI"), count(&run_, "front", "back", "503 -"));
    // One of the two versions fails: by weight at first, and then nobody goes there.
    let away = event("away", "10m", "route", "service:back", "weights = { good = 1 }");
    let text = mesh("20m", 2, "", &away)
        .replace(
            "replicas = 6\nworkers = 8\n",
            "version = \"good\"\nreplicas = 3\n",
        )
        .replace(
            "[[traffic]]",
            "[[service.workload]]\nversion = \"bad\"\nreplicas = 3\nerrors = \"100%\"\ntime = \"1ms\"\n\
             [[traffic]]",
        );
    let run_ = run(&text);
    let (bad, all) = failed(&run_, 0, 10);
    assert_share("of both", bad, all, 0.5, 4.0);
    assert_eq!(failed(&run_, 11, 20).0, 0);
}

#[test]
fn a_node_takes_its_waypoint_pods_along_until_their_endpoints_are_gone() {
    // istiod is on the first node.
    let lost = event("lost", "5m", "fail", "node:node-1", "");
    let run = run(&mesh("20m", 3, "", &lost));
    assert_eq!(failed(&run, 0, 5).0, 0);
    assert!(0 < failed(&run, 5, 7).0);
    assert_eq!(failed(&run, 8, 20).0, 0, "{}", ledger(&run, "front", "back"));
    assert!(run.outcomes.iter().all(|row| row.outcome.status < 500 || row.cause.is_some()));
}

#[test]
fn members_of_a_counted_service_share_a_waypoint() {
    let text = mesh("5m", 2, "count = 3", "");
    let run = run(&text);
    for index in 0..3 {
        let back = format!("back-{index}");
        let all = count(&run, "front", &back, "200 -");
        assert!(0 < all, "{back}");
        // One may be on its way back.
        assert!((all..=all + 1).contains(&count(&run, "wp", &back, "200 -")), "{back}");
    }
}

#[test]
fn waypoints_that_cannot_be_are_told() {
    let said = |from: &str, to: &str| {
        let text = mesh("1m", 1, "", "").replace(from, to);
        try_plan(&text, &[]).expect_err("it cannot be")
    };
    let all = said("waypoint = \"wp\"", "waypoint = \"pw\"");
    assert!(all.contains("there is no waypoint `pw`"), "{all}");
    let all = said("to = \"back\"", "to = \"wp\"");
    assert!(all.contains("`wp` is a waypoint"), "{all}");
    // What is no call, and would be one.
    let route = |keys: &str| format!("waypoint = \"wp\"\n[[service.route]]\nname = \"r\"\n{keys}");
    let all = said("waypoint = \"wp\"", &route("mirror = { to = \"wp\" }"));
    assert!(all.contains("`wp` is a waypoint"), "{all}");
    let all = said("waypoint = \"wp\"", "waypoint = \"wp\"\nselector = { app = \"wp\" }");
    assert!(all.contains("the selector of `back` selects no workload"), "{all}");
    let by_header = mesh("1m", 1, "", "")
        .replace("waypoint = \"wp\"", &route("cluster_header = \"x-cluster\""))
        .replace("to = \"back\"\n", "to = \"back\"\nheaders = { x-cluster = \"wp\" }\n");
    let all = try_plan(&by_header, &[]).expect_err("it cannot be");
    assert!(all.contains("`wp` is a waypoint"), "{all}");
    let all = said("istio-ambient@1.28", "istio-sidecar@1.28");
    assert!(all.contains("`waypoint` does nothing without an ambient mesh"), "{all}");
    assert!(all.contains("a waypoint is a part of an ambient mesh"), "{all}");
    let all = said("waypoint = \"wp\"", "waypoint = \"wp\"\negress = [\"front\"]");
    assert!(all.contains("`egress` does nothing in an ambient mesh"), "{all}");
}

// What random plans are made of.
const EVENTS: [(&str, &str, &str); 21] = [
    ("fail", "service:wp", ""),
    ("fail", "service:wp", "share = 0.5"),
    ("restart", "service:wp", "share = 0.5"),
    ("freeze", "service:wp", ""),
    ("rollout", "service:wp", ""),
    ("scale", "service:wp", "replicas = 1"),
    ("scale", "service:wp", "replicas = 0"),
    ("scale", "service:wp", "replicas = 5"),
    ("fail", "service:back", "share = 0.5"),
    ("rollout", "service:back", ""),
    ("freeze", "service:back", ""),
    ("crash_loop", "service:back", ""),
    ("fail", "service:back", "part = \"app\""),
    ("fail", "istiod", ""),
    ("fail", "istiod/ca", ""),
    ("fail", "istiod/xds", ""),
    ("fail", "node:node-1", ""),
    ("drain", "node:node-0", ""),
    ("cut", "link:node-0->node-1", ""),
    ("fail", "pod:wp-0", ""),
    ("clock", "service:wp", "behind = \"90s\""),
];
const POLICIES: [&str; 8] = [
    "",
    "timeout = \"20ms\"\nretries = { attempts = 2, on = \"5xx,reset,connect-failure\" }",
    "outlier_detection = true\nbalancer = \"round_robin\"",
    "circuit_breaker = { max_requests = 2, max_pending = 1 }",
    "ingress_use_waypoint = true\nretries = { attempts = 1, on = \"5xx\", per_try_timeout = \"3ms\" }",
    "hash_on = { source = true }\n[[service.route]]\nname = \"all\"\ntimeout = \"50ms\"",
    "[[service.route]]\nname = \"copies\"\nmirror = [{ to = \"front\", share = 0.5 }, { to = \"back\" }]",
    "[[service.route]]\nname = \"named\"\ncluster_header = \"x-cluster\"",
];
const NAMES: [&str; 3] = ["back", "front", "nobody"];

#[test]
fn random_plans_with_waypoints_obey_the_laws() {
    for seed in 0..200_u64 {
        let mut draws = Stream::new(seed, "waypoint plan", "");
        let mut pick = |n: usize| below(draws.next_u64(), n);
        let mut story = String::new();
        let is_sampled = pick(3) == 0;
        if !is_sampled && pick(2) == 0 {
            story.push_str(
                "[[traffic]]\nid = \"users\"\nfrom = \"ingress\"\nto = \"back\"\n\
                 client = { timeout = \"8ms\" }\narrivals = { poisson = \"10rps\" }\n",
            );
        }
        for number in 0..=pick(6) {
            let (does, target, more) = EVENTS[pick(EVENTS.len())];
            let at = format!("{}s", 20 + pick(600));
            let instant = matches!(does, "restart" | "rollout" | "drain" | "scale");
            let length =
                if instant { String::new() } else { format!("for = \"{}s\"", 1 + pick(300)) };
            let more = format!("{more}\n{length}");
            let _ = write!(story, "{}", event(&format!("e{number}"), &at, does, target, &more));
        }
        if is_sampled {
            story.push_str("[sampling]\nevery = \"2m\"\nwindow = \"20s\"\n");
        }
        let policy = POLICIES[pick(POLICIES.len())];
        let text = mesh("15m", u32::try_from(1 + pick(3)).expect("few"), policy, &story);
        let settings = format!(
            "connections.churn = \"60/h\"\ncert.ttl = \"{}m\"\nistiod.replicas = {}\n\
             xds.max_connection_age = \"{}s\"\nkubernetes.node_grace = \"10s\"\n\
             kubernetes.eviction_after = \"20s\"\n",
            4 + pick(20),
            1 + pick(2),
            60 + pick(600)
        );
        let text = text.replace("connections.churn = \"60/h\"\n", &settings);
        let named = format!("to = \"back\"\nheaders = {{ x-cluster = \"{}\" }}\n", NAMES[pick(3)]);
        let text = text.replace("to = \"back\"\n", &named);
        let text = if pick(2) == 0 { text.replace("start = \"cold\"\n", "") } else { text };
        let played = std::panic::catch_unwind(|| obey(&text));
        assert!(played.is_ok(), "seed {seed} broke a law:\n{text}");
    }
}
