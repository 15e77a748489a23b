//! The Gateway API: gateways, routes and grants, from outside and for the mesh (GAMMA).
//!
//! Reading order: [`gateway`], [`http`] with [`filter`] and [`matching`], [`parent`], [`backend`];
//! then [`attach`] (which route is bound where, and the status conditions), [`table`] (the rules of
//! each listener and service in the order of precedence) and [`resolve`] (one request's way).
//! Source: Gateway API 1.4, `apis/v1/*_types.go`; GEP-1294, GEP-1426 (mesh); GEP-2257 (durations).
//! Left out: `UDPRoute`, `ListenerSet`, experimental kinds (named as not modelled).

pub mod answer;
pub mod attach;
pub mod backend;
pub mod conformance;
pub mod cors;
pub mod filter;
pub mod gateway;
pub mod grant;
pub mod hostname;
pub mod http;
pub mod layer4;
pub mod listeners;
pub mod matching;
pub mod notes;
pub mod outcome;
pub mod parent;
pub mod resolve;
pub mod table;

use crate::manifest::findings::Findings;
use crate::manifest::kinds::GATEWAY_API;
use crate::manifest::object::{Manifests, Object};
use crate::manifest::reader::{self, Reader};
use crate::manifest::source::Sources;

use gateway::{Gateway, GatewayClass};
use grant::{BackendTls, Grant};
use http::HttpRoute;
use layer4::Layer4Route;

/// All objects of the Gateway API.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GatewayApi {
    /// Gateway classes.
    pub classes: Vec<GatewayClass>,
    /// Gateways.
    pub gateways: Vec<Gateway>,
    /// `HTTPRoutes` and `GRPCRoutes`.
    pub routes: Vec<HttpRoute>,
    /// `TCPRoutes` and `TLSRoutes`.
    pub layer4: Vec<Layer4Route>,
    /// `ReferenceGrants`.
    pub grants: Vec<Grant>,
    /// `BackendTLSPolicies`.
    pub backend_tls: Vec<BackendTls>,
}

impl GatewayApi {
    /// Reads all objects of the Gateway API; findings go to `findings`.
    pub fn read(objects: &[Object], sources: &Sources, findings: &mut Findings) -> Self {
        let mut all = Self::default();
        for object in objects.iter().filter(|object| object.id.group == GATEWAY_API) {
            let fields = (object, sources, &mut *findings);
            match object.id.kind.as_str() {
                "GatewayClass" => all.classes.push(read(fields, gateway::read_class)),
                "Gateway" => all.gateways.push(read(fields, gateway::read)),
                "HTTPRoute" | "GRPCRoute" => all.routes.push(read(fields, http::read)),
                "TCPRoute" | "TLSRoute" => all.layer4.push(read(fields, layer4::read)),
                "ReferenceGrant" => all.grants.push(read(fields, grant::read)),
                "BackendTLSPolicy" => all.backend_tls.push(read(fields, grant::read_backend_tls)),
                _ => {}
            }
        }
        all
    }

    /// Reads the Gateway API objects of manifests, adding to their findings.
    pub fn of(manifests: &mut Manifests) -> Self {
        let Manifests { sources, objects, findings } = manifests;
        Self::read(objects, sources, findings)
    }

    /// Whether a `BackendTLSPolicy` says that this port of a service is spoken to with TLS.
    pub fn has_backend_tls(&self, namespace: &str, service: &str, port: &str) -> bool {
        let fits = |(name, section): &(String, Option<String>)| {
            name == service && section.as_ref().is_none_or(|section| section == port)
        };
        let mut own = self.backend_tls.iter().filter(|policy| policy.namespace == namespace);
        own.any(|policy| policy.targets.iter().any(fits))
    }

    /// The gateway with this namespace and name.
    pub fn gateway(&self, namespace: &str, name: &str) -> Option<&Gateway> {
        self.gateways.iter().find(|gateway| gateway.namespace == namespace && gateway.name == name)
    }
}

/// Reads one object with the reader of its kind.
fn read<T>(
    (object, sources, findings): (&Object, &Sources, &mut Findings),
    kind: fn(&Object, &mut Reader<'_, '_>) -> T,
) -> T {
    reader::object(object, sources, findings, |reader| kind(object, reader))
}

#[cfg(test)]
mod tests;
