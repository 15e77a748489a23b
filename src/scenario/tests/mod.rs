//! Tests of the whole reading: good files, broken files, nonsense.

mod broken;
mod brought;
mod fuzz;
mod good;
mod large;
mod manifests;
mod schema;
mod warned;

use super::{Files, Loaded, ManifestFiles, load};
use crate::plan::problem::Problem;
use std::collections::BTreeMap;

/// The example of docs/scenarios.md, completed with the services that it speaks of.
const NORMATIVE: &str = include_str!("normative.toml");

/// Files in memory.
struct Memory(BTreeMap<String, String>);

impl Files for Memory {
    fn read(&self, path: &str) -> Result<String, String> {
        self.0.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    }

    fn manifests(&self, path: &str) -> Result<ManifestFiles, String> {
        let folder = format!("{path}/");
        let all = self.0.iter().filter(|(name, _)| *name == path || name.starts_with(&folder));
        let all: Vec<_> =
            all.map(|(name, text)| (name.clone(), text.clone().into_bytes())).collect();
        if all.is_empty() { Err("no such file or folder".to_owned()) } else { Ok(all) }
    }
}

fn files(list: &[(&str, &str)]) -> Memory {
    Memory(list.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
}

fn read(text: &str) -> Result<Loaded, Vec<Problem>> {
    load(&files(&[("s.toml", text)]), "s.toml", &[], None)
}

fn read_with(text: &str, sets: &[&str]) -> Result<Loaded, Vec<Problem>> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    load(&files(&[("s.toml", text)]), "s.toml", &sets, None)
}

fn print(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn good(text: &str) -> Loaded {
    read(text).unwrap_or_else(|problems| panic!("{}", print(&problems)))
}
