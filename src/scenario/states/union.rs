//! The union: each state has the services, workloads and subsets of all, so that each is lowered to the
//! same ids. What a state has for the sake of others has no pods, and no routes.
//!
//! Source: ours: the plan holds all that there ever is.
//! Left out: sources of traffic, which manifests do not bring.

use super::super::document::{Entry, Node, Value};
use super::{Missing, State};

/// Keys of a workload that mean nothing to one without pods.
const OF_PODS: [&str; 2] = ["hpa", "pdb"];

/// Gives each state what only others have, as the first that has it says it.
pub(super) fn complete(states: &mut [State]) {
    let mut all: Vec<Node> = Vec::new();
    for state in states.iter() {
        for service in state.root.list("service") {
            let known = all.iter_mut().find(|one| name(one) == name(service));
            match known {
                Some(known) => {
                    add_all(known, service, "workload", "version");
                    add_all(known, service, "subsets", "name");
                }
                None => all.push(service.clone()),
            }
        }
    }
    for State { root, missing, .. } in states {
        for service in &all {
            fill(root, service, missing);
        }
    }
}

fn name(node: &Node) -> &str {
    node.text("name").unwrap_or_default()
}

/// Adds the elements of a list that the other one has not.
fn add_all(known: &mut Node, more: &Node, key: &str, identity: &str) {
    let mut new: Vec<Node> = more.list(key).to_vec();
    new.retain(|one| {
        let own = one.text(identity);
        known.list(key).iter().all(|known| known.text(identity) != own)
    });
    if !new.is_empty() {
        extend(known, key, more, new);
    }
}

/// Adds elements to a list, which is made if there is none.
fn extend(node: &mut Node, key: &str, like: &Node, new: Vec<Node>) {
    let Value::Table(entries) = &mut node.value else { return };
    if let Some(Entry { node: Node { value: Value::List(items), .. }, .. }) =
        entries.iter_mut().find(|entry| entry.key == key)
    {
        items.extend(new);
        return;
    }
    let at = like.get(key).map_or(like.at, |list| list.at);
    node.put(Entry { key: key.to_owned(), at, node: Node { at, value: Value::List(new) } });
}

fn fill(root: &mut Node, service: &Node, missing: &mut Missing) {
    let Value::Table(entries) = &mut root.value else { return };
    let list = entries.iter_mut().find(|entry| entry.key == "service");
    let Some(Entry { node: Node { value: Value::List(services), .. }, .. }) = list else {
        let at = service.at;
        let node = Node { at, value: Value::List(vec![without_pods(service, missing)]) };
        root.put(Entry { key: "service".to_owned(), at, node });
        return;
    };
    let Some(own) = services.iter_mut().find(|one| name(one) == name(service)) else {
        services.push(without_pods(service, missing));
        return;
    };
    for (key, identity) in [("workload", "version"), ("subsets", "name")] {
        let has = |one: &Node| own.list(key).iter().any(|it| it.text(identity) == one.text(identity));
        let new: Vec<Node> = service.list(key).iter().filter(|one| !has(one)).cloned().collect();
        let mut added = Vec::with_capacity(new.len());
        for mut one in new {
            let word = one.text(identity).unwrap_or_default().to_owned();
            if key == "workload" {
                missing.workloads.insert((name(service).to_owned(), word));
                stop(&mut one);
            } else {
                missing.subsets.insert(format!("{}/{word}", name(service)));
            }
            added.push(one);
        }
        if !added.is_empty() {
            extend(own, key, service, added);
        }
    }
}

/// A service that is not there.
fn without_pods(service: &Node, missing: &mut Missing) -> Node {
    let mut copy = service.clone();
    let own = name(service).to_owned();
    let is_host = service.list("workload").is_empty()
        && service.get("selector").is_none()
        && !service.list("route").is_empty();
    if is_host {
        missing.hosts.insert(own.clone());
        if service.get("workload").is_none() {
            let at = service.at;
            let node = Node { at, value: Value::List(Vec::new()) };
            copy.put(Entry { key: "workload".to_owned(), at, node });
        }
    }
    if let Value::Table(entries) = &mut copy.value {
        entries.retain(|entry| entry.key != "route");
        for entry in entries.iter_mut().filter(|entry| entry.key == "workload") {
            let Value::List(items) = &mut entry.node.value else { continue };
            for item in items {
                let version = item.text("version").unwrap_or_default().to_owned();
                missing.workloads.insert((own.clone(), version));
                stop(item);
            }
        }
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
