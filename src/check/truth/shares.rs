//! Shares of clusters and of hosts as named numbers: how evenly draws fall, and where keys go.
//!
//! Source: the schema `envoy-lab/2`; measured on Envoy 1.40 (families e01, e07).
//! Left out: how many blocks the measurements cut a run into; whatever it is, independent draws give 1.

use super::facts::Metric;
use super::metrics::Metrics;
use super::observe::Seen;
use super::schema::config::{Config, Weighted};
use super::schema::observed::Counts;
use crate::observe::access_log::CallRecord;
use std::collections::BTreeMap;

/// Requests of a block in which the share of a cluster is taken.
const BLOCK: usize = 100;

/// The variance of a cluster's requests in blocks, over the one that independent draws would have; of
/// clusters whose share is neither none nor all.
pub(super) fn dispersion(seen: &Seen<'_>, metrics: &mut Metrics) {
    let shares = weights(seen.config);
    let blocks = seen.requests.chunks_exact(BLOCK);
    let count = blocks.len() as f64;
    let mut dispersion = Counts::new();
    for (cluster, share) in shares.into_iter().filter(|(_, share)| 0.0 < *share && *share < 1.0) {
        let of_block = |block: &[&CallRecord]| {
            let to = block.iter().filter(|call| seen.lowered.cluster(call.cluster) == cluster);
            to.count() as f64
        };
        let counts: Vec<f64> = blocks.clone().map(of_block).collect();
        if counts.len() < 2 {
            continue;
        }
        let mean = counts.iter().sum::<f64>() / count;
        let squares = counts.iter().map(|one| (one - mean) * (one - mean)).sum::<f64>();
        let wanted = BLOCK as f64 * share * (1.0 - share);
        dispersion.insert(cluster, squares / (count - 1.0) / wanted);
    }
    metrics.insert("dispersion_vs_binomial".to_owned(), Metric::ByKey(dispersion));
}

/// The share of each cluster among which a route of the entry chooses.
fn weights(config: &Config) -> BTreeMap<String, f64> {
    let entry = config.proxies.iter().find(|proxy| proxy.name == config.entry);
    let routes = entry.map_or(&[][..], |proxy| &proxy.routes);
    let mut shares = BTreeMap::new();
    for route in routes {
        let weight = |one: &Weighted| {
            let prefix = route.runtime_key_prefix.as_ref();
            let key = prefix.map(|prefix| format!("{prefix}.{}", one.cluster));
            let told = key.and_then(|key| entry?.runtime.get(&key).copied());
            told.unwrap_or(f64::from(one.weight))
        };
        let clusters = route.weighted_clusters.iter().flatten();
        let total: f64 = clusters.clone().map(weight).sum();
        shares.extend(clusters.map(|one| (one.cluster.clone(), weight(one) / total.max(1e-9))));
    }
    shares
}

/// The share of each host among those that a pass over all keys came to.
pub(super) fn of_hosts(pass: &[&str]) -> Metric {
    let mut shares = Counts::new();
    for host in pass {
        *shares.entry((*host).to_owned()).or_default() += 1.0 / pass.len() as f64;
    }
    Metric::ByKey(shares)
}
