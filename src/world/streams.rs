//! xDS streams of proxies: opened, admitted, lost, retried.
//!
//! A proxy that loses its stream keeps what it has and comes back with full-jitter back-off; a
//! replica admits new streams at a limited rate. Whoever waits for a control plane that is away is
//! parked: its tries are counted when it comes back, not simulated one by one.
//!
//! Source: istio pilot/pkg/xds/ads.go, Envoy's gRPC stream back-off.
//! Left out: what one proxy's several streams have apart.

use super::World;
use super::control::{CONNECT_HELD, Found, XDS};
use super::event::Event;
use super::pod::Kind;
use super::state::Life;
use super::tokens::Asks;
use crate::kernel::queue::Ticket;
use crate::kernel::stream::Key;
use crate::kernel::time::Duration;
use crate::model::control::admission::Admit;
use crate::model::identity::retry::{Law, RetryLoop};
use crate::vocabulary::fact::FactKind;

/// Whether a proxy has an xDS stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum XdsStream {
    /// It needs none.
    Off,
    /// To a replica.
    Connected(u32),
    /// The next try is scheduled, or parked until something changes.
    Waiting,
}

impl World<'_> {
    /// A pod's draw for a loop.
    pub(super) fn loop_key(&self, pod: u32, domain: u32) -> Key {
        Key(self.pods[pod as usize].hash ^ self.seed).child(domain)
    }

    fn stream_law(&self, index: u32) -> Law {
        if self.pods[index as usize].kind == Kind::Ztunnel {
            return Law::ztunnel_stream(&self.plan.parameters.ztunnel);
        }
        self.control.stream_law
    }

    /// What a try costs whose packets vanish.
    fn stream_held(&self) -> Duration {
        self.plan.linkerd.as_ref().map_or(CONNECT_HELD, |own| own.linkerd_control.connect_timeout)
    }

    /// A proxy tries to open its xDS stream.
    pub(super) fn open_stream(&mut self, index: u32, ticket: Ticket) {
        if self.pods[index as usize].stream_ticket != ticket {
            return self.stale();
        }
        self.pods[index as usize].stream_ticket = Ticket::NONE;
        self.try_stream(index);
    }

    pub(super) fn try_stream(&mut self, index: u32) {
        let pod = &self.pods[index as usize];
        let key = self.loop_key(index, 2);
        let draw = key.draw(0, u32::try_from(self.now.ns() & 0xffff_ffff).unwrap_or(0));
        match self.find(pod.node, XDS, draw) {
            Found::Replica(replica) if !self.trusts_istiod(index, replica) => {
                self.control.counts.stream_attempts_failed += 1;
                let parks = !self.trusts_some(index, XDS) && !self.awaits_some(index);
                self.retry_stream(index, Duration::ZERO, parks);
            }
            Found::Replica(replica) => {
                match self.control.replicas[replica as usize].admission.admit(self.now) {
                    Admit::At(time) => {
                        let Some(time) = self.review_token(index, replica, time, Asks::Stream)
                        else {
                            self.control.counts.stream_attempts_failed += 1;
                            let parks = !self.is_authenticated(index);
                            return self.retry_stream(index, Duration::ZERO, parks);
                        };
                        let to = self.control.replicas[replica as usize].node;
                        let node = self.pods[index as usize].node;
                        let round_trip =
                            self.one_way(node, to, draw) + self.one_way(to, node, draw);
                        let pod = &mut self.pods[index as usize];
                        pod.stream_is_parked = false;
                        let event = Event::Admitted(index).pack();
                        pod.stream_ticket = self.queue.at(time + round_trip, event);
                        pod.stream = XdsStream::Waiting;
                        pod.stream_replica = replica;
                    }
                    Admit::Refused => {
                        self.control.counts.stream_attempts_failed += 1;
                        self.retry_stream(index, self.plan.parameters.xds.rate_wait, false);
                    }
                }
            }
            Found::Refused => {
                self.control.counts.stream_attempts_failed += 1;
                self.retry_stream(index, Duration::ZERO, true);
            }
            Found::BlackHole => {
                self.control.counts.stream_attempts_failed += 1;
                self.retry_stream(index, self.stream_held(), true);
            }
        }
    }

    /// A try failed: another after the back-off, or, while nothing can change, parked.
    fn retry_stream(&mut self, index: u32, held: Duration, park: bool) {
        let (key, law) = (self.loop_key(index, 3), self.stream_law(index));
        let pod = &mut self.pods[index as usize];
        pod.stream = XdsStream::Waiting;
        pod.stream_loop.fail(&law, held, |n| key.draw(0, n));
        pod.stream_held = held;
        pod.stream_is_parked = park;
        if park {
            self.control.parked.insert(index);
        } else {
            let at = pod.stream_loop.next_try().max(self.now);
            pod.stream_ticket = self.queue.at(at, Event::Stream(index).pack());
        }
    }

    /// Something changed: parked streams find out at their next try.
    pub(super) fn unpark_stream(&mut self, index: u32) {
        let pod = &self.pods[index as usize];
        if !pod.stream_is_parked || !self.is_authenticated(index) || !self.trusts_some(index, XDS) {
            return;
        }
        let (key, law) = (self.loop_key(index, 3), self.stream_law(index));
        let pod = &mut self.pods[index as usize];
        let held = pod.stream_held;
        let skipped = pod.stream_loop.skip_to(self.now, &law, held, |n| key.draw(0, n));
        self.control.counts.stream_attempts_failed += skipped;
        pod.stream_is_parked = false;
        let at = pod.stream_loop.next_try();
        pod.stream_ticket = self.queue.at(at, Event::Stream(index).pack());
    }

    /// Counts the tries that a parked stream would have made until now.
    pub(super) fn count_parked_streams(&mut self, index: u32) {
        let (key, law) = (self.loop_key(index, 3), self.stream_law(index));
        let now = self.now;
        let pod = &mut self.pods[index as usize];
        if pod.stream_is_parked {
            let held = pod.stream_held;
            let skipped = pod.stream_loop.skip_to(now, &law, held, |n| key.draw(0, n));
            self.control.counts.stream_attempts_failed += skipped;
        }
    }

    /// istiod admits the stream; the first message resets the back-off.
    pub(super) fn admitted(&mut self, index: u32, ticket: Ticket) {
        if self.pods[index as usize].stream_ticket != ticket {
            return self.stale();
        }
        let pod = &mut self.pods[index as usize];
        pod.stream_ticket = Ticket::NONE;
        let replica = pod.stream_replica;
        let (a, b) = (pod.node, self.control.replicas[replica as usize].node);
        if !self.control.serves(replica as usize, XDS) || !self.is_connected(a, b) {
            return self.try_stream(index);
        }
        self.control.counts.streams_opened += 1;
        let pod = &mut self.pods[index as usize];
        pod.stream = XdsStream::Connected(replica);
        pod.connected_since = self.now;
        self.recount(index);
        self.fact_of(FactKind::ProxyConnected, index, |world| {
            format!("to {}", world.controller(XDS, replica))
        });
        self.pods[index as usize].is_new_stream = true;
        self.control.replicas[replica as usize].connected.insert(index);
        if self.is_stuck(replica) {
            return self.await_first_update(index);
        }
        self.open_age(index);
        self.control.replicas[replica as usize].push.enqueue(index);
        self.fill_slots(replica);
    }

    /// A proxy's stream is lost; it comes back after its back-off.
    pub(super) fn lose_stream(&mut self, index: u32) {
        let XdsStream::Connected(replica) = self.pods[index as usize].stream else { return };
        self.pods[index as usize].is_new_stream = false;
        self.control.black_holed.remove(&index);
        self.control.stuck.remove(&index);
        self.control.replicas[replica as usize].push.remove(index);
        self.set_pushing(index, None);
        self.pods[index as usize].stream_ticket = Ticket::NONE;
        self.control.replicas[replica as usize].connected.remove(&index);
        let law = self.stream_law(index);
        let key = self.loop_key(index, 3);
        let pod = &mut self.pods[index as usize];
        pod.stream = XdsStream::Waiting;
        pod.epoch += 1;
        // A message was received on this stream, so the back-off begins anew.
        let draws = pod.stream_loop.draws();
        pod.stream_loop = RetryLoop::restart(self.now, draws);
        pod.stream_loop.fail(&law, Duration::ZERO, |n| key.draw(0, n));
        pod.stream_held = Duration::ZERO;
        self.recount(index);
        if self.control.serves(replica as usize, XDS) {
            // The slot that it may have held is another's.
            self.fill_slots(replica);
        }
        self.fact_of(FactKind::ProxyDisconnected, index, |_| String::new());
        let pod = &mut self.pods[index as usize];
        if matches!(pod.life, Life::Down | Life::Gone) {
            pod.stream = XdsStream::Off;
            return;
        }
        if self.trusts_some(index, XDS) {
            let pod = &mut self.pods[index as usize];
            let at = pod.stream_loop.next_try();
            pod.stream_is_parked = false;
            pod.stream_ticket = self.queue.at(at, Event::Stream(index).pack());
        } else {
            self.pods[index as usize].stream_is_parked = true;
            self.control.parked.insert(index);
        }
    }
}
