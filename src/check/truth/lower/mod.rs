//! From a case's configuration to a plan.
//!
//! A proxy is a gateway with one pod and a service of its name, whose routes are its route table.
//! A host is a workload with one pod outside the mesh and as many workers as anybody can want. A
//! cluster of a proxy is a cluster of the plan. Proxies and links cost next to nothing, as on a
//! loopback interface, and there is no control plane: what a step tells a proxy, it knows at once.
//!
//! What the plan has no word for is listed in `gaps`, key by key; a case that uses such a key is not
//! modelled, whatever it would have given.
//!
//! Source: the schema `envoy-lab/2`; Envoy 1.40's defaults stand where they are put in.
//! Left out: what `gaps` lists; the sizes of bodies and headers.

mod cluster;
mod discovery;
mod endpoint;
mod filter;
mod gaps;
mod host;
mod load;
mod route;
mod step;
mod tls;

pub(super) use filter::hosts as authorization_hosts;

use super::schema::config::{Config, Proxy, Route};
use super::schema::step::Verb;
use super::schema::words::Phase;
use crate::kernel::distribution::Distribution;
use crate::kernel::time::{Duration, Time};
use crate::plan::balancing::HashOn;
use crate::plan::behaviour::Behaviour;
use crate::plan::discovery::Discovery;
use crate::plan::identity::Identity;
use crate::plan::parameter::Parameters;
use crate::plan::timeline::{Action, TimelineEvent, Trigger};
use crate::plan::universe::{
    Cluster, ClusterId, Discipline, Errors, Node, NodeId, NodeList, Role, Rollout, RouteId,
    Service, ServiceId, Shutdown, Station, Step, Universe, Workload, WorkloadId, ZoneId,
};
use crate::plan::{Plan, Start};
use crate::vocabulary::outcome::Outcome;
use std::collections::{BTreeMap, BTreeSet};

/// One way over the loopback interface, with the kernel's and both event loops' part.
const LINK: Duration = Duration::from_us(40);
/// What the proxy does for a request before it is sent: so little that a burst that is read at once is
/// admitted or refused before any connection that it starts is up.
const PROXY_REQUEST: Duration = Duration::from_us(1);
/// What the proxy does for an answer.
const PROXY_RESPONSE: Duration = Duration::from_us(20);
/// From a change of the configuration to the proxies' knowing it.
const TOLD_AFTER: Duration = Duration::from_us(100);

/// What becomes of a configuration.
#[derive(Debug)]
pub enum Lowering {
    /// It can be simulated.
    Plan(Box<Lowered>),
    /// The proxy would not start with it.
    Rejected,
    /// It uses these keys, for which the simulator has nothing.
    NotModelled(Vec<String>),
}

/// A plan, and what its ids are called in the files.
#[derive(Debug)]
pub struct Lowered {
    /// What is simulated.
    pub plan: Plan,
    /// The proxy that clients talk to.
    pub entry: WorkloadId,
    /// Proxies and hosts, by workload id.
    pub workloads: Vec<String>,
    /// By cluster id: its name without that of its proxy.
    pub clusters: Vec<String>,
    /// By source of traffic.
    pub phases: Vec<Option<Phase>>,
}

impl Lowered {
    /// The name of a host; `none` if none was chosen.
    pub fn host(&self, host: Option<WorkloadId>) -> &str {
        host.map_or("none", |host| &self.workloads[host.index()])
    }

    /// The name of a cluster; `none` if there is none.
    pub fn cluster(&self, cluster: Option<ClusterId>) -> &str {
        cluster.map_or("none", |cluster| &self.clusters[cluster.index()])
    }

    /// The details of an outcome up to the reason's word, as the files have them.
    pub fn details(outcome: Outcome) -> String {
        let text = outcome.details.text();
        match text.split_once('|') {
            Some((reason, _)) => format!("{reason}}}"),
            None => text.to_owned(),
        }
    }
}

/// The node of the first place that a workload is at.
fn node_of(config: &Config, name: &str, universe: &Universe) -> NodeId {
    let zone = endpoint::locality(config, name);
    let node = zone.and_then(|zone| universe.zones.iter().position(|one| one == zone));
    NodeId(number(node.unwrap_or(0)))
}

/// Why a configuration makes no plan, if it makes none.
fn refusal(config: &Config) -> Option<Lowering> {
    if !route::is_accepted(config) {
        return Some(Lowering::Rejected);
    }
    let missing = gaps::gaps(config);
    (!missing.is_empty()).then_some(Lowering::NotModelled(missing))
}

