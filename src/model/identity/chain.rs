//! Certificates of authorities, and what a verifier finds when it follows a leaf up to a root that it trusts.
//!
//! ```text
//! leaf ── signer ── … ── root      trusted if the verifier has a certificate of the root's key
//! ```
//!
//! Times are those that certificates say; each verifier compares them with its own clock. A root that was
//! renewed with the same key vouches for all leaves of that key, as long as the verifier has one of its
//! certificates that is valid.
//!
//! Source: boringssl `x509_vfy.cc`: the chain is built up to a trusted root first, then `internal_verify` goes from the
//! root down; istio's `generate_cert.go` for what is in a leaf.
//! Left out: intermediates as anchors of trust; depths above 1, which are logged as 1; path lengths, name
//! constraints, CRLs.

use super::verification::Flaw;
use crate::kernel::time::{Duration, Time};

/// A time as a clock shows it, or a certificate says it; in nanoseconds from the start of the run, of which
/// clocks that are behind show less than nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Wall(pub i64);

impl Wall {
    /// Before everything.
    pub const MIN: Self = Self(i64::MIN);

    /// What a clock shows that is so many nanoseconds ahead.
    pub fn of(time: Time, ahead: i64) -> Self {
        Self(i64::try_from(time.ns()).unwrap_or(i64::MAX).saturating_add(ahead))
    }

    /// Later by this.
    #[must_use]
    pub fn plus(self, length: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(length.ns()).unwrap_or(i64::MAX)))
    }

    /// Earlier by this.
    #[must_use]
    pub fn minus(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(length.ns()).unwrap_or(i64::MAX)))
    }

    /// From an earlier one; zero if it is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_ns(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// When a clock that is right shows it; time zero if that was before.
    pub fn time(self) -> Time {
        Time::ZERO.saturating_add(self.since(Self(0)))
    }
}

/// From when to when something is valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validity {
    /// From here on.
    pub not_before: Wall,
    /// And no longer from here on.
    pub not_after: Wall,
}

impl Validity {
    /// What a clock says of it.
    fn at(self, clock: Wall) -> When {
        if clock < self.not_before {
            When::Early
        } else if self.not_after <= clock {
            When::Over
        } else {
            When::Valid
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Early,
    Valid,
    Over,
}

/// The certificate of an authority.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Anchor {
    /// Its key.
    pub key: u32,
    /// Who signed it, by place; a root has signed itself.
    pub issuer: Option<u32>,
    /// From when to when.
    pub validity: Validity,
}

/// All certificates of authorities that there have been.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chains(pub Vec<Anchor>);

impl Chains {
    /// Names a new one.
    pub fn add(&mut self, anchor: Anchor) -> u32 {
        debug_assert!(anchor.issuer.is_none_or(|one| (one as usize) < self.0.len()), "known");
        self.0.push(anchor);
        u32::try_from(self.0.len() - 1).expect("few authorities")
    }

    /// A certificate and those above it, up to its root.
    fn up(&self, from: u32) -> impl Iterator<Item = u32> {
        std::iter::successors(Some(from), |one| self.0[*one as usize].issuer)
    }

    /// A key that none has.
    pub fn new_key(&self) -> u32 {
        self.0.iter().map(|one| one.key + 1).max().unwrap_or(0)
    }

    /// The root above a certificate.
    pub fn root(&self, from: u32) -> u32 {
        self.up(from).last().unwrap_or(from)
    }

    /// When the first certificate of a chain ends.
    pub fn end(&self, from: u32) -> Wall {
        let ends = self.up(from).map(|one| self.0[one as usize].validity.not_after);
        ends.min().unwrap_or(Wall::MIN)
    }

    /// The same without the root, of which Linkerd's proxies see no dates; of a root alone its own.
    pub fn end_below_root(&self, from: u32) -> Wall {
        let ends = self.below_root(from).map(|one| self.0[one as usize].validity.not_after);
        ends.min().unwrap_or(self.0[from as usize].validity.not_after)
    }

    /// Whether all certificates of a chain but its root are valid.
    pub fn is_below_root_valid(&self, from: u32, clock: Wall) -> bool {
        self.below_root(from).all(|one| self.0[one as usize].validity.at(clock) == When::Valid)
    }

    fn below_root(&self, from: u32) -> impl Iterator<Item = u32> {
        self.up(from).filter(|one| self.0[*one as usize].issuer.is_some())
    }

    /// The certificate of a chain that is not valid, the root first; none if all are.
    pub fn invalid(&self, from: u32, clock: Wall) -> Option<u32> {
        let all: Vec<u32> = self.up(from).collect();
        let is_bad = |one: &u32| self.0[*one as usize].validity.at(clock) != When::Valid;
        all.into_iter().rev().find(is_bad)
    }

    /// Whether some certificate of a chain is not valid yet, and none is over.
    pub fn is_early(&self, from: u32, clock: Wall) -> bool {
        let when = |one: u32| self.0[one as usize].validity.at(clock);
        self.up(from).any(|one| when(one) == When::Early)
            && self.up(from).all(|one| when(one) != When::Over)
    }

