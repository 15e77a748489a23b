//! The world at time zero.
//!
//! Stationary: certificates have ages spread evenly over their life up to renewal, within each
//! workload, at a place drawn by its name; streams are open. Cold: everything is at age zero.
//!
//! Source: the model page, long time.
//! Left out: connections that are open at time zero; they open at first use, during warm-up.

use super::World;
use super::authorities::Authorities;
use super::census::Census;
use super::client::Source;
use super::cluster::WorkloadState;
use super::compiled::Compiled;
use super::config::Config;
use super::config::Seen;
use super::control::ControlPlane;
use super::event::Event;
use super::keep_alive::KeepAlive;
use super::ledger::Ledger;
use super::linkerd::Outbound;
use super::network::Nodes;
use super::options::Options;
use super::pod::Kind;
use super::samplers::Samplers;
use super::sends::Sends;
use super::shared_cores;
use super::streams::XdsStream;
use super::timeline::Timeline;
use crate::kernel::digest::{Digest, Ladder};
use crate::kernel::queue::Queue;
use crate::kernel::slab::Slab;
use crate::kernel::stream::{below, draw_at, uniform};
use crate::kernel::time::Time;
use crate::model::identity::certificate::Leaf;
use crate::model::net::topology::Network;
use crate::model::sampling::clock::Clock;
use crate::observe::recorder::Recorder;
use crate::plan::universe::{ClusterId, WorkloadId};
use crate::plan::{Plan, Start};
use crate::vocabulary::cause::Causes;
use std::collections::{BTreeMap, BTreeSet};

impl<'p> World<'p> {
    /// The world of a plan at time zero.
    pub(super) fn new(plan: &'p Plan, seed: u64, options: Options) -> Self {
        let universe = &plan.universe;
        let mut queue = Queue::new();
        let mut samplers = Samplers::default();
        let compiled = Compiled::new(plan, &mut queue, &mut samplers);
        let sends = Sends::new(plan, &mut queue);
        let keep_alive = KeepAlive::new(plan, &mut queue);
        let recorder = Recorder::new(plan, options.recorders, compiled.edges.clone());
        let sources = plan.traffic.iter().map(|one| Source::new(one, seed, &mut samplers));
        let mut world = Self {
            plan,
            seed,
            options,
            now: Time::ZERO,
            end: Time::ZERO + plan.duration,
            queue,
            digest: Digest::new(),
            ladder: Ladder::new(plan.duration),
            events: 0,
            stale: 0,
            is_stale: false,
            owner: 0,
            sources: sources.collect(),
            calls: Slab::with_capacity(1024),
            attempts: Slab::with_capacity(1024),
            connections: Slab::with_capacity(1024),
            proxied: BTreeMap::new(),
            unread: BTreeMap::new(),
            keep_alive,
            tied: BTreeMap::new(),
            left: BTreeSet::new(),
            given: BTreeMap::new(),
            sends,
            hedged: BTreeMap::new(),
            has_odd_apps: has_odd_apps(plan),
            filters: super::filters::Filters::default(),
            upstreams: Vec::new(),
            checks: super::checks::Checks::default(),
            listeners: BTreeMap::new(),
            drains: BTreeMap::new(),
            arrivals: super::discovery::Arrivals::default(),
            network: Network::new(universe, &plan.parameters.network),
            nodes: Nodes::new(universe),
            // No more than there are: a vector that doubles wastes up to half of it.
            pods: Vec::with_capacity(super::estimate::pods_ever(plan)),
            workloads: workload_states(plan, seed),
            kubernetes: super::kubernetes::Kubernetes::new(plan),
            config: Config::new(plan),
            control: ControlPlane::new(plan),
            timeline: Timeline::new(plan),
            security: super::security::Security::new(plan),
            authorities: Authorities::new(plan),
            ztunnels: super::ztunnel::Ztunnels::new(plan),
            linkerd: Outbound::new(plan, &compiled),
            clock: Clock::default(),
            sampling: None,
            recorder,
            access: options.access_log.then(Box::default),
            status: None,
            ledger: Ledger::default(),
            causes: Causes::default(),
            blames: super::blame::Blames::default(),
            census: Census::default(),
            frozen: Vec::new(),
            occurrences: Vec::new(),
            memory: super::memory::Memory::default(),
            compiled,
        };
        world.compiled.sampler_bytes = samplers.bytes();
        world.begin_all();
        world
    }

    fn begin_all(&mut self) {
        self.start_sampling();
        // A replica's context and the push that it prepares are of the first version.
        (0..2 * self.control.replicas.len()).for_each(|_| self.config.hold_first());
        self.start_pods();
        self.begin_control();
        self.begin_checks();
        // Events of one instant happen in this order: the timeline before traffic.
        self.start_timeline();
        if self.linkerd.is_some() {
            self.watch_failovers();
        }
        self.start_recording();
        self.begin_traffic();
    }

