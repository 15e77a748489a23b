//! A service without workloads for each virtual host of a gateway; its routes are those that the gateway has.
//!
//! Gateways that select the same pods are one configuration. Of several ports with the same host, the one that ends
//! TLS counts, then the first without a redirect to it.
//! Source: as `istio::ingress` answers (`meet` of hosts, catch-all rules last); docs/scenarios.md (`workload = []`).
//! Left out: TCP, and TLS that is passed on; ports: a host is one service.

use super::condition::Arrival;
use super::rule::Frame;
use super::services::unique_names;
use super::{Work, plain_host};
use crate::manifest::draft::value::{Table, Value};
use crate::manifest::istio::choose::Client;
use crate::manifest::istio::gateway::{Gateway, Server};
use crate::manifest::istio::host;
use crate::manifest::istio::matching::HttpMatch;
use crate::manifest::istio::mesh::View;
use crate::manifest::istio::rules::{self, Scope, full_gateway};
use crate::manifest::istio::virtual_service::{MESH, VirtualService};
use crate::manifest::object::Labels;
use crate::manifest::selector::contains;
use std::collections::BTreeSet;

/// A virtual service at a server, with the host in which they meet.
struct Meeting<'v> {
    host: String,
    rules: &'v VirtualService,
    gateway: &'v Gateway,
    server: &'v Server,
}

impl Work<'_, '_> {
    /// The services of virtual hosts.
    pub(super) fn virtual_hosts(&mut self) {
        let istio = self.mesh.istio;
        let all = self.mesh.virtual_services.clone();
        let mut seen: BTreeSet<(String, Labels)> = BTreeSet::new();
        for gateway in &istio.gateways {
            let client = self.pods_of(gateway);
            if !seen.insert((client.namespace.clone(), client.labels.clone())) {
                continue;
            }
            let selects = |one: &&Gateway| contains(&client.labels, &one.selector);
            let group: Vec<&Gateway> = istio.gateways.iter().filter(selects).collect();
            self.configuration(&client, gateway, &group, &all);
        }
    }

    /// The pods of a gateway, as a client.
    pub(super) fn pods_of(&self, gateway: &Gateway) -> Client {
        let mut pods = self.mesh.cluster.workloads.iter();
        let found = pods
            .find(|pod| !gateway.selector.is_empty() && contains(&pod.labels, &gateway.selector));
        let namespace = found.map_or(&gateway.head.namespace, |pod| &pod.namespace);
        Client {
            namespace: namespace.clone(),
            labels: found.map_or_else(|| gateway.selector.clone(), |pod| pod.labels.clone()),
            workload: found.map(|pod| pod.name.clone()),
            has_proxy: true,
        }
    }

    /// All virtual hosts of one group of pods.
    fn configuration(
        &mut self,
        client: &Client,
        first: &Gateway,
        group: &[&Gateway],
        all: &[VirtualService],
    ) {
        let view = View::gateway(client);
        let mut meetings: Vec<Meeting<'_>> = Vec::new();
        for rules in all.iter().filter(|rules| view.sees_rules(&self.mesh, rules)) {
            for gateway in group {
                if binds(rules, gateway) {
                    for server in gateway.servers.iter().filter(|server| server.is_http()) {
                        meetings.extend(meetings_of(rules, gateway, server));
                    }
                }
            }
        }
        self.hosts_of_nobody(group, &meetings);
        let mut hosts: Vec<&str> = Vec::new();
        for meeting in &meetings {
            if !hosts.contains(&meeting.host.as_str()) {
                hosts.push(&meeting.host);
            }
        }
        for wanted in hosts {
            let here: Vec<&Meeting<'_>> =
                meetings.iter().filter(|meeting| meeting.host == wanted).collect();
            self.virtual_host(client, first, &here);
        }
    }

    /// The service of a virtual host, with the rules of its main port.
    fn virtual_host(&mut self, client: &Client, first: &Gateway, all: &[&Meeting<'_>]) {
        let redirects = |server: &Server| {
            !server.is_tls() && server.tls.as_ref().is_some_and(|tls| tls.https_redirect)
        };
        let by_tls = all.iter().find(|one| one.server.is_tls());
        let plain = all.iter().find(|one| !one.server.is_tls() && !redirects(one.server));
        let Some(main) = by_tls.or(plain).or(all.first()) else { return };
        let server = main.server;
        let wanted = plain_host(&main.host, &first.head.name);
        let wanted = self.draft.names.free(&first.head.name, &wanted);
        self.used("Gateway", &main.gateway.head);
        self.used_rules(&main.rules.head);
        self.other_ports(main, all);
        let at = main.rules.hosts.first().map_or(server.at, |word| word.at);
        let mut routes = Vec::new();
        if redirects(server) {
            let at = server.tls.as_ref().map_or(server.at, |tls| tls.at);
            let mut route = Table::new();
            route.set("redirect", Value::integer(301).at(self.field(at, &["httpsRedirect"])));
            routes.push(route);
        } else {
            let scheme = if server.is_tls() { "https" } else { "http" };
            let arrival = Arrival { authority: &wanted, port: server.port, scheme };
            let frame = Frame { client, own: &wanted, is_gateway: true, arrival };
            let same = |one: &&&Meeting<'_>| {
                one.server.port == server.port && one.server.is_tls() == server.is_tls()
            };
            let mut rules: Vec<&Meeting<'_>> = Vec::new();
            for one in all.iter().filter(same) {
                if !rules.iter().any(|known| known.rules.head == one.rules.head) {
                    rules.push(one);
                }
            }
            for one in &rules {
                self.used_rules(&one.rules.head);
            }
            for catch_all in [false, true] {
                for one in &rules {
                    routes.extend(self.routes_at(&frame, one, catch_all));
                }
            }
        }
        unique_names(&mut routes);
        let service = self.draft.service(&wanted, Some(at));
        service.routes = routes;
    }

