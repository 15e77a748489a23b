//! The context of one loading: the sources read so far, what is wrong with them, and what does
//! less than it looks like.
//!
//! Source: the house rule: all problems at once, each with a place and a hint.
//! Left out: what is read and not simulated, which has no key.

use super::document::{ASSUMED, At, MANIFESTS, Node, SET, Source};
use super::{Files, ManifestFiles};
use crate::plan::problem::Problem;
use std::collections::BTreeMap;

/// More problems than this help nobody.
const PROBLEMS_MAX: usize = 100;
/// More faults are not even kept.
const FAULTS_MAX: usize = 10_000;
/// Longer lists of names are not searched for a near one.
const NAMES_MAX: usize = 5_000;
/// A hint lists at most this many names.
const NAMES_SHOWN: usize = 16;

/// Something wrong at a stretch of a source.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Fault {
    pub(crate) at: At,
    pub(crate) what: String,
    pub(crate) hint: Option<String>,
}

impl Fault {
    /// A fault.
    pub(crate) fn new(at: At, what: impl Into<String>) -> Self {
        Self { at, what: what.into(), hint: None }
    }

    /// With a hint.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What one loading has read and found wrong.
pub(crate) struct Context<'f> {
    files: &'f dyn Files,
    /// Files and `--set` texts, in the order in which they were read.
    pub(crate) sources: Vec<Source>,
    /// What is wrong.
    pub(crate) faults: Vec<Fault>,
    /// What a mesh takes, but hardly anybody means.
    pub(crate) warnings: Vec<Fault>,
    /// Data files, so that each is read once.
    data: BTreeMap<String, Result<String, String>>,
    /// Manifests, so that each path is read once.
    manifests: BTreeMap<String, Result<ManifestFiles, String>>,
    /// What reading manifests found, with places of its own.
    pub(crate) foreign: Foreign,
}

/// What reading manifests found.
#[derive(Clone, Default, Debug)]
pub(crate) struct Foreign {
    /// What is wrong.
    pub(crate) problems: Vec<Problem>,
    /// What a mesh takes, but hardly anybody means.
    pub(crate) warnings: Vec<Problem>,
}

impl<'f> Context<'f> {
    /// Nothing read yet.
    pub(crate) fn new(files: &'f dyn Files) -> Self {
        Self {
            files,
            sources: Vec::new(),
            faults: Vec::new(),
            warnings: Vec::new(),
            data: BTreeMap::new(),
            manifests: BTreeMap::new(),
            foreign: Foreign::default(),
        }
    }

    /// Adds a source and names it.
    pub(crate) fn add(&mut self, name: &str, text: &str) -> u32 {
        self.sources.push(Source::new(name, text));
        u32::try_from(self.sources.len() - 1).expect("few sources")
    }

    /// Names a source, which is added if it is not there.
    pub(crate) fn add_once(&mut self, name: &str, text: &str) -> u32 {
        let known = self.sources.iter().position(|one| one.name == name && one.text == text);
        match known {
            Some(known) => u32::try_from(known).expect("few sources"),
            None => self.add(name, text),
        }
    }

    /// Whether nothing is wrong so far.
    pub(crate) fn is_clean(&self) -> bool {
        self.faults.is_empty() && self.foreign.problems.is_empty()
    }

    /// The manifests that a path means, relative to the file that names it; each path once.
    pub(crate) fn read_manifests(&mut self, at: At, path: &str) -> Result<ManifestFiles, String> {
        let is_typed = self.sources[at.source as usize].name == MANIFESTS;
        let full = if is_typed { path.to_owned() } else { join(&self.file_of(at), path) };
        let files = self.files;
        self.manifests.entry(full).or_insert_with_key(|full| files.manifests(full)).clone()
    }

    /// Reads a scenario file.
    pub(crate) fn read(&self, path: &str) -> Result<String, String> {
        self.files.read(path)
    }

    /// Reads a data file named in the source of `at`, relative to it; each file once.
    pub(crate) fn read_data(&mut self, at: At, path: &str) -> Result<String, String> {
        let full = join(&self.file_of(at), path);
        let files = self.files;
        self.data.entry(full).or_insert_with_key(|full| files.read(full)).clone()
    }

