//! Which Services select which workloads, in the manifests and in the scenario.
//!
//! A workload belongs to one of the Services that select it; the others have a selector in the scenario, by the
//! Service's own labels if they mean the same workloads there, else by a label that is made for it.
//! Source: core/v1 Service (selection within the namespace, many to many); docs/scenarios.md (`selector`, `labels`: a
//! scenario has no namespaces).
//! Left out: nothing.

use crate::manifest::draft::control_plane::{self, Role};
use crate::manifest::draft::names::Key;
use crate::manifest::draft::value::{Kind, Table, Value};
use crate::manifest::draft::{Draft, Service, Workload};
use crate::manifest::gateway_api::resolve;
use crate::manifest::kubernetes::service::{Service as Declared, ServiceKind};
use crate::manifest::kubernetes::workload;
use crate::manifest::object::Labels;
use std::collections::{BTreeMap, BTreeSet};

/// What selects a workload of the scenario where no label of its pods tells it from all others.
const SELECTED_BY: &str = "services/";

/// Workloads by their number among all that are apps.
pub(super) type Number = usize;

/// Where the draft has a workload: its service and its number there.
pub(super) type Place = (usize, usize);

/// What Services select.
pub(super) struct Selection<'l> {
    /// The apps.
    pub(super) apps: Vec<&'l workload::Workload>,
    /// The apps that each Service selects.
    pub(super) of: BTreeMap<Key, Vec<Number>>,
    /// The Service that each app belongs to.
    pub(super) owner: Vec<Option<Key>>,
    /// The apps that belong to each Service.
    pub(super) own: BTreeMap<Key, Vec<Number>>,
    /// Where the draft has each app.
    pub(super) place: Vec<Option<Place>>,
}

impl<'l> Selection<'l> {
    pub(super) fn of(draft: &Draft<'l>) -> Self {
        let cluster = &draft.loaded.cluster;
        let is_app =
            |one: &&workload::Workload| control_plane::role(draft.loaded, one) == Role::App;
        let apps: Vec<&workload::Workload> = cluster.workloads.iter().filter(is_app).collect();
        let mut spaces: BTreeMap<&str, Vec<Number>> = BTreeMap::new();
        for (number, app) in apps.iter().enumerate() {
            spaces.entry(&app.namespace).or_default().push(number);
        }
        let mut of: BTreeMap<Key, Vec<Number>> = BTreeMap::new();
        let mut selecting: Vec<Vec<&Declared>> = vec![Vec::new(); apps.len()];
        for (key, service) in &cluster.services {
            let is_chosen = |number: &Number| service.selects(&key.0, &apps[*number].labels);
            let near = spaces.get(key.0.as_str()).into_iter().flatten().copied();
            let chosen: Vec<Number> = near.filter(is_chosen).collect();
            for number in &chosen {
                selecting[*number].push(service);
            }
            of.insert(key.clone(), chosen);
        }
        let owner: Vec<Option<Key>> =
            apps.iter().zip(&selecting).map(|(app, all)| owner(app, all)).collect();
        let mut own: BTreeMap<Key, Vec<Number>> = BTreeMap::new();
        for (number, key) in owner.iter().enumerate() {
            if let Some(key) = key {
                own.entry(key.clone()).or_default().push(number);
            }
        }
        let place = vec![None; apps.len()];
        let mut selection = Self { apps, of, owner, own, place };
        selection.aliases(draft);
        selection
    }

    /// An `ExternalName` of a Service in the cluster is another name of it.
    fn aliases(&mut self, draft: &Draft<'_>) {
        let cluster = &draft.loaded.cluster;
        for (key, service) in &cluster.services {
            let Some(host) = service.external_name.as_ref().filter(|_| is_alias(service)) else {
                continue;
            };
            let host = host.trim_end_matches('.');
            let Some(target) = resolve::find_service(cluster, &key.0, host) else { continue };
            let target = (target.namespace.clone(), target.name.clone());
            if let Some(all) = self.of.get(&target).cloned().filter(|_| target != *key) {
                self.of.insert(key.clone(), all);
            }
        }
    }

    /// Whether a Service is in front of the control plane or of gateways, which are no services of a scenario.
    pub(super) fn is_control_plane(&self, draft: &Draft<'_>, service: &Declared) -> bool {
        let key = (service.namespace.clone(), service.name.clone());
        let selects_apps = self.of.get(&key).is_some_and(|all| !all.is_empty());
        let Some(selector) = service.selector.as_ref().filter(|_| !selects_apps) else {
            return false;
        };
        let others = draft.loaded.cluster.workloads_of(service);
        !others.is_empty() || control_plane::role_of_labels(selector) != Role::App
    }
}

