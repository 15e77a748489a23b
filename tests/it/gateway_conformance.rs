//! `meshsim route` against the expectations of the Gateway API's conformance tests, which are read in
//! place beside the project: every case passes, but for the named ones that cannot be judged.

use meshsim::manifest::gateway_api::conformance::{Files, Verdict, run};
use std::path::Path;

/// Cases whose values the expectations do not give.
const NOT_GIVEN: [&str; 2] =
    ["HTTPRouteHTTPSListenerDetectMisdirectedRequests/0", "HTTPRouteServiceTypes/0"];

fn read(folder: &Path, prefix: &str, files: &mut Files) {
    for entry in std::fs::read_dir(folder).expect("a folder that can be read").flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            read(&entry.path(), &format!("{name}/"), files);
        } else {
            files.insert(name, std::fs::read(entry.path()).expect("a file that can be read"));
        }
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn every_given_case_passes_but_the_named() {
    let folder = crate::tree::root().join("../shared/inputs/gateway-api-conformance");
    if !folder.is_dir() {
        eprintln!("skipped: {} is not there", folder.display());
        return;
    }
    let mut files = Files::new();
    read(&folder, "", &mut files);
    let expectations = String::from_utf8(files["expectations.json"].clone()).expect("UTF-8");
    let report = run(&expectations, &files).expect("expectations that can be read");
    let open = report.lines.iter().filter(|line| line.verdict != Verdict::Pass);
    let open: Vec<(&str, bool)> =
        open.map(|line| (line.name.as_str(), line.verdict == Verdict::Fail)).collect();
    assert_eq!(open, NOT_GIVEN.map(|name| (name, false)), "{report}");
    assert!(140 < report.count(Verdict::Pass), "{report}");
}
