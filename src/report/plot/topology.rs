//! The topology: who called whom, how much, and what share of it failed.
//!
//! SVG by hand. Nodes stand in columns by call depth; an edge is as wide as the root of its calls
//! and says in colour and in words what share failed. All text is escaped; what is too long for
//! its place is cut, and whole in a `<title>`, which viewers show on hover.
//!
//! Source: `Run::topology`.
//! Left out: zones and nodes of the cluster; calls by version.

use super::canvas::{Point, noted};
use super::layers::Layers;
use super::panel::name;
use super::routes::{BEND_HEIGHT, MARGIN, NODE_WIDTH, Plane, Route};
use super::scale;
use super::style::{
    BLACK, BLUE, BROWN, CRIMSON, FAMILY, GREY, MID, ORANGE, RUST, SMALL, TEXT, TITLE, VERMILLION,
    WHITE, escape, fit, hex, mixed, text_width, wrap,
};
use crate::observe::run::{Run, Topology, TopologyEdge, TopologyNode};
use crate::report::sampled;
use plotters::style::RGBColor;
use std::fmt::Write as _;

const LINE: f64 = 15.0;
/// Versions that a node lists.
const VERSIONS: usize = 6;
/// Widths of edges.
const THIN: f64 = 1.3;
const THICK: f64 = 7.0;
/// Up to which share of failures an edge has which colour, its text which ink, and how it is said.
const FAILING: [(f64, RGBColor, RGBColor, &str); 4] = [
    (0.0, MID, GREY, "none failed"),
    (0.01, ORANGE, BROWN, "up to 1 % failed"),
    (0.1, VERMILLION, RUST, "up to 10 % failed"),
    (1.0, CRIMSON, CRIMSON, "more failed"),
];

/// The topology of a run as an SVG document.
pub(super) fn draw(run: &Run) -> String {
    let graph = &run.topology;
    let ends: Vec<_> = graph.edges.iter().map(|edge| (edge.from, edge.to)).collect();
    let heights: Vec<f64> = graph.nodes.iter().map(height).collect();
    let height = |slot: usize| heights.get(slot).copied().unwrap_or(BEND_HEIGHT);
    let layers = Layers::new(graph.nodes.len(), &ends, height);
    let plane = Plane::new(graph, &layers, heights.clone());
    let mut sheet =
        Sheet { graph, layers: &layers, plane, body: String::new(), labels: Vec::new() };
    let claim = wrap(&run.claim, TEXT, sheet.plane.width - 2.0 * MARGIN, 2);
    let top = 44.0 + 17.0 * claim.len() as f64;
    sheet.plane.offset = top + 26.0 - sheet.plane.extent().0;
    let bottom = sheet.plane.extent().1;
    sheet.draw_edges(bottom);
    for node in 0..graph.nodes.len() {
        sheet.draw_node(node);
    }
    let loops = layers.back.iter().filter(|back| **back).count();
    let legend = bottom + 34.0 + 20.0 * loops as f64;
    sheet.draw_labels();
    sheet.draw_legend(legend);
    sheet.draw_head(run, &claim);
    let title = format!("{}: who called whom", name(run));
    sheet.document(&noted(&title, sampled::how(run).as_deref()), legend + 62.0)
}

/// The document while it grows.
struct Sheet<'a> {
    graph: &'a Topology,
    layers: &'a Layers,
    plane: Plane<'a>,
    body: String,
    /// Labels of edges to come.
    labels: Vec<Label>,
}

/// Where the label of an edge may stand, its lines and its colour.
type Label = (Vec<Point>, Vec<String>, RGBColor);

