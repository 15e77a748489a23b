//! Configuration as it arrives at one proxy: type after type, and not all of it is accepted.
//!
//! A push brings CDS, EDS, LDS and RDS, in the order and with the gaps that the plan says; each type has a
//! version of its own at the proxy. A cluster that CDS has told warms until EDS has, too:
//!
//! ```text
//! CDS ──── EDS ───────────> used, with endpoints
//!     └─── fetch timeout ─> used, without ─── EDS ───> with endpoints
//! ```
//!
//! Until then the one that it replaces serves on, and there is none (`NC`) if it replaces none. A stream
//! that is lost in the middle of a push leaves the proxy with what has come.
//!
//! What a proxy rejects (NACK) it has as it was; a proxy that never had it has none: without its clusters
//! or its listener it does not get ready (Istio's readiness asks for an accepted update of each), without
//! routes its requests are `NR`.
//!
//! Source: Istio's `pushOrder` and `status/ready/probe.go`; Envoy's `initial_fetch_timeout`; measured on
//! Envoy 1.40 (family e11, `modified_cluster_rest_eds_silent`; e09, an invalid update changes nothing).
//! Left out: one stream for each type; that a proxy which fails its own health check tells active checks; that a proxy that has missed some updates may have accepted an
//! older one than the last that was right; a proxy without endpoints of its clusters that starts anyhow
//! when the fetch takes too long.

use super::World;
use super::config::Seen;
use super::event::Event;
use super::listeners::Change;
use super::pod::Kind;
use super::state::Call;
use crate::kernel::slab::Id;
use crate::kernel::time::Time;
use crate::plan::Plan;
use crate::plan::discovery::XdsType;
use crate::plan::timeline::{Action, Resource, TimelineEvent};
use crate::plan::universe::{ClusterId, ServiceId, WorkloadId};
use crate::vocabulary::cause::CauseId;
use crate::vocabulary::fact::FactKind;
use crate::vocabulary::outcome::{Details, Outcome};
use std::collections::BTreeMap;

/// What is known of proxies whose configuration does not come as a whole.
#[derive(Default, Debug)]
pub(crate) struct Arrivals {
    /// By proxy to which a push is arriving: how many of its types have come.
    types: BTreeMap<u32, usize>,
    /// By proxy and cluster: what CDS told last.
    told: BTreeMap<(u32, ClusterId), Told>,
    /// By proxy and definition of a cluster: the version in which CDS told it.
    definitions: BTreeMap<(u32, ClusterId), u32>,
    /// By proxy: the version that it had first; those not here were there from the beginning.
    first: BTreeMap<u32, u32>,
    rejections: Vec<Rejection>,
    /// By workload: versions with another listener, and what it is.
    pub(super) listeners: BTreeMap<WorkloadId, Vec<(u32, Change)>>,
}

/// A definition of a cluster, as CDS told it to a proxy.
#[derive(Clone, Copy, Debug)]
struct Told {
    version: u32,
    at: Time,
    /// What the proxy used then, and uses until the new one is warm.
    old: Option<ClusterId>,
}

/// An update that is rejected: from one version on, until another one takes its place.
#[derive(Clone, Copy, Debug)]
struct Rejection {
    resource: Resource,
    from: u32,
    until: u32,
}

/// Whether types of configuration may come apart.
pub(super) fn are_apart(plan: &Plan) -> bool {
    let withholds = |action: &Action| matches!(action, Action::Withhold(_));
    !plan.discovery.is_plain() || some_action(plan, withholds)
}

/// Whether proxies ever reject something.
pub(super) fn has_rejections(plan: &Plan) -> bool {
    some_action(plan, |action| matches!(action, Action::Reject(_)))
}

/// Whether some event does such a thing.
pub(super) fn some_action(plan: &Plan, is_such: fn(&Action) -> bool) -> bool {
    plan.timeline.iter().flat_map(TimelineEvent::actions).any(is_such)
}

impl Seen {
    fn of(&mut self, kind: XdsType) -> &mut u32 {
        match kind {
            XdsType::Cds => &mut self.cds,
            XdsType::Eds => &mut self.eds,
            XdsType::Lds => &mut self.lds,
            XdsType::Rds => &mut self.rds,
        }
    }
}

