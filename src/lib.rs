//! meshsim: a deterministic discrete-event simulator of a service mesh.
//!
//! A run is a function: a plan and a seed in, a result out. The modules, in reading order:
//!
//! - [`kernel`]: time, the queue of events, named random streams, distributions, the digest.
//! - [`vocabulary`]: the closed words: outcomes, response flags, facts, causes, gauges.
//! - [`plan`]: what is simulated, as data: universe, policies, timeline, assertions, parameters.
//! - [`manifest`]: Kubernetes, Istio, Linkerd and Gateway API manifests in, where requests go out.
//! - [`scenario`]: TOML files in, plans out; every mistake with its place.
//! - [`model`]: the decisions of proxies, control plane and Kubernetes, told `now`, without a clock.
//! - [`observe`]: what is counted while a run goes on, and the run as a result.
//! - [`world`]: the one place with events and a queue; the journey of a request.
//! - [`check`]: assertions, baselines, comparison, oracles.
//! - `report`: a result as text, files and pictures (feature `native`).
//! - `cli`: the command line, a file a command (feature `native`).
//!
//! `ARCHITECTURE.md` tells how they hang together.

pub mod check;
#[cfg(feature = "native")]
pub mod cli;
pub mod kernel;
pub mod manifest;
pub mod model;
pub mod observe;
pub mod plan;
#[cfg(feature = "native")]
pub mod report;
pub mod scenario;
pub mod vocabulary;
pub mod world;
