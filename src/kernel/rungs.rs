//! What is to come later, in buckets that are sorted only when their time has come.
//!
//! A *rung* cuts a range of keys into buckets of equal width. The least bucket of the last rung is
//! the next to be taken: a few keys are given out, more are cut into a rung of their own, which
//! comes before what is left of the rung above. The last bucket of a rung takes all that is beyond
//! its width, up to where the next bucket of the rung above begins, so that each key has a place:
//!
//! ```text
//! rung 1   | . | taken | 3 |   | 1 |  ...            | 40: all that is later |
//! rung 2            /  | 2 |   | 5 | ...  | 7: up to 3's first |
//! ```
//!
//! So a key is moved a few times, by shifting bits, whether a hundred are waiting or a million.
//!
//! Source: Tang, Goh & Thng, "Ladder queue: an O(1) priority queue structure for large-scale
//! discrete event simulation" (ACM TOMACS 15(3), 2005), with all that is far in the last bucket of
//! the first rung, where they have a list of its own, and widths that are powers of two.
//! Left out: removal in the middle (lanes unlink their own timers; see `queue`).

use super::bytes::Bytes as _;

/// More than each key: no event has it, for its kind is not one that callers may use.
pub(super) const EMPTY: u128 = u128::MAX;
/// Buckets of a rung.
const BUCKETS: usize = 256;
/// The bucket of all that is beyond the width of its rung.
const LAST: usize = BUCKETS - 1;
/// Buckets that have their bits in one word.
const WORD: usize = 64;
/// Keys that are given out at once, if there are as many in buckets of fewer than `CROWD`.
const ENOUGH: usize = 6;
/// Keys that are cut into a rung and not given out.
const CROWD: usize = 24;
/// No node: the end of a bucket and of the free list.
const NIL: u32 = u32::MAX;
/// The half of a key that tells its time, to 16 parts of a nanosecond.
const HALF: u32 = 64;

/// A store of keys; equal keys do not occur.
pub(super) struct Rungs {
    /// Those in use, each in the range of one bucket of that before, which is empty; then empty
    /// ones, kept for later.
    stack: Vec<Rung>,
    /// Rungs in use.
    depth: usize,
    /// No key here is less; [`EMPTY`] if there is none.
    least: u128,
    nodes: Vec<Node>,
    /// The first node of the free list, linked by `next`.
    free: u32,
}

struct Rung {
    start: u128,
    /// Keys from here on stand in the rungs before.
    end: u128,
    /// The width of a bucket, a power of two.
    shift: u32,
    /// A bit for each bucket with keys in it.
    occupied: [u64; BUCKETS / WORD],
    /// The words before this one are 0.
    word: usize,
    buckets: [Bucket; BUCKETS],
}

#[derive(Clone, Copy)]
struct Bucket {
    head: u32,
    count: u32,
}

/// A key and the next of its bucket.
#[derive(Clone, Copy)]
struct Node {
    key: u128,
    next: u32,
}

impl Rungs {
    pub(super) fn new() -> Self {
        Self { stack: Vec::new(), depth: 0, least: EMPTY, nodes: Vec::new(), free: NIL }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let buckets = self.stack.iter().flat_map(|rung| &rung.buckets);
        buckets.map(|bucket| bucket.count as usize).sum()
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.stack.bytes() + self.nodes.bytes()
    }

    /// No key here is less than this; [`EMPTY`] if there is none.
    #[inline]
    pub(super) fn least(&self) -> u128 {
        self.least
    }

    /// Adds a key that is not less than [`Rungs::least`].
    pub(super) fn push(&mut self, key: u128) {
        debug_assert!(self.least <= key && key != EMPTY);
        let node = self.node(key);
        let rung = self.stack[..self.depth].iter_mut().rev().find(|rung| key < rung.end);
        rung.expect("the first rung has no end").link(&mut self.nodes, node);
    }

    /// Adds keys that are less than all that are here, with those to come up to the least.
    pub(super) fn put_before(&mut self, keys: &[u128]) {
        let (Some(&least), Some(&greatest)) = (keys.iter().min(), keys.iter().max()) else {
            return;
        };
        self.cut(keys.len(), least, greatest, self.least);
        self.least = least;
        for &key in keys {
            self.push(key);
        }
    }

