//! References to backends, and whether each leads anywhere.
//!
//! Source: Gateway API `BackendRef` (weight 0 to 1,000,000, default 1), conditions `ResolvedRefs`; "invalid
//! backends get 500 for their share", "a Service without endpoints 503 for its share".
//! Left out: backends that are neither Services nor a mesh's own way out (told as an invalid kind).

use crate::manifest::gateway_api::filter::{self, Filter};
use crate::manifest::gateway_api::grant::{self, Grant, Kind};
use crate::manifest::kinds::{GATEWAY_API, ISTIO_NETWORKING, LINKERD_POLICY};
use crate::manifest::kubernetes::Cluster;
use crate::manifest::kubernetes::service::{Port, Protocol, Service, ServiceKind};
use crate::manifest::reader::Reader;
use crate::manifest::source::At;

/// Kinds of backends that meshes add: Istio's host of a `ServiceEntry`, Linkerd's egress.
const OUTSIDE: [(&str, &str); 2] =
    [(ISTIO_NETWORKING, "Hostname"), (LINKERD_POLICY, "EgressNetwork")];

/// A reference to a backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackendRef {
    /// Its group; empty for the core group.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: Option<u16>,
    /// Its weight.
    pub weight: u32,
    /// Filters for requests that go there.
    pub filters: Vec<Filter>,
    /// Where its name is.
    pub at: At,
}

/// Why a reference leads nowhere, with the reason's word in `ResolvedRefs`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Broken {
    /// A kind that is not known.
    InvalidKind,
    /// No such service, or no such port.
    BackendNotFound,
    /// Another namespace without a grant.
    RefNotPermitted,
    /// A protocol that the route cannot carry.
    UnsupportedProtocol,
}

impl Broken {
    /// The reason's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::InvalidKind => "InvalidKind",
            Self::BackendNotFound => "BackendNotFound",
            Self::RefNotPermitted => "RefNotPermitted",
            Self::UnsupportedProtocol => "UnsupportedProtocol",
        }
    }
}

/// A backend that was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found<'a> {
    /// The service.
    pub service: &'a Service,
    /// Its port.
    pub port: &'a Port,
}

/// Who refers: the route's kind and namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Referrer<'a> {
    /// The route's kind.
    pub kind: &'a str,
    /// The route's namespace.
    pub namespace: &'a str,
    /// Whether the route is for the mesh, where clients reach other namespaces anyway: no grant is
    /// asked for (as Istio does, and as the conformance test of consumers' routes wants).
    pub is_mesh: bool,
}

impl BackendRef {
    /// Finds the service and port, or says why not. Nothing is found, and all is well, for the kinds that
    /// meshes add for what is outside of the cluster.
    pub fn resolve<'a>(
        &self,
        cluster: &'a Cluster,
        grants: &[Grant],
        from: Referrer<'_>,
    ) -> Result<Option<Found<'a>>, Broken> {
        if OUTSIDE.contains(&(self.group.as_str(), self.kind.as_str())) {
            return Ok(None);
        }
        if !(self.group.is_empty() || self.group == "core") || self.kind != "Service" {
            return Err(Broken::InvalidKind);
        }
        let referrer = Kind { group: GATEWAY_API, kind: from.kind, namespace: from.namespace };
        let target = Kind { group: "", kind: "Service", namespace: &self.namespace };
        if !from.is_mesh && !grant::is_permitted(grants, referrer, target, &self.name) {
            return Err(Broken::RefNotPermitted);
        }
        let service =
            cluster.service(&self.namespace, &self.name).ok_or(Broken::BackendNotFound)?;
        let port = match self.port {
            Some(number) => service.port(number),
            None => None,
        };
        let port = port.ok_or(Broken::BackendNotFound)?;
        let http = matches!(from.kind, "HTTPRoute" | "GRPCRoute");
        if http && port.protocol == Protocol::Udp {
            return Err(Broken::UnsupportedProtocol);
        }
        Ok(Some(Found { service, port }))
    }
}

impl Found<'_> {
    /// Whether it is known that nobody answers there: pods of the namespace were read, none of them is
    /// behind the service, and no endpoints are written.
    pub fn is_empty(&self, cluster: &Cluster) -> bool {
        let is_local = self.service.kind != ServiceKind::ExternalName;
        let in_namespace = |namespace: &String| *namespace == self.service.namespace;
        is_local
            && self.service.selector.is_some()
            && cluster.workloads.iter().any(|workload| in_namespace(&workload.namespace))
            && cluster.endpoint_count(self.service) == 0
    }
}

/// Reads `backendRefs` of a rule; none if the field is absent.
pub fn read(reader: &mut Reader<'_, '_>, namespace: &str) -> Option<Vec<BackendRef>> {
    let list = reader.list_if("backendRefs", |backend| {
        let weight = backend.int("weight", 0..=1_000_000).unwrap_or(1);
        let filters = filter::read(backend, namespace);
        let mut reference = read_reference(backend, namespace)?;
        reference.weight = u32::try_from(weight).unwrap_or(1);
        reference.filters = filters;
        Some(reference)
    })?;
    Some(list.into_iter().flatten().collect())
}

/// Reads the fields that name a backend.
pub fn read_reference(reader: &mut Reader<'_, '_>, namespace: &str) -> Option<BackendRef> {
    let group = reader.text("group").unwrap_or_default();
    let kind = reader.text("kind").unwrap_or_else(|| "Service".to_owned());
    let own = reader.text("namespace").unwrap_or_else(|| namespace.to_owned());
    let port = reader.port("port");
    if port.is_none() && kind == "Service" && !reader.has("port") {
        let what = format!("`{}` names a Service without a port", reader.path());
        reader.problem(reader.at(), what, "the API server refuses this");
    }
    let at = reader.at_field("name");
    let name = reader.needed_text("name")?;
    Some(BackendRef { group, kind, namespace: own, name, port, weight: 1, filters: Vec::new(), at })
}
