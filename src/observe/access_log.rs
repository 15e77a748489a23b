//! The access log: one record for each call that ends, as the client's proxy writes it, with the
//! counters of each cluster as one proxy sees it and what outlier detection did.
//!
//! It keeps every single call, and so is off unless a run asks for it.
//!
//! Source: Envoy's access log and cluster statistics; the fields are those that its measured cases
//! are compared by.
//! Left out: bytes, headers; the pod of an endpoint beyond its workload.

use crate::kernel::time::Time;
use crate::plan::universe::{ClusterId, WorkloadId};
use crate::vocabulary::outcome::Outcome;
use crate::vocabulary::transport::TransportFailure;
use std::collections::BTreeMap;

/// Everything that is written down.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct AccessLog {
    /// Calls, in the order of their ends.
    pub calls: Vec<CallRecord>,
    /// What outlier detection did, in time order.
    pub ejections: Vec<EjectionRecord>,
    /// Since the end of the warm-up, by (the proxy's workload, cluster), summed over its pods.
    pub counters: BTreeMap<(WorkloadId, ClusterId), Counters>,
    /// What proxies log of handshakes that failed at their ports, by (workload, reason).
    pub server_failures: BTreeMap<(WorkloadId, TransportFailure), u64>,
    /// The next call that ends was refused to wait for a connection.
    pub is_refused_to_wait: bool,
    /// Tries of open calls that are over, by the call's number while it is open.
    open: BTreeMap<u32, Vec<TryRecord>>,
}

/// A call as its client proxy logs it.
#[derive(Clone, PartialEq, Debug)]
pub struct CallRecord {
    /// The workload of the client's pod; none if there was no such pod.
    pub proxy: Option<WorkloadId>,
    /// Index of the source of traffic, if it is one of its root requests.
    pub traffic: Option<u32>,
    /// Its intended start.
    pub began: Time,
    /// Its end.
    pub ended: Time,
    /// Status, flags, details.
    pub outcome: Outcome,
    /// Attempts made; none if no cluster was reached.
    pub attempts: u32,
    /// The workload of the last endpoint chosen; none if none ever was.
    pub host: Option<WorkloadId>,
    /// The cluster; none if no route or no such cluster was found.
    pub cluster: Option<ClusterId>,
    /// Its attempts, in order.
    pub tries: Vec<TryRecord>,
}

/// An attempt of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TryRecord {
    /// When the proxy began with it: the call's start, or the end of the back-off.
    pub began: Time,
    /// When the proxy had its result.
    pub ended: Time,
    /// The workload of the endpoint chosen last.
    pub host: Option<WorkloadId>,
    /// How it ended, before a retry or the end of the call was decided.
    pub outcome: Outcome,
}

/// An endpoint is left out, or comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EjectionRecord {
    /// When.
    pub at: Time,
    /// The workload of the proxy that does it.
    pub proxy: WorkloadId,
    /// The endpoint's workload.
    pub host: WorkloadId,
    /// What became of it.
    pub what: Ejected,
}

/// What outlier detection did with an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ejected {
    /// It is left out.
    Out,
    /// It would have been, were detections of this kind enforced, or this one.
    NotEnforced,
    /// It comes back.
    Back,
}

/// Counters of a cluster as a proxy sees it, with Envoy's meanings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// `upstream_cx_total`: connections opened, those that failed included.
    pub connections: u64,
    /// `upstream_rq_retry`: retries made, after their back-off.
    pub retries: u64,
    /// `upstream_rq_retry_overflow`: retries that the breaker refused.
    pub retry_overflow: u64,
    /// `upstream_rq_pending_overflow`: requests refused since too many waited for a connection.
    pub pending_overflow: u64,
    /// `upstream_rq_active_overflow`: requests refused since too many were under way.
    pub active_overflow: u64,
    /// `outlier_detection.ejections_enforced_total`: ejections.
    pub ejections: u64,
    /// `outlier_detection.ejections_overflow`: ejections that the ceiling prevented.
    pub ejections_overflow: u64,
    /// `upstream_cx_connect_fail`: connections that never came up.
    pub connect_fails: u64,
    /// `upstream_cx_connect_timeout`: those of them that took too long.
    pub connect_timeouts: u64,
    /// `ssl.handshake`: TLS handshakes that the client took for complete.
    pub handshakes: u64,
    /// `ssl.session_reused`: those of them that resumed a session.
    pub resumptions: u64,
    /// `lb_healthy_panic`: endpoints chosen among all of a priority, whatever their health.
    pub panics: u64,
}

