//! The registry: which hosts the mesh knows, with ports, protocols and endpoints.
//!
//! A Kubernetes service is `name.namespace.svc.cluster.local`; each host of a `ServiceEntry` is a
//! service, too. A host of several owners is, to each client, that of its own namespace, then the
//! Kubernetes service, then that of the oldest entry.
//! Source: istio/istio `pilot/pkg/serviceregistry/kube/conversion.go`, `serviceentry/conversion.go`
//! (labels of endpoints, `networking.istio.io/exportTo`), `pilot/pkg/model/push_context.go`.
//! Left out: several clusters; addresses of virtual machines.

use crate::manifest::istio::Istio;
use crate::manifest::istio::check::Subnet;
use crate::manifest::istio::host;
use crate::manifest::istio::service_entry::{Resolution, ServiceEntry};
use crate::manifest::kubernetes::Cluster;
use crate::manifest::kubernetes::service::{Protocol, ServiceKind};
use crate::manifest::object::Labels;
use crate::manifest::selector::contains;
use crate::manifest::source::At;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The annotation by which a Kubernetes service says who sees it.
pub const EXPORT_ANNOTATION: &str = "networking.istio.io/exportTo";

/// One host that the mesh knows.
#[derive(Clone, PartialEq, Debug)]
pub struct Known {
    /// The full host.
    pub host: String,
    /// The namespace of its object.
    pub namespace: String,
    /// Its name: the service's, or the host itself.
    pub name: String,
    /// Where it comes from.
    pub origin: From,
    /// Its ports: number, name, protocol.
    pub ports: Vec<(u16, String, Protocol)>,
    /// Where it stands.
    pub at: At,
    /// Who sees it.
    pub export: Vec<String>,
    /// The host of the cluster that it is another name for (`ExternalName`).
    pub alias_of: Option<String>,
    /// Its virtual addresses, as far as they are written down.
    pub addresses: Vec<Subnet>,
}

/// Where a host comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum From {
    /// A Kubernetes service.
    Kubernetes,
    /// The service entry with this index.
    Entry(usize),
}

/// The endpoints that a part of a host has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Backing {
    /// Workloads by name.
    pub workloads: Vec<String>,
    /// How many endpoints there can be; none: that cannot be known from the manifests.
    pub endpoints: Option<u32>,
}

/// All hosts that the mesh knows.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Registry {
    list: Vec<Known>,
    by_host: BTreeMap<String, Vec<usize>>,
    by_port: BTreeMap<u16, Vec<usize>>,
    wildcards: Vec<usize>,
}

impl Known {
    /// What is spoken on a port.
    pub fn protocol(&self, port: u16) -> Option<Protocol> {
        self.ports.iter().find(|(number, ..)| *number == port).map(|(.., protocol)| *protocol)
    }

    /// Whether it is visible in a namespace.
    pub fn visible_in(&self, client: &str) -> bool {
        self.export.is_empty()
            || self.export.iter().any(|text| match text.as_str() {
                "*" => true,
                "." => self.namespace == client,
                other => other == client,
            })
    }
}

impl Registry {
    /// The registry of a cluster and its service entries.
    pub fn of(cluster: &Cluster, istio: &Istio) -> Self {
        let mut registry = Self::default();
        let default = &istio.mesh.default_service_export;
        for service in cluster.services.values() {
            let written = service.annotations.get(EXPORT_ANNOTATION);
            let export = written.map_or_else(
                || default.clone(),
                |text| text.split(',').map(|part| part.trim().to_owned()).collect(),
            );
            let ports = service.ports.iter().filter(|port| port.is_tcp);
            registry.add(Known {
                host: service.host(),
                namespace: service.namespace.clone(),
                name: service.name.clone(),
                origin: From::Kubernetes,
                ports: ports.map(|port| (port.number, port.name.clone(), port.protocol)).collect(),
                at: service.at,
                export,
                alias_of: service.external_name.clone(),
                addresses: Vec::new(),
            });
        }
        for (index, entry) in istio.service_entries.iter().enumerate() {
            let words = entry.export_to.list.iter().map(|word| word.text.clone());
            let export: Vec<String> =
                if entry.export_to.list.is_empty() { default.clone() } else { words.collect() };
            let addresses: Vec<Subnet> =
                entry.addresses.iter().filter_map(|word| Subnet::parse(&word.text)).collect();
            for host in &entry.hosts {
                registry.add(Known {
                    host: host.text.clone(),
                    namespace: entry.head.namespace.clone(),
                    name: host.text.clone(),
                    origin: From::Entry(index),
                    ports: entry
                        .ports
                        .iter()
                        .map(|port| (port.number, port.name.clone(), port.spoken()))
                        .collect(),
                    at: host.at,
                    export: export.clone(),
                    alias_of: None,
                    addresses: addresses.clone(),
                });
            }
        }
        registry.aliases();
        registry
    }

