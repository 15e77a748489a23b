//! The certificate with which each replica of istiod serves: what agents, proxies and the API server
//! are shown.
//!
//! It is made when istiod starts or has another root, for as long as a self-signed root lives, and
//! never renewed by time: a replica that runs for longer is refused by all who come anew. Its chain
//! is looked at besides (`authorities`).
//!
//! Source: istio pilot/pkg/bootstrap/certcontroller.go:40-200; istio#22372, #17718; the parameters
//! `istiod.certificate_remaining` and `webhook.certificate_remaining`.
//! Left out: external signers, whose certificates are renewed at half of their life; the minute in
//! which another root is noticed; proxies whose parked streams end of age after the end of the root.

use super::World;
use super::event::Event;
use crate::kernel::time::{Duration, Time};
use crate::model::identity::chain::Wall;
use crate::plan::Plan;
use crate::vocabulary::cause::{CauseId, CauseKind};

/// What istiod asks for.
const LIFE: Duration = Duration::from_s(87_600 * 3_600);

/// The ends of what a replica shows to proxies, and to the API server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Serving {
    pub to_proxies: Time,
    pub to_webhooks: Time,
}

impl Serving {
    /// At time zero.
    pub(crate) fn new(plan: &Plan) -> Self {
        let parameters = &plan.parameters;
        let end = |left: Duration| Time::ZERO.saturating_add(left);
        let to_proxies = end(parameters.istiod.certificate_remaining);
        let to_webhooks = end(parameters.webhook.certificate_remaining).min(to_proxies);
        Self { to_proxies, to_webhooks }
    }
}

impl World<'_> {
    /// Whoever trusts no replica any more finds out at that time, though all is calm.
    pub(super) fn start_serving(&mut self) {
        for (replica, index) in self.control.replicas.iter().zip(0..) {
            if replica.serving.to_proxies < self.end {
                self.queue.at(replica.serving.to_proxies, Event::ServingOver(index).pack());
            }
        }
    }

    /// A replica's certificate reaches its end, if it is still the same.
    pub(super) fn serving_over(&mut self, replica: u32) {
        if self.control.replicas[replica as usize].serving.to_proxies != self.now {
            return self.stale();
        }
        self.review_calm();
    }

    /// A replica starts, or has another root: its certificate is new.
    pub(super) fn certify(&mut self, replica: u32) {
        let end = self.now.saturating_add(LIFE);
        self.control.replicas[replica as usize].serving =
            Serving { to_proxies: end, to_webhooks: end };
    }

    /// Whether what a replica shows is within its life by a pod's clock.
    pub(super) fn serves_validly(&self, pod: u32, replica: u32) -> bool {
        let end = self.control.replicas[replica as usize].serving.to_proxies;
        Wall::of(self.now, self.clock_of(pod)) < Wall::of(end, 0)
    }

    /// Why an agent refuses what a replica shows.
    pub(super) fn blame_istiod(&mut self, replica: u32, pod: u32) -> CauseId {
        if self.serves_validly(pod, replica) {
            return self.blame_authority(self.authorities.signer(replica), pod);
        }
        let is_true = self.control.replicas[replica as usize].serving.to_proxies <= self.now;
        let because = self.clock_cause(pod).filter(|_| !is_true);
        self.blame_serving(because)
    }

    /// The certificate with which istiod serves is past its end.
    pub(super) fn blame_serving(&mut self, because: Option<CauseId>) -> CauseId {
        let who = if self.plan.linkerd.is_some() { "the proxy injector" } else { "istiod" };
        self.caused(CauseKind::ServingCertificateExpired, because, || {
            format!("the certificate with which {who} serves is past its end")
        })
    }
}
