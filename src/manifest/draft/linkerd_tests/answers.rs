//! The same answers as `route`: shares, limits, retries and refusals of a draft, read by a small interpreter of its
//! keys, are those of Linkerd's resolver.
//!
//! Source: the answers of [`crate::manifest::linkerd::outbound`].
//! Left out: requests that an `HTTPRoute` or a `GRPCRoute` decides.

use super::{drafted, folder};
use crate::manifest::draft::value::{Kind, Table, Value};
use crate::manifest::draft::{Draft, Service};
use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::linkerd::outbound;
use crate::manifest::loaded::Loaded;
use crate::manifest::object::Labels;
use crate::manifest::route::request::Request;
use crate::manifest::route::text::percent;
use crate::manifest::route::{Origin, Query, Route};
use crate::manifest::tests::inputs;
use crate::manifest::units::{self, DurationForm};
use regex::Regex;
use std::collections::BTreeMap;

/// What both say of a request.
#[derive(PartialEq, Debug, Default)]
struct Answer {
    shares: BTreeMap<String, String>,
    refusals: BTreeMap<String, u16>,
    timeout_ns: Option<u64>,
    per_try_ns: Option<u64>,
    retries: Option<u32>,
    budget: Option<String>,
}

// ---- what route says ----

fn of_route(draft: &Draft<'_>, route: &Route) -> Answer {
    let mut answer = Answer {
        timeout_ns: route.timeout_ns,
        per_try_ns: route.per_try_timeout_ns,
        retries: route.retries.as_ref().map(|retries| retries.attempts),
        budget: route.retry_budget.clone(),
        ..Answer::default()
    };
    let mut shares: BTreeMap<String, f64> = BTreeMap::new();
    for to in &route.destinations {
        let name = draft.names.service(&to.namespace, &to.service).unwrap_or(&to.service);
        *shares.entry(name.to_owned()).or_default() += to.share;
        if let Some(failure) = &to.failure {
            answer.refusals.insert(name.to_owned(), failure.status);
        }
    }
    shares.retain(|_, share| *share > 0.0);
    answer.refusals.retain(|name, _| shares.contains_key(name));
    answer.shares = shares.into_iter().map(|(name, share)| (name, percent(share))).collect();
    answer
}

// ---- what the draft says ----

fn text<'v>(table: &'v Table, key: &str) -> Option<&'v str> {
    match &table.get(key)?.kind {
        Kind::Text(text) => Some(text),
        _ => None,
    }
}

fn number(table: &Table, key: &str) -> Option<f64> {
    match table.get(key)?.kind {
        Kind::Integer(number) => Some(f64::from(i32::try_from(number).unwrap())),
        Kind::Float(number) => Some(number),
        _ => None,
    }
}

fn inner<'v>(table: &'v Table, key: &str) -> Option<&'v Table> {
    match &table.get(key)?.kind {
        Kind::Table(table) => Some(table),
        _ => None,
    }
}

fn items<'v>(table: &'v Table, key: &str) -> &'v [Value] {
    match table.get(key).map(|value| &value.kind) {
        Some(Kind::List(items)) => items,
        _ => &[],
    }
}

fn tables<'v>(table: &'v Table, key: &str) -> Vec<&'v Table> {
    let of = |value: &'v Value| match &value.kind {
        Kind::Table(table) => Some(table),
        _ => None,
    };
    items(table, key).iter().filter_map(of).collect()
}

fn duration(table: &Table, key: &str) -> Option<u64> {
    text(table, key).map(|text| units::duration_ns(text, DurationForm::Go).unwrap())
}

/// Whether a condition of a scenario holds.
fn holds(condition: &Table, method: &str, path: &str) -> bool {
    let regex = |text: &str| {
        let head = if text.starts_with('^') { "" } else { "^" };
        let tail = if text.ends_with('$') { "" } else { "$" };
        Regex::new(&format!("{head}{text}{tail}")).unwrap().is_match(path)
    };
    text(condition, "method").is_none_or(|own| own == method)
        && text(condition, "path_regex").is_none_or(regex)
        && tables(condition, "all").iter().all(|one| holds(one, method, path))
        && (condition.get("any").is_none()
            || tables(condition, "any").iter().any(|one| holds(one, method, path)))
        && inner(condition, "not").is_none_or(|one| !holds(one, method, path))
}

