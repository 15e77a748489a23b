//! Kubernetes' rules: how many pods there should be now.

pub mod deployment;
