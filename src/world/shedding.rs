//! Overload of proxies: how they look at their pressure, and what is refused because of it.
//!
//! Source: `model::proxy::filter::overload`; measured on Envoy 1.40: 503 without a flag, `overload`. The share of
//! its workers that is busy is what a request costs when it comes, with its answer.
//! Left out: a look between two requests where only requests are refused by their number: it is made at the
//! first request after its time. Work for tries beyond the first, and for handshakes.

use super::World;
use super::admission::Side;
use super::client::purpose;
use super::filters::nth;
use super::state::{Attempt, Call, Phase};
use crate::kernel::slab::Id;
use crate::kernel::stream::draw_at;
use crate::kernel::time::{Duration, Time};
use crate::model::proxy::filter::overload::Pressure;
use crate::plan::filter::{Filter, Monitor, Overload, OverloadAction};
use std::collections::BTreeSet;

/// An overload policy's side and its place there.
pub(super) type Place = (Side, usize);

/// One overload policy of a pod's proxy.
#[derive(Clone, Debug, Default)]
pub(super) struct Shedding {
    pub(super) pressure: Pressure,
    /// How long before the run its proxy began, within an interval; none before the first request.
    before: Option<Duration>,
    /// Requests that it let pass, and some that are over.
    sent: BTreeSet<Id<Call>>,
    received: BTreeSet<Id<Attempt>>,
    /// What its workers had to do since it last looked, and when that was.
    work: Duration,
    looked: Time,
}

impl<'p> World<'p> {
    /// Whether a request that is to be sent is refused.
    #[cold]
    pub(super) fn sheds_sent(&mut self, id: Id<Call>, place: usize, policy: &Overload) -> bool {
        let Call { pod, key, .. } = self.calls[id];
        let (draw, place) = (key.draw(nth(place), purpose::OVERLOAD), (Side::Outbound, place));
        let sheds = self.sheds(pod, place, policy, draw);
        let proxy = &self.plan.parameters.proxy;
        let work = proxy.client_request + proxy.client_response + proxy.client_telemetry;
        let state = self.shedding(pod, place);
        match policy.monitor {
            Monitor::Requests(_) if !sheds => drop(state.sent.insert(id)),
            Monitor::Cpu => state.work += work,
            Monitor::Requests(_) | Monitor::Connections(_) => {}
        }
        sheds
    }

    /// Whether a request that is received is refused.
    #[cold]
    pub(super) fn sheds_received(
        &mut self,
        id: Id<Attempt>,
        place: usize,
        policy: &Overload,
    ) -> bool {
        let Attempt { pod, key, .. } = self.attempts[id];
        let (draw, place) = (key.draw(nth(place), purpose::OVERLOAD), (Side::Inbound, place));
        let sheds = self.sheds(pod, place, policy, draw);
        let proxy = &self.plan.parameters.proxy;
        let work = proxy.server_request + proxy.server_response + proxy.server_telemetry;
        let state = self.shedding(pod, place);
        match policy.monitor {
            Monitor::Requests(_) if !sheds => drop(state.received.insert(id)),
            Monitor::Cpu => state.work += work,
            Monitor::Requests(_) | Monitor::Connections(_) => {}
        }
        sheds
    }

    fn sheds(&mut self, pod: u32, place: Place, policy: &Overload, draw: u64) -> bool {
        if self.compiled.has.client_connections {
            self.wake_overload(pod);
        }
        self.look_if_due(pod, place, policy);
        policy.action == OverloadAction::StopRequests
            && self.shedding(pod, place).pressure.sheds(draw)
    }

    fn shedding(&mut self, pod: u32, place: Place) -> &mut Shedding {
        self.filter_state(pod).shedding.entry(place).or_default()
    }

    /// The proxy looks at its pressure, if it has not yet done so in this interval.
    pub(super) fn look_if_due(&mut self, pod: u32, place: Place, policy: &Overload) {
        let (now, before) = (self.now, self.began_before(pod, place, policy));
        let interval = policy.refresh_interval;
        let connections = self.client_connections(pod);
        let workers = self.pods[pod as usize].workers.count() as f64;
        let states = &mut self.filters.of_pods.entry(pod).or_default().shedding;
        let state = states.entry(place).or_default();
        if !state.pressure.is_due(policy, now, before) {
            return;
        }
        let pressure = match policy.monitor {
            Monitor::Requests(most) => {
                let is_open = |id: &Id<Call>| self.calls.get(*id).is_some_and(|one| !one.is_over);
                let is_here = |id: &Id<Attempt>| {
                    self.attempts.get(*id).is_some_and(|one| is_in_pod(one.phase))
                };
                state.sent.retain(is_open);
                state.received.retain(is_here);
                (state.sent.len() + state.received.len()) as f64 / f64::from(most)
            }
            Monitor::Connections(most) => connections as f64 / f64::from(most),
            Monitor::Cpu => {
                let elapsed = now.since(state.looked).max(Duration::from_ns(1)).min(interval);
                let work = std::mem::take(&mut state.work);
                state.pressure.smooth(work.as_s() / (elapsed.as_s() * workers))
            }
        };
        state.looked = now;
        state.pressure.look(policy, now, before, pressure);
    }

    /// How long before the run a proxy began, within an interval of a policy.
    fn began_before(&mut self, pod: u32, place: Place, policy: &Overload) -> Duration {
        let interval = policy.refresh_interval.ns().max(1);
        let (seed, hash) = (self.seed, self.pods[pod as usize].hash);
        let began = || Duration::from_ns(draw_at(seed, "overload", hash, 0) % interval);
        *self.shedding(pod, place).before.get_or_insert_with(began)
    }

    /// When a proxy next looks for one of its policies.
    pub(super) fn next_look(&mut self, pod: u32, place: Place, policy: &Overload) -> Time {
        let before = self.began_before(pod, place, policy);
        Pressure::next_look(policy, self.now, before)
    }

    /// The overload policies of a pod's proxy.
    pub(super) fn overloads(&self, pod: u32) -> impl Iterator<Item = (Place, &'p Overload)> + 'p {
        let workload = &self.plan.universe.workloads[self.pods[pod as usize].workload.index()];
        let of = |side: Side, filters: &'p [Filter]| {
            let filters = filters.iter().enumerate();
            filters.filter_map(move |(place, filter)| match filter {
                Filter::Overload(policy) => Some(((side, place), policy)),
                _ => None,
            })
        };
        of(Side::Outbound, &workload.filters).chain(of(Side::Inbound, &workload.inbound))
    }
}

/// Whether a request that its sidecar let pass has no answer yet.
pub(super) const fn is_in_pod(phase: Phase) -> bool {
    matches!(phase, Phase::Inbound | Phase::Queued | Phase::Working | Phase::Calling | Phase::Hung)
}
