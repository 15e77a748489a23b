//! One mistake each, and the finding that it gives.

use crate::manifest::kubernetes::Cluster;
use crate::manifest::linkerd::Linkerd;
use crate::manifest::linkerd::settings::Settings;
use crate::manifest::lint::linkerd::{codes, linkerd};
use crate::manifest::object::Manifests;
use std::collections::BTreeSet;

/// Marks that are replaced in the shop, more manifests, and the finding.
type Case = (Vec<(&'static str, &'static str)>, String, &'static str);

const SHOP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, annotations: {linkerd.io/inject: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {POD}}
    spec:
      containers:
      - name: c
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /ready, port: http}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, annotations: {WEB}}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http, APP}]}
---
apiVersion: v1
kind: Service
metadata: {name: v2, namespace: shop, annotations: {V2}}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
---
";

/// `CODE line: what` of each finding; `more` replaces marks of the shop where it is `MARK=value`.
fn lint(marks: &[(&str, &str)], more: &str) -> Vec<String> {
    let mut text = SHOP.to_owned();
    for (mark, value) in marks {
        text = text.replace(mark, value);
    }
    for mark in ["POD", "WEB", "V2", ", APP"] {
        text = text.replace(mark, "");
    }
    let Manifests { sources, objects, mut findings } =
        Manifests::read([("shop.yaml", text.as_bytes()), ("more.yaml", more.as_bytes())]);
    let cluster = Cluster::read(&objects, &sources, &mut findings);
    let read = Linkerd::read(&objects, &cluster, Settings::default(), &sources, &mut findings);
    let found = linkerd(&cluster, &read, &sources);
    let line = |finding: &crate::manifest::lint::Finding| {
        format!("{} {}:{}: {}", finding.code, finding.place.file, finding.place.line, finding.what)
    };
    found.iter().map(line).collect()
}

/// An `HTTPRoute` of `web` with rules, in flow style.
fn route(kind: &str, rules: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: r, namespace: shop}}\nspec:\n  \
         parentRefs: [{{group: core, kind: Service, name: web, port: 80}}]\n  rules:\n  - {rules}\n---\n"
    )
}

const SERVER: &str = "apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata: {name: NAME, namespace: shop}\n\
                      spec: {podSelector: {matchLabels: {app: web}}, port: PORT, accessPolicy: ACCESS}\n---\n";

fn server(name: &str, port: &str, access: &str) -> String {
    SERVER.replace("NAME", name).replace("PORT", port).replace("ACCESS", access)
}

fn policy(target: &str, required: &str) -> String {
    format!(
        "apiVersion: policy.linkerd.io/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: shop}}\n\
         spec:\n  targetRef: {{{target}}}\n  requiredAuthenticationRefs: [{{{required}}}]\n---\n"
    )
}

const PROFILE: &str = "apiVersion: linkerd.io/v1alpha2\nkind: ServiceProfile\nmetadata: {name: NAME, namespace: shop}\n\
                       spec: {routes: [{name: all, condition: {pathRegex: '/.*'}}]}\n---\n";

#[test]
fn a_good_mesh_has_no_findings() {
    let good = route("HTTPRoute", "backendRefs: [{name: v2, port: 80, weight: 1}]")
        + &server("s", "http", "all-unauthenticated");
    assert_eq!(lint(&[], &good), [""; 0]);
}

