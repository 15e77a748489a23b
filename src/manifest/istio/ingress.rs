//! What an ingress gateway does with a request.
//!
//! All `Gateway` objects that select the same pods are one configuration. On a port, the hosts of HTTP
//! servers share one table; each HTTPS server has its own, picked by the TLS hello. A virtual service
//! counts where one of its hosts and one of the server's meet. Those of one host are merged by age, with
//! catch-all rules last. Nothing there: 404 NR.
//! Source: istio/istio `pilot/pkg/model/gateway.go` (`mergeGateways`), `pilot/pkg/networking/core/gateway.go`
//! (`buildGatewayHTTPRouteConfig`, `SortVHostRoutes`, `httpsRedirect`), `pkg/config/host` (`Intersection`).
//! Left out: client certificates of `MUTUAL` servers, `AUTO_PASSTHROUGH`, HTTP/3.

use crate::manifest::istio::authorize::{self, Facts};
use crate::manifest::istio::choose::Client;
use crate::manifest::istio::gateway::{Gateway, Server};
use crate::manifest::istio::host;
use crate::manifest::istio::layer4;
use crate::manifest::istio::mesh::{Mesh, View};
use crate::manifest::istio::rules::{self, Scope, full_gateway};
use crate::manifest::istio::virtual_service::VirtualService;
use crate::manifest::route::request::Request;
use crate::manifest::route::{Direct, Location, Route};
use crate::manifest::selector::contains;

/// A server of a gateway, with a host of its own that covers what is asked.
#[derive(Clone, Copy)]
struct Open<'m> {
    gateway: &'m Gateway,
    server: &'m Server,
}

/// Answers somebody outside who asks a gateway.
pub fn route(
    mesh: &Mesh<'_>,
    namespace: &str,
    name: &str,
    sni: Option<&str>,
    request: &Request,
) -> Route {
    let Some((client, gateways)) = pods(mesh, namespace, name) else {
        return Route::direct(0, "", format!("there is no gateway {namespace}/{name}"));
    };
    let servers: Vec<Open<'_>> = gateways
        .iter()
        .flat_map(|gateway| gateway.servers.iter().map(move |server| Open { gateway, server }))
        .filter(|open| open.server.port == request.port)
        .collect();
    if servers.is_empty() {
        let reason = format!("connection refused: no server on port {}", request.port);
        return Route::direct(0, "", reason);
    }
    let view = View::gateway(&client);
    let tls = matches!(request.scheme.as_str(), "https" | "tls");
    if tls {
        return by_sni(mesh, &view, &servers, sni.unwrap_or(&request.host), request);
    }
    let plain: Vec<Open<'_>> =
        servers.iter().filter(|open| !open.server.is_tls()).copied().collect();
    if plain.is_empty() {
        return Route::direct(
            0,
            "NR",
            "filter_chain_not_found: plain text to a port that wants TLS",
        );
    }
    // Of several protocols on a port the oldest gateway's counts; servers of others are not served.
    let is_http = plain.first().is_some_and(|open| open.server.is_http());
    let served: Vec<Open<'_>> =
        plain.into_iter().filter(|open| open.server.is_http() == is_http).collect();
    if is_http {
        requests(mesh, &view, &served, request)
    } else {
        stream(mesh, &view, &served, request, false)
    }
}

/// The pods behind a name, as a client, and all gateways that select them.
fn pods<'m>(mesh: &'m Mesh<'_>, namespace: &str, name: &str) -> Option<(Client, Vec<&'m Gateway>)> {
    let named = mesh
        .istio
        .gateways
        .iter()
        .find(|gateway| gateway.head.namespace == namespace && gateway.head.name == name);
    let workloads = &mesh.cluster.workloads;
    let workload = match named {
        Some(gateway) if gateway.selector.is_empty() => None,
        Some(gateway) => workloads.iter().find(|pod| contains(&pod.labels, &gateway.selector)),
        None => workloads.iter().find(|pod| pod.namespace == namespace && pod.name == name),
    };
    let service = mesh.cluster.service(namespace, name).filter(|_| named.is_none());
    let labels = match (workload, service, named) {
        (Some(workload), ..) => workload.labels.clone(),
        (None, Some(service), _) => service.selector.clone()?,
        (None, None, Some(gateway)) => gateway.selector.clone(),
        (None, None, None) => return None,
    };
    let own = workload.map_or(namespace, |workload| workload.namespace.as_str());
    let client = Client {
        namespace: own.to_owned(),
        labels: labels.clone(),
        workload: workload.map(|workload| workload.name.clone()),
        has_proxy: true,
    };
    let selects = |gateway: &&Gateway| contains(&labels, &gateway.selector);
    Some((client, mesh.istio.gateways.iter().filter(selects).collect()))
}

