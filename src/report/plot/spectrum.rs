//! The percentile spectrum: latency by percentile, a curve a phase.
//!
//! The x axis is logarithmic in the share of requests that are slower: each factor of ten has the
//! same width, so 90 %, 99 % and 99.9 % are equally far apart. A curve is drawn in steps, as the
//! requests were, and ends at 1 − 1/n, its slowest request: n requests can tell no more.
//!
//! Phases of one name are one curve. Of more than eight names the seven with the most requests
//! keep theirs, and the others are one curve together.
//!
//! Of a sampled run, curves are of the requests that were recorded. What the legend says of success
//! and latency is what they stand for: the estimates of a phase; nothing of several together, or
//! without estimates.
//!
//! Source: the percentile plot of `HdrHistogram` (Tene).
//! Left out: confidence bands.

use super::canvas::{Anchor, Canvas, Drawing, Point, Shape};
use super::panel::{Frame, Head, LEFT, WIDTH, draw_x_labels, name};
use super::scale::{self, Scale};
use super::style::{BLACK, CURVES, GREY, SMALL, TEXT, fit};
use crate::kernel::histogram::Histogram;
use crate::observe::estimate::Estimates;
use crate::observe::run::{Run, Tally};
use plotters::backend::DrawingBackend;
use plotters::style::RGBColor;

/// Width of the legend at the right.
const LEGEND: f64 = 236.0;
const PANEL: f64 = 430.0;
const SHAPES: [Shape; 4] = [Shape::Disc, Shape::Square, Shape::Triangle, Shape::Diamond];

/// One curve.
struct Curve {
    name: String,
    /// Of which mesh it is, where several are beside each other.
    mesh: Option<String>,
    requests: Tally,
    latency: Histogram,
    /// Of its phase, if it is one alone.
    estimates: Option<Estimates>,
}

/// The picture.
pub(super) struct Spectrum {
    title: String,
    head: Head,
    curves: Vec<Curve>,
    /// Requests were sampled: curves are of those that were recorded.
    is_sampled: bool,
    /// By how much each curve is wider than the next, which may lie on it.
    wider: f64,
}

impl Spectrum {
    /// Of a run's phases.
    pub(super) fn new(run: &Run) -> Self {
        let title = format!("{}: latency by percentile", name(run));
        let is_sampled = run.sampled.is_some();
        let (head, curves) = (Head::new(run), merged(curves(run)));
        Self { title, head, curves, is_sampled, wider: 0.0 }
    }

    /// Of several runs, a curve each: at most as many as there are colours.
    pub(super) fn beside(title: String, head: Head, runs: &[(String, &Run)]) -> Self {
        debug_assert!(runs.len() <= CURVES.len(), "a colour a run");
        let curve = |(name, run): &(String, &Run)| Curve {
            name: name.clone(),
            mesh: Some(run.profile.clone()),
            requests: run.requests,
            latency: run.latency.clone(),
            estimates: run.sampled.as_ref().and_then(|sampled| sampled.estimates),
        };
        let is_sampled = runs.iter().any(|(_, run)| run.sampled.is_some());
        Self {
            title,
            head,
            curves: runs.iter().map(curve).collect(),
            is_sampled,
            wider: wider(runs.len()),
        }
    }

    /// Those with something to draw; the others are in the legend.
    fn drawn(&self) -> impl Iterator<Item = (usize, &Curve)> {
        self.curves.iter().enumerate().filter(|(_, curve)| !curve.latency.is_empty())
    }

    /// Of an entry of the legend.
    fn key_height(&self) -> f64 {
        if self.curves.iter().any(|curve| curve.mesh.is_some()) { 60.0 } else { 46.0 }
    }

    fn width(&self, index: usize) -> f64 {
        1.8 + self.wider * (self.curves.len() - 1 - index) as f64
    }

