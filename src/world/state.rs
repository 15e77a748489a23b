//! The records of the world: calls, attempts, connections, pods, upstreams.
//!
//! Source: the words are Envoy's; see ARCHITECTURE.md for how they hang together.
//! Left out: anything that can be derived.

use super::balance::Balance;
use super::checks::Check;
pub(crate) use super::pod::{Life, Pod};
use super::sends::Request;
use crate::kernel::queue::{LaneId, Ticket, TimerId};
use crate::kernel::slab::Id;
use crate::kernel::stream::Key;
use crate::kernel::time::{Duration, Time};
use crate::model::identity::ticket::Ticket as SessionTicket;
use crate::model::proxy::breaker::Gauges;
use crate::model::proxy::merge_window::MergeWindow;
use crate::model::proxy::outlier::Health;
use crate::model::proxy::pool::Pool;
use crate::model::sampling::demand::Demand;
use crate::observe::accumulator::Sample;
use crate::plan::policy::ClusterPolicy;
use crate::plan::universe::{ClassId, ClusterId, RouteId, ServiceId, WorkloadId};
use crate::vocabulary::cause::CauseId;
use crate::vocabulary::flag::Flags;
use crate::vocabulary::outcome::Outcome;
use std::collections::BTreeMap;

/// No index.
pub(crate) const NONE: u32 = u32::MAX;

/// Whose request a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Parent {
    /// A source of traffic.
    Traffic(u32),
    /// A closed-loop user of a source.
    User(u32, u32),
    /// An attempt that an app works on; whether the app needs the answer.
    Visit(Id<Attempt>, bool),
    /// The same, of an app that gives the call up when its own client leaves.
    Tied(Id<Attempt>, bool),
    /// An attempt that a proxy sends on.
    Proxied(Id<Attempt>),
    /// A call that waits for its authorization; whether it passes if that cannot be had.
    Authorization(Id<Call>, bool),
    /// A call that waits while a rate limit service is asked.
    RateLimit(Id<Call>),
    /// A received request for which its sidecar asks a service.
    Inbound(Id<Attempt>),
    /// A request whose client may leave and send again.
    Sent(Id<Request>),
    /// A copy of another call, whose end interests nobody.
    Mirrored,
    /// A request that is not simulated: rare calls are, between the windows of a sampled run.
    Unsimulated,
}

/// What holds a call in a filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Held {
    /// Nothing.
    Not,
    /// A delay that is injected.
    Delay,
    /// An authorization service is asked.
    Authorization,
    /// A rate limit service is asked.
    RateLimit,
    /// Its client could not connect: its proxy knows nothing of it.
    AtDoor,
}

/// A request as its client proxy sees it; ends exactly once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub key: Key,
    /// The intended start.
    pub began: Time,
    pub parent: Parent,
    pub edge: u32,
    /// The batch that it is recorded in, or `UNRECORDED`.
    pub batch: u32,
    /// The client's pod.
    pub pod: u32,
    pub service: ServiceId,
    pub class: ClassId,
    pub route: RouteId,
    pub rule: u16,
    /// The lane of its per-try timeout.
    pub per_try: Option<LaneId>,
    /// An answer below 400 is never tried again.
    pub takes_success: bool,
    /// The client's worker.
    pub worker: u8,
    /// Attempts made.
    pub tries: u16,
    /// The next filter, in halves.
    pub filter: u8,
    pub held: Held,
    /// Flags of what happened on the way, beside those of the outcome.
    pub flags: Flags,
    /// A slot of the retry breaker is held.
    pub holds_retry: bool,
    /// Events in the queue that name this call.
    pub pending: u8,
    /// Ended; the record waits for its last event.
    pub is_over: bool,
    pub upstream: u32,
    pub attempt: Id<Attempt>,
    pub timeout: TimerId,
    /// The limit on hearing nothing.
    pub idle: TimerId,
    /// How the last attempt ended.
    pub outcome: Outcome,
    /// Workload of the last endpoint tried.
    pub workload: Option<WorkloadId>,
    pub cause: Option<CauseId>,
    /// The last endpoints tried, as host slots of the upstream; those before are in its `tried_before`.
    pub tried: [u32; LAST_TRIES],
}

