//! HTTP filters: what they decide about a request.

pub mod admission_control;
pub mod buffer;
pub mod cors;
pub mod fault;
pub mod global_rate_limit;
pub mod overload;
pub mod rate_limit;
pub mod rbac;
