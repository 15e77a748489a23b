//! What timeline events do, and how it is taken back.
//!
//! Source: `plan::timeline`.
//! Left out: DNS.

use super::World;
use super::control::{CA, INJECTOR, POLICY, XDS};
use super::event::Event;
use super::state::Life;
use crate::kernel::queue::Ticket;
use crate::kernel::time::Time;
use crate::plan::timeline::{Action, ControlPart, PodSet};
use crate::plan::universe::{ClusterId, Errors, RouteId, ServiceId, WorkloadId};
use crate::vocabulary::cause::CauseId;

impl World<'_> {
    /// Does what an action says, or takes it back.
    pub(super) fn apply(
        &mut self,
        action: &Action,
        begins: bool,
        cause: Option<CauseId>,
        until: Option<Time>,
    ) {
        match action {
            Action::All(parts) => {
                for part in parts {
                    self.apply(part, begins, cause, until);
                }
            }
            Action::FailControlPlane { part, share } => {
                self.fail_control_plane(*part, *share, begins, cause);
            }
            Action::FreezeControlPlane { share } => self.freeze_control_plane(*share, begins),
            Action::SlowControlPlane { .. } => self.slow_control_plane(),
            Action::PushAll if begins => self.push_all(cause),
            Action::FailPods(set) => self.fail_pods(set, begins, cause, until),
            Action::FailApps(set) => self.fail_apps(set, begins, cause, until),
            Action::RestartPods(set) if begins => {
                // Over at this instant, however long its event is said to last.
                self.fail_pods(set, true, cause, Some(self.now));
                self.fail_pods(set, false, cause, None);
            }
            Action::FreezePods(set) if begins => self.freeze_pods(set, until),
            Action::FreezePods(_) => self.thaw_pods(),
            Action::FailNodes(nodes) => self.fail_nodes(nodes, begins, cause),
            Action::CutLinks { from, to, both } => {
                self.nodes.cause = cause;
                self.network_of().set_cut(from, to, begins);
                if *both {
                    self.network_of().set_cut(to, from, begins);
                }
                self.network_changed();
            }
            Action::DegradeLinks { from, to, both, delay, loss } => {
                self.network_of().degrade(from, to, *delay, *loss, begins);
                if *both {
                    self.network_of().degrade(to, from, *delay, *loss, begins);
                }
            }
            Action::SlowApps { workloads, .. }
            | Action::AppErrors { workloads, .. }
            | Action::Behave { workloads, .. } => {
                for workload in workloads {
                    self.disturb(*workload);
                }
            }
            Action::Rollout(workloads) if begins => {
                for workload in workloads {
                    self.roll_out(*workload, cause);
                }
            }
            Action::SetTemplate(_) | Action::Scale { .. } => self.redeploy(action, cause),
            Action::SetRoutes { .. }
            | Action::SetFilters { .. }
            | Action::SetEndpoints { .. }
            | Action::DefineCluster { .. }
            | Action::DescribeEndpoints { .. }
            | Action::DescribeClusterEndpoint { .. }
            | Action::Reject(_)
            | Action::Withhold(_) => self.tell(action, begins, cause),
            Action::PeerAuthentication { workloads, .. } => {
                self.tell_peer_authentication(workloads);
            }
            Action::RotateSecret { .. } => self.tell_security(),
            Action::SetServer { service, .. } => self.tell_server(*service),
            Action::Identity(change) => self.change_identity(change, begins, cause, until),
            Action::Cluster(action) => self.apply_to_cluster(action, begins, cause, until),
            Action::ScaleTraffic { traffic, .. } => self.scale_all_traffic(traffic),
            Action::SetListener { .. } | Action::DrainProxies { .. } => {
                self.apply_to_listeners(action, begins, cause);
            }
            Action::Rollout(_) | Action::RestartPods(_) | Action::PushAll | Action::Note => {}
        }
    }

    /// Another template or another number of replicas, or again what there was before.
    fn redeploy(&mut self, action: &Action, cause: Option<CauseId>) {
        match action {
            Action::SetTemplate(workloads) => {
                for workload in workloads {
                    self.roll_out(*workload, cause);
                }
            }
            Action::Scale { workload, .. } => {
                self.scale(*workload, self.replicas_in_force(*workload), cause);
            }
            _ => {}
        }
    }

    fn fail_control_plane(
        &mut self,
        part: ControlPart,
        share: f64,
        begins: bool,
        cause: Option<CauseId>,
    ) {
        if begins {
            self.blame_control_plane(part, cause);
        }
        let is_new = !begins && part == ControlPart::All;
        if is_new && self.bars_istiod(share) {
            return;
        }
        self.set_control_part(part, share, begins);
    }

    fn scale_all_traffic(&mut self, traffic: &[u32]) {
        for index in traffic {
            self.scale_traffic(*index, self.traffic_in_force(*index));
        }
    }

    /// The control plane tells something else, or again what it told before.
    fn tell(&mut self, action: &Action, begins: bool, cause: Option<CauseId>) {
        match action {
            Action::SetRoutes { service, .. } => {
                let route = self.route_in_force(*service);
                self.config.begin_version(self.now, cause);
                self.config.set_route(*service, route);
                self.schedule_watch();
            }
            Action::SetFilters { workload, .. } => self.tell_filters(*workload, cause),
            Action::SetEndpoints { cluster, .. } => self.tell_endpoints(*cluster, cause),
            Action::DefineCluster { cluster, .. } => self.redefine(*cluster, cause),
            Action::DescribeEndpoints { workloads, .. } => self.tell_settings(workloads, cause),
            Action::DescribeClusterEndpoint { cluster, workload, .. } => {
                self.tell_cluster_endpoint(*cluster, *workload, cause);
            }
            Action::Reject(resources) => self.tell_rejected(resources, begins, cause),
            Action::Withhold(_) if !begins => self.push_again(),
            _ => {}
        }
    }

    fn tell_endpoints(&mut self, cluster: ClusterId, cause: Option<CauseId>) {
        self.config.begin_version(self.now, cause);
        self.list_endpoints(cluster);
        self.schedule_watch();
    }

    /// The replicas that the last event in force wants; else those of the plan.
    fn replicas_in_force(&self, workload: WorkloadId) -> u32 {
        let last = self.in_force().rev().find_map(|(action, _)| match action {
            Action::Scale { workload: of, replicas } if *of == workload => Some(*replicas),
            _ => None,
        });
        last.unwrap_or(self.plan.universe.workloads[workload.index()].replicas)
    }

    /// The routes that the last event in force has set; else those of the plan.
    fn route_in_force(&self, service: ServiceId) -> RouteId {
        let last = self.in_force().rev().find_map(|(action, _)| match action {
            Action::SetRoutes { service: of, route } if *of == service => Some(*route),
            _ => None,
        });
        last.unwrap_or(self.plan.universe.services[service.index()].route)
    }

    /// The workloads whose pods are the endpoints of a cluster: those that the last event in force
    /// has set; else those of the plan.
    pub(super) fn members_in_force(&self, cluster: ClusterId) -> &[WorkloadId] {
        let last = self.in_force().rev().find_map(|(action, _)| match action {
            Action::SetEndpoints { cluster: of, workloads } if *of == cluster => Some(workloads),
            _ => None,
        });
        last.unwrap_or(&self.plan.universe.clusters[cluster.index()].workloads)
    }

    /// The product of all factors in force.
    fn traffic_in_force(&self, index: u32) -> f64 {
        let factors = self.in_force().filter_map(|(action, _)| match action {
            Action::ScaleTraffic { traffic, factor } if traffic.contains(&index) => Some(*factor),
            _ => None,
        });
        factors.product()
    }

    /// How slow a workload is, how often it fails and how it behaves, by what is in force: slowness
    /// multiplies, of everything else the last event's holds.
    fn disturb(&mut self, workload: WorkloadId) {
        let own = &self.plan.universe.workloads[workload.index()];
        let (mut slow, mut errors, mut error_cause) = (1.0, own.errors, None);
        let (mut behaves, mut takes) = (own.behaviour, None);
        for (action, cause) in self.in_force() {
            match action {
                Action::SlowApps { workloads, factor } if workloads.contains(&workload) => {
                    slow *= factor;
                }
                Action::AppErrors { workloads, share, status } if workloads.contains(&workload) => {
                    errors = Errors { share: *share, status: *status };
                    error_cause = cause;
                }
                Action::Behave { workloads, behaviour, errors: other, work }
                    if workloads.contains(&workload) =>
                {
                    behaves = *behaviour;
                    takes = work.or(takes);
                    if let Some(other) = other {
                        (errors, error_cause) = (*other, cause);
                    }
                }
                _ => {}
            }
        }
        #[expect(clippy::float_cmp, reason = "exactly one is the undisturbed case")]
        let is_disturbed = slow != 1.0 || takes.is_some();
        self.has_odd_apps |= !behaves.is_plain();
        let state = &mut self.workloads[workload.index()];
        let is_disturbed =
            is_disturbed || !state.crowding.is_zero() || !state.proxy_work.is_empty();
        (state.slow, state.work, state.is_disturbed) = (slow, takes, is_disturbed);
        (state.errors, state.error_cause, state.behaviour) = (errors, error_cause, behaves);
    }

    pub(super) fn blame_control_plane(&mut self, part: ControlPart, cause: Option<CauseId>) {
        let parts: &[usize] = match part {
            ControlPart::All => &[CA, XDS, INJECTOR, POLICY],
            ControlPart::Ca => &[CA],
            ControlPart::Xds => &[XDS],
            ControlPart::Injector => &[INJECTOR],
            ControlPart::Policy => &[POLICY],
        };
        for part in parts {
            self.control.causes[*part] = cause;
        }
    }

    /// The pods that a set means now, in order.
    pub(super) fn pods_of(&self, set: &PodSet) -> Vec<u32> {
        let alive = |workload: &WorkloadId| {
            let mut pods = self.workloads[workload.index()].members.all();
            pods.retain(|index| !self.kubernetes.pending.contains(index));
            pods
        };
        match set {
            PodSet::One(workload, ordinal) => {
                let mut pods = alive(workload);
                pods.retain(|index| self.pods[*index as usize].ordinal == *ordinal);
                pods
            }
            PodSet::Of(workloads, share) => {
                let of = |workload: &WorkloadId| -> Vec<u32> {
                    let pods = alive(workload);
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "a share of a count"
                    )]
                    let count = (pods.len() as f64 * share).ceil() as usize;
                    pods.into_iter().take(count).collect()
                };
                workloads.iter().flat_map(of).collect()
            }
        }
    }

    fn fail_pods(
        &mut self,
        set: &PodSet,
        fails: bool,
        cause: Option<CauseId>,
        until: Option<Time>,
    ) {
        if fails {
            for index in self.pods_of(set) {
                self.kubernetes.crashed.take(index, cause, until);
                self.pods[index as usize].down_cause = cause;
                self.stop_pod(index, Life::Down);
            }
            return;
        }
        for (index, is_free) in self.kubernetes.crashed.release(cause, self.now) {
            let pod = &self.pods[index as usize];
            if pod.life != Life::Down {
                continue;
            }
            if !is_free {
                self.pods[index as usize].down_cause = self.kubernetes.crashed.cause(index);
            } else if !self.nodes.is_dead(pod.node) {
                // A node without power starts nothing; its pods start when it is back.
                self.restart_pod(index);
            }
        }
    }

    /// The containers of a pod that is down start again.
    pub(super) fn restart_pod(&mut self, index: u32) {
        let workload = self.pods[index as usize].workload;
        self.set_life(index, Life::Starting);
        let wait = self.compiled.start_times[workload.index()]
            .sample(self.loop_key(index, 7).draw(self.pods[index as usize].birth, 0));
        let ticket = self.queue.after(wait, Event::Started(index).pack());
        self.pods[index as usize].life_ticket = ticket;
    }

    fn fail_apps(
        &mut self,
        set: &PodSet,
        fails: bool,
        cause: Option<CauseId>,
        until: Option<Time>,
    ) {
        if fails {
            for index in self.pods_of(set) {
                self.kubernetes.crashed_apps.take(index, cause, until);
                self.pods[index as usize].down_cause = cause;
                self.stop_app(index);
                // Of a proxy without an app, it is the proxy that ends: with its connections and calls.
                if self.compiled.forwards(self.pods[index as usize].workload) {
                    self.drop_calls(index);
                    self.close_connections_from(index);
                    self.forget_listener(index);
                    self.forget_filters(index);
                }
            }
            return;
        }
        for (index, is_free) in self.kubernetes.crashed_apps.release(cause, self.now) {
            let pod = &mut self.pods[index as usize];
            if pod.down_cause == cause {
                pod.down_cause = self.kubernetes.crashed_apps.cause(index);
            }
            if is_free {
                self.free_app(index);
            }
        }
    }

    pub(super) fn freeze_pods(&mut self, set: &PodSet, until: Option<Time>) {
        let until = until.unwrap_or(self.end);
        for index in self.pods_of(set) {
            let pod = &mut self.pods[index as usize];
            // Frozen already: the later end counts.
            let (from, longest) = pod.frozen.unwrap_or((self.now, until));
            let until = until.max(longest);
            pod.frozen = Some((from, until));
            pod.station.pause(self.now);
            pod.shared = Ticket::NONE;
            pod.workers.freeze(self.now, until);
            self.frozen.push(index);
        }
    }

    /// Whoever is due goes on: not the pods that the set means now, which may be others than it
    /// meant when they were frozen.
    pub(super) fn thaw_pods(&mut self) {
        let mut frozen = std::mem::take(&mut self.frozen);
        frozen.sort_unstable();
        frozen.dedup();
        for index in &frozen {
            let pod = &mut self.pods[*index as usize];
            if pod.frozen.is_some_and(|(_, until)| until <= self.now) {
                pod.frozen = None;
                pod.station.resume(self.now);
                if pod.station.is_shared() {
                    self.schedule_shared(*index);
                }
            }
        }
        frozen.retain(|index| self.pods[*index as usize].frozen.is_some());
        self.frozen = frozen;
    }
}
