//! Active health checks: a proxy asks each endpoint how it is.
//!
//! Source: Envoy's `health_check.proto`, HTTP checks; Istio configures none.
//! Left out: TCP and gRPC checks, jitter in percent, `always_log`, connections kept between checks.

use crate::kernel::time::Duration;

/// How endpoints are asked.
#[derive(Clone, PartialEq, Debug)]
pub struct HealthCheck {
    /// An answer must come within this.
    pub timeout: Duration,
    /// From the end of a check to the next, once the cluster has had a request.
    pub interval: Duration,
    /// A draw below this is added to `interval`.
    pub interval_jitter: Duration,
    /// The first check of an endpoint that joins waits for a draw below this.
    pub initial_jitter: Duration,
    /// The same before its first request; Envoy's default is 60 s.
    pub no_traffic_interval: Duration,
    /// Failures in a row after which a healthy endpoint is unhealthy, at least 1.
    pub unhealthy_threshold: u32,
    /// Successes in a row after which an unhealthy endpoint is healthy, at least 1.
    pub healthy_threshold: u32,
    /// Statuses that count towards the threshold, from first to last; other bad ones do not wait
    /// for it.
    pub retriable_statuses: Vec<(u16, u16)>,
}

/// What active health checks of an endpoint get.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CheckReply {
    /// A status; none for that of other requests.
    pub status: Option<u16>,
    /// After this; none for the time of other requests.
    pub delay: Option<Duration>,
}
