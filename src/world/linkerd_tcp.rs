//! Linkerd and what is no HTTP: a connection of the app has one of its own to an endpoint, and proxies carry bytes.
//!
//! ```text
//! app connects ── destination known? ── the client's first bytes, or 10 s ── queue, 3 s ── endpoint, for good
//!                                                                                └ its proxy waits 10 s as well
//! ```
//!
//! An exchange of the scenario is a request here too, but no proxy sees one: a connection is balanced once, when it
//! is opened; nothing is tried again, no status is judged, and what goes wrong closes the connection: status 0, with the
//! reason as details.
//!
//! Source: linkerd2-proxy linkerd/app/{outbound,inbound}/src/detect.rs; `model::linkerd::detect`.
//! Left out: apps' connections that end while no request is under way hold their destination until a request finds out;
//! `TCPRoute`; the time that the first bytes of clients take; estimates of endpoints by the time of a connection.

use super::World;
use super::client::purpose;
use super::event::Event;
use super::linkerd::Due;
use super::state::{Attempt, Call};
use crate::kernel::slab::Id;
use crate::kernel::stream::Key;
use crate::kernel::time::Duration;
use crate::model::linkerd::detect::{Speaks, detect};
use crate::plan::linkerd::authorization::PortProtocol;
use crate::plan::linkerd::wire::AppProtocol;
use std::collections::BTreeSet;

/// How long it takes to find out what a connection speaks.
fn detection(protocol: AppProtocol, timeout: Duration) -> Duration {
    let (port, speaks) = match protocol {
        AppProtocol::Opaque => (PortProtocol::Opaque, Speaks::Nothing),
        AppProtocol::ServerFirst => (PortProtocol::Unknown, Speaks::Nothing),
        AppProtocol::Tcp => (PortProtocol::Unknown, Speaks::Other(Duration::ZERO)),
        AppProtocol::Http1 | AppProtocol::Http2 | AppProtocol::Grpc => {
            (PortProtocol::Unknown, Speaks::Http(Duration::ZERO))
        }
    };
    detect(port, timeout, speaks).0
}

impl World<'_> {
    /// Whether proxies see no more of a call than bytes.
    pub(super) fn is_of_bytes(&self, id: Id<Call>) -> bool {
        self.app_protocol(self.calls[id].service).is_tcp()
    }

    /// The destination of a connection is known: on the way that it has, or on a new one when the proxy knows that it is
    /// none of HTTP.
    #[cold]
    pub(super) fn carry_bytes(&mut self, id: Id<Call>) {
        if !self.outbound().way(id).is_new && self.goes_its_way(id) {
            return;
        }
        let call = self.calls[id];
        let timeout = self.own().linkerd_outbound.detect_timeout;
        let wait = detection(self.app_protocol(call.service), timeout);
        self.outbound().way(id).is_new = true;
        if wait.is_zero() {
            return self.seek_backend(id);
        }
        let at = self.now.saturating_add(wait);
        self.set_timer(call.pod, at, Due::Detected(id));
    }

    /// The time to detect a protocol is over.
    pub(super) fn client_is_silent(&mut self, id: Id<Call>) -> bool {
        let goes_on = self.is_waiting(id) && self.is_linkerds(id);
        if goes_on {
            self.seek_backend(id);
        }
        goes_on
    }

    /// The app's connection has one to an endpoint: whether it is still there.
    fn goes_its_way(&mut self, id: Id<Call>) -> bool {
        let Call { pod, service, .. } = self.calls[id];
        let own = self.linkerd.as_ref().expect("a mesh of Linkerd");
        let known = own.proxies.get(&pod).and_then(|one| one.destinations.get(&service));
        let found = known.into_iter().flat_map(|one| &one.backends).find_map(|index| {
            let endpoints = &own.balancers.get(index)?.endpoints;
            let hosts = &self.upstreams[*index as usize].hosts;
            let free = |slot: &u32| hosts[*slot as usize].pools[0].ready().last().copied();
            endpoints.keys().find_map(|slot| Some((*index, *slot, free(slot)?)))
        });
        let Some((index, slot, connection)) = found else { return false };
        let Some((route, rule)) = self.rule_of(id) else { return false };
        let now = self.now;
        let call = &mut self.calls[id];
        (call.route, call.rule) = (route, rule);
        let number = u32::from(call.tries);
        call.upstream = index;
        call.tries += 1;
        let draws = call.key.attempt(number);
        let batch = call.batch;
        let way = self.outbound().way(id);
        (way.host, way.sent, way.is_answered) = (slot, now, false);
        self.ledger.attempts += 1;
        self.recorder.attempt(now, batch, number != 0);
        let attempt = self.begin_attempt(id, slot, Key(draws.draw(purpose::VISIT)));
        self.attach(attempt, connection);
        true
    }

    /// A pod's app has ended: what its connections had to endpoints closes.
    pub(super) fn close_ways_of_bytes(&mut self, pod: u32) {
        let Some(own) = &self.linkerd else { return };
        let Some(proxy) = own.proxies.get(&pod) else { return };
        let all = proxy.destinations.values().flat_map(|one| &one.backends);
        let of_bytes: BTreeSet<u32> = all
            .filter(|index| own.balancers.get(*index).is_some_and(|one| one.protocol.is_tcp()))
            .copied()
            .collect();
        for index in of_bytes {
            let hosts = &self.upstreams[index as usize].hosts;
            let free = hosts.iter().flat_map(|host| host.pools[0].ready().iter().copied());
            for connection in free.collect::<Vec<_>>() {
                self.close_connection(connection);
            }
        }
    }

    /// An exchange is over, and the connection with it if the app does not keep it, or the server's side closed it.
    pub(super) fn bytes_are_back(&mut self, attempt: &Attempt) {
        let edge = self.calls[attempt.call].edge;
        if attempt.outcome.status == 0 || !self.keeps(edge) {
            self.retire_connection(attempt.connection);
        }
    }

    /// Whether the server's proxy still waits to find out what a connection speaks.
    pub(super) fn is_detecting(&mut self, id: Id<Attempt>) -> bool {
        let Attempt { pod, workload, connection, .. } = self.attempts[id];
        let own = self.linkerd.as_mut().expect("a mesh of Linkerd");
        let waiting = own.inbound.detecting.entry(pod).or_default();
        let is_first = self.connections.get(connection).is_some_and(|one| one.requests == 1);
        if waiting.remove(&id) || !is_first || !self.pods[pod as usize].is_meshed {
            return false;
        }
        let protocol = self.app_protocol_at(workload);
        let wait = detection(protocol, self.own().linkerd_inbound.detect_timeout);
        if wait.is_zero() {
            return false;
        }
        let own = self.linkerd.as_mut().expect("a mesh of Linkerd");
        own.inbound.detecting.entry(pod).or_default().insert(id);
        self.attempts[id].pending += 1;
        self.pods[pod as usize].inbound += 1;
        self.queue.after(wait, Event::Enter(id.index()).pack());
        true
    }
}
