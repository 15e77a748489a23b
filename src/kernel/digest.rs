//! The digest: a fingerprint of all events of a run, and a ladder of it over time.
//!
//! The fold, named `meshsim-fold-1`: a 128-bit state, `s ← rotl64((s ⊕ x) · M)` for each event,
//! with x = time · 2^64 + (owner ⊕ kind · K), M and K odd constants. Both steps are bijections of
//! the state, so a single difference never cancels; the rotation brings the product's high half,
//! on which all bits act, down to where the next product spreads it. The value is the state after
//! one more such step. Runs that agree in their digest had the same events in the same order; for
//! runs that do not, the ladder tells in which of 256 slices of time they parted, and in which
//! kinds.
//!
//! Source: the multiply-and-fold of FNV and wyhash; FoundationDB's "unseed" for the idea.
//! Left out: resistance to somebody who wants a collision.

use super::bytes::Bytes as _;
use super::time::{Duration, Time};
use std::fmt::Write as _;

/// The first 128 bits of the fractional part of pi: nothing up the sleeve.
const START: u128 = 0x243f_6a88_85a3_08d3_1319_8a2e_0370_7344;
/// Odd; the 128-bit multiplier of PCG.
const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;
/// Odd; 2^64 divided by the golden ratio, so that kinds differ in many bits.
const KIND: u64 = 0x9e37_79b9_7f4a_7c15;
/// Slices of a run in its ladder.
const RUNGS: u32 = 256;
/// Kinds that a ladder counts.
const KINDS: usize = 128;

/// A running 128-bit fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digest(u128);

impl Default for Digest {
    fn default() -> Self {
        Self::new()
    }
}

impl Digest {
    /// The digest of nothing.
    pub const fn new() -> Self {
        Self(START)
    }

    /// Adds an event: its time, the written code of its kind, and the hash of its owner's name.
    #[inline]
    pub fn fold(&mut self, time: Time, kind: u16, owner: u64) {
        let low = owner ^ u64::from(kind).wrapping_mul(KIND);
        self.mix(u128::from(time.ns()) << 64 | u128::from(low));
    }

    /// Adds any data; the split into calls matters.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(16) {
            let mut word = [0; 16];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u128::from_le_bytes(word));
        }
        self.mix(bytes.len() as u128);
    }

    /// The fingerprint of all that was folded so far.
    pub fn value(&self) -> u128 {
        let mut last = *self;
        last.mix(0);
        last.0
    }

    /// The value in 32 hexadecimal digits.
    pub fn hex(&self) -> String {
        let mut hex = String::with_capacity(32);
        write!(hex, "{:032x}", self.value()).expect("a string takes all that is written");
        hex
    }

    #[inline]
    fn mix(&mut self, word: u128) {
        self.0 = (self.0 ^ word).wrapping_mul(MULTIPLIER).rotate_left(64);
    }
}

/// The digest at the end of each of 256 equal slices of a run, with the events of each by kind.
pub struct Ladder {
    duration: Duration,
    /// The end of the slice being counted; beyond every event in the last.
    until_ns: u64,
    counts: [u64; KINDS],
    rungs: Vec<Rung>,
}

/// One slice of a [`Ladder`], from the end of the one before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rung {
    /// The slice's end: events at this time belong to the next slice, but for the last.
    pub until: Time,
    /// The digest's value there.
    pub digest: u128,
    /// Events in the slice by kind, those with any.
    pub events: Vec<(u16, u64)>,
}

impl Ladder {
    /// The ladder of a run of `duration`.
    pub fn new(duration: Duration) -> Self {
        let mut ladder = Self {
            duration,
            until_ns: 0,
            counts: [0; KINDS],
            rungs: Vec::with_capacity(RUNGS as usize),
        };
        ladder.until_ns = ladder.end_of(0);
        ladder
    }

    /// Counts an event of a kind below 128; `digest_before` does not hold it yet.
    #[inline]
    pub fn record(&mut self, time: Time, kind: u16, digest_before: &Digest) {
        if self.until_ns <= time.ns() {
            self.climb(time, digest_before);
        }
        self.counts[usize::from(kind)] += 1;
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let events = self.rungs.iter().map(|rung| rung.events.bytes()).sum::<usize>();
        self.rungs.bytes() + events
    }

    /// All 256 rungs, given the digest at the end of the run.
    pub fn finish(mut self, digest: &Digest) -> Vec<Rung> {
        while self.rungs.len() < RUNGS as usize {
            self.close_rung(digest);
        }
        self.rungs
    }

    #[cold]
    fn climb(&mut self, time: Time, digest: &Digest) {
        while self.until_ns <= time.ns() {
            self.close_rung(digest);
        }
    }

