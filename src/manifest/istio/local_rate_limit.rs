//! A local rate limit that an `EnvoyFilter` adds: its bucket.
//!
//! Source: istio.io "Enabling Rate Limits using Envoy" (local rate limit); Envoy `local_rate_limit.proto` (a filter that is
//! not enabled and enforced does nothing: both are 0 % by default).
//! Left out: buckets of single routes, descriptors, limits for a share of requests.

use crate::manifest::node::{Node, Value};
use crate::manifest::source::At;
use crate::manifest::units::{self, DurationForm};

/// The filter's name in Envoy.
pub const LOCAL_RATE_LIMIT: &str = "envoy.filters.http.local_ratelimit";

/// The shortest interval that Envoy takes, in ns.
const INTERVAL_MIN: u64 = 50_000_000;

/// A bucket of tokens, each value with its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bucket {
    /// Tokens that it holds, from 1 to `u32::MAX`.
    pub max_tokens: (i64, At),
    /// Tokens that it gets at once, above 0; one unless set.
    pub tokens: Option<(i64, At)>,
    /// How often, in nanoseconds, at least 50 ms.
    pub interval_ns: (u64, At),
}

impl Bucket {
    /// That of a filter that is enabled and enforced for all requests, by the `value` of a patch.
    pub fn of(value: &Node) -> Option<Self> {
        let config = value.get("typed_config")?;
        // A `TypedStruct` has the settings below `value`.
        let config = config.get("value").unwrap_or(config);
        let tree = config.get("token_bucket")?;
        is_whole(config.get("filter_enabled")?)?;
        is_whole(config.get("filter_enforced")?)?;
        let interval = tree.get("fill_interval")?;
        let interval_ns = units::duration_ns(interval.text()?, DurationForm::Go).ok()?;
        let max_tokens = number(tree.get("max_tokens")?)?;
        let fits = 0 < max_tokens.0 && max_tokens.0 <= i64::from(u32::MAX);
        let tokens = tree.get("tokens_per_fill").and_then(number).filter(|(count, _)| 0 < *count);
        let interval_ns = (interval_ns, interval.at);
        let bucket = Self { max_tokens, tokens, interval_ns };
        (fits && INTERVAL_MIN <= interval_ns.0).then_some(bucket)
    }
}

/// Whether a share is all requests.
fn is_whole(share: &Node) -> Option<()> {
    let share = share.get("default_value")?;
    let (numerator, _) = number(share.get("numerator")?)?;
    let denominator = share.get("denominator").and_then(Node::text);
    let of = match denominator.unwrap_or("HUNDRED") {
        "HUNDRED" => 100,
        "TEN_THOUSAND" => 10_000,
        _ => 1_000_000,
    };
    (numerator >= of).then_some(())
}

fn number(node: &Node) -> Option<(i64, At)> {
    match node.value {
        Value::Int(number) => Some((number, node.at)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::loaded::Loaded;

    const FILTER: &str = "
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: limit, namespace: shop}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: SIDECAR_INBOUND}
    patch:
      operation: INSERT_BEFORE
      value:
        name: envoy.filters.http.local_ratelimit
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
          stat_prefix: limit
          token_bucket: {max_tokens: 4, tokens_per_fill: 4, fill_interval: 60s}
          filter_enabled: {default_value: {numerator: 100, denominator: HUNDRED}}
          filter_enforced: {default_value: {numerator: 100, denominator: HUNDRED}}
";

    /// One that is simulated is named for what does not count of it, any other once, as not modelled.
    #[test]
    fn only_what_is_not_simulated_is_named_so() {
        let told = |text: &str| {
            let findings = Loaded::read([("a.yaml", text.as_bytes())]).manifests.findings;
            assert_eq!(findings.problems, []);
            (findings.ignored.len(), findings.not_modelled.len())
        };
        assert_eq!(told(FILTER), (1, 0));
        assert_eq!(told(&FILTER.replace("fill_interval: 60s", "fill_interval: 1ms")), (0, 1));
        let other = "  - {applyTo: CLUSTER, patch: {operation: MERGE}}\n";
        assert_eq!(told(&format!("{FILTER}{other}")), (1, 1));
    }
}
