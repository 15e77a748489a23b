//! Limits: scenarios that would never end, never begin, or not fit.
//!
//! The calls between services are a graph; an edge weighs the expected number of calls that one
//! request makes, by the workload that makes most. Around a cycle the expected number of visits
//! must be finite, and some work must take time.
//!
//! Source: a branching process ends if the matrix of expected calls has a spectral radius below 1.
//! Left out: how weights split calls between versions (the greatest counts).

use super::super::document::Node;
use super::super::keys::PODS_MAX;
use super::super::merge::BEGIN;
use super::Lower;
use crate::plan::filter::Filter;
use crate::plan::timeline::Action;
use crate::plan::universe::{Role, ServiceId, Step, Workload};
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef as _;
use std::collections::BTreeMap;

/// Visits of one cycle that one request may be expected to make.
const VISITS_MAX: f64 = 10_000.0;
/// Steps spent on finding whether a cycle ends.
const STEPS_MAX: usize = 20_000_000;
/// Events that a run may be expected to have.
const EVENTS_MAX: f64 = 1e12;
/// Events of a call: arrival, proxies, links, work, answer.
const EVENTS_PER_CALL: f64 = 12.0;

type Graph = DiGraph<ServiceId, f64>;

impl Lower<'_, '_, '_> {
    /// Checks all of it.
    pub(super) fn limits(&mut self) {
        self.something_happens();
        self.pods_fit();
        let graph = self.call_graph();
        let mut groups = kosaraju_scc(&graph);
        groups.reverse();
        let mut ends = true;
        for group in &groups {
            ends &= self.cycle_ends(&graph, group);
        }
        if ends {
            self.events_fit(&graph, &groups);
        }
    }

    fn something_happens(&mut self) {
        let empty = |key: &str| self.root.list(key).is_empty();
        if empty("traffic") && empty("service") && empty("event") {
            let hint = "add a [[service]] and [[traffic]]; `meshsim new` writes a whole example";
            self.report(BEGIN, "nothing happens in this scenario", hint);
        }
    }

    fn pods_fit(&mut self) {
        let pods = |is_gateway: bool| -> i64 {
            let all = self.universe.workloads.iter();
            let all = all.filter(|workload| (workload.role == Role::Gateway) == is_gateway);
            all.map(|workload| i64::from(workload.replicas)).sum()
        };
        let (apps, gateways) = (pods(false), pods(true));
        if PODS_MAX < apps {
            let nodes = self.drafts.iter().flatten();
            let largest = nodes.max_by_key(|(_, node)| node.count("replicas").unwrap_or(1));
            let at = largest.and_then(|(_, node)| node.get("replicas")).map_or(BEGIN, |n| n.at);
            self.report(at, format!("{apps} pods are too many"), format!("at most {PODS_MAX}"));
        }
        if PODS_MAX < gateways {
            let what = format!("{gateways} pods of the gateway are too many");
            self.report(BEGIN, what, format!("at most {PODS_MAX}"));
        }
        for event in &self.timeline {
            if let Action::Scale { replicas, .. } = event.action
                && PODS_MAX < i64::from(replicas)
            {
                return self.report(BEGIN, "too many pods", format!("at most {PODS_MAX}"));
            }
        }
    }

    fn call_graph(&self) -> Graph {
        let mut graph = Graph::new();
        let nodes: Vec<NodeIndex> = (0..self.universe.services.len())
            .map(|index| graph.add_node(ServiceId(super::id(index))))
            .collect();
        for (index, service) in self.universe.services.iter().enumerate() {
            let mut most: BTreeMap<ServiceId, f64> = BTreeMap::new();
            for workload in &service.workloads {
                let mut calls: BTreeMap<ServiceId, f64> = BTreeMap::new();
                for step in &self.universe.workloads[workload.index()].program {
                    let Step::Calls(sites) = step else { continue };
                    for site in sites {
                        *calls.entry(site.to).or_default() += site.probability;
                        for (to, share) in self.copies(site.to) {
                            *calls.entry(to).or_default() += site.probability * share;
                        }
                    }
                }
                let workload = &self.universe.workloads[workload.index()];
                for (to, expected) in asked(workload).filter(|(to, _)| to.index() != index) {
                    *calls.entry(to).or_default() += expected;
                }
                for (to, expected) in calls {
                    let most = most.entry(to).or_default();
                    *most = most.max(expected);
                }
            }
            for (to, expected) in most.into_iter().filter(|(_, expected)| 0.0 < *expected) {
                graph.add_edge(nodes[index], nodes[to.index()], expected);
            }
        }
        graph
    }

    /// Where copies of a service's requests go, and with which share at most.
    fn copies(&self, service: ServiceId) -> Vec<(ServiceId, f64)> {
        let routes = &self.universe.routes;
        let mirrors = routes[service.index()].rules.iter().flat_map(|rule| &rule.mirrors);
        mirrors.map(|one| (routes[one.route.index()].service, one.share)).collect()
    }

    /// Whether the services of a group, which all reach each other, end their calls.
    fn cycle_ends(&mut self, graph: &Graph, group: &[NodeIndex]) -> bool {
        let inside = inner_edges(graph, group);
        if inside.is_empty() {
            return true;
        }
        let (path, at) = self.example(graph, group);
        let visits = visits(&vec![1.0; group.len()], &inside);
        let Some(visits) = visits else {
            let certain = inside
                .iter()
                .all(|(from, to, _)| self.is_certain(graph[group[*from]], graph[group[*to]]));
            let (what, hint) = if certain {
                (format!("the calls {path} never end"), "each makes the next for certain")
            } else {
                (
                    format!("the calls {path} are expected to go round without end"),
                    "with smaller probabilities the expected number of calls is finite",
                )
            };
            self.report(at, what, hint);
            return false;
        };
        debug_assert!(visits.iter().all(|visits| visits.is_finite()), "a finite sum");
        // A cycle among services that answer in no time would happen at one instant.
        let timeless = |node: &NodeIndex| {
            let workloads = &self.universe.services[graph[*node].index()].workloads;
            workloads.iter().any(|workload| self.instant(*workload))
        };
        let timeless: Vec<NodeIndex> =
            group.iter().filter(|node| timeless(node)).copied().collect();
        let round = subgraph(graph, &timeless);
        let bad = kosaraju_scc(&round).iter().any(|part| !inner_edges(&round, part).is_empty());
        if bad {
            let what = format!("no time passes in the calls {path}");
            self.report(at, what, "give one of the workloads a time above 0");
        }
        !bad
    }

    /// Whether some workload of `from` calls `to` for every request.
    fn is_certain(&self, from: ServiceId, to: ServiceId) -> bool {
        let workloads = &self.universe.services[from.index()].workloads;
        let workloads = workloads.iter().map(|id| &self.universe.workloads[id.index()]);
        let mut sites = workloads.flat_map(Workload::call_sites);
        sites.any(|site| site.to == to && 1.0 <= site.probability)
    }

    /// A cycle of the group in words, and a call in it.
    fn example(&self, graph: &Graph, group: &[NodeIndex]) -> (String, super::At) {
        let name = |node: NodeIndex| self.universe.services[graph[node].index()].name.as_str();
        let start = group.iter().copied().min_by_key(|node| name(*node)).expect("not empty");
        let member: std::collections::BTreeSet<NodeIndex> = group.iter().copied().collect();
        let mut path = vec![start];
        let mut seen = std::collections::BTreeSet::from([start]);
        loop {
            let last = *path.last().expect("not empty");
            let next = graph.neighbors(last).filter(|node| member.contains(node));
            let next = next.min_by_key(|node| (seen.contains(node), name(*node)));
            let Some(next) = next else { break };
            path.push(next);
            if !seen.insert(next) {
                break;
            }
        }
        let closes = *path.last().expect("not empty");
        let from = path.iter().position(|node| *node == closes).unwrap_or(0);
        let path = &path[from..];
        let caller = path[0];
        let next = path.get(1).copied().unwrap_or(caller);
        let calls = self.service_nodes[graph[caller].index()].list("workload").iter();
        let mut calls = calls.flat_map(|workload| workload.list("calls"));
        let call =
            calls.find_map(|call| call.get("to").filter(|to| to.as_text() == Some(name(next))));
        let names: Vec<&str> = path.iter().map(|node| name(*node)).collect();
        let shown = match names.len() {
            0..=8 => names.join(" -> "),
            more => format!("{} -> … ({} services)", names[..6].join(" -> "), more - 1),
        };
        (shown, call.map_or(BEGIN, |to| to.at))
    }

    /// The expected number of events of the whole run.
    fn events_fit(&mut self, graph: &Graph, groups: &[Vec<NodeIndex>]) {
        let mut wanted = vec![0.0; graph.node_count()];
        for (index, traffic) in self.traffic.iter().enumerate() {
            let factor = self.timeline.iter().filter_map(|event| match &event.action {
                Action::ScaleTraffic { traffic, factor } if traffic.contains(&super::id(index)) => {
                    Some(*factor)
                }
                _ => None,
            });
            let factor = factor.fold(1.0, f64::max);
            // Each of them may be sent so often; very many more would be a mistake of another kind.
            let client = self.clients.get(&super::id(index));
            let sends = client.map_or(1.0, |client| 1.0 + f64::from(client.attempts.min(10)));
            wanted[traffic.to.index()] += factor * sends * self.requests(&traffic.arrivals);
        }
        let mut calls = 0.0;
        for group in groups {
            let begun: Vec<f64> = group.iter().map(|node| wanted[node.index()]).collect();
            let total = visits(&begun, &inner_edges(graph, group)).unwrap_or(begun);
            for (node, visits) in group.iter().zip(&total) {
                calls += visits;
                for edge in graph.edges(*node) {
                    wanted[edge.target().index()] += visits * edge.weight();
                }
            }
        }
        let events = calls * EVENTS_PER_CALL;
        if EVENTS_MAX < events {
            let scenario = self.root.get("scenario");
            let at =
                scenario.and_then(|table| table.get("duration")).map_or(BEGIN, |n: &Node| n.at);
            let what = format!("about {events:.1e} events are expected, and 10^12 is the limit");
            self.report(at, what, "a shorter run, less traffic or fewer calls a request");
        }
    }
}

