//! What needs to know who calls whom: retries that multiply from hop to hop, and callees that work on after
//! their caller has given up.
//!
//! A request for a service that is down fails at its last hop; each hop before it that tries errors again
//! multiplies the tries there. Timeouts nest: what a callee does after its caller's own timeout is done for
//! nobody, and holds the resources that others need.
//! Source: `reference/istio.md` 3.5 and 3.6 (tries, timeouts: the route's limits all tries together);
//! Google, "Site Reliability Engineering", chapters "Addressing Cascading Failures" (retries at one layer
//! only, deadline propagation) and "Handling Overload".
//! Each hop is taken by its worst rule: a caller may be told of a limit that holds for some of its paths only.
//! Left out: calls beside each other and one after another in a caller (their times add up), hosts outside of
//! the cluster, callers that pass a deadline on by themselves (gRPC).

use crate::manifest::istio::host;
use crate::manifest::istio::mesh::{Mesh, Release};
use crate::manifest::istio::virtual_service::{HttpRoute, MESH, VirtualService};
use crate::manifest::kubernetes::Name;
use crate::manifest::lint::hop::{self, Rule};
use crate::manifest::lint::{Lint, named};
use crate::manifest::loaded::Loaded;
use crate::manifest::route::text::duration;
use crate::manifest::source::At;
use std::collections::{BTreeMap, BTreeSet};

/// Who calls whom: the caller's namespace and name, with each callee and the calls a request.
pub type Calls = BTreeMap<Name, Vec<(Name, f64)>>;

/// Tries at the last hop for one request above which it is told.
const TRIES_MAX: u64 = 10;

/// Hops of a path that are looked at.
const HOPS_MAX: usize = 16;

const RULE: &str = "meshsim.calls";

/// The rules of each hop.
type Hops = BTreeMap<(Name, Name), Vec<Rule>>;

/// All rules of this file that need calls.
pub fn check(lint: &mut Lint<'_>, loaded: &Loaded, calls: &Calls) {
    if calls.is_empty() {
        return;
    }
    let sources = &loaded.manifests.sources;
    let mesh = Mesh::of(&loaded.cluster, &loaded.istio, sources, Release::default());
    let fields = hop::Fields::of(&loaded.manifests.objects);
    let mut hops = Hops::new();
    for (caller, callees) in calls {
        for (callee, _) in callees.iter().filter(|(callee, rate)| callee != caller && *rate > 0.0) {
            let key = (caller.clone(), callee.clone());
            hops.entry(key).or_insert_with(|| hop::rules(loaded, &mesh, &fields, caller, callee));
        }
    }
    tries(lint, loaded, &hops);
    deadlines(lint, loaded, &hops);
}

/// A path of calls and the tries of its last hop but for that hop's own.
#[derive(Clone, PartialEq, Debug)]
struct Path {
    services: Vec<Name>,
    before: u64,
}

