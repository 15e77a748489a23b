//! Scenarios over manifests: whose value counts, where it comes from, what is told.
//!
//! `manifests.txt` holds broken ones, in the form of `broken.txt`. `UPDATE=1` writes what is said now.

use super::super::{Settings, load_with};
use super::{Files, Loaded, broken, files, load, print};
use crate::plan::Plan;
use crate::plan::universe::{Universe, Workload};

pub(super) const SHOP: &str = include_str!("shop.yaml");
pub(super) const CANARY: &str = include_str!("canary.yaml");

const SCENARIO: &str = r#"# A shop.
[scenario]
duration = "1m"
[[manifests]]
path = "k8s"
[[service]]
name = "cart"
[[service.workload]]
version = "v2"
workers = 4
[[service]]
name = "stock"
[[service.workload]]
time = "1ms"
[[traffic]]
id = "users"
from = "ingress"
to = "web"
arrivals = { poisson = "10rps" }
"#;

fn read(list: &[(&str, &str)], path: &str, settings: Settings<'_>) -> Loaded {
    let loaded = load_with(&files(list), path, settings);
    loaded.unwrap_or_else(|problems| panic!("{}", print(&problems)))
}

fn shop(text: &str, sets: &[&str]) -> Loaded {
    let list = [("a/s.toml", text), ("a/k8s/shop.yaml", SHOP), ("a/canary.yaml", CANARY)];
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    read(&list, "a/s.toml", Settings { sets: &sets, ..Settings::default() })
}

fn workload<'p>(plan: &'p Plan, name: &str) -> &'p Workload {
    let Universe { workloads, .. } = &plan.universe;
    workloads.iter().find(|one| one.name == name).unwrap_or_else(|| panic!("no {name}"))
}

/// `value from source` of a key of the plan.
fn origin(loaded: &Loaded, key: &str) -> String {
    let one = loaded.origins.iter().find(|one| one.key == key);
    one.map_or_else(String::new, |one| format!("{} {} {}", one.value, one.from, one.source))
}

#[test]
fn each_mistake_is_said_where_it_is() {
    broken::check("manifests.txt", include_str!("manifests.txt"), 20, |loaded| match loaded {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    });
}

#[test]
fn the_file_is_laid_over_its_manifests_and_each_value_says_where_it_stands() {
    let loaded = shop(SCENARIO, &[]);
    let plan = &loaded.plan;
    let names: Vec<_> = plan.universe.services.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["cart", "stock", "web"]);
    let v2 = workload(plan, "cart-v2");
    assert_eq!((v2.replicas, v2.station.workers), (1, 4));
    assert_eq!((workload(plan, "web").replicas, workload(plan, "cart-v1").replicas), (3, 2));
    assert_eq!(plan.profile.split('@').next(), Some("istio-sidecar"));
    assert_eq!(origin(&loaded, "service.web.replicas"), "3 a/k8s/shop.yaml:20 ");
    assert_eq!(origin(&loaded, "service.cart.v2.workers"), "4 a/s.toml:10 ");
    let time = origin(&loaded, "service.cart.v2.time");
    assert!(time.contains(" assumed ") && !time.ends_with(' '), "{time}");
    let from = &loaded.manifests[&None];
    assert_eq!((&from.files[..], from.objects), (&["k8s/shop.yaml".to_owned()][..], 6));
    assert!(3 <= from.assumed, "{from:?}");
    let read: Vec<_> = loaded.sources.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(read, ["a/s.toml", "a/k8s/shop.yaml"]);
}

#[test]
fn what_is_assumed_may_be_said_for_all_workloads_of_the_files_of_an_element() {
    let own = "path = \"k8s\"\ntime = { exponential = \"2ms\" }\nworkers = 7\n\
               [[manifests]]\npath = [\"more.yaml\"]\ntime = \"9ms\"";
    let text = SCENARIO.replace("path = \"k8s\"", own);
    let more = SHOP.replace("name: web", "name: other").replace("app: web", "app: other");
    let (_, more) = more.split_once("---").expect("a namespace");
    let more: String = more
        .split("---")
        .filter(|one| one.contains("other"))
        .fold(String::new(), |text, one| text + "---" + one);
    let list = [("s.toml", &*text), ("k8s/shop.yaml", SHOP), ("more.yaml", &*more)];
    let loaded = read(&list, "s.toml", Settings::default());
    let of = |key: &str| origin(&loaded, key);
    assert_eq!(of("service.web.time"), "{ exponential = 2ms } s.toml:6 ");
    assert_eq!(of("service.web.workers"), "7 s.toml:7 ");
    assert_eq!(of("service.cart.v2.workers"), "4 s.toml:15 ", "the file's own");
    assert_eq!(of("service.other.time"), "9ms s.toml:10 ");
    let without =
        read(&[("s.toml", SCENARIO), ("k8s/shop.yaml", SHOP)], "s.toml", Settings::default());
    assert!(loaded.manifests[&None].assumed < without.manifests[&None].assumed);
}

