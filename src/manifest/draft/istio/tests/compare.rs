//! Routes of drafts answer as `meshsim route` does.
//!
//! Requests are played on the draft's tables by the rules of docs/scenarios.md, and on the resolver.

use super::drafted;
use crate::manifest::draft::value::{Kind, Table, Value};
use crate::manifest::draft::{Draft, Service};
use crate::manifest::istio::mesh::Release;
use crate::manifest::loaded::Loaded;
use crate::manifest::object::Labels;
use crate::manifest::pattern::Pattern;
use crate::manifest::route::request::Request;
use crate::manifest::route::{Origin, Query, Route};
use std::collections::BTreeMap;

/// What is asked of a service of a scenario.
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    /// With its query.
    pub(super) path: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
}

impl Asked<'_> {
    fn request(&self, url: &str) -> Request {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let headers: Vec<(String, String)> = self.headers.iter().map(owned).collect();
        Request::to(self.method, url, &headers).unwrap()
    }
}

fn word(value: &Value) -> &str {
    match &value.kind {
        Kind::Text(text) => text,
        other => panic!("{other:?} is no text"),
    }
}

fn number(value: &Value) -> i64 {
    match &value.kind {
        Kind::Integer(number) => *number,
        other => panic!("{other:?} is no number"),
    }
}

fn table(value: &Value) -> &Table {
    match &value.kind {
        Kind::Table(table) => table,
        other => panic!("{other:?} is no table"),
    }
}

fn one_or_many(value: &Value) -> Vec<&Table> {
    match &value.kind {
        Kind::List(items) => items.iter().map(table).collect(),
        _ => vec![table(value)],
    }
}

fn regex(text: &str) -> Pattern {
    Pattern::new(text).unwrap()
}

fn is_like(wanted: &Table, value: Option<&str>) -> bool {
    let invert = wanted.get("invert").is_some();
    let get = |key| wanted.get(key).map(word);
    let plain = get("exact").is_none() && get("prefix").is_none() && get("regex").is_none();
    let Some(value) = value else { return plain && invert };
    let fits = get("exact").is_none_or(|text| text == value)
        && get("prefix").is_none_or(|text| value.starts_with(text))
        && get("regex").is_none_or(|text| regex(text).matches(value));
    fits != invert
}

