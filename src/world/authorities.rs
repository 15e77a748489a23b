//! Authorities while running: who signs, whom each proxy trusts, and how both change.
//!
//! Each replica of istiod signs with a certificate of its own. A proxy trusts the root that came with its own
//! certificate and, in a multi-root mesh, those that the control plane has told it. istiod takes another
//! authority (`cacerts` is watched) only if its root is the same, or is among those that the mesh trusts already;
//! else it keeps the old one and says so in its log, here in the journal. One that starts takes what it finds.
//!
//! Source: istio pilot/pkg/bootstrap/istio_ca.go:323-470; security/pkg/pki/ca/selfsignedcarootcertrotator.go;
//! security/pkg/pki/ca/ca.go:456-475; see the parameters `root.*`.
//! Left out: the `ConfigMap` with the root and its way to pods (agents trust every replica of istiod whose chain is
//! valid); the secret with the root and trouble with it.

use super::World;
use super::anchors::Anchors;
use super::event::Event;
use super::linkerd_check;
use super::verification::Shown;
use crate::kernel::bytes::Bytes as _;
use crate::kernel::queue::Ticket;
use crate::kernel::stream::draw_at;
use crate::kernel::time::{Duration, Time};
use crate::model::identity::certificate::{Leaf, Signing};
use crate::model::identity::chain::{Anchor, Chains, Validity, Wall};
use crate::plan::Plan;
use crate::plan::identity::{AuthorityId, IdentityChange};
use crate::plan::timeline::{Action, ControlPart, TimelineEvent};
use crate::vocabulary::cause::CauseId;
use crate::vocabulary::fact::FactKind;
use std::collections::{BTreeMap, BTreeSet};

/// All certificates of authorities, and who has which.
pub(crate) struct Authorities {
    pub chains: Chains,
    /// Nothing but the passing of time has an effect: no authority but one root, no clock that is wrong.
    pub is_plain: bool,
    /// By authority of the plan, or the one that has no name: its newest certificate.
    pub(super) current: Vec<u32>,
    /// By replica of istiod.
    pub(super) signers: Vec<Signer>,
    /// Roots that proxies are told to trust, with the versions from which they are.
    bundles: Vec<(u32, Vec<u32>)>,
    /// What brought a certificate to those who sign.
    pub(super) brought: BTreeMap<u32, CauseId>,
    /// What last changed whom proxies are told to trust.
    pub(super) trust_cause: Option<CauseId>,
    /// Events that istiod did not follow.
    rejected: BTreeSet<CauseId>,
    /// Certificates whose end is awaited.
    awaited: BTreeSet<u32>,
    /// What proxies show instead of what istiod signed.
    pub shown: Shown,
    /// Linkerd's bundles of anchors.
    pub(super) anchors: Option<Anchors>,
    /// What `linkerd check` has said of certificates already.
    pub(super) checked: linkerd_check::Told,
}

/// What a replica signs with.
#[derive(Clone, Copy)]
pub(super) struct Signer {
    pub authority: usize,
    pub certificate: u32,
    check: Ticket,
}

impl Authorities {
    pub(crate) fn new(plan: &Plan) -> Self {
        let (identity, istiod) = (&plan.identity, &plan.parameters.istiod);
        // Those too that an autoscaler may add: all share one authority until events part them.
        let most = istiod.replicas.max(istiod.replicas_max) as usize;
        let replicas = if istiod.present && istiod.replicas != 0 { most } else { 0 };
        let mut chains = Chains::default();
        let mut current = vec![u32::MAX; identity.authorities.len()];
        let always =
            |end: Duration| Validity { not_before: Wall::MIN, not_after: Wall(0).plus(end) };
        if identity.authorities.is_empty() {
            let validity = always(plan.parameters.cert.signer_remaining);
            let root = chains.add(Anchor { key: 0, issuer: None, validity });
            let is_linkerd = plan.linkerd.is_some();
            // Linkerd's CLI makes an anchor and an issuer under it.
            let under = || Anchor { key: 1, issuer: Some(root), validity };
            current.push(if is_linkerd { chains.add(under()) } else { root });
        }
        // Issuers first: the plan has no cycles.
        while let Some(index) = (0..identity.authorities.len()).find(|index| {
            let issuer = identity.authorities[*index].issuer;
            current[*index] == u32::MAX && issuer.is_none_or(|one| current[one.index()] != u32::MAX)
        }) {
            let one = &identity.authorities[index];
            let issuer = one.issuer.map(|issuer| current[issuer.index()]);
            let anchor = Anchor { key: one.key, issuer, validity: always(one.remaining) };
            current[index] = chains.add(anchor);
        }
        let authority = identity.signer.map_or(0, AuthorityId::index);
        let signer = Signer { authority, certificate: current[authority], check: Ticket::NONE };
        let trust: Vec<u32> = identity.trust.iter().map(|one| current[one.index()]).collect();
        let root = chains.root(current[authority]);
        let anchors = Anchors::new(plan, trust.clone(), root, replicas);
        let acts = plan.timeline.iter().flat_map(TimelineEvent::actions);
        let acts = acts.into_iter().any(|action| matches!(action, Action::Identity(_)));
        Self {
            chains,
            is_plain: identity.is_empty() && !acts,
            current,
            signers: vec![signer; replicas],
            bundles: if trust.is_empty() { Vec::new() } else { vec![(0, trust)] },
            brought: BTreeMap::new(),
            trust_cause: None,
            rejected: BTreeSet::new(),
            awaited: BTreeSet::new(),
            shown: Shown::new(plan),
            anchors,
            checked: linkerd_check::Told::default(),
        }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        let shown = self.shown.bytes();
        shown + self.chains.0.bytes() + self.current.bytes() + self.bundles.bytes()
    }

