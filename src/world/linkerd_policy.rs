//! What Linkerd's inbound proxies have been told of who may call: policies that change while a mesh runs.
//!
//! ```text
//! written ── the controller's watch ── told to each proxy that it reaches
//!                                      └ away: the last one stays until it is back, and the proxy's client with it
//! a proxy starts ── as it was injected: the default policy ── first answer: what is written
//! ```
//!
//! HTTP is judged request by request, so a change holds for the next one on each connection. Until the first answer no
//! `Server` and no limit is heeded; `deny` as injected is a policy for bytes, and connections are closed.
//!
//! Source: linkerd2-proxy linkerd/app/inbound/src/policy/store.rs:97,163; `model::linkerd::authorization`.
//! Left out: another default policy, which needs pods that are created anew; that a closed connection is opened
//! again for each request.

use super::World;
use super::control::POLICY;
use super::event::Event;
use super::linkerd::{Due, Timer};
use super::linkerd_inbound::{Port, Ports};
use super::state::Life;
use crate::kernel::slab::Id;
use crate::kernel::time::Time;
use crate::observe::mesh_status::{DestinationStatus, LinkerdStatus};
use crate::plan::timeline::Action;
use crate::plan::universe::{ServiceId, WorkloadId};
use std::collections::{BTreeMap, BTreeSet};

/// Who has been told what.
#[derive(Default)]
pub(crate) struct Told {
    /// The revision that a pod's proxy has, or none yet; the first for pods not here.
    by_pod: BTreeMap<u32, Option<usize>>,
    /// Pods that cannot be told.
    behind: BTreeSet<u32>,
    /// Those that are being told.
    telling: BTreeMap<u32, Id<Timer>>,
}

impl Told {
    /// The revision that a pod has; none if it was never told.
    pub(super) fn has(&self, pod: u32) -> Option<usize> {
        self.by_pod.get(&pod).copied().unwrap_or(Some(0))
    }

    /// A proxy is gone. What it had is known until it starts again.
    pub(super) fn forget(&mut self, pod: u32) {
        self.behind.remove(&pod);
        self.telling.remove(&pod);
    }
}

impl World<'_> {
    /// Another policy was written, or one taken back.
    pub(super) fn tell_server(&mut self, service: ServiceId) {
        if self.linkerd.is_none() {
            return;
        }
        let said = self.plan.linkerd_rules.services.get(&service);
        let mut server = said.and_then(|said| said.server.clone());
        let mut limit = said.and_then(|said| said.rate_limit.clone());
        for (action, _) in self.in_force() {
            if let Action::SetServer { service: of, server: one, rate_limit } = action
                && *of == service
            {
                server = one.clone().unwrap_or(server);
                limit = rate_limit.clone().unwrap_or(limit);
            }
        }
        let usual = self.own().linkerd_inbound.default_policy;
        let port = Port::new(usual, server.as_ref(), limit.as_ref());
        for workload in self.plan.universe.services[service.index()].workloads.clone() {
            let ports = &mut self.outbound().inbound.ports;
            let open = || Ports { revisions: vec![Port::new(usual, None, None)], watched: 0 };
            ports.entry(workload).or_insert_with(open).revisions.push(port.clone());
            let lane = self.compiled.watch_delay;
            self.queue.after_lane(lane, Event::PolicyWatch(workload.0).pack());
        }
    }

    /// The controller knows of it.
    pub(super) fn policy_watched(&mut self, workload: u32) {
        let Some(ports) = self.outbound().inbound.ports.get_mut(&WorkloadId(workload)) else {
            return self.stale();
        };
        ports.watched += 1;
        for pod in self.workloads[workload as usize].members.all() {
            let one = &self.pods[pod as usize];
            if one.is_meshed && !matches!(one.life, Life::Down | Life::Gone | Life::Starting) {
                self.tell_policy(pod);
            }
        }
    }

    /// A proxy starts, and asks.
    pub(super) fn begin_policy(&mut self, pod: u32) {
        let workload = self.pods[pod as usize].workload;
        let Some(own) = &mut self.linkerd else { return };
        if own.inbound.ports.contains_key(&workload) {
            own.inbound.told.by_pod.insert(pod, None);
            own.inbound.told.telling.remove(&pod);
            self.tell_policy(pod);
        }
    }

    /// The policy controller or the network changed.
    pub(super) fn ask_policy_again(&mut self) {
        for pod in self.outbound().inbound.told.behind.clone() {
            self.tell_policy(pod);
        }
    }

    /// When a proxy hears of its policy, if the controller is there.
    fn policy_comes(&self, pod: u32) -> Option<Time> {
        if self.control.replicas.is_empty() {
            return Some(self.now);
        }
        let told = self.lookup_answered(pod, POLICY)?;
        let way = told.since(self.now);
        Some(self.client_is_up(pod, POLICY).saturating_add(way))
    }

    fn tell_policy(&mut self, pod: u32) {
        let comes = self.policy_comes(pod);
        let told = &mut self.outbound().inbound.told;
        if comes.is_none() {
            told.behind.insert(pod);
        } else {
            told.behind.remove(&pod);
        }
        if let Some(at) = comes {
            let timer = self.set_timer(pod, at, Due::Policy);
            self.outbound().inbound.told.telling.insert(pod, timer);
        }
    }

    /// What a proxy knows, for whoever looks at the mesh.
    pub(super) fn linkerd_status(&self, pod: u32) -> Option<LinkerdStatus> {
        let own = self.linkerd.as_ref()?;
        let known = own.proxies.get(&pod).map(|proxy| &proxy.destinations);
        let destinations = known.into_iter().flatten().map(|(service, one)| {
            let balancers = one.backends.iter().filter_map(|index| own.balancers.get(index));
            let endpoints = balancers.fold((0, 0), |(all, ready), balancer| {
                let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
                (all + count(balancer.endpoints.len()), ready + count(balancer.ready.len()))
            });
            DestinationStatus {
                name: self.plan.universe.services[service.index()].name.clone(),
                endpoints: one.has_answer.then_some(endpoints),
                since: one.lookup.since(),
                until: (one.busy + one.idle == 0).then_some(one.until),
            }
        });
        let policy = own.inbound.told.has(pod).map(|revision| revision + 1);
        Some(LinkerdStatus { destinations: destinations.collect(), policy })
    }

    /// A proxy is told what the controller knows by now.
    pub(super) fn policy_told(&mut self, pod: u32, timer: Id<Timer>) -> bool {
        let workload = self.pods[pod as usize].workload;
        if self.outbound().inbound.told.telling.get(&pod) != Some(&timer) {
            return false;
        }
        if self.policy_comes(pod).is_none() {
            self.outbound().inbound.told.telling.remove(&pod);
            self.tell_policy(pod);
            return true;
        }
        let inbound = &mut self.outbound().inbound;
        inbound.told.telling.remove(&pod);
        if let Some(ports) = inbound.ports.get(&workload) {
            inbound.told.by_pod.insert(pod, Some(ports.watched));
        }
        true
    }
}
