//! Sampling: requests are simulated in windows, everything else all the time.
//!
//! Source: ARCHITECTURE.md, "Long time"; the words are those of survey sampling (Cochran, Sampling
//! Techniques, 1977): a period is a stratum, a window its sample.
//! Left out: windows that follow the traffic's own rhythm.

use crate::kernel::time::Duration;

/// How requests are sampled.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sampling {
    /// Between events, one window lies somewhere in each period of at most this length.
    pub every: Duration,
    /// The recorded part of a window, above 0.
    pub window: Duration,
    /// What is simulated before it and not recorded: queues fill, connections open.
    pub lead_in: Duration,
    /// All requests are simulated from so long before each event of the timeline to so long after.
    pub around_events: Duration,
    /// Traffic below this is never sampled: requests per second of one client proxy to one
    /// destination.
    pub full_below_per_s: f64,
}
