//! Copies of requests to another cluster, sent and forgotten.
//!
//! A copy begins with the request's first try, has the rule's timeout and no retries, and its answer is
//! ignored: the request neither waits for it nor fails with it. It takes a connection and the
//! endpoint's time like any other.
//!
//! Source: Envoy's `ShadowWriterImpl` and `Filter::decodeHeaders` (source/common/router); measured (e11
//! `mirror_10pct_*`: 195 and more of 2000).
//! Left out: the `-shadow` of the copy's host, which no endpoint looks at; filters, which a copy passes
//! none of; the client proxy's work for it.

use super::World;
use super::client::purpose;
use super::routing::rule;
use super::state::{Call, Held, LAST_TRIES, NONE, Parent};
use crate::kernel::queue::TimerId;
use crate::kernel::slab::Id;
use crate::kernel::stream::uniform;
use crate::plan::route::Mirror;
use crate::vocabulary::flag::Flags;
use crate::vocabulary::outcome::Outcome;

impl World<'_> {
    /// The copies of a call that has its rule; none of one that has ended at once, without an endpoint or
    /// before a circuit breaker (Envoy's `onRequestComplete`: "an immediate reset").
    #[cold]
    #[inline(never)]
    pub(super) fn mirror(&mut self, id: Id<Call>) {
        let Some(call) = self.calls.get(id).copied().filter(|call| !call.attempt.is_none()) else {
            return;
        };
        for (mirror, number) in rule(self.plan, &call).mirrors.iter().zip(0..) {
            if uniform(call.key.draw(0, purpose::MIRROR + number)) < mirror.share {
                self.begin_copy(&call, *mirror, number);
            }
        }
    }

    fn begin_copy(&mut self, call: &Call, mirror: Mirror, number: u32) {
        let key = call.key.child(u32::MAX - 1 - number);
        let Some(edge) = self.compiled.mirror_edge(call.edge, mirror.route) else { return };
        self.ledger.calls_began += 1;
        let copy = self.calls.insert(Call {
            key,
            began: self.now,
            parent: Parent::Mirrored,
            edge,
            class: rule(self.plan, call).onward(call.class),
            per_try: None,
            takes_success: true,
            tries: 0,
            filter: 0,
            held: Held::Not,
            flags: Flags::NONE,
            holds_retry: false,
            pending: 0,
            is_over: false,
            upstream: NONE,
            attempt: Id::NONE,
            timeout: TimerId::NONE,
            idle: TimerId::NONE,
            outcome: Outcome::answer(0),
            workload: None,
            cause: None,
            tried: [NONE; LAST_TRIES],
            ..*call
        });
        self.follow_rule(copy, call.pod, mirror.route, 0, key);
    }
}
