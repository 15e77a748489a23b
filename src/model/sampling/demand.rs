//! Demand in the gaps of a sampled run: how often a client would have used what is not simulated.
//!
//! Demand does not stop when requests are not simulated. A pool of connections that is empty in a
//! gap would have been filled by the next request that fell on it, after a time that is exponential
//! with the pool's share of the demand, and with the certificates of that instant. The rate is
//! measured: tries in windows over the length of the windows, recent ones counting more.
//!
//! Source: a Poisson process split at random is Poisson (Kingman, Poisson Processes, 1993); pools are
//! chosen at random by every balancer but round robin.
//! Left out: second and further connections of a pool, which overlapping requests open: the next
//! window's lead-in opens them.

use crate::kernel::time::Duration;

/// What a window counts less than the one after it.
const MEMORY: f64 = 0.5;

/// Demand of one client for one destination.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Demand {
    /// Tries since the last gap began.
    tries: u32,
    /// Faded tries and seconds of the windows before.
    past: f64,
    past_s: f64,
}

impl Demand {
    /// A try.
    #[inline]
    pub fn count(&mut self) {
        self.tries += 1;
    }

    /// A window of `length` ended.
    pub fn end_window(&mut self, length: Duration) {
        self.past = self.past * MEMORY + f64::from(std::mem::take(&mut self.tries));
        self.past_s = self.past_s * MEMORY + length.as_s();
    }

    /// Tries a second; 0 if there were none.
    pub fn per_s(&self) -> f64 {
        if self.past_s <= 0.0 { 0.0 } else { self.past / self.past_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demand_is_measured_in_windows_and_follows_them() {
        let mut demand = Demand::default();
        assert!(demand.per_s() <= 0.0);
        let mut window = |tries: u32| {
            (0..tries).for_each(|_| demand.count());
            demand.end_window(Duration::from_s(10));
            demand.per_s()
        };
        assert!((window(50) - 5.0).abs() < 1e-12);
        // 25 faded tries and 100 over 5 + 10 s.
        assert!((window(100) - 125.0 / 15.0).abs() < 1e-12);
        for _ in 0..60 {
            window(20);
        }
        assert!((window(20) - 2.0).abs() < 1e-9);
    }
}
