//! Who may call a pod's port: what the server's proxy decides.
//!
//! The port's Server decides; without one, the default policy of the pod. A Server lets in whom an
//! authorization of it, of its namespace, of the request's route, or its own `accessPolicy` lets in.
//! With routes bound to it, requests that match none get 404. Everyone else gets 403.
//! Source: linkerd2 `policy-controller/k8s/index/src/inbound/index.rs` (`client_authzs`,
//! `route_client_authzs`, `default_inbound_server`); linkerd2-proxy `linkerd/app/inbound/src/policy`.
//! Left out: probes of the kubelet, which are let in where no route is bound; the seconds after a
//! proxy's start in which the default policy holds for all ports.

use crate::manifest::kubernetes::Name;
use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::linkerd::Linkerd;
use crate::manifest::linkerd::authorization::{POLICY, Policy, Proof};
use crate::manifest::linkerd::limits::RateLimit;
use crate::manifest::linkerd::network::{self, Network};
use crate::manifest::linkerd::server::{ProxyProtocol, Server};
use crate::manifest::linkerd::settings::DefaultPolicy;
use crate::manifest::source::At;
use std::net::IpAddr;

/// A caller as a server's proxy sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Client {
    /// Its identity; none if it has no proxy.
    pub identity: Option<String>,
    /// Its address.
    pub address: IpAddr,
}

/// What a server's proxy does with a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The status that it answers by itself; none if the app gets the request.
    pub status: Option<u16>,
    /// Why, in words.
    pub why: String,
    /// Where the deciding rule is, if there is one.
    pub at: Option<At>,
    /// Where requests are counted.
    pub limit: Option<RateLimit>,
}

/// The routes that are bound to a Server, as far as a request is concerned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bound {
    /// None are.
    None,
    /// Some are, and this one takes the request: group, kind and name, and where its rule is.
    Route(String, String, String, At),
    /// Some are, and none takes the request.
    NoMatch,
}

impl Verdict {
    fn admitted(why: impl Into<String>, at: Option<At>) -> Self {
        Self { status: None, why: why.into(), at, limit: None }
    }

    /// Whether a policy of its own admits the request, rather than a default.
    pub fn is_by_policy(&self) -> bool {
        self.status.is_none()
            && ["AuthorizationPolicy", "ServerAuthorization"]
                .iter()
                .any(|kind| self.why.starts_with(kind))
    }

    fn refused(status: u16, why: impl Into<String>, at: Option<At>) -> Self {
        Self { status: Some(status), why: why.into(), at, limit: None }
    }
}

impl Linkerd {
    /// The Servers that select a port of a workload, in order of their names; the first decides.
    pub fn servers_of(&self, workload: &Workload, port: u16) -> Vec<&Server> {
        self.servers.values().filter(|server| server.ports(workload).contains(&port)).collect()
    }

    /// What a workload's proxy does with a request that comes to a port of its pods.
    pub fn judge(
        &self,
        workload: &Workload,
        port: u16,
        client: &Client,
        bound: impl FnOnce(&Server) -> Bound,
    ) -> Verdict {
        let Some(proxy) = self.proxy(workload).filter(|proxy| proxy.is_injected) else {
            return Verdict::admitted("the pods have no proxy: no policy holds there", None);
        };
        if proxy.skip_inbound.0.contains(port) {
            let why = format!("port {port} is skipped inbound: no policy holds there");
            return Verdict::admitted(why, Some(proxy.skip_inbound.1));
        }
        let servers = self.servers_of(workload, port);
        let Some(server) = servers.first() else {
            let (policy, at) = proxy.policy(port, &self.settings);
            return self.by_default(policy, client, at, &format!("default policy of port {port}"));
        };
        let is_http = !matches!(server.protocol, ProxyProtocol::Opaque | ProxyProtocol::Tls);
        let bound = if is_http { bound(server) } else { Bound::None };
        if bound == Bound::NoMatch {
            let why = format!("no route of Server {}/{} matches", server.namespace, server.name);
            return Verdict::refused(404, why, Some(server.at));
        }
        let mut verdict = self.by_server(server, client, &bound);
        if verdict.status.is_none() && is_http {
            verdict.limit = self.limit_of(&server.namespace, &server.name).cloned();
        }
        verdict
    }

    fn by_server(&self, server: &Server, client: &Client, bound: &Bound) -> Verdict {
        let own = self.server_authorizations.iter().filter(|authorization| {
            authorization.namespace == server.namespace
                && authorization.selects(&server.name, &server.labels)
        });
        for authorization in own {
            let Some(clients) = &authorization.clients else { continue };
            if self.is_in(&clients.networks, client)
                && clients.proof.is_given(client.identity.as_deref())
            {
                let why = format!("ServerAuthorization {}", authorization.name);
                return Verdict::admitted(why, Some(authorization.at));
            }
        }
        let policies = self.policies.iter().filter(|policy| {
            policy.namespace == server.namespace && targets(policy, server, bound)
        });
        for policy in policies {
            if self.admits(policy, client).unwrap_or(false) {
                let why = format!("AuthorizationPolicy {}", policy.name);
                return Verdict::admitted(why, Some(policy.at));
            }
        }
        let of = format!("access policy of Server {}/{}", server.namespace, server.name);
        self.by_default(server.access, client, Some(server.at), &of)
    }

