//! Active health checks while running: each proxy asks the endpoints of its clusters how they are.
//!
//! A check is two events: it begins, and it ends with an answer, a failure or its timeout. What will
//! come of it is decided when it begins. An endpoint that fails its checks is unhealthy to its balancer
//! as one that EDS says it of; its connections stay. At time zero every proxy has checked each endpoint
//! once, less than an interval ago. An endpoint that joins later is unhealthy until its first check, which
//! begins at once.
//!
//! A proxy checks the clusters that it can be routed to. Whether a cluster has had traffic is whether it
//! has opened a connection for a request.
//!
//! Source: `model::proxy::health_check`; Envoy's `health_checker_impl.cc`
//! (`close_connections_on_host_health_failure` is off, the interval goes by `upstream_cx_total`); measured
//! on Envoy 1.40 (family e11).
//! Left out: work and waiting in the app that checks cost; that a check fails half way; checks of clusters
//! that a proxy never calls; connections of checks that break between them.

use super::World;
use super::client::purpose;
use super::compiled::CompiledStep;
use super::event::Event;
use super::security::Ends;
use crate::kernel::queue::Ticket;
use crate::kernel::slab::{Id, Slab};
use crate::kernel::stream::{Key, below, uniform};
use crate::kernel::time::{Duration, Time};
use crate::model::identity::handshake::{HandshakeResult, handshake};
use crate::model::proxy::health_check::{Check as Answer, Checked, wait};
use crate::plan::behaviour::{Port, Reply};
use crate::plan::filter::Filter;
use crate::plan::health_check::HealthCheck;
use crate::plan::route::Destination;
use crate::plan::universe::{ClusterId, Role, ServiceId, Step, WorkloadId};
use crate::plan::{Plan, Start};
use crate::vocabulary::fact::FactKind;
use std::collections::BTreeSet;

/// One endpoint as one proxy checks it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Check {
    pub upstream: u32,
    pod: u32,
    state: Checked,
    /// What will come of the check that is under way.
    asked: Option<Answer>,
    /// The last one was answered: its connection is kept.
    is_connected: bool,
    /// Checks so far: names the draws of the next one.
    number: u32,
    next: Ticket,
}

/// All checks, and the upstreams that have some.
#[derive(Default)]
pub(crate) struct Checks {
    pub all: Slab<Check>,
    upstreams: Vec<u32>,
}

/// By workload: the clusters that its proxies check.
pub(super) fn checked_by(plan: &Plan) -> Vec<Vec<ClusterId>> {
    let universe = &plan.universe;
    let mut called: Vec<BTreeSet<ServiceId>> = vec![BTreeSet::new(); universe.workloads.len()];
    if universe.clusters.iter().all(|cluster| cluster.policy.health_check.is_none()) {
        return vec![Vec::new(); called.len()];
    }
    for traffic in &plan.traffic {
        called[traffic.from.index()].insert(traffic.to);
    }
    for (workload, called) in universe.workloads.iter().zip(&mut called) {
        for step in &workload.program {
            match step {
                Step::Forward(to) => called.extend([*to]),
                Step::Onward(ways) => called.extend(ways.values()),
                Step::Calls(calls) => called.extend(calls.iter().map(|call| call.to)),
                Step::Work(_) => {}
            }
        }
        called.extend(workload.filters.iter().chain(&workload.inbound).filter_map(|filter| {
            match filter {
                Filter::ExtAuthz(authz) => Some(authz.service),
                Filter::GlobalRateLimit(limit) => Some(limit.service),
                _ => None,
            }
        }));
    }
    let clusters = |called: BTreeSet<ServiceId>| -> Vec<ClusterId> {
        let tables = universe.routes.iter().filter(|table| called.contains(&table.service));
        let rules = tables.flat_map(|table| &table.rules);
        let to = rules.flat_map(|rule| &rule.split).filter_map(|(to, _)| match to {
            Destination::Cluster(cluster) => Some(*cluster),
            Destination::Missing(_) => None,
        });
        let policy = |id: &ClusterId| &universe.clusters[id.index()].policy;
        let checked: BTreeSet<ClusterId> =
            to.filter(|id| policy(id).health_check.is_some()).collect();
        checked.into_iter().collect()
    };
    called.into_iter().map(clusters).collect()
}

