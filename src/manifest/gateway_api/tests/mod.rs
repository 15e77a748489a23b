//! The rules of the Gateway API on own manifests: a row a request.

use super::*;
use crate::manifest::kubernetes::Cluster;
use crate::manifest::route::request::Request;
use crate::manifest::route::{Origin, Query, Route};
use resolve::{Differences, Rules};
use table::Tables;

struct World {
    manifests: Manifests,
    cluster: Cluster,
    api: GatewayApi,
    tables: Tables,
}

/// Services `a`, `b`, `c` of namespace `shop` and `d` of `other`, each on port 80.
fn world(text: &str) -> World {
    let mut all = String::new();
    for (namespace, name) in [("shop", "a"), ("shop", "b"), ("shop", "c"), ("other", "d")] {
        all += "---\napiVersion: v1\nkind: Service\nmetadata: {name: ";
        all.extend([name, ", namespace: ", namespace, "}\nspec: {ports: [{port: 80}, "]);
        all += "{name: alt, port: 8080}]}\n";
    }
    all += "---\n";
    all += text;
    let mut manifests = Manifests::read([("w.yaml", all.as_bytes())]);
    let cluster = Cluster::of(&mut manifests);
    let api = GatewayApi::of(&mut manifests);
    let tables = Tables::of(&api, &cluster);
    World { manifests, cluster, api, tables }
}

impl World {
    fn ask(&self, from: Origin, url: &str) -> Route {
        let request = Request::to("GET", url, &[]).unwrap();
        let rules = Rules {
            api: &self.api,
            cluster: &self.cluster,
            tables: &self.tables,
            sources: &self.manifests.sources,
            differences: Differences::SPECIFIED,
        };
        resolve::route(&rules, &Query { from, request })
    }

    fn outside(&self, url: &str) -> String {
        self.outside_as(url, None)
    }

    fn outside_as(&self, url: &str, sni: Option<&str>) -> String {
        let sni = sni.map(str::to_owned);
        let from = Origin::Gateway { namespace: "shop".into(), name: "gw".into(), sni };
        short(&self.ask(from, url))
    }

    fn inside(&self, namespace: &str, url: &str) -> String {
        let namespace = namespace.to_owned();
        let labels = crate::manifest::object::Labels::new();
        short(&self.ask(Origin::Mesh { namespace, workload: None, labels }, url))
    }

    fn conditions(&self) -> Vec<String> {
        let parents = self.tables.attached.routes.iter().flat_map(|route| &route.parents);
        let word = |condition: &attach::Condition| condition.reason.clone();
        parents.map(|p| format!("{} {}", word(&p.accepted), word(&p.resolved_refs))).collect()
    }
}

/// Services with their shares, or the status.
fn short(route: &Route) -> String {
    if let Some(direct) = &route.direct {
        let location = direct.location.as_ref().map(|location| format!(" {}", location.url));
        return format!("{}{}", direct.status, location.unwrap_or_default());
    }
    let each = route.destinations.iter().map(|to| match &to.failure {
        Some(failure) => failure.status.to_string(),
        None => to.service.clone(),
    });
    let share = |share: f64| if share < 1.0 { format!(" {share}") } else { String::new() };
    let shares = route.destinations.iter().map(|to| share(to.share));
    each.zip(shares).map(|(a, b)| a + &b).collect::<Vec<_>>().join(" ")
}

fn gateway(listeners: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
         metadata: {{name: gw, namespace: shop}}\nspec:\n  gatewayClassName: x\n  listeners:\n{listeners}"
    )
}

fn route(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
         metadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n"
    )
}

const TLS: &str = "tls: {certificateRefs: [{name: c}]}";

#[test]
fn the_most_specific_listener_takes_the_request_alone() {
    let listeners = "  - {name: any, port: 80, protocol: HTTP}\n\
                     \x20 - {name: wild, port: 80, protocol: HTTP, hostname: '*.x.com'}\n\
                     \x20 - {name: exact, port: 80, protocol: HTTP, hostname: a.x.com}\n";
    let rule = |section: &str, path: &str, to: &str| {
        format!(
            "{{parentRefs: [{{name: gw, sectionName: {section}}}], rules: [{{matches: [{{path: \
             {{value: {path}}}}}], backendRefs: [{{name: {to}, port: 80}}]}}]}}"
        )
    };
    let world = world(
        &(gateway(listeners)
            + &route("any", &rule("any", "/", "a"))
            + &route("wild", &rule("wild", "/w", "b"))
            + &route("exact", &rule("exact", "/e", "c"))),
    );
    let table = [
        ("http://y.com/", "a"),
        ("http://b.x.com/w", "b"),
        ("http://b.x.com/", "404"),
        ("http://a.x.com/e", "c"),
        ("http://a.x.com/w", "404"),
        ("http://a.x.com:81/e", "0"),
    ];
    for (url, expected) in table {
        assert_eq!(world.outside(url), expected, "{url}");
    }
}

