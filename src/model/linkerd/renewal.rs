//! A Linkerd leaf: what the identity controller signs, and when its proxy asks for the next one.
//!
//! ```text
//! issued ─────────────────────── first try ────── 2nd ── 3rd ─ …       end
//!    0            0.7 of what is left    0.7 of what is left then    86,420 s
//! ```
//!
//! There is no back-off: after a failure the proxy sleeps 0.7 of what is left of the leaf that it has, as after
//! a success. So the tries come closer to the end, 10 s apart at the least; whoever has none, or one that
//! is over, tries every 10 s. A try takes time of its own: up to 30 s where no controller is to be had.
//!
//! Source: linkerd2-proxy linkerd/proxy/identity-client/src/certify.rs (`refresh_in`); linkerd2 pkg/tls/ca.go
//! (`Window`, `createTemplate`) and pkg/identity/service.go:200-290; linkerd2#9256 for roots that are over.
//! Left out: names in requests; what the proxy says in its log.

use crate::kernel::time::{Duration, Time};
use crate::model::identity::chain::{Validity, Wall};
use crate::plan::linkerd::LinkerdIdentity;

/// What the identity controller signs with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Issuer {
    /// Whether it has read its key and certificate.
    pub is_loaded: bool,
    /// From when to when its certificate is valid.
    pub validity: Validity,
    /// From when to when the trust anchor is valid that it must verify against.
    pub anchor: Validity,
    /// The first end in the issuer's chain, without the anchor.
    pub chain_end: Wall,
}

/// Why there is no leaf.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Refused {
    /// No issuer is loaded (`Unavailable`).
    NotLoaded,
    /// The issuer does not verify against the anchors now (`Unknown`, event `IssuerValidationFailed`).
    IssuerInvalid,
    /// The API server does not vouch for the token.
    TokenInvalid,
}

/// Why a proxy does not take a leaf that was signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Rejected {
    /// Its end is past ("certificate already expired").
    AlreadyExpired,
    /// By the proxy's clock it is not valid yet.
    NotYetValid,
}

/// Signs a leaf by the controller's clock.
pub fn issue(
    rules: &LinkerdIdentity,
    clock: Wall,
    issuer: &Issuer,
    token_is_good: bool,
) -> Result<Validity, Refused> {
    if !issuer.is_loaded {
        return Err(Refused::NotLoaded);
    }
    if !is_within(issuer.validity, clock) || !is_within(issuer.anchor, clock) {
        return Err(Refused::IssuerInvalid);
    }
    if !token_is_good {
        return Err(Refused::TokenInvalid);
    }
    let own_end = clock.plus(rules.lifetime).plus(rules.clock_skew);
    let is_clamped = rules.clamp_to_issuer;
    Ok(Validity {
        not_before: clock.minus(rules.clock_skew),
        not_after: if is_clamped { own_end.min(issuer.chain_end) } else { own_end },
    })
}

/// Go's `x509`: both ends belong to it.
fn is_within(validity: Validity, clock: Wall) -> bool {
    validity.not_before <= clock && clock <= validity.not_after
}

/// What a peer finds of a certificate in a handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Verdict {
    /// Nothing wrong.
    Good,
    /// The leaf or its issuer is over.
    Expired,
    /// The leaf or its issuer is not valid yet.
    NotYetValid,
}

/// Verifies a leaf and its issuer by the verifier's clock, without an allowance. The root's dates are not
/// looked at: one that is over changes nothing.
pub fn verify(leaf: Validity, issuer: Validity, clock: Wall) -> Verdict {
    let all = [issuer, leaf];
    if all.iter().any(|one| clock < one.not_before) {
        Verdict::NotYetValid
    } else if all.iter().any(|one| one.not_after < clock) {
        Verdict::Expired
    } else {
        Verdict::Good
    }
}

/// A proxy's loop that keeps its leaf fresh.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Certify {
    /// The end of the leaf that it has.
    expiry: Option<Wall>,
}

/// Tries that are known to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Skipped {
    /// The first try at or after the end of the failures.
    pub next: Time,
    /// Those before it.
    pub tries: u64,
}

impl Certify {
    /// Of a proxy that starts: its first try is made at once, and it takes no traffic before a success.
    pub const fn new() -> Self {
        Self { expiry: None }
    }

    /// Of a proxy that has a leaf.
    pub const fn holding(leaf: Validity) -> Self {
        Self { expiry: Some(leaf.not_after) }
    }

    /// Whether it has ever had a leaf: until then its ports do not accept and `/ready` is 503.
    pub const fn has_started(&self) -> bool {
        self.expiry.is_some()
    }

