//! The draft's routes against the answers of `route`, and what small manifests become.
//!
//! Each draft is played by a few lines that know what proxies of scenarios do with routes. Requests are
//! made of the manifests' own matches, and must go to the same services in the same shares, with the same
//! limits, copies and changes, as the rules of the Gateway API or of Linkerd say.

use super::assumptions::Assumptions;
use super::gateway_api::{hosts, names_of};
use super::kubernetes::kubernetes;
use super::value::{Kind, Origin as Whence, Table, Value};
use super::{Draft, Service, draft};
use crate::manifest::gateway_api::gateway::Protocol;
use crate::manifest::gateway_api::hostname;
use crate::manifest::gateway_api::matching::{Match, PathMatch, TextMatch};
use crate::manifest::gateway_api::resolve::Differences;
use crate::manifest::loaded::Loaded;
use crate::manifest::meshes::Mesh;
use crate::manifest::object::Labels;
use crate::manifest::pattern::Pattern;
use crate::manifest::route::request::Request;
use crate::manifest::route::{Origin, Query, Route};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn drafted(loaded: &Loaded, mesh: Mesh) -> Draft<'_> {
    draft(loaded, mesh, &Assumptions::default())
}

// ---- what a proxy does with a draft's routes ----

/// Services, or a status, with their shares; limits of the request and of each try.
#[derive(PartialEq, Debug, Default)]
struct Outcome {
    shares: BTreeMap<String, String>,
    limits: [Option<u64>; 2],
    retries: Option<i64>,
    /// Where copies go, with their shares.
    copies: Vec<(String, String)>,
    /// The request as it goes to a lone destination.
    sent: Option<Upstream>,
}

/// Host, path and headers.
type Upstream = (String, String, BTreeMap<String, String>);

/// A request as it goes up.
fn sent(request: &Request) -> Upstream {
    let names = request.headers.0.iter().map(|(name, _)| name.to_ascii_lowercase());
    let headers = names.map(|name| (name.clone(), request.headers.get(&name).unwrap()));
    (request.authority.clone(), request.path.clone(), headers.collect())
}

/// What a route's `rewrite` and `headers` make of a request.
fn changed(route: &Table, request: &Request) -> Request {
    let mut request = request.clone();
    let rewrite = route.get("rewrite").and_then(table);
    let to = |key: &str| rewrite.and_then(|rewrite| text(rewrite.get(key)));
    if let Some(path) = to("path") {
        path.clone_into(&mut request.path);
    }
    if let Some(new) = to("prefix") {
        let matched = route.get("match").and_then(table).and_then(|one| text(one.get("prefix")));
        let rest = request.path.strip_prefix(matched.unwrap()).unwrap();
        request.path = format!("{new}{rest}");
    }
    if let Some(host) = to("authority") {
        host.clone_into(&mut request.authority);
    }
    let headers = route.get("headers").and_then(table);
    let of = |key: &str| headers.and_then(|headers| headers.get(key));
    for name in of("remove").map(list).unwrap_or_default() {
        request.headers.remove(text(Some(name)).unwrap());
    }
    for (name, value) in of("set").and_then(table).into_iter().flat_map(Table::iter) {
        request.headers.set(name, text(Some(value)).unwrap());
    }
    for (name, value) in of("add").and_then(table).into_iter().flat_map(Table::iter) {
        request.headers.add(name, text(Some(value)).unwrap());
    }
    request
}

fn share(value: Option<&Value>) -> String {
    let part = text(value).map_or(100.0, |text| text.trim_end_matches('%').parse().unwrap());
    format!("{:.4}", part / 100.0)
}

impl Outcome {
    fn status(status: i64) -> Self {
        let shares = BTreeMap::from([(status.to_string(), "1.0000".to_owned())]);
        Self { shares, ..Self::default() }
    }

    fn with(mut self, weights: &[(String, f64)]) -> Self {
        let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
        let mut shares: BTreeMap<&str, f64> = BTreeMap::new();
        for (name, weight) in weights.iter().filter(|(_, weight)| 0.0 < *weight) {
            *shares.entry(name).or_default() += weight / sum;
        }
        let text = |(name, share): (&str, f64)| (name.to_owned(), format!("{share:.4}"));
        self.shares = shares.into_iter().map(text).collect();
        self
    }
}