#[test]
fn hosts_of_routes_and_listeners_must_meet() {
    let listener = "  - {name: l, port: 80, protocol: HTTP, hostname: '*.x.com'}\n";
    let rule = |hosts: &str, to: &str| {
        format!(
            "{{parentRefs: [{{name: gw}}], hostnames: [{hosts}], rules: [{{backendRefs: \
             [{{name: {to}, port: 80}}]}}]}}"
        )
    };
    let world = world(
        &(gateway(listener)
            + &route("r1", &rule("a.x.com, other.com", "a"))
            + &route("r2", &rule("'*.b.x.com'", "b"))
            + &route("r3", &rule("'*.com'", "c"))
            + &route("r4", &rule("x.com", "a"))),
    );
    let table = [
        ("http://a.x.com/", "a"),
        ("http://q.b.x.com/", "b"),
        ("http://q.x.com/", "c"),
        ("http://x.com/", "404"),
        ("http://other.com/", "404"),
    ];
    for (url, expected) in table {
        assert_eq!(world.outside(url), expected, "{url}");
    }
    let expected = ["Accepted ResolvedRefs"; 3].map(str::to_owned);
    assert_eq!(world.conditions()[..3], expected);
    assert_eq!(world.conditions()[3], "NoMatchingListenerHostname ResolvedRefs");
}

#[test]
fn misdirected_requests_get_421() {
    let listeners = format!(
        "  - {{name: any, port: 443, protocol: HTTPS, {TLS}}}\n\
         \x20 - {{name: second, port: 443, protocol: HTTPS, hostname: two.org, {TLS}}}\n\
         \x20 - {{name: bare, port: 8443, protocol: HTTPS, hostname: two.org, {TLS}}}\n"
    );
    let spec = |section: &str, to: &str| {
        format!(
            "{{parentRefs: [{{name: gw, sectionName: {section}}}], rules: [{{backendRefs: \
             [{{name: {to}, port: 80}}]}}]}}"
        )
    };
    let world = world(
        &(gateway(&listeners)
            + &route("r1", &spec("any", "a"))
            + &route("r2", &spec("second", "b"))),
    );
    assert_eq!(world.outside("https://one.org/"), "a");
    assert_eq!(world.outside("https://two.org/"), "b");
    assert_eq!(world.outside_as("https://two.org/", Some("one.org")), "421");
    assert_eq!(world.outside_as("https://one.org/", Some("two.org")), "421");
    assert_eq!(world.outside_as("https://one.org:8443/", Some("two.org")), "404");
    assert_eq!(world.outside_as("https://one.org:8443/", None), "0");
}

#[test]
fn conditions_name_their_reason() {
    let listeners = "  - {name: http, port: 80, protocol: HTTP}\n\
                     \x20 - {name: grpc, port: 81, protocol: HTTP, allowedRoutes: {kinds: [{kind: GRPCRoute}]}}\n";
    let spec = |parent: &str, backend: &str| {
        format!("{{parentRefs: [{{name: gw{parent}}}], rules: [{{backendRefs: [{backend}]}}]}}")
    };
    let a = "{name: a, port: 80}";
    let cases = [
        ("", a, "Accepted ResolvedRefs"),
        (", sectionName: nope", a, "NoMatchingParent ResolvedRefs"),
        (", port: 99", a, "NoMatchingParent ResolvedRefs"),
        (", sectionName: http, port: 81", a, "NoMatchingParent ResolvedRefs"),
        (", sectionName: grpc", a, "NotAllowedByListeners ResolvedRefs"),
        (", namespace: other", a, "NoMatchingParent ResolvedRefs"),
        ("", "{name: nope, port: 80}", "Accepted BackendNotFound"),
        ("", "{name: a, port: 99}", "Accepted BackendNotFound"),
        ("", "{group: x, kind: Y, name: a, port: 80}", "Accepted InvalidKind"),
        ("", "{name: d, namespace: other, port: 80}", "Accepted RefNotPermitted"),
    ];
    for (parent, backend, expected) in cases {
        let world = world(&(gateway(listeners) + &route("r", &spec(parent, backend))));
        assert_eq!(world.conditions(), [expected], "{parent} {backend}");
    }
}

