//! Where rules send requests: the key of a destination in `weights`.
//!
//! What is not there gets a key that is not there either (503 NC).
//! Source: as `istio::target` finds destinations; docs/scenarios.md (`weights`).
//! Left out: ports: a service of a scenario has one.

use super::Work;
use crate::manifest::draft::Service;
use crate::manifest::istio::action::Destination;
use crate::manifest::istio::choose::{self, Client};
use crate::manifest::istio::host;
use crate::manifest::istio::registry::Known;

/// A destination of a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    /// Its key in `weights`.
    pub(super) key: String,
    /// Whether it is all of the rule's own service.
    pub(super) is_own: bool,
    /// Whether it is there.
    pub(super) is_there: bool,
    /// What a mirror calls it.
    pub(super) full: String,
}

impl Target {
    fn missing(key: String) -> Self {
        Self { full: key.clone(), key, is_own: false, is_there: false }
    }
}

impl Work<'_, '_> {
    /// What a destination that is named in a namespace is to a client, seen from a service.
    pub(super) fn target(
        &mut self,
        client: &Client,
        own: &str,
        wanted: &Destination,
        namespace: &str,
        listener_port: u16,
    ) -> Target {
        let full = host::full(&wanted.host.text, namespace);
        let Some(known) = self.mesh.registry.exact(&full, &client.namespace) else {
            return Target::missing(full);
        };
        let known = self.mesh.registry.real(known).clone();
        let port = wanted.port.unwrap_or(match known.ports.as_slice() {
            [(only, ..)] => *only,
            _ => listener_port,
        });
        if known.protocol(port).is_none() {
            return Target::missing(format!("{full}:{port}"));
        }
        let Some(name) = self.name_of(&known) else {
            let why = "a Service of gateways or of the control plane is none of a scenario: 503 NC";
            let field = "VirtualService.spec.http.route.destination.host";
            self.draft.ignore(field, wanted.host.at, why);
            return Target::missing(full);
        };
        let Some(subset) = &wanted.subset else {
            let is_own = name == own;
            return Target { key: name.clone(), is_own, is_there: true, full: name };
        };
        if !self.has_subset(client, &known, &subset.text) {
            // A version is a subset by itself in a scenario, but not in Istio.
            let services = &self.draft.services;
            let service = services.iter().find(|one| one.name == name);
            let is_version = |one: &Service| {
                one.workloads.iter().any(|one| one.version.as_deref() == Some(&*subset.text))
            };
            let key = if service.is_some_and(is_version) {
                format!("{} (not in a DestinationRule)", subset.text)
            } else {
                subset.text.clone()
            };
            let key = if name == own { key } else { format!("{name}/{key}") };
            return Target::missing(key);
        }
        let full = Service::destination(&name, Some(&subset.text));
        let key = if name == own { subset.text.clone() } else { full.clone() };
        Target { key, is_own: false, is_there: true, full }
    }

    fn has_subset(&mut self, client: &Client, known: &Known, subset: &str) -> bool {
        let key = (client.namespace.clone(), known.host.clone());
        if !self.subsets.contains_key(&key) {
            let istio = self.mesh.istio;
            let chosen = choose::destination_rule(istio, client, &known.host, &known.namespace);
            let subsets = chosen.map(|chosen| chosen.subsets).unwrap_or_default();
            let names = subsets.into_iter().map(|subset| subset.name).collect();
            self.subsets.insert(key.clone(), names);
        }
        self.subsets[&key].contains(subset)
    }
}
