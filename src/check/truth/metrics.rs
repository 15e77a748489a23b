//! The named numbers of the families, as far as a run gives them.
//!
//! Source: the schema `envoy-lab/2`; their meanings are those of the measurements' own analysis.
//! Left out: the CPU time of proxies (`cpu_ms_per_request_...`), which is that of a machine.

use super::facts::Metric;
use super::observe::{Seen, ms};
use super::schema::config::Behaviour;
use super::schema::observed::Counts;
use super::schema::step::Verb;
use super::schema::words::{HealthWord, HostKind, Phase};
use super::{apps, shares};
use crate::kernel::time::Duration;
use crate::observe::access_log::{CallRecord, Ejected};
use std::collections::{BTreeMap, BTreeSet};

/// The numbers that are made.
pub(super) const NAMES: &[&str] = &[
    "amplification",
    "attempts_to_bad_host",
    "conn_termination_details",
    "dispersion_vs_binomial",
    "duration_ms_of_each_ok",
    "fail_fraction",
    "failed_at_s",
    "failed_by_when_they_started",
    "first_failure_s",
    "first_request_to_b_after_restore_s",
    "fraction_to_P1",
    "fraction_whose_first_attempt_hit_bad_host",
    "keys",
    "keys_of_surviving_hosts_that_moved",
    "last_request_started_at_s",
    "last_request_to_b_after_failure_s",
    "leaf_completed_answers",
    "leaf_hits",
    "leaf_wasted_answers",
    "max_concurrent_at_endpoint",
    "max_ejected_at_once",
    "mirrored",
    "of",
    "ok_after_first_failure",
    "panic",
    "requests_to_host_before_first_ejection",
    "requests_to_unhealthy_P0_hosts",
    "restored_at_s",
    "retry_landed_on_same_host_as_previous_attempt",
    "same_host_as_previous",
    "share_3_hosts",
    "share_4_hosts",
    "stability_of_a_key",
    "to_unhealthy_hosts",
    "upstream_aborted_by_envoy",
];

/// All of [`NAMES`]; `stats` are Envoy's counters.
pub(super) fn metrics(seen: &Seen<'_>, stats: &Counts) -> BTreeMap<String, Metric> {
    let mut metrics = BTreeMap::new();
    of_outcomes(seen, &mut metrics);
    of_hosts(seen, &mut metrics);
    of_health(seen, &mut metrics);
    of_ejections(seen, &mut metrics);
    of_failures(seen, &mut metrics);
    of_keys(seen, &mut metrics);
    apps::metrics(seen, &mut metrics);
    shares::dispersion(seen, &mut metrics);
    // None of the filters that the schema has ends the connection of a client with details of its own.
    metrics.insert("conn_termination_details".to_owned(), Metric::List(Vec::new()));
    let panics = stats.get("lb_healthy_panic").copied().unwrap_or(0.0);
    add(&mut metrics, "panic", panics);
    let hits: f64 = seen.hits.values().sum();
    let amplification = hits / (seen.requests.len().max(1)) as f64;
    add(&mut metrics, "leaf_hits", hits);
    add(&mut metrics, "amplification", amplification);
    metrics
}

/// Numbers by name.
pub(super) type Metrics = BTreeMap<String, Metric>;

/// Adds a number.
pub(super) fn add(metrics: &mut Metrics, name: &str, number: f64) {
    metrics.insert(name.to_owned(), Metric::Number(number));
}

fn add_if(metrics: &mut Metrics, name: &str, number: Option<f64>) {
    metrics.insert(name.to_owned(), number.map_or(Metric::Nothing, Metric::Number));
}

fn has_failed(call: &CallRecord) -> bool {
    !call.outcome.is_ok()
}

/// How requests ended, and when.
fn of_outcomes(seen: &Seen<'_>, metrics: &mut Metrics) {
    let requests = &seen.requests;
    let first = requests.iter().position(|call| has_failed(call));
    add_if(metrics, "first_failure_s", first.map(|index| requests[index].began.as_s()));
    let after = first.map_or(&[][..], |index| &requests[index..]);
    let ok_after = after.iter().filter(|call| !has_failed(call)).count();
    add(metrics, "ok_after_first_failure", ok_after as f64);
    let failed = requests.iter().filter(|call| has_failed(call)).count();
    add(metrics, "fail_fraction", failed as f64 / requests.len().max(1) as f64);
    let ok = requests.iter().filter(|call| call.outcome.status == 200);
    // Envoy logs whole milliseconds.
    let durations = ok.map(|call| ms(call).floor()).collect();
    metrics.insert("duration_ms_of_each_ok".to_owned(), Metric::List(durations));
    let event = seen.config.steps.first().map_or(f64::INFINITY, |step| step.at_s);
    let before = requests.iter().filter(|call| has_failed(call) && call.began.as_s() < event);
    let before = before.count();
    let by_key = [("before_event", before), ("after_event", failed - before)];
    let by_key = by_key.map(|(key, count)| (key.to_owned(), count as f64));
    metrics.insert("failed_by_when_they_started".to_owned(), Metric::ByKey(by_key.into()));
}

