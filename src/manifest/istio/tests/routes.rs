//! Rules of routing, each by a small manifest of its own.

use crate::manifest::istio::Istio;
use crate::manifest::istio::mesh::{Mesh, Release};
use crate::manifest::kubernetes::Cluster;
use crate::manifest::object::{Labels, Manifests};
use crate::manifest::route::request::Request;
use crate::manifest::route::{Origin, Query, Route};

/// Two namespaces: `shop` with web (v1, v2) and db, `other` with web.
const SHOP: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-v1, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web, version: v1}}
  template: {metadata: {labels: {app: web, version: v1}}, spec: {containers: [{name: a, image: a}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-v2, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: web, version: v2}}
  template: {metadata: {labels: {app: web, version: v2}}, spec: {containers: [{name: a, image: a}]}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: other}
spec: {selector: {app: web}, ports: [{name: http, port: 80}, {name: http-admin, port: 9090}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: other, labels: {app: web}}
spec: {containers: [{name: a, image: a}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {selector: {app: db}, ports: [{name: tcp, port: 5432}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {containers: [{name: a, image: a}]}
";

const SUBSETS: &str = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec:
  host: web
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
";

/// A virtual service of `shop` for `web` with this spec besides hosts.
fn rules(http: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: web, namespace: shop}}\n\
         spec:\n  hosts: [web]\n  http:\n{http}"
    )
}

struct Asker {
    files: Vec<String>,
    namespace: &'static str,
    labels: Labels,
    release: Release,
}

fn shop(more: &[&str]) -> Asker {
    let files = std::iter::once(&SHOP).chain(more).map(|text| (*text).to_owned()).collect();
    Asker { files, namespace: "shop", labels: Labels::new(), release: Release::default() }
}

impl Asker {
    fn from(mut self, namespace: &'static str, labels: &[(&str, &str)]) -> Self {
        self.namespace = namespace;
        let pairs = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        self.labels = pairs.collect();
        self
    }

    fn ask(&self, from: Origin, request: Request) -> Route {
        let names: Vec<String> = (0..self.files.len()).map(|n| format!("{n}.yaml")).collect();
        let files = names.iter().zip(&self.files);
        let mut manifests =
            Manifests::read(files.map(|(name, text)| (name.as_str(), text.as_bytes())));
        let cluster = Cluster::of(&mut manifests);
        let istio = Istio::of(&mut manifests, &cluster);
        assert_eq!(manifests.findings.problems, []);
        let mesh = Mesh::of(&cluster, &istio, &manifests.sources, self.release);
        mesh.route(&Query { from, request })
    }

    fn mesh(&self, url: &str) -> Route {
        self.with(url, &[])
    }

    fn with(&self, url: &str, headers: &[(&str, &str)]) -> Route {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let origin = Origin::Mesh {
            namespace: self.namespace.to_owned(),
            workload: None,
            labels: self.labels.clone(),
        };
        self.ask(origin, Request::to("GET", url, &headers).unwrap())
    }

    fn gateway(&self, url: &str) -> Route {
        let origin = Origin::Gateway { namespace: "shop".into(), name: "gw".into(), sni: None };
        self.ask(origin, Request::to("GET", url, &[]).unwrap())
    }
}

/// `web/v1 75, web/v2 25`, or the status and flag.
fn told(route: &Route) -> String {
    if let Some(direct) = &route.direct {
        return format!("{} {}", direct.status, direct.flag).trim_end().to_owned();
    }
    let one = |to: &crate::manifest::route::Destination| {
        let subset = to.subset.as_ref().map_or(String::new(), |subset| format!("/{subset}"));
        let failure =
            to.failure.as_ref().map_or(String::new(), |f| format!(" {} {}", f.status, f.flag));
        let namespace =
            if to.namespace.is_empty() { String::new() } else { format!(".{}", to.namespace) };
        let share = (to.share * 100.0).round();
        format!("{}{namespace}{subset} {share}{failure}", to.service)
    };
    route.destinations.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn without_rules_a_service_is_asked_with_the_default_retries() {
    let route = shop(&[]).mesh("http://web/");
    assert_eq!(told(&route), "web.shop 100");
    let retries = route.retries.unwrap();
    assert_eq!((retries.attempts, retries.codes.len(), route.timeout_ns), (2, 0, None));
    assert_eq!(route.destinations[0].workloads, ["web-v1", "web-v2"]);
    let old = Asker { release: Release { major: 1, minor: 20 }, ..shop(&[]) };
    assert_eq!(old.mesh("http://web/").retries.unwrap().codes, [503]);
    assert_eq!(told(&shop(&[]).mesh("http://web.other:9090/")), "web.other 100");
    assert_eq!(told(&shop(&[]).from("other", &[]).mesh("http://web")), "web.other 100");
}

#[test]
fn weights_are_relative_and_a_single_destination_ignores_its_own() {
    let split = "  - route:\n    - {destination: {host: web, subset: v1}, weight: 3}\n    \
                 - {destination: {host: web, subset: v2}, weight: 1}\n    \
                 - {destination: {host: db}, weight: 0}\n";
    let route = shop(&[SUBSETS, &rules(split)]).mesh("http://web/");
    assert_eq!(told(&route), "web.shop/v1 75, web.shop/v2 25");
    assert_eq!(route.destinations[0].workloads, ["web-v1"]);
    assert_eq!(route.rule.unwrap().line, 7);
    let single = rules("  - route: [{destination: {host: web, subset: v2}, weight: 5}]\n");
    assert_eq!(told(&shop(&[SUBSETS, &single]).mesh("http://web/")), "web.shop/v2 100");
}

#[test]
fn what_is_not_there_has_its_own_status() {
    let to = |destination: &str| rules(&format!("  - route: [{{destination: {destination}}}]\n"));
    let case = |destination: &str, more: &[&str]| {
        let rule = to(destination);
        let mut files = vec![rule.as_str()];
        files.extend(more);
        told(&shop(&files).mesh("http://web/"))
    };
    assert_eq!(case("{host: web, subset: v1}", &[]), "web.shop/v1 100 503 NC");
    assert_eq!(case("{host: web, subset: v9}", &[SUBSETS]), "web.shop/v9 100 503 NC");
    let none = SUBSETS.replace("version: v2", "version: v3");
    assert_eq!(case("{host: web, subset: v2}", &[&none]), "web.shop/v2 100 503 UH");
    assert!(case("{host: nowhere}", &[]).ends_with("503 NC"));
    assert_eq!(case("{host: web, port: {number: 81}}", &[]), "web.shop 100 503 NC");
    let only = rules("  - match: [{uri: {exact: /a}}]\n    route: [{destination: {host: web}}]\n");
    assert_eq!(told(&shop(&[&only]).mesh("http://web/b")), "404 NR");
}

#[test]
fn unknown_hosts_pass_unless_the_registry_counts_alone() {
    let route = shop(&[]).mesh("http://example.com/");
    assert_eq!((told(&route).as_str(), route.retries), ("example.com 100", None));
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
                  data:\n  mesh: |-\n    outboundTrafficPolicy:\n      mode: REGISTRY_ONLY\n";
    let route = shop(&[config]).mesh("http://example.com/");
    assert_eq!(told(&route), "502");
    assert!(route.why[1].contains("1.yaml:7"), "{:?}", route.why);
    assert_eq!(told(&shop(&[config]).mesh("tcp://example.com:5432")), "0 UH");
    let sidecar = "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: a, namespace: shop}\n\
                   spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}\n";
    assert_eq!(told(&shop(&[sidecar]).mesh("http://example.com/")), "502");
    let entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: shop}\n\
                 spec: {hosts: ['*.com'], ports: [{number: 80, name: http, protocol: HTTP}], resolution: NONE}\n";
    assert_eq!(told(&shop(&[config, entry]).mesh("http://example.com/")), "example.com 100");
}

#[test]
fn the_first_rule_that_matches_counts() {
    let http = "
  - match: [{uri: {prefix: /a}, headers: {x-user: {regex: 'j.*'}}}, {queryParams: {v: {exact: '2'}}}]
    route: [{destination: {host: web, subset: v2}}]
  - match: [{withoutHeaders: {x-user: {}}, method: {exact: GET}, port: 80}]
    name: plain
    route: [{destination: {host: web, subset: v1}}]
  - route: [{destination: {host: web}}]
";
    let asker = shop(&[SUBSETS, &rules(http)]);
    let ask = |url: &str, headers: &[(&str, &str)]| told(&asker.with(url, headers));
    assert_eq!(ask("http://web/ab", &[("X-User", "jason")]), "web.shop/v2 100");
    assert_eq!(ask("http://web/ab", &[("x-user", "anna")]), "web.shop 100");
    assert_eq!(ask("http://web/?v=2", &[]), "web.shop/v2 100");
    assert_eq!(ask("http://web/?v=3", &[]), "web.shop/v1 100");
    assert_eq!(asker.mesh("http://web/").rule.unwrap().rule, "plain");
}

#[test]
fn rules_for_other_clients_and_ports_do_not_exist() {
    let http = "
  - match: [{sourceLabels: {app: a}}]
    route: [{destination: {host: web, subset: v2}}]
  - match: [{sourceNamespace: other, uri: {prefix: /x}}]
    route: [{destination: {host: web, subset: v1}}]
";
    let rule = rules(http);
    let files = [SUBSETS, rule.as_str()];
    let a = shop(&files).from("shop", &[("app", "a")]);
    assert_eq!(told(&a.mesh("http://web/")), "web.shop/v2 100");
    // No rule is for this client: as without rules.
    assert_eq!(told(&shop(&files).mesh("http://web/")), "web.shop 100");
    let other = shop(&files).from("other", &[]);
    assert_eq!(told(&other.mesh("http://web.shop/x")), "web.shop/v1 100");
    assert_eq!(told(&other.mesh("http://web.shop/y")), "404 NR");
}

#[test]
fn the_oldest_of_the_most_specific_virtual_services_counts_whole() {
    let service = |name: &str, created: &str, host: &str, subset: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: shop, \
             creationTimestamp: '{created}'}}\nspec: {{hosts: ['{host}'], http: [{{route: [{{destination: \
             {{host: web, subset: {subset}}}}}]}}]}}\n"
        )
    };
    let young = service("a", "2025-01-02T00:00:00Z", "web", "v1");
    let old = service("b", "2025-01-01T00:00:00Z", "web", "v2");
    let wild = service("c", "2024-01-01T00:00:00Z", "*.shop.svc.cluster.local", "v1");
    assert_eq!(told(&shop(&[SUBSETS, &young, &old]).mesh("http://web/")), "web.shop/v2 100");
    assert_eq!(told(&shop(&[SUBSETS, &wild, &old]).mesh("http://web/")), "web.shop/v2 100");
    assert_eq!(told(&shop(&[SUBSETS, &wild]).mesh("http://web/")), "web.shop/v1 100");
}

