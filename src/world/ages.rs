//! Streams that end of age, and calm: while it makes no difference which replica a proxy has, ages
//! are parked.
//!
//! It is calm when every replica serves the same view to all nodes, at its usual speed, with room for
//! those who come back. A stream that is opened then costs no event when it ends of age: who asks
//! later finds the stream that the proxy has by then. When calm ends, every parked age is caught up
//! with and goes on event by event; a stream that is opened in calm again is parked again. So a
//! replica that came back fills as the ages of the others' streams run out.
//!
//! Source: `model::control::age`; ARCHITECTURE.md on parking.
//! Left out: that calm streams are drawn to other replicas when they are renewed: they stay where
//! they are, which is the same in law at any one time.

use super::World;
use super::control::XDS;
use super::event::Event;
use super::streams::XdsStream;
use crate::kernel::queue::Ticket;
use crate::kernel::time::Duration;
use crate::model::control::age::{Age, AgeLaw};
use crate::model::control::slots::auto_slots;
use crate::model::identity::chain::Wall;
use crate::plan::Start;
use crate::plan::parameter::Parameters;

/// The draws of a pod's ages.
pub(super) const DOMAIN: u32 = 8;
/// What of the admission, the cores and the memory may be used in calm.
const ROOM: f64 = 0.5;
/// A stream that is to end of age while it is black-holed is looked at again after this.
const AGAIN: Duration = Duration::from_s(30);

