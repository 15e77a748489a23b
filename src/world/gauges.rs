//! Gauges and audit: the state of the world looked at as a whole.
//!
//! The audit recounts from scratch what is kept as a count, and compares.
//!
//! Source: `vocabulary::metric`; the laws of ARCHITECTURE.md.
//! Left out: gauges per proxy.

use super::World;
use super::state::{Life, Link, NONE, Parent, Phase};
use super::streams::XdsStream;
use crate::observe::series::Readings;
use crate::vocabulary::metric::Gauge;

impl World<'_> {
    /// Every gauge now.
    pub(super) fn gauges(&mut self) -> Readings {
        self.pass_ends();
        let counts = &self.census.counts;
        let held = counts.valid + counts.expired;
        let share = if held == 0 { 0.0 } else { f64::from(counts.expired) / f64::from(held) };
        let mut readings = [0.0; Gauge::ALL.len()];
        let mut set = |gauge: Gauge, value: f64| readings[gauge as usize] = value;
        set(Gauge::Proxies, f64::from(counts.proxies));
        set(Gauge::ProxiesConnected, f64::from(counts.connected));
        set(Gauge::CertificatesValid, f64::from(counts.valid));
        set(Gauge::CertificatesExpired, f64::from(counts.expired));
        set(Gauge::CertificatesExpiredShare, share);
        set(Gauge::ConfigStaleness, self.staleness().as_s());
        set(Gauge::PodsReady, f64::from(counts.ready));
        set(Gauge::PodsMissing, f64::from(counts.missing));
        set(Gauge::Connections, f64::from(self.ledger.connections_open));
        set(Gauge::RequestsInFlight, self.ledger.in_flight() as f64);
        set(Gauge::Queued, f64::from(self.census.queued));
        set(Gauge::Ejected, f64::from(self.census.ejected));
        set(Gauge::PodsPending, f64::from(counts.pending));
        set(Gauge::PodsStarting, f64::from(counts.starting));
        set(Gauge::PodsNotReady, f64::from(counts.not_ready));
        set(Gauge::PodsCrashLooping, f64::from(counts.crash_looping));
        set(Gauge::TokensExpired, f64::from(self.tokens_expired()));
        self.read_istiod(&mut readings);
        if self.plan.linkerd.is_some() {
            self.read_linkerd(&mut readings);
        }
        readings
    }

    /// Recounts from scratch every count that is kept, and compares.
    pub(super) fn audit(&mut self) {
        let now = self.now;
        let (mut open, mut ages) = (0_u64, Vec::new());
        for (_, call) in self.calls.iter().filter(|(_, call)| !call.is_over) {
            open += 1;
            if matches!(call.parent, Parent::Traffic(_) | Parent::User(..)) {
                ages.push(now.since(call.began));
            }
        }
        ages.extend(self.sends.ages(now));
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
        self.audit_census();
        self.audit_lists();
        self.audit_upstreams();
        self.audit_stations();
        self.audit_config();
        self.audit_tied();
        self.audit_given();
        self.audit_sends();
    }

    /// Lists by which the world finds pods and connections, compared with those who should be in
    /// them.
    fn audit_lists(&self) {
        let mut members = vec![0; self.workloads.len()];
        for (pod, index) in self.pods.iter().zip(0_u32..) {
            let is_member =
                !matches!(pod.life, Life::Terminating | Life::Gone) && !pod.is_of_ztunnel();
            members[pod.workload.index()] += u32::from(is_member);
            if let XdsStream::Connected(replica) = pod.stream {
                let connected = &self.control.replicas[replica as usize].connected;
                assert!(connected.contains(&index), "a replica does not know a stream of its own");
            }
            let is_parked = pod.csr_is_parked || pod.stream_is_parked;
            assert!(!is_parked || self.control.parked.contains(&index), "a parked loop is lost");
            assert!(pod.frozen.is_none() || self.frozen.contains(&index), "a frozen pod is lost");
        }
        let streams = self.control.replicas.iter().map(|one| one.connected.len()).sum::<usize>();
        let is_open = |pod: &&super::state::Pod| matches!(pod.stream, XdsStream::Connected(_));
        assert_eq!(streams, self.pods.iter().filter(is_open).count(), "open streams");
        for (state, count) in self.workloads.iter().zip(members) {
            let known = state.members.counts();
            assert_eq!(known.old + known.new, count, "pods that a workload knows");
        }
        for (_, call) in self.calls.iter().filter(|(_, call)| !call.is_over && call.pod != NONE) {
            assert!(self.may_call(call.pod), "a pod that seems to make no calls has one");
        }
        let inbound = self.attempts.iter().filter(|(_, one)| one.phase == Phase::Inbound).count();
        let counted = self.pods.iter().map(|pod| pod.inbound as usize).sum::<usize>();
        assert_eq!(counted, inbound, "attempts in server proxies");
        for (id, connection) in self.connections.iter() {
            if connection.link != Link::Closed {
                let upstream = &self.upstreams[connection.upstream as usize];
                let place = connection.client_place as usize;
                assert_eq!(upstream.connections[place], id, "a connection of an upstream");
            }
        }
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
        for (pod, index) in self.pods.iter().zip(0_u32..) {
            let name = || self.pod_name(index);
            let station = &pod.station;
            assert_eq!(station.busy(), busy[index as usize], "busy servers of {}", name());
            assert_eq!(station.waiting(), waiting[index as usize], "who waits at {}", name());
            assert!(!station.wastes(), "{} has an idle worker while somebody waits", name());
            if !station.is_shared() {
                assert!(station.busy() <= station.workers, "busy servers of {}", name());
            }
        }
    }
}
