//! What a proxy's balancers are told of the health of endpoints, and when.
//!
//! Source: `model::proxy::merge_window`.
//! Left out: that a push which no request has met yet would have told, too; an upstream catches up at
//! its next use.

use super::World;
use super::event::Event;
use crate::model::proxy::merge_window::Delivery;

impl World<'_> {
    /// Somebody was ejected or came back: the census counts, the balancer hears of it in time.
    pub(super) fn health_changed(&mut self, index: u32) {
        self.count_ejected(index);
        self.merge_health(index);
    }

    /// Counts who is ejected, told or not.
    pub(super) fn count_ejected(&mut self, index: u32) {
        let upstream = &mut self.upstreams[index as usize];
        let before = std::mem::replace(&mut upstream.ejected, 0);
        upstream.ejected = upstream.recount_ejected();
        self.census.ejected = self.census.ejected + upstream.ejected - before;
    }

    /// Health or weights changed, and nothing else.
    pub(super) fn merge_health(&mut self, index: u32) {
        let now = self.clock.time(self.now);
        let upstream = &mut self.upstreams[index as usize];
        match upstream.merge.change(upstream.policy.merge_window, now) {
            Delivery::Now => self.tell_health(index),
            Delivery::At(due) => {
                let at = self.clock.instant(due).max(self.now);
                self.queue.at(at, Event::HealthTold(index).pack());
            }
            Delivery::Waits => {}
        }
    }

    /// The window has passed.
    pub(super) fn health_told(&mut self, index: u32) {
        let now = self.clock.time(self.now);
        let merge = &mut self.upstreams[index as usize].merge;
        // An update with other endpoints may have told it already.
        let Some(due) = merge.due() else { return self.stale() };
        if self.clock.is_stopped() || now < due {
            // The clock of traffic has stood still meanwhile.
            return self.put_tick_off(Event::HealthTold(index), due);
        }
        merge.tell(now);
        self.tell_health(index);
    }

    /// The balancers know what is now.
    pub(super) fn tell_health(&mut self, index: u32) {
        let upstream = &mut self.upstreams[index as usize];
        for host in &mut upstream.hosts {
            host.is_left_out = host.health.is_ejected();
        }
        upstream.list_usable();
        self.refresh_balance(index);
    }
}
