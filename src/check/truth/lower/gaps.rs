//! Keys for which the simulator has nothing yet, one line each. A line goes when its key is lowered.
//!
//! Source: the schema `envoy-lab/2`, key by key, against `plan`.
//! Left out: keys that change nothing that is compared (names, `drain_time_s` without a drain).

use super::super::schema::config::{Behaviour, Config};
use super::super::schema::step::Verb;
use std::collections::BTreeSet;

/// A key, and whether a table uses it in a way that has no counterpart.
type Keys<T> = &'static [(&'static str, fn(&T) -> bool)];

const BEHAVIOUR: Keys<Behaviour> = &[("host.error_p with a status", |host| {
    host.error_p.is_some_and(|share| 0.0 < share) && host.status.is_some_and(|one| one != 200)
})];

/// The keys of a configuration for which there is nothing, in the order of their names.
pub(super) fn gaps(config: &Config) -> Vec<String> {
    let mut found = Found::default();
    for proxy in &config.proxies {
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
    for step in &config.steps {
        let ends = matches!(step.verb, Verb::ProxyKill | Verb::ProxySigterm);
        if ends && step.target == config.entry {
            found.add(format!("step.{} of the entry", step.word));
        }
        if step.word.starts_with("host_") && config.hosts.iter().all(|one| one.name != step.target)
        {
            found.add(format!("step.{} of a proxy", step.word));
        }
        if let Verb::HostBehaviour(behaviour) = &step.verb {
            found.look(BEHAVIOUR, behaviour);
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
}
