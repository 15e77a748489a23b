//! When requests come.

pub mod source;