    fn frame(&self) -> Frame {
        let counts = self.curves.iter().map(|curve| curve.latency.count());
        let requests = counts.max().unwrap_or(1_000).max(10) as f64;
        // The fastest hundredth is within a pixel of the axis: it has no right to decades of it.
        let fast = |curve: &Curve| curve.latency.quantile(0.01).unwrap_or_default();
        let low = self.drawn().map(|(_, curve)| fast(curve)).min().unwrap_or(1_000_000);
        let high = self.drawn().map(|(_, curve)| curve.latency.max_ns()).max();
        let high = high.unwrap_or(1_000_000_000);
        let top = self.head.height() + 14.0;
        let y = Scale::log(scale::log_range(low as f64, high as f64), (top + PANEL, top));
        let x = (LEFT, WIDTH - LEGEND - 28.0);
        Frame { x: Scale::linear((0.0, libm::log10(requests)), x), y }
    }
}

impl Drawing for Spectrum {
    fn title(&self) -> String {
        self.title.clone()
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred")]
    fn size(&self) -> (u32, u32) {
        let legend = self.key_height() * self.curves.len() as f64;
        (WIDTH as u32, (self.head.height() + 14.0 + PANEL.max(legend) + 58.0) as u32)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>) {
        let frame = self.frame();
        self.head.draw(canvas);
        let ticks: Vec<_> = percentiles()
            .take_while(|(nines, _)| frame.x.at(*nines) < frame.x.end() - 1.0 || *nines <= 0.0)
            .collect();
        frame.draw_x(canvas, &ticks);
        let latencies: Vec<_> =
            frame.y.ticks(8.0).into_iter().map(|ns| (ns, scale::latency(ns))).collect();
        frame.draw_y(canvas, &latencies);
        frame.draw_axes(canvas);
        let bottom = frame.extent().1;
        let of = if self.is_sampled { "recorded requests, not weighted" } else { "requests" };
        draw_x_labels(canvas, &frame.x, bottom, &ticks, &format!("percentile of {of}"));
        let middle = f64::midpoint(frame.extent().0, bottom);
        canvas.text_upwards((20.0, middle), TEXT, BLACK, "latency (log scale)");
        if self.drawn().next().is_none() {
            frame.draw_absence(canvas, "no request was counted");
        }
        for (index, curve) in self.drawn() {
            canvas.line(&points(&curve.latency, &frame), self.width(index), CURVES[index]);
        }
        for (index, curve) in self.curves.iter().enumerate() {
            let has_points = !curve.latency.is_empty();
            for (at, _) in has_points.then(|| markers(&curve.latency, &frame)).iter().flatten() {
                canvas.marker(SHAPES[index % SHAPES.len()], *at, CURVES[index]);
            }
            let y = frame.extent().0 + self.key_height() * index as f64;
            draw_key(canvas, (index, self.width(index)), y, curve, self.is_sampled);
        }
    }
}

/// One entry of the legend.
fn draw_key<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    (index, width): (usize, f64),
    y: f64,
    curve: &Curve,
    is_sampled: bool,
) {
    let (x, colour): (f64, RGBColor) = (WIDTH - LEGEND, CURVES[index]);
    canvas.line(&[(x, y + 8.0), (x + 26.0, y + 8.0)], width, colour);
    canvas.marker(SHAPES[index % SHAPES.len()], (x + 13.0, y + 8.0), colour);
    let room = LEGEND - 34.0 - 12.0;
    let name = fit(&curve.name, TEXT, room);
    canvas.text((x + 34.0, y + 12.0), Anchor::Left, TEXT, BLACK, &name);
    let mut lines: Vec<String> = curve.mesh.iter().cloned().collect();
    lines.extend(if is_sampled { curve.estimated() } else { curve.counted() });
    for (line, text) in lines.iter().enumerate() {
        let at = (x + 34.0, y + 26.0 + 13.0 * line as f64);
        canvas.text(at, Anchor::Left, SMALL - 1.0, GREY, &fit(text, SMALL - 1.0, room));
    }
}