    /// Whether a policy lets a client in, or what it refers to that is not there.
    pub fn admits(&self, policy: &Policy, client: &Client) -> Result<bool, String> {
        let mut admits = true;
        for required in &policy.required {
            let of = required.namespace.as_ref().unwrap_or(&policy.namespace);
            let name: Name = (of.clone(), required.name.clone());
            let missing = || format!("{} {}/{} is not there", required.kind, name.0, name.1);
            if required.is(POLICY, "MeshTLSAuthentication") {
                let found = self.mesh_tls.get(&name).filter(|found| !found.identities.is_empty());
                let proof = Proof::Identities(found.ok_or_else(missing)?.identities.clone());
                admits &= proof.is_given(client.identity.as_deref());
            } else if required.is("", "ServiceAccount") {
                let wanted = self.settings.identity(of, &required.name);
                admits &= client.identity.as_ref() == Some(&wanted);
            } else if required.is(POLICY, "NetworkAuthentication") {
                let networks = &self.networks.get(&name).ok_or_else(missing)?.networks;
                admits &= network::contains(networks, client.address);
            } else {
                return Err(format!("{} is no authentication", required.kind));
            }
        }
        Ok(admits)
    }

    /// Where no networks are told, the cluster's are meant.
    fn is_in(&self, networks: &[Network], client: &Client) -> bool {
        let own = &self.settings.cluster_networks;
        let networks = if networks.is_empty() { own } else { networks };
        network::contains(networks, client.address)
    }

    fn by_default(
        &self,
        policy: DefaultPolicy,
        client: &Client,
        at: Option<At>,
        of: &str,
    ) -> Verdict {
        let is_near = network::contains(&self.settings.cluster_networks, client.address);
        let is_known = client.identity.is_some();
        let admits = match policy {
            DefaultPolicy::AllUnauthenticated | DefaultPolicy::Audit => true,
            DefaultPolicy::AllAuthenticated => is_known,
            DefaultPolicy::ClusterUnauthenticated => is_near,
            DefaultPolicy::ClusterAuthenticated => is_near && is_known,
            DefaultPolicy::Deny => false,
        };
        let why = format!("{of}: {}", policy.word());
        if admits { Verdict::admitted(why, at) } else { Verdict::refused(403, why, at) }
    }
}

