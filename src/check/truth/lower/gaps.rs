//! Keys for which the simulator has nothing yet, one line each. A line goes when its key is lowered.
//!
//! Source: the schema `envoy-lab/2`, key by key, against `plan`.
//! Left out: keys that change nothing that is compared (names, `drain_time_s` without a drain).

use super::super::schema::config::{Behaviour, Cluster, Config, Load, Proxy, Route};
use super::super::schema::step::Verb;
use super::super::schema::words::Discovery;
use std::collections::BTreeSet;

/// A key, and whether a table uses it in a way that has no counterpart.
type Keys<T> = &'static [(&'static str, fn(&T) -> bool)];

const PROXY: Keys<Proxy> = &[("listener.per_request_buffer_limit_bytes", |proxy| {
    proxy.listener.per_request_buffer_limit_bytes.is_some()
})];

const ROUTE: Keys<Route> = &[("route.cluster_not_found_status", |route| {
    route.cluster_not_found_status.is_some_and(|status| status != 503)
})];

const CLUSTER: Keys<Cluster> = &[
    ("cluster.discovery=eds_rest", |cluster| cluster.discovery == Some(Discovery::EdsRest)),
    ("cluster without endpoints", |cluster| cluster.endpoints.is_none()),
    ("cluster.drop_overload_percent", |cluster| cluster.drop_overload_percent.is_some()),
    ("cluster.endpoint_stale_after_ms", |cluster| cluster.endpoint_stale_after_ms.is_some()),
    ("cluster.health_checks", |cluster| !cluster.health_checks.is_empty()),
];

const BEHAVIOUR: Keys<Behaviour> = &[
    ("host.idle_close_ms", |host| host.idle_close_ms.is_some()),
    ("host.error_p with a status", |host| {
        host.error_p.is_some_and(|share| 0.0 < share) && host.status.is_some_and(|one| one != 200)
    }),
];

const LOAD: Keys<Load> = &[("load.abort_after_ms", |load| load.abort_after_ms.is_some())];

const STEP: Keys<Verb> = &[
    ("step.cds_add", |verb| matches!(verb, Verb::CdsAdd(_))),
    ("step.cds_remove", |verb| matches!(verb, Verb::CdsRemove)),
    ("step.cds_modify", |verb| matches!(verb, Verb::CdsModify { .. })),
    ("step.lds_update", |verb| matches!(verb, Verb::LdsUpdate(_))),
    ("step.lds_remove", |verb| matches!(verb, Verb::LdsRemove)),
    ("step.proxy_drain", |verb| matches!(verb, Verb::ProxyDrain)),
    ("step.proxy_healthcheck_fail", |verb| matches!(verb, Verb::ProxyHealthcheckFail)),
    ("step.control_plane_down", |verb| matches!(verb, Verb::ControlPlaneDown)),
];

/// The keys of a configuration for which there is nothing, in the order of their names.
pub(super) fn gaps(config: &Config) -> Vec<String> {
    let mut found = Found::default();
    for proxy in &config.proxies {
        found.look(PROXY, proxy);
        if config.proxies.iter().any(|other| other.workers != proxy.workers) {
            found.add("proxy.workers that differ".to_owned());
        }
        proxy.routes.iter().for_each(|route| found.route(route));
        proxy.clusters.iter().for_each(|cluster| found.cluster(cluster));
        if proxy.name == config.entry && proxy.listener.tls.is_some() {
            found.add("listener.tls of the entry".to_owned());
        }
    }
    if super::tls::meets_silence(config) {
        found.add("cluster.tls to a host that does not answer".to_owned());
    }
    for host in &config.hosts {
        found.look(BEHAVIOUR, &host.behaviour);
    }
    config.load.iter().for_each(|load| found.look(LOAD, load));
    for step in &config.steps {
        found.look(STEP, &step.verb);
        let ends = matches!(step.verb, Verb::ProxyKill | Verb::ProxySigterm);
        if ends && step.target == config.entry {
            found.add(format!("step.{} of the entry", step.word));
        }
        if step.word.starts_with("host_") && config.hosts.iter().all(|one| one.name != step.target)
        {
            found.add(format!("step.{} of a proxy", step.word));
        }
        match &step.verb {
            Verb::RdsSwitch(routes) => routes.iter().for_each(|route| found.route(route)),
            Verb::HostBehaviour(behaviour) => found.look(BEHAVIOUR, behaviour),
            _ => {}
        }
    }
    if super::endpoint::contradicts(config) {
        found.add("endpoints of one host that differ".to_owned());
    }
    found.0.into_iter().collect()
}

#[derive(Default)]
struct Found(BTreeSet<String>);

impl Found {
    fn add(&mut self, key: String) {
        self.0.insert(key);
    }

    fn look<T>(&mut self, keys: Keys<T>, table: &T) {
        for (key, _) in keys.iter().filter(|(_, is_used)| is_used(table)) {
            self.add((*key).to_owned());
        }
    }

    fn route(&mut self, route: &Route) {
        self.look(ROUTE, route);
    }

    fn cluster(&mut self, cluster: &Cluster) {
        self.look(CLUSTER, cluster);
    }
}
