//! What a sidecar decides: which endpoint, which connection, whether to try again.

pub mod balancer;
pub mod breaker;
pub mod filter;
pub mod outlier;
pub mod pool;
pub mod retry;
pub mod workers;
