//! Keys of `[[manifests]]`: the YAML of a real mesh that a scenario is laid over.
//!
//! Source: design/contract.md (`[[manifests]]`); docs/manifests.md.
//! Left out: manifests that come or go at a time.

use super::super::schema::Default::{None, Required};
use super::super::schema::Key;
use super::super::schema::Keys::{self, Fixed};
use super::super::schema::Kind::{Count, Distribution, Paths, Tables, Word};
use super::{ANY, key};

/// The meshes whose rules may count, as `meshsim route --mesh` names them.
const MESHES: &[&str] = &["istio", "linkerd", "gateway-api"];

/// The section.
pub(crate) const OF_ROOT: Key = key(
    "manifests",
    Tables(MANIFESTS, ""),
    None,
    "YAML of a real mesh, whose services and policies this file is laid over",
);

/// What is assumed of workloads, and may be said here: keys of `[[service.workload]]`.
pub(crate) const ASSUMED: [&str; 2] = ["time", "workers"];

/// What is read.
pub(crate) const PATH: Key = key(
    "path",
    Paths,
    Required,
    "files, folders or patterns such as k8s/*.yaml, from this file on",
);

const MANIFESTS: Keys = Fixed(&[
    PATH,
    key("mesh", Word(MESHES), None, "whose rules count; what the manifests hold if not given"),
    key("time", Distribution, None, "local work for a request, where no manifest says it"),
    key("workers", Count(1, ANY), None, "requests worked on at once, where no manifest says it"),
]);
