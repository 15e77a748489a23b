//! One broken manifest a code, its finding with line and column, and a mend after which it is gone.

use crate::manifest::lint::calls::Calls;
use crate::manifest::loaded::Loaded;

/// A manifest, what is found (`CODE line:column: words`), and the mend: words and their replacement.
struct Case {
    text: &'static str,
    found: &'static str,
    mend: (&'static str, &'static str),
}

const HOUR_NS: u64 = 3_600_000_000_000;

/// Three services that call each other in a row.
const SHOP: &str = "apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: shop}
spec: {selector: {app: front}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: stock, namespace: shop}
spec: {selector: {app: stock}, ports: [{name: http, port: 80}]}
---
";

fn lint(text: &str, calls: &Calls, outage_ns: Option<u64>) -> Vec<String> {
    let loaded = Loaded::read([("a.yaml", text.as_bytes())]);
    assert_eq!(loaded.manifests.findings.problems, [], "{text}");
    let found = loaded.lint_with(calls, outage_ns);
    for finding in &found {
        assert!(!finding.why.is_empty() && !finding.fix.is_empty(), "{finding:?}");
        assert!(finding.place.line > 0 && finding.place.column > 0, "{finding:?}");
    }
    let line = |finding: &crate::manifest::lint::Finding| {
        let place = &finding.place;
        format!("{} {}:{}: {}", finding.code, place.line, place.column, finding.what)
    };
    found.iter().map(line).collect()
}

fn row(names: &[&str]) -> Calls {
    let name = |name: &str| ("shop".to_owned(), name.to_owned());
    names.windows(2).map(|pair| (name(pair[0]), vec![(name(pair[1]), 1.0)])).collect()
}

fn judge(cases: &[Case], before: &str, calls: &Calls, outage_ns: Option<u64>) {
    for Case { text, found, mend: (from, to) } in cases {
        let broken = format!("{before}{text}");
        let code = found.split(' ').next().unwrap();
        let lines = lint(&broken, calls, outage_ns);
        assert!(lines.iter().any(|line| line == found), "{found}: {lines:#?}");
        assert!(text.contains(from), "{found}: nothing to mend");
        let mended = lint(&format!("{before}{}", text.replace(from, to)), calls, outage_ns);
        assert!(!mended.iter().any(|line| line.starts_with(code)), "{found}: {mended:#?}");
    }
}

