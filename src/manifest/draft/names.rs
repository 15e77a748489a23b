//! Names in scenarios: which service and version of a scenario a Service and a workload are.
//!
//! A Service is called by its own name, or `name.namespace` where two namespaces have one of that name.
//! Source: design/contract.md (services and versions of a scenario).
//! Left out: nothing.

use crate::manifest::kubernetes::Cluster;
use std::collections::BTreeMap;

/// A namespace and a name in it.
pub type Key = (String, String);

/// What things are called.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Names {
    /// Services by namespace and name.
    pub services: BTreeMap<Key, String>,
    /// Workloads by namespace and name: the service and the version in it.
    pub workloads: BTreeMap<Key, (String, Option<String>)>,
}

impl Names {
    /// The names of all Services.
    pub fn of(cluster: &Cluster) -> Self {
        let mut count: BTreeMap<&str, u32> = BTreeMap::new();
        for (_, name) in cluster.services.keys() {
            *count.entry(name).or_default() += 1;
        }
        let called = |key: &Key| match count[key.1.as_str()] {
            1 => key.1.clone(),
            _ => format!("{}.{}", key.1, key.0),
        };
        let services = cluster.services.keys().map(|key| (key.clone(), called(key))).collect();
        Self { services, workloads: BTreeMap::new() }
    }

    /// What a Service is called.
    pub fn service(&self, namespace: &str, name: &str) -> Option<&str> {
        self.services.get(&(namespace.to_owned(), name.to_owned())).map(String::as_str)
    }
}
