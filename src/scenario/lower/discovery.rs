//! What the control plane tells, and how: clusters, endpoints, listeners; and proxies that drain.
//!
//! A cluster that an event changes is a cluster more, which stands for the first while the event lasts.
//!
//! Source: Envoy's xDS and its admin interface (`/drain_listeners?graceful`, `/healthcheck/fail`); Istio's
//! `drainDuration` of 45 s and `--drain-strategy immediate`, Envoy's 600 s and `gradual`.
//! Left out: clusters that no service makes; routes of a listener of its own; changes of one cluster by
//! several events at once (the last one holds alone).

use super::super::context::known;
use super::super::document::{At, Entry, Node};
use super::super::keys::SERVICE;
use super::super::keys::discovery::CLUSTER;
use super::super::merge::lay_over;
use super::super::schema::Kind;
use super::super::target::Target;
use super::action::{Done, words};
use super::policy::{cluster_policy, overridden};
use super::{Lower, id};
use crate::kernel::time::Duration;
use crate::plan::discovery::{Discovery, XdsType};
use crate::plan::timeline::{Action, DrainStrategy, Listening, Resource, TimelineEvent};
use crate::plan::universe::{Cluster, ClusterId, WorkloadId};
use std::collections::BTreeMap;

impl Lower<'_, '_, '_> {
    /// How configuration is sent.
    pub(super) fn discovery(&mut self) -> Discovery {
        let plain = Discovery::default();
        let Some(table) = self.root.get("mesh").and_then(|mesh| mesh.get("discovery")) else {
            return plain;
        };
        if !self.parameters.istiod.present {
            let what = format!("the profile `{}` has no istiod", self.profile);
            self.report(table.at, what, "nothing would be sent");
        }
        let mut order = plain.order;
        if let Some(node) = table.get("order") {
            let named = |node: &Node| node.as_text().and_then(XdsType::named);
            let kinds: Vec<Option<XdsType>> = node.items().iter().map(named).collect();
            let mut sorted: Vec<XdsType> = kinds.iter().copied().flatten().collect();
            sorted.sort_unstable();
            if sorted == plain.order && kinds.len() == order.len() {
                for (place, kind) in order.iter_mut().zip(kinds.into_iter().flatten()) {
                    *place = kind;
                }
            } else {
                let hint = "order = [\"cds\", \"eds\", \"lds\", \"rds\"] is Istio's";
                self.report(node.at, "an order has each of the four types once", hint);
            }
        }
        let duration = |key: &str| table.duration(key).unwrap_or(Duration::ZERO);
        let (gap, initial_fetch_timeout) = (duration("gap"), duration("initial_fetch_timeout"));
        if order != plain.order && gap.is_zero() {
            let at = table.get("order").map_or(table.at, |node| node.at);
            self.report(at, "an order without a gap: all types arrive at once", "gap = \"100ms\"");
        }
        Discovery { order, gap, initial_fetch_timeout }
    }

    /// istiod sends all but one type.
    pub(super) fn withhold(&mut self, table: &Node, at: At, kind: XdsType) -> Done {
        if !self.parameters.istiod.present {
            let what = format!("the profile `{}` has no istiod", self.profile);
            self.report(at, what, "an event on it would do nothing");
            return None;
        }
        for key in ["share", "part"] {
            if let Some(entry) = table.entry(key) {
                let hint = "leave it out: all replicas send no such configuration";
                self.report(entry.at, format!("`{key}` means nothing to {}", kind.name()), hint);
            }
        }
        let label = format!("istiod sends no {}", kind.name().to_uppercase());
        Some((Action::Withhold(vec![kind]), label))
    }

    // === clusters ===

    /// A cluster is changed, removed, or told in a form that proxies reject.
    pub(super) fn define_cluster(&mut self, table: &Node, at: At, name: &str) -> Done {
        let clusters = self.clusters(at, name)?;
        let (removed, rejected) = (table.flag("removed"), table.flag("rejected"));
        let change = table.get("cluster").filter(|one| one.is_table());
        let ways = [removed == Some(true), rejected == Some(true), change.is_some()];
        if ways.into_iter().filter(|way| *way).count() != 1 {
            let hint = "give one of cluster = { … }, removed = true and rejected = true";
            self.report(table.at, "it is not clear what becomes of the cluster", hint);
            return None;
        }
        let what = format!("the cluster {}", words(name));
        let Some(change) = change else {
            if rejected == Some(true) {
                let all: Vec<_> = clusters.into_iter().map(Resource::Cluster).collect();
                return Some(self.unless_rejected(table, Action::Note, &all, what));
            }
            let gone = clusters
                .into_iter()
                .map(|cluster| Action::DefineCluster { cluster, definition: None });
            return Some((Action::All(gone.collect()), format!("{what} is removed")));
        };
        if change.entries().is_empty() {
            self.report(change.at, "nothing changes", "cluster = { protocol = \"http2\" }");
        }
        let event = table.text("id")?.to_owned();
        let mut all = Vec::with_capacity(clusters.len());
        for cluster in clusters {
            let definition = Some(self.changed_cluster(cluster, change, &event));
            all.push(Action::DefineCluster { cluster, definition });
        }
        let keys: Vec<&str> = change.entries().iter().map(|entry| entry.key.as_str()).collect();
        Some((Action::All(all), format!("{what} has another {}", keys.join(", "))))
    }

    /// The clusters that a service or one of its versions or subsets makes.
    fn clusters(&mut self, at: At, name: &str) -> Option<Vec<ClusterId>> {
        let (service, version) = match name.split_once('/') {
            Some((service, version)) => (service, Some(version)),
            None => (name, None),
        };
        let members: Vec<String> = match self.counted.members(service) {
            Some(members) => members.collect(),
            None => vec![service.to_owned()],
        };
        let mut found = Vec::new();
        for member in members {
            let Some(of) = self.services.get(member.as_str()).copied() else {
                let names: Vec<&str> = self.services.keys().copied().collect();
                self.missing(at, "service", &member, names);
                return None;
            };
            let exact = version.map(|version| format!("{member}/{version}"));
            let own = self.universe.clusters.iter().enumerate().filter(|(_, one)| {
                one.service == of
                    && exact.as_ref().is_none_or(|exact| *exact == one.name)
                    // Not what another event makes of it.
                    && !one.name.contains(MARK)
            });
            let own: Vec<ClusterId> = own.map(|(index, _)| ClusterId(id(index))).collect();
            if own.is_empty() {
                let all = self.universe.clusters.iter().filter(|one| one.service == of);
                let names = all.filter(|one| !one.name.contains(MARK));
                let names = names.filter_map(|one| Some(one.name.split_once('/')?.1));
                let hint = known(version.unwrap_or_default(), names, "its versions and subsets");
                let what = format!("`{member}` has no version `{}`", version.unwrap_or_default());
                self.report(at, what, hint);
                return None;
            }
            found.extend(own);
        }
        Some(found)
    }

    fn changed_cluster(&mut self, cluster: ClusterId, change: &Node, event: &str) -> ClusterId {
        let Cluster { name, service, workloads, .. } =
            self.universe.clusters[cluster.index()].clone();
        let mut table = self.table_of(service, &name);
        lay_over(&mut table, change.clone(), Kind::Table(CLUSTER));
        let mut policy =
            cluster_policy(&overridden(&self.base_of(&table), &table, SERVICE), &table);
        self.balance(&table, &mut policy);
        policy.health_check = self.health_check(&table);
        let name = format!("{name}{MARK}{event})");
        self.universe.clusters.push(Cluster { name, service, workloads, policy });
        ClusterId(id(self.universe.clusters.len() - 1))
    }

    // === endpoints ===

    /// EDS tells another list of endpoints.
    pub(super) fn list_endpoints(&mut self, table: &Node, at: At, name: &str) -> Done {
        for key in ["weight", "priority", "health"] {
            if let Some(entry) = table.entry(key) {
                let hint = "a list says who is an endpoint; use an event of its own for the rest";
                self.report(entry.at, format!("`{key}` beside a `list`"), hint);
            }
        }
        let clusters = self.clusters(at, name)?;
        let service = name.split('/').next().unwrap_or(name);
        let list = table.get("list")?;
        let mut listed: Vec<WorkloadId> = Vec::new();
        let mut said = Vec::new();
        for node in list.items() {
            let text = node.as_text()?;
            let full =
                if text.contains('/') { text.to_owned() } else { format!("{service}/{text}") };
            listed.extend(self.service_or_version(node.at, &full)?.1);
            said.push(text);
        }
        listed.sort_unstable();
        listed.dedup();
        let of_version = name.contains('/');
        let told = clusters.into_iter().map(|cluster| {
            let Cluster { name, workloads: own, .. } = &self.universe.clusters[cluster.index()];
            // Of a whole service each version keeps its own.
            let keeps = |one: &WorkloadId| of_version || !name.contains('/') || own.contains(one);
            let workloads = listed.iter().copied().filter(keeps).collect();
            Action::SetEndpoints { cluster, workloads }
        });
        let said = if said.is_empty() { "nobody".to_owned() } else { said.join(", ") };
        Some((Action::All(told.collect()), format!("EDS lists {said} for {}", words(name))))
    }

    /// What changed clusters have is what their originals have.
    pub(super) fn list_endpoints_of_changed_clusters(&mut self) {
        let mut changed: BTreeMap<ClusterId, Vec<ClusterId>> = BTreeMap::new();
        for action in self.timeline.iter().flat_map(TimelineEvent::actions) {
            if let Action::DefineCluster { cluster, definition: Some(definition) } = action {
                changed.entry(*cluster).or_default().push(*definition);
            }
        }
        for event in &mut self.timeline {
            let Action::All(parts) = &mut event.action else { continue };
            let more = parts.iter().filter_map(|part| match part {
                Action::SetEndpoints { cluster, workloads } => {
                    let definitions = changed.get(cluster)?.iter();
                    Some(definitions.map(|one| Action::SetEndpoints {
                        cluster: *one,
                        workloads: workloads.clone(),
                    }))
                }
                _ => None,
            });
            let more: Vec<Action> = more.flatten().collect();
            parts.extend(more);
        }
    }

    // === listeners and drains ===

    /// The gateway's listener is replaced, removed, or told in a form that it rejects.
    pub(super) fn listener(&mut self, table: &Node, at: At) -> Done {
        let workload = self.gateway_at(at)?;
        let removed = table.flag("removed") == Some(true);
        if removed && table.flag("rejected") == Some(true) {
            let at = table.get("removed").map_or(table.at, |node| node.at);
            self.report(at, "a removal is not rejected", "keep `removed` or `rejected`");
        }
        let listening = if removed { Listening::Gone } else { Listening::Rds };
        let (drain, strategy) = self.drain_of(table);
        let action = Action::SetListener { workload, listening, drain, strategy };
        let how = if removed { "removed" } else { "replaced" };
        let label = format!("the gateway's listener is {how}");
        Some(self.unless_rejected(table, action, &[Resource::Listener(workload)], label))
    }

    /// Proxies drain, or fail their own health check.
    pub(super) fn drain(&mut self, table: &Node, at: At, does: &str, target: Target<'_>) -> Done {
        if self.profile == "none" && target != Target::Ingress {
            let hint = "the gateway's may: target = \"ingress\"";
            self.report(at, "the profile `none` has no sidecars that could drain", hint);
        }
        let (pods, what) = self.pod_set(table, at, target)?;
        if does == "drain" {
            let (drain, strategy) = self.drain_of(table);
            let label = format!("the proxy of {what} drains");
            return Some((Action::DrainProxies { pods, drain: Some(drain), strategy }, label));
        }
        let strategy = DrainStrategy::Immediate;
        let label = format!("the proxy of {what} fails its health check");
        Some((Action::DrainProxies { pods, drain: None, strategy }, label))
    }

    /// How long a drain takes, and how.
    fn drain_of(&self, table: &Node) -> (Duration, DrainStrategy) {
        let is_istio = self.parameters.istiod.present;
        let by_default = Duration::from_s(if is_istio { 45 } else { 600 });
        let strategy = match table.text("strategy") {
            Some("immediate") => DrainStrategy::Immediate,
            None if is_istio => DrainStrategy::Immediate,
            _ => DrainStrategy::Gradual,
        };
        (table.duration("drain_time").unwrap_or(by_default), strategy)
    }

    /// The gateway, if traffic makes one.
    pub(super) fn gateway_at(&mut self, at: At) -> Option<WorkloadId> {
        let gateway = self.workloads.get("ingress").copied();
        if gateway.is_none() {
            let hint = "traffic with from = \"ingress\" makes one";
            self.report(at, "there is no gateway: no traffic comes from outside", hint);
        }
        gateway
    }

    /// An action, or that proxies reject what it would tell.
    pub(super) fn unless_rejected(
        &mut self,
        table: &Node,
        action: Action,
        resources: &[Resource],
        label: String,
    ) -> (Action, String) {
        let Some(Entry { at, .. }) = table.entry("rejected") else { return (action, label) };
        let at = *at;
        if table.flag("rejected") != Some(true) {
            return (action, label);
        }
        if !self.parameters.istiod.present {
            let what = format!("the profile `{}` has no istiod", self.profile);
            self.report(at, what, "nobody tells what could be rejected");
        }
        (Action::Reject(resources.to_vec()), format!("{label}: rejected"))
    }
}

/// Stands in the names of clusters that events make.
const MARK: &str = " (";
