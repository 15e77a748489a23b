//! Waypoints: proxies of an ambient mesh through which services are called, and which know HTTP.
//!
//! A waypoint is a workload of its own, with certificates and streams as sidecars have them. A call to a service
//! behind it goes to one of its pods, which makes a call of its own by the service's routes (`proxied`).
//!
//! ```text
//! app ── its ztunnel ══ waypoint: routes, retries, balancer, health ══ ztunnel there ── app
//!                mutual TLS                                    mutual TLS
//! ```
//!
//! Source: Istio's `listener_waypoint.go`, `istio-discovery/files/waypoint.yaml`; the parameters `waypoint.*`.
//! Left out: waypoints for pods as they are addressed (`istio.io/waypoint-for: workload`); several networks.

use super::World;
use super::client::purpose;
use super::pod::Kind;
use super::state::{Call, NONE};
use crate::kernel::slab::Id;
use crate::kernel::stream::Key;
use crate::kernel::time::Duration;
use crate::plan::universe::{Role, WorkloadId};
use crate::vocabulary::outcome::{Details, Outcome};

impl World<'_> {
    /// Whether the pods of a workload are waypoints.
    pub(super) fn is_waypoint(&self, workload: WorkloadId) -> bool {
        self.plan.universe.workloads[workload.index()].role == Role::Waypoint
    }

    /// Whether connections to a pod are tunnels: a ztunnel's or a waypoint's.
    pub(super) fn ends_tunnels(&self, pod: u32) -> bool {
        let record = &self.pods[pod as usize];
        record.kind == Kind::Captured || self.is_waypoint(record.workload)
    }

    /// What a waypoint has to do for a request beyond what every proxy has: on the worker that makes the
    /// call of this key.
    pub(super) fn work_for_request(&mut self, pod: u32, key: Key) {
        let parameters = &self.plan.parameters;
        let (own, proxy) = (parameters.waypoint.request, &parameters.proxy);
        let more = own.saturating_sub(proxy.server_request + proxy.client_request);
        let workers = &mut self.pods[pod as usize].workers;
        let worker = workers.pick(key.draw(0, purpose::WORKER));
        let _done = workers.run(worker, self.now, more, Duration::ZERO);
    }

    /// The same for an answer, which the worker then sends.
    pub(super) fn work_for_answer(&mut self, pod: u32, worker: u32) {
        let parameters = &self.plan.parameters;
        let (own, proxy) = (parameters.waypoint.response, &parameters.proxy);
        let more = own.saturating_sub(proxy.server_response + proxy.client_response);
        let workers = &mut self.pods[pod as usize].workers;
        let _done = workers.run(worker, self.now, more, Duration::ZERO);
    }

    /// A try finds no endpoint. A ztunnel that finds no waypoint has no answer for that: it ends the connection.
    #[cold]
    #[inline(never)]
    pub(super) fn try_nobody(&mut self, id: Id<Call>) {
        let Call { pod, upstream, .. } = self.calls[id];
        let cluster = self.upstreams[upstream as usize].cluster;
        let workloads = &self.plan.universe.clusters[cluster.index()].workloads;
        let is_waypoint = workloads.first().is_some_and(|one| self.is_waypoint(*one));
        let is_captured = pod != NONE && self.pods[pod as usize].kind == Kind::Captured;
        let details = if is_waypoint && is_captured {
            Details::ConnectionTermination
        } else {
            Details::NoHealthyUpstream
        };
        self.fail_try(id, Outcome::failure(details), None);
    }

    /// Failures of its startup probe after which the proxy of a workload starts again.
    pub(super) fn startup_failures(&self, workload: WorkloadId) -> u32 {
        let parameters = &self.plan.parameters;
        if self.is_waypoint(workload) {
            parameters.waypoint.startup_failures
        } else {
            parameters.pod.startup_failures
        }
    }
}
