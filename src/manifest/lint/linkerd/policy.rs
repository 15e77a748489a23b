//! Servers and authorizations: doors that stay shut, or open.
//!
//! Source: [`crate::manifest::linkerd::inbound`]; docs `2-edge/reference/authorization-policy`
//! ("probes are authorized by themselves only where no route is bound").
//! Left out: whether a client that should be admitted is (ask `meshsim route` for that).

use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::linkerd::authorization::{POLICY, Policy};
use crate::manifest::linkerd::inbound::Client;
use crate::manifest::linkerd::matching;
use crate::manifest::linkerd::routes::{Parent, RouteOf};
use crate::manifest::linkerd::server::Server;
use crate::manifest::linkerd::settings::DefaultPolicy;
use crate::manifest::lint::linkerd::Lint;
use crate::manifest::reader::IntOrText;
use crate::manifest::route::request::Request;
use std::net::{IpAddr, Ipv4Addr};

/// All rules of this file.
pub fn check(lint: &mut Lint<'_>) {
    let linkerd = lint.linkerd;
    for server in linkerd.servers.values() {
        selects(lint, server);
        admits(lint, server);
        probes(lint, server);
    }
    overlaps(lint);
    for policy in &linkerd.policies {
        target(lint, policy);
        required(lint, policy);
    }
    server_authorizations(lint);
    limits(lint);
    denied(lint);
}

fn title(server: &Server) -> String {
    format!("Server {}/{}", server.namespace, server.name)
}

/// Whether pods of a namespace are among the manifests at all.
fn has_pods(lint: &Lint<'_>, namespace: &str) -> bool {
    lint.cluster.workloads.iter().any(|workload| workload.namespace == namespace)
}

fn selected<'a>(lint: &Lint<'a>, server: &Server) -> Vec<(&'a Workload, u16)> {
    let workloads = lint.cluster.workloads.iter();
    workloads
        .flat_map(|workload| server.ports(workload).into_iter().map(move |port| (workload, port)))
        .collect()
}

fn selects(lint: &mut Lint<'_>, server: &Server) {
    let selected = selected(lint, server);
    if server.pods.is_some() && selected.is_empty() && has_pods(lint, &server.namespace) {
        let port = match &server.port {
            IntOrText::Int(number) => number.to_string(),
            IntOrText::Text(name) => name.clone(),
        };
        let what = format!("no pod of {} has its labels and port {port}", server.namespace);
        lint.report("L5D011", title(server), server.at, what);
    }
    let skipped = selected.iter().find(|(workload, port)| {
        let proxy = lint.linkerd.proxy(workload);
        proxy.is_some_and(|proxy| proxy.is_injected && proxy.skip_inbound.0.contains(*port))
    });
    if let Some((workload, port)) = skipped {
        let what = format!("{} skips port {port} inbound", workload.name);
        lint.report("L5D017", title(server), server.at, what);
    }
}

/// Whether something could admit somebody.
fn admits(lint: &mut Lint<'_>, server: &Server) {
    let linkerd = lint.linkerd;
    let by_authorization = linkerd.server_authorizations.iter().any(|authorization| {
        authorization.namespace == server.namespace
            && authorization.clients.is_some()
            && authorization.selects(&server.name, &server.labels)
    });
    let routes: Vec<&RouteOf> = bound(lint, server);
    let by_policy = linkerd.policies.iter().any(|policy| {
        let target = &policy.target;
        policy.namespace == server.namespace
            && (target.is("", "Namespace")
                || target.is(POLICY, "Server") && target.name == server.name
                || routes.iter().any(|route| {
                    target.is(&route.group, route.route.kind()) && target.name == route.route.name
                }))
    });
    if server.access == DefaultPolicy::Deny && !by_authorization && !by_policy {
        lint.report("L5D015", title(server), server.at, "nothing admits anybody");
    }
}

fn bound<'a>(lint: &Lint<'a>, server: &Server) -> Vec<&'a RouteOf> {
    let fits = |route: &&RouteOf| {
        route.route.namespace == server.namespace
            && route.bound(Parent::Server, &server.namespace, &server.name, 0).is_some()
    };
    lint.linkerd.routes.http.iter().filter(fits).collect()
}

