//! Containers of a pod: started, ready, ended, started again.
//!
//! ```text
//! started ── certificate and configuration ── startup probe ── ready ── endpoint
//!    │            600 s without them: the proxy's container starts again
//!    └ app: at once; or with its proxy (native sidecar, holdApplicationUntilProxyStarts)
//!           it exits: not ready; again at once, then after 10 s, 20 s … 300 s
//! ```
//!
//! An app that needs somebody at its start (`dials_at_start`) exits if its proxy is not there yet:
//! its connections are captured and refused.
//!
//! Source: Istio's injection template; kubernetes `pkg/kubelet`; the parameters `pod.*`,
//! `kubernetes.restart_*`.
//! Left out: init containers beside the sidecar, images that cannot be pulled, an app's own time to
//! start when it waits for its proxy, the kubelet's second between two looks at a pod.

use super::World;
use super::config::Seen;
use super::crashes::InLoop;
use super::event::Event;
use super::state::Life;
use super::streams::XdsStream;
use crate::kernel::queue::Ticket;
use crate::kernel::time::Duration;
use crate::model::cluster::backoff::CrashLoop;
use crate::model::identity::retry::RetryLoop;
use crate::vocabulary::cause::{CauseId, CauseKind};
use crate::vocabulary::fact::FactKind;

/// Containers of a pod that have ended by themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Containers {
    app: CrashLoop,
    proxy: CrashLoop,
    /// The start of the app that is awaited.
    pub app_ticket: Ticket,
    /// The app waits in `CrashLoopBackOff`.
    pub backs_off: bool,
    /// Only the proxy starts again.
    pub proxy_only: bool,
}

