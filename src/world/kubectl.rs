//! A pod as `kubectl get pods` prints it: STATUS and READY.
//!
//! Source: kubectl `pkg/printers/internalversion/printers.go` (`printPod`: the reason of a container that waits or has
//! ended stands for the pod; `Init:n/m` while init containers begin, of which a native sidecar is one); the node
//! life-cycle controller's `MarkPodsNotReady`, which changes a silent node's pods in their condition alone, so that
//! they stay `Running` with as many containers as there were.
//! Left out: `NotReady`, which is for pods with a container that is `Completed`; `Error` in the moment before a restart.

use super::World;
use super::state::Life;
use crate::plan::universe::Role;

impl World<'_> {
    /// STATUS.
    pub(super) fn pod_word(&self, index: u32) -> &'static str {
        let pod = &self.pods[index as usize];
        let kubernetes = &self.kubernetes;
        let backs_off = || kubernetes.containers.get(&index).is_some_and(|one| one.backs_off);
        let waits = || !self.app_has_begun(index) && !pod.proxy_is_up;
        match pod.life {
            Life::Starting if kubernetes.pending.contains(&index) => "Pending",
            Life::Starting | Life::WaitingForProxy if backs_off() => "CrashLoopBackOff",
            Life::Starting => "ContainerCreating",
            // istio-init is done, istio-proxy is not.
            Life::WaitingForProxy if waits() && self.plan.parameters.has_native_sidecars() => {
                "Init:1/2"
            }
            Life::WaitingForProxy if waits() => "PodInitializing",
            // An event keeps it away: whenever its containers start, they end.
            Life::Down if kubernetes.crashed.has(index) => "CrashLoopBackOff",
            Life::Ready | Life::WaitingForProxy if kubernetes.crashed_apps.has(index) => "Error",
            Life::Ready | Life::WaitingForProxy | Life::Down => "Running",
            Life::Terminating => "Terminating",
            Life::Gone => "Deleted",
        }
    }

    /// READY: containers that are, and all.
    pub(super) fn containers_ready(&self, index: u32) -> (u32, u32) {
        let pod = &self.pods[index as usize];
        let has_app = self.plan.universe.workloads[pod.workload.index()].role == Role::App;
        let has_proxy = pod.has_sidecar || !has_app;
        let all = u32::from(has_app) + u32::from(has_proxy);
        let is_silent = self.nodes.is_dead(pod.node);
        match pod.life {
            Life::Starting if !self.restarts_proxy(index) => (0, all),
            Life::Down if self.kubernetes.crashed.has(index) => (0, all),
            Life::Ready | Life::Down if is_silent => (all, all),
            _ => {
                let probe = self.kubernetes.probes.get(&(2 * index));
                let is_good = pod.app_is_up && probe.is_none_or(|probe| probe.health.is_good);
                let ready = u32::from(has_app && is_good) + u32::from(has_proxy && pod.proxy_is_up);
                (ready, all)
            }
        }
    }

    fn restarts_proxy(&self, index: u32) -> bool {
        self.kubernetes.containers.get(&index).is_some_and(|one| one.proxy_only)
    }
}
