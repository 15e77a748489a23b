//! The facts of one repetition, measured or simulated, in the form in which they are compared.
//!
//! Source: the schema `envoy-lab/2`.
//! Left out: facts that no rule compares.

use super::schema::observed::{
    Counts, EjectionAction, Observed, OutcomeRow, Summary, Timeline, TimelineWhat,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// What was seen.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Facts {
    /// Whether the proxy accepts the configuration.
    pub accepted: bool,
    /// Requests by `status/flags/details`.
    pub outcomes: Counts,
    /// Requests by attempts made.
    pub attempts: Counts,
    /// Requests by the last attempt's host, `none` without one.
    pub hosts: Counts,
    /// Requests by cluster, `none` without one.
    pub clusters: Counts,
    /// Shares (measured) or requests (simulated) by the last attempt's host.
    pub host_share: Counts,
    /// Attempts that reached an application, by host.
    pub hits: Counts,
    /// Envoy's counters.
    pub stats: Counts,
    /// Requests by the reason for which a connection failed, as the client's proxy saw it.
    pub transport_failures: Counts,
    /// The same as the server's proxy saw it.
    pub server_transport_failures: Counts,
    /// Outcomes of the requests of a burst.
    pub burst: Counts,
    /// Outcomes by proxy of a chain.
    pub hops: BTreeMap<String, Counts>,
    /// The back-off before each retry, by `retry_k`.
    pub gaps: BTreeMap<String, Spread>,
    /// Duration of requests.
    pub duration: Spread,
    /// Named numbers.
    pub metrics: BTreeMap<String, Metric>,
    /// When each name of a timeline was seen.
    pub spans: BTreeMap<(TimelineWhat, String), Span>,
    /// Second by second (the row's begin in s), the share of a host that joined.
    pub share_of_new_host: Vec<(f64, f64)>,
    /// When each host was first ejected, in s.
    pub first_ejected: Counts,
    /// How long each completed ejection of a host lasted, in s.
    pub ejections: BTreeMap<String, Vec<f64>>,
}

/// Numbers in three, in ms.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Spread {
    /// How many.
    pub count: f64,
    /// Their mean.
    pub mean: f64,
    /// The greatest.
    pub max: f64,
}

/// When a name was seen in a timeline.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Span {
    /// Requests in all rows.
    pub count: f64,
    /// Begin of the first row with one, in s.
    pub first: f64,
    /// Begin of the last row with one, in s.
    pub last: f64,
    /// Length of a row, in s.
    pub step: f64,
}

/// A named number.
#[derive(Clone, PartialEq, Debug)]
pub enum Metric {
    /// There was nothing to measure.
    Nothing,
    /// One.
    Number(f64),
    /// One a key.
    ByKey(Counts),
    /// A list of them.
    List(Vec<f64>),
}

impl Spread {
    /// Of these numbers.
    pub fn of(numbers: &[f64]) -> Self {
        let count = numbers.len() as f64;
        let mean = if numbers.is_empty() { 0.0 } else { numbers.iter().sum::<f64>() / count };
        Self { count, mean, max: numbers.iter().copied().fold(0.0, f64::max) }
    }

    /// Of several sets at once.
    pub fn pooled(all: &[Self]) -> Self {
        let count: f64 = all.iter().map(|one| one.count).sum();
        let sum: f64 = all.iter().map(|one| one.count * one.mean).sum();
        let mean = if 0.0 < count { sum / count } else { 0.0 };
        Self { count, mean, max: all.iter().map(|one| one.max).fold(0.0, f64::max) }
    }
}

impl Span {
    /// One more row with `count` requests that begins at `at`.
    pub fn add(spans: &mut BTreeMap<(TimelineWhat, String), Self>, row: Row<'_>) {
        let Row { what, name, at, count, step } = row;
        if count <= 0.0 {
            return;
        }
        let new = Self { count: 0.0, first: at, last: at, step };
        let span = spans.entry((what, name.to_owned())).or_insert(new);
        span.count += count;
        (span.first, span.last) = (span.first.min(at), span.last.max(at));
    }
}

/// What a row of a timeline says of a name.
#[derive(Clone, Copy, Debug)]
pub struct Row<'n> {
    /// What the timeline counts.
    pub what: TimelineWhat,
    /// The name.
    pub name: &'n str,
    /// The row's begin, in s.
    pub at: f64,
    /// Requests.
    pub count: f64,
    /// The row's length, in s.
    pub step: f64,
}

