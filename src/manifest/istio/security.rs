//! Whether a server lets a client in: mutual TLS, then authorisation.
//!
//! A sidecar with `STRICT` closes plain connections: the client's proxy answers 503 UC. Mutual TLS to a
//! server without a sidecar fails in the handshake: 503 UF,URX. Without a rule clients use mutual TLS
//! with servers that have a sidecar. Who has one is decided here for all. Policies: a pod's over its namespace's over the mesh's.
//! Source: istio/istio `pilot/pkg/model/authentication.go`, `pilot/pkg/security/authn`,
//! `pilot/pkg/networking/core/cluster_tls.go`; what clients see: `reference/istio.md` 3.5.
//! Left out: certificates as such (see `model/identity`), tokens of `RequestAuthentication`.

use crate::manifest::istio::authentication::{MtlsMode, PeerAuthentication};
use crate::manifest::istio::authorize::{self, Facts};
use crate::manifest::istio::mesh::{Mesh, View};
use crate::manifest::istio::registry::{From, Known};
use crate::manifest::istio::traffic_policy::{ClientTls, TlsMode};
use crate::manifest::kubernetes::Cluster;
use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::object::Labels;
use crate::manifest::route::{Destination, Direct};
use crate::manifest::selector::contains;
use crate::manifest::source::At;

/// What a pod or its template says of its proxy.
const INJECT: &str = "sidecar.istio.io/inject";

/// The webhook that is there where namespaces without a label get Istio's proxy, too
/// (`enableNamespacesByDefault`).
pub const INJECTS_ALL: &str = "auto.sidecar-injector.istio.io";

/// Namespaces whose pods no injector is asked about.
const SYSTEM: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// Whether a workload has a sidecar: it is there already, or it will be injected.
pub fn has_sidecar(cluster: &Cluster, workload: &Workload) -> bool {
    if workload.containers.iter().any(|container| container.name == "istio-proxy") {
        return true;
    }
    let own = workload.labels.get(INJECT).or_else(|| workload.annotations.get(INJECT));
    if let Some(own) = own {
        return own != "false";
    }
    !workload.pod.host_network && is_injected(cluster, &workload.namespace, &workload.labels)
}

/// Whether pods with these labels get a sidecar, as far as labels say.
///
/// A namespace without a label gets none where others have one. Where none has one, the manifests do not say who
/// is injected, and all are taken to be; so are the pods of a namespace that is not among the manifests.
pub fn is_injected(cluster: &Cluster, namespace: &str, labels: &Labels) -> bool {
    if let Some(own) = labels.get(INJECT) {
        return own != "false";
    }
    if SYSTEM.contains(&namespace) {
        return false;
    }
    let Some(found) = cluster.namespaces.get(namespace) else { return true };
    if found.labels.get("istio-injection").is_some_and(|value| value == "disabled") {
        return false;
    }
    !cluster.injects_by_label || asks(labels) || asks(&found.labels)
}

/// Whether labels of a namespace or a pod ask for Istio's proxy.
pub fn asks(labels: &Labels) -> bool {
    let is = |key: &str, value: &str| labels.get(key).is_some_and(|word| word == value);
    is("istio-injection", "enabled")
        || labels.contains_key("istio.io/rev")
        || is(INJECT, "true")
        || is("istio.io/dataplane-mode", "ambient")
}

/// Which connections the pods with these labels accept on a port, and what says so.
pub fn server_mode(
    mesh: &Mesh<'_>,
    namespace: &str,
    labels: &Labels,
    port: u16,
) -> (MtlsMode, Option<At>) {
    let all = &mesh.istio.peer_authentications;
    let own = |policy: &&PeerAuthentication| policy.head.namespace == namespace;
    let for_pods = all.iter().filter(own).find(|policy| {
        policy.is_for_pods()
            && policy.selector.as_ref().is_some_and(|selector| contains(labels, selector))
    });
    if let Some(policy) = for_pods {
        let ported = policy.ports.iter().find(|(number, ..)| *number == port);
        if let Some((_, mode, at)) = ported.filter(|(_, mode, _)| *mode != MtlsMode::Unset) {
            return (*mode, Some(*at));
        }
    }
    let for_namespace = all.iter().filter(own).find(|policy| !policy.is_for_pods());
    let root = &mesh.istio.mesh.root_namespace;
    let for_mesh = all.iter().find(|p| p.head.namespace == *root && !p.is_for_pods());
    let levels = [for_pods, for_namespace, for_mesh];
    let set = levels.into_iter().flatten().find(|policy| policy.mode != MtlsMode::Unset);
    set.map_or((MtlsMode::Permissive, None), |policy| (policy.mode, Some(policy.mode_at)))
}

/// Why the servers of a destination refuse this client; none if one of them lets it in.
pub fn refusal(
    mesh: &Mesh<'_>,
    view: &View<'_>,
    known: &Known,
    destination: &Destination,
    tls: Option<&ClientTls>,
) -> Option<Direct> {
    if known.origin != From::Kubernetes {
        return None;
    }
    let service = mesh.cluster.service(&known.namespace, &known.name)?;
    let target = service.port(destination.port).map(|port| &port.target);
    let workloads = mesh.cluster.workloads_of(service);
    let mut first = None;
    for workload in
        workloads.iter().filter(|workload| destination.workloads.contains(&workload.name))
    {
        let port =
            target.and_then(|target| workload.port_number(target)).unwrap_or(destination.port);
        match one_refusal(mesh, view, workload, port, destination, tls) {
            None => return None,
            refused => first = first.or(refused),
        }
    }
    first
}

