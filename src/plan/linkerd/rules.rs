//! What a scenario says of Linkerd beyond its parameters: how apps connect to their proxies, and what services ask of
//! the proxies of their clients and of their own.
//!
//! Source: linkerd2 policy-controller/k8s/index/src/outbound/index.rs (annotations of a Service),
//! `controller/api/destination/profile_translator.go` (`ServiceProfile`).
//! Left out: rules of routes of their own, and of single ports.

use super::authorization::DefaultPolicy;
use super::policy::{FailureAccrual, LocalRateLimit, RetryBudget, RetryPolicy};
use super::wire::{AppProtocol, Wire};
use crate::kernel::time::Duration;
use crate::plan::universe::{ServiceId, WorkloadId};
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
    /// How services are spoken to; as HTTP/1 those not here.
    pub wires: BTreeMap<ServiceId, Wire>,
}

impl fmt::Debug for Rules {
    /// The plan's digest is made from this: what is not asked for does not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Rules");
        fields
            .field("per_request", &self.per_request)
            .field("per_request_calls", &self.per_request_calls)
            .field("services", &self.services);
        if !self.wires.is_empty() {
            fields.field("wires", &self.wires);
        }
        fields.finish()
    }
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

/// What a service asks of the proxies of its clients.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ServiceRules {
    /// When an endpoint is shut out; as the parameters say if not given.
    pub accrual: Option<FailureAccrual>,
    /// Retries by annotation.
    pub retry: Option<RetryPolicy>,
    /// Its `ServiceProfile`: then the other two do not count.
    pub profile: Option<Profile>,
    /// Its `Server`.
    pub server: Option<Server>,
    /// Its `HTTPLocalRateLimitPolicy`.
    pub rate_limit: Option<LocalRateLimit>,
}

/// The `Server` of the one port that the pods of a service have, with its `AuthorizationPolicy`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Who may call besides the clients.
    pub access_policy: DefaultPolicy,
    /// Services whose pods may call with their identities.
    pub clients: Vec<String>,
}

/// A `ServiceProfile` with one route, which takes all requests.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Profile {
    /// What retries may cost; none if the route is not retryable.
    pub budget: Option<RetryBudget>,
    /// Limit on a request with its retries; zero for none.
    pub timeout: Duration,
}