    /// The newest certificate of an authority.
    pub(super) fn certificate_of(&self, authority: AuthorityId) -> u32 {
        self.current[authority.index()]
    }

    /// The certificate that a replica signs with.
    pub(super) fn signer(&self, replica: u32) -> u32 {
        self.signers.get(replica as usize).map_or(0, |one| one.certificate)
    }

    /// Whether proxies are told to trust others between two versions.
    pub(super) fn changes_between(&self, seen: u32, version: u32) -> bool {
        self.bundles.iter().any(|(from, _)| seen < *from && *from <= version)
    }

    /// What proxies with this version are told to trust.
    fn bundle(&self, version: u32) -> &[u32] {
        let told = self.bundles.iter().rev().find(|(from, _)| *from <= version);
        told.map_or(&[], |(_, roots)| roots)
    }
}

impl World<'_> {
    /// What a proxy trusts.
    pub(super) fn trusted(&self, pod: u32) -> impl Iterator<Item = u32> {
        let anchors = self.authorities.anchors_of(pod);
        let own = if anchors.is_none() { Some(self.holder(pod).root) } else { None };
        let told = || self.authorities.bundle(self.seen(pod).oldest());
        own.into_iter().chain(anchors.unwrap_or_else(told).iter().copied())
    }

    /// Who signs for a pod, and by which clocks.
    pub(super) fn signing(&self, pod: u32, replica: u32) -> Signing {
        let (chains, signer) = (&self.authorities.chains, self.authorities.signer(replica));
        Signing {
            signer,
            signer_end: chains.0[signer as usize].validity.not_after,
            chain_end: chains.end(signer),
            istiod_ahead: self.clock_of_istiod(replica),
            agent_ahead: self.clock_of(pod),
        }
    }

    /// Whether a pod's agent accepts what a replica of istiod shows: it and its chain must be valid.
    pub(super) fn trusts_istiod(&self, pod: u32, replica: u32) -> bool {
        if self.plan.linkerd.is_some() {
            return self.trusts_controller(pod, replica, super::control::XDS);
        }
        let clock = Wall::of(self.now, self.clock_of(pod));
        self.authorities.chains.invalid(self.authorities.signer(replica), clock).is_none()
            && self.serves_validly(pod, replica)
    }

    /// Whether some replica that a pod reaches for a part is one whose certificate its agent accepts.
    pub(super) fn trusts_some(&self, pod: u32, part: usize) -> bool {
        let node = self.pods[pod as usize].node;
        (0..self.control.replicas.len()).any(|index| {
            let replica = u32::try_from(index).unwrap_or(0);
            self.control.serves(index, part)
                && self.is_connected(node, self.control.node_of(index, part))
                && self.trusts_istiod(pod, replica)
        })
    }

    /// Whether a pod's agent needs but wait until the chain of some replica is valid by its clock.
    pub(super) fn awaits_some(&self, pod: u32) -> bool {
        let clock = Wall::of(self.now, self.clock_of(pod));
        let replicas = 0..u32::try_from(self.control.replicas.len()).unwrap_or(0);
        let signers = replicas.map(|replica| self.authorities.signer(replica));
        signers.into_iter().any(|signer| self.authorities.chains.is_early(signer, clock))
    }

    /// Whether some replica would sign for a pod.
    pub(super) fn is_signed_by_some(&self, pod: u32) -> bool {
        let (node, cert) = (self.pods[pod as usize].node, &self.plan.parameters.cert);
        self.is_authenticated(pod)
            && (0..self.control.replicas.len()).any(|index| {
                let replica = u32::try_from(index).unwrap_or(0);
                if self.plan.linkerd.is_some() {
                    return self.would_certify(pod, replica);
                }
                self.control.serves(index, super::control::CA)
                    && self.is_connected(node, self.control.replicas[index].node)
                    && self.trusts_istiod(pod, replica)
                    && Leaf::is_refused(self.now, cert, &self.signing(pod, replica)).is_ok()
            })
    }

    // === what changes ===

    /// An event about identity begins or ends.
    pub(super) fn change_identity(
        &mut self,
        change: &IdentityChange,
        begins: bool,
        cause: Option<CauseId>,
        until: Option<Time>,
    ) {
        match change {
            IdentityChange::Authority { .. } => self.tell_authority(change, begins, cause),
            IdentityChange::Trust(_) => self.tell_trust(cause),
            IdentityChange::Clock { .. } => self.tell_clocks(),
            IdentityChange::Suspend(nodes) => self.suspend(nodes, begins, cause, until),
            IdentityChange::Certificate { .. } => self.tell_certificates(),
        }
    }

    /// A share of the replicas gets another authority, or the event that brought it is over.
    fn tell_authority(&mut self, change: &IdentityChange, begins: bool, cause: Option<CauseId>) {
        let IdentityChange::Authority { authority, share, restart } = change else { return };
        if self.plan.linkerd.is_some() {
            return self.tell_issuer(*share, begins && *restart);
        }
        if begins && let Some(why) = self.refuses_authority(*authority, *restart) {
            self.authorities.rejected.extend(cause);
            let name = self.plan.identity.authorities[authority.index()].name.clone();
            self.fact(FactKind::AuthorityRejected, || (name, why.to_owned()));
            return;
        }
        for replica in 0..u32::try_from(self.control.replicas.len()).expect("few replicas") {
            let (authority, brought) = self.authority_in_force(replica);
            let certificate = self.authorities.current[authority];
            if let Some(cause) = brought {
                self.authorities.brought.insert(certificate, cause);
            }
            let signer = &mut self.authorities.signers[replica as usize];
            if signer.authority != authority {
                (signer.authority, signer.certificate) = (authority, certificate);
                self.plan_root_check(replica);
                self.certify(replica);
            }
        }
        if begins && *restart {
            self.blame_control_plane(ControlPart::All, cause);
            self.set_control_part(ControlPart::All, *share, true);
            self.set_control_part(ControlPart::All, *share, false);
        }
        self.expect_chain_ends();
        self.conditions_changed();
    }

    /// Why istiod does not take an authority; none if it does.
    fn refuses_authority(&self, authority: AuthorityId, restart: bool) -> Option<&'static str> {
        let chains = &self.authorities.chains;
        let new = self.authorities.certificate_of(authority);
        if chains.invalid(new, Wall::of(self.now, self.clock_of_istiod(0))).is_some() {
            return Some("its chain is past its end: istiod keeps the old one");
        }
        let key = |certificate| chains.0[chains.root(certificate) as usize].key;
        let told = self.authorities.bundle(u32::MAX);
        let is_known = told.iter().any(|root| key(*root) == key(new));
        let is_same = key(self.authorities.signer(0)) == key(new);
        (!restart && !is_same && !is_known)
            .then_some("its root is another one: istiod keeps the old one")
    }

    /// What a replica signs with now: what the last event in force that istiod followed says, else the plan.
    fn authority_in_force(&self, replica: u32) -> (usize, Option<CauseId>) {
        let last = self.in_force().rev().find_map(|(action, cause)| match action {
            Action::Identity(IdentityChange::Authority { authority, share, .. })
                if (replica as usize) < self.control.affected(*share)
                    && cause.is_none_or(|one| !self.authorities.rejected.contains(&one)) =>
            {
                Some((authority.index(), cause))
            }
            _ => None,
        });
        last.unwrap_or((self.plan.identity.signer.map_or(0, AuthorityId::index), None))
    }

    /// Proxies are told to trust others: the control plane pushes it.
    fn tell_trust(&mut self, cause: Option<CauseId>) {
        let last = self.in_force().rev().find_map(|(action, _)| match action {
            Action::Identity(IdentityChange::Trust(roots)) => Some(roots),
            _ => None,
        });
        let roots = last.unwrap_or(&self.plan.identity.trust);
        let roots = roots.iter().map(|one| self.authorities.certificate_of(*one)).collect();
        if self.plan.linkerd.is_some() {
            return self.tell_anchors(roots, cause);
        }
        let version = self.config.begin_version(self.now, cause);
        self.authorities.bundles.push((version, roots));
        self.authorities.trust_cause = cause;
        self.schedule_watch();
    }

    // === ends of chains ===

    /// When the chain of an authority that signs ends, agents take istiod no more: calm is over.
    pub(super) fn expect_chain_ends(&mut self) {
        let signers: BTreeSet<u32> =
            self.authorities.signers.iter().map(|signer| signer.certificate).collect();
        for signer in signers {
            let end = self.authorities.chains.end(signer).time();
            if self.now < end && end < self.end && self.authorities.awaited.insert(signer) {
                self.queue.at(end, Event::ChainEnd(signer).pack());
            }
        }
    }

    // === istiod's own root ===

    /// When each replica first looks whether its root is due.
    pub(super) fn start_root_checks(&mut self) {
        for replica in 0..self.authorities.signers.len() {
            self.plan_root_check(u32::try_from(replica).expect("few replicas"));
        }
    }

    /// Schedules the first look that finds the root due: those before it do nothing.
    fn plan_root_check(&mut self, replica: u32) {
        let root = &self.plan.parameters.root;
        let signer = self.authorities.signers[replica as usize];
        let rotates = self
            .plan
            .identity
            .authorities
            .get(signer.authority)
            .is_none_or(|one| !one.plugged_in && one.issuer.is_none());
        self.authorities.signers[replica as usize].check = Ticket::NONE;
        if !rotates || root.check.is_zero() {
            return;
        }
        let hash = self.control.replicas[replica as usize].hash;
        let jitter_s = (root.start_jitter.ns() / 1_000_000_000).max(1);
        let jitter = Duration::from_s(draw_at(self.seed, "root check", hash, 0) % jitter_s);
        let end = self.authorities.chains.0[signer.certificate as usize].validity.not_after;
        let due = end.minus(root.ttl.scale(root.grace)).time().max(self.now);
        // Looks are at jitter + k · check, k at least 1; one that comes just then finds it not due yet.
        let looks = (due.saturating_since(Time::ZERO + jitter).ns() / root.check.ns()) + 1;
        let at = Duration::from_ns(looks.saturating_mul(root.check.ns()));
        let at = (Time::ZERO + jitter).saturating_add(at);
        if at < self.end {
            let ticket = self.queue.at(at, Event::RootCheck(replica).pack());
            self.authorities.signers[replica as usize].check = ticket;
        }
    }

    /// A replica looks at its root, which is due: it takes the new one that another has made, or makes it.
    pub(super) fn root_check(&mut self, replica: u32, ticket: Ticket) {
        let signer = self.authorities.signers[replica as usize];
        if signer.check != ticket {
            return self.stale();
        }
        let root = &self.plan.parameters.root;
        let own = &self.control.replicas[replica as usize];
        if own.down != 0 || !own.is_wanted {
            let ticket = self.queue.after(root.check, Event::RootCheck(replica).pack());
            self.authorities.signers[replica as usize].check = ticket;
            return;
        }
        let authorities = &mut self.authorities;
        if authorities.current[signer.authority] == signer.certificate {
            let ahead = self.control.clocks.of_replica(replica);
            let old = authorities.chains.0[signer.certificate as usize];
            let key = if root.same_key { old.key } else { authorities.chains.new_key() };
            let clock = Wall::of(self.now, ahead);
            let not_before = clock.minus(self.plan.parameters.cert.not_before_skew);
            let validity = Validity { not_before, not_after: clock.plus(root.ttl) };
            let new = authorities.chains.add(Anchor { key, issuer: None, validity });
            authorities.current[signer.authority] = new;
            authorities.is_plain = false;
            self.fact(FactKind::RootRenewed, || {
                (format!("istiod-{replica}"), "its self-signed root".to_owned())
            });
        }
        let new = self.authorities.current[signer.authority];
        self.authorities.signers[replica as usize].certificate = new;
        self.certify(replica);
        self.plan_root_check(replica);
        self.expect_chain_ends();
        self.conditions_changed();
    }
}
