//! Which versions of the configuration anybody still has, and what only they need.
//!
//! Each change makes a version. Somebody *holds* a version: a proxy that has seen it, a push on
//! its way, a replica, the watchers that will come to it. A version that nobody holds any more is
//! forgotten, and its changes fall to the next one that is held; where both changed the same
//! thing, the older value is needed by nobody and is named to the caller, who frees it. The newest
//! version is always held, by the watchers that have not come to it yet.
//!
//! Source: reference counts; the smaller set is poured into the larger, so that a change moves a
//! logarithmic number of times.
//! Left out: what the changed things are; the caller knows.

use crate::kernel::bytes::Bytes as _;
use crate::kernel::time::Time;
use crate::vocabulary::cause::CauseId;
use std::collections::{BTreeMap, BTreeSet};

/// The versions that somebody holds. `T` names a thing that changes.
#[derive(Clone, Debug)]
pub struct Versions<T> {
    held: BTreeMap<u32, Held<T>>,
    newest: u32,
}

#[derive(Clone, Debug)]
struct Held<T> {
    holders: u32,
    /// Of these, proxies that are up.
    live: u32,
    /// When the next version came, and why.
    superseded: Option<(Time, Option<CauseId>)>,
    /// What changed since the version that is held before this one.
    touched: BTreeSet<T>,
}

impl<T: Copy + Ord> Versions<T> {
    /// Version 1, which made all these things.
    pub fn new(things: impl Iterator<Item = T>) -> Self {
        let mut versions = Self { held: BTreeMap::new(), newest: 0 };
        versions.begin(Time::ZERO, None);
        things.for_each(|thing| versions.touch(thing));
        versions
    }

    /// The newest version.
    pub fn newest(&self) -> u32 {
        self.newest
    }

    /// A new version begins, held by the watchers that will come to it.
    pub fn begin(&mut self, now: Time, cause: Option<CauseId>) {
        if let Some(held) = self.held.get_mut(&self.newest) {
            held.superseded = Some((now, cause));
        }
        self.newest += 1;
        let held = Held { holders: 1, live: 0, superseded: None, touched: BTreeSet::new() };
        self.held.insert(self.newest, held);
    }

    /// The newest version changed this.
    pub fn touch(&mut self, thing: T) {
        if let Some(held) = self.held.get_mut(&self.newest) {
            held.touched.insert(thing);
        }
    }

    /// One holder more. Nobody holds version 0: it is nothing.
    pub fn hold(&mut self, version: u32) {
        if version != 0 {
            self.get_mut(version).holders += 1;
        }
    }

    /// One holder less. `free` is told each thing whose value as of `version` nobody needs.
    pub fn release(&mut self, version: u32, mut free: impl FnMut(T)) {
        if version == 0 {
            return;
        }
        let held = self.get_mut(version);
        held.holders -= 1;
        if held.holders != 0 {
            return;
        }
        debug_assert_eq!(held.live, 0, "who is live holds");
        let mut few = self.held.remove(&version).map(|held| held.touched).unwrap_or_default();
        let (_, next) = self.held.range_mut(version..).next().expect("the newest version is held");
        if next.touched.len() < few.len() {
            std::mem::swap(&mut few, &mut next.touched);
        }
        for thing in few {
            if !next.touched.insert(thing) {
                free(thing);
            }
        }
    }

    /// A proxy with this version is up.
    pub fn enter(&mut self, version: u32) {
        if version != 0 {
            self.get_mut(version).live += 1;
        }
    }

    /// A proxy with this version is up no more, or has another one.
    pub fn leave(&mut self, version: u32) {
        if version != 0 {
            self.get_mut(version).live -= 1;
        }
    }

    /// The oldest version that anybody has.
    pub fn oldest(&self) -> u32 {
        self.held.keys().next().copied().unwrap_or(self.newest)
    }

