//! `DestinationRule`s as subsets, and as policies of a service and of its subsets.
//!
//! A subset has what differs from its service, group by group, since a group of a subset stands in place of all
//! that the service says of it.
//! Source: docs/scenarios.md (`subsets` and the keys of clusters); istio/istio `cluster_traffic_policy.go`;
//! `istio::choose` (which rules count, and how those of a subset and a port are merged).
//! Left out: idle TCP connections, policies of other ports, TLS of single subsets, of single clients
//! (`workloadSelector`), of hosts outside of the mesh, and with certificates of its own.

use super::Work;
use super::rule::percent;
use crate::manifest::draft::value::{Kind, Table, Value};
use crate::manifest::istio::choose::{self, Client};
use crate::manifest::istio::host;
use crate::manifest::istio::registry::{From, Known};
use crate::manifest::istio::traffic_policy::{
    ClientTls, ConnectionPool, OutlierDetection, TlsMode, TrafficPolicy,
};
use crate::manifest::source::At;

/// What a group is where a subset has none of its service's.
const NOTHING: [(&str, bool); 4] = [
    ("circuit_breaker", true),
    ("connections", true),
    ("outlier_detection", false),
    ("panic_threshold", false),
];

impl Work<'_, '_> {
    /// Subsets and policies of a service, as a client has them.
    pub(super) fn destination_policy(
        &mut self,
        index: usize,
        known: &Known,
        client: &Client,
        port: u16,
    ) {
        self.single_clients(known);
        self.defaults_of_mesh(index, known);
        let istio = self.mesh.istio;
        let found = choose::destination_rule(istio, client, &known.host, &known.namespace);
        let Some(chosen) = found else { return };
        for rule in &istio.destination_rules {
            if chosen.from.iter().any(|(name, at)| *at == rule.head.at && *name == rule.head.full())
            {
                self.used("DestinationRule", &rule.head);
            }
        }
        let own = chosen.policy_for(None, port);
        let mut host_groups = Table::new();
        if let Some(policy) = &own {
            host_groups = self.groups(policy);
            for (key, value) in host_groups.iter() {
                self.draft.services[index].table.set(key, value.clone());
            }
            self.of_service(index, known, policy);
        }
        for subset in chosen.subsets.iter().filter(|subset| !subset.name.is_empty()) {
            let mut table = Table::new();
            let at = self.field(subset.at, &["name"]);
            table.set("name", Value::text(&*subset.name).at(at));
            let mut labels = Table::new();
            for (label, value) in &subset.labels {
                let at = self.field(subset.at, &["labels", label]);
                let called = self.draft.label(label);
                // No text of a scenario is empty, and pods without the label do not fit.
                let value = if value.is_empty() { "(empty)" } else { value };
                labels.set(called, Value::text(value).at(at));
            }
            if !labels.is_empty() {
                table.set("labels", labels);
            }
            if let Some(policy) = &subset.policy {
                let merged = chosen.policy_for(Some(subset), port).unwrap_or_default();
                let groups = self.groups(&merged);
                of_subset(&host_groups, &groups, &mut table);
                self.unsaid_of_subset(policy, &merged, own.as_ref());
            }
            self.draft.services[index].subsets.push(table);
        }
        let policies = chosen.policy.iter();
        let policies =
            policies.chain(chosen.subsets.iter().filter_map(|subset| subset.policy.as_ref()));
        for (number, policy) in policies.flat_map(|policy| &policy.ports) {
            if *number != port {
                let why = format!("a service has one port: {port}");
                let field = "DestinationRule.spec.trafficPolicy.portLevelSettings";
                self.draft.ignore(field, policy.at, &why);
            }
        }
    }

    /// Names rules for some clients of a namespace only.
    fn single_clients(&mut self, known: &Known) {
        let istio = self.mesh.istio;
        for rule in istio.destination_rules.iter().filter(|rule| rule.workload_selector.is_some()) {
            let Some(word) = &rule.host else { continue };
            if host::covers(&word.text, &rule.head.namespace, &known.host) {
                let why = "a service has one policy: of clients that are not selected";
                self.draft.ignore("DestinationRule.spec.workloadSelector", word.at, why);
            }
        }
    }

    /// What the mesh's settings say of every host.
    fn defaults_of_mesh(&mut self, index: usize, known: &Known) {
        let mesh = &self.mesh.istio.mesh;
        let Some(at) = mesh.at else { return };
        let is_own = known.origin == From::Kubernetes;
        if !mesh.auto_mtls && is_own {
            let at = self.places.field(at, &["enableAutoMtls"]);
            self.draft.services[index].table.set("tls", Value::text("disable").at(at));
        }
        if mesh.h2_upgrade && is_own {
            let at = self.places.field(at, &["h2UpgradePolicy"]);
            self.draft.services[index].table.set("protocol", Value::text("http2").at(at));
        }
    }

