//! A workload's leaf certificate: when it ends, and when its agent renews it.
//!
//! ```text
//! issued ───────────────── renew_at ──────────────────── not_after
//!        (1 − g) · life               g · life            g = 0.5 ± 0.01, drawn at issue
//! ```
//!
//! Source: istio security/pkg/nodeagent/cache/secretcache.go:858-871 for the renewal instant;
//! security/pkg/pki/util/generate_cert.go:285-350 and security/pkg/pki/ca/ca.go:499 for begin, end and
//! refusals; istio#18990 for leaves that outlive their signer.
//! Left out: keys; a renewal that is due at once is asked for after a second where clocks differ, while Istio's agent asks
//! without end.

use super::chain::{Validity, Wall};
use crate::kernel::stream::uniform;
use crate::kernel::time::{Duration, Time};
use crate::plan::parameter::Cert;

/// No agent asks for its next certificate sooner than this. Istio's would at once.
const RENEWAL_MIN: Duration = Duration::from_s(1);

/// A leaf that a proxy holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leaf {
    /// What it says.
    pub validity: Validity,
    /// Verifiers with the right time refuse it from here on: its own end or that of one above it,
    /// whichever comes first.
    pub not_after: Time,
    /// The agent asks for the next one.
    pub renew_at: Time,
    /// Counts the leaves of its holder.
    pub generation: u32,
    /// The authority's certificate with which it was signed, by place.
    pub signer: u32,
}

/// Who signs, and by which clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signing {
    /// The authority's certificate, by place.
    pub signer: u32,
    /// Its end.
    pub signer_end: Wall,
    /// The end of the first certificate of its chain.
    pub chain_end: Wall,
    /// By how many nanoseconds istiod's clock is ahead.
    pub istiod_ahead: i64,
    /// And that of the agent.
    pub agent_ahead: i64,
}

/// Why the authority did not sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Refused {
    /// Its own certificate is past its end (`CERT_GEN_ERROR`, retried).
    SignerExpired,
    /// More life was asked for than it grants (`TTL_ERROR`, not retried inside the agent).
    TtlTooLong,
}

impl Leaf {
    /// Whether a verifier with the right time accepts it.
    pub fn is_valid(&self, now: Time) -> bool {
        now < self.not_after
    }

    /// Whether the authority would sign.
    pub fn is_refused(now: Time, cert: &Cert, by: &Signing) -> Result<(), Refused> {
        if cert.max_ttl < cert.ttl {
            return Err(Refused::TtlTooLong);
        }
        if by.signer_end <= Wall::of(now, by.istiod_ahead) {
            return Err(Refused::SignerExpired);
        }
        Ok(())
    }

    /// Signs a leaf, by istiod's clock; the agent reckons its renewal by its own. `draws` are the sign
    /// and the amount of the renewal's jitter.
    pub fn issue(
        now: Time,
        cert: &Cert,
        by: Signing,
        draws: [u64; 2],
        generation: u32,
    ) -> Result<Self, Refused> {
        Self::is_refused(now, cert, &by)?;
        let signed = Wall::of(now, by.istiod_ahead);
        let own_end = signed.plus(cert.ttl);
        let end = if cert.clamp_to_signer { own_end.min(by.signer_end) } else { own_end };
        let life = end.since(Wall::of(now, by.agent_ahead));
        let wait = life - life.scale(left_at_renewal(cert, draws));
        let wait = if by.agent_ahead == by.istiod_ahead { wait } else { wait.max(RENEWAL_MIN) };
        Ok(Self {
            validity: Validity { not_before: signed.minus(cert.not_before_skew), not_after: end },
            not_after: end.min(by.chain_end).time(),
            renew_at: now.saturating_add(wait),
            generation,
            signer: by.signer,
        })
    }

    /// A leaf held at time zero, issued before it: `age_share` of its time from the issue to the
    /// renewal has passed, in [0, 1). All clocks are right.
    pub fn aged(cert: &Cert, by: Signing, age_share: f64, draws: [u64; 2]) -> Self {
        debug_assert!((0.0..1.0).contains(&age_share), "an age of {age_share}");
        let left = left_at_renewal(cert, draws);
        let age_of_life = age_share * (1.0 - left);
        let signer_life = by.signer_end.since(Wall(0));
        // Issued at −age and clamped to the signer, it lives for age + what the signer has left.
        let life_rest = cert.ttl.scale(1.0 - age_of_life);
        let is_clamped = cert.clamp_to_signer && signer_life < life_rest;
        let life = if is_clamped { signer_life.scale(1.0 / (1.0 - age_of_life)) } else { cert.ttl };
        let rest = if is_clamped { signer_life } else { life_rest };
        let end = Wall(0).plus(rest);
        Self {
            validity: Validity {
                not_before: end.minus(life).minus(cert.not_before_skew),
                not_after: end,
            },
            not_after: end.min(by.chain_end).time(),
            renew_at: Time::ZERO + rest.saturating_sub(life.scale(left)),
            generation: 0,
            signer: by.signer,
        }
    }

