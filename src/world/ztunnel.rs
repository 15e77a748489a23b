//! ztunnel: the proxy of a node in an ambient mesh, which speaks for all pods there.
//!
//! A ztunnel has one certificate for each account on its node, and one stream to istiod. Neither belongs to a pod of
//! a workload, so both have records of their own among the pods, and the loops of `renewal` and `streams` run on
//! these. Pods are captured: they point to the record that has their certificate, and see what their ztunnel sees.
//!
//! ```text
//! pod starts ── istiod hears, pushes ── ztunnel knows it, asks for its account's certificate ── traffic
//!      └ connections from and to it: held ─ workload_wait ─ dropped
//! ```
//!
//! Source: ztunnel `src/identity/manager.rs`, `src/proxy.rs`, `src/state.rs`, `src/xds/client.rs`; istio#54889, #56452;
//! the parameters `ztunnel.*`.
//! Left out: the CPU of a ztunnel, which its pods share: each has its own here; a ztunnel that ends and
//! starts by itself; istio-cni.

use super::World;
use super::config::Seen;
use super::event::Event;
use super::pod::Kind;
use super::state::{Connection, Life, Pod};
use super::streams::XdsStream;
use crate::kernel::bytes::Bytes as _;
use crate::kernel::queue::Ticket;
use crate::kernel::slab::Id;
use crate::kernel::stream::name_hash;
use crate::model::identity::certificate::Leaf;
use crate::model::identity::retry::RetryLoop;
use crate::plan::Plan;
use crate::plan::universe::{NodeId, Role, WorkloadId};
use crate::vocabulary::cause::{CauseId, CauseKind};
use std::collections::{BTreeMap, BTreeSet};

/// In place of a version: the pod is known, and the first certificate of its account is under way.
const ASKED: u32 = u32::MAX;

/// All ztunnels; without an ambient mesh, nothing.
#[derive(Debug, Default)]
pub(crate) struct Ztunnels {
    /// By node: the record of its ztunnel.
    by_node: Vec<u32>,
    /// The records of certificates, by node and account.
    holders: BTreeMap<(NodeId, WorkloadId), u32>,
    /// By workload: the first that has the same account.
    accounts: Vec<WorkloadId>,
    /// Pods of which their ztunnels have not heard, with the version that tells of them.
    pub unknown: BTreeMap<u32, u32>,
    /// Connections that wait for such a pod.
    pub waiting: BTreeMap<u32, Vec<Id<Connection>>>,
}

impl Ztunnels {
    pub(crate) fn new(plan: &Plan) -> Self {
        if !plan.parameters.ztunnel.present {
            return Self::default();
        }
        let mut first = BTreeMap::new();
        let account = |(one, id): (&'_ crate::plan::universe::Workload, u32)| {
            *first.entry(one.app.clone()).or_insert(WorkloadId(id))
        };
        Self {
            accounts: plan.universe.workloads.iter().zip(0..).map(account).collect(),
            ..Self::default()
        }
    }

    /// Every ztunnel has heard of its pods.
    #[inline]
    pub(super) fn knows_all(&self) -> bool {
        self.unknown.is_empty()
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.by_node.bytes() + self.holders.bytes() + self.accounts.bytes() + self.unknown.bytes()
    }
}