#[test]
fn invalid_backends_fail_for_their_share_only() {
    let listener = "  - {name: l, port: 80, protocol: HTTP}\n";
    let spec = "{parentRefs: [{name: gw}], rules: [{backendRefs: [{name: a, port: 80, weight: 3}, \
                {name: nope, port: 80}]}]}";
    let grant = "---\napiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\n\
                 metadata: {name: g, namespace: other}\nspec: {from: [{group: \
                 gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}], to: [{group: '', \
                 kind: Service, name: d}]}\n";
    let across = "{parentRefs: [{name: gw}], rules: [{matches: [{path: {value: /d}}], backendRefs: \
                  [{name: d, namespace: other, port: 80}]}, {matches: [{path: {value: /none}}]}, \
                  {matches: [{path: {value: /zero}}], backendRefs: [{name: a, port: 80, weight: 0}]}]}";
    let world = world(&(gateway(listener) + &route("r", spec) + &route("across", across) + grant));
    assert_eq!(world.outside("http://x/"), "a 0.75 500 0.25");
    assert_eq!(world.outside("http://x/d"), "d");
    assert_eq!(world.outside("http://x/none"), "500");
    assert_eq!(world.outside("http://x/zero"), "500");
}

#[test]
fn conflicting_listeners_serve_nobody() {
    let listeners = "  - {name: one, port: 80, protocol: HTTP, hostname: a.com}\n\
                     \x20 - {name: two, port: 80, protocol: HTTP, hostname: a.com}\n\
                     \x20 - {name: tcp, port: 81, protocol: TCP}\n\
                     \x20 - {name: http, port: 81, protocol: HTTP}\n\
                     \x20 - {name: bare, port: 443, protocol: HTTPS}\n\
                     \x20 - {name: fine, port: 82, protocol: HTTP}\n";
    let world = world(&gateway(listeners));
    let status = &world.tables.attached.gateways[0];
    let reasons: Vec<_> = status.listeners.iter().map(|l| l.conflicted.reason.as_str()).collect();
    let none = "NoConflicts";
    let expected = [
        "HostnameConflict",
        "HostnameConflict",
        "ProtocolConflict",
        "ProtocolConflict",
        none,
        none,
    ];
    assert_eq!(reasons, expected);
    assert_eq!(status.listeners[4].resolved_refs.reason, "InvalidCertificateRef");
    let serving: Vec<_> = (0..6).map(|listener| status.serves(listener)).collect();
    assert_eq!(serving, [false, false, false, false, false, true]);
    assert_eq!(status.accepted.reason, "ListenersNotValid");
    assert!(status.programmed.status);
}

#[test]
fn older_routes_win_then_names() {
    let dated = |name: &str, created: &str, to: &str| {
        format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, \
             namespace: shop{created}}}\nspec: {{parentRefs: [{{name: gw}}], rules: [{{backendRefs: \
             [{{name: {to}, port: 80}}]}}]}}\n"
        )
    };
    let listener = gateway("  - {name: l, port: 80, protocol: HTTP}\n");
    let young = ", creationTimestamp: '2026-02-01T00:00:00Z'";
    let old = ", creationTimestamp: '2026-01-01T00:00:00Z'";
    let both = world(&(listener.clone() + &dated("p", young, "a") + &dated("q", old, "b")));
    assert_eq!(both.outside("http://x/"), "b");
    let names = world(&(listener + &dated("q", "", "a") + &dated("p", "", "b")));
    assert_eq!(names.outside("http://x/"), "b");
}

#[test]
fn mesh_routes_are_the_client_s_own_first() {
    let mesh = |name: &str, namespace: &str, port: &str, to: &str| {
        format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, \
             namespace: {namespace}}}\nspec: {{hostnames: [ignored.com], parentRefs: [{{group: '', \
             kind: Service, name: a, namespace: shop{port}}}], rules: [{{matches: [{{path: {{value: \
             /x}}}}], backendRefs: [{{name: {to}, namespace: shop, port: 80}}]}}]}}\n"
        )
    };
    let world = world(
        &(mesh("producer", "shop", ", port: 80", "b")
            + &mesh("consumer", "other", ", port: 80", "c")),
    );
    let table = [
        ("shop", "http://a/x", "b"),
        ("shop", "http://a/y", "404"),
        ("other", "http://a.shop.svc.cluster.local/x", "c"),
        ("third", "http://a.shop/x", "b"),
        ("shop", "http://a:8080/y", "a"),
        ("shop", "http://b/", "b"),
        ("shop", "http://a:99/x", "0"),
        ("shop", "http://example.org/", "0"),
    ];
    for (client, url, expected) in table {
        assert_eq!(world.inside(client, url), expected, "{client} {url}");
    }
}

