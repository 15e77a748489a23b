//! Floor 0: time, queue, random streams, distributions. It knows no mesh word.

mod agenda;
pub mod bytes;
pub mod digest;
pub mod distribution;
pub mod histogram;
mod quantile;
pub mod queue;
mod rungs;
pub mod sampler;
pub mod slab;
pub mod stream;
pub mod student;
pub mod time;
