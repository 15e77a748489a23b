//! A rule of the Gateway API as `[[service.route]]`s.
//!
//! A rule is one route, or several where a better rule's match stands between its matches, or where a
//! prefix is rewritten (the path itself and what is below it are rewritten differently). Proxies of
//! scenarios take a prefix by its letters, so that `/v2` is the path `/v2` and the prefix `/v2/`;
//! Linkerd's take it by path elements. Requests that no route takes get 404, as the API demands.
//! Source: Gateway API `HTTPRouteRule`, GEP-1731 (retries), GEP-2257 (timeouts), GEP-1742 (both timeouts).
//! Left out: told as ignored, headers of answers; where redirects lead; filters of one of several
//! backends; 500 for a part of the requests (503 NC, but in Linkerd); an extension's filters answer 500.

use super::Draft;
use super::gateway_api::is_named;
use super::gateway_api_filters::{Changes, Ending};
use super::gateway_api_match::{Piece, Placed, at, pieces};
use super::value::{Table, Value};
use crate::manifest::gateway_api::backend::{BackendRef, Broken, Referrer};
use crate::manifest::gateway_api::http::{HttpRoute, Retry, Rule};
use crate::manifest::gateway_api::table::Entry;
use crate::manifest::kinds::GATEWAY_API;
use crate::manifest::meshes::Mesh;
use crate::manifest::node::Node;
use crate::manifest::object::Id;
use crate::manifest::source::At;
use std::collections::{BTreeMap, BTreeSet};

/// Retries if a rule wants some but does not say how many: Envoy's default `num_retries`.
const ATTEMPTS_DEFAULT: u32 = 1;

/// What all rules of a draft are written with.
pub(super) struct Writer<'d, 'l> {
    /// The draft.
    pub(super) draft: &'d mut Draft<'l>,
    /// What was told as ignored, so that a rule of several hosts tells it once.
    told: BTreeSet<(String, At)>,
    /// Nodes of all routes, by where their names are.
    nodes: BTreeMap<At, &'l Node>,
}

/// Whose routes are written.
#[derive(Clone, Copy)]
pub(super) struct Of<'a> {
    /// The service that they are of.
    pub(super) own: &'a str,
    /// Whether it is a service of the mesh, not a Gateway's host.
    pub(super) is_mesh: bool,
}

/// A rule with its route.
#[derive(Clone, Copy)]
pub(super) struct Ruled<'a> {
    /// The route.
    pub(super) route: &'a HttpRoute,
    /// The rule.
    pub(super) rule: &'a Rule,
    /// What says it in the YAML.
    pub(super) node: Option<&'a Node>,
}

impl Ruled<'_> {
    /// The place of a field of the rule, or of the rule.
    fn at(&self, path: &[&str]) -> At {
        at(self.node, path).unwrap_or(self.rule.at)
    }

    /// The place of a backend's weight, or of its name.
    fn weight_at(&self, to: &BackendRef) -> At {
        let all = self.node.and_then(|node| node.get("backendRefs")).map(Node::items);
        weight_at(all.unwrap_or_default(), to.at)
    }
}

/// The place of the weight of the backend whose name is there.
pub(super) fn weight_at(backends: &[Node], name_at: At) -> At {
    let named = backends.iter().find(|node| at(Some(node), &["name"]) == Some(name_at));
    at(named, &["weight"]).unwrap_or(name_at)
}

impl<'d, 'l> Writer<'d, 'l> {
    /// A writer that has told nothing yet.
    pub(super) fn new(draft: &'d mut Draft<'l>) -> Self {
        let objects = draft.loaded.manifests.objects.iter();
        let routes = objects.filter(|object| object.id.kind.ends_with("Route"));
        let nodes = routes.map(|object| (object.name_at, &object.node)).collect();
        Self { draft, told: BTreeSet::new(), nodes }
    }

