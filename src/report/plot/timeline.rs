//! The timeline: how requests fared and what state the mesh was in, on one axis of time.
//!
//! Panels from above: success rate, request rate, latency if there were requests, then certificates
//! and the control plane where the run had any. Events are named above and shaded through all panels.
//!
//! Source: `Run::series`; the same numbers as `series.csv`.
//! Left out: gauges of pods, queues and connections (they are in `series.csv`).

use super::canvas::{Anchor, Canvas, Drawing};
use super::marks::Marks;
use super::panel::{
    Frame, Head, LEFT, RIGHT, WIDTH, draw_band, draw_steps, draw_title, draw_x_labels, name,
};
use super::scale::{self, Scale};
use super::style::{BLACK, BLUE, GREEN, GREY, MID, ORANGE, PURPLE, SKY, SMALL, VERMILLION, mixed};
use crate::kernel::time::Duration;
use crate::observe::run::{Run, SeriesRow};
use crate::vocabulary::metric::Gauge;
use plotters::backend::DrawingBackend;

/// Space above a panel for its title.
const TITLE_SPACE: f64 = 34.0;
/// Percentiles on a linear axis if they are within this ratio.
const LINEAR_RATIO: f64 = 12.0;

/// A panel, in the order from above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Panel {
    Success,
    Rate,
    Latency,
    Certificates,
    Connected,
    Staleness,
}

impl Panel {
    const fn height(self) -> f64 {
        match self {
            Self::Success => 130.0,
            Self::Rate => 88.0,
            Self::Latency => 170.0,
            Self::Certificates | Self::Connected | Self::Staleness => 76.0,
        }
    }
}

/// The picture.
pub(super) struct Timeline<'a> {
    run: &'a Run,
    head: Head,
    x: Scale,
    marks: Marks,
    panels: Vec<Panel>,
    /// Until when there are data, in seconds.
    end_s: f64,
}

impl<'a> Timeline<'a> {
    /// Of a run's series.
    pub(super) fn new(run: &'a Run) -> Self {
        let x = Scale::linear((0.0, run.duration.as_s()), (LEFT, RIGHT));
        let any = |gauges: &[Gauge]| {
            let mut rows = run.series.iter();
            rows.any(|row| gauges.iter().any(|gauge| 0.0 < row.gauges[*gauge as usize]))
        };
        let mut panels = Vec::new();
        if any(&[Gauge::CertificatesValid, Gauge::CertificatesExpired]) {
            panels.push(Panel::Certificates);
        }
        if any(&[Gauge::Proxies]) {
            panels.extend([Panel::Connected, Panel::Staleness]);
        }
        // A mesh without traffic has nothing to show of requests.
        let has_requests = run.series.iter().any(|row| row.requests.total != 0);
        if has_requests || panels.is_empty() {
            panels.splice(..0, [Panel::Success, Panel::Rate, Panel::Latency]);
        }
        let end_s = run.partial.map_or(run.duration.as_s(), |partial| partial.at.as_s());
        Self { run, head: Head::new(run), x, marks: Marks::new(run, &x), panels, end_s }
    }

    /// The rows after the warm-up: from and to in seconds, and the row.
    fn rows(&self) -> impl Iterator<Item = (f64, f64, &'a SeriesRow)> {
        let (warmup, interval, end) =
            (self.run.warmup.as_s(), self.run.interval.as_s(), self.end_s);
        self.run.series.iter().filter_map(move |row| {
            let begin = row.time.as_s();
            let (from, to) = (begin.max(warmup), (begin + interval).min(end));
            (from < to).then_some((from, to, row))
        })
    }

    /// A value a row, in pixels.
    fn steps<T>(&self, value: impl Fn(&SeriesRow, f64) -> Option<T>) -> Vec<(f64, f64, Option<T>)> {
        let steps = self
            .rows()
            .map(|(from, to, row)| (self.x.at(from), self.x.at(to), value(row, to - from)));
        steps.collect()
    }

    /// A gauge's greatest value, at least 1.
    fn most(&self, gauge: Gauge) -> f64 {
        self.run.series.iter().map(|row| row.gauges[gauge as usize]).fold(1.0, f64::max)
    }

    fn frame(&self, panel: Panel, top: f64) -> Frame {
        let place = (top + panel.height(), top);
        let y = match panel {
            Panel::Success => Scale::linear((success_from(self.run), 1.0), place),
            Panel::Rate => {
                let rates = self
                    .rows()
                    .map(|(from, to, row)| row.requests.total as f64 / recorded_s(row, to - from));
                Scale::linear((0.0, rates.fold(0.0, f64::max) * 1.06), place)
            }
            Panel::Latency => latency_scale(self.run, place),
            Panel::Certificates => {
                let all = |row: &SeriesRow| certificates(row).0 + certificates(row).1;
                let most = self.run.series.iter().map(all).fold(1.0, f64::max);
                Scale::linear((0.0, most * 1.06), place)
            }
            Panel::Connected => Scale::linear((0.0, self.most(Gauge::Proxies) * 1.06), place),
            Panel::Staleness => {
                Scale::linear((0.0, self.most(Gauge::ConfigStaleness) * 1.06), place)
            }
        };
        Frame { x: self.x, y }
    }

