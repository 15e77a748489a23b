//! Listeners of gateways: their filter chains, the connections of clients, and drains.
//!
//! A client keeps its connection and takes it for its next request (unless it says `connection: close`);
//! while requests overlap there are more. A connection stays with the filter chain that it was opened to.
//! A chain that is replaced or removed is drained: its answers tell clients to close their connections, all
//! of them or, gradually, with a probability that grows with the whole seconds that have passed, and what is
//! left ends with the drain time, whatever is under way on it. Where there is a control plane, a listener
//! reaches each gateway as LDS brings it. Who cannot connect sees no answer, and the proxy logs nothing.
//!
//! A proxy that drains as a whole does so to connections of other proxies, too; at the end it takes no new
//! ones. One that fails its health check closes each connection after its next answer, and takes new ones.
//!
//! ```text
//! server ── drain ── answer with connection: close, or with GOAWAY ──┐   serves all that comes
//! client ── requests on the old connection ───── a link's delay later └─> takes another connection
//! ```
//!
//! Over HTTP/2 the first answer of a drain carries a GOAWAY that names the greatest stream, so that what the
//! client opens until it hears of it is served. The last GOAWAY comes 5 s later (`drain_timeout`), when
//! Envoy's client has stopped, and the connection closes when it has no streams: a drain loses nothing, unless
//! a link is slower than that: what comes later is refused (UR, `refused-stream`). An idle connection gets no
//! GOAWAY, but where its own timeout is over (`overload`).
//!
//! Source: Envoy's `drain_manager_impl.cc`, `listener_manager_impl.cc`, `conn_manager_impl.cc`
//! (`checkForDeferredClose`; a connection that is closed from this side is `downstream_local_disconnect`
//! without a flag: UNCONFIRMED for 1.40); Istio's `--drain-strategy immediate`; measured on Envoy 1.40
//! (family e09, `lds_update_keepalive_clients_drain_4s`: the old chain serves 52 requests more at 50 a
//! second; e13: a drain loses no request; GOAWAY as said above).
//! Left out: a GOAWAY with the answer of a sidecar itself, which is sent with the next one.

use super::World;
use super::client::purpose;
use super::discovery::some_action;
use super::event::Event;
use super::state::{Attempt, Call, Held, Parent};
use crate::kernel::slab::Id;
use crate::kernel::stream::uniform;
use crate::kernel::time::{Duration, Time};
use crate::plan::timeline::{Action, DrainStrategy, Listening, PodSet};
use crate::plan::universe::{ClassId, RouteId, WorkloadId};
use crate::vocabulary::cause::CauseId;
use crate::vocabulary::outcome::{Details, Outcome};
use std::collections::BTreeMap;

/// Between the first GOAWAY of a drain and the last one (Envoy's `drain_timeout`).
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_s(5);

/// A drain: since when, and how long; none for at once and without an end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    since: Time,
    lasts: Option<Duration>,
    strategy: DrainStrategy,
    /// Why, if it is one of a whole proxy.
    cause: Option<CauseId>,
    /// When it was taken back.
    until: Option<Time>,
}

/// A listener takes the place of another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    listening: Listening,
    lasts: Duration,
    strategy: DrainStrategy,
}

impl Drain {
    /// Whether an answer that leaves at that time closes its connection. Whole seconds count, as in
    /// Envoy.
    fn closes(self, at: Time, draw: u64) -> bool {
        if at < self.since || self.until.is_some_and(|until| until <= at) {
            return false;
        }
        let Some(lasts) = self.lasts else { return true };
        if self.strategy == DrainStrategy::Immediate {
            return true;
        }
        let elapsed = at.since(self.since);
        let whole = |time: Duration| (time.ns() / Duration::from_s(1).ns()) as f64;
        lasts <= elapsed || uniform(draw) * whole(lasts) < whole(elapsed)
    }

