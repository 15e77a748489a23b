//! The rules of a virtual service: the first that matches a request, and what it does.
//!
//! Source: istio/istio `pilot/pkg/networking/core/route/route.go` (`BuildHTTPRoutesForVirtualService`,
//! `TranslateRouteMatch`, `translateRoute`, `sourceMatchHTTP`), `route/retry/retry.go`; Envoy's order of
//! filters: faults and cross-origin answers come before routing.
//! Left out: statistics; which try goes to which endpoint.

use crate::manifest::istio::action::Cors;
use crate::manifest::istio::matching::{HttpMatch, StringMatch};
use crate::manifest::istio::mesh::{Mesh, View};
use crate::manifest::istio::resilience::Retries;
use crate::manifest::istio::target;
use crate::manifest::istio::virtual_service::{HttpRoute, MESH, VirtualService};
use crate::manifest::route::request::{HeaderChanges, Request};
use crate::manifest::route::{self, Direct, Fault, Location, Route, RuleName};
use crate::manifest::selector::contains;

/// Where rules are read: by which gateway, on which port, for whom.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// `mesh`, or the gateway's `namespace/name`.
    pub gateway: &'a str,
    /// The port of the service, or of the gateway's server.
    pub port: u16,
    /// What the proxy sees.
    pub view: &'a View<'a>,
}

/// Conditions of Envoy's default retry policy in Istio.
pub const RETRY_DEFAULT: [&str; 4] =
    ["connect-failure", "refused-stream", "unavailable", "cancelled"];

/// What the first matching rule of a virtual service makes of a request.
pub fn answer(
    mesh: &Mesh<'_>,
    scope: &Scope<'_>,
    service: &VirtualService,
    request: &Request,
) -> Option<Route> {
    let (index, found) = first(scope, service, request, false)?;
    Some(act(mesh, scope, service, index, found, request))
}

/// The same with catch-all rules put last (`Some(false)`: only others, `Some(true)`: only those), as
/// gateways do when they merge virtual services of one host.
pub fn answer_of(
    mesh: &Mesh<'_>,
    scope: &Scope<'_>,
    service: &VirtualService,
    request: &Request,
    catch_all: bool,
) -> Option<Route> {
    let rules = service.http.iter().enumerate();
    for (index, rule) in rules {
        for found in conditions(rule) {
            let is_all = found.is_none_or(is_catch_all);
            if is_all == catch_all && applies(scope, service, found) && fits(found, request) {
                return Some(act(mesh, scope, service, index, found, request));
            }
        }
    }
    None
}

fn is_catch_all(found: &HttpMatch) -> bool {
    found.is_catch_all()
}

/// Whether any rule is for this gateway, port and client.
pub fn any_applies(scope: &Scope<'_>, service: &VirtualService) -> bool {
    let mut all = service.http.iter().flat_map(conditions);
    all.any(|found| applies(scope, service, found))
}

/// A rule's conditions; one that is always true if it has none.
pub fn conditions(rule: &HttpRoute) -> Vec<Option<&HttpMatch>> {
    if rule.matches.is_empty() { vec![None] } else { rule.matches.iter().map(Some).collect() }
}

/// The first rule whose conditions fit, with the condition.
fn first<'s>(
    scope: &Scope<'_>,
    service: &'s VirtualService,
    request: &Request,
    ignore_request: bool,
) -> Option<(usize, Option<&'s HttpMatch>)> {
    for (index, rule) in service.http.iter().enumerate() {
        for found in conditions(rule) {
            if applies(scope, service, found) && (ignore_request || fits(found, request)) {
                return Some((index, found));
            }
        }
    }
    None
}

/// What is decided when the proxy is configured: gateway, port, and who the client is.
pub fn applies(scope: &Scope<'_>, service: &VirtualService, found: Option<&HttpMatch>) -> bool {
    let Some(found) = found else { return true };
    let gateway_fits = found.gateways.is_empty()
        || found
            .gateways
            .iter()
            .any(|word| full_gateway(&word.text, &service.head.namespace) == scope.gateway);
    let client = scope.view.client;
    gateway_fits
        && found.port.is_none_or(|port| port == scope.port)
        && contains(&client.labels, &found.source_labels)
        && found.source_namespace.as_ref().is_none_or(|name| *name == client.namespace)
}

/// The `namespace/name` of a gateway as a virtual service names it.
pub fn full_gateway(name: &str, namespace: &str) -> String {
    if name == MESH || name.contains('/') { name.to_owned() } else { format!("{namespace}/{name}") }
}

