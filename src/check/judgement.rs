//! The verdict on one assertion.
//!
//! Source: no samples are a verdict of their own, as in PromQL's `absent`.
//! Left out: how it is printed.

use crate::kernel::time::Time;

/// Whether an assertion held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It held.
    Pass,
    /// It did not.
    Fail,
    /// There was nothing to measure; this fails unless the assertion says otherwise.
    NoData,
}

impl Verdict {
    /// As `summary.json` spells it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NoData => "no-data",
        }
    }
}

/// The verdict on one assertion, with the numbers behind it.
#[derive(Clone, PartialEq, Debug)]
pub struct Judgement {
    /// The assertion's name.
    pub name: String,
    /// Whether it held.
    pub verdict: Verdict,
    /// Whether the run as a whole passes with it (no-data may be allowed).
    pub passes: bool,
    /// The expectation as the file says it.
    pub expect: String,
    /// The measured number, of the worst window if there are several; none without data.
    pub measured: Option<f64>,
    /// The threshold.
    pub threshold: f64,
    /// The worst window, where there are several.
    pub worst: Option<(Time, Time)>,
    /// The first moment at which it did not hold.
    pub first_violation: Option<Time>,
}

impl Judgement {
    /// How far the measured number is from the threshold: what a pass has in hand, what a failure
    /// lacks.
    pub fn margin(&self) -> Option<f64> {
        self.measured.map(|measured| (measured - self.threshold).abs())
    }
}