fn find<'d>(draft: &'d Draft<'_>, name: &str) -> Option<&'d Service> {
    draft.services.iter().find(|one| one.name == name)
}

fn has_pods(draft: &Draft<'_>, name: &str) -> bool {
    find(draft, name).is_some_and(|one| !one.workloads.is_empty())
}

fn weights(draft: &Draft<'_>, one: &Service) -> BTreeMap<String, f64> {
    let mut weights = BTreeMap::new();
    if let Some(failover) = inner(&one.table, "failover") {
        let primary = text(failover, "primary").unwrap();
        let all = items(failover, "secondaries").iter().map(|value| match &value.kind {
            Kind::Text(name) => name.as_str(),
            _ => panic!("a name"),
        });
        let ready: Vec<&str> = all.filter(|name| has_pods(draft, name)).collect();
        if has_pods(draft, primary) || ready.is_empty() {
            return BTreeMap::from([(primary.to_owned(), 1.0)]);
        }
        return ready.into_iter().map(|name| (name.to_owned(), 1.0)).collect();
    }
    let Some(split) = inner(&one.table, "traffic_split") else {
        return BTreeMap::from([(one.name.clone(), 1.0)]);
    };
    for (name, weight) in split.iter() {
        let weight = match &weight.kind {
            Kind::Text(text) => units::quantity_milli(text).unwrap() as f64 / 1000.0,
            _ => number(split, name).unwrap(),
        };
        weights.insert(name.to_owned(), weight);
    }
    let ready = |name: &String| has_pods(draft, name);
    if weights.keys().any(ready) {
        weights.retain(|name, _| ready(name));
    }
    weights
}

fn of_draft(draft: &Draft<'_>, client: &str, name: &str, request: &Request) -> Answer {
    let mut answer = Answer::default();
    let Some(one) = find(draft, name) else { return answer };
    let weights = weights(draft, one);
    let sum: f64 = weights.values().sum();
    for (name, weight) in &weights {
        answer.shares.insert(name.clone(), percent(weight / sum));
        let server = find(draft, name).and_then(|to| inner(&to.table, "server"));
        let Some(server) = server else { continue };
        let clients = items(server, "clients");
        let is_client = clients.iter().any(|value| value.kind == Kind::Text(client.to_owned()));
        if text(server, "access_policy") == Some("deny") && !is_client {
            answer.refusals.insert(name.clone(), 403);
        }
    }
    if let Some(profile) = inner(&one.table, "service_profile") {
        let routes = tables(profile, "routes");
        let found = routes.into_iter().find(|route| {
            holds(inner(route, "condition").unwrap(), &request.method, &request.path)
        });
        let Some(route) = found else { return answer };
        answer.timeout_ns = duration(route, "timeout");
        if route.get("is_retryable").is_some() {
            let ratio = number(profile, "retry_ratio").unwrap_or(0.2);
            let least = number(profile, "min_retries_per_s").unwrap_or(10.0);
            answer.budget = Some(format!("{} of requests and {least} a second", percent(ratio)));
            answer.retries = Some(0);
        }
        return answer;
    }
    let timeouts = inner(&one.table, "timeouts");
    answer.timeout_ns = timeouts.and_then(|own| duration(own, "request"));
    if let Some(retry) = inner(&one.table, "retry") {
        let limit = retry.get("limit").map(|value| &value.kind);
        answer.retries = match limit {
            Some(Kind::Integer(limit)) => u32::try_from(*limit).ok(),
            _ => Some(1),
        };
        answer.per_try_ns = duration(retry, "timeout");
    }
    answer
}

// ---- both ----

