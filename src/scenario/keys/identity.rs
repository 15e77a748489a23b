//! Keys of authorities, of what is trusted, and of certificates that istiod did not sign.
//!
//! Source: as in [`super`]; the words are those of Istio's plugged-in CA, of Envoy's TLS contexts and of X.509.
//! Left out: certificates by file.

use super::super::schema::Default::{Is, None, Required};
use super::super::schema::Kind::{Bool, Count, Duration, Names, Table, Text, Word};
use super::super::schema::{Key, Keys};
use super::key;

const VERSIONS: &[&str] = &["1.2", "1.3"];

/// Who signs.
pub(crate) const CA_OF_MESH: Key =
    key("ca", Text, None, "the [[ca]] that signs; the only one, or one self-signed root");
/// Who is trusted.
pub(crate) const TRUST_OF_MESH: Key = key(
    "trust",
    Names,
    None,
    "the roots that every proxy trusts (multi-root); if not given, only that of its own certificate",
);

/// An authority.
pub(crate) const AUTHORITY: Keys = Keys::Fixed(&[
    key("name", Text, Required, "the authority's name"),
    key("issuer", Text, None, "the authority that signed it; a root if not given"),
    key("remaining", Duration, Is("87600h"), "what remains of its life at the start"),
    key("key", Text, None, "its key, where another one has the same; one of its own if not given"),
    key("plugged_in", Bool, Is("true"), "from `cacerts`, never renewed; false: it renews itself"),
]);

const CERTIFICATE: Keys = Keys::Fixed(&[
    key("ca", Text, None, "signed by this one; by what signs for the mesh if not given"),
    key("san", Text, None, "its account or URI SAN; that of its service if not given"),
    key("not_before", Duration, None, "not valid before this time of the run"),
    key("not_after", Duration, None, "and no longer from this one on"),
    key("key", Word(&["rsa2048", "p256"]), None, "its key, which decides what a handshake costs"),
    key("none", Bool, Is("false"), "SDS has delivered none"),
]);

pub(super) const CERTIFICATE_OF_WORKLOAD: Key = key(
    "certificate",
    Table(CERTIFICATE),
    None,
    "what its proxies show instead of what istiod signs",
);
pub(super) const CERTIFICATE_OF_SERVICE: Key =
    key("certificate", Table(CERTIFICATE), None, "the same for its workloads");
pub(super) const CERTIFICATE_OF_EVENT: Key =
    key("certificate", Table(CERTIFICATE), None, "what its proxies show from now on");
pub(super) const MINIMUM: Key =
    key("tls_minimum_version", Word(VERSIONS), None, "the oldest TLS that its proxies speak; 1.2");
pub(super) const MAXIMUM: Key =
    key("tls_maximum_version", Word(VERSIONS), None, "the newest TLS that its proxies speak; 1.3");
pub(super) const SERVER_TLS: Key = key(
    "server_tls",
    Word(&["mutual", "optional_mutual", "simple"]),
    None,
    "TLS only, on a listener that asks so of clients; in place of `peer_authentication`",
);
pub(super) const CA_OF_EVENT: Key = key("ca", Text, None, "the authority that istiod gets");
pub(super) const RESTART: Key =
    key("restart", Bool, Is("false"), "istiod starts again with it, and takes any root");
pub(super) const DROPPED_BY: Key =
    key("dropped_by", Count(1, 10_000), None, "so many replicas of Linkerd's identity miss it");
pub(super) const TRUST_OF_EVENT: Key = key("trust", Names, None, "the roots that proxies trust");
pub(super) const AHEAD: Key = key("ahead", Duration, None, "clocks show so much more");
pub(super) const BEHIND: Key = key("behind", Duration, None, "clocks show so much less");