impl Sheet<'_> {
    fn text(&mut self, at: Point, anchor: &str, size: f64, colour: RGBColor, text: &str) {
        let _ = writeln!(
            self.body,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" \
             fill=\"{}\">{}</text>",
            at.0,
            at.1,
            hex(colour),
            escape(text)
        );
    }

    fn draw_head(&mut self, run: &Run, claim: &[String]) {
        let figures = match run.attempts.amplification() {
            factor if 1.0 < factor => {
                format!("{} attempts a call · seed {}", scale::plain(factor), run.seed)
            }
            _ => format!("seed {}", run.seed),
        };
        let sampled = if run.sampled.is_some() { "sampled: recorded calls · " } else { "" };
        let figures = format!("{sampled}{figures}");
        let (left, right) = (MARGIN, self.plane.width - MARGIN);
        let title = fit(&name(run), TITLE, right - left - 30.0 - text_width(&figures, SMALL));
        self.text((left, 31.0), "start", TITLE, BLACK, &title);
        self.text((right, 31.0), "end", SMALL, GREY, &figures);
        for (line, text) in claim.iter().enumerate() {
            self.text((left, 51.0 + 17.0 * line as f64), "start", TEXT, GREY, text);
        }
        if self.graph.nodes.is_empty() {
            self.text((self.plane.width / 2.0, 110.0), "middle", TEXT, GREY, "no call was made");
        }
    }

    fn draw_node(&mut self, index: usize) {
        let node = &self.graph.nodes[index];
        let (x, y, height) = self.plane.node(index);
        let missing = node.versions.iter().any(|(_, ready, wanted)| ready < wanted);
        let (fill, radius) = match node.kind {
            "source" => (mixed(MID, 0.18), height / 2.0),
            "gateway" => (mixed(BLUE, 0.12), 5.0),
            _ => (WHITE, 5.0),
        };
        let (stroke, width) = if missing { (VERMILLION, 2.2) } else { (GREY, 1.1) };
        let _ = writeln!(
            self.body,
            "<g><title>{}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{NODE_WIDTH}\" \
             height=\"{height:.1}\" rx=\"{radius}\" fill=\"{}\" stroke=\"{}\" \
             stroke-width=\"{width}\"/>",
            escape(&node.name),
            hex(fill),
            hex(stroke)
        );
        let middle = x + NODE_WIDTH / 2.0;
        let title = fit(&node.name, TEXT, NODE_WIDTH - 22.0);
        self.text((middle, y + 20.0), "middle", TEXT, BLACK, &title);
        for (line, (text, colour)) in lines(node).iter().enumerate() {
            let text = fit(text, SMALL, NODE_WIDTH - 18.0);
            self.text((middle, y + 37.0 + LINE * line as f64), "middle", SMALL, *colour, &text);
        }
        self.body.push_str("</g>\n");
    }

    fn draw_edges(&mut self, bottom: f64) {
        let most =
            self.graph.edges.iter().map(|edge| edge.requests.total).max().unwrap_or(1).max(1);
        // What failed is drawn last, above the rest.
        let mut order: Vec<usize> = (0..self.graph.edges.len()).collect();
        order.sort_by(|a, b| {
            failing(&self.graph.edges[*a]).total_cmp(&failing(&self.graph.edges[*b]))
        });
        let mut loops = 0.0;
        for edge in order {
            let calls = &self.graph.edges[edge];
            let route = if !self.layers.back[edge] {
                self.plane.forward(edge)
            } else if calls.from == calls.to {
                self.plane.own(edge)
            } else {
                loops += 1.0;
                self.plane.backward(edge, bottom + 20.0 * loops)
            };
            let share = calls.requests.total as f64 / most as f64;
            let width = THIN + (THICK - THIN) * libm::sqrt(share);
            self.draw_edge(edge, &route, width);
        }
    }

    fn draw_edge(&mut self, index: usize, route: &Route, width: f64) {
        let (graph, edge) = (self.graph, &self.graph.edges[index]);
        let (colour, ink) = colours(failing(edge));
        let (tip, size) = (route.tip, 5.0 + width * 0.7);
        let dashes = if self.layers.back[index] { " stroke-dasharray=\"6 4\"" } else { "" };
        let _ = writeln!(
            self.body,
            "<g><title>{} to {}: {} calls, {}</title><path d=\"{}\" fill=\"none\" stroke=\"{}\" \
             stroke-width=\"{width:.1}\"{dashes}/><path d=\"M{:.1} {:.1}l{size:.1} {:.1}v-{:.1}z\" \
             fill=\"{}\" transform=\"rotate(180 {:.1} {:.1})\"/></g>",
            escape(&graph.nodes[edge.from].name),
            escape(&graph.nodes[edge.to].name),
            scale::count(edge.requests.total),
            said(edge),
            route.path,
            hex(colour),
            tip.0,
            tip.1,
            size * 0.62,
            size * 1.24,
            hex(colour),
            tip.0,
            tip.1,
        );
        let mut text = vec![format!("{} calls", scale::short(edge.requests.total as f64))];
        if edge.requests.failed() != 0 {
            text.push(said(edge));
        }
        self.labels.push((route.places.clone(), text, ink));
    }

    /// Labels of edges where they meet neither nodes nor each other; those of failures first.
    fn draw_labels(&mut self) {
        let nodes = (0..self.graph.nodes.len()).map(|node| self.plane.node(node));
        let mut taken: Vec<(Point, Point)> =
            nodes.map(|(x, y, height)| ((x, y), (x + NODE_WIDTH, y + height))).collect();
        let labels = std::mem::take(&mut self.labels);
        for (places, text, colour) in labels.iter().rev() {
            let widest = text.iter().map(|line| text_width(line, SMALL)).fold(0.0, f64::max);
            let (half, height) = (widest / 2.0 + 3.0, 14.0 * text.len() as f64);
            let boxed = |at: &Point| {
                ((at.0 - half, at.1 - height / 2.0), (at.0 + half, at.1 + height / 2.0))
            };
            let free = |at: &&Point| taken.iter().all(|it| apart(*it, boxed(at)));
            let Some(at) = places.iter().find(free) else { continue };
            taken.push(boxed(at));
            let (low, high) = boxed(at);
            let _ = writeln!(
                self.body,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\" \
                 fill=\"#ffffff\"/>",
                low.0,
                low.1,
                high.0 - low.0,
                high.1 - low.1
            );
            for (line, text) in text.iter().enumerate() {
                self.text(
                    (at.0, low.1 + 11.0 + 14.0 * line as f64),
                    "middle",
                    SMALL,
                    *colour,
                    text,
                );
            }
        }
    }

    fn draw_legend(&mut self, y: f64) {
        let most = self.graph.edges.iter().map(|edge| edge.requests.total).max().unwrap_or(0);
        if most == 0 {
            return;
        }
        let mut x = MARGIN;
        self.text((x, y + 4.0), "start", SMALL, BLACK, "Calls that failed");
        x += text_width("Calls that failed", SMALL) + 16.0;
        for (_, colour, _, label) in FAILING {
            x = self.draw_key((x, y), 3.5, colour, label);
        }
        let (mut x, y) = (MARGIN, y + 22.0);
        self.text((x, y + 4.0), "start", SMALL, BLACK, "Width: calls");
        x += text_width("Calls that failed", SMALL) + 16.0;
        for part in [1.0, 0.1, 0.01] {
            let calls = most as f64 * part;
            if 1.0 <= calls {
                let width = THIN + (THICK - THIN) * libm::sqrt(part);
                x = self.draw_key((x, y), width, MID, &scale::short(calls.round()));
            }
        }
        let note = "orange frame: pods are missing at the end of the run";
        let missing = |node: &TopologyNode| node.versions.iter().any(|it| it.1 < it.2);
        if self.graph.nodes.iter().any(missing) {
            self.text((x + 20.0, y + 4.0), "start", SMALL, RUST, note);
        }
    }

    fn draw_key(&mut self, (x, y): Point, width: f64, colour: RGBColor, label: &str) -> f64 {
        let _ = writeln!(
            self.body,
            "<path d=\"M{x:.1} {y:.1}h30\" stroke=\"{}\" stroke-width=\"{width:.1}\"/>",
            hex(colour)
        );
        self.text((x + 36.0, y + 4.0), "start", SMALL, GREY, label);
        x + 58.0 + text_width(label, SMALL)
    }

    fn document(self, title: &str, height: f64) -> String {
        let (width, height) = (self.plane.width.round(), height.round());
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" font-family=\"{FAMILY}\">\n\
             <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}</svg>\n",
            escape(title),
            self.body
        )
    }
}

