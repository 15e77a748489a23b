//! The time series: a row an interval.
//!
//! Source: `series.csv` of docs/results.md.
//! Left out: series per service.

use super::run::{SeriesRow, Tally};
use crate::kernel::bytes::Bytes as _;
use crate::kernel::histogram::{Cell, Histogram, cells_of, quantile_of};
use crate::kernel::time::{Duration, Time};
use crate::vocabulary::metric::Gauge;

/// Gauges at an instant, in the order of `Gauge::ALL`.
pub type Readings = [f64; Gauge::ALL.len()];

/// Up to so many latencies are sorted at the end of an interval; more are counted in cells, of
/// which there are thousands to look through.
const MANY: usize = 1024;

/// The rows so far and the interval that is being counted.
#[derive(Clone, Debug)]
pub struct Series {
    rows: Vec<SeriesRow>,
    from: Time,
    readings: Readings,
    /// Requests are being recorded since, if they are.
    recording_since: Option<Time>,
    recorded: Duration,
    requests: Tally,
    attempts: u64,
    retries: u64,
    /// Latencies of the interval, in ns, until they are [`MANY`].
    few: Vec<u64>,
    /// The others.
    many: Histogram,
    /// The cells of the interval that ends, while it is summed up.
    scratch: Vec<Cell>,
    /// The same in cells of the heatmap.
    heat: Vec<(u16, u64)>,
}

impl Series {
    /// No rows; the first interval begins at zero with `readings`.
    pub fn new(readings: Readings) -> Self {
        Self {
            rows: Vec::new(),
            from: Time::ZERO,
            readings,
            recording_since: Some(Time::ZERO),
            recorded: Duration::ZERO,
            requests: Tally::default(),
            attempts: 0,
            retries: 0,
            few: Vec::with_capacity(MANY),
            many: Histogram::new(),
            scratch: Vec::new(),
            heat: Vec::new(),
        }
    }

    /// From now on requests are recorded, or not.
    pub fn set_recording(&mut self, now: Time, is_on: bool) {
        if let Some(since) = self.recording_since.take() {
            self.recorded += now.since(since);
        }
        self.recording_since = is_on.then_some(now);
    }

    /// A root request ended.
    pub fn request(&mut self, latency: Duration, ok: bool) {
        self.requests.count(ok);
        if self.few.len() == MANY {
            self.pour();
        }
        self.few.push(latency.ns());
    }

    #[cold]
    fn pour(&mut self) {
        self.few.drain(..).for_each(|latency_ns| self.many.record(latency_ns));
    }

    /// An attempt began.
    pub fn attempt(&mut self, is_retry: bool) {
        self.attempts += 1;
        self.retries += u64::from(is_retry);
    }

    /// The next attempt is one of a request that its client sends again.
    pub fn sent_again(&mut self) {
        self.retries += 1;
    }

    /// The interval ends, and the next begins with `readings`.
    pub fn close(&mut self, now: Time, readings: Readings) {
        self.set_recording(now, self.recording_since.is_some());
        if self.many.is_empty() {
            self.few.sort_unstable();
            cells_of(&self.few, &mut self.scratch);
            self.few.clear();
        } else {
            self.pour();
            self.many.drain(&mut self.scratch);
        }
        self.heat.clear();
        let mut end_ns = 0;
        for Cell { lowest, highest, count } in &self.scratch {
            let middle_ns = lowest / 2 + highest / 2;
            match self.heat.last_mut() {
                Some(last) if middle_ns < end_ns => last.1 += count,
                _ => {
                    let (cell, end) = cell_of(middle_ns);
                    self.heat.push((cell, *count));
                    end_ns = end;
                }
            }
        }
        let quantile = |q| quantile_of(&self.scratch, q);
        self.rows.push(SeriesRow {
            time: self.from,
            recorded: std::mem::take(&mut self.recorded),
            requests: std::mem::take(&mut self.requests),
            p50_ns: quantile(0.5),
            p90_ns: quantile(0.9),
            p99_ns: quantile(0.99),
            attempts: std::mem::take(&mut self.attempts),
            retries: std::mem::take(&mut self.retries),
            cells: self.heat.clone(),
            gauges: self.readings,
        });
        self.from = now;
        self.readings = readings;
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let cells = self.rows.iter().map(|row| row.cells.bytes()).sum::<usize>();
        let scratch = self.scratch.bytes() + self.heat.bytes();
        self.rows.bytes() + cells + self.few.bytes() + self.many.bytes() + scratch
    }