impl Counters {
    /// Envoy's names of what is counted.
    pub const NAMES: &[&str] = &[
        "upstream_cx_total",
        "upstream_rq_retry",
        "upstream_rq_retry_overflow",
        "upstream_rq_pending_overflow",
        "upstream_rq_active_overflow",
        "outlier_detection.ejections_enforced_total",
        "outlier_detection.ejections_overflow",
        "upstream_cx_connect_fail",
        "upstream_cx_connect_timeout",
        "ssl.handshake",
        "ssl.session_reused",
        "lb_healthy_panic",
    ];

    /// The counter of Envoy's name; none if it is not counted.
    pub fn by_name(&self, name: &str) -> Option<u64> {
        Some(match name {
            "upstream_cx_total" => self.connections,
            "upstream_rq_retry" => self.retries,
            "upstream_rq_retry_overflow" => self.retry_overflow,
            "upstream_rq_pending_overflow" => self.pending_overflow,
            "upstream_rq_active_overflow" => self.active_overflow,
            "outlier_detection.ejections_enforced_total" => self.ejections,
            "outlier_detection.ejections_overflow" => self.ejections_overflow,
            "upstream_cx_connect_fail" => self.connect_fails,
            "upstream_cx_connect_timeout" => self.connect_timeouts,
            "ssl.handshake" => self.handshakes,
            "ssl.session_reused" => self.resumptions,
            "lb_healthy_panic" => self.panics,
            _ => return None,
        })
    }
}

impl AccessLog {
    /// An attempt of the open call `call` is over, and another one will follow.
    pub fn try_ended(&mut self, call: u32, mut ended: TryRecord) {
        let tries = self.open.entry(call).or_default();
        // Begun by `try_begins`, if it is not the first.
        if let Some(open) = tries.pop_if(|last| last.ended == Time::MAX) {
            ended.began = open.began;
        }
        tries.push(ended);
    }

    /// Another attempt of the open call `call` begins.
    pub fn try_begins(&mut self, call: u32, began: Time) {
        let tries = self.open.entry(call).or_default();
        tries.push(TryRecord { began, ended: Time::MAX, host: None, outcome: Outcome::answer(0) });
    }

    /// The open call `call` has ended; its tries are filled in.
    pub fn call_ended(&mut self, call: u32, mut record: CallRecord) {
        if record.attempts != 0 {
            let CallRecord { began, ended, host, outcome, .. } = record;
            let mut tries = self.open.remove(&call).unwrap_or_default();
            // A call that ends while it backs off has no open try.
            let open = tries.pop_if(|last| last.ended == Time::MAX);
            let began = if tries.is_empty() { Some(began) } else { open.map(|open| open.began) };
            tries.extend(began.map(|began| TryRecord { began, ended, host, outcome }));
            record.tries = tries;
        }
        self.calls.push(record);
    }

    /// The counters of a cluster as a proxy sees it.
    pub fn counters(&mut self, proxy: WorkloadId, cluster: ClusterId) -> &mut Counters {
        self.counters.entry((proxy, cluster)).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::time::Duration;

    fn record(attempts: u32, ended: Time) -> CallRecord {
        CallRecord {
            proxy: Some(WorkloadId(0)),
            traffic: Some(0),
            began: Time::ZERO,
            ended,
            outcome: Outcome::answer(200),
            attempts,
            host: Some(WorkloadId(2)),
            cluster: Some(ClusterId(0)),
            tries: Vec::new(),
        }
    }

    #[test]
    fn every_counter_has_its_name() {
        assert!(Counters::NAMES.iter().all(|name| Counters::default().by_name(name) == Some(0)));
        assert_eq!(Counters::default().by_name("upstream_rq_total"), None);
    }

    #[test]
    fn the_tries_of_a_call_have_their_begins_ends_and_hosts() {
        let at = |ms| Time::ZERO + Duration::from_ms(ms);
        let mut log = AccessLog::default();
        let outcome = Outcome::answer(503);
        let host = Some(WorkloadId(1));
        log.try_ended(7, TryRecord { began: at(0), ended: at(10), host, outcome });
        log.try_begins(7, at(30));
        log.call_ended(7, record(2, at(45)));
        log.call_ended(7, record(1, at(5)));
        log.call_ended(8, record(0, at(5)));
        let tries = |index: usize| -> Vec<_> {
            let tries = &log.calls[index].tries;
            tries.iter().map(|one| (one.began, one.ended, one.host)).collect()
        };
        let (one, two) = (Some(WorkloadId(1)), Some(WorkloadId(2)));
        assert_eq!(tries(0), [(at(0), at(10), one), (at(30), at(45), two)]);
        assert_eq!(tries(1), [(at(0), at(5), two)]);
        assert!(tries(2).is_empty());
    }
}
