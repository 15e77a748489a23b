//! A slab: values at dense indices, named by ids that go stale when their value is removed.
//!
//! An [`Id`] carries the generation of its place; a place's generation changes with each removal,
//! so an old id finds nothing instead of a stranger. Free places are reused last in, first out.
//!
//! Source: the generational arenas of `slotmap` and `thunderdome`.
//! Left out: values that are not plain data (what is removed is not dropped); shrinking. A slab keeps the room of its busiest moment.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// The end of the free list, and the index of [`Id::NONE`].
const NIL: u32 = u32::MAX;
/// In place of the next free place: this one is full.
const FULL: u32 = u32::MAX - 1;

/// Names a value in a [`Slab`], until it is removed.
pub struct Id<T> {
    index: u32,
    generation: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// Names nothing, in any slab.
    pub const NONE: Self = Self::new(NIL, 0);

    const fn new(index: u32, generation: u32) -> Self {
        Self { index, generation, of: PhantomData }
    }

    /// The place in the slab, which later ids may share.
    #[inline(always)]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// Whether this is [`Id::NONE`].
    pub const fn is_none(self) -> bool {
        self.index == NIL
    }

    const fn parts(self) -> (u32, u32) {
        (self.index, self.generation)
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl<T> Eq for Id<T> {}

impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl<T> fmt::Debug for Id<T> {
    /// `17.3`: index and generation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("none");
        }
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// Values named by [`Id`]s.
#[derive(Clone, Debug)]
pub struct Slab<T> {
    places: Vec<Place<T>>,
    /// The first free place.
    free: u32,
    len: usize,
}

#[derive(Clone, Debug)]
struct Place<T> {
    /// That of the value, or of the next one to come: nobody has its id while the place is free.
    generation: u32,
    /// [`FULL`], or the next free place.
    next: u32,
    /// Of a free place, what was removed.
    value: T,
}

impl<T: Copy> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Copy> Slab<T> {
    /// An empty slab.
    pub const fn new() -> Self {
        Self { places: Vec::new(), free: NIL, len: 0 }
    }

    /// An empty slab with room for `count` values.
    pub fn with_capacity(count: usize) -> Self {
        Self { places: Vec::with_capacity(count), free: NIL, len: 0 }
    }

    /// Values present.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Bytes held.
    pub const fn bytes(&self) -> usize {
        self.places.capacity() * size_of::<Place<T>>()
    }

    /// Whether no value is present.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What the next [`Slab::insert`] will return.
    pub fn next_id(&self) -> Id<T> {
        match self.places.get(self.free as usize) {
            Some(place) => Id::new(self.free, place.generation),
            None => Id::new(u32::try_from(self.places.len()).unwrap_or(NIL), 0),
        }
    }

    /// Adds a value, in the place that was freed last.
    #[inline(always)]
    pub fn insert(&mut self, value: T) -> Id<T> {
        self.len += 1;
        let index = self.free;
        if let Some(place) = self.places.get_mut(index as usize) {
            debug_assert!(place.next != FULL, "a full place is free");
            self.free = place.next;
            place.next = FULL;
            place.value = value;
            return Id::new(index, place.generation);
        }
        let index = u32::try_from(self.places.len()).expect("a slab holds less than 2^32 values");
        assert!(index < FULL, "a slab holds less than 2^32 values");
        self.places.push(Place { generation: 0, next: FULL, value });
        Id::new(index, 0)
    }

    /// The value, unless it was removed.
    #[inline(always)]
    pub fn get(&self, id: Id<T>) -> Option<&T> {
        let place = self.places.get(id.index as usize)?;
        (place.generation == id.generation).then_some(&place.value)
    }

    /// The value, unless it was removed.
    #[inline(always)]
    pub fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        let place = self.places.get_mut(id.index as usize)?;
        (place.generation == id.generation).then_some(&mut place.value)
    }

    /// Takes the value out, once.
    #[inline(always)]
    pub fn remove(&mut self, id: Id<T>) -> Option<T> {
        let place = self.places.get_mut(id.index as usize)?;
        if place.generation != id.generation {
            return None;
        }
        let value = place.value;
        place.next = self.free;
        place.generation = place.generation.wrapping_add(1);
        self.free = id.index;
        self.len -= 1;
        Some(value)
    }

    /// The value at a place, with its present id.
    #[inline]
    pub fn at(&self, index: u32) -> Option<(Id<T>, &T)> {
        let place = self.places.get(index as usize)?;
        (place.next == FULL).then(|| (Id::new(index, place.generation), &place.value))
    }

    /// The value at a place, with its present id.
    #[inline]
    pub fn at_mut(&mut self, index: u32) -> Option<(Id<T>, &mut T)> {
        let place = self.places.get_mut(index as usize)?;
        (place.next == FULL).then(|| (Id::new(index, place.generation), &mut place.value))
    }

    /// The present id of a place.
    #[inline]
    pub fn id_at(&self, index: u32) -> Option<Id<T>> {
        self.at(index).map(|(id, _)| id)
    }

    /// All values, by index.
    pub fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        let full = (0..).zip(&self.places).filter(|(_, place)| place.next == FULL);
        full.map(|(index, place)| (Id::new(index, place.generation), &place.value))
    }

