//! What a test has applied: the base manifests, its own, and where its requests may come in.
//!
//! Source: upstream `conformance/utils/suite` (base manifests once, each test's own besides).
//! Left out: certificates and addresses, which the suite makes at run time.

use crate::manifest::gateway_api::conformance::{Files, values};
use crate::manifest::gateway_api::http::Rule;
use crate::manifest::gateway_api::parent::{ParentKind, ParentRef};
use crate::manifest::gateway_api::resolve::{self, Differences, Rules};
use crate::manifest::gateway_api::table::Tables;
use crate::manifest::gateway_api::{GatewayApi, gateway};
use crate::manifest::kubernetes::Cluster;
use crate::manifest::object::{Labels, Manifests};
use crate::manifest::route::{Origin, Query, Route, request::Request};
use crate::manifest::source::At;
use serde_json::Value;

/// Features that cases need and that are not simulated.
const NOT_MODELLED: &[(&str, &str)] = &[
    ("SupportUDPRoute", "UDP is not simulated"),
    ("SupportListenerSet", "ListenerSets are not simulated"),
    ("SupportHTTPRouteExternalAuth", "external authorization is not simulated"),
    ("SupportBackendTLSPolicy", "what certificates hold is not simulated"),
    ("SupportGatewayFrontendClientCertificateValidation", "client certificates are not simulated"),
    ("SupportGatewayBackendClientCertificate", "client certificates are not simulated"),
    ("SupportHTTPRouteSessionPersistence", "sticky sessions are not simulated"),
];

/// The state of the cluster in one test.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The test.
    pub test: &'a Value,
    /// The objects, with the base's.
    pub manifests: Manifests,
    /// Kubernetes' kinds among them.
    pub cluster: Cluster,
    /// The Gateway API's.
    pub api: GatewayApi,
    /// The sorted rules.
    pub tables: Tables,
    /// The same without the test's own grants.
    without_grants: Option<(GatewayApi, Tables)>,
    /// The first text that is the test's own.
    first_own: u32,
}

/// One way for a request to come in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entrance {
    /// Who sends.
    pub origin: Origin,
    /// The scheme of the listener.
    pub scheme: &'static str,
    /// Its port.
    pub port: u16,
}

impl<'a> Setup<'a> {
    /// Reads the manifests of a test; the error names one that is missing.
    pub fn of(test: &'a Value, files: &Files) -> Result<Self, String> {
        let is_mesh = is_mesh(test);
        let is_base =
            |name: &str| name.ends_with("base-manifests.yaml") && name.contains("mesh") == is_mesh;
        let mut texts: Vec<(&str, &[u8])> = files
            .iter()
            .filter(|(name, _)| is_base(name))
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
            .collect();
        let first_own = u32::try_from(texts.len()).unwrap_or(u32::MAX);
        for name in values::texts(test, "manifests") {
            let short = name.trim_start_matches("conformance/").trim_start_matches("tests/");
            let found = files.get_key_value(&name).or_else(|| files.get_key_value(short));
            let Some((name, bytes)) = found else {
                return Err(format!("the manifest {name} is not there"));
            };
            texts.push((name, bytes));
        }
        let mut manifests = Manifests::read(texts);
        let cluster = Cluster::of(&mut manifests);
        let api = GatewayApi::of(&mut manifests);
        let tables = Tables::of(&api, &cluster);
        let mut without_grants = None;
        if api.grants.iter().any(|grant| grant.at.source >= first_own) {
            let mut less = api.clone();
            less.grants.retain(|grant| grant.at.source < first_own);
            let tables = Tables::of(&less, &cluster);
            without_grants = Some((less, tables));
        }
        Ok(Self { test, manifests, cluster, api, tables, without_grants, first_own })
    }

    /// Whether it is a test of the mesh.
    pub fn is_mesh(&self) -> bool {
        is_mesh(self.test)
    }

    /// Whether something is the test's own, not the base's.
    pub fn is_own(&self, at: At) -> bool {
        at.source >= self.first_own
    }

    /// Whether the test's own grants can be taken away.
    pub fn has_grants(&self) -> bool {
        self.without_grants.is_some()
    }

    /// Where a request goes; on demand as if the test's grants were deleted.
    pub fn route(&self, query: &Query, without_grants: bool) -> Route {
        let (api, tables) = match &self.without_grants {
            Some((api, tables)) if without_grants => (api, tables),
            _ => (&self.api, &self.tables),
        };
        let (cluster, sources) = (&self.cluster, &self.manifests.sources);
        let differences = Differences::SPECIFIED;
        resolve::route(&Rules { api, cluster, tables, sources, differences }, query)
    }

