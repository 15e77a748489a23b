//! The harness on the given cases (read in place, skipped if they are not there) and on own ones.

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
    let Some(folder) = inputs("gateway-api-conformance") else { return };
    let mut files = Files::new();
    read(&folder, "", &mut files);
    let expectations = String::from_utf8(files["expectations.json"].clone()).unwrap();
    let report = run(&expectations, &files).unwrap();
    let failed: Vec<String> = report
        .lines
        .iter()
        .filter(|line| line.verdict == Verdict::Fail)
        .map(|line| format!("{}: {}", line.name, line.reason))
        .collect();
    assert_eq!(failed, [""; 0], "{report}");
    let passed = report.count(Verdict::Pass);
    assert!(passed * 100 >= report.lines.len() * 95, "{report}");
}
