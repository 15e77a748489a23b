//! Bytes that collections hold on the heap: their room, used or not.
//!
//! What their elements own on the heap besides is for the elements to say.
//!
//! Source: `capacity()` times the size of an element, which is what the allocator is asked for.
//! Left out: what an allocator adds to each piece.

use std::collections::VecDeque;

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
