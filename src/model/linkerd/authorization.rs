//! Whether an inbound proxy lets a request, or a connection, pass.
//!
//! ```text
//! no Server selects the port:  the default policy of pod, namespace or cluster, whichever is said first
//! a Server does:               its policies, those of its namespace, its accessPolicy (deny, if it says none)
//! a route matches:             those of the route besides
//! ```
//!
//! Any authorization that fits is enough; there is no "deny" that wins. HTTP is asked for each request, and
//! refused with 403; other connections once and again at each change of policy, and closed. Until the policy
//! controller has answered for the first time, the default policy counts, `Server` or not; afterwards what it
//! said last.
//!
//! Source: linkerd2-proxy linkerd/app/inbound/src/{policy.rs,policy/http.rs,policy/tcp.rs,policy/store.rs:97,163}; linkerd2
//! policy-controller/k8s/index/src/{defaults.rs,inbound/index.rs}.
//! Left out: routes of probes, which are allowed to all where a `Server` has no routes of its own.

use super::answer::Answer;
use crate::plan::linkerd::authorization::{
    Authentication, Authorization, AuthorizationPolicy, DefaultPolicy, IdentityMatch, Networks,
    PortProtocol, Server, Target,
};

/// Who calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Client<'a> {
    /// Whether by TLS.
    pub tls: bool,
    /// Its identity, if it showed one.
    pub identity: Option<&'a str>,
    /// Whether from a network of the cluster.
    pub in_cluster: bool,
}

/// What is decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Verdict {
    /// It passes.
    Allowed,
    /// It passes, and is logged (`audit`).
    Audited,
    /// HTTP: it is answered.
    Denied(Answer),
    /// Else: the connection is closed.
    Closed,
}

impl Verdict {
    /// Whether it passes.
    pub fn passes(self) -> bool {
        matches!(self, Self::Allowed | Self::Audited)
    }
}

/// Whether an authorization fits a client.
pub fn fits(authorization: &Authorization, client: &Client<'_>) -> bool {
    let is_there = match authorization.networks {
        Networks::All => true,
        Networks::Cluster => client.in_cluster,
    };
    is_there
        && match &authorization.authentication {
            Authentication::Unauthenticated => true,
            Authentication::TlsUnauthenticated => client.tls,
            Authentication::Identities(all) => {
                client.identity.is_some_and(|own| all.iter().any(|one| is_like(one, own)))
            }
        }
}

fn is_like(asked: &IdentityMatch, identity: &str) -> bool {
    match asked {
        IdentityMatch::Exact(name) => identity == name,
        // SPIFFE identities have no suffixes.
        IdentityMatch::Suffix(_) if identity.contains("://") => false,
        IdentityMatch::Suffix(suffix) if suffix.is_empty() => true,
        IdentityMatch::Suffix(suffix) => {
            identity.strip_suffix(suffix.as_str()).is_some_and(|head| head.ends_with('.'))
        }
    }
}

/// What a default policy allows; nothing for `deny`.
pub fn of_default(policy: DefaultPolicy) -> Option<Authorization> {
    let (name, networks, identity) = match policy {
        DefaultPolicy::AllUnauthenticated => ("all-unauthenticated", Networks::All, false),
        DefaultPolicy::AllAuthenticated => ("all-authenticated", Networks::All, true),
        DefaultPolicy::ClusterUnauthenticated => {
            ("cluster-unauthenticated", Networks::Cluster, false)
        }
        DefaultPolicy::ClusterAuthenticated => ("cluster-authenticated", Networks::Cluster, true),
        DefaultPolicy::Audit => ("audit", Networks::All, false),
        DefaultPolicy::Deny => return None,
    };
    let authentication = if identity {
        Authentication::Identities(vec![IdentityMatch::Suffix(String::new())])
    } else {
        Authentication::Unauthenticated
    };
    let is_audit = policy == DefaultPolicy::Audit;
    Some(Authorization { name: name.to_owned(), networks, authentication, is_audit })
}

/// The default policy of a port: what the pod says, else its namespace, else the cluster; stricter where the
/// port is one that requires identity.
#[must_use]
pub fn default_of(
    pod: Option<DefaultPolicy>,
    namespace: Option<DefaultPolicy>,
    cluster: DefaultPolicy,
    requires_identity: bool,
) -> DefaultPolicy {
    let policy = pod.or(namespace).unwrap_or(cluster);
    if requires_identity { policy.with_identity() } else { policy }
}

