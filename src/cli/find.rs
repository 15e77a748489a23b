//! Which files a path means, and reading them.
//!
//! Source: docs/results.md: a scenario, or a folder that holds some, in a stable order.
//! Left out: patterns of scenarios; the shell has them.

use super::manifests;
use super::output::reason;
use crate::plan::problem::Problem;
use crate::scenario::{Files, ManifestFiles};
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// No scenario is longer: a device file would never end.
const BYTES_MAX: u64 = 64 << 20;

/// How a file begins that others build on, and that is no scenario by itself.
const BASE_MARK: &str = "# base:";

/// The files on this machine.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// Stdin can be read once.
    stdin: OnceLock<Result<Vec<u8>, String>>,
}

impl Files for Disk {
    fn read(&self, path: &str) -> Result<String, String> {
        let mut text = String::new();
        let kind = fs::metadata(path).map_err(|error| reason(&error))?;
        if !kind.is_file() && !kind.is_dir() {
            // A pipe without a writer would wait for ever.
            return Err("it is no regular file".to_owned());
        }
        let file = fs::File::open(path).map_err(|error| reason(&error))?;
        let read = file.take(BYTES_MAX + 1).read_to_string(&mut text);
        match read {
            Err(error) => Err(reason(&error)),
            Ok(bytes) if BYTES_MAX < bytes as u64 => Err("it is longer than 64 MiB".to_owned()),
            Ok(_) => Ok(text),
        }
    }

    fn manifests(&self, path: &str) -> Result<ManifestFiles, String> {
        if path == manifests::STDIN {
            let read = || manifests::bytes(path).map_err(|unread| unread.told_of(path));
            let bytes = self.stdin.get_or_init(read).clone();
            return bytes.map(|bytes| vec![(path.to_owned(), bytes)]);
        }
        let named = manifests::names(path).and_then(|names| {
            let one = |name: String| Ok((name.clone(), manifests::bytes(&name)?));
            names.into_iter().map(one).collect()
        });
        named.map_err(|unread| unread.told_of(path))
    }
}

/// Every scenario that the paths are or hold, in name order within each path.
pub(super) fn scenarios(paths: &[String]) -> Result<Vec<String>, Vec<Problem>> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        let mut here = Vec::new();
        if let Err(problem) = collect(Path::new(path), true, &mut here) {
            problems.push(problem);
        } else if here.is_empty() {
            problems.push(
                Problem::new(format!("{path}: there is no scenario in this folder"))
                    .hint("scenarios are files that end with .toml"),
            );
        }
        found.append(&mut here);
    }
    // A file and its folder may both be named; it is still one scenario.
    let mut seen = BTreeSet::new();
    found.retain(|path| seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.into())));
    if problems.is_empty() { Ok(found) } else { Err(problems) }
}

fn collect(path: &Path, is_named: bool, found: &mut Vec<String>) -> Result<(), Problem> {
    let trouble =
        |error: &std::io::Error| Problem::new(format!("{}: {}", path.display(), reason(error)));
    let kind = if is_named { fs::metadata(path) } else { fs::symlink_metadata(path) };
    let kind = kind.map_err(|error| trouble(&error))?;
    if kind.is_dir() {
        let mut inside: Vec<PathBuf> = fs::read_dir(path)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
            .map_err(|error| trouble(&error))?;
        inside.sort();
        inside.retain(|path| !is_hidden(path));
        return inside.iter().try_for_each(|path| collect(path, false, found));
    }
    let is_toml = path.extension().is_some_and(|extension| extension == "toml");
    if is_named || is_toml && !is_base(path) {
        let text = path.to_str();
        found.push(
            text.ok_or_else(|| Problem::new(format!("{}: its name is not UTF-8", path.display())))?
                .to_owned(),
        );
    }
    Ok(())
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn is_base(path: &Path) -> bool {
    path.to_str()
        .and_then(|path| Disk::default().read(path).ok())
        .is_some_and(|text| text.starts_with(BASE_MARK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_holds_its_scenarios_in_name_order_and_bases_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("b/.git")).unwrap();
        for (name, text) in [
            ("c.toml", "# A claim."),
            ("b/z.toml", ""),
            ("b/a.toml", ""),
            ("b/.git/x.toml", ""),
            ("base.toml", "# base: for the others"),
            ("readme.md", ""),
        ] {
            fs::write(at(name), text).unwrap();
        }
        let root = folder.path().to_str().unwrap().to_owned();
        let twice = [root.clone(), at("c.toml").to_str().unwrap().to_owned()];
        let found = scenarios(&twice).unwrap();
        let names: Vec<_> = found.iter().map(|path| &path[root.len() + 1..]).collect();
        assert_eq!(names, ["b/a.toml", "b/z.toml", "c.toml"]);
        assert!(scenarios(&[format!("{root}/b/.git/y")]).is_err());
        fs::create_dir(at("empty")).unwrap();
        assert!(scenarios(&[format!("{root}/empty")]).is_err());
    }
}
