//! Routes: rules with their matches, weights, time-outs and retries; one table a service at the
//! start, one more for each event that changes routes.
//!
//! Source: Istio's `VirtualService`, the first match wins; a version that is not there is a cluster that is not there.
//! Left out: nothing; faults stand with the filters, weights in `splits`, Linkerd's order of rules in `profiles`.

use super::super::document::{At, Node};
use super::super::keys::{ROUTE, SERVICE};
use super::policy::overridden;
use super::{Lower, headers, id};
use crate::kernel::time::Duration;
use crate::plan::linkerd::policy::{Annotations, RetryPolicy as LinkerdRetryPolicy, Timeouts};
use crate::plan::matching::{HeaderMatch, PathMatch, RouteMatch, ValueMatch, fits};
use crate::plan::parameter::Parameters;
use crate::plan::pattern::Pattern;
use crate::plan::policy::{RetryOn, RetryPolicy};
use crate::plan::route::{BUFFER_LIMIT, Destination, Mirror, RouteRule, RouteTable};
use crate::plan::universe::{ClusterId, RequestClass, RouteId, ServiceId};
use std::collections::{BTreeMap, BTreeSet};

/// The status that a rule answers itself, if it does.
fn direct(route: &Node) -> Option<u16> {
    let given = route.count("direct_response").or(route.count("redirect"));
    given.and_then(|status| u16::try_from(status).ok())
}

fn idle_timeout(table: &Node) -> Option<Duration> {
    table.duration("idle_timeout")
}

/// The limit on a request with its retries. Envoy does not look at it where the stream has one of its own
/// (`usingNewTimeouts`).
fn timeout(own: &Parameters, tables: [&Node; 2]) -> Duration {
    if max_stream_duration(tables).is_zero() { own.route.timeout } else { Duration::ZERO }
}

/// Of the tables the last one that says something holds.
pub(super) fn max_stream_duration(tables: [&Node; 2]) -> Duration {
    let of = |table: &&Node| table.duration("max_stream_duration");
    tables.iter().rev().find_map(of).unwrap_or_default()
}

fn buffer_limit(tables: [&Node; 2]) -> u64 {
    let of = |table: &&Node| table.count("per_request_buffer_limit");
    tables.iter().rev().find_map(of).map_or(BUFFER_LIMIT, u64::from)
}

/// A rule for those of another's requests that have this header.
fn naming_rule(rule: &RouteRule, header: &HeaderMatch, destination: Destination) -> RouteRule {
    let mut rule = RouteRule { split: vec![(destination, 1)], ..rule.clone() };
    if rule.matches.is_empty() {
        rule.matches.push(RouteMatch::default());
    }
    rule.matches.iter_mut().for_each(|one| one.headers.push(header.clone()));
    rule
}

fn annotations(limits: Timeouts, retry: Option<LinkerdRetryPolicy>) -> Annotations {
    Annotations { timeouts: Timeouts { request: Duration::ZERO, ..limits }, retry }
}

