//! Scenarios that are laid over manifests: what runs, what is told, where results go.
//!
//! The goal is that a real mesh's YAML and the same mesh written by hand are the same run. Mistakes and
//! origins are tested in `src/scenario/tests/manifests.rs`, what a manifest becomes in `manifest::draft`.

use crate::support::play;
use meshsim::observe::run::Run;
use meshsim::scenario::{self, Files};
use meshsim::world::options::Options;
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const SHOP: &str = include_str!("../../src/scenario/tests/shop.yaml");
const CANARY: &str = include_str!("../../src/scenario/tests/canary.yaml");

/// What a mesh reads and nobody simulates.
const FILTER: &str = "
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: small-answers, namespace: shop}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: SIDECAR_INBOUND}
    patch: {operation: INSERT_FIRST, value: {name: envoy.filters.http.compressor}}
";

const SCENARIO: &str = r#"# One request in ten goes to the new cart.
[scenario]
duration = "1m"
[[manifests]]
path = ["shop.yaml", "canary.yaml"]
time = "5ms"
workers = 4
[[service]]
name = "web"
[[service.workload]]
calls = [{ to = "cart" }]
[[traffic]]
id = "users"
from = "ingress"
to = "web"
arrivals = { poisson = "50rps" }
[[assert]]
name = "no request fails"
expect = "success_rate == 100%"
"#;

/// The same without YAML.
const BY_HAND: &str = r#"# One request in ten goes to the new cart.
[scenario]
duration = "1m"
[mesh]
profile = "istio-sidecar"
[[service]]
name = "web"
[[service.workload]]
replicas = 3
workers = 4
time = "5ms"
calls = [{ to = "cart" }]
[[service]]
name = "cart"
route = [{ name = "canary", weights = { v1 = 90, v2 = 10 } }]
[[service.workload]]
version = "v1"
replicas = 2
workers = 4
time = "5ms"
[[service.workload]]
version = "v2"
workers = 4
time = "5ms"
[[traffic]]
id = "users"
from = "ingress"
to = "web"
arrivals = { poisson = "50rps" }
"#;

/// Files in memory.
struct Memory<'t>(&'t [(&'t str, &'t str)]);

impl Files for Memory<'_> {
    fn read(&self, path: &str) -> Result<String, String> {
        let found = self.0.iter().find(|(name, _)| *name == path);
        found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| "no such file".to_owned())
    }
}

fn run(text: &str) -> Run {
    let files = [("s.toml", text), ("shop.yaml", SHOP), ("canary.yaml", CANARY)];
    let loaded = scenario::load(&Memory(&files), "s.toml", &[], None);
    let plan = loaded.unwrap_or_else(|problems| panic!("{problems:?}")).plan;
    play(&plan, Options::default())
}

#[test]
fn yaml_and_the_same_mesh_by_hand_are_the_same_run_and_split_nine_to_one() {
    let (yaml, by_hand) = (run(SCENARIO), run(BY_HAND));
    let to = |version: &str| -> u64 {
        let rows = yaml.outcomes.iter();
        rows.filter(|row| row.destination == "cart" && row.version == version)
            .map(|row| row.count)
            .sum()
    };
    let (old, new) = (to("v1"), to("v2"));
    assert!(2_500 < old + new, "{old} and {new}");
    let share = new as f64 / (old + new) as f64;
    // Three standard deviations of 3,000 draws.
    assert!((share - 0.1).abs() < 0.017, "{share}");
    assert_eq!(yaml.digest, by_hand.digest);
    let plain = run(&SCENARIO.replace("\"shop.yaml\", \"canary.yaml\"", "\"shop.yaml\""));
    assert_ne!(yaml.digest, plain.digest, "without the rule there is no split");
}

// === the command line ===

