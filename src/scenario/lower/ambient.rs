//! What an ambient mesh cannot do: ztunnel passes bytes on, and knows no requests.
//!
//! Source: Istio's ambient documentation: rules about HTTP need a waypoint.
//! Left out: waypoints, and so all of these keys; gateways, whose own proxies do know HTTP.

use super::super::document::Node;
use super::{BEGIN, Lower};
use crate::plan::policy::Protocol;

/// Keys of services that need a proxy which knows HTTP.
const OF_SERVICE: &[&str] = &[
    "active_request_bias",
    "balancer",
    "choice_count",
    "circuit_breaker",
    "drop_overload",
    "egress",
    "hash_on",
    "health_checks",
    "idle_timeout",
    "load_refresh",
    "maglev_table_size",
    "max_stream_duration",
    "maximum_ring_size",
    "merge_window",
    "minimum_ring_size",
    "outlier_detection",
    "overprovisioning",
    "panic_threshold",
    "per_request_buffer_limit",
    "retries",
    "route",
    "slow_start",
    "subsets",
    "timeout",
];
/// Parameters of the mesh that do, with the value that means nothing.
const OF_MESH: &[(&str, &str)] =
    &[("retry", "attempts"), ("retry", "inbound_attempts"), ("route", "timeout")];
/// Actions of events that do.
const ACTIONS: &[&str] = &["cluster", "fail_health_check", "route"];
const HINT: &str = "ztunnel knows no requests: that takes a waypoint, which is not simulated";

impl Lower<'_, '_, '_> {
    /// Tunnels carry streams of every protocol; what they cannot do is told.
    pub(super) fn ambient(&mut self) {
        if !self.parameters.ztunnel.present {
            return;
        }
        let mesh = self.root.get("mesh");
        if !self.parameters.istiod.present {
            let at = mesh.map_or(BEGIN, |mesh| mesh.at);
            self.report(at, "there is a ztunnel and no istiod", "istiod.present = true");
        }
        let parameters = &self.parameters;
        let is_nothing = [
            parameters.retry.attempts == 0,
            parameters.retry.inbound_attempts == 0,
            parameters.route.timeout.is_zero(),
        ];
        for ((group, key), is_nothing) in OF_MESH.iter().zip(is_nothing) {
            let entry = mesh.and_then(|mesh| mesh.get(group)?.entry(key));
            if let Some(entry) = entry.filter(|_| !is_nothing) {
                let what = format!("`{group}.{key}` does nothing in an ambient mesh");
                self.report(entry.at, what, HINT);
            }
        }
        for table in self.service_nodes.clone() {
            self.refuse(table, OF_SERVICE);
        }
        let of_pods = |filter: &&Node| filter.text("at") != Some("ingress");
        for filter in self.root.list("filter").iter().filter(of_pods) {
            self.report(filter.at, "a filter does nothing in an ambient mesh", HINT);
        }
        for event in self.root.list("event") {
            let Some(action) = event.get("do") else { continue };
            let word = action.as_text().unwrap_or_default();
            if ACTIONS.contains(&word) {
                let what = format!("an event that does `{word}` does nothing in an ambient mesh");
                self.report(action.at, what, HINT);
            }
        }
        for cluster in &mut self.universe.clusters {
            cluster.policy.pool.protocol = Protocol::Http2;
        }
    }

    fn refuse(&mut self, table: &Node, keys: &[&str]) {
        for key in keys {
            if let Some(entry) = table.entry(key) {
                self.report(entry.at, format!("`{key}` does nothing in an ambient mesh"), HINT);
            }
        }
    }
}
