//! Each rule of the ladder, with manifests of our own.

use super::{GATEWAY, Mesh, OWN, deployment, route, service, shop, short};

/// Asks a shop with more manifests; fails if they are not taken without a word.
fn ask(more: &str, from: &str, request: &str) -> String {
    let mesh = Mesh::of(&[("a.yaml", &(shop() + more))]);
    assert_eq!(mesh.told(), [""; 0], "{more}");
    short(&mesh.ask(from, request))
}

const GET: &str = "GET http://web/";

#[test]
fn names_mean_services_or_the_world_outside() {
    let cases = [
        ("shop/v1", "GET http://web/", "100% web:80"),
        ("bank/client", "GET http://web.shop/", "100% web:80"),
        ("bank/client", "GET http://web.shop.svc.cluster.local./", "100% web:80"),
        ("bank/client", "GET http://web/", "0"),
        ("bank/client", "GET http://web:81/", "0"),
        ("shop/v1", "GET http://web:81/", "0"),
        ("shop/v1", "GET http://example.com/", "100% example.com:80"),
        ("shop/v1", "GET http://10.1.2.3/", "100% 10.1.2.3:80"),
    ];
    for (from, request, expected) in cases {
        assert_eq!(ask("", from, request), expected, "{from} {request}");
    }
}

#[test]
fn weights_are_shares_of_what_is_there() {
    let backends =
        |backends: &str| route(OWN, "shop", "r", &format!("  - backendRefs: [{backends}]\n"));
    let to = |name: &str, weight: u32| format!("{{name: {name}, port: 80, weight: {weight}}}");
    let empty = service("shop", "none", "") + &deployment("shop", "none", 0);
    let cases = [
        (vec![to("v1", 90), to("v2", 10)], "90% v1:80, 10% v2:80"),
        (vec![to("v1", 1), to("v2", 0)], "100% v1:80, 0% v2:80"),
        (vec![to("v1", 0)], "100% v1:80"),
        (vec![to("v1", 0), to("v2", 0)], "0"),
        (vec![to("v1", 3), to("gone", 1)], "75% v1:80, 25% gone:80 (500)"),
        (vec![to("v1", 1), to("none", 1)], "100% v1:80, 0% none:80"),
        (vec![to("none", 1)], "100% none:80 (503)"),
        (
            vec!["{name: v1, port: 80}".into(), "{name: v2, port: 80}".into()],
            "50% v1:80, 50% v2:80",
        ),
        (vec![to("v1", 1), "{kind: Secret, name: x}".into()], "50% v1:80, 50% x:0 (500)"),
        (vec![to("v1", 1), "{name: v2, port: 81}".into()], "100% v1:80, 0% v2:81"),
        // The Service has no such port, but its pods do.
        (vec![to("v1", 1), "{name: v2, port: 8080}".into()], "50% v1:80, 50% v2:8080"),
    ];
    for (list, expected) in cases {
        let more = empty.clone() + &backends(&list.join(", "));
        assert_eq!(ask(&more, "shop/v1", GET), expected, "{list:?}");
    }
}

#[test]
fn a_service_with_routes_answers_404_where_none_matches() {
    let rules = "  - matches: [{path: {value: /api}}]\n    backendRefs: [{name: v1, port: 80}]\n";
    for api in [OWN, GATEWAY] {
        let more = route(api, "shop", "r", rules);
        assert_eq!(ask(&more, "shop/v1", "GET http://web/api/x"), "100% v1:80");
        assert_eq!(ask(&more, "shop/v1", "GET http://web/other"), "404");
        assert_eq!(ask(&more, "shop/v1", "GET http://v2/other"), "100% v2:80");
    }
    let own = "  - matches: [{path: {value: /api}}]\n";
    let more = route(OWN, "shop", "r", own);
    assert_eq!(
        ask(&more, "shop/v1", "GET http://web/api"),
        "100% web:80",
        "no backend: the parent"
    );
}

