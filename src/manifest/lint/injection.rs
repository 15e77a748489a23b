//! Injection: namespaces and pods with and without a proxy, old proxies, reserved users.
//!
//! Source: istio/istio `pkg/config/analysis/analyzers/injection`, `deployment/pod.go`,
//! `util/in_mesh.go`.
//! Left out: selectors of webhooks with expressions beyond labels (`IST0146` looks at both).

use crate::manifest::istio::security;
use crate::manifest::kubernetes::Cluster;
use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::lint::Lint;
use crate::manifest::node::{Node, Value};
use crate::manifest::object::{Labels, Object};
use std::collections::BTreeMap;

/// All rules of this file.
pub fn check(lint: &mut Lint<'_>) {
    namespaces(lint);
    pods_without_proxy(lint);
    old_images(lint);
    automatic_images(lint);
    reserved_user(lint);
}

const INJECTION: &str = "injection.Analyzer";
const INJECT: &str = "istio-injection";
const REVISION: &str = "istio.io/rev";
const MODE: &str = "istio.io/dataplane-mode";

/// Whether a namespace's pods are in ambient mode.
pub fn is_ambient(cluster: &Cluster, namespace: &str) -> bool {
    let labels = cluster.namespace_labels(namespace);
    labels.get(MODE).is_some_and(|mode| mode == "ambient") && !is_labelled(&labels)
}

fn is_labelled(labels: &Labels) -> bool {
    labels.get(INJECT).is_some_and(|value| value == "enabled") || labels.contains_key(REVISION)
}

/// Whether a workload has a proxy or is in ambient mode.
pub fn is_in_mesh(cluster: &Cluster, workload: &Workload) -> bool {
    let own = workload.annotations.get("ambient.istio.io/redirection");
    own.is_some_and(|value| value == "enabled")
        || is_ambient(cluster, &workload.namespace)
        || security::has_sidecar(cluster, workload)
}

fn is_system(name: &str) -> bool {
    name.starts_with("kube-") || matches!(name, "istio-system" | "local-path-storage")
}

/// Whether the injector's values say that namespaces are injected unless they say no.
fn by_default(lint: &Lint<'_>) -> bool {
    let text = injector_values(lint).map(|(_, text)| text);
    text.into_iter().any(|text| {
        serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|values| {
            values["sidecarInjectorWebhook"]["enableNamespacesByDefault"].as_bool() == Some(true)
        })
    })
}

/// The injector's values: its revision and the text.
fn injector_values<'l>(lint: &'l Lint<'_>) -> impl Iterator<Item = (String, String)> + 'l {
    let maps = lint.objects.iter().filter(|object| {
        object.is("", "ConfigMap") && object.id.name.starts_with("istio-sidecar-injector")
    });
    maps.filter_map(|object| {
        let ending = object.id.name.strip_prefix("istio-sidecar-injector").unwrap_or("");
        let named = ending.strip_prefix('-').unwrap_or("default");
        let revision = object.labels.get(REVISION).map_or(named, String::as_str).to_owned();
        let text = object.node.get("data")?.get("values")?.text()?.to_owned();
        Some((revision, text))
    })
}

fn namespaces(lint: &mut Lint<'_>) {
    let default = by_default(lint);
    for (name, namespace) in &lint.cluster.namespaces {
        if is_system(name) {
            continue;
        }
        let labels = &namespace.labels;
        let object = format!("Namespace {name}");
        let on = labels.get(INJECT).is_some_and(|value| value == "enabled");
        let off = labels.get(INJECT).is_some_and(|value| value == "disabled");
        let ambient = labels.get(MODE).is_some_and(|mode| mode == "ambient");
        let ways =
            [on, labels.contains_key(REVISION), ambient].into_iter().filter(|way| *way).count();
        if off {
            continue;
        }
        if ways > 1 {
            let what = "The namespace has more than one type of injection labels".to_owned();
            lint.report("IST0123", INJECTION, object, namespace.at, what);
        } else if ways == 0 && !labels.contains_key(INJECT) {
            let (code, what) = if default {
                (
                    "IST0148",
                    "is enabled for Istio injection, as Istio is installed with \
                     enableNamespacesByDefault as true.",
                )
            } else {
                ("IST0102", "The namespace is not enabled for Istio injection.")
            };
            lint.report(code, INJECTION, object, namespace.at, what.to_owned());
        }
    }
}

/// The pod's own spec of a pod or a workload's template.
fn pod_spec(object: &Object) -> Option<&Node> {
    let spec = object.node.get("spec")?;
    if object.id.kind == "Pod" { Some(spec) } else { spec.get("template")?.get("spec") }
}

/// Name and image of a pod's containers, those of native sidecars too.
fn images(object: &Object) -> Vec<(&str, &Node)> {
    let Some(spec) = pod_spec(object) else { return Vec::new() };
    let lists = ["containers", "initContainers"].into_iter().filter_map(|name| spec.get(name));
    let containers = lists.flat_map(Node::items);
    let pairs = containers
        .filter_map(|container| Some((container.get("name")?.text()?, container.get("image")?)));
    pairs.collect()
}

fn is_pod(object: &Object) -> bool {
    object.is("", "Pod")
}

