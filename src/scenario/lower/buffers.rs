//! Requests that are too long to be kept: Envoy sends them once, and no copies of them.
//!
//! How long a request is says its header `content-length`. A class that is too long for the rule that it
//! follows gets a rule like that one, without retries and copies.
//!
//! Source: Envoy's `per_request_buffer_limit_bytes` of routes and `per_connection_buffer_limit_bytes` of
//! listeners (1 MiB); measured on Envoy 1.40 (`retry_or_shadow_abandoned`).
//! Left out: bodies without a `content-length`; limits of a connection.

use super::{Lower, id};
use crate::plan::policy::{RetryOn, RetryPolicy};
use crate::plan::route::RouteRule;
use crate::plan::universe::RequestClass;
use std::collections::BTreeMap;

/// Envoy's `per_connection_buffer_limit_bytes`, which holds where no route says anything.
const BUFFER_LIMIT: u32 = 1 << 20;

impl Lower<'_, '_, '_> {
    /// Gives each class that is too long for its rule a rule of its own, in all tables.
    pub(super) fn limit_buffers(&mut self) {
        let lengths: Vec<Option<u64>> = self.universe.classes.iter().map(length).collect();
        if lengths.iter().all(Option::is_none) {
            return;
        }
        for table in &mut self.universe.routes {
            let service = self.service_nodes[table.service.index()];
            let routes = service.list("route");
            let mut short: BTreeMap<u16, u16> = BTreeMap::new();
            for (class, length) in lengths.iter().enumerate() {
                let (Some(length), Some(place)) = (length, table.rule_of_class[class]) else {
                    continue;
                };
                let route = routes.get(usize::from(place));
                let limit = route.and_then(|route| route.count("per_request_buffer_limit"));
                let limit = limit.or(service.count("per_request_buffer_limit"));
                if *length <= u64::from(limit.unwrap_or(BUFFER_LIMIT)) {
                    continue;
                }
                let rule = &table.rules[usize::from(place)];
                let Ok(next) = u16::try_from(id(table.rules.len())) else { continue };
                let own = *short.entry(place).or_insert(next);
                if own == next {
                    table.rules.push(sent_once(rule));
                }
                table.rule_of_class[class] = Some(own);
            }
        }
    }
}

/// How long a request says that it is.
fn length(class: &RequestClass) -> Option<u64> {
    let header = class.headers.iter().find(|(name, _)| name == "content-length");
    header.and_then(|(_, value)| value.parse().ok())
}

/// A rule like that one, without retries and copies.
fn sent_once(rule: &RouteRule) -> RouteRule {
    let retry = RetryPolicy {
        retries: 0,
        on: RetryOn::default(),
        hedges: false,
        headers: None,
        ..rule.retry.clone()
    };
    RouteRule { retry, mirrors: Vec::new(), ..rule.clone() }
}