    /// The oldest version of a proxy that is up. Few versions are older: those of replicas, of
    /// pushes on their way and of proxies that start.
    pub fn oldest_live(&self) -> Option<u32> {
        self.held.iter().find(|(_, held)| held.live != 0).map(|(version, _)| *version)
    }

    /// Different things that changed from one version that is held to another, of those that count.
    pub fn changed(&self, old: u32, new: u32, counts: impl Fn(&T) -> bool) -> u64 {
        if new <= old {
            return 0;
        }
        let mut held = self.held.range(old + 1..=new).map(|(_, held)| &held.touched);
        let count = |things: &BTreeSet<T>| things.iter().filter(|thing| counts(thing)).count();
        let first = held.next();
        let Some(second) = held.next() else { return first.map_or(0, count) as u64 };
        let some = first.into_iter().chain([second]).chain(held).flatten();
        some.filter(|thing| counts(thing)).collect::<BTreeSet<_>>().len() as u64
    }

    /// When the first change came that a version, which is held, does not have.
    pub fn stale_since(&self, version: u32) -> Option<Time> {
        match version {
            0 => Some(Time::ZERO),
            _ => self.held.get(&version)?.superseded.map(|(time, _)| time),
        }
    }

    /// Versions held with their holders, of whom so many are live.
    pub fn holders(&self) -> impl Iterator<Item = (u32, u32, u32)> {
        self.held.iter().map(|(version, held)| (*version, held.holders, held.live))
    }

    /// Things that changed between two versions that are held.
    pub fn touched(&self) -> usize {
        self.held.values().map(|held| held.touched.len()).sum()
    }

    /// Bytes held, about.
    pub fn bytes(&self) -> usize {
        self.held.bytes() + self.held.values().map(|held| held.touched.bytes()).sum::<usize>()
    }

    fn get_mut(&mut self, version: u32) -> &mut Held<T> {
        self.held.get_mut(&version).expect("a version that somebody holds")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::time::Duration;

    fn at(s: u64) -> Time {
        Time::ZERO + Duration::from_s(s)
    }

    fn freed(versions: &mut Versions<char>, version: u32) -> Vec<char> {
        let mut things = Vec::new();
        versions.release(version, |thing| things.push(thing));
        things
    }

    /// The watchers go through five versions while one proxy stays with the first.
    #[test]
    fn what_only_a_forgotten_version_needs_is_freed() {
        let mut versions = Versions::new(['a', 'b', 'c'].into_iter());
        versions.hold(1);
        for (second, thing) in [(10, 'a'), (20, 'b'), (30, 'a'), (40, 'a')] {
            versions.begin(at(second), None);
            versions.touch(thing);
        }
        // Version 1 is the proxy's, and 2's `a` is in force until 4.
        assert_eq!(freed(&mut versions, 1), []);
        assert_eq!(freed(&mut versions, 2), []);
        assert_eq!(freed(&mut versions, 3), ['a']);
        assert_eq!(freed(&mut versions, 4), ['a']);
        // The proxy goes on to 5: the first `a` and `b` go, `c` is as it always was.
        versions.hold(5);
        let mut last = freed(&mut versions, 1);
        last.sort_unstable();
        assert_eq!(last, ['a', 'b']);
        assert_eq!(versions.holders().collect::<Vec<_>>(), [(5, 2, 0)]);
        assert_eq!(versions.touched(), 3);
    }

    #[test]
    fn the_oldest_live_version_dates_the_staleness() {
        let mut versions = Versions::new(['a'].into_iter());
        assert_eq!(versions.oldest_live(), None);
        versions.hold(1);
        versions.begin(at(7), None);
        versions.hold(2);
        versions.enter(2);
        assert_eq!(versions.oldest_live(), Some(2));
        assert_eq!(versions.stale_since(2), None);
        versions.enter(1);
        assert_eq!(versions.oldest_live(), Some(1));
        assert_eq!(versions.stale_since(1), Some(at(7)));
    }
}
