//! Lays graphs over a draft: times, errors, workers and calls of its workloads, and its traffic.
//!
//! Later graphs win over earlier ones: what a person says over what traces show. What a place says is written
//! there; what was estimated is assumed, with the reason. Services that only traces know become services
//! outside the mesh, so that waiting for them is not lost; without any manifests all services are made.
//! Source: design/contract.md (`meshsim import`).
//! Left out: pods of services that manifests have (they say it themselves).

use super::cycle::{self, Edges};
use super::names::{Index, Target, plain};
use super::{Call, Graph, Mode, Node, Said, Work, problem, share_text, traffic, value};
use crate::manifest::draft::value::{Origin, Table, Value};
use crate::manifest::draft::{Draft, Service, Workload};
use crate::manifest::object::Labels;
use crate::manifest::source::At;
use crate::plan::problem::Problem;
use std::collections::{BTreeMap, BTreeSet};

/// What a workload does whose work nobody knows.
const TIME: &str = "5ms";
/// Workers of a pod of which nobody knows them.
const WORKERS: u32 = 8;
/// Workers of a service outside, of which only the time that it takes is known.
const WORKERS_OUTSIDE: u32 = 1000;
/// Names that one note lists.
const NAMES_MAX: usize = 8;

/// Which graph says what of whom.
type Said1<'g, T> = BTreeMap<Target, (&'g Graph, T)>;

/// Lays graphs over a draft, the later ones over the earlier ones; after all that manifests say, since
/// requests come in by the hosts of gateways. Gives what a reader should know; mistakes
/// of a person go to the draft's problems.
pub fn apply(graphs: &[Graph], draft: &mut Draft<'_>) -> Vec<Problem> {
    let mut notes: Vec<Problem> = graphs.iter().flat_map(|graph| graph.notes.clone()).collect();
    if draft.services.is_empty() {
        for graph in graphs {
            make(graph, draft);
        }
    }
    for graph in graphs {
        outside(graph, draft, &mut notes);
    }
    let index = Index::of(draft);
    let mut said: BTreeSet<String> = BTreeSet::new();
    let mut calls: Said1<'_, Vec<Call>> = BTreeMap::new();
    for graph in graphs {
        for (name, node) in &graph.nodes {
            let Some(target) = found(graph, &index, name, node, draft) else { continue };
            set(node, &target, draft);
            if node.says_calls {
                said.insert(target.service.clone());
                if target.version.is_none() {
                    calls.retain(|other, _| other.service != target.service);
                }
                let list = calls_of(graph, name, &index, draft, &mut notes);
                let known = calls.get_mut(&target).filter(|(other, _)| std::ptr::eq(*other, graph));
                match known {
                    Some((_, known)) => known.extend(list),
                    None => {
                        calls.insert(target, (graph, list));
                    }
                }
            }
        }
    }
    let mut calls: BTreeMap<Target, Vec<Call>> =
        calls.into_iter().map(|(target, (_, list))| (target, joined(list))).collect();
    end(&mut calls, &mut notes);
    for (target, list) in &calls {
        write(target, list, draft);
    }
    fill(&said, draft, &mut notes);
    traffic::apply(graphs, &index, draft, &mut notes);
    notes
}

/// The service that a node is; one that a person names and that is not there is a mistake.
pub(super) fn found(
    graph: &Graph,
    index: &Index,
    name: &str,
    node: &Node,
    draft: &mut Draft<'_>,
) -> Option<Target> {
    let unknown = match index.find(name) {
        Ok(target) => return Some(target),
        Err(unknown) => unknown,
    };
    if let (true, Some(at)) = (graph.is_by_hand, node.at) {
        let what = format!("there is no service `{name}`");
        draft.findings.problem(&draft.loaded.manifests.sources, at, what, &unknown.hint);
    }
    None
}

/// Makes the services of a graph, where there are no manifests.
fn make(graph: &Graph, draft: &mut Draft<'_>) {
    // Who only sends, and who was only seen by callers, is none of the mesh's.
    let is_own = |node: &Node| {
        graph.is_by_hand || node.work.is_some() && !node.is_outside && !node.is_gateway
    };
    for (name, node) in graph.nodes.iter().filter(|(_, node)| is_own(node)) {
        let whole = plain(name);
        let (first, namespace) = whole.split_once('.').unwrap_or((&whole, "default"));
        let key = (namespace.to_owned(), first.to_owned());
        if draft.names.services.contains_key(&key) {
            continue;
        }
        draft.names.services.insert(key.clone(), whole.clone());
        let mut service = Service::new(&whole, Some(key.clone()), node.at);
        service.workloads.push(pods(key, node));
        draft.services.push(service);
    }
}

fn pods(key: (String, String), node: &Node) -> Workload {
    let mut table = Table::new();
    let replicas = match &node.replicas {
        Some(said) => value(Value::integer(said.value), &said.origin),
        None => Value::integer(1).assumed("nobody says how many pods it has"),
    };
    table.set("replicas", replicas);
    Workload { key, at: node.at, version: None, labels: Labels::new(), table }
}

