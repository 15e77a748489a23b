//! Why a request failed, where nothing on its way knew: a queue that was long, a timeout, a breaker, a
//! route. What is blamed is the last event that reaches the service called and does such a thing; an
//! overload outlives what set it off, so events that are over count there too. If there is none, the
//! scenario has it so from the start, and the setting is the root.
//!
//! Source: ARCHITECTURE.md, "a failed request ends with a cause". Outside the digest.
//! Left out: shares of blame; where several events in force could have done it, the last one is named.

use super::World;
use super::ending::{Nature, configured, disturbed, nature};
use super::state::Call;
use crate::kernel::slab::Id;
use crate::kernel::time::Time;
use crate::observe::run::OutcomeRow;
use crate::plan::identity::IdentityChange;
use crate::plan::pods::ClusterAction;
use crate::plan::timeline::{Action, PodSet};
use crate::plan::universe::{NodeId, ServiceId, Step, WorkloadId};
use crate::vocabulary::cause::{Cause, CauseId, CauseKind};
use crate::vocabulary::outcome::{Details, Outcome};
use std::collections::{BTreeMap, BTreeSet};

/// What was blamed so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Blames {
    /// Changes of the timeline so far: what is in force is the same between two of them.
    epoch: u32,
    known: BTreeMap<(Details, ServiceId), (u32, CauseId)>,
    /// One for each event blamed, or for the setting.
    links: BTreeMap<(Details, ServiceId, Option<CauseId>), CauseId>,
    /// Workloads that a request to a service may reach.
    below: BTreeMap<ServiceId, BTreeSet<WorkloadId>>,
}

impl Blames {
    /// The timeline changed.
    pub(super) fn forget(&mut self) {
        self.epoch += 1;
    }
}

impl World<'_> {
    /// Why a call failed.
    #[cold]
    #[inline(never)]
    pub(super) fn why(&mut self, id: Id<Call>, outcome: Outcome) -> Option<CauseId> {
        let call = &self.calls[id];
        if call.cause.is_some() {
            return call.cause;
        }
        let (details, service) = (outcome.details, call.service);
        let epoch = self.blames.epoch;
        if let Some((then, cause)) = self.blames.known.get(&(details, service))
            && *then == epoch
        {
            return Some(*cause);
        }
        let cause = self.blamed(details, service);
        self.blames.known.insert((details, service), (epoch, cause));
        Some(cause)
    }

    /// The cause of requests to a service that end so and know no other.
    pub(super) fn blamed(&mut self, details: Details, service: ServiceId) -> CauseId {
        let event = self.event_to_blame(details, service);
        if let Some(link) = self.blames.links.get(&(details, service, event)) {
            return *link;
        }
        let name = &self.plan.universe.services[service.index()].name;
        let cause = match event {
            Some(_) => Cause {
                kind: CauseKind::Disturbed,
                at: self.now,
                what: disturbed(details, name),
                because: event,
            },
            None => Cause {
                kind: CauseKind::Configured,
                at: Time::ZERO,
                what: configured(details, name),
                because: None,
            },
        };
        let link = self.causes.add(cause);
        self.blames.links.insert((details, service, event), link);
        link
    }

    /// Answers that are no failures, and that a proxy or an app refused all the same.
    pub(super) fn blame_refusals(&mut self, rows: &mut [OutcomeRow]) {
        let services = self.plan.universe.declared_services();
        for row in rows.iter_mut().filter(|row| row.cause.is_none() && 400 <= row.outcome.status) {
            let named = services.binary_search_by(|one| one.name.as_str().cmp(&row.destination));
            let Some(service) = named.ok().and_then(|index| u32::try_from(index).ok()) else {
                continue;
            };
            row.cause = Some(self.blamed(row.outcome.details, ServiceId(service)));
        }
    }

    fn event_to_blame(&mut self, details: Details, service: ServiceId) -> Option<CauseId> {
        let nature = nature(details);
        if nature == Nature::Policy {
            let is_new = |action: &Action| matches!(action, Action::SetServer { service: of, .. } if *of == service);
            return self.in_force().rev().find(|(action, _)| is_new(action))?.1;
        }
        if !self.blames.below.contains_key(&service) {
            let below = self.workloads_below(service);
            self.blames.below.insert(service, below);
        }
        let below = &self.blames.below[&service];
        let reaches = |action: &Action| self.reaches(action, service, below);
        let in_force = || self.in_force().rev();
        let find = |fits: &dyn Fn(&Action) -> bool| {
            in_force().find(|(action, _)| reaches(action) && fits(action))
        };
        let any = find(&|action| does_just_that(action, details))
            .or_else(|| find(&|action| does(action, nature)));
        any.map_or_else(
            || {
                // What an event began may go on when it is over: retries, queues, rollouts.
                let over = self.plan.timeline.iter().zip(0..);
                let fits = |action: &Action| reaches(action) && does(action, nature);
                let over = over.filter(|(event, _)| event.actions().iter().any(fits));
                over.filter_map(|(_, index)| self.event_cause(index)).max()
            },
            |(_, cause)| cause,
        )
    }

    /// Whether what an action does can be felt by those who call a service.
    fn reaches(&self, action: &Action, service: ServiceId, below: &BTreeSet<WorkloadId>) -> bool {
        let some = |workloads: &[WorkloadId]| workloads.iter().any(|one| below.contains(one));
        let behind = self.plan.universe.behind(service);
        match action {
            Action::All(parts) => parts.iter().any(|part| self.reaches(part, service, below)),
            Action::FailPods(set)
            | Action::FailApps(set)
            | Action::RestartPods(set)
            | Action::FreezePods(set)
            | Action::Cluster(ClusterAction::CrashLoop(set))
            | Action::DrainProxies { pods: set, .. } => match set {
                PodSet::One(workload, _) => below.contains(workload),
                PodSet::Of(workloads, _) => some(workloads),
            },
            Action::SlowApps { workloads, .. }
            | Action::AppErrors { workloads, .. }
            | Action::Behave { workloads, .. }
            | Action::Rollout(workloads)
            | Action::SetTemplate(workloads)
            | Action::DescribeEndpoints { workloads, .. }
            | Action::PeerAuthentication { workloads, .. } => some(workloads),
            Action::SetServer { service: of, .. } => *of == service,
            Action::Scale { workload, .. } | Action::SetFilters { workload, .. } => {
                below.contains(workload)
            }
            Action::SetRoutes { service: of, .. } => *of == service || Some(*of) == behind,
            Action::SetEndpoints { cluster, .. }
            | Action::DefineCluster { cluster, .. }
            | Action::DescribeClusterEndpoint { cluster, .. } => {
                let of = self.plan.universe.clusters[cluster.index()].service;
                of == service || Some(of) == behind
            }
            Action::FailNodes(nodes) => self.run_on(below, nodes),
            Action::CutLinks { from, to, .. } | Action::DegradeLinks { from, to, .. } => {
                self.run_on(below, from) || self.run_on(below, to)
            }
            Action::ScaleTraffic { traffic, .. } => {
                let to = |index: &u32| self.plan.traffic[*index as usize].to;
                let meets = |index: &u32| !self.workloads_below(to(index)).is_disjoint(below);
                traffic.iter().any(meets)
            }
            Action::Note => false,
            _ => true,
        }
    }

    /// Whether pods of workloads may run on nodes.
    fn run_on(&self, workloads: &BTreeSet<WorkloadId>, nodes: &[NodeId]) -> bool {
        let universe = &self.plan.universe;
        let places = |one: &WorkloadId| &universe.workloads[one.index()].nodes;
        workloads.iter().any(|one| places(one).iter().any(|node| nodes.contains(node)))
    }

    /// The workloads behind a service, those that they call, and so on.
    fn workloads_below(&self, service: ServiceId) -> BTreeSet<WorkloadId> {
        let universe = &self.plan.universe;
        let mut below = BTreeSet::new();
        let mut services = vec![service];
        while let Some(service) = services.pop() {
            services.extend(universe.behind(service));
            for workload in &universe.services[service.index()].workloads {
                if below.insert(*workload) {
                    let spec = &universe.workloads[workload.index()];
                    services.extend(spec.call_sites().map(|site| site.to));
                    services.extend(spec.program.iter().filter_map(|step| match step {
                        Step::Forward(to) => Some(*to),
                        _ => None,
                    }));
                }
            }
        }
        below
    }
}