#[test]
fn export_and_egress_limit_what_a_client_sees() {
    let private = rules("  - route: [{destination: {host: web, subset: v2}}]\n  exportTo: ['.']\n");
    let files = [SUBSETS, private.as_str()];
    assert_eq!(told(&shop(&files).mesh("http://web/")), "web.shop/v2 100");
    assert_eq!(told(&shop(&files).from("other", &[]).mesh("http://web.shop/")), "web.shop 100");
    let sidecar = "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: a, namespace: other}\n\
                   spec: {egress: [{hosts: ['./*', 'istio-system/*']}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}\n";
    let other = shop(&[sidecar]).from("other", &[]);
    assert_eq!(told(&other.mesh("http://web.shop/")), "502");
    assert_eq!(told(&other.mesh("http://web/")), "web.other 100");
    let hidden = SHOP.replace(
        "{name: web, namespace: shop}",
        "{name: web, namespace: shop, annotations: {networking.istio.io/exportTo: '.'}}",
    );
    let asker = Asker { files: vec![hidden], ..shop(&[]) };
    assert_eq!(told(&asker.from("other", &[]).mesh("http://web.shop/")), "web.shop 100");
}

#[test]
fn destination_rules_of_the_client_come_before_those_of_the_service() {
    let rule = rules("  - route: [{destination: {host: web, subset: v1}}]\n");
    let own = SUBSETS
        .replace("namespace: shop", "namespace: other")
        .replace("host: web", "host: web.shop.svc.cluster.local")
        .replace("name: v1", "name: only");
    let files = [SUBSETS, rule.as_str(), own.as_str()];
    assert_eq!(told(&shop(&files).mesh("http://web/")), "web.shop/v1 100");
    assert_eq!(
        told(&shop(&files).from("other", &[]).mesh("http://web.shop/")),
        "web.shop/v1 100 503 NC"
    );
    // Two rules for one host are merged.
    let more = SUBSETS.replace("{name: web,", "{name: more,").replace("name: v1", "name: v7");
    let seven = rules("  - route: [{destination: {host: web, subset: v7}}]\n");
    assert_eq!(told(&shop(&[SUBSETS, &more, &seven]).mesh("http://web/")), "web.shop/v7 100");
}

