//! The clock of a run: warm-up, rows, and the state at its begin.
//!
//! Source: docs/scenarios.md (`[scenario]`).
//! Left out: nothing.

use super::super::document::Node;
use super::super::merge::BEGIN;
use super::super::units::default_interval;
use super::Lower;
use crate::kernel::time::Duration;
use crate::plan::Start;

pub(super) fn start(scenario: &Node) -> Start {
    match scenario.text("start") {
        Some("cold") => Start::Cold,
        _ => Start::Stationary,
    }
}

impl Lower<'_, '_, '_> {
    /// Warm-up and interval.
    pub(super) fn clock(&mut self, scenario: &Node) -> (Duration, Duration) {
        const ROWS_MAX: u64 = 100_000;
        let duration = self.duration;
        let at = |key: &str| scenario.get(key).map_or(BEGIN, |node| node.at);
        if scenario.duration("duration").is_some_and(Duration::is_zero) {
            self.report(at("duration"), "the duration is zero", "a run needs some time");
        }
        let warmup = scenario.duration("warmup").unwrap_or(Duration::ZERO);
        if !duration.is_zero() && duration <= warmup {
            let what = format!("the warm-up of {warmup} is as long as the run of {duration}");
            self.report(at("warmup"), what, "nothing would be recorded");
        }
        let interval = scenario.duration("interval");
        if let Some(interval) = interval.filter(|_| !duration.is_zero()) {
            if interval.is_zero() {
                self.report(at("interval"), "the interval is zero", "a row needs some time");
            } else if duration < interval {
                let what = format!("the interval of {interval} is longer than the run");
                self.report(at("interval"), what, format!("the run lasts {duration}"));
            } else if ROWS_MAX < duration.ns() / interval.ns() {
                let what = format!("rows of {interval} make more than {ROWS_MAX} of them");
                let hint = format!("the default is {}", default_interval(duration));
                self.report(at("interval"), what, hint);
            }
        }
        (warmup, interval.unwrap_or_else(|| default_interval(duration)))
    }
}
