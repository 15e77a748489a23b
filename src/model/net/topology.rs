//! Paths between nodes: how long they are, what they lose, which of them are cut.
//!
//! The graph of places gives each pair of nodes its links. Paths of equal content are one class,
//! and a pair has the number of its class: 2,000 nodes are a table of numbers and a handful of
//! classes. A cut or a degradation moves pairs to other classes; each class knows how many cuts
//! and which degradations it has, so that they nest.
//!
//! Source: RFC 6298 for the doubling of retransmission time-outs.
//! Left out: queues on links, losses that slow a flow down, Linux's cap of 120 s on the doubling.

use super::graph::{Graph, Links, Way};
use crate::kernel::bytes::Bytes as _;
use crate::kernel::distribution::Distribution;
use crate::kernel::sampler::Sampler;
use crate::kernel::stream::{Key, uniform};
use crate::kernel::time::{Duration, Time};
use crate::plan::parameter;
use crate::plan::universe::{NodeId, Universe};
use std::collections::BTreeMap;

/// A packet that is lost this often in a row gets through.
const LOSSES_MAX: u32 = 10;

/// The paths between all nodes.
#[derive(Clone, Debug)]
pub struct Network {
    nodes: usize,
    /// The class of each pair: row `from`, column `to`.
    pairs: Vec<PathId>,
    classes: Vec<Path>,
    /// What each class is made from.
    contents: Vec<Content>,
    links: Links,
}

/// Names a class of equal paths.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PathId(pub u32);

/// One direction between two nodes.
#[derive(Clone, Debug)]
pub struct Path {
    /// One-way delay.
    pub delay: PathDelay,
    /// Share of packets lost, 0 to 1.
    pub loss: f64,
    /// Bits per second of its narrowest link; none for no limit.
    pub bandwidth_bps: Option<f64>,
    /// Packets vanish.
    pub cut: bool,
    /// Nothing is lost, cut or slowed down.
    pub is_plain: bool,
}

/// The delay of a path.
#[derive(Clone, Debug)]
pub enum PathDelay {
    /// Always the same.
    Constant(Duration),
    /// The sum of a draw from each.
    Sampled(Vec<Sampler>),
}

/// What makes a class.
#[derive(Clone, PartialEq, Debug)]
struct Content {
    /// Indices into `Network::links`, in the order of the path.
    links: Vec<u32>,
    /// Added delay and loss, in the order in which they began.
    degraded: Vec<(Duration, f64)>,
    /// Cuts in force.
    cuts: u32,
}

impl Network {
    /// The network of a universe, with the defaults where no link is declared.
    pub fn new(universe: &Universe, network: &parameter::Network) -> Self {
        let mut links = Links::default();
        let loopback = links.index(&Distribution::Constant(network.same_node), 0.0, None);
        let graph = Graph::new(universe, &mut links, network);
        let nodes = universe.nodes.len();
        let pairs = Vec::with_capacity(nodes * nodes);
        let mut this = Self { nodes, pairs, classes: Vec::new(), contents: Vec::new(), links };
        let loopback = this.intern(Content::of(&[Some(loopback)]));

        // The classes from each kind to each kind, and within a node of each kind.
        let mut known = BTreeMap::new();
        let mut rows: Vec<(Vec<PathId>, PathId)> = Vec::new();
        for kind in 0..graph.kinds() {
            let ways = graph.ways(kind, &this.links);
            let mut class = |way: &Way| {
                let intern = || this.intern(Content::of(&way.links));
                *known.entry(way.links).or_insert_with(intern)
            };
            let row: Vec<_> = ways.iter().map(&mut class).collect();
            let within = if ways[kind].edges == 1 { row[kind] } else { loopback };
            rows.push((row, within));
        }
        for (from, from_kind) in graph.kind_of_nodes().iter().enumerate() {
            let (row, within) = &rows[*from_kind];
            this.pairs.extend(graph.kind_of_nodes().iter().map(|to_kind| row[*to_kind]));
            this.pairs[from * nodes + from] = *within;
        }
        this
    }

