//! Kubernetes objects: documents with an apiVersion, a kind and a name.
//!
//! Lists (`kind: List`, `ServiceList`, what `kubectl get -o yaml` writes) are unwrapped. An object that
//! comes twice is applied twice: the later one wins where the first stood, with a warning. Documents
//! that hold only comments (Helm writes them) are nothing.
//! Source: Kubernetes API conventions, "Objects" and "Lists"; `kubectl apply -f`, order of files.
//! Left out: merging (`apply` merges with the live object; here the later one replaces the earlier).

use crate::manifest::findings::Findings;
use crate::manifest::kinds::{self, Use};
use crate::manifest::node::{Node, Value};
use crate::manifest::reader::pitfalls;
use crate::manifest::source::{At, DOCUMENTS_MAX, Sources};
use crate::manifest::yaml;
use std::collections::BTreeMap;
use std::fmt;

/// The namespace of an object that names none, as `kubectl` without a context has it.
pub const DEFAULT_NAMESPACE: &str = "default";

/// After so many kinds that are not modelled, no nearest kind is looked for any more.
const UNKNOWN_KINDS_MAX: usize = 500;

/// Lists in lists deeper than this are refused.
const LIST_DEPTH_MAX: usize = 4;

/// Labels or annotations.
pub type Labels = BTreeMap<String, String>;

/// What makes an object unique.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Id {
    /// The group of its apiVersion; empty for the core group.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty for kinds that live in none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// One object.
#[derive(Clone, PartialEq, Debug)]
pub struct Object {
    /// Group, kind, namespace, name.
    pub id: Id,
    /// The version of its apiVersion, such as `v1`.
    pub version: String,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `metadata.annotations`.
    pub annotations: Labels,
    /// `metadata.creationTimestamp` as it stands, which sorts by time (RFC 3339 in UTC).
    pub created: Option<String>,
    /// Where the object starts.
    pub at: At,
    /// Where its name is.
    pub name_at: At,
    /// The whole document.
    pub node: Node,
}

/// All objects that were read, with their texts and findings.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Manifests {
    /// The texts.
    pub sources: Sources,
    /// The objects, in the order in which they first came.
    pub objects: Vec<Object>,
    /// What was found so far; the readers of kinds add to it.
    pub findings: Findings,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

impl Object {
    /// Whether it is of this group and kind.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.id.group == group && self.id.kind == kind
    }
}

impl Manifests {
    /// Reads texts, given as (name, bytes) in the order in which they would be applied.
    pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut reading = Reading { manifests: Self::default(), index: BTreeMap::new() };
        for (name, bytes) in files {
            match reading.manifests.sources.add(name, bytes) {
                Ok(source) => reading.source(source),
                Err(problem) => reading.manifests.findings.problems.push(problem),
            }
        }
        reading.manifests
    }

    /// Reads one text more, and gives its objects instead of keeping them; of one that comes twice the later.
    pub fn read_more(&mut self, name: &str, bytes: &[u8]) -> Vec<Object> {
        self.with_reading(|reading| match reading.manifests.sources.add(name, bytes) {
            Ok(source) => reading.source(source),
            Err(problem) => reading.manifests.findings.problems.push(problem),
        })
    }

    /// The object that a tree is; none if it is none, and why is among the findings.
    pub fn object_of(&mut self, node: Node) -> Option<Object> {
        self.with_reading(|reading| reading.document(node, 0)).pop()
    }

    fn with_reading(&mut self, read: impl FnOnce(&mut Reading)) -> Vec<Object> {
        let kept = std::mem::take(&mut self.objects);
        let mut reading = Reading { manifests: std::mem::take(self), index: BTreeMap::new() };
        read(&mut reading);
        *self = reading.manifests;
        std::mem::replace(&mut self.objects, kept)
    }

    /// The objects of a group and kind.
    pub fn of<'a>(&'a self, group: &'a str, kind: &'a str) -> impl Iterator<Item = &'a Object> {
        self.objects.iter().filter(move |object| object.is(group, kind))
    }

    /// The object with this id.
    pub fn find(&self, id: &Id) -> Option<&Object> {
        self.objects.iter().find(|object| object.id == *id)
    }
}

struct Reading {
    manifests: Manifests,
    index: BTreeMap<Id, usize>,
}