    /// Why a case of this test may be beyond what is simulated.
    pub fn not_modelled(&self) -> Option<&'static str> {
        let features = values::texts(self.test, "features");
        let known = |feature: &String| {
            NOT_MODELLED.iter().find(|(name, _)| feature.starts_with(name)).map(|(_, why)| *why)
        };
        features.iter().find_map(known)
    }

    /// Whether the test needs a feature.
    pub fn needs(&self, feature: &str) -> bool {
        values::texts(self.test, "features").iter().any(|own| own == feature)
    }

    /// The rules of the test's own HTTP and gRPC routes.
    pub fn own_rules(&self) -> impl Iterator<Item = &Rule> {
        let own = self.api.routes.iter().filter(|route| self.is_own(route.at));
        own.flat_map(|route| &route.rules)
    }

    /// The parents of the test's own routes, by what they are.
    fn parents(&self, kind: &ParentKind) -> Vec<&ParentRef> {
        let http = self.api.routes.iter().filter(|route| self.is_own(route.at));
        let layer4 = self.api.layer4.iter().filter(|route| self.is_own(route.at));
        let all = http.flat_map(|route| &route.parents);
        let all = all.chain(layer4.flat_map(|route| &route.parents));
        all.filter(|parent| parent.kind == *kind).collect()
    }

    /// Where requests may come in from outside: the listeners that own routes name, port 80 first.
    pub fn entrances(&self) -> Vec<Entrance> {
        let mut entrances: Vec<Entrance> = Vec::new();
        for parent in self.parents(&ParentKind::Gateway) {
            let Some(gateway) = self.api.gateway(&parent.namespace, &parent.name) else { continue };
            let named = |listener: &&gateway::Listener| {
                parent.section.as_ref().is_none_or(|section| *section == listener.name)
                    && parent.port.is_none_or(|port| port == listener.port)
            };
            for listener in gateway.listeners.iter().filter(named) {
                entrance(gateway, listener, &mut entrances);
            }
            for listener in &gateway.listeners {
                entrance(gateway, listener, &mut entrances);
            }
        }
        for gateway in self.api.gateways.iter().filter(|gateway| self.is_own(gateway.at)) {
            for listener in &gateway.listeners {
                entrance(gateway, listener, &mut entrances);
            }
        }
        entrances
    }

    /// The namespaces of clients in the mesh: first a consumer's, if the test is of that kind.
    pub fn client_namespaces(&self) -> Vec<String> {
        let mut namespaces = Vec::new();
        let own = self.api.routes.iter().filter(|route| self.is_own(route.at));
        for route in own {
            namespaces.push(route.namespace.clone());
            namespaces.extend(route.parents.iter().map(|parent| parent.namespace.clone()));
        }
        let base = self.manifests.of("", "Namespace").map(|object| object.id.name.clone());
        namespaces.extend(base);
        let mut seen = Vec::new();
        namespaces.retain(|namespace| {
            let is_new = !seen.contains(namespace);
            seen.push(namespace.clone());
            is_new
        });
        namespaces
    }

    /// The host that a mesh case means if it names none: the service that own routes are bound to.
    pub fn default_host(&self) -> String {
        let parents = self.parents(&ParentKind::Service);
        parents.first().map_or("echo".to_owned(), |parent| match parent.port {
            Some(port) => format!("{}.{}:{port}", parent.name, parent.namespace),
            None => format!("{}.{}", parent.name, parent.namespace),
        })
    }

    /// The first full host that the test's own routes name.
    pub fn own_host(&self) -> Option<String> {
        let http = self.api.routes.iter().filter(|route| self.is_own(route.at));
        let layer4 = self.api.layer4.iter().filter(|route| self.is_own(route.at));
        let hosts = http.flat_map(|route| &route.hostnames);
        let mut hosts = hosts.chain(layer4.flat_map(|route| &route.hostnames));
        hosts.find(|host| !host.text.contains('*')).map(|host| host.text.clone())
    }

    /// A client's question in the mesh.
    pub fn mesh_query(&self, namespace: &str, request: Request) -> Query {
        let namespace = namespace.to_owned();
        let from = Origin::Mesh { namespace, workload: None, labels: Labels::new() };
        Query { from, request }
    }

    /// Whether a path is matched by a rule of the test's own routes beyond `/`.
    pub fn knows_path(&self, request: &Request) -> bool {
        self.own_rules().flat_map(|rule| &rule.matches).any(|matching| matching.matches(request))
    }
}

fn is_mesh(test: &Value) -> bool {
    let features = values::texts(test, "features");
    features.iter().any(|feature| feature == "SupportMesh")
        || values::text(test, "file").is_some_and(|file| file.contains("/mesh/"))
}

fn entrance(
    gateway: &gateway::Gateway,
    listener: &gateway::Listener,
    entrances: &mut Vec<Entrance>,
) {
    let scheme = match listener.protocol {
        gateway::Protocol::Https => "https",
        gateway::Protocol::Tls => "tls",
        gateway::Protocol::Tcp => "tcp",
        _ => "http",
    };
    let origin = Origin::Gateway {
        namespace: gateway.namespace.clone(),
        name: gateway.name.clone(),
        sni: None,
    };
    let entrance = Entrance { origin, scheme, port: listener.port };
    if !entrances.contains(&entrance) {
        entrances.push(entrance);
    }
}
