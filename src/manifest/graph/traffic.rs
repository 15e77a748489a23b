//! Sources of requests: `[[traffic]]` of a draft.
//!
//! Where traces, a graph or hints say where requests come in, these are the sources. What comes from outside
//! enters by a gateway's host, if one leads to the service. Where nobody says it, each host of a gateway gets
//! one source, or, if there is none, each service that nobody calls.
//! Source: docs/scenarios.md (`[[traffic]]`).
//! Left out: how rates change with time.

use super::names::{Index, Target};
use super::{Call, Entry, Graph, problem, rate_text, value};
use crate::manifest::draft::value::{Kind, Origin, Table, Value};
use crate::manifest::draft::{Draft, Service};
use crate::plan::problem::Problem;
use std::collections::BTreeSet;

/// The rate of a source where nobody knows it, in requests a second.
pub const RATE: f64 = 10.0;

/// Why that is taken.
const NO_RATE: &str = "nobody says how much traffic there is: --traces or --hints";

/// Calls of services that are none of the draft's are followed so far.
const HOPS_MAX: usize = 4;

/// Makes the sources.
pub(super) fn apply(
    graphs: &[Graph],
    index: &Index,
    draft: &mut Draft<'_>,
    notes: &mut Vec<Problem>,
) {
    let saying = graphs.iter().rev().find(|graph| !graph.entries.is_empty());
    let mut all: Vec<Table> = Vec::new();
    if let Some(graph) = saying {
        let entries = entries(graph, index, draft, notes);
        all = sources(entries, draft);
    }
    if all.is_empty() {
        for (to, path) in doors(draft) {
            let origin = Origin::Assumed(NO_RATE.into());
            let mut table = Table::new();
            table.set("from", Value::text("ingress"));
            table.set("to", Value::text(to));
            table.set_some("path", path.map(Value::text));
            arrivals(&mut table, RATE, &origin);
            all.push(table);
        }
        if !all.is_empty() {
            let what = "nobody says where requests come in: 10 a second are assumed for each entry";
            notes.push(problem(what, "say it with --traces, --isotope or --hints"));
        }
    }
    let mut ids = BTreeSet::new();
    for source in all {
        let to = text(&source, "to").unwrap_or("traffic").to_owned();
        let mut id = to.clone();
        for number in 2.. {
            if ids.insert(id.clone()) {
                break;
            }
            id = format!("{to}-{number}");
        }
        let mut table = Table::new();
        table.set("id", Value::text(id));
        for (key, value) in source.iter() {
            table.set(key, value.clone());
        }
        draft.traffic.push(table);
    }
}

/// The entries of a graph by services of the draft. A gateway, or whoever else is none of these, is left out:
/// what it calls is called from outside.
fn entries(
    graph: &Graph,
    index: &Index,
    draft: &mut Draft<'_>,
    notes: &mut Vec<Problem>,
) -> Vec<Entry> {
    let mut found: Vec<Entry> = Vec::new();
    let mut open: Vec<Entry> = graph.entries.clone();
    for _ in 0..HOPS_MAX {
        let mut next = Vec::new();
        for entry in std::mem::take(&mut open) {
            let unknown = match index.find(&entry.to) {
                Ok(Target { service, .. }) => {
                    let from = entry
                        .from
                        .as_ref()
                        .and_then(|from| sender(from, &entry, graph, index, draft));
                    found.push(Entry { to: service, from, ..entry });
                    continue;
                }
                Err(unknown) => unknown,
            };
            let calls: Vec<&Call> =
                graph.calls.iter().filter(|call| call.from == entry.to).collect();
            if let (true, Origin::Written(at)) =
                (graph.is_by_hand && calls.is_empty(), &entry.origin)
            {
                let what = format!("there is no service `{}`", entry.to);
                draft.findings.problem(&draft.loaded.manifests.sources, *at, what, &unknown.hint);
            } else if calls.is_empty() {
                let what = format!("requests come to `{}`, which no manifest has", entry.to);
                notes.push(problem(what, &unknown.hint));
            }
            next.extend(calls.iter().map(|call| Entry {
                to: call.to.clone(),
                from: None,
                origin: entry.origin.clone(),
                rate_per_s: entry.rate_per_s.map(|rate| rate * call.probability),
                path: call.path.clone(),
                method: call.method.clone(),
            }));
        }
        open = next;
    }
    found
}

/// The service that sends; none where it is none of the draft's.
fn sender(
    from: &str,
    entry: &Entry,
    graph: &Graph,
    index: &Index,
    draft: &mut Draft<'_>,
) -> Option<String> {
    match (index.find(from), &entry.origin) {
        (Ok(target), _) => {
            let has_pods = |one: &Service| one.name == target.service && !one.workloads.is_empty();
            draft.services.iter().any(has_pods).then_some(target.service)
        }
        (Err(unknown), Origin::Written(at)) if graph.is_by_hand => {
            let what = format!("there is no service `{from}`");
            draft.findings.problem(&draft.loaded.manifests.sources, *at, what, &unknown.hint);
            None
        }
        (Err(_), _) => None,
    }
}

