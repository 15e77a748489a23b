//! The graph of places: which links a packet takes from one node to another.
//!
//! It is directed and in layers: a node as sender, the way out of its zone, the way into a zone,
//! a node as receiver. A declared link takes the place of the edge between its two ends, or adds
//! an edge past a layer; the path with the fewest edges is taken, so the link that is declared
//! most closely decides, however slow it is.
//!
//! ```text
//! sender x ──(free)── out of a ──(cross_zone; same_zone if b is a)── into b ──(free)── receiver y
//!    ├── x to y ─────────────────────────────────────────────────────────────────────────┤
//!    └── x to b ───────────────────────────────────────────────────────── into b         │
//!                      out of a ─────────────────────────────────────────── a to y ──────┘
//! ```
//!
//! So a link between zones is for all their pairs; one between a node and a foreign zone is for
//! that node's pairs with it; one between a node and its own zone is its access, in series with
//! all that it sends (or receives).
//!
//! Source: petgraph for the graph.
//! Left out: regions, routes that avoid a cut.

use crate::kernel::distribution::Distribution;
use crate::kernel::sampler::Sampler;
use crate::kernel::time::Duration;
use crate::plan::parameter;
use crate::plan::universe::{NodeId, Place, Universe, ZoneId};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

/// A link without its ends.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) delay: Distribution,
    pub(super) loss: f64,
    pub(super) bandwidth_bps: Option<f64>,
    pub(super) sampler: Sampler,
}

/// The layers of the graph. A node that no link names is like all others of its zone, so nodes
/// come in kinds: one for each zone, one for each named node.
pub(super) struct Graph {
    /// An edge carries a link, or nothing.
    places: DiGraph<(), Option<u32>>,
    /// By kind.
    senders: Vec<NodeIndex>,
    /// By kind.
    receivers: Vec<NodeIndex>,
    /// The kind of each node.
    kinds: Vec<usize>,
}

/// A way through the graph.
#[derive(Clone, Copy, Default)]
pub(super) struct Way {
    /// 1 for a link from node to node, at most 3.
    pub(super) edges: u32,
    /// The sum of the mean delays.
    delay: Duration,
    /// The link of each edge, where it has one.
    pub(super) links: [Option<u32>; 3],
}

impl Graph {
    pub(super) fn new(
        universe: &Universe,
        links: &mut Links,
        network: &parameter::Network,
    ) -> Self {
        let zones = universe.zones.len();
        let mut kinds: Vec<_> = universe.nodes.iter().map(|node| node.zone.index()).collect();
        let mut kind_zones: Vec<_> = (0..zones).collect();
        for end in universe.links.iter().flat_map(|link| [link.from, link.to]) {
            if let Place::Node(node) = end
                && kinds[node.index()] < zones
            {
                kind_zones.push(kinds[node.index()]);
                kinds[node.index()] = kind_zones.len() - 1;
            }
        }
        let mut places = DiGraph::new();
        let mut layer =
            |count: usize| -> Vec<_> { (0..count).map(|_| places.add_node(())).collect() };
        let senders = layer(kind_zones.len());
        let (out_of, into) = (layer(zones), layer(zones));
        let receivers = layer(kind_zones.len());

        let same_zone = links.index(&Distribution::Constant(network.same_zone), 0.0, None);
        let cross_zone = links.index(&Distribution::Constant(network.cross_zone), 0.0, None);
        for (kind, zone) in kind_zones.iter().enumerate() {
            places.update_edge(senders[kind], out_of[*zone], None);
            places.update_edge(into[*zone], receivers[kind], None);
        }
        for (from, way_out) in out_of.iter().enumerate() {
            for (to, way_in) in into.iter().enumerate() {
                let link = if from == to { same_zone } else { cross_zone };
                places.update_edge(*way_out, *way_in, Some(link));
            }
        }
        let zone_of = |node: NodeId| universe.nodes[node.index()].zone;
        let [sender, receiver] = [&senders, &receivers].map(|layer| {
            let kinds = &kinds;
            move |node: NodeId| layer[kinds[node.index()]]
        });
        let hub = |layer: &[NodeIndex], zone: ZoneId| layer[zone.index()];
        for link in &universe.links {
            let (from, to) = match (link.from, link.to) {
                (Place::Zone(from), Place::Zone(to)) => (hub(&out_of, from), hub(&into, to)),
                (Place::Node(from), Place::Node(to)) => (sender(from), receiver(to)),
                (Place::Node(from), Place::Zone(to)) if zone_of(from) == to => {
                    (sender(from), hub(&out_of, to))
                }
                (Place::Node(from), Place::Zone(to)) => (sender(from), hub(&into, to)),
                (Place::Zone(from), Place::Node(to)) if zone_of(to) == from => {
                    (hub(&into, from), receiver(to))
                }
                (Place::Zone(from), Place::Node(to)) => (hub(&out_of, from), receiver(to)),
            };
            let index = links.index(&link.delay, link.loss, link.bandwidth_bps);
            places.update_edge(from, to, Some(index));
        }
        Self { places, senders, receivers, kinds }
    }

