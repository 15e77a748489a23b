//! Status conditions that Linkerd's policy controller writes: which routes are accepted, and why not.
//!
//! A route that is not accepted by a parent does not exist for it. Of routes with the *same* parent
//! reference only the most specific kind is accepted: gRPC before HTTP before TLS before TCP, whichever
//! namespace they are in; so a gRPC route of one consumer takes HTTP routes away from everybody.
//! Source: linkerd2 `policy-controller/k8s/status/src/index.rs` (`parent_status`, `backend_condition`,
//! `network_condition`), `index/conflict.rs`, `service.rs` (`valid_parent_service`).
//! Left out: generations and times; conditions of other controllers.

use crate::manifest::gateway_api::backend::BackendRef;
use crate::manifest::gateway_api::parent::ParentRef;
use crate::manifest::kubernetes::Cluster;
use crate::manifest::kubernetes::service::ServiceKind;
use crate::manifest::linkerd::Linkerd;
use crate::manifest::linkerd::egress::EgressNetwork;
use crate::manifest::linkerd::limits::RateLimit;
use crate::manifest::linkerd::routes::{Parent, RouteOf, is_parent};
use serde::Serialize;

/// One condition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Condition {
    /// `Accepted` or `ResolvedRefs`.
    pub kind: &'static str,
    /// Whether it holds.
    pub is_true: bool,
    /// The reason's word.
    pub reason: &'static str,
    /// More about it; often empty.
    pub message: &'static str,
}

/// How specific a kind of route is; the smallest wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// `GRPCRoute`.
    Grpc,
    /// `HTTPRoute`.
    Http,
    /// `TLSRoute`.
    Tls,
    /// `TCPRoute`.
    Tcp,
}

/// What two references must have in common to be the same.
type Key<'a> = (Parent, &'a str, &'a str, Option<u16>);

fn key<'a>(parent: &'a ParentRef, group: &str) -> Option<Key<'a>> {
    let kinds = [Parent::Service, Parent::Egress, Parent::Server];
    let kind = kinds.into_iter().find(|kind| is_parent(parent, *kind, group))?;
    let port = parent.port.filter(|_| kind != Parent::Server);
    Some((kind, &parent.namespace, &parent.name, port))
}

const NO_PARENT: &str = "NoMatchingParent";

impl Condition {
    fn accepted() -> Self {
        Self { kind: "Accepted", is_true: true, reason: "Accepted", message: "" }
    }

    fn refused(reason: &'static str, message: &'static str) -> Self {
        Self { kind: "Accepted", is_true: false, reason, message }
    }
}

impl RouteOf {
    /// Which of the kinds it is.
    pub fn kind(&self) -> Kind {
        if self.route.is_grpc { Kind::Grpc } else { Kind::Http }
    }
}

impl Linkerd {
    /// Whether a route of a kind and group is accepted by a parent; none for parents of others.
    pub fn accepts(
        &self,
        cluster: &Cluster,
        kind: Kind,
        group: &str,
        parent: &ParentRef,
    ) -> Option<Condition> {
        let key = key(parent, group)?;
        let (what, namespace, name, _) = key;
        let condition = match what {
            Parent::Server => {
                let server = (namespace.to_owned(), name.to_owned());
                return Some(if self.servers.contains_key(&server) {
                    Condition::accepted()
                } else {
                    Condition::refused(NO_PARENT, "")
                });
            }
            Parent::Service => match cluster.service(namespace, name) {
                None => Condition::refused(NO_PARENT, ""),
                Some(service)
                    if service.is_headless || service.kind == ServiceKind::ExternalName =>
                {
                    Condition::refused(NO_PARENT, "parent service must have a ClusterIP")
                }
                Some(_) => Condition::accepted(),
            },
            Parent::Egress => match self.egress_network(namespace, name) {
                None => Condition::refused(NO_PARENT, ""),
                Some(network) if self.overlaps(network) => {
                    Condition::refused(NO_PARENT, "EgressNetwork parent has not been accepted")
                }
                Some(_) => Condition::accepted(),
            },
        };
        if condition.is_true && self.is_conflicted(kind, key) {
            return Some(Condition::refused("RouteReasonConflicted", ""));
        }
        Some(condition)
    }

    fn is_conflicted(&self, own: Kind, wanted: Key<'_>) -> bool {
        let same = |parents: &[ParentRef], group: &str| {
            parents.iter().any(|parent| key(parent, group) == Some(wanted))
        };
        let http = self.routes.http.iter();
        let layer4 = self.routes.layer4.iter();
        http.filter(|route| route.kind() < own).any(|r| same(&r.route.parents, &r.group))
            || layer4
                .filter(|route| if route.is_tls { Kind::Tls < own } else { Kind::Tcp < own })
                .any(|route| same(&route.parents, ""))
    }

    /// The `EgressNetwork` with this namespace and name.
    pub fn egress_network(&self, namespace: &str, name: &str) -> Option<&EgressNetwork> {
        let mut networks = self.egress.iter().map(|(network, _)| network);
        networks.find(|network| network.namespace == namespace && network.name == name)
    }

