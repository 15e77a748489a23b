//! What servers' proxies do: `server` and `local_rate_limit`.
//!
//! The Server of a port, or without one what annotations say of it, is asked about four strangers (with and without
//! an identity, in the cluster and outside), which gives `access_policy`, and then about the pods of each service,
//! which gives `clients`.
//! Source: [`crate::manifest::linkerd::inbound`]; docs/linkerd-traffic.md.
//! Left out: what is narrower than a service or an account: networks within the cluster's, and routes that are bound
//! to a Server (whoever may call one of them may call all here, but for those that everyone may call, such as for
//! probes); both are named.

use super::linkerd::{Called, Part};
use super::linkerd_gate::Gate;
use crate::manifest::draft::value::{Table, Value};
use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::linkerd::authorization::POLICY;
use crate::manifest::linkerd::limits::{Rate, RateLimit};
use crate::manifest::linkerd::routes::{Parent, RouteOf};
use crate::manifest::linkerd::server::Server;
use crate::manifest::linkerd::settings::DefaultPolicy;
use crate::manifest::source::At;
use std::collections::BTreeSet;

/// More requests a second are no limit to a pod.
const RPS_MAX: u32 = 1_000_000;

/// A service whose pods may call others.
pub(super) struct Caller {
    /// Its name in the scenario.
    name: String,
    /// The identities of its pods that have a proxy.
    identities: BTreeSet<String>,
    /// Its workloads in the scenario with their identities, where they have versions.
    workloads: Vec<(String, String)>,
}

