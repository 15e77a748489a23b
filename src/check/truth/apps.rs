//! What the applications saw: how many requests at once, which were tried again, which were copies.
//!
//! The access log has no line of an application. When one had a request follows from the try that its proxy
//! logs: an answer leaves after the delay of its behaviour, so it came by so much earlier; whoever gives
//! up after a limit leaves the application at work.
//!
//! Source: the schema `envoy-lab/2`; measured on Envoy 1.40 (families e02, e03, e04, e07, e10, e11).
//! Left out: copies of requests among those at once.

use super::counted::is_answer;
use super::facts::Metric;
use super::metrics::{Metrics, add};
use super::observe::Seen;
use super::schema::config::{Behaviour, Config};
use super::schema::observed::Counts;
use super::schema::step::Verb;
use super::schema::words::HostKind;
use crate::kernel::time::{Duration, Time};
use crate::observe::access_log::TryRecord;
use crate::vocabulary::outcome::Details;
use std::collections::{BTreeMap, BTreeSet};

/// What an application takes beyond its delay: measured ones with none had a burst of ten at once.
const OWN: Duration = Duration::from_ms(1);

/// The numbers of the applications.
pub(super) fn metrics(seen: &Seen<'_>, metrics: &mut Metrics) {
    metrics.insert("max_concurrent_at_endpoint".to_owned(), Metric::ByKey(most_at_once(seen)));
    let retries = Metric::ByKey(retries(seen));
    metrics.insert("retry_landed_on_same_host_as_previous_attempt".to_owned(), retries);
    add(metrics, "mirrored", mirrored(seen));
    let answers = |host: &&String| {
        let hosts = &seen.config.hosts;
        hosts.iter().any(|one| one.name == **host && one.behaviour.kind != HostKind::Hang)
    };
    let completed = seen.hits.iter().filter(|(host, _)| answers(host)).map(|(_, hits)| hits);
    add(metrics, "leaf_completed_answers", completed.sum());
    // An application writes its answer into its socket and is done. That nobody reads it, it learns from
    // the next write, which never comes: also where the edge had given up 100 ms before (e10), and
    // where a body came 300 ms after the route timeout (e03), none was counted.
    add(metrics, "leaf_wasted_answers", 0.0);
    add(metrics, "upstream_aborted_by_envoy", 0.0);
}

/// Tries of every proxy's calls, but for the warm-up.
fn tries<'s>(seen: &'s Seen<'_>) -> impl Iterator<Item = &'s TryRecord> {
    let calls = seen.log.calls.iter().filter(|call| seen.from <= call.began);
    calls.flat_map(|call| &call.tries)
}

/// What a host does at a time.
fn behaviour<'c>(config: &'c Config, host: &str, at: Time) -> Option<&'c Behaviour> {
    let first = config.hosts.iter().find(|one| one.name == host).map(|one| &one.behaviour);
    let steps = config.steps.iter().filter(|step| step.target == host && step.at_s <= at.as_s());
    let mut changed = steps.filter_map(|step| match &step.verb {
        Verb::HostBehaviour(behaviour) => Some(behaviour),
        _ => None,
    });
    changed.next_back().or(first)
}

/// From when until when the application had the request of a try; none if it never did.
fn stay(seen: &Seen<'_>, one: &TryRecord) -> Option<(Time, Time)> {
    let behaviour = behaviour(seen.config, seen.lowered.host(one.host), one.began)?;
    if matches!(behaviour.kind, HostKind::Refuse | HostKind::Blackhole) {
        return None;
    }
    let ms = |ms: Option<f64>| Duration::from_s_f64(ms.unwrap_or(0.0) / 1e3);
    let work = ms(behaviour.delay_ms) + ms(behaviour.body_delay_ms) + OWN;
    let until_end = || {
        let since_start = one.ended.since(one.began);
        (one.began + since_start.saturating_sub(work), one.ended)
    };
    match one.outcome.details {
        _ if is_answer(one.outcome) => Some(until_end()),
        Details::ConnectionTermination
        | Details::RemoteReset
        | Details::ResetAfterResponse
        | Details::RemoteResetAfterResponse => Some(until_end()),
        Details::ResponseTimeout
        | Details::PerTryTimeout
        | Details::PerTryIdleTimeout
        | Details::StreamIdleTimeout
        | Details::MaxStreamDuration
        | Details::DownstreamDisconnect
        | Details::DownstreamReset => {
            let is_endless = behaviour.kind == HostKind::Hang;
            Some((one.began, if is_endless { one.ended } else { one.began + work }))
        }
        _ => None,
    }
}

/// The most requests that each host of the clusters in use had at once.
fn most_at_once(seen: &Seen<'_>) -> Counts {
    let calls = || seen.log.calls.iter().filter(|call| seen.from <= call.began);
    let used: BTreeSet<(&str, &str)> = calls()
        .map(|call| (seen.lowered.host(call.proxy), seen.lowered.cluster(call.cluster)))
        .collect();
    let mut most = Counts::new();
    for proxy in &seen.config.proxies {
        for cluster in &proxy.clusters {
            if used.contains(&(proxy.name.as_str(), cluster.name.as_str())) {
                let hosts = cluster.endpoints.iter().flatten().map(|one| one.host.clone());
                most.extend(hosts.map(|host| (host, 0.0)));
            }
        }
    }
    most.retain(|host, _| seen.config.hosts.iter().any(|one| one.name == *host));
    let mut edges: BTreeMap<&str, Vec<(Time, i64)>> = BTreeMap::new();
    for one in tries(seen) {
        if let Some((from, until)) = stay(seen, one) {
            let host = edges.entry(seen.lowered.host(one.host)).or_default();
            host.extend([(from, 1), (until, -1)]);
        }
    }
    for (host, mut edges) in edges {
        // Who leaves at an instant makes room first.
        edges.sort_unstable();
        let mut present = 0;
        let at_once = edges.into_iter().map(|(_, change)| {
            present += change;
            present
        });
        most.insert(host.to_owned(), at_once.max().unwrap_or(0) as f64);
    }
    most
}

/// Retries of the entry that reached an application, and those of them that went where the try before went.
fn retries(seen: &Seen<'_>) -> Counts {
    let pairs = seen.requests.iter().flat_map(|call| call.tries.windows(2));
    let pairs = pairs.filter(|two| stay(seen, &two[1]).is_some());
    let same = pairs.clone().filter(|two| two[0].host == two[1].host).count();
    let both = [("retries_seen_by_upstreams", pairs.count()), ("same", same)];
    both.map(|(name, count)| (name.to_owned(), count as f64)).into()
}

/// Copies that reached the hosts of mirrors: what came to them less what proxies logged.
fn mirrored(seen: &Seen<'_>) -> f64 {
    let mut hosts: BTreeSet<&str> = BTreeSet::new();
    for proxy in &seen.config.proxies {
        let copied = proxy
            .routes
            .iter()
            .flat_map(|route| route.mirror.iter().flatten())
            .map(|one| &one.cluster);
        for name in copied {
            let cluster = proxy.clusters.iter().find(|cluster| cluster.name == *name);
            let endpoints = cluster.into_iter().flat_map(|one| one.endpoints.iter().flatten());
            hosts.extend(endpoints.map(|one| one.host.as_str()));
        }
    }
    let reached: f64 = seen
        .hits
        .iter()
        .filter(|(host, _)| hosts.contains(host.as_str()))
        .map(|(_, hits)| hits)
        .sum();
    let logged = tries(seen).filter(|one| hosts.contains(seen.lowered.host(one.host)));
    reached - logged.filter(|one| stay(seen, one).is_some()).count() as f64
}
