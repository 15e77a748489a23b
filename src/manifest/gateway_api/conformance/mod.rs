//! The Gateway API's conformance cases, judged by the same code as `meshsim route`.
//!
//! In come `expectations.json` (cases taken from the upstream tests) and the manifests that they name; out
//! comes a line a case: pass, fail or not-modelled, the name, the reason. What a case leaves out is filled
//! in as the upstream harness does ([`mod@case`]); a test without cases is judged by its conditions
//! ([`status`]).
//! Source: kubernetes-sigs/gateway-api `conformance/utils/{http,grpc,echo}` (what is compared, and what
//! not: the mesh's echo client compares no paths, the gRPC client no headers).
//! Left out: what a test does between its cases, except for grants that it deletes.

pub mod case;
pub mod grpc;
pub mod http;
pub mod send;
pub mod setup;
pub mod status;
pub mod values;

use crate::manifest::gateway_api::conformance::setup::Setup;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// The manifests by their names relative to the folder.
pub type Files = BTreeMap<String, Vec<u8>>;

/// All verdicts, in the order of the file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// One line a case.
    pub lines: Vec<Line>,
}

/// The verdict on one case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// The verdict.
    pub verdict: Verdict,
    /// `<shortName>/<index>`, or `<shortName>/-`.
    pub name: String,
    /// Why, in a sentence without tabs.
    pub reason: String,
}

/// Whether a case holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It does.
    Pass,
    /// It does not.
    Fail,
    /// It cannot be judged.
    NotModelled,
}

/// A verdict with its reason.
pub type Judged = (Verdict, String);

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotModelled => "not-modelled",
        }
    }
}

impl Report {
    /// How many lines have a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.lines.iter().filter(|line| line.verdict == verdict).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{}\t{}\t{}", line.verdict.word(), line.name, line.reason)?;
        }
        let [passed, failed, open] = [Verdict::Pass, Verdict::Fail, Verdict::NotModelled];
        let (passed, failed, open) = (self.count(passed), self.count(failed), self.count(open));
        writeln!(f, "{passed} passed, {failed} failed, {open} not modelled")
    }
}

/// Judges all cases; the error says why the expectations cannot be read.
pub fn run(expectations: &str, files: &Files) -> Result<Report, String> {
    let parsed: Value = serde_json::from_str(expectations)
        .map_err(|error| format!("expectations.json is no JSON: {error}"))?;
    let tests = parsed.get("tests").and_then(Value::as_array);
    let tests = tests.ok_or("expectations.json has no list `tests`")?;
    let mut report = Report::default();
    for test in tests {
        judge_test(test, files, &mut report);
    }
    Ok(report)
}

fn judge_test(test: &Value, files: &Files, report: &mut Report) {
    let name = values::text(test, "shortName").unwrap_or("unnamed");
    let cases = test.get("cases").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let setup = Setup::of(test, files);
    let mut push = |index: String, (verdict, reason): Judged| {
        let reason = reason.replace(['\t', '\n'], " ");
        report.lines.push(Line { verdict, name: format!("{name}/{index}"), reason });
    };
    let setup = match setup {
        Ok(setup) => setup,
        Err(missing) => {
            for index in 0..cases.len() {
                push(index.to_string(), (Verdict::NotModelled, missing.clone()));
            }
            if cases.is_empty() {
                push("-".to_owned(), (Verdict::NotModelled, missing));
            }
            return;
        }
    };
    if cases.is_empty() {
        push("-".to_owned(), status::judge(&setup));
    }
    for (index, case) in cases.iter().enumerate() {
        push(index.to_string(), judge_case(&setup, cases, index, case));
    }
}

fn judge_case(setup: &Setup<'_>, cases: &[Value], index: usize, given: &Value) -> Judged {
    let case = match case::read(setup, given) {
        Ok(case) => case,
        Err(why) => return (Verdict::NotModelled, why),
    };
    let (verdict, mut reason) = if values::is_grpc(&case.value) {
        grpc::judge(setup, &case.value)
    } else {
        // A request that is sent again with another answer: the test changed something in between.
        let repeated = cases[..index].iter().any(|earlier| values::is_repeated(earlier, given));
        http::judge(setup, &case.value, repeated)
    };
    for note in &case.notes {
        reason.extend(["; ", note]);
    }
    let excuse = || setup.not_modelled().map(str::to_owned).or_else(|| case.excuse(setup));
    match verdict {
        Verdict::Fail => match excuse() {
            Some(why) => (Verdict::NotModelled, format!("{why} ({reason})")),
            None => (verdict, reason),
        },
        _ => (verdict, reason),
    }
}

#[cfg(test)]
mod tests;
