//! The facts of a simulated run, from its access log.
//!
//! Source: the schema `envoy-lab/2`, its section on what is observed.
//! Left out: sizes; timelines of gauges.

use super::counted;
use super::facts::{Facts, Row, Span, Spread};
use super::logged::{logged, outcome};
use super::lower::{self, Lowered};
use super::metrics;
use super::schema::compare::Compare;
use super::schema::config::Config;
use super::schema::observed::{Counts, Observed, TimelineWhat};
use super::schema::step::Verb;
use super::schema::words::Phase;
use crate::kernel::time::Time;
use crate::observe::access_log::{AccessLog, CallRecord, Ejected};
use crate::observe::run::Run;
use crate::vocabulary::outcome::Outcome;
use std::collections::{BTreeMap, BTreeSet};

/// A run with what its ids are called.
pub(super) struct Seen<'r> {
    pub(super) config: &'r Config,
    pub(super) lowered: &'r Lowered,
    pub(super) log: &'r AccessLog,
    /// The end of the warm-up.
    pub(super) from: Time,
    /// Requests at the entry, without those of the warm-up and of the burst, by their starts.
    pub(super) requests: Vec<&'r CallRecord>,
    /// Attempts that reached an application, by host.
    pub(super) hits: Counts,
}

impl Seen<'_> {
    /// The phase of the load that a request belongs to.
    pub(super) fn phase(&self, call: &CallRecord) -> Option<Phase> {
        phase(self.lowered, call)
    }
}

fn phase(lowered: &Lowered, call: &CallRecord) -> Option<Phase> {
    lowered.phases.get(call.traffic? as usize).copied().flatten()
}

/// Facts that a comparison asks for and that no run gives, in words.
pub fn gaps(compare: &Compare) -> Vec<String> {
    let mut gaps = Vec::new();
    let tolerance = &compare.tolerance;
    if compare.stats.is_some() {
        let lacks = |name: &&String| !counted::is_counted(name);
        let names = tolerance.stats.keys().filter(lacks);
        gaps.extend(names.map(|name| format!("compare.stats.{name}")));
    }
    if compare.metrics.is_some() {
        let lacks = |name: &&String| !metrics::NAMES.contains(&name.as_str());
        let names = tolerance.metrics.keys().filter(lacks);
        gaps.extend(names.map(|name| format!("compare.metrics.{name}")));
    }
    gaps
}

/// The facts of a run. Timelines have the rows of the measured ones.
pub fn facts(config: &Config, lowered: &Lowered, run: &Run, measured: &[Observed]) -> Facts {
    let empty = AccessLog::default();
    let log = &*logged(config, lowered, run.access_log.as_ref().unwrap_or(&empty));
    let roots = log.calls.iter().filter(|call| call.traffic.is_some());
    let roots: Vec<&CallRecord> =
        roots.filter(|call| phase(lowered, call) != Some(Phase::Warmup)).collect();
    let (burst, mut requests): (Vec<_>, Vec<_>) =
        roots.into_iter().partition(|call| phase(lowered, call) == Some(Phase::Burst));
    requests.sort_by_key(|call| call.began);
    let hits = run.stations.iter().map(|row| (row.workload.clone(), row.wait.count() as f64));
    let asked = lower::authorization_hosts(config);
    let is_app = |(host, hits): &(String, f64)| 0.0 < *hits && !asked.contains(host.as_str());
    let hits: Counts = hits.filter(is_app).collect();
    let from = Time::ZERO + run.warmup;
    let seen = Seen { config, lowered, log, from, requests, hits };
    let stats = counted::stats(&seen);
    let mut facts = Facts {
        accepted: true,
        outcomes: tally(seen.requests.iter().map(|call| outcome(config, lowered, call))),
        attempts: tally(seen.requests.iter().map(|call| call.attempts.to_string())),
        hosts: tally(seen.requests.iter().map(|call| lowered.host(call.host).to_owned())),
        clusters: tally(seen.requests.iter().map(|call| lowered.cluster(call.cluster).to_owned())),
        transport_failures: tally(seen.requests.iter().flat_map(|call| failures(call))),
        server_transport_failures: server_failures(&seen),
        burst: tally(burst.iter().map(|call| outcome(config, lowered, call))),
        hops: hops(&seen),
        gaps: back_offs(&seen.requests),
        hits: seen.hits.clone(),
        metrics: metrics::metrics(&seen, &stats),
        stats,
        // Envoy logs whole milliseconds.
        duration: Spread::of(
            &seen.requests.iter().map(|call| ms(call).floor()).collect::<Vec<_>>(),
        ),
        ..Facts::default()
    };
    facts.host_share = facts.hosts.clone();
    facts.host_share.remove("none");
    timelines(&seen, measured, &mut facts);
    ejections(&seen, &mut facts);
    facts
}

fn tally(names: impl Iterator<Item = String>) -> Counts {
    let mut counts = Counts::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1.0);
    counts
}

/// How long a request took, in ms.
pub(super) fn ms(call: &CallRecord) -> f64 {
    call.ended.since(call.began).as_ms()
}