    /// The groups of keys that a service and its subsets have.
    fn groups(&mut self, policy: &TrafficPolicy) -> Table {
        let mut groups = self.balancing(policy);
        if let Some(pool) = &policy.pool {
            let (ceilings, connections) = self.pool(pool);
            for (key, table) in [("circuit_breaker", ceilings), ("connections", connections)] {
                if !table.is_empty() {
                    groups.set(key, Value::from(table).at(pool.at));
                }
            }
        }
        if let Some(outlier) = &policy.outlier {
            groups.set("outlier_detection", self.outlier(outlier));
            if outlier.health_percent_min > 0 {
                let at = self.field(outlier.at, &["minHealthPercent"]);
                let share = format!("{}%", outlier.health_percent_min);
                groups.set("panic_threshold", Value::text(share).at(at));
            }
        }
        groups
    }

    fn pool(&mut self, pool: &ConnectionPool) -> (Table, Table) {
        let place = |part: &str, name: &str| self.places.field(pool.at, &[part, name]);
        let (mut ceilings, mut connections) = (Table::new(), Table::new());
        let limits = [
            ("max_connections", pool.connections_max, "tcp", "maxConnections"),
            ("max_pending", pool.pending_max, "http", "http1MaxPendingRequests"),
            ("max_requests", pool.requests_max, "http", "http2MaxRequests"),
            ("max_retries", pool.retries_max, "http", "maxRetries"),
        ];
        for (key, limit, part, name) in limits {
            if let Some(limit) = limit.filter(|limit| *limit > 0) {
                ceilings.set(key, Value::integer(limit).at(place(part, name)));
            }
        }
        let times = [
            ("idle_timeout", pool.http_idle_ns, "http", "idleTimeout"),
            ("connect_timeout", pool.connect_timeout_ns, "tcp", "connectTimeout"),
            ("max_duration", pool.connection_age_ns, "tcp", "maxConnectionDuration"),
        ];
        for (key, time, part, name) in times {
            if let Some(time) = time {
                connections.set(key, Value::duration(time).at(place(part, name)));
            }
        }
        let counts = [
            ("max_requests", pool.per_connection_max, "maxRequestsPerConnection"),
            ("max_streams", pool.streams_max, "maxConcurrentStreams"),
        ];
        for (key, count, name) in counts {
            if let Some(count) = count.filter(|count| *count > 0) {
                connections.set(key, Value::integer(count).at(place("http", name)));
            }
        }
        if pool.tcp_idle_ns.is_some() {
            let at = place("tcp", "idleTimeout");
            let why = "connections that are not HTTP are not simulated";
            let field = "DestinationRule.spec.trafficPolicy.connectionPool.tcp.idleTimeout";
            self.draft.ignore(field, at, why);
        }
        (ceilings, connections)
    }

    fn outlier(&self, outlier: &OutlierDetection) -> Value {
        let has = |name: &str| self.places.has(outlier.at, &[name]);
        let at = |name: &str| self.places.field(outlier.at, &[name]);
        let mut table = Table::new();
        let mut put = |key: &str, names: &[&str], value: Value| {
            if let Some(name) = names.iter().find(|name| has(name)) {
                table.set(key, value.at(at(name)));
            }
        };
        let five = ["consecutive5xxErrors", "consecutiveErrors"];
        put("consecutive_5xx", &five, Value::integer(outlier.consecutive_5xx));
        let gateway = outlier.consecutive_gateway.unwrap_or(0);
        put("consecutive_gateway", &["consecutiveGatewayErrors"], Value::integer(gateway));
        put("interval", &["interval"], Value::duration(outlier.interval_ns));
        put("base_ejection", &["baseEjectionTime"], Value::duration(outlier.base_ejection_ns));
        let share = format!("{}%", outlier.ejection_percent_max);
        put("max_ejection_share", &["maxEjectionPercent"], Value::text(share));
        let split = ["splitExternalLocalOriginErrors"];
        put("split_local_origin", &split, Value::bool(outlier.split_local));
        let local = ["consecutiveLocalOriginFailures"];
        put("consecutive_local_origin", &local, Value::integer(outlier.consecutive_local));
        let value = if table.is_empty() { Value::bool(true) } else { table.into() };
        value.at(outlier.at)
    }

