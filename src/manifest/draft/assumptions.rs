//! What no manifest says and a run needs.
//!
//! Source: ours.
//! Left out: all of it, in this first draft.

/// What is assumed where no manifest says anything.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Assumptions {}
