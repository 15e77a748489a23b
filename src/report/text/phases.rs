//! What happened when: the phases as a table, long ones also hour by hour.
//!
//! Source: the phases of the run; its series for the hours.
//! Left out: phases in the middle of many that are like their neighbours.

use super::{Paint, wrap};
use crate::kernel::time::{Duration, Time};
use crate::observe::run::{Phase, Run, Tally};
use crate::report::number::{clock, count, length, percent, quantile_ns};
use crate::report::sampled;
use crate::report::words::{short, span};
use comfy_table::{CellAlignment, Table, presets};

/// Rows of the table; of more phases the worst ones are shown.
const PHASES_MAX: usize = 7;
/// A bar covers a whole number of these.
const HOUR: Duration = Duration::from_s(3_600);
/// A phase longer than this is also told hour by hour.
const LONG: Duration = Duration::from_s(6 * 3_600);
/// Long phases told so.
const LONG_MAX: usize = 2;
/// Columns of a row of bars.
const BARS_MAX: u64 = 48;
/// From here on up a bar is full: three nines, as objectives for a service usually are.
const GOOD: f64 = 0.999;
/// Below this a row of the table is painted.
const BAD: f64 = 0.99;
/// A rate that moves less than this within a phase needs no bars.
const MOVES: f64 = 0.005;
/// From none to all; `·` where there were no requests.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The table and the bars; neither without requests.
pub(super) fn lines(run: &Run, paint: Paint) -> Vec<String> {
    if run.phases.iter().all(|phase| phase.requests.total == 0) {
        return Vec::new();
    }
    let shown = shown(&run.phases);
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty();
    table.set_header(["when", "phase", "requests", "ok", "p50", "p99"]);
    table.add_rows(shown.iter().map(|phase| row(phase)));
    for index in 2..6 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut lines = Vec::new();
    for (index, line) in table.lines().enumerate() {
        let line = format!(" {}", line.trim_end());
        let is_bad = |phase: &&Phase| success_rate(phase).is_some_and(|rate| rate < BAD);
        lines.push(match index.checked_sub(1) {
            None => paint.faint(&line),
            Some(row) if shown.get(row).is_some_and(is_bad) => paint.bad(&line),
            Some(_) => line,
        });
    }
    if let more @ 1.. = run.phases.len() - shown.len() {
        lines.push(format!("  … and {more} more phases, none of them worse"));
    }
    lines.extend(shown.iter().filter_map(|phase| bars(run, phase)).take(LONG_MAX).flatten());
    lines
}

/// All phases, or of many the first, the last and the worst, in time order.
fn shown(phases: &[Phase]) -> Vec<&Phase> {
    if phases.len() <= PHASES_MAX {
        return phases.iter().collect();
    }
    let rate = |phase: &Phase| success_rate(phase).unwrap_or(1.0);
    let p99 = |phase: &Phase| phase.latency.quantile(0.99).unwrap_or(0);
    let last = phases.len() - 1;
    let mut worst: Vec<usize> = (1..last).collect();
    worst.sort_by(|&a, &b| {
        let (a, b) = (&phases[a], &phases[b]);
        rate(a).total_cmp(&rate(b)).then(p99(b).cmp(&p99(a)))
    });
    worst.truncate(PHASES_MAX - 2);
    worst.extend([0, last]);
    worst.sort_unstable();
    worst.into_iter().map(|index| &phases[index]).collect()
}

/// Estimated, if the run was sampled.
fn success_rate(phase: &Phase) -> Option<f64> {
    let estimate = phase.estimates.as_ref().map(|all| all.success_rate.value);
    estimate.or_else(|| phase.requests.success_rate())
}

