//! The universe: every place, service, workload, cluster and route that can ever exist in a run.
//!
//! All vectors are in name order, so that ids, and with them every draw, do not depend on the
//! order of tables in a file.
//!
//! Source: the words of Kubernetes (node, service, labels) and Istio (workload, subset, waypoint).
//! Left out: namespaces, ports (they come with manifests).

use crate::kernel::distribution::Distribution;
use crate::kernel::time::Duration;
use crate::plan::behaviour::Behaviour;
use crate::plan::filter::Filter;
use crate::plan::policy::{ClusterPolicy, Protocol};
use crate::plan::reply::ErrorStatus;
use crate::plan::route::RouteTable;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(pub u32);

        impl $name {
            /// The index into the universe's vector.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    )* };
}

ids! {
    /// Names a zone.
    ZoneId,
    /// Names a node.
    NodeId,
    /// Names a service.
    ServiceId,
    /// Names a workload.
    WorkloadId,
    /// Names a cluster: a service or one version of it, as a proxy sees it.
    ClusterId,
    /// Names a route table: one revision of a service's routes.
    RouteId,
    /// Names a class of requests: method, path and headers.
    ClassId
}

/// Everything that can exist.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Universe {
    /// Zones; at least one.
    pub zones: Vec<String>,
    /// Nodes; at least one.
    pub nodes: Vec<Node>,
    /// Links that the scenario declares, over the defaults of the network parameters.
    pub links: Vec<Link>,
    /// Services that clients call.
    pub services: Vec<Service>,
    /// What runs behind them; the gateway `ingress` among them if traffic comes from there.
    pub workloads: Vec<Workload>,
    /// Clusters.
    pub clusters: Vec<Cluster>,
    /// Route tables, all revisions.
    pub routes: Vec<RouteTable>,
    /// Classes of requests.
    pub classes: Vec<RequestClass>,
}

impl Universe {
    /// What stands behind a service that is called through a waypoint.
    pub fn behind(&self, service: ServiceId) -> Option<ServiceId> {
        let waypoint = self.services[service.index()].workloads.first()?;
        match self.workloads[waypoint.index()].program.first()? {
            Step::Onward(ways) => ways.get(&service).copied(),
            _ => None,
        }
    }

    /// Services in name order, without those that stand for another one as it is called through a
    /// waypoint, which come last.
    pub fn declared_services(&self) -> &[Service] {
        let called = self.workloads.iter().filter(|one| one.role == Role::Waypoint);
        let called = called.flat_map(|one| &one.program).map(|step| match step {
            Step::Onward(ways) => ways.len(),
            _ => 0,
        });
        &self.services[..self.services.len() - called.sum::<usize>()]
    }
}

/// A machine.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// Name.
    pub name: String,
    /// Its zone.
    pub zone: ZoneId,
}

/// An end of a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    /// A node.
    Node(NodeId),
    /// A zone.
    Zone(ZoneId),
}

/// One direction of a link between two places, replacing the default between them.
#[derive(Clone, PartialEq, Debug)]
pub struct Link {
    /// From here.
    pub from: Place,
    /// To there.
    pub to: Place,
    /// One-way delay.
    pub delay: Distribution,
    /// Share of packets lost, 0 to 1.
    pub loss: f64,
    /// Bits per second; none for no limit.
    pub bandwidth_bps: Option<f64>,
}

/// A stable name that clients call.
#[derive(Clone, PartialEq, Debug)]
pub struct Service {
    /// Name.
    pub name: String,
    /// Labels that select its workloads.
    pub selector: BTreeMap<String, String>,
    /// Workloads that the selector selects, in id order. Many to many.
    pub workloads: Vec<WorkloadId>,
    /// Protocol between proxies.
    pub protocol: Protocol,
    /// The routes in force at time zero.
    pub route: RouteId,
}

/// A set of endpoints as a proxy sees it: a service, or one version of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Cluster {
    /// `reviews`, or `reviews/v2`.
    pub name: String,
    /// The service.
    pub service: ServiceId,
    /// Its workloads, in id order.
    pub workloads: Vec<WorkloadId>,
    /// How the cluster is treated.
    pub policy: ClusterPolicy,
}

/// What a workload is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// An app.
    App,
    /// A gateway: a proxy without an app, where traffic from outside enters.
    Gateway,
    /// A waypoint of an ambient mesh: a proxy without an app, through which services are called.
    Waypoint,
}

/// Replicas of one version.
#[derive(Clone, PartialEq, Debug)]
pub struct Workload {
    /// `reviews-v2`; pods are `reviews-v2-0`, `reviews-v2-1`, … by birth ordinal.
    pub name: String,
    /// The service that declares it.
    pub app: String,
    /// The version; empty if the scenario gives none.
    pub version: String,
    /// Labels, `app` and `version` among them.
    pub labels: BTreeMap<String, String>,
    /// App or gateway.
    pub role: Role,
    /// Whether its pods get a sidecar.
    pub meshed: bool,
    /// Pods wanted at time zero.
    pub replicas: u32,
    /// Nodes that its pods are spread over, one after the other. Workloads without a place of their
    /// own share one list.
    pub nodes: NodeList,
    /// The app.
    pub station: Station,
    /// What the app does for a request, in order.
    pub program: Vec<Step>,
    /// How it fails by itself.
    pub errors: Errors,
    /// How it behaves towards those who connect to it.
    pub behaviour: Behaviour,
    /// Filters of its proxy, for the requests that it sends, in order.
    pub filters: Vec<Filter>,
    /// Filters of its sidecars, for the requests that they receive, in order.
    pub inbound: Vec<Filter>,
    /// How its pods are replaced.
    pub rollout: Rollout,
    /// From the pod's creation to the start of its containers.
    pub start_time: Distribution,
    /// How a pod ends.
    pub shutdown: Shutdown,
}