#[test]
fn each_mistake_of_routing_is_found() {
    let to = |rule: &str| route("HTTPRoute", rule);
    let split = |spec: &str| {
        format!(
            "apiVersion: split.smi-spec.io/v1alpha4\nkind: TrafficSplit\nmetadata: {{name: s, namespace: shop, \
             labels: {{failover.linkerd.io/controlled-by: linkerd-failover}}}}\nspec: {{service: web, {spec}}}\n---\n"
        )
    };
    let profile = PROFILE.replace("NAME", "web.shop.svc.cluster.local");
    let consumer = to("backendRefs: [{name: v2, port: 80}]")
        .replace("namespace: shop}\nspec", "namespace: bank}\nspec")
        .replace("name: web, port", "name: web, namespace: shop, port");
    let cases: Vec<Case> = vec![
        (vec![], to("{}") + &profile, "L5D001 more.yaml:5: ServiceProfile shop/web.shop.svc.cluster.local wins over it"),
        (vec![("WEB", "balancer.linkerd.io/failure-accrual: consecutive")], profile,
         "L5D002 shop.yaml:22: ServiceProfile shop/web.shop.svc.cluster.local wins over its annotations"),
        (vec![], to("backendRefs: [{name: v3, port: 80}]"), "L5D003 more.yaml:7: there is no Service shop/v3"),
        (vec![], to("backendRefs: [{name: v2, port: 81}]"), "L5D004 more.yaml:7: Service shop/v2 has no port 81"),
        (vec![], to("backendRefs: [{name: v2, port: 80, weight: 0}, {name: web, port: 80, weight: 0}]"),
         "L5D005 more.yaml:7: all weights are 0"),
        (vec![], to("backendRefs: [{name: v2, port: 80, weight: 0}]"), "L5D006 more.yaml:7: the only backend has weight 0"),
        (vec![], to("filters: [{type: RequestMirror, requestMirror: {backendRef: {name: v2, port: 80}}}]"),
         "L5D007 more.yaml:7: Linkerd has no filter RequestMirror and drops the whole route"),
        (vec![], to("timeouts: {request: 1s}"), "L5D008 more.yaml:7: Linkerd ignores `timeouts.request`"),
        (vec![], to("retry: {attempts: 2}"), "L5D008 more.yaml:7: Linkerd ignores `retry`"),
        (vec![], consumer, "L5D009 more.yaml:7: backend v2 is looked for in shop"),
        (vec![], to("{}") + &route("GRPCRoute", "{}").replace("name: r,", "name: g,"),
         "L5D010 more.yaml:5: a GRPCRoute is bound to port 80 of web"),
        (vec![("WEB", "config.linkerd.io/opaque-ports: '80'")], to("{}"),
         "L5D021 more.yaml:5: port 80 of Service web is opaque"),
        (vec![("WEB", "retry.linkerd.io/http: 5xx, retry.linkerd.io/limit: '3'")], String::new(),
         "L5D022 shop.yaml:22: up to 4 tries a request"),
        (
            vec![("replicas: 2", "replicas: 1"), ("WEB", "balancer.linkerd.io/failure-accrual: consecutive")],
            String::new(),
            "L5D034 shop.yaml:22: circuit breaking with one endpoint",
        ),
        (
            vec![("WEB", "retry.linkerd.io/http: 5xx, retry.linkerd.io/timeout: 2s, timeout.linkerd.io/request: 1s")],
            String::new(),
            "L5D035 shop.yaml:22: a try may take 2s, the whole request 1s",
        ),
        (vec![("WEB", "retry.linkerd.io/limit: '1'")], String::new(), "L5D036 shop.yaml:22: retries without a condition"),
        (vec![], PROFILE.replace("NAME", "web.shop"), "L5D024 more.yaml:3: `web.shop` is no DNS name of a service of the cluster"),
        (vec![], PROFILE.replace("NAME", "gone.shop.svc.cluster.local"), "L5D024 more.yaml:3: there is no Service shop/gone"),
        (vec![("V2", "balancer.linkerd.io/failure-accrual: consecutive")], to("backendRefs: [{name: v2, port: 80}]"),
         "L5D027 shop.yaml:27: circuit breaking is not used through HTTPRoute shop/r"),
        (vec![("spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http, APP}]}",
               "spec: {clusterIP: None, selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}")],
         to("{}"), "L5D028 more.yaml:5: Service web has no cluster IP"),
        (vec![], to("{}").replace("name: web", "name: wbe"), "L5D030 more.yaml:5: there is no Service shop/wbe"),
        (vec![], to("{}").replace("port: 80}]", "port: 81}]"), "L5D030 more.yaml:5: Service web has no port 81"),
        (vec![], to("{}").replace("group: core, kind: Service, name: web, port: 80", "group: policy.linkerd.io, kind: EgressNetwork, name: out"),
         "L5D031 more.yaml:5: EgressNetwork out as a parent without a port"),
        (vec![], split("backends: [{service: web, weight: 1}]"), "L5D033 more.yaml:3: it has one backend only"),
        (vec![], split("backends: [{service: web, weight: 1}, {service: v2, weight: 0}], matches: [{kind: HTTPRouteGroup, name: g}]"),
         "L5D026 more.yaml:4: matches g"),
        (vec![], "apiVersion: access.smi-spec.io/v1alpha3\nkind: TrafficTarget\nmetadata: {name: t, namespace: shop}\n\
                  spec: {destination: {kind: ServiceAccount, name: a}}\n".to_owned(),
         "L5D025 more.yaml:3: Linkerd reads no TrafficTarget"),
    ];
    for (marks, more, expected) in cases {
        assert_eq!(lint(&marks, &more), [expected], "{more}");
    }
}

