//! Which files `--manifests` means, reading them, and telling what reading found.
//!
//! A path is a file of any name, a folder that holds some, a pattern such as `k8s/*.yaml`, or `-` for stdin.
//! A pipe is read to its end, so that `<(helm template …)` works. Scenarios read theirs here, too.
//! Source: design of `kubectl apply -f`; docs/manifests.md.
//! Left out: URLs.

use super::ExitStatus;
use super::output::{Output, Trouble, reason};
use crate::manifest::findings::Findings;
use crate::manifest::loaded::Loaded;
use crate::manifest::source::FILE_BYTES_MAX;
use crate::plan::problem::Problem;
use clap::Args;
use glob::{MatchOptions, glob_with};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What stands for stdin.
pub(super) const STDIN: &str = "-";

/// So many warnings are told one by one where they are not what was asked for.
const WARNINGS_TOLD: usize = 10;

/// Where manifests come from.
#[derive(Args)]
pub(super) struct Paths {
    /// Files of manifests, folders of them (.yaml, .yml, .json), patterns, or - for stdin
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    manifests: Vec<String>,
}

impl Paths {
    /// Reads everything, in the order of the paths and of names within a folder.
    pub(super) fn load(&self) -> Result<Loaded, Trouble> {
        let mut all = Vec::new();
        let mut problems = Vec::new();
        for path in &self.manifests {
            match names(path) {
                Ok(mut names) => all.append(&mut names),
                Err(unread) => match Trouble::from(unread) {
                    Trouble::Input(more) => problems.extend(more),
                    trouble => return Err(trouble),
                },
            }
        }
        if !problems.is_empty() {
            return Err(problems.into());
        }
        // A file and its folder may both be named; its objects are still there once.
        let mut seen = BTreeSet::new();
        all.retain(|name| seen.insert(fs::canonicalize(name).unwrap_or_else(|_| name.into())));
        let files = all.iter().map(|name| Ok((name.as_str(), bytes(name)?)));
        let files: Vec<(&str, Vec<u8>)> = files.collect::<Result<_, Trouble>>()?;
        Ok(Loaded::read(files.iter().map(|(name, bytes)| (*name, bytes.as_slice()))))
    }
}

/// Why a path gives no manifests.
#[derive(Debug)]
pub(super) struct Unread {
    path: String,
    why: String,
    /// What is there and cannot be read is no matter of the input.
    is_input: bool,
}

impl Unread {
    fn new(path: impl Into<String>, why: impl Into<String>) -> Self {
        Self { path: path.into(), why: why.into(), is_input: true }
    }

    fn io(path: impl Into<String>, error: &io::Error) -> Self {
        let nowhere = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
        let is_input = nowhere.contains(&error.kind());
        Self { is_input, ..Self::new(path, reason(error)) }
    }

    /// Why, to one who knows which path was asked for.
    pub(super) fn told_of(self, path: &str) -> String {
        if self.path == path { self.why } else { format!("{}: {}", self.path, self.why) }
    }
}

impl From<Unread> for Trouble {
    fn from(unread: Unread) -> Self {
        let told = format!("{}: {}", unread.path, unread.why);
        if unread.is_input { Problem::new(told).into() } else { Self::Environment(told) }
    }
}

/// The files that a path means, in name order: of a folder those that are manifests by their names, of a
/// pattern all that it fits.
pub(super) fn names(path: &str) -> Result<Vec<String>, Unread> {
    if path == STDIN {
        return Ok(vec![path.to_owned()]);
    }
    let kind = match fs::metadata(path) {
        Err(_) if path.contains(['*', '?', '[']) => return fitting(path),
        kind => kind.map_err(|error| Unread::io(path, &error))?,
    };
    if !kind.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    inside(Path::new(path), &mut found)?;
    if found.is_empty() {
        let why = "there is no manifest in this folder; they end with .yaml, .yml or .json";
        return Err(Unread::new(path, why));
    }
    Ok(found)
}

/// What a pattern fits, with all that is in the folders among it.
fn fitting(pattern: &str) -> Result<Vec<String>, Unread> {
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let paths = glob_with(pattern, options)
        .map_err(|error| Unread::new(pattern, format!("it is no pattern: {}", error.msg)))?;
    let paths = paths.collect::<Result<Vec<PathBuf>, _>>();
    let mut paths =
        paths.map_err(|error| Unread::io(error.path().to_string_lossy(), error.error()))?;
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            inside(&path, &mut found)?;
        } else {
            found.push(name_of(&path)?);
        }
    }
    if found.is_empty() {
        return Err(Unread::new(pattern, "no file fits this pattern"));
    }
    Ok(found)
}

