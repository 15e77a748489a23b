//! Names in scenarios: which service and version of a scenario a Service and a workload are.
//!
//! A Service is called by its own name, or `name.namespace` where two namespaces have one of that name.
//! Source: design/contract.md (services and versions of a scenario); docs/scenarios.md (`ingress` is the gateway; names hold no
//! `/:,()=<>` and no blanks).
//! Left out: nothing.

use crate::manifest::kubernetes::Cluster;
use std::collections::{BTreeMap, BTreeSet};

/// A namespace and a name in it.
pub type Key = (String, String);

/// The gateway's name in scenarios.
const INGRESS: &str = "ingress";

/// The service and the version that a workload is, by its namespace and name.
pub type Homes = BTreeMap<Key, (String, Option<String>)>;

/// What things are called.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Names {
    /// Services by namespace and name.
    pub services: BTreeMap<Key, String>,
    /// Workloads by namespace and name: the service and the version in it.
    pub workloads: BTreeMap<Key, (String, Option<String>)>,
    /// Names of services that are taken.
    taken: BTreeSet<String>,
    /// Names of the scenario's workloads that are taken: a service's, with its version.
    pods: BTreeSet<String>,
}

impl Names {
    /// The names of all Services.
    pub fn of(cluster: &Cluster) -> Self {
        let mut count: BTreeMap<&str, u32> = BTreeMap::new();
        for (_, name) in cluster.services.keys() {
            *count.entry(name).or_default() += 1;
        }
        let mut names = Self::default();
        for key in cluster.services.keys() {
            let is_alone = count.get(key.1.as_str()) == Some(&1);
            let called = names.free_if(key, is_alone);
            names.services.insert(key.clone(), called);
        }
        names
    }

    /// What a Service is called.
    pub fn service(&self, namespace: &str, name: &str) -> Option<&str> {
        self.services.get(&(namespace.to_owned(), name.to_owned())).map(String::as_str)
    }

    /// A name that nothing has, for a workload that no Service selects.
    pub fn free(&mut self, namespace: &str, name: &str) -> String {
        self.free_if(&(namespace.to_owned(), name.to_owned()), true)
    }

    fn free_if(&mut self, key: &Key, is_alone: bool) -> String {
        let (short, long) = (plain(&key.1), plain(&format!("{}.{}", key.1, key.0)));
        let wanted = [short, long.clone()].into_iter().skip(usize::from(!is_alone));
        let numbered = (2..u32::MAX).map(|n| format!("{long}-{n}"));
        let is_free = |name: &String| name != INGRESS && !self.taken.contains(name);
        let name = wanted.chain(numbered).find(is_free).unwrap_or(long);
        self.taken.insert(name.clone());
        name
    }

    /// Takes a version of a service for a workload, another one if the scenario's workloads would have one name twice.
    pub fn version(&mut self, service: &str, wanted: Option<String>, name: &str) -> Option<String> {
        let called = |version: &Option<String>| match version {
            Some(version) => format!("{service}-{version}"),
            None => service.to_owned(),
        };
        let wanted = wanted.map(|version| plain(&version));
        let base = wanted.clone().unwrap_or_else(|| plain(name));
        let others = [wanted, Some(base.clone())].into_iter();
        let numbered = (2..u32::MAX).map(|n| Some(format!("{base}-{n}")));
        let mut all = others.chain(numbered);
        let version = all.find(|version| !self.pods.contains(&called(version))).flatten();
        self.pods.insert(called(&version));
        version
    }
}

/// A name without what names in scenarios may not hold.
fn plain(name: &str) -> String {
    let is_odd = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '/' | ':' | ',' | '(' | ')' | '=' | '>' | '<' | '"' | '\\')
    };
    let name: String = name.chars().map(|c| if is_odd(c) { '_' } else { c }).collect();
    if name.is_empty() { "_".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::object::Manifests;

    fn names(list: &[(&str, &str)]) -> Names {
        let mut text = String::new();
        for (namespace, name) in list {
            let head = "---\napiVersion: v1\nkind: Service\nmetadata: ";
            text.extend([head, "{name: '", name, "', namespace: '", namespace, "'}\n"]);
        }
        let mut manifests = Manifests::read([("a.yaml", text.as_bytes())]);
        Names::of(&Cluster::of(&mut manifests))
    }

    #[test]
    fn a_service_has_its_own_name_where_it_is_alone() {
        let names = names(&[("a", "web"), ("b", "web"), ("b", "cart"), ("c", "ingress")]);
        let all: Vec<&str> = names.services.values().map(String::as_str).collect();
        assert_eq!(all, ["web.a", "cart", "web.b", "ingress.c"]);
    }

    #[test]
    fn names_are_unique_and_plain_whatever_they_were() {
        let mut names = names(&[("a", "web.b"), ("b", "web"), ("c", "web"), ("d", "a b/c:d")]);
        let all: Vec<&str> = names.services.values().map(String::as_str).collect();
        assert_eq!(all, ["web.b", "web.b-2", "web.c", "a_b_c_d"]);
        assert_eq!(names.free("c", "web"), "web");
        assert_eq!(names.free("c", "web"), "web.c-2");
    }

    #[test]
    fn no_two_workloads_of_a_scenario_have_one_name() {
        let mut names = Names::default();
        let mut version = |service: &str, wanted: Option<&str>, name: &str| {
            names.version(service, wanted.map(str::to_owned), name)
        };
        assert_eq!(version("reviews", Some("v1"), "reviews-v1").as_deref(), Some("v1"));
        assert_eq!(version("reviews", Some("v1"), "reviews-b").as_deref(), Some("v1-2"));
        assert_eq!(version("reviews-v1", None, "app").as_deref(), Some("app"));
        assert_eq!(version("web", None, "web"), None);
    }
}
