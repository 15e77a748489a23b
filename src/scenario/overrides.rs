//! Settings by path: `--set service.reviews.v2.replicas=5` and the `set` of a variant.
//!
//! Segments are split at dots; a quoted segment may hold dots. Elements of arrays of tables are
//! addressed by their id, name or version, or by `[n]` from 0. Below a service, a version leads to
//! its workload, and where there is one workload its keys need no version. A table given for a
//! table adds its keys to it.
//!
//! Source: docs/scenarios.md's rule for `--set`.
//! Left out: adding elements to arrays, taking keys away.

use super::context::{Context, Fault, known};
use super::document::{At, Entry, Node, SET, Value, parse_value, plain_text};
use super::keys::{ROOT, manifests};
use super::schema::{Keys, Kind};

/// A step of a path, and where it stands in the path's text.
struct Segment {
    step: Step,
    start: usize,
    end: usize,
    /// Where it stands, if it is not part of a path's text.
    at: Option<At>,
}

enum Step {
    Name(String),
    Index(usize),
}

/// Which settings are applied: manifests are read between the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// Those of `[[manifests]]`.
    Manifests,
    /// All others.
    Others,
}

impl Part {
    /// The part of a path; what is no path is told with the others.
    fn of(path: &str) -> Self {
        let segments = segments(path).unwrap_or_default();
        match segments.first().map(|first| &first.step) {
            Some(Step::Name(name)) if name == manifests::OF_ROOT.name => Self::Manifests,
            _ => Self::Others,
        }
    }
}

/// Whether a variant has other manifests.
pub(crate) fn changes_manifests(settings: &Node) -> bool {
    settings.entries().iter().any(|entry| Part::of(&entry.key) == Part::Manifests)
}

/// Applies `key=value` texts of the command line.
pub(crate) fn apply_sets(
    context: &mut Context<'_>,
    document: &mut Node,
    sets: &[String],
    part: Part,
) {
    let is_meant =
        |text: &&String| Part::of(text[..split_at_equals(text).unwrap_or(0)].trim()) == part;
    for text in sets.iter().filter(is_meant) {
        let source = context.add_once(SET, text);
        let all = At { source, start: 0, end: u32::try_from(text.len()).unwrap_or(u32::MAX) };
        let Some(equals) = split_at_equals(text) else {
            context.report(
                Fault::new(all, "there is no `=`")
                    .hint("write it like --set service.reviews.v2.replicas=5"),
            );
            continue;
        };
        let path_at = At { end: u32::try_from(equals).unwrap_or(u32::MAX), ..all };
        let raw = &text[equals + 1..];
        let value = parse_value(source, equals + 1, raw);
        let result = set(document, path_at, true, &text[..equals], value, |node| {
            // A version "2" or a text "true" need no quotes.
            if matches!(node.value, Value::Text(_)) {
                node
            } else {
                plain_text(source, equals + 1, raw)
            }
        });
        context.ok(result);
    }
}

/// Applies the settings of a variant.
pub(crate) fn apply_variant(
    context: &mut Context<'_>,
    document: &mut Node,
    settings: &Node,
    part: Part,
) {
    for entry in settings.entries().iter().filter(|entry| Part::of(&entry.key) == part) {
        let result = set(document, entry.at, false, &entry.key, entry.node.clone(), |node| node);
        context.ok(result);
    }
}

fn set(
    document: &mut Node,
    at: At,
    exact: bool,
    path: &str,
    value: Node,
    as_text: impl Fn(Node) -> Node,
) -> Result<(), Fault> {
    let segments = segments(path).map_err(|what| {
        Fault::new(at, what).hint("segments are split at dots; quote one that holds a dot")
    })?;
    let walk = Walk { at, exact, as_text: &as_text };
    walk.table(document, ROOT, &segments, value)
}

struct Walk<'w> {
    at: At,
    /// Whether columns within the path are columns of the source.
    exact: bool,
    as_text: &'w dyn Fn(Node) -> Node,
}

