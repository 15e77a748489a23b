//! Conditions of a `ServiceProfile`'s routes in the three levels that a scenario has.
//!
//! What need not be nested is not: `all` in `all` and `any` in `any` are one, `not` of `not` is nothing, and what must
//! hold together stands in one table as far as it has a key for it.
//! Source: linkerd2 `pkg/profiles` (all fields of a condition must hold); docs/scenarios.md (`condition`).
//! Left out: conditions that are still deeper.

use crate::manifest::draft::value::{Table, Value};
use crate::manifest::node::Node;
use crate::manifest::source::At;

/// Conditions in conditions deeper than this are not read; the reader refuses them, too.
const DEPTH_MAX: usize = 20;
/// Tables in tables that a condition of a scenario has.
const LEVELS: usize = 2;

enum Condition {
    All(Vec<Condition>, At),
    Any(Vec<Condition>, At),
    Not(Box<Condition>, At),
    Method(String, At),
    Path(String, At),
}

/// The table of a condition as it is written. One that is nested too deep may be some that are alternatives: a
/// route each. None if that does not help, either.
pub(super) fn tables_of(node: &Node) -> Option<Vec<Table>> {
    let condition = read(node, 0)?;
    if let Some(table) = write(&condition, LEVELS) {
        return Some(vec![table]);
    }
    match condition {
        Condition::Any(any, _) => any.iter().map(|one| write(one, LEVELS)).collect(),
        _ => None,
    }
}

fn read(node: &Node, depth: usize) -> Option<Condition> {
    if depth > DEPTH_MAX {
        return None;
    }
    let inner = |node: &Node| -> Option<Vec<Condition>> {
        node.items().iter().map(|one| read(one, depth + 1)).collect()
    };
    let mut parts = Vec::new();
    if let Some(all) = node.get("all") {
        parts.push(Condition::All(inner(all)?, all.at));
    }
    if let Some(any) = node.get("any") {
        parts.push(joined_any(inner(any)?, any.at));
    }
    if let Some(not) = node.get("not") {
        parts.push(match read(not, depth + 1)? {
            Condition::Not(inner, _) => *inner,
            other => Condition::Not(Box::new(other), not.at),
        });
    }
    let text = |key: &str| node.get(key).filter(|one| one.text().is_some_and(|t| !t.is_empty()));
    if let Some(method) = text("method") {
        let word = method.text().unwrap_or_default().to_ascii_uppercase();
        parts.push(Condition::Method(word, method.at));
    }
    if let Some(path) = text("pathRegex") {
        parts.push(Condition::Path(path.text().unwrap_or_default().trim().to_owned(), path.at));
    }
    Some(joined_all(parts, node.at))
}

/// What all must hold; one alone is itself.
fn joined_all(parts: Vec<Condition>, at: At) -> Condition {
    let mut all = Vec::new();
    for part in parts {
        match part {
            Condition::All(inner, _) => all.extend(inner),
            other => all.push(other),
        }
    }
    if all.len() == 1 { all.remove(0) } else { Condition::All(all, at) }
}

fn joined_any(parts: Vec<Condition>, at: At) -> Condition {
    let mut any = Vec::new();
    for part in parts {
        match part {
            Condition::Any(inner, _) => any.extend(inner),
            other => any.push(other),
        }
    }
    if any.len() == 1 { any.remove(0) } else { Condition::Any(any, at) }
}

/// A regular expression of all paths.
const EVERYTHING: &str = ".*";

fn write(condition: &Condition, levels: usize) -> Option<Table> {
    let mut table = Table::new();
    let parts = match condition {
        Condition::All(parts, _) => parts.iter().collect(),
        other => vec![other],
    };
    let mut rest = Vec::new();
    for part in parts {
        let (key, value) = match part {
            Condition::Method(word, at) => ("method", Value::text(word.as_str()).at(*at)),
            Condition::Path(regex, at) => ("path_regex", Value::text(regex.as_str()).at(*at)),
            Condition::Any(any, at) if !any.is_empty() && table.get("any").is_none() => {
                ("any", tables(any.iter(), levels)?.at(*at))
            }
            Condition::Any(any, at) if any.is_empty() && table.get("not").is_none() => {
                let nothing = Condition::Path(EVERYTHING.to_owned(), *at);
                ("not", Value::from(write(&nothing, levels.checked_sub(1)?)?).at(*at))
            }
            Condition::Not(not, at) if table.get("not").is_none() => {
                ("not", Value::from(write(not, levels.checked_sub(1)?)?).at(*at))
            }
            other => {
                rest.push(other);
                continue;
            }
        };
        match table.get(key) {
            None => {
                table.set(key, value);
            }
            Some(_) => rest.push(part),
        }
    }
    if !rest.is_empty() {
        table.set("all", tables(rest.into_iter(), levels)?);
    }
    if let (true, Condition::All(_, at)) = (table.is_empty(), condition) {
        // All of nothing holds.
        table.set("path_regex", Value::text(EVERYTHING).at(*at));
    }
    Some(table)
}

fn tables<'c>(parts: impl Iterator<Item = &'c Condition>, levels: usize) -> Option<Value> {
    let below = levels.checked_sub(1)?;
    let tables: Option<Vec<Value>> =
        parts.map(|part| write(part, below).map(Value::from)).collect();
    Some(Value::list(tables?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::object::Manifests;

    fn condition(text: &str) -> String {
        let text = format!(
            "apiVersion: linkerd.io/v1alpha2\nkind: ServiceProfile\nmetadata: {{name: a}}\nspec: {text}"
        );
        let manifests = Manifests::read([("a.yaml", text.as_bytes())]);
        let node = manifests.objects[0].node.get("spec").unwrap();
        let tables = tables_of(node);
        let all = tables.iter().flatten().map(super::super::linkerd_tests::inline);
        if tables.is_none() { "too deep".to_owned() } else { all.collect::<Vec<_>>().join(" ") }
    }

    #[test]
    fn conditions_lose_what_need_not_be_nested() {
        let cases = [
            ("{method: get, pathRegex: ' /a '}", "{method = \"GET\", path_regex = \"/a\"}"),
            (
                "{all: [{all: [{method: GET}]}, {pathRegex: /a}]}",
                "{method = \"GET\", path_regex = \"/a\"}",
            ),
            ("{not: {not: {method: GET}}}", "{method = \"GET\"}"),
            (
                "{any: [{any: [{method: GET}, {method: PUT}]}, {pathRegex: /a}]}",
                "{any = [{method = \"GET\"}, {method = \"PUT\"}, {path_regex = \"/a\"}]}",
            ),
            (
                "{all: [{pathRegex: /a}, {pathRegex: /.}]}",
                "{path_regex = \"/a\", all = [{path_regex = \"/.\"}]}",
            ),
            (
                "{all: [{not: {method: GET}}, {not: {pathRegex: /a}}]}",
                "{not = {method = \"GET\"}, all = [{not = {path_regex = \"/a\"}}]}",
            ),
            ("{all: []}", "{path_regex = \".*\"}"),
            ("{any: []}", "{not = {path_regex = \".*\"}}"),
            (
                "{any: [{not: {any: [{method: A}, {method: B}]}}, {method: C}]}",
                "{not = {any = [{method = \"A\"}, {method = \"B\"}]}} {method = \"C\"}",
            ),
            ("{not: {any: [{not: {any: [{method: A}, {method: B}]}}, {method: C}]}}", "too deep"),
        ];
        for (text, wanted) in cases {
            assert_eq!(condition(text), wanted, "{text}");
        }
    }
}
