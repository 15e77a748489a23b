//! Linkerd's trust anchors and issuers while running: who was given which bundle, and which replica of
//! identity has read which issuer.
//!
//! ```text
//! secret written ── kubelet: U[0, 60 … 90) s ── a replica reads it ── good: IssuerUpdated
//!                                               └ missed: only another start reads it   bad: IssuerUpdateSkipped
//! ```
//!
//! A proxy has the bundle of the time when its pod was created, a replica of identity that of its own start:
//! a bundle that changes reaches nobody who runs.
//!
//! Source: linkerd2 `charts/partials/templates/_proxy.tpl` (the bundle is in the environment), pkg/identity/service.go:112-130
//! and 200-290; kubernetes `pkg/kubelet/pod_workers.go` for the way of a secret; linkerd2#15109 for a reload that is missed.
//! Left out: the certificates of the controllers' own proxies, which are as good as what identity signs; an identity that
//! does not start since its issuer is not of its anchors (it starts, and signs nothing).

use super::World;
use super::authorities::Authorities;
use super::event::Event;
use crate::kernel::stream::{draw_at, uniform};
use crate::model::identity::chain::Wall;
use crate::model::linkerd::renewal::Issuer;
use crate::plan::Plan;
use crate::plan::identity::{AuthorityId, IdentityChange};
use crate::plan::timeline::Action;
use crate::vocabulary::cause::{CauseId, CauseKind};
use crate::vocabulary::fact::FactKind;
use std::collections::BTreeMap;

/// Bundles of anchors, and who has which.
#[derive(Default)]
pub(crate) struct Anchors {
    /// The first is that of the plan.
    bundles: Vec<Vec<u32>>,
    /// Pods that were created with another than the first.
    of_pods: BTreeMap<u32, usize>,
    of_replicas: Vec<usize>,
    /// Counts secrets that were written, for draws.
    written: u64,
}

impl Anchors {
    /// At time zero all have the anchors of the plan, or the root of what identity signs with.
    pub(super) fn new(plan: &Plan, given: Vec<u32>, root: u32, replicas: usize) -> Option<Self> {
        plan.linkerd.as_ref()?;
        let first = if given.is_empty() { vec![root] } else { given };
        Some(Self { bundles: vec![first], of_replicas: vec![0; replicas], ..Self::default() })
    }

    fn newest(&self) -> usize {
        self.bundles.len() - 1
    }

    /// The anchors that whoever starts now is given.
    pub(super) fn given(&self) -> &[u32] {
        &self.bundles[self.newest()]
    }
}

impl Authorities {
    /// The newest certificate of an authority, by its place.
    pub(super) fn newest_of(&self, authority: usize) -> u32 {
        self.current[authority]
    }

    /// A replica signs with another authority.
    pub(super) fn set_signer(&mut self, replica: u32, authority: usize, certificate: u32) {
        let signer = &mut self.signers[replica as usize];
        (signer.authority, signer.certificate) = (authority, certificate);
    }

    /// What a pod of Linkerd's was created with; none in another mesh.
    pub(super) fn anchors_of(&self, pod: u32) -> Option<&[u32]> {
        let anchors = self.anchors.as_ref()?;
        Some(&anchors.bundles[anchors.of_pods.get(&pod).copied().unwrap_or(0)])
    }

    /// What a replica of identity signs with, and against what it verifies that.
    pub(super) fn issuer(&self, replica: u32) -> Option<Issuer> {
        self.issuer_with(replica, self.signer(replica))
    }

    fn issuer_with(&self, replica: u32, signer: u32) -> Option<Issuer> {
        let anchors = self.anchors.as_ref()?;
        let chains = &self.chains;
        let key = |one: u32| chains.0[one as usize].key;
        let root = chains.root(signer);
        let bundle = &anchors.bundles[*anchors.of_replicas.get(replica as usize)?];
        let of_key = bundle.iter().filter(|one| key(**one) == key(root));
        let anchor = of_key.map(|one| chains.0[*one as usize].validity).max_by_key(|v| v.not_after);
        let validity = chains.0[signer as usize].validity;
        Some(Issuer {
            is_loaded: true,
            validity,
            // Of another root it does not verify, whatever the time.
            anchor: anchor.unwrap_or(crate::model::identity::chain::Validity {
                not_before: Wall(i64::MAX),
                not_after: Wall::MIN,
            }),
            chain_end: chains.end_below_root(signer),
        })
    }
}