#[test]
fn settings_and_variants_reach_into_manifests() {
    let variants = r#"
[[variant]]
name = "more"
set = { "service.cart.v2.replicas" = 5 }
[[variant]]
name = "plain"
set = { "manifests[0].path" = "k8s/shop.yaml", "service.web.replicas" = 4 }
[[variant]]
name = "canary"
set = { manifests = [{ path = ["k8s", "canary.yaml"], workers = 2 }] }
"#;
    let text = SCENARIO.to_owned() + variants;
    let loaded = shop(&text, &["service.cart.v1.replicas=7", "manifests[0].workers=3"]);
    assert_eq!(workload(&loaded.plan, "cart-v1").replicas, 7);
    assert_eq!(workload(&loaded.plan, "web").station.workers, 3);
    assert_eq!(origin(&loaded, "service.cart.v1.replicas"), "7 --set service.cart.v1.replicas=7 ");
    let [more, plain, canary] = &loaded.variants[..] else { panic!("three variants") };
    assert_eq!(workload(more, "cart-v2").replicas, 5);
    for variant in [more, plain, canary] {
        assert_eq!(workload(variant, "cart-v1").replicas, 7, "settings hold in all variants");
    }
    assert_eq!((workload(plain, "web").replicas, workload(canary, "web").replicas), (4, 3));
    assert_eq!(workload(canary, "web").station.workers, 2);
    let files = |variant: &str| &loaded.manifests[&Some(variant.to_owned())].files;
    assert_eq!(files("more"), &["k8s/shop.yaml"]);
    assert_eq!(files("canary"), &["k8s/shop.yaml", "canary.yaml"]);
}

#[test]
fn paths_are_seen_from_the_file_that_names_them_and_typed_ones_from_here() {
    let base = "[[manifests]]\npath = \"k8s/shop.yaml\"\n";
    let text = SCENARIO.replace("duration", "base = \"../base/b.toml\"\nduration");
    let list = [
        ("a/s.toml", &*text.replace("path = \"k8s\"", "path = \"../canary.yaml\"")),
        ("base/b.toml", base),
        ("base/k8s/shop.yaml", SHOP),
        ("canary.yaml", CANARY),
    ];
    let typed = ["base/k8s".to_owned(), "canary.yaml".to_owned()];
    let loaded = read(&list, "a/s.toml", Settings::default());
    assert_eq!(loaded.manifests[&None].files, ["../base/k8s/shop.yaml", "../canary.yaml"]);
    let none = SCENARIO.replace("[[manifests]]\npath = \"k8s\"\n", "");
    let list = [("a/s.toml", &*none), list[2], list[3]];
    let settings = Settings { manifests: &typed, ..Settings::default() };
    let over = read(&list, "a/s.toml", settings);
    assert_eq!(over.manifests[&None].files, ["../base/k8s/shop.yaml", "../canary.yaml"]);
    assert_eq!(over.plan.digest(), loaded.plan.digest());
    assert_eq!(origin(&over, "manifests[0].path"), "base/k8s --manifests base/k8s ");
    let wrong = Settings { manifests: &["nowhere".to_owned()], ..Settings::default() };
    let problems = load_with(&files(&list), "a/s.toml", wrong).expect_err("there is no such file");
    let told = problems[0].to_string();
    assert!(told.contains("--manifests") && told.contains("no such file"), "{told}");
}

#[test]
fn neither_the_order_of_files_nor_their_number_is_a_matter() {
    let text = SCENARIO.replace("\"k8s\"", "[\"1.yaml\", \"2.yaml\"]");
    let one = SHOP.to_owned() + "---\n" + CANARY;
    let digest = |first: &str, second: &str| {
        let list = [("s.toml", &*text), ("1.yaml", first), ("2.yaml", second)];
        read(&list, "s.toml", Settings::default()).plan.digest()
    };
    assert_eq!(digest(SHOP, CANARY), digest(CANARY, SHOP));
    assert_eq!(digest(SHOP, CANARY), digest(&one, ""));
    let mut documents: Vec<&str> = one.split("---\n").collect();
    documents.reverse();
    assert_eq!(digest(SHOP, CANARY), digest("", &documents.join("\n---\n")));
}

/// Files without folders.
struct TextOnly;
impl Files for TextOnly {
    fn read(&self, path: &str) -> Result<String, String> {
        if path == "s.toml" { Ok(SCENARIO.replace("k8s", "shop.yaml")) } else { Ok(SHOP.into()) }
    }
}

#[test]
fn a_scenario_without_manifests_has_nothing_of_them() {
    let loaded = super::good(super::NORMATIVE);
    assert!(loaded.manifests.is_empty());
    let loaded = load(&TextOnly, "s.toml", &[], None).expect("what has no folders has files");
    assert_eq!(loaded.manifests[&None].files, ["shop.yaml"]);
}