/// What is decided for each request.
fn fits(found: Option<&HttpMatch>, request: &Request) -> bool {
    let Some(found) = found else { return true };
    let path_fits = found.uri.as_ref().is_none_or(|uri| {
        if found.ignore_case { uri.fits_any_case(&request.path) } else { uri.fits(&request.path) }
    });
    let is = |wanted: &Option<StringMatch>, value: &str| {
        wanted.as_ref().is_none_or(|wanted| wanted.fits(value))
    };
    let header = |name: &str| match name {
        ":authority" | "host" => Some(request.authority.clone()),
        ":method" => Some(request.method.clone()),
        ":path" => Some(request.target()),
        ":scheme" => Some(request.scheme.clone()),
        name => request.headers.get(name),
    };
    let headers_fit = found.headers.iter().all(|(name, wanted)| {
        !name.starts_with('@') && header(name).is_some_and(|value| wanted.fits(&value))
    });
    let without_fits = found
        .without
        .iter()
        .all(|(name, wanted)| !header(name).is_some_and(|value| wanted.fits(&value)));
    let query_fits = found
        .query
        .iter()
        .all(|(name, wanted)| request.query_value(name).is_some_and(|value| wanted.fits(&value)));
    path_fits
        && is(&found.scheme, &request.scheme)
        && is(&found.method, &request.method)
        && (is(&found.authority, &request.authority)
            || is(&found.authority, &format!("{}:{}", request.authority, request.port)))
        && headers_fit
        && without_fits
        && query_fits
}

/// The path that a condition matched, which a rewrite replaces.
fn matched_path<'r>(found: Option<&'r HttpMatch>, request: &'r Request) -> &'r str {
    match found.and_then(|found| found.uri.as_ref()) {
        Some(StringMatch::Prefix(prefix)) => prefix,
        Some(StringMatch::Exact(_) | StringMatch::Regex(..)) => &request.path,
        _ => "/",
    }
}

/// The words of a condition.
fn told(found: Option<&HttpMatch>) -> String {
    let Some(found) = found else { return "everything".to_owned() };
    let mut words = Vec::new();
    let single = [
        ("path", &found.uri),
        ("method", &found.method),
        ("scheme", &found.scheme),
        ("authority", &found.authority),
    ];
    for (name, value) in single {
        words.extend(value.as_ref().map(|value| format!("{name} {}", value.told())));
    }
    words.extend(
        found.headers.iter().map(|(name, value)| format!("header {name} {}", value.told())),
    );
    words.extend(
        found.without.iter().map(|(name, value)| format!("without header {name} {}", value.told())),
    );
    words.extend(found.query.iter().map(|(name, value)| format!("query {name} {}", value.told())));
    words.extend(found.port.map(|port| format!("port {port}")));
    if !found.source_labels.is_empty() {
        let labels = found.source_labels.iter().map(|(name, value)| format!("{name}={value}"));
        words.push(format!("clients with {}", labels.collect::<Vec<_>>().join(",")));
    }
    words.extend(found.source_namespace.as_ref().map(|name| format!("clients in {name}")));
    if words.is_empty() { "everything".to_owned() } else { words.join(", ") }
}

fn act(
    mesh: &Mesh<'_>,
    scope: &Scope<'_>,
    service: &VirtualService,
    index: usize,
    found: Option<&HttpMatch>,
    request: &Request,
) -> Route {
    let rule = &service.http[index];
    let at = found.map_or(rule.at, |found| found.at);
    let source = mesh.sources.place(at);
    let name = if rule.name.is_empty() { format!("http[{index}]") } else { rule.name.clone() };
    let mut route = Route {
        rule: Some(RuleName {
            object: format!("VirtualService {}", service.head.full()),
            rule: name,
            matches: told(found),
            file: source.file,
            line: source.line,
        }),
        response_headers: changes(&rule.headers.response),
        faults: faults(mesh, rule),
        ..Route::default()
    };
    if let Some(direct) =
        rule.cors.as_ref().and_then(|cors| cross_origin(cors, request, &mut route))
    {
        route.direct = Some(direct);
        return route;
    }
    if let Some(redirect) = &rule.redirect {
        let location = target::redirected(redirect, request, matched_path(found, request));
        route.direct = Some(redirect_answer(redirect.code, location));
        return route;
    }
    if let Some(direct) = &rule.direct {
        route.direct = Some(Direct::new(direct.status, "", "direct_response"));
        return route;
    }
    route.timeout_ns = rule.timeout_ns;
    route.per_try_timeout_ns = rule.retries.as_ref().and_then(|retries| retries.per_try_ns);
    route.retries = retries(mesh, rule.retries.as_ref());
    let upstream = target::upstream_request(rule, request, matched_path(found, request));
    target::destinations(mesh, scope, service, rule, &upstream, &mut route);
    route
}