    /// The node of a rule.
    pub(super) fn node(&self, route: &HttpRoute, rule: &Rule) -> Option<&'l Node> {
        let node: &'l Node = self.nodes.get(&route.at)?;
        let rules = node.get("spec")?.get("rules")?.items();
        rules.iter().find(|node| node.at == rule.at)
    }

    /// Tells once what of a place is not simulated.
    pub(super) fn ignore(&mut self, field: &str, at: At, why: &str) {
        if self.told.insert((field.to_owned(), at)) {
            self.draft.ignore(field, at, why);
        }
    }

    /// The same of a field of a rule.
    pub(super) fn ignore_in(&mut self, route: &HttpRoute, path: &str, at: At, why: &str) {
        self.ignore(&format!("{}.spec.rules.{path}", route.kind()), at, why);
    }

    /// Notes that an object left something in the draft.
    pub(super) fn uses(&mut self, group: &str, kind: &str, namespace: &str, name: &str) {
        let [group, kind, namespace, name] = [group, kind, namespace, name].map(str::to_owned);
        self.draft.used(&Id { group, kind, namespace, name });
    }

    /// Whether Linkerd's proxies play the scenario.
    pub(super) fn is_linkerd(&self) -> bool {
        self.draft.mesh == Mesh::Linkerd
    }

    /// The routes of sorted matches; matches of one rule that follow each other are one route.
    pub(super) fn routes(&mut self, of: Of<'_>, entries: &[&Entry]) -> Vec<Table> {
        let loaded = self.draft.loaded;
        let same = |a: &&Entry, b: &&Entry| (a.route, a.rule) == (b.route, b.rule);
        let mut names = Names::default();
        let mut routes = Vec::new();
        for group in entries.chunk_by(same) {
            let (route, rule, _) = group[0].of(&loaded.gateway_api);
            let node = self.node(route, rule);
            let placed = |entry: &&Entry| Placed::of(node, entry.of(&loaded.gateway_api).2);
            let matches: Vec<Placed<'_>> = group.iter().map(placed).collect();
            let name = Names::base(route, group[0].rule);
            self.uses(GATEWAY_API, route.kind(), &route.namespace, &route.name);
            for table in self.rule(of, Ruled { route, rule, node }, &matches) {
                routes.push(names.named(&name, rule.at, &table));
            }
        }
        routes
    }

    /// A rule's routes, without their names.
    fn rule(&mut self, of: Of<'_>, ruled: Ruled<'_>, matches: &[Placed<'_>]) -> Vec<Table> {
        let mut changes = Changes::default();
        self.filters(of, ruled, &ruled.rule.filters, 1.0, &mut changes);
        let weights = match changes.ending {
            Some(_) => None,
            None => self.backends(of, ruled, &mut changes),
        };
        let path = changes.path.as_ref().filter(|_| changes.ending.is_none());
        let (pieces, is_whole) = pieces(matches, path.map(|(path, _)| path), self.is_linkerd());
        if !is_whole && let Some((_, at)) = path {
            let why = "a prefix can be rewritten only where one is matched";
            self.ignore_in(ruled.route, "filters.urlRewrite.path", *at, why);
        }
        pieces.iter().map(|piece| self.piece(ruled, piece, &changes, weights.as_ref())).collect()
    }

    fn piece(
        &mut self,
        ruled: Ruled<'_>,
        piece: &Piece,
        changes: &Changes,
        weights: Option<&Value>,
    ) -> Table {
        let Ruled { route, rule, .. } = ruled;
        let mut table = Table::new();
        table.set_some("match", piece.value());
        if let Some(Ending { key, status, at }) = changes.ending {
            table.set(key, Value::integer(status).at(at));
            return table;
        }
        table.set_some("weights", weights.cloned());
        let at = ruled.at(&["timeouts", "request"]);
        table.set_some("timeout", rule.request_timeout_ns.map(|ns| Value::duration(ns).at(at)));
        if let Some(retries) = retries(ruled) {
            if self.is_linkerd() {
                let why = "gateways have no retries in a mesh of Linkerd";
                let at = rule.retry.as_ref().map_or(rule.at, |retry| retry.at);
                self.ignore_in(route, "retry", at, why);
            } else {
                table.set("retries", retries);
            }
        }
        if !changes.mirrors.is_empty() {
            table.set("mirror", Value::list(changes.mirrors.iter().cloned()));
        }
        let mut rewrite = Table::new();
        if let (Some((key, text)), Some((_, at))) = (&piece.rewrite, &changes.path) {
            rewrite.set(*key, Value::text(text.as_str()).at(*at));
        }
        if let Some((host, at)) = &changes.host {
            rewrite.set("authority", Value::text(host.as_str()).at(*at));
        }
        if !rewrite.is_empty() {
            table.set("rewrite", rewrite);
        }
        table.set_some("headers", changes.headers_value());
        table
    }

    // ---- backends ----

    /// The weights of a rule, or how it ends without a backend. The whole service needs no weights.
    fn backends(&mut self, of: Of<'_>, ruled: Ruled<'_>, changes: &mut Changes) -> Option<Value> {
        let loaded = self.draft.loaded;
        let Ruled { route, rule, .. } = ruled;
        let written = rule.backends.as_deref().unwrap_or(&[]);
        let live: Vec<&BackendRef> = written.iter().filter(|to| 0 < to.weight).collect();
        let fails = |at: At| Some(Ending { key: "direct_response", status: 500, at });
        let first_at = written.first().map_or(rule.at, |to| to.at);
        let from =
            Referrer { kind: route.kind(), namespace: &route.namespace, is_mesh: of.is_mesh };
        let broken =
            |to: &BackendRef| to.resolve(&loaded.cluster, &loaded.gateway_api.grants, from).err();
        if live.iter().all(|to| broken(to).is_some()) {
            changes.ending = fails(first_at);
            return None;
        }
        let sum: f64 = live.iter().map(|to| f64::from(to.weight)).sum();
        if let [only] = live[..] {
            self.filters(of, ruled, &only.filters, 1.0, changes);
        } else {
            for to in &live {
                self.filters_of_one(of, ruled, to, f64::from(to.weight) / sum, changes);
            }
        }
        if changes.ending.is_some() {
            return None;
        }
        let mut weights: Vec<(String, i64, At)> = Vec::new();
        for to in written {
            let broken = broken(to);
            if broken.is_some() && to.weight == 0 {
                continue;
            }
            let key = self.destination(of, ruled, to, broken);
            match weights.iter_mut().find(|(known, ..)| *known == key) {
                Some((_, weight, _)) => *weight += i64::from(to.weight),
                None => weights.push((key, i64::from(to.weight), ruled.weight_at(to))),
            }
        }
        if let [(only, ..)] = &weights[..]
            && only == of.own
        {
            return None;
        }
        let mut table = Table::new();
        for (key, weight, at) in weights {
            table.set(key, Value::integer(weight).at(at));
        }
        Some(Value::from(table).at(first_at))
    }

    /// A backend's key in `weights`.
    fn destination(
        &mut self,
        of: Of<'_>,
        Ruled { route, .. }: Ruled<'_>,
        to: &BackendRef,
        broken: Option<Broken>,
    ) -> String {
        let named = self.draft.names.service(&to.namespace, &to.name).map(str::to_owned);
        if broken.is_some() {
            if !self.is_linkerd() {
                let why = "an invalid backend's share gets 503 NC, where the API says 500";
                self.ignore_in(route, "backendRefs", to.at, why);
            }
            return missing_name(self.draft, of.own, &to.name);
        }
        if to.namespace != route.namespace && !of.is_mesh {
            let grants = &self.draft.loaded.gateway_api.grants;
            for grant in grants.iter().filter(|grant| grant.namespace == to.namespace) {
                self.uses(GATEWAY_API, "ReferenceGrant", &grant.namespace, &grant.name);
            }
        }
        let name = named.unwrap_or_else(|| to.name.clone());
        if !self.draft.services.iter().any(|one| one.name == name) {
            let why = "a backend that no service of the scenario stands for: 503 NC";
            self.ignore_in(route, "backendRefs.name", to.at, why);
        }
        name
    }
}

