//! What Kubernetes does for the pods of a workload beside keeping their number: probes, budgets for
//! disruptions, autoscaling; and what events do to Kubernetes itself.
//!
//! Source: kubernetes `pkg/apis/core/v1/defaults.go`, `pkg/apis/policy/v1`,
//! `pkg/apis/autoscaling/v2/defaults.go`; docs/pods.md.
//! Left out: startup probes of apps, metrics other than CPU, `behavior` of an autoscaler.

use crate::kernel::time::Duration;
use crate::plan::parameter::FailurePolicy;
use crate::plan::timeline::PodSet;
use crate::plan::universe::NodeId;

/// What is asked for; a workload without any of it is not in the plan's list.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct PodRules {
    /// A pod whose app fails it is no endpoint.
    pub readiness: Option<Probe>,
    /// A container whose app fails it is started again.
    pub liveness: Option<Probe>,
    /// How many pods an eviction must leave.
    pub budget: Option<Budget>,
    /// How many pods are wanted, by their load.
    pub autoscaler: Option<Autoscaler>,
    /// The app calls somebody when it starts, and exits if that is refused.
    pub dials_at_start: bool,
}

impl PodRules {
    /// Whether nothing is asked for.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// A probe of the kubelet, over HTTP, of the app.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// So often; above 0.
    pub period: Duration,
    /// An answer that takes longer is a failure; above 0, at most the period.
    pub timeout: Duration,
    /// So many failures in a row, at least 1.
    pub failures: u32,
    /// So many successes in a row, at least 1.
    pub successes: u32,
    /// Not before this after the start of the app.
    pub initial_delay: Duration,
}

/// A `PodDisruptionBudget`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Budget {
    /// So many pods are left healthy.
    MinAvailable(Pods),
    /// So many may be away.
    MaxUnavailable(Pods),
}

/// Pods, as a number or as a share of those wanted, rounded up.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Pods {
    /// So many.
    Count(u32),
    /// Share, 0 to 1.
    Share(f64),
}

impl Pods {
    /// How many those are of `wanted`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within u32")]
    pub fn of(self, wanted: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            // Typed with a few digits: a product so close to a whole number is meant to be it.
            Self::Share(share) => (f64::from(wanted) * share - 1e-6).ceil().max(0.0) as u32,
        }
    }
}

impl Budget {
    /// How many pods must be left healthy of those wanted.
    pub fn healthy_min(self, wanted: u32) -> u32 {
        match self {
            Self::MinAvailable(pods) => pods.of(wanted),
            Self::MaxUnavailable(pods) => wanted.saturating_sub(pods.of(wanted)),
        }
    }
}

/// A `HorizontalPodAutoscaler` on the share of busy workers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Autoscaler {
    /// Pods at least, at least 1.
    pub min: u32,
    /// Pods at most.
    pub max: u32,
    /// Wanted share of busy workers, above 0, at most 1.
    pub utilization: f64,
}

/// What events do to Kubernetes and to its webhook.
#[derive(Clone, PartialEq, Debug)]
pub enum ClusterAction {
    /// Packets from the API server to the webhook vanish.
    CutWebhook,
    /// The webhook answers so much later.
    SlowWebhook(Duration),
    /// The webhook is configured otherwise.
    SetWebhookPolicy(FailurePolicy),
    /// The API server is away: nothing is created, deleted, evicted or told of endpoints.
    FailApiServer,
    /// The kubelets of these nodes are away: nothing starts, ends or is probed there.
    FailKubelets(Vec<NodeId>),
    /// The kubelets of these nodes rotate the tokens of a share of their pods no more.
    StopTokens(Vec<NodeId>, f64),
    /// A share of `TokenReview`s fails, above 0, at most 1.
    FailReviews(f64),
    /// Nodes are cordoned and their pods evicted.
    DrainNodes(Vec<NodeId>),
    /// Apps exit when they start.
    CrashLoop(PodSet),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_in_per_cent_is_rounded_up() {
        let healthy = |budget: Budget| budget.healthy_min(7);
        assert_eq!(healthy(Budget::MinAvailable(Pods::Share(0.5))), 4);
        assert_eq!(healthy(Budget::MaxUnavailable(Pods::Share(0.3))), 4, "7 · 0.3 = 2.1: 3");
        assert_eq!(healthy(Budget::MinAvailable(Pods::Count(9))), 9);
        assert_eq!(healthy(Budget::MaxUnavailable(Pods::Count(9))), 0);
        assert_eq!(Pods::Share(0.1).of(30), 3, "0.1 × 30 is 3.0000000000000004 in binary");
    }
}
