//! Keys of a cluster's policies beside balancing: ceilings, health, connections; and its subsets, which may have
//! policies of their own.
//!
//! Source: as in [`super`]; the words are those of Istio's `DestinationRule`.
//! Left out: policies by port.

use super::super::schema::Default::{Is, None, Required};
use super::super::schema::Keys::Fixed;
use super::super::schema::Kind::{
    Bool, Count, Duration, Labels, Number, Share, Switch, Table, Text,
};
use super::super::schema::{Key, Keys};
use super::balancing::{
    ACTIVE_REQUEST_BIAS, BALANCER, CHOICE_COUNT, HASH_ON, LOAD_REFRESH, LOCALITY,
    MAGLEV_TABLE_SIZE, MAXIMUM_RING_SIZE, MINIMUM_RING_SIZE, SLOW_START,
};
use super::health::HEALTH_CHECKS as CHECKS;
use super::{ANY, key, like};

pub(super) const CIRCUIT_BREAKER: Key =
    key("circuit_breaker", Table(CIRCUIT_BREAKER_KEYS), None, "ceilings per proxy");
pub(super) const OUTLIER_DETECTION: Key =
    key("outlier_detection", Switch(OUTLIER), None, "passive health; off if not given");
pub(super) const HEALTH_CHECKS: Key =
    key("health_checks", Switch(CHECKS), None, "proxies ask endpoints how they are");
pub(super) const CONNECTIONS: Key =
    key("connections", Table(CONNECTIONS_KEYS), None, "the connection pool");
pub(super) const PANIC_THRESHOLD: Key =
    like("panic_threshold", "cluster.panic_threshold", "below this share use all endpoints");

/// A subset of a service's workloads.
pub(super) const SUBSET: Keys = Fixed(&[
    key("name", Text, Required, "names it, as a version does"),
    key("labels", Labels, None, "labels that its workloads have; all of them if not given"),
    BALANCER,
    CHOICE_COUNT,
    ACTIVE_REQUEST_BIAS,
    LOAD_REFRESH,
    HASH_ON,
    MINIMUM_RING_SIZE,
    MAXIMUM_RING_SIZE,
    MAGLEV_TABLE_SIZE,
    SLOW_START,
    LOCALITY,
    CIRCUIT_BREAKER,
    OUTLIER_DETECTION,
    HEALTH_CHECKS,
    CONNECTIONS,
    PANIC_THRESHOLD,
]);

const CIRCUIT_BREAKER_KEYS: Keys = Fixed(&[
    like("max_connections", "cluster.max_connections", "connections"),
    like("max_pending", "cluster.max_pending", "requests that wait for a connection"),
    like("max_requests", "cluster.max_requests", "requests under way"),
    like("max_retries", "cluster.max_retries", "retries under way"),
]);

const OUTLIER: Keys = Fixed(&[
    like(
        "consecutive_5xx",
        "outlier.consecutive_5xx",
        "5xx and local failures in a row; 0 for off",
    ),
    like("consecutive_gateway", "outlier.consecutive_gateway", "502, 503, 504 in a row; 0 for off"),
    like("interval", "outlier.interval", "the grid on which endpoints are compared and come back"),
    like("base_ejection", "outlier.base_ejection", "an ejection lasts this × ejections so far"),
    like("max_ejection", "outlier.max_ejection", "at most so long"),
    like("max_ejection_share", "outlier.max_ejection_share", "at most this share, rounded down"),
    like("always_eject_one", "outlier.always_eject_one", "one even if the share allows none"),
    key("enforcing_consecutive_5xx", Share, Is("100%"), "share of detections that eject"),
    key("enforcing_consecutive_gateway", Share, Is("100%"), "share of detections that eject"),
    key("split_local_origin", Bool, Is("false"), "count failures of this side apart from answers"),
    key(
        "consecutive_local_origin",
        Count(0, ANY),
        Is("5"),
        "if apart: so many in a row; 0 for off",
    ),
    key("enforcing_consecutive_local_origin", Share, Is("100%"), "share of detections that eject"),
    key("success_rate", Switch(SUCCESS_RATE), None, "far below the mean; off if not given"),
    key("failure_percentage", Switch(FAILURE_PERCENTAGE), None, "too many fail; off if not given"),
    key("max_ejection_jitter", Duration, Is("0s"), "an ejection lasts longer by a draw below this"),
]);

const SUCCESS_RATE: Keys = Fixed(&[
    key("minimum_hosts", Count(0, ANY), Is("5"), "fewer endpoints are not compared"),
    key("request_volume", Count(0, ANY), Is("100"), "answers of an endpoint in an interval"),
    key("stdev_factor", Number, Is("1.9"), "so many standard deviations below the mean"),
    key("enforcing", Share, Is("100%"), "share of detections that eject"),
    key(
        "enforcing_local_origin",
        Share,
        Is("0%"),
        "with `split_local_origin`: of this side's failures",
    ),
]);

const FAILURE_PERCENTAGE: Keys = Fixed(&[
    key("threshold", Share, Is("85%"), "the share of failures that is too large"),
    key("minimum_hosts", Count(0, ANY), Is("5"), "fewer endpoints are not looked at"),
    key("request_volume", Count(0, ANY), Is("50"), "answers of an endpoint in an interval"),
    key("enforcing", Share, Is("100%"), "share of detections that eject"),
    key(
        "enforcing_local_origin",
        Share,
        Is("0%"),
        "with `split_local_origin`: of this side's failures",
    ),
]);

const CONNECTIONS_KEYS: Keys = Fixed(&[
    like("churn", "connections.churn", "rate at which each connection is closed from outside"),
    like("idle_timeout", "cluster.idle_timeout", "closed after this without a request"),
    like("connect_timeout", "cluster.connect_timeout", "TCP and TLS must be up within this"),
    key("max_requests", Count(0, ANY), Is("0"), "requests a connection carries; 0 for no limit"),
    like("max_streams", "cluster.max_streams", "streams at once on an HTTP/2 connection"),
    key(
        "max_stream_duration",
        Duration,
        Is("0s"),
        "limit on an attempt with its answer; 0 for none",
    ),
    key("max_duration", Duration, Is("0s"), "age at which a connection is drained; 0 for none"),
]);
