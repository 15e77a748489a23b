//! The webhooks of istiod as the API server sees them: injection of pods, validation of what
//! operators write, and the pods of istiod itself.
//!
//! ```text
//! nobody serves it        refused at once        ┐
//! its certificate is over x509, at once          ├ then as the failure policy says
//! packets vanish, or late after the timeout      ┘
//! ```
//!
//! A webhook that matches istiod's own pods keeps istiod from coming back: nobody is there to let
//! the pod in that would do it.
//!
//! Source: istio templates/mutatingwebhook.yaml, validatingwebhookconfiguration.yaml;
//! kubernetes admissionregistration/v1; istio#30139, #22372, #43593; the parameters `webhook.*`.
//! Left out: that one replica of several may be refused (one good one is enough), the patch of the
//! `caBundle`, operators who try again.

use super::World;
use super::control::INJECTOR;
use super::event::Event;
use crate::kernel::queue::Ticket;
use crate::kernel::time::{Duration, Time};
use crate::model::identity::retry::{Law, RetryLoop};
use crate::plan::parameter::FailurePolicy;
use crate::plan::pods::ClusterAction;
use crate::plan::timeline::{Action, ControlPart};
use crate::plan::universe::WorkloadId;
use crate::vocabulary::cause::CauseId;
use crate::vocabulary::fact::FactKind;
use std::collections::BTreeMap;

/// The webhook while running.
#[derive(Debug)]
pub(crate) struct Webhook {
    /// Events that have packets to it vanish, and the last of them.
    cut: u32,
    cut_cause: Option<CauseId>,
    /// What last made it slow.
    pub slow_cause: Option<CauseId>,
    /// Creations that wait for it, by workload: whether the pod will have a sidecar.
    reviews: BTreeMap<u32, bool>,
    /// Shares of istiod whose pods cannot be created, and the loop of that.
    barred: Vec<f64>,
    creation: Option<RetryLoop>,
    creation_held: Duration,
    ticket: Ticket,
}

/// What the API server hears of a webhook, and how much later.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Review {
    Answered(Duration),
    Failed { held: Duration, why: &'static str },
}

impl Webhook {
    pub(crate) fn new() -> Self {
        Self {
            cut: 0,
            cut_cause: None,
            slow_cause: None,
            reviews: BTreeMap::new(),
            barred: Vec::new(),
            creation: None,
            creation_held: Duration::ZERO,
            ticket: Ticket::NONE,
        }
    }

    pub(super) fn cut(&mut self, begins: bool, cause: Option<CauseId>) {
        self.cut = if begins { self.cut + 1 } else { self.cut.saturating_sub(1) };
        self.cut_cause = if self.cut == 0 { None } else { cause };
    }
}