/// Lowers a configuration.
pub fn lower(config: &Config) -> Lowering {
    if let Some(refusal) = refusal(config) {
        return refusal;
    }
    let ids = Ids::new(config);
    let hosts = host::hosts(config, &ids);
    let mut universe = Universe {
        zones: zones(config),
        nodes: nodes(config),
        workloads: Vec::new(),
        classes: load::classes(config),
        ..Universe::default()
    };
    for name in ids.workloads.keys() {
        let own = hosts.workloads.get(name.as_str()).cloned();
        let mut workload = own.unwrap_or_else(|| gateway(config, name, &ids));
        workload.nodes = NodeList(vec![node_of(config, name, &universe)].into());
        universe.workloads.push(workload);
    }
    let definitions = discovery::definitions(config, &ids);
    universe.clusters = clusters(config, &ids, &definitions);
    services(config, &ids, &mut universe);
    universe.routes.extend(route::tables_of_copies(&ids, universe.classes.len()));
    let mut timeline = hosts.timeline;
    timeline.extend(discovery::timeline(config, &ids));
    timeline.extend(step::timeline(config, &ids, &mut universe));
    let (warmup, duration) = load::clock(config);
    let plan = Plan {
        name: "truth".to_owned(),
        variant: None,
        claim: String::new(),
        seed: 1,
        duration,
        warmup,
        interval: duration,
        start: Start::Cold,
        profile: "istio-sidecar".to_owned(),
        parameters: parameters(),
        linkerd: None,
        linkerd_rules: crate::plan::linkerd::rules::Rules::default(),
        traffic: load::traffic(config, &ids, &universe.classes),
        universe,
        scopes: BTreeMap::new(),
        endpoints: endpoint::settings(config, &ids),
        cluster_endpoints: discovery::cluster_endpoints(config, &ids),
        absent: BTreeSet::new(),
        first_filters: BTreeMap::new(),
        tls: tls::tls(config, &ids),
        identity: Identity::default(),
        crowding: BTreeMap::new(),
        proxy_workers: workers(config, &ids),
        replies: Vec::new(),
        cancelling: BTreeSet::new(),
        deadlines: BTreeSet::new(),
        pods: BTreeMap::new(),
        discovery: Discovery::default(),
        clients: load::clients(config),
        call_clients: BTreeMap::new(),
        timeline,
        assertions: Vec::new(),
        sampling: None,
    };
    Lowering::Plan(Box::new(Lowered {
        plan,
        entry: ids.workload(&config.entry),
        workloads: ids.workloads.keys().cloned().collect(),
        clusters: definitions.iter().map(|one| one.cluster.name.clone()).collect(),
        phases: config.load.iter().map(|load| load.phase).collect(),
    }))
}

/// Worker threads of each proxy.
fn workers(config: &Config, ids: &Ids) -> BTreeMap<WorkloadId, u32> {
    config.proxies.iter().map(|one| (ids.workload(&one.name), one.workers)).collect()
}

/// A service for each proxy, with its routes.
fn services(config: &Config, ids: &Ids, universe: &mut Universe) {
    for name in ids.services.keys() {
        universe.services.push(Service {
            name: name.clone(),
            selector: BTreeMap::new(),
            workloads: Vec::new(),
            protocol: crate::plan::policy::Protocol::Http1,
            route: RouteId(number(universe.services.len())),
        });
        let proxy = config.proxies.iter().find(|proxy| proxy.name == *name);
        let table = proxy.map(|proxy| route::table(proxy, &proxy.routes, ids, &universe.classes));
        // An authorization service has routes of its own.
        let table = table.unwrap_or_else(|| filter::table(config, name, ids, universe));
        universe.routes.push(table);
    }
}

/// Ids by name; all maps are in the order of ids.
struct Ids {
    workloads: BTreeMap<String, WorkloadId>,
    services: BTreeMap<String, ServiceId>,
    /// By (proxy, cluster).
    clusters: BTreeMap<(String, String), ClusterId>,
    /// Copies, whose tables follow those of the services.
    copies: Vec<route::Copies>,
}

impl Ids {
    fn new(config: &Config) -> Self {
        let proxies = config.proxies.iter().map(|proxy| proxy.name.clone());
        let hosts = config.hosts.iter().map(|host| host.name.clone());
        let of = |proxy: &Proxy| -> Vec<(String, String)> {
            let pair = |cluster: &str| (proxy.name.clone(), cluster.to_owned());
            let all = proxy.clusters.iter().chain(discovery::added(config, proxy));
            all.map(|cluster| pair(&cluster.name)).collect()
        };
        Self {
            workloads: numbered(proxies.clone().chain(hosts), WorkloadId),
            services: numbered(proxies.chain(filter::services(config)), ServiceId),
            clusters: numbered(config.proxies.iter().flat_map(of), ClusterId),
            copies: route::all_copies(config),
        }
    }

