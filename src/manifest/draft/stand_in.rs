//! A first draft: services with their workloads, versions, labels, replicas, and weights of virtual services.
//!
//! Source: core/v1 Service, apps/v1.
//! Left out: everything else.

use crate::manifest::draft::assumptions::Assumptions;
use crate::manifest::draft::value::{Table, Value};
use crate::manifest::draft::{Draft, Service, Workload};
use crate::manifest::istio::authentication::MtlsMode;
use crate::manifest::loaded::Loaded;
use crate::manifest::meshes::Mesh;

/// What the manifests say, in the keys of a scenario file.
pub fn draft<'l>(loaded: &'l Loaded, mesh: Mesh, _assumptions: &Assumptions) -> Draft<'l> {
    let mut draft = Draft::new(loaded, mesh);
    let profile = match mesh {
        Mesh::Istio => "istio-sidecar",
        Mesh::Linkerd => "linkerd",
        Mesh::GatewayApi => "none",
    };
    draft.settings.set("profile", Value::text(profile).assumed("by what the manifests hold"));
    for (key, own) in &loaded.cluster.services {
        let Some(name) = draft.names.services.get(key).cloned() else { continue };
        let mut service = Service::new(&name, Some(key.clone()), Some(own.at));
        let workloads = loaded.cluster.workloads_of(own);
        for workload in &workloads {
            let version = workload.labels.get("version").cloned();
            let mut table = Table::new();
            let mut labels = Table::new();
            for (key, value) in &workload.labels {
                labels.set(key, Value::text(value));
            }
            table.set("labels", Value::from(labels).at(workload.at));
            let replicas = Value::integer(workload.replicas).at_some(workload.replicas_at);
            table.set("replicas", replicas);
            table.set("time", Value::text("5ms").assumed("no manifest says how long work takes"));
            let key = (workload.namespace.clone(), workload.name.clone());
            service.workloads.push(Workload { key, at: Some(workload.at), version, table });
        }
        if let Some(selector) = own.selector.as_ref().filter(|_| !workloads.is_empty()) {
            let mut labels = Table::new();
            for (key, value) in selector {
                labels.set(key, Value::text(value));
            }
            service.table.set("selector", Value::from(labels).at(own.at));
        }
        if workloads.is_empty() {
            service.table.set("workload", Value::list([]));
        }
        draft.services.push(service);
    }
    for rules in &loaded.istio.virtual_services {
        for host in &rules.hosts {
            let Some(service) = draft.service_of(&rules.head.namespace, &host.text) else {
                continue;
            };
            for rule in rules.http.iter().filter(|rule| rule.matches.is_empty()) {
                let mut weights = Table::new();
                for one in &rule.routes {
                    let Some(subset) = &one.destination.subset else { continue };
                    let weight =
                        Value::integer(one.weight).at(one.weight_at.unwrap_or(one.destination.at));
                    weights.set(&*subset.text, weight);
                }
                let mut route = Table::new();
                if !weights.is_empty() {
                    route.set("weights", Value::from(weights).at(rule.at));
                }
                service.routes.push(route);
            }
        }
    }
    policies(&mut draft);
    draft
}

/// Subsets, connection pools, and what pods accept.
fn policies(draft: &mut Draft<'_>) {
    let istio = &draft.loaded.istio;
    for rule in &istio.destination_rules {
        let Some(host) = &rule.host else { continue };
        let Some(service) = draft.service_of(&rule.head.namespace, &host.text) else { continue };
        for subset in &rule.subsets {
            let mut labels = Table::new();
            for (key, value) in &subset.labels {
                labels.set(key, Value::text(value));
            }
            let mut table = Table::new();
            table.set("name", Value::text(&*subset.name).at(subset.at));
            table.set("labels", Value::from(labels).at(subset.at));
            service.subsets.push(table);
        }
    }
    for policy in istio.authorization_policies.iter().filter(|one| one.rules.is_empty()) {
        for service in &draft.services {
            if service.key.as_ref().is_some_and(|key| key.0 == policy.head.namespace) {
                let mut rbac = Table::new();
                rbac.set("action", Value::text("allow").at(policy.head.at));
                let mut filter = Table::new();
                filter.set("at", Value::text(&*service.name).at(policy.head.at));
                filter.set("direction", Value::text("inbound"));
                filter.set("rbac", Value::from(rbac));
                draft.filters.push(filter);
            }
        }
    }
    for policy in &istio.peer_authentications {
        let word = match policy.mode {
            MtlsMode::Strict => "strict",
            MtlsMode::Disable => "disable",
            _ => continue,
        };
        let namespace = &policy.head.namespace;
        for service in &mut draft.services {
            if service.key.as_ref().is_some_and(|key| key.0 == *namespace) {
                let mode = Value::text(word).at(policy.mode_at);
                service.table.set("peer_authentication", mode);
            }
        }
    }
}
