//! Writes the files of a run so that an interrupted run leaves no half file.
//!
//! Every file is written under a temporary name beside its place; only when all are whole, they
//! are renamed. Whatever goes wrong before leaves the folder as it was.
//!
//! Source: docs/results.md; POSIX `rename` replaces a file in one step.
//! Left out: syncing to the disk; a power loss may lose a result, which can be made again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Temporary names are this, the file's name and [`AFTER`].
const BEFORE: &str = ".";
const AFTER: &str = ".meshsim-part";
/// Folders below the results that belong to `bless`, not to a run.
const COMMITTED: [&str; 2] = ["baseline", "gallery"];

/// Writes every file into `folder`, which is made if need be.
pub fn write_all(folder: &Path, files: &[(&str, Vec<u8>)]) -> io::Result<()> {
    fs::create_dir_all(folder).map_err(|error| at(folder, &error))?;
    remove_stale(folder);
    let written = files
        .iter()
        .try_for_each(|(name, bytes)| {
            let path = temporary(folder, name);
            fs::write(&path, bytes).map_err(|error| at(&folder.join(name), &error))
        })
        .and_then(|()| files.iter().try_for_each(|(name, _)| rename(folder, name)));
    if written.is_err() {
        for (name, _) in files {
            // The first trouble is what is told; a second one here adds nothing.
            drop(fs::remove_file(temporary(folder, name)));
        }
    }
    written
}

/// The folder of a scenario below the results, for its name such as `outages/control-plane`.
pub fn folder(name: &str) -> Result<PathBuf, String> {
    let refuse = |why: &str| Err(format!("`{}` cannot name a folder: {why}", name.escape_debug()));
    if name.is_empty() {
        return refuse("it is empty");
    }
    if name.chars().any(char::is_control) {
        return refuse("it holds a control character");
    }
    if name.contains('\\') || name.contains(':') {
        return refuse("it holds a `\\` or a `:`, which mean other places on other systems");
    }
    if name.starts_with('/') {
        return refuse("it is absolute");
    }
    for segment in name.split('/') {
        match segment {
            "" => return refuse("it has an empty part"),
            "." | ".." => return refuse("it leaves the results"),
            _ => {}
        }
    }
    match COMMITTED.iter().find(|one| name.split('/').next() == Some(one)) {
        Some(one) => refuse(&format!("`{one}` belongs to `meshsim bless`")),
        None => Ok(name.split('/').collect()),
    }
}

fn temporary(folder: &Path, name: &str) -> PathBuf {
    debug_assert!(!name.contains(['/', '\\']), "{name} is a name, not a path");
    folder.join(format!("{BEFORE}{name}{AFTER}"))
}

fn rename(folder: &Path, name: &str) -> io::Result<()> {
    let path = folder.join(name);
    fs::rename(temporary(folder, name), &path).map_err(|error| at(&path, &error))
}

/// What a killed run left behind. Not being able to remove it is no reason to fail.
fn remove_stale(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|name| {
            name.strip_prefix(BEFORE).is_some_and(|rest| rest.ends_with(AFTER))
        });
        if ours {
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// The error with the place where it happened; its kind stays.
fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_whole_and_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        write_all(&folder, &[("x", b"old".to_vec())]).unwrap();
        fs::write(folder.join(".y.meshsim-part"), "stale").unwrap();
        write_all(&folder, &[("x", b"new".to_vec()), ("z", Vec::new())]).unwrap();
        assert_eq!(names(&folder), ["x", "z"]);
        assert_eq!(fs::read(folder.join("x")).unwrap(), b"new");
    }

    /// The second file cannot be written because a folder has its temporary name, which stands for
    /// a disk that is full by then: the first must not appear either.
    #[test]
    fn an_interrupted_write_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let blocked = temporary(root.path(), "b");
        fs::create_dir(&blocked).unwrap();
        let files = [("a", b"1".to_vec()), ("b", b"2".to_vec())];
        let error = write_all(root.path(), &files).unwrap_err();
        assert!(error.to_string().contains(&root.path().join("b").display().to_string()));
        fs::remove_dir(&blocked).unwrap();
        assert_eq!(names(root.path()), Vec::<String>::new());
    }

    #[test]
    fn a_failed_rename_leaves_no_temporary_file() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("a")).unwrap();
        write_all(root.path(), &[("a", b"1".to_vec()), ("b", b"2".to_vec())]).unwrap_err();
        assert_eq!(names(root.path()), ["a"]);
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_is_an_error_and_stays() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("results");
        fs::write(&file, "mine").unwrap();
        write_all(&file, &[("a", Vec::new())]).unwrap_err();
        write_all(&file.join("deeper"), &[("a", Vec::new())]).unwrap_err();
        assert_eq!(fs::read(&file).unwrap(), b"mine");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_as_one() {
        let full = fs::write("/dev/full", "x").unwrap_err();
        let error = at(Path::new("results/a"), &full);
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().starts_with("results/a: "), "{error}");
    }

    #[test]
    fn a_folder_stays_below_the_results() {
        for name in ["outage", "outages/control-plane", "a.b", "..a", "a/..b", "über"] {
            assert_eq!(folder(name), Ok(PathBuf::from(name)), "{name}");
        }
        for name in [
            "",
            "/",
            "/etc",
            "..",
            "a/../b",
            "./a",
            "a//b",
            "a/",
            "a\nb",
            "a\\b",
            "C:a",
            "baseline/a",
        ] {
            assert!(folder(name).is_err(), "{name}");
        }
    }
}
