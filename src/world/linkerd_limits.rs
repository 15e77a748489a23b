//! How Linkerd's proxies treat a request: by its service's `ServiceProfile` where one governs, else by routes and
//! annotations; and the limits on it, on its attempts, and on silence.
//!
//! ```text
//! call.timeout: the whole       attempt.per_try: its header, then silence       call.idle: an attempt's response
//! ```
//!
//! Before a header a limit is a 504; after it the stream is reset (0). None is tried again but that on a header.
//!
//! Source: `plan::linkerd::{profile, split}`; `model::linkerd::timeouts`, whose rules these timers follow.
//! Left out: requests whose bodies come late; the time in which an HTTP/1 connection is opened, which counts for the
//! limit on a response here.

use super::World;
use super::client::purpose;
use super::event::Event;
use super::routing::rule;
use super::state::{Attempt, Call, Phase};
use crate::kernel::queue::{LaneId, TimerId};
use crate::kernel::slab::Id;
use crate::kernel::time::Duration;
use crate::model::linkerd::answer::Answer;
use crate::model::linkerd::retry;
use crate::model::proxy::filter::buffer::body_bytes;
use crate::plan::linkerd::policy::{FailureAccrual, RetryPolicy, Timeouts};
use crate::plan::linkerd::profile::Treatment;
use crate::plan::universe::{RouteId, ServiceId};

impl<'p> World<'p> {
    // === what governs ===

    /// Whether a route table is of a `ServiceProfile`.
    pub(super) fn is_of_profile(&self, route: RouteId) -> bool {
        self.plan.linkerd_rules.profiles.contains(&route)
    }

    /// How a profile treats a call, if it is one that governs.
    pub(super) fn treatment(&self, call: &Call) -> Option<Treatment<'p>> {
        if !self.is_of_profile(call.route) {
            return None;
        }
        let profile = self.rules_of(call.service).and_then(|rules| rules.profile.as_ref());
        Some(profile.map(|profile| profile.treatment(call.rule)).unwrap_or_default())
    }

    /// When endpoints of a service are shut out, as a pod's proxy has heard: never where a profile governs.
    pub(super) fn accrual_of(&self, pod: u32, service: ServiceId) -> Option<FailureAccrual> {
        if self.app_protocol(service).is_tcp() {
            return None;
        }
        let version = self.seen(pod).rds;
        let route = self.config.route(service, version);
        if route.is_some_and(|route| self.is_of_profile(route)) {
            return None;
        }
        let own = self.rules_of(service).and_then(|rules| rules.accrual);
        own.or_else(|| FailureAccrual::new(&self.own().linkerd_accrual))
    }

    // === limits ===

    /// The limit on a call with its retries.
    pub(super) fn limit_lane(&mut self, call: &Call) -> Option<LaneId> {
        match self.treatment(call) {
            Some(own) if own.timeout.is_zero() => None,
            Some(own) => Some(self.queue.lane(own.timeout)),
            None => self.compiled.rules[call.route.index()][call.rule as usize].timeout,
        }
    }

    /// How that limit is called.
    pub(super) fn limit_of_linkerd(&self, id: Id<Call>) -> Answer {
        if self.is_of_profile(self.calls[id].route) {
            Answer::ProfileTimeout(Duration::ZERO)
        } else {
            Answer::RequestTimeout(Duration::ZERO)
        }
    }

    /// Retries by annotation: those of the call's route, or of its service.
    pub(super) fn annotated_retry(&self, call: &Call) -> Option<&'p RetryPolicy> {
        let table = self.plan.universe.routes.get(call.route.index());
        let rule = table.and_then(|table| table.rules.get(call.rule as usize));
        let own = rule.and_then(|rule| rule.linkerd.retry.as_ref());
        own.or_else(|| self.rules_of(call.service)?.retry.as_ref())
    }

    /// The limit on an attempt's header.
    pub(super) fn header_lane(&mut self, id: Id<Call>) -> Option<LaneId> {
        let call = self.calls[id];
        if self.is_of_profile(call.route) {
            return None;
        }
        let policy = self.annotated_retry(&call)?;
        let retries = self.outbound().way(id).retries;
        retry::header_timeout(policy, retries).map(|limit| self.queue.lane(limit))
    }

    fn stream_limits(&self, id: Id<Call>) -> Timeouts {
        rule(self.plan, &self.calls[id]).linkerd.timeouts
    }

    /// An attempt begins: its response has so much time.
    pub(super) fn expect_response(&mut self, id: Id<Call>) {
        self.forget_response(id);
        let limit = self.stream_limits(id).response;
        if !limit.is_zero() {
            let lane = self.queue.lane(limit);
            self.expect_idle(id, lane);
        }
    }

    /// An attempt is over.
    pub(super) fn forget_response(&mut self, id: Id<Call>) {
        let timer = std::mem::replace(&mut self.calls[id].idle, TimerId::NONE);
        if !timer.is_none() {
            self.queue.cancel(timer);
        }
    }

    /// The time of an attempt's response is over.
    #[cold]
    pub(super) fn response_is_late(&mut self, id: Id<Call>) {
        let attempt = self.attempts.get(self.calls[id].attempt);
        // Until the header comes that limit holds, if there is one.
        let waits =
            attempt.is_some_and(|one| one.phase != Phase::Streaming && !one.per_try.is_none());
        if !waits {
            self.cut_stream(id, Answer::ResponseTimeout(Duration::ZERO));
        }
    }

    /// The header of an answer has come, and not all of it.
    #[cold]
    pub(super) fn header_by_linkerd(&mut self, id: Id<Attempt>) {
        let Attempt { call, per_try, sent_at, .. } = self.attempts[id];
        if !per_try.is_none() {
            self.queue.cancel(per_try);
        }
        let Timeouts { response, idle, .. } = self.stream_limits(call);
        self.attempts[id].per_try = if idle.is_zero() {
            TimerId::NONE
        } else {
            let lane = self.queue.lane(idle);
            self.queue.after_lane(lane, Event::PerTryTimeout(id.index()).pack())
        };
        // It went by while there was a limit on the header.
        let is_over = !response.is_zero() && sent_at.saturating_add(response) <= self.now;
        if is_over && self.calls[call].idle.is_none() {
            let lane = self.queue.lane(Duration::ZERO);
            self.expect_idle(call, lane);
        }
    }

    /// A limit has passed: 504, or a reset of what has a header.
    pub(super) fn cut_stream(&mut self, id: Id<Call>, limit: Answer) {
        let mut outcome = self.outcome_of(limit, self.app_protocol(self.calls[id].service));
        let attempt_id = self.calls[id].attempt;
        if let Some(attempt) = self.attempts.get(attempt_id).copied() {
            self.calls[id].cause = attempt.cause.or(self.calls[id].cause);
            if attempt.phase == Phase::Streaming {
                outcome.status = 0;
            }
            self.abandon(attempt_id, outcome);
        }
        self.end_early(id, outcome);
    }

    // === bodies ===

    /// Bytes of a request's body, by its `content-length`.
    pub(super) fn body_of(&self, id: Id<Call>) -> u64 {
        let call = &self.calls[id];
        let class = &self.plan.universe.classes[call.class.index()];
        body_bytes(class, call.key.draw(0, purpose::SESSION)).unwrap_or(0)
    }
}
