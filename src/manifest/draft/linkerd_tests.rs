//! Linkerd's part of drafts: whole manifests with what becomes of them, and the same answers as `route`.
//!
//! Source: none; it looks at the parts beside it.
//! Left out: requests that an `HTTPRoute` or a `GRPCRoute` decides (see `gateway_api_tests`).

use super::assumptions::Assumptions;
use super::linkerd::linkerd;
use super::objects::State;
use super::value::{Kind, Origin, Table, Value};
use super::{Draft, Service, Workload};
use crate::manifest::loaded::Loaded;
use crate::manifest::meshes::Mesh;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

mod answers;
mod broken;
mod samples;

/// A service for each Service, with a workload for each that it selects.
pub(in crate::manifest::draft) fn with_services(loaded: &Loaded, mesh: Mesh) -> Draft<'_> {
    let mut draft = Draft::new(loaded, mesh);
    for (key, service) in &loaded.cluster.services {
        let name = draft.names.services[key].clone();
        let mut one = Service::new(&name, Some(key.clone()), Some(service.at));
        let workloads = loaded.cluster.workloads_of(service);
        for workload in &workloads {
            let version = workload.labels.get("version").unwrap_or(&workload.name);
            let version = (workloads.len() > 1).then(|| version.clone());
            let mut table = Table::new();
            table.set("time", Value::text("5ms").assumed("no manifest says it"));
            let key = (workload.namespace.clone(), workload.name.clone());
            let labels = workload.labels.clone();
            one.workloads.push(Workload { key, at: Some(workload.at), version, labels, table });
        }
        if !workloads.iter().any(|workload| loaded.linkerd.is_meshed(workload)) {
            one.table.set("meshed", Value::bool(false));
        }
        let is_own = |one: &&crate::manifest::kubernetes::workload::Workload| {
            one.labels.contains_key("linkerd.io/control-plane-component")
        };
        if workloads.is_empty() || !workloads.iter().all(is_own) {
            draft.services.push(one);
        }
    }
    draft.settings.set("profile", Value::text("linkerd"));
    draft
}

/// The draft of a mesh of Linkerd.
pub(in crate::manifest::draft) fn drafted(loaded: &Loaded) -> Draft<'_> {
    let mut draft = with_services(loaded, Mesh::Linkerd);
    linkerd(&mut draft);
    draft
}

/// A table as TOML in one line.
pub(in crate::manifest::draft) fn inline(table: &Table) -> String {
    let entries = table.iter().map(|(key, value)| format!("{} = {}", quoted(key), of(value)));
    format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
}

fn quoted(key: &str) -> String {
    let is_bare = key.chars().all(|one| one.is_ascii_alphanumeric() || "-_".contains(one));
    if is_bare && !key.is_empty() { key.to_owned() } else { format!("{key:?}") }
}

fn of(value: &Value) -> String {
    match &value.kind {
        Kind::Text(text) if text.contains('\\') => format!("'{text}'"),
        Kind::Text(text) => format!("{text:?}"),
        Kind::Integer(number) => number.to_string(),
        Kind::Float(number) => format!("{number:?}"),
        Kind::Bool(flag) => flag.to_string(),
        Kind::List(list) => {
            format!("[{}]", list.iter().map(of).collect::<Vec<_>>().join(", "))
        }
        Kind::Table(table) => inline(table),
    }
}

/// The lines in the manifests that a value and what is in it come from.
fn lines(value: &Value, found: &mut Vec<String>) {
    match &value.origin {
        Origin::Written(at) => found.push(at.line.to_string()),
        Origin::Assumed(_) => found.push("assumed".to_owned()),
        Origin::Around => {}
    }
    match &value.kind {
        Kind::List(list) => list.iter().for_each(|one| lines(one, found)),
        Kind::Table(table) => table.iter().for_each(|(_, one)| lines(one, found)),
        _ => {}
    }
}

fn section(head: &str, table: &Table, out: &mut String) {
    let _ = writeln!(out, "{head}");
    for (key, value) in table.iter() {
        let mut found = Vec::new();
        lines(value, &mut found);
        let places =
            if found.is_empty() { String::new() } else { format!("  # {}", found.join(" ")) };
        let _ = writeln!(out, "{} = {}{places}", quoted(key), of(value));
    }
}

