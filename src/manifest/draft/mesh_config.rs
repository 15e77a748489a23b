//! Istio's `meshConfig` as parameters of `[mesh]`.
//!
//! Source: istio api `mesh/v1alpha1/{config,proxy}.proto`; docs/parameters.md.
//! Left out: what has no parameter (on the ignored list), balancing by locality, which is a policy of services.

use crate::manifest::draft::Draft;
use crate::manifest::draft::control_plane::whole;
use crate::manifest::draft::places::below;
use crate::manifest::draft::value::Value;
use crate::manifest::meshes::Mesh;
use crate::manifest::node::{self, Node};
use crate::manifest::source::At;
use crate::manifest::units::{self, DurationForm};

/// What a mesh reads and no key says: path below `meshConfig`, why.
const IGNORED: &[(&[&str], &str)] = &[
    (&["defaultConfig", "tracing"], "traces cost nothing here"),
    (&["meshMTLS"], "the lowest version of TLS is a key of services"),
    (&["defaultConfig", "proxyStatsMatcher"], "statistics have one cost"),
    (&["discoverySelectors"], "istiod watches all namespaces"),
    (&["serviceSettings"], "where services of several clusters are reached"),
];

/// Adds the mesh's settings.
pub(super) fn mesh_config(draft: &mut Draft<'_>) {
    let loaded = draft.loaded;
    let Some(config) = loaded.cluster.mesh_config.as_ref() else { return };
    if draft.mesh != Mesh::Istio {
        return;
    }
    let maps = loaded.manifests.of("", "ConfigMap").map(|object| object.id.clone());
    let named = maps.filter(|id| id.name == "istio" || id.name.starts_with("istio-"));
    for id in named {
        draft.used(&id);
    }
    time(draft, config, &["connectTimeout"], ("cluster", "connect_timeout"));
    let drain = ["defaultConfig", "terminationDrainDuration"];
    time(draft, config, &drain, ("drain", "termination"));
    let proxy = |name| below(config, &["defaultConfig", name]);
    if let Some(node) = proxy("concurrency") {
        match whole(node) {
            Some(threads) if 0 < threads => {
                draft.settings.below("proxy").set("workers", Value::integer(threads).at(node.at));
            }
            _ => {
                let why = "as many threads as the node has cores, which no manifest says";
                draft.ignore("meshConfig.defaultConfig.concurrency", node.at, why);
            }
        }
    }
    if let Some(node) = proxy("holdApplicationUntilProxyStarts")
        && let node::Value::Bool(flag) = node.value
    {
        draft.settings.below("pod").set("hold_app", Value::bool(flag).at(node.at));
    }
    let lifetime = ["defaultConfig", "proxyMetadata", "SECRET_TTL"];
    time(draft, config, &lifetime, ("cert", "ttl"));
    retries(draft);
    policies(draft);
    for (path, why) in IGNORED {
        if let Some(node) = below(config, path) {
            draft.ignore(format!("meshConfig.{}", path.join(".")), node.at, why);
        }
    }
}

/// A time of the configuration as a parameter.
fn time(draft: &mut Draft<'_>, config: &Node, path: &[&str], parameter: (&str, &str)) {
    let Some(node) = below(config, path) else { return };
    let read = node.text().and_then(|text| units::duration_ns(text, DurationForm::Go).ok());
    if let Some(ns) = read {
        draft.settings.below(parameter.0).set(parameter.1, Value::duration(ns).at(node.at));
    }
}

fn retries(draft: &mut Draft<'_>) {
    let Some(retries) = &draft.loaded.istio.mesh.retries else { return };
    let (at, settings) = (retries.at, draft.settings.below("retry"));
    settings.set("attempts", Value::integer(retries.attempts).at(at));
    let time = |ns: Option<u64>| ns.map(|ns| Value::duration(ns).at(at));
    settings.set_some("per_try_timeout", time(retries.per_try_ns));
    settings.set_some("backoff_base", time(retries.backoff_ns));
    // Envoy's longest wait is ten times the base.
    settings.set_some("backoff_max", time(retries.backoff_ns.map(|ns| ns.saturating_mul(10))));
    let previous = retries.previous_hosts.map(|flag| Value::bool(flag).at(at));
    settings.set_some("previous_hosts", previous);
    let (mut words, mut statuses) = (Vec::new(), Vec::new());
    for word in retries.retry_on.iter().flatten() {
        let list = if word.parse::<u16>().is_ok() { &mut statuses } else { &mut words };
        list.push(word.as_str());
    }
    if !statuses.is_empty() && !words.contains(&"retriable-status-codes") {
        words.push("retriable-status-codes");
    }
    if !words.is_empty() {
        settings.set("on", Value::text(words.join(",")).at(at));
    }
    if !statuses.is_empty() {
        settings.set("statuses", Value::text(statuses.join(",")).at(at));
    }
}

/// Switches that no key has.
fn policies(draft: &mut Draft<'_>) {
    let mesh = &draft.loaded.istio.mesh;
    let at = mesh.at.unwrap_or_default();
    if !mesh.allow_any {
        let why = "hosts that no manifest names are not in a draft";
        let at: At = mesh.allow_any_at.unwrap_or(at);
        draft.ignore("meshConfig.outboundTrafficPolicy.mode", at, why);
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::draft::value::{Kind, Table, Value};
    use crate::manifest::draft::{Draft, assumptions::Assumptions, draft};
    use crate::manifest::loaded::Loaded;
    use crate::manifest::meshes::Mesh;

    fn at<'t>(table: &'t Table, path: &[&str]) -> Option<&'t Value> {
        let (last, groups) = path.split_last()?;
        let mut here = table;
        for group in groups {
            match &here.get(group)?.kind {
                Kind::Table(table) => here = table,
                _ => return None,
            }
        }
        here.get(last)
    }

    #[test]
    fn settings_of_the_mesh_are_parameters_with_their_lines() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
                    data:\n  mesh: |-\n    connectTimeout: 3s\n    defaultConfig:\n      concurrency: 4\n\
                    \x20     holdApplicationUntilProxyStarts: true\n    defaultHttpRetryPolicy: {attempts: 5, retryOn: '5xx,429'}\n\
                    \x20   outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n";
        let loaded = Loaded::read([("mesh.yaml", text.as_bytes())]);
        let draft: Draft<'_> = draft(&loaded, Mesh::Istio, &Assumptions::default());
        let get = |path: &[&str]| at(&draft.settings, path).cloned().unwrap();
        assert_eq!(get(&["cluster", "connect_timeout"]).kind, Kind::Text("3s".into()));
        assert_eq!(get(&["proxy", "workers"]).kind, Kind::Integer(4));
        assert_eq!(get(&["pod", "hold_app"]).kind, Kind::Bool(true));
        assert_eq!(get(&["retry", "attempts"]).kind, Kind::Integer(5));
        assert_eq!(get(&["retry", "on"]).kind, Kind::Text("5xx,retriable-status-codes".into()));
        assert_eq!(get(&["retry", "statuses"]).kind, Kind::Text("429".into()));
        let place = |value: Value| match value.origin {
            crate::manifest::draft::value::Origin::Written(at) => at.line,
            _ => 0,
        };
        assert_eq!(place(get(&["cluster", "connect_timeout"])), 6);
        assert_eq!(place(get(&["proxy", "workers"])), 8);
        assert!(draft.findings.ignored.contains_key("meshConfig.outboundTrafficPolicy.mode"));
    }
}
