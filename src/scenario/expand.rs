//! Counted services: `count = 500` on `leaf` makes `leaf-0`, `leaf-1`, … of one table.
//!
//! A call to all of `leaf` is a call to `fanout` of them, chosen once for each calling workload by
//! a hash of its name and of the call's place, so that neither the order of tables nor another
//! service moves the choice. Traffic to `leaf` is a source for each, and traffic between two
//! counted services goes from each to its like. It is done on the document, before names become
//! ids: what comes after knows services only.
//!
//! Source: ours, in the manner of `count` on nodes.
//! Left out: counted workloads of one service; popular members (all are chosen alike).

use super::context::{Context, Fault};
use super::document::{At, Entry, Node, Value};
use super::keys::{PODS_MAX, WORKLOADS_MAX};
use crate::kernel::stream::{below, draw_at, name_hash};
use std::collections::{BTreeMap, BTreeSet};

/// Names that stand for so many.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) services: BTreeMap<String, u32>,
    pub(crate) traffic: BTreeMap<String, u32>,
}

impl Counted {
    /// The members of a service, if it is counted.
    pub(crate) fn members(&self, service: &str) -> Option<impl Iterator<Item = String>> {
        let count = *self.services.get(service)?;
        Some((0..count).map(move |index| format!("{service}-{index}")))
    }
}

/// The document with every member written out; none where nothing is counted.
pub(crate) fn expand(context: &mut Context<'_>, document: &Node) -> (Option<Node>, Counted) {
    let mut counted = Counted::default();
    let (mut total, mut plain) = (0, BTreeSet::new());
    for table in document.list("service") {
        let Some(name) = table.text("name") else { continue };
        let Some(count) = table.count("count") else {
            plain.insert(name);
            continue;
        };
        total += count as usize;
        counted.services.insert(name.to_owned(), count);
    }
    check_fanouts(context, document, &counted);
    if total == 0 {
        return (None, counted);
    }
    if WORKLOADS_MAX < total {
        let at = document.get("service").map_or(document.at, |services| services.at);
        let what = format!("{total} services are too many");
        context.report(Fault::new(at, what).hint(format!("at most {WORKLOADS_MAX}")));
        return (None, Counted::default());
    }
    if let Some(fault) = too_many_pods(document) {
        context.report(fault);
        return (None, Counted::default());
    }
    let mut services = Vec::new();
    for table in document.list("service") {
        let name = table.text("name").unwrap_or_default();
        let Some(members) = counted.members(name) else {
            services.push(with_calls(table, name, &counted));
            continue;
        };
        for member in members {
            if plain.contains(member.as_str()) {
                let what = format!("two services are called `{member}`");
                let hint = format!("`count` makes {name}-0, {name}-1, …");
                context.report(Fault::new(table.at, what).hint(hint));
            }
            let mut one = with_calls(table, &member, &counted);
            drop_key(&mut one, "count");
            set_text(&mut one, "name", &member);
            services.push(one);
        }
    }
    let traffic = document.list("traffic").iter();
    let traffic = traffic.flat_map(|table| sources(context, table, &mut counted)).collect();
    let mut expanded = document.clone();
    set_list(&mut expanded, "service", services);
    set_list(&mut expanded, "traffic", traffic);
    (Some(expanded), counted)
}

/// What speaks against the pods of all members, before any member is written out.
fn too_many_pods(document: &Node) -> Option<Fault> {
    let of = |table: &Node| {
        let pods = |one: &Node| i64::from(one.count("replicas").unwrap_or(1));
        let own: i64 = table.list("workload").iter().map(pods).sum();
        own.saturating_mul(table.count("count").map_or(1, i64::from))
    };
    let tables = document.list("service").iter();
    let pods = tables.clone().map(of).fold(0, i64::saturating_add);
    let largest = tables.max_by_key(|table| of(table)).filter(|_| PODS_MAX < pods)?;
    let fault = Fault::new(largest.at, format!("{pods} pods are too many"));
    Some(fault.hint(format!("at most {PODS_MAX}")))
}

fn check_fanouts(context: &mut Context<'_>, document: &Node, counted: &Counted) {
    let workloads = document.list("service").iter().flat_map(|table| table.list("workload"));
    for call in workloads.flat_map(|workload| workload.list("calls")) {
        let (Some(fanout), Some(to)) = (call.get("fanout"), call.text("to")) else { continue };
        let fault = match (counted.services.get(to), call.count("fanout")) {
            (Some(count), Some(wanted)) if *count < wanted => {
                Fault::new(fanout.at, format!("a fanout of {wanted} is more than there are"))
                    .hint(format!("`{to}` is {count} services"))
            }
            (None, _) => Fault::new(fanout.at, format!("`{to}` is one service"))
                .hint("a fanout is for a service with a `count`"),
            _ => continue,
        };
        context.report(fault);
    }
}

