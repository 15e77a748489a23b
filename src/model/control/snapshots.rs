//! Endpoint lists of now and of the past: each stored once, whole or as a delta.
//!
//! A list is sorted, and never changes once it is here. One that was seen before is found by its
//! content, so clusters with the same endpoints share it. A list that differs little from the one
//! before it is kept as what went and what came; a chain of deltas ends at a whole list after
//! `CHAIN_MAX` steps, or when its deltas have half as many endpoints as the list, so that a
//! rollout of a thousand pods costs dozens of whole lists, not thousands, and any list is put
//! together in a bounded number of steps. What nobody uses is freed.
//!
//! Source: content-addressed stores such as git's packs; delta xDS is the wire's form of the same.
//! Left out: deltas between any two lists; only the one before is tried.

use crate::kernel::bytes::Bytes as _;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Deltas in a row: each is a merge when a list is put together.
const CHAIN_MAX: u32 = 32;

/// Names a list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SnapshotId(u32);

impl SnapshotId {
    /// The list's place.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The lists.
#[derive(Clone, Debug, Default)]
pub struct Snapshots {
    slots: Vec<Option<Snapshot>>,
    free: Vec<u32>,
    /// By hash and length: the list that was seen first.
    by_content: BTreeMap<(u64, usize), SnapshotId>,
    /// The delta that was put together last.
    opened: Option<(SnapshotId, Vec<u32>)>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Snapshot {
    hash: u64,
    length: usize,
    /// Histories that have it, and deltas that are based on it.
    users: u32,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Whole(Box<[u32]>),
    Delta {
        base: SnapshotId,
        gone: Box<[u32]>,
        new: Box<[u32]>,
        /// Deltas from here to the whole list, and endpoints in them.
        depth: u32,
        changes: usize,
    },
}

impl Snapshots {
    /// The name of a sorted list, with one use more; `before` is what it may be a delta to.
    pub fn add(&mut self, list: &[u32], before: Option<SnapshotId>) -> SnapshotId {
        debug_assert!(list.is_sorted(), "a list of endpoints is sorted");
        let hash = hash(list);
        let same = self.by_content.get(&(hash, list.len())).copied();
        if let Some(same) = same
            && self.list(same) == list
        {
            self.slot_mut(same).users += 1;
            return same;
        }
        let delta = before.and_then(|before| self.delta(list, before));
        if let Some(Content::Delta { base, .. }) = delta {
            self.slot_mut(base).users += 1;
        }
        let content = delta.unwrap_or_else(|| Content::Whole(list.into()));
        let snapshot = Snapshot { hash, length: list.len(), users: 1, content };
        self.bytes += snapshot.bytes();
        let id = if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(snapshot);
            SnapshotId(slot)
        } else {
            self.slots.push(Some(snapshot));
            SnapshotId(u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 lists"))
        };
        self.by_content.entry((hash, list.len())).or_insert(id);
        id
    }

    /// One use more.
    pub fn hold(&mut self, id: SnapshotId) {
        self.slot_mut(id).users += 1;
    }

    /// One use less; the last one frees the list, and the delta's base with it.
    pub fn release(&mut self, id: SnapshotId) {
        let mut next = Some(id);
        while let Some(id) = next.take() {
            let snapshot = self.slot_mut(id);
            snapshot.users -= 1;
            if snapshot.users != 0 {
                return;
            }
            let key = (snapshot.hash, snapshot.length);
            if let Content::Delta { base, .. } = snapshot.content {
                next = Some(base);
            }
            self.bytes -= self.slot(id).bytes();
            if self.by_content.get(&key) == Some(&id) {
                self.by_content.remove(&key);
            }
            if self.opened.as_ref().is_some_and(|(opened, _)| *opened == id) {
                self.opened = None;
            }
            self.slots[id.0 as usize] = None;
            self.free.push(id.0);
        }
    }

    /// The list; one that is kept as a delta stays put together until another one is.
    pub fn list(&mut self, id: SnapshotId) -> &[u32] {
        let is_whole = matches!(self.slot(id).content, Content::Whole(_));
        let is_open = self.opened.as_ref().is_some_and(|(opened, _)| *opened == id);
        if !is_whole && !is_open {
            let list = self.put_together(id);
            self.opened = Some((id, list));
        }
        match (&self.slot(id).content, &self.opened) {
            (Content::Whole(list), _) => list,
            (_, Some((_, list))) => list,
            (Content::Delta { .. }, None) => unreachable!("a delta was put together"),
        }
    }

    /// Endpoints in the list.
    pub fn length(&self, id: SnapshotId) -> usize {
        self.slot(id).length
    }

    /// How often the list is used.
    pub fn users(&self, id: SnapshotId) -> u32 {
        self.slot(id).users
    }

    /// Places of lists, some of them free.
    pub fn places(&self) -> usize {
        self.slots.len()
    }

    /// What each list is based on, for those who recount: (list, base).
    pub fn bases(&self) -> impl Iterator<Item = (SnapshotId, Option<SnapshotId>)> {
        let all = self.slots.iter().zip(0..);
        all.filter_map(|(slot, index)| {
            let base = match slot.as_ref()?.content {
                Content::Whole(_) => None,
                Content::Delta { base, .. } => Some(base),
            };
            Some((SnapshotId(index), base))
        })
    }

