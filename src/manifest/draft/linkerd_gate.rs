//! Who gets through to a port that a Server selects, asked of samples of clients.
//!
//! A gate has the part of Linkerd that decides about one port, so that many clients may be asked about quickly. Routes
//! that are bound to the Server count as long as not everyone may call them, as for probes: a stranger must be let in
//! by all of them, a service by one.
//! Source: [`crate::manifest::linkerd::inbound`].
//! Left out: nothing beside what [`super::linkerd_inbound`] leaves out.

use crate::manifest::kubernetes::Name;
use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::linkerd::Linkerd;
use crate::manifest::linkerd::authorization::{POLICY, Policy, Proof};
use crate::manifest::linkerd::inbound::{Bound, Client, Verdict};
use crate::manifest::linkerd::routes::RouteOf;
use crate::manifest::linkerd::server::Server;
use crate::manifest::linkerd::settings::DefaultPolicy;
use crate::manifest::source::At;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

/// A pod's address, and one that no cluster has.
const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 42, 0, 10));
const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

/// A port of a workload with the Server that decides about it.
pub(super) struct Gate<'l> {
    /// What of Linkerd counts there.
    linkerd: Linkerd,
    workload: &'l Workload,
    port: u16,
    server: &'l Server,
    /// The routes that are bound to the Server.
    bound: Vec<&'l RouteOf>,
    /// The identities that are named there, as patterns.
    named: Proof,
}

impl<'l> Gate<'l> {
    /// The gate of a port, out of all that Linkerd reads.
    pub(super) fn new(
        linkerd: &Linkerd,
        (workload, port): (&'l Workload, u16),
        server: &'l Server,
        bound: Vec<&'l RouteOf>,
    ) -> Self {
        let mut own = Linkerd { settings: linkerd.settings.clone(), ..Linkerd::default() };
        let (namespace, name, kind) = workload.key();
        let key = (namespace.to_owned(), name.to_owned(), kind);
        own.proxies.extend(linkerd.proxies.get(&key).cloned().map(|proxy| (key, proxy)));
        own.servers.insert((server.namespace.clone(), server.name.clone()), server.clone());
        let authorizations = linkerd.server_authorizations.iter().filter(|one| {
            one.namespace == server.namespace && one.selects(&server.name, &server.labels)
        });
        own.server_authorizations = authorizations.cloned().collect();
        let is_for = |policy: &&Policy| {
            let target = &policy.target;
            let is_other = target.is(POLICY, "Server") && target.name != server.name;
            policy.namespace == server.namespace && !is_other
        };
        own.policies = linkerd.policies.iter().filter(is_for).cloned().collect();
        let required = own.policies.iter().flat_map(|policy| {
            policy.required.iter().map(move |one| {
                (one.namespace.as_ref().unwrap_or(&policy.namespace).clone(), one.name.clone())
            })
        });
        let required: BTreeSet<Name> = required.collect();
        for name in required {
            let tls = linkerd.mesh_tls.get(&name).cloned();
            own.mesh_tls.extend(tls.map(|one| (name.clone(), one)));
            let networks = linkerd.networks.get(&name).cloned();
            own.networks.extend(networks.map(|one| (name, one)));
        }
        let named = named(&own);
        let mut gate = Self { linkerd: own, workload, port, server, bound, named };
        gate.close();
        gate
    }

    /// Leaves out routes that everyone may call, unless all are of that kind.
    fn close(&mut self) {
        if self.bound.is_empty() {
            return;
        }
        let verdicts = self.ask(None, NEAR);
        let with = self.bound.iter().zip(verdicts);
        let closed: Vec<&RouteOf> =
            with.filter(|(_, verdict)| verdict.status.is_some()).map(|(one, _)| *one).collect();
        if !closed.is_empty() {
            self.bound = closed;
        }
    }

    /// The verdicts on a client: that of the port, or one for each route of its Server.
    fn ask(&self, identity: Option<&str>, address: IpAddr) -> Vec<Verdict> {
        let client = Client { identity: identity.map(str::to_owned), address };
        let judge = |bound: Bound| self.linkerd.judge(self.workload, self.port, &client, |_| bound);
        if self.bound.is_empty() {
            return vec![judge(Bound::None)];
        }
        let of = |route: &&RouteOf| {
            let own = &route.route;
            let (kind, name) = (own.kind().to_owned(), own.name.clone());
            judge(Bound::Route(route.group.clone(), kind, name, own.at))
        };
        self.bound.iter().map(of).collect()
    }

    /// Whom of those that are of no service it lets in, and where that is told if not by the Server itself.
    pub(super) fn strangers(&self) -> (DefaultPolicy, Option<At>) {
        if self.server.access == DefaultPolicy::Audit {
            return (DefaultPolicy::Audit, None);
        }
        let nobody = self.linkerd.settings.identity("no-namespace-of-the-cluster", "nobody");
        let nobody = Some(nobody.as_str());
        for (policy, identity, address) in [
            (DefaultPolicy::AllUnauthenticated, None, FAR),
            (DefaultPolicy::ClusterUnauthenticated, None, NEAR),
            (DefaultPolicy::AllAuthenticated, nobody, FAR),
            (DefaultPolicy::ClusterAuthenticated, nobody, NEAR),
        ] {
            let verdicts = self.ask(identity, address);
            if verdicts.iter().all(|verdict| verdict.status.is_none()) {
                let at = verdicts.first().and_then(|verdict| verdict.at);
                return (policy, at.filter(|at| *at != self.server.at));
            }
        }
        (DefaultPolicy::Deny, None)
    }

    /// Where it is told that pods with an identity are let in, if they are.
    pub(super) fn lets_in(&self, identity: &str) -> Option<At> {
        // Whom nobody names is a stranger.
        if !self.named.is_given(Some(identity)) {
            return None;
        }
        let verdicts = self.ask(Some(identity), NEAR);
        let admitting = verdicts.into_iter().find(|verdict| verdict.status.is_none())?;
        Some(admitting.at.unwrap_or(self.server.at))
    }
}

/// All identities that authorizations name.
fn named(linkerd: &Linkerd) -> Proof {
    let mut named = Vec::new();
    for clients in linkerd.server_authorizations.iter().filter_map(|one| one.clients.as_ref()) {
        if let Proof::Identities(identities) = &clients.proof {
            named.extend(identities.iter().cloned());
        }
    }
    named.extend(linkerd.mesh_tls.values().flat_map(|tls| tls.identities.iter().cloned()));
    for policy in &linkerd.policies {
        for one in policy.required.iter().filter(|one| one.is("", "ServiceAccount")) {
            let of = one.namespace.as_ref().unwrap_or(&policy.namespace);
            named.push(linkerd.settings.identity(of, &one.name));
        }
    }
    named.sort_unstable();
    named.dedup();
    Proof::Identities(named)
}
