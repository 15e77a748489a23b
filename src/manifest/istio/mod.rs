//! Istio: its kinds, and what its control plane makes of them.
//!
//! Reading order: [`meta`], [`host`], [`check`], then a file a kind ([`virtual_service`] with
//! [`matching`], [`action`] and [`resilience`], [`destination_rule`] with
//! [`traffic_policy`] and [`balancer`], [`gateway`],
//! [`service_entry`], [`sidecar`], [`authentication`], [`authorization`], [`telemetry`],
//! [`mesh_config`], [`envoy_filter`], [`wasm_plugin`]), then what follows from them together: [`registry`] (hosts),
//! [`merge`] (delegates), [`choose`] (which rule counts), [`mesh`] (all of it), [`outbound`] and
//! [`ingress`] (where a request comes from), [`rules`] and [`layer4`] (the first that matches),
//! [`target`] (where it goes), [`security`] and [`authorize`] (whether it is let in).
//! Source: istio/istio and istio/api 1.28 unless a release is named.
//! Left out: multi-cluster, ambient mode's waypoints, revisions, what a `WasmPlugin` does.

pub mod action;
pub mod authentication;
pub mod authorization;
pub mod authorize;
pub mod balancer;
pub mod check;
pub mod choose;
pub mod conformance;
pub mod destination_rule;
pub mod envoy_filter;
pub mod gateway;
pub mod host;
pub mod ingress;
pub mod layer4;
pub mod local_rate_limit;
pub mod matching;
pub mod merge;
pub mod mesh;
pub mod mesh_config;
pub mod meta;
pub mod outbound;
pub mod registry;
pub mod resilience;
pub mod rules;
pub mod security;
pub mod service_entry;
pub mod sidecar;
pub mod target;
pub mod telemetry;
pub mod traffic_policy;
pub mod virtual_service;
pub mod wasm_plugin;

use crate::manifest::findings::Findings;
use crate::manifest::kinds::{ISTIO_NETWORKING, ISTIO_SECURITY, ISTIO_TELEMETRY};
use crate::manifest::kubernetes::Cluster;
use crate::manifest::node::{Node, Value};
use crate::manifest::object::{Manifests, Object};
use crate::manifest::reader::{self, Reader};
use crate::manifest::route::{Query, Route};
use crate::manifest::source::Sources;
use authentication::{PeerAuthentication, RequestAuthentication};
use authorization::AuthorizationPolicy;
use destination_rule::DestinationRule;
use envoy_filter::EnvoyFilter;
use gateway::Gateway;
use mesh::{Mesh, Release};
use mesh_config::MeshConfig;
use meta::Head;
use service_entry::{ServiceEntry, WorkloadEntry, WorkloadGroup};
use sidecar::Sidecar;
use telemetry::{ProxyConfig, Telemetry};
use virtual_service::VirtualService;

/// All of Istio's objects, each kind in order of age.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Istio {
    /// The mesh's settings.
    pub mesh: MeshConfig,
    /// Routing rules.
    pub virtual_services: Vec<VirtualService>,
    /// Subsets and policies.
    pub destination_rules: Vec<DestinationRule>,
    /// Gateways.
    pub gateways: Vec<Gateway>,
    /// Hosts outside of Kubernetes.
    pub service_entries: Vec<ServiceEntry>,
    /// Workloads outside of Kubernetes.
    pub workload_entries: Vec<WorkloadEntry>,
    /// Templates of such workloads.
    pub workload_groups: Vec<WorkloadGroup>,
    /// What proxies can see.
    pub sidecars: Vec<Sidecar>,
    /// Which connections servers accept.
    pub peer_authentications: Vec<PeerAuthentication>,
    /// Which tokens are checked.
    pub request_authentications: Vec<RequestAuthentication>,
    /// Which requests servers let in.
    pub authorization_policies: Vec<AuthorizationPolicy>,
    /// What proxies report.
    pub telemetries: Vec<Telemetry>,
    /// How proxies are set up.
    pub proxy_configs: Vec<ProxyConfig>,
    /// Patches, which are not simulated.
    pub envoy_filters: Vec<EnvoyFilter>,
}

impl Istio {
    /// Reads all of Istio's objects; findings go to `findings`.
    pub fn read(
        objects: &[Object],
        cluster: &Cluster,
        sources: &Sources,
        findings: &mut Findings,
    ) -> Self {
        let mut istio = Self::default();
        if let Some(node) = &cluster.mesh_config {
            istio.mesh = MeshConfig::of(node, sources, findings);
        }
        for object in objects {
            istio.object(object, sources, findings);
        }
        istio.sort();
        istio
    }

    /// Reads the Istio objects of manifests, adding to their findings.
    pub fn of(manifests: &mut Manifests, cluster: &Cluster) -> Self {
        let Manifests { sources, objects, findings } = manifests;
        Self::read(objects, cluster, sources, findings)
    }

