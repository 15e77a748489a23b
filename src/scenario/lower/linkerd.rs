//! Linkerd: what its scenarios may say, and how its proxies connect.
//!
//! Source: `plan::linkerd`; between meshed pods requests travel over HTTP/2, whatever apps speak.
//! Left out: nothing.

use super::super::document::{At, Node};
use super::super::units::parameter_text;
use super::action::Done;
use super::{Lower, id};
use crate::kernel::time::Duration;
use crate::plan::linkerd::Linkerd;
use crate::plan::linkerd::authorization::DefaultPolicy;
use crate::plan::linkerd::policy::{
    Accrual, FailureAccrual, LocalRateLimit, RateOverride, RetryBudget, RetryPolicy,
};
use crate::plan::linkerd::rules::{Rules, Server, ServiceRules};
use crate::plan::linkerd::wire::AppProtocol;
use crate::plan::parameter::Value as _;
use crate::plan::policy::Protocol;
use crate::plan::timeline::Action;
use crate::plan::universe::WorkloadId;
use std::collections::BTreeSet;

/// Keys of a service that are Envoy's or Istio's.
const OF_ENVOY: &[&str] = &[
    "active_request_bias",
    "balancer",
    "choice_count",
    "circuit_breaker",
    "connections",
    "drop_overload",
    "egress",
    "hash_on",
    "health_checks",
    "idle_timeout",
    "load_refresh",
    "locality",
    "maglev_table_size",
    "max_stream_duration",
    "maximum_ring_size",
    "merge_window",
    "minimum_ring_size",
    "outlier_detection",
    "overprovisioning",
    "panic_threshold",
    "per_request_buffer_limit",
    "retries",
    "slow_start",
];
/// The same of a route.
const OF_ROUTE: &[&str] = &[
    "cluster_header",
    "idle_timeout",
    "max_stream_duration",
    "mirror",
    "per_request_buffer_limit",
    "retries",
];
/// Keys of a service that are Linkerd's.
const OF_LINKERD: &[&str] = &[
    "app_protocol",
    "failover",
    "failure_accrual",
    "local_rate_limit",
    "penalize_failures",
    "retry",
    "server",
    "service_profile",
    "timeouts",
    "traffic_split",
];
/// Actions of events that are Envoy's.
const ACTIONS: &[&str] = &["cluster", "fail_health_check"];
const HINT: &str = "Linkerd's proxy has: timeout, route, failure_accrual, retry, service_profile";
const ELSEWHERE: &str = "profile = \"linkerd\"";

impl<'d> Lower<'_, '_, 'd> {
    /// What is said of Linkerd; what only Linkerd or only others have is told.
    pub(super) fn linkerd_rules(&mut self) -> Rules {
        let root: &'d Node = self.root;
        let Some(own) = self.linkerd.clone() else {
            for table in self.service_nodes.clone() {
                self.refuse_keys(table, OF_LINKERD, "without Linkerd", ELSEWHERE);
                for route in table.list("route") {
                    self.refuse_keys(route, &["retry", "timeouts"], "without Linkerd", ELSEWHERE);
                }
            }
            return Rules::default();
        };
        self.refuse_envoys(root);
        let mut rules = Rules { wires: self.wires(&own), ..Rules::default() };
        self.connect_as_linkerd(&own, &rules);
        let is_per_request = |node: &Node| node.text("app_connection") == Some("per-request");
        for (traffic, place) in self.traffic.iter().zip(0..) {
            let mut tables = root.list("traffic").iter();
            if tables.any(|one| one.text("id") == Some(&traffic.id) && is_per_request(one)) {
                rules.per_request.insert(place);
            }
        }
        for (index, draft) in self.drafts.clone().into_iter().enumerate() {
            let calls = draft.map_or(&[][..], |(_, node)| node.list("calls"));
            for call in calls.iter().filter(|call| is_per_request(call)) {
                let to = call.text("to").and_then(|name| self.services.get(name));
                rules.per_request_calls.extend(to.map(|to| (WorkloadId(id(index)), *to)));
            }
        }
        for (index, table) in self.service_nodes.clone().into_iter().enumerate() {
            let mut said = self.service_rules(&own, table);
            let service = crate::plan::universe::ServiceId(id(index));
            said.failover = self.profiles.failovers.remove(&service);
            if said != ServiceRules::default() {
                rules.services.insert(service, said);
            }
        }
        rules.profiles = std::mem::take(&mut self.profiles.tables);
        rules
    }

