//! Pods and deployments while running: created, started, ready, rolled, ended.
//!
//! Source: Kubernetes' deployment and ReplicaSet controllers, pod life cycle; Istio's injection
//! template. See the parameters `kubernetes.*`, `webhook.*`, `pod.*`, `drain.*`.
//! Left out: scheduling by resources, probes of the app, `CrashLoopBackOff` beyond its first wait,
//! the restart of a proxy that never gets ready.

use super::World;
use super::event::Event;
use super::state::{Life, NONE, Phase, Pod, Seen, XdsStream};
use crate::kernel::queue::Ticket;
use crate::kernel::stream::{Stream, name_hash};
use crate::kernel::time::{Duration, Time};
use crate::model::app::station::Station;
use crate::model::cluster::deployment::{Counts, Deployment};
use crate::model::identity::retry::{Law, RetryLoop};
use crate::model::proxy::workers::Workers;
use crate::plan::parameter::FailurePolicy;
use crate::plan::universe::{Errors, NodeId, Role, WorkloadId};
use crate::vocabulary::cause::{CauseId, CauseKind};
use crate::vocabulary::fact::FactKind;

/// A workload while running.
pub(crate) struct WorkloadState {
    pub hash: u64,
    /// Ready pods, by index.
    pub ready: Vec<u32>,
    pub deployment: Deployment,
    /// The newest ReplicaSet.
    pub generation: u32,
    next_ordinal: u32,
    /// The ReplicaSet's loop of failed creations.
    creation: Option<RetryLoop>,
    creation_held: Duration,
    creation_is_parked: bool,
    creation_ticket: Ticket,
    /// What last asked for pods.
    pub cause: Option<CauseId>,
    is_rolling: bool,
    /// Work takes this many times as long.
    pub slow: f64,
    pub errors: Errors,
    pub error_cause: Option<CauseId>,
    start_times: Stream,
}

impl WorkloadState {
    pub(crate) fn new(workload: &crate::plan::universe::Workload, seed: u64) -> Self {
        Self {
            hash: name_hash(&workload.name),
            ready: Vec::new(),
            deployment: Deployment::new(workload.replicas, &workload.rollout),
            generation: 0,
            next_ordinal: 0,
            creation: None,
            creation_held: Duration::ZERO,
            creation_is_parked: false,
            creation_ticket: Ticket::NONE,
            cause: None,
            is_rolling: false,
            slow: 1.0,
            errors: workload.errors,
            error_cause: None,
            start_times: Stream::new(seed, "pod start", &workload.name),
        }
    }
}

