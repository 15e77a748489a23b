//! What of Linkerd and SMI has no key, or is for nothing that the manifests have.
//!
//! Source: docs/linkerd-traffic.md (the keys); smi-spec `apis/traffic-access` (no mesh here enforces it).
//! Left out: nothing; this is the list.

use super::linkerd::Part;
use crate::manifest::linkerd::authorization::{POLICY, Policy, ServerAuthorization};
use crate::manifest::linkerd::network::Network;
use crate::manifest::source::At;
use std::collections::BTreeSet;

impl Part<'_, '_> {
    /// Names what is left.
    pub(super) fn rest(&mut self) {
        self.egress();
        self.policies();
        self.networks();
        self.profiles();
        self.smi();
    }

    /// In another mesh nobody reads these kinds.
    pub(super) fn unread(&mut self) {
        let groups =
            ["linkerd.io", POLICY, "split.smi-spec.io", "specs.smi-spec.io", "access.smi-spec.io"];
        let why = "no proxy of this mesh reads it";
        for object in &self.loaded.manifests.objects {
            if groups.contains(&object.id.group.as_str()) {
                self.draft.ignore(object.id.kind.as_str(), object.at, why);
            }
        }
    }

    fn egress(&mut self) {
        for (network, policy) in &self.loaded.linkerd.egress {
            let why = if network.allows {
                "what lies outside of the cluster is no service here: calls there are not simulated"
            } else {
                "what lies outside of the cluster is no service here: nothing there is called, or denied"
            };
            self.draft.ignore("EgressNetwork.spec.trafficPolicy", network.policy_at, why);
            if let Some(accrual) = &policy.accrual {
                self.ignore_annotation("balancer.linkerd.io/failure-accrual", accrual.at, why);
            }
        }
    }

    fn is_used(&self, kind: &'static str, namespace: &str, name: &str) -> bool {
        self.used.contains(&(kind, namespace.to_owned(), name.to_owned()))
    }

    /// Servers, and what is about them.
    fn policies(&mut self) {
        let linkerd = &self.loaded.linkerd;
        let why = "no Service of the scenario is called at a port that it selects";
        for server in linkerd.servers.values() {
            if !self.is_used("Server", &server.namespace, &server.name) {
                self.draft.ignore("Server.spec.port", server.at, why);
            }
        }
        let why = "the Servers that it is for are those of no service here";
        for one in &linkerd.server_authorizations {
            if self.has_server(one) {
                self.mark(POLICY, "ServerAuthorization", &one.namespace, &one.name);
            } else {
                self.draft.ignore("ServerAuthorization.spec.server", one.at, why);
            }
        }
        for policy in &linkerd.policies {
            self.policy(policy, why);
        }
        for limit in linkerd.limits.values() {
            if !self.is_used("HTTPLocalRateLimitPolicy", &limit.namespace, &limit.name) {
                self.draft.ignore("HTTPLocalRateLimitPolicy.spec.targetRef", limit.at, why);
            }
        }
        self.authentications();
    }

    /// What an `AuthorizationPolicy` that counts asks for, and what none does.
    fn authentications(&mut self) {
        let linkerd = &self.loaded.linkerd;
        let mut asked = BTreeSet::new();
        for policy in linkerd.policies.iter().filter(|policy| self.counts(policy)) {
            for one in &policy.required {
                let of = one.namespace.as_ref().unwrap_or(&policy.namespace);
                let known = ["MeshTLSAuthentication", "NetworkAuthentication"];
                let kind = known.into_iter().find(|kind| one.is(POLICY, kind));
                asked.extend(kind.map(|kind| (kind, of.as_str(), one.name.as_str())));
            }
        }
        let tls =
            linkerd.mesh_tls.iter().map(|(name, one)| ("MeshTLSAuthentication", name, one.at));
        let networks =
            linkerd.networks.iter().map(|(name, one)| ("NetworkAuthentication", name, one.at));
        for (kind, (namespace, name), at) in tls.chain(networks) {
            if asked.contains(&(kind, namespace.as_str(), name.as_str())) {
                self.mark(POLICY, kind, namespace, name);
            } else {
                let why = "no AuthorizationPolicy that counts for a service here asks for it";
                self.draft.ignore(format!("{kind}.spec"), at, why);
            }
        }
    }

