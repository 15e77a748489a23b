//! Decisions of `AuthorizationPolicy`.
//!
//! `DENY`: if one matches, 403. Then, if there are `ALLOW` policies, one must match, else 403. What is let
//! in so far and matches a `CUSTOM` policy is for its provider to decide (which the proxy asks first).
//! Source: Istio documentation "Authorization policy precedence"; istio/istio
//! `pilot/pkg/security/authz/{model,matcher}` (patterns, negations, path templates), RBAC answers
//! `403` with `rbac_access_denied_matched_policy[…]` and no flag (`UAEX` is the external provider's).
//! Left out: attributes of tokens: a request has none, so a rule on `requestPrincipals` does not match.

use crate::manifest::istio::authorization::{
    Action, AuthorizationPolicy, Condition, Operation, Rule, Source, Values, pattern_fits,
};
use crate::manifest::istio::check::Subnet;
use crate::manifest::istio::mesh::Mesh;
use crate::manifest::object::Labels;
use crate::manifest::route::Direct;
use crate::manifest::route::request::Request;
use crate::manifest::selector::contains;
use crate::manifest::source::At;

/// What a server knows of a request.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// The client's identity, if it spoke mutual TLS.
    pub principal: Option<String>,
    /// The request; none for a connection that is not HTTP.
    pub request: Option<&'a Request>,
    /// The pod's port.
    pub port: u16,
}

/// A decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Let in, by this rule or because there is none.
    Allow(Option<At>),
    /// Refused by a rule of a `DENY` policy: its name and the rule's place.
    Deny(String, At),
    /// Refused because no `ALLOW` policy matches: their names and places.
    NoneAllows(Vec<(String, At)>),
    /// Somebody else decides: the provider's name and the rule's place.
    Custom(String, At),
}

impl Decision {
    /// The answer, if the request is refused.
    pub fn refused(&self, mesh: &Mesh<'_>) -> Option<Direct> {
        match self {
            Self::Allow(_) | Self::Custom(..) => None,
            Self::Deny(name, at) => {
                let place = mesh.place(*at);
                let why = format!("RBAC: access denied by DENY policy {name} ({place})");
                Some(Direct::new(403, "", why))
            }
            Self::NoneAllows(policies) => {
                let names: Vec<String> = policies
                    .iter()
                    .map(|(name, at)| format!("{name} ({})", mesh.place(*at)))
                    .collect();
                let why =
                    format!("RBAC: access denied, no ALLOW policy matches: {}", names.join(", "));
                Some(Direct::new(403, "", why))
            }
        }
    }
}

/// The policies that count for the pods with these labels.
pub fn policies<'m>(
    mesh: &Mesh<'m>,
    namespace: &str,
    labels: &Labels,
) -> Vec<&'m AuthorizationPolicy> {
    let root = &mesh.istio.mesh.root_namespace;
    let counts = |policy: &&AuthorizationPolicy| {
        let of = &policy.head.namespace;
        let selected = policy.selector.as_ref().is_none_or(|selector| contains(labels, selector));
        (of == namespace || of == root) && policy.targets.is_empty() && selected
    };
    mesh.istio.authorization_policies.iter().filter(counts).collect()
}

/// What the policies of a server decide.
pub fn decide(mesh: &Mesh<'_>, namespace: &str, labels: &Labels, facts: &Facts<'_>) -> Decision {
    let all = policies(mesh, namespace, labels);
    let of = |action: Action| all.iter().filter(move |policy| policy.action == action);
    let matching = |policy: &AuthorizationPolicy, deny: bool| {
        let own = &policy.head.namespace;
        policy.rules.iter().find(|rule| rule_fits(rule, own, facts, deny)).map(|rule| rule.at)
    };
    let custom = of(Action::Custom).find_map(|policy| {
        let at = matching(policy, true)?;
        Some(Decision::Custom(policy.provider.clone().unwrap_or_default(), at))
    });
    for policy in of(Action::Deny) {
        if let Some(at) = matching(policy, true) {
            return Decision::Deny(policy.head.full(), at);
        }
    }
    let allows: Vec<_> = of(Action::Allow).collect();
    if allows.is_empty() {
        return custom.unwrap_or(Decision::Allow(None));
    }
    let found = allows.iter().find_map(|policy| matching(policy, false));
    found.map_or_else(
        || Decision::NoneAllows(allows.iter().map(|p| (p.head.full(), p.head.at)).collect()),
        |at| custom.unwrap_or(Decision::Allow(Some(at))),
    )
}

