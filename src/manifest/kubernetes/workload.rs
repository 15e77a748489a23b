//! Workloads: Deployments, `StatefulSets`, `DaemonSets`, `ReplicaSets` and bare Pods.
//!
//! In a dump of a cluster a pod belongs to its ReplicaSet and that to its Deployment: what is owned by
//! something that was read is taken by it; pods whose owner was not read become one workload of its name.
//! Source: apps/v1; core/v1 Pod; `metadata.ownerReferences`.
//! Left out: how many nodes a `DaemonSet` runs on (it counts as one replica).

use crate::manifest::kubernetes::container::{self, Container, PodSpec};
use crate::manifest::kubernetes::service::Target;
use crate::manifest::object::{Labels, Object};
use crate::manifest::reader::{IntOrText, Reader};
use crate::manifest::selector::Selector;
use crate::manifest::source::At;
use std::collections::{BTreeMap, BTreeSet};

/// What runs behind services.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Workload {
    /// What controls it.
    pub kind: WorkloadKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The labels of its pods.
    pub labels: Labels,
    /// The annotations of its pods.
    pub annotations: Labels,
    /// How many pods; default 1.
    pub replicas: u32,
    /// Whether `replicas` is written.
    pub replicas_at: Option<At>,
    /// Its containers.
    pub containers: Vec<Container>,
    /// Its service account; `default` if not told.
    pub service_account: String,
    /// What else its pods tell.
    pub pod: PodSpec,
    /// Pods more than `replicas` while it is rolled out; default 25 %.
    pub max_surge: Option<IntOrText>,
    /// Pods less than `replicas` while it is rolled out; default 25 %.
    pub max_unavailable: Option<IntOrText>,
    /// Whether a rollout stops all old pods first.
    pub recreates: bool,
    /// Where its name is.
    pub at: At,
    /// The controller that made it: kind and name.
    owner: Option<(String, String)>,
}

/// What controls a workload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum WorkloadKind {
    /// A Deployment.
    Deployment,
    /// A `StatefulSet`.
    StatefulSet,
    /// A `DaemonSet`.
    DaemonSet,
    /// A ReplicaSet without a Deployment.
    ReplicaSet,
    /// A pod without a controller.
    Pod,
}

impl WorkloadKind {
    /// The kind's name in Kubernetes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::ReplicaSet => "ReplicaSet",
            Self::Pod => "Pod",
        }
    }
}

impl Workload {
    /// Namespace, name and kind.
    pub fn key(&self) -> (&str, &str, WorkloadKind) {
        (&self.namespace, &self.name, self.kind)
    }

    /// The number of a port of its pods.
    pub fn port_number(&self, target: &Target) -> Option<u16> {
        match target {
            Target::Number(number) => Some(*number),
            Target::Name(name) => {
                let mut ports = self.containers.iter().flat_map(|container| &container.ports);
                ports.find(|(known, _)| known == name).map(|(_, number)| *number)
            }
        }
    }
}

/// Reads a workload.
pub fn read(object: &Object, reader: &mut Reader<'_, '_>) -> Workload {
    let kind = match object.id.kind.as_str() {
        "Deployment" => WorkloadKind::Deployment,
        "StatefulSet" => WorkloadKind::StatefulSet,
        "DaemonSet" => WorkloadKind::DaemonSet,
        "ReplicaSet" => WorkloadKind::ReplicaSet,
        _ => WorkloadKind::Pod,
    };
    let is_pod = kind == WorkloadKind::Pod;
    let mut workload = Workload {
        kind,
        namespace: object.id.namespace.clone(),
        name: object.id.name.clone(),
        labels: if is_pod { object.labels.clone() } else { Labels::new() },
        annotations: if is_pod { object.annotations.clone() } else { Labels::new() },
        replicas: 1,
        replicas_at: None,
        containers: Vec::new(),
        service_account: "default".to_owned(),
        pod: PodSpec::default(),
        max_surge: None,
        max_unavailable: None,
        recreates: false,
        at: object.name_at,
        owner: owner(object),
    };
    let pod = if is_pod {
        reader.map("spec", container::read_pod)
    } else {
        reader.map("spec", |spec| read_controller(&mut workload, spec)).flatten()
    };
    let mut pod = pod.unwrap_or_default();
    workload.containers = std::mem::take(&mut pod.containers);
    if let Some(account) = &pod.service_account {
        workload.service_account.clone_from(account);
    }
    workload.pod = pod;
    workload
}

