//! Balancing beyond one draw among equals: weights, health, priorities, places, hashes, slow start.
//!
//! Most clusters ask for none of it, and their policy has none.
//!
//! Source: the words of Envoy's `common_lb_config`, `LbEndpoint` and load balancer configurations;
//! Istio's `consistentHash`, `localityLbSetting` and `warmup` (`destination_rule.proto`).
//! Left out: regions and sub-zones, bounded loads of consistent hashing, Envoy's own subsets (Istio
//! makes a cluster of each subset), `weighted_priority_health`, `fail_traffic_on_panic`.

use crate::kernel::time::Duration;
use crate::plan::universe::ZoneId;

/// Health of an endpoint as EDS tells it (Envoy's `HealthStatus`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum EndpointHealth {
    /// Used.
    #[default]
    Healthy,
    /// Used when the healthy endpoints of all priorities do not suffice.
    Degraded,
    /// About to leave: as unhealthy, but open connections go on.
    Draining,
    /// Not used, but in panic.
    Unhealthy,
}

impl EndpointHealth {
    /// Every state with its name.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Healthy, "healthy"),
        (Self::Degraded, "degraded"),
        (Self::Draining, "draining"),
        (Self::Unhealthy, "unhealthy"),
    ];

    /// The state of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, one)| *one == name).map(|(state, _)| *state)
    }
}

/// What the control plane says of an endpoint beside its address and place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct EndpointSettings {
    /// Relative weight within its priority and locality, at least 1.
    pub weight: u32,
    /// Priority, 0 first; at most [`EndpointSettings::PRIORITY_MAX`].
    pub priority: u32,
    /// Health.
    pub health: EndpointHealth,
}

impl EndpointSettings {
    /// The last priority that Envoy accepts.
    pub const PRIORITY_MAX: u32 = 128;

    /// Whether these are those of an endpoint of which nothing is said.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for EndpointSettings {
    fn default() -> Self {
        Self { weight: 1, priority: 0, health: EndpointHealth::Healthy }
    }
}

/// What the control plane says of an endpoint in one cluster, in place of what it says of the workload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ClusterEndpoint {
    /// Weight, priority, health.
    pub settings: EndpointSettings,
    /// Its place; none for that of its node.
    pub zone: Option<ZoneId>,
    /// How much longer connections to it take to open; none for what its app takes.
    pub connect_delay: Option<Duration>,
}

/// What of a request a consistent hash is made from (Istio's `consistentHash`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HashOn {
    /// The value of a header, its name in lower case (`httpHeaderName`).
    Header(String),
    /// The value of a cookie (`httpCookie`): the request's own, else one that the proxy makes from
    /// the address of its client.
    Cookie(String),
    /// The address of the proxy's client (`useSourceIp`).
    Source,
    /// The value of a parameter in the path (`httpQueryParameterName`).
    Query(String),
}

/// A new endpoint's weight grows with its age (Envoy's `slow_start_config`, Istio's `warmup`).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SlowStart {
    /// How long, above zero.
    pub window: Duration,
    /// The share of its weight is age / window to the power of 1 / aggression; above 0, 1 for a
    /// straight line.
    pub aggression: f64,
    /// At least this share of its weight, 0 to 1.
    pub min_weight: f64,
}

/// How an endpoint's place counts.
#[derive(Clone, PartialEq, Debug)]
pub enum Locality {
    /// Endpoints of the client's zone come first; all others are the next priority (Istio's failover,
    /// Kubernetes' `PreferClose`).
    Failover,
    /// Weights of zones by the client's zone; zones without a weight get nothing (Envoy's
    /// `locality_weighted_lb_config`, Istio's `distribute`).
    Weighted(Vec<LocalityWeights>),
    /// As much as possible stays in the zone, and no zone gets more than the others (Envoy's
    /// `zone_aware_lb_config`).
    ZoneAware {
        /// Smaller clusters are not treated so; Envoy's default is 6 healthy endpoints.
        min_cluster_size: u32,
    },
}

/// Weights of zones for the clients of one zone, or of all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalityWeights {
    /// The zone of the clients; none for those of every zone that has no weights of its own.
    pub from: Option<ZoneId>,
    /// Relative weights; their sum is above 0.
    pub to: Vec<(ZoneId, u32)>,
}

/// What a cluster's balancing asks for beyond its balancer.
#[derive(Clone, PartialEq, Debug)]
pub struct Balancing {
    /// Least request with unequal weights: a weight is divided by (active + 1) to this power; at
    /// least 0, Envoy's default is 1.
    pub active_request_bias: f64,
    /// What ring hash and Maglev look at; with nothing they draw.
    pub hash_on: Option<HashOn>,
    /// Ring hash: hashes on the ring, at least and at most.
    pub ring_size: (u32, u32),
    /// Maglev: places of its table, a prime.
    pub table_size: u32,
    /// Least request: how often active requests are read; zero for always.
    pub load_refresh: Duration,
    /// Slow start of round robin and least request.
    pub slow_start: Option<SlowStart>,
    /// Places; none if they do not matter.
    pub locality: Option<Locality>,
    /// A priority takes all of the load as long as this × its healthy share reaches 1; in percent,
    /// Envoy's default is 140.
    pub overprovisioning: u32,
}

impl Default for Balancing {
    fn default() -> Self {
        Self {
            active_request_bias: 1.0,
            hash_on: None,
            ring_size: (1024, 8 * 1024 * 1024),
            table_size: 65_537,
            load_refresh: Duration::ZERO,
            slow_start: None,
            locality: None,
            overprovisioning: 140,
        }
    }
}
