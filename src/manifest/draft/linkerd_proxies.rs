//! What annotations of pods and namespaces say of proxies: their workers, and what is one for the whole mesh.
//!
//! A parameter of a scenario holds for all proxies: it is set if all meshed pods of the manifests say the same.
//! Source: linkerd2 `pkg/inject/values.go`, `charts/partials/templates/_proxy.tpl` (CPU limits become worker threads,
//! rounded up); docs/linkerd-parameters.md.
//! Left out: memory, time at the end, and ports that are called past the proxy; each is named.

use super::linkerd::Part;
use crate::manifest::draft::value::{Table, Value};
use crate::manifest::kubernetes::workload::{Workload, WorkloadKind};
use crate::manifest::linkerd::annotation::{self, Annotations};
use crate::manifest::linkerd::inject::Proxy;
use crate::manifest::source::At;
use crate::manifest::units::{self, DurationForm};

const CONFIG: &str = "config.linkerd.io";
/// Worker threads that a proxy of a scenario has at most.
const WORKERS_MAX: u128 = 64;

/// An annotation that all proxies must share: annotation, group and name of the parameter, how it is read.
type Shared = (&'static str, &'static str, &'static str, fn(&str) -> Option<Value>);

const SHARED: &[Shared] = &[
    (
        "config.linkerd.io/proxy-outbound-connect-timeout",
        "linkerd_outbound",
        "connect_timeout",
        duration,
    ),
    (
        "config.linkerd.io/proxy-inbound-connect-timeout",
        "linkerd_inbound",
        "connect_timeout",
        duration,
    ),
    (
        "config.linkerd.io/proxy-outbound-discovery-cache-unused-timeout",
        "linkerd_outbound",
        "discovery_idle",
        duration,
    ),
    ("config.linkerd.io/proxy-await", "linkerd_proxy", "await_ready", is_enabled),
    ("config.beta.linkerd.io/proxy-enable-native-sidecar", "linkerd_proxy", "native_sidecar", flag),
    (
        "config.alpha.linkerd.io/proxy-enable-native-sidecar",
        "linkerd_proxy",
        "native_sidecar",
        flag,
    ),
];

/// Annotations without a key, and why.
const UNSAID: &[(&str, &str)] = &[
    (
        "config.linkerd.io/proxy-inbound-discovery-cache-unused-timeout",
        "what a proxy knows of its own ports is not forgotten here",
    ),
    (
        "config.linkerd.io/shutdown-grace-period",
        "a proxy goes with its app; what is open then is not waited for",
    ),
    (
        "config.alpha.linkerd.io/proxy-wait-before-exit-seconds",
        "a proxy goes with its app: give the app a `pre_stop`",
    ),
    ("config.linkerd.io/proxy-cpu-request", "workers of a proxy follow from its limit"),
    ("config.linkerd.io/proxy-memory-request", "memory of proxies is not limited"),
    ("config.linkerd.io/proxy-memory-limit", "memory of proxies is not limited"),
    (
        "config.linkerd.io/skip-outbound-ports",
        "these ports are called past the proxy; here all calls go through it",
    ),
];

fn duration(text: &str) -> Option<Value> {
    units::duration_ns(text, DurationForm::Go).ok().map(Value::duration)
}

fn flag(text: &str) -> Option<Value> {
    annotation::boolean(text).map(Value::bool)
}

fn is_enabled(text: &str) -> Option<Value> {
    match text {
        "enabled" => Some(Value::bool(true)),
        "disabled" => Some(Value::bool(false)),
        _ => None,
    }
}

impl<'l> Part<'_, 'l> {
    /// What annotations say of all proxies.
    pub(super) fn proxies(&mut self) {
        let cluster = &self.loaded.cluster;
        let meshed = cluster.workloads.iter().filter(|one| self.linkerd.is_meshed(one));
        let meshed: Vec<&'l Workload> = meshed.filter(|one| !is_control_plane(one)).collect();
        self.workers();
        for shared in SHARED {
            self.share(&meshed, shared);
        }
        for (key, why) in UNSAID {
            for workload in &meshed {
                if let Some((_, at)) = self.annotation_of(workload, key) {
                    self.ignore_annotation(key, at, why);
                }
            }
        }
        for workload in meshed {
            let Some(proxy) = self.loaded.linkerd.proxy(workload) else { continue };
            if let Some(at) = proxy.at.filter(|_| proxy.is_ingress) {
                let why = "this proxy goes by the name of a request's host; here by the service that is called";
                self.ignore_annotation("linkerd.io/inject", at, why);
            }
            self.opaque_pods(workload, proxy);
        }
    }

    /// `proxy_workers` of workloads, by the proxy's CPU limit.
    fn workers(&mut self) {
        let key = format!("{CONFIG}/proxy-cpu-limit");
        let mut found = Vec::new();
        for (place, one) in self.draft.services.iter().enumerate() {
            for (index, own) in one.workloads.iter().enumerate() {
                let Some(workload) = self.workload(&own.key) else { continue };
                let Some(proxy) = self.linkerd.proxy(workload) else { continue };
                let Some(milli) = proxy.resources.cpu_limit_milli.filter(|_| proxy.is_injected)
                else {
                    continue;
                };
                let Some((_, at)) = self.annotation_of(workload, &key) else { continue };
                let workers = milli.div_ceil(1_000).clamp(1, WORKERS_MAX);
                found.push((place, index, i64::try_from(workers).unwrap_or(1), at));
            }
        }
        for (place, index, workers, at) in found {
            let table = &mut self.draft.services[place].workloads[index].table;
            table.set("proxy_workers", Value::integer(workers).at(at));
        }
    }

    fn workload(&self, key: &super::names::Key) -> Option<&'l Workload> {
        let mut all = self.loaded.cluster.workloads.iter();
        all.find(|one| one.namespace == key.0 && one.name == key.1)
    }

    /// Sets a parameter if all proxies are told the same.
    fn share(&mut self, meshed: &[&'l Workload], (key, group, name, read): &Shared) {
        let told: Vec<_> = meshed.iter().map(|one| self.annotation_of(one, key)).collect();
        let mut values = told.iter().flatten().filter_map(|(text, at)| Some((read(text)?, *at)));
        let Some((value, at)) = values.next() else { return };
        let is_same = values.all(|(other, _)| other.kind == value.kind);
        if is_same && told.iter().all(Option::is_some) {
            self.draft.settings.below(group).set(*name, value.at(at));
            return;
        }
        let why = "not all proxies are told the same, and there is one setting for all of them";
        for (_, at) in told.into_iter().flatten() {
            self.ignore_annotation(key, at, why);
        }
    }

    /// A pod may take a port for opaque bytes that its Services do not.
    fn opaque_pods(&mut self, workload: &'l Workload, proxy: &Proxy) {
        let Some((ports, at)) = &proxy.opaque_ports else { return };
        let linkerd = &self.loaded.linkerd;
        let cluster = &self.loaded.cluster;
        let is_other = cluster.services_of(workload).into_iter().any(|service| {
            service.ports.iter().any(|port| {
                let number = workload.port_number(&port.target);
                number.is_some_and(|number| ports.contains(number))
                    && linkerd.opaque(service, port.number).is_none()
                    && port.app_protocol.is_none()
            })
        });
        if is_other {
            let why = "the Service of these pods does not say it of its port: clients' proxies see requests";
            self.ignore_annotation("config.linkerd.io/opaque-ports", *at, why);
        }
    }

    /// An annotation of a workload's pods, else of its namespace, and where it is.
    pub(super) fn annotation_of(&self, workload: &'l Workload, key: &str) -> Option<(&'l str, At)> {
        let name = (workload.namespace.clone(), workload.name.clone());
        let (group, is_pod) = match workload.kind {
            WorkloadKind::Pod => ("", true),
            _ => ("apps", false),
        };
        let own = self.object(group, workload.kind.word(), &name).map(|object| &object.node);
        let template = match (own, is_pod) {
            (Some(node), true) => node.get("metadata"),
            (Some(node), false) => node
                .get("spec")
                .and_then(|spec| spec.get("template"))
                .and_then(|template| template.get("metadata")),
            (None, _) => None,
        };
        let found =
            |annotations: &Annotations<'l>| annotations.get(key).map(|one| (one.value, one.at));
        let of_pod = match own {
            Some(_) => found(&Annotations::of(template)),
            None => workload.annotations.get(key).map(|value| (value.as_str(), workload.at)),
        };
        let namespace = || {
            let object =
                self.object("", "Namespace", &(String::new(), workload.namespace.clone()))?;
            found(&Annotations::of(object.node.get("metadata")))
        };
        of_pod.or_else(namespace)
    }
}

/// The label of Linkerd's own pods.
pub(super) const COMPONENT: &str = "linkerd.io/control-plane-component";

fn is_control_plane(workload: &Workload) -> bool {
    workload.labels.contains_key(COMPONENT)
}

/// A table's key as a dotted name of it, for tests of whether it is set.
pub(super) fn is_set(settings: &Table, group: &str, name: &str) -> bool {
    let group = settings.get(group).map(|value| &value.kind);
    matches!(group, Some(super::value::Kind::Table(table)) if table.get(name).is_some())
}
