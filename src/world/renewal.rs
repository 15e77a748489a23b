//! Certificates while running: renewed, refused, expired.
//!
//! A request fails if nobody listens, if the agent does not accept istiod's own certificate, or if istiod's
//! authority is past its end (`CERT_GEN_ERROR`). While no replica would do, the loop is parked.
//!
//! Source: istio security/pkg/nodeagent; `model::identity`.
//! Left out: what `tokens` leaves out.

use super::World;
use super::control::{CA, CONNECT_HELD, Found};
use super::event::Event;
use super::pod::Kind;
use super::state::Life;
use super::tokens::Asks;
use crate::kernel::queue::Ticket;
use crate::kernel::stream::{Key, draw_at};
use crate::kernel::time::Duration;
use crate::model::identity::certificate::{Leaf, Refused};
use crate::model::identity::retry::{Law, RetryLoop};
use crate::vocabulary::cause::{Cause, CauseId, CauseKind};
use crate::vocabulary::fact::FactKind;

/// Nobody answers.
const AWAY: &str = "the certificate authority is away";

impl World<'_> {
    /// A certificate's renewal instant, or a further try of its request.
    pub(super) fn renew(&mut self, index: u32, ticket: Ticket) {
        if self.pods[index as usize].renewal != ticket {
            return self.stale();
        }
        self.pods[index as usize].renewal = Ticket::NONE;
        self.request_certificate(index);
    }

    /// A certificate signing request.
    pub(super) fn request_certificate(&mut self, index: u32) {
        let pod = &mut self.pods[index as usize];
        if matches!(pod.life, Life::Down | Life::Gone) {
            return;
        }
        if self.plan.linkerd.is_some() {
            return self.certify_pod(index);
        }
        let now = self.now;
        pod.csr.get_or_insert_with(|| RetryLoop::start(now));
        let node = pod.node;
        self.kubernetes.tokens.forget_refusal(index);
        let draw =
            self.loop_key(index, 5).draw(0, u32::try_from(now.ns() & 0xffff_ffff).unwrap_or(0));
        match self.find(node, CA, draw) {
            Found::Replica(replica) if !self.trusts_istiod(index, replica) => {
                let cause = self.blame_istiod(replica, index);
                self.fail_renewal(
                    index,
                    Duration::ZERO,
                    Some(cause),
                    "istiod's certificate is refused",
                );
            }
            Found::Replica(replica) => self.ask_replica(index, replica, draw),
            Found::Refused => self.fail_renewal(index, Duration::ZERO, None, AWAY),
            Found::BlackHole => self.fail_renewal(index, CONNECT_HELD, None, AWAY),
        }
    }

    /// A replica is asked to sign.
    pub(super) fn ask_replica(&mut self, index: u32, replica: u32, draw: u64) {
        let asks = Asks::Certificate;
        let Some(reviewed) = self.review_token(index, replica, self.now, asks) else {
            return self.refuse_token(index);
        };
        let epoch = self.control.replicas[replica as usize].epoch;
        let pod = &mut self.pods[index as usize];
        (pod.csr_replica, pod.csr_epoch) = (replica, epoch);
        let (node, to) = (pod.node, self.control.node_of(replica as usize, CA));
        let round_trip = self.one_way(node, to, draw) + self.one_way(to, node, draw);
        let done = self.compute(replica, self.plan.parameters.istiod.csr_time);
        let done = done + reviewed.since(self.now);
        self.expect_expiry(index, done);
        let ticket = self.queue.at(done + round_trip, Event::Issued(index).pack());
        self.pods[index as usize].renewal = ticket;
    }

    fn csr_law(&self, index: u32) -> Law {
        let parameters = &self.plan.parameters;
        if self.pods[index as usize].kind == Kind::Account {
            Law::ztunnel_csr(&parameters.ztunnel)
        } else if self.pods[index as usize].csr_is_warmup {
            Law::warmup(&parameters.agent_warmup_backoff)
        } else {
            let law = Law::csr(&parameters.csr_inner_retry, &parameters.envoy_stream_backoff);
            if self.kubernetes.tokens.has_refused(index) { law.once() } else { law }
        }
    }

    /// Each certificate's loop has draws of its own.
    fn csr_key(&self, index: u32) -> Key {
        self.loop_key(index, 6).child(self.pods[index as usize].next_leaf)
    }

    /// A try failed: the loop goes on, but while no replica would do, nothing is simulated until something
    /// changes.
    pub(super) fn fail_renewal(
        &mut self,
        index: u32,
        held: Duration,
        cause: Option<CauseId>,
        why: &str,
    ) {
        if self.plan.linkerd.is_some() {
            return self.fail_certify(index, held, cause, why);
        }
        let (law, key) = (self.csr_law(index), self.csr_key(index));
        let because = cause.or(self.control.causes[CA]);
        let cause = self
            .caused(CauseKind::RenewalFailed, because, || "certificate renewals fail".to_owned());
        let parks = !self.is_signed_by_some(index) && !self.awaits_some(index);
        self.control.counts.certificate_requests_failed += 1;
        let pod = &mut self.pods[index as usize];
        if let Some(csr) = &mut pod.csr {
            csr.fail(&law, held, |n| key.draw(0, n));
        }
        pod.csr_held = held;
        if !pod.csr_is_parked {
            self.fact_of(FactKind::CertificateRequestFailed, index, |_| why.to_owned());
        }
        let now = self.now;
        let pod = &mut self.pods[index as usize];
        pod.csr_is_parked = parks;
        pod.renewal_cause = Some(cause);
        if parks {
            self.control.parked.insert(index);
        } else {
            let at = pod.csr.as_ref().map_or(now, |csr| csr.next_try().max(now));
            pod.renewal = self.queue.at(at, Event::Renew(index).pack());
        }
        if self.pods[index as usize].kind == Kind::Account {
            self.drop_certificate(index, cause);
        }
        let pod = &mut self.pods[index as usize];
        if let (Some(leaf), true) = (&pod.leaf, pod.expiry == Ticket::NONE) {
            let (at, now) = (leaf.not_after, self.now);
            if now < at && at < self.end {
                pod.expiry = self.queue.at(at, Event::Expire(index).pack());
            }
        }
        self.account_answered(index);
    }

    /// Something changed: a parked loop finds out at its next try.
    pub(super) fn unpark_renewal(&mut self, index: u32) {
        if self.plan.linkerd.is_some() {
            return self.unpark_certify(index);
        }
        let pod = &self.pods[index as usize];
        if !pod.csr_is_parked
            || self.control.clocks.is_asleep(index)
            || !self.is_signed_by_some(index)
        {
            return;
        }
        let (law, key) = (self.csr_law(index), self.csr_key(index));
        let pod = &mut self.pods[index as usize];
        let held = pod.csr_held;
        let Some(csr) = &mut pod.csr else { return };
        let skipped = csr.skip_to(self.now, &law, held, |n| key.draw(0, n));
        let at = csr.next_try();
        self.control.counts.certificate_requests_failed += skipped;
        pod.csr_is_parked = false;
        pod.renewal = self.queue.at(at, Event::Renew(index).pack());
    }

    /// The CA has answered.
    pub(super) fn issued(&mut self, index: u32, ticket: Ticket) {
        if self.pods[index as usize].renewal != ticket {
            return self.stale();
        }
        let pod = &self.pods[index as usize];
        let (replica, csr_epoch) = (pod.csr_replica, pod.csr_epoch);
        if self.control.replicas[replica as usize].epoch != csr_epoch {
            // Whoever was to sign has ended meanwhile.
            self.pods[index as usize].renewal = Ticket::NONE;
            return self.fail_renewal(index, Duration::ZERO, None, AWAY);
        }
        let signed = if self.plan.linkerd.is_some() {
            self.take_leaf(index, replica)
        } else {
            self.signed(index, replica)
        };
        let Some(leaf) = signed else { return };
        let root = self.authorities.chains.root(leaf.signer);
        let pod = &mut self.pods[index as usize];
        pod.leaf = Some(leaf);
        pod.root = root;
        pod.next_leaf += 1;
        pod.csr = None;
        pod.csr_is_parked = false;
        pod.csr_is_warmup = false;
        pod.leaf_cause = None;
        pod.renewal_cause = None;
        pod.expiry = Ticket::NONE;
        pod.renewal = if leaf.renew_at < self.end {
            self.queue.at(leaf.renew_at.max(self.now), Event::Renew(index).pack())
        } else {
            Ticket::NONE
        };
        self.control.counts.certificates_issued += 1;
        self.expect_early_end(index);
        self.expect_end(index, leaf.not_after);
        self.fact_of(FactKind::CertificateIssued, index, |_| String::new());
        self.check_proxy(index);
        self.account_answered(index);
    }

    /// The leaf that a replica of istiod signs; none if it does not.
    fn signed(&mut self, index: u32, replica: u32) -> Option<Leaf> {
        let cert = &self.plan.parameters.cert;
        let generation = self.pods[index as usize].next_leaf;
        let hash = self.pods[index as usize].hash;
        let draw = |n: u32| draw_at(self.seed, "renewal", hash, u64::from(2 * generation + n));
        let draws = [draw(0), draw(1)];
        let signing = self.signing(index, replica);
        match Leaf::issue(self.now, cert, signing, draws, generation) {
            Ok(leaf) => Some(self.renewed_by_ztunnel(index, leaf)),
            Err(refused) => {
                self.refuse_to_sign(index, signing.signer, refused);
                None
            }
        }
    }

    /// The authority does not sign: only another one could help.
    fn refuse_to_sign(&mut self, index: u32, signer: u32, refused: Refused) {
        let (cause, why) = match refused {
            Refused::SignerExpired => (
                self.blame_authority(signer, index),
                "CERT_GEN_ERROR: the authority is past its end",
            ),
            Refused::TtlTooLong => {
                let cause = self.caused(CauseKind::RequestRefused, None, || {
                    "more life is asked for than the authority grants".to_owned()
                });
                (cause, "TTL_ERROR: cert.ttl is above cert.max_ttl")
            }
        };
        self.fail_renewal(index, Duration::ZERO, Some(cause), why);
    }

    /// A certificate that ends before it is renewed, since one above it does.
    pub(super) fn expect_early_end(&mut self, index: u32) {
        let pod = &mut self.pods[index as usize];
        let Some(leaf) = &pod.leaf else { return };
        if leaf.not_after <= leaf.renew_at && self.now < leaf.not_after && leaf.not_after < self.end
        {
            pod.expiry = self.queue.at(leaf.not_after, Event::Expire(index).pack());
        }
    }

    /// A certificate reaches its end.
    pub(super) fn expire(&mut self, index: u32, ticket: Ticket) {
        if self.pods[index as usize].expiry != ticket {
            return self.stale();
        }
        let pod = &self.pods[index as usize];
        let mut because = pod.renewal_cause;
        if because.is_none()
            && let Some(leaf) = &pod.leaf
            && self.authorities.chains.end(leaf.signer).time() <= self.now
        {
            because = Some(self.blame_authority(leaf.signer, index));
        }
        let cause = self.caused(CauseKind::CertificateExpired, because, || {
            "workload certificates are past their end".to_owned()
        });
        let pod = &mut self.pods[index as usize];
        pod.expiry = Ticket::NONE;
        pod.leaf_cause = Some(cause);
        self.control.counts.certificates_expired += 1;
        self.hasten_renewal(index);
        self.fact_of(FactKind::CertificateExpired, index, |_| String::new());
    }

    /// The cause of this kind with this reason: one for all whom it concerns.
    pub(super) fn caused(
        &mut self,
        kind: CauseKind,
        because: Option<CauseId>,
        what: impl FnOnce() -> String,
    ) -> CauseId {
        let now = self.now;
        self.causes.follow(kind, because, || Cause { kind, at: now, what: what(), because })
    }
}

impl World<'_> {
    /// Counts the tries that a pod's parked loops would have made until now.
    pub(super) fn count_parked_tries(&mut self, index: u32) {
        if self.plan.linkerd.is_some() {
            let _next = self.count_certify(index);
            return self.count_parked_streams(index);
        }
        let (law, key) = (self.csr_law(index), self.csr_key(index));
        let now = self.now;
        let pod = &mut self.pods[index as usize];
        if let (true, Some(csr)) = (pod.csr_is_parked, &mut pod.csr) {
            let skipped = csr.skip_to(now, &law, pod.csr_held, |n| key.draw(0, n));
            self.control.counts.certificate_requests_failed += skipped;
        }
        self.count_parked_streams(index);
    }
}
