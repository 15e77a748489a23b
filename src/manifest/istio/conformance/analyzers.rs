//! What Istio's analyzers find in their own test data.
//!
//! A case is one analyzer over one or more files. Its findings here are those of the rule with the
//! analyzer's name: code and object must be the same, as often.
//! Source: istio/istio `pkg/config/analysis/analyzers/analyzers_test.go` (its table is `analyzers.txt`).
//! Left out: analyzers of several clusters, of resource definitions' versions, of certificates' dates.

use crate::manifest::gateway_api::conformance::{Files, Verdict};
use crate::manifest::istio::Istio;
use crate::manifest::istio::conformance::{Case, case};
use crate::manifest::kubernetes::Cluster;
use crate::manifest::lint::{self, Finding};
use crate::manifest::object::Manifests;
use crate::manifest::source::Piece;
use crate::manifest::yaml;
use std::collections::BTreeSet;

const TABLE: &str = include_str!("analyzers.txt");

/// Judges all cases whose files are there, and names files that no case uses.
pub fn judge(files: &Files) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut used: BTreeSet<String> = BTreeSet::new();
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split(" | ");
        let (Some(names), Some(rule), Some(expected)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let names: Vec<&str> = names.split(" + ").collect();
        let file = |name: &&str| format!("{}.yaml", name.trim_start_matches("mesh:"));
        if names.iter().any(|name| !files.contains_key(&file(name))) {
            continue;
        }
        used.extend(names.iter().map(file));
        let name = format!("analyzers/{}/{rule}", names.join("+"));
        cases.push(match expected.strip_prefix('?') {
            Some(why) => case(name, Verdict::NotModelled, why),
            None => compared(name, rule, expected, &findings(files, &names)),
        });
    }
    for name in files.keys().filter(|name| !used.contains(*name)) {
        let name = format!("analyzers/{}/-", name.trim_end_matches(".yaml"));
        cases.push(case(name, Verdict::NotModelled, "no analyzer's case of it is known"));
    }
    cases
}

fn compared(name: String, rule: &str, expected: &str, found: &[Finding]) -> Case {
    let own = found.iter().filter(|finding| finding.rule == rule);
    let mut found: Vec<String> = own
        .map(|finding| format!("{} {}", finding.code, finding.object.replace(" default/", " ")))
        .collect();
    found.sort();
    if rule == "envoyfilter.EnvoyPatchAnalyzer" {
        // These messages have no words of their own, and the same message is told once.
        found.dedup();
    }
    let parts = expected.split("; ").filter(|part| *part != "-");
    let (open, wanted): (Vec<&str>, Vec<&str>) = parts.partition(|part| part.starts_with('?'));
    let count = |list: &[String], line: &str| list.iter().filter(|known| *known == line).count();
    let wanted: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
    let differ = |these: &[String], those: &[String]| -> Vec<String> {
        let more = |line: &&String| count(these, line) > count(those, line);
        let all: BTreeSet<&String> = these.iter().filter(more).collect();
        all.into_iter().cloned().collect()
    };
    let (missing, extra) = (differ(&wanted, &found), differ(&found, &wanted));
    if !missing.is_empty() || !extra.is_empty() {
        let reason = format!("not found: {missing:?}; found besides: {extra:?}");
        return case(name, Verdict::Fail, reason);
    }
    if let Some(why) = open.first() {
        let reason = format!("{} found; not so: {}", found.len(), &why[1..]);
        return case(name, Verdict::NotModelled, reason);
    }
    let reason = if found.is_empty() { "nothing found".to_owned() } else { found.join("; ") };
    case(name, Verdict::Pass, reason)
}

fn findings(files: &Files, names: &[&str]) -> Vec<Finding> {
    let bytes = |name: &str| files.get(&format!("{name}.yaml")).map_or(&[][..], Vec::as_slice);
    let plain = names.iter().filter(|name| !name.starts_with("mesh:"));
    let mut manifests = Manifests::read(plain.map(|name| (*name, bytes(name))));
    let mut cluster = Cluster::of(&mut manifests);
    if let Some(name) = names.iter().find_map(|name| name.strip_prefix("mesh:")) {
        let text = String::from_utf8_lossy(bytes(name));
        let parsed = yaml::parse(0, Piece { text: &text, lines_before: 0 });
        cluster.mesh_config = parsed.documents.into_iter().next();
    }
    let istio = Istio::of(&mut manifests, &cluster);
    lint::istio(&manifests.objects, &cluster, &istio, &manifests.sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_compared_as_often_as_they_come() {
        let found = findings(&Files::new(), &[]);
        assert_eq!(compared("a".into(), "r", "-", &found).verdict, Verdict::Pass);
        assert_eq!(compared("a".into(), "r", "IST0101 Gateway a", &found).verdict, Verdict::Fail);
        let open = compared("a".into(), "r", "?dates are not read", &found);
        assert_eq!(open.verdict, Verdict::NotModelled);
    }

    #[test]
    fn the_table_can_be_read() {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
        assert!(lines.clone().all(|line| line.split(" | ").count() == 3));
        assert!(lines.count() > 90);
    }
}
