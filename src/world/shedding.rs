//! Overload of proxies: what is refused because too much is under way.
//!
//! Source: `model::proxy::filter::overload`; measured on Envoy 1.40: 503 without a flag, `overload`.
//! Left out: a look between two requests: it is made at the first request after its time.

use super::World;
use super::admission::Side;
use super::client::purpose;
use super::filters::nth;
use super::state::{Attempt, Call, Phase};
use crate::kernel::slab::Id;
use crate::kernel::stream::draw_at;
use crate::kernel::time::Duration;
use crate::model::proxy::filter::overload::Pressure;
use crate::plan::filter::Overload;
use std::collections::BTreeSet;

/// One overload policy of a pod's proxy.
#[derive(Clone, Debug, Default)]
pub(super) struct Shedding {
    pressure: Pressure,
    /// How long before the run its proxy began, within an interval; none before the first request.
    before: Option<Duration>,
    /// Requests that it let pass, and some that are over.
    sent: BTreeSet<Id<Call>>,
    received: BTreeSet<Id<Attempt>>,
}

impl World<'_> {
    /// Whether a request that is to be sent is refused.
    #[cold]
    pub(super) fn sheds_sent(&mut self, id: Id<Call>, place: usize, policy: &Overload) -> bool {
        let Call { pod, key, .. } = self.calls[id];
        let (draw, place) = (key.draw(nth(place), purpose::OVERLOAD), (Side::Outbound, place));
        let sheds = self.sheds(pod, place, policy, draw);
        if !sheds {
            self.filter_state(pod).shedding.entry(place).or_default().sent.insert(id);
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
        if !sheds {
            self.filter_state(pod).shedding.entry(place).or_default().received.insert(id);
        }
        sheds
    }

    fn sheds(&mut self, pod: u32, place: (Side, usize), policy: &Overload, draw: u64) -> bool {
        let (now, interval) = (self.now, policy.refresh_interval.ns().max(1));
        let hash = self.pods[pod as usize].hash;
        let began = || Duration::from_ns(draw_at(self.seed, "overload", hash, 0) % interval);
        let states = &mut self.filters.of_pods.entry(pod).or_default().shedding;
        let state = states.entry(place).or_default();
        let before = *state.before.get_or_insert_with(began);
        if state.pressure.is_due(policy, now, before) {
            let is_open = |id: &Id<Call>| self.calls.get(*id).is_some_and(|one| !one.is_over);
            let is_here =
                |id: &Id<Attempt>| self.attempts.get(*id).is_some_and(|one| is_in_pod(one.phase));
            state.sent.retain(is_open);
            state.received.retain(is_here);
            let active = state.sent.len() + state.received.len();
            state.pressure.look(policy, now, before, active);
        }
        state.pressure.sheds(draw)
    }
}

/// Whether a request that its sidecar let pass has no answer yet.
pub(super) const fn is_in_pod(phase: Phase) -> bool {
    matches!(phase, Phase::Inbound | Phase::Queued | Phase::Working | Phase::Calling | Phase::Hung)
}
