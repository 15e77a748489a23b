//! A log-linear histogram of nanoseconds, with the cells of an HdrHistogram of three digits.
//!
//! Values below 2048 have a cell each; above, each octave is cut into 1024 equal cells, so a cell
//! is at most 0.1 % wide. Only the range of cells that was ever touched has memory.
//!
//! ```text
//! cell = octave · 1024 + (value >> octave),  octave = bits of (value | 2047) − 11
//! ```
//!
//! Source: Tene's `HdrHistogram` (lowest discernible value 1, 3 significant digits); a test holds
//! it to the `hdrhistogram` crate. Ours because it counts faster (docs/speed.md).
//! Left out: correction for coordinated omission (latency is taken from the intended start), other
//! precisions, subtraction.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use super::bytes::Bytes as _;

/// Cells of the first octave, 2^11: the least power of two at least twice 10^3.
const SUB_BUCKET_BITS: u32 = 11;
const SUB_BUCKET_MASK: u64 = (1 << SUB_BUCKET_BITS) - 1;
const HALF_BITS: u32 = SUB_BUCKET_BITS - 1;
/// Memory grows by this many cells (2 KiB).
const BLOCK: usize = 256;

/// The values of one cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cell {
    /// The least value that it takes.
    pub lowest: u64,
    /// The greatest.
    pub highest: u64,
    /// Values in it.
    pub count: u64,
}

/// The cells of sorted values, as a histogram that has counted them would drain them.
pub fn cells_of(sorted: &[u64], cells: &mut Vec<Cell>) {
    cells.clear();
    for value in sorted {
        match cells.last_mut() {
            Some(last) if *value <= last.highest => last.count += 1,
            _ => {
                let cell = cell_of(*value);
                cells.push(Cell { lowest: lowest_of(cell), highest: highest_of(cell), count: 1 });
            }
        }
    }
}

/// What [`Histogram::quantile`] answers, of cells that were drained.
pub fn quantile_of(cells: &[Cell], q: f64) -> Option<u64> {
    let count = cells.iter().map(|cell| cell.count).sum();
    quantile(cells.iter().map(|cell| (cell.lowest, cell.highest, cell.count)), count, q)
}

/// The quantile of cells (lowest, highest, count) in order that hold `count` values.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn quantile(cells: impl Iterator<Item = (u64, u64, u64)>, count: u64, q: f64) -> Option<u64> {
    let rank = ((q.clamp(0.0, 1.0) * count as f64).ceil() as u64).max(1);
    // Above 2^53 values the rank may round up past the count: the last cell holds it.
    let (mut below, mut last) = (0, None);
    for (lowest, highest, count) in cells {
        below += count;
        last = Some(if q <= 0.0 { lowest } else { highest });
        if rank <= below {
            break;
        }
    }
    last
}

/// Counts of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// The cell of `counts[0]`, a multiple of [`BLOCK`].
    first: usize,
    counts: Vec<u64>,
    count: u64,
    sum_ns: u128,
    min_ns: u64,
    max_ns: u64,
}

#[expect(clippy::cast_possible_truncation, reason = "less than 54 · 1024 + 2048")]
const fn cell_of(value: u64) -> usize {
    let octave = (u64::BITS - SUB_BUCKET_BITS) - (value | SUB_BUCKET_MASK).leading_zeros();
    ((octave as u64) << HALF_BITS) as usize + (value >> octave) as usize
}

/// The least value of a cell.
const fn lowest_of(cell: usize) -> u64 {
    let octave = (cell >> HALF_BITS).saturating_sub(1);
    ((cell - (octave << HALF_BITS)) as u64) << octave
}

