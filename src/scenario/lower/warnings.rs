//! Warnings: policies that a mesh accepts and that do nothing, or not what they look like.
//!
//! They are simulated as the mesh behaves. A warning stands at the key that would have to be another
//! one; where the mesh's value holds, at the policy that takes it.
//!
//! Source: with each rule.
//! Left out: policies to which the traffic at hand never comes, such as thresholds that too few
//! answers reach; what an event changes later, but for the
//! number of pods.

use super::super::document::{At, Entry, Node};
use super::action::percent;
use super::{Lower, id};
use crate::kernel::time::Duration;
use crate::plan::policy::{ClusterPolicy, RetryLimit, RetryOn, RetryPolicy};
use crate::plan::route::{Destination, RouteRule};
use crate::plan::universe::{ClusterId, ServiceId};
use std::collections::BTreeSet;

impl Lower<'_, '_, '_> {
    /// Looks at all of it.
    pub(super) fn warnings(&mut self) {
        // Where something is wrong, warnings would not be told.
        if !self.context.faults.is_empty() {
            return;
        }
        self.parameters_at_odds();
        self.retries_of_the_mesh();
        self.warnings_of_filters();
        self.headers_in_vain();
        for (index, table) in self.service_nodes.clone().into_iter().enumerate() {
            let rules = self.universe.routes[index].rules.clone();
            let clusters: BTreeSet<ClusterId> = destinations(&rules).collect();
            let mut looked_at = BTreeSet::new();
            let has_retries = rules.iter().any(|rule| rule.retry.retries != 0);
            for cluster in &clusters {
                let name = &self.universe.clusters[cluster.index()].name;
                let table = &self.table_of(ServiceId(id(index)), name);
                self.ejections(table, *cluster);
                // Subsets without ceilings of their own have those of their service.
                if looked_at.insert(table.entry("circuit_breaker").map(|entry| entry.at)) {
                    let policy = self.universe.clusters[cluster.index()].policy.clone();
                    self.breakers(table, &policy, has_retries);
                }
            }
            self.subsets_of_nothing(index, table);
            let routes = table.list("route").iter().filter(|route| route.is_table());
            // Without a route there is one rule, which is the service's.
            let nodes = if table.list("route").is_empty() { vec![table] } else { routes.collect() };
            for (rule, node) in rules.iter().zip(nodes).filter(|(rule, _)| rule.direct.is_none()) {
                self.retries(rule, [table, node]);
                self.timeouts(rule, [table, node]);
                self.copies_to_itself(rule, node);
                self.weights_of_nothing(rule, node);
            }
        }
    }

    pub(super) fn warn(&mut self, at: At, what: impl Into<String>, hint: impl Into<String>) {
        self.context.warn(super::Fault::new(at, what).hint(hint));
    }

    // === subsets ===

    /// Source: Istio's `DestinationRule`: a subset that no pod fits is a cluster without endpoints.
    fn subsets_of_nothing(&mut self, service: usize, table: &Node) {
        let service = &self.universe.services[service].name;
        let mut empty = Vec::new();
        for subset in table.list("subsets") {
            let (Some(name), Some(labels)) = (subset.text("name"), subset.get("labels")) else {
                continue;
            };
            let cluster = format!("{service}/{name}");
            let clusters = &self.universe.clusters;
            let found = clusters.iter().find(|one| one.name == cluster);
            if found.is_some_and(|one| one.workloads.is_empty()) {
                empty.push((labels.at, name));
            }
        }
        for (at, name) in empty {
            let what = format!("no workload of the service has the labels of `{name}`");
            self.warn(at, what, "requests to it are 503 UH");
        }
    }

    /// Source: Istio's `VirtualService`: a destination that no `DestinationRule` has is a cluster that
    /// is not there.
    fn weights_of_nothing(&mut self, rule: &RouteRule, route: &Node) {
        let Some(weights) = route.get("weights") else { return };
        for (destination, _) in &rule.split {
            let Destination::Missing(cluster) = destination else { continue };
            let name = cluster.rsplit('/').next().unwrap_or_default();
            if let Some(entry) = weights.entry(name) {
                let what = format!("there is no version or subset `{name}`");
                let hint = match self.linkerd {
                    Some(_) => "requests to it are 500",
                    None => "requests to it are 503 NC",
                };
                self.warn(entry.at, what, hint);
            }
        }
    }

    // === circuit breakers ===

    fn breakers(&mut self, table: &Node, policy: &ClusterPolicy, has_retries: bool) {
        let breaker = table.get("circuit_breaker");
        let limit = |key: &str| breaker.and_then(|breaker| breaker.entry(key));
        // Source: measured (e04): a request waits for its connection to open, whatever the pool.
        if let Some(entry) = limit("max_pending").filter(|_| policy.breaker.max_pending == 0) {
            let hint = "each waits until its connection is open, and none may wait: at least 1. Envoy's 0 is \
                        none; a DestinationRule's is not set";
            self.warn(entry.at, "no request is ever served", hint);
        }
        // Source: measured (e04): UO at the ceiling, whatever it is.
        if let Some(entry) = limit("max_requests").filter(|_| policy.breaker.max_requests == 0) {
            let hint = "Envoy's 0 is none; a DestinationRule's is not set";
            self.warn(entry.at, "no request is ever sent", hint);
        }
        let budget = table.get("retries").and_then(|retries| retries.entry("budget"));
        let (Some(budget), RetryLimit::Budget { share, min_concurrency }) =
            (budget, policy.breaker.retries)
        else {
            return;
        };
        // Source: Envoy's CircuitBreakers.Thresholds: a budget overrides `max_retries`.
        if let Some(entry) = limit("max_retries") {
            let hint = "the budget holds in its place: leave one of the two out";
            self.warn(entry.at, "`max_retries` does nothing beside a budget", hint);
        }
        // Source: measured (e04): max(min_retry_concurrency, share of active requests, rounded down).
        if has_retries && min_concurrency == 0 {
            let at = budget.node.entry("min_concurrency").map_or(budget.at, |entry| entry.at);
            let what = if share <= 0.0 {
                "no request is ever tried again".to_owned()
            } else {
                let least = (1.0 / share).ceil();
                format!("with fewer than {least} requests at once none is tried again")
            };
            let of = percent(share);
            let hint = format!(
                "{of} of the requests, rounded down, may be retries, and `min_concurrency` always"
            );
            self.warn(at, what, hint);
        }
    }

    // === retries ===

    fn retries(&mut self, rule: &RouteRule, tables: [&Node; 2]) {
        let policy = &rule.retry;
        let given = |key: &str| in_retries(tables, key);
        // Source: Istio's `retry.ConvertPolicy`: without attempts there is no policy.
        if policy.retries == 0 {
            // A variant without retries need not take their conditions away.
            let is_turned_off = given("attempts").is_some_and(|one| self.is_setting(one.at));
            for key in ["on", "statuses", "budget"] {
                if let Some(entry) = given(key).filter(|_| !is_turned_off) {
                    let what = format!("`{key}` does nothing where no request is tried again");
                    self.warn(entry.at, what, "`attempts` is 0");
                }
            }
            return;
        }
        // Source: measured (e03): a per-try timeout is retried as 5xx, gateway error or reset.
        let sees_timeouts = [RetryOn::FIVE_XX, RetryOn::GATEWAY_ERROR, RetryOn::RESET]
            .into_iter()
            .any(|one| policy.on.has(one));
        if let Some(entry) = given("per_try_timeout")
            && !policy.per_try_timeout.is_zero()
            && !sees_timeouts
            && !policy.hedges
        {
            let hint = "`on` has none of 5xx, gateway-error and reset, which retry it";
            self.warn(entry.at, "a try that times out is not tried again", hint);
        }
        self.conditions(policy, given);
    }

    /// Retries of which `[mesh]` speaks: of the mesh's own parameters, without those of services.
    fn retries_of_the_mesh(&mut self) {
        let Some(table) = self.root.get("mesh").and_then(|mesh| mesh.get("retry")) else { return };
        let policy = self.retry_policy(&self.parameters.clone(), [table, table]);
        if policy.retries != 0 {
            self.conditions(&policy, |key| table.entry(key));
        }
    }

    /// Conditions, and what is read with its condition only.
    fn conditions<'n>(&mut self, policy: &RetryPolicy, given: impl Fn(&str) -> Option<&'n Entry>) {
        // Source: Envoy's `retriable_status_codes`, which is read with its condition only.
        let has = |condition| policy.on.has(condition);
        if let Some(entry) = given("statuses")
            && !has(RetryOn::RETRIABLE_STATUS_CODES)
        {
            let hint = format!("add retriable-status-codes to `on`, which is \"{}\"", policy.on);
            self.warn(entry.at, "`statuses` are not looked at", hint);
        }
        if let Some(entry) = given("on").filter(|_| has(RetryOn::RETRIABLE_STATUS_CODES))
            && policy.statuses.is_empty()
        {
            let hint = "`statuses` says which";
            self.warn(entry.at, "`retriable-status-codes` of which there are none", hint);
        }
        // Source: Envoy's `retriable_headers`, likewise.
        if let Some(entry) = given("on").filter(|_| has(RetryOn::RETRIABLE_HEADERS))
            && given("retriable_headers").is_none()
        {
            let hint = "`retriable_headers` says which";
            self.warn(entry.at, "`retriable-headers` of which there are none", hint);
        }
        if let Some(entry) = given("retriable_headers")
            && !has(RetryOn::RETRIABLE_HEADERS)
        {
            let hint = format!("add retriable-headers to `on`, which is \"{}\"", policy.on);
            self.warn(entry.at, "`retriable_headers` are not looked at", hint);
        }
        // Source: Envoy's `hedge_policy`: it is the per-try timeout that starts another try.
        if let Some(entry) = given("hedge_on_per_try_timeout")
            && policy.hedges
            && policy.per_try_timeout.is_zero()
        {
            self.warn(entry.at, "no try is ever hedged", "there is no `per_try_timeout`");
        }
        // Source: Envoy's x-envoy-retry-grpc-on: these are statuses of gRPC.
        let of_grpc = [RetryOn::CANCELLED, RetryOn::DEADLINE_EXCEEDED, RetryOn::INTERNAL];
        let of_grpc = of_grpc.into_iter().fold(RetryOn::UNAVAILABLE, RetryOn::with);
        let of_grpc = of_grpc.with(RetryOn::RESOURCE_EXHAUSTED);
        if let Some(entry) = given("on")
            && policy.on.0 & !of_grpc.0 == 0
            && policy.on != RetryOn::default()
            && self.replies.iter().all(|headers| headers.grpc_status().is_none())
        {
            let hint = "these are statuses of gRPC; HTTP has 5xx, gateway-error, reset and others";
            self.warn(entry.at, "no request over HTTP is tried again", hint);
        }
    }

    /// Source: Envoy's `FilterUtility::finalTimeout`; the route's timeout covers all tries.
    fn timeouts(&mut self, rule: &RouteRule, tables: [&Node; 2]) {
        // Source: Envoy's `FilterUtility::finalTimeout`: with `max_stream_duration` it is not looked at.
        let given = tables.iter().rev().find(|table| table.entry("timeout").is_some());
        if let Some(table) = given.filter(|_| !rule.max_stream_duration.is_zero())
            && let Some(entry) = table.entry("timeout")
            && table.duration("timeout").is_some_and(|timeout| !timeout.is_zero())
        {
            let hint = format!(
                "`max_stream_duration` is {}, and takes its place",
                rule.max_stream_duration
            );
            self.warn(entry.at, "this timeout is not looked at", hint);
        }
        let (whole, one, retries) = (rule.timeout, rule.retry.per_try_timeout, rule.retry.retries);
        let Some(per_try) = in_retries(tables, "per_try_timeout") else { return };
        if whole.is_zero() || one.is_zero() {
            return;
        }
        if whole <= one {
            let what = "this timeout of a try never comes";
            let hint = format!("that of the request with all of its tries is {whole}");
            return self.warn(per_try.at, what, hint);
        }
        // A retry begins after those before it, if these time out; back-offs come on top.
        let begin = (whole.ns().saturating_sub(1) / one.ns()).min(u64::from(retries));
        if begin < u64::from(retries) && !rule.retry.hedges {
            let at = in_retries(tables, "attempts").map_or(per_try.at, |entry| entry.at);
            let what = format!("where tries time out, {begin} of {retries} retries begin in time");
            let all: Duration = one.scale(f64::from(retries) + 1.0);
            let hint = format!("all tries of {one} take {all}, and the request has {whole}");
            self.warn(at, what, hint);
        }
    }

    /// Source: Envoy's `request_mirror_policies`: a copy goes to its cluster, whichever it is.
    fn copies_to_itself(&mut self, rule: &RouteRule, route: &Node) {
        for mirror in route.get("mirror").map_or(&[][..], Node::one_or_many) {
            self.copy_to_itself(rule, mirror);
        }
    }

    fn copy_to_itself(&mut self, rule: &RouteRule, mirror: &Node) {
        let Some(to) = mirror.entry("to") else { return };
        let goes_to = |cluster: ClusterId| &self.universe.clusters[cluster.index()].name;
        let mut names = destinations(std::slice::from_ref(rule)).map(goes_to);
        let is_same = |name: &String| {
            let text = to.node.as_text().unwrap_or_default();
            name == text || name.split_once('/').is_some_and(|(service, _)| service == text)
        };
        if names.any(is_same) {
            let hint = "its endpoints answer the copies as well, for nobody: name another one";
            self.warn(to.node.at, "copies go where the requests go", hint);
        }
    }

    /// Whether a place is one of a `--set`, or of the settings of a variant.
    fn is_setting(&self, at: At) -> bool {
        let is_within = |entry: &Entry| {
            entry.at.source == at.source && (entry.at.start..entry.node.at.end).contains(&at.start)
        };
        let mut settings = self.root.list("variant").iter().filter_map(|one| one.get("set"));
        self.context.is_set(at) || settings.any(|set| set.entries().iter().any(is_within))
    }
}

/// The clusters that rules lead to.
fn destinations(rules: &[RouteRule]) -> impl Iterator<Item = ClusterId> {
    let rules = rules.iter().filter(|rule| rule.direct.is_none());
    rules.flat_map(|rule| &rule.split).filter_map(|(destination, _)| match destination {
        Destination::Cluster(cluster) => Some(*cluster),
        Destination::Missing(_) => None,
    })
}

/// A key of the retries of a route, else of its service.
fn in_retries<'n>([service, route]: [&'n Node; 2], key: &str) -> Option<&'n Entry> {
    [route, service].into_iter().find_map(|table| table.get("retries")?.entry(key))
}
