//! `EgressNetwork`: what may be called outside of the cluster.
//!
//! For a client, the `EgressNetworks` of its own namespace count; if it has none, those of the global
//! one. Of those that hold the address, the smallest network wins, then the oldest, then the first by
//! name. Without any, the traffic just goes out.
//! Source: linkerd2 `policy-controller/k8s/index/src/outbound/index/egress_network.rs`;
//! docs `2-edge/reference/egress-network`.
//! Left out: DNS: the address of an outside name has to be told, or is taken for one that lies outside
//! of all but the networks that hold everything.

use crate::manifest::linkerd::network::{self, Network};
use crate::manifest::linkerd::settings::Settings;
use crate::manifest::object::Object;
use crate::manifest::reader::Reader;
use crate::manifest::source::At;
use std::cmp::Reverse;
use std::net::IpAddr;

/// An `EgressNetwork`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EgressNetwork {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Which addresses; none for all that are not the cluster's.
    pub networks: Option<Vec<Network>>,
    /// Whether traffic that no route takes goes out.
    pub allows: bool,
    /// When it was made.
    pub created: Option<String>,
    /// Where its name is.
    pub at: At,
    /// Where its traffic policy is.
    pub policy_at: At,
}

impl EgressNetwork {
    /// The size of the smallest of its networks that holds an address.
    fn size_at(&self, address: IpAddr, settings: &Settings) -> Option<u128> {
        if let Some(networks) = &self.networks {
            let holding = networks.iter().filter(|network| network.contains(address));
            return holding.map(Network::size).min();
        }
        let is_outside = !network::contains(&settings.cluster_networks, address);
        is_outside.then_some(u128::MAX)
    }
}

/// The `EgressNetwork` that decides for a client's namespace and an address.
pub fn find<'e>(
    networks: impl IntoIterator<Item = &'e EgressNetwork>,
    namespace: &str,
    address: IpAddr,
    settings: &Settings,
) -> Option<&'e EgressNetwork> {
    let all: Vec<&EgressNetwork> = networks.into_iter().collect();
    let of = |namespace: &str| {
        all.iter().copied().filter(|egress| egress.namespace == namespace).collect::<Vec<_>>()
    };
    let own = of(namespace);
    let candidates = if own.is_empty() { of(&settings.egress_namespace) } else { own };
    let found = candidates
        .into_iter()
        .filter_map(|egress| Some((egress.size_at(address, settings)?, egress)));
    // One without a time comes before those with one: the controller compares options.
    let by_rank = |(size, egress): &(u128, &'e EgressNetwork)| {
        (Reverse(*size), Reverse((egress.created.clone(), egress.name.clone())))
    };
    found.max_by_key(by_rank).map(|(_, egress)| egress)
}

/// Reads an `EgressNetwork`.
pub fn read(object: &Object, reader: &mut Reader<'_, '_>) -> EgressNetwork {
    let mut egress = EgressNetwork {
        namespace: object.id.namespace.clone(),
        name: object.id.name.clone(),
        networks: None,
        allows: true,
        created: object.created.clone(),
        at: object.name_at,
        policy_at: object.name_at,
    };
    reader.map("spec", |spec| {
        let networks = spec.list_if("networks", Network::read);
        if networks.as_ref().is_some_and(Vec::is_empty) {
            let what = "it needs at least one network, or no such field";
            spec.problem(
                spec.at_field("networks"),
                what,
                "Linkerd's admission webhook refuses this",
            );
        }
        egress.networks = networks.map(|networks| networks.into_iter().flatten().collect());
        if !spec.has("trafficPolicy") {
            spec.missing("trafficPolicy");
        }
        egress.policy_at = spec.at_field("trafficPolicy");
        let policy = spec.one_of("trafficPolicy", &[("Allow", true), ("Deny", false)]);
        egress.allows = policy.unwrap_or(true);
    });
    egress
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(namespace: &str, name: &str, networks: &[&str], created: &str) -> EgressNetwork {
        let networks: Vec<Network> =
            networks.iter().map(|text| Network::of(text).unwrap()).collect();
        EgressNetwork {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            networks: Some(networks).filter(|networks| !networks.is_empty()),
            allows: true,
            created: Some(created.to_owned()).filter(|created| !created.is_empty()),
            at: At::default(),
            policy_at: At::default(),
        }
    }

    #[test]
    fn the_own_namespace_then_the_smallest_then_the_oldest() {
        let settings = Settings::default();
        let all = [
            egress("linkerd-egress", "global", &[], ""),
            egress("shop", "wide", &["1.0.0.0/8"], "2024-01-01T00:00:00Z"),
            egress("shop", "narrow-new", &["1.2.3.0/24"], "2024-03-01T00:00:00Z"),
            egress("shop", "narrow-old", &["1.2.3.0/24"], "2024-02-01T00:00:00Z"),
        ];
        let cases = [
            ("shop", "1.2.3.4", Some("narrow-old")),
            ("shop", "1.9.9.9", Some("wide")),
            ("shop", "8.8.8.8", None),
            ("bank", "8.8.8.8", Some("global")),
            ("bank", "10.0.0.1", None),
        ];
        for (namespace, address, expected) in cases {
            let found = find(&all, namespace, address.parse().unwrap(), &settings);
            assert_eq!(found.map(|egress| egress.name.as_str()), expected, "{namespace} {address}");
        }
        let twins = [egress("a", "b", &[], ""), egress("a", "a", &[], "")];
        let found = find(&twins, "a", "9.9.9.9".parse().unwrap(), &settings).unwrap();
        assert_eq!(found.name, "a");
    }
}
