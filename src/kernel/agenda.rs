//! The keys of what is to come: the next few in order, the others in a heap.
//!
//! A simulation schedules most of what it does just before it does it. So the soonest keys stand in
//! a short sorted list, where the next one is taken from the end and a new one finds its place in a
//! few steps; what is later than the least key of the heap goes there at once. All keys of the list
//! are less than all of the heap. A list that grows too long gives its later half to the heap, and
//! one that is empty is passed by, so that a crowded run costs what its heap costs.
//!
//! ```text
//! taken <── soonest, ... latest of the list  <  least of the heap, ...
//! ```
//!
//! Source: insertion sort, for what is nearly sorted; docs/speed.md.
//! Left out: filling the list from the heap: each key would be moved once more.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use super::heap::{EMPTY, Heap};

/// Entries of a full list: 8 cache lines.
const FULL: usize = 32;

/// Keys in order; equal keys do not occur.
pub(super) struct Agenda {
    /// The first `count` of them, from the latest to the soonest.
    list: [u128; FULL],
    count: usize,
    heap: Heap,
}

impl Agenda {
    pub(super) fn new() -> Self {
        Self { list: [0; FULL], count: 0, heap: Heap::new() }
    }

    /// Bytes held beside the agenda itself.
    pub(super) fn bytes(&self) -> usize {
        self.heap.bytes()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.count + self.heap.len()
    }

    /// Whether `key` is among the next few.
    #[inline]
    pub(super) fn is_soon(&self, key: u128) -> bool {
        key < self.heap.least()
    }

    /// Adds a key.
    pub(super) fn push(&mut self, key: u128) {
        if self.is_soon(key) {
            self.insert(key, |before| before < key);
        } else {
            self.heap.push(key);
        }
    }

    /// Adds a key that is greater than those with which it shares its upper half: of two that
    /// fire at one time, the one that was set later.
    #[inline]
    pub(super) fn push_new(&mut self, key: u128) {
        if self.is_soon(key) {
            self.push_soon(key);
        } else {
            self.heap.push(key);
        }
    }

    /// The same for one that is among the next few.
    #[inline]
    pub(super) fn push_soon(&mut self, key: u128) {
        self.insert(key, |before| before >> 64 <= key >> 64);
    }

    #[inline(always)]
    fn insert(&mut self, key: u128, is_sooner: impl Fn(u128) -> bool) {
        if FULL <= self.count {
            self.spill();
            return self.push(key);
        }
        let mut place = self.count % FULL;
        self.count = place + 1;
        while let Some(before) = place.checked_sub(1)
            && is_sooner(self.list[before])
        {
            self.list[place] = self.list[before];
            place = before;
        }
        self.list[place] = key;
    }

    /// Takes the least key.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<u128> {
        let Some(last) = self.count.checked_sub(1) else { return self.heap.pop() };
        self.count = last;
        Some(self.list[last])
    }

    /// The least key.
    pub(super) fn peek(&self) -> Option<u128> {
        let least = self.list[..self.count].last().copied().unwrap_or(self.heap.least());
        (least != EMPTY).then_some(least)
    }

    /// Moves the later half of the list into the heap.
    #[cold]
    fn spill(&mut self) {
        let (later, sooner) = self.list.split_at_mut(FULL / 2);
        for key in &*later {
            self.heap.push(*key);
        }
        later.copy_from_slice(sooner);
        self.count = FULL / 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::stream::draw_at;

    #[test]
    fn keys_come_out_in_order_whether_few_or_many_are_waiting() {
        for size in [1, 5, FULL - 1, FULL, FULL + 1, 10 * FULL] {
            let mut agenda = Agenda::new();
            let mut model = std::collections::BTreeSet::new();
            for n in 0..20 * size as u64 {
                let draw = draw_at(1, "agenda", size as u64, n);
                // Near keys mostly, some far ones.
                let far = if draw.is_multiple_of(8) { 1 << 40 } else { 1 << 20 };
                let time = u128::from(n << 16) + u128::from(draw >> 8) % far;
                // Some that share their upper half, numbered as they are set.
                let key = (time >> 12 << 64) | u128::from(n);
                if draw.is_multiple_of(3) {
                    agenda.push(key);
                } else {
                    agenda.push_new(key);
                }
                model.insert(key);
                while size < model.len() {
                    assert_eq!(agenda.peek(), model.first().copied());
                    assert_eq!(agenda.pop(), model.pop_first());
                }
                assert_eq!(agenda.len(), model.len());
            }
            while let Some(key) = agenda.pop() {
                assert_eq!(Some(key), model.pop_first());
            }
            assert!(model.is_empty());
        }
    }
}
