//! What a matched rule does with a request: filters, backends with shares, timeouts, retries.
//!
//! Source: Gateway API `HTTPRouteRule` (filters, backendRefs, timeouts, retry); "if all entries of
//! backendRefs are invalid and there are no filters, 500"; an unresolved extension filter answers 500.
//! Left out: the order of filters is the implementation's; here they act in the order of the manifest.

use crate::manifest::gateway_api::backend::{BackendRef, Broken, Referrer};
use crate::manifest::gateway_api::cors;
use crate::manifest::gateway_api::filter::{Action, Filter, MirrorTo};
use crate::manifest::gateway_api::http::{HttpRoute, Rule};
use crate::manifest::gateway_api::matching::Match;
use crate::manifest::gateway_api::resolve::Rules;
use crate::manifest::gateway_api::{attach, table::Entry};
use crate::manifest::kubernetes::service::Protocol;
use crate::manifest::route::apply;
use crate::manifest::route::request::{HeaderChanges, Request};
use crate::manifest::route::{Destination, Direct, Mirror, Retries, Route, RuleName};

/// Retries if a rule wants some but does not say how many: Envoy's default `num_retries`.
const ATTEMPTS_DEFAULT: u32 = 1;

/// What one row of filters does.
#[derive(Default)]
struct Filtered {
    request: Request,
    response_headers: HeaderChanges,
    direct: Option<Direct>,
    mirrors: Vec<Mirror>,
}

/// The answer of a rule that matched; `parent` is the service that a mesh route is bound to.
pub fn of(
    rules: &Rules<'_>,
    entry: &Entry,
    request: &Request,
    listener_port: u16,
    parent: Option<&BackendRef>,
) -> Route {
    let (route, rule, matching) = entry.of(rules.api);
    let is_mesh = parent.is_some();
    let from = Referrer { kind: route.kind(), namespace: &route.namespace, is_mesh };
    let asked = Asked { rules, from, matching, listener_port };
    let mut answer = Route { rule: Some(name(rules, entry, route, rule)), ..Route::default() };
    if let Some(preflight) = cors::preflight(&rule.filters, request) {
        answer.direct = Some(preflight);
        return answer.because("a CORS preflight is answered by the proxy itself");
    }
    let filtered = asked.filter(&rule.filters, request.clone(), 1.0);
    answer.response_headers = filtered.response_headers;
    answer.mirrors = filtered.mirrors;
    answer.timeout_ns = rule.request_timeout_ns.filter(|ns| *ns > 0);
    answer.per_try_timeout_ns = rule.backend_timeout_ns.filter(|ns| *ns > 0);
    answer.retries = rule.retry.as_ref().map(|retry| Retries {
        attempts: retry.attempts.unwrap_or(ATTEMPTS_DEFAULT),
        codes: retry.codes.clone(),
        on: vec!["connect-failure".into(), "reset".into()],
        backoff_ns: retry.backoff_ns,
        place: rules.sources.short(retry.at),
    });
    if filtered.direct.is_some() {
        answer.direct = filtered.direct;
        return answer;
    }
    asked.backends(&mut answer, rule, &filtered.request, parent);
    answer
}

fn name(rules: &Rules<'_>, entry: &Entry, route: &HttpRoute, rule: &Rule) -> RuleName {
    let place = rules.sources.place(rule.matches[entry.matching].at);
    let host = Some(&entry.hostname).filter(|host| !host.is_empty());
    let host = host.map_or(String::new(), |host| format!("host {host}, "));
    RuleName {
        object: route.title(),
        rule: rule.title(entry.rule),
        matches: format!("{host}{}", rule.matches[entry.matching]),
        file: place.file,
        line: place.line,
    }
}

struct Asked<'a> {
    rules: &'a Rules<'a>,
    from: Referrer<'a>,
    matching: &'a Match,
    listener_port: u16,
}

