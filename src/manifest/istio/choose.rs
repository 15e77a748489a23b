//! Which `DestinationRule` and which `Sidecar` count for a client.
//!
//! Rules of the client's namespace come first, then those of the service's namespace, then those of the
//! root namespace; in each the most specific host, then the oldest. Rules of one namespace for the same
//! host are merged: subsets are added, the first traffic policy counts.
//! Source: istio/istio `pilot/pkg/model/push_context.go` (`destinationRule`, `getExportedDestinationRule`,
//! `mergeDestinationRule`), `sidecar.go` (`getSidecarScope`).
//! Left out: rules for hosts outside of the client's egress.

use crate::manifest::istio::Istio;
use crate::manifest::istio::destination_rule::{DestinationRule, Subset};
use crate::manifest::istio::host;
use crate::manifest::istio::sidecar::Sidecar;
use crate::manifest::istio::traffic_policy::TrafficPolicy;
use crate::manifest::object::Labels;
use crate::manifest::selector::contains;
use crate::manifest::source::At;

/// A client: its namespace and the labels of its pods.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Client {
    /// Its namespace.
    pub namespace: String,
    /// The labels of its pods.
    pub labels: Labels,
    /// Its workload, if it is known.
    pub workload: Option<String>,
    /// Whether it has a proxy; without one, no rule of the mesh counts for it.
    pub has_proxy: bool,
}

/// The destination rules of a host, merged.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Chosen {
    /// The rules that are merged: `namespace/name` and place.
    pub from: Vec<(String, At)>,
    /// All their subsets.
    pub subsets: Vec<Subset>,
    /// The first traffic policy.
    pub policy: Option<TrafficPolicy>,
}

impl Chosen {
    /// The subset with a name.
    pub fn subset(&self, name: &str) -> Option<&Subset> {
        self.subsets.iter().find(|subset| subset.name == name)
    }

    /// The policy for a port of the host or of a subset.
    pub fn policy_for(&self, subset: Option<&Subset>, port: u16) -> Option<TrafficPolicy> {
        let own = subset.and_then(|subset| subset.policy.as_ref());
        let host = self.policy.as_ref().map(|policy| policy.for_port(port));
        let Some(own) = own else { return host };
        if own.ports.iter().any(|(number, _)| *number == port) {
            return Some(own.for_port(port));
        }
        Some(host.unwrap_or_default().with(own))
    }
}

/// The destination rules that count for a client and a host.
pub fn destination_rule(
    istio: &Istio,
    client: &Client,
    full: &str,
    service_namespace: &str,
) -> Option<Chosen> {
    let root = &istio.mesh.root_namespace;
    let mut namespaces: Vec<&str> = Vec::new();
    if client.namespace != *root {
        namespaces.push(&client.namespace);
    }
    namespaces.extend([service_namespace, root.as_str()]);
    namespaces.into_iter().find_map(|namespace| in_namespace(istio, client, full, namespace))
}

fn in_namespace(istio: &Istio, client: &Client, full: &str, namespace: &str) -> Option<Chosen> {
    let default = &istio.mesh.default_destination_rule_export;
    let for_client = |rule: &&DestinationRule| {
        let selected = rule.workload_selector.as_ref();
        rule.head.namespace == namespace
            && rule.host.as_ref().is_some_and(|word| host::covers(&word.text, namespace, full))
            && rule.export_to.reaches(namespace, &client.namespace, default)
            && selected.is_none_or(|labels| {
                namespace == client.namespace && contains(&client.labels, labels)
            })
    };
    let host_of = |rule: &DestinationRule| {
        rule.host.as_ref().map_or(String::new(), |word| host::full(&word.text, namespace))
    };
    let rules: Vec<(&DestinationRule, String)> = istio
        .destination_rules
        .iter()
        .filter(for_client)
        .map(|rule| (rule, host_of(rule)))
        .collect();
    let best = rules.iter().map(|(_, name)| name).max_by_key(|name| host::rank(name))?.clone();
    let fits = || rules.iter().filter(|(_, name)| *name == best).map(|(rule, _)| *rule);
    // A rule for this very workload stands alone.
    if let Some(rule) = fits().find(|rule| rule.workload_selector.is_some()) {
        return Some(merge(std::iter::once(rule)));
    }
    Some(merge(fits()))
}

fn merge<'a>(rules: impl Iterator<Item = &'a DestinationRule>) -> Chosen {
    let mut chosen = Chosen::default();
    for rule in rules {
        chosen.from.push((rule.head.full(), rule.head.at));
        for subset in &rule.subsets {
            if chosen.subset(&subset.name).is_none() {
                chosen.subsets.push(subset.clone());
            }
        }
        if chosen.policy.is_none() {
            chosen.policy.clone_from(&rule.policy);
        }
    }
    chosen
}

/// The `Sidecar` that counts for a client.
pub fn sidecar<'a>(istio: &'a Istio, client: &Client) -> Option<&'a Sidecar> {
    let of = |namespace: &str| {
        let namespace = namespace.to_owned();
        istio.sidecars.iter().filter(move |sidecar| sidecar.head.namespace == namespace)
    };
    let selects = |sidecar: &&Sidecar| {
        let labels = sidecar.workload_selector.as_ref().filter(|labels| !labels.is_empty());
        labels.is_some_and(|labels| contains(&client.labels, labels))
    };
    let for_all = |sidecar: &&Sidecar| {
        sidecar.workload_selector.as_ref().is_none_or(std::collections::BTreeMap::is_empty)
    };
    of(&client.namespace)
        .find(selects)
        .or_else(|| of(&client.namespace).find(for_all))
        .or_else(|| of(&istio.mesh.root_namespace).find(for_all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::kubernetes::Cluster;
    use crate::manifest::object::Manifests;

    const RULE: &str = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: shop}
spec:
  host: web
  trafficPolicy:
    connectionPool: {http: {http2MaxRequests: 1}}
    tls: {mode: ISTIO_MUTUAL}
    portLevelSettings:
    - {port: {number: 81}, connectionPool: {http: {http2MaxRequests: 2}}}
  subsets:
  - {name: v1, labels: {version: v1}, trafficPolicy: {connectionPool: {http: {http2MaxRequests: 3}}}}
  - {name: v2, labels: {version: v2}, trafficPolicy: {portLevelSettings: [{port: {number: 81}}]}}
";

    /// The rules of Istio's `MergeSubsetTrafficPolicy`.
    #[test]
    fn ports_replace_the_whole_and_subsets_add_to_it() {
        let mut manifests = Manifests::read([("a.yaml", RULE.as_bytes())]);
        let istio = Istio::of(&mut manifests, &Cluster::default());
        assert_eq!(manifests.findings.problems, []);
        let client = Client {
            namespace: "shop".into(),
            labels: Labels::new(),
            workload: None,
            has_proxy: true,
        };
        let full = "web.shop.svc.cluster.local";
        let chosen = destination_rule(&istio, &client, full, "shop").unwrap();
        let policy = |subset: Option<&str>, port| {
            let subset = subset.and_then(|name| chosen.subset(name));
            let policy = chosen.policy_for(subset, port).unwrap();
            (policy.pool.and_then(|pool| pool.requests_max), policy.tls.is_some())
        };
        assert_eq!(policy(None, 80), (Some(1), true));
        assert_eq!(policy(None, 81), (Some(2), false));
        assert_eq!(policy(Some("v1"), 80), (Some(3), true));
        assert_eq!(policy(Some("v1"), 81), (Some(3), false));
        assert_eq!(policy(Some("v2"), 80), (Some(1), true));
        assert_eq!(policy(Some("v2"), 81), (None, false));
    }
}
