//! Races: what a configuration leaves to chance, so that nobody can ask for an exact count of it.
//!
//! Two proxies of a chain whose tries have the same limit start their timers a tenth of a millisecond
//! apart, and the first tells the second that it has given up over a link that takes as long. Which is first
//! at the second, its own timer or the message, is chance: on one machine the timer was, 14 of 300 times
//! (family e10), and the second proxy tried again what nobody waited for any more.
//!
//! Source: the schema `envoy-lab/2`; Envoy's event loop keeps timers in whole milliseconds.
//! Left out: limits that differ by less than the lateness of timers.

use super::schema::compare::{Compare, CountRule};
use super::schema::config::{Config, Proxy, Route};
use super::schema::words::HostKind;

/// The race that decides a fact which is compared exactly, in words.
pub(super) fn undecided(config: &Config, compare: &Compare) -> Option<String> {
    let is_exact = compare.hops.values().any(|hop| hop.outcomes == CountRule::Exact);
    let runs_out = |limit_ms: f64| {
        config.hosts.iter().any(|host| {
            let answers = host.behaviour.delay_ms.unwrap_or(0.0);
            host.behaviour.kind == HostKind::Hang || limit_ms <= answers
        })
    };
    let races = |above: &Proxy, below: &Proxy| {
        let tries_again = limits(below).filter(|(_, retries)| 0 < *retries);
        let same =
            |limit_ms: f64| limits(above).any(|(other, _)| other.total_cmp(&limit_ms).is_eq());
        is_above(above, below) && tries_again.into_iter().any(|(ms, _)| same(ms) && runs_out(ms))
    };
    let mut pairs = config
        .proxies
        .iter()
        .flat_map(|above| config.proxies.iter().map(move |below| (above, below)));
    let found = is_exact && pairs.any(|(above, below)| races(above, below));
    found.then(|| "compare.hops exact of tries with one limit at two proxies".to_owned())
}

/// Limits of tries in milliseconds, and how often a request is tried again.
fn limits(proxy: &Proxy) -> impl Iterator<Item = (f64, u32)> {
    let of = |route: &Route| {
        let policy = route.retry_policy.as_ref()?;
        let limit = policy.per_try_timeout_ms.filter(|limit| 0.0 < *limit)?;
        Some((limit, policy.num_retries.unwrap_or(1)))
    };
    proxy.routes.iter().filter_map(of)
}

/// Whether one proxy is an endpoint of another.
fn is_above(above: &Proxy, below: &Proxy) -> bool {
    let endpoints = above.clusters.iter().flat_map(|cluster| cluster.endpoints.iter().flatten());
    endpoints.into_iter().any(|endpoint| endpoint.host == below.name)
}
