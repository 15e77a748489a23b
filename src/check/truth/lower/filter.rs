//! Filters of a proxy's listener. An authorization filter asks a service that stands for its cluster.
//!
//! Source: the schema `envoy-lab/2`; Envoy 1.40's defaults, where a key is absent.
//! Left out: nothing of the schema.

use super::super::schema::config::{Config, Filter as Given, Principal as Who, Proxy};
use super::super::schema::words::{FilterKind, RbacAction};
use super::{Ids, ms};
use crate::kernel::time::Duration;
use crate::plan::asked::no_retry;
use crate::plan::filter::{
    Abort, ExtAuthz, Fault, Filter, LocalRateLimit, Principal, Rbac, RbacPolicy,
};
use crate::plan::linkerd::policy::Annotations;
use crate::plan::route::{BUFFER_LIMIT, Destination, RouteRule, RouteTable};
use crate::plan::universe::{ServiceId, Universe};
use std::collections::{BTreeMap, BTreeSet};

/// The filters of a proxy, in order.
pub(super) fn filters(proxy: &Proxy, ids: &Ids) -> Vec<Filter> {
    proxy.listener.filters.iter().map(|filter| lower(proxy, filter, ids)).collect()
}

fn lower(proxy: &Proxy, given: &Given, ids: &Ids) -> Filter {
    let share = |percent: Option<f64>| percent.unwrap_or(0.0) / 100.0;
    match given.filter {
        FilterKind::Fault => Filter::Fault(Fault {
            delay: ms(given.delay_ms.unwrap_or(0.0)),
            delay_share: share(given.delay_percent),
            abort: match (given.abort_status, given.abort_grpc_status) {
                (None, Some(status)) => Abort::Grpc(u8::try_from(status).unwrap_or(u8::MAX)),
                (status, _) => Abort::Http(status.unwrap_or(503)),
            },
            abort_share: share(given.abort_percent),
            max_active: given.max_active_faults,
        }),
        FilterKind::LocalRateLimit => Filter::LocalRateLimit(LocalRateLimit {
            max_tokens: given.max_tokens.unwrap_or(1),
            tokens_per_fill: given.tokens_per_fill.unwrap_or(1),
            fill_interval: ms(given.fill_interval_ms.unwrap_or(1000.0)),
        }),
        FilterKind::Rbac => Filter::Rbac(Rbac {
            allows: given.action != Some(RbacAction::Deny),
            policies: given
                .policies
                .iter()
                .map(|policy| RbacPolicy {
                    name: policy.name.clone(),
                    principal: match &policy.principal {
                        Who::Any(_) => Principal::Any,
                        Who::Header(header) => {
                            Principal::HeaderPresent(header.header_present.to_lowercase())
                        }
                    },
                })
                .collect(),
        }),
        FilterKind::ExtAuthz => {
            let name = service(&proxy.name, given.cluster.as_deref().unwrap_or_default());
            Filter::ExtAuthz(ExtAuthz {
                service: ids.services.get(&name).copied().unwrap_or(ServiceId(0)),
                failure_mode_allow: given.failure_mode_allow.unwrap_or(false),
            })
        }
    }
}

/// The name of the service that stands for an authorization filter's cluster.
fn service(proxy: &str, cluster: &str) -> String {
    format!("{proxy} authz {cluster}")
}

/// Proxies with their authorization filters.
fn authz(config: &Config) -> impl Iterator<Item = (&Proxy, &Given)> {
    config.proxies.iter().flat_map(|proxy| {
        let filters = proxy.listener.filters.iter();
        filters.filter(|one| one.filter == FilterKind::ExtAuthz).map(move |one| (proxy, one))
    })
}

/// The services that stand for the clusters of authorization filters.
pub(super) fn services(config: &Config) -> impl Iterator<Item = String> {
    authz(config)
        .map(|(proxy, one)| service(&proxy.name, one.cluster.as_deref().unwrap_or_default()))
}

/// The hosts that are asked for authorization; they are no applications.
pub(in super::super) fn hosts(config: &Config) -> BTreeSet<&str> {
    let clusters = authz(config).filter_map(|(proxy, one)| {
        proxy.clusters.iter().find(|cluster| Some(&cluster.name) == one.cluster.as_ref())
    });
    clusters.flat_map(|cluster| cluster.endpoints.iter().flatten()).map(|one| &*one.host).collect()
}

/// The route table of such a service.
pub(super) fn table(config: &Config, name: &str, ids: &Ids, universe: &Universe) -> RouteTable {
    let found = authz(config).find(|(proxy, one)| {
        service(&proxy.name, one.cluster.as_deref().unwrap_or_default()) == name
    });
    let rule = found.map(|(proxy, one)| {
        let cluster = one.cluster.clone().unwrap_or_default();
        RouteRule {
            matches: Vec::new(),
            split: vec![(
                match ids.cluster(&proxy.name, &cluster) {
                    Some(cluster) => Destination::Cluster(cluster),
                    None => Destination::Missing(cluster),
                },
                1,
            )],
            direct: None,
            // Envoy's default is 200 ms.
            cluster_header: None,
            missing_status: None,
            timeout: ms(one.timeout_ms.unwrap_or(200.0)),
            idle_timeout: ms(0.0),
            max_stream_duration: Duration::ZERO,
            buffer_limit: BUFFER_LIMIT,
            linkerd: Annotations::default(),
            retry: no_retry(),
            mirrors: Vec::new(),
            changes: BTreeMap::new(),
        }
    });
    RouteTable {
        service: ids.services.get(name).copied().unwrap_or(ServiceId(0)),
        name: format!("routes of {name}"),
        rule_of_class: universe.classes.iter().map(|_| rule.as_ref().map(|_| 0)).collect(),
        rules: rule.into_iter().collect(),
    }
}
