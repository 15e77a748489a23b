//! Subsets of a service by the labels of its workloads.
//!
//! Source: Istio's `DestinationRule`; 503 UH and NC as in docs/five-oh-three.md.

use crate::support::{ledger, plan_with, run, try_plan};
use meshsim::plan::policy::LoadBalancer;

/// A gateway in front of a server of three versions, of which only the first is not a canary and fails;
/// 20 requests a second for 3 s.
fn text(subsets: &str, route: &str, more: &str) -> String {
    format!(
        r#"
[scenario]
duration = "5s"
[[service]]
name = "audit"
[[service.workload]]
time = "1ms"
[[service]]
name = "server"
subsets = [{subsets}]
[[service.route]]
{route}
[[service.workload]]
version = "v1"
labels = {{ track = "stable" }}
time = "1ms"
errors = {{ share = 1.0, status = 500 }}
[[service.workload]]
version = "v2"
labels = {{ track = "canary" }}
time = "1ms"
[[service.workload]]
version = "v3"
labels = {{ track = "canary" }}
time = "1ms"
[[traffic]]
id = "users"
from = "ingress"
to = "server"
arrivals = {{ constant = "20rps" }}
[[event]]
id = "no-more"
at = "3010ms"
do = "traffic"
target = "traffic:users"
factor = 0
{more}
"#
    )
}

fn ended(subsets: &str, route: &str) -> String {
    ledger(&run(&text(subsets, route, "")), "users", "server")
}

const CANARY: &str = r#"{ name = "canary", labels = { track = "canary" } }"#;

#[test]
fn a_subset_is_the_workloads_whose_labels_fit() {
    assert_eq!(ended(CANARY, "weights = { canary = 1 }"), "200 -: 60");
    let all = ended(r#"{ name = "all" }"#, "weights = { all = 1 }");
    assert!(all.contains("200") && all.contains("500"), "{all}");
    let both = r#"{ name = "odd", labels = { track = "canary", version = "v1" } }"#;
    assert_eq!(ended(both, "weights = { odd = 1 }"), "503 UH: 60", "no workload has both");
}

#[test]
fn a_subset_without_endpoints_is_uh_and_one_that_is_not_declared_nc() {
    let nobody = r#"{ name = "beta", labels = { track = "beta" } }"#;
    assert_eq!(ended(nobody, "weights = { beta = 1 }"), "503 UH: 60");
    assert_eq!(ended(nobody, "weights = { alpha = 1 }"), "503 NC: 60");
}

#[test]
fn a_declared_subset_takes_the_place_of_the_version_of_its_name() {
    assert_eq!(ended("", "weights = { v1 = 1 }"), "500 -: 60");
    let v1 = r#"{ name = "v1", labels = { version = "v2" } }"#;
    assert_eq!(ended(v1, "weights = { v1 = 1 }"), "200 -: 60");
}

#[test]
fn events_and_mirrors_lead_to_subsets_too() {
    let event = "[[event]]\nid = \"shift\"\nat = \"1s\"\ndo = \"route\"\n\
                 target = \"service:server\"\nweights = { canary = 1 }";
    let run = run(&text(CANARY, "weights = { v1 = 1 }", event));
    let (good, bad) = (run.requests.ok, run.requests.total - run.requests.ok);
    // The push of the new route takes a while.
    assert!((20..=40).contains(&good) && good + bad == 60, "{good} and {bad}");
    let mirror = "weights = { v1 = 1 }\nmirror = { to = \"server/canary\" }";
    let plan = try_plan(&text(CANARY, mirror, ""), &[]).expect("a mirror to a subset");
    assert!(plan.universe.clusters.iter().any(|one| one.name == "server/canary"));
    assert!(try_plan(&text("", mirror, ""), &[]).is_err(), "no such version");
}

/// 503 UO of a subset whose own ceiling is lower than that of its service, and of the other subset.
#[test]
fn a_subset_has_policies_of_its_own_and_the_rest_of_its_service() {
    let ceiling = "labels = { track = \"canary\" }, circuit_breaker = { max_requests = 0 }";
    let canary = format!("{{ name = \"canary\", {ceiling} }}");
    assert_eq!(ended(&canary, "weights = { canary = 1 }"), "503 UO: 60");
    assert_eq!(ended(&canary, "weights = { v2 = 1 }"), "200 -: 60");
    let plan = plan_with(
        &text(
            "{ name = \"canary\", labels = { track = \"canary\" }, balancer = \"random\", outlier_detection = { interval = \"3s\" } }, { name = \"stable\", labels = { track = \"stable\" } }",
            "weights = { canary = 1 }",
            "",
        )
        .replace(
            "name = \"server\"",
            "name = \"server\"\nbalancer = \"ring_hash\"\nhash_on = { source = true }\nconnections = { max_requests = 7 }\noutlier_detection = { consecutive_5xx = 2 }",
        ),
        &[],
    );
    let of = |name: &str| {
        let clusters = &plan.universe.clusters;
        &clusters.iter().find(|one| one.name == name).expect("a cluster").policy
    };
    let (canary, stable) = (of("server/canary"), of("server/stable"));
    // Of balancing nothing is left, nor of outlier detection: 5 is the default; connections are the service's.
    assert_eq!((canary.balancer, canary.balancing.is_none()), (LoadBalancer::Random, true));
    assert_eq!(canary.outlier.map(|one| one.consecutive_5xx), Some(5));
    assert_eq!([canary, stable].map(|one| one.pool.max_requests), [7, 7]);
    assert_eq!((stable.balancer, stable.outlier), (LoadBalancer::RingHash, of("server").outlier));
}

#[test]
fn what_is_wrong_with_a_policy_is_said_of_the_subset_that_has_it() {
    let of = |own: &str| {
        let canary = format!("{{ name = \"canary\", labels = {{ track = \"canary\" }}, {own} }}");
        try_plan(&text(&canary, "weights = { canary = 1 }", ""), &[]).expect_err("it is wrong")
    };
    let told = of("balancer = \"random\", choice_count = 3");
    assert!(told.contains("means nothing to this balancer"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(of("retries = { attempts = 1 }").contains("retries"), "no policy of a subset");
}
