//! Baselines: the committed `summary.json` of every scenario and variant.
//!
//! `<folder>/<scenario>.json`, `<folder>/<scenario>/<variant>.json`. Only `meshsim bless` writes.
//!
//! Source: docs/results.md.
//! Left out: removing baselines of scenarios that are gone; the user sees them in git.

use serde_json::Value;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the baseline of a scenario or of its variant is.
pub fn path(folder: &Path, scenario: &str, variant: Option<&str>) -> PathBuf {
    match variant {
        None => folder.join(format!("{scenario}.json")),
        Some(variant) => folder.join(scenario).join(format!("{variant}.json")),
    }
}

/// The baseline at `path`; none if there is no such file.
pub fn read(path: &Path) -> io::Result<Option<Value>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    Ok(Some(serde_json::from_str(&text)?))
}

/// A result as it would read back from a file: what is compared is what is written.
pub fn as_written(summary: &Value) -> Value {
    serde_json::from_str(&summary.to_string()).expect("what serde_json writes, it reads")
}

/// Writes a baseline under a temporary name and renames it.
pub fn write(path: &Path, summary: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension("json.part");
    fs::write(&temporary, summary)
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_baseline_reads_back_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let at = path(folder.path(), "outage/long", Some("quiet"));
        assert_eq!(read(&at).unwrap(), None);
        let summary = serde_json::json!({"requests": {"total": 3}});
        write(&at, &summary.to_string()).unwrap();
        assert_eq!(read(&at).unwrap(), Some(summary));
        let beside: Vec<_> = fs::read_dir(at.parent().unwrap()).unwrap().collect();
        assert_eq!(beside.len(), 1);
    }
}
