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
//! The differences of m units are worth 2(m−1)² / (3m−4) independent squares. Groups differ in how
//! much they add to the variance, so all are worth (Σ V)² / Σ (V² / freedom), and Student's t follows
//! from that: two windows tell little, whatever else was recorded around an event. As a group's V in
//! this freedom counts what it would be if all requests were independent: that is not up to chance.
//!
//! If a few of the windows' requests failed, or none, their variance is not known; they count as
//! independent, and their error is added to that of what was recorded around events.
//!
//! A share's interval is Wilson's with the number of independent requests that would have this
//! variance, so that it stays within [0, 1] and is not empty where nothing failed. A quantile's is
//! Woodruff's: the shares below a latency that are likely if it is the quantile, turned into
//! latencies; by Cornish and Fisher's first term they are askew as a binomial's.
//!
//! Source: Cochran, Sampling Techniques (1977), 5A.12 and 8.9 (successive differences), 6 (ratios);
//! von Neumann, Annals of Mathematical Statistics 12 (1941), for their freedom; Satterthwaite 1946;
//! Wilson 1927; Woodruff, JASA 47 (1952); Kish, Survey Sampling (1965), for the effective number; Zou and
//! Donner, Statistics in Medicine 27 (2008), for the sum of two intervals.
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
/// The normal distribution's quantile for [`ALPHA`].
const NORMAL: f64 = 1.959_963_984_540_054;
/// Above so many degrees of freedom the expansion of Student's t is right to four digits.
const MANY: f64 = 30.0;

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
}

/// How far an estimate may be off.
#[derive(Clone, Copy)]
struct Error {
    variance: f64,
    /// What it would be if all requests were independent.
    independent: f64,
    /// How many standard errors the interval reaches.
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
        Self { units, size, effective: size * size / of(2) }
    }

    /// The error of Σ w·e by differences of neighbours; of what has no neighbour by `alone`, the
    /// variance of a unit's own e.
    fn error(&self, e: impl Fn(&Unit) -> f64, alone: impl Fn(&Unit) -> f64) -> Error {
        let (mut variance, mut independent, mut squares) = (0.0, 0.0, 0.0);
        for group in groups(self.units) {
            let weight = |unit: &Unit| unit.standing.weight;
            let own = |unit: &&Unit| weight(unit) * weight(unit) * alone(unit);
            let own = group.iter().map(own).sum::<f64>();
            independent += own;
            // What is known of a group's variance depends on chance; how large it should be does not.
            if group[0].standing.group.is_none() || (group.len() < 2 && weight(group[0]) <= 1.0) {
                variance += own;
                continue;
            }
            let count = group.len() as f64;
            if group.len() < 2 {
                // One window does not tell how far another would be from it.
                variance += own;
                squares += own * own;
                continue;
            }
            let weighted = |unit: &Unit| weight(unit) * e(unit);
            let steps = group.windows(2).map(|pair| weighted(pair[1]) - weighted(pair[0]));
            variance += count / (2.0 * (count - 1.0)) * steps.map(|step| step * step).sum::<f64>();
            squares += own * own * (3.0 * count - 4.0) / (2.0 * (count - 1.0) * (count - 1.0));
        }
        let freedom =
            if 0.0 < squares { independent * independent / squares } else { f64::INFINITY };
        Error { variance, independent, t: reach(freedom) }
    }

    fn requests(&self) -> Estimate {
        let count = |unit: &Unit| unit.requests.total as f64;
        let error = self.error(count, count);
        let half = error.t * libm::sqrt(error.variance);
        Estimate { value: self.size, low: (self.size - half).max(0.0), high: self.size + half }
    }

    /// The share of the requests that `part` counts in a unit, and its error.
    fn part(&self, part: impl Fn(&Unit) -> u64) -> (f64, Error) {
        let sum = |unit: &&Unit| unit.standing.weight * part(unit) as f64;
        let share = self.units.iter().map(sum).sum::<f64>() / self.size;
        let residual = |unit: &Unit| part(unit) as f64 - share * unit.requests.total as f64;
        let alone = |unit: &Unit| {
            let count = unit.requests.total as f64;
            let own = part(unit) as f64 / count;
            count * (own * (1.0 - own) + (own - share) * (own - share))
        };
        let Error { variance, independent, t } = self.error(residual, alone);
        // Counts of few units may be equal by chance: an interval is about that of independent requests
        // at the least, and half of that if there are many.
        let least = independent * (NORMAL * NORMAL / (t * t)).min(0.25);
        let variance = variance.max(least) / (self.size * self.size);
        (share, Error { variance, independent, t })
    }

    fn share(&self, part: impl Fn(&Unit) -> u64) -> Estimate {
        let (windows, certain): (Vec<&Unit>, Vec<&Unit>) =
            self.units.iter().partition(|unit| 1.0 < unit.standing.weight);
        let of: u64 = windows.iter().map(|unit| part(unit)).sum();
        let rest: u64 = windows.iter().map(|unit| unit.requests.total - part(unit)).sum();
        let (share, error) = self.part(&part);
        if FEW <= of.min(rest) || windows.is_empty() {
            return self.likely(share, error);
        }
        // So few in windows tell little of their variance: they count as independent. What is certain
        // is another stratum: its error is its own.
        let windows = Sample::new(&windows);
        let strata = [
            (wilson(windows.part(&part).0, windows.effective, NORMAL), windows.size),
            match &certain[..] {
                [] => (Estimate { value: 0.0, low: 0.0, high: 0.0 }, 0.0),
                certain => {
                    let certain = Sample::new(certain);
                    let (share, error) = certain.part(&part);
                    (certain.likely(share, error), certain.size)
                }
            },
        ];
        let apart = strata.map(|(one, size)| {
            let weight = size / self.size;
            ((one.value - one.low) * weight, (one.high - one.value) * weight)
        });
        let [one, other] = apart;
        let (low, high) = (libm::hypot(one.0, other.0), libm::hypot(one.1, other.1));
        Estimate { value: share, low: (share - low).max(0.0), high: (share + high).min(1.0) }
    }

    /// The interval of a share with such an error.
    fn likely(&self, share: f64, error: Error) -> Estimate {
        let spread = share * (1.0 - share);
        let count = if 0.0 < spread { spread / error.variance } else { self.effective };
        wilson(share, count.max(1.0), error.t)
    }

    fn mean(&self) -> Estimate {
        let sum = |unit: &&Unit| unit.standing.weight * unit.moments.0;
        let mean = self.units.iter().map(sum).sum::<f64>() / self.size;
        let residual = |unit: &Unit| unit.moments.0 - mean * unit.requests.total as f64;
        let alone = |unit: &Unit| {
            let (sum, squares) = unit.moments;
            (squares - 2.0 * mean * sum + mean * mean * unit.requests.total as f64).max(0.0)
        };
        let error = self.error(residual, alone);
        let half = error.t * libm::sqrt(error.variance) / self.size;
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
        let (share, Error { variance, t, .. }) = self.part(below);
        // If nothing lies beyond, its variance tells nothing.
        let spread = share * (1.0 - share);
        let count = if 0.0 < spread { spread / variance } else { self.effective }.max(1.0);
        let half = t * libm::sqrt(q * (1.0 - q) / count);
        let askew = (NORMAL * NORMAL - 1.0) * (1.0 - 2.0 * q) / (6.0 * count);
        let (low, high) = (q - half + askew, q + half + askew);
        Estimate { value, low: at(low.max(0.0)).min(value), high: at(high.min(1.0)).max(value) }
    }
}

