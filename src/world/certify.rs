//! A Linkerd proxy's certificate while running: asked for, refused, over.
//!
//! ```text
//! try ── no controller to be had: 30 s ─┐
//!     ── refused: at once ──────────────┴ sleeps 0.7 of what is left of its leaf, 10 s to 24 h ── try
//! ```
//!
//! There is no back-off and no jitter: who has failed tries again as who has succeeded would. While no replica
//! would do, the loop is parked; a try that waits for a controller when one is there again goes through at the
//! next reconnection.
//!
//! Source: `model::linkerd::renewal`; linkerd2-proxy linkerd/app/core/src/control.rs:45-80 for the client.
//! Left out: that the controller's DNS has to be resolved.

use super::World;
use super::control::CA;
use super::event::Event;
use crate::kernel::queue::Ticket;
use crate::kernel::stream::below;
use crate::kernel::time::{Duration, Time};
use crate::model::identity::certificate::Leaf;
use crate::model::identity::chain::{Validity, Wall};
use crate::model::identity::retry::RetryLoop;
use crate::model::linkerd::backoff::base;
use crate::model::linkerd::renewal::{Certify, Refused, Rejected, issue};
use crate::plan::linkerd::Linkerd;
use crate::vocabulary::cause::{CauseId, CauseKind};
use crate::vocabulary::fact::FactKind;

/// Why there is no leaf.
enum NoLeaf {
    Refused,
    Rejected(&'static str),
}

impl World<'_> {
    fn linkerd(&self) -> &Linkerd {
        self.plan.linkerd.as_deref().expect("a mesh of Linkerd")
    }

    // === a try ===

    /// A proxy asks identity for a certificate.
    pub(super) fn certify_pod(&mut self, index: u32) {
        let now = self.now;
        self.pods[index as usize].csr = Some(RetryLoop::start(now));
        self.kubernetes.tokens.forget_refusal(index);
        let n = u32::try_from(now.ns() & 0xffff_ffff).unwrap_or(0);
        let draw = self.loop_key(index, 5).draw(0, n);
        let Some(replica) = self.find_controller(index, CA, draw) else {
            let cause = self.blame_unreachable(index);
            let held = self.linkerd().linkerd_control.failfast;
            return self.fail_certify(index, held, cause, "no identity controller is to be had");
        };
        self.ask_replica(index, replica, draw);
    }

    /// A replica that serves a part, is reached and whose TLS is taken.
    pub(super) fn find_controller(&self, pod: u32, part: usize, draw: u64) -> Option<u32> {
        let node = self.pods[pod as usize].node;
        let all = 0..u32::try_from(self.control.replicas.len()).unwrap_or(0);
        let is_good = |replica: &u32| {
            let to = self.control.node_of(*replica as usize, part);
            self.control.serves(*replica as usize, part)
                && self.is_connected(node, to)
                && self.trusts_controller(pod, *replica, part)
        };
        let good: Vec<u32> = all.filter(is_good).collect();
        (!good.is_empty()).then(|| good[below(draw, good.len())])
    }

    /// Whether a proxy takes what a replica's own proxy shows it.
    pub(super) fn trusts_controller(&self, pod: u32, replica: u32, part: usize) -> bool {
        let clock = Wall::of(self.now, self.clock_of(pod));
        let chains = &self.authorities.chains;
        let takes = |replica: u32| {
            let signer = self.authorities.signer(replica);
            let key = chains.0[chains.root(signer) as usize].key;
            chains.is_below_root_valid(signer, clock)
                && self.trusted(pod).any(|one| chains.0[one as usize].key == key)
        };
        if part == CA {
            return takes(replica);
        }
        // Its certificate is from whichever replica of identity signs.
        (0..u32::try_from(self.control.replicas.len()).unwrap_or(0)).any(takes)
    }

    /// Why a proxy comes to no controller although one serves: it does not take what that shows.
    pub(super) fn blame_unreachable(&mut self, pod: u32) -> Option<CauseId> {
        let node = self.pods[pod as usize].node;
        let all = 0..u32::try_from(self.control.replicas.len()).unwrap_or(0);
        let shown = all.into_iter().find(|replica| {
            let to = self.control.node_of(*replica as usize, CA);
            self.control.serves(*replica as usize, CA) && self.is_connected(node, to)
        })?;
        Some(self.blame_controller(pod, shown))
    }

