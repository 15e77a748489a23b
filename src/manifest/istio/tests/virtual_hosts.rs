//! Which virtual service counts for a host and port: a table of clients, rules and visible hosts.
//!
//! The facts are those of istio/istio `pilot/pkg/networking/core/sidecar_simulation_test.go`
//! (`TestSidecarRoutes`): three known services with the ports 80 and 8080, rules of several namespaces.

use crate::manifest::istio::Istio;
use crate::manifest::istio::mesh::{Mesh, Release};
use crate::manifest::kubernetes::Cluster;
use crate::manifest::object::{Labels, Manifests};
use crate::manifest::route::request::Request;
use crate::manifest::route::{Origin, Query};
use std::fmt::Write as _;

/// Namespace, hosts, destination, when made, port of the match, port of the destination.
type Rule = (&'static str, &'static [&'static str], &'static str, u32, u16, u16);

struct Case {
    name: &'static str,
    client: &'static str,
    rules: &'static [Rule],
    egress: &'static [&'static str],
    /// Host and port, and where a request for them goes; `-` is out of the mesh, unchanged.
    asked: &'static [(&'static str, u16, &'static str)],
}

const KNOWN: &str = "known.default.svc.cluster.local";
const ALT: &str = "alt-known.default.svc.cluster.local";