impl World<'_> {
    /// A pod's containers start.
    pub(super) fn started(&mut self, index: u32, ticket: Ticket) {
        if self.pods[index as usize].life_ticket != ticket {
            return self.stale();
        }
        if self.kubelet_waits(index, Event::Started(index)) {
            return;
        }
        let now = self.now;
        let has_agent = self.has_agent(index);
        let pod = &mut self.pods[index as usize];
        pod.life_ticket = Ticket::NONE;
        if self.nodes.is_dead(pod.node) {
            return;
        }
        self.set_life(index, Life::WaitingForProxy);
        let again = self.kubernetes.containers.get_mut(&index);
        let proxy_only = again.is_some_and(|one| std::mem::take(&mut one.proxy_only));
        if proxy_only {
            let containers = self.containers(index);
            containers.proxy.start(now);
            containers.backs_off = false;
            self.recount(index);
        } else if !has_agent || !self.app_waits() {
            self.begin_app(index);
        }
        if !has_agent {
            self.pods[index as usize].proxy_is_up = true;
            self.come_to_ztunnel(index);
            let ticket = self.queue.after(Duration::ZERO, Event::Ready(index).pack());
            self.pods[index as usize].life_ticket = ticket;
            return;
        }
        self.limit_startup(index);
        self.begin_token(index);
        let pod = &mut self.pods[index as usize];
        pod.csr_is_warmup = true;
        pod.csr = None;
        let draws = pod.stream_loop.draws();
        pod.stream_loop = RetryLoop::restart(now, draws);
        self.start_linkerd(index);
        self.request_certificate(index);
        self.try_stream(index);
    }

    /// The proxy has its certificate and its configuration: the startup probe, once a second,
    /// finds it ready.
    pub(super) fn check_proxy(&mut self, index: u32) {
        let pod = &self.pods[index as usize];
        let waits = pod.life == Life::WaitingForProxy && pod.life_ticket == Ticket::NONE;
        let is_refused = self.compiled.has.rejections && self.waits_for_valid_updates(index);
        // Linkerd's proxy is ready with its first certificate.
        let has_seen = pod.seen.oldest() != 0 || self.plan.linkerd.is_some();
        if waits && pod.leaf.is_some() && has_seen && !is_refused {
            if pod.proxy_is_up {
                // It was ready before, and is (both latched).
                return self.serve_if_good(index);
            }
            let rules = &self.plan.parameters.pod;
            let looks = if self.startup_failures(pod.workload) == 0 {
                rules.readiness_period
            } else {
                rules.startup_period
            };
            let period = looks.ns().max(1);
            let phase = pod.hash % period;
            let since = (self.now.ns() + period - phase) % period;
            let wait = Duration::from_ns(period - since);
            let ticket = self.queue.after(wait, Event::Ready(index).pack());
            self.pods[index as usize].life_ticket = ticket;
        }
    }

    /// A pod becomes ready.
    pub(super) fn ready(&mut self, index: u32, ticket: Ticket) {
        if self.pods[index as usize].life_ticket != ticket {
            return self.stale();
        }
        if self.nodes.is_dead(self.pods[index as usize].node) {
            self.pods[index as usize].life_ticket = Ticket::NONE;
            return;
        }
        if self.kubelet_waits(index, Event::Ready(index)) {
            return;
        }
        let has_agent = self.has_agent(index);
        if let Some(timer) = self.kubernetes.startups.remove(&index) {
            self.queue.cancel(timer);
        }
        let pod = &mut self.pods[index as usize];
        pod.life_ticket = Ticket::NONE;
        let is_first = !pod.proxy_is_up;
        pod.proxy_is_up = true;
        if is_first && has_agent && !pod.app_is_up && self.app_waits() {
            self.begin_app(index);
        }
        if self.is_held_back(index) {
            return self.recount(index);
        }
        let workload = self.pods[index as usize].workload;
        self.enter_service(index);
        self.recount(index);
        self.start_checks(index);
        self.fact_of(FactKind::PodReady, index, |_| String::new());
        let cause = self.workloads[workload.index()].cause;
        self.endpoints_changed(workload, cause);
        self.reconcile(workload);
    }

    /// The pod is ready from now on.
    pub(super) fn enter_service(&mut self, index: u32) {
        let of_app = self.kubernetes.crashed_apps.cause(index);
        let pod = &mut self.pods[index as usize];
        pod.down_cause = of_app;
        let workload = pod.workload;
        let ready = &mut self.workloads[workload.index()].ready;
        let place = ready.partition_point(|one| *one < index);
        ready.insert(place, index);
        self.recount_places(workload);
        self.set_life(index, Life::Ready);
    }

    /// Whether the pod was ready, and is not from now on.
    pub(super) fn leave_service(&mut self, index: u32) -> bool {
        let workload = self.pods[index as usize].workload;
        let ready = &mut self.workloads[workload.index()].ready;
        let Ok(place) = ready.binary_search(&index) else { return false };
        ready.remove(place);
        self.recount_places(workload);
        true
    }

    // === the app's container ===

    /// Whether the app waits until its proxy is ready.
    fn app_waits(&self) -> bool {
        self.plan.parameters.pod.hold_app || self.plan.parameters.has_native_sidecars()
    }

    fn containers(&mut self, index: u32) -> &mut Containers {
        let now = self.now;
        self.kubernetes.containers.entry(index).or_insert_with(|| {
            let mut fresh = CrashLoop::default();
            fresh.start(now);
            Containers {
                app: fresh,
                proxy: fresh,
                app_ticket: Ticket::NONE,
                backs_off: false,
                proxy_only: false,
            }
        })
    }

    /// The app's process begins, now: whether it stays.
    fn begin_app(&mut self, index: u32) -> bool {
        let pod = &self.pods[index as usize];
        let (workload, has_proxy) = (pod.workload, pod.proxy_is_up || !self.has_agent(index));
        if let Some(InLoop { cause }) = self.crash_loop_of(index) {
            self.pods[index as usize].down_cause = cause;
            self.end_app(index, "it exits");
            return false;
        }
        if self.app_is_held(index) {
            // It has begun, and serves nobody until the event is over (`free_app`).
            self.pods[index as usize].down_cause = self.kubernetes.crashed_apps.cause(index);
            self.start_probes(index, false);
            return false;
        }
        let dials = self.plan.pods.get(&workload).is_some_and(|rules| rules.dials_at_start);
        if dials && !has_proxy {
            self.end_app(index, "its first call is refused: the proxy is not ready");
            return false;
        }
        self.pods[index as usize].app_is_up = true;
        self.start_probes(index, false);
        true
    }

    /// Whether the app's container has begun: it waits for neither its back-off nor its proxy.
    pub(super) fn app_has_begun(&self, index: u32) -> bool {
        let containers = self.kubernetes.containers.get(&index);
        let is_due = containers.is_some_and(|one| one.app_ticket != Ticket::NONE);
        let waits = self.has_agent(index) && self.app_waits();
        !is_due && (self.pods[index as usize].proxy_is_up || !waits)
    }

    /// The app's process is over: its container starts again after the back-off.
    pub(super) fn end_app(&mut self, index: u32, why: &'static str) {
        let cause = self.pods[index as usize].down_cause;
        self.thaw_app(index);
        if self.pods[index as usize].app_is_up {
            self.stop_app(index);
        }
        self.take_out(index);
        self.forget_probes(index);
        let rules = &self.plan.parameters.kubernetes;
        let (base, max) = (rules.restart_backoff, rules.restart_backoff_max);
        let (reset, now) = (rules.restart_reset, self.now);
        let containers = self.containers(index);
        let wait = containers.app.end(now, base, max, reset);
        containers.backs_off = !wait.is_zero();
        let ticket = self.queue.after(wait, Event::AppStart(index).pack());
        self.containers(index).app_ticket = ticket;
        self.control.counts.container_restarts += 1;
        self.pods[index as usize].down_cause = cause;
        self.recount(index);
        self.fact_of(FactKind::ContainerRestarted, index, |_| match wait {
            Duration::ZERO => format!("app: {why}"),
            wait => format!("app: {why}; CrashLoopBackOff {wait}"),
        });
    }

    /// The app's container starts again.
    pub(super) fn app_start(&mut self, index: u32, ticket: Ticket) {
        let awaited = self.kubernetes.containers.get(&index).map(|one| one.app_ticket);
        let pod = &self.pods[index as usize];
        if awaited != Some(ticket) || !matches!(pod.life, Life::WaitingForProxy | Life::Ready) {
            return self.stale();
        }
        if self.nodes.is_dead(pod.node) || self.kubelet_waits(index, Event::AppStart(index)) {
            return;
        }
        let now = self.now;
        let containers = self.containers(index);
        containers.app_ticket = Ticket::NONE;
        containers.backs_off = false;
        containers.app.start(now);
        self.recount(index);
        if self.begin_app(index) {
            self.pods[index as usize].down_cause = None;
            self.serve_if_good(index);
        }
    }

    /// What was to happen to a pod's containers no longer is.
    pub(super) fn forget_starts(&mut self, index: u32) {
        if let Some(timer) = self.kubernetes.startups.remove(&index) {
            self.queue.cancel(timer);
        }
        if !self.kubernetes.containers.is_empty() {
            self.kubernetes.containers.remove(&index);
        }
        self.forget_probes(index);
    }

    // === the proxy's container ===

    /// A proxy that starts has so long to be ready.
    fn limit_startup(&mut self, index: u32) {
        let rules = &self.plan.parameters.pod;
        let limit = if rules.hold_app && !self.plan.parameters.has_native_sidecars() {
            rules.hold_timeout
        } else {
            let workload = self.pods[index as usize].workload;
            rules.startup_period * u64::from(self.startup_failures(workload))
        };
        if limit.is_zero() {
            return;
        }
        let lane = self.queue.lane(limit);
        let timer = self.queue.after_lane(lane, Event::StartupFailed(index).pack());
        if let Some(before) = self.kubernetes.startups.insert(index, timer) {
            self.queue.cancel(before);
        }
    }

    /// The proxy was not ready in time: its container ends, and starts again.
    pub(super) fn startup_failed(&mut self, index: u32) {
        self.kubernetes.startups.remove(&index);
        let pod = &self.pods[index as usize];
        let is_dead = self.nodes.is_dead(pod.node);
        if pod.life != Life::WaitingForProxy || pod.proxy_is_up || is_dead {
            return self.stale();
        }
        if !self.kubelet_is_up(pod.node.0) {
            return self.limit_startup(index);
        }
        let part = if pod.leaf.is_none() { super::control::CA } else { super::control::XDS };
        let because = self.control.causes[part];
        let cause = self.caused(CauseKind::PodNotStarted, because, || {
            "proxies that start do not get ready".to_owned()
        });
        self.end_proxy(index, cause);
    }

    fn end_proxy(&mut self, index: u32, cause: CauseId) {
        let pod = &mut self.pods[index as usize];
        pod.down_cause = Some(cause);
        (pod.leaf, pod.csr) = (None, None);
        (pod.renewal, pod.expiry) = (Ticket::NONE, Ticket::NONE);
        pod.csr_is_parked = false;
        self.lose_stream(index);
        let pod = &mut self.pods[index as usize];
        pod.stream = XdsStream::Off;
        (pod.stream_ticket, pod.stream_is_parked) = (Ticket::NONE, false);
        self.set_seen(index, Seen::default());
        let rules = &self.plan.parameters.kubernetes;
        let (base, max) = (rules.restart_backoff, rules.restart_backoff_max);
        let (reset, now) = (rules.restart_reset, self.now);
        let containers = self.containers(index);
        let wait = containers.proxy.end(now, base, max, reset);
        containers.proxy_only = true;
        containers.backs_off |= !wait.is_zero();
        self.control.counts.container_restarts += 1;
        let ticket = self.queue.after(wait, Event::Started(index).pack());
        self.pods[index as usize].life_ticket = ticket;
        self.recount(index);
        self.fact_of(FactKind::ContainerRestarted, index, |world| {
            let held = world.plan.parameters.pod.hold_app;
            let (proxy, why) = match world.plan.linkerd.as_deref() {
                Some(own) if own.linkerd_proxy.native_sidecar => ("linkerd-proxy", "startup probe"),
                Some(_) => ("linkerd-proxy", "linkerd-await"),
                None if held => ("istio-proxy", "pilot-agent wait"),
                None => ("istio-proxy", "startup probe"),
            };
            match wait {
                Duration::ZERO => format!("{proxy}: {why} failed"),
                wait => format!("{proxy}: {why} failed; CrashLoopBackOff {wait}"),
            }
        });
    }

    // === ready or not ===

    /// A running pod is no endpoint from now on, if it was one.
    pub(super) fn take_out(&mut self, index: u32) {
        if self.pods[index as usize].life != Life::Ready {
            return;
        }
        let cause = self.pods[index as usize].down_cause;
        self.leave_service(index);
        self.set_life(index, Life::WaitingForProxy);
        let workload = self.pods[index as usize].workload;
        self.fact_of(FactKind::PodNotReady, index, |_| String::new());
        self.endpoints_changed(workload, cause);
    }

    /// Whether something but its proxy keeps a pod from being ready.
    fn is_held_back(&self, index: u32) -> bool {
        let kubernetes = &self.kubernetes;
        kubernetes.containers.get(&index).is_some_and(|one| one.app_ticket != Ticket::NONE)
            || kubernetes.probes.get(&(2 * index)).is_some_and(|probe| !probe.health.is_good)
    }

    /// A running pod whose proxy and app are good becomes ready, if it is not.
    pub(super) fn serve_if_good(&mut self, index: u32) {
        let pod = &self.pods[index as usize];
        let waits = pod.life == Life::WaitingForProxy && pod.life_ticket == Ticket::NONE;
        if waits && pod.proxy_is_up && pod.app_is_up && !self.is_held_back(index) {
            let ticket = self.queue.after(Duration::ZERO, Event::Ready(index).pack());
            self.pods[index as usize].life_ticket = ticket;
        }
    }
}
