//! Envoy's counters of a cluster, from the counters of a run and from its access log: most of what Envoy
//! counts it also logs, try by try.
//!
//! Source: Envoy's cluster manager statistics and `router.cc`; measured on Envoy 1.40 (families e02 to e06).
//! Left out: counters of health checks, of closed connections, of kinds of ejections and of the configuration;
//! `upstream_cx_overflow`, which Envoy counts again at each occasion to open what it may not open.

use super::observe::Seen;
use super::schema::observed::Counts;
use crate::observe::access_log::{CallRecord, Counters, TryRecord};
use crate::vocabulary::outcome::{Details, Outcome};
use std::collections::BTreeSet;

/// What the log gives beside the codes of answers.
const LOGGED: &[&str] = &[
    "upstream_cx_none_healthy",
    "upstream_rq_completed",
    "upstream_rq_max_duration_reached",
    "upstream_rq_pending_failure_eject",
    "upstream_rq_per_try_idle_timeout",
    "upstream_rq_per_try_timeout",
    "upstream_rq_retry_backoff_exponential",
    "upstream_rq_retry_limit_exceeded",
    "upstream_rq_retry_success",
    "upstream_rq_timeout",
    "upstream_rq_total",
];

/// Whether there is a counter of this name; `cluster.<name>.` before it means one cluster of several.
pub(super) fn is_counted(name: &str) -> bool {
    let name = bare(name);
    Counters::NAMES.contains(&name) || LOGGED.contains(&name) || is_code(name)
}

/// The name without its cluster.
fn bare(name: &str) -> &str {
    let rest = name.strip_prefix("cluster.").and_then(|rest| rest.split_once('.'));
    rest.map_or(name, |(_, counter)| counter)
}

/// Whether it counts answers by their code or class, or all that were tried again.
fn is_code(name: &str) -> bool {
    let name = name.strip_prefix("retry.").unwrap_or(name);
    let Some(code) = name.strip_prefix("upstream_rq_") else { return false };
    let is_class = matches!(code, "1xx" | "2xx" | "3xx" | "4xx" | "5xx");
    is_class
        || code.parse::<u16>().is_ok_and(|code| (100..600).contains(&code))
        || name == "upstream_rq_completed"
}

/// The counters, summed over the clusters of the entry, and those of each cluster.
pub(super) fn stats(seen: &Seen<'_>) -> Counts {
    let entry = seen.lowered.entry;
    let proxy = seen.config.proxies.iter().filter(|proxy| proxy.name == seen.config.entry);
    let calm = proxy.flat_map(|proxy| &proxy.clusters).filter(|cluster| {
        cluster.healthy_panic_threshold_percent.is_some_and(|threshold| threshold <= 0.0)
    });
    let calm = calm.map(|cluster| cluster.name.as_str()).collect();
    let mut stats = Stats { counts: Counts::new(), calm };
    for ((_, cluster), counters) in seen.log.counters.iter().filter(|((one, _), _)| *one == entry) {
        let cluster = seen.lowered.cluster(Some(*cluster));
        for name in Counters::NAMES {
            stats.add(cluster, name, counters.by_name(name).unwrap_or(0) as f64);
        }
    }
    let calls = seen.log.calls.iter().filter(|call| seen.from <= call.began);
    for call in calls.filter(|call| call.proxy == Some(entry) && call.cluster.is_some()) {
        stats.call(seen.lowered.cluster(call.cluster), call);
    }
    stats.counts
}

/// Whether an endpoint's own answer ended a try.
pub(super) fn is_answer(outcome: Outcome) -> bool {
    outcome.details.text() == Details::ViaUpstream.text()
}

struct Stats<'c> {
    counts: Counts,
    /// Clusters that never panic.
    calm: BTreeSet<&'c str>,
}

impl Stats<'_> {
    fn add(&mut self, cluster: &str, name: &str, count: f64) {
        *self.counts.entry(name.to_owned()).or_default() += count;
        *self.counts.entry(format!("cluster.{cluster}.{name}")).or_default() += count;
    }

    fn code(&mut self, cluster: &str, prefix: &str, status: u16) {
        self.add(cluster, &format!("{prefix}upstream_rq_completed"), 1.0);
        self.add(cluster, &format!("{prefix}upstream_rq_{status}"), 1.0);
        self.add(cluster, &format!("{prefix}upstream_rq_{}xx", status / 100), 1.0);
    }

    fn call(&mut self, cluster: &str, call: &CallRecord) {
        let details = call.outcome.details;
        let is_left = matches!(
            details,
            Details::DownstreamDisconnect | Details::DownstreamReset | Details::LocalDisconnect
        );
        // The route timeout counts for the try that it ends; in the middle of a back-off there is none.
        let backs_off = details == Details::ResponseTimeout
            && call.tries.last().is_some_and(|last| last.ended < call.ended);
        if !is_left && !backs_off && call.outcome.status != 0 {
            self.code(cluster, "", call.outcome.status);
        }
        let is_retried = 1 < call.attempts;
        let flags = call.outcome.flags.to_string();
        let is_refused = flags.contains("URX") || flags.contains("UO");
        let ends_well = is_answer(call.outcome) && !is_refused;
        let of_call = [
            ("upstream_rq_timeout", details == Details::ResponseTimeout && !backs_off),
            ("upstream_rq_retry_limit_exceeded", flags.contains("URX")),
            ("upstream_rq_retry_success", is_retried && ends_well),
        ];
        self.all(cluster, &of_call);
        for (index, one) in call.tries.iter().enumerate() {
            self.one(cluster, one);
            let is_followed = index + 1 < call.tries.len();
            if is_followed {
                self.add(cluster, "upstream_rq_retry_backoff_exponential", 1.0);
            }
            if (is_followed || backs_off) && is_answer(one.outcome) {
                self.code(cluster, "retry.", one.outcome.status);
            }
        }
    }

    fn one(&mut self, cluster: &str, one: &TryRecord) {
        let details = one.outcome.details;
        let has_no_connection = details.transport_failure().is_some()
            || matches!(details, Details::ConnectionTimeout | Details::NoSecret);
        let has_no_host = details == Details::NoHealthyUpstream;
        let of_try = [
            ("upstream_cx_none_healthy", has_no_host),
            // A cluster without endpoints panics as well: none of none is healthy.
            ("lb_healthy_panic", has_no_host && !self.calm.contains(cluster)),
            ("upstream_rq_max_duration_reached", details == Details::MaxStreamDuration),
            ("upstream_rq_pending_failure_eject", has_no_connection),
            ("upstream_rq_per_try_idle_timeout", details == Details::PerTryIdleTimeout),
            ("upstream_rq_per_try_timeout", details == Details::PerTryTimeout),
            (
                "upstream_rq_total",
                !has_no_connection && !has_no_host && details != Details::Overflow,
            ),
        ];
        self.all(cluster, &of_try);
    }

    fn all(&mut self, cluster: &str, counts: &[(&str, bool)]) {
        for (name, _) in counts.iter().filter(|(_, counts)| *counts) {
            self.add(cluster, name, 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_known_with_and_without_their_cluster() {
        let known =
            ["upstream_rq_retry", "upstream_rq_total", "upstream_rq_504", "upstream_rq_2xx"];
        assert!(known.iter().all(|name| is_counted(name)));
        assert!(known.iter().all(|name| is_counted(&format!("cluster.svc.{name}"))));
        assert!(is_counted("retry.upstream_rq_completed"));
        let unknown = ["retry.upstream_rq_total", "upstream_rq_999", "upstream_cx_destroy", "x"];
        assert!(unknown.iter().all(|name| !is_counted(name)));
    }
}
