//! Linkerd's part of a draft: what its annotations, profiles, policies and proxies say, and SMI's kinds.
//!
//! It comes after the part of Kubernetes, which makes the services, and after the routes of the Gateway API:
//! of a service with a `ServiceProfile` or a `TrafficSplit`, and of one whose bytes are opaque, routes count no more.
//! [`super::linkerd_port`] says what is spoken, [`super::linkerd_annotations`], [`super::linkerd_profile`] and
//! [`super::linkerd_split`] what clients' proxies do, [`super::linkerd_inbound`] what servers' do,
//! [`super::linkerd_proxies`] and [`super::linkerd_control`] what holds for the whole mesh.
//! Source: docs/linkerd-traffic.md (the keys); linkerd2 and linkerd2-proxy, as the readers in
//! [`crate::manifest::linkerd`] name them.
//! Left out: several ports of a Service, egress, rules of single routes about callers; each is named where it is met.

use super::linkerd_inbound::Caller;
use super::linkerd_port::Port;
use super::pods;
use crate::manifest::draft::Draft;
use crate::manifest::draft::value::Value;
use crate::manifest::kubernetes::Name;
use crate::manifest::kubernetes::service::{Service, ServiceKind};
use crate::manifest::linkerd::Linkerd;
use crate::manifest::linkerd::annotation::Annotations;
use crate::manifest::loaded::Loaded;
use crate::manifest::meshes::Mesh;
use crate::manifest::object::{Id, Object};
use crate::manifest::source::At;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Fills a draft with what Linkerd reads. In another mesh its objects, and SMI's, are named as ignored.
pub(super) fn linkerd(draft: &mut Draft<'_>) {
    let mut part = Part::new(draft);
    if part.draft.mesh != Mesh::Linkerd {
        return part.unread();
    }
    part.control_plane();
    part.proxies();
    part.callers = part.all_callers();
    for index in 0..part.draft.services.len() {
        part.service(index);
    }
    part.rest();
}

/// The part at work.
pub(super) struct Part<'d, 'l> {
    pub(super) draft: &'d mut Draft<'l>,
    pub(super) loaded: &'l Loaded,
    /// Linkerd with the proxies that the scenario has: where no manifest asks for any, all pods have one.
    pub(super) linkerd: Cow<'l, Linkerd>,
    /// All objects by what makes them unique.
    pub(super) objects: BTreeMap<&'l Id, &'l Object>,
    /// Who may call, service by service.
    pub(super) callers: Vec<Caller>,
    /// Objects that some service goes by: kind, namespace and name.
    pub(super) used: BTreeSet<(&'static str, String, String)>,
}

/// A service of the draft that is a Service.
pub(super) struct Called<'l> {
    /// Its place in the draft.
    pub(super) index: usize,
    /// The Service.
    pub(super) service: &'l Service,
    /// Its annotations.
    pub(super) annotations: Annotations<'l>,
    /// The one port that it has in a scenario.
    pub(super) port: Port<'l>,
}

impl Called<'_> {
    pub(super) fn key(&self) -> Name {
        (self.service.namespace.clone(), self.service.name.clone())
    }
}

impl<'d, 'l> Part<'d, 'l> {
    fn new(draft: &'d mut Draft<'l>) -> Self {
        let loaded = draft.loaded;
        let objects = loaded.manifests.objects.iter().map(|object| (&object.id, object));
        let objects = objects.collect();
        let mut linkerd = Cow::Borrowed(&loaded.linkerd);
        if !loaded.cluster.workloads.iter().any(|one| loaded.linkerd.is_meshed(one)) {
            for proxy in linkerd.to_mut().proxies.values_mut() {
                proxy.is_injected = true;
            }
        }
        Self { draft, loaded, linkerd, objects, callers: Vec::new(), used: BTreeSet::new() }
    }

