//! Runs of one scenario side by side: the scenario as written and its variants, a row each.
//!
//! The question is which mesh fails first, when, and with which answer: so each `[[traffic]]` has its first failure.
//! The same numbers as a table for people, as `side-by-side.csv` and as `side-by-side.json`.
//!
//! Source: docs/results.md.
//! Left out: differences and their intervals; phases, which each run's own `summary.json` has.

use super::json::write_value;
use super::number::{clock, count, length, ms, percent, plain, quantile_ns, round6};
use super::words::{harmless, short};
use crate::check::judgement::Judgement;
use crate::kernel::time::Time;
use crate::observe::run::{Run, TrafficRow};
use crate::vocabulary::outcome::Outcome;
use serde_json::{Value, json};

/// A run with the verdicts on it.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// What happened.
    pub run: &'a Run,
    /// What was expected.
    pub judgements: &'a [Judgement],
}

/// Columns of the longest name in the table for people.
const NAME_MAX: usize = 24;
const BYTES_PER_MIB: f64 = 1_048_576.0;

/// The heads of `side-by-side.csv`.
const COLUMNS: [&str; 21] = [
    "variant",
    "mesh",
    "requests",
    "failed",
    "success_rate",
    "rate_rps",
    "p50_ms",
    "p90_ms",
    "p99_ms",
    "max_ms",
    "first_failure_s",
    "first_failure_traffic",
    "first_failure_status",
    "first_failure_flags",
    "first_failure_details",
    "certificates_expired",
    "proxy_cpu_s_per_1000",
    "proxy_memory_mib",
    "asserts",
    "asserts_failed",
    "partial",
];

impl Beside<'_> {
    /// The first failure of all traffic.
    fn first_failure(&self) -> Option<(&TrafficRow, Time, Outcome)> {
        let rows = self.run.traffic.iter();
        let first = rows.filter_map(|row| row.first_failure.map(|(at, how)| (row, at, how)));
        // Of several at one time the first of the file.
        first.min_by_key(|(_, at, _)| *at)
    }

    /// Requests a second after the warm-up.
    fn rate(&self) -> Option<f64> {
        let end = self
            .run
            .partial
            .map_or(self.run.duration, |partial| partial.at.saturating_since(Time::ZERO));
        let counted = end.saturating_sub(self.run.warmup).as_s();
        // Of a sample, raw counts are no rate.
        let is_whole = self.run.sampled.is_none() && 0.0 < counted;
        is_whole.then(|| self.run.requests.total as f64 / counted)
    }

    /// CPU time of all proxies for a thousand requests, in seconds.
    fn cpu_s_per_1000(&self) -> Option<f64> {
        let cpu = self.run.mesh_cost.as_ref()?.cpu.as_ref()?;
        let requests = self.run.requests.total;
        let sum = cpu.client_s + cpu.server_s + cpu.handshakes_s;
        (requests != 0).then(|| 1_000.0 * sum / requests as f64)
    }

    /// Memory of all live proxies at the end.
    fn memory_mib(&self) -> Option<f64> {
        self.run.mesh_cost.as_ref().map(|cost| cost.memory as f64 / BYTES_PER_MIB)
    }

    fn failed_asserts(&self) -> usize {
        self.judgements.iter().filter(|one| !one.passes).count()
    }

    fn quantile(&self, q: f64) -> Option<u64> {
        quantile_ns(&self.run.latency, q)
    }

    fn slowest(&self) -> Option<u64> {
        (!self.run.latency.is_empty()).then(|| self.run.latency.max_ns())
    }

    fn fields(&self) -> [Value; COLUMNS.len()] {
        let run = self.run;
        let first = self.first_failure();
        let how = first.map(|(_, _, how)| how);
        [
            json!(run.variant),
            json!(run.profile),
            json!(run.requests.total),
            json!(run.requests.failed()),
            json!(run.requests.success_rate()),
            json!(self.rate().map(round6)),
            json!(self.quantile(0.5).map(ms)),
            json!(self.quantile(0.9).map(ms)),
            json!(self.quantile(0.99).map(ms)),
            json!(self.slowest().map(ms)),
            json!(first.map(|(_, at, _)| at.as_s())),
            json!(first.map(|(row, ..)| &row.id)),
            json!(how.map(|how| how.status)),
            json!(how.map(|how| how.flags.to_string())),
            json!(how.map(|how| how.details.text())),
            json!(run.control_plane.certificates_expired),
            json!(self.cpu_s_per_1000().map(round6)),
            json!(self.memory_mib().map(round6)),
            json!(self.judgements.len()),
            json!(self.failed_asserts()),
            json!(run.partial.map(|partial| partial.why)),
        ]
    }
}

