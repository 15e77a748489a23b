//! Numbers of one stretch of time, as far as one metric needs them.
//!
//! Source: the metrics of `plan::assertion`.
//! Left out: anything that would need every single request kept.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use crate::kernel::bytes::Bytes as _;
use crate::kernel::histogram::{Cell, Histogram};
use crate::kernel::time::{Duration, Time};
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
    /// `outcome.is_ok()`, asked once.
    pub is_ok: bool,
    /// The workload of the last endpoint tried.
    pub workload: Option<WorkloadId>,
    /// Attempts made.
    pub attempts: u32,
    /// The batch that it belongs to, or `UNRECORDED`.
    pub batch: u32,
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
    #[inline(always)]
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
    /// What was packed of it.
    cells: Vec<Cell>,
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
    /// Adds a request. `narrow` is the metric's own filter.
    #[inline(always)]
    pub fn request(&mut self, expect: &Expectation, narrow: &Matcher, sample: &Sample) {
        self.samples += 1;
        self.attempts += u64::from(sample.attempts);
        let latency_ns = sample.latency.ns();
        self.sum_ns += u128::from(latency_ns);
        self.max_ns = self.max_ns.max(latency_ns);
        let matched = narrow.matches(sample);
        self.matched += u64::from(matched);
        self.matched_ok += u64::from(matched && sample.is_ok);
        if let Metric::Quantile(_) = expect.metric {
            self.histogram.get_or_insert_default().record(latency_ns);
        }
        let against = speaks_against(expect, matched, sample);
        if against && self.first_violation.is_none_or(|first| sample.began < first) {
            self.first_violation = Some(sample.began);
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

    /// Bytes held beside the sums themselves.
    pub fn bytes(&self) -> usize {
        let histogram = |one: &Histogram| size_of::<Histogram>() + one.bytes();
        self.histogram.as_deref().map_or(0, histogram) + self.cells.bytes()
    }

    /// It will hardly grow any more: its histogram becomes a list.
    pub fn pack(&mut self) {
        if let Some(mut histogram) = self.histogram.take() {
            let mut cells = Vec::new();
            histogram.drain(&mut cells);
            self.cells.append(&mut cells);
        }
    }
}

/// Sums over stretches of time whose requests stand for more or fewer.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Requests and readings as they were counted.
    pub samples: u64,
    /// The first sample that alone speaks against the expectation.
    pub first_violation: Option<Time>,
    weight: f64,
    matched: f64,
    matched_ok: f64,
    attempts: f64,
    sum_ns: f64,
    max_ns: u64,
    /// (latency, weight), not in order.
    latencies: Vec<(u64, f64)>,
    gauge: GaugeSums,
}

