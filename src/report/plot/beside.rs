//! Runs of one scenario side by side: a curve each, in one colour in all pictures.
//!
//! ```text
//! as written ━━  none ━━  ambient ━━      legend
//! success rate                            a line a run
//! failed requests so far                  a line a run: who begins to rise first failed first
//! ```
//!
//! Lines that lie on each other are told apart by their width: the first one is the widest, the last one the thinnest.
//! There are as many curves as colours; of more runs the first ones are drawn, and the head says so.
//!
//! Source: `Run::series` and `Run::latency` of each run.
//! Left out: events of variants, where they differ from those of the scenario as written; intervals.

use super::canvas::{Anchor, Canvas, Drawing};
use super::marks::Marks;
use super::panel::{Frame, Head, LEFT, RIGHT, Step, draw_steps, draw_title, draw_x_labels};
use super::scale::{self, Scale};
use super::spectrum::{Spectrum, wider};
use super::style::{BLACK, CURVES, GREY, SMALL, fit, text_width};
use crate::kernel::time::Duration;
use crate::observe::run::Run;
use plotters::backend::DrawingBackend;

/// Heights of the panels.
const SUCCESS: f64 = 190.0;
const FAILED: f64 = 190.0;
/// Space above a panel for its title.
const TITLE_SPACE: f64 = 36.0;
/// A line of the legend.
const LEGEND_ROW: f64 = 20.0;
/// The widest name of the legend.
const NAME_WIDTH: f64 = 240.0;
/// The thinnest line.
const THIN: f64 = 1.5;

/// Latency by percentile.
pub(super) fn spectrum(runs: &[&Run]) -> Spectrum {
    let drawn = drawn(runs);
    let named: Vec<_> = drawn.iter().map(|run| (variant(run).to_owned(), *run)).collect();
    Spectrum::beside(title(runs, "latency by percentile"), head(runs), &named)
}

/// Success and failures over time.
pub(super) struct OverTime<'a> {
    title: String,
    head: Head,
    runs: Vec<&'a Run>,
    x: Scale,
    marks: Marks,
    /// The longest of the runs.
    duration: Duration,
}

/// As many as there are colours.
fn drawn<'a>(runs: &[&'a Run]) -> Vec<&'a Run> {
    runs.iter().take(CURVES.len()).copied().collect()
}

fn variant(run: &Run) -> &str {
    run.variant.as_deref().unwrap_or("as written")
}

/// The variant, and of which mesh it is.
fn name(run: &Run) -> String {
    let variant = variant(run);
    if variant == run.profile { variant.to_owned() } else { format!("{variant} ({})", run.profile) }
}

fn title(runs: &[&Run], what: &str) -> String {
    let scenario = runs.first().map_or("", |run| run.scenario.as_str());
    format!("{scenario}: {what}, side by side")
}

fn head(runs: &[&Run]) -> Head {
    let (all, drawn) = (runs.len(), drawn(runs).len());
    let seed = runs.first().map_or(0, |run| run.seed);
    let many = if drawn < all { format!("the first {drawn} of ") } else { String::new() };
    let sampled = if runs.iter().any(|run| run.sampled.is_some()) { " · sampled" } else { "" };
    let figures = format!("{many}{all} runs side by side · seed {seed}{sampled}");
    let first = runs.first();
    Head::of(
        first.map_or("", |run| &run.scenario),
        figures,
        first.map_or("", |run| run.claim.as_str()),
    )
}

impl<'a> OverTime<'a> {
    /// Of all runs.
    pub(super) fn new(runs: &[&'a Run]) -> Self {
        let duration = runs.iter().map(|run| run.duration).max().unwrap_or(Duration::from_s(1));
        let x = Scale::linear((0.0, duration.as_s()), (LEFT, RIGHT));
        let marks = Marks::new(runs.first().expect("at least the scenario as written"), &x);
        let title = title(runs, "what failed over time");
        Self { title, head: head(runs), runs: drawn(runs), x, marks, duration }
    }

    /// Name, left end and row of each entry of the legend.
    fn legend(&self) -> Vec<(String, f64, usize)> {
        let (mut x, mut row) = (LEFT, 0);
        let entry = |run: &&Run| {
            let name = fit(&name(run), SMALL, NAME_WIDTH);
            let width = 34.0 + text_width(&name, SMALL) + 22.0;
            if RIGHT < x + width && LEFT < x {
                (x, row) = (LEFT, row + 1);
            }
            let at = x;
            x += width;
            (name, at, row)
        };
        self.runs.iter().map(entry).collect()
    }

    fn legend_height(&self) -> f64 {
        let rows = self.legend().last().map_or(0, |(.., row)| row + 1);
        rows as f64 * LEGEND_ROW + 8.0
    }

    /// What a run's rows say, after the warm-up, in pixels.
    fn steps(
        &self,
        run: &Run,
        mut value: impl FnMut(u64, u64) -> Option<f64>,
    ) -> Vec<Step<Option<f64>>> {
        let end = run.partial.map_or(run.duration.as_s(), |partial| partial.at.as_s());
        let (warmup, interval) = (run.warmup.as_s(), run.interval.as_s());
        let rows = run.series.iter().filter_map(|row| {
            let begin = row.time.as_s();
            let (from, to) = (begin.max(warmup), (begin + interval).min(end));
            let (total, failed) = (row.requests.total, row.requests.failed());
            (from < to).then(|| (self.x.at(from), self.x.at(to), value(total, failed)))
        });
        rows.collect()
    }

    fn lines<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        steps: impl Fn(&Run) -> Vec<Step<Option<f64>>>,
    ) {
        for (index, run) in self.runs.iter().enumerate() {
            draw_steps(canvas, &steps(run), self.width(index), CURVES[index]);
        }
    }

