//! Requests of clients that have a mind of their own: who leaves when an answer takes too long, and
//! sends again what failed.
//!
//! A request is counted once, from its intended start to the answer that its client takes, or to its
//! giving up. Each send is a call with a key of its own; its proxy logs it as it sees it. A client
//! that leaves is a call that ends with 0 DC; what its proxy can cancel is cancelled, and the app
//! works on. What is different where the client is an app stands in `app_sends`.
//!
//! Source: measured on Envoy 1.40 (family e06) for what a proxy logs; `model::client` for the rest.
//! Left out: sampled runs (an input error); the time that a frozen pod's own clients stand still, but
//! for the sends that they owe.

use super::World;
use super::client::purpose;
use super::compiled::Target;
use super::event::Event;
use super::proxied::cancelled;
use super::state::{Attempt, Call, Parent, Phase};
use crate::kernel::bytes::Bytes as _;
use crate::kernel::queue::{LaneId, Queue, TimerId};
use crate::kernel::slab::{Id, Slab};
use crate::kernel::stream::{Key, below};
use crate::kernel::time::{Duration, Time};
use crate::model::client::backoff;
use crate::model::client::budget::Budget;
use crate::observe::recorder::Ended;
use crate::plan::Plan;
use crate::plan::client::Client;
use crate::plan::universe::WorkloadId;
use crate::vocabulary::outcome::{Details, Outcome};
use std::collections::BTreeMap;

/// Whose request it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sender {
    /// A source of traffic, and which of its clients.
    Source { source: u32, client: u32 },
    /// The app of a pod, and where its call goes.
    App { pod: u32, target: Target },
}

/// A request of such a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    key: Key,
    /// The intended start.
    began: Time,
    pub(super) parent: Parent,
    pub(super) sender: Sender,
    /// How its client behaves: an index into [`Sends::policies`].
    policy: u32,
    batch: u32,
    /// The send that is under way; none while it waits to send again.
    pub(super) call: Id<Call>,
    pub(super) timer: TimerId,
    /// Sends made.
    sends: u32,
    /// Attempts of those that have ended.
    attempts: u32,
    /// The last wait.
    wait: Duration,
    /// How the last send ended, while it waits to send again.
    pub(super) last: Option<Ended>,
    /// Ended while it waited; the record is there for the event that names it.
    pub(super) is_over: bool,
}

impl Request {
    /// What names it in the digest.
    pub(super) const fn owner(&self) -> u64 {
        self.key.0
    }

    /// The source of traffic that it comes from, if it comes from one.
    pub(super) const fn source(&self) -> Option<u32> {
        match self.sender {
            Sender::Source { source, .. } => Some(source),
            Sender::App { .. } => None,
        }
    }
}

/// A client's behaviour, and the lane of its timeout.
struct Policy {
    client: Client,
    lane: Option<LaneId>,
}

impl Policy {
    fn new(client: &Client, queue: &mut Queue) -> Self {
        let lane = (!client.timeout.is_zero()).then(|| queue.lane(client.timeout));
        Self { client: client.clone(), lane }
    }
}

/// All requests of such clients, and the clients.
#[derive(Default)]
pub(crate) struct Sends {
    pub(super) requests: Slab<Request>,
    policies: Vec<Policy>,
    /// By source: the behaviour of its clients, and the budget of each.
    sources: BTreeMap<u32, (u32, Vec<Budget>)>,
    /// By workload and call site: the behaviour of the app.
    pub(super) sites: BTreeMap<(WorkloadId, u32), u32>,
    /// By pod and behaviour: what its app remembers.
    pub(super) apps: BTreeMap<(u32, u32), Budget>,
    /// Requests that end with the visit that makes them.
    pub(super) tied: BTreeMap<Id<Attempt>, Vec<Id<Request>>>,
}

