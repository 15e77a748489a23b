//! Which routes are bound to which listeners and services, and the status conditions that say so.
//!
//! Source: Gateway API `RouteParentStatus` (Accepted, `ResolvedRefs` and their reasons), `AllowedRoutes`,
//! `HTTPRouteSpec.hostnames` (a route binds only where its hosts meet the listener's).
//! Left out: `observedGeneration` and transition times, which need a history.

use crate::manifest::gateway_api::backend::{BackendRef, Broken, Referrer};
use crate::manifest::gateway_api::filter::Action;
use crate::manifest::gateway_api::gateway::{From, Gateway, Listener};
use crate::manifest::gateway_api::http::{HttpRoute, Rule};
use crate::manifest::gateway_api::layer4::Layer4Route;
use crate::manifest::gateway_api::listeners::{self, GatewayStatus};
use crate::manifest::gateway_api::parent::{ParentKind, ParentRef};
use crate::manifest::gateway_api::{GatewayApi, hostname};
use crate::manifest::kubernetes::Cluster;
use crate::manifest::reader::Word;
use crate::manifest::source::At;
use serde::Serialize;

/// Everything that is bound, and the status of all routes and gateways.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Attached {
    /// Routes bound to listeners.
    #[serde(skip)]
    pub listeners: Vec<Bound>,
    /// Routes bound to services.
    #[serde(skip)]
    pub services: Vec<BoundToService>,
    /// The status of each route, in the order of reading; HTTP and gRPC first.
    pub routes: Vec<RouteStatus>,
    /// The status of each gateway, in the order of reading.
    pub gateways: Vec<GatewayStatus>,
}

/// A route, by its index in its list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RouteIndex {
    /// In `GatewayApi::routes`.
    Http(usize),
    /// In `GatewayApi::layer4`.
    Layer4(usize),
}

/// A route that is bound to a listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bound {
    /// The route.
    pub route: RouteIndex,
    /// The gateway's index.
    pub gateway: usize,
    /// The listener's index in the gateway.
    pub listener: usize,
    /// The hosts that both mean; an empty one means all.
    pub hostnames: Vec<String>,
}

/// A route that is bound to a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BoundToService {
    /// The route.
    pub route: RouteIndex,
    /// The route's namespace: it is a consumer's route if it is not the service's.
    pub route_namespace: String,
    /// The service's namespace.
    pub namespace: String,
    /// The service's name.
    pub name: String,
    /// The port, if it is for one only.
    pub port: Option<u16>,
}

/// The status of a route.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RouteStatus {
    /// Kind, namespace and name.
    pub route: String,
    /// One entry a parent.
    pub parents: Vec<ParentStatus>,
}

/// The status of a route with one of its parents.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ParentStatus {
    /// The parent in words.
    pub parent: String,
    /// Whether it is bound.
    pub accepted: Condition,
    /// Whether its references lead somewhere.
    pub resolved_refs: Condition,
    /// Where the reference is.
    #[serde(skip)]
    pub at: At,
}

/// A condition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Condition {
    /// Whether it is `True`.
    pub status: bool,
    /// The reason's word.
    pub reason: String,
    /// The reason in a sentence; empty if all is well.
    pub message: String,
}

impl Condition {
    /// A condition that is `True`.
    pub fn yes(reason: &str) -> Self {
        Self { status: true, reason: reason.to_owned(), message: String::new() }
    }

    /// A condition that is `False`.
    pub fn no(reason: &str, message: impl Into<String>) -> Self {
        Self { status: false, reason: reason.to_owned(), message: message.into() }
    }
}

/// The part of a route that binding looks at.
struct Subject<'a> {
    index: RouteIndex,
    kind: &'static str,
    namespace: &'a str,
    title: String,
    parents: &'a [ParentRef],
    hostnames: &'a [Word],
    /// Its references as a gateway's route, and as a mesh's.
    resolved_refs: [Condition; 2],
}

