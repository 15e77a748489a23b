//! How old a stream to istiod gets, without an event for each that ends of age.
//!
//! The server ends a connection at an age that is drawn once for each, and closes what is still
//! open on it a grace later; its proxy opens another after its back-off. While every replica serves
//! the same to everybody, it makes no difference when that happens: the ages are *parked*, and
//! [`Age::skip_to`] finds which stream a proxy has when it does.
//!
//! ```text
//! opened ─── U[0.9, 1.1) · age ─── grace ─── ended ── U[0, 0.5 s) ── opened ───
//! ```
//!
//! What is exact: fewer than 600 renewals, two weeks of half hours; those come to the instant that
//! stepping with the same draws would. Longer times are leapt over by the
//! [residual law](super::super::identity::residual).
//!
//! Source: grpc-go `internal/transport/http2_server.go` (`getJitter`: ±10 %, once a connection;
//! `MaxConnectionAgeGrace`); istio charts/istio-discovery values.yaml (30 m). That a parked proxy
//! is never between two streams: for a quarter of a second in half an hour.
//! Left out: the way of the packets, while ages are parked.

use crate::kernel::stream::uniform;
use crate::kernel::time::{Duration, Time};
use crate::model::identity::residual::{Cycle, Gap, Residual};

/// The law of ages.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AgeLaw {
    /// The shortest and the longest life, the grace included.
    life: Gap,
    /// Between two streams.
    between: Gap,
    cycle: Cycle,
}

/// When a proxy's stream ends of age.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Age {
    ends: Time,
    /// Draws used.
    draws: u32,
}

impl AgeLaw {
    /// Of ages within `jitter` of `age` and a grace, with a first back-off of up to `back_off`;
    /// none if ages have no limit.
    pub fn new(age: Duration, jitter: f64, grace: Duration, back_off: Duration) -> Option<Self> {
        if age.is_zero() {
            return None;
        }
        let low = age.scale(1.0 - jitter) + grace;
        let life = Gap { low, high: (age.scale(1.0 + jitter) + grace).max(low) };
        let between = Gap { low: Duration::ZERO, high: back_off };
        let cycle = Cycle::new([between, life].into_iter())?;
        Some(Self { life, between, cycle })
    }

    /// No stream gets older.
    pub fn longest(&self) -> Duration {
        self.life.high
    }

    /// The mean age at which one ends, in seconds.
    pub fn mean_s(&self) -> f64 {
        f64::midpoint(self.life.low.as_s(), self.life.high.as_s())
    }

    /// No stream that is left alone ends sooner.
    pub fn shortest(&self) -> Duration {
        self.life.low
    }
}

impl Age {
    /// Of a stream that is opened now; the owner's draws go on. `draw` gives the owner's n-th
    /// random number.
    pub fn open(&mut self, now: Time, law: &AgeLaw, draw: impl Fn(u32) -> u64) {
        self.ends = now.saturating_add(law.life.at(self.drawn(draw)));
    }

    /// Of nobody yet.
    pub const fn none() -> Self {
        Self { ends: Time::ZERO, draws: 0 }
    }

    /// Of a stream that was opened some time before the run: long lives are met more often, and at
    /// any point.
    pub fn long_ago(law: &AgeLaw, draw: impl Fn(u32) -> u64) -> Self {
        let mut age = Self::none();
        let length = law.life.met(age.drawn(&draw));
        age.ends = Time::ZERO + length.scale(uniform(age.drawn(&draw)));
        age
    }

    /// It ends then.
    pub fn end_at(&mut self, at: Time) {
        self.ends = at;
    }

    /// When it ends.
    pub const fn ends(&self) -> Time {
        self.ends
    }

    /// On to the stream that the proxy has at `until`; how many it has opened meanwhile.
    pub fn skip_to(&mut self, until: Time, law: &AgeLaw, draw: impl Fn(u32) -> u64) -> u64 {
        self.skip(until, law, draw).0
    }

    /// When the stream was opened that the proxy will have at `until`; none if it is the one that it
    /// has, or came by a leap.
    pub fn opened_by(
        mut self,
        until: Time,
        law: &AgeLaw,
        draw: impl Fn(u32) -> u64,
    ) -> Option<Time> {
        self.skip(until, law, draw).1
    }

