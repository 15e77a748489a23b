//! The tests of the whole, in one binary. What belongs where:

/// The world against rules measured on Envoy and read in Istio and Kubernetes.
#[cfg(feature = "native")]
mod behaviour;
/// The command line: a command, its exit status and what it prints, a file a theme (`cli/*.trycmd`).
#[cfg(feature = "native")]
mod cli;
/// The same scenario is the same run; goldens of digests.
#[cfg(feature = "native")]
mod determinism;
/// Relations between runs.
#[cfg(feature = "native")]
mod metamorphic;
/// Random plans from a seed; only laws are checked.
#[cfg(feature = "native")]
mod swarm;

/// Scenarios as text, runs, counts.
#[cfg(feature = "native")]
mod support;
