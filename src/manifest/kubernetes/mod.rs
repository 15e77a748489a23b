//! Kubernetes' own kinds: what runs, what is called, and who may take it away.
//!
//! [`Cluster::read`] turns objects into plain data: namespaces, [`service`]s with their ports,
//! [`workload`]s with their pods' labels, the endpoints behind each service, and the policies that decide
//! how many pods there are ([`policy`]). Service to workloads goes by labels, many to many.
//! Source: Kubernetes 1.34 API reference (core/v1, apps/v1, discovery/v1, autoscaling/v2, policy/v1,
//! admissionregistration/v1).
//! Left out: scheduling (affinity, taints, nodes), storage, and jobs.

pub mod container;
pub mod endpoint;
pub mod policy;
pub mod service;
pub mod workload;

use crate::manifest::findings::Findings;
use crate::manifest::istio::security;
use crate::manifest::node::{Node, Value};
use crate::manifest::object::{Labels, Manifests, Object};
use crate::manifest::reader::{self, Reader};
use crate::manifest::source::{At, Sources};
use crate::manifest::yaml;
use std::collections::BTreeMap;

use endpoint::Endpoints;
use policy::{Autoscaler, DisruptionBudget, Webhook};
use service::Service;
use workload::Workload;

/// A namespace and a name in it.
pub type Name = (String, String);

/// All that Kubernetes' kinds tell.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Cluster {
    /// Namespaces that have an object of their own.
    pub namespaces: BTreeMap<String, Namespace>,
    /// Services by namespace and name.
    pub services: BTreeMap<Name, Service>,
    /// What runs: by namespace, name and kind.
    pub workloads: Vec<Workload>,
    /// Written endpoints (Endpoints and `EndpointSlices`) by the service's namespace and name.
    pub endpoints: BTreeMap<Name, Vec<Endpoints>>,
    /// Service accounts by namespace and name.
    pub service_accounts: BTreeMap<Name, At>,
    /// Horizontal pod autoscalers.
    pub autoscalers: Vec<Autoscaler>,
    /// Pod disruption budgets.
    pub disruption_budgets: Vec<DisruptionBudget>,
    /// Admission webhooks, one entry a webhook.
    pub webhooks: Vec<Webhook>,
    /// Istio's mesh configuration: key `mesh` of the `ConfigMap` `istio`, parsed.
    pub mesh_config: Option<Node>,
    /// Whether namespaces ask for Istio's proxy by labels, so that those without one get none.
    pub injects_by_label: bool,
}

/// A namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Namespace {
    /// Its labels; `kubernetes.io/metadata.name` is always there.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// Where it is.
    pub at: At,
}

impl Cluster {
    /// Reads all Kubernetes objects; findings go to `findings`.
    pub fn read(objects: &[Object], sources: &Sources, findings: &mut Findings) -> Self {
        let mut cluster = Self::default();
        for object in objects {
            cluster.object(object, sources, findings);
        }
        workload::take_owned(&mut cluster.workloads);
        cluster.workloads.sort_by(|a, b| a.key().cmp(&b.key()));
        let mut namespaces = cluster.namespaces.values();
        cluster.injects_by_label = namespaces.any(|one| security::asks(&one.labels))
            && !cluster.webhooks.iter().any(|one| one.name.ends_with(security::INJECTS_ALL));
        cluster
    }

    /// Reads the Kubernetes objects of manifests, adding to their findings.
    pub fn of(manifests: &mut Manifests) -> Self {
        let Manifests { sources, objects, findings } = manifests;
        Self::read(objects, sources, findings)
    }

