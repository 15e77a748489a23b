//! The access log as the world writes it: only while a run asks for it.
//!
//! Source: `observe::access_log`.
//! Left out: anything on the way of an undisturbed request; its record is written at its end.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use super::World;
use super::state::{Call, Held, Parent};
use crate::kernel::slab::Id;
use crate::observe::access_log::{CallRecord, Counters, Ejected, EjectionRecord, TryRecord};
use crate::vocabulary::outcome::{Details, Outcome};

impl World<'_> {
    /// A call ends with `outcome`.
    #[inline(always)]
    pub(super) fn log_call(&mut self, id: Id<Call>, outcome: Outcome) {
        if self.access.is_some() {
            self.write_call(id, outcome);
        }
    }

    /// A call ends with its proxy, which has closed the connection of its client; a request from outside is
    /// logged as its client sees it.
    #[cold]
    pub(super) fn log_dropped(&mut self, id: Id<Call>, outcome: Outcome) {
        let is_proxied = matches!(self.calls[id].parent, Parent::Proxied(_));
        let own = Outcome::failure(Details::LocalDisconnect);
        self.log_call(id, if is_proxied { own } else { outcome });
    }

    #[cold]
    #[inline(never)]
    fn write_call(&mut self, id: Id<Call>, outcome: Outcome) {
        let call = &self.calls[id];
        if call.held == Held::AtDoor {
            return;
        }
        let pod = self.pods.get(call.pod as usize);
        let upstream = self.upstreams.get(call.upstream as usize);
        let traffic = match call.parent {
            Parent::Traffic(source) | Parent::User(source, _) => Some(source),
            Parent::Sent(request) => self.sends.requests[request].source(),
            // Neither a filter's own request nor a copy is a line of the access log.
            Parent::Authorization(..)
            | Parent::RateLimit(_)
            | Parent::Inbound(_)
            | Parent::Mirrored => return,
            Parent::Visit(..) | Parent::Tied(..) | Parent::Proxied(_) | Parent::Unsimulated => None,
        };
        // Neither a request that found no endpoint has a host, nor one that was refused to wait for a
        // connection to it.
        let is_refused =
            self.access.as_mut().is_some_and(|log| std::mem::take(&mut log.is_refused_to_wait));
        let has_host = outcome.details != Details::NoHealthyUpstream && !is_refused;
        let record = CallRecord {
            proxy: pod.map(|pod| pod.workload),
            traffic,
            began: call.began,
            ended: self.now,
            outcome,
            attempts: u32::from(call.tries),
            host: call.workload.filter(|_| has_host),
            cluster: upstream.map(|upstream| upstream.cluster),
            tries: Vec::new(),
        };
        if let Some(log) = &mut self.access {
            log.call_ended(id.index(), record);
        }
    }

    /// An attempt is over, and another one follows after its back-off.
    #[cold]
    #[inline(never)]
    pub(super) fn log_try(&mut self, id: Id<Call>) {
        if let Some(log) = &mut self.access {
            let Call { began, workload: host, outcome, .. } = self.calls[id];
            log.try_ended(id.index(), TryRecord { began, ended: self.now, host, outcome });
        }
    }

    /// Another attempt begins.
    #[cold]
    #[inline(never)]
    pub(super) fn log_retry(&mut self, id: Id<Call>) {
        self.count(self.calls[id].upstream, |counters| counters.retries += 1);
        if let Some(log) = &mut self.access {
            log.try_begins(id.index(), self.now);
        }
    }

    /// Something is counted at an upstream.
    #[cold]
    #[inline(never)]
    pub(super) fn count(&mut self, upstream: u32, add: impl FnOnce(&mut Counters)) {
        if let Some(log) = &mut self.access {
            let upstream = &self.upstreams[upstream as usize];
            let proxy = self.pods[upstream.pod as usize].workload;
            add(log.counters(proxy, upstream.cluster));
        }
    }

    /// A proxy leaves an endpoint out, or lets it back.
    #[cold]
    #[inline(never)]
    pub(super) fn log_ejection(&mut self, client: u32, endpoint: u32, what: Ejected) {
        let workload = |pod: u32| self.pods[pod as usize].workload;
        let (proxy, host) = (workload(client), workload(endpoint));
        let at = self.now;
        if let Some(log) = &mut self.access {
            log.ejections.push(EjectionRecord { at, proxy, host, what });
        }
    }

    /// The warm-up is over: counters begin anew.
    pub(super) fn restart_log(&mut self) {
        if let Some(log) = &mut self.access {
            log.counters.clear();
            self.upstreams.iter_mut().for_each(|upstream| upstream.panics = 0);
        }
    }

    /// The run is over: what upstreams have counted themselves.
    pub(super) fn complete_log(&mut self) {
        for index in 0..u32::try_from(self.upstreams.len()).expect("fewer than 2^32 upstreams") {
            let panics = u64::from(self.upstreams[index as usize].panics);
            if 0 < panics {
                self.count(index, |counters| counters.panics += panics);
            }
        }
    }
}
