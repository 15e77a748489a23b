//! Which rule of several routes takes a request, in Linkerd's order.
//!
//! Best is the longest host, then the longest path, whichever kind of match it is; then most headers,
//! most query parameters, a method. The first of equals wins: routes come oldest first, then by name.
//! gRPC goes by the lengths of service and method, then by headers, and only for `POST`.
//! Source: linkerd2-proxy `linkerd/http/route/src/lib.rs` (`find`, `best`), `http/match.rs`,
//! `http/match/path.rs` (a regex counts as the whole path), `http/match/host.rs`, `grpc/match.rs`;
//! linkerd2 `policy-controller/grpc/src/outbound.rs` (`timestamp_then_name`).
//! Left out: several conditions on one header (the reader keeps the first of equal names).

use crate::manifest::gateway_api::matching::{FieldMatch, Match, PathMatch, TextMatch};
use crate::manifest::linkerd::routes::RouteOf;
use crate::manifest::pattern::Pattern;
use crate::manifest::reader::Word;
use crate::manifest::route::request::Request;
use regex::Regex;

/// How good a match is; greater is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Rank {
    /// Whether the host is named in full, and the length that matched; none if the route names none.
    host: Option<(bool, usize)>,
    /// Lengths and counts, the most important one first.
    parts: [usize; 4],
}

/// The rule that takes a request: the route, the rule's index in it and the match's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken<'a> {
    /// The route.
    pub route: &'a RouteOf,
    /// The rule's index.
    pub rule: usize,
    /// The index of the match in the rule.
    pub matched: usize,
}

/// The rule that takes a request; routes come in their order.
pub fn find<'a>(
    routes: &[&'a RouteOf],
    request: &Request,
    method_before_headers: bool,
) -> Option<Taken<'a>> {
    let mut best: Option<(Rank, Taken<'a>)> = None;
    for route in routes {
        let Some(host) = host_rank(&route.route.hostnames, &request.authority) else { continue };
        for (rule, of) in route.route.rules.iter().enumerate() {
            for (matched, one) in of.matches.iter().enumerate() {
                let parts = if route.route.is_grpc {
                    grpc_parts(one, request)
                } else {
                    http_parts(one, request, method_before_headers)
                };
                let Some(parts) = parts else { continue };
                let rank = Rank { host, parts };
                if best.as_ref().is_none_or(|(known, _)| *known < rank) {
                    best = Some((rank, Taken { route, rule, matched }));
                }
            }
        }
    }
    best.map(|(_, taken)| taken)
}

/// `None` if the route is for other hosts; `Some(None)` if it is for all.
pub fn host_rank(hostnames: &[Word], host: &str) -> Option<Option<(bool, usize)>> {
    if hostnames.is_empty() {
        return Some(None);
    }
    let rank = |name: &Word| {
        let own = if name.text.ends_with('.') { host } else { host.trim_end_matches('.') };
        match name.text.strip_prefix('*').filter(|suffix| suffix.starts_with('.')) {
            Some(suffix) => {
                let has = own.len() > suffix.len()
                    && own.to_ascii_lowercase().ends_with(&suffix.to_ascii_lowercase());
                has.then_some((false, suffix.len()))
            }
            None => name.text.eq_ignore_ascii_case(own).then_some((true, name.text.len())),
        }
    };
    hostnames.iter().filter_map(rank).max().map(Some)
}

fn http_parts(one: &Match, request: &Request, method_before_headers: bool) -> Option<[usize; 4]> {
    let has_method = one.method.is_some();
    if one.method.as_ref().is_some_and(|method| *method != request.method) {
        return None;
    }
    let path = path_length(&one.path, &request.path)?;
    if !one.headers.iter().all(|header| has_header(header, request)) {
        return None;
    }
    let has_query = |field: &FieldMatch| {
        request.query_value(&field.name).is_some_and(|value| is_text(&field.value, &value))
    };
    if !one.query.iter().all(has_query) {
        return None;
    }
    let (headers, query, method) = (one.headers.len(), one.query.len(), usize::from(has_method));
    Some(if method_before_headers {
        [path, method, headers, query]
    } else {
        [path, headers, query, method]
    })
}