/// The table of a service whose calls to counted ones are calls to chosen members.
fn with_calls(table: &Node, service: &str, counted: &Counted) -> Node {
    let mut table = table.clone();
    let Some(workloads) = list_mut(&mut table, "workload") else { return table };
    for workload in workloads {
        let caller = match workload.text("version") {
            Some(version) => format!("{service}-{version}"),
            None => service.to_owned(),
        };
        let Some(calls) = list_mut(workload, "calls") else { continue };
        let given = std::mem::take(calls);
        for (place, call) in given.into_iter().enumerate() {
            let to = call.text("to").unwrap_or_default().to_owned();
            let Some(count) = counted.services.get(&to) else {
                calls.push(call);
                continue;
            };
            let fanout = call.count("fanout").unwrap_or(1).min(*count);
            let chosen = choose(&caller, place, fanout, *count);
            for (index, member) in chosen.iter().enumerate() {
                let mut one = call.clone();
                set_text(&mut one, "to", &format!("{to}-{member}"));
                drop_key(&mut one, "fanout");
                // Work that follows the call follows all of them.
                if index + 1 != chosen.len() {
                    drop_key(&mut one, "after");
                }
                calls.push(one);
            }
        }
    }
    table
}

/// `fanout` of `count` members: Floyd's sample, drawn by the caller's name.
fn choose(caller: &str, place: usize, fanout: u32, count: u32) -> BTreeSet<u32> {
    let mut chosen = BTreeSet::new();
    for last in count - fanout..count {
        let draw = draw_at(place as u64, "fanout", name_hash(caller), u64::from(last));
        let one = u32::try_from(below(draw, last as usize + 1)).unwrap_or(last);
        if !chosen.insert(one) {
            chosen.insert(last);
        }
    }
    chosen
}

/// One source of traffic for each member that it names.
fn sources(context: &mut Context<'_>, table: &Node, counted: &mut Counted) -> Vec<Node> {
    let count_of = |key| counted.services.get(table.text(key)?).copied();
    let count = match (count_of("from"), count_of("to")) {
        (None, None) => return vec![table.clone()],
        (Some(from), Some(to)) if from != to => {
            let at = table.get("to").map_or(table.at, |node| node.at);
            let what = format!("{from} services cannot each call its like of {to}");
            context.report(Fault::new(at, what).hint("give both the same `count`"));
            return Vec::new();
        }
        (from, to) => from.or(to).unwrap_or(0),
    };
    let id = table.text("id").unwrap_or_default().to_owned();
    let member = |index: u32| {
        let mut one = table.clone();
        set_text(&mut one, "id", &format!("{id}-{index}"));
        for key in ["from", "to"] {
            if let Some(name) = table.text(key).filter(|name| counted.services.contains_key(*name))
            {
                set_text(&mut one, key, &format!("{name}-{index}"));
            }
        }
        one
    };
    let all = (0..count).map(member).collect();
    counted.traffic.insert(id, count);
    all
}

// === changing a document ===

fn list_mut<'n>(node: &'n mut Node, key: &str) -> Option<&'n mut Vec<Node>> {
    let Value::Table(entries) = &mut node.value else { return None };
    match &mut entries.iter_mut().find(|entry| entry.key == key)?.node.value {
        Value::List(items) => Some(items),
        _ => None,
    }
}

fn set_list(node: &mut Node, key: &str, items: Vec<Node>) {
    if let Some(list) = list_mut(node, key) {
        *list = items;
    }
}

fn set_text(node: &mut Node, key: &str, text: &str) {
    let at: Option<(At, At)> = node.entry(key).map(|entry| (entry.at, entry.node.at));
    if let Some((at, value_at)) = at {
        let value = Node { at: value_at, value: Value::Text(text.to_owned()) };
        node.put(Entry { key: key.to_owned(), at, node: value });
    }
}

fn drop_key(node: &mut Node, key: &str) {
    if let Value::Table(entries) = &mut node.value {
        entries.retain(|entry| entry.key != key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_has_as_many_as_wanted_and_is_the_callers_own() {
        let one = choose("front-1", 0, 3, 500);
        assert_eq!(one.len(), 3);
        assert_eq!(one, choose("front-1", 0, 3, 500));
        assert_ne!(one, choose("front-2", 0, 3, 500));
        assert_ne!(one, choose("front-1", 1, 3, 500));
        assert_eq!(choose("front-1", 0, 5, 5).into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        // Everybody is somebody's.
        let all: BTreeSet<u32> =
            (0..500).flat_map(|n| choose(&format!("a-{n}"), 0, 3, 100)).collect();
        assert_eq!(all.len(), 100);
    }
}