    /// What a replica would sign for a pod now.
    fn leaf_from(&self, index: u32, replica: u32) -> Result<Leaf, NoLeaf> {
        let rules = &self.linkerd().linkerd_identity;
        let issuer = self.authorities.issuer(replica).expect("a mesh of Linkerd");
        let signed = Wall::of(self.now, self.clock_of_istiod(replica));
        let validity = issue(rules, signed, &issuer, true).map_err(|_: Refused| NoLeaf::Refused)?;
        if !self.trusts_controller(index, replica, CA) {
            return Err(NoLeaf::Rejected("the proxy does not trust who signed it"));
        }
        let clock = Wall::of(self.now, self.clock_of(index));
        let sleep = Certify::new().certified(rules, clock, validity).map_err(|why| {
            NoLeaf::Rejected(match why {
                Rejected::AlreadyExpired => "certificate already expired",
                Rejected::NotYetValid => "CertNotValidYet",
            })
        })?;
        Ok(Leaf {
            validity,
            not_after: validity.not_after.min(issuer.chain_end).time(),
            renew_at: self.now.saturating_add(sleep),
            generation: self.pods[index as usize].next_leaf,
            signer: self.authorities.signer(replica),
        })
    }

    /// Identity has answered: the leaf, or none if the try failed.
    pub(super) fn take_leaf(&mut self, index: u32, replica: u32) -> Option<Leaf> {
        match self.leaf_from(index, replica) {
            Ok(leaf) => {
                self.count_linkerd(|counts| counts.refreshes += 1);
                return Some(leaf);
            }
            Err(NoLeaf::Rejected(why)) => {
                self.count_linkerd(|counts| counts.failed_refreshes += 1);
                let cause = self.clock_cause(index).or_else(|| self.control.clocks.istiod_cause());
                self.fail_certify(index, Duration::ZERO, cause, why);
            }
            Err(NoLeaf::Refused) => {
                let cause = self.blame_authority(self.authorities.signer(replica), index);
                let why = "IssuerValidationFailed: the issuer does not verify against the anchors";
                self.fail_certify(index, Duration::ZERO, Some(cause), why);
            }
        }
        None
    }

    /// Whether a replica would sign for a pod.
    pub(super) fn would_certify(&self, index: u32, replica: u32) -> bool {
        let node = self.pods[index as usize].node;
        self.control.serves(replica as usize, CA)
            && self.is_connected(node, self.control.node_of(replica as usize, CA))
            && self.trusts_controller(index, replica, CA)
            && !matches!(self.leaf_from(index, replica), Err(NoLeaf::Refused))
    }

    /// A leaf that was there at time zero: a share of its time until the renewal has passed, in [0, 1).
    pub(super) fn aged_leaf(&self, share: f64) -> Leaf {
        let rules = &self.linkerd().linkerd_identity;
        let issuer = self.authorities.issuer(0).expect("a mesh of Linkerd");
        let whole = rules.lifetime + rules.clock_skew;
        let until_renewal = whole.scale(rules.refresh_ratio).min(rules.max_refresh);
        let end = issuer.chain_end;
        // Of one that ends with its issuer the renewal is due sooner, and must not be past.
        let most = end.since(Wall(0)).scale(rules.refresh_ratio / (1.0 - rules.refresh_ratio));
        let age = until_renewal.scale(share).min(most);
        let begin = Wall(0).minus(age);
        let own_end = begin.plus(whole);
        let not_after = if rules.clamp_to_issuer { own_end.min(end) } else { own_end };
        let validity = Validity { not_before: begin.minus(rules.clock_skew), not_after };
        let sleep = Certify::holding(validity).sleep(rules, begin);
        Leaf {
            validity,
            not_after: not_after.min(end).time(),
            renew_at: begin.plus(sleep).time(),
            generation: 0,
            signer: self.authorities.signer(0),
        }
    }

    // === failures ===

    fn certify_of(&self, index: u32) -> Certify {
        let leaf = self.pods[index as usize].leaf;
        leaf.map_or(Certify::new(), |leaf| Certify::holding(leaf.validity))
    }

    /// A try failed after `held`. What is left decides when the next is made; while no replica would do, none is
    /// simulated.
    pub(super) fn fail_certify(
        &mut self,
        index: u32,
        held: Duration,
        cause: Option<CauseId>,
        why: &str,
    ) {
        let because = cause.or(self.control.causes[CA]);
        let cause = self
            .caused(CauseKind::RenewalFailed, because, || "certificate renewals fail".to_owned());
        if !self.pods[index as usize].csr_is_parked {
            self.fact_of(FactKind::CertificateRequestFailed, index, |_| why.to_owned());
        }
        self.expect_boot_warning(index);
        let parks = !(0..u32::try_from(self.control.replicas.len()).unwrap_or(0))
            .any(|replica| self.would_certify(index, replica))
            || !self.is_authenticated(index);
        // One that waits for a controller has not failed yet.
        let next = if held.is_zero() { self.after_failure(index, self.now) } else { self.now };
        if held.is_zero() {
            self.control.counts.certificate_requests_failed += 1;
        }
        let pod = &mut self.pods[index as usize];
        pod.csr = Some(RetryLoop::start(next));
        pod.csr_held = held;
        pod.csr_is_parked = parks;
        pod.renewal_cause = Some(cause);
        pod.renewal = Ticket::NONE;
        if parks {
            self.control.parked.insert(index);
        } else {
            pod.renewal = self.queue.at(next.max(self.now), Event::Renew(index).pack());
        }
        self.expect_leaf_end(index);
    }

