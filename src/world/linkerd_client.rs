//! When the proxies' clients of destination and policy are connected again, after all of their replicas were away.
//!
//! While some replica is there, a client has it: lookups go to it at once. After a time without any, each client comes
//! back by its own back-off, and a lookup that has failed meanwhile by another one after that.
//!
//! Source: `model::linkerd::client`.
//! Left out: pods that are cut off, whose clients are back with the network; DNS.

use super::World;
use super::control::{POLICY, XDS};
use super::streams::XdsStream;
use crate::kernel::time::{Duration, Time};
use crate::model::linkerd::client::{first_try_after, goes_through};
use crate::plan::universe::ServiceId;

/// The draws of a pod's client of the policy controller, and those of a lookup's tries.
const DOMAIN: u32 = 13;
const OF_TRIES: u32 = 3;

/// When destination and policy were away last.
#[derive(Clone, Copy, Default)]
pub(crate) struct Away([Option<Outage>; 2]);

#[derive(Clone, Copy)]
struct Outage {
    lost: Time,
    /// None while it lasts.
    back: Option<Time>,
}

/// Its place in [`Away`].
fn place(part: usize) -> usize {
    usize::from(part == POLICY)
}

impl World<'_> {
    /// The control plane or the network changed: whether all replicas of a part are away.
    pub(super) fn note_away(&mut self) {
        let now = self.now;
        for part in [XDS, POLICY] {
            let mut all = 0..self.control.replicas.len();
            let is_there = all.any(|one| {
                let node = self.control.replicas[one].node;
                self.control.serves(one, part) && !self.nodes.is_dead(node)
            });
            let outage = &mut self.outbound().away.0[place(part)];
            match outage {
                Some(outage) if outage.back.is_none() => outage.back = is_there.then_some(now),
                _ if !is_there => *outage = Some(Outage { lost: now, back: None }),
                _ => {}
            }
        }
    }

    /// When a pod's client of a part is connected.
    pub(super) fn client_is_up(&self, pod: u32, part: usize) -> Time {
        let own = self.linkerd.as_ref().expect("a mesh of Linkerd");
        let Some(Outage { lost, back: Some(back) }) = own.away.0[place(part)] else {
            return self.now;
        };
        let backoff = self.own().linkerd_control.backoff();
        if back.saturating_add(backoff.max) < self.now {
            return self.now;
        }
        let record = &self.pods[pod as usize];
        let at = match (part, record.stream) {
            // Streams of endpoints go over the same connection.
            (XDS, XdsStream::Waiting) if !record.stream_is_parked => record.stream_loop.next_try(),
            (XDS, _) => self.now,
            _ => {
                let key = self.loop_key(pod, DOMAIN);
                first_try_after(&backoff, lost, Duration::ZERO, back, |n| key.draw(n, 0))
            }
        };
        at.max(self.now)
    }

    /// When a lookup that a pod has made at `since` reaches both controllers, from now on.
    pub(super) fn lookup_goes_through(&self, pod: u32, service: ServiceId, since: Time) -> Time {
        if self.control.replicas.is_empty() {
            return self.now;
        }
        let rules = &self.own().linkerd_control;
        let backoff = rules.backoff();
        let own = self.linkerd.as_ref().expect("a mesh of Linkerd");
        let key = self.lookup_key(pod, service);
        let reaches = |part: usize| {
            // The first to wait is the stream that was lost, after its first back-off.
            let lost = own.away.0[place(part)].map_or(since, |one| one.lost);
            let failing = lost.saturating_add(rules.backoff_min).saturating_add(rules.failfast);
            let up = self.client_is_up(pod, part);
            let purpose = OF_TRIES + u32::from(part == POLICY);
            goes_through(&backoff, since, failing, up, |n| key.draw(n, purpose))
        };
        reaches(XDS).max(reaches(POLICY)).max(self.now)
    }
}
