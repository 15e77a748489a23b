//! The graph of calls: services in levels, each called from the level above.
//!
//! ```text
//! level 1      entries          the gateway calls them
//! level 2..    middles, leaves  each has a caller right above; few have a second one
//! level depth  leaves           the shared ones among them are called from anywhere
//! ```
//!
//! Whoever calls more is called by more: a new service takes its caller in proportion to how much
//! goes through the caller, which makes fan-outs heavy-tailed. The longest chain has exactly
//! `depth` services, since every call leads to a deeper level.
//!
//! Source: shares of entries, middles and leaves: arXiv 2504.13141, table 1. Like a tree, heavy
//! tails: Luo et al., `SoCC` 2021.
//! Left out: cycles, which the published graphs have few of.

use super::{Call, Large, Role, Service, apportion, ceil, whole, zipf};
use crate::kernel::distribution::Distribution;
use crate::kernel::sampler::Sampler;
use crate::kernel::stream::{Stream, uniform};
use crate::kernel::time::Duration;

/// Shares of entries and leaves; the rest are middles.
const ENTRIES: f64 = 0.13;
const LEAVES: f64 = 0.39;
/// Each level of middles has this many for one in the level above. Ours.
const NARROWER: f64 = 0.8;
/// The share of services with a second caller. Ours: the graphs are called tree-like.
const SECOND_CALLERS: f64 = 0.2;
/// So many services are shared by many, one in ten at the most: the published numbers are of the
/// top ten.
const SHARED_MAX: u32 = 10;
/// Services that call several, and call them at once. Ours.
const PARALLEL: f64 = 0.5;
/// Medians of work are lognormal around this. Ours: "millisecond scale" is published.
const P50: Duration = Duration::from_ms(2);
const P50_SIGMA: f64 = 0.6;
/// No median lies beyond these, in microseconds.
const P50_US: (u32, u32) = (300, 20_000);

/// Services of one level.
#[derive(Clone, Copy, Default, Debug)]
struct Level {
    middles: u32,
    leaves: u32,
}

/// All services with the calls that make them a tree; the shared ones, at the end, have no caller
/// yet.
pub(super) fn services(wanted: &Large) -> Vec<Service> {
    let (entries, levels, shared) = levels(wanted);
    let work = Distribution::Lognormal { median: P50, sigma: P50_SIGMA }.sampler();
    let service = |role, level, place| service(wanted.seed, role, level, place, &work);
    let mut services: Vec<Service> =
        (0..entries).map(|place| service(Role::Entry, 1, place)).collect();
    // How much goes through each, roughly; and everybody above who calls.
    let mut pull = zipf(services.len());
    let mut callers = Callers::default();
    for (level, number) in levels.iter().zip(2..) {
        let begin = services.len();
        callers.go_down(&services, &pull);
        for place in 0..level.middles + level.leaves {
            let role = if place < level.middles { Role::Middle } else { Role::Leaf };
            let new = service(role, number, place);
            let mut stream = Stream::new(wanted.seed, "large caller", &new.key);
            let mut next = || uniform(stream.next_u64());
            let (caller, weight) = (callers.right_above(place, next()), 0.2 + 0.8 * next());
            let second = callers.anywhere(next()).filter(|second| *second != caller);
            let second = second.filter(|_| next() < SECOND_CALLERS);
            pull.push(pull[caller] * weight);
            let to = services.len();
            services.push(new);
            services[caller].calls.push(Call { to, weight, probability: 0.0 });
            if let Some(second) = second {
                services[second].calls.push(Call { to, weight: 0.5, probability: 0.0 });
            }
        }
        callers.call_something(&mut services, begin);
    }
    for place in 0..shared {
        let mut new = service(Role::Leaf, wanted.depth, place);
        new.key = format!("shared.{place}");
        services.push(new);
    }
    services
}

