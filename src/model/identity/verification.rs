//! What a side finds when it looks at its peer's certificate.
//!
//! The chain is checked first, its root before its leaf, so that an expired root is told before an
//! expired leaf; the name comes last.
//!
//! Source: boringssl `x509_vfy.cc` (`internal_verify` goes from the root down); envoy
//! `source/common/tls/cert_validator/default_validator.cc` (names after the chain); depths measured on Envoy 1.40 (family
//! e08, `ca_expired_*` is depth 1).
//! Left out: intermediate certificates, CRLs, key usage.

use crate::kernel::time::Time;
use crate::plan::tls::{Certificate, CertificateId, Tls, TlsContext, TlsVersion};
use crate::vocabulary::transport::TransportFailure;

/// What is wrong with a certificate, in its peer's eyes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// Past its end.
    Expired,
    /// The one that signed it is past its end.
    IssuerExpired,
    /// Not valid yet.
    NotYetValid,
    /// The one that signed it is not valid yet.
    IssuerNotYetValid,
    /// Not signed by a root that is trusted.
    UnknownIssuer,
    /// Another name than is asked for.
    WrongName,
}

impl Flaw {
    /// What the side that finds it logs.
    pub const fn found(self) -> TransportFailure {
        match self {
            Self::Expired => TransportFailure::Expired,
            Self::IssuerExpired => TransportFailure::IssuerExpired,
            Self::NotYetValid => TransportFailure::NotYetValid,
            Self::IssuerNotYetValid => TransportFailure::IssuerNotYetValid,
            Self::UnknownIssuer => TransportFailure::UnknownIssuer,
            Self::WrongName => TransportFailure::WrongName,
        }
    }

    /// The alert that it sends, which the certificate's owner logs.
    pub const fn alert(self) -> TransportFailure {
        match self {
            Self::Expired | Self::IssuerExpired => TransportFailure::AlertExpired,
            Self::NotYetValid | Self::IssuerNotYetValid => TransportFailure::AlertBad,
            Self::UnknownIssuer => TransportFailure::AlertUnknownCa,
            Self::WrongName => TransportFailure::AlertUnknown,
        }
    }
}

/// What the side `by` finds wrong with a certificate of its peer, if anything.
pub fn flaw(tls: &Tls, now: Time, certificate: CertificateId, by: &TlsContext) -> Option<Flaw> {
    let leaf = &tls.certificates[certificate.0 as usize];
    if !by.trusted.is_empty() {
        // A root signs itself.
        let root = leaf.issuer.unwrap_or(certificate);
        if !by.trusted.contains(&root) {
            return Some(Flaw::UnknownIssuer);
        }
        let root = &tls.certificates[root.0 as usize];
        if now < root.not_before {
            return Some(Flaw::IssuerNotYetValid);
        }
        if is_over(root, now) {
            return Some(Flaw::IssuerExpired);
        }
        if now < leaf.not_before {
            return Some(Flaw::NotYetValid);
        }
        if is_over(leaf, now) {
            return Some(Flaw::Expired);
        }
    }
    (by.san.is_some() && by.san != leaf.san).then_some(Flaw::WrongName)
}

fn is_over(certificate: &Certificate, now: Time) -> bool {
    certificate.not_after <= now
}

/// The version that a client and a server agree on; none if there is none. An Envoy offers TLS 1.2 at
/// most as a client, both as a server, unless it is told one.
pub fn version(client: &TlsContext, server: &TlsContext) -> Option<TlsVersion> {
    let offered = client.version.unwrap_or(TlsVersion::Tls12);
    server.version.is_none_or(|only| only == offered).then_some(offered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::time::Duration;
    use crate::plan::tls::KeyType;

    fn s(seconds: u64) -> Time {
        Time::ZERO + Duration::from_s(seconds)
    }

    /// Certificates 0 and 1 are roots, valid until 100 and 50 s; 2 to 4 are leaves.
    fn tls() -> Tls {
        let one = |issuer: Option<u32>, from, until, san: &str| Certificate {
            name: String::new(),
            issuer: issuer.map(CertificateId),
            san: (!san.is_empty()).then(|| san.to_owned()),
            key: KeyType::EcP256,
            not_before: s(from),
            not_after: s(until),
        };
        let certificates = vec![
            one(None, 0, 100, ""),
            one(None, 0, 50, ""),
            one(Some(0), 0, 50, "web"),
            one(Some(1), 0, 50, "web"),
            one(Some(0), 10, 200, "db"),
        ];
        Tls { certificates, ..Tls::default() }
    }

    fn looks(trusted: &[u32], san: Option<&str>) -> TlsContext {
        TlsContext {
            certificate: None,
            trusted: trusted.iter().copied().map(CertificateId).collect(),
            san: san.map(str::to_owned),
            version: None,
            rotates: false,
        }
    }

    #[test]
    fn the_root_is_looked_at_before_the_leaf_and_the_name_last() {
        use Flaw::{Expired, IssuerExpired, NotYetValid, UnknownIssuer, WrongName};
        for (now, certificate, trusted, san, expected) in [
            (10, 2, &[0][..], Some("web"), None),
            (10, 2, &[0], None, None),
            (10, 2, &[1, 0], Some("web"), None),
            (10, 2, &[1], Some("db"), Some(UnknownIssuer)),
            (50, 2, &[0], Some("db"), Some(Expired)),
            (50, 3, &[1], Some("web"), Some(IssuerExpired)),
            (9, 4, &[0], Some("db"), Some(NotYetValid)),
            (10, 4, &[0], Some("db"), None),
            (100, 4, &[0], Some("db"), Some(IssuerExpired)),
            (10, 4, &[0], Some("web"), Some(WrongName)),
            (900, 4, &[], None, None),
            (900, 4, &[], Some("web"), Some(WrongName)),
            (10, 0, &[0], None, None),
        ] {
            let found = flaw(&tls(), s(now), CertificateId(certificate), &looks(trusted, san));
            assert_eq!(found, expected, "{certificate} at {now} s by {trusted:?}, {san:?}");
        }
    }

    #[test]
    fn an_envoy_offers_12_as_a_client_and_takes_both_as_a_server() {
        use TlsVersion::{Tls12, Tls13};
        let with = |version| TlsContext { version, ..looks(&[], None) };
        for (client, server, expected) in [
            (None, None, Some(Tls12)),
            (Some(Tls13), None, Some(Tls13)),
            (Some(Tls12), None, Some(Tls12)),
            (None, Some(Tls13), None),
            (Some(Tls13), Some(Tls12), None),
            (Some(Tls13), Some(Tls13), Some(Tls13)),
        ] {
            assert_eq!(version(&with(client), &with(server)), expected, "{client:?} {server:?}");
        }
    }
}
