//! The balancing of a cluster whose endpoints are not all alike: priority, then place, then endpoint.
//!
//! ```text
//! draw -> priority and availability -> (panic: all of it)
//!      -> zone, by weight or zone aware routing
//!      -> endpoint: weighted turns where weights differ, else turns, choices or a draw
//! hash -> priority -> ring or table of its healthy endpoints
//! ```
//!
//! Each worker has turns and schedules of its own; rings and tables are shared. Everything is made
//! anew when endpoints, weights or health change; only the positions of the turns stay.
//!
//! Source: Envoy's `ZoneAwareLoadBalancerBase`, `EdfLoadBalancerBase` and `ThreadAwareLoadBalancerBase`
//! as their docs tell; measured on Envoy 1.40 (family e07).
//! Left out: preconnecting, rings with effective locality weights (Envoy takes the
//! plain ones there, too).

use super::balancer::{self, next_bits};
use super::edf::Edf;
use super::host_set::{Group, HostSet, Table};
use super::locality::{ZoneRouting, effective_weight};
use super::maglev::Maglev;
use super::priority::{Level, Loads};
use super::ring_hash::Ring;
use super::slow_start::factor;
use super::stale_load::StaleLoad;
use crate::kernel::time::Time;
use crate::plan::balancing::{Balancing, EndpointHealth};
use crate::plan::policy::LoadBalancer;

/// An endpoint as the balancer sees it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Endpoint {
    /// At least 1.
    pub weight: u32,
    /// Its priority, of all that there are without gaps.
    pub level: u32,
    /// Its zone, as an index.
    pub zone: u32,
    /// Its health, ejections included.
    pub health: EndpointHealth,
    /// Since when it is known and healthy.
    pub since: Time,
}

/// How zones count, by their index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Zones {
    /// Not at all.
    Alike,
    /// By these weights.
    Weighted(Vec<u32>),
    /// Zone aware routing, with the clients in each zone; zone 0 is one's own.
    Aware {
        /// Clients.
        clients: Vec<u32>,
        /// Smaller clusters are not treated so.
        min_cluster_size: u32,
    },
}

/// A request for an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Request<'l> {
    /// The worker that asks.
    pub worker: usize,
    /// Now.
    pub now: Time,
    /// 64 random bits.
    pub draw: u64,
    /// What consistent hashing goes by; the draw if there is none.
    pub hash: Option<u64>,
    /// Counts the choices of one try, from 0.
    pub attempt: u32,
    /// The loads of the priorities, if they are not the usual ones.
    pub loads: Option<&'l Loads>,
}

/// The balancer of one cluster in one proxy.
#[derive(Clone, Debug)]
pub struct ClusterBalancer {
    balancer: LoadBalancer,
    balancing: Balancing,
    panic_threshold: f64,
    /// Where the turns of each worker begin.
    first_turns: Box<[u32]>,
    /// By group and worker.
    turns: Vec<Box<[u32]>>,
    endpoints: Vec<Endpoint>,
    levels: Vec<HostSet>,
    loads: Loads,
    /// Where active requests are not always known.
    stale: Option<StaleLoad>,
}

impl ClusterBalancer {
    /// A balancer without endpoints; `first_turns` by worker.
    pub fn new(
        balancer: LoadBalancer,
        balancing: Balancing,
        panic_threshold: f64,
        first_turns: Box<[u32]>,
    ) -> Self {
        let every = balancing.load_refresh;
        Self {
            stale: (!every.is_zero()).then(|| StaleLoad::new(every)),
            balancer,
            balancing,
            panic_threshold,
            first_turns,
            turns: Vec::new(),
            endpoints: Vec::new(),
            levels: Vec::new(),
            loads: Loads::default(),
        }
    }

