//! Nodes that lose power, are given up, and come back.
//!
//! ```text
//! power gone ── node grace ── no endpoints ── eviction after ── pods replaced elsewhere
//! ```
//!
//! Source: Kubernetes' node life-cycle controller; see the parameters `kubernetes.*`.
//! Left out: nodes that are cordoned or drained, which stand in `drains`.

use super::World;
use super::event::Event;
use super::state::Life;
use super::streams::XdsStream;
use crate::kernel::queue::Ticket;
use crate::plan::universe::NodeId;
use crate::vocabulary::cause::CauseId;

impl World<'_> {
    pub(super) fn fail_nodes(&mut self, nodes: &[NodeId], fails: bool, cause: Option<CauseId>) {
        for node in nodes {
            match (fails, self.nodes.fail(*node, fails)) {
                (true, 1) => {
                    self.nodes.cause = cause;
                    self.lose_power(node.0, cause);
                }
                (false, 0) => {
                    self.nodes.lost_ticket[node.index()] = Ticket::NONE;
                    self.return_ztunnel(*node);
                    for pod in self.pods_on(node.0) {
                        self.return_power(pod);
                    }
                    self.node_is_back(node.0);
                    self.expect_silence(node.0);
                }
                _ => {}
            }
        }
        self.network_changed();
    }

    /// A node's pods are gone without a word: connections to them hang, endpoints stay.
    fn lose_power(&mut self, node: u32, cause: Option<CauseId>) {
        self.lose_ztunnel(NodeId(node));
        let grace = self.plan.parameters.kubernetes.node_grace;
        self.nodes.lost_ticket[node as usize] =
            self.queue.after(grace, Event::NodeLost(node).pack());
        for index in self.pods_on(node) {
            let pod = &mut self.pods[index as usize];
            pod.down_cause = cause;
            pod.proxy_is_up = false;
            pod.stream_ticket = Ticket::NONE;
            pod.stream_is_parked = false;
            self.lose_stream(index);
            self.pods[index as usize].stream = XdsStream::Off;
            self.pods[index as usize].stream_ticket = Ticket::NONE;
            self.pods[index as usize].stream_is_parked = false;
            self.stop_app(index);
            self.drop_calls(index);
            self.close_connections_from(index);
            let pod = &mut self.pods[index as usize];
            pod.birth += 1;
            pod.leaf = None;
            pod.renewal = Ticket::NONE;
            pod.expiry = Ticket::NONE;
            pod.csr = None;
            pod.csr_is_parked = false;
            self.recount(index);
        }
    }

    /// The node is back: its pods start again.
    fn return_power(&mut self, index: u32) {
        self.close_connections_to(index);
        if self.pods[index as usize].life == Life::Terminating {
            return;
        }
        self.stop_pod(index, Life::Down);
        if self.kubernetes.crashed.has(index) {
            // An event keeps it away, power or not.
            self.pods[index as usize].down_cause = self.kubernetes.crashed.cause(index);
        } else {
            self.restart_pod(index);
        }
    }

    /// A node was silent for long: its pods are no endpoints any more.
    pub(super) fn node_lost(&mut self, node: u32, ticket: Ticket) {
        if self.nodes.lost_ticket[node as usize] != ticket {
            return self.stale();
        }
        if self.node_waits(node) {
            return;
        }
        let is_dead = self.nodes.is_dead(NodeId(node));
        if !is_dead {
            self.lose_kubelet(node);
        }
        for index in if is_dead { self.pods_on(node) } else { Vec::new() } {
            let was_ready = self.leave_service(index);
            let pod = &mut self.pods[index as usize];
            let (workload, cause) = (pod.workload, pod.down_cause);
            // Those that were about to start are as lost.
            if pod.life != Life::Terminating {
                pod.life_ticket = Ticket::NONE;
                self.set_life(index, Life::Down);
            }
            if was_ready {
                self.endpoints_changed(workload, cause);
            }
        }
        let after = self.plan.parameters.kubernetes.eviction_after;
        self.nodes.lost_ticket[node as usize] = self.queue.after(after, Event::Evict(node).pack());
    }

    /// A lost node's pods are evicted: their deployments replace them elsewhere.
    pub(super) fn evict(&mut self, node: u32, ticket: Ticket) {
        if self.nodes.lost_ticket[node as usize] != ticket {
            return self.stale();
        }
        if self.node_waits(node) {
            return;
        }
        self.nodes.lost_ticket[node as usize] = Ticket::NONE;
        let is_dead = self.nodes.is_dead(NodeId(node));
        for pod in self.pods_on(node) {
            if !is_dead && self.pods[pod as usize].life != Life::Terminating {
                // Deleted, though nobody is there who would end it.
                let workload = self.pods[pod as usize].workload;
                self.workloads[workload.index()].cause = self.pods[pod as usize].down_cause;
                self.terminate(pod);
                self.reconcile(workload);
            }
            if self.pods[pod as usize].life == Life::Down {
                self.set_life(pod, Life::Gone);
                self.release_pod(pod);
                self.forget_starts(pod);
                let workload = self.pods[pod as usize].workload;
                self.workloads[workload.index()].cause = self.pods[pod as usize].down_cause;
                self.reconcile(workload);
            }
        }
    }

    /// Pods of a node that are not gone.
    pub(super) fn pods_on(&self, node: u32) -> Vec<u32> {
        let all = self.nodes.pods[node as usize].iter().copied();
        all.filter(|index| self.pods[*index as usize].life != Life::Gone).collect()
    }
}