/// A curve a name, in the order of first occurrence; without those that had no requests.
fn curves(run: &Run) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    for phase in run.phases.iter().filter(|phase| !phase.latency.is_empty()) {
        let (requests, latency) = (phase.requests, phase.latency.clone());
        let (name, estimates) = (phase.name.clone(), phase.estimates);
        match curves.iter_mut().find(|curve| curve.name == phase.name) {
            Some(curve) => curve.add(requests, &latency),
            None => curves.push(Curve { name, mesh: None, requests, latency, estimates }),
        }
    }
    if curves.is_empty() && !run.latency.is_empty() {
        let (requests, latency) = (run.requests, run.latency.clone());
        let estimates = run.sampled.as_ref().and_then(|sampled| sampled.estimates);
        curves.push(Curve {
            name: "whole run".to_owned(),
            mesh: None,
            requests,
            latency,
            estimates,
        });
    }
    curves
}

/// At most as many as there are colours: the smallest become one.
fn merged(mut curves: Vec<Curve>) -> Vec<Curve> {
    if curves.len() <= CURVES.len() {
        return curves;
    }
    let mut counts: Vec<u64> = curves.iter().map(|curve| curve.latency.count()).collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let least = counts[CURVES.len() - 2];
    let mut room = CURVES.len() - 1 - counts.iter().filter(|count| least < **count).count();
    let mut others = Curve {
        name: String::new(),
        mesh: None,
        requests: Tally::default(),
        latency: Histogram::new(),
        estimates: None,
    };
    let mut merged = 0_usize;
    curves.retain(|curve| {
        let count = curve.latency.count();
        let kept = least < count || (count == least && 0 < room);
        if kept && count == least {
            room -= 1;
        }
        if !kept {
            others.add(curve.requests, &curve.latency);
            merged += 1;
        }
        kept
    });
    others.name = format!("{merged} smaller phases together");
    curves.push(others);
    curves
}

impl Curve {
    fn add(&mut self, requests: Tally, latency: &Histogram) {
        self.requests.total += requests.total;
        self.requests.ok += requests.ok;
        self.latency.merge(latency);
        self.estimates = None;
    }

    /// What the legend says of requests that are all there were.
    fn counted(&self) -> Vec<String> {
        let count = self.latency.count();
        let requests =
            format!("{} request{}", scale::count(count), if count == 1 { "" } else { "s" });
        let success = match self.requests.success_rate() {
            Some(rate) => format!("{requests} · {} ok", scale::percent(rate)),
            None => requests,
        };
        if self.latency.is_empty() {
            return vec![success];
        }
        let quantile = |q| self.latency.quantile(q).map_or(0.0, |ns| ns as f64);
        vec![success, quantiles(quantile(0.5), quantile(0.99))]
    }

    /// What it says of a sample.
    fn estimated(&self) -> Vec<String> {
        let recorded = format!("{} recorded", scale::count(self.latency.count()));
        let Some(all) = self.estimates else { return vec![recorded] };
        let [p50, _, p99, _] = all.latency_ns.map(|one| one.value);
        let success = scale::percent(all.success_rate.value);
        vec![format!("{recorded} · about {success} ok"), format!("about {}", quantiles(p50, p99))]
    }
}

/// By how much each of so many lines is wider than the one that lies on it: no line is wider than a few pixels.
pub(super) fn wider(lines: usize) -> f64 {
    (4.4 / lines.saturating_sub(1).max(1) as f64).min(1.1)
}

fn quantiles(p50_ns: f64, p99_ns: f64) -> String {
    format!("p50 {} · p99 {}", scale::latency(p50_ns), scale::latency(p99_ns))
}

/// The steps of a histogram: at its cells' upper ends, from the share below to the share with them.
fn points(latency: &Histogram, frame: &Frame) -> Vec<Point> {
    let count = latency.count() as f64;
    let place = |below: u64| frame.x.at(libm::log10(count / (count - below as f64).max(1.0)));
    let mut points: Vec<Point> = Vec::new();
    let mut below = 0;
    for (_, highest, n) in latency.iter() {
        let y = frame.y.at((highest.min(latency.max_ns()) as f64).max(1.0));
        let (from, to) = (place(below), place((below + n).min(latency.count() - 1)));
        below += n;
        // Cells narrower than a fifth of a pixel are drawn as a slope.
        if points.last().is_none_or(|last: &Point| 0.2 <= to - last.0 || 0.2 <= last.1 - y) {
            if 1.0 <= to - from {
                points.push((from, y));
            }
            points.push((to, y));
        }
    }
    if let Some(last) = points.last_mut() {
        *last = (place(latency.count() - 1), frame.y.at((latency.max_ns() as f64).max(1.0)));
    }
    points
}

