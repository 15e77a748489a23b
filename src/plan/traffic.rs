//! Sources of requests.
//!
//! Source: open and closed loop as in Schroeder et al., NSDI 2006.
//! Left out: request sizes, TCP, session keys.

use crate::kernel::distribution::Distribution;
use crate::kernel::time::{Duration, Time};
use crate::plan::universe::{ClassId, ServiceId, WorkloadId};
use std::fmt;

/// A source of requests.
#[derive(Clone, PartialEq)]
pub struct Traffic {
    /// Names it; the source of external traffic in `outcomes.csv`.
    pub id: String,
    /// Its requests start at the proxies of this workload.
    pub from: WorkloadId,
    /// Whether they come from outside (through a gateway), or the workload's app makes them.
    pub external: bool,
    /// The service called.
    pub to: ServiceId,
    /// The class of its requests.
    pub class: ClassId,
    /// Classes that its requests have in turn instead, from the first on; empty for none.
    pub turns: Vec<ClassId>,
    /// When they come.
    pub arrivals: Arrivals,
}

impl fmt::Debug for Traffic {
    /// The plan's digest is made from this: what is not asked for does not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Traffic");
        fields
            .field("id", &self.id)
            .field("from", &self.from)
            .field("external", &self.external)
            .field("to", &self.to)
            .field("class", &self.class);
        if !self.turns.is_empty() {
            fields.field("turns", &self.turns);
        }
        fields.field("arrivals", &self.arrivals);
        fields.finish()
    }
}

/// When requests come.
#[derive(Clone, PartialEq, Debug)]
pub enum Arrivals {
    /// Independent of the answers.
    OpenLoop {
        /// The law of the gaps.
        process: ArrivalProcess,
        /// Rate over time: (from, requests per second), in time order, the first at zero.
        rate: Vec<RatePoint>,
    },
    /// At given instants.
    Replay(Vec<Time>),
    /// Users who wait for an answer, think, and ask again.
    ClosedLoop {
        /// How many.
        users: u32,
        /// From an answer to the next request.
        think: Distribution,
    },
    /// Users who share a number of requests: whoever has its answer, and has thought, takes the
    /// next one, until none is left.
    Shared {
        /// When they all begin.
        from: Time,
        /// How many users.
        users: u32,
        /// From an answer to the next request.
        think: Duration,
        /// Requests in all.
        requests: u64,
    },
}

impl Arrivals {
    /// Users who wait for answers; none where requests do not wait for each other.
    pub fn users(&self) -> u32 {
        match self {
            Self::ClosedLoop { users, .. } | Self::Shared { users, .. } => *users,
            Self::OpenLoop { .. } | Self::Replay(_) => 0,
        }
    }
}

impl Arrivals {
    /// The highest rate in a run of `duration`, in requests per second.
    pub fn peak_per_s(&self, duration: Duration) -> f64 {
        match self {
            Self::OpenLoop { rate, .. } => rate.iter().map(|point| point.per_s).fold(0.0, f64::max),
            Self::Replay(times) => times.len() as f64 / duration.as_s(),
            Self::ClosedLoop { users, think } => {
                // Whoever does not think waits for an answer: a millisecond at the least.
                f64::from(*users) / (think.mean_ns() / 1e9).max(1e-3)
            }
            Self::Shared { users, think, .. } => f64::from(*users) / think.as_s().max(1e-3),
        }
    }
}

/// The law of the gaps of an open loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArrivalProcess {
    /// Exponential gaps.
    Poisson,
    /// Equal gaps.
    Constant,
}

/// The rate from an instant on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RatePoint {
    /// From here.
    pub from: Time,
    /// Requests per second here.
    pub per_s: f64,
    /// Whether the rate moves in a straight line to the next point, or stays.
    pub ramp: bool,
}
