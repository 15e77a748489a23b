//! Overload of proxies: what becomes of their clients' connections, other proxies' as well as those that come
//! from outside to a gateway.
//!
//! ```text
//! a connection comes ── too many, or rejected ──> accepted and closed: UC in the clear, UF with TLS
//!        │           └─ the listener stands still ─> waits in the kernel's queue, as long as the client does
//!        └─> open ── an answer with connection: close, or GOAWAY (keep-alive is off)
//!               └─── idle for long: GOAWAY, or closed 5 s later over HTTP/1.1
//! ```
//!
//! Source: Envoy's `tcp_listener_impl.cc` and `active_tcp_listener.cc` (accepted, then closed; the limit of the
//! process is asked first), `worker_impl.cc` (listeners stand still only while the action is saturated),
//! `conn_manager_impl.cc` (`overload_disable_keepalive_ref_`: each answer draws; `onIdleTimeout` begins a drain,
//! which lasts `drain_timeout`); `connection_handler_impl.cc` (the limit of a listener is that of all workers). A
//! client that is closed before its TLS handshake has not connected (`ActiveClient::onEvent`).
//! Left out: the connections of an app to its own sidecar, which count for the process; that a connection in the
//! clear is open to its client while it waits in the kernel's queue; timeouts other than that of idle connections;
//! the 5 s that a drain gives to clients from outside.

use super::World;
use super::client::purpose;
use super::event::Event;
use super::listeners::DRAIN_TIMEOUT;
use super::state::{Attempt, Call, Connection, Held, Link, NONE};
use crate::kernel::queue::Ticket;
use crate::kernel::slab::Id;
use crate::kernel::stream::uniform;
use crate::kernel::time::{Duration, Time};
use crate::model::identity::handshake::Client;
use crate::model::proxy::filter::overload::reduced;
use crate::plan::Plan;
use crate::plan::filter::{Filter, Monitor, Overload, OverloadAction};
use crate::vocabulary::outcome::{Details, Outcome};
use std::collections::BTreeMap;

/// Connections that wait for each worker in the kernel: Envoy's `tcp_backlog_size`, which is Linux's default.
const BACKLOG: usize = 128;

/// What a proxy under pressure does with connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Doors {
    /// When it next looks, or closes idle connections.
    wakes: Option<(Time, Ticket)>,
    /// Who waits in the kernel's queue.
    connections: Vec<Id<Connection>>,
    calls: Vec<Id<Call>>,
    /// Since when connections are idle, and after how many requests.
    idle: BTreeMap<Id<Connection>, (u32, Time)>,
}

/// What becomes of a connection that comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Door {
    Open,
    Closes,
    Waits,
}

