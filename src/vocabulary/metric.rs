//! The catalogue of gauges: states of the mesh that are looked at in time, with their units.
//!
//! Source: names follow Istio's metrics where one exists (`pilot_xds` is `proxies_connected`).
//! Left out: per-proxy gauges; here is only what a whole mesh has.

/// A state of the mesh at an instant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Gauge {
    /// Live proxies.
    Proxies,
    /// Live proxies with an open xDS stream.
    ProxiesConnected,
    /// Live proxies whose certificate is within its life.
    CertificatesValid,
    /// Live proxies whose certificate is past its end.
    CertificatesExpired,
    /// Expired share of the certificates held by live proxies, 0 to 1.
    CertificatesExpiredShare,
    /// Age in seconds of the oldest change that some live proxy has not seen.
    ConfigStaleness,
    /// Pods that are ready.
    PodsReady,
    /// Pods that are wanted and not ready.
    PodsMissing,
    /// Open connections between proxies.
    Connections,
    /// Requests begun and not ended.
    RequestsInFlight,
    /// Requests that wait in the queues of apps.
    Queued,
    /// Endpoints that some proxy has ejected.
    Ejected,
    /// Replicas of istiod that serve configuration.
    IstiodReady,
    /// Proxies that wait for a push, or are being pushed to.
    IstiodPushQueue,
    /// Cores of istiod that work, over all replicas.
    IstiodCpu,
    /// Memory in MiB of the replica of istiod that has most.
    IstiodMemory,
    /// Streams of the replica of istiod that serves most.
    IstiodStreamsMax,
    /// Streams of the replica of istiod that serves least.
    IstiodStreamsMin,
    /// Pods without a node.
    PodsPending,
    /// Pods whose containers are being prepared.
    PodsStarting,
    /// Pods whose containers run and that are not ready.
    PodsNotReady,
    /// Pods with a container that waits to be started again (`CrashLoopBackOff`).
    PodsCrashLooping,
    /// Live proxies whose service-account token is past its end.
    TokensExpired,
}

impl Gauge {
    /// Every gauge with its name and unit.
    pub const ALL: [(Self, &'static str, &'static str); 23] = [
        (Self::Proxies, "proxies", "count"),
        (Self::ProxiesConnected, "proxies_connected", "count"),
        (Self::CertificatesValid, "certificates_valid", "count"),
        (Self::CertificatesExpired, "certificates_expired", "count"),
        (Self::CertificatesExpiredShare, "certificates_expired_share", "share"),
        (Self::ConfigStaleness, "config_staleness", "s"),
        (Self::PodsReady, "pods_ready", "count"),
        (Self::PodsMissing, "pods_missing", "count"),
        (Self::Connections, "connections", "count"),
        (Self::RequestsInFlight, "requests_in_flight", "count"),
        (Self::Queued, "queued", "count"),
        (Self::Ejected, "ejected", "count"),
        (Self::IstiodReady, "istiod_ready", "count"),
        (Self::IstiodPushQueue, "istiod_push_queue", "count"),
        (Self::IstiodCpu, "istiod_cpu", "cores"),
        (Self::IstiodMemory, "istiod_memory", "MiB"),
        (Self::IstiodStreamsMax, "istiod_streams_max", "count"),
        (Self::IstiodStreamsMin, "istiod_streams_min", "count"),
        (Self::PodsPending, "pods_pending", "count"),
        (Self::PodsStarting, "pods_starting", "count"),
        (Self::PodsNotReady, "pods_not_ready", "count"),
        (Self::PodsCrashLooping, "pods_crash_looping", "count"),
        (Self::TokensExpired, "tokens_expired", "count"),
    ];

    /// The name of the gauge in expressions and in `series.csv`.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// Whether it is one of requests, and so means nothing while none are simulated.
    pub fn is_of_traffic(self) -> bool {
        matches!(self, Self::RequestsInFlight | Self::Queued)
    }

    /// The gauge of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|row| row.1 == name).map(|row| row.0)
    }
}