    /// All rows; the last one may be shorter than an interval.
    pub fn finish(mut self, end: Time) -> Vec<SeriesRow> {
        if self.from < end {
            let readings = self.readings;
            self.close(end, readings);
        }
        self.rows
    }
}

/// 2^(63 + n/8) rounded up, for n from 1 to 7.
const EIGHTHS: [u64; 7] = [
    0x8b95_c1e3_ea8b_d6e7,
    0x9837_f051_8db8_a970,
    0xa5fe_d6a9_b151_38eb,
    0xb504_f333_f9de_6485,
    0xc567_2a11_5506_dade,
    0xd744_fcca_d69d_6af5,
    0xeac0_c6e7_dd24_392f,
];

/// The heatmap's cell of a latency, ⌊8 · log2⌋ in integers, and the first latency beyond it.
#[expect(clippy::cast_possible_truncation, reason = "at most 8 · 63 + 7")]
fn cell_of(latency_ns: u64) -> (u16, u64) {
    let octave = latency_ns.max(1).ilog2();
    let shift = 63 - octave;
    let mantissa = latency_ns.max(1) << shift;
    let eighths = EIGHTHS.iter().filter(|eighth| **eighth <= mantissa).count();
    let end = match EIGHTHS.get(eighths) {
        Some(next) => ((next - 1) >> shift) + 1,
        None => (1_u64 << octave).saturating_mul(2),
    };
    (8 * octave as u16 + eighths as u16, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::run::cell_from_ns;

    #[test]
    fn a_latency_lies_within_its_cell() {
        for ns in [1, 999, 1_000_000, 123_456_789] {
            let (cell, _) = cell_of(ns);
            assert!(cell_from_ns(cell) <= ns as f64 * (1.0 + 1e-12));
            assert!((ns as f64) < cell_from_ns(cell + 1));
        }
    }

    #[test]
    fn an_interval_without_requests_has_no_quantiles() {
        let mut series = Series::new([0.0; Gauge::ALL.len()]);
        series.close(Time::from_ns(10), [1.0; Gauge::ALL.len()]);
        series.request(Duration::from_ms(1), true);
        let rows = series.finish(Time::from_ns(15));
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].p50_ns, rows[0].gauges[0]), (None, 0.0));
        assert_eq!((rows[1].requests.ok, rows[1].gauges[0]), (1, 1.0));
    }

    #[test]
    fn few_and_many_are_counted_alike() {
        let row = |count: u64| {
            let mut series = Series::new([0.0; Gauge::ALL.len()]);
            let latencies = (0..count).map(|n| 1_000 + (n % 500) * 7_919);
            latencies.for_each(|ns| series.request(Duration::from_ns(ns), true));
            let row = series.finish(Time::from_ns(10)).remove(0);
            (row.p50_ns, row.p90_ns, row.cells)
        };
        let (few, many) = (row(500), row(2_000));
        assert_eq!((few.0, few.1), (many.0, many.1));
        let fourfold = few.2.iter().map(|(cell, count)| (*cell, 4 * count));
        assert!(fourfold.eq(many.2.iter().copied()));
    }

    #[test]
    fn cells_are_eighths_of_octaves() {
        for (latency_ns, cell) in [(0, 0), (1, 0), (2, 8), (1 << 40, 320), (u64::MAX, 511)] {
            assert_eq!(cell_of(latency_ns).0, cell);
        }
        let mut latency_ns = 1_u64;
        while latency_ns < 1 << 50 {
            let exact = libm::floor(libm::log2(latency_ns as f64) * 8.0);
            let (cell, end_ns) = cell_of(latency_ns);
            assert_eq!(f64::from(cell).to_bits(), exact.to_bits(), "{latency_ns}");
            assert!(latency_ns < end_ns && cell_of(end_ns - 1).0 == cell);
            assert!(cell < cell_of(end_ns).0, "{latency_ns}");
            latency_ns += latency_ns / 1_000 + 1;
        }
    }
}
