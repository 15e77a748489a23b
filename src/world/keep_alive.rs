//! Keep-alive: apps that close connections which have been idle for long, and requests that were on
//! their way when that happened.
//!
//! An app closes a connection so long after its last answer on it. Its client hears of that a link's
//! delay later; what it has sent meanwhile meets a closed socket: UC over HTTP/1.1; over HTTP/2 the
//! stream is refused (UR), which may be tried again. Behind a sidecar it is the sidecar's own
//! connections to the app that are closed, and the sidecar answers 503 (the client sees no flag).
//! GOAWAYs of HTTP/2 stand here, too: what comes after the last one of a connection is refused as well.
//! A sidecar takes the connection that was idle for the shortest time first, as Envoy does.
//!
//! Source: measured on Envoy 1.40 (family e06, `keepalive_race_*`: UC, in a window below a
//! millisecond); Envoy's `ConnPoolImplBase`, whose ready clients are a stack. How long a sidecar does
//! not know that a connection is closed is UNCONFIRMED: its work for a request and the loopback.
//! Left out: the sidecar's connections as connections (they cost nothing to open); half-closed ones.

use super::World;
use super::client::purpose;
use super::event::Event;
use super::listeners::DRAIN_TIMEOUT;
use super::network::Transit;
use super::state::{Attempt, Connection, NONE, Phase};
use crate::kernel::queue::{LaneId, Queue, TimerId};
use crate::kernel::slab::Id;
use crate::kernel::time::{Duration, Time};
use crate::plan::Plan;
use crate::plan::behaviour::{Behaviour, Port};
use crate::plan::policy::Protocol;
use crate::plan::timeline::Action;
use crate::vocabulary::outcome::{Details, Outcome};
use std::collections::BTreeMap;

/// Connections to apps that close idle ones.
#[derive(Default, Debug)]
pub(crate) struct KeepAlive {
    /// By how long a connection may be idle.
    lanes: BTreeMap<Duration, LaneId>,
    /// Whether the lanes stand still between the windows of a sampled run.
    is_paused: bool,
    /// By connection to an app that closes idle ones.
    connections: BTreeMap<Id<Connection>, Use>,
    /// By pod with a sidecar: since when each of the sidecar's connections to the app is idle.
    sidecars: BTreeMap<u32, Vec<Time>>,
    /// When the first GOAWAY of connections was sent.
    goaways: BTreeMap<Id<Connection>, Time>,
}

/// A connection as its server sees it.
#[derive(Clone, Copy, Debug)]
enum Use {
    /// So many requests are with the app.
    Busy(u32),
    /// It is idle, until this.
    Idle(TimerId),
    /// Its server has closed it, and its client does not know it yet.
    Closed,
}

impl KeepAlive {
    /// With a lane for each limit that an app of the plan ever has.
    pub(super) fn new(plan: &Plan, queue: &mut Queue) -> Self {
        let is_paused = plan.sampling.is_some();
        let later = plan.timeline.iter().filter_map(|event| match &event.action {
            Action::Behave { behaviour, .. } => Some(behaviour),
            _ => None,
        });
        let all = plan.universe.workloads.iter().map(|one| &one.behaviour).chain(later);
        let limits = all.map(|one| one.idle_close).filter(|limit| !limit.is_zero());
        let limits: std::collections::BTreeSet<Duration> = limits.collect();
        let mut lane = |limit| {
            if is_paused { queue.pausable_lane(limit) } else { queue.lane(limit) }
        };
        let lanes = limits.into_iter().map(|limit| (limit, lane(limit))).collect();
        Self { lanes, is_paused, ..Self::default() }
    }
}

