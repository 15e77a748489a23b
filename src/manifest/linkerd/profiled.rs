//! What a `ServiceProfile` does with a request, or a `TrafficSplit`, which becomes one.
//!
//! Source: linkerd2-proxy `linkerd/service-profiles`, `app/outbound/src/http/logical/profile.rs`
//! (targets of weight 0 are dropped; without targets the service itself); linkerd-smi adaptor (a
//! `TrafficSplit` is written into the service's `ServiceProfile`, whose routes stay).
//! Left out: retries of requests with bodies over 64 KiB (never tried again).

use crate::manifest::kubernetes::service::{Port, Service};
use crate::manifest::linkerd::outbound::Asked;
use crate::manifest::linkerd::profile::{Profile, ProfileRoute};
use crate::manifest::linkerd::routes::RouteOf;
use crate::manifest::linkerd::share::{self, Target};
use crate::manifest::route::text::percent;
use crate::manifest::route::{Retries, Route};
use crate::manifest::smi::split::TrafficSplit;
use crate::manifest::source::At;

/// The profile that counts, with the split that is written into it.
#[derive(Clone, Debug)]
pub struct Won<'a> {
    profile: Option<&'a Profile>,
    split: Option<&'a TrafficSplit>,
    /// Where requests go; empty if the service itself is meant.
    pub targets: Vec<Target>,
}

/// What wins over the routes of a service for this client, if anything does: a profile with routes,
/// or destinations with weights. The adaptor writes splits into the service's own namespace.
pub fn won<'a>(asked: &Asked<'a>, service: &Service, port: &Port) -> Option<Won<'a>> {
    let (namespace, name) = (service.namespace.as_str(), service.name.as_str());
    let profile = asked.linkerd.profile(&asked.caller.namespace, namespace, name);
    let profile = profile.filter(|profile| profile.broken.is_none());
    let split = asked.linkerd.smi.split_of(namespace, name);
    let split = split.filter(|_| profile.is_none_or(|profile| profile.namespace == namespace));
    let mut targets = match (split, profile) {
        (Some(split), _) => of_split(asked, split, port),
        (None, Some(profile)) => of_overrides(profile, port),
        (None, None) => return None,
    };
    targets.retain(|target| target.weight > 0);
    let has_routes = profile.is_some_and(|profile| !profile.routes.is_empty());
    (has_routes || !targets.is_empty()).then_some(Won { profile, split, targets })
}

impl Won<'_> {
    /// Where its rule is.
    fn at(&self) -> At {
        let split = self.split.map(|split| split.at);
        self.profile.map(|profile| profile.at).or(split).unwrap_or_default()
    }
}

/// What it does with a request; `hidden` are the routes that would count without it.
pub fn route(
    asked: &Asked<'_>,
    won: &Won<'_>,
    service: &Service,
    port: &Port,
    hidden: &[&RouteOf],
) -> Route {
    let own = [Target::to(service, port.number, 1, won.at())];
    let targets = if won.targets.is_empty() { &own[..] } else { &won.targets };
    let mut route = share::split(asked, targets, asked.request);
    match (won.profile, won.split) {
        (Some(profile), split) => by_profile(asked, profile, split, &mut route),
        (None, Some(split)) => by_split(asked, split, &mut route),
        (None, None) => {}
    }
    if won.split.is_some_and(|split| split.failover.is_some()) {
        route.why.push("linkerd-failover sets its weights by what is ready".to_owned());
    }
    if won.profile.is_some_and(|profile| profile.namespace != service.namespace) {
        route.why.push("the profile of the client's namespace wins over the service's".to_owned());
    }
    hide(hidden, &mut route);
    route
}

fn by_profile(
    asked: &Asked<'_>,
    profile: &Profile,
    split: Option<&TrafficSplit>,
    route: &mut Route,
) {
    let object = format!("ServiceProfile {}/{}", profile.namespace, profile.name);
    let found = profile.route(&asked.request.method, &asked.request.path);
    let (rule, matches, at) = match found {
        Some(of) => (format!("route {}", of.name), "its condition", of.at),
        None if profile.routes.is_empty() => ("dstOverrides".to_owned(), "all", profile.at),
        None => ("dstOverrides".to_owned(), "no route of the profile", profile.at),
    };
    route.rule = Some(share::rule_name(asked, object, rule, matches.to_owned(), at));
    if let Some(split) = split {
        let place = asked.place(split.at);
        route.why.push(format!("TrafficSplit {} ({place}) is written into it", split.name));
    }
    if let Some(of) = found {
        policies(asked, profile, of, route);
    }
}

fn by_split(asked: &Asked<'_>, split: &TrafficSplit, route: &mut Route) {
    let object = format!("TrafficSplit {}/{}", split.namespace, split.name);
    route.rule = Some(share::rule_name(asked, object, "backends".into(), "all".into(), split.at));
    route.why.push("the adaptor of linkerd-smi turns it into a ServiceProfile".to_owned());
}

fn hide(hidden: &[&RouteOf], route: &mut Route) {
    for of in hidden {
        route.why.push(format!("it wins over {}, which is ignored", of.title()));
    }
}

fn of_split(asked: &Asked<'_>, split: &TrafficSplit, port: &Port) -> Vec<Target> {
    let is_ready = |name: &str| {
        let service = asked.cluster.service(&split.namespace, name);
        service.is_some_and(|service| asked.cluster.endpoint_count(service) > 0)
    };
    let weights = split.failover_weights(is_ready);
    let backends = split.backends.iter().zip(weights);
    backends
        .map(|(backend, weight)| {
            Target::named(&split.namespace, &backend.service, port.number, weight, backend.at)
        })
        .collect()
}

/// A DNS name with a port or without: the called port is meant then.
fn of_overrides(profile: &Profile, port: &Port) -> Vec<Target> {
    let target = |to: &crate::manifest::linkerd::profile::Override| {
        let (host, own) = match to.authority.rsplit_once(':') {
            Some((host, own)) => (host, own.parse().unwrap_or(port.number)),
            None => (to.authority.as_str(), port.number),
        };
        let mut labels = host.split('.');
        let service = labels.next().unwrap_or("");
        let namespace = labels.next().unwrap_or(&profile.namespace);
        Target::named(namespace, service, own, to.weight_milli, to.at)
    };
    profile.overrides.iter().map(target).collect()
}

fn policies(asked: &Asked<'_>, profile: &Profile, of: &ProfileRoute, route: &mut Route) {
    route.timeout_ns = of.timeout_ns;
    if !of.is_retryable {
        return;
    }
    if !profile.budget.is_valid {
        route.notes.push("the retry budget is not valid: nothing is retried".to_owned());
        return;
    }
    let budget = &profile.budget;
    let (share, least) = (percent(budget.ratio), budget.min_per_second);
    // No number limits the retries of a request: each counts until the budget is spent.
    route.retries = Some(Retries {
        attempts: 0,
        on: vec!["failures by response class".to_owned()],
        backoff_ns: Some(0),
        place: asked.place(budget.at.unwrap_or(of.at)),
        ..Retries::default()
    });
    route.retry_budget = Some(format!("{share} of requests and {least} a second"));
}
