//! Which files `--manifests` means, reading them, and telling what reading found.
//!
//! A path is a file of any name, a folder that holds some, or `-` for stdin. A pipe is read to its end,
//! so that `<(helm template …)` works.
//! Source: design of `kubectl apply -f`; docs/manifests.md.
//! Left out: patterns, which the shell has; URLs.

use super::ExitStatus;
use super::output::{Output, Trouble, reason};
use crate::manifest::findings::Findings;
use crate::manifest::loaded::Loaded;
use crate::manifest::source::FILE_BYTES_MAX;
use crate::plan::problem::Problem;
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// So many warnings are told one by one where they are not what was asked for.
const WARNINGS_TOLD: usize = 10;

/// Where manifests come from.
#[derive(Args)]
pub(super) struct Paths {
    /// Files of manifests, folders of them (.yaml, .yml, .json), or - for stdin
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    manifests: Vec<String>,
}

impl Paths {
    /// Reads everything, in the order of the paths and of names within a folder.
    pub(super) fn load(&self) -> Result<Loaded, Trouble> {
        load(&self.manifests)
    }
}

/// Reads everything below these paths, in their order and in that of names within a folder.
pub(super) fn load(paths: &[String]) -> Result<Loaded, Trouble> {
    let mut names = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        let mut here = Vec::new();
        match collect(path, &mut here) {
            Err(Trouble::Input(more)) => problems.extend(more),
            Err(trouble) => return Err(trouble),
            Ok(()) if here.is_empty() => problems.push(
                Problem::new(format!("{path}: there is no manifest in this folder"))
                    .hint("manifests are files that end with .yaml, .yml or .json"),
            ),
            Ok(()) => names.append(&mut here),
        }
    }
    if !problems.is_empty() {
        return Err(problems.into());
    }
    // A file and its folder may both be named; its objects are still there once.
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(fs::canonicalize(name).unwrap_or_else(|_| name.into())));
    let files = names.iter().map(|name| Ok((name.as_str(), bytes(name)?)));
    let files: Vec<(&str, Vec<u8>)> = files.collect::<Result<_, Trouble>>()?;
    Ok(Loaded::read(files.iter().map(|(name, bytes)| (*name, bytes.as_slice()))))
}

/// Adds the files that a path means.
fn collect(path: &str, found: &mut Vec<String>) -> Result<(), Trouble> {
    if path == "-" {
        found.push(path.to_owned());
        return Ok(());
    }
    let kind = fs::metadata(path).map_err(|error| trouble(path, &error))?;
    if kind.is_dir() {
        return inside(Path::new(path), found);
    }
    found.push(path.to_owned());
    Ok(())
}

fn inside(folder: &Path, found: &mut Vec<String>) -> Result<(), Trouble> {
    let told = |error: &io::Error| trouble(&folder.display().to_string(), error);
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(|error| told(&error))?;
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
            let text = path.to_str();
            let what = || Problem::new(format!("{}: its name is not UTF-8", path.display()));
            found.push(text.ok_or_else(what)?.to_owned());
        }
    }
    Ok(())
}

/// The bytes of a file, or of stdin; one more than are read, so that a longer file is told as such.
fn bytes(name: &str) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    let limit = FILE_BYTES_MAX as u64 + 1;
    let read = if name == "-" {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        fs::File::open(name).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| trouble(name, &error))?;
    Ok(bytes)
}

/// A path that leads nowhere is wrong input; what is there and cannot be read is the environment.
pub(super) fn trouble(path: &str, error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Problem::new(format!("{path}: {}", reason(error))).into()
        }
        _ => Trouble::io(path, error),
    }
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
    let lines = findings.ignored_lines();
    if !lines.is_empty() {
        let mut text = "Not simulated:\n".to_owned();
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
        output.talk(&text);
    }
    if findings.problems.is_empty() {
        return ExitStatus::Success;
    }
    output.end(Err(Trouble::Input(findings.problems.clone())))
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
