//! The mesh: all that decides where a request goes, put together once.
//!
//! Source: istio/istio `pilot/pkg/networking/core` (listeners, virtual hosts and clusters of a proxy).
//! Left out: addresses of listeners: a host that is asked for is taken by its name, not by its address.

use crate::manifest::istio::Istio;
use crate::manifest::istio::choose::{self, Client};
use crate::manifest::istio::merge;
use crate::manifest::istio::registry::{Known, Registry};
use crate::manifest::istio::sidecar::Sidecar;
use crate::manifest::istio::virtual_service::VirtualService;
use crate::manifest::istio::{host, ingress, outbound, security};
use crate::manifest::kubernetes::Cluster;
use crate::manifest::route::{Origin, Query, Route};
use crate::manifest::source::{At, Sources};
use std::collections::BTreeMap;

/// A release of Istio, such as 1.28, for the defaults that changed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Release {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl std::fmt::Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Default for Release {
    fn default() -> Self {
        Self { major: 1, minor: 28 }
    }
}

impl Release {
    /// Reads `1.28`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        Some(Self { major, minor })
    }

    /// Statuses that the default policy tries again: 503 before 1.24.
    pub fn default_retry_codes(self) -> Vec<u16> {
        if self < (Self { major: 1, minor: 24 }) { vec![503] } else { Vec::new() }
    }
}

/// The mesh, ready to be asked.
#[derive(Clone, Debug)]
pub struct Mesh<'a> {
    /// The cluster's own objects.
    pub cluster: &'a Cluster,
    /// Istio's objects.
    pub istio: &'a Istio,
    /// The texts, for places.
    pub sources: &'a Sources,
    /// The release whose defaults count.
    pub release: Release,
    /// The hosts.
    pub registry: Registry,
    /// The virtual services with their delegates merged.
    pub virtual_services: Vec<VirtualService>,
    /// Those in the mesh, by each of their full hosts in small letters.
    by_host: BTreeMap<String, Vec<usize>>,
    /// Those in the mesh with a host that is a wildcard.
    wild: Vec<usize>,
}

impl<'a> Mesh<'a> {
    /// Puts the mesh together.
    pub fn of(
        cluster: &'a Cluster,
        istio: &'a Istio,
        sources: &'a Sources,
        release: Release,
    ) -> Self {
        let registry = Registry::of(cluster, istio);
        let virtual_services = merge::merged(istio);
        let (mut by_host, mut wild) = (BTreeMap::<String, Vec<usize>>::new(), Vec::new());
        for (index, service) in virtual_services.iter().enumerate() {
            for word in service.hosts.iter().filter(|_| service.in_mesh()) {
                let full = host::full(&word.text, &service.head.namespace).to_ascii_lowercase();
                if full.starts_with('*') {
                    wild.push(index);
                } else {
                    by_host.entry(full).or_default().push(index);
                }
            }
        }
        Self { cluster, istio, sources, release, registry, virtual_services, by_host, wild }
    }

    /// The virtual services in the mesh that may be meant by a host, in order: by its name, and all with
    /// wildcards.
    pub fn rules_for(&self, host: &str) -> impl Iterator<Item = &VirtualService> {
        let named = self.by_host.get(&host.to_ascii_lowercase()).into_iter().flatten();
        let mut all: Vec<usize> = named.chain(&self.wild).copied().collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter().map(|index| &self.virtual_services[index])
    }

    /// Where a request goes, and why.
    pub fn route(&self, query: &Query) -> Route {
        match &query.from {
            Origin::Mesh { namespace, workload, labels } => {
                let client = self.client(namespace, workload.as_deref(), labels);
                outbound::route(self, &client, &query.request)
            }
            Origin::Gateway { namespace, name, sni } => {
                ingress::route(self, namespace, name, sni.as_deref(), &query.request)
            }
        }
    }

    /// A client with the labels of its workload, if those are not given.
    pub fn client(
        &self,
        namespace: &str,
        workload: Option<&str>,
        labels: &crate::manifest::object::Labels,
    ) -> Client {
        let found = workload.and_then(|name| self.cluster.workload(namespace, name));
        let own = found.filter(|_| labels.is_empty()).map(|found| found.labels.clone());
        Client {
            namespace: namespace.to_owned(),
            labels: own.unwrap_or_else(|| labels.clone()),
            workload: workload.map(str::to_owned),
            has_proxy: match found {
                Some(found) => security::has_sidecar(self.cluster, found),
                None => security::is_injected(self.cluster, namespace, labels),
            },
        }
    }

    /// `file:line` of a place.
    pub fn place(&self, at: At) -> String {
        self.sources.short(at)
    }
}

/// What a client can see.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// The client.
    pub client: &'a Client,
    /// The `Sidecar` that limits it.
    pub sidecar: Option<&'a Sidecar>,
}

impl<'a> View<'a> {
    /// What a sidecar sees.
    pub fn of(mesh: &Mesh<'a>, client: &'a Client) -> Self {
        Self { client, sidecar: choose::sidecar(mesh.istio, client) }
    }

    /// What a gateway sees: all that is exported to it.
    pub fn gateway(client: &'a Client) -> Self {
        Self { client, sidecar: None }
    }

    /// Whether a host is seen on a port.
    pub fn sees(&self, known: &Known, port: Option<u16>) -> bool {
        known.visible_in(&self.client.namespace)
            && self
                .sidecar
                .is_none_or(|sidecar| sidecar.sees(&known.namespace, &known.host, port).is_some())
    }

    /// Whether a virtual service is seen: exported to the client, and one of its hosts in the egress.
    pub fn sees_rules(&self, mesh: &Mesh<'_>, service: &VirtualService) -> bool {
        let default = &mesh.istio.mesh.default_virtual_service_export;
        let namespace = &service.head.namespace;
        service.export_to.reaches(namespace, &self.client.namespace, default)
            && self.sidecar.is_none_or(|sidecar| {
                service.hosts.iter().any(|host| {
                    let full = host::full(&host.text, namespace);
                    sidecar.sees(namespace, &full, None).is_some()
                })
            })
    }

    /// Whether hosts that nobody knows are reached.
    pub fn allow_any(&self, mesh: &Mesh<'_>) -> bool {
        let own = self.sidecar.and_then(|sidecar| sidecar.allow_any);
        own.unwrap_or(mesh.istio.mesh.allow_any)
    }
}
