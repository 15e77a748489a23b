//! `meshsim run --side-by-side`: a scenario as written and its variants, in one table, one file and one picture.
//!
//! Source: docs/results.md.
//! Left out: what stands in them (`report::side_by_side`, `report::plot`).

use super::Format;
use super::job::Job;
use super::output::{Output, Trouble};
use super::simulate::Judged;
use crate::observe::run::Run;
use crate::plan::problem::Problem;
use crate::report::plot;
use crate::report::side_by_side::{Beside, csv, json, table, value};
use crate::report::write::write_all;
use std::ops::Range;
use std::path::Path;

/// Whoever asks for this means scenarios with variants.
pub(super) fn check(jobs: &[Job]) -> Result<(), Vec<Problem>> {
    let alone = groups(jobs).into_iter().filter(|group| group.len() < 2);
    let problem = |group: Range<usize>| {
        let what = format!("{}: there is nothing to set side by side", jobs[group.start].file);
        Problem::new(what).hint("it takes a `[[variant]]`; docs/results.md has an example")
    };
    let mut problems: Vec<Problem> = alone.map(problem).collect();
    problems.dedup();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Tells and writes each scenario's runs, in the order of the jobs.
pub(super) fn tell(
    jobs: &[Job],
    kept: &[Option<Judged>],
    (out, format): (&Path, Format),
    output: Output,
) -> Result<(), Trouble> {
    for (index, group) in groups(jobs).into_iter().enumerate() {
        let folder = &jobs[group.start].folder;
        let Some(all) = kept[group].iter().map(Option::as_ref).collect::<Option<Vec<_>>>() else {
            output.talk(&format!("{folder}: not side by side, for some were not run\n"));
            continue;
        };
        let beside: Vec<_> = all.iter().map(|one| beside(one)).collect();
        match format {
            Format::Human if index == 0 => output.print(&table(&beside))?,
            Format::Human => output.print(&format!("\n{}", table(&beside)))?,
            Format::Json => output.json(&value(&beside))?,
        }
        let path = out.join(folder);
        write_all(&path, &files(&beside)).map_err(|error| {
            Trouble::io(format_args!("cannot write to {}", path.display()), &error)
        })?;
        output.talk(&format!("{folder}: side by side in {}\n", path.display()));
    }
    Ok(())
}

fn beside(one: &Judged) -> Beside<'_> {
    Beside { run: &one.run, judgements: &one.judgements }
}

fn files(beside: &[Beside<'_>]) -> Vec<(&'static str, Vec<u8>)> {
    let runs: Vec<&Run> = beside.iter().map(|one| one.run).collect();
    let (over_time, latency) = (plot::beside_over_time(&runs), plot::beside_by_percentile(&runs));
    vec![
        ("side-by-side.csv", csv(beside).into_bytes()),
        ("side-by-side.json", json(beside).into_bytes()),
        ("side-by-side.svg", over_time.svg.into_bytes()),
        ("side-by-side.png", over_time.png),
        ("side-by-side-latency.svg", latency.svg.into_bytes()),
        ("side-by-side-latency.png", latency.png),
    ]
}

/// The jobs of each scenario and seed: as written, then its variants.
fn groups(jobs: &[Job]) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for (index, job) in jobs.iter().enumerate() {
        match groups.last_mut() {
            Some(last) if job.plan.variant.is_some() => last.end = index + 1,
            _ => groups.push(index..index + 1),
        }
    }
    groups
}
