//! The routes of services, in the view of one client each, and hosts of rules that are no service.
//!
//! The view is that of a client in the service's own namespace if it sees the service, else of the first namespace
//! that does. Other namespaces that get other rules are named.
//! Source: as `istio::outbound` picks a virtual service (the most specific host, then the oldest).
//! Left out: rules for TLS and TCP.

use super::Work;
use super::client_of;
use super::condition::Arrival;
use super::rule::Frame;
use crate::manifest::istio::choose::Client;
use crate::manifest::istio::host;
use crate::manifest::istio::matching::HttpMatch;
use crate::manifest::istio::mesh::{Mesh, View};
use crate::manifest::istio::registry::Known;
use crate::manifest::istio::rules::{self, Scope};
use crate::manifest::istio::virtual_service::{MESH, VirtualService};
use crate::manifest::kubernetes::service::Protocol;
use std::collections::BTreeSet;

/// Whether requests are seen on a port, or may be.
fn speaks_http(protocol: Protocol) -> bool {
    protocol.is_http() || protocol == Protocol::Unknown
}

/// The port that stands for a host: the first that speaks HTTP, or may.
pub(super) fn main_port(known: &Known) -> Option<u16> {
    let http = known.ports.iter().find(|(.., protocol)| speaks_http(*protocol));
    http.or(known.ports.first()).map(|(number, ..)| *number)
}

/// The virtual service that a client gets for a host, of those that may be meant.
fn picked<'v>(
    mesh: &Mesh<'_>,
    view: &View<'_>,
    host: &str,
    candidates: &[&'v VirtualService],
) -> Option<&'v VirtualService> {
    let mut best: Option<((bool, usize), &VirtualService)> = None;
    for service in candidates.iter().filter(|service| view.sees_rules(mesh, service)) {
        for word in &service.hosts {
            let full = host::full(&word.text, &service.head.namespace);
            let rank = host::rank(&full);
            if host::within(host, &full) && best.is_none_or(|(before, _)| rank > before) {
                best = Some((rank, service));
            }
        }
    }
    best.map(|(_, service)| service)
}

impl Work<'_, '_> {
    /// Routes and policies of all services that are hosts of the mesh.
    pub(super) fn services(&mut self) {
        self.rules_of_no_host();
        for index in 0..self.draft.services.len() {
            let Some(known) = self.known_of(index).cloned() else { continue };
            let Some(port) = main_port(&known) else { continue };
            let candidates = self.candidates(&known.host);
            let candidates: Vec<&VirtualService> = candidates.iter().collect();
            let (client, rules) = self.view(&known, port, &candidates);
            let spoken = known.protocol(port).unwrap_or(Protocol::Unknown);
            if let Some(rules) = rules.filter(|_| !speaks_http(spoken)) {
                let why = "the service speaks no HTTP: its connections are not looked into";
                self.draft.ignore("VirtualService.spec.http", rules.head.at, why);
            } else if let Some(rules) = rules {
                self.mesh_routes(index, &client, port, rules);
            }
            self.destination_policy(index, &known, &client, port);
        }
    }

    /// The virtual services that may be meant by a host.
    fn candidates(&self, wanted: &str) -> Vec<VirtualService> {
        let covers = |service: &&VirtualService| {
            !service.http.is_empty()
                && service
                    .hosts
                    .iter()
                    .any(|word| host::covers(&word.text, &service.head.namespace, wanted))
        };
        self.mesh.rules_for(wanted).filter(covers).cloned().collect()
    }

    /// Namespaces in which clients may be: the first one, then all others.
    fn namespaces(&self, first: &str) -> Vec<String> {
        let cluster = self.mesh.cluster;
        let mut all: BTreeSet<&str> = cluster.namespaces.keys().map(String::as_str).collect();
        all.extend(cluster.workloads.iter().map(|one| one.namespace.as_str()));
        all.extend(cluster.services.keys().map(|(namespace, _)| namespace.as_str()));
        all.remove(first);
        let others = all.into_iter().map(str::to_owned);
        std::iter::once(first.to_owned()).chain(others).collect()
    }

    /// Whether all namespaces see the same of a host.
    fn is_seen_alike(&self, known: &Known, candidates: &[&VirtualService]) -> bool {
        let istio = self.mesh.istio;
        let default = &istio.mesh.default_virtual_service_export;
        known.export.is_empty()
            && istio.sidecars.is_empty()
            && (default.is_empty() || default.iter().any(|text| text == "*"))
            && candidates.iter().all(|service| service.export_to.is_public())
    }