#[test]
fn consumer_routes_are_for_their_namespace_only() {
    let to =
        |name: &str| format!("  - backendRefs: [{{name: {name}, namespace: shop, port: 80}}]\n");
    let more = route(GATEWAY, "bank", "consumer", &to("v2"));
    assert_eq!(ask(&more, "shop/v1", GET), "100% web:80");
    assert_eq!(ask(&more, "bank/client", "GET http://web.shop/"), "100% v2:80");
    // Both count for the consumer: the first by name wins between equals.
    let both = more + &route(GATEWAY, "shop", "a-producer", &to("v1"));
    assert_eq!(ask(&both, "shop/v1", GET), "100% v1:80");
    assert_eq!(ask(&both, "bank/client", "GET http://web.shop/"), "100% v1:80");
}

#[test]
fn backends_without_a_namespace_are_the_parents_neighbours() {
    let more = route(GATEWAY, "bank", "consumer", "  - backendRefs: [{name: v1, port: 80}]\n");
    let mesh = Mesh::of(&[("a.yaml", &(shop() + &more))]);
    let answer = mesh.ask("bank/client", "GET http://web.shop/");
    assert_eq!(answer.destinations[0].namespace, "shop");
}

#[test]
fn a_filter_that_is_not_known_drops_the_whole_route() {
    let to = "    backendRefs: [{name: v2, port: 80}]\n";
    let cases = [
        (
            "{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /x}}}",
            "100% web:80",
        ),
        ("{type: RequestMirror, requestMirror: {backendRef: {name: v1, port: 80}}}", "100% web:80"),
        (
            "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}]}}",
            "100% v2:80",
        ),
        (
            "{type: RequestRedirect, requestRedirect: {hostname: b.com, statusCode: 301}}",
            "301 http://b.com/",
        ),
    ];
    for (filter, expected) in cases {
        let rules = format!("  - filters: [{filter}]\n{to}");
        assert_eq!(ask(&route(GATEWAY, "shop", "r", &rules), "shop/v1", GET), expected, "{filter}");
    }
    // In a backend it breaks only that backend.
    let filter = "{type: RequestMirror, requestMirror: {backendRef: {name: v1, port: 80}}}";
    let rules = format!(
        "  - backendRefs: [{{name: v1, port: 80}}, {{name: v2, port: 80, filters: [{filter}]}}]\n"
    );
    let expected = "50% v1:80, 50% v2:80 (500)";
    assert_eq!(ask(&route(GATEWAY, "shop", "r", &rules), "shop/v1", GET), expected);
}

#[test]
fn headers_change_on_the_way() {
    let modifier = |kind: &str, field: &str| {
        format!("  - filters: [{{type: {kind}, {field}: {{set: [{{name: x, value: new}}]}}}}]\n")
    };
    let mesh = |api: &str, rules: &str| {
        let text = shop() + &route(api, "shop", "r", rules);
        Mesh::of(&[("a.yaml", &text)]).ask("shop/v1", "GET http://web/ x=old")
    };
    let request = mesh(GATEWAY, &modifier("RequestHeaderModifier", "requestHeaderModifier"));
    assert_eq!(request.destinations[0].request.headers.get("x"), Some("new".into()));
    let response = modifier("ResponseHeaderModifier", "responseHeaderModifier");
    let gateway = mesh(GATEWAY, &response);
    assert_eq!(gateway.destinations[0].request.headers.get("x"), Some("old".into()));
    assert_eq!(gateway.response_headers.set, [("x".to_owned(), "new".to_owned())]);
    // The policy controller builds a request filter from it.
    let own = mesh(OWN, &response);
    assert_eq!(own.destinations[0].request.headers.get("x"), Some("new".into()));
    assert!(own.notes[0].contains("to requests"), "{:?}", own.notes);
}

const PROFILE: &str = "
apiVersion: linkerd.io/v1alpha2
kind: ServiceProfile
metadata: {name: web.shop.svc.cluster.local, namespace: NAMESPACE}
spec:
  routes:
  - {name: api, condition: {method: GET, pathRegex: '/api.*'}, isRetryable: true, timeout: 250ms}
  dstOverrides:
  - {authority: v1.shop.svc.cluster.local, weight: 900m}
  - {authority: 'v2.shop.svc.cluster.local:80', weight: 100m}
---
";

