//! Where a service's requests go by weight: `traffic_split` and `failover`.
//!
//! A view is what clients of one namespace see: its own profile or the service's, with the split that the adaptor of
//! linkerd-smi writes into the service's. A scenario has one view: that of clients in the service's namespace if a
//! profile or split counts there, else that of the first namespace whose profile does.
//! Source: linkerd-smi `pkg/adaptor/controller.go`; linkerd-failover README.md; linkerd2
//! `controller/api/destination/profile_translator.go` (`dstOverrides`).
//! Left out: `matches` of a split, which the adaptor does not read; other views than that one (named).

use super::linkerd::{Called, Part};
use crate::manifest::draft::value::{Table, Value};
use crate::manifest::kubernetes::service::Service;
use crate::manifest::linkerd::profile::Profile;
use crate::manifest::node::Node;
use crate::manifest::smi::split::TrafficSplit;
use crate::manifest::source::At;

/// Secondaries that a failover of a scenario has at most.
const SECONDARIES_MAX: usize = 5;

/// What clients of one namespace see.
#[derive(Default)]
pub(super) struct View<'l> {
    /// The profile, with routes or without.
    pub(super) profile: Option<&'l Profile>,
    /// The split that is written into it.
    pub(super) split: Option<&'l TrafficSplit>,
    /// Where requests go instead of to the service itself; empty if there.
    pub(super) targets: Vec<Target>,
}

/// A destination with a weight above 0.
pub(super) struct Target {
    /// Its namespace.
    namespace: String,
    /// Its name.
    name: String,
    /// Its port, if one is told.
    port: Option<u16>,
    /// Its weight in thousandths.
    milli: u64,
    /// Where the weight is.
    at: At,
}

impl View<'_> {
    fn counts(&self) -> bool {
        !self.targets.is_empty() || self.profile.is_some_and(|profile| !profile.routes.is_empty())
    }
}

