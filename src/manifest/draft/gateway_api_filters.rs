//! Filters of the Gateway API: what a rule changes, copies, or answers itself.
//!
//! CORS is a filter of the whole gateway here: its rules hold for all hosts.
//! Source: Gateway API `HTTPRouteFilter`; docs/scenarios.md, `rewrite`, `headers`, `mirror` and `filter`.
//! Left out: told as ignored, headers of answers, where redirects lead, CORS of the mesh.

use super::gateway_api_rule::{Of, Ruled, Writer};
use super::value::{Table, Value};
use crate::manifest::gateway_api::backend::{BackendRef, Referrer};
use crate::manifest::gateway_api::filter::{Action, Cors, Filter, MirrorTo};
use crate::manifest::route::apply::PathChange;
use crate::manifest::route::request::HeaderChanges;
use crate::manifest::source::At;

/// What a rule's filters do.
#[derive(Default)]
pub(super) struct Changes {
    /// How it ends without a backend.
    pub(super) ending: Option<Ending>,
    /// Another path, and where it is written.
    pub(super) path: Option<(PathChange, At)>,
    /// Another host.
    pub(super) host: Option<(String, At)>,
    /// Tables of `mirror`.
    pub(super) mirrors: Vec<Value>,
    headers: HeaderChanges,
    headers_at: Option<At>,
}

/// An answer of the proxy itself.
#[derive(Clone, Copy)]
pub(super) struct Ending {
    /// `direct_response` or `redirect`.
    pub(super) key: &'static str,
    /// The status.
    pub(super) status: u16,
    /// Where it is written.
    pub(super) at: At,
}

impl Changes {
    /// Adds changes of headers.
    pub(super) fn headers(&mut self, changes: &HeaderChanges, at: At) {
        self.headers.then(changes);
        self.headers_at.get_or_insert(at);
    }

    /// The table `headers`, if there are any. The API removes last, proxies of scenarios first.
    pub(super) fn headers_value(&self) -> Option<Value> {
        let HeaderChanges { set, add, remove } = &self.headers;
        let at = self.headers_at?;
        let mut table = Table::new();
        let mut removed: Vec<String> = Vec::new();
        for name in remove.iter().map(|name| name.to_ascii_lowercase()) {
            if !is_host(&name) && !removed.contains(&name) {
                removed.push(name);
            }
        }
        if !removed.is_empty() {
            let names = removed.iter().map(|name| Value::text(name.as_str()).at(at));
            table.set("remove", Value::list(names).at(at));
        }
        for (key, pairs) in [("set", set), ("add", add)] {
            for (name, value) in pairs {
                let name = name.to_ascii_lowercase();
                if is_host(&name) || removed.contains(&name) {
                    continue;
                }
                let value = Value::text(value.as_str()).at(at);
                table.below(key).set(name, value);
            }
        }
        Some(Value::from(table)).filter(|value| !is_empty(value))
    }
}

fn is_empty(value: &Value) -> bool {
    matches!(&value.kind, super::value::Kind::Table(table) if table.is_empty())
}

/// Proxies do not let routes change these.
fn is_host(name: &str) -> bool {
    name.is_empty() || name == "host" || name.starts_with(':')
}

impl Writer<'_, '_> {
    /// Adds what a row of filters does; `share` of the rule's requests pass it.
    pub(super) fn filters(
        &mut self,
        of: Of<'_>,
        ruled: Ruled<'_>,
        filters: &[Filter],
        share: f64,
        changes: &mut Changes,
    ) {
        let route = ruled.route;
        for Filter { action, at } in filters {
            let at = *at;
            match action {
                Action::RequestHeaders(own) => {
                    if own.set.iter().chain(&own.add).any(|(name, _)| is_host(name)) {
                        let why = "proxies do not let a filter change the host";
                        self.ignore_in(route, "filters.requestHeaderModifier.set", at, why);
                    }
                    changes.headers(own, at);
                }
                Action::ResponseHeaders(_) => {
                    let why = "headers of answers are not simulated";
                    self.ignore_in(route, "filters.responseHeaderModifier", at, why);
                }
                Action::Redirect(redirect) => {
                    let why = "where a redirect leads: clients of scenarios do not follow it";
                    self.ignore_in(route, "filters.requestRedirect", at, why);
                    changes.ending = Some(Ending { key: "redirect", status: redirect.status, at });
                }
                Action::Rewrite { host, path } => {
                    let host = host.as_ref().map(|host| (host.clone(), at));
                    let path = path.as_ref().map(|path| (path.clone(), at));
                    changes.host = host.or(changes.host.take());
                    changes.path = path.or(changes.path.take());
                }
                Action::Mirror(mirror) => {
                    let copied = self.mirror(of, ruled, mirror, share);
                    changes.mirrors.extend(copied);
                }
                Action::Cors(cors) => self.cors(of, ruled, cors, at),
                Action::Extension(_) => {
                    let why = "a filter that is the implementation's own cannot be resolved: 500";
                    self.ignore_in(route, "filters.extensionRef", at, why);
                    changes.ending = Some(Ending { key: "direct_response", status: 500, at });
                }
            }
        }
    }