fn row(phase: &Phase) -> [String; 6] {
    if let Some(all) = &phase.estimates {
        return [
            span(phase.from, phase.to),
            short(&phase.name, 32),
            sampled::about(all.requests.value),
            sampled::share(all.success_rate),
            sampled::length_of_ns(all.latency_ns[0].value),
            sampled::length_of_ns(all.latency_ns[2].value),
        ];
    }
    let quantile = |q| quantile_ns(&phase.latency, q).map_or("-".to_owned(), length);
    [
        span(phase.from, phase.to),
        short(&phase.name, 32),
        count(phase.requests.total),
        phase.requests.success_rate().map_or("-".to_owned(), percent),
        quantile(0.5),
        quantile(0.99),
    ]
}

/// A long phase whose success rate moves, hour by hour.
fn bars(run: &Run, phase: &Phase) -> Option<Vec<String>> {
    let length = phase.to.saturating_since(phase.from);
    if length <= LONG {
        return None;
    }
    let hours =
        length.ns().div_ceil(BARS_MAX * HOUR.ns()).max(run.interval.ns().div_ceil(HOUR.ns()));
    let bins = bins(run, phase, HOUR * hours);
    let rates = || bins.iter().filter_map(|bin| Some((bin.0, bin.1.success_rate()?)));
    let lowest = rates().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let highest = rates().max_by(|a, b| a.1.total_cmp(&b.1))?;
    if highest.1 - lowest.1 < MOVES {
        return None;
    }
    let row: String = bins.iter().map(|bin| bar(bin.1)).collect();
    let each = if hours == 1 { "hour by hour".to_owned() } else { format!("every {hours} hours") };
    let below = rates().find(|(_, rate)| *rate < GOOD).map_or(Time::ZERO, |(at, _)| at);
    let text = format!(
        "{row} below {} from {}, lowest {} at {}",
        percent(GOOD),
        clock(below),
        percent(lowest.1),
        clock(lowest.0)
    );
    Some(wrap(&text, &format!("  {each} from {}: ", clock(phase.from)), "    "))
}

/// The requests of the phase in stretches of `length`, with the begin of each.
fn bins(run: &Run, phase: &Phase, length: Duration) -> Vec<(Time, Tally)> {
    let mut bins: Vec<(Time, Tally)> = Vec::new();
    let mut from = phase.from;
    while from < phase.to {
        bins.push((from, Tally::default()));
        from += length;
    }
    for row in run.series.iter().filter(|row| phase.from <= row.time && row.time < phase.to) {
        let index = row.time.since(phase.from).ns() / length.ns();
        let place = usize::try_from(index).ok().and_then(|index| bins.get_mut(index));
        if let Some((_, tally)) = place {
            tally.total += row.requests.total;
            tally.ok += row.requests.ok;
        }
    }
    bins
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 7")]
fn bar(tally: Tally) -> char {
    match tally.success_rate() {
        None => '·',
        Some(GOOD..) => BARS[7],
        Some(rate) => BARS[(rate * 7.0) as usize],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{hours, sample_run};

    #[test]
    fn a_full_bar_means_three_nines() {
        let bar = |ok| bar(Tally { total: 10_000, ok });
        assert_eq!((bar(10_000), bar(9_990), bar(9_989), bar(0)), ('█', '█', '▇', '▁'));
        assert_eq!(super::bar(Tally::default()), '·');
    }

    #[test]
    fn many_phases_show_the_ends_and_the_worst() {
        let mut run = sample_run();
        let template = run.phases[0].clone();
        run.phases = (0..40)
            .map(|index| {
                let name = format!("phase {index}");
                let (from, to) = (hours(index), hours(index + 1));
                let requests = Tally { total: 100, ok: if index == 17 { 3 } else { 100 } };
                Phase { name, from, to, requests, ..template.clone() }
            })
            .collect();
        let text = lines(&run, Paint(false)).join("\n");
        for name in ["phase 0 ", "phase 17 ", "phase 39 ", "and 33 more"] {
            assert!(text.contains(name), "{text}");
        }
    }

    #[test]
    fn a_steady_phase_has_no_bars() {
        let run = sample_run();
        assert_eq!(bars(&run, &run.phases[0]), None);
        assert!(bars(&run, &run.phases[1]).is_some());
    }
}