    /// What a verifier finds wrong with a leaf and the chain that comes with it.
    pub fn flaw(
        &self,
        leaf: Validity,
        signer: u32,
        trusted: impl Iterator<Item = u32>,
        clock: Wall,
    ) -> Option<Flaw> {
        self.flaw_to(leaf, signer, trusted, clock, true)
    }

    /// The same for a verifier that looks at the dates of roots, or does not.
    pub fn flaw_to(
        &self,
        leaf: Validity,
        signer: u32,
        trusted: impl Iterator<Item = u32>,
        clock: Wall,
        roots_end: bool,
    ) -> Option<Flaw> {
        let key = self.0[self.root(signer) as usize].key;
        let of_key = trusted.filter(|one| self.0[*one as usize].key == key);
        let mut found = None;
        for one in of_key {
            match self.0[one as usize].validity.at(clock) {
                _ if !roots_end => found = Some(When::Valid),
                When::Valid => {
                    found = Some(When::Valid);
                    break;
                }
                other => found = found.or(Some(other)),
            }
        }
        let flaw = |when, over, early| match when {
            When::Valid => None,
            When::Over => Some(over),
            When::Early => Some(early),
        };
        let of_issuer = |when| flaw(when, Flaw::IssuerExpired, Flaw::IssuerNotYetValid);
        let Some(root) = found else { return Some(Flaw::UnknownIssuer) };
        if let Some(flaw) = of_issuer(root) {
            return Some(flaw);
        }
        let below: Vec<u32> = self.below_root(signer).collect();
        let mut down = below.into_iter().rev();
        down.find_map(|one| of_issuer(self.0[one as usize].validity.at(clock)))
            .or_else(|| flaw(leaf.at(clock), Flaw::Expired, Flaw::NotYetValid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(not_before: i64, not_after: i64) -> Validity {
        Validity { not_before: Wall(not_before), not_after: Wall(not_after) }
    }

    /// 0: a root until 100; 1: an intermediate of it until 50; 2: the root again, with its key, until
    /// 300; 3: another root.
    fn chains() -> Chains {
        let mut chains = Chains::default();
        for (key, issuer, from, until) in
            [(0, None, 0, 100), (1, Some(0), 0, 50), (0, None, 60, 300), (3, None, 0, 300)]
        {
            chains.add(Anchor { key, issuer, validity: valid(from, until) });
        }
        chains
    }

    #[test]
    fn the_root_is_looked_at_first_then_what_is_below_it() {
        use Flaw::{Expired, IssuerExpired, IssuerNotYetValid, NotYetValid, UnknownIssuer};
        let long = valid(10, 200);
        for (signer, trusted, clock, leaf, expected) in [
            (0, &[0][..], 20, long, None),
            (0, &[0], 9, long, Some(NotYetValid)),
            (0, &[0], 200, long, Some(IssuerExpired)),
            (0, &[2], 150, long, None),
            (0, &[0, 2], 150, long, None),
            (0, &[2], 20, long, Some(IssuerNotYetValid)),
            (0, &[0, 2], 20, long, None),
            (0, &[2], 200, long, Some(Expired)),
            (0, &[3], 20, long, Some(UnknownIssuer)),
            (0, &[], 20, long, Some(UnknownIssuer)),
            (0, &[3, 0], 20, long, None),
            (1, &[0], 49, long, None),
            (1, &[0], 50, long, Some(IssuerExpired)),
            (1, &[1], 20, long, Some(UnknownIssuer)),
            (1, &[0], 100, valid(10, 20), Some(IssuerExpired)),
            (0, &[0], -5, valid(-9, 20), Some(IssuerNotYetValid)),
        ] {
            let trusted = trusted.iter().copied();
            let found = chains().flaw(leaf, signer, trusted, Wall(clock));
            assert_eq!(found, expected, "{signer} at {clock}");
        }
    }

    #[test]
    fn a_chain_ends_with_its_first_certificate() {
        let chains = chains();
        assert_eq!((chains.root(1), chains.end(1), chains.end(2)), (0, Wall(50), Wall(300)));
        assert!(chains.is_early(2, Wall(59)) && !chains.is_early(2, Wall(60)));
        assert!(!chains.is_early(2, Wall(300)));
        assert_eq!(chains.invalid(1, Wall(49)), None);
        assert_eq!(chains.invalid(1, Wall(50)), Some(1));
        assert_eq!(chains.invalid(1, Wall(100)), Some(0), "the root is told first");
    }

    #[test]
    fn a_clock_may_be_before_the_start() {
        let early = Wall::of(Time::ZERO, -5);
        assert!(early < Wall(0));
        assert_eq!(early.time(), Time::ZERO);
        assert_eq!(Wall(7).since(early), Duration::from_ns(12));
        assert_eq!(early.since(Wall(7)), Duration::ZERO);
    }
}