impl<'l> Part<'_, 'l> {
    /// All services with the identities of their pods.
    pub(super) fn all_callers(&self) -> Vec<Caller> {
        let cluster = &self.loaded.cluster;
        let mut callers = Vec::new();
        for one in &self.draft.services {
            let service = one.key.as_ref().and_then(|key| cluster.service(&key.0, &key.1));
            let of_service = service.map(|service| cluster.workloads_of(service));
            // Workloads that no Service selects stand for themselves.
            let own = || {
                let keys: Vec<_> = one.workloads.iter().map(|workload| &workload.key).collect();
                let is_own = |workload: &&Workload| {
                    keys.iter().any(|key| key.0 == workload.namespace && key.1 == workload.name)
                };
                cluster.workloads.iter().filter(is_own).collect()
            };
            let workloads = of_service.unwrap_or_else(own);
            let meshed = workloads.into_iter().filter(|one| self.linkerd.is_meshed(one));
            let mut identities = BTreeSet::new();
            let mut named = Vec::new();
            for workload in meshed {
                let identity = self.identity(workload);
                let is_it = |own: &&super::Workload| {
                    own.key.0 == workload.namespace && own.key.1 == workload.name
                };
                let version = one.workloads.iter().find(is_it).and_then(|own| own.version.as_ref());
                if let Some(version) = version {
                    named.push((format!("{}-{version}", one.name), identity.clone()));
                }
                identities.insert(identity);
            }
            if !identities.is_empty() {
                callers.push(Caller { name: one.name.clone(), identities, workloads: named });
            }
        }
        callers
    }

    fn identity(&self, workload: &Workload) -> String {
        let settings = &self.loaded.linkerd.settings;
        settings.identity(&workload.namespace, &workload.service_account)
    }

    /// Sets `server` and `local_rate_limit` of a service.
    pub(super) fn inbound(&mut self, called: &Called<'l>) {
        let linkerd = &self.loaded.linkerd;
        let target = &called.port.of.target;
        let all = self.loaded.cluster.workloads_of(called.service);
        let with_port = all.into_iter().filter_map(|one| Some((one, one.port_number(target)?)));
        let with_port: Vec<(&'l Workload, u16)> = with_port.collect();
        let (meshed, others): (Vec<_>, Vec<_>) =
            with_port.into_iter().partition(|(workload, _)| self.linkerd.is_meshed(workload));
        for (workload, port) in others {
            for server in linkerd.servers_of(workload, port) {
                self.uses("Server", &(server.namespace.clone(), server.name.clone()));
                let why = "the pods have no proxy that would go by it";
                self.draft.ignore("Server.spec.podSelector", server.at, why);
            }
        }
        let Some((workload, port)) = meshed.first().copied() else { return };
        let server = self.server_at(workload, port);
        for (other, number) in meshed.iter().skip(1).copied() {
            let theirs = self.server_at(other, number);
            if theirs.map(|one| &one.name) != server.map(|one| &one.name) {
                let why = "pods of one Service go by different Servers; here by that of the first";
                let at = theirs.or(server).map_or(called.service.at, |one| one.at);
                self.draft.ignore("Server.spec.podSelector", at, why);
            }
        }
        self.access(called, (workload, port), server);
        if let Some(server) = server {
            self.limit(called, server);
        }
    }

    /// The Server that decides, if the proxy sees the port.
    fn server_at(&mut self, workload: &'l Workload, port: u16) -> Option<&'l Server> {
        let linkerd = &self.loaded.linkerd;
        let servers = linkerd.servers_of(workload, port);
        for server in &servers {
            self.uses("Server", &(server.namespace.clone(), server.name.clone()));
        }
        if let Some(second) = servers.get(1) {
            let why = "two Servers select one port: the first by name counts";
            self.draft.ignore("Server.spec.port", second.at, why);
        }
        let proxy = self.linkerd.proxy(workload)?;
        let skipped = proxy.skip_inbound.0.contains(port).then_some(proxy.skip_inbound.1);
        if let Some(at) = skipped {
            let why = "clients reach this port past the proxy; here they go through it, and no policy holds";
            let key = "config.linkerd.io/skip-inbound-ports";
            self.ignore_annotation(key, at, why);
            return None;
        }
        servers.first().copied()
    }

    fn access(
        &mut self,
        called: &Called<'l>,
        (workload, port): (&'l Workload, u16),
        server: Option<&'l Server>,
    ) {
        let Some(server) = server else { return self.by_default(called, workload, port) };
        let bound = self.bound(server);
        let gate = Gate::new(&self.linkerd, (workload, port), server, bound);
        let (policy, at) = gate.strangers();
        let at = at.unwrap_or_else(|| self.access_at(server));
        let mut table = Table::new();
        table.set("access_policy", Value::text(policy.word()).at(at));
        if policy == DefaultPolicy::Deny {
            let clients = self.clients(&gate);
            if !clients.is_empty() {
                table.set("clients", Value::list(clients));
            }
        }
        self.mark(POLICY, "Server", &server.namespace, &server.name);
        self.set(called, "server", Value::from(table).at(server.at));
    }

    /// What annotations say of a port that no Server selects.
    fn by_default(&mut self, called: &Called<'l>, workload: &Workload, port: u16) {
        let Some(proxy) = self.linkerd.proxy(workload) else { return };
        let (policy, at) = proxy.policy(port, &self.linkerd.settings);
        let Some(at) = at.filter(|_| !proxy.skip_inbound.0.contains(port)) else { return };
        let mut table = Table::new();
        table.set("access_policy", Value::text(policy.word()).at(at));
        self.set(called, "server", Value::from(table).at(at));
    }

    /// The routes that are bound to a Server; that they narrow it is named.
    fn bound(&mut self, server: &'l Server) -> Vec<&'l RouteOf> {
        let routes = self.loaded.linkerd.routes.http.iter().filter(|route| {
            route.route.namespace == server.namespace
                && route.bound(Parent::Server, &server.namespace, &server.name, 0).is_some()
        });
        let routes: Vec<&RouteOf> = routes.collect();
        for route in &routes {
            let own = &route.route;
            self.mark(&route.group, own.kind(), &own.namespace, &own.name);
            let why = "routes of a Server: who may call one of them may call all here, and what none takes is no 404";
            self.draft.ignore("HTTPRoute.spec.parentRefs", route.route.at, why);
        }
        routes
    }

    /// Where a Server's policy is written, else its name.
    fn access_at(&self, server: &Server) -> At {
        let name = (server.namespace.clone(), server.name.clone());
        let object = self.object("policy.linkerd.io", "Server", &name);
        let own = object.and_then(|object| object.node.get("spec")?.get("accessPolicy"));
        own.map_or(server.at, |node| node.at)
    }

    /// The services whose pods may call a port that nobody else may call.
    fn clients(&mut self, gate: &Gate<'_>) -> Vec<Value> {
        let mut clients = Vec::new();
        let mut partly = Vec::new();
        for caller in &self.callers {
            let places = caller.identities.iter().filter_map(|one| gate.lets_in(one));
            let places: Vec<At> = places.collect();
            let Some(at) = places.first().copied() else { continue };
            if places.len() < caller.identities.len() {
                partly.push(at);
            } else {
                clients.push(Value::text(caller.name.as_str()).at(at));
            }
        }
        for at in partly {
            let why = "it lets in some pods of a service only; here it lets in none of them";
            self.draft.ignore("AuthorizationPolicy.spec.requiredAuthenticationRefs", at, why);
        }
        clients
    }

    fn limit(&mut self, called: &Called<'l>, server: &'l Server) {
        let linkerd = &self.loaded.linkerd;
        let limit = linkerd.limit_of(&server.namespace, &server.name);
        let Some(limit) = limit else { return };
        self.uses("HTTPLocalRateLimitPolicy", &(limit.namespace.clone(), limit.name.clone()));
        if !called.port.is_http() {
            let why = "proxies see bytes at this port, and no requests";
            return self.draft.ignore("HTTPLocalRateLimitPolicy.spec", limit.at, why);
        }
        let mut table = Table::new();
        let rate = |rate: Rate| Value::integer(rate.per_second.min(RPS_MAX)).at(rate.at);
        table.set_some("total", limit.total.map(rate));
        table.set_some("identity", limit.identity.map(rate));
        let overrides = self.overrides(limit);
        if !overrides.is_empty() {
            table.set("overrides", Value::list(overrides));
        }
        if !table.is_empty() {
            self.set(called, "local_rate_limit", Value::from(table).at(limit.at));
            self.mark(POLICY, "HTTPLocalRateLimitPolicy", &limit.namespace, &limit.name);
        }
    }

    fn overrides(&mut self, limit: &RateLimit) -> Vec<Value> {
        let mut overrides = Vec::new();
        for (identities, rate) in &limit.overrides {
            let is_in = |identity: &String| identities.contains(identity);
            let mut clients = Vec::new();
            for caller in &self.callers {
                if caller.identities.iter().all(is_in) {
                    clients.push(Value::text(caller.name.as_str()));
                } else {
                    let own = caller.workloads.iter().filter(|(_, identity)| is_in(identity));
                    clients.extend(own.map(|(name, _)| Value::text(name.as_str())));
                }
            }
            if clients.is_empty() {
                let why = "no pods of the manifests have these accounts";
                self.draft.ignore("HTTPLocalRateLimitPolicy.spec.overrides", rate.at, why);
                continue;
            }
            let mut table = Table::new();
            table.set("rps", Value::integer(rate.per_second.min(RPS_MAX)).at(rate.at));
            table.set("clients", Value::list(clients));
            overrides.push(Value::from(table).at(rate.at));
        }
        overrides
    }
}
