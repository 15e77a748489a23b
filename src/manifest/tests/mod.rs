//! Tests of reading as a whole: broken manifests, hostile texts, real samples.

mod broken;
mod fuzz;
mod hostile;
mod routes;
mod samples;

use std::path::{Path, PathBuf};

/// A folder of real manifests beside the project, read in place; none where it is not there.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(in crate::manifest) fn inputs(folder: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/inputs").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there", path.display());
    None
}