    /// As ztunnel reckons: renewed when `share` of the time from its begin to its end has passed by a clock that
    /// is so many nanoseconds ahead, in [0, 1]; there is no chance in it. At once is a second later.
    /// Source: ztunnel `src/tls/certificate.rs:402-408`.
    #[must_use]
    pub fn renewed_at_share(self, share: f64, ahead: i64, now: Time) -> Self {
        let Validity { not_before, not_after } = self.validity;
        let at = not_before.plus(not_after.since(not_before).scale(share));
        let at = Wall(at.0.saturating_sub(ahead)).time();
        Self { renew_at: at.max(now + RENEWAL_MIN), ..self }
    }

    /// What is left of its life, zero if it is over.
    pub fn remaining(&self, now: Time) -> Duration {
        self.not_after.saturating_since(now)
    }
}

/// The share of life that is left at the renewal.
fn left_at_renewal(cert: &Cert, [sign, amount]: [u64; 2]) -> f64 {
    let jitter = uniform(amount) * cert.grace_jitter;
    let jitter = if sign >> 63 == 0 { jitter } else { -jitter };
    (cert.grace_ratio + jitter).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::stream::Key;
    use crate::plan::parameter::Parameters;

    const DAY: Duration = Duration::from_s(86_400);

    fn cert() -> Cert {
        Parameters::default().cert
    }

    fn until(end: Time) -> Signing {
        let end = Wall::of(end, 0);
        Signing { signer: 0, signer_end: end, chain_end: end, istiod_ahead: 0, agent_ahead: 0 }
    }

    fn never() -> Signing {
        until(Time::MAX)
    }

    fn h(hours: f64) -> Time {
        Time::ZERO + Duration::from_s_f64(hours * 3600.0)
    }

    #[test]
    fn a_leaf_lives_a_day_and_is_renewed_at_half_of_it() {
        let leaf = Leaf::issue(h(3.0), &cert(), never(), [0, 0], 4).expect("signed");
        assert_eq!((leaf.not_after, leaf.renew_at), (h(27.0), h(15.0)));
        assert_eq!((leaf.generation, leaf.signer), (4, 0));
        let begin = Wall::of(h(3.0), 0).minus(Duration::from_s(120));
        assert_eq!(leaf.validity, Validity { not_before: begin, not_after: Wall::of(h(27.0), 0) });
        assert!(leaf.is_valid(Time::from_ns(h(27.0).ns() - 1)));
        assert!(!leaf.is_valid(h(27.0)));
        assert_eq!(leaf.remaining(h(26.0)), Duration::from_s(3600));
        assert_eq!(leaf.remaining(h(28.0)), Duration::ZERO);
    }

    #[test]
    fn renewals_are_spread_over_one_percent_of_life_to_each_side() {
        let renewal = |sign, amount| {
            Leaf::issue(h(0.0), &cert(), never(), [sign, amount], 0).expect("signed").renew_at
        };
        let (earliest, latest) = (renewal(0, u64::MAX), renewal(u64::MAX, u64::MAX));
        assert!(h(11.76) <= earliest && earliest < h(11.761), "{earliest}");
        assert!(h(12.239) < latest && latest <= h(12.24), "{latest}");
        let all: Vec<_> =
            (0..10_000).map(|n| renewal(Key(n).draw(0, 0), Key(n).draw(0, 1))).collect();
        // Uniform on 11.76 h to 12.24 h: mean 12 h, deviation 0.48 h / √12, four standard errors.
        let mean = all.iter().map(|at| at.as_s() / 3600.0).sum::<f64>() / 10_000.0;
        assert!((mean - 12.0).abs() < 4.0 * 0.48 / libm::sqrt(12.0 * 10_000.0), "{mean}");
    }

    #[test]
    fn a_leaf_ends_with_its_signer_and_is_renewed_in_time_if_clamped() {
        let leaf = Leaf::issue(h(0.0), &cert(), until(h(10.0)), [0, 0], 0).expect("signed");
        assert_eq!((leaf.not_after, leaf.renew_at), (h(10.0), h(5.0)));
    }

    #[test]
    fn without_the_clamp_a_leaf_is_not_renewed_before_its_signer_ends() {
        let mut cert = cert();
        cert.clamp_to_signer = false;
        let leaf = Leaf::issue(h(0.0), &cert, until(h(10.0)), [0, 0], 0).expect("signed");
        assert_eq!((leaf.not_after, leaf.renew_at), (h(10.0), h(12.0)));
    }

    #[test]
    fn an_expired_signer_and_too_long_a_life_are_refused() {
        assert_eq!(
            Leaf::issue(h(1.0), &cert(), until(h(1.0)), [0, 0], 0),
            Err(Refused::SignerExpired)
        );
        let mut cert = cert();
        cert.ttl = cert.max_ttl + Duration::from_ns(1);
        assert_eq!(Leaf::issue(h(0.0), &cert, never(), [0, 0], 0), Err(Refused::TtlTooLong));
    }

    #[test]
    fn an_aged_leaf_is_one_that_was_issued_earlier() {
        // Issued at 0 and looked at when three quarters of the way to its renewal have passed.
        let issued = Leaf::issue(h(0.0), &cert(), never(), [0, 1 << 62], 0).expect("signed");
        let age = issued.renew_at.since(Time::ZERO).scale(0.75);
        let aged = Leaf::aged(&cert(), never(), 0.75, [0, 1 << 62]);
        for (then, now) in [(issued.renew_at, aged.renew_at), (issued.not_after, aged.not_after)] {
            let error = then.since(Time::ZERO).ns().abs_diff((now + age).ns());
            assert!(error <= 2, "{then} and {now} + {age}");
        }
        let fresh = Leaf::aged(&cert(), never(), 0.0, [0, 0]);
        assert_eq!((fresh.not_after, fresh.renew_at), (Time::ZERO + DAY, h(12.0)));
    }

    #[test]
    fn ztunnel_renews_at_exactly_half_of_the_life_from_not_before_on() {
        // 24 h and the two minutes by which istiod dates it back: half are 12 h 1 min after notBefore.
        let half = Duration::from_s(12 * 3600 - 60);
        for issued in [h(0.0), h(7.5)] {
            for draws in [[0, 0], [0, u64::MAX], [1 << 63, 1 << 62]] {
                let leaf = Leaf::issue(issued, &cert(), never(), draws, 0).expect("signed");
                assert_eq!(leaf.renewed_at_share(0.5, 0, issued).renew_at, issued + half);
                // An hour ahead, it comes an hour sooner.
                let sooner = leaf.renewed_at_share(0.5, 3_600_000_000_000, issued).renew_at;
                assert_eq!(sooner + Duration::from_s(3600), issued + half);
            }
        }
        let aged = Leaf::aged(&cert(), never(), 0.9999, [0, 0]);
        assert_eq!(aged.renewed_at_share(0.5, 0, Time::ZERO).renew_at, Time::ZERO + RENEWAL_MIN);
    }

    #[test]
    fn an_aged_leaf_ends_no_later_than_its_signer() {
        let aged = Leaf::aged(&cert(), until(h(6.0)), 0.5, [0, 0]);
        // Life 8 h, of which 2 h are over; renewed at 4 h of it.
        assert_eq!((aged.not_after, aged.renew_at), (h(6.0), h(2.0)));
        let dead = Leaf::aged(&cert(), until(Time::ZERO), 0.5, [0, 0]);
        assert!(!dead.is_valid(Time::ZERO));
    }

    #[test]
    fn istiod_dates_by_its_clock_and_the_agent_reckons_by_its_own() {
        let hour = 3_600_000_000_000;
        let with = |istiod_ahead, agent_ahead| {
            let by = Signing { istiod_ahead, agent_ahead, ..never() };
            Leaf::issue(h(5.0), &cert(), by, [0, 0], 0).expect("signed")
        };
        // istiod is an hour ahead: what it signs begins and ends so much later, and is renewed at half of
        // the 25 h that the agent sees.
        let early = with(hour, 0);
        assert_eq!((early.not_after, early.renew_at), (h(30.0), h(17.5)));
        assert_eq!(early.validity.not_before, Wall::of(h(6.0), 0).minus(Duration::from_s(120)));
        // The agent is: the certificate seems to have an hour less.
        let late = with(0, hour);
        assert_eq!((late.not_after, late.renew_at), (h(29.0), h(16.5)));
        // Both are: nobody notices.
        assert_eq!(with(hour, hour).renew_at, h(17.0));
        // The agent's clock is past the end: it asks again and again.
        assert_eq!(with(0, 30 * hour).renew_at, h(5.0) + RENEWAL_MIN);
    }

    #[test]
    fn a_leaf_is_worth_nothing_when_one_above_its_signer_has_ended() {
        let by = Signing { chain_end: Wall::of(h(8.0), 0), ..until(h(20.0)) };
        let leaf = Leaf::issue(h(0.0), &cert(), by, [0, 0], 0).expect("signed");
        assert_eq!((leaf.not_after, leaf.renew_at), (h(8.0), h(10.0)));
        assert_eq!(leaf.validity.not_after, Wall::of(h(20.0), 0));
    }
}