    /// Data files read, with their text.
    pub(crate) fn data_files(&self) -> impl Iterator<Item = (&String, &String)> {
        self.data.iter().filter_map(|(path, text)| Some((path, text.as_ref().ok()?)))
    }

    /// Notes a fault; of a flood only the first.
    pub(crate) fn report(&mut self, fault: Fault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }

    /// Notes a warning; members of a counted service share theirs.
    pub(crate) fn warn(&mut self, warning: Fault) {
        if self.warnings.len() < PROBLEMS_MAX && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Whether a place is in a `--set`.
    pub(crate) fn is_set(&self, at: At) -> bool {
        self.sources[at.source as usize].name == SET
    }

    /// Whether a place is in what is assumed.
    pub(crate) fn is_assumed(&self, at: At) -> bool {
        self.sources[at.source as usize].name == ASSUMED
    }

    /// Why the value at a place is assumed; empty if it is not.
    pub(crate) fn why_assumed(&self, at: At) -> &str {
        if !self.is_assumed(at) {
            return "";
        }
        let rest = self.sources[at.source as usize].text.get(at.end as usize..).unwrap_or("");
        let line = rest.split('\n').next().unwrap_or("");
        line.split_once(": ").map_or("", |(_, why)| why)
    }

    /// Forgets the faults that stand in a line with one of the syntax `errors`: they follow from it.
    pub(crate) fn forget_followers(&mut self, errors: &[At]) {
        let line = |at: &At| (at.source, self.sources[at.source as usize].line(at.start as usize));
        let lines: std::collections::BTreeSet<_> = errors.iter().map(line).collect();
        let keep: Vec<bool> = self
            .faults
            .iter()
            .map(|fault| errors.contains(&fault.at) || !lines.contains(&line(&fault.at)))
            .collect();
        let mut keep = keep.into_iter();
        self.faults.retain(|_| keep.next().unwrap_or(true));
    }

    /// Whether there are so many faults that hints are no longer worth their time.
    pub(crate) fn is_flooded(&self) -> bool {
        2 * PROBLEMS_MAX < self.faults.len()
    }

    /// The value, or none and its fault noted.
    pub(crate) fn ok<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.report(fault)).ok()
    }

    /// `file:line` of a stretch.
    pub(crate) fn file_and_line(&self, at: At) -> String {
        let source = &self.sources[at.source as usize];
        if self.is_set(at) {
            return format!("--set {}", source.text);
        }
        if source.name == MANIFESTS {
            return format!("{MANIFESTS} {}", source.text);
        }
        if self.is_assumed(at) {
            return ASSUMED.to_owned();
        }
        format!("{}:{}", source.name, source.line(at.start as usize))
    }

    /// The part of a text at bytes `start..end` of its value; all of it where the source spells it
    /// with escapes.
    pub(crate) fn inside(&self, node: &Node, start: usize, end: usize) -> At {
        let (Some(value), raw) = (node.as_text(), self.raw(node.at)) else { return node.at };
        let quotes = ["\"\"\"", "'''", "\"", "'"];
        let quote = quotes.iter().find(|quote| raw.starts_with(**quote)).map_or(0, |q| q.len());
        if raw.get(quote..raw.len() - quote.min(raw.len())) != Some(value) {
            return node.at;
        }
        let byte = |byte: usize| node.at.start + u32::try_from(quote + byte).unwrap_or(0);
        let end = end.min(value.len()).max(start);
        At { source: node.at.source, start: byte(start), end: byte(end) }
    }

    /// The line and column, from 1, at which the text of a value begins; none where the source spells it with
    /// escapes.
    pub(crate) fn begin_of_text(&self, node: &Node) -> Option<(usize, usize)> {
        let (value, raw) = (node.as_text()?, self.raw(node.at));
        let quotes = ["\"\"\"", "'''", "\"", "'"];
        let quote = quotes.iter().find(|quote| raw.starts_with(**quote))?.len();
        let inner = raw.get(quote..raw.len().checked_sub(quote)?)?;
        // A line's end right behind the quotes is no part of the text.
        let trimmed = if quote == 3 { inner.trim_start_matches('\r') } else { inner };
        let trimmed = if quote == 3 { trimmed.strip_prefix('\n').unwrap_or(inner) } else { inner };
        let source = &self.sources[node.at.source as usize];
        let begin = node.at.start as usize + quote + (inner.len() - trimmed.len());
        let line = source.line(begin);
        let line_start = source.text[..begin].rfind('\n').map_or(0, |at| at + 1);
        (trimmed == value).then(|| (line, source.text[line_start..begin].chars().count() + 1))
    }

    /// The faults as problems, in the order of the sources, the worst flood cut.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = self.told(self.faults.clone());
        add_foreign(&mut problems, &self.foreign.problems);
        problems
    }

    /// The warnings, in the same way.
    pub(crate) fn warnings(&self) -> Vec<Problem> {
        let mut warnings = self.told(self.warnings.clone());
        add_foreign(&mut warnings, &self.foreign.warnings);
        warnings
    }

    fn told(&self, mut faults: Vec<Fault>) -> Vec<Problem> {
        faults.sort();
        faults.dedup_by(|a, b| (a.at, &a.what) == (b.at, &b.what));
        let more = faults.len().saturating_sub(PROBLEMS_MAX);
        faults.truncate(PROBLEMS_MAX);
        let problem = |fault: Fault| Problem {
            place: Some(self.sources[fault.at.source as usize].place(fault.at)),
            what: fault.what,
            hint: fault.hint,
        };
        let mut problems: Vec<_> = faults.into_iter().map(problem).collect();
        if 0 < more {
            problems.push(Problem::new(format!("… and {more} more problems")));
        }
        problems
    }

    fn raw(&self, at: At) -> &str {
        let text = &self.sources[at.source as usize].text;
        text.get(at.start as usize..at.end as usize).unwrap_or("")
    }

    /// The file of a stretch; for a `--set`, the scenario file.
    fn file_of(&self, at: At) -> String {
        let name = &self.sources[at.source as usize].name;
        if name == SET { self.sources[0].name.clone() } else { name.clone() }
    }
}

