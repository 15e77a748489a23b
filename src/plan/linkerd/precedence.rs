//! Which of several routes takes a request.
//!
//! ```text
//! host (exact before suffix, then longer) > length of the path > headers > query parameters > method
//! ```
//!
//! This is not the Gateway API's order: there an exact path comes before a prefix of the same length, and the
//! method before headers. The first of two that tie wins: routes stand in the order of their creation, then of their
//! names; those without a time of creation last. Within a route the best rule counts, within a rule its best
//! match. A `ServiceProfile`'s first route that matches wins, in the order in which they are written. A prefix
//! ends at a slash or at the end of the path. What a rule does not say of the path is the prefix `/`, as in the
//! resource's schema. Classes of requests are known beforehand, so all this is settled before a run.
//!
//! Source: linkerd2-proxy linkerd/http/route/src/{lib.rs,http/match.rs,http/match/path.rs,http/match/host.rs};
//! linkerd2 policy-controller/grpc/src/outbound.rs:677.
//! Left out: times of creation: routes of a scenario stand in the order of the file, which is their age; hosts by
//! suffix.

use crate::plan::linkerd::words::MethodRank;
use crate::plan::matching::{PathMatch, RouteMatch, fits};
use crate::plan::universe::RequestClass;
use std::cmp::Ordering;

/// How a host matched.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Host {
    /// The route names none.
    #[default]
    Any,
    /// By `*.…`, with the length of the rest.
    Suffix(u32),
    /// As a whole, with its length.
    Exact(u32),
}

/// How a request matched a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Match {
    /// Its host.
    pub host: Host,
    /// Bytes of the path that matched: of a prefix without slashes at its end, of a regular expression the
    /// whole path; 0 where the rule names none.
    pub path: u32,
    /// Headers that were asked for.
    pub headers: u32,
    /// Query parameters that were asked for.
    pub query: u32,
    /// Whether the method was asked for.
    pub method: bool,
}

/// Which match is the better one; `Greater` is better.
pub fn compare(rank: MethodRank, one: &Match, other: &Match) -> Ordering {
    let host = |host: Host| match host {
        Host::Any => (0, 0),
        Host::Suffix(length) => (1, length),
        Host::Exact(length) => (2, length),
    };
    let by_path = host(one.host).cmp(&host(other.host)).then(one.path.cmp(&other.path));
    let method = one.method.cmp(&other.method);
    let rest = one.headers.cmp(&other.headers).then(one.query.cmp(&other.query));
    match rank {
        MethodRank::Last => by_path.then(rest).then(method),
        MethodRank::AfterPath => by_path.then(method).then(rest),
    }
}

/// The place of the best of several matches, given in the order of the routes; the first of those that tie.
#[must_use]
pub fn best(rank: MethodRank, matches: impl IntoIterator<Item = Option<Match>>) -> Option<usize> {
    let found = matches.into_iter().enumerate().filter_map(|(place, one)| Some((place, one?)));
    let better = |best: (usize, Match), next: (usize, Match)| match compare(rank, &best.1, &next.1)
    {
        Ordering::Less => next,
        Ordering::Equal | Ordering::Greater => best,
    };
    found.reduce(better).map(|(place, _)| place)
}

/// How a request matches a rule that takes any of these, or everything if there are none: its best match.
#[must_use]
pub fn matched(
    rank: MethodRank,
    rules: &[RouteMatch],
    class: &RequestClass,
    authority: &str,
) -> Option<Match> {
    if rules.is_empty() {
        return Some(Match::default());
    }
    let found = rules.iter().filter_map(|rule| one(rule, class, authority));
    found.reduce(|best, next| match compare(rank, &best, &next) {
        Ordering::Less => next,
        Ordering::Equal | Ordering::Greater => best,
    })
}

