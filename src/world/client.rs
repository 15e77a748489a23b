//! Sources of traffic: when the next request comes, and at which pod.
//!
//! Source: open and closed loop as in `plan::traffic`.
//! Left out: sessions of users across requests.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use super::World;
use super::event::Event;
use super::samplers::Samplers;
use super::state::{NONE, Parent};
use crate::kernel::queue::Ticket;
use crate::kernel::sampler::Sampler;
use crate::kernel::stream::{Key, Stream, below};
use crate::kernel::time::{Duration, Time};
use crate::model::traffic::source::{Gaps, RateProfile};
use crate::plan::traffic::{Arrivals, Traffic};
use crate::plan::universe::{ClassId, WorkloadId};

/// What a key is drawn for. Written numbers: part of every golden.
pub(crate) mod purpose {
    /// Which client pod.
    pub(crate) const CLIENT: u32 = 1;
    /// Which worker of the client proxy.
    pub(crate) const WORKER: u32 = 2;
    /// Which of the weighted clusters.
    pub(crate) const SPLIT: u32 = 3;
    /// Which endpoint; further picks add to it.
    pub(crate) const ENDPOINT: u32 = 16;
    /// Delay of the request's link.
    pub(crate) const LINK_OUT: u32 = 4;
    /// Delay of the answer's link.
    pub(crate) const LINK_BACK: u32 = 5;
    /// Loss of the request.
    pub(crate) const LOSS_OUT: u32 = 6;
    /// Loss of the answer.
    pub(crate) const LOSS_BACK: u32 = 7;
    /// Whether the app fails.
    pub(crate) const ERROR: u32 = 8;
    /// Back-off.
    pub(crate) const BACKOFF: u32 = 9;
    /// The key of the visit.
    pub(crate) const VISIT: u32 = 10;
    /// Which worker of the server proxy.
    pub(crate) const SERVER_WORKER: u32 = 11;
    /// When a connection is churned.
    pub(crate) const CHURN: u32 = 12;
    /// Think time.
    pub(crate) const THINK: u32 = 13;
    /// Whether a fault filter delays.
    pub(crate) const FAULT_DELAY: u32 = 15;
    /// Whether a fault filter aborts.
    pub(crate) const FAULT_ABORT: u32 = 240;
    /// How long a client waits before it sends again.
    pub(crate) const CLIENT_BACKOFF: u32 = 241;
    /// Which client of an open loop.
    pub(crate) const WHICH_CLIENT: u32 = 242;
    /// Whether it is of the share that is dropped.
    pub(crate) const DROP_OVERLOAD: u32 = 243;
    /// Whether an answer of a proxy that drains closes its connection.
    pub(crate) const DRAIN: u32 = 244;
    /// How long a sidecar waits before it tries its app again; drawn by the number of the retry.
    pub(crate) const INBOUND_BACKOFF: u32 = 245;
    /// Whether admission control refuses a request.
    pub(crate) const ADMISSION: u32 = 246;
    /// Whether a proxy under pressure refuses a request.
    pub(crate) const OVERLOAD: u32 = 247;
    /// Whether an overloaded proxy closes the connection of an answer.
    pub(crate) const KEEP_ALIVE: u32 = 248;
    /// Whether an overloaded proxy closes a connection that comes.
    pub(crate) const AT_DOOR: u32 = 249;
    /// Whether a request is mirrored; the number of the copy is added.
    pub(crate) const MIRROR: u32 = 512;
    /// How long Linkerd shuts an endpoint out.
    pub(crate) const PENALTY: u32 = 250;
    /// Which number of a range in a header.
    pub(crate) const SESSION: u32 = 14;
    /// When an empty pool is needed in a gap; the worker is added.
    pub(crate) const DEMAND: u32 = 1024;
    /// Local work; the step is added.
    pub(crate) const WORK: u32 = 256;
    /// Whether a call is made; the site is added.
    pub(crate) const CALL: u32 = 4096;
}

/// A source while running.
pub(crate) struct Source {
    pub hash: u64,
    pub from: WorkloadId,
    keys: Stream,
    kind: Kind,
    next: Ticket,
    /// Requests so far, where they are of several classes in turn.
    turn: usize,
}

