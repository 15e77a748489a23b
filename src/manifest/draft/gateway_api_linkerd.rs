//! Routes of Services as Linkerd reads them: both kinds of `HTTPRoute`, `GRPCRoute` and `TCPRoute`.
//!
//! Each rule is one route, in the order of the routes' age: which of several takes a request is settled by
//! the scenario's proxies in Linkerd's order. A `TCPRoute` becomes a `traffic_split`. Routes beside a
//! `ServiceProfile` or a `TrafficSplit` do not count.
//! Source: linkerd2 `policy-controller/k8s/index/src/outbound`, as in [`crate::manifest::linkerd::outbound`].
//! Left out: told as ignored, views of other namespaces and ports; TLS routes; routes of an
//! `EgressNetwork`; what [`super::gateway_api_linkerd_rule`] leaves out.

use super::Draft;
use super::gateway_api_linkerd_rule::Written;
use super::gateway_api_rule::{Names, Writer};
use super::value::{Table, Value};
use crate::manifest::gateway_api::http::HttpRoute;
use crate::manifest::gateway_api::layer4::Layer4Route;
use crate::manifest::kinds::GATEWAY_API;
use crate::manifest::kubernetes::service::{Port, Service, ServiceKind};
use crate::manifest::linkerd::caller::Caller;
use crate::manifest::linkerd::outbound::{Asked, Rules};
use crate::manifest::linkerd::profiled;
use crate::manifest::linkerd::routes::{Parent, is_parent};
use crate::manifest::meshes::Mesh;
use crate::manifest::object::Labels;
use crate::manifest::route::Origin;
use crate::manifest::route::request::Request;
use crate::manifest::source::At;

/// Adds the routes of Services in a mesh of Linkerd; in other meshes there are none of these.
pub(super) fn linkerd_routes(draft: &mut Draft<'_>) {
    if draft.mesh != Mesh::Linkerd {
        return;
    }
    let loaded = draft.loaded;
    let mut writer = Writer::new(draft);
    for service in loaded.cluster.services.values() {
        if service.kind != ServiceKind::ExternalName && !service.is_headless {
            of_service(&mut writer, service);
        }
    }
    for of in &loaded.linkerd.routes.http {
        if of.route.parents.iter().any(|parent| is_parent(parent, Parent::Egress, &of.group)) {
            let why = "routes of what leaves the cluster are not simulated";
            writer.ignore(&format!("{}.spec.parentRefs.kind", of.route.kind()), of.route.at, why);
        }
    }
}

fn of_service(writer: &mut Writer<'_, '_>, service: &Service) {
    let loaded = writer.draft.loaded;
    let known = writer.draft.service_of(&service.namespace, &service.name);
    let Some(own) = known.map(|known| known.name.clone()) else { return };
    let mut written: Vec<(&str, At)> = Vec::new();
    for namespace in namespaces(writer, service) {
        let from =
            Origin::Mesh { namespace: namespace.clone(), workload: None, labels: Labels::new() };
        let caller = Caller::of(&loaded.linkerd, &loaded.cluster, &from);
        let (linkerd, cluster) = (&loaded.linkerd, &loaded.cluster);
        for port in &service.ports {
            let url = format!("http://{}.{}:{}/", service.name, service.namespace, port.number);
            let Ok(request) = Request::to("GET", &url, &[]) else { continue };
            let sources = &loaded.manifests.sources;
            let asked = Asked { linkerd, cluster, sources, caller: &caller, request: &request };
            let rules = asked.rules(service, port);
            let places = places(&rules);
            if places.is_empty() {
                continue;
            }
            let won = profiled::won(&asked, service, port);
            let wins =
                won.is_some_and(|won| matches!(rules, Rules::Http(_)) || !won.targets.is_empty());
            let why = if wins {
                "a ServiceProfile or TrafficSplit of the Service wins over its routes"
            } else if written.is_empty() {
                if write(writer, &asked, (service, port, own.as_str()), &rules) {
                    written = places;
                }
                continue;
            } else {
                "clients of another namespace, or at another port, have other routes"
            };
            for (kind, at) in places.into_iter().filter(|place| !written.contains(place)) {
                writer.ignore(&format!("{kind}.spec.parentRefs"), at, why);
            }
        }
    }
}

