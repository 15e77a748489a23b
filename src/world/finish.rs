//! The end of a run: the audit, and everything that was counted, as a `Run`.
//!
//! Source: `observe::run`.
//! Left out: verdicts; those are `check`'s.

use super::World;
use super::event::KIND_NAMES;
use crate::kernel::time::Time;
use crate::observe::batch::Standing;
use crate::observe::estimate::{Unit, estimates};
use crate::observe::recorder::{Edge, Recorder};
use crate::observe::run::{
    OutcomeRow, Partial, Phase, Run, Sampled, SamplingNote, ServiceRow, StationRow, Topology,
    TopologyEdge, TopologyNode, TrafficRow,
};
use crate::plan::Plan;
use crate::plan::linkerd;
use crate::plan::parameter::TABLE;
use crate::plan::universe::Role;
use std::collections::BTreeMap;

impl World<'_> {
    /// Audits the world and hands over what was recorded.
    pub(super) fn finish(mut self, partial: Option<Partial>) -> Run {
        self.audit();
        self.count_parked();
        let stations = self.stations();
        self.complete_log();
        let topology = self.topology();
        let mesh_cost = self.mesh_cost();
        let services = self.services();
        let standings = self.standings();
        // What the last batches of a run that was ended early stand for is not known.
        let known = if partial.is_none() { standings.as_slice() } else { &[] };
        let mut outcomes = outcome_rows(&self.recorder, self.plan, known);
        self.blame_refusals(&mut outcomes);
        let mut sampled = self.sampled();
        let plan = self.plan;
        let end = self.now;
        let recorder = self.recorder;
        let latency = recorder.phases.latency();
        let mut phases = recorder.phases.finish(end);
        let mut note = None;
        if let (Some(sampled), None) = (&mut sampled, partial) {
            let units = recorder.batches.finish(&standings);
            note = few_in_windows(&standings, &units);
            estimate(sampled, &mut phases, &units);
        }
        let probes =
            recorder.probes.into_iter().map(|probe| probe.finish(end, &standings)).collect();
        let own = if plan.linkerd.is_some() { linkerd::TABLE } else { &[] };
        let rows = TABLE.iter().chain(own);
        let value = |name| plan.parameter(name).expect("a row of the table");
        Run {
            scenario: plan.name.clone(),
            variant: plan.variant.clone(),
            claim: plan.claim.clone(),
            profile: plan.profile.clone(),
            seed: self.seed,
            duration: plan.duration,
            warmup: plan.warmup,
            interval: plan.interval,
            parameters: rows.map(|row| (row.name, value(row.name))).collect(),
            plan_digest: plan.digest(),
            digest: self.digest.value(),
            ladder: self.ladder.finish(&self.digest),
            kind_names: KIND_NAMES.to_vec(),
            events: self.events,
            stale_events: self.stale,
            partial,
            sampled,
            note,
            requests: recorder.requests,
            latency,
            latency_ok: recorder.latency_ok,
            phases,
            traffic: traffic_rows(&recorder.edges),
            services,
            outcomes,
            attempts: recorder.attempts,
            control_plane: self.control.counted(),
            series: recorder.series.finish(end),
            replicas: recorder.replicas,
            occurrences: self.occurrences,
            log: recorder.journal.finish(),
            probes,
            topology,
            stations,
            mesh_cost,
            linkerd: self.linkerd.as_ref().map(|own| own.counts),
            causes: self.causes,
            access_log: self.access.map(|log| *log),
            status: self.status,
        }
    }

    /// Tries that parked loops would have made until now.
    fn count_parked(&mut self) {
        for index in 0..u32::try_from(self.pods.len()).expect("fewer than 2^32 pods") {
            self.count_parked_tries(index);
            self.catch_up_age(index);
        }
        self.count_parked_creations();
    }

    fn stations(&mut self) -> Vec<StationRow> {
        let recorded = self.now.saturating_since(Time::ZERO + self.plan.warmup);
        let length_ns = (recorded.ns() as f64).max(1.0);
        let now = self.now;
        // Pods, workers, busy workers and requests present, by workload.
        let mut loads = vec![(0_u32, 0_u64, 0.0, 0.0); self.plan.universe.workloads.len()];
        for pod in self.pods.iter_mut().filter(|pod| !pod.is_of_ztunnel()) {
            let load = pod.station.load(now);
            let (pods, workers, busy, present) = &mut loads[pod.workload.index()];
            *pods += 1;
            *workers += u64::from(pod.station.workers);
            *busy += load.busy_ns as f64 / length_ns;
            *present += load.present_ns as f64 / length_ns;
        }
        let mut rows = Vec::new();
        let all = self.plan.universe.workloads.iter().zip(loads).zip(&mut self.recorder.served);
        for ((workload, (pods, workers, busy, present)), served) in all {
            if workload.role != Role::App {
                continue;
            }
            rows.push(StationRow {
                workload: workload.name.clone(),
                pods,
                workers,
                busy,
                present,
                overflowed: served.overflowed,
                wait: std::mem::take(&mut served.wait),
                sojourn: std::mem::take(&mut served.sojourn),
            });
        }
        rows
    }

    fn services(&mut self) -> Vec<ServiceRow> {
        let all = self.plan.universe.workloads.iter().zip(&mut self.recorder.served);
        all.filter(|(workload, _)| workload.role == Role::App)
            .map(|(workload, served)| ServiceRow {
                name: workload.app.clone(),
                version: workload.version.clone(),
                requests: served.requests,
                latency: std::mem::take(&mut served.latency),
            })
            .collect()
    }

    fn topology(&self) -> Topology {
        let universe = &self.plan.universe;
        let mut nodes: Vec<TopologyNode> = Vec::new();
        for traffic in self.plan.traffic.iter().filter(|traffic| traffic.external) {
            nodes.push(TopologyNode {
                name: traffic.id.clone(),
                kind: "source",
                versions: Vec::new(),
            });
        }
        for service in universe.declared_services() {
            let version = |id: &crate::plan::universe::WorkloadId| {
                let workload = &universe.workloads[id.index()];
                let state = &self.workloads[id.index()];
                let ready = u32::try_from(state.ready.len()).unwrap_or(u32::MAX);
                (workload.version.clone(), ready, state.deployment.wanted)
            };
            nodes.push(TopologyNode {
                name: service.name.clone(),
                kind: "service",
                versions: service.workloads.iter().map(version).collect(),
            });
        }
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        let place = |name: &str| {
            let at = nodes.partition_point(|node| node.name.as_str() < name);
            nodes.get(at).filter(|node| node.name == name).map(|_| at)
        };
        let mut edges: Vec<TopologyEdge> = Vec::new();
        let mut known: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for edge in &self.recorder.edges {
            let (Some(from), Some(to)) = (place(&edge.source), place(&edge.destination)) else {
                continue;
            };
            let requests = edge.requests();
            if let Some(known) = known.get(&(from, to)) {
                edges[*known].requests.total += requests.total;
                edges[*known].requests.ok += requests.ok;
            } else {
                known.insert((from, to), edges.len());
                edges.push(TopologyEdge { from, to, requests });
            }
        }
        Topology { nodes, edges }
    }
}

