//! The Gateway API in a draft: the hosts of Gateways as services, and the mesh's routes.
//!
//! Each host that a listener serves is a service without workloads, whose routes stand in the order of the
//! specification: requests from outside are sent to it. It is called by the host; a wildcard `*.x` is
//! `wildcard.x`, and what is for all hosts is called by its Gateway. Where two listeners serve one host by
//! different rules, the one with TLS has the name, and the other one's port stands behind it, as `shop.example.com-80`.
//! Source: Gateway API `Listener.hostname`, `HTTPRouteSpec` (precedence); GEP-1294 and GEP-1426 (mesh).
//! Left out: what is said in [`super::gateway_api_rule`]; connections that are not HTTP; TLS of clients outside;
//! hosts of listeners that no route is bound to (404 for whatever is sent).

use super::gateway_api_mesh::mesh_routes;
use super::gateway_api_rule::{Of, Writer};
use super::{Draft, names};
use crate::manifest::gateway_api::attach::RouteIndex;
use crate::manifest::gateway_api::gateway::{Gateway, Protocol};
use crate::manifest::gateway_api::hostname;
use crate::manifest::gateway_api::table::Entry;
use crate::manifest::kinds::GATEWAY_API;
use crate::manifest::loaded::Loaded;
use crate::manifest::meshes::Mesh;
use crate::manifest::source::At;

/// Most hosts of one name at one port, by different rules.
const TWINS_MAX: usize = 100;

/// A host that a listener serves.
pub(super) struct Host<'l> {
    /// The host as it is written; empty for all.
    pub(super) hostname: &'l str,
    /// Whose listener it is.
    pub(super) gateway: &'l Gateway,
    /// The listener's port.
    pub(super) port: u16,
    /// Whether the listener ends TLS.
    pub(super) is_tls: bool,
    /// Its rules in their order.
    entries: Vec<&'l Entry>,
    at: At,
}

/// Adds what Gateways and their routes say, and routes of the mesh unless it is Linkerd's.
pub(super) fn gateway_api(draft: &mut Draft<'_>) {
    let loaded = draft.loaded;
    let hosts = hosts(loaded);
    let names = names_of(&hosts, loaded, draft);
    let mut writer = Writer::new(draft);
    for (index, (host, name)) in hosts.iter().zip(&names).enumerate() {
        if !names[..index].contains(name) {
            let routes = writer.routes(Of { own: name, is_mesh: false }, &host.entries);
            writer.draft.service(name, Some(host.at)).routes = routes;
            let Gateway { namespace, name, .. } = host.gateway;
            writer.uses(GATEWAY_API, "Gateway", namespace, name);
        }
    }
    tell_rest(&mut writer);
    if writer.draft.mesh != Mesh::Linkerd {
        mesh_routes(&mut writer);
    }
}

