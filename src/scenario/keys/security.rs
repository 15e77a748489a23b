//! Keys of TLS between proxies.
//!
//! Source: as in [`super`]; the words are those of Istio's `PeerAuthentication` and `DestinationRule`.
//! Left out: certificates by file.

use super::super::schema::Default::{Is, None};
use super::super::schema::Key;
use super::super::schema::Kind::Word;
use super::key;

const MODES: &[&str] = &["strict", "permissive", "disable"];

/// For all workloads that say nothing else.
pub(crate) const OF_MESH: Key = key(
    "peer_authentication",
    Word(MODES),
    Is("permissive"),
    "what proxies accept: mutual TLS only, or plaintext too",
);
pub(super) const OF_SERVICE: Key =
    key("peer_authentication", Word(MODES), None, "the same for its workloads; as the mesh's");
pub(super) const OF_WORKLOAD: Key =
    key("peer_authentication", Word(MODES), None, "the same for this one; as the service's");
pub(super) const CLIENTS: Key = key(
    "tls",
    Word(&["auto", "disable", "istio_mutual", "simple"]),
    Is("auto"),
    "what its clients' proxies do; auto: mutual TLS where it is taken",
);
pub(super) const OF_EVENT: Key = key("mode", Word(MODES), None, "what proxies accept from now on");
