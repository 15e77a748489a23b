//! Why something is as it is: interned causes, each pointing to the cause before it.
//!
//! A cause is made where a fault begins, a renewal fails, a pod is refused, a configuration goes
//! stale or a certificate ends. A failed request ends with one; following `because` leads to the
//! root that the scenario injected.
//!
//! Source: ARCHITECTURE.md: a recorder cannot know why, so the world keeps it. Outside the digest.
//! Left out: causes that are only statistical (a queue that was long because of many requests).

use crate::kernel::bytes::Bytes as _;
use crate::kernel::time::Time;
use std::collections::BTreeMap;

/// Names a [`Cause`] of one run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CauseId(pub u32);

/// What kind of thing happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CauseKind {
    /// A timeline event of the scenario: always a root.
    Injected,
    /// A certificate could not be renewed.
    RenewalFailed,
    /// A certificate reached its end.
    CertificateExpired,
    /// A service-account token reached its end.
    TokenExpired,
    /// The certificate with which istiod serves reached its end.
    ServingCertificateExpired,
    /// A certificate is not valid yet.
    CertificateNotYetValid,
    /// A proxy has no certificate.
    CertificateMissing,
    /// An authority's certificate below the root reached its end.
    SignerExpired,
    /// A root reached its end.
    RootExpired,
    /// A certificate is of a root that its verifier does not trust.
    UnknownIssuer,
    /// A certificate has another name than is asked for.
    WrongName,
    /// A clock is wrong.
    ClockSkew,
    /// An authority does not sign what it is asked for.
    RequestRefused,
    /// A pod could not be created, or did not become ready.
    PodNotStarted,
    /// A proxy works on an old configuration.
    StaleConfiguration,
    /// A pod, node or link is gone.
    Unreachable,
    /// A service answers otherwise than it would without an event.
    Disturbed,
    /// A setting of the scenario: a root without an event.
    Configured,
}

/// One thing that happened, in the words of the mesh.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cause {
    /// Its kind.
    pub kind: CauseKind,
    /// When it began.
    pub at: Time,
    /// What happened, as the middle of a sentence ("the renewal of reviews-v1-3 failed").
    pub what: String,
    /// What it follows from.
    pub because: Option<CauseId>,
}

/// All causes of a run, in the order in which they began.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Causes {
    all: Vec<Cause>,
    /// The first of each kind and reason.
    first: BTreeMap<(CauseKind, Option<CauseId>), CauseId>,
}

impl Causes {
    /// Interns a cause and names it.
    #[expect(clippy::cast_possible_truncation, reason = "far fewer than 2^32 causes in a run")]
    pub fn add(&mut self, cause: Cause) -> CauseId {
        let id = CauseId(self.all.len() as u32);
        self.first.entry((cause.kind, cause.because)).or_insert(id);
        self.all.push(cause);
        id
    }

    /// The cause of this kind that follows from this one, made if there is none: one for all whom
    /// it concerns.
    pub fn follow(
        &mut self,
        kind: CauseKind,
        because: Option<CauseId>,
        make: impl FnOnce() -> Cause,
    ) -> CauseId {
        match self.first.get(&(kind, because)) {
            Some(id) => *id,
            None => self.add(make()),
        }
    }

    /// The cause that `id` names.
    pub fn get(&self, id: CauseId) -> &Cause {
        &self.all[id.0 as usize]
    }

    /// `id`, what it follows from, and so on to the root.
    pub fn chain(&self, id: CauseId) -> Vec<CauseId> {
        std::iter::successors(Some(id), |id| self.get(*id).because).collect()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let texts = self.all.iter().map(|cause| cause.what.bytes()).sum::<usize>();
        self.all.bytes() + texts + self.first.bytes()
    }

    /// The last of the chain: what the scenario injected, or how it was set.
    pub fn root(&self, id: CauseId) -> &Cause {
        let mut cause = self.get(id);
        while let Some(before) = cause.because {
            cause = self.get(before);
        }
        cause
    }

    /// All causes.
    pub fn iter(&self) -> impl Iterator<Item = &Cause> {
        self.all.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_ends_at_the_injected_root() {
        let mut causes = Causes::default();
        let cause = |kind, because| Cause { kind, at: Time::ZERO, what: String::new(), because };
        let root = causes.add(cause(CauseKind::Injected, None));
        let renewal = causes.add(cause(CauseKind::RenewalFailed, Some(root)));
        let expiry = causes.add(cause(CauseKind::CertificateExpired, Some(renewal)));
        assert_eq!(causes.chain(expiry), [expiry, renewal, root]);
        let make = || unreachable!("it is known");
        assert_eq!(causes.follow(CauseKind::RenewalFailed, Some(root), make), renewal);
    }
}