/// Entries as they come in, by a gateway's host where one leads to the service; equal ones become one.
fn sources(entries: Vec<Entry>, draft: &Draft<'_>) -> Vec<Table> {
    let mut all: Vec<Entry> = Vec::new();
    for mut entry in entries {
        if let (None, Some((host, path))) = (&entry.from, door(draft, &entry.to)) {
            entry.to = host;
            entry.path = entry.path.or(path);
        }
        let key =
            |one: &Entry| (one.from.clone(), one.to.clone(), one.path.clone(), one.method.clone());
        match all.iter_mut().find(|other| key(other) == key(&entry)) {
            Some(other) => {
                let rates = other.rate_per_s.zip(entry.rate_per_s);
                other.rate_per_s =
                    rates.map(|(a, b)| a + b).or(other.rate_per_s).or(entry.rate_per_s);
            }
            None => all.push(entry),
        }
    }
    all.into_iter().map(source).collect()
}

fn source(entry: Entry) -> Table {
    let mut table = Table::new();
    table.set("from", Value::text(entry.from.as_deref().unwrap_or("ingress")));
    table.set("to", value(Value::text(entry.to), written(&entry.origin)));
    table.set_some("path", entry.path.filter(|path| path != "/").map(Value::text));
    table.set_some("method", entry.method.filter(|method| method != "GET").map(Value::text));
    let rate = entry.rate_per_s.unwrap_or(RATE);
    match (entry.rate_per_s, &entry.origin) {
        (None, Origin::Written(_)) => arrivals(&mut table, rate, &Origin::Assumed(NO_RATE.into())),
        (_, origin) => arrivals(&mut table, rate, origin),
    }
    table
}

/// The origin if it is a place: an assumption is told at the rate.
fn written(origin: &Origin) -> &Origin {
    match origin {
        Origin::Written(_) => origin,
        _ => &Origin::Around,
    }
}

fn arrivals(table: &mut Table, rate_per_s: f64, origin: &Origin) {
    let mut arrivals = Table::new();
    arrivals.set("poisson", Value::text(rate_text(rate_per_s)));
    table.set("arrivals", value(arrivals.into(), origin));
}

/// Hosts of gateways: services that stand for no Service and lead to others that have pods.
fn hosts<'d>(draft: &'d Draft<'_>) -> impl Iterator<Item = &'d Service> {
    let has_pods =
        |name: &str| draft.services.iter().any(|one| one.name == name && !one.workloads.is_empty());
    draft.services.iter().filter(move |one| {
        let leads = one.routes.iter().flat_map(destinations);
        one.key.is_none() && one.workloads.is_empty() && { leads }.any(&has_pods)
    })
}

/// Where requests may come in, where nobody says it.
fn doors(draft: &Draft<'_>) -> Vec<(String, Option<String>)> {
    let hosts: Vec<&Service> = hosts(draft).collect();
    if !hosts.is_empty() {
        let path = |host: &Service| {
            let routed = host.routes.iter().find(|route| destinations(route).next().is_some());
            routed.and_then(path_of).filter(|path| path != "/")
        };
        return hosts.into_iter().map(|host| (host.name.clone(), path(host))).collect();
    }
    let mut called = BTreeSet::new();
    for pod in draft.services.iter().flat_map(|service| &service.workloads) {
        let Some(Kind::List(calls)) = pod.table.get("calls").map(|calls| &calls.kind) else {
            continue;
        };
        for call in calls {
            if let Kind::Table(call) = &call.kind {
                called.extend(text(call, "to"));
            }
        }
    }
    let roots = draft.services.iter().filter(|one| !one.workloads.is_empty());
    let roots = roots.filter(|one| !called.contains(one.name.as_str()));
    roots.map(|one| (one.name.clone(), None)).collect()
}

/// The host by which requests from outside come to a service, with a path that leads there.
fn door(draft: &Draft<'_>, service: &str) -> Option<(String, Option<String>)> {
    hosts(draft).find_map(|host| {
        let leads = |route: &&Table| destinations(route).any(|name| name == service);
        let route = host.routes.iter().find(leads)?;
        Some((host.name.clone(), path_of(route)))
    })
}

/// The services of a route's weights.
fn destinations(route: &Table) -> impl Iterator<Item = &str> {
    let weights = match route.get("weights").map(|weights| &weights.kind) {
        Some(Kind::Table(weights)) => Some(weights),
        _ => None,
    };
    let names = weights.into_iter().flat_map(Table::iter).map(|(name, _)| name);
    names.map(|name| name.split('/').next().unwrap_or(name))
}

/// A path that a route matches.
fn path_of(route: &Table) -> Option<String> {
    let rule = match &route.get("match")?.kind {
        Kind::Table(rule) => rule,
        Kind::List(rules) => match &rules.first()?.kind {
            Kind::Table(rule) => rule,
            _ => return None,
        },
        _ => return None,
    };
    text(rule, "path").or_else(|| text(rule, "prefix")).map(str::to_owned)
}

fn text<'t>(table: &'t Table, key: &str) -> Option<&'t str> {
    match &table.get(key)?.kind {
        Kind::Text(text) => Some(text),
        _ => None,
    }
}
