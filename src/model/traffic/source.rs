//! The gaps of an open loop whose rate may change in time.
//!
//! Requests come when the integral of the rate has grown by a unit: by exactly 1 for a constant
//! process, by an exponential of mean 1 for a Poisson process (time rescaling). Steps and ramps
//! are integrated exactly, so a Poisson process stays one at every rate.
//!
//! Source: Brown et al. 2002 (time-rescaling theorem); Lewis & Shedler 1979 for what it replaces.
//! Left out: bursts (a hyperexponential gap is not a rate).

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use crate::kernel::distribution::Distribution;
use crate::kernel::sampler::Sampler;
use crate::kernel::time::{Duration, NS_PER_S, Time};
use crate::plan::traffic::{ArrivalProcess, RatePoint};

/// Rate over time.
#[derive(Clone, Debug)]
pub struct RateProfile {
    points: Vec<RatePoint>,
    /// The piece that the last answer lay in: the next question is seldom about another.
    piece: usize,
}

impl RateProfile {
    /// A profile through these points.
    pub fn new(points: &[RatePoint]) -> Self {
        Self { points: points.to_vec(), piece: 0 }
    }

    /// The rate at the begin of `piece`, its slope per second, and its end.
    #[inline]
    fn line(&self, piece: usize) -> (f64, f64, Option<Time>) {
        let point = &self.points[piece];
        let Some(next) = self.points.get(piece + 1) else { return (point.per_s, 0.0, None) };
        let length = next.from.since(point.from).as_s();
        let slope =
            if point.ramp && 0.0 < length { (next.per_s - point.per_s) / length } else { 0.0 };
        (point.per_s, slope, Some(next.from))
    }

    /// The integral of the rate from `from` to `to`, in requests.
    pub fn units(&self, from: Time, to: Time) -> f64 {
        let mut sum = 0.0;
        for piece in 0..self.points.len() {
            let (rate, slope, end) = self.line(piece);
            let begin = self.points[piece].from;
            let (a, b) = (from.max(begin), end.map_or(to, |end| to.min(end)));
            if a < b {
                let (x, y) = (a.since(begin).as_s(), b.since(begin).as_s());
                sum += (y - x) * (rate + slope * (x + y) / 2.0);
            }
        }
        sum
    }

    /// When the integral from `from` on reaches `units`; never, if the rate ends at zero.
    #[inline(always)]
    pub fn after(&mut self, from: Time, mut units: f64) -> Option<Time> {
        let mut at = from;
        // A rate that changes takes an answer back: its piece may lie ahead of now.
        while at < self.points[self.piece].from && self.piece != 0 {
            self.piece -= 1;
        }
        while self.points.get(self.piece + 1).is_some_and(|next| next.from <= at) {
            self.piece += 1;
        }
        loop {
            let (rate, slope, end) = self.line(self.piece);
            let here = rate + slope * at.since(self.points[self.piece].from).as_s();
            if let Some(length) = solve(here, slope, units) {
                let time = at.saturating_add(Duration::from_ns_f64(length * NS_PER_S as f64));
                if end.is_none_or(|end| time < end) {
                    return Some(time);
                }
            }
            let end = end?;
            let length = end.since(at).as_s();
            units = (units - length * (here + slope * length / 2.0)).max(0.0);
            (at, self.piece) = (end, self.piece + 1);
        }
    }
}

/// The smallest x of at least 0 with rate · x + slope · x² / 2 = units.
#[inline]
fn solve(rate: f64, slope: f64, units: f64) -> Option<f64> {
    if slope == 0.0 {
        return (0.0 < rate).then(|| units / rate);
    }
    let discriminant = rate * rate + 2.0 * slope * units;
    // The form that does not cancel; negative: the rate falls to zero first.
    (0.0 <= discriminant && 0.0 < rate + libm::sqrt(discriminant))
        .then(|| 2.0 * units / (rate + libm::sqrt(discriminant)))
}

/// The gaps of one source.
#[derive(Clone, Debug)]
pub struct Gaps {
    process: ArrivalProcess,
    profile: RateProfile,
    /// Mean 10^12: a unit exponential with 12 digits.
    unit: Sampler,
    factor: f64,
    next: Option<Time>,
}

/// The mean of the unit sampler.
const UNIT: f64 = 1e12;

impl Gaps {
    /// What a Poisson process draws from.
    pub fn unit() -> Distribution {
        Distribution::Exponential { mean: Duration::from_ns_f64(UNIT) }
    }