    fn skip(
        &mut self,
        until: Time,
        law: &AgeLaw,
        draw: impl Fn(u32) -> u64,
    ) -> (u64, Option<Time>) {
        let (mut opened, mut last) = (0, None);
        while self.ends <= until {
            let left = until.since(self.ends);
            if law.cycle.is_far(left) {
                let Residual { gap, left, cycles } = law.cycle.residual(left, || self.drawn(&draw));
                self.ends = until.saturating_add(left);
                if gap == 0 {
                    self.open(self.ends, law, &draw);
                }
                return (opened + cycles + 1, None);
            }
            let at = self.ends.saturating_add(law.between.at(self.drawn(&draw)));
            self.open(at, law, &draw);
            (opened, last) = (opened + 1, Some(at));
        }
        (opened, last)
    }

    fn drawn(&mut self, draw: impl Fn(u32) -> u64) -> u64 {
        let bits = draw(self.draws);
        self.draws += 1;
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::stream::Key;

    const MINUTE: Duration = Duration::from_s(60);

    fn law() -> AgeLaw {
        AgeLaw::new(MINUTE * 30, 0.1, Duration::from_s(10), Duration::from_ms(500)).expect("ages")
    }

    #[test]
    fn a_stream_lives_for_27_to_33_minutes_and_the_grace() {
        let law = law();
        assert_eq!(law.shortest(), MINUTE * 27 + Duration::from_s(10));
        assert_eq!(law.longest(), MINUTE * 33 + Duration::from_s(10));
        let mut sum = 0.0;
        for owner in 0..10_000 {
            let mut age = Age::none();
            age.open(Time::ZERO, &law, |n| Key(owner).draw(n, 0));
            assert!(law.shortest() <= age.ends().since(Time::ZERO));
            assert!(age.ends().since(Time::ZERO) < law.longest());
            sum += age.ends().as_s();
        }
        // U[1630, 1990): 1810 s, deviation 104 s.
        assert!((sum / 10_000.0 - 1_810.0).abs() < 4.0, "{}", sum / 10_000.0);
        assert!(AgeLaw::new(Duration::ZERO, 0.1, MINUTE, MINUTE).is_none());
    }

    #[test]
    fn parked_ages_come_to_the_stream_that_stepping_comes_to() {
        let law = law();
        for owner in 0..200 {
            let draw = |n| Key(owner).draw(n, 0);
            let (mut parked, mut stepped) = (Age::long_ago(&law, draw), Age::long_ago(&law, draw));
            let mut opened = 0;
            for minute in 1..=600 {
                opened += stepped.skip_to(Time::ZERO + MINUTE * minute, &law, draw);
            }
            assert_eq!(parked.skip_to(Time::ZERO + MINUTE * 600, &law, draw), opened);
            assert_eq!(parked, stepped);
        }
    }

    /// Mean and variance of what is left, and of how many streams there were: a leap of four weeks
    /// beside one that is stepped hour by hour.
    #[test]
    fn a_leap_over_weeks_has_the_law_of_its_steps() {
        let law = law();
        let end = Time::ZERO + MINUTE * 60 * 24 * 28;
        let owners = 4_000;
        let play = |step: Duration| {
            let mut rows: Vec<(f64, f64)> = Vec::new();
            for owner in 0..owners {
                let draw = |n| Key(owner).child(7).draw(n, 0);
                let (mut age, mut opened) = (Age::long_ago(&law, draw), 0);
                let mut at = Time::ZERO;
                while at < end {
                    at = (at + step).min(end);
                    opened += age.skip_to(at, &law, draw);
                }
                rows.push((age.ends().since(end).as_s(), opened as f64));
            }
            rows
        };
        let (leapt, stepped) = (play(MINUTE * 60 * 24 * 28), play(MINUTE * 60));
        let moments = |values: Vec<f64>| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let square = |value: &f64| (value - mean) * (value - mean);
            (mean, values.iter().map(square).sum::<f64>() / values.len() as f64)
        };
        for part in 0..2 {
            let of = |rows: &[(f64, f64)]| {
                moments(rows.iter().map(|row| if part == 0 { row.0 } else { row.1 }).collect())
            };
            let ((a, va), (b, vb)) = (of(&leapt), of(&stepped));
            let size = f64::from(u32::try_from(owners).expect("few"));
            let error = libm::sqrt((va + vb) / size);
            assert!((a - b).abs() < 4.0 * error, "means {a} and {b}, error {error}");
            assert!((va / vb - 1.0).abs() < 4.0 * libm::sqrt(4.0 / size), "variances {va}, {vb}");
        }
    }
}
