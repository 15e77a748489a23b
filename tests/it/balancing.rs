//! Balancing in the world: shares of versions by what is said of their endpoints, against shares that
//! were measured on Envoy 1.40 (family e07).

use crate::support::{assert_share, count, ledger, plan_with, run, try_plan};
use meshsim::observe::run::Run;
use meshsim::vocabulary::metric::Gauge;

/// One gateway proxy with one worker in front of `server`, whose workloads are these.
fn mesh(service: &str, workloads: &[&str], more: &str) -> String {
    let of = |(number, keys): (usize, &&str)| {
        format!(
            "[[service.workload]]\nversion = \"v{number}\"\nworkers = 100\ntime = \"1ms\"\n{keys}\n"
        )
    };
    let workloads: String = workloads.iter().enumerate().map(of).collect();
    format!(
        r#"
[scenario]
duration = "41s"
warmup = "1s"
[mesh]
profile = "istio-sidecar@1.28"
ingress.replicas = 1
proxy.workers = 1
[[service]]
name = "server"
{service}
{workloads}
[[traffic]]
id = "users"
from = "ingress"
to = "server"
headers = {{ x-user = "user-{{1..4000}}" }}
arrivals = {{ constant = "200rps" }}
{more}
"#
    )
}

/// Requests that ended at a version.
fn at(run: &Run, version: &str) -> u64 {
    run.outcomes.iter().filter(|row| row.version == version).map(|row| row.count).sum()
}

fn share(run: &Run, version: &str) -> f64 {
    at(run, version) as f64 / run.requests.total as f64
}

fn near(what: &str, share: f64, expected: f64, tolerance: f64) {
    assert!((share - expected).abs() <= tolerance, "{what}: {share}, expected {expected}");
}

// === weights and health ===

#[test]
fn weights_count_by_endpoint_and_random_ignores_them() {
    let of = |balancer: &str| {
        let service = format!("balancer = \"{balancer}\"");
        run(&mesh(&service, &["weight = 1", "weight = 2", "weight = 5"], ""))
    };
    let (turns, random) = (of("round_robin"), of("random"));
    near("round robin", share(&turns, "v2"), 0.625, 1e-3);
    near("least request", share(&of("least_request"), "v2"), 0.625, 0.01);
    assert_share("random", at(&random, "v2"), random.requests.total, 1.0 / 3.0, 4.0);
}

#[test]
fn a_service_whose_endpoints_are_all_alike_runs_as_ever() {
    let text = mesh("", &["replicas = 3"], "");
    let said = mesh("", &["replicas = 3\nweight = 1\npriority = 0\nhealth = \"healthy\""], "");
    assert_eq!(run(&text).digest, run(&said).digest);
    assert_eq!(plan_with(&text, &[]).digest(), plan_with(&said, &[]).digest());
}

#[test]
fn unhealthy_endpoints_are_used_in_panic_only() {
    let of = |threshold: &str, healthy: u32| {
        let service = format!("panic_threshold = \"{threshold}\"\nbalancer = \"round_robin\"");
        let up = format!("replicas = {healthy}");
        let down = format!("replicas = {}\nhealth = \"draining\"", 10 - healthy);
        run(&mesh(&service, &[&up, &down], ""))
    };
    near("half is no panic", share(&of("50%", 5), "v1"), 0.0, 0.0);
    near("less is", share(&of("50%", 4), "v1"), 0.6, 1e-3);
    let none = run(&mesh("", &["health = \"unhealthy\""], ""));
    assert_eq!(ledger(&none, "users", "server"), format!("503 UH: {}", none.requests.total));
}

#[test]
fn degraded_endpoints_get_what_the_healthy_ones_leave() {
    let run = run(&mesh("", &["replicas = 5", "replicas = 5\nhealth = \"degraded\""], ""));
    assert_share("degraded", at(&run, "v1"), run.requests.total, 0.30, 4.0);
}