    /// An alias has the ports of what it stands for.
    fn aliases(&mut self) {
        for index in 0..self.list.len() {
            let Some(name) = self.list[index].alias_of.clone() else { continue };
            let real = self.by_host.get(&name).and_then(|indices| indices.first());
            match real.copied().filter(|real| *real != index) {
                Some(real) => {
                    let ports = self.list[real].ports.clone();
                    for port in ports {
                        if self.list[index].protocol(port.0).is_none() {
                            self.by_port.entry(port.0).or_default().push(index);
                            self.list[index].ports.push(port);
                        }
                    }
                }
                None => self.list[index].alias_of = None,
            }
        }
    }

    /// What a host stands for, if it is an alias of another; one step.
    pub fn real<'r>(&'r self, known: &'r Known) -> &'r Known {
        let name = known.alias_of.as_ref().and_then(|name| self.by_host.get(name)?.first());
        name.map_or(known, |index| &self.list[*index])
    }

    /// Adds a host; what one namespace says of it in several entries is put together.
    fn add(&mut self, known: Known) {
        let same = self.by_host.get(&known.host).and_then(|indices| {
            let mut found = indices.iter().copied();
            found.find(|index| {
                let there = &self.list[*index];
                there.namespace == known.namespace
                    && there.export == known.export
                    && there.origin != From::Kubernetes
            })
        });
        if let Some(first) = same {
            for port in known.ports {
                if self.list[first].protocol(port.0).is_none() {
                    self.by_port.entry(port.0).or_default().push(first);
                    self.list[first].ports.push(port);
                }
            }
            return;
        }
        let index = self.list.len();
        self.by_host.entry(known.host.clone()).or_default().push(index);
        if known.host.starts_with('*') {
            self.wildcards.push(index);
        }
        for (number, ..) in &known.ports {
            self.by_port.entry(*number).or_default().push(index);
        }
        self.list.push(known);
    }

    /// All that have exactly this full name.
    pub fn named<'r>(&'r self, name: &str) -> impl Iterator<Item = &'r Known> {
        let indices = self.by_host.get(name).map_or(&[][..], Vec::as_slice);
        indices.iter().map(|index| &self.list[*index])
    }

    /// All whose name is a wildcard.
    pub fn wildcards(&self) -> impl Iterator<Item = &Known> {
        self.wildcards.iter().map(|index| &self.list[*index])
    }

    /// All hosts.
    pub fn iter(&self) -> impl Iterator<Item = &Known> {
        self.list.iter()
    }

    /// The host with exactly this full name that a namespace sees; its own before others, services before
    /// entries.
    pub fn exact(&self, name: &str, client: &str) -> Option<&Known> {
        let all = self.by_host.get(name)?.iter().map(|index| &self.list[*index]);
        let seen: Vec<&Known> = all.filter(|known| known.visible_in(client)).collect();
        let own = seen.iter().find(|known| known.namespace == client);
        own.or_else(|| seen.first()).copied()
    }

    /// The host that a client of a namespace means by a name: short, with namespace, full, or covered
    /// by a wildcard entry.
    pub fn asked(&self, name: &str, client: &str) -> Option<&Known> {
        let name = name.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        if let Ok(address) = name.parse() {
            return self.at_address(address, client);
        }
        let dots = name.matches('.').count();
        let mut tries = vec![name.to_owned()];
        match dots {
            0 => tries.push(host::service(name, client)),
            1 => tries.push(format!("{name}.svc.{}", host::DOMAIN)),
            2 => tries.push(format!("{name}.{}", host::DOMAIN)),
            _ => {}
        }
        let exact = tries.iter().find_map(|name| self.exact(name, client));
        let wild = || {
            let covers = self.wildcards.iter().map(|index| &self.list[*index]);
            let covers = covers.filter(|known| known.visible_in(client));
            covers.filter(|known| host::within(name, &known.host)).max_by_key(|k| k.host.len())
        };
        exact.or_else(wild)
    }

    /// The host whose address this is, by the narrowest range, then by age.
    fn at_address(&self, address: IpAddr, client: &str) -> Option<&Known> {
        let mut best: Option<(u32, &Known)> = None;
        for known in self.list.iter().filter(|known| known.visible_in(client)) {
            let ranges = known.addresses.iter().filter(|range| range.contains(address));
            if let Some(bits) = ranges.map(|range| range.bits()).max()
                && best.is_none_or(|(before, _)| bits > before)
            {
                best = Some((bits, known));
            }
        }
        best.map(|(_, known)| known)
    }

    /// The visible hosts that have a port.
    pub fn on_port(&self, port: u16, client: &str) -> impl Iterator<Item = &Known> {
        let indices = self.by_port.get(&port).map_or(&[][..], Vec::as_slice);
        indices.iter().map(|index| &self.list[*index]).filter(move |k| k.visible_in(client))
    }
}