/// Where a curve is marked: at each labelled percentile that it reaches, and at its end.
fn markers(latency: &Histogram, frame: &Frame) -> Vec<(Point, f64)> {
    let nines_of_all = libm::log10(latency.count() as f64);
    let mut markers: Vec<(Point, f64)> = Vec::new();
    for (nines, _) in percentiles().skip(1).take_while(|(nines, _)| *nines < nines_of_all - 0.05) {
        let ns = latency.quantile(1.0 - libm::pow(10.0, -nines)).unwrap_or_default();
        markers.push(((frame.x.at(nines), frame.y.at((ns as f64).max(1.0))), nines));
    }
    let slowest = (latency.max_ns() as f64).max(1.0);
    markers.push(((frame.x.at(nines_of_all), frame.y.at(slowest)), nines_of_all));
    markers
}

/// The percentiles that have a label: (number of nines, label).
fn percentiles() -> impl Iterator<Item = (f64, String)> {
    let beyond = (1..=15_usize).map(|nines| {
        let decimals = "9".repeat(nines.saturating_sub(2));
        let label = match nines {
            1 => "90 %".to_owned(),
            2 => "99 %".to_owned(),
            _ => format!("99.{decimals} %"),
        };
        (nines as f64, label)
    });
    [(0.0, "0 %".to_owned()), (libm::log10(2.0), "50 %".to_owned())].into_iter().chain(beyond)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::estimate::Estimate;
    use crate::report::plot::samples;

    #[test]
    fn a_curve_ends_at_its_own_resolution() {
        let run = samples::outage();
        let picture = Spectrum::new(&run);
        let frame = picture.frame();
        for curve in &picture.curves {
            let end = frame.x.at(libm::log10(curve.latency.count() as f64));
            let points = points(&curve.latency, &frame);
            assert!(points.iter().all(|point| point.0 <= end + 1e-9));
            assert!(points.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[1].1 <= pair[0].1));
        }
    }

    #[test]
    fn the_legend_of_a_sample_says_what_the_estimates_say_or_nothing() {
        let one = |value: f64| Estimate { value, low: value, high: value };
        let estimates = Estimates {
            requests: one(4e6),
            success_rate: one(0.638),
            latency_mean_ns: one(9e6),
            latency_ns: [8e6, 12e6, 21.7e6, 80e6].map(one),
        };
        let mut latency = Histogram::new();
        latency.record_n(79_500_000, 1000);
        let requests = Tally { total: 1000, ok: 952 };
        let (name, estimates) = ("after".to_owned(), Some(estimates));
        let mut curve = Curve { name, mesh: None, requests, latency: latency.clone(), estimates };
        let lines = ["1,000 recorded · about 63.8 % ok", "about p50 8 ms · p99 21.7 ms"];
        assert_eq!(curve.estimated(), lines);
        // A phase of that name more: what both stand for together is not known.
        curve.add(requests, &latency);
        assert_eq!(curve.estimated(), ["2,000 recorded"]);
    }

    #[test]
    fn of_many_phases_the_smallest_are_merged() {
        let curve = |n: u64| {
            let mut latency = Histogram::new();
            latency.record_n(1_000_000, n % 11 + 1);
            Curve {
                name: format!("phase {n}"),
                mesh: None,
                requests: Tally { total: n % 11 + 1, ok: 1 },
                latency,
                estimates: None,
            }
        };
        let all = merged((0..30).map(curve).collect());
        let total: u64 = all.iter().map(|curve| curve.latency.count()).sum();
        assert_eq!((all.len(), total), (8, (0..30).map(|n| n % 11 + 1).sum()));
        assert_eq!(all[7].name, "23 smaller phases together");
        assert_eq!(merged((0..8).map(curve).collect()).len(), 8);
    }
}
