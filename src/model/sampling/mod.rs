//! Sampling: the clock that stands still between windows, when windows are, what goes on in gaps.

pub mod clock;
pub mod demand;
pub mod peers;
pub mod schedule;