    fn close_rung(&mut self, digest: &Digest) {
        let rung = self.rungs.len();
        let counts = (0..).zip(std::mem::replace(&mut self.counts, [0; KINDS]));
        self.rungs.push(Rung {
            until: Time::from_ns(self.slice_end(rung)),
            digest: digest.value(),
            events: counts.filter(|&(_, count)| count != 0).collect(),
        });
        self.until_ns = self.end_of(rung + 1);
    }

    /// The end of a slice for counting: the last takes all that comes.
    fn end_of(&self, rung: usize) -> u64 {
        if rung + 1 < RUNGS as usize { self.slice_end(rung) } else { u64::MAX }
    }

    #[expect(clippy::cast_possible_truncation, reason = "at most the duration")]
    fn slice_end(&self, rung: usize) -> u64 {
        (u128::from(self.duration.ns()) * (rung as u128 + 1) / u128::from(RUNGS)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(events: &[(u64, u16, u64)]) -> u128 {
        let mut digest = Digest::new();
        for &(time, kind, owner) in events {
            digest.fold(Time::from_ns(time), kind, owner);
        }
        digest.value()
    }

    #[test]
    fn any_small_change_of_the_events_changes_the_digest() {
        let base = digest(&[(10, 1, 100), (10, 2, 200), (11, 1, 100)]);
        let changed = [
            digest(&[(10, 2, 200), (10, 1, 100), (11, 1, 100)]),
            digest(&[(10, 1, 100), (11, 1, 100), (10, 2, 200)]),
            digest(&[(10, 1, 200), (10, 2, 100), (11, 1, 100)]),
            digest(&[(10, 2, 100), (10, 2, 200), (11, 1, 100)]),
            digest(&[(10, 1, 101), (10, 2, 200), (11, 1, 100)]),
            digest(&[(9, 1, 100), (10, 2, 200), (11, 1, 100)]),
            digest(&[(10, 1, 100), (10, 2, 200), (12, 1, 100)]),
            digest(&[(10, 1, 100), (10, 2, 200)]),
            digest(&[(10, 1, 100), (10, 2, 200), (11, 1, 100), (0, 0, 0)]),
        ];
        for other in changed {
            assert_ne!(base, other);
        }
        assert_eq!(base, digest(&[(10, 1, 100), (10, 2, 200), (11, 1, 100)]));
    }

    #[test]
    fn a_difference_spreads_over_half_of_the_bits_in_two_events() {
        for bit in 0..60 {
            let one = digest(&[(5, 1, 7), (6, 1, 7), (7, 1, 7)]);
            let two = digest(&[(5 ^ 1 << bit, 1, 7), (6, 1, 7), (7, 1, 7)]);
            let flips = (one ^ two).count_ones();
            assert!((34..=94).contains(&flips), "bit {bit} of the time flips {flips}");
        }
    }

    #[test]
    fn the_fold_never_changes() {
        // Every committed baseline rests on this number.
        let mut all = Digest::new();
        all.fold(Time::from_ns(1), 2, 3);
        all.bytes(b"meshsim");
        assert_eq!(all.hex(), "94fefb4bdcc05e2eb7a54de2f2b32f97");
    }

    #[test]
    fn bytes_know_their_length() {
        let of = |parts: &[&[u8]]| {
            let mut digest = Digest::new();
            for part in parts {
                digest.bytes(part);
            }
            digest.value()
        };
        assert_ne!(of(&[b"a"]), of(&[b"a\0"]));
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
    }

    #[test]
    fn a_ladder_locates_events_by_slice_and_kind() {
        let mut ladder = Ladder::new(Duration::from_ns(2_560));
        let mut digest = Digest::new();
        let mut values = vec![digest.value()];
        for (time, kind) in [(0, 3), (9, 3), (10, 5), (2_560, 5), (9_999, 5)] {
            ladder.record(Time::from_ns(time), kind, &digest);
            digest.fold(Time::from_ns(time), kind, 1);
            values.push(digest.value());
        }
        let rungs = ladder.finish(&digest);
        assert_eq!(rungs.len(), 256);
        let rung = |until, digest, events| Rung { until: Time::from_ns(until), digest, events };
        assert_eq!(rungs[0], rung(10, values[2], vec![(3, 2)]));
        assert_eq!(rungs[1], rung(20, values[3], vec![(5, 1)]));
        assert_eq!(rungs[2], rung(30, values[3], vec![]));
        assert_eq!(rungs[255], rung(2_560, values[5], vec![(5, 2)]));
    }

    #[test]
    fn a_run_of_no_length_still_has_its_rungs() {
        let mut ladder = Ladder::new(Duration::ZERO);
        ladder.record(Time::ZERO, 1, &Digest::new());
        let rungs = ladder.finish(&Digest::new());
        assert_eq!((rungs.len(), &rungs[255].events), (256, &vec![(1, 1)]));
    }
}
