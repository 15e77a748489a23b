//! Shares of a split, and what each destination does with its share.
//!
//! Linkerd draws among the backends that are *available*: one without endpoints gets nothing while
//! another has some. A single backend gets everything, even with weight 0; two or more with only zeros
//! make no valid distribution, and the proxy panics while it builds the Service's routes.
//! A backend's port that its Service lacks is the pods' own port of that number.
//! Source: linkerd2 `controller/api/destination/watcher/endpoints_watcher.go` (`getTargetPort`);
//! linkerd2-proxy `linkerd/distribute/src/params.rs`, `app/outbound/src/http/logical/policy`;
//! linkerd2 `policy-controller/grpc/src/outbound/http.rs` (`convert_backend`, `invalid_backend`).
//! Left out: how far the panic spreads (inferred from the source, not run); whether endpoints are
//! ready (a service counts as empty only if pods of its namespace are known and none is behind it).

use crate::manifest::gateway_api::layer4::Layer4Route;
use crate::manifest::gateway_api::parent::ParentRef;
use crate::manifest::kubernetes::container::Container;
use crate::manifest::kubernetes::service::{Service, ServiceKind};
use crate::manifest::linkerd::inbound::Bound;
use crate::manifest::linkerd::limits::RateLimit;
use crate::manifest::linkerd::matching::{self, host_rank};
use crate::manifest::linkerd::outbound::{Asked, CLOSED};
use crate::manifest::linkerd::routes::{Parent, RouteOf, is_parent};
use crate::manifest::linkerd::server::Server;
use crate::manifest::route::request::{HeaderChanges, Request};
use crate::manifest::route::text::percent;
use crate::manifest::route::{Destination, Direct, Route, RuleName};
use crate::manifest::source::At;

/// One backend of a split.
#[derive(Clone, PartialEq, Debug)]
pub struct Target {
    /// Its namespace.
    pub namespace: String,
    /// The service's name.
    pub service: String,
    /// The service's port.
    pub port: u16,
    /// Its weight.
    pub weight: u64,
    /// What its share gets instead, where the reference leads nowhere.
    pub failure: Option<Direct>,
    /// What is changed in requests that go there.
    pub changes: HeaderChanges,
    /// What is changed in answers that come from there.
    pub response: HeaderChanges,
    /// Where the reference is.
    pub at: At,
}

impl Target {
    /// A service's port.
    pub fn to(service: &Service, port: u16, weight: u64, at: At) -> Self {
        Self::named(&service.namespace, &service.name, port, weight, at)
    }

    /// A service's port by name, whether or not it exists.
    pub fn named(namespace: &str, service: &str, port: u16, weight: u64, at: At) -> Self {
        Self {
            namespace: namespace.to_owned(),
            service: service.to_owned(),
            port,
            weight,
            failure: None,
            changes: HeaderChanges::default(),
            response: HeaderChanges::default(),
            at,
        }
    }
}

/// Whether the rule of an answer is a `ServiceProfile` or a `TrafficSplit`.
pub fn is_profile(object: &str) -> bool {
    object.starts_with("ServiceProfile") || object.starts_with("TrafficSplit")
}

/// The name of a rule for an answer.
pub fn rule_name(
    asked: &Asked<'_>,
    object: String,
    rule: String,
    matches: String,
    at: At,
) -> RuleName {
    let place = asked.sources.place(at);
    RuleName { object, rule, matches, file: place.file, line: place.line }
}

/// An answer that splits a request among targets.
pub fn split(asked: &Asked<'_>, targets: &[Target], request: &Request) -> Route {
    let mut route = Route::default();
    let sum: u64 = targets.iter().map(|target| target.weight).sum();
    if targets.len() > 1 && sum == 0 {
        let what = "all weights are 0: no valid distribution, the proxy panics while it builds the \
                    routes of this Service";
        return Route::direct(CLOSED, "", what);
    }
    let empty: Vec<bool> = targets.iter().map(|target| is_empty(asked, target)).collect();
    // A single backend is no draw: its weight does not count.
    let weight = |index: usize| if targets.len() == 1 { 1 } else { targets[index].weight };
    let available: u64 = (0..targets.len()).filter(|index| !empty[*index]).map(weight).sum();
    for (index, target) in targets.iter().enumerate() {
        let mut to = destination(asked, target, request, &mut route.notes);
        let part = if available == 0 { sum.max(1) } else { available };
        let counts = available == 0 || !empty[index];
        to.share = if counts { weight(index) as f64 / part as f64 } else { 0.0 };
        if empty[index] {
            no_endpoints(&mut to, available == 0, target.weight, sum, &mut route.notes);
        }
        route.destinations.push(to);
    }
    // Two backends that are one Service say everything twice.
    let mut told = std::collections::BTreeSet::new();
    route.notes.retain(|note| told.insert(note.clone()));
    route
}

