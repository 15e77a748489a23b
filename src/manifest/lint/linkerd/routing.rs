//! Routes, profiles and splits: rules that never apply, and shares that fail.
//!
//! Source: [`crate::manifest::linkerd::outbound`], [`crate::manifest::linkerd::routed`],
//! [`crate::manifest::linkerd::share`].
//! Left out: matches that no request can reach; whether a route of other meshes is meant (only routes
//! whose parents Linkerd knows are looked at).

use crate::manifest::gateway_api::http::Rule;
use crate::manifest::gateway_api::parent::ParentRef;
use crate::manifest::kubernetes::service::{Service, ServiceKind};
use crate::manifest::linkerd::authorization::POLICY;
use crate::manifest::linkerd::routes::{Parent, RouteOf, is_parent};
use crate::manifest::linkerd::traffic::{Retry, Timeouts};
use crate::manifest::lint::linkerd::Lint;
use crate::manifest::route::text::duration;
use crate::manifest::source::At;

/// All rules of this file.
pub fn check(lint: &mut Lint<'_>) {
    let linkerd = lint.linkerd;
    for route in &linkerd.routes.http {
        let parents: Vec<&ParentRef> = route
            .route
            .parents
            .iter()
            .filter(|parent| is_parent(parent, Parent::Service, &route.group))
            .collect();
        egress_ports(lint, route);
        if parents.is_empty() {
            continue;
        }
        dropped(lint, route);
        for parent in &parents {
            bound(lint, route, parent);
        }
        let parent_namespace = &parents[0].namespace;
        for (index, rule) in route.route.rules.iter().enumerate() {
            let name = format!("{} {}", route.title(), rule.title(index));
            ignored(lint, route, rule, &name);
            shares(lint, rule, &name);
            backends(lint, route, rule, parent_namespace, &name);
        }
        retries(lint, route);
    }
    services(lint);
    splits(lint);
    profiles(lint);
}

fn egress_ports(lint: &mut Lint<'_>, route: &RouteOf) {
    for parent in &route.route.parents {
        if is_parent(parent, Parent::Egress, &route.group) && parent.port.is_none() {
            let what = format!("EgressNetwork {} as a parent without a port", parent.name);
            lint.report("L5D031", route.title(), parent.at, what);
        }
    }
}

fn dropped(lint: &mut Lint<'_>, route: &RouteOf) {
    if let Some((at, what)) = &route.dropped {
        lint.report("L5D007", route.title(), *at, what.clone());
    }
}

/// What becomes of a route at one of its parents.
fn bound(lint: &mut Lint<'_>, route: &RouteOf, parent: &ParentRef) {
    let service = lint.cluster.service(&parent.namespace, &parent.name);
    let Some(service) = service else {
        // Services may simply not be among the manifests.
        let is_known = lint.cluster.services.keys().any(|(known, _)| *known == parent.namespace);
        if is_known {
            let what = format!("there is no Service {}/{}", parent.namespace, parent.name);
            lint.report("L5D030", route.title(), parent.at, what);
        }
        return;
    };
    if let Some(port) = parent.port.filter(|port| service.port(*port).is_none()) {
        let what = format!("Service {} has no port {port}", service.name);
        lint.report("L5D030", route.title(), parent.at, what);
        return;
    }
    if service.is_headless || service.kind == ServiceKind::ExternalName {
        let what = format!("Service {} has no cluster IP", service.name);
        lint.report("L5D028", route.title(), parent.at, what);
    }
    if let Some(winner) = winner(lint, service, &route.route.namespace) {
        lint.report("L5D001", route.title(), parent.at, format!("{winner} wins over it"));
    }
    for port in service.ports.iter().filter(|port| parent.port.is_none_or(|p| p == port.number)) {
        let is_opaque = match port.app_protocol.as_ref().map(|word| word.text.as_str()) {
            Some(word) => {
                !matches!(word.to_ascii_lowercase().as_str(), "http" | "kubernetes.io/h2c")
            }
            None => lint.linkerd.opaque(service, port.number).is_some(),
        };
        if is_opaque {
            let what = format!("port {} of Service {} is opaque", port.number, service.name);
            lint.report("L5D021", route.title(), parent.at, what);
        }
        if !route.route.is_grpc && has_grpc(lint, service, port.number) {
            let what = format!("a GRPCRoute is bound to port {} of {}", port.number, service.name);
            lint.report("L5D010", route.title(), parent.at, what);
        }
    }
}

