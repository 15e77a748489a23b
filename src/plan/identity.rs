//! Who signs certificates, whom proxies trust, and what some proxies show instead of what they would be
//! given.
//!
//! Nothing said, one self-signed root signs for all, whose end is `cert.signer_remaining` away.
//!
//! Source: Istio's plugged-in CA (`cacerts`), `ISTIO_MULTIROOT_MESH`, `caCertificates` of its mesh configuration; Envoy's
//! `TlsParameters`.
//! Left out: trust domains other than `cluster.local`, external authorities (`k8s.io/` signers), CRLs.

use crate::kernel::time::{Duration, Time};
use crate::plan::tls::{KeyType, TlsVersion};
use crate::plan::universe::{NodeId, WorkloadId};
use std::collections::BTreeMap;

/// Names an authority of [`Identity::authorities`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AuthorityId(pub u32);

impl AuthorityId {
    /// As a place in a list.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What the mesh signs with and trusts.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Identity {
    /// In the order of their names; none for one self-signed root.
    pub authorities: Vec<Authority>,
    /// The one that istiod signs with at the start.
    pub signer: Option<AuthorityId>,
    /// The roots that every proxy is told to trust (a multi-root mesh); none if each trusts only the root
    /// that came with its own certificate.
    pub trust: Vec<AuthorityId>,
    /// What the proxies of these workloads show; all others, what istiod signs.
    pub presented: BTreeMap<WorkloadId, Presented>,
    /// The versions of TLS of the proxies of these workloads; all others, 1.2 and 1.3.
    pub versions: BTreeMap<WorkloadId, Versions>,
}

impl Identity {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.presented.is_empty() && self.versions.is_empty()
    }
}

/// An authority's certificate.
#[derive(Clone, PartialEq, Debug)]
pub struct Authority {
    /// Its name.
    pub name: String,
    /// Who signed it; a root has signed itself.
    pub issuer: Option<AuthorityId>,
    /// Its end, from the start of the run.
    pub remaining: Duration,
    /// Its key: certificates of one key vouch for the same leaves.
    pub key: u32,
    /// From the secret `cacerts`, which Istio never renews; else istiod's own root, which renews itself.
    pub plugged_in: bool,
}

/// A certificate that proxies show instead of what they would be given.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Presented {
    /// Signed by this authority.
    pub ca: Option<AuthorityId>,
    /// For another name: what servers' names, and clients' trust domains are compared with.
    pub san: Option<String>,
    /// Valid from here on.
    pub not_before: Option<Time>,
    /// And no longer from here on.
    pub not_after: Option<Time>,
    /// With such a key.
    pub key: Option<KeyType>,
    /// SDS has delivered none.
    pub none: bool,
}

/// The versions of TLS that proxies speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Versions {
    /// The oldest.
    pub minimum: TlsVersion,
    /// The newest.
    pub maximum: TlsVersion,
}

impl Versions {
    /// Istio's, within the mesh (`cluster_tls.go:396-401`, `authn/utils/utils.go:79-97`).
    pub const ISTIO: Self = Self { minimum: TlsVersion::Tls12, maximum: TlsVersion::Tls13 };

    /// The newest that both speak; none if there is none.
    pub fn common(self, other: Self) -> Option<TlsVersion> {
        let newest = self.maximum.min(other.maximum);
        (self.minimum.max(other.minimum) <= newest).then_some(newest)
    }
}

/// What an event changes of identity.
#[derive(Clone, PartialEq, Debug)]
pub enum IdentityChange {
    /// istiod gets another authority to sign with, which it takes if it may.
    Authority {
        /// The new one.
        authority: AuthorityId,
        /// Share of the replicas, above 0, at most 1.
        share: f64,
        /// istiod starts again with it, and so takes it whatever its root is.
        restart: bool,
    },
    /// Proxies are told to trust these roots.
    Trust(Vec<AuthorityId>),
    /// Clocks show another time than the true one.
    Clock {
        /// Those of these nodes.
        nodes: Vec<NodeId>,
        /// Those that the pods of these workloads see.
        workloads: Vec<WorkloadId>,
        /// Those of this share of istiod's replicas, 0 to 1.
        istiod: f64,
        /// By so much.
        skew: Skew,
    },
    /// Nodes sleep: nothing runs and timers stand still, while the wall clock goes on.
    Suspend(Vec<NodeId>),
    /// The proxies of workloads get another certificate by SDS.
    Certificate {
        /// These.
        workloads: Vec<WorkloadId>,
        /// What they show from now on.
        presented: Presented,
    },
}

/// A clock's distance from the true time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Skew {
    /// How much it shows.
    pub by: Duration,
    /// Less than the true time, or more.
    pub behind: bool,
}

impl Skew {
    /// In nanoseconds, negative if it is behind.
    pub fn ns(self) -> i64 {
        let ns = i64::try_from(self.by.ns()).unwrap_or(i64::MAX);
        if self.behind { -ns } else { ns }
    }
}

/// The URI SAN of a service's account.
pub fn san_of(account: &str) -> String {
    if account.contains("://") {
        return account.to_owned();
    }
    format!("{TRUST_DOMAIN}ns/default/sa/{account}")
}

/// Where every name of the mesh begins.
pub const TRUST_DOMAIN: &str = "spiffe://cluster.local/";

#[cfg(test)]
mod tests {
    use super::*;
    use TlsVersion::{Tls12, Tls13};

    #[test]
    fn two_agree_on_the_newest_version_that_both_speak() {
        let of = |minimum, maximum| Versions { minimum, maximum };
        for (one, other, common) in [
            (Versions::ISTIO, Versions::ISTIO, Some(Tls13)),
            (Versions::ISTIO, of(Tls12, Tls12), Some(Tls12)),
            (of(Tls13, Tls13), of(Tls12, Tls12), None),
            (of(Tls13, Tls13), Versions::ISTIO, Some(Tls13)),
        ] {
            assert_eq!(one.common(other), common);
            assert_eq!(other.common(one), common);
        }
    }

    #[test]
    fn an_account_is_a_name_in_the_trust_domain() {
        assert_eq!(san_of("web"), "spiffe://cluster.local/ns/default/sa/web");
        assert_eq!(san_of("spiffe://td2/ns/a/sa/b"), "spiffe://td2/ns/a/sa/b");
    }
}
