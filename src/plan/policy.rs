//! Policies of the data plane: retries, balancing, breakers, outlier detection, pools.
//!
//! Source: Envoy's and Istio's own terms and semantics; defaults come from the profile.
//! Left out: policies by port.

use crate::kernel::time::Duration;
use crate::plan::balancing::Balancing;
use crate::plan::health_check::HealthCheck;
use crate::plan::matching::HeaderMatch;
use crate::plan::outlier::OutlierForms;
use std::fmt;

/// Conditions under which an attempt is retried, as Envoy's `retry_on` spells them.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryOn(pub u16);

impl RetryOn {
    /// Any 5xx answer, and every failure that has none.
    pub const FIVE_XX: Self = Self(1);
    /// 502, 503 or 504.
    pub const GATEWAY_ERROR: Self = Self(2);
    /// No answer at all: connect failure, reset, timeout.
    pub const RESET: Self = Self(4);
    /// The connection could not be made.
    pub const CONNECT_FAILURE: Self = Self(8);
    /// The stream was refused before it was processed.
    pub const REFUSED_STREAM: Self = Self(16);
    /// 409.
    pub const RETRIABLE_4XX: Self = Self(32);
    /// A status in the policy's list.
    pub const RETRIABLE_STATUS_CODES: Self = Self(64);
    /// gRPC status `unavailable` among the answer's headers.
    pub const UNAVAILABLE: Self = Self(128);
    /// gRPC status `cancelled` there.
    pub const CANCELLED: Self = Self(256);
    /// A reset before the request was written; Envoy was measured to count connect failures.
    pub const RESET_BEFORE_REQUEST: Self = Self(512);
    /// gRPC status `deadline_exceeded`.
    pub const DEADLINE_EXCEEDED: Self = Self(1024);
    /// gRPC status `internal`.
    pub const INTERNAL: Self = Self(2048);
    /// gRPC status `resource_exhausted`.
    pub const RESOURCE_EXHAUSTED: Self = Self(4096);
    /// A header of the answer is like one of the policy's list.
    pub const RETRIABLE_HEADERS: Self = Self(8192);
    /// The answer bears `x-envoy-ratelimited`. Without this, such an answer is never tried again.
    pub const ENVOY_RATELIMITED: Self = Self(16384);

    /// Conditions that a good answer may meet by its headers.
    pub const ON_HEADERS: Self = Self(128 | 256 | 1024 | 2048 | 4096 | 8192 | 16384);

    /// Every condition with its name.
    pub const ALL: [(Self, &'static str); 15] = [
        (Self::FIVE_XX, "5xx"),
        (Self::GATEWAY_ERROR, "gateway-error"),
        (Self::RESET, "reset"),
        (Self::CONNECT_FAILURE, "connect-failure"),
        (Self::REFUSED_STREAM, "refused-stream"),
        (Self::RETRIABLE_4XX, "retriable-4xx"),
        (Self::RETRIABLE_STATUS_CODES, "retriable-status-codes"),
        (Self::UNAVAILABLE, "unavailable"),
        (Self::CANCELLED, "cancelled"),
        (Self::RESET_BEFORE_REQUEST, "reset-before-request"),
        (Self::DEADLINE_EXCEEDED, "deadline-exceeded"),
        (Self::INTERNAL, "internal"),
        (Self::RESOURCE_EXHAUSTED, "resource-exhausted"),
        (Self::RETRIABLE_HEADERS, "retriable-headers"),
        (Self::ENVOY_RATELIMITED, "envoy-ratelimited"),
    ];

    /// Whether `condition` is among these.
    pub const fn has(self, condition: Self) -> bool {
        self.0 & condition.0 != 0
    }

    /// These and `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for RetryOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> =
            Self::ALL.iter().filter(|(one, _)| self.has(*one)).map(|(_, name)| *name).collect();
        f.write_str(&names.join(","))
    }
}

impl fmt::Debug for RetryOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// When and how an attempt is retried.
#[derive(Clone, PartialEq)]
pub struct RetryPolicy {
    /// Retries after the first attempt (Envoy's `num_retries`); 0 turns retries off.
    pub retries: u32,
    /// Conditions.
    pub on: RetryOn,
    /// Statuses for `retriable-status-codes`.
    pub statuses: Vec<u16>,
    /// Limit on each attempt from the moment its connection is ready to the headers of its answer;
    /// zero for none.
    pub per_try_timeout: Duration,
    /// Limit on the time in which an attempt hears nothing, headers and body; zero for none.
    pub per_try_idle_timeout: Duration,
    /// Back-off before retry k is uniform on [0, min(base · 2^(k−1), max)).
    pub backoff_base: Duration,
    /// See `backoff_base`.
    pub backoff_max: Duration,
    /// Whether endpoints already tried are avoided (Envoy's `previous_hosts`).
    pub previous_hosts: bool,
    /// How many more picks are made to avoid them (`host_selection_retry_max_attempts`).
    pub host_attempts: u32,
    /// So often a retry keeps away from the priorities that were tried (Envoy's `previous_priorities` with
    /// this `update_frequency`; Istio's `retryRemoteLocalities` is 2); 0 for never.
    pub previous_priorities: u32,
    /// After a per-try timeout another try goes out and the first goes on; the first good answer
    /// wins (Envoy's `hedge_on_per_try_timeout`).
    pub hedges: bool,
    /// What is looked for in the headers of answers; none for nothing.
    pub headers: Option<Box<HeaderPolicy>>,
}

