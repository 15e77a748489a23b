//! How endpoints are picked: the algorithm, and what localities count.
//!
//! Source: Istio API `networking/v1/destination_rule.proto` (`LoadBalancerSettings`,
//! `LocalityLoadBalancerSetting`) with its CRD ranges; istio/istio
//! `pkg/config/validation/validation.go` (`validateLoadBalancer`, `validateLocalityLbSetting`).
//! Left out: the path and age of a cookie that is hashed.

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
    /// The least share that it gets, in percent; none: 10.
    pub warmup_minimum: Option<f64>,
    /// The shape of the curve; none: 1, a straight line.
    pub warmup_aggression: Option<f64>,
    /// What is hashed, and into what table.
    pub hash: Option<Hash>,
}

/// A hash of requests.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hash {
    /// Where it stands.
    pub at: At,
    /// What is hashed.
    pub key: Option<HashKey>,
    /// Points of the ring at least; none: 1024.
    pub minimum_ring_size: Option<u32>,
    /// Whether a Maglev table takes the place of the ring.
    pub is_maglev: bool,
    /// Places of the Maglev table; none: 65537.
    pub table_size: Option<u32>,
}

/// What of a request is hashed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HashKey {
    /// A header.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// The client's address.
    SourceIp,
    /// A parameter of the query.
    Query(String),
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
        let hash = reader.map("consistentHash", hash);
        let old = check::duration(reader, "warmupDurationSecs", 0);
        let (warmup, minimum, aggression) = reader.map("warmup", warmup).unwrap_or_default();
        Self {
            at: reader.at(),
            algorithm: if hash.is_some() {
                Algorithm::ConsistentHash
            } else {
                simple.unwrap_or_default()
            },
            locality: reader.map("localityLbSetting", LocalityBalancing::read),
            warmup_ns: warmup.or(old),
            warmup_minimum: minimum,
            warmup_aggression: aggression,
            hash,
        }
    }
}

/// How long a warm-up lasts, its least percentage, and the shape of its curve.
fn warmup(reader: &mut Reader<'_, '_>) -> (Option<u64>, Option<f64>, Option<f64>) {
    if !reader.has("duration") {
        reader.missing("duration");
    }
    let minimum = reader.float("minimumPercent", 0.0..=100.0);
    let aggression = reader.float("aggression", 1.0..=f64::MAX);
    (check::duration(reader, "duration", 0), minimum, aggression)
}

fn hash(reader: &mut Reader<'_, '_>) -> Hash {
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
    let cookie = reader.map("httpCookie", |cookie| {
        cookie.pass(&["path", "attributes"]);
        check::duration(cookie, "ttl", 0);
        cookie.needed_text("name")
    });
    check::not_both(reader, "ringHash", "maglev");
    let header = reader.text("httpHeaderName").map(HashKey::Header);
    let query = reader.text("httpQueryParameterName").map(HashKey::Query);
    let source = reader.bool("useSourceIp").filter(|on| *on).map(|_| HashKey::SourceIp);
    let old = reader.count("minimumRingSize");
    let ring = reader.map("ringHash", |ring| ring.count("minimumRingSize")).flatten();
    let is_maglev = reader.has("maglev");
    let table_size = reader.map("maglev", |maglev| maglev.count("tableSize")).flatten();
    Hash {
        at: reader.at(),
        key: header.or(cookie.flatten().map(HashKey::Cookie)).or(source).or(query),
        minimum_ring_size: ring.or(old).filter(|size| *size > 0),
        is_maglev,
        table_size: table_size.filter(|size| *size > 0),
    }
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
