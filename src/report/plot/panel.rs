//! Panels: the head of a picture, axes with their grid, and shapes made of steps.
//!
//! A row of a series holds for its whole interval, so series are drawn as steps; where there is
//! no value there is a gap.
//!
//! Source: ours; a step is what a row of `series.csv` means.
//! Left out: smoothing, interpolation.

use super::canvas::{Anchor, Canvas, Point};
use super::scale::{self, Scale};
use super::style::{BLACK, GREY, MID, PALE, SMALL, TEXT, TITLE, fit, text_width, wrap};
use crate::observe::run::Run;
use plotters::backend::DrawingBackend;
use plotters::style::RGBColor;

/// The width of pictures in pixels.
pub(super) const WIDTH: f64 = 1_120.0;
/// Where data begin: room for the labels of the y axis.
pub(super) const LEFT: f64 = 84.0;
/// Where data end: room for half of the last label of the x axis.
pub(super) const RIGHT: f64 = WIDTH - 34.0;

/// The head of a picture: scenario, claim, key figures.
pub(super) struct Head {
    title: String,
    figures: String,
    claim: Vec<String>,
}

impl Head {
    /// The head for a run.
    pub(super) fn new(run: &Run) -> Self {
        let estimates = run.sampled.as_ref().and_then(|sampled| sampled.estimates);
        let figures = match (estimates, run.requests.success_rate()) {
            (Some(all), _) => {
                let number = scale::short(all.requests.value);
                let end = if number == "1" { "" } else { "s" };
                let ok = scale::percent(all.success_rate.value);
                format!("sampled: about {number} request{end} · {ok} ok · seed {}", run.seed)
            }
            (None, Some(rate)) => format!(
                "{}{} requests · {} ok · seed {}",
                if run.sampled.is_some() { "sampled: " } else { "" },
                scale::count(run.requests.total),
                scale::percent(rate),
                run.seed
            ),
            (None, None) => format!("no requests · seed {}", run.seed),
        };
        let room = WIDTH - 40.0 - LEFT - text_width(&figures, SMALL);
        let title = fit(&name(run), TITLE, room);
        let claim = wrap(&run.claim, TEXT, RIGHT - LEFT, 2);
        Self { title, figures, claim }
    }

    /// The head of a picture of several runs.
    pub(super) fn of(title: &str, figures: String, claim: &str) -> Self {
        let room = WIDTH - 40.0 - LEFT - text_width(&figures, SMALL);
        Self { title: fit(title, TITLE, room), figures, claim: wrap(claim, TEXT, RIGHT - LEFT, 2) }
    }

    /// Its height.
    pub(super) fn height(&self) -> f64 {
        44.0 + 17.0 * self.claim.len() as f64
    }

    /// Draws it at the top.
    pub(super) fn draw<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>) {
        canvas.text((LEFT, 31.0), Anchor::Left, TITLE, BLACK, &self.title);
        canvas.text((RIGHT, 31.0), Anchor::Right, SMALL, GREY, &self.figures);
        for (line, text) in self.claim.iter().enumerate() {
            canvas.text((LEFT, 51.0 + 17.0 * line as f64), Anchor::Left, TEXT, GREY, text);
        }
    }
}

/// The scenario with its variant.
pub(super) fn name(run: &Run) -> String {
    match &run.variant {
        Some(variant) => format!("{} / {variant}", run.scenario),
        None => run.scenario.clone(),
    }
}

/// The place of a panel and its axes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// The shared axis of time, in seconds.
    pub(super) x: Scale,
    /// The panel's own axis.
    pub(super) y: Scale,
}

impl Frame {
    /// Upper and lower end in pixels.
    pub(super) const fn extent(&self) -> (f64, f64) {
        (self.y.end(), self.y.start())
    }

