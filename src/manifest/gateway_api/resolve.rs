//! Where one request goes by the Gateway API's rules: from outside, or from a client in the mesh.
//!
//! From outside the most specific listener of the port takes the request, and only its routes count. A
//! host that belongs to another listener than the one that the TLS hello chose is misdirected (421). In
//! the mesh a Service with routes takes only what they match; a route of the client's own namespace
//! (a consumer's) comes before those of the Service's (the producer's).
//! Source: Gateway API `Listener.hostname`, GEP-3567 (misdirected requests), GEP-1294 and GEP-1426 (mesh).
//! Left out: mesh traffic to pod addresses, which no route is for.

use crate::manifest::gateway_api::attach::{Bound, RouteIndex};
use crate::manifest::gateway_api::backend::{BackendRef, Found, Referrer};
use crate::manifest::gateway_api::gateway::{Gateway, Protocol};
use crate::manifest::gateway_api::layer4::Layer4Route;
use crate::manifest::gateway_api::table::{Entry, Tables};
use crate::manifest::gateway_api::{GatewayApi, answer, attach, hostname};
use crate::manifest::kubernetes::Cluster;
use crate::manifest::kubernetes::service::Service;
use crate::manifest::route::request::Request;
use crate::manifest::route::{Destination, Direct, Origin, Query, Route, RuleName};
use crate::manifest::source::Sources;

/// Most routes that are named where none matched.
const TRIED_MAX: usize = 8;

/// All that an answer needs.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The objects.
    pub api: &'a GatewayApi,
    /// What they refer to.
    pub cluster: &'a Cluster,
    /// Their rules, sorted.
    pub tables: &'a Tables,
    /// The texts, for places.
    pub sources: &'a Sources,
    /// Where implementations differ.
    pub differences: Differences,
}

/// What the specification leaves open and implementations do differently.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Differences {
    /// Whether a mesh rule without backends forwards to its parent (Linkerd) or answers 500.
    pub empty_forwards_to_parent: bool,
    /// The answer if all weights are 0.
    pub zero_weights_status: u16,
}

impl Differences {
    /// What the specification's text and most implementations do.
    pub const SPECIFIED: Self = Self { empty_forwards_to_parent: false, zero_weights_status: 500 };
    /// What Linkerd does.
    pub const LINKERD: Self = Self { empty_forwards_to_parent: true, ..Self::SPECIFIED };
}

/// Where a request goes.
pub fn route(rules: &Rules<'_>, query: &Query) -> Route {
    match &query.from {
        Origin::Gateway { namespace, name, sni } => {
            let named = |g: &Gateway| g.namespace == *namespace && g.name == *name;
            match rules.api.gateways.iter().position(named) {
                Some(gateway) => from_gateway(rules, gateway, sni.as_deref(), &query.request),
                None => Route::direct(0, "", format!("there is no Gateway {namespace}/{name}")),
            }
        }
        Origin::Mesh { namespace, .. } => from_mesh(rules, namespace, &query.request),
    }
}

fn is_tls(request: &Request) -> bool {
    matches!(request.scheme.as_str(), "https" | "wss" | "tls")
}

fn from_gateway(rules: &Rules<'_>, index: usize, sni: Option<&str>, request: &Request) -> Route {
    let gateway = &rules.api.gateways[index];
    let status = &rules.tables.attached.gateways[index];
    let open: Vec<usize> = (0..gateway.listeners.len())
        .filter(|listener| gateway.listeners[*listener].port == request.port)
        .filter(|listener| status.serves(*listener))
        .collect();
    if open.is_empty() {
        let reason = format!("no listener serves port {}", request.port);
        return Route::direct(0, "", reason).because("the connection is refused");
    }
    let best = |host: &str, open: &[usize]| {
        let fits = |l: &&usize| hostname::matches(&gateway.listeners[**l].hostname, host);
        let rank = |l: &&usize| hostname::rank(&gateway.listeners[**l].hostname);
        open.iter().filter(fits).max_by_key(rank).copied()
    };
    let hello = sni.unwrap_or(&request.authority);
    let connected =
        if is_tls(request) { best(hello, &open) } else { best(&request.authority, &open) };
    let Some(connected) = connected else {
        if is_tls(request) {
            return Route::direct(0, "", format!("no listener is for the server name {hello}"));
        }
        return Route::direct(
            404,
            "NR",
            format!("no listener is for the host {}", request.authority),
        );
    };
    let listener = &gateway.listeners[connected];
    let title = format!("{}/{}/{}", gateway.namespace, gateway.name, listener.name);
    let mut answer = if listener.protocol.is_http() {
        let by_host = best(&request.authority, &open);
        through_http(rules, (index, connected), by_host, request)
    } else {
        through_layer4(rules, (index, connected), hello, request)
    };
    answer.listener = Some(title);
    answer
}

