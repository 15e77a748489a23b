//! A rule of a `VirtualService` as routes of a scenario.
//!
//! A rule is one route, or one for each of its conditions where its rewrite depends on what was matched.
//! Only what is written becomes a key: the profile has Istio's defaults.
//! Source: docs/scenarios.md (`route`); istio/istio `route/route.go`.
//! Left out: headers of answers, where redirects lead, bodies of direct responses, ports; faults but an abort of all
//! requests, which is an answer of the proxy's own; `corsPolicy`.

use super::Work;
use super::condition::{self, Arrival, path_key};
use super::destination::Target;
use crate::manifest::draft::value::{Table, Value};
use crate::manifest::istio::action::{HeaderChanges, Rewrite, Weighted};
use crate::manifest::istio::choose::Client;
use crate::manifest::istio::matching::HttpMatch;
use crate::manifest::istio::virtual_service::{HttpRoute, VirtualService};
use crate::manifest::source::At;

/// A share of all, in parts per million.
const ALL: u32 = 1_000_000;

/// Where a rule is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// Whose view it is.
    pub(super) client: &'a Client,
    /// The scenario's service that has the routes.
    pub(super) own: &'a str,
    /// Whether it is a gateway's.
    pub(super) is_gateway: bool,
    /// How requests arrive.
    pub(super) arrival: Arrival<'a>,
}

impl Work<'_, '_> {
    /// The routes of a rule under those of its conditions that count here.
    pub(super) fn routes_of(
        &mut self,
        frame: &Frame<'_>,
        service: &VirtualService,
        rule: &HttpRoute,
        conditions: &[Option<&HttpMatch>],
    ) -> Vec<Table> {
        let by_match = rule.rewrite.as_ref().is_some_and(|rewrite| rewrite.uri.is_some());
        let groups: Vec<&[Option<&HttpMatch>]> =
            if by_match { conditions.chunks(1).collect() } else { vec![conditions] };
        let mut routes: Vec<Table> = Vec::new();
        for group in groups {
            let Some(matches) = self.matches(frame, group) else { continue };
            let mut route = Table::new();
            if !rule.name.is_empty() && routes.is_empty() {
                let at = self.field(rule.at, &["name"]);
                route.set("name", Value::text(&*rule.name).at(at));
            }
            let found = group.first().copied().flatten();
            set_match(&mut route, matches, found, by_match);
            self.action(frame, service, rule, found, &mut route);
            routes.push(route);
        }
        routes
    }

    /// The alternatives of conditions; none if none of them ever holds, empty if one always does.
    fn matches(
        &mut self,
        frame: &Frame<'_>,
        conditions: &[Option<&HttpMatch>],
    ) -> Option<Vec<Value>> {
        let mut all = Vec::new();
        for found in conditions {
            let Some(found) = found else { return Some(Vec::new()) };
            let (tables, unsaid) = condition::alternatives(found, &frame.arrival, &self.places);
            for (field, at) in unsaid {
                let why = "no condition of a route says it: the rule never matches";
                self.draft.ignore(format!("VirtualService.spec.http.match.{field}"), at, why);
            }
            if tables.iter().any(Table::is_empty) {
                return Some(Vec::new());
            }
            all.extend(tables.into_iter().map(|table| Value::from(table).at(found.at)));
        }
        (!all.is_empty()).then_some(all)
    }

    /// What is done with requests.
    fn action(
        &mut self,
        frame: &Frame<'_>,
        service: &VirtualService,
        rule: &HttpRoute,
        found: Option<&HttpMatch>,
        route: &mut Table,
    ) {
        self.unsaid(frame, rule);
        if let Some(redirect) = &rule.redirect {
            let at = self.field(rule.at, &["redirect"]);
            let is_redirect = (300..400).contains(&redirect.code);
            let key = if is_redirect { "redirect" } else { "direct_response" };
            route.set(key, Value::integer(redirect.code).at(at));
            return;
        }
        if let Some(direct) = &rule.direct {
            let at = self.field(rule.at, &["directResponse", "status"]);
            route.set("direct_response", Value::integer(direct.status).at(at));
            return;
        }
        if self.aborts(frame, rule, route) {
            return;
        }
        self.weights(frame, service, rule, route);
        if let Some(timeout) = rule.timeout_ns {
            let at = self.field(rule.at, &["timeout"]);
            route.set("timeout", Value::duration(timeout).at(at));
        }
        if let Some(retries) = &rule.retries {
            let is_default = self.mesh.istio.mesh.retries.is_none();
            let table = self.retries(retries, is_default);
            route.set("retries", Value::from(table).at(retries.at));
        }
        self.mirror(frame, service, rule, route);
        if let Some(rewrite) = &rule.rewrite {
            let table = self.rewrite(rule, rewrite, found);
            if !table.is_empty() {
                route.set("rewrite", table);
            }
        }
        self.headers(rule, route);
    }

