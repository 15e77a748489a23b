//! Demand in the gaps of a sampled run: how often a client would have used what is not simulated.
//!
//! Demand does not stop when requests are not simulated. In a gap, a pool would have opened another
//! connection when the next request fell on it that found all of its connections busy. Requests fall
//! on a pool as a Poisson process, each holds a connection for a while, so the number under way is
//! Poisson, and the wait is exponential with the rate
//!
//! ```text
//! λ · P(N >= connections),  N ~ Poisson(λ · hold)        an empty pool: λ
//! ```
//!
//! Rate and hold are measured: tries in windows over the length of the windows, and how long they had
//! their connections; recent windows count more.
//!
//! Source: M/G/∞ (Kleinrock, Queueing Systems I, 3.4) and PASTA (Wolff 1982); a Poisson process split
//! at random is Poisson (Kingman 1993). Pools are chosen at random by every balancer but round robin.
//! Left out: that a connection which is being opened keeps the next one from being opened.

use crate::kernel::time::Duration;

/// What a window counts less than the one after it.
const MEMORY: f64 = 0.5;

/// Demand of one client for one destination.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Demand {
    /// Tries since the last gap began, and for how long those that ended had a connection.
    tries: u32,
    held_ns: u64,
    /// Faded tries and seconds of the windows before.
    past: f64,
    past_s: f64,
    past_held_s: f64,
}

impl Demand {
    /// A try begins.
    #[inline]
    pub fn count(&mut self) {
        self.tries += 1;
    }

    /// A try ends that had a connection for so long.
    #[inline]
    pub fn held(&mut self, length: Duration) {
        self.held_ns += length.ns();
    }

    /// A window of `length` ended.
    pub fn end_window(&mut self, length: Duration) {
        let held_s = std::mem::take(&mut self.held_ns) as f64 / 1e9;
        self.past = self.past * MEMORY + f64::from(std::mem::take(&mut self.tries));
        self.past_s = self.past_s * MEMORY + length.as_s();
        self.past_held_s = self.past_held_s * MEMORY + held_s;
    }

    /// Tries a second; 0 if there were none.
    pub fn per_s(&self) -> f64 {
        if self.past_s <= 0.0 { 0.0 } else { self.past / self.past_s }
    }

    /// Tries a second that fall on one of so many equal pools and find its connections busy.
    pub fn per_s_beyond(&self, pools: f64, connections: u32) -> f64 {
        let per_s = self.per_s() / pools;
        if connections == 0 || per_s <= 0.0 {
            return per_s;
        }
        per_s * poisson_tail(per_s * self.past_held_s / self.past, connections)
    }
}

/// P(N >= least) of a Poisson variable.
fn poisson_tail(mean: f64, least: u32) -> f64 {
    let mut term = libm::exp(-mean);
    for n in 1..=least {
        term *= mean / f64::from(n);
    }
    let (mut sum, mut n) = (0.0, least);
    // Terms grow up to the mean and then fall faster than a geometric series.
    while f64::from(n) <= mean || sum * 1e-12 < term {
        sum += term;
        n += 1;
        term *= mean / f64::from(n);
        if term <= 0.0 {
            break;
        }
    }
    sum.min(1.0)
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

    #[test]
    fn a_second_connection_is_needed_by_those_who_meet_another() {
        let mut demand = Demand::default();
        for _ in 0..100 {
            demand.count();
            demand.held(Duration::from_ms(20));
        }
        demand.end_window(Duration::from_s(10));
        // Two pools of 5 a second, 0.1 under way in each: e^−0.1 = 0.904837418.
        let near = |connections, wanted: f64| {
            let rate = demand.per_s_beyond(2.0, connections);
            assert!((rate / wanted - 1.0).abs() < 1e-8, "{connections}: {rate}, not {wanted}");
        };
        near(0, 5.0);
        near(1, 5.0 * (1.0 - 0.904_837_418_036));
        near(2, 5.0 * (1.0 - 0.904_837_418_036 * 1.1));
        near(3, 5.0 * (1.0 - 0.904_837_418_036 * 1.105));
    }

    #[test]
    fn the_tail_of_a_poisson_variable_is_whole_at_zero() {
        for mean in [1e-6, 0.3, 4.0, 60.0] {
            assert!((poisson_tail(mean, 0) - 1.0).abs() < 1e-9, "{mean}");
        }
        // P(N >= 60) for a mean of 60, from tables: 0.5171.
        assert!((poisson_tail(60.0, 60) - 0.517_1).abs() < 1e-3);
        assert!(poisson_tail(1e-6, 3) < 1e-18);
    }
}
