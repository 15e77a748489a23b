//! Random numbers: named streams, and draws that belong to one request.
//!
//! A [`Stream`] is named by (seed, purpose, owner) and never drawn from another stream, so one
//! owner more or one draw more moves nobody else's numbers. It is ChaCha8: the seed and the hash
//! of the purpose are its key, the hash of the owner's name its stream id. A [`Key`] is drawn once
//! for a request; each draw of that request is a fixed function of (key, attempt, purpose), so two
//! variants of a run stay in step even where one of them retries.
//!
//! Source: Bernstein, "ChaCha, a variant of Salsa20" (2008); Fowler, Noll & Vo's FNV-1a; Stafford,
//! "Better bit mixing" (2011), variant 13, the finaliser of SplitMix64 (Steele, Lea & Flood 2014).
//! Left out: security. These numbers are for simulation.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Odd, and far from every small multiple of the others: 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// Odd, with bits as good as random: separates attempts from purposes.
const ATTEMPT: u64 = 0xd1b5_4a32_d192_ed03;
/// Separates the keys of children from a key's own draws.
const CHILD: u64 = 0x8cb9_2ba7_2f3d_8dd7;

/// A stable 64-bit hash of a name: FNV-1a, then Stafford's mix, so that all bits count.
pub fn name_hash(name: &str) -> u64 {
    let fnv = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(fnv)
}

/// Stafford's variant 13: a bijection of which each output bit depends on each input bit.
#[inline(always)]
const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The random numbers of one purpose of one owner.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream named by (seed, purpose, owner).
    pub fn new(seed: u64, purpose: &str, owner: &str) -> Self {
        Self::by_hash(seed, purpose, name_hash(owner))
    }

    /// The same, where the owner's [`name_hash`] is known.
    pub fn by_hash(seed: u64, purpose: &str, owner: u64) -> Self {
        let mut key = *b"................meshsim stream 1";
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&name_hash(purpose).to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(owner);
        Self(rng)
    }

    /// The next 64 bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// The `n`-th number, from 0, of the stream that [`Stream::by_hash`] names, without keeping it: for
/// owners that draw so seldom that 300 bytes of state each would be too much.
pub fn draw_at(seed: u64, purpose: &str, owner: u64, n: u64) -> u64 {
    let mut stream = Stream::by_hash(seed, purpose, owner);
    // A position counts 32-bit words.
    stream.0.set_word_pos(2 * u128::from(n));
    stream.next_u64()
}

/// What a request's random numbers are made from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key(pub u64);

impl Key {
    /// The key of the `index`-th hop below this one.
    #[must_use]
    #[inline]
    pub fn child(self, index: u32) -> Self {
        Self(Draws(mix(self.0.wrapping_add(CHILD))).draw(index))
    }

    /// The 64 bits for one purpose in one attempt.
    #[inline(always)]
    pub fn draw(self, attempt: u32, purpose: u32) -> u64 {
        self.attempt(attempt).draw(purpose)
    }

    /// The draws of one attempt.
    #[inline(always)]
    pub fn attempt(self, attempt: u32) -> Draws {
        Draws(mix(self.0.wrapping_add(u64::from(attempt).wrapping_mul(ATTEMPT))))
    }
}

/// What the random numbers of one attempt are made from: the first of two rounds, which make that
/// neighbours in any argument have nothing in common.
#[derive(Clone, Copy, Debug)]
pub struct Draws(u64);

impl Draws {
    /// The 64 bits for one purpose.
    #[inline(always)]
    pub fn draw(self, purpose: u32) -> u64 {
        mix(self.0.wrapping_add((u64::from(purpose) + 1).wrapping_mul(GOLDEN)))
    }
}

