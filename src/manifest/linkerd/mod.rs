//! Linkerd: its kinds, its annotations, and where its proxies send a request.
//!
//! Reading order: [`settings`] (the installation), [`annotation`] and [`traffic`] (strings that decide
//! much), [`inject`] (who has a proxy), [`profile`], [`server`], [`authorization`], [`limits`],
//! [`egress`], [`routes`]; then where a request goes: [`outbound`] with [`caller`], [`matching`], [`routed`],
//! [`profiled`], [`outside`] and [`share`], [`status`]; and who may call: [`inbound`].
//! Source: linkerd2 and linkerd2-proxy (2.19 and edge of August 2026), the modules say which files.
//! Left out: multi-cluster links, external workloads, the control plane's own objects.

use crate::manifest::findings::Findings;
use crate::manifest::kubernetes::service::Service;
use crate::manifest::kubernetes::workload::{Workload, WorkloadKind};
use crate::manifest::kubernetes::{Cluster, Name};
use crate::manifest::node::Node;
use crate::manifest::object::{Manifests, Object};
use crate::manifest::reader;
use crate::manifest::smi::Smi;
use crate::manifest::source::{At, Sources};
use std::collections::BTreeMap;

pub mod annotation;
pub mod authorization;
pub mod caller;
pub mod egress;
pub mod inbound;
pub mod inject;
pub mod limits;
pub mod matching;
pub mod network;
pub mod outbound;
pub mod outside;
pub mod policy;
pub mod ports;
pub mod profile;
pub mod profiled;
pub mod routed;
pub mod routes;
pub mod server;
pub mod settings;
pub mod share;
pub mod status;
pub mod traffic;

use annotation::{Annotation, Annotations, Bearer};
use authorization::{MeshTls, Networks, Policy, ServerAuthorization};
use egress::EgressNetwork;
use inject::Proxy;
use limits::RateLimit;
use policy::TrafficPolicy;
use profile::Profile;
use routes::Routes;
use server::Server;
use settings::Settings;

/// Namespace, name and kind of a workload.
pub type WorkloadKey = (String, String, WorkloadKind);

/// All that Linkerd reads.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Linkerd {
    /// The installation.
    pub settings: Settings,
    /// The proxies of workloads.
    pub proxies: BTreeMap<WorkloadKey, Proxy>,
    /// What annotations say of Services.
    pub services: BTreeMap<Name, TrafficPolicy>,
    /// Outside networks with what their annotations say.
    pub egress: Vec<(EgressNetwork, TrafficPolicy)>,
    /// `ServiceProfiles`.
    pub profiles: BTreeMap<Name, Profile>,
    /// Servers.
    pub servers: BTreeMap<Name, Server>,
    /// `ServerAuthorizations`.
    pub server_authorizations: Vec<ServerAuthorization>,
    /// `AuthorizationPolicies`.
    pub policies: Vec<Policy>,
    /// `MeshTLSAuthentications`.
    pub mesh_tls: BTreeMap<Name, MeshTls>,
    /// `NetworkAuthentications`.
    pub networks: BTreeMap<Name, Networks>,
    /// `HTTPLocalRateLimitPolicies`.
    pub limits: BTreeMap<Name, RateLimit>,
    /// HTTP, gRPC, TLS and TCP routes.
    pub routes: Routes,
    /// What SMI's kinds tell.
    pub smi: Smi,
}

impl Linkerd {
    /// Reads all that Linkerd reads; findings go to `findings`.
    pub fn read(
        objects: &[Object],
        cluster: &Cluster,
        settings: Settings,
        sources: &Sources,
        findings: &mut Findings,
    ) -> Self {
        let mut linkerd = Self { settings, ..Self::default() };
        for object in objects {
            check_annotations(object, sources, findings);
            check_version(object, sources, findings);
            linkerd.object(object, sources, findings);
        }
        linkerd.proxies = proxies(objects, cluster);
        linkerd.services = services(objects, cluster, sources, findings);
        linkerd.routes = routes::read(objects, sources, findings);
        linkerd.smi = Smi::read(objects, sources, findings);
        linkerd
    }

    /// Reads what Linkerd reads of manifests, adding to their findings, with the chart's own values.
    pub fn of(manifests: &mut Manifests, cluster: &Cluster) -> Self {
        let Manifests { sources, objects, findings } = manifests;
        Self::read(objects, cluster, Settings::default(), sources, findings)
    }