/// The endpoints of a host that have some labels.
pub fn backing(cluster: &Cluster, istio: &Istio, known: &Known, labels: &Labels) -> Backing {
    match known.origin {
        From::Kubernetes => service_backing(cluster, known, labels),
        From::Entry(index) => istio
            .service_entries
            .get(index)
            .map_or_else(Backing::default, |entry| entry_backing(cluster, istio, entry, labels)),
    }
}

fn service_backing(cluster: &Cluster, known: &Known, labels: &Labels) -> Backing {
    let Some(service) = cluster.service(&known.namespace, &known.name) else {
        return Backing::default();
    };
    if service.kind == ServiceKind::ExternalName {
        return Backing { workloads: Vec::new(), endpoints: Some(1) };
    }
    let all = cluster.workloads_of(service);
    let fits = all.iter().filter(|workload| contains(&workload.labels, labels));
    let (mut workloads, mut pods) = (Vec::new(), 0);
    for workload in fits {
        pods += workload.replicas;
        workloads.push(workload.name.clone());
    }
    let key = (service.namespace.clone(), service.name.clone());
    let written = cluster.endpoints.get(&key);
    if all.is_empty() {
        if let Some(sets) = written {
            let count = crate::manifest::kubernetes::endpoint::ready_count(sets);
            return Backing { workloads, endpoints: Some(count) };
        }
        // Manifests without any workload say nothing about endpoints.
        let unknown = cluster.workloads.is_empty() && cluster.endpoints.is_empty();
        return Backing { workloads, endpoints: if unknown { None } else { Some(0) } };
    }
    Backing { workloads, endpoints: Some(pods) }
}

fn entry_backing(
    cluster: &Cluster,
    istio: &Istio,
    entry: &ServiceEntry,
    labels: &Labels,
) -> Backing {
    if let Some(selector) = entry.workload_selector.as_ref().filter(|map| !map.is_empty()) {
        let mut wanted = selector.clone();
        wanted.extend(labels.clone());
        let namespace = &entry.head.namespace;
        let pods = cluster.workloads.iter().filter(|workload| {
            workload.namespace == *namespace && contains(&workload.labels, &wanted)
        });
        let machines = istio.workload_entries.iter().filter(|machine| {
            machine.head.namespace == *namespace && contains(&machine.labels, &wanted)
        });
        let (mut workloads, mut count) = (Vec::new(), 0);
        for workload in pods {
            count += workload.replicas;
            workloads.push(workload.name.clone());
        }
        for machine in machines {
            count += 1;
            workloads.push(machine.head.name.clone());
        }
        return Backing { workloads, endpoints: Some(count) };
    }
    let written = entry.endpoints.iter().filter(|endpoint| contains(&endpoint.labels, labels));
    let count = u32::try_from(written.count()).unwrap_or(u32::MAX);
    let endpoints = match entry.resolution {
        Resolution::None => 1,
        Resolution::Dns | Resolution::DnsRoundRobin if entry.endpoints.is_empty() => 1,
        Resolution::Static | Resolution::Dns | Resolution::DnsRoundRobin => count,
    };
    Backing { workloads: Vec::new(), endpoints: Some(endpoints) }
}