fn targets(policy: &Policy, server: &Server, bound: &Bound) -> bool {
    let target = &policy.target;
    if target.is("", "Namespace") {
        return true;
    }
    if target.is(POLICY, "Server") {
        return target.name == server.name;
    }
    match bound {
        Bound::Route(group, kind, name, _) => {
            target.is(group, kind) && target.name.eq_ignore_ascii_case(name)
        }
        Bound::None | Bound::NoMatch => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::kubernetes::Cluster;
    use crate::manifest::linkerd::settings::Settings;
    use crate::manifest::object::Manifests;

    const SHOP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, annotations: {linkerd.io/inject: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
      annotations: {config.linkerd.io/skip-inbound-ports: '9999', POLICY}
    spec: {containers: [{name: web, ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: web-http, namespace: shop, labels: {tier: front}}
spec: {podSelector: {matchLabels: {app: web}}, port: http, ACCESS}
---
apiVersion: policy.linkerd.io/v1alpha1
kind: HTTPLocalRateLimitPolicy
metadata: {name: web-rl, namespace: shop}
spec:
  targetRef: {group: policy.linkerd.io, kind: Server, name: web-http}
  total: {requestsPerSecond: 100}
---
";

    fn read(policy: &str, access: &str, more: &str) -> (Linkerd, Cluster, Vec<String>) {
        let text = SHOP.replace("POLICY", policy).replace("ACCESS", access) + more;
        let Manifests { sources, objects, mut findings } =
            Manifests::read([("a.yaml", text.as_bytes())]);
        let cluster = Cluster::read(&objects, &sources, &mut findings);
        let linkerd =
            Linkerd::read(&objects, &cluster, Settings::default(), &sources, &mut findings);
        let all = findings.problems.iter().chain(&findings.warnings);
        (linkerd, cluster, all.map(ToString::to_string).collect())
    }

    fn client(account: &str) -> Client {
        let identity = (!account.is_empty()).then(|| Settings::default().identity("shop", account));
        Client { identity, address: "10.1.2.3".parse().unwrap() }
    }

    /// Status (0 for admitted) and reason of a request to a port by an account.
    fn judge(setup: &(Linkerd, Cluster, Vec<String>), port: u16, account: &str) -> (u16, String) {
        let (linkerd, cluster, told) = setup;
        assert_eq!(told, &[""; 0]);
        let workload = &cluster.workloads[0];
        let verdict = linkerd.judge(workload, port, &client(account), |_| Bound::None);
        (verdict.status.unwrap_or(0), verdict.why)
    }

    #[test]
    fn ports_without_a_server_follow_the_default_policy() {
        let key = "config.linkerd.io/default-inbound-policy";
        let cases = [
            ("all-unauthenticated", "", 0),
            ("all-authenticated", "", 403),
            ("all-authenticated", "api", 0),
            ("cluster-unauthenticated", "", 0),
            ("cluster-authenticated", "", 403),
            ("deny", "api", 403),
            ("audit", "", 0),
        ];
        for (policy, account, expected) in cases {
            let setup = read(&format!("{key}: {policy}"), "", "");
            assert_eq!(judge(&setup, 80, account).0, expected, "{policy} {account}");
            assert_eq!(judge(&setup, 9999, account).0, 0, "skipped ports have no policy");
            assert_eq!(judge(&setup, 8080, account).0, 403, "a Server denies by default");
        }
    }

    const AUTHORIZATIONS: &str = "
apiVersion: policy.linkerd.io/v1beta1
kind: ServerAuthorization
metadata: {name: saz, namespace: shop}
spec:
  server: {selector: {matchLabels: {tier: front}}}
  client: {meshTLS: {serviceAccounts: [{name: api}]}}
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: by-tls, namespace: shop}
spec:
  targetRef: {group: policy.linkerd.io, kind: Server, name: web-http}
  requiredAuthenticationRefs:
  - {group: policy.linkerd.io, kind: MeshTLSAuthentication, name: batch}
  - {group: policy.linkerd.io, kind: NetworkAuthentication, name: near}
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: dangling, namespace: shop}
spec:
  targetRef: {kind: Namespace, name: shop}
  requiredAuthenticationRefs:
  - {group: policy.linkerd.io, kind: NetworkAuthentication, name: nowhere}
---
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: {name: batch, namespace: shop}
spec: {identityRefs: [{kind: ServiceAccount, name: batch}, {kind: ServiceAccount, name: far}]}
---
apiVersion: policy.linkerd.io/v1alpha1
kind: NetworkAuthentication
metadata: {name: near, namespace: shop}
spec: {networks: [{cidr: 10.1.0.0/16}]}
";

    #[test]
    fn authorizations_are_alternatives_and_their_parts_are_all_required() {
        let setup = read("", "accessPolicy: deny", AUTHORIZATIONS);
        let cases = [
            ("api", 0, "ServerAuthorization saz"),
            ("batch", 0, "AuthorizationPolicy by-tls"),
            ("other", 403, "access policy of Server shop/web-http: deny"),
            ("", 403, "access policy of Server shop/web-http: deny"),
        ];
        for (account, status, why) in cases {
            assert_eq!(judge(&setup, 8080, account), (status, why.to_owned()), "{account}");
        }
        let (linkerd, cluster, _) = &setup;
        let far = Client { address: "10.2.0.1".parse().unwrap(), ..client("batch") };
        let verdict = linkerd.judge(&cluster.workloads[0], 8080, &far, |_| Bound::None);
        assert_eq!(verdict.status, Some(403));
        let dangling = linkerd.policies.iter().find(|policy| policy.name == "dangling").unwrap();
        let missing = "NetworkAuthentication shop/nowhere is not there";
        assert_eq!(linkerd.admits(dangling, &far), Err(missing.to_owned()));
    }

    #[test]
    fn routes_bound_to_a_server_narrow_it() {
        let policy = "
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: get, namespace: shop}
spec:
  targetRef: {group: policy.linkerd.io, kind: HTTPRoute, name: get-route}
  requiredAuthenticationRefs: [{kind: ServiceAccount, name: api}]
";
        let (linkerd, cluster, _) = read("", "accessPolicy: deny", policy);
        let judge = |bound: Bound| {
            linkerd.judge(&cluster.workloads[0], 8080, &client("api"), |_| bound).status
        };
        let route = |name: &str| {
            Bound::Route(POLICY.into(), "HTTPRoute".into(), name.into(), At::default())
        };
        assert_eq!(judge(Bound::NoMatch), Some(404));
        assert_eq!(judge(Bound::None), Some(403));
        assert_eq!(judge(route("other")), Some(403));
        assert_eq!(judge(route("get-route")), None);
    }

    #[test]
    fn rate_limits_count_where_the_server_admits() {
        let (linkerd, cluster, _) = read("", "accessPolicy: all-unauthenticated", "");
        let verdict = linkerd.judge(&cluster.workloads[0], 8080, &client(""), |_| Bound::None);
        assert_eq!(verdict.limit.unwrap().total.unwrap().per_second, 100);
    }
}
