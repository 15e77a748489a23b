//! A sidecar that cannot connect to its own app: it tries again, if it is told to, and answers for it then.
//!
//! Source: Istio from 1.24 on (`retry.go`: two retries on `reset-before-request`), with Envoy's default
//! back-off; measured on Envoy 1.40: that condition retries a refused connection, not a reset after the
//! request was written.
//! Left out: ports of gRPC, which Istio leaves out; apps that swallow connections; circuit breakers of the
//! inbound cluster.

use super::World;
use super::client::purpose;
use super::event::Event;
use super::state::{Attempt, Phase};
use crate::kernel::slab::Id;
use crate::kernel::time::Duration;
use crate::model::proxy::retry::full_jitter;
use crate::plan::behaviour::Port;
use crate::vocabulary::outcome::Outcome;

/// Limits of the first and of the longest back-off: Envoy's defaults.
const BACKOFF: (Duration, Duration) = (Duration::from_ms(25), Duration::from_ms(250));

impl World<'_> {
    /// A live sidecar in front of a dead app: a plain 503, without a flag at the client.
    pub(super) fn answer_for_app(&mut self, id: Id<Attempt>) {
        if self.compiled.has.inbound_retries && self.tries_app_again(id) {
            return;
        }
        self.fail_for_app(id);
    }

    /// The same without another try.
    pub(super) fn fail_for_app(&mut self, id: Id<Attempt>) {
        let cause = self.pod_cause(self.attempts[id].pod);
        self.attempts[id].cause = cause;
        if self.compiled.has.inbound_filters {
            self.count_received(id, usize::MAX, Outcome::answer(503));
        }
        if self.linkerd.is_some() {
            return self.answer_by_linkerd(id);
        }
        self.answer(id, Outcome::answer(503));
    }

    /// Whether the sidecar of an attempt whose app takes no connection tries again: then that is seen to.
    #[cold]
    #[inline(never)]
    fn tries_app_again(&mut self, id: Id<Attempt>) -> bool {
        let attempt = &mut self.attempts[id];
        let pod = &mut self.pods[attempt.pod as usize];
        let port = self.workloads[attempt.workload.index()].behaviour.port;
        let is_refused = attempt.phase == Phase::Inbound && port != Port::Swallows;
        // While the app does not have it, it has no calls of its own to count.
        let retries = u32::from(attempt.open_calls);
        if !is_refused
            || !pod.has_sidecar
            || attempt.call.is_none()
            || self.plan.parameters.retry.inbound_attempts <= retries
        {
            return false;
        }
        let number = retries + 1;
        let wait = full_jitter(BACKOFF, number, attempt.key.draw(number, purpose::INBOUND_BACKOFF));
        attempt.open_calls += 1;
        attempt.pending += 1;
        pod.inbound += 1;
        self.queue.after(wait, Event::Enter(id.index()).pack());
        true
    }
}
