//! Probes: what the assertions look at, measured while the run goes on.
//!
//! A request belongs to the window in which it began. A probe keeps sums for each window, never
//! the requests.
//!
//! Source: `plan::assertion`.
//! Left out: windows over windows.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use super::accumulator::{Accumulator, Matcher, Sample, Totals};
use super::batch::Standing;
use super::run::{Probe, ProbeWindow};
use super::seconds::{Recovery, Seconds};
use crate::kernel::bytes::Bytes as _;
use crate::kernel::time::{Duration, Time};
use crate::plan::assertion::{Assertion, Expectation, Filter, Metric, WindowBase};
use crate::plan::universe::{Universe, WorkloadId};
use crate::vocabulary::metric::Gauge;

/// Which samples reach a probe or watch.
#[derive(Clone, Debug)]
pub struct Interest {
    /// Root requests; else hops.
    pub roots: bool,
    /// The calling service or the traffic's id; none for all.
    pub source: Option<String>,
    /// The called service; none for all.
    pub destination: Option<String>,
    /// The traffic's id, for root requests.
    pub traffic: Option<String>,
    pub(super) outer: Matcher,
    pub(super) narrow: Matcher,
}

impl Interest {
    /// The interest of an expectation within a filter.
    pub fn new(filter: &Filter, expect: &Expectation, universe: &Universe) -> Self {
        let own = match &expect.metric {
            Metric::RecoveryTime(inner) => own_filter(&inner.metric),
            metric => own_filter(metric),
        };
        let roots = !filter.is_hop() && !own.is_some_and(Filter::is_hop);
        let first = |get: fn(&Filter) -> &Option<String>| {
            get(filter).clone().or_else(|| own.and_then(|own| get(own).clone()))
        };
        Self {
            roots,
            source: first(|filter| &filter.source),
            destination: first(|filter| &filter.destination),
            traffic: first(|filter| &filter.traffic),
            outer: matcher(filter, universe),
            narrow: own.map_or_else(Matcher::default, |own| matcher(own, universe)),
        }
    }
}

fn own_filter(metric: &Metric) -> Option<&Filter> {
    match metric {
        Metric::SuccessRate(filter)
        | Metric::ErrorRate(filter)
        | Metric::Count(filter)
        | Metric::Share(filter) => Some(filter),
        _ => None,
    }
}

fn matcher(filter: &Filter, universe: &Universe) -> Matcher {
    let workloads = filter.version.as_ref().map(|version| {
        let of_version = |(index, workload): (usize, &crate::plan::universe::Workload)| {
            (workload.version == *version).then(|| WorkloadId(u32::try_from(index).unwrap_or(0)))
        };
        universe.workloads.iter().enumerate().filter_map(of_version).collect()
    });
    Matcher { workloads, status: filter.status, flags: filter.flags }
}

/// The state of one assertion's measurement.
#[derive(Clone, Debug)]
pub struct ProbeState {
    /// Which samples it wants.
    pub interest: Interest,
    expect: Expectation,
    base: WindowBase,
    not_before: Time,
    not_after: Time,
    every: Option<Duration>,
    windows: Vec<OpenWindow>,
}

#[derive(Clone, Debug)]
struct OpenWindow {
    from: Time,
    /// Not known while the window is open.
    to: Option<Time>,
    /// One, or one for each `every`.
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Default)]
struct Part {
    /// Sums by batch: what a request stands for is known when its batch is over.
    batches: Vec<(u32, Accumulator)>,
    /// For recovery times.
    seconds: Seconds,
    recovery: Recovery,
}

impl ProbeState {
    /// The probe of an assertion, its window open if it hangs on the run itself.
    pub fn new(assertion: &Assertion, universe: &Universe, warmup: Time, end: Time) -> Self {
        let mut probe = Self {
            interest: Interest::new(&assertion.filter, &assertion.expect, universe),
            expect: assertion.expect.clone(),
            base: assertion.window.base,
            not_before: assertion.window.from.unwrap_or(Time::ZERO).max(warmup),
            not_after: assertion.window.to.unwrap_or(end).min(end),
            every: assertion.every,
            windows: Vec::new(),
        };
        if matches!(probe.base, WindowBase::Run | WindowBase::Before(_)) {
            probe.open(Time::ZERO);
        }
        probe
    }

    /// Bytes held beside the probe itself.
    pub fn bytes(&self) -> usize {
        let window = |window: &OpenWindow| {
            let part = |part: &Part| {
                let sums = part.batches.iter().map(|(_, sums)| sums.bytes()).sum::<usize>();
                part.batches.bytes() + sums + part.seconds.bytes()
            };
            window.parts.bytes() + window.parts.iter().map(part).sum::<usize>()
        };
        self.windows.bytes() + self.windows.iter().map(window).sum::<usize>()
    }

    /// Sums that it keeps.
    pub fn sums(&self) -> usize {
        let parts = self.windows.iter().flat_map(|window| &window.parts);
        parts.map(|part| part.batches.len().max(1)).sum()
    }

    /// The gauge it reads, if it reads one.
    pub fn gauge(&self) -> Option<Gauge> {
        self.expect.metric.gauge()
    }

    /// A timeline event begins.
    pub fn event_begins(&mut self, event: u32, now: Time, has_end: bool) {
        match self.base {
            WindowBase::During(of) if of == event => self.open(now),
            WindowBase::Before(of) if of == event => self.close(now),
            WindowBase::After(of) if of == event => {
                self.windows.clear();
                if !has_end {
                    self.open(now);
                }
            }
            _ => {}
        }
    }