    /// The workload of a name that was checked.
    fn workload(&self, name: &str) -> WorkloadId {
        self.workloads.get(name).copied().unwrap_or(WorkloadId(0))
    }

    fn cluster(&self, proxy: &str, name: &str) -> Option<ClusterId> {
        self.clusters.get(&(proxy.to_owned(), name.to_owned())).copied()
    }
}

/// Names in order with their ids.
fn numbered<N: Ord, I>(names: impl Iterator<Item = N>, id: fn(u32) -> I) -> BTreeMap<N, I> {
    let names: BTreeSet<N> = names.collect();
    names.into_iter().zip(0..).map(|(name, index)| (name, id(index))).collect()
}

/// An index as the number of an id.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Milliseconds of a file.
fn ms(ms: f64) -> Duration {
    Duration::from_s_f64(ms / 1e3)
}

/// Seconds of a file.
fn at(s: f64) -> Time {
    Time::ZERO + Duration::from_s_f64(s)
}

/// An event of the timeline from `from` on, for as long as it lasts.
fn event(id: String, from_s: f64, lasts: Option<Duration>, action: Action) -> TimelineEvent {
    let trigger = Trigger::At { first: at(from_s), every: None, times: 1 };
    TimelineEvent { label: id.clone(), id, trigger, lasts, action }
}

/// A proxy. Those behind the entry send on what they are sent.
fn gateway(config: &Config, name: &str, ids: &Ids) -> Workload {
    let mut workload = bare_workload(name, Role::Gateway);
    if let Some(proxy) = config.proxies.iter().find(|proxy| proxy.name == name) {
        workload.filters = filter::filters(proxy, ids);
    }
    if name != config.entry {
        workload.meshed = false;
        workload.behaviour.connect_delay = endpoint::connect_delay(config, name);
        workload.program.extend(ids.services.get(name).map(|service| Step::Forward(*service)));
    }
    workload
}

/// What the routes to a cluster hash on: those that name it, alone or among others, before those that
/// find it by a header, and those of the start before those of later.
fn hash_on(config: &Config, proxy: &Proxy, cluster: &str) -> Option<HashOn> {
    let later = config.steps.iter().filter(|_| proxy.name == config.entry);
    let later = later.flat_map(|step| match &step.verb {
        Verb::RdsSwitch(routes) | Verb::LdsUpdate(routes) => &routes[..],
        _ => &[],
    });
    let routes = proxy.routes.iter().chain(later);
    let names = |route: &&Route| {
        let weighted = route.weighted_clusters.iter().flatten();
        weighted.map(|one| &one.cluster).chain(&route.cluster).any(|name| name == cluster)
    };
    let by_header = routes.clone().filter(|route| route.cluster_header.is_some());
    let mut to = routes.filter(names).chain(by_header);
    to.find_map(|route| route.hash_on_header.as_ref())
        .map(|name| HashOn::Header(name.to_lowercase()))
}

/// The lab, and the localities of endpoints.
fn zones(config: &Config) -> Vec<String> {
    let mut zones: Vec<String> =
        endpoint::all(config).filter_map(|one| one.locality.clone()).collect();
    zones.sort();
    zones.dedup();
    zones.insert(0, "lab".to_owned());
    zones
}

/// A node in each zone.
fn nodes(config: &Config) -> Vec<Node> {
    let zones = zones(config);
    zones.into_iter().zip(0..).map(|(name, zone)| Node { name, zone: ZoneId(zone) }).collect()
}

/// A workload with one pod that does nothing yet.
fn bare_workload(name: &str, role: Role) -> Workload {
    Workload {
        name: name.to_owned(),
        app: name.to_owned(),
        version: String::new(),
        labels: BTreeMap::new(),
        role,
        meshed: role == Role::Gateway,
        replicas: 1,
        nodes: NodeList(vec![NodeId(0)].into()),
        station: Station { workers: 1_000_000, queue: None, discipline: Discipline::Fifo },
        program: Vec::new(),
        errors: Errors { share: 0.0, status: 500.into() },
        behaviour: Behaviour::default(),
        filters: Vec::new(),
        inbound: Vec::new(),
        rollout: Rollout { max_surge: 0.25, max_unavailable: 0.25 },
        start_time: Distribution::Constant(Duration::ZERO),
        shutdown: Shutdown {
            pre_stop: Duration::ZERO,
            graceful: false,
            grace_period: Duration::ZERO,
        },
    }
}