/// Which hosts requests came to.
fn of_hosts(seen: &Seen<'_>, metrics: &mut Metrics) {
    let requests = &seen.requests;
    let mut last = Counts::new();
    for call in requests {
        // The measurements call nobody by a word of their own here.
        let host = call.host.map_or("None", |host| seen.lowered.host(Some(host)));
        last.insert(host.to_owned(), call.began.as_s());
    }
    metrics.insert("last_request_started_at_s".to_owned(), Metric::ByKey(last));
    let same = requests.windows(2).filter(|two| two[0].host == two[1].host).count();
    add(metrics, "same_host_as_previous", same as f64 / (requests.len().max(2) - 1) as f64);
    let bad: BTreeSet<&str> = (seen.config.hosts.iter())
        .filter(|host| is_bad(&host.behaviour))
        .map(|host| host.name.as_str())
        .collect();
    let is_bad = |host| bad.contains(seen.lowered.host(host));
    let first =
        requests.iter().filter(|call| call.tries.first().is_some_and(|one| is_bad(one.host)));
    let fraction = first.count() as f64 / requests.len().max(1) as f64;
    add(metrics, "fraction_whose_first_attempt_hit_bad_host", fraction);
    let tries = requests.iter().flat_map(|call| &call.tries);
    let to_bad = tries.filter(|one| is_bad(one.host)).count();
    // It was counted by connections that failed: there is no number where the host answers.
    let answers = seen.config.hosts.iter().any(|host| {
        bad.contains(host.name.as_str())
            && !matches!(host.behaviour.kind, HostKind::Refuse | HostKind::Blackhole)
    });
    add_if(metrics, "attempts_to_bad_host", (!answers).then_some(to_bad as f64));
}

/// Whether a host's usual answer is an error.
fn is_bad(behaviour: &Behaviour) -> bool {
    match behaviour.kind {
        HostKind::Respond | HostKind::RespondAndClose | HostKind::SlowBody => {
            behaviour.status.is_some_and(|status| 500 <= status)
        }
        _ => true,
    }
}

/// Where requests went by priority and by what EDS says of health.
fn of_health(seen: &Seen<'_>, metrics: &mut Metrics) {
    let clusters = seen.config.proxies.iter().flat_map(|proxy| &proxy.clusters);
    let endpoints: Vec<_> =
        clusters.flat_map(|cluster| cluster.endpoints.iter().flatten()).collect();
    let count = |wanted: &dyn Fn(u32, bool) -> bool| {
        let hosts: BTreeSet<&str> = endpoints
            .iter()
            .filter(|one| {
                let is_healthy = one.health.is_none_or(|health| health == HealthWord::Healthy);
                wanted(one.priority.unwrap_or(0), is_healthy)
            })
            .map(|one| one.host.as_str())
            .collect();
        let to = seen.requests.iter().filter(|call| hosts.contains(seen.lowered.host(call.host)));
        to.count() as f64
    };
    let total = seen.requests.iter().filter(|call| call.host.is_some()).count();
    let to_p1 = count(&|priority, _| priority == 1);
    add(metrics, "fraction_to_P1", to_p1 / total.max(1) as f64);
    let unhealthy_p0 = count(&|priority, is_healthy| priority == 0 && !is_healthy);
    add(metrics, "requests_to_unhealthy_P0_hosts", unhealthy_p0);
    add(metrics, "to_unhealthy_hosts", count(&|_, is_healthy| !is_healthy));
}

