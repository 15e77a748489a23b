//! Istio's own test data, read in place; skipped with a note where it is absent.

use crate::manifest::istio::harness::{Case, Verdict, validation};
use crate::manifest::istio::harness_gateway::gateway;
use crate::manifest::tests::inputs;
use std::path::{Path, PathBuf};

fn yaml_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
    paths.sort();
    paths
}

/// How many passed; none may fail.
fn passed(cases: &[Case]) -> usize {
    let told = |case: &Case| format!("{}: {}", case.name, case.reason);
    let failed: Vec<String> =
        cases.iter().filter(|case| case.verdict == Verdict::Fail).map(told).collect();
    assert_eq!(failed, [""; 0]);
    cases.iter().filter(|case| case.verdict == Verdict::Pass).count()
}

#[test]
fn istios_own_documents_are_accepted_and_refused_as_there() {
    let folder = "istio-conformance/pkg/config/validation/testdata/crds";
    let Some(folder) = inputs(folder) else { return };
    let mut cases = Vec::new();
    for path in yaml_in(&folder) {
        cases.extend(validation(&path.display().to_string(), &std::fs::read(&path).unwrap()));
    }
    assert!(passed(&cases) > 90, "{}", passed(&cases));
}

#[test]
fn istios_translations_and_our_routes_agree() {
    let folder = "istio-conformance/pilot/pkg/config/kube/gateway/testdata";
    let Some(folder) = inputs(folder) else { return };
    let mut cases = Vec::new();
    for path in yaml_in(&folder) {
        let name = path.display().to_string();
        let golden = std::fs::read(format!("{name}.golden")).unwrap_or_default();
        cases.extend(gateway(&name, &std::fs::read(&path).unwrap(), &golden));
    }
    assert!(passed(&cases) > 55, "{}", passed(&cases));
}
