//! Routes: the ways of edges between the nodes of a topology.
//!
//! Source: ours.
//! Left out: routes around labels; a label looks for a free place instead.

use super::canvas::Point;
use super::layers::Layers;
use super::panel::WIDTH;
use crate::observe::run::Topology;
use std::fmt::Write as _;

/// Space at the left and at the right.
pub(super) const MARGIN: f64 = 36.0;
/// The width of a node.
pub(super) const NODE_WIDTH: f64 = 150.0;
/// The height of an edge where it passes a column.
pub(super) const BEND_HEIGHT: f64 = 14.0;
/// Between columns, at least: room for a label; and at most.
const GAP: (f64, f64) = (120.0, 300.0);
/// Pixels between two edges at a node.
const PORT: f64 = 15.0;
/// A path ends this much before the tip of its arrow.
const ARROW: f64 = 7.0;

/// The layout in pixels.
pub(super) struct Plane<'a> {
    graph: &'a Topology,
    layers: &'a Layers,
    heights: Vec<f64>,
    pitch: f64,
    /// The width of the picture.
    pub(super) width: f64,
    /// Added to all places of the layout.
    pub(super) offset: f64,
}

/// The way of an edge.
#[derive(Clone, Default, Debug)]
pub(super) struct Route {
    /// The data of an SVG path.
    pub(super) path: String,
    /// Where the arrow ends; it points to the right.
    pub(super) tip: Point,
    /// Where its label may stand, the best first.
    pub(super) places: Vec<Point>,
}

impl<'a> Plane<'a> {
    /// Spreads the columns over the width of a picture, or more where there are many.
    pub(super) fn new(graph: &'a Topology, layers: &'a Layers, heights: Vec<f64>) -> Self {
        let columns = layers.depth.max(1) as f64;
        let room = WIDTH - 2.0 * MARGIN - NODE_WIDTH * columns;
        let pitch = NODE_WIDTH + (room / (columns - 1.0).max(1.0)).clamp(GAP.0, GAP.1);
        let width = (pitch * (columns - 1.0) + NODE_WIDTH + 2.0 * MARGIN).max(900.0);
        Self { graph, layers, heights, pitch, width, offset: 0.0 }
    }

    /// Upper and lower end of the layout.
    pub(super) fn extent(&self) -> (f64, f64) {
        let slots = self.layers.y.iter().enumerate().map(|(slot, y)| {
            let half = self.heights.get(slot).unwrap_or(&BEND_HEIGHT) / 2.0;
            (y - half + self.offset, y + half + self.offset)
        });
        slots
            .reduce(|all, slot| (all.0.min(slot.0), all.1.max(slot.1)))
            .unwrap_or((self.offset, self.offset + 60.0))
    }

    /// The upper left corner and the height of a node.
    pub(super) fn node(&self, node: usize) -> (f64, f64, f64) {
        let height = self.heights[node];
        let y = self.layers.y[node] + self.offset - height / 2.0;
        (self.left(self.layers.column[node]), y, height)
    }

    fn left(&self, column: usize) -> f64 {
        let all = self.pitch * self.layers.depth.saturating_sub(1) as f64 + NODE_WIDTH;
        (self.width - all) / 2.0 + self.pitch * column as f64
    }

    /// From column to column, bending in each that it passes.
    pub(super) fn forward(&self, edge: usize) -> Route {
        let way = &self.layers.ways[edge];
        let mut at = (self.left(self.layers.column[way[0]]) + NODE_WIDTH, self.port(edge, true));
        let mut route = Route { path: format!("M{:.1} {:.1}", at.0, at.1), ..Route::default() };
        for (n, &slot) in way.iter().enumerate().skip(1) {
            let last = n + 1 == way.len();
            let y = if last { self.port(edge, false) } else { self.layers.y[slot] + self.offset };
            let end = (self.left(self.layers.column[slot]), y);
            let stop = if last { (end.0 - ARROW, end.1) } else { end };
            let middle = f64::midpoint(at.0, stop.0);
            let _ = write!(
                route.path,
                "C{middle:.1} {:.1} {middle:.1} {:.1} {:.1} {:.1}",
                at.1, stop.1, stop.0, stop.1
            );
            let shares = [0.5, 0.4, 0.6, 0.3, 0.7, 0.22, 0.78];
            route.places.extend(shares.map(|share| on_curve(at, stop, share)));
            at = (end.0 + NODE_WIDTH, end.1);
            if last {
                route.tip = end;
            } else {
                let _ = write!(route.path, "H{:.1}", at.0);
            }
        }
        route
    }