/// For each service the path to it on which most errors are tried again.
fn worst_paths(hops: &Hops) -> BTreeMap<Name, Path> {
    let start = |name: &Name| Path { services: vec![name.clone()], before: 1 };
    let callers = hops.keys().map(|(caller, _)| (caller.clone(), start(caller)));
    let mut best: BTreeMap<Name, Path> = callers.collect();
    for _ in 0..HOPS_MAX {
        let mut changed = false;
        for ((caller, callee), rules) in hops {
            let Some(path) = best.get(caller).filter(|path| !path.services.contains(callee)) else {
                continue;
            };
            let again = rules.iter().filter(|rule| rule.answers).map(|rule| rule.tries).max();
            let before = path.before.saturating_mul(u64::from(again.unwrap_or(1)));
            if best.get(callee).is_none_or(|known| known.before < before) {
                let mut services = path.services.clone();
                services.push(callee.clone());
                best.insert(callee.clone(), Path { services, before });
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    best
}

/// Retries that multiply: the longest paths whose last hop gets too many tries.
fn tries(lint: &mut Lint<'_>, loaded: &Loaded, hops: &Hops) {
    let best = worst_paths(hops);
    let mut found: Vec<(Vec<Name>, u64)> = Vec::new();
    for ((caller, callee), rules) in hops {
        let Some(path) = best.get(caller).filter(|path| !path.services.contains(callee)) else {
            continue;
        };
        let own = rules.iter().map(|rule| rule.tries).max().unwrap_or(1);
        let all = path.before.saturating_mul(u64::from(own));
        if path.before > 1 && all > TRIES_MAX {
            let mut services = path.services.clone();
            services.push(callee.clone());
            found.push((services, all));
        }
    }
    let longer = |path: &[Name]| {
        found.iter().any(|(other, _)| other.len() > path.len() && other.starts_with(path))
    };
    let told: Vec<&(Vec<Name>, u64)> = found.iter().filter(|(path, _)| !longer(path)).collect();
    for (path, all) in told {
        let mut steps: Vec<String> = Vec::new();
        let mut place: Option<(String, At)> = None;
        for (index, pair) in path.windows(2).enumerate() {
            let rules =
                hops.get(&(pair[0].clone(), pair[1].clone())).map_or(&[][..], Vec::as_slice);
            let is_last = index + 2 == path.len();
            let worst = rules.iter().max_by_key(|rule| (rule.answers || is_last, rule.tries));
            let Some(worst) = worst.filter(|worst| worst.answers || is_last) else { continue };
            let said = worst.tries_at.map_or("default".to_owned(), |at| lint.place(at));
            steps.push(format!("{} to {} {} tries ({said})", pair[0].1, pair[1].1, worst.tries));
            place = place.or(worst.tries_at.map(|at| (worst.object.clone(), at)));
        }
        let (Some(first), Some(last)) = (path.first(), path.last()) else { continue };
        let service = loaded.cluster.service(&last.0, &last.1);
        let at = || service.map_or(At::default(), |service| service.at);
        let (object, at) =
            place.unwrap_or_else(|| (format!("Service {}/{}", last.0, last.1), at()));
        let (first, last) = (&first.1, &last.1);
        let what = format!(
            "one request to {first} can become {all} tries at {last}: {}",
            steps.join(", ")
        );
        lint.report("MSH0106", RULE, object, at, what);
    }
}

/// Callees that work longer than their callers wait.
fn deadlines(lint: &mut Lint<'_>, loaded: &Loaded, hops: &Hops) {
    let mut told: BTreeSet<(At, &'static str)> = BTreeSet::new();
    for ((caller, callee), outer) in hops {
        let limited = outer.iter().filter_map(|rule| Some((rule.timeout_ns?, rule)));
        let Some((limit, by)) = limited.min_by_key(|(limit, _)| *limit) else { continue };
        let from_here = (callee.clone(), Name::default());
        let inner = hops.range(from_here..).take_while(|((from, _), _)| from == callee);
        let inner = inner.filter(|((_, to), _)| to != caller);
        for ((_, last), rules) in inner {
            for rule in rules {
                let hop = format!("{} to {}", callee.1, last.1);
                let outside = format!(
                    "{} gives {} up after {} ({})",
                    caller.1,
                    callee.1,
                    duration(limit),
                    lint.place(by.timeout_at)
                );
                let service = loaded.cluster.service(&last.0, &last.1);
                let place = (format!("Service {}/{}", last.0, last.1), service.map(|one| one.at));
                let Some((code, object, at, what)) = outlived(rule, limit, &hop, place) else {
                    continue;
                };
                if told.insert((at, code)) {
                    lint.report(code, RULE, object, at, format!("{what}; {outside}"));
                }
            }
        }
    }
}

/// What is wrong with a rule below a caller's limit: code, object, place, words.
fn outlived(
    rule: &Rule,
    limit: u64,
    hop: &str,
    (service, service_at): (String, Option<At>),
) -> Option<(&'static str, String, At, String)> {
    if let Some(own) = rule.timeout_ns.filter(|own| *own > limit) {
        let what = format!("{hop} may take {}", duration(own));
        return Some(("MSH0107", rule.object.clone(), rule.timeout_at, what));
    }
    if rule.timeout_ns.is_some() {
        return None;
    }
    let all = rule.per_try_ns.map(|each| each.saturating_mul(u64::from(rule.tries)));
    match all {
        Some(all) if all > limit => {
            let each = duration(rule.per_try_ns.unwrap_or(0));
            let what = format!("{hop} may take {} tries of {each}", rule.tries);
            let at = rule.tries_at.unwrap_or(rule.timeout_at);
            Some(("MSH0108", rule.object.clone(), at, what))
        }
        Some(_) => None,
        None => {
            let what = format!("{hop} has no timeout");
            let has_place = !rule.object.is_empty() && rule.timeout_at.line > 0;
            let own = has_place.then(|| (rule.object.clone(), rule.timeout_at));
            let (object, at) = own.or_else(|| Some((service, service_at?)))?;
            Some(("MSH0109", object, at, what))
        }
    }
}

/// Without calls: a limit of the mesh's rule that requests from a gateway do not have.
pub fn gateways(lint: &mut Lint<'_>) {
    let services = &lint.istio.virtual_services;
    let from_gateway = |service: &&VirtualService| {
        service.gateways.iter().any(|word| word.text != MESH) && !service.in_mesh()
    };
    let full = |service: &VirtualService, name: &str| host::full(name, &service.head.namespace);
    let fields = hop::Fields::of(lint.objects);
    let mut found: Vec<(String, At, String)> = Vec::new();
    for own in services.iter().filter(from_gateway) {
        for route in own.http.iter().filter(|route| route.timeout_ns.is_none()) {
            for to in &route.routes {
                let name = full(own, &to.destination.host.text);
                let mut others = services.iter().filter(|other| {
                    other.in_mesh()
                        && other.hosts.iter().any(|host| full(other, &host.text) == name)
                });
                let limited = others.find_map(|other| Some((other, limit(other, &name)?)));
                let Some((other, (route_at, limit))) = limited else { continue };
                let at = fields.at(route_at, "timeout");
                let what = format!(
                    "requests from the gateway to {} have no timeout; those of the mesh have {} \
                     ({}, {})",
                    to.destination.host.text,
                    duration(limit),
                    named("VirtualService", &other.head),
                    lint.place(at)
                );
                found.push((named("VirtualService", &own.head), to.destination.host.at, what));
            }
        }
    }
    for (object, at, what) in found {
        lint.report("MSH0110", RULE, object, at, what);
    }
}

/// The first timeout of a virtual service's rules that lead to a host, with its rule's place.
fn limit(service: &VirtualService, name: &str) -> Option<(At, u64)> {
    let leads = |route: &&HttpRoute| {
        route
            .routes
            .iter()
            .any(|to| host::full(&to.destination.host.text, &service.head.namespace) == name)
    };
    service.http.iter().filter(leads).find_map(|route| Some((route.at, route.timeout_ns?)))
}
