//! `meshsim bless`: the runs of `test`, whose results become the baseline.
//!
//! Source: docs/results.md: nothing else writes baselines; what moved is told.
//! Left out: a run that did not reach its end is never a baseline.

use super::ExitStatus;
use super::find;
use super::interrupt::Interrupt;
use super::job::{self, Job, Settings};
use super::output::{Output, Trouble};
use super::progress::Progress;
use super::results;
use super::simulate::{self, Judged};
use super::test;
use super::verdict::{self, Against, Tested};
use crate::check::baseline;
use crate::check::compare::compare;
use clap::Args;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What was typed.
#[derive(Args)]
#[command(after_help = "Example:\n  meshsim bless scenarios && git diff results/baseline")]
pub(super) struct Typed {
    /// Scenario files, or folders that hold some
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// Lay them over this YAML of a real mesh as well: a file, a folder, a pattern, or - for stdin
    #[arg(long, value_name = "PATH")]
    manifests: Vec<String>,
    /// Write the results to this folder
    #[arg(long, value_name = "DIR", default_value = "results/baseline")]
    baseline: PathBuf,
}

/// Runs the command.
pub(super) fn run(typed: &Typed, output: Output) -> Result<ExitStatus, Trouble> {
    let settings = Settings { manifests: typed.manifests.clone(), ..Settings::default() };
    let jobs = job::jobs(&find::scenarios(&typed.paths)?, &settings)?;
    output.warn(&job::warnings(&jobs));
    let progress = Progress::new(output, Interrupt::listen()?, simulate::runs(&jobs));
    let blessed = test::all(&jobs, &progress, |job, judged| bless(job, judged, &typed.baseline));
    progress.end();
    let blessed = blessed?;
    output.print(&text(&blessed))?;
    Ok(blessed.iter().map(status).max().unwrap_or(ExitStatus::Success))
}

/// Compares with the old baseline, and replaces it; hangs new pictures into the gallery.
fn bless(job: &Job, judged: &Judged, folder: &Path) -> Result<Against, Trouble> {
    let path = baseline::path(folder, &job.name(), job.plan.variant.as_deref());
    let now = judged.summary();
    // Whatever else was in its place is replaced.
    let against = match baseline::read(&path) {
        Ok(Some(old)) => Against::Compared(compare(&old, &now)),
        Ok(None) | Err(_) => Against::Missing,
    };
    baseline::write(&path, &crate::report::summary::render(&now))
        .map_err(|error| Trouble::io(format_args!("cannot write {}", path.display()), &error))?;
    hang_up(job, judged, folder)?;
    Ok(against)
}

/// The docs show pictures of the scenarios that stand at the top, and of others that have a place in the gallery
/// already; without their variants.
fn hang_up(job: &Job, judged: &Judged, baseline: &Path) -> Result<(), Trouble> {
    let gallery = baseline.with_file_name("gallery").join(&job.plan.name);
    let is_shown = !job.plan.name.contains('/') || gallery.is_dir();
    if job.plan.variant.is_some() || !is_shown || !job.label.is_empty() {
        return Ok(());
    }
    results::write_pictures(&gallery, judged)
}

fn text(blessed: &[Tested]) -> String {
    let mut text = String::new();
    for one in blessed {
        let (word, more) = match &one.against {
            Against::NotRun => ("left", "       the run was ended before its end\n".to_owned()),
            Against::Compared(comparison) if comparison.is_same() => ("same", String::new()),
            Against::Compared(comparison) => ("moved", verdict::moved(comparison)),
            Against::Missing | Against::Unreadable(_) => ("new", String::new()),
        };
        let _ = writeln!(text, "{word:5}  {}", one.title);
        text += &more;
        if !one.is_expected() {
            text += "       its assertions do not hold:\n";
            text += &verdict::failures(&one.asserts);
        }
    }
    text
}

/// A baseline that breaks its own assertions would fail the next test.
fn status(one: &Tested) -> ExitStatus {
    match &one.against {
        Against::NotRun => ExitStatus::Environment,
        _ if one.is_expected() => ExitStatus::Success,
        _ => ExitStatus::Failed,
    }
}
