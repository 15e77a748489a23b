//! Routes: which cluster a request goes to, and how it is treated on the way.
//!
//! Source: Istio's `VirtualService`; Envoy's routes.
//! Left out: nothing. What a rule matches stands in `matching`.

use super::matching::RouteMatch;
use crate::kernel::time::Duration;
use crate::plan::linkerd::policy::{Annotations, Timeouts};
use crate::plan::policy::RetryPolicy;
use crate::plan::universe::{ClassId, ClusterId, RouteId, ServiceId};
use std::collections::BTreeMap;
use std::fmt;

/// Where a share of the requests goes.
#[derive(Clone, PartialEq, Debug)]
pub enum Destination {
    /// A cluster of the universe.
    Cluster(ClusterId),
    /// A name that leads nowhere (`reviews/v9`): real meshes accept it and answer NC.
    Missing(String),
}

/// A copy of a share of a rule's requests, whose answers nobody waits for (Envoy's
/// `request_mirror_policies`).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Mirror {
    /// The table whose first rule the copies follow: one destination, no retries.
    pub route: RouteId,
    /// Share of the requests, 0 to 1.
    pub share: f64,
}

/// Envoy's `per_connection_buffer_limit_bytes`, which holds where a route has no limit of its own.
pub const BUFFER_LIMIT: u64 = 1 << 20;

/// A rule: match to weighted clusters, with its time-out and retries.
#[derive(Clone, PartialEq)]
pub struct RouteRule {
    /// Any of these; empty matches everything.
    pub matches: Vec<RouteMatch>,
    /// Destinations with relative weights; their sum is above 0, but where Linkerd's proxy panics of it.
    pub split: Vec<(Destination, u32)>,
    /// The status that the proxy answers itself, without an upstream: a direct response, or a
    /// redirect.
    pub direct: Option<u16>,
    /// The header that names the cluster, in lower case; `split` has what it names then, or a missing cluster.
    pub cluster_header: Option<String>,
    /// The status of a request whose cluster is not there; none for Envoy's 503.
    pub missing_status: Option<u16>,
    /// Limit on the whole request with its retries; zero for none.
    pub timeout: Duration,
    /// Limit on the time in which the client hears nothing (Envoy's stream idle timeout); zero for
    /// none.
    pub idle_timeout: Duration,
    /// Limit on a request from its routing to the end of its answer, with its retries (Envoy's
    /// `max_stream_duration` of a route): the only one on the whole, `timeout` is zero then. Zero for none.
    pub max_stream_duration: Duration,
    /// Bytes of a request's body that are kept for its retries and copies (Envoy's
    /// `per_request_buffer_limit_bytes`): what is longer has none.
    pub buffer_limit: u64,
    /// Retries.
    pub retry: RetryPolicy,
    /// Linkerd's limits on a response and on silence; that on the whole stands in `timeout`.
    pub linkerd: Annotations,
    /// Copies.
    pub mirrors: Vec<Mirror>,
    /// What becomes of classes of requests on their way up, of those that the rule changes.
    pub changes: BTreeMap<ClassId, ClassId>,
}

impl RouteRule {
    /// Whether a header names its cluster.
    #[must_use]
    pub fn names_by_header(&self) -> bool {
        self.cluster_header.is_some()
    }

    /// The class of a request once it has gone up.
    #[must_use]
    pub fn onward(&self, class: ClassId) -> ClassId {
        self.changes.get(&class).copied().unwrap_or(class)
    }
}

impl fmt::Debug for RouteRule {
    /// The plan's digest is made from this: what is not asked for does not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("RouteRule");
        fields
            .field("matches", &self.matches)
            .field("split", &self.split)
            .field("direct", &self.direct)
            .field("timeout", &self.timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("retry", &self.retry);
        if !self.max_stream_duration.is_zero() {
            fields.field("max_stream_duration", &self.max_stream_duration);
        }
        if self.buffer_limit != BUFFER_LIMIT {
            fields.field("buffer_limit", &self.buffer_limit);
        }
        if let Some(header) = &self.cluster_header {
            fields.field("cluster_header", header);
        }
        if let Some(status) = &self.missing_status {
            fields.field("missing_status", status);
        }
        if self.linkerd.timeouts != Timeouts::default() {
            fields.field("linkerd", &self.linkerd.timeouts);
        }
        if let Some(retry) = &self.linkerd.retry {
            fields.field("linkerd_retry", retry);
        }
        if !self.mirrors.is_empty() {
            fields.field("mirrors", &self.mirrors);
        }
        if !self.changes.is_empty() {
            fields.field("changes", &self.changes);
        }
        fields.finish()
    }
}

/// One revision of how requests to a service are routed.
#[derive(Clone, PartialEq, Debug)]
pub struct RouteTable {
    /// The service.
    pub service: ServiceId,
    /// What made it: `routes of reviews`, or the id of the timeline event.
    pub name: String,
    /// Rules; the first that matches wins.
    pub rules: Vec<RouteRule>,
    /// For each class of requests the first rule that matches, computed once.
    pub rule_of_class: Vec<Option<u16>>,
}

impl RouteTable {
    /// The rule for a class of requests; none means NR.
    pub fn rule(&self, class: ClassId) -> Option<&RouteRule> {
        self.rule_of_class[class.0 as usize].map(|index| &self.rules[index as usize])
    }
}
