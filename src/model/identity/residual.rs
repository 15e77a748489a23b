//! The residual law: where a loop of random waits stands at a far instant, and how many turns it
//! has made by then, drawn at once instead of wait by wait.
//!
//! ```text
//! start                                              until
//!   |──cycle──|──cycle──| … M cycles … |──gap──|──gap──·──|     next try
//!                                      └──── age ─────┘└left┘
//! ```
//!
//! After many cycles the loop has forgotten where it began. The gap that covers `until` is then
//! one of the cycle's, chosen by length; its own length is size-biased; `until` lies anywhere in
//! it. Given the age of the cycle at `until`, so much time y is left for whole cycles, whose number
//! M has mean y/μ + c and variance c·y/μ + 2c², c = σ²/μ² of a cycle, plus terms that vanish; M is
//! drawn as a rounded normal. These hold where the third central moment of a cycle is zero, as that
//! of every sum of uniform waits is.
//!
//! Source: Cox, Renewal Theory (1962), 3.2 and 5.1; Smith, "Renewal theory and its ramifications"
//! (1958); the constants from the expansion of 1/(1 − f(s)) at s = 0, for a renewal at y itself.
//! Left out: the skewness of M, which falls as 1/√M; the correlation that is left between M and
//! the wait once the age is given.

use crate::kernel::stream::uniform;
use crate::kernel::time::Duration;

/// A loop forgets its start at the latest when the sum of its waits has a deviation of this many
/// (squared) cycles: the first harmonic of the start is then below e^(−2π²·2) = 10^−17.
const FORGOTTEN: f64 = 2.0;
/// Fewer cycles than this are replayed wait by wait: two hours of a stream's full jitter. So what
/// lasts minutes is exact, and the normal law of the count is used where it is good.
const REPLAYED: f64 = 512.0;
/// Longer cycles are replayed.
const GAPS_MAX: usize = 16;
/// What rounding to whole cycles adds to a variance.
const ROUNDING_VARIANCE: f64 = 1.0 / 12.0;

/// A wait: uniform on [low, high).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Gap {
    /// The shortest.
    pub low: Duration,
    /// The longest.
    pub high: Duration,
}

/// The waits between the tries of a loop, which come again and again.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cycle {
    gaps: [Gap; GAPS_MAX],
    count: usize,
    mean_ns: f64,
    variance_ns2: f64,
}

/// Where a loop stands at an instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Residual {
    /// The gap of the cycle that covers the instant.
    pub gap: usize,
    /// From the instant to the end of the gap.
    pub left: Duration,
    /// Whole cycles before the one that covers the instant.
    pub cycles: u64,
}

impl Gap {
    /// Always the same wait.
    pub const fn fixed(wait: Duration) -> Self {
        Self { low: wait, high: wait }
    }

    fn mean_ns(self) -> f64 {
        f64::midpoint(self.low.ns() as f64, self.high.ns() as f64)
    }

    fn width_ns(self) -> f64 {
        self.high.ns() as f64 - self.low.ns() as f64
    }

    fn sample_ns(self, draw: u64) -> f64 {
        self.low.ns() as f64 + self.width_ns() * uniform(draw)
    }

    /// A wait of this law.
    pub fn at(self, draw: u64) -> Duration {
        Duration::from_ns_f64(self.sample_ns(draw))
    }

    /// The wait that is met at a random instant: long ones are met more often.
    pub fn met(self, draw: u64) -> Duration {
        Duration::from_ns_f64(self.size_biased_ns(draw))
    }

    /// A length from the law in which long ones are met more often: density ∝ length.
    fn size_biased_ns(self, draw: u64) -> f64 {
        let (low, high) = (self.low.ns() as f64, self.high.ns() as f64);
        libm::sqrt(low * low + (high * high - low * low) * uniform(draw))
    }
}

impl Cycle {
    /// A cycle of these gaps, if they are few.
    pub fn new(gaps: impl ExactSizeIterator<Item = Gap>) -> Option<Self> {
        let count = gaps.len();
        if count == 0 || GAPS_MAX < count {
            return None;
        }
        let mut cycle =
            Self { gaps: [Gap::default(); GAPS_MAX], count, mean_ns: 0.0, variance_ns2: 0.0 };
        for (place, gap) in cycle.gaps.iter_mut().zip(gaps) {
            *place = gap;
            cycle.mean_ns += gap.mean_ns();
            cycle.variance_ns2 += gap.width_ns() * gap.width_ns() / 12.0;
        }
        Some(cycle)
    }

    /// How many gaps it has.
    #[expect(clippy::len_without_is_empty, reason = "at least one")]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Its mean length in nanoseconds.
    pub const fn mean_ns(&self) -> f64 {
        self.mean_ns
    }

