//! Floor 2: the decisions of a mesh, sans-IO. The parts know no queue, no clock and no seed: they
//! are told `now` and given their random numbers, and answer with a small value.

pub mod app;
pub mod client;
pub mod cluster;
pub mod control;
pub mod identity;
pub mod linkerd;
pub mod net;
pub mod proxy;
pub mod sampling;
pub mod traffic;
