//! What reading the manifests found: problems, warnings, and everything that is not simulated.
//!
//! The rule is that nothing is dropped in silence. A *problem* makes the input invalid; a *warning* is
//! accepted by the mesh but hardly meant; an *ignored* field is read by the mesh and not simulated; a
//! kind that is *not modelled* is named with how many objects it has.
//! Source: the project's rule for input errors: all at once, each with a place and a hint.
//! Left out: rendering for people; these are values that the terminal and JSON print.

use crate::manifest::source::{At, Sources};
use crate::plan::problem::{Place, Problem};
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use std::collections::BTreeMap;

/// Most problems, and most warnings, that are told one by one.
pub const TOLD_MAX: usize = 2_000;

/// Everything that was found, in the order of reading.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Findings {
    /// What makes the input invalid.
    pub problems: Vec<Problem>,
    /// What is accepted but hardly meant.
    pub warnings: Vec<Problem>,
    /// Fields that a mesh reads and meshsim does not, by `Kind.path.to.field` without list indices.
    pub ignored: BTreeMap<String, Ignored>,
    /// Kinds of objects that are not simulated, by `apiVersion/Kind`.
    pub not_modelled: BTreeMap<String, Ignored>,
}

/// One entry of the ignored list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ignored {
    /// The first place where it is used.
    pub place: Place,
    /// How often it is used.
    pub count: u32,
    /// What the field does and why that is not simulated; may be empty.
    pub why: String,
}

impl Findings {
    /// Notes a field that the mesh reads and we do not.
    pub fn ignore(&mut self, sources: &Sources, field: String, at: At, why: &str) {
        note(&mut self.ignored, sources, field, at, why);
    }

    /// Notes an object of a kind that is not simulated.
    pub fn not_modelled(&mut self, sources: &Sources, kind: String, at: At, why: &str) {
        note(&mut self.not_modelled, sources, kind, at, why);
    }

    /// Notes a problem at a place.
    pub fn problem(&mut self, sources: &Sources, at: At, what: impl Into<String>, hint: &str) {
        tell(&mut self.problems, "problems", sources, at, what, hint);
    }

    /// Notes a warning at a place.
    pub fn warning(&mut self, sources: &Sources, at: At, what: impl Into<String>, hint: &str) {
        tell(&mut self.warnings, "warnings", sources, at, what, hint);
    }

    /// Adds what was found later.
    pub fn add(&mut self, later: Self) {
        self.problems.extend(later.problems);
        self.warnings.extend(later.warnings);
        let lists =
            [(&mut self.ignored, later.ignored), (&mut self.not_modelled, later.not_modelled)];
        for (list, later) in lists {
            for (name, entry) in later {
                match list.get_mut(&name) {
                    Some(known) => known.count += entry.count,
                    None => drop(list.insert(name, entry)),
                }
            }
        }
    }

    /// The ignored list as lines of text, `file:line: field (n times): why`.
    pub fn ignored_lines(&self) -> Vec<String> {
        let fields = self.ignored.iter().map(|(field, entry)| entry.line("ignored", field));
        let kinds = self.not_modelled.iter().map(|(kind, entry)| entry.line("not modelled", kind));
        fields.chain(kinds).collect()
    }
}

impl Ignored {
    fn line(&self, verb: &str, name: &str) -> String {
        let times =
            if self.count == 1 { String::new() } else { format!(" ({} times)", self.count) };
        let why = if self.why.is_empty() { String::new() } else { format!(": {}", self.why) };
        format!("{}:{}: {verb} {name}{times}{why}", self.place.file, self.place.line)
    }
}

impl Serialize for Ignored {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Ignored", 4)?;
        fields.serialize_field("file", &self.place.file)?;
        fields.serialize_field("line", &self.place.line)?;
        fields.serialize_field("count", &self.count)?;
        fields.serialize_field("why", &self.why)?;
        fields.end()
    }
}

fn note(list: &mut BTreeMap<String, Ignored>, sources: &Sources, name: String, at: At, why: &str) {
    list.entry(name).and_modify(|entry| entry.count += 1).or_insert_with(|| Ignored {
        place: sources.place(at),
        count: 1,
        why: why.to_owned(),
    });
}

/// Adds to a list, up to [`TOLD_MAX`]; the last entry says that there are more.
fn tell(
    list: &mut Vec<Problem>,
    name: &str,
    sources: &Sources,
    at: At,
    what: impl Into<String>,
    hint: &str,
) {
    if list.len() > TOLD_MAX {
        return;
    }
    if list.len() == TOLD_MAX {
        list.push(Problem::new(format!("more than {TOLD_MAX} {name}; the rest is not told")));
        return;
    }
    let problem = Problem::new(what).at(sources.place(at));
    list.push(if hint.is_empty() { problem } else { problem.hint(hint) });
}