/// All that allows requests to a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// In the order in which they are asked.
    pub authorizations: Vec<Authorization>,
    /// What the port speaks.
    pub protocol: PortProtocol,
}

impl Rules {
    /// Of a port that no `Server` selects, as the policy controller tells it.
    pub fn of_default(policy: DefaultPolicy, protocol: PortProtocol) -> Self {
        Self { authorizations: of_default(policy).into_iter().collect(), protocol }
    }

    /// Of every port until the controller has answered for the first time, as the proxy was injected. `deny`
    /// is a policy for bytes there: connections are closed before a request is read.
    pub fn at_boot(policy: DefaultPolicy, protocol: PortProtocol) -> Self {
        let protocol = if policy == DefaultPolicy::Deny { PortProtocol::Opaque } else { protocol };
        Self::of_default(policy, protocol)
    }

    /// Of a `Server`'s port, for requests that this route takes.
    pub fn of_server(
        server: &Server,
        policies: &[AuthorizationPolicy],
        route: Option<&str>,
    ) -> Self {
        let about = |matches: &dyn Fn(&Target) -> bool| -> Vec<Authorization> {
            let fitting = policies.iter().filter(|policy| matches(&policy.target));
            fitting.filter_map(|policy| policy.allows.clone()).collect()
        };
        let is_route =
            |target: &Target| matches!(target, Target::Route(name) if Some(name.as_str()) == route);
        let is_server = |target: &Target| match target {
            Target::Namespace => true,
            Target::Server(name) => *name == server.name,
            Target::Route(_) => false,
        };
        let mut authorizations = about(&is_route);
        authorizations.extend(about(&is_server));
        authorizations.extend(of_default(server.access_policy));
        Self { authorizations, protocol: server.protocol }
    }