    /// The wait, where there is no chance in it.
    pub fn fixed(&self) -> Option<Duration> {
        let [only] = &self.gaps[..self.count] else { return None };
        (only.low == only.high && !only.low.is_zero()).then_some(only.low)
    }

    /// Whether so long after the begin of a cycle the law is good.
    pub fn is_far(&self, elapsed: Duration) -> bool {
        let cycles = elapsed.ns() as f64 / self.mean_ns;
        let forgotten = FORGOTTEN * self.mean_ns * self.mean_ns;
        REPLAYED <= cycles && forgotten <= cycles * self.variance_ns2
    }

    /// Where the loop stands, `elapsed` after the begin of a cycle that was long ago.
    pub fn residual(&self, elapsed: Duration, mut draw: impl FnMut() -> u64) -> Residual {
        debug_assert!(self.is_far(elapsed), "a cycle that began {elapsed} ago is replayed");
        // A uniform point on the mean cycle chooses a gap by length, and the position in it.
        let mut point = uniform(draw()) * self.mean_ns;
        let mut gap = 0;
        while gap + 1 < self.count && self.gaps[gap].mean_ns() <= point {
            point -= self.gaps[gap].mean_ns();
            gap += 1;
        }
        let position = (point / self.gaps[gap].mean_ns()).clamp(0.0, 1.0);
        let length = self.gaps[gap].size_biased_ns(draw());
        let before: f64 = self.gaps[..gap].iter().map(|gap| gap.sample_ns(draw())).sum();
        let whole = elapsed.ns() as f64 - before - position * length;
        let scv = self.variance_ns2 / (self.mean_ns * self.mean_ns);
        let ratio = whole / self.mean_ns;
        let variance = scv * ratio + 2.0 * scv * scv - ROUNDING_VARIANCE;
        let cycles = ratio + scv + libm::sqrt(variance.max(0.0)) * normal(draw(), draw());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2^60")]
        let cycles = libm::round(cycles).max(0.0) as u64;
        Residual { gap, left: Duration::from_ns_f64((1.0 - position) * length), cycles }
    }
}

/// A standard normal number (Box and Muller 1958).
fn normal(radius: u64, angle: u64) -> f64 {
    let radius = libm::sqrt(-2.0 * libm::log(1.0 - uniform(radius)));
    radius * libm::cos(std::f64::consts::TAU * uniform(angle))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::stream::Key;

    const S: Duration = Duration::from_s(1);

    #[test]
    fn the_law_is_used_only_where_the_start_is_forgotten() {
        let jittered = |low, high| Cycle::new([Gap { low, high }].into_iter()).expect("few gaps");
        let wide = jittered(Duration::ZERO, S * 30);
        assert!(!wide.is_far(S * 15 * 511) && wide.is_far(S * 15 * 512));
        // ±1 %: c = 0.02² / 12, so 60,000 cycles.
        let narrow = jittered(Duration::from_ms(990), Duration::from_ms(1010));
        assert!(!narrow.is_far(S * 59_000) && narrow.is_far(S * 61_000));
        let fixed = Cycle::new([Gap::fixed(S)].into_iter()).expect("few gaps");
        assert!(!fixed.is_far(S * 1_000_000));
        assert_eq!((fixed.fixed(), wide.fixed()), (Some(S), None));
        assert!(Cycle::new([Gap::fixed(S); GAPS_MAX + 1].into_iter()).is_none());
    }

    #[test]
    fn the_number_of_cycles_has_the_mean_and_the_variance_of_renewal_theory() {
        // Renewals in (0, t] from a renewal at 0: mean t/μ + (c − 1)/2, and for symmetric waits
        // variance c·t/μ + 1/12 + 5c²/4 (Cox 1962, 4.2 and 4.5).
        let cycle = Cycle::new([Gap { low: S, high: S * 9 }].into_iter()).expect("few gaps");
        let elapsed = S * 5 * 600;
        let scv = (64.0 / 12.0) / 25.0;
        let counts: Vec<f64> = (0..200_000)
            .map(|owner| {
                let mut n = 0;
                let draw = || {
                    n += 1;
                    Key(owner).draw(n, 0)
                };
                cycle.residual(elapsed, draw).cycles as f64
            })
            .collect();
        let size = counts.len() as f64;
        let mean = counts.iter().sum::<f64>() / size;
        let variance = counts.iter().map(|n| (n - mean) * (n - mean)).sum::<f64>() / size;
        let mean_expected = 600.0 + (scv - 1.0) / 2.0;
        let variance_expected = scv * 600.0 + 1.0 / 12.0 + 5.0 * scv * scv / 4.0;
        assert!((mean - mean_expected).abs() < 4.0 * libm::sqrt(variance / size), "{mean}");
        let error = variance * libm::sqrt(2.0 / size);
        assert!((variance - variance_expected).abs() < 4.0 * error, "{variance}");
    }
}
