//! HTTP filters: what they decide about a request.

pub mod fault;
pub mod rate_limit;
pub mod rbac;
