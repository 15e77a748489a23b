//! Samplers: 64 random bits to a time, by a table of the distribution's quantile function.
//!
//! The bits are a number u in [0, 1), and the time is the quantile of u, so a greater draw never
//! gives a shorter time. The table is finer towards both tails: below 1/2 its octaves are those of
//! u, above those of 1 − u, 40 a side, each cut into 64 equal cells, linear inside.
//!
//! ```text
//! u   0 .. 1/16   1/8     1/4           1/2           3/4     7/8   15/16 .. 1
//!     ····|·······|·······|·············|·············|·······|·······|····
//! ```
//!
//! A chord of a convex curve lies above it: each edge is moved against the bend by a twelfth of
//! the second difference, which keeps the mean of each cell. What lies beyond the last octave (one
//! draw in 2^41 each side) takes the last edge's value; where that is more than 1 / 50,000 of the
//! mean, for the heaviest tails, the edge is raised to the tail's own mean, as far as the longest time of
//! a run allows. Edges are integers
//! with as many binary places below the nanosecond as fit, so that a draw is the same on every
//! machine and costs a shift, a load and a multiplication.
//!
//! Source: Hörmann, Leydold & Derflinger, "Automatic Nonuniform Random Variate Generation" (2004),
//! chapter 7, for the inversion of tabled functions.
//! Left out: what no run reaches. Single quantiles of strongly bent shapes (a sigma above 3, a
//! Weibull shape below 0.3) are off by up to 0.2 %; times end at [`Duration::MAX`], so a sigma of 5
//! or more, whose mean is made of millennia, falls short of it; variance beyond one draw in 2^41
//! (a sigma of 2, a Pareto shape of 3) is missing.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use super::distribution::Distribution;
use super::quantile;
use super::stream::below;
use super::time::Duration;
use std::sync::Arc;

/// Octaves a side.
const OCTAVES: usize = 40;
/// log2 of the cells of an octave.
const CELL_BITS: u32 = 6;
const CELLS: usize = 1 << CELL_BITS;
/// Cells a side.
const SIDE: usize = OCTAVES * CELLS;
/// The least draw that the table tells from its neighbours: the start of the last octave.
const DRAW_MIN: u64 = 1 << (63 - OCTAVES);
/// Of the mean: what may be missing in the tails before the last edge is raised.
const MEAN_TOLERANCE: f64 = 2e-5;

/// Turns draws into times. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sampler(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Constant(Duration),
    Uniform { low: u64, count: u64 },
    Table { cells: Arc<[Cell; 2 * SIDE]>, shift: u32 },
    Empirical { sorted: Arc<[Duration]> },
}

/// The value at the cell's lower end, and what it gains up to the other, both in 2^−shift ns; the
/// half that rounds is in it.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    low: u64,
    gain: u64,
}

impl Sampler {
    /// The sampler of a distribution that has passed its check.
    pub(super) fn new(distribution: &Distribution) -> Self {
        if let Err(problem) = distribution.check() {
            panic!("a sampler was asked of an unchecked distribution: {problem}");
        }
        if let Some(value) = distribution.is_constant() {
            return Self(Kind::Constant(value));
        }
        Self(match distribution {
            Distribution::Uniform { low, high } => {
                Kind::Uniform { low: low.ns(), count: high.ns() - low.ns() + 1 }
            }
            Distribution::Empirical { values } => {
                let mut sorted = values.clone();
                sorted.sort_unstable();
                Kind::Empirical { sorted: sorted.into() }
            }
            smooth => {
                let edges = Edges::of(smooth);
                let shift = edges.shift();
                Kind::Table { cells: edges.cells(shift), shift }
            }
        })
    }

    /// Bytes of its table, which its clones share.
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Kind::Constant(_) | Kind::Uniform { .. } => 0,
            Kind::Table { cells, .. } => size_of_val(&**cells),
            Kind::Empirical { sorted } => size_of_val(&**sorted),
        }
    }

    /// The time for a draw; greater draws give no shorter times.
    #[inline(always)]
    pub fn sample(&self, draw: u64) -> Duration {
        match &self.0 {
            Kind::Constant(value) => *value,
            Kind::Uniform { low, count } => Duration::from_ns(low + high_product(*count, draw)),
            Kind::Table { cells, shift } => {
                // All ones above 1/2: there `tail` counts from the other end.
                let side = 0_u64.wrapping_sub(draw >> 63);
                let tail = (draw ^ side).max(DRAW_MIN);
                let octave = tail.leading_zeros();
                // The leading one and the six bits below it, then the bits below those.
                let cell = tail >> (63 - CELL_BITS - octave);
                let share = (tail ^ side) << (octave + CELL_BITS + 1);
                let index = place(octave as usize, cell, side);
                let Cell { low, gain } = cells[index];
                Duration::from_ns((low + high_product(gain, share)) >> shift)
            }
            Kind::Empirical { sorted } => sorted[below(draw, sorted.len())],
        }
    }
}

