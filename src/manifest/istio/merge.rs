//! Virtual services as the control plane uses them: delegates put in place, oldest first.
//!
//! A rule with `delegate` is replaced by the rules of the delegate, each with the conditions of both; a
//! rule of the delegate that contradicts all of the root's conditions is dropped, and so is a root rule
//! whose delegate is missing or not exported to it.
//! Source: istio/istio `pilot/pkg/model/virtualservice.go` (`mergeVirtualServicesIfNeeded`,
//! `mergeHTTPMatchRequests`, `hasConflict`).
//! Left out: nothing.

use crate::manifest::istio::Istio;
use crate::manifest::istio::matching::{HttpMatch, StringMatch};
use crate::manifest::istio::virtual_service::{HttpRoute, VirtualService};
use std::collections::BTreeMap;

/// All virtual services with hosts, delegates merged: first those without delegates, then the roots,
/// each by age.
pub fn merged(istio: &Istio) -> Vec<VirtualService> {
    let default = &istio.mesh.default_virtual_service_export;
    let mut delegates = BTreeMap::new();
    let (mut plain, mut roots) = (Vec::new(), Vec::new());
    for service in &istio.virtual_services {
        if service.is_delegate() {
            delegates.insert((&*service.head.namespace, &*service.head.name), service);
        } else if service.http.iter().any(|route| route.delegate.is_some()) {
            roots.push(service);
        } else {
            plain.push(service.clone());
        }
    }
    for root in roots {
        let mut made = VirtualService { http: Vec::new(), ..root.clone() };
        for route in &root.http {
            let Some(delegate) = &route.delegate else {
                made.http.push(route.clone());
                continue;
            };
            let own = &root.head.namespace;
            let namespace = if delegate.namespace.is_empty() { own } else { &delegate.namespace };
            let Some(found) = delegates.get(&(&**namespace, &*delegate.name)) else { continue };
            if !found.export_to.reaches(&found.head.namespace, own, default) {
                continue;
            }
            made.http.extend(found.http.iter().filter_map(|sub| merge_route(route, sub)));
        }
        plain.push(made);
    }
    plain
}

fn merge_route(root: &HttpRoute, delegate: &HttpRoute) -> Option<HttpRoute> {
    let matches = merge_matches(&root.matches, &delegate.matches)?;
    let mut made = HttpRoute { matches, ..delegate.clone() };
    made.name = joined(&root.name, &delegate.name);
    made.rewrite = made.rewrite.or_else(|| root.rewrite.clone());
    made.timeout_ns = made.timeout_ns.or(root.timeout_ns);
    made.retries = made.retries.or_else(|| root.retries.clone());
    made.fault = made.fault.or_else(|| root.fault.clone());
    made.cors = made.cors.or_else(|| root.cors.clone());
    if made.mirrors.is_empty() {
        made.mirrors.clone_from(&root.mirrors);
    }
    if made.headers.request.is_empty() && made.headers.response.is_empty() {
        made.headers = root.headers.clone();
    }
    Some(made)
}

fn joined(root: &str, delegate: &str) -> String {
    match (root, delegate) {
        (root, "") => root.to_owned(),
        ("", delegate) => delegate.to_owned(),
        (root, delegate) => format!("{root}-{delegate}"),
    }
}

/// Each condition of the delegate with each of the root that it does not contradict.
fn merge_matches(root: &[HttpMatch], delegate: &[HttpMatch]) -> Option<Vec<HttpMatch>> {
    if root.is_empty() || delegate.is_empty() {
        return Some(if root.is_empty() { delegate.to_vec() } else { root.to_vec() });
    }
    let mut made = Vec::new();
    for sub in delegate {
        let before = made.len();
        made.extend(root.iter().filter(|root| !conflict(root, sub)).map(|root| both(root, sub)));
        if made.len() == before {
            return None;
        }
    }
    Some(made)
}

fn both(root: &HttpMatch, delegate: &HttpMatch) -> HttpMatch {
    let mut made = delegate.clone();
    made.name = joined(&root.name, &delegate.name);
    made.uri = made.uri.or_else(|| root.uri.clone());
    made.scheme = made.scheme.or_else(|| root.scheme.clone());
    made.method = made.method.or_else(|| root.method.clone());
    made.authority = made.authority.or_else(|| root.authority.clone());
    made.port = made.port.or(root.port);
    for (all, add) in [
        (&mut made.headers, &root.headers),
        (&mut made.without, &root.without),
        (&mut made.query, &root.query),
    ] {
        for (name, value) in add {
            all.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    made.gateways.clone_from(&root.gateways);
    made.source_labels.clone_from(&root.source_labels);
    made.source_namespace.clone_from(&root.source_namespace);
    made
}

fn conflict(root: &HttpMatch, leaf: &HttpMatch) -> bool {
    let single = [
        (&root.uri, &leaf.uri),
        (&root.scheme, &leaf.scheme),
        (&root.method, &leaf.method),
        (&root.authority, &leaf.authority),
    ];
    let maps = [
        (&root.headers, &leaf.headers),
        (&root.without, &leaf.without),
        (&root.query, &leaf.query),
    ];
    single.iter().any(|(root, leaf)| outside(root.as_ref(), leaf.as_ref()))
        || maps.iter().any(|(root, leaf)| {
            leaf.iter().any(|(name, value)| outside(root.get(name), Some(value)))
        })
        || root.ignore_case != leaf.ignore_case
        || matches!((root.port, leaf.port), (Some(root), Some(leaf)) if root != leaf)
}

/// Whether the delegate's condition is no part of the root's.
fn outside(root: Option<&StringMatch>, leaf: Option<&StringMatch>) -> bool {
    use StringMatch::{Exact, Prefix, Present};
    match (root, leaf) {
        (None, _) | (_, None) | (Some(Present), Some(Present)) => false,
        (Some(Exact(root)), Some(Exact(leaf))) => root != leaf,
        (Some(Prefix(root)), Some(Prefix(leaf) | Exact(leaf))) => !leaf.starts_with(root.as_str()),
        _ => true,
    }
}
