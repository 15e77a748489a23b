//! Replicas of istiod that come and go with its load.
//!
//! Source: `model::control::autoscaler`. A replica that is new gets the streams that come while it is
//! there: those that end of age elsewhere.
//! Left out: where the pods of istiod are scheduled, and that they need an injector no more than any.

use super::World;
use super::event::Event;
use crate::kernel::time::Duration;
use crate::model::control::autoscaler::SYNC;

impl World<'_> {
    /// istiod at time zero: whether it is calm, and the first look of its autoscaler.
    pub(super) fn begin_control(&mut self) {
        self.expect_chain_ends();
        self.review_calm();
        for index in 0..u32::try_from(self.control.replicas.len()).expect("few replicas") {
            if !self.control.replicas[index as usize].is_wanted {
                self.forget_view(index);
            }
        }
        if self.control.autoscaler.is_some() {
            self.queue.after(SYNC, Event::Autoscale(0).pack());
        }
    }

    /// A replica that is not there holds no version.
    fn forget_view(&mut self, index: u32) {
        self.set_context(index, 0);
        let preparing = &mut self.control.replicas[index as usize].preparing;
        self.config.exchange(preparing, 0);
    }

    /// The autoscaler looks at what replicas have used since its last look.
    pub(super) fn autoscale(&mut self) {
        self.queue.after(SYNC, Event::Autoscale(0).pack());
        let istiod = &self.plan.parameters.istiod;
        let (request, target) = (f64::from(istiod.cpu_request) / 1000.0, istiod.scale_target);
        let (mut sum, mut serving) = (0.0, 0_u32);
        for index in 0..self.control.replicas.len() {
            let used = self.cpu_used(index);
            let replica = &mut self.control.replicas[index];
            let before = std::mem::replace(&mut replica.used_at_look, used);
            if replica.is_wanted && !replica.is_away() {
                let own = Duration::from_ns(used.ns().saturating_sub(before.ns()));
                sum += own.as_s() / SYNC.as_s()
                    + replica.connected.len() as f64 * istiod.cpu_per_proxy;
                serving += 1;
            }
        }
        if serving == 0 {
            return;
        }
        let load = sum / f64::from(serving) / (request * target).max(1e-6);
        let there = self.control.count();
        let now = self.now;
        let Some(autoscaler) = &mut self.control.autoscaler else { return };
        let wanted = autoscaler.look(now, there, load);
        for index in 0..u32::try_from(self.control.replicas.len()).expect("few replicas") {
            let is_wanted = index < wanted;
            let replica = &mut self.control.replicas[index as usize];
            if replica.is_wanted == is_wanted {
                continue;
            }
            replica.is_wanted = is_wanted;
            if is_wanted {
                self.start_replica(index, self.plan.parameters.pod.start_time);
            } else {
                self.stop_replica(index);
                self.forget_view(index);
            }
        }
        if wanted != there {
            self.conditions_changed();
        }
    }
}
