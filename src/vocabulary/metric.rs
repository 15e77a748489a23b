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
    /// What `linkerd check` would say of certificates and clocks: 0 nothing, 1 a warning, 2 an error.
    LinkerdCheck,
    /// Replicas of Linkerd's identity that sign.
    IdentityReady,
    /// Replicas of Linkerd's policy controller that answer.
    PolicyReady,
    /// Replicas of Linkerd's injector that answer.
    InjectorReady,
}

impl Gauge {
    /// Every gauge with its name and unit.
    pub const ALL: [(Self, &'static str, &'static str); 27] = [
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
        (Self::LinkerdCheck, "linkerd_check", "level"),
        (Self::IdentityReady, "identity_ready", "count"),
        (Self::PolicyReady, "policy_ready", "count"),
        (Self::InjectorReady, "proxy_injector_ready", "count"),
    ];

    /// How some are called in a mesh of Linkerd, whose destination does what istiod does.
    pub const OF_DESTINATION: [(Self, &'static str); 6] = [
        (Self::IstiodReady, "destination_ready"),
        (Self::IstiodPushQueue, "destination_push_queue"),
        (Self::IstiodCpu, "destination_cpu"),
        (Self::IstiodMemory, "destination_memory"),
        (Self::IstiodStreamsMax, "destination_streams_max"),
        (Self::IstiodStreamsMin, "destination_streams_min"),
    ];

    /// The name of the gauge in expressions and in `series.csv`.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// Its name in a mesh of Linkerd, or in another.
    pub fn name_in(self, is_linkerd: bool) -> &'static str {
        let own = Self::OF_DESTINATION.iter().find(|row| is_linkerd && row.0 == self);
        own.map_or(self.name(), |row| row.1)
    }

    /// Whether only a mesh of Linkerd has it.
    pub fn is_of_linkerd(self) -> bool {
        matches!(
            self,
            Self::LinkerdCheck | Self::IdentityReady | Self::PolicyReady | Self::InjectorReady
        )
    }

    /// Every gauge that a mesh has, with the names by which expressions know it and its unit. Linkerd's has those of
    /// istiod, too, for destination.
    pub fn of_mesh(
        is_linkerd: bool,
    ) -> impl Iterator<Item = (Self, &'static str, &'static str)> + Clone {
        let own = Self::ALL.into_iter().filter(move |row| is_linkerd || !row.0.is_of_linkerd());
        let aliases = Self::OF_DESTINATION.into_iter().filter(move |_| is_linkerd);
        own.chain(aliases.map(|(gauge, name)| (gauge, name, Self::ALL[gauge as usize].2)))
    }

    /// Whether it is one of requests, and so means nothing while none are simulated.
    pub fn is_of_traffic(self) -> bool {
        matches!(self, Self::RequestsInFlight | Self::Queued)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_in_its_place_and_has_one_name() {
        for (place, (gauge, name, _)) in Gauge::ALL.into_iter().enumerate() {
            assert_eq!((gauge as usize, gauge.name()), (place, name));
        }
        for is_linkerd in [false, true] {
            let mut names: Vec<_> = Gauge::of_mesh(is_linkerd).map(|row| row.1).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|two| two[0] != two[1]), "{names:?}");
        }
        assert_eq!(Gauge::IstiodReady.name_in(true), "destination_ready");
        assert_eq!(Gauge::IstiodReady.name_in(false), "istiod_ready");
    }
}
