//! Virtual services: hosts, subsets and gateways that they name, and conflicts among them.
//!
//! Source: istio/istio `pkg/config/analysis/analyzers/virtualservice`, `util/hosts.go`.
//! Left out: nothing but what needs the pods of a gateway's own proxy (`IST0149` looks at labels).

use crate::manifest::istio::action::Destination;
use crate::manifest::istio::host;
use crate::manifest::istio::registry::Known;
use crate::manifest::istio::rules::full_gateway;
use crate::manifest::istio::virtual_service::{MESH, VirtualService};
use crate::manifest::kinds::GATEWAY_API;
use crate::manifest::lint::{Lint, named};
use crate::manifest::object::Labels;
use crate::manifest::selector::contains;
use std::collections::{BTreeMap, BTreeSet};

/// All rules of this file.
pub fn check(lint: &mut Lint<'_>) {
    destination_hosts(lint);
    subsets(lint);
    ingress_without_subsets(lint);
    gateways(lint);
    conflicting_hosts(lint);
    jwt_claims(lint);
}

/// The host that a destination means for a virtual service, if somebody sees it.
fn seen_host<'l>(lint: &'l Lint<'_>, service: &VirtualService, name: &str) -> Option<&'l Known> {
    let own = &service.head.namespace;
    let full = host::full(name, own);
    let exported = service.export_to.list.iter().map(|word| word.text.as_str());
    let mut scopes: Vec<&str> =
        exported.map(|text| if text == "." { own.as_str() } else { text }).collect();
    if scopes.is_empty() {
        scopes.push(own);
    }
    let public = |known: &Known| known.export.is_empty() || known.export.iter().any(|e| e == "*");
    let seen = |known: &Known| public(known) || scopes.iter().any(|scope| known.visible_in(scope));
    let exact = lint.registry.named(&full).find(|known| seen(known));
    exact.or_else(|| {
        let plain = full.trim_start_matches('*');
        lint.registry.wildcards().find(|known| {
            let end = known.host.strip_prefix('*');
            end.is_some_and(|end| plain.ends_with(end)) && (public(known) || known.visible_in(own))
        })
    })
}

const HOSTS: &str = "virtualservice.DestinationHostAnalyzer";

fn destination_hosts(lint: &mut Lint<'_>) {
    for service in &lint.istio.virtual_services {
        let object = named("VirtualService", &service.head);
        let all: Vec<&Destination> = service.destinations().collect();
        for to in all {
            let name = &to.host.text;
            let found = seen_host(lint, service, name).map(|known| known.ports.clone());
            let Some(ports) = found.filter(|_| !name.is_empty()) else {
                let what = format!("Referenced host not found: \"{name}\"");
                lint.report("IST0101", HOSTS, object.clone(), to.host.at, what);
                continue;
            };
            let numbers: Vec<u16> = ports.iter().map(|(number, ..)| *number).collect();
            match to.port {
                None if numbers.len() > 1 => {
                    let what = format!(
                        "This VirtualService routes to a service \"{name}\" that exposes \
                         multiple ports {numbers:?}"
                    );
                    lint.report("IST0112", HOSTS, object.clone(), to.host.at, what);
                }
                Some(port) if !numbers.contains(&port) => {
                    let what = format!("Referenced host:port not found: \"{name}:{port}\"");
                    lint.report("IST0101", HOSTS, object.clone(), to.host.at, what);
                }
                _ => {}
            }
        }
    }
}

/// A gateway's virtual service without a subset, for a host whose mesh rules split by subsets.
fn ingress_without_subsets(lint: &mut Lint<'_>) {
    let mut split: Vec<(String, String)> = Vec::new();
    for service in &lint.istio.virtual_services {
        for to in service.http.iter().flat_map(|route| &route.routes) {
            let name = &to.destination.host.text;
            let own = service.hosts.iter().any(|host| host.text == *name);
            if to.destination.subset.is_some() && own {
                split.push((name.clone(), service.head.full()));
            }
        }
    }
    for service in lint.istio.virtual_services.iter().filter(|service| !service.gateways.is_empty())
    {
        let bare = service.http.iter().flat_map(|route| &route.routes);
        for to in bare.filter(|to| to.destination.subset.is_none()) {
            let rules = split.iter().filter(|(name, _)| *name == to.destination.host.text);
            for (_, rule) in rules {
                let object = named("VirtualService", &service.head);
                let what = format!(
                    "Subset in virtual service {rule} has no effect on ingress gateway requests"
                );
                lint.report("IST0140", HOSTS, object, to.destination.host.at, what);
            }
        }
    }
}