    /// Filters of one of several backends: copies are a share of the rule's; nothing else can be said.
    pub(super) fn filters_of_one(
        &mut self,
        of: Of<'_>,
        ruled: Ruled<'_>,
        to: &BackendRef,
        share: f64,
        changes: &mut Changes,
    ) {
        for filter in &to.filters {
            if let Action::Mirror(mirror) = &filter.action {
                let copied = self.mirror(of, ruled, mirror, share);
                changes.mirrors.extend(copied);
            } else {
                let why = "a filter for the share of one of several backends";
                self.ignore_in(ruled.route, "backendRefs.filters", filter.at, why);
            }
        }
    }

    /// A copy goes to one backend; if that is invalid, there is none.
    fn mirror(
        &mut self,
        of: Of<'_>,
        Ruled { route, .. }: Ruled<'_>,
        mirror: &MirrorTo,
        share: f64,
    ) -> Option<Value> {
        let loaded = self.draft.loaded;
        let to = &mirror.backend;
        if self.is_linkerd() {
            let why = "gateways copy nothing in a mesh of Linkerd";
            self.ignore_in(route, "filters.requestMirror", to.at, why);
            return None;
        }
        let from =
            Referrer { kind: route.kind(), namespace: &route.namespace, is_mesh: of.is_mesh };
        let found = to.resolve(&loaded.cluster, &loaded.gateway_api.grants, from).ok().flatten();
        let named = found.and_then(|_| self.draft.names.service(&to.namespace, &to.name));
        let Some(named) = named.map(str::to_owned) else {
            let why = "the copies go to no service of the mesh: they are not made";
            self.ignore_in(route, "filters.requestMirror.backendRef", to.at, why);
            return None;
        };
        let (numerator, denominator) = mirror.part;
        let part = (f64::from(numerator) / f64::from(denominator)).min(1.0) * share;
        if part <= 0.0 {
            return None;
        }
        let mut table = Table::new();
        table.set("to", Value::text(named).at(to.at));
        if part < 1.0 {
            table.set("share", Value::text(percent(part)).at(to.at));
        }
        Some(table.into())
    }

    fn cors(&mut self, of: Of<'_>, Ruled { route, .. }: Ruled<'_>, cors: &Cors, at: At) {
        if of.is_mesh || self.is_linkerd() {
            let why = "preflights are answered by gateways only, and not in a mesh of Linkerd";
            self.ignore_in(route, "filters.cors", at, why);
            return;
        }
        let why = "it holds for all hosts of the gateway, and headers of answers are not simulated";
        self.ignore_in(route, "filters.cors", at, why);
        let origins = cors.origins.iter().map(|origin| Value::from(origin_table(origin, at)));
        let mut rules = Table::new();
        rules.set("allow_origin", Value::list(origins).at(at));
        let mut filter = Table::new();
        filter.set("at", Value::text("ingress"));
        filter.set("cors", Value::from(rules).at(at));
        if !self.draft.filters.contains(&filter) {
            self.draft.filters.push(filter);
        }
    }
}

/// An origin may have one `*`, for at least one letter.
fn origin_table(origin: &str, at: At) -> Table {
    let mut table = Table::new();
    let (key, text) = match origin.split_once('*') {
        Some((before, after)) if origin != "*" => {
            ("regex", format!("{}.+{}", regex::escape(before), regex::escape(after)))
        }
        _ => ("exact", origin.to_owned()),
    };
    table.set(key, Value::text(text).at(at));
    table
}

/// A share as text, without the noise of binary fractions.
fn percent(part: f64) -> String {
    let text = format!("{:.6}", part * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}
