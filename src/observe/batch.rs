//! Batches: what a sampled run recorded, in the pieces that its estimates are made from.
//!
//! Each root request belongs to the batch in which it began, or to none. In a run that is not
//! sampled there is one batch, [`ALL`], and nothing is kept for it: the totals say everything.
//!
//! Source: batch means, as in every text on simulation output analysis (Law, Simulation Modeling and
//! Analysis, chapter 9).
//! Left out: batches of hops; only root requests have intervals.

use super::estimate::Unit;
use super::run::Tally;
use crate::kernel::bytes::Bytes as _;
use crate::kernel::histogram::{Cell, Histogram};
use crate::kernel::time::{Duration, Time};

/// The batch of every request of a run that is not sampled, and the first of those that are never
/// sampled.
pub const ALL: u32 = 0;
/// Requests that are not recorded.
pub const UNRECORDED: u32 = u32::MAX;

/// What the requests of a batch stand for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Standing {
    /// How many requests one of them stands for.
    pub weight: f64,
    /// Batches of one group are like each other; none for requests that are never sampled.
    pub group: Option<u32>,
}

/// A batch while it is counted.
#[derive(Clone, Debug)]
struct Batch {
    from: Time,
    requests: Tally,
    latency: Histogram,
    /// Of a batch that is probably over.
    cells: Vec<Cell>,
}

/// All batches.
#[derive(Clone, Debug)]
pub struct Batches {
    /// Off in a run that is not sampled.
    is_on: bool,
    all: Vec<Batch>,
}

impl Batches {
    /// The first batch, from time zero.
    pub fn new(is_on: bool) -> Self {
        let mut batches = Self { is_on, all: Vec::new() };
        if is_on {
            batches.begin(Time::ZERO);
        }
        batches
    }

    /// Whether requests are counted by batch.
    pub const fn is_on(&self) -> bool {
        self.is_on
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let own = |batch: &Batch| batch.latency.bytes() + batch.cells.bytes();
        self.all.bytes() + self.all.iter().map(own).sum::<usize>()
    }

    /// A batch begins; its number.
    pub fn begin(&mut self, from: Time) -> u32 {
        if self.all.is_empty() && !self.is_on {
            // The first has its number, whether anything is counted or not.
            self.push(Time::ZERO);
        }
        // Few requests of the last but one are still under way: it needs no fast access any more.
        if let Some(old) = self.all.len().checked_sub(3) {
            self.all[old].pack();
        }
        self.push(from);
        u32::try_from(self.all.len() - 1).expect("fewer than 2^32 batches")
    }

    fn push(&mut self, from: Time) {
        let (requests, latency) = (Tally::default(), Histogram::new());
        self.all.push(Batch { from, requests, latency, cells: Vec::new() });
    }

    /// A root request of a batch ended.
    #[inline]
    pub fn request(&mut self, batch: u32, latency: Duration, ok: bool) {
        if self.is_on {
            let batch = &mut self.all[batch as usize];
            batch.requests.count(ok);
            batch.latency.record(latency.ns());
        }
    }

    /// Every batch with requests as a unit of the estimates, with the time at which it began.
    pub fn finish(self, standings: &[Standing]) -> Vec<(Time, Unit)> {
        let all = self.all.into_iter().zip(standings);
        let unit = |(mut batch, standing): (Batch, &Standing)| {
            batch.pack();
            (batch.from, Unit::new(*standing, batch.requests, batch.cells))
        };
        all.map(unit).filter(|(_, unit)| unit.requests.total != 0).collect()
    }
}

impl Batch {
    fn pack(&mut self) {
        let mut cells = Vec::new();
        self.latency.drain(&mut cells);
        self.latency = Histogram::new();
        // Later ones come behind: the order does not matter.
        self.cells.extend(cells);
    }
}
