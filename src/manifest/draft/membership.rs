//! Which workloads have a proxy, and with how many threads: `meshed` of services, `inject` and `proxy_workers` of
//! workloads.
//!
//! Source: istio.io "Installing the sidecar" (labels of namespaces and pods; a namespace without a label gets none
//! where others have one); linkerd.io "Automatic proxy injection"; what is injected already shows its container.
//! Left out: ambient meshes: their pods are drawn with sidecars (on the ignored list).

use crate::manifest::draft::Draft;
use crate::manifest::draft::names::Key;
use crate::manifest::draft::places::Places;
use crate::manifest::draft::value::Value;
use crate::manifest::istio::security;
use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::loaded::Loaded;
use crate::manifest::meshes::Mesh;
use crate::manifest::object::Labels;
use crate::manifest::source::At;
use crate::manifest::units;
use std::collections::BTreeMap;

const INJECT: &str = "sidecar.istio.io/inject";

/// A proxy's own configuration.
const CONFIG: &str = "proxy.istio.io/config";

/// A proxy's CPU limit.
const LIMIT: &str = "sidecar.istio.io/proxyCPULimit";

/// Says of each service whether its pods have a proxy.
pub(super) fn membership(draft: &mut Draft<'_>, places: &Places<'_>) {
    let loaded = draft.loaded;
    ambient(draft);
    if draft.is_meshless() {
        return;
    }
    let by_key: BTreeMap<Key, &Workload> = loaded
        .cluster
        .workloads
        .iter()
        .map(|one| ((one.namespace.clone(), one.name.clone()), one))
        .collect();
    let rules = Membership::of(loaded, draft.mesh);
    for service in &mut draft.services {
        let mut without: Vec<(usize, Option<At>)> = Vec::new();
        for (index, own) in service.workloads.iter_mut().enumerate() {
            let Some(workload) = by_key.get(&own.key) else { continue };
            own.table.set_some("proxy_workers", threads(loaded, draft.mesh, workload, places));
            if let Proxy::None(at) = rules.proxy(workload, places) {
                without.push((index, at));
            }
        }
        let is_all = !without.is_empty() && without.len() == service.workloads.len();
        for (index, at) in without {
            let value = match (at, draft.mesh) {
                (None, Mesh::GatewayApi) => {
                    Value::bool(false).assumed("no rule is for clients in a mesh")
                }
                (at, _) => Value::bool(false).at_some(at),
            };
            if is_all {
                service.table.set("meshed", value);
            } else {
                service.workloads[index].table.set("inject", value);
            }
        }
    }
}

/// Whether a workload has a proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Proxy {
    /// It has.
    Some,
    /// It has none, and where that is said if anywhere.
    None(Option<At>),
}

struct Membership<'l> {
    loaded: &'l Loaded,
    mesh: Mesh,
    /// Whether some workload has Linkerd's proxy: else all are taken to get one.
    is_by_annotation: bool,
    /// Whether rules for clients in the mesh are there, of the Gateway API.
    has_routes: bool,
}

impl<'l> Membership<'l> {
    fn of(loaded: &'l Loaded, mesh: Mesh) -> Self {
        let cluster = &loaded.cluster;
        Self {
            loaded,
            mesh,
            is_by_annotation: cluster.workloads.iter().any(|one| loaded.linkerd.is_meshed(one)),
            has_routes: !loaded.tables.services.is_empty(),
        }
    }

    fn proxy(&self, workload: &Workload, places: &Places<'_>) -> Proxy {
        match self.mesh {
            Mesh::Istio => self.istio(workload, places),
            Mesh::Linkerd if self.is_by_annotation && !self.loaded.linkerd.is_meshed(workload) => {
                let proxy = self.loaded.linkerd.proxy(workload);
                Proxy::None(proxy.and_then(|proxy| proxy.at))
            }
            Mesh::GatewayApi if !self.has_routes => Proxy::None(None),
            Mesh::Linkerd | Mesh::GatewayApi => Proxy::Some,
        }
    }

    fn istio(&self, workload: &Workload, places: &Places<'_>) -> Proxy {
        if security::has_sidecar(&self.loaded.cluster, workload) {
            return Proxy::Some;
        }
        let own = |list| {
            let template = places.at(workload, &["spec", "template", "metadata", list, INJECT]);
            template.or_else(|| places.at(workload, &["metadata", list, INJECT]))
        };
        let namespace = self.loaded.cluster.namespaces.get(&workload.namespace);
        let at = own("labels").or_else(|| own("annotations"));
        Proxy::None(at.or_else(|| namespace.map(|namespace| namespace.at)))
    }
}

/// Threads of the proxies of a workload, where its pods say how many: of its CPU limit, rounded up, or by their own
/// configuration, which stands over it.
fn threads(loaded: &Loaded, mesh: Mesh, workload: &Workload, places: &Places<'_>) -> Option<Value> {
    let at = |key: &str| {
        let template = places.at(workload, &["spec", "template", "metadata", "annotations", key]);
        template.or_else(|| places.at(workload, &["metadata", "annotations", key]))
    };
    let of_limit = |milli: u128| {
        let cores = u32::try_from(milli.div_ceil(1000)).ok();
        cores.filter(|cores| 0 < *cores).map(Value::integer)
    };
    if mesh == Mesh::Linkerd {
        let limit = loaded.linkerd.proxy(workload)?.resources.cpu_limit_milli?;
        return Some(of_limit(limit)?.at_some(at("config.linkerd.io/proxy-cpu-limit")));
    }
    let annotation = |key: &str| workload.annotations.get(key).map(String::as_str);
    if let Some(config) = annotation(CONFIG) {
        let words: Vec<&str> =
            config.split([',', '{', '}', '\n', ' ']).filter(|word| !word.is_empty()).collect();
        let named = |pair: &&[&str]| {
            pair[0].trim_matches('"') == "concurrency:" || pair[0] == "\"concurrency\":"
        };
        let count = words.windows(2).find(named).and_then(|pair| pair[1].parse::<u32>().ok());
        if let Some(count) = count.filter(|count| 0 < *count) {
            return Some(Value::integer(count).at_some(at(CONFIG)));
        }
    }
    let limit = annotation(LIMIT).and_then(units::quantity_milli)?;
    Some(of_limit(limit)?.at_some(at(LIMIT)))
}

fn ambient(draft: &mut Draft<'_>) {
    if draft.mesh != Mesh::Istio {
        return;
    }
    let is_ambient = |labels: &Labels| {
        labels.get("istio.io/dataplane-mode").is_some_and(|mode| mode == "ambient")
    };
    let why = "an ambient mesh: drawn with sidecars, which do what ztunnels and waypoints would";
    let loaded = draft.loaded;
    for namespace in loaded.cluster.namespaces.values().filter(|one| is_ambient(&one.labels)) {
        draft.ignore("Namespace.metadata.labels.istio.io/dataplane-mode", namespace.at, why);
    }
    let waypoint = |labels: &Labels| labels.contains_key("istio.io/use-waypoint");
    for service in loaded.cluster.services.values().filter(|one| waypoint(&one.labels)) {
        draft.ignore("Service.metadata.labels.istio.io/use-waypoint", service.at, why);
    }
}
