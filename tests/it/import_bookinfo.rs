//! Istio's sample Bookinfo with each of its networking files, as a scenario with `[[manifests]]`.
//!
//! The goal is that the split is the one that Istio's documentation promises (istio.io, Tasks, Traffic Management:
//! request routing, traffic shifting, fault injection), said by `meshsim route` and found in a run: shares within
//! four standard errors, and exactly nothing where nothing is promised. Files are read in place beside the project.

use crate::support::{assert_share, play};
use meshsim::observe::run::Run;
use meshsim::scenario::{self, Files};
use meshsim::world::options::Options;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {istio-injection: enabled}}\n";

/// `1/3` to each of the versions: no rule.
const ALL: &[(&str, f64)] = &[("v1", 1.0 / 3.0), ("v2", 1.0 / 3.0), ("v3", 1.0 / 3.0)];
const V1: &[(&str, f64)] = &[("v1", 1.0)];
const V2: &[(&str, f64)] = &[("v2", 1.0)];
const V3: &[(&str, f64)] = &[("v3", 1.0)];
const MYSQL: &[(&str, f64)] = &[("v2-mysql", 1.0)];
const MYSQL_VM: &[(&str, f64)] = &[("v2-mysql-vm", 1.0)];

/// Shares of versions.
type Split = &'static [(&'static str, f64)];

/// What is promised: for everybody the reviews, the details and the ratings, and for jason the reviews.
struct Case {
    file: &'static str,
    /// Files of the platform beside `bookinfo.yaml`.
    with: &'static [&'static str],
    reviews: Split,
    jason: Split,
    details: Split,
    ratings: Split,
}

const fn case(file: &'static str, reviews: Split) -> Case {
    Case { file, with: &[], reviews, jason: reviews, details: V1, ratings: V1 }
}

const CASES: [Case; 21] = [
    case("networking/bookinfo-gateway", ALL),
    case("networking/certmanager-gateway", ALL),
    case("networking/destination-rule-all", ALL),
    case("networking/destination-rule-all-mtls", ALL),
    case("networking/destination-rule-reviews", ALL),
    case("networking/egress-rule-google-apis", ALL),
    case("networking/virtual-service-all-v1", V1),
    Case {
        with: &["bookinfo-details-v2"],
        details: V2,
        ..case("networking/virtual-service-details-v2", ALL)
    },
    Case {
        with: &["bookinfo-ratings-v2"],
        ratings: V2,
        ..case("networking/virtual-service-ratings-db", V3)
    },
    Case {
        with: &["bookinfo-ratings-v2-mysql"],
        ratings: MYSQL,
        ..case("networking/virtual-service-ratings-mysql", V3)
    },
    Case {
        with: &["bookinfo-ratings-v2-mysql-vm"],
        ratings: MYSQL_VM,
        ..case("networking/virtual-service-ratings-mysql-vm", V3)
    },
    case("networking/virtual-service-reviews-50-v3", &[("v1", 0.5), ("v3", 0.5)]),
    case("networking/virtual-service-reviews-80-20", &[("v1", 0.8), ("v2", 0.2)]),
    case("networking/virtual-service-reviews-90-10", &[("v1", 0.9), ("v2", 0.1)]),
    case("networking/virtual-service-reviews-v2-v3", &[("v2", 0.5), ("v3", 0.5)]),
    case("networking/virtual-service-reviews-v3", V3),
    Case { jason: V2, ..case("networking/virtual-service-reviews-jason-v2-v3", V3) },
    Case { jason: V2, ..case("networking/virtual-service-reviews-test-v2", V1) },
    Case { with: &["bookinfo-versions"], ..case("gateway-api/bookinfo-gateway", ALL) },
    Case { with: &["bookinfo-versions"], ..case("gateway-api/route-all-v1", V1) },
    Case {
        with: &["bookinfo-versions"],
        ..case("gateway-api/route-reviews-50-v3", &[("v1", 0.5), ("v3", 0.5)])
    },
];

const MORE: [Case; 3] = [
    Case {
        with: &["bookinfo-versions"],
        ..case("gateway-api/route-reviews-90-10", &[("v1", 0.9), ("v2", 0.1)])
    },
    Case { with: &["bookinfo-versions"], ..case("gateway-api/route-reviews-v1", V1) },
    Case { with: &["bookinfo-versions"], ..case("gateway-api/route-reviews-v3", V3) },
];

