//! The census: what gauges show, kept as counts where the state changes, so that a reading costs
//! the same in a mesh of ten pods and of ten thousand.
//!
//! A pod has a standing: what it adds to the counts. Whoever changes its life, proxy, leaf or stream
//! asks for a [`World::recount`], which takes the old standing off the books and
//! puts the new one on. Only a leaf comes to its end without anybody's doing, and without an event
//! if its renewal has not failed: ends wait in a heap, and are looked at when the counts are.
//! The audit counts everything from scratch and compares.
//!
//! Source: `vocabulary::metric`.
//! Left out: gauges per proxy.

use super::World;
use super::pod::Kind;
use super::state::Life;
use super::streams::XdsStream;
use crate::kernel::bytes::Bytes as _;
use crate::kernel::time::{Duration, Time};
use crate::plan::universe::WorkloadId;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What a pod adds to the census.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Standing {
    /// It has a live proxy.
    proxy: bool,
    is_connected: bool,
    /// Whether its certificate is valid, if it has one.
    is_valid: Option<bool>,
    state: State,
}

/// What a pod that does not serve waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// Nothing: it serves, ends or is gone.
    #[default]
    Other,
    Pending,
    Starting,
    NotReady,
    CrashLooping,
}

/// What a workload adds to the census.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Places {
    ready: u32,
    missing: u32,
}

/// Counts over the whole mesh.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    /// Live proxies.
    pub proxies: u32,
    /// Those with a stream.
    pub connected: u32,
    /// Those with a valid certificate.
    pub valid: u32,
    /// Those with an expired one.
    pub expired: u32,
    /// Ready pods.
    pub ready: u32,
    /// Pods wanted and not ready.
    pub missing: u32,
    /// Pods without a node.
    pub pending: u32,
    /// Those whose containers are being prepared.
    pub starting: u32,
    /// Those whose containers run.
    pub not_ready: u32,
    /// Those with a container in its back-off.
    pub crash_looping: u32,
}

/// The counts, and what will change them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census {
    pub counts: Counts,
    /// Requests in the queues of apps.
    pub queued: u32,
    /// Endpoints that some proxy has ejected.
    pub ejected: u32,
    /// Ends of leaves with their holders; those of leaves since renewed are passed by.
    ends: BinaryHeap<Reverse<(Time, u32)>>,
}

impl Counts {
    fn of_state(&mut self, state: State) -> Option<&mut u32> {
        match state {
            State::Other => None,
            State::Pending => Some(&mut self.pending),
            State::Starting => Some(&mut self.starting),
            State::NotReady => Some(&mut self.not_ready),
            State::CrashLooping => Some(&mut self.crash_looping),
        }
    }

    fn add(&mut self, standing: Standing) {
        if let Some(count) = self.of_state(standing.state) {
            *count += 1;
        }
        self.proxies += u32::from(standing.proxy);
        self.connected += u32::from(standing.is_connected);
        self.valid += u32::from(standing.is_valid == Some(true));
        self.expired += u32::from(standing.is_valid == Some(false));
    }

    fn remove(&mut self, standing: Standing) {
        if let Some(count) = self.of_state(standing.state) {
            *count -= 1;
        }
        self.proxies -= u32::from(standing.proxy);
        self.connected -= u32::from(standing.is_connected);
        self.valid -= u32::from(standing.is_valid == Some(true));
        self.expired -= u32::from(standing.is_valid == Some(false));
    }
}

impl Census {
    /// Bytes held beside the census itself.
    pub(crate) fn bytes(&self) -> usize {
        self.ends.bytes()
    }
}