/// A key that no service and no version of the service has: requests to it find no cluster.
pub(super) fn missing_name(draft: &Draft<'_>, own: &str, wanted: &str) -> String {
    let of_own = draft.services.iter().find(|one| one.name == own);
    let is_version = |name: &str| {
        of_own.is_some_and(|own| {
            let mut workloads = own.workloads.iter();
            let subset = |table: &Table| table.get("name") == Some(&Value::text(name));
            workloads.any(|one| one.version.as_deref() == Some(name))
                || own.subsets.iter().any(subset)
        })
    };
    let mut name = wanted.to_owned();
    while is_named(draft, &name) || is_version(&name) {
        name = format!("invalid.{name}");
    }
    name
}

fn retries(ruled: Ruled<'_>) -> Option<Table> {
    let rule = ruled.rule;
    let mut table = Table::new();
    if let Some(Retry { codes, attempts, backoff_ns, at }) = &rule.retry {
        let assumed = || {
            let why = "the implementation's choice; Envoy's default";
            Value::integer(ATTEMPTS_DEFAULT).assumed(why)
        };
        let told = |count: &u32| Value::integer(*count).at(ruled.at(&["retry", "attempts"]));
        let count = attempts.as_ref().map_or_else(assumed, told);
        table.set("attempts", count);
        let on = if codes.is_empty() { "" } else { ",retriable-status-codes" };
        table.set("on", Value::text(format!("connect-failure,reset{on}")).at(*at));
        if !codes.is_empty() {
            let at = ruled.at(&["retry", "codes"]);
            let codes = codes.iter().map(|code| Value::integer(*code).at(at));
            table.set("statuses", Value::list(codes).at(at));
        }
        let wait = backoff_ns.filter(|ns| 0 < *ns);
        let at = ruled.at(&["retry", "backoff"]);
        table.set_some("backoff_base", wait.map(|ns| Value::duration(ns).at(at)));
    }
    let limit = rule.backend_timeout_ns.filter(|ns| 0 < *ns);
    let at = ruled.at(&["timeouts", "backendRequest"]);
    table.set_some("per_try_timeout", limit.map(|ns| Value::duration(ns).at(at)));
    Some(table).filter(|table| !table.is_empty())
}

/// Names of routes: each is there once.
#[derive(Default)]
pub(super) struct Names {
    used: BTreeSet<String>,
}

impl Names {
    /// A rule's own name, or its route's.
    pub(super) fn base(route: &HttpRoute, index: usize) -> String {
        let rule = route.rules.get(index).and_then(|rule| rule.name.clone());
        match (rule, route.rules.len()) {
            (Some(name), _) => name,
            (None, 0 | 1) => route.name.clone(),
            (None, _) => format!("{}-{}", route.name, index + 1),
        }
    }

    /// The table with a name that none before it has.
    pub(super) fn named(&mut self, base: &str, at: At, table: &Table) -> Table {
        let mut name = base.to_owned();
        let mut number = 2;
        while !self.used.insert(name.clone()) {
            name = format!("{base}-{number}");
            number += 1;
        }
        let mut named = Table::new();
        named.set("name", Value::text(name).at(at));
        for (key, value) in table.iter() {
            named.set(key, value.clone());
        }
        named
    }
}