impl Walk<'_> {
    fn at(&self, segment: &Segment) -> At {
        if let Some(at) = segment.at {
            return at;
        }
        if !self.exact {
            return self.at;
        }
        let byte = |byte: usize| self.at.start + u32::try_from(byte).unwrap_or(0);
        At { source: self.at.source, start: byte(segment.start), end: byte(segment.end) }
    }

    fn step(
        &self,
        node: &mut Node,
        kind: Kind,
        segments: &[Segment],
        value: Node,
    ) -> Result<(), Fault> {
        if segments.is_empty() {
            return match (kind, value) {
                // `set = { mesh.cert.ttl = "1h" }` is a table in a table: it adds, as a path does.
                (Kind::Table(_) | Kind::Tables(..), Node { value: Value::Table(entries), .. }) => {
                    entries.into_iter().try_for_each(|entry| {
                        let step = Step::Name(entry.key);
                        let segment = Segment { step, start: 0, end: 0, at: Some(entry.at) };
                        self.step(node, kind, &[segment], entry.node)
                    })
                }
                (Kind::Text | Kind::Yaml, value) => {
                    *node = (self.as_text)(value);
                    Ok(())
                }
                (_, value) => {
                    *node = value;
                    Ok(())
                }
            };
        }
        match kind {
            Kind::Tables(keys, identity) => self.element(node, keys, identity, segments, value),
            Kind::OneOrMany(keys) if !node.is_table() => {
                self.element(node, keys, "", segments, value)
            }
            Kind::Table(keys)
            | Kind::Switch(keys)
            | Kind::ShareOr(keys)
            | Kind::OneOrMany(keys) => self.table(node, keys, segments, value),
            _ => self.free(node, segments, value),
        }
    }

    fn table(
        &self,
        node: &mut Node,
        keys: Keys,
        segments: &[Segment],
        value: Node,
    ) -> Result<(), Fault> {
        let Some((first, rest)) = segments.split_first() else { return Ok(()) };
        let names = keys.list();
        let Step::Name(name) = &first.step else {
            return Err(Fault::new(self.at(first), "here is no array to take an element of"));
        };
        if let Some(key) = keys.find(name) {
            let empty = match key.kind {
                Kind::Tables(..) => Value::List(Vec::new()),
                _ => Value::Table(Vec::new()),
            };
            if !node.is_table() {
                node.value = Value::Table(Vec::new());
            }
            let at = self.at(first);
            let on_the_way = node.entry(name).filter(|_| !rest.is_empty()).map(|entry| entry.at);
            let child = node.get(name).cloned().unwrap_or(Node { at, value: empty });
            let entry = Entry { key: name.clone(), at: on_the_way.unwrap_or(at), node: child };
            let child = node.put(entry);
            return match child {
                Some(child) => self.step(child, key.kind, rest, value),
                None => Ok(()),
            };
        }
        if let Some(below) = keys.find("workload") {
            return self.workload(node, &names, below.kind, segments, value);
        }
        Err(Fault::new(self.at(first), format!("there is no key `{name}` here")).hint(known(
            name,
            names.iter().map(|key| key.name),
            "the keys here are",
        )))
    }

    /// Below a service: a version, or a key of the only workload.
    fn workload(
        &self,
        service: &mut Node,
        names: &[super::schema::Key],
        kind: Kind,
        segments: &[Segment],
        value: Node,
    ) -> Result<(), Fault> {
        let (first, Step::Name(name)) = (&segments[0], &segments[0].step) else { return Ok(()) };
        let at = self.at(first);
        let versions: Vec<String> = service.list("workload").iter().map(version).collect();
        let Value::Table(entries) = &mut service.value else { return Ok(()) };
        let list = entries.iter_mut().find(|entry| entry.key == "workload");
        let Some(list) = list.map(|entry| &mut entry.node) else {
            return Err(Fault::new(at, format!("there is no key `{name}` here")));
        };
        if versions.iter().any(|one| one == name) {
            return self.step(list, kind, segments, value);
        }
        let keys = kind.keys().expect("workloads are tables");
        let Value::List(items) = &mut list.value else { return Ok(()) };
        match (&mut items[..], keys.find(name)) {
            ([only], Some(_)) => self.table(only, keys, segments, value),
            (_, Some(_)) => Err(Fault::new(at, format!("several workloads have a key `{name}`"))
                .hint(format!("say which: {}", versions.join(", ")))),
            _ => {
                let below = keys.list();
                let own = names.iter().chain(below.iter()).map(|key| key.name);
                let names = versions.iter().map(String::as_str).chain(own);
                Err(Fault::new(at, format!("there is no key `{name}` here")).hint(known(
                    name,
                    names,
                    "the keys here are",
                )))
            }
        }
    }

    fn element(
        &self,
        node: &mut Node,
        keys: Keys,
        identity: &str,
        segments: &[Segment],
        value: Node,
    ) -> Result<(), Fault> {
        let Some((first, rest)) = segments.split_first() else { return Ok(()) };
        let at = self.at(first);
        let Value::List(items) = &mut node.value else {
            return Err(Fault::new(at, "here is no array to take an element of"));
        };
        let count = items.len();
        match &first.step {
            Step::Index(index) => match items.get_mut(*index) {
                Some(item) => self.step(item, Kind::Table(keys), rest, value),
                None => Err(Fault::new(at, format!("there is no element [{index}]"))
                    .hint(format!("there are {count}, counted from 0"))),
            },
            Step::Name(name) => {
                let found = items.iter().position(|item| item.text(identity) == Some(name));
                if let Some(index) = found {
                    return self.step(&mut items[index], Kind::Table(keys), rest, value);
                }
                let names: Vec<&str> =
                    items.iter().filter_map(|item| item.text(identity)).collect();
                let fault = Fault::new(at, format!("nothing here is called `{name}`"));
                Err(match identity {
                    _ if names.is_empty() => {
                        fault.hint("these have no names; address one by [n], from 0")
                    }
                    _ => fault.hint(known(name, names.iter().copied(), "there are")),
                })
            }
        }
    }

    /// Below a value with a structure of its own; the check reads the result.
    fn free(&self, node: &mut Node, segments: &[Segment], value: Node) -> Result<(), Fault> {
        let Some((first, rest)) = segments.split_first() else {
            *node = value;
            return Ok(());
        };
        let at = self.at(first);
        match &first.step {
            Step::Index(index) => match &mut node.value {
                Value::List(items) if *index < items.len() => {
                    self.free(&mut items[*index], rest, value)
                }
                _ => Err(Fault::new(at, format!("there is no element [{index}]"))),
            },
            Step::Name(name) => {
                if !node.is_table() {
                    node.value = Value::Table(Vec::new());
                }
                let empty = Node { at, value: Value::Table(Vec::new()) };
                let child = node.get(name).cloned().unwrap_or(empty);
                match node.put(Entry { key: name.clone(), at, node: child }) {
                    Some(child) => self.free(child, rest, value),
                    None => Ok(()),
                }
            }
        }
    }
}

