//! Marks of events: named bars above the panels, shades and lines behind the data.
//!
//! ```text
//! istiod-down: istiod fails         row 0     each event of the timeline has one label, also when
//! ━━━━━━━━━━━━━━━━━━━━━━            bar       it repeats; a row takes the next event as soon as
//!      burst: traffic × 3 (×4)      row 1     neither bars nor labels come too near
//!      ━━  ━━  ━━  ━━
//! ```
//!
//! Source: `Run::occurrences`; an occurrence without an end lasted to the end of the run if a
//! phase is named "during" it, else it is an instant or a change for good, and is one line.
//! Left out: what an event did; its label says it.

use super::canvas::{Anchor, Canvas};
use super::scale::{Scale, stagger};
use super::style::{BLACK, GREY, MID, SMALL, fit, text_width};
use crate::observe::run::{Occurrence, Run};
use plotters::backend::DrawingBackend;

/// Rows of labels; events beyond are counted in a line of their own.
const ROWS: usize = 12;
const ROW_HEIGHT: f64 = 19.0;
/// Space above the first row.
const SPACE: f64 = 9.0;
/// The widest label.
const LABEL_WIDTH: f64 = 380.0;
/// Pixels between the labels of a row.
const GAP: f64 = 14.0;
/// Shades of this many overlapping events are told apart.
const DEPTH: i32 = 3;
/// More events than this have fainter lines.
const STRONG: usize = 8;
/// More events than this have no lines: the shades have to do.
const LINES: usize = 60;

/// One label with all its times.
struct Mark {
    label: String,
    label_x: f64,
    row: Option<usize>,
    /// From and to in pixels; equal for an instant.
    bars: Vec<(f64, f64)>,
}

/// All marks of a picture.
pub(super) struct Marks {
    all: Vec<Mark>,
    rows: usize,
    hidden: usize,
    x: Scale,
}

impl Marks {
    /// The marks of a run on an axis in seconds.
    pub(super) fn new(run: &Run, x: &Scale) -> Self {
        let mut marks: Vec<(u32, Mark)> = Vec::new();
        if !run.warmup.is_zero() {
            let bars = vec![(x.start(), x.at(run.warmup.as_s()))];
            let label = "warm-up, not counted".to_owned();
            marks.push((u32::MAX, Mark { label, label_x: x.start(), row: None, bars }));
        }
        for occurrence in &run.occurrences {
            let from = x.at(occurrence.from.as_s());
            let to = ended(run, occurrence).map_or(from, |to| x.at(to));
            if let Some((_, mark)) = marks
                .iter_mut()
                .find(|(event, mark)| *event == occurrence.event && mark.label == label(occurrence))
            {
                mark.bars.push((from, to));
                continue;
            }
            let (label, bars) = (label(occurrence), vec![(from, to)]);
            marks.push((occurrence.event, Mark { label, label_x: from, row: None, bars }));
        }
        if let Some(partial) = run.partial {
            let bars = vec![(x.at(partial.at.as_s()), x.end())];
            let label = format!("ended early: {}", partial.why);
            marks.push((u32::MAX, Mark { label, label_x: bars[0].0, row: None, bars }));
        }
        Self::arranged(marks.into_iter().map(|(_, mark)| mark).collect(), *x)
    }

    fn arranged(mut marks: Vec<Mark>, x: Scale) -> Self {
        for mark in &mut marks {
            if 1 < mark.bars.len() {
                let times = format!(" (× {})", mark.bars.len());
                mark.label = fit(&mark.label, SMALL, LABEL_WIDTH - 45.0) + &times;
            }
            mark.label = fit(&mark.label, SMALL, LABEL_WIDTH);
            let width = text_width(&mark.label, SMALL);
            mark.label_x = mark.label_x.min(x.end() - width).max(0.0);
        }
        let extents: Vec<_> = marks.iter().map(Mark::extent).collect();
        for (mark, row) in marks.iter_mut().zip(stagger(&extents, GAP, ROWS)) {
            mark.row = row;
        }
        let rows = marks.iter().filter_map(|mark| mark.row).max().map_or(0, |row| row + 1);
        let hidden = marks.iter().filter(|mark| mark.row.is_none()).count();
        Self { all: marks, rows, hidden, x }
    }

    /// The height of all rows of labels.
    pub(super) fn height(&self) -> f64 {
        let rows = self.rows + usize::from(self.hidden != 0);
        rows as f64 * ROW_HEIGHT + if rows == 0 { 0.0 } else { SPACE }
    }