    fn start_pods(&mut self) {
        self.create_first_pods();
        self.start_kubernetes();
        self.start_tokens();
        self.start_serving();
        self.check();
    }

    fn create_first_pods(&mut self) {
        for (workload, index) in self.plan.universe.workloads.iter().zip(0..) {
            let id = WorkloadId(index);
            let is_meshed = workload.meshed && self.plan.has_mesh();
            for ordinal in 0..workload.replicas {
                let pod = self.new_pod(id, is_meshed);
                let record = &mut self.pods[pod as usize];
                record.app_is_up = true;
                record.proxy_is_up = true;
                self.enter_service(pod);
                if is_meshed && self.pods[pod as usize].kind == Kind::Own {
                    self.start_proxy(pod, ordinal, workload.replicas);
                }
            }
        }
        self.start_ztunnels();
        for (cluster, index) in self.plan.universe.clusters.iter().zip(0..) {
            let ready = cluster.workloads.iter().map(|one| &self.workloads[one.index()].ready);
            let mut list: Vec<u32> = ready.flatten().copied().collect();
            list.sort_unstable();
            self.config.set_endpoints(ClusterId(index), &list);
        }
        self.start_root_checks();
    }

    /// A proxy that has been running: its certificate, its stream, its configuration.
    fn start_proxy(&mut self, index: u32, ordinal: u32, replicas: u32) {
        if self.control.replicas.is_empty() {
            return;
        }
        let leaf = self.begin_certificate(index, ordinal, replicas);
        self.begin_stream(index);
        self.expect_early_end(index);
        match leaf {
            Some(leaf) => self.expect_end(index, leaf.not_after),
            None => self.recount(index),
        }
    }

    /// A certificate that was there at time zero.
    pub(super) fn begin_certificate(
        &mut self,
        index: u32,
        ordinal: u32,
        replicas: u32,
    ) -> Option<Leaf> {
        let hash = self.pods[index as usize].hash;
        let draw = |purpose: &str, n| draw_at(self.seed, purpose, hash, n);
        let draws = [draw("renewal", 0), draw("renewal", 1)];
        let cert = &self.plan.parameters.cert;
        let signing = self.signing(index, 0);
        let is_linkerd = self.plan.linkerd.is_some();
        let leaf = match self.plan.start {
            Start::Cold if is_linkerd => Some(self.aged_leaf(0.0)),
            Start::Cold => Leaf::issue(Time::ZERO, cert, signing, draws, 0).ok(),
            Start::Stationary => {
                let workload = self.workloads[self.pods[index as usize].workload.index()].hash;
                let offset = uniform(draw_at(self.seed, "leaf ages", workload, 0));
                let within = uniform(draw("leaf age", 0));
                let stratum = (f64::from(ordinal) + within) / f64::from(replicas);
                let share = (stratum + offset) % 1.0;
                Some(if is_linkerd {
                    self.aged_leaf(share)
                } else {
                    Leaf::aged(cert, signing, share, draws)
                })
            }
        };
        let leaf = leaf.map(|leaf| self.renewed_by_ztunnel(index, leaf));
        if let Some(leaf) = &leaf
            && leaf.renew_at < self.end
        {
            let ticket = self.queue.at(leaf.renew_at, Event::Renew(index).pack());
            self.pods[index as usize].renewal = ticket;
        }
        let pod = &mut self.pods[index as usize];
        pod.leaf = leaf;
        pod.root = self.authorities.chains.root(signing.signer);
        pod.next_leaf = 1;
        self.control.counts.certificates_issued += 1;
        leaf
    }

    /// A stream that was there at time zero.
    pub(super) fn begin_stream(&mut self, index: u32) {
        let hash = self.pods[index as usize].hash;
        let draw = draw_at(self.seed, "istiod replica", hash, 0);
        let replica = below(draw, self.control.count() as usize);
        self.pods[index as usize].stream =
            XdsStream::Connected(u32::try_from(replica).unwrap_or(0));
        self.begin_age(index);
        self.set_seen(index, Seen::all(1));
        self.control.replicas[replica].connected.insert(index);
    }
}

/// The state of each workload at time zero.
fn workload_states(plan: &Plan, seed: u64) -> Vec<WorkloadState> {
    let crowding = |id: u32| plan.crowding.get(&WorkloadId(id)).copied().unwrap_or_default();
    let workloads = plan.universe.workloads.iter().zip(0..);
    let proxies = |id: u32| shared_cores::proxy_work(plan, WorkloadId(id));
    workloads.map(|(one, id)| WorkloadState::new(one, crowding(id), proxies(id), seed)).collect()
}

/// Whether some apps do more than answer as a whole, or are asked for more: see `proxied`.
fn has_odd_apps(plan: &Plan) -> bool {
    plan.universe.workloads.iter().any(|one| !one.behaviour.is_plain())
        || plan.linkerd.is_some()
        || super::rate_limits::has_some(plan)
        || super::admission::has_inbound(plan)
        || super::overload::matters(plan)
}
