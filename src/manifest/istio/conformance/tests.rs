//! Istio's own test data, read in place; skipped with a note where it is absent.
//!
//! Source: istio's repository, the folders that [`super`] names.
//! Left out: cases that are not modelled, which the report names.

use super::*;
use crate::manifest::tests::inputs;
use std::path::Path;

fn read(folder: &Path, prefix: &str, files: &mut Files) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            read(&entry.path(), &format!("{name}/"), files);
        } else if let Ok(bytes) = std::fs::read(entry.path()) {
            files.insert(name, bytes);
        }
    }
}

#[test]
fn the_given_cases_hold() {
    let Some(folder) = inputs("istio-conformance") else { return };
    let mut files = Files::new();
    read(&folder, "", &mut files);
    let report = run(&files).unwrap();
    let failed = report.lines.iter().filter(|line| line.verdict == Verdict::Fail);
    let failed: Vec<String> =
        failed.map(|line| format!("{}: {}", line.name, line.reason)).collect();
    assert_eq!(failed, [""; 0], "{report}");
    assert!(report.count(Verdict::Pass) > 360, "{report}");
}

/// Own files: a case of each family that must fail where its input is wrong.
#[test]
fn what_is_wrong_fails() {
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\n";
    let mut files = Files::new();
    let mut add = |name: &str, text: String| files.insert(name.to_owned(), text.into_bytes());
    add("crds/own-valid.yaml", format!("{rule}spec: {{}}\n"));
    add(
        "crds/own-invalid.yaml",
        format!("_err: 'spec.host: Required value'\n{rule}spec: {{host: a}}\n"),
    );
    add("x/benchmarks/own.yaml", "{{- range $i := until .Services }}\n{{- end }}\n".to_owned());
    add("analyzers/testdata/webhook.yaml", rule.to_owned() + "spec: {host: a}\n");
    let service = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v}\nspec:\n  \
                   hosts: [a.shop.svc.domain.suffix]\n  gateways: [mesh]\n  http: [{directResponse: {status: 418}}]\n";
    add("g.yaml", "kind: none\n".to_owned());
    add("g.yaml.golden", service.to_owned());
    let report = run(&files).unwrap();
    let told: Vec<String> =
        report.lines.iter().map(|line| format!("{:?} {}", line.verdict, line.name)).collect();
    assert_eq!(
        told,
        [
            "Fail validation/own-invalid/a",
            "Fail validation/own-valid/a",
            "Fail gateway/g/v/0",
            "Fail benchmarks/own",
            "Fail analyzers/webhook/webhook.Analyzer",
        ],
        "{report}"
    );
    assert!(run(&Files::new()).is_err());
}
