//! What few plans have. Who has none of it pays one look at a flag, not a search.
//!
//! Source: derived from the plan alone.
//! Left out: what a run finds out on its way.

use super::admission;
use super::checks::checked_by;
use super::compiled::some_rule;
use super::definitions::originals;
use super::discovery::{are_apart, has_rejections};
use super::listeners;
use super::overload;
use super::replies::limits_rates;
use crate::plan::Plan;
use crate::plan::filter::Filter;
use crate::plan::universe::Cluster;

/// What a plan has.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked alone")]
#[derive(Debug)]
pub(crate) struct Has {
    /// Some proxy looks at requests before it routes them: it has filters or listeners that count, or
    /// requests to refuse.
    pub gates: bool,
    /// Some sidecar has filters for what it receives.
    pub inbound_filters: bool,
    /// Some proxy asks a service about what it sends.
    pub asks: bool,
    /// The connections of clients to gateways matter.
    pub listeners: bool,
    /// Some proxy limits the connections of its clients, or looks at its pressure by the clock.
    pub client_connections: bool,
    /// Some proxy is to know how its requests end: it has listeners that count, or admission control.
    pub ends: bool,
    /// Types of configuration come apart.
    pub apart: bool,
    /// Proxies reject some configuration.
    pub rejections: bool,
    /// Clusters come and go, or drop a share of their requests.
    pub cluster_rules: bool,
    /// Some cluster's endpoints are checked by proxies.
    pub checks: bool,
    /// Some client leaves or sends again.
    pub clients: bool,
    /// Some cluster has a limit on streams.
    pub max_stream: bool,
    /// Some rule hedges.
    pub hedging: bool,
    /// Some rule has copies.
    pub mirrors: bool,
    /// Calls may have flags of their own.
    pub flags: bool,
    /// Sidecars try their apps again.
    pub inbound_retries: bool,
    /// Some answers have headers.
    pub reply_headers: bool,
    /// Some source has requests of several classes in turn.
    pub turns: bool,
}

impl Has {
    pub(crate) fn new(plan: &Plan) -> Self {
        let universe = &plan.universe;
        let has_cluster = |test: fn(&Cluster) -> bool| universe.clusters.iter().any(test);
        let listeners = listeners::matter(plan) || overload::matters_outside(plan);
        let rejections = has_rejections(plan);
        let gates = listeners
            || rejections
            || plan.linkerd.is_some()
            || universe.workloads.iter().any(|one| !one.filters.is_empty())
            || universe.classes.iter().any(|class| class.defect.is_some());
        let hedging = some_rule(plan, |rule| rule.retry.hedges);
        Self {
            gates,
            inbound_filters: universe.workloads.iter().any(|one| !one.inbound.is_empty()),
            asks: universe
                .workloads
                .iter()
                .flat_map(|one| &one.filters)
                .any(|filter| matches!(filter, Filter::ExtAuthz(_) | Filter::GlobalRateLimit(_))),
            listeners,
            client_connections: overload::matters(plan),
            ends: listeners || plan.linkerd.is_some() || admission::has_outbound(plan),
            apart: are_apart(plan),
            rejections,
            cluster_rules: !originals(plan).is_empty()
                || has_cluster(|cluster| 0.0 < cluster.policy.drop_overload),
            checks: checked_by(plan).iter().any(|clusters| !clusters.is_empty()),
            clients: !plan.clients.is_empty() || !plan.call_clients.is_empty(),
            max_stream: has_cluster(|cluster| !cluster.policy.pool.max_stream_duration.is_zero()),
            hedging,
            mirrors: some_rule(plan, |rule| !rule.mirrors.is_empty()),
            flags: gates || hedging,
            inbound_retries: plan.parameters.retry.inbound_attempts != 0,
            reply_headers: !plan.replies.is_empty()
                || !plan.linkerd_rules.wires.is_empty()
                || universe.workloads.iter().any(|one| limits_rates(&one.inbound)),
            turns: plan.traffic.iter().any(|one| !one.turns.is_empty()),
        }
    }
}
