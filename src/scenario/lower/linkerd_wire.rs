//! Linkerd: what apps speak, what of their answers is tried again or counts as slow, and what the mesh-wide settings
//! of policies may not be.
//!
//! Source: `plan::linkerd::{wire, policy}`.
//! Left out: nothing.

use super::super::document::Node;
use super::linkerd::set;
use super::{Lower, id};
use crate::plan::linkerd::Linkerd;
use crate::plan::linkerd::policy::{
    Accrual, Backoff, FailureAccrual, RetryBudget, read_grpc_statuses, read_http_statuses,
};
use crate::plan::linkerd::wire::{AppProtocol, Wire};
use crate::plan::universe::ServiceId;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

impl Lower<'_, '_, '_> {
    /// How services are spoken to, where something is said of it.
    pub(super) fn wires(&mut self, own: &Linkerd) -> BTreeMap<ServiceId, Wire> {
        let mut wires = BTreeMap::new();
        for (index, table) in self.service_nodes.clone().into_iter().enumerate() {
            let wire = self.wire(own, table);
            if wire != Wire::default() {
                wires.insert(ServiceId(id(index)), wire);
            }
        }
        wires
    }

    fn wire(&mut self, own: &Linkerd, table: &Node) -> Wire {
        let named = table.text("app_protocol");
        let known = named.and_then(|name| AppProtocol::ALL.iter().find(|one| one.0 == name));
        let protocol = known.map_or(AppProtocol::Http1, |(_, protocol)| *protocol);
        let biaser = table.get("penalize_failures").map(|node| {
            let mut own = own.clone();
            for key in ["penalty", "max_retry_after"] {
                set(&mut own, node, key, &format!("linkerd_balancer.{key}"));
            }
            own.linkerd_balancer.penalize_failures = node.flag("is_on").unwrap_or(true);
            own.linkerd_balancer
        });
        if protocol.is_tcp() {
            self.refuse_requests(table);
        } else if let Some(retry) = table.get("retry") {
            self.retries_of(protocol, retry);
        }
        Wire { protocol, biaser }
    }

    /// What is about requests does nothing where proxies see none.
    fn refuse_requests(&mut self, table: &Node) {
        let keys = [
            "failure_accrual",
            "local_rate_limit",
            "penalize_failures",
            "retry",
            "route",
            "service_profile",
            "timeout",
            "timeouts",
        ];
        let hint = "proxies know nothing of requests there: they carry bytes";
        self.refuse_keys(table, &keys, "where `app_protocol` is no HTTP", hint);
    }

    /// Statuses that are never seen are told.
    fn retries_of(&mut self, protocol: AppProtocol, retry: &Node) {
        match (protocol, retry.entry("grpc")) {
            (AppProtocol::Grpc, None) => {
                let what = "no answer of gRPC is tried again";
                self.warn(retry.at, what, "grpc = \"unavailable\": answers of gRPC are HTTP 200");
            }
            (AppProtocol::Grpc, Some(_)) => {
                if let Some(entry) = retry.entry("http") {
                    let what = "`http` does nothing: answers of gRPC are HTTP 200";
                    self.warn(entry.at, what, "`grpc` alone has statuses that are seen");
                }
            }
            (AppProtocol::Http1 | AppProtocol::Http2, Some(entry)) => {
                let what = "`grpc` does nothing: no answer has a status of gRPC";
                self.warn(entry.at, what, "app_protocol = \"grpc\"");
            }
            _ => {}
        }
    }

    /// The statuses that a table of `retry` names: of HTTP, and of gRPC.
    pub(super) fn retried(&mut self, node: &Node) -> Option<(Vec<RangeInclusive<u16>>, Vec<u8>)> {
        let at = |key: &str| node.get(key).map_or(node.at, |one| one.at);
        let usual = if node.get("grpc").is_some() { "" } else { "5xx" };
        let http = read_http_statuses(node.text("http").unwrap_or(usual));
        let grpc = read_grpc_statuses(node.text("grpc").unwrap_or_default());
        if let Err(what) = &http {
            self.report(at("http"), what.as_str(), "http = \"5xx\"");
        }
        if let Err(what) = &grpc {
            self.report(at("grpc"), what.as_str(), "grpc = \"unavailable\"");
        }
        Some((http.ok()?, grpc.ok()?))
    }

    /// What the settings of policies for the whole mesh may not be.
    pub(super) fn policies_can_be(&mut self, mesh: Option<&Node>) {
        let Some(own) = self.linkerd.clone() else { return };
        let mut accrual = own.linkerd_accrual.clone();
        // The numbers are those of services, too, that ask for it themselves.
        accrual.mode = Accrual::Unified;
        let retry = &own.linkerd_retry;
        let backoff = Backoff {
            min: retry.backoff_min,
            max: retry.backoff_max,
            jitter: retry.backoff_jitter.0,
        };
        let accrual = FailureAccrual::new(&accrual).and_then(|one| one.problem());
        for (group, problem) in [
            ("linkerd_accrual", accrual),
            ("linkerd_budget", RetryBudget::new(&own.linkerd_budget).problem()),
            ("linkerd_retry", backoff.problem()),
        ] {
            if let (Some(what), Some(node)) = (problem, mesh.and_then(|mesh| mesh.get(group))) {
                self.told(node, Some(what));
            }
        }
    }
}