#[test]
fn a_profile_wins_over_routes_and_the_clients_over_the_services() {
    let own = PROFILE.replace("NAMESPACE", "shop");
    let routed = route(OWN, "shop", "r", "  - backendRefs: [{name: v2, port: 80}]\n");
    assert_eq!(ask(&(own.clone() + &routed), "shop/v1", GET), "90% v1:80, 10% v2:80");
    let clients = PROFILE.replace("NAMESPACE", "bank").replace("weight: 900m", "weight: 300m");
    let both = own.clone() + &clients;
    assert_eq!(ask(&both, "shop/v1", GET), "90% v1:80, 10% v2:80");
    assert_eq!(ask(&both, "bank/client", "GET http://web.shop/"), "75% v1:80, 25% v2:80");
    let stranger = PROFILE.replace("NAMESPACE", "other");
    assert_eq!(ask(&stranger, "shop/v1", GET), "100% web:80");
    let zero = own.replace("900m", "0").replace("100m", "0");
    assert_eq!(ask(&zero, "shop/v1", GET), "100% web:80", "all dropped: the service itself");

    let mesh = Mesh::of(&[("a.yaml", &(shop() + &own + &routed))]);
    let api = mesh.ask("shop/v1", "GET http://web/api/x");
    assert_eq!(api.timeout_ns, Some(250_000_000));
    assert!(api.retries.is_some());
    assert_eq!(api.retry_budget.as_deref(), Some("20% of requests and 10 a second"));
    assert_eq!(api.rule.as_ref().unwrap().rule, "route api");
    assert!(
        api.why.iter().any(|step| step.contains("wins over HTTPRoute.policy.linkerd.io shop/r"))
    );
    let other = mesh.ask("shop/v1", "GET http://web/x");
    assert_eq!((other.timeout_ns, other.retries), (None, None));
}

#[test]
fn a_split_becomes_a_profile() {
    let split = |weights: (&str, &str), head: &str| {
        format!(
            "apiVersion: split.smi-spec.io/v1alpha2\nkind: TrafficSplit\nmetadata: {{name: s, namespace: shop{head}}}\n\
             spec:\n  service: web\n  backends:\n  - {{service: v1, weight: {}}}\n  - {{service: v2, weight: {}}}\n---\n",
            weights.0, weights.1
        )
    };
    let routed = route(OWN, "shop", "r", "  - backendRefs: [{name: v2, port: 80}]\n");
    let more = split(("3", "1"), "") + &routed;
    assert_eq!(ask(&more, "shop/v1", GET), "75% v1:80, 25% v2:80");
    assert_eq!(ask(&split(("1", "0"), ""), "shop/v1", GET), "100% v1:80");
    assert_eq!(ask(&split(("0", "0"), ""), "shop/v1", GET), "100% web:80");
    // Written into a profile that is there: the profile's routes stay.
    let both = split(("1", "1"), "") + &PROFILE.replace("NAMESPACE", "shop");
    assert_eq!(ask(&both, "shop/v1", GET), "50% v1:80, 50% v2:80");
    let failover = ", labels: {failover.linkerd.io/controlled-by: linkerd-failover}";
    assert_eq!(
        ask(&split(("1", "1"), failover), "shop/v1", GET),
        "100% v1:80, 0% v2:80".replace(", 0% v2:80", "")
    );
}

#[test]
fn splits_count_for_bytes_but_profiles_without_destinations_do_not() {
    let split = "apiVersion: split.smi-spec.io/v1alpha2\nkind: TrafficSplit\nmetadata: {name: s, namespace: shop}\n\
                 spec: {service: web, backends: [{service: v1, weight: WEIGHT}, {service: v2, weight: 0}]}\n---\n";
    let own = "metadata: {name: web, namespace: shop}\nspec: {selector";
    let opaque = own.replace("shop}", "shop, annotations: {config.linkerd.io/opaque-ports: '80'}}");
    let ask = |more: &str, request: &str| {
        let text = shop().replace(own, &opaque) + more;
        short(&Mesh::of(&[("a.yaml", &text)]).ask("shop/v1", request))
    };
    assert_eq!(ask(&split.replace("WEIGHT", "1"), GET), "100% v1:80");
    let profile = PROFILE.replace("NAMESPACE", "shop").replace("900m", "0").replace("100m", "0");
    assert_eq!(ask(&profile, GET), "100% web:80");
    // A split of nothing hides no route.
    let routed = route(OWN, "shop", "r", "  - backendRefs: [{name: v2, port: 80}]\n");
    let nothing = split.replace("WEIGHT", "0") + &routed;
    let mesh = Mesh::of(&[("a.yaml", &(shop() + &nothing))]);
    assert_eq!(short(&mesh.ask("shop/v1", GET)), "100% v2:80");
    let tls = Mesh::of(&[("a.yaml", &(shop() + &split.replace("WEIGHT", "1")))]);
    assert_eq!(short(&tls.ask("shop/v1", "GET https://web:80/")), "100% v1:80");
}

