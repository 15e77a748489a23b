//! `loadBalancer` as `balancer` and what belongs to it, `locality` too.
//!
//! With outlier detection Istio fails over to other localities unless that is switched off.
//! Source: docs/scenarios.md (`balancer`, `hash_on`, `slow_start`, `locality`); istio/istio
//! `cluster_traffic_policy.go`, `loadbalancer.go` (`ApplyLocalityLoadBalancer`: `distribute`, or failover where there
//! is outlier detection).
//! Left out: `PASSTHROUGH`; regions and subzones: nodes of a scenario have zones.

use super::Work;
use crate::manifest::draft::value::{Kind, Table, Value};
use crate::manifest::istio::balancer::{Algorithm, Balancer, Hash, HashKey, LocalityBalancing};
use crate::manifest::istio::traffic_policy::TrafficPolicy;
use crate::manifest::source::At;

impl Work<'_, '_> {
    /// The keys of balancing.
    pub(super) fn balancing(&mut self, policy: &TrafficPolicy) -> Table {
        let mut table = Table::new();
        if let Some(balancer) = &policy.balancer {
            self.algorithm(balancer, &mut table);
            self.slow_start(balancer, &mut table);
        }
        self.locality(policy, &mut table);
        table
    }

    fn algorithm(&mut self, balancer: &Balancer, table: &mut Table) {
        if let Some(hash) = &balancer.hash {
            hashed(hash, &self.places, table);
            return;
        }
        if !self.places.has(balancer.at, &["simple"]) {
            return;
        }
        let at = self.field(balancer.at, &["simple"]);
        let word = match balancer.algorithm {
            Algorithm::RoundRobin => "round_robin",
            Algorithm::Random => "random",
            Algorithm::LeastRequest | Algorithm::ConsistentHash => "least_request",
            Algorithm::Passthrough => {
                let why = "the address that was asked for: endpoints are picked as ever here";
                self.draft.ignore("DestinationRule.spec.trafficPolicy.loadBalancer", at, why);
                return;
            }
        };
        table.set("balancer", Value::text(word).at(at));
    }

    fn slow_start(&mut self, balancer: &Balancer, table: &mut Table) {
        let Some(window) = balancer.warmup_ns.filter(|window| *window > 0) else { return };
        let at = |path: &[&str]| self.places.field(balancer.at, path);
        let is_new = self.places.has(balancer.at, &["warmup"]);
        let place = if is_new { at(&["warmup"]) } else { at(&["warmupDurationSecs"]) };
        // Envoy's random and hashing balancers have none.
        if !matches!(balancer.algorithm, Algorithm::LeastRequest | Algorithm::RoundRobin) {
            let why = "this balancer has no slow start";
            self.draft.ignore("DestinationRule.spec.trafficPolicy.loadBalancer.warmup", place, why);
            return;
        }
        let mut slow = Table::new();
        let window_at = if is_new { at(&["warmup", "duration"]) } else { place };
        slow.set("window", Value::duration(window).at(window_at));
        if let Some(aggression) = balancer.warmup_aggression {
            let at = at(&["warmup", "aggression"]);
            slow.set("aggression", Value::float(aggression).at(at));
        }
        if let Some(percent) = balancer.warmup_minimum {
            let at = at(&["warmup", "minimumPercent"]);
            slow.set("min_weight", Value::text(format!("{percent}%")).at(at));
        }
        table.set("slow_start", Value::from(slow).at(place));
    }

