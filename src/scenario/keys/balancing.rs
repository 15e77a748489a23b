//! Keys of load balancing: how an endpoint is chosen.
//!
//! Source: as in [`super`]; the words are those of Istio's `DestinationRule` and Envoy's `lb_config`.
//! Left out: nothing beside what `plan::balancing` leaves out.

use super::super::schema::Default::{Is, None, Required};
use super::super::schema::Keys::Fixed;
use super::super::schema::Kind::{
    Bool, Count, Duration, Number, Share, Switch, Table, Tables, Text, Weights,
};
use super::super::schema::{Key, Keys};
use super::{ANY, key, like};

/// Points of a ring, and places of a table, that Envoy accepts.
const RING_MAX: i64 = 8_388_608;
const TABLE_MAX: i64 = 5_000_011;

pub(super) const BALANCER: Key = like("balancer", "cluster.balancer", "how an endpoint is chosen");
pub(super) const CHOICE_COUNT: Key =
    key("choice_count", Count(2, ANY), Is("2"), "least_request: draws, the least loaded wins");
pub(super) const ACTIVE_REQUEST_BIAS: Key =
    key("active_request_bias", Number, Is("1"), "least_request: weight / (active + 1) ^ this");
pub(super) const LOAD_REFRESH: Key =
    key("load_refresh", Duration, Is("0s"), "least_request: loads are read so often; 0 for always");
pub(super) const HASH_ON: Key = key(
    "hash_on",
    Table(HASH_ON_KEYS),
    None,
    "ring_hash, maglev: what is hashed; a draw if not given",
);
pub(super) const MINIMUM_RING_SIZE: Key =
    key("minimum_ring_size", Count(1, RING_MAX), Is("1024"), "ring_hash: points at least");
pub(super) const MAXIMUM_RING_SIZE: Key =
    key("maximum_ring_size", Count(1, RING_MAX), Is("8388608"), "ring_hash: points at most");
pub(super) const MAGLEV_TABLE_SIZE: Key =
    key("maglev_table_size", Count(2, TABLE_MAX), Is("65537"), "maglev: places, a prime");
pub(super) const SLOW_START: Key =
    key("slow_start", Table(SLOW_START_KEYS), None, "a new endpoint's weight grows with its age");
pub(super) const LOCALITY: Key =
    key("locality", Table(LOCALITY_KEYS), None, "how places count; not at all if not given");

const HASH_ON_KEYS: Keys = Fixed(&[
    key("header", Text, None, "the value of this header; user-{1..1000} has one a request"),
    key("cookie", Text, None, "the value of this cookie; made from the client if it is missing"),
    key("query", Text, None, "the value of this parameter of the path"),
    key(
        "source",
        Bool,
        Is("false"),
        "the client's address; from ingress every request has its own",
    ),
]);

const SLOW_START_KEYS: Keys = Fixed(&[
    key("window", Duration, Required, "how long an endpoint is new"),
    key("aggression", Number, Is("1"), "weight × (age / window) ^ (1 / this)"),
    key("min_weight", Share, Is("10%"), "at least this share of the weight"),
]);

pub(crate) const LOCALITY_KEYS: Keys = Fixed(&[
    key("failover", Bool, Is("false"), "other zones are the next priority (Istio's failover)"),
    key("prefer_close", Bool, Is("false"), "the same (Kubernetes' trafficDistribution)"),
    key("weights", Weights, None, "zones and their weights, for all clients"),
    key("distribute", Tables(DISTRIBUTE, ""), None, "weights by the client's zone; others as ever"),
    key("zone_aware", Switch(ZONE_AWARE), None, "stay in the zone as far as numbers allow"),
]);

const DISTRIBUTE: Keys = Fixed(&[
    key("from", Text, None, "the clients' zone; all others if not given"),
    key("to", Weights, Required, "zones and their percents; other zones get nothing"),
]);

const ZONE_AWARE: Keys = Fixed(&[key(
    "min_cluster_size",
    Count(0, ANY),
    Is("6"),
    "with fewer healthy endpoints zones do not count",
)]);
