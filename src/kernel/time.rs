//! Simulated time: whole nanoseconds since the start of a run.
//!
//! Two types, so that an instant and a length of time are never mixed. Arithmetic is checked in
//! every build: an overflow is a bug of ours, never a silent wrap.
//!
//! Source: ARCHITECTURE.md: integers order exactly and add without error; 60 bits of ns are
//! 36 years, enough for a root certificate of ten.
//! Left out: clock skew between nodes (a property of the model, not of the kernel).

use std::fmt;
use std::ops::{Add, AddAssign, Mul, Sub};

/// An instant: nanoseconds since the start of the run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

/// A length of time in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(u64);

/// Nanoseconds in a second.
pub const NS_PER_S: u64 = 1_000_000_000;

impl Time {
    /// The start of a run.
    pub const ZERO: Self = Self(0);
    /// The last instant that the queue can hold: 2^60 − 1 ns, about 36.5 years.
    pub const MAX: Self = Self((1 << 60) - 1);

    /// The instant `ns` nanoseconds after the start.
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since the start.
    pub const fn ns(self) -> u64 {
        self.0
    }

    /// Seconds since the start, for print and plots.
    pub fn as_s(self) -> f64 {
        self.0 as f64 / NS_PER_S as f64
    }

    /// The time from `earlier` to `self`. A negative result is a bug and panics.
    pub fn since(self, earlier: Self) -> Duration {
        Duration(self.0.checked_sub(earlier.0).expect("time went backwards"))
    }

    /// The time from `earlier` to `self`, zero where `self` comes first.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }

    /// `self − length`, not before the start.
    #[must_use]
    pub const fn saturating_sub(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(length.0))
    }

    /// `self + length`, at most [`Time::MAX`]: for things that may lie beyond every run.
    #[must_use]
    pub fn saturating_add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(length.0)).min(Self::MAX)
    }
}

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// Longer than every run.
    pub const MAX: Self = Self((1 << 60) - 1);

    /// `ns` nanoseconds.
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// `us` microseconds.
    pub const fn from_us(us: u64) -> Self {
        Self(us * 1_000)
    }

    /// `ms` milliseconds.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }

    /// `s` whole seconds.
    pub const fn from_s(s: u64) -> Self {
        Self(s * NS_PER_S)
    }

    /// `ns` nanoseconds rounded to the nearest whole one; negative and NaN become zero, more than
    /// [`Duration::MAX`] becomes that.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    pub fn from_ns_f64(ns: f64) -> Self {
        // The cast saturates and turns NaN into zero; 2^60 − 1 itself is not a float, hence `min`.
        Self(((ns + 0.5) as u64).min(Self::MAX.0))
    }

    /// `s` seconds rounded to the nearest nanosecond, clamped like [`Duration::from_ns_f64`].
    pub fn from_s_f64(s: f64) -> Self {
        Self::from_ns_f64(s * NS_PER_S as f64)
    }

    /// Nanoseconds.
    pub const fn ns(self) -> u64 {
        self.0
    }

    /// Seconds, for print and plots.
    pub fn as_s(self) -> f64 {
        self.0 as f64 / NS_PER_S as f64
    }

    /// Milliseconds, for print and plots.
    pub fn as_ms(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Whether this is no time at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// `self − other`, at least zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// `self` times a factor of at least 0, rounded to the nearest nanosecond.
    #[must_use]
    pub fn scale(self, factor: f64) -> Self {
        Self::from_ns_f64(self.0 as f64 * factor)
    }
}

impl Add<Duration> for Time {
    type Output = Self;
    fn add(self, length: Duration) -> Self {
        Self(self.0.checked_add(length.0).expect("time overflow"))
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, length: Duration) {
        *self = *self + length;
    }
}

impl Add for Duration {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.checked_add(other.0).expect("duration overflow"))
    }
}

impl AddAssign for Duration {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Duration {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.checked_sub(other.0).expect("negative duration"))
    }
}

impl Mul<u64> for Duration {
    type Output = Self;
    fn mul(self, times: u64) -> Self {
        Self(self.0.checked_mul(times).expect("duration overflow"))
    }
}

impl fmt::Display for Duration {
    /// Exact, without the units that are zero: `250us`, `1m30s`, `36h`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 7] = [
            (86_400 * NS_PER_S, "d"),
            (3_600 * NS_PER_S, "h"),
            (60 * NS_PER_S, "m"),
            (NS_PER_S, "s"),
            (1_000_000, "ms"),
            (1_000, "us"),
            (1, "ns"),
        ];
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (size, unit) in UNITS {
            // Hours stay hours up to four days: an outage is "36h", not "1d12h".
            if unit == "d" && rest < 4 * size && !rest.is_multiple_of(size) {
                continue;
            }
            let count = rest / size;
            if count != 0 {
                write!(f, "{count}{unit}")?;
                rest -= count * size;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Duration(self.0), f)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t+{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_print_in_the_units_that_people_type() {
        for (ns, text) in [
            (0, "0s"),
            (250_000, "250us"),
            (90 * NS_PER_S, "1m30s"),
            (36 * 3_600 * NS_PER_S, "36h"),
            (10 * 86_400 * NS_PER_S, "10d"),
            (1_500_000_000, "1s500ms"),
        ] {
            assert_eq!(Duration::from_ns(ns).to_string(), text);
        }
    }

    #[test]
    #[should_panic(expected = "time went backwards")]
    fn a_negative_span_is_a_bug() {
        let _ = Time::ZERO.since(Time::from_ns(1));
    }

    #[test]
    fn rounding_clamps_nonsense() {
        assert_eq!(Duration::from_ns_f64(f64::NAN), Duration::ZERO);
        assert_eq!(Duration::from_ns_f64(-1.0), Duration::ZERO);
        assert_eq!(Duration::from_ns_f64(f64::INFINITY), Duration::MAX);
        assert_eq!(Duration::from_ns_f64(1.5), Duration::from_ns(2));
    }
}
