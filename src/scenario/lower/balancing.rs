//! Balancing beyond the balancer: hashes, slow start, places, and what is said of endpoints.
//!
//! What Envoy or Istio refuse is refused here: a hash of two things, a table whose size is no prime,
//! weights that are all zero, shares that do not sum up to 100.
//!
//! Source: Envoy's protos and their validation rules; Istio's `DestinationRule` and its validation.
//! Left out: failover to named regions, `failoverPriority`.

use super::super::document::{At, Node};
use super::super::keys::balancing::LOCALITY_KEYS;
use super::action::{Done, words};
use super::{Lower, id};
use crate::plan::balancing::{
    Balancing, EndpointHealth, EndpointSettings, HashOn, Locality, LocalityWeights, SlowStart,
};
use crate::plan::policy::{ClusterPolicy, LoadBalancer};
use crate::plan::timeline::Action;
use crate::plan::universe::{WorkloadId, ZoneId};

/// A key, the balancers that look at it, and whether one is such.
type OfBalancer = (&'static str, &'static str, fn(LoadBalancer) -> bool);

/// Keys at which other balancers do not look.
const OF_BALANCERS: [OfBalancer; 8] = [
    ("choice_count", "least_request", is_least_request),
    ("active_request_bias", "least_request", is_least_request),
    ("hash_on", "ring_hash or maglev", LoadBalancer::hashes),
    ("minimum_ring_size", "ring_hash", is_ring_hash),
    ("maximum_ring_size", "ring_hash", is_ring_hash),
    ("maglev_table_size", "maglev", is_maglev),
    ("slow_start", "round_robin or least_request", takes_turns),
    ("load_refresh", "least_request", compares),
];

fn is_least_request(balancer: LoadBalancer) -> bool {
    matches!(balancer, LoadBalancer::LeastRequest { .. })
}

/// Whether it looks at active requests.
fn compares(balancer: LoadBalancer) -> bool {
    use LoadBalancer::{LeastRequestDistinct, LeastRequestFullScan};
    is_least_request(balancer) || matches!(balancer, LeastRequestDistinct | LeastRequestFullScan)
}

fn is_ring_hash(balancer: LoadBalancer) -> bool {
    balancer == LoadBalancer::RingHash
}

fn is_maglev(balancer: LoadBalancer) -> bool {
    balancer == LoadBalancer::Maglev
}

fn takes_turns(balancer: LoadBalancer) -> bool {
    balancer == LoadBalancer::RoundRobin || is_least_request(balancer)
}

