//! Time of the two works of docs/speed.md, and of the queue alone.
//!
//! For comparisons on one quiet machine; what is held to a bar are the instruction counts of
//! `scripts/instructions`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use meshsim::kernel::queue::{Queue, TimerId};
use meshsim::kernel::stream::Key;
use meshsim::kernel::time::Duration;
use meshsim::scenario::{Files, load};
use meshsim::world::options::{Go, Options};
use meshsim::world::simulate;
use std::hint::black_box;

struct Disk;

impl Files for Disk {
    fn read(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    }
}

/// Ten seconds of a scenario, about 10,000 requests.
fn requests(criterion: &mut Criterion, name: &str) {
    let path = format!("{}/scenarios/bench/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let sets = ["scenario.duration=10s".to_owned()];
    let plan = load(&Disk, &path, &sets, None).expect("the scenario reads").plan;
    let run = || simulate(&plan, 1, Options::default(), &mut |_| Go::On);
    let mut group = criterion.benchmark_group("requests");
    group.throughput(Throughput::Elements(run().requests.total));
    group.sample_size(20).bench_function(name, |bencher| bencher.iter(run));
    group.finish();
}

fn two_tier(criterion: &mut Criterion) {
    requests(criterion, "two-tier");
}

fn three_tier_mtls(criterion: &mut Criterion) {
    requests(criterion, "three-tier-mtls");
}

/// A thousand events waiting; a thousand timers in a lane.
fn queue(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    let key = Key(1);
    let mut held = Queue::new();
    let mut n = 0_u32;
    let mut delay = || {
        n = n.wrapping_add(1);
        Duration::from_ns(key.draw(n, 0) >> 40)
    };
    for _ in 0..1024 {
        held.after(delay(), 1);
    }
    group.bench_function("pop and push", |bencher| {
        bencher.iter(|| {
            black_box(held.pop());
            held.after(delay(), 1)
        });
    });
    let mut laned = Queue::new();
    let lane = laned.lane(Duration::from_s(1));
    let mut timers = [TimerId::NONE; 1024];
    for timer in &mut timers {
        *timer = laned.after_lane(lane, 1);
    }
    let mut next = 0;
    group.bench_function("lane set and cancel", |bencher| {
        bencher.iter(|| {
            laned.cancel(timers[next]);
            timers[next] = laned.after_lane(lane, 1);
            next = (next + 1) % timers.len();
        });
    });
    group.finish();
}

criterion_group!(benches, two_tier, three_tier_mtls, queue);
criterion_main!(benches);
