//! What a proxy finds in another's certificate, and whose fault that is.
//!
//! Source: `model::identity::chain`; Istio's clients ask for the account of the service that they call, its servers for a
//! name within the trust domain (`match_subject_alt_names`).
//! Left out: several accounts of one service.

use super::World;
use super::security::Ends;
use crate::kernel::bytes::Bytes as _;
use crate::kernel::time::Time;
use crate::model::identity::certificate::Leaf;
use crate::model::identity::chain::{Validity, Wall};
use crate::model::identity::handshake::{Client, HandshakeResult, Server};
use crate::model::identity::verification::Flaw;
use crate::plan::Plan;
use crate::plan::identity::{IdentityChange, Presented, TRUST_DOMAIN, Versions, san_of};
use crate::plan::timeline::Action;
use crate::plan::tls::KeyType;
use crate::plan::universe::WorkloadId;
use crate::vocabulary::cause::{CauseId, CauseKind};
use crate::vocabulary::outcome::Details;
use std::collections::BTreeMap;

/// Certificates that proxies show instead of what istiod signed.
#[derive(Default)]
pub(crate) struct Shown {
    /// With a number that tells one from the one before, and what brought it.
    by_workload: BTreeMap<WorkloadId, (Presented, u32, Option<CauseId>)>,
    /// Counts changes.
    changes: u32,
}

impl Shown {
    pub(crate) fn new(plan: &Plan) -> Self {
        let all = plan.identity.presented.iter();
        let by_workload = all.map(|(id, one)| (*id, (one.clone(), 0, None))).collect();
        Self { by_workload, changes: 0 }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.by_workload.bytes()
    }
}

