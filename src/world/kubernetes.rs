//! Kubernetes itself while running: the API server and the kubelets that are away, pods that wait
//! for a node, what events do to all that.
//!
//! Without the API server nobody learns of anything: controllers create and delete nothing,
//! endpoints stay as they were, operators are refused. Containers run on, and kubelets start them
//! again. Without its kubelet nothing begins or ends on a node; it is silent, so its endpoints go
//! after the grace period, and its pods are deleted later, though they run on until it is back.
//!
//! Source: kubernetes.io concepts/architecture; the parameters `kubernetes.*`.
//! Left out: etcd, several API servers, priorities of pods, resources of nodes.

use super::World;
use super::drains::Drain;
use super::event::Event;
use super::held::Held;
use super::hpa::Autoscaling;
use super::kubelet::Containers;
use super::probes::Watched;
use super::state::Life;
use super::tokens::Tokens;
use super::webhook::Webhook;
use crate::kernel::bytes::Bytes as _;
use crate::kernel::queue::{Ticket, TimerId};
use crate::kernel::time::Time;
use crate::plan::Plan;
use crate::plan::pods::ClusterAction;
use crate::plan::universe::{NodeId, WorkloadId};
use crate::vocabulary::cause::CauseId;
use crate::vocabulary::fact::FactKind;
use std::collections::{BTreeMap, BTreeSet};

/// Kubernetes while running. Of what a plan does not use there is nothing here.
#[derive(Debug)]
pub(crate) struct Kubernetes {
    /// Events that have the API server away, and the last of them.
    api_down: u32,
    pub api_cause: Option<CauseId>,
    /// Events that have a node's kubelet away, and the first of them.
    kubelets_down: BTreeMap<u32, (u32, Option<CauseId>)>,
    /// Steps that kubelets are to take: (pod, what, its ticket).
    postponed: Vec<(u32, Event, Ticket)>,
    /// Nodes that went or were to be cleared while the API server was away.
    silent: BTreeSet<u32>,
    /// Workloads whose endpoints changed meanwhile.
    untold: BTreeMap<WorkloadId, Option<CauseId>>,
    /// Events that have a node cordoned, with the evictions from it.
    pub drains: BTreeMap<u32, Drain>,
    /// Pods without a node.
    pub pending: BTreeSet<u32>,
    /// Containers that ended by themselves, by pod.
    pub containers: BTreeMap<u32, Containers>,
    /// Proxies that start, with the ends of their time.
    pub startups: BTreeMap<u32, TimerId>,
    /// Pods whose apps exit when they start.
    pub crashing: Held,
    /// Pods that events have crashed, and keep away.
    pub crashed: Held,
    /// Those of which only the app is away.
    pub crashed_apps: Held,
    /// Apps that are probed: twice the pod, and one more for liveness.
    pub probes: BTreeMap<u32, Watched>,
    pub autoscalers: BTreeMap<u32, Autoscaling>,
    pub webhook: Webhook,
    pub tokens: Tokens,
}

impl Kubernetes {
    /// Bytes held: what there may be for each pod.
    pub(crate) fn bytes(&self) -> usize {
        let held = self.crashing.bytes() + self.crashed.bytes() + self.crashed_apps.bytes();
        let pods = self.pending.bytes() + self.containers.bytes() + self.startups.bytes();
        held + pods + self.probes.bytes() + self.postponed.bytes() + self.silent.bytes()
    }

    /// What events hold.
    pub(super) fn holds(&mut self) -> [&mut Held; 3] {
        [&mut self.crashing, &mut self.crashed, &mut self.crashed_apps]
    }

    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            api_down: 0,
            api_cause: None,
            kubelets_down: BTreeMap::new(),
            postponed: Vec::new(),
            silent: BTreeSet::new(),
            untold: BTreeMap::new(),
            drains: BTreeMap::new(),
            pending: BTreeSet::new(),
            containers: BTreeMap::new(),
            startups: BTreeMap::new(),
            crashing: Held::default(),
            crashed: Held::default(),
            crashed_apps: Held::default(),
            probes: BTreeMap::new(),
            autoscalers: BTreeMap::new(),
            webhook: Webhook::new(),
            tokens: Tokens::new(plan),
        }
    }
}

