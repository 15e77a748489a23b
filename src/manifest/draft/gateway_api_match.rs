//! Matches of the Gateway API as the `match` of routes, and the prefixes that rules rewrite.
//!
//! Source: Gateway API `HTTPRouteMatch` (prefixes go by path elements; the first value of a parameter counts),
//! `ReplacePrefixMatch` (its table); docs/scenarios.md, `match` and `rewrite`.
//! Places are those of the values in the YAML, by its tree.
//! Left out: a match whose path does not begin with `/`, which the API server refuses, takes nothing.

use super::value::{Table, Value};
use crate::manifest::gateway_api::matching::{FieldMatch, Match, PathMatch, TextMatch};
use crate::manifest::node::Node;
use crate::manifest::route::apply::PathChange;
use crate::manifest::source::At;

/// A match, and the node of the tree that says it.
#[derive(Clone, Copy)]
pub(super) struct Placed<'a> {
    /// The match.
    pub(super) one: &'a Match,
    /// Where it is written, if anywhere.
    pub(super) node: Option<&'a Node>,
}

impl<'a> Placed<'a> {
    /// A match of a rule whose node this is.
    pub(super) fn of(rule: Option<&'a Node>, one: &'a Match) -> Self {
        let all = rule.and_then(|rule| rule.get("matches")).map(Node::items).unwrap_or_default();
        Self { one, node: all.iter().find(|node| node.at == one.at) }
    }

    /// The place of a field, or of the match.
    fn at(&self, path: &[&str]) -> At {
        at(self.node, path).unwrap_or(self.one.at)
    }

    /// The place of the value of a header or parameter.
    fn field_at(&self, list: &str, name: &str) -> At {
        let all = self.node.and_then(|node| node.get(list)).map(Node::items).unwrap_or_default();
        let named = |node: &&Node| node.get("name").and_then(Node::text) == Some(name);
        at(all.iter().find(named), &["value"]).unwrap_or_else(|| self.at(&[list]))
    }
}

/// The place of a field below a node, as deep as it is there.
pub(super) fn at(node: Option<&Node>, path: &[&str]) -> Option<At> {
    let mut found = node?;
    for key in path {
        found = found.get(key)?;
    }
    Some(found.at)
}

