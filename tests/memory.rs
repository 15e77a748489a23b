//! What the world says it holds is what the allocator gave it, the dry run knew it before, and a
//! pod costs little.
//!
//! A binary of its own, because it counts all allocations of its process. For each scenario the
//! bytes that the allocator has given out are read at every look, beside what the world says; the
//! greatest of them are compared. What the allocator adds to each piece is not counted.
//!
//! Two sizes of a mesh whose pods are idle give the bytes of an idle pod, their difference free of
//! what is there once.

use meshsim::plan::Plan;
use meshsim::scenario::large::Large;
use meshsim::scenario::{Files, load};
use meshsim::world::estimate::estimate;
use meshsim::world::options::{Go, Options};
use meshsim::world::simulate;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The world's own count may be off by this share.
const COUNT: f64 = 0.10;
/// The dry run may be off by this share.
const DRY_RUN: f64 = 0.20;
/// An idle pod with a proxy, in bytes: the certificate and stream of a proxy, a place in each list.
const IDLE_MAX: f64 = 1024.0;
/// A pod that is gone, which called and was called: its record, that of a destination, its places in
/// lists of endpoints that somebody has, a few lines of the journal.
const GONE_MAX: f64 = 4096.0;
/// A pod whose app calls a few services, in bytes.
const CALLING_MAX: f64 = 65_536.0;
/// All that is ever given out until it is known what a mesh of 10,000 services needs, in bytes. Its
/// plan as text, in which its digest was once made, has ten times as much.
const TO_KNOW_MAX: usize = 1_000_000_000;

struct Disk(Option<String>);

impl Files for Disk {
    fn read(&self, path: &str) -> Result<String, String> {
        match &self.0 {
            Some(text) => Ok(text.clone()),
            None => std::fs::read_to_string(path).map_err(|error| error.to_string()),
        }
    }
}

fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