fn one_refusal(
    mesh: &Mesh<'_>,
    view: &View<'_>,
    workload: &Workload,
    port: u16,
    destination: &Destination,
    tls: Option<&ClientTls>,
) -> Option<Direct> {
    let injected = has_sidecar(mesh.cluster, workload);
    let (mode, mode_at) = server_mode(mesh, &workload.namespace, &workload.labels, port);
    let accepts_mutual = injected && mode != MtlsMode::Disable;
    let by_rule =
        tls.map_or(String::new(), |tls| format!(" (DestinationRule at {})", mesh.place(tls.at)));
    let proxy = view.client.has_proxy;
    let mutual = match tls.map(|tls| tls.mode) {
        _ if !proxy => false,
        Some(TlsMode::IstioMutual) => true,
        Some(_) => false,
        None => mesh.istio.mesh.auto_mtls && accepts_mutual,
    };
    let own_tls = matches!(tls.map(|tls| tls.mode), Some(TlsMode::Simple | TlsMode::Mutual));
    if mutual && !accepts_mutual {
        let why = if injected { "its sidecar has mTLS disabled" } else { "it has no sidecar" };
        let name = &workload.name;
        let reason =
            format!("mutual TLS to {name}{by_rule}, but {why}: TLS_error WRONG_VERSION_NUMBER");
        return Some(Direct::new(503, "UF,URX", reason));
    }
    if !mutual && injected && mode == MtlsMode::Strict {
        let place = mode_at.map_or(String::new(), |at| format!(" ({})", mesh.place(at)));
        let spoken = if own_tls { "TLS of its own" } else { "plain text" };
        let reason = format!("{spoken}{by_rule} to {}, whose mTLS is STRICT{place}", workload.name);
        // Without a proxy of its own the client sees the connection closed.
        let (status, flag) = if proxy { (503, "UC") } else { (0, "") };
        return Some(Direct::new(status, flag, reason));
    }
    if !injected {
        return None;
    }
    let account = account_of(mesh, view);
    let facts = Facts {
        principal: mutual.then(|| {
            let (namespace, domain) = (&view.client.namespace, &mesh.istio.mesh.trust_domain);
            format!("{domain}/ns/{namespace}/sa/{account}")
        }),
        request: Some(&destination.request),
        port,
    };
    authorize::decide(mesh, &workload.namespace, &workload.labels, &facts).refused(mesh)
}

/// The service account of a client's pods.
fn account_of(mesh: &Mesh<'_>, view: &View<'_>) -> String {
    let client = view.client;
    let name = client.workload.as_ref();
    let found = name.and_then(|name| mesh.cluster.workload(&client.namespace, name));
    found.map_or_else(|| "default".to_owned(), |workload| workload.service_account.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::draft;
    use crate::manifest::draft::assumptions::Assumptions;
    use crate::manifest::draft::value::Kind;
    use crate::manifest::loaded::Loaded;
    use crate::manifest::meshes::Mesh;

    const APPS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: a, labels: {LABEL: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: b}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: one, namespace: a}
spec: {selector: {matchLabels: {app: one}}, template: {metadata: {labels: {app: one}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: two, namespace: b}
spec: {selector: {matchLabels: {app: two}}, template: {metadata: {labels: {app: two}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: three, namespace: c}
spec: {selector: {matchLabels: {app: three}}, template: {metadata: {labels: {app: three}}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: istio-sidecar-injector}
webhooks:
- name: WEBHOOK
  failurePolicy: Fail
  clientConfig: {service: {namespace: istio-system, name: istiod}}
  rules: [{operations: [CREATE], apiGroups: [\"\"], apiVersions: [v1], resources: [pods]}]
  admissionReviewVersions: [v1]
  sideEffects: None
";

    #[test]
    fn a_route_and_a_run_have_the_same_proxies() {
        let one = "namespace.sidecar-injector.istio.io";
        for (label, webhook, expected) in [
            ("istio-injection", one, [true, false, true]),
            ("istio-injection", INJECTS_ALL, [true, true, true]),
            ("team", one, [true, true, true]),
        ] {
            let text = APPS.replace("LABEL", label).replace("WEBHOOK", webhook);
            let loaded = Loaded::read([("a.yaml", text.as_bytes())]);
            let draft = draft::draft(&loaded, Mesh::Istio, &Assumptions::default());
            for (name, expected) in ["one", "two", "three"].into_iter().zip(expected) {
                let mut all = loaded.cluster.workloads.iter();
                let workload = all.find(|one| one.name == name).unwrap();
                assert_eq!(has_sidecar(&loaded.cluster, workload), expected, "{label}: {name}");
                let mut all = draft.services.iter();
                let service = all.find(|one| one.name == name).unwrap();
                let meshed = service.table.get("meshed").map(|value| &value.kind);
                assert_eq!(meshed.is_none(), expected, "{label}: {name}: {meshed:?}");
                assert!(matches!(meshed, None | Some(Kind::Bool(false))));
            }
        }
    }
}