/// How many standard errors an interval reaches: Student's t. Between few whole degrees of freedom it
/// is nearly linear in one over their number; of many it is the normal distribution's with two terms
/// of the expansion by Fisher (Abramowitz and Stegun 26.7.5).
fn reach(freedom: f64) -> f64 {
    if MANY < freedom {
        let z = NORMAL;
        let (one, two) = (z * (z * z + 1.0), z * (z * z * (5.0 * z * z + 16.0) + 3.0));
        return z + one / (4.0 * freedom) + two / (96.0 * freedom * freedom);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to MANY")]
    let whole = freedom.max(1.0) as u32;
    let (upper, lower) = (two_sided(ALPHA, whole), two_sided(ALPHA, whole + 1));
    let (from, to) = (1.0 / f64::from(whole), 1.0 / f64::from(whole + 1));
    lower + (upper - lower) * (1.0 / freedom.max(1.0) - to) / (from - to)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch of 100 requests of which so many failed.
    fn unit(weight: f64, group: u32, failed: u64) -> Unit {
        let standing = Standing { weight, group: Some(group) };
        let cells = vec![Cell { lowest: 1_000, highest: 1_000, count: 100 }];
        Unit::new(standing, Tally { total: 100, ok: 100 - failed }, cells)
    }

    fn success(units: &[Unit]) -> Estimate {
        estimates(&units.iter().collect::<Vec<_>>()).unwrap().success_rate
    }

    #[test]
    fn students_t_is_smooth_between_and_beyond_whole_degrees_of_freedom() {
        let table = [
            (1.0, 12.706),
            (2.0, 4.303),
            (10.0, 2.228),
            (30.0, 2.042),
            (60.0, 2.000),
            (1e9, 1.960),
        ];
        for (freedom, t) in table {
            assert!((reach(freedom) - t).abs() < 6e-4, "{freedom}: {}", reach(freedom));
        }
        assert!((reach(MANY) - reach(MANY + 1e-9)).abs() < 1e-3);
        assert!((4.303..12.706).contains(&reach(1.4)) && (reach(0.2) - reach(1.0)).abs() < 1e-9);
    }

    #[test]
    fn two_windows_tell_little_whatever_else_was_recorded_around_an_event() {
        let windows = [unit(30.0, 0, 6), unit(30.0, 0, 12)];
        let certain: Vec<_> = (0..40).map(|n| unit(1.0, 1, 8 + n % 3)).collect();
        let all: Vec<_> = windows.iter().cloned().chain(certain).collect();
        // One degree of freedom: a difference of six of a hundred may be anything.
        let Estimate { low, high, .. } = success(&all);
        assert!(0.25 < high - low, "{low} to {high}");
        // That they are equal by chance is no certainty.
        let Estimate { low, high, .. } = success(&[unit(30.0, 0, 9), unit(30.0, 0, 9)]);
        assert!(0.05 < high - low && high - low < 0.2, "{low} to {high}");
    }

    #[test]
    fn what_failed_around_an_event_hides_nothing_in_windows_without_a_failure() {
        let windows = (0..20).map(|_| unit(30.0, 0, 0));
        let all: Vec<_> = windows.chain([90, 4].map(|failed| unit(1.0, 1, failed))).collect();
        let Estimate { value, low, high } = success(&all);
        // 94 of 60,200. None of 2,000 may mean up to z² / (n + z²) = 0.19 % of the 60,000.
        assert!((value - (1.0 - 94.0 / 60_200.0)).abs() < 1e-9);
        assert!((value - low - 1.9e-3).abs() < 1e-3 && high < 1.0, "{low} {value} {high}");
    }
}