/// Pods whose namespace is injected and that have no proxy.
fn pods_without_proxy(lint: &mut Lint<'_>) {
    const OWN: &str = "sidecar.istio.io/inject";
    for object in lint.objects.iter().filter(|object| is_pod(object)) {
        let labels = lint.cluster.namespace_labels(&object.id.namespace);
        if !is_labelled(&labels) || is_system(&object.id.namespace) {
            continue;
        }
        let own = object.labels.get(OWN).or_else(|| object.annotations.get(OWN));
        let off = own.is_some_and(|value| value == "false");
        let spec = pod_spec(object);
        let host = spec.and_then(|spec| spec.get("hostNetwork"));
        let host = host.is_some_and(|node| node.value == Value::Bool(true));
        let proxy = images(object).iter().any(|(name, _)| *name == "istio-proxy");
        if !off && !host && !proxy {
            let what = format!("The pod {} is missing the Istio proxy.", object.id.name);
            lint.report("IST0103", INJECTION, object.id.to_string(), object.name_at, what);
        }
    }
}

/// The image that a revision's injector sets.
fn injected_image(values: &str) -> Option<String> {
    let values: serde_json::Value = serde_json::from_str(values).ok()?;
    let global = &values["global"];
    let image = global["proxy"]["image"].as_str()?;
    if image.contains('/') {
        return Some(image.to_owned());
    }
    let text = |node: &serde_json::Value| match node {
        serde_json::Value::Number(number) => Some(number.to_string()),
        node => node.as_str().map(str::to_owned),
    };
    let (hub, tag) = (global["hub"].as_str()?, text(&global["tag"])?);
    Some(format!("{hub}/{image}:{tag}"))
}

fn old_images(lint: &mut Lint<'_>) {
    let values: BTreeMap<String, String> = injector_values(lint).collect();
    if values.is_empty() {
        return;
    }
    let mut old: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for object in lint.objects.iter().filter(|object| is_pod(object)) {
        let labels = lint.cluster.namespace_labels(&object.id.namespace);
        if !is_labelled(&labels) || object.annotations.contains_key("sidecar.istio.io/proxyImage") {
            continue;
        }
        let revision = labels.get(REVISION).map_or("default", String::as_str);
        let Some(text) = values.get(revision) else { continue };
        let Some(expected) = injected_image(text) else { continue };
        let proxy = images(object).into_iter().find(|(name, _)| *name == "istio-proxy");
        let image = proxy.and_then(|(_, image)| image.text());
        let differs = image.is_some_and(|image| plain(image) != plain(&expected));
        if differs {
            old.entry(object.id.namespace.clone()).or_default().push(object.id.name.clone());
        }
    }
    for (namespace, pods) in old {
        let at = lint.cluster.namespaces.get(&namespace).map(|namespace| namespace.at);
        let what = format!(
            "The Istio proxy images of the pods running in the namespace do not match the image \
             defined in the injection configuration (pod names: {})",
            pods.join(", ")
        );
        let object = format!("Namespace {namespace}");
        lint.report("IST0158", "injection.ImageAnalyzer", object, at.unwrap_or_default(), what);
    }
}

/// An image without the ending of its variant: which one is right depends on more than the manifests say.
fn plain(image: &str) -> &str {
    ["-distroless", "-debug"].iter().find_map(|end| image.strip_suffix(end)).unwrap_or(image)
}

/// `image: auto` is replaced by the injector only.
fn automatic_images(lint: &mut Lint<'_>) {
    for object in lint.objects {
        let pod = is_pod(object);
        if !pod && !object.is("apps", "Deployment") {
            continue;
        }
        let auto = images(object)
            .into_iter()
            .find(|(name, image)| *name == "istio-proxy" && image.text() == Some("auto"));
        let Some((_, image)) = auto else { continue };
        let labels = pod_labels(object);
        let namespace = lint.cluster.namespace_labels(&object.id.namespace);
        let injected = lint.cluster.webhooks.iter().any(|hook| {
            hook.is_mutating && hook.namespaces.matches(&namespace) && hook.objects.matches(&labels)
        });
        if !injected {
            let code = if pod { "IST0147" } else { "IST0146" };
            let what = format!(
                "{} contains `image: auto` but does not match any Istio injection webhook \
                 selectors.",
                object.id
            );
            lint.report(code, "injection.ImageAutoAnalyzer", object.id.to_string(), image.at, what);
        }
    }
}

fn pod_labels(object: &Object) -> Labels {
    if is_pod(object) {
        return object.labels.clone();
    }
    let meta = object.node.get("spec").and_then(|spec| spec.get("template")?.get("metadata"));
    let entries = meta.and_then(|meta| meta.get("labels")).map_or(&[][..], Node::entries);
    let pair = |entry: &crate::manifest::node::Entry| {
        Some((entry.key.clone(), entry.value.text()?.to_owned()))
    };
    entries.iter().filter_map(pair).collect()
}

/// The user of the proxy, whose traffic is not captured.
const PROXY_USER: i64 = 1337;

fn reserved_user(lint: &mut Lint<'_>) {
    let user = |node: &Node| {
        node.get("securityContext").and_then(|context| context.get("runAsUser")).cloned()
    };
    for object in
        lint.objects.iter().filter(|object| is_pod(object) || object.is("apps", "Deployment"))
    {
        let Some(spec) = pod_spec(object) else { continue };
        let containers = spec.get("containers").map_or(&[][..], Node::items);
        let apps = containers
            .iter()
            .filter(|container| container.get("name").and_then(Node::text) != Some("istio-proxy"));
        let users = std::iter::once(spec).chain(apps).filter_map(user);
        let found = users.into_iter().find(|node| node.value == Value::Int(PROXY_USER));
        if let Some(node) = found {
            let what = "User ID (UID) 1337 is reserved for the sidecar proxy.".to_owned();
            lint.report("IST0144", "applicationUID.Analyzer", object.id.to_string(), node.at, what);
        }
    }
}
