//! The replicas of istiod over time: a row for each, an interval.
//!
//! Source: what an operator reads off `istiod`'s own metrics: `pilot_xds` (streams),
//! `pilot_proxy_queue_time` (what waits), the container's CPU and memory.
//! Left out: replicas that the autoscaler does not want at the time.

use crate::kernel::time::Time;

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
