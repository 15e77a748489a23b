//! Linkerd's endpoints: which of them are ready, and who connects to them.
//!
//! An endpoint is ready while its connection is up and its breaker lets requests through. The proxy opens the one
//! HTTP/2 connection to a meshed endpoint by itself, as soon as it hears of it, and again after a back-off whenever it
//! is lost: a dead endpoint costs the requests that are on its connection, and no others. Endpoints that speak HTTP/1,
//! those without a proxy, are always ready, and so are those of bytes; their connections are opened for requests.
//!
//! Source: linkerd2-proxy linkerd/reconnect/src/service.rs; `model::linkerd::{backoff, accrual}`.
//! Left out: pings on connections without a request, and that one that fails ends all requests at once; the end of idle connections to endpoints that lack a proxy only because there was no injector.

use super::World;
use super::client::purpose;
use super::linkerd::{Due, Timer};
use super::linkerd_balancer::Balancer;
use super::state::{Attempt, Call, Connection, Link};
use crate::kernel::slab::Id;
use crate::kernel::time::{Duration, Time};
use crate::model::linkerd::accrual::{Breaker, Change};
use crate::model::linkerd::backoff::Reconnect;
use crate::model::linkerd::connection::{Carries, given_up_after};
use crate::model::linkerd::peak_ewma::PeakEwma;
use crate::plan::policy::Protocol;
use crate::vocabulary::outcome::Outcome;

/// An endpoint in one proxy.
pub(crate) struct Endpoint {
    pub pod: u32,
    pub ewma: PeakEwma,
    pub breaker: Option<Breaker>,
    pub reconnect: Reconnect,
    /// When it is connected to again.
    pub connects: Id<Timer>,
    /// Open, or being opened; of HTTP/2.
    pub connection: Id<Connection>,
    pub is_up: bool,
    pub speaks_h1: bool,
}

impl Endpoint {
    pub(super) fn is_ready(&self) -> bool {
        self.is_up && self.breaker.is_none_or(|one| one.is_ready())
    }
}

