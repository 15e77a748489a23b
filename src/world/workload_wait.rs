//! Connections through ztunnels: held while a ztunnel does not know a pod, and what is seen of those that fail.
//!
//! Source: ztunnel `src/proxy.rs:240-250`, `src/state.rs:782`; istio#54889; the parameter `ztunnel.workload_wait`.
//! Left out: which of the two ends has the wait; it is the client's here, before anything is sent.

use super::World;
use super::control::XDS;
use super::event::Event;
use super::pod::Kind;
use super::state::{Connection, Link, NONE};
use crate::kernel::slab::Id;
use crate::vocabulary::cause::CauseKind;
use crate::vocabulary::outcome::Details;

impl World<'_> {
    /// Whether a connection has to wait until a ztunnel knows of one of its ends.
    #[cold]
    pub(super) fn waits_for_workload(&mut self, id: Id<Connection>) -> bool {
        let connection = self.connections[id];
        let client = self.upstreams[connection.upstream as usize].pod;
        let unknown = |pod: &u32| self.ztunnels.unknown.contains_key(pod);
        let waits_for: Vec<u32> = [client, connection.pod].into_iter().filter(unknown).collect();
        if waits_for.is_empty() {
            return false;
        }
        for pod in waits_for {
            self.ztunnels.waiting.entry(pod).or_default().push(id);
        }
        let wait = self.plan.parameters.ztunnel.workload_wait;
        let record = &mut self.connections[id];
        record.link = Link::Held;
        record.pending += 1;
        self.queue.after(wait, Event::WorkloadWait(id.index()).pack());
        true
    }

    /// ztunnel knows a pod: the connections that waited for that go on.
    pub(super) fn free_connections(&mut self, index: u32) {
        for id in self.ztunnels.waiting.remove(&index).unwrap_or_default() {
            let Some(connection) = self.connections.get(id).copied() else { continue };
            let client = self.upstreams[connection.upstream as usize].pod;
            let waits =
                [client, connection.pod].iter().any(|pod| self.ztunnels.unknown.contains_key(pod));
            if connection.link == Link::Held && !waits {
                self.send_syn(id);
            }
        }
    }

    /// A connection has waited for long.
    pub(super) fn workload_wait(&mut self, slot: u32) {
        let Some(id) = self.live_connection(slot) else { return };
        if self.connections[id].link != Link::Held {
            return self.stale();
        }
        let cause = self.caused(CauseKind::StaleConfiguration, self.control.causes[XDS], || {
            "ztunnels have not heard of pods that are new".to_owned()
        });
        self.fail_connection(id, Details::ConnectionTermination, Some(cause));
    }

    /// What is seen of a connection that could not be made: who calls through ztunnel has been connected to that, and
    /// is cut off. So is a gateway or a waypoint, whatever became of the tunnel: its upstream is the internal listener
    /// `connect_originate`, which accepts, and the request is written before the tunnel is there. So it is UC, which is
    /// tried again neither as a failed connection nor as one that nobody has seen.
    ///
    /// Source: 503 UC `connection_termination` of `envoy://connect_originate/…` in the logs of ztunnel#1662 (a gateway
    /// of 1.27.3 and 1.28.0), istio#44948 and istio#53108 (waypoints). UNCONFIRMED: that an address where nobody is
    /// left, whose tunnel is not up within the time of a connection, ends so, too.
    pub(super) fn seen_through_ztunnel(
        &self,
        connection: &Connection,
        details: Details,
    ) -> Details {
        let client = self.upstreams[connection.upstream as usize].pod;
        let is_captured = |pod: u32| pod != NONE && self.pods[pod as usize].kind == Kind::Captured;
        let is_tunnel = connection.pod != NONE && self.ends_tunnels(connection.pod);
        if is_captured(client) || is_tunnel {
            return Details::ConnectionTermination;
        }
        details
    }
}
