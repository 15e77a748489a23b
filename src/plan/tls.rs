//! TLS where it is not what the mesh arranges by itself: what servers accept, what clients do, and
//! certificates that no authority of the mesh renews.
//!
//! Nothing said, proxies of the mesh speak mutual TLS with each other, and accept plaintext from
//! everybody else (Istio's automatic mTLS and PERMISSIVE).
//!
//! Source: Istio's `PeerAuthentication` and `DestinationRule` (`trafficPolicy.tls`); Envoy's upstream and downstream TLS
//! contexts.
//! Left out: ports and namespaces; certificates by file; CRLs; cipher suites.

use crate::kernel::time::{Duration, Time};
use crate::plan::parameter::{Parameters, Value, ValueKind};
use crate::plan::universe::{ClusterId, WorkloadId};
use std::collections::BTreeMap;

/// Names a certificate of [`Tls::certificates`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CertificateId(pub u32);

/// All that is said of TLS.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Tls {
    /// Certificates, roots among them, that stand by themselves.
    pub certificates: Vec<Certificate>,
    /// What clients of these clusters do; of all others, [`ClientTls::Automatic`].
    pub clients: BTreeMap<ClusterId, ClientTls>,
    /// What these workloads accept; all others, [`ServerTls::Permissive`].
    pub servers: BTreeMap<WorkloadId, ServerTls>,
}

impl Tls {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.servers.is_empty()
    }
}

/// The kind of a key: what a handshake costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyType {
    /// ECDSA on P-256.
    EcP256,
    /// RSA of 2048 bits.
    Rsa2048,
}

impl KeyType {
    /// CPU time of a full handshake on the side that has such a key. Measured on Envoy 1.40
    /// (`handshake_cost` of family e08, less the request itself).
    pub const fn handshake(self) -> Duration {
        match self {
            Self::EcP256 => Duration::from_us(380),
            Self::Rsa2048 => Duration::from_us(880),
        }
    }
}

impl Value for KeyType {
    const KIND: ValueKind = ValueKind::Word(&["rsa2048", "p256"]);
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "rsa2048" => Ok(Self::Rsa2048),
            "p256" => Ok(Self::EcP256),
            _ => Err("expected rsa2048 or p256".to_owned()),
        }
    }
    fn text(&self) -> String {
        match self {
            Self::Rsa2048 => "rsa2048".to_owned(),
            Self::EcP256 => "p256".to_owned(),
        }
    }
}

impl Parameters {
    /// CPU time of a full handshake on the side of a proxy with the mesh's kind of key.
    pub const fn handshake(&self) -> Duration {
        match self.cert.key {
            KeyType::EcP256 => self.proxy.handshake_p256,
            KeyType::Rsa2048 => self.proxy.handshake,
        }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TlsVersion {
    /// 1.2.
    Tls12,
    /// 1.3.
    Tls13,
}

/// A certificate.
#[derive(Clone, PartialEq, Debug)]
pub struct Certificate {
    /// Its name.
    pub name: String,
    /// Who signed it; a root has signed itself.
    pub issuer: Option<CertificateId>,
    /// Its URI SAN.
    pub san: Option<String>,
    /// Its key.
    pub key: KeyType,
    /// Valid from here on.
    pub not_before: Time,
    /// And no longer from here on.
    pub not_after: Time,
}

/// What a side of a handshake has and wants.
#[derive(Clone, PartialEq, Debug)]
pub struct TlsContext {
    /// Its own certificate; none if it shows none.
    pub certificate: Option<CertificateId>,
    /// The roots that it trusts; without any, it does not ask who signed.
    pub trusted: Vec<CertificateId>,
    /// The peer must have this URI SAN.
    pub san: Option<String>,
    /// The only version that it speaks; none for Envoy's: 1.2 as a client, both as a server.
    pub version: Option<TlsVersion>,
    /// Whether its secrets come by SDS, and may change.
    pub rotates: bool,
}

impl TlsContext {
    /// A secret is replaced, if it comes by SDS.
    pub fn rotate(&mut self, secret: &Secret) {
        match secret {
            _ if !self.rotates => {}
            Secret::Certificate(certificate) => self.certificate = *certificate,
            Secret::Trusted(trusted) => self.trusted.clone_from(trusted),
        }
    }
}

/// The client's side.
#[derive(Clone, PartialEq, Debug)]
pub struct ClientContext {
    /// What it has and wants.
    pub context: TlsContext,
    /// Whether it keeps session tickets.
    pub resumes: bool,
}

/// The server's side.
#[derive(Clone, PartialEq, Debug)]
pub struct ServerContext {
    /// What it has and wants.
    pub context: TlsContext,
    /// Whether a client must show a certificate.
    pub requires_client: bool,
    /// Whether it sends session tickets.
    pub stateless: bool,
    /// Whether it remembers sessions by their ids (TLS 1.2 only).
    pub stateful: bool,
}

/// What the clients of a cluster do.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum ClientTls {
    /// Mutual TLS with endpoints that have a proxy and take it, plaintext with all others.
    #[default]
    Automatic,
    /// Plaintext (`DISABLE`); what an absent context is to Envoy.
    Disabled,
    /// Mutual TLS with the mesh's certificates, with whomever (`ISTIO_MUTUAL`).
    Mutual,
    /// TLS without a certificate (`SIMPLE`).
    Simple,
    /// A context of its own.
    Own(Box<ClientContext>),
}

/// What a workload's proxy accepts.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum ServerTls {
    /// Mutual TLS and plaintext.
    #[default]
    Permissive,
    /// Mutual TLS only.
    Strict,
    /// Plaintext only.
    Disabled,
    /// TLS only, on a listener that does not tell it from plaintext (a gateway's or a sidecar's own `tls` of a
    /// server): what it asks of clients.
    Listener(ClientCertificate),
    /// A context of its own, and no plaintext.
    Own(Box<ServerContext>),
}

/// What a server asks of its clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientCertificate {
    /// A certificate (`MUTUAL`).
    Required,
    /// That it is good if there is one (`OPTIONAL_MUTUAL`).
    Optional,
    /// Nothing (`SIMPLE`).
    Unasked,
}

/// What is replaced by a rotation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Secret {
    /// The own certificate.
    Certificate(Option<CertificateId>),
    /// The trusted roots.
    Trusted(Vec<CertificateId>),
}
