//! Recovery times. Of requests: seconds of a window, how many began in each, and how many of them count
//! to what the expectation measures. Of a gauge: its readings.
//!
//! A second without a request takes no place, so that the long gaps of a sampled run cost nothing,
//! and one list holds all batches of a part: what a request stands for does not matter here.
//!
//! Source: `plan::assertion`.
//! Left out: shorter steps than a second.

use super::accumulator::{Matcher, Sample};
use crate::kernel::bytes::Bytes as _;
use crate::kernel::time::{Duration, NS_PER_S, Time};
use crate::plan::assertion::{Comparison, Expectation, Metric};

/// Counts by second, in order.
#[derive(Clone, Debug, Default)]
pub struct Seconds(Vec<Second>);

/// Requests of a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Second {
    /// Since the window's begin.
    number: u32,
    /// Those that the measure is of.
    samples: u32,
    /// Of these: failed ones of a rate, matched ones of a share and a count, slow ones of a latency.
    counted: u32,
}

/// A gauge's readings in a window.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recovery {
    /// Since when the expectation holds, if it failed before.
    since: Option<Time>,
    /// Whether it failed at the last reading.
    is_failing: bool,
    is_read: bool,
}

impl Recovery {
    /// The gauge was read.
    pub fn reading(&mut self, inner: &Expectation, now: Time, value: f64) {
        let fails = !inner.comparison.holds(value, inner.threshold);
        if self.is_failing && !fails {
            self.since = Some(now);
        }
        (self.is_failing, self.is_read) = (fails, true);
    }

    /// From the window's begin until the first reading from which on it held; the whole window of
    /// `length` if it failed at the last. None without readings.
    pub fn recovery_s(&self, from: Time, length: Duration) -> Option<f64> {
        let recovered = || self.since.map_or(0.0, |since| since.saturating_since(from).as_s());
        self.is_read.then(|| if self.is_failing { length.as_s() } else { recovered() })
    }
}

impl Second {
    /// Adds a request. `narrow` is the expectation's own filter.
    pub fn request(&mut self, inner: &Expectation, narrow: &Matcher, sample: &Sample) {
        if let Some(counts) = counts(inner, narrow.matches(sample), sample) {
            self.samples += 1;
            self.counted += u32::from(counts);
        }
    }
}

impl Seconds {
    /// Adds a request to a window that began at `from`. `narrow` is the expectation's own filter.
    pub fn request(&mut self, inner: &Expectation, narrow: &Matcher, from: Time, sample: &Sample) {
        if counts(inner, narrow.matches(sample), sample).is_none() {
            return;
        }
        let number = u32::try_from(sample.began.since(from).ns() / NS_PER_S).unwrap_or(u32::MAX);
        // Requests end nearly in the order of their begin.
        let place = self.0.iter().rposition(|second| second.number <= number);
        let place = match place {
            Some(place) if self.0[place].number == number => place,
            place => {
                let place = place.map_or(0, |before| before + 1);
                self.0.insert(place, Second { number, ..Second::default() });
                place
            }
        };
        self.0[place].request(inner, narrow, sample);
    }

