//! Linkerd's `ServiceProfile`s: routes with their conditions, and which of a service's tables is in force.
//!
//! A service has its `HTTPRoute`s and annotations, and it may have a profile, with `dstOverrides` of a `TrafficSplit`.
//! The profile's table stands in the place of the other where `plan::linkerd::split` says that it governs.
//!
//! Source: `plan::linkerd::{profile, split, precedence}`.
//! Left out: routes of a profile that `OpenAPI` or protobuf files are made into.

use super::super::context::Fault;
use super::super::document::Node;
use super::Lower;
use crate::kernel::time::Duration;
use crate::plan::linkerd::Linkerd;
use crate::plan::linkerd::policy::{Annotations, RetryBudget, Timeouts};
use crate::plan::linkerd::precedence::{best, matched};
use crate::plan::linkerd::profile::{
    Condition, Profile, ProfileRoute, ResponseClass, read_statuses,
};
use crate::plan::linkerd::rules::Failover;
use crate::plan::linkerd::split::{Governs, governs};
use crate::plan::route::{BUFFER_LIMIT, Destination, RouteRule, RouteTable};
use crate::plan::universe::{RequestClass, RouteId, ServiceId};
use std::collections::{BTreeMap, BTreeSet};

/// What is found out of profiles on the way.
#[derive(Default)]
pub(super) struct Profiles {
    /// Tables that are of a profile.
    pub(super) tables: BTreeSet<RouteId>,
    /// Of services that have a table of a profile: the other one.
    plain: BTreeMap<ServiceId, RouteTable>,
    pub(super) failovers: BTreeMap<ServiceId, Failover>,
}

