//! The mesh at its worst: certificates, configuration, pods, in one sentence each.
//!
//! Source: the gauges of the series, so to the interval.
//! Left out: what was never out of order.

use super::wrap;
use crate::kernel::time::Time;
use crate::observe::run::{Run, SeriesRow};
use crate::report::number::{clock, length_of_s, plain};
use crate::report::words::plural;
use crate::vocabulary::metric::Gauge;

/// A configuration younger than this is only on its way: debounce, push and load take seconds.
const STALE_FROM_S: f64 = 30.0;

/// What was out of order; nothing if all was well.
pub(super) fn lines(run: &Run) -> Vec<String> {
    let counts = run.control_plane;
    // Handshakes are those of simulated requests; nobody knows how many the others would have made.
    let seen = if run.sampled.is_some() { " in what was simulated" } else { "" };
    let parts: Vec<_> = [
        certificates(run),
        peak(run, Gauge::ConfigStaleness).filter(|(_, age_s)| STALE_FROM_S <= *age_s).map(
            |(at, age_s)| format!("configuration {} old at {}", length_of_s(age_s), clock(at)),
        ),
        (counts.handshakes_failed != 0)
            .then(|| format!("{} failed{seen}", plural(counts.handshakes_failed, "handshake"))),
        (counts.pods_refused != 0)
            .then(|| format!("{} refused", plural(counts.pods_refused, "pod creation"))),
        (counts.changes_rejected != 0)
            .then(|| format!("{} rejected", plural(counts.changes_rejected, "change"))),
        (counts.container_restarts != 0)
            .then(|| format!("{} restarted", plural(counts.container_restarts, "container"))),
        peak(run, Gauge::PodsMissing)
            .map(|(at, pods)| format!("{} missing at {}", counted(pods, "pod"), clock(at))),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() {
        return Vec::new();
    }
    wrap(&(parts.join("; ") + "."), "  At worst: ", "    ")
}

fn certificates(run: &Run) -> Option<String> {
    let (at, expired) = peak(run, Gauge::CertificatesExpired)?;
    let row = run.series.iter().find(|row| row.time == at)?;
    let held = expired + reading(row, Gauge::CertificatesValid);
    let first = run.series.iter().find(|row| 0.0 < reading(row, Gauge::CertificatesExpired))?;
    let (expired, held) = (plain(expired), counted(held, "certificate"));
    let since = clock(first.time);
    Some(format!("{expired} of {held} expired at {} (the first by {since})", clock(at)))
}

/// A reading of a gauge that counts something.
fn counted(reading: f64, one: &str) -> String {
    let end = if plain(reading) == "1" { "" } else { "s" };
    format!("{} {one}{end}", plain(reading))
}

/// The first time at which a gauge was greatest; none if it was never above 0.
fn peak(run: &Run, gauge: Gauge) -> Option<(Time, f64)> {
    let readings = run.series.iter().map(|row| (row.time, reading(row, gauge)));
    let highest = readings.reduce(|best, one| if best.1 < one.1 { one } else { best })?;
    (0.0 < highest.1).then_some(highest)
}

fn reading(row: &SeriesRow, gauge: Gauge) -> f64 {
    row.gauges[gauge as usize]
}