const CASES: &[Case] = &[
    Case {
        name: "a known host",
        client: "default",
        rules: &[("default", &[KNOWN], ALT, 1, 0, 0)],
        egress: &[],
        asked: &[
            (KNOWN, 80, "alt-known:80"),
            (KNOWN, 8080, "alt-known:8080"),
            (ALT, 80, "alt-known:80"),
        ],
    },
    Case {
        name: "an unknown host is served on 80 only",
        client: "default",
        rules: &[(
            "default",
            &["foo.default.svc.cluster.local"],
            "foo.default.svc.cluster.local",
            1,
            0,
            0,
        )],
        egress: &[],
        asked: &[
            ("foo.default.svc.cluster.local", 80, "foo.default.svc.cluster.local:80"),
            ("foo.default.svc.cluster.local", 8080, "-"),
        ],
    },
    Case {
        name: "not even with a match on 8080",
        client: "default",
        rules: &[(
            "default",
            &["foo.default.svc.cluster.local"],
            "foo.default.svc.cluster.local",
            1,
            8080,
            8080,
        )],
        egress: &[],
        asked: &[("foo.default.svc.cluster.local", 8080, "-")],
    },
    Case {
        name: "a rule of the service's namespace",
        client: "not-default",
        rules: &[("default", &[KNOWN], ALT, 1, 0, 0)],
        egress: &[],
        asked: &[(KNOWN, 80, "alt-known:80"), (KNOWN, 8080, "alt-known:8080")],
    },
    Case {
        name: "a rule of the client's namespace",
        client: "not-default",
        rules: &[("not-default", &[KNOWN], ALT, 1, 0, 0)],
        egress: &[],
        asked: &[(KNOWN, 80, "alt-known:80")],
    },
    Case {
        name: "a rule of any namespace",
        client: "not-default",
        rules: &[("arbitrary", &[KNOWN], ALT, 1, 0, 0)],
        egress: &[],
        asked: &[(KNOWN, 8080, "alt-known:8080")],
    },
    Case {
        name: "the oldest wins, wherever it is",
        client: "not-default",
        rules: &[
            ("arbitrary", &[KNOWN], "old.example.com", 1, 0, 0),
            ("default", &[KNOWN], "default.example.com", 2, 0, 0),
            ("not-default", &[KNOWN], "new.example.com", 3, 0, 0),
        ],
        egress: &[],
        asked: &[(KNOWN, 80, "old.example.com:80"), (KNOWN, 8080, "old.example.com:8080")],
    },
    Case {
        name: "a wildcard of unknown hosts",
        client: "default",
        rules: &[("default", &["*.unknown.example.com"], "to.example.com", 1, 0, 0)],
        egress: &[],
        asked: &[
            (KNOWN, 80, "known:80"),
            ("a.unknown.example.com", 80, "to.example.com:80"),
            ("a.unknown.example.com", 8080, "-"),
        ],
    },
    Case {
        name: "a wildcard over known hosts",
        client: "default",
        rules: &[("default", &["*.cluster.local"], "to.example.com", 1, 0, 0)],
        egress: &["*/*.cluster.local"],
        asked: &[(KNOWN, 80, "to.example.com:80"), (ALT, 80, "to.example.com:80")],
    },
    Case {
        name: "the explicit host before an older wildcard",
        client: "default",
        rules: &[
            ("default", &["*.cluster.local"], "wild.example.com", 1, 0, 0),
            ("default", &[KNOWN], "explicit.example.com", 2, 0, 0),
        ],
        egress: &[],
        asked: &[(ALT, 80, "wild.example.com:80"), (KNOWN, 80, "explicit.example.com:80")],
    },
    Case {
        name: "the explicit host before a newer wildcard",
        client: "default",
        rules: &[
            ("default", &["*.cluster.local"], "wild.example.com", 2, 0, 0),
            ("default", &[KNOWN], "explicit.example.com", 1, 0, 0),
        ],
        egress: &[],
        asked: &[(ALT, 80, "wild.example.com:80"), (KNOWN, 80, "explicit.example.com:80")],
    },
    Case {
        name: "a wildcard that the egress only meets",
        client: "default",
        rules: &[
            ("default", &["*.cluster.local"], "wild.example.com", 1, 0, 0),
            ("default", &[KNOWN], "explicit.example.com", 2, 0, 0),
        ],
        egress: &[
            "default/known.default.svc.cluster.local",
            "default/alt-known.default.svc.cluster.local",
        ],
        asked: &[(ALT, 80, "wild.example.com:80"), (KNOWN, 80, "explicit.example.com:80")],
    },
    Case {
        name: "a wildcard of a namespace that the egress leaves out",
        client: "default",
        rules: &[
            ("not-default", &["*.cluster.local"], "wild.example.com", 1, 0, 0),
            ("default", &[KNOWN], "explicit.example.com", 2, 0, 0),
        ],
        egress: &[
            "default/known.default.svc.cluster.local",
            "default/alt-known.default.svc.cluster.local",
        ],
        asked: &[(ALT, 80, "alt-known:80"), (KNOWN, 80, "explicit.example.com:80")],
    },
    Case {
        name: "unknown hosts, explicit and wildcard",
        client: "default",
        rules: &[
            ("default", &["*.tld"], "wild.example.com", 1, 0, 0),
            ("default", &["example.tld"], "explicit.example.com", 2, 0, 0),
        ],
        egress: &[],
        asked: &[
            (KNOWN, 80, "known:80"),
            ("a.tld", 80, "wild.example.com:80"),
            ("example.tld", 80, "explicit.example.com:80"),
        ],
    },
    Case {
        name: "an explicit host in a wide egress",
        client: "default",
        rules: &[(
            "default",
            &["arbitrary.svc.cluster.local"],
            "arbitrary.svc.cluster.local",
            1,
            0,
            0,
        )],
        egress: &["*/*.cluster.local"],
        asked: &[("arbitrary.svc.cluster.local", 80, "arbitrary.svc.cluster.local:80")],
    },
    Case {
        name: "a wildcard rule in a narrow egress",
        client: "default",
        rules: &[("default", &["*.cluster.local"], "to.example.com", 1, 0, 0)],
        egress: &["*/known.default.svc.cluster.local"],
        asked: &[(KNOWN, 80, "to.example.com:80")],
    },
    Case {
        name: "a wildcard of outside hosts in a narrow egress",
        client: "default",
        rules: &[("default", &["*.example.org"], "to.example.com", 1, 0, 0)],
        egress: &["*/explicit.example.org", "*/alt-known.default.svc.cluster.local"],
        asked: &[
            (KNOWN, 80, "-"),
            (ALT, 80, "alt-known:80"),
            ("a.example.org", 80, "to.example.com:80"),
        ],
    },
    Case {
        name: "an egress of one namespace",
        client: "not-default",
        rules: &[
            ("not-default", &["*.default.svc.cluster.local"], "to.example.com", 1, 0, 0),
            (
                "default",
                &["explicit.default.svc.cluster.local"],
                "explicit.default.svc.cluster.local",
                1,
                0,
                0,
            ),
        ],
        egress: &[
            "not-default/*.default.svc.cluster.local",
            "not-default/not-default.not-default.svc.cluster.local",
        ],
        asked: &[
            ("a.default.svc.cluster.local", 80, "to.example.com:80"),
            ("not-default.not-default.svc.cluster.local", 80, "not-default:80"),
        ],
    },
    Case {
        name: "a rule alone makes no listener",
        client: "default",
        rules: &[("default", &["foo.default.svc.cluster.local"], "example.com", 1, 0, 0)],
        egress: &["*/foo.default.svc.cluster.local"],
        asked: &[("foo.default.svc.cluster.local", 80, "-")],
    },
    Case {
        name: "a rule of two hosts of which one is seen",
        client: "default",
        rules: &[("default", &[KNOWN, ALT], "example.com", 1, 0, 0)],
        egress: &["*/known.default.svc.cluster.local"],
        asked: &[(KNOWN, 80, "example.com:80"), (ALT, 80, "example.com:80")],
    },
];