/// The reasons for which connections of a request failed.
fn failures(call: &CallRecord) -> BTreeSet<String> {
    let reasons = call.tries.iter().filter_map(|one| one.outcome.details.transport_failure());
    reasons.map(|reason| reason.text().to_owned()).collect()
}

/// The reasons that the proxies behind the entry log.
fn server_failures(seen: &Seen<'_>) -> Counts {
    let mut counts = Counts::new();
    for ((workload, failure), count) in &seen.log.server_failures {
        if *workload != seen.lowered.entry {
            *counts.entry(failure.text().to_owned()).or_default() += *count as f64;
        }
    }
    counts
}

/// Outcomes by proxy, of the calls that began after the warm-up.
fn hops(seen: &Seen<'_>) -> BTreeMap<String, Counts> {
    let mut hops: BTreeMap<String, Counts> = BTreeMap::new();
    for call in seen.log.calls.iter().filter(|call| seen.from <= call.began) {
        let proxy = seen.lowered.host(call.proxy).to_owned();
        *hops
            .entry(proxy)
            .or_default()
            .entry(outcome(seen.config, seen.lowered, call))
            .or_default() += 1.0;
    }
    hops
}

/// The wait before retry k, by `retry_k`.
fn back_offs(requests: &[&CallRecord]) -> BTreeMap<String, Spread> {
    let mut waits: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for call in requests {
        for (index, two) in call.tries.windows(2).enumerate() {
            let wait = two[1].began.saturating_since(two[0].ended).as_ms();
            waits.entry(format!("retry_{}", index + 1)).or_default().push(wait);
        }
    }
    waits.into_iter().map(|(retry, waits)| (retry, Spread::of(&waits))).collect()
}

/// Each measured timeline, of the same rows.
fn timelines(seen: &Seen<'_>, measured: &[Observed], facts: &mut Facts) {
    let lines = measured.iter().flat_map(|one| &one.timelines);
    let steps: BTreeMap<TimelineWhat, f64> =
        lines.clone().map(|line| (line.what, line.step_s)).collect();
    for (what, step) in steps {
        if what == TimelineWhat::ShareOfNewHost {
            let rows = lines.clone().filter(|line| line.what == what).flat_map(|line| &line.rows);
            let last = rows.map(|row| row.t_s).fold(0.0, f64::max);
            share_of_new_host(seen, step, last, facts);
            continue;
        }
        for call in &seen.requests {
            let at = (call.began.as_s() / step).floor() * step;
            let (host, cluster) =
                (seen.lowered.host(call.host), seen.lowered.cluster(call.cluster));
            let Outcome { status, flags, .. } = call.outcome;
            let name = match what {
                TimelineWhat::Outcomes => format!("{status}/{flags}"),
                TimelineWhat::Hosts => host.to_owned(),
                TimelineWhat::Clusters => format!("{cluster}:{status}:{flags}"),
                TimelineWhat::HostsAndOutcomes => format!("{host}:{status}:{flags}"),
                TimelineWhat::Gauges | TimelineWhat::ShareOfNewHost => continue,
            };
            Span::add(&mut facts.spans, Row { what, name: &name, at, count: 1.0, step });
        }
    }
}

/// Row by row from the instant at which a host joined, its share of the requests.
fn share_of_new_host(seen: &Seen<'_>, step: f64, last: f64, facts: &mut Facts) {
    let joins = seen.config.steps.iter().find_map(|one| match &one.verb {
        Verb::EdsAdd(endpoints) => Some((one.at_s, endpoints)),
        _ => None,
    });
    let Some((from, endpoints)) = joins else { return };
    let is_new = |call: &&&CallRecord| {
        let host = seen.lowered.host(call.host);
        endpoints.iter().any(|endpoint| endpoint.host == host)
    };
    let mut at = 0.0;
    while at <= last {
        let row = from + at..from + at + step;
        let all = seen.requests.iter().filter(|call| row.contains(&call.began.as_s()));
        let (new, all) = (all.clone().filter(is_new).count(), all.count());
        // A row after the last request has no share.
        if all != 0 {
            facts.share_of_new_host.push((at, new as f64 / all as f64));
        }
        at += step;
    }
}

/// What the entry's outlier detection did.
fn ejections(seen: &Seen<'_>, facts: &mut Facts) {
    let mut out: BTreeMap<String, f64> = BTreeMap::new();
    let entry = seen.lowered.entry;
    for record in seen.log.ejections.iter().filter(|record| record.proxy == entry) {
        let (host, at) = (seen.lowered.host(Some(record.host)).to_owned(), record.at.as_s());
        match record.what {
            Ejected::Out => {
                facts.first_ejected.entry(host.clone()).or_insert(at);
                out.insert(host, at);
            }
            Ejected::NotEnforced => {}
            Ejected::Back => {
                if let Some(since) = out.remove(&host) {
                    facts.ejections.entry(host).or_default().push(at - since);
                }
            }
        }
    }
}
