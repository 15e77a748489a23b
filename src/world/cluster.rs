//! Deployments while running: pods created, refused, rolled, scaled. The life of a pod stands in
//! `pods`.
//!
//! Source: Kubernetes' deployment and ReplicaSet controllers, pod life cycle; Istio's injection
//! template. See the parameters `kubernetes.*`, `webhook.*`, `pod.*`, `drain.*`.
//! Left out: scheduling by resources.

use super::World;
use super::census::Places;
use super::event::Event;
use super::members::Members;
use crate::kernel::bytes::Bytes as _;
use crate::kernel::queue::Ticket;
use crate::kernel::stream::{Stream, name_hash};
use crate::kernel::time::Duration;
use crate::model::app::crowd::slowed;
use crate::model::cluster::deployment::{Change, Deployment};
use crate::model::identity::retry::{Law, RetryLoop};
use crate::plan::behaviour::Behaviour;
use crate::plan::universe::{ClusterId, Errors, Role, WorkloadId};
use crate::vocabulary::cause::{CauseId, CauseKind};
use crate::vocabulary::fact::FactKind;

/// A workload while running.
pub(crate) struct WorkloadState {
    pub hash: u64,
    /// Ready pods, by index.
    pub ready: Vec<u32>,
    /// Those that are neither ended nor ending.
    pub members: Members,
    /// What it adds to the census.
    pub counted: Places,
    pub deployment: Deployment,
    /// The newest ReplicaSet.
    pub generation: u32,
    pub next_ordinal: u32,
    /// The ReplicaSet's loop of failed creations.
    pub creation: Option<RetryLoop>,
    creation_held: Duration,
    creation_is_parked: bool,
    pub creation_ticket: Ticket,
    /// What last asked for pods.
    pub cause: Option<CauseId>,
    is_rolling: bool,
    /// Work takes this many times as long.
    pub slow: f64,
    /// Work does not take as long as the program says.
    pub is_disturbed: bool,
    pub errors: Errors,
    pub error_cause: Option<CauseId>,
    pub behaviour: Behaviour,
    /// Each step of local work takes so long, whatever the program says.
    pub work: Option<Duration>,
    /// Each request in service lengthens a request's first piece of work by this.
    pub crowding: Duration,
    start_times: Stream,
}

impl WorkloadState {
    /// Bytes held beside the workload itself.
    pub(crate) fn bytes(&self) -> usize {
        self.ready.bytes() + self.members.bytes()
    }

    pub(crate) fn new(
        workload: &crate::plan::universe::Workload,
        crowding: Duration,
        seed: u64,
    ) -> Self {
        Self {
            hash: name_hash(&workload.name),
            ready: Vec::new(),
            members: Members::default(),
            counted: Places::default(),
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
            is_disturbed: !crowding.is_zero(),
            errors: workload.errors,
            error_cause: None,
            behaviour: workload.behaviour,
            work: None,
            crowding,
            start_times: Stream::new(seed, "pod start", &workload.name),
        }
    }
}

impl WorkloadState {
    /// How long the nth step of local work takes, of which the program says `work`, while so many
    /// requests are in service.
    #[cold]
    #[inline(never)]
    pub(super) fn disturbed(&self, work: Duration, step: u16, in_service: u32) -> Duration {
        let per_request = if step == 0 { self.crowding } else { Duration::ZERO };
        slowed(self.work.unwrap_or(work), per_request, in_service).scale(self.slow)
    }
}

