//! Istio's own test data, read in place beside the project, against the code behind `meshsim route` and
//! `meshsim lint`: no case fails, and what is not modelled is of a few named kinds.

use meshsim::manifest::gateway_api::conformance::{Files, Verdict};
use meshsim::manifest::istio::conformance::run;
use std::path::Path;

/// Parts of the reasons for which a case may be left out.
const NOT_MODELLED: [&str; 15] = [
    "a ListenerSet",
    "a ServiceEntry as parent",
    "a ServiceImport as backend",
    "a Hostname as backend",
    "a backend by host name",
    "an InferencePool",
    "a InferencePool as backend",
    "a gateway of another controller",
    "an HTTPS listener without tls",
    "conditions of ",
    "a certificate that has run out",
    "several clusters are not modelled",
    "versions of resource definitions",
    "no analyzer's case of it is known",
    "a rule by a regular expression",
];

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
fn no_case_of_istios_own_data_fails() {
    let folder = crate::tree::root().join("../shared/inputs/istio-conformance");
    if !folder.is_dir() {
        eprintln!("skipped: {} is not there", folder.display());
        return;
    }
    let mut files = Files::new();
    read(&folder, "", &mut files);
    let report = run(&files).expect("data that can be read");
    assert_eq!(report.count(Verdict::Fail), 0, "{report}");
    assert!(360 < report.count(Verdict::Pass), "{report}");
    let open = report.lines.iter().filter(|line| line.verdict == Verdict::NotModelled);
    let odd: Vec<&str> = open
        .filter(|line| !NOT_MODELLED.iter().any(|why| line.reason.contains(why)))
        .map(|line| line.reason.as_str())
        .collect();
    assert_eq!(odd, [""; 0]);
}