/// A part of a rule that one route can be.
pub(super) struct Piece {
    /// Its alternatives; without any it takes everything.
    matches: Vec<Table>,
    /// The rule's places of them.
    at: At,
    /// The key and value of `rewrite`, if the path is.
    pub(super) rewrite: Option<(&'static str, String)>,
}

impl Piece {
    /// The value of `match`; none for everything.
    pub(super) fn value(&self) -> Option<Value> {
        match &self.matches[..] {
            [] => None,
            [only] => Some(Value::from(only.clone()).at(self.at)),
            many => Some(Value::list(many.iter().cloned().map(Value::from)).at(self.at)),
        }
    }
}

/// A rule's pieces; and whether each of them changes paths as it is wanted.
pub(super) fn pieces(
    matches: &[Placed<'_>],
    change: Option<&PathChange>,
    by_elements: bool,
) -> (Vec<Piece>, bool) {
    let Some(first) = matches.first() else { return (Vec::new(), true) };
    if let Some(PathChange::Prefix(new)) = change {
        return prefixes(matches, new);
    }
    let rewrite = change.map(|change| match change {
        PathChange::Full(path) | PathChange::Prefix(path) => ("path", absolute(path)),
    });
    let mut all = Vec::new();
    for one in matches {
        let paths = paths(&one.one.path, by_elements);
        all.extend(paths.into_iter().map(|path| table(*one, path)));
    }
    if all.is_empty() {
        return (Vec::new(), true);
    }
    if all.iter().any(Table::is_empty) {
        all.clear();
    }
    (vec![Piece { matches: all, at: first.one.at, rewrite }], true)
}

/// A path in a scenario begins with a slash.
fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// Where a prefix is replaced, each kind of path is a piece of its own.
fn prefixes(matches: &[Placed<'_>], new: &str) -> (Vec<Piece>, bool) {
    let new = new.trim_end_matches('/');
    let alone = absolute(new);
    let below = absolute(&format!("{new}/"));
    let (mut pieces, mut is_whole) = (Vec::new(), true);
    for one in matches {
        let mut add = |path: Option<(&'static str, String)>, rewrite| {
            let matches = vec![table(*one, path)];
            pieces.push(Piece { matches, at: one.one.at, rewrite });
        };
        match &one.one.path {
            PathMatch::Prefix(prefix) if prefix.is_empty() => {
                add(Some(("prefix", "/".to_owned())), Some(("prefix", below.clone())));
            }
            PathMatch::Prefix(prefix) if prefix.starts_with('/') => {
                add(Some(("path", prefix.clone())), Some(("path", alone.clone())));
                add(Some(("prefix", format!("{prefix}/"))), Some(("prefix", below.clone())));
            }
            PathMatch::Exact(path) if path.starts_with('/') => {
                add(Some(("path", path.clone())), Some(("path", alone.clone())));
            }
            PathMatch::Prefix(_) | PathMatch::Exact(_) => {}
            PathMatch::Regex(pattern) => {
                is_whole = false;
                add(Some(("regex", pattern.text().to_owned())), None);
            }
        }
    }
    (pieces, is_whole)
}

/// The keys that together match a path; an empty one for all paths, none for no path.
pub(super) fn paths(path: &PathMatch, by_elements: bool) -> Vec<Option<(&'static str, String)>> {
    match path {
        PathMatch::Prefix(prefix) if prefix.is_empty() => vec![None],
        PathMatch::Prefix(prefix) if prefix.starts_with('/') && by_elements => {
            vec![Some(("prefix", prefix.clone()))]
        }
        PathMatch::Prefix(prefix) if prefix.starts_with('/') => {
            vec![Some(("path", prefix.clone())), Some(("prefix", format!("{prefix}/")))]
        }
        PathMatch::Exact(path) if path.starts_with('/') => vec![Some(("path", path.clone()))],
        PathMatch::Prefix(_) | PathMatch::Exact(_) => Vec::new(),
        PathMatch::Regex(pattern) => vec![Some(("regex", pattern.text().to_owned()))],
    }
}

/// A match with one of its paths.
pub(super) fn table(placed: Placed<'_>, path: Option<(&'static str, String)>) -> Table {
    let one = placed.one;
    let mut table = Table::new();
    if let Some((key, text)) = path {
        let mut written = ["value", "method", "service"].into_iter();
        let inner = written.find_map(|field| {
            at(placed.node, &["path", field]).or_else(|| at(placed.node, &["method", field]))
        });
        table.set(key, Value::text(text).at(inner.unwrap_or(one.at)));
    }
    let method = one.method.as_ref();
    table
        .set_some("method", method.map(|own| Value::text(own.as_str()).at(placed.at(&["method"]))));
    let mut regex = Vec::new();
    for field in &one.headers {
        match &field.value {
            TextMatch::Exact(value) => {
                let value = Value::text(value.as_str()).at(placed.field_at("headers", &field.name));
                table.below("headers").set(field.name.as_str(), value);
            }
            TextMatch::Regex(_) => regex.push(wanted(placed, "headers", field)),
        }
    }
    if !regex.is_empty() {
        table.set("header", Value::list(regex));
    }
    if !one.query.is_empty() {
        let all = one.query.iter().map(|field| wanted(placed, "queryParams", field));
        table.set("parameter", Value::list(all));
    }
    table
}

fn wanted(placed: Placed<'_>, list: &str, field: &FieldMatch) -> Value {
    let mut table = Table::new();
    let (key, text) = match &field.value {
        TextMatch::Exact(text) => ("exact", text.as_str()),
        TextMatch::Regex(pattern) => ("regex", pattern.text()),
    };
    let at = placed.field_at(list, &field.name);
    table.set("name", Value::text(field.name.as_str()).at(at));
    table.set(key, Value::text(text).at(at));
    table.into()
}
