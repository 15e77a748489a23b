//! What discovery tells proxies of their clusters: when they exist, how they are defined, with which
//! endpoints.
//!
//! A cluster that is defined anew is a cluster more, which stands for the first from the moment on in
//! which it has warmed. Endpoints by EDS over REST come when the control plane answers; those that nobody
//! renews go when they are stale. EDS from a file answers at once: of a cluster that has no file yet, that
//! it has no endpoints (`new_cluster_warming` of family e09: UH, not NC).
//!
//! Source: the schema `envoy-lab/2`; `model::control::warming`; Envoy's `ClusterLoadAssignment`
//! (`endpoint_stale_after`).
//! Left out: what `gaps` lists.

use super::super::schema::config::{Cluster, Config, Endpoint, Proxy};
use super::super::schema::step::{Step, Verb, modified};
use super::super::schema::words::Discovery;
use super::{Ids, at, endpoint, event, ms, number};
use crate::kernel::time::{Duration, Time};
use crate::model::control::warming::{answers_at, used_from};
use crate::plan::balancing::ClusterEndpoint;
use crate::plan::timeline::{Action, TimelineEvent};
use crate::plan::universe::{ClusterId, WorkloadId};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Envoy's `initial_fetch_timeout`.
const FETCH_TIMEOUT_MS: f64 = 15_000.0;

/// A definition of a cluster of one proxy.
pub(super) struct Definition<'c> {
    pub proxy: &'c Proxy,
    pub cluster: Cow<'c, Cluster>,
    /// The cluster of its name.
    pub original: ClusterId,
    /// The cluster that it becomes: the first one of a name is the original.
    pub id: ClusterId,
    /// When the control plane tells it, and until when; none to the end.
    told: Time,
    until: Option<Time>,
}

impl Definition<'_> {
    /// Its endpoints at the start.
    pub(super) fn endpoints_at_first(&self, config: &Config, ids: &Ids) -> Vec<WorkloadId> {
        self.lists(config, ids).first().map_or(Vec::new(), |(_, list)| list.clone())
    }

    /// The lists of endpoints that it has, from when on; the first one from time zero.
    fn lists(&self, config: &Config, ids: &Ids) -> Vec<(Time, Vec<WorkloadId>)> {
        let initial = hosts(self.cluster.endpoints.as_deref().unwrap_or_default(), ids);
        // As the control plane has it, update by update.
        let mut known = vec![(Time::ZERO, initial)];
        for step in config.steps.iter().filter(|step| self.is_told(config, step)) {
            if let Some((_, last)) = known.last()
                && let Some(next) = changed(last, &step.verb, ids)
            {
                known.push((at(step.at_s), next));
            }
        }
        let silences = match self.cluster.discovery {
            Some(Discovery::EdsRest) => silences(config),
            // Of a static list nobody says otherwise, unless a step does.
            Some(Discovery::Eds) | None => Vec::new(),
        };
        // As it reaches the proxy: what was told in a silence comes after it, the last list only.
        let mut lists: Vec<(Time, Vec<WorkloadId>)> = Vec::new();
        let asked = |from: Time| answers_at(&silences, from.max(self.told));
        if asked(Time::ZERO).is_none_or(|first| self.told < first) {
            lists.push((Time::ZERO, Vec::new()));
        }
        for (index, (from, list)) in known.iter().enumerate() {
            let next = known.get(index + 1).map(|(next, _)| *next);
            let Some(comes) = asked(*from) else { continue };
            if next.is_none_or(|next| comes < next) || index == 0 && lists.is_empty() {
                let from = if lists.is_empty() { Time::ZERO } else { comes };
                lists.push((from, list.clone()));
            }
        }
        match self.cluster.endpoint_stale_after_ms {
            Some(after) => with_staleness(lists, ms(after)),
            None => lists,
        }
    }

    /// Whether a step tells it something.
    fn is_told(&self, config: &Config, step: &Step) -> bool {
        tells(config, self.proxy, &self.cluster.name, step)
    }

    /// What is said in it of hosts that differ, from when on; what is said at first from time zero.
    fn described(&self, config: &Config, ids: &Ids) -> Vec<(Time, WorkloadId, ClusterEndpoint)> {
        let differing = endpoint::differing(config);
        let zones = super::zones(config);
        let silences = match self.cluster.discovery {
            Some(Discovery::EdsRest) => silences(config),
            Some(Discovery::Eds) | None => Vec::new(),
        };
        let mut known: BTreeMap<WorkloadId, ClusterEndpoint> = BTreeMap::new();
        let mut all = Vec::new();
        let mut tell = |from: Option<Time>, endpoints: &[Endpoint], keeps: bool| {
            let mut told = BTreeSet::new();
            for one in endpoints.iter().filter(|one| differing.contains(one.host.as_str())) {
                let id = ids.workload(&one.host);
                let before = known.get(&id).copied();
                let said = endpoint::in_cluster(one, before.filter(|_| keeps), &zones);
                if told.insert(id) && before != Some(said) {
                    known.insert(id, said);
                    let from = if before.is_none() { Some(Time::ZERO) } else { from };
                    all.extend(from.map(|from| (from, id, said)));
                }
            }
        };
        tell(Some(Time::ZERO), self.cluster.endpoints.as_deref().unwrap_or_default(), false);
        for step in config.steps.iter().filter(|step| self.is_told(config, step)) {
            let from = answers_at(&silences, at(step.at_s).max(self.told));
            match &step.verb {
                Verb::EdsAdd(endpoints) | Verb::EdsSet(endpoints) => tell(from, endpoints, false),
                Verb::EdsSetHealth(endpoints) => tell(from, endpoints, true),
                _ => {}
            }
        }
        all
    }

    /// When it stands for its name; none for never.
    fn used(&self, config: &Config) -> Option<Time> {
        let used = match self.cluster.discovery {
            Some(Discovery::EdsRest) => {
                let timeout = self.cluster.initial_fetch_timeout_ms.unwrap_or(FETCH_TIMEOUT_MS);
                used_from(&silences(config), self.told, ms(timeout))
            }
            Some(Discovery::Eds) | None => Some(self.told),
        };
        used.filter(|used| self.until.is_none_or(|until| *used < until))
    }
}

