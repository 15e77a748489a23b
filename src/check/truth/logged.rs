//! The access log as Envoy's proxies write it: what a run knows of calls, less what a process that ends
//! logs no more, with the names that only the files have.
//!
//! A process that is killed logs neither what was in flight nor what is refused. One that ends by SIGTERM
//! closes the connections of its clients first, and logs their requests so (`0 DC`).
//!
//! Source: measured on Envoy 1.40 (family e13, `proxy_sigterm_h1_istio`: 2 requests in flight); Envoy's
//! `rbac_filter.cc` names the policy that matched.
//! Left out: lines that were still in a buffer when their process was killed.

use super::lower::Lowered;
use super::schema::config::{Config, Load, Principal, Proxy, RbacPolicy};
use super::schema::step::Verb;
use super::schema::words::{FilterKind, RbacAction};
use crate::kernel::time::{Duration, Time};
use crate::observe::access_log::{AccessLog, CallRecord};
use crate::plan::universe::WorkloadId;
use crate::vocabulary::outcome::{Details, Outcome};
use std::borrow::Cow;

/// The end of a proxy's process.
struct End {
    proxy: WorkloadId,
    at: Time,
    is_killed: bool,
}

/// What of a run's log is written.
pub(super) fn logged<'l>(
    config: &Config,
    lowered: &Lowered,
    log: &'l AccessLog,
) -> Cow<'l, AccessLog> {
    let mut ends: Vec<End> = Vec::new();
    for step in &config.steps {
        let is_killed = matches!(step.verb, Verb::ProxyKill);
        let proxy = lowered.workloads.iter().position(|name| *name == step.target);
        let Some(proxy) = proxy.and_then(|index| u32::try_from(index).ok()).map(WorkloadId) else {
            continue;
        };
        let is_end = is_killed || matches!(step.verb, Verb::ProxySigterm);
        if is_end && ends.iter().all(|end| end.proxy != proxy) {
            ends.push(End { proxy, at: Time::ZERO + Duration::from_s_f64(step.at_s), is_killed });
        }
    }
    if ends.is_empty() {
        return Cow::Borrowed(log);
    }
    let mut log = log.clone();
    log.calls = log.calls.into_iter().filter_map(|call| write(call, &ends, lowered)).collect();
    Cow::Owned(log)
}

/// A call as its proxy logs it; none if it does not.
fn write(call: CallRecord, ends: &[End], lowered: &Lowered) -> Option<CallRecord> {
    // Whom no proxy took had asked the entry.
    let proxy = call.proxy.unwrap_or(lowered.entry);
    let Some(end) = ends.iter().find(|end| end.proxy == proxy && end.at <= call.ended) else {
        return Some(call);
    };
    let is_in_flight = call.ended == end.at
        && matches!(
            call.outcome.details,
            Details::LocalDisconnect | Details::ConnectionTermination
        );
    let outcome = Outcome::failure(Details::LocalDisconnect);
    (is_in_flight && !end.is_killed).then_some(CallRecord { outcome, ..call })
}

/// How a call ended, as `status/flags/details`.
pub(super) fn outcome(config: &Config, lowered: &Lowered, call: &CallRecord) -> String {
    let Outcome { status, flags, details } = call.outcome;
    let mut details_text = Lowered::details(call.outcome);
    if details == Details::RbacMatched {
        let name = lowered.host(call.proxy);
        let proxy = config.proxies.iter().find(|proxy| proxy.name == name);
        let load = call.traffic.and_then(|index| config.load.get(index as usize));
        let policy = proxy.and_then(|proxy| matched(proxy, load));
        let policy = policy.map_or("none", |policy| policy.name.as_str());
        // Blanks would end the field of the log.
        let policy: Vec<&str> = policy.split_whitespace().collect();
        details_text = format!("{details_text}[{}]", policy.join("_"));
    }
    format!("{status}/{flags}/{details_text}")
}

/// The policy for which a proxy denies the requests of a load: the first by name, as Envoy keeps them.
fn matched<'c>(proxy: &'c Proxy, load: Option<&Load>) -> Option<&'c RbacPolicy> {
    let filters = proxy.listener.filters.iter().filter(|filter| {
        filter.filter == FilterKind::Rbac && filter.action == Some(RbacAction::Deny)
    });
    let has = |load: &Load, wanted: &str| {
        let names = load.headers.keys().chain(load.header_sequence.keys());
        names.chain(load.header_bytes.keys()).any(|name| name.eq_ignore_ascii_case(wanted))
    };
    let matches = |policy: &&RbacPolicy| match &policy.principal {
        Principal::Any(_) => true,
        Principal::Header(header) => load.is_none_or(|load| has(load, &header.header_present)),
    };
    let mut filters = filters.filter_map(|filter| {
        filter.policies.iter().filter(matches).min_by(|a, b| a.name.cmp(&b.name))
    });
    filters.next()
}