    /// A timeline event ends.
    pub fn event_ends(&mut self, event: u32, now: Time) {
        match self.base {
            WindowBase::During(of) if of == event => self.close(now),
            WindowBase::After(of) if of == event => self.open(now),
            _ => {}
        }
    }

    /// A request ended.
    #[inline(always)]
    pub fn request(&mut self, sample: Sample) {
        if !self.interest.outer.matches(&sample) {
            return;
        }
        if self.not_after <= sample.began {
            return;
        }
        if let Some((from, part)) = part_at(&mut self.windows, self.every, sample.began) {
            let narrow = &self.interest.narrow;
            of_batch(part, sample.batch).request(&self.expect, narrow, &sample);
            if let Metric::RecoveryTime(inner) = &self.expect.metric {
                part.seconds.request(inner, narrow, from, &{ sample });
            }
        }
    }

    /// The gauge was read.
    pub fn reading(&mut self, now: Time, value: f64, batch: u32) {
        if self.not_after <= now {
            return;
        }
        if let Some((_, part)) = part_at(&mut self.windows, self.every, now) {
            let expect = match &self.expect.metric {
                Metric::RecoveryTime(inner) => {
                    part.recovery.reading(inner, now, value);
                    inner
                }
                _ => &self.expect,
            };
            of_batch(part, batch).reading(expect, now, value);
        }
    }

    /// What was measured, all windows closed at `end`, each request counted for as many as its
    /// batch stands for.
    pub fn finish(mut self, end: Time, standings: &[Standing]) -> Probe {
        self.close(end);
        let mut windows = Vec::new();
        for window in &self.windows {
            let to = window.to.unwrap_or(end).min(self.not_after);
            for (index, part) in window.parts.iter().enumerate() {
                let (from, to) = match self.every {
                    None => (window.from, to),
                    Some(every) => {
                        let from = window.from + every * index as u64;
                        (from, to.min(from + every))
                    }
                };
                if from < to {
                    let mut totals = Totals::default();
                    add(&mut totals, part, standings);
                    let mut one = self.window(from, to, to.since(from), totals);
                    if let Metric::RecoveryTime(inner) = &self.expect.metric {
                        let length = to.since(from);
                        one.value = match inner.metric {
                            Metric::Gauge(..) => part.recovery.recovery_s(from, length),
                            _ => part.seconds.recovery_s(inner, length),
                        };
                    }
                    windows.push(one);
                }
            }
        }
        // Without `every` an expectation holds over all occurrences together.
        if self.every.is_none() && 1 < windows.len() {
            let mut all = Totals::default();
            let parts = self.windows.iter().flat_map(|window| &window.parts);
            parts.for_each(|part| add(&mut all, part, standings));
            let length = windows.iter().fold(Duration::ZERO, |sum, w| sum + w.to.since(w.from));
            if !matches!(self.expect.metric, Metric::RecoveryTime(_)) {
                let (from, to) = (windows[0].from, windows.last().map_or(end, |window| window.to));
                windows = vec![self.window(from, to, length, all)];
            }
        }
        Probe { windows }
    }

    fn window(&self, from: Time, to: Time, length: Duration, mut totals: Totals) -> ProbeWindow {
        ProbeWindow {
            from,
            to,
            samples: totals.samples,
            value: totals.value(&self.expect.metric, length),
            first_violation: totals.first_violation,
        }
    }

    fn open(&mut self, now: Time) {
        let from = now.max(self.not_before);
        if from < self.not_after {
            self.windows.push(OpenWindow { from, to: None, parts: vec![Part::default()] });
        }
    }

    fn close(&mut self, now: Time) {
        if let Some(window) = self.windows.last_mut() {
            window.to.get_or_insert(now);
        }
    }
}

/// The window that an instant lies in and its part there.
#[inline(always)]
fn part_at(
    windows: &mut [OpenWindow],
    every: Option<Duration>,
    began: Time,
) -> Option<(Time, &mut Part)> {
    let within =
        |window: &&mut OpenWindow| window.from <= began && window.to.is_none_or(|to| began < to);
    let window = windows.iter_mut().rfind(within)?;
    let part = every.map_or(0, |every| began.since(window.from).ns() / every.ns().max(1));
    let part = usize::try_from(part).unwrap_or(usize::MAX);
    if window.parts.len() <= part {
        window.parts.resize_with(part + 1, Part::default);
    }
    Some((window.from, &mut window.parts[part]))
}

/// The sums of a batch; nearly always the last.
#[inline(always)]
fn of_batch(part: &mut Part, batch: u32) -> &mut Accumulator {
    let batches = &mut part.batches;
    let place = match batches.last() {
        Some((last, _)) if *last == batch => batches.len() - 1,
        _ => place_of_batch(batches, batch),
    };
    &mut batches[place].1
}

#[cold]
fn place_of_batch(batches: &mut Vec<(u32, Accumulator)>, batch: u32) -> usize {
    batches.iter().rposition(|(one, _)| *one == batch).unwrap_or_else(|| {
        if let Some((_, before)) = batches.last_mut() {
            before.pack();
        }
        batches.push((batch, Accumulator::default()));
        batches.len() - 1
    })
}

/// Adds a part's batches, each with the weight of its requests.
fn add(totals: &mut Totals, part: &Part, standings: &[Standing]) {
    for (batch, sums) in &part.batches {
        let weight = standings.get(*batch as usize).map_or(1.0, |standing| standing.weight);
        totals.add(sums, weight);
    }
}
