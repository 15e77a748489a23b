//! Priorities: how the load is shared between them, and which of them panic.
//!
//! ```text
//! availability = min(100, floor(140 × healthy / all))       in whole percent, also of degraded
//! total        = min(100, sum over all priorities)
//! load         = availability × 100 / total, first come first served, healthy before degraded
//! panic        : total < 100 and healthy + degraded < threshold × all (strictly); all endpoints
//! ```
//!
//! With one priority at 60 % and another at 100 % the first gets 84 % of the load. If every priority
//! panics, each gets the share of its endpoints. A threshold of 0 never panics: then nobody is there.
//!
//! Source: Envoy's priority and panic docs. Measured on Envoy 1.40 (family e07): shares of the second
//! priority 2, 16, 29, 45, 57 % with 7 to 3 of 10 healthy; 28 % = 4 of 14 endpoints in total panic.
//! A retry may keep away from priorities that were tried: they count as not available, and what is left is
//! shared out anew; if nothing is, it begins from all of them again (`previous_priorities.cc`).
//! Left out: health by weight, excluded endpoints.

use crate::kernel::stream::below;

/// Endpoints of one priority, by health.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Level {
    /// All of them.
    pub all: u32,
    /// Those that are healthy.
    pub healthy: u32,
    /// Those that are degraded.
    pub degraded: u32,
}

/// Which endpoints of a priority a request may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Availability {
    /// The healthy ones.
    Healthy,
    /// The degraded ones.
    Degraded,
    /// All of them, whatever their health: panic.
    All,
}

/// How the load is shared, in percent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Loads {
    healthy: Vec<u32>,
    degraded: Vec<u32>,
    panics: Vec<bool>,
    /// Healthy and degraded, before they are shared out.
    available: [Vec<u32>; 2],
}

impl Loads {
    /// The loads of these priorities. `overprovisioning` is in percent (Envoy's 140), `panic_threshold`
    /// a share from 0 to 1.
    pub fn new(levels: &[Level], overprovisioning: u32, panic_threshold: f64) -> Self {
        let available = |count: u32, all: u32| match all {
            0 => 0,
            all => {
                let percent = u64::from(overprovisioning) * u64::from(count) / u64::from(all);
                u32::try_from(percent.min(100)).unwrap_or(100)
            }
        };
        let healthy: Vec<u32> = levels.iter().map(|one| available(one.healthy, one.all)).collect();
        let degraded: Vec<u32> =
            levels.iter().map(|one| available(one.degraded, one.all)).collect();
        let total = healthy.iter().chain(&degraded).sum::<u32>().min(100);
        let mut loads = Self {
            healthy: vec![0; levels.len()],
            degraded: vec![0; levels.len()],
            panics: vec![false; levels.len()],
            available: [healthy, degraded],
        };
        if total != 0 {
            loads.share_out(total);
        }
        if total < 100 && 0.0 < panic_threshold {
            let panics = |level: &Level| {
                let usable = f64::from(level.healthy + level.degraded);
                level.all == 0 || usable < panic_threshold * f64::from(level.all)
            };
            loads.panics = levels.iter().map(panics).collect();
            if loads.panics.iter().all(|panics| *panics) {
                loads.share_by_number(levels);
            }
        }
        loads
    }

    /// The priority that a draw falls on, and which of its endpoints; none if there is no endpoint
    /// that may be used.
    pub fn choose(&self, draw: u64) -> Option<(usize, Availability)> {
        self.at(u32::try_from(below(draw, 100)).unwrap_or(99))
    }

    /// The same for a hash, which falls by its rest (as Envoy's hash balancers do it).
    pub fn choose_by_hash(&self, hash: u64) -> Option<(usize, Availability)> {
        self.at(u32::try_from(hash % 100).unwrap_or(0))
    }

    /// The loads of a retry whose earlier tries were at these priorities, none for one that is gone: so
    /// often, `every` tries, those tried are left out. None for the usual loads.
    #[must_use]
    pub fn after(&self, tried: &[Option<usize>], every: u32) -> Option<Self> {
        let count = self.panics.len();
        let (mut left_out, mut since) = (vec![false; count], Vec::new());
        let mut adjusted = None;
        for level in tried {
            since.push(*level);
            let count_since = u32::try_from(since.len()).unwrap_or(u32::MAX);
            if every == 0 || !count_since.is_multiple_of(every) {
                continue;
            }
            since
                .iter()
                .flatten()
                .filter(|one| **one < count)
                .for_each(|one| left_out[*one] = true);
            adjusted = self.without(&left_out);
            if adjusted.is_none() {
                // All were tried: from the beginning.
                left_out.fill(false);
                since.clear();
            }
        }
        adjusted
    }

