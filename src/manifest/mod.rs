//! Real manifests into what meshsim can simulate: YAML in, a model and the list of what was ignored out.
//!
//! Reading order: [`source`] (texts and places), [`yaml`], [`scalar`] and [`node`] (trees),
//! [`object`] (Kubernetes objects), [`reader`] (typed fields, nothing dropped in silence).
//! Source: the Kubernetes API conventions.
//! Left out: files, folders and globs (the command line's part); this floor takes (name, bytes).

pub mod change;
pub mod draft;
pub mod findings;
pub mod gateway_api;
pub mod graph;
pub mod istio;
pub mod kinds;
pub mod kubernetes;
pub mod linkerd;
pub mod lint;
pub mod loaded;
pub mod meshes;
pub mod node;
pub mod object;
pub mod pattern;
pub mod reader;
pub mod route;
pub mod scalar;
pub mod selector;
pub mod smi;
pub mod source;
pub mod units;
pub mod yaml;

#[cfg(test)]
mod tests;
