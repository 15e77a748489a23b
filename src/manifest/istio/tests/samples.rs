//! Real files: Istio's samples, read in place; skipped with a note where they are absent.

use crate::manifest::findings::Findings;
use crate::manifest::istio::Istio;
use crate::manifest::istio::mesh::{Mesh, Release};
use crate::manifest::kubernetes::Cluster;
use crate::manifest::object::{Labels, Manifests};
use crate::manifest::route::request::Request;
use crate::manifest::route::{Origin, Query, Route};
use crate::manifest::tests::inputs;
use std::path::{Path, PathBuf};

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.extension().is_some_and(|end| end == "yaml") {
            found.push(path);
        }
    }
    found.sort();
}

/// The samples' folder, or nothing with a note.
fn samples() -> Option<PathBuf> {
    inputs("istio-samples/samples")
}

struct Read {
    manifests: Manifests,
    cluster: Cluster,
    istio: Istio,
}

fn read(paths: &[PathBuf]) -> Read {
    let texts: Vec<(String, Vec<u8>)> = paths
        .iter()
        .map(|path| (path.display().to_string(), std::fs::read(path).unwrap()))
        .collect();
    let files = texts.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    let mut manifests = Manifests::read(files);
    let cluster = Cluster::of(&mut manifests);
    let istio = Istio::of(&mut manifests, &cluster);
    Read { manifests, cluster, istio }
}

impl Read {
    fn findings(&self) -> &Findings {
        &self.manifests.findings
    }

    fn ask(&self, from: Origin, url: &str, headers: &[(String, String)]) -> Route {
        let sources = &self.manifests.sources;
        let mesh = Mesh::of(&self.cluster, &self.istio, sources, Release::default());
        let request = Request::to("GET", url, headers).unwrap();
        mesh.route(&Query { from, request })
    }
}

#[test]
fn every_sample_is_read_without_a_problem_or_silence() {
    let Some(folder) = samples() else { return };
    let mut paths = Vec::new();
    files_below(&folder, &mut paths);
    assert!(paths.len() > 80, "{}", paths.len());
    let mut problems = Vec::new();
    for path in paths {
        let made = read(std::slice::from_ref(&path));
        problems.extend(made.findings().problems.iter().map(ToString::to_string));
        problems.extend(made.findings().warnings.iter().map(ToString::to_string));
    }
    assert_eq!(problems, [""; 0]);
}

/// `v1 80 v2 20`: what a client in the mesh gets for a service of Bookinfo.
fn split(made: &Read, service: &str, port: u16, user: Option<&str>) -> String {
    let headers: Vec<_> =
        user.map(|user| ("end-user".to_owned(), user.to_owned())).into_iter().collect();
    let labels = Labels::from([("app".to_owned(), "productpage".to_owned())]);
    let from = Origin::Mesh { namespace: "default".to_owned(), workload: None, labels };
    let route = made.ask(from, &format!("http://{service}:{port}/"), &headers);
    let one = |to: &crate::manifest::route::Destination| {
        let failure =
            to.failure.as_ref().map_or(String::new(), |f| format!(" {}{}", f.status, f.flag));
        let name = to.subset.clone().unwrap_or_else(|| "all".to_owned());
        format!("{name} {}{failure}", (to.share * 100.0).round())
    };
    let mut words: Vec<String> = route.destinations.iter().map(one).collect();
    for fault in &route.faults {
        let delay = fault.delay_ns.map(|ns| format!("delay {}s", ns / 1_000_000_000));
        let status = fault.status.map(|status| format!("abort {status}"));
        words.extend(delay.into_iter().chain(status));
        words.push(format!("for {}", (fault.share * 100.0).round()));
    }
    words.join(" ")
}

/// What Istio's documentation promises of each file (tasks "Request routing", "Fault injection",
/// "Traffic shifting"; the comments of the files): service, user, split.
const PROMISED: &[(&str, &str, Option<&str>, &str)] = &[
    ("virtual-service-all-v1", "reviews", None, "v1 100"),
    ("virtual-service-all-v1", "ratings", None, "v1 100"),
    ("virtual-service-all-v1", "details", None, "v1 100"),
    ("virtual-service-all-v1", "productpage", None, "v1 100"),
    ("virtual-service-reviews-test-v2", "reviews", Some("jason"), "v2 100"),
    ("virtual-service-reviews-test-v2", "reviews", None, "v1 100"),
    ("virtual-service-reviews-50-v3", "reviews", None, "v1 50 v3 50"),
    ("virtual-service-reviews-80-20", "reviews", None, "v1 80 v2 20"),
    ("virtual-service-reviews-90-10", "reviews", None, "v1 90 v2 10"),
    ("virtual-service-reviews-v3", "reviews", None, "v3 100"),
    ("virtual-service-reviews-v2-v3", "reviews", None, "v2 50 v3 50"),
    ("virtual-service-reviews-jason-v2-v3", "reviews", Some("jason"), "v2 100"),
    ("virtual-service-reviews-jason-v2-v3", "reviews", Some("anna"), "v3 100"),
    ("virtual-service-ratings-test-abort", "ratings", Some("jason"), "v1 100 abort 500 for 100"),
    ("virtual-service-ratings-test-abort", "ratings", None, "v1 100"),
    ("virtual-service-ratings-test-delay", "ratings", Some("jason"), "v1 100 delay 7s for 100"),
    ("virtual-service-ratings-test-delay", "ratings", None, "v1 100"),
    ("virtual-service-details-v2", "details", None, "v2 100"),
    ("virtual-service-ratings-db", "ratings", None, "v2 100"),
    ("virtual-service-ratings-db", "reviews", None, "v3 100"),
    ("virtual-service-ratings-mysql", "ratings", None, "v2-mysql 100"),
    ("virtual-service-ratings-mysql", "reviews", None, "v3 100"),
    ("virtual-service-ratings-mysql-vm", "ratings", None, "v2-mysql-vm 100"),
    ("virtual-service-ratings-mysql-vm", "reviews", None, "v3 100"),
    // Its own destination rule has no subset v2, and its fault is for everybody.
    ("fault-injection-details-v1", "details", None, "v1 100 abort 555 for 100"),
    ("destination-rule-reviews", "reviews", None, "all 100"),
    ("destination-rule-all-mtls", "reviews", None, "all 100"),
];