/// A draft as the text of a scenario, each key with the lines that it comes from; then what is ignored.
pub(in crate::manifest::draft) fn text(draft: &Draft<'_>) -> String {
    let mut out = String::new();
    section("[mesh]", &draft.settings, &mut out);
    for one in &draft.services {
        let mut table = Table::new();
        table.set("name", Value::text(&*one.name));
        for (key, value) in one.table.iter() {
            table.set(key, value.clone());
        }
        if one.workloads.is_empty() {
            table.set("workload", Value::list([]));
        }
        section("\n[[service]]", &table, &mut out);
        for route in &one.routes {
            section("[[service.route]]", route, &mut out);
        }
        for own in &one.workloads {
            let mut table = Table::new();
            table.set_some("version", own.version.as_ref().map(Value::text));
            for (key, value) in own.table.iter() {
                table.set(key, value.clone());
            }
            section("[[service.workload]]", &table, &mut out);
        }
    }
    out.push('\n');
    for line in draft.findings.ignored_lines() {
        let _ = writeln!(out, "# {line}");
    }
    out
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manifest/draft/linkerd_tests")
}

/// Compares with what was written; `UPDATE=1` writes it.
fn golden(name: &str) {
    let manifest = std::fs::read_to_string(folder().join(format!("{name}.yaml"))).unwrap();
    let loaded = Loaded::read([(format!("{name}.yaml").as_str(), manifest.as_bytes())]);
    let problems: Vec<String> =
        loaded.manifests.findings.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, [""; 0]);
    let told = text(&drafted(&loaded));
    let path = folder().join(format!("{name}.toml"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &told).unwrap();
    }
    assert_eq!(told, std::fs::read_to_string(&path).unwrap_or_default(), "{name}");
}

#[test]
fn annotations_of_services() {
    golden("annotations");
}

#[test]
fn profiles_and_splits() {
    golden("profiles");
}

#[test]
fn who_may_call() {
    golden("inbound");
}

#[test]
fn the_whole_mesh() {
    golden("mesh");
}

/// The text of a value below some keys of `[mesh]`.
fn setting(draft: &Draft<'_>, group: &str, name: &str) -> String {
    match draft.settings.get(group).map(|value| &value.kind) {
        Some(Kind::Table(table)) => table.get(name).map(of).unwrap_or_default(),
        _ => String::new(),
    }
}

#[test]
fn objects_of_the_control_plane_come_before_the_values_of_the_chart() {
    let manifest = std::fs::read_to_string(folder().join("mesh.yaml")).unwrap();
    let loaded = Loaded::read([("mesh.yaml", manifest.as_bytes())]);
    let draft = super::draft(&loaded, Mesh::Linkerd, &Assumptions::default());
    let cases = [
        ("linkerd_control", "replicas", "3"),
        ("webhook", "failure_policy", "\"fail\""),
        ("webhook", "timeout", "\"5s\""),
        ("linkerd_identity", "lifetime", "\"12h\""),
        ("linkerd_outbound", "discovery_idle", "\"30s\""),
        ("linkerd_proxy", "await_ready", "false"),
    ];
    for (group, name, wanted) in cases {
        assert_eq!(setting(&draft, group, name), wanted, "{group}.{name}");
    }
    let names: Vec<&str> = draft.services.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["api", "web"]);
}

#[test]
fn pods_that_nothing_injects_are_taken_for_meshed_ones() {
    let text = shop(&["web", "api"]).replace("linkerd.io/inject: enabled", "note: none")
        + "apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata: {name: api, namespace: shop}\n\
           spec: {podSelector: {matchLabels: {app: api}}, port: 8080, accessPolicy: all-authenticated}\n";
    let loaded = Loaded::read([("a.yaml", text.as_bytes())]);
    let draft = super::draft(&loaded, Mesh::Linkerd, &Assumptions::default());
    assert_eq!(keys(&draft, "api")["server"], "{access_policy = \"all-authenticated\"}");
    let unused = draft.objects().into_iter().filter(|(_, _, state)| *state == State::Unused);
    assert_eq!(unused.count(), 0);
}

/// Manifests of a few services in one namespace, each of a Deployment with the account of its name.
pub(super) fn shop(names: &[&str]) -> String {
    let mut text = String::from(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, annotations: {linkerd.io/inject: enabled}}\n---\n",
    );
    for name in names {
        let _ = write!(
            text,
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
             selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
             spec: {{serviceAccountName: {name}, containers: [{{name: c, ports: [{{containerPort: 8080}}]}}]}}\n---\n\
             apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}\n---\n"
        );
    }
    text
}

/// The keys of a service, by name.
pub(super) fn keys(draft: &Draft<'_>, name: &str) -> BTreeMap<String, String> {
    let one = draft.services.iter().find(|one| one.name == name);
    let entries = one.into_iter().flat_map(|one| one.table.iter());
    entries.map(|(key, value)| (key.to_owned(), of(value))).collect()
}