impl Lower<'_, '_, '_> {
    /// What a service says of its balancing, over what its cluster has already.
    pub(super) fn balance(&mut self, service: &Node, policy: &mut ClusterPolicy) {
        for (key, of, fits) in OF_BALANCERS {
            if let Some(node) = service.get(key).filter(|_| !fits(policy.balancer)) {
                let what = format!("`{key}` means nothing to this balancer");
                self.report(node.at, what, format!("it is for balancer = {of}"));
            }
        }
        if let (LoadBalancer::LeastRequest { choices }, Some(count)) =
            (&mut policy.balancer, service.count("choice_count"))
        {
            *choices = count;
        }
        let plain = Balancing::default();
        let balancing = Balancing {
            active_request_bias: service
                .get("active_request_bias")
                .and_then(Node::number)
                .unwrap_or(plain.active_request_bias),
            hash_on: service.get("hash_on").and_then(|node| self.hash_on(node)),
            ring_size: self.ring_size(service, plain.ring_size),
            table_size: self.table_size(service, plain.table_size),
            load_refresh: service.duration("load_refresh").unwrap_or(plain.load_refresh),
            slow_start: service.get("slow_start").and_then(|node| self.slow_start(node)),
            locality: service.get("locality").and_then(|node| self.locality(node, policy)),
            overprovisioning: self.overprovisioning(service, plain.overprovisioning),
        };
        policy.balancing = (balancing != plain).then(|| Box::new(balancing));
    }

    fn hash_on(&mut self, node: &Node) -> Option<HashOn> {
        let text = |key: &str| node.text(key).map(str::to_owned);
        let mut all = [
            text("header").map(|name| HashOn::Header(name.to_lowercase())),
            text("cookie").map(HashOn::Cookie),
            text("query").map(HashOn::Query),
            node.flag("source").filter(|source| *source).map(|_| HashOn::Source),
        ]
        .into_iter()
        .flatten();
        let first = all.next();
        if first.is_none() || all.next().is_some() {
            let hint =
                "one of header = \"x-user\", cookie = \"session\", query = \"user\", source = true";
            self.report(node.at, "a hash is made from one thing", hint);
        }
        first
    }

    fn ring_size(&mut self, service: &Node, plain: (u32, u32)) -> (u32, u32) {
        let least = service.count("minimum_ring_size").unwrap_or(plain.0);
        let most = service.count("maximum_ring_size").unwrap_or(plain.1);
        if most < least {
            let node = service.get("maximum_ring_size").or(service.get("minimum_ring_size"));
            let what = format!("a ring of at least {least} points cannot have at most {most}");
            self.report(node.map_or(service.at, |node| node.at), what, "Envoy refuses it, too");
        }
        (least, most)
    }

    fn table_size(&mut self, service: &Node, plain: u32) -> u32 {
        let size = service.count("maglev_table_size").unwrap_or(plain);
        if let Some(node) = service.get("maglev_table_size").filter(|_| !is_prime(size)) {
            let what = format!("{size} is no prime number, and a Maglev table needs one");
            self.report(
                node.at,
                what,
                "Envoy's default is 65537; 251, 1021 and 5000011 are others",
            );
        }
        size
    }

    fn slow_start(&mut self, node: &Node) -> Option<SlowStart> {
        let window = node.duration("window")?;
        let aggression = node.get("aggression").and_then(Node::number).unwrap_or(1.0);
        let at = |key: &str| node.get(key).map_or(node.at, |node| node.at);
        if window.is_zero() {
            self.report(at("window"), "the window is zero", "leave slow_start out instead");
        }
        if aggression <= 0.0 {
            self.report(at("aggression"), "the aggression is zero", "1 is a straight line");
        }
        let min_weight = node.share("min_weight").unwrap_or(0.1);
        (!window.is_zero() && 0.0 < aggression).then_some(SlowStart {
            window,
            aggression,
            min_weight,
        })
    }

    fn overprovisioning(&mut self, service: &Node, plain: u32) -> u32 {
        let Some(node) = service.get("overprovisioning") else { return plain };
        let Some(factor) = node.number() else { return plain };
        let percent = libm::round(factor * 100.0);
        if !(100.0..=100_000.0).contains(&percent) {
            let hint = "Envoy's default is 1.4: 71 % healthy endpoints carry all of the load";
            self.report(node.at, format!("{factor} is no factor from 1 to 1000"), hint);
            return plain;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within limits"
        )]
        let percent = percent as u32;
        percent
    }

    fn locality(&mut self, node: &Node, policy: &ClusterPolicy) -> Option<Locality> {
        let is_on = |key: &&str| node.get(key).is_some() && node.flag(key) != Some(false);
        let names = LOCALITY_KEYS.list();
        let given: Vec<&str> = names.iter().map(|key| key.name).filter(is_on).collect();
        if 1 < given.len() {
            let what = format!("`{}` and `{}` exclude each other", given[0], given[1]);
            self.report(node.at, what, "keep one of them");
            return None;
        }
        match *given.first()? {
            "failover" if policy.outlier.is_none() => {
                let hint =
                    "add outlier_detection = true, or take prefer_close = true, which needs none";
                self.report(node.at, "Istio ignores failover without outlier detection", hint);
                None
            }
            "failover" | "prefer_close" => Some(Locality::Failover),
            "weights" => {
                let to = self.zone_weights(node.get("weights")?, false);
                Some(Locality::Weighted(vec![LocalityWeights { from: None, to }]))
            }
            "distribute" => {
                let all = node.list("distribute").iter();
                let of = |lower: &mut Self, table: &Node| {
                    let from = match table.get("from") {
                        Some(from) => Some(lower.zone_named(from)?),
                        None => None,
                    };
                    let to = lower.zone_weights(table.get("to")?, true);
                    Some(LocalityWeights { from, to })
                };
                let all = all.filter(|table| table.is_table());
                Some(Locality::Weighted(all.filter_map(|table| of(self, table)).collect()))
            }
            _ => {
                let table = node.get("zone_aware")?;
                let min_cluster_size = table.count("min_cluster_size").unwrap_or(6);
                Some(Locality::ZoneAware { min_cluster_size })
            }
        }
    }

    fn zone_named(&mut self, node: &Node) -> Option<ZoneId> {
        let name = node.as_text()?;
        let zone = self.zone(name);
        if zone.is_none() {
            let zones = self.universe.zones.clone();
            self.missing(node.at, "zone", name, zones.iter().map(String::as_str));
        }
        zone
    }

    /// Weights of zones; `are_percent` if they sum up to 100.
    fn zone_weights(&mut self, node: &Node, are_percent: bool) -> Vec<(ZoneId, u32)> {
        let mut weights = Vec::new();
        for entry in node.entries() {
            let Some(weight) = node.count(&entry.key) else { continue };
            if let Some(zone) = self.zone(&entry.key) {
                weights.push((zone, weight));
            } else {
                let zones = self.universe.zones.clone();
                self.missing(entry.at, "zone", &entry.key, zones.iter().map(String::as_str));
            }
        }
        let sum: u64 = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
        if sum == 0 {
            self.report(node.at, "no weight is above 0", "weights are relative: { a = 1, b = 3 }");
        } else if are_percent && sum != 100 {
            let what = format!("the weights sum up to {sum}, and Istio wants 100");
            self.report(node.at, what, "such as { a = 80, b = 20 }");
        }
        weights.retain(|(_, weight)| *weight != 0);
        weights.sort();
        weights
    }

    /// What an event says of endpoints.
    pub(super) fn endpoints(&mut self, table: &Node, at: At, name: &str) -> Done {
        let (_, workloads) = self.service_or_version(at, name)?;
        let (weight, priority) = (table.count("weight"), table.count("priority"));
        let health = health(table);
        let said = [
            weight.map(|weight| format!("weight {weight}")),
            priority.map(|priority| format!("priority {priority}")),
            table.text("health").map(str::to_owned),
        ];
        let said: Vec<String> = said.into_iter().flatten().collect();
        if said.is_empty() {
            let hint = "give `weight`, `priority`, `health` or several of them";
            self.report(table.at, "nothing is said of the endpoints", hint);
        }
        let label = format!("{} of the endpoints of {}", said.join(", "), words(name));
        Some((Action::DescribeEndpoints { workloads, weight, priority, health }, label))
    }

    /// What is said of the endpoints of each workload, where it is anything.
    pub(super) fn endpoint_settings(&self) -> impl Iterator<Item = (WorkloadId, EndpointSettings)> {
        let drafts = self.drafts.iter().enumerate();
        drafts.filter_map(|(index, draft)| {
            let (_, node) = draft.as_ref()?;
            let settings = EndpointSettings {
                weight: node.count("weight").unwrap_or(1),
                priority: node.count("priority").unwrap_or(0),
                health: health(node).unwrap_or_default(),
            };
            (!settings.is_plain()).then_some((WorkloadId(id(index)), settings))
        })
    }
}

/// The health that a table says.
fn health(node: &Node) -> Option<EndpointHealth> {
    EndpointHealth::named(node.text("health")?)
}

fn is_prime(number: u32) -> bool {
    let root = libm::floor(libm::sqrt(f64::from(number)));
    2 <= number
        && !(2..number)
            .take_while(|one| f64::from(*one) <= root)
            .any(|one| number.is_multiple_of(one))
}

#[cfg(test)]
mod tests {
    use super::is_prime;

    #[test]
    fn primes_are_told_from_others() {
        assert_eq!(
            (0..30).filter(|n| is_prime(*n)).collect::<Vec<_>>(),
            [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]
        );
        assert!([251, 1021, 65_537, 5_000_011].into_iter().all(is_prime) && !is_prime(65_535));
    }
}