#[test]
fn delegates_take_the_place_of_their_rule() {
    let root = rules(
        "  - match: [{uri: {prefix: /a}}]\n    delegate: {name: part}\n  - route: [{destination: {host: web, subset: v1}}]\n",
    );
    let part = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: part, namespace: shop}\n\
                spec:\n  http:\n  - match: [{uri: {prefix: /a/b}}]\n    route: [{destination: {host: web, subset: v2}}]\n  \
                - match: [{uri: {prefix: /z}}]\n    route: [{destination: {host: db}}]\n  \
                - route: [{destination: {host: web}}]\n    timeout: 3s\n";
    let asker = shop(&[SUBSETS, &root, part]);
    assert_eq!(told(&asker.mesh("http://web/a/b/c")), "web.shop/v2 100");
    assert_eq!(asker.mesh("http://web/a/x").timeout_ns, Some(3_000_000_000));
    assert_eq!(told(&asker.mesh("http://web/z")), "web.shop/v1 100");
    assert_eq!(told(&shop(&[SUBSETS, &root]).mesh("http://web/a/b")), "web.shop/v1 100");
}

#[test]
fn rewrites_headers_timeouts_retries_faults_and_mirrors_are_told() {
    let http = "
  - match: [{uri: {prefix: /api}}]
    rewrite: {uri: /v1, authority: new.example}
    timeout: 2s
    retries: {attempts: 3, perTryTimeout: 500ms, retryOn: '5xx,503,reset'}
    fault: {delay: {percentage: {value: 10}, fixedDelay: 5s}, abort: {percentage: {value: 0.5}, httpStatus: 500}}
    mirror: {host: web, subset: v2}
    mirrorPercentage: {value: 20}
    headers: {request: {set: {x-a: '1'}}, response: {remove: [server]}}
    route: [{destination: {host: web, subset: v1}, headers: {request: {add: {x-b: '2'}}}}]
  - match: [{uri: {regex: '/r/(.*)'}}]
    rewrite: {uriRegexRewrite: {match: '^/r/(\\w+)', rewrite: '/\\1/s'}}
    retries: {attempts: 0}
    route: [{destination: {host: web}}]
  - redirect: {uri: /new, authority: b.example, redirectCode: 302}
";
    let asker = shop(&[SUBSETS, &rules(http)]);
    let route = asker.mesh("http://web/api/x?q=1");
    let upstream = &route.destinations[0].request;
    assert_eq!((upstream.path.as_str(), upstream.authority.as_str()), ("/v1/x", "new.example"));
    assert_eq!(upstream.headers.get("x-a").as_deref(), Some("1"));
    assert_eq!(upstream.headers.get("x-b").as_deref(), Some("2"));
    assert_eq!(
        (route.timeout_ns, route.per_try_timeout_ns),
        (Some(2_000_000_000), Some(500_000_000))
    );
    let retries = route.retries.unwrap();
    assert_eq!(
        (retries.attempts, retries.codes, retries.on),
        (3, vec![503], vec!["5xx".into(), "reset".into()])
    );
    assert_eq!(
        (route.faults.len(), route.faults[0].delay_ns, route.faults[1].status),
        (2, Some(5_000_000_000), Some(500))
    );
    assert!(
        (route.faults[1].share - 0.005).abs() < 1e-9 && (route.mirrors[0].share - 0.2).abs() < 1e-9
    );
    assert_eq!(route.response_headers.remove, ["server"]);
    let regex = asker.mesh("http://web/r/abc/d");
    assert_eq!((regex.destinations[0].request.path.as_str(), regex.retries), ("/abc/s/d", None));
    let direct = asker.mesh("http://web/other?q=1").direct.unwrap();
    assert_eq!(
        (direct.status, direct.location.unwrap().url.as_str()),
        (302, "http://b.example/new?q=1")
    );
}

