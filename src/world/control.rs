//! istiod: replicas with their parts, who finds which, what fails and comes back. Streams stand in
//! `streams`, pushes in `pushes`, certificates in `renewal`, authorities in `authorities`.
//!
//! Source: istio pilot/pkg/xds; see the parameters `istiod.*` and `xds.*`.
//! Left out: leader election; what replicas tell each other (nothing).

use super::World;
use super::ages::age_law;
use super::clocks::Clocks;
use super::config::Seen;
use super::event::Event;
use super::serving::Serving;
use super::shares::Taken;
use super::streams::XdsStream;
use crate::kernel::bytes::Bytes as _;
use crate::kernel::histogram::Histogram;
use crate::kernel::queue::Ticket;
use crate::kernel::stream::{below, name_hash};
use crate::kernel::time::Duration;
use crate::model::cluster::backoff::CrashLoop;
use crate::model::control::admission::Admission;
use crate::model::control::age::AgeLaw;
use crate::model::control::autoscaler::Autoscaler;
use crate::model::control::cores::Cores;
use crate::model::control::debounce::Debounce;
use crate::model::control::push::PushQueue;
use crate::model::control::slots::auto_slots;
use crate::model::control::throttle::Throttle;
use crate::model::identity::retry::Law;
use crate::observe::control_plane::ControlPlaneCounts;
use crate::plan::Plan;
use crate::plan::timeline::ControlPart;
use crate::plan::universe::NodeId;
use crate::vocabulary::cause::CauseId;
use std::collections::{BTreeMap, BTreeSet};

/// Parts of a replica, as indices.
pub(crate) const CA: usize = 0;
/// Configuration and endpoint discovery.
pub(crate) const XDS: usize = 1;
/// The injection webhook.
pub(crate) const INJECTOR: usize = 2;
/// Linkerd's policy controller, which Istio has not.
pub(crate) const POLICY: usize = 3;
/// How many there are.
pub(crate) const PARTS: usize = 4;

/// What a black-holed try costs: grpc-go waits this long for a connection.
pub(crate) const CONNECT_HELD: Duration = Duration::from_s(20);

/// All of istiod.
pub(crate) struct ControlPlane {
    pub replicas: Vec<Replica>,
    pub counts: ControlPlaneCounts,
    /// What last took a part away.
    pub causes: [Option<CauseId>; PARTS],
    pub clocks: Clocks,
    pub stream_law: Law,
    /// Pods with a parked loop, and some that have none any more.
    pub parked: BTreeSet<u32>,
    /// Ages of streams; none if they have no limit.
    pub age_law: Option<AgeLaw>,
    /// It makes no difference which replica a proxy has: see `ages`.
    pub is_calm: bool,
    /// Pods whose stream is cut, with the event that will notice: see `keepalive`.
    pub black_holed: BTreeMap<u32, Ticket>,
    /// Of these, such as are being pushed to.
    pub stuck: BTreeSet<u32>,
    /// Versions that are full pushes, in order.
    pub full_versions: Vec<u32>,
    pub autoscaler: Option<Autoscaler>,
    /// The last kill's.
    pub oom_cause: Option<CauseId>,
    /// What events have taken, from how many replicas.
    pub taken: Vec<(Taken, usize)>,
    /// Times from changes to the proxies that got them.
    pub convergence: Histogram,
}