#[test]
fn bookinfo_splits_as_the_documentation_promises() {
    let Some(folder) = samples() else { return };
    let book = folder.join("bookinfo");
    let kube = [
        "bookinfo",
        "bookinfo-details-v2",
        "bookinfo-ratings-v2",
        "bookinfo-ratings-v2-mysql",
        "bookinfo-ratings-v2-mysql-vm",
    ];
    for (file, service, user, promised) in PROMISED {
        let mut paths: Vec<PathBuf> =
            kube.iter().map(|name| book.join(format!("platform/kube/{name}.yaml"))).collect();
        if !file.starts_with("destination-rule") && *file != "fault-injection-details-v1" {
            paths.push(book.join("networking/destination-rule-all.yaml"));
        }
        paths.push(book.join(format!("networking/{file}.yaml")));
        let made = read(&paths);
        assert_eq!(split(&made, service, 9080, *user), *promised, "{file} {service}");
    }
}

#[test]
fn bookinfo_is_reached_from_outside() {
    let Some(folder) = samples() else { return };
    let book = folder.join("bookinfo");
    let paths =
        [book.join("platform/kube/bookinfo.yaml"), book.join("networking/bookinfo-gateway.yaml")];
    let made = read(&paths);
    let ask = |url: &str| {
        let (namespace, name) = ("default".to_owned(), "bookinfo-gateway".to_owned());
        made.ask(Origin::Gateway { namespace, name, sni: None }, url, &[])
    };
    let route = ask("http://bookinfo.example:8080/productpage");
    assert_eq!(route.destinations[0].service, "productpage");
    assert_eq!(route.destinations[0].port, 9080);
    assert_eq!(ask("http://bookinfo.example:8080/other").direct.unwrap().flag, "NR");
}

/// Reads, lints and asks once; only that it ends is judged.
fn play(name: &str, bytes: &[u8]) {
    let mut manifests = Manifests::read([(name, bytes)]);
    let cluster = Cluster::of(&mut manifests);
    let istio = Istio::of(&mut manifests, &cluster);
    let sources = &manifests.sources;
    let _ = crate::manifest::lint::istio(&manifests.objects, &cluster, &istio, sources);
    let mesh = Mesh::of(&cluster, &istio, sources, Release::default());
    let ask = |from: Origin, host: &str, port: u16| {
        let request = Request::to("GET", &format!("http://{host}:{port}/"), &[]).unwrap();
        let _ = mesh.route(&Query { from, request }).to_string();
    };
    for known in mesh.registry.iter().take(20) {
        let host = known.host.replace('*', "a");
        for (port, ..) in &known.ports {
            let namespace = known.namespace.clone();
            ask(Origin::Mesh { namespace, workload: None, labels: Labels::new() }, &host, *port);
        }
    }
    for gateway in istio.gateways.iter().take(20) {
        let (namespace, name) = (gateway.head.namespace.clone(), gateway.head.name.clone());
        for server in &gateway.servers {
            let from =
                Origin::Gateway { namespace: namespace.clone(), name: name.clone(), sni: None };
            ask(from, "a.example", server.port.max(1));
        }
    }
}

#[test]
fn no_file_and_no_file_with_a_line_less_ends_in_a_crash() {
    let Some(folder) = inputs("") else { return };
    let mut paths = Vec::new();
    files_below(&folder, &mut paths);
    for path in &paths {
        play("a.yaml", &std::fs::read(path).unwrap());
    }
    let mut cut = Vec::new();
    files_below(&folder.join("istio-samples/samples/bookinfo/networking"), &mut cut);
    files_below(&folder.join("istio-conformance/pkg/config/validation"), &mut cut);
    for path in cut {
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for left_out in (0..lines.len()).step_by(3) {
            let kept = lines.iter().enumerate().filter(|(index, _)| *index != left_out);
            let text: Vec<&str> = kept.map(|(_, line)| *line).collect();
            play("a.yaml", text.join("\n").as_bytes());
        }
    }
}

#[test]
fn patches_of_envoy_are_named_with_what_they_patch() {
    let Some(folder) = samples() else { return };
    let made = read(&[folder.join("bookinfo/policy/productpage_envoy_ratelimit.yaml")]);
    let lines = made.findings().ignored_lines();
    let named = |what: &str| lines.iter().any(|line| line.contains(what));
    assert!(
        named("EnvoyFilter istio-system/filter-ratelimit: INSERT_BEFORE HTTP_FILTER in GATEWAY"),
        "{lines:#?}"
    );
    assert!(named("MERGE VIRTUAL_HOST in GATEWAY"), "{lines:#?}");
}
