//! The Gateway API's routes of the mesh (GAMMA): routes that are bound to Services.
//!
//! A scenario has one view of a service's routes. It is that of clients in the service's own namespace, or
//! if these have none, of the first namespace whose own routes (a consumer's) are bound to it; and that of
//! the first port that has routes. In a mesh of Istio they count where none of Istio's own rules decides.
//! Source: GEP-1294 and GEP-1426; Gateway API, mesh overview (consumer and producer routes, ports).
//! Left out: told as ignored, the views of other namespaces and ports, TCP and TLS routes.

use super::gateway_api_rule::{Of, Writer};
use crate::manifest::gateway_api::attach::RouteIndex;
use crate::manifest::gateway_api::table::Entry;
use crate::manifest::istio::mesh::Release;
use crate::manifest::kubernetes::service::Service;
use crate::manifest::loaded::Loaded;
use crate::manifest::meshes::Mesh;
use crate::manifest::object::Labels;
use crate::manifest::route::request::Request;
use crate::manifest::route::{Origin, Query};

/// Adds the routes of all Services that have some.
pub(super) fn mesh_routes(writer: &mut Writer<'_, '_>) {
    let loaded = writer.draft.loaded;
    for ((namespace, name), table) in &loaded.tables.services {
        let Some(service) = loaded.cluster.service(namespace, name) else { continue };
        let Some(own) = writer.draft.service_of(namespace, name).map(|own| own.name.clone()) else {
            tell(
                writer,
                table,
                "spec.parentRefs",
                "no service of the scenario stands for the parent",
            );
            continue;
        };
        let views = views(loaded, service, table);
        let Some((port, entries)) = views.first() else { continue };
        if writer.draft.mesh == Mesh::Istio && istio_decides(loaded, service, *port) {
            tell(writer, table, "metadata.name", "a rule of Istio's own decides for the Service");
            continue;
        }
        let others: Vec<&Entry> = table.iter().filter(|one| !has(entries, one)).collect();
        let why = "clients of another namespace, or at another port, have other routes: the view of the \
                   Service's own namespace, and of its first port with routes, is taken";
        tell(writer, others, "spec.parentRefs", why);
        let routes = writer.routes(Of { own: &own, is_mesh: true }, entries);
        writer.draft.service(&own, Some(service.at)).routes = routes;
    }
    for bound in &loaded.tables.attached.services {
        let RouteIndex::Layer4(index) = bound.route else { continue };
        let route = &loaded.gateway_api.layer4[index];
        let why = "connections are not split: requests go to the Service that is called";
        writer.ignore(&format!("{}.spec.rules", route.kind()), route.at, why);
    }
}

fn has(entries: &[&Entry], one: &Entry) -> bool {
    entries.iter().any(|known| {
        (known.route, known.rule, known.matching) == (one.route, one.rule, one.matching)
    })
}

fn tell<'a>(
    writer: &mut Writer<'_, '_>,
    entries: impl IntoIterator<Item = &'a Entry>,
    path: &str,
    why: &str,
) {
    for entry in entries {
        let route = &writer.draft.loaded.gateway_api.routes[entry.route];
        writer.ignore(&format!("{}.{path}", route.kind()), route.at, why);
    }
}

/// The rules of each port that has some, as one namespace's clients see them.
fn views<'l>(
    loaded: &'l Loaded,
    service: &Service,
    table: &'l [Entry],
) -> Vec<(u16, Vec<&'l Entry>)> {
    let routes = &loaded.gateway_api.routes;
    let mut views = Vec::new();
    for port in &service.ports {
        let on_port = |entry: &&Entry| entry.port.is_none_or(|own| own == port.number);
        let of = |namespace: &str| -> Vec<&Entry> {
            let own = |entry: &&Entry| routes[entry.route].namespace == namespace;
            table.iter().filter(on_port).filter(own).collect()
        };
        let mut bound = of(&service.namespace);
        if bound.is_empty() {
            let namespaces = table.iter().filter(on_port).map(|one| &routes[one.route].namespace);
            bound = namespaces.min().map_or_else(Vec::new, |first| of(first));
        }
        // GRPCRoutes come before HTTPRoutes where both are bound to one port.
        let is_grpc = |entry: &&Entry| routes[entry.route].is_grpc;
        if bound.iter().any(is_grpc) {
            bound.retain(is_grpc);
        }
        if !bound.is_empty() {
            views.push((port.number, bound));
        }
    }
    views
}

/// Whether Istio's own rules say where requests to a Service go.
fn istio_decides(loaded: &Loaded, service: &Service, port: u16) -> bool {
    let url = format!("http://{}.{}.svc.cluster.local:{port}/", service.name, service.namespace);
    let Ok(request) = Request::to("GET", &url, &[]) else { return false };
    let namespace = service.namespace.clone();
    let from = Origin::Mesh { namespace, workload: None, labels: Labels::new() };
    let own = loaded.istio_route(&Query { from, request }, Release::default());
    own.rule.is_some() || own.direct.is_some()
}
