//! Which service of a draft a name in a trace, a graph or a hint means.
//!
//! A name may be the scenario's own, a host of Kubernetes with or without its ends (`cart`, `cart.shop`,
//! `cart.shop.svc.cluster.local:8080`), Istio's canonical name with its namespace, a workload's
//! (`reviews-v2`: one version), or a name with a namespace of OpenTelemetry's behind it.
//! Source: Kubernetes "DNS for Services and Pods"; Istio's proxies name themselves `app.namespace`.
//! Left out: names that an app was given by its own configuration and that nothing in manifests shows.

use crate::manifest::draft::Draft;
use crate::manifest::object::nearest;
use std::collections::{BTreeMap, BTreeSet};

/// The service that is meant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Target {
    /// Its name in the scenario.
    pub service: String,
    /// Its version, if the name is that of one workload.
    pub version: Option<Option<String>>,
}

/// The names of a draft, to be asked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Index {
    whole: BTreeMap<String, Target>,
    /// By the first part of a name: all that have it.
    first: BTreeMap<String, Vec<Target>>,
    pods: BTreeMap<String, Vec<Target>>,
}

/// Why no service is found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unknown {
    /// What would help; may be empty.
    pub hint: String,
}

impl Index {
    /// The names of a draft.
    pub fn of(draft: &Draft<'_>) -> Self {
        let mut index = Self::default();
        let known: BTreeSet<&str> = draft.services.iter().map(|one| one.name.as_str()).collect();
        for ((namespace, name), service) in &draft.names.services {
            if known.contains(service.as_str()) {
                let target = Target { service: service.clone(), version: None };
                index.whole.insert(format!("{name}.{namespace}").to_lowercase(), target.clone());
                index.first.entry(name.to_lowercase()).or_default().push(target);
            }
        }
        for service in &draft.services {
            let target = Target { service: service.name.clone(), version: None };
            index.whole.insert(service.name.to_lowercase(), target.clone());
            for pod in &service.workloads {
                let target = Target { version: Some(pod.version.clone()), ..target.clone() };
                let (namespace, name) = &pod.key;
                for name in [format!("{name}.{namespace}"), name.clone()] {
                    index.pods.entry(name.to_lowercase()).or_default().push(target.clone());
                }
            }
        }
        index
    }

    /// The service that a name means.
    pub fn find(&self, name: &str) -> Result<Target, Unknown> {
        let host = host(name);
        let written = self.whole.get(&host).or_else(|| self.whole.get(&plain(name)));
        if let Some(target) = written {
            return Ok(target.clone());
        }
        let (first, rest) = host.split_once('.').map_or((&*host, None), |(a, b)| (a, Some(b)));
        let namespaced = rest.map(|rest| {
            let namespace = rest.split('.').next().unwrap_or(rest);
            format!("{first}.{namespace}")
        });
        let places = [
            namespaced.as_ref().and_then(|name| self.whole.get(name).map(std::slice::from_ref)),
            self.first.get(&host).map(Vec::as_slice),
            namespaced.as_ref().and_then(|name| self.pods.get(name).map(Vec::as_slice)),
            self.pods.get(&host).map(Vec::as_slice),
            rest.and_then(|_| self.first.get(first).map(Vec::as_slice)),
        ];
        if let Some(found) = places.into_iter().flatten().next() {
            return one_of(found);
        }
        let known = self.whole.keys().chain(self.first.keys()).map(String::as_str);
        let known: Vec<&str> = known.chain(self.pods.keys().map(String::as_str)).collect();
        let near = nearest(&host, &known).or_else(|| nearest(first, &known));
        let hint = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
        Err(Unknown { hint })
    }
}

/// The one that is meant, if it can be told.
fn one_of(found: &[Target]) -> Result<Target, Unknown> {
    let mut services: Vec<&str> = found.iter().map(|one| one.service.as_str()).collect();
    services.dedup();
    match found {
        [one] => Ok(one.clone()),
        [one, ..] if services.len() == 1 => Ok(Target { version: None, ..one.clone() }),
        _ => Err(Unknown { hint: format!("it may be {}", services.join(" or ")) }),
    }
}

/// A host without its port and without the ends that Kubernetes' names have.
pub(super) fn host(name: &str) -> String {
    let name = name.trim().split_once("://").map_or(name.trim(), |(_, rest)| rest);
    let name = name.split('/').next().unwrap_or(name);
    let name = match name.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => name,
    };
    let name = name.trim_end_matches('.').to_lowercase();
    match name.split_once(".svc") {
        Some((host, rest)) if rest.is_empty() || rest.starts_with('.') => host.to_owned(),
        _ => name,
    }
}

/// A name that a scenario takes: letters, digits, `-`, `_` and `.`.
pub fn plain(name: &str) -> String {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let plain: String = host(name).chars().map(|c| if fine(c) { c } else { '-' }).collect();
    if plain.is_empty() { "nameless".to_owned() } else { plain }
}