    /// Several as one; none if there was no request.
    pub fn of_one(seconds: &[Second]) -> Self {
        let sum = seconds.iter().fold(Second::default(), |sum, one| Second {
            samples: sum.samples + one.samples,
            counted: sum.counted + one.counted,
            ..sum
        });
        Self(if sum.samples == 0 { Vec::new() } else { vec![sum] })
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// The end of the last second in which the expectation did not hold; the whole window of
    /// `length` if it was the last one with requests. None without requests.
    pub fn recovery_s(&self, inner: &Expectation, length: Duration) -> Option<f64> {
        let last = self.0.last()?;
        let fails = |second: &&Second| !inner_holds(inner, second.samples, second.counted);
        Some(match self.0.iter().rfind(fails) {
            None => 0.0,
            Some(bad) if bad.number == last.number => length.as_s(),
            Some(bad) => f64::from(bad.number) + 1.0,
        })
    }
}

/// Whether a request counts to what the expectation measures; none if it is of other requests.
fn counts(inner: &Expectation, matched: bool, sample: &Sample) -> Option<bool> {
    match inner.metric {
        Metric::SuccessRate(_) | Metric::ErrorRate(_) => matched.then_some(!sample.is_ok),
        Metric::Share(_) | Metric::Count(_) => Some(matched),
        // Quantiles and the greatest latency: on the threshold is within `<=` and `>=`.
        _ => Some(match inner.comparison {
            Comparison::Less | Comparison::AtLeast => inner.threshold <= sample.latency.as_s(),
            _ => inner.threshold < sample.latency.as_s(),
        }),
    }
}

/// Whether one second's counts meet the inner expectation of a recovery time.
fn inner_holds(inner: &Expectation, samples: u32, counted: u32) -> bool {
    let share = f64::from(counted) / f64::from(samples);
    let holds = |value: f64| inner.comparison.holds(value, inner.threshold);
    let wants_less = matches!(inner.comparison, Comparison::Less | Comparison::AtMost);
    match inner.metric {
        Metric::SuccessRate(_) => holds(1.0 - share),
        Metric::ErrorRate(_) | Metric::Share(_) => holds(share),
        Metric::Count(_) => holds(f64::from(counted)),
        // A quantile is below while at most the rest of the requests is above.
        Metric::Quantile(q) => (share <= 1.0 - q) == wants_less,
        _ => (counted == 0) == wants_less,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::assertion::{Aggregate, Comparison, Filter};
    use crate::vocabulary::metric::Gauge;
    use crate::vocabulary::outcome::Outcome;

    /// Requests that began at these seconds, and whether they failed.
    fn seconds(requests: &[(u64, bool)]) -> (Seconds, Expectation) {
        let metric = Metric::SuccessRate(Filter::default());
        let inner = Expectation { metric, comparison: Comparison::AtLeast, threshold: 0.999 };
        let mut seconds = Seconds::default();
        for (second, fails) in requests {
            let sample = Sample {
                began: Time::ZERO + Duration::from_s(*second),
                latency: Duration::from_ms(5),
                outcome: Outcome::answer(if *fails { 503 } else { 200 }),
                is_ok: !*fails,
                workload: None,
                attempts: 1,
                batch: 0,
            };
            seconds.request(&inner, &Matcher::default(), Time::ZERO, &sample);
        }
        (seconds, inner)
    }

    #[test]
    fn recovery_is_the_end_of_the_last_bad_second() {
        let length = Duration::from_s(60);
        let of = |requests: &[(u64, bool)]| {
            let (seconds, inner) = seconds(requests);
            seconds.recovery_s(&inner, length)
        };
        let through: Vec<_> = (0..10).map(|s| (s, s < 4)).collect();
        assert_eq!(of(&through), Some(4.0));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(3, false)]), Some(0.0));
        assert_eq!(of(&[(3, false), (7, true)]), Some(60.0), "it never recovered");
        assert_eq!(of(&[(7, false), (3, true), (0, false)]), Some(4.0), "in any order");
    }

    /// What holds is told by each comparison, not by the way in which most are meant.
    #[test]
    fn each_measure_is_judged_by_its_comparison() {
        let length = Duration::from_s(60);
        let of = |metric: Metric, comparison, threshold| {
            let inner = Expectation { metric, comparison, threshold };
            let mut seconds = Seconds::default();
            for second in 0..10 {
                let (fails, slow) = (second < 4, second < 6);
                let sample = Sample {
                    began: Time::ZERO + Duration::from_s(second),
                    latency: Duration::from_ms(if slow { 50 } else { 5 }),
                    outcome: Outcome::answer(if fails { 503 } else { 200 }),
                    is_ok: !fails,
                    workload: None,
                    attempts: 1,
                    batch: 0,
                };
                let narrow = Matcher { status: Some(503), ..Matcher::default() };
                let narrow = match inner.metric {
                    Metric::Share(_) | Metric::Count(_) => narrow,
                    _ => Matcher::default(),
                };
                seconds.request(&inner, &narrow, Time::ZERO, &sample);
            }
            seconds.recovery_s(&inner, length)
        };
        let all = Filter::default;
        assert_eq!(of(Metric::SuccessRate(all()), Comparison::Equal, 1.0), Some(4.0));
        assert_eq!(of(Metric::SuccessRate(all()), Comparison::Less, 1.0), Some(60.0));
        assert_eq!(of(Metric::ErrorRate(all()), Comparison::Equal, 0.0), Some(4.0));
        assert_eq!(of(Metric::Count(all()), Comparison::Equal, 0.0), Some(4.0));
        assert_eq!(of(Metric::Share(all()), Comparison::AtLeast, 0.5), Some(60.0));
        assert_eq!(of(Metric::Quantile(0.99), Comparison::Less, 0.05), Some(6.0));
        assert_eq!(of(Metric::Quantile(0.99), Comparison::AtMost, 0.05), Some(0.0));
        assert_eq!(of(Metric::Quantile(0.99), Comparison::Greater, 0.01), Some(60.0));
        assert_eq!(of(Metric::MaxLatency, Comparison::Less, 0.01), Some(6.0));
    }

    #[test]
    fn a_gauge_recovers_at_the_reading_from_which_on_it_holds() {
        let inner = Expectation {
            metric: Metric::Gauge(Aggregate::Max, Gauge::PodsMissing),
            comparison: Comparison::Equal,
            threshold: 0.0,
        };
        let of = |values: &[f64]| {
            let mut recovery = Recovery::default();
            for (value, second) in values.iter().zip(100..) {
                recovery.reading(&inner, Time::ZERO + Duration::from_s(second), *value);
            }
            recovery.recovery_s(Time::ZERO + Duration::from_s(100), Duration::from_s(60))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[0.0, 0.0]), Some(0.0));
        assert_eq!(of(&[0.0, 2.0, 0.0, 1.0, 0.0, 0.0]), Some(4.0));
        assert_eq!(of(&[0.0, 0.0, 2.0]), Some(60.0), "it never recovered");
    }

    #[test]
    fn seconds_without_requests_take_no_place() {
        let (seconds, inner) = seconds(&[(1, true), (86_400, true), (864_000, false)]);
        assert!(seconds.bytes() <= 4 * size_of::<Second>(), "{}", seconds.bytes());
        assert_eq!(seconds.recovery_s(&inner, Duration::from_s(900_000)), Some(86_401.0));
    }
}
