//! The timeline: what changes and breaks, when, for how long, on what.
//!
//! Every action is a pair: it is applied when its window opens and taken back when it closes.
//!
//! Source: the fault vocabulary of Kubernetes operations and Envoy; `swizzle` and the like are
//! written as several events.
//! Left out: DNS.

use crate::kernel::time::{Duration, Time};
use crate::plan::assertion::Expectation;
use crate::plan::balancing::{ClusterEndpoint, EndpointHealth};
use crate::plan::behaviour::Behaviour;
use crate::plan::discovery::XdsType;
use crate::plan::filter::FilterMask;
use crate::plan::identity::IdentityChange;
use crate::plan::linkerd::policy::LocalRateLimit;
use crate::plan::linkerd::rules::Server;
use crate::plan::pods::ClusterAction;
use crate::plan::reply::ErrorStatus;
use crate::plan::tls::{Secret, ServerTls};
use crate::plan::universe::{ClusterId, Errors, NodeId, RouteId, ServiceId, WorkloadId};

/// Something that happens.
#[derive(Clone, PartialEq, Debug)]
pub struct TimelineEvent {
    /// Names it: for assertions, phases, plots.
    pub id: String,
    /// When it begins.
    pub trigger: Trigger,
    /// How long it lasts; none for the rest of the run (or for an instant, as a rollout).
    pub lasts: Option<Duration>,
    /// What it does.
    pub action: Action,
    /// The action in words, for plots and the story ("istiod fails").
    pub label: String,
}

/// When an event begins.
#[derive(Clone, PartialEq, Debug)]
pub enum Trigger {
    /// At a time, and again every so often, so many times in all.
    At {
        /// First time.
        first: Time,
        /// Repeats after this.
        every: Option<Duration>,
        /// Times in all, at least 1.
        times: u32,
    },
    /// When an expectation has held for a while. At most once.
    When {
        /// The expectation over the trailing window.
        expectation: Expectation,
        /// It must hold for this long without a break.
        hold: Duration,
        /// The trailing window over which it is measured.
        window: Duration,
        /// Not before this.
        not_before: Time,
    },
}

/// Parts of the control plane that can fail apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ControlPart {
    /// All of istiod.
    All,
    /// The certificate authority.
    Ca,
    /// Configuration and endpoint discovery.
    Xds,
    /// The injection webhook.
    Injector,
    /// Linkerd's policy controller.
    Policy,
}

/// Which pods.
#[derive(Clone, PartialEq, Debug)]
pub enum PodSet {
    /// One pod by workload and birth ordinal.
    One(WorkloadId, u32),
    /// A share of the pods of these workloads, the lowest ordinals of each first, rounded up.
    Of(Vec<WorkloadId>, f64),
}

/// What new connections to a gateway find.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listening {
    /// A filter chain with these routes, whatever RDS says.
    Routes(RouteId),
    /// A filter chain with the routes that RDS says.
    Rds,
    /// Nothing.
    Gone,
}

/// How a drain tells clients to close their connections (Envoy's `--drain-strategy`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DrainStrategy {
    /// With each whole second of the drain more answers do; Envoy's default.
    Gradual,
    /// Every answer does; Istio's.
    Immediate,
}

/// Something that the control plane tells and a proxy may reject.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Resource {
    /// A cluster.
    Cluster(ClusterId),
    /// The routes of a service.
    Routes(ServiceId),
    /// The listener of the proxies of a workload.
    Listener(WorkloadId),
}