    fn width(&self, index: usize) -> f64 {
        THIN + wider(self.runs.len()) * (self.runs.len() - 1 - index) as f64
    }

    fn success<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>, top: f64) {
        let rates = self.runs.iter().flat_map(|run| &run.series);
        let least = rates.filter_map(|row| row.requests.success_rate()).fold(1.0, f64::min);
        let steps = [0.99, 0.98, 0.95, 0.9];
        let low = steps.into_iter().find(|step| *step <= least).unwrap_or(0.0);
        let y = Scale::linear((low, 1.0), (top + SUCCESS, top));
        let frame = Frame { x: self.x, y };
        let label = |value: f64| (value, format!("{} %", scale::plain(value * 100.0)));
        self.panel(canvas, &frame, &y.ticks(5.0).into_iter().map(label).collect::<Vec<_>>());
        self.lines(canvas, |run| {
            self.steps(run, |total, failed| {
                (total != 0).then(|| y.at((total - failed) as f64 / total as f64))
            })
        });
        let from = scale::percent(low);
        let note = if 0.0 < low { format!("the axis begins at {from}") } else { String::new() };
        draw_title(canvas, (LEFT, top - 10.0), "Success rate", &note, &[]);
    }

    fn failed<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>, top: f64) {
        let sum = |run: &&Run| run.series.iter().map(|row| row.requests.failed()).sum::<u64>();
        let most = self.runs.iter().map(sum).max().unwrap_or(0).max(1) as f64;
        let y = Scale::linear((0.0, most * 1.06), (top + FAILED, top));
        let frame = Frame { x: self.x, y };
        let whole = |value: &f64| (value - value.round()).abs() < 1e-9;
        let label = |value: f64| (value, scale::short(value));
        let ticks = y.ticks(5.0).into_iter().filter(whole).map(label);
        self.panel(canvas, &frame, &ticks.collect::<Vec<_>>());
        self.lines(canvas, |run| {
            let mut so_far = 0;
            self.steps(run, |_, failed| {
                so_far += failed;
                Some(y.at(so_far as f64))
            })
        });
        if self.runs.iter().all(|run| run.requests.failed() == 0) {
            frame.draw_absence(canvas, "no request failed");
        }
        let sampled = self.runs.iter().any(|run| run.sampled.is_some());
        let note = if sampled { "of what was recorded" } else { "" };
        draw_title(canvas, (LEFT, top - 10.0), "Failed requests so far", note, &[]);
    }

    fn panel<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        frame: &Frame,
        ticks: &[(f64, String)],
    ) {
        frame.draw_x(canvas, &self.time_ticks());
        frame.draw_y(canvas, ticks);
        self.marks.draw_shades(canvas, frame.extent());
        self.marks.draw_lines(canvas, frame.extent());
        frame.draw_axes(canvas);
    }

    fn time_ticks(&self) -> Vec<(f64, String)> {
        scale::time_unit(self.duration).ticks(self.duration.as_s(), 13.0)
    }
}

impl Drawing for OverTime<'_> {
    fn title(&self) -> String {
        self.title.clone()
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred")]
    fn size(&self) -> (u32, u32) {
        let above = self.head.height() + self.legend_height() + self.marks.height();
        let panels = 2.0 * TITLE_SPACE + SUCCESS + FAILED;
        (super::panel::WIDTH as u32, (above + panels + 54.0) as u32)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>) {
        self.head.draw(canvas);
        let mut top = self.head.height();
        for (index, (name, x, row)) in self.legend().into_iter().enumerate() {
            let y = top + 10.0 + row as f64 * LEGEND_ROW;
            canvas.line(&[(x, y), (x + 26.0, y)], self.width(index), CURVES[index]);
            canvas.text((x + 34.0, y + 4.0), Anchor::Left, SMALL, BLACK, &name);
        }
        top += self.legend_height();
        self.marks.draw_labels(canvas, top);
        top += self.marks.height() + TITLE_SPACE;
        self.success(canvas, top);
        top += SUCCESS + TITLE_SPACE;
        self.failed(canvas, top);
        top += FAILED;
        let unit = scale::time_unit(self.duration).name;
        let name = format!("simulated time ({unit})");
        draw_x_labels(canvas, &self.x, top, &self.time_ticks(), &name);
        if 1 < self.runs.len() {
            let at = (RIGHT, top + 38.0);
            let text = "a wider line lies below a thinner one";
            canvas.text(at, Anchor::Right, SMALL, GREY, text);
        }
    }
}