    fn is_over(self, now: Time) -> bool {
        self.until.is_none() && self.lasts.is_some_and(|lasts| self.since + lasts <= now)
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
    /// Chains of the connections that are idle, and since when: in order.
    idle: Vec<(usize, Time)>,
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
    /// Connections of clients.
    pub(super) fn open(&self) -> usize {
        self.idle.len() + self.busy.len()
    }

    /// Connections that were idle for so long are closed; when the next one is due.
    pub(super) fn close_idle(&mut self, now: Time, timeout: Duration) -> Option<Time> {
        self.idle.retain(|(_, since)| now < since.saturating_add(timeout));
        self.idle.first().map(|(_, since)| since.saturating_add(timeout))
    }

    /// A connection for a request that is idle, if there is one.
    fn reuse(&mut self, now: Time) -> Option<usize> {
        while let Some((chain, _)) = self.idle.pop() {
            if self.chains[chain].drain.is_none_or(|drain| !drain.is_over(now)) {
                return Some(chain);
            }
        }
        None
    }

    /// New connections find another chain, or none; the old one is drained.
    fn replace(&mut self, now: Time, change: Change) {
        let Change { listening, lasts, strategy } = change;
        if let Some(old) = self.current.take() {
            let drain =
                Drain { since: now, lasts: Some(lasts), strategy, cause: None, until: None };
            self.chains[old].drain = Some(drain);
        }
        let routes = match listening {
            Listening::Routes(routes) => Some(routes),
            Listening::Rds => None,
            Listening::Gone => return,
        };
        self.current = Some(self.chains.len());
        self.chains.push(Chain { routes, drain: None });
    }
}

impl World<'_> {
    /// Does what an action says, or takes it back.
    pub(super) fn apply_to_listeners(
        &mut self,
        action: &Action,
        begins: bool,
        cause: Option<CauseId>,
    ) {
        match action {
            Action::SetListener { workload, drain, strategy, .. } => {
                let listening = self.listener_in_force(*workload);
                let change = Change { listening, lasts: *drain, strategy: *strategy };
                self.set_listener(*workload, change, cause);
            }
            Action::DrainProxies { pods, drain, strategy } if begins => {
                let (since, lasts, strategy) = (self.now, *drain, *strategy);
                self.drain_proxies(pods, Drain { since, lasts, strategy, cause, until: None });
            }
            // Who was drained is known, whoever the set means by now; what it has sent is under way.
            Action::DrainProxies { .. } => {
                for drain in self.drains.values_mut().filter(|drain| drain.cause == cause) {
                    drain.until = Some(self.now);
                }
            }
            _ => {}
        }
    }

    /// The listener that the last event in force has set; else that of the plan.
    fn listener_in_force(&self, workload: WorkloadId) -> Listening {
        let last = self.in_force().rev().find_map(|(action, _)| match action {
            Action::SetListener { workload: of, listening, .. } if *of == workload => {
                Some(*listening)
            }
            _ => None,
        });
        last.unwrap_or(Listening::Rds)
    }

    /// A gateway's listener is another one; with a control plane, when LDS has brought it.
    fn set_listener(&mut self, workload: WorkloadId, change: Change, cause: Option<CauseId>) {
        if self.control.replicas.is_empty() {
            for pod in self.workloads[workload.index()].members.all() {
                self.replace_listener(pod, change);
            }
            return;
        }
        self.config.begin_version(self.now, cause);
        let version = self.config.version();
        self.arrivals.listeners.entry(workload).or_default().push((version, change));
        self.schedule_watch();
    }

    /// LDS has brought another version to a proxy: of several changes, the last one.
    pub(super) fn tell_listener(&mut self, pod: u32, old: u32, new: u32) {
        let workload = self.pods[pod as usize].workload;
        let changes = self.arrivals.listeners.get(&workload);
        let mut come =
            changes.into_iter().flatten().filter(|(from, _)| old < *from && *from <= new);
        let Some((_, change)) = come.next_back().copied() else { return };
        self.replace_listener(pod, change);
    }

    fn replace_listener(&mut self, pod: u32, change: Change) {
        self.listeners.entry(pod).or_default().replace(self.now, change);
        self.queue.after(change.lasts, Event::DrainOver(pod).pack());
    }

    /// What a proxy begins with: where nobody tells it of listeners, as its file has it now.
    fn first_listener(&self, pod: u32) -> Listener {
        let mut listener = Listener::default();
        if self.control.replicas.is_empty() {
            let listening = self.listener_in_force(self.pods[pod as usize].workload);
            if listening != Listening::Rds {
                let (lasts, strategy) = (Duration::ZERO, DrainStrategy::Immediate);
                listener.replace(self.now, Change { listening, lasts, strategy });
            }
        }
        listener
    }

    /// A proxy ends, with its clients' connections and its drain.
    pub(super) fn forget_listener(&mut self, pod: u32) {
        self.listeners.remove(&pod);
        self.drains.remove(&pod);
    }