/// One replica.
pub(crate) struct Replica {
    pub hash: u64,
    pub node: NodeId,
    /// Where the n-th replicas of CA and injector stand, which in a mesh of Linkerd are pods of their own.
    pub(super) apart: [NodeId; 2],
    /// Events that have the whole replica down.
    pub down: u8,
    /// Events that have a part down.
    pub(super) parts_down: [u8; PARTS],
    /// The autoscaler wants it.
    pub is_wanted: bool,
    /// Events that keep it from following the API server.
    pub frozen: u8,
    /// What it computes takes so many times as long.
    pub slow: f64,
    pub crash: CrashLoop,
    /// Counts its processes: what one had in hand dies with it.
    pub epoch: u32,
    /// Core time at the autoscaler's last look.
    pub used_at_look: Duration,
    /// It has its caches, or serves without.
    pub is_ready: bool,
    ready_ticket: Ticket,
    pub debounce: Debounce,
    pub push: PushQueue,
    pub admission: Admission,
    /// Its questions to the API server.
    pub reviews: Throttle,
    pub serving: Serving,
    /// The version that its last push context has.
    pub context: u32,
    /// The version that the push being prepared will have, and its event.
    pub preparing: u32,
    pub push_ticket: Ticket,
    pub cpu: Cores,
    /// Pods whose stream it has.
    pub connected: BTreeSet<u32>,
}

/// What a proxy finds when it asks for a part of the control plane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// This replica.
    Replica(u32),
    /// Nobody listens: refused at once.
    Refused,
    /// Packets vanish.
    BlackHole,
}

impl Replica {
    /// It computes as fast as ever.
    #[expect(clippy::float_cmp, reason = "exactly one is the undisturbed case")]
    pub(super) fn is_at_speed(&self) -> bool {
        self.slow == 1.0
    }

    /// Its process does not run, or has no caches.
    pub(super) fn is_away(&self) -> bool {
        self.down != 0 || !self.is_ready
    }
}

impl ControlPlane {
    /// The control plane of a plan at time zero, all replicas serving.
    pub(crate) fn new(plan: &Plan) -> Self {
        let parameters = &plan.parameters;
        let (istiod, xds) = (&parameters.istiod, &parameters.xds);
        let nodes = u32::try_from(plan.universe.nodes.len()).expect("few nodes").max(1);
        let most = istiod.replicas.max(istiod.replicas_max);
        let count = if istiod.present && 0 < istiod.replicas { most } else { 0 };
        let of_own = u32::from(plan.linkerd.is_some());
        let replica = |index: u32| Replica {
            hash: name_hash(&format!("istiod-{index}")),
            node: NodeId(index % nodes),
            apart: [1, 2].map(|ahead| NodeId((index + of_own * ahead) % nodes)),
            down: 0,
            parts_down: [0; PARTS],
            is_wanted: index < istiod.replicas,
            frozen: 0,
            slow: 1.0,
            crash: CrashLoop::default(),
            used_at_look: Duration::ZERO,
            is_ready: index < istiod.replicas,
            epoch: 0,
            ready_ticket: Ticket::NONE,
            debounce: Debounce::new(xds.debounce_after, xds.debounce_max),
            push: PushQueue::new(auto_slots(xds.push_slots, istiod.cpu)),
            admission: Admission::new(auto_slots(xds.stream_rate, istiod.cpu), xds.rate_wait),
            reviews: Throttle::new(istiod.token_review_qps, istiod.token_review_burst),
            serving: Serving::new(plan),
            context: 1,
            preparing: 1,
            push_ticket: Ticket::NONE,
            cpu: Cores::new(istiod.cpu),
            connected: BTreeSet::new(),
        };
        Self {
            replicas: (0..count).map(replica).collect(),
            counts: ControlPlaneCounts::default(),
            causes: [None; PARTS],
            clocks: Clocks::default(),
            stream_law: super::controllers::stream_law(plan),
            parked: BTreeSet::new(),
            age_law: age_law(parameters),
            is_calm: true,
            black_holed: BTreeMap::new(),
            stuck: BTreeSet::new(),
            full_versions: Vec::new(),
            autoscaler: (istiod.replicas_max != 0)
                .then(|| Autoscaler::new(istiod.replicas_min, istiod.replicas_max)),
            oom_cause: None,
            taken: Vec::new(),
            convergence: Histogram::new(),
        }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        let own = |replica: &Replica| {
            replica.push.bytes() + replica.cpu.bytes() + replica.connected.bytes()
        };
        self.parked.bytes()
            + self.convergence.bytes()
            + self.replicas.bytes()
            + self.replicas.iter().map(own).sum::<usize>()
    }