fn fits(wanted: &Table, asked: &Asked<'_>, authority: &str) -> bool {
    let (path, query) = asked.path.split_once('?').unwrap_or((asked.path, ""));
    let header = |name: &str| {
        let found = asked.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    };
    let parameter = |name: &str| {
        let mut all = query.split('&').map(|one| one.split_once('=').unwrap_or((one, "")));
        all.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    wanted.iter().all(|(key, value)| match key {
        "path" => word(value) == path,
        "prefix" => path.starts_with(word(value)),
        "regex" => regex(word(value)).matches(path),
        "method" => word(value) == asked.method,
        "authority" => word(value) == header("host").unwrap_or(authority),
        "headers" => table(value).iter().all(|(name, one)| header(name) == Some(word(one))),
        "header" => one_or_many(value)
            .iter()
            .all(|one| is_like(one, header(word(one.get("name").unwrap())))),
        "parameter" => one_or_many(value).iter().all(|one| {
            let value = parameter(word(one.get("name").unwrap()));
            value.is_some() && is_like(one, value)
        }),
        other => panic!("`{other}` is no condition"),
    })
}

/// The first route that matches.
pub(super) fn first<'s>(service: &'s Service, asked: &Asked<'_>) -> Option<&'s Table> {
    service.routes.iter().find(|route| {
        let Some(matches) = route.get("match") else { return true };
        one_or_many(matches).iter().any(|one| fits(one, asked, &service.name))
    })
}

/// Destinations with their shares in millionths; what is not there is `NC`.
pub(super) fn shares(draft: &Draft<'_>, service: &Service, route: &Table) -> BTreeMap<String, i64> {
    let Some(weights) = route.get("weights") else {
        return BTreeMap::from([(service.name.clone(), 1_000_000)]);
    };
    let total: i64 = table(weights).iter().map(|(_, weight)| number(weight)).sum();
    let mut shares = BTreeMap::new();
    let has = |service: &Service, name: &str| {
        service.subsets.iter().any(|one| one.get("name").map(word) == Some(name))
            || service.workloads.iter().any(|one| one.version.as_deref() == Some(name))
    };
    let named = |name: &str| draft.services.iter().find(|one| one.name == name);
    for (key, weight) in table(weights).iter() {
        let other = key.rsplit_once('/').and_then(|(name, subset)| Some((named(name)?, subset)));
        let name = match other {
            _ if has(service, key) => format!("{}/{key}", service.name),
            Some((other, subset)) if has(other, subset) => key.to_owned(),
            _ if named(key).is_some() => key.to_owned(),
            _ => "NC".to_owned(),
        };
        *shares.entry(name).or_insert(0) += number(weight) * 1_000_000 / total;
    }
    shares
}

fn shares_of(draft: &Draft<'_>, route: &Route) -> BTreeMap<String, i64> {
    let mut shares = BTreeMap::new();
    for to in &route.destinations {
        let named = draft.names.service(&to.namespace, &to.service).unwrap_or(&to.service);
        let is_missing = to.failure.as_ref().is_some_and(|failure| failure.flag == "NC");
        let key = if is_missing {
            "NC".to_owned()
        } else {
            Service::destination(named, to.subset.as_deref())
        };
        #[expect(clippy::cast_possible_truncation, reason = "a share")]
        let share = (to.share * 1e6 + 0.5) as i64;
        *shares.entry(key).or_insert(0) += share;
    }
    shares
}

/// The path as a rewrite makes it.
fn rewritten(route: &Table, path: &str) -> String {
    let Some(rewrite) = route.get("rewrite").map(table) else { return path.to_owned() };
    let get = |key| rewrite.get(key).map(word);
    if let Some(whole) = get("path") {
        return whole.to_owned();
    }
    if let Some(prefix) = get("prefix") {
        let matched = one_or_many(route.get("match").unwrap());
        let old = word(matched[0].get("prefix").unwrap());
        return format!("{prefix}{}", path.strip_prefix(old).unwrap());
    }
    if let (Some(found), Some(new)) = (get("regex"), get("substitution")) {
        let new = new.replace("\\1", "${1}").replace("\\2", "${2}");
        return regex::Regex::new(found).unwrap().replace_all(path, new).into_owned();
    }
    path.to_owned()
}

/// How often each kind of answer was compared.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) sent: u32,
    pub(super) answered: u32,
}

/// Compares an answer of the resolver with a draft's.
pub(super) fn compare(
    draft: &Draft<'_>,
    service: &Service,
    asked: &Asked<'_>,
    route: &Route,
    count: &mut Count,
) {
    let told = || {
        format!("{} {} {:?} to {}\n{route}", asked.method, asked.path, asked.headers, service.name)
    };
    let found = first(service, asked);
    let status = |route: &Table| {
        let direct = route.get("direct_response").or(route.get("redirect"));
        direct.map(number)
    };
    if let Some(direct) = &route.direct {
        let ours = match found {
            None if service.routes.is_empty() => panic!("no routes: {}", told()),
            None => 404,
            Some(found) => status(found).unwrap_or(0),
        };
        assert_eq!(ours, i64::from(direct.status), "{}", told());
        count.answered += 1;
        return;
    }
    let default = Table::new();
    let found = if service.routes.is_empty() { Some(&default) } else { found };
    let Some(found) = found else { panic!("404: {}", told()) };
    let faulted = route.faults.iter().find(|fault| fault.status.is_some() && fault.share >= 1.0);
    if let Some(fault) = faulted {
        assert_eq!(status(found), fault.status.map(i64::from), "{}", told());
        count.answered += 1;
        return;
    }
    assert_eq!(status(found), None, "{}", told());
    assert_eq!(shares(draft, service, found), shares_of(draft, route), "{}", told());
    let timeout = route.timeout_ns.map(|ns| Value::duration(ns).kind);
    assert_eq!(found.get("timeout").map(|value| value.kind.clone()), timeout, "{}", told());
    let path = asked.path.split('?').next().unwrap();
    assert_eq!(rewritten(found, path), route.destinations[0].request.path, "{}", told());
    if let Some(own) = found.get("retries").map(table) {
        let attempts = own.get("attempts").map(number);
        let theirs = route.retries.as_ref().map_or(0, |retries| i64::from(retries.attempts));
        assert_eq!(attempts, Some(theirs), "{}", told());
    }
    let copies = found.get("mirror").map(one_or_many).unwrap_or_default();
    assert_eq!(copies.len(), route.mirrors.len(), "{}", told());
    count.sent += 1;
}

