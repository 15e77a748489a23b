//! The control plane's own rules: what it remembers, when it pushes, to whom, and which streams it
//! lets in.

pub mod admission;
pub mod age;
pub mod autoscaler;
pub mod cores;
pub mod debounce;
pub mod push;
pub mod slots;
pub mod snapshots;
pub mod throttle;
pub mod versions;
pub mod warming;
