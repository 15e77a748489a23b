//! Local rate limits by `EnvoyFilter`, in the form of Istio's documentation.
//!
//! A patch that adds `envoy.filters.http.local_ratelimit` with a bucket is a filter at the selected pods. One that
//! adds the filter without a bucket, for routes to have theirs, and every other patch stay named as not modelled.
//! Source: `istio::local_rate_limit` (which patches those are); docs/scenarios.md (`local_rate_limit`).
//! Left out: what is left out there.

use super::{Work, has_sidecar};
use crate::manifest::draft::value::{Table, Value};
use crate::manifest::istio::envoy_filter::EnvoyFilter;
use crate::manifest::istio::local_rate_limit::Bucket;
use crate::manifest::selector::contains;
use crate::manifest::source::At;

/// The filter of a bucket at some pods.
fn filter_of(bucket: &Bucket, at: &str, outbound: bool, place: At) -> Table {
    let Bucket { max_tokens, tokens, interval_ns } = *bucket;
    let mut limit = Table::new();
    limit.set("max_tokens", Value::integer(max_tokens.0).at(max_tokens.1));
    if let Some((tokens, at)) = tokens {
        limit.set("tokens_per_fill", Value::integer(tokens).at(at));
    }
    limit.set("fill_interval", Value::duration(interval_ns.0).at(interval_ns.1));
    let mut filter = Table::new();
    filter.set("at", Value::text(at).at(place));
    if outbound {
        filter.set("direction", Value::text("outbound").at(place));
    }
    filter.set("local_rate_limit", limit);
    filter
}

impl Work<'_, '_> {
    /// The filters of all patches that can be said.
    pub(super) fn rate_limits(&mut self) {
        for filter in &self.mesh.istio.envoy_filters {
            for patch in &filter.patches {
                if let Some(bucket) = &patch.limit {
                    self.limit(filter, &patch.context, bucket, patch.at);
                }
            }
        }
    }

    fn limit(&mut self, filter: &EnvoyFilter, context: &str, bucket: &Bucket, place: At) {
        let labels = filter.workload_selector.clone().unwrap_or_default();
        let own = &filter.head.namespace;
        let root = &self.mesh.istio.mesh.root_namespace;
        let (inbound, outbound, gateway) = match context {
            "SIDECAR_INBOUND" => (true, false, false),
            "SIDECAR_OUTBOUND" => (false, true, false),
            "GATEWAY" => (false, false, true),
            _ => (true, true, true),
        };
        let mut added = Vec::new();
        let gateways = self.mesh.istio.gateways.iter();
        let mut pods = gateways.map(|gateway| self.pods_of(gateway));
        if gateway
            && pods.any(|pods| {
                (pods.namespace == *own || own == root) && contains(&pods.labels, &labels)
            })
        {
            added.push(filter_of(bucket, "ingress", false, place));
        }
        for service in &self.draft.services {
            let fits = |one: &crate::manifest::draft::Workload| {
                self.workload(&one.key).is_some_and(|workload| {
                    (workload.namespace == *own || own == root)
                        && contains(&workload.labels, &labels)
                        && has_sidecar(service, one)
                })
            };
            let selected: Vec<_> = service.workloads.iter().filter(|one| fits(one)).collect();
            let places: Vec<String> = if selected.len() == service.workloads.len() {
                selected.iter().take(1).map(|_| service.name.clone()).collect()
            } else {
                let versions = selected.iter().filter_map(|one| one.version.as_ref());
                versions.map(|version| format!("{}/{version}", service.name)).collect()
            };
            for at in places {
                if inbound {
                    added.push(filter_of(bucket, &at, false, place));
                }
                if outbound {
                    added.push(filter_of(bucket, &at, true, place));
                }
            }
        }
        if !added.is_empty() {
            self.used("EnvoyFilter", &filter.head);
        }
        self.draft.filters.extend(added);
    }
}