    /// The class of the path from one node to another, as it is now.
    #[inline]
    pub fn path(&self, from: NodeId, to: NodeId) -> PathId {
        self.pairs[from.index() * self.nodes + to.index()]
    }

    /// A class.
    #[inline]
    pub fn class(&self, id: PathId) -> &Path {
        &self.classes[id.0 as usize]
    }

    /// Bytes held: of the table of pairs, beside which classes are nothing.
    pub fn bytes(&self) -> usize {
        self.pairs.bytes() + self.classes.bytes() + self.contents.bytes()
    }

    /// Whether packets from one node to another vanish now.
    pub fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.class(self.path(from, to)).cut
    }

    /// Begins or ends a cut of all paths from `from` to `to`. Cuts of a pair are counted; a node
    /// is never cut from itself.
    pub fn set_cut(&mut self, from: &[NodeId], to: &[NodeId], cut: bool) {
        self.change(from, to, |content| {
            content.cuts = if cut { content.cuts + 1 } else { content.cuts.saturating_sub(1) };
        });
    }

    /// Begins (`on`) or ends an added delay and loss on all paths from `from` to `to`, but not
    /// within a node. Several add up.
    pub fn degrade(
        &mut self,
        from: &[NodeId],
        to: &[NodeId],
        delay: Duration,
        loss: f64,
        on: bool,
    ) {
        self.change(from, to, |content| {
            if on {
                content.degraded.push((delay, loss));
            } else if let Some(at) = content.degraded.iter().position(|one| *one == (delay, loss)) {
                content.degraded.remove(at);
            }
        });
    }

    /// Moves pairs to the classes of their changed contents.
    fn change(&mut self, from: &[NodeId], to: &[NodeId], change: impl Fn(&mut Content)) {
        // By class: where its pairs go.
        let mut moves: Vec<Option<PathId>> = Vec::new();
        for from in from {
            for to in to.iter().filter(|to| *to != from) {
                let pair = from.index() * self.nodes + to.index();
                let before = self.pairs[pair].0 as usize;
                if moves.len() <= before {
                    moves.resize(self.classes.len(), None);
                }
                self.pairs[pair] = *moves[before].get_or_insert_with(|| {
                    let mut content = self.contents[before].clone();
                    change(&mut content);
                    self.intern(content)
                });
            }
        }
    }

    /// The class of this content, which is made if it is new.
    #[expect(clippy::cast_possible_truncation, reason = "far fewer than 2^32 classes")]
    fn intern(&mut self, content: Content) -> PathId {
        let index = self.contents.iter().position(|one| *one == content);
        let index = index.unwrap_or_else(|| {
            self.classes.push(content.path(&self.links));
            self.contents.push(content);
            self.contents.len() - 1
        });
        PathId(index as u32)
    }
}

impl Content {
    fn of(path: &[Option<u32>]) -> Self {
        let links = path.iter().flatten().copied().collect();
        Self { links, degraded: Vec::new(), cuts: 0 }
    }

    fn path(&self, links: &Links) -> Path {
        let links = || self.links.iter().map(|link| &links.0[*link as usize]);
        let added = self.degraded.iter().fold(Duration::ZERO, |sum, (delay, _)| sum + *delay);
        let constant = links().try_fold(added, |sum, link| Some(sum + link.delay.is_constant()?));
        let delay = constant.map_or_else(
            || {
                let added = Distribution::Constant(added).sampler();
                PathDelay::Sampled(
                    links().map(|link| link.sampler.clone()).chain([added]).collect(),
                )
            },
            PathDelay::Constant,
        );
        let losses = links().map(|link| link.loss).chain(self.degraded.iter().map(|one| one.1));
        // 1 − ∏(1 − loss), exact for a single one.
        let loss = losses.fold(0.0, |total, loss| total + (1.0 - total) * loss);
        let bandwidth_bps = links().filter_map(|link| link.bandwidth_bps).reduce(f64::min);
        let cut = 0 < self.cuts;
        let is_plain = !cut && loss <= 0.0 && bandwidth_bps.is_none();
        Path { delay, loss, bandwidth_bps, cut, is_plain }
    }
}