impl Reading {
    fn source(&mut self, source: u32) {
        let Some(text) = self.manifests.sources.get(source) else { return };
        let pieces = text.pieces();
        let count = pieces.len();
        let limited = pieces.into_iter().take(DOCUMENTS_MAX);
        let parsed: Vec<_> = limited.map(|piece| yaml::parse(source, piece)).collect();
        // Told first: what follows may be long.
        if count > DOCUMENTS_MAX {
            let at = At { source, line: 1, column: 1, width: 1 };
            let what = format!("{count} documents in one file, the limit is {DOCUMENTS_MAX}");
            self.problem(at, what, "split it, or leave out what no mesh reads");
        }
        for piece in parsed {
            let is_broken = !piece.faults.is_empty();
            for fault in piece.faults {
                let hint = fault.hint.unwrap_or_default();
                self.problem(fault.at, fault.what, &hint);
            }
            for document in piece.documents {
                // What is left of a broken document is no object; that was told already.
                if !is_broken || matches!(document.value, Value::Map(_)) {
                    self.document(document, 0);
                }
            }
        }
    }

    fn document(&mut self, node: Node, depth: usize) {
        if !matches!(node.value, Value::Map(_)) {
            let what = format!("a Kubernetes object is a map, this is {}", node.kind());
            self.problem(node.at, what, "is this a manifest? (Helm values and templates are not)");
            return;
        }
        let is_list = node.get("kind").and_then(Node::text).is_some_and(|k| k.ends_with("List"))
            && node.get("items").is_some_and(|items| matches!(items.value, Value::List(_)));
        if is_list {
            self.list(node, depth);
        } else if let Some(object) = self.object(node) {
            self.keep(object);
        }
    }

    /// The elements of a typed list may leave out their kind: it is the list's without `List`.
    fn list(&mut self, node: Node, depth: usize) {
        if depth >= LIST_DEPTH_MAX {
            self.problem(node.at, "lists in lists in lists", "");
            return;
        }
        let text = |key: &str| node.get(key).and_then(Node::text).map(str::to_owned);
        let kind = text("kind").and_then(|kind| kind.strip_suffix("List").map(str::to_owned));
        let (kind, version) = (kind.filter(|kind| !kind.is_empty()), text("apiVersion"));
        let Value::Map(entries) = node.value else { return };
        for entry in entries {
            if let ("items", Value::List(items)) = (entry.key.as_str(), entry.value.value) {
                for mut item in items {
                    if let Some(kind) = &kind {
                        complete(&mut item, "kind", kind);
                        complete(&mut item, "apiVersion", version.as_deref().unwrap_or("v1"));
                    }
                    self.document(item, depth + 1);
                }
            }
        }
    }

