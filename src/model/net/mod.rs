//! The network: how far nodes are from each other, and what gets lost between them.

mod graph;
pub mod topology;