    fn refuse_envoys(&mut self, root: &'d Node) {
        const IN: &str = "in a mesh of Linkerd";
        for table in self.service_nodes.clone() {
            self.refuse_keys(table, OF_ENVOY, IN, HINT);
            for route in table.list("route") {
                self.refuse_keys(route, OF_ROUTE, IN, HINT);
            }
            if table.get("service_profile").is_some() {
                let with = "beside a `service_profile`";
                let hint = "a ServiceProfile wins over annotations and routes";
                let others = ["failure_accrual", "retry", "route", "timeout", "timeouts"];
                self.refuse_keys(table, &others, with, hint);
            } else {
                self.warn_of_overrides(table);
            }
        }
        for filter in root.list("filter") {
            self.report(filter.at, "a filter does nothing in a mesh of Linkerd", HINT);
        }
        if let Some(sampling) = root.get("sampling") {
            let hint = "leave it out: all requests are simulated";
            self.report(sampling.at, "requests of a mesh of Linkerd are not sampled", hint);
        }
        for event in root.list("event") {
            let Some(action) = event.get("do") else { continue };
            let word = action.as_text().unwrap_or_default();
            if ACTIONS.contains(&word) {
                let what = format!("an event that does `{word}` does nothing {IN}");
                self.report(action.at, what, HINT);
            }
        }
    }

    /// Keys that do nothing in such a place are told.
    pub(super) fn refuse_keys(&mut self, table: &Node, keys: &[&str], place: &str, hint: &str) {
        for key in keys {
            if let Some(entry) = table.entry(key) {
                self.report(entry.at, format!("`{key}` does nothing {place}"), hint);
            }
        }
    }

    /// One HTTP/2 connection to each meshed endpoint, which stays; to the others what their apps speak.
    fn connect_as_linkerd(&mut self, own: &Linkerd, rules: &Rules) {
        let of = |speaks: fn(AppProtocol) -> bool| -> Vec<WorkloadId> {
            let wires = rules.wires.iter().filter(|(_, wire)| speaks(wire.protocol));
            let services = &self.universe.services;
            wires.flat_map(|(id, _)| &services[id.index()].workloads).copied().collect()
        };
        let (h2, tcp) = (of(AppProtocol::is_h2), of(AppProtocol::is_tcp));
        let workloads = &self.universe.workloads;
        for cluster in &mut self.universe.clusters {
            let pool = &mut cluster.policy.pool;
            pool.connect_timeout = own.linkerd_outbound.connect_timeout;
            pool.max_streams = u32::MAX;
            let is_tcp = cluster.workloads.iter().any(|one| tcp.contains(one));
            let shares = |one: &WorkloadId| workloads[one.index()].meshed || h2.contains(one);
            if !is_tcp && cluster.workloads.iter().all(shares) {
                pool.protocol = Protocol::Http2;
            }
            pool.idle_timeout = match pool.protocol {
                Protocol::Http1 if !is_tcp => own.linkerd_connection.http1_idle,
                // Those of bytes end with the app's.
                _ => Duration::ZERO,
            };
        }
    }

    fn service_rules(&mut self, own: &Linkerd, table: &Node) -> ServiceRules {
        let accrual = table.get("failure_accrual").and_then(|node| {
            let mut own = own.clone();
            let pairs = ["max_failures", "min_penalty", "max_penalty", "jitter"];
            let unified = ["success_threshold", "success_window", "success_min_requests"];
            for key in pairs.into_iter().chain(unified) {
                set(&mut own, node, key, &format!("linkerd_accrual.{key}"));
            }
            own.linkerd_accrual.mode = match node.text("mode") {
                Some("unified") => Accrual::Unified,
                _ => Accrual::Consecutive,
            };
            let accrual = FailureAccrual::new(&own.linkerd_accrual)?;
            // What it does not say itself is told where it is said, for the whole mesh.
            if pairs.iter().chain(&unified).any(|key| node.get(key).is_some()) {
                self.told(node, accrual.problem());
            }
            Some(accrual)
        });
        let retry = self.annotated_retry(table);
        let profile = table.get("service_profile").map(|node| {
            let mut own = own.clone();
            set(&mut own, node, "retry_ratio", "linkerd_budget.ratio");
            set(&mut own, node, "min_retries_per_s", "linkerd_budget.min_per_s");
            set(&mut own, node, "ttl", "linkerd_budget.ttl");
            let budget = RetryBudget::new(&own.linkerd_budget);
            let keys = ["retry_ratio", "min_retries_per_s", "ttl"];
            if keys.iter().any(|key| node.get(key).is_some()) {
                self.told(node, budget.problem());
            }
            self.service_profile(node, budget)
        });
        self.warn_of_policies_without_a_proxy(table);
        let server = table.get("server").map(|node| self.server(node));
        let rate_limit = table.get("local_rate_limit").map(|node| self.rate_limit(node));
        ServiceRules { accrual, retry, profile, server, rate_limit, failover: None }
    }

    /// A `Server` and a rate limit are of the proxies of a service's own pods.
    fn warn_of_policies_without_a_proxy(&mut self, table: &Node) {
        let service = self.services.get(table.text("name").unwrap_or_default());
        let Some(service) = service else { return };
        let workloads = &self.universe.services[service.index()].workloads;
        if workloads.iter().any(|one| self.universe.workloads[one.index()].meshed) {
            return;
        }
        for key in ["server", "local_rate_limit"] {
            if let Some(entry) = table.entry(key) {
                let hint = "proxies of the service itself go by it, and its pods have none";
                self.warn(entry.at, format!("`{key}` does nothing without a proxy"), hint);
            }
        }
    }

