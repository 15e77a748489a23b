//! `ServiceProfile`: `service_profile` with its routes.
//!
//! Conditions are brought into the three levels that scenarios have; classes of answers are said as they are
//! where each is a range, else by the statuses that they make failures.
//! Source: linkerd2 `controller/api/destination/profile_translator.go`; docs/linkerd-traffic.md.
//! Left out: conditions that need more levels (the route is left out and named), classes of routes that are not
//! retryable (they count in metrics only).

use super::linkerd::{Called, Part};
use super::linkerd_condition;
use super::linkerd_split::View;
use crate::manifest::draft::value::{Table, Value};
use crate::manifest::linkerd::profile::{Profile, ProfileRoute, ResponseClass, ResponseCondition};
use crate::manifest::node::Node;
use std::collections::BTreeSet;

impl<'l> Part<'_, 'l> {
    /// The profile with routes of a view; whether there is one.
    pub(super) fn profile(&mut self, called: &Called<'l>, view: &View<'l>) -> bool {
        let Some(profile) = view.profile else { return false };
        let key = (profile.namespace.clone(), profile.name.clone());
        self.uses("ServiceProfile", &key);
        let node = self.object("linkerd.io", "ServiceProfile", &key);
        let spec = node.and_then(|object| object.node.get("spec"));
        let Some(spec) = spec.filter(|_| !profile.routes.is_empty()) else {
            self.without_routes(profile, view);
            return false;
        };
        let mut table = Table::new();
        let budget = self.budget(profile, spec, &mut table);
        let nodes = spec.get("routes").map(Node::items).unwrap_or_default();
        let mut names = BTreeSet::new();
        let mut routes = Vec::new();
        for (route, node) in profile.routes.iter().zip(nodes) {
            for mut table in self.routes(route, node, budget) {
                let at = node.get("name").map_or(route.at, |node| node.at);
                table.set("name", Value::text(unique(&route.name, &mut names)).at(at));
                routes.push(Value::from(table).at(route.at));
            }
        }
        if routes.is_empty() {
            // All are named; the profile wins all the same.
            return true;
        }
        table.set("routes", Value::list(routes).at(profile.at));
        self.set(called, "service_profile", Value::from(table).at(profile.at));
        self.mark("linkerd.io", "ServiceProfile", &key.0, &key.1);
        true
    }

    /// Of bytes only the destinations of a profile count.
    pub(super) fn profile_of_bytes(&mut self, view: &View<'l>) {
        let Some(profile) = view.profile else { return };
        self.uses("ServiceProfile", &(profile.namespace.clone(), profile.name.clone()));
        if let Some(route) = profile.routes.first() {
            let why = "proxies see bytes at this port, and no requests";
            self.draft.ignore("ServiceProfile.spec.routes", route.at, why);
        }
    }

    fn without_routes(&mut self, profile: &Profile, view: &View<'l>) {
        if let Some(at) = profile.budget.at {
            let why = "a profile without routes retries nothing";
            self.draft.ignore("ServiceProfile.spec.retryBudget", at, why);
        }
        if view.targets.is_empty() {
            let why = "without routes and destinations with a weight it does not count";
            self.draft.ignore("ServiceProfile.spec", profile.at, why);
        }
    }

    /// The keys of the budget; whether anything is retried.
    fn budget(&mut self, profile: &Profile, spec: &Node, table: &mut Table) -> bool {
        let budget = &profile.budget;
        let Some(at) = budget.at else { return true };
        if !budget.is_valid {
            let why = "the proxy does not take it: nothing is retried";
            self.draft.ignore("ServiceProfile.spec.retryBudget", at, why);
            return false;
        }
        if !profile.routes.iter().any(|route| route.is_retryable) {
            let why = "no route is retryable";
            self.draft.ignore("ServiceProfile.spec.retryBudget", at, why);
            return true;
        }
        let node = spec.get("retryBudget");
        for (key, field, value) in [
            ("retry_ratio", "retryRatio", Value::float(budget.ratio)),
            ("min_retries_per_s", "minRetriesPerSecond", Value::integer(budget.min_per_second)),
            ("ttl", "ttl", Value::duration(budget.ttl_ns)),
        ] {
            let own = node.and_then(|node| node.get(field)).map_or(at, |node| node.at);
            table.set(key, value.at(own));
        }
        true
    }

    /// The tables of a route, its name left out.
    fn routes(&mut self, route: &ProfileRoute, node: &Node, has_budget: bool) -> Vec<Table> {
        let place = |field: &str| node.get(field).map_or(route.at, |node| node.at);
        let at = place("condition");
        let Some(conditions) = node.get("condition").and_then(linkerd_condition::tables_of) else {
            let why = "it needs more than three levels: the route is left out";
            self.draft.ignore("ServiceProfile.spec.routes.condition", at, why);
            return Vec::new();
        };
        let mut table = Table::new();
        let is_retryable = route.is_retryable && has_budget;
        if is_retryable {
            table.set("is_retryable", Value::bool(true).at(place("isRetryable")));
        }
        if let Some(timeout) = route.timeout_ns {
            table.set("timeout", Value::duration(timeout).at(place("timeout")));
        }
        if let Some(classes) = node.get("responseClasses").filter(|_| !route.classes.is_empty()) {
            if is_retryable {
                let list = classes_of(route, classes);
                if !list.is_empty() {
                    table.set("response_classes", Value::list(list).at(classes.at));
                }
            } else {
                let why = "the route is not retryable: they count in metrics only";
                self.draft.ignore("ServiceProfile.spec.routes.responseClasses", classes.at, why);
            }
        }
        let with = |condition: Table| {
            let mut whole = Table::new();
            whole.set("name", Value::text("")).set("condition", Value::from(condition).at(at));
            for (key, value) in table.iter() {
                whole.set(key, value.clone());
            }
            whole
        };
        conditions.into_iter().map(with).collect()
    }
}

