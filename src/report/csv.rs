//! `series.csv`, `istiod.csv` (`destination.csv`) and `outcomes.csv`: the run over time, replicas over time, and
//! how hops ended.
//!
//! Source: RFC 4180 for quoting; the columns are those of docs/results.md, others follow.
//! Left out: CRLF line ends, which no reader needs.

use crate::observe::run::{OutcomeRow, Run, SeriesRow};
use crate::report::number::{ms, round6};
use crate::report::sampled;
use crate::report::words;
use crate::vocabulary::metric::Gauge;
use std::borrow::Cow;

/// Gauges among the leading columns, with the names that they have there.
const LEADING: [(Gauge, &str); 5] = [
    (Gauge::Proxies, "proxies"),
    (Gauge::ProxiesConnected, "proxies_connected"),
    (Gauge::CertificatesValid, "certificates_valid"),
    (Gauge::CertificatesExpired, "certificates_expired"),
    (Gauge::ConfigStaleness, "config_staleness_max_s"),
];

/// The last column of a sampled run says how it was sampled: a comment would be no CSV.
const SAMPLING: &str = "sampling";

/// A row an interval; a quantile without requests is empty.
pub fn series(run: &Run) -> String {
    let counts = ["time_s", "requests", "ok", "failed", "p50_ms", "p90_ms", "p99_ms"];
    let more = ["attempts", "retries"];
    let head = counts.into_iter().chain(LEADING.map(|(_, name)| name)).chain(more);
    let head =
        head.chain(others(run).map(|gauge| gauge.name_in(run.is_linkerd()))).chain(["recorded_s"]);
    let how = sampled::how(run);
    let mut text = line(head.chain(how.as_ref().map(|_| SAMPLING)));
    for row in &run.series {
        text += &line(series_row(run, row).chain(how.clone()));
    }
    text
}

fn series_row(run: &Run, row: &SeriesRow) -> impl Iterator<Item = String> {
    let quantile = |ns: Option<u64>| ns.map_or(String::new(), |ns| ms(ns).to_string());
    let gauge = |gauge: Gauge| row.gauges[gauge as usize].to_string();
    let counts = [row.requests.total, row.requests.ok, row.requests.failed()];
    [row.time.as_s().to_string()]
        .into_iter()
        .chain(counts.map(|count| count.to_string()))
        .chain([row.p50_ns, row.p90_ns, row.p99_ns].map(quantile))
        .chain(LEADING.map(|(one, _)| gauge(one)))
        .chain([row.attempts, row.retries].map(|count| count.to_string()))
        .chain(others(run).map(gauge))
        .chain([row.recorded.as_s().to_string()])
}

fn others(run: &Run) -> impl Iterator<Item = Gauge> + use<> {
    let is_linkerd = run.is_linkerd();
    let all = Gauge::ALL.into_iter().map(|(gauge, ..)| gauge);
    let own = all.filter(move |gauge| is_linkerd || !gauge.is_of_linkerd());
    own.filter(|gauge| LEADING.iter().all(|(leading, _)| leading != gauge))
}

/// The file of [`istiod`].
pub fn istiod_name(run: &Run) -> &'static str {
    if run.is_linkerd() { "destination.csv" } else { "istiod.csv" }
}

/// A row for each replica of istiod, or of Linkerd's destination, that is wanted, an interval; only the head without.
pub fn istiod(run: &Run) -> String {
    let head =
        ["time_s", "replica", "ready", "streams", "push_queue", "cpu", "memory_bytes", "version"];
    let how = sampled::how(run);
    let mut text = line(head.into_iter().chain(how.as_ref().map(|_| SAMPLING)));
    let name = if run.is_linkerd() { "linkerd-destination" } else { "istiod" };
    for row in &run.replicas {
        let fields = [
            row.time.as_s().to_string(),
            format!("{name}-{}", row.replica),
            u8::from(row.is_ready).to_string(),
            row.streams.to_string(),
            row.push_queue.to_string(),
            round6(row.cpu).to_string(),
            row.memory.to_string(),
            row.version.to_string(),
        ];
        text += &line(fields.into_iter().chain(how.clone()));
    }
    text
}

/// A row for each way in which calls from a source to a destination ended.
pub fn outcomes(run: &Run) -> String {
    let head = ["source", "destination", "version", "status", "flags", "details", "count", "cause"];
    let how = sampled::how(run);
    let head = head.into_iter().chain(["estimate"]);
    let mut text = line(head.chain(how.as_ref().map(|_| SAMPLING)));
    for row in &run.outcomes {
        text += &line(outcome_row(run, row).into_iter().chain(how.clone()));
    }
    text
}

fn outcome_row(run: &Run, row: &OutcomeRow) -> [String; 9] {
    [
        row.source.clone(),
        row.destination.clone(),
        row.version.clone(),
        row.outcome.status.to_string(),
        row.outcome.flags.to_string(),
        row.outcome.details.text().to_owned(),
        row.count.to_string(),
        row.cause.map_or(String::new(), |id| words::chain(&run.causes, id)),
        match row.estimate {
            Some(estimate) => estimate.round().to_string(),
            // A run that was ended early has no estimates.
            None if run.sampled.is_some() => String::new(),
            // Of a run that is not sampled, each request stands for itself.
            None => row.count.to_string(),
        },
    ]
}

/// Fields, quoted where they must be, with a newline.
pub(super) fn line(fields: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut text = String::new();
    for (index, field) in fields.into_iter().enumerate() {
        if index != 0 {
            text.push(',');
        }
        text += &quoted(field.as_ref());
    }
    text.push('\n');
    text
}

fn quoted(field: &str) -> Cow<'_, str> {
    if field.contains([',', '"', '\n', '\r']) {
        Cow::Owned(format!("\"{}\"", field.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{same_as_file, sample_run};

    #[test]
    fn the_sample_run_has_these_tables() {
        same_as_file("series.csv", &series(&sample_run()));
        same_as_file("outcomes.csv", &outcomes(&sample_run()));
        same_as_file("istiod.csv", &istiod(&sample_run()));
    }

    #[test]
    fn the_leading_columns_are_those_that_is_documented() {
        let leading = "time_s,requests,ok,failed,p50_ms,p90_ms,p99_ms,proxies,proxies_connected,\
                       certificates_valid,certificates_expired,config_staleness_max_s,";
        assert!(series(&sample_run()).starts_with(leading));
    }

    #[test]
    fn every_row_has_every_column() {
        let text = series(&sample_run());
        let columns: Vec<_> = text.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(columns, vec![7 + 2 + Gauge::of_mesh(false).count() + 1; columns.len()]);
    }

    #[test]
    fn only_what_needs_quotes_has_them() {
        assert_eq!(line(["a", "b,c", "d\"e", "f\ng", ""]), "a,\"b,c\",\"d\"\"e\",\"f\ng\",\n");
    }
}