impl World<'_> {
    /// A ReplicaSet tries to create a pod; the injection webhook has its say.
    pub(super) fn create_pod(&mut self, index: u32, ticket: Ticket) {
        if self.workloads[index as usize].creation_ticket != ticket {
            return self.stale();
        }
        self.workloads[index as usize].creation_ticket = Ticket::NONE;
        let workload = WorkloadId(index);
        if !self.wants_pods(workload) || !self.api_server_is_up() {
            self.workloads[index as usize].creation = None;
            return;
        }
        let spec = &self.plan.universe.workloads[workload.index()];
        // The pods of waypoints are written out by istiod, and opt out of injection by label.
        if self.captures(workload) || self.is_waypoint(workload) {
            self.let_in(workload, true);
        } else if spec.meshed && self.plan.has_mesh() {
            self.ask_webhook(workload);
        } else {
            self.let_in(workload, false);
        }
    }

    pub(super) fn wants_pods(&self, workload: WorkloadId) -> bool {
        self.change_of(workload).create != 0
    }

    /// A pod is created.
    pub(super) fn let_in(&mut self, workload: WorkloadId, is_meshed: bool) {
        let wants_proxy =
            self.plan.universe.workloads[workload.index()].meshed && self.plan.has_mesh();
        let pod = self.new_pod(workload, is_meshed);
        self.control.counts.pods_created += 1;
        let state = &mut self.workloads[workload.index()];
        state.creation = None;
        let draw = state.start_times.next_u64();
        let wait = self.compiled.start_times[workload.index()].sample(draw);
        if !self.kubernetes.pending.contains(&pod) {
            let ticket = self.queue.after(wait, Event::Started(pod).pack());
            self.pods[pod as usize].life_ticket = ticket;
        }
        if wants_proxy && !is_meshed {
            let because = self.review_cause();
            let cause = self.caused(CauseKind::PodNotStarted, because, || {
                "pods were let in without their sidecars".to_owned()
            });
            let record = &mut self.pods[pod as usize];
            (record.leaf_cause, record.renewal_cause) = (Some(cause), Some(cause));
        }
        let how = if wants_proxy && !is_meshed { "without its sidecar" } else { "" };
        self.fact_of(FactKind::PodCreated, pod, |_| how.to_owned());
        if self.kubernetes.pending.contains(&pod) {
            self.recount(pod);
            self.tell_pending(pod);
        }
        self.reconcile(workload);
    }

    /// The API server refuses a pod, so much later.
    pub(super) fn refuse_pod(
        &mut self,
        workload: WorkloadId,
        held: Duration,
        why: &'static str,
        because: Option<CauseId>,
    ) {
        self.control.counts.pods_refused += 1;
        let _ = self.caused(CauseKind::PodNotStarted, because, || {
            "pods cannot be created without the injection webhook".to_owned()
        });
        let law = Law::create(&self.plan.parameters.kubernetes);
        let now = self.now;
        let state = &mut self.workloads[workload.index()];
        let creation = state.creation.get_or_insert_with(|| RetryLoop::start(now));
        creation.fail(&law, held, |_| 0);
        state.creation_held = held;
        state.creation_is_parked = true;
        let name = &self.plan.universe.workloads[workload.index()].name;
        self.fact(FactKind::PodRefused, || {
            (name.clone(), format!("failed calling webhook: {why}"))
        });
    }

    /// Something changed: `ReplicaSets` find out at their next try.
    pub(super) fn unpark_creations(&mut self) {
        if !self.lets_pods_in() {
            return;
        }
        self.unpark_istiod();
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
        self.count_parked_istiod();
        let law = Law::create(&self.plan.parameters.kubernetes);
        for state in self.workloads.iter_mut().filter(|state| state.creation_is_parked) {
            let Some(creation) = &mut state.creation else { continue };
            self.control.counts.pods_refused +=
                creation.skip_to(self.now, &law, state.creation_held, |_| 0);
        }
    }

    /// The ready pods of a workload changed: its clusters have other endpoints.
    pub(super) fn endpoints_changed(&mut self, workload: WorkloadId, cause: Option<CauseId>) {
        if self.plan.universe.workloads[workload.index()].role == Role::Gateway {
            return;
        }
        if !self.api_server_is_up() {
            return self.endpoints_wait(workload, cause);
        }
        self.config.begin_version(self.now, cause);
        for place in 0..self.compiled.clusters_of[workload.index()].len() {
            let cluster = self.compiled.clusters_of[workload.index()][place];
            self.list_endpoints(cluster);
        }
        self.schedule_watch();
    }

    /// The endpoints of a cluster are the ready pods of its workloads.
    pub(super) fn list_endpoints(&mut self, cluster: ClusterId) {
        let workloads = self.members_in_force(cluster).iter();
        let ready = workloads.flat_map(|one| &self.workloads[one.index()].ready);
        let mut list: Vec<u32> = ready.copied().collect();
        list.sort_unstable();
        for endpoint in self.config.set_endpoints(cluster, &list) {
            self.wake_holders(cluster, endpoint);
        }
    }

    // === deployments ===

    fn change_of(&self, workload: WorkloadId) -> Change {
        let state = &self.workloads[workload.index()];
        state.deployment.reconcile(state.members.counts())
    }

    /// The deployment's controller looks at its pods.
    pub(super) fn reconcile(&mut self, workload: WorkloadId) {
        if !self.api_server_is_up() {
            return;
        }
        let change = self.change_of(workload);
        for (is_new, count) in [(false, change.delete_old), (true, change.delete_new)] {
            for pod in self.workloads[workload.index()].members.first(is_new, count) {
                self.terminate(pod);
            }
        }
        let state = &mut self.workloads[workload.index()];
        if change.create != 0 && state.creation.is_none() && state.creation_ticket == Ticket::NONE {
            let event = Event::CreatePod(workload.0).pack();
            state.creation_ticket = self.queue.after(Duration::ZERO, event);
        }
        if state.is_rolling && change.create == 0 && state.members.counts().old == 0 {
            state.is_rolling = false;
            let name = &self.plan.universe.workloads[workload.index()].name;
            self.fact(FactKind::RolloutFinished, || (name.clone(), String::new()));
        }
        let state = &mut self.workloads[workload.index()];
        let counts = state.members.counts();
        let is_settled = counts.old == 0
            && counts.new == state.deployment.wanted
            && counts.new_ready == state.deployment.wanted;
        if is_settled {
            // Whoever comes or goes from now on does so for a reason of its own.
            state.cause = None;
        }
    }

    /// A rolling update begins: a new ReplicaSet.
    pub(super) fn roll_out(&mut self, workload: WorkloadId, cause: Option<CauseId>) {
        let state = &mut self.workloads[workload.index()];
        state.generation += 1;
        state.members.begin_revision();
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
        self.recount_places(workload);
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
}
