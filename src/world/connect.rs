//! Connections being opened; what becomes of open ones stands in `connection`. Certificates are looked at here, at the
//! handshake, and nowhere else.
//! Opening takes a round trip for TCP, one more for TLS 1.3, and work on both sides; a lost SYN is sent again after 1, 3, 7 s.
//!
//! Source: measured on Envoy 1.40 (families e08, e13, e14); RFC 8446, RFC 6298.
//! Left out: 0-RTT; half-closed connections; what TCP alone costs.

use super::World;
use super::client::purpose;
use super::event::Event;
use super::network::Transit;
use super::overload::is_closed_at_door;
use super::security::{Cost, Ends};
use super::state::{Attempt, Connection, Link};
use crate::kernel::queue::{Ticket, TimerId};
use crate::kernel::slab::Id;
use crate::kernel::stream::Key;
use crate::kernel::time::Duration;
use crate::model::identity::handshake::{Client, HandshakeResult, handshake};
use crate::model::identity::ticket::Ticket as SessionTicket;
use crate::plan::behaviour::Port;
use crate::plan::universe::WorkloadId;
use crate::vocabulary::cause::CauseId;
use crate::vocabulary::fact::FactKind;
use crate::vocabulary::outcome::{Details, Outcome};
use crate::vocabulary::transport::TransportFailure;