/// The host of a server without its namespace part, if a virtual service of a namespace may use it.
fn server_host<'s>(open: &Open<'_>, text: &'s str, namespace: Option<&str>) -> Option<&'s str> {
    let Some((wanted, host)) = text.split_once('/') else { return Some(text) };
    let fits = namespace.is_none_or(|namespace| match wanted {
        "*" => true,
        "." => namespace == open.gateway.head.namespace,
        other => namespace == other,
    });
    fits.then_some(host)
}

/// How well a server covers a host; none if not.
fn covers(open: &Open<'_>, asked: &str) -> Option<(bool, usize)> {
    let hosts = open.server.hosts.iter().filter_map(|word| server_host(open, &word.text, None));
    hosts.filter(|host| host::within(asked, host)).map(host::rank).max()
}

/// TLS: the server by the hello's name, then requests, or the connection as it is.
fn by_sni(
    mesh: &Mesh<'_>,
    view: &View<'_>,
    servers: &[Open<'_>],
    sni: &str,
    request: &Request,
) -> Route {
    let tls = servers.iter().filter(|open| open.server.is_tls());
    let best = tls.filter_map(|open| Some((covers(open, sni)?, open)));
    let mut found: Option<((bool, usize), &Open<'_>)> = None;
    for (rank, open) in best {
        if found.is_none_or(|(before, _)| rank > before) {
            found = Some((rank, open));
        }
    }
    let Some((_, open)) = found else {
        let reason = format!("filter_chain_not_found: no server for TLS to `{sni}`");
        return Route::direct(0, "NR", reason);
    };
    if open.server.is_http() {
        requests(mesh, view, &[*open], request)
    } else {
        let mut asked = request.clone();
        sni.clone_into(&mut asked.host);
        stream(mesh, view, &[*open], &asked, true)
    }
}

/// The virtual services of some servers that meet a host, each with the most specific meeting host.
fn rules_for<'m>(
    mesh: &'m Mesh<'_>,
    view: &View<'_>,
    servers: &[Open<'_>],
    asked: &str,
) -> Vec<(&'m VirtualService, String)> {
    let mut best: Option<(bool, usize)> = None;
    let mut found: Vec<((bool, usize), &VirtualService, String)> = Vec::new();
    for service in &mesh.virtual_services {
        if !view.sees_rules(mesh, service) {
            continue;
        }
        let own = &service.head.namespace;
        for open in servers {
            let gateway = open.gateway.head.full();
            if !service.gateways.iter().any(|word| full_gateway(&word.text, own) == gateway) {
                continue;
            }
            let hosts =
                open.server.hosts.iter().filter_map(|w| server_host(open, &w.text, Some(own)));
            let meeting = hosts.flat_map(|served| {
                service.hosts.iter().filter_map(move |word| {
                    let wanted = host::full(&word.text, own);
                    meet(&wanted, served)
                })
            });
            let ranks =
                meeting.filter(|host| host::within(asked, host)).map(|host| host::rank(&host));
            if let Some(rank) = ranks.max() {
                best = best.max(Some(rank));
                if !found.iter().any(|(r, s, _)| *r == rank && s.head == service.head) {
                    found.push((rank, service, gateway));
                }
            }
        }
    }
    // Envoy picks the most specific host; only the rules of that host count.
    let top = found.into_iter().filter(|(rank, ..)| Some(*rank) == best);
    top.map(|(_, service, gateway)| (service, gateway)).collect()
}

/// The narrower of two hosts, if they meet.
fn meet(one: &str, other: &str) -> Option<String> {
    if host::within(one, other) {
        Some(one.to_owned())
    } else {
        host::within(other, one).then(|| other.to_owned())
    }
}

/// HTTP, or HTTPS whose TLS the gateway ends.
fn requests(mesh: &Mesh<'_>, view: &View<'_>, servers: &[Open<'_>], request: &Request) -> Route {
    let told_of = |open: &Open<'_>| format!("{}:{}", open.gateway.head.full(), open.server.port);
    let covering = servers.iter().filter(|open| covers(open, &request.authority).is_some());
    let mut covering: Vec<&Open<'_>> = covering.collect();
    covering.sort_by_key(|open| std::cmp::Reverse(covers(open, &request.authority)));
    let redirects = covering.iter().find(|open| {
        open.server.tls.as_ref().is_some_and(|tls| tls.https_redirect) && !open.server.is_tls()
    });
    if let Some(open) = redirects {
        let mut route = https(request);
        route.listener = Some(told_of(open));
        let at = open.server.tls.as_ref().map_or(open.server.at, |tls| tls.at);
        return route.because(format!("httpsRedirect of the server ({})", mesh.place(at)));
    }
    let found = rules_for(mesh, view, servers, &request.authority);
    let listener = covering.first().map(|open| told_of(open));
    for catch_all in [false, true] {
        for (service, gateway) in &found {
            let scope = Scope { gateway, port: request.port, view };
            let Some(mut route) = rules::answer_of(mesh, &scope, service, request, catch_all)
            else {
                continue;
            };
            route.listener = listener;
            return guarded(mesh, view, request, route);
        }
    }
    let mut route = Route::direct(404, "NR", "route_not_found");
    route.listener.clone_from(&listener);
    let told = if listener.is_none() {
        format!("no server on port {} has the host `{}`", request.port, request.authority)
    } else if found.is_empty() {
        format!("no VirtualService for `{}` is bound to this gateway", request.authority)
    } else {
        let names: Vec<String> = found.iter().map(|(service, _)| service.head.full()).collect();
        format!("no rule of VirtualService {} matches the request", names.join(", "))
    };
    route.because(told)
}

/// The gateway's own authorisation comes before its routes.
fn guarded(mesh: &Mesh<'_>, view: &View<'_>, request: &Request, mut route: Route) -> Route {
    let facts = Facts { principal: None, request: Some(request), port: request.port };
    let client = view.client;
    let decision = authorize::decide(mesh, &client.namespace, &client.labels, &facts);
    if let Some(direct) = decision.refused(mesh) {
        route.destinations.clear();
        route.mirrors.clear();
        route.direct = Some(direct);
    } else if let authorize::Decision::Custom(provider, at) = decision {
        route.notes.push(format!("`{provider}` decides first ({})", mesh.place(at)));
    }
    route
}

fn https(request: &Request) -> Route {
    let port = Some(request.port).filter(|port| *port != 80 && *port != 443);
    let written = port.map_or(String::new(), |port| format!(":{port}"));
    let path = request.target();
    let url = format!("https://{}{written}{path}", request.authority);
    let mut direct = Direct::new(301, "", "httpsRedirect");
    direct.headers.set("location", url.clone());
    let host = request.authority.clone();
    direct.location = Some(Location { scheme: "https".to_owned(), host, port, path, url });
    Route { direct: Some(direct), ..Route::default() }
}

/// TCP, or TLS that is passed on.
fn stream(
    mesh: &Mesh<'_>,
    view: &View<'_>,
    servers: &[Open<'_>],
    request: &Request,
    tls: bool,
) -> Route {
    for service in &mesh.virtual_services {
        let own = &service.head.namespace;
        for open in servers {
            let gateway = open.gateway.head.full();
            let bound =
                service.gateways.iter().any(|word| full_gateway(&word.text, own) == gateway);
            if !bound || !view.sees_rules(mesh, service) {
                continue;
            }
            let scope = Scope { gateway: &gateway, port: request.port, view };
            if let Some(mut route) = layer4::answer(mesh, &scope, service, request, tls) {
                route.listener = Some(format!("{gateway}:{}", open.server.port));
                return route;
            }
        }
    }
    Route::direct(
        0,
        "NR",
        "no TCP or TLS rule of a VirtualService for this server: the connection is closed",
    )
}
