//! The dry run against what runs had: the events of every shipped scenario, as its baseline has
//! them.

use crate::tree::{files_of, none, read};
use meshsim::plan::Plan;
use meshsim::scenario::{Files, load};
use meshsim::world::estimate::estimate;

/// Without traffic nothing but chance is left out.
const WITHOUT_TRAFFIC: f64 = 0.10;
/// Failed requests, their retries and their connections are.
const WITH_TRAFFIC: f64 = 0.40;
/// Nearly all of its events are retries.
const STORM: (&str, Option<&str>) = ("retry-storm", None);

struct Tree;

impl Files for Tree {
    fn read(&self, path: &str) -> Result<String, String> {
        Ok(read(path))
    }
}

/// What is wrong with the forecast of a plan, if anything is.
fn wrong(plan: &Plan) -> Option<String> {
    let name = match &plan.variant {
        None => plan.name.clone(),
        Some(variant) => format!("{}/{variant}", plan.name),
    };
    let baseline = read(&format!("results/baseline/{name}.json"));
    let baseline: serde_json::Value = serde_json::from_str(&baseline).expect("it is JSON");
    let real = baseline["events"].as_f64().expect("a number of events");
    let off = estimate(plan).events / real - 1.0;
    let most = if plan.traffic.is_empty() { WITHOUT_TRAFFIC } else { WITH_TRAFFIC };
    let is_wrong = most < off.abs() && STORM != (&plan.name, plan.variant.as_deref());
    is_wrong.then(|| format!("{name}: {real} events, the dry run is {:+.1} % off", 100.0 * off))
}

#[test]
fn events_are_what_the_dry_run_says_within_a_bound() {
    let scenarios = files_of("scenarios", ".toml");
    let shipped = scenarios.iter().filter(|path| !path.starts_with("scenarios/base/"));
    let (mut found, mut quiet, mut busy) = (Vec::new(), 0, 0);
    for path in shipped {
        let loaded = load(&Tree, path, &[], None).expect("it reads");
        for plan in std::iter::once(&loaded.plan).chain(&loaded.variants) {
            *if plan.traffic.is_empty() { &mut quiet } else { &mut busy } += 1;
            found.extend(wrong(plan));
        }
    }
    assert!(3 <= quiet && 10 <= busy, "{quiet} without traffic, {busy} with");
    none(&found);
}
