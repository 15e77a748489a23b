//! What counts on one hop: the timeouts and tries of all rules that a caller may meet on its way to a
//! service.
//!
//! Which rule a request meets depends on its path and headers, which nobody tells here: every rule that
//! could count is given, and who asks takes the worst of them.
//! Source: [`crate::manifest::istio::outbound`] (which virtual service counts, the default of two retries),
//! [`crate::manifest::linkerd::outbound`] (profiles win over routes, routes over annotations), GEP-1731 and
//! GEP-1742 for the Gateway API's mesh routes. Istio's default policy tries a service's answer 503 again
//! only before 1.24 (`pilot/pkg/networking/core/route/retry/retry.go`), and gRPC's `unavailable` always.
//! Left out: headers by which a client asks for retries; retry budgets (a fifth of the requests by
//! default) are counted as no retries; opaque ports.

use crate::manifest::gateway_api::http::{HttpRoute as SpecifiedRoute, Rule as SpecifiedRule};
use crate::manifest::gateway_api::parent::ParentKind;
use crate::manifest::istio::mesh::{Mesh, View};
use crate::manifest::istio::resilience::Retries;
use crate::manifest::istio::rules::{self, Scope};
use crate::manifest::istio::virtual_service::MESH;
use crate::manifest::istio::{host, outbound};
use crate::manifest::kubernetes::Name;
use crate::manifest::kubernetes::service::{Protocol, Service};
use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::linkerd::authorization::POLICY;
use crate::manifest::linkerd::routes::Parent;
use crate::manifest::linkerd::traffic::{Retry, Timeouts};
use crate::manifest::loaded::Loaded;
use crate::manifest::node::Node;
use crate::manifest::object::{Labels, Object};
use crate::manifest::source::At;
use std::collections::BTreeMap;

/// One rule that may count.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Rule {
    /// Kind, namespace and name of its object; empty for a default.
    pub object: String,
    /// Limit for the whole request, in nanoseconds.
    pub timeout_ns: Option<u64>,
    /// Where that is.
    pub timeout_at: At,
    /// Tries at most, the first one too.
    pub tries: u32,
    /// Where that is; none for a default.
    pub tries_at: Option<At>,
    /// Limit for each try, in nanoseconds.
    pub per_try_ns: Option<u64>,
    /// Whether an error that the service itself answers is tried again, not only a broken connection.
    pub answers: bool,
}

/// The rules that may count between two services; one without limits if there is no mesh.
pub fn rules(
    loaded: &Loaded,
    mesh: &Mesh<'_>,
    fields: &Fields<'_>,
    caller: &Name,
    to: &Name,
) -> Vec<Rule> {
    let plain = || vec![Rule { tries: 1, ..Rule::default() }];
    let Some(service) = loaded.cluster.service(&to.0, &to.1) else { return plain() };
    let from = loaded.cluster.service(&caller.0, &caller.1);
    let workload = from.and_then(|from| loaded.cluster.workloads_of(from).into_iter().next());
    let has_linkerd = workload.is_some_and(|workload| loaded.linkerd.is_meshed(workload));
    let found = if has_linkerd {
        by_linkerd(loaded, caller, service)
    } else if loaded.uses_istio() {
        by_istio(loaded, (mesh, fields), caller, workload, service)
    } else {
        Vec::new()
    };
    if found.is_empty() { plain() } else { found }
}

/// The port that is called: the first that may be HTTP.
fn port(service: &Service) -> Option<(u16, bool)> {
    let mut ports = service.ports.iter();
    let found = ports.find(|port| port.protocol.is_http() || port.protocol == Protocol::Unknown)?;
    Some((found.number, found.protocol == Protocol::Grpc))
}

fn by_istio(
    loaded: &Loaded,
    (mesh, fields): (&Mesh<'_>, &Fields<'_>),
    caller: &Name,
    workload: Option<&Workload>,
    service: &Service,
) -> Vec<Rule> {
    let Some((port, is_grpc)) = port(service) else { return Vec::new() };
    let name = workload.map(|workload| workload.name.as_str());
    let client = mesh.client(&caller.0, name, &Labels::new());
    if !client.has_proxy && workload.is_some() {
        return Vec::new();
    }
    let view = View::of(mesh, &client);
    let full = host::service(&service.name, &service.namespace);
    let known = mesh.registry.asked(&full, &client.namespace);
    if let Some(own) = outbound::pick(mesh, &view, known, &full, port) {
        let scope = Scope { gateway: MESH, port, view: &view };
        let for_client = |route: &&crate::manifest::istio::virtual_service::HttpRoute| {
            let mut all = route.matches.iter();
            route.matches.is_empty() || all.any(|found| rules::applies(&scope, own, Some(found)))
        };
        let routes = own.http.iter().filter(for_client);
        let found: Vec<Rule> = routes
            .filter(|route| !route.routes.is_empty())
            .map(|route| Rule {
                object: format!("VirtualService {}", own.head.full()),
                timeout_ns: route.timeout_ns,
                timeout_at: fields.at(route.at, "timeout"),
                per_try_ns: route.retries.as_ref().and_then(|retries| retries.per_try_ns),
                ..tried(mesh, route.retries.as_ref(), is_grpc)
            })
            .collect();
        if !found.is_empty() {
            return found;
        }
    }
    let specified = specified(loaded, service, port);
    let routes = specified.iter().map(|(route, rule)| {
        let own = rule.retry.as_ref();
        let default = tried(mesh, None, is_grpc);
        let errors = |codes: &[u16]| codes.iter().any(|code| *code >= 500);
        Rule {
            object: route.title(),
            timeout_ns: rule.request_timeout_ns.filter(|ns| *ns > 0),
            timeout_at: rule.at,
            per_try_ns: rule.backend_timeout_ns.filter(|ns| *ns > 0),
            tries: own.and_then(|retry| retry.attempts).map_or(default.tries, |n| n + 1),
            tries_at: own.map(|retry| retry.at),
            answers: own.map_or(default.answers, |retry| errors(&retry.codes)),
        }
    });
    let routes: Vec<Rule> = routes.collect();
    if routes.is_empty() { vec![tried(mesh, None, is_grpc)] } else { routes }
}