    /// A try succeeded with this leaf, by the proxy's clock; from now on until the next try. A leaf that the
    /// proxy rejects is a failed try.
    pub fn certified(
        &mut self,
        rules: &LinkerdIdentity,
        clock: Wall,
        leaf: Validity,
    ) -> Result<Duration, Rejected> {
        if leaf.not_after <= clock {
            return Err(Rejected::AlreadyExpired);
        }
        if clock < leaf.not_before {
            return Err(Rejected::NotYetValid);
        }
        self.expiry = Some(leaf.not_after);
        Ok(self.sleep(rules, clock))
    }

    /// How long it sleeps from now on, by its own clock: after a success and after a failure alike.
    #[must_use]
    pub fn sleep(&self, rules: &LinkerdIdentity, clock: Wall) -> Duration {
        let left = self.expiry.map_or(Duration::ZERO, |expiry| expiry.since(clock));
        // Not `clamp`: it panics where a plan has the least above the most.
        left.scale(rules.refresh_ratio).min(rules.max_refresh).max(rules.min_refresh)
    }

    /// Where the loop stands when every try before `until` fails after `held`, the next one being made at
    /// `next`; its clock is `ahead` nanoseconds ahead. In constant time once the leaf is over.
    #[must_use]
    pub fn skip(
        &self,
        rules: &LinkerdIdentity,
        ahead: i64,
        next: Time,
        held: Duration,
        until: Time,
    ) -> Skipped {
        let (mut next, mut tries) = (next, 0);
        while next < until {
            let failed_at = next.saturating_add(held);
            let clock = Wall::of(failed_at, ahead);
            if self.expiry.is_none_or(|expiry| expiry <= clock) {
                let period = (held.ns() + rules.min_refresh.ns()).max(1);
                let more = until.since(next).ns().div_ceil(period);
                let length = Duration::from_ns(period.saturating_mul(more));
                return Skipped { next: next.saturating_add(length), tries: tries + more };
            }
            let sleep = self.sleep(rules, clock).max(Duration::from_ns(1));
            (next, tries) = (failed_at.saturating_add(sleep), tries + 1);
        }
        Skipped { next, tries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::linkerd::Linkerd;

    fn rules() -> LinkerdIdentity {
        Linkerd::default().linkerd_identity
    }

    fn wall(s: f64) -> Wall {
        Wall(0).plus(Duration::from_s_f64(s))
    }

    fn long() -> Validity {
        Validity { not_before: Wall::MIN, not_after: wall(3e7) }
    }

    fn issuer() -> Issuer {
        Issuer { is_loaded: true, validity: long(), anchor: long(), chain_end: wall(3e7) }
    }

    fn first_leaf() -> Validity {
        issue(&rules(), wall(0.0), &issuer(), true).expect("a good issuer")
    }

    /// The instants of tries after a leaf was issued at zero, when each fails after `held`.
    fn tries(held: Duration, count: usize) -> Vec<f64> {
        let certify = Certify::holding(first_leaf());
        let mut at = Time::ZERO + certify.sleep(&rules(), wall(0.0));
        let mut tries = Vec::new();
        for _ in 0..count {
            tries.push(at.as_s());
            at += held;
            at += certify.sleep(&rules(), Wall::of(at, 0));
        }
        tries
    }

    #[test]
    fn a_leaf_is_valid_for_a_day_and_the_skew_on_both_sides() {
        let leaf = first_leaf();
        assert_eq!(leaf.not_before, Wall(0).minus(Duration::from_s(20)));
        assert_eq!(leaf.not_after, wall(86_420.0));
    }

    /// The tries after failures that come at once: 16.80 h, then 21.85, 23.36, 23.81, 23.95, 23.99 h.
    #[test]
    fn each_failure_leaves_three_tenths_of_what_was_left() {
        let bar = [60_494.0, 78_642.0, 84_087.0, 85_720.0, 86_210.0, 86_357.0, 86_401.0];
        for (at, bar) in tries(Duration::ZERO, 7).into_iter().zip(bar) {
            assert!((at - bar).abs() < 1.0, "{at}, not {bar}");
        }
        // What is left after them is less than the least sleep; then it is over.
        let late = tries(Duration::ZERO, 11);
        let gaps: Vec<f64> = late[7..].windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(gaps, [10.0; 3], "{late:?}");
    }

    #[test]
    fn a_try_that_takes_half_a_minute_shifts_all_later_ones() {
        let (quick, slow) = (tries(Duration::ZERO, 9), tries(Duration::from_s(30), 9));
        assert_eq!(quick[0].to_bits(), slow[0].to_bits());
        for index in 1..6 {
            // 30 s later each, of which 0.7 are made up for by the shorter sleep.
            let shift = slow[index] - quick[index];
            let bar = 30.0 * (1.0 - libm::pow(0.3, index as f64)) / 0.7 * 0.3;
            assert!((shift - bar).abs() < 0.001, "try {index} is {shift} later, not {bar}");
        }
        // One every 40 s from the end of the leaf on.
        assert!((slow[8] - slow[7] - 40.0).abs() < 1e-6);
    }

    #[test]
    fn sleeps_have_a_least_and_a_most() {
        let day = 86_400.0;
        let certify = |end| Certify { expiry: Some(wall(end)) };
        for (left, sleep) in
            [(100.0, 70.0), (14.0, 10.0), (0.0, 10.0), (-5.0, 10.0), (3.0 * day, day)]
        {
            let shown = certify(10.0 + left).sleep(&rules(), wall(10.0));
            assert_eq!(shown, Duration::from_s_f64(sleep), "{left} s left");
        }
        assert_eq!(Certify::new().sleep(&rules(), wall(0.0)), Duration::from_s(10));
        assert!(!Certify::new().has_started() && certify(0.0).has_started());
    }

    #[test]
    fn a_leaf_ends_with_the_issuers_chain_unless_it_is_of_2019() {
        let near = Issuer { chain_end: wall(3600.0), ..issuer() };
        let end = |rules: &LinkerdIdentity| {
            issue(rules, wall(0.0), &near, true).expect("a good issuer").not_after
        };
        assert_eq!(end(&rules()), wall(3600.0));
        let old = LinkerdIdentity { clamp_to_issuer: false, ..rules() };
        assert_eq!(end(&old), wall(86_420.0));
    }

    #[test]
    fn the_controller_looks_at_the_anchor_and_proxies_do_not() {
        let over = Validity { not_before: Wall::MIN, not_after: wall(100.0) };
        let at = |clock, issuer: Issuer| issue(&rules(), wall(clock), &issuer, true).err();
        let anchor_over = Issuer { anchor: over, ..issuer() };
        assert_eq!(at(100.0, anchor_over), None);
        assert_eq!(at(100.1, anchor_over), Some(Refused::IssuerInvalid));
        assert_eq!(at(100.1, Issuer { validity: over, ..issuer() }), Some(Refused::IssuerInvalid));
        assert_eq!(at(0.0, Issuer { is_loaded: false, ..issuer() }), Some(Refused::NotLoaded));
        assert_eq!(issue(&rules(), wall(0.0), &issuer(), false), Err(Refused::TokenInvalid));
        // The leaf and the issuer are good; of the anchor nobody asks.
        assert_eq!(verify(first_leaf(), long(), wall(50_000.0)), Verdict::Good);
        assert_eq!(verify(first_leaf(), over, wall(101.0)), Verdict::Expired);
    }

    #[test]
    fn clocks_may_differ_by_the_skew_and_no_more() {
        let mut certify = Certify::new();
        let leaf = first_leaf();
        let early = |s: f64| Wall(0).minus(Duration::from_s_f64(s));
        assert!(certify.certified(&rules(), early(20.0), leaf).is_ok());
        assert_eq!(certify.certified(&rules(), early(20.1), leaf), Err(Rejected::NotYetValid));
        let late = certify.certified(&rules(), wall(86_420.0), leaf);
        assert_eq!(late, Err(Rejected::AlreadyExpired));
        assert_eq!(verify(leaf, long(), early(20.1)), Verdict::NotYetValid);
        assert_eq!(verify(leaf, long(), wall(86_420.1)), Verdict::Expired);
    }

    #[test]
    fn skipping_comes_where_stepping_comes() {
        let certify = Certify::holding(first_leaf());
        let first = Time::ZERO + certify.sleep(&rules(), wall(0.0));
        for held in [Duration::ZERO, Duration::from_s(30)] {
            let all = tries(held, 60);
            for until in [1.0, 60_494.0, 60_494.5, 84_000.0, 86_419.0, 86_500.0, 86_543.2] {
                let end = Time::ZERO + Duration::from_s_f64(until);
                let skipped = certify.skip(&rules(), 0, first, held, end);
                let before = all.iter().filter(|at| **at < until).count();
                assert_eq!(skipped.tries, before as u64, "until {until}");
                assert!((skipped.next.as_s() - all[before]).abs() < 1e-6, "until {until}");
            }
        }
        let boot = Certify::new().skip(&rules(), 0, Time::ZERO, Duration::ZERO, Time::MAX);
        assert_eq!(boot.next, Time::MAX);
    }
}