    /// The routes of a virtual service at a gateway: those for all requests, or those that are not.
    fn routes_at(
        &mut self,
        frame: &Frame<'_>,
        meeting: &Meeting<'_>,
        catch_all: bool,
    ) -> Vec<Table> {
        let view = View::gateway(frame.client);
        let gateway = meeting.gateway.head.full();
        let scope = Scope { gateway: &gateway, port: frame.arrival.port, view: &view };
        let mut routes = Vec::new();
        for rule in &meeting.rules.http {
            let counts: Vec<Option<&HttpMatch>> = rules::conditions(rule)
                .into_iter()
                .filter(|found| found.is_none_or(HttpMatch::is_catch_all) == catch_all)
                .filter(|found| rules::applies(&scope, meeting.rules, *found))
                .collect();
            if !counts.is_empty() {
                routes.extend(self.routes_of(frame, meeting.rules, rule, &counts));
            }
        }
        routes
    }

    /// Names the ports of a host that are not its main one.
    fn other_ports(&mut self, main: &Meeting<'_>, all: &[&Meeting<'_>]) {
        for one in all {
            let server = one.server;
            if server.port == main.server.port {
                continue;
            }
            let is_redirect = server.tls.as_ref().is_some_and(|tls| tls.https_redirect);
            if let Some(tls) = server.tls.as_ref().filter(|_| is_redirect) {
                let at = self.field(tls.at, &["httpsRedirect"]);
                let why = "requests of a scenario come with TLS; plain ones get a 301";
                self.draft.ignore("Gateway.spec.servers.tls.httpsRedirect", at, why);
            } else {
                let why =
                    format!("{} is one service: that of port {}", main.host, main.server.port);
                self.draft.ignore("Gateway.spec.servers.port", server.port_at, &why);
            }
        }
    }

    /// Names servers that no rules are bound to.
    fn hosts_of_nobody(&mut self, group: &[&Gateway], meetings: &[Meeting<'_>]) {
        for gateway in group {
            for server in &gateway.servers {
                if !server.is_http() {
                    let why = "connections that are not HTTP, or whose TLS is passed on";
                    self.draft.ignore("Gateway.spec.servers", server.at, why);
                    continue;
                }
                let is_met = |one: &Meeting<'_>| std::ptr::eq(one.server, server);
                if !meetings.iter().any(is_met) {
                    let why = "no VirtualService is bound to it: 404 NR for all requests";
                    self.draft.ignore("Gateway.spec.servers.hosts", server.at, why);
                }
            }
        }
    }

    /// Names gateways of virtual services that are not there.
    pub(super) fn gateways(&mut self) {
        let istio = self.mesh.istio;
        for rules in &istio.virtual_services {
            for word in rules.gateways.iter().filter(|word| word.text != MESH) {
                let full = full_gateway(&word.text, &rules.head.namespace);
                if !istio.gateways.iter().any(|gateway| gateway.head.full() == full) {
                    let why = format!("there is no Gateway {full}");
                    self.draft.ignore("VirtualService.spec.gateways", word.at, &why);
                }
            }
            for (field, list) in [("tls", &rules.tls), ("tcp", &rules.tcp)] {
                if let Some(first) = list.first() {
                    let why = "connections that are not looked into are not simulated";
                    self.draft.ignore(format!("VirtualService.spec.{field}"), first.at, why);
                }
            }
        }
    }
}

/// Whether a virtual service is bound to a gateway.
fn binds(rules: &VirtualService, gateway: &Gateway) -> bool {
    let (own, full) = (&rules.head.namespace, gateway.head.full());
    rules.gateways.iter().any(|word| full_gateway(&word.text, own) == full)
}

/// The hosts in which a virtual service and a server meet.
fn meetings_of<'v>(
    rules: &'v VirtualService,
    gateway: &'v Gateway,
    server: &'v Server,
) -> Vec<Meeting<'v>> {
    let own = &rules.head.namespace;
    let mut found: Vec<Meeting<'v>> = Vec::new();
    for word in &server.hosts {
        let (namespace, host_here) = word.text.split_once('/').unwrap_or(("*", &word.text));
        let fits = match namespace {
            "*" => true,
            "." => *own == gateway.head.namespace,
            other => own == other,
        };
        if !fits {
            continue;
        }
        for word in &rules.hosts {
            let wanted = host::full(&word.text, own);
            let meet = if host::within(&wanted, host_here) {
                wanted
            } else if host::within(host_here, &wanted) {
                host_here.to_owned()
            } else {
                continue;
            };
            if !found.iter().any(|one| one.host == meet) {
                found.push(Meeting { host: meet, rules, gateway, server });
            }
        }
    }
    found
}
