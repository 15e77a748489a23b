//! Open connections: used by requests, drained, closed, and taken off the books.
//!
//! Source: measured on Envoy 1.40 (families e04, e11, e13, e14).
//! Left out: half-closed connections; GOAWAY of a client's own limits, which it just follows. Those that servers
//! close stand in `keep_alive` and `overload`, drains in `listeners`.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]
use super::World;
use super::client::purpose;
use super::event::Event;
use super::overload::is_closed_at_door;
use super::security::Ends;
use super::state::{Attempt, Connection, IdleTimeout, Link, Phase};
use crate::kernel::queue::{Queue, Ticket, TimerId};
use crate::kernel::slab::Id;
use crate::kernel::time::Duration;
use crate::model::identity::handshake::HandshakeResult;
use crate::plan::policy::ConnectionPool;
use crate::vocabulary::outcome::Details;

impl Connection {
    /// A request takes a stream of the connection; whether there is room for another.
    #[inline(always)]
    pub(super) fn takes_more(&mut self, policy: &ConnectionPool) -> bool {
        self.streams += 1;
        self.requests += 1;
        let is_last = policy.max_requests != 0 && policy.max_requests <= self.requests;
        self.is_draining |= is_last;
        self.streams < self.streams_max && !self.is_draining
    }
}

impl IdleTimeout {
    /// The timer of a connection that is idle from now on, if it has one.
    #[inline(always)]
    fn set(self, queue: &mut Queue, id: Id<Connection>) -> Option<TimerId> {
        let event = Event::IdleTimeout(id.index()).pack();
        match self {
            Self::OfWorld(lane) => Some(queue.after_lane(lane, event)),
            Self::OfTraffic(lane) => Some(queue.after_pausable(lane, event)),
            Self::Never => None,
        }
    }
}