fn subsets(lint: &mut Lint<'_>) {
    let mut known: BTreeSet<(String, String)> = BTreeSet::new();
    for rule in &lint.istio.destination_rules {
        let Some(word) = &rule.host else { continue };
        let full = host::full(&word.text, &rule.head.namespace);
        known.extend(rule.subsets.iter().map(|subset| (full.clone(), subset.name.clone())));
    }
    for service in &lint.istio.virtual_services {
        let named_subsets: Vec<_> = service
            .destinations()
            .filter_map(|to| to.subset.as_ref().map(|subset| (&to.host.text, subset)))
            .collect();
        for (name, subset) in named_subsets {
            let full = host::full(name, &service.head.namespace);
            let wild = known.iter().any(|(host, other)| {
                *other == subset.text && host.starts_with('*') && host::within(&full, host)
            });
            if !wild && !known.contains(&(full, subset.text.clone())) {
                let object = named("VirtualService", &service.head);
                let what = format!(
                    "Referenced host+subset in destinationrule not found: \"{name}+{}\"",
                    subset.text
                );
                lint.report(
                    "IST0101",
                    "virtualservice.DestinationRuleAnalyzer",
                    object,
                    subset.at,
                    what,
                );
            }
        }
    }
}

const GATEWAYS: &str = "virtualservice.GatewayAnalyzer";

fn gateways(lint: &mut Lint<'_>) {
    let mut served: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for gateway in &lint.istio.gateways {
        let own = &gateway.head.namespace;
        let hosts = gateway.servers.iter().flat_map(|server| &server.hosts).map(|word| match word
            .text
            .split_once('/')
        {
            Some((".", host)) => format!("{own}/{host}"),
            Some(("*", host)) => host.to_owned(),
            _ => word.text.clone(),
        });
        served.entry(gateway.head.full()).or_default().extend(hosts);
    }
    for object in lint.objects.iter().filter(|object| object.is(GATEWAY_API, "Gateway")) {
        let listeners = object.node.get("spec").and_then(|spec| spec.get("listeners"));
        let items = listeners.map_or(&[][..], |node| node.items());
        let hosts = items.iter().map(|item| {
            item.get("hostname").and_then(|node| node.text()).unwrap_or("*").to_owned()
        });
        let name = format!("{}/{}", object.id.namespace, object.id.name);
        served.entry(name).or_default().extend(hosts);
    }
    for service in &lint.istio.virtual_services {
        for word in service.gateways.iter().filter(|word| word.text != MESH) {
            let object = named("VirtualService", &service.head);
            if word.text.contains("istio-autogenerated-k8s-gateway") {
                let what = format!(
                    "Gateway \"{}\" is generated by Istio and not meant to be named",
                    word.text
                );
                lint.report("IST0165", GATEWAYS, object, word.at, what);
                continue;
            }
            let full = full_gateway(&word.text, &service.head.namespace);
            let hosts = served.get(&full);
            if hosts.is_none() {
                let what = format!("Referenced gateway not found: \"{}\"", word.text);
                lint.report("IST0101", GATEWAYS, object.clone(), word.at, what);
            }
            let own = &service.head.namespace;
            let meets = hosts.into_iter().flatten().any(|served| {
                let served = match served.split_once('/') {
                    Some((namespace, host)) if namespace == own => host,
                    Some(_) => return false,
                    None => served,
                };
                service.hosts.iter().any(|word| host::overlap(served, &word.text))
            });
            if !meets {
                let hosts: Vec<&str> =
                    service.hosts.iter().map(|word| word.text.as_str()).collect();
                let what = format!(
                    "one or more host {hosts:?} defined in VirtualService {} not found in \
                     Gateway {full}",
                    service.head.full()
                );
                lint.report("IST0132", GATEWAYS, object, word.at, what);
            }
        }
    }
}

