//! What EDS says of endpoints: weight, priority, health, locality; and how long connections to them
//! take to open. The plan keeps it by host, and by cluster and host where a host is not said the same of
//! everywhere and always.
//!
//! Source: the schema `envoy-lab/2`.
//! Left out: a host that one list names twice counts once, by its first mention, as EDS has it
//! (`EdsClusterImpl`: "only the first one will be retained"); a static list would have it twice.

use super::super::schema::config::{Config, Endpoint};
use super::super::schema::step::Verb;
use super::super::schema::words::HealthWord;
use super::{Ids, number};
use crate::kernel::time::Duration;
use crate::plan::balancing::{ClusterEndpoint, EndpointHealth, EndpointSettings};
use crate::plan::universe::{WorkloadId, ZoneId};
use std::collections::{BTreeMap, BTreeSet};

/// Every mention of an endpoint, in clusters first, then in steps.
pub(super) fn all(config: &Config) -> impl Iterator<Item = &Endpoint> {
    let clusters = config.proxies.iter().flat_map(|proxy| &proxy.clusters);
    let given = clusters.flat_map(|cluster| cluster.endpoints.iter().flatten());
    let told = config.steps.iter().flat_map(|step| match &step.verb {
        Verb::EdsAdd(endpoints) | Verb::EdsSet(endpoints) => &endpoints[..],
        Verb::CdsAdd(cluster) => cluster.endpoints.as_deref().unwrap_or_default(),
        Verb::CdsModify { set, .. } => set.endpoints.as_deref().unwrap_or_default(),
        _ => &[],
    });
    given.chain(told)
}

/// The locality of a host.
pub(super) fn locality<'c>(config: &'c Config, host: &str) -> Option<&'c String> {
    all(config).filter(|one| one.host == host).find_map(|one| one.locality.as_ref())
}

/// How much longer connections to a host take to open.
pub(super) fn connect_delay(config: &Config, host: &str) -> Duration {
    all(config).find(|one| one.host == host).map_or(Duration::ZERO, delay)
}

fn delay(endpoint: &Endpoint) -> Duration {
    super::ms(endpoint.connect_delay_ms.unwrap_or(0.0))
}

/// What is said of hosts at first.
pub(super) fn settings(config: &Config, ids: &Ids) -> BTreeMap<WorkloadId, EndpointSettings> {
    let mut known = BTreeMap::new();
    let differing = differing(config);
    for endpoint in all(config).filter(|one| !differing.contains(one.host.as_str())) {
        let said = of(endpoint);
        if !said.is_plain() {
            known.entry(ids.workload(&endpoint.host)).or_insert(said);
        }
    }
    known
}

/// What is said of one.
pub(super) fn of(endpoint: &Endpoint) -> EndpointSettings {
    EndpointSettings {
        weight: endpoint.weight.unwrap_or(1),
        priority: endpoint.priority.unwrap_or(0),
        health: match endpoint.health {
            None | Some(HealthWord::Healthy) => EndpointHealth::Healthy,
            Some(HealthWord::Unhealthy) => EndpointHealth::Unhealthy,
            Some(HealthWord::Draining) => EndpointHealth::Draining,
        },
    }
}

/// Hosts of which clusters say different things, or one cluster at different times.
pub(super) fn differing(config: &Config) -> BTreeSet<&str> {
    let mut known: BTreeMap<&str, Said> = BTreeMap::new();
    let mut differing = BTreeSet::new();
    for one in all(config) {
        let said = (of(one), delay(one), one.locality.as_ref());
        if *known.entry(&one.host).or_insert(said) != said {
            differing.insert(one.host.as_str());
        }
    }
    // What a step says of a host, it says of it in one cluster.
    let told = config.steps.iter().filter_map(|step| match &step.verb {
        Verb::EdsSetHealth(endpoints) => Some((step, endpoints)),
        _ => None,
    });
    for (step, one) in told.flat_map(|(step, all)| all.iter().map(move |one| (step, one))) {
        let is_elsewhere = config.proxies.iter().flat_map(|proxy| &proxy.clusters).any(|cluster| {
            let mut endpoints = cluster.endpoints.iter().flatten();
            cluster.name != step.target && endpoints.any(|endpoint| endpoint.host == one.host)
        });
        let moves = one.locality.is_some() || one.connect_delay_ms.is_some();
        if is_elsewhere || moves {
            differing.insert(one.host.as_str());
        }
    }
    differing
}

/// What is said of an endpoint.
type Said<'c> = (EndpointSettings, Duration, Option<&'c String>);

/// What is said of an endpoint in one cluster; of what a change of health does not say, what was said
/// `before`.
pub(super) fn in_cluster(
    one: &Endpoint,
    before: Option<ClusterEndpoint>,
    zones: &[String],
) -> ClusterEndpoint {
    let said = of(one);
    let usual = before.map_or(said, |before| before.settings);
    let place = |zone: &String| zones.iter().position(|known| known == zone);
    let zone = one.locality.as_ref().and_then(place).map(|zone| ZoneId(number(zone)));
    let delay = one.connect_delay_ms.map(super::ms);
    ClusterEndpoint {
        settings: EndpointSettings {
            weight: one.weight.unwrap_or(usual.weight),
            priority: one.priority.unwrap_or(usual.priority),
            health: said.health,
        },
        zone: zone.or(before.map_or(Some(ZoneId(0)), |before| before.zone)),
        connect_delay: delay.or(before.map_or(Some(Duration::ZERO), |before| before.connect_delay)),
    }
}
