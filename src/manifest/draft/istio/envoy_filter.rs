//! Local rate limits by `EnvoyFilter`, in the form of Istio's documentation.
//!
//! A patch that adds `envoy.filters.http.local_ratelimit` with a bucket is a filter at the selected pods. One that
//! adds the filter without a bucket, for routes to have theirs, and every other patch stay named as not modelled.
//! Source: istio.io "Enabling Rate Limits using Envoy" (local rate limit); Envoy `local_rate_limit.proto` (a filter that is
//! not enabled and enforced does nothing: both are 0 % by default).
//! Left out: buckets of single routes, descriptors, limits for a share of requests.

use super::{Work, has_sidecar};
use crate::manifest::draft::value::{Table, Value};
use crate::manifest::istio::envoy_filter::EnvoyFilter;
use crate::manifest::node::{Node, Value as Tree};
use crate::manifest::selector::contains;
use crate::manifest::source::At;
use crate::manifest::units::{self, DurationForm};

/// The filter's name in Envoy.
const LOCAL_RATE_LIMIT: &str = "envoy.filters.http.local_ratelimit";

/// The shortest interval that Envoy takes, in ns.
const INTERVAL_MIN: u64 = 50_000_000;

struct Bucket<'l> {
    tree: &'l Node,
    max_tokens: i64,
    tokens: Option<i64>,
    interval: u64,
}

impl<'l> Bucket<'l> {
    /// That of a filter that is enabled and enforced for all requests.
    fn of(config: &'l Node) -> Option<Self> {
        let tree = config.get("token_bucket")?;
        let whole = |name: &str| match config.get(name)?.get("default_value") {
            Some(share) => {
                let numerator = number(share.get("numerator")?)?;
                let denominator = share.get("denominator").and_then(Node::text);
                let of = match denominator.unwrap_or("HUNDRED") {
                    "HUNDRED" => 100,
                    "TEN_THOUSAND" => 10_000,
                    _ => 1_000_000,
                };
                (numerator >= of).then_some(())
            }
            None => None,
        };
        whole("filter_enabled")?;
        whole("filter_enforced")?;
        let interval = tree.get("fill_interval")?.text()?;
        let interval = units::duration_ns(interval, DurationForm::Go).ok()?;
        let max_tokens = number(tree.get("max_tokens")?)?;
        let fits = 0 < max_tokens && max_tokens <= i64::from(u32::MAX);
        let tokens = tree.get("tokens_per_fill").and_then(number).filter(|count| 0 < *count);
        (fits && INTERVAL_MIN <= interval).then_some(Self { tree, max_tokens, tokens, interval })
    }

    fn filter(&self, at: &str, outbound: bool, place: At) -> Table {
        let field = |name: &str| self.tree.get(name).map_or(self.tree.at, |node| node.at);
        let mut limit = Table::new();
        limit.set("max_tokens", Value::integer(self.max_tokens).at(field("max_tokens")));
        if let Some(tokens) = self.tokens {
            limit.set("tokens_per_fill", Value::integer(tokens).at(field("tokens_per_fill")));
        }
        limit.set("fill_interval", Value::duration(self.interval).at(field("fill_interval")));
        let mut filter = Table::new();
        filter.set("at", Value::text(at).at(place));
        if outbound {
            filter.set("direction", Value::text("outbound").at(place));
        }
        filter.set("local_rate_limit", limit);
        filter
    }
}

fn number(node: &Node) -> Option<i64> {
    match node.value {
        Tree::Int(number) => Some(number),
        _ => None,
    }
}

impl Work<'_, '_> {
    /// The filters of all patches that can be said.
    pub(super) fn rate_limits(&mut self) {
        let istio = self.mesh.istio;
        for filter in &istio.envoy_filters {
            let head = &filter.head;
            let Some(spec) = self.places.spec("EnvoyFilter", &head.namespace, &head.name) else {
                continue;
            };
            let patches = spec.get("configPatches").map(Node::items).unwrap_or_default();
            for (patch, tree) in filter.patches.iter().zip(patches) {
                let adds = patch.apply_to == "HTTP_FILTER" && patch.name == LOCAL_RATE_LIMIT;
                let value = tree.get("patch").and_then(|body| body.get("value"));
                let config = value.and_then(|value| value.get("typed_config"));
                // A `TypedStruct` has the settings below `value`.
                let config = config.map(|config| config.get("value").unwrap_or(config));
                let Some(bucket) = config.and_then(Bucket::of).filter(|_| adds) else { continue };
                self.limit(filter, &patch.context, &bucket, patch.at);
            }
        }
    }

    fn limit(&mut self, filter: &EnvoyFilter, context: &str, bucket: &Bucket<'_>, place: At) {
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
            added.push(bucket.filter("ingress", false, place));
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
                    added.push(bucket.filter(&at, false, place));
                }
                if outbound {
                    added.push(bucket.filter(&at, true, place));
                }
            }
        }
        if !added.is_empty() {
            self.used("EnvoyFilter", &filter.head);
        }
        self.draft.filters.extend(added);
    }
}
