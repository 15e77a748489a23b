//! Keys of active health checks.
//!
//! Source: as in [`super`]; Envoy requires what has a default here, so the defaults are those of Envoy
//! Gateway's `BackendTrafficPolicy` (1 s, 3 s, 3 and 1).
//! Left out: paths: an app answers all checks alike.

use super::super::schema::Default::{Is, None};
use super::super::schema::Keys;
use super::super::schema::Keys::Fixed;
use super::super::schema::Kind::{Count, Duration, Names};
use super::{ANY, key};

pub(super) const HEALTH_CHECKS: Keys = Fixed(&[
    key("timeout", Duration, Is("1s"), "an answer must come within this"),
    key("interval", Duration, Is("3s"), "from the end of a check to the next one"),
    key("interval_jitter", Duration, Is("0s"), "a draw below this is added to the interval"),
    key("initial_jitter", Duration, Is("0s"), "the first check of a new endpoint waits up to this"),
    key("no_traffic_interval", Duration, Is("60s"), "the interval before the first request"),
    key("unhealthy_threshold", Count(1, ANY), Is("3"), "failures in a row; a bad status needs one"),
    key("healthy_threshold", Count(1, ANY), Is("1"), "successes in a row"),
    key("retriable_statuses", Names, None, "bad statuses that count to the threshold"),
]);