/// As many endpoints as a call remembers by itself.
pub(crate) const LAST_TRIES: usize = 4;

impl Call {
    /// What recorders see of it when it ends.
    #[inline]
    pub(crate) fn sample(&self, latency: Duration, outcome: Outcome) -> Sample {
        let (attempts, batch) = (u32::from(self.tries), self.batch);
        let (is_ok, workload) = (outcome.is_ok(), self.workload);
        Sample { began: self.began, latency, outcome, is_ok, workload, attempts, batch }
    }
}

/// Where an attempt is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Waits for a connection.
    Waiting,
    /// On its way to the endpoint.
    Sent,
    /// In the server proxy.
    Inbound,
    /// Waits for a worker of the app.
    Queued,
    /// A worker works on it.
    Working,
    /// Waits for calls of its own.
    Calling,
    /// It will never be answered.
    Hung,
    /// The answer is on its way back.
    Answering,
    /// The client has the headers of its answer; the body is awaited.
    Streaming,
    /// Its connection broke; the client hears of it.
    Broken,
    /// Nothing is left to be done but to wait for events that name it.
    Over,
}

/// One try of a call at one endpoint, and the visit that it makes there.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each seen alone")]
pub(crate) struct Attempt {
    pub key: Key,
    /// The call; none if the client gave up.
    pub call: Id<Call>,
    /// That of its call.
    pub batch: u32,
    pub phase: Phase,
    pub pending: u8,
    pub upstream: u32,
    pub host: u32,
    pub worker: u8,
    /// How often a packet of it was sent again.
    pub resent: u8,
    /// Its packet was swallowed: the next event sends it again.
    pub is_held: bool,
    /// The client's pod.
    pub client: u32,
    /// The server's pod, its workload and its incarnation.
    pub pod: u32,
    pub workload: WorkloadId,
    pub birth: u32,
    pub connection: Id<Connection>,
    pub server_worker: u8,
    pub per_try: TimerId,
    /// When it reached the pod.
    pub arrived: Time,
    /// When it reached the app.
    pub entered: Time,
    /// Next step of the program.
    pub step: u16,
    /// Calls of its own that are open; before the app has it, retries of its sidecar.
    pub open_calls: u16,
    /// It holds a worker of the app.
    pub holds_worker: bool,
    /// It was admitted to the station (and has not left).
    pub present: bool,
    /// A call that it needed failed; of one that a proxy sends on: its client has left.
    pub call_failed: bool,
    /// The answer.
    pub outcome: Outcome,
    pub cause: Option<CauseId>,
    /// For packets that a cut swallows: when the first was sent.
    pub sent_at: Time,
}

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Link {
    /// No SYN is sent yet: ztunnel waits until it knows of the pod.
    Held,
    /// SYN sent.
    Opening,
    /// The SYN was swallowed; the next event sends another.
    Swallowed,
    /// The endpoint's port refuses.
    Refused,
    /// TCP is up at the endpoint; TLS and the way back remain.
    Accepted,
    /// Ready for requests.
    Open,
    /// Gone; the record waits for its last event.
    Closed,
}