    fn object(&mut self, object: &Object, sources: &Sources, findings: &mut Findings) {
        let name = (object.id.namespace.clone(), object.id.name.clone());
        let settings = &self.settings;
        match (object.id.group.as_str(), object.id.kind.as_str()) {
            ("linkerd.io", "ServiceProfile") => {
                let read = reader::object(object, sources, findings, |r| profile::read(object, r));
                self.profiles.insert(name, read);
            }
            (authorization::POLICY, "Server") => {
                let read = reader::object(object, sources, findings, |r| server::read(object, r));
                self.servers.insert(name, read);
            }
            (authorization::POLICY, "ServerAuthorization") => {
                let read = reader::object(object, sources, findings, |r| {
                    authorization::read_server_authorization(object, settings, r)
                });
                self.server_authorizations.push(read);
            }
            (authorization::POLICY, "AuthorizationPolicy") => {
                let read = reader::object(object, sources, findings, |r| {
                    authorization::read_policy(object, r)
                });
                self.policies.extend(read);
            }
            (authorization::POLICY, "MeshTLSAuthentication") => {
                let read = reader::object(object, sources, findings, |r| {
                    authorization::read_mesh_tls(object, settings, r)
                });
                self.mesh_tls.insert(name, read);
            }
            (authorization::POLICY, "NetworkAuthentication") => {
                let read = reader::object(object, sources, findings, |r| {
                    authorization::read_networks(object, r)
                });
                self.networks.insert(name, read);
            }
            (authorization::POLICY, "HTTPLocalRateLimitPolicy") => {
                let read = reader::object(object, sources, findings, |r| {
                    limits::read(object, settings, r)
                });
                if let Some(read) = read {
                    self.limits.insert(name, read);
                }
            }
            (authorization::POLICY, "EgressNetwork") => {
                let read = reader::object(object, sources, findings, |r| egress::read(object, r));
                let annotations = Annotations::of(object.node.get("metadata"));
                let policy = TrafficPolicy::read(&annotations, "EgressNetwork", sources, findings);
                self.egress.push((read, policy));
            }
            _ => {}
        }
    }

    /// The proxy of a workload.
    pub fn proxy(&self, workload: &Workload) -> Option<&Proxy> {
        let (namespace, name, kind) = workload.key();
        self.proxies.get(&(namespace.to_owned(), name.to_owned(), kind))
    }

    /// Whether a workload's pods have a proxy.
    pub fn is_meshed(&self, workload: &Workload) -> bool {
        self.proxy(workload).is_some_and(|proxy| proxy.is_injected)
    }

    /// Whether anything says that Linkerd is in use: a proxy, or an object of its own or of SMI.
    pub fn is_used(&self) -> bool {
        let own = [
            self.profiles.len(),
            self.servers.len(),
            self.server_authorizations.len(),
            self.policies.len(),
            self.limits.len(),
            self.egress.len(),
            self.smi.splits.len(),
        ];
        own.iter().any(|count| *count > 0)
            || self.proxies.values().any(|proxy| proxy.is_injected)
            || self.routes.http.iter().any(|route| route.group == authorization::POLICY)
    }

    /// The profile that counts for clients of a namespace.
    pub fn profile(&self, client: &str, namespace: &str, service: &str) -> Option<&Profile> {
        let host = self.settings.host(namespace, service);
        let of = |namespace: &str| self.profiles.get(&(namespace.to_owned(), host.clone()));
        of(client).or_else(|| of(namespace))
    }

    /// Whether a port of a Service is opaque bytes by annotation, and where that is told.
    pub fn opaque(&self, service: &Service, port: u16) -> Option<Option<At>> {
        let policy = self.services.get(&(service.namespace.clone(), service.name.clone()));
        match policy.and_then(|policy| policy.opaque_ports.as_ref()) {
            Some((ports, at)) => ports.contains(port).then_some(Some(*at)),
            None => self.settings.opaque_ports.contains(port).then_some(None),
        }
    }
}

/// The served versions of Linkerd's kinds.
const VERSIONS: &[(&str, &[&str])] = &[
    ("ServiceProfile", &["v1alpha1", "v1alpha2"]),
    ("HTTPRoute", &["v1alpha1", "v1beta1", "v1beta2", "v1beta3"]),
    ("Server", &["v1beta1", "v1beta2", "v1beta3"]),
    ("ServerAuthorization", &["v1beta1"]),
    ("AuthorizationPolicy", &["v1alpha1"]),
    ("MeshTLSAuthentication", &["v1alpha1"]),
    ("NetworkAuthentication", &["v1alpha1"]),
    ("HTTPLocalRateLimitPolicy", &["v1alpha1"]),
    ("EgressNetwork", &["v1alpha1"]),
];

