//! Proxies without cores of their own: on a busy node what a proxy does is taken from the app beside it.
//!
//! A workload with `proxy_shares_cores` has one station for its app and its proxy, shared by all who are present.
//! What its proxy does for a request and for the calls that the request makes is part of the request's work: on
//! the way in it is done with the first step of the app's program, around calls with the steps before and after
//! them, after the answer with the last step. What is random about a step is which turns a request gets at the cores,
//! so a step that is longer than its mean is so for the proxy's part in the same ratio. A handshake takes its share of
//! the station like a request, without being one. The proxy's threads cost nothing besides.
//!
//! Source: Linux shares a node's cores among containers alike; Kleinrock, Queueing Systems II (processor sharing).
//! Left out: what tries beyond the first and copies cost; calls with a probability cost their mean; work after an
//! answer is done before it; pods of other workloads on the same node; pressure by CPU (`overload`) of such a proxy.

use super::World;
use super::client::purpose;
use super::cluster::WorkloadState;
use super::event::Event;
use super::pod::Pod;
use super::state::{Attempt, Call};
use crate::kernel::slab::Id;
use crate::kernel::time::Duration;
use crate::plan::Plan;
use crate::plan::universe::{Discipline, Step, WorkloadId};

/// What a proxy adds to a step of its app's program.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Added {
    /// Nothing, or always as much.
    Always(Duration),
    /// This part of the step's own work.
    Part(f64),
}

/// What the proxy of a workload adds to each step of its program; empty if it has cores of its own, or costs nothing.
pub(super) fn proxy_work(plan: &Plan, workload: WorkloadId) -> Vec<Added> {
    let own = &plan.universe.workloads[workload.index()];
    if own.station.discipline != Discipline::SharedWithProxy || !plan.has_mesh() {
        return Vec::new();
    }
    let (proxy, program) = (&plan.parameters.proxy, &own.program);
    let is_work = |step: &Step| matches!(step, Step::Work(_));
    let mut added = vec![Duration::ZERO; program.len()];
    let Some(first) = program.iter().position(is_work) else { return Vec::new() };
    let last = program.iter().rposition(is_work).unwrap_or(first);
    added[first] += proxy.server_request;
    added[last] += proxy.server_response + proxy.server_telemetry;
    for (index, step) in program.iter().enumerate() {
        let Step::Calls(sites) = step else { continue };
        let calls: f64 = sites.iter().map(|site| site.probability).sum();
        let before = program[..index].iter().rposition(is_work).unwrap_or(first);
        let after = program[index..].iter().position(is_work).map_or(before, |at| index + at);
        added[before] += proxy.client_request.scale(calls);
        added[after] += (proxy.client_response + proxy.client_telemetry).scale(calls);
    }
    if added.iter().all(|one| one.is_zero()) {
        return Vec::new();
    }
    let in_part = |(step, added): (&Step, Duration)| match step {
        Step::Work(time) if 0.0 < time.mean_ns() => Added::Part(added.ns() as f64 / time.mean_ns()),
        _ => Added::Always(added),
    };
    program.iter().zip(added).map(in_part).collect()
}

/// What a request takes of a workload's workers in the mean, in seconds; its proxy's part, too, if that is there.
pub(super) fn work_s(plan: &Plan, workload: WorkloadId) -> f64 {
    let program = &plan.universe.workloads[workload.index()].program;
    let added = proxy_work(plan, workload);
    let of_step = |(index, step): (usize, &Step)| {
        let Step::Work(time) = step else { return 0.0 };
        match added.get(index) {
            Some(Added::Part(part)) => time.mean_ns() * (1.0 + part),
            Some(Added::Always(more)) => time.mean_ns() + more.ns() as f64,
            None => time.mean_ns(),
        }
    };
    program.iter().enumerate().map(of_step).sum::<f64>() / 1e9
}

impl WorkloadState {
    /// What a pod's proxy adds to a step of local work, of which the program says `work`.
    #[cold]
    pub(super) fn work_of_proxy(&self, pod: &Pod, step: u16, work: Duration) -> Duration {
        match self.proxy_work.get(usize::from(step)) {
            Some(Added::Part(part)) if pod.is_meshed => work.scale(*part),
            Some(Added::Always(time)) if pod.is_meshed => *time,
            _ => Duration::ZERO,
        }
    }
}

impl World<'_> {
    /// A call begins at a pod whose proxy takes its app's cores.
    #[cold]
    #[inline(never)]
    pub(super) fn begin_on_cores(&mut self, id: Id<Call>) {
        let Call { pod, key, .. } = self.calls[id];
        let worker = self.pods[pod as usize].workers.pick(key.draw(0, purpose::WORKER));
        let call = &mut self.calls[id];
        call.worker = u8::try_from(worker).unwrap_or(u8::MAX);
        call.pending += 1;
        let loopback = self.plan.parameters.proxy.loopback;
        self.queue.after(loopback, Event::Routed(id.index()).pack());
    }

    /// An answer comes back to such a pod.
    #[cold]
    #[inline(never)]
    pub(super) fn answered_on_cores(&mut self, id: Id<Call>) {
        self.calls[id].pending += 1;
        let loopback = self.plan.parameters.proxy.loopback;
        self.queue.after(loopback, Event::Answered(id.index()).pack());
    }

    /// A request reaches such a pod.
    #[cold]
    #[inline(never)]
    pub(super) fn reach_on_cores(&mut self, id: Id<Attempt>) {
        let attempt = &mut self.attempts[id];
        attempt.pending += 1;
        self.pods[attempt.pod as usize].inbound += 1;
        let loopback = self.plan.parameters.proxy.loopback;
        self.queue.after(loopback, Event::Enter(id.index()).pack());
    }

    /// A pod does its part of a handshake on its app's cores; returns how long it takes.
    pub(super) fn shake_hands_on_cores(&mut self, pod: u32, work: Duration) -> Duration {
        if work.is_zero() {
            return Duration::ZERO;
        }
        let station = &mut self.pods[pod as usize].station;
        let takes = station.steal(self.now, Id::NONE, work);
        self.schedule_shared(pod);
        takes
    }
}
