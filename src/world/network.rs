//! Packets on links: sent, delayed, lost, swallowed by cuts.
//!
//! A lost packet is sent again by TCP, so it is late, not gone. A packet into a cut is swallowed
//! and sent again with doubling waits, until the link heals or the connection is given up.
//!
//! Source: RFC 6298; Linux's `tcp_retries2`.
//! Left out: congestion control, windows, the 120 s cap of the doubling; messages do not wait for
//! each other on a link with a bandwidth.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use super::World;
use super::event::Event;
use super::state::Pod;
use crate::kernel::bytes::Bytes as _;
use crate::kernel::queue::{LaneId, Ticket};
use crate::kernel::stream::name_hash;
use crate::kernel::time::Duration;
use crate::model::net::topology::{Network, PathDelay, PathId};
use crate::plan::universe::{NodeId, Universe};
use crate::vocabulary::cause::CauseId;
use std::collections::BTreeSet;

/// Nodes while running, and lanes of constant paths.
pub(crate) struct Nodes {
    hashes: Vec<u64>,
    /// How many events have this node dead.
    dead: Vec<u8>,
    /// Whether any node is.
    any_is_dead: bool,
    /// Nodes that take no new pods: cordoned, or silent for long.
    pub closed: BTreeSet<u32>,
    pub lost_ticket: Vec<Ticket>,
    /// Every pod that was ever put on it, oldest first.
    pub pods: Vec<Vec<u32>>,
    /// What last cut or killed something.
    pub cause: Option<CauseId>,
    lanes: Vec<Lane>,
}

#[derive(Clone, Copy)]
enum Lane {
    Unknown,
    Constant(LaneId),
    Sampled,
}

impl Nodes {
    pub(crate) fn new(universe: &Universe) -> Self {
        let count = universe.nodes.len();
        Self {
            hashes: universe.nodes.iter().map(|node| name_hash(&node.name)).collect(),
            dead: vec![0; count],
            any_is_dead: false,
            closed: BTreeSet::new(),
            lost_ticket: vec![Ticket::NONE; count],
            // Pods without a node of their own are on node 0, in a mesh of none, too.
            pods: vec![Vec::new(); count.max(1)],
            cause: None,
            lanes: Vec::new(),
        }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        let pods = self.pods.bytes() + self.pods.iter().map(Vec::bytes).sum::<usize>();
        let own = self.hashes.bytes() + self.dead.bytes() + self.lost_ticket.bytes();
        own + self.lanes.bytes() + pods
    }

    pub(crate) fn hash(&self, node: u32) -> u64 {
        self.hashes[node as usize]
    }

    /// Whether a node is dead.
    #[inline(always)]
    pub(crate) fn is_dead(&self, node: NodeId) -> bool {
        self.any_is_dead && self.dead[node.index()] != 0
    }

    /// Where the next pod goes: in turn to those of its nodes that are alive and take pods; none if
    /// there is no such node.
    pub(crate) fn place(&self, nodes: &[NodeId], turn: usize) -> Option<NodeId> {
        // Without a dead one the turn says it; a large mesh has thousands of nodes for each pod.
        if self.any_is_dead || !self.closed.is_empty() {
            let takes = |node: &&NodeId| !self.is_dead(**node) && !self.closed.contains(&node.0);
            let open = || nodes.iter().filter(takes);
            return open().nth(turn % open().count().max(1)).copied();
        }
        let place = nodes.get(turn % nodes.len().max(1));
        Some(place.copied().unwrap_or(NodeId(0)))
    }

    /// An event more or less has this node dead; how many have now.
    pub(crate) fn fail(&mut self, node: NodeId, fails: bool) -> u8 {
        let level = &mut self.dead[node.index()];
        *level = if fails { *level + 1 } else { level.saturating_sub(1) };
        let level = *level;
        self.any_is_dead = self.dead.iter().any(|level| *level != 0);
        level
    }
}

/// What the network does with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transit {
    /// It takes this path, and `late` longer: lost before, or slow to be put on the wire.
    Sent { path: PathId, late: Duration },
    /// It is swallowed.
    Swallowed,
}

/// What decides about a packet.
pub(super) struct Links<'a> {
    pub pods: &'a [Pod],
    pub network: &'a Network,
    pub nodes: &'a Nodes,
}

impl Links<'_> {
    /// A message of so many bytes from a pod to another.
    #[inline(always)]
    pub(super) fn transit(
        &self,
        from: u32,
        to: u32,
        bytes: u32,
        loss: impl FnOnce() -> u64,
        rto: Duration,
    ) -> Transit {
        let (from, to) = (self.pods[from as usize].node, self.pods[to as usize].node);
        let path = self.network.path(from, to);
        let class = self.network.class(path);
        let is_dead = self.nodes.is_dead(to) || self.nodes.is_dead(from);
        let mut late = Duration::ZERO;
        if class.is_plain && !is_dead {
            return Transit::Sent { path, late };
        }
        if class.cut || is_dead {
            return Transit::Swallowed;
        }
        if 0.0 < class.loss {
            late += class.lost_delay(loss(), rto);
        }
        if class.bandwidth_bps.is_some() {
            late += class.transfer(u64::from(bytes));
        }
        Transit::Sent { path, late }
    }
}

impl World<'_> {
    /// A message from a pod to another.
    pub(super) fn transit(
        &self,
        from: u32,
        to: u32,
        bytes: u32,
        loss: impl FnOnce() -> u64,
        rto: Duration,
    ) -> Transit {
        let links = Links { pods: &self.pods, network: &self.network, nodes: &self.nodes };
        links.transit(from, to, bytes, loss, rto)
    }

    /// Schedules `event` at the end of a path, `extra` from now. Constant delays go by a lane.
    #[inline(always)]
    pub(super) fn over(
        &mut self,
        path: PathId,
        extra: Duration,
        draw: impl FnOnce() -> u64,
        event: Event,
    ) {
        if extra.is_zero()
            && let Lane::Constant(lane) = self.lane(path)
        {
            self.queue.after_constant(lane, event.pack());
            return;
        }
        let delay = self.network.class(path).delay(draw());
        self.queue.after(extra + delay, event.pack());
    }

    #[inline(always)]
    fn lane(&mut self, path: PathId) -> Lane {
        match self.nodes.lanes.get(path.0 as usize) {
            Some(Lane::Unknown) | None => self.find_lane(path),
            Some(lane) => *lane,
        }
    }

    #[cold]
    fn find_lane(&mut self, path: PathId) -> Lane {
        let index = path.0 as usize;
        if self.nodes.lanes.len() <= index {
            self.nodes.lanes.resize(index + 1, Lane::Unknown);
        }
        let lane = match &self.network.class(path).delay {
            PathDelay::Constant(delay) => Lane::Constant(self.queue.lane(*delay)),
            PathDelay::Sampled(_) => Lane::Sampled,
        };
        self.nodes.lanes[index] = lane;
        lane
    }

    /// The one-way delay between two nodes, for control traffic.
    pub(super) fn one_way(&self, from: NodeId, to: NodeId, draw: u64) -> Duration {
        self.network.class(self.network.path(from, to)).delay(draw)
    }

    /// Whether packets get from one node to the other and back.
    pub(super) fn is_connected(&self, a: NodeId, b: NodeId) -> bool {
        !self.nodes.is_dead(a)
            && !self.nodes.is_dead(b)
            && !self.network.is_cut(a, b)
            && !self.network.is_cut(b, a)
    }

    /// Paths and lanes are looked up anew: a link changed.
    pub(super) fn network_of(&mut self) -> &mut Network {
        &mut self.network
    }
}
