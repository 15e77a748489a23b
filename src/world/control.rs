//! istiod: replicas with their parts, configuration pushed to proxies, streams opened and lost.
//!
//! A change reaches the watchers after the API watch's delay; a replica debounces, prepares one
//! push at a time and serves its proxies through a limited number of slots. A proxy that loses
//! its stream keeps what it has and comes back with full-jitter back-off; a replica admits new
//! streams at a limited rate. Whoever waits for a control plane that is away is parked: its tries
//! are counted when it comes back, not simulated one by one.
//!
//! Source: istio pilot/pkg/xds (discovery.go, pushqueue.go, ads.go); see the parameters `xds.*`.
//! Left out: connection age (30 min), memory of a replica, ACK and NACK, HPA of istiod.

use super::World;
use super::event::Event;
use super::state::{Life, Seen, XdsStream};
use crate::kernel::queue::Ticket;
use crate::kernel::stream::{Key, below, name_hash};
use crate::kernel::time::{Duration, Time};
use crate::model::control::admission::{Admission, Admit};
use crate::model::control::debounce::{Debounce, DebounceStep};
use crate::model::control::push::PushQueue;
use crate::model::control::slots::auto_slots;
use crate::model::identity::retry::{Law, RetryLoop};
use crate::model::proxy::workers::Workers;
use crate::observe::run::ControlPlaneCounts;
use crate::plan::Plan;
use crate::plan::timeline::ControlPart;
use crate::plan::universe::NodeId;
use crate::vocabulary::cause::CauseId;
use crate::vocabulary::fact::FactKind;

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
    pub signer_end: Time,
    stream_law: Law,
}