    /// Whether a policy is for a Server, or a route of one, that some service goes by.
    fn counts(&self, policy: &Policy) -> bool {
        let target = &policy.target;
        if target.is("", "Namespace") {
            let mut used = self.used.iter();
            return used.any(|(kind, of, _)| *kind == "Server" && *of == policy.namespace);
        }
        if target.is(POLICY, "Server") {
            return self.is_used("Server", &policy.namespace, &target.name);
        }
        let own = self.loaded.linkerd.routes.http.iter().filter(|route| {
            target.is(&route.group, route.route.kind())
                && route.route.namespace == policy.namespace
                && route.route.name == target.name
        });
        own.flat_map(|route| &route.route.parents)
            .any(|parent| self.is_used("Server", &parent.namespace, &parent.name))
    }

    fn policy(&mut self, policy: &Policy, why: &str) {
        let target = &policy.target;
        if self.counts(policy) {
            self.mark(POLICY, "AuthorizationPolicy", &policy.namespace, &policy.name);
        }
        if target.kind.eq_ignore_ascii_case("HTTPRoute")
            || target.kind.eq_ignore_ascii_case("GRPCRoute")
        {
            let why = "routes of a Server: who may call one of them may call all here";
            self.draft.ignore("AuthorizationPolicy.spec.targetRef", policy.target.at, why);
            return;
        }
        if !self.counts(policy) {
            self.draft.ignore("AuthorizationPolicy.spec.targetRef", policy.at, why);
        }
    }

    fn has_server(&self, one: &ServerAuthorization) -> bool {
        let mut servers = self.loaded.linkerd.servers.values();
        servers.any(|server| {
            server.namespace == one.namespace
                && one.selects(&server.name, &server.labels)
                && self.is_used("Server", &server.namespace, &server.name)
        })
    }

    /// Networks that hold a part of the cluster only: which pods have these addresses is not known.
    fn networks(&mut self) {
        let linkerd = &self.loaded.linkerd;
        let cluster = &linkerd.settings.cluster_networks;
        let holds_all = |networks: &[Network]| {
            let covers = |own: &Network| {
                networks.iter().any(|one| one.except.is_empty() && one.cidr.covers(&own.cidr))
            };
            // Those of IPv6 count for clusters that have it.
            let mut old = cluster.iter().filter(|own| is_old(own));
            networks.is_empty() || old.all(covers)
        };
        let why = "which pods have these addresses is not known: all are taken for 10.42.0.10";
        let mut places: Vec<(&str, At)> = Vec::new();
        for one in linkerd.networks.values().filter(|one| !holds_all(&one.networks)) {
            places.push(("NetworkAuthentication.spec.networks", one.at));
        }
        for one in &linkerd.server_authorizations {
            let networks = one.clients.as_ref().map_or(&[][..], |clients| &clients.networks);
            if !holds_all(networks) {
                places.push(("ServerAuthorization.spec.client.networks", one.at));
            }
        }
        for (field, at) in places {
            self.draft.ignore(field, at, why);
        }
    }

    fn profiles(&mut self) {
        let why =
            "it is named by no Service of the scenario, or its namespace has none of its clients";
        for profile in self.loaded.linkerd.profiles.values() {
            let is_used = self.is_used("ServiceProfile", &profile.namespace, &profile.name);
            if !is_used {
                self.draft.ignore("ServiceProfile.metadata.name", profile.at, why);
            }
        }
    }

    fn smi(&mut self) {
        let smi = &self.loaded.linkerd.smi;
        for split in &smi.splits {
            if !self.is_used("TrafficSplit", &split.namespace, &split.name) {
                let why = "its service is none of the scenario, or another split or profile counts for it";
                self.draft.ignore("TrafficSplit.spec.service", split.service.at, why);
            }
        }
        for group in smi.groups.values() {
            let why = "Linkerd reads no groups of routes, neither for a split nor for who may call";
            self.draft.ignore("HTTPRouteGroup.spec.matches", group.at, why);
        }
        for target in &smi.targets {
            let why =
                "Linkerd does not enforce it; Servers and AuthorizationPolicies say who may call";
            self.draft.ignore("TrafficTarget.spec", target.at, why);
        }
    }
}

/// Whether it is a network of IPv4.
fn is_old(network: &Network) -> bool {
    Network::of("0.0.0.0/0").is_ok_and(|all| all.cidr.covers(&network.cidr))
}