#[test]
fn priorities_fail_over_by_one_point_four_times_the_healthy_share() {
    for (healthy, expected) in [(7, 0.02), (5, 0.30), (3, 0.58)] {
        let up = format!("replicas = {healthy}");
        let down = format!("replicas = {}\nhealth = \"unhealthy\"", 10 - healthy);
        let next = "replicas = 4\npriority = 3";
        let run = run(&mesh("panic_threshold = \"50%\"", &[&up, &down, next], ""));
        assert_share("the next priority", at(&run, "v2"), run.requests.total, expected, 4.0);
        assert_eq!(at(&run, "v1"), 0);
    }
}

#[test]
fn an_event_drains_endpoints_and_takes_it_back() {
    let event = "[[event]]\nid = \"drain\"\nat = \"11s\"\nfor = \"20s\"\ndo = \"endpoints\"\ntarget = \"service:server/v0\"\nhealth = \"draining\"\n";
    let run = run(&mesh("balancer = \"round_robin\"", &["replicas = 2", "replicas = 2"], event));
    // Half of the time all go to the others, but for the debounce and the push.
    near("drained", share(&run, "v0"), 0.25, 0.01);
    assert_eq!(run.requests.failed(), 0, "{}", ledger(&run, "users", "server"));
}

// === places ===

const ZONES: &str = "[[node]]\nname = \"a\"\nzone = \"a\"\n[[node]]\nname = \"b\"\nzone = \"b\"\n";

/// The gateway's pod is on the first node.
fn in_zones(service: &str, first: &str, second: &str) -> Run {
    let first = format!("nodes = [\"a\"]\n{first}");
    let second = format!("nodes = [\"b\"]\n{second}");
    run(&mesh(service, &[&first, &second], ZONES))
}

#[test]
fn zones_share_by_weight() {
    let service = "balancer = \"round_robin\"\nlocality = { weights = { a = 1, b = 3 } }";
    near("the zone of weight 3", share(&in_zones(service, "", "replicas = 5"), "v1"), 0.75, 1e-3);
    let service = "locality = { distribute = [{ from = \"a\", to = { a = 80, b = 20 } }] }";
    near("distributed", share(&in_zones(service, "", "replicas = 5"), "v1"), 0.2, 1e-3);
}

#[test]
fn requests_stay_in_the_zone_until_too_few_endpoints_are_left() {
    let close = "locality = { prefer_close = true }";
    near("all are there", share(&in_zones(close, "replicas = 2", "replicas = 6"), "v1"), 0.0, 0.0);
    let down = in_zones(close, "health = \"unhealthy\"", "replicas = 6");
    near("nobody is", share(&down, "v1"), 1.0, 0.0);
    let failover =
        format!("outlier_detection = true\n{}", close.replace("prefer_close", "failover"));
    near("failover", share(&in_zones(&failover, "", "replicas = 6"), "v1"), 0.0, 0.0);
}

#[test]
fn zone_aware_routing_keeps_what_its_share_of_the_clients_allows() {
    // Two of four clients are in the first zone, and two of eight endpoints: half of it stays.
    let text = mesh(
        "locality = { zone_aware = true }",
        &["nodes = [\"a\"]\nreplicas = 2", "nodes = [\"b\"]\nreplicas = 6"],
        &format!(
            "{ZONES}[[service]]\nname = \"client\"\n[[service.workload]]\nreplicas = 4\ntime = \"0s\"\n[[traffic]]\nid = \"calls\"\nfrom = \"client\"\nto = \"server\"\narrivals = {{ constant = \"400rps\" }}\n"
        ),
    );
    let run = run(&text.replace("constant = \"200rps\"", "constant = \"1/m\""));
    let rows = || run.outcomes.iter().filter(|row| row.source == "client");
    let of = |version: &str| rows().filter(|row| row.version == version).map(|row| row.count).sum();
    let total: u64 = rows().map(|row| row.count).sum();
    // 1/2 × 1/2 from the first zone, nothing from the second.
    assert_share("the first zone", of("v0"), total, 0.25, 4.0);
}

// === slow start ===

