//! Keys for which the simulator has nothing yet, one line each. A line goes when its key is lowered.
//!
//! Steps that the schema does not have are told here as well: the target of `host_stop`, `host_start` and
//! `host_behaviour` is a "host", which is "everything that is no proxy", and that of `proxy_...` is a
//! "proxy". What a proxy does when it is told to behave as a host nobody has measured.
//!
//! Source: the schema `envoy-lab/2`, key by key, against `plan`.
//! Left out: keys that change nothing that is compared (names, `drain_time_s` without a drain).

use super::super::schema::config::Config;
use std::collections::BTreeSet;

/// The keys of a configuration for which there is nothing, in the order of their names.
pub(super) fn gaps(config: &Config) -> Vec<String> {
    let mut found = BTreeSet::new();
    for step in &config.steps {
        let is_of_host = config.hosts.iter().any(|one| one.name == step.target);
        if step.word.starts_with("host_") && !is_of_host {
            found.insert(format!("step.{} of a proxy", step.word));
        }
        if step.word.starts_with("proxy_") && is_of_host {
            found.insert(format!("step.{} of a host", step.word));
        }
    }
    found.into_iter().collect()
}