    /// The object with this name.
    pub(super) fn object(&self, group: &str, kind: &str, name: &Name) -> Option<&'l Object> {
        let (group, kind) = (group.to_owned(), kind.to_owned());
        let id = Id { group, kind, namespace: name.0.clone(), name: name.1.clone() };
        self.objects.get(&id).copied()
    }

    /// Sets a key of a service.
    pub(super) fn set(&mut self, called: &Called<'_>, key: &str, value: impl Into<Value>) {
        self.draft.services[called.index].table.set(key, value);
    }

    /// Notes that an object left something in the draft.
    pub(super) fn mark(&mut self, group: &str, kind: &str, namespace: &str, name: &str) {
        self.draft.used(&pods::id(group, kind, namespace, name));
    }

    /// Notes that a service goes by an object.
    pub(super) fn uses(&mut self, kind: &'static str, name: &Name) {
        self.used.insert((kind, name.0.clone(), name.1.clone()));
    }

    fn service(&mut self, index: usize) {
        let one = &self.draft.services[index];
        let Some(key) = one.key.clone() else { return };
        let Some(service) = self.loaded.cluster.service(&key.0, &key.1) else { return };
        let object = self.object("", "Service", &key);
        let annotations = Annotations::of(object.and_then(|object| object.node.get("metadata")));
        if service.kind == ServiceKind::ExternalName {
            let why = "the name of an ExternalName resolves to another host, whose rules count";
            return self.ignore_annotations(&annotations, why);
        }
        let Some(port) = self.port(service) else { return };
        let called = Called { index, service, annotations, port };
        self.speak(&called);
        if service.is_headless {
            let why = "the Service is headless: clients connect to its pods, past its annotations and profile";
            self.ignore_annotations(&called.annotations, why);
            self.hide_routes(&called, why);
        } else {
            self.outbound(&called);
        }
        self.inbound(&called);
    }

    /// What the proxies of clients do.
    fn outbound(&mut self, called: &Called<'l>) {
        let view = self.view(called);
        self.splits(called, &view);
        let is_http = called.port.is_http();
        let has_profile = is_http && self.profile(called, &view);
        if !is_http {
            self.profile_of_bytes(&view);
        }
        let winner = match (has_profile, view.targets.is_empty()) {
            (true, _) => Some("a ServiceProfile wins over routes and annotations"),
            (false, false) => Some("a TrafficSplit is written into a ServiceProfile, which wins"),
            (false, true) if !is_http => Some("proxies see bytes at this port, and no requests"),
            (false, true) => None,
        };
        match winner {
            Some(why) => {
                self.ignore_annotations(&called.annotations, why);
                self.hide_routes(called, why);
            }
            None => self.annotations(called),
        }
    }

    /// Takes routes away that do not count; also limits of the service that others may have set.
    fn hide_routes(&mut self, called: &Called<'_>, why: &str) {
        let one = &mut self.draft.services[called.index];
        let routes = std::mem::take(&mut one.routes);
        let at = |route: &super::value::Table| {
            route.iter().find_map(|(_, value)| match value.origin {
                super::value::Origin::Written(at) => Some(at),
                _ => None,
            })
        };
        for route in &routes {
            let at = at(route).unwrap_or(called.service.at);
            self.draft.ignore("HTTPRoute.spec.rules", at, why);
        }
    }

    /// Names annotations of a Service that do not count.
    pub(super) fn ignore_annotations(&mut self, annotations: &Annotations<'l>, why: &str) {
        for one in &annotations.list {
            let domain = one.key.split('/').next().unwrap_or_default();
            let counts = ["retry", "timeout", "balancer", "balancer.alpha"];
            if counts.iter().any(|word| domain == format!("{word}.linkerd.io")) {
                self.ignore_annotation(one.key, one.key_at, why);
            }
        }
    }

    pub(super) fn ignore_annotation(&mut self, key: &str, at: At, why: &str) {
        self.draft.ignore(format!("annotation {key}"), at, why);
    }
}
