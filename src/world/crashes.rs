//! Apps that exit whenever they start, because an event says so.
//!
//! Those of whole workloads take the pods that are born meanwhile, too: a bad image.
//!
//! Source: `plan::pods`, `CrashLoop`; how long each stays down stands in `kubelet`.
//! Left out: apps that run for a while before they exit.

use super::World;
use crate::kernel::time::Time;
use crate::plan::pods::ClusterAction;
use crate::plan::timeline::{Action, PodSet};
use crate::vocabulary::cause::CauseId;

impl World<'_> {
    /// Whether a pod was born while all of its workload crash.
    pub(super) fn is_born_to_crash(&mut self, index: u32) -> bool {
        let workload = self.pods[index as usize].workload;
        let all = |action: &Action| match action {
            Action::Cluster(ClusterAction::CrashLoop(PodSet::Of(all, share))) => {
                1.0 <= *share && all.contains(&workload)
            }
            _ => false,
        };
        let Some((_, cause)) = self.in_force().find(|(action, _)| all(action)) else {
            return false;
        };
        self.kubernetes.crashing.take(index, cause, None);
        true
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