impl World<'_> {
    // === waiting for one ===

    /// An attempt waits for a connection; one is opened for it if the breaker allows.
    pub(super) fn wait_for_connection(&mut self, id: Id<Attempt>, open: bool) {
        let Attempt { upstream: index, host, worker, .. } = self.attempts[id];
        let upstream = &mut self.upstreams[index as usize];
        upstream.gauges.pending += 1;
        upstream.hosts[host as usize].pools[worker as usize].wait(id);
        if open {
            self.open_if_admitted(index, host, worker);
        }
    }

    /// An attempt gives up waiting.
    pub(super) fn stop_waiting(&mut self, id: Id<Attempt>) {
        let Attempt { upstream, host, worker, .. } = self.attempts[id];
        let upstream = &mut self.upstreams[upstream as usize];
        let was_there = upstream.hosts[host as usize].pools[worker as usize].forget(id);
        assert!(was_there, "an attempt that waits is in its pool");
        upstream.gauges.pending -= 1;
    }

    pub(super) fn open_if_admitted(&mut self, index: u32, host: u32, worker: u8) {
        let upstream = &self.upstreams[index as usize];
        let policy = &self.plan.universe.clusters[upstream.cluster.index()].policy;
        let here = upstream.hosts[host as usize].pools[worker as usize].connections;
        if upstream.gauges.admits_connection(&policy.breaker, here) {
            let _opened = self.open_connection(index, host, worker);
        }
    }

    // === opening ===

    pub(super) fn open_connection(&mut self, index: u32, host: u32, worker: u8) -> Id<Connection> {
        self.count(index, |counters| counters.connections += 1);
        let upstream = &mut self.upstreams[index as usize];
        upstream.gauges.connections += 1;
        upstream.opened += 1;
        let client = &self.pods[upstream.pod as usize];
        let cluster = self.compiled.clusters[upstream.cluster.index()].hash;
        let key = Key(client.hash).child(0).0 ^ cluster;
        let key = Key(key ^ self.seed).child(upstream.opened);
        let endpoint = &mut upstream.hosts[host as usize];
        let pool = &mut endpoint.pools[worker as usize];
        pool.connections += 1;
        pool.opening += 1;
        let pod = endpoint.pod;
        let ends = Ends { client: upstream.pod, cluster: upstream.cluster, server: pod };
        let parties = self.parties(ends);
        let is_multiplexed = self.carries_many(index, host);
        let upstream = &mut self.upstreams[index as usize];
        let session = &mut upstream.session;
        let resumed = parties.and_then(|parties| SessionTicket::redeem(session, self.now, parties));
        let server = &self.pods[pod as usize];
        let server_worker = server.workers.pick(key.draw(0, purpose::SERVER_WORKER));
        let lane = self.compiled.clusters[upstream.cluster.index()].connect_timeout;
        let id = self.connections.insert(Connection {
            link: Link::Opening,
            pending: 0,
            upstream: index,
            host,
            worker,
            server_worker: u8::try_from(server_worker).unwrap_or(u8::MAX),
            is_draining: false,
            is_rejected: false,
            is_encrypted: false,
            is_multiplexed,
            stays: is_multiplexed && self.linkerd.is_some(),
            pod,
            birth: server.birth,
            place: super::state::NONE,
            client_place: u32::try_from(upstream.connections.len()).expect("few connections"),
            streams: 0,
            streams_max: if is_multiplexed { upstream.policy.pool.max_streams.max(1) } else { 1 },
            requests: 0,
            syns: 0,
            timer: TimerId::NONE,
            churn: Ticket::NONE,
            resumed,
            key,
        });
        upstream.connections.push(id);
        let timer = self.queue.after_lane(lane, Event::ConnectTimeout(id.index()).pack());
        self.connections[id].timer = timer;
        if self.ztunnels.knows_all() || !self.waits_for_workload(id) {
            self.send_syn(id);
        }
        id
    }

    pub(super) fn send_syn(&mut self, id: Id<Connection>) {
        let connection = &mut self.connections[id];
        connection.pending += 1;
        connection.syns += 1;
        let connection = *connection;
        let client = self.upstreams[connection.upstream as usize].pod;
        let rto = self.plan.parameters.network.syn_rto;
        let key = connection.key;
        let number = u32::from(connection.syns);
        let loss = || key.draw(number, purpose::LOSS_OUT);
        match self.transit(client, connection.pod, 0, loss, rto) {
            Transit::Sent { path, late } => {
                self.connections[id].link = Link::Opening;
                let draw = || key.draw(0, purpose::LINK_OUT);
                self.over(path, late, draw, Event::Syn(id.index()));
            }
            Transit::Swallowed => self.resend_syn(id),
        }
    }

    /// The SYN was swallowed: another one follows, while the connect timeout lasts.
    pub(super) fn resend_syn(&mut self, id: Id<Connection>) {
        let connection = &mut self.connections[id];
        connection.link = Link::Swallowed;
        let doublings = u32::from(connection.syns - 1).min(16);
        let wait = self.plan.parameters.network.syn_rto * (1 << doublings);
        self.queue.after(wait, Event::Syn(id.index()).pack());
    }

    /// The connection that an event names, if it is not closed.
    pub(super) fn live_connection(&mut self, slot: u32) -> Option<Id<Connection>> {
        let (id, connection) =
            self.connections.at_mut(slot).expect("a connection with a pending event");
        connection.pending -= 1;
        if connection.link != Link::Closed {
            return Some(id);
        }
        if connection.pending == 0 {
            self.connections.remove(id);
        }
        self.stale();
        None
    }

    /// The SYN reaches the endpoint, or the client sends another.
    pub(super) fn syn(&mut self, slot: u32) {
        let Some(id) = self.live_connection(slot) else { return };
        let connection = self.connections[id];
        if connection.link == Link::Swallowed {
            return self.send_syn(id);
        }
        let client = self.upstreams[connection.upstream as usize].pod;
        let port = self.port_of(connection.pod);
        if self.thaws_at(connection.pod, false).is_some()
            || port == Port::Swallows
            || self.is_swallowed(connection.pod, client)
        {
            self.connections[id].pending += 1;
            return self.resend_syn(id);
        }
        let is_same = self.pods[connection.pod as usize].birth == connection.birth;
        let accepts = port == Port::Listens
            && self.is_listening(connection.pod)
            && !self.is_shut(connection.pod);
        if accepts && self.compiled.has.client_connections && !self.is_let_in(id) {
            return;
        }
        // A pod that came back listens for connections that were meant for it before.
        let record = &mut self.connections[id];
        record.birth =
            if is_same { record.birth } else { self.pods[connection.pod as usize].birth };
        record.link = if accepts { Link::Accepted } else { Link::Refused };
        if accepts {
            let serving = &mut self.pods[connection.pod as usize].serving;
            record.place = u32::try_from(serving.len()).expect("few connections");
            serving.push(id);
            if self.has_odd_apps && self.hears_no_handshake(self.ends(&connection)) {
                // Only the connect timeout ends it.
                return;
            }
        }
        self.connections[id].pending += 1;
        let extra = if accepts { self.handshake_time(id, client) } else { Duration::ZERO };
        let workload = self.pods[connection.pod as usize].workload;
        let extra = extra + self.connect_delay(connection.upstream, workload);
        let key = connection.key;
        let (from, to) = (self.pods[connection.pod as usize].node, self.pods[client as usize].node);
        let path = self.network.path(from, to);
        let draw = || key.draw(0, purpose::LINK_BACK);
        self.over(path, extra, draw, Event::Connected(slot));
    }

    /// How much longer a connection to an endpoint takes to open.
    fn connect_delay(&self, upstream: u32, workload: WorkloadId) -> Duration {
        let cluster = self.upstreams[upstream as usize].cluster;
        let own = self.plan.cluster_endpoints.get(&(cluster, workload));
        let usual = self.workloads[workload.index()].behaviour.connect_delay;
        own.and_then(|own| own.connect_delay).unwrap_or(usual)
    }

    /// What becomes of connections to a pod: its sidecar takes them, whatever the app does.
    pub(super) fn port_of(&self, pod: u32) -> Port {
        let pod = &self.pods[pod as usize];
        if pod.has_sidecar {
            Port::Listens
        } else {
            self.workloads[pod.workload.index()].behaviour.port
        }
    }

    fn is_swallowed(&self, a: u32, b: u32) -> bool {
        self.transit(a, b, 0, || 0, Duration::ZERO) == Transit::Swallowed
    }

    /// What TLS adds to a connection: round trips and work on both sides.
    fn handshake_time(&mut self, id: Id<Connection>, client: u32) -> Duration {
        let connection = self.connections[id];
        let cost = self.handshake_cost(self.ends(&connection), connection.resumed.is_some());
        let Some(Cost { client: ours, server: theirs, round_trips }) = cost else {
            return Duration::ZERO;
        };
        self.control.counts.handshakes += 1;
        let now = self.now;
        self.recorder.shook_hands(now, ours + theirs);
        let mut on = |pod: u32, worker: u8, work: Duration| {
            if self.pods[pod as usize].takes_cores_of_app() {
                return self.shake_hands_on_cores(pod, work);
            }
            let workers = &mut self.pods[pod as usize].workers;
            workers.run(u32::from(worker), now, work, Duration::ZERO).since(now)
        };
        // Our worker's turn may come while theirs is still at work.
        let server = on(connection.pod, connection.server_worker, theirs);
        let waited = on(client, connection.worker, ours).saturating_sub(ours);
        let cpu = server.max(waited) + ours;
        let (a, b) = (self.pods[client as usize].node, self.pods[connection.pod as usize].node);
        let key = connection.key;
        (1..=round_trips).fold(cpu, |time, number| {
            let there = self.one_way(a, b, key.draw(number, purpose::LINK_OUT));
            time + there + self.one_way(b, a, key.draw(number, purpose::LINK_BACK))
        })
    }

    /// The connection is up, or refused.
    pub(super) fn connected(&mut self, slot: u32) {
        let Some(id) = self.live_connection(slot) else { return };
        let connection = self.connections[id];
        let client = self.upstreams[connection.upstream as usize].pod;
        let server = &self.pods[connection.pod as usize];
        if connection.link == Link::Refused || server.birth != connection.birth {
            let cause = self.dead_end_cause(client, connection.pod);
            let details = [Details::ConnectionRefused, Details::HandshakeClosed];
            return self.fail_connection(id, details[usize::from(connection.is_rejected)], cause);
        }
        let Some(result) = self.shake_hands(id, client) else { return };
        self.queue.cancel(connection.timer);
        let index = connection.upstream;
        let cluster = self.upstreams[index as usize].cluster;
        self.pool(&connection).opening -= 1;
        let record = &mut self.connections[id];
        record.link = Link::Open;
        record.is_encrypted = result == HandshakeResult::Established;
        record.is_rejected |= matches!(result, HandshakeResult::Rejected { .. });
        self.ledger.connections_open += 1;
        record.timer = TimerId::NONE;
        let compiled = &self.compiled.clusters[cluster.index()];
        let churn = compiled.churn.as_ref();
        let churned = churn.map(|churn| churn.sample(connection.key.draw(0, purpose::CHURN)));
        let aged = (!compiled.max_duration.is_zero()).then_some(compiled.max_duration);
        if let Some(life) = churned.into_iter().chain(aged).min() {
            let at = self.now.saturating_add(life);
            if at < self.end {
                record.churn = self.queue.at(at, Event::Churn(slot).pack());
            }
        }
        self.note_late_connection(index, connection.pod);
        self.pool(&connection).offer(id);
        self.serve_waiting(id);
        if self.linkerd.is_some() && self.endpoint_is_up(id) {
            return;
        }
        self.close_if_rejected(id);
    }

    /// The handshake of a connection whose endpoint has accepted it; none if it failed.
    fn shake_hands(&mut self, id: Id<Connection>, client: u32) -> Option<HandshakeResult> {
        let connection = self.connections[id];
        let meeting = self.meeting(self.ends(&connection), self.now, connection.resumed.is_some());
        let result = handshake(meeting);
        match result {
            HandshakeResult::Plaintext => {}
            HandshakeResult::Established => self.keep_ticket(id),
            HandshakeResult::Failed { details, logged } => {
                let cause = self.blame(self.ends(&connection), result);
                self.log_transport(connection.pod, logged);
                self.note_failed_handshake(client, connection.pod, details.text());
                self.fail_connection(id, details, cause);
                return None;
            }
            HandshakeResult::Rejected { logged } => {
                self.log_transport(connection.pod, logged);
                let why = match logged {
                    Some(TransportFailure::Expired) => "client certificate expired",
                    Some(failure) => failure.text(),
                    None => "plaintext to a port that takes mutual TLS only",
                };
                self.note_failed_handshake(client, connection.pod, why);
            }
        }
        if self.access.is_some() {
            self.count_handshake(id);
        }
        Some(result)
    }

    /// The client takes a TLS handshake for complete, also one that the server of TLS 1.3 then refuses.
    #[cold]
    fn count_handshake(&mut self, id: Id<Connection>) {
        let connection = self.connections[id];
        let client = self.meeting(self.ends(&connection), self.now, false).client;
        if !matches!(client, Client::Plaintext { .. }) {
            self.count(connection.upstream, |counters| {
                counters.handshakes += 1;
                counters.resumptions += u64::from(connection.resumed.is_some());
            });
        }
    }

    /// The server closes what it has refused, whether a request comes or not; plain HTTP/1.1 it
    /// refuses when the request comes.
    fn close_if_rejected(&mut self, id: Id<Connection>) {
        let Some(connection) = self.connections.get(id) else { return };
        if connection.is_rejected && connection.streams == 0 && connection.link == Link::Open {
            let ends = self.ends(connection);
            let client = self.meeting(ends, self.now, false).client;
            if is_closed_at_door(connection) || client != (Client::Plaintext { is_h2: false }) {
                self.close_connection(id);
            }
        }
    }

    fn note_failed_handshake(&mut self, client: u32, server: u32, why: &'static str) {
        self.control.counts.handshakes_failed += 1;
        self.fact_of(FactKind::HandshakeFailed, client, |world| {
            format!("to {}: {why}", world.pod_name(server))
        });
    }

    /// A connection could not be made: everyone who waits for this endpoint fails with it.
    pub(super) fn fail_connection(
        &mut self,
        id: Id<Connection>,
        why: Details,
        by: Option<CauseId>,
    ) {
        let connection = self.connections[id];
        if self.linkerd.is_some() {
            self.note_loss(connection.upstream, by);
        }
        if !connection.timer.is_none() {
            self.queue.cancel(connection.timer);
            self.connections[id].timer = TimerId::NONE;
        }
        self.pool(&connection).opening -= 1;
        self.forget_connection(id);
        self.count(connection.upstream, |counters| {
            counters.connect_fails += 1;
            counters.connect_timeouts += u64::from(why == Details::ConnectionTimeout);
        });
        let outcome = Outcome::failure(self.seen_through_ztunnel(&connection, why));
        // Who comes back to this pool within the loop (an app without a proxy) waits for its own.
        for _ in 0..self.pool(&connection).waiting() {
            let Some(attempt) = self.pool(&connection).next_waiting() else { break };
            let call = self.attempts[attempt].call;
            self.upstreams[connection.upstream as usize].gauges.pending -= 1;
            self.judge_endpoint(connection.upstream, connection.host, outcome, false);
            self.close_attempt(attempt);
            self.fail_try(call, outcome, by);
        }
        self.free_host(connection.upstream, connection.host);
    }
}