    fn object(&mut self, node: Node) -> Option<Object> {
        let version = self.needed(&node, &node, "apiVersion", "")?;
        let kind = self.needed(&node, &node, "kind", "")?;
        let (group, version) = match version.rsplit_once('/') {
            Some((group, version)) => (group.to_owned(), version.to_owned()),
            None => (String::new(), version),
        };
        if !self.is_simulated(&group, &version, &kind, &node) {
            return None;
        }
        let Some(meta) = node.entry("metadata").filter(|meta| !meta.value.is_null()) else {
            self.problem(node.at, format!("{kind} without `metadata`"), "each object needs a name");
            return None;
        };
        let named = format!("{kind}.metadata");
        let generated = meta.value.get("generateName").and_then(Node::text);
        let name = match generated {
            Some(prefix) if meta.value.get("name").is_none() => format!("{prefix}0"),
            _ => self.needed(&meta.value, &node, "name", &named)?,
        };
        self.check_name(&name, meta.value.get("name").map_or(meta.key_at, |node| node.at));
        let name_at = meta.value.get("name").map_or(meta.key_at, |node| node.at);
        let namespace = if kinds::is_cluster_wide(&kind) {
            String::new()
        } else {
            let given = self.optional(&meta.value, "namespace", &named);
            given.filter(|given| !given.is_empty()).unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned())
        };
        let labels = self.pairs(&meta.value, "labels", &named);
        let annotations = self.pairs(&meta.value, "annotations", &named);
        let created = self.optional(&meta.value, "creationTimestamp", &named);
        let id = Id { group, kind, namespace, name };
        let at = node.at;
        Some(Object { id, version, labels, annotations, created, at, name_at, node })
    }

    /// Names are DNS names: the API server refuses others.
    fn check_name(&mut self, name: &str, at: At) {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let chars = || name.chars();
        if !(chars().all(fits) && edge(chars().next()) && edge(chars().next_back())) {
            let hint = if name.contains("{{") || name.contains("${") {
                "this is a template: render it first"
            } else {
                "small letters, digits, `-` and `.`, with a letter or digit at both ends"
            };
            self.warning(at, format!("`{name}` is no valid name"), hint);
        }
    }

    /// Names what is not simulated; only what is goes on.
    fn is_simulated(&mut self, group: &str, version: &str, kind: &str, node: &Node) -> bool {
        let at = node.entry("kind").map_or(node.at, |entry| entry.value.at);
        let named = if group.is_empty() {
            format!("{version}/{kind}")
        } else {
            format!("{group}/{version}/{kind}")
        };
        let why = match kinds::what(group, kind) {
            Use::Modelled => return true,
            // Whoever reads it names it with what it does.
            Use::MeshOnly(_) if kinds::is_named_alone(group, kind) => return true,
            Use::MeshOnly(why) => why.to_owned(),
            Use::Unread => "no mesh reads it".to_owned(),
            Use::Unknown => self.unknown_kind(group, kind, &named, at),
        };
        let Manifests { sources, findings, .. } = &mut self.manifests;
        findings.not_modelled(sources, named, at, &why);
        kinds::is_looked_at(group, kind)
    }

    /// Warns once a kind if another one is near.
    fn unknown_kind(&mut self, group: &str, kind: &str, named: &str, at: At) -> String {
        let why = "an unknown kind".to_owned();
        let known = &self.manifests.findings.not_modelled;
        if known.contains_key(named) || known.len() > UNKNOWN_KINDS_MAX {
            return why;
        }
        let groups = kinds::groups_of(kind);
        if let Some(right) = groups.first().filter(|right| is_near(group, right)) {
            let right = if right.is_empty() { "v1".to_owned() } else { format!("{right}/…") };
            let own =
                if group.is_empty() { "the core group".to_owned() } else { format!("`{group}`") };
            let what = format!("`{kind}` is not in {own}");
            self.warning(at, what, &format!("did you mean apiVersion: {right}?"));
        } else if let Some(near) = nearest(kind, &kinds::kinds_near(group)) {
            let what = format!("`{kind}` is not a kind that is known");
            self.warning(at, what, &format!("did you mean `{near}`?"));
        }
        why
    }

    fn keep(&mut self, object: Object) {
        if let Some(&first) = self.index.get(&object.id) {
            let before = self.manifests.sources.short(self.manifests.objects[first].name_at);
            let what = format!("{} is given again; the first is in {before}", object.id);
            self.warning(object.name_at, what, "the later one wins, as with kubectl apply");
            self.manifests.objects[first] = object;
        } else {
            self.index.insert(object.id.clone(), self.manifests.objects.len());
            self.manifests.objects.push(object);
        }
    }

    fn needed(&mut self, map: &Node, whole: &Node, key: &str, path: &str) -> Option<String> {
        let of = if path.is_empty() { "the document".to_owned() } else { format!("`{path}`") };
        let Some(entry) = map.entry(key).filter(|entry| !entry.value.is_null()) else {
            let keys: Vec<&str> = map.entries().iter().map(|entry| entry.key.as_str()).collect();
            let hint = match nearest(key, &keys) {
                Some(near) => format!("is `{near}` meant?"),
                None if path.is_empty() => {
                    "a manifest has apiVersion, kind and metadata; Helm values have not".to_owned()
                }
                None => String::new(),
            };
            let at = if map.entries().is_empty() { whole.at } else { map.at };
            self.problem(at, format!("{of} has no `{key}`"), &hint);
            return None;
        };
        let name = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        self.text(&entry.value, &name)
    }

    fn optional(&mut self, map: &Node, key: &str, path: &str) -> Option<String> {
        let node = map.get(key)?;
        self.text(node, &format!("{path}.{key}"))
    }

    fn text(&mut self, node: &Node, name: &str) -> Option<String> {
        if let Some(text) = node.text() {
            return Some(text.to_owned());
        }
        let what = format!("`{name}` must be a string, not {}", node.kind());
        let written = self.manifests.sources.written(node.at);
        self.problem(node.at, what, pitfalls::boolean(&written));
        None
    }

    fn pairs(&mut self, map: &Node, key: &str, path: &str) -> Labels {
        let mut pairs = Labels::new();
        let Some(node) = map.get(key) else { return pairs };
        if !matches!(node.value, Value::Map(_)) {
            let what = format!("`{path}.{key}` must be a map, not {}", node.kind());
            self.problem(node.at, what, "");
        }
        for entry in node.entries() {
            if entry.value.is_null() {
                pairs.insert(entry.key.clone(), String::new());
            } else if let Some(text) = self.text(&entry.value, &format!("{key}.{}", entry.key)) {
                pairs.insert(entry.key.clone(), text);
            }
        }
        pairs
    }

    fn problem(&mut self, at: At, what: impl Into<String>, hint: &str) {
        self.manifests.findings.problem(&self.manifests.sources, at, what, hint);
    }

    fn warning(&mut self, at: At, what: impl Into<String>, hint: &str) {
        self.manifests.findings.warning(&self.manifests.sources, at, what, hint);
    }
}