    fn object(&mut self, object: &Object, sources: &Sources, findings: &mut Findings) {
        let name = (object.id.namespace.clone(), object.id.name.clone());
        match (object.id.group.as_str(), object.id.kind.as_str()) {
            ("", "Namespace") => self.namespace(object),
            ("", "Service") => {
                let service =
                    reader::object(object, sources, findings, |r| service::read(object, r));
                self.services.insert(name, service);
            }
            ("", "Pod") | ("apps", _) => {
                self.workloads
                    .push(reader::object(object, sources, findings, |r| workload::read(object, r)));
            }
            ("", "Endpoints") => {
                let sets = reader::object(object, sources, findings, endpoint::read_endpoints);
                self.endpoints.entry(name).or_default().extend(sets);
            }
            ("discovery.k8s.io", "EndpointSlice") => {
                let slice = reader::object(object, sources, findings, endpoint::read_slice);
                if let Some(service) = object.labels.get("kubernetes.io/service-name") {
                    self.endpoints.entry((name.0, service.clone())).or_default().push(slice);
                }
            }
            ("", "ServiceAccount") => {
                self.service_accounts.insert(name, object.name_at);
            }
            ("", "ConfigMap") => self.config_map(object, sources, findings),
            ("autoscaling", _) => {
                let read = |r: &mut Reader<'_, '_>| policy::read_autoscaler(object, r);
                self.autoscalers.push(reader::object(object, sources, findings, read));
            }
            ("policy", _) => {
                let read = |r: &mut Reader<'_, '_>| policy::read_budget(object, r);
                self.disruption_budgets.push(reader::object(object, sources, findings, read));
            }
            ("admissionregistration.k8s.io", _) => {
                let read = |r: &mut Reader<'_, '_>| policy::read_webhooks(object, r);
                self.webhooks.extend(reader::object(object, sources, findings, read));
            }
            _ => {}
        }
    }

    fn namespace(&mut self, object: &Object) {
        let mut labels = object.labels.clone();
        labels.insert("kubernetes.io/metadata.name".to_owned(), object.id.name.clone());
        let (annotations, at) = (object.annotations.clone(), object.name_at);
        self.namespaces.insert(object.id.name.clone(), Namespace { labels, annotations, at });
    }

    /// Only Istio's mesh configuration is of interest; other `ConfigMaps` are the apps' own.
    fn config_map(&mut self, object: &Object, sources: &Sources, findings: &mut Findings) {
        if object.id.name != "istio" && !object.id.name.starts_with("istio-") {
            findings.not_modelled(sources, "v1/ConfigMap".into(), object.at, "no mesh reads it");
            return;
        }
        let Some(data) = object.node.get("data") else { return };
        if let Some(networks) = data.entry("meshNetworks") {
            let field = "ConfigMap.data.meshNetworks".to_owned();
            findings.ignore(sources, field, networks.key_at, "several networks are not simulated");
        }
        let Some(mesh) = data.get("mesh") else { return };
        let Some(text) = mesh.text() else { return };
        // The block starts in the line after its `|`, so places point into the file itself.
        let piece =
            crate::manifest::source::Piece { text, lines_before: mesh.at.line.saturating_sub(1) };
        let parsed = yaml::parse(mesh.at.source, piece);
        for fault in parsed.faults {
            let what = format!("in the mesh configuration: {}", fault.what);
            findings.problem(sources, mesh.at, what, fault.hint.as_deref().unwrap_or(""));
        }
        self.mesh_config = parsed.documents.into_iter().next().map(|mut config| {
            settle(&mut config, mesh.at, text, sources);
            config
        });
    }

    /// The labels of a namespace; one without an object of its own has only its name.
    pub fn namespace_labels(&self, name: &str) -> Labels {
        self.namespaces.get(name).map_or_else(
            || Labels::from([("kubernetes.io/metadata.name".to_owned(), name.to_owned())]),
            |namespace| namespace.labels.clone(),
        )
    }

