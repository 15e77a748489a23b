//! How far times spread, as seen before a run: what their histograms take.
//!
//! Each work has a mean, and extremes that so many draws are expected to reach. Works and calls in
//! a row add their means, and their deviations as independent ones do.
//!
//! Source: extremes of normal variables (Cramér, Mathematical Methods of Statistics, 28.6).
//! Left out: waiting, failures, the tails of rare paths.

use crate::kernel::distribution::Distribution;
use crate::plan::Plan;
use crate::plan::universe::Step;

/// Rounds: what deeper calls add no longer matters.
const ROUNDS: usize = 12;
/// What a proxy adds to an answer, and both with the network to a call with proxies, in seconds.
const PROXY_S: f64 = 0.3e-3;
const HOP_S: f64 = 1e-3;
/// Steps of a histogram's room, of an octave.
const BLOCK: f64 = 0.25;

/// A time: its mean, and how far its extremes lie from it, in seconds.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Range {
    mean: f64,
    /// At the least, whatever happens.
    floor: f64,
    below: f64,
    above: f64,
}

/// Ranges by workload.
pub(super) struct Ranges {
    /// From the arrival at the app to its answer.
    pub(super) sojourns: Vec<Range>,
    /// The same with the proxy of the server.
    pub(super) latencies: Vec<Range>,
    /// Of calls to each service, with the network, by service.
    pub(super) services: Vec<Range>,
    /// Of root requests, at the client.
    pub(super) roots: Range,
}

impl Range {
    fn constant(s: f64) -> Self {
        Self { mean: s, floor: s, below: 0.0, above: 0.0 }
    }

    fn between(low: f64, mean: f64, high: f64) -> Self {
        let (below, above) = ((mean - low).max(0.0), (high - mean).max(0.0));
        Self { mean, floor: low, below, above }
    }

    /// One after the other.
    fn and(self, other: Self) -> Self {
        Self {
            mean: self.mean + other.mean,
            floor: self.floor + other.floor,
            below: libm::hypot(self.below, other.below),
            above: libm::hypot(self.above, other.above),
        }
    }

    /// Both at once, until the later one is over.
    fn beside(self, other: Self) -> Self {
        let mean = self.mean.max(other.mean);
        let low = (self.mean - self.below).max(other.mean - other.below);
        let high = (self.mean + self.above).max(other.mean + other.above);
        Self { floor: self.floor.max(other.floor), ..Self::between(low, mean, high) }
    }

    /// One time or another.
    fn or(self, other: Self) -> Self {
        if other.mean <= 0.0 || self.mean <= 0.0 {
            return if self.mean <= 0.0 { other } else { self };
        }
        let low = (self.mean - self.below).min(other.mean - other.below);
        let high = (self.mean + self.above).max(other.mean + other.above);
        Self {
            floor: self.floor.min(other.floor),
            ..Self::between(low, f64::midpoint(self.mean, other.mean), high)
        }
    }

    /// With a probability.
    fn maybe(self, probability: f64) -> Self {
        if 1.0 <= probability {
            return self;
        }
        let mean = probability * self.mean;
        Self { mean, floor: 0.0, below: mean, above: self.mean + self.above - mean }
    }

    pub(super) fn mean(self) -> f64 {
        self.mean
    }

    /// Octaves of a histogram from the least to the greatest.
    pub(super) fn octaves(self) -> f64 {
        let low = (self.mean - self.below).max(self.floor).max(1e-6);
        libm::log2(((self.mean + self.above) / low).max(1.0)) + BLOCK
    }
}

