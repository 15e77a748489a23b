//! Where a sidecar sends a request.
//!
//! The host that is asked for picks a virtual host: the service of that name with its virtual service,
//! or a virtual service whose own host it is. Of several virtual services for a host the most specific,
//! then the oldest counts, whole. A rule that is not for this port, client or gateway is as if it were
//! not there; if none is left, the service is asked as if it had no rules. If rules are left and none
//! matches: 404 NR.
//! Source: istio/istio `pilot/pkg/networking/core/httproute.go` (`buildSidecarOutboundHTTPRouteConfig`,
//! `allow_any`, `block_all`), `route/route.go` (`buildSidecarVirtualHostsForVirtualService`).
//! Left out: virtual hosts by address.

use crate::manifest::istio::choose::Client;
use crate::manifest::istio::host;
use crate::manifest::istio::layer4;
use crate::manifest::istio::mesh::{Mesh, View};
use crate::manifest::istio::registry::Known;
use crate::manifest::istio::rules::{self, Scope};
use crate::manifest::istio::target;
use crate::manifest::istio::virtual_service::{MESH, VirtualService};
use crate::manifest::kubernetes::service::Protocol;
use crate::manifest::route::request::Request;
use crate::manifest::route::{Destination, Route};

/// Answers a client in the mesh.
pub fn route(mesh: &Mesh<'_>, client: &Client, request: &Request) -> Route {
    let view = View::of(mesh, client);
    let port = request.port;
    let named = mesh.registry.asked(&request.host, &client.namespace);
    let connected = named.filter(|known| view.sees(known, Some(port)));
    if !client.has_proxy {
        return bare(mesh, &view, connected, request);
    }
    let protocol = connected.and_then(|known| known.protocol(port));
    if protocol.is_some_and(|protocol| matches!(protocol, Protocol::Tcp | Protocol::Tls))
        || request.scheme == "https"
        || request.scheme == "tls"
        || request.scheme == "tcp"
    {
        return layer4::outbound(mesh, &view, connected, request);
    }
    let authority = &request.authority;
    let asked = if authority == &request.host {
        connected
    } else {
        mesh.registry
            .asked(authority, &client.namespace)
            .filter(|known| view.sees(known, Some(port)))
    };
    let asked = asked.filter(|known| known.protocol(port).is_some());
    if !listens(mesh, &view, port) {
        return unknown(mesh, &view, request, false);
    }
    let Some(rules) = pick(mesh, &view, asked, authority, port) else {
        return match asked {
            Some(known) => target::default_route(mesh, &view, known, request)
                .because("no virtual service has this host: the service's own route counts"),
            None => unknown(mesh, &view, request, true),
        };
    };
    let scope = Scope { gateway: MESH, port, view: &view };
    if let Some(found) = rules::answer(mesh, &scope, rules, request) {
        return found;
    }
    match asked {
        Some(known) if !rules::any_applies(&scope, rules) => {
            target::default_route(mesh, &view, known, request).because(format!(
                "VirtualService {} has no rule for this port and client: the service's own route \
                 counts",
                rules.head.full()
            ))
        }
        _ if !rules::any_applies(&scope, rules) => unknown(mesh, &view, request, true),
        _ => {
            let place = mesh.place(rules.head.at);
            let name = rules.head.full();
            Route::direct(404, "NR", "route_not_found")
                .because(format!("no rule of VirtualService {name} ({place}) matches the request"))
        }
    }
}

/// A client without a proxy asks the service itself.
fn bare(mesh: &Mesh<'_>, view: &View<'_>, known: Option<&Known>, request: &Request) -> Route {
    let why = "the client has no proxy: no rules, no retries, plain text";
    match known.filter(|known| known.protocol(request.port).is_some()) {
        Some(known) => {
            let route = target::default_route(mesh, view, known, request);
            Route { retries: None, ..route }.because(why)
        }
        None => outside(request, true).because(why),
    }
}

/// Whether sidecars look at requests on this port: some host has it for HTTP, or says nothing of it.
/// Without one there is no listener, not even for hosts of virtual services.
fn listens(mesh: &Mesh<'_>, view: &View<'_>, port: u16) -> bool {
    let http = |known: &&Known| {
        view.sees(known, Some(port))
            && known.protocol(port).is_some_and(|p| p.is_http() || p == Protocol::Unknown)
    };
    mesh.registry.on_port(port, &view.client.namespace).any(|known| http(&known))
}

/// The virtual service for what is asked, seen by a sidecar.
pub fn pick<'m>(
    mesh: &'m Mesh<'_>,
    view: &View<'_>,
    asked: Option<&Known>,
    authority: &str,
    port: u16,
) -> Option<&'m VirtualService> {
    let mut best: Option<((bool, usize), &VirtualService)> = None;
    let all: Vec<&VirtualService> = match asked {
        Some(known) => mesh.rules_for(&known.host).collect(),
        None => mesh.virtual_services.iter().collect(),
    };
    for service in all {
        if !service.in_mesh() || service.http.is_empty() || !view.sees_rules(mesh, service) {
            continue;
        }
        for word in &service.hosts {
            let full = host::full(&word.text, &service.head.namespace);
            let fits = match asked {
                Some(known) => host::within(&known.host, &full),
                None => covers(mesh, service, &full, authority, port),
            };
            let rank = host::rank(&full);
            if fits && best.is_none_or(|(before, _)| rank > before) {
                best = Some((rank, service));
            }
        }
    }
    best.map(|(_, service)| service)
}

/// Whether a host that the registry does not have is served on this port: beside hosts that it has, on
/// their ports, else on 80.
fn covers(
    mesh: &Mesh<'_>,
    service: &VirtualService,
    full: &str,
    authority: &str,
    port: u16,
) -> bool {
    let namespace = &service.head.namespace;
    if !host::within(authority, full) && !host::alias_of(authority, full, namespace) {
        return false;
    }
    let mut ports = service
        .hosts
        .iter()
        .filter_map(|word| {
            let known = mesh.registry.exact(&host::full(&word.text, namespace), namespace)?;
            Some(known.protocol(port).is_some())
        })
        .peekable();
    if ports.peek().is_none() { port == 80 } else { ports.any(|has| has) }
}

/// The host itself, outside of the mesh.
fn outside(request: &Request, http: bool) -> Route {
    let destination = Destination {
        share: 1.0,
        weight: 1,
        service: request.host.clone(),
        port: request.port,
        protocol: if http { "http1".to_owned() } else { "tcp".to_owned() },
        request: request.clone(),
        ..Destination::default()
    };
    Route { destinations: vec![destination], ..Route::default() }
}

/// A host that nobody knows.
pub fn unknown(mesh: &Mesh<'_>, view: &View<'_>, request: &Request, http: bool) -> Route {
    let told =
        format!("`{}:{}` is no host that this client knows", request.authority, request.port);
    if view.allow_any(mesh) {
        return outside(request, http).because(told).because(
            "outboundTrafficPolicy ALLOW_ANY: it goes out unchanged \
             (PassthroughCluster), without retries",
        );
    }
    let why =
        match (view.sidecar.and_then(|sidecar| sidecar.allow_any), mesh.istio.mesh.allow_any_at) {
            (None, Some(at)) => format!("outboundTrafficPolicy REGISTRY_ONLY ({})", mesh.place(at)),
            _ => "outboundTrafficPolicy REGISTRY_ONLY".to_owned(),
        };
    let blocked = if http {
        Route::direct(502, "", "direct_response: block_all")
    } else {
        Route::direct(0, "UH", "BlackHoleCluster: the connection is closed")
    };
    blocked.because(told).because(why)
}