    /// A process over a profile, with the sampler of [`Gaps::unit`].
    pub fn new(process: ArrivalProcess, profile: RateProfile, unit: Sampler) -> Self {
        Self { process, profile, unit, factor: 1.0, next: None }
    }

    /// The next request after one at `now` (or the start).
    #[inline(always)]
    pub fn next(&mut self, now: Time, draw: u64) -> Option<Time> {
        let units = match self.process {
            ArrivalProcess::Constant => 1.0,
            ArrivalProcess::Poisson => self.unit.sample(draw).ns() as f64 / UNIT,
        };
        self.next = self.after(now, units);
        self.next
    }

    /// The rate is multiplied by `factor` from now on: what is left of the gap passes at the new
    /// rate. Returns the next request.
    pub fn scale(&mut self, now: Time, factor: f64) -> Option<Time> {
        let left = self.next.map(|next| self.profile.units(now, next) * self.factor);
        self.factor = factor;
        // Nothing was due: the process begins anew with a full unit, its mean.
        self.next = self.after(now, left.unwrap_or(1.0));
        self.next
    }

    /// The next request will not be made: the process is not simulated for a while.
    pub fn forget(&mut self) {
        self.next = None;
    }

    #[inline(always)]
    fn after(&mut self, now: Time, units: f64) -> Option<Time> {
        if self.factor <= 0.0 {
            return None;
        }
        self.profile.after(now, units / self.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(s: u64, per_s: f64, ramp: bool) -> RatePoint {
        RatePoint { from: Time::ZERO + Duration::from_s(s), per_s, ramp }
    }

    fn at(s: f64) -> Time {
        Time::ZERO + Duration::from_s_f64(s)
    }

    #[test]
    fn a_constant_process_comes_once_a_unit_through_steps() {
        let profile = RateProfile::new(&[point(0, 1.0, false), point(2, 10.0, false)]);
        let mut gaps = Gaps::new(ArrivalProcess::Constant, profile, Gaps::unit().sampler());
        let mut now = Time::ZERO;
        let times: Vec<_> = (0..4)
            .map(|_| {
                now = gaps.next(now, 0).expect("it goes on");
                now
            })
            .collect();
        assert_eq!(times, [at(1.0), at(2.0), at(2.1), at(2.2)]);
    }

    #[test]
    fn a_ramp_is_integrated_exactly() {
        // Rate t/s for 10 s: the integral t²/2 reaches 8 at 4 s and 50 at the end.
        let mut profile = RateProfile::new(&[point(0, 0.0, true), point(10, 10.0, false)]);
        assert_eq!(profile.after(Time::ZERO, 8.0), Some(at(4.0)));
        assert_eq!(profile.after(Time::ZERO, 60.0), Some(at(11.0)));
        assert!((profile.units(at(2.0), at(11.0)) - 58.0).abs() < 1e-9);
    }

    #[test]
    fn a_rate_that_falls_to_zero_ends_the_process() {
        let mut profile = RateProfile::new(&[point(0, 1.0, true), point(2, 0.0, false)]);
        assert!(profile.after(Time::ZERO, 0.9).is_some());
        assert_eq!(profile.after(Time::ZERO, 1.5), None);
    }

    #[test]
    fn a_gap_that_reached_into_a_later_piece_can_be_taken_back() {
        // Found by the swarm: the next request lay behind a step, then the traffic was scaled
        // before that step, and the profile looked for now in the piece behind it.
        let profile = RateProfile::new(&[point(0, 0.1, false), point(5, 1.0, false)]);
        let mut gaps = Gaps::new(ArrivalProcess::Constant, profile, Gaps::unit().sampler());
        assert_eq!(gaps.next(Time::ZERO, 0), Some(at(5.5)));
        assert_eq!(gaps.scale(at(1.0), 9.0), Some(at(2.0)));
    }

    #[test]
    fn doubling_the_rate_halves_what_is_left_of_the_gap() {
        let mut gaps = Gaps::new(
            ArrivalProcess::Constant,
            RateProfile::new(&[point(0, 1.0, false)]),
            Gaps::unit().sampler(),
        );
        assert_eq!(gaps.next(Time::ZERO, 0), Some(at(1.0)));
        assert_eq!(gaps.scale(at(0.5), 2.0), Some(at(0.75)));
        assert_eq!(gaps.next(at(0.75), 0), Some(at(1.25)));
        assert_eq!(gaps.scale(at(1.0), 0.0), None);
    }
}