fn version(workload: &Node) -> String {
    workload.text("version").unwrap_or_default().to_owned()
}

/// The first `=` outside of quotes.
fn split_at_equals(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '=') => return Some(at),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

fn segments(path: &str) -> Result<Vec<Segment>, String> {
    let mut segments = Vec::new();
    let mut rest = path;
    let mut wants_name = true;
    loop {
        let start = path.len() - rest.len();
        let end_of = |rest: &str| path.len() - rest.len();
        if let (true, Some(quote @ ('"' | '\''))) = (wants_name, rest.chars().next()) {
            let close = rest[1..].find(quote).ok_or("a quote is not closed")? + 1;
            let name = rest[1..close].to_owned();
            rest = &rest[close + 1..];
            segments.push(Segment { step: Step::Name(name), start, end: end_of(rest), at: None });
        } else if let Some(inner) = rest.strip_prefix('[') {
            let (index, after) = inner.split_once(']').ok_or("a bracket is not closed")?;
            let index = index.trim().parse();
            let index = index.map_err(|_| "between brackets stands a number from 0 on")?;
            rest = after;
            segments.push(Segment { step: Step::Index(index), start, end: end_of(rest), at: None });
        } else if wants_name {
            let length = rest.find(['.', '[']).unwrap_or(rest.len());
            let name = rest[..length].trim();
            if name.is_empty() {
                return Err("a segment of the path is empty".to_owned());
            }
            rest = &rest[length..];
            segments.push(Segment {
                step: Step::Name(name.to_owned()),
                start,
                end: end_of(rest),
                at: None,
            });
        }
        wants_name = match rest.chars().next() {
            None => return Ok(segments),
            Some('.') => {
                rest = &rest[1..];
                true
            }
            Some('[') => false,
            Some(_) => return Err("a segment ends with a dot or a bracket".to_owned()),
        };
    }
}
