//! Linkerd's inbound proxies: who may call an app, and how often.
//!
//! Who calls is known by the handshake of the connection: a client without the mesh's mutual TLS has no identity.
//! Nobody is asked again for an answer that is known, so that all this goes on without a control plane.
//!
//! Source: `model::linkerd::{authorization, rate_limit}`.
//! Which of several policies a proxy has, and what it does before it has any, stands in `linkerd_policy`.
//! Left out: ports and routes of their own; networks: all clients are in the cluster's.

use super::World;
use super::linkerd_app::AppLink;
use super::linkerd_policy::Told;
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
use crate::plan::linkerd::rules::Server;
use crate::plan::linkerd::wire::AppProtocol;
use crate::plan::universe::WorkloadId;
use crate::vocabulary::outcome::{Details, Outcome};
use std::collections::{BTreeMap, BTreeSet};

/// Who may call, and how often; and the connections to apps.
pub(crate) struct Inbound {
    /// By workload; everybody may call those not here.
    pub(super) ports: BTreeMap<WorkloadId, Ports>,
    /// By pod.
    limiters: BTreeMap<u32, Limiter>,
    /// Who has been told what.
    pub(super) told: Told,
    /// What every port has that nobody has told of yet.
    at_boot: Port,
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

/// The port of a workload's pods as it was, is and is to be.
pub(crate) struct Ports {
    /// The first is that of the plan.
    pub revisions: Vec<Port>,
    /// The one that the policy controller knows.
    pub watched: usize,
}

/// The port of a workload's pods.
#[derive(Clone, PartialEq)]
pub(crate) struct Port {
    rules: Option<Rules>,
    limit: Option<LocalRateLimit>,
}

impl Port {
    /// Without a `Server` the default policy counts.
    pub(super) fn new(
        usual: DefaultPolicy,
        server: Option<&Server>,
        limit: Option<&LocalRateLimit>,
    ) -> Self {
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
        Self { rules: (!is_open(policy)).then_some(rules), limit: limit.cloned() }
    }

    fn at_boot(usual: DefaultPolicy) -> Self {
        let rules = Rules::at_boot(usual, PortProtocol::Http);
        Self { rules: (!is_open(usual)).then_some(rules), limit: None }
    }

    /// Whether it asks nothing of anybody.
    pub(super) fn is_open(&self) -> bool {
        self.rules.is_none() && self.limit.is_none()
    }
}

fn is_open(policy: DefaultPolicy) -> bool {
    matches!(
        policy,
        DefaultPolicy::AllUnauthenticated
            | DefaultPolicy::ClusterUnauthenticated
            | DefaultPolicy::Audit
    )
}

impl Inbound {
    pub(crate) fn new(plan: &Plan, linkerd: &Linkerd) -> Self {
        let usual = linkerd.linkerd_inbound.default_policy;
        let mut ports = BTreeMap::new();
        for (service, id) in plan.universe.services.iter().zip(0..) {
            let said = plan.linkerd_rules.services.get(&crate::plan::universe::ServiceId(id));
            let server = said.and_then(|said| said.server.as_ref());
            let port = Port::new(usual, server, said.and_then(|said| said.rate_limit.as_ref()));
            if !port.is_open() {
                for workload in &service.workloads {
                    let revisions = vec![port.clone()];
                    ports.entry(*workload).or_insert(Ports { revisions, watched: 0 });
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
            told: Told::default(),
            at_boot: Port::at_boot(usual),
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
        self.told.forget(pod);
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
        self.count_linkerd(|counts| counts.inbound.count(outcome.details));
        self.answer(id, outcome);
        true
    }

    fn is_authorized(&mut self, id: Id<Attempt>) -> bool {
        let Attempt { workload, connection, client, pod, .. } = self.attempts[id];
        let now = self.now;
        let Some(own) = &mut self.linkerd else { return true };
        let inbound = &mut own.inbound;
        let Some(ports) = inbound.ports.get(&workload) else {
            self.count_linkerd(|counts| counts.allowed += 1);
            return true;
        };
        let port = match inbound.told.has(pod) {
            Some(revision) => &ports.revisions[revision],
            None => &inbound.at_boot,
        };
        let Some(connection) = self.connections.get(connection) else { return true };
        let is_mutual = connection.link == Link::Open && connection.is_encrypted;
        let account = self.pods[client as usize].workload;
        let name = &self.plan.universe.workloads[account.index()].app;
        let identity = is_mutual.then_some(name.as_str());
        let shown = Client { tls: is_mutual, identity, in_cluster: true };
        let verdict = port.rules.as_ref().map(|rules| rules.decide(&shown, true));
        let mut answer = match verdict {
            Some(Verdict::Denied(answer)) => Some(answer),
            Some(Verdict::Closed) => {
                // Its client's proxy answers for it.
                self.count_linkerd(|counts| counts.denied += 1);
                self.answer(id, Outcome::failure(Details::ConnectionTermination));
                return false;
            }
            Some(Verdict::Allowed | Verdict::Audited) | None => None,
        };
        if let (None, Some(limit)) = (answer, &port.limit) {
            let limiter = inbound.limiters.entry(pod).or_default();
            let whose = is_mutual.then_some(account.0);
            answer = limiter.check(limit, now, whose).err().map(Answer::RateLimited);
        }
        let is_denied = answer == Some(Answer::Unauthorized);
        self.count_linkerd(|counts| {
            counts.denied += u64::from(is_denied);
            counts.allowed += u64::from(!is_denied);
        });
        let Some(answer) = answer else { return true };
        let outcome = self.outcome_of(answer, self.app_protocol_at(workload));
        self.answer(id, outcome);
        false
    }
}