/// Files that these cases leave to the tests of faults, below.
const FAULTS: [&str; 3] = [
    "networking/fault-injection-details-v1",
    "networking/virtual-service-ratings-test-abort",
    "networking/virtual-service-ratings-test-delay",
];

const SCENARIO: &str = r#"# A page asks for details and reviews, reviews v2 and v3 for ratings.
[scenario]
duration = "1m"
[[manifests]]
path = [PATHS]
mesh = "istio"
time = "1ms"
[[service]]
name = "productpage"
[[service.workload]]
version = "v1"
calls = [{ to = "details", mode = "parallel" }, { to = "reviews", mode = "parallel" }]
[[service]]
name = "reviews"
[[service.workload]]
version = "v2"
calls = [{ to = "ratings" }]
[[service.workload]]
version = "v3"
calls = [{ to = "ratings" }]
"#;

const EVERYBODY: &str = "
[[traffic]]
id = \"users\"
from = \"ingress\"
to = \"productpage\"
arrivals = { poisson = \"100rps\" }
";

/// Requests of a service with the header that Bookinfo's page sends for jason.
fn as_jason(from: &str, to: &str, rate: &str) -> String {
    format!(
        "\n[[traffic]]\nid = \"jason\"\nfrom = \"{from}\"\nto = \"{to}\"\n\
         headers = {{ end-user = \"jason\" }}\narrivals = {{ poisson = \"{rate}\" }}\n"
    )
}

/// The scenario, and the YAML where it is.
struct Disk<'t>(&'t str);

impl Files for Disk<'_> {
    fn read(&self, path: &str) -> Result<String, String> {
        match path {
            "bookinfo.toml" => Ok(self.0.to_owned()),
            "namespace.yaml" => Ok(NAMESPACE.to_owned()),
            path => std::fs::read_to_string(path).map_err(|error| error.to_string()),
        }
    }
}

/// Bookinfo, if it is there.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn bookinfo() -> Option<PathBuf> {
    let folder = crate::tree::root().join("../shared/inputs/istio-samples/samples/bookinfo");
    if !folder.is_dir() {
        eprintln!("skipped: {} is not there", folder.display());
        return None;
    }
    Some(folder)
}

/// The manifests of a networking file: with subsets where it has none of its own.
fn manifests(folder: &Path, file: &str, with: &[&str]) -> Vec<String> {
    let at = |path: &str| folder.join(format!("{path}.yaml")).display().to_string();
    let mut all = vec![at("platform/kube/bookinfo")];
    all.extend(with.iter().map(|name| at(&format!("platform/kube/{name}"))));
    if file.starts_with("networking/virtual-service") {
        all.push(at("networking/destination-rule-all"));
    }
    all.push(at(file));
    all
}

fn run(paths: &[String], traffic: &str) -> Run {
    let names: Vec<String> = paths.iter().map(|path| format!("{path:?}")).collect();
    let paths = format!("\"namespace.yaml\", {}", names.join(", "));
    let text = SCENARIO.replace("PATHS", &paths) + traffic;
    let loaded = scenario::load(&Disk(&text), "bookinfo.toml", &[], None);
    let plan = loaded.unwrap_or_else(|problems| panic!("{problems:?}\n{text}")).plan;
    play(&plan, Options::default())
}

/// What `meshsim route` says.
fn route(paths: &[String], from: &str, url: &str, headers: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let namespace = folder.path().join("namespace.yaml");
    std::fs::write(&namespace, NAMESPACE).expect("it is written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshsim"));
    command.args(["route", "-q", "--format", "json", "--mesh", "istio", "--from", from]);
    command.args(["--url", url]);
    for header in headers {
        command.args(["-H", header]);
    }
    let output = command.arg("--manifests").arg(namespace).args(paths).output();
    let output = output.expect("meshsim ends");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let line: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"));
    line["route"].clone()
}