/// One replica.
pub(crate) struct Replica {
    pub hash: u64,
    pub node: NodeId,
    /// Events that have the whole replica down.
    down: u8,
    /// Events that have a part down.
    parts_down: [u8; 3],
    /// It has its caches.
    is_ready: bool,
    ready_ticket: Ticket,
    debounce: Debounce,
    push: PushQueue,
    admission: Admission,
    /// The version that its last push context has.
    context: u32,
    /// The version that the push being prepared will have, and its event.
    preparing: u32,
    push_ticket: Ticket,
    pub cpu: Workers,
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
        };
        Self {
            replicas: (0..count).map(replica).collect(),
            counts: ControlPlaneCounts::default(),
            causes: [None; 3],
            signer_end: Time::ZERO.saturating_add(parameters.cert.signer_remaining),
            stream_law: Law::stream(&parameters.envoy_stream_backoff),
        }
    }

    fn serves(&self, replica: usize, part: usize) -> bool {
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

    // === streams ===

    /// A pod's draw for a loop.
    pub(super) fn loop_key(&self, pod: u32, domain: u32) -> Key {
        Key(self.pods[pod as usize].hash ^ self.seed).child(domain)
    }

    /// A proxy tries to open its xDS stream.
    pub(super) fn open_stream(&mut self, index: u32, ticket: Ticket) {
        if self.pods[index as usize].stream_ticket != ticket {
            return self.stale();
        }
        self.pods[index as usize].stream_ticket = Ticket::NONE;
        self.try_stream(index);
    }

    pub(super) fn try_stream(&mut self, index: u32) {
        let pod = &self.pods[index as usize];
        let key = self.loop_key(index, 2);
        let draw = key.draw(0, u32::try_from(self.now.ns() & 0xffff_ffff).unwrap_or(0));
        match self.find(pod.node, XDS, draw) {
            Found::Replica(replica) => {
                match self.control.replicas[replica as usize].admission.admit(self.now) {
                    Admit::At(time) => {
                        let to = self.control.replicas[replica as usize].node;
                        let node = self.pods[index as usize].node;
                        let round_trip =
                            self.one_way(node, to, draw) + self.one_way(to, node, draw);
                        let pod = &mut self.pods[index as usize];
                        pod.stream_is_parked = false;
                        let event = Event::Admitted(index).pack();
                        pod.stream_ticket = self.queue.at(time + round_trip, event);
                        pod.stream = XdsStream::Waiting;
                        pod.stream_replica = replica;
                    }
                    Admit::Refused => {
                        self.control.counts.stream_attempts_failed += 1;
                        self.retry_stream(index, self.plan.parameters.xds.rate_wait, false);
                    }
                }
            }
            Found::Refused => {
                self.control.counts.stream_attempts_failed += 1;
                self.retry_stream(index, Duration::ZERO, true);
            }
            Found::BlackHole => {
                self.control.counts.stream_attempts_failed += 1;
                self.retry_stream(index, CONNECT_HELD, true);
            }
        }
    }

    /// A try failed: another after the back-off, or, while nothing can change, parked.
    fn retry_stream(&mut self, index: u32, held: Duration, park: bool) {
        let (key, law) = (self.loop_key(index, 3), self.control.stream_law);
        let pod = &mut self.pods[index as usize];
        pod.stream = XdsStream::Waiting;
        pod.stream_loop.fail(&law, held, |n| key.draw(0, n));
        pod.stream_held = held;
        pod.stream_is_parked = park;
        if !park {
            let at = pod.stream_loop.next_try().max(self.now);
            pod.stream_ticket = self.queue.at(at, Event::Stream(index).pack());
        }
    }

    /// Something changed: parked streams find out at their next try.
    pub(super) fn unpark_stream(&mut self, index: u32) {
        let pod = &self.pods[index as usize];
        if !pod.stream_is_parked || !matches!(self.find(pod.node, XDS, 0), Found::Replica(_)) {
            return;
        }
        let (key, law) = (self.loop_key(index, 3), self.control.stream_law);
        let pod = &mut self.pods[index as usize];
        let held = pod.stream_held;
        let skipped = pod.stream_loop.skip_to(self.now, &law, held, |n| key.draw(0, n));
        self.control.counts.stream_attempts_failed += skipped;
        pod.stream_is_parked = false;
        let at = pod.stream_loop.next_try();
        pod.stream_ticket = self.queue.at(at, Event::Stream(index).pack());
    }

    /// Counts the tries that a parked stream would have made until now.
    pub(super) fn count_parked_streams(&mut self, index: u32) {
        let (key, law) = (self.loop_key(index, 3), self.control.stream_law);
        let now = self.now;
        let pod = &mut self.pods[index as usize];
        if pod.stream_is_parked {
            let held = pod.stream_held;
            let skipped = pod.stream_loop.skip_to(now, &law, held, |n| key.draw(0, n));
            self.control.counts.stream_attempts_failed += skipped;
        }
    }

    /// istiod admits the stream; the first message resets the back-off.
    pub(super) fn admitted(&mut self, index: u32, ticket: Ticket) {
        if self.pods[index as usize].stream_ticket != ticket {
            return self.stale();
        }
        let pod = &mut self.pods[index as usize];
        pod.stream_ticket = Ticket::NONE;
        let replica = pod.stream_replica;
        let (a, b) = (pod.node, self.control.replicas[replica as usize].node);
        if !self.control.serves(replica as usize, XDS) || !self.is_connected(a, b) {
            return self.try_stream(index);
        }
        self.control.counts.streams_opened += 1;
        let pod = &mut self.pods[index as usize];
        pod.stream = XdsStream::Connected(replica);
        pod.connected_since = self.now;
        let name = pod.name.clone();
        self.fact(FactKind::ProxyConnected, || (name, format!("to istiod-{replica}")));
        self.control.replicas[replica as usize].push.enqueue(index);
        self.fill_slots(replica);
    }

    /// A proxy's stream is lost; it comes back after its back-off.
    pub(super) fn lose_stream(&mut self, index: u32) {
        let XdsStream::Connected(replica) = self.pods[index as usize].stream else { return };
        self.control.replicas[replica as usize].push.remove(index);
        let law = self.control.stream_law;
        let key = self.loop_key(index, 3);
        let pod = &mut self.pods[index as usize];
        pod.stream = XdsStream::Waiting;
        pod.epoch += 1;
        // A message was received on this stream, so the back-off begins anew.
        let draws = pod.stream_loop.draws();
        pod.stream_loop = RetryLoop::restart(self.now, draws);
        pod.stream_loop.fail(&law, Duration::ZERO, |n| key.draw(0, n));
        pod.stream_held = Duration::ZERO;
        let name = pod.name.clone();
        self.fact(FactKind::ProxyDisconnected, || (name, String::new()));
        let pod = &mut self.pods[index as usize];
        if matches!(pod.life, Life::Down | Life::Gone) {
            pod.stream = XdsStream::Off;
            return;
        }
        let node = pod.node;
        if matches!(self.find(node, XDS, 0), Found::Replica(_)) {
            let pod = &mut self.pods[index as usize];
            let at = pod.stream_loop.next_try();
            pod.stream_is_parked = false;
            pod.stream_ticket = self.queue.at(at, Event::Stream(index).pack());
        } else {
            self.pods[index as usize].stream_is_parked = true;
        }
    }

    // === pushes ===

    /// The configuration changed: the watchers will know.
    pub(super) fn schedule_watch(&mut self) {
        let lane = self.compiled.watch_delay;
        self.queue.after_lane(lane, Event::Watch(0).pack());
    }

    /// The watchers know one change more.
    pub(super) fn watch(&mut self) {
        self.config.watched += 1;
        for index in 0..self.control.replicas.len() {
            let replica = &mut self.control.replicas[index];
            if replica.down == 0
                && replica.is_ready
                && let Some(time) = replica.debounce.change(self.now)
            {
                let slot = u32::try_from(index).expect("few replicas");
                self.queue.at(time, Event::Debounce(slot).pack());
            }
        }
    }

    /// A replica's debounce timer.
    pub(super) fn debounce(&mut self, index: u32) {
        let replica = &mut self.control.replicas[index as usize];
        if replica.down != 0 || !replica.is_ready {
            return self.stale();
        }
        let step = replica.debounce.timer(self.now);
        self.follow_debounce(index, step);
    }

    fn follow_debounce(&mut self, index: u32, step: DebounceStep) {
        match step {
            DebounceStep::Rearm(time) => {
                self.queue.at(time, Event::Debounce(index).pack());
            }
            DebounceStep::Push => {
                self.control.replicas[index as usize].preparing = self.config.watched;
                let init = self.plan.parameters.xds.push_init;
                let ticket = self.queue.after(init, Event::PushReady(index).pack());
                self.control.replicas[index as usize].push_ticket = ticket;
            }
            DebounceStep::Wait => {}
        }
    }

    /// A push is prepared: every connected proxy that lacks it is enqueued.
    pub(super) fn push_ready(&mut self, index: u32, ticket: Ticket) {
        let replica = &mut self.control.replicas[index as usize];
        // What a replica prepared before it failed died with it, however soon it was back.
        if replica.push_ticket != ticket {
            return self.stale();
        }
        replica.push_ticket = Ticket::NONE;
        replica.context = replica.preparing;
        let context = replica.context;
        let step = replica.debounce.pushed(self.now);
        self.fact(FactKind::PushStarted, || {
            (format!("istiod-{index}"), format!("version {context}"))
        });
        for pod in 0..self.pods.len() {
            let one = &self.pods[pod];
            if one.stream == XdsStream::Connected(index) && one.seen.oldest() < context {
                let slot = u32::try_from(pod).expect("fewer than 2^32 pods");
                self.control.replicas[index as usize].push.enqueue(slot);
            }
        }
        self.fill_slots(index);
        if let Some(step) = step {
            self.follow_debounce(index, step);
        }
    }

    fn fill_slots(&mut self, index: u32) {
        while let Some(pod) = self.control.replicas[index as usize].push.next() {
            let (from, to) =
                (self.control.replicas[index as usize].node, self.pods[pod as usize].node);
            let delay = self.one_way(from, to, self.loop_key(pod, 4).draw(0, 0));
            let record = &mut self.pods[pod as usize];
            record.pushing =
                Some((index, self.control.replicas[index as usize].context, record.epoch));
            record.pushes += 1;
            self.queue.after(self.plan.parameters.xds.push_time + delay, Event::Pushed(pod).pack());
        }
    }

    /// A proxy has its configuration.
    pub(super) fn pushed(&mut self, index: u32) {
        let pod = &mut self.pods[index as usize];
        pod.pushes -= 1;
        let Some((replica, version, epoch)) = pod.pushing else { return self.stale() };
        if pod.pushes != 0 || epoch != pod.epoch || pod.stream != XdsStream::Connected(replica) {
            return self.stale();
        }
        pod.pushing = None;
        let old = pod.seen.oldest();
        pod.seen = Seen::all(version.max(old));
        let connected_since = pod.connected_since;
        self.control.counts.pushes += 1;
        if let Some(since) = self.config.stale_since(old)
            && old < version
            && connected_since <= since
        {
            let counts = &mut self.control.counts;
            counts.convergence_max = counts.convergence_max.max(self.now.since(since));
        }
        self.control.replicas[replica as usize].push.done(index);
        self.fill_slots(replica);
        self.check_proxy(index);
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
        for pod in 0..self.pods.len() {
            if self.pods[pod].stream == XdsStream::Connected(replica) {
                self.lose_stream(u32::try_from(pod).expect("fewer than 2^32 pods"));
            }
        }
    }

    /// A replica that came back has its caches: it serves what is true now.
    pub(super) fn replica_ready(&mut self, index: u32, ticket: Ticket) {
        let replica = &mut self.control.replicas[index as usize];
        if replica.ready_ticket != ticket || replica.down != 0 {
            return self.stale();
        }
        replica.is_ready = true;
        replica.context = self.config.watched;
        self.conditions_changed();
    }

    /// Control plane or network changed: whoever is parked looks whether that helps.
    pub(super) fn conditions_changed(&mut self) {
        for pod in 0..u32::try_from(self.pods.len()).expect("fewer than 2^32 pods") {
            self.unpark_renewal(pod);
            self.unpark_stream(pod);
            if let XdsStream::Connected(replica) = self.pods[pod as usize].stream {
                let to = self.control.replicas[replica as usize].node;
                if !self.is_connected(self.pods[pod as usize].node, to) {
                    self.lose_stream(pod);
                }
            }
        }
        self.unpark_creations();
    }
}
