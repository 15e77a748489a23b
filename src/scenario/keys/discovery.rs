//! Keys of what the control plane tells, and of how it sends it.
//!
//! Source: as in [`super`]; the words are those of Envoy's xDS and of its admin interface.
//! Left out: resources by their Envoy names.

use super::super::schema::Default::{Is, None};
use super::super::schema::Kind::{Bool, Duration, Names, Share, Table, Word};
use super::super::schema::{Key, Keys};
use super::balancing::BALANCER;
use super::policy::{CIRCUIT_BREAKER, CONNECTIONS, OUTLIER_DETECTION, PANIC_THRESHOLD};
use super::{PROTOCOLS, key};

/// How configuration is sent.
pub(crate) const OF_MESH: Key =
    key("discovery", Table(DISCOVERY), None, "how the control plane sends configuration");

const DISCOVERY: Keys = Keys::Fixed(&[
    key("order", Names, None, "of the types in a push; cds, eds, lds, rds"),
    key("gap", Duration, Is("0s"), "from one type of a push to the next, at its proxy"),
    key(
        "initial_fetch_timeout",
        Duration,
        Is("0s"),
        "a new cluster is used without endpoints when EDS takes so long; 0s for never",
    ),
]);

/// What a changed cluster may have of its own.
pub(crate) const CLUSTER: Keys = Keys::Fixed(&[
    key("protocol", Word(PROTOCOLS), None, "between proxies"),
    BALANCER,
    CIRCUIT_BREAKER,
    OUTLIER_DETECTION,
    CONNECTIONS,
    PANIC_THRESHOLD,
    DROP_OVERLOAD,
]);

/// A share of requests that is not to be served.
pub(super) const DROP_OVERLOAD: Key =
    key("drop_overload", Share, Is("0"), "this share of requests is dropped, as EDS asks (503 DO)");

pub(super) const REMOVED: Key = key(
    "removed",
    Bool,
    Is("false"),
    "the cluster, the listener or what is said of who may call is gone, not changed",
);
pub(super) const OF_CLUSTER: Key =
    key("cluster", Table(CLUSTER), None, "what the cluster has of its own from now on");
pub(super) const LIST: Key =
    key("list", Names, None, "versions, or SERVICE/VERSION, whose pods EDS lists; [] for none");
pub(super) const REJECTED: Key =
    key("rejected", Bool, Is("false"), "proxies reject it, and keep what they have");
pub(super) const DRAIN_TIME: Key =
    key("drain_time", Duration, None, "how long old connections are drained; 45s in Istio, 600s");
pub(super) const STRATEGY: Key = key(
    "strategy",
    Word(&["gradual", "immediate"]),
    None,
    "which answers close connections meanwhile; immediate in Istio, gradual",
);
