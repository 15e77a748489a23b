//! Rules of virtual services that are never reached.
//!
//! Source: istio/istio `pkg/config/validation/validation.go` (`analyzeUnreachableHTTPRules` and its
//! kin for TCP and TLS, `coveredValidation`).
//! Left out: conditions that are covered by several earlier ones together.

use crate::manifest::istio::matching::{HttpMatch, L4Match, StringMatch};
use crate::manifest::istio::virtual_service::{L4Route, VirtualService};
use crate::manifest::lint::{Lint, named};
use crate::manifest::source::At;

const RULE: &str = "schema.ValidationAnalyzer.VirtualService";

/// One rule as it is compared: its place and its conditions.
struct Compared<M> {
    at: At,
    name: String,
    matches: Vec<M>,
}

/// All rules of this file.
pub fn check(lint: &mut Lint<'_>) {
    for service in &lint.istio.virtual_services {
        let http = service.http.iter().enumerate().map(|(index, route)| Compared {
            at: route.at,
            name: if route.name.is_empty() { format!("#{index}") } else { route.name.clone() },
            matches: route.matches.clone(),
        });
        unreachable(lint, service, &http.collect::<Vec<_>>(), same_http, covered_http);
        for routes in [&service.tcp, &service.tls] {
            unreachable(lint, service, &l4(routes), same_l4, |_, _| false);
        }
    }
}

fn l4(routes: &[L4Route]) -> Vec<Compared<L4Match>> {
    let routes = routes.iter().enumerate().map(|(index, route)| Compared {
        at: route.at,
        name: format!("#{index}"),
        matches: route.matches.clone(),
    });
    routes.collect()
}

fn unreachable<M>(
    lint: &mut Lint<'_>,
    service: &VirtualService,
    rules: &[Compared<M>],
    same: impl Fn(&M, &M) -> bool,
    covered: impl Fn(&M, &M) -> bool,
) {
    let object = || named("VirtualService", &service.head);
    let mut catch_all: Option<&str> = None;
    let mut before: Vec<(&M, &str)> = Vec::new();
    for rule in rules {
        if rule.matches.is_empty() {
            if let Some(first) = catch_all {
                let what = format!(
                    "VirtualService rule {} not used (only the last rule can have no matches; \
                     {first} has none)",
                    rule.name
                );
                lint.report("IST0130", RULE, object(), rule.at, what);
            }
            catch_all = catch_all.or(Some(&rule.name));
            continue;
        }
        let mut duplicates = 0;
        for (index, found) in rule.matches.iter().enumerate() {
            let equal = before.iter().find(|(other, _)| same(other, found));
            let wider = || before.iter().find(|(other, _)| covered(other, found));
            duplicates += usize::from(equal.is_some());
            if let Some((_, first)) = equal.or_else(wider) {
                let what = format!(
                    "VirtualService rule {} match #{index} is not used (duplicate/overlapping \
                     match in rule {first})",
                    rule.name
                );
                lint.report("IST0131", RULE, object(), rule.at, what);
            }
            before.push((found, &rule.name));
        }
        if duplicates == rule.matches.len() {
            let what = format!(
                "VirtualService rule {} not used (all matches used by prior rules)",
                rule.name
            );
            lint.report("IST0130", RULE, object(), rule.at, what);
        }
    }
}

/// The same conditions; names and places do not count.
fn same_http(one: &HttpMatch, other: &HttpMatch) -> bool {
    let bare = |found: &HttpMatch| HttpMatch {
        at: At::default(),
        name: String::new(),
        gateways: Vec::new(),
        ..found.clone()
    };
    let texts =
        |found: &HttpMatch| found.gateways.iter().map(|word| word.text.clone()).collect::<Vec<_>>();
    bare(one) == bare(other) && texts(one) == texts(other)
}

fn same_l4(one: &L4Match, other: &L4Match) -> bool {
    let texts = |list: &[crate::manifest::reader::Word]| {
        list.iter().map(|word| word.text.clone()).collect::<Vec<_>>()
    };
    texts(&one.sni) == texts(&other.sni)
        && texts(&one.subnets) == texts(&other.subnets)
        && texts(&one.gateways) == texts(&other.gateways)
        && one.port == other.port
        && one.source_labels == other.source_labels
        && one.source_namespace == other.source_namespace
}

/// An earlier, shorter prefix whose other conditions are the same or absent.
fn covered_http(wide: &HttpMatch, narrow: &HttpMatch) -> bool {
    let (Some(StringMatch::Prefix(wide_uri)), Some(StringMatch::Prefix(uri))) =
        (&wide.uri, &narrow.uri)
    else {
        return false;
    };
    let same =
        |wide: &Option<StringMatch>, narrow: &Option<StringMatch>| wide.is_none() || wide == narrow;
    uri.starts_with(wide_uri.as_str())
        && wide.ignore_case == narrow.ignore_case
        && same(&wide.method, &narrow.method)
        && same(&wide.scheme, &narrow.scheme)
        && same(&wide.authority, &narrow.authority)
        && wide.headers.iter().all(|(name, value)| narrow.headers.get(name) == Some(value))
        && wide.without.iter().all(|(name, value)| narrow.without.get(name) == Some(value))
        && wide.query.iter().all(|(name, value)| narrow.query.get(name) == Some(value))
        && (wide.port.is_none() || wide.port == narrow.port)
        && wide.source_labels.is_empty()
        && wide.source_namespace.is_none()
        && wide.gateways.is_empty()
}
