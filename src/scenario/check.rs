//! The structural check: every key is known, every value has its kind, nothing required is
//! missing, nothing is named twice.
//!
//! What passes here reads without an error later; the lowering then looks at what things mean.
//!
//! Source: the key table.
//! Left out: meaning.

use super::context::{Context, Fault, known};
use super::document::{At, Node, Value};
use super::keys::PLANNED;
use super::schema::{Default, Key, Keys, Kind};
use super::units::{
    bandwidth, count, duration, expected, number, parameter_text, quantity, rate, share,
};
use super::values::{arrivals, distribution};
use std::collections::BTreeMap;

/// Checks a table. Where the file has syntax errors, `complete` is false: what is missing may have
/// been lost to them.
pub(crate) fn table(context: &mut Context<'_>, node: &Node, keys: Keys, at: At, complete: bool) {
    let list = keys.list();
    for entry in node.entries() {
        if let Some(key) = list.iter().find(|key| key.name == entry.key) {
            value(context, &entry.node, key.kind, entry.at, complete);
        } else {
            let names = list.iter().map(|key| key.name);
            let hint = if PLANNED.contains(&entry.key.as_str()) {
                "this section is planned; this version does not read it".to_owned()
            } else {
                known(&entry.key, names, "the keys here are")
            };
            context.report(
                Fault::new(entry.at, format!("there is no key `{}` here", entry.key)).hint(hint),
            );
        }
    }
    for key in list.iter().filter(|key| complete && key.default == Default::Required) {
        if node.get(key.name).is_none() {
            context.report(missing(at, key));
        }
    }
}

/// A text, which is more than nothing; in one line, but for YAML.
fn text(node: &Node, kind: Kind) -> Result<(), Fault> {
    let fault = |what| Err(Fault::new(node.at, what));
    match (node.as_text(), kind) {
        (Some(""), _) => fault("this text is empty"),
        (Some(text), Kind::Yaml) if text.trim().is_empty() => fault("this text is empty"),
        (Some(text), Kind::Text) if text.chars().any(char::is_control) => {
            fault("this text holds a control character")
        }
        (Some(_), _) => Ok(()),
        (None, _) => Err(expected(node, kind)),
    }
}

fn value(context: &mut Context<'_>, node: &Node, kind: Kind, key: At, complete: bool) {
    let result = match kind {
        Kind::Table(keys) if node.is_table() => return table(context, node, keys, key, complete),
        Kind::OneOrMany(keys) if node.is_table() => {
            return table(context, node, keys, key, complete);
        }
        Kind::Switch(keys) if node.is_table() => return table(context, node, keys, key, complete),
        Kind::ShareOr(keys) if node.is_table() => return table(context, node, keys, key, complete),
        Kind::Tables(keys, identity) => {
            return tables(context, node, kind, keys, identity, complete);
        }
        Kind::OneOrMany(keys) => return tables(context, node, kind, keys, "", complete),
        Kind::Switch(_) if matches!(node.value, Value::Bool(_)) => Ok(()),
        Kind::ShareOr(_) => match node.value {
            Value::Text(_) | Value::Integer(_) | Value::Float(_) => share(node).map(drop),
            _ => Err(expected(node, kind)),
        },
        Kind::Text | Kind::Yaml => text(node, kind),
        Kind::Duration => duration(node).map(drop),
        Kind::Rate => rate(node).map(drop),
        Kind::Bandwidth => bandwidth(node).map(drop),
        Kind::Share => share(node).map(drop),
        Kind::Count(least, most) => count(node, least, most).map(drop),
        Kind::Number => number(node).map(drop),
        Kind::Bool => match node.value {
            Value::Bool(_) => Ok(()),
            _ => Err(expected(node, kind)),
        },
        Kind::Word(words) => match node.as_text() {
            Some(word) if words.contains(&word) => Ok(()),
            Some(word) => Err(Fault::new(node.at, format!("`{word}` is none of the words here"))
                .hint(known(word, words.iter().copied(), "the words here are"))),
            None => Err(expected(node, kind)),
        },
        Kind::Like(name) => parameter_text(node, name).map(drop),
        Kind::Distribution => distribution(context, node).map(drop),
        Kind::Arrivals => arrivals(context, node).map(drop),
        Kind::Paths if node.as_text().is_some() => {
            return value(context, node, Kind::Text, key, complete);
        }
        Kind::Manifests if node.as_text().is_some() => {
            return value(context, node, Kind::Yaml, key, complete);
        }
        Kind::Manifests => {
            return each(context, node, node.items().iter(), kind, Kind::Yaml, complete);
        }
        Kind::Names | Kind::Paths => {
            return each(context, node, node.items().iter(), kind, Kind::Text, complete);
        }
        Kind::Labels => {
            let values = node.entries().iter().map(|entry| &entry.node);
            return each(context, node, values, kind, Kind::Text, complete);
        }
        Kind::Weights => {
            let values = node.entries().iter().map(|entry| &entry.node);
            return each(context, node, values, kind, Kind::Count(0, 1_000_000), complete);
        }
        Kind::Quantities => {
            let values = node.entries().iter().map(|entry| &entry.node);
            return each(context, node, values, kind, Kind::Quantity, complete);
        }
        Kind::Quantity => quantity(node).map(drop),
        Kind::Settings if node.is_table() => Ok(()),
        Kind::Table(_) | Kind::Switch(_) | Kind::Settings => Err(expected(node, kind)),
    };
    context.ok(result);
}

