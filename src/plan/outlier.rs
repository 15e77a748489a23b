//! Forms of outlier detection beyond failures in a row: what few clusters ask for.
//!
//! Source: Envoy's `outlier_detection.proto`, whose defaults these are, but for enforcement: what is
//! asked for is enforced.
//! Left out: `success_rate` of degraded endpoints, monitors by extension.

use crate::kernel::time::Duration;

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
#[derive(Clone, Copy, PartialEq, Debug)]
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
    /// An ejection lasts longer by a time drawn below this.
    pub max_ejection_jitter: Duration,
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
            max_ejection_jitter: Duration::ZERO,
        }
    }
}
