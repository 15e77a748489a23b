//! meshsim: a deterministic discrete-event simulator of a service mesh.

pub mod kernel;
