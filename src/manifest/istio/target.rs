//! Where a rule sends requests, and whether that place can answer.
//!
//! A destination is a cluster of the proxy: host, port and subset. If there is none: 503 NC; if it has
//! no endpoints: 503 UH. A subset is only there if a destination rule that counts for the client has it.
//! Source: istio/istio `route/route.go` (`GetDestinationCluster`, `processWeightedDestination`,
//! `applyRedirect`), `cluster_builder.go`; Envoy `RouteEntryImplBase::newUri`, `finalizePathHeader`.
//! Left out: which of a destination's endpoints is picked.

use crate::manifest::istio::action::{Destination as Wanted, Redirect, Rewrite};
use crate::manifest::istio::choose::{self, Chosen};
use crate::manifest::istio::host;
use crate::manifest::istio::mesh::{Mesh, View};
use crate::manifest::istio::registry::{self, From, Known};
use crate::manifest::istio::rules::{self, Scope};
use crate::manifest::istio::security;
use crate::manifest::istio::virtual_service::{HttpRoute, VirtualService};
use crate::manifest::kubernetes::service::Protocol;
use crate::manifest::route::request::Request;
use crate::manifest::route::{Destination, Direct, Location, Mirror, Route};

/// The request as a rule's rewrites and headers make it.
pub fn upstream_request(rule: &HttpRoute, request: &Request, matched: &str) -> Request {
    let mut upstream = request.clone();
    upstream.headers.change(&rules::changes(&rule.headers.request));
    take_authority(&mut upstream);
    if let Some(rewrite) = &rule.rewrite {
        rewritten(rewrite, &mut upstream, matched);
    }
    upstream
}

/// A `host` header that was set becomes the authority.
fn take_authority(request: &mut Request) {
    for name in ["host", ":authority"] {
        if let Some(value) = request.headers.get(name) {
            request.authority = value;
            request.headers.remove(name);
        }
    }
}

fn rewritten(rewrite: &Rewrite, request: &mut Request, matched: &str) {
    if let Some(authority) = &rewrite.authority {
        request.authority.clone_from(authority);
    }
    if let Some(uri) = &rewrite.uri {
        // The prefix is replaced as it is: `/a` by `/` makes `//b` of `/a/b`, as Envoy does.
        let rest = request.path.get(matched.len()..).unwrap_or("");
        request.path = format!("{uri}{rest}");
    }
    let compiled = rewrite.regex.as_ref().and_then(|(pattern, new)| {
        let regex = regex::RegexBuilder::new(pattern).size_limit(1 << 20).build().ok()?;
        Some((regex, new))
    });
    if let Some((regex, new)) = compiled {
        request.path = regex.replace_all(&request.path, re2_references(new)).into_owned();
    }
}

/// RE2 writes `\1`, this crate `${1}`.
fn re2_references(text: &str) -> String {
    let mut made = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some(digit)) if digit.is_ascii_digit() => {
                made.extend(["${", &digit.to_string(), "}"]);
                characters.next();
            }
            ('\\', Some('\\')) => {
                made.push('\\');
                characters.next();
            }
            ('$', _) => made.push_str("$$"),
            _ => made.push(character),
        }
    }
    made
}

/// Where a redirect leads.
pub fn redirected(redirect: &Redirect, request: &Request, matched: &str) -> Location {
    let scheme = redirect.scheme.clone().unwrap_or_else(|| request.scheme.clone());
    let own = if scheme == "https" { 443 } else { 80 };
    let host = redirect.authority.clone().unwrap_or_else(|| request.authority.clone());
    let port = match (redirect.port, redirect.request_port) {
        (Some(port), _) => Some(port),
        (None, true) => Some(request.port),
        // A host that is kept keeps its port, unless that was the old scheme's own.
        (None, false) if redirect.authority.is_none() => {
            let old_own = if request.scheme == "https" { 443 } else { 80 };
            Some(request.port).filter(|port| *port != old_own)
        }
        (None, false) => None,
    };
    let port = port.filter(|port| *port != own);
    let path = match redirect.uri.as_deref() {
        Some(uri) => match uri.strip_prefix("%PREFIX()%") {
            Some(new) => format!("{new}{}", request.path.get(matched.len()..).unwrap_or("")),
            None => uri.to_owned(),
        },
        None => request.path.clone(),
    };
    let path = match &request.query {
        Some(query) if !path.contains('?') => format!("{path}?{query}"),
        _ => path,
    };
    let written = port.map_or(String::new(), |port| format!(":{port}"));
    let url = format!("{scheme}://{host}{written}{path}");
    Location { scheme, host, port, path, url }
}

