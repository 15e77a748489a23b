//! How far runs are: a bar on a terminal, for whatever takes more than a second; and the only
//! clock on the wall that meshsim reads, for that bar and for `--max-time`.
//!
//! Source: docs/results.md: progress on stderr, on a terminal only.
//! Left out: any influence on a run but to end it.

#![expect(clippy::disallowed_types, reason = "the one place that reads the wall clock")]

use super::interrupt::Interrupt;
use super::output::{Output, clean};
use crate::kernel::time::{Duration, NS_PER_S, Time};
use crate::world::options::{Go, Progress as At};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Steps of the bar for one run.
const STEPS: u64 = 1000;
/// Shorter work needs no bar, in seconds.
const QUIET_S: f64 = 1.0;

/// The progress of everything that a command runs.
pub(super) struct Progress {
    bar: ProgressBar,
    may_show: bool,
    shown: AtomicBool,
    began: Instant,
    interrupt: Interrupt,
}

/// The progress of one run.
pub(super) struct Watch<'a> {
    progress: &'a Progress,
    title: &'a str,
    began: Instant,
    limit: Option<Duration>,
    steps: u64,
    /// Events so far.
    pub(super) events: u64,
}

impl Progress {
    /// The progress of so many runs; the bar stays hidden for now.
    pub(super) fn new(output: Output, interrupt: Interrupt, runs: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(runs * STEPS), ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{bar:30} {percent:>3}%  {eta} left  {msg}");
        bar.set_style(style.expect("the template is right"));
        Self {
            bar,
            may_show: output.shows_progress(),
            shown: AtomicBool::new(false),
            began: Instant::now(),
            interrupt,
        }
    }

    /// Watches a run from its begin.
    pub(super) fn watch<'a>(&'a self, title: &'a str, limit: Option<Duration>) -> Watch<'a> {
        Watch { progress: self, title, began: Instant::now(), limit, steps: 0, events: 0 }
    }

    /// Whether the user wants to stop.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupt.is_asked()
    }

    /// So many of all are done, where the work is not runs of ours.
    pub(super) fn reach(&self, done: usize, of: usize) {
        self.bar.set_length(of as u64);
        self.bar.set_position(done as u64);
        self.advance(0, String::new);
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// Some work is done, in steps of the bar.
    pub(super) fn advance(&self, steps: u64, message: impl FnOnce() -> String) {
        if !self.may_show {
            return;
        }
        if !self.shown.load(Ordering::Relaxed) {
            if self.began.elapsed().as_secs_f64() < QUIET_S {
                return self.bar.inc(steps);
            }
            self.shown.store(true, Ordering::Relaxed);
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_message(message());
        self.bar.inc(steps);
    }
}

impl Watch<'_> {
    /// Shows how far the run is, and tells whether it may go on.
    pub(super) fn go(&mut self, at: At) -> Go {
        self.events = at.events;
        let steps = steps_done(at).max(self.steps);
        self.progress.advance(steps - self.steps, || {
            let now = Time::from_ns(at.now.ns() / NS_PER_S * NS_PER_S);
            format!("{}  {now} of {}", clean(self.title), at.duration)
        });
        self.steps = steps;
        let spent_s = self.began.elapsed().as_secs_f64();
        if self.progress.is_interrupted() {
            Go::Stop("interrupted")
        } else if self.limit.is_some_and(|limit| limit.as_s() <= spent_s) {
            Go::Stop("max-time")
        } else {
            Go::On
        }
    }
}

impl Drop for Watch<'_> {
    /// However the run ended, it is done.
    fn drop(&mut self) {
        self.progress.advance(STEPS - self.steps, || clean(self.title).into_owned());
    }
}

fn steps_done(at: At) -> u64 {
    let (now, all) = (u128::from(at.now.ns()), u128::from(at.duration.ns()).max(1));
    u64::try_from(now * u128::from(STEPS) / all).unwrap_or(STEPS).min(STEPS)
}
