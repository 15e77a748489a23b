//! Typed access to a map of a manifest: every field is read, ignored by name, passed over, or unknown.
//!
//! A [`Reader`] stands on one map. It answers fields by name and type, notes every problem with its
//! place and goes on, and remembers what it was asked for. When it is done ([`Reader::finish`], called
//! by itself for nested maps), each field that nobody asked for is a warning with the nearest known name.
//! Null counts as absent, as it does to the API server; an empty list or map does not.
//! Source: Kubernetes API conventions ("Optional vs. required"); server-side field validation.
//! Left out: defaults (each kind knows its own), and admission webhooks' own checks.

mod lists;
pub(in crate::manifest) mod pitfalls;

use crate::manifest::findings::Findings;
use crate::manifest::node::{Entry, Node, Value};
use crate::manifest::object::{Object, nearest};
use crate::manifest::source::{At, Sources};
use crate::manifest::units::{self, DurationForm};
use std::ops::RangeInclusive;

/// Most unknown fields that are told of one map.
const UNKNOWN_MAX: usize = 20;

/// Reads the fields of one map.
pub struct Reader<'n, 'f> {
    node: &'n Node,
    /// The field's path for messages, such as `VirtualService.spec.http[0]`.
    path: String,
    sources: &'f Sources,
    findings: &'f mut Findings,
    asked: Vec<&'static str>,
    /// Whether something was wrong in the map itself, so that its reader may have stopped early.
    stopped: bool,
    /// Set if the map has keys of the user's choice, so that none is unknown.
    open: bool,
}

/// A number or a name, as ports are given.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum IntOrText {
    /// A number.
    Int(i64),
    /// A string: a port's name, or a percentage.
    Text(String),
}

/// A string and where it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Word {
    /// The string.
    pub text: String,
    /// Where it is.
    pub at: At,
}

/// Reads an object: `read` gets a reader on its whole document, with the head already asked for.
pub fn object<T>(
    object: &Object,
    sources: &Sources,
    findings: &mut Findings,
    read: impl FnOnce(&mut Reader<'_, '_>) -> T,
) -> T {
    let path = object.id.kind.clone();
    let mut reader = Reader::new(&object.node, path, sources, findings);
    reader.pass(&["apiVersion", "kind", "metadata", "status"]);
    let value = read(&mut reader);
    reader.finish();
    value
}

impl<'n, 'f> Reader<'n, 'f> {
    /// A reader on a map; anything else is a problem and reads as an empty map.
    pub fn new(
        node: &'n Node,
        path: String,
        sources: &'f Sources,
        findings: &'f mut Findings,
    ) -> Self {
        let (asked, stopped, open) = (Vec::new(), false, false);
        let mut reader = Self { node, path, sources, findings, asked, stopped, open };
        if !matches!(node.value, Value::Map(_)) {
            let what = format!("`{}` must be a map, not {}", reader.path, node.kind());
            reader.problem(node.at, what, "");
        }
        reader
    }

    // ---- where and what ----

    /// Where the map is.
    pub fn at(&self) -> At {
        self.node.at
    }

    /// Where a field's value is, or its key if it has none, or else the map.
    pub fn at_field(&self, name: &str) -> At {
        self.node.entry(name).map_or(self.node.at, |entry| entry.value.at)
    }

