//! What a service did for a request, and the calls that it made for it.
//!
//! Source: as in [`super::visits`], which finds them.
//! Left out: as there.

use super::span::Kind;

/// How a visit came about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begin {
    /// Another visit called.
    Called,
    /// Nobody did: the request came from outside, or the service began by itself.
    Root,
    /// Its parent is not in the file.
    Orphan,
    /// A message.
    Message,
}

/// What a service did for a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Visit {
    /// Whose.
    pub service: u32,
    /// Its first span's role.
    pub kind: Kind,
    /// How it began.
    pub begin: Begin,
    /// When, in ns.
    pub start_ns: u64,
    /// Its work without its calls, in ns; none where no server's span was seen.
    pub own_ns: Option<u64>,
    /// Whether it failed.
    pub is_failure: bool,
    /// Whether a proxy made that failure.
    pub is_by_mesh: bool,
    /// Whether it is a gateway's.
    pub is_gateway: bool,
    /// The status; 0 if not known.
    pub status: u16,
    /// The path.
    pub path: u32,
    /// The method.
    pub method: u32,
    /// Its calls among [`super::visits::Visits::calls`].
    pub calls: std::ops::Range<usize>,
}

/// A call that a visit made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Made {
    /// Index of the caller's visit.
    pub visit: usize,
    /// Who is called.
    pub to: u32,
    /// From when the caller waits, by its own clock in ns.
    pub start_ns: u64,
    /// Until when.
    pub end_ns: u64,
    /// The path.
    pub path: u32,
    /// The method.
    pub method: u32,
    /// Whether it failed.
    pub is_failure: bool,
    /// Whether the callee's side was not seen.
    pub is_one_sided: bool,
}
