//! Kubernetes' part of a draft: services with their workloads.
//!
//! A Service is a service; a workload belongs to one of the Services that select it, and the others select it by
//! labels. A workload that no Service selects is a service of its own, without callers.
//! Source: core/v1 Service (selection within the namespace); docs/scenarios.md (`service`, `service.workload`).
//! Left out: ports of one service that speak different protocols, headless services as such (both on the ignored list).

use crate::manifest::draft::control_plane::{self, Role};
use crate::manifest::draft::names::Key;
use crate::manifest::draft::places::Places;
use crate::manifest::draft::selection::{self, Number, Selection};
use crate::manifest::draft::value::{Table, Value};
use crate::manifest::draft::{Draft, Service, Workload, membership, mesh_config, pods};
use crate::manifest::kubernetes::service::{Protocol, Service as Declared};
use crate::manifest::kubernetes::{endpoint, workload};
use crate::manifest::meshes::Mesh;
use crate::manifest::object::Labels;
use std::collections::BTreeSet;

/// Fills the draft with services and workloads, and with what concerns the whole mesh.
pub(super) fn kubernetes(draft: &mut Draft<'_>) {
    let loaded = draft.loaded;
    let places = Places::of_all(&loaded.manifests);
    control_plane::settings(draft, &places);
    mesh_config::mesh_config(draft);
    let mut selection = Selection::of(draft);
    for (key, declared) in &loaded.cluster.services {
        if !selection.is_control_plane(draft, declared) {
            service(draft, &places, &mut selection, key, declared);
        }
    }
    for number in 0..selection.apps.len() {
        if selection.owner[number].is_none() {
            alone(draft, &places, &mut selection, number);
        }
    }
    selection::selectors(draft, &selection);
    membership::membership(draft, &places);
    mark(draft);
}

fn service<'l>(
    draft: &mut Draft<'l>,
    places: &Places<'_>,
    selection: &mut Selection<'l>,
    key: &Key,
    declared: &Declared,
) {
    let Some(name) = draft.names.services.get(key).cloned() else { return };
    let mut service = Service::new(&name, Some(key.clone()), Some(declared.at));
    protocol(draft, declared, &mut service.table);
    told_of(draft, declared);
    let own = selection.own.get(key).cloned().unwrap_or_default();
    let index = draft.services.len();
    for (number, version) in versions(&selection.apps, &own, &declared.name) {
        let app = selection.apps[number];
        let workload = workload(draft, places, app, &name, version);
        selection.place[number] = Some((index, service.workloads.len()));
        service.workloads.push(workload);
    }
    if selection.of.get(key).is_none_or(Vec::is_empty) {
        let written = written(draft, key, declared, &name);
        // Pods that no selector tells are nobody's that was read: no injector had a part in them.
        if let Some(at) = written.as_ref().filter(|_| declared.selector.is_none()).map(|one| one.at)
            && !draft.is_meshless()
        {
            service.table.set("meshed", Value::bool(false).at_some(at));
        }
        service.workloads.extend(written);
    }
    draft.services.push(service);
}

/// A workload that no Service selects.
fn alone<'l>(
    draft: &mut Draft<'l>,
    places: &Places<'_>,
    selection: &mut Selection<'l>,
    number: Number,
) {
    let app = selection.apps[number];
    let name = draft.names.free(&app.namespace, selection::own_name(app));
    let mut service = Service::new(&name, None, Some(app.at));
    service.workloads.push(workload(draft, places, app, &name, None));
    selection.place[number] = Some((draft.services.len(), 0));
    draft.services.push(service);
}

/// The version of each workload of a service: by its label, else by its name.
fn versions(
    apps: &[&workload::Workload],
    own: &[Number],
    service: &str,
) -> Vec<(Number, Option<String>)> {
    let by = |label: &str| -> Vec<Option<String>> {
        own.iter().map(|one| apps[*one].labels.get(label).cloned()).collect()
    };
    let count = |all: &[Option<String>]| -> usize {
        all.iter().flatten().collect::<BTreeSet<&String>>().len()
    };
    let recommended = by("app.kubernetes.io/version");
    let is_told = count(&recommended) == own.len() && 1 < own.len();
    let labels: Vec<Option<String>> = by("version")
        .into_iter()
        .zip(recommended)
        .map(|(version, other)| version.or(other.filter(|_| is_told)))
        .collect();
    let is_once =
        |version: &String| labels.iter().flatten().filter(|other| *other == version).count() == 1;
    let by_name = |one: Number| {
        let name = selection::own_name(apps[one]);
        let rest = name.strip_prefix(service).and_then(|rest| rest.strip_prefix(['-', '.', '_']));
        rest.filter(|rest| !rest.is_empty()).unwrap_or(name).to_owned()
    };
    let version = |(one, label): (&Number, &Option<String>)| {
        let label = label.clone().filter(|label| !label.is_empty() && is_once(label));
        (*one, label.or_else(|| (1 < own.len()).then(|| by_name(*one))))
    };
    own.iter().zip(&labels).map(version).collect()
}

fn workload(
    draft: &mut Draft<'_>,
    places: &Places<'_>,
    app: &workload::Workload,
    service: &str,
    version: Option<String>,
) -> Workload {
    let version = draft.names.version(service, version, selection::own_name(app));
    let key = (app.namespace.clone(), app.name.clone());
    let named = (service.to_owned(), version.clone());
    draft.names.workloads.entry(key.clone()).or_insert(named);
    let table = pods::table(draft, places, app);
    Workload { key, at: Some(app.at), version, labels: app.labels.clone(), table }
}

