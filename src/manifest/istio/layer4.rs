//! Connections that are not looked into: TCP, and TLS by the name in its hello.
//!
//! Source: istio/istio `pilot/pkg/networking/core/tls.go`, `networkfilter.go`, `match.go`
//! (`matchTLS`, `matchTCP`: gateways, ports, labels of the client, subnets).
//! Left out: several filter chains by address; a destination is known by its name.

use crate::manifest::istio::check::Subnet;
use crate::manifest::istio::host;
use crate::manifest::istio::matching::L4Match;
use crate::manifest::istio::mesh::{Mesh, View};
use crate::manifest::istio::outbound;
use crate::manifest::istio::registry::Known;
use crate::manifest::istio::rules::{Scope, full_gateway};
use crate::manifest::istio::target;
use crate::manifest::istio::virtual_service::{L4Route, MESH, VirtualService};
use crate::manifest::route::request::Request;
use crate::manifest::route::{Route, RuleName};
use crate::manifest::selector::contains;

/// A connection from a sidecar.
pub fn outbound(
    mesh: &Mesh<'_>,
    view: &View<'_>,
    known: Option<&Known>,
    request: &Request,
) -> Route {
    let scope = Scope { gateway: MESH, port: request.port, view };
    let tls = request.scheme == "https" || request.scheme == "tls";
    for service in mesh.virtual_services.iter().filter(|service| service.in_mesh()) {
        if !view.sees_rules(mesh, service) {
            continue;
        }
        let own = |word: &crate::manifest::reader::Word| {
            let full = host::full(&word.text, &service.head.namespace);
            match known {
                Some(known) => {
                    host::within(&known.host, &full) || host::within(&request.host, &full)
                }
                None => host::within(&request.host, &full),
            }
        };
        if service.hosts.iter().any(own)
            && let Some(found) = answer(mesh, &scope, service, request, tls)
        {
            return found;
        }
    }
    match known.filter(|known| known.protocol(request.port).is_some()) {
        Some(known) => target::default_route(mesh, view, known, request)
            .because("no TCP or TLS rule matches: the service itself"),
        None => outbound::unknown(mesh, view, request, false),
    }
}

/// The first TLS rule, for TLS, then the first TCP rule of a virtual service that matches.
pub fn answer(
    mesh: &Mesh<'_>,
    scope: &Scope<'_>,
    service: &VirtualService,
    request: &Request,
    tls: bool,
) -> Option<Route> {
    let find = |rules: &[L4Route], tls: bool| {
        rules.iter().position(|rule| {
            (rule.matches.is_empty() && !tls)
                || rule.matches.iter().any(|found| fits(scope, service, found, request, tls))
        })
    };
    let by_sni = if tls { find(&service.tls, true) } else { None };
    let (kind, index, rule) = if let Some(index) = by_sni {
        ("tls", index, &service.tls[index])
    } else {
        let index = find(&service.tcp, false)?;
        ("tcp", index, &service.tcp[index])
    };
    let place = mesh.sources.place(rule.at);
    let mut route = Route {
        rule: Some(RuleName {
            object: format!("VirtualService {}", service.head.full()),
            rule: format!("{kind}[{index}]"),
            matches: told(rule),
            file: place.file,
            line: place.line,
        }),
        ..Route::default()
    };
    let single = rule.routes.len() == 1;
    for to in rule.routes.iter().filter(|to| single || to.weight > 0) {
        let namespace = &service.head.namespace;
        let mut found =
            target::find(mesh, scope.view, &to.destination, namespace, scope.port, request);
        found.weight = if single { to.weight.max(1) } else { to.weight };
        kind.clone_into(&mut found.protocol);
        if let Some(failure) = &mut found.failure {
            // A connection has no status: it is closed.
            failure.status = 0;
        }
        route.destinations.push(found);
    }
    route.share_by_weight();
    Some(route)
}

fn fits(
    scope: &Scope<'_>,
    service: &VirtualService,
    found: &L4Match,
    request: &Request,
    tls: bool,
) -> bool {
    let client = scope.view.client;
    let gateway_fits = found.gateways.is_empty()
        || found
            .gateways
            .iter()
            .any(|word| full_gateway(&word.text, &service.head.namespace) == scope.gateway);
    let sni_fits = !tls || found.sni.iter().any(|word| host::within(&request.host, &word.text));
    let address = request.host.parse().ok();
    let subnet_fits = found.subnets.is_empty()
        || found.subnets.iter().any(|word| {
            let subnet = Subnet::parse(&word.text);
            subnet.zip(address).is_some_and(|(subnet, address)| subnet.contains(address))
        });
    gateway_fits
        && sni_fits
        && subnet_fits
        && found.port.is_none_or(|port| port == scope.port)
        && contains(&client.labels, &found.source_labels)
        && found.source_namespace.as_ref().is_none_or(|name| *name == client.namespace)
}

fn told(rule: &L4Route) -> String {
    let mut words: Vec<String> = Vec::new();
    for found in &rule.matches {
        words.extend(found.port.map(|port| format!("port {port}")));
        words.extend(found.sni.iter().map(|word| format!("SNI {}", word.text)));
        words.extend(found.subnets.iter().map(|word| format!("addresses {}", word.text)));
    }
    if words.is_empty() { "every connection".to_owned() } else { words.join(", ") }
}
