//! Istio's own test data, judged by the code behind `meshsim route` and `meshsim lint`.
//!
//! In comes a folder's files; out comes a line a case, as the Gateway API's harness prints it. Families:
//! `validation` (documents that must be accepted, or refused for the same reason), `analyzers` (files and
//! the findings that they must give), `gateway` (routes that the control plane makes of the Gateway API's),
//! `status` (the conditions that it writes), `benchmarks` (templates that must be read without a problem).
//! Source: istio/istio `pkg/config/validation/testdata/crds`, `pkg/config/analysis/analyzers` (its table of
//! findings is `analyzers.txt` here, as the data itself holds none), `pilot/pkg/config/kube/gateway/testdata`,
//! `pilot/pkg/xds/testdata/benchmarks`.
//! Left out: what each line says that is `not-modelled`.

pub mod analyzers;
pub mod benchmarks;
pub mod gateway;
pub mod status;
pub mod validation;

use crate::manifest::gateway_api::conformance::{Files, Line, Report, Verdict};
use std::collections::BTreeMap;

/// A line of the report.
pub type Case = Line;

/// What a file of the folder is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Family {
    Validation,
    Analyzers,
    Gateway,
    Benchmarks,
    /// What Istio makes of another file.
    Golden,
}

/// Judges all cases of a folder, given by the files' names in it; the error says why there are none.
pub fn run(files: &Files) -> Result<Report, String> {
    let mut cases = Vec::new();
    let mut analyzed: Files = Files::new();
    let mut prefix = "";
    for (name, bytes) in files {
        let golden = |end: &str| files.get(&name.replace(".yaml", end)).map(Vec::as_slice);
        match family(name, bytes, files) {
            Some(Family::Validation) => cases.extend(validation::judge(name, bytes)),
            Some(Family::Benchmarks) => cases.push(benchmarks::judge(name, bytes)),
            Some(Family::Gateway) => {
                let made = golden(".yaml.golden").unwrap_or_default();
                cases.extend(gateway::judge(name, bytes, made));
                if let Some(conditions) = golden(".status.yaml.golden") {
                    cases.extend(status::judge(name, bytes, made, conditions));
                }
            }
            Some(Family::Analyzers) => {
                if let Some(at) = name.find(ANALYZERS) {
                    prefix = &name[..at + ANALYZERS.len()];
                }
                let own = name.strip_prefix(prefix).unwrap_or(name);
                analyzed.insert(own.to_owned(), bytes.clone());
            }
            Some(Family::Golden) | None => {}
        }
    }
    cases.extend(analyzers::judge(&analyzed));
    if cases.is_empty() {
        return Err("it has none of Istio's test data".to_owned());
    }
    Ok(Report { lines: told(cases) })
}

const ANALYZERS: &str = "analyzers/testdata/";

/// By the folder's own names where they are there, else by what is in the file.
fn family(name: &str, bytes: &[u8], files: &Files) -> Option<Family> {
    let is = |end: &str| name.ends_with(end);
    if is(".golden") {
        return Some(Family::Golden);
    }
    if !is(".yaml") {
        return None;
    }
    let has = |part: &str| format!("/{name}").contains(part);
    let within = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    if has("/crds/") || is("-valid.yaml") || is("-invalid.yaml") {
        Some(Family::Validation)
    } else if files.contains_key(&format!("{name}.golden")) {
        Some(Family::Gateway)
    } else if has("/benchmarks/") || within(b"until .Services") {
        Some(Family::Benchmarks)
    } else {
        Some(Family::Analyzers)
    }
}

/// Names that come twice get a number, and reasons are one line.
fn told(mut cases: Vec<Case>) -> Vec<Case> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for case in &mut cases {
        case.reason = case.reason.replace(['\t', '\n', '\r'], " ");
        let count = seen.entry(case.name.clone()).or_default();
        *count += 1;
        if *count > 1 {
            case.name = format!("{}~{count}", case.name);
        }
    }
    cases
}

/// A case by its parts.
fn case(name: impl Into<String>, verdict: Verdict, reason: impl Into<String>) -> Case {
    Case { verdict, name: name.into(), reason: reason.into() }
}

/// The file's own name without its end.
fn stem(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file).trim_end_matches(".yaml")
}

#[cfg(test)]
mod tests;
