//! Places of fields that the models do not keep: looked up in an object's own tree.
//!
//! Source: none; a finding's way back into the manifest.
//! Left out: elements of lists.

use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::node::Node;
use crate::manifest::object::{Manifests, Object};
use crate::manifest::source::At;
use std::collections::BTreeMap;

/// Objects of workloads by kind, namespace and name.
pub(super) struct Places<'l> {
    objects: BTreeMap<(&'l str, &'l str, &'l str), &'l Object>,
}

impl<'l> Places<'l> {
    /// Of all objects that were read.
    pub(super) fn of_all(manifests: &'l Manifests) -> Self {
        let named = |object: &'l Object| {
            let id = &object.id;
            ((id.kind.as_str(), id.namespace.as_str(), id.name.as_str()), object)
        };
        let is_workload = |object: &&Object| object.id.group == "apps" || object.id.kind == "Pod";
        Self { objects: manifests.objects.iter().filter(is_workload).map(named).collect() }
    }

    /// The object of a workload; none if only its pods were read.
    pub(super) fn of(&self, workload: &Workload) -> Option<&'l Object> {
        let key = (workload.kind.word(), workload.namespace.as_str(), workload.name.as_str());
        self.objects.get(&key).copied()
    }

    /// All objects of workloads, pods that belong to others among them.
    pub(super) fn all(&self) -> impl Iterator<Item = &'l Object> {
        self.objects.values().copied()
    }

    /// Where a field of a workload's object is.
    pub(super) fn at(&self, workload: &Workload, path: &[&str]) -> Option<At> {
        at(&self.of(workload)?.node, path)
    }
}

/// Where a field below a node is: its value, or its key if that is a map or a list.
pub(super) fn at(node: &Node, path: &[&str]) -> Option<At> {
    let mut here = node;
    let mut found = None;
    for key in path {
        let entry = here.entry(key)?;
        found = Some(entry.key_at);
        here = &entry.value;
    }
    found
}

/// The node at a path.
pub(super) fn below<'n>(node: &'n Node, path: &[&str]) -> Option<&'n Node> {
    path.iter().try_fold(node, |here, key| here.get(key))
}