/// Whether a step is meant for a proxy's cluster of this name. Of several proxies that have one, it is for
/// those to which something is told, or for the entry.
fn tells(config: &Config, proxy: &Proxy, name: &str, step: &Step) -> bool {
    if step.target != name {
        return false;
    }
    let of = |one: &Proxy| one.clusters.iter().any(|cluster| cluster.name == name);
    let is_dynamic = |one: &Proxy| {
        let mut clusters = one.clusters.iter().filter(|cluster| cluster.name == name);
        !one.dynamic.is_empty() || clusters.any(|cluster| cluster.discovery.is_some())
    };
    if config.proxies.iter().filter(|one| of(one)).count() < 2 {
        return true;
    }
    if config.proxies.iter().any(|one| of(one) && is_dynamic(one)) {
        return is_dynamic(proxy);
    }
    proxy.name == config.entry
}

/// Clusters that a step adds to a proxy.
pub(super) fn added<'c>(config: &'c Config, proxy: &Proxy) -> impl Iterator<Item = &'c Cluster> {
    let is_entry = proxy.name == config.entry;
    config.steps.iter().filter(move |_| is_entry).filter_map(|step| match &step.verb {
        Verb::CdsAdd(cluster) => Some(&**cluster),
        _ => None,
    })
}

/// All definitions of all clusters, in the order of their ids.
pub(super) fn definitions<'c>(config: &'c Config, ids: &Ids) -> Vec<Definition<'c>> {
    let (mut firsts, mut more) = (Vec::new(), Vec::new());
    for ((proxy, name), original) in &ids.clusters {
        let Some(proxy) = config.proxies.iter().find(|one| one.name == *proxy) else { continue };
        let all = of_name(config, proxy, name, *original);
        for (index, definition) in all.into_iter().enumerate() {
            if index == 0 { firsts.push(definition) } else { more.push(definition) }
        }
    }
    for (definition, index) in more.iter_mut().zip(firsts.len()..) {
        definition.id = ClusterId(number(index));
    }
    firsts.extend(more);
    firsts
}

/// The definitions of one name at one proxy, in order.
fn of_name<'c>(
    config: &'c Config,
    proxy: &'c Proxy,
    name: &str,
    original: ClusterId,
) -> Vec<Definition<'c>> {
    let definition =
        |told, cluster| Definition { proxy, cluster, original, id: original, told, until: None };
    let first = proxy.clusters.iter().find(|one| one.name == name);
    let mut all: Vec<Definition<'c>> =
        first.map(|first| definition(Time::ZERO, Cow::Borrowed(first))).into_iter().collect();
    let is_of = |step: &&Step| match &step.verb {
        Verb::CdsAdd(cluster) => cluster.name == name && proxy.name == config.entry,
        Verb::CdsModify { .. } | Verb::CdsRemove => tells(config, proxy, name, step),
        _ => false,
    };
    for step in config.steps.iter().filter(is_of) {
        let now = at(step.at_s);
        let next = match (&step.verb, all.last()) {
            (Verb::CdsAdd(cluster), _) => Some(Cow::Borrowed(&**cluster)),
            (Verb::CdsModify { keys, set }, Some(last)) => {
                Some(Cow::Owned(modified(&last.cluster, keys, set)))
            }
            _ => None,
        };
        if let Some(last) = all.last_mut() {
            // A new definition replaces one that is still warming; a removal ends it.
            last.until = last.until.or(Some(now));
        }
        all.extend(next.map(|next| definition(now, next)));
    }
    all
}