impl Path {
    /// The one-way delay for a draw.
    #[inline]
    pub fn delay(&self, draw: u64) -> Duration {
        match &self.delay {
            PathDelay::Constant(delay) => *delay,
            PathDelay::Sampled(samplers) => {
                // The first link takes the draw itself, the others what follows from it.
                let draws = std::iter::once(draw).chain((1..).map(|n| Key(draw).draw(n, 0)));
                let delays = samplers.iter().zip(draws).map(|(sampler, draw)| sampler.sample(draw));
                delays.fold(Duration::ZERO, |sum, delay| sum + delay)
            }
        }
    }

    /// How much later a packet comes for being lost: nothing mostly; once lost `rto`, twice
    /// `rto + 2·rto`, and so on. The draw is another one than that of [`Path::delay`].
    #[inline]
    pub fn lost_delay(&self, draw: u64, rto: Duration) -> Duration {
        let draw = uniform(draw);
        let mut losses = 0;
        // All of `losses + 1` packets in a row are lost.
        let mut probability = self.loss;
        while draw < probability && losses < LOSSES_MAX {
            losses += 1;
            probability *= self.loss;
        }
        rto * ((1 << losses) - 1)
    }

    /// The time that so many bytes take to pass its narrowest link.
    pub fn transfer(&self, bytes: u64) -> Duration {
        let seconds = |bps: f64| bytes as f64 * 8.0 / bps;
        self.bandwidth_bps.map_or(Duration::ZERO, |bps| Duration::from_s_f64(seconds(bps)))
    }
}

