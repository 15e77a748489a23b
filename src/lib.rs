//! meshsim: a deterministic discrete-event simulator of a service mesh.

pub mod check;
#[cfg(feature = "native")]
pub mod cli;
pub mod kernel;
pub mod model;
pub mod observe;
pub mod plan;
#[cfg(feature = "native")]
pub mod report;
pub mod scenario;
pub mod vocabulary;
pub mod world;