/// Fills in where a rule's requests and copies go.
pub fn destinations(
    mesh: &Mesh<'_>,
    scope: &Scope<'_>,
    service: &VirtualService,
    rule: &HttpRoute,
    upstream: &Request,
    route: &mut Route,
) {
    let namespace = &service.head.namespace;
    let single = rule.routes.len() == 1;
    for to in rule.routes.iter().filter(|to| single || to.weight > 0) {
        let mut request = upstream.clone();
        request.headers.change(&rules::changes(&to.headers.request));
        take_authority(&mut request);
        let weight = if single { to.weight.max(1) } else { to.weight };
        let found = find(mesh, scope.view, &to.destination, namespace, scope.port, &request);
        let mut destination = Destination { weight, request, ..found };
        destination.response_headers = rules::changes(&to.headers.response);
        route.destinations.push(destination);
    }
    route.share_by_weight();
    for mirror in &rule.mirrors {
        let to = find(mesh, scope.view, &mirror.destination, namespace, scope.port, upstream);
        route.mirrors.push(Mirror {
            share: rules::share(mirror.share_ppm),
            namespace: to.namespace,
            service: to.service,
            port: to.port,
            subset: to.subset,
            place: to.place,
        });
    }
    all_fail(route);
}

/// If no destination can answer, the answer is known: that of the first.
fn all_fail(route: &mut Route) {
    let mut reasons: Vec<String> = Vec::new();
    for failure in route.destinations.iter().filter_map(|to| to.failure.as_ref()) {
        if !reasons.contains(&failure.reason) {
            reasons.push(failure.reason.clone());
        }
    }
    route.why.extend(reasons);
}

/// The service's own route: what a request gets without any rules.
pub fn default_route(mesh: &Mesh<'_>, view: &View<'_>, known: &Known, request: &Request) -> Route {
    let known = mesh.registry.real(known);
    let port = request.port;
    let mut destination = place_of(known, port, &request.host);
    destination.weight = 1;
    destination.share = 1.0;
    destination.request = request.clone();
    destination.place = mesh.place(known.at);
    check(mesh, view, known, None, &mut destination);
    let http = known.protocol(port).is_none_or(|p| p.is_http() || p == Protocol::Unknown);
    let retries = if http { rules::retries(mesh, None) } else { None };
    let mut route = Route { destinations: vec![destination], retries, ..Route::default() };
    all_fail(&mut route);
    route
}

/// A destination that a rule names.
pub fn find(
    mesh: &Mesh<'_>,
    view: &View<'_>,
    wanted: &Wanted,
    namespace: &str,
    listener_port: u16,
    request: &Request,
) -> Destination {
    let full = host::full(&wanted.host.text, namespace);
    let client = &view.client.namespace;
    let known = mesh.registry.exact(&full, client);
    // A host inside of a wildcard entry is no cluster of its own: only the entry's host is.
    let port = wanted.port.unwrap_or_else(|| match known.map(|known| known.ports.as_slice()) {
        Some([(only, ..)]) => *only,
        _ => listener_port,
    });
    let place = mesh.place(wanted.host.at);
    let subset = wanted.subset.as_ref().map(|word| word.text.clone());
    let Some(known) = known else {
        let hint = if full.ends_with(host::DOMAIN) || !full.contains('.') {
            "no such Service"
        } else {
            "no such host in a ServiceEntry"
        };
        let reason = format!("cluster_not_found: `{full}` at {place}: {hint} is visible here");
        let failure = Some(Direct::new(503, "NC", reason));
        return Destination {
            service: full,
            port,
            subset,
            place,
            failure,
            ..Destination::default()
        };
    };
    let known = mesh.registry.real(known);
    let mut destination = place_of(known, port, &full);
    destination.request = request.clone();
    destination.subset = subset;
    destination.place = place;
    check(
        mesh,
        view,
        known,
        wanted.subset.as_ref().map(|word| word.text.as_str()),
        &mut destination,
    );
    destination
}