/// What stands behind a Service that selects nothing that was read: endpoints that are written down, or a host
/// outside.
fn written(
    draft: &mut Draft<'_>,
    key: &Key,
    declared: &Declared,
    service: &str,
) -> Option<Workload> {
    let sets = draft.loaded.cluster.endpoints.get(key);
    let ready = sets.map_or(0, |sets| endpoint::ready_count(sets));
    let at = sets.and_then(|sets| sets.first()).map_or(declared.at, |set| set.at);
    let mut table = Table::new();
    if selection::is_alias(declared) {
        let host = declared.external_name.clone().unwrap_or_default();
        let why = format!("{host} is outside of the manifests: one endpoint");
        table.set("replicas", Value::integer(1).assumed(why));
    } else if 0 < ready {
        table.set("replicas", Value::integer(ready).at(at));
    } else {
        return None;
    }
    table.set("workers", draft.assumptions.workers_of(None));
    table.set("time", draft.assumptions.time.clone());
    let version = draft.names.version(service, None, &key.1);
    Some(Workload { key: key.clone(), at: Some(at), version, labels: Labels::new(), table })
}

/// `protocol`: that of the first port with requests.
fn protocol(draft: &mut Draft<'_>, declared: &Declared, table: &mut Table) {
    let ports = &declared.ports;
    let http = ports.iter().find(|port| port.protocol.is_http());
    let unknown = ports.iter().find(|port| port.protocol == Protocol::Unknown);
    let Some(chosen) = http.or(unknown).or(ports.first()) else { return };
    let kind = |protocol: Protocol| match protocol {
        Protocol::Http1 | Protocol::WebSocket | Protocol::Unknown => 0,
        Protocol::Http2 | Protocol::Grpc => 1,
        Protocol::Tls | Protocol::Tcp => 2,
        Protocol::Udp => 3,
    };
    let own = kind(chosen.protocol);
    // Linkerd's proxies speak HTTP/2 with each other, whatever their apps speak.
    if draft.mesh != Mesh::Linkerd {
        let upgrade = draft.mesh == Mesh::Istio && draft.loaded.istio.mesh.h2_upgrade;
        let at = chosen.app_protocol.as_ref().map_or(chosen.at, |word| word.at);
        if own == 1 {
            table.set("protocol", Value::text("http2").at(at));
        } else if upgrade && own == 0 {
            let at = draft.loaded.istio.mesh.at;
            table.set("protocol", Value::text("http2").at_some(at));
        }
        if 1 < own {
            let why = "bytes that are no HTTP: simulated as requests over HTTP/1.1";
            draft.ignore("Service.spec.ports.protocol", chosen.at, why);
        }
    }
    if let Some(other) = ports.iter().find(|port| kind(port.protocol) != own) {
        let why = "ports of another protocol: a service of a scenario speaks one, that of its first HTTP port";
        draft.ignore("Service.spec.ports", other.at, why);
    }
}

fn told_of(draft: &mut Draft<'_>, declared: &Declared) {
    if declared.is_headless {
        let why = "a headless service is balanced as any other";
        draft.ignore("Service.spec.clusterIP", declared.at, why);
    }
    if declared.publishes_not_ready {
        let why = "pods that are not ready are no endpoints";
        draft.ignore("Service.spec.publishNotReadyAddresses", declared.at, why);
    }
}

/// Marks the objects that left something in the draft.
fn mark(draft: &mut Draft<'_>) {
    let loaded = draft.loaded;
    let mut used = Vec::new();
    let accounts: BTreeSet<(&str, &str)> = loaded
        .cluster
        .workloads
        .iter()
        .map(|one| (one.namespace.as_str(), one.service_account.as_str()))
        .collect();
    let spaces: BTreeSet<&str> = accounts
        .iter()
        .map(|(space, _)| *space)
        .chain(loaded.cluster.services.keys().map(|(space, _)| space.as_str()))
        .collect();
    let is_nowhere = |one: &&workload::Workload| {
        matches!(control_plane::role(loaded, one), Role::Egress | Role::Agent)
    };
    let nowhere: BTreeSet<(&str, &str)> = loaded
        .cluster
        .workloads
        .iter()
        .filter(is_nowhere)
        .map(|one| (one.namespace.as_str(), one.name.as_str()))
        .collect();
    for object in &loaded.manifests.objects {
        let id = &object.id;
        let slice_of = object.labels.get("kubernetes.io/service-name").unwrap_or(&id.name);
        let is_used = match (id.group.as_str(), id.kind.as_str()) {
            ("", "Service") => true,
            ("", "Pod") | ("apps", _) => !nowhere.contains(&(&*id.namespace, &*id.name)),
            ("", "Namespace") => spaces.contains(id.name.as_str()),
            ("", "ServiceAccount") => accounts.contains(&(&*id.namespace, &*id.name)),
            ("", "Endpoints") | ("discovery.k8s.io", _) => {
                loaded.cluster.service(&id.namespace, slice_of).is_some()
            }
            _ => false,
        };
        if is_used {
            used.push(id);
        }
    }
    draft.used.extend(used.into_iter().cloned());
}