    /// The client whose view is taken, and the rules that it gets.
    fn view<'v>(
        &mut self,
        known: &Known,
        port: u16,
        candidates: &[&'v VirtualService],
    ) -> (Client, Option<&'v VirtualService>) {
        let own = client_of(&known.namespace);
        if self.is_seen_alike(known, candidates) {
            let rules = picked(&self.mesh, &View::of(&self.mesh, &own), &known.host, candidates);
            return (own, rules);
        }
        let mut taken: Option<(Client, Option<&VirtualService>)> = None;
        let mut others = Vec::new();
        for namespace in self.namespaces(&known.namespace) {
            let client = client_of(&namespace);
            let view = View::of(&self.mesh, &client);
            if !view.sees(known, Some(port)) {
                continue;
            }
            let rules = picked(&self.mesh, &view, &known.host, candidates);
            match &taken {
                Some((_, first)) => {
                    let name = |one: Option<&VirtualService>| one.map(|one| one.head.full());
                    if name(*first) != name(rules) {
                        others.push((namespace, rules));
                    }
                }
                None => taken = Some((client, rules)),
            }
        }
        let told = taken.as_ref().map_or(&known.namespace, |(client, _)| &client.namespace).clone();
        if let Some((namespace, rules)) = others.first() {
            let first = taken.as_ref().and_then(|(_, rules)| *rules);
            let at = rules.or(first).map_or(known.at, |rules| rules.head.at);
            let why = format!(
                "clients in {namespace} get other rules for {} than those in {told}, whose view \
                 is taken",
                known.host
            );
            self.draft.ignore("VirtualService.spec.exportTo", at, &why);
        }
        taken.unwrap_or((own, None))
    }

    /// The rules of a virtual service as the routes of a service.
    fn mesh_routes(&mut self, index: usize, client: &Client, port: u16, rules: &VirtualService) {
        self.used_rules(&rules.head);
        let own = self.draft.services[index].name.clone();
        let view = View { client, sidecar: None };
        let scope = Scope { gateway: MESH, port, view: &view };
        self.other_views(&scope, rules);
        if !rules::any_applies(&scope, rules) {
            return;
        }
        let arrival = Arrival { authority: &own, port, scheme: "http" };
        let frame = Frame { client, own: &own, is_gateway: false, arrival };
        for rule in &rules.http {
            let counts: Vec<Option<&HttpMatch>> = rules::conditions(rule)
                .into_iter()
                .filter(|found| rules::applies(&scope, rules, *found))
                .collect();
            if counts.is_empty() {
                continue;
            }
            let routes = self.routes_of(&frame, rules, rule, &counts);
            self.draft.services[index].routes.extend(routes);
        }
        unique_names(&mut self.draft.services[index].routes);
    }

    /// Names what counts for other clients and ports only.
    fn other_views(&mut self, scope: &Scope<'_>, rules: &VirtualService) {
        for found in rules.http.iter().flat_map(|rule| &rule.matches) {
            let at = |name: &str| self.places.field(found.at, &[name]);
            let mut told: Vec<(&str, crate::manifest::source::At, String)> = Vec::new();
            if !found.source_labels.is_empty() {
                let why = "a service has one set of routes: of clients without these labels";
                told.push(("sourceLabels", at("sourceLabels"), why.to_owned()));
            }
            let namespace = &scope.view.client.namespace;
            if found.source_namespace.as_ref().is_some_and(|name| name != namespace) {
                let why = format!("a service has one set of routes: of clients in {namespace}");
                told.push(("sourceNamespace", at("sourceNamespace"), why));
            }
            if found.port.is_some_and(|port| port != scope.port) {
                let why = format!("a service has one port: {}", scope.port);
                told.push(("port", at("port"), why));
            }
            for (field, at, why) in told {
                self.draft.ignore(format!("VirtualService.spec.http.match.{field}"), at, &why);
            }
        }
    }

    /// Hosts that sidecars have by a virtual service alone: services without pods of their own.
    fn rules_of_no_host(&mut self) {
        let all: Vec<VirtualService> =
            self.mesh.virtual_services.iter().filter(|one| one.in_mesh()).cloned().collect();
        for service in &all {
            let own = &service.head.namespace;
            for word in &service.hosts {
                let full = host::full(&word.text, own);
                if service.http.is_empty() || full.ends_with(host::DOMAIN) {
                    continue;
                }
                let wild = full.starts_with('*');
                let covers = |known: &Known| {
                    host::within(&known.host, &full) || host::alias_of(&full, &known.host, own)
                };
                if self.mesh.registry.iter().any(covers) {
                    continue;
                }
                if wild || self.mesh.registry.on_port(80, own).next().is_none() {
                    let why = "a host that is no service, and for which no proxy listens";
                    let why = if wild { "a wildcard for hosts that are no services" } else { why };
                    self.draft.ignore("VirtualService.spec.hosts", word.at, why);
                    continue;
                }
                let called = self.draft.names.free(own, &full);
                if called != full {
                    continue;
                }
                self.draft.service(&full, Some(word.at));
                let index = self.draft.services.len() - 1;
                let client = client_of(own);
                self.mesh_routes(index, &client, 80, service);
            }
        }
    }
}

/// Routes of a service have names that differ.
pub(super) fn unique_names(routes: &mut [crate::manifest::draft::value::Table]) {
    use crate::manifest::draft::value::{Kind, Value};
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for route in routes {
        let Some(Value { kind: Kind::Text(name), origin }) = route.get("name").cloned() else {
            continue;
        };
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !seen.contains(name));
        let free = free.unwrap_or(name);
        seen.insert(free.clone());
        route.set("name", Value { kind: Kind::Text(free), origin });
    }
}
