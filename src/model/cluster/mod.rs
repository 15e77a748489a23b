//! Kubernetes' rules: how many pods there should be now, and when an ended container starts again.

pub mod autoscaler;
pub mod backoff;
pub mod deployment;
pub mod probe;
