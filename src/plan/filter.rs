//! HTTP filters of a proxy, in the order in which requests pass them: before the router for those
//! that it sends, before the app for those that it receives.
//!
//! Source: Envoy's filters of these names.
//! Left out: header-controlled faults; response rate limits; shadow rules.

use crate::kernel::time::Duration;
use crate::plan::matching::ValueMatch;
use crate::plan::universe::ServiceId;
use std::fmt;

/// A filter.
#[derive(Clone, PartialEq, Debug)]
pub enum Filter {
    /// Injects faults.
    Fault(Fault),
    /// Lets no more pass than its tokens allow.
    LocalRateLimit(LocalRateLimit),
    /// Lets pass or denies by what a request carries.
    Rbac(Rbac),
    /// Asks a service whether a request may pass.
    ExtAuthz(ExtAuthz),
    /// Asks a service that counts requests whether one more may pass.
    GlobalRateLimit(GlobalRateLimit),
    /// Refuses a share of the requests while too many fail.
    AdmissionControl(AdmissionControl),
    /// Answers the preflights of browsers.
    Cors(Cors),
    /// Keeps whole bodies, and refuses those that are too long.
    Buffer(Buffer),
    /// Relieves a proxy that has too much to do; before all others.
    Overload(Overload),
    /// No filter of requests: how many connections clients may have.
    ConnectionLimit(ConnectionLimit),
}

/// Which of a workload's filters its proxies have: a bit each, by place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FilterMask {
    /// Of those for requests that they send.
    pub sent: u64,
    /// Of those for requests that they receive.
    pub received: u64,
}

impl FilterMask {
    /// All of them.
    pub const ALL: Self = Self { sent: u64::MAX, received: u64::MAX };
    /// Those behind have no bit, and are always there.
    pub const FILTERS_MAX: usize = 64;

    /// Whether it has the filter at a place.
    pub const fn has(self, place: usize, is_inbound: bool) -> bool {
        let mask = if is_inbound { self.received } else { self.sent };
        Self::FILTERS_MAX <= place || mask >> place & 1 == 1
    }
}

/// Envoy's fault filter: a delay, then an abort, drawn independently.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Fault {
    /// The delay.
    pub delay: Duration,
    /// Share of requests that are delayed, 0 to 1.
    pub delay_share: f64,
    /// How it aborts.
    pub abort: Abort,
    /// Share of requests that are aborted, 0 to 1.
    pub abort_share: f64,
    /// Requests at once that are delayed, or were and have no answer yet; others pass without a fault. None for
    /// no limit.
    pub max_active: Option<u32>,
}

/// How a request is aborted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Abort {
    /// With an HTTP status.
    Http(u16),
    /// With a gRPC status, which is an HTTP 200.
    Grpc(u8),
}

impl Default for Abort {
    fn default() -> Self {
        Self::Http(503)
    }
}

/// Envoy's local rate limit: a bucket of tokens for each proxy, filled in steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalRateLimit {
    /// Tokens at the start and at most, above 0.
    pub max_tokens: u32,
    /// Tokens more after each interval, above 0.
    pub tokens_per_fill: u32,
    /// The interval, above 0.
    pub fill_interval: Duration,
}

/// Envoy's role-based access control: the first policy whose principal matches decides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rbac {
    /// Whether a match lets pass; else a match denies.
    pub allows: bool,
    /// Policies in order.
    pub policies: Vec<RbacPolicy>,
}

/// A policy for all permissions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RbacPolicy {
    /// Its name, which the access log shows.
    pub name: String,
    /// Who it is about.
    pub principal: Principal,
}

/// Who a policy is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Principal {
    /// Everybody.
    Any,
    /// Requests that carry this header; its name in lower case.
    HeaderPresent(String),
    /// Requests of this service, as its certificate says: both sides are meshed.
    Source(String),
}

/// Envoy's external authorization over HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtAuthz {
    /// The service that is asked, by its own routes; their timeout is the filter's.
    pub service: ServiceId,
    /// Whether a request passes if the service cannot be asked.
    pub failure_mode_allow: bool,
}

/// Envoy's global rate limit: a service counts the requests of all proxies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GlobalRateLimit {
    /// The service that is asked, by its own routes.
    pub service: ServiceId,
    /// Limits of one service and domain are counted together.
    pub domain: String,
    /// What it counts, of different headers; at least one.
    pub limits: Vec<RateLimit>,
    /// How long a request waits for the answer; zero for no limit.
    pub timeout: Duration,
    /// Whether a request is refused if the service cannot be asked; else it passes.
    pub failure_mode_deny: bool,
}

/// A limit of a rate limit service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RateLimit {
    /// Requests in a window.
    pub requests: u32,
    /// The window.
    pub unit: RateUnit,
    /// Each value of this header has a limit of its own, and requests without it none; its name in lower
    /// case. None for all requests together.
    pub header: Option<String>,
}