impl<'p> World<'p> {
    // === who is checked ===

    /// The proxies of time zero have checked their endpoints.
    pub(super) fn begin_checks(&mut self) {
        if !self.compiled.has.checks {
            return;
        }
        for pod in 0..self.pods.len() {
            self.start_checks(u32::try_from(pod).expect("few pods"));
        }
    }

    /// A proxy is up: it checks what it can be routed to.
    pub(super) fn start_checks(&mut self, pod: u32) {
        if !self.compiled.has.checks {
            return;
        }
        let record = &self.pods[pod as usize];
        if record.is_of_ztunnel() {
            return;
        }
        let workload = record.workload;
        let role = self.plan.universe.workloads[workload.index()].role;
        if record.is_meshed || role != Role::App {
            for place in 0..self.compiled.checked_by[workload.index()].len() {
                let cluster = self.compiled.checked_by[workload.index()][place];
                let Some(cluster) = self.definition(pod, cluster) else { continue };
                let upstream = self.upstream(pod, cluster);
                self.catch_up(upstream);
            }
        }
    }

    /// The configuration that proxies know changed: of one, or of all.
    pub(super) fn tell_checks(&mut self, of: Option<u32>) {
        for place in 0..self.checks.upstreams.len() {
            let index = self.checks.upstreams[place];
            let pod = self.upstreams[index as usize].pod;
            let is_left = self.upstreams[index as usize].is_left;
            if !is_left && of.is_none_or(|of| of == pod) && self.is_client(pod) {
                self.catch_up(index);
            }
        }
    }

    /// The endpoints of an upstream are another list from now on.
    pub(super) fn follow_checks(&mut self, index: u32, is_first: bool) {
        let upstream = &mut self.upstreams[index as usize];
        if upstream.policy.health_check.is_none() {
            return;
        }
        let old = std::mem::take(&mut upstream.checks);
        let (cluster, version) = (upstream.cluster, upstream.version);
        let list = self.config.endpoints(cluster, version).to_vec();
        for (pod, id) in &old {
            if list.binary_search(pod).is_err() {
                self.checks.all.remove(*id);
            }
        }
        let mut checks = Vec::with_capacity(list.len());
        for pod in list {
            let id = match old.binary_search_by_key(&pod, |(pod, _)| *pod) {
                Ok(place) => old[place].1,
                Err(_) => self.check_anew(index, pod, is_first),
            };
            checks.push((pod, id));
        }
        self.memory.grow(checks.len() * (size_of::<Check>() + size_of::<(u32, Id<Check>)>()));
        self.upstreams[index as usize].checks = checks;
        if let Err(place) = self.checks.upstreams.binary_search(&index) {
            self.checks.upstreams.insert(place, index);
        }
    }

    /// An endpoint is checked from now on; with the first list it has been, while the cluster warmed.
    fn check_anew(&mut self, index: u32, pod: u32, is_first: bool) -> Id<Check> {
        let id = self.checks.all.insert(Check {
            upstream: index,
            pod,
            state: Checked::default(),
            asked: None,
            is_connected: false,
            number: 0,
            next: Ticket::NONE,
        });
        let Some(policy) = self.check_policy(index) else { return id };
        let key = self.check_key(id);
        let first = if is_first {
            let (answer, _) = self.ask(id, policy);
            self.conclude(id, policy, answer);
            // A moment ago: less than an interval.
            let gone = if self.now == Time::ZERO {
                Duration::from_ns(below_of(policy.interval, key.draw(0, PHASE)))
            } else {
                Duration::ZERO
            };
            let has_traffic = self.now == Time::ZERO && self.plan.start == Start::Stationary;
            let wait = wait(policy, has_traffic, key.draw(0, INTERVAL));
            Duration::from_ns(wait.ns().saturating_sub(gone.ns()))
        } else {
            Duration::from_ns(below_of(policy.initial_jitter, key.draw(0, PHASE)))
        };
        self.check_after(id, first);
        id
    }