#[test]
fn grpc_routes_hide_http_routes() {
    let http = route(GATEWAY, "shop", "r", "  - backendRefs: [{name: v1, port: 80}]\n");
    let grpc =
        http.replace("kind: HTTPRoute", "kind: GRPCRoute").replace("name: v1", "name: v2").replace(
            "  - backendRefs",
            "  - matches: [{method: {service: shop.Cart}}]\n    backendRefs",
        );
    let both = http + &grpc;
    assert_eq!(ask(&both, "shop/v1", "POST http://web/shop.Cart/Get"), "100% v2:80");
    assert_eq!(ask(&both, "shop/v1", "POST http://web/shop.Other/Get"), "404");
    assert_eq!(ask(&both, "shop/v1", GET), "404");
}

#[test]
fn opaque_ports_know_no_http_routes() {
    let routed = route(GATEWAY, "shop", "r", "  - backendRefs: [{name: v2, port: 80}]\n");
    let tcp = "apiVersion: gateway.networking.k8s.io/v1alpha2\nkind: TCPRoute\nmetadata: {name: t, namespace: shop}\nspec:\n  \
               parentRefs: [{group: core, kind: Service, name: web}]\n  \
               rules: [{backendRefs: [{name: v1, port: 80}]}]\n---\n";
    let opaque = |metadata: &str, port: &str| {
        let text = shop() + &routed + tcp;
        let own = "metadata: {name: web, namespace: shop}\nspec: {selector: {app: web}, ports: [{name: http, ";
        let new = own.replace("shop}", &format!("shop{metadata}}}")) + port;
        assert!(text.contains(own));
        let mesh = Mesh::of(&[("a.yaml", &text.replace(own, &new))]);
        assert_eq!(mesh.told(), [""; 0]);
        short(&mesh.ask("shop/v1", GET))
    };
    let annotation = ", annotations: {config.linkerd.io/opaque-ports: '80'}";
    assert_eq!(opaque("", ""), "100% v2:80");
    assert_eq!(opaque(annotation, ""), "100% v1:80");
    assert_eq!(opaque("", "appProtocol: linkerd.io/opaque, "), "100% v1:80");
    assert_eq!(opaque("", "appProtocol: https, "), "100% v1:80", "an unknown word is opaque");
    assert_eq!(opaque(annotation, "appProtocol: http, "), "100% v2:80", "the protocol wins");
}

#[test]
fn without_a_proxy_no_rule_counts() {
    let routed = route(GATEWAY, "shop", "r", "  - backendRefs: [{name: v2, port: 80}]\n");
    let bare = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: bare, namespace: shop}\nspec:\n  \
                selector: {matchLabels: {app: bare}}\n  template:\n    \
                metadata: {labels: {app: bare}, annotations: {ANNOTATION}}\n    spec: {containers: [{name: c}]}\n---\n";
    let cases = [
        ("linkerd.io/inject: disabled", "100% web:80"),
        ("config.linkerd.io/skip-outbound-ports: '80'", "100% web:80"),
        ("config.linkerd.io/skip-outbound-ports: '81'", "100% v2:80"),
    ];
    for (annotation, expected) in cases {
        let more = bare.replace("ANNOTATION", annotation) + &routed;
        assert_eq!(ask(&more, "shop/bare", GET), expected, "{annotation}");
    }
    let headless = service("shop", "headless", "").replace("spec: {", "spec: {clusterIP: None, ");
    let more = headless + &routed.replace("name: web", "name: headless");
    assert_eq!(ask(&more, "shop/v1", "GET http://headless/"), "100% headless:80 (503)");
}