/// What is said at first of hosts that differ, by cluster.
pub(super) fn cluster_endpoints(
    config: &Config,
    ids: &Ids,
) -> BTreeMap<(ClusterId, WorkloadId), ClusterEndpoint> {
    let mut said = BTreeMap::new();
    for definition in definitions(config, ids) {
        for (from, workload, endpoint) in definition.described(config, ids) {
            if from == Time::ZERO {
                said.entry((definition.id, workload)).or_insert(endpoint);
            }
        }
    }
    said
}

/// The timeline of clusters and their endpoints.
pub(super) fn timeline(config: &Config, ids: &Ids) -> Vec<TimelineEvent> {
    let mut events = Vec::new();
    let definitions = definitions(config, ids);
    for definition in &definitions {
        let name = &definition.cluster.name;
        for (from, workload, endpoint) in definition.described(config, ids) {
            let (cluster, what) = (definition.id, format!("an endpoint of {name} at {from}"));
            if from != Time::ZERO {
                let action = Action::DescribeClusterEndpoint { cluster, workload, endpoint };
                events.push(event(what, from.as_s(), None, action));
            }
        }
        for (from, workloads) in definition.lists(config, ids).into_iter().skip(1) {
            let cluster = definition.id;
            let what = format!("endpoints of {name} at {from}");
            events.push(event(
                what,
                from.as_s(),
                None,
                Action::SetEndpoints { cluster, workloads },
            ));
        }
    }
    for original in ids.clusters.values() {
        let of: Vec<&Definition> =
            definitions.iter().filter(|one| one.original == *original).collect();
        let mut define = |from: Time, definition: Option<ClusterId>| {
            let what = format!("cluster {} at {from}", of[0].cluster.name);
            let action = Action::DefineCluster { cluster: *original, definition };
            events.push(event(what, from.as_s(), None, action));
        };
        if of.first().is_some_and(|first| first.used(config) != Some(Time::ZERO)) {
            define(Time::ZERO, None);
        }
        for (index, definition) in of.iter().enumerate() {
            if let Some(used) = definition.used(config).filter(|used| Time::ZERO < *used) {
                define(used, Some(definition.id));
            }
            let is_removed = definition
                .until
                .filter(|until| of.get(index + 1).is_none_or(|next| next.told != *until));
            if let Some(until) = is_removed {
                define(until, None);
            }
        }
    }
    // Endpoints first: a cluster that is used from now on has those of now.
    events.sort_by_key(|event| match event.trigger {
        crate::plan::timeline::Trigger::At { first, .. } => first,
        crate::plan::timeline::Trigger::When { .. } => Time::ZERO,
    });
    events
}

/// When the control plane does not answer.
fn silences(config: &Config) -> Vec<(Time, Option<Time>)> {
    let mut silences: Vec<(Time, Option<Time>)> = Vec::new();
    for step in &config.steps {
        let is_open = silences.last().is_some_and(|(_, to)| to.is_none());
        match step.verb {
            Verb::ControlPlaneDown if !is_open => silences.push((at(step.at_s), None)),
            Verb::ControlPlaneUp => {
                if let Some((_, to)) = silences.last_mut().filter(|_| is_open) {
                    *to = Some(at(step.at_s));
                }
            }
            _ => {}
        }
    }
    silences
}

/// Each list goes when it is stale, unless another one comes before.
fn with_staleness(
    lists: Vec<(Time, Vec<WorkloadId>)>,
    after: Duration,
) -> Vec<(Time, Vec<WorkloadId>)> {
    let mut all = Vec::new();
    let next: Vec<Option<Time>> =
        lists.iter().skip(1).map(|(next, _)| Some(*next)).chain([None]).collect();
    for ((from, list), next) in lists.into_iter().zip(next) {
        all.push((from, list));
        if next.is_none_or(|next| from + after < next) {
            all.push((from + after, Vec::new()));
        }
    }
    all
}

fn hosts(endpoints: &[Endpoint], ids: &Ids) -> Vec<WorkloadId> {
    let mut list: Vec<WorkloadId> = endpoints.iter().map(|one| ids.workload(&one.host)).collect();
    list.sort_unstable();
    list.dedup();
    list
}

/// A list of endpoints after a step; none if it is no update.
fn changed(list: &[WorkloadId], verb: &Verb, ids: &Ids) -> Option<Vec<WorkloadId>> {
    let mut next = list.to_vec();
    match verb {
        Verb::EdsRemove(names) => {
            next.retain(|id| !names.iter().any(|name| ids.workload(name) == *id));
        }
        Verb::EdsAdd(endpoints) => next.extend(hosts(endpoints, ids)),
        Verb::EdsSet(endpoints) => next = hosts(endpoints, ids),
        Verb::EdsSetHealth(_) => {}
        _ => return None,
    }
    next.sort_unstable();
    next.dedup();
    Some(next)
}
