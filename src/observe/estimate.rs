//! Estimates from a sampled run, with intervals of 95 %.
//!
//! A *unit* is a recorded batch with what each of its requests stands for. A total is the weighted
//! sum over units; a share or a mean is the ratio of two totals; a quantile is the latency below
//! which that share of the weighted requests lies. How much a total would differ in another sample
//! is measured by the differences of neighbouring units of one group, which a trend hardly moves:
//!
//! ```text
//! Var Σe = Σ_groups  m / 2(m−1) · Σ (e_{i+1} − e_i)²      e = w · (y − R·n) for the ratio R = Σwy / Σwn
//! ```
//!
//! A share's interval is Wilson's with the number of independent requests that would have this
//! variance, so that it stays within [0, 1] and is not empty where nothing failed. A quantile's is
//! Woodruff's: the interval of the share below it, turned into latencies.
//!
//! Source: Cochran, Sampling Techniques (1977), 5A.12 and 8.9 (successive differences), 6 (ratios);
//! Wilson 1927; Woodruff, JASA 47 (1952); Kish, Survey Sampling (1965), for the effective number.
//! Left out: the chance of which world it is (certificate ages, pods): one seed is one world.

use super::batch::Standing;
use super::run::Tally;
use crate::kernel::histogram::Cell;
use crate::kernel::student::two_sided;

/// One number with its interval of 95 %.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// The interval's low end.
    pub low: f64,
    /// The interval's high end.
    pub high: f64,
}

/// The quantiles that are estimated.
pub const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// What is estimated of the root requests of a run or a phase.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Estimates {
    /// Requests that a run without sampling would have had.
    pub requests: Estimate,
    /// ok / all.
    pub success_rate: Estimate,
    /// Mean latency in ns.
    pub latency_mean_ns: Estimate,
    /// Latencies in ns at [`QUANTILES`].
    pub latency_ns: [Estimate; QUANTILES.len()],
}

/// A recorded batch.
#[derive(Clone, Debug)]
pub struct Unit {
    /// What its requests stand for.
    pub standing: Standing,
    /// Its requests, at least one.
    pub requests: Tally,
    /// Their latencies.
    pub cells: Vec<Cell>,
    /// Sum and sum of squares of the latencies, in ns.
    moments: (f64, f64),
}

impl Unit {
    /// A batch with these requests.
    pub fn new(standing: Standing, requests: Tally, cells: Vec<Cell>) -> Self {
        let moments = cells.iter().fold((0.0, 0.0), |(sum, squares), cell| {
            let latency = f64::midpoint(cell.lowest as f64, cell.highest as f64);
            let count = cell.count as f64;
            (sum + count * latency, squares + count * latency * latency)
        });
        Self { standing, requests, cells, moments }
    }
}

/// Two-sided.
const ALPHA: f64 = 0.05;
/// With so few failures (or successes) their own variance tells little.
const FEW: u64 = 5;
/// Above this Student's t is the normal distribution's, to three digits.
const FREEDOM_MAX: usize = 2_000;

/// The estimates from units in time order; none without units.
pub fn estimates(units: &[&Unit]) -> Option<Estimates> {
    if units.is_empty() {
        return None;
    }
    let sample = Sample::new(units);
    let latencies = sample.latencies();
    Some(Estimates {
        requests: sample.requests(),
        success_rate: sample.share(|unit| unit.requests.ok),
        latency_mean_ns: sample.mean(),
        latency_ns: QUANTILES.map(|q| sample.quantile(&latencies, q)),
    })
}

/// The units with what all estimates need.
struct Sample<'u> {
    units: &'u [&'u Unit],
    /// Σ w n.
    size: f64,
    /// (Σ w n)² / Σ w² n.
    effective: f64,
    t: f64,
}

