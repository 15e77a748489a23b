//! Listeners of gateways: their filter chains, the connections of clients, and drains.
//!
//! A client keeps its connection and takes it for its next request (unless it says `connection: close`);
//! while requests overlap there are more. A connection stays with the filter chain that it was opened to. A chain that is replaced or
//! removed is drained: each of its answers tells the client to close the connection, with a
//! probability that grows with the whole seconds that have passed, and what is left ends with the drain
//! time. Who cannot connect sees no answer, and the proxy logs nothing.
//!
//! A proxy that drains as a whole does so to connections of other proxies, too; at the end it takes no new
//! ones. One that fails its health check closes each connection after its next answer, and takes new ones.
//!
//! Source: Envoy's `drain_manager_impl.cc`, `listener_manager_impl.cc`; measured on Envoy 1.40 (family
//! e09, `lds_update_keepalive_clients_drain_4s`: the old chain serves 52 requests more at 50 a second; e13:
//! a drain loses no request).
//! Left out: requests that are cut at the end of a drain; HTTP/2's GOAWAY.

use super::World;
use super::client::purpose;
use super::state::{Attempt, Call, Held, Parent};
use crate::kernel::slab::Id;
use crate::kernel::stream::uniform;
use crate::kernel::time::{Duration, Time};
use crate::plan::timeline::{Action, Listening, PodSet};
use crate::plan::universe::{ClassId, RouteId, WorkloadId};
use crate::vocabulary::outcome::{Details, Outcome};
use std::collections::BTreeMap;

/// A drain: since when, and how long; none for at once and without an end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    since: Time,
    lasts: Option<Duration>,
}

impl Drain {
    /// Whether an answer closes its connection. Whole seconds count, as in Envoy.
    fn closes(self, now: Time, draw: u64) -> bool {
        let Some(lasts) = self.lasts else { return true };
        let elapsed = now.since(self.since);
        let whole = |time: Duration| (time.ns() / Duration::from_s(1).ns()) as f64;
        lasts <= elapsed || uniform(draw) * whole(lasts) < whole(elapsed)
    }

    fn is_over(self, now: Time) -> bool {
        self.lasts.is_some_and(|lasts| self.since + lasts <= now)
    }
}

/// A filter chain: its own routes, if it has some, and its drain.
#[derive(Clone, Copy, Debug, Default)]
struct Chain {
    routes: Option<RouteId>,
    drain: Option<Drain>,
}

/// The listener of one gateway's pod.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    chains: Vec<Chain>,
    /// The chain of new connections; none if the listener is gone.
    current: Option<usize>,
    /// Chains of the connections that are idle.
    idle: Vec<usize>,
    /// Chains of those that are in use, by call.
    busy: BTreeMap<Id<Call>, usize>,
}

impl Default for Listener {
    fn default() -> Self {
        let (idle, busy) = (Vec::new(), BTreeMap::new());
        Self { chains: vec![Chain::default()], current: Some(0), idle, busy }
    }
}

impl Listener {
    /// A connection for a request: one that is idle, or a new one; none if there is no listener.
    fn connect(&mut self, now: Time) -> Option<usize> {
        while let Some(chain) = self.idle.pop() {
            if self.chains[chain].drain.is_none_or(|drain| !drain.is_over(now)) {
                return Some(chain);
            }
        }
        self.current
    }

    /// New connections find another chain, or none; the old one is drained.
    fn replace(&mut self, now: Time, lasts: Duration, listening: Listening) {
        if let Some(old) = self.current.take() {
            self.chains[old].drain = Some(Drain { since: now, lasts: Some(lasts) });
        }
        if let Listening::Routes(routes) = listening {
            self.current = Some(self.chains.len());
            self.chains.push(Chain { routes: Some(routes), drain: None });
        }
    }
}

