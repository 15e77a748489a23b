//! The events that are not steps of every request: each arm is one call.
//!
//! Source: ARCHITECTURE.md, "How an event travels".
//! Left out: the steps of requests, which stand in the loop.

use super::World;
use super::event::Event;
use crate::kernel::queue::Ticket;

impl World<'_> {
    /// One of the events that are not steps of every request.
    #[inline(never)]
    pub(super) fn seldom(&mut self, event: Event, ticket: Ticket) {
        match event {
            Event::UserReturns(call) => self.user_returns(call),
            Event::Shared(pod) => self.shared(pod, ticket),
            Event::RouteTimeout(call) => self.route_timeout(call),
            Event::ClientTimeout(request) => self.client_timeout(request),
            Event::SendAgain(request) => self.send_again(request),
            Event::PerTryTimeout(attempt) => self.per_try_timeout(attempt),
            Event::StreamIdle(call) => self.stream_idle(call),
            Event::RareCall(call) => self.rare_call(call, ticket),
            Event::Body(attempt) => self.body(attempt),
            Event::Leave(attempt) => self.leave(attempt),
            Event::Deadline(call) => self.deadline(call),

            Event::Syn(connection) => self.syn(connection),
            Event::Connected(connection) => self.connected(connection),
            Event::ConnectTimeout(connection) => self.connect_timeout(connection),
            Event::IdleTimeout(connection) => self.idle_timeout(connection),
            Event::ServerIdle(connection) => self.server_idle(connection),
            Event::Fin(connection) => self.fin(connection),
            Event::Churn(connection) => self.churn(connection, ticket),
            Event::WorkloadWait(connection) => self.workload_wait(connection),
            Event::OutlierTick(upstream) => self.outlier_tick(upstream),
            Event::HealthTold(upstream) => self.health_told(upstream),
            Event::Reopen(demand) => self.reopen(demand),
            Event::HealthCheck(check) => self.health_check(check, ticket),

            Event::FailFast(timer)
            | Event::Reconnect(timer)
            | Event::Lookup(timer)
            | Event::Probation(timer)
            | Event::PolicyTold(timer)
            | Event::AppFailFast(timer)
            | Event::AppConnect(timer)
            | Event::Detected(timer)
            | Event::Forget(timer) => self.linkerd_is_due(timer),

            Event::Failover(index) => self.write_failover(index),

            Event::Renew(pod) => self.renew(pod, ticket),
            Event::Issued(pod) => self.issued(pod, ticket),
            Event::Expire(pod) => self.expire(pod, ticket),
            Event::RootCheck(replica) => self.root_check(replica, ticket),
            Event::Stream(pod) => self.open_stream(pod, ticket),
            Event::StreamAge(pod) => self.stream_age(pod, ticket),
            Event::KeepAliveOver(pod) => self.keepalive_over(pod, ticket),
            Event::ChainEnd(_) => self.review_calm(),
            Event::Autoscale(_) => self.autoscale(),
            Event::Admitted(pod) => self.admitted(pod, ticket),
            Event::FetchTimeout(pod) => self.fetch_timeout(pod),
            Event::DrainOver(pod) => self.drain_is_over(pod),
            Event::OverloadLook(pod) => self.overload_look(pod, ticket),
            Event::Watch(_) => self.watch(),
            Event::Debounce(replica) => self.debounce(replica),
            Event::PushReady(replica) => self.push_ready(replica, ticket),
            Event::Pushed(pod) => self.pushed(pod),
            Event::ReplicaReady(replica) => self.replica_ready(replica, ticket),

            Event::Begin(index) => self.begin(index),
            Event::End(index) => self.finish_event(index),
            Event::Condition(watch) => self.condition(watch),
            Event::Interval(_) => self.interval(),
            Event::ReadGauges(_) => self.read_gauges(),
            Event::Window(_) => self.window(ticket),
            event => self.of_pods(event, ticket),
        }
    }

    /// What happens to pods, and what Kubernetes does.
    fn of_pods(&mut self, event: Event, ticket: Ticket) {
        match event {
            Event::CreatePod(workload) => self.create_pod(workload, ticket),
            Event::Started(pod) => self.started(pod, ticket),
            Event::Ready(pod) => self.ready(pod, ticket),
            Event::Sigterm(pod) => self.sigterm(pod, ticket),
            Event::ProxyExit(pod) => self.proxy_exit(pod, ticket),
            Event::Sigkill(pod) => self.sigkill(pod),
            Event::StartupFailed(pod) => self.startup_failed(pod),
            Event::AppStart(pod) => self.app_start(pod, ticket),
            Event::Probe(slot) => self.probe(slot, ticket),
            Event::ProbeTimeout(slot) => self.probe_timeout(slot, ticket),
            Event::EvictAgain(node) => self.evict_again(node, ticket),
            Event::ScaleWorkload(workload) => self.scale_workload(workload),
            Event::Reviewed(workload) => self.reviewed(workload, ticket),
            Event::CreateIstiod(_) => self.create_istiod(ticket),
            Event::TokenOver(pod) => self.token_over(pod, ticket),
            Event::TokenRotated(pod) => self.token_rotated(pod, ticket),
            Event::ServingOver(replica) => self.serving_over(replica),
            Event::IssuerReload(replica) => self.load_issuer(replica, false),
            Event::Check(_) => self.check_again(),
            Event::PolicyWatch(workload) => self.policy_watched(workload),
            Event::BootWarning(pod) => self.boot_warning(pod, ticket),
            Event::NodeLost(node) => self.node_lost(node, ticket),
            Event::Evict(node) => self.evict(node, ticket),
            _ => unreachable!("a step of a request"),
        }
    }
}
