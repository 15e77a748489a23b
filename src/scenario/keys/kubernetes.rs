//! Keys of what Kubernetes does for the pods of a workload: probes, budgets, autoscaling.
//!
//! Source: as in [`super`]; the words are Kubernetes'.
//! Left out: what `plan::pods` leaves out.

use super::super::schema::Default::{Is, None};
use super::super::schema::Keys::Fixed;
use super::super::schema::Kind::{Bool, Count, Duration, Share, Table, Word};
use super::super::schema::{Key, Keys};
use super::{ANY, PODS_MAX, key};

pub(crate) const READINESS: Key =
    key("readiness", Table(PROBE), None, "a probe: a pod whose app fails it is no endpoint");
pub(crate) const LIVENESS: Key =
    key("liveness", Table(PROBE), None, "a probe: an app that fails it is started again");
pub(crate) const PDB: Key =
    key("pdb", Table(BUDGET), None, "how many pods evictions leave (PodDisruptionBudget)");
pub(crate) const HPA: Key =
    key("hpa", Table(AUTOSCALER), None, "pods by the share of busy workers");
pub(crate) const INJECT: Key =
    key("inject", Bool, None, "whether its pods get a sidecar; as the service if not given");
pub(crate) const DIALS: Key =
    key("dials_at_start", Bool, Is("false"), "the app exits if it cannot call when it starts");
pub(crate) const POLICY: Key =
    key("policy", Word(&["fail", "ignore"]), None, "the webhook's failure policy from now on");

const PROBE: Keys = Fixed(&[
    key("period", Duration, Is("10s"), "so often"),
    key("timeout", Duration, Is("1s"), "an answer that takes longer is a failure"),
    key("failures", Count(1, ANY), Is("3"), "so many in a row count"),
    key("successes", Count(1, ANY), Is("1"), "so many in a row count"),
    key("initial_delay", Duration, Is("0s"), "not before this after the app's start"),
]);

const BUDGET: Keys = Fixed(&[
    key("min_available", Count(0, PODS_MAX), None, "so many pods stay ready"),
    key("min_available_share", Share, None, "the same as a share of those wanted, rounded up"),
    key("max_unavailable", Count(0, PODS_MAX), None, "so many may be away"),
    key("max_unavailable_share", Share, None, "the same as a share, rounded up"),
]);

const AUTOSCALER: Keys = Fixed(&[
    key("min", Count(1, PODS_MAX), Is("1"), "pods at least"),
    key("max", Count(1, PODS_MAX), Is("10"), "pods at most"),
    key("utilization", Share, Is("80%"), "wanted share of busy workers"),
]);
