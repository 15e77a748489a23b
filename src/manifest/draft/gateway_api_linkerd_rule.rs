//! A rule of a route as Linkerd reads it, as a `[[service.route]]`.
//!
//! Timeouts and retries are the annotations' of the route, in place of the Service's; the rule's own timeout
//! counts in Linkerd's kind only. A backend that is not there gets 500 from Linkerd's proxies, as here.
//! Source: linkerd2 `policy-controller/k8s/index/src/outbound/index/{http,grpc}.rs`, as in
//! [`crate::manifest::linkerd::routed`].
//! Left out: told as ignored, filters of one of several backends, headers of answers, where redirects
//! lead. Not told: a gRPC method without its service is a regular expression here, which comes before a
//! service without a method; a host that is one of the Service's own names has the length of the scenario's
//! name, and a host by suffix counts as a header.

use super::gateway_api_filters::{Changes, Ending};
use super::gateway_api_match::{Placed, at, paths, table as match_table};
use super::gateway_api_rule::{Writer, missing_name, weight_at};
use super::value::{Kind, Table, Value};
use crate::manifest::gateway_api::filter::Action;
use crate::manifest::gateway_api::http::Rule;
use crate::manifest::gateway_api::matching::Match;
use crate::manifest::kubernetes::service::Service;
use crate::manifest::linkerd::authorization::POLICY;
use crate::manifest::linkerd::outbound::Asked;
use crate::manifest::linkerd::routed;
use crate::manifest::linkerd::routes::RouteOf;
use crate::manifest::linkerd::traffic::{Retry, Timeouts};
use crate::manifest::node::Node;
use crate::manifest::reader::Word;
use crate::manifest::source::At;

/// A rule with all that is needed to write it.
pub(super) struct Written<'a> {
    /// Who asks.
    pub(super) asked: &'a Asked<'a>,
    /// The route.
    pub(super) of: &'a RouteOf,
    /// The rule.
    pub(super) rule: &'a Rule,
    /// What says it in the YAML.
    pub(super) node: Option<&'a Node>,
    /// The Service that the route is bound to.
    pub(super) service: &'a Service,
    /// What it is called in the scenario.
    pub(super) own: &'a str,
}

