//! HTTP filters: whose proxies have them, and what they do.
//!
//! What Envoy refuses is refused here: a bucket that is filled more often than every 50 ms. So is
//! what would do nothing without a word: a fault without a delay and an abort.
//!
//! Source: Envoy's protos of the filters and their validation rules.
//! Left out: what `plan::filter` leaves out.

mod admission;
mod cors;
mod overload;
mod rate_limits;
mod warnings;

use super::super::document::Node;
use super::Lower;
use crate::kernel::time::Duration;
use crate::plan::filter::{
    Abort, ExtAuthz, Fault, Filter, LocalRateLimit, Principal, Rbac, RbacPolicy,
};
use crate::plan::universe::WorkloadId;

/// The kinds of filters, by key.
const KINDS: [&str; 10] = [
    "fault",
    "local_rate_limit",
    "rbac",
    "ext_authz",
    "global_rate_limit",
    "admission_control",
    "cors",
    "buffer",
    "overload",
    "connection_limit",
];
/// The shortest interval that Envoy accepts for a bucket of tokens.
const FILL_INTERVAL_MIN: Duration = Duration::from_ms(50);

impl Lower<'_, '_, '_> {
    /// Gives each workload its filters, in the order of the file.
    pub(super) fn filters(&mut self) {
        let root = self.root;
        for table in root.list("filter").iter().filter(|table| table.is_table()) {
            let Some((workloads, is_inbound)) = self.place_of_filter(table) else { continue };
            let Some(filter) = self.http_filter(table, is_inbound) else { continue };
            if is_inbound && self.asks_itself(table, &filter, &workloads) {
                continue;
            }
            for workload in workloads {
                let workload = &mut self.universe.workloads[workload.index()];
                let list = if is_inbound { &mut workload.inbound } else { &mut workload.filters };
                // An overloaded proxy makes no chain of filters.
                let place = if matches!(filter, Filter::Overload(_)) { 0 } else { list.len() };
                list.insert(place, filter.clone());
            }
        }
    }

    /// Whether a service would be asked whether it may be asked.
    fn asks_itself(&mut self, table: &Node, filter: &Filter, workloads: &[WorkloadId]) -> bool {
        let (kind, service) = match filter {
            Filter::ExtAuthz(authz) => ("ext_authz", authz.service),
            Filter::GlobalRateLimit(limit) => ("global_rate_limit", limit.service),
            _ => return false,
        };
        let asked = &self.universe.services[service.index()].workloads;
        let is_own = asked.iter().any(|one| workloads.contains(one));
        if is_own {
            let at = table.get(kind).map_or(table.at, |node| node.at);
            let what = "each question that the service is asked would ask it another one";
            self.report(at, what, "another service");
        }
        is_own
    }

    /// The workloads whose proxies have a filter, and whether it is for what they receive.
    fn place_of_filter(&mut self, table: &Node) -> Option<(Vec<WorkloadId>, bool)> {
        let at = table.get("at")?;
        let text = at.as_text()?;
        let direction = table.get("direction");
        if text == "ingress" {
            if let Some(node) = direction.filter(|node| node.as_text() == Some("inbound")) {
                let hint = "leave `direction` out: all requests of a gateway are outbound";
                self.report(node.at, "a gateway has no app to receive requests for", hint);
                return None;
            }
            let Some(gateway) = self.workloads.get(text) else {
                let hint = "traffic with from = \"ingress\" makes one";
                self.report(at.at, "there is no gateway: no traffic comes from outside", hint);
                return None;
            };
            return Some((vec![*gateway], false));
        }
        if !self.services.contains_key(text.split('/').next().unwrap_or(text))
            && self.counted.members(text).is_none()
        {
            let names: Vec<&str> = self.services.keys().copied().chain(["ingress"]).collect();
            self.missing(at.at, "service", text, names);
            return None;
        }
        let (_, workloads) = self.service_or_version(at.at, text)?;
        let is_bare = |id: &WorkloadId| !self.universe.workloads[id.index()].meshed;
        if workloads.iter().any(is_bare) || self.profile == "none" {
            let hint = "a filter stands in a proxy: meshed = true, and a profile with proxies";
            self.report(at.at, format!("the pods of `{text}` have no sidecar"), hint);
            return None;
        }
        let is_waypoint =
            self.root.list("waypoint").iter().any(|one| one.text("name") == Some(text));
        if is_waypoint {
            if let Some(node) = direction.filter(|node| node.as_text() == Some("inbound")) {
                let hint = "leave `direction` out: it acts where the waypoint sends requests on";
                self.report(node.at, "a waypoint has no app to receive requests for", hint);
                return None;
            }
            return Some((workloads, false));
        }
        Some((workloads, direction.and_then(Node::as_text) != Some("outbound")))
    }

    /// What a filter does.
    fn http_filter(&mut self, table: &Node, is_inbound: bool) -> Option<Filter> {
        let given: Vec<_> =
            KINDS.iter().filter_map(|kind| Some((*kind, table.get(kind)?))).collect();
        let [(kind, node)] = given[..] else {
            let what =
                if given.is_empty() { "this filter does nothing" } else { "one filter, one kind" };
            let at = given.get(1).map_or(table.at, |(_, node)| node.at);
            self.report(at, what, format!("one of {}", KINDS.join(", ")));
            return None;
        };
        // Whose connections are simulated.
        let has_clients = is_inbound || table.text("at") == Some("ingress");
        match kind {
            "fault" => self.fault(node),
            "local_rate_limit" => self.local_rate_limit(node),
            "rbac" => Some(self.rbac(node, is_inbound)),
            "ext_authz" => self.ext_authz(node),
            "global_rate_limit" => self.global_rate_limit(node),
            "admission_control" => self.admission_control(node),
            "cors" => self.cors(node),
            "buffer" => Self::buffer(node),
            "overload" => self.overload(node, has_clients),
            _ => self.connection_limit(node, has_clients),
        }
    }

    fn fault(&mut self, node: &Node) -> Option<Filter> {
        let status = |key: &str| node.get(key).zip(node.count(key));
        let (http, grpc) = (status("abort"), status("abort_grpc"));
        if let (Some(_), Some((second, _))) = (http, grpc) {
            let hint = "keep one of them";
            self.report(second.at, "`abort` and `abort_grpc` exclude each other", hint);
            return None;
        }
        let (delays, aborts) = (node.get("delay").is_some(), http.or(grpc).is_some());
        if !delays && !aborts {
            let hint = "delay = \"2s\", abort = 503, or both";
            self.report(node.at, "this fault neither delays nor aborts", hint);
            return None;
        }
        for (key, of, is_given) in [
            ("delay_share", "delay", delays),
            ("max_active", "delay", delays),
            ("abort_share", "abort", aborts),
        ] {
            if let Some(share) = node.get(key).filter(|_| !is_given) {
                self.report(share.at, format!("`{key}` without `{of}`"), format!("add {of}"));
            }
        }
        let share =
            |key: &str, is_given| if is_given { node.share(key).unwrap_or(1.0) } else { 0.0 };
        let small = |status: u32| u16::try_from(status).unwrap_or(u16::MAX);
        Some(Filter::Fault(Fault {
            delay: node.duration("delay").unwrap_or(Duration::ZERO),
            delay_share: share("delay_share", delays),
            abort: match grpc {
                Some((_, status)) => Abort::Grpc(u8::try_from(status).unwrap_or(u8::MAX)),
                None => Abort::Http(http.map_or(503, |(_, status)| small(status))),
            },
            abort_share: share("abort_share", aborts),
            max_active: node.count("max_active"),
        }))
    }

    fn local_rate_limit(&mut self, node: &Node) -> Option<Filter> {
        let (max_tokens, interval) = (node.count("max_tokens")?, node.duration("fill_interval")?);
        if interval < FILL_INTERVAL_MIN {
            let at = node.get("fill_interval").map_or(node.at, |node| node.at);
            let what = format!("a fill interval of {interval} is below 50 ms");
            self.report(at, what, "Envoy refuses it, too: more tokens at a time");
            return None;
        }
        Some(Filter::LocalRateLimit(LocalRateLimit {
            max_tokens,
            tokens_per_fill: node.count("tokens_per_fill").unwrap_or(1),
            fill_interval: interval,
        }))
    }

    fn rbac(&mut self, node: &Node, is_inbound: bool) -> Filter {
        let policies = node.list("policy").iter().filter(|policy| policy.is_table());
        let policies = policies.filter_map(|policy| {
            let name = policy.text("name")?.to_owned();
            Some(RbacPolicy { name, principal: self.principal(policy, is_inbound)? })
        });
        let policies = policies.collect();
        Filter::Rbac(Rbac { allows: node.text("action") != Some("deny"), policies })
    }

    fn principal(&mut self, policy: &Node, is_inbound: bool) -> Option<Principal> {
        let text = |key| policy.get(key).and_then(|node| Some((node.at, node.as_text()?)));
        match (text("header"), text("source")) {
            (None, None) => Some(Principal::Any),
            (Some((_, header)), None) => Some(Principal::HeaderPresent(header.to_lowercase())),
            (Some(_), Some((at, _))) => {
                let hint = "two policies, of which one is enough";
                self.report(at, "`header` and `source` exclude each other", hint);
                None
            }
            (None, Some((at, _))) if !is_inbound => {
                let hint = "a sidecar knows who sent what it receives: direction = \"inbound\"";
                self.report(at, "`source` of what is sent is always oneself", hint);
                None
            }
            (None, Some((at, name))) => {
                if !self.services.contains_key(name) && name != "ingress" {
                    let names: Vec<&str> =
                        self.services.keys().copied().chain(["ingress"]).collect();
                    self.missing(at, "service", name, names);
                    return None;
                }
                Some(Principal::Source(name.to_owned()))
            }
        }
    }

    fn ext_authz(&mut self, node: &Node) -> Option<Filter> {
        Some(Filter::ExtAuthz(ExtAuthz {
            service: self.service(node, "service")?,
            failure_mode_allow: node.flag("failure_mode_allow").unwrap_or(false),
        }))
    }
}