    /// Labels and bars below `top`.
    pub(super) fn draw_labels<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>, top: f64) {
        for mark in &self.all {
            let Some(row) = mark.row else { continue };
            let y = (top + SPACE + row as f64 * ROW_HEIGHT).round();
            canvas.text((mark.label_x, y + 10.0), Anchor::Left, SMALL, BLACK, &mark.label);
            for &(from, to) in &mark.bars {
                if to - from < 2.0 {
                    let tip = (from, y + 18.0);
                    canvas.area(&[(from - 3.5, y + 13.0), (from + 3.5, y + 13.0), tip], GREY, 1.0);
                } else {
                    canvas.rect((from, y + 13.5), (to, y + 16.5), MID, 1.0);
                }
            }
        }
        if self.hidden != 0 {
            let y = top + SPACE + self.rows as f64 * ROW_HEIGHT + 10.0;
            let text = format!("and {} more events without a label, marked below", self.hidden);
            canvas.text((self.left(), y), Anchor::Left, SMALL, GREY, &text);
        }
    }

    /// Shades over the height of a panel, darker where events overlap.
    pub(super) fn draw_shades<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        y: (f64, f64),
    ) {
        let spans = self.spans().filter(|(from, to)| 2.0 <= to - from);
        let mut cuts: Vec<(f64, i32)> =
            spans.flat_map(|(from, to)| [(from, 1), (to, -1)]).collect();
        cuts.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        let mut depth = 0;
        for pair in cuts.windows(2) {
            depth += pair[0].1;
            if 0 < depth {
                let alpha = 0.085 * f64::from(depth.min(DEPTH));
                canvas.rect((pair[0].0, y.0), (pair[1].0, y.1), MID, alpha);
            }
        }
    }

    /// Lines at begins and ends over the height of a panel.
    pub(super) fn draw_lines<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        y: (f64, f64),
    ) {
        if LINES < self.spans().count() {
            return;
        }
        let colour = if STRONG < self.spans().count() { MID } else { GREY };
        let mut places: Vec<f64> = self.spans().flat_map(|(from, to)| [from, to]).collect();
        places.retain(|x| self.x.start() + 1.0 < *x && *x < self.x.end() - 1.0);
        places.sort_by(f64::total_cmp);
        places.dedup_by(|a, b| *a - *b < 1.5);
        for place in places {
            canvas.dashed_upright(place, y, colour);
        }
    }

    fn spans(&self) -> impl Iterator<Item = (f64, f64)> {
        self.all.iter().flat_map(|mark| mark.bars.iter().copied())
    }

    fn left(&self) -> f64 {
        self.spans().map(|span| span.0).fold(f64::INFINITY, f64::min)
    }
}

impl Mark {
    /// What its row must keep free: the label and all bars.
    fn extent(&self) -> (f64, f64) {
        let label = (self.label_x, self.label_x + text_width(&self.label, SMALL));
        self.bars.iter().fold(label, |all, bar| (all.0.min(bar.0 - 4.0), all.1.max(bar.1 + 4.0)))
    }
}

fn label(occurrence: &Occurrence) -> String {
    match (occurrence.id.as_str(), occurrence.label.as_str()) {
        (id, "") => id.to_owned(),
        (id, label) if id == label => id.to_owned(),
        (id, label) => format!("{id}: {label}"),
    }
}

/// When an occurrence ended, in seconds; none for an instant.
fn ended(run: &Run, occurrence: &Occurrence) -> Option<f64> {
    if let Some(to) = occurrence.to {
        return Some(to.as_s());
    }
    let lasted = run.phases.iter().any(|phase| {
        let during = phase.name.strip_prefix("during ");
        during.is_some_and(|ids| ids.split(" + ").any(|id| id == occurrence.id))
    });
    lasted.then(|| run.duration.as_s())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::samples;

    #[test]
    fn labels_of_twenty_overlapping_events_do_not_overlap() {
        let x = Scale::linear((0.0, 600.0), (80.0, 1_070.0));
        let marks = Marks::new(&samples::crowded(), &x);
        assert_eq!(marks.rows, ROWS);
        assert!(marks.hidden != 0 && marks.all.len() == 21, "a repeated event has one label");
        for (i, a) in marks.all.iter().enumerate() {
            for b in &marks.all[i + 1..] {
                let (one, other) = (a.extent(), b.extent());
                let apart = one.1 + GAP <= other.0 || other.1 + GAP <= one.0;
                assert!(a.row.is_none() || a.row != b.row || apart, "{} / {}", a.label, b.label);
            }
            assert!(a.extent().1 <= 1_075.0, "{} is cut at the right", a.label);
        }
    }

    #[test]
    fn an_event_that_outlasts_the_run_is_a_span_and_a_rollout_is_a_line() {
        let run = samples::canary();
        let spans: Vec<_> = run.occurrences.iter().map(|it| ended(&run, it).is_some()).collect();
        assert_eq!(spans, [false, true, true]);
    }
}