impl Sends {
    /// The clients of a plan.
    pub(super) fn new(plan: &Plan, queue: &mut Queue) -> Self {
        let mut sends = Self::default();
        for (index, client) in &plan.clients {
            let users = plan.traffic[*index as usize].arrivals.users();
            let count = client.count.max(users) as usize;
            let policy = sends.policy(client, queue);
            sends.sources.insert(*index, (policy, vec![Budget::new(client); count]));
        }
        for (workload, clients) in &plan.call_clients {
            let shared = clients.shared.as_ref().map(|client| sends.policy(client, queue));
            for site in plan.universe.workloads[workload.index()].call_sites() {
                let own = clients.own.get(&site.index);
                let policy = match own {
                    Some(own) if own.is_plain() => None,
                    Some(own) => Some(sends.policy(own, queue)),
                    None => shared,
                };
                if let Some(policy) = policy {
                    sends.sites.insert((*workload, site.index), policy);
                }
            }
        }
        sends
    }

    fn policy(&mut self, client: &Client, queue: &mut Queue) -> u32 {
        self.policies.push(Policy::new(client, queue));
        u32::try_from(self.policies.len() - 1).expect("few clients")
    }

    /// What a request's client remembers, and how it behaves.
    fn budget(&mut self, sender: Sender, policy: u32) -> (&mut Budget, &Client) {
        let client = &self.policies[policy as usize].client;
        let budget = match sender {
            Sender::Source { source, client } => {
                let (_, all) = self.sources.get_mut(&source).expect("a source with clients");
                &mut all[client as usize]
            }
            Sender::App { pod, .. } => {
                self.apps.entry((pod, policy)).or_insert_with(|| Budget::new(client))
            }
        };
        (budget, client)
    }

    /// Ages of the requests from sources that are under way.
    pub(super) fn ages(&self, now: Time) -> impl Iterator<Item = Duration> {
        let requests = self.requests.iter().map(|(_, request)| request);
        requests.filter(|one| one.source().is_some()).map(move |one| now.since(one.began))
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.requests.bytes()
            + self.policies.bytes()
            + self.sources.values().map(|(_, all)| all.bytes()).sum::<usize>()
            + self.sites.bytes()
            + self.apps.bytes()
            + self.tied.bytes()
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
        let Some((policy, budgets)) = self.sends.sources.get(&source) else { return parent };
        let client = match parent {
            Parent::User(_, user) => user as usize,
            _ => below(key.draw(0, purpose::WHICH_CLIENT), budgets.len()),
        };
        let client = u32::try_from(client).expect("few clients");
        let id = self.add_request(*policy, Sender::Source { source, client }, key, parent, batch);
        self.expect_answer(id)
    }

    /// A request is there, and counts at its client.
    pub(super) fn add_request(
        &mut self,
        policy: u32,
        sender: Sender,
        key: Key,
        parent: Parent,
        batch: u32,
    ) -> Id<Request> {
        let (budget, client) = self.sends.budget(sender, policy);
        budget.begin(client, self.now);
        self.sends.requests.insert(Request {
            key,
            began: self.now,
            parent,
            sender,
            policy,
            batch,
            call: Id::NONE,
            timer: TimerId::NONE,
            sends: 0,
            attempts: 0,
            wait: Duration::ZERO,
            last: None,
            is_over: false,
        })
    }

    /// The next call is a request's next send.
    pub(super) fn expect_answer(&mut self, id: Id<Request>) -> Parent {
        let request = &mut self.sends.requests[id];
        request.sends += 1;
        request.call = self.calls.next_id();
        request.last = None;
        if let Some(lane) = self.sends.policies[request.policy as usize].lane {
            request.timer = self.queue.after_lane(lane, Event::ClientTimeout(id.index()).pack());
        }
        Parent::Sent(id)
    }

    /// A client has no whole answer in time: it leaves. A status that it has seen stays.
    pub(super) fn client_timeout(&mut self, slot: u32) {
        let (_, request) = self.sends.requests.at_mut(slot).expect("the timer of a request");
        request.timer = TimerId::NONE;
        let Request { call, sender, .. } = *request;
        let mut outcome = match sender {
            Sender::Source { .. } => Outcome::failure(Details::DownstreamDisconnect),
            Sender::App { target, .. } => {
                cancelled(self.plan.universe.services[target.to.index()].protocol)
            }
        };
        let attempt = self.attempts.get(self.calls[call].attempt);
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
        let cause = if sample.is_ok { None } else { self.why(id, outcome) };
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
        if ended.sample.is_ok || !self.sends_again(id, ended) {
            self.end_request(id, ended);
        }
    }