/// What each host is called; hosts of one name by the same rules are one.
pub(super) fn names_of(hosts: &[Host<'_>], loaded: &Loaded, draft: &Draft<'_>) -> Vec<String> {
    let mut named: Vec<(String, String, &Host<'_>)> = Vec::new();
    for host in hosts {
        let base = base_name(host, loaded);
        let same = |(known, _, other): &&(String, String, &Host<'_>)| {
            *known == base && is_same(&other.entries, &host.entries)
        };
        let twin = named.iter().find(same).map(|(_, name, _)| name.clone());
        let name = twin.unwrap_or_else(|| {
            let is_free = |name: &String| {
                !is_named(draft, name) && !named.iter().any(|(_, known, _)| known == name)
            };
            free_name(&base, host, is_free)
        });
        named.push((base, name, host));
    }
    named.into_iter().map(|(_, name, _)| name).collect()
}

/// The hosts of all listeners that serve requests, as far as rules are bound to them. Of two listeners for
/// one host the one with TLS comes first: it has what clients are meant to see.
pub(super) fn hosts(loaded: &Loaded) -> Vec<Host<'_>> {
    let mut hosts = Vec::new();
    for ((index, listener), table) in &loaded.tables.listeners {
        let gateway = &loaded.gateway_api.gateways[*index];
        let own = &gateway.listeners[*listener];
        let is_http = matches!(own.protocol, Protocol::Http | Protocol::Https);
        if !is_http || !loaded.tables.attached.gateways[*index].serves(*listener) {
            continue;
        }
        let mut known: Vec<&str> = Vec::new();
        for entry in table {
            let host = entry.hostname.as_str();
            if known.contains(&host) || is_taken(loaded, (*index, *listener), host) {
                continue;
            }
            known.push(host);
            let covers = |other: &&Entry| {
                hostname::intersection(&other.hostname, host).as_deref() == Some(host)
            };
            hosts.push(Host {
                hostname: host,
                gateway,
                port: own.port,
                is_tls: own.protocol == Protocol::Https,
                entries: table.iter().filter(covers).collect(),
                at: place(loaded, entry, own.at),
            });
        }
    }
    hosts.sort_by_key(|host| !host.is_tls);
    hosts
}

/// Whether another listener of the port is more exactly for a host, and so takes its requests.
fn is_taken(loaded: &Loaded, (gateway, listener): (usize, usize), host: &str) -> bool {
    let listeners = &loaded.gateway_api.gateways[gateway].listeners;
    let own = &listeners[listener];
    let status = &loaded.tables.attached.gateways[gateway];
    let better = |(index, other): (usize, &crate::manifest::gateway_api::gateway::Listener)| {
        other.port == own.port
            && status.serves(index)
            && hostname::intersection(&other.hostname, host).as_deref() == Some(host)
            && hostname::rank(&other.hostname) > hostname::rank(&own.hostname)
    };
    listeners.iter().enumerate().any(better)
}

/// Where a host is written: in a route, or with its listener.
fn place(loaded: &Loaded, entry: &Entry, listener: At) -> At {
    let route = &loaded.gateway_api.routes[entry.route];
    let mut own = route.hostnames.iter();
    own.find(|word| word.text.eq_ignore_ascii_case(&entry.hostname))
        .map_or(listener, |word| word.at)
}

fn is_same(one: &[&Entry], other: &[&Entry]) -> bool {
    let key = |entry: &&Entry| (entry.route, entry.rule, entry.matching);
    one.iter().map(key).eq(other.iter().map(key))
}

/// A host's name with the characters that names of services have.
fn base_name(host: &Host<'_>, loaded: &Loaded) -> String {
    let own = host.gateway;
    let name = match host.hostname.strip_prefix("*.") {
        Some(rest) => format!("wildcard.{rest}"),
        None if host.hostname.is_empty() || host.hostname == "*" => {
            let twin = |other: &Gateway| other.name == own.name && other.namespace != own.namespace;
            if loaded.gateway_api.gateways.iter().any(twin) {
                format!("{}.{}", own.name, own.namespace)
            } else {
                own.name.clone()
            }
        }
        None => host.hostname.to_owned(),
    };
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '-' })
        .collect()
}

/// A name that no other service has: the host, with its port, with its Gateway.
fn free_name(base: &str, host: &Host<'_>, is_free: impl Fn(&String) -> bool) -> String {
    let (port, gateway) = (host.port, &host.gateway.name);
    let wanted = [base.to_owned(), format!("{base}-{port}"), format!("{gateway}.{base}-{port}")];
    let numbered = (2..TWINS_MAX).map(|number| format!("{gateway}.{base}-{port}-{number}"));
    wanted.into_iter().chain(numbered).find(is_free).unwrap_or_else(|| base.to_owned())
}

/// Whether a service is called so, or will be.
pub(super) fn is_named(draft: &Draft<'_>, name: &str) -> bool {
    let names::Names { services, .. } = &draft.names;
    draft.services.iter().any(|one| one.name == name) || services.values().any(|one| one == name)
}

/// What Gateways, routes of connections and policies say beyond that.
fn tell_rest(writer: &mut Writer<'_, '_>) {
    let loaded = writer.draft.loaded;
    let api = &loaded.gateway_api;
    for gateway in &api.gateways {
        let tls = gateway.listeners.iter().filter(|own| own.protocol == Protocol::Https);
        for listener in tls {
            let why = "clients outside speak plaintext with the simulated gateway";
            writer.ignore("Gateway.spec.listeners.tls", listener.at, why);
        }
    }
    for bound in &loaded.tables.attached.listeners {
        let RouteIndex::Layer4(index) = bound.route else { continue };
        let route = &api.layer4[index];
        let why = "connections through gateways are not simulated, only HTTP requests";
        writer.ignore(&format!("{}.spec.rules", route.kind()), route.at, why);
    }
    for policy in &api.backend_tls {
        let why = "TLS to backends is the mesh's own: no key says what their certificates must be";
        writer.ignore("BackendTLSPolicy.spec.targetRefs", policy.at, why);
    }
}