#[expect(clippy::large_enum_variant, reason = "one a source of traffic, and most are open")]
enum Kind {
    Open {
        gaps: Gaps,
        stream: Stream,
    },
    Replay {
        times: Vec<Time>,
        next: usize,
    },
    Closed {
        think: Sampler,
    },
    /// Requests that are left.
    Shared {
        think: Duration,
        left: u64,
    },
}

impl Source {
    /// The source of `traffic`.
    pub(crate) fn new(traffic: &Traffic, seed: u64, samplers: &mut Samplers) -> Self {
        let kind = match &traffic.arrivals {
            Arrivals::OpenLoop { process, rate } => Kind::Open {
                gaps: Gaps::new(*process, RateProfile::new(rate), samplers.of(&Gaps::unit())),
                stream: Stream::new(seed, "arrivals", &traffic.id),
            },
            Arrivals::Replay(times) => Kind::Replay { times: times.clone(), next: 0 },
            Arrivals::ClosedLoop { think, .. } => Kind::Closed { think: samplers.of(think) },
            Arrivals::Shared { think, requests, .. } => {
                Kind::Shared { think: *think, left: *requests }
            }
        };
        Self {
            hash: crate::kernel::stream::name_hash(&traffic.id),
            from: traffic.from,
            keys: Stream::new(seed, "request keys", &traffic.id),
            kind,
            next: Ticket::NONE,
            turn: 0,
        }
    }
}