    /// A proxy without any certificate says that it waits, once for each of its starts: those that follow every 15 s say
    /// the same.
    fn expect_boot_warning(&mut self, index: u32) {
        let wait = self.linkerd().linkerd_identity.boot_warning;
        if self.pods[index as usize].leaf.is_some()
            || wait.is_zero()
            || self.outbound().booting.contains_key(&index)
        {
            return;
        }
        let ticket = self.queue.after(wait, Event::BootWarning(index).pack());
        self.outbound().booting.insert(index, ticket);
    }

    /// It has waited for so long.
    pub(super) fn boot_warning(&mut self, index: u32, ticket: Ticket) {
        if self.outbound().booting.get(&index) != Some(&ticket) {
            return self.stale();
        }
        if self.pods[index as usize].leaf.is_some() {
            self.outbound().booting.remove(&index);
            return self.stale();
        }
        let every = self.linkerd().linkerd_identity.boot_warning;
        self.fact_of(FactKind::WaitsForCertificate, index, |_| {
            format!("waiting for identity to be initialized, said every {every}")
        });
    }

    /// When the next try is made after one that failed at `at`.
    fn after_failure(&self, index: u32, at: Time) -> Time {
        let rules = &self.linkerd().linkerd_identity;
        let clock = Wall::of(at, self.clock_of(index));
        at.saturating_add(self.certify_of(index).sleep(rules, clock))
    }

    fn expect_leaf_end(&mut self, index: u32) {
        let pod = &self.pods[index as usize];
        if let (Some(leaf), true) = (&pod.leaf, pod.expiry == Ticket::NONE) {
            let (at, now) = (leaf.not_after, self.now);
            if now < at && at < self.end {
                let ticket = self.queue.at(at, Event::Expire(index).pack());
                self.pods[index as usize].expiry = ticket;
            }
        }
    }

    // === parked ===

    /// Counts the tries of a parked loop that have failed until now; the first that has not.
    pub(super) fn count_certify(&mut self, index: u32) -> Time {
        let pod = &self.pods[index as usize];
        let Some(next) = pod.csr.as_ref().map(RetryLoop::next_try) else { return self.now };
        if !pod.csr_is_parked {
            return next;
        }
        let held = pod.csr_held;
        let until = if held.is_zero() {
            self.now
        } else {
            // A try that began before this has failed.
            Time::ZERO + (self.now.saturating_since(Time::ZERO + held))
        };
        let rules = &self.linkerd().linkerd_identity;
        let ahead = self.clock_of(index);
        let skipped = self.certify_of(index).skip(rules, ahead, next, held, until);
        self.control.counts.certificate_requests_failed += skipped.tries;
        self.pods[index as usize].csr = Some(RetryLoop::start(skipped.next));
        skipped.next
    }

    /// Something changed: a parked loop goes on.
    pub(super) fn unpark_certify(&mut self, index: u32) {
        if !self.pods[index as usize].csr_is_parked
            || self.control.clocks.is_asleep(index)
            || !self.is_signed_by_some(index)
        {
            return;
        }
        let next = self.count_certify(index);
        let held = self.pods[index as usize].csr_held;
        let at = match self.reconnected(next).filter(|at| *at < next + held) {
            Some(at) if next < self.now => at,
            None if next < self.now => {
                self.control.counts.certificate_requests_failed += 1;
                self.after_failure(index, next + held)
            }
            _ => next,
        };
        let pod = &mut self.pods[index as usize];
        pod.csr = Some(RetryLoop::start(at));
        pod.csr_is_parked = false;
        pod.renewal = self.queue.at(at.max(self.now), Event::Renew(index).pack());
    }

    /// When a client that was made at `since` next tries to connect; none if its back-off has no end.
    fn reconnected(&self, since: Time) -> Option<Time> {
        let backoff = self.linkerd().linkerd_control.backoff();
        let mut at = since;
        for number in 0..64 {
            if self.now <= at {
                return Some(at);
            }
            at = at.saturating_add(base(&backoff, number));
        }
        None
    }
}