impl Workload {
    /// The calls of its program.
    pub fn call_sites(&self) -> impl Iterator<Item = &CallSite> {
        self.program.iter().flat_map(|step| match step {
            Step::Calls(sites) => &sites[..],
            Step::Work(_) | Step::Forward(_) | Step::Onward(_) => &[],
        })
    }
}

/// Nodes in id order.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeList(pub Arc<[NodeId]>);

impl Deref for NodeList {
    type Target = [NodeId];

    fn deref(&self) -> &[NodeId] {
        &self.0
    }
}

/// As derived, a piece at a time: plans are folded into their digest as text, and the lists of
/// 10,000 workloads that run on 33,000 nodes have 4.6 GB of it.
impl fmt::Debug for NodeList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(8192);
        f.write_str("[")?;
        for (index, node) in self.0.iter().enumerate() {
            text.push_str(if index == 0 { "NodeId(" } else { ", NodeId(" });
            push_digits(&mut text, node.0);
            text.push(')');
            if 8000 < text.len() {
                f.write_str(&text)?;
                text.clear();
            }
        }
        f.write_str(&text)?;
        f.write_str("]")
    }
}

/// The app's capacity.
#[derive(Clone, PartialEq, Debug)]
pub struct Station {
    /// Requests worked on at once, at least 1.
    pub workers: u32,
    /// Requests that may wait; more are answered 503. None for no limit.
    pub queue: Option<u32>,
    /// Order of service.
    pub discipline: Discipline,
}

/// Order of service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Discipline {
    /// First come, first served by each worker.
    Fifo,
    /// The workers are shared equally by all who are present.
    ProcessorSharing,
}

/// One step of an app's program.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// Local work on a worker.
    Work(Distribution),
    /// Calls made at once; the step ends when all have ended. One call is the sequential case.
    Calls(Vec<CallSite>),
    /// A proxy without an app sends the request on, by the routes of this service, and passes the
    /// answer back. The only step of its program.
    Forward(ServiceId),
    /// A waypoint sends a request on: from each service as it is called to what stands behind it. The
    /// only step of its program.
    Onward(BTreeMap<ServiceId, ServiceId>),
}

/// A call that an app makes.
#[derive(Clone, PartialEq, Debug)]
pub struct CallSite {
    /// The service called.
    pub to: ServiceId,
    /// The class of the request.
    pub class: ClassId,
    /// Share of requests that make the call, 0 to 1.
    pub probability: f64,
    /// Whether the worker waits for the answer (thread per request) or not (async).
    pub holds_worker: bool,
    /// Whether a failed call fails the caller (with 500), or is passed over.
    pub required: bool,
    /// Numbers the call sites of a workload, for the random keys.
    pub index: u32,
}

/// How an app fails by itself.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Errors {
    /// Share of requests that end with an error after their work, 0 to 1.
    pub share: f64,
    /// The status of those.
    pub status: ErrorStatus,
}

/// How a deployment replaces its pods.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rollout {
    /// Pods above the wanted number, as a share, rounded up.
    pub max_surge: f64,
    /// Pods below it, as a share, rounded down.
    pub max_unavailable: f64,
}

/// How a pod ends.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Shutdown {
    /// preStop: from the deletion to SIGTERM.
    pub pre_stop: Duration,
    /// Whether the app finishes what it has after SIGTERM; else it exits at once.
    pub graceful: bool,
    /// SIGKILL comes so long after the deletion.
    pub grace_period: Duration,
}

/// A class of requests.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RequestClass {
    /// In capitals.
    pub method: String,
    /// Begins with `/`.
    pub path: String,
    /// Lower-case names.
    pub headers: Vec<(String, String)>,
    /// Why a proxy does not take it, if it is not as HTTP wants it.
    pub defect: Option<Defect>,
}

/// What is wrong with a request that no proxy takes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Defect {
    /// It does not say which host it is for.
    MissingHost,
    /// Its headers are larger than 60 KiB, Envoy's default limit.
    HeadersTooLarge,
    /// It cannot be parsed: TLS or HTTP/2 sent to a port for plain HTTP/1.1, and the like.
    CodecError,
}

/// The decimal digits of a number.
fn push_digits(text: &mut String, mut number: u32) {
    let mut digits = ['0'; 10];
    let mut first = digits.len();
    while first == digits.len() || number != 0 {
        first -= 1;
        digits[first] = char::from(b'0' + (number % 10) as u8);
        number /= 10;
    }
    digits[first..].iter().for_each(|digit| text.push(*digit));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_nodes_prints_as_a_list_would() {
        for count in [0_u32, 1, 3, 12_000] {
            let nodes: Vec<NodeId> = (0..count).map(|n| NodeId(n * n * 29)).collect();
            assert_eq!(format!("{:?}", NodeList(nodes.clone().into())), format!("{nodes:?}"));
        }
    }
}
