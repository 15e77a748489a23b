//! Retries: the mesh's parameters with what a service and its route say over them.
//!
//! Source: the words of Istio's `VirtualService` and Envoy's `RetryPolicy`.
//! Left out: retries that requests ask for by headers of their own.

use super::super::document::Node;
use super::Lower;
use crate::kernel::time::Duration;
use crate::plan::asked::RETRIES_MAX;
use crate::plan::parameter::Parameters;
use crate::plan::policy::{HeaderPolicy, ResetFormat, ResetHeader, RetryOn, RetryPolicy};

/// What asks for more than this is passed over, if nothing else is said (Envoy's `max_interval`).
const MAX_INTERVAL: Duration = Duration::from_ms(300_000);

impl Lower<'_, '_, '_> {
    /// When and how requests are tried again; of the tables the last one that says something holds.
    pub(super) fn retry_policy(&mut self, own: &Parameters, tables: [&Node; 2]) -> RetryPolicy {
        let retry = &own.retry;
        let idle = |table: &&Node| table.get("retries")?.duration("per_try_idle_timeout");
        let priorities = |table: &&Node| table.get("retries")?.count("previous_priorities");
        let hedges = |table: &&Node| table.get("retries")?.flag("hedge_on_per_try_timeout");
        RetryPolicy {
            retries: retry.attempts.min(RETRIES_MAX),
            // Istio leaves the policy out: with one of no retries, Envoy would still log URX.
            on: if retry.attempts == 0 { RetryOn::default() } else { retry.on },
            statuses: retry.statuses.clone(),
            per_try_timeout: retry.per_try_timeout,
            per_try_idle_timeout: tables.iter().rev().find_map(idle).unwrap_or(Duration::ZERO),
            backoff_base: retry.backoff_base,
            backoff_max: retry.backoff_max,
            // Istio leaves the predicate out where requests are hashed: the same endpoint is wanted.
            previous_hosts: retry.previous_hosts && !own.cluster.balancer.hashes(),
            host_attempts: retry.host_attempts,
            previous_priorities: tables.iter().rev().find_map(priorities).unwrap_or(0),
            hedges: tables.iter().rev().find_map(hedges).unwrap_or(false),
            headers: self.header_policy(tables).map(Box::new),
        }
    }

    /// What is looked for in the headers of answers.
    fn header_policy(&mut self, tables: [&Node; 2]) -> Option<HeaderPolicy> {
        let last = |key: &str| {
            let of = |table: &&Node| table.get("retries").is_some_and(|one| one.get(key).is_some());
            tables.into_iter().rev().find(of)?.get("retries")?.get(key)
        };
        let (asked, backoff) = (last("retriable_headers"), last("rate_limited_backoff"));
        let mut policy = HeaderPolicy { max_interval: MAX_INTERVAL, ..HeaderPolicy::default() };
        if let Some(asked) = asked {
            let nodes = asked.items().iter().filter(|node| node.is_table());
            policy.retriable = nodes.filter_map(|node| self.header_match(node)).collect();
        }
        if let Some(backoff) = backoff {
            for header in backoff.list("reset_headers").iter().filter(|one| one.is_table()) {
                let Some(name) = header.text("name").map(str::to_lowercase) else { continue };
                let format = match header.text("format") {
                    Some("unix_timestamp") => ResetFormat::UnixTimestamp,
                    _ => ResetFormat::Seconds,
                };
                policy.resets.push(ResetHeader { name, format });
            }
            policy.max_interval = backoff.duration("max_interval").unwrap_or(MAX_INTERVAL);
            if policy.max_interval.is_zero() {
                let at = backoff.get("max_interval").map_or(backoff.at, |node| node.at);
                self.report(at, "the longest interval is zero", "no header could ask for less");
            }
            if backoff.get("reset_headers").is_some() && policy.resets.is_empty() {
                let hint = "reset_headers = [{ name = \"retry-after\" }]";
                self.report(backoff.at, "a back-off by headers of which there are none", hint);
            }
        }
        (asked.is_some() || backoff.is_some()).then_some(policy)
    }
}