fn manifests(case: &Case) -> String {
    let mut text = String::new();
    for (namespace, name) in
        [("default", "known"), ("default", "alt-known"), ("not-default", "not-default")]
    {
        let _ = writeln!(
            text,
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             spec: {{ports: [{{port: 80, name: http}}, {{port: 8080, name: http-alt}}]}}"
        );
    }
    for (index, (namespace, hosts, to, age, matched, port)) in case.rules.iter().enumerate() {
        let condition =
            if *matched == 0 { String::new() } else { format!("match: [{{port: {matched}}}], ") };
        let port = if *port == 0 { String::new() } else { format!(", port: {{number: {port}}}") };
        let _ = writeln!(
            text,
            "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
             metadata: {{name: r{index}, namespace: {namespace}, creationTimestamp: '202{age}-01-01T00:00:00Z'}}\n\
             spec: {{hosts: {hosts:?}, http: [{{{condition}route: [{{destination: {{host: {to}{port}}}}}]}}]}}"
        );
    }
    if !case.egress.is_empty() {
        let _ = writeln!(
            text,
            "---\napiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: s, namespace: {}}}\n\
             spec: {{egress: [{{hosts: {:?}}}]}}",
            case.client, case.egress
        );
    }
    text
}

#[test]
fn hosts_get_the_rules_that_istio_gives_them() {
    let mut wrong = Vec::new();
    for case in CASES {
        let text = manifests(case);
        let mut manifests = Manifests::read([("a.yaml", text.as_bytes())]);
        let cluster = Cluster::of(&mut manifests);
        let istio = Istio::of(&mut manifests, &cluster);
        assert_eq!(manifests.findings.problems, [], "{}", case.name);
        let mesh = Mesh::of(&cluster, &istio, &manifests.sources, Release::default());
        for (host, port, expected) in case.asked {
            let request = Request::to("GET", &format!("http://{host}:{port}/"), &[]).unwrap();
            let namespace = case.client.to_owned();
            let from = Origin::Mesh { namespace, workload: None, labels: Labels::new() };
            let route = mesh.route(&Query { from, request });
            let found = match route.destinations.first() {
                Some(to)
                    if to.service == *host && route.rule.is_none() && to.namespace.is_empty() =>
                {
                    "-".to_owned()
                }
                Some(to) => format!("{}:{}", to.service, to.port),
                None => route.to_string(),
            };
            if found != *expected {
                wrong
                    .push(format!("{}: {host}:{port} expected {expected}, got {found}", case.name));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}
