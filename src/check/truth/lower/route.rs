//! Route tables, and whether the proxy takes them at all.
//!
//! Source: Envoy 1.40's defaults, where a key is absent; validation measured (family e01).
//! Left out: what `gaps` lists.

use super::super::schema::config::{Config, Proxy, RetryPolicy as Retry, Route};
use super::super::schema::words::Predicate;
use super::{Ids, ms};
use crate::kernel::time::Duration;
use crate::plan::policy::{Destination, PathMatch, RetryOn, RetryPolicy, RouteMatch};
use crate::plan::policy::{RouteRule, RouteTable};
use crate::plan::universe::{RequestClass, ServiceId};

/// Whether every proxy starts with its routes: weights have a sum, and a cluster that is not there
/// is only taken from a control plane or where nobody looks.
pub(super) fn is_accepted(config: &Config) -> bool {
    config.proxies.iter().all(|proxy| {
        let validates = proxy.listener.validate_clusters.unwrap_or(proxy.dynamic.is_empty());
        let known = |name: &str| proxy.clusters.iter().any(|cluster| cluster.name == name);
        proxy.routes.iter().all(|route| {
            let split = split(proxy, route);
            let has_weight =
                route.weighted_clusters.is_none() || split.iter().any(|(_, weight)| 0 < *weight);
            has_weight && (!validates || split.iter().all(|(name, _)| known(name)))
        })
    })
}

/// Clusters by name with their weights.
fn split<'r>(proxy: &Proxy, route: &'r Route) -> Vec<(&'r str, u32)> {
    if let Some(cluster) = &route.cluster {
        return vec![(cluster, 1)];
    }
    let weight = |name: &str, weight: u32| {
        let prefix = route.runtime_key_prefix.as_ref();
        let key = prefix.map(|prefix| format!("{prefix}.{name}"));
        let told = key.and_then(|key| proxy.runtime.get(&key).copied());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a weight")]
        told.map_or(weight, |told| told as u32)
    };
    let all = route.weighted_clusters.iter().flatten();
    all.map(|one| (one.cluster.as_str(), weight(&one.cluster, one.weight))).collect()
}

/// A route table of a proxy.
pub(super) fn table(
    proxy: &Proxy,
    routes: &[Route],
    ids: &Ids,
    classes: &[RequestClass],
) -> RouteTable {
    let rule_of = |class: &RequestClass| {
        let first = routes.iter().position(|route| class.path.starts_with(&route.prefix));
        first.and_then(|index| u16::try_from(index).ok())
    };
    RouteTable {
        service: ids.services.get(&proxy.name).copied().unwrap_or(ServiceId(0)),
        name: format!("routes of {}", proxy.name),
        rules: routes.iter().map(|route| rule(proxy, route, ids)).collect(),
        rule_of_class: classes.iter().map(rule_of).collect(),
    }
}

fn rule(proxy: &Proxy, route: &Route, ids: &Ids) -> RouteRule {
    let destination = |name: &str| match ids.cluster(&proxy.name, name) {
        Some(cluster) => Destination::Cluster(cluster),
        None => Destination::Missing(name.to_owned()),
    };
    let split = split(proxy, route).into_iter().filter(|(_, weight)| 0 < *weight);
    RouteRule {
        matches: vec![RouteMatch {
            path: Some(PathMatch::Prefix(route.prefix.clone())),
            ..RouteMatch::default()
        }],
        split: split.map(|(name, weight)| (destination(name), weight)).collect(),
        // Envoy's default is 15 s.
        timeout: ms(route.timeout_ms.unwrap_or(15_000.0)),
        retry: retry(route.retry_policy.as_ref()),
    }
}

fn retry(policy: Option<&Retry>) -> RetryPolicy {
    let Some(policy) = policy else { return no_retry() };
    let mut on = RetryOn::default();
    for word in &policy.retry_on {
        let known = RetryOn::ALL.iter().find(|(_, name)| *name == word.text());
        on = known.map_or(on, |(one, _)| on.with(*one));
    }
    let base_ms = policy.back_off_base_ms.unwrap_or(25.0);
    RetryPolicy {
        retries: policy.num_retries.unwrap_or(1),
        on,
        statuses: policy.retriable_status_codes.clone(),
        per_try_timeout: ms(policy.per_try_timeout_ms.unwrap_or(0.0)),
        backoff_base: ms(base_ms),
        backoff_max: ms(policy.back_off_max_ms.unwrap_or(10.0 * base_ms)),
        previous_hosts: policy.retry_host_predicate.contains(&Predicate::PreviousHosts),
        host_attempts: policy.host_selection_retry_max_attempts.unwrap_or(1),
    }
}

fn no_retry() -> RetryPolicy {
    RetryPolicy {
        retries: 0,
        on: RetryOn::default(),
        statuses: Vec::new(),
        per_try_timeout: Duration::ZERO,
        backoff_base: Duration::from_ms(25),
        backoff_max: Duration::from_ms(250),
        previous_hosts: false,
        host_attempts: 1,
    }
}