/// Adds what manifests say, each once.
fn add_foreign(list: &mut Vec<Problem>, foreign: &[Problem]) {
    for problem in foreign {
        if PROBLEMS_MAX <= list.len() {
            return;
        }
        if !list.contains(problem) {
            list.push(problem.clone());
        }
    }
}

/// `path` as seen from the folder of `file`, without `.` and with `..` resolved where possible.
pub(crate) fn join(file: &str, path: &str) -> String {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let full = match (path.starts_with('/'), folder, file.starts_with('/')) {
        (true, ..) | (_, "", false) => path.to_owned(),
        _ => format!("{folder}/{path}"),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in full.split('/') {
        match part {
            "." => {}
            "" if !parts.is_empty() => {}
            ".." if parts.last().is_some_and(|last| *last != ".." && !last.is_empty()) => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The name nearest to `name`, if one is near enough to be meant.
pub(crate) fn nearest<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let length = name.chars().count();
    if 64 < length {
        return None;
    }
    let near = |one: &&str| {
        let distance = strsim::damerau_levenshtein(name, one);
        let prefix = one.starts_with(name) || name.starts_with(*one);
        let limit = (length.max(one.chars().count()) / 3).clamp(1, 4);
        (distance <= limit || prefix && 3 <= length && 3 <= one.len()).then_some(distance)
    };
    let found = names.into_iter().take(NAMES_MAX);
    let found = found.filter_map(|one| near(&one).map(|distance| (distance, one))).min();
    found.map(|(_, one)| one)
}

/// A hint for a name that is none of `names`.
pub(crate) fn known<'n>(
    name: &str,
    names: impl IntoIterator<Item = &'n str> + Clone,
    plural: &str,
) -> String {
    if let Some(near) = nearest(name, names.clone()) {
        return format!("did you mean `{near}`?");
    }
    let all: Vec<_> = names.into_iter().take(NAMES_SHOWN + 1).collect();
    match all.len() {
        0 => "there are none".to_owned(),
        count if count <= NAMES_SHOWN => format!("{plural}: {}", all.join(", ")),
        _ => format!("{plural}: {}, …", all[..NAMES_SHOWN].join(", ")),
    }
}
