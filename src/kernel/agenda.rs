//! The keys of what is to come: the next few in order, the others in buckets.
//!
//! A simulation schedules most of what it does just before it does it. So the soonest keys stand in
//! a short sorted list, where the next one is taken from the end and a new one finds its place in a
//! few steps; what is later than the least of the buckets goes there at once. All keys of the list
//! are less than all of the buckets. A list that grows too long gives its later half to them, and
//! one that is empty takes the next few from them.
//!
//! ```text
//! taken <── soonest, ... latest of the list  <  least of the buckets, ...
//! ```
//!
//! Source: insertion sort, for what is nearly sorted; the *bottom* of a ladder queue (see `rungs`);
//! docs/speed.md.
//! Left out: taking a key back (see `queue`).

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use super::rungs::Rungs;

/// Entries of a full list: 8 cache lines.
const FULL: usize = 32;

/// Keys in order; equal keys do not occur.
pub(super) struct Agenda {
    /// The first `count` of them, from the latest to the soonest.
    list: [u128; FULL],
    count: usize,
    later: Rungs,
}

impl Agenda {
    pub(super) fn new() -> Self {
        Self { list: [0; FULL], count: 0, later: Rungs::new() }
    }

    /// Bytes held beside the agenda itself.
    pub(super) fn bytes(&self) -> usize {
        self.later.bytes()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.count + self.later.len()
    }

    /// Whether `key` is among the next few.
    #[inline]
    pub(super) fn is_soon(&self, key: u128) -> bool {
        key < self.later.least()
    }

    /// Adds a key.
    pub(super) fn push(&mut self, key: u128) {
        if self.is_soon(key) {
            self.insert(key, |before| before < key);
        } else {
            self.later.push(key);
        }
    }

    /// Adds a key that is greater than those with which it shares its upper half: of two that
    /// fire at one time, the one that was set later.
    #[inline]
    pub(super) fn push_new(&mut self, key: u128) {
        if self.is_soon(key) {
            self.push_soon(key);
        } else {
            self.later.push(key);
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
        if self.count == 0 {
            self.refill();
        }
        let last = self.count.checked_sub(1)?;
        self.count = last;
        Some(self.list[last])
    }

    /// The least key.
    pub(super) fn peek(&mut self) -> Option<u128> {
        if self.count == 0 {
            self.refill();
        }
        self.list[..self.count].last().copied()
    }

    /// Takes the next few keys from the buckets.
    fn refill(&mut self) {
        let Self { list, count, later } = self;
        later.take(|key| {
            let mut place = *count % FULL;
            *count = place + 1;
            while let Some(before) = place.checked_sub(1)
                && is_less(list[before], key)
            {
                list[place] = list[before];
                place = before;
            }
            list[place] = key;
        });
    }

    /// Moves the later half of the list into the buckets.
    #[cold]
    fn spill(&mut self) {
        let (later, sooner) = self.list.split_at_mut(FULL / 2);
        self.later.put_before(later);
        later.copy_from_slice(sooner);
        self.count = FULL / 2;
    }
}

/// `<`, which asks for the lower halves only if the upper ones are equal.
#[inline(always)]
fn is_less(one: u128, other: u128) -> bool {
    let upper = |key| (key >> 64) as u64;
    upper(one) < upper(other) || upper(one) == upper(other) && one < other
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

    #[test]
    fn keys_of_one_time_and_keys_of_all_times_come_out_in_order() {
        // Times: all the same; of each order of magnitude; anywhere; a crowd before one that is far.
        let times: [fn(u64) -> u64; 4] = [
            |_| 1 << 40,
            |draw| 1 << (draw % 44),
            |draw| draw % (1 << 44),
            |draw| if draw.is_multiple_of(64) { 1 << 44 } else { draw % (1 << 20) },
        ];
        for (pattern, time) in times.iter().enumerate() {
            let mut agenda = Agenda::new();
            let mut model = std::collections::BTreeSet::new();
            let mut now = 0;
            for n in 0..20_000_u64 {
                let draw = draw_at(2, "agenda", pattern as u64, n);
                let key = (u128::from(now + time(draw >> 8)) << 68) | u128::from(n << 32);
                agenda.push_new(key);
                model.insert(key);
                // Mostly filled at first, mostly emptied then.
                for _ in 0..draw % if n < 10_000 { 2 } else { 4 } {
                    assert_eq!(agenda.pop(), model.pop_first());
                }
                assert_eq!(agenda.peek(), model.first().copied());
                now = model.first().map_or(now, |&key| (key >> 68) as u64);
            }
            while let Some(key) = agenda.pop() {
                assert_eq!(Some(key), model.pop_first());
            }
            assert!(model.is_empty());
        }
    }

    #[test]
    fn keys_near_the_last_time_of_a_run_come_out_in_order() {
        // As many as are cut into a rung, some at once and most in the last sixteenth of all times.
        let at =
            |part: u64, n: u64| (u128::from((part << 56) + (n << 40)) << 68) | u128::from(n << 32);
        let mut agenda = Agenda::new();
        let mut model = std::collections::BTreeSet::new();
        let keys = (0..17).map(|n| at(0, n)).chain((17..97).map(|n| at(15, n)));
        for key in keys {
            agenda.push_new(key);
            model.insert(key);
        }
        for n in 97..200 {
            assert_eq!(agenda.pop(), model.pop_first());
            // Now and then one more, right after the next.
            let next = model.first().copied().unwrap_or_default();
            if n % 3 == 0 && model.insert(next + 1) {
                agenda.push(next + 1);
            }
        }
        while let Some(key) = agenda.pop() {
            assert_eq!(Some(key), model.pop_first());
        }
        assert!(model.is_empty());
    }
}