impl World<'_> {
    /// An app has answered: its connection is idle, unless the client has left it.
    pub(super) fn idles(&mut self, id: Id<Attempt>) {
        let attempt = self.attempts[id];
        let Behaviour { idle_close, closes, .. } =
            self.workloads[attempt.workload.index()].behaviour;
        let Some(lane) = self.keep_alive.lanes.get(&idle_close).copied().filter(|_| !closes) else {
            return;
        };
        if self.pods[attempt.pod as usize].has_sidecar {
            self.keep_alive.sidecars.entry(attempt.pod).or_default().push(self.now);
            return;
        }
        self.leave_connection(attempt.connection, lane);
    }

    /// A request is no longer with the app; its connection may be idle from now on.
    fn leave_connection(&mut self, id: Id<Connection>, lane: LaneId) {
        if self.connections.get(id).is_none_or(|one| one.place == NONE) {
            return;
        }
        let others = match self.keep_alive.connections.get(&id) {
            Some(Use::Busy(requests)) => requests.saturating_sub(1),
            Some(Use::Closed) => return,
            Some(Use::Idle(_)) | None => 0,
        };
        if others == 0 {
            self.wait_idle(id, lane);
        } else {
            self.keep_alive.connections.insert(id, Use::Busy(others));
        }
    }

    fn wait_idle(&mut self, id: Id<Connection>, lane: LaneId) {
        self.forget_idle(id);
        let event = Event::ServerIdle(id.index()).pack();
        let timer = if self.keep_alive.is_paused {
            self.queue.after_pausable(lane, event)
        } else {
            self.queue.after_lane(lane, event)
        };
        self.keep_alive.connections.insert(id, Use::Idle(timer));
    }

    /// The client of an attempt resets its stream: if the app has the request, it hears of it.
    #[cold]
    pub(super) fn resets_stream(&mut self, attempt: &Attempt) {
        let is_there =
            matches!(attempt.phase, Phase::Queued | Phase::Working | Phase::Calling | Phase::Hung);
        let limit = self.workloads[attempt.workload.index()].behaviour.idle_close;
        if let Some(lane) = self.keep_alive.lanes.get(&limit).copied().filter(|_| is_there)
            && !self.pods[attempt.pod as usize].has_sidecar
        {
            self.leave_connection(attempt.connection, lane);
        }
    }

    /// The connection is gone, or no longer idle. Whether its server had closed it.
    pub(super) fn forget_idle(&mut self, id: Id<Connection>) -> bool {
        match self.keep_alive.connections.remove(&id) {
            Some(Use::Idle(timer)) => {
                self.queue.cancel(timer);
                false
            }
            Some(Use::Closed) => true,
            Some(Use::Busy(_)) | None => false,
        }
    }

    /// A connection was idle for so long that its server closes it; its client is told.
    pub(super) fn server_idle(&mut self, slot: u32) {
        let id = self.connections.id_at(slot).expect("the timer of an idle connection");
        let connection = self.connections[id];
        if self.thaws_at(connection.pod, false).is_some() {
            // Its app's clock stands still.
            let workload = self.pods[connection.pod as usize].workload;
            let limit = self.workloads[workload.index()].behaviour.idle_close;
            self.keep_alive.connections.remove(&id);
            if let Some(lane) = self.keep_alive.lanes.get(&limit).copied() {
                self.wait_idle(id, lane);
            }
            return;
        }
        self.close_from_server(id, false);
    }

    /// The server of a connection closes it, or (over HTTP/2) sends a GOAWAY on it and goes on to serve what
    /// comes; its client is told.
    pub(super) fn close_from_server(&mut self, id: Id<Connection>, is_goaway: bool) {
        let connection = self.connections[id];
        if is_goaway {
            self.keep_alive.goaways.entry(id).or_insert(self.now);
        } else {
            self.keep_alive.connections.insert(id, Use::Closed);
        }
        let client = self.upstreams[connection.upstream as usize].pod;
        if let Transit::Sent { path, .. } =
            self.transit(connection.pod, client, 0, || 0, Duration::ZERO)
        {
            self.connections[id].pending += 1;
            let draw = || connection.key.draw(1, purpose::LINK_BACK);
            self.over(path, Duration::ZERO, draw, Event::Fin(id.index()));
        }
    }

    /// An answer is about to be sent: whether a GOAWAY goes with it, after which no stream is served for long.
    ///
    /// Source: Envoy's `ConnectionManagerImpl::startDrainSequence` and `onDrainTimeout`.
    #[cold]
    pub(super) fn note_goaway(&mut self, id: Id<Attempt>) {
        let attempt = Attempt { sent_at: self.now, ..self.attempts[id] };
        if !attempt.call.is_none() && self.is_drained(&attempt) && self.is_multiplexed(&attempt) {
            self.keep_alive.goaways.entry(attempt.connection).or_insert(self.now);
        }
    }

    /// Whether a stream came after the last GOAWAY of its connection.
    fn is_after_goaway(&self, attempt: &Attempt) -> bool {
        let first = self.keep_alive.goaways.get(&attempt.connection);
        first.is_some_and(|first| first.saturating_add(DRAIN_TIMEOUT) <= self.now)
    }

    /// Whether a GOAWAY was sent with an answer, or before it.
    pub(super) fn has_goaway(&self, attempt: &Attempt) -> bool {
        let first = self.keep_alive.goaways.get(&attempt.connection);
        first.is_some_and(|first| *first <= attempt.sent_at)
    }

    fn is_multiplexed(&self, attempt: &Attempt) -> bool {
        self.protocol_of(attempt) == Protocol::Http2
    }

    /// A connection is gone.
    pub(super) fn forget_goaway(&mut self, id: Id<Connection>) {
        self.keep_alive.goaways.remove(&id);
    }

    /// The client hears of it. What it has sent meanwhile meets its fate at the server.
    pub(super) fn fin(&mut self, slot: u32) {
        let Some(id) = self.live_connection(slot) else { return };
        let client = self.upstreams[self.connections[id].upstream as usize].pod;
        if let Some(later) = self.thaws_at(client, false) {
            self.connections[id].pending += 1;
            self.queue.at(later, Event::Fin(slot).pack());
            return self.stale();
        }
        if self.connections[id].streams == 0 {
            self.close_connection(id);
        } else {
            self.retire_connection(id);
        }
    }

    /// A request reaches an app on a connection: whether the app has closed it, which is seen to.
    #[cold]
    pub(super) fn meets_closed(&mut self, id: Id<Attempt>) -> bool {
        let attempt = self.attempts[id];
        let connection = attempt.connection;
        if !attempt.call.is_none() && self.is_after_goaway(&attempt) {
            self.answer(id, Outcome::failure(Details::RemoteRefusedStream));
            // Its client has heard by now that it is of no use.
            self.retire_connection(connection);
            return true;
        }
        let requests = match self.keep_alive.connections.get(&connection) {
            Some(Use::Busy(requests)) => *requests,
            _ => 0,
        };
        if !self.forget_idle(connection) {
            let limit = self.workloads[attempt.workload.index()].behaviour.idle_close;
            if !limit.is_zero() && self.connections.get(connection).is_some() {
                self.keep_alive.connections.insert(connection, Use::Busy(requests + 1));
            }
            return false;
        }
        match self.protocol_of(&attempt) {
            Protocol::Http2 if !attempt.call.is_none() => {
                self.answer(id, Outcome::failure(Details::RemoteRefusedStream));
            }
            _ => self.break_attempt(id),
        }
        true
    }

    /// A sidecar hands a request to its app: whether the app listens, and had not closed the connection
    /// when the request got there. If not, the sidecar answers; what was written is not tried again.
    #[cold]
    pub(super) fn app_takes(&mut self, id: Id<Attempt>) -> bool {
        if self.linkerd.is_some() && !self.let_in_by_linkerd(id) {
            return false;
        }
        let pod = self.attempts[id].pod;
        let workload = self.pods[pod as usize].workload;
        let Behaviour { port, idle_close, .. } = self.workloads[workload.index()].behaviour;
        if port != Port::Listens {
            self.answer_for_app(id);
            return false;
        }
        let Some(idle) = self.keep_alive.sidecars.get_mut(&pod) else { return true };
        let Some(last) = idle.pop() else { return true };
        if idle_close.is_zero() || self.now < last + idle_close {
            return true;
        }
        // The others were idle for longer still.
        idle.clear();
        let proxy = &self.plan.parameters.proxy;
        let knows = proxy.server_request + proxy.loopback <= self.now.since(last + idle_close);
        if !knows {
            self.fail_for_app(id);
        }
        knows
    }

    /// The processes of a pod have ended, and their connections with them.
    pub(super) fn forget_processes(&mut self, pod: u32) {
        self.keep_alive.sidecars.remove(&pod);
        let attempts = &self.attempts;
        self.unread.retain(|id, _| attempts.get(*id).is_some());
    }
}
