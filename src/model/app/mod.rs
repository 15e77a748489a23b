//! Apps: what a pod does for a request.

pub mod crowd;
pub mod station;