    /// Takes the least keys, a few more than none if there are any, in any order.
    pub(super) fn take(&mut self, mut give: impl FnMut(u128)) {
        let mut given = 0;
        while let Some(last) = self.depth.checked_sub(1) {
            let rung = &mut self.stack[last];
            let Some(place) = rung.first() else {
                self.least = rung.end;
                self.depth = last;
                if given == 0 {
                    continue;
                }
                return;
            };
            let Bucket { head, count } = rung.buckets[place];
            if CROWD < given + count as usize {
                if given != 0 {
                    self.least = rung.start_of(place);
                    return;
                }
                rung.empty(place);
                self.spread(head, place);
                continue;
            }
            rung.empty(place);
            given += count as usize;
            let mut at = head;
            while let Some(node) = self.nodes.get_mut(at as usize) {
                give(node.key);
                let next = std::mem::replace(&mut node.next, self.free);
                self.free = std::mem::replace(&mut at, next);
            }
            if ENOUGH <= given {
                self.least = rung.first().map_or(rung.end, |next| rung.start_of(next));
                return;
            }
        }
        self.least = EMPTY;
    }

    /// Cuts the keys of what was the bucket `place` of the last rung into a rung of their own.
    fn spread(&mut self, head: u32, place: usize) {
        let (mut count, mut least, mut greatest) = (0, EMPTY, 0);
        let mut at = head;
        while let Some(node) = self.nodes.get(at as usize) {
            count += 1;
            (least, greatest) = (least.min(node.key), greatest.max(node.key));
            at = node.next;
        }
        let rung = &self.stack[self.depth - 1];
        let end = if place == LAST { rung.end } else { rung.start_of(place + 1) };
        // A rung that has nothing else has done its part.
        if end == rung.end && rung.occupied == [0; BUCKETS / WORD] {
            self.depth -= 1;
        }
        self.cut(count, least, greatest, end);
        let rung = &mut self.stack[self.depth - 1];
        let mut at = head;
        while let Some(node) = self.nodes.get(at as usize) {
            let next = node.next;
            rung.link(&mut self.nodes, at);
            at = next;
        }
    }

    /// A rung of about one key a bucket, for so many from `least` to `greatest`.
    fn cut(&mut self, count: usize, least: u128, greatest: u128, end: u128) {
        let bits = u128::BITS - (greatest - least).leading_zeros();
        let shift = bits.saturating_sub(count.min(BUCKETS).ilog2());
        if self.depth == self.stack.len() {
            self.stack.push(Rung::EMPTY);
        }
        let rung = &mut self.stack[self.depth];
        let start = if shift < HALF { least } else { least >> HALF << HALF };
        (rung.start, rung.end, rung.shift, rung.word) = (start, end, shift, 0);
        self.depth += 1;
    }

    #[inline]
    fn node(&mut self, key: u128) -> u32 {
        if self.nodes.len() <= self.free as usize {
            self.grow();
        }
        let id = self.free;
        let place = &mut self.nodes[id as usize];
        self.free = place.next;
        place.key = key;
        id
    }

    /// A node for the free list.
    #[cold]
    fn grow(&mut self) {
        self.free = u32::try_from(self.nodes.len()).expect("more than 2^32 events");
        self.nodes.push(Node { key: EMPTY, next: NIL });
    }
}

impl Rung {
    const EMPTY: Self = {
        let buckets = [Bucket { head: NIL, count: 0 }; BUCKETS];
        Self { start: 0, end: 0, shift: 0, occupied: [0; BUCKETS / WORD], word: 0, buckets }
    };

    /// The first bucket with keys in it.
    #[inline]
    fn first(&mut self) -> Option<usize> {
        loop {
            let word = *self.occupied.get(self.word)?;
            if word != 0 {
                return Some(self.word * WORD + word.trailing_zeros() as usize);
            }
            self.word += 1;
        }
    }

    /// The least key that the bucket may hold; the rung's end, where that is beyond all keys.
    fn start_of(&self, bucket: usize) -> u128 {
        let width = (1_u128 << self.shift).checked_mul(bucket as u128);
        width.map_or(self.end, |width| self.start.saturating_add(width).min(self.end))
    }

    fn empty(&mut self, bucket: usize) {
        self.occupied[bucket / WORD] &= !(1 << (bucket % WORD));
        self.buckets[bucket] = Bucket { head: NIL, count: 0 };
    }

    /// Puts a node into its bucket.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "what is left of a key after its shift")]
    fn link(&mut self, nodes: &mut [Node], id: u32) {
        let node = &mut nodes[id as usize];
        // Where a bucket is wide, as most are, the lower halves are of no account.
        let place = match self.shift.checked_sub(HALF) {
            Some(shift) => ((node.key >> HALF) as u64 - (self.start >> HALF) as u64) >> shift,
            None => ((node.key - self.start) >> self.shift).min(LAST as u128) as u64,
        };
        let place = place.min(LAST as u64) as usize;
        self.occupied[place / WORD] |= 1 << (place % WORD);
        let bucket = &mut self.buckets[place];
        node.next = bucket.head;
        *bucket = Bucket { head: id, count: bucket.count + 1 };
    }
}