/// Adds those who are called and that no manifest has, if spans tell of them.
fn outside(graph: &Graph, draft: &mut Draft<'_>, notes: &mut Vec<Problem>) {
    if graph.is_by_hand {
        return;
    }
    let index = Index::of(draft);
    let mut called: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = graph.nodes.keys().map(String::as_str).collect();
    open.retain(|name| index.find(name).is_ok());
    while let Some(from) = open.pop() {
        for call in graph.calls.iter().filter(|call| call.from == from) {
            if index.find(&call.to).is_err() && called.insert(&call.to) {
                open.push(&call.to);
            }
        }
    }
    for name in called {
        let node = graph.nodes.get(name).cloned().unwrap_or_default();
        let hint = index.find(name).err().map_or_else(String::new, |unknown| unknown.hint);
        let whole = plain(name);
        if draft.services.iter().any(|service| service.name == whole) {
            continue;
        }
        let what = format!("`{name}` is in no manifest: it is a service outside the mesh");
        notes.push(problem(what, &hint));
        let mut service = Service::new(&whole, None, None);
        let why = format!("only {} tells of it", graph.name);
        stand_in(&mut service, &node, why);
        draft.services.push(service);
    }
}

/// Gives a service outside the mesh something that answers.
fn stand_in(service: &mut Service, node: &Node, why: String) {
    service.table.set("meshed", Value::bool(false).assumed(why));
    let mut pods = pods((String::new(), service.name.clone()), node);
    let why = "what its callers wait for is all that is known";
    pods.table.set("workers", Value::integer(WORKERS_OUTSIDE).assumed(why));
    service.workloads.push(pods);
}

/// Sets what is known of a service's own work.
fn set(node: &Node, target: &Target, draft: &mut Draft<'_>) {
    let mut service = draft.services.iter_mut().find(|one| one.name == target.service);
    // A host outside (a ServiceEntry) has no pods in manifests, but answered.
    if let Some(service) = service.as_mut().filter(|one| node.is_outside && is_bare(one)) {
        stand_in(service, node, "its callers alone tell of it".to_owned());
    }
    for pod in service.into_iter().flat_map(|service| &mut service.workloads) {
        if target.version.as_ref().is_some_and(|version| *version != pod.version) {
            continue;
        }
        if let Some(work) = &node.work {
            pod.table.set("time", time(work));
        }
        if let Some(Said { value: errors, origin }) = &node.errors {
            let share = Value::text(share_text(errors.share));
            let value = match errors.status {
                None => value(share, origin),
                Some(status) => {
                    let mut table = Table::new();
                    table.set("share", share).set("status", Value::integer(status));
                    value(table.into(), origin)
                }
            };
            pod.table.set("errors", value);
        }
        if let Some(workers) = &node.workers {
            pod.table.set("workers", value(Value::integer(workers.value), &workers.origin));
        }
    }
}

/// Whether nothing of a service is known but its name.
fn is_bare(service: &Service) -> bool {
    let selects = service.table.get("selector").is_some();
    service.workloads.is_empty() && service.routes.is_empty() && !selects
}

fn time(work: &Said<Work>) -> Value {
    let told = match work.value {
        Work::Constant(ns) => Value::duration(ns),
        Work::Lognormal(p50, p99) => {
            let (mut outer, mut inner) = (Table::new(), Table::new());
            inner.set("p50", Value::duration(p50)).set("p99", Value::duration(p99));
            outer.set("lognormal", inner);
            outer.into()
        }
    };
    value(told, &work.origin)
}

/// The calls of a node, to services of the draft.
pub(super) fn calls_of(
    graph: &Graph,
    from: &str,
    index: &Index,
    draft: &mut Draft<'_>,
    notes: &mut Vec<Problem>,
) -> Vec<Call> {
    let mut calls = Vec::new();
    for call in graph.calls.iter().filter(|call| call.from == from) {
        let unknown = match index.find(&call.to) {
            Ok(target) => {
                // The name of the input stays in `from`, so that calls of equal callees can be joined.
                calls.push(Call { from: call.to.clone(), to: target.service, ..call.clone() });
                continue;
            }
            Err(unknown) => unknown,
        };
        let what = format!("`{from}` calls `{}`, which is no service", call.to);
        match &call.origin {
            Origin::Written(at) if graph.is_by_hand => {
                let sources = &draft.loaded.manifests.sources;
                draft.findings.problem(sources, *at, what, &unknown.hint);
            }
            _ => notes.push(problem(what, &unknown.hint)),
        }
    }
    calls
}

