//! Seconds of a window with requests, for recovery times: how many began in each, and how many of
//! them spoke against the expectation.
//!
//! A second without a request takes no place, so that the long gaps of a sampled run cost nothing,
//! and one list holds all batches of a part: what a request stands for does not matter here.
//!
//! Source: `plan::assertion`.
//! Left out: shorter steps than a second.

use super::accumulator::{Matcher, Sample, speaks_against};
use crate::kernel::bytes::Bytes as _;
use crate::kernel::time::{Duration, NS_PER_S, Time};
use crate::plan::assertion::{Expectation, Metric};

/// Counts by second, in order.
#[derive(Clone, Debug, Default)]
pub struct Seconds(Vec<Second>);

/// Requests of a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Second {
    /// Since the window's begin.
    number: u32,
    samples: u32,
    against: u32,
}

impl Second {
    /// Adds a request. `narrow` is the expectation's own filter.
    pub fn request(&mut self, inner: &Expectation, narrow: &Matcher, sample: &Sample) {
        self.samples += 1;
        self.against += u32::from(speaks_against(inner, narrow.matches(sample), sample));
    }
}

impl Seconds {
    /// Adds a request to a window that began at `from`. `narrow` is the expectation's own filter.
    pub fn request(&mut self, inner: &Expectation, narrow: &Matcher, from: Time, sample: &Sample) {
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
            against: sum.against + one.against,
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
        let fails = |second: &&Second| !inner_holds(inner, second.samples, second.against);
        Some(match self.0.iter().rfind(fails) {
            None => 0.0,
            Some(bad) if bad.number == last.number => length.as_s(),
            Some(bad) => f64::from(bad.number) + 1.0,
        })
    }
}

/// Whether one second's counts meet the inner expectation of a recovery time.
fn inner_holds(inner: &Expectation, samples: u32, against: u32) -> bool {
    let bad_share = f64::from(against) / f64::from(samples);
    match inner.metric {
        Metric::SuccessRate(_) => inner.comparison.holds(1.0 - bad_share, inner.threshold),
        Metric::ErrorRate(_) | Metric::Share(_) => {
            inner.comparison.holds(bad_share, inner.threshold)
        }
        Metric::Count(_) => inner.comparison.holds(f64::from(against), inner.threshold),
        // A quantile holds while at most the rest of the requests is beyond the threshold.
        Metric::Quantile(q) => bad_share <= 1.0 - q,
        _ => against == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::assertion::{Comparison, Filter};
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

    #[test]
    fn seconds_without_requests_take_no_place() {
        let (seconds, inner) = seconds(&[(1, true), (86_400, true), (864_000, false)]);
        assert!(seconds.bytes() <= 4 * size_of::<Second>(), "{}", seconds.bytes());
        assert_eq!(seconds.recovery_s(&inner, Duration::from_s(900_000)), Some(86_401.0));
    }
}