fn no_endpoints(
    to: &mut Destination,
    is_alone: bool,
    weight: u64,
    sum: u64,
    notes: &mut Vec<String>,
) {
    if is_alone {
        let why = "no endpoints: requests that have waited 3 s get 504, later ones 503 at once";
        to.failure = Some(Direct::new(503, "", why));
        return;
    }
    let part = percent(weight as f64 / sum.max(1) as f64);
    notes.push(format!("{} has no endpoints: its {part} go to the others", to.service));
}

/// Whether it is known that nobody answers at a target.
fn is_empty(asked: &Asked<'_>, target: &Target) -> bool {
    if target.failure.is_some() {
        return false;
    }
    let Some(service) = asked.cluster.service(&target.namespace, &target.service) else {
        return true;
    };
    if service.port(target.port).is_none() {
        // It is the pods' own port of that number then; a pod may listen at ports that it does not
        // declare, but hardly declares others only.
        let workloads = asked.cluster.workloads_of(service);
        let mut containers = workloads.iter().flat_map(|workload| &workload.containers);
        let is_other = |container: &Container| {
            let mut ports = container.ports.iter();
            !container.ports.is_empty() && ports.all(|(_, number)| *number != target.port)
        };
        return !workloads.is_empty() && containers.all(is_other);
    }
    let mut near = asked.cluster.workloads.iter();
    service.kind != ServiceKind::ExternalName
        && service.selector.is_some()
        && near.any(|workload| workload.namespace == service.namespace)
        && asked.cluster.endpoint_count(service) == 0
}

fn destination(
    asked: &Asked<'_>,
    target: &Target,
    request: &Request,
    notes: &mut Vec<String>,
) -> Destination {
    let mut upstream = request.clone();
    upstream.headers.change(&target.changes);
    let mut to = Destination {
        weight: u32::try_from(target.weight).unwrap_or(u32::MAX),
        namespace: target.namespace.clone(),
        service: target.service.clone(),
        port: target.port,
        failure: target.failure.clone(),
        request: upstream,
        response_headers: target.response.clone(),
        place: asked.place(target.at),
        ..Destination::default()
    };
    let Some(service) = asked.cluster.service(&target.namespace, &target.service) else {
        return to;
    };
    for workload in asked.cluster.workloads_of(service) {
        to.workloads.push(workload.name.clone());
    }
    if service.port(to.port).is_none() {
        let (name, port) = (&to.service, to.port);
        notes.push(format!("{name} has no port {port}: its pods are called at their port {port}"));
    }
    if to.failure.is_none() {
        admit(asked, service, &mut to, notes);
    }
    to
}

/// What the proxies of a destination's pods do with the request.
fn admit(asked: &Asked<'_>, service: &Service, to: &mut Destination, notes: &mut Vec<String>) {
    let client = asked.caller.client_at(to.port);
    let workloads = asked.cluster.workloads_of(service);
    let mut refusals = Vec::new();
    for workload in &workloads {
        let own = service.port(to.port).map(|port| workload.port_number(&port.target));
        let Some(port) = own.unwrap_or(Some(to.port)) else { continue };
        let bound = |server: &Server| bound(asked, server, &to.request);
        let verdict = asked.linkerd.judge(workload, port, &client, bound);
        let place = verdict.at.map_or(String::new(), |at| format!(" ({})", asked.place(at)));
        if let Some(status) = verdict.status {
            refusals.push((workload.name.clone(), status, verdict.why + &place));
            continue;
        }
        if verdict.is_by_policy() {
            notes.push(format!("{} admits by {}{place}", workload.name, verdict.why));
        }
        if let Some(limit) = &verdict.limit {
            notes.push(limit_note(asked, &workload.name, limit, client.identity.as_deref()));
        }
    }
    if let Some((name, status, why)) = refusals.first() {
        if refusals.len() == workloads.len() {
            to.failure = Some(Direct::new(*status, "", why.clone()));
        } else {
            notes.push(format!("the pods of {name} answer {status}: {why}"));
        }
    }
}

