//! The record of a pod with its proxy.
//!
//! Source: the words are Kubernetes' and Istio's; see ARCHITECTURE.md for how records hang together.
//! Left out: anything that can be derived.

use super::census::Standing;
use super::config::Seen;
use super::state::{Attempt, Connection};
use super::streams::XdsStream;
use crate::kernel::queue::Ticket;
use crate::kernel::slab::Id;
use crate::kernel::time::{Duration, Time};
use crate::model::app::station::Station;
use crate::model::control::age::Age;
use crate::model::identity::certificate::Leaf;
use crate::model::identity::retry::RetryLoop;
use crate::model::proxy::workers::Workers;
use crate::plan::universe::{ClusterId, NodeId, WorkloadId};
use crate::vocabulary::cause::CauseId;

/// Who speaks for a pod in the mesh.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Its own proxy, if it has one.
    Own,
    /// The ztunnel of its node.
    Captured,
    /// No pod of a workload: the record of a node's ztunnel, which has the stream to istiod.
    Ztunnel,
    /// Nor this: the record of a certificate that a ztunnel has for an account.
    Account,
}

/// A pod's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Life {
    /// Created; image and containers are being prepared.
    Starting,
    /// Its containers run; the proxy waits for its certificate or configuration.
    WaitingForProxy,
    /// Serves.
    Ready,
    /// Told to end.
    Terminating,
    /// Crashed, may come back.
    Down,
    /// Deleted.
    Gone,
}

/// A pod with its proxy.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each seen alone")]
pub(crate) struct Pod {
    /// Of its name.
    pub hash: u64,
    pub workload: WorkloadId,
    pub node: NodeId,
    pub is_meshed: bool,
    pub kind: Kind,
    /// A proxy of its own, which knows HTTP, stands before it.
    pub has_sidecar: bool,
    /// The record that has its certificate: its own, or one of its ztunnel.
    pub holder: u32,
    pub ordinal: u32,
    /// The ReplicaSet: counts rollouts.
    pub generation: u32,
    /// Changed by `set_life` alone, which keeps the books of its workload.
    pub life: Life,
    /// What it adds to the census.
    pub standing: Standing,
    /// Counts incarnations: what happened to an earlier one does not concern this one.
    pub birth: u32,
    /// The scheduled next step of its life.
    pub life_ticket: Ticket,
    pub app_is_up: bool,
    pub proxy_is_up: bool,
    /// Stands still from, until.
    pub frozen: Option<(Time, Time)>,
    pub station: Station<Id<Attempt>>,
    pub shared: Ticket,
    pub workers: Workers,
    /// It has a proxy whose work takes time of these workers; that of others is free, or the app's.
    pub has_own_workers: bool,
    pub leaf: Option<Leaf>,
    /// The number of the next one: a proxy that starts again does not begin anew, since neither
    /// its keys nor its session tickets are those that it had.
    pub next_leaf: u32,
    pub renewal: Ticket,
    pub expiry: Ticket,
    /// The loop of certificate requests, while one is under way or failing.
    pub csr: Option<RetryLoop>,
    /// How long a failing try takes.
    pub csr_held: Duration,
    /// The loop waits for the CA: nothing is scheduled.
    pub csr_is_parked: bool,
    /// It is the pod's first certificate.
    pub csr_is_warmup: bool,
    /// The replica that signs.
    pub csr_replica: u32,
    /// Its process that was asked.
    pub csr_epoch: u32,
    /// The root that came with its last certificate, which it trusts.
    pub root: u32,
    /// Why its certificate is expired, or why it has none.
    pub leaf_cause: Option<CauseId>,
    /// Why its certificate is not renewed.
    pub renewal_cause: Option<CauseId>,
    pub stream: XdsStream,
    pub stream_loop: RetryLoop,
    pub stream_held: Duration,
    pub stream_is_parked: bool,
    pub stream_ticket: Ticket,
    /// The replica that is asked for admission.
    pub stream_replica: u32,
    pub connected_since: Time,
    /// When its stream ends of age.
    pub age: Age,
    /// Its stream has brought no configuration yet.
    pub is_new_stream: bool,
    pub seen: Seen,
    /// The version with which its proxy is counted among those that are up; 0 if it is not.
    pub live_version: u32,
    /// The push on its way: (replica, version, epoch of the stream).
    pub pushing: Option<(u32, u32, u32)>,
    /// Pushes on their way, those of lost streams included.
    pub pushes: u32,
    /// Counts lost streams.
    pub epoch: u32,
    /// (cluster, index into the world's upstreams), few.
    pub upstreams: Vec<(ClusterId, u32)>,
    /// Connections to it.
    pub serving: Vec<Id<Connection>>,
    /// Attempts that hold or wait for its app.
    pub visits: u32,
    /// Attempts that its proxy works on before they reach the app.
    pub inbound: u32,
    /// Its app ended under visits, whose calls may still be open.
    pub has_orphans: bool,
    /// What took it down.
    pub down_cause: Option<CauseId>,
}

impl Pod {
    /// Whether its port takes connections and requests.
    #[inline]
    pub(crate) fn is_listening(&self) -> bool {
        let is_up = if self.has_sidecar { self.proxy_is_up } else { self.app_is_up };
        is_up && !matches!(self.life, Life::Starting | Life::Down | Life::Gone)
    }

    /// Whether it is no pod of a workload, but a record of a ztunnel.
    pub(crate) fn is_of_ztunnel(&self) -> bool {
        matches!(self.kind, Kind::Ztunnel | Kind::Account)
    }

    /// Whether its proxy works on its app's cores.
    #[inline]
    pub(crate) fn takes_cores_of_app(&self) -> bool {
        self.is_meshed && !self.has_own_workers
    }

    /// Whether it can make calls.
    #[inline]
    pub(crate) fn is_client(&self) -> bool {
        self.proxy_is_up && !matches!(self.life, Life::Starting | Life::Down | Life::Gone)
    }

    /// Whether it has a proxy of the mesh that is up.
    pub(crate) fn has_live_proxy(&self) -> bool {
        self.proxy_is_up && self.is_meshed && !matches!(self.life, Life::Down | Life::Gone)
    }
}
