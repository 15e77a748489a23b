//! Apps that exit whenever they start, because an event says so.
//!
//! Those of whole workloads take the pods that are born meanwhile, too: a bad image.
//!
//! Source: `plan::pods`, `CrashLoop`; how long each stays down stands in `kubelet`.
//! Left out: apps that run for a while before they exit.

use super::World;
use super::state::Life;
use crate::kernel::time::Time;
use crate::plan::pods::ClusterAction;
use crate::plan::timeline::{Action, PodSet};
use crate::vocabulary::cause::CauseId;

/// An app's crash loop, by the event that makes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct InLoop {
    pub cause: Option<CauseId>,
}

impl World<'_> {
    /// Whether a proxy with an agent is beside the app.
    pub(super) fn has_agent(&self, index: u32) -> bool {
        self.pods[index as usize].has_sidecar && !self.control.replicas.is_empty()
    }

    /// Whether an event keeps a pod's app from running: all of the pod, the app, or whatever starts of it.
    pub(super) fn app_is_held(&self, index: u32) -> bool {
        let kubernetes = &self.kubernetes;
        kubernetes.crashed.has(index)
            || kubernetes.crashed_apps.has(index)
            || self.crash_loop_of(index).is_some()
    }

    /// The crash loop that a pod's app is in, if it is in any: it holds the pod, or the pod was born while all of its
    /// workload crash.
    pub(super) fn crash_loop_of(&self, index: u32) -> Option<InLoop> {
        if self.kubernetes.crashing.has(index) {
            return Some(InLoop { cause: self.kubernetes.crashing.cause(index) });
        }
        let workload = self.pods[index as usize].workload;
        let all = |action: &Action| match action {
            Action::Cluster(ClusterAction::CrashLoop(PodSet::Of(all, share))) => {
                1.0 <= *share && all.contains(&workload)
            }
            _ => false,
        };
        self.in_force().find(|(action, _)| all(action)).map(|(_, cause)| InLoop { cause })
    }

    /// The app of a pod that runs, and that no event holds any more, is there again; in a crash loop it exits.
    pub(super) fn free_app(&mut self, index: u32) {
        let pod = &self.pods[index as usize];
        let is_running = matches!(pod.life, Life::Ready | Life::WaitingForProxy);
        if !is_running || self.nodes.is_dead(pod.node) || !self.app_has_begun(index) {
            return;
        }
        if let Some(InLoop { cause }) = self.crash_loop_of(index) {
            self.pods[index as usize].down_cause = cause;
            return self.end_app(index, "it exits");
        }
        if !self.app_is_held(index) {
            self.pods[index as usize].app_is_up = true;
            self.serve_if_good(index);
        }
    }

    /// Apps exit, and whenever they start; or do no more.
    pub(super) fn crash_apps(
        &mut self,
        set: &PodSet,
        begins: bool,
        cause: Option<CauseId>,
        until: Option<Time>,
    ) {
        if !begins {
            self.kubernetes.crashing.release(cause, self.now);
            return;
        }
        for index in self.pods_of(set) {
            self.kubernetes.crashing.take(index, cause, until);
            if self.pods[index as usize].app_is_up {
                self.pods[index as usize].down_cause = cause;
                self.end_app(index, "it exits");
            }
        }
    }
}