fn limit_note(asked: &Asked<'_>, name: &str, limit: &RateLimit, identity: Option<&str>) -> String {
    let rates = [("in all", limit.total), ("for this client", limit.for_client(identity))];
    let rates = rates.iter().filter_map(|(whom, rate)| {
        rate.map(|rate| format!("{} requests a second {whom}", rate.per_second))
    });
    let rates = rates.collect::<Vec<_>>().join(" and ");
    format!("each pod of {name} takes {rates}, else 429 ({})", asked.place(limit.at))
}

/// The route of a Server that takes a request.
fn bound(asked: &Asked<'_>, server: &Server, request: &Request) -> Bound {
    let of = |is_grpc: bool| -> Vec<&RouteOf> {
        let fits = |route: &&RouteOf| {
            route.route.is_grpc == is_grpc
                && route.route.namespace == server.namespace
                && route.bound(Parent::Server, &server.namespace, &server.name, 0).is_some()
        };
        asked.linkerd.routes.http.iter().filter(fits).collect()
    };
    let grpc = of(true);
    let routes = if grpc.is_empty() { of(false) } else { grpc };
    if routes.is_empty() {
        return Bound::None;
    }
    let before = asked.linkerd.settings.method_before_headers;
    match matching::find(&routes, request, before) {
        Some(taken) => {
            let (of, rule) = (&taken.route.route, &taken.route.route.rules[taken.rule]);
            Bound::Route(taken.route.group.clone(), of.kind().to_owned(), of.name.clone(), rule.at)
        }
        None => Bound::NoMatch,
    }
}

/// An answer that sends a request out of the cluster.
pub fn external(asked: &Asked<'_>, host: &str, port: u16, place: &str) -> Route {
    let to = Destination {
        share: 1.0,
        weight: 1,
        service: host.to_owned(),
        port,
        request: asked.request.clone(),
        place: place.to_owned(),
        ..Destination::default()
    };
    Route { destinations: vec![to], ..Route::default() }
}

/// The reference that binds a TCP or TLS route to a parent and port.
pub fn bound_at<'r>(
    route: &'r Layer4Route,
    kind: Parent,
    namespace: &str,
    name: &str,
    port: u16,
) -> Option<&'r ParentRef> {
    route.parents.iter().find(|parent| {
        is_parent(parent, kind, "")
            && parent.namespace == namespace
            && parent.name == name
            && parent.port.is_none_or(|own| own == port)
    })
}

/// The TLS route that is most exactly for a server name; the first of equals.
pub fn by_server_name<'r>(routes: &[&'r Layer4Route], name: &str) -> Option<&'r Layer4Route> {
    let ranked =
        routes.iter().filter_map(|route| Some((host_rank(&route.hostnames, name)?, *route)));
    let best = ranked.reduce(|a, b| if a.0 >= b.0 { a } else { b });
    best.map(|(_, route)| route)
}

/// What a TCP or TLS route does; its first rule counts.
pub fn by_layer4(asked: &Asked<'_>, route: &Layer4Route, parent_namespace: &str) -> Route {
    let Some(rule) = route.rules.first() else {
        return Route::direct(CLOSED, "", format!("{} has no rule", route.title()));
    };
    let targets: Vec<Target> = rule
        .backends
        .iter()
        .filter(|backend| backend.kind == "Service")
        .map(|backend| {
            let port = backend.port.unwrap_or(asked.request.port);
            let (namespace, name) = (&backend.namespace, &backend.name);
            let weight = u64::from(backend.weight);
            let mut target = Target::named(namespace, name, port, weight, backend.at);
            if asked.cluster.service(namespace, name).is_none() {
                let why = format!("Service not found {namespace}/{name}");
                target.failure = Some(Direct::new(CLOSED, "", why));
            }
            target
        })
        .collect();
    let mut answer = if targets.is_empty() {
        let host = asked.request.host.as_str();
        external(asked, host, asked.request.port, &asked.place(rule.at))
            .because(format!("{} lets it out of {parent_namespace}", route.title()))
    } else {
        split(asked, &targets, asked.request)
    };
    let hosts: Vec<&str> = route.hostnames.iter().map(|host| host.text.as_str()).collect();
    let matches = if hosts.is_empty() {
        "all".to_owned()
    } else {
        format!("server name {}", hosts.join(", "))
    };
    answer.rule = Some(rule_name(asked, route.title(), "rules[0]".to_owned(), matches, rule.at));
    answer
}