    /// Whether a client passes, with a request if `is_http`.
    pub fn decide(&self, client: &Client<'_>, is_http: bool) -> Verdict {
        let first = self.authorizations.iter().find(|one| fits(one, client));
        match first {
            Some(one) if one.is_audit => Verdict::Audited,
            Some(_) => Verdict::Allowed,
            None if is_http && self.protocol != PortProtocol::Opaque => {
                Verdict::Denied(Answer::Unauthorized)
            }
            None => Verdict::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &str = "web.shop.serviceaccount.identity.linkerd.cluster.local";
    const MESHED: Client<'_> = Client { tls: true, identity: Some(WEB), in_cluster: true };
    const PLAIN: Client<'_> = Client { tls: false, identity: None, in_cluster: true };
    const OUTSIDE: Client<'_> = Client { tls: false, identity: None, in_cluster: false };
    const DENIED: Verdict = Verdict::Denied(Answer::Unauthorized);

    fn server(access_policy: DefaultPolicy) -> Server {
        Server { name: "books".to_owned(), access_policy, protocol: PortProtocol::Unknown }
    }

    fn policy(target: Target, identity: IdentityMatch) -> AuthorizationPolicy {
        let allows = Authorization {
            name: "p".to_owned(),
            networks: Networks::All,
            authentication: Authentication::Identities(vec![identity]),
            is_audit: false,
        };
        AuthorizationPolicy { target, allows: Some(allows) }
    }

    fn web() -> IdentityMatch {
        IdentityMatch::Exact(WEB.to_owned())
    }

    #[test]
    fn default_policies_by_client() {
        use DefaultPolicy as D;
        for (default, meshed, plain, outside) in [
            (D::AllUnauthenticated, true, true, true),
            (D::AllAuthenticated, true, false, false),
            (D::ClusterUnauthenticated, true, true, false),
            (D::ClusterAuthenticated, true, false, false),
            (D::Deny, false, false, false),
            (D::Audit, true, true, true),
        ] {
            let rules = Rules::of_default(default, PortProtocol::Unknown);
            let passes = [MESHED, PLAIN, OUTSIDE].map(|one| rules.decide(&one, true).passes());
            assert_eq!(passes, [meshed, plain, outside], "{default:?}");
        }
        let audit = Rules::of_default(D::Audit, PortProtocol::Unknown);
        assert_eq!(audit.decide(&PLAIN, true), Verdict::Audited);
        let authenticated = Rules::of_default(D::AllAuthenticated, PortProtocol::Unknown);
        assert_eq!(authenticated.decide(&PLAIN, true), DENIED);
        assert_eq!(authenticated.decide(&PLAIN, false), Verdict::Closed);
        let deny = Rules::of_default(D::Deny, PortProtocol::Unknown);
        assert_eq!(deny.decide(&MESHED, true), DENIED);
        // Before the controller has answered nobody's connection is even read.
        let boot = Rules::at_boot(D::Deny, PortProtocol::Unknown);
        assert_eq!(boot.decide(&MESHED, true), Verdict::Closed);
        let open = Rules::at_boot(D::AllAuthenticated, PortProtocol::Unknown);
        assert_eq!(open.decide(&PLAIN, true), DENIED);
    }

    #[test]
    fn the_nearest_default_counts_and_a_port_may_be_stricter() {
        use DefaultPolicy as D;
        let of = |pod, namespace| default_of(pod, namespace, D::AllUnauthenticated, false);
        assert_eq!(of(None, None), D::AllUnauthenticated);
        assert_eq!(of(None, Some(D::Deny)), D::Deny);
        assert_eq!(of(Some(D::Audit), Some(D::Deny)), D::Audit);
        let strict = |policy| default_of(None, None, policy, true);
        assert_eq!(strict(D::AllUnauthenticated), D::AllAuthenticated);
        assert_eq!(strict(D::ClusterUnauthenticated), D::ClusterAuthenticated);
        assert_eq!([strict(D::Deny), strict(D::Audit)], [D::Deny, D::Audit]);
    }

    #[test]
    fn a_server_denies_whom_no_policy_allows() {
        let bare = Rules::of_server(&server(DefaultPolicy::Deny), &[], None);
        assert_eq!([MESHED, PLAIN].map(|one| bare.decide(&one, true)), [DENIED; 2]);
        let open = Rules::of_server(&server(DefaultPolicy::AllUnauthenticated), &[], None);
        assert!(open.decide(&PLAIN, true).passes());
        for target in [Target::Namespace, Target::Server("books".to_owned())] {
            let policies = [policy(target, web())];
            let rules = Rules::of_server(&server(DefaultPolicy::Deny), &policies, None);
            assert_eq!(rules.decide(&MESHED, true), Verdict::Allowed);
            assert_eq!(rules.decide(&PLAIN, true), DENIED);
        }
        let other = [policy(Target::Server("authors".to_owned()), web())];
        let rules = Rules::of_server(&server(DefaultPolicy::Deny), &other, None);
        assert_eq!(rules.decide(&MESHED, true), DENIED);
    }

    #[test]
    fn a_routes_policy_allows_that_route_only_and_the_servers_all() {
        let of_route = policy(Target::Route("get".to_owned()), web());
        let policies = [of_route];
        let of = |route| Rules::of_server(&server(DefaultPolicy::Deny), &policies, route);
        assert!(of(Some("get")).decide(&MESHED, true).passes());
        assert_eq!(of(Some("delete")).decide(&MESHED, true), DENIED);
        assert_eq!(of(None).decide(&MESHED, true), DENIED);
        let both = [policies[0].clone(), policy(Target::Namespace, web())];
        let rules = Rules::of_server(&server(DefaultPolicy::Deny), &both, Some("delete"));
        assert!(rules.decide(&MESHED, true).passes());
    }

    #[test]
    fn a_policy_that_names_what_does_not_exist_allows_nothing() {
        let missing = AuthorizationPolicy { target: Target::Namespace, allows: None };
        let rules = Rules::of_server(&server(DefaultPolicy::Deny), &[missing], None);
        assert_eq!(rules.decide(&MESHED, true), DENIED);
    }

    #[test]
    fn identities_fit_whole_or_by_what_follows_a_dot() {
        let suffix = |text: &str| IdentityMatch::Suffix(text.to_owned());
        assert!(is_like(&suffix("cluster.local"), WEB) && is_like(&suffix(""), WEB));
        assert!(!is_like(&suffix("luster.local"), WEB) && !is_like(&suffix(WEB), WEB));
        assert!(!is_like(&suffix(""), "spiffe://trust/web"));
        let exact = IdentityMatch::Exact("spiffe://trust/web".to_owned());
        assert!(is_like(&exact, "spiffe://trust/web"));
        let tls = Authorization {
            name: "tls".to_owned(),
            networks: Networks::All,
            authentication: Authentication::TlsUnauthenticated,
            is_audit: false,
        };
        assert!(fits(&tls, &Client { identity: None, ..MESHED }) && !fits(&tls, &PLAIN));
    }
}
