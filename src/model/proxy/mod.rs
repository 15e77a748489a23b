//! What a sidecar decides: which endpoint, which connection, whether to try again.

pub mod balancer;
pub mod breaker;
pub mod cluster_balancer;
pub mod edf;
pub mod filter;
pub mod hash_policy;
pub mod health_check;
mod host_set;
pub mod locality;
pub mod maglev;
pub mod merge_window;
pub mod outlier;
pub mod pool;
pub mod priority;
pub mod retry;
pub mod ring_hash;
pub mod slow_start;
pub mod stale_load;
pub mod workers;
