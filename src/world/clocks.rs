//! Clocks that are wrong, and nodes that sleep.
//!
//! The simulation has one true time. A clock shows it with a difference, in which certificates are dated and
//! compared; timers are monotonic and do not notice. A node that sleeps does nothing: its timers stand still
//! and are late by the sleep when it wakes up, while the wall clock has gone on, and with it the ends of
//! certificates.
//!
//! ```text
//! renewal due ─ ─ ─ ─ asleep ─ ─ ─ ─ awake ─── (what was left) ──> renewal
//!                              end of the certificate: refused from waking up to the renewal
//! ```
//!
//! Source: Go's time package (timers are monotonic; Linux's `CLOCK_MONOTONIC` stands still in suspend);
//! istio#21239.
//! Left out: clocks that drift; a replica of istiod on a node that sleeps goes on; what a sleeping node's peers
//! notice is what they notice of pods that stand still, but that its xDS streams end at once.

use super::World;
use super::event::Event;
use super::state::Life;
use super::streams::XdsStream;
use crate::kernel::queue::Ticket;
use crate::kernel::time::Time;
use crate::plan::identity::IdentityChange;
use crate::plan::timeline::{Action, PodSet};
use crate::plan::universe::{NodeId, WorkloadId};
use crate::vocabulary::cause::CauseId;
use std::collections::BTreeMap;

/// Differences from the true time, in nanoseconds, with what made them.
#[derive(Default)]
pub(crate) struct Clocks {
    pub(super) nodes: BTreeMap<NodeId, (i64, Option<CauseId>)>,
    workloads: BTreeMap<WorkloadId, (i64, Option<CauseId>)>,
    istiod: Vec<(i64, Option<CauseId>)>,
    /// Pods that sleep.
    asleep: BTreeMap<u32, Sleep>,
    /// Why pods have slept.
    slept: BTreeMap<u32, CauseId>,
}

struct Sleep {
    since: Time,
    birth: u32,
    /// When its next renewal would have been.
    due: Option<Time>,
}

impl Clocks {
    /// By how much a replica's clock is ahead, if an event has set it.
    pub(super) fn of_replica(&self, replica: u32) -> i64 {
        self.istiod.get(replica as usize).map_or(0, |one| one.0)
    }

    /// What starts again sleeps no more.
    pub(super) fn forget(&mut self, pod: u32) {
        self.asleep.remove(&pod);
    }

    /// Whether somebody's clock is wrong.
    pub(super) fn are_off(&self) -> bool {
        !self.nodes.is_empty()
            || !self.workloads.is_empty()
            || self.istiod.iter().any(|one| one.0 != 0)
    }

    pub(super) fn is_asleep(&self, pod: u32) -> bool {
        self.asleep.contains_key(&pod)
    }

    pub(super) fn sleep_cause(&self, pod: u32) -> Option<CauseId> {
        self.slept.get(&pod).copied()
    }

    /// What has set the clock of a replica that is not right.
    pub(super) fn istiod_cause(&self) -> Option<CauseId> {
        self.istiod.iter().find(|one| one.0 != 0).and_then(|one| one.1)
    }
}