fn table(value: &Value) -> Option<&Table> {
    if let Kind::Table(table) = &value.kind { Some(table) } else { None }
}

fn list(value: &Value) -> &[Value] {
    match &value.kind {
        Kind::List(all) => all,
        _ => std::slice::from_ref(value),
    }
}

fn text(value: Option<&Value>) -> Option<&str> {
    match &value?.kind {
        Kind::Text(text) => Some(text),
        _ => None,
    }
}

fn integer(value: Option<&Value>) -> Option<i64> {
    if let Kind::Integer(number) = value?.kind { Some(number) } else { None }
}

fn nanoseconds(value: Option<&Value>) -> Option<u64> {
    let text = text(value)?;
    let cut = text.find(|c: char| !c.is_ascii_digit())?;
    let unit = match &text[cut..] {
        "h" => 3_600_000_000_000,
        "m" => 60_000_000_000,
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" => 1_000,
        _ => 1,
    };
    Some(text[..cut].parse::<u64>().ok()? * unit).filter(|ns| 0 < *ns)
}

fn is_like(wanted: &Table, value: Option<&str>) -> bool {
    let Some(value) = value else { return false };
    if let Some(exact) = text(wanted.get("exact")) {
        return value == exact;
    }
    if let Some(suffix) = text(wanted.get("suffix")) {
        return value.ends_with(suffix);
    }
    let regex = text(wanted.get("regex")).map(|regex| Pattern::new(regex).unwrap());
    regex.is_none_or(|regex| regex.matches(value))
}

/// Whether a request fits a match, and how well in Linkerd's order.
fn fits(one: &Table, request: &Request, authority: &str, mesh: Mesh) -> Option<[usize; 5]> {
    let get = |key: &str| text(one.get(key));
    let path = request.path.as_str();
    let length = match (get("path"), get("prefix"), get("regex")) {
        (Some(exact), ..) => (path == exact).then_some(exact.len())?,
        (_, Some(prefix), _) if mesh == Mesh::Linkerd => {
            let prefix = prefix.trim_end_matches('/');
            let rest = path.strip_prefix(prefix)?;
            (rest.is_empty() || rest.starts_with('/')).then_some(prefix.len())?
        }
        (_, Some(prefix), _) => path.starts_with(prefix).then_some(prefix.len())?,
        (.., Some(regex)) => Pattern::new(regex).unwrap().matches(path).then_some(path.len())?,
        _ => 1,
    };
    let exact = one.get("headers").and_then(table);
    let exact = exact.into_iter().flat_map(Table::iter);
    let mut exact = exact.map(|(name, value)| (name, text(Some(value)).unwrap()));
    let header = |name: &str| match name {
        "host" => Some(request.authority.clone()),
        _ => request.headers.get(name),
    };
    let all = |key: &str| {
        let all = one.get(key).map(list).unwrap_or_default();
        all.iter().filter_map(table).collect::<Vec<&Table>>()
    };
    let named = |of: &Table| text(of.get("name")).unwrap().to_owned();
    let (headers, parameters) = (all("header"), all("parameter"));
    let count = headers.len() + one.get("headers").and_then(table).map_or(0, |t| t.iter().count());
    let is_it = get("method").is_none_or(|method| method == request.method)
        && get("authority").is_none_or(|host| host == authority)
        && exact.all(|(name, value)| header(name).as_deref() == Some(value))
        && headers.iter().all(|of| is_like(of, header(&named(of)).as_deref()))
        && parameters.iter().all(|of| is_like(of, request.query_value(&named(of)).as_deref()));
    let host = get("authority").map_or(0, |host| 1000 + host.len());
    let method = usize::from(get("method").is_some());
    is_it.then_some([host, length, count, parameters.len(), method])
}

/// The first route that matches, or in Linkerd the best one.
fn taken<'d>(service: &'d Service, request: &Request, own: &str, mesh: Mesh) -> Option<&'d Table> {
    let ranked = service.routes.iter().filter_map(|route| {
        let Some(all) = route.get("match").map(list) else { return Some(([0; 5], route)) };
        let fit = all.iter().filter_map(table).filter_map(|one| fits(one, request, own, mesh));
        Some((fit.max()?, route))
    });
    let better = |a: ([usize; 5], &'d Table), b: ([usize; 5], &'d Table)| {
        if mesh == Mesh::Linkerd && a.0 < b.0 { b } else { a }
    };
    ranked.reduce(better).map(|(_, route)| route)
}

