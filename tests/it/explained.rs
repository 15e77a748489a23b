//! Every way in which requests of the shipped scenarios fail has a root, and where a scenario has
//! events it is one of them; what `meshsim explain` prints.

use crate::support::{plan_with, play};
use crate::tree::{Tree, files_of, none, read};
use meshsim::kernel::time::{Duration, Time};
use meshsim::observe::mesh_status::Sync;
use meshsim::plan::Plan;
use meshsim::report::text::{classes, explanation, mesh_status};
use meshsim::scenario::load;
use meshsim::vocabulary::cause::CauseKind;
use meshsim::world::options::Options;
use serde_json::Value;
use std::collections::BTreeSet;

/// Scenarios with events in which some requests fail without one, and by what.
const SET_SO: [(&str, &str); 8] = [
    // Its breaker is hit now and then before the app is slow, its timeouts too.
    ("circuit-breaker", "`circuit_breaker` of `recommendations`"),
    ("five-oh-three/dc", "callers of `cart` have a `timeout`"),
    ("five-oh-three/ut", "`timeout` of `cart`"),
    // What refuses is the filter, whether its service is down or not.
    ("five-oh-three/uaex", "a `filter` before `cart`"),
    // The new version fails a share of its requests, whatever its weight.
    ("canary-weights", "`errors` of `reviews`"),
    // The spike is in the arrivals of its traffic.
    ("metastable-collapse", "callers of `server` have a `timeout`"),
    // Requests that wait for a connection when certificates run out meet the limit of 2 s that the YAML has.
    ("manifests/shop-outage", "`timeout` of `cart`"),
    // What ends by itself; events only make it show, or heal it.
    ("identity/istiod-certificate-expired", "the certificate with which istiod serves"),
];

/// What comes by itself.
const ENDS: [&str; 4] = [
    "the root certificate is past its end",
    "the intermediate certificate is past its end",
    "the trust anchor is past its end",
    "the issuer is past its end",
];

/// What is wrong with the roots of a plan's failures.
fn wrong(plan: &Plan) -> Vec<String> {
    let name = match &plan.variant {
        None => plan.name.clone(),
        Some(variant) => format!("{}/{variant}", plan.name),
    };
    let baseline = read(&format!("results/baseline/{name}.json"));
    let baseline: Value = serde_json::from_str(&baseline).expect("it is JSON");
    let events: Vec<String> =
        plan.timeline.iter().map(|one| format!("{} ({})", one.id, one.label)).collect();
    let is_told = |root: &str| {
        let is_set_so =
            |(scenario, what): &(&str, &str)| plan.name == *scenario && root.starts_with(what);
        events.iter().any(|event| event == root)
            || events.is_empty()
            || ENDS.contains(&root)
            || SET_SO.iter().any(is_set_so)
    };
    let mut found = Vec::new();
    for row in baseline["outcomes"].as_array().expect("a list") {
        let status = row["status"].as_u64().expect("a status");
        let roots = row["roots"].as_array().cloned().unwrap_or_default();
        let what = format!("{name}: {} {} -> {}", status, row["source"], row["destination"]);
        if !(1..500).contains(&status) && roots.is_empty() {
            found.push(format!("{what} has no root"));
        }
        let strange = roots.iter().filter_map(Value::as_str).filter(|root| !is_told(root));
        found.extend(strange.map(|root| format!("{what} comes from `{root}`")));
    }
    found
}

#[test]
fn the_failures_of_every_shipped_scenario_end_at_what_it_injects() {
    let mut found = Vec::new();
    for path in files_of("scenarios", ".toml") {
        if path.starts_with("scenarios/base/") {
            continue;
        }
        let loaded = load(&Tree, &path, &[], None).expect("it reads");
        found.extend(std::iter::once(&loaded.plan).chain(&loaded.variants).flat_map(wrong));
    }
    none(&found);
}

/// Where more than one event happens, what failures end at: (baseline, whom was called, flags, the ids of the
/// events). A rollout takes pods; that they are called still is istiod's doing, if it could have told.
const ROOTS: [(&str, &str, &str, &[&str]); 14] = [
    ("pods/injector-down-fail/ambient", "web", "UC", &["istiod-down", "retry-web"]),
    ("pods/injector-down-ignore", "web", "URX,UF", &["istiod-down"]),
    ("pods/injector-down-ignore", "web", "UC", &["roll-web"]),
    ("pods/injector-down-ignore", "api", "UC", &["istiod-down"]),
    ("pods/injector-down-ignore/ambient", "web", "UC", &["istiod-down"]),
    ("control-plane/stale-endpoints", "web", "URX,UF", &["saturated"]),
    ("control-plane/one-stale-replica", "web", "URX,UF", &["blind", "rollout"]),
    ("control-plane/outage-30h", "details", "UC", &["istiod-down"]),
    ("control-plane/outage-30h", "details", "URX,UF", &["istiod-down", "node-lost"]),
    ("control-plane/outage-30h", "ratings", "UC", &["istiod-down"]),
    ("ambient/outage-30h", "details", "UC", &["istiod-down"]),
    ("ambient/outage-30h", "productpage", "UC", &["istiod-down"]),
    ("ambient/waypoint-outage", "cart", "UC", &["istiod-down"]),
    ("ambient/waypoint-outage", "catalog", "UC", &["istiod-down"]),
];

