//! Watches: what the conditions of the timeline look at, over a sliding window.
//!
//! The window moves in slices, each with sums of its own.
//!
//! Source: `plan::timeline`.
//! Left out: windows over windows.

use super::accumulator::{Accumulator, Sample, Totals};
use super::probe::Interest;
use super::seconds::{Second, Seconds};
use crate::kernel::bytes::Bytes as _;
use crate::kernel::time::{Duration, Time};
use crate::plan::assertion::{Expectation, Filter, Metric};
use crate::plan::universe::Universe;
use crate::vocabulary::metric::Gauge;

/// Slices of a sliding window: fine enough that its edge does not matter.
const SLICES: usize = 20;

/// What a condition of the timeline looks at: the trailing window, in slices.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Which samples it wants.
    pub interest: Interest,
    expect: Expectation,
    window: Duration,
    slices: Vec<Accumulator>,
    /// The same for recovery times, to which the trailing window is one second.
    seconds: [Second; SLICES],
    current: usize,
    holds_since: Option<Time>,
}

impl Watch {
    /// Bytes held beside the watch itself.
    pub fn bytes(&self) -> usize {
        self.slices.bytes() + self.slices.iter().map(Accumulator::bytes).sum::<usize>()
    }

    /// Watches `expect` over a trailing `window`.
    pub fn new(expect: &Expectation, window: Duration, universe: &Universe) -> Self {
        Self {
            interest: Interest::new(&Filter::default(), expect, universe),
            expect: expect.clone(),
            window,
            slices: vec![Accumulator::default(); SLICES],
            seconds: [Second::default(); SLICES],
            current: 0,
            holds_since: None,
        }
    }

    /// How often [`Watch::tick`] is to be called.
    pub fn period(&self) -> Duration {
        Duration::from_ns((self.window.ns() / SLICES as u64).max(1))
    }

    /// The gauge it reads, if it reads one.
    pub fn gauge(&self) -> Option<Gauge> {
        match self.expect.metric {
            Metric::Gauge(_, gauge) => Some(gauge),
            _ => None,
        }
    }

    /// A request ended.
    pub fn request(&mut self, now: Time, sample: Sample) {
        if self.interest.outer.matches(&sample) {
            // By its end: a condition knows what a monitoring system would know now.
            let sample = Sample { began: now, ..sample };
            let slice = &mut self.slices[self.current];
            slice.request(&self.expect, &self.interest.narrow, &sample);
            if let Metric::RecoveryTime(inner) = &self.expect.metric {
                self.seconds[self.current].request(inner, &self.interest.narrow, &sample);
            }
        }
    }

    /// Whether any request ended within the trailing window.
    pub fn has_samples(&self) -> bool {
        self.slices.iter().any(|slice| slice.samples != 0)
    }

    /// Whether the expectation held at the last tick.
    pub fn is_holding(&self) -> bool {
        self.holds_since.is_some()
    }

    /// A slice ends in which nothing could be seen.
    pub fn rest(&mut self) {
        self.current = (self.current + 1) % SLICES;
        self.slices[self.current] = Accumulator::default();
        self.seconds[self.current] = Second::default();
    }

    /// A slice ends: the gauge's reading, if it reads one. Returns since when the expectation has
    /// held, if it holds.
    pub fn tick(&mut self, now: Time, reading: Option<f64>) -> Option<Time> {
        if let Some(value) = reading {
            self.slices[self.current].reading(&self.expect, now, value);
        }
        let mut all = Totals::default();
        self.slices.iter().for_each(|slice| all.add(slice, 1.0));
        let value = match &self.expect.metric {
            Metric::RecoveryTime(inner) => {
                Seconds::of_one(&self.seconds).recovery_s(inner, self.window)
            }
            metric => all.value(metric, self.window),
        };
        let holds =
            value.is_some_and(|value| self.expect.comparison.holds(value, self.expect.threshold));
        self.holds_since = if holds { self.holds_since.or(Some(now)) } else { None };
        self.rest();
        self.holds_since
    }
}