/// Probes of pods behind a Server with routes need a route of their own.
fn probes(lint: &mut Lint<'_>, server: &Server) {
    let routes = bound(lint, server);
    if routes.is_empty() {
        return;
    }
    for (workload, port) in selected(lint, server) {
        if !lint.linkerd.is_meshed(workload) {
            continue;
        }
        for container in &workload.containers {
            let probes = [&container.readiness, &container.liveness, &container.startup];
            for probe in probes.into_iter().flatten() {
                let is_here = match &probe.port {
                    Some(IntOrText::Int(number)) => *number == i64::from(port),
                    Some(IntOrText::Text(name)) => {
                        container.ports.iter().any(|known| known.0 == *name && known.1 == port)
                    }
                    None => false,
                };
                let Some(path) = probe.path.as_ref().filter(|_| is_here) else { continue };
                let Ok(request) = Request::to("GET", &format!("http://pod:{port}{path}"), &[])
                else {
                    continue;
                };
                if matching::find(&routes, &request, false).is_none() {
                    let what = format!("no route for the probe {path} of {}", workload.name);
                    lint.report("L5D016", title(server), server.at, what);
                }
            }
        }
    }
}

fn overlaps(lint: &mut Lint<'_>) {
    let linkerd = lint.linkerd;
    for server in linkerd.servers.values() {
        for (workload, port) in selected(lint, server) {
            let first = linkerd.servers_of(workload, port).first().map(|first| first.name.clone());
            if let Some(first) = first.filter(|first| *first != server.name) {
                let what = format!("port {port} of {} has Server {first} too", workload.name);
                lint.report("L5D012", title(server), server.at, what);
            }
        }
    }
}

fn target(lint: &mut Lint<'_>, policy: &Policy) {
    let (target, namespace) = (&policy.target, &policy.namespace);
    let linkerd = lint.linkerd;
    let exists = if target.is(POLICY, "Server") {
        linkerd.servers.contains_key(&(namespace.clone(), target.name.clone()))
    } else if target.is("", "Namespace") {
        true
    } else {
        linkerd.routes.http.iter().any(|route| {
            target.is(&route.group, route.route.kind())
                && route.route.namespace == *namespace
                && route.route.name.eq_ignore_ascii_case(&target.name)
        })
    };
    if !exists {
        let what = format!("there is no {} {}/{}", target.kind, namespace, target.name);
        lint.report("L5D013", named(policy), target.at, what);
    }
}

fn named(policy: &Policy) -> String {
    format!("AuthorizationPolicy {}/{}", policy.namespace, policy.name)
}

fn required(lint: &mut Lint<'_>, policy: &Policy) {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let nobody = Client { identity: None, address };
    if let Err(what) = lint.linkerd.admits(policy, &nobody) {
        let at = policy.required.first().map_or(policy.at, |required| required.at);
        lint.report("L5D014", named(policy), at, what);
    }
}

fn server_authorizations(lint: &mut Lint<'_>) {
    let linkerd = lint.linkerd;
    for authorization in &linkerd.server_authorizations {
        let has_server = linkerd.servers.values().any(|server| {
            server.namespace == authorization.namespace
                && authorization.selects(&server.name, &server.labels)
        });
        if !has_server {
            let object =
                format!("ServerAuthorization {}/{}", authorization.namespace, authorization.name);
            lint.report("L5D013", object, authorization.at, "it selects no Server");
        }
    }
}

fn limits(lint: &mut Lint<'_>) {
    let linkerd = lint.linkerd;
    for limit in linkerd.limits.values() {
        let server = (limit.namespace.clone(), limit.server.clone());
        if !linkerd.servers.contains_key(&server) {
            let object = format!("HTTPLocalRateLimitPolicy {}/{}", limit.namespace, limit.name);
            let what = format!("there is no Server {}/{}", limit.namespace, limit.server);
            lint.report("L5D023", object, limit.at, what);
        }
    }
}

/// Ports of Services where the default policy denies and no Server says otherwise.
fn denied(lint: &mut Lint<'_>) {
    let (cluster, linkerd) = (lint.cluster, lint.linkerd);
    for service in cluster.services.values() {
        for workload in cluster.workloads_of(service) {
            let Some(proxy) = linkerd.proxy(workload).filter(|proxy| proxy.is_injected) else {
                continue;
            };
            for port in &service.ports {
                let Some(number) = workload.port_number(&port.target) else { continue };
                let (policy, at) = proxy.policy(number, &linkerd.settings);
                let is_open = policy != DefaultPolicy::Deny
                    || proxy.skip_inbound.0.contains(number)
                    || !linkerd.servers_of(workload, number).is_empty();
                if is_open {
                    continue;
                }
                let object = format!("Service {}/{}", service.namespace, service.name);
                let what = format!("port {} of {} admits nobody", port.number, workload.name);
                lint.report("L5D032", object, at.unwrap_or(port.at), what);
            }
        }
    }
}
