//! What Linkerd's documentation promises for its own examples (read in place, skipped if absent).

use super::{Mesh, short};
use std::fmt::Write as _;
use std::path::PathBuf;

/// The folder of samples.
pub(super) fn samples() -> Option<PathBuf> {
    crate::manifest::tests::inputs("linkerd-samples")
}

/// A block of the documentation; those that are shell commands lose what is not YAML.
pub(super) fn block(name: &str) -> Option<String> {
    let text = std::fs::read_to_string(samples()?.join("docs").join(name)).ok()?;
    let is_shell = |line: &&str| line.contains("<<EOF") || *line == "EOF";
    Some(text.lines().filter(|line| !is_shell(line)).fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "{line}");
        all
    }))
}

/// Meshed Deployments and Services with these names and ports, in one namespace.
fn around(namespace: &str, services: &[(&str, u16)]) -> String {
    let mut text = format!(
        "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}, annotations: {{linkerd.io/inject: enabled}}}}\n"
    );
    for (name, port) in services {
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             spec: {{selector: {{app: {name}}}, ports: [{{port: {port}, targetPort: service}}]}}\n\
             ---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
             selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    \
             metadata: {{labels: {{app: {name}, project: booksapp}}}}\n    \
             spec: {{serviceAccountName: {name}, containers: [{{name: c, ports: [{{name: service, containerPort: 7000}}, {{containerPort: {port}}}]}}]}}\n"
        );
    }
    text
}

/// Documentation blocks, the services around them, who asks what, and the promised answer.
type Case = (
    &'static [&'static str],
    &'static str,
    &'static [(&'static str, u16)],
    &'static str,
    &'static str,
    &'static str,
);

const BOOKS: &[(&str, u16)] = &[
    ("books", 7002),
    ("error-injector", 8080),
    ("authors", 7001),
    ("webapp", 7000),
    ("traffic", 1),
];
const PODINFO: &[(&str, u16)] = &[("backend-a-podinfo", 9898), ("backend-b-podinfo", 9898)];
const FACES: &[(&str, u16)] = &[("smiley", 80), ("smiley2", 80)];
const POLICY: &[&str] = &[
    "2-edge_configuring-per-route-policy_1.yaml",
    "2-edge_configuring-per-route-policy_2.yaml",
    "2-edge_configuring-per-route-policy_3.yaml",
    "2-edge_configuring-per-route-policy_4.yaml",
    "2-edge_configuring-per-route-policy_5.yaml",
    "2-edge_configuring-per-route-policy_6.yaml",
];

