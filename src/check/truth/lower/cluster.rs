//! Clusters: balancing, breakers, outlier detection, pools.
//!
//! Source: Envoy 1.40's defaults, where a key is absent.
//! Left out: what `gaps` lists.

use super::super::schema::config::{Cluster, HealthCheck as Check, OutlierDetection as Outlier};
use super::super::schema::words::{Http, Lb};
use super::ms;
use crate::kernel::time::Duration;
use crate::plan::balancing::{Balancing, HashOn, Locality, LocalityWeights, SlowStart};
use crate::plan::health_check::HealthCheck;
use crate::plan::outlier::{FailurePercentage, OutlierForms, SuccessRate};
use crate::plan::policy::{
    CircuitBreaker, ClusterPolicy, ConnectionPool, LoadBalancer, MERGE_WINDOW, OutlierDetection,
    Protocol, RetryLimit,
};
use crate::plan::universe::ZoneId;

/// How a cluster is treated.
pub(super) fn policy(
    cluster: &Cluster,
    hash_on: Option<HashOn>,
    zones: &[String],
) -> ClusterPolicy {
    let breakers = &cluster.circuit_breakers;
    ClusterPolicy {
        balancer: match cluster.lb_policy {
            Lb::LeastRequest => {
                let choices = cluster.lb_config.choice_count.unwrap_or(2).max(1);
                LoadBalancer::LeastRequest { choices }
            }
            Lb::Random => LoadBalancer::Random,
            Lb::RingHash => LoadBalancer::RingHash,
            Lb::Maglev => LoadBalancer::Maglev,
            Lb::RoundRobin => LoadBalancer::RoundRobin,
        },
        breaker: CircuitBreaker {
            max_connections: breakers.max_connections.unwrap_or(1024),
            max_pending: breakers.max_pending_requests.unwrap_or(1024),
            max_requests: breakers.max_requests.unwrap_or(1024),
            retries: match &breakers.retry_budget {
                Some(budget) => RetryLimit::Budget {
                    share: budget.budget_percent / 100.0,
                    min_concurrency: budget.min_retry_concurrency,
                },
                None => RetryLimit::Max(breakers.max_retries.unwrap_or(3)),
            },
        },
        outlier: cluster.outlier_detection.as_ref().map(outlier),
        pool: ConnectionPool {
            protocol: match cluster.http {
                Http::Http1 => Protocol::Http1,
                Http::Http2 => Protocol::Http2,
            },
            connect_timeout: ms(cluster.connect_timeout_ms),
            idle_timeout: Duration::from_s(3600),
            max_requests: cluster.max_requests_per_connection.unwrap_or(0),
            max_streams: 1024,
            max_stream_duration: ms(cluster.max_stream_duration_ms.unwrap_or(0.0)),
            churn_per_s: 0.0,
            max_duration: ms(cluster.max_connection_duration_ms.unwrap_or(0.0)),
        },
        panic_threshold: cluster.healthy_panic_threshold_percent.unwrap_or(50.0) / 100.0,
        merge_window: MERGE_WINDOW,
        drop_overload: cluster.drop_overload_percent.unwrap_or(0.0) / 100.0,
        health_check: cluster.health_checks.first().map(|one| Box::new(health_check(one))),
        balancing: balancing(cluster, hash_on, zones),
    }
}

/// What a cluster asks for beyond its balancer; none if it is nothing.
fn balancing(
    cluster: &Cluster,
    hash_on: Option<HashOn>,
    zones: &[String],
) -> Option<Box<Balancing>> {
    let given = &cluster.lb_config;
    let usual = Balancing::default();
    let (least, most) = usual.ring_size;
    let zone = |name: &String| zones.iter().position(|one| one == name);
    // Where no weight is above 0, Envoy balances as without any.
    let weights = cluster.locality_weights.as_ref();
    let weights = weights.filter(|weights| weights.values().any(|weight| 1.0 <= *weight));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a weight")]
    let locality = weights.map(|weights| {
        let to = weights.iter().filter_map(|(name, weight)| {
            Some((ZoneId(super::number(zone(name)?)), *weight as u32))
        });
        Locality::Weighted(vec![LocalityWeights { from: None, to: to.collect() }])
    });
    let balancing = Balancing {
        active_request_bias: given.active_request_bias.unwrap_or(usual.active_request_bias),
        hash_on,
        ring_size: (given.minimum_ring_size.unwrap_or(least), most),
        slow_start: given.slow_start.as_ref().map(|slow| SlowStart {
            window: ms(slow.window_ms),
            aggression: 1.0,
            min_weight: slow.min_weight_percent / 100.0,
        }),
        locality,
        ..usual.clone()
    };
    (balancing != usual).then(|| Box::new(balancing))
}