impl World<'_> {
    /// Does what an action says; it is not taken back.
    pub(super) fn apply_to_listeners(&mut self, action: &Action, begins: bool) {
        match action {
            Action::SetListener { workload, listening, drain } if begins => {
                self.set_listener(*workload, *listening, *drain);
            }
            Action::DrainProxies { pods, drain } if begins => self.drain_proxies(pods, *drain),
            _ => {}
        }
    }

    /// A gateway's listener is another one.
    fn set_listener(&mut self, workload: WorkloadId, listening: Listening, lasts: Duration) {
        for pod in self.workloads[workload.index()].members.all() {
            self.listeners.entry(pod).or_default().replace(self.now, lasts, listening);
        }
    }

    /// Proxies drain.
    fn drain_proxies(&mut self, set: &PodSet, lasts: Option<Duration>) {
        let drain = Drain { since: self.now, lasts };
        for pod in self.pods_of(set) {
            self.drains.insert(pod, drain);
        }
        self.has_odd_apps = true;
    }

    /// A request comes in over a connection of its client; whether it does.
    #[cold]
    #[inline(never)]
    pub(super) fn enter_listener(&mut self, id: Id<Call>) -> bool {
        let call = &self.calls[id];
        let is_root = match call.parent {
            Parent::Traffic(_) | Parent::User(..) => true,
            Parent::Sent(request) => self.sends.requests[request].source().is_some(),
            _ => false,
        };
        if !is_root {
            return true;
        }
        let (pod, now) = (call.pod, self.now);
        let keeps = self.keeps_connections(call.class);
        let listener = self.listeners.entry(pod).or_default();
        if listener.busy.contains_key(&id) {
            return true;
        }
        let is_shut = self.drains.get(&pod).is_some_and(|drain| drain.is_over(now));
        let chain = if keeps { listener.connect(now) } else { listener.current };
        if let Some(chain) = chain.filter(|_| !is_shut) {
            listener.busy.insert(id, chain);
            return true;
        }
        self.calls[id].held = Held::AtDoor;
        self.end_early(id, Outcome::failure(Details::ConnectionRefused));
        false
    }

    /// Whether the clients of a class of requests keep their connections: HTTP/1.1's `connection: close`.
    fn keeps_connections(&self, class: ClassId) -> bool {
        let headers = &self.plan.universe.classes[class.index()].headers;
        !headers.iter().any(|(name, value)| name == "connection" && value == "close")
    }

    /// The routes of the chain that a request came in by, if it has its own.
    #[cold]
    pub(super) fn routes_of_chain(&self, id: Id<Call>) -> Option<RouteId> {
        let listener = self.listeners.get(&self.calls[id].pod)?;
        listener.chains[*listener.busy.get(&id)?].routes
    }

    /// A request is answered: its connection is idle, or closed by a drain.
    #[cold]
    #[inline(never)]
    pub(super) fn leave_listener(&mut self, id: Id<Call>) {
        let Call { pod, key, class, .. } = self.calls[id];
        let keeps = self.keeps_connections(class);
        let whole = self.drains.get(&pod).copied();
        let Some(listener) = self.listeners.get_mut(&pod) else { return };
        let Some(chain) = listener.busy.remove(&id) else { return };
        let drains = [listener.chains[chain].drain, whole];
        let draw = key.draw(0, purpose::DRAIN);
        if keeps && !drains.into_iter().flatten().any(|drain| drain.closes(self.now, draw)) {
            listener.idle.push(chain);
        }
    }

    /// Whether an answer tells the client proxy to close the connection: its server drains.
    pub(super) fn is_drained(&self, attempt: &Attempt) -> bool {
        let drain = self.drains.get(&attempt.pod);
        drain.is_some_and(|drain| drain.closes(self.now, attempt.key.draw(0, purpose::DRAIN)))
    }

    /// Whether a pod takes no new connections: its drain is over.
    pub(super) fn is_shut(&self, pod: u32) -> bool {
        !self.drains.is_empty() && self.drains.get(&pod).is_some_and(|one| one.is_over(self.now))
    }
}

/// Whether clients' connections matter: some listener changes, or some proxy drains.
pub(super) fn matter(plan: &crate::plan::Plan) -> bool {
    plan.timeline.iter().any(|event| {
        matches!(event.action, Action::SetListener { .. } | Action::DrainProxies { .. })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Envoy's gradual strategy with a drain time of 4 s.
    #[test]
    fn a_drain_closes_more_with_each_whole_second_and_everything_at_its_end() {
        let drain = Drain { since: Time::ZERO, lasts: Some(Duration::from_s(4)) };
        let at = |ms: u64| Time::ZERO + Duration::from_ms(ms);
        let half = 1 << 63;
        for (ms, closes) in [(900, false), (2_100, false), (3_000, true), (4_000, true)] {
            assert_eq!(drain.closes(at(ms), half), closes, "{ms} ms");
        }
        assert!(!drain.closes(at(900), 0) && drain.closes(at(1_000), 0));
        assert!(!drain.is_over(at(3_999)) && drain.is_over(at(4_000)));
        let failed = Drain { since: Time::ZERO, lasts: None };
        assert!(failed.closes(at(0), u64::MAX) && !failed.is_over(at(100_000)));
    }
}
