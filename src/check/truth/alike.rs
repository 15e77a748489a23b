//! Hosts that a case sets up alike, told apart by the order of their first ejections.
//!
//! Round robin starts anywhere, in Envoy as here. Which of several hosts that are the same in all but
//! their names is ejected first, and so fills the places that the ceiling allows, is decided by that
//! start alone: the name that one repetition happened to see says nothing. So both sides call the
//! one that was ejected first by the first name, the next by the second, and those that never were
//! by those that are left.
//!
//! Source: measured on Envoy 1.40 (family e05), a repetition a case.
//! Left out: hosts that are alike without outlier detection; their names are compared as they are.

use super::facts::{Facts, Metric};
use super::schema::config::Config;
use super::schema::observed::TimelineWhat;
use std::collections::BTreeMap;

/// Names of hosts that differ in nothing but that: in each group at least two.
pub fn alike(config: &Config) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
    for host in &config.hosts {
        let mut place = vec![format!("{:?}", host.behaviour)];
        let mut is_watched = false;
        for cluster in config.proxies.iter().flat_map(|proxy| &proxy.clusters) {
            let of_host = cluster.endpoints.iter().flatten().filter(|one| one.host == host.name);
            for endpoint in of_host {
                let mut nameless = endpoint.clone();
                nameless.host.clear();
                place.push(format!("{}: {nameless:?}", cluster.name));
                is_watched |= cluster.outlier_detection.is_some();
            }
        }
        let is_touched = config.steps.iter().any(|step| step.target == host.name);
        if is_watched && !is_touched {
            groups.entry(place).or_default().push(host.name.clone());
        }
    }
    groups.into_values().filter(|names| 1 < names.len()).collect()
}

/// Calls the hosts of each group by its names in the order of their first ejections.
pub fn tell_apart(facts: &mut Facts, groups: &[Vec<String>]) {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for group in groups {
        let mut sorted = group.clone();
        sorted.sort();
        let mut ejected = sorted.clone();
        let when = |host: &String| facts.first_ejected.get(host).copied().unwrap_or(f64::INFINITY);
        ejected.sort_by(|a, b| when(a).total_cmp(&when(b)));
        names.extend(ejected.into_iter().zip(sorted));
    }
    for counts in [&mut facts.hosts, &mut facts.host_share, &mut facts.hits] {
        rename(counts, &names);
    }
    rename(&mut facts.first_ejected, &names);
    rename(&mut facts.ejections, &names);
    for metric in facts.metrics.values_mut() {
        if let Metric::ByKey(table) = metric {
            rename(table, &names);
        }
    }
    let spans = std::mem::take(&mut facts.spans);
    let renamed = spans.into_iter().map(|((what, name), span)| {
        let is_of_hosts = matches!(what, TimelineWhat::Hosts | TimelineWhat::HostsAndOutcomes);
        let (host, rest) = name.split_at(name.find(':').unwrap_or(name.len()));
        match names.get(host).filter(|_| is_of_hosts) {
            Some(new) => ((what, format!("{new}{rest}")), span),
            None => ((what, name), span),
        }
    });
    facts.spans = renamed.collect();
}

fn rename<V>(table: &mut BTreeMap<String, V>, names: &BTreeMap<String, String>) {
    let old = std::mem::take(table);
    let new =
        old.into_iter().map(|(name, value)| (names.get(&name).cloned().unwrap_or(name), value));
    *table = new.collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::truth::schema::observed::Counts;

    fn counts(pairs: &[(&str, f64)]) -> Counts {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn the_first_ejected_has_the_first_name() {
        let mut facts = Facts {
            hosts: counts(&[("a", 40.0), ("h0", 30.0), ("h1", 5.0), ("h2", 6.0)]),
            first_ejected: counts(&[("h1", 0.2), ("h2", 0.3)]),
            ..Facts::default()
        };
        let group = ["h0", "h1", "h2"].map(str::to_owned).to_vec();
        tell_apart(&mut facts, &[group]);
        let hosts = counts(&[("a", 40.0), ("h0", 5.0), ("h1", 6.0), ("h2", 30.0)]);
        assert_eq!(facts.hosts, hosts);
        assert_eq!(facts.first_ejected, counts(&[("h0", 0.2), ("h1", 0.3)]));
    }
}