fn copies(route: &Table) -> Vec<(String, String)> {
    let all = route.get("mirror").map(list).unwrap_or_default().iter().filter_map(table);
    all.map(|one| (text(one.get("to")).unwrap().to_owned(), share(one.get("share")))).collect()
}

fn play(draft: &Draft<'_>, service: &str, request: &Request, mesh: Mesh) -> Outcome {
    let own = draft.services.iter().find(|one| one.name == service).unwrap();
    if own.routes.is_empty() {
        return Outcome::default().with(&[(service.to_owned(), 1.0)]);
    }
    let is_own = request.authority.split('.').next() == Some(service);
    let authority = if is_own { service } else { request.authority.as_str() };
    let Some(route) = taken(own, request, authority, mesh) else { return Outcome::status(404) };
    let answer = route.get("direct_response").or(route.get("redirect"));
    if let Some(status) = integer(answer) {
        return Outcome::status(status);
    }
    let retries = route.get("retries").or(route.get("retry")).and_then(table);
    let of_retries = |key: &str| retries.and_then(|retries| retries.get(key));
    let timeouts = route.get("timeouts").and_then(table);
    let request_limit = route.get("timeout").or(timeouts.and_then(|all| all.get("request")));
    let outcome = Outcome {
        limits: [
            nanoseconds(request_limit),
            nanoseconds(of_retries("per_try_timeout").or(of_retries("timeout"))),
        ],
        retries: integer(of_retries("attempts").or(of_retries("limit"))),
        copies: copies(route),
        ..Outcome::default()
    };
    let sent = Some(sent(&changed(route, request)));
    let Some(weights) = route.get("weights").and_then(table) else {
        return Outcome { sent, ..outcome }.with(&[(service.to_owned(), 1.0)]);
    };
    let sent = sent.filter(|_| weights.iter().count() == 1);
    let outcome = Outcome { sent, ..outcome };
    let is_alone = weights.iter().count() == 1 && mesh == Mesh::Linkerd;
    let weights = weights.iter().map(|(key, weight)| {
        let is_known = draft.services.iter().any(|one| one.name == *key);
        let weight = if is_alone { 1.0 } else { integer(Some(weight)).unwrap() as f64 };
        (if is_known { key } else { "500" }.to_owned(), weight)
    });
    outcome.with(&weights.collect::<Vec<_>>())
}

// ---- what `route` says ----

fn said(draft: &Draft<'_>, route: &Route) -> Outcome {
    if let Some(direct) = &route.direct {
        return Outcome::status(direct.status.into());
    }
    let outcome = Outcome {
        limits: [route.timeout_ns, route.per_try_timeout_ns],
        retries: route.retries.as_ref().map(|retries| i64::from(retries.attempts)),
        ..Outcome::default()
    };
    let is_alone = route.destinations.len() == 1;
    let named = |namespace: &str, service: &str| {
        draft.names.service(namespace, service).unwrap_or(service).to_owned()
    };
    let copies = route.mirrors.iter().filter(|copy| 0.0 < copy.share);
    let copies = copies
        .map(|copy| (named(&copy.namespace, &copy.service), format!("{:.4}", copy.share)))
        .collect();
    let alone = route.destinations.first().filter(|_| is_alone);
    let sent = alone.map(|to| sent(&to.request));
    let outcome = Outcome { copies, sent, ..outcome };
    let weights: Vec<(String, f64)> = route
        .destinations
        .iter()
        .map(|to| {
            let name = draft.names.service(&to.namespace, &to.service).unwrap_or(&to.service);
            let status = to.failure.as_ref().map(|failure| failure.status);
            let status = status.filter(|status| *status == 500 || (300..400).contains(status));
            let weight = if is_alone { 1.0 } else { f64::from(to.weight) };
            let is_there = draft.services.iter().any(|one| one.name == name);
            let status = if is_there { status } else { Some(500) };
            (status.map_or(name.to_owned(), |status| status.to_string()), weight)
        })
        .collect();
    let outcome = outcome.with(&weights);
    let mut alone = outcome.shares.keys();
    match (alone.next().map(|name| name.parse::<i64>()), alone.next()) {
        // Nothing goes up: limits say nothing.
        (Some(Ok(status)), None) => Outcome::status(status),
        _ => outcome,
    }
}

