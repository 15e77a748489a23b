//! Base files: the file's tables laid over its base's.
//!
//! Tables merge by key, arrays of tables by the key that tells their elements apart, everything
//! else is replaced. Elements that nothing tells apart are added.
//!
//! Source: ours.
//! Left out: taking something away from a base.

use super::check;
use super::context::{Context, Fault, join};
use super::document::{At, Node, Value, parse};
use super::keys::ROOT;
use super::schema::{Keys, Kind};

/// Chains of base files longer than this are a mistake.
const BASES_MAX: usize = 16;

/// A scenario with its bases: the merged document; none after a syntax error or a missing base,
/// when more checks would call things missing that are only out of sight.
pub(crate) fn read(context: &mut Context<'_>, path: &str, text: &str) -> Option<Node> {
    let mut errors = Vec::new();
    let mut complete = true;
    let mut layers = vec![parse_file(context, path, text, &mut errors)];
    let mut chain = vec![join("", path)];
    while let Some(base) = layers.last().and_then(|top| top.get("scenario")?.get("base")) {
        let (at, Some(name)) = (base.at, base.as_text().map(str::to_owned)) else { break };
        let full = join(chain.last().expect("the file itself"), &name);
        if chain.contains(&full) || BASES_MAX < chain.len() {
            context.report(
                Fault::new(at, format!("the base files go in a circle at `{name}`"))
                    .hint(format!("{} -> {full}", chain.join(" -> "))),
            );
            break;
        }
        match context.read(&full) {
            Ok(text) => layers.push(parse_file(context, &full, &text, &mut errors)),
            Err(why) => {
                complete = false;
                context.report(Fault::new(at, format!("`{full}` cannot be read: {why}")));
                break;
            }
        }
        chain.push(full);
    }
    let mut merged = layers.pop().expect("the file itself");
    while let Some(over) = layers.pop() {
        lay_over(&mut merged, over, Kind::Table(ROOT));
    }
    context.forget_followers(&errors);
    (complete && errors.is_empty()).then_some(merged)
}

fn parse_file(context: &mut Context<'_>, path: &str, text: &str, errors: &mut Vec<At>) -> Node {
    let source = context.add(path, text);
    let (node, found) = parse(source, text);
    for (at, what) in found {
        errors.push(at);
        context.report(Fault::new(at, what));
    }
    // Twins within one file would vanish in the merging.
    check::table(context, &node, ROOT, BEGIN, false);
    node
}

pub(super) fn lay_over(under: &mut Node, over: Node, kind: Kind) {
    let at = over.at;
    match (kind, over.value) {
        (Kind::Labels | Kind::Settings, Value::Table(entries)) if under.is_table() => {
            for entry in entries {
                under.put(entry);
            }
        }
        (Kind::Table(keys) | Kind::Switch(keys), Value::Table(entries)) if under.is_table() => {
            for entry in entries {
                let kind = keys.find(&entry.key).map(|key| key.kind);
                let Value::Table(below) = &mut under.value else { return };
                match (below.iter_mut().find(|below| below.key == entry.key), kind) {
                    (Some(below), Some(kind)) => {
                        below.at = entry.at;
                        lay_over(&mut below.node, entry.node, kind);
                    }
                    _ => drop(under.put(entry)),
                }
            }
        }
        (Kind::Tables(keys, identity), Value::List(items)) if listed(under) => {
            for item in items {
                lay_element(under, item, keys, identity);
            }
        }
        (_, value) => under.value = value,
    }
    under.at = at;
}

fn lay_element(under: &mut Node, item: Node, keys: Keys, identity: &str) {
    let Value::List(elements) = &mut under.value else { return };
    let name = |node: &Node| node.text(identity).map(str::to_owned);
    let same = |one: &&mut Node| {
        !identity.is_empty()
            && (name(one).is_some() || identity == "version")
            && name(one) == name(&item)
    };
    match elements.iter_mut().find(same) {
        Some(element) => lay_over(element, item, Kind::Table(keys)),
        None => elements.push(item),
    }
}

fn listed(node: &Node) -> bool {
    matches!(node.value, Value::List(_))
}

/// Where a file begins, for what is wrong with all of it.
pub(crate) const BEGIN: At = At { source: 0, start: 0, end: 0 };