#[test]
fn preflights_are_answered_by_the_proxy() {
    let http = "
  - corsPolicy: {allowOrigins: [{exact: 'http://a.example'}], allowMethods: [GET], maxAge: 1h}
    route: [{destination: {host: web}}]
";
    let asker = shop(&[&rules(http)]);
    let headers = [("Origin", "http://a.example"), ("Access-Control-Request-Method", "GET")];
    let pairs: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let origin = Origin::Mesh { namespace: "shop".into(), workload: None, labels: Labels::new() };
    let route = asker.ask(origin, Request::to("OPTIONS", "http://web/", &pairs).unwrap());
    let direct = route.direct.unwrap();
    assert_eq!(
        (direct.status, direct.headers.get("access-control-max-age")),
        (200, Some("3600".into()))
    );
    assert_eq!(told(&asker.with("http://web/", &headers[..1])), "web.shop 100");
}

#[test]
fn connections_are_routed_by_port_and_server_name() {
    let service = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: l4, namespace: shop}\n\
                   spec:\n  hosts: [db, a.example]\n  tcp:\n  - match: [{port: 5432}]\n    route:\n    \
                   - {destination: {host: db}, weight: 90}\n    - {destination: {host: web, port: {number: 80}}, weight: 10}\n  \
                   tls:\n  - match: [{sniHosts: [a.example], port: 443}]\n    route: [{destination: {host: web, port: {number: 80}}}]\n";
    let asker = shop(&[service]);
    let route = asker.mesh("tcp://db:5432");
    assert_eq!(told(&route), "db.shop 90, web.shop 10");
    assert_eq!(route.rule.unwrap().rule, "tcp[0]");
    assert_eq!(told(&asker.mesh("https://a.example/")), "web.shop 100");
    assert_eq!(told(&asker.mesh("https://b.example/")), "b.example 100");
}