fn through_http(
    rules: &Rules<'_>,
    key: (usize, usize),
    by_host: Option<usize>,
    request: &Request,
) -> Route {
    let listener = &rules.api.gateways[key.0].listeners[key.1];
    if listener.protocol == Protocol::Https && by_host != Some(key.1) {
        return match by_host {
            Some(_) => Route::direct(421, "", "another listener is for this host")
                .because("the connection was made for another server name"),
            None => Route::direct(404, "NR", "no listener is for this host"),
        };
    }
    if (listener.protocol == Protocol::Https) != is_tls(request) {
        let what = format!("the listener speaks {}", listener.protocol.word());
        return Route::direct(0, "", what);
    }
    let table = rules.tables.listeners.get(&key).map_or(&[][..], Vec::as_slice);
    let fits = |entry: &&Entry| hostname::matches(&entry.hostname, &request.authority);
    let decided = table.iter().filter(fits).find(|entry| entry.of(rules.api).2.matches(request));
    match decided {
        Some(entry) => answer::of(rules, entry, request, listener.port, None),
        None if table.is_empty() => Route::direct(404, "NR", "no route is bound to the listener"),
        None => nothing_matches(rules, &table.iter().filter(fits).collect::<Vec<_>>()),
    }
}

/// The answer where no rule matches, with the routes that were looked at.
fn nothing_matches(rules: &Rules<'_>, tried: &[&Entry]) -> Route {
    let mut answer = Route::direct(404, "NR", "no rule matches");
    if tried.is_empty() {
        answer.why.push("no route of the listener is for this host".to_owned());
    }
    let mut routes: Vec<usize> = tried.iter().map(|entry| entry.route).collect();
    routes.sort_unstable();
    routes.dedup();
    for index in routes.iter().take(TRIED_MAX) {
        let (route, place) = (&rules.api.routes[*index], rules.api.routes[*index].at);
        let count = tried.iter().filter(|entry| entry.route == *index).count();
        let place = rules.sources.short(place);
        answer.why.push(format!("{} ({place}): none of its {count} matches fits", route.title()));
    }
    answer
}

/// Connections: the route with the most specific server name, the older first.
fn through_layer4(rules: &Rules<'_>, key: (usize, usize), hello: &str, request: &Request) -> Route {
    let of_listener = |bound: &&Bound| (bound.gateway, bound.listener) == key;
    let mut best: Option<((usize, usize), &Layer4Route)> = None;
    for bound in rules.tables.attached.listeners.iter().filter(of_listener) {
        let RouteIndex::Layer4(index) = bound.route else { continue };
        let route = &rules.api.layer4[index];
        let fits = bound.hostnames.iter().filter(|host| hostname::matches(host, hello));
        let Some(rank) = fits.map(|host| hostname::rank(host)).max() else { continue };
        let age = |route: &Layer4Route| {
            let created = route.created.clone().unwrap_or_else(|| "~".to_owned());
            (created, route.namespace.clone(), route.name.clone())
        };
        let better = best
            .is_none_or(|(known, other)| rank > known || rank == known && age(route) < age(other));
        if better {
            best = Some((rank, route));
        }
    }
    match best {
        Some((_, route)) => layer4_answer(rules, route, request, false),
        None => Route::direct(0, "NR", format!("no route of the listener is for {hello}")),
    }
}

fn layer4_answer(
    rules: &Rules<'_>,
    route: &Layer4Route,
    request: &Request,
    is_mesh: bool,
) -> Route {
    let Some(rule) = route.rules.first() else {
        return Route::direct(0, "NR", format!("{} has no rules", route.title()));
    };
    let place = rules.sources.place(rule.at);
    let name = RuleName {
        object: route.title(),
        rule: rule.name.clone().unwrap_or_else(|| "rules[0]".to_owned()),
        matches: "connections".to_owned(),
        file: place.file,
        line: place.line,
    };
    let mut answer = Route { rule: Some(name), ..Route::default() };
    let from = Referrer { kind: route.kind(), namespace: &route.namespace, is_mesh };
    for to in &rule.backends {
        let found = to.resolve(rules.cluster, &rules.api.grants, from);
        let service = found.ok().flatten().map(|found| found.service);
        let workloads = service.map(|service| rules.cluster.workloads_of(service));
        answer.destinations.push(Destination {
            weight: to.weight,
            namespace: to.namespace.clone(),
            service: to.name.clone(),
            port: to.port.unwrap_or(0),
            workloads: workloads
                .map(|list| list.iter().map(|workload| workload.name.clone()).collect())
                .unwrap_or_default(),
            protocol: if route.is_tls { "tls" } else { "tcp" }.to_owned(),
            request: request.clone(),
            failure: found.err().map(|broken| Direct::new(0, "NC", attach::told(broken))),
            place: rules.sources.short(to.at),
            ..Destination::default()
        });
    }
    answer.share_by_weight();
    answer
}