impl Attached {
    /// Binds all routes.
    pub fn of(api: &GatewayApi, cluster: &Cluster) -> Self {
        let mut attached = Self::default();
        for gateway in &api.gateways {
            attached.gateways.push(listeners::status(gateway, api));
        }
        for (index, route) in api.routes.iter().enumerate() {
            attached.bind(
                api,
                cluster,
                &Subject {
                    index: RouteIndex::Http(index),
                    kind: route.kind(),
                    namespace: &route.namespace,
                    title: route.title(),
                    parents: &route.parents,
                    hostnames: &route.hostnames,
                    resolved_refs: [false, true]
                        .map(|is_mesh| http_refs(route, api, cluster, is_mesh)),
                },
            );
        }
        for (index, route) in api.layer4.iter().enumerate() {
            attached.bind(
                api,
                cluster,
                &Subject {
                    index: RouteIndex::Layer4(index),
                    kind: route.kind(),
                    namespace: &route.namespace,
                    title: route.title(),
                    parents: &route.parents,
                    hostnames: &route.hostnames,
                    resolved_refs: [false, true]
                        .map(|is_mesh| layer4_refs(route, api, cluster, is_mesh)),
                },
            );
        }
        for status in &mut attached.gateways {
            status.count_routes(&attached.listeners);
        }
        attached
    }

    fn bind(&mut self, api: &GatewayApi, cluster: &Cluster, subject: &Subject<'_>) {
        let mut parents = Vec::new();
        for parent in subject.parents {
            let accepted = match parent.kind {
                ParentKind::Gateway => self.bind_gateway(api, cluster, subject, parent),
                ParentKind::Service => self.bind_service(cluster, subject, parent),
                ParentKind::Other(..) => {
                    Condition::no("NoMatchingParent", "another controller's kind of parent")
                }
            };
            let is_mesh = usize::from(parent.kind == ParentKind::Service);
            parents.push(ParentStatus {
                parent: words(parent),
                accepted,
                resolved_refs: subject.resolved_refs[is_mesh].clone(),
                at: parent.at,
            });
        }
        self.routes.push(RouteStatus { route: subject.title.clone(), parents });
    }

    fn bind_gateway(
        &mut self,
        api: &GatewayApi,
        cluster: &Cluster,
        subject: &Subject<'_>,
        parent: &ParentRef,
    ) -> Condition {
        let named = |gateway: &Gateway| {
            gateway.namespace == parent.namespace && gateway.name == parent.name
        };
        let Some(index) = api.gateways.iter().position(named) else {
            return Condition::no("NoMatchingParent", format!("there is no {}", words(parent)));
        };
        let gateway = &api.gateways[index];
        let fits = |listener: &Listener| {
            parent.section.as_ref().is_none_or(|section| *section == listener.name)
                && parent.port.is_none_or(|port| port == listener.port)
        };
        let asked: Vec<usize> = (0..gateway.listeners.len())
            .filter(|listener| fits(&gateway.listeners[*listener]))
            .collect();
        if asked.is_empty() {
            return Condition::no("NoMatchingParent", "no listener has this name and port");
        }
        let allows = |listener: &&usize| {
            let listener = &gateway.listeners[**listener];
            listener.takes(subject.kind) && admits(listener, gateway, subject.namespace, cluster)
        };
        let allowed: Vec<usize> = asked.iter().filter(allows).copied().collect();
        if allowed.is_empty() {
            let what = format!("no listener takes a {} of {}", subject.kind, subject.namespace);
            return Condition::no("NotAllowedByListeners", what);
        }
        let before = self.listeners.len();
        for listener in allowed {
            let hostnames = meet(&gateway.listeners[listener].hostname, subject.hostnames);
            if !hostnames.is_empty() {
                let (route, gateway) = (subject.index, index);
                self.listeners.push(Bound { route, gateway, listener, hostnames });
            }
        }
        if self.listeners.len() == before {
            let what = "the route's hostnames meet no listener's";
            return Condition::no("NoMatchingListenerHostname", what);
        }
        Condition::yes("Accepted")
    }

