//! istiod: replicas with their parts, who finds which, what fails and comes back. Streams stand in
//! `streams`, pushes in `pushes`, certificates in `renewal`, authorities in `authorities`.
//!
//! Source: istio pilot/pkg/xds; see the parameters `istiod.*` and `xds.*`.
//! Left out: memory of a replica, HPA of istiod.

use super::World;
use super::clocks::Clocks;
use super::config::Seen;
use super::event::Event;
use super::streams::XdsStream;
use crate::kernel::bytes::Bytes as _;
use crate::kernel::queue::Ticket;
use crate::kernel::stream::{below, name_hash};
use crate::kernel::time::Duration;
use crate::model::control::admission::Admission;
use crate::model::control::debounce::Debounce;
use crate::model::control::push::PushQueue;
use crate::model::control::slots::auto_slots;
use crate::model::identity::retry::Law;
use crate::model::proxy::workers::Workers;
use crate::observe::run::ControlPlaneCounts;
use crate::plan::Plan;
use crate::plan::timeline::ControlPart;
use crate::plan::universe::NodeId;
use crate::vocabulary::cause::CauseId;
use std::collections::BTreeSet;

/// Parts of a replica, as indices.
pub(crate) const CA: usize = 0;
/// Configuration and endpoint discovery.
pub(crate) const XDS: usize = 1;
/// The injection webhook.
pub(crate) const INJECTOR: usize = 2;

/// What a black-holed try costs: grpc-go waits this long for a connection.
pub(crate) const CONNECT_HELD: Duration = Duration::from_s(20);

/// All of istiod.
pub(crate) struct ControlPlane {
    pub replicas: Vec<Replica>,
    pub counts: ControlPlaneCounts,
    /// What last took a part away.
    pub causes: [Option<CauseId>; 3],
    pub clocks: Clocks,
    pub stream_law: Law,
    /// Pods with a parked loop, and some that have none any more.
    pub parked: BTreeSet<u32>,
}

/// One replica.
pub(crate) struct Replica {
    pub hash: u64,
    pub node: NodeId,
    /// Events that have the whole replica down.
    pub down: u8,
    /// Events that have a part down.
    parts_down: [u8; 3],
    /// It has its caches.
    pub is_ready: bool,
    ready_ticket: Ticket,
    pub debounce: Debounce,
    pub push: PushQueue,
    pub admission: Admission,
    /// The version that its last push context has.
    pub context: u32,
    /// The version that the push being prepared will have, and its event.
    pub preparing: u32,
    pub push_ticket: Ticket,
    pub cpu: Workers,
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

impl ControlPlane {
    /// The control plane of a plan at time zero, all replicas serving.
    pub(crate) fn new(plan: &Plan) -> Self {
        let parameters = &plan.parameters;
        let (istiod, xds) = (&parameters.istiod, &parameters.xds);
        let nodes = plan.universe.nodes.len();
        let count = if istiod.present { istiod.replicas } else { 0 };
        let replica = |index: u32| Replica {
            hash: name_hash(&format!("istiod-{index}")),
            node: NodeId(index % u32::try_from(nodes).expect("few nodes").max(1)),
            down: 0,
            parts_down: [0; 3],
            is_ready: true,
            ready_ticket: Ticket::NONE,
            debounce: Debounce::new(xds.debounce_after, xds.debounce_max),
            push: PushQueue::new(auto_slots(xds.push_slots, istiod.cpu)),
            admission: Admission::new(auto_slots(xds.stream_rate, istiod.cpu), xds.rate_wait),
            context: 1,
            preparing: 1,
            push_ticket: Ticket::NONE,
            cpu: Workers::new(istiod.cpu),
            connected: BTreeSet::new(),
        };
        Self {
            replicas: (0..count).map(replica).collect(),
            counts: ControlPlaneCounts::default(),
            causes: [None; 3],
            clocks: Clocks::default(),
            stream_law: Law::stream(&parameters.envoy_stream_backoff),
            parked: BTreeSet::new(),
        }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        let own = |replica: &Replica| {
            replica.push.bytes() + replica.cpu.bytes() + replica.connected.bytes()
        };
        self.parked.bytes() + self.replicas.bytes() + self.replicas.iter().map(own).sum::<usize>()
    }

    pub(super) fn serves(&self, replica: usize, part: usize) -> bool {
        let replica = &self.replicas[replica];
        replica.down == 0 && replica.is_ready && replica.parts_down[part] == 0
    }
}

impl World<'_> {
    /// Who answers a pod on `node` for a part, chosen by `draw` among those who can.
    pub(super) fn find(&self, node: NodeId, part: usize, draw: u64) -> Found {
        let serving = |index: &usize| self.control.serves(*index, part);
        let all = 0..self.control.replicas.len();
        let is_near = |index: &usize| self.is_connected(node, self.control.replicas[*index].node);
        let near = all.clone().filter(serving).filter(is_near).count();
        if near == 0 {
            let any = all.clone().any(|index| serving(&index));
            return if any { Found::BlackHole } else { Found::Refused };
        }
        let chosen = all.filter(serving).filter(is_near).nth(below(draw, near));
        Found::Replica(u32::try_from(chosen.unwrap_or(0)).unwrap_or(0))
    }

    /// Whether the API server reaches an injector.
    pub(super) fn has_injector(&self) -> bool {
        (0..self.control.replicas.len()).any(|index| self.control.serves(index, INJECTOR))
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
        let count = self.control.replicas.len();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
        let affected = ((count as f64 * share).ceil() as usize).min(count);
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
                        let sync = self.plan.parameters.istiod.cache_sync;
                        let event = Event::ReplicaReady(slot).pack();
                        let ticket = self.queue.after(sync, event);
                        self.control.replicas[index].ready_ticket = ticket;
                    }
                }
                ControlPart::Ca => change(&mut replica.parts_down[CA]),
                ControlPart::Xds => {
                    change(&mut replica.parts_down[XDS]);
                    if fails && replica.parts_down[XDS] == 1 {
                        self.drop_streams(slot);
                    }
                }
                ControlPart::Injector => change(&mut replica.parts_down[INJECTOR]),
            }
        }
        self.conditions_changed();
    }

    fn stop_replica(&mut self, index: u32) {
        let xds = &self.plan.parameters.xds;
        let replica = &mut self.control.replicas[index as usize];
        replica.is_ready = false;
        replica.push_ticket = Ticket::NONE;
        replica.debounce = Debounce::new(xds.debounce_after, xds.debounce_max);
        replica.cpu.reset();
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
        replica.is_ready = true;
        self.set_context(index, self.config.watched);
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
            self.unpark_renewal(pod);
            self.unpark_stream(pod);
            if let XdsStream::Connected(replica) = self.pods[pod as usize].stream {
                let to = self.control.replicas[replica as usize].node;
                if !self.is_connected(self.pods[pod as usize].node, to) {
                    self.lose_stream(pod);
                }
            }
            let record = &self.pods[pod as usize];
            if !record.csr_is_parked && !record.stream_is_parked {
                self.control.parked.remove(&pod);
            }
        }
        self.unpark_creations();
    }
}