/// `side-by-side.csv`: a row a run; what has no value is empty. The scenario as written has no variant.
pub fn csv(all: &[Beside<'_>]) -> String {
    let mut text = super::csv::line(COLUMNS);
    for one in all {
        let cell = |value: Value| match value {
            Value::Null => String::new(),
            Value::String(text) => text,
            other => other.to_string(),
        };
        text += &super::csv::line(one.fields().map(cell));
    }
    text
}

/// `side-by-side.json` as a value: the same fields, and the traffic of each run.
pub fn value(all: &[Beside<'_>]) -> Value {
    let rows = all.iter().map(|one| {
        let fields = COLUMNS.iter().map(|name| (*name).to_owned()).zip(one.fields());
        let mut row: serde_json::Map<String, Value> = fields.collect();
        row.insert("traffic".to_owned(), one.run.traffic.iter().map(traffic).collect());
        Value::Object(row)
    });
    let scenario = all.first().map(|one| one.run.scenario.as_str());
    let seed = all.first().map(|one| one.run.seed);
    json!({ "schema_version": 1, "scenario": scenario, "seed": seed, "side_by_side": rows.collect::<Vec<_>>() })
}

/// `side-by-side.json`.
pub fn json(all: &[Beside<'_>]) -> String {
    let mut text = String::new();
    write_value(&mut text, &value(all), 0);
    text.push('\n');
    text
}

fn traffic(row: &TrafficRow) -> Value {
    let first = row.first_failure.map(|(at, how)| {
        json!({ "at_s": at.as_s(), "status": how.status, "flags": how.flags.to_string(), "details": how.details.text() })
    });
    json!({
        "id": row.id, "requests": row.requests.total, "failed": row.requests.failed(),
        "success_rate": row.requests.success_rate(), "first_failure": first,
    })
}

/// The table for people: a row a run, then a row for each traffic of it that failed.
pub fn table(all: &[Beside<'_>]) -> String {
    let Some(first) = all.first() else { return String::new() };
    let title = format!("{}, seed {}", harmless(&first.run.scenario), first.run.seed);
    let head = [
        "variant",
        "mesh",
        "requests",
        "ok",
        "rps",
        "p50",
        "p90",
        "p99",
        "max",
        "first failure",
        "expired",
        "CPU s/1000",
        "memory",
        "asserts",
    ];
    let rows = all.iter().map(|one| row(*one).to_vec());
    let mut text = title + "\n\n" + &aligned(&head, &rows.collect::<Vec<_>>());
    let failures: Vec<_> = all.iter().flat_map(|one| failures(*one)).collect();
    if !failures.is_empty() {
        text.push('\n');
        text +=
            &aligned(&["variant", "traffic", "requests", "failed", "first at", "with"], &failures);
    }
    text
}

fn name(run: &Run) -> String {
    run.variant.as_deref().map_or_else(|| "(as written)".to_owned(), |name| short(name, NAME_MAX))
}

/// `503 UF upstream_reset…`: status, flags and details as far as there are any.
fn answer(how: Outcome) -> String {
    let flags = how.flags.to_string();
    let text = format!("{} {flags} {}", how.status, how.details.text());
    text.trim_end().to_owned()
}

fn row(one: Beside<'_>) -> [String; 14] {
    let run = one.run;
    let time = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), length);
    let number = |value: Option<f64>| {
        value.map_or_else(|| "-".to_owned(), |value| plain((value * 1e3).round() / 1e3))
    };
    let first = match one.first_failure() {
        Some((row, at, _)) => format!("{} {}", clock(at), short(&row.id, NAME_MAX)),
        None => "-".to_owned(),
    };
    let asserts = match (run.partial, one.judgements.len(), one.failed_asserts()) {
        (Some(partial), ..) => format!("ended early: {}", partial.why),
        (None, all, 0) => format!("{all} hold"),
        (None, all, failed) => format!("{failed} of {all} FAIL"),
    };
    [
        name(run),
        short(&run.profile, NAME_MAX),
        count(run.requests.total),
        run.requests.success_rate().map_or_else(|| "-".to_owned(), percent),
        number(one.rate()),
        time(one.quantile(0.5)),
        time(one.quantile(0.9)),
        time(one.quantile(0.99)),
        time(one.slowest()),
        first,
        count(run.control_plane.certificates_expired),
        number(one.cpu_s_per_1000()),
        one.memory_mib()
            .map_or_else(|| "-".to_owned(), |mib| format!("{} MiB", plain(mib.round()))),
        asserts,
    ]
}

/// Traffic that failed.
fn failures(one: Beside<'_>) -> impl Iterator<Item = Vec<String>> {
    one.run.traffic.iter().filter_map(move |row| {
        let (at, how) = row.first_failure?;
        let (requests, failed) = (count(row.requests.total), count(row.requests.failed()));
        let id = short(&row.id, NAME_MAX);
        Some(vec![name(one.run), id, requests, failed, clock(at), harmless(&answer(how))])
    })
}

/// Columns two spaces apart, each as wide as its widest cell; no spaces at the ends of lines.
fn aligned(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let all = || std::iter::once(&head).chain(rows);
    let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for row in all() {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::histogram::Histogram;
    use crate::observe::run::{MeshCost, ProxyCpu, Tally};
    use crate::report::testing::{hours, same_as_file, sample_judgements, sample_run};

    /// The sample, beside it one that never failed, and one that nobody asked for anything.
    fn three() -> [Run; 3] {
        let (mut first, mut second, mut third) = (sample_run(), sample_run(), sample_run());
        let cpu =
            ProxyCpu { client_s: 1.0, server_s: 2.0, handshakes_s: 0.4, recorded_s: 129_600.0 };
        first.mesh_cost = Some(MeshCost { proxies: 6, memory: 300 << 20, cpu: Some(cpu) });
        second.variant = Some("none".to_owned());
        second.profile = "none".to_owned();
        second.control_plane.certificates_expired = 0;
        second.requests.ok = second.requests.total;
        for row in &mut second.traffic {
            (row.requests, row.first_failure) = (second.requests, None);
        }
        third.variant = Some("a, \u{1b}[2J".to_owned());
        (third.requests, third.latency) = (Tally::default(), Histogram::new());
        third.traffic.clear();
        [first, second, third]
    }

    #[test]
    fn three_runs_have_these_tables() {
        let (runs, judgements) = (three(), sample_judgements());
        let judged =
            |(index, run)| Beside { run, judgements: if index == 0 { &judgements } else { &[] } };
        let all: Vec<_> = runs.iter().enumerate().map(judged).collect();
        same_as_file("side-by-side.txt", &table(&all));
        same_as_file("side-by-side.csv", &csv(&all));
        same_as_file("side-by-side.json", &json(&all));
        assert_eq!(serde_json::from_str::<Value>(&json(&all)).unwrap(), value(&all));
    }

    #[test]
    fn the_first_failure_is_that_of_the_traffic_which_fails_first() {
        let mut run = sample_run();
        let mut other = run.traffic[0].clone();
        other.id = "cron".to_owned();
        other.first_failure = other.first_failure.map(|(_, how)| (hours(3), how));
        run.traffic.push(other);
        let one = Beside { run: &run, judgements: &[] };
        let first = one.first_failure().map(|(row, at, _)| (row.id.as_str(), at));
        assert_eq!(first, Some(("cron", hours(3))));
        run.traffic.iter_mut().for_each(|row| row.first_failure = None);
        assert!(Beside { run: &run, judgements: &[] }.first_failure().is_none());
    }

    #[test]
    fn a_table_obeys_no_name_and_ends_no_line_with_spaces() {
        let runs = three();
        let all: Vec<_> = runs.iter().map(|run| Beside { run, judgements: &[] }).collect();
        let text = table(&all);
        assert!(
            !text.contains('\u{1b}') && text.lines().all(|line| !line.ends_with(' ')),
            "{text}"
        );
    }
}