    /// The loads if these priorities are not available; none if nothing is left.
    fn without(&self, left_out: &[bool]) -> Option<Self> {
        let mut loads = self.clone();
        for available in &mut loads.available {
            let all = available.iter_mut().zip(left_out);
            all.filter(|(_, is_out)| **is_out).for_each(|(percent, _)| *percent = 0);
        }
        let total = loads.available.iter().flatten().sum::<u32>().min(100);
        if total == 0 {
            return None;
        }
        loads.share_out(total);
        Some(loads)
    }

    /// Whether a priority panics.
    pub fn panics(&self, level: usize) -> bool {
        self.panics[level]
    }

    /// Whether any priority panics.
    pub fn any_panics(&self) -> bool {
        self.panics.iter().any(|panics| *panics)
    }

    fn at(&self, percent: u32) -> Option<(usize, Availability)> {
        let mut sum = 0;
        let healthy = self.healthy.iter().enumerate().map(|one| (one, Availability::Healthy));
        let degraded = self.degraded.iter().enumerate().map(|one| (one, Availability::Degraded));
        for ((level, load), availability) in healthy.chain(degraded) {
            sum += load;
            if percent < sum {
                let panics = self.panics[level];
                return Some((level, if panics { Availability::All } else { availability }));
            }
        }
        None
    }

    /// By availability, in order; what whole percents leave over goes to the first that has any.
    fn share_out(&mut self, total: u32) {
        let [healthy, degraded] = &self.available;
        let mut left = 100;
        let loads = self.healthy.iter_mut().chain(&mut self.degraded);
        for (load, available) in loads.zip(healthy.iter().chain(degraded)) {
            *load = (available * 100 / total).min(left);
            left -= *load;
        }
        let first = |availability: &[u32]| availability.iter().position(|percent| *percent != 0);
        if let Some(level) = first(healthy) {
            self.healthy[level] += left;
        } else if let Some(level) = first(degraded) {
            self.degraded[level] += left;
        }
    }