impl World<'_> {
    pub(super) fn begin_endpoint(&mut self, index: u32, slot: u32) {
        let endpoint = self.endpoint(index, slot).expect("it is new");
        if endpoint.speaks_h1 {
            self.review_endpoint(index, slot);
        } else {
            self.connect_to(index, slot);
        }
    }

    fn endpoint(&mut self, index: u32, slot: u32) -> Option<&mut Endpoint> {
        self.linkerd.as_mut()?.balancers.get_mut(&index)?.endpoints.get_mut(&slot)
    }

    /// Whether a connection to an endpoint carries many requests at once.
    pub(super) fn carries_many(&self, index: u32, slot: u32) -> bool {
        let balancers = self.linkerd.as_ref().map(|own| &own.balancers);
        let balancer = balancers.and_then(|all| all.get(&index));
        match balancer.and_then(|one| one.endpoints.get(&slot)) {
            Some(endpoint) => !endpoint.speaks_h1,
            None => self.upstreams[index as usize].policy.pool.protocol == Protocol::Http2,
        }
    }

    fn connect_to(&mut self, index: u32, slot: u32) {
        let connection = self.open_connection(index, slot, 0);
        if let Some(endpoint) = self.endpoint(index, slot) {
            endpoint.connection = connection;
        }
    }

    /// Puts an endpoint into the list of those that are ready, or out of it.
    pub(super) fn review_endpoint(&mut self, index: u32, slot: u32) {
        let Some(own) = &mut self.linkerd else { return };
        let Some(Balancer { endpoints, ready, .. }) = own.balancers.get_mut(&index) else { return };
        let Some(endpoint) = endpoints.get(&slot) else { return };
        let place = ready.binary_search_by_key(&endpoint.pod, |one| endpoints[one].pod);
        match (place, endpoint.is_ready()) {
            (Err(place), true) => ready.insert(place, slot),
            (Ok(place), false) => {
                ready.remove(place);
            }
            _ => {}
        }
    }

    // === connections ===

    /// The connection of an endpoint is up, and Linkerd sees to its end: whether it is one of these. One whose client the server has refused is so for a round trip.
    #[cold]
    pub(super) fn endpoint_is_up(&mut self, id: Id<Connection>) -> bool {
        let Some(Connection { upstream, host, is_rejected, key, pod, .. }) =
            self.connections.get(id).copied()
        else {
            return false;
        };
        let Some(endpoint) = self.endpoint(upstream, host) else { return false };
        if endpoint.connection != id {
            return false;
        }
        endpoint.is_up = true;
        endpoint.reconnect.connected();
        let own = self.linkerd.as_mut().expect("a mesh of Linkerd");
        if let Some(balancer) = own.balancers.get_mut(&upstream).filter(|_| !is_rejected) {
            balancer.lost = None;
        }
        self.review_endpoint(upstream, host);
        self.serve_queue(upstream);
        if is_rejected && self.connections.get(id).is_some_and(|one| one.streams == 0) {
            let client = self.upstreams[upstream as usize].pod;
            let (a, b) = (self.pods[client as usize].node, self.pods[pod as usize].node);
            let there = self.one_way(a, b, key.draw(0, purpose::LINK_OUT));
            let back = self.one_way(b, a, key.draw(0, purpose::LINK_BACK));
            let at = self.now.saturating_add(there + back);
            self.set_timer(client, at, Due::Refused(id));
        }
        true
    }

    /// The client hears that its server has refused it.
    pub(super) fn close_refused(&mut self, id: Id<Connection>) -> bool {
        let Some(connection) = self.connections.get(id) else { return false };
        if connection.link != Link::Open {
            return false;
        }
        if connection.streams == 0 {
            self.close_connection(id);
        } else {
            self.retire_connection(id);
        }
        true
    }

    /// A connection takes no more requests, or could not be made: another one after a back-off.
    #[cold]
    pub(super) fn endpoint_is_lost(&mut self, id: Id<Connection>) {
        let Connection { upstream, host, key, .. } = self.connections[id];
        let backoff = self.own().linkerd_outbound.backoff();
        let Some(endpoint) = self.endpoint(upstream, host) else { return };
        if endpoint.connection != id {
            return;
        }
        endpoint.connection = Id::NONE;
        endpoint.is_up = false;
        let wait = endpoint.reconnect.failed(&backoff, key.draw(0, purpose::BACKOFF));
        self.review_endpoint(upstream, host);
        let pod = self.upstreams[upstream as usize].pod;
        let at = self.now.saturating_add(wait);
        let timer = self.set_timer(pod, at, Due::Connect { upstream, host });
        self.endpoint(upstream, host).expect("it is there").connects = timer;
    }

    /// The back-off is over.
    pub(super) fn connect_again(&mut self, index: u32, slot: u32, timer: Id<Timer>) -> bool {
        let Some(endpoint) = self.endpoint(index, slot) else { return false };
        if endpoint.connects != timer {
            return false;
        }
        endpoint.connects = Id::NONE;
        self.connect_to(index, slot);
        true
    }

    /// After how long without a sign of the peer a request's connection is given up: by the kernel, in Linkerd's proxies by the
    /// user timeout of their sockets, and on HTTP/2 by the first ping that is not answered.
    #[cold]
    pub(super) fn gives_up_after(&self, attempt: &Attempt) -> Duration {
        let kernel = self.plan.parameters.network.give_up;
        let is_ours = self.pods.get(attempt.client as usize).is_some_and(|pod| pod.is_meshed);
        if self.linkerd.is_none() || !is_ours {
            return kernel;
        }
        let connection = self.connections.get(attempt.connection);
        let is_shared = connection.is_some_and(|one| one.is_multiplexed);
        let carries = if is_shared { Carries::Http2 } else { Carries::Http1 };
        let own = given_up_after(&self.own().linkerd_connection, carries, true);
        own.map_or(kernel, |own| own.min(kernel))
    }

    /// An answer is there: its connection is one too many to be kept without a request.
    #[cold]
    pub(super) fn is_idle_in_excess(&self, attempt: &Attempt) -> bool {
        let connection = self.connections.get(attempt.connection);
        if connection.is_none_or(|one| one.is_multiplexed) || self.is_of_bytes(attempt.call) {
            return false;
        }
        let host = &self.upstreams[attempt.upstream as usize].hosts[attempt.host as usize];
        let idle = host.pools[attempt.worker as usize].ready().len();
        let most = self.own().linkerd_connection.http1_max_idle;
        usize::try_from(most).is_ok_and(|most| most <= idle)
    }

    // === failure accrual ===

    /// The endpoint of a call's last attempt is judged by an answer.
    pub(super) fn judge_by(&mut self, id: Id<Call>, outcome: Outcome) {
        let now = self.now;
        let class = self.meaning_of(id, outcome);
        let call = &self.calls[id];
        let (index, number, key) = (call.upstream, u32::from(call.tries), call.key);
        let own = self.linkerd.as_mut().expect("a mesh of Linkerd");
        let way = own.way(id);
        if std::mem::replace(&mut way.is_judged, true) {
            return;
        }
        let slot = way.host;
        let Some(balancer) = own.balancers.get_mut(&index) else { return };
        let Some(policy) = balancer.accrual else { return };
        let Some(endpoint) = balancer.endpoints.get_mut(&slot) else { return };
        let Some(breaker) = &mut endpoint.breaker else { return };
        let draw = || key.draw(number, purpose::PENALTY);
        let change = breaker.record(&policy, now, class, draw);
        self.review_endpoint(index, slot);
        match change {
            Change::None => {}
            Change::Shut(until) => {
                let pod = self.upstreams[index as usize].pod;
                self.set_timer(pod, until, Due::Probation { upstream: index, host: slot, until });
            }
            Change::Opened => self.serve_queue(index),
        }
    }

    /// An endpoint that was shut out may have one request.
    pub(super) fn begin_probation(&mut self, index: u32, slot: u32, until: Time) -> bool {
        let Some(endpoint) = self.endpoint(index, slot) else { return false };
        let breaker = endpoint.breaker.as_mut();
        if !breaker.is_some_and(|one| one.time_is_up(until)) {
            return false;
        }
        self.review_endpoint(index, slot);
        self.serve_queue(index);
        true
    }
}