const GATEWAY: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: shop}
spec:
  selector: {istio: ingress}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*.example']}
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.example], tls: {mode: SIMPLE, credentialName: c}}
  - {port: {number: 8443, name: tls, protocol: TLS}, hosts: ['*'], tls: {mode: PASSTHROUGH}}
  - {port: {number: 81, name: http-r, protocol: HTTP}, hosts: ['*'], tls: {httpsRedirect: true}}
";

#[test]
fn a_gateway_serves_what_is_bound_to_it() {
    let bound = |name: &str, hosts: &str, http: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec:\n  hosts: {hosts}\n  gateways: [gw]\n  http:\n{http}"
        )
    };
    let all =
        bound("a", "[a.example, b.org]", "  - route: [{destination: {host: web, subset: v1}}]\n");
    let part = bound(
        "b",
        "[a.example]",
        "  - match: [{uri: {prefix: /b}}]\n    route: [{destination: {host: web, subset: v2}}]\n",
    );
    let asker = shop(&[SUBSETS, GATEWAY, &all, &part]);
    assert_eq!(told(&asker.gateway("http://a.example/")), "web.shop/v1 100");
    // The catch-all of the older one comes last.
    let merged = asker.gateway("http://a.example/b");
    assert_eq!(
        (told(&merged).as_str(), merged.listener.as_deref()),
        ("web.shop/v2 100", Some("shop/gw:80"))
    );
    assert_eq!(told(&asker.gateway("http://c.example/")), "404 NR");
    assert_eq!(told(&asker.gateway("http://b.org/")), "404 NR");
    assert_eq!(told(&asker.gateway("https://a.example/")), "web.shop/v1 100");
    assert_eq!(told(&asker.gateway("https://c.example/")), "0 NR");
    assert_eq!(told(&asker.gateway("http://a.example:8080/")), "0");
    let redirect = asker.gateway("http://a.example:81/x").direct.unwrap();
    assert_eq!(redirect.status, 301);
    assert!(redirect.location.unwrap().url.starts_with("https://a.example"));
    // Virtual services of a gateway do not count for sidecars.
    assert_eq!(told(&asker.mesh("http://a.example/")), "a.example 100");
}

#[test]
fn a_gateway_passes_tls_on_by_its_name() {
    let tls = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: t, namespace: shop}\n\
               spec:\n  hosts: [t.example]\n  gateways: [gw]\n  tls:\n  - match: [{sniHosts: [t.example], port: 8443}]\n    \
               route: [{destination: {host: web, port: {number: 80}}}]\n";
    let asker = shop(&[GATEWAY, tls]);
    assert_eq!(told(&asker.gateway("https://t.example:8443/")), "web.shop 100");
    assert_eq!(told(&asker.gateway("https://u.example:8443/")), "0 NR");
}