/// What outlier detection did.
fn of_ejections(seen: &Seen<'_>, metrics: &mut Metrics) {
    let entry = seen.lowered.entry;
    let mut firsts = BTreeMap::new();
    let mut out = BTreeSet::new();
    let mut most = 0;
    for record in seen.log.ejections.iter().filter(|record| record.proxy == entry) {
        match record.what {
            Ejected::Back => _ = out.remove(&record.host),
            // Envoy logs a detection that is not enforced as an ejection, too.
            Ejected::NotEnforced => _ = firsts.entry(record.host).or_insert(record.at),
            Ejected::Out => {
                firsts.entry(record.host).or_insert(record.at);
                out.insert(record.host);
                most = most.max(out.len());
            }
        }
    }
    add(metrics, "max_ejected_at_once", most as f64);
    let tries: Vec<_> = seen.requests.iter().flat_map(|call| &call.tries).collect();
    let before = |(host, at): (&_, &_)| {
        // Those that the log has by then, in whole milliseconds: of a slow host more are under way.
        let logged = *at + Duration::from_ms(1);
        let to_it = tries.iter().filter(|one| one.host == Some(*host) && one.ended <= logged);
        let count = to_it.count();
        (seen.lowered.host(Some(*host)).to_owned(), count as f64)
    };
    let before: Counts = firsts.iter().map(before).collect();
    metrics.insert("requests_to_host_before_first_ejection".to_owned(), Metric::ByKey(before));
}

/// From the first step that breaks a host to the next one, which mends it.
fn of_failures(seen: &Seen<'_>, metrics: &mut Metrics) {
    let is_of_host =
        |verb: &Verb| matches!(verb, Verb::HostStop(_) | Verb::HostStart | Verb::HostBehaviour(_));
    let mut steps = seen.config.steps.iter().filter(|step| is_of_host(&step.verb));
    let broken = steps.next();
    let mended = broken.and_then(|broken| steps.find(|step| step.target == broken.target));
    let to_it = |from: f64, until: f64| {
        let host = broken.map_or("", |step| step.target.as_str());
        let to_it = seen.requests.iter().filter(move |call| seen.lowered.host(call.host) == host);
        to_it.map(|call| call.began.as_s()).filter(move |at| from <= *at && *at < until)
    };
    let (failed, restored) = (broken.map(|step| step.at_s), mended.map(|step| step.at_s));
    let end = restored.unwrap_or(f64::INFINITY);
    let last = failed.and_then(|from| to_it(from, end).next_back().map(|at| at - from));
    let first = restored.and_then(|from| to_it(from, f64::INFINITY).next().map(|at| at - from));
    add_if(metrics, "failed_at_s", failed);
    add_if(metrics, "restored_at_s", restored);
    add_if(metrics, "last_request_to_b_after_failure_s", last);
    add_if(metrics, "first_request_to_b_after_restore_s", first);
}

/// Where the i-th key went in each of the three passes over all keys.
fn of_keys(seen: &Seen<'_>, metrics: &mut Metrics) {
    let pass = |wanted: Phase| -> Vec<&str> {
        let of = |call: &&&CallRecord| seen.phase(call) == Some(wanted);
        seen.requests.iter().filter(of).map(|call| seen.lowered.host(call.host)).collect()
    };
    let [before, again, after] = [Phase::Before, Phase::Again, Phase::After].map(pass);
    if before.is_empty() {
        return;
    }
    metrics.insert("share_4_hosts".to_owned(), shares::of_hosts(&before));
    metrics.insert("share_3_hosts".to_owned(), shares::of_hosts(&after));
    let removed = seen.config.steps.iter().flat_map(|step| match &step.verb {
        Verb::EdsRemove(names) => &names[..],
        _ => &[],
    });
    let removed: BTreeSet<&str> = removed.map(String::as_str).collect();
    let survivors = before.iter().zip(&after).filter(|(was, _)| !removed.contains(**was));
    let moved = survivors.clone().filter(|(was, is)| was != is).count();
    let stable = before.iter().zip(&again).filter(|(was, is)| was == is).count();
    add(metrics, "keys", before.len() as f64);
    add(metrics, "of", survivors.count() as f64);
    add(metrics, "keys_of_surviving_hosts_that_moved", moved as f64);
    add(metrics, "stability_of_a_key", stable as f64 / again.len().max(1) as f64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::truth::schema::observed::METRICS;

    #[test]
    fn all_numbers_but_those_of_a_machine_are_made() {
        let lacking: Vec<&&str> = METRICS.iter().filter(|name| !NAMES.contains(name)).collect();
        let of_a_machine = ["cpu_ms_per_request_client_proxy", "cpu_ms_per_request_server_proxy"];
        assert_eq!(lacking, of_a_machine.iter().collect::<Vec<_>>());
        assert!(NAMES.iter().all(|name| METRICS.contains(name)));
    }
}
