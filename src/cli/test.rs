//! `meshsim test`: every scenario against its expectations and its baseline.
//!
//! Source: docs/results.md.
//! Left out: writing any result.

use super::ExitStatus;
use super::find;
use super::interrupt::Interrupt;
use super::job::{self, Job, Settings};
use super::memory::Room;
use super::output::{Output, Trouble, reason};
use super::progress::Progress;
use super::simulate::{self, Judged, Limits};
use super::verdict::{self, Against, Tested};
use crate::check::compare::compare;
use crate::check::{baseline, junit};
use crate::report::sampled::how;
use crate::report::write::write_all;
use clap::{Args, ValueEnum};
use rayon::prelude::*;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was typed.
#[derive(Args)]
#[command(after_help = "Example:\n  meshsim test scenarios --junit results/junit.xml")]
pub(super) struct Typed {
    /// Scenario files, or folders that hold some
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// Lay them over this YAML of a real mesh as well: a file, a folder, a pattern, or - for stdin
    #[arg(long, value_name = "PATH")]
    manifests: Vec<String>,
    /// How the verdicts are printed
    #[arg(long, value_enum, default_value_t)]
    format: TestFormat,
    /// Compare with the results in this folder
    #[arg(long, value_name = "DIR", default_value = "results/baseline")]
    baseline: PathBuf,
    /// Also write the verdicts to this file, as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
enum TestFormat {
    /// For people
    #[default]
    Human,
    /// For programs, a line for each scenario
    Json,
    /// For build servers, as JUnit XML
    Junit,
}

/// Runs the command.
pub(super) fn run(typed: &Typed, output: Output) -> Result<ExitStatus, Trouble> {
    let settings = Settings { manifests: typed.manifests.clone(), ..Settings::default() };
    let jobs = job::jobs(&find::scenarios(&typed.paths)?, &settings)?;
    output.warn(&job::warnings(&jobs));
    let progress = Progress::new(output, Interrupt::listen()?, simulate::runs(&jobs));
    let tested = all(&jobs, &progress, |job, judged| against(job, judged, &typed.baseline));
    progress.end();
    let tested = tested?;
    if let Some(file) = &typed.junit {
        write_junit(file, &tested)?;
    }
    match typed.format {
        TestFormat::Human => output.print(&verdict::text(&tested))?,
        TestFormat::Json => tested.iter().try_for_each(|one| output.json(&verdict::json(one)))?,
        TestFormat::Junit => output.data(junit::xml(&verdict::suites(&tested)).as_bytes())?,
    }
    Ok(tested.iter().map(Tested::status).max().unwrap_or(ExitStatus::Success))
}

/// Runs and judges all jobs in parallel and sets each against something; in the jobs' order.
pub(super) fn all(
    jobs: &[Job],
    progress: &Progress,
    against: impl Fn(&Job, &Judged) -> Result<Against, Trouble> + Sync,
) -> Result<Vec<Tested>, Trouble> {
    // Nobody gives a limit here; the machine's own holds all the same.
    let room = Room::new(jobs, None)?;
    let limits = Limits { memory: room.each, ..Limits::default() };
    let one = |job: &Job| {
        let title = job.folder.clone();
        let (file, warnings) = (job.file.clone(), Arc::clone(&job.warnings));
        if progress.is_interrupted() {
            let (sampled, against) = (None, Against::NotRun);
            return Ok(Tested { title, file, warnings, sampled, asserts: Vec::new(), against });
        }
        let judged = simulate::judged(job, limits, progress);
        let against = match judged.run.partial {
            Some(_) => Against::NotRun,
            None => against(job, &judged)?,
        };
        let sampled = how(&judged.run);
        Ok(Tested { title, file, warnings, sampled, asserts: judged.judgements, against })
    };
    // Collected first: the first trouble in the jobs' order is told, not the first in time.
    let tested: Vec<_> = room.work(|| jobs.par_iter().map(one).collect())?;
    tested.into_iter().collect()
}

fn against(job: &Job, judged: &Judged, folder: &Path) -> Result<Against, Trouble> {
    let path = baseline::path(folder, &job.name(), job.plan.variant.as_deref());
    match baseline::read(&path) {
        Ok(None) => Ok(Against::Missing),
        Ok(Some(old)) => Ok(Against::Compared(compare(&old, &judged.summary()))),
        Err(error) if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => {
            Ok(Against::Unreadable(format!("{} is no result: {error}", path.display())))
        }
        Err(error) => Err(Trouble::io(format_args!("cannot read {}", path.display()), &error)),
    }
}

fn write_junit(file: &Path, tested: &[Tested]) -> Result<(), Trouble> {
    let trouble =
        |why: &str| Trouble::Environment(format!("cannot write {}: {why}", file.display()));
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let name = file
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| trouble("it is no file name"))?;
    let xml = junit::xml(&verdict::suites(tested)).into_bytes();
    write_all(folder.unwrap_or(Path::new(".")), &[(name, xml)])
        .map_err(|error| trouble(&reason(&error)))
}
