//! Load that is known as of a while ago: counts that are read now and then, and believed in between.
//!
//! A balancer that always takes the least loaded of all then sends everything to one endpoint until it
//! looks again. Counts are read by the first choice of each period; what this balancer itself has sent
//! since does not show.
//!
//! Source: Brooker, "The power of two random choices", 2012; Mitzenmacher, "How Useful Is Old
//! Information?", 2000 (the bulletin board with periodic updates).
//! Left out: counts of different ages; a board that several proxies share.

use crate::kernel::time::{Duration, Time};

/// What was last read.
#[derive(Clone, Debug)]
pub struct StaleLoad {
    every: Duration,
    /// The period in which it was read, from 0; none before.
    period: Option<u64>,
    counts: Vec<u32>,
}

impl StaleLoad {
    /// Nothing was read yet; counts are read every so often, which is above zero.
    pub fn new(every: Duration) -> Self {
        assert!(!every.is_zero(), "counts are read now and then");
        Self { every, period: None, counts: Vec::new() }
    }

    /// The endpoints are others now: their counts are to be read.
    pub fn forget(&mut self) {
        self.period = None;
    }

    /// The counts that are believed now; `active` tells the true one of each of `endpoints`.
    pub fn counts(&mut self, now: Time, endpoints: usize, active: impl Fn(usize) -> u32) -> &[u32] {
        let period = Some(now.ns() / self.every.ns());
        if self.period != period {
            self.period = period;
            self.counts.clear();
            self.counts.extend((0..endpoints).map(active));
        }
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_once_a_period_and_when_endpoints_change() {
        let at = |s| Time::ZERO + Duration::from_s(s);
        let mut load = StaleLoad::new(Duration::from_s(10));
        assert_eq!(load.counts(at(3), 2, |_| 1), [1, 1]);
        assert_eq!(load.counts(at(9), 2, |_| 2), [1, 1]);
        assert_eq!(load.counts(at(10), 2, |_| 3), [3, 3]);
        load.forget();
        assert_eq!(load.counts(at(11), 3, |_| 4), [4, 4, 4]);
    }
}