impl<'l> Part<'_, 'l> {
    /// The view that a scenario has of a service; what others see is named.
    pub(super) fn view(&mut self, called: &Called<'l>) -> View<'l> {
        let service = called.service;
        let own = self.view_from(service, &service.namespace);
        let host = self.loaded.linkerd.settings.host(&service.namespace, &service.name);
        let profiles = self.loaded.linkerd.profiles.values();
        let others: Vec<&'l Profile> = profiles
            .filter(|one| one.name == host && one.namespace != service.namespace && one.wins())
            .collect();
        let first = others.first().filter(|_| !own.counts()).copied();
        for other in &others {
            self.uses("ServiceProfile", &(other.namespace.clone(), other.name.clone()));
            let why = match first {
                Some(first) if first.namespace == other.namespace => {
                    "its namespace's clients go by it; here all clients do"
                }
                _ => {
                    "its namespace's clients go by it; here nobody does: there is one view of a service"
                }
            };
            self.draft.ignore("ServiceProfile.metadata.namespace", other.at, why);
        }
        let view = match first {
            Some(first) => self.view_from(service, &first.namespace),
            None => own,
        };
        if let Some(split) = view.split {
            self.uses("TrafficSplit", &(split.namespace.clone(), split.name.clone()));
        }
        view
    }

    /// What clients of a namespace see.
    fn view_from(&self, service: &Service, client: &str) -> View<'l> {
        let linkerd = &self.loaded.linkerd;
        let (namespace, name) = (service.namespace.as_str(), service.name.as_str());
        let profile = linkerd.profile(client, namespace, name);
        let profile = profile.filter(|profile| profile.broken.is_none());
        let split = linkerd.smi.split_of(namespace, name);
        let split = split.filter(|_| profile.is_none_or(|profile| profile.namespace == namespace));
        let mut targets = match (split, profile) {
            (Some(split), _) => self.of_split(split),
            (None, Some(profile)) => of_overrides(profile),
            (None, None) => Vec::new(),
        };
        targets.retain(|target| target.milli > 0);
        View { profile, split, targets }
    }

    fn of_split(&self, split: &TrafficSplit) -> Vec<Target> {
        let name = (split.namespace.clone(), split.name.clone());
        let object = self.object("split.smi-spec.io", "TrafficSplit", &name);
        let backends = object.and_then(|object| object.node.get("spec")?.get("backends"));
        let nodes = backends.map(Node::items).unwrap_or_default();
        let weight_at = |at: At| {
            let own = nodes.iter().find(|node| node.at == at);
            own.and_then(|node| node.get("weight")).map_or(at, |weight| weight.at)
        };
        let target = |backend: &crate::manifest::smi::split::Backend| Target {
            namespace: split.namespace.clone(),
            name: backend.service.clone(),
            port: None,
            milli: backend.weight_milli,
            at: weight_at(backend.at),
        };
        split.backends.iter().map(target).collect()
    }

    /// Sets `traffic_split` or `failover`.
    pub(super) fn splits(&mut self, called: &Called<'l>, view: &View<'l>) {
        if let Some((split, failover)) =
            view.split.and_then(|split| Some((split, split.failover.as_ref()?)))
        {
            return self.failover(called, split, &failover.primary);
        }
        if let Some(split) = view.split.filter(|_| view.targets.is_empty()) {
            let why =
                "all weights are 0: the proxy drops them, and requests go to the service itself";
            self.draft.ignore("TrafficSplit.spec.backends", split.at, why);
        }
        if view.targets.is_empty() {
            return;
        }
        let mut weights: Vec<(String, u64, At)> = Vec::new();
        for target in &view.targets {
            self.check_port(called, target);
            let name = self.backend(called, &target.namespace, &target.name);
            match weights.iter_mut().find(|(known, ..)| *known == name) {
                Some((_, milli, _)) => *milli = milli.saturating_add(target.milli),
                None => weights.push((name, target.milli, target.at)),
            }
        }
        let mut table = Table::new();
        for (name, milli, at) in weights {
            table.set(name, quantity(milli).at(at));
        }
        let split = view.split.map(|split| split.at).or(view.profile.map(|profile| profile.at));
        self.set(called, "traffic_split", Value::from(table).at_some(split));
        match (view.split, view.profile) {
            (Some(split), _) => self.mark_split(split),
            (None, Some(profile)) => {
                self.mark("linkerd.io", "ServiceProfile", &profile.namespace, &profile.name);
            }
            (None, None) => {}
        }
    }

    fn mark_split(&mut self, split: &TrafficSplit) {
        self.mark("split.smi-spec.io", "TrafficSplit", &split.namespace, &split.name);
    }

    fn failover(&mut self, called: &Called<'l>, split: &'l TrafficSplit, primary: &str) {
        let namespace = split.namespace.as_str();
        let place = |name: &str| split.backends.iter().find(|one| one.service == name);
        let mut secondaries: Vec<(String, At)> = Vec::new();
        for backend in split.backends.iter().filter(|backend| backend.service != primary) {
            let name = self.backend(called, namespace, &backend.service);
            if secondaries.iter().any(|(known, _)| *known == name) {
                continue;
            }
            if secondaries.len() == SECONDARIES_MAX {
                let why = "a failover has five secondaries at most here";
                self.draft.ignore("TrafficSplit.spec.backends", backend.at, why);
                continue;
            }
            secondaries.push((name, backend.at));
        }
        let own = place(primary).map(|backend| backend.at);
        if own.is_some() || !secondaries.is_empty() {
            self.mark_split(split);
        }
        let mut table = Table::new();
        match own {
            Some(at) if secondaries.is_empty() => {
                let name = self.backend(called, namespace, primary);
                table.set(name, Value::integer(1).at(at));
                self.set(called, "traffic_split", Value::from(table).at(split.at));
            }
            Some(at) => {
                let name = self.backend(called, namespace, primary);
                table.set("primary", Value::text(name).at(at));
                let list = secondaries.into_iter().map(|(name, at)| Value::text(name).at(at));
                table.set("secondaries", Value::list(list));
                self.set(called, "failover", Value::from(table).at(split.at));
            }
            None => {
                // The primary is none of the backends, so it is never ready to the extension.
                let why =
                    "the primary is no backend: the ready secondaries share all; here all of them";
                self.draft.ignore("TrafficSplit.metadata.annotations", split.at, why);
                for (name, at) in secondaries {
                    table.set(name, Value::integer(1).at(at));
                }
                if !table.is_empty() {
                    self.set(called, "traffic_split", Value::from(table).at(split.at));
                }
            }
        }
    }

    /// What a backend is called. One that is not there has a name that nothing else has: it is as one without
    /// endpoints.
    fn backend(&self, called: &Called<'_>, namespace: &str, name: &str) -> String {
        if let Some(known) = self.draft.names.service(namespace, name) {
            return known.to_owned();
        }
        let own = &self.draft.services[called.index];
        let is_version = own.workloads.iter().any(|one| one.version.as_deref() == Some(name));
        if is_version || self.draft.services.iter().any(|one| one.name == name) {
            return format!("{name}.{namespace}");
        }
        name.to_owned()
    }

    fn check_port(&mut self, called: &Called<'l>, target: &Target) {
        let Some(to) = self.loaded.cluster.service(&target.namespace, &target.name) else { return };
        let number = target.port.unwrap_or(called.port.of.number);
        let own = to.port(number).map(|port| (port.number, &port.target));
        if own.is_none() && !to.ports.is_empty() {
            let why = "the backend lacks the called port, so its pods are called at that number; here at theirs";
            self.draft.ignore("TrafficSplit.spec.backends", target.at, why);
        }
    }
}

/// Destinations that a profile names by their DNS names.
fn of_overrides(profile: &Profile) -> Vec<Target> {
    let target = |to: &crate::manifest::linkerd::profile::Override| {
        let (host, port) = match to.authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (to.authority.as_str(), None),
        };
        let mut labels = host.split('.');
        let name = labels.next().unwrap_or_default().to_owned();
        let namespace = labels.next().unwrap_or(&profile.namespace).to_owned();
        Target { namespace, name, port, milli: to.weight_milli, at: to.at }
    };
    profile.overrides.iter().map(target).collect()
}

/// A weight as a quantity.
fn quantity(milli: u64) -> Value {
    match i64::try_from(milli / 1_000) {
        Ok(whole) if milli.is_multiple_of(1_000) => Value::integer(whole),
        _ => Value::text(format!("{milli}m")),
    }
}
