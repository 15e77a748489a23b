//! HTTP, gRPC, TLS and TCP routes as Linkerd reads them.
//!
//! Linkerd takes two groups of `HTTPRoute`: its own (policy.linkerd.io) and the Gateway API's. A filter
//! that it does not know, or an annotation that does not parse, drops the *whole* route, so that its
//! requests go to the next best route or to none. A backend without a namespace is looked for in the
//! namespace of the *parent*.
//! Source: linkerd2 `policy-controller/k8s/index/src/outbound/index/{http,grpc,tls,tcp}.rs`,
//! `outbound/index.rs` (`apply_http_route` converts with the parent's namespace), `routes/grpc.rs`;
//! `charts/linkerd-crds/templates/policy/httproute.yaml` (its parents' group defaults to its own).
//! Left out: `sectionName` (Linkerd goes by port); conditions (status is the controller's to write).

use crate::manifest::findings::Findings;
use crate::manifest::gateway_api::filter::{Action, Filter};
use crate::manifest::gateway_api::http::{self, HttpRoute};
use crate::manifest::gateway_api::layer4::{self, Layer4Route};
use crate::manifest::gateway_api::parent::{ParentKind, ParentRef};
use crate::manifest::kinds::GATEWAY_API;
use crate::manifest::linkerd::annotation::Annotations;
use crate::manifest::linkerd::authorization::POLICY;
use crate::manifest::linkerd::traffic::{self, Retry, Timeouts};
use crate::manifest::node::Node;
use crate::manifest::object::Object;
use crate::manifest::reader;
use crate::manifest::source::{At, Sources};
use std::collections::BTreeSet;

/// All routes, in the order in which equal matches win.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Routes {
    /// HTTP and gRPC routes.
    pub http: Vec<RouteOf>,
    /// TLS and TCP routes.
    pub layer4: Vec<Layer4Route>,
}

/// An HTTP or gRPC route as Linkerd reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteOf {
    /// The route.
    pub route: HttpRoute,
    /// Its group.
    pub group: String,
    /// Places of backends that name no namespace.
    untold: BTreeSet<At>,
    /// How long things may take, by annotation.
    pub timeouts: Timeouts,
    /// What is retried, by annotation.
    pub retry: Option<Retry>,
    /// Why Linkerd drops the whole route, and where.
    pub dropped: Option<(At, String)>,
}

/// What a route may be bound to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parent {
    /// A Service.
    Service,
    /// An `EgressNetwork`.
    Egress,
    /// A Server, for requests that come in.
    Server,
}

impl RouteOf {
    /// `HTTPRoute namespace/name`, with the group if it is Linkerd's own.
    pub fn title(&self) -> String {
        let own = if self.group == POLICY { ".policy.linkerd.io" } else { "" };
        format!("{}{own} {}/{}", self.route.kind(), self.route.namespace, self.route.name)
    }

    /// The reference that binds it to a parent and port.
    pub fn bound(
        &self,
        kind: Parent,
        namespace: &str,
        name: &str,
        port: u16,
    ) -> Option<&ParentRef> {
        self.route.parents.iter().find(|parent| {
            is_parent(parent, kind, &self.group)
                && parent.namespace == namespace
                && parent.name == name
                && (kind == Parent::Server || parent.port.is_none_or(|own| own == port))
        })
    }

    /// The namespace of a backend, for a parent in this namespace.
    pub fn backend_namespace<'a>(&self, own: &'a str, at: At, parent: &'a str) -> &'a str {
        if self.untold.contains(&at) { parent } else { own }
    }
}

/// Whether a reference of a route of this group means a parent of this kind.
pub fn is_parent(parent: &ParentRef, kind: Parent, group: &str) -> bool {
    match (&parent.kind, kind) {
        (ParentKind::Service, Parent::Service) => true,
        (ParentKind::Other(own, word), Parent::Egress | Parent::Server) => {
            let wanted = if kind == Parent::Egress { "EgressNetwork" } else { "Server" };
            // Linkerd's own HTTPRoute fills in its own group where none is told.
            let is_own = own == POLICY || (group == POLICY && own == GATEWAY_API);
            is_own && word == wanted
        }
        _ => false,
    }
}

/// Reads all routes. Problems of the Gateway API's kinds are told where those are read.
pub fn read(objects: &[Object], sources: &Sources, findings: &mut Findings) -> Routes {
    let mut routes = Routes::default();
    let mut unheard = Findings::default();
    for object in objects {
        match (object.id.group.as_str(), object.id.kind.as_str()) {
            (GATEWAY_API, "HTTPRoute" | "GRPCRoute") => {
                routes.http.push(read_http(object, sources, &mut unheard, findings));
            }
            (POLICY, "HTTPRoute") => {
                let route = read_own(object, sources, findings);
                routes.http.push(route);
            }
            (GATEWAY_API, "TCPRoute" | "TLSRoute") => {
                let read = |r: &mut reader::Reader<'_, '_>| layer4::read(object, r);
                routes.layer4.push(reader::object(object, sources, &mut unheard, read));
            }
            _ => {}
        }
    }
    let by_age = |a: &HttpRoute, b: &HttpRoute| {
        age(a.created.as_ref(), &a.name).cmp(&age(b.created.as_ref(), &b.name))
    };
    routes.http.sort_by(|a, b| by_age(&a.route, &b.route));
    routes
        .layer4
        .sort_by(|a, b| age(a.created.as_ref(), &a.name).cmp(&age(b.created.as_ref(), &b.name)));
    routes
}