// ---- requests ----

/// Requests that fit a match, and some that nearly do: method, target and headers.
fn asked(one: &Match) -> Vec<Sending> {
    let paths = match &one.path {
        PathMatch::Exact(path) => vec![path.clone(), format!("{path}/"), format!("{path}x")],
        PathMatch::Prefix(path) => {
            vec![format!("{path}/"), path.clone(), format!("{path}/x"), format!("{path}x")]
        }
        PathMatch::Regex(_) => vec!["/".into(), "/v1/a".into(), "/a".into(), "/com.Foo/Bar".into()],
    };
    let value = |value: &TextMatch| match value {
        TextMatch::Exact(text) => text.clone(),
        TextMatch::Regex(_) => "dev".to_owned(),
    };
    let headers: Vec<_> =
        one.headers.iter().map(|field| (field.name.clone(), value(&field.value))).collect();
    let query: Vec<_> =
        one.query.iter().map(|field| format!("{}={}", field.name, value(&field.value))).collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let mut all = Vec::new();
    for path in paths.into_iter().chain(["/".into(), "/nothing/else".into()]) {
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        for method in [one.method.as_deref().unwrap_or("GET"), "POST", "DELETE"] {
            all.push((method.to_owned(), format!("{path}{query}"), headers.clone()));
            all.push((method.to_owned(), path.clone(), Vec::new()));
        }
    }
    all
}

/// Method, target and headers.
type Sending = (String, String, Vec<(String, String)>);
type Sent = BTreeSet<Sending>;

/// Compares all answers; how many were compared.
fn compare_gateways(loaded: &Loaded, name: &str) -> usize {
    let mut count = 0;
    let mesh = Mesh::GatewayApi;
    let mut begun = Draft::new(loaded, mesh);
    kubernetes(&mut begun);
    let hosts = hosts(loaded);
    let names = names_of(&hosts, loaded, &begun);
    let draft = drafted(loaded, mesh);
    for (gateway, own) in loaded.gateway_api.gateways.iter().enumerate() {
        for (listener, of) in own.listeners.iter().enumerate() {
            let table = loaded.tables.listeners.get(&(gateway, listener));
            let table = table.map_or(&[][..], Vec::as_slice);
            let mut sent = Sent::new();
            for entry in table {
                let concrete = match entry.hostname.as_str() {
                    "" | "*" => "some.where.else".to_owned(),
                    host => host.replace('*', "a"),
                };
                for (method, target, headers) in asked(entry.of(&loaded.gateway_api).2) {
                    sent.insert((method, format!("{concrete}\t{target}"), headers));
                }
            }
            for (method, target, headers) in sent {
                let (host, target) = target.split_once('\t').unwrap();
                let scheme = if of.protocol == Protocol::Https { "https" } else { "http" };
                let url = format!("{scheme}://{host}:{}{target}", of.port);
                let Ok(request) = Request::to(&method, &url, &headers) else { continue };
                let from = Origin::Gateway {
                    namespace: own.namespace.clone(),
                    name: own.name.clone(),
                    sni: None,
                };
                let query = Query { from, request };
                let route = loaded.route(&query, Differences::SPECIFIED);
                let served = hosts.iter().zip(&names).filter(|(one, _)| {
                    one.gateway == own
                        && one.port == of.port
                        && hostname::matches(one.hostname, host)
                });
                let best = served.max_by_key(|(one, _)| hostname::rank(one.hostname));
                let Some((best, service)) = best else { continue };
                if best.is_tls != (scheme == "https") {
                    continue;
                }
                let played = play(&draft, service, &query.request, mesh);
                let wanted = said(&draft, &route);
                assert_eq!(
                    played, wanted,
                    "{name}: {method} {url} {headers:?} at {service}\n{route}"
                );
                count += 1;
            }
        }
    }
    count
}

