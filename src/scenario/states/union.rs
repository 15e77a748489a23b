//! The union: each state has the services, workloads and subsets of all, so that each is lowered to the
//! same ids. What a state has for the sake of others has no pods, and no routes.
//!
//! What the file says of something that its manifests only bring later is there in each state, and is no
//! more than what it says then: of such a thing each state has what the first has that brings it.
//!
//! Source: ours: the plan holds all that there ever is.
//! Left out: sources of traffic, which manifests do not bring.

use super::super::document::{Entry, Node, Value};
use super::{Drafted, Missing, State};

/// Keys of a workload that mean nothing to one without pods.
const OF_PODS: [&str; 2] = ["hpa", "pdb"];

/// Gives each state what only others have, as the first that has it says it.
pub(super) fn complete(states: &mut [State]) {
    let mut all = Drafted::default();
    // Services, and elements of their lists, as the first state says them that has them.
    let mut services: Vec<Node> = Vec::new();
    let mut elements: Vec<(String, &'static str, Node)> = Vec::new();
    for State { root, drafted, .. } in states.iter() {
        for service in root.list("service") {
            let own = name(service);
            if drafted.services.contains(own) && all.services.insert(own.to_owned()) {
                services.push(service.clone());
            }
            for (key, has, seen) in [
                ("workload", &drafted.workloads, &mut all.workloads),
                ("subsets", &drafted.subsets, &mut all.subsets),
            ] {
                for one in service.list(key) {
                    let mark = (own.to_owned(), element(one, key).to_owned());
                    if has.contains(&mark) && seen.insert(mark) {
                        elements.push((own.to_owned(), key, one.clone()));
                    }
                }
            }
        }
    }
    for state in states {
        for service in &services {
            if !state.drafted.services.contains(name(service)) {
                let absent = absent(service, &mut state.missing);
                put(list_mut(&mut state.root, "service", service), absent, "name");
            }
        }
        for (service, key, one) in &elements {
            fill(state, service, key, one);
        }
    }
}

fn name(node: &Node) -> &str {
    node.text("name").unwrap_or_default()
}

/// What tells an element of a list from the others.
fn element<'n>(node: &'n Node, key: &str) -> &'n str {
    node.text(identity(key)).unwrap_or_default()
}

fn identity(key: &str) -> &'static str {
    if key == "workload" { "version" } else { "name" }
}

/// The list of a key, which is made if there is none.
fn list_mut<'n>(node: &'n mut Node, key: &str, like: &Node) -> &'n mut Vec<Node> {
    let is_list = node.get(key).is_some_and(|list| matches!(list.value, Value::List(_)));
    if !is_list {
        let at = like.at;
        node.put(Entry {
            key: key.to_owned(),
            at,
            node: Node { at, value: Value::List(Vec::new()) },
        });
    }
    let Value::Table(entries) = &mut node.value else { unreachable!("documents are tables") };
    let entry = entries.iter_mut().find(|entry| entry.key == key);
    match entry.map(|entry| &mut entry.node.value) {
        Some(Value::List(items)) => items,
        _ => unreachable!("it was made a list"),
    }
}

/// Puts an element in the place of that of its name, or behind all.
fn put(list: &mut Vec<Node>, new: Node, identity: &str) {
    match list.iter_mut().find(|one| one.text(identity) == new.text(identity)) {
        Some(one) => *one = new,
        None => list.push(new),
    }
}

/// An element of a service's list that a state does not have.
fn fill(state: &mut State, service: &str, key: &str, one: &Node) {
    let mark = (service.to_owned(), element(one, key).to_owned());
    let State { root, drafted, missing, .. } = state;
    let has = if key == "workload" { &drafted.workloads } else { &drafted.subsets };
    if has.contains(&mark) {
        return;
    }
    let services = list_mut(root, "service", one);
    let Some(own) = services.iter_mut().find(|node| name(node) == service) else { return };
    let mut new = one.clone();
    if key == "workload" {
        stop(&mut new);
        missing.workloads.insert(mark);
    } else {
        missing.subsets.insert(format!("{}/{}", mark.0, mark.1));
    }
    put(list_mut(own, key, one), new, identity(key));
}

/// A service that is not there.
fn absent(service: &Node, missing: &mut Missing) -> Node {
    let mut copy = service.clone();
    let own = name(service).to_owned();
    let is_host = service.list("workload").is_empty()
        && service.get("selector").is_none()
        && !service.list("route").is_empty();
    if is_host {
        missing.hosts.insert(own.clone());
        list_mut(&mut copy, "workload", service);
    }
    if let Value::Table(entries) = &mut copy.value {
        entries.retain(|entry| entry.key != "route");
    }
    missing.services.insert(own);
    copy
}

/// Leaves a workload no pods.
fn stop(workload: &mut Node) {
    let at = workload.at;
    if let Value::Table(entries) = &mut workload.value {
        entries.retain(|entry| !OF_PODS.contains(&entry.key.as_str()));
    }
    let node = Node { at, value: Value::Integer(0) };
    workload.put(Entry { key: "replicas".to_owned(), at, node });
}