/// Envoy takes one health check a cluster.
fn health_check(check: &Check) -> HealthCheck {
    HealthCheck {
        timeout: ms(check.timeout_ms),
        interval: ms(check.interval_ms),
        interval_jitter: ms(check.interval_jitter_ms),
        initial_jitter: ms(check.initial_jitter_ms),
        no_traffic_interval: ms(check.no_traffic_interval_ms),
        unhealthy_threshold: check.unhealthy_threshold,
        healthy_threshold: check.healthy_threshold,
        retriable_statuses: check.retriable_statuses.iter().map(|[a, b]| (*a, *b)).collect(),
    }
}

fn outlier(outlier: &Outlier) -> OutlierDetection {
    // Gateway failures in a row are detected and, unless told otherwise, do not eject.
    let share = |percent: Option<f64>, default: f64| percent.unwrap_or(default) / 100.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let number = |given: Option<f64>, default: u32| given.map_or(default, |given| given as u32);
    let base_ms = outlier.base_ejection_time_ms.unwrap_or(30_000.0);
    let rate = SuccessRate::default();
    let success_rate = SuccessRate {
        minimum_hosts: number(outlier.success_rate_minimum_hosts, rate.minimum_hosts),
        request_volume: number(outlier.success_rate_request_volume, rate.request_volume),
        stdev_factor: outlier.success_rate_stdev_factor.unwrap_or(1900.0) / 1000.0,
        enforcing: share(outlier.enforcing_success_rate, 100.0),
    };
    let percentage = FailurePercentage::default();
    let failure_percentage = FailurePercentage {
        threshold: share(outlier.failure_percentage_threshold, 85.0),
        minimum_hosts: number(outlier.failure_percentage_minimum_hosts, percentage.minimum_hosts),
        request_volume: number(
            outlier.failure_percentage_request_volume,
            percentage.request_volume,
        ),
        enforcing: share(outlier.enforcing_failure_percentage, 0.0),
    };
    OutlierDetection {
        consecutive_5xx: outlier.consecutive_5xx.unwrap_or(5),
        consecutive_gateway: outlier.consecutive_gateway_failure.unwrap_or(5),
        interval: ms(outlier.interval_ms.unwrap_or(10_000.0)),
        base_ejection: ms(base_ms),
        max_ejection: ms(outlier.max_ejection_time_ms.unwrap_or(300_000.0).max(base_ms)),
        max_ejection_share: outlier.max_ejection_percent.unwrap_or(10.0) / 100.0,
        always_eject_one: outlier.always_eject_one_host.unwrap_or(false),
        forms: OutlierForms {
            enforcing_consecutive_5xx: share(outlier.enforcing_consecutive_5xx, 100.0),
            enforcing_consecutive_gateway: share(
                outlier.enforcing_consecutive_gateway_failure,
                0.0,
            ),
            split_local_origin: outlier.split_external_local_origin_errors == Some(true),
            consecutive_local_origin: outlier.consecutive_local_origin_failure.unwrap_or(5),
            // What is not enforced is detected all the same, and logged and counted.
            success_rate: Some(success_rate),
            failure_percentage: Some(failure_percentage),
            enforcing_local_origin_success_rate: 1.0,
            max_ejection_jitter: ms(outlier.max_ejection_time_jitter_ms.unwrap_or(0.0)),
            ..OutlierForms::default()
        },
    }
}