impl World<'_> {
    // === type after type ===

    /// A push to a proxy is sent: its types are to come.
    pub(super) fn expect_types(&mut self, pod: u32) {
        self.arrivals.types.remove(&pod);
    }

    /// The next type of a push has come to its proxy, or all; whether no more are to come.
    #[cold]
    pub(super) fn type_arrives(&mut self, pod: u32, version: u32) -> bool {
        let discovery = self.plan.discovery;
        let come = self.arrivals.types.get(&pod).copied().unwrap_or(0);
        let until = if discovery.gap.is_zero() { discovery.order.len() } else { come + 1 };
        let mut seen = self.pods[pod as usize].seen;
        for kind in &discovery.order[come..until] {
            if !self.is_withheld(*kind) {
                let newest = seen.of(*kind);
                *newest = version.max(*newest);
            }
        }
        self.take_configuration(pod, seen);
        if until == discovery.order.len() {
            self.arrivals.types.remove(&pod);
            return true;
        }
        self.arrivals.types.insert(pod, until);
        self.pods[pod as usize].pushes += 1;
        self.queue.after(discovery.gap, Event::Pushed(pod).pack());
        false
    }

    /// A proxy has these versions from now on, and does as they say.
    pub(super) fn take_configuration(&mut self, pod: u32, seen: Seen) {
        let old = self.pods[pod as usize].seen;
        let used = if self.compiled.has.apart { self.definitions_of(pod) } else { Vec::new() };
        self.set_seen(pod, seen);
        if !used.is_empty() {
            self.begin_to_warm(pod, old.cds, seen, used);
        }
        if self.compiled.has.rejections {
            self.reject(pod, old, seen);
        }
        if self.compiled.has.listeners {
            self.tell_listener(pod, old.lds, seen.lds);
        }
        self.recount(pod);
        self.leave_gone_endpoints(pod);
        self.tell_definitions(Some(pod));
        self.tell_checks(Some(pod));
        if self.pods[pod as usize].kind == Kind::Ztunnel {
            self.tell_captured(pod);
        }
    }

    fn is_withheld(&self, kind: XdsType) -> bool {
        let mut actions = self.in_force().map(|(action, _)| action);
        actions.any(|one| matches!(one, Action::Withhold(kinds) if kinds.contains(&kind)))
    }

    /// What was withheld goes out.
    pub(super) fn push_again(&mut self) {
        for index in 0..u32::try_from(self.control.replicas.len()).expect("few replicas") {
            self.push_lacking(index);
        }
    }

    /// Everybody who lacks what a replica has, and is connected to it, shall have it.
    pub(super) fn push_lacking(&mut self, index: u32) {
        let replica = &self.control.replicas[index as usize];
        let lacks = |pod: &&u32| self.pods[**pod as usize].seen.oldest() < replica.context;
        let lacking: Vec<u32> = replica.connected.iter().filter(lacks).copied().collect();
        for pod in lacking {
            self.control.replicas[index as usize].push.enqueue(pod);
        }
        self.fill_slots(index);
    }

    // === clusters that warm ===

    /// What a proxy uses for each cluster that is ever defined anew.
    fn definitions_of(&self, pod: u32) -> Vec<(ClusterId, Option<ClusterId>)> {
        let clusters = self.config.definitions.keys();
        clusters.map(|cluster| (*cluster, self.definition(pod, *cluster))).collect()
    }

    fn begin_to_warm(
        &mut self,
        pod: u32,
        before: u32,
        seen: Seen,
        used: Vec<(ClusterId, Option<ClusterId>)>,
    ) {
        let timeout = self.plan.discovery.initial_fetch_timeout;
        let mut warms = false;
        for (cluster, old) in used {
            let (version, definition) = self.config.told(cluster, seen.cds);
            if let Some(definition) = definition
                && before < version
            {
                self.arrivals.definitions.insert((pod, definition), version);
                let told = Told { version, at: self.now, old };
                self.arrivals.told.insert((pod, cluster), told);
                warms |= seen.eds < version;
            }
        }
        if warms && !timeout.is_zero() {
            self.queue.after(timeout, Event::FetchTimeout(pod).pack());
        }
    }

    /// A proxy has waited long enough for endpoints of clusters.
    pub(super) fn fetch_timeout(&mut self, pod: u32) {
        self.tell_definitions(Some(pod));
    }

    /// Whether a proxy uses a cluster of that version although EDS has not told of it.
    pub(super) fn gave_up_fetching(&self, pod: u32, cluster: ClusterId, version: u32) -> bool {
        let timeout = self.plan.discovery.initial_fetch_timeout;
        let told = self.arrivals.told.get(&(pod, cluster));
        !timeout.is_zero()
            && told.is_some_and(|told| told.version == version && told.at + timeout <= self.now)
    }

    /// What a proxy uses while a cluster warms.
    pub(super) fn used_while_warming(&self, pod: u32, cluster: ClusterId) -> Option<ClusterId> {
        self.arrivals.told.get(&(pod, cluster))?.old
    }

    /// Whether EDS has not told of a cluster that its proxy uses: it has no endpoints yet.
    pub(super) fn is_unfetched(&self, upstream: u32) -> bool {
        let upstream = &self.upstreams[upstream as usize];
        let told = self.arrivals.definitions.get(&(upstream.pod, upstream.cluster));
        let eds = self.seen(upstream.pod).eds;
        upstream.version == 0 && told.is_some_and(|version| eds < *version)
    }

    // === what is rejected ===

    /// The control plane tells what is rejected, or something right in its place.
    pub(super) fn tell_rejected(&mut self, all: &[Resource], begins: bool, cause: Option<CauseId>) {
        self.config.begin_version(self.now, cause);
        let version = self.config.version();
        let needed = self.config.versions.oldest();
        let rejections = &mut self.arrivals.rejections;
        rejections.retain(|one| needed < one.until);
        for resource in all {
            if begins {
                rejections.push(Rejection { resource: *resource, from: version, until: u32::MAX });
            } else if let Some(one) =
                rejections.iter_mut().find(|one| one.resource == *resource && one.until == u32::MAX)
            {
                one.until = version;
            }
        }
        self.schedule_watch();
    }

    /// A proxy has got another version: it rejects what is wrong with it.
    fn reject(&mut self, pod: u32, old: Seen, seen: Seen) {
        if old.oldest() == 0 {
            let first = seen.versions().into_iter().max().unwrap_or(0);
            self.arrivals.first.insert(pod, first);
        }
        for place in 0..self.arrivals.rejections.len() {
            let Rejection { resource, from, until } = self.arrivals.rejections[place];
            let (old, new) = (version_of(old, resource), version_of(seen, resource));
            if old < from && from <= new && new < until {
                let plan = self.plan;
                self.fact_of(FactKind::UpdateRejected, pod, |_| name_of(plan, resource));
            }
        }
    }

    /// Whether a proxy has never accepted a resource.
    fn lacks(&self, pod: u32, resource: Resource) -> bool {
        let Some(first) = self.arrivals.first.get(&pod) else { return false };
        let seen = version_of(self.seen(pod), resource);
        self.arrivals.rejections.iter().any(|one| {
            one.resource == resource && one.from <= *first && one.from <= seen && seen < one.until
        })
    }

    /// Whether a new proxy waits for clusters or a listener that it can accept.
    pub(super) fn waits_for_valid_updates(&self, pod: u32) -> bool {
        let workload = self.pods[pod as usize].workload;
        let knows = |service: ServiceId| {
            self.plan.scopes.get(&workload).is_none_or(|scope| scope.contains(&service))
        };
        self.arrivals.rejections.iter().any(|one| {
            let concerns = match one.resource {
                Resource::Cluster(cluster) => {
                    knows(self.plan.universe.clusters[cluster.index()].service)
                }
                Resource::Listener(of) => of == workload,
                Resource::Routes(_) => false,
            };
            concerns && self.lacks(pod, one.resource)
        })
    }

    /// Whether the proxy of a request has accepted its routes; a request without any ends.
    #[cold]
    pub(super) fn has_routes(&mut self, id: Id<Call>) -> bool {
        let Call { pod, service, .. } = self.calls[id];
        if !self.lacks(pod, Resource::Routes(service)) {
            return true;
        }
        self.end_early(id, Outcome::failure(Details::RouteNotFound));
        false
    }
}

fn version_of(seen: Seen, resource: Resource) -> u32 {
    match resource {
        Resource::Cluster(_) => seen.cds,
        Resource::Routes(_) => seen.rds,
        Resource::Listener(_) => seen.lds,
    }
}

fn name_of(plan: &Plan, resource: Resource) -> String {
    let universe = &plan.universe;
    match resource {
        Resource::Cluster(id) => format!("cluster {}", universe.clusters[id.index()].name),
        Resource::Routes(id) => format!("routes of {}", universe.services[id.index()].name),
        Resource::Listener(id) => format!("listener of {}", universe.workloads[id.index()].name),
    }
}