/// What an event does.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// All of these, in order.
    All(Vec<Action>),
    /// A share of istiod's replicas (rounded up) loses a part.
    FailControlPlane {
        /// The part.
        part: ControlPart,
        /// Share of the replicas, above 0, at most 1.
        share: f64,
    },
    /// A share of istiod's replicas (rounded up) follows the API server no more: they keep their
    /// view, push nothing new, and give it to new streams.
    FreezeControlPlane {
        /// Share of the replicas, above 0, at most 1.
        share: f64,
    },
    /// What a share of istiod's replicas (rounded up) computes takes `factor` times as long.
    SlowControlPlane {
        /// Share of the replicas, above 0, at most 1.
        share: f64,
        /// At least 0.
        factor: f64,
    },
    /// istiod pushes everything to everybody: a configuration was written that concerns all.
    PushAll,
    /// Pods crash: their ports refuse. They come back when the event ends.
    FailPods(PodSet),
    /// Only the app in the pods is down: its port refuses, the proxy lives.
    FailApps(PodSet),
    /// Pods crash and start again at once.
    RestartPods(PodSet),
    /// Pods stand still: nothing is refused, nothing answered.
    FreezePods(PodSet),
    /// Nodes lose power: packets to them vanish.
    FailNodes(Vec<NodeId>),
    /// Packets from the first to the second vanish (and back, if asked).
    CutLinks {
        /// From these nodes.
        from: Vec<NodeId>,
        /// To these.
        to: Vec<NodeId>,
        /// Also from the second to the first.
        both: bool,
    },
    /// Links get slower or lossy.
    DegradeLinks {
        /// From these nodes.
        from: Vec<NodeId>,
        /// To these.
        to: Vec<NodeId>,
        /// Also back.
        both: bool,
        /// Added one-way delay.
        delay: Duration,
        /// Added loss, 0 to 1.
        loss: f64,
    },
    /// Work takes `factor` times as long.
    SlowApps {
        /// These workloads.
        workloads: Vec<WorkloadId>,
        /// At least 0.
        factor: f64,
    },
    /// A share of answers is an error.
    AppErrors {
        /// These workloads.
        workloads: Vec<WorkloadId>,
        /// Share, 0 to 1.
        share: f64,
        /// Status.
        status: ErrorStatus,
    },
    /// Apps behave otherwise.
    Behave {
        /// These workloads.
        workloads: Vec<WorkloadId>,
        /// From now on.
        behaviour: Behaviour,
        /// Their own errors from now on; none for no change.
        errors: Option<Errors>,
        /// Each step of local work takes so long; none for no change.
        work: Option<Duration>,
    },
    /// A rolling update.
    Rollout(Vec<WorkloadId>),
    /// Pods are made from another template: a rolling update, and another one when it is taken back.
    SetTemplate(Vec<WorkloadId>),
    /// Another number of replicas.
    Scale {
        /// This workload.
        workload: WorkloadId,
        /// Wanted from now on.
        replicas: u32,
    },
    /// Another revision of the routes of a service, pushed by the control plane.
    SetRoutes {
        /// The service.
        service: ServiceId,
        /// The revision.
        route: RouteId,
    },
    /// Other filters of the proxies of a workload, pushed by the control plane.
    SetFilters {
        /// The workload.
        workload: WorkloadId,
        /// Which of its filters count.
        filters: FilterMask,
    },
    /// Another list of endpoints of a cluster, told by the control plane. Its pods do not notice.
    SetEndpoints {
        /// The cluster.
        cluster: ClusterId,
        /// The workloads whose ready pods are the endpoints.
        workloads: Vec<WorkloadId>,
    },
    /// The control plane tells another definition of a cluster. At time zero: how it begins.
    DefineCluster {
        /// The cluster that routes name.
        cluster: ClusterId,
        /// The one that stands for it from now on; none if it is not there.
        definition: Option<ClusterId>,
    },
    /// The control plane tells something that every proxy rejects (NACK): who has been told of it before
    /// keeps what it accepted last.
    Reject(Vec<Resource>),
    /// The control plane leaves out these types when it pushes.
    Withhold(Vec<XdsType>),
    /// A gateway's listener changes: new connections find the new one, the old ones are drained.
    SetListener {
        /// The gateway.
        workload: WorkloadId,
        /// What new connections find.
        listening: Listening,
        /// How long the old ones are drained.
        drain: Duration,
        /// How they are.
        strategy: DrainStrategy,
    },
    /// Proxies drain: their answers close connections.
    DrainProxies {
        /// Those of these pods.
        pods: PodSet,
        /// So long, more and more, and then they take no new connections; none for all answers from
        /// now on, as of a proxy that fails its health check.
        drain: Option<Duration>,
        /// How answers close connections meanwhile.
        strategy: DrainStrategy,
    },
    /// The control plane says something else of endpoints; what is not given stays.
    DescribeEndpoints {
        /// Those of these workloads.
        workloads: Vec<WorkloadId>,
        /// Relative weight, at least 1.
        weight: Option<u32>,
        /// Priority, 0 to 128.
        priority: Option<u32>,
        /// Health.
        health: Option<EndpointHealth>,
    },
    /// The control plane says something else of an endpoint in one cluster.
    DescribeClusterEndpoint {
        /// The cluster.
        cluster: ClusterId,
        /// The endpoint's workload.
        workload: WorkloadId,
        /// From now on.
        endpoint: ClusterEndpoint,
    },
    /// Proxies accept something else from now on.
    PeerAuthentication {
        /// Those of these workloads.
        workloads: Vec<WorkloadId>,
        /// What they accept.
        mode: ServerTls,
    },
    /// Linkerd: another `Server`, another `HTTPLocalRateLimitPolicy`, or neither any more. What is not given stays.
    SetServer {
        /// The service whose pods they are for.
        service: ServiceId,
        /// Who may call; none for the default policy.
        server: Option<Option<Server>>,
        /// How often; none for no limit.
        rate_limit: Option<Option<LocalRateLimit>>,
    },
    /// Proxies get another secret by SDS.
    RotateSecret {
        /// In their contexts as clients of these clusters.
        clusters: Vec<ClusterId>,
        /// In their contexts as servers of these workloads.
        workloads: Vec<WorkloadId>,
        /// The new one.
        secret: Secret,
    },
    /// Another authority, other clocks, other certificates.
    Identity(IdentityChange),
    /// Traffic is multiplied.
    ScaleTraffic {
        /// Indices into `Plan::traffic`.
        traffic: Vec<u32>,
        /// At least 0.
        factor: f64,
    },
    /// Something happens to Kubernetes, or to its webhook.
    Cluster(ClusterAction),
    /// A mark on the plots, nothing else.
    Note,
}

impl TimelineEvent {
    /// What it does, one by one.
    pub fn actions(&self) -> &[Action] {
        self.action.parts()
    }
}

impl Action {
    /// Each of its parts; itself if it has none.
    pub fn parts(&self) -> &[Self] {
        match self {
            Self::All(parts) => parts,
            one => std::slice::from_ref(one),
        }
    }
}
