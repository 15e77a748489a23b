//! What a scenario says of Linkerd beyond its parameters: how apps connect to their proxies, and what services ask of
//! the proxies of their clients and of their own.
//!
//! Source: linkerd2 policy-controller/k8s/index/src/outbound/index.rs (annotations of a Service),
//! `controller/api/destination/profile_translator.go` (`ServiceProfile`).
//! Left out: rules of single ports.

use super::authorization::DefaultPolicy;
use super::policy::{FailureAccrual, LocalRateLimit, RetryPolicy};
use super::profile::Profile;
use super::wire::{AppProtocol, Wire};
use crate::plan::universe::{ClusterId, RouteId, ServiceId, WorkloadId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Beside the parameters.
#[derive(Clone, PartialEq, Default)]
pub struct Rules {
    /// Sources of traffic, by place, whose clients open a connection for each request. The others keep theirs.
    pub per_request: BTreeSet<u32>,
    /// The same of the calls that apps make.
    pub per_request_calls: BTreeSet<(WorkloadId, ServiceId)>,
    /// What services ask of the proxies of their clients; nothing of those not here.
    pub services: BTreeMap<ServiceId, ServiceRules>,
    /// Route tables that are of a `ServiceProfile` with its `dstOverrides`: where one of them is in force, the
    /// service's accrual, retries and timeouts by annotation do not count.
    pub profiles: BTreeSet<RouteId>,
    /// How services are spoken to; as HTTP/1 those not here.
    pub wires: BTreeMap<ServiceId, Wire>,
}

impl Rules {
    /// What the app of a service speaks.
    pub fn protocol(&self, service: ServiceId) -> AppProtocol {
        self.wires.get(&service).map_or(AppProtocol::Http1, |wire| wire.protocol)
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Debug for Rules {
    /// The plan's digest is made from this: what is not asked for does not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Rules");
        fields
            .field("per_request", &self.per_request)
            .field("per_request_calls", &self.per_request_calls)
            .field("services", &self.services);
        // That the table of a service with a profile is of that profile goes without saying.
        let is_plain = |route: &RouteId| {
            let rules = self.services.get(&ServiceId(route.0));
            rules.is_some_and(|rules| rules.profile.is_some())
        };
        if !self.profiles.iter().all(is_plain) {
            fields.field("profiles", &self.profiles);
        }
        if !self.wires.is_empty() {
            fields.field("wires", &self.wires);
        }
        fields.finish()
    }
}

/// What a service asks of the proxies of its clients.
#[derive(Clone, PartialEq, Default)]
pub struct ServiceRules {
    /// When an endpoint is shut out; as the parameters say if not given.
    pub accrual: Option<FailureAccrual>,
    /// Retries by annotation.
    pub retry: Option<RetryPolicy>,
    /// Its `ServiceProfile`.
    pub profile: Option<Profile>,
    /// Its `Server`.
    pub server: Option<Server>,
    /// Its `HTTPLocalRateLimitPolicy`.
    pub rate_limit: Option<LocalRateLimit>,
    /// Its `TrafficSplit` is one of the failover extension.
    pub failover: Option<Failover>,
}

impl fmt::Debug for ServiceRules {
    /// As that of [`Rules`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("ServiceRules");
        fields
            .field("accrual", &self.accrual)
            .field("retry", &self.retry)
            .field("profile", &self.profile)
            .field("server", &self.server)
            .field("rate_limit", &self.rate_limit);
        if let Some(failover) = &self.failover {
            fields.field("failover", failover);
        }
        fields.finish()
    }
}

/// A `TrafficSplit` with `failover.linkerd.io/controlled-by`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failover {
    /// Who takes all requests while it is ready.
    pub primary: ClusterId,
    /// Who take them in its place.
    pub secondaries: Vec<ClusterId>,
    /// The route tables, by the secondaries that get requests, a bit each; the first is the primary's.
    pub routes: Vec<RouteId>,
}

/// The `Server` of the one port that the pods of a service have, with its `AuthorizationPolicy`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Who may call besides the clients.
    pub access_policy: DefaultPolicy,
    /// Services whose pods may call with their identities.
    pub clients: Vec<String>,
}