fn apart(a: (Point, Point), b: (Point, Point)) -> bool {
    a.1.0 <= b.0.0 || b.1.0 <= a.0.0 || a.1.1 <= b.0.1 || b.1.1 <= a.0.1
}

fn failing(edge: &TopologyEdge) -> f64 {
    1.0 - edge.requests.success_rate().unwrap_or(1.0)
}

/// Of an edge, and of its text.
fn colours(failing: f64) -> (RGBColor, RGBColor) {
    let row = FAILING.into_iter().find(|(most, ..)| failing <= *most).unwrap_or(FAILING[3]);
    (row.1, row.2)
}

fn said(edge: &TopologyEdge) -> String {
    if edge.requests.failed() == 0 {
        return "none failed".to_owned();
    }
    format!("{} failed", scale::percent(failing(edge)))
}

/// What stands under a node's name.
fn lines(node: &TopologyNode) -> Vec<(String, RGBColor)> {
    let mut lines = Vec::new();
    if node.kind != "service" {
        lines.push((node.kind.to_owned(), GREY));
    }
    for (version, ready, wanted) in node.versions.iter().take(VERSIONS) {
        let version =
            if version.is_empty() { "" } else { &format!("{} · ", fit(version, SMALL, 84.0)) };
        let colour = if ready < wanted { RUST } else { GREY };
        lines.push((format!("{version}{ready} of {wanted} ready"), colour));
    }
    if VERSIONS < node.versions.len() {
        lines.push((format!("and {} more versions", node.versions.len() - VERSIONS), GREY));
    }
    lines
}

fn height(node: &TopologyNode) -> f64 {
    30.0 + LINE * lines(node).len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::samples;

    #[test]
    fn what_failed_is_said_in_words_too() {
        let svg = draw(&samples::outage());
        for text in ["30.7 % failed", "27 % failed", "1 of 3 ready", "0.04 % failed"] {
            assert!(svg.contains(text), "{text} is missing");
        }
    }

    #[test]
    fn long_names_are_cut_and_whole_in_the_title() {
        let run = samples::hostile();
        let svg = draw(&run);
        assert!(svg.contains(&format!("<title>{}</title>", escape(&run.topology.nodes[0].name))));
        assert!(svg.contains("…</text>"));
    }
}
