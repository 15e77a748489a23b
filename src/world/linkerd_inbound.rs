//! Linkerd's inbound proxies: who may call an app, and how often.
//!
//! Who calls is known by the handshake of the connection: a client without the mesh's mutual TLS has no identity.
//! Nobody is asked again for an answer that is known, so that all this goes on without a control plane.
//!
//! Source: `model::linkerd::{authorization, rate_limit}`.
//! Left out: ports and routes of their own; what a proxy does before the first answer of the policy controller;
//! networks: all clients are in the cluster's; policies that change while a mesh runs.

use super::World;
use super::linkerd_app::AppLink;
use super::state::{Attempt, Link};
use crate::kernel::slab::Id;
use crate::model::linkerd::answer::Answer;
use crate::model::linkerd::authorization::{Client, Rules, Verdict};
use crate::model::linkerd::queue::Limits;
use crate::model::linkerd::rate_limit::Limiter;
use crate::plan::Plan;
use crate::plan::linkerd::Linkerd;
use crate::plan::linkerd::authorization::{
    Authentication, Authorization, DefaultPolicy, IdentityMatch, Networks, PortProtocol,
};
use crate::plan::linkerd::policy::LocalRateLimit;
use crate::plan::linkerd::wire::AppProtocol;
use crate::plan::universe::WorkloadId;
use std::collections::{BTreeMap, BTreeSet};

/// Who may call, and how often; and the connections to apps.
pub(crate) struct Inbound {
    /// By workload; everybody may call those not here.
    ports: BTreeMap<WorkloadId, Port>,
    /// By pod.
    limiters: BTreeMap<u32, Limiter>,
    /// First bytes that wait for the detection of a protocol, by pod.
    pub detecting: BTreeMap<u32, BTreeSet<Id<Attempt>>>,
    /// What apps speak that do not speak HTTP/1.
    protocols: BTreeMap<WorkloadId, AppProtocol>,
    /// Connections to such apps, by pod.
    pub apps: BTreeMap<u32, AppLink>,
    pub limits: Limits,
    /// Requests at once in a pod.
    max_in_flight: u32,
}

/// The port of a workload's pods.
struct Port {
    rules: Option<Rules>,
    limit: Option<LocalRateLimit>,
}

impl Inbound {
    pub(crate) fn new(plan: &Plan, linkerd: &Linkerd) -> Self {
        let usual = linkerd.linkerd_inbound.default_policy;
        let mut ports = BTreeMap::new();
        for (service, id) in plan.universe.services.iter().zip(0..) {
            let said = plan.linkerd_rules.services.get(&crate::plan::universe::ServiceId(id));
            let server = said.and_then(|said| said.server.as_ref());
            let policy = server.map_or(usual, |server| server.access_policy);
            let mut rules = Rules::of_default(policy, PortProtocol::Http);
            let clients = server.map_or(&[][..], |server| &server.clients);
            if !clients.is_empty() {
                let identities = clients.iter().cloned().map(IdentityMatch::Exact).collect();
                rules.authorizations.push(Authorization {
                    name: "clients".to_owned(),
                    networks: Networks::All,
                    authentication: Authentication::Identities(identities),
                    is_audit: false,
                });
            }
            let is_open = matches!(
                policy,
                DefaultPolicy::AllUnauthenticated
                    | DefaultPolicy::ClusterUnauthenticated
                    | DefaultPolicy::Audit
            );
            let rules = (!is_open).then_some(rules);
            let limit = said.and_then(|said| said.rate_limit.clone());
            if rules.is_some() || limit.is_some() {
                for workload in &service.workloads {
                    let (rules, limit) = (rules.clone(), limit.clone());
                    ports.entry(*workload).or_insert(Port { rules, limit });
                }
            }
        }
        let mut protocols = BTreeMap::new();
        for (service, wire) in &plan.linkerd_rules.wires {
            for workload in &plan.universe.services[service.index()].workloads {
                protocols.entry(*workload).or_insert(wire.protocol);
            }
        }
        protocols.retain(|_, protocol| *protocol != AppProtocol::Http1);
        Self {
            ports,
            limiters: BTreeMap::new(),
            detecting: BTreeMap::new(),
            protocols,
            apps: BTreeMap::new(),
            limits: Limits::inbound_http(linkerd),
            max_in_flight: linkerd.linkerd_inbound.max_in_flight,
        }
    }

    /// What the apps of a workload speak.
    pub(super) fn protocol(&self, workload: WorkloadId) -> AppProtocol {
        self.protocols.get(&workload).copied().unwrap_or_default()
    }

    /// A pod's proxy is gone, and what it counted.
    pub(super) fn forget(&mut self, pod: u32) {
        self.limiters.remove(&pod);
        self.detecting.remove(&pod);
        self.apps.remove(&pod);
    }
}

impl World<'_> {
    /// Whether the server's proxy lets a request to its app now; if not, it answers, or has it wait.
    #[cold]
    #[inline(never)]
    pub(super) fn let_in_by_linkerd(&mut self, id: Id<Attempt>) -> bool {
        if self.app_protocol_at(self.attempts[id].workload).is_tcp() {
            return !self.is_detecting(id) && self.is_authorized(id);
        }
        !self.is_one_too_many(id) && self.is_authorized(id) && !self.waits_for_app(id)
    }

    /// More are under way than a proxy takes at once; who has left counts until its app is done with it.
    fn is_one_too_many(&mut self, id: Id<Attempt>) -> bool {
        let Attempt { pod, workload, .. } = self.attempts[id];
        let Some(own) = &self.linkerd else { return false };
        let record = &self.pods[pod as usize];
        let in_flight = record.visits.saturating_add(record.inbound);
        if in_flight < own.inbound.max_in_flight || !record.is_meshed {
            return false;
        }
        let outcome = self.outcome_of(Answer::LoadShed, self.app_protocol_at(workload));
        self.answer(id, outcome);
        true
    }

    fn is_authorized(&mut self, id: Id<Attempt>) -> bool {
        let Attempt { workload, connection, client, pod, .. } = self.attempts[id];
        let now = self.now;
        let Some(own) = &mut self.linkerd else { return true };
        let Some(port) = own.inbound.ports.get(&workload) else { return true };
        let Some(connection) = self.connections.get(connection) else { return true };
        let is_mutual = connection.link == Link::Open && connection.is_encrypted;
        let account = self.pods[client as usize].workload;
        let name = &self.plan.universe.workloads[account.index()].app;
        let identity = is_mutual.then_some(name.as_str());
        let shown = Client { tls: is_mutual, identity, in_cluster: true };
        let verdict = port.rules.as_ref().map(|rules| rules.decide(&shown, true));
        let mut answer = match verdict {
            Some(Verdict::Denied(answer)) => Some(answer),
            Some(Verdict::Closed) => Some(Answer::Unauthorized),
            Some(Verdict::Allowed | Verdict::Audited) | None => None,
        };
        if let (None, Some(limit)) = (answer, &port.limit) {
            let limiter = own.inbound.limiters.entry(pod).or_default();
            let whose = is_mutual.then_some(account.0);
            answer = limiter.check(limit, now, whose).err().map(Answer::RateLimited);
        }
        let Some(answer) = answer else { return true };
        let outcome = self.outcome_of(answer, self.app_protocol_at(workload));
        self.answer(id, outcome);
        false
    }
}