#[test]
fn hosts_of_a_gateway_may_be_of_one_namespace() {
    let gateway = GATEWAY.replace("'*.example'", "'other/*.example'");
    let bound = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a, namespace: NS}\n\
                 spec: {hosts: [a.example], gateways: [shop/gw], http: [{route: [{destination: {host: web}}]}]}\n";
    let ask = |namespace: &str| {
        told(&shop(&[&gateway, &bound.replace("NS", namespace)]).gateway("http://a.example/"))
    };
    assert_eq!((ask("other").as_str(), ask("shop").as_str()), ("web.other 100", "404 NR"));
}

#[test]
fn mutual_tls_that_does_not_fit_has_its_own_flags() {
    let strict = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a, namespace: shop}\n\
                  spec: {mtls: {mode: STRICT}}\n";
    let tls = |mode: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: t, namespace: shop}}\n\
             spec: {{host: web, trafficPolicy: {{tls: {{mode: {mode}}}}}}}\n"
        )
    };
    assert_eq!(told(&shop(&[strict]).mesh("http://web/")), "web.shop 100");
    let route = shop(&[strict, &tls("DISABLE")]).mesh("http://web/");
    assert_eq!(told(&route), "web.shop 100 503 UC");
    assert!(route.why[0].contains("STRICT (1.yaml:4)"), "{:?}", route.why);
    let bare =
        SHOP.replace("app: web, version", "sidecar.istio.io/inject: 'false', app: web, version");
    let asker = Asker { files: vec![bare, tls("ISTIO_MUTUAL")], ..shop(&[]) };
    assert_eq!(told(&asker.mesh("http://web/")), "web.shop 100 503 UF,URX");
    let port = strict.replace(
        "spec: {",
        "spec: {selector: {matchLabels: {app: web}}, portLevelMtls: {'80': {mode: DISABLE}}, ",
    );
    assert_eq!(told(&shop(&[&port, &tls("DISABLE")]).mesh("http://web/")), "web.shop 100");
}

#[test]
fn policies_deny_first_and_then_need_one_that_allows() {
    let policy = |name: &str, spec: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {spec}\n"
        )
    };
    let allow = policy(
        "allow",
        "{rules: [{from: [{source: {namespaces: [shop]}}], to: [{operation: {paths: ['/a*', '/t/{*}/x']}}]}]}",
    );
    let deny = policy("deny", "{action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]}");
    let custom = policy("ext", "{action: CUSTOM, provider: {name: p}, rules: [{}]}");
    let asker = shop(&[&allow, &deny]);
    assert_eq!(told(&asker.mesh("http://web/a/b")), "web.shop 100");
    assert_eq!(told(&asker.mesh("http://web/t/1/x")), "web.shop 100");
    let denied = asker.mesh("http://web/admin");
    assert!(
        told(&denied).contains("403") && denied.why[0].contains("shop/deny (2.yaml:4)"),
        "{:?}",
        denied.why
    );
    assert!(told(&asker.mesh("http://web/b")).contains("403"));
    assert!(told(&shop(&[&allow]).from("other", &[]).mesh("http://web.shop/a")).contains("403"));
    assert!(told(&shop(&[&policy("none", "{}")]).mesh("http://web/")).contains("403"));
    assert_eq!(told(&shop(&[&custom, &deny]).mesh("http://web/a")), "web.shop 100");
    assert!(told(&shop(&[&custom, &deny]).mesh("http://web/admin")).contains("403"));
}

#[test]
fn an_external_name_of_a_service_is_that_service() {
    let alias = "apiVersion: v1\nkind: Service\nmetadata: {name: alias, namespace: shop}\n\
                 spec: {type: ExternalName, externalName: web.shop.svc.cluster.local}\n";
    let rule = rules(
        "  - match: [{uri: {prefix: /a}}]\n    route: [{destination: {host: web, subset: v2}}]\n",
    )
    .replace("hosts: [web]", "hosts: [alias]");
    let asker = shop(&[alias, SUBSETS, &rule]);
    assert_eq!(told(&asker.mesh("http://alias/a")), "web.shop/v2 100");
    assert_eq!(told(&asker.mesh("http://web/a")), "web.shop 100");
    assert_eq!(told(&shop(&[alias]).mesh("http://alias/a")), "web.shop 100");
    let outside = alias
        .replace("web.shop.svc.cluster.local", "out.example}, ports: [{name: http, port: 80}]")
        .replace("]}", "]");
    let outside = outside.replace("out.example}", "out.example");
    assert_eq!(told(&shop(&[&format!("{outside}}}")]).mesh("http://alias/")), "alias.shop 100");
}