impl fmt::Debug for RetryPolicy {
    /// The plan's digest is made from this: what is not asked for does not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("RetryPolicy");
        fields
            .field("retries", &self.retries)
            .field("on", &self.on)
            .field("statuses", &self.statuses)
            .field("per_try_timeout", &self.per_try_timeout)
            .field("per_try_idle_timeout", &self.per_try_idle_timeout)
            .field("backoff_base", &self.backoff_base)
            .field("backoff_max", &self.backoff_max)
            .field("previous_hosts", &self.previous_hosts)
            .field("host_attempts", &self.host_attempts);
        if self.previous_priorities != 0 {
            fields.field("previous_priorities", &self.previous_priorities);
        }
        if self.hedges {
            fields.field("hedges", &self.hedges);
        }
        if let Some(headers) = &self.headers {
            fields.field("headers", headers);
        }
        fields.finish()
    }
}

/// What a retry policy looks for in the headers of answers.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct HeaderPolicy {
    /// For `retriable-headers`: any of these.
    pub retriable: Vec<HeaderMatch>,
    /// Headers that say when to come back, in the order in which they are looked for (Envoy's
    /// `rate_limited_retry_back_off`); none for the exponential back-off always.
    pub resets: Vec<ResetHeader>,
    /// What asks for more than this is passed over.
    pub max_interval: Duration,
}

/// A header of an answer that says when a request may be sent again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResetHeader {
    /// In lower case.
    pub name: String,
    /// What its value is.
    pub format: ResetFormat,
}

/// What the value of a reset header is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResetFormat {
    /// Whole seconds from now on.
    Seconds,
    /// The second of the clock, which begins at 0 with the run.
    UnixTimestamp,
}

/// How many retries may be under way at once to a cluster from one proxy.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum RetryLimit {
    /// Envoy's `max_retries`.
    Max(u32),
    /// A share of the active requests, but at least so many (Envoy's retry budget).
    Budget {
        /// Share of active and pending requests, 0 to 1.
        share: f64,
        /// Always allowed.
        min_concurrency: u32,
    },
}

/// Envoy's circuit breaker: ceilings per proxy and cluster.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CircuitBreaker {
    /// Connections per cluster; yet each endpoint may always have one.
    pub max_connections: u32,
    /// Requests that wait for a connection.
    pub max_pending: u32,
    /// Requests under way.
    pub max_requests: u32,
    /// Retries under way, their back-off included.
    pub retries: RetryLimit,
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoadBalancer {
    /// One after the other.
    RoundRobin,
    /// The least loaded of `choices` draws with replacement; Envoy's default is 2.
    LeastRequest {
        /// Draws, at least 1.
        choices: u32,
    },
    /// The least loaded of two different endpoints (without replacement; for comparison).
    LeastRequestDistinct,
    /// The least loaded of all (join the shortest queue); ties by a draw.
    LeastRequestFullScan,
    /// Uniform; weights do not count.
    Random,
    /// Consistent hashing on a ring.
    RingHash,
    /// Consistent hashing by a table.
    Maglev,
}

impl LoadBalancer {
    /// Every balancer with its name.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::RoundRobin, "round_robin"),
        (Self::LeastRequest { choices: 2 }, "least_request"),
        (Self::LeastRequestDistinct, "least_request_distinct"),
        (Self::LeastRequestFullScan, "least_request_full_scan"),
        (Self::Random, "random"),
        (Self::RingHash, "ring_hash"),
        (Self::Maglev, "maglev"),
    ];

    /// Whether an endpoint is chosen by a hash of the request.
    pub const fn hashes(self) -> bool {
        matches!(self, Self::RingHash | Self::Maglev)
    }
}

