//! Requests of clients that have a mind of their own: who leaves when an answer takes too long, and
//! sends again what failed.
//!
//! A request is counted once, from its intended start to the answer that its client takes, or to its
//! giving up. Each send is a call with a key of its own; its proxy logs it as it sees it. A client
//! that leaves is a call that ends with 0 DC; what its proxy can cancel is cancelled, and the app
//! works on.
//!
//! Source: measured on Envoy 1.40 (family e06) for what a proxy logs; `model::client` for the rest.
//! Left out: sampled runs (an input error); the time that a frozen pod's own clients stand still.

use super::World;
use super::client::purpose;
use super::event::Event;
use super::state::{Call, Parent, Phase};
use crate::kernel::bytes::Bytes as _;
use crate::kernel::queue::{LaneId, Queue, TimerId};
use crate::kernel::slab::{Id, Slab};
use crate::kernel::stream::{Key, below};
use crate::kernel::time::{Duration, Time};
use crate::model::client::backoff;
use crate::model::client::budget::Budget;
use crate::observe::recorder::Ended;
use crate::plan::Plan;
use crate::vocabulary::outcome::{Details, Outcome};
use std::collections::BTreeMap;

/// A request of such a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    key: Key,
    /// The intended start.
    pub began: Time,
    parent: Parent,
    pub source: u32,
    client: u32,
    batch: u32,
    /// The send that is under way; none while it waits to send again.
    call: Id<Call>,
    timer: TimerId,
    /// Sends made.
    sends: u32,
    /// Attempts of those that have ended.
    attempts: u32,
    /// The last wait.
    wait: Duration,
}

impl Request {
    /// What names it in the digest.
    pub(super) const fn owner(&self) -> u64 {
        self.key.0
    }
}

/// All requests of such clients, and the clients.
#[derive(Default)]
pub(crate) struct Sends {
    pub(super) requests: Slab<Request>,
    /// By source: the lane of the timeout, and each client's budget.
    sources: BTreeMap<u32, (Option<LaneId>, Vec<Budget>)>,
}

impl Sends {
    /// The clients of a plan.
    pub(super) fn new(plan: &Plan, queue: &mut Queue) -> Self {
        let source = |(index, client): (&u32, &crate::plan::client::Client)| {
            let lane = (!client.timeout.is_zero()).then(|| queue.lane(client.timeout));
            let users = plan.traffic[*index as usize].arrivals.users();
            let count = client.count.max(users) as usize;
            (*index, (lane, vec![Budget::new(client); count]))
        };
        Self { requests: Slab::new(), sources: plan.clients.iter().map(source).collect() }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.requests.bytes() + self.sources.values().map(|(_, all)| all.bytes()).sum::<usize>()
    }
}