pub(super) fn is_alias(service: &Declared) -> bool {
    service.kind == ServiceKind::ExternalName
}

/// The name of a workload; of pods whose Deployment was not read, that of the Deployment.
pub(super) fn own_name(app: &workload::Workload) -> &str {
    let hash = app.labels.get("pod-template-hash");
    let short = hash.and_then(|hash| app.name.strip_suffix(hash.as_str())?.strip_suffix('-'));
    short.filter(|short| !short.is_empty()).unwrap_or(&app.name)
}

/// The Service that a workload belongs to: one of its name, else one that is no headless one, by name.
fn owner(app: &workload::Workload, selecting: &[&Declared]) -> Option<Key> {
    let label = |key: &str| app.labels.get(key);
    let rank = |service: &&&Declared| {
        let named = |name: Option<&String>| name == Some(&service.name);
        let by_name = named(label("app"))
            || named(label("app.kubernetes.io/name"))
            || own_name(app) == service.name;
        let width = service.selector.as_ref().map_or(usize::MAX, Labels::len);
        (!by_name, service.is_headless, width, service.name.clone())
    };
    let first = selecting.iter().min_by_key(rank)?;
    Some((first.namespace.clone(), first.name.clone()))
}

/// Gives services a selector where they select other workloads than their own.
pub(super) fn selectors(draft: &mut Draft<'_>, selection: &Selection<'_>) {
    let mut groups: BTreeMap<BTreeSet<Place>, String> = BTreeMap::new();
    for index in 0..draft.services.len() {
        let Some(key) = draft.services[index].key.clone() else { continue };
        let Some(selected) = selection.of.get(&key) else { continue };
        if selected.iter().any(|one| selection.owner[*one].as_ref() != Some(&key)) {
            let wanted = selected.iter().filter_map(|one| selection.place[*one]).collect();
            select(draft, index, wanted, &mut groups);
        }
    }
}

/// By the Service's own labels, if they mean the same workloads in the scenario, which has no namespaces; else by one
/// that is made for these workloads.
fn select(
    draft: &mut Draft<'_>,
    index: usize,
    wanted: BTreeSet<Place>,
    groups: &mut BTreeMap<BTreeSet<Place>, String>,
) {
    let at = draft.services[index].at;
    let key = draft.services[index].key.as_ref();
    let declared = key.and_then(|key| draft.loaded.cluster.services.get(key));
    let mut labels: Vec<(String, String)> = Vec::new();
    for (label, value) in declared.and_then(|one| one.selector.as_ref()).into_iter().flatten() {
        labels.push((draft.label(label), value.clone()));
    }
    if labels.is_empty() || having(draft, &labels) != wanted {
        let known = groups.get(&wanted).cloned();
        let name = known.unwrap_or_else(|| {
            let name = format!("{SELECTED_BY}{}", draft.services[index].name);
            for (service, workload) in &wanted {
                let table = &mut draft.services[*service].workloads[*workload].table;
                table.below("labels").set(&*name, Value::text("yes").at_some(at));
            }
            groups.insert(wanted, name.clone());
            name
        });
        labels = vec![(name, "yes".to_owned())];
    }
    let mut selector = Table::new();
    for (label, value) in labels {
        selector.set(label, Value::text(value).at_some(at));
    }
    draft.services[index].table.set("selector", Value::from(selector).at_some(at));
}

/// The scenario's workloads that have all of these labels there.
fn having(draft: &Draft<'_>, labels: &[(String, String)]) -> BTreeSet<Place> {
    let mut all = BTreeSet::new();
    for (index, service) in draft.services.iter().enumerate() {
        for (own, workload) in service.workloads.iter().enumerate() {
            if labels.iter().all(|(label, value)| has(service, workload, label, value)) {
                all.insert((index, own));
            }
        }
    }
    all
}

fn has(service: &Service, workload: &Workload, label: &str, value: &str) -> bool {
    let given = match workload.table.get("labels").map(|value| &value.kind) {
        Some(Kind::Table(labels)) => labels.get(label).map(|value| &value.kind),
        _ => None,
    };
    match (given, label) {
        (Some(Kind::Text(text)), _) => text == value,
        (_, "app") => service.name == value,
        (_, "version") => workload.version.as_deref() == Some(value),
        _ => false,
    }
}
