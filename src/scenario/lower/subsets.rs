//! Subsets of a service: clusters of those workloads whose labels fit, with policies of their own.
//!
//! Every version is a subset by itself; one of the same name that is declared takes its place. One that
//! fits no workload is a cluster without endpoints (503 UH), one that is not declared is none (503 NC).
//! What a subset says of balancing, of ceilings, of connections or of health replaces all that the service
//! says of it; the rest is the service's.
//!
//! Source: Istio's `DestinationRule`, of whose `trafficPolicy` each field of a subset replaces the whole field
//! of the host (`util.MergeSubsetTrafficPolicy`).
//! Left out: policies by port.

use super::super::document::{Entry, Node, Value};
use super::super::keys::SERVICE;
use super::Lower;
use super::policy::{cluster_policy, overridden};
use crate::plan::policy::ClusterPolicy;
use crate::plan::universe::{ServiceId, Workload, WorkloadId};

/// Keys that replace each other together.
const FIELDS: &[&[&str]] = &[
    &[
        "balancer",
        "choice_count",
        "active_request_bias",
        "load_refresh",
        "hash_on",
        "minimum_ring_size",
        "maximum_ring_size",
        "maglev_table_size",
        "slow_start",
        "locality",
    ],
    &["circuit_breaker"],
    &["outlier_detection"],
    &["health_checks"],
    &["connections"],
    &["panic_threshold"],
];

/// A subset that a service declares.
pub(super) struct Subset<'n> {
    pub(super) name: &'n str,
    /// Those that it has, of those of its service.
    pub(super) workloads: Vec<WorkloadId>,
    /// None for that of its service.
    pub(super) policy: Option<ClusterPolicy>,
}

impl Lower<'_, '_, '_> {
    /// The subsets that a service declares.
    pub(super) fn subsets<'n>(
        &mut self,
        service: &'n Node,
        selected: &[WorkloadId],
        workloads: &[Workload],
    ) -> Vec<Subset<'n>> {
        let mut subsets = Vec::new();
        for subset in service.list("subsets").iter().filter(|one| one.is_table()) {
            let Some(at) = subset.get("name") else { continue };
            let Some(name) = at.as_text() else { continue };
            self.plain_name(at.at, name);
            let labels: Vec<(String, String)> = subset.labels("labels").collect();
            let fits = |id: &&WorkloadId| {
                let has = &workloads[id.index()].labels;
                labels.iter().all(|(label, value)| has.get(label) == Some(value))
            };
            let workloads = selected.iter().filter(fits).copied().collect();
            subsets.push(Subset { name, workloads, policy: self.policy_of(service, subset) });
        }
        subsets
    }

    /// A service's table, with the policies of the subset whose cluster it is.
    pub(super) fn table_of(&self, service: ServiceId, cluster: &str) -> Node {
        let table = self.service_nodes[service.index()];
        let name = cluster.split_once('/').map(|(_, subset)| subset);
        let is_it = |one: &&Node| name.is_some() && one.text("name") == name;
        let subset = table.list("subsets").iter().find(is_it);
        subset.and_then(|own| with_policies_of(table, own)).unwrap_or_else(|| table.clone())
    }

    /// The policy of a subset that has one.
    fn policy_of(&mut self, service: &Node, subset: &Node) -> Option<ClusterPolicy> {
        let merged = with_policies_of(service, subset)?;
        let own = overridden(&self.base_of(service), &merged, SERVICE);
        let mut policy = cluster_policy(&own, &merged);
        // What is wrong with the service's own is said of the service.
        let begun = self.context.faults.len();
        self.balance(&merged, &mut policy);
        policy.health_check = self.health_check(&merged);
        let is_own = |fault: &super::Fault| {
            subset.entries().iter().any(|Entry { at, node, .. }| {
                fault.at.source == at.source && (at.start..node.at.end).contains(&fault.at.start)
            })
        };
        let mut number = 0;
        self.context.faults.retain(|fault| {
            number += 1;
            number <= begun || is_own(fault)
        });
        Some(policy)
    }
}

/// A service's table with the policies of one of its subsets in the place of its own; none if the subset has
/// none.
fn with_policies_of(service: &Node, subset: &Node) -> Option<Node> {
    let given = FIELDS.iter().filter(|keys| keys.iter().any(|key| subset.get(key).is_some()));
    let replaced: Vec<&str> = given.copied().flatten().copied().collect();
    if replaced.is_empty() {
        return None;
    }
    let is_replaced = |key: &String| replaced.contains(&key.as_str());
    let kept = service.entries().iter().filter(|entry| !is_replaced(&entry.key));
    let own = subset.entries().iter().filter(|entry| is_replaced(&entry.key));
    let mut all: Vec<Entry> = kept.chain(own).cloned().collect();
    all.sort_by(|a, b| a.key.cmp(&b.key));
    Some(Node { at: service.at, value: Value::Table(all) })
}
