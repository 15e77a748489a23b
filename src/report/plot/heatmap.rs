//! The heatmap: how many requests had which latency when.
//!
//! Counts are coloured on a logarithmic scale, light to dark, so that one slow request and the
//! bulk of all are both seen. Neighbours of one colour are drawn as one rectangle.
//!
//! Source: `Run::series[].cells`, 8 cells an octave of latency; the colours are viridis reversed
//! and without its lightest part, so that it reads on white.
//! Left out: failed requests apart from the others.

use super::canvas::{Anchor, Canvas, Drawing};
use super::marks::Marks;
use super::panel::{Frame, Head, LEFT, WIDTH, draw_x_labels, name};
use super::scale::{self, Scale};
use super::style::{BLACK, GREY, MID, SMALL, TEXT};
use crate::observe::run::{Run, cell_from_ns};
use plotters::backend::DrawingBackend;
use plotters::prelude::{ColorMap, ViridisRGB};
use plotters::style::RGBColor;
use std::collections::BTreeMap;

/// More columns than this are added up in groups.
const COLUMNS: usize = 1_000;
const PANEL: f64 = 400.0;
/// Where data end: room for the colour bar.
const END: f64 = WIDTH - 128.0;
/// Shades that are told apart.
const SHADES: u32 = 64;

/// Counts by cell within some stretch of time, in seconds.
struct Column {
    from_s: f64,
    to_s: f64,
    cells: BTreeMap<u16, u64>,
}

/// The picture.
pub(super) struct Heatmap<'a> {
    run: &'a Run,
    head: Head,
    x: Scale,
    marks: Marks,
    columns: Vec<Column>,
    /// Series rows a column.
    group: usize,
}

impl<'a> Heatmap<'a> {
    /// Of a run's series.
    pub(super) fn new(run: &'a Run) -> Self {
        let x = Scale::linear((0.0, run.duration.as_s()), (LEFT, END));
        let group = run.series.len().div_ceil(COLUMNS).max(1);
        let end = run.partial.map_or(run.duration.as_s(), |partial| partial.at.as_s());
        let columns = run.series.chunks(group).map(|rows| {
            let mut cells = BTreeMap::new();
            for &(cell, count) in rows.iter().flat_map(|row| &row.cells) {
                *cells.entry(cell).or_insert(0) += count;
            }
            let to_s = rows[rows.len() - 1].time.as_s() + run.interval.as_s();
            Column { from_s: rows[0].time.as_s(), to_s: to_s.min(end), cells }
        });
        let columns = columns.collect();
        Self { run, head: Head::new(run), x, marks: Marks::new(run, &x), columns, group }
    }

    /// First and last cell that has a request.
    fn cells(&self) -> Option<(u16, u16)> {
        let used = || self.columns.iter().flat_map(|column| column.cells.keys().copied());
        used().min().zip(used().max())
    }

    fn most(&self) -> u64 {
        let counts = self.columns.iter().flat_map(|column| column.cells.values().copied());
        counts.max().unwrap_or(1)
    }

    fn frame(&self) -> Frame {
        let top = self.head.height() + self.marks.height() + 12.0;
        let (low, high) = self.cells().unwrap_or((160, 240));
        let range = (cell_from_ns(low), cell_from_ns(high + 1));
        Frame { x: self.x, y: Scale::log(range, (top + PANEL, top)) }
    }

    fn draw_cells<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>, frame: &Frame) {
        let Some((low, high)) = self.cells() else { return };
        let most = self.most();
        for cell in low..=high {
            let (bottom, top) =
                (frame.y.at(cell_from_ns(cell)), frame.y.at(cell_from_ns(cell + 1)));
            // The open rectangle: its shade, from and to.
            let mut open: Option<(u32, f64, f64)> = None;
            for column in &self.columns {
                let count = column.cells.get(&cell).copied().unwrap_or(0);
                let (from, to) = (frame.x.at(column.from_s), frame.x.at(column.to_s));
                let shade = shade(count, most);
                match &mut open {
                    Some((same, _, end)) if Some(*same) == shade && from - *end < 1e-6 => *end = to,
                    _ => {
                        draw_cell(canvas, open, (bottom, top));
                        open = shade.map(|shade| (shade, from, to));
                    }
                }
            }
            draw_cell(canvas, open, (bottom, top));
        }
    }

    fn draw_bar<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>, frame: &Frame) {
        let most = self.most();
        let (top, bottom) = (frame.extent().0 + 34.0, frame.extent().1);
        let (left, right) = (END + 26.0, END + 42.0);
        let height = (bottom - top) / f64::from(SHADES);
        for step in 0..SHADES {
            let low = bottom - height * f64::from(step);
            canvas.rect((left, low - height), (right, low), colour(step), 1.0);
        }
        let scale = Scale::log((1.0, (most as f64).max(2.0)), (bottom, top));
        let mut last = f64::INFINITY;
        for value in scale.ticks(5.0).into_iter().filter(|value| *value <= most as f64) {
            let y = scale.at(value);
            if 16.0 <= last - y {
                canvas.across(y, (right, right + 4.0), MID);
                canvas.text(
                    (right + 8.0, y + 4.0),
                    Anchor::Left,
                    SMALL,
                    GREY,
                    &scale::short(value),
                );
                last = y;
            }
        }
        let per =
            crate::kernel::time::Duration::from_ns(self.run.interval.ns() * self.group as u64);
        let what = if self.run.sampled.is_some() { "recorded per" } else { "requests per" };
        for (line, text) in [what.to_owned(), format!("cell of {per}")].iter().enumerate() {
            let y = frame.extent().0 + 8.0 + 14.0 * line as f64;
            canvas.text((left, y), Anchor::Left, SMALL, BLACK, text);
        }
    }
}