/// Routes with a time come before those without, then the oldest, then names.
fn age<'a>(created: Option<&'a String>, name: &'a str) -> (bool, Option<&'a String>, &'a str) {
    (created.is_none(), created, name)
}

fn read_http(
    object: &Object,
    sources: &Sources,
    unheard: &mut Findings,
    findings: &mut Findings,
) -> RouteOf {
    let route = reader::object(object, sources, unheard, |r| http::read(object, r));
    of(object, route, sources, findings)
}

/// Linkerd's own kind has fewer fields than the Gateway API's.
fn read_own(object: &Object, sources: &Sources, findings: &mut Findings) -> RouteOf {
    let route = reader::object(object, sources, findings, |reader| {
        let route = http::read(object, reader);
        for rule in &route.rules {
            if let Some(retry) = &rule.retry {
                let what = "HTTPRoute of policy.linkerd.io has no field `retry`";
                let hint = "annotate the route with retry.linkerd.io/http instead";
                reader.warning(retry.at, what, hint);
            }
            for filter in &rule.filters {
                if let Some(word) = unsupported(filter) {
                    let what = format!("HTTPRoute of policy.linkerd.io has no filter {word}");
                    reader.problem(filter.at, what, "the API server refuses this");
                }
            }
        }
        route
    });
    of(object, route, sources, findings)
}

fn of(object: &Object, route: HttpRoute, sources: &Sources, findings: &mut Findings) -> RouteOf {
    let annotations = Annotations::of(object.node.get("metadata"));
    let group = object.id.group.clone();
    let is_outbound = route.parents.iter().any(|parent| {
        is_parent(parent, Parent::Service, &group) || is_parent(parent, Parent::Egress, &group)
    });
    let mut dropped = None;
    let timeouts = traffic::timeouts(&annotations).unwrap_or_else(|fault| {
        dropped.get_or_insert(fault);
        None
    });
    let retry = if route.is_grpc {
        traffic::grpc_retry(&annotations)
    } else {
        traffic::http_retry(&annotations)
    };
    let retry = retry.unwrap_or_else(|fault| {
        dropped.get_or_insert(fault);
        None
    });
    if let Some((at, what)) = dropped.as_ref().filter(|_| is_outbound) {
        let hint =
            "Linkerd's admission webhook refuses this; without it the whole route is dropped";
        findings.problem(sources, *at, what.clone(), hint);
    }
    let filters = route.rules.iter().flat_map(|rule| &rule.filters);
    for filter in filters {
        if let Some(word) = unsupported(filter) {
            let what = format!("Linkerd has no filter {word} and drops the whole route");
            dropped.get_or_insert((filter.at, what));
        }
    }
    if let Some(at) = method_regex(object) {
        let what = "Linkerd has no regular expressions for gRPC methods and drops the whole route";
        dropped.get_or_insert((at, what.to_owned()));
    }
    let untold = untold_namespaces(object);
    RouteOf { route, group, untold, timeouts: timeouts.unwrap_or_default(), retry, dropped }
}

/// The word of a filter that Linkerd does not convert.
pub fn unsupported(filter: &Filter) -> Option<&'static str> {
    match filter.action {
        Action::RequestHeaders(_) | Action::ResponseHeaders(_) | Action::Redirect(_) => None,
        Action::Rewrite { .. } => Some("URLRewrite"),
        Action::Mirror(_) => Some("RequestMirror"),
        Action::Cors(_) => Some("CORS"),
        Action::Extension(_) => Some("ExtensionRef"),
    }
}

fn rules(object: &Object) -> &[Node] {
    let rules = object.node.get("spec").and_then(|spec| spec.get("rules"));
    rules.map(Node::items).unwrap_or_default()
}

fn method_regex(object: &Object) -> Option<At> {
    let matches = rules(object).iter().filter_map(|rule| rule.get("matches"));
    let kinds = matches
        .flat_map(Node::items)
        .filter_map(|one| one.get("method").and_then(|method| method.get("type")));
    kinds.into_iter().find(|kind| kind.text() == Some("RegularExpression")).map(|kind| kind.at)
}

fn untold_namespaces(object: &Object) -> BTreeSet<At> {
    let backends = rules(object).iter().filter_map(|rule| rule.get("backendRefs"));
    let untold =
        backends.flat_map(Node::items).filter(|backend| backend.get("namespace").is_none());
    untold.filter_map(|backend| backend.get("name").map(|name| name.at)).collect()
}