    /// What a rule says and a route does not.
    fn unsaid(&mut self, frame: &Frame<'_>, rule: &HttpRoute) {
        if rule.cors.is_some() && !(frame.is_gateway && self.at_ingress.cors) {
            let at = self.field(rule.at, &["corsPolicy"]);
            let why = "a scenario's cors filter is one for all requests of a proxy: \
                       [[filter]] at = \"ingress\" cors = { allow_origin = [ … ] }";
            self.draft.ignore("VirtualService.spec.http.corsPolicy", at, why);
        }
        let of_answers = |changes: &HeaderChanges| !changes.is_empty();
        let parts = rule.routes.iter().map(|to| &to.headers.response);
        if parts.chain([&rule.headers.response]).any(of_answers) {
            let at = self.field(rule.at, &["headers", "response"]);
            let why = "headers of answers do not decide anything here";
            self.draft.ignore("VirtualService.spec.http.headers.response", at, why);
        }
    }

    /// Whether all requests are aborted: an answer of the proxy's own. Other faults are named.
    fn aborts(&mut self, frame: &Frame<'_>, rule: &HttpRoute, route: &mut Table) -> bool {
        let Some(fault) = &rule.fault else { return false };
        if frame.is_gateway && self.at_ingress.fault {
            return false;
        }
        let hits = |share: u32| 0 < share;
        let delays = fault.delay.is_some_and(|(_, share)| hits(share));
        if let (Some((status, ALL)), false) = (fault.abort, delays) {
            let at = self.field(fault.at, &["abort", "httpStatus"]);
            route.set("direct_response", Value::integer(status).at(at));
            let why = "an abort of all requests is a direct response: the same status, without \
                       the flag FI";
            self.draft.ignore("VirtualService.spec.http.fault.abort", at, why);
            return true;
        }
        let why = "a fault of a share, or a delay, is one for all requests of a client's proxy in \
                   a scenario: [[filter]] at = CLIENT, direction = \"outbound\", fault = { … }";
        let aborts = fault.abort.map(|(_, share)| share);
        let aborts = aborts.or(fault.grpc_abort.as_ref().map(|(_, share)| *share));
        if delays || aborts.is_some_and(hits) {
            self.draft.ignore("VirtualService.spec.http.fault", fault.at, why);
        }
        false
    }

    fn weights(
        &mut self,
        frame: &Frame<'_>,
        service: &VirtualService,
        rule: &HttpRoute,
        route: &mut Table,
    ) {
        let single = rule.routes.len() == 1;
        let mut parts: Vec<(Target, u32, At)> = Vec::new();
        for to in rule.routes.iter().filter(|to| single || to.weight > 0) {
            let target = self.target_of(frame, service, &to.destination);
            let weight = if single { to.weight.max(1) } else { to.weight };
            let at = to.weight_at.filter(|_| !single).unwrap_or(deciding(to));
            match parts.iter_mut().find(|(known, ..)| known.key == target.key) {
                Some((_, sum, _)) => *sum = sum.saturating_add(weight),
                None => parts.push((target, weight, at)),
            }
        }
        if let [(target, ..)] = parts.as_slice()
            && target.is_own
        {
            return;
        }
        let mut weights = Table::new();
        for (target, weight, at) in &parts {
            let weight = if parts.len() == 1 { 1 } else { *weight };
            weights.set(&*target.key, Value::integer(weight).at(*at));
        }
        if weights.is_empty() {
            weights.set("no destination", Value::integer(1).at(rule.at));
        }
        route.set("weights", weights);
    }

    fn target_of(
        &mut self,
        frame: &Frame<'_>,
        service: &VirtualService,
        wanted: &crate::manifest::istio::action::Destination,
    ) -> Target {
        let namespace = &service.head.namespace;
        self.target(frame.client, frame.own, wanted, namespace, frame.arrival.port)
    }

    fn mirror(
        &mut self,
        frame: &Frame<'_>,
        service: &VirtualService,
        rule: &HttpRoute,
        route: &mut Table,
    ) {
        let mut copies = Vec::new();
        for mirror in &rule.mirrors {
            let target = self.target_of(frame, service, &mirror.destination);
            let at = mirror.destination.host.at;
            if !target.is_there {
                let why = "copies to what is not there are lost";
                self.draft.ignore("VirtualService.spec.http.mirror", at, why);
                continue;
            }
            let mut copy = Table::new();
            copy.set("to", Value::text(target.full).at(at));
            if mirror.share_ppm != ALL {
                copy.set("share", Value::text(percent(mirror.share_ppm)).at(at));
            }
            copies.push(Value::from(copy).at(at));
        }
        match copies.len() {
            0 => {}
            1 => {
                route.set("mirror", copies.remove(0));
            }
            _ => {
                route.set("mirror", Value::list(copies));
            }
        }
    }

