//! Annotations of a Service: `failure_accrual`, `penalize_failures`, `retry` and `timeouts`.
//!
//! Groups that do not parse are gone already, as in the controller; the places are those of each annotation.
//! Source: linkerd2 `policy-controller/k8s/index/src/outbound/index.rs`; docs/linkerd-traffic.md.
//! Left out: `failure-accrual-honor-retry-after` and what has no effect; both are named.

use super::linkerd::{Called, Part};
use crate::manifest::draft::value::{Table, Value};
use crate::manifest::linkerd::annotation::Annotations;
use crate::manifest::linkerd::policy::TrafficPolicy;
use crate::manifest::source::At;

const CONSECUTIVE: &str = "balancer.linkerd.io/failure-accrual-consecutive";
const SUCCESS_RATE: &str = "balancer.alpha.linkerd.io/failure-accrual-success-rate";
const BIASER: &str = "balancer.alpha.linkerd.io/load-biaser";

/// Where an annotation is.
fn at(annotations: &Annotations<'_>, key: &str) -> Option<At> {
    annotations.get(key).map(|one| one.at)
}

/// Sets a key if the annotation that says it is there.
fn set(
    table: &mut Table,
    key: &str,
    value: Value,
    annotations: &Annotations<'_>,
    annotation: &str,
) -> bool {
    let at = at(annotations, annotation);
    table.set_some(key, at.map(|at| value.at(at)));
    at.is_some()
}

