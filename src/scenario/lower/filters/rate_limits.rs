//! Global rate limits: the limits of a rate limit service, as the filters that ask it say them.
//!
//! A service has one limit for a descriptor of a domain: who says another one is told so.
//!
//! Source: the configuration of envoyproxy/ratelimit (`domain`, `descriptors`, `rate_limit`), whose
//! descriptors must differ.
//! Left out: descriptors of several entries, and by anything but a header.

use super::super::super::document::Node;
use super::super::Lower;
use crate::kernel::time::Duration;
use crate::plan::filter::{Filter, GlobalRateLimit, RateLimit, RateUnit};
use crate::plan::universe::ServiceId;

/// Envoy's default timeout of the filter.
const TIMEOUT: Duration = Duration::from_ms(20);
/// The domain of those who name none.
const DOMAIN: &str = "mesh";

impl Lower<'_, '_, '_> {
    pub(super) fn global_rate_limit(&mut self, node: &Node) -> Option<Filter> {
        let service = self.service(node, "service")?;
        let domain = node.text("domain").unwrap_or(DOMAIN).to_owned();
        let mut limits: Vec<RateLimit> = Vec::new();
        for table in node.list("limit").iter().filter(|table| table.is_table()) {
            let Some(limit) = rate_limit(table) else { continue };
            if limits.iter().any(|one| one.header == limit.header) {
                let hint =
                    "a rate limit service takes one limit for a descriptor: keep one of them";
                self.report(table.at, "a second limit for the same requests", hint);
                return None;
            }
            if let Some(other) = self.limit_of(service, &domain, &limit) {
                let what = format!("another filter has {other} for the same requests");
                let hint = "the service counts them together: the same limit, or another `domain`";
                self.report(table.at, what, hint);
                return None;
            }
            self.window_is_seen(table, limit.unit);
            limits.push(limit);
        }
        if node.list("limit").is_empty() {
            let hint = "limit = [{ requests = 100, unit = \"second\" }]";
            self.report(node.at, "there is no limit", hint);
            return None;
        }
        Some(Filter::GlobalRateLimit(GlobalRateLimit {
            service,
            domain,
            limits,
            timeout: node.duration("timeout").unwrap_or(TIMEOUT),
            failure_mode_deny: node.flag("failure_mode_deny").unwrap_or(false),
        }))
    }

    /// What a filter before this one says of the same descriptor, if it is another limit.
    fn limit_of(&self, service: ServiceId, domain: &str, limit: &RateLimit) -> Option<String> {
        let workloads = self.universe.workloads.iter();
        let mut filters = workloads.flat_map(|one| one.filters.iter().chain(&one.inbound));
        filters.find_map(|filter| {
            let Filter::GlobalRateLimit(other) = filter else { return None };
            let is_same = other.service == service && other.domain == domain;
            let mut limits = other.limits.iter().filter(|_| is_same);
            let other = limits.find(|one| one.header == limit.header && *one != limit)?;
            Some(format!("{} a {}", other.requests, word(other.unit)))
        })
    }

    /// Whether the windows of a limit are simulated whole.
    fn window_is_seen(&mut self, table: &Node, unit: RateUnit) {
        if self.root.get("sampling").is_some() && unit != RateUnit::Second {
            let at = table.get("unit").map_or(table.at, |node| node.at);
            let what = format!("where requests are sampled, no {} is seen whole", word(unit));
            self.report(at, what, "unit = \"second\", or no [sampling]");
        }
    }
}

fn rate_limit(table: &Node) -> Option<RateLimit> {
    Some(RateLimit {
        requests: table.count("requests")?,
        unit: match table.text("unit")? {
            "second" => RateUnit::Second,
            "minute" => RateUnit::Minute,
            "hour" => RateUnit::Hour,
            "day" => RateUnit::Day,
            _ => return None,
        },
        header: table.text("header").map(str::to_lowercase),
    })
}

const fn word(unit: RateUnit) -> &'static str {
    match unit {
        RateUnit::Second => "second",
        RateUnit::Minute => "minute",
        RateUnit::Hour => "hour",
        RateUnit::Day => "day",
    }
}