    /// A proxy is gone, and with it what it thinks of the endpoints of an upstream.
    pub(super) fn stop_checks(&mut self, index: u32) {
        for (_, id) in std::mem::take(&mut self.upstreams[index as usize].checks) {
            self.checks.all.remove(id);
        }
    }

    /// Whether an upstream's endpoint fails its checks.
    pub(super) fn fails_checks(&self, index: u32, pod: u32) -> bool {
        let checks = &self.upstreams[index as usize].checks;
        let place = checks.binary_search_by_key(&pod, |(pod, _)| *pod);
        place.is_ok_and(|place| !self.checks.all[checks[place].1].state.is_healthy())
    }

    // === a check ===

    /// A check begins or ends.
    pub(super) fn health_check(&mut self, slot: u32, ticket: Ticket) {
        let Some((id, check)) = self.checks.all.at(slot) else { return self.stale() };
        let index = check.upstream;
        let (asked, client) = (check.asked, self.upstreams[index as usize].pod);
        let policy = self.check_policy(index).filter(|_| check.next == ticket);
        let Some(policy) = policy else { return self.stale() };
        if let Some(later) = self.thaws_at(client, false) {
            return self.check_after(id, later.since(self.now));
        }
        let Some(answer) = asked else {
            let (answer, after) = self.ask(id, policy);
            self.checks.all[id].asked = Some(answer);
            return self.check_after(id, after);
        };
        if self.conclude(id, policy, answer) {
            let check = self.checks.all[id];
            let is_healthy = check.state.is_healthy();
            if is_healthy {
                self.is_new_again(index, check.pod);
            } else {
                let hosts = &self.upstreams[index as usize].hosts;
                if let Some(slot) =
                    hosts.iter().position(|host| host.pod == check.pod && host.is_member)
                {
                    self.drain_endpoint(index, u32::try_from(slot).expect("few endpoints"));
                }
            }
            let kind =
                if is_healthy { FactKind::EndpointHealthy } else { FactKind::EndpointUnhealthy };
            self.health_changed(index);
            self.fact_of(kind, check.pod, |world| format!("to {}", world.pod_name(client)));
        }
        let has_traffic = self.upstreams[index as usize].opened != 0;
        let draw = self.check_key(id).draw(self.checks.all[id].number, INTERVAL);
        self.check_after(id, wait(policy, has_traffic, draw));
    }

    /// A check has ended; whether the endpoint's health changed.
    fn conclude(&mut self, id: Id<Check>, policy: &HealthCheck, answer: Answer) -> bool {
        let check = &mut self.checks.all[id];
        check.asked = None;
        check.number += 1;
        check.is_connected = matches!(answer, Answer::Status(_));
        check.state.record(policy, answer)
    }

    fn check_after(&mut self, id: Id<Check>, wait: Duration) {
        self.checks.all[id].next = self.queue.after(wait, Event::HealthCheck(id.index()).pack());
    }

    /// What will come of a check that begins now, and after what time.
    fn ask(&self, id: Id<Check>, policy: &HealthCheck) -> (Answer, Duration) {
        let check = self.checks.all[id];
        let upstream = &self.upstreams[check.upstream as usize];
        let (client, server) = (upstream.pod, check.pod);
        let never = (Answer::Network, policy.timeout);
        let pod = &self.pods[server as usize];
        let (a, b) = (self.pods[client as usize].node, pod.node);
        if !self.is_connected(a, b) || self.thaws_at(server, false).is_some() {
            return never;
        }
        let port = self.port_of(server);
        if port == Port::Swallows {
            return never;
        }
        let key = self.check_key(id);
        let leg = |a, b, n: u32| self.one_way(a, b, key.draw(4 * check.number + n, LINK));
        let there_and_back = leg(a, b, 0) + leg(b, a, 1);
        if port == Port::Refuses || !self.is_listening(server) {
            return (Answer::Network, there_and_back.min(policy.timeout));
        }
        let connects =
            if check.is_connected { Duration::ZERO } else { leg(a, b, 2) + leg(b, a, 3) };
        let ends = Ends { client, cluster: upstream.cluster, server };
        if self.hears_no_handshake(ends) {
            return never;
        }
        let meeting = self.meeting(ends, self.now, false);
        if matches!(
            handshake(meeting),
            HandshakeResult::Failed { .. } | HandshakeResult::Rejected { .. }
        ) {
            return (Answer::Network, (connects + there_and_back).min(policy.timeout));
        }
        let (answer, takes) = self.answer_to_check(server, key, check.number);
        match takes.map(|takes| connects + there_and_back + takes) {
            Some(after) if after < policy.timeout => (answer, after),
            _ => never,
        }
    }

