//! Definitions of clusters as the control plane tells them (CDS): added, changed, gone.
//!
//! A cluster that is defined anew is another one of the plan, with the same endpoints: it stands in the
//! place of the first from the version on in which it was told. What a proxy has of the old one is
//! drained: its idle connections close, the busy ones when their requests are done. A request under way
//! goes on where it is; a retry finds the new cluster, or none. A cluster that is not there is `NC`.
//!
//! When a cluster is warm stands in `discovery`; of measured cases, in `model::control::warming`.
//!
//! Source: Envoy's `cluster_manager_impl.cc` and `router.cc` (`doRetry` asks for the cluster again,
//! `checkDropOverload`); measured on Envoy 1.40 (families e09, e11).
//! Left out: that requests are dropped counts to no circuit breaker. Clients without a sidecar find what is
//! told at once, as they do routes.

use super::World;
use super::client::purpose;
use super::config::{Config, History, Seen, Thing, as_of};
use super::state::{Call, LAST_TRIES, NONE};
use crate::kernel::slab::Id;
use crate::kernel::stream::uniform;
use crate::kernel::time::Time;
use crate::plan::Plan;
use crate::plan::timeline::{Action, TimelineEvent, Trigger};
use crate::plan::universe::ClusterId;
use crate::vocabulary::cause::CauseId;
use crate::vocabulary::outcome::{Details, Outcome};
use std::collections::BTreeMap;
use std::ops::Range;

/// What stands for clusters that are ever defined anew; none where it is not there.
pub(super) type Definitions = BTreeMap<ClusterId, History<Option<ClusterId>>>;

/// Definitions at time zero: events of that instant say how it begins.
pub(super) fn initial(plan: &Plan) -> Definitions {
    let mut definitions = Definitions::new();
    definitions.extend(plan.absent.iter().map(|cluster| (*cluster, vec![(1, None)])));
    for (event, action) in actions(plan) {
        let Action::DefineCluster { cluster, definition } = *action else { continue };
        let known = definitions.entry(cluster).or_insert_with(|| vec![(1, Some(cluster))]);
        if is_at_zero(event) {
            known[0].1 = definition;
        }
    }
    definitions
}

fn actions(plan: &Plan) -> impl Iterator<Item = (&TimelineEvent, &Action)> {
    plan.timeline.iter().flat_map(|event| event.actions().iter().map(move |one| (event, one)))
}

fn is_at_zero(event: &TimelineEvent) -> bool {
    matches!(event.trigger, Trigger::At { first: Time::ZERO, .. })
}

/// By cluster that stands for another: that one.
pub(super) fn originals(plan: &Plan) -> BTreeMap<ClusterId, ClusterId> {
    let mut originals: BTreeMap<_, _> = plan.absent.iter().map(|one| (*one, *one)).collect();
    for (_, action) in actions(plan) {
        if let Action::DefineCluster { cluster, definition } = *action {
            originals.insert(cluster, cluster);
            originals.extend(definition.map(|definition| (definition, cluster)));
        }
    }
    originals
}

impl Config {
    /// What stands for a cluster as of a version that somebody holds, and since which version.
    pub(super) fn told(&self, cluster: ClusterId, version: u32) -> (u32, Option<ClusterId>) {
        let history = self.definitions.get(&cluster);
        history.and_then(|history| as_of(history, version)).copied().unwrap_or((1, Some(cluster)))
    }

    fn define(&mut self, cluster: ClusterId, definition: Option<ClusterId>) {
        let version = self.versions.newest();
        let Some(history) = self.definitions.get_mut(&cluster) else { return };
        match history.last_mut() {
            Some((_, same)) if *same == definition => return,
            Some((from, known)) if *from == version => *known = definition,
            _ => {
                history.push((version, definition));
                self.versions.touch(Thing::Definition(cluster));
            }
        }
        let change = (version, self.newest_at);
        self.scopes.cluster_changed(cluster, change, self.versions.oldest());
    }
}

