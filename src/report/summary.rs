//! `summary.json`: the run in numbers that other programs rely on.
//!
//! Raw simulated counts; milliseconds with six decimals; what has no samples is null, never 0.
//!
//! Source: docs/results.md, whose order of fields is kept.
//! Left out: the topology (it is drawn), latencies in full (they are in `latency.hlog`).

mod mesh_cost;
mod outcomes;

use crate::check::judgement::Judgement;
use crate::kernel::digest::Rung;
use crate::kernel::histogram::Histogram;
use crate::kernel::time::Time;
use crate::observe::control_plane::ControlPlaneCounts;
use crate::observe::linkerd::LinkerdCounts;
use crate::observe::run::{self, Run};
use crate::report::json::write_value;
use crate::report::number::{ms, quantile_ns, round6};
use crate::report::sampled::{Intervals, Sampling};
use crate::vocabulary::counter::Counter;
use mesh_cost::MeshCost;
use outcomes::{Outcome, outcomes};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Counts up when a field changes its meaning or goes away.
const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
struct Summary<'a> {
    schema_version: u32,
    meshsim: &'static str,
    scenario: &'a str,
    variant: Option<&'a str>,
    claim: &'a str,
    profile: &'a str,
    seed: u64,
    digest: String,
    digest_ladder: Vec<Step>,
    plan_digest: String,
    events: u64,
    simulated_seconds: f64,
    sampling: Sampling<'a>,
    partial: Option<Partial>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimates: Option<Intervals>,
    requests: Requests,
    latency_ms: Latency,
    latency_ok_ms: Latency,
    phases: Vec<Phase<'a>>,
    services: Vec<Service<'a>>,
    outcomes: Vec<Outcome<'a>>,
    attempts: Attempts,
    control_plane: ControlPlane,
    asserts: Vec<Assert<'a>>,
    stations: Vec<Station<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mesh_cost: Option<MeshCost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    linkerd: Option<Map<String, Value>>,
    parameters: Map<String, Value>,
    events_by_kind: Map<String, Value>,
}

#[derive(Serialize)]
struct Partial {
    why: &'static str,
    at_s: f64,
}

#[derive(Serialize)]
struct Requests {
    total: u64,
    ok: u64,
    failed: u64,
    success_rate: Option<f64>,
}

#[derive(Serialize)]
struct Latency {
    mean: Option<f64>,
    p50: Option<f64>,
    p90: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
    p999: Option<f64>,
    max: Option<f64>,
}

#[derive(Serialize)]
struct Phase<'a> {
    name: &'a str,
    from_s: f64,
    to_s: f64,
    requests: Requests,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimates: Option<Intervals>,
    latency_ms: Latency,
}

#[derive(Serialize)]
struct Service<'a> {
    name: &'a str,
    version: &'a str,
    requests: Requests,
    latency_ms: Latency,
}

#[derive(Serialize)]
struct Attempts {
    calls: u64,
    total: u64,
    retries: u64,
    amplification: f64,
}

#[derive(Serialize)]
struct ControlPlane {
    pushes: u64,
    certificates_issued: u64,
    certificate_requests_failed: u64,
    certificates_expired: u64,
    handshakes: u64,
    handshakes_failed: u64,
    streams_opened: u64,
    stream_attempts_failed: u64,
    pods_created: u64,
    pods_refused: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_restarts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes_rejected: Option<u64>,
    convergence_p50_s: f64,
    convergence_p99_s: f64,
    convergence_max_s: f64,
    #[serde(skip_serializing_if = "is_zero")]
    replicas_killed: u64,
}

#[derive(Serialize)]
struct Assert<'a> {
    name: &'a str,
    verdict: &'static str,
    passes: bool,
    expect: &'a str,
    measured: Option<f64>,
    threshold: f64,
    worst_s: Option<[f64; 2]>,
    first_violation_s: Option<f64>,
}

#[derive(Serialize)]
struct Station<'a> {
    workload: &'a str,
    pods: u32,
    workers: u64,
    utilization: Option<f64>,
    mean_present: f64,
    overflowed: u64,
    wait_ms: Times,
    sojourn_ms: Times,
}

#[derive(Serialize)]
struct Times {
    mean: Option<f64>,
    p50: Option<f64>,
    p99: Option<f64>,
}

#[derive(Serialize)]
struct Step {
    until_s: f64,
    digest: String,
    events: Map<String, Value>,
}