/// Names of a host and port, before anything is checked.
fn place_of(known: &Known, port: u16, asked: &str) -> Destination {
    let external = matches!(known.origin, From::Entry(_));
    let name = if known.host.starts_with('*') { asked } else { &known.name };
    Destination {
        namespace: if external { String::new() } else { known.namespace.clone() },
        service: name.to_owned(),
        port,
        protocol: known.protocol(port).map_or("", protocol_word).to_owned(),
        ..Destination::default()
    }
}

/// How the answer writes a protocol.
pub fn protocol_word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http1 | Protocol::Unknown => "http1",
        Protocol::Http2 => "http2",
        Protocol::Grpc => "grpc",
        Protocol::WebSocket => "websocket",
        Protocol::Tls => "tls",
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

/// Whether the cluster is there, has endpoints, and its servers let the client in.
fn check(
    mesh: &Mesh<'_>,
    view: &View<'_>,
    known: &Known,
    subset: Option<&str>,
    destination: &mut Destination,
) {
    let (port, place) = (destination.port, destination.place.clone());
    let fail = |status, flag, reason: String| Some(Direct::new(status, flag, reason));
    if known.protocol(port).is_none() {
        let ports: Vec<String> =
            known.ports.iter().map(|(number, ..)| number.to_string()).collect();
        let reason = format!(
            "cluster_not_found: {} has no port {port} ({place}), only {}",
            known.host,
            ports.join(", ")
        );
        destination.failure = fail(503, "NC", reason);
        return;
    }
    let chosen = choose::destination_rule(mesh.istio, view.client, &known.host, &known.namespace)
        .filter(|_| view.client.has_proxy);
    let found = subset.map(|name| (name, chosen.as_ref().and_then(|chosen| chosen.subset(name))));
    if let Some((name, None)) = found {
        let reason = missing_subset(mesh, chosen.as_ref(), name, &known.host, &place);
        destination.failure = fail(503, "NC", reason);
        return;
    }
    let group = found.and_then(|(_, subset)| subset);
    destination.labels = group.map(|subset| subset.labels.clone()).unwrap_or_default();
    let backing = registry::backing(mesh.cluster, mesh.istio, known, &destination.labels);
    destination.workloads = backing.workloads;
    if backing.endpoints == Some(0) {
        let selected = group.map_or_else(
            || format!("{} selects no pods ({})", known.host, mesh.place(known.at)),
            |subset| {
                format!("subset `{}` selects no pods ({})", subset.name, mesh.place(subset.at))
            },
        );
        destination.failure = fail(503, "UH", format!("no_healthy_upstream: {selected}"));
        return;
    }
    let policy = chosen.as_ref().and_then(|chosen| chosen.policy_for(group, port));
    let tls = policy.as_ref().and_then(|policy| policy.tls.as_ref());
    destination.failure = security::refusal(mesh, view, known, destination, tls);
}

fn missing_subset(
    mesh: &Mesh<'_>,
    chosen: Option<&Chosen>,
    name: &str,
    host: &str,
    place: &str,
) -> String {
    match chosen {
        None => format!(
            "cluster_not_found: subset `{name}` ({place}), and no DestinationRule for {host}"
        ),
        Some(chosen) => {
            let from: Vec<String> = chosen
                .from
                .iter()
                .map(|(rule, at)| format!("{rule} ({})", mesh.place(*at)))
                .collect();
            let rules = from.join(", ");
            format!(
                "cluster_not_found: subset `{name}` ({place}) is not in DestinationRule {rules}"
            )
        }
    }
}
