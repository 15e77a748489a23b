//! The harness over Istio's own validation data: documents that its API server refuses, and why.
//!
//! Each document of a file may carry `_err`, the words of Istio's refusal. The document must then be
//! refused here for the same reason; one without `_err` must be accepted.
//! Source: istio/istio `pkg/config/validation/testdata/crds` (the form of its files).
//! Left out: nothing.

use crate::manifest::gateway_api::conformance::Verdict;
use crate::manifest::istio::Istio;
use crate::manifest::istio::conformance::Case;
use crate::manifest::kubernetes::Cluster;
use crate::manifest::node::Node;
use crate::manifest::object::Manifests;

/// Judges each document of a file.
pub fn judge(file: &str, bytes: &[u8]) -> Vec<Case> {
    let mut pieces = Manifests::default();
    let source = match pieces.sources.add(file, bytes) {
        Ok(source) => source,
        Err(problem) => {
            let reason = problem.to_string();
            let name = format!("validation/{file}/-");
            return vec![Case { name, verdict: Verdict::Fail, reason }];
        }
    };
    let Some(text) = pieces.sources.get(source) else { return Vec::new() };
    let stem = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".yaml");
    let pieces: Vec<&str> = text.pieces().iter().map(|piece| piece.text).collect();
    pieces.iter().filter_map(|piece| document(stem, piece)).collect()
}

fn document(stem: &str, text: &str) -> Option<Case> {
    let head =
        crate::manifest::yaml::parse(0, crate::manifest::source::Piece { text, lines_before: 0 });
    let node = head.documents.first()?;
    let of = |key: &str| node.get(key).and_then(Node::text);
    of("kind")?;
    let expected = of("_err");
    let name = node.get("metadata").and_then(|meta| meta.get("name")).and_then(Node::text);
    let name = format!("validation/{stem}/{}", name.unwrap_or("-"));
    let mut manifests = Manifests::read([("case.yaml", text.as_bytes())]);
    let cluster = Cluster::of(&mut manifests);
    let _ = Istio::of(&mut manifests, &cluster);
    let told: Vec<&str> =
        manifests.findings.problems.iter().map(|problem| problem.what.as_str()).collect();
    let all = told.join("; ");
    let (verdict, reason) = match expected {
        None if told.is_empty() => (Verdict::Pass, "accepted".to_owned()),
        None => (Verdict::Fail, format!("must be accepted, was refused: {all}")),
        Some(expected) if told.iter().any(|told| same_reason(expected, told)) => {
            (Verdict::Pass, format!("refused: {all}"))
        }
        Some(expected) if told.is_empty() => {
            (Verdict::Fail, format!("must be refused: {expected}"))
        }
        Some(expected) => (Verdict::Fail, format!("must be refused for `{expected}`, not: {all}")),
    };
    Some(Case { verdict, name, reason })
}

/// Words of the API server and what they are here.
const SAME: &[(&str, &[&str])] = &[
    ("Required value", &["has no `"]),
    ("chars lon", &["chars long", "must not be empty"]),
    ("in body should be at least", &["must not be empty"]),
    ("wildcard not allowed", &["wildcard is not supported"]),
    ("must be of type object", &["must be a map"]),
    ("must be of type string", &["must be a string"]),
    ("should match", &["should match"]),
    ("port must be between 1-65535", &["from 1 to 65535", "between 1-65535"]),
    ("type conversion error", &["type conversion error"]),
    ("Duplicate value", &["Duplicate value", "is given twice"]),
    ("Invalid value", &["must be", "Invalid value"]),
    ("greater than or equal to", &["greater than or equal to"]),
    ("must be a valid duration", &["must be a valid duration"]),
    ("should have at least", &["should have at least"]),
];

/// Whether a problem says what the API server's words say: the same words, or the same kind of fault
/// at the same field.
pub fn same_reason(expected: &str, told: &str) -> bool {
    if told.contains(expected) {
        return true;
    }
    if let Some(value) = expected.strip_prefix("Unsupported value: ") {
        return told.contains(&format!("has no value `{}`", value.trim_matches('"')));
    }
    if let Some((_, rule)) =
        expected.split_once("Invalid value: \"").and_then(|(_, rest)| rest.split_once("\": "))
    {
        return same_reason(rule, told);
    }
    let Some((words, ours)) = SAME.iter().find(|(words, _)| expected.contains(words)) else {
        return false;
    };
    let field = expected.split(*words).next().unwrap_or("").trim();
    let field = field.trim_end_matches(" in body").trim_end_matches("in body should be at least 1");
    let field = field.trim().trim_end_matches(':').trim_end_matches(" in body").trim();
    let last = field.rsplit('.').next().unwrap_or("").trim();
    let same_field = last.is_empty() || last.contains(' ') || told.contains(last);
    same_field && ours.iter().any(|words| told.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_compared_by_kind_and_field() {
        assert!(same_reason("spec.hosts: Required value", "`ServiceEntry.spec` has no `hosts`"));
        assert!(!same_reason("spec.hosts: Required value", "`ServiceEntry.spec` has no `ports`"));
        assert!(same_reason("Unsupported value: \"X\"", "`a.mode` has no value `X`"));
        assert!(!same_reason("some rule", "some other rule"));
    }
}