    /// Whether networks of an `EgressNetwork` hold addresses of the cluster: it is not accepted then.
    pub fn overlaps(&self, network: &EgressNetwork) -> bool {
        let own = network.networks.iter().flatten();
        own.into_iter().any(|outside| {
            let mut cluster = self.settings.cluster_networks.iter();
            cluster.any(|inside| outside.intersects(inside))
        })
    }

    /// The conditions of a route at each parent that Linkerd knows.
    pub fn route_status(
        &self,
        cluster: &Cluster,
        route: &RouteOf,
    ) -> Vec<(String, Vec<Condition>)> {
        let backends = route.route.rules.iter().flat_map(|rule| rule.backends.iter().flatten());
        let backends: Vec<&BackendRef> = backends.collect();
        let parents = route.route.parents.iter().filter_map(|parent| {
            let accepted = self.accepts(cluster, route.kind(), &route.group, parent)?;
            let name = format!("{}/{}", parent.namespace, parent.name);
            Some((name, vec![accepted, self.resolved(cluster, &backends)]))
        });
        parents.collect()
    }

    /// Backends are looked for in the route's own namespace here, unlike where requests are sent.
    fn resolved(&self, cluster: &Cluster, backends: &[&BackendRef]) -> Condition {
        let broken =
            |reason| Condition { kind: "ResolvedRefs", is_true: false, reason, message: "" };
        for backend in backends {
            let exists = match (backend.group.as_str(), backend.kind.as_str()) {
                ("" | "core", "Service") => {
                    cluster.service(&backend.namespace, &backend.name).is_some()
                }
                (_, "EgressNetwork") => {
                    self.egress_network(&backend.namespace, &backend.name).is_some()
                }
                _ => return broken("InvalidKind"),
            };
            if !exists {
                return broken("BackendNotFound");
            }
        }
        Condition { kind: "ResolvedRefs", is_true: true, reason: "ResolvedRefs", message: "" }
    }

    /// The rate limit that counts for a Server: the oldest, then the first by name.
    pub fn limit_of(&self, namespace: &str, server: &str) -> Option<&RateLimit> {
        let own = self
            .limits
            .values()
            .filter(|limit| limit.namespace == namespace && limit.server == server);
        own.min_by_key(|limit| (limit.created.is_none(), &limit.created, &limit.name))
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::linkerd::tests::{GATEWAY, Mesh, route, service, shop, short};

    /// `Accepted/ResolvedRefs` reasons of the first route.
    fn status(more: &str, name: &str) -> String {
        let mesh = Mesh::of(&[("a.yaml", &(shop() + more))]);
        let route = mesh.linkerd.routes.http.iter().find(|route| route.route.name == name).unwrap();
        let status = mesh.linkerd.route_status(&mesh.cluster, route);
        let words = |conditions: &[super::Condition]| {
            conditions.iter().map(|condition| condition.reason).collect::<Vec<_>>().join("/")
        };
        status.iter().map(|(_, conditions)| words(conditions)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn parents_must_be_there_and_routable() {
        let of = |from: &str, to: &str| {
            let text = route(GATEWAY, "shop", "r", "  - backendRefs: [{name: v1, port: 80}]\n");
            text.replace(from, to)
        };
        let headless = service("shop", "flat", "").replace("spec: {", "spec: {clusterIP: None, ");
        let cases = [
            (of("", ""), "Accepted/ResolvedRefs"),
            (of("name: web", "name: gone"), "NoMatchingParent/ResolvedRefs"),
            (headless + &of("name: web", "name: flat"), "NoMatchingParent/ResolvedRefs"),
            (of("name: v1", "name: v9"), "Accepted/BackendNotFound"),
            (of("{name: v1", "{kind: Secret, name: v1"), "Accepted/InvalidKind"),
            (of("port: 80}]\n  rules", "port: 99}]\n  rules"), "Accepted/ResolvedRefs"),
            (of("group: core, kind: Service", "kind: Gateway"), ""),
        ];
        for (more, expected) in cases {
            assert_eq!(status(&more, "r"), expected, "{more}");
        }
    }

    #[test]
    fn a_grpc_route_of_one_consumer_takes_http_routes_away_from_all() {
        let http = route(GATEWAY, "shop", "http", "  - backendRefs: [{name: v1, port: 80}]\n");
        let grpc = route(GATEWAY, "bank", "grpc", "  - matches: [{method: {service: a.B}}]\n")
            .replace("kind: HTTPRoute", "kind: GRPCRoute");
        let both = http.clone() + &grpc;
        assert_eq!(status(&both, "http"), "RouteReasonConflicted/ResolvedRefs");
        assert_eq!(status(&both, "grpc"), "Accepted/ResolvedRefs");
        let ask = |more: &str, from: &str| {
            let mesh = Mesh::of(&[("a.yaml", &(shop() + more))]);
            short(&mesh.ask(from, "GET http://web.shop/"))
        };
        assert_eq!(ask(&both, "bank/client"), "404");
        assert_eq!(ask(&both, "shop/v1"), "100% web:80", "as if there were no route");
        // Another reference to the same Service is no conflict.
        let other = http + &grpc.replace(", port: 80}]\n  rules", "}]\n  rules");
        assert_eq!(ask(&other, "shop/v1"), "100% v1:80");
    }
}
