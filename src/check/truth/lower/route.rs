//! Route tables, and whether the proxy takes them at all.
//!
//! Source: Envoy 1.40's defaults, where a key is absent; validation measured (family e01).
//! Left out: what `gaps` lists.

use super::super::schema::config::{self as schema, Config, Proxy, RetryPolicy as Retry, Route};
use super::super::schema::step::Verb;
use super::super::schema::words::Predicate;
use super::{Ids, ms, number};
use crate::kernel::time::Duration;
use crate::plan::asked::{self, no_retry};
use crate::plan::linkerd::policy::Annotations;
use crate::plan::matching::{PathMatch, RouteMatch};
use crate::plan::policy::{RetryOn, RetryPolicy};
use crate::plan::route::{BUFFER_LIMIT, Destination, Mirror, RouteRule, RouteTable};
use crate::plan::universe::{RequestClass, RouteId, ServiceId};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Whether every proxy starts with its routes: weights have a sum, and a cluster that is not there
/// is only taken from a control plane or where nobody looks.
pub(super) fn is_accepted(config: &Config) -> bool {
    config.proxies.iter().all(|proxy| {
        let validates = proxy.listener.validate_clusters.unwrap_or(proxy.dynamic.is_empty());
        // Envoy takes no more than one health check a cluster.
        let checks_twice = proxy.clusters.iter().any(|cluster| 1 < cluster.health_checks.len());
        let known = |name: &str| proxy.clusters.iter().any(|cluster| cluster.name == name);
        !checks_twice
            && proxy.routes.iter().all(|route| {
                // The sum of the weights as they are configured, whatever `runtime` makes of them.
                let weights = route.weighted_clusters.as_ref();
                let has_weight = weights.is_none_or(|all| all.iter().any(|one| 0 < one.weight));
                let copies = route.mirror.iter().flatten().map(|one| one.cluster.as_str());
                let mut named = split(proxy, route).into_iter().map(|(name, _)| name).chain(copies);
                has_weight && (!validates || named.all(known))
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

/// A route table of a proxy. What headers override is known for each class of requests, so that
/// each class with such headers has a rule of its own, behind those of the file.
pub(super) fn table(
    proxy: &Proxy,
    routes: &[Route],
    ids: &Ids,
    classes: &[RequestClass],
) -> RouteTable {
    let mut rules: Vec<RouteRule> = routes.iter().map(|route| rule(proxy, route, ids)).collect();
    let mut rule_of_class = Vec::new();
    for class in classes {
        let first = routes.iter().position(|route| class.path.starts_with(&route.prefix));
        let own =
            first.and_then(|index| overridden(proxy, &routes[index], &rules[index], class, ids));
        let place = own.map_or(first, |own| {
            rules.push(own);
            Some(rules.len() - 1)
        });
        rule_of_class.push(place.and_then(|index| u16::try_from(index).ok()));
    }
    RouteTable {
        service: ids.services.get(&proxy.name).copied().unwrap_or(ServiceId(0)),
        name: format!("routes of {}", proxy.name),
        rules,
        rule_of_class,
    }
}

/// The rule of a class whose headers choose the cluster or change the policy; none if they do not.
fn overridden(
    proxy: &Proxy,
    route: &Route,
    rule: &RouteRule,
    class: &RequestClass,
    ids: &Ids,
) -> Option<RouteRule> {
    let header = |name: &str| {
        let found = class.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    };
    let mut own = rule.clone();
    if let Some(name) = &route.cluster_header {
        let cluster = header(name).unwrap_or_default();
        own.split = vec![(destination(proxy, cluster, ids), 1)];
    }
    let is_internal = is_internal(proxy, header("x-forwarded-for"));
    let own = asked::changed(&own, class, is_internal).unwrap_or(own);
    (own != *rule).then_some(own)
}

/// Whether a request comes from inside: only then its x-envoy-* headers count. Without a list of
/// addresses of its own, Envoy takes nobody for internal who is told by a header.
fn is_internal(proxy: &Proxy, forwarded_for: Option<&str>) -> bool {
    let (Some(cidrs), Some(address)) = (&proxy.listener.internal_cidrs, forwarded_for) else {
        return false;
    };
    let Ok(address) = address.trim().parse::<Ipv4Addr>() else { return false };
    cidrs.iter().any(|cidr| {
        let (base, bits) = cidr.split_once('/').unwrap_or((cidr, "32"));
        let (Ok(base), Ok(bits)) = (base.parse::<Ipv4Addr>(), bits.parse::<u32>()) else {
            return false;
        };
        let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
        (u32::from(base) ^ u32::from(address)) & mask == 0
    })
}

fn destination(proxy: &Proxy, name: &str, ids: &Ids) -> Destination {
    match ids.cluster(&proxy.name, name) {
        Some(cluster) => Destination::Cluster(cluster),
        None => Destination::Missing(name.to_owned()),
    }
}

fn rule(proxy: &Proxy, route: &Route, ids: &Ids) -> RouteRule {
    let split = split(proxy, route).into_iter().filter(|(_, weight)| 0 < *weight);
    let split: Vec<_> =
        split.map(|(name, weight)| (destination(proxy, name, ids), weight)).collect();
    let idle_ms = route.idle_timeout_ms.or(proxy.listener.stream_idle_timeout_ms);
    RouteRule {
        matches: vec![RouteMatch {
            path: Some(PathMatch::Prefix(route.prefix.clone())),
            ..RouteMatch::default()
        }],
        split: if split.is_empty() { vec![(destination(proxy, "", ids), 1)] } else { split },
        // A redirect without a code is a 301.
        direct: match (&route.direct_response, &route.redirect) {
            (Some(direct), _) => Some(direct.status),
            (None, Some(_)) => Some(301),
            (None, None) => None,
        },
        cluster_header: None,
        missing_status: route.cluster_not_found_status,
        timeout: timeout(route),
        // Envoy's default is 5 min.
        idle_timeout: ms(idle_ms.unwrap_or(300_000.0)),
        max_stream_duration: Duration::ZERO,
        buffer_limit: proxy.listener.per_request_buffer_limit_bytes.unwrap_or(BUFFER_LIMIT),
        linkerd: Annotations::default(),
        retry: RetryPolicy {
            hedges: route.hedge_on_per_try_timeout == Some(true),
            ..retry(route.retry_policy.as_ref())
        },
        mirrors: copies(proxy, route, ids),
        changes: BTreeMap::new(),
    }
}

/// The copies of a route's requests, to clusters that are there.
fn copies(proxy: &Proxy, route: &Route, ids: &Ids) -> Vec<Mirror> {
    let copy = |one: &schema::Mirror| {
        let wanted = (proxy.name.clone(), one.cluster.clone(), timeout(route));
        let place = ids.copies.iter().position(|known| *known == wanted)?;
        ids.cluster(&proxy.name, &one.cluster)?;
        Some(Mirror {
            route: RouteId(number(ids.services.len() + place)),
            share: one.percent / 100.0,
        })
    };
    route.mirror.iter().flatten().filter_map(copy).collect()
}

/// What copies of requests follow: the proxy, its cluster, and the timeout of their route.
pub(super) type Copies = (String, String, Duration);

/// All of it, each once.
pub(super) fn all_copies(config: &Config) -> Vec<Copies> {
    let mut all = Vec::new();
    let mut add = |proxy: &Proxy, route: &Route| {
        for one in route.mirror.iter().flatten() {
            let copies = (proxy.name.clone(), one.cluster.clone(), timeout(route));
            if !all.contains(&copies) {
                all.push(copies);
            }
        }
    };
    for proxy in &config.proxies {
        proxy.routes.iter().for_each(|route| add(proxy, route));
        for step in config.steps.iter().filter(|_| proxy.name == config.entry) {
            if let Verb::RdsSwitch(routes) = &step.verb {
                for route in routes {
                    add(proxy, route);
                }
            }
        }
    }
    all
}

/// The tables that copies follow.
pub(super) fn tables_of_copies(ids: &Ids, classes: usize) -> impl Iterator<Item = RouteTable> {
    ids.copies.iter().map(move |copies| table_of_copies(copies, ids, classes))
}

fn table_of_copies(copies: &Copies, ids: &Ids, classes: usize) -> RouteTable {
    let (proxy, cluster, timeout) = copies;
    let to = ids.cluster(proxy, cluster);
    let to = to.map_or_else(|| Destination::Missing(cluster.clone()), Destination::Cluster);
    RouteTable {
        service: ids.services.get(proxy).copied().unwrap_or(ServiceId(0)),
        name: format!("copies of {proxy} to {cluster}"),
        rules: vec![RouteRule {
            matches: Vec::new(),
            split: vec![(to, 1)],
            direct: None,
            cluster_header: None,
            missing_status: None,
            timeout: *timeout,
            idle_timeout: Duration::ZERO,
            max_stream_duration: Duration::ZERO,
            buffer_limit: BUFFER_LIMIT,
            linkerd: Annotations::default(),
            retry: no_retry(),
            mirrors: Vec::new(),
            changes: BTreeMap::new(),
        }],
        rule_of_class: vec![None; classes],
    }
}

/// Envoy's default is 15 s.
fn timeout(route: &Route) -> Duration {
    ms(route.timeout_ms.unwrap_or(15_000.0))
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
        per_try_idle_timeout: ms(policy.per_try_idle_timeout_ms.unwrap_or(0.0)),
        backoff_base: ms(base_ms),
        backoff_max: ms(policy.back_off_max_ms.unwrap_or(10.0 * base_ms)),
        previous_hosts: policy.retry_host_predicate.contains(&Predicate::PreviousHosts),
        host_attempts: policy.host_selection_retry_max_attempts.unwrap_or(1),
        previous_priorities: 0,
        hedges: false,
        headers: None,
    }
}