/// The Service's own namespace, then those of the routes that name it, by name.
fn namespaces(writer: &Writer<'_, '_>, service: &Service) -> Vec<String> {
    let routes = &writer.draft.loaded.linkerd.routes;
    let http = routes.http.iter().map(|of| (&of.route.namespace, &of.route.parents));
    let layer4 = routes.layer4.iter().map(|route| (&route.namespace, &route.parents));
    let names = http.chain(layer4).filter(|(_, parents)| {
        parents.iter().any(|one| one.namespace == service.namespace && one.name == service.name)
    });
    let mut others: Vec<String> = names.map(|(namespace, _)| namespace.clone()).collect();
    others.retain(|namespace| *namespace != service.namespace);
    others.sort_unstable();
    others.dedup();
    others.insert(0, service.namespace.clone());
    others
}

fn places(rules: &Rules<'_>) -> Vec<(&'static str, At)> {
    match rules {
        Rules::Http(routes) => routes.iter().map(|of| (of.route.kind(), of.route.at)).collect(),
        Rules::Tls(routes) | Rules::Tcp(routes) => {
            routes.iter().map(|route| (route.kind(), route.at)).collect()
        }
        Rules::Opaque => Vec::new(),
    }
}

/// Writes the rules of a port; whether there was something to write.
fn write(
    writer: &mut Writer<'_, '_>,
    asked: &Asked<'_>,
    (service, port, own): (&Service, &Port, &str),
    rules: &Rules<'_>,
) -> bool {
    match rules {
        Rules::Http(all) => {
            let mut names = Names::default();
            let mut routes = Vec::new();
            for of in all {
                for (index, rule) in of.route.rules.iter().enumerate() {
                    let base = Names::base(&of.route, index);
                    let HttpRoute { namespace, name, .. } = &of.route;
                    writer.uses(&of.group, of.route.kind(), namespace, name);
                    let node = writer.node(&of.route, rule);
                    let written = Written { asked, of, rule, node, service, own };
                    if let Some(table) = written.table(writer) {
                        routes.push(names.named(&base, rule.at, &table));
                    }
                }
            }
            writer.draft.service(own, Some(service.at)).routes = routes;
            true
        }
        Rules::Tcp(routes) => routes.first().is_some_and(|route| {
            writer.uses(GATEWAY_API, "TCPRoute", &route.namespace, &route.name);
            let split = traffic_split(writer, asked, route, port.number);
            let known = writer.draft.service(own, Some(service.at));
            if let Some(split) = split
                && known.table.get("traffic_split").is_none()
            {
                known.table.set("traffic_split", split);
            }
            true
        }),
        Rules::Tls(routes) => {
            for route in routes {
                let why =
                    "TLS is passed on to the Service that is called, whatever its server name";
                writer.ignore("TLSRoute.spec.rules", route.at, why);
            }
            true
        }
        Rules::Opaque => false,
    }
}

/// The destinations of a `TCPRoute`; weights of 0 and backends that are not there get nothing.
fn traffic_split(
    writer: &mut Writer<'_, '_>,
    asked: &Asked<'_>,
    route: &Layer4Route,
    port: u16,
) -> Option<Value> {
    let rule = route.rules.first()?;
    let mut split: Vec<(String, i64, At)> = Vec::new();
    let is_alone = rule.backends.len() == 1;
    for to in &rule.backends {
        let named = writer.draft.names.service(&to.namespace, &to.name).map(str::to_owned);
        let known = named.filter(|_| asked.cluster.service(&to.namespace, &to.name).is_some());
        let Some(name) = known else {
            let why = "a backend that is not there: its connections would be closed";
            writer.ignore("TCPRoute.spec.rules.backendRefs", to.at, why);
            continue;
        };
        if to.port.is_some_and(|own| own != port) {
            let why = "a service of a scenario has one port";
            writer.ignore("TCPRoute.spec.rules.backendRefs.port", to.at, why);
        }
        let weight = if is_alone { 1 } else { i64::from(to.weight) };
        match split.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, sum, _)) => *sum += weight,
            None => split.push((name, weight, to.at)),
        }
    }
    split.retain(|(_, weight, _)| 0 < *weight);
    let mut table = Table::new();
    for (name, weight, at) in split {
        table.set(name, Value::integer(weight).at(at));
    }
    Some(table).filter(|table| !table.is_empty()).map(|table| Value::from(table).at(rule.at))
}
