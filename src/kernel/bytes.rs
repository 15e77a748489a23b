//! Bytes that collections hold on the heap: their room, used or not.
//!
//! What their elements own on the heap besides is for the elements to say.
//!
//! Source: `capacity()` times the size of an element, which is what the allocator is asked for; for
//! trees, the nodes of std's B-trees, filled as by keys that come in order.
//! Left out: what an allocator adds to each piece.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

/// Places of a tree's node, and keys for each leaf, the one above it among them.
const NODE_PLACES: usize = 11;
const KEYS_A_LEAF: usize = 7;

/// Something with room on the heap.
pub trait Bytes {
    /// The room's bytes.
    fn bytes(&self) -> usize;
}

impl<T> Bytes for Vec<T> {
    fn bytes(&self) -> usize {
        self.capacity() * size_of::<T>()
    }
}

impl<T> Bytes for VecDeque<T> {
    fn bytes(&self) -> usize {
        self.capacity() * size_of::<T>()
    }
}

impl<T> Bytes for BinaryHeap<T> {
    fn bytes(&self) -> usize {
        self.capacity() * size_of::<T>()
    }
}

impl<T> Bytes for BTreeSet<T> {
    fn bytes(&self) -> usize {
        tree(self.len(), size_of::<T>())
    }
}

impl<K, V> Bytes for BTreeMap<K, V> {
    fn bytes(&self) -> usize {
        tree(self.len(), size_of::<K>() + size_of::<V>())
    }
}

/// A tree of so many keys with their values, about.
fn tree(length: usize, size: usize) -> usize {
    let leaf = (NODE_PLACES * size + 12).next_multiple_of(8);
    let inner = leaf + (NODE_PLACES + 1) * size_of::<usize>();
    match length {
        0 => 0,
        1..=NODE_PLACES => leaf,
        _ => {
            let leaves = length.div_ceil(KEYS_A_LEAF);
            leaves * leaf + leaves.div_ceil(KEYS_A_LEAF) * inner
        }
    }
}

impl<T> Bytes for Box<[T]> {
    fn bytes(&self) -> usize {
        size_of_val(&**self)
    }
}

impl Bytes for String {
    fn bytes(&self) -> usize {
        self.capacity()
    }
}

impl<T: Bytes> Bytes for Option<T> {
    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, Bytes::bytes)
    }
}
