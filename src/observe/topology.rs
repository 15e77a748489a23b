//! The mesh as traffic saw it: who called whom.
//!
//! Source: the edges of the recorder.
//! Left out: links and nodes.

use super::run::Tally;

/// The mesh as traffic saw it.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    /// Services, gateways and external sources, in name order.
    pub nodes: Vec<TopologyNode>,
    /// Calls between them.
    pub edges: Vec<TopologyEdge>,
}

/// A node of the topology.
#[derive(Clone, PartialEq, Debug)]
pub struct TopologyNode {
    /// Name.
    pub name: String,
    /// `source`, `gateway` or `service`.
    pub kind: &'static str,
    /// Versions with their pods at the end of the run (ready, wanted).
    pub versions: Vec<(String, u32, u32)>,
}

/// Calls from one node to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopologyEdge {
    /// Index into `Topology::nodes`.
    pub from: usize,
    /// Index into `Topology::nodes`.
    pub to: usize,
    /// Calls.
    pub requests: Tally,
}
