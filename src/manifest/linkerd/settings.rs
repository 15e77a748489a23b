//! What a Linkerd installation itself decides, before any manifest does.
//!
//! Source: Helm values of the chart `linkerd-control-plane` (2.19): `clusterDomain`,
//! `identityTrustDomain`, `clusterNetworks`, `proxy.defaultInboundPolicy`, `proxy.opaquePorts`,
//! `egress.globalEgressNetworkNamespace`.
//! Left out: values that decide no route (images, resources of the control plane).

use crate::manifest::linkerd::network::Network;
use crate::manifest::linkerd::ports::Ports;

/// The installation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The cluster's DNS domain; `ServiceProfiles` are named by it.
    pub cluster_domain: String,
    /// The trust domain of identities.
    pub trust_domain: String,
    /// Where the control plane runs; a part of every identity.
    pub namespace: String,
    /// Addresses of pods and services.
    pub cluster_networks: Vec<Network>,
    /// What ports without a Server do, where no annotation says otherwise.
    pub default_policy: DefaultPolicy,
    /// Ports that are taken for opaque bytes where no annotation says otherwise.
    pub opaque_ports: Ports,
    /// Whose `EgressNetworks` count for namespaces that have none.
    pub egress_namespace: String,
    /// Whether a method match counts before header matches. Proxies up to August 2026 compare it
    /// last; later ones (linkerd2-proxy #4604) follow the Gateway API.
    pub method_before_headers: bool,
}

/// What a port does that no Server selects, or a Server's `accessPolicy`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DefaultPolicy {
    /// Everyone may call.
    AllUnauthenticated,
    /// Only meshed clients may call.
    AllAuthenticated,
    /// Only clients with addresses of the cluster may call.
    ClusterUnauthenticated,
    /// Only meshed clients with addresses of the cluster may call.
    ClusterAuthenticated,
    /// Nobody may call.
    Deny,
    /// Everyone may call; what would have been denied is counted.
    Audit,
}

impl DefaultPolicy {
    /// The words of annotations and of `accessPolicy`.
    pub const WORDS: [(&str, Self); 6] = [
        ("all-unauthenticated", Self::AllUnauthenticated),
        ("all-authenticated", Self::AllAuthenticated),
        ("cluster-unauthenticated", Self::ClusterUnauthenticated),
        ("cluster-authenticated", Self::ClusterAuthenticated),
        ("deny", Self::Deny),
        ("audit", Self::Audit),
    ];

    /// The policy that a word means.
    pub fn of(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, policy)| *policy)
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, policy)| *policy == self).map_or("", |(word, _)| word)
    }

    /// The same policy with meshed clients only (`proxy-require-identity-inbound-ports`).
    #[must_use]
    pub fn with_identity(self) -> Self {
        match self {
            Self::AllUnauthenticated => Self::AllAuthenticated,
            Self::ClusterUnauthenticated => Self::ClusterAuthenticated,
            other => other,
        }
    }
}

impl Settings {
    /// The identity of a service account.
    pub fn identity(&self, namespace: &str, account: &str) -> String {
        let Self { namespace: control, trust_domain, .. } = self;
        format!("{account}.{namespace}.serviceaccount.identity.{control}.{trust_domain}")
    }

    /// The pattern of all identities of a namespace.
    pub fn namespace_identity(&self, namespace: &str) -> String {
        let Self { namespace: control, trust_domain, .. } = self;
        format!("*.{namespace}.serviceaccount.identity.{control}.{trust_domain}")
    }

    /// The full DNS name of a service, which names its `ServiceProfile`.
    pub fn host(&self, namespace: &str, service: &str) -> String {
        format!("{service}.{namespace}.svc.{}", self.cluster_domain)
    }
}

impl Default for Settings {
    /// The chart's own values.
    fn default() -> Self {
        let networks =
            ["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8"];
        Self {
            cluster_domain: "cluster.local".to_owned(),
            trust_domain: "cluster.local".to_owned(),
            namespace: "linkerd".to_owned(),
            cluster_networks: networks.iter().filter_map(|text| Network::of(text).ok()).collect(),
            default_policy: DefaultPolicy::AllUnauthenticated,
            opaque_ports: Ports::of("25,587,3306,4444,5432,6379,9300,11211").unwrap_or_default(),
            egress_namespace: "linkerd-egress".to_owned(),
            method_before_headers: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_decides_names_ports_and_networks() {
        let settings = Settings::default();
        assert_eq!(settings.cluster_networks.len(), 5);
        assert!(settings.opaque_ports.contains(3306) && !settings.opaque_ports.contains(80));
        let web = settings.identity("shop", "web");
        assert_eq!(web, "web.shop.serviceaccount.identity.linkerd.cluster.local");
        for (word, policy) in DefaultPolicy::WORDS {
            assert_eq!((DefaultPolicy::of(word), policy.word()), (Some(policy), word));
        }
        assert_eq!(DefaultPolicy::Audit.with_identity(), DefaultPolicy::Audit);
    }
}
