//! Keys of manifests: the YAML of a real mesh that a scenario is laid over, and of events that change it.
//!
//! Source: design/contract.md (`[[manifests]]`); docs/manifests.md.
//! Left out: nothing.

use super::super::schema::Default::{None, Required};
use super::super::schema::Key;
use super::super::schema::Keys::{self, Fixed};
use super::super::schema::Kind::{
    Count, Distribution, Manifests, Names, Paths, Tables, Text, Word, Yaml,
};
use super::{ANY, key};

/// The meshes whose rules may count, as `meshsim route --mesh` names them.
const MESHES: &[&str] = &["istio", "linkerd", "gateway-api"];

/// The section.
pub(crate) const OF_ROOT: Key = key(
    "manifests",
    Tables(OF_SECTION, ""),
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

const OF_SECTION: Keys = Fixed(&[
    PATH,
    key("mesh", Word(MESHES), None, "whose rules count; what the manifests hold if not given"),
    key("time", Distribution, None, "local work for a request, where no manifest says it"),
    key("workers", Count(1, ANY), None, "requests worked on at once, where no manifest says it"),
]);

/// What `apply` and `delete` take.
pub(crate) const OF_EVENT: Key =
    key("manifests", Manifests, None, "YAML that is applied or deleted: paths, or the YAML itself");
/// What `delete` takes.
pub(crate) const OBJECTS: Key =
    key("objects", Names, None, "objects that are deleted: kind/namespace/name");
/// What `patch` takes.
pub(crate) const OBJECT: Key = key("object", Text, None, "the object: kind/namespace/name");
/// The patch itself.
pub(crate) const PATCH: Key = key("patch", Yaml, None, "the patch, YAML or JSON");
/// Where it stands.
pub(crate) const PATCH_FILE: Key = key("patch_file", Text, None, "the file of the patch");
/// How it is read.
pub(crate) const TYPE: Key = key(
    "type",
    Word(&["strategic", "merge", "json"]),
    None,
    "of a patch; strategic, and of custom resources merge, if not given",
);
