//! Pushes: a change reaches the watchers, is debounced, prepared, and sent through limited slots.
//!
//! Source: istio pilot/pkg/xds (discovery.go, pushqueue.go); see the parameters `xds.*`.
//! Left out: ACKs that are late; how types come apart and what is rejected stands in `discovery`.

use super::World;
use super::config::{Config, Seen, Thing};
use super::control::XDS;
use super::event::Event;
use super::streams::XdsStream;
use crate::kernel::queue::Ticket;
use crate::kernel::time::Duration;
use crate::model::control::debounce::DebounceStep;
use crate::vocabulary::fact::FactKind;

impl World<'_> {
    /// The configuration changed: the watchers will know.
    pub(super) fn schedule_watch(&mut self) {
        let lane = self.compiled.watch_delay;
        self.queue.after_lane(lane, Event::Watch(0).pack());
    }

    /// The watchers know one change more.
    pub(super) fn watch(&mut self) {
        self.config.watch();
        if self.linkerd.is_some() {
            self.watch_failovers();
        }
        if self.control.replicas.is_empty() {
            self.tell_definitions(None);
            self.tell_checks(None);
        }
        for index in 0..self.control.replicas.len() {
            let replica = &mut self.control.replicas[index];
            if replica.is_wanted
                && replica.down == 0
                && replica.is_ready
                && replica.frozen == 0
                // What comes before its caches is in them.
                && replica.context != 0
                && let Some(time) = replica.debounce.change(self.now)
            {
                let slot = u32::try_from(index).expect("few replicas");
                self.queue.at(time, Event::Debounce(slot).pack());
            }
        }
    }

    /// A replica's debounce timer.
    pub(super) fn debounce(&mut self, index: u32) {
        let replica = &mut self.control.replicas[index as usize];
        if replica.down != 0 || !replica.is_ready || !replica.is_wanted {
            return self.stale();
        }
        let step = replica.debounce.timer(self.now);
        self.follow_debounce(index, step);
    }

    fn follow_debounce(&mut self, index: u32, step: DebounceStep) {
        match step {
            DebounceStep::Rearm(time) => {
                self.queue.at(time, Event::Debounce(index).pack());
            }
            DebounceStep::Push => {
                self.prepare(index);
                let done = self.compute(index, self.plan.parameters.xds.push_init);
                let ticket = self.queue.at(done, Event::PushReady(index).pack());
                self.control.replicas[index as usize].push_ticket = ticket;
            }
            DebounceStep::Wait => {}
        }
    }

    /// A push is prepared: every connected proxy that lacks it is enqueued.
    pub(super) fn push_ready(&mut self, index: u32, ticket: Ticket) {
        let replica = &mut self.control.replicas[index as usize];
        // What a replica prepared before it failed died with it, however soon it was back.
        if replica.push_ticket != ticket {
            return self.stale();
        }
        replica.push_ticket = Ticket::NONE;
        let (context, step) = (replica.preparing, replica.debounce.pushed(self.now));
        self.set_context(index, context);
        let name = self.controller(XDS, index);
        self.fact(FactKind::PushStarted, || (name, format!("version {context}")));
        let lacks = |pod: &&u32| self.pods[**pod as usize].seen.oldest() < context;
        let connected = &self.control.replicas[index as usize].connected;
        let stale: Vec<u32> = connected.iter().filter(lacks).copied().collect();
        for pod in stale {
            if !self.skips_to(pod, context) {
                self.control.replicas[index as usize].push.enqueue(pod);
            }
        }
        let epoch = self.control.replicas[index as usize].epoch;
        self.fill_slots(index);
        // Its own push may have killed it.
        if let Some(step) = step.filter(|_| self.control.replicas[index as usize].epoch == epoch) {
            self.follow_debounce(index, step);
        }
    }

    pub(super) fn fill_slots(&mut self, index: u32) {
        while let Some(pod) = self.control.replicas[index as usize].push.next() {
            let (from, to) =
                (self.control.replicas[index as usize].node, self.pods[pod as usize].node);
            let delay = self.one_way(from, to, self.loop_key(pod, 4).draw(0, 0));
            let xds = &self.plan.parameters.xds;
            let size = self.network.class(self.network.path(from, to)).transfer(xds.push_bytes.0);
            let context = self.control.replicas[index as usize].context;
            let record = &self.pods[pod as usize];
            let epoch = record.epoch;
            let is_full =
                record.is_new_stream || self.control.is_full(record.seen.oldest(), context);
            let (told, full) = (record.seen.newest(), xds.full_push_time);
            let work = if is_full { full } else { self.push_work(pod, told, context) };
            let done = self.compute(index, work);
            self.set_pushing(pod, Some((index, context, epoch)));
            if self.compiled.has.apart {
                self.expect_types(pod);
            }
            if self.control.black_holed.contains_key(&pod) {
                // It holds its slot until the stream is given up, or packets pass again.
                self.control.stuck.insert(pod);
                continue;
            }
            self.pods[pod as usize].pushes += 1;
            self.queue.at(done + size + delay, Event::Pushed(pod).pack());
        }
        self.check_memory(index);
    }

    /// CPU time of a push to a proxy that was told one version and gets another: more for each thing
    /// that changed, but no more than all of its configuration takes.
    fn push_work(&mut self, pod: u32, told: u32, context: u32) -> Duration {
        let xds = &self.plan.parameters.xds;
        let (once, each, full) = (xds.push_time, xds.push_time_per_change, xds.full_push_time);
        let scope = self.config.scopes.of(self.pods[pod as usize].workload);
        let things = self.config.changed_things(scope, told, context);
        let more = each.ns().saturating_mul(things);
        Duration::from_ns(once.ns().saturating_add(more)).min(full.max(once))
    }

    /// A proxy has its configuration.
    pub(super) fn pushed(&mut self, index: u32) {
        let pod = &mut self.pods[index as usize];
        pod.pushes -= 1;
        let Some((replica, version, epoch)) = pod.pushing else { return self.stale() };
        if pod.pushes != 0 || epoch != pod.epoch || pod.stream != XdsStream::Connected(replica) {
            return self.stale();
        }
        let (old, connected_since) = (pod.seen.oldest(), pod.connected_since);
        let stale_since = self.proxy_stale_since(index, old);
        if !self.compiled.has.apart {
            let has_old_view = version == 0 || self.control.replicas[replica as usize].frozen != 0;
            let newest = if has_old_view { version } else { version.max(old) };
            self.take_configuration(index, Seen::all(newest));
        } else if !self.type_arrives(index, version) {
            return;
        }
        self.set_pushing(index, None);
        self.pods[index as usize].is_new_stream = false;
        self.control.counts.pushes += 1;
        if let Some(since) = stale_since
            && old < version
            && connected_since <= since
        {
            let took = self.now.since(since);
            let counts = &mut self.control.counts;
            counts.convergence_max = counts.convergence_max.max(took);
            self.control.convergence.record(took.ns());
        }
        self.updated(index);
        self.control.replicas[replica as usize].push.done(index);
        self.fill_slots(replica);
        self.check_proxy(index);
        if self.control.causes.iter().any(Option::is_some) {
            self.forget_outage();
        }
    }
}

impl Config {
    /// Clusters and services that changed from one version that somebody holds to another, of those
    /// that a scope has. Proxies of one scope ask for the same two again and again.
    pub(crate) fn changed_things(&mut self, scope: Option<usize>, old: u32, new: u32) -> u64 {
        let asked = (scope, old, new);
        if self.changed.0 != asked {
            let services = &self.scopes;
            let counts = |thing: &Thing| match thing {
                Thing::Endpoints(cluster) | Thing::Definition(cluster) => {
                    services.has_cluster(scope, *cluster)
                }
                Thing::Route(service) => services.has(scope, *service),
                Thing::Filters(workload) => scope.is_none() || services.of(*workload) == scope,
                // What is said of endpoints comes with those of their cluster.
                Thing::Settings(_) => false,
            };
            self.changed = (asked, self.versions.changed(old, new, counts));
        }
        self.changed.1
    }
}