/// A number in [0, 1) from the top 53 bits of a draw.
#[inline]
pub fn uniform(draw: u64) -> f64 {
    (draw >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// A number below `n`, which is at least 1. Its bias is below n / 2^64.
#[expect(clippy::cast_possible_truncation, reason = "the product's high half is below n")]
#[inline(always)]
pub fn below(draw: u64, n: usize) -> usize {
    debug_assert!(1 <= n);
    ((u128::from(draw) * n as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_streams_never_change() {
        // Every golden digest rests on these numbers, which a program in another language gave.
        assert_eq!(name_hash(""), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(name_hash("reviews"), 0x7e30_9100_4fb5_fd70);
        let mut stream = Stream::new(7, "arrivals", "reviews");
        assert_eq!(
            [stream.next_u64(), stream.next_u64()],
            [0xe230_15ac_4af1_2ad4, 0x3df0_8d28_e395_8f4c]
        );
        assert_eq!(Key(1).draw(2, 3), 0x6837_9704_03bd_51a0);
        assert_eq!(Key(1).child(5), Key(0x0590_b878_ad2c_dd8c));
    }

    #[test]
    fn a_stream_is_its_name() {
        let draws = |mut stream: Stream| [(); 4].map(|()| stream.next_u64());
        let base = draws(Stream::new(1, "a", "x"));
        assert_eq!(base, draws(Stream::by_hash(1, "a", name_hash("x"))));
        for other in [Stream::new(2, "a", "x"), Stream::new(1, "b", "x"), Stream::new(1, "a", "y")]
        {
            assert_ne!(base, draws(other));
        }
    }

    #[test]
    fn a_single_draw_is_the_one_of_the_stream() {
        let mut stream = Stream::by_hash(3, "boot", 42);
        for n in 0..200 {
            assert_eq!(stream.next_u64(), draw_at(3, "boot", 42, n));
        }
    }

    #[test]
    fn uniform_and_below_reach_both_ends_and_no_further() {
        assert_eq!(uniform(0).to_bits(), 0.0_f64.to_bits());
        assert!(uniform(u64::MAX) < 1.0);
        assert_eq!((below(0, 7), below(u64::MAX, 7), below(u64::MAX, 1)), (0, 6, 0));
    }

    /// All (attempt, purpose) pairs and children that a request is likely to use.
    fn draws(key: u64) -> Vec<u64> {
        let key = Key(key);
        let own = (0..4).flat_map(|attempt| (0..6).map(move |purpose| key.draw(attempt, purpose)));
        own.chain((0..4).map(|index| key.child(index).draw(0, 0))).collect()
    }

    #[test]
    fn each_draw_is_uniform_over_neighbouring_keys() {
        // Chi-square of the top and of the low byte over 2^14 keys: 255 degrees of freedom, so a
        // mean of 255 and a deviation of 22.6; seven deviations over 56 statistics.
        let keys = 1 << 14;
        let mut counts = vec![[[0_u32; 256]; 2]; draws(0).len()];
        for key in 0..keys {
            for (count, draw) in counts.iter_mut().zip(draws(key)) {
                let bytes = draw.to_le_bytes();
                count[0][usize::from(bytes[0])] += 1;
                count[1][usize::from(bytes[7])] += 1;
            }
        }
        let expected = keys as f64 / 256.0;
        for cells in counts.as_flattened() {
            let chi: f64 = cells
                .iter()
                .map(|&cell| (f64::from(cell) - expected) * (f64::from(cell) - expected) / expected)
                .sum();
            assert!((chi - 255.0).abs() < 7.0 * 22.6, "chi-square {chi}");
        }
    }

    #[test]
    fn no_bit_of_one_draw_follows_a_bit_of_another() {
        // For each pair of draws, the agreement of bit i with bits i, i + 1 and i + 32 over 4096
        // keys that differ in few bits: binomial, deviation 32; seven of them.
        let count = draws(0).len();
        // One word holds one bit of one draw for 64 keys.
        let mut columns = vec![vec![[0_u64; 64]; 64]; count];
        for key in 0..4096_usize {
            for (column, draw) in columns.iter_mut().zip(draws((key as u64) << 20)) {
                for (bit, words) in column.iter_mut().enumerate() {
                    words[key / 64] |= (draw >> bit & 1) << (key % 64);
                }
            }
        }
        let differ = |one: &[u64; 64], two: &[u64; 64]| {
            one.iter().zip(two).map(|(one, two)| (one ^ two).count_ones()).sum::<u32>()
        };
        for one in 0..count {
            for two in one + 1..count {
                for (bit, turn) in (0..64).flat_map(|bit| [(bit, 0), (bit, 1), (bit, 32)]) {
                    let count = differ(&columns[one][bit], &columns[two][(bit + turn) % 64]);
                    assert!(count.abs_diff(2048) < 7 * 32, "{one} and {two}, {bit}: {count}");
                }
            }
        }
    }

    #[test]
    fn a_flipped_bit_of_the_key_flips_half_of_the_draw() {
        for bit in 0..64 {
            let flips: u32 = (0..1000_u64)
                .map(|n| {
                    let key = n.wrapping_mul(GOLDEN);
                    (Key(key).draw(1, 2) ^ Key(key ^ 1 << bit).draw(1, 2)).count_ones()
                })
                .sum();
            // 64,000 coins: mean 32,000, deviation 126.
            assert!(flips.abs_diff(32_000) < 7 * 126, "bit {bit}: {flips}");
        }
    }
}