impl World<'_> {
    /// Whether the pods of a workload are in the mesh without proxies of their own.
    pub(super) fn captures(&self, workload: WorkloadId) -> bool {
        let spec = &self.plan.universe.workloads[workload.index()];
        self.plan.parameters.ztunnel.present
            && spec.meshed
            && spec.role == Role::App
            && !self.control.replicas.is_empty()
    }

    /// The record that has a pod's certificate.
    #[inline]
    pub(super) fn holder(&self, pod: u32) -> &Pod {
        &self.pods[self.pods[pod as usize].holder as usize]
    }

    /// What a record of a ztunnel is called.
    pub(super) fn ztunnel_name(&self, index: u32) -> String {
        let pod = &self.pods[index as usize];
        let node = &self.plan.universe.nodes[pod.node.index()].name;
        match pod.kind {
            Kind::Account => {
                let app = &self.plan.universe.workloads[pod.workload.index()].app;
                format!("ztunnel-{node}/{app}")
            }
            _ => format!("ztunnel-{node}"),
        }
    }

    // === records ===

    /// The ztunnels of time zero have run for long: they know every pod, and have their certificates.
    pub(super) fn start_ztunnels(&mut self) {
        if !self.plan.parameters.ztunnel.present || self.control.replicas.is_empty() {
            return;
        }
        let pods = 0..u32::try_from(self.pods.len()).expect("fewer than 2^32 pods");
        let nodes = u32::try_from(self.plan.universe.nodes.len()).expect("few nodes");
        for node in 0..nodes {
            let index = self.add_record(Kind::Ztunnel, WorkloadId(0), NodeId(node));
            self.ztunnels.by_node.push(index);
            self.begin_stream(index);
            self.recount(index);
        }
        for pod in pods {
            if self.pods[pod as usize].kind != Kind::Captured {
                continue;
            }
            let (holder, is_new) = self.account_of(pod);
            let node = self.pods[pod as usize].node.0;
            if is_new && let Some(leaf) = self.begin_certificate(holder, node, nodes) {
                self.expect_early_end(holder);
                self.expect_end(holder, leaf.not_after);
            }
            self.pods[pod as usize].holder = holder;
            self.set_seen(pod, Seen::all(1));
            self.recount(pod);
        }
    }

    fn add_record(&mut self, kind: Kind, workload: WorkloadId, node: NodeId) -> u32 {
        let index = u32::try_from(self.pods.len()).expect("fewer than 2^32 pods");
        let pod = self.blank_pod(0, kind, workload, node, true);
        // No pod of a workload has this ordinal.
        let (life, ordinal) = (Life::Ready, u32::MAX);
        self.pods.push(Pod { holder: index, ordinal, life, proxy_is_up: true, ..pod });
        self.pods[index as usize].hash = name_hash(&self.ztunnel_name(index));
        self.recount(index);
        index
    }

    /// The record of the certificate for a pod's account on its node, and whether it is new.
    fn account_of(&mut self, pod: u32) -> (u32, bool) {
        let Pod { node, workload, .. } = self.pods[pod as usize];
        let account = self.ztunnels.accounts[workload.index()];
        if let Some(holder) = self.ztunnels.holders.get(&(node, account)) {
            return (*holder, false);
        }
        let holder = self.add_record(Kind::Account, account, node);
        self.ztunnels.holders.insert((node, account), holder);
        (holder, true)
    }

    /// The record that has the stream by which a pod hears of configuration.
    pub(super) fn stream_owner(&self, index: u32) -> u32 {
        let pod = &self.pods[index as usize];
        match pod.kind {
            Kind::Captured => self.ztunnels.by_node[pod.node.index()],
            _ => index,
        }
    }

    /// That stream.
    pub(super) fn stream_of(&self, index: u32) -> XdsStream {
        self.pods[self.stream_owner(index) as usize].stream
    }

    /// The records of a node's ztunnel, its own first.
    pub(super) fn records_on(&self, node: NodeId) -> Vec<u32> {
        let own = self.ztunnels.by_node.get(node.index()).copied();
        let of_accounts = (node, WorkloadId(0))..=(node, WorkloadId(u32::MAX));
        own.into_iter()
            .chain(self.ztunnels.holders.range(of_accounts).map(|(_, one)| *one))
            .collect()
    }

    // === pods come and go ===

    /// A captured pod's containers start: istiod hears of it, and tells every ztunnel.
    pub(super) fn come_to_ztunnel(&mut self, index: u32) {
        let Pod { kind, node, birth, .. } = self.pods[index as usize];
        if kind != Kind::Captured {
            return;
        }
        let seen = self.pods[self.ztunnels.by_node[node.index()] as usize].seen;
        let knows_something = seen.oldest() != 0;
        // Who it is decides its ztunnel; whom it can reach is what everybody knows.
        let own = if knows_something { seen } else { Seen::all(self.config.watched) };
        self.set_seen(index, own);
        self.recount(index);
        let told = self.ztunnels.unknown.get(&index).filter(|told| **told != ASKED).copied();
        if birth != 0 && told.is_none() && knows_something {
            return self.acquaint(index);
        }
        let version = match told {
            Some(version) => version,
            None if birth != 0 => 1,
            None => self.tell_of_pod(),
        };
        self.ztunnels.unknown.insert(index, version);
    }

    /// The version that tells of a new pod.
    fn tell_of_pod(&mut self) -> u32 {
        if !self.api_server_is_up() {
            return self.config.version() + 1;
        }
        let version = self.config.begin_version(self.now, None);
        self.schedule_watch();
        version
    }

    /// A ztunnel has a new configuration: so have the pods that it speaks for, and it may know more of them.
    pub(super) fn tell_captured(&mut self, ztunnel: u32) {
        let Pod { node, seen, .. } = self.pods[ztunnel as usize];
        for index in self.pods_on(node.0) {
            let pod = &self.pods[index as usize];
            if pod.kind != Kind::Captured || matches!(pod.life, Life::Starting | Life::Down) {
                continue;
            }
            self.take_configuration(index, seen);
            let version = self.ztunnels.unknown.get(&index);
            if version.is_some_and(|version| *version <= seen.oldest()) {
                self.acquaint(index);
            }
        }
        self.forget_unused(node);
    }

    /// ztunnel knows a pod: it has, or asks for, the certificate of its account. Until the first answer,
    /// connections wait.
    fn acquaint(&mut self, index: u32) {
        let (holder, _) = self.account_of(index);
        self.pods[index as usize].holder = holder;
        let record = &self.pods[holder as usize];
        if record.leaf.is_none() && record.csr.is_none() && record.renewal == Ticket::NONE {
            self.request_certificate(holder);
        }
        let now = self.now;
        let record = &self.pods[holder as usize];
        let is_asked = record.csr.as_ref().is_some_and(|csr| csr.next_try() <= now);
        if record.leaf.is_none() && record.renewal != Ticket::NONE && is_asked {
            self.ztunnels.unknown.insert(index, ASKED);
        } else {
            self.ztunnels.unknown.remove(&index);
            self.free_connections(index);
        }
    }

    /// A request for a certificate was answered, or has failed: who waited for it goes on.
    pub(super) fn account_answered(&mut self, holder: u32) {
        if self.ztunnels.knows_all() || self.pods[holder as usize].kind != Kind::Account {
            return;
        }
        let waits = |(pod, version): (&u32, &u32)| {
            let is_its = self.pods[*pod as usize].holder == holder;
            (is_its && *version == ASKED).then_some(*pod)
        };
        let pods: Vec<u32> = self.ztunnels.unknown.iter().filter_map(waits).collect();
        for pod in pods {
            self.ztunnels.unknown.remove(&pod);
            self.free_connections(pod);
        }
    }

    /// A captured pod is gone.
    pub(super) fn leave_ztunnel(&mut self, index: u32) {
        let Pod { kind, node, .. } = self.pods[index as usize];
        if kind != Kind::Captured {
            return;
        }
        self.ztunnels.unknown.remove(&index);
        self.ztunnels.waiting.remove(&index);
        if matches!(self.stream_of(index), XdsStream::Connected(_)) {
            self.forget_unused(node);
        }
    }

    /// ztunnel hears from istiod which accounts have no pods on its node any more; what it does not hear, it keeps.
    fn forget_unused(&mut self, node: NodeId) {
        let here = &self.nodes.pods[node.index()];
        let used: BTreeSet<u32> = here.iter().map(|pod| self.pods[*pod as usize].holder).collect();
        for record in self.records_on(node) {
            let pod = &self.pods[record as usize];
            let has_some = pod.leaf.is_some() || pod.csr.is_some();
            if pod.kind == Kind::Account && has_some && !used.contains(&record) {
                self.forget_certificate(record);
            }
        }
    }

    fn forget_certificate(&mut self, index: u32) {
        let pod = &mut self.pods[index as usize];
        (pod.leaf, pod.csr) = (None, None);
        (pod.renewal, pod.expiry) = (Ticket::NONE, Ticket::NONE);
        pod.csr_is_parked = false;
        (pod.leaf_cause, pod.renewal_cause) = (None, None);
        self.recount(index);
    }

    // === nodes ===

    /// A node loses power, and its ztunnel with all that it knows.
    pub(super) fn lose_ztunnel(&mut self, node: NodeId) {
        for index in self.records_on(node) {
            let pod = &mut self.pods[index as usize];
            (pod.life, pod.proxy_is_up) = (Life::Down, false);
            self.lose_stream(index);
            self.forget_certificate(index);
            let pod = &mut self.pods[index as usize];
            pod.stream = XdsStream::Off;
            (pod.stream_ticket, pod.stream_is_parked) = (Ticket::NONE, false);
            self.set_seen(index, Seen::default());
            self.recount(index);
        }
    }

    /// The node is back: its ztunnel asks for everything anew.
    pub(super) fn return_ztunnel(&mut self, node: NodeId) {
        for index in self.records_on(node) {
            let now = self.now;
            let pod = &mut self.pods[index as usize];
            (pod.life, pod.proxy_is_up) = (Life::Ready, true);
            pod.birth += 1;
            self.recount(index);
            let pod = &mut self.pods[index as usize];
            if pod.kind == Kind::Ztunnel {
                pod.stream_loop = RetryLoop::restart(now, pod.stream_loop.draws());
                self.try_stream(index);
            }
        }
    }

    // === certificates and streams ===

    /// A leaf as its holder renews it.
    pub(super) fn renewed_by_ztunnel(&self, index: u32, leaf: Leaf) -> Leaf {
        if self.pods[index as usize].kind != Kind::Account {
            return leaf;
        }
        let share = self.plan.parameters.ztunnel.refresh_at_life;
        leaf.renewed_at_share(share, self.clock_of(index), self.now)
    }

    /// A renewal failed: an old ztunnel drops the certificate that it has, however long it would be valid.
    pub(super) fn drop_certificate(&mut self, index: u32, because: CauseId) {
        if self.plan.parameters.ztunnel.keep_valid_on_failure {
            return;
        }
        let cause = self.caused(CauseKind::CertificateMissing, Some(because), || {
            "ztunnel drops certificates that it could not renew".to_owned()
        });
        let pod = &mut self.pods[index as usize];
        (pod.leaf, pod.leaf_cause, pod.expiry) = (None, Some(cause), Ticket::NONE);
        self.recount(index);
    }

    /// A certificate has ended: ztunnel asks again now, however long it would have waited.
    pub(super) fn hasten_renewal(&mut self, index: u32) {
        let now = self.now;
        let pod = &mut self.pods[index as usize];
        if pod.kind != Kind::Account || pod.csr_is_parked || pod.renewal == Ticket::NONE {
            return;
        }
        // One that is under way goes on.
        if let Some(csr) = pod.csr.as_mut().filter(|csr| now < csr.next_try()) {
            csr.hasten(now);
            pod.renewal = self.queue.at(now, Event::Renew(index).pack());
        }
    }

    /// istiod has closed a ztunnel's stream in order: the next is opened without a wait.
    pub(super) fn reopen_at_once(&mut self, index: u32) {
        let now = self.now;
        let pod = &mut self.pods[index as usize];
        if pod.kind == Kind::Ztunnel && pod.stream_ticket != Ticket::NONE {
            pod.stream_loop = RetryLoop::restart(now, pod.stream_loop.draws());
            pod.stream_ticket = self.queue.at(now, Event::Stream(index).pack());
        }
    }
}
