//! The failover extension: whose weights of a `TrafficSplit` are 1, by who is ready.
//!
//! ```text
//! primary ready ──> primary alone          primary not ready, some secondaries are ──> these, in equal shares
//!                                          nobody ready ──> as it was: requests fail
//! ```
//!
//! Source: linkerd-failover README.md:129, `src/traffic_split.rs` (its controller patches the split at each change of
//! endpoints).
//! Left out: its older releases, which write 0 for all where nobody is ready.

/// Which backends of a split get requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Weights {
    /// The primary alone.
    Primary,
    /// These secondaries, a bit each in the order of the split, in equal shares.
    Secondaries(u32),
    /// Those that did before.
    AsBefore,
}

/// What the controller writes; `secondaries` has a bit for each that is ready.
pub const fn weights(is_primary_ready: bool, secondaries: u32) -> Weights {
    match (is_primary_ready, secondaries) {
        (true, _) => Weights::Primary,
        (false, 0) => Weights::AsBefore,
        (false, ready) => Weights::Secondaries(ready),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_has_all_while_it_is_ready() {
        assert_eq!([0, 0b1, 0b101].map(|ready| weights(true, ready)), [Weights::Primary; 3]);
    }

    #[test]
    fn secondaries_share_what_the_primary_cannot_take() {
        assert_eq!(weights(false, 0b10), Weights::Secondaries(0b10));
        assert_eq!(weights(false, 0b11), Weights::Secondaries(0b11));
    }

    #[test]
    fn without_anybody_ready_nothing_is_written() {
        assert_eq!(weights(false, 0), Weights::AsBefore);
    }
}