fn compare_mesh(loaded: &Loaded, name: &str, mesh: Mesh) -> usize {
    let draft = drafted(loaded, mesh);
    let mut count = 0;
    let routes = loaded.gateway_api.routes.iter();
    let own = loaded.linkerd.routes.http.iter().map(|of| &of.route);
    let matches = routes.chain(own).flat_map(|route| &route.rules).flat_map(|rule| &rule.matches);
    let sent: Sent = matches.flat_map(asked).collect();
    for service in loaded.cluster.services.values() {
        let key = (service.namespace.clone(), service.name.clone());
        let bound = loaded.tables.services.get(&key).into_iter().flatten();
        let mut routes = bound.map(|entry| &loaded.gateway_api.routes[entry.route].namespace);
        if !routes.all(|namespace| *namespace == service.namespace) {
            // The draft has the view of one namespace only.
            continue;
        }
        // The draft has the routes of the first port that has some.
        let compared = service.ports.iter().map(|port| {
            let at_port: Vec<(Query, Route)> = sent
                .iter()
                .filter_map(|sent| asked_in_mesh(loaded, mesh, &key, port.number, sent))
                .collect();
            compare_port(&draft, name, mesh, &key, &at_port)
        });
        count += compared.into_iter().find(|count| 0 < *count).unwrap_or(0);
    }
    count
}

fn asked_in_mesh(
    loaded: &Loaded,
    mesh: Mesh,
    (namespace, name): &(String, String),
    port: u16,
    (method, target, headers): &Sending,
) -> Option<(Query, Route)> {
    let url = format!("http://{name}.{namespace}.svc.cluster.local:{port}{target}");
    let request = Request::to(method, &url, headers).ok()?;
    let namespace = namespace.clone();
    let from = Origin::Mesh { namespace, workload: None, labels: Labels::new() };
    let query = Query { from, request };
    let route = match mesh {
        Mesh::Linkerd => loaded.linkerd_route(&query),
        _ => loaded.route(&query, Differences::SPECIFIED),
    };
    Some((query, route))
}

/// Compares the answers at a port where a route decides something; how many.
fn compare_port(
    draft: &Draft<'_>,
    name: &str,
    mesh: Mesh,
    key: &(String, String),
    answers: &[(Query, Route)],
) -> usize {
    let is_http = |route: &Route| {
        let object = route.rule.as_ref().map_or("", |rule| rule.object.as_str());
        object.starts_with("HTTPRoute") || object.starts_with("GRPCRoute")
    };
    // Connections, profiles and splits are another part's.
    if !answers.iter().any(|(_, route)| is_http(route)) {
        return 0;
    }
    let own = draft.names.service(&key.0, &key.1).unwrap();
    if !draft.services.iter().any(|one| one.name == own) {
        return 0;
    }
    let annotated = draft.loaded.linkerd.services.contains_key(key) && mesh == Mesh::Linkerd;
    let is_grpc = answers.iter().any(|(_, route)| {
        route.rule.as_ref().is_some_and(|rule| rule.object.starts_with("GRPCRoute"))
    });
    for (query, route) in answers {
        // What does not name a service and a method alone is no request of gRPC.
        if mesh == Mesh::Linkerd && is_grpc && query.request.path.split('/').count() != 3 {
            continue;
        }
        let mut played = play(draft, own, &query.request, mesh);
        let wanted = said(draft, route);
        if annotated {
            // What a route leaves to the Service is another part's.
            (played.limits, played.retries) = (wanted.limits, wanted.retries);
        }
        let request = &query.request;
        assert_eq!(played, wanted, "{name} {mesh:?}: {request} {:?}\n{route}", request.headers);
    }
    answers.len()
}

fn yaml_below(folder: &Path, depth: u32, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && 0 < depth {
            yaml_below(&path, depth - 1, found);
        } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
            found.push(path);
        }
    }
}

const INPUTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/inputs");

fn files(of: &str) -> Vec<(String, Vec<u8>)> {
    let mut paths = Vec::new();
    yaml_below(&Path::new(INPUTS).join(of), 8, &mut paths);
    let read = |path: PathBuf| Some((path.display().to_string(), std::fs::read(&path).ok()?));
    paths.into_iter().filter_map(read).collect()
}

