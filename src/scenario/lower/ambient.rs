//! What an ambient mesh cannot do: ztunnel passes bytes on, and knows no requests. Services behind a waypoint have a proxy
//! that does.
//!
//! Source: Istio's ambient documentation: rules about HTTP need a waypoint.
//! Left out: gateways, whose own proxies do know HTTP.

use super::super::document::Node;
use super::waypoints::is_behind;
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
const HINT: &str = "ztunnel knows no requests: give the service a `waypoint`";
/// Keys of services that are of their own proxies, which no waypoint replaces.
const OF_CLIENTS: &[&str] = &["egress"];

impl Lower<'_, '_, '_> {
    /// Tunnels carry streams of every protocol; what they cannot do is told.
    pub(super) fn ambient(&mut self) {
        self.check_waypoints();
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
                let hint =
                    "ztunnel knows no requests: services behind a `waypoint` say it themselves";
                self.report(entry.at, what, hint);
            }
        }
        for table in self.service_nodes.clone() {
            if is_behind(table) {
                self.refuse(table, OF_CLIENTS, "the service's pods have no proxies of their own");
            } else {
                self.refuse(table, OF_SERVICE, HINT);
            }
        }
        let of_pods = |filter: &&Node| {
            let at = filter.text("at").unwrap_or_default();
            at != "ingress" && !self.is_waypoint(at)
        };
        let filters: Vec<&Node> = self.root.list("filter").iter().filter(of_pods).collect();
        for filter in filters {
            let hint = "filters stand in the gateway and in waypoints: at = \"NAME\"";
            self.report(filter.at, "a filter does nothing in an ambient mesh", hint);
        }
        for event in self.root.list("event") {
            let Some(action) = event.get("do") else { continue };
            let word = action.as_text().unwrap_or_default();
            if ACTIONS.contains(&word) && !self.acts_behind(event) {
                let what = format!("an event that does `{word}` does nothing in an ambient mesh");
                self.report(action.at, what, HINT);
            }
        }
        for cluster in &mut self.universe.clusters {
            cluster.policy.pool.protocol = Protocol::Http2;
        }
    }

    fn refuse(&mut self, table: &Node, keys: &[&str], hint: &str) {
        self.refuse_keys(table, keys, "in an ambient mesh", hint);
    }
}