/// A folder with scenarios and manifests.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
        fs::write(path, text).expect("it is written");
    };
    let inside = SCENARIO.replace("[\"shop.yaml\", \"canary.yaml\"]", "\"../k8s/*.y*ml\"");
    write("scenarios/inside.toml", &inside);
    let bare =
        SCENARIO.replace("path = [\"shop.yaml\", \"canary.yaml\"]", "path = \"../k8s/2.yml\"");
    write("scenarios/bare.toml", &bare);
    // Rules come before what they rule.
    write("k8s/1.yaml", CANARY);
    write("k8s/2.yml", SHOP);
    write("k8s/notes.md", "no manifest");
    write("more/filter.yaml", FILTER);
    folder
}

fn command(folder: &Path, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshsim"));
    command.args(words.split_whitespace()).current_dir(folder);
    command
}

fn output(folder: &Path, words: &str) -> Output {
    command(folder, words).output().expect("meshsim ends")
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
    text.lines().map(line).collect()
}

fn talk(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The only line of JSON of a run that went well.
fn summary(folder: &Path, words: &str) -> Value {
    let output = output(folder, words);
    assert!(output.status.success(), "{words}: {}", talk(&output));
    lines(&output).remove(0)
}

#[test]
fn a_pattern_a_folder_and_typed_paths_are_the_same_run() {
    let folder = folder();
    let at = folder.path();
    let run = |words: &str| summary(at, &format!("run -q --format json {words}"));
    let inside = run("scenarios/inside.toml");
    assert_eq!(inside["manifests"]["files"], serde_json::json!(["../k8s/1.yaml", "../k8s/2.yml"]));
    assert_eq!(inside["manifests"]["not_modelled"], serde_json::json!([]));
    let bare = run("scenarios/bare.toml");
    assert_ne!(bare["digest"], inside["digest"]);
    for typed in ["--manifests k8s/1.yaml", "--manifests k8s/1.*", "--manifests k8s"] {
        let other = run(&format!("scenarios/bare.toml {typed}"));
        assert_eq!(other["digest"], inside["digest"], "{typed}");
        assert_eq!(other["plan_digest"], inside["plan_digest"], "{typed}");
    }
    let moved = run(&format!("{}/scenarios/inside.toml", at.display()));
    assert_eq!(moved["manifests"], inside["manifests"], "no result holds an absolute path");
}

#[test]
fn what_is_not_simulated_is_told_once_and_stands_in_the_results() {
    let folder = folder();
    let at = folder.path();
    let words = "run scenarios/inside.toml scenarios/bare.toml --manifests more";
    let told = output(at, words);
    let talk_of = talk(&told);
    assert_eq!(talk_of.matches("Not simulated:\n").count(), 1, "{talk_of}");
    let kind = "more/filter.yaml:4: not modelled EnvoyFilter shop/small-answers: INSERT_FIRST";
    assert_eq!(talk_of.matches(kind).count(), 1, "{talk_of}");
    let quiet = output(at, &format!("{words} -q"));
    assert_eq!(talk(&quiet), "");
    // Another set of manifests is another result.
    let results = fs::read_dir(at.join("results")).expect("results");
    let names: Vec<_> = results.map(|one| one.expect("a folder").file_name()).collect();
    let mut names: Vec<_> = names.iter().filter_map(|name| name.to_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["bare+manifests=more", "inside+manifests=more"]);
    let text = fs::read_to_string(at.join("results/bare+manifests=more/summary.json"));
    let summary: Value = serde_json::from_str(&text.expect("a summary")).expect("JSON");
    let all = summary["manifests"]["not_modelled"].as_array().expect("a list");
    let kind = all
        .iter()
        .find(|one| one["kind"].as_str().is_some_and(|kind| kind.starts_with("EnvoyFilter shop/")));
    let kind = kind.unwrap_or_else(|| panic!("{all:?}"));
    assert_eq!(kind["file"], "../more/filter.yaml");
}

#[test]
fn plan_tells_the_line_of_the_yaml_and_why_a_value_is_assumed() {
    let folder = folder();
    let all = lines(&output(folder.path(), "plan -q --format json scenarios/inside.toml"));
    let of =
        |key: &str| all.iter().find(|one| one["key"] == key).unwrap_or_else(|| panic!("{key}"));
    assert_eq!(of("service.web.replicas")["origin"], "k8s/2.yml:20");
    assert_eq!(of("service.web.time")["origin"], "scenarios/inside.toml:6");
    let assumed = all.iter().filter(|one| one["origin"] == "assumed");
    let assumed: Vec<_> = assumed.collect();
    assert!(assumed.iter().all(|one| one["source"] != ""), "{assumed:?}");
    let last = &all[all.len() - 1]["manifests"];
    assert!(last["objects"].as_u64().is_some_and(|objects| 8 <= objects), "{last}");
    assert!(assumed.len() as u64 <= last["assumed"].as_u64().unwrap_or(0), "{last}");
    let without = lines(&output(
        folder.path(),
        "plan -q --format json scenarios/inside.toml --set manifests[0].path=../k8s/2.yml",
    ));
    let has_route = |all: &[Value]| {
        all.iter()
            .any(|one| one["key"].as_str().is_some_and(|key| key.starts_with("service.cart.route")))
    };
    assert!(has_route(&all) && !has_route(&without));
}

#[test]
fn stdin_is_read_once_for_all_scenarios() {
    let folder = folder();
    let words = "run -q --format json scenarios/bare.toml scenarios/inside.toml --manifests -";
    let mut child = command(folder.path(), words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("meshsim runs");
    child.stdin.take().expect("a pipe").write_all(FILTER.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("meshsim ends");
    let all = lines(&output);
    assert_eq!(all.len(), 2);
    for one in all {
        let files = one["manifests"]["files"].as_array().expect("files");
        assert_eq!(files.last(), Some(&Value::from("-")));
        assert!(one["manifests"]["not_modelled"].to_string().contains("EnvoyFilter"));
    }
}

#[test]
fn baselines_of_other_manifests_stand_beside_those_of_the_file() {
    let folder = folder();
    let at = folder.path();
    let ends = |words: &str| output(at, words).status.code();
    assert_eq!(ends("bless -q scenarios/bare.toml"), Some(0));
    assert_eq!(ends("test -q scenarios/bare.toml"), Some(0));
    assert_eq!(ends("test -q scenarios/bare.toml --manifests more"), Some(1), "it has none");
    assert_eq!(ends("bless -q scenarios/bare.toml --manifests more"), Some(0));
    assert_eq!(ends("test -q scenarios/bare.toml --manifests more"), Some(0));
    assert_eq!(ends("test -q scenarios/bare.toml"), Some(0));
    assert!(at.join("results/baseline/bare+manifests=more.json").exists());
    assert!(at.join("results/gallery/bare").exists());
    assert!(!at.join("results/gallery/bare+manifests=more").exists());
    assert_eq!(ends("explain -q scenarios/bare.toml --manifests more"), Some(0));
}

#[test]
fn manifests_that_cannot_be_read_are_wrong_input() {
    let folder = folder();
    let at = folder.path();
    fs::create_dir(at.join("empty")).expect("it is made");
    for (path, why) in [
        ("nowhere", "there is no such file or folder"),
        ("k8s/*.json", "no file fits this pattern"),
        ("k8s/[.yaml", "it is no pattern"),
        ("empty", "there is no manifest in this folder"),
        ("k8s/notes.md", "a Kubernetes object is a map"),
    ] {
        let told = output(at, &format!("run scenarios/bare.toml --manifests {path}"));
        assert_eq!(told.status.code(), Some(2), "{path}");
        let talk = talk(&told);
        assert!(talk.contains(why), "{path}: {talk}");
    }
    let lint = output(at, "lint -q --manifests k8s/*.y*ml");
    assert_ne!(lint.status.code(), Some(2), "{}", talk(&lint));
    assert!(!at.join("results").exists());
}