    /// `retry.linkerd.io/…` of a service or of a route of it.
    pub(super) fn annotated_retry(&mut self, table: &Node) -> Option<RetryPolicy> {
        let node = table.get("retry")?;
        let mut own = self.linkerd.clone()?;
        set(&mut own, node, "limit", "linkerd_retry.limit");
        let (http, grpc) = self.retried(node)?;
        let policy = RetryPolicy::new(&own.linkerd_retry, http, grpc);
        Some(RetryPolicy { timeout: node.duration("timeout"), ..policy })
    }

    fn rate_limit(&mut self, node: &Node) -> LocalRateLimit {
        LocalRateLimit {
            total_rps: node.count("total").unwrap_or(0),
            identity_rps: node.count("identity").unwrap_or(0),
            overrides: node.list("overrides").iter().map(|one| self.rate_override(one)).collect(),
        }
    }

    /// A limit of some clients: services or workloads, each of which has an account.
    fn rate_override(&mut self, node: &Node) -> RateOverride {
        let mut clients = BTreeSet::new();
        for client in node.get("clients").map_or(&[][..], Node::items) {
            let name = client.as_text().unwrap_or_default();
            let of_service = self.services.get(name).map(|one| one.index());
            let own: Vec<WorkloadId> = match of_service {
                Some(service) => self.universe.services[service].workloads.clone(),
                None => self.workloads.get(name).copied().into_iter().collect(),
            };
            if own.is_empty() {
                let workloads: Vec<String> = self.workloads.keys().cloned().collect();
                let names = workloads.iter().map(String::as_str);
                let names: BTreeSet<&str> = names.chain(self.services.keys().copied()).collect();
                self.missing(client.at, "client", name, names);
            } else if own.iter().all(|one| !self.universe.workloads[one.index()].meshed) {
                let hint = "who has no identity shares the limit `identity`";
                self.warn(
                    client.at,
                    format!("`{name}` is not meshed: this is not its limit"),
                    hint,
                );
            }
            clients.extend(own.iter().map(|one| one.0));
        }
        let rps = node.count("rps").unwrap_or(0);
        RateOverride { rps, clients: clients.into_iter().collect() }
    }

    /// Another `Server`, or another limit, while the mesh runs.
    pub(super) fn server_event(&mut self, table: &Node, at: At, name: &str) -> Done {
        let service = self.service_named(at, name)?;
        if self.linkerd.is_none() {
            self.report(at, "an event that does `server` does nothing without Linkerd", ELSEWHERE);
            return None;
        }
        let (server, limit) = (table.get("server"), table.get("local_rate_limit"));
        let node = self.service_nodes[service.index()];
        let is_http = !matches!(node.text("app_protocol"), Some("tcp" | "server-first" | "opaque"));
        if let Some(limit) = limit.filter(|_| !is_http) {
            let hint = "proxies know nothing of requests there: they carry bytes";
            let what = "`local_rate_limit` does nothing where `app_protocol` is no HTTP";
            self.report(limit.at, what, hint);
            return None;
        }
        let is_removed = table.flag("removed") == Some(true);
        if is_removed == (server.is_some() || limit.is_some()) {
            let hint = "give server = { … }, local_rate_limit = { … }, or removed = true";
            self.report(table.at, "it is not clear who may call from now on", hint);
            return None;
        }
        let what = match (server, limit) {
            (Some(_), Some(_)) => "who may call, and how often, changes",
            (Some(_), None) => "who may call changes",
            (None, Some(_)) => "how often it may be called changes",
            (None, None) => "all may call again whom the default policy lets",
        };
        let action = if is_removed {
            Action::SetServer { service, server: Some(None), rate_limit: Some(None) }
        } else {
            let server = server.map(|node| Some(self.server(node)));
            let rate_limit = limit.map(|node| Some(self.rate_limit(node)));
            Action::SetServer { service, server, rate_limit }
        };
        Some((action, format!("{name}: {what}")))
    }

    fn server(&mut self, node: &Node) -> Server {
        let mut clients = Vec::new();
        for client in node.get("clients").map_or(&[][..], Node::items) {
            let name = client.as_text().unwrap_or_default();
            if self.services.contains_key(name) || name == "ingress" {
                clients.push(name.to_owned());
            } else {
                let names: Vec<&str> = self.services.keys().copied().collect();
                self.missing(client.at, "service", name, names);
            }
        }
        let policy = node.text("access_policy").map(DefaultPolicy::read);
        let access_policy = policy.and_then(Result::ok).unwrap_or(DefaultPolicy::Deny);
        Server { access_policy, clients }
    }

    pub(super) fn told(&mut self, node: &Node, problem: Option<&'static str>) {
        if let Some(what) = problem {
            self.report(node.at, what, "Linkerd's controller refuses it");
        }
    }
}

/// Sets a parameter to a key's value, if the key is there.
pub(super) fn set(own: &mut Linkerd, node: &Node, key: &str, parameter: &str) {
    let text = node.get(key).and_then(|one| parameter_text(one, parameter).ok());
    if let Some(text) = text {
        let _read_by_the_check = own.set(parameter, &text);
    }
}
