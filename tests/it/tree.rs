//! The files of this repository, as the tests of the house read them.

use meshsim::scenario::Files;
use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file, by its path from the root.
pub(crate) fn read(path: &str) -> String {
    let text = fs::read_to_string(root().join(path));
    text.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below a folder, by its path from the root with `/`, in order. None if there is no
/// such folder. Folders of results, of builds and of git are not entered.
pub(crate) fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    collect(&root().join(folder), &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("an entry of a folder").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        if matches!(name, ".git" | "target") || name.ends_with('~') {
            continue;
        }
        if path.is_dir() {
            let own = root().join("results");
            if path.parent() != Some(&own) || matches!(name, "baseline" | "gallery") {
                collect(&path, found);
            }
        } else {
            found.push(from_root(&path));
        }
    }
}

fn from_root(path: &Path) -> String {
    let path: PathBuf = path.strip_prefix(root()).expect("a path below the root").into();
    let parts = path.iter().map(|part| part.to_str().expect("UTF-8"));
    parts.collect::<Vec<_>>().join("/")
}

/// Files below a folder whose names end so.
pub(crate) fn files_of(folder: &str, end: &str) -> Vec<String> {
    files(folder).into_iter().filter(|path| path.ends_with(end)).collect()
}

/// Whether texts that are made are to be written, not compared: `MESHSIM_BLESS=1`.
pub(crate) fn blesses() -> bool {
    std::env::var_os("MESHSIM_BLESS").is_some_and(|value| value == "1")
}

/// A text that is made: compares the file with it, or writes the file.
pub(crate) fn is_made(path: &str, made: &str) {
    if blesses() {
        fs::write(root().join(path), made).unwrap_or_else(|error| panic!("{path}: {error}"));
        return;
    }
    let found = read(path);
    if found != made {
        let line = found.lines().zip(made.lines()).take_while(|(one, other)| one == other).count();
        let at = |text: &str| text.lines().nth(line).unwrap_or("(the end)").to_owned();
        panic!(
            "{path}:{} is stale: MESHSIM_BLESS=1 cargo test --release --test it writes it anew\n\
             is:     {}\nshould: {}",
            line + 1,
            at(&found),
            at(made)
        );
    }
}

/// Fails with all findings at once, a line each.
pub(crate) fn none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// Scenarios are read from the project's folder.
pub(crate) struct Tree;

impl Files for Tree {
    fn read(&self, path: &str) -> Result<String, String> {
        Ok(read(path))
    }
}