/// The split of a route over versions: a destination with several workloads is shared alike.
fn assert_route(what: &str, route: &Value, service: &str, wanted: Split) {
    let mut found: Vec<(String, f64)> = Vec::new();
    for to in route["destinations"].as_array().expect("destinations") {
        let workloads = to["workloads"].as_array().expect("workloads");
        let share = to["share"].as_f64().expect("a share") / workloads.len() as f64;
        for workload in workloads {
            let name = workload.as_str().expect("a name");
            let version = name.strip_prefix(&format!("{service}-")).unwrap_or(name);
            found.push((version.to_owned(), share));
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    let wanted: Vec<(String, f64)> =
        wanted.iter().map(|(version, share)| ((*version).to_owned(), *share)).collect();
    let is_near = found.len() == wanted.len()
        && found
            .iter()
            .zip(&wanted)
            .all(|(one, other)| one.0 == other.0 && (one.1 - other.1).abs() < 1e-9);
    assert!(is_near, "{what}: {found:?}, not {wanted:?}\n{route}");
}

/// The split of a run over versions, of requests that all end well.
fn assert_run(what: &str, run: &Run, edge: (&str, &str), wanted: Split) {
    let rows = run.outcomes.iter();
    let rows: Vec<_> =
        rows.filter(|row| (row.source.as_str(), row.destination.as_str()) == edge).collect();
    let total: u64 = rows.iter().map(|row| row.count).sum();
    assert!(1_000 < total, "{what}: {total} requests from {edge:?}");
    for row in rows {
        let is_promised = wanted.iter().any(|(version, _)| row.version == *version);
        assert!(
            is_promised && row.outcome.status == 200,
            "{what}: {} of {edge:?} {} with {}",
            row.count,
            row.version,
            row.outcome.status
        );
    }
    for (version, share) in wanted {
        let rows = run.outcomes.iter().filter(|row| {
            (row.source.as_str(), row.destination.as_str()) == edge && row.version == *version
        });
        let count: u64 = rows.map(|row| row.count).sum();
        assert_share(&format!("{what}: {edge:?} {version}"), count, total, *share, 4.0);
    }
}

fn check(folder: &Path, case: &Case) {
    let paths = manifests(folder, case.file, case.with);
    let page = "default/productpage-v1";
    let asked = |url: &str, headers: &[&str]| route(&paths, page, url, headers);
    let reviews = "http://reviews:9080/reviews/0";
    assert_route(case.file, &asked(reviews, &[]), "reviews", case.reviews);
    assert_route(case.file, &asked(reviews, &["end-user: jason"]), "reviews", case.jason);
    let other = asked(reviews, &["end-user: jasmin"]);
    assert_route(case.file, &other, "reviews", case.reviews);
    let details = asked("http://details:9080/details/0", &[]);
    // Without a rule both versions of details would answer; only one is there in most cases.
    assert_route(case.file, &details, "details", case.details);
    let ran = run(&paths, EVERYBODY);
    assert_run(case.file, &ran, ("users", "productpage"), V1);
    assert_run(case.file, &ran, ("productpage", "reviews"), case.reviews);
    assert_run(case.file, &ran, ("productpage", "details"), case.details);
    let to = |name: &str| -> u64 {
        let rows = ran.outcomes.iter().filter(|row| row.destination == name);
        rows.map(|row| row.count).sum()
    };
    let asking: f64 =
        case.reviews.iter().filter(|(version, _)| *version != "v1").map(|(_, share)| share).sum();
    if asking == 0.0 {
        assert_eq!(to("ratings"), 0, "{}: v1 has no stars", case.file);
    } else {
        let from = "default/reviews-v3";
        let ratings = route(&paths, from, "http://ratings:9080/ratings/0", &[]);
        assert_route(case.file, &ratings, "ratings", case.ratings);
        assert_share(case.file, to("ratings"), to("reviews"), asking, 4.0);
        if 0.15 < asking {
            assert_run(case.file, &ran, ("reviews", "ratings"), case.ratings);
        }
    }
    let ran = run(&paths, &as_jason("productpage", "reviews", "60rps"));
    assert_run(case.file, &ran, ("productpage", "reviews"), case.jason);
}

#[test]
fn each_networking_file_splits_as_istios_documentation_promises() {
    let Some(folder) = bookinfo() else { return };
    for case in CASES.iter().chain(&MORE) {
        check(&folder, case);
    }
}

#[test]
fn no_networking_file_is_left_out() {
    let Some(folder) = bookinfo() else { return };
    let known: Vec<&str> = CASES.iter().chain(&MORE).map(|case| case.file).chain(FAULTS).collect();
    for part in ["networking", "gateway-api"] {
        for entry in std::fs::read_dir(folder.join(part)).expect("a folder").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(name) = name.strip_suffix(".yaml") else { continue };
            assert!(known.contains(&format!("{part}/{name}").as_str()), "{part}/{name}");
        }
    }
}

/// Requests from one service to another: how they ended, with how many did.
fn ends(run: &Run, edge: (&str, &str)) -> Vec<(u16, u64)> {
    let rows = run.outcomes.iter();
    rows.filter(|row| (row.source.as_str(), row.destination.as_str()) == edge)
        .map(|row| (row.outcome.status, row.count))
        .collect()
}

#[test]
fn faults_are_those_that_istios_documentation_promises() {
    let Some(folder) = bookinfo() else { return };
    // Details answer nobody: 555, without a request to them.
    let paths = manifests(&folder, FAULTS[0], &[]);
    let asked = route(&paths, "default/productpage-v1", "http://details:9080/details/0", &[]);
    assert_eq!(
        (&asked["faults"][0]["status"], &asked["faults"][0]["share"]),
        (&555.into(), &1.0.into())
    );
    let ran = run(&paths, EVERYBODY);
    let all = ends(&ran, ("productpage", "details"));
    assert!(!all.is_empty() && all.iter().all(|row| row.0 == 555), "{all:?}");
    assert_eq!(ends(&ran, ("productpage", "reviews")).iter().find(|row| row.0 != 200), None);

    // jason's ratings fail at once, those of all others do not.
    let paths = manifests(&folder, FAULTS[1], &[]);
    let ratings = "http://ratings:9080/ratings/0";
    let asked =
        |paths: &[String], headers: &[&str]| route(paths, "default/reviews-v2", ratings, headers);
    let jason = asked(&paths, &["end-user: jason"]);
    assert_eq!(
        (&jason["faults"][0]["status"], &jason["faults"][0]["share"]),
        (&500.into(), &1.0.into())
    );
    assert_eq!(asked(&paths, &[])["faults"], Value::Array(Vec::new()));
    let ran = run(&paths, &as_jason("reviews/v2", "ratings", "60rps"));
    let all = ends(&ran, ("reviews", "ratings"));
    assert!(!all.is_empty() && all.iter().all(|row| row.0 == 500), "{all:?}");
    assert_run(FAULTS[1], &run(&paths, EVERYBODY), ("reviews", "ratings"), V1);

    // jason waits seven seconds for his, and gets them.
    let paths = manifests(&folder, FAULTS[2], &[]);
    let jason = asked(&paths, &["end-user: jason"]);
    assert_eq!(jason["faults"][0]["delay_ns"], 7_000_000_000_u64);
    assert_eq!(asked(&paths, &[])["faults"], Value::Array(Vec::new()));
    // A delay of some requests is no key of a scenario: it is named, with its line.
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshsim"));
    command.args(["import", "--manifests"]).args(&paths);
    let output = command.output().expect("meshsim ends");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let line =
        "virtual-service-ratings-test-delay.yaml:14: ignored VirtualService.spec.http.fault: ";
    assert!(told.contains(line), "{told}");
    let others = run(&paths, EVERYBODY);
    assert_run(FAULTS[2], &others, ("reviews", "ratings"), V1);
    assert!(others.latency.quantile(1.0).is_some_and(|longest| longest < 1_000_000_000));
}

#[test]
fn the_gateways_let_in_what_they_name() {
    let Some(folder) = bookinfo() else { return };
    for (file, port) in
        [("networking/bookinfo-gateway", 8080), ("gateway-api/bookinfo-gateway", 80)]
    {
        let paths = manifests(&folder, file, &[]);
        let asked = |path: &str| {
            route(
                &paths,
                "gateway:bookinfo-gateway",
                &format!("http://shop.example:{port}{path}"),
                &[],
            )
        };
        for path in ["/productpage", "/static/a.css", "/login", "/api/v1/products/0"] {
            assert_route(file, &asked(path), "productpage", V1);
        }
        for path in ["/", "/productpage/x", "/reviews/0"] {
            assert_eq!(asked(path)["direct"]["status"], 404, "{file} {path}");
        }
    }
}
