//! meshsim: a deterministic discrete-event simulator of a service mesh.

pub mod check;
pub mod kernel;
pub mod model;
pub mod observe;
pub mod plan;
pub mod report;
pub mod vocabulary;