    /// What it did until now.
    pub(super) fn counted(&self) -> ControlPlaneCounts {
        // A quantile is the end of its cell, which may lie beyond the greatest.
        let of = |q| Duration::from_ns(self.convergence.quantile(q).unwrap_or(0));
        let quantile = |q| of(q).min(self.counts.convergence_max);
        let (convergence_p50, convergence_p99) = (quantile(0.5), quantile(0.99));
        ControlPlaneCounts { convergence_p50, convergence_p99, ..self.counts }
    }

    pub(super) fn serves(&self, replica: usize, part: usize) -> bool {
        let replica = &self.replicas[replica];
        replica.is_wanted && replica.down == 0 && replica.is_ready && replica.parts_down[part] == 0
    }

    /// Whether who has seen one version gets everything with another.
    pub(super) fn is_full(&self, seen: u32, context: u32) -> bool {
        let next = self.full_versions.partition_point(|version| *version <= seen);
        self.full_versions.get(next).is_some_and(|version| *version <= context)
    }
}

impl World<'_> {
    /// Who answers a pod on `node` for a part, chosen by `draw` among those who can.
    pub(super) fn find(&self, node: NodeId, part: usize, draw: u64) -> Found {
        let serving = |index: &usize| self.control.serves(*index, part);
        let all = 0..self.control.replicas.len();
        let is_near = |index: &usize| self.is_connected(node, self.control.node_of(*index, part));
        let near = all.clone().filter(serving).filter(is_near).count();
        if near == 0 {
            let any = all.clone().any(|index| serving(&index));
            return if any { Found::BlackHole } else { Found::Refused };
        }
        let chosen = all.filter(serving).filter(is_near).nth(below(draw, near));
        Found::Replica(u32::try_from(chosen.unwrap_or(0)).unwrap_or(0))
    }

    /// What of the configuration a pod works with.
    pub(super) fn seen(&self, pod: u32) -> Seen {
        let pod = &self.pods[pod as usize];
        if pod.is_meshed && !self.control.replicas.is_empty() {
            pod.seen
        } else {
            // No control plane: the node agents follow the API server.
            Seen::all(self.config.watched)
        }
    }

    // === replicas that fail and come back ===

    /// A share of the replicas (rounded up) loses or regains a part.
    pub(super) fn set_control_part(&mut self, part: ControlPart, share: f64, fails: bool) {
        let affected = self.control.affected_by(Taken::Part(part, share.to_bits()), fails);
        let was_away = self.without_identity(affected);
        let change = |level: &mut u8| {
            *level = if fails { *level + 1 } else { level.saturating_sub(1) };
        };
        for index in 0..affected {
            let slot = u32::try_from(index).expect("few replicas");
            let replica = &mut self.control.replicas[index];
            match part {
                ControlPart::All => {
                    change(&mut replica.down);
                    if fails && replica.down == 1 {
                        self.stop_replica(slot);
                    } else if !fails && replica.down == 0 {
                        self.start_replica(slot, Duration::ZERO);
                    }
                }
                ControlPart::Ca => change(&mut replica.parts_down[CA]),
                ControlPart::Policy => change(&mut replica.parts_down[POLICY]),
                ControlPart::Xds => {
                    change(&mut replica.parts_down[XDS]);
                    if fails && replica.parts_down[XDS] == 1 {
                        self.drop_streams(slot);
                    }
                }
                ControlPart::Injector => change(&mut replica.parts_down[INJECTOR]),
            }
        }
        let is_away = self.without_identity(affected);
        self.restart_identity(was_away.into_iter().filter(|one| !is_away.contains(one)));
        self.conditions_changed();
    }

    /// A replica's process starts after a while, and gets its caches.
    pub(super) fn start_replica(&mut self, index: u32, after: Duration) {
        let istiod = &self.plan.parameters.istiod;
        if !self.control.replicas[index as usize].is_wanted {
            return;
        }
        self.certify(index);
        if !istiod.waits_for_caches && after.is_zero() {
            // It knows nothing yet, and says so.
            self.control.replicas[index as usize].is_ready = true;
            self.set_context(index, 0);
        }
        let event = Event::ReplicaReady(index).pack();
        let ticket = self.queue.after(after + istiod.cache_sync, event);
        self.control.replicas[index as usize].ready_ticket = ticket;
    }

    pub(super) fn stop_replica(&mut self, index: u32) {
        let xds = &self.plan.parameters.xds;
        let replica = &mut self.control.replicas[index as usize];
        replica.is_ready = false;
        replica.epoch += 1;
        replica.ready_ticket = Ticket::NONE;
        replica.push_ticket = Ticket::NONE;
        replica.debounce = Debounce::new(xds.debounce_after, xds.debounce_max);
        replica.cpu.reset(self.now);
        self.drop_streams(index);
        let slots = auto_slots(xds.push_slots, self.plan.parameters.istiod.cpu);
        self.control.replicas[index as usize].push = PushQueue::new(slots);
    }

    fn drop_streams(&mut self, replica: u32) {
        for pod in self.control.replicas[replica as usize].connected.clone() {
            self.lose_stream(pod);
        }
    }

    /// A replica that came back has its caches: it serves what is true now.
    pub(super) fn replica_ready(&mut self, index: u32, ticket: Ticket) {
        let replica = &mut self.control.replicas[index as usize];
        if replica.ready_ticket != ticket || replica.down != 0 {
            return self.stale();
        }
        replica.ready_ticket = Ticket::NONE;
        replica.is_ready = true;
        replica.crash.start(self.now);
        if replica.frozen == 0 || replica.context == 0 {
            self.set_context(index, self.config.watched);
        }
        self.push_lacking(index);
        self.conditions_changed();
    }

    /// The network changed: some streams are cut, and some who are parked may go on.
    pub(super) fn network_changed(&mut self) {
        let mut cut = Vec::new();
        for replica in &self.control.replicas {
            let is_cut =
                |pod: &&u32| !self.is_connected(self.pods[**pod as usize].node, replica.node);
            cut.extend(replica.connected.iter().filter(is_cut));
        }
        self.leave_black_holes();
        self.look_again(cut);
    }

    /// The control plane changed: whoever is parked looks whether that helps.
    pub(super) fn conditions_changed(&mut self) {
        self.look_again(Vec::new());
    }

    /// Whoever is parked looks whether it can go on; streams that are cut are lost. In the order of
    /// pods, so that the order of events does not depend on who was parked first.
    fn look_again(&mut self, cut: Vec<u32>) {
        let mut pods = cut;
        pods.extend(&self.control.parked);
        pods.sort_unstable();
        pods.dedup();
        for pod in pods {
            self.look_again_at(pod);
            if let XdsStream::Connected(replica) = self.pods[pod as usize].stream {
                let to = self.control.replicas[replica as usize].node;
                if !self.is_connected(self.pods[pod as usize].node, to)
                    && !self.is_noticed_late(pod)
                {
                    self.lose_stream(pod);
                }
            }
            self.forget_if_unparked(pod);
        }
        self.ask_again();
        self.unpark_creations();
        self.review_calm();
    }

    /// A pod's parked loops look whether they can go on.
    pub(super) fn look_again_at(&mut self, pod: u32) {
        self.unpark_renewal(pod);
        self.unpark_stream(pod);
        self.forget_if_unparked(pod);
    }

    fn forget_if_unparked(&mut self, pod: u32) {
        let record = &self.pods[pod as usize];
        if !record.csr_is_parked && !record.stream_is_parked {
            self.control.parked.remove(&pod);
        }
    }
}