    /// The endpoints are these from `now` on, by place; none for one that gets nothing at all.
    /// `address` names the one of a place to consistent hashing.
    pub fn refresh(
        &mut self,
        endpoints: &[Option<Endpoint>],
        zones: &Zones,
        now: Time,
        address: impl Fn(usize) -> String,
    ) {
        let nothing = Endpoint {
            weight: 1,
            level: u32::MAX,
            zone: 0,
            health: EndpointHealth::Unhealthy,
            since: Time::ZERO,
        };
        self.endpoints = endpoints.iter().map(|one| one.unwrap_or(nothing)).collect();
        self.stale.iter_mut().for_each(StaleLoad::forget);
        let known = || endpoints.iter().flatten();
        let count = known().map(|one| one.level + 1).max().unwrap_or(0);
        let zone_count = match zones {
            Zones::Alike => 0,
            _ => known().map(|one| one.zone as usize + 1).max().unwrap_or(0),
        };
        let counts: Vec<Level> =
            (0..count).map(|level| self.count(|one| one.level == level)).collect();
        self.loads = Loads::new(&counts, self.balancing.overprovisioning, self.panic_threshold);
        let groups = 3 + 2 * zone_count;
        self.turns.resize(count as usize * groups, self.first_turns.clone());
        self.levels = (0..count)
            .map(|level| {
                let mut set = self.host_set(level, level as usize * groups, zone_count, now);
                self.weigh(&mut set, level, zones);
                set.table = self.table(&set, level as usize, zones, &address);
                set
            })
            .collect();
    }

    /// The place of an endpoint for a request; `active` is the number of requests under way there.
    pub fn pick(&mut self, request: Request<'_>, active: impl Fn(usize) -> u32) -> Option<usize> {
        let loads = request.loads.unwrap_or(&self.loads);
        if self.balancer.hashes() {
            let hash = request.hash.unwrap_or(request.draw);
            let (level, _) = loads.choose_by_hash(hash)?;
            return self.levels[level].table.pick(hash, request.attempt);
        }
        let (level, availability) = loads.choose(request.draw)?;
        let draw = next_bits(request.draw);
        let Self { balancer, balancing, turns, endpoints, levels, stale, .. } = self;
        let count = endpoints.len();
        let believed = stale.as_mut().map(|stale| stale.counts(request.now, count, &active));
        let active = |place: usize| believed.map_or_else(|| active(place), |all| all[place]);
        let group = levels[level].group(availability, request.worker, draw);
        let schedule = group.schedules.get_mut(request.worker);
        if let Some(schedule) = schedule {
            let place = schedule.pick(|nth| {
                let place = group.members[nth] as usize;
                let weight = plain_weight(&endpoints[place], balancing, request.now);
                weight / load(*balancer, balancing, || active(place))
            })?;
            return Some(group.members[place] as usize);
        }
        if group.members.is_empty() {
            return None;
        }
        let turn = &mut turns[group.number][request.worker];
        let members = &group.members;
        let draw = next_bits(draw);
        let nth = balancer::pick(*balancer, members.len(), turn, draw, |nth| {
            active(members[nth] as usize)
        });
        Some(members[nth] as usize)
    }

    /// Whether the priority of the endpoint at a place panics.
    pub fn panics(&self, place: usize) -> bool {
        let level = self.endpoints.get(place).map(|one| one.level as usize);
        self.loads.any_panics() && level.is_some_and(|level| self.loads.panics(level))
    }

    /// The loads of a retry whose earlier tries went to the endpoints at these places; none for the usual
    /// ones.
    pub fn loads_after(&self, tried: &[Option<usize>], every: u32) -> Option<Loads> {
        let level = |place: usize| self.endpoints.get(place).map(|one| one.level as usize);
        let levels: Vec<_> = tried.iter().map(|place| place.and_then(level)).collect();
        self.loads.after(&levels, every)
    }

    /// Endpoints by health.
    fn count(&self, is_meant: impl Fn(&Endpoint) -> bool) -> Level {
        let mut count = Level::default();
        for endpoint in self.endpoints.iter().filter(|one| is_meant(one)) {
            count.all += 1;
            count.healthy += u32::from(endpoint.health == EndpointHealth::Healthy);
            count.degraded += u32::from(endpoint.health == EndpointHealth::Degraded);
        }
        count
    }