#[expect(clippy::print_stderr, reason = "a test says that it compared nothing")]
fn skipped(what: &str) {
    eprintln!("the {what} are not here: nothing was compared");
}

#[test]
fn conformance_manifests_go_where_route_says() {
    let files = files("gateway-api-conformance");
    if files.is_empty() {
        return skipped("conformance manifests");
    }
    let is_base = |name: &str| name.ends_with("base-manifests.yaml");
    let is_mesh = |name: &str| name.contains("/mesh/");
    let mut count = [0; 3];
    for (name, bytes) in files.iter().filter(|(name, _)| !is_base(name)) {
        let base = files.iter().filter(|(base, _)| is_base(base) && is_mesh(base) == is_mesh(name));
        let base = base.map(|(base, bytes)| (base.as_str(), bytes.as_slice()));
        let loaded = Loaded::read(base.chain([(name.as_str(), bytes.as_slice())]));
        count[0] += compare_gateways(&loaded, name);
        count[1] += compare_mesh(&loaded, name, Mesh::GatewayApi);
        count[2] += compare_mesh(&loaded, name, Mesh::Linkerd);
    }
    assert!(count.iter().all(|count| 100 < *count), "{count:?}");
}

#[test]
fn samples_of_all_meshes_do_not_panic() {
    let (mut count, mut compared) = (0, 0);
    for folder in ["istio-samples", "linkerd-samples", "gateway-api-conformance"] {
        let files = files(folder);
        for (name, bytes) in &files {
            let loaded = Loaded::read([(name.as_str(), bytes.as_slice())]);
            for mesh in [Mesh::Istio, Mesh::Linkerd, Mesh::GatewayApi] {
                count += drafted(&loaded, mesh).services.len();
            }
            compared += compare_gateways(&loaded, name);
            compared += compare_mesh(&loaded, name, Mesh::GatewayApi);
            compared += compare_mesh(&loaded, name, Mesh::Linkerd);
        }
        let all = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        let loaded = Loaded::read(all);
        for mesh in [Mesh::Istio, Mesh::Linkerd, Mesh::GatewayApi] {
            count += drafted(&loaded, mesh).services.len();
        }
    }
    if count == 0 {
        return skipped("samples");
    }
    assert!(100 < compared, "{compared}");
}

// ---- what small manifests become ----

/// A value with where it comes from: `@line`, or `# assumed`.
fn print(value: &Value, shop: u32, out: &mut String) {
    match &value.kind {
        Kind::Text(text) => {
            let _ = write!(out, "{text:?}");
        }
        Kind::Integer(number) => {
            let _ = write!(out, "{number}");
        }
        Kind::Float(number) => {
            let _ = write!(out, "{number}");
        }
        Kind::Bool(flag) => {
            let _ = write!(out, "{flag}");
        }
        Kind::List(all) => {
            out.push('[');
            for (index, one) in all.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                print(one, shop, out);
            }
            out.push(']');
        }
        Kind::Table(table) => {
            out.push_str("{ ");
            for (index, (key, one)) in table.iter().enumerate() {
                let _ = write!(out, "{}{key:?} = ", if index == 0 { "" } else { ", " });
                print(one, shop, out);
            }
            out.push_str(" }");
        }
    }
    match &value.origin {
        Whence::Written(at) if shop < at.line => {
            let _ = write!(out, "@{}", at.line - shop);
        }
        Whence::Assumed(_) => out.push_str("@assumed"),
        _ => {}
    }
}

