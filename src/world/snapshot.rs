//! Instants at which the loop is more than events; the mesh at one of them, for whoever asks: read off
//! the state, changing nothing.
//!
//! Source: `observe::mesh_status`.
//! Left out: pods that are gone.

use super::World;
use super::ages::DOMAIN;
use super::control::{CA, INJECTOR, POLICY, XDS};
use super::pod::Kind;
use super::state::Life;
use super::streams::XdsStream;
use crate::kernel::queue::Ticket;
use crate::kernel::time::{Duration, Time};
use crate::observe::mesh_status::{
    CertificateStatus, MeshStatus, ProxyStatus, ReplicaStatus, Sync,
};

impl World<'_> {
    /// The next instant at which the loop is more than events: the end of the warm-up, the instant
    /// at which the mesh is to be looked at, the end.
    pub(super) fn next_pause(&self) -> Time {
        let warmup = Some(Time::ZERO + self.plan.warmup).filter(|at| self.now < *at);
        let status = self.options.status_at.filter(|_| self.status.is_none());
        [warmup, status].into_iter().flatten().min().map_or(self.end, |at| at.min(self.end))
    }

    /// Time goes on to `time`: statistics of stations begin with the end of the warm-up.
    #[cold]
    pub(super) fn pause(&mut self, time: Time) {
        let warmup = Time::ZERO + self.plan.warmup;
        let status = self.options.status_at.filter(|at| self.status.is_none() && *at <= time);
        if let Some(at) = status {
            self.snapshot(at);
        }
        if self.now < warmup && warmup <= time {
            self.pods.iter_mut().for_each(|pod| pod.station.restart_load(warmup));
            self.restart_log();
            self.now = warmup;
        }
    }

    /// The mesh as it is at `at`, before what happens at that instant.
    #[cold]
    pub(super) fn snapshot(&mut self, at: Time) {
        let pods = 0..u32::try_from(self.pods.len()).expect("fewer than 2^32 pods");
        let alive = pods.filter(|index| {
            let pod = &self.pods[*index as usize];
            pod.life != Life::Gone && pod.kind != Kind::Account
        });
        let proxies = alive.map(|index| self.proxy_status(index, at)).collect();
        let replicas = (0..self.control.replicas.len()).map(|index| self.replica_status(index));
        self.status = Some(MeshStatus { at, proxies, replicas: replicas.collect() });
    }

    fn replica_status(&self, index: usize) -> ReplicaStatus {
        let replica = &self.control.replicas[index];
        ReplicaStatus {
            name: self.controller(XDS, u32::try_from(index).unwrap_or(0)),
            node: self.plan.universe.nodes[replica.node.index()].name.clone(),
            serves: [CA, XDS, INJECTOR, POLICY].map(|part| self.control.serves(index, part)),
            connected: u32::try_from(replica.connected.len()).unwrap_or(u32::MAX),
            push_queue: u32::try_from(replica.push.len()).unwrap_or(u32::MAX),
        }
    }

    fn proxy_status(&self, index: u32, at: Time) -> ProxyStatus {
        let pod = &self.pods[index as usize];
        let has_control = pod.is_meshed && !self.control.replicas.is_empty();
        let since = |version| match version {
            0 => None,
            version => self.proxy_stale_since(index, version),
        };
        let seen = pod.seen;
        let types = [seen.cds, seen.lds, seen.eds, seen.rds].map(|version| match since(version) {
            _ if version == 0 && has_control => Sync::NotSent,
            Some(_) if has_control => Sync::Stale,
            _ => Sync::Synced,
        });
        let of_leaf = self.holder(index).leaf_cause;
        let stale_since = seen.versions().into_iter().filter_map(since).min();
        ProxyStatus {
            name: self.pod_name(index),
            node: self.plan.universe.nodes[pod.node.index()].name.clone(),
            pod: self.pod_word(index),
            containers: self.containers_ready(index),
            is_frozen: pod.frozen.is_some(),
            is_meshed: pod.is_meshed,
            is_captured: pod.kind == Kind::Captured,
            types,
            stale_since: stale_since.filter(|_| has_control),
            istiod: match self.stream_of(index) {
                XdsStream::Connected(replica) => Some(self.controller(XDS, replica)),
                _ => None,
            },
            stream_age: self.stream_age_of(index, at),
            certificate: self.holder(index).leaf.as_ref().map(|leaf| CertificateStatus {
                not_after: leaf.not_after,
                renew_at: leaf.renew_at,
            }),
            linkerd: self.linkerd_status(index).filter(|_| pod.is_meshed),
            cause: of_leaf.or(self.holder(index).renewal_cause).or(pod.down_cause).or_else(|| {
                let is_alone = !matches!(self.stream_of(index), XdsStream::Connected(_));
                self.control.causes[XDS].filter(|_| has_control && is_alone)
            }),
        }
    }

    /// How long the stream by which a pod hears of configuration has been open.
    fn stream_age_of(&self, index: u32, at: Time) -> Option<Duration> {
        if !matches!(self.stream_of(index), XdsStream::Connected(_)) {
            return None;
        }
        let owner = self.stream_owner(index);
        let pod = &self.pods[owner as usize];
        // Parked, it has ended and been opened again since.
        let law = self.control.age_law.as_ref().filter(|_| pod.stream_ticket == Ticket::NONE);
        let parked = law.and_then(|law| {
            let key = self.loop_key(owner, DOMAIN);
            pod.age.opened_by(at, law, |n| key.draw(0, n))
        });
        Some(at.saturating_since(parked.unwrap_or(pod.connected_since)))
    }
}