const MISTAKES_OF_CALLS: &[Case] = &[
    Case {
        text: "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
  http:
  - route: [{destination: {host: cart}}]
    retries:
      attempts: 3
      retryOn: 5xx
",
        found: "MSH0106 28:7: one request to front can become 12 tries at stock: front to cart 4 tries (a.yaml:28), \
                    cart to stock 3 tries (default)",
        mend: ("5xx", "connect-failure"),
    },
    Case {
        text: "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
  http: [{timeout: 1s, route: [{destination: {host: cart}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: stock, namespace: shop}
spec:
  hosts: [stock]
  http:
  - route: [{destination: {host: stock}}]
    timeout: 3s
",
        found: "MSH0107 34:14: cart to stock may take 3s; front gives cart up after 1s (a.yaml:25)",
        mend: ("3s", "800ms"),
    },
    Case {
        text: "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
  http: [{timeout: 1s, route: [{destination: {host: cart}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: stock, namespace: shop}
spec:
  hosts: [stock]
  http:
  - route: [{destination: {host: stock}}]
    retries: {attempts: 2, perTryTimeout: 500ms}
",
        found: "MSH0108 34:14: cart to stock may take 3 tries of 500ms; front gives cart up after 1s (a.yaml:25)",
        mend: ("500ms", "300ms"),
    },
    Case {
        text: "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
  http: [{timeout: 1s, route: [{destination: {host: cart}}]}]
",
        found: "MSH0109 17:18: cart to stock has no timeout; front gives cart up after 1s (a.yaml:25)",
        mend: ("timeout: 1s, ", ""),
    },
];

#[test]
fn each_mistake_of_calls_is_found() {
    let calls = row(&["front", "cart", "stock"]);
    judge(MISTAKES_OF_CALLS, SHOP, &calls, None);
    for case in MISTAKES_OF_CALLS {
        let lines = lint(&format!("{SHOP}{}", case.text), &Calls::new(), None);
        let code = case.found.split(' ').next().unwrap();
        assert!(!lines.iter().any(|line| line.starts_with(code)), "nobody calls: {lines:#?}");
    }
}

/// A circle of calls ends, and gRPC's default policy tries answers again.
#[test]
fn circles_end_and_grpc_multiplies_by_itself() {
    let grpc = SHOP.replace("name: http", "name: grpc");
    let lines = lint(&grpc, &row(&["front", "cart", "stock"]), None);
    assert!(lines.iter().all(|line| !line.starts_with("MSH0106")), "9 are few: {lines:#?}");
    let more = grpc
        + "apiVersion: v1\nkind: Service\nmetadata: {name: last, namespace: shop}\n\
                       spec: {selector: {app: last}, ports: [{name: grpc, port: 80}]}\n";
    let lines = lint(&more, &row(&["front", "cart", "stock", "last"]), None);
    let all: Vec<&String> = lines.iter().filter(|line| line.starts_with("MSH0106")).collect();
    assert_eq!(all.len(), 1, "{lines:#?}");
    assert!(all[0].contains("can become 27 tries at last"), "{all:?}");
    let mut circle = row(&["front", "cart", "stock", "last"]);
    circle.insert(
        ("shop".to_owned(), "last".to_owned()),
        vec![(("shop".to_owned(), "front".to_owned()), 1.0)],
    );
    assert!(!lint(&more, &circle, None).is_empty());
}

/// Linkerd's annotations count where the caller has its proxy.
#[test]
fn linkerds_retries_multiply_too() {
    let text = SHOP
        .replace("labels: {istio-injection: enabled}", "annotations: {linkerd.io/inject: enabled}")
        .replace("cart, namespace: shop}", "cart, namespace: shop, annotations: {retry.linkerd.io/http: 5xx, retry.linkerd.io/limit: '3', timeout.linkerd.io/request: 1s}}")
        .replace("stock, namespace: shop}", "stock, namespace: shop, annotations: {retry.linkerd.io/http: 5xx, retry.linkerd.io/limit: '3', timeout.linkerd.io/request: 2s}}");
    let pods = ["front", "cart"].map(|name| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}\n\
             spec: {{containers: [{{name: a, image: a}}]}}\n---\n"
        )
    });
    let lines = lint(&(text.clone() + &pods.concat()), &row(&["front", "cart", "stock"]), None);
    let words =
        ["MSH0106 12:", "can become 16 tries at stock", "MSH0107 17:", "cart to stock may take 2s"];
    for words in words {
        assert!(lines.iter().any(|line| line.contains(words)), "{words}: {lines:#?}");
    }
}

#[test]
fn gateways_without_the_meshs_limit_are_found() {
    let cases = [Case {
        text: "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
  http: [{timeout: 1s, route: [{destination: {host: cart}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: outside, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [edge]
  http:
  - route:
    - destination: {host: cart}
",
        found: "MSH0110 35:27: requests from the gateway to cart have no timeout; those of the mesh have 1s \
                (VirtualService shop/cart, a.yaml:25)",
        mend: (
            "gateways: [edge]\n  http:\n  - route",
            "gateways: [edge]\n  http:\n  - timeout: 1s\n    route",
        ),
    }];
    judge(&cases, SHOP, &Calls::new(), None);
}

const ISTIOD: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system}
spec:
  replicas: 2
  selector: {matchLabels: {app: istiod}}
  template:
    metadata: {labels: {app: istiod}}
    spec:
      containers:
      - name: discovery
        env: [{name: MAX_WORKLOAD_CERT_TTL, value: 48h}]
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
";

#[test]
fn certificates_are_held_against_an_outage() {
    let cases = [
        Case {
            text: "apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |-
    defaultConfig:
      proxyMetadata:
        SECRET_TTL: 10h
",
            found: "MSH0111 25:21: certificates live 10h; without istiod the first runs out after 4h54m, the last \
                    after 10h: 8h are longer",
            mend: ("10h", "20h"),
        },
        Case {
            text: "apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: a, namespace: shop}
spec:
  environmentVariables:
    SECRET_TTL: 72h
",
            found: "MSH0112 23:17: a life of 72h is asked for, istiod signs 48h at most",
            mend: ("72h", "30h"),
        },
        Case {
            text: "apiVersion: v1
kind: Pod
metadata:
  name: a
  annotations:
    proxy.istio.io/config: '{proxyMetadata: {SECRET_TTL: 1h}}'
spec: {containers: [{name: a, image: a}]}
",
            found: "",
            mend: ("1h", "23h"),
        },
    ];
    judge(&cases[..2], ISTIOD, &Calls::new(), Some(8 * HOUR_NS));
    let of = |text: &str, outage| -> Vec<String> {
        let lines = lint(&format!("{ISTIOD}{text}"), &Calls::new(), outage);
        lines.into_iter().filter(|line| line.starts_with("MSH0111")).collect()
    };
    assert_eq!(of("", Some(11 * HOUR_NS)), [""; 0]);
    let default = "MSH0111 3:18: certificates live 24h; without istiod the first runs out after 11h45m36s, the \
                   last after 24h: 12h are longer";
    assert_eq!(of("", Some(12 * HOUR_NS)), [default]);
    assert_eq!(of("", None), [""; 0], "a day is no finding by itself");
    assert!(of(cases[2].text, None)[0].starts_with("MSH0111 23:28: certificates live 1h;"));
}

#[test]
fn linkerds_certificates_are_held_against_an_outage() {
    let text = "apiVersion: v1
kind: Namespace
metadata: {name: shop, annotations: {linkerd.io/inject: enabled}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop}, spec: {containers: [{name: a, image: a}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: linkerd-identity, namespace: linkerd}
spec:
  replicas: 3
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec:
      containers:
      - name: identity
        args:
        - identity
        - -identity-issuance-lifetime=24h0m0s
        - -identity-clock-skew-allowance=20s
";
    let of = |text: &str, hours: u64| -> Vec<String> {
        let lines = lint(text, &Calls::new(), Some(hours * HOUR_NS));
        lines.into_iter().filter(|line| line.starts_with("MSH0111")).collect()
    };
    assert_eq!(of(text, 7), [""; 0], "0.3 of 24 h 20 s are 7.2 h");
    let found = of(text, 8);
    assert!(found[0].starts_with("MSH0111 20:11: certificates live 24h20s;"), "{found:?}");
    assert_eq!(of(&text.replace("24h0m0s", "48h"), 8), [""; 0]);
    let budget = "---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: b, namespace: linkerd}\n\
                  spec: {maxUnavailable: 1, selector: {matchLabels: {app: a}}}\n";
    let alone = "MSH0105 9:18: linkerd-identity has no PodDisruptionBudget".to_owned();
    assert!(
        lint(text, &Calls::new(), None).contains(&alone),
        "{:#?}",
        lint(text, &Calls::new(), None)
    );
    assert!(!lint(&format!("{text}{budget}"), &Calls::new(), None).contains(&alone));
}

/// A deployment of two with all that is needed, behind a service.
const GOOD: &str = "apiVersion: v1
kind: Service
metadata: {name: a}
spec: {selector: {app: a}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  replicas: 2
  selector: {matchLabels: {app: a}}
  strategy:
    rollingUpdate: {maxUnavailable: 50%}
  template:
    metadata: {labels: {app: a, sidecar.istio.io/inject: 'true'}}
    spec:
      affinity: {podAntiAffinity: {}}
      containers:
      - name: a
        image: a
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: 8080}}
        livenessProbe: {httpGet: {path: /, port: 8080}, failureThreshold: 6}
        lifecycle: {preStop: {sleep: {seconds: 5}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: a}
spec: {selector: {matchLabels: {app: a}}, minAvailable: 1}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: a}
spec: {scaleTargetRef: {kind: Deployment, name: a}, minReplicas: 2, maxReplicas: 4}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a]
  http:
  - match: [{method: {exact: GET}}]
    route: [{destination: {host: a}}]
    retries: {attempts: 2, retryOn: 'gateway-error,connect-failure'}
";

#[test]
fn each_mistake_of_a_rollout_is_found() {
    let own = |text: &str| -> Vec<String> {
        let lines = lint(text, &Calls::new(), None);
        lines.into_iter().filter(|line| line.starts_with("MSH")).collect()
    };
    assert_eq!(own(GOOD), [""; 0]);
    let cases = [
        (
            "affinity: {podAntiAffinity: {}}",
            "affinity: {}",
            "MSH0113 10:13: all 2 replicas may run on one node",
        ),
        (
            "maxUnavailable: 50%",
            "maxUnavailable: 100%",
            "MSH0114 13:37: an update may stop all pods at once",
        ),
        (
            "rollingUpdate: {maxUnavailable: 50%}",
            "type: Recreate",
            "MSH0114 13:11: an update stops all pods before new ones start",
        ),
        (
            "minAvailable: 1",
            "minAvailable: 60%",
            "MSH0115 29:57: none of 2 pods may be taken away: a drain waits for ever",
        ),
        (
            "minAvailable: 1",
            "maxUnavailable: 0",
            "MSH0115 29:59: none of 2 pods may be taken away: a drain waits for ever",
        ),
        ("minReplicas: 2, ", "", "MSH0116 33:18: a behind a may shrink to one replica"),
        ("minReplicas: 2", "minReplicas: 1", "MSH0116 34:66: a behind a may shrink to one replica"),
        (
            "failureThreshold: 6",
            "failureThreshold: 3",
            "MSH0117 23:24: a is killed after 30 s of failed probes, and only left alone after 30 s",
        ),
        (
            "readinessProbe",
            "startupProbe",
            "MSH0118 19:9: a has no readiness probe: it gets requests at once",
        ),
        (
            "lifecycle: {preStop: {sleep: {seconds: 5}}}",
            "lifecycle: {}",
            "MSH0119 19:9: the app ends at once when its pod stops, while requests still come",
        ),
        (
            "exact: GET",
            "exact: POST",
            "MSH0120 44:14: requests of any method are tried again on gateway-error",
        ),
    ];
    for (from, to, found) in cases {
        let broken = GOOD.replace(from, to);
        assert_ne!(broken, GOOD, "{from}");
        assert_eq!(own(&broken), [found], "{to}");
    }
}

#[test]
fn a_control_plane_of_one_is_found() {
    let of = |text: &str| -> Vec<String> {
        let lines = lint(text, &Calls::new(), None);
        lines.into_iter().filter(|line| line.starts_with("MSH0121")).collect()
    };
    assert_eq!(of(ISTIOD), [""; 0]);
    let one = ISTIOD.replace("replicas: 2", "replicas: 1");
    assert_eq!(of(&one), ["MSH0121 5:13: the control plane may have one replica only"]);
    let scaler = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: istiod, namespace: istio-system}\n\
                  spec: {scaleTargetRef: {kind: Deployment, name: istiod}, minReplicas: MIN, maxReplicas: 5}\n";
    let with = |min: &str| format!("{ISTIOD}{}", scaler.replace("MIN", min));
    assert_eq!(of(&with("1")).len(), 1, "the autoscaler's floor counts, not the replicas");
    assert_eq!(of(&with("2")), [""; 0]);
}

/// Real files, with calls from each service to the next: whatever is found has a place.
#[test]
fn real_files_are_judged() {
    let mut all = 0;
    for folder in ["istio-samples", "linkerd-samples"] {
        let Some(folder) = crate::manifest::tests::inputs(folder) else { return };
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(&folder).unwrap();
            let paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
            folders.extend(paths.iter().filter(|path| path.is_dir()).cloned());
            let files = paths.iter().filter(|path| path.is_file());
            let texts: Vec<(String, Vec<u8>)> = files
                .map(|path| (path.display().to_string(), std::fs::read(path).unwrap()))
                .collect();
            let texts = texts.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
            let loaded = Loaded::read(texts);
            let names: Vec<_> = loaded.cluster.services.keys().cloned().collect();
            let calls: Calls = names
                .windows(2)
                .map(|pair| (pair[0].clone(), vec![(pair[1].clone(), 1.0)]))
                .collect();
            let found = loaded.lint_with(&calls, Some(HOUR_NS * 30));
            assert!(found.iter().all(|finding| finding.place.line > 0), "{found:?}");
            all += found.len();
        }
    }
    assert!(all > 100, "{all}");
}

/// A gateway beside the control plane is a single point for everybody outside.
#[test]
fn a_single_gateway_is_found() {
    let gateway = GOOD
        .replace("metadata: {name: a}", "metadata: {name: a, namespace: istio-system}")
        .replace("replicas: 2", "replicas: 1")
        .replace("HorizontalPodAutoscaler", "Other")
        .replace("autoscaling/v2", "other/v1");
    let lines = lint(&gateway, &Calls::new(), None);
    assert!(
        lines.contains(&"MSH0103 10:13: one replica behind the service a".to_owned()),
        "{lines:#?}"
    );
}