impl World<'_> {
    fn clock_with_cause(&self, pod: u32) -> (i64, Option<CauseId>) {
        let clocks = &self.control.clocks;
        if clocks.nodes.is_empty() && clocks.workloads.is_empty() {
            return (0, None);
        }
        let pod = &self.pods[pod as usize];
        // A ztunnel's clock is its node's.
        let of_workload = clocks.workloads.get(&pod.workload).filter(|_| !pod.is_of_ztunnel());
        of_workload.or(clocks.nodes.get(&pod.node)).copied().unwrap_or_default()
    }

    /// By how many nanoseconds the clock that a pod sees is ahead.
    pub(super) fn clock_of(&self, pod: u32) -> i64 {
        self.clock_with_cause(pod).0
    }

    /// What made a pod's clock wrong, if it is.
    pub(super) fn clock_cause(&self, pod: u32) -> Option<CauseId> {
        let (ahead, cause) = self.clock_with_cause(pod);
        cause.filter(|_| ahead != 0)
    }

    /// By how many nanoseconds the clock of a replica of istiod is ahead.
    pub(super) fn clock_of_istiod(&self, replica: u32) -> i64 {
        self.control.clocks.of_replica(replica)
    }

    /// Clocks show what the events in force say: of several, the last one holds.
    pub(super) fn tell_clocks(&mut self) {
        let count = self.control.replicas.len();
        let mut istiod = vec![(0, None); count];
        let (mut nodes_now, mut workloads_now) = (BTreeMap::new(), BTreeMap::new());
        for (action, cause) in self.in_force() {
            let Action::Identity(IdentityChange::Clock { nodes, workloads, istiod: share, skew }) =
                action
            else {
                continue;
            };
            nodes_now.extend(nodes.iter().map(|node| (*node, (skew.ns(), cause))));
            workloads_now.extend(workloads.iter().map(|one| (*one, (skew.ns(), cause))));
            let affected = (0..count).take_while(|one| (*one as f64) < count as f64 * share);
            affected.for_each(|one| istiod[one] = (skew.ns(), cause));
        }
        let clocks = &mut self.control.clocks;
        (clocks.nodes, clocks.workloads, clocks.istiod) = (nodes_now, workloads_now, istiod);
        self.check();
        self.conditions_changed();
    }

    // === sleep ===

    pub(super) fn suspend(
        &mut self,
        nodes: &[NodeId],
        begins: bool,
        cause: Option<CauseId>,
        until: Option<Time>,
    ) {
        let all = |node: &NodeId| [self.pods_on(node.0), self.records_on(*node)].concat();
        let pods: Vec<u32> = nodes.iter().flat_map(all).collect();
        if begins {
            for pod in pods {
                self.fall_asleep(pod, cause, until);
            }
            // Its kubelet sleeps, too, and is as silent as one that is away.
            for node in nodes {
                self.fail_kubelet(node.0, true, cause);
            }
        } else {
            self.thaw_pods();
            for pod in pods {
                self.wake_up(pod);
            }
            for node in nodes {
                self.fail_kubelet(node.0, false, cause);
            }
        }
    }

    fn fall_asleep(&mut self, index: u32, cause: Option<CauseId>, until: Option<Time>) {
        let pod = &self.pods[index as usize];
        if pod.life == Life::Down || self.control.clocks.is_asleep(index) {
            return;
        }
        let set = PodSet::One(pod.workload, pod.ordinal);
        self.freeze_pods(&set, until);
        self.lose_stream(index);
        let now = self.now;
        let pod = &mut self.pods[index as usize];
        pod.stream_ticket = Ticket::NONE;
        pod.stream_is_parked = false;
        let is_waiting = pod.renewal != Ticket::NONE || pod.csr_is_parked;
        let due = match (&pod.csr, &pod.leaf) {
            (Some(csr), _) => Some(csr.next_try().max(now)),
            (None, Some(leaf)) => Some(leaf.renew_at),
            (None, None) => None,
        };
        let sleep = Sleep { since: now, birth: pod.birth, due: due.filter(|_| is_waiting) };
        pod.renewal = Ticket::NONE;
        pod.csr_is_parked = false;
        self.control.clocks.asleep.insert(index, sleep);
        if let Some(cause) = cause {
            self.control.clocks.slept.insert(index, cause);
        }
    }

    fn wake_up(&mut self, index: u32) {
        let Some(sleep) = self.control.clocks.asleep.remove(&index) else { return };
        let pod = &mut self.pods[index as usize];
        if pod.birth != sleep.birth || matches!(pod.life, Life::Down | Life::Gone) {
            return;
        }
        if let Some(due) = sleep.due {
            let at = due.saturating_add(self.now.since(sleep.since)).max(self.now);
            if let Some(leaf) = pod.leaf.as_mut().filter(|_| pod.csr.is_none()) {
                leaf.renew_at = at;
            }
            if at < self.end {
                pod.renewal = self.queue.at(at, Event::Renew(index).pack());
            }
        }
        if self.pods[index as usize].stream == XdsStream::Waiting {
            self.try_stream(index);
        }
    }
}