fn shipped(name: &str, sets: &[&str]) -> Plan {
    let path = format!("{}/scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    load(&Disk(None), &path, &sets, None).expect("the scenario reads").plan
}

fn written(text: String) -> Plan {
    load(&Disk(Some(text)), "s.toml", &[], None).expect("the scenario reads").plan
}

/// Pods that nobody calls.
fn idle() -> Plan {
    let text = "# Nothing happens.\n[scenario]\nduration = \"1h\"\n\
                [[node]]\nname = \"node\"\ncount = 100\n\
                [[service]]\nname = \"idle\"\n[[service.workload]]\nreplicas = 20000\ntime = \"1ms\"\n\
                [[service]]\nname = \"web\"\n[[service.workload]]\ntime = \"1ms\"\n\
                [[traffic]]\nid = \"users\"\nfrom = \"ingress\"\nto = \"web\"\n\
                arrivals = { poisson = \"30rps\" }\n";
    written(text.to_owned())
}

fn large(services: u32, pods: u32, rps: u32) -> Plan {
    let wanted = Large { services, pods, depth: 6, rps, seed: 1 };
    written(wanted.text().expect("it can be"))
}

/// Two tiers of which the second takes so long for each request, on pods that can do it.
fn slow(rps: u32, back: &str, gateways: u32) -> Plan {
    written(format!(
        "# Calls that take their time.\n[scenario]\nduration = \"40s\"\n\
         [mesh]\ningress.replicas = {gateways}\n\
         [[service]]\nname = \"front\"\n[[service.workload]]\nreplicas = 20\nworkers = 5000\n\
         time = \"1ms\"\ncalls = [{{ to = \"back\" }}]\n\
         [[service]]\nname = \"back\"\n[[service.workload]]\nreplicas = 20\nworkers = 5000\n\
         time = {{ exponential = \"{back}\" }}\n\
         [[traffic]]\nid = \"users\"\nfrom = \"ingress\"\nto = \"front\"\n\
         arrivals = {{ poisson = \"{rps}rps\" }}\n"
    ))
}

/// A mark every now and then, each of which begins a phase of some ten requests.
fn notes(times: u32) -> Plan {
    written(format!(
        "# Marks.\n[scenario]\nduration = \"120s\"\n\
         [[service]]\nname = \"web\"\n[[service.workload]]\nworkers = 16\n\
         time = {{ exponential = \"2ms\" }}\n\
         [[traffic]]\nid = \"users\"\nfrom = \"ingress\"\nto = \"web\"\n\
         arrivals = {{ poisson = \"1000rps\" }}\n\
         [[event]]\nid = \"mark\"\nat = \"1s\"\nevery = \"10ms\"\ntimes = {times}\ndo = \"note\"\n"
    ))
}

struct Peaks {
    /// Before the first event, at the most, by the allocator.
    start: f64,
    held: f64,
    /// By the world, when it was most.
    told: f64,
    /// The greatest difference of the two at one look, as a share of what was held.
    off: f64,
}

fn peaks(plan: &Plan, options: Options) -> Peaks {
    let before = held();
    let mut peaks = Peaks { start: 0.0, held: 0.0, told: 0.0, off: 0.0 };
    let run = simulate(plan, 1, options, &mut |at| {
        let (held, told) = ((held() - before) as f64, at.memory as f64);
        if peaks.held < held {
            peaks.held = held;
        }
        peaks.told = peaks.told.max(told);
        peaks.off = peaks.off.max((told / held - 1.0).abs());
        if peaks.start <= 0.0 {
            peaks.start = held;
        }
        Go::On
    });
    assert_eq!(run.partial.is_some(), options.max_memory.is_some(), "{:?}", run.partial);
    peaks
}

/// Bytes that a run holds at its first look around, some 65,000 events on.
fn at_first_look(plan: &Plan) -> f64 {
    let before = held();
    let mut at_look = 0;
    let options = Options { max_events: Some(70_000), ..Options::default() };
    let _ = simulate(plan, 1, options, &mut |_| {
        at_look = held() - before;
        Go::Stop("measured")
    });
    assert!(at_look != 0, "it never looks around");
    at_look as f64
}

// One test, so that no other thread allocates meanwhile.
#[test]
fn memory_is_what_it_is_said_to_be() {
    a_pod_costs_about_a_kibibyte_and_its_destinations_some_more();
    a_mesh_that_does_not_fit_is_refused_before_it_is_built();
    // These runs take minutes without optimisation.
    if !cfg!(debug_assertions) {
        the_world_and_the_dry_run_know_it();
        a_limit_holds_although_a_single_event_may_make_much();
        a_pod_that_is_gone_keeps_little();
    }
}

fn a_pod_costs_about_a_kibibyte_and_its_destinations_some_more() {
    let mesh = |web: &str| at_first_look(&shipped("scale/ten-years-of-certificates", &[web]));
    let few = mesh("service.web.replicas=2000");
    let many = mesh("service.web.replicas=10000");
    let idle = (many - few) / 8000.0;
    assert!(idle < IDLE_MAX, "{idle} bytes an idle pod");

    let calling = at_first_look(&shipped("control-plane-outage", &[])) / 232.0;
    assert!(calling < CALLING_MAX, "{calling} bytes a pod that calls a few services");
}

/// A million pods on 33,000 nodes: 21 GB.
fn a_mesh_that_does_not_fit_is_refused_before_it_is_built() {
    let text = Large { services: 10_000, pods: 990_000, depth: 6, rps: 100, seed: 1 }.text();
    let text = text.expect("it can be");
    let given = || ALLOCATOR.stats().bytes_allocated;
    let before = given();
    let plan = written(text);
    let needs = estimate(&plan).memory_bytes;
    let to_know = given() - before;
    assert!(20_000_000_000 < needs, "{needs} bytes");
    assert!(to_know < TO_KNOW_MAX, "{to_know} bytes were given out, and mostly back again");

    let options = Options { max_memory: Some(1_000_000_000), ..Options::default() };
    let before = given();
    let run = simulate(&plan, 1, options, &mut |_| unreachable!("there is nothing to watch"));
    let to_refuse = given() - before;
    assert_eq!(run.partial.map(|partial| partial.why), Some("max-memory"));
    assert_eq!((run.events, run.requests.total), (0, 0));
    assert!(to_refuse < 100_000_000, "{to_refuse} bytes to refuse a run");
}

#[expect(clippy::print_stdout, reason = "`--nocapture` shows how close it is")]
fn the_world_and_the_dry_run_know_it() {
    let plans = vec![
        ("idle pods", idle()),
        ("two tiers", shipped("bench/two-tier", &["scenario.duration=60s"])),
        ("three tiers", shipped("bench/three-tier-mtls", &["scenario.duration=60s"])),
        ("control plane outage", shipped("control-plane-outage", &[])),
        ("large", large(100, 2_800, 100)),
        ("large and busy", large(60, 600, 1_000)),
        ("outage of 10,000 pods", shipped("scale/outage-10000-pods", &[])),
        ("a thousand services", shipped("scale/thousand-services", &[])),
        ("slow", slow(2_000, "1s", 8)),
        ("slow and busy", slow(10_000, "1s", 40)),
        ("half a second", slow(5_000, "500ms", 12)),
        ("overloaded by new connections", slow(5_000, "2s", 2)),
        ("overloaded", slow(20_000, "100ms", 1)),
        ("repeated notes", notes(10_000)),
        ("sampled outage", shipped("scale/outage-sampled-100rps", &[])),
    ];
    let mut wrong = Vec::new();
    for (name, plan) in &plans {
        let dry = estimate(plan);
        let peaks = peaks(plan, Options::default());
        let dry_off = dry.memory_bytes as f64 / peaks.held - 1.0;
        let line = format!(
            "{name}: held {:.3} MB, told {:.3} MB ({:+.1} % at the worst look), dry run {:.3} MB ({:+.1} %), \
             start {:.3} MB, dry run {:.3} MB",
            peaks.held / 1e6,
            peaks.told / 1e6,
            100.0 * peaks.off,
            dry.memory_bytes as f64 / 1e6,
            100.0 * dry_off,
            peaks.start / 1e6,
            dry.start_bytes as f64 / 1e6,
        );
        println!("{line}");
        if COUNT < peaks.off || DRY_RUN < dry_off.abs() {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn a_limit_holds_although_a_single_event_may_make_much() {
    let plan = large(100, 2_800, 100);
    let max = estimate(&plan).memory_bytes / 2;
    let peaks = peaks(&plan, Options { max_memory: Some(max), ..Options::default() });
    assert!(peaks.held < 1.1 * max as f64, "{} bytes held, {max} allowed", peaks.held);
}

/// 100 pods that call 50 others and are rolled so often, in an hour in which all of them are used.
fn rolled(times: u32) -> Plan {
    written(format!(
        "# Rolled again and again.\n[scenario]\nduration = \"1h\"\n\
         [[service]]\nname = \"front\"\n[[service.workload]]\nreplicas = 100\ntime = \"1ms\"\n\
         calls = [{{ to = \"back\" }}]\n\
         [[service]]\nname = \"back\"\n[[service.workload]]\nreplicas = 50\ntime = \"1ms\"\n\
         [[traffic]]\nid = \"users\"\nfrom = \"ingress\"\nto = \"front\"\n\
         arrivals = {{ poisson = \"400rps\" }}\n\
         [[event]]\nid = \"release\"\nat = \"2m\"\nevery = \"3m\"\ntimes = {times}\n\
         do = \"rollout\"\ntarget = \"service:front\"\n"
    ))
}

#[expect(clippy::print_stdout, reason = "`--nocapture` shows how little")]
fn a_pod_that_is_gone_keeps_little() {
    let at_end = |times: u32| {
        let (plan, before) = (rolled(times), held());
        let mut last = 0;
        let run = simulate(&plan, 1, Options::default(), &mut |_| {
            last = held() - before;
            Go::On
        });
        (last as f64, run.control_plane.pods_created as f64)
    };
    let ((few, few_pods), (many, many_pods)) = (at_end(5), at_end(15));
    let each = (many - few) / (many_pods - few_pods);
    println!("{each:.0} bytes a pod that is gone, of {} pods more", many_pods - few_pods);
    assert!(each < GONE_MAX, "{each} bytes a pod that is gone");
}