    fn object(&mut self, object: &Object, sources: &Sources, findings: &mut Findings) {
        let group = object.id.group.as_str();
        if (group, object.id.kind.as_str()) == ("extensions.istio.io", "WasmPlugin") {
            plugin(object, sources, findings);
            return;
        }
        if ![ISTIO_NETWORKING, ISTIO_SECURITY, ISTIO_TELEMETRY].contains(&group) {
            return;
        }
        let mut into = Into { object, sources, findings };
        match object.id.kind.as_str() {
            "VirtualService" => into.put(&mut self.virtual_services, VirtualService::read),
            "DestinationRule" => into.put(&mut self.destination_rules, DestinationRule::read),
            "Gateway" => into.put(&mut self.gateways, Gateway::read),
            "ServiceEntry" => into.put(&mut self.service_entries, ServiceEntry::read),
            "WorkloadEntry" => into.put(&mut self.workload_entries, WorkloadEntry::read),
            "WorkloadGroup" => into.put(&mut self.workload_groups, WorkloadGroup::read),
            "Sidecar" => into.put(&mut self.sidecars, Sidecar::read),
            "PeerAuthentication" => {
                into.put(&mut self.peer_authentications, PeerAuthentication::read);
            }
            "RequestAuthentication" => {
                into.put(&mut self.request_authentications, RequestAuthentication::read);
            }
            "AuthorizationPolicy" => {
                into.put(&mut self.authorization_policies, AuthorizationPolicy::read);
            }
            "Telemetry" => into.put(&mut self.telemetries, Telemetry::read),
            "ProxyConfig" => into.put(&mut self.proxy_configs, ProxyConfig::read),
            "EnvoyFilter" => {
                let before = self.envoy_filters.len();
                into.put(&mut self.envoy_filters, EnvoyFilter::read);
                for filter in &self.envoy_filters[before..] {
                    name_patches(filter, sources, findings);
                }
            }
            _ => {}
        }
    }

    fn sort(&mut self) {
        self.virtual_services.sort_by(|a, b| a.head.age_order(&b.head));
        self.destination_rules.sort_by(|a, b| a.head.age_order(&b.head));
        self.gateways.sort_by(|a, b| a.head.age_order(&b.head));
        self.service_entries.sort_by(|a, b| a.head.age_order(&b.head));
        self.workload_entries.sort_by(|a, b| a.head.age_order(&b.head));
        self.workload_groups.sort_by(|a, b| a.head.age_order(&b.head));
        self.sidecars.sort_by(|a, b| a.head.age_order(&b.head));
        self.peer_authentications.sort_by(|a, b| a.head.age_order(&b.head));
        self.request_authentications.sort_by(|a, b| a.head.age_order(&b.head));
        self.authorization_policies.sort_by(|a, b| a.head.age_order(&b.head));
        self.telemetries.sort_by(|a, b| a.head.age_order(&b.head));
        self.proxy_configs.sort_by(|a, b| a.head.age_order(&b.head));
    }
}

/// Where a request goes, and why, with the defaults of a release. Whoever asks often keeps a
/// [`mesh::Mesh`] instead, which is put together once.
pub fn route(
    istio: &Istio,
    cluster: &Cluster,
    sources: &Sources,
    query: &Query,
    release: Release,
) -> Route {
    Mesh::of(cluster, istio, sources, release).route(query)
}

/// Versions in which Istio serves its kinds.
const VERSIONS: [&str; 4] = ["v1", "v1beta1", "v1alpha3", "v1alpha1"];

struct Into<'a> {
    object: &'a Object,
    sources: &'a Sources,
    findings: &'a mut Findings,
}

impl Into<'_> {
    /// Reads the object's `spec`; an object without one has an empty one, if it may.
    fn put<T>(&mut self, list: &mut Vec<T>, read: impl FnOnce(&mut Reader<'_, '_>, Head) -> T) {
        let (object, head) = (self.object, Head::of(self.object));
        if !VERSIONS.contains(&object.version.as_str()) {
            let what = format!("{} has no version `{}`", object.id.kind, object.version);
            let at = object.node.entry("apiVersion").map_or(object.at, |entry| entry.value.at);
            self.findings.warning(self.sources, at, what, "v1");
        }
        reader::object(object, self.sources, self.findings, |document| {
            document.pass(&["_err"]);
            if document.has("spec") {
                list.extend(document.map("spec", |spec| read(spec, head)));
                return;
            }
            document.pass(&["spec"]);
            if NEED_SPEC.contains(&object.id.kind.as_str()) {
                document.missing("spec");
                return;
            }
            let empty = Node { at: object.at, value: Value::Map(Vec::new()) };
            let path = format!("{}.spec", object.id.kind);
            list.push(read(
                &mut Reader::new(&empty, path, self.sources, &mut Findings::default()),
                head,
            ));
        });
    }
}

/// Kinds that mean nothing without a `spec`; of the others it may be absent.
const NEED_SPEC: [&str; 6] = [
    "VirtualService",
    "DestinationRule",
    "Gateway",
    "ServiceEntry",
    "WorkloadEntry",
    "WorkloadGroup",
];

fn plugin(object: &Object, sources: &Sources, findings: &mut Findings) {
    if let Some(entry) = object.node.entry("spec").filter(|entry| entry.value.is_null()) {
        let what = "`WasmPlugin.spec` must be a map, not null";
        findings.problem(sources, entry.value.at, what, "give its url");
        return;
    }
    Into { object, sources, findings }.put(&mut Vec::new(), wasm_plugin::check);
}

/// Names an `EnvoyFilter` once, with what it patches; of a local rate limit, what does not count of it.
fn name_patches(filter: &EnvoyFilter, sources: &Sources, findings: &mut Findings) {
    let (limits, others): (Vec<_>, Vec<_>) =
        filter.patches.iter().partition(|patch| patch.limit.is_some());
    if let Some(limit) = limits.first() {
        let why = "of a local rate limit the bucket counts: no descriptors, headers or statistics";
        findings.ignore(sources, "EnvoyFilter.spec.configPatches".to_owned(), limit.at, why);
    }
    if others.is_empty() && !limits.is_empty() {
        return;
    }
    let told: Vec<String> = others.iter().map(|patch| patch.told()).collect();
    let told = if told.is_empty() { "no patches".to_owned() } else { told.join("; ") };
    let name = format!("EnvoyFilter {}: {told}", filter.head.full());
    findings.not_modelled(sources, name, filter.head.at, "patches Envoy's own configuration");
}

#[cfg(test)]
mod tests;