/// Requests of all meshed clients to all services; how many were compared.
fn compare(loaded: &Loaded, name: &str) -> usize {
    let draft = drafted(loaded);
    let linkerd = &loaded.linkerd;
    let mut compared = 0;
    let meshed = loaded.cluster.workloads.iter().filter(|one| linkerd.is_meshed(one));
    let meshed: Vec<&Workload> = meshed.collect();
    for client in meshed {
        let is_of = |one: &&Service| one.workloads.iter().any(|own| own.key.1 == client.name);
        let Some(own) = draft.services.iter().find(is_of) else { continue };
        for (key, service) in &loaded.cluster.services {
            let Some(to) = draft.names.service(&key.0, &key.1) else { continue };
            let Some(port) = service.ports.first().filter(|_| find(&draft, to).is_some()) else {
                continue;
            };
            for (method, path) in REQUESTS {
                let url = format!("http://{}.{}:{}{path}", key.1, key.0, port.number);
                let request = Request::to(method, &url, &[]).unwrap();
                let from = Origin::Mesh {
                    namespace: client.namespace.clone(),
                    workload: Some(client.name.clone()),
                    labels: Labels::new(),
                };
                let query = Query { from, request: request.clone() };
                let cluster = &loaded.cluster;
                let route = outbound::route(linkerd, cluster, &loaded.manifests.sources, &query);
                let object = route.rule.as_ref().map_or("", |rule| rule.object.as_str());
                // Routes are another part's; what is narrowed by routes of a Server is named.
                let is_routed = object.starts_with("HTTPRoute") || object.starts_with("GRPCRoute");
                if is_routed || to == "routed" || route.direct.is_some() {
                    continue;
                }
                let (mut by_route, mut by_draft) =
                    (of_route(&draft, &route), of_draft(&draft, &own.name, to, &request));
                if !has_pods(&draft, to) && by_draft.shares.len() == 1 {
                    // Nobody is there: the simulator finds that out by itself.
                    by_route.refusals.clear();
                    by_draft.refusals.clear();
                }
                assert_eq!(by_route, by_draft, "{name}: {} {method} {url}", client.name);
                compared += 1;
            }
        }
    }
    compared
}

const REQUESTS: [(&str, &str); 10] = [
    ("GET", "/"),
    ("GET", "/books/7.json"),
    ("POST", "/books/7.json"),
    ("PATCH", "/books/hidden1"),
    ("PATCH", "/books/1"),
    ("GET", "/health"),
    ("GET", "/authors/1.json"),
    ("HEAD", "/authors/1.json"),
    ("DELETE", "/api/v1?x=1"),
    ("GET", "/emojivoto.v1.EmojiService/ListAll"),
];

#[test]
fn drafts_answer_as_route_does() {
    let mut compared = 0;
    for name in ["annotations", "profiles", "inbound", "mesh"] {
        let text = std::fs::read_to_string(folder().join(format!("{name}.yaml"))).unwrap();
        let loaded = Loaded::read([(name, text.as_bytes())]);
        compared += compare(&loaded, name);
    }
    assert!(compared > 300, "{compared}");
}

/// Apps of the samples with the policies of the documentation that are about them.
#[test]
fn drafts_of_samples_answer_as_route_does() {
    let Some(folder) = inputs("linkerd-samples") else { return };
    let sets: [&[&str]; 5] = [
        &["emojivoto/emojivoto.yml"],
        &["emojivoto/emojivoto.yml", "emojivoto/emojivoto-policy.yml"],
        &["linkerd2-tests/smoke_test.yaml"],
        &["linkerd-smi/application.yaml", "linkerd-smi/updated-traffic-split-leaf-weights.yaml"],
        &["linkerd-smi/application.yaml", "linkerd-smi/traffic-split-leaf-weights.yaml"],
    ];
    let namespaces = ["emojivoto", "smoke-test", "default"];
    let injected = namespaces.map(|name| {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, annotations: {{linkerd.io/inject: enabled}}}}\n---\n"
        )
    });
    let injected = injected.concat();
    let mut compared = 0;
    for set in sets {
        let texts =
            set.iter().filter_map(|name| Some((*name, std::fs::read(folder.join(name)).ok()?)));
        let mut texts: Vec<(&str, Vec<u8>)> = texts.collect();
        // The last of two objects of a name counts.
        texts.push(("injected.yaml", injected.clone().into_bytes()));
        let loaded = Loaded::read(texts.iter().map(|(name, bytes)| (*name, &bytes[..])));
        let count = compare(&loaded, set[0]);
        assert!(count > 0, "{set:?}");
        compared += count;
    }
    assert!(compared > 100, "{compared}");
}