#[test]
fn each_mistake_of_policies_is_found() {
    let open = server("s", "http", "all-unauthenticated");
    let account = "kind: ServiceAccount, name: a";
    let own = "group: policy.linkerd.io, kind: Server, name: s";
    let bound = "apiVersion: policy.linkerd.io/v1beta3\nkind: HTTPRoute\nmetadata: {name: r, namespace: shop}\nspec:\n  \
                 parentRefs: [{group: policy.linkerd.io, kind: Server, name: s}]\n  rules: [{matches: [{path: {value: /api}}]}]\n---\n";
    let limit = "apiVersion: policy.linkerd.io/v1alpha1\nkind: HTTPLocalRateLimitPolicy\nmetadata: {name: l, namespace: shop}\n\
                 spec: {targetRef: {group: policy.linkerd.io, kind: Server, name: gone}, total: {requestsPerSecond: 1}}\n";
    let authorization = "apiVersion: policy.linkerd.io/v1beta1\nkind: ServerAuthorization\nmetadata: {name: a, namespace: shop}\n\
                         spec: {server: {name: gone}, client: {unauthenticated: true}}\n";
    let cases: Vec<Case> = vec![
        (
            vec![],
            server("s", "grpc", "all-unauthenticated"),
            "L5D011 more.yaml:3: no pod of shop has its labels and port grpc",
        ),
        (
            vec![],
            open.clone() + &server("t", "8080", "all-unauthenticated"),
            "L5D012 more.yaml:8: port 8080 of web has Server s too",
        ),
        (
            vec![],
            policy("group: policy.linkerd.io, kind: Server, name: s", account),
            "L5D013 more.yaml:5: there is no Server shop/s",
        ),
        (vec![], authorization.to_owned(), "L5D013 more.yaml:3: it selects no Server"),
        (
            vec![],
            server("s", "http", "deny")
                + &policy(own, "group: policy.linkerd.io, kind: MeshTLSAuthentication, name: m"),
            "L5D014 more.yaml:11: MeshTLSAuthentication shop/m is not there",
        ),
        (vec![], server("s", "http", "deny"), "L5D015 more.yaml:3: nothing admits anybody"),
        (vec![], open.clone() + bound, "L5D016 more.yaml:3: no route for the probe /ready of web"),
        (
            vec![("POD", "config.linkerd.io/skip-inbound-ports: '8080'")],
            open,
            "L5D017 more.yaml:3: web skips port 8080 inbound",
        ),
        (vec![], limit.to_owned(), "L5D023 more.yaml:3: there is no Server shop/gone"),
    ];
    for (marks, more, expected) in cases {
        assert_eq!(lint(&marks, &more), [expected], "{more}");
    }
    let denied = lint(&[("POD", "config.linkerd.io/default-inbound-policy: deny")], "");
    let expected = ["L5D032 shop.yaml:13: port 80 of web admits nobody"; 2];
    assert_eq!(denied, expected, "for each of the two services, at the annotation");
}

#[test]
fn each_risk_of_the_cluster_is_found() {
    let database = |annotations: &str, port: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: db, namespace: shop, annotations: {{{annotations}}}}}\n\
             spec: {{ports: [{{{port}}}]}}\n---\n"
        )
    };
    let cases = [
        (
            database("", "port: 4222"),
            vec!["L5D020 more.yaml:4: port 4222 speaks NATS and is not opaque"],
        ),
        (database("", "port: 3306"), vec![]),
        (
            database("config.linkerd.io/opaque-ports: '9000'", "port: 3306"),
            vec!["L5D020 more.yaml:4: port 3306 speaks MySQL and is not opaque"],
        ),
        (
            database("", "name: main-redis, port: 7000"),
            vec!["L5D020 more.yaml:4: port 7000 speaks Redis and is not opaque"],
        ),
        (
            database("", "port: 1, appProtocol: grpc"),
            vec!["L5D029 more.yaml:4: Linkerd does not know the appProtocol `grpc`"],
        ),
    ];
    for (more, expected) in cases {
        assert_eq!(lint(&[], &more), expected, "{more}");
    }
    let injector = |replicas: u32, policy: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: linkerd-proxy-injector, namespace: linkerd}}\nspec:\n  \
             replicas: {replicas}\n  selector: {{matchLabels: {{a: b}}}}\n  template: {{metadata: {{labels: {{a: b}}}}, spec: {{containers: [{{name: c}}]}}}}\n---\n\
             apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {{name: linkerd-proxy-injector-webhook-config}}\n\
             webhooks:\n- name: linkerd-proxy-injector.linkerd.io\n  failurePolicy: {policy}\n  \
             clientConfig: {{service: {{name: linkerd-proxy-injector, namespace: linkerd}}}}\n"
        )
    };
    let codes = |more: &str| -> Vec<String> {
        lint(&[], more).iter().map(|line| line[..6].to_owned()).collect()
    };
    assert_eq!(codes(&injector(1, "Fail")), ["L5D019", "L5D018"]);
    assert_eq!(codes(&injector(1, "Ignore")), ["L5D019"]);
    assert_eq!(codes(&injector(3, "Fail")), [""; 0]);
}

#[test]
fn without_linkerd_there_is_nothing_to_say() {
    let plain = route("HTTPRoute", "timeouts: {request: 1s}");
    assert_eq!(lint(&[("linkerd.io/inject: enabled", "")], &plain), [""; 0]);
}

#[test]
fn codes_are_unique_and_told() {
    let known: BTreeSet<&str> = codes::CODES.iter().map(|code| code.0).collect();
    assert_eq!(known.len(), codes::CODES.len());
    for (code, name, _, why, fix) in codes::CODES {
        assert!(!name.is_empty() && why.len() > 10 && fix.len() > 10, "{code}");
        assert!(!why.ends_with('.') && !fix.ends_with('.'), "{code}");
    }
}
