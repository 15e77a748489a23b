//! The endpoints of one priority in groups: by health, by zone; and where hashes lead.
//!
//! Source: Envoy's `HostSet` and its `HostsSource`.
//! Left out: excluded hosts.

use super::balancer::next_bits;
use super::edf::Edf;
use super::locality::ZoneRouting;
use super::maglev::Maglev;
use super::priority::Availability;
use super::ring_hash::Ring;

/// The endpoints of one priority.
#[derive(Clone, Debug)]
pub(super) struct HostSet {
    pub(super) all: Group,
    /// Healthy, degraded.
    pub(super) usable: [Group; 2],
    /// The same by zone.
    pub(super) zones: Vec<[Group; 2]>,
    /// By worker, healthy and degraded: the schedule of the zones.
    pub(super) schedules: Vec<[Option<Edf>; 2]>,
    /// The zones that have a weight, with it, healthy and degraded.
    pub(super) weights: [Vec<(usize, f64)>; 2],
    pub(super) routing: Option<ZoneRouting>,
    pub(super) table: Table,
}

/// Endpoints to choose from.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// Names it among all groups.
    pub(super) number: usize,
    pub(super) members: Vec<u32>,
    /// By worker, where weights differ.
    pub(super) schedules: Vec<Edf>,
}

/// Where hashes lead.
#[derive(Clone, Debug)]
pub(super) enum Table {
    None,
    Ring(Ring, Vec<u32>),
    Maglev(Maglev, Vec<u32>),
}

impl HostSet {
    /// The endpoints among which one is chosen.
    pub(super) fn group(
        &mut self,
        availability: Availability,
        worker: usize,
        draw: u64,
    ) -> &mut Group {
        let kind = match availability {
            Availability::All => return &mut self.all,
            Availability::Healthy => 0,
            Availability::Degraded => 1,
        };
        if let Some(schedule) = self.schedules.get_mut(worker).and_then(|both| both[kind].as_mut())
        {
            let weights = &self.weights[kind];
            if let Some(nth) = schedule.pick(|nth| weights[nth].1) {
                return &mut self.zones[weights[nth].0][kind];
            }
        }
        match &self.routing {
            Some(routing) => &mut self.zones[routing.choose([draw, next_bits(!draw)])][kind],
            None => &mut self.usable[kind],
        }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let group = |group: &Group| {
            group.members.capacity() * 4 + group.schedules.iter().map(Edf::bytes).sum::<usize>()
        };
        let zones = self.zones.iter().flatten().map(group).sum::<usize>();
        let schedules = self.schedules.iter().flatten().flatten().map(Edf::bytes).sum::<usize>();
        let table = match &self.table {
            Table::None => 0,
            Table::Ring(ring, members) => ring.bytes() + 4 * members.capacity(),
            Table::Maglev(table, members) => table.bytes() + 4 * members.capacity(),
        };
        group(&self.all) + self.usable.iter().map(group).sum::<usize>() + zones + schedules + table
    }
}

impl Table {
    /// The place of an endpoint for a hash.
    pub(super) fn pick(&self, hash: u64, attempt: u32) -> Option<usize> {
        let (nth, members) = match self {
            Self::None => return None,
            Self::Ring(ring, members) => (ring.pick(hash, attempt)?, members),
            Self::Maglev(table, members) => (table.pick(hash, attempt)?, members),
        };
        Some(members[nth] as usize)
    }
}
