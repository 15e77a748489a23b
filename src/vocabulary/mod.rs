//! Floor 1: the closed words that every part of meshsim speaks.

pub mod cause;
pub mod counter;
pub mod fact;
pub mod flag;
pub mod metric;
pub mod outcome;
mod text;
pub mod transport;