#[test]
fn a_fourth_endpoint_starts_slowly() {
    // Family e07: in the sixth second it gets 15.5 %, after ten a quarter.
    let event = "[[event]]\nid = \"more\"\nat = \"10s\"\ndo = \"scale\"\ntarget = \"service:server/v1\"\nreplicas = 1\n";
    let service = "balancer = \"round_robin\"\nslow_start = { window = \"10s\" }";
    let text = mesh(service, &["replicas = 3", "replicas = 0\nstart_time = \"0s\""], event);
    let of = |from: &str, to: &str| {
        let text = text.replace("\"41s\"", to).replace("warmup = \"1s\"", from);
        share(&run(&text), "v1")
    };
    // It is ready and pushed some seconds after the event: its proxy starts, its endpoint is told.
    let first =
        (11..20).find(|s| 0.0 < of(&format!("warmup = \"{s}s\""), &format!("\"{}s\"", s + 1)));
    let first = first.expect("it gets requests");
    let second =
        |n: i32| of(&format!("warmup = \"{}s\"", first + n), &format!("\"{}s\"", first + n + 1));
    let shares = [second(0), second(5), second(12)];
    assert!(shares[0] < 0.05, "{shares:?}");
    near("the sixth second", shares[1], 0.155, 0.03);
    near("at the end", shares[2], 0.25, 0.01);
}

/// Envoy counts the window from the last time that active health checks passed.
#[test]
fn an_endpoint_that_is_well_again_starts_slowly_again() {
    let checks = "health_checks = { interval = \"100ms\", timeout = \"50ms\", no_traffic_interval = \"100ms\", unhealthy_threshold = 1, healthy_threshold = 1 }";
    let ill = "[[event]]\nid = \"away\"\nat = \"100ms\"\ndo = \"fail\"\ntarget = \"istiod\"\n[[event]]\nid = \"ill\"\nat = \"11s\"\nfor = \"5s\"\ndo = \"behave\"\ntarget = \"service:server/v1\"\nbehaviour = { check_status = 503 }\n";
    let of = |slow: &str, from: &str, to: &str| {
        let service = format!("balancer = \"round_robin\"\n{checks}\n{slow}");
        let text = mesh(&service, &["replicas = 3", ""], ill);
        share(&run(&text.replace("\"41s\"", to).replace("warmup = \"1s\"", from)), "v1")
    };
    let slow = "slow_start = { window = \"10s\" }";
    // Two seconds after it is well: a twentieth of all, not a quarter.
    near("well", of("", "warmup = \"18s\"", "\"19s\""), 0.25, 0.01);
    near("new again", of(slow, "warmup = \"18s\"", "\"19s\""), 0.075, 0.03);
    near("at the end", of(slow, "warmup = \"30s\"", "\"41s\""), 0.25, 0.01);
}

// === consistent hashing ===

#[test]
fn a_hashed_user_stays_and_many_users_spread() {
    for balancer in ["ring_hash", "maglev"] {
        let service = format!("balancer = \"{balancer}\"\nhash_on = {{ header = \"X-User\" }}");
        let text = mesh(&service, &["", "", "", ""], "");
        let many = run(&text);
        for version in ["v0", "v1", "v2", "v3"] {
            near(version, share(&many, version), 0.25, 0.05);
        }
        let one = run(&text.replace("user-{1..4000}", "anna"));
        let versions = ["v0", "v1", "v2", "v3"].map(|version| at(&one, version));
        assert_eq!(versions.iter().filter(|count| **count != 0).count(), 1, "{versions:?}");
    }
}

#[test]
fn a_hashed_user_is_not_tried_elsewhere_and_a_source_is_one_user() {
    // Istio leaves out `previous_hosts`: the retry goes where the first try failed.
    let dead = "[[event]]\nid = \"away\"\nat = \"100ms\"\ndo = \"fail\"\ntarget = \"istiod\"\n[[event]]\nid = \"dead\"\nat = \"1s\"\ndo = \"fail\"\ntarget = \"service:server\"\nshare = 0.5\n";
    let text = mesh("hash_on = { header = \"x-user\" }", &["replicas = 2"], dead);
    let run = run(&text);
    let failed = count(&run, "users", "server", "503 URX,UF");
    near("the keys of the dead one", failed as f64 / run.requests.total as f64, 0.5, 0.08);
    assert_eq!(failed, run.requests.failed(), "{}", ledger(&run, "users", "server"));
}