/// When a packet that a cut swallowed at `sent` is sent again, if packets pass from `from` on: the
/// first of `sent`, `sent + rto`, `sent + 3·rto`, `sent + 7·rto` … that is not before `from`.
pub fn next_retransmission(sent: Time, rto: Duration, from: Time) -> Time {
    if rto.is_zero() {
        return sent.max(from);
    }
    let (mut at, mut wait) = (sent, rto);
    while at < from {
        at = at.saturating_add(wait);
        wait = wait * 2;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::parameter::Parameters;
    use crate::plan::universe::{Link as Declared, Node, Place, ZoneId};

    const ONE: Duration = Duration::from_ms(1);

    /// Nodes 0, 1, 2 in zone 0, nodes 3, 4 in zone 1, node 5 in zone 2.
    fn universe(links: Vec<Declared>) -> Universe {
        let node = |zone| Node { name: String::new(), zone: ZoneId(zone) };
        Universe {
            zones: vec![String::new(); 3],
            nodes: [0, 0, 0, 1, 1, 2].map(node).to_vec(),
            links,
            ..Universe::default()
        }
    }

    fn network(links: Vec<Declared>) -> Network {
        Network::new(&universe(links), &Parameters::default().network)
    }

    fn link(from: Place, to: Place, ms: u64) -> Declared {
        let delay = Distribution::Constant(Duration::from_ms(ms));
        Declared { from, to, delay, loss: 0.0, bandwidth_bps: None }
    }

    fn node(id: u32) -> Place {
        Place::Node(NodeId(id))
    }

    fn zone(id: u32) -> Place {
        Place::Zone(ZoneId(id))
    }

    fn us(network: &Network, from: u32, to: u32) -> u64 {
        network.class(network.path(NodeId(from), NodeId(to))).delay(0).ns() / 1000
    }

    fn ids(range: std::ops::Range<u32>) -> Vec<NodeId> {
        range.map(NodeId).collect()
    }

    #[test]
    fn undeclared_pairs_have_the_parameters() {
        let network = network(vec![]);
        assert_eq!(
            [(0, 0), (0, 1), (0, 3), (5, 4)].map(|(x, y)| us(&network, x, y)),
            [20, 150, 500, 500]
        );
        assert_eq!(network.classes.len(), 3);
    }

    #[test]
    fn a_link_between_zones_is_for_their_pairs_in_its_direction_and_no_detour_avoids_it() {
        let network = network(vec![link(zone(0), zone(1), 80), link(zone(2), zone(2), 3)]);
        for (from, to, expected) in
            [(0, 3, 80_000), (2, 4, 80_000), (3, 0, 500), (0, 5, 500), (0, 1, 150), (5, 5, 20)]
        {
            assert_eq!(us(&network, from, to), expected, "{from} to {to}");
        }
    }

    #[test]
    fn the_most_closely_declared_link_decides() {
        let links = vec![
            link(zone(0), zone(1), 10),
            link(node(0), zone(1), 20),
            link(node(0), node(3), 30),
            link(zone(1), node(0), 40),
            link(node(1), node(1), 50),
        ];
        let network = network(links);
        for (from, to, ms) in
            [(1, 3, 10), (0, 4, 20), (0, 3, 30), (3, 0, 40), (4, 0, 40), (1, 1, 50)]
        {
            assert_eq!(us(&network, from, to), 1000 * ms, "{from} to {to}");
        }
        assert_eq!([us(&network, 0, 1), us(&network, 3, 1), us(&network, 0, 0)], [150, 500, 20]);
    }

    #[test]
    fn a_link_of_a_node_to_its_own_zone_is_in_series_with_all_it_sends() {
        let mut access = link(node(0), zone(0), 5);
        access.loss = 0.1;
        access.bandwidth_bps = Some(1e9);
        let mut between = link(zone(0), zone(1), 10);
        between.loss = 0.2;
        between.bandwidth_bps = Some(8e6);
        let network = network(vec![access, between]);
        for (from, to, expected) in
            [(0, 1, 5_150), (0, 3, 15_000), (0, 5, 5_500), (1, 0, 150), (3, 0, 500), (0, 0, 20)]
        {
            assert_eq!(us(&network, from, to), expected, "{from} to {to}");
        }
        let path = network.class(network.path(NodeId(0), NodeId(3)));
        assert!((path.loss - 0.28).abs() < 1e-15, "1 − 0.9 · 0.8");
        assert_eq!(path.transfer(1000), ONE, "by the narrower link");
    }

    #[test]
    fn sampled_links_in_series_have_different_draws() {
        let delay = Distribution::Exponential { mean: ONE };
        let sampled = |from, to| Declared { delay: delay.clone(), ..link(from, to, 0) };
        let network = network(vec![sampled(node(0), zone(0)), sampled(zone(0), zone(1))]);
        let path = network.class(network.path(NodeId(0), NodeId(3)));
        let count = 20_000;
        let delays = (0..count).map(|n| path.delay(Key(n).draw(0, 0)).as_ms());
        let (sum, squares) = delays.fold((0.0, 0.0), |(s, q), ms| (s + ms, q + ms * ms));
        let mean = sum / count as f64;
        let variance = squares / count as f64 - mean * mean;
        // Erlang of two stages: mean 2, variance 2 (4 if the draws were the same). The standard
        // errors are √(2 / n) and √((μ₄ − σ⁴) / n) with μ₄ = 3σ⁴ + 12 = 24; four of each.
        let error = |square: f64| 4.0 * libm::sqrt(square / count as f64);
        assert!((mean - 2.0).abs() < error(2.0), "{mean}");
        assert!((variance - 2.0).abs() < error(20.0), "{variance}");
    }

    #[test]
    fn cuts_are_one_way_and_nest() {
        let mut network = network(vec![]);
        let (zone_0, zone_1, all) = (ids(0..3), ids(3..5), ids(0..6));
        network.set_cut(&zone_0, &zone_1, true);
        network.set_cut(&ids(0..1), &all, true);
        let cut = |network: &Network, from, to| network.is_cut(NodeId(from), NodeId(to));
        assert!(cut(&network, 1, 3) && cut(&network, 0, 3) && cut(&network, 0, 5));
        assert!(!cut(&network, 3, 1) && !cut(&network, 1, 5));
        assert!(!cut(&network, 0, 0), "no link lies within a node");
        network.set_cut(&zone_0, &zone_1, false);
        assert!(!cut(&network, 1, 3) && cut(&network, 0, 3));
        network.set_cut(&ids(0..1), &all, false);
        assert_eq!(network.pairs, self::network(vec![]).pairs);
    }

    #[test]
    fn degradations_add_up_and_end_apart() {
        let mut network = network(vec![]);
        let (zone_0, zone_1) = (ids(0..3), ids(3..5));
        network.degrade(&zone_0, &zone_1, ONE, 0.1, true);
        network.degrade(&zone_0, &zone_1, ONE * 2, 0.0, true);
        network.degrade(&zone_0, &zone_1, ONE, 0.1, true);
        assert_eq!([us(&network, 0, 3), us(&network, 3, 0)], [4_500, 500]);
        let loss = network.class(network.path(NodeId(0), NodeId(3))).loss;
        assert!((loss - 0.19).abs() < 1e-15, "{loss}");
        network.degrade(&zone_0, &zone_1, ONE * 2, 0.0, false);
        network.degrade(&zone_0, &zone_1, ONE, 0.1, false);
        network.degrade(&zone_0, &zone_1, ONE, 0.1, false);
        assert_eq!(network.pairs, self::network(vec![]).pairs);
    }

    #[test]
    fn a_lost_packet_comes_after_doubling_time_outs() {
        let path = |loss| Path {
            delay: PathDelay::Constant(ONE),
            loss,
            bandwidth_bps: None,
            cut: false,
            is_plain: false,
        };
        let lossy = path(0.1);
        for (one_in, rtos) in [(2, 0), (9, 0), (11, 1), (99, 1), (101, 3), (1_001, 7)] {
            let lost = lossy.lost_delay(u64::MAX / one_in, ONE);
            assert_eq!(lost, ONE * rtos, "draw 1 / {one_in}");
        }
        assert_eq!(path(0.0).lost_delay(0, ONE), Duration::ZERO);
        assert_eq!(path(1.0).lost_delay(u64::MAX, ONE), ONE * 1023, "at most 2^10");
    }

    #[test]
    fn after_a_cut_a_packet_waits_for_its_next_time_out() {
        let at = |ms| Time::ZERO + Duration::from_ms(ms);
        let rto = Duration::from_ms(200);
        for (healed, expected) in
            [(0, 1000), (1001, 1200), (1200, 1200), (1201, 1600), (9000, 13_600)]
        {
            assert_eq!(next_retransmission(at(1000), rto, at(healed)), at(expected), "{healed}");
        }
        assert_eq!(next_retransmission(at(1), Duration::ZERO, at(5)), at(5));
        assert_eq!(next_retransmission(at(1), rto, Time::MAX), Time::MAX);
    }

    #[test]
    fn two_thousand_nodes_are_a_handful_of_classes() {
        let nodes = (0..2000).map(|n| Node { name: String::new(), zone: ZoneId(n % 4) }).collect();
        let links = (0..20).map(|n| link(node(n), zone(n % 4), 1)).collect();
        let zones = vec![String::new(); 4];
        let universe = Universe { zones, nodes, links, ..Universe::default() };
        let mut network = Network::new(&universe, &Parameters::default().network);
        network.set_cut(&ids(0..1000), &ids(1000..2000), true);
        assert!(network.classes.len() < 20, "{}", network.classes.len());
        assert!(network.is_cut(NodeId(999), NodeId(1000)));
    }
}