/// Virtual services for sidecars that one namespace sees and that have the same host.
fn conflicting_hosts(lint: &mut Lint<'_>) {
    let services: Vec<&VirtualService> =
        lint.istio.virtual_services.iter().filter(|service| service.in_mesh()).collect();
    let scopes = |service: &VirtualService| -> Vec<String> {
        if service.export_to.is_public() {
            return vec!["*".to_owned()];
        }
        let own = &service.head.namespace;
        let scope = |text: &String| if text == "." { own.clone() } else { text.clone() };
        service.export_to.list.iter().map(|word| scope(&word.text)).collect()
    };
    let all: Vec<_> = services.iter().map(|service| (*service, scopes(service))).collect();
    let mut by_host: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut wild: Vec<(String, usize)> = Vec::new();
    for (index, (service, _)) in all.iter().enumerate() {
        for word in &service.hosts {
            let full = host::full(&word.text, &service.head.namespace);
            if full.starts_with('*') {
                wild.push((full.clone(), index));
            }
            by_host.entry(full).or_default().push(index);
        }
    }
    for (index, (service, own)) in all.iter().enumerate() {
        let sees = |other: usize| {
            let scopes = &all[other].1;
            let public = |scope: &String| scope == "*";
            let meets = |scope: &String| public(scope) || scopes.contains(scope);
            other != index && (scopes.iter().any(public) || own.iter().any(meets))
        };
        let found = service.hosts.iter().find_map(|word| {
            let full = host::full(&word.text, &service.head.namespace);
            let mut others: Vec<usize> = by_host.get(&full).cloned().unwrap_or_default();
            if full.starts_with('*') {
                let overlapping = wild.iter().filter(|(host, _)| host::overlap(host, &full));
                others.extend(overlapping.map(|(_, other)| *other));
            }
            others.retain(|other| sees(*other));
            let other = *others.first()?;
            Some((full, word.at, all[other].0.head.full()))
        });
        if let Some((full, at, other)) = found {
            let object = named("VirtualService", &service.head);
            let what = format!(
                "The VirtualServices {},{other} associated with mesh gateway define the same \
                 host {full}",
                service.head.full()
            );
            let rule = "virtualservice.ConflictingMeshGatewayHostsAnalyzer";
            lint.report("IST0109", rule, object, at, what);
        }
    }
}

/// Rules on claims of tokens, at a gateway whose pods check none.
fn jwt_claims(lint: &mut Lint<'_>) {
    for service in &lint.istio.virtual_services {
        let claims = service.http.iter().flat_map(|route| &route.matches).find_map(|found| {
            let mut names = found.headers.keys().chain(found.without.keys());
            names
                .find(|name| name.starts_with("@request.auth.claims"))
                .map(|n| (n.clone(), found.at))
        });
        let Some((key, at)) = claims else { continue };
        for word in service.gateways.iter().filter(|word| word.text != MESH) {
            let full = full_gateway(&word.text, &service.head.namespace);
            let gateway = lint.istio.gateways.iter().find(|gateway| gateway.head.full() == full);
            let Some(gateway) = gateway else { continue };
            let labels: Labels = gateway.selector.clone();
            let checked = lint.istio.request_authentications.iter().any(|policy| {
                policy.selector.as_ref().is_none_or(|selector| contains(&labels, selector))
                    && (policy.head.namespace == gateway.head.namespace
                        || policy.head.namespace == lint.istio.mesh.root_namespace)
            });
            if !checked {
                let object = named("VirtualService", &service.head);
                let what = format!(
                    "The virtual service uses the JWT claim based routing (key: {key}) but found \
                     no request authentication for the gateway ({full})"
                );
                lint.report("IST0149", "virtualservice.JWTClaimRouteAnalyzer", object, at, what);
                break;
            }
        }
    }
}
