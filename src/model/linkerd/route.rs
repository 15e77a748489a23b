//! Which of several routes takes a request.
//!
//! ```text
//! host (exact before suffix, then longer) > length of the path > headers > query parameters > method
//! ```
//!
//! This is not the Gateway API's order: there an exact path comes before a prefix of the same length, and the
//! method before headers. The first of two that tie wins: routes stand in the order of their creation, then of their
//! names; those without a time of creation last. Within a route the best rule counts, within a rule its best
//! match. A `ServiceProfile`'s first route that matches wins, in the order in which they are written.
//!
//! Source: linkerd2-proxy linkerd/http/route/src/{lib.rs,http/match.rs,http/match/path.rs,http/match/host.rs};
//! linkerd2 policy-controller/grpc/src/outbound.rs:677.
//! Left out: matching itself, which the plan's matchers do.

use crate::plan::linkerd::words::MethodRank;
use std::cmp::Ordering;

/// How a host matched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Host {
    /// The route names none.
    Any,
    /// By `*.…`, with the length of the rest.
    Suffix(u32),
    /// As a whole, with its length.
    Exact(u32),
}

/// How a request matched a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Match {
    /// Its host.
    pub host: Host,
    /// Bytes of the path that matched: of a prefix without slashes at its end, of a regular expression the
    /// whole path; 1 where the rule names none.
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

/// What two routes of a service are put in order by: the time of creation, then the name.
pub fn order(created_ns: Option<u64>, name: &str) -> (bool, u64, &str) {
    (created_ns.is_none(), created_ns.unwrap_or(0), name)
}

/// The place of the route that a `ServiceProfile` gives a request: the first that matches.
#[must_use]
pub fn first_of_profile(matches: impl IntoIterator<Item = bool>) -> Option<usize> {
    matches.into_iter().position(|one| one)
}

/// The places of routes, given by creation and name, in their order.
pub fn sorted(routes: &[(Option<u64>, &str)]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..routes.len()).collect();
    let key = |place: &usize| order(routes[*place].0, routes[*place].1);
    places.sort_by(|one, other| key(one).cmp(&key(other)));
    places
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

    #[test]
    fn routes_stand_by_age_then_name_and_without_an_age_last() {
        let routes = [(None, "a"), (Some(7), "b"), (Some(5), "z"), (Some(7), "a")];
        assert_eq!(sorted(&routes), [2, 3, 1, 0]);
        assert_eq!(first_of_profile([false, true, true]), Some(1));
    }
}
