//! Hosts outside of Kubernetes (`ServiceEntry`) as services.
//!
//! A host has a workload for each set of labels of its endpoints; how long they work is assumed.
//! Source: Istio API `networking/v1/service_entry.proto`; `istio::registry` (which endpoints a host has).
//! Left out: addresses, ports, DNS as such, weights of endpoints, hosts of connections that are not HTTP.

use super::{Work, plain_host};
use crate::manifest::draft::value::{Table, Value};
use crate::manifest::draft::{Service, Workload};
use crate::manifest::istio::registry::{From, Known, backing};
use crate::manifest::istio::service_entry::{ServiceEntry, WorkloadEntry};
use crate::manifest::kubernetes::service::Protocol;
use crate::manifest::object::Labels;
use crate::manifest::selector::contains;

/// How long a host outside of the mesh works on a request.
const TIME: &str = "20ms";
/// How many requests it works on at once: others bring their own capacity.
const WORKERS: i64 = 100;

impl Work<'_, '_> {
    /// A service for each host.
    pub(super) fn entries(&mut self) {
        let istio = self.mesh.istio;
        let hosts: Vec<Known> = self.mesh.registry.iter().cloned().collect();
        for known in hosts {
            let From::Entry(index) = known.origin else { continue };
            let Some(entry) = istio.service_entries.get(index) else { continue };
            self.entry(&known, entry);
        }
    }

    fn entry(&mut self, known: &Known, entry: &ServiceEntry) {
        if self.hosts.contains_key(&known.host) {
            let why = "another entry of the host comes first";
            self.draft.ignore("ServiceEntry.spec.hosts", known.at, why);
            return;
        }
        if self.mesh.registry.named(&known.host).any(|other| other.origin == From::Kubernetes) {
            let why = "a Service of Kubernetes has this host";
            self.draft.ignore("ServiceEntry.spec.hosts", known.at, why);
            return;
        }
        let name = plain_host(&known.host, &entry.head.name);
        let name = self.draft.names.free(&entry.head.name, &name);
        self.used("ServiceEntry", &entry.head);
        let is_http = |protocol: Protocol| protocol.is_http() || protocol == Protocol::Unknown;
        if !known.ports.iter().any(|(.., protocol)| is_http(*protocol)) {
            let why =
                "its connections are not looked into: a service of a scenario is asked by HTTP";
            self.draft.ignore("ServiceEntry.spec.ports.protocol", entry.ports_at, why);
        }
        let mut service = Service::new(&name, None, Some(known.at));
        if !entry.in_mesh {
            let head = &entry.head;
            let spec = self.places.spec("ServiceEntry", &head.namespace, &head.name);
            let at = spec.and_then(|spec| spec.get("location")).map(|node| node.at);
            service.table.set("meshed", Value::bool(false).at_some(at));
        }
        let is_http2 = |protocol: Protocol| matches!(protocol, Protocol::Http2 | Protocol::Grpc);
        if known.ports.iter().any(|(.., protocol)| is_http2(*protocol)) {
            service.table.set("protocol", Value::text("http2").at(entry.ports_at));
        }
        service.workloads = self.workloads(known, entry);
        self.draft.services.push(service);
        self.hosts.insert(known.host.clone(), name);
    }

    /// What is behind a host, by labels.
    fn workloads(&mut self, known: &Known, entry: &ServiceEntry) -> Vec<Workload> {
        let machines = self.machines(entry);
        let mut sets: Vec<(Labels, u32)> = Vec::new();
        for machine in &machines {
            match sets.iter_mut().find(|(labels, _)| *labels == machine.labels) {
                Some((_, count)) => *count += 1,
                None => sets.push((machine.labels.clone(), 1)),
            }
        }
        if sets.is_empty() {
            let all = backing(self.mesh.cluster, self.mesh.istio, known, &Labels::new());
            let count = all.endpoints.unwrap_or(1);
            if count == 0 {
                return Vec::new();
            }
            sets.push((Labels::new(), count));
        }
        let several = sets.len() > 1;
        let workloads = sets.into_iter().enumerate().map(|(index, (labels, count))| {
            let mut table = Table::new();
            let replicas = Value::integer(count);
            let replicas = if machines.is_empty() {
                replicas.assumed("one address, found by DNS or by the client")
            } else {
                replicas.at(machines[0].at)
            };
            table.set("replicas", replicas);
            table.set("time", Value::text(TIME).assumed("a host outside of the mesh"));
            table.set("workers", Value::integer(WORKERS).assumed("it brings its own capacity"));
            let numbered = several.then(|| format!("v{}", index + 1));
            Workload {
                key: (entry.head.namespace.clone(), known.host.clone()),
                at: Some(known.at),
                version: labels.get("version").cloned().or(numbered),
                labels,
                table,
            }
        });
        let mut workloads: Vec<Workload> = workloads.collect();
        let mut seen = std::collections::BTreeSet::new();
        for (index, workload) in workloads.iter_mut().enumerate() {
            if !seen.insert(workload.version.clone()) {
                workload.version = Some(format!("endpoints-{}", index + 1));
            }
        }
        workloads
    }

    /// The endpoints that are written down, or selected.
    fn machines(&mut self, entry: &ServiceEntry) -> Vec<WorkloadEntry> {
        let selector = entry.workload_selector.as_ref().filter(|map| !map.is_empty());
        let Some(selector) = selector else { return entry.endpoints.clone() };
        let own = &entry.head.namespace;
        let pods = self.mesh.cluster.workloads.iter();
        if let Some(pod) =
            pods.clone().find(|pod| pod.namespace == *own && contains(&pod.labels, selector))
        {
            let why = "pods are endpoints of a host of their own: counted, not shared with their \
                       service";
            self.draft.ignore("ServiceEntry.spec.workloadSelector", pod.at, why);
        }
        let machines = self.mesh.istio.workload_entries.iter();
        let machines = machines.filter(|machine| {
            machine.head.namespace == *own && contains(&machine.labels, selector)
        });
        let machines: Vec<WorkloadEntry> = machines.cloned().collect();
        for machine in &machines {
            self.used("WorkloadEntry", &machine.head);
        }
        machines
    }
}