fn rule_fits(rule: &Rule, namespace: &str, facts: &Facts<'_>, deny: bool) -> bool {
    (rule.from.is_empty() || rule.from.iter().any(|from| source_fits(from, namespace, facts)))
        && (rule.to.is_empty() || rule.to.iter().any(|to| operation_fits(to, facts, deny)))
        && rule.when.iter().all(|when| condition_fits(when, facts, deny))
}

/// Whether a client is one of a source, in a policy of a namespace.
pub fn source_fits(source: &Source, own_namespace: &str, facts: &Facts<'_>) -> bool {
    let principal = facts.principal.as_deref();
    let mut parts = principal.unwrap_or("").split('/');
    let (domain, _, namespace, _, account) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
    let known = |part: Option<&str>| part.filter(|part| !part.is_empty()).map(str::to_owned);
    let account_fits = |pattern: &str, value: &str| {
        let full = if pattern.contains('/') {
            pattern.to_owned()
        } else {
            format!("{own_namespace}/{pattern}")
        };
        full == value
    };
    let full_account = known(namespace).zip(known(account)).map(|(n, a)| format!("{n}/{a}"));
    let address = |values: &Values| values.fits(None, subnet_fits);
    source.principals.fits(principal, pattern_fits)
        && source.namespaces.fits(known(namespace).as_deref(), pattern_fits)
        && source.trust_domains.fits(known(domain).as_deref(), pattern_fits)
        && source.accounts.fits(full_account.as_deref(), account_fits)
        && source.request_principals.fits(None, pattern_fits)
        && address(&source.ip_blocks)
        && address(&source.remote_ip_blocks)
}

fn subnet_fits(pattern: &str, value: &str) -> bool {
    let address = value.parse().ok();
    Subnet::parse(pattern).zip(address).is_some_and(|(subnet, address)| subnet.contains(address))
}

/// For connections that are not HTTP, an operation on HTTP matches nothing in `ALLOW` and is left out
/// in `DENY`, so that nothing is let in by mistake.
fn operation_fits(operation: &Operation, facts: &Facts<'_>, deny: bool) -> bool {
    let port = facts.port.to_string();
    let port_fits = operation.ports.fits(Some(&port), |pattern, value| pattern == value);
    let http = [&operation.hosts, &operation.methods, &operation.paths];
    let Some(request) = facts.request else {
        return port_fits && (deny || http.iter().all(|values| values.is_empty()));
    };
    let host_fits = |pattern: &str, value: &str| {
        pattern_fits(&pattern.to_ascii_lowercase(), &value.to_ascii_lowercase())
    };
    port_fits
        && operation.hosts.fits(Some(&request.authority), host_fits)
        && operation.methods.fits(Some(&request.method), pattern_fits)
        && operation.paths.fits(Some(&request.path), path_fits)
}

/// `{*}` is one path segment, `{**}` any number of them.
fn path_fits(pattern: &str, path: &str) -> bool {
    if !pattern.contains("{*}") && !pattern.contains("{**}") {
        return pattern_fits(pattern, path);
    }
    let wanted: Vec<&str> = pattern.split('/').collect();
    let given: Vec<&str> = path.split('/').collect();
    let star = wanted.iter().position(|part| *part == "{**}");
    let same = |wanted: &str, given: &str| wanted == "{*}" || wanted == given;
    let all = |wanted: &[&str], given: &[&str]| {
        wanted.len() == given.len() && wanted.iter().zip(given).all(|(w, g)| same(w, g))
    };
    match star {
        None => all(&wanted, &given),
        Some(at) => {
            let after = wanted.len() - at - 1;
            given.len() >= at + after
                && all(&wanted[..at], &given[..at])
                && all(&wanted[at + 1..], &given[given.len() - after..])
        }
    }
}

fn condition_fits(condition: &Condition, facts: &Facts<'_>, deny: bool) -> bool {
    let key = condition.key.as_str();
    let principal = facts.principal.clone();
    let part = |index: usize| {
        let text = principal.as_deref()?.split('/').nth(index)?;
        Some(text.to_owned())
    };
    let value = match key {
        "source.principal" => principal.clone(),
        "source.trustDomain" => part(0),
        "source.namespace" => part(2),
        "source.serviceAccount" => part(2).zip(part(4)).map(|(n, a)| format!("{n}/{a}")),
        "destination.port" => Some(facts.port.to_string()),
        _ => match key.strip_prefix("request.headers[").and_then(|rest| rest.strip_suffix(']')) {
            Some(name) => match facts.request {
                Some(request) => request.headers.get(name),
                None if deny => return true,
                None => None,
            },
            None => None,
        },
    };
    condition.values.fits(value.as_deref(), pattern_fits)
}
