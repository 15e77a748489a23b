//! Streams whose packets vanish: noticed when the keepalive has no answer, and not before.
//!
//! ```text
//! cut ── U[0, 30 s): the next ping ── 10 s without an answer ── lost
//! ```
//!
//! A push that is sent into a cut holds its slot until then, or until packets pass again.
//!
//! Source: istio pkg/keepalive/options.go; grpc-go's keepalive.
//! Left out: that both ends ask for themselves; retransmissions, once packets pass again.

use super::World;
use super::event::Event;
use super::streams::XdsStream;
use crate::kernel::queue::Ticket;

impl World<'_> {
    /// Whether packets of a pod's stream vanish.
    pub(super) fn is_black_holed(&self, index: u32) -> bool {
        let pod = &self.pods[index as usize];
        let XdsStream::Connected(replica) = pod.stream else { return false };
        !self.is_connected(pod.node, self.control.replicas[replica as usize].node)
    }

    /// A stream was cut: its end will be noticed. Whether that takes time.
    pub(super) fn is_noticed_late(&mut self, index: u32) -> bool {
        let xds = &self.plan.parameters.xds;
        if xds.keepalive_time.is_zero() {
            return false;
        }
        if !self.control.black_holed.contains_key(&index) {
            let n = u32::try_from(self.now.ns() & 0xffff_ffff).unwrap_or(0);
            let phase = crate::kernel::stream::uniform(self.loop_key(index, 9).draw(0, n));
            let after = xds.keepalive_time.scale(phase) + xds.keepalive_timeout;
            let ticket = self.queue.after(after, Event::KeepAliveOver(index).pack());
            self.control.black_holed.insert(index, ticket);
        }
        true
    }

    /// A ping had no answer in time.
    pub(super) fn keepalive_over(&mut self, index: u32, ticket: Ticket) {
        if self.control.black_holed.get(&index) != Some(&ticket) {
            return self.stale();
        }
        self.control.black_holed.remove(&index);
        if self.is_black_holed(index) {
            self.lose_stream(index);
        }
    }

    /// Packets may pass again: what was to be pushed arrives.
    pub(super) fn leave_black_holes(&mut self) {
        let all: Vec<u32> = self.control.black_holed.keys().copied().collect();
        for index in all {
            if self.is_black_holed(index) {
                continue;
            }
            self.control.black_holed.remove(&index);
            if self.control.stuck.remove(&index) {
                self.pods[index as usize].pushes += 1;
                let delay = self.plan.parameters.network.rto;
                self.queue.after(delay, Event::Pushed(index).pack());
            }
        }
    }
}