    /// Below everything, at `low`, back to the left.
    pub(super) fn backward(&self, edge: usize, low: f64) -> Route {
        let ends = &self.graph.edges[edge];
        let ((fx, fy, fh), (tx, ty, th)) = (self.node(ends.from), self.node(ends.to));
        let (start, tip) = ((fx + NODE_WIDTH, fy + fh - 9.0), (tx, ty + th - 9.0));
        let path = format!(
            "M{:.1} {:.1}C{right:.1} {:.1} {right:.1} {low:.1} {:.1} {low:.1}\
             H{:.1}C{left:.1} {low:.1} {left:.1} {:.1} {:.1} {:.1}",
            start.0,
            start.1,
            start.1,
            start.0 - 10.0,
            tip.0 + 10.0,
            tip.1,
            tip.0 - ARROW,
            tip.1,
            right = start.0 + 50.0,
            left = tip.0 - 50.0,
        );
        let (middle, third) = (f64::midpoint(start.0, tip.0), (start.0 - tip.0) / 3.0);
        let places = [0.0, -third, third].map(|aside| (middle + aside, low)).to_vec();
        Route { path, tip, places }
    }

    /// Out of a node and into it again, above it.
    pub(super) fn own(&self, edge: usize) -> Route {
        let (x, y, _) = self.node(self.graph.edges[edge].from);
        let (left, right, high) = (x - 24.0, x + 34.0, y - 22.0);
        let tip = (x, y + 10.0);
        let path = format!(
            "M{right:.1} {y:.1}C{right:.1} {high:.1} {left:.1} {high:.1} {left:.1} {y:.1}\
             C{left:.1} {:.1} {left:.1} {:.1} {:.1} {:.1}",
            y + 6.0,
            tip.1,
            tip.0 - ARROW,
            tip.1
        );
        Route { path, tip, places: vec![(x + 5.0, y - 17.0)] }
    }

    /// Where an edge leaves or enters a node: down its side, in the order of the far ends.
    fn port(&self, edge: usize, leaves: bool) -> f64 {
        // The slots of an edge at this end: the node, and what is beside it.
        let ends = |edge: usize| -> Option<(usize, f64)> {
            let way = &self.layers.ways[edge];
            let (node, beside) = if leaves {
                (way.first()?, way.get(1)?)
            } else {
                (way.last()?, way.get(way.len() - 2)?)
            };
            Some((*node, self.layers.y[*beside]))
        };
        let Some((node, _)) = ends(edge) else { return 0.0 };
        let others = (0..self.layers.ways.len()).filter_map(|other| Some((other, ends(other)?)));
        let mut edges: Vec<(f64, usize)> = others
            .filter(|(_, (its_node, _))| *its_node == node)
            .map(|(other, (_, y))| (y, other))
            .collect();
        edges.sort_by(|a, b| a.0.total_cmp(&b.0));
        let place = edges.iter().position(|(_, other)| *other == edge).unwrap_or(0) as f64;
        let (_, y, height) = self.node(node);
        let step = ((height - 14.0) / edges.len() as f64).min(PORT);
        y + height / 2.0 + (place - (edges.len() - 1) as f64 / 2.0) * step
    }
}

/// A place on the curve between two points whose ends are level.
fn on_curve(from: Point, to: Point, t: f64) -> Point {
    let (s, middle) = (1.0 - t, f64::midpoint(from.0, to.0));
    let blend = |a: f64, b: f64, c: f64, d: f64| {
        s * s * s * a + 3.0 * s * s * t * b + 3.0 * s * t * t * c + t * t * t * d
    };
    (blend(from.0, middle, middle, to.0), blend(from.1, from.1, to.1, to.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::samples;

    #[test]
    fn edges_begin_and_end_at_their_nodes() {
        let run = samples::big_mesh();
        let ends: Vec<_> = run.topology.edges.iter().map(|edge| (edge.from, edge.to)).collect();
        let layers = Layers::new(run.topology.nodes.len(), &ends, |_| 45.0);
        let plane = Plane::new(&run.topology, &layers, vec![45.0; run.topology.nodes.len()]);
        for (edge, &(_, to)) in ends.iter().enumerate().filter(|(edge, _)| !layers.back[*edge]) {
            let (route, (x, y, height)) = (plane.forward(edge), plane.node(to));
            assert!((route.tip.0 - x).abs() < 1e-6);
            assert!((y..y + height).contains(&route.tip.1), "{:?} is beside node {to}", route.tip);
        }
    }
}