    fn rewrite(&self, rule: &HttpRoute, rewrite: &Rewrite, found: Option<&HttpMatch>) -> Table {
        let field = |path: &[&str]| {
            let path: Vec<&str> = ["rewrite"].iter().chain(path).copied().collect();
            self.places.field(rule.at, &path)
        };
        let mut table = Table::new();
        if let Some(uri) = &rewrite.uri {
            let at = field(&["uri"]);
            let uri = if uri.starts_with('/') { uri.clone() } else { format!("/{uri}") };
            match found.map(path_key) {
                None | Some(Ok(None | Some(("prefix", _)))) => {
                    table.set("prefix", Value::text(uri).at(at));
                }
                // A prefix in letters of either case is found again.
                Some(Ok(Some(("regex", text)))) if is_prefix(found) => {
                    let start = format!("^{}", text.strip_suffix(".*").unwrap_or(&text));
                    table.set("regex", Value::text(start).at(at));
                    table.set("substitution", Value::text(uri.replace('\\', "\\\\")).at(at));
                }
                Some(_) => {
                    table.set("path", Value::text(uri).at(at));
                }
            }
        } else if let Some((pattern, new)) = &rewrite.regex {
            table.set("regex", Value::text(pattern).at(field(&["uriRegexRewrite", "match"])));
            let at = field(&["uriRegexRewrite", "rewrite"]);
            table.set("substitution", Value::text(new).at(at));
        }
        if let Some(authority) = &rewrite.authority {
            table.set("authority", Value::text(authority).at(field(&["authority"])));
        }
        table
    }

    fn headers(&mut self, rule: &HttpRoute, route: &mut Table) {
        let at = self.field(rule.at, &["headers", "request"]);
        let mut all = rule.headers.request.clone();
        match rule.routes.as_slice() {
            [one] => {
                let own = &one.headers.request;
                all.set.retain(|(name, _)| !own.set.iter().any(|(other, _)| name == other));
                all.set.extend(own.set.clone());
                all.add.extend(own.add.clone());
                all.remove.extend(own.remove.clone());
            }
            several => {
                if let Some(to) = several.iter().find(|to| !to.headers.request.is_empty()) {
                    let why = "headers of one of several destinations: a route has one set";
                    let field = "VirtualService.spec.http.route.headers";
                    self.draft.ignore(field, to.destination.at, why);
                }
            }
        }
        let is_host = |name: &str| name.eq_ignore_ascii_case("host") || name == ":authority";
        let is_plain = |name: &str| !name.starts_with(':') && !is_host(name);
        for (name, value) in all.set.iter().chain(&all.add) {
            if is_host(name) && !value.is_empty() {
                route.below("rewrite").set("authority", Value::text(value).at(at));
            }
        }
        let mut table = Table::new();
        let removed = all.remove.iter().filter(|name| is_plain(name));
        let removed: Vec<Value> = removed.map(|name| Value::text(name).at(at)).collect();
        if !removed.is_empty() {
            table.set("remove", Value::list(removed));
        }
        for (key, list) in [("set", &all.set), ("add", &all.add)] {
            for (name, value) in list.iter().filter(|(name, _)| is_plain(name)) {
                if value.is_empty() {
                    let why = "a header without a value: none is written";
                    self.draft.ignore("VirtualService.spec.http.headers.request", at, why);
                    continue;
                }
                table.below(key).set(&**name, Value::text(value).at(at));
            }
        }
        if !table.is_empty() {
            route.set("headers", Value::from(table).at(at));
        }
    }
}

fn is_prefix(found: Option<&HttpMatch>) -> bool {
    use crate::manifest::istio::matching::StringMatch;
    found.is_some_and(|found| matches!(found.uri, Some(StringMatch::Prefix(_))))
}

/// Parts per million as a share with its unit.
pub(super) fn percent(ppm: u32) -> String {
    format!("{}%", f64::from(ppm) / 1e4)
}

/// Writes the conditions; a prefix that is rewritten must be matched.
fn set_match(
    route: &mut Table,
    mut matches: Vec<Value>,
    found: Option<&HttpMatch>,
    is_rewritten: bool,
) {
    let has_path = found.is_some_and(|found| !matches!(path_key(found), Ok(None)));
    if is_rewritten && !has_path {
        if matches.is_empty() {
            matches.push(Table::new().into());
        }
        for value in &mut matches {
            if let crate::manifest::draft::value::Kind::Table(table) = &mut value.kind {
                table.set("prefix", Value::text("/"));
            }
        }
    }
    match matches.len() {
        0 => {}
        1 => {
            route.set("match", matches.remove(0));
        }
        _ => {
            route.set("match", Value::list(matches));
        }
    }
}

/// The place that says where a lone destination is.
fn deciding(to: &Weighted) -> At {
    to.destination.subset.as_ref().unwrap_or(&to.destination.host).at
}
