//! Pods that events act on, and what happens to them.
//!
//! Source: docs/scenarios.md.
//! Left out: pods by the time of their birth.

use super::super::document::{At, Node};
use super::super::target::Target;
use super::Lower;
use super::action::{Done, of, words};
use crate::plan::timeline::{Action, PodSet};
use crate::plan::universe::WorkloadId;

impl Lower<'_, '_, '_> {
    /// Nodes lose power.
    pub(super) fn fail_nodes(&mut self, at: At, target: Target<'_>) -> Done {
        let (place, label) = match target {
            Target::Node(name) => (self.named_node(at, name)?, format!("node {name} fails")),
            Target::Zone(name) => (self.named_zone(at, name)?, format!("zone {name} fails")),
            _ => return None,
        };
        Some((Action::FailNodes(self.nodes_of(place)), label))
    }

    /// The pods of a target, and the same in words.
    pub(super) fn pod_set(
        &mut self,
        table: &Node,
        at: At,
        target: Target<'_>,
    ) -> Option<(PodSet, String)> {
        Some(match target {
            Target::Pod(name) => {
                if let Some(share) = table.entry("share") {
                    self.report(share.at, "one pod has no share", "leave `share` out");
                }
                let (workload, ordinal) = self.pod(at, name)?;
                (PodSet::One(workload, ordinal), format!("pod {name}"))
            }
            Target::Service(name) => {
                let (_, workloads) = self.service_or_version(at, name)?;
                let share = self.share_above_zero(table)?;
                (PodSet::Of(workloads, share), format!("{}{}", of(share), words(name)))
            }
            Target::Ingress => {
                let gateway = self.gateway_at(at)?;
                let share = self.share_above_zero(table)?;
                (PodSet::Of(vec![gateway], share), format!("{}the gateway", of(share)))
            }
            _ => return None,
        })
    }

    /// The gateway's own deployment is rolled.
    pub(super) fn roll_gateway(&mut self, at: At) -> Done {
        let gateway = self.gateway_at(at)?;
        Some((Action::Rollout(vec![gateway]), "the gateway rolls out".to_owned()))
    }

    pub(super) fn pods(&mut self, table: &Node, at: At, does: &str, target: Target<'_>) -> Done {
        let (set, mut what) = self.pod_set(table, at, target)?;
        if let Some(part) = table.get("part")
            && part.as_text() == Some("tokens")
        {
            self.report(part.at, "kubelets rotate tokens, not pods", "target = \"kubelet:NODE\"");
        }
        if table.get("part").is_some() {
            what = format!("the app of {what}");
        }
        Some(match does {
            "fail" if table.get("part").is_some() => {
                (Action::FailApps(set), format!("{what} fails"))
            }
            "fail" => (Action::FailPods(set), format!("{what} fails")),
            "restart" => (Action::RestartPods(set), format!("{what} restarts")),
            _ => (Action::FreezePods(set), format!("{what} freezes")),
        })
    }

    /// `reviews-v2-0`: a workload and the birth ordinal of a pod.
    fn pod(&mut self, at: At, name: &str) -> Option<(WorkloadId, u32)> {
        let found = name.rsplit_once('-').and_then(|(workload, ordinal)| {
            Some((*self.workloads.get(workload)?, ordinal.parse::<u32>().ok()?))
        });
        let Some((workload, ordinal)) = found else {
            let pods: Vec<String> =
                self.workloads.keys().map(|workload| format!("{workload}-0")).collect();
            self.missing(at, "pod", name, pods.iter().map(String::as_str));
            return None;
        };
        // Later pods are born by roll-outs, scaling and evictions: only a mesh that never has
        // any is sure not to have this one.
        let born_later = |event: &Node| {
            matches!(event.text("do"), Some("rollout" | "scale" | "restart" | "fail" | "drain"))
                && event.get("target").is_some_and(|target| target.at != at)
        };
        let replicas = self.universe.workloads[workload.index()].replicas;
        if replicas <= ordinal && !self.root.list("event").iter().any(born_later) {
            let hint = match replicas {
                0 => "the workload has no pods".to_owned(),
                1 => "the workload has one pod, numbered 0".to_owned(),
                _ => format!("the workload has {replicas} pods, numbered from 0"),
            };
            self.report(at, format!("there is no pod `{name}`"), hint);
            return None;
        }
        Some((workload, ordinal))
    }
}
