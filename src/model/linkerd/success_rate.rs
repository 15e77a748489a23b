//! The share of good answers over a window of ten buckets, exact and whatever their rate.
//!
//! The window slides by buckets: it holds the running tenth and the nine before it. Whoever was silent for
//! a whole window begins cold.
//!
//! Source: linkerd2-proxy `linkerd/app/outbound/src/http/breaker/success_rate.rs`.
//! Left out: earlier edges, where the share was an exponential average.

use crate::kernel::time::{Duration, Time};

const BUCKETS: usize = 10;

/// A bucket is no shorter.
const WIDTH_MIN: Duration = Duration::from_ms(1);

/// The answers of one endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    buckets: [Bucket; BUCKETS],
    width: Duration,
    current: usize,
    /// When the running bucket began.
    begun: Time,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Bucket {
    good: u32,
    all: u32,
}

impl Window {
    /// Empty.
    pub fn new(window: Duration, now: Time) -> Self {
        let width = Duration::from_ns(window.ns() / BUCKETS as u64).max(WIDTH_MIN);
        Self { buckets: [Bucket::default(); BUCKETS], width, current: 0, begun: now }
    }

    /// An answer came.
    pub fn record(&mut self, now: Time, is_good: bool) {
        self.roll(now);
        let bucket = &mut self.buckets[self.current];
        bucket.all = bucket.all.saturating_add(1);
        bucket.good = bucket.good.saturating_add(u32::from(is_good));
    }

    fn roll(&mut self, now: Time) {
        let elapsed = now.saturating_since(self.begun).ns();
        let (steps, rest) = (elapsed / self.width.ns(), elapsed % self.width.ns());
        let within = usize::try_from(steps).unwrap_or(BUCKETS).min(BUCKETS);
        for _ in 0..within {
            self.current = (self.current + 1) % BUCKETS;
            self.buckets[self.current] = Bucket::default();
        }
        self.begun += Duration::from_ns(elapsed - rest);
    }

    /// Good answers and all, as of the last one.
    pub fn totals(&self) -> (u64, u64) {
        self.buckets.iter().fold((0, 0), |(good, all), bucket| {
            (good + u64::from(bucket.good), all + u64::from(bucket.all))
        })
    }

    /// Whether so few of at least so many are good.
    pub fn is_below(&self, threshold: f64, min_requests: u32) -> bool {
        let (good, all) = self.totals();
        all != 0 && u64::from(min_requests) <= all && (good as f64 / all as f64) < threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_s(10);

    fn at(s: f64) -> Time {
        Time::ZERO + Duration::from_s_f64(s)
    }

    #[test]
    fn the_fifth_of_five_failures_is_enough_at_any_rate() {
        for gap in [0.0, 0.0001, 1.0, 2.0] {
            let mut window = Window::new(TEN, at(0.0));
            let below = [0.0, 1.0, 2.0, 3.0, 4.0].map(|n| {
                window.record(at(n * gap), false);
                window.is_below(0.5, 5)
            });
            assert_eq!(below, [false, false, false, false, true], "every {gap} s");
        }
    }

    #[test]
    fn a_share_of_the_threshold_is_good_enough() {
        let mut window = Window::new(TEN, at(0.0));
        let fill =
            |window: &mut Window, good| (0..10).for_each(|n| window.record(at(1.0), n < good));
        fill(&mut window, 8);
        assert!(!window.is_below(0.8, 5));
        window.record(at(1.0), false);
        assert!(window.is_below(0.8, 5) && !window.is_below(0.8, 12));
        assert!(!Window::new(TEN, at(0.0)).is_below(1.0, 0), "nothing is not bad");
    }

    #[test]
    fn buckets_leave_one_by_one_and_a_silent_window_all_at_once() {
        let mut window = Window::new(TEN, at(0.0));
        for second in 0..10 {
            window.record(at(f64::from(second) + 0.5), false);
        }
        assert_eq!(window.totals(), (0, 10));
        window.record(at(10.2), true);
        assert_eq!(window.totals(), (1, 10), "the first second is gone");
        window.record(at(19.9), true);
        assert_eq!(window.totals(), (2, 2), "9.5 s began with what is gone");
        window.record(at(500.0), true);
        assert_eq!(window.totals(), (1, 1));
        // The grid goes on from the begin.
        window.record(at(509.9), true);
        window.record(at(510.0), true);
        assert_eq!(window.totals(), (2, 2));
    }

    #[test]
    fn a_short_window_has_buckets_of_a_millisecond() {
        let mut window = Window::new(Duration::ZERO, at(0.0));
        window.record(at(0.0), false);
        window.record(at(0.0099), false);
        assert_eq!(window.totals(), (0, 2));
        window.record(at(0.0100), false);
        assert_eq!(window.totals(), (0, 2));
    }
}
