//! Services: names of ports, and several services of one deployment.
//!
//! Source: istio/istio `pkg/config/analysis/analyzers/service/portname.go`, `deployment/services.go`.
//! Left out: nothing.

use crate::manifest::kubernetes::service::{Protocol, ServiceKind, Target};
use crate::manifest::kubernetes::workload::WorkloadKind;
use crate::manifest::lint::Lint;
use crate::manifest::lint::injection::is_in_mesh;
use crate::manifest::node::Node;
use crate::manifest::source::At;
use std::collections::{BTreeMap, BTreeSet};

/// All rules of this file.
pub fn check(lint: &mut Lint<'_>) {
    port_names(lint);
    several_services(lint);
}

const PORT_NAMES: &str = "service.PortNameAnalyzer";

fn port_names(lint: &mut Lint<'_>) {
    let root = &lint.istio.mesh.root_namespace;
    let mut found: Vec<(&'static str, String, At, String)> = Vec::new();
    for service in lint.cluster.services.values() {
        let system = service.namespace.starts_with("kube-") || service.namespace == *root;
        let generated = service.labels.contains_key("operator.istio.io/component")
            || service.labels.contains_key("gateway.istio.io/managed");
        if system || generated {
            continue;
        }
        let object = format!("Service {}/{}", service.namespace, service.name);
        for port in service.ports.iter().filter(|port| port.is_tcp) {
            let external = service.kind == ServiceKind::ExternalName;
            let unknown = port.protocol == Protocol::Unknown;
            if external && (unknown || port.protocol == Protocol::Tcp) {
                let what =
                    format!("Port name `{}` for ExternalName service is invalid.", port.name);
                found.push(("IST0150", object.clone(), port.at, what));
            } else if unknown {
                let what = format!(
                    "Port name `{}` (port: {}) doesn't follow the naming convention of Istio port.",
                    port.name, port.number
                );
                found.push(("IST0118", object.clone(), port.at, what));
            }
        }
    }
    for (code, object, at, what) in found {
        lint.report(code, PORT_NAMES, object, at, what);
    }
}

const SERVICES: &str = "deployment.MultiServiceAnalyzer";

fn several_services(lint: &mut Lint<'_>) {
    let deployments: Vec<_> = lint
        .cluster
        .workloads
        .iter()
        .filter(|one| one.kind == WorkloadKind::Deployment && is_injected(lint, &one.namespace))
        .filter(|one| is_in_mesh(lint.cluster, one))
        .cloned()
        .collect();
    let trees = trees(lint);
    for deployment in deployments {
        let services = lint.cluster.services_of(&deployment);
        let mut protocols: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
        let mut targets: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
        for service in services {
            for port in &service.ports {
                let tree = trees.get(&(&*service.namespace, &*service.name));
                protocols.entry(port.number).or_default().insert(written(tree, port.number));
                let target = match &port.target {
                    Target::Number(number) => number.to_string(),
                    Target::Name(name) => name.clone(),
                };
                targets.entry(target).or_default().insert(port.number);
            }
        }
        let object = format!("Deployment {}/{}", deployment.namespace, deployment.name);
        let name = &deployment.name;
        for (port, spoken) in protocols.iter().filter(|(_, spoken)| spoken.len() > 1) {
            let what = format!(
                "This deployment {name} is associated with multiple services using port {port} \
                 but different protocols: {spoken:?}"
            );
            lint.report("IST0116", SERVICES, object.clone(), deployment.at, what);
        }
        for (target, ports) in targets.iter().filter(|(_, ports)| ports.len() > 1) {
            let what = format!(
                "This deployment {name} is associated with multiple services using targetPort \
                 \"{target}\" but different ports: {ports:?}"
            );
            lint.report("IST0137", SERVICES, object.clone(), deployment.at, what);
        }
    }
}

/// Whether a namespace says that it is injected; without its object it is taken to be.
fn is_injected(lint: &Lint<'_>, namespace: &str) -> bool {
    lint.cluster.namespaces.get(namespace).is_none_or(|found| {
        found.labels.get("istio-injection").is_some_and(|value| value == "enabled")
            || found.labels.contains_key("istio.io/rev")
    })
}

/// The trees of all services, by namespace and name.
fn trees<'l>(lint: &Lint<'l>) -> BTreeMap<(&'l str, &'l str), &'l Node> {
    let services = lint.objects.iter().filter(|object| object.is("", "Service"));
    let named = services
        .map(|object| ((object.id.namespace.as_str(), object.id.name.as_str()), &object.node));
    named.collect()
}

/// `protocol` of a service's port as it stands in the manifest.
fn written(tree: Option<&&Node>, number: u16) -> String {
    let ports = tree.and_then(|node| node.get("spec")?.get("ports"));
    let wanted = crate::manifest::node::Value::Int(i64::from(number));
    let port = ports
        .map_or(&[][..], Node::items)
        .iter()
        .find(|port| port.get("port").is_some_and(|node| node.value == wanted));
    let text = port.and_then(|port| port.get("protocol")).and_then(Node::text);
    text.unwrap_or("TCP").to_owned()
}
