//! What the proxies of a mesh cost: memory, and CPU time by side.
//!
//! Requests are counted anyway, and each costs its proxies what the parameters say, so CPU time is a product made at
//! the end of a run: a request pays nothing for being accounted for.
//!
//! Source: `proxy.*`; Istio publishes the same numbers by release (docs/mesh-overhead.md).
//! Left out: pods whose sidecar is not there though their workload is meshed; copies and hedged tries, which count
//! as answers only; that a proxy's memory grows with endpoints; CPU without requests.

use super::World;
use super::pod::{Kind, Life};
use crate::kernel::time::Time;
use crate::observe::run::{MeshCost, ProxyCpu};
use crate::plan::universe::Workload;

impl World<'_> {
    /// What the proxies cost; none without a mesh.
    pub(super) fn mesh_cost(&self) -> Option<MeshCost> {
        if !self.plan.has_mesh() {
            return None;
        }
        let is_proxy = |kind| matches!(kind, Kind::Own | Kind::Ztunnel);
        let proxies = self.pods.iter().filter(|pod| is_proxy(pod.kind) && pod.has_live_proxy());
        let proxies = proxies.filter(|pod| pod.life != Life::Starting).count() as u64;
        let memory = proxies * self.plan.parameters.proxy.memory.0;
        let cpu = self.plan.sampling.is_none().then(|| self.proxy_cpu());
        Some(MeshCost { proxies, memory, cpu })
    }

    fn proxy_cpu(&self) -> ProxyCpu {
        let (plan, recorder) = (self.plan, &self.recorder);
        let workloads = &plan.universe.workloads;
        let proxy = &plan.parameters.proxy;
        let served = workloads.iter().zip(&recorder.served).filter(|(one, _)| one.meshed);
        let served: u64 = served.map(|(_, served)| served.requests.total).sum();
        let is_meshed = |source: &str, traffic: Option<&str>| {
            let from = plan.traffic.iter().find(|one| Some(one.id.as_str()) == traffic);
            let is_source = |one: &Workload| one.app == source && one.meshed;
            match from {
                Some(from) => workloads[from.from.index()].meshed,
                None => workloads.iter().any(is_source),
            }
        };
        let edges = recorder.edges.iter();
        let calls = edges.filter(|one| is_meshed(&one.source, one.traffic.as_deref()));
        let calls: u64 = calls.map(|edge| edge.requests().total).sum();
        let answer = proxy.client_response + proxy.client_telemetry;
        let again = if calls == 0 { 0 } else { recorder.attempts.retries };
        let client = calls as f64 * (proxy.client_request + answer).as_s();
        let of_server = proxy.server_request + proxy.server_response + proxy.server_telemetry;
        ProxyCpu {
            client_s: client + again as f64 * answer.as_s(),
            server_s: served as f64 * of_server.as_s(),
            handshakes_s: recorder.handshakes_ns as f64 / 1e9,
            recorded_s: self.now.saturating_since(Time::ZERO + plan.warmup).as_s(),
        }
    }
}