/// A key is missing in the table at a place.
pub(crate) fn missing(at: At, key: &Key) -> Fault {
    let what = format!("`{}` is missing", key.name);
    Fault::new(at, what).hint(format!("{}: {}", key.name, key.meaning))
}

/// An element is no table.
pub(crate) fn no_table(item: &Node) -> Fault {
    Fault::new(item.at, format!("expected a table, found {}", item.kind()))
}

/// A section of which there may be several is no array of tables.
pub(crate) fn not_tables(node: &Node, kind: Kind) -> Fault {
    let fault = expected(node, kind);
    if node.is_table() { fault.hint("write its header with two brackets: [[…]]") } else { fault }
}

/// The elements of a list or the values of a table, all of one kind.
fn each<'n>(
    context: &mut Context<'_>,
    node: &Node,
    values: impl Iterator<Item = &'n Node>,
    kind: Kind,
    element: Kind,
    complete: bool,
) {
    let fits = match kind {
        Kind::Names | Kind::Paths | Kind::Manifests => matches!(node.value, Value::List(_)),
        _ => node.is_table(),
    };
    if !fits {
        return context.report(expected(node, kind));
    }
    for one in values {
        value(context, one, element, one.at, complete);
    }
}

fn tables(
    context: &mut Context<'_>,
    node: &Node,
    kind: Kind,
    keys: Keys,
    identity: &str,
    complete: bool,
) {
    let Value::List(items) = &node.value else {
        return context.report(if identity.is_empty() {
            expected(node, kind)
        } else {
            not_tables(node, kind)
        });
    };
    let mut seen: BTreeMap<&str, At> = BTreeMap::new();
    for item in items {
        if !item.is_table() {
            context.report(no_table(item));
            continue;
        }
        table(context, item, keys, item.at, complete);
        // Two workloads without a version are twins too; two routes without a name are not.
        let name = match item.get(identity) {
            Some(name) => name.as_text().map(|text| (text, name.at)),
            None => (identity == "version").then_some(("", item.at)),
        };
        let Some((name, at)) = name else { continue };
        if let Some(first) = seen.insert(name, at) {
            let first = context.file_and_line(first);
            let what = match name {
                "" => "two workloads of this service have no version".to_owned(),
                name => format!("the {identity} `{name}` is given twice"),
            };
            context.report(Fault::new(at, what).hint(format!("first at {first}")));
        }
    }
}