    /// What only a whole service has.
    fn of_service(&mut self, index: usize, known: &Known, policy: &TrafficPolicy) {
        if let Some(tls) = &policy.tls {
            self.tls(index, known, tls);
        }
        if let Some(budget) = policy.retry_budget {
            let at = self.field(policy.at, &["retryBudget"]);
            let table = self.draft.services[index].table.below("retries").below("budget");
            table.set("share", Value::text(percent(budget.share_ppm)).at(at));
            table.set("min_concurrency", Value::integer(budget.concurrency_min).at(at));
        }
        let pool = policy.pool.as_ref();
        if let Some((pool, upgrade)) = pool.and_then(|pool| Some((pool, pool.upgrade?))) {
            let at = self.field(pool.at, &["http", "h2UpgradePolicy"]);
            let table = &mut self.draft.services[index].table;
            let is_plain = known.ports.iter().all(|(.., protocol)| {
                use crate::manifest::kubernetes::service::Protocol::{Grpc, Http2};
                !matches!(protocol, Grpc | Http2)
            });
            if upgrade {
                table.set("protocol", Value::text("http2").at(at));
            } else if is_plain && self.mesh.istio.mesh.h2_upgrade {
                table.set("protocol", Value::text("http1").at(at));
            }
        }
    }

    fn tls(&mut self, index: usize, known: &Known, tls: &ClientTls) {
        let at = self.field(tls.at, &["mode"]);
        let table = &mut self.draft.services[index].table;
        let is_bare = known.origin != From::Kubernetes
            || table.get("meshed").is_some_and(|value| value.kind == Kind::Bool(false));
        let own = matches!(tls.mode, TlsMode::Simple | TlsMode::Mutual);
        let mut unsaid: Option<(At, &str)> = None;
        let word = match tls.mode {
            _ if own && is_bare => {
                unsaid = Some((at, "what a server without a sidecar speaks is its own affair"));
                None
            }
            TlsMode::Disable => Some("disable"),
            TlsMode::IstioMutual => Some("istio_mutual"),
            TlsMode::Simple => Some("simple"),
            TlsMode::Mutual => {
                unsaid = Some((at, "certificates of its own: taken for TLS without one"));
                Some("simple")
            }
        };
        if let Some(word) = word {
            table.set("tls", Value::text(word).at(at));
        }
        if let Some((at, why)) = unsaid {
            self.draft.ignore("DestinationRule.spec.trafficPolicy.tls", at, why);
        }
    }

    fn unsaid_of_subset(
        &mut self,
        policy: &TrafficPolicy,
        merged: &TrafficPolicy,
        own: Option<&TrafficPolicy>,
    ) {
        let modes = |one: Option<&TrafficPolicy>| one.and_then(|one| one.tls.as_ref()?.mode.into());
        let modes: [Option<TlsMode>; 2] = [modes(Some(merged)), modes(own)];
        if modes[0] != modes[1] {
            let at = policy.tls.as_ref().map_or(policy.at, |tls| tls.at);
            let why = "`tls` is a whole service's";
            self.draft.ignore("DestinationRule.spec.subsets.trafficPolicy.tls", at, why);
        }
        if merged.retry_budget != own.and_then(|own| own.retry_budget) {
            let at = self.field(policy.at, &["retryBudget"]);
            let why = "a budget is a whole service's";
            self.draft.ignore("DestinationRule.spec.subsets.trafficPolicy.retryBudget", at, why);
        }
    }
}

/// What a subset has in place of its service's.
fn of_subset(of_host: &Table, own: &Table, table: &mut Table) {
    let named = |key: &str| NOTHING.iter().find(|(name, _)| *name == key);
    let balancing = |groups: &Table| -> Vec<(String, Value)> {
        let all = groups.iter().filter(|(key, _)| named(key).is_none());
        all.map(|(key, value)| (key.to_owned(), value.clone())).collect()
    };
    let (host, mine) = (balancing(of_host), balancing(own));
    if host != mine {
        if mine.is_empty() {
            table.set("balancer", Value::text("least_request"));
        }
        for (key, value) in mine {
            table.set(key, value);
        }
    }
    for (key, is_table) in NOTHING {
        match (of_host.get(key), own.get(key)) {
            (host, Some(mine)) if host != Some(mine) => {
                table.set(key, mine.clone());
            }
            (Some(_), None) if key == "panic_threshold" => {
                table.set(key, Value::text("0%"));
            }
            (Some(_), None) if is_table => {
                table.set(key, Table::new());
            }
            (Some(_), None) => {
                table.set(key, Value::bool(false));
            }
            _ => {}
        }
    }
}
