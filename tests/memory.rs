//! What a pod costs in memory, counted by the allocator.
//!
//! A mesh runs until its first look around, some 65,000 events on, and then holds what it holds.
//! Two sizes of a mesh whose pods are idle give the bytes of an idle pod, their difference free of
//! what is there once.
//!
//! A binary of its own, because it counts all allocations of its process.

use meshsim::scenario::{Files, load};
use meshsim::world::options::{Go, Options};
use meshsim::world::simulate;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// An idle pod with a proxy, in bytes: the certificate and stream of a proxy, a place in each list.
const IDLE_MAX: f64 = 1024.0;
/// A pod whose app calls a few services, in bytes.
const CALLING_MAX: f64 = 65_536.0;

struct Disk;

impl Files for Disk {
    fn read(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    }
}

/// Bytes that a run holds at its first look around.
fn held(name: &str, sets: &[&str]) -> f64 {
    let path = format!("{}/scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let plan = load(&Disk, &path, &sets, None).expect("the scenario reads").plan;
    let region = Region::new(ALLOCATOR);
    let mut held = 0;
    let options = Options { max_events: Some(70_000), ..Options::default() };
    let _ = simulate(&plan, 1, options, &mut |_| {
        let change = region.change();
        held = change.bytes_allocated - change.bytes_deallocated;
        Go::Stop("measured")
    });
    assert!(held != 0, "{name} never looks around");
    held as f64
}

// One test, so that no other thread allocates meanwhile.
#[test]
fn a_pod_costs_about_a_kibibyte_and_its_destinations_some_more() {
    let mesh = |web: &str| held("scale/ten-years-of-certificates", &[web]);
    let few = mesh("service.web.replicas=2000");
    let many = mesh("service.web.replicas=10000");
    let idle = (many - few) / 8000.0;
    assert!(idle < IDLE_MAX, "{idle} bytes an idle pod");

    let calling = held("control-plane-outage", &[]) / 232.0;
    assert!(calling < CALLING_MAX, "{calling} bytes a pod that calls a few services");
}
