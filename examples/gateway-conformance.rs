//! Compares `meshsim route` with the expectations of the Gateway API's conformance tests: a line a case.
//!
//! usage: gateway-conformance [FOLDER]; the folder holds `expectations.json` and the manifests that it
//! names. It defaults to one beside the project; where that is not there, nothing is compared.
//!
//! Exit status: 1 if a case failed, 2 if the folder cannot be read.

use meshsim::manifest::gateway_api::conformance::{Files, Verdict, run};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[expect(clippy::print_stderr, reason = "talk goes to stderr")]
fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let named = words.next().map(PathBuf::from);
    if words.next().is_some() {
        eprintln!("usage: gateway-conformance [FOLDER]");
        return ExitCode::from(2);
    }
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/inputs/gateway-api-conformance");
    let folder = named.clone().unwrap_or_else(|| PathBuf::from(default));
    if named.is_none() && !folder.exists() {
        eprintln!("gateway-conformance: skipped: {} is not there", folder.display());
        return ExitCode::SUCCESS;
    }
    let report = match judged(&folder) {
        Ok(report) => report,
        Err(why) => {
            eprintln!("gateway-conformance: {}: {why}", folder.display());
            return ExitCode::from(2);
        }
    };
    // A reader that went away is no failure.
    let _gone = write!(io::stdout(), "{report}");
    if report.count(Verdict::Fail) == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn judged(folder: &Path) -> Result<meshsim::manifest::gateway_api::conformance::Report, String> {
    let mut files = Files::new();
    read(folder, "", &mut files).map_err(|error| error.to_string())?;
    let expectations = files.get("expectations.json").ok_or("it has no expectations.json")?;
    let expectations = String::from_utf8(expectations.clone());
    run(&expectations.map_err(|_| "expectations.json is not UTF-8")?, &files)
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