fn check_version(object: &Object, sources: &Sources, findings: &mut Findings) {
    if !matches!(object.id.group.as_str(), "linkerd.io" | authorization::POLICY) {
        return;
    }
    let Some((kind, versions)) = VERSIONS.iter().find(|(kind, _)| *kind == object.id.kind) else {
        return;
    };
    if !versions.contains(&object.version.as_str()) {
        let what = format!("{kind} has no version {}", object.version);
        let hint = format!("served are {}; the API server refuses others", versions.join(", "));
        findings.warning(sources, object.at, what, &hint);
    }
}

fn metadata(object: &Object) -> Option<&Node> {
    object.node.get("metadata")
}

fn template_metadata(object: &Object) -> Option<&Node> {
    object.node.get("spec")?.get("template")?.get("metadata")
}

fn check_annotations(object: &Object, sources: &Sources, findings: &mut Findings) {
    let is_owned = metadata(object).is_some_and(|map| map.get("ownerReferences").is_some());
    let kind = object.id.kind.as_str();
    let bearer = match (object.id.group.as_str(), kind) {
        _ if is_owned => return,
        ("", "Namespace") => Bearer::Namespace,
        ("", "Service") => Bearer::Service,
        ("", "Pod") => Bearer::Pod,
        ("apps", _) => {
            let template = Annotations::of(template_metadata(object));
            annotation::check(&template, Bearer::Pod, kind, sources, findings);
            Bearer::Workload
        }
        (_, "HTTPRoute" | "GRPCRoute") => Bearer::Route,
        (authorization::POLICY, "EgressNetwork") => Bearer::Egress,
        ("linkerd.io" | authorization::POLICY, _) => Bearer::Other,
        _ => return,
    };
    annotation::check(&Annotations::of(metadata(object)), bearer, kind, sources, findings);
}

/// The proxy of each workload, by the annotations of its object and its namespace's.
fn proxies(objects: &[Object], cluster: &Cluster) -> BTreeMap<WorkloadKey, Proxy> {
    let mut pods: BTreeMap<(&str, &str, &str), &Object> = BTreeMap::new();
    let mut namespaces: BTreeMap<&str, Annotations<'_>> = BTreeMap::new();
    for object in objects {
        let id = &object.id;
        match (id.group.as_str(), id.kind.as_str()) {
            ("", "Namespace") => {
                namespaces.insert(&id.name, Annotations::of(metadata(object)));
            }
            ("", "Pod") | ("apps", _) => {
                pods.insert((&id.kind, &id.namespace, &id.name), object);
            }
            _ => {}
        }
    }
    let none = Annotations::default();
    let proxy = |workload: &Workload| {
        let key = (workload.kind.word(), workload.namespace.as_str(), workload.name.as_str());
        let own = match pods.get(&key) {
            Some(object) if workload.kind == WorkloadKind::Pod => Annotations::of(metadata(object)),
            Some(object) => Annotations::of(template_metadata(object)),
            None => without_places(workload),
        };
        let namespace = namespaces.get(workload.namespace.as_str()).unwrap_or(&none);
        let (namespace_name, name, kind) = workload.key();
        let key = (namespace_name.to_owned(), name.to_owned(), kind);
        (key, inject::proxy(workload, &own, namespace))
    };
    cluster.workloads.iter().map(proxy).collect()
}

/// The annotations of pods whose owner was not read.
fn without_places(workload: &Workload) -> Annotations<'_> {
    let at = workload.at;
    let list = workload.annotations.iter();
    let list = list.map(|(key, value)| Annotation { key, value, at, key_at: at });
    Annotations { list: list.collect() }
}

/// What annotations say of each Service; a namespace's opaque ports are its Services', too.
fn services(
    objects: &[Object],
    cluster: &Cluster,
    sources: &Sources,
    findings: &mut Findings,
) -> BTreeMap<Name, TrafficPolicy> {
    let mut namespaces: BTreeMap<&str, Annotations<'_>> = BTreeMap::new();
    for object in objects.iter().filter(|object| object.is("", "Namespace")) {
        namespaces.insert(&object.id.name, Annotations::of(metadata(object)));
    }
    let mut policies = BTreeMap::new();
    for object in objects.iter().filter(|object| object.is("", "Service")) {
        let annotations = Annotations::of(metadata(object));
        let mut policy = TrafficPolicy::read(&annotations, "Service", sources, findings);
        let name = (object.id.namespace.clone(), object.id.name.clone());
        if policy.opaque_ports.is_none()
            && let Some(namespace) = namespaces.get(name.0.as_str())
        {
            policy.opaque_ports = annotation::ports(namespace, "config.linkerd.io/opaque-ports");
        }
        if cluster.services.contains_key(&name) {
            policies.insert(name, policy);
        }
    }
    policies
}

#[cfg(test)]
mod tests;