fn read_controller(workload: &mut Workload, spec: &mut Reader<'_, '_>) -> Option<PodSpec> {
    if let Some(replicas) = spec.count("replicas") {
        workload.replicas = replicas;
        workload.replicas_at = Some(spec.at_field("replicas"));
    }
    let selector = spec.map("selector", Selector::read);
    for strategy in ["strategy", "updateStrategy"] {
        spec.map(strategy, |strategy| {
            strategy.pass(&["partition"]);
            workload.recreates = strategy.text("type").as_deref() == Some("Recreate");
            strategy.map("rollingUpdate", |update| {
                workload.max_surge = update.int_or_text("maxSurge");
                workload.max_unavailable = update.int_or_text("maxUnavailable");
                update.pass(&["partition"]);
            });
        });
    }
    let pod = spec.map("template", |template| {
        template.map("metadata", |metadata| {
            workload.labels = metadata.labels("labels");
            workload.annotations = metadata.labels("annotations");
            metadata.pass_all();
        });
        template.map("spec", container::read_pod)
    });
    let fits = selector.is_none_or(|selector| selector.matches(&workload.labels));
    if !fits && pod.is_some() {
        let what = format!("the selector of {} does not match its pods' labels", workload.name);
        spec.problem(spec.at_field("selector"), what, "the API server refuses this");
    }
    spec.pass(&[
        "minReadySeconds",
        "revisionHistoryLimit",
        "progressDeadlineSeconds",
        "paused",
        "serviceName",
        "podManagementPolicy",
        "volumeClaimTemplates",
        "persistentVolumeClaimRetentionPolicy",
        "ordinals",
    ]);
    pod.flatten()
}

fn owner(object: &Object) -> Option<(String, String)> {
    let owners = object.node.get("metadata")?.get("ownerReferences")?.items();
    let owner = owners.first()?;
    let text = |key: &str| owner.get(key).and_then(|node| node.text()).map(str::to_owned);
    Some((text("kind")?, text("name")?))
}

/// Takes what is owned by something that was read; gathers pods whose owner was not.
pub fn take_owned(workloads: &mut Vec<Workload>) {
    let known: BTreeSet<(String, String, String)> = workloads
        .iter()
        .map(|w| (w.namespace.clone(), w.kind.word().to_owned(), w.name.clone()))
        .collect();
    let mut gathered: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    let mut kept: Vec<Workload> = Vec::with_capacity(workloads.len());
    for mut workload in std::mem::take(workloads) {
        let Some((kind, name)) = workload.owner.clone() else {
            kept.push(workload);
            continue;
        };
        let key = (workload.namespace.clone(), kind, name);
        if known.contains(&key) {
            continue;
        }
        if workload.kind != WorkloadKind::Pod {
            kept.push(workload);
        } else if let Some(&index) = gathered.get(&key) {
            kept[index].replicas += 1;
        } else {
            gathered.insert(key.clone(), kept.len());
            workload.name = key.2;
            workload.kind = match key.1.as_str() {
                "StatefulSet" => WorkloadKind::StatefulSet,
                "DaemonSet" => WorkloadKind::DaemonSet,
                "ReplicaSet" => WorkloadKind::ReplicaSet,
                _ => WorkloadKind::Pod,
            };
            kept.push(workload);
        }
    }
    *workloads = kept;
}