    /// Proxies drain.
    fn drain_proxies(&mut self, set: &PodSet, drain: Drain) {
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
        if !self.listeners.contains_key(&pod) {
            let first = self.first_listener(pod);
            self.listeners.insert(pod, first);
        }
        let listener = self.listeners.entry(pod).or_default();
        if listener.busy.contains_key(&id) {
            return true;
        }
        let is_shut = self.drains.get(&pod).is_some_and(|drain| drain.is_over(now));
        let reused = if keeps { listener.reuse(now) } else { None };
        let chain = reused.or(listener.current);
        if let Some(chain) = chain.filter(|_| !is_shut) {
            let is_new = reused.is_none() && self.compiled.has.client_connections;
            if is_new && !self.lets_client_in(id) {
                return false;
            }
            if self.calls[id].held == Held::AtDoor {
                self.calls[id].held = Held::Not;
            }
            self.listeners.entry(pod).or_default().busy.insert(id, chain);
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
        let now = self.now;
        let is_off = self.compiled.has.client_connections
            && self.keeps_no_connection(pod, now, key.draw(0, purpose::KEEP_ALIVE));
        let Some(listener) = self.listeners.get_mut(&pod) else { return };
        let Some(chain) = listener.busy.remove(&id) else { return };
        let drains = [listener.chains[chain].drain, whole];
        let draw = key.draw(0, purpose::DRAIN);
        let closes = drains.into_iter().flatten().any(|drain| drain.closes(now, draw));
        if keeps && !closes && !is_off {
            listener.idle.push((chain, now));
            if self.compiled.has.client_connections {
                self.wake_by_idle(pod, now);
            }
        }
    }

    /// Whether an answer tells the client proxy to close the connection: its server drained when it sent
    /// the answer, which the link has delayed.
    pub(super) fn is_drained(&self, attempt: &Attempt) -> bool {
        let drain = self.drains.get(&attempt.pod);
        drain
            .is_some_and(|drain| drain.closes(attempt.sent_at, attempt.key.draw(0, purpose::DRAIN)))
            || self.has_goaway(attempt)
            || self.compiled.has.client_connections && {
                let draw = attempt.key.draw(0, purpose::KEEP_ALIVE);
                self.keeps_no_connection(attempt.pod, attempt.sent_at, draw)
            }
    }

    /// The drain of a listener's old connections is over: they are closed, whatever is under way on them.
    pub(super) fn drain_is_over(&mut self, pod: u32) {
        let Some(listener) = self.listeners.get(&pod) else { return };
        let is_over = |chain: &usize| {
            listener.chains[*chain].drain.is_some_and(|drain| drain.is_over(self.now))
        };
        let cut = listener.busy.iter().filter(|(_, chain)| is_over(chain));
        let cut: Vec<Id<Call>> = cut.map(|(call, _)| *call).collect();
        for call in cut {
            self.cancel_call(call, Outcome::failure(Details::LocalDisconnect));
        }
    }

    /// Whether a pod takes no new connections: its drain is over.
    pub(super) fn is_shut(&self, pod: u32) -> bool {
        !self.drains.is_empty() && self.drains.get(&pod).is_some_and(|one| one.is_over(self.now))
    }
}

/// Whether clients' connections matter: some listener changes, or some proxy drains.
pub(super) fn matter(plan: &crate::plan::Plan) -> bool {
    some_action(plan, |action| {
        matches!(action, Action::SetListener { .. } | Action::DrainProxies { .. })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Envoy's gradual strategy with a drain time of 4 s.
    #[test]
    fn a_drain_closes_more_with_each_whole_second_and_everything_at_its_end() {
        let strategy = DrainStrategy::Gradual;
        let drain = Drain {
            since: Time::ZERO,
            lasts: Some(Duration::from_s(4)),
            strategy,
            cause: None,
            until: None,
        };
        let at = |ms: u64| Time::ZERO + Duration::from_ms(ms);
        let half = 1 << 63;
        for (ms, closes) in [(900, false), (2_100, false), (3_000, true), (4_000, true)] {
            assert_eq!(drain.closes(at(ms), half), closes, "{ms} ms");
        }
        assert!(!drain.closes(at(900), 0) && drain.closes(at(1_000), 0));
        assert!(!drain.is_over(at(3_999)) && drain.is_over(at(4_000)));
        let immediate = Drain { strategy: DrainStrategy::Immediate, ..drain };
        assert!(immediate.closes(at(0), u64::MAX) && !immediate.is_over(at(3_999)));
        let taken_back = Drain { until: Some(at(2_000)), ..immediate };
        assert!(taken_back.closes(at(1_999), 0) && !taken_back.closes(at(2_000), 0));
        assert!(!taken_back.is_over(at(5_000)));
        let failed = Drain { lasts: None, ..drain };
        assert!(failed.closes(at(0), u64::MAX) && !failed.is_over(at(100_000)));
    }
}
