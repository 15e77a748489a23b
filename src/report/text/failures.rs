//! Why requests failed or were refused: the most frequent ways, in the mesh's words, back to their
//! root. A limit's 429 and a delay that was injected are no failures, and worth a line all the same.
//!
//! Source: Envoy's status and flags; the causes that the world kept.
//! Left out: rare failures; `outcomes.csv` has all.

use super::{Paint, wrap};
use crate::observe::run::{OutcomeRow, Run};
use crate::report::number::count;
use crate::report::sampled::{about, about_plural};
use crate::report::words::{chain, plural, reason, short};
use crate::vocabulary::outcome::Details;

/// Ways that are told.
const FAILURES_MAX: usize = 3;

/// Whether there is something to say of how requests ended.
fn is_told(row: &OutcomeRow) -> bool {
    !row.outcome.is_ok() || !row.outcome.flags.is_empty() || 400 <= row.outcome.status
}

/// Up to three ways in which requests ended otherwise than well, failures first.
pub(super) fn lines(run: &Run, paint: Paint) -> Vec<String> {
    let failed = run.outcomes.iter().filter(|row| is_told(row));
    // A failure that an app only passed on explains nothing: the call below it does.
    let passed_on = |row: &&OutcomeRow| row.outcome.details == Details::AppCallFailed;
    let (passed_on, mut failed): (Vec<_>, Vec<_>) = failed.partition(passed_on);
    failed.sort_by(|a, b| {
        let are_ok = a.outcome.is_ok().cmp(&b.outcome.is_ok());
        are_ok.then(size(b).total_cmp(&size(a)))
    });
    let (told, rest) = failed.split_at(failed.len().min(FAILURES_MAX));
    // A chain of causes is told once.
    let is_known = |index: usize| {
        let cause = told[index].cause;
        cause.is_some() && told[..index].iter().any(|row| row.cause == cause)
    };
    let all = told.iter().enumerate();
    let mut lines: Vec<_> =
        all.flat_map(|(index, row)| failure(run, row, is_known(index), paint)).collect();
    if !rest.is_empty() {
        let ways = plural(rest.len() as u64, "other way");
        let all_failed = rest.iter().all(|row| !row.outcome.is_ok());
        let what = if all_failed { "failure" } else { "request" };
        lines.push(format!("  … and {} in {ways}", times(rest, what)));
    }
    if !passed_on.is_empty() {
        let times = times(&passed_on, "time");
        lines.push(format!("  Apps passed a failed call on to their own callers {times}."));
    }
    lines
}

/// The requests of a row, or in a sampled run those that they stand for.
fn size(row: &OutcomeRow) -> f64 {
    row.estimate.unwrap_or(row.count as f64)
}

/// How many that is, in words: `3 failures`, `about 3,210 failures`.
fn times(rows: &[&OutcomeRow], what: &str) -> String {
    if rows.iter().any(|row| row.estimate.is_some()) {
        return about_plural(rows.iter().map(|row| size(row)).sum(), what);
    }
    plural(rows.iter().map(|row| row.count).sum(), what)
}

fn failure(run: &Run, row: &OutcomeRow, is_known: bool, paint: Paint) -> Vec<String> {
    let outcome = row.outcome;
    let status = match outcome.status {
        0 => outcome.flags.to_string(),
        status if outcome.flags.is_empty() => status.to_string(),
        status => format!("{status} {}", outcome.flags),
    };
    let (source, destination) = (short(&row.source, 30), short(&row.destination, 30));
    let version = match row.version.as_str() {
        "" => String::new(),
        version => format!("/{}", short(version, 12)),
    };
    let why = match row.cause {
        None => String::new(),
        Some(_) if is_known => ", for the same reason".to_owned(),
        Some(id) => format!(", because {}", chain(&run.causes, id)),
    };
    let head = format!("  {status}  ");
    let text = format!(
        "{source} -> {destination}{version} ({}): {}{why}",
        row.estimate.map_or_else(|| count(row.count), |all| format!("about {}", about(all))),
        reason(outcome.details)
    );
    let mut lines = wrap(&text, &head, "    ");
    lines[0] = lines[0].replacen(&head, &format!("  {}  ", paint.bad(&status)), 1);
    lines
}
