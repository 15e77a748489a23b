//! Numbers of one stretch of time, as far as one metric needs them.
//!
//! Source: the metrics of `plan::assertion`.
//! Left out: anything that would need every single request kept.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use crate::kernel::histogram::Histogram;
use crate::kernel::time::{Duration, NS_PER_S, Time};
use crate::plan::assertion::{Aggregate, Comparison, Expectation, Metric};
use crate::plan::universe::WorkloadId;
use crate::vocabulary::flag::Flags;
use crate::vocabulary::outcome::Outcome;

/// A request (or a hop's) as a metric sees it.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Its intended start.
    pub began: Time,
    /// From there to its end.
    pub latency: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// The workload of the last endpoint tried.
    pub workload: Option<WorkloadId>,
    /// Attempts made.
    pub attempts: u32,
}

/// A filter without names: what remains to be looked at in each sample.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Matcher {
    /// Workloads that match, in id order; none for all.
    pub workloads: Option<Vec<WorkloadId>>,
    /// The status.
    pub status: Option<u16>,
    /// Flags that must be set.
    pub flags: Option<Flags>,
}

impl Matcher {
    /// Whether a sample matches.
    #[inline]
    pub fn matches(&self, sample: &Sample) -> bool {
        let workload = self.workloads.as_ref().is_none_or(|list| {
            sample.workload.is_some_and(|workload| list.binary_search(&workload).is_ok())
        });
        workload
            && self.status.is_none_or(|status| status == sample.outcome.status)
            && self.flags.is_none_or(|flags| sample.outcome.flags.contains(flags))
    }
}

/// Sums over one stretch of time.
#[derive(Clone, Debug, Default)]
pub struct Accumulator {
    /// Requests, or readings of a gauge.
    pub samples: u64,
    matched: u64,
    matched_ok: u64,
    attempts: u64,
    sum_ns: u128,
    max_ns: u64,
    histogram: Option<Box<Histogram>>,
    /// (samples, violating) by second since the window's begin, for recovery times.
    seconds: Vec<(u32, u32)>,
    gauge: GaugeSums,
    /// The first sample that alone speaks against the expectation.
    pub first_violation: Option<Time>,
}

#[derive(Clone, Copy, Debug)]
struct GaugeSums {
    max: f64,
    min: f64,
    sum: f64,
    last: f64,
}

impl Default for GaugeSums {
    fn default() -> Self {
        Self { max: f64::NEG_INFINITY, min: f64::INFINITY, sum: 0.0, last: 0.0 }
    }
}

impl Accumulator {
    /// Adds a request. `narrow` is the metric's own filter; `from` the window's begin.
    #[inline(always)]
    pub fn request(&mut self, expect: &Expectation, narrow: &Matcher, from: Time, sample: &Sample) {
        self.samples += 1;
        self.attempts += u64::from(sample.attempts);
        let latency_ns = sample.latency.ns();
        self.sum_ns += u128::from(latency_ns);
        self.max_ns = self.max_ns.max(latency_ns);
        let matched = narrow.matches(sample);
        self.matched += u64::from(matched);
        self.matched_ok += u64::from(matched && sample.outcome.is_ok());
        if let Metric::Quantile(_) = expect.metric {
            self.histogram.get_or_insert_default().record(latency_ns);
        }
        let against = speaks_against(expect, matched, sample);
        if against && self.first_violation.is_none_or(|first| sample.began < first) {
            self.first_violation = Some(sample.began);
        }
        if let Metric::RecoveryTime(inner) = &expect.metric {
            let second = usize::try_from(sample.began.since(from).ns() / NS_PER_S).unwrap_or(0);
            if self.seconds.len() <= second {
                self.seconds.resize(second + 1, (0, 0));
            }
            self.seconds[second].0 += 1;
            self.seconds[second].1 += u32::from(speaks_against(inner, matched, sample));
        }
    }

    /// Adds a reading of a gauge.
    pub fn reading(&mut self, expect: &Expectation, now: Time, value: f64) {
        self.samples += 1;
        let gauge = &mut self.gauge;
        gauge.max = gauge.max.max(value);
        gauge.min = gauge.min.min(value);
        gauge.sum += value;
        gauge.last = value;
        if !expect.comparison.holds(value, expect.threshold) && self.first_violation.is_none() {
            self.first_violation = Some(now);
        }
    }

