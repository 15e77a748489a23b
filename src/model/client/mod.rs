//! What clients do by themselves.

pub mod backoff;
pub mod budget;