    fn host_set(&self, level: u32, first: usize, zones: usize, now: Time) -> HostSet {
        use EndpointHealth::{Degraded, Healthy};
        let group = |number: usize, is_meant: &dyn Fn(&Endpoint) -> bool| {
            let all = self.endpoints.iter().zip(0..);
            let mine = all.filter(|(one, _)| one.level == level && is_meant(one));
            let members: Vec<u32> = mine.map(|(_, place)| place).collect();
            let schedules = self.schedules(&members, now);
            Group { number: first + number, members, schedules }
        };
        let of = |zone: usize| {
            let number = 3 + 2 * zone;
            let here = move |one: &Endpoint| one.zone as usize == zone;
            [
                group(number, &|one| one.health == Healthy && here(one)),
                group(number + 1, &|one| one.health == Degraded && here(one)),
            ]
        };
        HostSet {
            all: group(0, &|_| true),
            usable: [
                group(1, &|one| one.health == Healthy),
                group(2, &|one| one.health == Degraded),
            ],
            zones: (0..zones).map(of).collect(),
            schedules: Vec::new(),
            weights: [Vec::new(), Vec::new()],
            routing: None,
            table: Table::None,
        }
    }

    /// The schedule of each worker, where the members' weights differ or will.
    fn schedules(&self, members: &[u32], now: Time) -> Vec<Edf> {
        let of = |place: &u32| &self.endpoints[*place as usize];
        let is_new = |one: &Endpoint| {
            let window = self.balancing.slow_start.map(|policy| policy.window);
            window.is_some_and(|window| now <= one.since + window)
        };
        let first = members.first().map(of);
        let differ =
            members.iter().map(of).any(|one| first.is_some_and(|f| f.weight != one.weight));
        let takes_weights =
            !matches!(self.balancer, LoadBalancer::Random) && !self.balancer.hashes();
        if members.len() < 2 || !takes_weights || !(differ || members.iter().map(of).any(is_new)) {
            return Vec::new();
        }
        let weight = |place: &u32| plain_weight(of(place), &self.balancing, now);
        let weights: Vec<f64> = members.iter().map(weight).collect();
        self.first_turns.iter().map(|picks| Edf::new(&weights, *picks)).collect()
    }

    /// How the zones of a priority count.
    fn weigh(&self, set: &mut HostSet, level: u32, zones: &Zones) {
        let of = |zone: usize| self.count(|one| one.level == level && one.zone as usize == zone);
        let counts: Vec<Level> = (0..set.zones.len()).map(of).collect();
        match zones {
            Zones::Weighted(weights) => {
                let over = self.balancing.overprovisioning;
                let weigh = |usable: fn(&Level) -> u32| -> Vec<(usize, f64)> {
                    let pairs = weights.iter().zip(&counts);
                    pairs
                        .map(|(weight, one)| effective_weight(*weight, usable(one), one.all, over))
                        .enumerate()
                        .filter(|(_, weight)| 0.0 < *weight)
                        .collect()
                };
                set.weights = [weigh(|one| one.healthy), weigh(|one| one.degraded)];
                let schedule = |weights: &[(usize, f64)], picks: u32| {
                    let weights: Vec<f64> = weights.iter().map(|(_, weight)| *weight).collect();
                    (!weights.is_empty()).then(|| Edf::new(&weights, picks))
                };
                let [healthy, degraded] = &set.weights;
                let of_worker =
                    |picks: &u32| [schedule(healthy, *picks), schedule(degraded, *picks)];
                set.schedules = self.first_turns.iter().map(of_worker).collect();
            }
            // Envoy does it for the first priority alone.
            Zones::Aware { clients, min_cluster_size } if level == 0 => {
                let healthy: Vec<u32> = counts.iter().map(|one| one.healthy).collect();
                let there: Vec<bool> = counts.iter().map(|one| one.all != 0).collect();
                set.routing = ZoneRouting::new(clients, &healthy, &there, *min_cluster_size);
            }
            Zones::Aware { .. } | Zones::Alike => {}
        }
    }

