//! The harness on the given cases (read in place, skipped if they are not there) and on own ones.

use super::*;
use crate::manifest::tests::inputs;
use std::path::Path;

fn read(folder: &Path, prefix: &str, files: &mut Files) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            read(&entry.path(), &format!("{name}/"), files);
        } else if let Ok(bytes) = std::fs::read(entry.path()) {
            files.insert(name, bytes);
        }
    }
}

#[test]
fn the_given_cases_hold() {
    let Some(folder) = inputs("gateway-api-conformance") else { return };
    let mut files = Files::new();
    read(&folder, "", &mut files);
    let expectations = String::from_utf8(files["expectations.json"].clone()).unwrap();
    let report = run(&expectations, &files).unwrap();
    let failed: Vec<String> = report
        .lines
        .iter()
        .filter(|line| line.verdict == Verdict::Fail)
        .map(|line| format!("{}: {}", line.name, line.reason))
        .collect();
    assert_eq!(failed, [""; 0], "{report}");
    let passed = report.count(Verdict::Pass);
    assert!(passed * 100 >= report.lines.len() * 95, "{report}");
}

/// Two services and a gateway in `infra`, as the suite's base has them.
const BASE: &str = r"
apiVersion: v1
kind: Service
metadata: {name: infra-backend-v1, namespace: infra}
spec: {selector: {app: one}, ports: [{port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: infra-backend-v2, namespace: infra}
spec: {selector: {app: two}, ports: [{port: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: infra-backend-v1, namespace: infra}
spec: {template: {metadata: {labels: {app: one}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: infra-backend-v2, namespace: infra}
spec: {template: {metadata: {labels: {app: two}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: infra}
spec:
  gatewayClassName: any
  listeners:
  - {name: http, port: 80, protocol: HTTP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: tls, namespace: infra}
spec:
  gatewayClassName: any
  listeners:
  - {name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}
  - name: second
    port: 443
    hostname: second.example.org
    protocol: HTTPS
    tls: {certificateRefs: [{name: cert}]}
";

/// A service with two versions in `mesh`.
const MESH: &str = r"
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: mesh}
spec: {selector: {app: echo}, ports: [{name: http, port: 80}, {name: grpc, port: 7070}]}
---
apiVersion: v1
kind: Service
metadata: {name: echo-v1, namespace: mesh}
spec: {selector: {version: v1}, ports: [{name: http, port: 80}, {name: grpc, port: 7070}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo-v1, namespace: mesh}
spec: {template: {metadata: {labels: {app: echo, version: v1}}}}
";

fn route(kind: &str, spec: &str) -> String {
    let namespace = if spec.contains("kind: Service") { "mesh" } else { "infra" };
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\n\
         metadata: {{name: own, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

fn files(own: &str) -> Files {
    [
        ("base-manifests.yaml", BASE.to_owned()),
        ("mesh/mesh-base-manifests.yaml", MESH.to_owned()),
        ("own.yaml", own.to_owned()),
    ]
    .map(|(name, text)| (name.to_owned(), text.into_bytes()))
    .into()
}

/// The verdicts on cases with one manifest, a line each.
fn verdicts(features: &[&str], manifest: &str, own: &str, cases: &Value) -> Vec<String> {
    let description = "A Gateway should be ready";
    let test = serde_json::json!({"tests": [{
        "shortName": "T", "description": description, "manifests": [manifest],
        "features": features, "cases": cases,
    }]});
    let report = run(&test.to_string(), &files(own)).unwrap();
    report.lines.iter().map(|line| format!("{} {}", line.verdict.word(), line.reason)).collect()
}

fn outside(own: &str, cases: &Value) -> Vec<String> {
    verdicts(&["SupportGateway"], "own.yaml", own, cases)
}

fn starts(lines: &[String], wanted: &[&str]) {
    assert_eq!(lines.len(), wanted.len(), "{lines:?}");
    for (line, wanted) in lines.iter().zip(wanted) {
        assert!(line.starts_with(wanted), "{line}\nis not: {wanted}");
    }
}

const TO_ONE: &str =
    "{parentRefs: [{name: gw}], rules: [{backendRefs: [{name: infra-backend-v1, port: 8080}]}]}";

#[test]
fn constants_of_the_suite_stand_for_names() {
    let case = |backend: &str, namespace: &str| serde_json::json!({"Request": {"Path": "/"}, "Backend": backend, "Namespace": namespace});
    let cases = serde_json::json!([
        case("InfraBackendServiceNameV1", "infra"),
        case("confsuite.InfraBackendServiceNameV1", "ns"),
        case("InfraBackendServiceNameV2", "infra"),
        case("tt.backend", "infra"),
        case("expectedBackend", "infra"),
    ]);
    let lines = outside(&route("HTTPRoute", TO_ONE), &cases);
    let wanted = [
        "pass ",
        "pass ",
        "not-modelled no route of the manifests leads to infra-backend-v2: the test makes its own",
        "not-modelled `tt.backend` is in no manifest",
        "not-modelled `expectedBackend` is in no manifest",
    ];
    starts(&lines, &wanted);
}

#[test]
fn a_route_that_leads_astray_still_fails() {
    let spec = "{parentRefs: [{name: gw}], rules: [\
                {matches: [{path: {value: /two}}], backendRefs: [{name: infra-backend-v2, port: 8080}]},\
                {backendRefs: [{name: infra-backend-v1, port: 8080}]}]}";
    let cases = serde_json::json!([{"Request": {"Path": "/"}, "Backend": "infra-backend-v2"}]);
    starts(&outside(&route("HTTPRoute", spec), &cases), &["fail infra-backend-v2 is wanted"]);
}

#[test]
fn unknown_members_excuse_a_failure_and_are_told() {
    let cases = serde_json::json!([
        {"Request": {"Path": "/", "Wind": "north"}, "Backend": "infra-backend-v1"},
        {"Request": {"Path": "/"}, "Response": {"StatusCode": 404}, "Weather": {"a": [1]}},
        {"Request": {"Path": "/"}, "Response": {"StatusCode": 404}},
        {"Request": {"Path": "/"}, "Response": {"Body": "hello"}},
        {"Request": "req", "Backend": "infra-backend-v1"},
        {"Request": {"Path": "/"}, "Response": "tc.want"},
        {"Request": {"Path": "/"}, "MirroredTo": "mirrorPods"},
        {"color": "blue"},
        "tc",
    ]);
    let lines = outside(&route("HTTPRoute", TO_ONE), &cases);
    let wanted = [
        "pass HTTPRoute infra/own rules[0] (own.yaml:5): infra-backend-v1 100%; passed over: Request.Wind",
        "not-modelled Weather is not understood",
        "fail [404] is wanted",
        "not-modelled `Response.Body`",
        "not-modelled `req` is a variable",
        "not-modelled `tc.want` is a variable",
        "not-modelled `mirrorPods` is a variable",
        "not-modelled the case has no request, its members are color",
        "not-modelled the case is no struct",
    ];
    starts(&lines, &wanted);
}

#[test]
fn a_hello_that_the_case_does_not_name_is_guessed() {
    let spec = "{parentRefs: [{name: tls, sectionName: second}], rules: [\
                {backendRefs: [{name: infra-backend-v1, port: 8080}]}]}";
    let case = |host: &str, status: u16| serde_json::json!({"Request": {"Host": host, "Path": "/"}, "Response": {"StatusCode": status}});
    let cases = serde_json::json!([
        {"Request": {"Host": "second.example.org", "Path": "/"}, "Backend": "infra-backend-v1"},
        case("second.example.org", 404),
        case("other.example.org", 404),
        case("second.example.org", 500),
    ]);
    let own = route("HTTPRoute", spec);
    let lines = outside(&own, &cases);
    starts(&lines, &["pass ", "pass ", "pass ", "fail "]);
    assert!(lines[1].ends_with("the TLS hello names no host"), "{lines:?}");
    // Where the test is about misdirected requests, 404 is wrong.
    let features = ["SupportGateway", "SupportGatewayHTTPSListenerDetectMisdirectedRequests"];
    let cases =
        serde_json::json!([case("second.example.org", 404), case("second.example.org", 421)]);
    starts(&verdicts(&features, "own.yaml", &own, &cases), &["fail ", "pass "]);
}

#[test]
fn variables_that_the_manifests_settle_are_filled_in() {
    let spec = "{parentRefs: [{name: gw}], hostnames: [abc.example.com], rules: [{\
                filters: [{type: CORS, cors: {allowOrigins: ['https://app.example'], \
                allowCredentials: true}}], backendRefs: [{name: infra-backend-v1, port: 8080}]}]}";
    let cases = serde_json::json!([
        {"Request": {"Host": "serverStr", "Path": "/"}, "Backend": "infra-backend-v1"},
        {
            "Request": {"Host": "abc.example.com", "Path": "/", "Headers": {"Origin": "origin"}},
            "Response": {"Headers": {
                "Access-Control-Allow-Origin": "origin", "Access-Control-Allow-Credentials": "true",
            }},
        },
    ]);
    let lines = outside(&route("HTTPRoute", spec), &cases);
    starts(&lines, &["pass ", "pass "]);
    assert!(lines[0].ends_with("`serverStr` is taken to be abc.example.com"), "{lines:?}");
    assert!(lines[1].contains("`origin` is taken to be https://app.example"), "{lines:?}");
}

#[test]
fn rows_of_a_table_are_read_as_structs() {
    let spec = "{parentRefs: [{kind: Service, group: '', name: echo, port: 7070}], rules: [{\
                matches: [{headers: [{name: x-test-case, value: set}]}], \
                filters: [{type: RequestHeaderModifier, requestHeaderModifier: \
                {set: [{name: x-set, value: new}], remove: [x-gone]}}], \
                backendRefs: [{name: echo-v1, port: 7070}]}]}";
    let row = |value: &str, header: &str| {
        serde_json::json!({
            "name": "n", "client": "clientV1", "matchHeaderValue": value, "targetHost": "echo-v1",
            "headers": {"x-set": "old", "x-gone": "1"},
            "expectedHeaders": {"x-test-case": "set", "x-set": header},
            "absentHeaders": ["x-gone"],
        })
    };
    let inner = serde_json::json!({"name": "n", "expected": {
        "Request": {"Host": "host", "Protocol": "grpc", "Headers": {"x-test-case": "set"}},
        "Backend": "echo.MeshAppEchoV1",
    }});
    let cases =
        serde_json::json!([row("set", "new"), row("set", "old"), row("other", "new"), inner]);
    let lines = verdicts(&["SupportMesh"], "own.yaml", &route("GRPCRoute", spec), &cases);
    let wanted = [
        "pass ",
        "fail x-set: old is wanted",
        "not-modelled matchHeaderValue is not under",
        "pass ",
    ];
    starts(&lines, &wanted);
}

#[test]
fn mirrors_of_grpc_are_compared() {
    let spec = |filters: &str| {
        format!(
            "{{parentRefs: [{{name: gw}}], rules: [{{filters: [{filters}], \
             backendRefs: [{{name: infra-backend-v1, port: 8080}}]}}]}}"
        )
    };
    let mirror =
        "{type: RequestMirror, requestMirror: {backendRef: {name: infra-backend-v2, port: 8080}}}";
    let cases = serde_json::json!([{
        "EchoRequest": [], "Backend": "infra-backend-v1",
        "MirroredTo": [{"BackendRef": {"Name": "InfraBackendServiceNameV2", "Namespace": "infra"}}],
    }]);
    starts(&outside(&route("GRPCRoute", &spec(mirror)), &cases), &["pass "]);
    starts(&outside(&route("GRPCRoute", &spec("")), &cases), &["fail 1 mirrors are wanted"]);
}

#[test]
fn manifests_may_be_named_from_the_suite_s_root() {
    let cases = serde_json::json!([{"Request": {"Path": "/"}, "Backend": "infra-backend-v1"}]);
    let own = route("HTTPRoute", TO_ONE);
    let lines = verdicts(&["SupportGateway"], "tests/own.yaml", &own, &cases);
    starts(&lines, &["pass "]);
}

#[test]
fn conditions_that_no_description_names_are_not_judged() {
    let test = |description: &str, own: &str| {
        let test = serde_json::json!({"tests": [{
            "shortName": "T", "description": description, "manifests": ["own.yaml"],
            "features": ["SupportGateway"], "cases": [],
        }]});
        let report = run(&test.to_string(), &files(own)).unwrap();
        report.lines[0].verdict
    };
    let astray = route(
        "HTTPRoute",
        "{parentRefs: [{name: gw}], rules: [{backendRefs: [{name: gone, port: 1}]}]}",
    );
    let gateway = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
                   metadata: {name: own, namespace: infra}\nspec: {gatewayClassName: any, listeners: \
                   [{name: a, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: Odd}]}}]}\n";
    assert_eq!(test("An HTTPRoute of two listeners", &astray), Verdict::NotModelled);
    assert_eq!(test("An HTTPRoute should fail to attach", &astray), Verdict::Pass);
    assert_eq!(test("A Gateway should fail to become ready", gateway), Verdict::Pass);
    assert_eq!(
        test("A Gateway should fail to become ready", &route("HTTPRoute", TO_ONE)),
        Verdict::Fail
    );
    let good = gateway.replace("{kinds: [{kind: Odd}]}", "{}") + &astray;
    assert_eq!(test("A Gateway should handle listeners", &good), Verdict::Pass);
}

#[test]
fn odd_values_never_panic() {
    let good = serde_json::json!({
        "Request": {"Host": "a.b", "Path": "/", "Method": "GET", "Headers": {"Origin": "x"}},
        "ExpectedRequest": {"Request": {"Path": "/", "Headers": {"A": "b"}}, "AbsentHeaders": ["C"]},
        "RedirectRequest": {"Scheme": "https", "Port": "8443"},
        "Response": {"StatusCode": 200, "Headers": {"A": ["b"]}, "ValidHeaderValues": {"A": ["b"]}},
        "RequestMetadata": {"Authority": "a", "Metadata": {"A": "b"}},
        "MirroredTo": [{"BackendRef": {"Name": "n", "Namespace": "m"}, "Percent": "new(int32,20)"}],
        "args": {"path": "/", "retrySimulationConfig": {"succeedAfter": ["2"], "delayRetry": ["1s"]}},
        "want": {"StatusCodes": [200]}, "Backend": "b", "Namespace": "n", "matchHeaderValue": "v",
        "headers": {"a": "b"}, "path": "/",
    });
    let odd = [
        serde_json::json!(null),
        serde_json::json!(-1.5e300),
        serde_json::json!(""),
        serde_json::json!("http.Ipv6SafeHost(v2.Address) + \":8080\"\n\tä"),
        serde_json::json!([[], {}, null]),
        serde_json::json!({"Request": {"/": {"": []}}}),
        serde_json::json!(true),
    ];
    let mut cases = vec![good.clone()];
    let mut places = vec![String::new()];
    let mut at = 0;
    while at < places.len() {
        let place = places[at].clone();
        if let Some(Value::Object(map)) = good.pointer(&place) {
            places.extend(map.keys().map(|name| format!("{place}/{name}")));
        }
        for value in &odd {
            let mut case = good.clone();
            *case.pointer_mut(&place).unwrap() = value.clone();
            cases.push(case.clone());
            for gone in ["Request", "args"] {
                if let Value::Object(map) = &mut case {
                    map.remove(gone);
                }
                cases.push(case.clone());
            }
        }
        at += 1;
    }
    for features in [["SupportGateway"], ["SupportMesh"]] {
        let count = cases.len();
        let cases = Value::Array(cases.clone());
        let lines = verdicts(&features, "own.yaml", &route("HTTPRoute", TO_ONE), &cases);
        assert_eq!(lines.len(), count);
    }
}
