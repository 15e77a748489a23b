//! Floor 0: time, queue, random streams, distributions. It knows no mesh word.

pub mod digest;
pub mod distribution;
pub mod histogram;
pub mod time;