/// The greatest value of a cell.
const fn highest_of(cell: usize) -> u64 {
    let octave = (cell >> HALF_BITS).saturating_sub(1);
    lowest_of(cell) + ((1 << octave) - 1)
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// An empty histogram, without memory.
    pub const fn new() -> Self {
        Self { first: 0, counts: Vec::new(), count: 0, sum_ns: 0, min_ns: u64::MAX, max_ns: 0 }
    }

    /// Counts a value.
    #[inline(always)]
    pub fn record(&mut self, value_ns: u64) {
        self.record_n(value_ns, 1);
    }

    /// Counts a value `n` times.
    #[inline(always)]
    pub fn record_n(&mut self, value_ns: u64, n: u64) {
        let place = cell_of(value_ns).wrapping_sub(self.first);
        if let Some(count) = self.counts.get_mut(place) {
            *count += n;
        } else {
            *self.grow(cell_of(value_ns)) += n;
        }
        if n == 0 {
            return;
        }
        self.count += n;
        self.sum_ns += u128::from(value_ns) * u128::from(n);
        // Nearly never: a comparison each, and no store.
        if value_ns < self.min_ns {
            self.min_ns = value_ns;
        }
        if self.max_ns < value_ns {
            self.max_ns = value_ns;
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.counts.bytes()
    }

    /// Values counted.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Whether nothing was counted.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The exact sum of all values.
    pub const fn sum_ns(&self) -> u128 {
        self.sum_ns
    }

    /// The exact greatest value, 0 if there is none.
    pub const fn max_ns(&self) -> u64 {
        self.max_ns
    }

    /// The exact least value, 0 if there is none.
    pub const fn min_ns(&self) -> u64 {
        if self.is_empty() { 0 } else { self.min_ns }
    }

    /// The exact mean, 0 if there is none.
    pub fn mean_ns(&self) -> f64 {
        if self.is_empty() { 0.0 } else { self.sum_ns as f64 / self.count as f64 }
    }

    /// The greatest value of the cell that holds the quantile `q` in [0, 1] (for 0, the least one
    /// of the first cell), as HdrHistogram's `value_at_quantile` answers.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let cells = self.cells().map(|(cell, count)| (lowest_of(cell), highest_of(cell), count));
        quantile(cells, self.count, q)
    }

    /// Adds all that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        self.grow(cell_of(other.min_ns));
        self.grow(cell_of(other.max_ns));
        for (cell, count) in other.cells() {
            self.counts[cell - self.first] += count;
        }
        self.count += other.count;
        self.sum_ns += other.sum_ns;
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// Moves all that was counted into `cells`, from the least, but keeps the memory. The cost is
    /// that of the range between the least and the greatest value, most of it empty.
    pub fn drain(&mut self, cells: &mut Vec<Cell>) {
        cells.clear();
        let range = self.touched();
        let first = self.first + range.start;
        for (start, chunk) in (first..).step_by(8).zip(self.counts[range].chunks_mut(8)) {
            if chunk.iter().fold(0, |any, count| any | count) == 0 {
                continue;
            }
            for (cell, count) in (start..).zip(chunk) {
                if *count != 0 {
                    let (lowest, highest) = (lowest_of(cell), highest_of(cell));
                    cells.push(Cell { lowest, highest, count: std::mem::take(count) });
                }
            }
        }
        self.count = 0;
        self.sum_ns = 0;
        self.min_ns = u64::MAX;
        self.max_ns = 0;
    }

    /// The cells that are not empty, from the least: (lowest value, highest value, count).
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        self.cells().map(|(cell, count)| (lowest_of(cell), highest_of(cell), count))
    }

    /// The cells that are not empty, with their counts.
    fn cells(&self) -> impl Iterator<Item = (usize, u64)> {
        let range = self.touched();
        (range.start + self.first..)
            .zip(&self.counts[range])
            .filter_map(|(cell, &count)| (count != 0).then_some((cell, count)))
    }

    /// The places in `counts` from the least value's to the greatest's.
    fn touched(&self) -> std::ops::Range<usize> {
        if self.is_empty() {
            return 0..0;
        }
        cell_of(self.min_ns) - self.first..cell_of(self.max_ns) - self.first + 1
    }

    /// The count of a cell, with memory for it.
    #[cold]
    fn grow(&mut self, cell: usize) -> &mut u64 {
        let start = cell / BLOCK * BLOCK;
        if self.counts.is_empty() {
            self.first = start;
        }
        if start < self.first {
            let more = self.first - start;
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.first = start;
        }
        if self.counts.len() < start + BLOCK - self.first {
            self.counts.resize(start + BLOCK - self.first, 0);
        }
        &mut self.counts[cell - self.first]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::stream::Stream;

    #[test]
    fn cells_tile_the_integers() {
        let last = cell_of(u64::MAX);
        assert_eq!((lowest_of(0), highest_of(last)), (0, u64::MAX));
        for cell in 0..last {
            assert_eq!(highest_of(cell) + 1, lowest_of(cell + 1));
            assert_eq!((cell_of(lowest_of(cell)), cell_of(highest_of(cell))), (cell, cell));
        }
    }

    #[test]
    fn sums_are_exact_and_empty_ones_are_zero() {
        let mut histogram = Histogram::new();
        assert_eq!((histogram.quantile(0.5), histogram.min_ns()), (None, 0));
        histogram.record(1_000_001);
        histogram.record_n(3_000_000, 3);
        histogram.record_n(9, 0);
        assert_eq!((histogram.count(), histogram.sum_ns()), (4, 10_000_001));
        assert_eq!((histogram.min_ns(), histogram.max_ns()), (1_000_001, 3_000_000));
        assert!((histogram.mean_ns() - 2_500_000.25).abs() < 1e-9);
    }

    #[test]
    fn merged_histograms_count_as_one() {
        let mut stream = Stream::new(1, "histogram", "merge");
        let [mut one, mut two, mut both] = [Histogram::new(), Histogram::new(), Histogram::new()];
        for n in 0..1_000 {
            let value = stream.next_u64() >> (stream.next_u64() % 50);
            let part = if n % 3 == 0 { &mut one } else { &mut two };
            part.record(value);
            both.record(value);
        }
        one.merge(&two);
        one.merge(&Histogram::new());
        assert!(one.iter().eq(both.iter()));
        assert_eq!((one.count(), one.sum_ns()), (both.count(), both.sum_ns()));
        assert_eq!((one.min_ns(), one.max_ns()), (both.min_ns(), both.max_ns()));
    }

    #[test]
    fn a_drained_histogram_is_as_good_as_new() {
        let mut histogram = Histogram::new();
        for value in [5, 70_000, 1_000_000] {
            histogram.record(value);
        }
        let mut cells = Vec::new();
        histogram.drain(&mut cells);
        assert_eq!(cells.iter().map(|cell| cell.count).sum::<u64>(), 3);
        assert!(cells.is_sorted_by_key(|cell| cell.lowest) && cells[0].lowest == 5);
        assert_eq!(quantile_of(&cells, 0.0), Some(5));
        assert!(histogram.is_empty() && histogram.counts.iter().all(|&count| count == 0));
        histogram.record(42);
        assert_eq!(histogram.iter().collect::<Vec<_>>(), [(42, 42, 1)]);
        assert_eq!((histogram.min_ns(), histogram.max_ns()), (42, 42));
    }

    #[test]
    fn memory_follows_the_range_of_the_values() {
        let mut histogram = Histogram::new();
        for value in (1_000_000..2_000_000).step_by(997) {
            histogram.record(value);
        }
        assert!(histogram.counts.len() <= 1_024 + 2 * BLOCK, "{}", histogram.counts.len());
    }

    #[cfg(feature = "native")]
    #[test]
    fn quantiles_are_those_of_the_hdrhistogram_crate() {
        let mut stream = Stream::new(2, "histogram", "hdr");
        for round in [0, 4, 12, 19] {
            let mut ours = Histogram::new();
            let mut theirs = hdrhistogram::Histogram::<u64>::new(3).expect("3 digits are valid");
            for _ in 0..500 {
                let value = stream.next_u64() >> (4 + stream.next_u64() % (20 + round));
                let n = stream.next_u64() % 3;
                ours.record_n(value, n);
                theirs.record_n(value, n).expect("it resizes");
            }
            assert_eq!(ours.count(), theirs.len());
            for permille in (0..=1_000).step_by(7).chain([999, 1_000]) {
                let q = f64::from(permille) / 1_000.0;
                assert_eq!(ours.quantile(q), Some(theirs.value_at_quantile(q)), "q = {q}");
            }
            let cells: Vec<_> = theirs
                .iter_recorded()
                .map(|cell| (cell.value_iterated_to(), cell.count_at_value()))
                .collect();
            assert!(ours.iter().map(|(_, highest, count)| (highest, count)).eq(cells));
        }
    }
}