/// Root requests by the id of their traffic, in the order of the plan.
fn traffic_rows(edges: &[Edge]) -> Vec<TrafficRow> {
    let mut rows: Vec<TrafficRow> = Vec::new();
    for edge in edges {
        let Some(id) = &edge.traffic else { continue };
        let (requests, first_failure) = (edge.requests(), edge.first_failure.as_deref().copied());
        let row = TrafficRow { id: id.clone(), requests, first_failure };
        debug_assert!(rows.iter().all(|other| other.id != row.id), "an edge a traffic");
        rows.push(row);
    }
    rows
}

/// Fewer requests a window than this are told.
const FEW: u64 = 10;

/// Whether windows are too short, counting those without any request.
fn few_in_windows(standings: &[Standing], units: &[(Time, Unit)]) -> Option<SamplingNote> {
    let windows = standings.iter().filter(|one| 1.0 < one.weight).count() as u64;
    let inside = units.iter().filter(|(_, unit)| 1.0 < unit.standing.weight);
    let requests: u64 = inside.map(|(_, unit)| unit.requests.total).sum();
    (requests < FEW * windows).then_some(SamplingNote::FewInWindows { requests, windows })
}

/// What the sample says of the run and of each phase.
fn estimate(sampled: &mut Sampled, phases: &mut [Phase], units: &[(Time, Unit)]) {
    let all: Vec<&Unit> = units.iter().map(|(_, unit)| unit).collect();
    sampled.estimates = estimates(&all);
    let Some(first) = phases.first().map(|phase| phase.from) else { return };
    let of = |phase: &Phase| -> Vec<&Unit> {
        // What began with the warm-up is counted from its end on.
        let here = |from: Time| (phase.from..phase.to).contains(&from.max(first));
        units.iter().filter(|(from, _)| here(*from)).map(|(_, unit)| unit).collect()
    };
    for phase in phases {
        phase.estimates = estimates(&of(phase));
    }
}

/// Rows of all edges: by source and destination, the most frequent first. With estimates, if it is
/// known what batches stand for.
fn outcome_rows(recorder: &Recorder, plan: &Plan, standings: &[Standing]) -> Vec<OutcomeRow> {
    let mut rows: Vec<OutcomeRow> = Vec::new();
    let weight = |batch: u32| standings[batch as usize].weight;
    for edge in &recorder.edges {
        for (index, row) in edge.rows.iter().enumerate() {
            let batches = edge.batches.get(index).filter(|_| !standings.is_empty());
            let estimate = batches
                .map(|all| all.iter().map(|(batch, count)| weight(*batch) * *count as f64).sum());
            let workload = row.workload.map(|id| &plan.universe.workloads[id.index()]);
            rows.push(OutcomeRow {
                source: edge.source.clone(),
                destination: edge.destination.clone(),
                version: workload.map_or_else(String::new, |one| one.version.clone()),
                outcome: row.outcome,
                count: row.count,
                estimate,
                cause: row.cause,
            });
        }
    }
    rows.sort_by(|a, b| {
        (&a.source, &a.destination, b.count, &a.version, a.outcome, a.cause).cmp(&(
            &b.source,
            &b.destination,
            a.count,
            &b.version,
            b.outcome,
            b.cause,
        ))
    });
    rows
}