fn path_length(path: &PathMatch, own: &str) -> Option<usize> {
    match path {
        PathMatch::Exact(exact) => (exact == own).then_some(exact.len()),
        PathMatch::Prefix(prefix) if prefix.is_empty() => Some(1),
        PathMatch::Prefix(prefix) => {
            let rest = own.trim_end_matches('/').strip_prefix(prefix.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then_some(prefix.len())
        }
        PathMatch::Regex(pattern) => is_whole(pattern, own).then_some(own.len()),
    }
}

/// The first match that the expression finds must be the whole text: `a|ab` does not match `ab`.
fn is_whole(pattern: &Pattern, text: &str) -> bool {
    let regex = Regex::new(pattern.text()).ok();
    let found = regex.as_ref().and_then(|regex| regex.find(text));
    found.is_some_and(|found| found.start() == 0 && found.end() == text.len())
}

fn is_text(wanted: &TextMatch, own: &str) -> bool {
    match wanted {
        TextMatch::Exact(exact) => exact == own,
        TextMatch::Regex(pattern) => is_whole(pattern, own),
    }
}

/// One of several equal header fields is enough.
fn has_header(field: &FieldMatch, request: &Request) -> bool {
    request.headers.all(&field.name).any(|value| is_text(&field.value, value))
}

/// Service and method are the first two elements of the path.
fn grpc_parts(one: &Match, request: &Request) -> Option<[usize; 4]> {
    if request.method != "POST" {
        return None;
    }
    let mut elements = request.path.strip_prefix('/')?.split('/');
    let (service, method) = (elements.next()?, elements.next()?);
    let (wanted_service, wanted_method) = rpc(&one.path);
    let fits = |wanted: &Option<String>, own: &str| wanted.as_ref().is_none_or(|w| w == own);
    if !fits(&wanted_service, service) || !fits(&wanted_method, method) {
        return None;
    }
    if !one.headers.iter().all(|header| has_header(header, request)) {
        return None;
    }
    let length = |wanted: &Option<String>| wanted.as_ref().map_or(0, String::len);
    Some([length(&wanted_service), length(&wanted_method), one.headers.len(), 0])
}

/// The service and method that a path condition of a gRPC route stands for.
fn rpc(path: &PathMatch) -> (Option<String>, Option<String>) {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    match path {
        PathMatch::Exact(path) => {
            let (service, method) =
                path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
            (some(service), some(method))
        }
        PathMatch::Prefix(prefix) => (some(prefix.trim_start_matches('/')), None),
        // Only a method is told; regular expressions of methods drop the route.
        PathMatch::Regex(pattern) => {
            let method = pattern.text().rsplit('/').next().unwrap_or("");
            (None, some(&method.replace('\\', "")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::linkerd::routes;
    use crate::manifest::object::Manifests;
    use std::fmt::Write as _;

    /// The name of the rule that takes a request; rules are `name: matches` lines.
    fn taken(kind: &str, routes: &[(&str, &str)], request: &str) -> String {
        let mut text = String::new();
        for (head, rules) in routes {
            let _ = write!(
                text,
                "---\napiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{{head}}}\n\
                 spec:\n  parentRefs: [{{group: core, kind: Service, name: web}}]\n{rules}"
            );
        }
        let Manifests { sources, objects, mut findings } =
            Manifests::read([("a.yaml", text.as_bytes())]);
        let routes = routes::read(&objects, &sources, &mut findings);
        let routes: Vec<&RouteOf> = routes.http.iter().collect();
        let mut words = request.split(' ');
        let (method, url) = (words.next().unwrap(), words.next().unwrap());
        let headers: Vec<_> = words
            .filter_map(|word| word.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let request = Request::to(method, url, &headers).unwrap();
        let found = find(&routes, &request, false);
        found.map_or("none".to_owned(), |found| {
            let rule = &found.route.route.rules[found.rule];
            rule.name.clone().unwrap_or_else(|| found.route.route.name.clone())
        })
    }

    const RULES: &str = "
  rules:
  - {name: root, matches: [{path: {value: /}}]}
  - {name: prefix, matches: [{path: {value: /api/v1}}]}
  - {name: exact, matches: [{path: {type: Exact, value: /api/v1}}]}
  - {name: header, matches: [{path: {value: /api}, headers: [{name: x-user, value: test}]}]}
  - {name: method, matches: [{path: {value: /api}, method: POST}]}
  - {name: query, matches: [{path: {value: /api}, queryParams: [{name: q, value: '1'}]}]}
  - {name: regex, matches: [{path: {type: RegularExpression, value: '/api/.*'}}]}
  - {name: greedy, matches: [{path: {type: RegularExpression, value: '/x|/xy'}}]}
";

    #[test]
    fn the_longest_path_wins_whatever_its_kind() {
        let cases = [
            // A regex counts as the whole path, so it beats every shorter prefix.
            ("GET http://web/api/v1/x", "regex"),
            // Equal lengths: the first in the list, not the exact one.
            ("GET http://web/api/v1", "prefix"),
            ("GET http://web/api", "root"),
            ("GET http://web/other", "root"),
            ("POST http://web/api x-user=test", "header"),
            ("POST http://web/api?q=1", "query"),
            ("POST http://web/api", "method"),
            ("GET http://web/api x-user=a X-User=test", "header"),
            ("GET http://web/x", "greedy"),
            ("GET http://web/xy", "root"),
        ];
        for (request, expected) in cases {
            assert_eq!(taken("HTTPRoute", &[("name: a", RULES)], request), expected, "{request}");
        }
    }

    #[test]
    fn older_routes_come_first_then_names() {
        let any = "  rules: [{matches: [{path: {value: /}}]}]\n";
        let old = ("name: z, creationTimestamp: '2024-01-01T00:00:00Z'", any);
        let new = ("name: b, creationTimestamp: '2024-02-01T00:00:00Z'", any);
        let undated = [("name: c", any), ("name: a", any)];
        assert_eq!(taken("HTTPRoute", &[undated[0], new, old], "GET http://web/"), "z");
        assert_eq!(taken("HTTPRoute", &undated, "GET http://web/"), "a");
    }

    #[test]
    fn hosts_limit_a_route_and_come_first() {
        let of = |host: &str| format!("  hostnames: ['{host}']\n  rules: [{{name: '{host}'}}]\n");
        let (exact, wild) = (of("a.example.com"), of("*.example.com"));
        let any = "  rules: [{name: any, matches: [{path: {value: /long}}]}]\n";
        let routes = [("name: a", any), ("name: b", wild.as_str()), ("name: c", exact.as_str())];
        let cases = [
            ("GET http://a.example.com/long", "a.example.com"),
            ("GET http://B.example.com/long", "*.example.com"),
            ("GET http://example.com/long", "any"),
            ("GET http://example.com/short", "none"),
        ];
        for (request, expected) in cases {
            assert_eq!(taken("HTTPRoute", &routes, request), expected, "{request}");
        }
    }

    #[test]
    fn grpc_goes_by_service_and_method() {
        let rules = "
  rules:
  - {name: any}
  - {name: method, matches: [{method: {method: Get}}]}
  - {name: service, matches: [{method: {service: shop.Cart}}]}
  - {name: both, matches: [{method: {service: shop.Cart, method: Get}}]}
  - {name: header, matches: [{method: {service: shop.Cart, method: Get}, headers: [{name: v, value: '2'}]}]}
";
        let cases = [
            ("POST http://web/shop.Cart/Get", "both"),
            ("POST http://web/shop.Cart/Get v=2", "header"),
            ("POST http://web/shop.Cart/Put", "service"),
            ("POST http://web/shop.Other/Get", "method"),
            ("POST http://web/shop.Other/Put", "any"),
            ("GET http://web/shop.Cart/Get", "none"),
        ];
        for (request, expected) in cases {
            assert_eq!(taken("GRPCRoute", &[("name: a", rules)], request), expected, "{request}");
        }
    }
}