    fn draw_panel<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>, panel: Panel, top: f64) {
        let frame = self.frame(panel, top);
        frame.draw_x(canvas, &self.time_ticks());
        frame.draw_y(canvas, &self.y_ticks(panel, &frame));
        self.marks.draw_shades(canvas, frame.extent());
        let title = (LEFT, top - 9.0);
        match panel {
            Panel::Success => self.draw_success(canvas, &frame, title),
            Panel::Rate => self.draw_rate(canvas, &frame, title),
            Panel::Latency => self.draw_latency(canvas, &frame, title),
            Panel::Certificates => self.draw_certificates(canvas, &frame, title),
            Panel::Connected => self.draw_connected(canvas, &frame, title),
            Panel::Staleness => self.draw_staleness(canvas, &frame, title),
        }
        self.marks.draw_lines(canvas, frame.extent());
        frame.draw_axes(canvas);
    }

    fn time_ticks(&self) -> Vec<(f64, String)> {
        scale::time_unit(self.run.duration).ticks(self.run.duration.as_s(), 13.0)
    }

    fn y_ticks(&self, panel: Panel, frame: &Frame) -> Vec<(f64, String)> {
        let count = if panel.height() < 80.0 { 3.0 } else { 5.0 };
        let label = |value: f64| match panel {
            Panel::Success => format!("{} %", scale::plain(value * 100.0)),
            Panel::Latency => scale::latency(value),
            _ => scale::short(value),
        };
        if panel == Panel::Staleness {
            let most = self.most(Gauge::ConfigStaleness);
            let unit = scale::time_unit(Duration::from_s_f64(most));
            let label = |(value, text): (f64, String)| (value, format!("{text} {}", unit.name));
            return unit.ticks(most, count).into_iter().map(label).collect();
        }
        let whole = matches!(panel, Panel::Certificates | Panel::Connected);
        let ticks = frame.y.ticks(count).into_iter();
        let ticks = ticks.filter(|value| !whole || (value - value.round()).abs() < 1e-9);
        let zero = |value: f64| panel == Panel::Latency && value <= 0.0;
        ticks.map(|value| (value, if zero(value) { "0".into() } else { label(value) })).collect()
    }

    fn draw_success<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        frame: &Frame,
        title: (f64, f64),
    ) {
        let rates = self.steps(|row, _| row.requests.success_rate().map(|rate| frame.y.at(rate)));
        let failed: Vec<_> = rates
            .iter()
            .map(|&(from, to, y)| {
                (from, to, y.filter(|y| frame.y.at(1.0) + 0.01 < *y).map(|y| (y, frame.y.at(1.0))))
            })
            .collect();
        draw_band(canvas, &failed, VERMILLION, 0.30);
        draw_steps(canvas, &rates, 1.3, BLUE);
        if self.run.requests.total == 0 {
            frame.draw_absence(canvas, "no request was counted");
        }
        let from = success_from(self.run);
        let note = if 0.0 < from {
            format!("the axis begins at {}", scale::percent(from))
        } else {
            String::new()
        };
        let legend =
            [(BLUE, "share of ended requests that were ok"), (mixed(VERMILLION, 0.30), "failed")];
        draw_title(canvas, title, "Success rate", &note, &legend);
    }

    fn draw_rate<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        frame: &Frame,
        title: (f64, f64),
    ) {
        let rate = |count: u64, s: f64| frame.y.at(count as f64 / s);
        let zero = frame.y.at(0.0);
        // Between windows nothing is known.
        let is_seen = |row: &SeriesRow| self.run.sampled.is_none() || !row.recorded.is_zero();
        let ok = self.steps(|row, s| {
            is_seen(row).then(|| (zero, rate(row.requests.ok, recorded_s(row, s))))
        });
        let failed = self.steps(|row, s| {
            let s = recorded_s(row, s);
            (row.requests.failed() != 0)
                .then(|| (rate(row.requests.ok, s), rate(row.requests.total, s)))
        });
        draw_band(canvas, &ok, SKY, 0.75);
        draw_band(canvas, &failed, VERMILLION, 0.85);
        let legend = [(SKY, "ok"), (VERMILLION, "failed")];
        let note = if self.run.sampled.is_some() { "within windows" } else { "" };
        draw_title(canvas, title, "Requests ended per second", note, &legend);
    }

    fn draw_latency<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        frame: &Frame,
        title: (f64, f64),
    ) {
        let place = |ns: Option<u64>| ns.map(|ns| frame.y.at(ns as f64));
        let middle = self.steps(|row, _| place(row.p50_ns));
        let lower = self.steps(|row, _| place(row.p50_ns).zip(place(row.p90_ns)));
        let upper = self.steps(|row, _| place(row.p90_ns).zip(place(row.p99_ns)));
        draw_band(canvas, &upper, PURPLE, 0.30);
        draw_band(canvas, &lower, PURPLE, 0.75);
        draw_steps(canvas, &middle, 1.4, BLACK);
        if self.run.requests.total == 0 {
            frame.draw_absence(canvas, "no request was counted");
        }
        let note = if is_log(self.run) { "log scale" } else { "" };
        let legend = [
            (BLACK, "p50"),
            (mixed(PURPLE, 0.75), "p50 to p90"),
            (mixed(PURPLE, 0.30), "p90 to p99"),
        ];
        draw_title(canvas, title, "Latency", note, &legend);
    }

    fn draw_certificates<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        frame: &Frame,
        title: (f64, f64),
    ) {
        let at = |count: f64| frame.y.at(count);
        let valid = self.steps(|row, _| Some((at(0.0), at(certificates(row).0))));
        let expired = self.steps(|row, _| {
            let (valid, expired) = certificates(row);
            (0.0 < expired).then(|| (at(valid), at(valid + expired)))
        });
        draw_band(canvas, &valid, GREEN, 0.55);
        draw_band(canvas, &expired, VERMILLION, 0.85);
        let legend = [(mixed(GREEN, 0.55), "valid"), (VERMILLION, "expired")];
        draw_title(canvas, title, "Certificates of live proxies", "", &legend);
    }

    fn draw_connected<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        frame: &Frame,
        title: (f64, f64),
    ) {
        let at = |row: &SeriesRow, gauge: Gauge| frame.y.at(row.gauges[gauge as usize]);
        let zero = frame.y.at(0.0);
        let connected = self.steps(|row, _| Some((zero, at(row, Gauge::ProxiesConnected))));
        let all = self.steps(|row, _| Some(at(row, Gauge::Proxies)));
        draw_band(canvas, &connected, BLUE, 0.35);
        draw_steps(canvas, &all, 1.4, GREY);
        let legend = [(mixed(BLUE, 0.35), "connected to the control plane"), (GREY, "all")];
        draw_title(canvas, title, "Proxies", "", &legend);
    }

    fn draw_staleness<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        frame: &Frame,
        title: (f64, f64),
    ) {
        let staleness = Gauge::ConfigStaleness as usize;
        let zero = frame.y.at(0.0);
        let age = self.steps(|row, _| Some((zero, frame.y.at(row.gauges[staleness]))));
        draw_band(canvas, &age, ORANGE, 0.55);
        let legend =
            [(mixed(ORANGE, 0.55), "age of the oldest change that some proxy has not seen")];
        draw_title(canvas, title, "Staleness of configuration", "", &legend);
    }
}