impl Totals {
    /// Adds a stretch of which each request stands for `weight`.
    pub fn add(&mut self, sums: &Accumulator, weight: f64) {
        if sums.samples == 0 {
            return;
        }
        self.samples += sums.samples;
        self.weight += weight * sums.samples as f64;
        self.matched += weight * sums.matched as f64;
        self.matched_ok += weight * sums.matched_ok as f64;
        self.attempts += weight * sums.attempts as f64;
        self.sum_ns += weight * sums.sum_ns as f64;
        self.max_ns = self.max_ns.max(sums.max_ns);
        for (_, highest, count) in sums.histogram.iter().flat_map(|histogram| histogram.iter()) {
            self.latencies.push((highest, weight * count as f64));
        }
        let packed = sums.cells.iter().map(|cell| (cell.highest, weight * cell.count as f64));
        self.latencies.extend(packed);
        self.gauge.max = self.gauge.max.max(sums.gauge.max);
        self.gauge.min = self.gauge.min.min(sums.gauge.min);
        self.gauge.sum += weight * sums.gauge.sum;
        self.gauge.last = sums.gauge.last;
        self.first_violation = match (self.first_violation, sums.first_violation) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    /// The metric's value over a stretch of `length`, in the metric's unit; none without samples.
    pub fn value(&mut self, metric: &Metric, length: Duration) -> Option<f64> {
        let share = |part: f64, of: f64| (0.0 < of).then(|| part / of);
        let any = (self.samples != 0).then_some(());
        match metric {
            Metric::SuccessRate(_) => share(self.matched_ok, self.matched),
            Metric::ErrorRate(_) => share(self.matched - self.matched_ok, self.matched),
            Metric::Quantile(q) => self.quantile(*q),
            Metric::MeanLatency => any.map(|()| self.sum_ns / self.weight / 1e9),
            Metric::MaxLatency => any.map(|()| self.max_ns as f64 / 1e9),
            Metric::Count(_) => any.map(|()| self.matched),
            Metric::Share(_) => share(self.matched, self.weight),
            Metric::Rate => {
                any.filter(|()| !length.is_zero()).map(|()| self.weight / length.as_s())
            }
            Metric::RetryRatio => any.map(|()| self.attempts / self.weight),
            Metric::Gauge(aggregate, _) => any.map(|()| match aggregate {
                Aggregate::Max => self.gauge.max,
                Aggregate::Min => self.gauge.min,
                Aggregate::Mean => self.gauge.sum / self.weight,
                Aggregate::Last => self.gauge.last,
            }),
            // Of `Seconds`, and of the run.
            Metric::RecoveryTime(_) | Metric::Counter(_) => None,
        }
    }

    /// The latency in seconds below which a share of the weights lies, as a histogram answers.
    fn quantile(&mut self, q: f64) -> Option<f64> {
        self.latencies.sort_by_key(|(latency, _)| *latency);
        let all: f64 = self.latencies.iter().map(|(_, weight)| weight).sum();
        let (rank, mut below) = (q.clamp(0.0, 1.0) * all, 0.0);
        let place = self.latencies.iter().find(|(_, weight)| {
            below += weight;
            // Sums of weights are not exact.
            rank <= below * (1.0 + 1e-12)
        });
        place.or(self.latencies.last()).map(|(latency, _)| *latency as f64 / 1e9)
    }
}

/// Whether one request alone speaks against an expectation.
#[inline(always)]
pub(super) fn speaks_against(expect: &Expectation, matched: bool, sample: &Sample) -> bool {
    let wants_little =
        matches!(expect.comparison, Comparison::Less | Comparison::AtMost | Comparison::Equal);
    let beyond = || !expect.comparison.holds(sample.latency.as_s(), expect.threshold);
    match &expect.metric {
        Metric::SuccessRate(_) => matched && !sample.is_ok && !wants_little,
        Metric::ErrorRate(_) => matched && !sample.is_ok && wants_little,
        Metric::Count(_) | Metric::Share(_) => matched && wants_little,
        Metric::Quantile(_) | Metric::MeanLatency | Metric::MaxLatency => beyond(),
        Metric::RetryRatio => 1 < sample.attempts && wants_little,
        Metric::RecoveryTime(inner) => match inner.metric {
            // All of them is what any failure speaks against.
            Metric::SuccessRate(_) if inner.comparison == Comparison::Equal => {
                matched && !sample.is_ok
            }
            _ => speaks_against(inner, matched, sample),
        },
        Metric::Rate | Metric::Gauge(..) | Metric::Counter(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::assertion::Filter;
    use crate::vocabulary::outcome::Details;

    fn sample(began_s: u64, outcome: Outcome) -> Sample {
        let began = Time::ZERO + Duration::from_s(began_s);
        Sample {
            began,
            latency: Duration::from_ms(5),
            outcome,
            is_ok: outcome.is_ok(),
            workload: None,
            attempts: 1,
            batch: 0,
        }
    }

    fn value(sums: &[(&Accumulator, f64)], metric: &Metric, length: Duration) -> Option<f64> {
        let mut totals = Totals::default();
        for (sums, weight) in sums {
            totals.add(sums, *weight);
        }
        totals.value(metric, length)
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
            sums.request(&expect, &Matcher::default(), &sample(s, outcome));
        }
        let (metric, length) = (&expect.metric, Duration::from_s(4));
        assert_eq!(value(&[(&sums, 1.0)], metric, length), Some(0.5));
        assert_eq!(sums.first_violation, Some(Time::ZERO + Duration::from_s(2)));
    }

    #[test]
    fn nothing_measured_is_not_zero() {
        let sums = Accumulator::default();
        for metric in [Metric::MeanLatency, Metric::Count(Filter::default()), Metric::Rate] {
            assert_eq!(value(&[(&sums, 1.0)], &metric, Duration::from_s(1)), None);
        }
    }

    #[test]
    fn requests_count_for_as_many_as_they_stand_for() {
        let metrics = [
            (Metric::SuccessRate(Filter::default()), 0.4),
            (Metric::Share(Filter::default()), 1.0),
            (Metric::Count(Filter::default()), 10.0),
            (Metric::Rate, 5.0),
            (Metric::MeanLatency, 0.04 / 10.0 + 9e-3 * 0.6),
            (Metric::Quantile(0.5), 9e-3),
        ];
        for (metric, expected) in metrics {
            let expect = expect(metric, Comparison::AtLeast, 0.0);
            let mut sums = [Accumulator::default(), Accumulator::default()];
            // Four requests of 10 ms that stand for themselves, two of 9 ms for three each.
            for (index, count, ms, status) in [(0, 4, 10, 200), (1, 2, 9, 503)] {
                for _ in 0..count {
                    let mut one = sample(0, Outcome::answer(status));
                    one.latency = Duration::from_ms(ms);
                    sums[index].request(&expect, &Matcher::default(), &one);
                }
            }
            sums[1].pack();
            let weighted = [(&sums[0], 1.0), (&sums[1], 3.0)];
            let measured = value(&weighted, &expect.metric, Duration::from_s(2)).unwrap();
            assert!((measured / expected - 1.0).abs() < 2e-3, "{:?}: {measured}", expect.metric);
        }
    }
}
