//! Overload of a proxy: what is too much, and what is done then; and limits on its clients' connections.
//!
//! Source: Envoy's `overload.proto` (1 s between two looks; a scaled trigger whose thresholds are in order; a
//! timeout that shrinks to no less than a `min_timeout`), `downstream_connections.proto`.
//! Left out: what `model::proxy::filter::overload` leaves out; several monitors of one action, which are
//! several filters here.

use super::super::super::document::Node;
use super::super::Lower;
use crate::kernel::time::Duration;
use crate::plan::filter::{ConnectionLimit, Filter, Monitor, Overload, OverloadAction, Trigger};

/// Envoy's default interval between two looks.
const REFRESH_INTERVAL: Duration = Duration::from_s(1);
/// Envoy's default idle timeout of the connections of HTTP clients.
const IDLE_TIMEOUT: Duration = Duration::from_s(3_600);

impl Lower<'_, '_, '_> {
    pub(super) fn overload(&mut self, node: &Node, has_clients: bool) -> Option<Filter> {
        let (trigger, monitor) = (self.trigger(node), self.monitor(node));
        let action = self.overload_action(node);
        let refresh_interval = node.duration("refresh_interval").unwrap_or(REFRESH_INTERVAL);
        if refresh_interval.is_zero() {
            let at = node.get("refresh_interval").map_or(node.at, |node| node.at);
            self.report(at, "there is no time between two looks", "such as \"1s\"");
            return None;
        }
        let (trigger, monitor, action) = (trigger?, monitor?, action?);
        let is_of_connections =
            matches!(monitor, Monitor::Connections(_)) || action != OverloadAction::StopRequests;
        if is_of_connections && !has_clients {
            self.own_app_connects(node);
            return None;
        }
        Some(Filter::Overload(Overload { monitor, refresh_interval, trigger, action }))
    }

    pub(super) fn connection_limit(&mut self, node: &Node, has_clients: bool) -> Option<Filter> {
        let process = node.count("global_downstream_max_connections");
        let listener = node.count("max_connections");
        if process.is_none() && listener.is_none() {
            let hint = "max_connections, global_downstream_max_connections, or both";
            self.report(node.at, "this limit limits nothing", hint);
            return None;
        }
        if !has_clients {
            self.own_app_connects(node);
            return None;
        }
        Some(Filter::ConnectionLimit(ConnectionLimit { process, listener }))
    }

    fn own_app_connects(&mut self, node: &Node) {
        let what = "the connections of an app to its own sidecar are not simulated";
        self.report(node.at, what, "direction = \"inbound\"");
    }

    fn monitor(&mut self, node: &Node) -> Option<Monitor> {
        let requests = node.count("max_active_requests").map(Monitor::Requests);
        let connections = node.count("max_active_connections").map(Monitor::Connections);
        let cpu = (node.flag("cpu_utilization") == Some(true)).then_some(Monitor::Cpu);
        let given: Vec<_> = [requests, connections, cpu].into_iter().flatten().collect();
        let hint = "max_active_requests, max_active_connections, or cpu_utilization = true";
        match given[..] {
            [monitor] => return Some(monitor),
            [] => self.report(node.at, "nothing says what the pressure is", hint),
            _ => {
                let what = "one monitor an action; others are filters of their own";
                self.report(node.at, what, hint);
            }
        }
        None
    }

    fn overload_action(&mut self, node: &Node) -> Option<OverloadAction> {
        let action = match node.text("action").unwrap_or("stop_accepting_requests") {
            "stop_accepting_requests" => OverloadAction::StopRequests,
            "stop_accepting_connections" => OverloadAction::StopConnections,
            "reject_incoming_connections" => OverloadAction::RejectConnections,
            "disable_http_keepalive" => OverloadAction::DisableKeepAlive,
            _ => return self.reduced_timeouts(node),
        };
        for key in ["idle_timeout", "min_timeout"] {
            if let Some(entry) = node.get(key) {
                let hint = "action = \"reduce_timeouts\"";
                self.report(entry.at, format!("`{key}` is not of this action"), hint);
                return None;
            }
        }
        Some(action)
    }

    fn reduced_timeouts(&mut self, node: &Node) -> Option<OverloadAction> {
        let idle = node.duration("idle_timeout").unwrap_or(IDLE_TIMEOUT);
        let Some(least) = node.duration("min_timeout") else {
            let what = "nothing says to what the timeout is reduced";
            self.report(node.at, what, "min_timeout = \"2s\"");
            return None;
        };
        let at = |key: &str| node.get(key).map_or(node.at, |node| node.at);
        if least.is_zero() || idle < least {
            let what = "a timeout is reduced to more than nothing and no more than it is";
            self.report(at("min_timeout"), what, format!("below the {idle} of `idle_timeout`"));
            return None;
        }
        Some(OverloadAction::ReduceTimeouts { idle, least })
    }

    fn trigger(&mut self, node: &Node) -> Option<Trigger> {
        let given = |key| node.get(key).is_some();
        let share = |key| node.share(key);
        let scaled = [given("scaling_threshold"), given("saturation_threshold")];
        let hint = "threshold = \"95%\", or scaling_threshold and saturation_threshold";
        match (given("threshold"), scaled) {
            (true, [false, false]) => share("threshold").map(Trigger::Threshold),
            (false, [true, true]) => {
                let (from, to) = (share("scaling_threshold")?, share("saturation_threshold")?);
                if to <= from {
                    let at = node.get("saturation_threshold").map_or(node.at, |node| node.at);
                    let what = "the share of requests would grow from there to no more";
                    self.report(at, what, "above `scaling_threshold`; Envoy refuses it, too");
                    return None;
                }
                Some(Trigger::Scaled { from, to })
            }
            (false, [false, false]) => {
                self.report(node.at, "nothing says what is too much", hint);
                None
            }
            _ => {
                self.report(node.at, "one trigger: a threshold, or two for what is scaled", hint);
                None
            }
        }
    }
}
