//! Floor 2: facts in, a `Run` out. A recorder cannot change a run.

pub mod access_log;
pub mod accumulator;
pub mod batch;
pub mod control_plane;
pub mod estimate;
pub mod journal;
pub mod linkerd;
pub mod mesh_cost;
pub mod mesh_status;
pub mod phase;
pub mod probe;
pub mod recorder;
pub mod run;
pub mod seconds;
pub mod series;
pub mod topology;
pub mod watch;
