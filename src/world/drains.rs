//! Nodes that are drained: cordoned, then cleared by evictions as far as budgets allow.
//!
//! An eviction that a `PodDisruptionBudget` forbids is tried again every five seconds, until another
//! pod of the workload is ready elsewhere, or for ever. The node is uncordoned when the event ends.
//! A budget is asked by evictions only: rolling updates, deletions and dead nodes do not ask it.
//!
//! Source: kubectl `pkg/drain`; kubernetes `pkg/registry/core/pod/storage/eviction.go`
//! (`IfHealthyBudget`); the parameter `kubernetes.eviction_retry`.
//! Left out: pods of istiod, which stand on nodes but are none; the timeout of `kubectl drain`.

use super::World;
use super::event::Event;
use super::state::Life;
use crate::kernel::queue::Ticket;
use crate::plan::universe::NodeId;
use crate::vocabulary::cause::CauseId;
use crate::vocabulary::fact::FactKind;

/// A node that is drained.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drain {
    /// Events that have it so.
    count: u32,
    ticket: Ticket,
    cause: Option<CauseId>,
}

impl World<'_> {
    pub(super) fn drain_nodes(&mut self, nodes: &[NodeId], begins: bool, cause: Option<CauseId>) {
        // All are cordoned before any is cleared.
        for node in nodes {
            if begins {
                let fresh = Drain { count: 0, ticket: Ticket::NONE, cause };
                self.kubernetes.drains.entry(node.0).or_insert(fresh).count += 1;
                self.nodes.closed.insert(node.0);
                continue;
            }
            let Some(drain) = self.kubernetes.drains.get_mut(&node.0) else { continue };
            drain.count -= 1;
            if drain.count == 0 {
                self.kubernetes.drains.remove(&node.0);
                self.node_is_back(node.0);
            }
        }
        if begins {
            for node in nodes {
                self.clear_node(node.0);
            }
        }
    }

    /// Evictions that were forbidden are tried again.
    pub(super) fn evict_again(&mut self, node: u32, ticket: Ticket) {
        if self.kubernetes.drains.get(&node).is_none_or(|drain| drain.ticket != ticket) {
            return self.stale();
        }
        self.clear_node(node);
    }

    fn clear_node(&mut self, node: u32) {
        let Some(cause) = self.kubernetes.drains.get(&node).map(|drain| drain.cause) else {
            return;
        };
        let mut left = 0;
        for pod in self.pods_on(node) {
            if self.pods[pod as usize].life == Life::Terminating {
                continue;
            }
            if self.may_evict(pod) {
                let workload = self.pods[pod as usize].workload;
                self.workloads[workload.index()].cause = cause;
                self.terminate(pod);
                self.reconcile(workload);
            } else {
                left += 1;
                self.fact_of(FactKind::EvictionRefused, pod, |_| {
                    "it would violate the pod's disruption budget".to_owned()
                });
            }
        }
        let again = self.plan.parameters.kubernetes.eviction_retry;
        let ticket = match left {
            0 => Ticket::NONE,
            _ => self.queue.after(
                again.max(crate::kernel::time::Duration::from_ms(100)),
                Event::EvictAgain(node).pack(),
            ),
        };
        if let Some(drain) = self.kubernetes.drains.get_mut(&node) {
            drain.ticket = ticket;
        }
    }

    /// Whether the API server lets a pod be evicted.
    fn may_evict(&self, index: u32) -> bool {
        if !self.api_server_is_up() {
            return false;
        }
        let pod = &self.pods[index as usize];
        let Some(budget) = self.plan.pods.get(&pod.workload).and_then(|rules| rules.budget) else {
            return true;
        };
        let state = &self.workloads[pod.workload.index()];
        let healthy = u32::try_from(state.ready.len()).unwrap_or(u32::MAX);
        let needed = budget.healthy_min(state.deployment.wanted);
        // One that is not ready may go if the others are enough.
        if pod.life == Life::Ready { needed < healthy } else { needed <= healthy }
    }
}
