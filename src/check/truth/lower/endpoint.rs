//! What EDS says of endpoints: weight, priority, health, locality; and how long connections to them
//! take to open. The plan keeps it by host, so a
//! host of which two clusters say different things is a gap.
//!
//! Source: the schema `envoy-lab/2`.
//! Left out: what `gaps` lists.

use super::super::schema::config::{Config, Endpoint};
use super::super::schema::step::Verb;
use super::super::schema::words::HealthWord;
use super::Ids;
use crate::kernel::time::Duration;
use crate::plan::balancing::{EndpointHealth, EndpointSettings};
use crate::plan::universe::WorkloadId;
use std::collections::BTreeMap;

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
    for endpoint in all(config) {
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

/// Whether different things are said of one host without a step between them.
pub(super) fn contradicts(config: &Config) -> bool {
    let mut known: BTreeMap<&str, (EndpointSettings, Duration)> = BTreeMap::new();
    let said = |one: &Endpoint| (of(one), delay(one));
    all(config).any(|one| *known.entry(&one.host).or_insert(said(one)) != said(one))
}
