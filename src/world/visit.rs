//! The server's side of an attempt: the server proxy, the app's station and program, the answer.
//! A visit goes on when its client has given up.
//!
//! Source: the model page, apps; Envoy's inbound path.
//! Left out: calls, which stand in `calls`, and another try of the sidecar, in `inbound_retries`.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use super::World;
use super::client::purpose;
use super::compiled::CompiledStep;
use super::event::Event;
use super::network::{Links, Transit};
use super::state::{Attempt, Phase};
use crate::kernel::queue::Ticket;
use crate::kernel::slab::Id;
use crate::kernel::stream::uniform;
use crate::kernel::time::{Duration, Time};
use crate::model::app::station::Arrival;
use crate::observe::recorder::Recorder;
use crate::vocabulary::outcome::{Details, Outcome};

impl World<'_> {
    /// The request reaches the endpoint's pod.
    pub(super) fn reach(&mut self, slot: u32) {
        let Some((id, attempt)) = self.live_attempt(slot, Phase::Sent) else { return };
        if attempt.is_held {
            return self.send(id);
        }
        let pod = &self.pods[attempt.pod as usize];
        if self.nodes.is_dead(pod.node) {
            self.ledger.lost += 1;
            return self.swallow(id);
        }
        let is_there = pod.birth == attempt.birth && pod.is_listening();
        if let (true, Some(later)) = (is_there, self.thaws_at(attempt.pod, false)) {
            self.attempts[id].pending += 1;
            self.queue.at(later, Event::Reach(slot).pack());
            return self.stale();
        }
        self.ledger.delivered += 1;
        if !is_there {
            return self.break_attempt(id);
        }
        if self.has_odd_apps && self.meets_closed(id) {
            return;
        }
        let record = &mut self.attempts[id];
        record.arrived = self.now;
        record.phase = Phase::Inbound;
        let pod = &mut self.pods[attempt.pod as usize];
        if !pod.has_own_workers {
            if !pod.is_meshed {
                return self.enter_app(id);
            }
            return self.reach_on_cores(id);
        }
        record.pending += 1;
        let proxy = &self.plan.parameters.proxy;
        let worker = u32::from(attempt.server_worker);
        let done = pod.workers.run(worker, self.now, proxy.server_request, Duration::ZERO);
        pod.inbound += 1;
        self.queue.at(done + proxy.loopback, Event::Enter(slot).pack());
    }

    /// The server proxy hands the request to the app.
    pub(super) fn enter(&mut self, slot: u32) {
        let Some((id, attempt)) = self.live_attempt(slot, Phase::Inbound) else { return };
        if let Some(later) = self.thaws_at(attempt.pod, true) {
            if self.compiled.has.inbound_filters && self.ask_is_late(id) {
                return;
            }
            self.attempts[id].pending += 1;
            self.queue.at(later, Event::Enter(slot).pack());
            return self.stale();
        }
        let pod = attempt.pod;
        self.pods[pod as usize].inbound -= 1;
        if self.compiled.has.inbound_filters && !self.pass_inbound(id) {
            return;
        }
        // A sidecar whose app takes no connection answers for it.
        if self.has_odd_apps && !self.app_takes(id) {
            return;
        }
        self.enter_app(id);
    }

    #[inline(always)]
    pub(super) fn enter_app(&mut self, id: Id<Attempt>) {
        let attempt = &mut self.attempts[id];
        attempt.entered = self.now;
        let pod = &mut self.pods[attempt.pod as usize];
        if !pod.app_is_up {
            return self.answer_for_app(id);
        }
        pod.visits += 1;
        match pod.station.arrive(self.now, id, false) {
            Arrival::Served => {
                attempt.present = true;
                take_up(&mut self.recorder, attempt, self.now);
                self.advance(id);
            }
            Arrival::Waiting => {
                self.census.queued += 1;
                attempt.present = true;
                attempt.phase = Phase::Queued;
            }
            Arrival::Full => {
                pod.visits -= 1;
                if self.recorder.counts(self.now, attempt.batch) {
                    self.recorder.served[attempt.workload.index()].overflowed += 1;
                }
                if self.compiled.has.inbound_filters {
                    self.count_received(id, usize::MAX, Outcome::answer(503));
                }
                self.answer(id, Outcome::failure(Details::AppOverflow));
            }
        }
    }

    /// A worker takes the request up, for the first time or after calls.
    #[inline(always)]
    fn begin_service(&mut self, id: Id<Attempt>) {
        take_up(&mut self.recorder, &mut self.attempts[id], self.now);
        self.advance(id);
    }

    /// The app has done a step of local work.
    pub(super) fn worked(&mut self, slot: u32) {
        let Some((id, attempt)) = self.live_attempt(slot, Phase::Working) else { return };
        if let Some(later) = self.thaws_at(attempt.pod, true) {
            self.attempts[id].pending += 1;
            self.queue.at(later, Event::Worked(slot).pack());
            return self.stale();
        }
        self.advance(id);
    }

    /// The next of those who share the workers has done its work.
    pub(super) fn shared(&mut self, index: u32, ticket: Ticket) {
        let pod = &mut self.pods[index as usize];
        if pod.shared != ticket {
            return self.stale();
        }
        pod.shared = Ticket::NONE;
        let done = pod.station.shared_finish(self.now).expect("somebody finishes");
        // Nobody waits for what a handshake took.
        if !done.is_none() {
            self.go_on(done);
        }
        self.schedule_shared(index);
    }

    /// Schedules the next finish of a shared station, in place of the one before.
    pub(super) fn schedule_shared(&mut self, index: u32) {
        let now = self.now;
        let pod = &mut self.pods[index as usize];
        pod.shared = match pod.station.next_finish(now) {
            Some(time) if pod.frozen.is_none() => self.queue.at(time, Event::Shared(index).pack()),
            _ => Ticket::NONE,
        };
    }

    /// The same for who waited for it: a worker that is given back.
    fn begin_waiting(&mut self, id: Id<Attempt>) {
        self.begin_service(id);
    }

    /// Goes on with the program, where it stopped for calls.
    pub(super) fn go_on(&mut self, id: Id<Attempt>) {
        self.advance(id);
    }

    /// Goes on with the program until something takes time.
    #[inline(always)]
    fn advance(&mut self, id: Id<Attempt>) {
        loop {
            let attempt = &mut self.attempts[id];
            let program = &self.compiled.programs[attempt.workload.index()];
            match program.get(attempt.step as usize) {
                Some(CompiledStep::Work(time)) if !attempt.call_failed => {
                    let work = time.sample(attempt.key.draw(attempt.step.into(), purpose::WORK));
                    let pod = &mut self.pods[attempt.pod as usize];
                    if !attempt.holds_worker {
                        attempt.present = true;
                        if pod.station.arrive(self.now, id, true) == Arrival::Waiting {
                            self.census.queued += 1;
                            attempt.phase = Phase::Queued;
                            return;
                        }
                        attempt.holds_worker = true;
                    }
                    return self.work(id, work);
                }
                Some(CompiledStep::Calls { sites, holds_worker }) if !attempt.call_failed => {
                    let (sites, holds_worker) = (sites.clone(), *holds_worker);
                    if !self.make_calls(id, sites, holds_worker) {
                        return;
                    }
                }
                Some(CompiledStep::Forward(_)) => return self.forward(id),
                Some(CompiledStep::WatchedCalls { sites, holds_worker })
                    if !attempt.call_failed =>
                {
                    let (sites, holds_worker) = (sites.clone(), *holds_worker);
                    if !self.make_watched_calls(id, sites, holds_worker) {
                        return;
                    }
                }
                _ => return self.end_program(id),
            }
        }
    }

    #[inline(always)]
    fn work(&mut self, id: Id<Attempt>, work: Duration) {
        let attempt = &mut self.attempts[id];
        let pod = &mut self.pods[attempt.pod as usize];
        let state = &self.workloads[attempt.workload.index()];
        let work = if state.is_disturbed {
            let done = state.disturbed(work, attempt.step, pod.station.busy());
            done + state.work_of_proxy(pod, attempt.step, work)
        } else {
            work
        };
        attempt.step += 1;
        attempt.phase = Phase::Working;
        if pod.station.is_shared() {
            let index = attempt.pod;
            let _ = pod.station.share(self.now, id, work);
            self.schedule_shared(index);
        } else {
            attempt.pending += 1;
            self.queue.after(work, Event::Worked(id.index()).pack());
        }
    }

    /// The program is done: the app answers.
    #[inline(always)]
    fn end_program(&mut self, id: Id<Attempt>) {
        if self.has_odd_apps && self.replies_otherwise(id) {
            return;
        }
        let attempt = self.attempts[id];
        self.leave_app(id, &attempt);
        let outcome = self.app_outcome(id, &attempt);
        self.answer(id, outcome);
        self.check_shutdown(attempt.pod);
    }

    /// The visit leaves the app.
    #[inline(always)]
    pub(super) fn leave_app(&mut self, id: Id<Attempt>, attempt: &Attempt) {
        if attempt.holds_worker {
            self.leave_station(id);
        }
        self.pods[attempt.pod as usize].visits -= 1;
        let sojourn = self.now.since(attempt.entered);
        let entered = (attempt.entered, attempt.batch);
        self.recorder.sojourned(attempt.workload, entered, sojourn);
    }

    /// How the app ends a request whose program is done.
    #[inline(always)]
    pub(super) fn app_outcome(&mut self, id: Id<Attempt>, attempt: &Attempt) -> Outcome {
        let workload = &self.workloads[attempt.workload.index()];
        let errors = &workload.errors;
        let outcome = if attempt.call_failed {
            Outcome::failure(Details::AppCallFailed)
        } else if 0.0 < errors.share && uniform(attempt.key.draw(0, purpose::ERROR)) < errors.share
        {
            self.attempts[id].cause = workload.error_cause;
            Outcome { status: errors.status.code, ..Outcome::failure(Details::AppError) }
        } else {
            Outcome::answer(200)
        };
        if self.compiled.has.reply_headers {
            return self.with_grpc_status(attempt.workload, outcome);
        }
        outcome
    }

    /// Gives the worker back; the next in line begins.
    #[inline(always)]
    pub(super) fn leave_station(&mut self, id: Id<Attempt>) {
        let attempt = &mut self.attempts[id];
        attempt.holds_worker = false;
        attempt.present = false;
        let index = attempt.pod as usize;
        let next = self.pods[index].station.release(self.now);
        debug_assert!(!self.pods[index].station.wastes(), "somebody waits while a worker is idle");
        if let Some(next) = next {
            self.census.queued -= 1;
            self.begin_waiting(next);
        }
    }

    // === the answer ===

    /// The pod answers: through its proxy, over the link.
    #[inline(always)]
    pub(super) fn answer(&mut self, id: Id<Attempt>, outcome: Outcome) {
        self.answer_late(id, outcome, Duration::ZERO);
    }

    /// The same, so much later.
    #[inline(always)]
    pub(super) fn answer_late(&mut self, id: Id<Attempt>, outcome: Outcome, late: Duration) {
        let attempt = &mut self.attempts[id];
        attempt.outcome = outcome;
        attempt.phase = Phase::Answering;
        attempt.resent = 0;
        attempt.sent_at = self.now;
        let (arrived, workload) = ((attempt.arrived, attempt.batch), attempt.workload);
        let proxy = &self.plan.parameters.proxy;
        let pod = &mut self.pods[attempt.pod as usize];
        let mut extra = late;
        let gone = attempt.call.is_none();
        if pod.has_own_workers && !gone {
            let (worker, after) = (u32::from(attempt.server_worker), proxy.server_telemetry);
            let done = pod.workers.run(worker, self.now, proxy.server_response, after);
            extra += done.since(self.now) + proxy.loopback;
        }
        let latency = self.now.since(arrived.0) + extra;
        self.recorder.served(workload, arrived, latency, outcome.is_ok());
        if gone {
            return self.close_left(id);
        }
        self.send_answer(id, extra);
    }

    /// The answer goes over the link, now or (swallowed by a cut) once more later.
    #[inline(always)]
    pub(super) fn send_answer(&mut self, id: Id<Attempt>, extra: Duration) {
        let attempt = &mut self.attempts[id];
        attempt.is_held = false;
        let (key, pod, client) = (attempt.key, attempt.pod, attempt.client);
        let network = &self.plan.parameters.network;
        let loss = || key.draw(0, purpose::LOSS_BACK);
        self.ledger.sent += 1;
        let links = Links { pods: &self.pods, network: &self.network, nodes: &self.nodes };
        match links.transit(pod, client, network.response_bytes, loss, network.rto) {
            Transit::Sent { path, late } => {
                attempt.pending += 1;
                let draw = || key.draw(0, purpose::LINK_BACK);
                self.over(path, extra + late, draw, Event::Return(id.index()));
            }
            Transit::Swallowed => self.send_later(id, Event::Return(id.index())),
        }
    }
}

/// A worker is the request's from now on; at first it is told how long it waited for that.
#[inline(always)]
fn take_up(recorder: &mut Recorder, attempt: &mut Attempt, now: Time) {
    attempt.holds_worker = true;
    if attempt.step == 0 {
        let (entered, batch) = (attempt.entered, attempt.batch);
        recorder.waited(attempt.workload, (entered, batch), now.since(entered));
    }
}