    /// Total panic: by the number of endpoints.
    fn share_by_number(&mut self, levels: &[Level]) {
        let all: u64 = levels.iter().map(|level| u64::from(level.all)).sum();
        self.healthy.fill(0);
        self.degraded.fill(0);
        let Some(first) = levels.iter().position(|level| level.all != 0) else { return };
        let mut left = 100;
        for (load, level) in self.healthy.iter_mut().zip(levels) {
            *load = u32::try_from(100 * u64::from(level.all) / all).unwrap_or(100);
            left -= *load;
        }
        self.healthy[first] += left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(healthy: u32, all: u32) -> Level {
        Level { all, healthy, degraded: 0 }
    }

    /// (healthy, degraded, panics) by priority, with Envoy's defaults.
    fn loads(levels: &[Level]) -> (Vec<u32>, Vec<u32>, Vec<bool>) {
        let Loads { healthy, degraded, panics, .. } = Loads::new(levels, 140, 0.5);
        (healthy, degraded, panics)
    }

    /// Family e07, `priority_failover_p0_healthy_N_of_10`: the share of P1 with its measured value.
    #[test]
    fn the_next_priority_gets_what_is_not_healthy_times_one_point_four() {
        for (healthy, expected, measured) in
            [(7, 2, 0.0208), (6, 16, 0.1571), (5, 30, 0.2942), (4, 44, 0.4475), (3, 58, 0.57375)]
        {
            let (shares, _, panics) = loads(&[level(healthy, 10), level(4, 4)]);
            assert_eq!((shares[1], panics), (expected, vec![false, false]), "{healthy} of 10");
            assert!((f64::from(shares[1]) / 100.0 - measured).abs() < 0.045);
        }
    }

    /// Family e07, `priority_both_degraded_*`: panic everywhere, in one priority, and nobody healthy.
    #[test]
    fn total_panic_goes_by_the_number_of_endpoints() {
        for (first, second) in [(2, 1), (0, 0)] {
            let (shares, _, panics) = loads(&[level(first, 10), level(second, 4)]);
            assert_eq!((shares, panics), (vec![72, 28], vec![true, true]));
        }
        // Exactly half is no panic, and the empty priority gets nothing.
        let (shares, _, panics) = loads(&[level(5, 10), level(0, 4)]);
        assert_eq!((shares, panics), (vec![100, 0], vec![false, true]));
    }

    #[test]
    fn panic_begins_strictly_below_the_threshold_and_zero_is_never() {
        let panics =
            |healthy, threshold| Loads::new(&[level(healthy, 4)], 140, threshold).panics(0);
        assert_eq!([panics(2, 0.5), panics(1, 0.5), panics(1, 0.0)], [false, true, false]);
        // Three quarters × 1.4 are more than all: no panic, however high the threshold.
        assert!(!panics(3, 1.0));
        assert_eq!(Loads::new(&[level(0, 4)], 140, 0.0).choose(7), None);
        assert_eq!(Loads::new(&[level(0, 4)], 140, 0.5).choose(7), Some((0, Availability::All)));
        assert_eq!(Loads::new(&[], 140, 0.5).choose(7), None);
    }

    #[test]
    fn degraded_endpoints_of_all_priorities_come_after_the_healthy_ones() {
        let one = Level { all: 10, healthy: 5, degraded: 5 };
        assert_eq!(loads(&[one]), (vec![70], vec![30], vec![false]));
        let (healthy, degraded, _) = loads(&[one, level(1, 5)]);
        assert_eq!((healthy, degraded), (vec![70, 28], vec![2, 0]));
        // Envoy's own example: 10 / 20 / 10 % healthy and 20 / 10 / 0 % degraded.
        let levels = [(10, 20), (20, 10), (10, 0)];
        let levels = levels.map(|(healthy, degraded)| Level { all: 100, healthy, degraded });
        let Loads { healthy, degraded, .. } = Loads::new(&levels, 100, 0.0);
        assert_eq!((healthy, degraded), (vec![16, 28, 14], vec![28, 14, 0]));
    }

    #[test]
    fn draws_fall_by_load() {
        let loads = Loads::new(&[level(6, 10), level(4, 4)], 140, 0.5);
        let count =
            (0..100).filter(|hash| loads.choose_by_hash(*hash) == Some((0, Availability::Healthy)));
        assert_eq!(count.count(), 84);
        assert_eq!(loads.choose(u64::MAX), Some((1, Availability::Healthy)));
    }

    /// The example of Envoy's docs of `previous_priorities`: 100, 0 and 50 % healthy.
    #[test]
    fn a_retry_goes_on_to_the_next_priority_and_begins_again_after_the_last() {
        let loads = Loads::new(&[level(10, 10), level(0, 10), level(5, 10)], 100, 0.0);
        let at = |tried: &[usize], every| {
            let tried: Vec<_> = tried.iter().copied().map(Some).collect();
            let adjusted = loads.after(&tried, every);
            adjusted.as_ref().unwrap_or(&loads).choose_by_hash(99).map(|(level, _)| level)
        };
        assert_eq!([at(&[], 1), at(&[0], 1), at(&[0, 2], 1), at(&[0, 2, 0], 1)], {
            [Some(0), Some(2), Some(0), Some(2)]
        });
        // Every second try only.
        assert_eq!([at(&[0], 2), at(&[0, 0], 2), at(&[0, 0, 2], 2), at(&[0, 0, 2, 2], 2)], {
            [Some(0), Some(2), Some(2), Some(0)]
        });
        assert_eq!(loads.after(&[None, None], 1), loads.without(&[false; 3]));
        assert_eq!(loads.after(&[Some(0)], 0), None);
    }

    #[test]
    fn what_a_priority_cannot_take_goes_to_the_next_one_also_for_retries() {
        let loads = Loads::new(&[level(10, 10), level(5, 10), level(5, 10)], 100, 0.0);
        let after = loads.after(&[Some(0)], 1).expect("others");
        assert_eq!(after.healthy, [0, 50, 50]);
        // Nobody is healthy: the usual loads.
        let panic = Loads::new(&[level(0, 10), level(0, 10)], 100, 0.5);
        assert_eq!(panic.after(&[Some(0)], 1), None);
    }
}
