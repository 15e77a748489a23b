//! What comes back other than as a whole answer, and requests that a proxy without an app sends on.
//!
//! A proxy that is called makes a call of its own and passes its status back. When its client
//! leaves, it hears of it a link's delay later and gives its own call up, and so on down a chain:
//! 0 DC over HTTP/1.1, 0 DR over HTTP/2. An answer may come in two parts: after its headers nothing
//! is tried again, and what ends it then keeps the status that the client has seen.
//!
//! Source: measured on Envoy 1.40 (families e03, e06, e10, e13).
//! Left out: bodies of requests; a header pass that stops half-way.

use super::World;
use super::client::purpose;
use super::compiled::{CompiledStep, Target};
use super::event::Event;
use super::network::Transit;
use super::pod::Kind;
use super::routing::rule;
use super::state::{Attempt, Call, Held, NONE, Parent, Phase};
use crate::kernel::slab::Id;
use crate::kernel::time::{Duration, Time};
use crate::model::linkerd::answer::Answer as LinkerdAnswer;
use crate::plan::behaviour::{Behaviour, Reply};
use crate::plan::policy::Protocol;
use crate::plan::universe::{ClassId, ServiceId};
use crate::vocabulary::cause::CauseId;
use crate::vocabulary::outcome::{Details, Outcome, TRUNCATED};

