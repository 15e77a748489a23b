//! Broken Istio manifests, one mistake each: what is told, and where.

use crate::manifest::istio::Istio;
use crate::manifest::kubernetes::Cluster;
use crate::manifest::object::Manifests;

/// The problems and warnings of one object with this spec, which starts in line 5.
fn told(kind: &str, spec: &str) -> Vec<String> {
    let group = match kind {
        "PeerAuthentication" | "AuthorizationPolicy" | "RequestAuthentication" => "security",
        "Telemetry" => "telemetry",
        _ => "networking",
    };
    let text = format!(
        "apiVersion: {group}.istio.io/v1\nkind: {kind}\nmetadata: {{name: a, namespace: b}}\nspec:\n{spec}"
    );
    let mut manifests = Manifests::read([("a.yaml", text.as_bytes())]);
    let cluster = Cluster::of(&mut manifests);
    let _ = Istio::of(&mut manifests, &cluster);
    let findings = &manifests.findings;
    let line = |problem: &crate::plan::problem::Problem| {
        let place = problem.place.as_ref().unwrap();
        format!("{}:{} {}", place.line, place.column, problem.what)
    };
    findings.problems.iter().chain(&findings.warnings).map(line).collect()
}

/// Kind, spec, what is told (its beginning).
const BROKEN: &[(&str, &str, &str)] = &[
    (
        "VirtualService",
        "  hosts: [a b]\n  http: [{route: [{destination: {host: a}}]}]\n",
        "5:11 `a b` is no valid host name",
    ),
    (
        "VirtualService",
        "  hosts: [http://a]\n  http: [{route: [{destination: {host: a}}]}]\n",
        "5:11 `http://a` is no valid host name",
    ),
    (
        "VirtualService",
        "  hosts: [a.*.com]\n  http: [{route: [{destination: {host: a}}]}]\n",
        "5:11 `a.*.com` is no valid host name",
    ),
    (
        "VirtualService",
        "  hosts: ['*']\n  http: [{route: [{destination: {host: a}}]}]\n",
        "5:11 wildcard host * is not allowed",
    ),
    (
        "VirtualService",
        "  hosts: [a, a]\n  http: [{route: [{destination: {host: a}}]}]\n",
        "5:14 duplicate host `a`",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n",
        "5:3 `VirtualService.spec`: http, tcp or tls must be provided",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  gateways: [a/b/c]\n  http: [{route: [{destination: {host: a}}]}]\n",
        "6:14 `a/b/c` is no name of a gateway",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http: [{name: x}]\n",
        "6:10 HTTP route, redirect or direct_response is required",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http: [{route: [{destination: {host: a}, weight: -1}]}]\n",
        "6:52 weight -1 < 0",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http: [{route: [{destination: {host: a}}, {destination: {host: b}}]}]\n",
        "6:18 total destination weight = 0",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http: [{route: [{weight: 1}]}]\n",
        "6:19 `VirtualService.spec.http[0].route[0]` has no `destination`",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http: [{route: [{destination: {}}]}]\n",
        "6:33 `VirtualService.spec.http[0].route[0].destination` has no `host`",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http: [{route: [{destination: {host: '*'}}]}]\n",
        "6:40 invalid destination host *",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http: [{route: [{destination: {host: a, port: {number: 70000}}}]}]\n",
        "6:58 `VirtualService.spec.http[0].route[0].destination.port.number` must be from 1 to 65535",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http: [{route: [{destination: {host: a, subset: V_1}}]}]\n",
        "6:51 subset name is invalid: `V_1`",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http:\n  - timeout: 100us\n    route: [{destination: {host: a}}]\n",
        "7:14 `VirtualService.spec.http[0].timeout` must be a valid duration greater than 1ms",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http:\n  - timeout: 10\n    route: [{destination: {host: a}}]\n",
        "7:14 `VirtualService.spec.http[0].timeout` is a duration: it needs a unit",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http:\n  - timeout: 1500us\n    route: [{destination: {host: a}}]\n",
        "7:14 `VirtualService.spec.http[0].timeout` is finer than 1ms",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http:\n  - retries: {attempts: -1}\n    route: [{destination: {host: a}}]\n",
        "7:25 attempts cannot be negative",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http:\n  - retries: {attempts: 2, retryOn: 'connect-failur'}\n    route: [{destination: {host: a}}]\n",
        "7:37 `connect-failur` is not a valid retryOn policy",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http:\n  - retries: {perTryTimeout: 1s}\n    route: [{destination: {host: a}}]\n",
        "7:14 http retry policy configured when attempts are set to 0",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http:\n  - match: [{uri: {regex: '/a(?!b)'}}]\n    route: [{destination: {host: a}}]\n",
        "7:27 `VirtualService.spec.http[0].match[0].uri.regex` is no regular expression",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http:\n  - match: [{uri: {exact: /a, prefix: /b}}]\n    route: [{destination: {host: a}}]\n",
        "7:19 `VirtualService.spec.http[0].match[0].uri` must have only one of exact, prefix, regex",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http:\n  - match: [{headers: {'a b': {exact: x}}}]\n    route: [{destination: {host: a}}]\n",
        "7:31 `a b` is no name of a header",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http:\n  - match: [{uri: {prefx: /a}}]\n    route: [{destination: {host: a}}]\n",
        "7:20 `VirtualService.spec.http[].match[].uri` has no field `prefx`",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http:\n  - redirect: {uri: /a}\n    route: [{destination: {host: a}}]\n",
        "8:12 HTTP route cannot contain both route and redirect",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http: [{redirect: {redirectCode: 400, uri: /a}}]\n",
        "6:36 redirectCode 400 must be one of",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http: [{redirect: {}}]\n",
        "6:21 redirect must specify URI, authority, scheme, or port",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http: [{directResponse: {status: 99}}]\n",
        "6:36 `VirtualService.spec.http[0].directResponse.status` must be from 200 to 599",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http:\n  - fault: {delay: {percentage: {value: 101}, fixedDelay: 1s}}\n    route: [{destination: {host: a}}]\n",
        "7:41 `VirtualService.spec.http[0].fault.delay.percentage.value` must be from 0 to 100",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http:\n  - fault: {}\n    route: [{destination: {host: a}}]\n",
        "7:12 HTTP fault injection must have an abort and/or a delay",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http:\n  - rewrite: {uri: /a, uriRegexRewrite: {match: a, rewrite: b}}\n    route: [{destination: {host: a}}]\n",
        "7:41 `VirtualService.spec.http[0].rewrite` cannot contain both",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http:\n  - rewrite: {authority: x}\n    headers: {request: {set: {host: z}}}\n    route: [{destination: {host: a}}]\n",
        "8:14 authority header cannot be set multiple times",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http:\n  - delegate: {name: x}\n    route: [{destination: {host: a}}]\n",
        "8:12 root HTTP route `` must not specify route",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  http:\n  - corsPolicy: {allowMethods: [get]}\n    route: [{destination: {host: a}}]\n",
        "7:33 `get` is not a supported HTTP method",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  tls: [{match: [{port: 443}], route: [{destination: {host: a}}]}]\n",
        "6:18 `VirtualService.spec.tls[0].match[0]` must have at least one SNI host",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  tls: [{match: [{sniHosts: [b]}], route: [{destination: {host: a}}]}]\n",
        "6:30 SNI host `b` is not one of the virtual service's hosts",
    ),
    (
        "VirtualService",
        "  hosts: [a]\n  exportTo: ['*', x]\n  http: [{route: [{destination: {host: a}}]}]\n",
        "6:14 `exportTo` has `*` or `~` besides others",
    ),
    (
        "VirtualService",
        "  host: [a]\n  http: [{route: [{destination: {host: a}}]}]\n",
        "5:3 `VirtualService.spec` has no field `host`",
    ),
    ("DestinationRule", "  trafficPolicy: {}\n", "5:3 `DestinationRule.spec` has no `host`"),
    (
        "DestinationRule",
        "  host: a\n  trafficPolicy: {loadBalancer: {simple: ROUNDROBIN}}\n",
        "6:42 `DestinationRule.spec.trafficPolicy.loadBalancer.simple` has no value `ROUNDROBIN`",
    ),
    (
        "DestinationRule",
        "  host: a\n  trafficPolicy: {connectionPool: {}}\n",
        "6:35 connection pool must have at least one field",
    ),
    (
        "DestinationRule",
        "  host: a\n  trafficPolicy: {connectionPool: {tcp: {maxConnections: -1}}}\n",
        "6:58 `DestinationRule.spec.trafficPolicy.connectionPool.tcp.maxConnections` must be from 0",
    ),
    (
        "DestinationRule",
        "  host: a\n  trafficPolicy: {outlierDetection: {maxEjectionPercent: 101}}\n",
        "6:58 `DestinationRule.spec.trafficPolicy.outlierDetection.maxEjectionPercent` must be from 0 to 100",
    ),
    (
        "DestinationRule",
        "  host: a\n  trafficPolicy: {outlierDetection: {interval: 0s}}\n",
        "6:48 `DestinationRule.spec.trafficPolicy.outlierDetection.interval` must be a valid duration greater than 1ms",
    ),
    (
        "DestinationRule",
        "  host: a\n  trafficPolicy: {tls: {mode: MUTUAL, privateKey: k}}\n",
        "6:24 client certificate required for mutual tls",
    ),
    (
        "DestinationRule",
        "  host: a\n  trafficPolicy: {loadBalancer: {consistentHash: {}}}\n",
        "6:50 consistentHash needs exactly one key to hash",
    ),
    (
        "DestinationRule",
        "  host: a\n  trafficPolicy: {loadBalancer: {localityLbSetting: {distribute: [{from: x, to: {y: 90}}]}}}\n",
        "6:81 total locality weight 90 != 100",
    ),
    (
        "DestinationRule",
        "  host: a\n  subsets: [{name: v1}, {name: v1}]\n",
        "6:25 subset `v1` is given twice",
    ),
    (
        "DestinationRule",
        "  host: a\n  subsets: [{labels: {version: v1}}]\n",
        "6:13 `DestinationRule.spec.subsets[0]` has no `name`",
    ),
    ("Gateway", "  servers: []\n", "5:3 gateway must have at least one server"),
    (
        "Gateway",
        "  servers: [{port: {number: 80, name: a, protocol: HTP}, hosts: ['*']}]\n",
        "5:52 `HTP` is no protocol",
    ),
    (
        "Gateway",
        "  servers: [{port: {number: 443, name: a, protocol: HTTPS}, hosts: ['*']}]\n",
        "5:13 server must have TLS settings for HTTPS protocol",
    ),
    (
        "Gateway",
        "  servers: [{port: {number: 80, name: a, protocol: HTTP}}]\n",
        "5:13 server config must contain at least one host",
    ),
    (
        "Gateway",
        "  servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: [a/b/c]}]\n",
        "5:67 `a/b/c` is no host of a gateway",
    ),
    (
        "Gateway",
        "  servers: [{port: {number: 443, name: a, protocol: HTTPS}, hosts: [a], tls: {mode: SIMPLE}}]\n",
        "5:78 SIMPLE TLS requires a server certificate",
    ),
    ("Sidecar", "  egress: [{hosts: [a.com]}]\n", "5:21 `a.com` must be namespace/host"),
    (
        "Sidecar",
        "  egress: [{port: {number: 80}}]\n",
        "5:12 `Sidecar.spec.egress[0]` has no `hosts`",
    ),
    (
        "PeerAuthentication",
        "  mtls: {mode: STRICTER}\n",
        "5:16 `PeerAuthentication.spec.mtls.mode` has no value `STRICTER`",
    ),
    (
        "AuthorizationPolicy",
        "  rules: [{from: []}]\n",
        "5:18 `AuthorizationPolicy.spec.rules[0].from` cannot be empty",
    ),
    (
        "AuthorizationPolicy",
        "  rules: [{to: [{operation: {ports: ['0']}}]}]\n",
        "5:38 `0` is no port",
    ),
    (
        "AuthorizationPolicy",
        "  rules: [{when: [{key: source.namespac, values: [a]}]}]\n",
        "5:25 unknown attribute `source.namespac`",
    ),
    (
        "AuthorizationPolicy",
        "  action: CUSTOM\n  rules: [{}]\n",
        "5:3 `provider.name` must not be empty",
    ),
    ("AuthorizationPolicy", "  action: DENY\n", "5:3 a DENY policy without rules denies nothing"),
    (
        "AuthorizationPolicy",
        "  rules: [{from: [{source: {ipBlocks: [a.b]}}]}]\n",
        "5:40 `a.b` is no address range",
    ),
    (
        "Telemetry",
        "  tracing: [{randomSamplingPercentage: 101}]\n",
        "5:40 `Telemetry.spec.tracing[0].randomSamplingPercentage` must be from 0 to 100",
    ),
];

#[test]
fn each_mistake_is_told_where_it_is() {
    let mut wrong = Vec::new();
    for (kind, spec, expected) in BROKEN {
        let found = told(kind, spec);
        if found.len() != 1 || !found[0].starts_with(expected) {
            let hit = found.iter().any(|line| line.starts_with(expected));
            // A second remark on the same mistake is no fault here; a missing one is.
            if !hit || found.len() > 3 {
                wrong.push(format!("{kind} {spec:?}\n  expected {expected}\n  told {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), BROKEN.len(), wrong.join("\n"));
}
