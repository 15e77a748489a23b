//! Facts: what the world tells its recorders about the control plane and the life of pods.
//!
//! Each becomes at most one line of `events.jsonl`. Requests are not facts: they are counted.
//!
//! Source: the words are those of Istio's logs and Kubernetes' events.
//! Left out: facts of parts that are not simulated.

use serde::Serialize;

/// The kind of a fact; a written name, stable across versions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FactKind {
    /// A timeline event began.
    EventBegan,
    /// A timeline event ended.
    EventEnded,
    /// A condition became true for its hold time.
    ConditionMet,
    /// A workload certificate was issued.
    CertificateIssued,
    /// A certificate signing request failed.
    CertificateRequestFailed,
    /// A workload certificate reached its end.
    CertificateExpired,
    /// A TLS handshake failed.
    HandshakeFailed,
    /// A proxy's xDS stream was opened.
    ProxyConnected,
    /// A proxy's xDS stream was lost.
    ProxyDisconnected,
    /// istiod began a push to its proxies.
    PushStarted,
    /// A pod was created.
    PodCreated,
    /// A pod could not be created.
    PodRefused,
    /// A pod became ready.
    PodReady,
    /// A pod was told to end.
    PodTerminating,
    /// A pod is gone.
    PodGone,
    /// An endpoint was ejected by outlier detection.
    EndpointEjected,
    /// An ejected endpoint came back.
    EndpointUnejected,
    /// An endpoint failed its active health checks.
    EndpointUnhealthy,
    /// An endpoint passes its active health checks.
    EndpointHealthy,
    /// A rolling update finished.
    RolloutFinished,
    /// A proxy rejected an update (NACK).
    UpdateRejected,
    /// istiod did not take another authority.
    AuthorityRejected,
    /// istiod renewed its self-signed root.
    RootRenewed,
    /// A replica of istiod was killed.
    ReplicaKilled,
    /// A pod waits for a node to run on.
    PodPending,
    /// A pod that was ready is not.
    PodNotReady,
    /// A container ended by itself, or was ended by its kubelet, and starts again.
    ContainerRestarted,
    /// A probe of an app failed so often that it counts.
    ProbeFailed,
    /// An eviction was forbidden.
    EvictionRefused,
    /// An autoscaler wants another number of pods.
    Autoscaled,
    /// The API server refused what an operator wrote.
    ConfigRejected,
    /// A pod's service-account token reached its end.
    TokenExpired,
    /// A pod has a good service-account token again.
    TokenRenewed,
    /// A replica of Linkerd's identity has read another issuer.
    IssuerUpdated,
    /// `linkerd check` has something to say of a certificate.
    CheckFound,
    /// A proxy of Linkerd's has waited for its first certificate for long.
    WaitsForCertificate,
}

impl FactKind {
    /// Every kind, in the order of their codes.
    pub const ALL: [Self; 36] = [
        Self::EventBegan,
        Self::EventEnded,
        Self::ConditionMet,
        Self::CertificateIssued,
        Self::CertificateRequestFailed,
        Self::CertificateExpired,
        Self::HandshakeFailed,
        Self::ProxyConnected,
        Self::ProxyDisconnected,
        Self::PushStarted,
        Self::PodCreated,
        Self::PodRefused,
        Self::PodReady,
        Self::PodTerminating,
        Self::PodGone,
        Self::EndpointEjected,
        Self::EndpointUnejected,
        Self::EndpointUnhealthy,
        Self::EndpointHealthy,
        Self::RolloutFinished,
        Self::UpdateRejected,
        Self::AuthorityRejected,
        Self::RootRenewed,
        Self::ReplicaKilled,
        Self::PodPending,
        Self::PodNotReady,
        Self::ContainerRestarted,
        Self::ProbeFailed,
        Self::EvictionRefused,
        Self::Autoscaled,
        Self::ConfigRejected,
        Self::TokenExpired,
        Self::TokenRenewed,
        Self::IssuerUpdated,
        Self::CheckFound,
        Self::WaitsForCertificate,
    ];
}