#[test]
fn a_client_without_a_proxy_knows_no_rules() {
    let rule = rules(
        "  - route: [{destination: {host: web, subset: v2}}]\n    fault: {abort: {percentage: {value: 100}, httpStatus: 500}}\n",
    );
    let bare = [("sidecar.istio.io/inject", "false")];
    let route = shop(&[SUBSETS, &rule]).from("shop", &bare).mesh("http://web/");
    assert_eq!(
        (told(&route).as_str(), route.retries, route.faults.len()),
        ("web.shop 100", None, 0)
    );
    let strict = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a, namespace: istio-system}\n\
                  spec: {mtls: {mode: STRICT}}\n";
    assert_eq!(
        told(&shop(&[strict]).from("shop", &bare).mesh("http://web/")).trim(),
        "web.shop 100 0"
    );
}

#[test]
fn an_address_is_the_entry_with_the_narrowest_range() {
    let entry = |name: &str, address: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{hosts: [{name}.example], addresses: ['{address}'], ports: [{{number: 9999, name: tcp, protocol: TCP}}]}}\n"
        )
    };
    let (wide, narrow) = (entry("a", "10.0.0.0/8"), entry("b", "10.1.0.0/16"));
    let asker = shop(&[&wide, &narrow]);
    assert_eq!(told(&asker.mesh("tcp://10.1.2.3:9999")), "b.example 100");
    assert_eq!(told(&asker.mesh("tcp://10.2.2.3:9999")), "a.example 100");
    assert_eq!(told(&asker.mesh("tcp://11.2.2.3:9999")), "11.2.2.3 100");
}

#[test]
fn of_several_protocols_on_a_port_the_first_gateway_counts() {
    let gateway = |name: &str, protocol: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{selector: {{istio: ingress}}, servers: [{{port: {{number: 80, name: p, protocol: {protocol}}}, hosts: ['*']}}]}}\n"
        )
    };
    let rule = rules("  - route: [{destination: {host: web}}]\n  gateways: [gw, a, z]\n")
        .replace("hosts: [web]", "hosts: ['*']");
    let first = shop(&[&gateway("a", "TCP"), &gateway("gw", "HTTP"), &rule]);
    assert_eq!(told(&first.gateway("http://x/")), "0 NR");
    let last = shop(&[&gateway("z", "TCP"), &gateway("gw", "HTTP"), &rule]);
    assert_eq!(told(&last.gateway("http://x/")), "web.shop 100");
}

#[test]
fn a_rule_of_another_port_is_no_rule() {
    let rule = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: p, namespace: other}\n\
                spec:\n  hosts: [web]\n  http:\n  - match: [{port: 9090}]\n    timeout: 1s\n    route: [{destination: {host: web}}]\n";
    let asker = shop(&[rule]).from("other", &[]);
    assert_eq!(asker.mesh("http://web:9090/").timeout_ns, Some(1_000_000_000));
    let plain = asker.mesh("http://web/");
    assert_eq!(
        (told(&plain).as_str(), plain.timeout_ns, plain.rule),
        ("web.other 100", None, None)
    );
}

#[test]
fn what_a_policy_excludes_is_excluded() {
    let policy = |rules: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: a, namespace: shop}}\n\
             spec: {{rules: [{rules}]}}\n"
        )
    };
    let refused = |rules: &str, url: &str| told(&shop(&[&policy(rules)]).mesh(url)).contains("403");
    let paths = "{to: [{operation: {notPaths: ['/admin*']}}]}";
    assert!(refused(paths, "http://web/admin/x") && !refused(paths, "http://web/x"));
    let namespaces = "{from: [{source: {notNamespaces: [shop]}}]}";
    assert!(refused(namespaces, "http://web/x"));
    let header = "{when: [{key: 'request.headers[x-a]', notValues: ['1']}]}";
    assert!(!refused(header, "http://web/x"));
    let ports = "{to: [{operation: {ports: ['80'], methods: [GET], hosts: ['WEB*']}}]}";
    assert!(!refused(ports, "http://web/x"));
    let account = "{from: [{source: {serviceAccounts: [default]}}]}";
    assert!(!refused(account, "http://web/x"));
    let other = "{from: [{source: {principals: ['cluster.local/ns/shop/sa/x']}}]}";
    assert!(refused(other, "http://web/x"));
}