// === outlier detection (e05) ===

/// Requests of a gateway at 300 rps to five endpoints that fail in 2 % and one that fails in 40 % of
/// the cases; what was answered 503.
fn weak(outlier: &str) -> f64 {
    let service = format!(
        "balancer = \"round_robin\"\noutlier_detection = {{ consecutive_5xx = 0, interval = \"2s\", base_ejection = \"2s\", max_ejection_share = \"50%\"{outlier} }}"
    );
    let strong = "replicas = 5\nerrors = { share = 0.02, status = 503 }";
    let text = mesh(&service, &[strong, "errors = { share = 0.4, status = 503 }"], "");
    let run = run(&text.replace("200rps", "300rps"));
    count(&run, "users", "server", "503 -") as f64 / run.requests.total as f64
}

#[test]
fn a_weak_endpoint_is_found_by_comparison() {
    // Without it every twelfth request fails: 0.02 × 5/6 + 0.4 / 6.
    near("nothing finds it", weak(""), 0.083, 0.012);
    // Measured in 8 s: 5.0 and 5.3 % with success rates, 6.1 and 4.1 % with failure percentages;
    // ejections get longer with time.
    let by_rate = weak(", success_rate = { request_volume = 50 }");
    assert!((0.02..0.053).contains(&by_rate), "{by_rate}");
    let by_share = weak(", failure_percentage = { threshold = \"30%\" }");
    assert!((0.02..0.061).contains(&by_share), "{by_share}");
    let not = weak(", failure_percentage = { threshold = \"30%\", enforcing = \"0%\" }");
    near("it is not enforced", not, 0.083, 0.012);
}

#[test]
fn failures_of_this_side_eject_by_their_own_count() {
    let of = |split: &str, number: u32| {
        let dead = "[[event]]\nid = \"away\"\nat = \"100ms\"\ndo = \"fail\"\ntarget = \"istiod\"\n[[event]]\nid = \"dead\"\nat = \"1s\"\ndo = \"fail\"\ntarget = \"service:server/v1\"\n";
        let service = format!(
            "balancer = \"round_robin\"\nretries = {{ attempts = 0 }}\noutlier_detection = {{ consecutive_5xx = {number}, max_ejection_share = \"100%\", base_ejection = \"1h\", max_ejection = \"1h\"{split} }}"
        );
        let run = run(&mesh(&service, &["replicas = 2", ""], dead));
        count(&run, "users", "server", "503 UF")
    };
    // Those in flight when the pod died see UC.
    let split = ", split_local_origin = true, consecutive_local_origin = 7";
    assert!((6..=7).contains(&of(split, 3)), "{}", of(split, 3));
    assert!((2..=3).contains(&of("", 3)), "{}", of("", 3));
}

#[test]
fn failures_of_this_side_are_compared_apart() {
    // One of six refuses: with failures counted apart it has no answers to compare, only this side's.
    let refused = |local: &str| {
        let service = format!(
            "retries = {{ attempts = 0 }}\nbalancer = \"round_robin\"\noutlier_detection = {{ consecutive_5xx = 0, interval = \"2s\", base_ejection = \"1h\", max_ejection = \"1h\", max_ejection_share = \"50%\", split_local_origin = true, enforcing_consecutive_local_origin = \"0%\", success_rate = {{ request_volume = 50{local} }} }}"
        );
        let dead = "[[event]]\nid = \"away\"\nat = \"100ms\"\ndo = \"fail\"\ntarget = \"istiod\"\n[[event]]\nid = \"dead\"\nat = \"4s\"\ndo = \"fail\"\ntarget = \"service:server/v1\"\n";
        let run = run(&mesh(&service, &["replicas = 5", ""], dead).replace("200rps", "300rps"));
        count(&run, "users", "server", "503 UF")
    };
    // 50 a second for 37 s, or until the first interval that has seen 50: two at most, and the update.
    let (apart, not) = (refused(", enforcing_local_origin = \"100%\""), refused(""));
    assert!((50..=250).contains(&apart), "{apart}");
    assert!((1800..=1850).contains(&not), "{not}");
}