    fn locality(&mut self, policy: &TrafficPolicy, table: &mut Table) {
        let own = policy.balancer.as_ref().and_then(|balancer| balancer.locality.clone());
        let of_mesh = &self.mesh.istio.mesh.locality;
        let setting = own.clone().unwrap_or_else(|| of_mesh.clone());
        if setting.enabled == Some(false) {
            return;
        }
        let at = match (&policy.balancer, self.mesh.istio.mesh.at) {
            (Some(balancer), _) if own.is_some() => {
                Some(self.field(balancer.at, &["localityLbSetting"]))
            }
            (_, Some(at)) if self.places.has(at, &["localityLbSetting"]) => {
                Some(self.field(at, &["localityLbSetting"]))
            }
            _ => None,
        };
        if !setting.distribute.is_empty() {
            let at = at.unwrap_or(policy.at);
            if let Some(list) = self.distribute(&setting, at) {
                table.below("locality").set("distribute", list);
            }
            return;
        }
        let Some(outlier) = &policy.outlier else { return };
        if let Some(at) = at
            && !(setting.failover.is_empty() && setting.failover_priority.is_empty())
        {
            let why = "nodes have zones and no regions: other zones are the next priority";
            let field = "DestinationRule.spec.trafficPolicy.loadBalancer.localityLbSetting";
            self.draft.ignore(field, at, why);
        }
        let at = at.unwrap_or(outlier.at);
        table.below("locality").set("failover", Value::bool(true).at(at));
    }

    /// Percents by zone; none if a locality is no zone of the scenario.
    fn distribute(&mut self, setting: &LocalityBalancing, at: At) -> Option<Value> {
        let zones: Vec<String> = self.draft.nodes.iter().filter_map(zone_of).collect();
        let zone = |locality: &str| {
            let mut parts = locality.split('/');
            let (region, zone, rest) = (parts.next(), parts.next(), parts.next());
            let fits = rest.is_none_or(|rest| rest == "*") && parts.next().is_none();
            let zone = zone.or(region).filter(|_| fits)?.to_owned();
            zones.contains(&zone).then_some(zone)
        };
        let mut list = Vec::new();
        for (from, to) in &setting.distribute {
            let mut entry = Table::new();
            if from != "*" {
                let Some(zone) = zone(from) else { return self.no_zones(at) };
                entry.set("from", Value::text(zone).at(at));
            }
            for (locality, share) in to {
                let Some(zone) = zone(locality) else { return self.no_zones(at) };
                entry.below("to").set(zone, Value::integer(*share).at(at));
            }
            list.push(Value::from(entry));
        }
        Some(Value::list(list).at(at))
    }

    fn no_zones(&mut self, at: At) -> Option<Value> {
        let why = "these localities are no zones of nodes in the manifests: locality = \
                   { distribute = [{ from = ZONE, to = { ZONE = 80 } }] } says it";
        let field = "DestinationRule.spec.trafficPolicy.loadBalancer.localityLbSetting.distribute";
        self.draft.ignore(field, at, why);
        None
    }
}

fn zone_of(node: &Table) -> Option<String> {
    match &node.get("zone")?.kind {
        Kind::Text(zone) => Some(zone.clone()),
        _ => None,
    }
}

fn hashed(hash: &Hash, places: &super::places::Places<'_>, table: &mut Table) {
    let at = |path: &[&str]| places.field(hash.at, path);
    let (key, name, path): (_, _, &[&str]) = match &hash.key {
        Some(HashKey::Header(name)) => ("header", Some(name), &["httpHeaderName"]),
        Some(HashKey::Cookie(name)) => ("cookie", Some(name), &["httpCookie", "name"]),
        Some(HashKey::Query(name)) => ("query", Some(name), &["httpQueryParameterName"]),
        Some(HashKey::SourceIp) => ("source", None, &["useSourceIp"]),
        None => return,
    };
    if name.is_some_and(String::is_empty) {
        return;
    }
    let word = if hash.is_maglev { "maglev" } else { "ring_hash" };
    table.set("balancer", Value::text(word).at(hash.at));
    let value = name.map_or(Value::bool(true), Value::text);
    table.below("hash_on").set(key, value.at(at(path)));
    if let Some(size) = hash.minimum_ring_size.filter(|_| !hash.is_maglev) {
        let is_new = places.has(hash.at, &["ringHash"]);
        let new: &[&str] = &["ringHash", "minimumRingSize"];
        let path = if is_new { new } else { &["minimumRingSize"] };
        table.set("minimum_ring_size", Value::integer(size).at(at(path)));
    }
    if let Some(size) = hash.table_size {
        let at = at(&["maglev", "tableSize"]);
        table.set("maglev_table_size", Value::integer(size).at(at));
    }
}