/// Services, hosts and filters as TOML with places; `plain` without them.
fn printed(draft: &Draft<'_>, shop: u32) -> String {
    let mut out = String::new();
    let with_routes = |one: &&Service| {
        let is_written = one.routes.iter().any(|route| !route.is_empty());
        is_written || one.table.get("traffic_split").is_some()
    };
    for service in draft.services.iter().filter(with_routes) {
        let name = Value::text(service.name.as_str()).at_some(service.at);
        out.push_str("[service] ");
        print(&name, shop, &mut out);
        out.push('\n');
        if let Some(split) = service.table.get("traffic_split") {
            out.push_str("  traffic_split = ");
            print(split, shop, &mut out);
            out.push('\n');
        }
        for route in &service.routes {
            for (index, (key, value)) in route.iter().enumerate() {
                let _ = write!(out, "  {}{key} = ", if index == 0 { "" } else { "  " });
                print(value, shop, &mut out);
                out.push('\n');
            }
        }
    }
    for filter in &draft.filters {
        out.push_str("[filter] ");
        print(&Value::from(filter.clone()), shop, &mut out);
        out.push('\n');
    }
    let of_routes = |field: &str| {
        ["Route.", "Gateway.", "BackendTLSPolicy."].iter().any(|part| field.contains(part))
    };
    for (field, ignored) in draft.findings.ignored.iter().filter(|(field, _)| of_routes(field)) {
        let line = ignored.place.line.saturating_sub(shop);
        let _ = writeln!(out, "ignored @{line} {field} ×{}: {}", ignored.count, ignored.why);
    }
    out
}

const SHOP: &str = include_str!("gateway_api_shop.yaml");

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manifest/draft/tests/gateway_api_cases.txt")
}

/// The golden file holds both: after `### name (mesh)` the manifests, which stand behind those of the
/// shop, after `==>` what they become. `@` is the line in the case. `UPDATE=1` writes it anew.
#[test]
fn manifests_become_routes() {
    let text = std::fs::read_to_string(golden()).unwrap();
    let shop = u32::try_from(SHOP.lines().count()).unwrap();
    let mut written = String::new();
    for case in text.split("### ").skip(1) {
        let (title, rest) = case.split_once('\n').unwrap();
        let manifest = rest.split("\n==>\n").next().unwrap().trim_end();
        let all = format!("{SHOP}{manifest}\n");
        let loaded = Loaded::read([("a.yaml", all.as_bytes())]);
        let meshes = [Mesh::Istio, Mesh::Linkerd, Mesh::GatewayApi];
        let mesh = meshes.into_iter().find(|mesh| title.ends_with(&format!("({})", mesh.word())));
        let mesh = mesh.unwrap();
        let draft = drafted(&loaded, mesh);
        assert_eq!(loaded.manifests.findings.problems, [], "{title}");
        let _ = writeln!(written, "### {title}\n{manifest}\n==>\n{}", printed(&draft, shop));
        if mesh == Mesh::GatewayApi {
            compare_gateways(&loaded, title);
        }
        if mesh != Mesh::Istio {
            compare_mesh(&loaded, title, mesh);
        }
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(golden(), &written).unwrap();
        return;
    }
    for (known, now) in text.split("### ").zip(written.split("### ")) {
        assert_eq!(known.trim_end(), now.trim_end(), "UPDATE=1 writes it anew");
    }
}

/// Values that hardly fit anywhere.
const ODD: &[&str] =
    &["", "~", "[]", "{}", "''", "-1", "99999999999", "1.5", "[{a: b}]", "{a: {b: c}}", "é"];

/// Each value of a flow map or list in turn is replaced by an odd one: drafts are made all the same, and
/// whatever was read goes where `route` says.
#[test]
fn odd_manifests_are_drafted_without_a_crash() {
    if std::env::var_os("UPDATE").is_some() {
        // The cases are being written.
        return;
    }
    let text = std::fs::read_to_string(golden()).unwrap();
    let mut runs = 0;
    for case in text.split("### ").skip(1) {
        let (title, rest) = case.split_once('\n').unwrap();
        let manifest = rest.split("\n==>\n").next().unwrap().trim_end();
        let colons = manifest.match_indices(": ").map(|(at, _)| at + 2);
        for start in colons.step_by(3) {
            let length = manifest[start..].find([',', '}', ']', '\n']).unwrap_or(0);
            let odd = ODD[runs % ODD.len()];
            let mutated = [&manifest[..start], odd, &manifest[start + length..]].concat();
            let all = format!("{SHOP}{mutated}\n");
            let loaded = Loaded::read([("a.yaml", all.as_bytes())]);
            for mesh in [Mesh::Istio, Mesh::Linkerd, Mesh::GatewayApi] {
                assert!(!drafted(&loaded, mesh).services.is_empty(), "{title}");
            }
            compare_gateways(&loaded, &mutated);
            runs += 1;
        }
    }
    assert!(200 < runs, "{runs}");
}
