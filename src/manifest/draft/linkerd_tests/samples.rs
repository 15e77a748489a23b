//! All real inputs: no panic, and each object of Linkerd's and SMI's is in the draft or on the ignored list.
//!
//! Source: samples of Linkerd, Istio and the Gateway API, read in place.
//! Left out: what they mean; that they pass is all.

use super::{drafted, text};
use crate::manifest::draft::assumptions::Assumptions;
use crate::manifest::draft::value::{Kind, Origin, Value};
use crate::manifest::draft::{self, Draft};
use crate::manifest::loaded::Loaded;
use crate::manifest::meshes::Mesh;
use crate::manifest::object::Object;
use crate::manifest::source::At;
use crate::manifest::tests::inputs;
use std::path::{Path, PathBuf};

fn files(folder: &Path, found: &mut Vec<PathBuf>, depth: usize) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        if path.is_dir() && depth < 6 {
            files(&path, found, depth + 1);
        } else if is_yaml {
            found.push(path);
        }
    }
}

#[test]
fn no_sample_panics() {
    let folders =
        ["linkerd-samples", "istio-samples", "istio-conformance", "gateway-api-conformance"];
    for folder in folders {
        let Some(folder) = inputs(folder) else { continue };
        let mut found = Vec::new();
        files(&folder, &mut found, 0);
        for path in found {
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let loaded = Loaded::read([(name.as_str(), &bytes[..])]);
            let _ = text(&drafted(&loaded));
            let whole = draft::draft(&loaded, Mesh::Linkerd, &Assumptions::default());
            let _ = text(&whole);
        }
    }
}

#[test]
fn each_of_many_servers_has_its_own_clients() {
    use std::fmt::Write as _;
    let names: Vec<String> = (0..150).map(|index| format!("s{index}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut text = super::shop(&names);
    for (index, name) in names.iter().enumerate() {
        let client = names[(index + 1) % names.len()];
        let _ = write!(
            text,
            "apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{podSelector: {{matchLabels: {{app: {name}}}}}, port: 8080}}\n---\n\
             apiVersion: policy.linkerd.io/v1alpha1\nkind: AuthorizationPolicy\n\
             metadata: {{name: {name}, namespace: shop}}\nspec:\n  \
             targetRef: {{group: policy.linkerd.io, kind: Server, name: {name}}}\n  \
             requiredAuthenticationRefs: [{{kind: ServiceAccount, name: {client}}}]\n---\n"
        );
    }
    let loaded = Loaded::read([("a.yaml", text.as_bytes())]);
    let draft = drafted(&loaded);
    let clients = super::keys(&draft, "s7")["server"].clone();
    assert_eq!(clients, "{access_policy = \"deny\", clients = [\"s8\"]}");
}

/// All places that a draft's values come from.
fn places(draft: &Draft<'_>) -> Vec<At> {
    let mut found = Vec::new();
    let mut stack: Vec<Value> = vec![draft.settings.clone().into()];
    for one in &draft.services {
        stack.push(one.table.clone().into());
        stack.extend(one.workloads.iter().map(|own| own.table.clone().into()));
    }
    while let Some(value) = stack.pop() {
        if let Origin::Written(at) = value.origin {
            found.push(at);
        }
        match value.kind {
            Kind::List(list) => stack.extend(list),
            Kind::Table(table) => stack.extend(table.iter().map(|(_, value)| value.clone())),
            _ => {}
        }
    }
    found
}

/// Whether a value of the draft comes from an object, or something of its kind is on the ignored list.
fn is_told(draft: &Draft<'_>, object: &Object, end: u32) -> bool {
    let is_in = |at: &At| at.source == object.at.source && (object.at.line..end).contains(&at.line);
    let kind = format!("{}.", object.id.kind);
    let read = &draft.loaded.manifests.findings;
    let mut ignored = draft.findings.ignored.keys().chain(read.ignored.keys());
    places(draft).iter().any(is_in) || ignored.any(|field| field.starts_with(&kind))
}

#[test]
fn each_object_is_said_or_named() {
    let Some(folder) = inputs("linkerd-samples") else { return };
    let mut found = Vec::new();
    files(&folder, &mut found, 0);
    let mut untold = Vec::new();
    for path in found {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let is_shell = |line: &&str| line.contains("<<EOF") || *line == "EOF";
        let lines: Vec<&str> = text.lines().filter(|line| !is_shell(line)).collect();
        let text = lines.join("\n");
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let loaded = Loaded::read([(name.as_str(), text.as_bytes())]);
        let draft = drafted(&loaded);
        let objects = &loaded.manifests.objects;
        for object in objects {
            let own = ["linkerd.io", "policy.linkerd.io", "smi-spec.io"];
            let is_own = own.iter().any(|group| object.id.group.ends_with(group));
            // Routes are another part's; what an AuthorizationPolicy asks for stands behind it.
            let kind = object.id.kind.as_str();
            if !is_own || kind == "HTTPRoute" {
                continue;
            }
            let starts = objects.iter().map(|other| other.at.line);
            let end = starts.filter(|line| *line > object.at.line).min().unwrap_or(u32::MAX);
            if !is_told(&draft, object, end) {
                untold.push(format!("{name}: {}", object.id));
            }
        }
    }
    assert_eq!(untold, [""; 0]);
}
