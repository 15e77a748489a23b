//! What a rule of an HTTP or gRPC route does with a request.
//!
//! Source: linkerd2 `policy-controller/k8s/index/src/outbound/index/http.rs` (`convert_linkerd_rule`
//! takes `timeouts.request`, `convert_gateway_rule` takes neither timeouts nor retries; a response
//! header filter of the policy kind is built as a request header filter),
//! `policy-controller/grpc/src/outbound/http.rs` (annotations of the route replace the Service's as a
//! set; retries wait 25 to 250 ms).
//! Left out: filters of a rule in an order other than headers before redirect.

use crate::manifest::gateway_api::backend::BackendRef;
use crate::manifest::gateway_api::filter::{Action, Filter};
use crate::manifest::gateway_api::http::Rule;
use crate::manifest::kubernetes::service::{Port, Service};
use crate::manifest::linkerd::authorization::POLICY;
use crate::manifest::linkerd::matching::Taken;
use crate::manifest::linkerd::outbound::Asked;
use crate::manifest::linkerd::routes::{self, RouteOf};
use crate::manifest::linkerd::share::{self, Target};
use crate::manifest::linkerd::traffic::{Retry, Timeouts};
use crate::manifest::route::request::{HeaderChanges, Request};
use crate::manifest::route::{Direct, Retries, Route};

/// Shortest wait between two tries, in nanoseconds.
const BACKOFF_NS: u64 = 25_000_000;

/// What the rule that takes a request does.
pub fn by_rule(asked: &Asked<'_>, taken: Taken<'_>, service: &Service, port: &Port) -> Route {
    let rule = &taken.route.route.rules[taken.rule];
    let (changes, response, redirect) = changes(taken, rule, asked.request);
    let mut request = asked.request.clone();
    request.headers.change(&changes);
    let mut route = if redirect.is_some() {
        Route { direct: redirect, ..Route::default() }
    } else {
        let targets = targets(asked, taken.route, rule, service, port);
        share::split(asked, &targets, &request)
    };
    let matches = rule.matches[taken.matched].to_string();
    let title = taken.route.title();
    route.rule = Some(share::rule_name(asked, title, rule.title(taken.rule), matches, rule.at));
    route.response_headers = response;
    policies(asked, taken.route, rule, service, &mut route);
    if taken.route.route.namespace != service.namespace {
        let namespace = &taken.route.route.namespace;
        route.why.push(format!("a consumer route: only clients in {namespace} have it"));
    }
    if rule.backends.as_ref().is_none_or(Vec::is_empty) {
        route.why.push("the rule names no backend: the Service itself is meant".to_owned());
    }
    notes(taken.route, rule, &mut route);
    route
}

/// Header changes of requests and answers, and the redirect if the rule is one.
fn changes(
    taken: Taken<'_>,
    rule: &Rule,
    request: &Request,
) -> (HeaderChanges, HeaderChanges, Option<Direct>) {
    let (mut to, mut back, mut redirect) =
        (HeaderChanges::default(), HeaderChanges::default(), None);
    for filter in &rule.filters {
        match &filter.action {
            Action::RequestHeaders(changes) => to.then(changes),
            Action::ResponseHeaders(changes) if taken.route.group == POLICY => to.then(changes),
            Action::ResponseHeaders(changes) => back.then(changes),
            Action::Redirect(found) => {
                let matched = rule.matches[taken.matched].matched_prefix();
                redirect = Some(found.answer(request, matched, request.port));
            }
            Action::Rewrite { .. } | Action::Mirror(_) | Action::Cors(_) | Action::Extension(_) => {
            }
        }
    }
    (to, back, redirect)
}

fn targets(
    asked: &Asked<'_>,
    route: &RouteOf,
    rule: &Rule,
    service: &Service,
    port: &Port,
) -> Vec<Target> {
    let backends = rule.backends.iter().flatten();
    let targets: Vec<Target> =
        backends.map(|backend| target(asked, route, backend, &service.namespace)).collect();
    if targets.is_empty() {
        return vec![Target::to(service, port.number, 1, rule.at)];
    }
    targets
}

/// A backend; `parent` is the namespace of what the route is bound to.
pub fn target(asked: &Asked<'_>, route: &RouteOf, backend: &BackendRef, parent: &str) -> Target {
    let namespace = route.backend_namespace(&backend.namespace, backend.at, parent);
    let port = backend.port.unwrap_or(0);
    let weight = u64::from(backend.weight);
    let mut target = Target::named(namespace, &backend.name, port, weight, backend.at);
    let fails = |why: String| Some(Direct::new(500, "", why));
    let is_core = backend.group.is_empty() || backend.group.eq_ignore_ascii_case("core");
    if !is_core || !backend.kind.eq_ignore_ascii_case("Service") {
        target.failure =
            fails(format!("unsupported backend type {} {}", backend.group, backend.kind));
    } else if backend.port.is_none() {
        target.failure = fails(format!("missing port for backend Service {}", backend.name));
    } else if asked.cluster.service(namespace, &backend.name).is_none() {
        target.failure = fails(format!("Service not found {namespace}/{}", backend.name));
    }
    for filter in &backend.filters {
        apply_to(filter, &mut target);
    }
    target
}