    /// All values, by index.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Id<T>, &mut T)> {
        let full = (0..).zip(&mut self.places).filter(|(_, place)| place.next == FULL);
        full.map(|(index, place)| (Id::new(index, place.generation), &mut place.value))
    }
}

impl<T: Copy> Index<Id<T>> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, id: Id<T>) -> &T {
        self.get(id).unwrap_or_else(|| stale(id))
    }
}

impl<T: Copy> IndexMut<Id<T>> for Slab<T> {
    #[inline(always)]
    fn index_mut(&mut self, id: Id<T>) -> &mut T {
        self.get_mut(id).unwrap_or_else(|| stale(id))
    }
}

#[cold]
fn stale<T>(id: Id<T>) -> ! {
    panic!("id {id:?} of a {} is stale: it was removed", std::any::type_name::<T>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_goes_stale_with_its_value() {
        let mut slab = Slab::new();
        let old = slab.insert('a');
        assert_eq!(slab.remove(old), Some('a'));
        let new = slab.insert('b');
        assert_eq!((new.index(), slab.len()), (old.index(), 1));
        assert_ne!(new, old);
        assert_eq!(slab.get(old), None);
        assert_eq!(slab.get_mut(old), None);
        assert_eq!(slab.remove(old), None);
        assert_eq!((slab[new], slab.id_at(0), slab.at(0)), ('b', Some(new), Some((new, &'b'))));
    }

    #[test]
    fn places_are_reused_last_in_first_out() {
        let mut slab = Slab::with_capacity(4);
        let ids = [0, 1, 2, 3].map(|value| slab.insert(value));
        slab.remove(ids[1]);
        slab.remove(ids[3]);
        assert_eq!(slab.iter().map(|(_, &value)| value).collect::<Vec<_>>(), [0, 2]);
        assert_eq!([slab.insert(4), slab.insert(5), slab.insert(6)].map(Id::index), [3, 1, 4]);
        for (_, value) in slab.iter_mut() {
            *value *= 10;
        }
        assert_eq!(slab.iter().map(|(_, &value)| value).collect::<Vec<_>>(), [0, 50, 20, 40, 60]);
    }

    #[test]
    fn none_is_in_no_slab() {
        let mut slab = Slab::new();
        slab.insert(1);
        assert!(Id::<i32>::NONE.is_none());
        assert_eq!(slab.remove(Id::NONE), None);
        assert_eq!((slab.get(Id::NONE), slab.at(7)), (None, None));
        assert_eq!(format!("{:?} {:?}", Id::<i32>::NONE, slab.id_at(0)), "none Some(0.0)");
    }

    #[test]
    #[should_panic(expected = "id 0.0 of a u8 is stale")]
    fn indexing_with_a_stale_id_says_so() {
        let mut slab = Slab::new();
        let id = slab.insert(1_u8);
        slab.remove(id);
        let _ = slab[id];
    }
}
