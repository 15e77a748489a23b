//! Keys of Linkerd's `TrafficSplit`s, of the routes of a `ServiceProfile`, and of limits on streams.
//!
//! Source: as in [`super`]; SMI `TrafficSplit`, `ServiceProfile` v1alpha2, annotations `timeout.linkerd.io/…`.
//! Left out: conditions that are nested deeper than here; classes of answers by more than one range.

use super::super::schema::Default::{Is, None, Required};
use super::super::schema::Keys::Fixed;
use super::super::schema::Kind::{Bool, Duration, Names, Quantities, Table, Tables, Text};
use super::super::schema::{Key, Keys};
use super::key;

pub(super) const TRAFFIC_SPLIT: Key = key(
    "traffic_split",
    Quantities,
    None,
    "Linkerd: its TrafficSplit, services or versions of it and their weights",
);
pub(super) const FAILOVER: Key = key(
    "failover",
    Table(FAILOVER_KEYS),
    None,
    "Linkerd: its TrafficSplit is one of the failover extension",
);
pub(super) const TIMEOUTS: Key = key(
    "timeouts",
    Table(TIMEOUT_KEYS),
    None,
    "Linkerd: timeout.linkerd.io/…, in place of timeout",
);
pub(super) const ROUTES: Key = key(
    "routes",
    Tables(ROUTE_KEYS, "name"),
    None,
    "its routes, the first that matches wins; one for all requests if not given",
);
pub(super) const OF_EVENT: Key =
    key("traffic_split", Quantities, None, "Linkerd: the TrafficSplit from now on");

const FAILOVER_KEYS: Keys = Fixed(&[
    key(
        "primary",
        Text,
        Required,
        "the service, or version, that has all requests while it is ready",
    ),
    key("secondaries", Names, Required, "services or versions that share them while it is not"),
]);

const TIMEOUT_KEYS: Keys = Fixed(&[
    key("request", Duration, Is("0s"), "on a request with its retries; 0s: none"),
    key("response", Duration, Is("0s"), "on an attempt, from its request to the end of its answer"),
    key("idle", Duration, Is("0s"), "on the time without a byte, once there is a header"),
]);

const ROUTE_KEYS: Keys = Fixed(&[
    key("name", Text, Required, "the route's name"),
    key("condition", Table(CONDITION), Required, "what requests it takes: all that is said"),
    key("is_retryable", Bool, Is("false"), "whether failed requests are tried again"),
    key("timeout", Duration, Is("0s"), "limit on a request with its retries; 0s: none"),
    key(
        "response_classes",
        Tables(CLASS, ""),
        None,
        "what answers are, the first that matches; 5xx are failures",
    ),
]);

const CLASS: Keys = Fixed(&[
    key("status", Text, Required, "a status or a range of them: 503, 500-504"),
    key("is_failure", Bool, Is("false"), "whether these are failures"),
]);

/// A condition, to the depth `$below`.
macro_rules! condition {
    ($($below:ident)?) => {
        Fixed(&[
            key("method", Text, None, "the method"),
            key("path_regex", Text, None, "a regular expression for the path, anchored at both ends"),
            $(key("all", Tables($below, ""), None, "all of these"),
            key("any", Tables($below, ""), None, "any of these"),
            key("not", Table($below), None, "not like that"),)?
        ])
    };
}
const CONDITION: Keys = condition!(INNER);
const INNER: Keys = condition!(LEAF);
const LEAF: Keys = condition!();
