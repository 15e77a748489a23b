//! Requests that the server's proxy refuses.

use super::{Mesh, shop, short};
use crate::manifest::linkerd::inbound::{Bound, Client};

const SERVER: &str = "
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, port: http, proxyProtocol: HTTP/1}
---
apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: {name: read, namespace: shop}
spec:
  parentRefs: [{group: policy.linkerd.io, kind: Server, name: web}]
  rules: [{matches: [{path: {value: /books}, method: GET}]}]
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: shop}
spec:
  targetRef: {group: policy.linkerd.io, kind: HTTPRoute, name: read}
  requiredAuthenticationRefs: [{group: policy.linkerd.io, kind: MeshTLSAuthentication, name: bank}]
---
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: {name: bank, namespace: shop}
spec: {identityRefs: [{kind: Namespace, name: bank}]}
---
";

#[test]
fn servers_refuse_whom_nothing_admits() {
    let mesh = Mesh::of(&[("a.yaml", &(shop() + SERVER))]);
    assert_eq!(mesh.told(), [""; 0]);
    let cases = [
        ("bank/client", "GET http://web.shop/books", "100% web:80"),
        ("bank/client", "POST http://web.shop/books", "100% web:80 (404)"),
        ("bank/client", "GET http://web.shop/other", "100% web:80 (404)"),
        ("shop/v1", "GET http://web/books", "100% web:80 (403)"),
        ("shop/v1", "GET http://v2/books", "100% v2:80"),
    ];
    for (from, request, expected) in cases {
        assert_eq!(short(&mesh.ask(from, request)), expected, "{from} {request}");
    }
    let refused = mesh.ask("shop/v1", "GET http://web/books");
    let failure = refused.destinations[0].failure.as_ref().unwrap();
    assert!(
        failure.reason.starts_with("access policy of Server shop/web: deny (a.yaml:"),
        "{failure:?}"
    );
}

#[test]
fn a_client_without_proxy_has_no_identity() {
    let text = shop().replace(
        "metadata: {labels: {app: client}}",
        "metadata: {labels: {app: client}, annotations: {linkerd.io/inject: disabled}}",
    );
    let mesh = Mesh::of(&[("a.yaml", &(text + SERVER))]);
    let answer = mesh.ask("bank/client", "GET http://web.shop/books");
    assert_eq!(short(&answer), "100% web:80 (403)");
}

#[test]
fn opaque_servers_know_no_routes() {
    let mesh = Mesh::of(&[("a.yaml", &(shop() + &SERVER.replace("HTTP/1", "opaque")))]);
    let answer = mesh.ask("bank/client", "GET http://web.shop/other");
    assert_eq!(short(&answer), "100% web:80 (403)", "not 404: the route is not looked at");
}

#[test]
fn an_authorization_without_networks_is_for_the_clusters() {
    let authorization = "apiVersion: policy.linkerd.io/v1beta1\nkind: ServerAuthorization\n\
                         metadata: {name: a, namespace: shop}\n\
                         spec: {server: {name: web}, client: {unauthenticated: true}}\n---\n";
    let text = shop() + &SERVER.replace("HTTP/1", "opaque") + authorization;
    let mesh = Mesh::of(&[("a.yaml", &text)]);
    let web = mesh.cluster.workloads.iter().find(|w| w.name == "web").unwrap();
    let status = |address: &str| {
        let client = Client { identity: None, address: address.parse().unwrap() };
        mesh.linkerd.judge(web, 8080, &client, |_| Bound::None).status
    };
    assert_eq!((status("10.1.2.3"), status("8.8.8.8")), (None, Some(403)));
}

#[test]
fn of_two_rate_limits_the_older_counts() {
    let limit = |name: &str, created: &str, rate: u32| {
        format!(
            "apiVersion: policy.linkerd.io/v1alpha1\nkind: HTTPLocalRateLimitPolicy\n\
             metadata: {{name: {name}, namespace: shop, creationTimestamp: '{created}'}}\nspec:\n  \
             targetRef: {{group: policy.linkerd.io, kind: Server, name: web}}\n  \
             total: {{requestsPerSecond: {rate}}}\n---\n"
        )
    };
    let limits = limit("a", "2024-02-01T00:00:00Z", 2) + &limit("b", "2024-01-01T00:00:00Z", 1);
    let mesh = Mesh::of(&[("a.yaml", &(shop() + SERVER + &limits))]);
    let answer = mesh.ask("bank/client", "GET http://web.shop/books");
    let note = answer.notes.iter().find(|note| note.contains("429")).unwrap();
    assert!(
        note.starts_with("each pod of web takes 1 requests a second in all, else 429 (a.yaml:")
    );
}
