//! How much memory the world holds, counted while it runs.
//!
//! Each part tells its own bytes. What a few additions tell is told at each look; what takes a walk
//! over all pods and endpoints is counted seldom enough to cost little of the run, and at once
//! when much was made since.
//!
//! Source: `kernel::bytes`; `tests/memory.rs` holds the sum to what the allocator gave.
//! Left out: what the allocator adds; the plan, which the caller holds.

use super::World;
use super::cluster::WorkloadState;
use super::options::Options;
use super::state::{Host, Pod, Upstream};
use crate::kernel::bytes::Bytes as _;
use crate::model::proxy::pool::Pool;

/// Events for each thing on the walk, until the next walk: an event makes about a hundred bytes of what only a
/// walk counts at the most, so a thing's 1,600, unless it says so by `grow`.
const EVENTS_PER_THING: u64 = 16;
/// Bytes that a connection adds to its pool and to the lists of its client and its server, about.
const POOL_USED: usize = 80;
/// When so many bytes were made, limits are looked at before the next event.
const GROWN_PER_LOOK: usize = 32 << 20;

/// What is known of the world's memory.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Memory {
    /// Bytes of what takes a walk, when it was last counted.
    walked: usize,
    /// Bytes of the recorder, when it was last counted.
    recorded: usize,
    /// Bytes made since then by single events that may make many.
    grown: usize,
    /// Connections at the last walk: the lists of a pool come with them.
    connections: usize,
    /// When the next walk is due, in events, and the next through the recorder.
    next_walk: u64,
    next_record: u64,
}

impl Memory {
    /// One event made so many bytes.
    #[inline]
    pub(super) fn grow(&mut self, bytes: usize) {
        self.grown += bytes;
    }

    /// Whether so much was made that limits are to be looked at now.
    #[inline]
    pub(super) fn is_look_due(&self) -> bool {
        GROWN_PER_LOOK <= self.grown
    }
}

impl World<'_> {
    /// The limit that is reached, if one is.
    pub(super) fn limit(&mut self) -> Option<&'static str> {
        let Options { max_events, max_memory, .. } = self.options;
        if max_events.is_some_and(|max| max <= self.events + self.stale) {
            Some("max-events")
        } else if max_memory.is_some_and(|max| max <= self.memory()) {
            Some("max-memory")
        } else {
            None
        }
    }

    /// Bytes that the world holds.
    pub(super) fn memory(&mut self) -> u64 {
        let seen = self.events + self.stale;
        if self.memory.next_walk <= seen || self.memory.is_look_due() {
            let (bytes, things) = self.walk();
            let next_walk = seen + EVENTS_PER_THING * things as u64;
            let connections = self.connections.len();
            self.memory = Memory { walked: bytes, grown: 0, connections, next_walk, ..self.memory };
        }
        if self.memory.next_record <= seen {
            let recorder = &self.recorder;
            let next_record = seen + EVENTS_PER_THING * recorder.pieces() as u64;
            self.memory.recorded = recorder.bytes();
            self.memory.next_record = next_record;
        }
        let quick = self.calls.bytes()
            + self.attempts.bytes()
            + self.connections.bytes()
            + self.sends.bytes()
            + self.queue.bytes()
            + self.recorder.journal.bytes()
            + self.pods.bytes()
            + self.upstreams.bytes();
        let opened = self.connections.len().saturating_sub(self.memory.connections);
        (quick + self.memory.walked + self.memory.recorded + self.memory.grown + opened * POOL_USED)
            as u64
    }

    /// Bytes of everything else, and how many things were looked at.
    fn walk(&self) -> (usize, usize) {
        let pods: usize = self.pods.iter().map(Pod::bytes).sum();
        let upstreams: usize = self.upstreams.iter().map(Upstream::bytes).sum();
        let hosts: usize = self.upstreams.iter().map(|one| one.hosts.len()).sum();
        let workloads: usize = self.workloads.iter().map(WorkloadState::bytes).sum();
        let occurrences = self.occurrences.iter().map(|one| one.id.bytes() + one.label.bytes());
        let bytes = pods
            + upstreams
            + self.workloads.bytes()
            + workloads
            + self.sources.bytes()
            + self.network.bytes()
            + self.nodes.bytes()
            + self.config.bytes()
            + self.control.bytes()
            + self.authorities.bytes()
            + self.ztunnels.bytes()
            + self.linkerd.as_ref().map_or(0, |own| own.bytes())
            + self.compiled.bytes()
            + self.ladder.bytes()
            + self.causes.bytes()
            + self.census.bytes()
            + self.frozen.bytes()
            + self.kubernetes.bytes()
            + self.sampling.as_ref().map_or(0, |sampling| sampling.bytes())
            + self.occurrences.bytes()
            + occurrences.sum::<usize>();
        (bytes, self.pods.len() + 2 * hosts)
    }
}

impl Host {
    /// Bytes held beside the host itself.
    pub(super) fn bytes(&self) -> usize {
        self.pools.bytes() + self.pools.iter().map(Pool::bytes).sum::<usize>()
    }
}

impl Upstream<'_> {
    /// Bytes held beside the upstream itself.
    pub(super) fn bytes(&self) -> usize {
        let lists = self.free_hosts.bytes() + self.members.bytes() + self.usable.bytes();
        let hosts = self.hosts.bytes() + self.hosts.iter().map(Host::bytes).sum::<usize>();
        let balance = self.balance.as_ref().map_or(0, |balance| balance.bytes());
        hosts + lists + balance + self.turns.bytes() + self.connections.bytes()
    }
}

impl Pod {
    /// Bytes held beside the pod itself.
    pub(super) fn bytes(&self) -> usize {
        let lists = self.upstreams.bytes() + self.serving.bytes();
        self.station.bytes() + self.workers.bytes() + lists
    }
}
