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
//! The place of a key that was taken from the top stays open until the next call: if that is a
//! push, as after most events, the new key goes down from the top, and nothing else moves.
//!
//! Source: LaMarca & Ladner, "The influence of caches on the performance of heaps" (1996).
//! Left out: removal in the middle (lanes unlink their own timers; see `queue`).

/// The key of an empty place. No event has it: its kind is not one that callers may use.
const EMPTY: u128 = u128::MAX;
/// The place of the least key: the last of the first line, so that children start a line.
const TOP: usize = 3;

/// Four siblings, one cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u128; 4]);

/// A min-heap of keys; equal keys do not occur.
pub(super) struct Heap {
    lines: Vec<Line>,
    /// The first free place.
    end: usize,
    /// The top's key was taken and its place is not filled yet.
    is_open: bool,
}

impl Heap {
    pub(super) fn new() -> Self {
        Self { lines: vec![Line([EMPTY; 4])], end: TOP, is_open: false }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.end - TOP - usize::from(self.is_open)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.lines.capacity() * size_of::<Line>()
    }

    /// The least key.
    pub(super) fn top(&mut self) -> Option<u128> {
        if self.is_open {
            self.close();
        }
        (self.end != TOP).then(|| self.key(TOP))
    }

    pub(super) fn push(&mut self, key: u128) {
        debug_assert!(key != EMPTY);
        if self.is_open {
            self.is_open = false;
            return self.replace_top(key);
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

    /// Takes the least key away, which was asked for.
    pub(super) fn pop(&mut self) {
        debug_assert!(!self.is_open && self.end != TOP, "the top was asked for");
        self.is_open = true;
    }

    /// Fills the open place of the top with the last key.
    fn close(&mut self) {
        self.is_open = false;
        self.end -= 1;
        let last = self.key(self.end);
        self.put(self.end, EMPTY);
        if self.end != TOP {
            self.replace_top(last);
        }
    }

    /// Puts `key` in the place of the least one, in one pass down.
    pub(super) fn replace_top(&mut self, key: u128) {
        debug_assert!(!self.is_open, "the top was asked for");
        let mut hole = TOP;
        // The children of `hole` are line `hole − 2`.
        while let Some(&Line([a, b, c, d])) = self.lines.get(hole - 2) {
            let (left, left_at) = if b < a { (b, 1) } else { (a, 0) };
            let (right, right_at) = if d < c { (d, 3) } else { (c, 2) };
            let (least, at) = if right < left { (right, right_at) } else { (left, left_at) };
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
                assert_eq!(heap.top(), Some(key));
                heap.pop();
            }
            assert_eq!(heap.top(), None);
        }
    }

    #[test]
    fn replacing_the_top_is_a_pop_and_a_push() {
        let mut heap = Heap::new();
        for key in [5, 3, 9, 1, 7, 8] {
            heap.push(key);
        }
        heap.replace_top(6);
        let mut out = Vec::new();
        while let Some(key) = heap.top() {
            out.push(key);
            heap.pop();
        }
        assert_eq!(out, [3, 5, 6, 7, 8, 9]);
    }
}