impl World<'_> {
    /// Probes and autoscalers begin.
    pub(super) fn start_kubernetes(&mut self) {
        if self.plan.pods.is_empty() {
            return;
        }
        for index in 0..u32::try_from(self.pods.len()).expect("fewer than 2^32 pods") {
            if !self.pods[index as usize].is_of_ztunnel() {
                self.start_probes(index, true);
            }
        }
        self.start_autoscalers();
    }

    /// Does what an event does to Kubernetes, or takes it back.
    pub(super) fn apply_to_cluster(
        &mut self,
        action: &ClusterAction,
        begins: bool,
        cause: Option<CauseId>,
        until: Option<Time>,
    ) {
        match action {
            ClusterAction::CutWebhook => {
                self.kubernetes.webhook.cut(begins, cause);
                self.unpark_creations();
            }
            ClusterAction::SlowWebhook(_) => {
                self.kubernetes.webhook.slow_cause = cause;
                self.unpark_creations();
            }
            ClusterAction::SetWebhookPolicy(_) => self.unpark_creations(),
            ClusterAction::FailApiServer => self.fail_api_server(begins, cause),
            ClusterAction::FailKubelets(nodes) => {
                for node in nodes {
                    self.fail_kubelet(node.0, begins, cause);
                }
                self.tokens_change();
            }
            ClusterAction::StopTokens(nodes, share) => {
                self.forget_tokens(nodes, *share, begins, cause);
            }
            ClusterAction::FailReviews(_) => self.tell_reviews(),
            ClusterAction::DrainNodes(nodes) => self.drain_nodes(nodes, begins, cause),
            ClusterAction::CrashLoop(set) => self.crash_apps(set, begins, cause, until),
        }
    }

    // === the API server ===

    /// Whether the API server answers: creations, deletions, endpoints, `TokenReview`s.
    pub(super) fn api_server_is_up(&self) -> bool {
        self.kubernetes.api_down == 0
    }

    /// The start of a pod's app that is awaited.
    fn app_ticket(&self, pod: u32) -> Ticket {
        self.kubernetes.containers.get(&pod).map_or(Ticket::NONE, |one| one.app_ticket)
    }

    fn fail_api_server(&mut self, fails: bool, cause: Option<CauseId>) {
        let kubernetes = &mut self.kubernetes;
        if fails {
            kubernetes.api_down += 1;
            kubernetes.api_cause = cause;
            self.tokens_change();
            return self.review_calm();
        }
        kubernetes.api_down -= 1;
        if kubernetes.api_down != 0 {
            return;
        }
        for (workload, cause) in std::mem::take(&mut self.kubernetes.untold) {
            self.endpoints_changed(workload, cause);
        }
        for node in std::mem::take(&mut self.kubernetes.silent) {
            if self.nodes.is_dead(NodeId(node)) || !self.kubelet_is_up(node) {
                self.expect_loss(node);
            }
        }
        for index in 0..u32::try_from(self.workloads.len()).expect("few workloads") {
            self.reconcile(WorkloadId(index));
        }
        self.schedule_pending();
        self.tokens_change();
        self.conditions_changed();
    }

    /// The endpoints of a workload cannot be written now: whether they wait.
    #[cold]
    pub(super) fn endpoints_wait(&mut self, workload: WorkloadId, cause: Option<CauseId>) {
        self.kubernetes.untold.insert(workload, cause);
    }

    /// Nobody can do anything about a node that went: later.
    pub(super) fn node_waits(&mut self, node: u32) -> bool {
        if self.api_server_is_up() {
            return false;
        }
        self.nodes.lost_ticket[node as usize] = Ticket::NONE;
        self.kubernetes.silent.insert(node);
        true
    }

    /// A node that has its power back may still be silent.
    pub(super) fn expect_silence(&mut self, node: u32) {
        if !self.kubelet_is_up(node) {
            self.expect_loss(node);
        }
    }

    fn expect_loss(&mut self, node: u32) {
        let grace = self.plan.parameters.kubernetes.node_grace;
        let ticket = self.queue.after(grace, Event::NodeLost(node).pack());
        self.nodes.lost_ticket[node as usize] = ticket;
    }

    // === kubelets ===

    pub(super) fn kubelet_is_up(&self, node: u32) -> bool {
        self.kubernetes.kubelets_down.is_empty()
            || !self.kubernetes.kubelets_down.contains_key(&node)
    }

    /// A pod's kubelet is away: this step waits for it.
    pub(super) fn kubelet_waits(&mut self, pod: u32, event: Event) -> bool {
        let record = &self.pods[pod as usize];
        if self.kubelet_is_up(record.node.0) {
            return false;
        }
        let ticket = match event {
            Event::AppStart(_) => self.app_ticket(pod),
            _ => record.life_ticket,
        };
        self.kubernetes.postponed.push((pod, event, ticket));
        true
    }

    /// What has a node's kubelet away.
    pub(super) fn kubelet_cause(&self, node: u32) -> Option<CauseId> {
        self.kubernetes.kubelets_down.get(&node).and_then(|(_, cause)| *cause)
    }

    pub(super) fn fail_kubelet(&mut self, node: u32, fails: bool, cause: Option<CauseId>) {
        let (down, first) = self.kubernetes.kubelets_down.entry(node).or_insert((0, cause));
        if fails {
            *down += 1;
            if *down == 1 && !self.nodes.is_dead(NodeId(node)) {
                self.expect_loss(node);
            }
            return;
        }
        *down -= 1;
        if *down != 0 {
            return;
        }
        let first = *first;
        self.kubernetes.kubelets_down.remove(&node);
        if self.nodes.is_dead(NodeId(node)) {
            // Its pods begin anew when it has its power back.
            let elsewhere = |pod: &u32| self.pods[*pod as usize].node.0 != node;
            self.kubernetes.postponed.retain(|(pod, ..)| elsewhere(pod));
            return;
        }
        self.open_node(node, first);
    }

    /// A node's kubelet speaks again: it does what it was to do, and its pods are endpoints again.
    fn open_node(&mut self, node: u32, cause: Option<CauseId>) {
        self.nodes.lost_ticket[node as usize] = Ticket::NONE;
        if !self.kubernetes.drains.contains_key(&node) {
            self.nodes.closed.remove(&node);
        }
        let all = std::mem::take(&mut self.kubernetes.postponed);
        let (due, later): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(pod, ..)| self.pods[*pod as usize].node.0 == node);
        self.kubernetes.postponed = later;
        for (pod, event, ticket) in due {
            let again = self.queue.after(crate::kernel::time::Duration::ZERO, event.pack());
            match event {
                Event::AppStart(_) => {
                    let containers = self.kubernetes.containers.get_mut(&pod);
                    if let Some(one) = containers.filter(|one| one.app_ticket == ticket) {
                        one.app_ticket = again;
                    }
                }
                Event::Sigkill(_) => {}
                _ if self.pods[pod as usize].life_ticket == ticket => {
                    self.pods[pod as usize].life_ticket = again;
                }
                _ => {}
            }
        }
        for pod in self.pods_on(node) {
            let record = &mut self.pods[pod as usize];
            if record.down_cause == cause {
                record.down_cause = None;
            }
            self.serve_if_good(pod);
        }
        self.schedule_pending();
    }

    /// A silent node's pods are no endpoints, though they run on.
    pub(super) fn lose_kubelet(&mut self, node: u32) {
        self.nodes.closed.insert(node);
        let cause = self.kubelet_cause(node);
        for index in self.pods_on(node) {
            let pod = &mut self.pods[index as usize];
            if pod.life == Life::Ready {
                pod.down_cause = pod.down_cause.or(cause);
            }
            self.take_out(index);
        }
    }

    /// A node has its power back; its kubelet may be there or not.
    pub(super) fn node_is_back(&mut self, node: u32) {
        if self.kubelet_is_up(node) && !self.kubernetes.drains.contains_key(&node) {
            self.nodes.closed.remove(&node);
        }
        self.schedule_pending();
    }

    // === pods that wait for a node ===

    /// Says why a pod waits.
    pub(super) fn tell_pending(&mut self, index: u32) {
        self.fact_of(FactKind::PodPending, index, |world| {
            let workload = world.pods[index as usize].workload;
            let nodes = &world.plan.universe.workloads[workload.index()].nodes;
            let dead = nodes.iter().filter(|node| world.nodes.is_dead(**node)).count();
            format!(
                "0/{} nodes are available: {dead} down, {} cordoned or not ready",
                nodes.len(),
                nodes.len() - dead
            )
        });
    }

    /// Nodes changed: who waits for one looks again.
    pub(super) fn schedule_pending(&mut self) {
        for index in self.kubernetes.pending.clone() {
            let pod = &self.pods[index as usize];
            let nodes = &self.plan.universe.workloads[pod.workload.index()].nodes;
            let Some(node) = self.nodes.place(nodes, pod.ordinal as usize) else { continue };
            if !self.api_server_is_up() {
                return;
            }
            self.kubernetes.pending.remove(&index);
            self.pods[index as usize].node = node;
            let here = &mut self.nodes.pods[node.index()];
            let place = here.partition_point(|one| *one < index);
            here.insert(place, index);
            self.set_life(index, Life::Down);
            self.restart_pod(index);
        }
    }
}
