//! Puts Istio's own test data to the code behind `meshsim route` and `meshsim lint`: a line a case.
//!
//! usage: istio-conformance [FOLDER]; it defaults to one beside the project; where that is not there,
//! nothing is compared.
//!
//! Exit status: 1 if a case failed, 2 if the folder cannot be read.

use meshsim::manifest::gateway_api::conformance::{Files, Report, Verdict};
use meshsim::manifest::istio::conformance::run;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[expect(clippy::print_stderr, reason = "talk goes to stderr")]
fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let named = words.next().map(PathBuf::from);
    if words.next().is_some() {
        eprintln!("usage: istio-conformance [FOLDER]");
        return ExitCode::from(2);
    }
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/inputs/istio-conformance");
    let folder = named.clone().unwrap_or_else(|| PathBuf::from(default));
    if named.is_none() && !folder.exists() {
        eprintln!("istio-conformance: skipped: {} is not there", folder.display());
        return ExitCode::SUCCESS;
    }
    let report = match judged(&folder) {
        Ok(report) => report,
        Err(why) => {
            eprintln!("istio-conformance: {}: {why}", folder.display());
            return ExitCode::from(2);
        }
    };
    // A reader that went away is no failure.
    let _gone = write!(io::stdout(), "{report}");
    if report.count(Verdict::Fail) == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn judged(folder: &Path) -> Result<Report, String> {
    let mut files = Files::new();
    read(folder, "", &mut files).map_err(|error| error.to_string())?;
    run(&files)
}

fn read(folder: &Path, prefix: &str, files: &mut Files) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            read(&entry.path(), &format!("{name}/"), files)?;
        } else {
            files.insert(name, std::fs::read(entry.path())?);
        }
    }
    Ok(())
}