fn apply_to(filter: &Filter, target: &mut Target) {
    match &filter.action {
        Action::RequestHeaders(changes) => target.changes.then(changes),
        Action::ResponseHeaders(changes) => target.response.then(changes),
        Action::Redirect(redirect) => {
            let why = "the backend's filter answers with a redirect";
            target.failure = Some(Direct::new(redirect.status, "", why));
        }
        Action::Rewrite { .. } | Action::Mirror(_) | Action::Cors(_) | Action::Extension(_) => {
            let word = routes::unsupported(filter).unwrap_or("");
            target.failure =
                Some(Direct::new(500, "", format!("unsupported backend filter {word}")));
        }
    }
}

/// Timeouts and retries: the route's, or else the Service's; each as a set.
fn policies(asked: &Asked<'_>, of: &RouteOf, rule: &Rule, service: &Service, route: &mut Route) {
    let key = (service.namespace.clone(), service.name.clone());
    let own = asked.linkerd.services.get(&key);
    let mut timeouts = of.timeouts.clone();
    if of.group == POLICY && timeouts.request_ns.is_none() {
        timeouts.request_ns = rule.request_timeout_ns.filter(|timeout| *timeout != 0);
    }
    if timeouts.is_empty()
        && let Some(own) = own
    {
        timeouts = own.timeouts.clone();
    }
    apply_timeouts(asked, &timeouts, route);
    let default = own.and_then(|own| {
        if of.route.is_grpc { own.grpc_retry.as_ref() } else { own.http_retry.as_ref() }
    });
    apply_retry(asked, of.retry.as_ref().or(default), route);
}

/// Sets timeouts of an answer.
pub fn apply_timeouts(asked: &Asked<'_>, timeouts: &Timeouts, route: &mut Route) {
    let timeouts = timeouts.effective();
    route.timeout_ns = timeouts.request_ns;
    let place = asked.place(timeouts.at);
    if let Some(limit) = timeouts.response_ns {
        let limit = crate::manifest::route::text::duration(limit);
        route
            .notes
            .push(format!("the answer must begin within {limit} of the request's end ({place})"));
    }
    if let Some(limit) = timeouts.idle_ns {
        let limit = crate::manifest::route::text::duration(limit);
        route.notes.push(format!("a stream that is idle for {limit} ends ({place})"));
    }
}

/// Sets retries of an answer.
pub fn apply_retry(asked: &Asked<'_>, retry: Option<&Retry>, route: &mut Route) {
    let Some(retry) = retry else { return };
    route.per_try_timeout_ns = retry.timeout_ns;
    let range = |(first, last): &(u16, u16)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    let mut on: Vec<String> = retry.statuses.iter().map(range).collect();
    on.extend(retry.grpc_codes.iter().map(|code| format!("grpc {code}")));
    route.retries = Some(Retries {
        attempts: u32::from(retry.limit),
        codes: Vec::new(),
        on,
        backoff_ns: Some(BACKOFF_NS),
        place: asked.place(retry.at),
    });
    if retry.timeout_ns.is_some() {
        route.notes.push("the last try has no timeout of its own".to_owned());
    }
}

/// What the rule says and Linkerd does not do.
fn notes(of: &RouteOf, rule: &Rule, route: &mut Route) {
    let is_gateway = of.group != POLICY;
    if is_gateway && rule.request_timeout_ns.is_some() {
        let told = "Linkerd ignores `timeouts` of the Gateway API's routes: annotate \
                    timeout.linkerd.io/request";
        route.notes.push(told.to_owned());
    }
    if rule.backend_timeout_ns.is_some() {
        route.notes.push("Linkerd ignores `timeouts.backendRequest`".to_owned());
    }
    if rule.retry.is_some() {
        route.notes.push("Linkerd ignores `retry`: annotate retry.linkerd.io/http".to_owned());
    }
    let answers = rule.filters.iter().any(|f| matches!(f.action, Action::ResponseHeaders(_)));
    if !is_gateway && answers {
        let told = "Linkerd applies ResponseHeaderModifier of policy.linkerd.io routes to requests";
        route.notes.push(told.to_owned());
    }
}
