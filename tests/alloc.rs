//! The hot path allocates nothing per request once a run is under way.
//!
//! Each bench scenario runs for T and for 2T, and the number of allocations must be the same but
//! for a constant. What is left in it: a row of `series.csv` and a rung of the ladder have vectors
//! of their own, but their numbers do not grow with the run (T and 2T have the same number of
//! rows); histograms, slabs, rings and pools grow when a new maximum is seen, ever more seldom;
//! a new way in which calls end adds a row.
//!
//! A binary of its own, because it counts all allocations of its process.

use meshsim::scenario::{Files, load};
use meshsim::world::options::{Go, Options};
use meshsim::world::simulate;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Growth of vectors to new maxima between T and 2T.
const MORE_MAX: usize = 200;

struct Disk;

impl Files for Disk {
    fn read(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    }
}

/// (root requests, allocations and reallocations) of a run.
fn run(name: &str, duration: &str) -> (u64, usize) {
    let path = format!("{}/scenarios/bench/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let sets = [format!("scenario.duration={duration}")];
    let plan = load(&Disk, &path, &sets, None).expect("the scenario reads").plan;
    let region = Region::new(ALLOCATOR);
    let run = simulate(&plan, 1, Options::default(), &mut |_| Go::On);
    let change = region.change();
    (run.requests.total, change.allocations + change.reallocations)
}

// One test, so that no other thread allocates meanwhile.
#[test]
fn requests_do_not_allocate() {
    for name in ["two-tier", "three-tier-mtls"] {
        let (few, before) = run(name, "30s");
        let (many, after) = run(name, "60s");
        assert!(25_000 < many - few, "{name}: {few} and {many} requests");
        assert!(
            after.saturating_sub(before) < MORE_MAX,
            "{name}: {before} allocations for {few} requests, {after} for {many}"
        );
    }
}