/// Where a cell stands: octaves from the middle out, the lower side first. `cell` is 64 to 127.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "below 128")]
fn place(octave: usize, cell: u64, side: u64) -> usize {
    (octave << CELL_BITS) + cell as usize - 2 * CELLS + (side as usize & SIDE)
}

#[inline]
fn high_product(one: u64, two: u64) -> u64 {
    ((u128::from(one) * u128::from(two)) >> 64) as u64
}

/// The quantile function at the edges of the cells, in ns, from the middle outwards.
struct Edges {
    lower: Vec<f64>,
    upper: Vec<f64>,
}

/// The distance from its end of [0, 1] of a side's `edge`-th edge.
fn tail_at(edge: usize) -> f64 {
    let octave = edge.div_ceil(CELLS);
    let down = (octave * CELLS - edge) as f64 / CELLS as f64;
    libm::ldexp(1.0, -1 - i32::try_from(octave).expect("at most 40")) * (1.0 + down)
}

/// The least and the greatest edge of a side that bound a cell.
fn edges_of(octave: usize, cell: usize) -> (usize, usize) {
    let far = octave * CELLS - cell;
    (far, far - 1)
}

impl Edges {
    fn of(distribution: &Distribution) -> Self {
        let tails: Vec<f64> = (0..=SIDE).map(tail_at).collect();
        let (lower, upper) = quantile::both_sides(distribution, &tails);
        let mut edges = Self { lower, upper };
        edges.straighten(&tails);
        edges.cap();
        let mean = distribution.mean_ns();
        let missing = mean - edges.mean(&tails);
        if MEAN_TOLERANCE * mean < missing {
            // The last edge stands for the draws beyond it and for half of the cell before it.
            let weight = tails[SIDE] + (tails[SIDE - 1] - tails[SIDE]) / 2.0;
            edges.upper[SIDE] += missing / weight;
            edges.cap();
        }
        edges
    }

    /// Moves each edge against the bend of the curve, and keeps their order.
    fn straighten(&mut self, tails: &[f64]) {
        for side in [&mut self.lower, &mut self.upper] {
            let exact = side.clone();
            for edge in 1..SIDE {
                let before = tails[edge - 1] - tails[edge];
                let after = tails[edge] - tails[edge + 1];
                let slope_before = (exact[edge - 1] - exact[edge]) / before;
                let slope_after = (exact[edge] - exact[edge + 1]) / after;
                let bend = (slope_before - slope_after) / f64::midpoint(before, after);
                let moved = exact[edge] - bend * (before * before + after * after) / 24.0;
                let (low, high) = if exact[edge + 1] < exact[edge - 1] {
                    (exact[edge + 1], exact[edge - 1])
                } else {
                    (exact[edge - 1], exact[edge + 1])
                };
                side[edge] = moved.clamp(low, high);
            }
            for edge in 1..=SIDE {
                let rises = exact[0] < exact[SIDE];
                let before = side[edge - 1];
                side[edge] = if rises { side[edge].max(before) } else { side[edge].min(before) };
            }
        }
    }

    /// No time is longer than [`Duration::MAX`].
    fn cap(&mut self) {
        for edge in self.lower.iter_mut().chain(&mut self.upper) {
            *edge = edge.clamp(0.0, libm::ldexp(1.0, 60).next_down());
        }
    }

    /// The mean of what the table samples.
    fn mean(&self, tails: &[f64]) -> f64 {
        let ends = tails[SIDE] * (self.lower[SIDE] + self.upper[SIDE]);
        let cell = |edge: usize| {
            let around = self.lower[edge] + self.lower[edge + 1];
            let around = around + self.upper[edge] + self.upper[edge + 1];
            (tails[edge] - tails[edge + 1]) * around / 2.0
        };
        // The small ones first.
        (0..SIDE).rev().map(cell).fold(ends, |sum, part| sum + part)
    }