const CASES: &[Case] = &[
    (
        &["2-edge_traffic-shifting_1.yaml"],
        "traffic-shift-demo",
        &[("bb", 8080), ("bb-v2", 8080)],
        "bb",
        "GET http://bb:8080/",
        "90% bb:8080, 10% bb-v2:8080",
    ),
    (
        &["2-edge_traffic-shifting_2.yaml"],
        "traffic-shift-demo",
        &[("bb", 8080), ("bb-v2", 8080)],
        "bb",
        "GET http://bb:8080/",
        "100% bb-v2:8080",
    ),
    (
        &["2-edge_fault-injection_1.yaml"],
        "booksapp",
        BOOKS,
        "webapp",
        "GET http://books:7002/books.json",
        "90% books:7002, 10% error-injector:8080",
    ),
    (
        &["2-edge_configuring-dynamic-request-routing_1.yaml"],
        "test",
        PODINFO,
        "backend-b-podinfo",
        "GET http://backend-a-podinfo:9898/",
        "100% backend-a-podinfo:9898",
    ),
    (
        &["2-edge_configuring-dynamic-request-routing_1.yaml"],
        "test",
        PODINFO,
        "backend-b-podinfo",
        "GET http://backend-a-podinfo:9898/ x-request-id=alternative",
        "100% backend-b-podinfo:9898",
    ),
    (
        &["2-edge_httproute_2.yaml"],
        "faces",
        FACES,
        "smiley2",
        "GET http://smiley/ x-faces-user=testuser",
        "100% smiley2:80",
    ),
    (
        &["2-edge_httproute_2.yaml"],
        "faces",
        FACES,
        "smiley2",
        "GET http://smiley/",
        "100% smiley:80",
    ),
    (
        &["2-edge_flagger_1.yaml"],
        "test",
        &[("podinfo", 9898), ("loadtester", 80)],
        "loadtester",
        "GET http://podinfo:9898/",
        "50% podinfo-stable:9898, 50% podinfo-canary:9898",
    ),
    (
        &["2-edge_linkerd-smi_1.yaml"],
        "trafficsplit-sample",
        &[("backend-svc", 8080), ("failing-svc", 8080)],
        "failing-svc",
        "GET http://backend-svc:8080/",
        "50% backend-svc:8080, 50% failing-svc:8080",
    ),
    (
        &["2-edge_automatic-failover_1.yaml"],
        "emojivoto",
        &[("web-svc", 80), ("web-svc-east", 80)],
        "web-svc-east",
        "GET http://web-svc/",
        "100% web-svc:80",
    ),
    (
        &["2-edge_automatic-failover_1.yaml"],
        "emojivoto",
        &[("web-svc-east", 80)],
        "web-svc-east",
        "GET http://web-svc/",
        "0",
    ),
    (
        &["2-edge_multicluster_1.yaml"],
        "test",
        &[("podinfo", 9898), ("podinfo-east", 9898)],
        "podinfo-east",
        "GET http://podinfo:9898/",
        "50% podinfo:9898, 50% podinfo-east:9898",
    ),
    (
        &["2-edge_books_1.yaml"],
        "booksapp",
        BOOKS,
        "webapp",
        "GET http://books:7002/books.json",
        "100% books:7002",
    ),
    (&["2-edge_books_1.yaml"], "booksapp", BOOKS, "webapp", "GET http://books:7002/other", "404"),
    (
        &["2-edge_egress-network_1.yaml"],
        "linkerd-egress",
        &[("client", 80)],
        "client",
        "GET https://httpbin.org/",
        "100% httpbin.org:443",
    ),
    (
        &["2-edge_egress-network_1.yaml"],
        "linkerd-egress",
        &[("client", 80)],
        "client",
        "GET https://example.org/",
        "0",
    ),
    (
        &["2-edge_egress-network_1.yaml"],
        "linkerd-egress",
        &[("client", 80)],
        "client",
        "GET http://httpbin.org/",
        "403",
    ),
    (
        &["2-edge_managing-egress-traffic_1.yaml"],
        "egress-test",
        &[("client", 80)],
        "client",
        "GET http://httpbin.org/ip",
        "100% httpbin.org:80",
    ),
    (
        &["2-edge_managing-egress-traffic_1.yaml", "2-edge_managing-egress-traffic_3.yaml"],
        "egress-test",
        &[("client", 80), ("internal-egress", 80)],
        "client",
        "GET http://httpbin.org/get",
        "100% internal-egress:80",
    ),
    (
        POLICY,
        "booksapp",
        BOOKS,
        "books",
        "GET http://authors:7001/authors.json",
        "100% authors:7001",
    ),
    (
        POLICY,
        "booksapp",
        BOOKS,
        "traffic",
        "GET http://authors:7001/authors.json",
        "100% authors:7001 (403)",
    ),
    (POLICY, "booksapp", BOOKS, "traffic", "GET http://authors:7001/ping", "100% authors:7001"),
    (
        POLICY,
        "booksapp",
        BOOKS,
        "webapp",
        "DELETE http://authors:7001/authors/1",
        "100% authors:7001",
    ),
    (
        POLICY,
        "booksapp",
        BOOKS,
        "books",
        "DELETE http://authors:7001/authors/1",
        "100% authors:7001 (403)",
    ),
    (
        POLICY,
        "booksapp",
        BOOKS,
        "books",
        "GET http://authors:7001/metrics",
        "100% authors:7001 (404)",
    ),
];

#[test]
fn examples_of_the_documentation_do_what_it_says() {
    if samples().is_none() {
        return super::skipped();
    }
    for (blocks, namespace, services, from, request, expected) in CASES {
        let around = around(namespace, services);
        let texts: Vec<(&str, String)> =
            blocks.iter().map(|name| (*name, block(name).unwrap_or_default())).collect();
        let mut files: Vec<(&str, &str)> = vec![("around.yaml", &around)];
        files.extend(texts.iter().map(|(name, text)| (*name, text.as_str())));
        let mesh = Mesh::of(&files);
        let answer = mesh.ask(&format!("{namespace}/{from}"), request);
        assert_eq!(short(&answer), *expected, "{blocks:?} {request}\n{answer}");
    }
}

#[test]
fn retries_timeouts_and_limits_of_the_documentation() {
    if samples().is_none() {
        return super::skipped();
    }
    let ask = |name: &str, services: &[(&str, u16)], namespace: &str, request: &str| {
        let (around, text) = (around(namespace, services), block(name).unwrap_or_default());
        Mesh::of(&[("around.yaml", &around), (name, &text)]).ask(namespace, request)
    };
    let schlep: &[(&str, u16)] = &[("schlep", 80)];
    let http = ask("2-edge_retries_1.yaml", schlep, "schlep", "GET http://schlep/");
    let retries = http.retries.unwrap();
    assert_eq!((retries.attempts, retries.on.join(",")), (2, "500-599".into()));
    assert_eq!(http.per_try_timeout_ns, Some(300_000_000));
    let grpc: &[(&str, u16)] = &[("schlep", 8080)];
    let grpc =
        ask("2-edge_retries_2.yaml", grpc, "schlep", "POST http://schlep:8080/schlep.Schlep/Get");
    assert_eq!(grpc.retries.unwrap().on, ["grpc 13"]);
    let timeouts = ask("2-edge_timeouts_1.yaml", schlep, "schlep", "GET http://schlep/");
    assert_eq!(timeouts.timeout_ns, Some(2_000_000_000));
    assert!(timeouts.notes[0].contains("within 1s"), "{:?}", timeouts.notes);
    let profile =
        ask("2.15_books_1.yaml", BOOKS, "booksapp", "POST http://webapp:7000/books/1/edit");
    assert_eq!(profile.rule.unwrap().rule, "route POST /books/{id}/edit");
}