/// A name that is not there yet.
fn unique(name: &str, names: &mut BTreeSet<String>) -> String {
    let base = if name.is_empty() { "route" } else { name };
    let mut name = base.to_owned();
    let mut count = 1;
    while !names.insert(name.clone()) {
        count += 1;
        name = format!("{base} #{count}");
    }
    name
}

/// The classes of a route, in order.
fn classes_of(route: &ProfileRoute, node: &Node) -> Vec<Value> {
    let range = |class: &ResponseClass| match class.condition {
        ResponseCondition::Status(min, max) => Some((min, max, class.is_failure)),
        _ => None,
    };
    let direct: Option<Vec<_>> = route.classes.iter().map(range).collect();
    if let Some(ranges) = direct {
        let places = node.items().iter().map(|class| class.at);
        let places = places.chain(std::iter::repeat(node.at));
        let all = ranges.into_iter().zip(places);
        return all.map(|(range, at)| Value::from(class(range)).at(at)).collect();
    }
    // By what each status is, where that is not what it would be anyway.
    let mut ranges: Vec<(u16, u16, bool)> = Vec::new();
    for status in 100..=599 {
        let is_failure = route.is_failure(status);
        if is_failure == (status >= 500) {
            continue;
        }
        match ranges.last_mut().filter(|last| last.1 + 1 == status && last.2 == is_failure) {
            Some(last) => last.1 = status,
            None => ranges.push((status, status, is_failure)),
        }
    }
    ranges.into_iter().map(|range| Value::from(class(range)).at(node.at)).collect()
}

fn class((min, max, is_failure): (u16, u16, bool)) -> Table {
    let mut table = Table::new();
    let status = if min == max { min.to_string() } else { format!("{min}-{max}") };
    table.set("status", Value::text(status)).set("is_failure", Value::bool(is_failure));
    table
}