impl World<'_> {
    fn standing(&self, index: u32) -> Standing {
        let pod = &self.pods[index as usize];
        let state = self.state_of(index);
        if !pod.has_live_proxy() || self.control.replicas.is_empty() {
            return Standing { state, ..Standing::default() };
        }
        let is_connected = matches!(pod.stream, XdsStream::Connected(_));
        let is_valid = pod.leaf.as_ref().map(|leaf| leaf.is_valid(self.now));
        match pod.kind {
            Kind::Own => Standing { state, proxy: true, is_connected, is_valid },
            // What speaks for it is counted in its place.
            Kind::Captured => Standing { state, ..Standing::default() },
            Kind::Ztunnel => Standing { proxy: true, is_connected, ..Standing::default() },
            Kind::Account => Standing { is_valid, ..Standing::default() },
        }
    }

    fn state_of(&self, index: u32) -> State {
        let kubernetes = &self.kubernetes;
        match self.pods[index as usize].life {
            Life::Starting if kubernetes.pending.contains(&index) => State::Pending,
            Life::Starting | Life::WaitingForProxy
                if kubernetes.containers.get(&index).is_some_and(|one| one.backs_off) =>
            {
                State::CrashLooping
            }
            Life::Starting => State::Starting,
            Life::WaitingForProxy => State::NotReady,
            Life::Ready | Life::Terminating | Life::Down | Life::Gone => State::Other,
        }
    }

    /// Something about a pod changed: the census follows.
    pub(super) fn recount(&mut self, index: u32) {
        self.count_live(index);
        let standing = self.standing(index);
        let before = std::mem::replace(&mut self.pods[index as usize].standing, standing);
        if before != standing {
            self.census.counts.remove(before);
            self.census.counts.add(standing);
        }
    }

    /// A pod has a new leaf, whose end the census must not miss.
    pub(super) fn expect_end(&mut self, index: u32, not_after: Time) {
        self.pass_ends();
        self.census.ends.push(Reverse((not_after, index)));
        self.recount(index);
    }

    /// Leaves that came to their ends since the last look.
    pub(super) fn pass_ends(&mut self) {
        while let Some(Reverse((at, index))) = self.census.ends.peek().copied()
            && at <= self.now
        {
            self.census.ends.pop();
            self.recount(index);
        }
    }

    /// A workload has other ready pods, or wants another number of them.
    pub(super) fn recount_places(&mut self, workload: WorkloadId) {
        let state = &mut self.workloads[workload.index()];
        let places = state.places();
        let before = std::mem::replace(&mut state.counted, places);
        let counts = &mut self.census.counts;
        counts.ready = counts.ready + places.ready - before.ready;
        counts.missing = counts.missing + places.missing - before.missing;
    }

    /// The age of the oldest change that some live proxy has not seen.
    pub(super) fn staleness(&self) -> Duration {
        let since = self.config.oldest_stale_since();
        since.map_or(Duration::ZERO, |since| self.now.since(since))
    }

    /// Counts everything from scratch, and compares.
    pub(super) fn audit_census(&mut self) {
        self.pass_ends();
        let mut counts = Counts::default();
        for index in 0..u32::try_from(self.pods.len()).expect("fewer than 2^32 pods") {
            let standing = self.standing(index);
            let kept = self.pods[index as usize].standing;
            assert_eq!(kept, standing, "the standing of {}", self.pod_name(index));
            counts.add(standing);
        }
        for state in &self.workloads {
            let places = state.places();
            assert_eq!(state.counted, places, "ready and missing pods of a workload");
            counts.ready += places.ready;
            counts.missing += places.missing;
        }
        assert_eq!(self.census.counts, counts, "the census, recounted");
        let queued: usize = self.pods.iter().map(|pod| pod.station.waiting()).sum();
        assert_eq!(self.census.queued as usize, queued, "requests in the queues of apps");
        let ejected = self.upstreams.iter().map(|one| one.ejected).sum::<u32>();
        assert_eq!(self.census.ejected, ejected, "ejected endpoints");
    }
}

impl super::cluster::WorkloadState {
    fn places(&self) -> Places {
        let ready = u32::try_from(self.ready.len()).unwrap_or(u32::MAX);
        Places { ready, missing: self.deployment.wanted.saturating_sub(ready) }
    }
}