impl<'u> Sample<'u> {
    fn new(units: &'u [&'u Unit]) -> Self {
        let of = |power: i32| -> f64 {
            let weight = |unit: &Unit| {
                let weight = unit.standing.weight;
                if power == 1 { weight } else { weight * weight }
            };
            units.iter().map(|unit| weight(unit) * unit.requests.total as f64).sum()
        };
        let size = of(1);
        let freedom: usize = groups(units).map(|group| group.len() - 1).sum();
        let freedom = u32::try_from(freedom.clamp(1, FREEDOM_MAX)).unwrap_or(1);
        Self { units, size, effective: size * size / of(2), t: two_sided(ALPHA, freedom) }
    }

    /// Variance of Σ w·e by differences of neighbours; of what has no neighbour by `alone`, the
    /// variance of a unit's own e.
    fn variance(&self, e: impl Fn(&Unit) -> f64, alone: impl Fn(&Unit) -> f64) -> f64 {
        let mut sum = 0.0;
        for group in groups(self.units) {
            let weighted = |unit: &Unit| unit.standing.weight * e(unit);
            if group.len() < 2 || group[0].standing.group.is_none() {
                let own = |unit: &&Unit| unit.standing.weight * unit.standing.weight * alone(unit);
                sum += group.iter().map(own).sum::<f64>();
                continue;
            }
            let steps = group.windows(2).map(|pair| weighted(pair[1]) - weighted(pair[0]));
            let count = group.len() as f64;
            sum += count / (2.0 * (count - 1.0)) * steps.map(|step| step * step).sum::<f64>();
        }
        sum
    }

    fn requests(&self) -> Estimate {
        let count = |unit: &Unit| unit.requests.total as f64;
        let half = self.t * libm::sqrt(self.variance(count, count));
        Estimate { value: self.size, low: (self.size - half).max(0.0), high: self.size + half }
    }

    /// The share of the requests that `part` counts in a unit.
    fn share(&self, part: impl Fn(&Unit) -> u64) -> Estimate {
        let sum = |unit: &&Unit| unit.standing.weight * part(unit) as f64;
        let share = self.units.iter().map(sum).sum::<f64>() / self.size;
        let residual = |unit: &Unit| part(unit) as f64 - share * unit.requests.total as f64;
        let alone = |unit: &Unit| {
            let count = unit.requests.total as f64;
            let own = part(unit) as f64 / count;
            count * (own * (1.0 - own) + (own - share) * (own - share))
        };
        let variance = self.variance(residual, alone) / (self.size * self.size);
        let of: u64 = self.units.iter().map(|unit| part(unit)).sum();
        let rest: u64 = self.units.iter().map(|unit| unit.requests.total - part(unit)).sum();
        let spread = share * (1.0 - share);
        let count = if of.min(rest) < FEW { self.effective } else { spread / variance };
        wilson(share, count.max(1.0), self.t)
    }

    fn mean(&self) -> Estimate {
        let sum = |unit: &&Unit| unit.standing.weight * unit.moments.0;
        let mean = self.units.iter().map(sum).sum::<f64>() / self.size;
        let residual = |unit: &Unit| unit.moments.0 - mean * unit.requests.total as f64;
        let alone = |unit: &Unit| {
            let (sum, squares) = unit.moments;
            (squares - 2.0 * mean * sum + mean * mean * unit.requests.total as f64).max(0.0)
        };
        let half = self.t * libm::sqrt(self.variance(residual, alone)) / self.size;
        Estimate { value: mean, low: (mean - half).max(0.0), high: mean + half }
    }

    /// All latencies with their weights, from the least.
    fn latencies(&self) -> Vec<(u64, f64)> {
        let cells = self.units.iter().flat_map(|unit| {
            let weight = unit.standing.weight;
            unit.cells.iter().map(move |cell| (cell.highest, weight * cell.count as f64))
        });
        let mut cells: Vec<(u64, f64)> = cells.collect();
        cells.sort_by_key(|cell| cell.0);
        cells
    }

    fn quantile(&self, latencies: &[(u64, f64)], q: f64) -> Estimate {
        let at = |q: f64| {
            let mut below = 0.0;
            // As in a histogram: the least value that this share does not exceed.
            let place = latencies.iter().find(|(_, weight)| {
                below += weight;
                q * self.size <= below * (1.0 + 1e-12)
            });
            place.or(latencies.last()).map_or(0.0, |(latency, _)| *latency as f64)
        };
        let value = at(q);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a u64's value"
        )]
        let limit = value as u64;
        let below = |unit: &Unit| {
            let cells = unit.cells.iter().filter(|cell| cell.highest <= limit);
            cells.map(|cell| cell.count).sum()
        };
        let share = self.share(below);
        // The interval is that of q itself, as wide as that of the share that lies below.
        let (down, up) = (share.value - share.low, share.high - share.value);
        Estimate { value, low: at((q - down).max(0.0)), high: at((q + up).min(1.0)) }
    }
}

/// Units of one group, in time order; groups in the order in which they are met.
fn groups<'u>(units: &[&'u Unit]) -> impl Iterator<Item = Vec<&'u Unit>> {
    let mut groups: std::collections::BTreeMap<Option<u32>, Vec<&Unit>> =
        std::collections::BTreeMap::new();
    for unit in units {
        groups.entry(unit.standing.group).or_default().push(unit);
    }
    groups.into_values()
}

/// Wilson's interval for a share of so many independent requests.
fn wilson(share: f64, count: f64, t: f64) -> Estimate {
    if count.is_infinite() {
        return Estimate { value: share, low: share, high: share };
    }
    let squared = t * t / count;
    let center = (share + squared / 2.0) / (1.0 + squared);
    let half =
        t * libm::sqrt(share * (1.0 - share) / count + squared / (4.0 * count)) / (1.0 + squared);
    // Rounding must not put the share outside of its own interval.
    let (low, high) = ((center - half).max(0.0), (center + half).min(1.0));
    Estimate { value: share, low: low.min(share), high: high.max(share) }
}
