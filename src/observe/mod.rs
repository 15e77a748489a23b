//! Floor 2: facts in, a `Run` out. A recorder cannot change a run.

pub mod run;