impl From<&Observed> for Facts {
    /// What a file says of one repetition.
    fn from(seen: &Observed) -> Self {
        let failures = |list: &Option<Vec<super::schema::observed::Failure>>| {
            list.iter().flatten().map(|one| (one.reason.clone(), one.count)).collect()
        };
        let hop = |hop: &Observed| {
            (hop.proxy.clone().unwrap_or_default(), outcomes(hop.outcomes.as_ref()))
        };
        let gaps = seen.gap_ms_between_attempts.iter().flatten();
        let mut facts = Self {
            accepted: seen.accepted.unwrap_or(true),
            outcomes: outcomes(seen.outcomes.as_ref()),
            attempts: seen.attempts_histogram.clone().unwrap_or_default(),
            hosts: seen.final_host.clone().unwrap_or_default(),
            clusters: seen.clusters.clone().unwrap_or_default(),
            host_share: seen.host_share.clone().unwrap_or_default(),
            hits: seen.upstream_hits.clone().unwrap_or_default(),
            stats: seen.stats.clone().unwrap_or_default(),
            transport_failures: failures(&seen.transport_failure),
            server_transport_failures: failures(&seen.server_transport_failure),
            burst: seen
                .burst
                .as_ref()
                .map(|one| outcomes(one.outcomes.as_ref()))
                .unwrap_or_default(),
            hops: seen.hops.iter().map(hop).collect(),
            gaps: gaps.map(|(retry, summary)| (retry.clone(), summary.into())).collect(),
            duration: seen.duration_ms.as_ref().map(Spread::from).unwrap_or_default(),
            metrics: seen
                .metrics
                .iter()
                .map(|(name, value)| (name.clone(), value.into()))
                .collect(),
            ..Self::default()
        };
        seen.timelines.iter().for_each(|timeline| facts.add_timeline(timeline));
        facts.add_ejections(seen);
        facts
    }
}

impl Facts {
    fn add_timeline(&mut self, timeline: &Timeline) {
        let (what, step) = (timeline.what, timeline.step_s);
        for row in &timeline.rows {
            let at = row.t_s;
            match what {
                // States, not requests.
                TimelineWhat::Gauges => {}
                TimelineWhat::ShareOfNewHost => {
                    self.share_of_new_host.extend(row.values.values().map(|share| (at, *share)));
                }
                _ => {
                    for (name, count) in &row.values {
                        // Timelines of clusters have a word of their own for none.
                        let rest = name.strip_prefix("None:");
                        let name = rest.map_or(name.clone(), |rest| format!("none:{rest}"));
                        let row = Row { what, name: &name, at, count: *count, step };
                        Span::add(&mut self.spans, row);
                    }
                }
            }
        }
    }

    fn add_ejections(&mut self, seen: &Observed) {
        let logged = seen.events.iter();
        let logged = logged.filter(|one| one.action == EjectionAction::Eject && one.enforced);
        let logged = logged.map(|one| (&one.host, one.t_s));
        let completed = seen.ejections.iter().map(|one| (&one.host, one.ejected_at_s));
        for (host, at) in logged.chain(completed) {
            let first = self.first_ejected.entry(host.clone()).or_insert(at);
            *first = first.min(at);
        }
        let mut ejections: Vec<_> = seen.ejections.iter().collect();
        ejections.sort_by(|a, b| a.ejected_at_s.total_cmp(&b.ejected_at_s));
        for one in ejections {
            self.ejections.entry(one.host.clone()).or_default().push(one.duration_s);
        }
    }
}

fn outcomes(rows: Option<&Vec<OutcomeRow>>) -> Counts {
    let mut counts = Counts::new();
    for row in rows.into_iter().flatten() {
        let details = row.details.as_deref().unwrap_or("-");
        *counts.entry(format!("{}/{}/{details}", row.status, row.flags)).or_default() += row.count;
    }
    counts
}

impl From<&Summary> for Spread {
    fn from(summary: &Summary) -> Self {
        Self { count: summary.n, mean: summary.mean, max: summary.max }
    }
}

impl From<&Value> for Metric {
    fn from(value: &Value) -> Self {
        match value {
            Value::Object(table) => {
                let number = |(key, value): (&String, &Value)| Some((key.clone(), value.as_f64()?));
                Self::ByKey(table.iter().filter_map(number).collect())
            }
            Value::Array(list) => Self::List(list.iter().filter_map(Value::as_f64).collect()),
            other => other.as_f64().map_or(Self::Nothing, Self::Number),
        }
    }
}