    /// Grid lines and labels of the y axis.
    pub(super) fn draw_y<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        ticks: &[(f64, String)],
    ) {
        let mut last = f64::INFINITY;
        for (value, label) in ticks {
            let y = self.y.at(*value);
            canvas.across(y, (self.x.start(), self.x.end()), PALE);
            if 13.0 <= last - y {
                let at = (self.x.start() - 7.0, y + 4.0);
                canvas.text(at, Anchor::Right, SMALL, GREY, label);
                last = y;
            }
        }
    }

    /// Grid lines of the x axis.
    pub(super) fn draw_x<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        ticks: &[(f64, String)],
    ) {
        for (value, _) in ticks {
            canvas.upright(self.x.at(*value), self.extent(), PALE);
        }
    }

    /// The lines at the left and at the bottom.
    pub(super) fn draw_axes<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>) {
        canvas.upright(self.x.start() - 1.0, self.extent(), MID);
        canvas.across(self.y.start(), (self.x.start() - 1.0, self.x.end()), MID);
    }

    /// A sentence in the middle, for what has no data.
    pub(super) fn draw_absence<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>, text: &str) {
        let at = (
            f64::midpoint(self.x.start(), self.x.end()),
            f64::midpoint(self.y.start(), self.y.end()),
        );
        canvas.text(at, Anchor::Centre, TEXT, GREY, text);
    }
}

/// Labels of the x axis under a panel, and its name.
pub(super) fn draw_x_labels<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    x: &Scale,
    bottom: f64,
    ticks: &[(f64, String)],
    name: &str,
) {
    for (value, label) in ticks {
        let at = x.at(*value);
        canvas.upright(at, (bottom, bottom + 5.0), MID);
        canvas.text((at, bottom + 18.0), Anchor::Centre, SMALL, GREY, label);
    }
    let middle = f64::midpoint(x.start(), x.end());
    canvas.text((middle, bottom + 38.0), Anchor::Centre, TEXT, BLACK, name);
}

/// The title of a panel with the meaning of its colours beside it.
pub(super) fn draw_title<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    at: Point,
    title: &str,
    note: &str,
    legend: &[(RGBColor, &str)],
) {
    canvas.text(at, Anchor::Left, TEXT, BLACK, title);
    let mut x = at.0 + text_width(title, TEXT) + 18.0;
    for (colour, label) in legend {
        canvas.rect((x, at.1 - 9.0), (x + 11.0, at.1), *colour, 1.0);
        canvas.text((x + 16.0, at.1), Anchor::Left, SMALL, GREY, label);
        x += 34.0 + text_width(label, SMALL);
    }
    canvas.text((RIGHT, at.1), Anchor::Right, SMALL, GREY, note);
}

/// A value that holds from one place to another (pixels); or a lower and an upper one.
pub(super) type Step<T> = (f64, f64, T);

/// The steps that follow each other without a gap.
pub(super) fn unbroken<T: Copy>(steps: &[Step<Option<T>>]) -> Vec<Vec<Step<T>>> {
    let mut runs: Vec<Vec<Step<T>>> = Vec::new();
    let mut last = f64::NEG_INFINITY;
    for &(from, to, value) in steps {
        let Some(value) = value else { continue };
        match runs.last_mut() {
            Some(run) if (from - last).abs() < 1e-6 => run.push((from, to, value)),
            _ => runs.push(vec![(from, to, value)]),
        }
        last = to;
    }
    runs
}

/// A line of steps; the values are places already.
pub(super) fn draw_steps<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    steps: &[Step<Option<f64>>],
    width: f64,
    colour: RGBColor,
) {
    for run in unbroken(steps) {
        let mut points: Vec<Point> = Vec::new();
        for (from, to, y) in run {
            if points.last().is_some_and(|last| (last.1 - y).abs() < 1e-9) {
                points.pop();
            } else {
                points.push((from, y));
            }
            points.push((to, y));
        }
        canvas.line(&points, width, colour);
    }
}

/// An area between lower and upper steps; the values are places already.
pub(super) fn draw_band<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    steps: &[Step<Option<(f64, f64)>>],
    colour: RGBColor,
    alpha: f64,
) {
    for run in unbroken(steps) {
        let upper = run.iter().flat_map(|&(from, to, (_, y))| [(from, y), (to, y)]);
        let lower = run.iter().rev().flat_map(|&(from, to, (y, _))| [(to, y), (from, y)]);
        let corners: Vec<Point> = upper.chain(lower).collect();
        canvas.area(&corners, colour, alpha);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_stay_gaps() {
        let steps =
            [(0.0, 1.0, Some(1)), (1.0, 2.0, None), (2.0, 3.0, Some(2)), (3.0, 4.0, Some(3))];
        assert_eq!(unbroken(&steps), [vec![(0.0, 1.0, 1)], vec![(2.0, 3.0, 2), (3.0, 4.0, 3)]]);
    }
}