    /// Whether a client will send again what has failed.
    fn sends_again(&mut self, id: Id<Request>, ended: Ended) -> bool {
        if !self.is_awaited(id) {
            return false;
        }
        let Request { key, sender, policy, sends, wait, parent, .. } = self.sends.requests[id];
        // An app sends nothing that could not begin within the time of its own request.
        let deadline = self.visit_of(parent).and_then(|visit| self.deadline_of(visit));
        let (budget, client) = self.sends.budget(sender, policy);
        budget.failed(client, self.now);
        let wait =
            backoff::wait(&client.backoff, sends, wait, key.draw(sends, purpose::CLIENT_BACKOFF));
        let is_late = deadline.is_some_and(|deadline| deadline <= self.now + wait);
        if client.attempts < sends || is_late || !budget.take(client) {
            return false;
        }
        let request = &mut self.sends.requests[id];
        request.wait = wait;
        request.last = Some(ended);
        self.queue.after(wait, Event::SendAgain(id.index()).pack());
        true
    }

    /// A client sends again.
    pub(super) fn send_again(&mut self, slot: u32) {
        let id = self.sends.requests.id_at(slot).expect("a request that waits to be sent again");
        let request = self.sends.requests[id];
        let Request { key, sender, batch, sends, is_over, parent: parent_of, .. } = request;
        if is_over {
            self.sends.requests.remove(id);
            return self.stale();
        }
        let key = key.child(sends);
        let (pod, target) = match sender {
            Sender::Source { source, .. } => {
                let from = self.sources[source as usize].from;
                (self.client_pod(from, key), self.compiled.traffic_targets[source as usize])
            }
            Sender::App { pod, target } => {
                if let Some(later) = self.thaws_at(pod, false) {
                    self.queue.at(later, Event::SendAgain(slot).pack());
                    return self.stale();
                }
                (pod, target)
            }
        };
        // A freeze may have put it off beyond the time of the app's own request.
        if let Some(last) = request.last
            && self.visit_of(parent_of).is_some_and(|visit| self.is_late(visit))
        {
            self.sends.requests[id].last = None;
            return self.end_request(id, last);
        }
        let parent = self.expect_answer(id);
        let made = self.calls.next_id();
        self.recorder.sent_again(self.now, batch);
        self.begin_call(key, parent, batch, pod, target);
        if let Some(visit) = self.visit_of(parent_of) {
            self.limit_call(visit, made);
        }
    }

    /// The request's end, as other requests of the source or the app have it.
    pub(super) fn end_request(&mut self, id: Id<Request>, last: Ended) {
        let request = self.close_request(id);
        let latency = self.now.since(request.began);
        let (began, attempts) = (request.began, request.attempts);
        let mut ended = last;
        (ended.sample.began, ended.sample.latency, ended.sample.attempts) =
            (began, latency, attempts);
        self.recorder.ended(self.now, ended);
        if let Parent::Visit(visit, required) | Parent::Tied(visit, required) = request.parent {
            return self.call_ended(visit, required, ended.sample.outcome, ended.cause);
        }
        self.ledger.root_ended(self.now, latency);
        if let Parent::User(source, user) = request.parent {
            self.user_thinks(source, user, Some(request.key));
        }
    }

    /// The request leaves the books; its record stays while an event names it.
    pub(super) fn close_request(&mut self, id: Id<Request>) -> Request {
        let request = self.sends.requests[id];
        assert!(!request.is_over, "a request ends once");
        if let Parent::Tied(visit, _) = request.parent {
            self.untie_request(visit, id);
        }
        if request.last.is_some() {
            self.sends.requests[id].is_over = true;
        } else {
            self.sends.requests.remove(id);
        }
        request
    }
}
