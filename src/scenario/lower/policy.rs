//! Policies of clusters and routes: the mesh's parameters with what a service says over them.
//!
//! Source: the words of Istio's `DestinationRule` and `VirtualService`; Envoy's default of 10 × base.
//! Left out: policies of a single client.

use super::super::document::{Node, Value};
use super::super::schema::{Keys, Kind};
use super::super::units::parameter_text;
use crate::kernel::time::Duration;
use crate::plan::outlier::{FailurePercentage, OutlierForms, SuccessRate};
use crate::plan::parameter::Parameters;
use crate::plan::policy::{
    CircuitBreaker, ClusterPolicy, ConnectionPool, LoadBalancer, MERGE_WINDOW, OutlierDetection,
    Protocol, RetryLimit,
};

/// Sets every parameter that a key of `table` or of the tables below stands for.
pub(super) fn override_with(parameters: &mut Parameters, table: &Node, keys: Keys) {
    for entry in table.entries() {
        match keys.find(&entry.key).map(|key| key.kind) {
            Some(Kind::Like(name)) => {
                if let Ok(text) = parameter_text(&entry.node, name) {
                    let _read_by_the_check = parameters.set(name, &text);
                }
            }
            Some(Kind::Table(keys) | Kind::Switch(keys)) => {
                override_with(parameters, &entry.node, keys);
            }
            _ => {}
        }
    }
}

/// The parameters of a service or route: `retries.backoff_base` alone moves the longest back-off
/// along, as Envoy does.
pub(super) fn overridden(base: &Parameters, table: &Node, keys: Keys) -> Parameters {
    let mut own = base.clone();
    override_with(&mut own, table, keys);
    if let Some(retries) = table.get("retries")
        && retries.get("backoff_base").is_some()
        && retries.get("backoff_max").is_none()
    {
        own.retry.backoff_max = own.retry.backoff_base.scale(10.0);
    }
    // Istio's consistent hash is a ring unless it says Maglev.
    if table.get("hash_on").is_some() && table.get("balancer").is_none() {
        own.cluster.balancer = LoadBalancer::RingHash;
    }
    own
}

/// How a service's clusters are treated.
pub(super) fn cluster_policy(own: &Parameters, service: &Node) -> ClusterPolicy {
    let cluster = &own.cluster;
    let budget = service.get("retries").and_then(|retries| retries.get("budget"));
    let connections = service.get("connections");
    let limit = |key: &str| connections.and_then(|one| one.duration(key)).unwrap_or(Duration::ZERO);
    ClusterPolicy {
        balancer: cluster.balancer,
        breaker: CircuitBreaker {
            max_connections: cluster.max_connections,
            max_pending: cluster.max_pending,
            max_requests: cluster.max_requests,
            retries: match budget {
                Some(budget) => RetryLimit::Budget {
                    share: budget.share("share").unwrap_or(0.2),
                    min_concurrency: budget.count("min_concurrency").unwrap_or(3),
                },
                None => RetryLimit::Max(cluster.max_retries),
            },
        },
        outlier: outlier(own, service),
        pool: ConnectionPool {
            protocol: protocol(service),
            connect_timeout: cluster.connect_timeout,
            idle_timeout: cluster.idle_timeout,
            max_requests: connections.and_then(|one| one.count("max_requests")).unwrap_or(0),
            max_streams: cluster.max_streams,
            max_stream_duration: limit("max_stream_duration"),
            churn_per_s: own.connections.churn.0,
            max_duration: limit("max_duration"),
        },
        panic_threshold: cluster.panic_threshold,
        merge_window: service.duration("merge_window").unwrap_or(MERGE_WINDOW),
        drop_overload: service.share("drop_overload").unwrap_or(0.0),
        health_check: None,
        balancing: None,
    }
}

/// The protocol of a service.
pub(super) fn protocol(service: &Node) -> Protocol {
    match service.text("protocol") {
        Some("http2") => Protocol::Http2,
        _ => Protocol::Http1,
    }
}

fn outlier(own: &Parameters, service: &Node) -> Option<OutlierDetection> {
    let asked = service.get("outlier_detection")?;
    if matches!(asked.value, Value::Bool(false)) {
        return None;
    }
    let outlier = &own.outlier;
    Some(OutlierDetection {
        consecutive_5xx: outlier.consecutive_5xx,
        consecutive_gateway: outlier.consecutive_gateway,
        interval: outlier.interval,
        base_ejection: outlier.base_ejection,
        max_ejection: outlier.max_ejection,
        max_ejection_share: outlier.max_ejection_share,
        always_eject_one: outlier.always_eject_one,
        forms: forms(asked),
    })
}

/// What outlier detection has beyond failures in a row.
fn forms(asked: &Node) -> OutlierForms {
    let plain = OutlierForms::default();
    let on = |key: &str| {
        let node = asked.get(key)?;
        (!matches!(node.value, Value::Bool(false))).then_some(node)
    };
    let success_rate = on("success_rate").map(|node| {
        let plain = SuccessRate::default();
        SuccessRate {
            minimum_hosts: node.count("minimum_hosts").unwrap_or(plain.minimum_hosts),
            request_volume: node.count("request_volume").unwrap_or(plain.request_volume),
            stdev_factor: node
                .get("stdev_factor")
                .and_then(Node::number)
                .unwrap_or(plain.stdev_factor),
            enforcing: node.share("enforcing").unwrap_or(plain.enforcing),
        }
    });
    let failure_percentage = on("failure_percentage").map(|node| {
        let plain = FailurePercentage::default();
        FailurePercentage {
            threshold: node.share("threshold").unwrap_or(plain.threshold),
            minimum_hosts: node.count("minimum_hosts").unwrap_or(plain.minimum_hosts),
            request_volume: node.count("request_volume").unwrap_or(plain.request_volume),
            enforcing: node.share("enforcing").unwrap_or(plain.enforcing),
        }
    });
    let share = |key: &str| asked.share(key).unwrap_or(1.0);
    let local = |key: &str| {
        on(key).and_then(|node| node.share("enforcing_local_origin")).unwrap_or_default()
    };
    OutlierForms {
        enforcing_consecutive_5xx: share("enforcing_consecutive_5xx"),
        enforcing_consecutive_gateway: share("enforcing_consecutive_gateway"),
        split_local_origin: asked.flag("split_local_origin").unwrap_or(plain.split_local_origin),
        consecutive_local_origin: asked
            .count("consecutive_local_origin")
            .unwrap_or(plain.consecutive_local_origin),
        enforcing_consecutive_local_origin: share("enforcing_consecutive_local_origin"),
        enforcing_local_origin_success_rate: local("success_rate"),
        enforcing_failure_percentage_local_origin: local("failure_percentage"),
        success_rate,
        failure_percentage,
        max_ejection_jitter: asked
            .duration("max_ejection_jitter")
            .unwrap_or(plain.max_ejection_jitter),
    }
}
