//! Odd and hostile input: nothing panics, and what is left out is named.
//!
//! Source: none; it looks at the parts beside it.
//! Left out: broken YAML, which reading refuses (`manifest/tests/broken.rs`).

use super::{drafted, keys, shop, text, with_services};
use crate::manifest::draft::linkerd::linkerd;
use crate::manifest::loaded::Loaded;
use crate::manifest::meshes::Mesh;

fn loaded(more: &str) -> Loaded {
    let text = shop(&["web", "v1", "v2"]) + more;
    Loaded::read([("a.yaml", text.as_bytes())])
}

fn profile(namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: linkerd.io/v1alpha2\nkind: ServiceProfile\n\
         metadata: {{name: web.shop.svc.cluster.local, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )
}

fn split(name: &str, version: &str, spec: &str) -> String {
    format!(
        "apiVersion: split.smi-spec.io/{version}\nkind: TrafficSplit\n\
         metadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n---\n"
    )
}

#[test]
fn a_missing_backend_has_a_name_of_its_own() {
    let spec = "{service: web, backends: [{service: v1, weight: 1}, {service: gone, weight: 1}, {service: v1, weight: 2}]}";
    let loaded = loaded(&split("s", "v1alpha2", spec));
    let draft = drafted(&loaded);
    assert_eq!(keys(&draft, "web")["traffic_split"], "{v1 = 3, gone = 1}");
}

#[test]
fn the_last_split_counts_and_zeros_are_none() {
    let one =
        |weight: u32| format!("{{service: web, backends: [{{service: v1, weight: {weight}}}]}}");
    let two = split("a", "v1alpha2", &one(1)) + &split("b", "v1alpha4", &one(0));
    let loaded = loaded(&two);
    let draft = drafted(&loaded);
    assert!(!keys(&draft, "web").contains_key("traffic_split"));
    let ignored = &draft.findings.ignored;
    assert!(ignored.contains_key("TrafficSplit.spec.backends"), "{ignored:?}");
    assert!(ignored.contains_key("TrafficSplit.spec.service"), "{ignored:?}");
}

#[test]
fn a_profile_elsewhere_counts_where_no_other_does() {
    let of = |namespace: &str, spec: &str| profile(namespace, spec);
    let routes = "{routes: [{name: a, condition: {method: GET}, timeout: 1s}]}";
    let only = loaded(&of("bank", routes));
    let draft = drafted(&only);
    assert!(keys(&draft, "web").contains_key("service_profile"));
    let field = "ServiceProfile.metadata.namespace";
    assert!(draft.findings.ignored[field].why.contains("here all clients do"));
    let both = loaded(&(of("bank", routes) + &of("shop", &routes.replace("1s", "2s"))));
    let draft = drafted(&both);
    assert!(keys(&draft, "web")["service_profile"].contains("2s"));
    assert!(draft.findings.ignored[field].why.contains("here nobody does"));
}

#[test]
fn a_profile_takes_routes_and_annotations_away() {
    let more = profile("shop", "{routes: [{name: a, condition: {pathRegex: /a}}]}");
    let text = shop(&["web"]).replace(
        "metadata: {name: web, namespace: shop}\nspec: {sel",
        "metadata: {name: web, namespace: shop, annotations: {timeout.linkerd.io/request: 1s, \
         balancer.linkerd.io/failure-accrual: consecutive}}\nspec: {sel",
    ) + &more;
    let loaded = Loaded::read([("a.yaml", text.as_bytes())]);
    let mut draft = with_services(&loaded, Mesh::Linkerd);
    let mut route = super::Table::new();
    route.set("timeout", super::Value::text("3s"));
    draft.services[0].routes.push(route);
    linkerd(&mut draft);
    let keys = keys(&draft, "web");
    assert_eq!(keys.keys().collect::<Vec<_>>(), ["service_profile"]);
    assert!(draft.services[0].routes.is_empty());
    let ignored: Vec<&String> = draft.findings.ignored.keys().collect();
    let wanted = [
        "HTTPRoute.spec.rules",
        "annotation balancer.linkerd.io/failure-accrual",
        "annotation timeout.linkerd.io/request",
    ];
    assert_eq!(ignored, wanted);
}

#[test]
fn what_breaks_is_not_there() {
    for spec in [
        "{}",
        "null",
        "{routes: []}",
        "{routes: [{}]}",
        "{routes: [{name: a}]}",
        "{routes: [{name: a, condition: {pathRegex: '('}}]}",
        "{routes: 7}",
        "{dstOverrides: [{authority: '', weight: -1}, {authority: ':::', weight: 1}]}",
        "{retryBudget: {ttl: 1h}, routes: [{name: '', condition: {all: []}, isRetryable: true}]}",
    ] {
        let loaded = loaded(&profile("shop", spec));
        let draft = drafted(&loaded);
        let _ = text(&draft);
    }
    for spec in [
        "null",
        "{}",
        "{service: web}",
        "{service: '', backends: [{}]}",
        "{service: web, backends: 3}",
    ] {
        let loaded = loaded(&split("s", "v1alpha1", spec));
        let _ = text(&drafted(&loaded));
    }
}

#[test]
fn in_another_mesh_it_is_named_only() {
    let spec = "{service: web, backends: [{service: v1, weight: 1}]}";
    let loaded = loaded(&(split("s", "v1alpha2", spec) + &profile("shop", "{routes: []}")));
    for mesh in [Mesh::Istio, Mesh::GatewayApi] {
        let mut draft = with_services(&loaded, mesh);
        let before = draft.services.clone();
        linkerd(&mut draft);
        assert_eq!(draft.services, before);
        let ignored: Vec<&String> = draft.findings.ignored.keys().collect();
        assert_eq!(ignored, ["ServiceProfile", "TrafficSplit"]);
    }
}

#[test]
fn a_failover_has_five_secondaries_and_a_primary_among_its_backends() {
    let head = |primary: &str| {
        format!(
            "apiVersion: split.smi-spec.io/v1alpha2\nkind: TrafficSplit\nmetadata:\n  name: s\n  namespace: shop\n  \
             labels: {{failover.linkerd.io/controlled-by: linkerd-failover}}\n  \
             annotations: {{failover.linkerd.io/primary-service: {primary}}}\nspec:\n  service: web\n  backends:\n"
        )
    };
    let backends = |names: &[&str]| {
        let lines = names.iter().map(|name| {
            format!(
                "  - {{service: {name}, weight: 1}}
"
            )
        });
        lines.collect::<Vec<_>>().concat()
    };
    let of = |primary: &str, names: &[&str]| {
        let text = head(primary) + &backends(names);
        let loaded = loaded(&text);
        let draft = drafted(&loaded);
        let keys = keys(&draft, "web");
        let ignored = draft.findings.ignored.keys().cloned().collect::<Vec<_>>().join(" ");
        let found = keys.get("failover").or(keys.get("traffic_split")).cloned();
        (found.unwrap_or_default(), ignored)
    };
    let many = of("web", &["web", "a", "b", "c", "d", "e", "f"]);
    assert_eq!(many.0, "{primary = \"web\", secondaries = [\"a\", \"b\", \"c\", \"d\", \"e\"]}");
    assert_eq!(many.1, "TrafficSplit.spec.backends");
    assert_eq!(of("web", &["web"]).0, "{web = 1}");
    let other = of("other", &["web", "v1"]);
    assert_eq!(other.0, "{web = 1, v1 = 1}");
    assert_eq!(other.1, "TrafficSplit.metadata.annotations");
}

#[test]
fn a_route_for_all_opens_no_server() {
    let route = |name: &str| {
        format!(
            "apiVersion: policy.linkerd.io/v1beta3\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{parentRefs: [{{group: policy.linkerd.io, kind: Server, name: web}}], rules: [{{}}]}}\n---\n"
        )
    };
    let policy = |route: &str, wanted: &str| {
        format!(
            "apiVersion: policy.linkerd.io/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {{name: {route}, namespace: shop}}\n\
             spec: {{targetRef: {{group: policy.linkerd.io, kind: HTTPRoute, name: {route}}}, requiredAuthenticationRefs: [{wanted}]}}\n---\n"
        )
    };
    let account = |name: &str| format!("{{kind: ServiceAccount, name: {name}}}");
    let server = "apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata: {name: web, namespace: shop}\n\
                  spec: {podSelector: {matchLabels: {app: web}}, port: 8080}\n---\n";
    let probe = server.to_owned() + &route("get") + &route("probe") + &policy("probe", "");
    let of = |more: &str| {
        let loaded = loaded(&(probe.clone() + more));
        keys(&drafted(&loaded), "web")["server"].clone()
    };
    // `v2` is named for a route that is not bound here.
    let narrow = policy("get", &account("v1")) + &policy("elsewhere", &account("v2"));
    assert_eq!(of(&narrow), "{access_policy = \"deny\", clients = [\"v1\"]}");
    let tls = "{group: policy.linkerd.io, kind: MeshTLSAuthentication, name: any}";
    let any = "apiVersion: policy.linkerd.io/v1alpha1\nkind: MeshTLSAuthentication\n\
               metadata: {name: any, namespace: shop}\nspec: {identities: ['*']}\n---\n";
    let known = policy("get", tls) + any;
    assert_eq!(of(&known), "{access_policy = \"all-authenticated\"}");
    let mixed = known + &route("put") + &policy("put", &account("v1"));
    let all = "{access_policy = \"deny\", clients = [\"v1\", \"v2\", \"web\"]}";
    assert_eq!(of(&mixed), all, "strangers must get through everywhere, services somewhere");
}
