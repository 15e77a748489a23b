//! What Kubernetes does for pods: rules of workloads, and what events do to Kubernetes.
//!
//! Source: docs/pods.md.
//! Left out: as in `plan::pods`.

use super::super::document::{At, Node};
use super::super::merge::BEGIN;
use super::super::target::Target;
use super::Lower;
use super::action::{Done, of, percent};
use crate::kernel::time::Duration;
use crate::plan::parameter::FailurePolicy;
use crate::plan::pods::{Autoscaler, Budget, ClusterAction, PodRules, Pods, Probe};
use crate::plan::timeline::Action;
use crate::plan::universe::{Place, WorkloadId};

/// Kubernetes' own limit on `expirationSeconds`.
const TOKEN_MIN: Duration = Duration::from_s(600);

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
        let forgets = matches!(target, Target::Kubelet(_)) && table.get("part").is_some();
        let needs_istiod = matches!(target, Target::Control(_)) || forgets || does == "errors";
        if needs_istiod && !self.parameters.istiod.present {
            let what = format!("the profile `{}` has no istiod", self.profile);
            self.report(at, what, "an event on it would do nothing");
            return None;
        }
        let (action, label) = match (does, target) {
            ("errors", _) => return self.reviews_fail(table),
            ("fail", Target::Kubelet(name)) if forgets => return self.forgets(table, at, name),
            ("fail", Target::ApiServer) => {
                self.means_nothing(table, &["part", "share"], "all of the API server fails");
                (ClusterAction::FailApiServer, "the API server fails".to_owned())
            }
            ("fail", Target::Kubelet(name)) => {
                let place = self.named_node(at, name)?;
                self.means_nothing(
                    table,
                    &["share"],
                    "a share of its pods has `part = \"tokens\"`",
                );
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

    /// A share of `TokenReview`s fails.
    fn reviews_fail(&mut self, table: &Node) -> Done {
        let hint = "what fails is the review of a token: `Unauthenticated`";
        self.means_nothing(table, &["status", "response_headers"], hint);
        let share = self.share_above_zero(table)?;
        let label = format!("{} of token reviews fail", percent(share));
        Some((Action::Cluster(ClusterAction::FailReviews(share)), label))
    }

    /// A kubelet rotates the tokens of a share of its pods no more.
    fn forgets(&mut self, table: &Node, at: At, name: &str) -> Done {
        let part = table.get("part")?;
        if part.as_text() != Some("tokens") {
            self.report(part.at, "a kubelet has no such part", "part = \"tokens\"");
            return None;
        }
        let place = self.named_node(at, name)?;
        let share = self.share_above_zero(table)?;
        let nodes = self.nodes_of(place);
        let label = format!("{}the tokens on {name} are not rotated", of(share));
        Some((Action::Cluster(ClusterAction::StopTokens(nodes, share)), label))
    }

    fn means_nothing(&mut self, table: &Node, keys: &[&str], hint: &str) {
        for key in keys {
            if let Some(entry) = table.entry(key) {
                self.report(entry.at, format!("`{key}` means nothing here"), hint);
            }
        }
    }

    /// What tokens may not be: each with the key that is wrong.
    pub(super) fn tokens_can_be(&mut self) {
        let (token, istiod) = (&self.parameters.sa_token, &self.parameters.istiod);
        let mut wrong: Vec<(&str, &str, String, &str)> = Vec::new();
        if token.ttl.is_zero() {
            let what = "a token of no life".to_owned();
            wrong.push(("sa_token", "ttl", what, "sa_token.ttl = \"12h\""));
        }
        if token.rotate_at <= 0.0 {
            let what = "a token that is due at once, for ever".to_owned();
            wrong.push(("sa_token", "rotate_at", what, "the kubelet's is 0.8"));
        }
        if istiod.certificate_remaining.is_zero() {
            let what = "istiod's certificate is past its end at the start".to_owned();
            wrong.push(("istiod", "certificate_remaining", what, "it is new when istiod starts"));
        }
        if istiod.token_review_qps != 0 && istiod.token_review_burst == 0 {
            let what = "a rate limit that lets nothing through".to_owned();
            let hint = "at least 1; no limit is token_review_qps = 0";
            wrong.push(("istiod", "token_review_burst", what, hint));
        }
        let is_short = !token.ttl.is_zero() && token.ttl < TOKEN_MIN;
        let at = |group: &str, key: &str| {
            let mesh = self.root.get("mesh").and_then(|mesh| mesh.get(group));
            mesh.and_then(|group| group.get(key)).map_or(BEGIN, |node| node.at)
        };
        let wrong: Vec<_> = (wrong.into_iter())
            .map(|(group, key, what, hint)| (at(group, key), what, hint))
            .collect();
        let (at, what) = (at("sa_token", "ttl"), format!("a token of {}", token.ttl));
        for (at, what, hint) in wrong {
            self.report(at, what, hint);
        }
        if is_short {
            self.warn(at, what, "Kubernetes refuses less than 10m");
        }
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