impl Lower<'_, '_, '_> {
    // === limits ===

    /// Limits on a request by a route, of which any replaces all of its service; `usual` is that of the parameters
    /// and of `timeout`.
    pub(super) fn stream_limits(
        &mut self,
        usual: Duration,
        [service, route]: [&Node; 2],
    ) -> Timeouts {
        let given = [service, route].into_iter().filter(|table| table.get("timeouts").is_some());
        let given: Vec<&Node> = given.collect();
        if given.is_empty() || self.linkerd.is_none() {
            return Timeouts { request: usual, ..Timeouts::default() };
        }
        for table in given {
            if let Some(entry) = table.entry("timeout") {
                let hint = "timeouts = { request = … } says it";
                self.report(entry.at, "`timeout` beside `timeouts`", hint);
            }
        }
        let of = |table: &Node| {
            let limit = |key: &str| table.get("timeouts").and_then(|one| one.duration(key));
            Timeouts {
                request: limit("request").or(table.duration("timeout")).unwrap_or_default(),
                response: limit("response").unwrap_or_default(),
                idle: limit("idle").unwrap_or_default(),
            }
        };
        Timeouts::of_route(of(route), of(service))
    }

    // === precedence ===

    /// The rule of each class by the order of Linkerd's proxy, which is not that of the file.
    pub(super) fn rules_by_precedence(
        &self,
        own: &Linkerd,
        authority: &str,
        rules: &[RouteRule],
    ) -> Vec<Option<u16>> {
        let rank = own.linkerd_route.method_rank;
        let rule_of = |class: &RequestClass| {
            let all = rules.iter().map(|rule| matched(rank, &rule.matches, class, authority));
            best(rank, all).and_then(|place| u16::try_from(place).ok())
        };
        self.universe.classes.iter().map(rule_of).collect()
    }

    // === tables ===

    /// The table of a service at time zero: its own, or its profile's.
    pub(super) fn governing(&mut self, node: &Node, plain: RouteTable) -> RouteTable {
        if self.linkerd.is_none() {
            return plain;
        }
        let (service, name) = (plain.service, plain.name.clone());
        let split = match (node.get("traffic_split"), node.get("failover")) {
            (Some(split), Some(_)) => {
                let hint = "the failover's backends are the split";
                self.report(split.at, "`traffic_split` beside `failover`", hint);
                None
            }
            (Some(split), None) => self.traffic_split(service, split),
            (None, Some(_)) => self
                .failover_backends(service, node)
                .map(|(primary, _)| vec![(Destination::Cluster(primary), 1)]),
            (None, None) => None,
        };
        self.profiles.plain.insert(service, plain.clone());
        let route = self.universe.services[service.index()].route;
        self.table_in_force(service, &name, split, route).unwrap_or(plain)
    }

    /// The table of a service with this split, or without one.
    pub(super) fn table_in_force(
        &mut self,
        service: ServiceId,
        name: &str,
        split: Option<Vec<(Destination, u32)>>,
        route: RouteId,
    ) -> Option<RouteTable> {
        let node = self.service_nodes[service.index()];
        let plain = self.profiles.plain.get(&service)?.clone();
        let profile = node.get("service_profile");
        if governs(profile.is_some(), split.is_some()) == Governs::Policy {
            return Some(RouteTable { name: name.to_owned(), ..plain });
        }
        self.profiles.tables.insert(route);
        let routes = profile.map_or(&[][..], |one| one.list("routes"));
        let conditions: Vec<Condition> =
            routes.iter().filter_map(|one| self.condition_of(one.get("condition")?)).collect();
        if split.is_none() && routes.is_empty() {
            return Some(RouteTable { name: name.to_owned(), ..plain });
        }
        let split = split.unwrap_or_else(|| vec![(self.whole(service), 1)]);
        let limits = routes.iter().map(|one| one.duration("timeout").unwrap_or_default());
        let limits: Vec<Duration> = limits.chain([Duration::ZERO]).collect();
        let retry = self.retry_policy(&self.parameters.clone(), [node, node]);
        let rule = |timeout: Duration| RouteRule {
            matches: Vec::new(),
            split: split.clone(),
            direct: None,
            cluster_header: None,
            missing_status: None,
            timeout,
            idle_timeout: Duration::ZERO,
            max_stream_duration: Duration::ZERO,
            buffer_limit: BUFFER_LIMIT,
            linkerd: Annotations::default(),
            retry: retry.clone(),
            mirrors: Vec::new(),
            changes: BTreeMap::new(),
        };
        let rules: Vec<RouteRule> = limits.into_iter().map(rule).collect();
        let rule_of = |class: &RequestClass| {
            let first = conditions.iter().position(|one| one.holds(class));
            u16::try_from(first.unwrap_or(conditions.len())).ok()
        };
        let rule_of_class = self.universe.classes.iter().map(rule_of).collect();
        Some(RouteTable { service, name: name.to_owned(), rules, rule_of_class })
    }

    fn condition_of(&mut self, node: &Node) -> Option<Condition> {
        let mut all = Vec::new();
        if let Some(method) = node.text("method") {
            all.push(Condition::Method(method.to_uppercase()));
        }
        if let Some(regex) = node.get("path_regex") {
            let read = Condition::path(regex.as_text()?);
            let read =
                read.map_err(|why| Fault::new(regex.at, why).hint("Linkerd refuses it, too"));
            match read {
                Ok(path) => all.push(path),
                Err(fault) => self.context.report(fault),
            }
        }
        for (key, join) in [
            ("all", Condition::All as fn(Vec<Condition>) -> Condition),
            ("any", Condition::Any as fn(Vec<Condition>) -> Condition),
        ] {
            if node.get(key).is_some() {
                let parts = node.list(key).iter().filter_map(|one| self.condition_of(one));
                all.push(join(parts.collect()));
            }
        }
        if let Some(not) = node.get("not") {
            all.push(Condition::Not(Box::new(self.condition_of(not)?)));
        }
        if all.is_empty() && node.get("path_regex").is_none() {
            let hint = "one of method, path_regex, all, any and not";
            self.report(node.at, "a condition that says nothing", hint);
        }
        Some(if all.len() == 1 { all.remove(0) } else { Condition::All(all) })
    }

    // === what the proxies of clients are asked ===

    /// A service's profile, with what is wrong with it.
    pub(super) fn service_profile(&mut self, node: &Node, budget: RetryBudget) -> Profile {
        let is_retryable = |table: &Node| table.flag("is_retryable").unwrap_or(false);
        if node.get("routes").is_none() {
            return Profile {
                budget: is_retryable(node).then_some(budget),
                timeout: node.duration("timeout").unwrap_or(Duration::ZERO),
                routes: Vec::new(),
            };
        }
        let hint = "they are those of the one route for all requests: say them in `routes`";
        self.refuse_keys(node, &["is_retryable", "timeout"], "beside `routes`", hint);
        let mut routes = Vec::new();
        for route in node.list("routes").iter().filter(|one| one.is_table()) {
            let mut classes = Vec::new();
            for class in route.list("response_classes") {
                let Some(status) = class.get("status") else { continue };
                match read_statuses(status.as_text().unwrap_or_default()) {
                    Ok(statuses) => {
                        let is_failure = class.flag("is_failure").unwrap_or(false);
                        classes.push(ResponseClass { statuses, is_failure });
                    }
                    Err(why) => self.report(status.at, why, "status = \"500-504\""),
                }
            }
            if let Some(first) = route.list("response_classes").first()
                && !is_retryable(route)
            {
                let hint = "classes of answers decide about retries here: is_retryable = true";
                self.warn(first.at, "these classes do nothing: the route is not retryable", hint);
            }
            routes.push(ProfileRoute {
                name: route.text("name").unwrap_or_default().to_owned(),
                is_retryable: is_retryable(route),
                timeout: route.duration("timeout").unwrap_or(Duration::ZERO),
                classes,
            });
        }
        if routes.is_empty() {
            let at = node.get("routes").map_or(node.at, |one| one.at);
            let hint = "a profile without routes governs nothing: leave it out";
            self.report(at, "a profile of no routes", hint);
        }
        let budget = routes.iter().any(|one| one.is_retryable).then_some(budget);
        Profile { budget, timeout: Duration::ZERO, routes }
    }

    /// Policies that a split or a failover takes the place of.
    pub(super) fn warn_of_overrides(&mut self, table: &Node) {
        let Some(key) =
            ["traffic_split", "failover"].into_iter().find(|key| table.get(key).is_some())
        else {
            return;
        };
        let service = self.services.get(table.text("name").unwrap_or_default());
        let route = service.map(|one| self.universe.services[one.index()].route);
        if route.is_none_or(|route| !self.profiles.tables.contains(&route)) {
            return;
        }
        for other in ["failure_accrual", "retry", "route", "timeout", "timeouts"] {
            if let Some(entry) = table.entry(other) {
                let what = format!("`{other}` does nothing while there is a `{key}`");
                let hint = "a TrafficSplit is written into the ServiceProfile, which wins over it";
                self.warn(entry.at, what, hint);
            }
        }
    }
}
