//! Gauges and audit: the state of the world looked at as a whole.
//!
//! The audit recounts from scratch what is kept as a count, and compares.
//!
//! Source: `vocabulary::metric`; the laws of ARCHITECTURE.md.
//! Left out: gauges per proxy.

use super::World;
use super::state::{Link, NONE, Parent, Phase, XdsStream};
use crate::kernel::time::Duration;
use crate::observe::series::Readings;
use crate::vocabulary::metric::Gauge;

impl World<'_> {
    /// Every gauge now.
    pub(super) fn gauges(&self) -> Readings {
        let mut readings = [0.0; Gauge::ALL.len()];
        let (mut valid, mut expired, mut proxies, mut connected) = (0_u32, 0_u32, 0_u32, 0_u32);
        let mut queued = 0_usize;
        let has_control_plane = !self.control.replicas.is_empty();
        for pod in &self.pods {
            queued += pod.station.waiting();
            if !pod.has_live_proxy() || !has_control_plane {
                continue;
            }
            proxies += 1;
            connected += u32::from(matches!(pod.stream, XdsStream::Connected(_)));
            if let Some(leaf) = &pod.leaf {
                if leaf.is_valid(self.now) { valid += 1 } else { expired += 1 }
            }
        }
        let stale_since = self.config.oldest_stale_since();
        let staleness = stale_since.map_or(Duration::ZERO, |since| self.now.since(since));
        let ready: usize = self.workloads.iter().map(|one| one.ready.len()).sum();
        let wanted: u32 = self.workloads.iter().map(|one| one.deployment.wanted).sum();
        let missing = |one: &super::cluster::WorkloadState| {
            (one.deployment.wanted as usize).saturating_sub(one.ready.len())
        };
        let missing: usize = self.workloads.iter().map(missing).sum();
        debug_assert!(missing <= wanted as usize, "more pods missing than wanted");
        let ejected: u32 = self.upstreams.iter().map(|upstream| upstream.ejected).sum();
        let mut set = |gauge: Gauge, value: f64| readings[gauge as usize] = value;
        set(Gauge::Proxies, f64::from(proxies));
        set(Gauge::ProxiesConnected, f64::from(connected));
        set(Gauge::CertificatesValid, f64::from(valid));
        set(Gauge::CertificatesExpired, f64::from(expired));
        let held = valid + expired;
        let share = if held == 0 { 0.0 } else { f64::from(expired) / f64::from(held) };
        set(Gauge::CertificatesExpiredShare, share);
        set(Gauge::ConfigStaleness, staleness.as_s());
        set(Gauge::PodsReady, ready as f64);
        set(Gauge::PodsMissing, missing as f64);
        set(Gauge::Connections, f64::from(self.ledger.connections_open));
        set(Gauge::RequestsInFlight, self.ledger.in_flight() as f64);
        set(Gauge::Queued, queued as f64);
        set(Gauge::Ejected, f64::from(ejected));
        readings
    }

    /// Bytes that the world holds, about.
    pub(super) fn memory(&self) -> u64 {
        let hosts: usize = self.upstreams.iter().map(|one| one.hosts.len()).sum();
        let bytes = self.calls.len() * size_of::<super::state::Call>()
            + self.attempts.len() * size_of::<super::state::Attempt>()
            + self.connections.len() * size_of::<super::state::Connection>()
            + self.pods.len() * size_of::<super::state::Pod>()
            + self.upstreams.len() * size_of::<super::state::Upstream>()
            + hosts * 192
            + self.queue.len() * 48
            + self.config.bytes();
        bytes as u64
    }

    /// Recounts from scratch every count that is kept, and compares.
    pub(super) fn audit(&mut self) {
        let now = self.now;
        let (mut open, mut ages) = (0_u64, Vec::new());
        for (_, call) in self.calls.iter().filter(|(_, call)| !call.is_over) {
            open += 1;
            if !matches!(call.parent, Parent::Visit(..)) {
                ages.push(now.since(call.began));
            }
        }
        self.ledger.check_little(now, ages.into_iter());
        let ledger = &self.ledger;
        assert_eq!(ledger.calls_began, ledger.calls_ended + open, "calls begun, ended, open");
        assert_eq!(
            ledger.roots_began,
            ledger.roots_ended + ledger.in_flight(),
            "root requests begun, ended, in flight"
        );
        let attempts = self.attempts.iter().filter(|(_, one)| one.phase != Phase::Over).count();
        assert_eq!(
            ledger.attempts_to_endpoints,
            ledger.attempts_closed + attempts as u64,
            "attempts made, closed, open"
        );
        let on_the_way = |phase| matches!(phase, Phase::Sent | Phase::Answering);
        let in_flight = (self.attempts.iter())
            .filter(|(_, one)| on_the_way(one.phase) && !one.is_held && one.pending != 0)
            .count() as u64;
        let gave_up = self
            .attempts
            .iter()
            .filter(|(_, one)| on_the_way(one.phase) && !one.is_held && one.pending == 0);
        assert_eq!(gave_up.count(), 0, "a packet is on its way, and no event will deliver it");
        assert_eq!(
            ledger.sent,
            ledger.delivered + ledger.lost + in_flight,
            "packets sent, delivered, lost, in flight"
        );
        self.audit_upstreams();
        self.audit_stations();
        self.audit_config();
    }

    /// Gauges of the breakers and of the balancers, recounted.
    fn audit_upstreams(&self) {
        // Hosts of all upstreams in one list, each upstream's from its start.
        let mut starts = Vec::with_capacity(self.upstreams.len());
        let mut hosts = 0;
        for upstream in &self.upstreams {
            starts.push(hosts);
            hosts += upstream.hosts.len();
        }
        let mut active = vec![0_u32; hosts];
        let mut pending = vec![0_u32; self.upstreams.len()];
        let mut retries = vec![0_u32; self.upstreams.len()];
        let mut connections = vec![0_u32; self.upstreams.len()];
        for (_, one) in self.attempts.iter() {
            if one.call.is_none() || one.phase == Phase::Over {
                continue;
            }
            if one.phase == Phase::Waiting {
                pending[one.upstream as usize] += 1;
            } else {
                active[starts[one.upstream as usize] + one.host as usize] += 1;
            }
        }
        for (_, call) in self.calls.iter() {
            if call.holds_retry {
                retries[call.upstream as usize] += 1;
            }
        }
        let open = self.connections.iter().filter(|(_, one)| one.link == Link::Open).count();
        assert_eq!(self.ledger.connections_open as usize, open, "open connections");
        for (_, connection) in self.connections.iter() {
            if connection.link != Link::Closed {
                connections[connection.upstream as usize] += 1;
            }
        }
        for (index, upstream) in self.upstreams.iter().enumerate() {
            let active = &active[starts[index]..][..upstream.hosts.len()];
            for (host, active) in upstream.hosts.iter().zip(active) {
                assert_eq!(host.active, *active, "outstanding = open attempts");
            }
            let gauges = &upstream.gauges;
            assert_eq!(gauges.requests, active.iter().sum::<u32>(), "active requests");
            assert_eq!(gauges.pending, pending[index], "pending requests");
            assert_eq!(gauges.retries, retries[index], "retry slots held");
            assert_eq!(gauges.connections, connections[index], "open connections");
            assert_eq!(upstream.connections.len(), connections[index] as usize, "their list");
            assert_eq!(upstream.ejected, upstream.recount_ejected(), "ejected endpoints");
        }
    }

    /// Busy servers and those who wait, recounted; work conservation.
    fn audit_stations(&self) {
        let (mut busy, mut waiting) = (vec![0_u32; self.pods.len()], vec![0; self.pods.len()]);
        for (_, one) in self.attempts.iter() {
            assert!(one.pod != NONE, "an attempt has an endpoint");
            busy[one.pod as usize] += u32::from(one.holds_worker);
            waiting[one.pod as usize] += usize::from(one.phase == Phase::Queued);
        }
        for (index, pod) in self.pods.iter().enumerate() {
            assert_eq!(pod.station.busy(), busy[index], "busy servers of {}", pod.name);
            assert_eq!(pod.station.waiting(), waiting[index], "who waits at {}", pod.name);
            assert!(!pod.station.wastes(), "{} has an idle worker while somebody waits", pod.name);
            if !pod.station.is_shared() {
                assert!(pod.station.busy() <= pod.station.workers, "busy servers of {}", pod.name);
            }
        }
    }
}