/// The tries of Istio's retry policy: a rule's own, the mesh's, or the default.
fn tried(mesh: &Mesh<'_>, own: Option<&Retries>, is_grpc: bool) -> Rule {
    let Some(policy) = rules::retries(mesh, own) else {
        return Rule { tries: 1, ..Rule::default() };
    };
    let grpc = ["unavailable", "cancelled", "deadline-exceeded", "internal", "resource-exhausted"];
    let again =
        |word: &str| matches!(word, "5xx" | "gateway-error") || is_grpc && grpc.contains(&word);
    let answers =
        policy.on.iter().any(|word| again(word)) || policy.codes.iter().any(|code| *code >= 500);
    let written = own.or(mesh.istio.mesh.retries.as_ref());
    let tries_at = written.map(|retries| retries.at);
    Rule { tries: policy.attempts.saturating_add(1), tries_at, answers, ..Rule::default() }
}

/// The Gateway API's rules that are bound to a service.
fn specified<'a>(
    loaded: &'a Loaded,
    service: &Service,
    port: u16,
) -> Vec<(&'a SpecifiedRoute, &'a SpecifiedRule)> {
    let bound = |route: &&SpecifiedRoute| {
        route.parents.iter().any(|parent| {
            parent.kind == ParentKind::Service
                && parent.namespace == service.namespace
                && parent.name == service.name
                && parent.port.is_none_or(|own| own == port)
        })
    };
    let routes = loaded.gateway_api.routes.iter().filter(bound);
    routes.flat_map(|route| route.rules.iter().map(move |rule| (route, rule))).collect()
}

fn by_linkerd(loaded: &Loaded, caller: &Name, service: &Service) -> Vec<Rule> {
    let linkerd = &loaded.linkerd;
    let Some((port, is_grpc)) = port(service) else { return Vec::new() };
    let (namespace, name) = (&service.namespace, &service.name);
    let profile = linkerd.profile(&caller.0, namespace, name);
    let profile = profile.filter(|one| one.broken.is_none() && !one.routes.is_empty());
    if let Some(profile) = profile {
        let routes = profile.routes.iter().map(|route| Rule {
            object: format!("ServiceProfile {}/{}", profile.namespace, profile.name),
            timeout_ns: route.timeout_ns,
            timeout_at: route.at,
            tries: 1,
            ..Rule::default()
        });
        return routes.collect();
    }
    let policy = linkerd.services.get(&(namespace.clone(), name.clone()));
    let default = policy.map(|policy| {
        (&policy.timeouts, if is_grpc { &policy.grpc_retry } else { &policy.http_retry })
    });
    let bound = linkerd.routes.http.iter().filter(|route| {
        let own = &route.route.namespace;
        (own == namespace || *own == caller.0)
            && route.dropped.is_none()
            && route.bound(Parent::Service, namespace, name, port).is_some()
    });
    let mut found: Vec<Rule> = Vec::new();
    for route in bound {
        for rule in &route.route.rules {
            let mut timeouts = route.timeouts.clone();
            if route.group == POLICY && timeouts.request_ns.is_none() {
                timeouts.request_ns = rule.request_timeout_ns.filter(|timeout| *timeout != 0);
                timeouts.at = rule.at;
            }
            if timeouts.is_empty() {
                timeouts = default.map_or(timeouts, |(own, _)| own.clone());
            }
            let retry = route.retry.as_ref().or(default.and_then(|(_, retry)| retry.as_ref()));
            found.push(annotated(route.title(), &timeouts, retry, is_grpc));
        }
    }
    if found.is_empty() {
        let object = format!("Service {namespace}/{name}");
        let own = default.map(|(own, retry)| annotated(object, own, retry.as_ref(), is_grpc));
        found.extend(own);
    }
    found
}

fn annotated(object: String, timeouts: &Timeouts, retry: Option<&Retry>, is_grpc: bool) -> Rule {
    let counts = |retry: &&Retry| {
        if is_grpc { !retry.grpc_codes.is_empty() } else { !retry.statuses.is_empty() }
    };
    let retry = retry.filter(counts);
    Rule {
        object,
        timeout_ns: timeouts.effective().request_ns,
        timeout_at: timeouts.at,
        tries: retry.map_or(1, |retry| u32::from(retry.limit) + 1),
        tries_at: retry.map(|retry| retry.at),
        per_try_ns: retry.and_then(|retry| retry.timeout_ns),
        answers: retry.is_some(),
    }
}

/// Where fields of virtual services' rules stand, by the rules' own places.
#[derive(Debug)]
pub struct Fields<'n>(BTreeMap<At, &'n Node>);

impl<'n> Fields<'n> {
    /// Of all virtual services.
    pub fn of(objects: &'n [Object]) -> Self {
        let services = objects.iter().filter(|object| object.id.kind == "VirtualService");
        let routes = services.flat_map(|object| {
            let http = object.node.get("spec").and_then(|spec| spec.get("http"));
            http.map_or(&[][..], Node::items)
        });
        Self(routes.map(|route| (route.at, route)).collect())
    }

    /// Where a field of a rule is, or else the rule.
    pub fn at(&self, rule: At, field: &str) -> At {
        let found = self.0.get(&rule).and_then(|route| route.entry(field));
        found.map_or(rule, |entry| entry.value.at)
    }
}
