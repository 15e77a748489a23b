//! Requests that leave the cluster: what an `EgressNetwork` and its routes let out.
//!
//! Routes bound to the `EgressNetwork` come first; what none takes goes by its traffic policy: out, or
//! 403 for HTTP and a closed connection for TLS and TCP. A route may also lead to a Service inside.
//! Source: linkerd2 `policy-controller/grpc/src/outbound/{http,tls,tcp}.rs`
//! (`default_outbound_egress_route`, backends of kind `EgressNetwork` need it as their parent).
//! Left out: DNS; a host name counts as an address that lies in none of the cluster's networks.

use crate::manifest::gateway_api::layer4::Layer4Route;
use crate::manifest::linkerd::egress::{self, EgressNetwork};
use crate::manifest::linkerd::matching;
use crate::manifest::linkerd::network;
use crate::manifest::linkerd::outbound::{Asked, CLOSED};
use crate::manifest::linkerd::policy::TrafficPolicy;
use crate::manifest::linkerd::routed;
use crate::manifest::linkerd::routes::{Parent, RouteOf};
use crate::manifest::linkerd::share;
use crate::manifest::linkerd::status::Kind;
use crate::manifest::route::Route;
use std::net::{IpAddr, Ipv4Addr};

/// An address of the documentation's networks, for names whose address is not known.
const SOMEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Where a request for a host outside of the cluster goes.
pub fn route(asked: &Asked<'_>, host: &str) -> Route {
    let told: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let address = told.unwrap_or(SOMEWHERE);
    let settings = &asked.linkerd.settings;
    if told.is_some() && network::contains(&settings.cluster_networks, address) {
        return share::external(asked, host, asked.request.port, "")
            .because("an address of the cluster: no Service's rules count for pod addresses");
    }
    let networks = asked.linkerd.egress.iter().map(|(network, _)| network);
    let found = egress::find(networks, &asked.caller.namespace, address, settings);
    let Some((network, policy)) = asked
        .linkerd
        .egress
        .iter()
        .find(|(network, _)| found.is_some_and(|found| std::ptr::eq(found, network)))
    else {
        return share::external(asked, host, asked.request.port, "")
            .because("no EgressNetwork holds it: it goes out");
    };
    let title = format!("EgressNetwork {}/{}", network.namespace, network.name);
    let place = asked.place(network.at);
    let mut route = decide(asked, network, policy, host);
    route.why.push(format!("{title} holds {host} ({place})"));
    if told.is_none() {
        route.why.push(format!("{host} is taken for an address outside of the cluster"));
    }
    route
}

fn decide(asked: &Asked<'_>, network: &EgressNetwork, policy: &TrafficPolicy, host: &str) -> Route {
    let port = asked.request.port;
    let bound = |route: &&RouteOf| {
        let parent = route.bound(Parent::Egress, &network.namespace, &network.name, port);
        route.dropped.is_none()
            && parent.is_some_and(|parent| asked.accepts(route.kind(), &route.group, parent))
    };
    let routes: Vec<&RouteOf> = asked.linkerd.routes.http.iter().filter(bound).collect();
    let (grpc, http): (Vec<&RouteOf>, Vec<&RouteOf>) =
        routes.into_iter().partition(|route| route.route.is_grpc);
    let routes = if grpc.is_empty() { http } else { grpc };
    let layer4 = |kind: Kind| -> Vec<&Layer4Route> {
        let fits = |route: &&Layer4Route| {
            let (namespace, name) = (network.namespace.as_str(), network.name.as_str());
            let parent = share::bound_at(route, Parent::Egress, namespace, name, port);
            route.is_tls == (kind == Kind::Tls)
                && parent.is_some_and(|parent| asked.accepts(kind, "", parent))
        };
        asked.linkerd.routes.layer4.iter().filter(fits).collect()
    };
    let is_tls = asked.request.scheme == "https";
    let is_opaque = policy.opaque_ports.as_ref().is_some_and(|(ports, _)| ports.contains(port));
    if is_tls || is_opaque {
        let tls =
            if is_tls && routes.is_empty() && !is_opaque { layer4(Kind::Tls) } else { Vec::new() };
        let found = share::by_server_name(&tls, &asked.request.authority);
        let found = found.or_else(|| layer4(Kind::Tcp).first().copied().filter(|_| tls.is_empty()));
        return match found {
            Some(route) => share::by_layer4(asked, route, &network.namespace),
            None => by_default(asked, network, host, CLOSED),
        };
    }
    let before = asked.linkerd.settings.method_before_headers;
    match matching::find(&routes, asked.request, before) {
        Some(taken) => by_rule(asked, network, taken, host),
        None => by_default(asked, network, host, 403),
    }
}

fn by_rule(
    asked: &Asked<'_>,
    network: &EgressNetwork,
    taken: matching::Taken<'_>,
    host: &str,
) -> Route {
    let rule = &taken.route.route.rules[taken.rule];
    let backends: Vec<_> = rule.backends.iter().flatten().collect();
    let is_own = backends.iter().all(|backend| backend.kind == "EgressNetwork");
    let mut route = if is_own {
        let stranger = backends.iter().find(|backend| {
            let of =
                taken.route.backend_namespace(&backend.namespace, backend.at, &network.namespace);
            backend.name != network.name || of != network.namespace
        });
        match stranger {
            Some(backend) => {
                let what = format!("EgressNetwork {} is not the route's parent", backend.name);
                Route::direct(500, "", what)
            }
            None => share::external(asked, host, asked.request.port, &asked.place(rule.at)),
        }
    } else {
        let targets: Vec<_> = backends
            .iter()
            .map(|backend| routed::target(asked, taken.route, backend, &network.namespace))
            .collect();
        share::split(asked, &targets, asked.request)
    };
    let matches = rule.matches[taken.matched].to_string();
    let title = taken.route.title();
    route.rule = Some(share::rule_name(asked, title, rule.title(taken.rule), matches, rule.at));
    route
}

fn by_default(asked: &Asked<'_>, network: &EgressNetwork, host: &str, refusal: u16) -> Route {
    let title = format!("EgressNetwork {}/{}", network.namespace, network.name);
    let mut route = if network.allows {
        share::external(asked, host, asked.request.port, &asked.place(network.policy_at))
    } else {
        Route::direct(refusal, "", "traffic not allowed")
    };
    let word = if network.allows { "Allow" } else { "Deny" };
    let rule = format!("trafficPolicy {word}");
    route.rule =
        Some(share::rule_name(asked, title, rule, "what no route takes".into(), network.policy_at));
    route
}
