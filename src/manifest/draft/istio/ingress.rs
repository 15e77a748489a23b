//! What all rules of all gateways say alike, as filters of the gateway: faults and `corsPolicy`.
//!
//! A filter of a scenario is one for all requests of a proxy, so that what only some rules say cannot be a filter.
//! Source: istio/istio `listener_builder.go` (faults, then cross-origin answers, come before the router);
//! docs/scenarios.md (`fault`, `cors`).
//! Left out: aborts with a gRPC status.

use super::Work;
use super::rule::percent;
use crate::manifest::draft::value::{Table, Value};
use crate::manifest::istio::action::Cors;
use crate::manifest::istio::matching::StringMatch;
use crate::manifest::istio::resilience::Fault;
use crate::manifest::istio::rules::full_gateway;
use crate::manifest::istio::virtual_service::HttpRoute;
use crate::manifest::source::At;

/// What filters of the gateway say for all rules there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AtIngress {
    pub(super) fault: bool,
    pub(super) cors: bool,
}

impl Work<'_, '_> {
    /// The filters of the gateway.
    pub(super) fn filters_at_ingress(&mut self) {
        let istio = self.mesh.istio;
        let is_there = |name: &str| istio.gateways.iter().any(|one| one.head.full() == name);
        let bound = self.mesh.virtual_services.iter().filter(|rules| {
            let own = &rules.head.namespace;
            rules.gateways.iter().any(|word| is_there(&full_gateway(&word.text, own)))
        });
        let all: Vec<HttpRoute> = bound.flat_map(|rules| rules.http.clone()).collect();
        let Some(first) = all.first() else { return };
        let same_fault = |one: &HttpRoute| {
            let parts = |fault: &Option<Fault>| {
                let fault = fault.as_ref()?;
                fault.grpc_abort.is_none().then_some((fault.delay, fault.abort))
            };
            parts(&one.fault).is_some() && parts(&one.fault) == parts(&first.fault)
        };
        if let Some(fault) = first.fault.as_ref().filter(|_| all.iter().all(same_fault)) {
            self.fault_at_ingress(fault);
        }
        let same_cors = |one: &HttpRoute| one.cors == first.cors;
        if let Some(cors) = first.cors.as_ref().filter(|_| all.iter().all(same_cors)) {
            let at = self.field(first.at, &["corsPolicy"]);
            self.cors_at_ingress(cors, at);
        }
    }

    fn fault_at_ingress(&mut self, fault: &Fault) {
        let field = |path: &[&str]| self.places.field(fault.at, path);
        let mut table = Table::new();
        if let Some((delay, share)) = fault.delay.filter(|(_, share)| 0 < *share) {
            table.set("delay", Value::duration(delay).at(field(&["delay", "fixedDelay"])));
            let at = field(&["delay", "percentage"]);
            table.set("delay_share", Value::text(percent(share)).at(at));
        }
        if let Some((status, share)) = fault.abort.filter(|(_, share)| 0 < *share) {
            table.set("abort", Value::integer(status).at(field(&["abort", "httpStatus"])));
            let at = field(&["abort", "percentage"]);
            table.set("abort_share", Value::text(percent(share)).at(at));
        }
        self.at_ingress.fault = true;
        if !table.is_empty() {
            self.push_at_ingress("fault", table, fault.at);
        }
    }

    fn cors_at_ingress(&mut self, cors: &Cors, at: At) {
        let mut table = Table::new();
        let origins: Vec<Value> = cors.origins.iter().filter_map(|one| origin(one, at)).collect();
        if !origins.is_empty() {
            table.set("allow_origin", Value::list(origins));
        }
        if let Some(forward) = cors.forward_unmatched {
            let value = Value::bool(forward).at(at);
            table.set("forward_not_matching_preflights", value);
        }
        self.at_ingress.cors = true;
        self.push_at_ingress("cors", table, at);
    }

    fn push_at_ingress(&mut self, kind: &str, table: Table, at: At) {
        let mut filter = Table::new();
        filter.set("at", Value::text("ingress").at(at));
        filter.set(kind, Value::from(table).at(at));
        self.draft.filters.push(filter);
    }
}

fn origin(wanted: &StringMatch, at: At) -> Option<Value> {
    let (key, text) = match wanted {
        StringMatch::Present => ("exact", "*"),
        StringMatch::Exact(text) => ("exact", text.as_str()),
        StringMatch::Prefix(text) => ("prefix", text.as_str()),
        StringMatch::Regex(text, Some(_)) => ("regex", text.as_str()),
        StringMatch::Regex(_, None) => return None,
    };
    let mut table = Table::new();
    table.set(key, Value::text(text).at(at));
    Some(table.into())
}