#[test]
fn timeouts_and_retries_are_the_routes_or_else_the_services() {
    let annotated =
        |service_annotations: &str, route_annotations: &str, api: &str, timeouts: &str| {
            let routed = route(
                api,
                "shop",
                "r",
                &format!("  - backendRefs: [{{name: v2, port: 80}}]\n{timeouts}"),
            )
            .replace(
                "name: r, namespace: shop",
                &format!("name: r, namespace: shop, annotations: {{{route_annotations}}}"),
            );
            let own = "metadata: {name: web, namespace: shop}\nspec: {selector";
            let new =
                own.replace("shop}", &format!("shop, annotations: {{{service_annotations}}}}}"));
            let mesh = Mesh::of(&[("a.yaml", &(shop().replace(own, &new) + &routed))]);
            assert_eq!(mesh.told(), [""; 0]);
            let answer = mesh.ask("shop/v1", GET);
            let ms = answer.timeout_ns.map(|ns| ns / 1_000_000);
            (ms, answer.retries.map(|retries| (retries.attempts, retries.on.join(","))))
        };
    let service = "timeout.linkerd.io/request: 1s, retry.linkerd.io/http: gateway-error";
    let own = "timeout.linkerd.io/response: 2s, retry.linkerd.io/limit: '2'";
    let rule = "    timeouts: {request: 300ms}\n";
    let gateway_error = Some((1, "502-504".to_owned()));
    assert_eq!(annotated(service, "", OWN, ""), (Some(1000), gateway_error.clone()));
    // One timeout of the route replaces all of the Service's.
    assert_eq!(annotated(service, own, OWN, ""), (None, Some((2, String::new()))));
    assert_eq!(annotated(service, "", OWN, rule), (Some(300), gateway_error.clone()));
    // The Gateway API's own timeouts are ignored.
    assert_eq!(annotated(service, "", GATEWAY, rule), (Some(1000), gateway_error));
    let zero = "    timeouts: {request: 0s}\n";
    assert_eq!(annotated("", "", OWN, zero), (None, None));
}

#[test]
fn a_bad_annotation_drops_its_group_or_its_route() {
    let routed = route(OWN, "shop", "r", "  - backendRefs: [{name: v2, port: 80}]\n").replace(
        "name: r, namespace: shop",
        "name: r, namespace: shop, annotations: {timeout.linkerd.io/request: 1.5s}",
    );
    let own = "metadata: {name: web, namespace: shop}\nspec: {selector";
    let annotations =
        "retry.linkerd.io/http: 5xx, retry.linkerd.io/limit: many, timeout.linkerd.io/request: 1s";
    let new = own.replace("shop}", &format!("shop, annotations: {{{annotations}}}}}"));
    let mesh = Mesh::of(&[("a.yaml", &(shop().replace(own, &new) + &routed))]);
    let answer = mesh.ask("shop/v1", GET);
    assert_eq!(short(&answer), "100% web:80", "the route is dropped");
    assert_eq!((answer.timeout_ns, answer.retries), (Some(1_000_000_000), None));
    let told = mesh.told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("`1.5s` is no duration"), "{told:?}");
    assert!(told[1].contains("goes without all `retry.linkerd.io` of the Service"), "{told:?}");
}