/// What wins over routes of a Service, for clients of a namespace.
fn winner(lint: &Lint<'_>, service: &Service, client: &str) -> Option<String> {
    let linkerd = lint.linkerd;
    let profile = linkerd.profile(client, &service.namespace, &service.name);
    if let Some(profile) = profile.filter(|profile| profile.wins()) {
        return Some(format!("ServiceProfile {}/{}", profile.namespace, profile.name));
    }
    let split = linkerd.smi.split_of(&service.namespace, &service.name)?;
    let has_weight = split.backends.iter().any(|backend| backend.weight_milli > 0);
    has_weight.then(|| format!("TrafficSplit {}/{}", split.namespace, split.name))
}

fn has_grpc(lint: &Lint<'_>, service: &Service, port: u16) -> bool {
    lint.linkerd.routes.http.iter().any(|route| {
        route.route.is_grpc
            && route.dropped.is_none()
            && route.bound(Parent::Service, &service.namespace, &service.name, port).is_some()
    })
}

/// Timeouts and retries that Linkerd does not read.
fn ignored(lint: &mut Lint<'_>, route: &RouteOf, rule: &Rule, name: &str) {
    let is_gateway = route.group != POLICY;
    let fields = [
        ("timeouts.request", is_gateway && rule.request_timeout_ns.is_some(), rule.at),
        ("timeouts.backendRequest", rule.backend_timeout_ns.is_some(), rule.at),
        ("retry", rule.retry.is_some(), rule.retry.as_ref().map_or(rule.at, |retry| retry.at)),
    ];
    for (field, is_set, at) in fields {
        if is_set {
            lint.report("L5D008", name.to_owned(), at, format!("Linkerd ignores `{field}`"));
        }
    }
}

fn shares(lint: &mut Lint<'_>, rule: &Rule, name: &str) {
    let backends: Vec<_> = rule.backends.iter().flatten().collect();
    if backends.is_empty() || backends.iter().any(|backend| backend.weight > 0) {
        return;
    }
    let at = backends[0].at;
    if backends.len() > 1 {
        lint.report("L5D005", name.to_owned(), at, "all weights are 0");
    } else {
        lint.report("L5D006", name.to_owned(), at, "the only backend has weight 0");
    }
}

fn backends(lint: &mut Lint<'_>, route: &RouteOf, rule: &Rule, parent: &str, name: &str) {
    for backend in rule.backends.iter().flatten().filter(|backend| backend.kind == "Service") {
        let namespace = route.backend_namespace(&backend.namespace, backend.at, parent);
        if namespace != backend.namespace {
            let what = format!("backend {} is looked for in {namespace}", backend.name);
            lint.report("L5D009", name.to_owned(), backend.at, what);
        }
        backend_exists(lint, namespace, &backend.name, backend.port, backend.at, name);
    }
}

fn backend_exists(
    lint: &mut Lint<'_>,
    namespace: &str,
    service: &str,
    port: Option<u16>,
    at: At,
    name: &str,
) {
    let is_known = lint.cluster.services.keys().any(|(known, _)| known == namespace);
    match lint.cluster.service(namespace, service) {
        None if is_known => {
            let what = format!("there is no Service {namespace}/{service}");
            lint.report("L5D003", name.to_owned(), at, what);
        }
        Some(found) => {
            if let Some(port) = port.filter(|port| found.port(*port).is_none()) {
                let what = format!("Service {namespace}/{service} has no port {port}");
                lint.report("L5D004", name.to_owned(), at, what);
            }
        }
        None => {}
    }
}

fn retries(lint: &mut Lint<'_>, route: &RouteOf) {
    if let Some(retry) = &route.retry {
        retry_of(lint, &route.title(), retry, &route.timeouts);
    }
}

/// Retries by annotation: too many, too late, or of nothing.
fn retry_of(lint: &mut Lint<'_>, object: &str, retry: &Retry, timeouts: &Timeouts) {
    if retry.limit > 1 {
        let what = format!("up to {} tries a request", u32::from(retry.limit) + 1);
        lint.report("L5D022", object.to_owned(), retry.at, what);
    }
    if retry.statuses.is_empty() && retry.grpc_codes.is_empty() {
        let what = "retries without a condition";
        lint.report("L5D036", object.to_owned(), retry.at, what);
    }
    let whole = timeouts.effective().request_ns;
    if let (Some(each), Some(whole)) = (retry.timeout_ns, whole)
        && each >= whole
    {
        let (each, whole) = (duration(each), duration(whole));
        let what = format!("a try may take {each}, the whole request {whole}");
        lint.report("L5D035", object.to_owned(), retry.at, what);
    }
}