    /// Adds another stretch of the same expectation (not for recovery times).
    pub fn merge(&mut self, other: &Self) {
        self.samples += other.samples;
        self.matched += other.matched;
        self.matched_ok += other.matched_ok;
        self.attempts += other.attempts;
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
        if let Some(histogram) = &other.histogram {
            self.histogram.get_or_insert_default().merge(histogram);
        }
        self.gauge.max = self.gauge.max.max(other.gauge.max);
        self.gauge.min = self.gauge.min.min(other.gauge.min);
        self.gauge.sum += other.gauge.sum;
        if other.samples != 0 {
            self.gauge.last = other.gauge.last;
        }
        self.first_violation = match (self.first_violation, other.first_violation) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    /// The metric's value over a stretch of `length`, in the metric's unit; none without samples.
    pub fn value(&self, metric: &Metric, length: Duration) -> Option<f64> {
        let share = |part: u64, of: u64| (of != 0).then(|| part as f64 / of as f64);
        let any = (self.samples != 0).then_some(());
        match metric {
            Metric::SuccessRate(_) => share(self.matched_ok, self.matched),
            Metric::ErrorRate(_) => share(self.matched - self.matched_ok, self.matched),
            Metric::Quantile(q) => Some(self.histogram.as_ref()?.quantile(*q)? as f64 / 1e9),
            Metric::MeanLatency => any.map(|()| self.sum_ns as f64 / self.samples as f64 / 1e9),
            Metric::MaxLatency => any.map(|()| self.max_ns as f64 / 1e9),
            Metric::Count(_) => any.map(|()| self.matched as f64),
            Metric::Share(_) => share(self.matched, self.samples),
            Metric::Rate => {
                any.filter(|()| !length.is_zero()).map(|()| self.samples as f64 / length.as_s())
            }
            Metric::RetryRatio => any.map(|()| self.attempts as f64 / self.samples as f64),
            Metric::Gauge(aggregate, _) => any.map(|()| match aggregate {
                Aggregate::Max => self.gauge.max,
                Aggregate::Min => self.gauge.min,
                Aggregate::Mean => self.gauge.sum / self.samples as f64,
                Aggregate::Last => self.gauge.last,
            }),
            Metric::RecoveryTime(inner) => any.map(|()| self.recovery_s(inner, length)),
        }
    }

    /// The end of the last second in which the expectation did not hold; the whole window if it
    /// was the last one with requests.
    fn recovery_s(&self, inner: &Expectation, length: Duration) -> f64 {
        let holds = |(samples, against): &(u32, u32)| {
            *samples == 0 || inner_holds(inner, *samples, *against)
        };
        match self.seconds.iter().rposition(|second| !holds(second)) {
            None => 0.0,
            Some(last) if last + 1 == self.seconds.len() => length.as_s(),
            Some(last) => (last + 1) as f64,
        }
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

/// Whether one request alone speaks against an expectation.
#[inline(always)]
fn speaks_against(expect: &Expectation, matched: bool, sample: &Sample) -> bool {
    let wants_little =
        matches!(expect.comparison, Comparison::Less | Comparison::AtMost | Comparison::Equal);
    let beyond = || !expect.comparison.holds(sample.latency.as_s(), expect.threshold);
    match &expect.metric {
        Metric::SuccessRate(_) => matched && !sample.outcome.is_ok() && !wants_little,
        Metric::ErrorRate(_) => matched && !sample.outcome.is_ok() && wants_little,
        Metric::Count(_) | Metric::Share(_) => matched && wants_little,
        Metric::Quantile(_) | Metric::MeanLatency | Metric::MaxLatency => beyond(),
        Metric::RetryRatio => 1 < sample.attempts && wants_little,
        Metric::RecoveryTime(inner) => speaks_against(inner, matched, sample),
        Metric::Rate | Metric::Gauge(..) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::assertion::Filter;
    use crate::vocabulary::outcome::Details;

    fn sample(began_s: u64, outcome: Outcome) -> Sample {
        let began = Time::ZERO + Duration::from_s(began_s);
        Sample { began, latency: Duration::from_ms(5), outcome, workload: None, attempts: 1 }
    }

    fn expect(metric: Metric, comparison: Comparison, threshold: f64) -> Expectation {
        Expectation { metric, comparison, threshold }
    }

    #[test]
    fn a_success_rate_is_measured_and_its_first_failure_remembered() {
        let expect = expect(Metric::SuccessRate(Filter::default()), Comparison::AtLeast, 0.9);
        let mut sums = Accumulator::default();
        for (s, outcome) in [
            (1, Outcome::answer(200)),
            (2, Outcome::failure(Details::ConnectionRefused)),
            (3, Outcome::answer(404)),
            (4, Outcome::answer(500)),
        ] {
            sums.request(&expect, &Matcher::default(), Time::ZERO, &sample(s, outcome));
        }
        assert_eq!(sums.value(&expect.metric, Duration::from_s(4)), Some(0.5));
        assert_eq!(sums.first_violation, Some(Time::ZERO + Duration::from_s(2)));
    }

    #[test]
    fn recovery_is_the_end_of_the_last_bad_second() {
        let inner = expect(Metric::SuccessRate(Filter::default()), Comparison::AtLeast, 0.999);
        let expect = expect(Metric::RecoveryTime(Box::new(inner)), Comparison::AtMost, 15.0);
        let mut sums = Accumulator::default();
        for s in 0..10 {
            let status = if s < 4 { 503 } else { 200 };
            let sample = sample(s, Outcome::answer(status));
            sums.request(&expect, &Matcher::default(), Time::ZERO, &sample);
        }
        assert_eq!(sums.value(&expect.metric, Duration::from_s(60)), Some(4.0));
    }

    #[test]
    fn nothing_measured_is_not_zero() {
        let sums = Accumulator::default();
        for metric in [Metric::MeanLatency, Metric::Count(Filter::default()), Metric::Rate] {
            assert_eq!(sums.value(&metric, Duration::from_s(1)), None);
        }
    }
}
