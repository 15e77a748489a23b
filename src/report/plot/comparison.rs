//! What was published beside what is simulated: a panel a quantity, a curve a system.
//!
//! Curves are simulated, markers were published; a white dot is at the point that a number was set by. Axes are
//! logarithmic, so that an error of so many per cent is as far everywhere, but for values that hardly differ.
//!
//! Source: docs/mesh-overhead.md.
//! Left out: intervals; the tables beside the picture have the errors.

use super::canvas::{Anchor, Canvas, Drawing, Shape};
use super::panel::{Frame, LEFT, RIGHT, WIDTH, draw_x_labels};
use super::scale::{self, Scale};
use super::style::{BLACK, CURVES, GREY, SMALL, TEXT, TITLE, WHITE};
use plotters::backend::DrawingBackend;

/// Height of the panels' data.
const PANEL: f64 = 300.0;
/// Where they begin.
const TOP: f64 = 112.0;
/// Between two panels, with the labels of the right one.
const GAP: f64 = 76.0;
const SHAPES: [Shape; 4] = [Shape::Disc, Shape::Square, Shape::Triangle, Shape::Diamond];

/// A value at a place of the x axis.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Point {
    /// Where, above 0.
    pub x: f64,
    /// What was published, above 0.
    pub published: f64,
    /// What is simulated, above 0.
    pub simulated: f64,
    /// A number was set so that both are the same here.
    pub is_calibrated: bool,
}

/// A quantity of several systems.
#[derive(Clone, PartialEq, Debug)]
pub struct Quantity {
    /// Its name with its unit.
    pub name: String,
    /// Systems by name, the same in each quantity and in the same order; at most as many as there are colours.
    pub systems: Vec<(String, Vec<Point>)>,
}

/// The picture.
#[derive(Clone, PartialEq, Debug)]
pub struct Comparison {
    /// What it shows.
    pub title: String,
    /// A sentence on how.
    pub note: String,
    /// The name of the x axis.
    pub x: String,
    /// Its panels, at least one.
    pub quantities: Vec<Quantity>,
}

impl Comparison {
    fn frame(&self, index: usize) -> Frame {
        let count = self.quantities.len() as f64;
        let width = (RIGHT - LEFT - GAP * (count - 1.0)) / count;
        let left = LEFT + index as f64 * (width + GAP);
        let points = || self.quantities[index].systems.iter().flat_map(|(_, points)| points);
        let values = || points().flat_map(|point| [point.published, point.simulated]);
        let range = |low: f64, high: f64| (low / 1.12, high * 1.12);
        let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
        let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
        let x = range(least(&mut points().map(|one| one.x)), most(&mut points().map(|one| one.x)));
        let y = range(least(&mut values()), most(&mut values()));
        // Within a factor of three a logarithmic axis has hardly a round number to show.
        let scale = if y.1 < 3.0 * y.0 { Scale::linear } else { Scale::log };
        Frame { x: Scale::log(x, (left, left + width)), y: scale(y, (TOP + PANEL, TOP)) }
    }
}

impl Drawing for Comparison {
    fn title(&self) -> String {
        self.title.clone()
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred")]
    fn size(&self) -> (u32, u32) {
        (WIDTH as u32, (TOP + PANEL + 58.0) as u32)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>) {
        canvas.text((LEFT, 31.0), Anchor::Left, TITLE, BLACK, &self.title);
        canvas.text((LEFT, 51.0), Anchor::Left, TEXT, GREY, &self.note);
        let systems = self.quantities.first().map_or(&[][..], |one| &one.systems[..]);
        for (index, (name, _)) in systems.iter().enumerate() {
            let (x, colour) = (LEFT + 190.0 * index as f64, CURVES[index]);
            canvas.line(&[(x, 70.0), (x + 26.0, 70.0)], 1.8, colour);
            canvas.marker(SHAPES[index % SHAPES.len()], (x + 13.0, 70.0), colour);
            canvas.text((x + 34.0, 74.0), Anchor::Left, SMALL, BLACK, name);
        }
        for (index, quantity) in self.quantities.iter().enumerate() {
            self.panel(canvas, &self.frame(index), quantity);
        }
    }
}

impl Comparison {
    fn panel<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        frame: &Frame,
        quantity: &Quantity,
    ) {
        let ticks = frame.y.ticks(8.0).into_iter().map(|value| (value, scale::plain(value)));
        frame.draw_y(canvas, &ticks.collect::<Vec<_>>());
        let mut ticks: Vec<(f64, String)> = Vec::new();
        for point in quantity.systems.iter().flat_map(|(_, points)| points) {
            if ticks.iter().all(|(x, _)| (x - point.x).abs() > 1e-9) {
                ticks.push((point.x, scale::plain(point.x)));
            }
        }
        frame.draw_x(canvas, &ticks);
        frame.draw_axes(canvas);
        draw_x_labels(canvas, &frame.x, frame.extent().1, &ticks, &self.x);
        let at = (frame.x.start(), TOP - 12.0);
        canvas.text(at, Anchor::Left, TEXT, BLACK, &quantity.name);
        for (index, (_, points)) in quantity.systems.iter().enumerate() {
            let place = |point: &Point| (frame.x.at(point.x), frame.y.at(point.simulated));
            canvas.line(&points.iter().map(place).collect::<Vec<_>>(), 1.8, CURVES[index]);
        }
        for (index, (_, points)) in quantity.systems.iter().enumerate() {
            for point in points {
                let at = (frame.x.at(point.x), frame.y.at(point.published));
                canvas.marker(SHAPES[index % SHAPES.len()], at, CURVES[index]);
                if point.is_calibrated {
                    canvas.disc(at, 1.7, WHITE);
                }
            }
        }
    }
}
