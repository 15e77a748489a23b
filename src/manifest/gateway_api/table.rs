//! The rules of each listener and each service in the order in which they are tried.
//!
//! Sorting is done once, for all requests: by the host that was matched, by the match, then the older
//! route, then the name, then the order in the route. The first entry that matches decides.
//! Source: Gateway API `HTTPRouteSpec.hostnames` and `HTTPRouteRule.matches`, the lists of precedence.
//! Left out: nothing.

use crate::manifest::gateway_api::attach::{Attached, RouteIndex};
use crate::manifest::gateway_api::http::{HttpRoute, Rule};
use crate::manifest::gateway_api::matching::Match;
use crate::manifest::gateway_api::{GatewayApi, hostname};
use crate::manifest::kubernetes::Cluster;
use crate::manifest::kubernetes::Name;
use crate::manifest::source::Sources;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// All tables.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tables {
    /// The rules of each listener, by the indices of gateway and listener.
    pub listeners: BTreeMap<(usize, usize), Vec<Entry>>,
    /// The rules of each service, hosts left out.
    pub services: BTreeMap<Name, Vec<Entry>>,
    /// What was bound, with the status of all routes and gateways.
    pub attached: Attached,
}

/// One match of one rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The host, from a gateway; empty for all.
    pub hostname: String,
    /// The route's index.
    pub route: usize,
    /// The rule's index.
    pub rule: usize,
    /// The match's index.
    pub matching: usize,
    /// The service's port, if the route is for one only.
    pub port: Option<u16>,
}

impl Entry {
    /// The route, rule and match.
    pub fn of<'a>(&self, api: &'a GatewayApi) -> (&'a HttpRoute, &'a Rule, &'a Match) {
        let route = &api.routes[self.route];
        let rule = &route.rules[self.rule];
        (route, rule, &rule.matches[self.matching])
    }

    fn precedence(&self, other: &Self, api: &GatewayApi) -> Ordering {
        let ((route, _, own), (other_route, _, others)) = (self.of(api), other.of(api));
        let host = |entry: &Self| hostname::rank(&entry.hostname);
        let age = |route: &HttpRoute| route.created.clone().unwrap_or_else(|| "~".to_owned());
        let name = |route: &HttpRoute| format!("{}/{}", route.namespace, route.name);
        let place = |entry: &Self| (entry.rule, entry.matching);
        host(other)
            .cmp(&host(self))
            .then_with(|| own.precedence(others))
            .then_with(|| age(route).cmp(&age(other_route)))
            .then_with(|| name(route).cmp(&name(other_route)))
            .then_with(|| place(self).cmp(&place(other)))
    }
}

impl Tables {
    /// Binds all routes and sorts their rules.
    pub fn of(api: &GatewayApi, cluster: &Cluster) -> Self {
        let attached = Attached::of(api, cluster);
        let mut tables = Self::default();
        for bound in &attached.listeners {
            let RouteIndex::Http(route) = bound.route else { continue };
            let table = tables.listeners.entry((bound.gateway, bound.listener)).or_default();
            for host in &bound.hostnames {
                table.extend(entries(api, route, host, None));
            }
        }
        for bound in &attached.services {
            let RouteIndex::Http(route) = bound.route else { continue };
            let key = (bound.namespace.clone(), bound.name.clone());
            tables.services.entry(key).or_default().extend(entries(api, route, "", bound.port));
        }
        for table in tables.listeners.values_mut().chain(tables.services.values_mut()) {
            table.sort_by(|one, other| one.precedence(other, api));
        }
        tables.attached = attached;
        tables
    }

    /// The resolved rules as lines of text, in the order in which they are tried.
    pub fn lines(&self, api: &GatewayApi, sources: &Sources) -> Vec<String> {
        let mut lines = Vec::new();
        for ((gateway, listener), table) in &self.listeners {
            let gateway = &api.gateways[*gateway];
            let listener = &gateway.listeners[*listener];
            let protocol = listener.protocol.word();
            lines.push(format!(
                "listener {}/{}/{} {protocol}:{} {}",
                gateway.namespace,
                gateway.name,
                listener.name,
                listener.port,
                if listener.hostname.is_empty() { "*" } else { &listener.hostname },
            ));
            lines.extend(table.iter().map(|entry| line(entry, api, sources)));
        }
        for ((namespace, name), table) in &self.services {
            lines.push(format!("service {namespace}/{name}"));
            lines.extend(table.iter().map(|entry| line(entry, api, sources)));
        }
        lines
    }
}

fn entries<'a>(
    api: &'a GatewayApi,
    route: usize,
    hostname: &'a str,
    port: Option<u16>,
) -> impl Iterator<Item = Entry> + 'a {
    let rules = api.routes[route].rules.iter().enumerate();
    rules.flat_map(move |(rule, found)| {
        (0..found.matches.len()).map(move |matching| Entry {
            hostname: hostname.to_owned(),
            route,
            rule,
            matching,
            port,
        })
    })
}

fn line(entry: &Entry, api: &GatewayApi, sources: &Sources) -> String {
    let (route, rule, matching) = entry.of(api);
    let host = if entry.hostname.is_empty() { "*" } else { &entry.hostname };
    let backends: Vec<String> = rule
        .backends
        .iter()
        .flatten()
        .map(|to| format!("{}/{}:{}={}", to.namespace, to.name, to.port.unwrap_or(0), to.weight))
        .collect();
    let port = entry.port.map_or(String::new(), |port| format!(" port {port}"));
    format!(
        "  {host}{port} {matching} -> {} ({} {}, {})",
        if backends.is_empty() { "-".to_owned() } else { backends.join(" ") },
        route.title(),
        rule.title(entry.rule),
        sources.short(rule.at),
    )
}