/// A connection between a proxy worker and an endpoint.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each seen alone")]
pub(crate) struct Connection {
    pub link: Link,
    pub pending: u8,
    pub upstream: u32,
    pub host: u32,
    pub worker: u8,
    pub server_worker: u8,
    /// To be closed when its last stream ends.
    pub is_draining: bool,
    /// The server has refused the client's certificate; the first request will learn it.
    pub is_rejected: bool,
    /// It speaks TLS.
    pub is_encrypted: bool,
    /// It speaks HTTP/2.
    pub is_multiplexed: bool,
    /// It is not closed for being idle, as Linkerd's of HTTP/2.
    pub stays: bool,
    /// The server's pod and its incarnation.
    pub pod: u32,
    pub birth: u32,
    /// Its place in the server's list.
    pub place: u32,
    /// Its place in its upstream's list.
    pub client_place: u32,
    pub streams: u32,
    /// As many at once; 1 of HTTP/1.
    pub streams_max: u32,
    pub requests: u32,
    /// SYNs sent.
    pub syns: u8,
    pub timer: TimerId,
    pub churn: Ticket,
    /// The full handshake of a session ticket that is being redeemed.
    pub resumed: Option<Time>,
    pub key: Key,
}

/// An endpoint as one proxy sees it.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub pod: u32,
    /// In the endpoint list that the proxy has.
    pub is_member: bool,
    /// The balancer has been told that it is ejected.
    pub is_left_out: bool,
    /// Attempts under way.
    pub active: u32,
    pub health: Health,
    /// By worker.
    pub pools: Box<[Pool<Id<Connection>, Id<Attempt>>]>,
}

impl Host {
    /// Attempts that wait for a connection to it.
    pub(crate) fn waiting(&self) -> usize {
        self.pools.iter().map(Pool::waiting).sum()
    }
}

/// By which clock idle connections are closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IdleTimeout {
    /// By none.
    Never,
    /// By that of the world.
    OfWorld(LaneId),
    /// By that of traffic, which stands still between the windows of a sampled run.
    OfTraffic(LaneId),
}

/// A cluster as one proxy sees it; made at first use.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each seen alone")]
pub(crate) struct Upstream<'p> {
    pub pod: u32,
    pub cluster: ClusterId,
    /// How the cluster is treated.
    pub policy: &'p ClusterPolicy,
    /// The lane of its connections' idle timeout.
    pub idle_timeout: IdleTimeout,
    /// The endpoint version that `members` stands for.
    pub version: u32,
    /// Endpoints that were used, and such that left while in use.
    pub hosts: Vec<Host>,
    pub free_hosts: Vec<u32>,
    /// Endpoints that calls under way tried before their last four, as host slots, the first one first.
    pub tried_before: BTreeMap<u64, Vec<u32>>,
    /// By place in the endpoint list, which is in pod order: its host slot, [`NONE`] before its
    /// first use. The list itself is the configuration's.
    pub members: Vec<u32>,
    /// Members that are ejected.
    pub ejected: u32,
    /// What the balancer has been told of it, and when.
    pub merge: MergeWindow,
    /// Members that the balancer leaves out.
    pub left_out: u32,
    /// While it does: the others.
    pub usable: Vec<u32>,
    /// Choices among all endpoints of a priority in panic.
    pub panics: u32,
    /// Nobody is left out and all are alike: there is no `balance`.
    pub is_plain: bool,
    /// The balancer, where endpoints are not all alike.
    pub balance: Option<Box<Balance>>,
    pub gauges: Gauges,
    /// Round robin's position, by worker.
    pub turns: Box<[u32]>,
    pub has_tick: bool,
    /// Outlier detection compares endpoints by their answers.
    pub counts_answers: bool,
    pub session: Option<SessionTicket>,
    /// Its proxy was told that the cluster is gone, or another one.
    pub is_left: bool,
    /// By endpoint, in pod order: its active health checks.
    pub checks: Vec<(u32, Id<Check>)>,
    /// Connections open or being opened.
    pub connections: Vec<Id<Connection>>,
    /// The first and the last version without an endpoint to which it has connections; 0 if there
    /// is none, or it has caught up.
    pub gone: (u32, u32),
    /// Connections opened so far: names the next one's key.
    pub opened: u32,
    /// Traffic on it is never sampled, so its clock never stops.
    pub is_in_full: bool,
    /// What it would have been asked for in the gaps of a sampled run.
    pub demand: Demand,
}