    fn bind_service(
        &mut self,
        cluster: &Cluster,
        subject: &Subject<'_>,
        parent: &ParentRef,
    ) -> Condition {
        let Some(service) = cluster.service(&parent.namespace, &parent.name) else {
            return Condition::no("NoMatchingParent", format!("there is no {}", words(parent)));
        };
        let section = parent.section.as_ref().map(|name| service.port_named(name));
        let by_name = match section {
            Some(None) => {
                return Condition::no("NoMatchingParent", "the service has no port of this name");
            }
            Some(Some(port)) => Some(port.number),
            None => None,
        };
        if parent.port.is_some_and(|port| service.port(port).is_none()) {
            return Condition::no("NoMatchingParent", "the service has no such port");
        }
        self.services.push(BoundToService {
            route: subject.index,
            route_namespace: subject.namespace.to_owned(),
            namespace: parent.namespace.clone(),
            name: parent.name.clone(),
            port: parent.port.or(by_name),
        });
        Condition::yes("Accepted")
    }
}

/// Whether a listener takes routes of a namespace.
fn admits(listener: &Listener, gateway: &Gateway, namespace: &str, cluster: &Cluster) -> bool {
    match &listener.from {
        From::Same => namespace == gateway.namespace,
        From::All => true,
        From::None => false,
        From::Selector(selector) => selector.matches(&cluster.namespace_labels(namespace)),
    }
}

/// The hosts that a listener and a route both mean; a route without hosts takes the listener's.
fn meet(listener: &str, hostnames: &[Word]) -> Vec<String> {
    if hostnames.is_empty() {
        return vec![listener.to_ascii_lowercase()];
    }
    hostnames.iter().filter_map(|host| hostname::intersection(listener, &host.text)).collect()
}

fn layer4_refs(
    route: &Layer4Route,
    api: &GatewayApi,
    cluster: &Cluster,
    is_mesh: bool,
) -> Condition {
    let from = Referrer { kind: route.kind(), namespace: &route.namespace, is_mesh };
    let backends = route.rules.iter().flat_map(|rule| &rule.backends);
    let broken = backends.filter_map(|backend| {
        let broken = backend.resolve(cluster, &api.grants, from).err()?;
        Some((broken, backend.name.clone()))
    });
    refs(broken.collect())
}

fn http_refs(route: &HttpRoute, api: &GatewayApi, cluster: &Cluster, is_mesh: bool) -> Condition {
    let from = Referrer { kind: route.kind(), namespace: &route.namespace, is_mesh };
    let broken = route.rules.iter().flat_map(|rule| broken_of(rule, from, api, cluster));
    refs(broken.collect())
}

fn broken_of(
    rule: &Rule,
    from: Referrer<'_>,
    api: &GatewayApi,
    cluster: &Cluster,
) -> Vec<(Broken, String)> {
    let backends = rule.backends.iter().flatten();
    let filters = rule.filters.iter().chain(backends.clone().flat_map(|to| &to.filters));
    let mirrors = filters.filter_map(|filter| match &filter.action {
        Action::Mirror(mirror) => Some(&mirror.backend),
        _ => None,
    });
    let resolve = |backend: &BackendRef| {
        let broken = backend.resolve(cluster, &api.grants, from).err()?;
        Some((broken, format!("{} {}/{}", backend.kind, backend.namespace, backend.name)))
    };
    backends.chain(mirrors).filter_map(resolve).collect()
}

fn refs(broken: Vec<(Broken, String)>) -> Condition {
    match broken.into_iter().next() {
        None => Condition::yes("ResolvedRefs"),
        Some((broken, name)) => Condition::no(broken.word(), format!("{name}: {}", told(broken))),
    }
}

/// A broken reference in words.
pub fn told(broken: Broken) -> &'static str {
    match broken {
        Broken::InvalidKind => "the kind is not known here",
        Broken::BackendNotFound => "there is no such service or port",
        Broken::RefNotPermitted => "no ReferenceGrant lets this namespace refer to it",
        Broken::UnsupportedProtocol => "the route cannot carry the port's protocol",
    }
}

fn words(parent: &ParentRef) -> String {
    let kind = match &parent.kind {
        ParentKind::Gateway => "Gateway",
        ParentKind::Service => "Service",
        ParentKind::Other(_, kind) => kind,
    };
    let section = parent.section.as_ref().map_or(String::new(), |name| format!("/{name}"));
    let port = parent.port.map_or(String::new(), |port| format!(":{port}"));
    format!("{kind} {}/{}{section}{port}", parent.namespace, parent.name)
}