impl Asked<'_> {
    fn filter(&self, filters: &[Filter], request: Request, share: f64) -> Filtered {
        let mut done = Filtered { request, ..Filtered::default() };
        let original = done.request.clone();
        for filter in filters {
            match &filter.action {
                Action::RequestHeaders(changes) => done.request.headers.change(changes),
                Action::ResponseHeaders(changes) => done.response_headers.then(changes),
                Action::Redirect(redirect) => {
                    let matched = self.matching.matched_prefix();
                    done.direct = Some(redirect.answer(&original, matched, self.listener_port));
                }
                Action::Rewrite { host, path } => {
                    if let Some(host) = host {
                        done.request.authority.clone_from(host);
                    }
                    if let Some(change) = path {
                        let matched = self.matching.matched_prefix();
                        done.request.path = apply::changed_path(&original.path, matched, change);
                    }
                }
                Action::Mirror(mirror) => done.mirrors.extend(self.mirror(mirror, share)),
                Action::Cors(rule) => done.response_headers.then(&cors::changes(rule, &original)),
                Action::Extension(name) => {
                    let reason = format!("the filter {name} cannot be resolved");
                    done.direct = Some(Direct::new(500, "", reason));
                }
            }
        }
        done
    }

    /// A copy goes to one backend; if that is invalid, there is none.
    fn mirror(&self, mirror: &MirrorTo, share: f64) -> Option<Mirror> {
        let to = &mirror.backend;
        to.resolve(self.rules.cluster, &self.rules.api.grants, self.from).ok()?;
        let (numerator, denominator) = mirror.part;
        let part = (f64::from(numerator) / f64::from(denominator)).min(1.0);
        Some(Mirror {
            share: share * part,
            namespace: to.namespace.clone(),
            service: to.name.clone(),
            port: to.port.unwrap_or(0),
            subset: None,
            place: self.rules.sources.short(to.at),
        })
    }

    fn backends(
        &self,
        answer: &mut Route,
        rule: &Rule,
        request: &Request,
        parent: Option<&BackendRef>,
    ) {
        let written: &[BackendRef] = rule.backends.as_deref().unwrap_or(&[]);
        let own = parent.filter(|_| self.rules.differences.empty_forwards_to_parent);
        let own = own.filter(|_| written.is_empty());
        let backends = own.map_or(written, std::slice::from_ref);
        if backends.is_empty() {
            answer.direct = Some(Direct::new(500, "", "the rule has no backends"));
            return;
        }
        answer.destinations = backends.iter().map(|to| self.destination(to, request)).collect();
        answer.share_by_weight();
        if backends.iter().all(|backend| backend.weight == 0) {
            let status = self.rules.differences.zero_weights_status;
            answer.direct = Some(Direct::new(status, "", "all backends have the weight 0"));
            return;
        }
        for (to, backend) in answer.destinations.iter_mut().zip(backends) {
            let filtered = self.filter(&backend.filters, request.clone(), to.share);
            answer.mirrors.extend(filtered.mirrors);
            to.request = filtered.request;
            to.response_headers = filtered.response_headers;
            to.failure = to.failure.take().or(filtered.direct);
        }
    }

    fn destination(&self, to: &BackendRef, request: &Request) -> Destination {
        let mut destination = Destination {
            weight: to.weight,
            namespace: to.namespace.clone(),
            service: to.name.clone(),
            port: to.port.unwrap_or(0),
            request: request.clone(),
            place: self.rules.sources.short(to.at),
            ..Destination::default()
        };
        let Rules { cluster, api, .. } = self.rules;
        match to.resolve(cluster, &api.grants, self.from) {
            Err(broken) => {
                let flag = if broken == Broken::BackendNotFound { "NC" } else { "" };
                let reason = format!("{}: {}", broken.word(), attach::told(broken));
                destination.failure = Some(Direct::new(500, flag, reason));
            }
            Ok(None) => destination.namespace.clear(),
            Ok(Some(found)) => {
                let workloads = cluster.workloads_of(found.service);
                destination.workloads =
                    workloads.iter().map(|workload| workload.name.clone()).collect();
                protocol(found.port.protocol, self.from.kind).clone_into(&mut destination.protocol);
                if api.has_backend_tls(&to.namespace, &to.name, &found.port.name) {
                    "tls".clone_into(&mut destination.protocol);
                }
                if found.is_empty(cluster) {
                    let reason = "the service has no endpoints";
                    destination.failure = Some(Direct::new(503, "UH", reason));
                }
            }
        }
        destination
    }
}

/// What is spoken to a backend: gRPC needs HTTP/2 in any case.
pub fn protocol(protocol: Protocol, kind: &str) -> &'static str {
    match protocol {
        Protocol::Http2 | Protocol::Grpc => "http2",
        Protocol::WebSocket => "websocket",
        Protocol::Tls => "tls",
        _ if kind == "GRPCRoute" => "http2",
        _ => "http1",
    }
}