/// Envoy's outlier detection.
#[derive(Clone, Copy, PartialEq)]
pub struct OutlierDetection {
    /// 5xx answers and local failures in a row that eject; 0 turns it off.
    pub consecutive_5xx: u32,
    /// 502, 503, 504 and local failures in a row that eject; 0 turns it off.
    pub consecutive_gateway: u32,
    /// The grid on which ejected endpoints are let back.
    pub interval: Duration,
    /// Ejection time is base × ejections so far.
    pub base_ejection: Duration,
    /// At most so long.
    pub max_ejection: Duration,
    /// At most this share of the endpoints, rounded down.
    pub max_ejection_share: f64,
    /// Eject one even if the share allows none.
    pub always_eject_one: bool,
    /// What it has beyond failures in a row.
    pub forms: OutlierForms,
}

impl fmt::Debug for OutlierDetection {
    /// The plan's digest is made from this: what is not asked for does not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("OutlierDetection");
        fields
            .field("consecutive_5xx", &self.consecutive_5xx)
            .field("consecutive_gateway", &self.consecutive_gateway)
            .field("interval", &self.interval)
            .field("base_ejection", &self.base_ejection)
            .field("max_ejection", &self.max_ejection)
            .field("max_ejection_share", &self.max_ejection_share)
            .field("always_eject_one", &self.always_eject_one);
        if self.forms != OutlierForms::default() {
            fields.field("forms", &self.forms);
        }
        fields.finish()
    }
}

/// Protocol between proxies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// One request a connection at a time.
    Http1,
    /// Many streams a connection.
    Http2,
}

/// The connection pool of one proxy worker to one endpoint.
#[derive(Clone, Copy, PartialEq)]
pub struct ConnectionPool {
    /// Protocol.
    pub protocol: Protocol,
    /// TCP and TLS must be up within this.
    pub connect_timeout: Duration,
    /// A connection without a request is closed after this; zero for never.
    pub idle_timeout: Duration,
    /// Requests a connection carries before it is closed; 0 for no limit.
    pub max_requests: u32,
    /// Streams at once on an HTTP/2 connection.
    pub max_streams: u32,
    /// Limit on an attempt with all of its answer (Envoy's `max_stream_duration`); zero for none.
    pub max_stream_duration: Duration,
    /// Rate at which each open connection is closed for reasons outside the mesh, per second.
    pub churn_per_s: f64,
    /// Age at which an open connection is drained (Envoy's `max_connection_duration`); zero for none.
    pub max_duration: Duration,
}

impl fmt::Debug for ConnectionPool {
    /// The plan's digest is made from this: what is not asked for does not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("ConnectionPool");
        fields
            .field("protocol", &self.protocol)
            .field("connect_timeout", &self.connect_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("max_requests", &self.max_requests)
            .field("max_streams", &self.max_streams)
            .field("max_stream_duration", &self.max_stream_duration)
            .field("churn_per_s", &self.churn_per_s);
        if !self.max_duration.is_zero() {
            fields.field("max_duration", &self.max_duration);
        }
        fields.finish()
    }
}

/// What a proxy knows about how to treat a cluster.
#[derive(Clone, PartialEq)]
pub struct ClusterPolicy {
    /// Balancing.
    pub balancer: LoadBalancer,
    /// Ceilings.
    pub breaker: CircuitBreaker,
    /// Passive health, if asked for.
    pub outlier: Option<OutlierDetection>,
    /// Connections.
    pub pool: ConnectionPool,
    /// Below this healthy share (strictly) all endpoints are used; 0 for never.
    pub panic_threshold: f64,
    /// Changes of health within this time of the last update are told together; 0 for at once.
    pub merge_window: Duration,
    /// Share of the requests that are dropped, 0 to 1 (Envoy's `drop_overloads`).
    pub drop_overload: f64,
    /// Active health, if asked for.
    pub health_check: Option<Box<HealthCheck>>,
    /// What few clusters ask for beyond the balancer; none for Envoy's defaults.
    pub balancing: Option<Box<Balancing>>,
}

impl ClusterPolicy {
    /// Whether outlier detection compares endpoints by their answers.
    pub fn counts_answers(&self) -> bool {
        self.outlier.is_some_and(|outlier| outlier.forms.compares())
    }
}

impl fmt::Debug for ClusterPolicy {
    /// The plan's digest is made from this: what is not asked for does not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("ClusterPolicy");
        fields
            .field("balancer", &self.balancer)
            .field("breaker", &self.breaker)
            .field("outlier", &self.outlier)
            .field("pool", &self.pool)
            .field("panic_threshold", &self.panic_threshold);
        if self.merge_window != MERGE_WINDOW {
            fields.field("merge_window", &self.merge_window);
        }
        if let Some(balancing) = &self.balancing {
            fields.field("balancing", balancing);
        }
        if 0.0 < self.drop_overload {
            fields.field("drop_overload", &self.drop_overload);
        }
        if let Some(health_check) = &self.health_check {
            fields.field("health_check", health_check);
        }
        fields.finish()
    }
}

/// Envoy's `update_merge_window`, which no mesh changes.
pub const MERGE_WINDOW: Duration = Duration::from_ms(1000);