/// Envoy's router tells outlier detection of headers and of resets, and of limits only while it waits for headers.
#[test]
fn what_breaks_off_after_its_headers_is_no_second_failure() {
    let ejected = |behaviour: &str, keys: &str| {
        let service = format!(
            "retries = {{ attempts = 0 }}\n{keys}\noutlier_detection = {{ consecutive_5xx = 3, max_ejection_share = \"100%\" }}\nmeshed = false"
        );
        let run = run(&mesh(&service, &[&format!("replicas = 2\n{behaviour}")], ""));
        assert!(1000 < run.requests.failed(), "{}", ledger(&run, "users", "server"));
        let most = run.series.iter().map(|row| row.gauges[Gauge::Ejected as usize]);
        most.fold(0.0, f64::max)
    };
    let slow = "behaviour = { reply = \"slow_body\", body_delay = \"10s\" }";
    assert!(ejected(slow, "timeout = \"100ms\"") < 0.5);
    assert!(
        ejected("behaviour = { reply = \"headers_then_reset\", body_delay = \"10ms\" }", "") < 0.5
    );
    let hang = "behaviour = { reply = \"never\" }";
    assert!(ejected(hang, "connections = { max_stream_duration = \"100ms\" }") < 0.5);
    assert!(ejected(hang, "idle_timeout = \"100ms\"") < 0.5);
    // While headers are awaited it is one.
    assert!(0.5 < ejected(hang, "timeout = \"100ms\""));
}

/// Envoy's `previous_hosts` knows all that were tried, not the last few.
#[test]
fn a_retry_keeps_away_from_all_endpoints_that_were_tried() {
    let service = "balancer = \"random\"\nretries = { attempts = 7, on = [\"5xx\"], backoff_base = \"1ms\", host_attempts = 1000 }";
    let bad = "replicas = 7\nerrors = 1.0";
    let run = run(&mesh(service, &[bad, ""], ""));
    assert_eq!(run.requests.failed(), 0, "{}", ledger(&run, "users", "server"));
}

// === what is refused ===

#[test]
fn what_the_mesh_refuses_is_refused_here() {
    for (service, workload, what) in [
        ("choice_count = 1", "", "no whole number from 2"),
        ("choice_count = 3\nbalancer = \"random\"", "", "means nothing to this balancer"),
        ("hash_on = { header = \"a\", source = true }", "", "made from one thing"),
        ("balancer = \"maglev\"\nmaglev_table_size = 65536", "", "no prime"),
        ("hash_on = { source = true }\nmaximum_ring_size = 10", "", "cannot have at most 10"),
        ("locality = { weights = { zone = 0 } }", "", "no weight is above 0"),
        ("locality = { distribute = [{ to = { zone = 80 } }] }", "", "sum up to 80"),
        ("locality = { weights = { mars = 1 } }", "", "no zone `mars`"),
        ("locality = { failover = true }", "", "without outlier detection"),
        ("panic_threshold = \"101%\"", "", "within 0 and 1"),
        ("slow_start = { window = \"0s\" }", "", "window is zero"),
        ("overprovisioning = 0.5", "", "no factor from 1"),
        ("", "weight = 0", "no whole number from 1"),
        ("", "priority = 129", "no whole number from 0 to 128"),
        ("", "health = \"sick\"", "none of the words"),
    ] {
        let problems = try_plan(&mesh(service, &[workload], ""), &[]).expect_err(service);
        assert!(problems.contains(what), "{service}{workload}: {problems}");
    }
}
