//! What Kubernetes does for pods: rules of workloads, and what events do to Kubernetes.
//!
//! Source: docs/pods.md.
//! Left out: as in `plan::pods`.

use super::super::document::{At, Node};
use super::super::target::Target;
use super::Lower;
use super::action::Done;
use crate::kernel::time::Duration;
use crate::plan::parameter::FailurePolicy;
use crate::plan::pods::{Autoscaler, Budget, ClusterAction, PodRules, Pods, Probe};
use crate::plan::timeline::Action;
use crate::plan::universe::{Place, WorkloadId};

impl Lower<'_, '_, '_> {
    /// The rules of a workload, if it has some.
    pub(super) fn pod_rules(&mut self, node: &Node, workload: WorkloadId) {
        let rules = PodRules {
            readiness: node.get("readiness").map(|table| self.kubelet_probe(table)),
            liveness: node.get("liveness").map(|table| self.kubelet_probe(table)),
            budget: self.budget(node),
            autoscaler: self.autoscaler(node),
            dials_at_start: node.flag("dials_at_start").unwrap_or(false),
        };
        if let (Some(probe), Some(table)) = (rules.liveness, node.get("liveness"))
            && probe.successes != 1
        {
            let at = table.get("successes").map_or(table.at, |one| one.at);
            self.report(at, "`successes` of a liveness probe is 1", "Kubernetes refuses others");
        }
        if !rules.is_plain() {
            self.pods.insert(workload, rules);
        }
    }

    fn kubelet_probe(&mut self, table: &Node) -> Probe {
        let within = |key: &str, usual| table.duration(key).unwrap_or(usual);
        let probe = Probe {
            period: within("period", Duration::from_s(10)),
            timeout: within("timeout", Duration::from_s(1)),
            failures: table.count("failures").unwrap_or(3),
            successes: table.count("successes").unwrap_or(1),
            initial_delay: within("initial_delay", Duration::ZERO),
        };
        let at = |key: &str| table.get(key).map_or(table.at, |node| node.at);
        for (key, value) in [("period", probe.period), ("timeout", probe.timeout)] {
            if value.is_zero() {
                self.report(at(key), format!("`{key}` is zero"), "Kubernetes refuses it, too");
            }
        }
        if !probe.period.is_zero() && probe.period < probe.timeout {
            let what = format!("a probe every {} that may take {}", probe.period, probe.timeout);
            self.report(at("timeout"), what, "probes do not overlap: a longer `period`");
        }
        probe
    }

    fn budget(&mut self, node: &Node) -> Option<Budget> {
        let table = node.get("pdb")?;
        let pods = |key: &str| {
            let share = format!("{key}_share");
            let count = table.count(key).map(Pods::Count);
            count.or_else(|| table.share(&share).map(Pods::Share))
        };
        let (least, most) = (pods("min_available"), pods("max_unavailable"));
        let budget = match (least, most) {
            _ if table.entries().len() != 1 => None,
            (Some(least), None) => Some(Budget::MinAvailable(least)),
            (None, Some(most)) => Some(Budget::MaxUnavailable(most)),
            _ => None,
        };
        let Some(budget) = budget else {
            let hint = "one of min_available, max_unavailable, min_available_share, \
                        max_unavailable_share";
            self.report(table.at, "a budget says one thing", hint);
            return None;
        };
        let replicas = node.count("replicas").unwrap_or(1);
        if replicas <= budget.healthy_min(replicas) && node.get("hpa").is_none() {
            let what = format!("none of {replicas} pods may ever be evicted");
            self.warn(table.at, what, "a node with such a pod is never drained");
        }
        Some(budget)
    }

    fn autoscaler(&mut self, node: &Node) -> Option<Autoscaler> {
        let table = node.get("hpa")?;
        let rules = Autoscaler {
            min: table.count("min").unwrap_or(1),
            max: table.count("max").unwrap_or(10),
            utilization: table.share("utilization").unwrap_or(0.8),
        };
        let at = |key: &str| table.get(key).map_or(table.at, |node| node.at);
        if rules.max < rules.min {
            let what = format!("at least {} and at most {} pods", rules.min, rules.max);
            self.report(at("max"), what, "`min` is not above `max`");
        }
        if rules.utilization <= 0.0 {
            let hint = "the share of busy workers that it keeps up, such as \"80%\"";
            self.report(at("utilization"), "`utilization` is zero", hint);
        }
        if let Some(sampling) = self.root.get("sampling") {
            let what = "an autoscaler and a sampled run";
            let hint = "between windows nobody works: leave `[sampling]` out";
            self.report(sampling.at, what, hint);
        }
        Some(rules)
    }

    /// What an event does to Kubernetes, and its label.
    pub(super) fn kubernetes_event(
        &mut self,
        table: &Node,
        at: At,
        does: &str,
        target: Target<'_>,
    ) -> Done {
        let needs_istiod = matches!(target, Target::Control(_));
        if needs_istiod && !self.parameters.istiod.present {
            let what = format!("the profile `{}` has no istiod", self.profile);
            self.report(at, what, "an event on it would do nothing");
            return None;
        }
        let (action, label) = match (does, target) {
            ("fail", Target::ApiServer) => {
                (ClusterAction::FailApiServer, "the API server fails".to_owned())
            }
            ("fail", Target::Kubelet(name)) => {
                let place = self.named_node(at, name)?;
                (
                    ClusterAction::FailKubelets(self.nodes_of(place)),
                    format!("the kubelet of {name} fails"),
                )
            }
            ("drain", Target::Node(_) | Target::Zone(_)) => {
                let (place, what) = self.drained(table, at, target)?;
                (ClusterAction::DrainNodes(self.nodes_of(place)), format!("{what} is drained"))
            }
            ("crash_loop", _) => {
                let (set, what) = self.pod_set(table, at, target)?;
                (ClusterAction::CrashLoop(set), format!("the app of {what} exits at its start"))
            }
            ("cut", _) => (ClusterAction::CutWebhook, "the webhook cannot be reached".to_owned()),
            ("webhook", _) => match table.text("policy")? {
                "ignore" => (
                    ClusterAction::SetWebhookPolicy(FailurePolicy::Ignore),
                    "the injection webhook is set to ignore".to_owned(),
                ),
                _ => (
                    ClusterAction::SetWebhookPolicy(FailurePolicy::Fail),
                    "the injection webhook is set to fail".to_owned(),
                ),
            },
            _ => {
                let delay = table.duration("delay")?;
                let label = format!("the webhook answers {delay} later");
                (ClusterAction::SlowWebhook(delay), label)
            }
        };
        Some((Action::Cluster(action), label))
    }

    fn drained(&mut self, table: &Node, at: At, target: Target<'_>) -> Option<(Place, String)> {
        for key in ["share", "drain_time", "strategy"] {
            if let Some(entry) = table.entry(key) {
                let hint = "it belongs to the drain of proxies";
                self.report(entry.at, format!("`{key}` of a node that is drained"), hint);
            }
        }
        match target {
            Target::Node(name) => Some((self.named_node(at, name)?, format!("node {name}"))),
            Target::Zone(name) => Some((self.named_zone(at, name)?, format!("zone {name}"))),
            _ => None,
        }
    }
}