fn inside(folder: &Path, found: &mut Vec<String>) -> Result<(), Unread> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(|error| Unread::io(folder.display().to_string(), &error))?;
    entries.sort();
    for path in entries {
        let name = path.file_name().map_or(&b""[..], |name| name.as_encoded_bytes());
        if name.starts_with(b".") {
            continue;
        }
        // A link to a folder may lead back here.
        let is_link = path.is_symlink();
        if path.is_dir() {
            if !is_link {
                inside(&path, found)?;
            }
            continue;
        }
        let end = path.extension().and_then(|end| end.to_str()).map(str::to_ascii_lowercase);
        if matches!(end.as_deref(), Some("yaml" | "yml" | "json")) {
            found.push(name_of(&path)?);
        }
    }
    Ok(())
}

fn name_of(path: &Path) -> Result<String, Unread> {
    let name = path.to_str().map(str::to_owned);
    name.ok_or_else(|| Unread::new(path.display().to_string(), "its name is not UTF-8"))
}

/// The bytes of a file, or of stdin; one more than are read, so that a longer file is told as such.
pub(super) fn bytes(name: &str) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    let limit = FILE_BYTES_MAX as u64 + 1;
    let read = if name == STDIN {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        fs::File::open(name).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| Unread::io(name, &error))?;
    Ok(bytes)
}

/// Tells what reading found; with a problem, the command ends as for wrong input.
pub(super) fn tell(findings: &Findings, all: bool, output: Output) -> ExitStatus {
    let told = if all { usize::MAX } else { WARNINGS_TOLD };
    let warnings = &findings.warnings[..findings.warnings.len().min(told)];
    output.warn(warnings);
    let left = findings.warnings.len() - warnings.len();
    if 0 < left {
        output.talk(&format!("… and {left} warnings more: `meshsim lint` tells all\n"));
    }
    tell_ignored(&findings.ignored_lines(), usize::MAX, output);
    if findings.problems.is_empty() {
        return ExitStatus::Success;
    }
    output.end(Err(Trouble::Input(findings.problems.clone())))
}

/// Tells what is not simulated; of a long list the first, and how many more there are.
pub(super) fn tell_ignored(lines: &[String], most: usize, output: Output) {
    if lines.is_empty() {
        return;
    }
    let mut text = "Not simulated:\n".to_owned();
    for line in lines.iter().take(most) {
        let _ = writeln!(text, "  {line}");
    }
    let left = lines.len().saturating_sub(most);
    if 0 < left {
        let _ = writeln!(text, "  … and {left} more, all of them in summary.json");
    }
    output.talk(&text);
}

/// What reading found, for programs: fields of a line.
pub(super) fn fields(findings: &Findings) -> [(&'static str, Value); 4] {
    let list = |problems: &[Problem]| problems.iter().map(problem).collect::<Vec<_>>().into();
    [
        ("problems", list(&findings.problems)),
        ("warnings", list(&findings.warnings)),
        ("ignored", json!(findings.ignored)),
        ("not_modelled", json!(findings.not_modelled)),
    ]
}

fn problem(problem: &Problem) -> Value {
    let place = problem.place.as_ref();
    json!({
        "file": place.map(|place| &place.file),
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
        "what": problem.what,
        "hint": problem.hint,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_holds_its_manifests_in_name_order_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("b/.git")).unwrap();
        for name in ["c.yaml", "b/z.json", "b/a.YML", "b/.git/x.yaml", "readme.md"] {
            fs::write(at(name), "").unwrap();
        }
        let root = folder.path().to_str().unwrap().to_owned();
        let manifests = vec![root.clone(), at("c.yaml").to_str().unwrap().to_owned()];
        let loaded = Paths { manifests }.load().unwrap();
        let sources = loaded.manifests.sources.list;
        let names: Vec<_> = sources.iter().map(|source| &source.name[root.len() + 1..]).collect();
        assert_eq!(names, ["b/a.YML", "b/z.json", "c.yaml"]);
        let failed = |path: String| Paths { manifests: vec![path] }.load().unwrap_err();
        assert!(matches!(failed(format!("{root}/none.yaml")), Trouble::Input(_)));
        fs::create_dir(at("empty")).unwrap();
        assert!(matches!(failed(format!("{root}/empty")), Trouble::Input(_)));
    }
}