/// The summary as a value; its maps keep the order of their fields.
pub fn summary(run: &Run, judgements: &[Judgement]) -> Value {
    let summary = Summary {
        schema_version: SCHEMA_VERSION,
        meshsim: env!("CARGO_PKG_VERSION"),
        scenario: &run.scenario,
        variant: run.variant.as_deref(),
        claim: &run.claim,
        profile: &run.profile,
        seed: run.seed,
        digest: hex(run.digest),
        digest_ladder: run.ladder.iter().map(|rung| Step::new(run, rung)).collect(),
        plan_digest: hex(run.plan_digest),
        events: run.events,
        simulated_seconds: simulated_s(run),
        sampling: run.into(),
        partial: run.partial.map(|one| Partial { why: one.why, at_s: one.at.as_s() }),
        estimates: run.sampled.as_ref().and_then(|one| Some(one.estimates.as_ref()?.into())),
        requests: Requests::from(run.requests),
        latency_ms: Latency::from(&run.latency),
        latency_ok_ms: Latency::from(&run.latency_ok),
        phases: run.phases.iter().map(Phase::from).collect(),
        services: run.services.iter().map(Service::from).collect(),
        outcomes: outcomes(run),
        attempts: Attempts::from(run.attempts),
        control_plane: ControlPlane::from(run.control_plane),
        asserts: judgements.iter().map(Assert::from).collect(),
        stations: run.stations.iter().map(Station::from).collect(),
        mesh_cost: run.mesh_cost.map(MeshCost::from),
        linkerd: run.linkerd.map(|own| linkerd(run, &own)),
        parameters: parameters(run),
        events_by_kind: kinds(run, run.ladder.iter().flat_map(|rung| &rung.events)),
    };
    serde_json::to_value(summary).expect("names and numbers are JSON")
}

/// Counters of Linkerd's proxies, by their names.
fn linkerd(run: &Run, counts: &LinkerdCounts) -> Map<String, Value> {
    let all = Counter::ALL.into_iter().map(|(counter, ..)| counter);
    all.map(|counter| (counter.text(), counts.counted(run, counter).into())).collect()
}

/// The value as `summary.json` holds it: a field a line, and within lists and sections a row a
/// line, so that a difference between two files is a few lines. Two spaces a level.
pub fn render(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value, 0);
    text.push('\n');
    text
}

/// How long the mesh was simulated: to the end, or to where the run was ended early.
fn simulated_s(run: &Run) -> f64 {
    run.partial.map_or(run.duration.as_s(), |partial| partial.at.as_s())
}

fn hex(digest: u128) -> String {
    format!("{digest:032x}")
}

fn parameters(run: &Run) -> Map<String, Value> {
    run.parameters.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect()
}

/// Events by the name of their kind, in the order of the codes.
fn kinds<'a>(run: &Run, counts: impl Iterator<Item = &'a (u16, u64)>) -> Map<String, Value> {
    let mut by_code: BTreeMap<u16, u64> = BTreeMap::new();
    for (code, count) in counts {
        *by_code.entry(*code).or_default() += count;
    }
    let name = |code: u16| match run.kind_names.get(usize::from(code)) {
        Some(name) => (*name).to_owned(),
        None => format!("kind {code}"),
    };
    by_code.into_iter().map(|(code, count)| (name(code), count.into())).collect()
}

impl Step {
    fn new(run: &Run, rung: &Rung) -> Self {
        Self {
            until_s: rung.until.as_s(),
            digest: hex(rung.digest),
            events: kinds(run, rung.events.iter()),
        }
    }
}

impl From<run::Tally> for Requests {
    fn from(tally: run::Tally) -> Self {
        let run::Tally { total, ok } = tally;
        Self { total, ok, failed: tally.failed(), success_rate: tally.success_rate() }
    }
}

impl From<&Histogram> for Latency {
    fn from(histogram: &Histogram) -> Self {
        let quantile = |q| quantile_ns(histogram, q).map(ms);
        Self {
            mean: mean_ms(histogram),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p95: quantile(0.95),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: (!histogram.is_empty()).then(|| ms(histogram.max_ns())),
        }
    }
}

impl From<&Histogram> for Times {
    fn from(histogram: &Histogram) -> Self {
        let quantile = |q| quantile_ns(histogram, q).map(ms);
        Self { mean: mean_ms(histogram), p50: quantile(0.5), p99: quantile(0.99) }
    }
}