#[test]
fn of_several_events_failures_end_at_the_one_that_did_it() {
    for (name, destination, flags, ids) in ROOTS {
        let baseline = read(&format!("results/baseline/{name}.json"));
        let baseline: Value = serde_json::from_str(&baseline).expect("it is JSON");
        let rows = baseline["outcomes"].as_array().expect("a list").iter();
        let rows = rows.filter(|row| row["destination"] == destination && row["flags"] == flags);
        let roots = rows.flat_map(|row| row["roots"].as_array().expect("a list"));
        let roots = roots.map(|root| root.as_str().expect("a text"));
        let roots: BTreeSet<_> = roots.map(|root| root.split(' ').next().unwrap_or("")).collect();
        assert_eq!(roots, ids.iter().copied().collect(), "{name}: {destination} {flags}");
    }
}

const OUTAGE: &str = r#"
[scenario]
duration = "26h"
warmup = "1m"
[[service]]
name = "web"
[[service.workload]]
replicas = 3
time = "1ms"
[[traffic]]
id = "users"
from = "ingress"
to = "web"
arrivals = { poisson = "0.2rps" }
[[event]]
id = "down"
at = "1h"
do = "fail"
target = "istiod"
[mesh.cluster]
idle_timeout = "1s"
"#;

#[test]
fn an_expired_certificate_is_explained_link_by_link() {
    let run = play(&plan_with(OUTAGE, &[]), Options::default());
    let classes = classes(&run);
    assert!(!classes.is_empty());
    for class in &classes {
        let chain = run.causes.chain(class.row.cause.expect("a cause"));
        let kinds: Vec<_> = chain.iter().map(|id| run.causes.get(*id).kind).collect();
        assert_eq!(kinds.first(), Some(&CauseKind::CertificateExpired));
        assert_eq!(kinds.last(), Some(&CauseKind::Injected));
    }
    let text = explanation(&run, false);
    assert!(text.contains("because certificate renewals fail, since "), "{text}");
    assert!(text.contains("because event down (istiod fails), from 1h"), "{text}");
}

#[test]
fn the_mesh_is_shown_as_it_is_then_and_looking_changes_nothing() {
    let plan = plan_with(OUTAGE, &[]);
    let at = |hours: u64| Some(Time::ZERO + Duration::from_s(hours * 3600));
    let look = |hours| play(&plan, Options { status_at: at(hours), ..Options::default() });
    let (early, late) = (look(0), look(20));
    assert_eq!(early.digest, play(&plan, Options::default()).digest);
    assert_eq!(early.digest, late.digest);
    let status = early.status.expect("it was asked for");
    assert!(status.proxies.iter().all(|one| one.istiod.is_some() && one.cause.is_none()));
    assert!(status.proxies.iter().all(|one| one.types == [Sync::Synced; 4]));
    let status = late.status.clone().expect("it was asked for");
    assert_eq!(status.replicas[0].serves, [false; 4]);
    assert!(status.proxies.iter().all(|one| one.istiod.is_none() && one.cause.is_some()));
    // By then eight elevenths of the certificates are past their ends, in the mean.
    let text = mesh_status(&late, &status, None, false);
    assert!(text.contains("EXPIRED") && text.contains("overdue"), "{text}");
    let one = mesh_status(&late, &status, Some("web-1"), false);
    assert!(one.contains("web-1") && !one.contains("web-0"), "{one}");
    let nobody = mesh_status(&late, &status, Some("nobody"), false);
    assert!(nobody.contains("There is no such pod."), "{nobody}");
}

#[test]
fn a_setting_is_a_root_and_so_is_an_event_that_is_over() {
    let text = r#"
[scenario]
duration = "60s"
[[service]]
name = "cart"
timeout = "100ms"
[[service.workload]]
workers = 1
time = "20ms"
errors = "5%"
[[traffic]]
id = "users"
from = "ingress"
to = "cart"
arrivals = { poisson = "30rps" }
[[event]]
id = "slow"
at = "10s"
for = "10s"
do = "slow"
target = "service:cart"
factor = 20
"#;
    let run = play(&plan_with(text, &[]), Options::default());
    let roots: Vec<_> = classes(&run)
        .iter()
        .map(|class| (class.status(), run.causes.root(class.row.cause.expect("a cause")).kind))
        .collect();
    assert!(roots.contains(&("504 UT".to_owned(), CauseKind::Injected)), "{roots:?}");
    assert!(roots.contains(&("500".to_owned(), CauseKind::Configured)), "{roots:?}");
}