impl World<'_> {
    // === birth ===

    /// A new pod of the workload, its containers not yet started.
    pub(super) fn new_pod(&mut self, workload: WorkloadId, is_meshed: bool) -> u32 {
        let spec = &self.plan.universe.workloads[workload.index()];
        let state = &mut self.workloads[workload.index()];
        let ordinal = state.next_ordinal;
        state.next_ordinal += 1;
        let alive = |node: &&NodeId| self.nodes.dead[node.index()] == 0;
        let alive_count = spec.nodes.iter().filter(alive).count().max(1);
        let nth = ordinal as usize % alive_count;
        let node = spec.nodes.iter().filter(alive).nth(nth).or(spec.nodes.first());
        let name = format!("{}-{ordinal}", spec.name);
        self.pods.push(Pod {
            hash: name_hash(&name),
            name,
            workload,
            node: node.copied().unwrap_or(NodeId(0)),
            is_meshed,
            ordinal,
            generation: state.generation,
            life: Life::Starting,
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
            workers: Workers::new(if is_meshed { self.plan.parameters.proxy.workers } else { 1 }),
            leaf: None,
            next_leaf: 0,
            renewal: Ticket::NONE,
            expiry: Ticket::NONE,
            csr: None,
            csr_held: Duration::ZERO,
            csr_is_parked: false,
            csr_is_warmup: false,
            is_refused_for_good: false,
            leaf_cause: None,
            renewal_cause: None,
            stream: XdsStream::Off,
            stream_loop: RetryLoop::start(self.now),
            stream_held: Duration::ZERO,
            stream_is_parked: false,
            stream_ticket: Ticket::NONE,
            stream_replica: 0,
            connected_since: Time::ZERO,
            seen: Seen::default(),
            pushing: None,
            pushes: 0,
            epoch: 0,
            upstreams: Vec::new(),
            serving: Vec::new(),
            visits: 0,
            down_cause: None,
        });
        u32::try_from(self.pods.len() - 1).expect("fewer than 2^32 pods")
    }

    /// A ReplicaSet tries to create a pod; the injection webhook has its say.
    pub(super) fn create_pod(&mut self, index: u32, ticket: Ticket) {
        if self.workloads[index as usize].creation_ticket != ticket {
            return self.stale();
        }
        self.workloads[index as usize].creation_ticket = Ticket::NONE;
        let workload = WorkloadId(index);
        if self.change_of(workload).create == 0 {
            self.workloads[index as usize].creation = None;
            return;
        }
        let spec = &self.plan.universe.workloads[workload.index()];
        let wants_proxy = spec.meshed && self.plan.has_mesh();
        let parameters = &self.plan.parameters;
        if wants_proxy && !self.has_injector() {
            match parameters.webhook.failure_policy {
                FailurePolicy::Fail => return self.refuse_pod(workload),
                FailurePolicy::Ignore => {}
            }
        }
        let is_meshed = wants_proxy && self.has_injector();
        let pod = self.new_pod(workload, is_meshed);
        self.control.counts.pods_created += 1;
        let state = &mut self.workloads[index as usize];
        state.creation = None;
        let draw = state.start_times.next_u64();
        let wait = self.compiled.start_times[workload.index()].sample(draw);
        self.pods[pod as usize].life_ticket = self.queue.after(wait, Event::Started(pod).pack());
        let name = self.pods[pod as usize].name.clone();
        self.fact(FactKind::PodCreated, || {
            let how = if wants_proxy && !is_meshed { "without its sidecar" } else { "" };
            (name, how.to_owned())
        });
        self.reconcile(workload);
    }

    fn refuse_pod(&mut self, workload: WorkloadId) {
        self.control.counts.pods_refused += 1;
        let because = self.control.causes[super::control::INJECTOR];
        let _ = self.caused(CauseKind::PodNotStarted, because, || {
            "pods cannot be created without the injection webhook".to_owned()
        });
        let law = Law::create(&self.plan.parameters.kubernetes);
        let now = self.now;
        let state = &mut self.workloads[workload.index()];
        let creation = state.creation.get_or_insert_with(|| RetryLoop::start(now));
        creation.fail(&law, Duration::ZERO, |_| 0);
        state.creation_held = Duration::ZERO;
        state.creation_is_parked = true;
        let name = self.plan.universe.workloads[workload.index()].name.clone();
        self.fact(FactKind::PodRefused, || (name, "failed calling webhook: no istiod".to_owned()));
    }

    /// Something changed: `ReplicaSets` find out at their next try.
    pub(super) fn unpark_creations(&mut self) {
        if !self.has_injector() {
            return;
        }
        for index in 0..self.workloads.len() {
            let state = &mut self.workloads[index];
            if !std::mem::take(&mut state.creation_is_parked) {
                continue;
            }
            let law = Law::create(&self.plan.parameters.kubernetes);
            let Some(creation) = &mut state.creation else { continue };
            let skipped = creation.skip_to(self.now, &law, state.creation_held, |_| 0);
            let at = creation.next_try();
            self.control.counts.pods_refused += skipped;
            let slot = u32::try_from(index).expect("few workloads");
            let ticket = self.queue.at(at, Event::CreatePod(slot).pack());
            self.workloads[index].creation_ticket = ticket;
        }
    }

    /// Counts the creations that would have been refused until now.
    pub(super) fn count_parked_creations(&mut self) {
        let law = Law::create(&self.plan.parameters.kubernetes);
        for state in self.workloads.iter_mut().filter(|state| state.creation_is_parked) {
            let Some(creation) = &mut state.creation else { continue };
            self.control.counts.pods_refused +=
                creation.skip_to(self.now, &law, state.creation_held, |_| 0);
        }
    }

    /// A pod's containers start.
    pub(super) fn started(&mut self, index: u32, ticket: Ticket) {
        if self.pods[index as usize].life_ticket != ticket {
            return self.stale();
        }
        let now = self.now;
        let pod = &mut self.pods[index as usize];
        pod.life_ticket = Ticket::NONE;
        if self.nodes.dead[pod.node.index()] != 0 {
            return;
        }
        pod.app_is_up = true;
        if !pod.is_meshed || self.control.replicas.is_empty() {
            pod.proxy_is_up = true;
            pod.life = Life::WaitingForProxy;
            let ticket = self.queue.after(Duration::ZERO, Event::Ready(index).pack());
            self.pods[index as usize].life_ticket = ticket;
            return;
        }
        pod.life = Life::WaitingForProxy;
        pod.csr_is_warmup = true;
        pod.csr = None;
        let draws = pod.stream_loop.draws();
        pod.stream_loop = RetryLoop::restart(now, draws);
        self.request_certificate(index);
        self.try_stream(index);
    }

    /// The proxy has its certificate and its configuration: the startup probe, once a second,
    /// finds it ready.
    pub(super) fn check_proxy(&mut self, index: u32) {
        let pod = &self.pods[index as usize];
        let waits = pod.life == Life::WaitingForProxy && pod.life_ticket == Ticket::NONE;
        if waits && pod.leaf.is_some() && pod.seen.oldest() != 0 {
            let period = self.plan.parameters.pod.startup_period.ns().max(1);
            let phase = pod.hash % period;
            let since = (self.now.ns() + period - phase) % period;
            let wait = Duration::from_ns(period - since);
            let ticket = self.queue.after(wait, Event::Ready(index).pack());
            self.pods[index as usize].life_ticket = ticket;
        }
    }

    /// A pod becomes ready.
    pub(super) fn ready(&mut self, index: u32, ticket: Ticket) {
        if self.pods[index as usize].life_ticket != ticket {
            return self.stale();
        }
        let pod = &mut self.pods[index as usize];
        pod.life_ticket = Ticket::NONE;
        pod.proxy_is_up = true;
        let (workload, name) = (pod.workload, pod.name.clone());
        self.enter_service(index);
        self.fact(FactKind::PodReady, || (name, String::new()));
        let cause = self.workloads[workload.index()].cause;
        self.endpoints_changed(workload, cause);
        self.reconcile(workload);
    }

    /// The pod is ready from now on.
    pub(super) fn enter_service(&mut self, index: u32) {
        let pod = &mut self.pods[index as usize];
        pod.life = Life::Ready;
        pod.down_cause = None;
        let ready = &mut self.workloads[pod.workload.index()].ready;
        let place = ready.partition_point(|one| *one < index);
        ready.insert(place, index);
    }

    fn leave_service(&mut self, index: u32) -> bool {
        let ready = &mut self.workloads[self.pods[index as usize].workload.index()].ready;
        let place = ready.binary_search(&index);
        place.map(|place| ready.remove(place)).is_ok()
    }

    /// The ready pods of a workload changed: its clusters have other endpoints.
    pub(super) fn endpoints_changed(&mut self, workload: WorkloadId, cause: Option<CauseId>) {
        if self.plan.universe.workloads[workload.index()].role == Role::Gateway {
            return;
        }
        self.config.begin_version(self.now, cause);
        for cluster in &self.compiled.clusters_of[workload.index()] {
            let workloads = &self.plan.universe.clusters[cluster.index()].workloads;
            let ready = workloads.iter().flat_map(|one| &self.workloads[one.index()].ready);
            let mut list: Vec<u32> = ready.copied().collect();
            list.sort_unstable();
            self.config.set_endpoints(*cluster, list.into());
        }
        self.schedule_watch();
    }

    // === deployments ===

    fn change_of(&self, workload: WorkloadId) -> crate::model::cluster::deployment::Change {
        let state = &self.workloads[workload.index()];
        let mut counts = Counts { old: 0, old_ready: 0, new: 0, new_ready: 0 };
        for pod in self.pods.iter().filter(|pod| pod.workload == workload) {
            if matches!(pod.life, Life::Terminating | Life::Gone) {
                continue;
            }
            let ready = u32::from(pod.life == Life::Ready);
            if pod.generation == state.generation {
                counts.new += 1;
                counts.new_ready += ready;
            } else {
                counts.old += 1;
                counts.old_ready += ready;
            }
        }
        state.deployment.reconcile(counts)
    }

    /// The deployment's controller looks at its pods.
    pub(super) fn reconcile(&mut self, workload: WorkloadId) {
        let change = self.change_of(workload);
        let generation = self.workloads[workload.index()].generation;
        self.delete_pods(workload, change.delete_old, |pod| pod.generation != generation);
        self.delete_pods(workload, change.delete_new, |pod| pod.generation == generation);
        let state = &mut self.workloads[workload.index()];
        if change.create != 0 && state.creation.is_none() && state.creation_ticket == Ticket::NONE {
            let event = Event::CreatePod(workload.0).pack();
            state.creation_ticket = self.queue.after(Duration::ZERO, event);
        }
        if state.is_rolling && change.create == 0 {
            let is_old = |pod: &Pod| {
                pod.workload == workload
                    && pod.generation != generation
                    && !matches!(pod.life, Life::Terminating | Life::Gone)
            };
            if !self.pods.iter().any(is_old) {
                self.workloads[workload.index()].is_rolling = false;
                let name = self.plan.universe.workloads[workload.index()].name.clone();
                self.fact(FactKind::RolloutFinished, || (name, String::new()));
            }
        }
    }

    /// Deletes pods: those that are not ready first, then the oldest.
    fn delete_pods(&mut self, workload: WorkloadId, count: u32, which: impl Fn(&Pod) -> bool) {
        let is_candidate = |(_, pod): &(usize, &Pod)| {
            pod.workload == workload
                && which(pod)
                && !matches!(pod.life, Life::Terminating | Life::Gone)
        };
        let mut candidates: Vec<(bool, usize)> = (self.pods.iter().enumerate())
            .filter(is_candidate)
            .map(|(index, pod)| (pod.life == Life::Ready, index))
            .collect();
        candidates.sort_unstable();
        for (_, index) in candidates.into_iter().take(count as usize) {
            self.terminate(u32::try_from(index).expect("fewer than 2^32 pods"));
        }
    }

    /// A rolling update begins: a new ReplicaSet.
    pub(super) fn roll_out(&mut self, workload: WorkloadId, cause: Option<CauseId>) {
        let state = &mut self.workloads[workload.index()];
        state.generation += 1;
        state.is_rolling = true;
        state.cause = cause;
        self.reset_creation(workload);
        self.reconcile(workload);
    }

    /// Another number of replicas is wanted.
    pub(super) fn scale(&mut self, workload: WorkloadId, replicas: u32, cause: Option<CauseId>) {
        let rollout = &self.plan.universe.workloads[workload.index()].rollout;
        let state = &mut self.workloads[workload.index()];
        state.deployment = Deployment::new(replicas, rollout);
        state.cause = cause;
        self.reset_creation(workload);
        self.reconcile(workload);
    }

    /// An update of the ReplicaSet queues it again at once.
    fn reset_creation(&mut self, workload: WorkloadId) {
        let state = &mut self.workloads[workload.index()];
        state.creation = None;
        state.creation_is_parked = false;
        state.creation_ticket = Ticket::NONE;
    }

    // === the end of a pod ===

    /// A pod is deleted: no endpoint any more, then SIGTERM, then SIGKILL.
    pub(super) fn terminate(&mut self, index: u32) {
        let was_ready = self.leave_service(index);
        let cause = self.workloads[self.pods[index as usize].workload.index()].cause;
        let pod = &mut self.pods[index as usize];
        if matches!(pod.life, Life::Terminating | Life::Gone) {
            return;
        }
        let is_running = matches!(pod.life, Life::Ready | Life::WaitingForProxy);
        pod.life = Life::Terminating;
        pod.down_cause = cause;
        let (workload, name) = (pod.workload, pod.name.clone());
        let shutdown = self.plan.universe.workloads[workload.index()].shutdown;
        self.fact(FactKind::PodTerminating, || (name, String::new()));
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
        let pod = &mut self.pods[index as usize];
        pod.life_ticket = Ticket::NONE;
        pod.app_is_up = false;
        let (workload, is_meshed) = (pod.workload, pod.is_meshed);
        let shutdown = self.plan.universe.workloads[workload.index()].shutdown;
        if !shutdown.graceful {
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
        if is_meshed {
            let drain = self.plan.parameters.drain.termination;
            let ticket = self.queue.after(drain, Event::ProxyExit(index).pack());
            self.pods[index as usize].life_ticket = ticket;
        } else {
            self.check_shutdown(index);
        }
    }

    /// A pod that ends is gone once nothing is left to do.
    pub(super) fn check_shutdown(&mut self, index: u32) {
        let pod = &self.pods[index as usize];
        let is_done = pod.life == Life::Terminating && !pod.app_is_up && pod.visits == 0;
        if is_done && !pod.is_meshed && pod.life_ticket == Ticket::NONE {
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
        self.remove_pod(index);
    }

    fn remove_pod(&mut self, index: u32) {
        self.stop_pod(index, Life::Gone);
        let (workload, name) =
            (self.pods[index as usize].workload, self.pods[index as usize].name.clone());
        self.fact(FactKind::PodGone, || (name, String::new()));
        self.reconcile(workload);
    }

    /// A pod's processes end at once, as by a crash; what it becomes then.
    pub(super) fn stop_pod(&mut self, index: u32, becomes: Life) {
        let was_ready = self.leave_service(index);
        let pod = &mut self.pods[index as usize];
        pod.life = becomes;
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
        pod.seen = Seen::default();
        self.stop_app(index);
        // Its own calls end with it; what they asked for goes on elsewhere.
        let calls = self.calls.iter().filter(|(_, call)| call.pod == index && !call.is_over);
        let calls: Vec<_> = calls.map(|(id, _)| id).collect();
        for call in calls {
            self.drop_call(call);
        }
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
        let is_answered = pod.is_meshed && pod.proxy_is_up;
        pod.app_is_up = false;
        pod.station.clear(self.now);
        pod.shared = Ticket::NONE;
        pod.visits = 0;
        let in_pod = |phase| {
            matches!(phase, Phase::Inbound | Phase::Queued | Phase::Working | Phase::Calling)
        };
        let here = self.attempts.iter().filter(|(_, one)| one.pod == index && in_pod(one.phase));
        let here: Vec<_> = here.map(|(id, _)| id).collect();
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
            self.close_connections_to(index);
        }
    }

    /// Why a pod does not answer, if something took it down.
    pub(super) fn pod_cause(&self, index: u32) -> Option<CauseId> {
        if index == NONE {
            return None;
        }
        let pod = &self.pods[index as usize];
        pod.down_cause.or(pod.renewal_cause)
    }

    // === nodes ===

    /// A node was silent for long: its pods are no endpoints any more.
    pub(super) fn node_lost(&mut self, node: u32, ticket: Ticket) {
        if self.nodes.lost_ticket[node as usize] != ticket {
            return self.stale();
        }
        for index in self.pods_on(node) {
            let was_ready = self.leave_service(index);
            let pod = &mut self.pods[index as usize];
            let (workload, cause) = (pod.workload, pod.down_cause);
            // Those that were about to start are as lost.
            if pod.life != Life::Terminating {
                pod.life = Life::Down;
                pod.life_ticket = Ticket::NONE;
            }
            if was_ready {
                self.endpoints_changed(workload, cause);
            }
        }
        let after = self.plan.parameters.kubernetes.eviction_after;
        self.nodes.lost_ticket[node as usize] = self.queue.after(after, Event::Evict(node).pack());
    }

    /// A lost node's pods are evicted: their deployments replace them elsewhere.
    pub(super) fn evict(&mut self, node: u32, ticket: Ticket) {
        if self.nodes.lost_ticket[node as usize] != ticket {
            return self.stale();
        }
        self.nodes.lost_ticket[node as usize] = Ticket::NONE;
        for pod in self.pods_on(node) {
            if self.pods[pod as usize].life == Life::Down {
                self.pods[pod as usize].life = Life::Gone;
                let workload = self.pods[pod as usize].workload;
                self.workloads[workload.index()].cause = self.pods[pod as usize].down_cause;
                self.reconcile(workload);
            }
        }
    }

    /// Pods of a node that are not gone.
    pub(super) fn pods_on(&self, node: u32) -> Vec<u32> {
        let here = |pod: &Pod| pod.node == NodeId(node) && pod.life != Life::Gone;
        let all = self.pods.iter().zip(0..);
        all.filter(|(pod, _)| here(pod)).map(|(_, index)| index).collect()
    }
}