/// Whether requests end so wherever an action is in force.
fn does_just_that(action: &Action, details: Details) -> bool {
    match details {
        Details::ClusterNotFound => {
            matches!(action, Action::DefineCluster { definition: None, .. })
        }
        Details::NoHealthyUpstream => {
            matches!(action, Action::SetEndpoints { .. } | Action::Withhold(_))
        }
        _ => false,
    }
}

/// Whether an action is of that nature.
fn does(action: &Action, nature: Nature) -> bool {
    let told = matches!(
        action,
        Action::SetRoutes { .. }
            | Action::SetFilters { .. }
            | Action::SetEndpoints { .. }
            | Action::DefineCluster { .. }
            | Action::DescribeEndpoints { .. }
            | Action::DescribeClusterEndpoint { .. }
            | Action::Reject(_)
            | Action::Withhold(_)
            | Action::SetListener { .. }
            | Action::FailControlPlane { .. }
            | Action::PeerAuthentication { .. }
            | Action::FreezeControlPlane { .. }
            | Action::SlowControlPlane { .. }
            | Action::PushAll
            | Action::RotateSecret { .. }
    );
    // Handshakes know by themselves which of these they meet.
    let of_identity = match action {
        Action::Identity(change) => !matches!(change, IdentityChange::Suspend(_)),
        _ => false,
    };
    let of_app = matches!(
        action,
        Action::AppErrors { .. }
            | Action::Behave { .. }
            | Action::FailApps(_)
            | Action::FailPods(_)
            | Action::FailNodes(_)
            | Action::RestartPods(_)
            | Action::Rollout(_)
            | Action::SetTemplate(_)
            | Action::Scale { .. }
            | Action::DrainProxies { .. }
            | Action::FreezePods(_)
            | Action::CutLinks { .. }
            | Action::DegradeLinks { .. }
            | Action::Cluster(_)
    );
    match nature {
        Nature::Load => !told && !of_identity && !matches!(action, Action::AppErrors { .. }),
        Nature::App => of_app,
        Nature::Configuration => told || of_app,
        Nature::Policy => false,
    }
}
