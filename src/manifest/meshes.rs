//! Which mesh's rules answer, where the manifests of several kinds are there.
//!
//! A gateway is asked by the rules of whoever owns it. A client is Linkerd's if it has Linkerd's proxy,
//! else Istio's if anything of Istio is there, else Linkerd's if anything of Linkerd is; with neither,
//! the Gateway API's own text decides. Istio reads the Gateway API's mesh rules too: where none of its
//! own rules decides, they do.
//! Source: istio.io "Kubernetes Gateway API" (mesh traffic); linkerd.io "Gateway API support".
//! Left out: two meshes in one path: the client's alone decides where a request goes.

use crate::manifest::gateway_api::resolve::{self, Differences};
use crate::manifest::istio::mesh::Release;
use crate::manifest::kubernetes::Cluster;
use crate::manifest::loaded::Loaded;
use crate::manifest::object::Labels;
use crate::manifest::route::{Origin, Query, Route};

/// Whose rules count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Mesh {
    /// Istio, with sidecars.
    Istio,
    /// Linkerd.
    Linkerd,
    /// What the Gateway API's specification says, and nobody's own additions.
    GatewayApi,
}

impl Mesh {
    /// Its word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Istio => "istio",
            Self::Linkerd => "linkerd",
            Self::GatewayApi => "gateway-api",
        }
    }
}

impl Loaded {
    /// Whose rules count for a sender, by what the manifests hold.
    pub fn mesh_of(&self, from: &Origin) -> Mesh {
        match from {
            Origin::Gateway { namespace, name, .. } => {
                let mut istio = self.istio.gateways.iter();
                let is_istio =
                    istio.any(|one| one.head.namespace == *namespace && one.head.name == *name);
                // What is no Gateway at all is Istio's gateway pods by their own name.
                let is_specified = self.gateway_api.gateway(namespace, name).is_some();
                if is_istio || !is_specified { Mesh::Istio } else { Mesh::GatewayApi }
            }
            Origin::Mesh { namespace, workload, .. } => {
                let workloads = &self.cluster.workloads;
                let sender = workload.as_ref().and_then(|name| {
                    workloads.iter().find(|one| one.namespace == *namespace && one.name == *name)
                });
                let has_linkerd = sender.is_some_and(|sender| self.linkerd.is_meshed(sender));
                match (has_linkerd, self.uses_istio(), self.linkerd.is_used()) {
                    (true, ..) | (false, false, true) => Mesh::Linkerd,
                    (false, true, _) => Mesh::Istio,
                    (false, false, false) => Mesh::GatewayApi,
                }
            }
        }
    }

    /// Which mesh the manifests as a whole are of.
    pub fn mesh_for_all(&self) -> Mesh {
        let has_linkerd = self.cluster.workloads.iter().any(|one| self.linkerd.is_meshed(one));
        let classes = &self.gateway_api.classes;
        let is_istios = classes.iter().any(|class| class.controller.starts_with("istio.io/"));
        match (self.uses_istio() || is_istios, self.linkerd.is_used()) {
            // Both are there: who has proxies decides.
            (true, true) if has_linkerd && !asks_for_istio(&self.cluster) => Mesh::Linkerd,
            (true, _) => Mesh::Istio,
            (false, true) => Mesh::Linkerd,
            (false, false) => Mesh::GatewayApi,
        }
    }

    /// Where a request goes, and why, by the rules of a mesh.
    pub fn answer(&self, query: &Query, mesh: Mesh) -> Route {
        match mesh {
            Mesh::Istio => self.by_istio(query),
            Mesh::GatewayApi => self.route(query, Differences::SPECIFIED),
            Mesh::Linkerd => self.linkerd_route(query),
        }
    }

    fn by_istio(&self, query: &Query) -> Route {
        let is_specified = match &query.from {
            Origin::Gateway { .. } => self.mesh_of(&query.from) == Mesh::GatewayApi,
            Origin::Mesh { namespace, .. } => {
                let host = &query.request.host;
                let service = resolve::find_service(&self.cluster, namespace, host);
                service.is_some_and(|service| {
                    let name = (service.namespace.clone(), service.name.clone());
                    self.tables.services.contains_key(&name)
                })
            }
        };
        let own = self.istio_route(query, Release::default());
        let decides = own.rule.is_some() || own.direct.is_some();
        if !is_specified || decides && matches!(query.from, Origin::Mesh { .. }) {
            return own;
        }
        let mut route = self.route(query, Differences::SPECIFIED);
        if !(self.istio.authorization_policies.is_empty()
            && self.istio.destination_rules.is_empty())
        {
            let note = "a rule of the Gateway API decides: Istio's AuthorizationPolicies and \
                        DestinationRules were not looked at";
            route.notes.push(note.to_owned());
        }
        route
    }