/// (from, to, expected calls) between members of a group, by their positions in it.
fn inner_edges(graph: &Graph, group: &[NodeIndex]) -> Vec<(usize, usize, f64)> {
    let place: BTreeMap<NodeIndex, usize> =
        group.iter().enumerate().map(|(place, node)| (*node, place)).collect();
    let mut edges = Vec::new();
    for (from, node) in group.iter().enumerate() {
        for edge in graph.edges(*node) {
            if let Some(&to) = place.get(&edge.target()) {
                edges.push((from, to, *edge.weight()));
            }
        }
    }
    edges
}

fn subgraph(graph: &Graph, members: &[NodeIndex]) -> Graph {
    let mut part = Graph::new();
    let nodes: Vec<NodeIndex> = members.iter().map(|node| part.add_node(graph[*node])).collect();
    for (from, to, expected) in inner_edges(graph, members) {
        part.add_edge(nodes[from], nodes[to], expected);
    }
    part
}

/// Expected visits given those from outside: v = begun + Mᵀv, by iteration; none if they grow
/// without end.
fn visits(begun: &[f64], edges: &[(usize, usize, f64)]) -> Option<Vec<f64>> {
    let outside: f64 = begun.iter().sum();
    if edges.is_empty() || outside <= 0.0 {
        return Some(begun.to_vec());
    }
    // What one step of calls after another brings, until nothing more comes.
    let (mut total, mut step) = (begun.to_vec(), begun.to_vec());
    for _ in 0..(STEPS_MAX / edges.len()).clamp(100, 100_000) {
        let mut next = vec![0.0; step.len()];
        for (from, to, expected) in edges {
            next[*to] += step[*from] * expected;
        }
        let mut sum = 0.0;
        for (total, next) in total.iter_mut().zip(&next) {
            *total += next;
            sum += next;
        }
        if sum <= outside * 1e-9 {
            return Some(total);
        }
        if outside * VISITS_MAX < total.iter().sum() {
            return None;
        }
        step = next;
    }
    None
}

/// Services that a workload's filters ask, and how often for each request that it gets: of what it
/// receives once, of what it sends for each call.
fn asked(workload: &Workload) -> impl Iterator<Item = (ServiceId, f64)> {
    let calls: f64 = workload.call_sites().map(|site| site.probability).sum();
    let received = workload.inbound.iter().map(|filter| (filter, 1.0));
    let sent = workload.filters.iter().map(move |filter| (filter, calls));
    received.chain(sent).filter_map(|(filter, times)| match filter {
        Filter::ExtAuthz(one) => Some((one.service, times)),
        Filter::GlobalRateLimit(one) => Some((one.service, times)),
        _ => None,
    })
}
