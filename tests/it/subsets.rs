//! Subsets of a service by the labels of its workloads.
//!
//! Source: Istio's `DestinationRule`; 503 UH and NC as in docs/five-oh-three.md.

use crate::support::{ledger, run, try_plan};

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
