//! Forms of outlier detection beyond failures in a row: what few clusters ask for.
//!
//! Source: Envoy's `outlier_detection.proto`, whose defaults these are, but for enforcement: what is
//! asked for is enforced, and shares of local failures are not, as Istio has it.
//! Left out: `success_rate` of degraded endpoints, monitors by extension.

use crate::kernel::time::Duration;
use std::fmt;

/// Endpoints whose share of good answers lies far below that of the others.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SuccessRate {
    /// Fewer endpoints with enough answers are not compared.
    pub minimum_hosts: u32,
    /// Answers in an interval that are enough.
    pub request_volume: u32,
    /// So many standard deviations below the mean are too far (Envoy's `stdev_factor` / 1000).
    pub stdev_factor: f64,
    /// Share of detections that eject, 0 to 1.
    pub enforcing: f64,
}

impl Default for SuccessRate {
    fn default() -> Self {
        Self { minimum_hosts: 5, request_volume: 100, stdev_factor: 1.9, enforcing: 1.0 }
    }
}

/// Endpoints with too large a share of failures.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct FailurePercentage {
    /// The share from which on it is too large, 0 to 1.
    pub threshold: f64,
    /// Fewer endpoints with enough answers are not looked at.
    pub minimum_hosts: u32,
    /// Answers in an interval that are enough.
    pub request_volume: u32,
    /// Share of detections that eject, 0 to 1.
    pub enforcing: f64,
}

impl Default for FailurePercentage {
    fn default() -> Self {
        Self { threshold: 0.85, minimum_hosts: 5, request_volume: 50, enforcing: 1.0 }
    }
}

/// Whatever outlier detection has beyond failures in a row.
#[derive(Clone, Copy, PartialEq)]
pub struct OutlierForms {
    /// Share of detections by 5xx in a row that eject, 0 to 1.
    pub enforcing_consecutive_5xx: f64,
    /// Share of detections by gateway failures in a row that eject, 0 to 1.
    pub enforcing_consecutive_gateway: f64,
    /// Failures of this side (no connection, reset, timeout) are counted apart from answers
    /// (`split_external_local_origin_errors`).
    pub split_local_origin: bool,
    /// If they are: so many in a row eject; 0 turns it off.
    pub consecutive_local_origin: u32,
    /// Share of those detections that eject, 0 to 1.
    pub enforcing_consecutive_local_origin: f64,
    /// Compared with the others at each interval.
    pub success_rate: Option<SuccessRate>,
    /// Compared with a threshold at each interval.
    pub failure_percentage: Option<FailurePercentage>,
    /// If failures of this side are counted apart: their share is compared too, by the numbers of
    /// `success_rate`; the share of detections that eject, 0 to 1.
    pub enforcing_local_origin_success_rate: f64,
    /// The same for `failure_percentage`.
    pub enforcing_failure_percentage_local_origin: f64,
    /// An ejection lasts longer by a time drawn below this.
    pub max_ejection_jitter: Duration,
}

impl OutlierForms {
    /// Whether endpoints are compared by shares at each interval.
    pub const fn compares(&self) -> bool {
        self.success_rate.is_some() || self.failure_percentage.is_some()
    }
}

impl fmt::Debug for OutlierForms {
    /// What few ask for shows only if it is asked for: the digest of all other plans stays.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("OutlierForms");
        all.field("enforcing_consecutive_5xx", &self.enforcing_consecutive_5xx)
            .field("enforcing_consecutive_gateway", &self.enforcing_consecutive_gateway)
            .field("split_local_origin", &self.split_local_origin)
            .field("consecutive_local_origin", &self.consecutive_local_origin)
            .field("enforcing_consecutive_local_origin", &self.enforcing_consecutive_local_origin)
            .field("success_rate", &self.success_rate)
            .field("failure_percentage", &self.failure_percentage)
            .field("max_ejection_jitter", &self.max_ejection_jitter);
        let local = [
            ("enforcing_local_origin_success_rate", self.enforcing_local_origin_success_rate),
            (
                "enforcing_failure_percentage_local_origin",
                self.enforcing_failure_percentage_local_origin,
            ),
        ];
        for (name, share) in local.into_iter().filter(|(_, share)| *share != 0.0) {
            all.field(name, &share);
        }
        all.finish()
    }
}

impl Default for OutlierForms {
    fn default() -> Self {
        Self {
            enforcing_consecutive_5xx: 1.0,
            enforcing_consecutive_gateway: 1.0,
            split_local_origin: false,
            consecutive_local_origin: 5,
            enforcing_consecutive_local_origin: 1.0,
            success_rate: None,
            failure_percentage: None,
            enforcing_local_origin_success_rate: 0.0,
            enforcing_failure_percentage_local_origin: 0.0,
            max_ejection_jitter: Duration::ZERO,
        }
    }
}