    /// Bytes held, about.
    pub fn bytes(&self) -> usize {
        let opened = self.opened.as_ref().map_or(0, |(_, list)| list.bytes());
        self.bytes + opened + self.free.bytes()
    }

    fn slot(&self, id: SnapshotId) -> &Snapshot {
        self.slots[id.0 as usize].as_ref().expect("a list in use")
    }

    fn slot_mut(&mut self, id: SnapshotId) -> &mut Snapshot {
        self.slots[id.0 as usize].as_mut().expect("a list in use")
    }

    fn delta(&mut self, list: &[u32], before: SnapshotId) -> Option<Content> {
        let (depth, changes) = match self.slot(before).content {
            Content::Whole(_) => (0, 0),
            Content::Delta { depth, changes, .. } => (depth, changes),
        };
        if CHAIN_MAX <= depth {
            return None;
        }
        let (gone, new) = difference(self.list(before), list);
        let changes = changes + gone.len() + new.len();
        (changes <= list.len() / 2).then(|| Content::Delta {
            base: before,
            gone: gone.into(),
            new: new.into(),
            depth: depth + 1,
            changes,
        })
    }

    fn put_together(&self, id: SnapshotId) -> Vec<u32> {
        let mut chain = Vec::new();
        let mut at = id;
        let mut list = loop {
            match &self.slot(at).content {
                Content::Whole(list) => break list.to_vec(),
                Content::Delta { base, gone, new, .. } => {
                    chain.push((gone, new));
                    at = *base;
                }
            }
        };
        for (gone, new) in chain.into_iter().rev() {
            list.retain(|endpoint| gone.binary_search(endpoint).is_err());
            for endpoint in new {
                let place = list.partition_point(|one| one < endpoint);
                list.insert(place, *endpoint);
            }
        }
        list
    }
}

impl Snapshot {
    fn bytes(&self) -> usize {
        let endpoints = match &self.content {
            Content::Whole(list) => list.len(),
            Content::Delta { gone, new, .. } => gone.len() + new.len(),
        };
        // The record, and its place in the table of contents.
        size_of::<Option<Self>>() + 48 + 4 * endpoints
    }
}

/// What is in the first of two sorted lists only, and what in the second only.
pub fn difference(old: &[u32], new: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    let (mut olds, mut news) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let order = match (olds.peek(), news.peek()) {
            (Some(one), Some(other)) => one.cmp(other),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return (gone, come),
        };
        match order {
            Ordering::Less => gone.extend(olds.next()),
            Ordering::Greater => come.extend(news.next()),
            Ordering::Equal => {
                olds.next();
                news.next();
            }
        }
    }
}

/// FNV-1a over whole numbers: only finds candidates, which are compared.
fn hash(list: &[u32]) -> u64 {
    list.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, endpoint| {
        (hash ^ u64::from(*endpoint)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_was_seen_before_is_the_same_list() {
        let mut lists = Snapshots::default();
        let one = lists.add(&[1, 2, 3], None);
        let other = lists.add(&[1, 2], Some(one));
        assert_eq!(lists.add(&[1, 2, 3], Some(other)), one);
        // Two histories, and the other list is a delta to it.
        assert_eq!((lists.users(one), lists.length(one)), (3, 3));
        lists.release(one);
        assert_eq!(lists.list(one), [1, 2, 3]);
    }

    /// A rollout: one pod goes, another comes, a thousand times, and every list is remembered.
    #[test]
    fn a_rollout_of_a_thousand_pods_stores_dozens_of_lists_not_thousands() {
        let (mut lists, mut now) = (Snapshots::default(), (0..1000).collect::<Vec<u32>>());
        let mut history = vec![lists.add(&now, None)];
        let mut wanted = vec![now.clone()];
        for step in 0..1000 {
            now.push(1000 + step);
            history.push(lists.add(&now, history.last().copied()));
            wanted.push(now.clone());
            now.remove(0);
            history.push(lists.add(&now, history.last().copied()));
            wanted.push(now.clone());
        }
        let all_whole = 2001 * 4000;
        assert!(lists.bytes() * 15 < all_whole, "{} bytes", lists.bytes());
        for (id, list) in history.iter().zip(&wanted).rev() {
            assert_eq!(lists.list(*id), list.as_slice());
        }
        // Freed in any order, nothing is left.
        for id in history.iter().step_by(2).chain(history.iter().skip(1).step_by(2)) {
            lists.release(*id);
        }
        assert_eq!((lists.bytes, lists.bases().count()), (0, 0));
    }

    #[test]
    fn a_base_lives_as_long_as_a_delta_needs_it() {
        let mut lists = Snapshots::default();
        let old = lists.add(&[1, 2, 3, 4], None);
        let new = lists.add(&[2, 3, 4], Some(old));
        lists.release(old);
        assert_eq!(lists.bases().collect::<Vec<_>>(), [(old, None), (new, Some(old))]);
        assert_eq!(lists.list(new), [2, 3, 4]);
        lists.release(new);
        assert_eq!(lists.bytes, 0);
    }

    #[test]
    fn a_list_that_differs_by_more_than_half_is_whole() {
        let mut lists = Snapshots::default();
        let old = lists.add(&[1, 2, 3], None);
        let new = lists.add(&[4, 5, 6], Some(old));
        assert_eq!(lists.bases().last(), Some((new, None)));
        assert_eq!(difference(&[1, 3, 5], &[2, 3, 6]), (vec![1, 5], vec![2, 6]));
    }
}
