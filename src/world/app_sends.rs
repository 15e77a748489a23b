//! Calls of apps that have a client: who leaves a call that takes too long, and sends again what failed.
//!
//! To the app's request such a call is one call, which ends as its last send did. The bucket and the
//! breaker are the process's: all requests in a pod share them, and they begin anew with the app. When the
//! request's own client leaves an app that passes that on (`calls`), the send in flight is cancelled, and
//! nothing is sent again. When the app ends, what waits to be sent again is forgotten; a send in flight
//! ends with its proxy, or by itself, with nobody to tell.
//!
//! Source: `sends`; retries of the AWS SDKs and of gRPC clients are such settings of a process.
//! Left out: budgets that pods share; hedging.

use super::World;
use super::compiled::CompiledCall;
use super::proxied::cancelled;
use super::sends::{Request, Sender};
use super::state::{Attempt, Parent, Phase};
use crate::kernel::queue::TimerId;
use crate::kernel::slab::Id;
use crate::observe::recorder::Ended;

impl World<'_> {
    /// Whose the next call is, which an app makes that watches over its calls.
    #[cold]
    pub(super) fn watched(
        &mut self,
        visit: Id<Attempt>,
        batch: u32,
        call: &CompiledCall,
    ) -> Parent {
        let Attempt { key, pod, workload, .. } = self.attempts[visit];
        let is_tied = self.cancels_calls(workload);
        let parent = if is_tied {
            Parent::Tied(visit, call.required)
        } else {
            Parent::Visit(visit, call.required)
        };
        let Some(policy) = self.sends.sites.get(&(workload, call.index)).copied() else {
            if is_tied {
                self.tied.entry(visit).or_default().push(self.calls.next_id());
            }
            return parent;
        };
        let sender = Sender::App { pod, target: call.target };
        let id = self.add_request(policy, sender, key.child(call.index), parent, batch);
        if is_tied {
            self.sends.tied.entry(visit).or_default().push(id);
        }
        self.expect_answer(id)
    }

    /// Whether anybody waits for a request's answer.
    pub(super) fn is_awaited(&self, id: Id<Request>) -> bool {
        match self.sends.requests[id].parent {
            Parent::Visit(visit, _) | Parent::Tied(visit, _) => {
                self.is_calling(visit) && !self.left.contains(&visit)
            }
            _ => true,
        }
    }

    fn is_calling(&self, visit: Id<Attempt>) -> bool {
        self.attempts.get(visit).is_some_and(|attempt| attempt.phase == Phase::Calling)
    }

    /// An app hears that the client of a visit has left: its requests end.
    pub(super) fn leave_requests(&mut self, visit: Id<Attempt>) {
        for id in self.sends.tied.remove(&visit).unwrap_or_default() {
            let Request { call, last, sender, .. } = self.sends.requests[id];
            if let Some(last) = last {
                self.end_request(id, last);
            } else if let Sender::App { target, .. } = sender {
                let protocol = self.plan.universe.services[target.to.index()].protocol;
                self.cancel_call(call, cancelled(protocol));
            }
        }
    }

    /// A request that would have ended with its visit is over.
    pub(super) fn untie_request(&mut self, visit: Id<Attempt>, id: Id<Request>) {
        if let Some(requests) = self.sends.tied.get_mut(&visit) {
            requests.retain(|one| *one != id);
            if requests.is_empty() {
                self.sends.tied.remove(&visit);
            }
        }
    }

    /// The app of a pod ends, and with it what it remembers and owes.
    #[cold]
    #[inline(never)]
    pub(super) fn forget_requests(&mut self, index: u32) {
        let budgets = self.sends.apps.range((index, 0)..=(index, u32::MAX));
        for key in budgets.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.sends.apps.remove(&key);
        }
        // Most pods that end have nothing left to do: no look at all requests then.
        if self.pods[index as usize].visits == 0 {
            return;
        }
        let is_here = |one: &Request| {
            !one.is_over && matches!(one.sender, Sender::App { pod, .. } if pod == index)
        };
        let here = self.sends.requests.iter().filter(|(_, one)| is_here(one));
        for id in here.map(|(id, _)| id).collect::<Vec<_>>() {
            let request = &mut self.sends.requests[id];
            let timer = std::mem::replace(&mut request.timer, TimerId::NONE);
            if !timer.is_none() {
                self.queue.cancel(timer);
            }
            if self.sends.requests[id].last.is_some() {
                self.close_request(id);
            }
        }
    }

    /// The pod of a send crashed. A source's client learns it; an app has ended with its pod.
    pub(super) fn send_dropped(&mut self, id: Id<Request>, ended: Ended) {
        if self.sends.requests[id].source().is_some() {
            return self.send_ended(id, ended);
        }
        self.close_request(id);
    }

    /// Each request of an app is in flight, or its visit waits for it to be sent again.
    pub(super) fn audit_sends(&self) {
        for (id, request) in self.sends.requests.iter() {
            let (Parent::Visit(visit, _) | Parent::Tied(visit, _)) = request.parent else {
                assert!(!request.is_over, "a source's request is over, and there");
                continue;
            };
            let is_tied = self.sends.tied.get(&visit).is_some_and(|all| all.contains(&id));
            let ends_with_visit = matches!(request.parent, Parent::Tied(..)) && !request.is_over;
            assert!(!is_tied || ends_with_visit, "a request is over, and would end with its visit");
            if request.last.is_some() {
                assert!(request.timer.is_none(), "who waits to send again waits for no answer");
                assert!(
                    request.is_over || self.is_calling(visit) && is_tied == ends_with_visit,
                    "an app owes a send to a request that does not wait for it"
                );
            } else {
                let call = self.calls.get(request.call).filter(|call| !call.is_over);
                let is_own = call.is_some_and(|call| call.parent == Parent::Sent(id));
                assert!(is_own, "a request of an app is neither in flight nor to be sent again");
            }
        }
        let mut tied = self.sends.tied.values().flatten();
        assert!(
            tied.all(|id| self.sends.requests.get(*id).is_some()),
            "a request that would end with its visit is gone"
        );
    }
}