fn mean_ms(histogram: &Histogram) -> Option<f64> {
    (!histogram.is_empty()).then(|| round6(histogram.mean_ns() / 1e6))
}

impl<'a> From<&'a run::Phase> for Phase<'a> {
    fn from(phase: &'a run::Phase) -> Self {
        Self {
            name: &phase.name,
            from_s: phase.from.as_s(),
            to_s: phase.to.as_s(),
            requests: phase.requests.into(),
            estimates: phase.estimates.as_ref().map(Intervals::from),
            latency_ms: (&phase.latency).into(),
        }
    }
}

impl<'a> From<&'a run::ServiceRow> for Service<'a> {
    fn from(row: &'a run::ServiceRow) -> Self {
        Self {
            name: &row.name,
            version: &row.version,
            requests: row.requests.into(),
            latency_ms: (&row.latency).into(),
        }
    }
}

impl From<run::Attempts> for Attempts {
    fn from(attempts: run::Attempts) -> Self {
        let run::Attempts { calls, total, retries } = attempts;
        Self { calls, total, retries, amplification: round6(attempts.amplification()) }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl From<ControlPlaneCounts> for ControlPlane {
    fn from(counts: ControlPlaneCounts) -> Self {
        Self {
            pushes: counts.pushes,
            certificates_issued: counts.certificates_issued,
            certificate_requests_failed: counts.certificate_requests_failed,
            certificates_expired: counts.certificates_expired,
            handshakes: counts.handshakes,
            handshakes_failed: counts.handshakes_failed,
            streams_opened: counts.streams_opened,
            stream_attempts_failed: counts.stream_attempts_failed,
            pods_created: counts.pods_created,
            pods_refused: counts.pods_refused,
            changes_rejected: Some(counts.changes_rejected).filter(|count| *count != 0),
            container_restarts: Some(counts.container_restarts).filter(|count| *count != 0),
            convergence_p50_s: counts.convergence_p50.as_s(),
            convergence_p99_s: counts.convergence_p99.as_s(),
            convergence_max_s: counts.convergence_max.as_s(),
            replicas_killed: counts.replicas_killed,
        }
    }
}

impl<'a> From<&'a Judgement> for Assert<'a> {
    fn from(judgement: &'a Judgement) -> Self {
        Self {
            name: &judgement.name,
            verdict: judgement.verdict.text(),
            passes: judgement.passes,
            expect: &judgement.expect,
            measured: judgement.measured,
            threshold: judgement.threshold,
            worst_s: judgement.worst.map(|(from, to)| [from.as_s(), to.as_s()]),
            first_violation_s: judgement.first_violation.map(Time::as_s),
        }
    }
}

impl<'a> From<&'a run::StationRow> for Station<'a> {
    fn from(row: &'a run::StationRow) -> Self {
        Self {
            workload: &row.workload,
            pods: row.pods,
            workers: row.workers,
            utilization: (row.workers != 0).then(|| round6(row.busy / row.workers as f64)),
            mean_present: round6(row.present),
            overflowed: row.overflowed,
            wait_ms: (&row.wait).into(),
            sojourn_ms: (&row.sojourn).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{same_as_file, sample_judgements, sample_run};

    #[test]
    fn the_sample_run_has_this_summary() {
        let text = render(&summary(&sample_run(), &sample_judgements()));
        same_as_file("summary.json", &text);
    }

    #[test]
    fn what_is_written_reads_back_as_itself() {
        let value = summary(&sample_run(), &sample_judgements());
        assert_eq!(serde_json::from_str::<Value>(&render(&value)).unwrap(), value);
    }

    #[test]
    fn nothing_measured_is_null() {
        let mut run = sample_run();
        (run.requests, run.latency) = (run::Tally::default(), Histogram::new());
        let value = summary(&run, &[]);
        assert_eq!(value["requests"]["success_rate"], Value::Null);
        let latency = value["latency_ms"].as_object().unwrap();
        assert!(latency.values().all(Value::is_null), "{latency:?}");
    }

    #[test]
    fn a_quantile_is_never_beyond_the_maximum() {
        let value = summary(&sample_run(), &[]);
        for phase in value["phases"].as_array().unwrap() {
            let latency = &phase["latency_ms"];
            assert!(latency["p999"].as_f64() <= latency["max"].as_f64(), "{latency}");
        }
    }
}