/// All requests of a grid to a service of Kubernetes from its own namespace.
pub(super) fn compare_mesh(loaded: &Loaded, draft: &Draft<'_>, grid: &Grid<'_>, count: &mut Count) {
    for service in &draft.services {
        let Some((namespace, name)) = &service.key else { continue };
        let Some(declared) = loaded.cluster.service(namespace, name) else { continue };
        let http = |port: &&crate::manifest::kubernetes::service::Port| {
            port.protocol.is_http()
                || port.protocol == crate::manifest::kubernetes::service::Protocol::Unknown
        };
        let Some(port) = declared.ports.iter().find(http) else { continue };
        // The host header picks the service before any rule is looked at.
        let has_host = |asked: &&Asked<'_>| asked.headers.iter().any(|(name, _)| *name == "host");
        for asked in grid.all().iter().filter(|asked| !has_host(asked)) {
            let url = format!("http://{name}.{namespace}:{}{}", port.number, asked.path);
            let request = asked.request(&url);
            let from = Origin::Mesh {
                namespace: namespace.clone(),
                workload: None,
                labels: Labels::new(),
            };
            let route = loaded.istio_route(&Query { from, request }, Release::default());
            compare(draft, service, asked, &route, count);
        }
    }
}

/// Requests of all combinations.
pub(super) struct Grid<'a> {
    pub(super) methods: &'a [&'a str],
    pub(super) paths: &'a [&'a str],
    pub(super) headers: &'a [&'a [(&'a str, &'a str)]],
}

impl<'a> Grid<'a> {
    pub(super) fn all(&self) -> Vec<Asked<'a>> {
        let mut all = Vec::new();
        for method in self.methods {
            for path in self.paths {
                for headers in self.headers {
                    all.push(Asked { method, path, headers });
                }
            }
        }
        all
    }
}

const SHOP: &str = include_str!("shop.yaml");

const GRID: Grid<'_> = Grid {
    methods: &["GET", "POST", "DELETE"],
    paths: &[
        "/",
        "/a",
        "/a/b",
        "/A/b",
        "/exact",
        "/exact/",
        "/re/12",
        "/re/x",
        "/old/1/2",
        "/q?page=1",
        "/q?page=",
        "/q",
        "/q?x=1&page=12",
        "/direct",
        "/gone",
        "/missing",
        "/mirror",
        "/del/x",
        "/del/y",
        "/abort",
        "/split",
        "/nc",
    ],
    headers: &[
        &[],
        &[("x-user", "anna")],
        &[("x-user", "otto"), ("x-beta", "yes")],
        &[("x-beta", "")],
        &[("host", "other.example")],
    ],
};

#[test]
fn routes_of_services_are_those_of_the_resolver() {
    let loaded = Loaded::read([("shop.yaml", SHOP.as_bytes())]);
    assert_eq!(loaded.manifests.findings.problems, []);
    let draft = drafted(&loaded);
    let mut count = Count::default();
    compare_mesh(&loaded, &draft, &GRID, &mut count);
    assert!(count.sent > 500 && count.answered > 50, "{count:?}");
}

#[test]
fn virtual_hosts_are_those_of_the_resolver() {
    let loaded = Loaded::read([("shop.yaml", SHOP.as_bytes())]);
    let draft = drafted(&loaded);
    let mut count = Count::default();
    let hosts = [
        ("shop.example.com", "https", 443, "shop.example.com"),
        ("plain.example.com", "http", 80, "plain.example.com"),
        ("wildcard.wild.example.com", "http", 80, "a.wild.example.com"),
        ("admin.example.com", "http", 80, "admin.example.com"),
    ];
    for (name, scheme, port, host) in hosts {
        let found = draft.services.iter().find(|one| one.name == name);
        let service = found.unwrap_or_else(|| panic!("no {name}"));
        for asked in GRID.all() {
            if asked.headers.iter().any(|(name, _)| *name == "host") {
                continue;
            }
            let url = format!("{scheme}://{host}:{port}{}", asked.path);
            let request = asked.request(&url);
            let (namespace, gateway) = ("istio-system".to_owned(), "front".to_owned());
            let from = Origin::Gateway { namespace, name: gateway, sni: None };
            let route = loaded.istio_route(&Query { from, request }, Release::default());
            compare(&draft, service, &asked, &route, &mut count);
        }
    }
    assert!(count.sent > 900 && count.answered > 10, "{count:?}");
}