impl Drawing for Heatmap<'_> {
    fn title(&self) -> String {
        format!("{}: latency over time", name(self.run))
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred")]
    fn size(&self) -> (u32, u32) {
        let height = self.head.height() + self.marks.height() + 12.0 + PANEL + 54.0;
        (WIDTH as u32, height as u32)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>) {
        let frame = self.frame();
        self.head.draw(canvas);
        self.marks.draw_labels(canvas, self.head.height());
        self.marks.draw_shades(canvas, frame.extent());
        let latencies: Vec<_> =
            frame.y.ticks(8.0).into_iter().map(|ns| (ns, scale::latency(ns))).collect();
        frame.draw_y(canvas, &latencies);
        self.draw_cells(canvas, &frame);
        self.marks.draw_lines(canvas, frame.extent());
        frame.draw_axes(canvas);
        let middle = f64::midpoint(frame.extent().0, frame.extent().1);
        canvas.text_upwards((20.0, middle), TEXT, BLACK, "latency (log scale)");
        let unit = scale::time_unit(self.run.duration);
        let ticks = unit.ticks(self.run.duration.as_s(), 13.0);
        let label = format!("simulated time ({})", unit.name);
        draw_x_labels(canvas, &frame.x, frame.extent().1, &ticks, &label);
        if self.cells().is_some() {
            self.draw_bar(canvas, &frame);
        } else {
            frame.draw_absence(canvas, "no request was counted");
        }
    }
}

fn draw_cell<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    open: Option<(u32, f64, f64)>,
    (bottom, top): (f64, f64),
) {
    if let Some((shade, from, to)) = open {
        canvas.rect((from, top), (to, bottom), colour(shade), 1.0);
    }
}

/// The shade of a count, none for 0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to SHADES − 1")]
fn shade(count: u64, most: u64) -> Option<u32> {
    if count == 0 {
        return None;
    }
    let share = libm::log(count as f64) / libm::log((most as f64).max(2.0));
    Some((share * f64::from(SHADES - 1)).round().clamp(0.0, f64::from(SHADES - 1)) as u32)
}

fn colour(shade: u32) -> RGBColor {
    let darkness = f64::from(shade) / f64::from(SHADES - 1);
    ViridisRGB.get_color(0.92 * (1.0 - darkness))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::samples;

    #[test]
    fn many_rows_are_added_up_and_no_request_is_lost() {
        let run = samples::long_series();
        let map = Heatmap::new(&run);
        assert!(1_000 < run.series.len() && map.columns.len() <= COLUMNS && map.group == 2);
        let count = |column: &Column| column.cells.values().sum::<u64>();
        let drawn: u64 = map.columns.iter().map(count).sum();
        assert_eq!(
            drawn,
            run.series.iter().flat_map(|row| &row.cells).map(|cell| cell.1).sum::<u64>()
        );
    }

    #[test]
    fn shades_grow_with_counts() {
        assert_eq!((shade(0, 9), shade(1, 1), shade(1, 1_000)), (None, Some(0), Some(0)));
        assert_eq!(shade(1_000, 1_000), Some(SHADES - 1));
        let brightness = |step| {
            let RGBColor(r, g, b) = colour(step);
            u32::from(r) + u32::from(g) * 2 + u32::from(b)
        };
        assert!((1..SHADES).all(|step| brightness(step) <= brightness(step - 1)));
    }
}
