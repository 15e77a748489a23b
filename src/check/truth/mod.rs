//! The simulator against a real Envoy: cases that were measured, each with its configuration, what
//! was seen and how to compare, are lowered to plans, run, and compared.
//!
//! Source: measurements of Envoy 1.40 in the format `envoy-lab/2`.
//! Left out: cases that use what the simulator does not have; they are told as such.

pub mod alike;
mod apps;
pub mod compare;
mod counted;
pub mod facts;
mod logged;
pub mod lower;
mod metrics;
pub mod observe;
mod races;
pub mod run;
pub mod schema;
mod shares;
mod times;

use run::{Verdict, judge};
use schema::File;
use std::fmt;

/// The verdict on one case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Whether it agrees.
    pub verdict: Verdict,
    /// `family/case`.
    pub case: String,
    /// What does not agree, or is not modelled.
    pub reason: String,
}

/// The verdicts on all cases, in the order of the files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// One a case, but for cases that are no truth to compare with.
    pub lines: Vec<Line>,
}

impl Report {
    /// How many cases have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.lines.iter().filter(|line| line.verdict == verdict).count()
    }
}

impl fmt::Display for Report {
    /// A line a case, in columns, and the closing line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Line { verdict, case, reason } in &self.lines {
            writeln!(f, "{}\t{case}\t{}", verdict.text(), reason.replace(['\t', '\n'], " "))?;
        }
        let [passed, failed, lacking] =
            [Verdict::Pass, Verdict::Fail, Verdict::NotModelled].map(|one| self.count(one));
        writeln!(f, "{passed} passed, {failed} failed, {lacking} not modelled")
    }
}

/// Judges every case of the files.
pub fn check(files: &[File]) -> Report {
    let cases: Vec<_> =
        files.iter().flat_map(|file| file.cases.iter().map(move |case| (file, case))).collect();
    let line = |(file, case): &(&File, &schema::Case)| {
        let (verdict, reason) = judge(case)?;
        Some(Line { verdict, case: format!("{}/{}", file.name, case.name), reason })
    };
    #[cfg(feature = "native")]
    let lines: Vec<Option<Line>> = {
        use rayon::prelude::*;
        cases.par_iter().map(line).collect()
    };
    #[cfg(not(feature = "native"))]
    let lines: Vec<Option<Line>> = cases.iter().map(line).collect();
    Report { lines: lines.into_iter().flatten().collect() }
}

/// Reads every `*.json` of a folder, in the order of their names. The error says in words what
/// cannot be read, with file, case and key.
#[cfg(feature = "native")]
pub fn read_folder(folder: &std::path::Path) -> Result<Vec<File>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let paths: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(failed)?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    paths.sort();
    if paths.is_empty() {
        return Err(format!("{}: there is no *.json in it", folder.display()));
    }
    let read = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        schema::read(&name, &text)
    };
    paths.iter().map(read).collect()
}