impl World<'_> {
    // === a proxy sends a request on ===

    /// The proxy makes a call of its own for the attempt.
    pub(super) fn forward(&mut self, id: Id<Attempt>) {
        let attempt = &mut self.attempts[id];
        attempt.phase = Phase::Calling;
        attempt.open_calls = 1;
        let (key, pod, batch, has_left) =
            (attempt.key.child(0), attempt.pod, attempt.batch, attempt.call_failed);
        let (workload, asking) = (attempt.workload, attempt.call);
        let caller = self.asked_for(asking);
        let way = self.unread.remove(&id).or(caller).and_then(|(class, called)| {
            let Some(CompiledStep::Forward(ways)) =
                self.compiled.programs[workload.index()].first()
            else {
                return None;
            };
            let (to, edge) = *ways.get(&Some(called)).or_else(|| ways.get(&None))?;
            Some(Target { to, class, edge })
        });
        let Some(target) = way else {
            // The client has left: there is nobody to ask for.
            return self.forwarded(id, Outcome::failure(Details::DownstreamDisconnect), None);
        };
        if self.is_waypoint(workload) {
            self.work_for_request(pod, key);
        }
        let call = self.calls.next_id();
        self.proxied.insert(id, call);
        self.begin_call(key, Parent::Proxied(id), batch, pod, target);
        if has_left {
            self.cancel_proxied(id);
        }
    }

    /// What a call asks a proxy for: the class and the service that is called.
    fn asked_for(&self, call: Id<Call>) -> Option<(ClassId, ServiceId)> {
        let caller = self.calls.get(call)?;
        Some((rule(self.plan, caller).onward(caller.class), caller.service))
    }

    /// The proxy's own call has ended: its status goes back.
    pub(super) fn forwarded(&mut self, id: Id<Attempt>, outcome: Outcome, cause: Option<CauseId>) {
        self.proxied.remove(&id);
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        if attempt.phase != Phase::Calling {
            return;
        }
        attempt.cause = cause;
        let attempt = *attempt;
        self.leave_app(id, &attempt);
        if outcome.status == 0 {
            self.close_attempt(id);
        } else {
            let worker = u32::from(attempt.server_worker);
            let late = if self.is_waypoint(attempt.workload) {
                self.work_for_answer(attempt.pod, worker);
                Duration::ZERO
            } else {
                // Its worker may have handshakes to do first.
                let workers = &mut self.pods[attempt.pod as usize].workers;
                let free = workers.run(worker, self.now, Duration::ZERO, Duration::ZERO);
                free.saturating_since(self.now)
            };
            // What breaks off in the middle of a body breaks off for its client, too: its connection closes,
            // or its stream is reset.
            let broken = match self.protocol_of(&attempt) {
                Protocol::Http1 => Details::ResetAfterResponse,
                Protocol::Http2 => Details::RemoteResetAfterResponse,
            };
            let whole = Outcome::answer(outcome.status);
            let is_cut = outcome.has_good_status() && outcome.flags.has_any(TRUNCATED);
            let cut = Outcome { status: outcome.status, ..Outcome::failure(broken) };
            self.answer_late(id, if is_cut { cut } else { whole }, late);
        }
        self.check_shutdown(attempt.pod);
    }

    /// The client of a proxy gives an attempt up: the proxy hears of it.
    pub(super) fn tell_of_leaving(&mut self, id: Id<Attempt>) {
        let attempt = self.attempts[id];
        self.remember_given(id);
        let is_there =
            matches!(attempt.phase, Phase::Sent | Phase::Inbound | Phase::Queued | Phase::Calling);
        let is_proxy = self.compiled.forwards(attempt.workload);
        let is_heard = is_proxy && is_there
            || self.cancels_calls(attempt.workload)
                && (is_there || attempt.phase == Phase::Working);
        if !is_heard {
            return;
        }
        let late = if is_proxy { Duration::ZERO } else { self.hears_later(attempt.pod) };
        if let Transit::Sent { path, .. } =
            self.transit(attempt.client, attempt.pod, 0, || 0, Duration::ZERO)
        {
            self.attempts[id].pending += 1;
            if let Some(asked) = self.asked_for(attempt.call).filter(|_| is_proxy) {
                self.unread.insert(id, asked);
            }
            let draw = || attempt.key.draw(0, purpose::LINK_OUT);
            self.over(path, late, draw, Event::Leave(id.index()));
        }
    }

    /// A proxy, or an app that passes it on, hears that the client of an attempt has left.
    pub(super) fn leave(&mut self, slot: u32) {
        let (id, attempt) = self.attempts.at_mut(slot).expect("an attempt with a pending event");
        let Attempt { phase, pod, workload, .. } = *attempt;
        if let Some(later) = self.thaws_at(pod, false) {
            self.queue.at(later, Event::Leave(slot).pack());
            return self.stale();
        }
        self.attempts[id].pending -= 1;
        match phase {
            Phase::Sent | Phase::Inbound | Phase::Queued | Phase::Working | Phase::Calling
                if self.cancels_calls(workload) =>
            {
                self.app_left(id);
            }
            Phase::Sent | Phase::Inbound | Phase::Queued => {
                self.attempts[id].call_failed = true;
            }
            Phase::Calling => {
                self.unread.remove(&id);
                self.cancel_proxied(id);
            }
            Phase::Over if self.attempts[id].pending == 0 => {
                self.unread.remove(&id);
                self.attempts.remove(id);
                self.stale();
            }
            _ => {
                self.unread.remove(&id);
                self.stale();
            }
        }
    }

    fn cancel_proxied(&mut self, id: Id<Attempt>) {
        let Some(call) = self.proxied.get(&id).copied() else { return };
        let protocol = {
            let attempt = &self.attempts[id];
            self.protocol_of(attempt)
        };
        // A request is read before its reset, and goes on its way: if a connection is free it gets there.
        if let Some(Call { pod, service, class, key, .. }) = self.calls.get(call).copied()
            && self.is_unrouted(call)
        {
            self.route(call, pod, service, class, key);
        }
        self.cancel_call(call, cancelled(protocol));
    }

    /// Whether a call still waits for its proxy's worker.
    fn is_unrouted(&self, id: Id<Call>) -> bool {
        self.calls
            .get(id)
            .is_some_and(|call| !call.is_over && call.upstream == NONE && call.held == Held::Not)
    }

    /// When answers are read that come to a frozen pod: a proxy reads what its clients sent first.
    /// Sockets are read whole, in the order in which they became ready (measured, family e13).
    pub(super) fn reads_answers_at(&self, pod: u32) -> Option<Time> {
        let thaws = self.thaws_at(pod, false)?;
        let reads_clients = self.compiled.forwards(self.pods[pod as usize].workload);
        Some(if reads_clients { thaws + Duration::from_ns(1) } else { thaws })
    }

    /// Whoever asked for a call has left.
    pub(super) fn cancel_call(&mut self, id: Id<Call>, outcome: Outcome) {
        let Some(call) = self.calls.get(id) else { return };
        if call.is_over {
            return;
        }
        let attempt = call.attempt;
        self.end_delay(id);
        if !attempt.is_none() {
            self.abandon(attempt, outcome);
            self.calls[id].attempt = Id::NONE;
        }
        self.end_early(id, outcome);
    }

    // === answers that are not whole ===

    /// The app's program is done: whether it does not answer as a whole, which is seen to then.
    #[cold]
    pub(super) fn replies_otherwise(&mut self, id: Id<Attempt>) -> bool {
        self.count_at_limiter(id);
        if !self.drains.is_empty() || self.compiled.has.client_connections {
            self.note_goaway(id);
        }
        if self.compiled.has.inbound_filters {
            self.count_answered(id);
        }
        let Behaviour { reply, status, .. } =
            self.workloads[self.attempts[id].workload.index()].behaviour;
        if reply == Reply::Whole {
            self.idles(id);
            if status.is_none() {
                return false;
            }
        }
        self.reply_otherwise(id, reply);
        true
    }

    fn reply_otherwise(&mut self, id: Id<Attempt>, reply: Reply) {
        let attempt = self.attempts[id];
        let is_alone = attempt.call.is_none();
        if reply == Reply::Never && !is_alone {
            self.attempts[id].phase = Phase::Hung;
            return;
        }
        self.leave_app(id, &attempt);
        match reply {
            Reply::Whole | Reply::SlowBody(_) | Reply::HeadersThenReset(_) => {
                let outcome = self.app_outcome(id, &attempt);
                let status = self.workloads[attempt.workload.index()].behaviour.status;
                let status = status.filter(|_| outcome.details == Details::ViaUpstream);
                let own = |code| Outcome { status: code, ..Outcome::failure(Details::AppError) };
                self.answer(id, status.map_or(outcome, own));
            }
            Reply::Closes | Reply::Resets | Reply::Never if is_alone => self.close_left(id),
            // ztunnel ends the one stream of its tunnel.
            Reply::Closes | Reply::Resets
                if self.pods[attempt.pod as usize].kind == Kind::Captured =>
            {
                self.answer(id, Outcome::failure(Details::ConnectionTermination));
            }
            // The sidecar in front of it has an answer.
            Reply::Closes | Reply::Resets if self.pods[attempt.pod as usize].has_sidecar => {
                let envoys = Outcome { status: 503, ..Outcome::failure(Details::AppError) };
                let is_linkerd = self.linkerd.is_some();
                let protocol = self.app_protocol_at(attempt.workload);
                let linkerds = || self.outcome_of(LinkerdAnswer::ConnectionError, protocol);
                let outcome = if is_linkerd { linkerds() } else { envoys };
                self.answer(id, outcome);
            }
            Reply::Resets if self.protocol_of(&attempt) == Protocol::Http2 => {
                self.answer(id, Outcome::failure(Details::RemoteReset));
            }
            Reply::Closes | Reply::Resets | Reply::Never => self.break_attempt(id),
        }
        self.check_shutdown(attempt.pod);
    }

    /// What the connection of an attempt speaks.
    pub(super) fn protocol_of(&self, attempt: &Attempt) -> Protocol {
        match self.connections.get(attempt.connection) {
            Some(connection) if connection.is_multiplexed => Protocol::Http2,
            Some(_) => Protocol::Http1,
            None => self.upstreams[attempt.upstream as usize].policy.pool.protocol,
        }
    }

    /// The client of an attempt that will never be answered has left: the app lets it go.
    pub(super) fn let_go(&mut self, id: Id<Attempt>) {
        let attempt = self.attempts[id];
        self.leave_app(id, &attempt);
        self.close_attempt(id);
        self.check_shutdown(attempt.pod);
    }

    /// The headers of an answer have come that is not whole: so much later its body comes, or a
    /// reset.
    pub(super) fn stream_body(&mut self, id: Id<Attempt>, after: Duration) {
        self.heard(id);
        if self.compiled.has.hedging {
            self.reset_tries(self.attempts[id].call, id);
        }
        let Attempt { upstream, host, outcome, .. } = self.attempts[id];
        self.judge_endpoint(upstream, host, outcome, false);
        let attempt = &mut self.attempts[id];
        attempt.phase = Phase::Streaming;
        attempt.pending += 1;
        self.queue.after(after, Event::Body(id.index()).pack());
    }

    /// An answer reaches the client proxy, from an app whose answers are not plain.
    #[cold]
    pub(super) fn returned_otherwise(&mut self, id: Id<Attempt>) {
        let attempt = self.attempts[id];
        let behaviour = self.workloads[attempt.workload.index()].behaviour;
        let outcome = attempt.outcome;
        if self.linkerd.is_some() {
            self.heard_by_linkerd(&attempt, true);
        }
        let idles = self.compiled.has.client_connections && self.notes_idle(&attempt);
        if idles || self.is_drained(&attempt) {
            self.retire_connection(attempt.connection);
        }
        if outcome.details == Details::RemoteResetAfterResponse {
            return self.finish_attempt(id, &attempt, outcome, false);
        }
        if outcome.details == Details::ResetAfterResponse {
            self.retire_connection(attempt.connection);
            return self.finish_attempt(id, &attempt, outcome, false);
        }
        if behaviour.is_plain() {
            return self.finish_attempt(id, &attempt, outcome, true);
        }
        let is_retried = self.will_retry(&attempt, outcome);
        if is_retried {
            self.reserve_retry(&attempt);
        }
        let is_h1 = self.protocol_of(&attempt) == Protocol::Http1;
        if behaviour.closes && is_h1 {
            self.retire_connection(attempt.connection);
        }
        match behaviour.reply {
            Reply::SlowBody(after) | Reply::HeadersThenReset(after) if !is_retried => {
                self.stream_body(id, after);
            }
            reply => {
                // What is to be tried again does not wait for its body.
                let is_whole = reply == Reply::Whole && !behaviour.has_body;
                self.finish_attempt(id, &attempt, outcome, is_whole || !is_retried);
            }
        }
    }

    /// A pod ends, and with it the answers of which it has sent no more than the headers.
    #[cold]
    pub(super) fn cut_bodies(&mut self, pod: u32) {
        let half = |one: &Attempt| one.pod == pod && one.phase == Phase::Streaming;
        let half: Vec<_> =
            self.attempts.iter().filter(|(_, one)| half(one)).map(|(id, _)| id).collect();
        for id in half {
            self.cut_body(id);
        }
    }

    fn cut_body(&mut self, id: Id<Attempt>) {
        let attempt = self.attempts[id];
        let status = attempt.outcome.status;
        let outcome = Outcome { status, ..Outcome::failure(Details::ResetAfterResponse) };
        self.retire_connection(attempt.connection);
        self.finish_attempt(id, &attempt, outcome, false);
    }

    /// The rest of an answer has come, or will never.
    pub(super) fn body(&mut self, slot: u32) {
        let Some((id, attempt)) = self.live_attempt(slot, Phase::Streaming) else { return };
        let workload = &self.workloads[attempt.workload.index()];
        if let Reply::HeadersThenReset(_) = workload.behaviour.reply {
            return self.cut_body(id);
        }
        self.finish_attempt(id, &attempt, attempt.outcome, true);
    }
}

/// How a proxy sees a request whose client gives it up.
pub(super) fn cancelled(protocol: Protocol) -> Outcome {
    Outcome::failure(match protocol {
        Protocol::Http1 => Details::DownstreamDisconnect,
        Protocol::Http2 => Details::DownstreamReset,
    })
}
