//! Zones, nodes and links.
//!
//! Source: the default delays are the mesh's network parameters.
//! Left out: racks, asymmetric defaults.

use super::super::document::Node as Table;
use super::super::keys::NODES_MAX;
use super::super::units::bandwidth;
use super::super::values::distribution;
use super::{Lower, id};
use crate::kernel::distribution::Distribution;
use crate::plan::universe::{Link, Node, NodeId, Place, ZoneId};
use std::collections::BTreeMap;

impl Lower<'_, '_, '_> {
    pub(super) fn places(&mut self) {
        let mut nodes: BTreeMap<String, &str> = BTreeMap::new();
        let root = self.root;
        let mut total = 0;
        for table in root.list("node") {
            let Some(name) = table.text("name") else { continue };
            let zone = table.text("zone").unwrap_or("zone");
            let names: Vec<String> = match table.count("count") {
                Some(count) => {
                    total += i64::from(count);
                    if NODES_MAX < total {
                        let hint = format!("at most {NODES_MAX} in all");
                        return self.report(table.at, "there are too many nodes", hint);
                    }
                    (0..count).map(|index| format!("{name}-{index}")).collect()
                }
                None => vec![name.to_owned()],
            };
            for name in names {
                if nodes.insert(name.clone(), zone).is_some() {
                    let what = format!("two nodes are called `{name}`");
                    self.report(table.at, what, "`count` makes name-0, name-1, …");
                }
            }
        }
        if nodes.is_empty() {
            nodes.insert("node".to_owned(), "zone");
        }
        let mut zones: Vec<String> = nodes.values().map(|zone| (*zone).to_owned()).collect();
        zones.sort();
        zones.dedup();
        let zone_id = |zone: &str| {
            let index = zones.binary_search_by(|one| one.as_str().cmp(zone));
            ZoneId(id(index.expect("collected from the nodes")))
        };
        let node = |(name, zone): (String, &str)| Node { name, zone: zone_id(zone) };
        self.universe.nodes = nodes.into_iter().map(node).collect();
        self.universe.zones = zones;
        self.links();
    }

    /// The node of that name.
    pub(super) fn node(&self, name: &str) -> Option<NodeId> {
        let nodes = &self.universe.nodes;
        nodes.binary_search_by(|node| node.name.as_str().cmp(name)).ok().map(|at| NodeId(id(at)))
    }

    /// The zone of that name.
    pub(super) fn zone(&self, name: &str) -> Option<ZoneId> {
        let zones = &self.universe.zones;
        zones.binary_search_by(|zone| zone.as_str().cmp(name)).ok().map(|at| ZoneId(id(at)))
    }

    /// The nodes of a place.
    pub(super) fn nodes_of(&self, place: Place) -> Vec<NodeId> {
        match place {
            Place::Node(node) => vec![node],
            Place::Zone(zone) => (0..id(self.universe.nodes.len()))
                .map(NodeId)
                .filter(|node| self.universe.nodes[node.index()].zone == zone)
                .collect(),
        }
    }

    /// A node or zone by name; `node:a` or `zone:a` where both exist.
    pub(super) fn place(&mut self, at: super::At, text: &str) -> Option<Place> {
        let (kind, name) = text.split_once(':').unwrap_or(("", text));
        let node = self.node(name).map(Place::Node).filter(|_| kind != "zone");
        let zone = self.zone(name).map(Place::Zone).filter(|_| kind != "node");
        if !matches!(kind, "" | "node" | "zone") {
            let what = format!("`{text}` is no node and no zone");
            self.report(at, what, "write node:NAME, zone:NAME or just the name");
            return None;
        }
        match (node, zone) {
            (Some(_), Some(_)) => {
                let what = format!("`{name}` is a node and a zone");
                self.report(at, what, format!("write node:{name} or zone:{name}"));
                None
            }
            (None, None) => {
                let (nodes, zones) = (self.universe.nodes.clone(), self.universe.zones.clone());
                let names = nodes.iter().map(|node| node.name.as_str());
                let names = names.chain(zones.iter().map(String::as_str));
                self.missing(at, "node or zone", name, names);
                None
            }
            (node, zone) => node.or(zone),
        }
    }

    fn links(&mut self) {
        let mut links: BTreeMap<(Place, Place), Link> = BTreeMap::new();
        let root = self.root;
        for table in root.list("link") {
            let end = |key| table.get(key).and_then(|node| Some((node.at, node.as_text()?)));
            let (Some((from_at, from)), Some((to_at, to))) = (end("from"), end("to")) else {
                continue;
            };
            let (from, to) = (self.place(from_at, from), self.place(to_at, to));
            let (Some(from), Some(to)) = (from, to) else { continue };
            let link = self.link(table, from, to);
            let back = Link { from: to, to: from, ..link.clone() };
            let mut twice = links.insert((from, to), link).is_some();
            if table.flag("both").unwrap_or(true) && from != to {
                twice |= links.insert((to, from), back).is_some();
            }
            if twice {
                self.report(
                    table.at,
                    "this link is given twice",
                    "`both = true` also gives the way back",
                );
            }
        }
        self.universe.links = links.into_values().collect();
    }

    fn link(&mut self, table: &Table, from: Place, to: Place) -> Link {
        let delay = table.get("delay").and_then(|node| distribution(self.context, node).ok());
        Link {
            from,
            to,
            delay: delay.unwrap_or_else(|| self.default_delay(from, to)),
            loss: table.share("loss").unwrap_or(0.0),
            bandwidth_bps: table.get("bandwidth").and_then(|node| bandwidth(node).ok()),
        }
    }

    fn default_delay(&self, from: Place, to: Place) -> Distribution {
        let zone = |place| match place {
            Place::Node(node) => self.universe.nodes[node.index()].zone,
            Place::Zone(zone) => zone,
        };
        let network = &self.parameters.network;
        Distribution::Constant(match (from, to) {
            (Place::Node(one), Place::Node(other)) if one == other => network.same_node,
            _ if zone(from) == zone(to) => network.same_zone,
            _ => network.cross_zone,
        })
    }
}
