//! The dry run against what runs had: the events of every shipped scenario, as its baseline has
//! them.

use crate::tree::{Tree, files_of, none, read};
use meshsim::plan::Plan;
use meshsim::scenario::load;
use meshsim::world::estimate::estimate;

/// Without traffic nothing but chance is left out.
const WITHOUT_TRAFFIC: f64 = 0.10;
/// Failed requests, their retries and their connections are.
const WITH_TRAFFIC: f64 = 0.40;
/// CPU seconds are rough.
const CPU: f64 = 1.5;
/// Nearly all of their events are retries.
const STORMS: [(&str, Option<&str>); 5] = [
    ("retry-storm", None),
    ("retry-amplification", None),
    ("retry-amplification", Some("at-the-edge-alone")),
    ("per-try-timeout-amplification", None),
    ("ambient/gateway-roll-2500-nodes", Some("default-limits")),
];

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
    let is_storm = STORMS.contains(&(&plan.name, plan.variant.as_deref()));
    let is_wrong = most < off.abs() && !is_storm;
    is_wrong.then(|| format!("{name}: {real} events, the dry run is {:+.1} % off", 100.0 * off))
}

#[test]
fn events_are_what_the_dry_run_says_within_a_bound() {
    let scenarios = files_of("scenarios", ".toml");
    // What most requests of a runbook's scenario meet is that they fail at their first proxy.
    // Of those behind a waypoint, a third and more never come to the second of two proxies.
    // Storms of the control plane feed themselves: streams that end of age, replicas that are killed.
    let left_out = [
        "scenarios/base/",
        "scenarios/configuration/",
        "scenarios/five-oh-three/",
        "scenarios/ambient/waypoint-",
        "scenarios/control-plane/",
    ];
    let is_left_out = |path: &String| left_out.iter().any(|folder| path.starts_with(folder));
    let shipped = scenarios.iter().filter(|path| !is_left_out(path));
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

/// The table of docs/speed.md: measured on a machine that did nothing else, and told.
#[test]
fn cpu_seconds_are_those_of_the_table_within_half_and_told_there() {
    let text = read("docs/speed.md");
    let rows = text.split("| scenario | measured | told |").nth(1).expect("the table is there");
    let (mut found, mut count) = (Vec::new(), 0);
    for row in rows.lines().skip(2).take_while(|row| row.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`');
        let measured: f64 = cells[2].parse().expect("a number");
        let plan =
            load(&Tree, &format!("scenarios/{name}.toml"), &[], None).expect("it reads").plan;
        let told = estimate(&plan).cpu_s;
        let digits = usize::from(told < 9.95);
        if told < measured / CPU || measured * CPU < told || format!("{told:.digits$}") != cells[3]
        {
            found.push(format!("{name}: {measured} s measured, {told:.3} s told"));
        }
        count += 1;
    }
    assert!(10 <= count, "{count} rows");
    none(&found);
}