impl World<'_> {
    /// Whether the API server reaches an injector.
    pub(super) fn has_injector(&self) -> bool {
        (0..self.control.replicas.len()).any(|index| self.control.serves(index, INJECTOR))
    }

    /// What becomes of a question to the webhook that is asked now.
    pub(super) fn review(&self) -> Review {
        let webhook = &self.kubernetes.webhook;
        let at_once = |why| Review::Failed { held: Duration::ZERO, why };
        let timeout = self.plan.parameters.webhook.timeout;
        let serving = |index: &usize| self.control.serves(*index, INJECTOR);
        let mut serving = (0..self.control.replicas.len()).filter(serving).peekable();
        if serving.peek().is_none() {
            return at_once(match self.plan.linkerd {
                None => "no istiod",
                Some(_) => "no linkerd-proxy-injector",
            });
        }
        if webhook.cut != 0 {
            return Review::Failed { held: timeout, why: "context deadline exceeded" };
        }
        let is_good = |index: usize| self.now < self.control.replicas[index].serving.to_webhooks;
        if !serving.any(is_good) {
            return at_once("x509: certificate has expired");
        }
        let delay = self.in_force().filter_map(|(action, _)| match action {
            Action::Cluster(ClusterAction::SlowWebhook(delay)) => Some(*delay),
            _ => None,
        });
        let delay = delay.fold(Duration::ZERO, |sum, delay| sum + delay);
        if delay < timeout {
            Review::Answered(delay)
        } else {
            Review::Failed { held: timeout, why: "context deadline exceeded" }
        }
    }

    /// Why the webhook does not answer.
    pub(super) fn review_cause(&mut self) -> Option<CauseId> {
        let webhook = &self.kubernetes.webhook;
        if !self.has_injector() {
            return self.control.causes[INJECTOR];
        }
        if let Some(cause) = webhook.cut_cause {
            return Some(cause);
        }
        if matches!(self.review(), Review::Failed { held: Duration::ZERO, .. }) {
            return Some(self.blame_serving(None));
        }
        self.kubernetes.webhook.slow_cause
    }

    /// What a failure of the injection webhook means now.
    fn webhook_policy(&self) -> FailurePolicy {
        let last = self.in_force().rev().find_map(|(action, _)| match action {
            Action::Cluster(ClusterAction::SetWebhookPolicy(policy)) => Some(*policy),
            _ => None,
        });
        last.unwrap_or(self.plan.parameters.webhook.failure_policy)
    }

    /// Whether a pod that is to have a sidecar can be created now, with it or without.
    pub(super) fn lets_pods_in(&self) -> bool {
        self.api_server_is_up()
            && (matches!(self.review(), Review::Answered(_))
                || self.webhook_policy() == FailurePolicy::Ignore)
    }

    /// The API server asks the webhook about a pod.
    pub(super) fn ask_webhook(&mut self, workload: WorkloadId) {
        let (after, is_meshed) = match self.review() {
            Review::Answered(after) => (after, true),
            Review::Failed { held, why } => match self.webhook_policy() {
                FailurePolicy::Fail => {
                    let cause = self.review_cause();
                    return self.refuse_pod(workload, held, why, cause);
                }
                FailurePolicy::Ignore => (held, false),
            },
        };
        if after.is_zero() {
            return self.let_in(workload, is_meshed);
        }
        self.kubernetes.webhook.reviews.insert(workload.0, is_meshed);
        let ticket = self.queue.after(after, Event::Reviewed(workload.0).pack());
        self.workloads[workload.index()].creation_ticket = ticket;
    }

    /// The API server has its answer, or waits no longer.
    pub(super) fn reviewed(&mut self, index: u32, ticket: Ticket) {
        if self.workloads[index as usize].creation_ticket != ticket {
            return self.stale();
        }
        self.workloads[index as usize].creation_ticket = Ticket::NONE;
        let is_meshed = self.kubernetes.webhook.reviews.remove(&index).unwrap_or(false);
        if self.wants_pods(WorkloadId(index)) && self.api_server_is_up() {
            self.let_in(WorkloadId(index), is_meshed);
        } else {
            self.workloads[index as usize].creation = None;
        }
    }

    // === istiod's own pods ===

    /// istiod's pods are to be created again: whether its own webhook keeps them away.
    pub(super) fn bars_istiod(&mut self, share: f64) -> bool {
        let rules = &self.plan.parameters.webhook;
        if !rules.matches_istiod || self.lets_pods_in() {
            return false;
        }
        let Review::Failed { held, why } = self.review() else { return false };
        let law = Law::create(&self.plan.parameters.kubernetes);
        let now = self.now;
        let webhook = &mut self.kubernetes.webhook;
        webhook.barred.push(share);
        let creation = webhook.creation.get_or_insert_with(|| RetryLoop::start(now));
        creation.fail(&law, held, |_| 0);
        webhook.creation_held = held;
        webhook.ticket = Ticket::NONE;
        self.control.counts.pods_refused += 1;
        self.fact(FactKind::PodRefused, || {
            ("istiod".to_owned(), format!("failed calling its own webhook: {why}"))
        });
        true
    }

    /// Something changed: istiod's `ReplicaSet` finds out at its next try.
    pub(super) fn unpark_istiod(&mut self) {
        let webhook = &self.kubernetes.webhook;
        if webhook.barred.is_empty() || webhook.ticket != Ticket::NONE || !self.lets_pods_in() {
            return;
        }
        let law = Law::create(&self.plan.parameters.kubernetes);
        let webhook = &mut self.kubernetes.webhook;
        let Some(creation) = &mut webhook.creation else { return };
        let skipped = creation.skip_to(self.now, &law, webhook.creation_held, |_| 0);
        self.control.counts.pods_refused += skipped;
        let at = creation.next_try();
        webhook.ticket = self.queue.at(at, Event::CreateIstiod(0).pack());
    }

    /// istiod's pods are created, if they may be.
    pub(super) fn create_istiod(&mut self, ticket: Ticket) {
        if self.kubernetes.webhook.ticket != ticket {
            return self.stale();
        }
        self.kubernetes.webhook.ticket = Ticket::NONE;
        let barred = std::mem::take(&mut self.kubernetes.webhook.barred);
        for share in barred {
            if !self.bars_istiod(share) {
                self.set_control_part(ControlPart::All, share, false);
            }
        }
        if self.kubernetes.webhook.barred.is_empty() {
            self.kubernetes.webhook.creation = None;
        }
    }

    /// Counts the tries of istiod's `ReplicaSet` that nobody simulated.
    pub(super) fn count_parked_istiod(&mut self) {
        let law = Law::create(&self.plan.parameters.kubernetes);
        let webhook = &mut self.kubernetes.webhook;
        if let (Some(creation), Ticket::NONE) = (&mut webhook.creation, webhook.ticket) {
            let skipped = creation.skip_to(self.now, &law, webhook.creation_held, |_| 0);
            self.control.counts.pods_refused += skipped;
        }
    }

    // === what operators write ===

    /// Why the API server does not take what an event writes, if it does not.
    pub(super) fn refuses(&mut self, action: &Action) -> Option<(String, Option<CauseId>)> {
        if !action.parts().iter().any(is_written) {
            return None;
        }
        if !self.api_server_is_up() {
            return Some(("the API server is away".to_owned(), self.kubernetes.api_cause));
        }
        let rules = &self.plan.parameters;
        let is_validated = action.parts().iter().any(is_of_istio)
            && rules.istiod.present
            && !self.control.replicas.is_empty()
            && rules.webhook.validation_policy == FailurePolicy::Fail;
        // The same server as that of injection, of which only the latter may fail.
        let is_up = self.control.replicas.iter().any(|one| one.is_wanted && !one.is_away());
        let why = match self.review() {
            _ if !is_validated || self.now == Time::ZERO => return None,
            _ if !is_up => "no istiod",
            Review::Failed { why, .. } if self.has_injector() => why,
            _ => return None,
        };
        let cause = self.review_cause();
        Some((format!("failed calling webhook validation.istio.io: {why}"), cause))
    }
}

/// Whether an operator writes it to the API server.
fn is_written(action: &Action) -> bool {
    is_of_istio(action)
        || matches!(
            action,
            Action::Rollout(_)
                | Action::SetTemplate(_)
                | Action::Scale { .. }
                | Action::SetServer { .. }
        )
}

/// Whether it is a resource of Istio's.
fn is_of_istio(action: &Action) -> bool {
    matches!(
        action,
        Action::SetRoutes { .. }
            | Action::SetFilters { .. }
            | Action::DefineCluster { .. }
            | Action::PeerAuthentication { .. }
            | Action::SetListener { .. }
            | Action::DescribeEndpoints { .. }
    )
}
