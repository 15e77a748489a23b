//! How calls ended, as `summary.json` has it.
//!
//! Source: docs/results.md.
//! Left out: chains of causes between an outcome and its roots; `outcomes.csv` has them.

use crate::observe::run::{self, Run};
use crate::report::number::round6;
use serde::Serialize;
use std::collections::BTreeSet;

#[derive(Serialize)]
pub(super) struct Outcome<'a> {
    source: &'a str,
    destination: &'a str,
    version: &'a str,
    status: u16,
    flags: String,
    details: &'static str,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<f64>,
    /// The roots of its causes: events with their labels, or settings.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    roots: BTreeSet<&'a str>,
}

/// The outcomes by what the access log shows: ways that only differ in their cause are one row.
pub(super) fn outcomes(run: &Run) -> Vec<Outcome<'_>> {
    let mut rows: Vec<Outcome<'_>> = Vec::with_capacity(run.outcomes.len());
    for row in &run.outcomes {
        let root = row.cause.map(|cause| run.causes.root(cause).what.as_str());
        let row = Outcome { roots: root.into_iter().collect(), ..Outcome::from(row) };
        match rows.iter_mut().find(|one| one.key() == row.key()) {
            Some(one) => {
                one.count += row.count;
                one.roots.extend(row.roots);
                one.estimate = one.estimate.zip(row.estimate).map(|(a, b)| round6(a + b));
            }
            None => rows.push(row),
        }
    }
    rows
}

impl Outcome<'_> {
    fn key(&self) -> (&str, &str, &str, u16, &str, &str) {
        let Self { source, destination, version, status, flags, details, .. } = self;
        (source, destination, version, *status, flags, details)
    }
}

impl<'a> From<&'a run::OutcomeRow> for Outcome<'a> {
    fn from(row: &'a run::OutcomeRow) -> Self {
        Self {
            source: &row.source,
            destination: &row.destination,
            version: &row.version,
            status: row.outcome.status,
            flags: row.outcome.flags.to_string(),
            details: row.outcome.details.text(),
            count: row.count,
            estimate: row.estimate.map(round6),
            roots: BTreeSet::new(),
        }
    }
}
