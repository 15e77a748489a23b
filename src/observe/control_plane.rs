//! What the control plane did, and its replicas over time: a row for each, an interval.
//!
//! Source: what an operator reads off `istiod`'s own metrics: `pilot_xds` (streams),
//! `pilot_proxy_queue_time` (what waits), the container's CPU and memory.
//! Left out: replicas that the autoscaler does not want at the time.

use crate::kernel::time::{Duration, Time};

/// What the control plane did in the whole run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ControlPlaneCounts {
    /// Configurations delivered to proxies.
    pub pushes: u64,
    /// Leaf certificates issued.
    pub certificates_issued: u64,
    /// Certificate requests that failed (every inner try counts).
    pub certificate_requests_failed: u64,
    /// Leaf certificates that reached their end on a live proxy.
    pub certificates_expired: u64,
    /// TLS handshakes made.
    pub handshakes: u64,
    /// TLS handshakes that failed.
    pub handshakes_failed: u64,
    /// xDS streams opened.
    pub streams_opened: u64,
    /// xDS stream attempts that failed.
    pub stream_attempts_failed: u64,
    /// Pods created.
    pub pods_created: u64,
    /// Pod creations refused.
    pub pods_refused: u64,
    /// Containers that ended by themselves and were started again.
    pub container_restarts: u64,
    /// What operators wrote and the API server refused.
    pub changes_rejected: u64,
    /// Time from a change until a connected proxy has it: the median over all of them.
    pub convergence_p50: Duration,
    /// See `convergence_p50`.
    pub convergence_p99: Duration,
    /// The longest.
    pub convergence_max: Duration,
    /// Replicas of istiod that were killed for their memory.
    pub replicas_killed: u64,
}

/// One replica at an interval's begin.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ReplicaRow {
    /// The interval's begin.
    pub time: Time,
    /// Its number: istiod-0 is 0.
    pub replica: u32,
    /// Whether it serves xDS.
    pub is_ready: bool,
    /// Streams of proxies that it has.
    pub streams: u32,
    /// Proxies that it pushes to, or that wait for it.
    pub push_queue: u32,
    /// Cores in use.
    pub cpu: f64,
    /// Bytes of memory in use.
    pub memory: u64,
    /// The version of the configuration that it serves: changes since the begin, and one.
    pub version: u32,
}