impl World<'_> {
    /// A stream that was there at time zero.
    pub(super) fn begin_age(&mut self, index: u32) {
        let key = self.loop_key(index, DOMAIN);
        if let Some(law) = &self.control.age_law {
            let age = &mut self.pods[index as usize].age;
            match self.plan.start {
                Start::Cold => age.open(self.now, law, |n| key.draw(0, n)),
                Start::Stationary => *age = Age::long_ago(law, |n| key.draw(0, n)),
            }
        }
    }

    /// A stream is opened: it gets an age.
    pub(super) fn open_age(&mut self, index: u32) {
        let key = self.loop_key(index, DOMAIN);
        let Some(law) = &self.control.age_law else { return };
        self.pods[index as usize].age.open(self.now, law, |n| key.draw(0, n));
        if !self.control.is_calm {
            self.schedule_age(index);
        }
    }

    fn schedule_age(&mut self, index: u32) {
        let pod = &mut self.pods[index as usize];
        if pod.age.ends() < self.end {
            let event = Event::StreamAge(index).pack();
            pod.stream_ticket = self.queue.at(pod.age.ends().max(self.now), event);
        }
    }

    /// A stream is so old that its replica ends it.
    pub(super) fn stream_age(&mut self, index: u32, ticket: Ticket) {
        if self.pods[index as usize].stream_ticket != ticket {
            return self.stale();
        }
        if self.control.black_holed.contains_key(&index) {
            // The proxy hears nothing of it.
            let event = Event::StreamAge(index).pack();
            self.pods[index as usize].stream_ticket = self.queue.after(AGAIN, event);
            return;
        }
        self.lose_stream(index);
        self.reopen_at_once(index);
    }

    /// Something changed: whether it is calm. When calm ends, parked ages go on.
    pub(super) fn review_calm(&mut self) {
        if self.control.age_law.is_none() {
            return;
        }
        let is_calm = self.is_calm();
        let was_calm = std::mem::replace(&mut self.control.is_calm, is_calm);
        if was_calm && !self.control.is_calm {
            for index in self.with_streams() {
                self.catch_up_age(index);
                if self.pods[index as usize].stream_ticket == Ticket::NONE {
                    self.schedule_age(index);
                }
            }
        }
    }

    /// Pods with a stream, in order.
    pub(super) fn with_streams(&self) -> Vec<u32> {
        let mut all: Vec<u32> =
            self.control.replicas.iter().flat_map(|one| one.connected.iter().copied()).collect();
        all.sort_unstable();
        all
    }

    /// The streams that a pod's parked age has brought until now.
    pub(super) fn catch_up_age(&mut self, index: u32) {
        let key = self.loop_key(index, DOMAIN);
        let Some(law) = &self.control.age_law else { return };
        let pod = &mut self.pods[index as usize];
        if !matches!(pod.stream, XdsStream::Connected(_)) || pod.stream_ticket != Ticket::NONE {
            return;
        }
        let since = pod.age.opened_by(self.now, law, |n| key.draw(0, n));
        let opened = pod.age.skip_to(self.now, law, |n| key.draw(0, n));
        // By a leap it is not known; not long ago, as ages go.
        pod.connected_since =
            since.unwrap_or(if opened == 0 { pod.connected_since } else { self.now });
        self.control.counts.streams_opened += opened;
        self.control.counts.pushes += opened;
    }

    fn is_calm(&self) -> bool {
        let control = &self.control;
        let there: Vec<usize> =
            (0..control.replicas.len()).filter(|one| control.replicas[*one].is_wanted).collect();
        let is_plain = |index: &usize| {
            let replica = &control.replicas[*index];
            control.serves(*index, XDS)
                && replica.frozen == 0
                && replica.context != 0
                && replica.is_at_speed()
                && self.has_valid_chain(*index)
                && self.now < replica.serving.to_proxies
                && !self.nodes.is_dead(replica.node)
        };
        self.reviews_are_calm()
            && there.iter().all(is_plain)
            && self.has_room(there.len())
            && !self.is_any_cut(&there)
    }

    /// Whether agents that come back take what a replica shows.
    fn has_valid_chain(&self, replica: usize) -> bool {
        let signer = self.authorities.signer(u32::try_from(replica).unwrap_or(0));
        let now = Wall::of(self.now, 0);
        self.authorities.chains.invalid(signer, now).is_none() && !self.control.clocks.are_off()
    }

    fn has_room(&self, replicas: usize) -> bool {
        let proxies = f64::from(self.census.counts.proxies);
        let law = self.control.age_law.as_ref();
        law.is_none_or(|law| has_room(&self.plan.parameters, law, proxies, replicas as f64))
    }

    fn is_any_cut(&self, there: &[usize]) -> bool {
        let nodes = 0..u32::try_from(self.plan.universe.nodes.len()).expect("few nodes");
        nodes.map(crate::plan::universe::NodeId).any(|node| {
            there.iter().any(|index| {
                let of = self.control.replicas[*index].node;
                self.network.is_cut(node, of) || self.network.is_cut(of, node)
            })
        })
    }
}

/// The law of ages of a mesh; none if streams have none.
pub(super) fn age_law(parameters: &Parameters) -> Option<AgeLaw> {
    let (xds, back_off) = (&parameters.xds, &parameters.envoy_stream_backoff);
    AgeLaw::new(xds.max_connection_age, xds.age_jitter, xds.age_grace, back_off.base)
}

/// Whether streams of so many proxies that end of age are let in again, and served, without a
/// thought.
pub(super) fn has_room(parameters: &Parameters, law: &AgeLaw, proxies: f64, replicas: f64) -> bool {
    let (istiod, xds) = (&parameters.istiod, &parameters.xds);
    let each = proxies / replicas.max(1.0);
    let per_s = each / law.shortest().as_s();
    let rate = auto_slots(xds.stream_rate, istiod.cpu);
    let cores = f64::from(istiod.cpu);
    let memory = istiod.memory_base.0 as f64 + each * istiod.memory_per_proxy.0 as f64;
    let reviews = istiod.token_review_qps;
    per_s <= ROOM * f64::from(rate)
        && (reviews == 0 || per_s <= ROOM * f64::from(reviews))
        && per_s * xds.full_push_time.as_s() + each * istiod.cpu_per_proxy <= ROOM * cores
        && (istiod.memory_limit.0 == 0 || memory <= ROOM * istiod.memory_limit.0 as f64)
}