    /// The service with this namespace and name.
    pub fn service(&self, namespace: &str, name: &str) -> Option<&Service> {
        self.services.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// The workloads of a namespace, in order.
    pub fn workloads_in(&self, namespace: &str) -> &[Workload] {
        let all = &self.workloads;
        let from = all.partition_point(|one| one.namespace.as_str() < namespace);
        let to = all.partition_point(|one| one.namespace.as_str() <= namespace);
        &all[from..to]
    }

    /// The workload with this namespace and name; of several kinds, the first.
    pub fn workload(&self, namespace: &str, name: &str) -> Option<&Workload> {
        let own = self.workloads_in(namespace);
        let at = own.partition_point(|one| one.name.as_str() < name);
        own.get(at).filter(|one| one.name == name)
    }

    /// The workloads that a service selects, in order; none without a selector.
    pub fn workloads_of(&self, service: &Service) -> Vec<&Workload> {
        let fits = |workload: &&Workload| service.selects(&workload.namespace, &workload.labels);
        self.workloads_in(&service.namespace).iter().filter(fits).collect()
    }

    /// The services that select a workload, in order.
    pub fn services_of(&self, workload: &Workload) -> Vec<&Service> {
        let fits = |service: &&Service| service.selects(&workload.namespace, &workload.labels);
        let own = self.services.range((workload.namespace.clone(), String::new())..);
        let own = own.take_while(|((namespace, _), _)| *namespace == workload.namespace);
        own.map(|(_, service)| service).filter(fits).collect()
    }

    /// How many endpoints a service can have: pods that it selects, or addresses written down.
    pub fn endpoint_count(&self, service: &Service) -> u32 {
        let pods: u32 = self.workloads_of(service).iter().map(|workload| workload.replicas).sum();
        let key = (service.namespace.clone(), service.name.clone());
        let written = self.endpoints.get(&key).map_or(0, |sets| endpoint::ready_count(sets));
        if service.selector.is_some() && pods > 0 { pods } else { written }
    }
}

/// Puts the places of a text within a text right: a block is indented; a quoted text has no lines of its
/// own, so its own place stands for all.
fn settle(config: &mut Node, at: At, text: &str, sources: &Sources) {
    let lines = text.lines().zip(0_u32..);
    let (own, after) =
        lines.into_iter().find(|(own, _)| !own.trim().is_empty()).unwrap_or_default();
    let line = sources.get(at.source).map_or(String::new(), |source| source.line(at.line + after));
    // A long line of a source is cut.
    let is_block = !line.trim().is_empty() && own.trim().starts_with(line.trim());
    let indent = |line: &str| line.len() - line.trim_start().len();
    let more = indent(&line).saturating_sub(indent(own));
    let more = u32::try_from(more).unwrap_or(0);
    let moved = |place: &mut At| {
        if is_block {
            place.column += more;
        } else {
            *place = at;
        }
    };
    let mut rest = vec![config];
    while let Some(node) = rest.pop() {
        moved(&mut node.at);
        match &mut node.value {
            Value::List(items) => rest.extend(items),
            Value::Map(entries) => {
                for entry in entries {
                    moved(&mut entry.key_at);
                    rest.push(&mut entry.value);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::{Protocol, Target};

    fn read(text: &str) -> (Cluster, Findings) {
        let mut manifests = Manifests::read([("a.yaml", text.as_bytes())]);
        let cluster = Cluster::of(&mut manifests);
        (cluster, manifests.findings)
    }

    const SHOP: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: web}
  - {name: grpc-api, port: 90}
  - {name: raw, port: 91, appProtocol: kubernetes.io/h2c}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-v1, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, version: v1}}
    spec:
      containers:
      - name: web
        image: web:1
        ports: [{name: web, containerPort: 8080}]
        resources: {requests: {cpu: 100m, memory: 64Mi}}
        readinessProbe: {httpGet: {path: /, port: web}, periodSeconds: 5}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: other, namespace: elsewhere}
spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {}}}
";

    #[test]
    fn services_find_their_workloads_and_ports() {
        let (cluster, findings) = read(SHOP);
        assert_eq!(findings, Findings::default());
        let web = cluster.service("shop", "web").unwrap();
        let workloads = cluster.workloads_of(web);
        assert_eq!(workloads.len(), 1, "another namespace is not selected");
        assert_eq!((workloads[0].replicas, cluster.endpoint_count(web)), (3, 3));
        assert_eq!(cluster.services_of(workloads[0]), [web]);
        assert_eq!(web.port(80).unwrap().target, Target::Name("web".into()));
        assert_eq!(workloads[0].port_number(&web.port(80).unwrap().target), Some(8080));
        assert_eq!(web.port(80).unwrap().protocol, Protocol::Http1);
        assert_eq!(web.port(90).unwrap().protocol, Protocol::Grpc);
        assert_eq!(web.port(91).unwrap().protocol, Protocol::Http2);
        let container = &workloads[0].containers[0];
        assert_eq!(container.cpu_request_milli, Some(100));
        assert_eq!(container.readiness.as_ref().unwrap().period_s, 5);
    }

    #[test]
    fn owned_pods_are_not_counted_twice() {
        let pod = |name: &str, owner: &str| {
            format!(
                "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: a}}, \
                 ownerReferences: [{{kind: ReplicaSet, name: {owner}, controller: true}}]}}\n\
                 spec: {{containers: [{{name: a}}]}}\n"
            )
        };
        let alone = read(&(pod("a-1", "a-x") + &pod("a-2", "a-x"))).0;
        assert_eq!(alone.workloads.len(), 1);
        assert_eq!((alone.workloads[0].name.as_str(), alone.workloads[0].replicas), ("a-x", 2));
        let set = "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: a-x, ownerReferences: \
                   [{kind: Deployment, name: a, controller: true}]}\nspec: {replicas: 2}\n---\n\
                   apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: 2}\n";
        let whole = read(&(set.to_owned() + &pod("a-1", "a-x") + &pod("a-2", "a-x"))).0;
        let names: Vec<_> = whole.workloads.iter().map(|w| (w.kind.word(), &*w.name)).collect();
        assert_eq!(names, [("Deployment", "a")]);
    }

    #[test]
    fn mesh_configuration_keeps_its_places() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
                    data:\n  mesh: |-\n    enableTracing: true\n    defaultConfig:\n      concurrency: 2\n";
        let mesh = read(text).0.mesh_config.unwrap();
        assert_eq!(mesh.entry("enableTracing").unwrap().key_at.line, 6);
        let config = mesh.get("defaultConfig").unwrap();
        let place = |at: At| (at.line, at.column);
        assert_eq!(place(config.entry("concurrency").unwrap().key_at), (8, 7));
        let quoted = text.split("|-").next().unwrap().to_owned()
            + "\"enableTracing: true\\ndefaultConfig:\\n  concurrency: 2\\n\"\n";
        let mesh = read(&quoted).0.mesh_config.unwrap();
        let config = mesh.get("defaultConfig").unwrap();
        assert_eq!(place(config.entry("concurrency").unwrap().key_at), (5, 9));
    }

    #[test]
    fn policies_are_read() {
        let text = "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 10
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {maxUnavailable: 50%, selector: {matchLabels: {app: web}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: inject}
webhooks:
- name: a.istio.io
  failurePolicy: Ignore
  timeoutSeconds: 5
  clientConfig: {service: {namespace: istio-system, name: istiod, path: /inject}}
  namespaceSelector: {matchLabels: {istio-injection: enabled}}
  rules: [{operations: [CREATE], apiGroups: [\"\"], apiVersions: [v1], resources: [pods]}]
  admissionReviewVersions: [v1]
  sideEffects: None
";
        let (cluster, findings) = read(text);
        assert_eq!(findings, Findings::default());
        assert_eq!(cluster.autoscalers[0].cpu_utilization_percent, Some(70));
        assert_eq!((cluster.autoscalers[0].min, cluster.autoscalers[0].max), (2, 10));
        assert!(cluster.disruption_budgets[0].max_unavailable.is_some());
        assert!(!cluster.webhooks[0].fails_closed);
        assert_eq!(cluster.webhooks[0].service, Some(("istio-system".into(), "istiod".into())));
    }
}
