//! The failover extension: it watches endpoints and writes the weights of its `TrafficSplit`s.
//!
//! ```text
//! endpoints ── watch ── extension: TrafficSplit ── watch ── adaptor: ServiceProfile ── watch ── destination ── proxies
//! ```
//!
//! Each watch takes what a watch of the API server takes (`kubernetes.watch_delay`). While the API server is away nothing is
//! written; who has something to write tries each second.
//!
//! Source: `model::linkerd::failover`; linkerd-failover `src/traffic_split.rs`; linkerd-smi pkg/adaptor/controller.go. The
//! wait between tries is UNCONFIRMED.
//! Left out: failures of the extension and of the adaptor themselves.

use super::World;
use super::event::Event;
use crate::kernel::stream::name_hash;
use crate::kernel::time::Duration;
use crate::model::linkerd::failover::{Weights, weights};
use crate::plan::Plan;
use crate::plan::linkerd::rules::Failover;
use crate::plan::universe::{ClusterId, RouteId, ServiceId};
use std::collections::VecDeque;

/// Between tries to write to an API server that is away.
const TRY: Duration = Duration::from_s(1);

/// All of them.
#[derive(Default)]
pub(crate) struct Failovers {
    all: Vec<State>,
}

struct State {
    service: ServiceId,
    hash: u64,
    /// What the split says.
    route: RouteId,
    /// What the adaptor has not written yet.
    unwritten: VecDeque<RouteId>,
}

impl Failovers {
    pub(crate) fn new(plan: &Plan) -> Self {
        let rules = plan.linkerd_rules.services.iter();
        let state = |service: ServiceId, own: &Failover| State {
            service,
            hash: name_hash(&plan.universe.services[service.index()].name),
            route: own.routes[0],
            unwritten: VecDeque::new(),
        };
        let all = rules.filter_map(|(service, own)| Some(state(*service, own.failover.as_ref()?)));
        Self { all: all.collect() }
    }

    pub(super) fn hash(&self, index: u32) -> u64 {
        self.all[index as usize].hash
    }
}

impl World<'_> {
    /// The extension learns of changes of endpoints.
    #[cold]
    pub(super) fn watch_failovers(&mut self) {
        let plan = self.plan;
        let count = self.linkerd.as_ref().map_or(0, |own| own.failovers.all.len());
        for index in 0..count {
            let state = &self.outbound().failovers.all[index];
            let (service, before) = (state.service, state.route);
            let rules = plan.linkerd_rules.services.get(&service);
            let own = rules.and_then(|rules| rules.failover.as_ref()).expect("one of these");
            let is_ready = self.is_ready(own.primary);
            let bits = own.secondaries.iter().zip(0..);
            let ready = bits.filter(|(cluster, _)| self.is_ready(**cluster));
            let ready = ready.fold(0, |all, (_, bit)| all | 1_u32 << bit);
            let route = match weights(is_ready, ready) {
                Weights::Primary => own.routes[0],
                Weights::Secondaries(mask) => own.routes[mask as usize],
                Weights::AsBefore => before,
            };
            if route != before {
                let state = &mut self.outbound().failovers.all[index];
                state.route = route;
                state.unwritten.push_back(route);
                let lane = self.compiled.watch_delay;
                let slot = u32::try_from(index).expect("few services");
                self.queue.after_lane(lane, Event::Failover(slot).pack());
            }
        }
    }

    /// Whether a service has a ready endpoint, as the API server's watchers know.
    fn is_ready(&mut self, cluster: ClusterId) -> bool {
        let version = self.config.watched;
        !self.config.endpoints(cluster, version).is_empty()
    }

    /// The adaptor learns of a split that the extension has written, and writes the profile.
    pub(super) fn write_failover(&mut self, slot: u32) {
        if !self.api_server_is_up() {
            self.queue.after(TRY, Event::Failover(slot).pack());
            return self.stale();
        }
        let state = &mut self.outbound().failovers.all[slot as usize];
        let (service, route) = (state.service, state.unwritten.pop_front());
        let Some(route) = route else { return self.stale() };
        self.config.begin_version(self.now, None);
        self.config.set_route(service, route);
        self.schedule_watch();
    }
}