impl World<'_> {
    /// The cluster that a proxy uses for one that routes name, if there is one: a new one only when it is
    /// warm.
    pub(super) fn definition(&self, pod: u32, cluster: ClusterId) -> Option<ClusterId> {
        let Seen { cds, eds, .. } = self.seen(pod);
        let (from, definition) = self.config.told(cluster, cds);
        let is_warm = from <= eds || self.gave_up_fetching(pod, cluster, from);
        if is_warm || definition.is_none() {
            return definition;
        }
        self.used_while_warming(pod, cluster)
    }

    /// The control plane tells another definition of a cluster.
    pub(super) fn redefine(&mut self, cluster: ClusterId, cause: Option<CauseId>) {
        let last = self.in_force().rev().find_map(|(action, _)| match action {
            Action::DefineCluster { cluster: of, definition } if *of == cluster => {
                Some(*definition)
            }
            _ => None,
        });
        self.config.begin_version(self.now, cause);
        let first = (!self.plan.absent.contains(&cluster)).then_some(cluster);
        self.config.define(cluster, last.unwrap_or(first));
        self.schedule_watch();
    }

    /// The configuration that proxies know changed: of one, or of all. They leave clusters that are
    /// no more.
    pub(super) fn tell_definitions(&mut self, of: Option<u32>) {
        if self.compiled.originals.is_empty() {
            return;
        }
        let (upstreams, pods): (Vec<u32>, Range<u32>) = if let Some(pod) = of {
            let own = &self.pods[pod as usize].upstreams;
            let mut own: Vec<u32> = own.iter().map(|(_, index)| *index).collect();
            own.sort_unstable();
            (own, pod..pod + 1)
        } else {
            let count = |all: usize| u32::try_from(all).expect("32 bits");
            ((0..count(self.upstreams.len())).collect(), 0..count(self.pods.len()))
        };
        for index in upstreams {
            let upstream = &self.upstreams[index as usize];
            let (pod, cluster) = (upstream.pod, upstream.cluster);
            let Some(original) = self.compiled.originals.get(&cluster) else { continue };
            if !upstream.is_left && self.definition(pod, *original) != Some(cluster) {
                self.leave_cluster(index);
            }
        }
        for pod in pods {
            if self.is_client(pod) {
                self.start_checks(pod);
            }
        }
    }

    /// A proxy leaves a cluster: it begins anew if it is ever told of it again.
    fn leave_cluster(&mut self, index: u32) {
        self.stop_checks(index);
        let upstream = &mut self.upstreams[index as usize];
        (upstream.is_left, upstream.version, upstream.gone) = (true, 0, (0, 0));
        let left = upstream.follow(&[]);
        self.count_ejected(index);
        self.tell_health(index);
        for slot in left {
            self.leave_endpoint(index, slot);
        }
    }

    /// The cluster that a request to `cluster` finds at its proxy; none if it has ended.
    #[cold]
    #[inline(never)]
    pub(super) fn find_cluster(
        &mut self,
        id: Id<Call>,
        cluster: ClusterId,
        missing: Outcome,
    ) -> Option<ClusterId> {
        let Call { pod, key, .. } = self.calls[id];
        let Some(found) = self.definition(pod, cluster) else {
            self.end_early(id, missing);
            return None;
        };
        let share = self.plan.universe.clusters[found.index()].policy.drop_overload;
        if 0.0 < share && uniform(key.draw(0, purpose::DROP_OVERLOAD)) < share {
            self.calls[id].upstream = self.upstream(pod, found);
            self.end_early(id, Outcome::failure(Details::DropOverload));
            return None;
        }
        Some(found)
    }

    /// A retry asks for its cluster again; whether there is one.
    #[cold]
    pub(super) fn find_cluster_again(&mut self, id: Id<Call>) -> bool {
        let Call { pod, upstream: old, holds_retry, .. } = self.calls[id];
        let cluster = self.upstreams[old as usize].cluster;
        let Some(original) = self.compiled.originals.get(&cluster) else { return true };
        let Some(found) = self.definition(pod, *original) else {
            self.fail_try(id, Outcome::failure(Details::NoHealthyUpstream), None);
            return false;
        };
        if found != cluster {
            let new = self.upstream(pod, found);
            let key = self.calls[id].key.0;
            self.upstreams[old as usize].tried_before.remove(&key);
            let slots = u32::from(holds_retry);
            self.upstreams[old as usize].gauges.retries -= slots;
            self.upstreams[new as usize].gauges.retries += slots;
            let call = &mut self.calls[id];
            (call.upstream, call.tried) = (new, [NONE; LAST_TRIES]);
        }
        true
    }
}
