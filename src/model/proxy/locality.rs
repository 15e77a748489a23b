//! Localities: by weight, or as near as the zones' numbers allow.
//!
//! By weight, a zone counts with its weight × min(1, 1.4 × healthy share). Zone aware routing compares
//! where the clients are with where the endpoints are:
//!
//! ```text
//! own zone has at least its share of the endpoints:  everything stays there
//! else: endpoints' share / clients' share stays; the rest goes where endpoints are in surplus
//! ```
//!
//! Source: Envoy's docs on locality weighted and zone aware load balancing. Measured on Envoy 1.40
//! (family e07): weights 1 and 3 give 25 and 75 %, and 32 and 68 % with half of the second zone down.
//! Left out: `routing_enabled` below 100 %, `force_locality_direct_routing`, a panic of the clients'
//! own cluster.

use crate::kernel::stream::below;

/// Ten thousand: shares are whole numbers of it.
const WHOLE: u64 = 10_000;

/// The weight of a zone with so many usable endpoints of all that it has.
pub fn effective_weight(weight: u32, usable: u32, all: u32, overprovisioning: u32) -> f64 {
    if all == 0 {
        return 0.0;
    }
    let available = f64::from(overprovisioning) / 100.0 * f64::from(usable) / f64::from(all);
    f64::from(weight) * available.min(1.0)
}

/// Zone aware routing of the clients of one zone, which is zone 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ZoneRouting {
    /// Of ten thousand requests so many stay.
    stays: u64,
    /// By zone: the surplus of it and of those before it.
    surplus: Vec<u64>,
}

impl ZoneRouting {
    /// The routing for `clients` and healthy `endpoints` by zone; none if all zones are treated alike:
    /// where there are fewer than two zones of either, nobody in the own one, or fewer endpoints than
    /// `min_cluster_size`. `is_there` tells zones that have any endpoint.
    pub fn new(
        clients: &[u32],
        endpoints: &[u32],
        is_there: &[bool],
        min_cluster_size: u32,
    ) -> Option<Self> {
        let (all_clients, all): (u32, u32) = (clients.iter().sum(), endpoints.iter().sum());
        let zones = |there: &mut dyn Iterator<Item = bool>| there.filter(|one| *one).count();
        if zones(&mut is_there.iter().copied()) < 2
            || zones(&mut clients.iter().map(|count| *count != 0)) < 2
            || clients.first().is_none_or(|own| *own == 0)
            || all < min_cluster_size
        {
            return None;
        }
        let share = |count: u32, of: u32| WHOLE * u64::from(count) / u64::from(of.max(1));
        let shares: Vec<(u64, u64)> = (endpoints.iter().enumerate())
            .map(|(zone, count)| {
                let there = clients.get(zone).copied().unwrap_or(0);
                (share(there, all_clients), share(*count, all))
            })
            .collect();
        let (clients, own) = shares[0];
        if 0 < own && clients <= own {
            return Some(Self { stays: WHOLE, surplus: Vec::new() });
        }
        let stays = (own * WHOLE).checked_div(clients).unwrap_or(0);
        let mut sum = 0;
        let surplus = shares.iter().enumerate().map(|(zone, (clients, endpoints))| {
            sum += if zone == 0 { 0 } else { endpoints.saturating_sub(*clients) };
            sum
        });
        let surplus = surplus.collect();
        Some(Self { stays, surplus })
    }

    /// The zone of a request, by two draws.
    pub fn choose(&self, draws: [u64; 2]) -> usize {
        let total = self.surplus.last().copied().unwrap_or(0);
        if (below(draws[0], 10_000) as u64) < self.stays {
            0
        } else if total == 0 {
            // Shares were rounded down to nothing.
            below(draws[1], self.surplus.len().max(1))
        } else {
            let point = below(draws[1], usize::try_from(total).unwrap_or(1)) as u64;
            self.surplus.partition_point(|surplus| *surplus <= point)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shares of the zones over evenly spread draws.
    fn shares(routing: &ZoneRouting, zones: usize) -> Vec<f64> {
        let mut counts = vec![0_u32; zones];
        for one in 0..200_u64 {
            for other in 0..200_u64 {
                let at = |n: u64| (n << 32) / 200 * (1 << 32);
                counts[routing.choose([at(one), at(other)])] += 1;
            }
        }
        counts.iter().map(|count| f64::from(*count) / 40_000.0).collect()
    }

    #[test]
    fn a_zone_with_half_of_its_endpoints_down_keeps_seven_tenths_of_its_weight() {
        let weights = [effective_weight(1, 2, 2, 140), effective_weight(3, 1, 2, 140)];
        assert!((weights[1] / (weights[0] + weights[1]) - 2.1 / 3.1).abs() < 1e-12);
        assert!((effective_weight(3, 5, 7, 140) - 3.0).abs() < 1e-9);
        assert!(effective_weight(3, 0, 0, 140) <= 0.0);
    }

    #[test]
    fn a_zone_with_its_share_of_endpoints_keeps_everything() {
        let routing = ZoneRouting::new(&[2, 4], &[2, 4], &[true; 2], 6).expect("two zones");
        assert_eq!(shares(&routing, 2), [1.0, 0.0]);
    }

    /// Half of the clients and a quarter of the endpoints are here: half stays, the rest goes where
    /// endpoints are in surplus.
    #[test]
    fn the_rest_goes_where_endpoints_are_in_surplus() {
        let routing = ZoneRouting::new(&[4, 2, 2], &[2, 4, 2], &[true; 3], 6).expect("three zones");
        assert_eq!(shares(&routing, 3), [0.5, 0.5, 0.0]);
        let routing = ZoneRouting::new(&[4, 2, 2], &[0, 4, 4], &[true; 3], 6).expect("three zones");
        assert_eq!(shares(&routing, 3), [0.0, 0.5, 0.5]);
    }

    #[test]
    fn small_clusters_and_single_zones_are_treated_alike() {
        let new = ZoneRouting::new;
        assert_eq!(new(&[2, 2], &[2, 3], &[true; 2], 6), None);
        assert_eq!(new(&[2, 2], &[6, 0], &[true, false], 6), None);
        assert_eq!(new(&[4, 0], &[3, 3], &[true; 2], 6), None);
        assert_eq!(new(&[0, 4, 1], &[3, 3, 0], &[true, true, false], 6), None);
    }
}
