//! How endpoints are picked: the algorithm, and what localities count.
//!
//! Source: Istio API `networking/v1/destination_rule.proto` (`LoadBalancerSettings`,
//! `LocalityLoadBalancerSetting`) with its CRD ranges; istio/istio
//! `pkg/config/validation/validation.go` (`validateLoadBalancer`, `validateLocalityLbSetting`).
//! Left out: sizes of hash tables, the shape of the warm-up's curve.

use crate::manifest::istio::check;
use crate::manifest::reader::Reader;
use crate::manifest::source::At;

/// How endpoints are picked.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Balancer {
    /// Where it stands.
    pub at: At,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Whether and how localities count; none: the mesh's setting.
    pub locality: Option<LocalityBalancing>,
    /// How long a new endpoint gets less than its share.
    pub warmup_ns: Option<u64>,
}

/// A balancing algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Algorithm {
    /// Of two, the one with fewer requests.
    #[default]
    LeastRequest,
    /// In turn.
    RoundRobin,
    /// By chance.
    Random,
    /// The address that the client asked for.
    Passthrough,
    /// By a hash of the request.
    ConsistentHash,
}

/// How localities count.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LocalityBalancing {
    /// Whether it is on; true unless set.
    pub enabled: Option<bool>,
    /// Shares by locality: from, then to and percent.
    pub distribute: Vec<(String, Vec<(String, u32)>)>,
    /// Regions that take over: from, to.
    pub failover: Vec<(String, String)>,
    /// Labels whose order tells what is near.
    pub failover_priority: Vec<String>,
}

impl Balancer {
    /// Reads `loadBalancer`.
    pub fn read(reader: &mut Reader<'_, '_>) -> Self {
        check::not_both(reader, "simple", "consistentHash");
        let words = [
            ("UNSPECIFIED", Algorithm::LeastRequest),
            ("LEAST_REQUEST", Algorithm::LeastRequest),
            ("LEAST_CONN", Algorithm::LeastRequest),
            ("RANDOM", Algorithm::Random),
            ("ROUND_ROBIN", Algorithm::RoundRobin),
            ("PASSTHROUGH", Algorithm::Passthrough),
        ];
        let simple = reader.one_of("simple", &words);
        let hashed = reader.map("consistentHash", hash).is_some();
        let old = check::duration(reader, "warmupDurationSecs", 0);
        let warmup = reader.map("warmup", warmup).flatten();
        Self {
            at: reader.at(),
            algorithm: if hashed { Algorithm::ConsistentHash } else { simple.unwrap_or_default() },
            locality: reader.map("localityLbSetting", LocalityBalancing::read),
            warmup_ns: warmup.or(old),
        }
    }
}

fn warmup(reader: &mut Reader<'_, '_>) -> Option<u64> {
    if !reader.has("duration") {
        reader.missing("duration");
    }
    reader.float("minimumPercent", 0.0..=100.0);
    reader.float("aggression", 1.0..=f64::MAX);
    check::duration(reader, "duration", 0)
}

fn hash(reader: &mut Reader<'_, '_>) {
    let keys = ["httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"];
    let given: Vec<&str> = keys.into_iter().filter(|key| reader.has(key)).collect();
    if given.len() != 1 {
        let what = "consistentHash needs exactly one key to hash";
        reader.problem(
            reader.at(),
            what,
            "httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName",
        );
    }
    reader.map("httpCookie", |cookie| {
        cookie.pass(&["path", "attributes"]);
        check::duration(cookie, "ttl", 0);
        cookie.needed_text("name")
    });
    check::not_both(reader, "ringHash", "maglev");
    reader.pass(&["httpHeaderName", "useSourceIp", "httpQueryParameterName"]);
    reader.ignore(&["minimumRingSize", "ringHash", "maglev"], "sizes of hash tables");
}

impl LocalityBalancing {
    /// Reads `localityLbSetting`.
    pub fn read(reader: &mut Reader<'_, '_>) -> Self {
        check::not_both(reader, "distribute", "failover");
        let distribute = reader.list("distribute", |share| {
            let from = share.text("from").unwrap_or_default();
            let at = share.at_field("to");
            let tree = share.raw("to");
            let to: Vec<(String, u32)> = tree.map_or_else(Vec::new, |tree| {
                let number = |value: &crate::manifest::node::Value| match value {
                    crate::manifest::node::Value::Int(number) => u32::try_from(*number).ok(),
                    _ => None,
                };
                let entries = tree.entries().iter();
                entries.map(|e| (e.key.clone(), number(&e.value.value).unwrap_or(0))).collect()
            });
            let total: u32 = to.iter().map(|(_, percent)| *percent).sum();
            if total != 100 {
                let what = format!("total locality weight {total} != 100");
                share.problem(at, what, "the shares must add up to 100");
            }
            (from, to)
        });
        let failover = reader.list("failover", |pair| {
            let (from, to) = (pair.text("from"), pair.text("to"));
            let pair_of = (from.unwrap_or_default(), to.unwrap_or_default());
            if pair_of.0 == pair_of.1 {
                let what = format!("locality lb failover from `{}` to itself", pair_of.0);
                pair.problem(pair.at(), what, "name another region");
            }
            pair_of
        });
        Self {
            enabled: reader.bool("enabled"),
            distribute,
            failover,
            failover_priority: reader.texts("failoverPriority"),
        }
    }
}
