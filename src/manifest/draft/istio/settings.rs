//! What proxies know (`Sidecar`) and are (`ProxyConfig`), and kinds that decide nothing here.
//!
//! Source: `istio::choose::sidecar` (which one counts); istio/istio `pilot/pkg/model/proxy_config.go` (a workload's over
//! the namespace's over the mesh's).
//! Left out: tokens, telemetry, groups of machines without members, all cores as workers (`concurrency: 0`).

use super::{Work, client_of, has_sidecar};
use crate::manifest::draft::value::Value;
use crate::manifest::istio::choose::{self, Client};
use crate::manifest::istio::host;
use crate::manifest::istio::telemetry::ProxyConfig;
use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::selector::contains;

/// The annotation of pods that stands over a `ProxyConfig`.
const CONFIG: &str = "proxy.istio.io/config";

/// Workers that a proxy of a scenario has at most.
const WORKERS_MAX: u32 = 64;

impl Work<'_, '_> {
    /// What proxies know and are.
    pub(super) fn settings(&mut self) {
        for index in 0..self.draft.services.len() {
            self.egress(index);
            self.proxy_workers(index);
        }
    }

    /// The services that the proxies of a service know, if a `Sidecar` says so.
    fn egress(&mut self, index: usize) {
        let istio = self.mesh.istio;
        if istio.sidecars.is_empty() {
            return;
        }
        let service = &self.draft.services[index];
        let clients: Vec<Client> = service
            .workloads
            .iter()
            .filter(|one| has_sidecar(service, one))
            .filter_map(|one| self.workload(&one.key))
            .map(|one| Client { labels: one.labels.clone(), ..client_of(&one.namespace) })
            .collect();
        let Some(client) = clients.first() else { return };
        let Some(sidecar) = choose::sidecar(istio, client) else { return };
        let other = clients.iter().filter_map(|one| choose::sidecar(istio, one));
        if let Some(other) = other.into_iter().find(|one| one.head != sidecar.head) {
            let why = "versions of a service know the same: as the first of them";
            self.draft.ignore("Sidecar.spec.workloadSelector", other.head.at, why);
        }
        let Some(at) = sidecar.egress.as_ref().and_then(|list| list.first()).map(|one| one.at)
        else {
            return;
        };
        let (mut seen, mut all) = (Vec::new(), true);
        for other in 0..self.draft.services.len() {
            let Some(known) = self.known_of(other) else { continue };
            let is_known = known.visible_in(&client.namespace)
                && sidecar.sees(&known.namespace, &known.host, None).is_some();
            all &= is_known;
            if is_known {
                seen.push(Value::text(&*self.draft.services[other].name));
            }
        }
        self.used("Sidecar", &sidecar.head);
        if !all {
            let list = Value::list(seen).at(self.field(at, &["hosts"]));
            self.draft.services[index].table.set("egress", list);
        }
    }

    fn proxy_workers(&mut self, index: usize) {
        let all = &self.mesh.istio.proxy_configs;
        if all.is_empty() {
            return;
        }
        for place in 0..self.draft.services[index].workloads.len() {
            let key = &self.draft.services[index].workloads[place].key;
            let Some(workload) = self.workload(key) else { continue };
            let annotation = workload.annotations.get(CONFIG);
            if annotation.is_some_and(|text| text.contains("concurrency")) {
                continue;
            }
            let Some((count, config)) = self.concurrency(workload) else { continue };
            let head = &config.head;
            let spec = self.places.spec("ProxyConfig", &head.namespace, &head.name);
            let at = spec.and_then(|spec| spec.get("concurrency")).map_or(head.at, |node| node.at);
            if count == 0 || WORKERS_MAX < count {
                let why = format!("all cores, or more than {WORKERS_MAX} workers");
                self.draft.ignore("ProxyConfig.spec.concurrency", at, &why);
                continue;
            }
            self.used("ProxyConfig", &config.head.clone());
            let table = &mut self.draft.services[index].workloads[place].table;
            table.set("proxy_workers", Value::integer(count).at(at));
        }
    }

    /// The workers that the nearest `ProxyConfig` says.
    fn concurrency(&self, workload: &Workload) -> Option<(u32, &ProxyConfig)> {
        let istio = self.mesh.istio;
        let all = istio.proxy_configs.iter();
        let selects = |one: &ProxyConfig| {
            one.selector.as_ref().filter(|labels| !labels.is_empty()).map(|labels| {
                one.head.namespace == workload.namespace && contains(&workload.labels, labels)
            })
        };
        let own = all.clone().filter(|one| selects(one) == Some(true));
        let of = |namespace: &str| {
            let namespace = namespace.to_owned();
            let all = istio.proxy_configs.iter();
            all.filter(move |one| one.head.namespace == namespace && selects(one).is_none())
        };
        let beside = of(&workload.namespace);
        let of_mesh = of(&istio.mesh.root_namespace);
        own.chain(beside).chain(of_mesh).find_map(|one| Some((one.concurrency?, one)))
    }

    /// Names objects that decide nothing here.
    pub(super) fn not_simulated(&mut self) {
        let istio = self.mesh.istio;
        for one in &istio.request_authentications {
            let why = "requests have no tokens: all are let in as without one";
            self.draft.ignore("RequestAuthentication.spec", one.head.at, why);
        }
        for one in &istio.telemetries {
            let why = "what proxies report costs nothing here";
            self.draft.ignore("Telemetry.spec", one.head.at, why);
        }
        for one in &istio.workload_groups {
            let why = "a template: members are WorkloadEntries";
            self.draft.ignore("WorkloadGroup.spec", one.head.at, why);
        }
        for one in &istio.workload_entries {
            let mut entries = istio.service_entries.iter();
            let selects = |labels: &crate::manifest::object::Labels| {
                !labels.is_empty() && contains(&one.labels, labels)
            };
            let is_used = entries.any(|entry| {
                entry.head.namespace == one.head.namespace
                    && entry.workload_selector.as_ref().is_some_and(selects)
            });
            if !is_used {
                let why = "no ServiceEntry selects it; machines behind a Service are not counted";
                self.draft.ignore("WorkloadEntry.spec", one.head.at, why);
            }
        }
        for rule in &istio.destination_rules {
            let Some(word) = &rule.host else { continue };
            let full = host::full(&word.text, &rule.head.namespace);
            let mut known = self.mesh.registry.iter();
            if !known.any(|known| host::within(&known.host, &full)) {
                let why = "no host of this name in the manifests";
                self.draft.ignore("DestinationRule.spec.host", word.at, why);
            }
        }
        for sidecar in istio.sidecars.iter().filter(|one| one.allow_any.is_some()) {
            let why = "calls of a scenario go to services that are there";
            self.draft.ignore("Sidecar.spec.outboundTrafficPolicy", sidecar.head.at, why);
        }
    }
}