/// Annotations of Services: hidden by a profile, without a budget, or never used.
fn services(lint: &mut Lint<'_>) {
    let linkerd = lint.linkerd;
    for ((namespace, name), policy) in &linkerd.services {
        let object = format!("Service {namespace}/{name}");
        let Some(service) = lint.cluster.service(namespace, name) else { continue };
        let retry = policy.http_retry.as_ref().or(policy.grpc_retry.as_ref());
        if let Some(retry) = retry {
            // Limit and timeout are read for both protocols, the conditions each for its own.
            let codes = policy.grpc_retry.as_ref().map(|retry| retry.grpc_codes.clone());
            let both = Retry { grpc_codes: codes.unwrap_or_default(), ..retry.clone() };
            retry_of(lint, &object, &both, &policy.timeouts);
        }
        let pods: u32 = lint.cluster.workloads_of(service).iter().map(|w| w.replicas).sum();
        if let Some(accrual) = policy.accrual.as_ref().filter(|_| pods == 1) {
            let what = "circuit breaking with one endpoint";
            lint.report("L5D034", object.clone(), accrual.at, what);
        }
        let timeouts = Some(policy.timeouts.at).filter(|_| !policy.timeouts.is_empty());
        let accrual = policy.accrual.as_ref().map(|accrual| accrual.at);
        let first = accrual.or(retry.map(|retry| retry.at)).or(timeouts);
        if let (Some(at), Some(winner)) = (first, winner(lint, service, namespace)) {
            lint.report(
                "L5D002",
                object.clone(),
                at,
                format!("{winner} wins over its annotations"),
            );
        }
        if let Some(at) = accrual {
            let users: Vec<String> = linkerd
                .routes
                .http
                .iter()
                .filter(|route| leads_to(route, namespace, name))
                .map(RouteOf::title)
                .collect();
            if !users.is_empty() {
                let what = format!("circuit breaking is not used through {}", users.join(", "));
                lint.report("L5D027", object, at, what);
            }
        }
    }
}

/// Whether a route of another Service leads to this one.
fn leads_to(route: &RouteOf, namespace: &str, name: &str) -> bool {
    let is_own = route.route.parents.iter().any(|parent| {
        is_parent(parent, Parent::Service, &route.group)
            && parent.namespace == namespace
            && parent.name == name
    });
    let mut backends = route.route.rules.iter().flat_map(|rule| rule.backends.iter().flatten());
    !is_own && backends.any(|backend| backend.namespace == namespace && backend.name == name)
}

fn splits(lint: &mut Lint<'_>) {
    let linkerd = lint.linkerd;
    for split in &linkerd.smi.splits {
        let object = format!("TrafficSplit {}/{}", split.namespace, split.name);
        if let Some(group) = split.matches.first() {
            lint.report("L5D026", object.clone(), group.at, format!("matches {}", group.text));
        }
        if split.failover.is_some() && split.backends.len() < 2 {
            lint.report("L5D033", object.clone(), split.at, "it has one backend only");
        }
        let root = lint.cluster.service(&split.namespace, split.service_name());
        let ports: Vec<u16> =
            root.iter().flat_map(|root| &root.ports).map(|port| port.number).collect();
        for backend in &split.backends {
            let (namespace, service) = (&split.namespace, &backend.service);
            backend_exists(lint, namespace, service, None, backend.at, &object);
            for port in &ports {
                backend_exists(lint, namespace, service, Some(*port), backend.at, &object);
            }
        }
    }
    for target in &linkerd.smi.targets {
        let object = format!("TrafficTarget {}/{}", target.namespace, target.name);
        lint.report("L5D025", object, target.at, "Linkerd reads no TrafficTarget");
    }
}

fn profiles(lint: &mut Lint<'_>) {
    let linkerd = lint.linkerd;
    for profile in linkerd.profiles.values() {
        let object = format!("ServiceProfile {}/{}", profile.namespace, profile.name);
        let Some((namespace, service)) = profile.service(&linkerd.settings) else {
            let what = format!("`{}` is no DNS name of a service of the cluster", profile.name);
            lint.report("L5D024", object, profile.at, what);
            continue;
        };
        let is_known = lint.cluster.services.keys().any(|(known, _)| *known == namespace);
        if is_known && lint.cluster.service(&namespace, &service).is_none() {
            let what = format!("there is no Service {namespace}/{service}");
            lint.report("L5D024", object, profile.at, what);
        }
    }
}