impl World<'_> {
    /// Schedules every source's first request.
    pub(super) fn begin_traffic(&mut self) {
        for index in 0..self.sources.len() {
            let slot = u32::try_from(index).expect("few sources");
            match &self.plan.traffic[index].arrivals {
                Arrivals::ClosedLoop { users, .. } => {
                    (0..*users).for_each(|user| self.user_thinks(slot, user, None));
                }
                Arrivals::Shared { from, users, .. } => {
                    (0..*users).for_each(|user| self.user_takes(slot, user, *from));
                }
                Arrivals::OpenLoop { .. } | Arrivals::Replay(_) => self.schedule_arrival(slot),
            }
        }
    }

    /// A request's intended start.
    pub(super) fn arrive(&mut self, index: u32, ticket: Ticket) {
        let source = &mut self.sources[index as usize];
        self.owner = source.hash;
        if source.next != ticket {
            return self.stale();
        }
        let key = Key(source.keys.next_u64());
        self.schedule_arrival(index);
        self.begin_root(index, key, Parent::Traffic(index));
    }

    /// The rate of a source changes by a factor.
    pub(super) fn scale_traffic(&mut self, index: u32, factor: f64) {
        let now = self.now;
        let rests = self.rests(index);
        if let Kind::Open { gaps, .. } = &mut self.sources[index as usize].kind {
            let next = gaps.scale(now, factor);
            if !rests {
                self.set_arrival(index, next);
            }
        }
    }

    /// Requests of a source stop: what was scheduled is void. Users think on.
    pub(super) fn stop_source(&mut self, index: u32) {
        let source = &mut self.sources[index as usize];
        source.next = Ticket::NONE;
        if let Kind::Open { gaps, .. } = &mut source.kind {
            gaps.forget();
        }
    }

    /// Requests of a source come again.
    pub(super) fn start_source(&mut self, index: u32) {
        let now = self.now;
        if let Kind::Replay { times, next } = &mut self.sources[index as usize].kind {
            *next += times[*next..].partition_point(|time| *time < now);
        }
        self.schedule_arrival(index);
    }

    #[inline(always)]
    fn schedule_arrival(&mut self, index: u32) {
        let now = self.now;
        let next = match &mut self.sources[index as usize].kind {
            Kind::Open { gaps, stream } => gaps.next(now, stream.next_u64()),
            Kind::Replay { times, next } => {
                let time = times.get(*next).copied();
                *next += 1;
                time
            }
            Kind::Closed { .. } | Kind::Shared { .. } => None,
        };
        self.set_arrival(index, next);
    }

    #[inline(always)]
    fn set_arrival(&mut self, index: u32, next: Option<Time>) {
        let ticket = match next {
            Some(time) if time < self.end => self.queue.at(time, Event::Arrive(index).pack()),
            _ => Ticket::NONE,
        };
        self.sources[index as usize].next = ticket;
    }

    #[inline(always)]
    fn begin_root(&mut self, index: u32, key: Key, parent: Parent) {
        let mut target = self.compiled.traffic_targets[index as usize];
        if self.compiled.has.turns {
            target.class = self.class_in_turn(index, target.class);
        }
        self.ledger.root_began(self.now);
        let client = self.client_pod(self.sources[index as usize].from, key);
        let batch = self.batch_of(index);
        let parent = if self.compiled.has.clients {
            self.begin_request(index, key, parent, batch)
        } else {
            parent
        };
        self.begin_call(key, parent, batch, client, target);
    }

    /// The class of a source's next request.
    #[cold]
    fn class_in_turn(&mut self, index: u32, only: ClassId) -> ClassId {
        let turns = &self.plan.traffic[index as usize].turns;
        let source = &mut self.sources[index as usize];
        let turn = source.turn;
        source.turn += 1;
        turns.get(turn % turns.len().max(1)).copied().unwrap_or(only)
    }

    /// A ready pod of the workload; [`NONE`] if there is none.
    #[inline(always)]
    pub(super) fn client_pod(&self, workload: WorkloadId, key: Key) -> u32 {
        let ready = &self.workloads[workload.index()].ready;
        match ready.len() {
            0 => NONE,
            1 => ready[0],
            count => ready[below(key.draw(0, purpose::CLIENT), count)],
        }
    }

    // === closed loop: a user is a slot of `users` ===

    /// A user's request ended (or the user comes): think, then ask.
    pub(super) fn user_thinks(&mut self, source: u32, user: u32, key: Option<Key>) {
        let entry = &mut self.sources[source as usize];
        let think = match &entry.kind {
            Kind::Closed { think } => think,
            Kind::Shared { think, .. } => {
                let at = self.now.saturating_add(*think);
                return self.user_takes(source, user, at);
            }
            Kind::Open { .. } | Kind::Replay { .. } => return,
        };
        let draw = match key {
            Some(key) => key.draw(0, purpose::THINK),
            None => entry.keys.next_u64(),
        };
        let thinks = think.sample(draw);
        let slot = self.user_slot(source, user);
        if self.is_sampled(source) && !self.user_is_due(slot, thinks) {
            return;
        }
        let time = self.now.saturating_add(thinks);
        if time < self.end {
            self.queue.at(time, Event::UserReturns(slot).pack());
        }
    }

    /// A user takes one of the requests that are left, for the instant `at`.
    fn user_takes(&mut self, source: u32, user: u32, at: Time) {
        let slot = self.user_slot(source, user);
        let Kind::Shared { left, .. } = &mut self.sources[source as usize].kind else { return };
        if *left != 0 && at < self.end {
            *left -= 1;
            self.queue.at(at, Event::UserReturns(slot).pack());
        }
    }

    /// A user has thought.
    pub(super) fn user_returns(&mut self, slot: u32) {
        let (source, user) = self.user_of_slot(slot);
        if self.is_sampled(source) && !self.user_has_thought(slot) {
            return self.stale();
        }
        let key = Key(self.sources[source as usize].keys.next_u64());
        self.begin_root(source, key, Parent::User(source, user));
    }

    /// Users of all sources, numbered through.
    pub(super) fn user_slot(&self, source: u32, user: u32) -> u32 {
        self.users_before(source) + user
    }

    fn user_of_slot(&self, slot: u32) -> (u32, u32) {
        let mut source = 0;
        while self.users_before(source + 1) <= slot {
            source += 1;
        }
        (source, slot - self.users_before(source))
    }

    fn users_before(&self, source: u32) -> u32 {
        self.plan.traffic[..source as usize].iter().map(|one| one.arrivals.users()).sum()
    }

    /// Whether the pod can make calls.
    pub(super) fn is_client(&self, pod: u32) -> bool {
        self.pods[pod as usize].is_client()
    }
}