const EGRESS: &str = "
apiVersion: policy.linkerd.io/v1alpha1
kind: EgressNetwork
metadata: {name: out, namespace: shop}
spec: {trafficPolicy: POLICY}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: get, namespace: shop}
spec:
  hostnames: [httpbin.org]
  parentRefs: [{group: policy.linkerd.io, kind: EgressNetwork, name: out, port: 80}]
  rules:
  - {matches: [{path: {value: /get}}]}
  - {matches: [{path: {value: /inside}}], backendRefs: [{name: v1, port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TLSRoute
metadata: {name: tls, namespace: shop}
spec:
  hostnames: ['*.example.com']
  parentRefs: [{group: policy.linkerd.io, kind: EgressNetwork, name: out, port: 443}]
  rules: [{backendRefs: [{group: policy.linkerd.io, kind: EgressNetwork, name: out}]}]
---
";

#[test]
fn egress_goes_by_routes_then_by_policy() {
    let cases = [
        ("Deny", "shop/v1", "GET http://httpbin.org/get", "100% httpbin.org:80"),
        ("Deny", "shop/v1", "GET http://httpbin.org/post", "403"),
        ("Deny", "shop/v1", "GET http://httpbin.org/inside", "100% v1:80"),
        ("Deny", "shop/v1", "GET http://other.org/get", "403"),
        ("Allow", "shop/v1", "GET http://other.org/get", "100% other.org:80"),
        ("Deny", "shop/v1", "GET https://a.example.com/", "100% a.example.com:443"),
        ("Deny", "shop/v1", "GET https://other.org/", "0"),
        ("Deny", "bank/client", "GET http://other.org/", "100% other.org:80"),
    ];
    for (policy, from, request, expected) in cases {
        let more = EGRESS.replace("POLICY", policy);
        assert_eq!(ask(&more, from, request), expected, "{policy} {from} {request}");
    }
}

#[test]
fn answers_name_the_deciding_rule() {
    let more = route(OWN, "shop", "r", "  - {name: all, backendRefs: [{name: v1, port: 80}]}\n");
    let mesh = Mesh::of(&[("shop.yaml", &shop()), ("route.yaml", &more)]);
    let answer = mesh.ask("shop/v1", GET);
    let rule = answer.rule.unwrap();
    assert_eq!(
        (rule.object.as_str(), rule.rule.as_str()),
        ("HTTPRoute.policy.linkerd.io shop/r", "all")
    );
    assert_eq!((rule.file.as_str(), rule.line), ("route.yaml", 7));
    assert_eq!(answer.destinations[0].place, "route.yaml:7");
    assert_eq!(
        answer.why[0],
        "Deployment shop/v1 has proxy: linkerd.io/inject on the namespace at shop.yaml:3"
    );
}

#[test]
fn networks_of_the_cluster_are_no_outside() {
    let overlapping = EGRESS
        .replace("{trafficPolicy: POLICY}", "{trafficPolicy: Deny, networks: [{cidr: 0.0.0.0/0}]}");
    // The EgressNetwork is not accepted, so its routes are not; its policy still holds.
    assert_eq!(ask(&overlapping, "shop/v1", "GET http://httpbin.org/get"), "403");
    let outside = overlapping.replace("0.0.0.0/0", "192.0.2.0/24");
    assert_eq!(ask(&outside, "shop/v1", "GET http://httpbin.org/get"), "100% httpbin.org:80");
}

#[test]
fn later_proxies_prefer_a_method_to_headers() {
    let rules = "  - {name: header, matches: [{headers: [{name: a, value: b}]}]}\n  \
                 - {name: method, matches: [{method: POST}]}\n";
    let mut mesh = Mesh::of(&[("a.yaml", &(shop() + &route(OWN, "shop", "r", rules)))]);
    let mut rule = |method_first: bool| {
        mesh.linkerd.settings.method_before_headers = method_first;
        mesh.ask("shop/v1", "POST http://web/ a=b").rule.unwrap().rule
    };
    assert_eq!((rule(false), rule(true)), ("header".to_owned(), "method".to_owned()));
}

#[test]
fn clients_that_are_not_there_are_taken_for_meshed_ones() {
    let more = route(OWN, "shop", "r", "  - backendRefs: [{name: v1, port: 80}]\n");
    let mesh = Mesh::of(&[("a.yaml", &(shop() + &more))]);
    let answer = mesh.ask("shop/ghost", GET);
    assert_eq!(short(&answer), "100% v1:80");
    assert_eq!(
        answer.why[0],
        "ghost, which is not in the manifests, in shop is taken for a meshed one with the account default"
    );
    let namespace = mesh.ask("shop", GET);
    assert_eq!(
        namespace.why[0],
        "a client in shop is taken for a meshed one with the account default"
    );
}

#[test]
fn ingress_mode_goes_by_the_host_that_is_named() {
    let mesh = |mode: &str| {
        let text = shop().replace(
            "metadata: {labels: {app: client}}",
            &format!(
                "metadata: {{labels: {{app: client}}, annotations: {{linkerd.io/inject: {mode}}}}}"
            ),
        );
        Mesh::of(&[("a.yaml", &text)])
    };
    let request = "GET http://web.shop/ host=v2.shop";
    assert_eq!(short(&mesh("enabled").ask("bank/client", request)), "100% web:80");
    assert_eq!(short(&mesh("ingress").ask("bank/client", request)), "100% v2:80");
    let told = "GET http://web.shop/ host=v2.shop l5d-dst-override=v1.shop.svc.cluster.local:80";
    assert_eq!(short(&mesh("ingress").ask("bank/client", told)), "100% v1:80");
}