impl World<'_> {
    fn presented(&self, pod: u32) -> Option<&(Presented, u32, Option<CauseId>)> {
        if self.authorities.shown.by_workload.is_empty() {
            return None;
        }
        self.authorities.shown.by_workload.get(&self.pods[pod as usize].workload)
    }

    /// The certificate that a pod's proxy has, if it has one.
    pub(super) fn leaf_of(&self, pod: u32) -> Option<&Leaf> {
        let is_missing = self.presented(pod).is_some_and(|(one, ..)| one.none);
        self.holder(pod).leaf.as_ref().filter(|_| !is_missing)
    }

    /// Counts the TLS contexts of a pod's proxy.
    pub(super) fn context_of(&self, pod: u32, leaf: &Leaf) -> u32 {
        let number = if self.authorities.shown.changes == 0 { 0 } else { self.shown_number(pod) };
        leaf.generation + (number << 16)
    }

    #[cold]
    fn shown_number(&self, pod: u32) -> u32 {
        self.presented(pod).map_or(self.authorities.shown.changes, |(_, number, _)| *number)
    }

    /// The kind of key that a pod's proxy has, if it is said.
    pub(super) fn key_of(&self, pod: u32) -> Option<KeyType> {
        self.presented(pod).and_then(|(one, ..)| one.key)
    }

    /// The versions of TLS that a pod's proxy speaks.
    pub(super) fn versions_of(&self, pod: u32) -> Versions {
        let versions = &self.plan.identity.versions;
        if versions.is_empty() {
            return Versions::ISTIO;
        }
        versions.get(&self.pods[pod as usize].workload).copied().unwrap_or(Versions::ISTIO)
    }

    /// What one proxy finds wrong with the certificate of another, which is its client or its server.
    pub(super) fn found(&self, of: u32, by: u32, is_client: bool, at: Time) -> Option<Flaw> {
        let leaf = self.holder(of).leaf.as_ref()?;
        if !self.authorities.is_plain {
            return self.found_in_chain(of, leaf, by, is_client, at);
        }
        let has_ended = || self.authorities.chains.end(leaf.signer).time() <= at;
        (!leaf.is_valid(at)).then(|| if has_ended() { Flaw::IssuerExpired } else { Flaw::Expired })
    }

    #[cold]
    fn found_in_chain(
        &self,
        of: u32,
        leaf: &Leaf,
        by: u32,
        is_client: bool,
        at: Time,
    ) -> Option<Flaw> {
        let (mut validity, mut signer, mut san) = (leaf.validity, leaf.signer, None);
        if let Some((shown, ..)) = self.presented(of) {
            validity = Validity {
                not_before: shown.not_before.map_or(validity.not_before, |at| Wall::of(at, 0)),
                not_after: shown.not_after.map_or(validity.not_after, |at| Wall::of(at, 0)),
            };
            signer = shown.ca.map_or(signer, |ca| self.authorities.certificate_of(ca));
            san = shown.san.as_deref().map(san_of);
        }
        let clock = Wall::of(at, self.clock_of(by));
        let roots_end = self.plan.linkerd.is_none();
        let chains = &self.authorities.chains;
        let found = chains.flaw_to(validity, signer, self.trusted(by), clock, roots_end);
        found.or_else(|| {
            let workload = self.pods[of as usize].workload;
            let is_wrong = san.is_some_and(|san| {
                let app = &self.plan.universe.workloads[workload.index()].app;
                if is_client { !san.starts_with(TRUST_DOMAIN) } else { san != san_of(app) }
            });
            is_wrong.then_some(Flaw::WrongName)
        })
    }

    /// What events in force say of what proxies show: of several of one workload, the last holds.
    pub(super) fn tell_certificates(&mut self) {
        let mut now = Shown::new(self.plan).by_workload;
        for (action, cause) in self.in_force() {
            if let Action::Identity(IdentityChange::Certificate { workloads, presented }) = action {
                let of_each = |one: &WorkloadId| (*one, (presented.clone(), 0, cause));
                now.extend(workloads.iter().map(of_each));
            }
        }
        // Every context that changes is a new one, which knows no old sessions.
        let number = self.authorities.shown.changes + 1;
        for (workload, (presented, own, _)) in &mut now {
            let before = self.authorities.shown.by_workload.get(workload);
            let same = before.filter(|(before, ..)| before == presented);
            *own = same.map_or(number, |(_, before, _)| *before);
        }
        self.authorities.shown = Shown { by_workload: now, changes: number };
    }

    // === whose fault it is ===

    /// Why a handshake failed.
    #[cold]
    pub(super) fn blame(&mut self, ends: Ends, result: HandshakeResult) -> Option<CauseId> {
        let meeting = self.meeting(ends, self.now, false);
        let of_client = match meeting.client {
            Client::Certified(flaw) => flaw.map(|flaw| (flaw, ends.client, ends.server)),
            _ => None,
        };
        let of_server = match meeting.server {
            Server::Tls { flaw, .. } => flaw.map(|flaw| (flaw, ends.server, ends.client)),
            _ => None,
        };
        let found = match result {
            HandshakeResult::Failed { details, .. } => match details {
                Details::NoSecret => return self.blame_missing(ends.client),
                Details::ConnectionRefused => return self.blame_missing(ends.server),
                Details::ClientCertificateExpired
                | Details::ClientCertificateBad
                | Details::ClientCertificateUntrusted
                | Details::ClientNameMismatch => of_client,
                Details::NoCommonVersion
                | Details::WrongVersionNumber
                | Details::ClientCertificateMissing => None,
                _ => of_server,
            },
            _ => of_client,
        };
        match found {
            Some((flaw, of, by)) if self.holder(of).leaf.is_some() => {
                Some(self.blame_flaw(flaw, of, by))
            }
            // What is asked for, and not what is shown, is why.
            _ => {
                let of_unmeshed = |pod: u32| {
                    let pod = &self.pods[pod as usize];
                    pod.leaf_cause.filter(|_| !pod.is_meshed)
                };
                of_unmeshed(ends.client)
                    .or_else(|| of_unmeshed(ends.server))
                    .or_else(|| self.security.cause(self.pods[ends.server as usize].workload))
            }
        }
    }

    fn blame_missing(&mut self, pod: u32) -> Option<CauseId> {
        let own = self.holder(pod);
        let known = own.leaf_cause.or(own.renewal_cause);
        match self.presented(pod) {
            Some((shown, _, cause)) if shown.none => {
                let because = *cause;
                Some(self.caused(CauseKind::CertificateMissing, because, || {
                    "a proxy has no certificate".to_owned()
                }))
            }
            _ => known,
        }
    }

    fn blame_flaw(&mut self, flaw: Flaw, of: u32, by: u32) -> CauseId {
        let of_shown = self.presented(of).map(|(_, _, cause)| *cause);
        let own = self.holder(of);
        let (of_leaf, of_renewal) = (own.leaf_cause, own.renewal_cause);
        let signer = own.leaf.as_ref().map_or(0, |leaf| leaf.signer);
        let clocks = self.clock_cause(by).or_else(|| self.control.clocks.istiod_cause());
        let (kind, because, what) = match flaw {
            Flaw::Expired | Flaw::NotYetValid
                if of_shown.is_none() && clocks.is_some() && !self.is_wrong_at_true_time(of) =>
            {
                let what = "a clock is wrong, by which certificates are judged";
                (CauseKind::ClockSkew, clocks, what)
            }
            Flaw::Expired => {
                if let Some(cause) = of_leaf.filter(|_| of_shown.is_none()) {
                    return cause;
                }
                let slept = self.control.clocks.sleep_cause(of);
                let because = of_shown.unwrap_or(of_renewal.or(slept));
                (CauseKind::CertificateExpired, because, "workload certificates are past their end")
            }
            Flaw::NotYetValid => {
                let what = "workload certificates are not valid yet";
                (CauseKind::CertificateNotYetValid, of_shown.unwrap_or(clocks), what)
            }
            Flaw::IssuerExpired | Flaw::IssuerNotYetValid => {
                return self.blame_authority(signer, by);
            }
            Flaw::UnknownIssuer => {
                let brought = |one: u32| self.authorities.brought.get(&one).copied();
                let root = self.holder(by).root;
                let all = [brought(signer), brought(root), self.authorities.trust_cause];
                // The signer of the verifier's own certificate brought its root.
                let theirs = self.holder(by).leaf.as_ref();
                let of_verifier = theirs.and_then(|leaf| brought(leaf.signer));
                let because = all.into_iter().chain([of_verifier]).flatten().max();
                let what = "certificates are of a root that is not trusted";
                (CauseKind::UnknownIssuer, of_shown.unwrap_or(because), what)
            }
            Flaw::WrongName => {
                let what = "certificates have another name than is asked for";
                (CauseKind::WrongName, of_shown.flatten(), what)
            }
        };
        self.caused(kind, because, || what.to_owned())
    }

    fn is_wrong_at_true_time(&self, pod: u32) -> bool {
        self.holder(pod).leaf.as_ref().is_none_or(|leaf| {
            let clock = Wall::of(self.now, 0);
            clock < leaf.validity.not_before || !leaf.is_valid(self.now)
        })
    }

    /// Why certificates of an authority, or a root of a verifier, are worth nothing: it has ended, by itself or
    /// because nobody could renew it.
    pub(super) fn blame_authority(&mut self, signer: u32, by: u32) -> CauseId {
        let chains = &self.authorities.chains;
        let clock = Wall::of(self.now, self.clock_of(by));
        let is_root =
            chains.invalid(signer, clock).is_none_or(|one| chains.0[one as usize].issuer.is_none());
        let is_linkerd = self.plan.linkerd.is_some();
        let (kind, what) = match (is_root, is_linkerd) {
            (true, false) => (CauseKind::RootExpired, "the root certificate is past its end"),
            (true, true) => (CauseKind::RootExpired, "the trust anchor is past its end"),
            (false, false) => {
                (CauseKind::SignerExpired, "the intermediate certificate is past its end")
            }
            (false, true) => (CauseKind::SignerExpired, "the issuer is past its end"),
        };
        let is_true = chains.invalid(signer, Wall::of(self.now, 0)).is_some();
        let because = if is_true {
            let is_down = (0..self.control.replicas.len())
                .all(|one| !self.control.serves(one, super::control::CA));
            let down = self.control.causes[super::control::CA].filter(|_| is_down);
            self.authorities.brought.get(&signer).copied().or(down)
        } else {
            self.clock_cause(by)
        };
        self.caused(kind, because, || what.to_owned())
    }
}
