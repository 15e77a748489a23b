//! Compares the simulator with what was measured on a real Envoy: every case of a folder.
//!
//! usage: envoy-truth [FOLDER]; the folder defaults to the copy among the tests.
//!
//! Exit status: 1 if a case failed, 2 if the folder cannot be read.

use meshsim::check::truth::run::Verdict;
use meshsim::check::truth::{check, read_folder};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

#[expect(clippy::print_stderr, reason = "talk goes to stderr")]
fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/truth/envoy");
    let folder = words.next().map_or_else(|| PathBuf::from(default), PathBuf::from);
    if words.next().is_some() {
        eprintln!("usage: envoy-truth [FOLDER]");
        return ExitCode::from(2);
    }
    let files = match read_folder(&folder) {
        Ok(files) => files,
        Err(error) => {
            eprintln!("envoy-truth: {error}");
            return ExitCode::from(2);
        }
    };
    let report = check(&files);
    // A reader that went away is no failure.
    let _gone = write!(std::io::stdout(), "{report}");
    if report.count(Verdict::Fail) == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
