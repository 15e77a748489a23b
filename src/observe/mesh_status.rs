//! The mesh at an instant: every proxy in the terms of `istioctl proxy-status`, every replica of istiod.
//!
//! Source: istioctl's `proxy-status` (SYNCED, STALE, NOT SENT for each type) and `proxy-config secret`.
//! Left out: ECDS; the difference between what was sent and what was acknowledged, which is one here.

use crate::kernel::time::{Duration, Time};
use crate::vocabulary::cause::CauseId;

/// How far a proxy is with the resources of one type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Sync {
    /// It never got any.
    NotSent,
    /// It has what is true.
    Synced,
    /// Something changed since.
    Stale,
}

impl Sync {
    /// As `istioctl` prints it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotSent => "NOT SENT",
            Self::Synced => "SYNCED",
            Self::Stale => "STALE",
        }
    }
}

/// A workload certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CertificateStatus {
    /// Past its end from here on.
    pub not_after: Time,
    /// When its agent asks, or began to ask, for the next one.
    pub renew_at: Time,
}

/// A proxy with its pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyStatus {
    /// The pod's name.
    pub name: String,
    /// Its node.
    pub node: String,
    /// The state of the pod: STATUS of `kubectl get pods`.
    pub pod: &'static str,
    /// Its containers that are ready, and all: READY.
    pub containers: (u32, u32),
    /// Its processes stand still, of which Kubernetes knows nothing.
    pub is_frozen: bool,
    /// Whether it has a proxy at all.
    pub is_meshed: bool,
    /// Whether that is the ztunnel of its node, with which it shares its stream and its certificate.
    pub is_captured: bool,
    /// CDS, LDS, EDS, RDS.
    pub types: [Sync; 4],
    /// When the first change came that it does not have.
    pub stale_since: Option<Time>,
    /// The replica that it is connected to.
    pub istiod: Option<String>,
    /// How long its stream to that has been open, at least: since the run began for one that is older.
    pub stream_age: Option<Duration>,
    /// Its certificate, if it has one.
    pub certificate: Option<CertificateStatus>,
    /// What it knows in a mesh of Linkerd.
    pub linkerd: Option<LinkerdStatus>,
    /// Why something about it is not as it should be.
    pub cause: Option<CauseId>,
}

/// What a proxy of Linkerd's knows besides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkerdStatus {
    /// In the order of the services.
    pub destinations: Vec<DestinationStatus>,
    /// Who may call: the number of the revision that it was told, from 1; none if it goes by what it was injected with.
    pub policy: Option<usize>,
}

/// A destination that a proxy has asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DestinationStatus {
    /// Its service.
    pub name: String,
    /// Endpoints of its backends, and those of them that are connected; none while nobody has answered.
    pub endpoints: Option<(u32, u32)>,
    /// Since when it is known, or was asked for.
    pub since: Time,
    /// When it is forgotten, if nobody uses it now.
    pub until: Option<Time>,
}

/// A replica of istiod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplicaStatus {
    /// Its name.
    pub name: String,
    /// Its node.
    pub node: String,
    /// Whether its certificate authority, xDS, injector and Linkerd's policy controller serve.
    pub serves: [bool; 4],
    /// Proxies connected to it.
    pub connected: u32,
    /// Proxies that wait for a push of it.
    pub push_queue: u32,
}

/// The whole mesh.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MeshStatus {
    /// When.
    pub at: Time,
    /// In the order of birth.
    pub proxies: Vec<ProxyStatus>,
    /// In the order of their names.
    pub replicas: Vec<ReplicaStatus>,
}