impl World<'_> {
    /// A pod is created: the injector writes the newest anchors into it.
    pub(super) fn give_anchors(&mut self, pod: u32) {
        if let Some(anchors) = &mut self.authorities.anchors
            && anchors.newest() != 0
        {
            let newest = anchors.newest();
            anchors.of_pods.insert(pod, newest);
        }
    }

    /// The bundle of anchors was changed: whoever starts from now on has it.
    pub(super) fn tell_anchors(&mut self, roots: Vec<u32>, cause: Option<CauseId>) {
        let Some(anchors) = &mut self.authorities.anchors else { return };
        anchors.bundles.push(roots);
        self.authorities.trust_cause = cause;
        self.check();
    }

    /// Another issuer was written into the secret, or the old one again: replicas read it one by one.
    pub(super) fn tell_issuer(&mut self, share: f64, restart: bool) {
        let Some(anchors) = &mut self.authorities.anchors else { return };
        anchors.written += 1;
        let written = anchors.written;
        let count = u32::try_from(self.control.replicas.len()).expect("few replicas");
        let affected = self.control.affected(share);
        for replica in 0..count {
            if restart {
                self.load_issuer(replica, true);
            } else if (replica as usize) < affected {
                let hash = self.control.replicas[replica as usize].hash;
                let draw = |n| uniform(draw_at(self.seed, "issuer secret", hash, 2 * written + n));
                // A kubelet looks at a pod every 60 s times U[1, 1.5), and the secret was written at any time.
                let every = self.plan.parameters.sa_token.sync.scale(1.0 + draw(0) / 2.0);
                self.queue.after(every.scale(draw(1)), Event::IssuerReload(replica).pack());
            }
        }
        self.check();
    }

    /// A replica of identity has another secret before it, or starts: what it reads.
    pub(super) fn load_issuer(&mut self, replica: u32, starts: bool) {
        let Some(anchors) = &mut self.authorities.anchors else { return };
        if starts {
            let newest = anchors.newest();
            anchors.of_replicas[replica as usize] = newest;
        }
        let (authority, brought) = self.issuer_in_force(replica, starts);
        let own = self.authorities.signer(replica);
        let new = self.authorities.newest_of(authority);
        if new == own {
            return self.conditions_changed();
        }
        let name = self.controller(super::control::CA, replica);
        if !starts && let Some(why) = self.skips_issuer(replica, new) {
            return self.fact(FactKind::AuthorityRejected, || (name, why.to_owned()));
        }
        self.authorities.set_signer(replica, authority, new);
        if let Some(cause) = brought {
            self.authorities.brought.insert(new, cause);
        }
        let what = self.plan.identity.authorities.get(authority);
        let what = what.map_or_else(String::new, |one| one.name.clone());
        self.fact(FactKind::IssuerUpdated, || (name, what));
        self.expect_chain_ends();
        self.conditions_changed();
    }

    /// Why a replica that runs keeps its old issuer, if it does.
    fn skips_issuer(&self, replica: u32, new: u32) -> Option<&'static str> {
        let issuer = self.authorities.issuer_with(replica, new)?;
        let clock = Wall::of(self.now, self.clock_of_istiod(replica));
        let is_within = |validity: crate::model::identity::chain::Validity| {
            validity.not_before <= clock && clock <= validity.not_after
        };
        if !is_within(issuer.anchor) {
            return Some(
                "IssuerUpdateSkipped: it is not of the anchors with which identity started",
            );
        }
        (!is_within(issuer.validity))
            .then_some("IssuerUpdateSkipped: the issuer is past its end, or not valid yet")
    }

    /// What a replica of identity finds in its secret: of those events that it follows, the last.
    pub(super) fn issuer_in_force(&self, replica: u32, starts: bool) -> (usize, Option<CauseId>) {
        let last = self.in_force().rev().find_map(|(action, cause)| match action {
            Action::Identity(IdentityChange::Authority { authority, share, .. })
                if starts || (replica as usize) < self.control.affected(*share) =>
            {
                Some((authority.index(), cause))
            }
            _ => None,
        });
        last.unwrap_or((self.plan.identity.signer.map_or(0, AuthorityId::index), None))
    }

    /// Replicas of identity that start read what there is.
    pub(super) fn restart_identity(&mut self, replicas: impl Iterator<Item = u32>) {
        for replica in replicas {
            self.load_issuer(replica, true);
        }
    }

    /// Why a pod gets nothing from a replica whose TLS it does not accept.
    pub(super) fn blame_controller(&mut self, pod: u32, replica: u32) -> CauseId {
        let signer = self.authorities.signer(replica);
        let clock = Wall::of(self.now, self.clock_of(pod));
        if !self.authorities.chains.is_below_root_valid(signer, clock) {
            return self.blame_authority(signer, pod);
        }
        let because = self.authorities.brought.get(&signer).copied();
        let because = because.max(self.authorities.trust_cause);
        self.caused(CauseKind::UnknownIssuer, because, || {
            "certificates are of an anchor that is not trusted".to_owned()
        })
    }
}