fn one(rule: &RouteMatch, class: &RequestClass, authority: &str) -> Option<Match> {
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let path = class.path.split_once('?').map_or(class.path.as_str(), |(path, _)| path);
    let bytes = match &rule.path {
        None => 0,
        Some(PathMatch::Exact(wanted)) => wanted.len(),
        Some(PathMatch::Prefix(wanted)) => {
            let wanted = wanted.trim_end_matches('/');
            let rest = path.strip_prefix(wanted)?;
            if !(rest.is_empty() || rest.starts_with('/')) {
                return None;
            }
            wanted.len()
        }
        Some(PathMatch::Pattern(_)) => path.len(),
    };
    let is_prefix = matches!(rule.path, Some(PathMatch::Prefix(_)));
    let rest = RouteMatch { path: rule.path.clone().filter(|_| !is_prefix), ..rule.clone() };
    fits(&rest, class, authority).then(|| Match {
        host: rule.authority.as_ref().map_or(Host::Any, |host| Host::Exact(count(host.len()))),
        path: count(bytes),
        headers: count(rule.headers.len()),
        query: count(rule.query.len() + rule.parameters.len()),
        method: rule.method.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Match = Match { host: Host::Any, path: 1, headers: 0, query: 0, method: false };

    fn best_of(matches: &[Match]) -> Option<usize> {
        best(MethodRank::Last, matches.iter().map(|one| Some(*one)))
    }

    #[test]
    fn host_path_headers_query_method_in_this_order() {
        let better = [
            Match { method: true, ..PLAIN },
            Match { query: 1, ..PLAIN },
            Match { headers: 1, ..PLAIN },
            Match { path: 2, ..PLAIN },
            Match { host: Host::Suffix(3), ..PLAIN },
            Match { host: Host::Suffix(9), ..PLAIN },
            Match { host: Host::Exact(1), ..PLAIN },
        ];
        for pair in better.windows(2) {
            assert_eq!(best_of(pair), Some(1), "{pair:?}");
            assert_eq!(best_of(&[pair[1], pair[0]]), Some(0), "{pair:?}");
        }
    }

    #[test]
    fn the_method_is_last_where_the_gateway_api_has_it_after_the_path() {
        let (method, header) = (Match { method: true, ..PLAIN }, Match { headers: 1, ..PLAIN });
        let pair = [Some(method), Some(header)];
        assert_eq!(best(MethodRank::Last, pair), Some(1));
        assert_eq!(best(MethodRank::AfterPath, pair), Some(0));
    }

    /// An exact path is no better than a prefix of its length: the older route wins.
    #[test]
    fn the_first_of_a_tie_wins_and_what_does_not_match_is_passed_over() {
        assert_eq!(best_of(&[Match { path: 4, ..PLAIN }, Match { path: 4, ..PLAIN }]), Some(0));
        assert_eq!(best(MethodRank::Last, [None, Some(PLAIN), None]), Some(1));
        assert_eq!(best(MethodRank::Last, [None, None]), None);
    }

    fn class(method: &str, path: &str) -> RequestClass {
        let headers = vec![("x-user".to_owned(), "anna".to_owned())];
        RequestClass { method: method.into(), path: path.into(), headers, defect: None }
    }

    fn by_prefix(prefix: &str) -> RouteMatch {
        RouteMatch { path: Some(PathMatch::Prefix(prefix.into())), ..RouteMatch::default() }
    }

    #[test]
    fn a_prefix_ends_at_a_slash() {
        let of = |prefix: &str, path: &str| {
            let found = matched(MethodRank::Last, &[by_prefix(prefix)], &class("GET", path), "web");
            found.map(|one| one.path)
        };
        assert_eq!(of("/v2", "/v2"), Some(3));
        assert_eq!(of("/v2/", "/v2/x?page=1"), Some(3));
        assert_eq!(of("/v2", "/v2example"), None);
        assert_eq!(of("/", "/v2example"), Some(0));
    }

    #[test]
    fn within_a_rule_the_best_match_counts() {
        let method = RouteMatch { method: Some("GET".into()), ..RouteMatch::default() };
        let rules = [method.clone(), by_prefix("/a"), by_prefix("/a/b")];
        let found = |rules: &[RouteMatch], path: &str| {
            matched(MethodRank::Last, rules, &class("GET", path), "web")
        };
        assert_eq!(found(&rules, "/a/b/c"), Some(Match { path: 4, ..Match::default() }));
        assert_eq!(found(&rules, "/x"), Some(Match { method: true, ..Match::default() }));
        assert_eq!(found(&rules[1..], "/x"), None);
        assert_eq!(found(&[], "/x"), Some(Match::default()));
        let host = RouteMatch { authority: Some("web".into()), ..method };
        let of_host = found(&[host], "/x").map(|one| one.host);
        assert_eq!(of_host, Some(Host::Exact(3)), "without a host header it is the service");
    }
}
