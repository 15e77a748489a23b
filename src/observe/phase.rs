//! Phases: the run cut at each begin and end of a timeline event.
//!
//! Source: `phases` of `summary.json`.
//! Left out: phases without length (two events at one instant share their cut).

use super::run::{Phase, Tally};
use crate::kernel::bytes::Bytes as _;
use crate::kernel::histogram::Histogram;
use crate::kernel::time::{Duration, Time};

/// The phases so far; the last one is open.
#[derive(Clone, Debug)]
pub struct Phases {
    all: Vec<Phase>,
    active: Vec<String>,
    last_ended: Option<String>,
}

impl Phases {
    /// One phase, from the end of the warm-up on.
    pub fn new(from: Time) -> Self {
        let mut phases = Self { all: Vec::new(), active: Vec::new(), last_ended: None };
        phases.push(from);
        phases
    }

    /// An event begins. One without an end is a cut, but is not "during" for ever.
    pub fn begin(&mut self, id: &str, now: Time, has_end: bool) {
        if self.all.len() == 1 && self.last_ended.is_none() && self.active.is_empty() {
            self.all[0].name = format!("before {id}");
        }
        if has_end {
            self.active.push(id.to_owned());
        } else {
            self.last_ended = Some(id.to_owned());
        }
        self.cut(now);
    }

    /// An event ends.
    pub fn end(&mut self, id: &str, now: Time) {
        self.active.retain(|one| one != id);
        self.last_ended = Some(id.to_owned());
        self.cut(now);
    }

    /// Counts a request that began at `began`.
    #[inline]
    pub fn request(&mut self, began: Time, latency: Duration, ok: bool) {
        let phase = match self.all.last() {
            // Nearly always.
            Some(last) if last.from <= began => self.all.last_mut(),
            _ => {
                let before = self.all.iter().rposition(|phase| phase.from <= began);
                self.all.get_mut(before.unwrap_or(0))
            }
        };
        let phase = phase.expect("there is always one");
        phase.requests.count(ok);
        phase.latency.record(latency.ns());
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let own = |phase: &Phase| phase.name.bytes() + phase.latency.bytes();
        self.all.bytes() + self.all.iter().map(own).sum::<usize>()
    }

    /// The latency of the requests of all phases: each belongs to one.
    pub fn latency(&self) -> Histogram {
        let mut all = Histogram::new();
        for phase in &self.all {
            all.merge(&phase.latency);
        }
        all
    }

    /// All phases with some length.
    pub fn finish(mut self, end: Time) -> Vec<Phase> {
        if let Some(last) = self.all.last_mut() {
            last.to = end.max(last.from);
        }
        self.all.retain(|phase| phase.from < phase.to);
        self.all
    }

    fn cut(&mut self, now: Time) {
        let last = self.all.last_mut().expect("there is always one");
        if now <= last.from {
            // At the same instant, or during the warm-up: one phase with the newer name.
            let name = self.name();
            self.all.last_mut().expect("there is always one").name = name;
            return;
        }
        last.to = now;
        self.push(now);
    }

    fn push(&mut self, from: Time) {
        let (requests, latency) = (Tally::default(), Histogram::new());
        let estimates = None;
        self.all.push(Phase { name: self.name(), from, to: from, requests, latency, estimates });
    }

    fn name(&self) -> String {
        match (self.active.is_empty(), &self.last_ended) {
            (false, _) => format!("during {}", self.active.join(" + ")),
            (true, Some(id)) => format!("after {id}"),
            (true, None) => "whole run".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_cuts_the_run_in_three() {
        let at = |s| Time::ZERO + Duration::from_s(s);
        let mut phases = Phases::new(at(10));
        phases.begin("down", at(100), true);
        phases.request(at(99), Duration::from_ms(1), true);
        phases.request(at(100), Duration::from_ms(1), false);
        phases.end("down", at(200));
        let phases = phases.finish(at(300));
        let names: Vec<_> = phases.iter().map(|phase| phase.name.as_str()).collect();
        assert_eq!(names, ["before down", "during down", "after down"]);
        assert_eq!((phases[0].requests.ok, phases[1].requests.failed()), (1, 1));
        assert_eq!((phases[0].from, phases[2].to), (at(10), at(300)));
    }
}