impl Written<'_> {
    /// The route; none for a rule that no request fits.
    pub(super) fn table(&self, writer: &mut Writer<'_, '_>) -> Option<Table> {
        let mut table = Table::new();
        let matches = self.matches()?;
        match &matches[..] {
            all if all.iter().any(Table::is_empty) => {}
            [only] => {
                table.set("match", Value::from(only.clone()).at(self.rule.at));
            }
            many => {
                let all = many.iter().cloned().map(Value::from);
                table.set("match", Value::list(all).at(self.rule.at));
            }
        }
        let mut changes = Changes::default();
        self.filters(writer, &mut changes);
        let weights = match changes.ending {
            Some(_) => None,
            None => self.weights(writer, &mut changes),
        };
        if let Some(Ending { key, status, at }) = changes.ending {
            table.set(key, Value::integer(status).at(at));
            return Some(table);
        }
        table.set_some("weights", weights);
        table.set_some("timeouts", self.timeouts());
        table.set_some("retry", self.of.retry.as_ref().map(retry));
        table.set_some("headers", changes.headers_value());
        self.tell_rest(writer);
        Some(table)
    }

    // ---- matches ----

    fn matches(&self) -> Option<Vec<Table>> {
        let mut all = Vec::new();
        for one in &self.rule.matches {
            for path in paths(&one.path, true) {
                let mut table = match_table(Placed::of(self.node, one), path);
                if self.of.route.is_grpc {
                    table.set("method", Value::text("POST").at(one.at));
                }
                all.extend(self.for_hosts(one, &table));
            }
        }
        Some(all).filter(|all| !all.is_empty())
    }

    /// A match for each host that the route is for.
    fn for_hosts(&self, one: &Match, table: &Table) -> Vec<Table> {
        let hosts = &self.of.route.hostnames;
        if hosts.is_empty() {
            return vec![table.clone()];
        }
        let with_host = |host: &Word| {
            let mut table = table.clone();
            match host.text.strip_prefix('*').filter(|rest| rest.starts_with('.')) {
                Some(rest) => {
                    let mut header = Table::new();
                    header.set("name", Value::text("host").at(host.at));
                    header.set("suffix", Value::text(rest).at(host.at));
                    let known = table.get("header").map(|value| value.kind.clone());
                    let known = match known {
                        Some(Kind::List(known)) => known,
                        _ => Vec::new(),
                    };
                    let headers = known.into_iter().chain([header.into()]);
                    table.set("header", Value::list(headers).at(one.at));
                }
                None => {
                    table.set("authority", Value::text(self.host(&host.text)).at(host.at));
                }
            }
            table
        };
        hosts.iter().map(with_host).collect()
    }

    /// Clients of scenarios call a service by the scenario's name, whichever of its names they mean.
    fn host(&self, host: &str) -> String {
        let Service { namespace, name, .. } = self.service;
        let lower = host.trim_end_matches('.').to_ascii_lowercase();
        let short = format!("{name}.{namespace}");
        let is_own = lower == *name
            || lower == short
            || lower.strip_prefix(&short).is_some_and(|rest| rest.starts_with(".svc"));
        if is_own { self.own.to_owned() } else { lower }
    }

    // ---- what becomes of requests ----

    fn filters(&self, writer: &mut Writer<'_, '_>, changes: &mut Changes) {
        for filter in &self.rule.filters {
            match &filter.action {
                Action::RequestHeaders(own) => changes.headers(own, filter.at),
                // Linkerd takes those of its own kind for headers of requests.
                Action::ResponseHeaders(own) if self.of.group == POLICY => {
                    changes.headers(own, filter.at);
                }
                Action::ResponseHeaders(_) => {
                    let why = "headers of answers are not simulated";
                    let field = "filters.responseHeaderModifier";
                    writer.ignore_in(&self.of.route, field, filter.at, why);
                }
                Action::Redirect(redirect) => {
                    let why = "where a redirect leads: clients of scenarios do not follow it";
                    writer.ignore_in(&self.of.route, "filters.requestRedirect", filter.at, why);
                    let (status, at) = (redirect.status, filter.at);
                    changes.ending = Some(Ending { key: "redirect", status, at });
                }
                // Linkerd drops routes with these as a whole.
                Action::Rewrite { .. }
                | Action::Mirror(_)
                | Action::Cors(_)
                | Action::Extension(_) => {}
            }
        }
    }

    /// Weights of the backends; none for the Service itself.
    fn weights(&self, writer: &mut Writer<'_, '_>, changes: &mut Changes) -> Option<Value> {
        let backends = self.rule.backends.as_deref().unwrap_or(&[]);
        let first = backends.first()?.at;
        let target = |to| routed::target(self.asked, self.of, to, &self.service.namespace);
        let targets: Vec<_> = backends.iter().map(target).collect();
        if let Some(failure) = targets.iter().find_map(|target| target.failure.as_ref())
            && targets.iter().all(|target| target.failure.is_some() || target.weight == 0)
            && targets.iter().any(|target| target.failure.is_some() && 0 < target.weight)
        {
            let key = if failure.status < 400 { "redirect" } else { "direct_response" };
            changes.ending = Some(Ending { key, status: failure.status, at: first });
            return None;
        }
        let written = self.node.and_then(|node| node.get("backendRefs")).map(Node::items);
        let written = written.unwrap_or_default();
        let mut weights: Vec<(String, i64, At)> = Vec::new();
        for target in &targets {
            let named = writer.draft.names.service(&target.namespace, &target.service);
            let key = match named.filter(|_| target.failure.is_none()) {
                Some(name) => name.to_owned(),
                None => missing_name(writer.draft, self.own, &target.service),
            };
            if targets.len() == 1 {
                changes.headers(&target.changes, target.at);
            } else if !target.changes.is_empty() {
                let why = "a filter for the share of one of several backends";
                writer.ignore_in(&self.of.route, "backendRefs.filters", target.at, why);
            }
            let weight = i64::try_from(target.weight).unwrap_or(i64::MAX);
            match weights.iter_mut().find(|(known, ..)| *known == key) {
                Some((_, sum, _)) => *sum += weight,
                None => weights.push((key, weight, weight_at(written, target.at))),
            }
        }
        if let [(only, ..)] = &weights[..]
            && only == self.own
        {
            return None;
        }
        let mut table = Table::new();
        for (key, weight, at) in weights {
            table.set(key, Value::integer(weight).at(at));
        }
        Some(Value::from(table).at(first))
    }

    /// Annotations of the route; of Linkerd's own kind the field, too. Else the Service's hold.
    fn timeouts(&self) -> Option<Value> {
        let mut own: Timeouts = self.of.timeouts.clone();
        let mut place = own.at;
        if self.of.group == POLICY && own.request_ns.is_none() {
            if own.is_empty() {
                let field = at(self.node, &["timeouts", "request"]);
                place = field.unwrap_or(self.rule.at);
            }
            own.request_ns = self.rule.request_timeout_ns.filter(|ns| *ns != 0);
        }
        let parts =
            [("request", own.request_ns), ("response", own.response_ns), ("idle", own.idle_ns)];
        let mut table = Table::new();
        for (key, ns) in parts {
            table.set_some(key, ns.map(|ns| Value::duration(ns).at(place)));
        }
        Some(table).filter(|table| !table.is_empty()).map(|table| Value::from(table).at(place))
    }

    /// What the rule says and Linkerd does not do.
    fn tell_rest(&self, writer: &mut Writer<'_, '_>) {
        let Self { of, rule, .. } = self;
        if of.group != POLICY && rule.request_timeout_ns.is_some() {
            let why = "Linkerd does not look at it: it takes timeout.linkerd.io/request";
            writer.ignore_in(&of.route, "timeouts.request", rule.at, why);
        }
        if rule.backend_timeout_ns.is_some() {
            let why = "Linkerd does not look at it";
            writer.ignore_in(&of.route, "timeouts.backendRequest", rule.at, why);
        }
        if let Some(retry) = &rule.retry {
            let why = "Linkerd does not look at it: it takes retry.linkerd.io/http";
            writer.ignore_in(&of.route, "retry", retry.at, why);
        }
    }
}

/// The table `retry` of annotations.
fn retry(own: &Retry) -> Value {
    let mut table = Table::new();
    let range = |(first, last): &(u16, u16)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    let statuses: Vec<String> = own.statuses.iter().map(range).collect();
    let codes = own.grpc_codes.iter().filter_map(|code| grpc_word(*code));
    let codes: Vec<&str> = codes.collect();
    for (key, words) in [("http", statuses.join(",")), ("grpc", codes.join(","))] {
        if !words.is_empty() {
            table.set(key, Value::text(words).at(own.at));
        }
    }
    table.set("limit", Value::integer(own.limit).at(own.at));
    table.set_some("timeout", own.timeout_ns.map(|ns| Value::duration(ns).at(own.at)));
    Value::from(table).at(own.at)
}

fn grpc_word(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "cancelled",
        4 => "deadline-exceeded",
        8 => "resource-exhausted",
        13 => "internal",
        14 => "unavailable",
        _ => return None,
    })
}
