//! All samples of Istio go through, and Bookinfo's come out as its documentation says; skipped with a note where
//! they are absent.

use super::compare::{Asked, Count, Grid, compare_mesh, first, shares};
use super::{drafted, text};
use crate::manifest::draft::Draft;
use crate::manifest::loaded::Loaded;
use crate::manifest::tests::inputs;
use std::collections::BTreeMap;
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

fn read(paths: &[PathBuf]) -> Loaded {
    let texts: Vec<(String, Vec<u8>)> = paths
        .iter()
        .map(|path| (path.display().to_string(), std::fs::read(path).unwrap()))
        .collect();
    Loaded::read(texts.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())))
}

const GRID: Grid<'_> = Grid {
    methods: &["GET"],
    paths: &["/", "/productpage", "/static/a.css", "/hello"],
    headers: &[&[], &[("end-user", "jason")], &[("end-user", "otto")]],
};

/// Files alone, folders, and all together, whatever they are.
#[test]
fn all_inputs_go_through_and_are_routed_as_the_resolver_says() {
    let mut count = Count::default();
    for folder in
        ["istio-samples", "istio-conformance", "linkerd-samples", "gateway-api-conformance"]
    {
        let Some(folder) = inputs(folder) else { continue };
        let mut files = Vec::new();
        files_below(&folder, &mut files);
        for file in &files {
            let loaded = read(std::slice::from_ref(file));
            let told = text(&loaded);
            assert!(told.starts_with("[mesh]") || told.starts_with("\n[mesh]"), "{told}");
            let is_valid = loaded.manifests.findings.problems.is_empty();
            let draft = drafted(&loaded);
            if is_valid && file.display().to_string().contains("istio-samples") {
                compare_mesh(&loaded, &draft, &GRID, &mut count);
            }
        }
        let loaded = read(&files);
        text(&loaded);
    }
    let is_there = inputs("istio-samples").is_some();
    assert!(!is_there || 100 < count.sent, "{count:?}");
}

fn bookinfo(networking: &[&str]) -> Option<Loaded> {
    let folder = inputs("istio-samples/samples/bookinfo")?;
    let mut files = vec![folder.join("platform/kube/bookinfo.yaml")];
    let more =
        ["bookinfo-ratings-v2.yaml", "bookinfo-ratings-v2-mysql.yaml", "bookinfo-details-v2.yaml"];
    files.extend(more.map(|name| folder.join("platform/kube").join(name)));
    files.push(folder.join("networking/destination-rule-all.yaml"));
    files.extend(networking.iter().map(|name| folder.join("networking").join(name)));
    Some(read(&files))
}

fn split(draft: &Draft<'_>, name: &str, headers: &[(&str, &str)]) -> BTreeMap<String, i64> {
    let service = draft.services.iter().find(|one| one.name == name).unwrap();
    let asked = Asked { method: "GET", path: "/reviews/0", headers };
    let route = first(service, &asked).unwrap();
    let all = shares(draft, service, route);
    all.into_iter().map(|(key, share)| (key, share / 10_000)).collect()
}

/// A file, a service, headers, and the split in percent.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, i64)]);

/// Source: Istio's tasks "Request Routing", "Traffic Shifting", "Fault Injection" for Bookinfo.
#[test]
fn bookinfo_splits_as_its_documentation_promises() {
    let jason: &[(&str, &str)] = &[("end-user", "jason")];
    let nobody: &[(&str, &str)] = &[];
    let cases: &[Case<'_>] = &[
        ("virtual-service-all-v1.yaml", "reviews", jason, &[("reviews/v1", 100)]),
        ("virtual-service-all-v1.yaml", "productpage", nobody, &[("productpage/v1", 100)]),
        ("virtual-service-reviews-test-v2.yaml", "reviews", jason, &[("reviews/v2", 100)]),
        ("virtual-service-reviews-test-v2.yaml", "reviews", nobody, &[("reviews/v1", 100)]),
        ("virtual-service-reviews-jason-v2-v3.yaml", "reviews", jason, &[("reviews/v2", 100)]),
        ("virtual-service-reviews-jason-v2-v3.yaml", "reviews", nobody, &[("reviews/v3", 100)]),
        ("virtual-service-reviews-v3.yaml", "reviews", nobody, &[("reviews/v3", 100)]),
        (
            "virtual-service-reviews-50-v3.yaml",
            "reviews",
            nobody,
            &[("reviews/v1", 50), ("reviews/v3", 50)],
        ),
        (
            "virtual-service-reviews-80-20.yaml",
            "reviews",
            nobody,
            &[("reviews/v1", 80), ("reviews/v2", 20)],
        ),
        (
            "virtual-service-reviews-90-10.yaml",
            "reviews",
            nobody,
            &[("reviews/v1", 90), ("reviews/v2", 10)],
        ),
        (
            "virtual-service-reviews-v2-v3.yaml",
            "reviews",
            nobody,
            &[("reviews/v2", 50), ("reviews/v3", 50)],
        ),
        ("virtual-service-ratings-db.yaml", "ratings", nobody, &[("ratings/v2", 100)]),
        ("virtual-service-ratings-mysql.yaml", "ratings", nobody, &[("ratings/v2-mysql", 100)]),
        (
            "virtual-service-ratings-mysql-vm.yaml",
            "ratings",
            nobody,
            &[("ratings/v2-mysql-vm", 100)],
        ),
        ("virtual-service-ratings-test-delay.yaml", "ratings", nobody, &[("ratings/v1", 100)]),
        ("virtual-service-ratings-test-abort.yaml", "ratings", nobody, &[("ratings/v1", 100)]),
        ("virtual-service-details-v2.yaml", "details", nobody, &[("details/v2", 100)]),
    ];
    for (file, service, headers, wanted) in cases {
        let Some(loaded) = bookinfo(&[file]) else { return };
        let draft = drafted(&loaded);
        let wanted: BTreeMap<String, i64> =
            wanted.iter().map(|(name, share)| ((*name).to_owned(), *share)).collect();
        assert_eq!(split(&draft, service, headers), wanted, "{file}");
    }
    let Some(loaded) = bookinfo(&["virtual-service-ratings-test-abort.yaml"]) else { return };
    let told = text(&loaded);
    assert!(told.contains("direct_response = 500"), "{told}");
}

#[test]
fn bookinfo_is_reached_by_its_gateway() {
    let Some(loaded) = bookinfo(&["bookinfo-gateway.yaml", "virtual-service-all-v1.yaml"]) else {
        return;
    };
    let draft = drafted(&loaded);
    let host = draft.services.iter().find(|one| one.name == "bookinfo-gateway").unwrap();
    let route = |path| first(host, &Asked { method: "GET", path, headers: &[] });
    assert_eq!(shares(&draft, host, route("/login").unwrap())["productpage"], 1_000_000);
    assert!(route("/nothing").is_none());
}