impl Lower<'_, '_, '_> {
    /// The routes at time zero, one table a service, in the order of the services.
    pub(super) fn routes(&mut self) {
        for (index, table) in self.service_nodes.clone().into_iter().enumerate() {
            let service = ServiceId(id(index));
            let own = overridden(&self.base_of(table), table, SERVICE);
            let (mut rules, mut changes): (Vec<RouteRule>, Vec<_>) = (Vec::new(), Vec::new());
            // Where headers name clusters: behind the rules of the file.
            let mut naming = Vec::new();
            for route in table.list("route").iter().filter(|route| route.is_table()) {
                let of_route = overridden(&own, route, ROUTE);
                let named = self.named_clusters(route);
                let split = match route.get("weights") {
                    Some(weights) => self.split(service, weights),
                    None if named.is_some() => vec![(Destination::Missing(String::new()), 1)],
                    None => vec![(self.whole(service), 1)],
                };
                let retry = self.retry_policy(&of_route, [table, route]);
                let matches = self.matches(route);
                let limits = self.stream_limits(timeout(&of_route, [table, route]), [table, route]);
                let again = self.annotated_retry(route);
                changes.push(self.change(route, &matches));
                let rule = RouteRule {
                    matches,
                    split,
                    direct: direct(route),
                    cluster_header: route.text("cluster_header").map(str::to_lowercase),
                    missing_status: None,
                    timeout: limits.request,
                    idle_timeout: idle_timeout(route).or(idle_timeout(table)).unwrap_or_default(),
                    max_stream_duration: max_stream_duration([table, route]),
                    buffer_limit: buffer_limit([table, route]),
                    linkerd: annotations(limits, again),
                    retry,
                    mirrors: Vec::new(),
                    changes: BTreeMap::new(),
                };
                for (header, destination) in named.into_iter().flatten() {
                    naming.push((naming_rule(&rule, &header, destination), route));
                }
                rules.push(rule);
            }
            for (rule, route) in naming {
                changes.push(self.change(route, &rule.matches));
                rules.push(rule);
            }
            if rules.is_empty() {
                let retry = self.retry_policy(&own, [table, table]);
                let limits = self.stream_limits(timeout(&own, [table, table]), [table, table]);
                rules.push(RouteRule {
                    matches: Vec::new(),
                    split: vec![(self.whole(service), 1)],
                    direct: None,
                    cluster_header: None,
                    missing_status: None,
                    timeout: limits.request,
                    idle_timeout: idle_timeout(table).unwrap_or_default(),
                    max_stream_duration: max_stream_duration([table, table]),
                    buffer_limit: buffer_limit([table, table]),
                    linkerd: annotations(limits, None),
                    retry,
                    mirrors: Vec::new(),
                    changes: BTreeMap::new(),
                });
            }
            let name = format!("routes of {}", self.universe.services[index].name);
            let mut plain = self.route_table(service, name, rules);
            self.apply_changes(&mut plain, &changes);
            let governing = self.governing(table, plain);
            self.universe.routes.push(governing);
        }
        self.mirrors();
        self.failovers();
    }

    /// Copies of requests: the tables that they follow stand behind those of the services.
    fn mirrors(&mut self) {
        for (index, table) in self.service_nodes.clone().into_iter().enumerate() {
            let routes = table.list("route").iter().filter(|route| route.is_table());
            for (place, route) in routes.enumerate() {
                let mirrors = route.get("mirror").map_or(&[][..], Node::one_or_many);
                for mirror in mirrors.iter().filter(|mirror| mirror.is_table()) {
                    if let Some(to) = self.mirror(route, mirror) {
                        self.copy_to((index, place), to);
                    }
                }
            }
        }
    }

    /// A rule's requests, or a share of them, go somewhere else, too.
    fn copy_to(
        &mut self,
        (index, place): (usize, usize),
        (cluster, service, share): (ClusterId, ServiceId, f64),
    ) {
        let number = self.universe.routes.len();
        let rule = &mut self.universe.routes[index].rules[place];
        rule.mirrors.push(Mirror { route: RouteId(id(number)), share });
        let copy = RouteRule {
            matches: Vec::new(),
            split: vec![(Destination::Cluster(cluster), 1)],
            direct: None,
            cluster_header: None,
            missing_status: None,
            timeout: rule.timeout,
            idle_timeout: Duration::ZERO,
            max_stream_duration: rule.max_stream_duration,
            buffer_limit: rule.buffer_limit,
            linkerd: Annotations::default(),
            retry: RetryPolicy {
                retries: 0,
                on: RetryOn::default(),
                per_try_timeout: Duration::ZERO,
                per_try_idle_timeout: Duration::ZERO,
                hedges: false,
                headers: None,
                ..rule.retry.clone()
            },
            mirrors: Vec::new(),
            changes: BTreeMap::new(),
        };
        let name = format!("copies of {}", self.universe.services[index].name);
        let rule_of_class = vec![None; self.universe.classes.len()];
        let rules = vec![copy];
        self.universe.routes.push(RouteTable { service, name, rules, rule_of_class });
    }

    /// Where a rule's copies go, and the share of them.
    fn mirror(&mut self, route: &Node, mirror: &Node) -> Option<(ClusterId, ServiceId, f64)> {
        let to = mirror.get("to")?;
        if direct(route).is_some() {
            let hint = "what the proxy answers itself is not copied";
            self.report(mirror.at, "`mirror` where there is no upstream", hint);
        }
        let name = to.as_text()?;
        let Some(cluster) = self.cluster(name) else {
            self.service_or_version(to.at, name)?;
            self.report(to.at, format!("`{name}` is more than one service"), "name one of them");
            return None;
        };
        let service = self.universe.clusters[cluster.index()].service;
        Some((cluster, service, mirror.share("share").unwrap_or(1.0)))
    }

    /// A table with the rule of each class.
    pub(super) fn route_table(
        &self,
        service: ServiceId,
        name: String,
        rules: Vec<RouteRule>,
    ) -> RouteTable {
        let authority = &self.universe.services[service.index()].name;
        if let Some(own) = &self.linkerd {
            let rule_of_class = self.rules_by_precedence(own, authority, &rules);
            return RouteTable { service, name, rules, rule_of_class };
        }
        let rule_of = |class: &RequestClass| {
            let fits_rule = |rule: &RouteRule| {
                let fits = |one: &RouteMatch| fits(one, class, authority);
                rule.matches.is_empty() || rule.matches.iter().any(fits)
            };
            let first = rules.iter().position(fits_rule).map(|first| {
                let header = rules[first].cluster_header.as_deref();
                let mut behind = rules.iter().enumerate().skip(first + 1);
                let named = behind.find(|(_, rule)| {
                    rule.names_by_header()
                        && !is_of_no_name(rule)
                        && rule.cluster_header.as_deref() == header
                        && fits_rule(rule)
                });
                named.map_or(first, |(place, _)| place)
            });
            first.and_then(|index| u16::try_from(index).ok())
        };
        let rule_of_class = self.universe.classes.iter().map(rule_of).collect();
        RouteTable { service, name, rules, rule_of_class }
    }

    /// What the classes of requests have in the header that names a rule's cluster.
    fn values_of_header(&self, route: &Node) -> BTreeSet<String> {
        let Some(name) = route.text("cluster_header").map(str::to_lowercase) else {
            return BTreeSet::new();
        };
        let headers = self.universe.classes.iter().flat_map(|class| &class.headers);
        headers.filter(|(header, _)| *header == name).map(|(_, value)| value.clone()).collect()
    }

    /// A rule whose requests name their cluster in a header: each value with where it leads.
    ///
    /// Source: Envoy's `RouteEntryImplBase::pickClusterViaClusterHeader`; without the header, or by a name that is no
    /// cluster's, the router has none (503 NC).
    fn named_clusters(&mut self, route: &Node) -> Option<Vec<(HeaderMatch, Destination)>> {
        let node = route.get("cluster_header")?;
        let name = node.as_text()?.to_lowercase();
        for other in ["weights", "direct_response", "redirect", "mirror"] {
            if let Some(second) = route.get(other) {
                let what = format!("`cluster_header` and `{other}` exclude each other");
                self.report(second.at, what, "two rules");
            }
        }
        let named = self.values_of_header(route).into_iter().map(|value| {
            let found = self.cluster(&value).filter(|_| !self.is_waypoint(&value));
            let to = found.map_or(Destination::Missing(value.clone()), Destination::Cluster);
            let value = ValueMatch::Exact(value);
            (HeaderMatch { name: name.clone(), value, invert: false }, to)
        });
        Some(named.collect())
    }

    fn matches(&mut self, route: &Node) -> Vec<RouteMatch> {
        let tables = route.get("match").map_or(&[][..], Node::one_or_many);
        tables.iter().map(|table| self.one_match(table)).collect()
    }

    fn one_match(&mut self, table: &Node) -> RouteMatch {
        let query = table.get("query").map(Node::entries).unwrap_or_default();
        RouteMatch {
            path: self.path_match(table),
            method: table.text("method").map(str::to_uppercase),
            authority: table.text("authority").map(str::to_owned),
            headers: self.header_matches(table),
            query: query
                .iter()
                .filter_map(|entry| Some((entry.key.clone(), entry.node.as_text()?.to_owned())))
                .collect(),
            parameters: self.parameter_matches(table),
        }
    }

    /// Parameters of the query with more to say than their exact values.
    fn parameter_matches(&mut self, table: &Node) -> Vec<(String, ValueMatch)> {
        let nodes = table.list("parameter").iter().filter(|node| node.is_table());
        let hint = "two parameters of the same name, both of which must match";
        let one =
            |node: &Node| Some((node.text("name")?.to_owned(), self.value_match(node, hint)?));
        nodes.filter_map(one).collect()
    }

    /// The one text that a table has of several that exclude each other, if it has any.
    pub(super) fn one_of<'n>(
        &mut self,
        table: &'n Node,
        keys: &[&'static str],
        hint: &str,
    ) -> Result<Option<(&'static str, &'n Node, &'n str)>, ()> {
        let text = |key: &&'static str| {
            let node = table.get(key)?;
            Some((*key, node, node.as_text()?))
        };
        let mut given = keys.iter().filter_map(text);
        let first = given.next();
        if let (Some((first, ..)), Some((second, node, _))) = (first, given.next()) {
            let what = format!("`{first}` and `{second}` exclude each other");
            self.report(node.at, what, hint);
            return Err(());
        }
        Ok(first)
    }

    fn path_match(&mut self, table: &Node) -> Option<PathMatch> {
        let kinds = ["path", "prefix", "regex", "template"];
        let given = self.one_of(table, &kinds, "keep one of them").ok()?;
        let (key, node, text) = given?;
        if matches!(key, "path" | "prefix") && !text.starts_with('/') {
            self.report(node.at, "a path begins with `/`", "such as \"/cart\"");
        }
        let pattern = match key {
            "path" => return Some(PathMatch::Exact(text.to_owned())),
            "prefix" => return Some(PathMatch::Prefix(text.to_owned())),
            "regex" => Pattern::regex(text),
            _ => Pattern::template(text),
        };
        self.pattern(node.at, pattern).map(PathMatch::Pattern)
    }

    fn pattern(&mut self, at: At, pattern: Result<Pattern, String>) -> Option<Pattern> {
        pattern.map_err(|why| self.report(at, why, "Envoy refuses it, too")).ok()
    }

    /// Headers with their exact values, and those with more to say.
    fn header_matches(&mut self, table: &Node) -> Vec<HeaderMatch> {
        let exact =
            |(name, value)| HeaderMatch { name, value: ValueMatch::Exact(value), invert: false };
        let mut all: Vec<HeaderMatch> = headers(table).into_iter().map(exact).collect();
        for node in table.list("header").iter().filter(|node| node.is_table()) {
            all.extend(self.header_match(node));
        }
        all
    }

    /// What a header must be like.
    pub(super) fn header_match(&mut self, node: &Node) -> Option<HeaderMatch> {
        let name = node.text("name")?.to_lowercase();
        let hint = "two headers of the same name, both of which must match";
        let value = self.value_match(node, hint)?;
        Some(HeaderMatch { name, value, invert: node.flag("invert").unwrap_or(false) })
    }

    /// What a value must be like.
    pub(super) fn value_match(&mut self, node: &Node, hint: &str) -> Option<ValueMatch> {
        let kinds = ["exact", "prefix", "suffix", "contains", "regex"];
        let given = self.one_of(node, &kinds, hint).ok()?;
        let text = |text: &str| text.to_owned();
        Some(match given {
            None => ValueMatch::Present,
            Some(("exact", _, value)) => ValueMatch::Exact(text(value)),
            Some(("prefix", _, value)) => ValueMatch::Prefix(text(value)),
            Some(("suffix", _, value)) => ValueMatch::Suffix(text(value)),
            Some(("contains", _, value)) => ValueMatch::Contains(text(value)),
            Some((_, node, value)) => {
                ValueMatch::Regex(self.pattern(node.at, Pattern::regex(value))?)
            }
        })
    }
}

/// Whether it is the rule itself, and no copy for a name.
fn is_of_no_name(rule: &RouteRule) -> bool {
    matches!(&rule.split[..], [(Destination::Missing(name), _)] if name.is_empty())
}
