//! A 4-ary min-heap of `u128` keys, the store behind the event queue.
//!
//! The four children of a node lie in one cache line, and empty places hold the largest key, so
//! that the least child is found without a branch on the heap's length:
//!
//! ```text
//! place   3 | 4 5 6 7 | 8 9 10 11 | ..      children of p: 4p − 8 .. 4p − 5
//!        top  its four  those of 4           parent of p:   p / 4 + 2
//! ```
//!
//! When the top's key is taken, the least of its four moves up, and the place that it leaves stays
//! open until the next call: if that is a push, as after most events, the new key goes down from
//! there, and nothing else moves.
//!
//! Source: LaMarca & Ladner, "The influence of caches on the performance of heaps" (1996).
//! Left out: removal in the middle (lanes unlink their own timers; see `queue`).

/// The key of an empty place. No event has it: its kind is not one that callers may use.
pub(super) const EMPTY: u128 = u128::MAX;
/// The place of the least key: the last of the first line, so that children start a line.
const TOP: usize = 3;
/// No place: those below the top's are not used.
const NONE: usize = 0;

/// Four siblings, one cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u128; 4]);

/// A min-heap of keys; equal keys do not occur.
pub(super) struct Heap {
    lines: Vec<Line>,
    /// The first free place.
    end: usize,
    /// The open place, one of the top's four; [`NONE`] if there is none.
    hole: usize,
}

impl Heap {
    pub(super) fn new() -> Self {
        Self { lines: vec![Line([EMPTY; 4])], end: TOP, hole: NONE }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.end - TOP - usize::from(self.hole != NONE)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.lines.capacity() * size_of::<Line>()
    }

    /// The least key; [`EMPTY`] if there is none.
    #[inline]
    pub(super) fn least(&self) -> u128 {
        self.key(TOP)
    }

    pub(super) fn push(&mut self, key: u128) {
        debug_assert!(key != EMPTY);
        if self.hole != NONE {
            let hole = std::mem::replace(&mut self.hole, NONE);
            let top = self.key(TOP);
            self.put(TOP, top.min(key));
            return self.sink(hole, top.max(key));
        }
        let mut hole = self.end;
        self.end += 1;
        if hole / 4 == self.lines.len() {
            self.lines.push(Line([EMPTY; 4]));
        }
        while hole != TOP {
            let parent = hole / 4 + 2;
            let above = self.key(parent);
            if above < key {
                break;
            }
            self.put(hole, above);
            hole = parent;
        }
        self.put(hole, key);
    }

    /// Takes the least key.
    pub(super) fn pop(&mut self) -> Option<u128> {
        if self.hole != NONE {
            self.fill();
        }
        let top = self.key(TOP);
        let (least, at) = self.lines.get(1).map_or((EMPTY, 0), |Line(four)| least_of(four));
        self.put(TOP, least);
        if least == EMPTY {
            self.end = TOP;
        } else {
            self.hole = TOP + 1 + at;
        }
        (top != EMPTY).then_some(top)
    }

    /// Fills the open place with the last key.
    fn fill(&mut self) {
        let hole = std::mem::replace(&mut self.hole, NONE);
        self.end -= 1;
        let last = self.key(self.end);
        self.put(self.end, EMPTY);
        if hole != self.end {
            self.sink(hole, last);
        }
    }

    /// Puts `key`, which is no less than what stands above `hole`, there or further down.
    fn sink(&mut self, mut hole: usize, key: u128) {
        // The children of `hole` are line `hole − 2`.
        while let Some(Line(children)) = self.lines.get(hole - 2) {
            let (least, at) = least_of(children);
            if key < least {
                break;
            }
            self.put(hole, least);
            hole = 4 * hole - 8 + at;
        }
        self.put(hole, key);
    }

    fn key(&self, place: usize) -> u128 {
        self.lines[place / 4].0[place % 4]
    }

    fn put(&mut self, place: usize, key: u128) {
        self.lines[place / 4].0[place % 4] = key;
    }
}

/// The least of four keys, and which one it is.
#[inline]
fn least_of(&[a, b, c, d]: &[u128; 4]) -> (u128, usize) {
    let (left, left_at) = if b < a { (b, 1) } else { (a, 0) };
    let (right, right_at) = if d < c { (d, 3) } else { (c, 2) };
    if right < left { (right, right_at) } else { (left, left_at) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::stream::draw_at;

    #[test]
    fn keys_come_out_in_order_whatever_the_size() {
        for size in 0..70_u64 {
            let mut heap = Heap::new();
            let mut keys: Vec<u128> =
                (0..size).map(|n| u128::from(draw_at(1, "heap", size, n))).collect();
            for &key in &keys {
                heap.push(key);
            }
            keys.sort_unstable();
            assert_eq!(heap.len(), keys.len());
            for key in keys {
                assert_eq!(heap.least(), key);
                assert_eq!(heap.pop(), Some(key));
            }
            assert_eq!((heap.least(), heap.pop()), (EMPTY, None));
        }
    }

    #[test]
    fn a_push_after_a_pop_takes_the_open_place() {
        let mut heap = Heap::new();
        for key in [5, 3, 9, 1, 7, 8] {
            heap.push(key);
        }
        assert_eq!((heap.pop(), heap.least()), (Some(1), 3));
        heap.push(6);
        let out: Vec<_> = std::iter::from_fn(|| heap.pop()).collect();
        assert_eq!(out, [3, 5, 6, 7, 8, 9]);
    }
}
