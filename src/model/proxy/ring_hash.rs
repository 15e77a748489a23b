//! Ring hash: each endpoint stands on a ring at many points; a request goes to the next point after
//! its own hash.
//!
//! The points of an endpoint are the hashes of `address_0`, `address_1`, …; their number follows its
//! weight, so that the ring has at least its minimum size and every endpoint a whole number of points.
//! When an endpoint goes, all others get more points: that moves 13 % of *their* keys, too.
//!
//! Source: Envoy's ring hash docs and `xxHash64`; Karger et al. 1997. Measured on Envoy 1.40 (family
//! e07): removing one of 4 endpoints moved 380 of the 2958 keys of the other three.
//! Left out: `MurmurHash2`, bounded loads.

use twox_hash::XxHash64;

/// The ring.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    /// (point, endpoint), in order.
    points: Vec<(u64, u32)>,
}

impl Ring {
    /// The ring of endpoints with these addresses and weights (above 0), with `sizes` points at least
    /// and at most.
    pub fn new(endpoints: &[(String, f64)], sizes: (u32, u32)) -> Self {
        let sum: f64 = endpoints.iter().map(|(_, weight)| weight).sum();
        let least = endpoints.iter().map(|(_, weight)| weight / sum).fold(1.0, f64::min);
        // The endpoint of least weight gets a whole number of points.
        let scale = (libm::ceil(least * f64::from(sizes.0)) / least).min(f64::from(sizes.1));
        let mut points = Vec::new();
        let mut target = 0.0;
        for ((address, weight), index) in endpoints.iter().zip(0..) {
            target += scale * weight / sum;
            let mut number = 0;
            while (points.len() as f64) < target {
                points.push((xx_hash(format!("{address}_{number}").as_bytes(), 0), index));
                number += 1;
            }
        }
        points.sort_unstable();
        points.shrink_to_fit();
        Self { points }
    }

    /// The endpoint of a hash. A further `attempt` of one choice takes the next point, which may be of
    /// the same endpoint.
    pub fn pick(&self, hash: u64, attempt: u32) -> Option<usize> {
        let first = self.points.partition_point(|(point, _)| *point < hash);
        let place = (first + attempt as usize) % self.points.len().max(1);
        self.points.get(place).map(|(_, endpoint)| *endpoint as usize)
    }

    /// Points on it.
    pub fn size(&self) -> usize {
        self.points.len()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.points.capacity() * size_of::<(u64, u32)>()
    }
}

/// Envoy's hash of names and values.
pub fn xx_hash(bytes: &[u8], seed: u64) -> u64 {
    XxHash64::oneshot(seed, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(in crate::model::proxy) fn equal(names: &[&str]) -> Vec<(String, f64)> {
        names.iter().map(|name| (format!("{name}:8080"), 1.0)).collect()
    }

    #[test]
    fn the_hash_is_xx_hash_64() {
        // Values of the reference implementation.
        assert_eq!(xx_hash(b"", 0), 0xef46_db37_51d8_e999);
        assert_eq!(xx_hash(b"foo", 0), 0x33bf_00a8_59c4_ba3f);
    }

    #[test]
    fn the_ring_has_at_least_its_minimum_and_whole_numbers_by_weight() {
        let sizes = |names: &[&str], least| Ring::new(&equal(names), (least, 1 << 23)).size();
        assert_eq!(sizes(&["a", "b", "c", "d"], 1024), 1024);
        // 342 points each: 1024 / 3 rounded up.
        assert_eq!(sizes(&["a", "b", "c"], 1024), 1026);
        assert_eq!(Ring::new(&equal(&["a", "b", "c"]), (1024, 100)).size(), 100);
        let weighted = [("a".to_owned(), 1.0), ("b".to_owned(), 3.0)];
        let ring = Ring::new(&weighted, (8, 1 << 23));
        assert_eq!(ring.points.iter().filter(|(_, one)| *one == 1).count(), 6);
        assert_eq!(Ring::default().pick(7, 0), None);
    }

    /// Family e07, `ring_hash_4000_keys`: 380 of 2958 keys of the surviving endpoints moved (12.8 %).
    #[test]
    fn removing_one_of_four_moves_an_eighth_of_the_other_keys() {
        let four =
            Ring::new(&equal(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]), (1024, 1 << 23));
        let three = Ring::new(&equal(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]), (1024, 1 << 23));
        let (mut stayed, mut moved) = (0, 0);
        for key in 0..4000 {
            let hash = xx_hash(format!("user-{key}").as_bytes(), 0);
            match four.pick(hash, 0) {
                Some(3) => {}
                before if before == three.pick(hash, 0) => stayed += 1,
                _ => moved += 1,
            }
        }
        let share = f64::from(moved) / f64::from(stayed + moved);
        assert!((0.08..0.18).contains(&share), "{moved} of {}", stayed + moved);
    }

    #[test]
    fn a_further_attempt_takes_the_next_point() {
        let ring = Ring::new(&equal(&["a", "b"]), (16, 16));
        let last = ring.points.last().expect("points").0;
        assert_eq!(ring.pick(last, 1), Some(ring.points[0].1 as usize));
        assert_eq!(ring.pick(last.wrapping_add(1), 0), ring.pick(0, 0));
    }
}
