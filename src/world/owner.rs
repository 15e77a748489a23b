//! Whom an event is about: the digest of a run is folded from it.
//!
//! Source: `kernel/digest`; names, not places in tables, so that what is idle changes nothing.
//! Left out: what is told of an event to people, which stands in the journal.

use super::World;
use super::event::Event;

impl World<'_> {
    /// The hash of the name of the one that an event is about.
    pub(super) fn owner_hash(&self, event: Event) -> u64 {
        let pod = |pod: u32| self.pods[pod as usize].hash;
        match event {
            Event::UserReturns(user) => u64::from(user),
            Event::Arrive(source) => self.sources[source as usize].hash,
            Event::RouteTimeout(call)
            | Event::StreamIdle(call)
            | Event::Routed(call)
            | Event::BackedOff(call)
            | Event::Deadline(call)
            | Event::Answered(call) => self.calls.at(call).map_or(0, |(_, call)| call.key.0),
            Event::PerTryTimeout(attempt)
            | Event::Reach(attempt)
            | Event::Enter(attempt)
            | Event::Worked(attempt)
            | Event::Return(attempt)
            | Event::Body(attempt)
            | Event::Leave(attempt)
            | Event::Reset(attempt) => {
                self.attempts.at(attempt).map_or(0, |(_, attempt)| pod(attempt.pod))
            }
            Event::Syn(connection)
            | Event::Connected(connection)
            | Event::ConnectTimeout(connection)
            | Event::IdleTimeout(connection)
            | Event::ServerIdle(connection)
            | Event::Fin(connection)
            | Event::WorkloadWait(connection)
            | Event::Churn(connection) => {
                self.connections.at(connection).map_or(0, |(_, connection)| connection.key.0)
            }
            Event::OutlierTick(upstream) | Event::HealthTold(upstream) => {
                pod(self.upstreams[upstream as usize].pod)
            }
            Event::HealthCheck(check) => {
                let check = self.checks.all.at(check);
                check.map_or(0, |(_, check)| pod(self.upstreams[check.upstream as usize].pod))
            }
            Event::ClientTimeout(request) | Event::SendAgain(request) => {
                self.sends.requests.at(request).map_or(0, |(_, request)| request.owner())
            }
            Event::Shared(index)
            | Event::Renew(index)
            | Event::Issued(index)
            | Event::Expire(index)
            | Event::Stream(index)
            | Event::StreamAge(index)
            | Event::KeepAliveOver(index)
            | Event::Admitted(index)
            | Event::FetchTimeout(index)
            | Event::DrainOver(index)
            | Event::OverloadLook(index)
            | Event::Pushed(index)
            | Event::Started(index)
            | Event::Ready(index)
            | Event::Sigterm(index)
            | Event::ProxyExit(index)
            | Event::StartupFailed(index)
            | Event::AppStart(index)
            | Event::TokenOver(index)
            | Event::TokenRotated(index)
            | Event::BootWarning(index)
            | Event::Sigkill(index) => pod(index),
            Event::Probe(slot) | Event::ProbeTimeout(slot) => pod(slot / 2),
            event => self.place_hash(event),
        }
    }

    /// The same of those that are about no request and no pod.
    fn place_hash(&self, event: Event) -> u64 {
        match event {
            Event::Debounce(replica)
            | Event::PushReady(replica)
            | Event::ReplicaReady(replica)
            | Event::ServingOver(replica)
            | Event::IssuerReload(replica)
            | Event::RootCheck(replica) => self.control.replicas[replica as usize].hash,
            Event::CreatePod(workload)
            | Event::ScaleWorkload(workload)
            | Event::PolicyWatch(workload)
            | Event::Reviewed(workload) => self.workloads[workload as usize].hash,
            Event::NodeLost(node) | Event::Evict(node) | Event::EvictAgain(node) => {
                self.nodes.hash(node)
            }
            Event::Begin(index) | Event::End(index) => self.timeline.hash(index),
            Event::Condition(index) => self.timeline.hash(self.recorder.watches[index as usize].0),
            Event::FailFast(timer)
            | Event::Reconnect(timer)
            | Event::Lookup(timer)
            | Event::Probation(timer)
            | Event::PolicyTold(timer)
            | Event::Forget(timer) => self.owner_of_timer(timer),
            Event::Failover(index) => {
                self.linkerd.as_ref().map_or(0, |own| own.failovers.hash(index))
            }
            Event::RareCall(call) => self.rare_hash(call),
            Event::Reopen(demand) => self.demand_hash(demand),
            _ => 0,
        }
    }
}
