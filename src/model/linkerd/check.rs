//! `linkerd check`: what an operator would have been told of certificates and clocks.
//!
//! A warning does not fail the command: whoever looks only at its exit status hears of a certificate
//! when it is over. It looks at what is in the configuration and in the secret, not at what each replica has read: an
//! issuer that a replica has missed is none of its findings.
//!
//! Source: linkerd2 pkg/issuercerts/issuercerts.go:22,120-135; pkg/healthcheck/healthcheck.go:176-182; linkerd2#9612.
//! Left out: all other checks; kinds of keys.

use crate::kernel::time::Duration;
use crate::model::identity::chain::{Validity, Wall};
use crate::plan::linkerd::LinkerdIdentity;

/// What is said of a certificate, from good to bad.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[must_use]
pub enum Finding {
    /// Nothing.
    Good,
    /// A warning: it ends soon.
    EndsSoon,
    /// An error: it is not valid yet.
    NotYetValid,
    /// An error: it is over.
    Expired,
    /// An error: the issuer is of no anchor in the bundle.
    OfNoAnchor,
}

impl Finding {
    /// Whether the command's exit status shows it.
    pub fn fails(self) -> bool {
        Self::EndsSoon < self
    }

    /// 0 for nothing, 1 for a warning, 2 for an error.
    pub fn level(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::EndsSoon => 1,
            Self::NotYetValid | Self::Expired | Self::OfNoAnchor => 2,
        }
    }
}

/// Of an anchor's, issuer's or webhook's certificate.
pub fn certificate(rules: &LinkerdIdentity, validity: Validity, clock: Wall) -> Finding {
    if clock < validity.not_before {
        Finding::NotYetValid
    } else if validity.not_after < clock {
        Finding::Expired
    } else if validity.not_after < clock.plus(rules.check_warning) {
        Finding::EndsSoon
    } else {
        Finding::Good
    }
}

/// Whether a node's clock that is so many nanoseconds ahead, or behind, passes `check --pre`. If not, that is a warning.
pub fn clock_passes(rules: &LinkerdIdentity, ahead: i64) -> bool {
    Duration::from_ns(ahead.unsigned_abs()) <= rules.check_clock_skew
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::linkerd::Linkerd;

    #[test]
    fn a_certificate_is_warned_of_for_sixty_days_and_fails_when_it_is_over() {
        let rules = Linkerd::default().linkerd_identity;
        let day = |days: u64| Wall(0).plus(Duration::from_s(86_400 * days));
        let year = Validity { not_before: day(1), not_after: day(366) };
        let second = Duration::from_s(1);
        for (clock, finding, fails) in [
            (day(0), Finding::NotYetValid, true),
            (day(1), Finding::Good, false),
            (day(306), Finding::Good, false),
            (day(306).plus(second), Finding::EndsSoon, false),
            (day(366), Finding::EndsSoon, false),
            (day(366).plus(second), Finding::Expired, true),
        ] {
            assert_eq!(certificate(&rules, year, clock), finding);
            assert_eq!(finding.fails(), fails);
        }
    }

    #[test]
    fn clocks_may_differ_by_310_seconds_either_way() {
        let rules = Linkerd::default().linkerd_identity;
        let limit = 310_000_000_000;
        assert!(clock_passes(&rules, limit) && clock_passes(&rules, -limit));
        assert!(!clock_passes(&rules, limit + 1) && !clock_passes(&rules, -limit - 1));
    }
}