fn clusters(config: &Config, ids: &Ids, definitions: &[discovery::Definition<'_>]) -> Vec<Cluster> {
    let zones = zones(config);
    let one = |definition: &discovery::Definition| {
        let (proxy, cluster) = (definition.proxy, &*definition.cluster);
        // What stands for another has a name of its own, and with it draws of its own.
        let is_first = definition.id == definition.original;
        let again = if is_first { String::new() } else { format!("@{}", definition.id.0) };
        Cluster {
            name: format!("{}/{}{again}", proxy.name, cluster.name),
            service: ids.services.get(&proxy.name).copied().unwrap_or(ServiceId(0)),
            workloads: definition.endpoints_at_first(config, ids),
            policy: cluster::policy(cluster, hash_on(config, proxy, &cluster.name), &zones),
        }
    };
    definitions.iter().map(one).collect()
}

fn parameters() -> Parameters {
    let mut parameters = Parameters::default();
    parameters.istiod.present = false;
    parameters.retry.inbound_attempts = 0;
    parameters.kubernetes.watch_delay = TOLD_AFTER;
    parameters.kubernetes.restart_backoff = Duration::ZERO;
    let proxy = &mut parameters.proxy;
    (proxy.client_request, proxy.server_request) = (PROXY_REQUEST, PROXY_REQUEST);
    (proxy.client_response, proxy.server_response) = (PROXY_RESPONSE, PROXY_RESPONSE);
    (proxy.client_telemetry, proxy.server_telemetry) = (Duration::ZERO, Duration::ZERO);
    let network = &mut parameters.network;
    (network.same_node, network.same_zone, network.cross_zone) = (LINK, LINK, LINK);
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::policy::RetryLimit;
    use crate::plan::route::Destination;
    use crate::plan::timeline::PodSet;
    use serde_json::{Value, json};

    /// A proxy with a cluster of two hosts, one of which stops.
    fn case() -> Value {
        json!({
            "defaults": "envoy-1.40", "entry": "envoy",
            "proxies": [{
                "name": "envoy", "workers": 1,
                "routes": [{
                    "prefix": "/", "timeout_ms": 0,
                    "weighted_clusters": [
                        {"cluster": "svc", "weight": 3}, {"cluster": "ghost", "weight": 1},
                    ],
                }],
                "listener": {"validate_clusters": false},
                "clusters": [{
                    "name": "svc", "lb_policy": "ROUND_ROBIN", "connect_timeout_ms": 1000,
                    "http": "http1", "endpoints": [{"host": "b"}, {"host": "a"}],
                }],
            }],
            "hosts": [
                {"name": "a", "behaviour": {"kind": "respond", "delay_ms": 5, "status": 200}},
                {"name": "b", "behaviour": {"kind": "respond", "delay_ms": 5, "status": 503}},
            ],
            "load": [{"at_s": 0, "kind": "open_loop", "count": 4, "rate_rps": 2}],
            "steps": [
                {"at_s": 1, "do": "host_stop", "target": "a", "args": {"close": "fin"}},
                {"at_s": 3, "do": "host_start", "target": "a"},
            ],
        })
    }

    fn lowered(case: Value) -> Lowering {
        lower(&serde_json::from_value(case).expect("a configuration that reads"))
    }

    fn gaps(case: Value) -> Vec<String> {
        match lowered(case) {
            Lowering::NotModelled(keys) => keys,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_body_that_is_not_kept_is_not_sent_again() {
        let retries = |limit: Option<u64>, body: u64| {
            let mut case = case();
            case["proxies"][0]["routes"][0]["retry_policy"] =
                json!({"retry_on": ["5xx"], "num_retries": 2});
            if let Some(limit) = limit {
                case["proxies"][0]["listener"]["per_request_buffer_limit_bytes"] = json!(limit);
            }
            case["load"][0]["body_bytes"] = json!(body);
            let Lowering::Plan(lowered) = lowered(case) else { panic!("a plan") };
            let table = &lowered.plan.universe.routes[0];
            table.rule(crate::plan::universe::ClassId(0)).map(|rule| rule.retry.retries)
        };
        assert_eq!(retries(Some(1000), 1000), Some(2));
        assert_eq!(retries(Some(1000), 1001), Some(0));
        assert_eq!(retries(None, 1_048_576), Some(2));
        assert_eq!(retries(None, 2_000_000), Some(0));
    }

    /// What stands for `svc` and the sizes of lists of endpoints, in time's order.
    fn discovered(cluster: &Value, steps: &Value) -> Vec<String> {
        let mut case = case();
        let svc = case["proxies"][0]["clusters"][0].as_object_mut().expect("a table");
        svc.extend(cluster.as_object().expect("a table").clone());
        case["proxies"][0]["dynamic"] = json!(["cds", "rds"]);
        case["steps"] = steps.clone();
        let Lowering::Plan(lowered) = lowered(case) else { panic!("a plan") };
        let at = |event: &TimelineEvent| match event.trigger {
            Trigger::At { first, .. } => first.as_s(),
            Trigger::When { .. } => 0.0,
        };
        let word = |event: &TimelineEvent| match &event.action {
            Action::SetEndpoints { cluster, workloads } => {
                Some(format!("{} s: {} has {}", at(event), cluster.0, workloads.len()))
            }
            Action::DefineCluster { definition, .. } => {
                Some(format!("{} s: is {:?}", at(event), definition.map(|one| one.0)))
            }
            _ => None,
        };
        lowered.plan.timeline.iter().filter_map(word).collect()
    }

    #[test]
    fn a_cluster_is_used_when_it_is_warm_and_its_endpoints_may_get_stale() {
        let stale = json!({"discovery": "eds", "endpoint_stale_after_ms": 3000});
        let renewed = json!([{"at_s": 2, "do": "eds_remove", "target": "svc",
            "args": {"endpoints": ["b"]}}]);
        assert_eq!(discovered(&stale, &renewed), ["2 s: 0 has 1", "5 s: 0 has 0"]);
        let rest = json!({"discovery": "eds_rest", "initial_fetch_timeout_ms": 3000});
        let modified = |up: f64| {
            json!([
                {"at_s": 2, "do": "control_plane_down", "target": "eds"},
                {"at_s": 2.5, "do": "cds_modify", "target": "svc",
                    "args": {"set": {"connect_timeout_ms": 2000}}},
                {"at_s": up, "do": "control_plane_up", "target": "eds"},
            ])
        };
        assert_eq!(discovered(&rest, &modified(7.5)), ["5.5 s: is Some(1)", "7.5 s: 1 has 2"]);
        assert_eq!(discovered(&rest, &modified(3.0)), ["3 s: 1 has 2", "3 s: is Some(1)"]);
        let back = json!([
            {"at_s": 1, "do": "cds_remove", "target": "svc"},
            {"at_s": 2, "do": "cds_add", "target": "svc", "args": {"cluster": {"name": "svc",
                "lb_policy": "RANDOM", "connect_timeout_ms": 1, "http": "http1"}}},
        ]);
        assert_eq!(discovered(&json!({}), &back), ["1 s: is None", "2 s: is Some(1)"]);
    }

    #[test]
    fn a_case_becomes_a_plan_with_envoys_defaults() {
        let Lowering::Plan(lowered) = lowered(case()) else { panic!("a plan") };
        assert_eq!(lowered.workloads, ["a", "b", "envoy"]);
        let universe = &lowered.plan.universe;
        let cluster = &universe.clusters[0];
        assert_eq!((cluster.name.as_str(), cluster.workloads.len()), ("envoy/svc", 2));
        let breaker = cluster.policy.breaker;
        assert_eq!((breaker.max_connections, breaker.retries), (1024, RetryLimit::Max(3)));
        assert_eq!(universe.workloads[1].errors, Errors { share: 1.0, status: 503.into() });
        let split = &universe.routes[0].rules[0].split;
        assert_eq!(split[0], (Destination::Cluster(ClusterId(0)), 3));
        assert_eq!(split[1], (Destination::Missing("ghost".to_owned()), 1));
        let stop = &lowered.plan.timeline[0];
        assert_eq!(stop.action, Action::FailApps(PodSet::One(WorkloadId(0), 0)));
        assert_eq!(stop.lasts, Some(Duration::from_s(2)));
    }

    #[test]
    fn an_unknown_cluster_is_rejected_where_somebody_looks() {
        let mut case = case();
        case["proxies"][0]["listener"] = json!({});
        assert!(matches!(lowered(case.clone()), Lowering::Rejected));
        case["proxies"][0]["dynamic"] = json!(["cds"]);
        assert!(matches!(lowered(case), Lowering::Plan(_)));
    }

    #[test]
    fn a_key_without_counterpart_is_told_by_name() {
        let mut step = case();
        step["steps"] = json!([
            {"at_s": 1, "do": "proxy_kill", "target": "a"},
            {"at_s": 1, "do": "host_start", "target": "envoy"},
        ]);
        assert_eq!(gaps(step), ["step.host_start of a proxy", "step.proxy_kill of a host"]);
    }
}