#[test]
fn server_names_choose_tls_routes() {
    let listeners = "  - {name: t, port: 443, protocol: TLS, tls: {mode: Passthrough}}\n\
                     \x20 - {name: c, port: 9000, protocol: TCP}\n";
    let tls = |name: &str, host: &str, to: &str| {
        format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: TLSRoute\nmetadata: {{name: {name}, \
             namespace: shop}}\nspec: {{parentRefs: [{{name: gw, sectionName: t}}], hostnames: \
             ['{host}'], rules: [{{backendRefs: [{{name: {to}, port: 80}}]}}]}}\n"
        )
    };
    let tcp = "---\napiVersion: gateway.networking.k8s.io/v1alpha2\nkind: TCPRoute\nmetadata: {name: t, \
               namespace: shop}\nspec: {parentRefs: [{name: gw, sectionName: c}], rules: [{backendRefs: \
               [{name: a, port: 80}, {name: b, port: 80}]}]}\n";
    let world = world(
        &(gateway(listeners) + &tls("r1", "*.x.com", "a") + &tls("r2", "b.x.com", "b") + tcp),
    );
    assert_eq!(world.outside("https://a.x.com/"), "a");
    assert_eq!(world.outside("tls://b.x.com/"), "b");
    assert_eq!(world.outside("https://y.com/"), "0");
    assert_eq!(world.outside("tcp://any:9000"), "a 0.5 b 0.5");
}

#[test]
fn redirects_and_mirrors_are_in_the_answer() {
    let listener = gateway("  - {name: l, port: 8080, protocol: HTTP}\n");
    let spec = "{parentRefs: [{name: gw}], rules: [{matches: [{path: {value: /old}}], filters: [{type: \
                RequestRedirect, requestRedirect: {scheme: https, path: {type: ReplacePrefixMatch, \
                replacePrefixMatch: /new}, statusCode: 301}}]}, {matches: [{path: {value: /m}}], \
                filters: [{type: RequestMirror, requestMirror: {backendRef: {name: b, port: 80}, \
                percent: 20}}, {type: RequestMirror, requestMirror: {backendRef: {name: nope, port: \
                80}}}], backendRefs: [{name: a, port: 80}], timeouts: {request: 1s, backendRequest: \
                500ms}, retry: {codes: [503], attempts: 2}}]}";
    let world = world(&(listener + &route("r", spec)));
    assert_eq!(world.outside("http://x:8080/old/1?q=2"), "301 https://x/new/1?q=2");
    let from = Origin::Gateway { namespace: "shop".into(), name: "gw".into(), sni: None };
    let answer = world.ask(from, "http://x:8080/m");
    assert_eq!(answer.mirrors.len(), 1, "an invalid mirror is left out");
    assert!((answer.mirrors[0].share - 0.2).abs() < 1e-9);
    assert_eq!(answer.timeout_ns, Some(1_000_000_000));
    assert_eq!(answer.retries.as_ref().unwrap().attempts, 2);
    let text = answer.to_string();
    assert!(text.contains("mirrors 20% to shop/b:80") && text.contains("timeout per try 500ms"));
    assert!(serde_json::to_string(&answer).unwrap().contains("\"per_try_timeout_ns\":500000000"));
}

#[test]
fn the_resolved_rules_can_be_printed() {
    let listener = gateway("  - {name: l, port: 80, protocol: HTTP}\n");
    let spec = "{parentRefs: [{name: gw}], rules: [{backendRefs: [{name: a, port: 80}]}, {name: v2, \
                matches: [{path: {type: Exact, value: /v2}, method: GET, headers: [{name: x, value: \
                z}]}], backendRefs: [{name: b, port: 80, weight: 5}]}]}";
    let world = world(&(listener + &route("r", spec)));
    let lines = world.tables.lines(&world.api, &world.manifests.sources);
    let expected = [
        "listener shop/gw/l HTTP:80 *",
        "  * path = /v2, method GET, header x = z -> shop/b:80=5 (HTTPRoute shop/r v2, w.yaml:34)",
        "  * path /* -> shop/a:80=1 (HTTPRoute shop/r rules[0], w.yaml:34)",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn what_meshes_add_is_known() {
    let listeners = "  - {name: mesh, port: 15008, protocol: HBONE}\n\
                     \x20 - {name: l, port: 80, protocol: HTTP}\n\
                     \x20 - {name: s, port: 443, protocol: HTTPS, tls: {options: {a: b}}}\n";
    let spec = "{parentRefs: [{name: gw}], rules: [{backendRefs: [{group: networking.istio.io, kind: \
                Hostname, name: example.org, port: 443}]}]}";
    let world = world(&(gateway(listeners) + &route("r", spec)));
    assert_eq!(world.outside("http://x/"), "example.org");
    assert_eq!(world.conditions(), ["Accepted ResolvedRefs"]);
    assert_eq!(world.tables.attached.gateways[0].accepted.reason, "Accepted");
}
