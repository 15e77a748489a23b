//! Floor 0: time, queue, random streams, distributions. It knows no mesh word.

pub mod time;
