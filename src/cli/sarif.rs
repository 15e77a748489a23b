//! Findings in the format that code scanners read.
//!
//! Source: OASIS SARIF 2.1.0, sections 3.13 (log), 3.19 (tool), 3.27 (results).
//! Left out: fingerprints, code flows, fixes as edits.

use crate::manifest::findings::Findings;
use crate::manifest::lint::{Finding, Severity};
use crate::plan::problem::{Place, Problem};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Where the format is described.
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// Rules for what reading the manifests finds.
const INPUT: [(&str, &str, &str); 3] = [
    ("invalid-input", "InvalidInput", "what a cluster refuses, or what is no manifest"),
    ("hardly-meant", "HardlyMeant", "what a cluster takes, but hardly anybody means"),
    ("not-simulated", "NotSimulated", "what a mesh reads and meshsim does not simulate"),
];

/// The log: one run with all findings, and what reading found.
pub(super) fn log(found: &[Finding], read: &Findings) -> Value {
    let mut rules = BTreeMap::new();
    for finding in found {
        rules.entry(finding.code).or_insert_with(|| {
            json!({
                "id": finding.code, "name": finding.name,
                "shortDescription": { "text": finding.why },
                "help": { "text": finding.fix },
                "defaultConfiguration": { "level": level(finding.severity) },
            })
        });
    }
    for (id, name, text) in INPUT {
        rules.insert(id, json!({ "id": id, "name": name, "shortDescription": { "text": text } }));
    }
    let index = |id: &str| rules.keys().position(|key| *key == id).unwrap_or_default();
    let mut results: Vec<Value> = Vec::new();
    for finding in found {
        let text = format!("{}: {}; {}", finding.object, finding.what, finding.fix);
        let place = Some(&finding.place);
        let (id, level) = (finding.code, level(finding.severity));
        results.push(result(id, index(id), level, &text, place));
    }
    let problems = read.problems.iter().map(|one| (INPUT[0].0, "error", one));
    let warnings = read.warnings.iter().map(|one| (INPUT[1].0, "warning", one));
    for (id, level, problem) in problems.chain(warnings) {
        results.push(result(id, index(id), level, &words(problem), problem.place.as_ref()));
    }
    for (name, ignored) in read.ignored.iter().chain(&read.not_modelled) {
        let text = [name.as_str(), &ignored.why].join(": ");
        let text = text.trim_end_matches(": ");
        let id = INPUT[2].0;
        results.push(result(id, index(id), "note", text, Some(&ignored.place)));
    }
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "meshsim", "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.into_values().collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn words(problem: &Problem) -> String {
    match &problem.hint {
        Some(hint) => format!("{}; {hint}", problem.what),
        None => problem.what.clone(),
    }
}

fn result(id: &str, index: usize, level: &str, text: &str, place: Option<&Place>) -> Value {
    let mut result = json!({
        "ruleId": id, "ruleIndex": index, "level": level, "message": { "text": text },
    });
    if let Some(place) = place {
        let (line, column) = (place.line.max(1), place.column.max(1));
        result["locations"] = json!([{ "physicalLocation": {
            "artifactLocation": { "uri": uri(&place.file) },
            "region": {
                "startLine": line, "startColumn": column, "endColumn": column + place.width.max(1),
            },
        }}]);
    }
    result
}

/// A file name as a relative URI: what may not stand in one is written as percent signs and digits.
fn uri(name: &str) -> String {
    let mut uri = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::loaded::Loaded;

    #[test]
    fn every_result_names_a_rule_that_is_there() {
        let text = "kind: VirtualService\napiVersion: networking.istio.io/v1\n\
                    metadata: {name: a}\nspec: {hosts: [a], gateways: [gone], bogus: 1}\n---\n[\n";
        let loaded = Loaded::read([("a b.yaml", text.as_bytes())]);
        let log = log(&loaded.lint(), &loaded.manifests.findings);
        let run = &log["runs"][0];
        let results = run["results"].as_array().unwrap();
        assert!(3 <= results.len(), "{log}");
        for result in results {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
        }
        let place = &results[0]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20b.yaml");
    }
}
