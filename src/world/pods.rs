//! The life of a pod while running: born, started, ready, ended, crashed, lost with its node.
//!
//! Source: Kubernetes' pod life cycle, Istio's injection template; see the parameters
//! `kubernetes.*`, `pod.*`, `drain.*`.
//! Left out: scheduling by resources. Starts of containers stand in `kubelet`.

use super::World;
use super::census::Standing;
use super::config::Seen;
use super::event::Event;
use super::pod::Kind;
use super::state::{Attempt, Life, NONE, Phase, Pod};
use super::streams::XdsStream;
use crate::kernel::queue::Ticket;
use crate::kernel::stream::name_hash;
use crate::kernel::time::{Duration, Time};
use crate::model::app::station::Station;
use crate::model::control::age::Age;
use crate::model::identity::retry::RetryLoop;
use crate::model::proxy::workers::Workers;
use crate::plan::universe::{Discipline, NodeId, WorkloadId};
use crate::vocabulary::cause::CauseId;
use crate::vocabulary::fact::FactKind;

impl World<'_> {
    /// A new pod of the workload, its containers not yet started.
    pub(super) fn new_pod(&mut self, workload: WorkloadId, is_meshed: bool) -> u32 {
        let spec = &self.plan.universe.workloads[workload.index()];
        let state = &mut self.workloads[workload.index()];
        let ordinal = state.next_ordinal;
        state.next_ordinal += 1;
        let place = self.nodes.place(&spec.nodes, ordinal as usize);
        let node = place.or(spec.nodes.first().copied()).unwrap_or(NodeId(0));
        let index = u32::try_from(self.pods.len()).expect("fewer than 2^32 pods");
        state.members.change(index, true, None, Some(false));
        if place.is_some() {
            self.nodes.pods[node.index()].push(index);
        } else {
            self.kubernetes.pending.insert(index);
        }
        let hash = name_hash(&format!("{}-{ordinal}", spec.name));
        let generation = state.generation;
        let kind = if is_meshed && self.captures(workload) { Kind::Captured } else { Kind::Own };
        let pod = self.blank_pod(hash, kind, workload, node, is_meshed);
        self.pods.push(Pod { holder: index, ordinal, generation, ..pod });
        self.give_anchors(index);
        self.recount(index);
        index
    }

    /// A record that nothing has happened to.
    pub(super) fn blank_pod(
        &self,
        hash: u64,
        kind: Kind,
        workload: WorkloadId,
        node: NodeId,
        is_meshed: bool,
    ) -> Pod {
        let spec = &self.plan.universe.workloads[workload.index()];
        Pod {
            hash,
            workload,
            node,
            is_meshed,
            kind,
            has_sidecar: is_meshed && kind == Kind::Own,
            holder: 0,
            ordinal: 0,
            generation: 0,
            life: Life::Starting,
            standing: Standing::default(),
            birth: 0,
            life_ticket: Ticket::NONE,
            app_is_up: false,
            proxy_is_up: false,
            frozen: None,
            station: Station::new(
                spec.station.workers,
                spec.station.queue,
                spec.station.discipline,
            ),
            shared: Ticket::NONE,
            workers: Workers::new(if is_meshed { self.plan.proxy_workers(workload) } else { 1 }),
            has_own_workers: is_meshed && spec.station.discipline != Discipline::SharedWithProxy,
            leaf: None,
            next_leaf: 0,
            renewal: Ticket::NONE,
            expiry: Ticket::NONE,
            csr: None,
            csr_held: Duration::ZERO,
            csr_is_parked: false,
            csr_is_warmup: false,
            csr_replica: 0,
            csr_epoch: 0,
            root: 0,
            leaf_cause: None,
            renewal_cause: None,
            stream: XdsStream::Off,
            stream_loop: RetryLoop::start(self.now),
            stream_held: Duration::ZERO,
            stream_is_parked: false,
            stream_ticket: Ticket::NONE,
            stream_replica: 0,
            connected_since: Time::ZERO,
            age: Age::none(),
            is_new_stream: false,
            seen: Seen::default(),
            live_version: 0,
            pushing: None,
            pushes: 0,
            epoch: 0,
            upstreams: Vec::new(),
            serving: Vec::new(),
            visits: 0,
            inbound: 0,
            has_orphans: false,
            down_cause: None,
        }
    }

    /// The name of a pod: made when it is told, since most never are.
    pub(super) fn pod_name(&self, index: u32) -> String {
        let pod = &self.pods[index as usize];
        if pod.is_of_ztunnel() {
            return self.ztunnel_name(index);
        }
        format!("{}-{}", self.plan.universe.workloads[pod.workload.index()].name, pod.ordinal)
    }

    /// A pod's life goes on: the books of its workload follow.
    pub(super) fn set_life(&mut self, index: u32, life: Life) {
        let place = |life| match life {
            Life::Terminating | Life::Gone => None,
            life => Some(life == Life::Ready),
        };
        let pod = &mut self.pods[index as usize];
        let before = std::mem::replace(&mut pod.life, life);
        let state = &mut self.workloads[pod.workload.index()];
        let is_new = pod.generation == state.generation;
        state.members.change(index, is_new, place(before), place(life));
        self.recount(index);
    }

    /// A pod is deleted: no endpoint any more, then SIGTERM, then SIGKILL.
    pub(super) fn terminate(&mut self, index: u32) {
        let was_ready = self.leave_service(index);
        let cause = self.workloads[self.pods[index as usize].workload.index()].cause;
        let pod = &mut self.pods[index as usize];
        if matches!(pod.life, Life::Terminating | Life::Gone) {
            return;
        }
        let is_running = matches!(pod.life, Life::Ready | Life::WaitingForProxy);
        self.forget_starts(index);
        let pod = &mut self.pods[index as usize];
        pod.down_cause = cause;
        let workload = pod.workload;
        self.set_life(index, Life::Terminating);
        let shutdown = self.plan.universe.workloads[workload.index()].shutdown;
        self.fact_of(FactKind::PodTerminating, index, |_| String::new());
        if was_ready {
            self.endpoints_changed(workload, cause);
        }
        if !is_running {
            return self.remove_pod(index);
        }
        let pre_stop = shutdown.pre_stop.min(shutdown.grace_period);
        let ticket = self.queue.after(pre_stop, Event::Sigterm(index).pack());
        self.pods[index as usize].life_ticket = ticket;
        self.queue.after(shutdown.grace_period, Event::Sigkill(index).pack());
    }

    /// SIGTERM: the app stops to take requests (or exits), the proxy begins to drain.
    pub(super) fn sigterm(&mut self, index: u32, ticket: Ticket) {
        if self.pods[index as usize].life_ticket != ticket {
            return self.stale();
        }
        if self.kubelet_waits(index, Event::Sigterm(index)) {
            return;
        }
        let pod = &mut self.pods[index as usize];
        pod.life_ticket = Ticket::NONE;
        let (workload, is_meshed) = (pod.workload, pod.has_sidecar);
        // A waypoint serves while it drains.
        let is_waypoint = self.is_waypoint(workload);
        self.pods[index as usize].app_is_up &= is_waypoint;
        let shutdown = self.plan.universe.workloads[workload.index()].shutdown;
        if !shutdown.graceful && !is_waypoint {
            self.stop_app(index);
        }
        for connection in self.pods[index as usize].serving.clone() {
            if !is_meshed {
                self.drain_connection(connection);
            } else if self.connections[connection].streams != 0 {
                // The next answer says `connection: close`; idle connections stay until the end.
                self.connections[connection].is_draining = true;
            }
        }
        if is_waypoint || is_meshed && !self.plan.parameters.has_native_sidecars() {
            let drain = self.plan.parameters.drain.termination;
            let ticket = self.queue.after(drain, Event::ProxyExit(index).pack());
            self.pods[index as usize].life_ticket = ticket;
        } else {
            self.check_shutdown(index);
        }
    }

    /// A pod that ends is gone once nothing is left to do.
    #[inline]
    pub(super) fn check_shutdown(&mut self, index: u32) {
        if self.pods[index as usize].life == Life::Terminating {
            self.end_if_done(index);
        }
    }

    #[cold]
    fn end_if_done(&mut self, index: u32) {
        let pod = &self.pods[index as usize];
        let is_done = !pod.app_is_up && pod.visits == 0;
        // A native sidecar ends after its app.
        let is_last = !pod.has_sidecar || self.plan.parameters.has_native_sidecars();
        if is_done && is_last && pod.life_ticket == Ticket::NONE {
            // Not at once: this may be the end of a call of its own, whose connection is still
            // being dealt with.
            let ticket = self.queue.after(Duration::ZERO, Event::ProxyExit(index).pack());
            self.pods[index as usize].life_ticket = ticket;
        }
    }

    /// The proxy exits, and with it every connection.
    pub(super) fn proxy_exit(&mut self, index: u32, ticket: Ticket) {
        if self.pods[index as usize].life_ticket != ticket {
            return self.stale();
        }
        self.remove_pod(index);
    }

    /// SIGKILL.
    pub(super) fn sigkill(&mut self, index: u32) {
        if self.pods[index as usize].life != Life::Terminating {
            return self.stale();
        }
        if self.kubelet_waits(index, Event::Sigkill(index)) {
            return;
        }
        self.remove_pod(index);
    }

    fn remove_pod(&mut self, index: u32) {
        self.stop_pod(index, Life::Gone);
        self.release_pod(index);
        self.fact_of(FactKind::PodGone, index, |_| String::new());
        self.reconcile(self.pods[index as usize].workload);
    }

    /// A pod that is gone keeps its record, since attempts and connections may name it, and ids are
    /// in the order of birth. Its lists are given back.
    pub(super) fn release_pod(&mut self, index: u32) {
        let pod = &mut self.pods[index as usize];
        pod.serving.shrink_to_fit();
        pod.upstreams.shrink_to_fit();
        let on_node = &mut self.nodes.pods[pod.node.index()];
        if let Ok(place) = on_node.binary_search(&index) {
            on_node.remove(place);
        }
        self.leave_ztunnel(index);
        for held in self.kubernetes.holds() {
            held.forget(index);
        }
        for (_, upstream) in &self.pods[index as usize].upstreams {
            self.upstreams[*upstream as usize].connections.shrink_to_fit();
        }
    }

    /// A pod's processes end at once, as by a crash; what it becomes then.
    pub(super) fn stop_pod(&mut self, index: u32, becomes: Life) {
        let was_ready = self.leave_service(index);
        self.set_life(index, becomes);
        self.forget_filters(index);
        self.control.clocks.forget(index);
        self.forget_starts(index);
        self.kubernetes.pending.remove(&index);
        let pod = &mut self.pods[index as usize];
        pod.life_ticket = Ticket::NONE;
        pod.proxy_is_up = false;
        pod.app_is_up = false;
        pod.renewal = Ticket::NONE;
        pod.expiry = Ticket::NONE;
        pod.csr = None;
        pod.csr_is_parked = false;
        pod.leaf = None;
        pod.stream_ticket = Ticket::NONE;
        pod.stream_is_parked = false;
        pod.workers.reset();
        // What starts again stands still no more.
        pod.frozen = None;
        pod.station.resume(self.now);
        let workload = pod.workload;
        self.lose_stream(index);
        let pod = &mut self.pods[index as usize];
        pod.stream = XdsStream::Off;
        self.set_seen(index, Seen::default());
        if self.compiled.has.listeners {
            self.forget_listener(index);
        }
        self.recount(index);
        self.stop_app(index);
        // Its own calls end with it; what they asked for goes on elsewhere.
        self.drop_calls(index);
        self.close_connections_from(index);
        self.close_connections_to(index);
        self.pods[index as usize].birth += 1;
        if was_ready {
            let cause = self.pods[index as usize].down_cause;
            self.endpoints_changed(workload, cause);
        }
    }

    /// The app ends; requests in it are lost. A live proxy before it answers for it, else its
    /// connections end with it.
    pub(super) fn stop_app(&mut self, index: u32) {
        let pod = &mut self.pods[index as usize];
        let is_answered = pod.has_sidecar && pod.proxy_is_up;
        pod.app_is_up = false;
        if self.compiled.has.clients {
            self.forget_requests(index);
        }
        let pod = &mut self.pods[index as usize];
        self.census.queued -= u32::try_from(pod.station.waiting()).unwrap_or(0);
        pod.station.clear(self.now);
        pod.shared = Ticket::NONE;
        let may_have_attempts = pod.visits != 0 || pod.inbound != 0;
        pod.has_orphans |= pod.visits != 0;
        pod.visits = 0;
        if !is_answered {
            pod.inbound = 0;
        }
        let in_pod = |phase| {
            matches!(
                phase,
                Phase::Inbound | Phase::Queued | Phase::Working | Phase::Calling | Phase::Hung
            )
        };
        // Most pods that end have nothing left to do: no look at all attempts then.
        let mut here = Vec::new();
        if may_have_attempts {
            let at_pod = |one: &Attempt| one.pod == index && in_pod(one.phase);
            here.extend(self.attempts.iter().filter(|(_, one)| at_pod(one)).map(|(id, _)| id));
        }
        for id in here {
            let attempt = &mut self.attempts[id];
            attempt.holds_worker = false;
            attempt.present = false;
            if !is_answered {
                self.break_attempt(id);
            } else if attempt.phase != Phase::Inbound {
                self.answer_for_app(id);
            }
        }
        if !is_answered {
            if self.has_odd_apps {
                self.cut_bodies(index);
            }
            self.close_connections_to(index);
        } else if self.linkerd.is_some() {
            self.app_leaves_linkerd(index);
        }
    }

    /// Why a pod does not answer, if something took it down.
    pub(super) fn pod_cause(&self, index: u32) -> Option<CauseId> {
        if index == NONE {
            return None;
        }
        let pod = &self.pods[index as usize];
        pod.down_cause.or(self.pods[pod.holder as usize].renewal_cause)
    }
}
