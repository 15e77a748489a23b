//! Destinations that Linkerd's proxies know, ask for and forget.
//!
//! A destination is known as long as a connection of the app holds it, and 5 s longer. One that is not known is
//! asked for; while no control plane answers, whoever connects hangs until it is back (2.13 and later), or is reset
//! after 3 s (before).
//!
//! Source: `model::linkerd::{cache, lookup}`; linkerd2#7868, #8274. When who asked in an outage is answered stands in
//! `linkerd_client`.
//! Left out: an app that keeps its connections has as many as it ever had requests at once, and closes none by itself.

use super::World;
use super::control::XDS;
use super::linkerd::{Due, Known, Timer};
use super::state::{Call, NONE};
use crate::kernel::slab::Id;
use crate::kernel::stream::{Key, name_hash};
use crate::kernel::time::Time;
use crate::model::linkerd::cache::Entry;
use crate::model::linkerd::lookup::{Asked, Lookup};
use crate::plan::route::Destination;
use crate::plan::universe::{ClusterId, ServiceId};
use crate::vocabulary::cause::CauseKind;
use crate::vocabulary::outcome::{Details, Outcome};
use std::collections::BTreeSet;

impl Known {
    /// Made for the first connection that asks for it.
    fn new(now: Time) -> Self {
        Self {
            entry: Entry::new(),
            lookup: Lookup::new(now),
            has_answer: false,
            gave_up: false,
            busy: 1,
            idle: 0,
            until: Time::MAX,
            forgets: Id::NONE,
            looks: Id::NONE,
            gives_up: Id::NONE,
            is_late: false,
            waiting: Vec::new(),
            backends: BTreeSet::new(),
            route: None,
            budget: None,
        }
    }

    /// One more request: on a connection that is idle, or on a new one; whether it is that. Who opens one for each leaves
    /// idle ones alone.
    fn take(&mut self, now: Time, keeps: bool) -> bool {
        let is_new = self.idle == 0 || !keeps;
        if is_new {
            self.entry.hold(now);
        } else {
            self.idle -= 1;
        }
        self.busy += 1;
        is_new
    }
}