/// Entries, the levels from the second on, and shared leaves.
fn levels(wanted: &Large) -> (u32, Vec<Level>, u32) {
    let Large { services, depth, .. } = *wanted;
    let deeper = depth - 1;
    let all = f64::from(services);
    let entries = match depth {
        1 => services,
        // Without middles, entries and leaves keep their proportion.
        2 => whole(all * ENTRIES / (ENTRIES + LEAVES)).clamp(1, services - 1),
        _ => whole(all * ENTRIES).clamp(1, services - deeper),
    };
    if deeper == 0 {
        return (entries, Vec::new(), 0);
    }
    let levels_of_middles = deeper - 1;
    let leaves = match levels_of_middles {
        0 => services - entries,
        _ => whole(all * LEAVES).clamp(1, services - entries - levels_of_middles),
    };
    let shared = SHARED_MAX.min(ceil(all / 10.0)).min(leaves - 1);
    let mut levels = vec![Level::default(); deeper as usize];
    if levels_of_middles != 0 {
        let weights: Vec<f64> =
            (0..levels_of_middles).map(|level| libm::pow(NARROWER, f64::from(level))).collect();
        let least = vec![1; weights.len()];
        let middles = apportion(services - entries - leaves, &weights, &least);
        for (level, middles) in levels.iter_mut().zip(middles) {
            level.middles = middles;
        }
    }
    put_leaves(entries, leaves - shared, &mut levels);
    (entries, levels, shared)
}

/// Leaves first where callers would be without a call, then in proportion to the callers; at least
/// one in the last level.
fn put_leaves(entries: u32, leaves: u32, levels: &mut [Level]) {
    let above = std::iter::once(entries).chain(levels.iter().map(|level| level.middles));
    let callers: Vec<f64> = above.take(levels.len()).map(f64::from).collect();
    let missing = |(level, callers): (&Level, &f64)| (callers - f64::from(level.middles)).max(0.0);
    let missing: Vec<f64> = levels.iter().zip(&callers).map(missing).collect();
    let mut least = vec![0; levels.len()];
    *least.last_mut().expect("there is a last level") = 1;
    let first = leaves.min(whole(missing.iter().sum())).max(1);
    let first = apportion(first, &missing, &least);
    let parts = apportion(leaves, &callers, &first);
    for (level, leaves) in levels.iter_mut().zip(parts) {
        level.leaves = leaves;
    }
}

fn service(seed: u64, role: Role, level: u32, place: u32, work: &Sampler) -> Service {
    let key = format!("{level}.{place}");
    let mut stream = Stream::new(seed, "large work", &key);
    let p50_us = whole(work.sample(stream.next_u64()).as_ms() * 10.0) * 100;
    Service {
        role,
        calls: Vec::new(),
        key,
        name: String::new(),
        is_parallel: uniform(stream.next_u64()) < PARALLEL,
        visits: 0.0,
        p50_us: p50_us.clamp(P50_US.0, P50_US.1),
        replicas: 0,
        workers: 0,
        utilization: 0.0,
    }
}

/// Who may call the services of a level.
#[derive(Default)]
struct Callers {
    /// Everybody who calls, level by level.
    all: Vec<usize>,
    /// Where in `all` the level right above begins.
    begin: usize,
    /// Running sums of the pull of those right above.
    sums: Vec<f64>,
}

impl Callers {
    /// The last level is complete: it is the one above the next.
    fn go_down(&mut self, services: &[Service], pull: &[f64]) {
        self.begin = self.all.len();
        let from = self.all.last().map_or(0, |last| last + 1);
        self.all.extend((from..services.len()).filter(|index| services[*index].role != Role::Leaf));
        let mut sum = 0.0;
        let running = |index: &usize| {
            sum += pull[*index];
            sum
        };
        self.sums = self.all[self.begin..].iter().map(running).collect();
    }

    /// The caller of a level's service, in proportion to the pull; but nobody is left without a
    /// call of its own.
    fn right_above(&self, place: u32, uniform: f64) -> usize {
        let above = &self.all[self.begin..];
        let all = self.sums.last().copied().expect("every level has a caller above");
        let drawn = self.sums.partition_point(|sum| *sum <= uniform * all).min(above.len() - 1);
        above.get(place as usize).copied().unwrap_or(above[drawn])
    }

    /// Any of those above.
    fn anywhere(&self, uniform: f64) -> Option<usize> {
        self.all.get(whole(libm::floor(uniform * self.all.len() as f64)) as usize).copied()
    }

    /// Where a level has fewer services than callers above, some are called twice: those that
    /// stand last first, since leaves have the fewest callers.
    fn call_something(&self, services: &mut [Service], begin: usize) {
        let new = services.len() - begin;
        let is_silent = |index: &usize| services[*index].calls.is_empty();
        let silent: Vec<usize> = self.all[self.begin..].iter().copied().filter(is_silent).collect();
        for (turn, caller) in silent.into_iter().enumerate() {
            let to = begin + new - 1 - turn % new;
            services[caller].calls.push(Call { to, weight: 0.5, probability: 0.0 });
        }
    }
}
