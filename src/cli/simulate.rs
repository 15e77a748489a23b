//! From a job to a judged run: the world is called here and nowhere else in the command line.
//!
//! Source: docs/results.md, for those that need several seeds.
//! Left out: what is done with the run.

use super::ExitStatus;
use super::job::Job;
use super::panic;
use super::progress::Progress;
use crate::check::assert::{judge, over_seeds, seeds_needed};
use crate::check::baseline;
use crate::check::judgement::Judgement;
use crate::kernel::time::{Duration, Time};
use crate::observe::run::Run;
use crate::report::summary::summary;
use crate::scenario::FromManifests;
use crate::world;
use crate::world::options::Options;
use rayon::prelude::*;
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

/// When a run is ended early.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// Events.
    pub(super) events: Option<u64>,
    /// Bytes.
    pub(super) memory: Option<u64>,
    /// On the wall clock.
    pub(super) time: Option<Duration>,
}

/// A run with the verdicts on it.
pub(super) struct Judged {
    pub(super) run: Run,
    pub(super) judgements: Vec<Judgement>,
    /// What came from manifests, if there are any.
    pub(super) manifests: Option<Arc<FromManifests>>,
}

impl Judged {
    /// Its `summary.json`, as it reads back from a file.
    pub(super) fn summary(&self) -> Value {
        let mut summary = summary(&self.run, &self.judgements);
        if let Some(from) = &self.manifests {
            summary["manifests"] = json!(**from);
        }
        baseline::as_written(&summary)
    }

    /// What the verdicts alone mean for the exit status.
    pub(super) fn status(&self) -> ExitStatus {
        if self.run.partial.is_some() {
            ExitStatus::Environment
        } else if self.judgements.iter().all(|one| one.passes) {
            ExitStatus::Success
        } else {
            ExitStatus::Failed
        }
    }
}

/// How many runs the jobs take, for the progress bar.
pub(super) fn runs(jobs: &[Job]) -> u64 {
    jobs.iter().map(|job| u64::from(seeds_needed(&job.plan))).sum()
}

/// Runs a job with as many seeds as its assertions ask for, and judges it.
pub(super) fn judged(job: &Job, limits: Limits, progress: &Progress) -> Judged {
    let mut run = simulate(job, job.seed, (limits, None), progress);
    let mut by_seed = vec![judge(&job.plan, &run)];
    if run.partial.is_none() {
        let others = (1..u64::from(seeds_needed(&job.plan))).into_par_iter().map(|more| {
            let other = simulate(job, job.seed.wrapping_add(more), (limits, None), progress);
            (other.partial, judge(&job.plan, &other))
        });
        for (partial, judgements) in others.collect::<Vec<_>>() {
            // Without all of its seeds a job is as unfinished as without its end.
            run.partial = run.partial.or(partial);
            by_seed.push(judgements);
        }
    }
    let judgements =
        if run.partial.is_some() { Vec::new() } else { over_seeds(&job.plan, &by_seed) };
    Judged { run, judgements, manifests: job.manifests.clone() }
}

/// Runs a job with its own seed alone, and looks at the whole mesh at a time, if asked to.
pub(super) fn explained(
    job: &Job,
    limits: Limits,
    status_at: Option<Time>,
    progress: &Progress,
) -> Run {
    simulate(job, job.seed, (limits, status_at), progress)
}

fn simulate(
    job: &Job,
    seed: u64,
    (limits, status_at): (Limits, Option<Time>),
    progress: &Progress,
) -> Run {
    let mut watch = progress.watch(&job.folder, limits.time);
    let (max_events, max_memory) = (limits.events, limits.memory);
    let options = Options { status_at, max_events, max_memory, ..Options::default() };
    let run = catch_unwind(AssertUnwindSafe(|| {
        world::simulate(&job.plan, seed, options, &mut |at| watch.go(at))
    }));
    run.unwrap_or_else(|bug| {
        panic::tell_run(&job.folder, &job.again, seed, watch.events);
        resume_unwind(bug)
    })
}