    /// How many kinds of nodes there are.
    pub(super) fn kinds(&self) -> usize {
        self.senders.len()
    }

    /// The kind of each node.
    pub(super) fn kind_of_nodes(&self) -> &[usize] {
        &self.kinds
    }

    /// The best way from one kind to each kind: the fewest edges, then the least mean delay.
    pub(super) fn ways(&self, from_kind: usize, links: &Links) -> Vec<Way> {
        let mut ways: Vec<Option<Way>> = vec![None; self.places.node_count()];
        let sender = self.senders[from_kind];
        ways[sender.index()] = Some(Way::default());
        // Places were added layer by layer, so each comes after all that lead to it.
        let hubs = self.senders.len()..self.places.node_count() - self.receivers.len();
        for place in std::iter::once(sender).chain(hubs.map(NodeIndex::new)) {
            let Some(so_far) = ways[place.index()] else { continue };
            for edge in self.places.edges(place) {
                let way = so_far.and(*edge.weight(), links);
                let best = &mut ways[edge.target().index()];
                if best.is_none_or(|best| way.length() < best.length()) {
                    *best = Some(way);
                }
            }
        }
        let way = |to: &NodeIndex| ways[to.index()].expect("hubs connect every two places");
        self.receivers.iter().map(way).collect()
    }
}

impl Way {
    fn length(&self) -> (u32, Duration) {
        (self.edges, self.delay)
    }

    fn and(mut self, link: Option<u32>, links: &Links) -> Self {
        if let Some(link) = link {
            self.delay += links.mean(link);
        }
        self.links[self.edges as usize] = link;
        self.edges += 1;
        self
    }
}

/// The distinct links.
#[derive(Clone, Debug, Default)]
pub(super) struct Links(pub(super) Vec<Link>);

impl Links {
    #[expect(clippy::cast_possible_truncation, reason = "far fewer than 2^32 links")]
    pub(super) fn index(
        &mut self,
        delay: &Distribution,
        loss: f64,
        bandwidth_bps: Option<f64>,
    ) -> u32 {
        let bits = |loss: f64, bps: Option<f64>| (loss.to_bits(), bps.map(f64::to_bits));
        let is_equal = |link: &Link| {
            bits(link.loss, link.bandwidth_bps) == bits(loss, bandwidth_bps) && link.delay == *delay
        };
        let index = self.0.iter().position(is_equal).unwrap_or(self.0.len());
        if index == self.0.len() {
            let sampler = delay.sampler();
            self.0.push(Link { delay: delay.clone(), loss, bandwidth_bps, sampler });
        }
        index as u32
    }

    fn mean(&self, link: u32) -> Duration {
        Duration::from_ns_f64(self.0[link as usize].delay.mean_ns())
    }
}