fn redirect_answer(code: u16, location: Location) -> Direct {
    let mut direct = Direct::new(code, "", "redirected");
    direct.headers.set("location", location.url.clone());
    direct.location = Some(location);
    direct
}

/// Changes of headers in the words of the answer.
pub fn changes(changes: &crate::manifest::istio::action::HeaderChanges) -> HeaderChanges {
    HeaderChanges {
        set: changes.set.clone(),
        add: changes.add.clone(),
        remove: changes.remove.clone(),
    }
}

/// Parts per million as a share.
pub fn share(ppm: u32) -> f64 {
    f64::from(ppm) / 1e6
}

fn faults(mesh: &Mesh<'_>, rule: &HttpRoute) -> Vec<Fault> {
    let Some(fault) = &rule.fault else { return Vec::new() };
    let place = mesh.place(fault.at);
    let delay = fault.delay.map(|(time, ppm)| Fault {
        share: share(ppm),
        delay_ns: Some(time),
        status: None,
        place: place.clone(),
    });
    let grpc = fault.grpc_abort.as_ref().map(|(_, ppm)| (200, *ppm));
    let abort = fault.abort.or(grpc).map(|(status, ppm)| Fault {
        share: share(ppm),
        delay_ns: None,
        status: Some(status),
        place: place.clone(),
    });
    delay.into_iter().chain(abort).collect()
}

/// The retries of a route: its own, else the mesh's, else the release's default; none if 0 attempts.
pub fn retries(mesh: &Mesh<'_>, own: Option<&Retries>) -> Option<route::Retries> {
    let written = own.or(mesh.istio.mesh.retries.as_ref());
    let Some(written) = written else {
        return Some(route::Retries {
            attempts: 2,
            codes: mesh.release.default_retry_codes(),
            on: RETRY_DEFAULT.map(str::to_owned).to_vec(),
            backoff_ns: Some(25_000_000),
            place: format!("default of Istio {}", mesh.release),
        });
    };
    if written.attempts == 0 {
        return None;
    }
    let (mut codes, mut on) = (Vec::new(), Vec::new());
    match &written.retry_on {
        None => {
            codes = mesh.release.default_retry_codes();
            on = RETRY_DEFAULT.map(str::to_owned).to_vec();
        }
        Some(list) => {
            for word in list {
                match word.parse() {
                    Ok(code) => codes.push(code),
                    Err(_) => on.push(word.clone()),
                }
            }
        }
    }
    Some(route::Retries {
        attempts: written.attempts,
        codes,
        on,
        backoff_ns: Some(written.backoff_ns.unwrap_or(25_000_000)),
        place: mesh.place(written.at),
    })
}

/// The proxy's own answer to a preflight; headers that it adds to other answers.
fn cross_origin(cors: &Cors, request: &Request, route: &mut Route) -> Option<Direct> {
    let origin = request.headers.get("origin")?;
    let allowed = cors.origins.iter().any(|wanted| wanted.fits(&origin));
    let wanted = request.headers.get("access-control-request-method");
    let preflight = request.method == "OPTIONS" && wanted.is_some();
    if !allowed {
        return (preflight && cors.forward_unmatched == Some(false))
            .then(|| Direct::new(200, "", "preflight of an origin that is not allowed"));
    }
    let mut headers = vec![("access-control-allow-origin".to_owned(), origin)];
    if cors.credentials == Some(true) {
        headers.push(("access-control-allow-credentials".to_owned(), "true".to_owned()));
    }
    if !preflight {
        if !cors.expose.is_empty() {
            headers.push(("access-control-expose-headers".to_owned(), cors.expose.join(",")));
        }
        route.response_headers.set.extend(headers);
        return None;
    }
    for (name, list) in [("methods", &cors.methods), ("headers", &cors.headers)] {
        if !list.is_empty() {
            headers.push((format!("access-control-allow-{name}"), list.join(",")));
        }
    }
    if let Some(age) = cors.max_age_ns {
        let seconds = age / 1_000_000_000;
        headers.push(("access-control-max-age".to_owned(), seconds.to_string()));
    }
    let mut direct = Direct::new(200, "", "cors preflight");
    for (name, value) in headers {
        direct.headers.set(&name, value);
    }
    Some(direct)
}
