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

/// What a profile does; `hidden` are the routes that would count without it.
pub fn by_profile(
    asked: &Asked<'_>,
    profile: &Profile,
    service: &Service,
    port: &Port,
    hidden: &[&RouteOf],
) -> Route {
    let split = asked.linkerd.smi.split_of(&service.namespace, &service.name);
    // The adaptor writes into the profile of the service's own namespace.
    let split = split.filter(|_| profile.namespace == service.namespace);
    let targets = match split {
        Some(split) => of_split(asked, split, port),
        None => of_overrides(profile, port),
    };
    let mut route = answer(asked, targets, service, port, profile.at);
    let object = format!("ServiceProfile {}/{}", profile.namespace, profile.name);
    let found = profile.route(&asked.request.method, &asked.request.path);
    let (rule, matches, at) = match found {
        Some(of) => (format!("route {}", of.name), "its condition", of.at),
        None if profile.routes.is_empty() => ("dstOverrides".to_owned(), "all", profile.at),
        None => ("dstOverrides".to_owned(), "no route of the profile", profile.at),
    };
    route.rule = Some(share::rule_name(asked, object, rule, matches.to_owned(), at));
    if let Some(split) = split {
        route.why.push(format!(
            "TrafficSplit {} ({}) is written into it",
            split.name,
            asked.place(split.at)
        ));
    }
    if let Some(of) = found {
        policies(asked, profile, of, &mut route);
    }
    if profile.namespace != service.namespace {
        route.why.push("the profile of the client's namespace wins over the service's".to_owned());
    }
    hide(hidden, &mut route);
    route
}

/// What a split does where the service has no profile of its own.
pub fn by_split(
    asked: &Asked<'_>,
    split: &TrafficSplit,
    service: &Service,
    port: &Port,
    hidden: &[&RouteOf],
) -> Route {
    let targets = of_split(asked, split, port);
    let mut route = answer(asked, targets, service, port, split.at);
    let object = format!("TrafficSplit {}/{}", split.namespace, split.name);
    route.rule = Some(share::rule_name(asked, object, "backends".into(), "all".into(), split.at));
    route.why.push("the adaptor of linkerd-smi turns it into a ServiceProfile".to_owned());
    if split.failover.is_some() {
        route.why.push("linkerd-failover sets its weights by what is ready".to_owned());
    }
    hide(hidden, &mut route);
    route
}

fn hide(hidden: &[&RouteOf], route: &mut Route) {
    for of in hidden {
        route.why.push(format!("it wins over {}, which is ignored", of.title()));
    }
}

fn answer(
    asked: &Asked<'_>,
    mut targets: Vec<Target>,
    service: &Service,
    port: &Port,
    at: crate::manifest::source::At,
) -> Route {
    targets.retain(|target| target.weight > 0);
    if targets.is_empty() {
        targets.push(Target::to(service, port.number, 1, at));
    }
    share::split(asked, &targets, asked.request)
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