impl<'l> Part<'_, 'l> {
    /// All four groups of a Service.
    pub(super) fn annotations(&mut self, called: &Called<'l>) {
        let Some(policy) = self.loaded.linkerd.services.get(&called.key()) else { return };
        self.accrual(called, policy);
        self.penalty(called, policy);
        self.retry(called, policy);
        self.timeouts(called, policy);
    }

    fn accrual(&mut self, called: &Called<'l>, policy: &TrafficPolicy) {
        let annotations = &called.annotations;
        let rate = |name: &str| format!("{SUCCESS_RATE}-{name}");
        let Some(accrual) = &policy.accrual else {
            return self.without_mode(annotations);
        };
        if accrual.success_rate.is_none() && accrual.max_failures == 0 {
            let why = "after 0 failures in a row no endpoint is ever taken out";
            return self.ignore_annotation("balancer.linkerd.io/failure-accrual", accrual.at, why);
        }
        let mut table = Table::new();
        let mode = if accrual.success_rate.is_some() { "unified" } else { "consecutive" };
        table.set("mode", Value::text(mode).at(accrual.at));
        let (min, max) = accrual.penalty_ns;
        for (key, value, name) in [
            ("max_failures", Value::integer(accrual.max_failures), "max-failures"),
            ("min_penalty", Value::duration(min), "min-penalty"),
            ("max_penalty", Value::duration(max), "max-penalty"),
            ("jitter", Value::float(accrual.jitter_ratio), "jitter-ratio"),
        ] {
            set(&mut table, key, value, annotations, &format!("{CONSECUTIVE}-{name}"));
        }
        if let Some(success) = accrual.success_rate {
            for (key, value, name) in [
                ("success_threshold", Value::float(success.threshold), "threshold"),
                ("success_window", Value::duration(success.window_ns), "window"),
                ("success_min_requests", Value::integer(success.min_requests), "min-requests"),
            ] {
                set(&mut table, key, value, annotations, &rate(name));
            }
        } else {
            let keys = ["threshold", "window", "min-requests"].map(rate);
            self.ignore_keys(annotations, &keys, "only the mode `unified` has a success rate");
        }
        if accrual.honors_retry_after {
            let key = "balancer.alpha.linkerd.io/failure-accrual-honor-retry-after";
            let why = "no time that an endpoint is out is lengthened by its Retry-After";
            self.ignore_keys(annotations, &[key.to_owned()], why);
        }
        self.set(called, "failure_accrual", table);
    }

    /// Numbers of a failure accrual that is not on.
    fn without_mode(&mut self, annotations: &Annotations<'l>) {
        if at(annotations, "balancer.linkerd.io/failure-accrual").is_some() {
            // It did not parse: that is a warning already.
            return;
        }
        let is_its = |key: &str| key.starts_with(CONSECUTIVE) || key.starts_with(SUCCESS_RATE);
        let keys = annotations.list.iter().map(|one| one.key.to_owned());
        let keys: Vec<String> = keys.filter(|key| is_its(key)).collect();
        let why = "without `balancer.linkerd.io/failure-accrual` there is none";
        self.ignore_keys(annotations, &keys, why);
    }

    fn ignore_keys(&mut self, annotations: &Annotations<'l>, keys: &[String], why: &str) {
        for one in keys.iter().filter_map(|key| annotations.get(key)) {
            self.ignore_annotation(one.key, one.key_at, why);
        }
    }

    fn penalty(&mut self, called: &Called<'l>, policy: &TrafficPolicy) {
        let annotations = &called.annotations;
        let keys = ["penalty", "max-retry-after"].map(|name| format!("{BIASER}-{name}"));
        let Some(penalty) = policy.penalty else {
            if at(annotations, "balancer.alpha.linkerd.io/penalize-failures").is_none() {
                let why = "without `balancer.alpha.linkerd.io/penalize-failures` there is none";
                self.ignore_keys(annotations, &keys, why);
            }
            return;
        };
        let mut table = Table::new();
        table.set("is_on", Value::bool(true).at(penalty.at));
        let values = [
            ("penalty", Value::duration(penalty.penalty_ns)),
            ("max_retry_after", Value::duration(penalty.max_retry_after_ns)),
        ];
        for ((key, value), annotation) in values.into_iter().zip(&keys) {
            set(&mut table, key, value, annotations, annotation);
        }
        self.set(called, "penalize_failures", table);
    }

    fn retry(&mut self, called: &Called<'l>, policy: &TrafficPolicy) {
        let annotations = &called.annotations;
        let is_grpc = called.port.has_grpc_route;
        let own = if is_grpc { &policy.grpc_retry } else { &policy.http_retry };
        let [http, grpc] = ["retry.linkerd.io/http", "retry.linkerd.io/grpc"];
        let (counts, other) = if is_grpc { (grpc, http) } else { (http, grpc) };
        let why = if is_grpc {
            "a GRPCRoute is bound to the Service: statuses of gRPC count"
        } else {
            "statuses of gRPC count where a GRPCRoute is bound to the Service"
        };
        self.ignore_keys(annotations, &[other.to_owned()], why);
        let Some(retry) = own else { return };
        let mut table = Table::new();
        if let Some(said) = annotations.get(counts) {
            let word = if is_grpc { "grpc" } else { "http" };
            table.set(word, Value::text(said.value.to_ascii_lowercase()).at(said.at));
        } else {
            // The key may not be empty, and without it all of 5xx would be meant.
            let why = "only what times out is tried again: no answer has the status 100";
            table.set("http", Value::text("100").assumed(why));
        }
        let limit = "retry.linkerd.io/limit";
        set(&mut table, "limit", Value::integer(retry.limit), annotations, limit);
        if let Some(timeout) = retry.timeout_ns {
            let key = "retry.linkerd.io/timeout";
            set(&mut table, "timeout", Value::duration(timeout), annotations, key);
        }
        self.set(called, "retry", table);
    }

    fn timeouts(&mut self, called: &Called<'l>, policy: &TrafficPolicy) {
        let timeouts = policy.timeouts.effective();
        let mut table = Table::new();
        for (key, limit) in [
            ("request", timeouts.request_ns),
            ("response", timeouts.response_ns),
            ("idle", timeouts.idle_ns),
        ] {
            if let Some(limit) = limit {
                let annotation = format!("timeout.linkerd.io/{key}");
                set(&mut table, key, Value::duration(limit), &called.annotations, &annotation);
            }
        }
        if !table.is_empty() {
            self.set(called, "timeouts", table);
        }
    }
}