/// A client's request to a service's name.
fn from_mesh(rules: &Rules<'_>, namespace: &str, request: &Request) -> Route {
    let Some(service) = find_service(rules.cluster, namespace, &request.host) else {
        let reason = format!("no service is known as {}", request.host);
        return Route::direct(0, "", reason).because("what is not a service of the mesh goes out");
    };
    if service.port(request.port).is_none() && !service.ports.is_empty() {
        let reason = format!("{} has no port {}", service.host(), request.port);
        return Route::direct(0, "", reason).because("the connection is refused");
    }
    let parent = BackendRef {
        group: String::new(),
        kind: "Service".to_owned(),
        namespace: service.namespace.clone(),
        name: service.name.clone(),
        port: Some(request.port),
        weight: 1,
        filters: Vec::new(),
        at: service.at,
    };
    let key = (service.namespace.clone(), service.name.clone());
    let table = rules.tables.services.get(&key).map_or(&[][..], Vec::as_slice);
    let on_port = |entry: &&Entry| entry.port.is_none_or(|port| port == request.port);
    let of = |namespace: &str| -> Vec<&Entry> {
        let own = |entry: &&Entry| rules.api.routes[entry.route].namespace == namespace;
        table.iter().filter(on_port).filter(own).collect()
    };
    let consumer = if namespace == service.namespace { Vec::new() } else { of(namespace) };
    let is_consumer = !consumer.is_empty();
    let mut bound = if is_consumer { consumer } else { of(&service.namespace) };
    // GRPCRoutes come before HTTPRoutes where both are bound to one port.
    let is_grpc = |entry: &&Entry| rules.api.routes[entry.route].is_grpc;
    if bound.iter().any(is_grpc) {
        bound.retain(is_grpc);
    }
    let side =
        if is_consumer { "the client's own (consumer) routes" } else { "the service's routes" };
    if bound.is_empty() {
        return bound_layer4(rules, namespace, service, request)
            .unwrap_or_else(|| to_service(rules, service, request, &parent));
    }
    match bound.iter().find(|entry| entry.of(rules.api).2.matches(request)) {
        Some(entry) => {
            let answer = answer::of(rules, entry, request, request.port, Some(&parent));
            answer.because(format!("{side} decide"))
        }
        None => nothing_matches(rules, &bound).because(format!("{side} decide")),
    }
}

/// A `TCPRoute` or `TLSRoute` that is bound to the service's port.
fn bound_layer4(
    rules: &Rules<'_>,
    client: &str,
    service: &Service,
    request: &Request,
) -> Option<Route> {
    let bound = rules.tables.attached.services.iter().filter(|bound| {
        bound.namespace == service.namespace
            && bound.name == service.name
            && bound.port.is_none_or(|own| own == request.port)
            && [client, &service.namespace].contains(&bound.route_namespace.as_str())
    });
    let mut routes: Vec<(bool, &Layer4Route)> = bound
        .filter_map(|bound| match bound.route {
            RouteIndex::Layer4(index) => {
                Some((bound.route_namespace == service.namespace, &rules.api.layer4[index]))
            }
            RouteIndex::Http(_) => None,
        })
        .collect();
    // A consumer's route comes first, then a TLSRoute before a TCPRoute.
    routes.sort_by_key(|(is_producer, route)| (*is_producer, !route.is_tls, route.created.clone()));
    routes.first().map(|(_, route)| layer4_answer(rules, route, request, true))
}

/// No route is bound: the request goes to the service that it names.
fn to_service(
    rules: &Rules<'_>,
    service: &Service,
    request: &Request,
    parent: &BackendRef,
) -> Route {
    let workloads = rules.cluster.workloads_of(service);
    let found = service.port(request.port).map(|port| Found { service, port });
    let is_empty = found.is_some_and(|found| found.is_empty(rules.cluster));
    let destination = Destination {
        share: 1.0,
        weight: 1,
        namespace: service.namespace.clone(),
        service: service.name.clone(),
        port: request.port,
        workloads: workloads.iter().map(|workload| workload.name.clone()).collect(),
        protocol: found.map_or("", |found| answer::protocol(found.port.protocol, "")).to_owned(),
        failure: is_empty.then(|| Direct::new(503, "UH", "the service has no endpoints")),
        request: request.clone(),
        place: rules.sources.short(parent.at),
        ..Destination::default()
    };
    Route { destinations: vec![destination], ..Route::default() }
        .because("no route is bound to the service and port")
}

/// The service that a client means by a host: `web`, `web.shop`, `web.shop.svc`, or the full name.
pub fn find_service<'a>(cluster: &'a Cluster, namespace: &str, host: &str) -> Option<&'a Service> {
    let mut labels = host.trim_end_matches('.').split('.');
    let name = labels.next()?;
    let namespace = labels.next().unwrap_or(namespace);
    let rest: Vec<&str> = labels.collect();
    let is_local = rest.is_empty() || rest == ["svc"] || rest == ["svc", "cluster", "local"];
    cluster.service(namespace, name).filter(|_| is_local)
}