/// The ranges of a run with so many calls to each service, if requests wait so long at each workload at the most; for
/// nothing, if no wait is given.
pub(super) fn ranges(plan: &Plan, calls: &[f64], waits: &[f64]) -> Ranges {
    let universe = &plan.universe;
    let mut counts = vec![0.0; universe.workloads.len()];
    for (service, count) in universe.services.iter().zip(calls) {
        service.workloads.iter().for_each(|id| counts[id.index()] += count);
    }
    let there_and_back_s = 2.0 * plan.parameters.network.same_zone.as_s();
    let (proxy, hop) = if plan.has_mesh() { (PROXY_S, HOP_S) } else { (0.0, there_and_back_s) };
    let mut of_services = vec![Range::default(); universe.services.len()];
    let mut sojourns = vec![Range::default(); universe.workloads.len()];
    for _ in 0..ROUNDS {
        for (index, workload) in universe.workloads.iter().enumerate() {
            let step = |sum: Range, step: &Step| match step {
                Step::Work(time) => sum.and(work(time, counts[index])),
                Step::Forward(to) => sum.and(of_services[to.index()]),
                Step::Onward(ways) => {
                    let all = ways.values().map(|to| of_services[to.index()]);
                    sum.and(all.fold(Range::default(), Range::or))
                }
                Step::Calls(calls) => {
                    let times = calls
                        .iter()
                        .map(|call| of_services[call.to.index()].maybe(call.probability));
                    sum.and(times.fold(Range::default(), Range::beside))
                }
            };
            let wait = waits.get(index).copied().unwrap_or_default();
            // From those who come first to those who come last.
            let wait = Range { floor: 0.0, ..Range::between(0.0, wait, wait) };
            sojourns[index] = workload.program.iter().fold(wait, step);
        }
        for (service, range) in universe.services.iter().zip(&mut of_services) {
            let all = service.workloads.iter().map(|id| sojourns[id.index()]);
            *range = all.fold(Range::default(), Range::or).and(Range::constant(hop));
        }
    }
    let roots = plan.traffic.iter().map(|traffic| of_services[traffic.to.index()]);
    let roots = roots.fold(Range::default(), Range::or);
    let latencies = sojourns.iter().map(|one| one.and(Range::constant(proxy))).collect();
    Ranges { sojourns, latencies, services: of_services, roots }
}

/// A work, drawn so many times.
fn work(time: &Distribution, count: f64) -> Range {
    let mean = time.mean_ns() / 1e9;
    let count = count.max(2.0);
    let normal = |sigma: f64, median: f64| {
        let far = libm::exp(sigma * extreme(count));
        Range { floor: 0.0, ..Range::between(median / far, mean, median * far) }
    };
    let heavy = || Range {
        floor: 0.0,
        ..Range::between(mean / count, mean, mean * (1.0 + libm::log(count)))
    };
    match time {
        Distribution::Constant(_) => Range::constant(mean),
        Distribution::Uniform { low, high } => Range::between(low.as_s(), mean, high.as_s()),
        Distribution::Lognormal { median, sigma } => normal(*sigma, median.as_s()),
        Distribution::Erlang { stages, .. } if 1 < *stages => {
            normal(1.0 / libm::sqrt(f64::from(*stages)), mean)
        }
        Distribution::Pareto { scale, shape } => {
            let scale = scale.as_s();
            Range::between(scale, mean, scale * libm::pow(count, 1.0 / shape))
        }
        Distribution::Empirical { values } => {
            let low = values.iter().min().map_or(mean, |value| value.as_s());
            let high = values.iter().max().map_or(mean, |value| value.as_s());
            Range::between(low, mean, high)
        }
        _ => heavy(),
    }
}

/// The expected greatest of so many standard normal variables.
fn extreme(count: f64) -> f64 {
    let far = libm::sqrt(2.0 * libm::log(count));
    let less = libm::log((4.0 * std::f64::consts::PI * libm::log(count)).max(1.0)) / (2.0 * far);
    (far - less).max(0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::time::Duration;

    #[test]
    fn extremes_are_those_of_tables() {
        // E[max] of 100 and of 10,000 standard normal variables: 2.51 and 3.85.
        assert!((extreme(100.0) - 2.51).abs() < 0.15, "{}", extreme(100.0));
        assert!((extreme(1e4) - 3.85).abs() < 0.15, "{}", extreme(1e4));
    }

    #[test]
    fn a_memoryless_time_reaches_further_than_a_constant() {
        let mean = Duration::from_ms(3);
        assert!(work(&Distribution::Constant(mean), 1e3).octaves() < 0.3);
        // From 3 µs to 24 ms.
        let octaves = work(&Distribution::Exponential { mean }, 1e3).octaves();
        assert!((12.0..14.0).contains(&octaves), "{octaves}");
    }
}
