//! What a run is asked for besides its plan, and what it tells while it goes on.
//!
//! Source: the flags of `meshsim run`.
//! Left out: wall-clock limits; who watches can stop a run.

use crate::kernel::time::{Duration, Time};

/// Limits and recorders of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Whether anything is recorded. Off changes no event.
    pub recorders: bool,
    /// Whether every call is written down. On changes no event.
    pub access_log: bool,
    /// Look at the whole mesh then. Changes no event.
    pub status_at: Option<Time>,
    /// End after so many events.
    pub max_events: Option<u64>,
    /// End when the world is estimated to hold more bytes.
    pub max_memory: Option<u64>,
    /// Where every round robin starts; drawn for each proxy if none.
    pub round_robin_start: Option<u32>,
    /// How late the timers of proxies for a back-off fire. A scenario's fire in time.
    pub backoff_late: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            recorders: true,
            access_log: false,
            status_at: None,
            max_events: None,
            max_memory: None,
            round_robin_start: None,
            backoff_late: Duration::ZERO,
        }
    }
}

/// How far a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Simulated time.
    pub now: Time,
    /// Of this.
    pub duration: Duration,
    /// Events so far.
    pub events: u64,
    /// Estimated bytes.
    pub memory: u64,
}

/// Whether a run goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Go {
    /// It does.
    On,
    /// It ends now, for this reason (`max-time`, `interrupted`).
    Stop(&'static str),
}