    /// What an endpoint answers, and how much later; none for never.
    pub(super) fn answer_to_check(
        &self,
        server: u32,
        key: Key,
        number: u32,
    ) -> (Answer, Option<Duration>) {
        let pod = &self.pods[server as usize];
        let state = &self.workloads[pod.workload.index()];
        let behaviour = &state.behaviour;
        if pod.has_sidecar && (!pod.app_is_up || behaviour.port == Port::Refuses) {
            // The sidecar answers for its app.
            return (Answer::Status(503), Some(Duration::ZERO));
        }
        let own = behaviour.check.unwrap_or_default();
        let fails = uniform(key.draw(number, purpose::ERROR)) < state.errors.share;
        let otherwise = behaviour.status.unwrap_or(200);
        let usual = if fails { state.errors.status.code } else { otherwise };
        let answer = Answer::Status(own.status.unwrap_or(usual));
        let takes = own.delay.unwrap_or_else(|| self.work_of(pod.workload, key, number));
        match behaviour.reply {
            _ if own.status.is_some() => (answer, Some(takes)),
            Reply::Whole => (answer, Some(takes)),
            Reply::SlowBody(later) => (answer, Some(takes + later)),
            Reply::HeadersThenReset(later) => (Answer::Network, Some(takes + later)),
            Reply::Closes | Reply::Resets => (Answer::Network, Some(takes)),
            Reply::Never => (Answer::Network, None),
        }
    }

    /// The local work of a request, without waiting.
    fn work_of(&self, workload: WorkloadId, key: Key, number: u32) -> Duration {
        let state = &self.workloads[workload.index()];
        let steps = self.compiled.programs[workload.index()].iter().zip(0..);
        steps.fold(Duration::ZERO, |sum, (step, n)| match step {
            CompiledStep::Work(time) => {
                let work = time.sample(key.draw(number, purpose::WORK + n));
                // Beside the app's queue: nobody else is in service.
                let step = u16::try_from(n).unwrap_or(u16::MAX);
                sum + if state.is_disturbed { state.disturbed(work, step, 1) } else { work }
            }
            CompiledStep::Calls { .. }
            | CompiledStep::WatchedCalls { .. }
            | CompiledStep::Forward(_) => sum,
        })
    }

    fn check_policy(&self, index: u32) -> Option<&'p HealthCheck> {
        self.upstreams[index as usize].policy.health_check.as_deref()
    }

    /// The draws of the checks of one endpoint by one proxy.
    fn check_key(&self, id: Id<Check>) -> Key {
        let check = &self.checks.all[id];
        let upstream = &self.upstreams[check.upstream as usize];
        let hash = |pod: u32| self.pods[pod as usize].hash;
        let cluster = self.compiled.clusters[upstream.cluster.index()].hash;
        let owner = Key(hash(upstream.pod) ^ cluster).child(0).0 ^ hash(check.pod);
        Key(owner ^ self.seed).child(CHECKS)
    }
}

/// Names the draws of checks.
const CHECKS: u32 = 0x4843;
/// Where in its interval a check is.
const PHASE: u32 = 1;
/// The jitter of an interval.
const INTERVAL: u32 = 2;
/// The delays of links.
const LINK: u32 = 3;

/// A draw below a duration, in nanoseconds.
fn below_of(most: Duration, draw: u64) -> u64 {
    match usize::try_from(most.ns()) {
        Ok(0) | Err(_) => 0,
        Ok(most) => below(draw, most) as u64,
    }
}