    /// Binary places below the nanosecond: all that leave the greatest edge below 2^63.
    fn shift(&self) -> u32 {
        let mut shift = 0;
        let mut greatest = self.upper[SIDE] + 1.0;
        while shift < 40 && greatest < libm::ldexp(1.0, 62) {
            greatest *= 2.0;
            shift += 1;
        }
        shift
    }

    fn cells(&self, shift: u32) -> Arc<[Cell; 2 * SIDE]> {
        let scale = (1_u64 << shift) as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in [0, 2^63]")]
        let fixed = |value: f64| ((value + 0.5) * scale) as u64;
        let mut cells = vec![Cell::default(); 2 * SIDE];
        for octave in 1..=OCTAVES {
            for cell in 0..CELLS {
                let (far, near) = edges_of(octave, cell);
                let at = |side| place(octave, (CELLS + cell) as u64, side);
                let (low, high) = (fixed(self.lower[far]), fixed(self.lower[near]));
                cells[at(0)] = Cell { low, gain: high - low };
                let (low, high) = (fixed(self.upper[near]), fixed(self.upper[far]));
                cells[at(u64::MAX)] = Cell { low, gain: high - low };
            }
        }
        let cells: Box<[Cell; 2 * SIDE]> = cells.try_into().expect("it has this length");
        cells.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::stream::draw_at;

    fn ms(ms: u64) -> Duration {
        Duration::from_ms(ms)
    }

    /// Shapes that scenarios use.
    fn smooth() -> Vec<Distribution> {
        let erlang = |stages| Distribution::Erlang { stages, mean: ms(2) };
        let lognormal = |sigma| Distribution::Lognormal { median: ms(2), sigma };
        let pareto = |shape| Distribution::Pareto { scale: ms(2), shape };
        let weibull = |shape| Distribution::Weibull { scale: ms(2), shape };
        vec![
            Distribution::Exponential { mean: ms(2) },
            erlang(1),
            erlang(2),
            erlang(20),
            erlang(1_000),
            lognormal(0.01),
            lognormal(0.5),
            lognormal(1.0),
            lognormal(1.5),
            lognormal(2.0),
            pareto(1.5),
            pareto(2.5),
            pareto(4.0),
            pareto(100.0),
            weibull(0.5),
            weibull(0.7),
            weibull(1.0),
            weibull(3.0),
            weibull(50.0),
            Distribution::Hyperexponential { branches: vec![(0.9, ms(1)), (0.1, ms(30))] },
        ]
    }

    /// Mean and scv of the table, integrated exactly.
    fn moments(sampler: &Sampler) -> (f64, f64) {
        let Kind::Table { cells, shift } = &sampler.0 else { panic!("no table") };
        let scale = libm::ldexp(1.0, -i32::try_from(*shift).expect("small"));
        let (mut first, mut second) = (0.0, 0.0);
        for octave in (1..=OCTAVES).rev() {
            for cell in 0..CELLS {
                for side in [0, u64::MAX] {
                    let (far, near) = edges_of(octave, cell);
                    let weight = tail_at(near) - tail_at(far);
                    let Cell { low, gain } = cells[place(octave, (CELLS + cell) as u64, side)];
                    let (low, gain) = (low as f64 * scale - 0.5, gain as f64 * scale);
                    first += weight * (low + gain / 2.0);
                    second += weight * (low * low + low * gain + gain * gain / 3.0);
                }
            }
        }
        for draw in [0, u64::MAX] {
            let end = sampler.sample(draw).ns() as f64;
            first += tail_at(SIDE) * end;
            second += tail_at(SIDE) * end * end;
        }
        (first, second / (first * first) - 1.0)
    }

    #[test]
    fn a_table_keeps_the_mean_and_the_variability() {
        for distribution in smooth() {
            let (mean, scv) = moments(&distribution.sampler());
            let error = mean / distribution.mean_ns() - 1.0;
            assert!(error.abs() < 2e-5, "{distribution:?}: {error}");
            // These have a part of their variance in less than one draw in 2^41.
            let is_wild = match distribution {
                Distribution::Pareto { shape, .. } => shape <= 3.0,
                Distribution::Lognormal { sigma, .. } => 1.5 < sigma,
                _ => false,
            };
            if !is_wild {
                let error = scv / distribution.scv() - 1.0;
                assert!(error.abs() < 1e-4, "{distribution:?}: scv {error}");
            }
        }
    }

    #[test]
    fn extreme_shapes_keep_their_mean() {
        for distribution in [
            Distribution::Lognormal { median: ms(2), sigma: 3.0 },
            Distribution::Lognormal { median: Duration::from_us(1), sigma: 4.0 },
            Distribution::Weibull { scale: ms(2), shape: 0.3 },
            Distribution::Weibull { scale: Duration::from_us(2), shape: 0.1 },
            Distribution::Pareto { scale: Duration::from_us(1), shape: 1.1 },
            Distribution::Hyperexponential {
                branches: vec![(0.999, Duration::from_us(1)), (0.001, Duration::from_s(10))],
            },
        ] {
            let error = moments(&distribution.sampler()).0 / distribution.mean_ns() - 1.0;
            assert!(error.abs() < 1e-4, "{distribution:?}: {error}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_distribution() {
        let tails = [0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.03, 0.01, 0.001, 0.0001];
        for distribution in smooth() {
            let sampler = distribution.sampler();
            let (lower, upper) = quantile::both_sides(&distribution, &tails);
            for (index, tail) in tails.iter().enumerate() {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "< 2^63"
                )]
                let draw = (tail * libm::ldexp(1.0, 64)) as u64;
                for (draw, exact) in [(draw, lower[index]), (!draw, upper[index])] {
                    let error = sampler.sample(draw).ns() as f64 - exact;
                    let allowed = 0.5 + 1e-4 * exact;
                    assert!(error.abs() <= allowed, "{distribution:?} {tail}: {error} of {exact}");
                }
            }
        }
    }

    #[test]
    fn a_greater_draw_is_no_shorter_time() {
        let mut all = smooth();
        all.push(Distribution::Uniform { low: ms(1), high: ms(3) });
        all.push(Distribution::Empirical { values: vec![ms(3), ms(1), ms(2)] });
        all.push(Distribution::Lognormal { median: ms(1), sigma: 10.0 });
        all.push(Distribution::Weibull { scale: ms(1), shape: 0.1 });
        let mut draws: Vec<u64> = (0..20_000).map(|n| draw_at(1, "monotone", 0, n)).collect();
        draws.extend(
            (0..64).flat_map(|bit| [1 << bit, (1 << bit) - 1, !(1 << bit), u64::MAX >> bit]),
        );
        draws
            .extend((1..2_000).map(|n: u64| n << 55).flat_map(|draw| [draw, draw.wrapping_sub(1)]));
        draws.sort_unstable();
        for distribution in all {
            let sampler = distribution.sampler();
            let mut last = Duration::ZERO;
            for &draw in &draws {
                let time = sampler.sample(draw);
                assert!(last <= time && time <= Duration::MAX, "{distribution:?} at {draw:x}");
                last = time;
            }
        }
    }

    #[test]
    fn families_without_a_table_are_exact() {
        let uniform = Distribution::Uniform { low: ms(1), high: ms(3) }.sampler();
        assert_eq!((uniform.sample(0), uniform.sample(u64::MAX)), (ms(1), ms(3)));
        assert_eq!(Distribution::Constant(ms(7)).sampler().sample(99), ms(7));
        let listed = Distribution::Empirical { values: vec![ms(3), ms(1), ms(2)] }.sampler();
        let thirds = [0, 1, 2].map(|third| listed.sample(third * (u64::MAX / 3) + 9));
        assert_eq!(thirds, [ms(1), ms(2), ms(3)]);
    }

    #[test]
    fn a_table_never_changes() {
        // Every golden digest rests on these times.
        let sampler = Distribution::Lognormal { median: ms(2), sigma: 1.0 }.sampler();
        let times = [1, 1 << 40, 1 << 62, 1 << 63, u64::MAX / 10 * 9, u64::MAX - 9];
        assert_eq!(
            times.map(|draw| sampler.sample(draw).ns()),
            [1_580, 10_036, 1_018_830, 2_000_000, 7_204_468, 2_531_833_945]
        );
    }

    #[test]
    #[should_panic(expected = "the list of values is empty")]
    fn an_unchecked_distribution_has_no_sampler() {
        let _ = Distribution::Empirical { values: vec![] }.sampler();
    }
}