/// Joins calls that the input has by several names of one service (its versions): each request makes one.
fn joined(calls: Vec<Call>) -> Vec<Call> {
    let mut all: Vec<Call> = Vec::new();
    let mut names: Vec<BTreeSet<String>> = Vec::new();
    for call in calls {
        let fits = |(at, other): &(usize, &Call)| {
            (&other.to, &other.path, &other.method) == (&call.to, &call.path, &call.method)
                && !names[*at].contains(&call.from)
                && other.probability + call.probability <= 1.000_001
        };
        let at = all.iter().enumerate().find(fits).map(|(at, _)| at);
        if let Some(at) = at {
            all[at].probability = (all[at].probability + call.probability).min(1.0);
            names[at].insert(call.from);
        } else {
            names.push(BTreeSet::from([call.from.clone()]));
            all.push(call);
        }
    }
    for (call, names) in all.iter_mut().zip(names).filter(|(_, names)| 1 < names.len()) {
        let names: Vec<String> = names.into_iter().collect();
        let (share, names) = (share_text(call.probability), names.join(", "));
        call.origin = Origin::Assumed(format!("{share} of requests call one of {names}").into());
    }
    all
}

/// Takes out calls that would go round for ever.
fn end(calls: &mut BTreeMap<Target, Vec<Call>>, notes: &mut Vec<Problem>) {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut list: Vec<&str> = Vec::new();
    let called = calls.values().flatten().map(|call| call.to.as_str());
    for name in calls.keys().map(|target| target.service.as_str()).chain(called) {
        numbers.entry(name).or_insert_with(|| {
            list.push(name);
            list.len() - 1
        });
    }
    let mut edges = Edges::new();
    for (target, own) in calls.iter() {
        let mut expected: BTreeMap<usize, f64> = BTreeMap::new();
        for call in own {
            *expected.entry(numbers[call.to.as_str()]).or_default() += call.probability;
        }
        for (to, expected) in expected {
            let known = edges.entry((numbers[target.service.as_str()], to)).or_default();
            *known = known.max(expected);
        }
    }
    let out: Vec<(String, String)> = cycle::endless(edges)
        .into_iter()
        .map(|(from, to)| (list[from].to_owned(), list[to].to_owned()))
        .collect();
    for (from, to) in out {
        for (target, own) in calls.iter_mut() {
            if target.service == from {
                own.retain(|call| call.to != to);
            }
        }
        let what = format!("calls from `{from}` to `{to}` would go round without end");
        notes.push(problem(what, "they are taken out"));
    }
}

fn write(target: &Target, calls: &[Call], draft: &mut Draft<'_>) {
    let list: Vec<Value> = calls.iter().map(call).collect();
    let service = draft.services.iter_mut().find(|one| one.name == target.service);
    for pod in service.into_iter().flat_map(|service| &mut service.workloads) {
        let is_meant = target.version.as_ref().is_none_or(|version| *version == pod.version);
        if is_meant && !list.is_empty() {
            pod.table.set("calls", Value::list(list.iter().cloned()));
        }
    }
}

fn call(call: &Call) -> Value {
    let mut table = Table::new();
    let place: Option<At> = match call.origin {
        Origin::Written(at) => Some(at),
        _ => None,
    };
    table.set("to", Value::text(&*call.to).at_some(place));
    if call.probability < 1.0 {
        table.set("probability", Value::text(share_text(call.probability)));
    }
    if call.mode == Mode::Parallel {
        table.set("mode", Value::text("parallel"));
    }
    if !call.required {
        table.set("required", Value::bool(false));
    }
    let path = call.path.as_ref().filter(|path| path.starts_with('/') && *path != "/");
    table.set_some("path", path.map(Value::text));
    let method = call.method.as_ref().filter(|method| *method != "GET");
    table.set_some("method", method.map(Value::text));
    table.set_some("after", call.after_ns.map(Value::duration));
    value(table.into(), &call.origin)
}

/// Asks for what is missing, and takes something for it.
fn fill(said: &BTreeSet<String>, draft: &mut Draft<'_>, notes: &mut Vec<Problem>) {
    let mut silent: Vec<&str> = Vec::new();
    for service in &mut draft.services {
        for pod in &mut service.workloads {
            if pod.table.get("time").is_none() {
                let why = "nobody says how long it works: --traces or --hints";
                pod.table.set("time", Value::text(TIME).assumed(why));
            }
            if pod.table.get("workers").is_none() {
                let why = "nobody says how many requests a pod works on at once: --hints";
                pod.table.set("workers", Value::integer(WORKERS).assumed(why));
            }
        }
        let is_outside = service.key.is_none();
        if !service.workloads.is_empty() && !is_outside && !said.contains(&service.name) {
            silent.push(&service.name);
        }
    }
    if silent.is_empty() {
        return;
    }
    let more = silent.len().saturating_sub(NAMES_MAX);
    let names: Vec<String> =
        silent.iter().take(NAMES_MAX).map(|name| format!("`{name}`")).collect();
    let more = if more == 0 { String::new() } else { format!(" and {more} others") };
    let verb = if silent.len() == 1 { "calls" } else { "call" };
    let what = format!("nobody says whom {}{more} {verb}", names.join(", "));
    notes.push(problem(what, "say it with --traces, --isotope or --hints"));
}