impl World<'_> {
    /// The connections of a proxy's clients, of those that it has accepted.
    pub(super) fn client_connections(&self, pod: u32) -> usize {
        let outside = self.listeners.get(&pod).map_or(0, super::listeners::Listener::open);
        self.pods[pod as usize].serving.len() + outside
    }

    /// How strong an action is at a pod's proxy, by the strongest of its triggers.
    fn strength(&self, pod: u32, at: Time, of: impl Fn(OverloadAction) -> bool) -> f64 {
        let Some(state) = self.filters.of_pods.get(&pod) else { return 0.0 };
        let strong = self.overloads(pod).filter(|(_, policy)| of(policy.action));
        let strong = strong.filter_map(|(place, _)| state.shedding.get(&place));
        strong.map(|one| one.pressure.strength_at(at)).fold(0.0, f64::max)
    }

    fn door(&mut self, pod: u32, draw: u64) -> Door {
        self.wake_overload(pod);
        let workload = &self.plan.universe.workloads[self.pods[pod as usize].workload.index()];
        let open = self.client_connections(pod);
        let full = |filter: &Filter| matches!(filter, Filter::ConnectionLimit(limit) if !limit.admits(open));
        let now = self.now;
        if 1.0 <= self.strength(pod, now, |action| action == OverloadAction::StopConnections) {
            Door::Waits
        } else if workload.filters.iter().chain(&workload.inbound).any(full)
            || uniform(draw)
                < self.strength(pod, now, |action| action == OverloadAction::RejectConnections)
        {
            Door::Closes
        } else {
            Door::Open
        }
    }

    /// A connection of another proxy comes: whether it is let in. If not, it is seen to.
    #[cold]
    pub(super) fn is_let_in(&mut self, id: Id<Connection>) -> bool {
        let connection = self.connections[id];
        let pod = connection.pod;
        match self.door(pod, connection.key.draw(0, purpose::AT_DOOR)) {
            Door::Open => return true,
            Door::Waits => {
                let waiting = &mut self.filter_state(pod).doors.connections;
                if waiting.len() < BACKLOG * self.pods[pod as usize].workers.count() {
                    self.filter_state(pod).doors.connections.push(id);
                } else {
                    self.connections[id].pending += 1;
                    self.resend_syn(id);
                }
            }
            Door::Closes => {
                let client = self.meeting(self.ends(&connection), self.now, false).client;
                let is_clear = matches!(client, Client::Plaintext { .. });
                let birth = self.pods[pod as usize].birth;
                let record = &mut self.connections[id];
                record.birth = birth;
                record.is_rejected = true;
                record.link = if is_clear { Link::Accepted } else { Link::Refused };
                record.pending += 1;
                let client = self.upstreams[connection.upstream as usize].pod;
                let (from, to) = (&self.pods[pod as usize], &self.pods[client as usize]);
                let path = self.network.path(from.node, to.node);
                let draw = || connection.key.draw(0, purpose::LINK_BACK);
                self.over(path, Duration::ZERO, draw, Event::Connected(id.index()));
            }
        }
        false
    }

    /// A client from outside opens a connection to a gateway for its request: whether it gets one. If not, the
    /// request waits, or is over.
    #[cold]
    pub(super) fn lets_client_in(&mut self, id: Id<Call>) -> bool {
        let Call { pod, key, .. } = self.calls[id];
        match self.door(pod, key.draw(0, purpose::AT_DOOR)) {
            Door::Open => true,
            Door::Waits => {
                self.calls[id].held = Held::AtDoor;
                let waiting = &mut self.filter_state(pod).doors.calls;
                if waiting.len() < BACKLOG * self.pods[pod as usize].workers.count() {
                    self.filter_state(pod).doors.calls.push(id);
                } else {
                    self.calls[id].pending += 1;
                    let wait = self.plan.parameters.network.syn_rto;
                    self.queue.after(wait, Event::Routed(id.index()).pack());
                }
                false
            }
            Door::Closes => {
                self.calls[id].held = Held::AtDoor;
                self.end_early(id, Outcome::failure(Details::ConnectionTermination));
                false
            }
        }
    }

    /// Whether the proxy of a pod closes the connection of an answer because it has too much to do.
    #[cold]
    pub(super) fn keeps_no_connection(&self, pod: u32, at: Time, draw: u64) -> bool {
        let off = self.strength(pod, at, |action| action == OverloadAction::DisableKeepAlive);
        uniform(draw) < off
    }

    // === idle connections ===

    /// After how long the idle connections of a proxy's clients are closed, where that depends.
    pub(super) fn client_idle_timeout(&self, pod: u32) -> Option<Duration> {
        let state = self.filters.of_pods.get(&pod)?;
        let each = self.overloads(pod).filter_map(|(place, policy)| {
            let OverloadAction::ReduceTimeouts { idle, least } = policy.action else { return None };
            let strength = state.shedding.get(&place).map_or(0.0, |one| one.pressure.strength());
            Some(reduced(idle, least, strength))
        });
        each.min()
    }

    /// An answer leaves a sidecar: its connection is idle then, if it was the only one. Whether it was idle for
    /// so long before that its proxy has begun to close it.
    #[cold]
    pub(super) fn notes_idle(&mut self, attempt: &Attempt) -> bool {
        let Some(timeout) = self.client_idle_timeout(attempt.pod) else { return false };
        let Some(connection) = self.connections.get(attempt.connection) else { return false };
        let (is_last, requests) = (connection.streams == 1, connection.requests);
        let idle = &mut self.filter_state(attempt.pod).doors.idle;
        let last = idle.remove(&attempt.connection);
        if is_last {
            idle.insert(attempt.connection, (requests, attempt.sent_at));
            self.wake_by(attempt.pod, attempt.sent_at.saturating_add(timeout));
        }
        last.is_some_and(|(_, since)| since.saturating_add(timeout) <= attempt.arrived)
    }

    /// Closes what was idle for long; when the next one is due.
    fn close_idle(&mut self, pod: u32) -> Option<Time> {
        let timeout = self.client_idle_timeout(pod)?;
        let now = self.now;
        let outside = self.listeners.get_mut(&pod).and_then(|one| one.close_idle(now, timeout));
        let mut idle = std::mem::take(&mut self.filter_state(pod).doors.idle);
        idle.retain(|id, _| self.connections.get(*id).is_some_and(|one| one.link == Link::Open));
        for id in self.pods[pod as usize].serving.clone() {
            let connection = &self.connections[id];
            if connection.streams != 0 {
                idle.remove(&id);
            } else if idle.get(&id).is_none_or(|(after, _)| *after != connection.requests) {
                idle.insert(id, (connection.requests, now));
            }
        }
        let mut next = outside;
        let all: Vec<_> = idle.iter().map(|(id, (_, since))| (*id, *since)).collect();
        for (id, since) in all {
            let is_h2 = self.connections[id].is_multiplexed;
            let wait = if is_h2 { timeout } else { timeout + DRAIN_TIMEOUT };
            let due = since.saturating_add(wait);
            if now < due {
                next = next.into_iter().chain([due]).min();
                continue;
            }
            idle.remove(&id);
            self.close_from_server(id, is_h2);
        }
        self.filter_state(pod).doors.idle = idle;
        next
    }

    // === looks ===

    /// The proxy is at work: it looks at its pressure from now on.
    pub(super) fn wake_overload(&mut self, pod: u32) {
        if self.filters.of_pods.get(&pod).is_none_or(|state| state.doors.wakes.is_none()) {
            self.sleep(pod, None);
        }
    }

    /// Until the next look, or an earlier time.
    fn sleep(&mut self, pod: u32, earlier: Option<Time>) {
        let policies = self.overloads(pod).filter(|(_, policy)| has_clock(policy));
        let looks: Vec<_> = policies.collect();
        let looks = looks.into_iter().map(|(place, policy)| self.next_look(pod, place, policy));
        if let Some(at) = looks.chain(earlier).min() {
            self.wake_at(pod, at);
        }
    }

    /// A client's connection is idle since then.
    #[cold]
    pub(super) fn wake_by_idle(&mut self, pod: u32, since: Time) {
        if let Some(timeout) = self.client_idle_timeout(pod) {
            self.wake_by(pod, since.saturating_add(timeout));
        }
    }

    fn wake_by(&mut self, pod: u32, at: Time) {
        let wakes = self.filter_state(pod).doors.wakes;
        if wakes.is_some_and(|(wakes, _)| at < wakes) {
            self.wake_at(pod, at.max(self.now));
        }
    }

    fn wake_at(&mut self, pod: u32, at: Time) {
        let ticket = self.queue.at(at, Event::OverloadLook(pod).pack());
        self.filter_state(pod).doors.wakes = Some((at, ticket));
    }

    /// A proxy looks at its pressure, and does what follows for its connections.
    pub(super) fn overload_look(&mut self, pod: u32, ticket: Ticket) {
        let wakes = self.filters.of_pods.get(&pod).and_then(|state| state.doors.wakes);
        if wakes.is_none_or(|(_, expected)| expected != ticket) {
            return self.stale();
        }
        if let Some(later) = self.thaws_at(pod, false) {
            return self.wake_at(pod, later);
        }
        // By the timeout that was in force until now.
        let _ = self.close_idle(pod);
        let policies: Vec<_> = self.overloads(pod).collect();
        for (place, policy) in policies {
            self.look_if_due(pod, place, policy);
        }
        let stands = self.strength(pod, self.now, |one| one == OverloadAction::StopConnections);
        if stands < 1.0 {
            self.release(pod);
        }
        let next = self.close_idle(pod);
        self.sleep(pod, next);
    }

    /// Who waits in the kernel's queue is looked at again: in its order, by connections, then by calls.
    fn release(&mut self, pod: u32) {
        let doors = &mut self.filter_state(pod).doors;
        let connections = std::mem::take(&mut doors.connections);
        let calls = std::mem::take(&mut doors.calls);
        for id in connections {
            if self.connections.get(id).is_some_and(|one| one.link != Link::Closed) {
                self.connections[id].pending += 1;
                self.queue.at(self.now, Event::Syn(id.index()).pack());
            }
        }
        for id in calls {
            if self.calls.get(id).is_some_and(|one| !one.is_over) {
                self.calls[id].pending += 1;
                self.queue.at(self.now, Event::Routed(id.index()).pack());
            }
        }
    }

    /// A proxy ends: who waited for it hears of that.
    pub(super) fn open_doors(&mut self, pod: u32) {
        if self.filters.of_pods.contains_key(&pod) {
            self.release(pod);
        }
    }
}

/// Whether a connection was closed by its server as soon as it was accepted.
pub(super) const fn is_closed_at_door(connection: &Connection) -> bool {
    connection.is_rejected && connection.place == NONE
}

/// Whether a policy is looked at by the clock, not only when a request comes.
fn has_clock(policy: &Overload) -> bool {
    policy.action != OverloadAction::StopRequests || policy.monitor == Monitor::Cpu
}

fn is_of_connections(filter: &Filter) -> bool {
    match filter {
        Filter::ConnectionLimit(_) => true,
        Filter::Overload(policy) => {
            has_clock(policy) || matches!(policy.monitor, Monitor::Connections(_))
        }
        _ => false,
    }
}

/// Whether some proxy looks at the connections of its clients, or by the clock.
pub(super) fn matters(plan: &Plan) -> bool {
    let all = plan.universe.workloads.iter();
    all.flat_map(|one| one.filters.iter().chain(&one.inbound)).any(is_of_connections)
}

/// The same, of a gateway.
pub(super) fn matters_outside(plan: &Plan) -> bool {
    let mut all = plan.universe.workloads.iter().flat_map(|one| &one.filters);
    all.any(is_of_connections)
}