impl World<'_> {
    /// A request of a source begins: whose call its first send is.
    #[cold]
    pub(super) fn begin_request(
        &mut self,
        source: u32,
        key: Key,
        parent: Parent,
        batch: u32,
    ) -> Parent {
        let now = self.now;
        let plan = self.plan;
        let Some(policy) = plan.clients.get(&source) else { return parent };
        let (_, budgets) = self.sends.sources.get_mut(&source).expect("a source with clients");
        let client = match parent {
            Parent::User(_, user) => user as usize,
            _ => below(key.draw(0, purpose::WHICH_CLIENT), budgets.len()),
        };
        budgets[client].begin(policy, now);
        let id = self.sends.requests.insert(Request {
            key,
            began: now,
            parent,
            source,
            client: u32::try_from(client).expect("few clients"),
            batch,
            call: Id::NONE,
            timer: TimerId::NONE,
            sends: 0,
            attempts: 0,
            wait: Duration::ZERO,
        });
        self.expect_answer(id)
    }

    /// The next call is a request's next send.
    fn expect_answer(&mut self, id: Id<Request>) -> Parent {
        let request = &mut self.sends.requests[id];
        request.sends += 1;
        request.call = self.calls.next_id();
        let (lane, _) = self.sends.sources[&request.source];
        if let Some(lane) = lane {
            request.timer = self.queue.after_lane(lane, Event::ClientTimeout(id.index()).pack());
        }
        Parent::Sent(id)
    }

    /// A client has no whole answer in time: it leaves. A status that it has seen stays.
    pub(super) fn client_timeout(&mut self, slot: u32) {
        let (id, request) = self.sends.requests.at_mut(slot).expect("the timer of a request");
        request.timer = TimerId::NONE;
        let call = self.sends.requests[id].call;
        let attempt = self.attempts.get(self.calls[call].attempt);
        let mut outcome = Outcome::failure(Details::DownstreamDisconnect);
        if let Some(attempt) = attempt.filter(|one| one.phase == Phase::Streaming) {
            outcome.status = attempt.outcome.status;
        }
        self.cancel_call(call, outcome);
    }

    /// The call of a send ends.
    #[cold]
    #[inline(never)]
    pub(super) fn end_send(&mut self, id: Id<Call>, outcome: Outcome) {
        let call = self.calls[id];
        let Parent::Sent(request) = call.parent else { unreachable!("a send of a request") };
        let outcome = Outcome { flags: outcome.flags.and(call.flags), ..outcome };
        let sample = call.sample(self.now.since(call.began), outcome);
        let cause = if sample.is_ok { None } else { call.cause };
        self.log_call(id, outcome);
        if self.compiled.has.ends {
            self.leave_proxy(id, outcome);
        }
        self.close_call(id);
        self.send_ended(request, Ended { edge: call.edge, sample, cause });
    }

    /// A send has ended: its client takes what it got, or sends again.
    pub(super) fn send_ended(&mut self, id: Id<Request>, ended: Ended) {
        let request = &mut self.sends.requests[id];
        let timer = std::mem::replace(&mut request.timer, TimerId::NONE);
        request.call = Id::NONE;
        request.attempts += ended.sample.attempts;
        if !timer.is_none() {
            self.queue.cancel(timer);
        }
        if ended.sample.is_ok || !self.sends_again(id) {
            self.end_request(id, ended);
        }
    }

    /// Whether a client will send again what has failed.
    fn sends_again(&mut self, id: Id<Request>) -> bool {
        let request = &mut self.sends.requests[id];
        let policy = &self.plan.clients[&request.source];
        let (_, budgets) = self.sends.sources.get_mut(&request.source).expect("its clients");
        let budget = &mut budgets[request.client as usize];
        budget.failed(policy, self.now);
        if policy.attempts < request.sends || !budget.take(policy) {
            return false;
        }
        let draw = request.key.draw(request.sends, purpose::CLIENT_BACKOFF);
        request.wait = backoff::wait(&policy.backoff, request.sends, request.wait, draw);
        self.queue.after(request.wait, Event::SendAgain(id.index()).pack());
        true
    }

    /// A client sends again.
    pub(super) fn send_again(&mut self, slot: u32) {
        let id = self.sends.requests.id_at(slot).expect("a request that waits to be sent again");
        let Request { key, source, batch, sends, .. } = self.sends.requests[id];
        let key = key.child(sends);
        let target = self.compiled.traffic_targets[source as usize];
        let pod = self.client_pod(self.sources[source as usize].from, key);
        let parent = self.expect_answer(id);
        self.recorder.sent_again(self.now, batch);
        self.begin_call(key, parent, batch, pod, target);
    }

    /// The request's end, as the source's other requests have it.
    fn end_request(&mut self, id: Id<Request>, last: Ended) {
        let request = self.sends.requests.remove(id).expect("a request ends once");
        let latency = self.now.since(request.began);
        let (began, attempts) = (request.began, request.attempts);
        let mut ended = last;
        (ended.sample.began, ended.sample.latency, ended.sample.attempts) =
            (began, latency, attempts);
        self.recorder.ended(self.now, ended);
        self.ledger.root_ended(self.now, latency);
        if let Parent::User(source, user) = request.parent {
            self.user_thinks(source, user, Some(request.key));
        }
    }
}
