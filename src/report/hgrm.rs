//! `latency.hgrm`: the percentile text that HdrHistogram's plotter reads, in milliseconds.
//!
//! Levels halve the distance to 100 % again and again, with five ticks a half: tick `t` of half `n`
//! is 1 − (10 − t) / (10 · 2^n). A level is compared with counts in integers, so that no platform's
//! logarithm decides which line a value is on.
//!
//! Source: `AbstractHistogram.outputPercentileDistribution` of `HdrHistogram` 2.2 (Java).
//! Left out: other units and other numbers of ticks.

use crate::kernel::histogram::Histogram;
use crate::report::number::ms;
use std::fmt::Write as _;

/// Ticks in a half distance: the Java default.
const TICKS: u64 = 5;
/// Cells of the first octave of [`Histogram`].
const SUB_BUCKETS: u64 = 2_048;

/// A line of the distribution: what is at most `value_ns`, at a level of `1 − beyond`.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Line {
    value_ns: u64,
    /// 1 − the level; 0 on the last line.
    beyond: f64,
    /// Values up to here.
    count: u64,
}

/// The percentile text.
pub fn hgrm(histogram: &Histogram) -> String {
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    for Line { value_ns, beyond, count } in lines(histogram) {
        let (value, level) = (ms(value_ns), 1.0 - beyond);
        write!(text, "{value:12.3} {level:2.12} {count:10}").expect("a string takes all");
        if 0.0 < beyond {
            write!(text, " {:14.2}", 1.0 / beyond).expect("a string takes all");
        }
        text.push('\n');
    }
    text + &footer(histogram)
}

fn footer(histogram: &Histogram) -> String {
    let (mean, deviation) = (histogram.mean_ns() / 1e6, deviation_ns(histogram) / 1e6);
    let (max, count) = (ms(histogram.max_ns()), histogram.count());
    let octaves = u64::from(u64::BITS - (histogram.max_ns() / SUB_BUCKETS).leading_zeros()) + 1;
    format!(
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]\n\
         #[Max     = {max:12.3}, Total count    = {count:12}]\n\
         #[Buckets = {octaves:12}, SubBuckets     = {SUB_BUCKETS:12}]\n"
    )
}

fn lines(histogram: &Histogram) -> Vec<Line> {
    let total = histogram.count();
    let mut lines = Vec::new();
    let (mut level, mut below) = (Level { half: 0, tick: 0 }, 0);
    for (_, highest, count) in histogram.iter() {
        below += count;
        let value_ns = highest.min(histogram.max_ns());
        while level.is_reached(below, total) {
            lines.push(Line { value_ns, beyond: level.beyond(), count: below });
            level.advance();
            if below == total {
                break;
            }
        }
    }
    if 0 < total {
        lines.push(Line { value_ns: histogram.max_ns(), beyond: 0.0, count: total });
    }
    lines
}

/// A level of the distribution.
#[derive(Clone, Copy)]
struct Level {
    half: u32,
    tick: u64,
}

impl Level {
    /// Whether `below` of `total` values are at least this share.
    fn is_reached(self, below: u64, total: u64) -> bool {
        // below / total >= 1 − (10 − t) / (10 · 2^n), as (total − below) · 10 · 2^n <= total · (10 − t).
        let missing = u128::from(total - below) * u128::from(2 * TICKS);
        missing << self.half <= u128::from(total) * u128::from(2 * TICKS - self.tick)
    }

    fn beyond(self) -> f64 {
        (2 * TICKS - self.tick) as f64 / (2 * TICKS) as f64 / libm::exp2(f64::from(self.half))
    }

    fn advance(&mut self) {
        self.tick += 1;
        if self.tick == TICKS {
            *self = Self { half: self.half + 1, tick: 0 };
        }
    }
}

/// The standard deviation, with each value in the middle of its cell.
fn deviation_ns(histogram: &Histogram) -> f64 {
    if histogram.is_empty() {
        return 0.0;
    }
    let mean = histogram.mean_ns();
    let squares: f64 = histogram
        .iter()
        .map(|(lowest, highest, count)| {
            let off = lowest.midpoint(highest) as f64 - mean;
            off * off * count as f64
        })
        .sum();
    (squares / histogram.count() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::hlog;
    use crate::report::testing::{same_as_file, sample_run};

    #[test]
    fn the_sample_run_has_this_distribution() {
        same_as_file("latency.hgrm", &hgrm(&sample_run().latency));
    }

    #[test]
    fn nothing_counted_is_no_line() {
        let text = hgrm(&Histogram::new());
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 2);
        assert!(text.contains("Total count    =            0]"), "{text}");
    }

    #[test]
    fn one_value_has_the_lines_that_java_prints() {
        let mut histogram = Histogram::new();
        histogram.record(1_000);
        let line = |beyond| Line { value_ns: 1_000, beyond, count: 1 };
        assert_eq!(lines(&histogram), [line(1.0), line(0.0)]);
    }

    /// The crate's iterator is a port of Java's that adds its ticks up in floating point: of a
    /// prime number of values none is exactly on a level, where its rounding would show.
    #[test]
    fn levels_and_counts_are_those_of_the_hdrhistogram_crate() {
        let mut ours = Histogram::new();
        for n in 0..3_499 {
            ours.record(1_000_000 + n * n * n);
        }
        let theirs = hlog::converted(&ours);
        let lines = lines(&ours);
        let mut below = 0;
        let expected: Vec<_> = theirs
            .iter_quantiles(5)
            .map(|step| {
                below += step.count_since_last_iteration();
                (step.quantile_iterated_to(), below)
            })
            .collect();
        assert_eq!(lines.len(), expected.len());
        for (line, (level, count)) in lines.iter().zip(expected) {
            assert!((1.0 - line.beyond - level).abs() < 1e-12, "{line:?} {level}");
            assert_eq!(line.count, count, "{line:?}");
        }
    }
}