    /// Whether anything says that Istio is in use: an object of its own, its settings, or a label that
    /// asks for its proxy.
    pub fn uses_istio(&self) -> bool {
        let istio = &self.istio;
        let own = [
            istio.virtual_services.len(),
            istio.destination_rules.len(),
            istio.gateways.len(),
            istio.service_entries.len(),
            istio.workload_entries.len(),
            istio.workload_groups.len(),
            istio.sidecars.len(),
            istio.peer_authentications.len(),
            istio.request_authentications.len(),
            istio.authorization_policies.len(),
            istio.telemetries.len(),
            istio.proxy_configs.len(),
            istio.envoy_filters.len(),
        ];
        own.iter().any(|count| 0 < *count)
            || self.cluster.mesh_config.is_some()
            || asks_for_istio(&self.cluster)
    }
}

fn asks_for_istio(cluster: &Cluster) -> bool {
    let asks = |labels: &Labels| {
        labels.get("istio-injection").is_some_and(|word| word == "enabled")
            || labels.contains_key("istio.io/rev")
            || labels.get("sidecar.istio.io/inject").is_some_and(|word| word == "true")
    };
    cluster.namespaces.values().any(|one| asks(&one.labels))
        || cluster.workloads.iter().any(|one| asks(&one.labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::route::request::Request;

    const SERVICES: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: new, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}ANNOTATIONS}
    spec: {containers: [{name: web, ports: [{containerPort: 80}]}]}
";

    const TO_NEW: &str = "
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: to-new, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: web}]
  rules: [{backendRefs: [{name: new, port: 80}]}]
";

    const TO_WEB: &str = "
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: to-web, namespace: shop}
spec:
  hosts: [web]
  http: [{route: [{destination: {host: web}}]}]
";

    fn asked(annotations: &str, more: &[&str]) -> (Mesh, String) {
        let text = SERVICES.replace("ANNOTATIONS", annotations) + &more.concat();
        let loaded = Loaded::read([("m.yaml", text.as_bytes())]);
        assert_eq!(loaded.manifests.findings.problems, []);
        let from = loaded.origin("shop/web").unwrap();
        let mesh = loaded.mesh_of(&from);
        let request = Request::to("GET", "http://web/", &[]).unwrap();
        let route = loaded.answer(&Query { from, request }, mesh);
        (mesh, route.destinations[0].service.clone())
    }

    #[test]
    fn the_manifests_say_whose_rules_count() {
        let linkerd = ", annotations: {linkerd.io/inject: enabled}";
        assert_eq!(asked("", &[]), (Mesh::GatewayApi, "web".to_owned()));
        assert_eq!(asked("", &[TO_NEW]), (Mesh::GatewayApi, "new".to_owned()));
        assert_eq!(asked(linkerd, &[TO_NEW]), (Mesh::Linkerd, "new".to_owned()));
        // Linkerd does not read Istio's rules; Istio reads those of the Gateway API after its own.
        assert_eq!(asked(linkerd, &[TO_NEW, TO_WEB]), (Mesh::Linkerd, "new".to_owned()));
        assert_eq!(asked("", &[TO_NEW, TO_WEB]).0, Mesh::Istio);
        let other = TO_WEB.replace("[web]", "[new]");
        assert_eq!(asked("", &[TO_NEW, &other]), (Mesh::Istio, "new".to_owned()));
    }

    #[test]
    fn istio_is_only_judged_where_it_is_in_use() {
        let text = SERVICES.replace("ANNOTATIONS", "");
        let codes = |text: &str| -> Vec<&str> {
            let loaded = Loaded::read([("m.yaml", text.as_bytes())]);
            loaded.lint().iter().map(|finding| finding.code).collect()
        };
        assert!(codes(&text).iter().all(|code| code.starts_with("MSH")));
        let broken = text.clone() + &TO_WEB.replace("{host: web}", "{host: gone}");
        assert!(codes(&broken).contains(&"IST0101"), "{:?}", codes(&broken));
    }
}