impl World<'_> {
    /// A stream of the connection ends, completely or by a reset.
    #[inline(always)]
    pub(super) fn release_connection(&mut self, id: Id<Connection>, is_complete: bool) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.link == Link::Closed {
            return;
        }
        connection.streams -= 1;
        let upstream = &mut self.upstreams[connection.upstream as usize];
        let host = &mut upstream.hosts[connection.host as usize];
        // An endpoint that left the list gets no more requests, but those who wait for it.
        connection.is_draining |= !host.is_member && host.waiting() == 0;
        let is_h1 = !connection.is_multiplexed;
        if (!is_complete && is_h1) || (connection.is_draining && connection.streams == 0) {
            return self.close_connection(id);
        }
        if connection.is_draining {
            return;
        }
        let pool = &mut host.pools[connection.worker as usize];
        if is_h1 || connection.streams + 1 == connection.streams_max {
            pool.offer(id);
        }
        if pool.waiting() != 0 || !host.is_member {
            self.serve_waiting(id);
        } else if connection.streams == 0
            && !connection.stays
            && let Some(timer) = upstream.idle_timeout.set(&mut self.queue, id)
        {
            connection.timer = timer;
        }
    }

    /// Those who wait get the connection's free streams; if nobody does, it is idle.
    pub(super) fn serve_waiting(&mut self, id: Id<Connection>) {
        loop {
            let Some(connection) = self.connections.get(id) else { return };
            if connection.link != Link::Open {
                return;
            }
            let upstream = &mut self.upstreams[connection.upstream as usize];
            let host = &mut upstream.hosts[connection.host as usize];
            let pool = &mut host.pools[connection.worker as usize];
            if pool.waiting() == 0 {
                break;
            }
            if !pool.ready().contains(&id) {
                return;
            }
            let attempt = pool.next_waiting().expect("somebody waits");
            upstream.gauges.pending -= 1;
            if upstream.gauges.admits_request(&upstream.policy.breaker) {
                self.attach(attempt, id);
            } else {
                let call = self.attempts[attempt].call;
                self.close_attempt(attempt);
                self.overflow(call, true);
            }
        }
        let connection = &self.connections[id];
        if connection.is_draining || connection.streams != 0 {
            return;
        }
        let upstream = &self.upstreams[connection.upstream as usize];
        if !upstream.hosts[connection.host as usize].is_member {
            return self.close_connection(id);
        }
        if connection.stays {
            return;
        }
        if let Some(timer) = upstream.idle_timeout.set(&mut self.queue, id) {
            self.connections[id].timer = timer;
        }
    }

    /// The server has refused the client: the first request learns it a round trip
    /// later, as a connection that ends without an answer.
    pub(super) fn learn_rejection(&mut self, id: Id<Attempt>) {
        let attempt = self.attempts[id];
        let client = self.upstreams[attempt.upstream as usize].pod;
        let (a, b) = (self.pods[client as usize].node, self.pods[attempt.pod as usize].node);
        let is_closed = is_closed_at_door(&self.connections[attempt.connection]);
        let wait = if is_closed {
            Duration::ZERO
        } else {
            self.one_way(a, b, attempt.key.draw(0, purpose::LINK_OUT))
                + self.one_way(b, a, attempt.key.draw(0, purpose::LINK_BACK))
        };
        let ends = Ends {
            client,
            cluster: self.upstreams[attempt.upstream as usize].cluster,
            server: attempt.pod,
        };
        let refused = HandshakeResult::Rejected { logged: None };
        let cause = if is_closed {
            let service = self.calls.get(attempt.call).map(|call| call.service);
            service.map(|service| self.blamed(Details::HandshakeClosed, service))
        } else {
            self.blame(ends, refused)
        };
        let record = &mut self.attempts[id];
        record.phase = Phase::Broken;
        record.cause = cause;
        record.pending += 1;
        self.queue.after(wait, Event::Reset(id.index()).pack());
    }

    /// A connection was idle for long.
    pub(super) fn idle_timeout(&mut self, slot: u32) {
        let id = self.connections.id_at(slot).expect("the timer of an idle connection");
        self.connections[id].timer = TimerId::NONE;
        self.close_connection(id);
    }

    /// The connection has reached its age, or something outside the mesh closes it. Envoy's
    /// `ActiveClient::onConnectionDurationTimeout` closes a client without streams, and drains others.
    pub(super) fn churn(&mut self, slot: u32, ticket: Ticket) {
        match self.connections.at(slot) {
            Some((id, connection)) if connection.churn == ticket => {
                self.connections[id].churn = Ticket::NONE;
                self.drain_connection(id);
            }
            _ => self.stale(),
        }
    }

    /// The connection takes no more requests and closes when its last one is done.
    pub(super) fn drain_connection(&mut self, id: Id<Connection>) {
        let connection = &mut self.connections[id];
        connection.is_draining = true;
        let connection = *connection;
        if connection.streams == 0 && connection.link == Link::Open {
            self.close_connection(id);
        } else {
            self.pool(&connection).withdraw(id);
            if self.linkerd.is_some() {
                self.endpoint_is_lost(id);
            }
        }
    }

    /// A proxy finds an endpoint ill: its idle connections to it close, the busy ones when they are done.
    ///
    /// Source: Envoy's `ClusterManagerImpl::onHostHealthFailure`, for ejections and failed active health checks
    /// alike; measured on Envoy 1.40 (family e05, where each ejection destroys a connection).
    /// Left out: connections that are being opened and that nobody waits for.
    #[cold]
    pub(super) fn drain_endpoint(&mut self, index: u32, slot: u32) {
        let is_of = |connection: &Connection| {
            connection.host == slot && connection.link == Link::Open && !connection.is_draining
        };
        let all = self.upstreams[index as usize].connections.iter();
        let open: Vec<_> = all.filter(|id| is_of(&self.connections[**id])).copied().collect();
        for id in open {
            if self.connections.get(id).is_some_and(is_of) {
                self.drain_connection(id);
            }
        }
    }

    /// A connection is known to be dead: it takes no more requests, and closes when the last of
    /// those that are on it has learnt it, too.
    pub(super) fn retire_connection(&mut self, id: Id<Connection>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.link == Link::Open {
            connection.is_draining = true;
            let connection = *connection;
            self.pool(&connection).withdraw(id);
            if self.linkerd.is_some() {
                self.endpoint_is_lost(id);
            }
        }
    }

    /// An open connection closes. Attempts that were on it are the caller's concern.
    pub(super) fn close_connection(&mut self, id: Id<Connection>) {
        let connection = self.connections[id];
        debug_assert!(connection.link != Link::Closed, "closed twice");
        self.pool(&connection).withdraw(id);
        self.forget_connection(id);
        let Connection { upstream, host, worker, .. } = connection;
        // Somebody may have waited for this very connection.
        let plan = self.plan;
        let cluster = self.upstreams[upstream as usize].cluster;
        let policy = &plan.universe.clusters[cluster.index()].policy.pool;
        if self.pool(&connection).lacks(policy, 0) {
            self.open_if_admitted(upstream, host, worker);
        }
        if self.clock.is_stopped() {
            self.expect_demand_after(upstream, host, worker);
        }
        self.free_host(upstream, host);
    }

    /// Takes a connection off all books; its record stays while an event names it.
    pub(super) fn forget_connection(&mut self, id: Id<Connection>) {
        let connection = self.connections[id];
        if !connection.timer.is_none() {
            self.queue.cancel(connection.timer);
        }
        if self.linkerd.is_some() {
            self.endpoint_is_lost(id);
        }
        if self.has_odd_apps {
            self.forget_idle(id);
            self.forget_goaway(id);
        }
        self.ledger.connections_open -= u32::from(connection.link == Link::Open);
        let upstream = &mut self.upstreams[connection.upstream as usize];
        upstream.gauges.connections -= 1;
        upstream.connections.swap_remove(connection.client_place as usize);
        if let Some(moved) = upstream.connections.get(connection.client_place as usize) {
            self.connections[*moved].client_place = connection.client_place;
        }
        self.pool(&connection).connections -= 1;
        if connection.place != super::state::NONE {
            let serving = &mut self.pods[connection.pod as usize].serving;
            serving.swap_remove(connection.place as usize);
            if let Some(moved) = serving.get(connection.place as usize) {
                self.connections[*moved].place = connection.place;
            }
        }
        if connection.pending == 0 {
            self.connections.remove(id);
        } else {
            let record = &mut self.connections[id];
            record.link = Link::Closed;
            record.timer = TimerId::NONE;
            record.place = super::state::NONE;
        }
    }

    pub(super) fn pool(
        &mut self,
        connection: &Connection,
    ) -> &mut crate::model::proxy::pool::Pool<Id<Connection>, Id<Attempt>> {
        let upstream = &mut self.upstreams[connection.upstream as usize];
        &mut upstream.hosts[connection.host as usize].pools[connection.worker as usize]
    }

    /// Every connection to a pod ends with it. Those that were being opened find out by
    /// themselves.
    pub(super) fn close_connections_to(&mut self, pod: u32) {
        self.forget_processes(pod);
        for id in self.pods[pod as usize].serving.clone() {
            if self.connections[id].link == Link::Open {
                self.close_connection(id);
            }
        }
    }

    /// Every connection of an upstream ends.
    pub(super) fn close_all_of(&mut self, index: u32) {
        let mut open = self.upstreams[index as usize].connections.clone();
        // An order that does not depend on who left the list before.
        open.sort_unstable();
        for id in open {
            let connection = self.connections[id];
            if connection.link != Link::Open {
                self.pool(&connection).opening -= 1;
            }
            self.pool(&connection).withdraw(id);
            self.forget_connection(id);
        }
    }

    /// Every connection from a pod ends with it, and what it knew of its upstreams.
    pub(super) fn close_connections_from(&mut self, pod: u32) {
        self.forget_linkerd(pod);
        for (_, index) in self.pods[pod as usize].upstreams.clone() {
            self.close_all_of(index);
            self.census.ejected -= self.upstreams[index as usize].ejected;
            self.stop_checks(index);
            self.upstreams[index as usize].forget();
        }
    }
}