impl World<'_> {
    /// When a lookup that is asked for now is answered; none while nobody is there to answer.
    fn told_at(&self, pod: u32) -> Option<Time> {
        let is_alone = self.control.replicas.is_empty();
        if is_alone { Some(self.now) } else { self.linkerd_can_discover(pod) }
    }

    pub(super) fn lookup_key(&self, pod: u32, service: ServiceId) -> Key {
        let name = &self.plan.universe.services[service.index()].name;
        Key(self.loop_key(pod, 8).0 ^ name_hash(name))
    }

    /// An app's connection with a request comes.
    pub(super) fn use_destination(&mut self, id: Id<Call>) {
        let Call { pod, service, edge, .. } = self.calls[id];
        let (now, keeps) = (self.now, self.keeps(edge));
        if self.outbound().known(pod, service).is_some_and(|one| one.entry.is_dropped(now)) {
            self.drop_destination(pod, service);
        }
        let own = self.outbound();
        (own.way(id).holds, own.way(id).is_new) = (true, true);
        let destinations = &mut own.proxies.entry(pod).or_default().destinations;
        let Some(known) = destinations.get_mut(&service) else {
            let mut known = Known::new(now);
            known.waiting.push(id);
            destinations.insert(service, known);
            self.look_up(pod, service);
            return self.blame_lookup(id);
        };
        let is_new = known.take(now, keeps);
        let (has_answer, gave_up) = (known.has_answer, known.gave_up);
        own.way(id).is_new = is_new;
        if has_answer {
            self.go_on_to(id);
        } else if gave_up {
            self.blame_lookup(id);
            self.end_early(id, Outcome::failure(Details::LinkerdUnknown));
        } else {
            self.wait_to_know(id);
            self.blame_lookup(id);
        }
    }

    /// A call waits to know its destination; now and then those whose clients have left are taken out.
    fn wait_to_know(&mut self, id: Id<Call>) {
        const MANY: usize = 64;
        let Call { pod, service, .. } = self.calls[id];
        let known = self.outbound().known(pod, service).expect("it is asked for");
        known.waiting.push(id);
        if MANY <= known.waiting.len() && known.waiting.len().is_power_of_two() {
            let mut all = std::mem::take(&mut known.waiting);
            all.retain(|one| self.is_waiting(*one));
            self.outbound().known(pod, service).expect("it is asked for").waiting = all;
        }
    }

    /// Why a call waits, if nobody can be asked.
    fn blame_lookup(&mut self, id: Id<Call>) {
        let Call { pod, service, .. } = self.calls[id];
        if self.outbound().known(pod, service).is_some_and(|one| one.is_late) {
            let because = match self.control.causes[XDS] {
                Some(known) => Some(known),
                None => self.blame_unreachable(pod),
            };
            let cause = self.caused(CauseKind::StaleConfiguration, because, || {
                "proxies cannot ask for destinations that they do not know".to_owned()
            });
            self.calls[id].cause = Some(cause);
        }
    }

    /// Asks for a destination; parked while nobody is there to answer.
    fn look_up(&mut self, pod: u32, service: ServiceId) {
        let at = self.expect_lookup(pod, service);
        self.limit_lookup(pod, service, at);
    }

    /// Releases that give a lookup up do so, if its answer is not expected before.
    fn limit_lookup(&mut self, pod: u32, service: ServiceId, at: Option<Time>) {
        let rules = &self.own().linkerd_outbound;
        let known = self.outbound().known(pod, service).expect("it is asked for");
        if !known.gives_up.is_none() || known.gave_up {
            return;
        }
        let gives_up = known.lookup.gives_up(rules);
        if let Some(limit) = gives_up.filter(|limit| at.is_none_or(|at| *limit < at)) {
            let timer = self.set_timer(pod, limit, Due::GivesUp(service));
            self.outbound().known(pod, service).expect("it is asked for").gives_up = timer;
        }
    }

    /// Sets the time at which a destination is told; parked if nobody can say.
    fn expect_lookup(&mut self, pod: u32, service: ServiceId) -> Option<Time> {
        let told = self.told_at(pod);
        let own = self.outbound();
        let known = own.known(pod, service).expect("it is asked for");
        let (since, Some(told)) = (known.lookup.since(), told) else {
            known.is_late = true;
            own.asking.insert((pod, service));
            return None;
        };
        own.asking.remove(&(pod, service));
        let through = self.lookup_goes_through(pod, service, since);
        let at = through.saturating_add(told.since(self.now));
        let timer = self.set_timer(pod, at, Due::Answered(service));
        let is_late = self.now < through;
        let known = self.outbound().known(pod, service).expect("it is asked for");
        (known.looks, known.is_late) = (timer, is_late);
        Some(at)
    }

    /// The control plane or the network changed: whoever could not ask does at its next try.
    pub(super) fn ask_again(&mut self) {
        if self.linkerd.is_none() {
            return;
        }
        self.note_away();
        self.ask_policy_again();
        let all: Vec<(u32, ServiceId)> = self.outbound().asking.iter().copied().collect();
        for (pod, service) in all {
            if self.told_at(pod).is_none() {
                continue;
            }
            if self.outbound().known(pod, service).is_some() {
                let _when = self.expect_lookup(pod, service);
            } else {
                self.outbound().asking.remove(&(pod, service));
            }
        }
    }

    /// Profile and policy have come: the balancers of all its backends are made, and who waits goes on.
    pub(super) fn destination_told(
        &mut self,
        pod: u32,
        service: ServiceId,
        timer: Id<Timer>,
    ) -> bool {
        let Some(known) = self.outbound().known(pod, service) else { return false };
        if known.looks != timer {
            return false;
        }
        known.looks = Id::NONE;
        // Whoever would answer has gone meanwhile.
        if self.told_at(pod).is_none() {
            let at = self.expect_lookup(pod, service);
            self.limit_lookup(pod, service, at);
            let known = self.outbound().known(pod, service).expect("it is asked for");
            for id in known.waiting.clone() {
                if self.is_waiting(id) {
                    self.blame_lookup(id);
                }
            }
            return true;
        }
        let known = self.outbound().known(pod, service).expect("it is asked for");
        let _first = known.lookup.answered(Asked::Profile);
        known.has_answer = known.lookup.answered(Asked::Policy);
        (known.gives_up, known.gave_up, known.is_late) = (Id::NONE, false, false);
        let waiting = std::mem::take(&mut known.waiting);
        self.make_backends(pod, service);
        for id in waiting {
            if self.is_waiting(id) {
                self.calls[id].cause = None;
                self.go_on_to(id);
            }
        }
        true
    }

    /// A destination's routes are told, or told anew: all of their backends have balancers, which connect at once.
    pub(super) fn make_backends(&mut self, pod: u32, service: ServiceId) {
        let version = self.seen(pod).rds;
        let route = self.config.route(service, version);
        let Some(known) = self.outbound().known(pod, service) else { return };
        if !known.has_answer || known.route == route {
            return;
        }
        known.route = route;
        let rules = route.map_or(&[][..], |one| &self.plan.universe.routes[one.index()].rules);
        let clusters: BTreeSet<ClusterId> = (rules.iter())
            .flat_map(|rule| &rule.split)
            .filter_map(|(destination, _)| match destination {
                Destination::Cluster(cluster) => Some(*cluster),
                Destination::Missing(_) => None,
            })
            .collect();
        for cluster in clusters {
            self.backend(pod, service, cluster);
        }
    }

    pub(super) fn is_waiting(&self, id: Id<Call>) -> bool {
        self.calls.get(id).is_some_and(|call| !call.is_over && call.upstream == NONE)
    }

    /// Nobody has told for too long.
    pub(super) fn lookup_gives_up(
        &mut self,
        pod: u32,
        service: ServiceId,
        timer: Id<Timer>,
    ) -> bool {
        let Some(known) = self.outbound().known(pod, service) else { return false };
        if known.gives_up != timer {
            return false;
        }
        (known.gives_up, known.gave_up) = (Id::NONE, true);
        for id in std::mem::take(&mut known.waiting) {
            if self.is_waiting(id) {
                self.end_early(id, Outcome::failure(Details::LinkerdUnknown));
            }
        }
        true
    }

    /// Nobody may have held it for long.
    pub(super) fn forget_destination(
        &mut self,
        pod: u32,
        service: ServiceId,
        timer: Id<Timer>,
    ) -> bool {
        let now = self.now;
        let Some(known) = self.outbound().known(pod, service) else { return false };
        if known.forgets != timer {
            return false;
        }
        known.forgets = Id::NONE;
        if known.entry.is_dropped(now) {
            self.drop_destination(pod, service);
        } else if known.busy + known.idle == 0 {
            let until = known.until;
            let timer = self.set_timer(pod, until, Due::Forget(service));
            self.outbound().known(pod, service).expect("it is there").forgets = timer;
        }
        true
    }

    /// A pod's app has ended before a proxy that lives on: its connections end, and its calls with them.
    #[cold]
    pub(super) fn app_leaves_linkerd(&mut self, pod: u32) {
        self.drop_calls(pod);
        let (now, idle) = (self.now, self.own().linkerd_outbound.discovery_idle);
        let Some(proxy) = self.outbound().proxies.get_mut(&pod) else { return };
        let mut left = Vec::new();
        for (service, known) in &mut proxy.destinations {
            for _ in 0..std::mem::take(&mut known.idle) {
                if let Some(until) = known.entry.leave(now, idle) {
                    known.until = until;
                    left.extend(known.forgets.is_none().then_some((*service, until)));
                }
            }
        }
        for (service, until) in left {
            let timer = self.set_timer(pod, until, Due::Forget(service));
            self.outbound().known(pod, service).expect("it is there").forgets = timer;
        }
        self.close_ways_of_bytes(pod);
    }

    /// A destination is dropped, with the balancers that no other one has.
    fn drop_destination(&mut self, pod: u32, service: ServiceId) {
        let own = self.outbound();
        own.asking.remove(&(pod, service));
        let Some(proxy) = own.proxies.get_mut(&pod) else { return };
        let Some(dropped) = proxy.destinations.remove(&service) else { return };
        let others: BTreeSet<u32> =
            proxy.destinations.values().flat_map(|one| &one.backends).copied().collect();
        for index in dropped.backends.difference(&others) {
            self.drop_balancer(*index);
        }
    }
}