    fn table(
        &self,
        set: &HostSet,
        level: usize,
        zones: &Zones,
        address: &impl Fn(usize) -> String,
    ) -> Table {
        if !self.balancer.hashes() {
            return Table::None;
        }
        let group = if self.loads.panics(level) { &set.all } else { &set.usable[0] };
        let of = |place: &u32| &self.endpoints[*place as usize];
        let mut in_zone = vec![0.0; set.zones.len()];
        if let Zones::Weighted(_) = zones {
            let members = group.members.iter().map(of);
            members.for_each(|one| in_zone[one.zone as usize] += f64::from(one.weight));
        }
        // A zone's weight is shared out among its endpoints.
        let weigh = |place: &u32| {
            let Endpoint { weight, zone, .. } = *of(place);
            let share = match zones {
                Zones::Weighted(weights) => {
                    f64::from(weights[zone as usize]) / in_zone[zone as usize]
                }
                _ => 1.0,
            };
            f64::from(weight) * share
        };
        let members = group.members.clone();
        let entry = |place: &u32| (address(*place as usize), weigh(place));
        let entries: Vec<(String, f64)> = members.iter().map(entry).collect();
        match self.balancer {
            LoadBalancer::Maglev => {
                Table::Maglev(Maglev::new(&entries, self.balancing.table_size), members)
            }
            _ => Table::Ring(Ring::new(&entries, self.balancing.ring_size), members),
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let endpoints = self.endpoints.capacity() * size_of::<Endpoint>();
        let turns = self.turns.len() * (16 + 4 * self.first_turns.len());
        endpoints + turns + self.levels.iter().map(HostSet::bytes).sum::<usize>()
    }
}

/// An endpoint's weight by its age.
fn plain_weight(endpoint: &Endpoint, balancing: &Balancing, now: Time) -> f64 {
    let grown = match &balancing.slow_start {
        Some(policy) if endpoint.health == EndpointHealth::Healthy => {
            factor(policy, now.saturating_since(endpoint.since))
        }
        _ => 1.0,
    };
    f64::from(endpoint.weight) * grown
}

/// What least request divides a weight by.
fn load(balancer: LoadBalancer, balancing: &Balancing, active: impl FnOnce() -> u32) -> f64 {
    match balancer {
        LoadBalancer::RoundRobin => 1.0,
        _ => libm::pow(f64::from(active()) + 1.0, balancing.active_request_bias),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::time::Duration;
    use crate::plan::balancing::SlowStart;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    fn endpoint(weight: u32, level: u32, zone: u32, health: EndpointHealth) -> Endpoint {
        Endpoint { weight, level, zone, health, since: Time::ZERO }
    }

    fn weighted(weights: &[u32]) -> Vec<Option<Endpoint>> {
        weights.iter().map(|one| Some(endpoint(*one, 0, 0, EndpointHealth::Healthy))).collect()
    }

    fn balancer(policy: LoadBalancer, balancing: Balancing) -> ClusterBalancer {
        ClusterBalancer::new(policy, balancing, 0.5, Box::new([12_345]))
    }

    fn with(
        policy: LoadBalancer,
        endpoints: &[Option<Endpoint>],
        zones: &Zones,
    ) -> ClusterBalancer {
        let mut balancer = balancer(policy, Balancing::default());
        balancer.refresh(endpoints, zones, Time::ZERO, |place| format!("10.0.0.{place}:80"));
        balancer
    }

    /// Shares in a closed loop of so many clients, with each endpoint's service time.
    fn shares(balancer: &mut ClusterBalancer, clients: u32, service_ms: &[u64]) -> Vec<f64> {
        const N: u32 = 40_000;
        let (mut now, mut bits) = (Time::ZERO, 7);
        let (mut active, mut hits) = (vec![0; service_ms.len()], vec![0; service_ms.len()]);
        let mut busy: BinaryHeap<Reverse<(Time, u32, usize)>> = BinaryHeap::new();
        for number in 0..N {
            if clients <= number {
                let Reverse((ends, _, place)) = busy.pop().expect("as many as clients");
                now = ends;
                active[place] -= 1;
            }
            bits = next_bits(bits);
            let request = Request {
                worker: 0,
                now,
                draw: next_bits(bits ^ 5),
                hash: None,
                attempt: 0,
                loads: None,
            };
            let place = balancer.pick(request, |place| active[place]).expect("an endpoint");
            active[place] += 1;
            hits[place] += 1;
            busy.push(Reverse((now + Duration::from_ms(service_ms[place]), number, place)));
        }
        hits.iter().map(|hits| f64::from(*hits) / f64::from(N)).collect()
    }

    fn near(shares: &[f64], measured: &[f64], tolerance: f64) {
        let far = shares.iter().zip(measured).any(|(one, other)| tolerance < (one - other).abs());
        assert!(!far && shares.len() == measured.len(), "{shares:?}, measured {measured:?}");
    }

    const P2C: LoadBalancer = LoadBalancer::LeastRequest { choices: 2 };

    /// Family e07, `least_request_one_slow_closed8`, `least_request_choice4_one_slow_closed8`.
    #[test]
    fn a_slow_one_of_four_gets_what_was_measured_by_the_choices() {
        let service = [10, 10, 10, 50];
        for (choices, slow) in [(2, 0.1205), (4, 0.085)] {
            let policy = LoadBalancer::LeastRequest { choices };
            let mut balancer = with(policy, &weighted(&[1; 4]), &Zones::Alike);
            let fast = (1.0 - slow) / 3.0;
            near(&shares(&mut balancer, 8, &service), &[fast, fast, fast, slow], 0.01);
        }
        let mut balancer = with(LoadBalancer::RoundRobin, &weighted(&[1; 4]), &Zones::Alike);
        near(&shares(&mut balancer, 8, &service), &[0.25; 4], 1e-4);
    }

    /// Family e07, `round_robin_weights_1_2_5_seq`, `random_weights_1_2_5`,
    /// `least_request_weights_1_2_5_seq`.
    #[test]
    fn weights_one_two_five_count_for_all_but_random() {
        let shares =
            |policy| shares(&mut with(policy, &weighted(&[1, 2, 5]), &Zones::Alike), 1, &[1; 3]);
        near(&shares(LoadBalancer::RoundRobin), &[0.125, 0.25, 0.625], 1e-4);
        near(&shares(P2C), &[0.125, 0.25, 0.625], 1e-3);
        near(&shares(LoadBalancer::Random), &[1.0 / 3.0; 3], 0.01);
    }

    /// Family e07, `least_request_weights_1_2_5_closed12_bias*`; 20 / 30 / 50 with Envoy's default.
    #[test]
    fn load_dilutes_the_weights_of_least_request() {
        for (bias, measured) in [
            (0.0, [0.125, 0.25, 0.625]),
            (0.5, [0.1697, 0.2844, 0.5458]),
            (1.0, [0.2, 0.3, 0.5]),
            (2.0, [0.2378, 0.313, 0.4492]),
        ] {
            let balancing = Balancing { active_request_bias: bias, ..Balancing::default() };
            let mut balancer = balancer(P2C, balancing);
            balancer.refresh(&weighted(&[1, 2, 5]), &Zones::Alike, Time::ZERO, |_| String::new());
            near(&shares(&mut balancer, 12, &[20; 3]), &measured, 0.02);
        }
    }

    /// Family e07, `locality_weighted_1_3_*`.
    #[test]
    fn zones_of_weight_one_and_three_share_as_measured() {
        let zones = Zones::Weighted(vec![1, 3]);
        let of = |last| {
            let healthy = EndpointHealth::Healthy;
            [(0, healthy), (0, healthy), (1, healthy), (1, last)]
                .map(|(zone, health)| Some(endpoint(1, 0, zone, health)))
        };
        let mut all = with(LoadBalancer::RoundRobin, &of(EndpointHealth::Healthy), &zones);
        near(&shares(&mut all, 1, &[1; 4]), &[0.125, 0.125, 0.375, 0.375], 1e-3);
        let mut half = with(LoadBalancer::RoundRobin, &of(EndpointHealth::Unhealthy), &zones);
        near(&shares(&mut half, 1, &[1; 4]), &[0.1613, 0.1613, 0.6775, 0.0], 1e-3);
    }

    /// Family e07, `priority_failover_p0_healthy_5_of_10` and total panic with 2 of 10 and 1 of 4.
    #[test]
    fn priorities_fail_over_and_panic_as_measured() {
        let of = |first: usize, second: usize| -> Vec<Option<Endpoint>> {
            let health = |up| if up { EndpointHealth::Healthy } else { EndpointHealth::Draining };
            let one = (0..10).map(|n| Some(endpoint(1, 0, 0, health(n < first))));
            one.chain((0..4).map(|n| Some(endpoint(1, 1, 0, health(n < second))))).collect()
        };
        let run = |endpoints: &[Option<Endpoint>]| {
            let mut balancer = with(LoadBalancer::RoundRobin, endpoints, &Zones::Alike);
            let shares = shares(&mut balancer, 1, &[1; 14]);
            let down = |(share, one): (&f64, &Option<Endpoint>)| {
                let is_down = one.is_some_and(|one| one.health != EndpointHealth::Healthy);
                if is_down { *share } else { 0.0 }
            };
            [shares[10..].iter().sum(), shares.iter().zip(endpoints).map(down).sum()]
        };
        near(&run(&of(5, 4)), &[0.2942, 0.0], 0.02);
        near(&run(&of(2, 1)), &[0.2767, 943.0 / 1200.0], 0.02);
        near(&run(&of(5, 0)), &[0.0, 0.0], 1e-9);
    }

    #[test]
    fn hashes_stay_where_they_are_and_weights_of_zones_count() {
        for policy in [LoadBalancer::RingHash, LoadBalancer::Maglev] {
            let zones = Zones::Weighted(vec![1, 3]);
            let mut endpoints = weighted(&[1, 1, 1, 1]);
            endpoints.iter_mut().skip(2).for_each(|one| one.as_mut().expect("there").zone = 1);
            let mut balancer = with(policy, &endpoints, &zones);
            let mut hits = [0_u32; 4];
            for key in 0..4000_u64 {
                let hash = Some(next_bits(key));
                let request = Request {
                    worker: 0,
                    now: Time::ZERO,
                    draw: key,
                    hash,
                    attempt: 0,
                    loads: None,
                };
                let mut pick =
                    |draw| balancer.pick(Request { draw, ..request }, |_| 0).expect("one");
                let place = pick(1);
                assert_eq!(pick(2), place, "the draw does not matter");
                hits[place] += 1;
            }
            let shares = hits.map(|hits| f64::from(hits) / 4000.0);
            near(&shares, &[0.125, 0.125, 0.375, 0.375], 0.04);
        }
    }

    #[test]
    fn a_new_endpoint_starts_slowly_and_the_turns_go_on() {
        let slow_start =
            SlowStart { window: Duration::from_s(10), aggression: 1.0, min_weight: 0.1 };
        let balancing = Balancing { slow_start: Some(slow_start), ..Balancing::default() };
        let mut balancer = balancer(LoadBalancer::RoundRobin, balancing);
        let now = Time::ZERO + Duration::from_s(100);
        let mut endpoints = weighted(&[1; 4]);
        endpoints[3].as_mut().expect("there").since = now;
        balancer.refresh(&endpoints, &Zones::Alike, now, |_| String::new());
        let request =
            |now| Request { worker: 0, now, draw: 1, hash: None, attempt: 0, loads: None };
        let mut share = |at_s: u64| {
            let at = request(now + Duration::from_s(at_s));
            let picks = (0..1000).filter(|_| balancer.pick(at, |_| 0) == Some(3));
            picks.count() as f64 / 1000.0
        };
        near(&[share(5), share(10)], &[0.5 / 3.5, 0.25], 0.01);
        balancer.refresh(&weighted(&[1; 3]), &Zones::Alike, now, |_| String::new());
        let picks: Vec<_> = (0..4).map(|_| balancer.pick(request(now), |_| 0)).collect();
        assert_eq!(picks[0], picks[3]);
        assert!(balancer.levels[0].usable[0].schedules.is_empty(), "old ones take plain turns");
    }

    #[test]
    fn without_endpoints_there_is_none() {
        let request =
            Request { worker: 0, now: Time::ZERO, draw: 9, hash: Some(3), attempt: 0, loads: None };
        for policy in [P2C, LoadBalancer::RingHash, LoadBalancer::Maglev] {
            assert_eq!(with(policy, &[], &Zones::Alike).pick(request, |_| 0), None);
            assert_eq!(with(policy, &[None, None], &Zones::Alike).pick(request, |_| 0), None);
        }
    }
}