/// Gives a list's element the field that it left out.
fn complete(item: &mut Node, key: &str, text: &str) {
    let at = item.at;
    if item.get(key).is_some() {
        return;
    }
    if let Value::Map(entries) = &mut item.value {
        let value = Node { at, value: Value::Text(text.to_owned()) };
        entries.push(crate::manifest::node::Entry { key: key.to_owned(), key_at: at, value });
    }
}

/// The nearest of some words, if one is near enough to be meant.
pub fn nearest<'a>(word: &str, words: &[&'a str]) -> Option<&'a str> {
    words
        .iter()
        .map(|known| {
            (strsim::damerau_levenshtein(&word.to_lowercase(), &known.to_lowercase()), *known)
        })
        .filter(|(distance, known)| *distance <= 1 + known.len().min(word.len()) / 4)
        .min()
        .map(|(_, known)| known)
}

fn is_near(word: &str, other: &str) -> bool {
    other.is_empty() || word.is_empty() || nearest(word, &[other]).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Manifests {
        Manifests::read([("a.yaml", text.as_bytes())])
    }

    fn ids(manifests: &Manifests) -> Vec<String> {
        manifests.objects.iter().map(|object| object.id.to_string()).collect()
    }

    fn problems(text: &str) -> Vec<String> {
        read(text).findings.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lists_are_unwrapped_and_empty_documents_are_nothing() {
        let manifests = read(
            "# Source: chart/x.yaml\n---\n---\napiVersion: v1\nkind: List\nitems:\n\
             - {apiVersion: v1, kind: Service, metadata: {name: a, namespace: x}}\n\
             - {apiVersion: v1, kind: Namespace, metadata: {name: x, namespace: y}}\n---\n\
             apiVersion: apps/v1\nkind: DeploymentList\nitems:\n- metadata: {name: d}\n",
        );
        assert_eq!(ids(&manifests), ["Service x/a", "Namespace x", "Deployment default/d"]);
        assert_eq!(manifests.findings, Findings::default());
    }

    #[test]
    fn a_broken_document_does_not_hide_the_others() {
        let manifests = read(
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\nx: \"open\n---\n\
             apiVersion: v1\nkind: Service\nmetadata: {name: b}\n",
        );
        assert_eq!(ids(&manifests), ["Service default/a", "Service default/b"]);
        assert_eq!(manifests.findings.problems.len(), 1);
    }

    #[test]
    fn the_later_of_two_equal_objects_wins_with_a_warning() {
        let manifests = read(
            "apiVersion: v1\nkind: Service\nmetadata: {name: a, labels: {v: \"1\"}}\n---\n\
             apiVersion: v1\nkind: Service\nmetadata: {name: a, labels: {v: \"2\"}}\n",
        );
        assert_eq!(manifests.objects.len(), 1);
        assert_eq!(manifests.objects[0].labels["v"], "2");
        let warning = manifests.findings.warnings[0].to_string();
        assert!(warning.starts_with("a.yaml:7:18: Service default/a is given again"), "{warning}");
        assert!(warning.contains("a.yaml:3"), "{warning}");
    }

    #[test]
    fn what_is_missing_or_wrong_in_the_head_is_told() {
        let cases = [
            (
                "kind: Service\nmetadata: {name: a}\n",
                "a.yaml:1:1: the document has no `apiVersion`",
            ),
            ("apiVersion: v1\nkind: Service\n", "a.yaml:1:1: Service without `metadata`"),
            ("apiVersion: v1\nkind: Service\nmetadata: {nam: a}\n", "hint: is `nam` meant?"),
            (
                "apiVersion: v1\nkind: Service\nmetadata: {name: 5}\n",
                "must be a string, not a number",
            ),
            ("- a\n- b\n", "a.yaml:1:1: a Kubernetes object is a map, this is a list"),
            (
                "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  labels:\n    on: yes\n",
                "a.yaml:6:9: `labels.true` must be a string, not a boolean",
            ),
        ];
        for (text, expected) in cases {
            let told = problems(text).join("\n");
            assert!(told.contains(expected), "{text}\n{told}");
        }
    }

    #[test]
    fn unknown_kinds_are_named_with_the_nearest() {
        let manifests = read(
            "apiVersion: networking.istio.io/v1\nkind: VirtualServce\nmetadata: {name: a}\n---\n\
             apiVersion: v1\nkind: Deployment\nmetadata: {name: a}\n---\n\
             apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n---\n\
             apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: a}\n",
        );
        let lines = manifests.findings.ignored_lines();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(manifests.objects.len(), 2, "an EnvoyFilter is named by what it patches");
        let warnings: Vec<String> =
            manifests.findings.warnings.iter().map(ToString::to_string).collect();
        assert!(warnings[0].contains("did you mean `VirtualService`?"), "{warnings:?}");
        assert!(warnings[1].contains("did you mean apiVersion: apps/…?"), "{warnings:?}");
    }
}