/// How long the windows of a rate limit are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RateUnit {
    /// 1 s.
    Second,
    /// 60 s.
    Minute,
    /// 3600 s.
    Hour,
    /// 24 h.
    Day,
}

/// Envoy's admission control, by what each worker thread of a proxy has seen.
#[derive(Clone, PartialEq, Debug)]
pub struct AdmissionControl {
    /// How long a request counts, in whole seconds, at least 1.
    pub window: Duration,
    /// 1 refuses in proportion, more refuses sooner; below 1 is taken for 1.
    pub aggression: f64,
    /// The share of successes below which requests are refused, at least 0.01.
    pub success_threshold: f64,
    /// Requests a second of a worker below which none is refused.
    pub rps_threshold: u64,
    /// The greatest share of requests that are refused, 0 to 1.
    pub max_rejection: f64,
    /// Statuses that are successes: from the first, below the second.
    pub http_success: Vec<(u16, u16)>,
    /// gRPC statuses that are.
    pub grpc_success: Vec<u8>,
}

impl Default for AdmissionControl {
    /// Envoy's `admission_control.proto` and `success_criteria_evaluator.cc`.
    fn default() -> Self {
        Self {
            window: Duration::from_s(30),
            aggression: 1.0,
            success_threshold: 0.95,
            rps_threshold: 0,
            max_rejection: 0.8,
            // All but server errors.
            http_success: vec![(100, 500)],
            // Whatever is not the server's fault: all but permission denied (which Envoy leaves out),
            // resource exhausted, aborted, deadline exceeded, internal, unavailable and data loss.
            grpc_success: vec![0, 1, 2, 3, 5, 6, 9, 11, 12, 16],
        }
    }
}

/// Envoy's CORS filter, with the policy that its routes would have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cors {
    /// Origins that may ask; any of them may match, and `*` is all.
    pub allow_origin: Vec<ValueMatch>,
    /// Whether preflights of other origins go on; else the proxy answers them, too.
    pub forward_not_matching_preflights: bool,
}

/// Envoy's buffer filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Buffer {
    /// The longest body that is kept, in bytes, above 0.
    pub max_request_bytes: u32,
}

/// One action of Envoy's overload manager, with its trigger.
#[derive(Clone, Copy, PartialEq)]
pub struct Overload {
    /// What is looked at.
    pub monitor: Monitor,
    /// Between two looks, above 0.
    pub refresh_interval: Duration,
    /// How strong the action is under which pressure.
    pub trigger: Trigger,
    /// What is done.
    pub action: OverloadAction,
}

impl fmt::Debug for Overload {
    /// As before there were other monitors and actions: digests of plans stay what they are.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut fields = f.debug_struct("Overload");
        match self.monitor {
            Monitor::Requests(most) => fields.field("max_active", &most),
            other => fields.field("monitor", &other),
        };
        fields.field("refresh_interval", &self.refresh_interval).field("trigger", &self.trigger);
        if self.action != OverloadAction::StopRequests {
            fields.field("action", &self.action);
        }
        fields.finish()
    }
}

/// What a proxy looks at to know its pressure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Monitor {
    /// Requests under way; so many are a pressure of 1, above 0.
    Requests(u32),
    /// Connections of its clients; so many are a pressure of 1, above 0.
    Connections(u32),
    /// The busy share of its workers, smoothed.
    Cpu,
}

/// What an overloaded proxy does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OverloadAction {
    /// It refuses a share of the requests.
    StopRequests,
    /// While the pressure is full, it leaves new connections to the kernel.
    StopConnections,
    /// It closes a share of the new connections at once.
    RejectConnections,
    /// A share of the answers closes their connections.
    DisableKeepAlive,
    /// Idle connections of its clients are closed sooner.
    ReduceTimeouts {
        /// After this without pressure.
        idle: Duration,
        /// After this with full pressure; at most the other.
        least: Duration,
    },
}

/// Most connections that clients may have to a proxy; others are accepted and closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionLimit {
    /// To the process (Envoy's `global_downstream_max_connections`).
    pub process: Option<u32>,
    /// To the listener (Envoy's `connection_limit`).
    pub listener: Option<u32>,
}

impl ConnectionLimit {
    /// Whether one more may come, beside so many.
    #[must_use]
    pub fn admits(&self, open: usize) -> bool {
        self.process.into_iter().chain(self.listener).all(|most| open < most as usize)
    }
}

/// How strong an action is under which pressure: a share of what it is about, 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Trigger {
    /// Full from this on, and none below.
    Threshold(f64),
    /// A strength that grows from none to full.
    Scaled {
        /// None up to this.
        from: f64,
        /// Full from this on, above `from`.
        to: f64,
    },
}