impl Drawing for Timeline<'_> {
    fn title(&self) -> String {
        format!("{}: what happened over time", name(self.run))
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred")]
    fn size(&self) -> (u32, u32) {
        let panels: f64 = self.panels.iter().map(|panel| TITLE_SPACE + panel.height()).sum();
        (WIDTH as u32, (self.head.height() + self.marks.height() + panels + 54.0) as u32)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>) {
        self.head.draw(canvas);
        let mut top = self.head.height();
        self.marks.draw_labels(canvas, top);
        top += self.marks.height();
        for &panel in &self.panels {
            top += TITLE_SPACE;
            self.draw_panel(canvas, panel, top);
            top += panel.height();
        }
        let unit = scale::time_unit(self.run.duration).name;
        draw_x_labels(
            canvas,
            &self.x,
            top,
            &self.time_ticks(),
            &format!("simulated time ({unit})"),
        );
        if self.run.series.is_empty() {
            canvas.text((RIGHT, top + 38.0), Anchor::Right, SMALL, MID, "no series was recorded");
        }
    }
}

/// Where the axis of the success rate begins: at 0 once it falls below 90 %, else near the least.
fn success_from(run: &Run) -> f64 {
    let rates = run.series.iter().filter_map(|row| row.requests.success_rate());
    let least = rates.fold(1.0, f64::min);
    let steps = if run.requests.total == 0 { &[][..] } else { &[0.99, 0.98, 0.95, 0.9] };
    steps.iter().copied().find(|step| *step <= least).unwrap_or(0.0)
}

fn latencies(run: &Run) -> (f64, f64) {
    let low = run.series.iter().filter_map(|row| row.p50_ns).min().unwrap_or(1_000_000);
    let high = run.series.iter().filter_map(|row| row.p99_ns).max().unwrap_or(10_000_000);
    (low.max(1) as f64, high.max(1) as f64)
}

fn is_log(run: &Run) -> bool {
    let (low, high) = latencies(run);
    low * LINEAR_RATIO < high
}

fn latency_scale(run: &Run, place: (f64, f64)) -> Scale {
    let (low, high) = latencies(run);
    if is_log(run) {
        Scale::log(scale::log_range(low, high), place)
    } else {
        Scale::linear((0.0, high * 1.06), place)
    }
}

/// Valid and expired.
fn certificates(row: &SeriesRow) -> (f64, f64) {
    (row.gauges[Gauge::CertificatesValid as usize], row.gauges[Gauge::CertificatesExpired as usize])
}

/// For how long of a row requests were recorded: of `length_s`, if the run is not sampled.
fn recorded_s(row: &SeriesRow, length_s: f64) -> f64 {
    if row.recorded.is_zero() { length_s } else { row.recorded.as_s().min(length_s) }
}