    /// The map itself.
    pub fn node(&self) -> &'n Node {
        self.node
    }

    /// The path of the map, for messages.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the field is there and not null. Does not count as asked for.
    pub fn has(&self, name: &str) -> bool {
        self.node.get(name).is_some()
    }

    /// The field's tree, unread; counts as asked for.
    pub fn raw(&mut self, name: &'static str) -> Option<&'n Node> {
        self.asked.push(name);
        self.node.get(name)
    }

    // ---- scalars ----

    /// A string.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        self.word(name).map(|word| word.text)
    }

    /// A string with its place.
    pub fn word(&mut self, name: &'static str) -> Option<Word> {
        let node = self.raw(name)?;
        let text = self.text_of(node, &self.sub(name))?;
        Some(Word { text, at: node.at })
    }

    /// A string that must be there; the problem says so if it is not.
    pub fn needed_text(&mut self, name: &'static str) -> Option<String> {
        let is_there = self.has(name);
        let text = self.text(name);
        if !is_there {
            self.missing(name);
        }
        text
    }

    /// A whole number in a range.
    pub fn int(&mut self, name: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let node = self.raw(name)?;
        let path = self.sub(name);
        let number = match node.value {
            Value::Int(number) => Some(number),
            #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
            Value::Float(number)
                if number.abs() < 9e15 && number.trunc().total_cmp(&number).is_eq() =>
            {
                Some(number as i64)
            }
            _ => None,
        };
        let Some(number) = number else {
            let hint = if node.text().is_some_and(|text| text.parse::<i64>().is_ok()) {
                "take the quotes away"
            } else {
                ""
            };
            self.problem(
                node.at,
                format!("`{path}` must be a whole number, not {}", node.kind()),
                hint,
            );
            return None;
        };
        let written = self.sources.written(node.at);
        let is_int = matches!(node.value, Value::Int(_));
        if let Some(what) = pitfalls::octal(&written, number).filter(|_| is_int) {
            self.warning(node.at, what, "write it without the zeros in front");
        }
        if !range.contains(&number) {
            let (low, high) = (range.start(), range.end());
            let what = format!("`{path}` must be from {low} to {high}, not {number}");
            self.problem(node.at, what, "");
            return None;
        }
        Some(number)
    }

    /// A whole number from 0 that fits 32 bits.
    pub fn count(&mut self, name: &'static str) -> Option<u32> {
        self.int(name, 0..=i64::from(i32::MAX)).and_then(|number| u32::try_from(number).ok())
    }

    /// A port number.
    pub fn port(&mut self, name: &'static str) -> Option<u16> {
        self.int(name, 1..=65535).and_then(|number| u16::try_from(number).ok())
    }

    /// A boolean.
    pub fn bool(&mut self, name: &'static str) -> Option<bool> {
        let node = self.raw(name)?;
        if let Value::Bool(value) = node.value {
            return Some(value);
        }
        let what = format!("`{}` must be true or false, not {}", self.sub(name), node.kind());
        let quoted = matches!(node.text(), Some("true" | "false"));
        self.problem(node.at, what, if quoted { "take the quotes away" } else { "" });
        None
    }

    /// A number, with a fraction or without (Istio's percentages).
    pub fn float(&mut self, name: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
        let node = self.raw(name)?;
        let number = match node.value {
            Value::Int(number) => number as f64,
            Value::Float(number) => number,
            _ => {
                let what = format!("`{}` must be a number, not {}", self.sub(name), node.kind());
                self.problem(node.at, what, "");
                return None;
            }
        };
        if range.contains(&number) {
            return Some(number);
        }
        let (low, high) = (range.start(), range.end());
        let what = format!("`{}` must be from {low} to {high}, not {number}", self.sub(name));
        self.problem(node.at, what, "");
        None
    }

    /// A number or a string.
    pub fn int_or_text(&mut self, name: &'static str) -> Option<IntOrText> {
        let node = self.raw(name)?;
        match &node.value {
            Value::Int(number) => Some(IntOrText::Int(*number)),
            Value::Text(text) => Some(IntOrText::Text(text.clone())),
            _ => {
                let path = self.sub(name);
                let what = format!("`{path}` must be a number or a string, not {}", node.kind());
                self.problem(node.at, what, "");
                None
            }
        }
    }

    /// A duration in nanoseconds, in the form that this API takes.
    pub fn duration_ns(&mut self, name: &'static str, form: DurationForm) -> Option<u64> {
        let node = self.node.get(name);
        let number = node.filter(|node| matches!(node.value, Value::Int(_) | Value::Float(_)));
        if let Some(node) = number {
            self.asked.push(name);
            let what = format!("`{}` is a duration: it needs a unit", self.sub(name));
            self.problem(node.at, what, "such as 2s or 500ms");
            return None;
        }
        let word = self.word(name)?;
        match units::duration_ns(&word.text, form) {
            Ok(duration) => Some(duration),
            Err(hint) => {
                let what = format!("`{}`: `{}` is no duration", self.sub(name), word.text);
                self.problem(word.at, what, &hint);
                None
            }
        }
    }

    /// A quantity (`100m`, `1Gi`) in thousandths.
    pub fn quantity_milli(&mut self, name: &'static str) -> Option<u128> {
        let node = self.raw(name)?;
        let text = match &node.value {
            Value::Int(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            _ => String::new(),
        };
        let quantity = units::quantity_milli(&text);
        if quantity.is_none() {
            let what = format!("`{}`: `{text}` is no quantity", self.sub(name));
            self.problem(node.at, what, "such as 100m, 0.5, 2, 128Mi, 1Gi");
        }
        quantity
    }

    /// One of some words, each with what it means.
    pub fn one_of<T: Copy>(
        &mut self,
        name: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let word = self.word(name)?;
        if let Some((_, value)) = words.iter().find(|(known, _)| *known == word.text) {
            return Some(*value);
        }
        let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
        let hint = match nearest(&word.text, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("one of {}", known.join(", ")),
        };
        let what = format!("`{}` has no value `{}`", self.sub(name), word.text);
        self.problem(word.at, what, &hint);
        None
    }

    // ---- what is not read ----

    /// Fields that the mesh reads and meshsim does not simulate; those that are set are listed.
    pub fn ignore(&mut self, names: &[&'static str], why: &str) {
        for name in names {
            self.asked.push(name);
            if let Some(entry) = self.node.entry(name).filter(|entry| !entry.value.is_null()) {
                let field = units::without_indices(&self.sub(name));
                self.findings.ignore(self.sources, field, entry.key_at, why);
            }
        }
    }

    /// The same for a field whose default (which the API server writes into every object) is simulated.
    pub fn ignore_unless(&mut self, name: &'static str, default: &str, why: &str) {
        if self.node.get(name).is_some_and(|node| node.text() == Some(default)) {
            self.asked.push(name);
        } else {
            self.ignore(&[name], why);
        }
    }

    /// Fields that no mesh reads for its decisions.
    pub fn pass(&mut self, names: &[&'static str]) {
        self.asked.extend(names);
    }

    /// Takes all fields as known: the map belongs to somebody else (`volumes`, `affinity`).
    pub fn pass_all(&mut self) {
        self.open = true;
    }

    /// Warns about each field that nobody asked for. Nested readers do it by themselves. After a problem
    /// in the map its reader may have stopped early: then only misspelt fields are told.
    pub fn finish(&mut self) {
        if self.open {
            return;
        }
        let is_unknown = |entry: &&Entry| {
            let key = entry.key.as_str();
            !self.asked.contains(&key) && (!self.stopped || nearest(key, &self.asked).is_some())
        };
        let unknown: Vec<&Entry> = self.node.entries().iter().filter(is_unknown).collect();
        for entry in unknown.iter().take(UNKNOWN_MAX) {
            let near = nearest(&entry.key, &self.asked);
            let hint = near.map_or_else(
                || "the API server drops it, and kubectl apply refuses it".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            let what =
                format!("`{}` has no field `{}`", units::without_indices(&self.path), entry.key);
            self.findings.warning(self.sources, entry.key_at, what, &hint);
        }
        if let Some(entry) = unknown.get(UNKNOWN_MAX) {
            let what =
                format!("and {} more fields that are not known", unknown.len() - UNKNOWN_MAX);
            self.findings.warning(self.sources, entry.key_at, what, "");
        }
    }

    // ---- problems ----

    /// Notes a problem.
    pub fn problem(&mut self, at: At, what: impl Into<String>, hint: &str) {
        self.stopped = true;
        self.findings.problem(self.sources, at, what, hint);
    }

    /// Notes a warning.
    pub fn warning(&mut self, at: At, what: impl Into<String>, hint: &str) {
        self.findings.warning(self.sources, at, what, hint);
    }

    /// Notes that a field must be there and is not.
    pub fn missing(&mut self, name: &str) {
        let what = format!("`{}` has no `{name}`", self.path);
        let keys: Vec<&str> = self.node.entries().iter().map(|entry| entry.key.as_str()).collect();
        let hint = nearest(name, &keys).map_or(String::new(), |near| format!("is `{near}` meant?"));
        self.problem(self.node.at, what, &hint);
    }

    fn sub(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    fn text_of(&mut self, node: &Node, path: &str) -> Option<String> {
        if let Some(text) = node.text() {
            return Some(text.to_owned());
        }
        let what = format!("`{path}` must be a string, not {}", node.kind());
        let hint = match node.value {
            Value::Bool(_) => pitfalls::boolean(&self.sources.written(node.at)),
            Value::Int(_) | Value::Float(_) => "put it in quotes",
            _ => "",
        };
        self.problem(node.at, what, hint);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::object::Manifests;

    fn told(spec: &str, read: impl FnOnce(&mut Reader<'_, '_>)) -> (Vec<String>, Vec<String>) {
        let text = format!("apiVersion: v1\nkind: Service\nmetadata: {{name: a}}\nspec:\n{spec}");
        let Manifests { sources, objects, mut findings } =
            Manifests::read([("a.yaml", text.as_bytes())]);
        object(&objects[0], &sources, &mut findings, |reader| {
            reader.map("spec", read);
        });
        let lines = |list: &[crate::plan::problem::Problem]| {
            list.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let mut warnings = lines(&findings.warnings);
        warnings.extend(findings.ignored_lines());
        (lines(&findings.problems), warnings)
    }

    #[test]
    fn every_problem_is_told_with_its_place() {
        let spec = "  port: \"80\"\n  weight: 2000000\n  wait: 10\n  mode: STRICTT\n  hosts: a\n";
        let (problems, _) = told(spec, |spec| {
            assert_eq!(spec.port("port"), None);
            assert_eq!(spec.int("weight", 0..=1_000_000), None);
            assert_eq!(spec.duration_ns("wait", DurationForm::Go), None);
            assert_eq!(spec.one_of("mode", &[("STRICT", 1), ("DISABLE", 2)]), None);
            assert!(spec.texts("hosts").is_empty());
            assert_eq!(spec.needed_text("name"), None);
        });
        let expected = [
            "a.yaml:5:9: `Service.spec.port` must be a whole number, not a string\n  hint: take the quotes away",
            "a.yaml:6:11: `Service.spec.weight` must be from 0 to 1000000, not 2000000",
            "a.yaml:7:9: `Service.spec.wait` is a duration: it needs a unit\n  hint: such as 2s or 500ms",
            "a.yaml:8:9: `Service.spec.mode` has no value `STRICTT`\n  hint: did you mean `STRICT`?",
            "a.yaml:9:10: `Service.spec.hosts` must be a list, not a string\n  hint: start each element with `- `",
            "a.yaml:5:3: `Service.spec` has no `name`",
        ];
        assert_eq!(problems, expected);
    }

    #[test]
    fn nothing_is_dropped_in_silence() {
        let spec =
            "  portz:\n  - {name: a, image: x}\n  - {name: b, nmae: c}\n  cors: {}\n  empty:\n";
        let (problems, warnings) = told(spec, |spec| {
            assert!(!spec.has("empty"));
            let names = spec.list("portz", |port| {
                port.pass(&["image"]);
                port.text("name")
            });
            assert_eq!(names.len(), 2);
            spec.ignore(&["cors", "fault"], "not simulated");
            spec.text("emptyy");
        });
        assert_eq!(problems, [""; 0]);
        let expected = [
            "a.yaml:7:15: `Service.spec.portz[]` has no field `nmae`\n  hint: did you mean `name`?",
            "a.yaml:9:3: `Service.spec` has no field `empty`\n  hint: did you mean `emptyy`?",
            "a.yaml:8: ignored Service.spec.cors: not simulated",
        ];
        assert_eq!(warnings, expected);
    }
}
