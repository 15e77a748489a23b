//! What Linkerd's proxies do with the outcome of an attempt: their own words for it, another attempt, or the end; and
//! what the server's proxy answers for an app that takes no connection.
//!
//! Source: `model::linkerd::{answer, retry, retry_budget, timeouts}`.
//! Left out: nothing.

use super::World;
use super::client::purpose;
use super::event::Event;
use super::state::{Attempt, Call};
use crate::kernel::slab::Id;
use crate::kernel::time::Duration;
use crate::model::linkerd::accrual::Class;
use crate::model::linkerd::answer::Answer;
use crate::model::linkerd::retry::{self, Attempted, Decision};
use crate::model::linkerd::retry_budget::{self, Budget};
use crate::plan::behaviour::Port;
use crate::plan::linkerd::profile::Treatment;
use crate::plan::linkerd::rules::ServiceRules;
use crate::plan::universe::ServiceId;
use crate::vocabulary::flag::Flags;
use crate::vocabulary::outcome::{Details, Outcome};

impl<'p> World<'p> {
    /// What a service asks of the proxies of its clients.
    pub(super) fn rules_of(&self, service: ServiceId) -> Option<&'p ServiceRules> {
        self.plan.linkerd_rules.services.get(&service)
    }

    /// In Linkerd's words.
    fn translated(&self, service: ServiceId, outcome: Outcome) -> Outcome {
        let of = |answer| self.outcome_of(answer, self.app_protocol(service));
        match outcome.details {
            Details::ConnectionTimeout => of(Answer::ConnectTimeout(Duration::ZERO)),
            Details::PerTryTimeout | Details::PerTryIdleTimeout | Details::MaxStreamDuration => {
                of(Answer::RequestTimeout(Duration::ZERO))
            }
            // A reset stream is passed on as one.
            Details::RemoteReset | Details::RemoteRefusedStream => {
                Outcome { status: 0, flags: Flags::NONE, details: outcome.details }
            }
            details
                if details == Details::ConnectionTermination || details.is_connect_failure() =>
            {
                of(Answer::ConnectionError)
            }
            _ => outcome,
        }
    }

    /// An attempt has ended, or there was none: another one follows, or that is the end.
    pub(super) fn retry_by_linkerd(&mut self, id: Id<Call>) -> Option<Outcome> {
        let ended = self.calls[id].outcome;
        let service = self.calls[id].service;
        let outcome = self.translated(service, ended);
        self.calls[id].outcome = outcome;
        let is_broken = matches!(
            outcome.details,
            Details::LinkerdConnectionError | Details::LinkerdConnectTimeout
        );
        if is_broken {
            if !self.outbound().way(id).is_judged {
                self.penalize(id, outcome);
            }
            self.judge_by(id, outcome);
        }
        self.forget_response(id);
        let call = self.calls[id];
        let again = match (self.treatment(&call), self.annotated_retry(&call)) {
            (Some(own), _) => self.pays_for(id, &own, outcome).then_some(Duration::ZERO),
            (None, Some(policy)) => {
                let number = self.outbound().way(id).retries;
                let key = self.calls[id].key;
                let draw = || key.draw(number, purpose::BACKOFF);
                let attempted = self.attempted(id, ended.details, outcome);
                match retry::decide(policy, number, attempted, Some(self.body_of(id)), draw) {
                    Decision::Retry(wait) => Some(wait),
                    Decision::LimitExceeded => {
                        self.count_linkerd(|counts| counts.retry_limit_exceeded += 1);
                        None
                    }
                    Decision::Pass | Decision::BodyTooLong => None,
                }
            }
            _ => None,
        };
        let Some(wait) = again else {
            let is_saved = self.meaning_of(id, outcome) == Class::Success && outcome.is_ok();
            if is_saved && self.outbound().way(id).retries != 0 {
                self.count_linkerd(|counts| counts.retry_successes += 1);
            }
            return Some(outcome);
        };
        self.outbound().way(id).retries += 1;
        self.count_linkerd(|counts| counts.retries += 1);
        self.calls[id].pending += 1;
        self.queue.after(wait, Event::BackedOff(id.index()).pack());
        self.log_try(id);
        None
    }

    /// Whether the budget of a `ServiceProfile` has a retry left for this outcome.
    fn pays_for(&mut self, id: Id<Call>, own: &Treatment<'_>, outcome: Outcome) -> bool {
        let Some(policy) = own.budget else { return false };
        let Call { pod, service, .. } = self.calls[id];
        let fits = self.body_of(id) <= self.own().linkerd_budget.max_body.0;
        let now = self.now;
        let is_own = matches!(
            outcome.details,
            Details::LinkerdFailFast | Details::LinkerdLoadShed | Details::LinkerdNoRoute
        );
        let is_answered = self.outbound().way(id).is_answered;
        let has_answer = (is_answered || !is_own) && outcome.status != 0;
        let is_grpc_error = self.meaning_of(id, outcome) == Class::Failure;
        let is_failure = own.is_failure(outcome.status, is_grpc_error);
        let Some(known) = self.outbound().known(pod, service) else { return false };
        let budget = known.budget.get_or_insert_with(|| Budget::new(policy, now));
        budget.decide(now, has_answer, is_failure, fits) == retry_budget::Decision::Retry
    }

    /// The back-off is over: backend and endpoint are drawn anew.
    pub(super) fn backed_off_by_linkerd(&mut self, id: Id<Call>) {
        self.log_retry(id);
        self.outbound().way(id).is_answered = false;
        self.seek_backend(id);
    }

    /// The server's proxy answers for an app that takes no connection.
    pub(super) fn answer_by_linkerd(&mut self, id: Id<Attempt>) {
        let attempt = self.attempts[id];
        if !self.pods[attempt.pod as usize].is_meshed {
            return self.answer(id, Outcome::answer(503));
        }
        let protocol = self.app_protocol_at(attempt.workload);
        let port = self.workloads[attempt.workload.index()].behaviour.port;
        if port == Port::Swallows && self.pods[attempt.pod as usize].app_is_up {
            let limit = self.own().linkerd_inbound.connect_timeout;
            let outcome = self.outcome_of(Answer::ConnectTimeout(limit), protocol);
            self.count_linkerd(|counts| counts.inbound.count(outcome.details));
            return self.answer_late(id, outcome, limit);
        }
        let outcome = self.outcome_of(Answer::ConnectionError, protocol);
        self.count_linkerd(|counts| counts.inbound.count(outcome.details));
        self.answer(id, outcome);
    }

    /// An outcome as annotations of retries see it; `ended` is what it was before Linkerd's words.
    fn attempted(&mut self, id: Id<Call>, ended: Details, outcome: Outcome) -> Attempted {
        let is_answered = self.outbound().way(id).is_answered;
        match ended {
            // Those of the server's proxy are answers.
            Details::LinkerdFailFast if !is_answered => Attempted::FailFast,
            Details::LinkerdLoadShed if !is_answered => Attempted::LoadShed,
            Details::RemoteRefusedStream => Attempted::RefusedStream,
            Details::PerTryTimeout | Details::PerTryIdleTimeout | Details::MaxStreamDuration => {
                Attempted::HeaderTimeout
            }
            _ if outcome.status == 0 => Attempted::Other,
            _ => {
                let (status, grpc) = self.statuses(id, outcome);
                Attempted::Answer { status, grpc }
            }
        }
    }
}
