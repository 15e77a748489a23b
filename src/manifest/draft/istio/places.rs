//! Where fields of Istio's objects are written: the models keep the places of rules, not of each field.
//!
//! Source: the trees that the models were read from.
//! Left out: nothing.

use crate::manifest::kinds::{ISTIO_NETWORKING, ISTIO_SECURITY, ISTIO_TELEMETRY};
use crate::manifest::loaded::Loaded;
use crate::manifest::node::{Node, Value};
use crate::manifest::source::At;
use std::collections::BTreeMap;

/// All maps of Istio's objects, by where they are.
#[derive(Debug)]
pub(super) struct Places<'l> {
    maps: BTreeMap<At, &'l Node>,
    /// `spec` of objects by kind, namespace and name.
    specs: BTreeMap<(&'l str, &'l str, &'l str), &'l Node>,
}

impl<'l> Places<'l> {
    pub(super) fn of(loaded: &'l Loaded) -> Self {
        let ours = [ISTIO_NETWORKING, ISTIO_SECURITY, ISTIO_TELEMETRY];
        let objects = &loaded.manifests.objects;
        let objects = objects.iter().filter(|object| ours.contains(&object.id.group.as_str()));
        let mut specs = BTreeMap::new();
        for object in objects.clone() {
            if let Some(spec) = object.node.get("spec") {
                let id = &object.id;
                specs.insert((&*id.kind, &*id.namespace, &*id.name), spec);
            }
        }
        let mut rest: Vec<&Node> = objects.map(|object| &object.node).collect();
        rest.extend(&loaded.cluster.mesh_config);
        let mut maps = BTreeMap::new();
        while let Some(node) = rest.pop() {
            match &node.value {
                Value::Map(entries) => {
                    maps.insert(node.at, node);
                    rest.extend(entries.iter().map(|entry| &entry.value));
                }
                Value::List(items) => rest.extend(items),
                _ => {}
            }
        }
        Self { maps, specs }
    }

    /// The `spec` of an object.
    pub(super) fn spec(&self, kind: &str, namespace: &str, name: &str) -> Option<&'l Node> {
        self.specs.get(&(kind, namespace, name)).copied()
    }

    /// The value at a path below a map, its keys in letters of either case.
    fn node(&self, at: At, path: &[&str]) -> Option<&'l Node> {
        let mut node: &'l Node = self.maps.get(&at)?;
        for key in path {
            let mut entries = node.entries().iter();
            node = &entries.find(|entry| entry.key.eq_ignore_ascii_case(key))?.value;
        }
        Some(node)
    }

    /// Whether a field is written.
    pub(super) fn has(&self, at: At, path: &[&str]) -> bool {
        self.node(at, path).is_some_and(|node| !node.is_null())
    }

    /// Where a field's value is, or else the map itself.
    pub(super) fn field(&self, at: At, path: &[&str]) -> At {
        self.node(at, path).map_or(at, |node| node.at)
    }
}
