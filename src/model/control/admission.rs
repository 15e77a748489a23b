//! Which new streams an istiod replica lets in, and when.
//!
//! A token bucket of burst 1, kept as one instant: when the next token is there. A stream whose
//! token comes within the allowed wait takes it and is let in then; another is refused at once
//! and takes none.
//!
//! Source: istio pilot/pkg/xds/discovery.go:600-610 (`WaitForRequestLimit`): Go's `rate.Limiter`,
//! whose `Wait` fails at once where the deadline would be missed; the generic cell rate algorithm.
//! Left out: a stream that goes away while it waits (its token is not given back).

use crate::kernel::time::{Duration, NS_PER_S, Time};

/// The admission of one replica.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    /// Streams per second; 0 lets every one in.
    rate_per_s: u32,
    /// The longest wait.
    wait: Duration,
    /// When the next token is there, in ns times the rate, so that no rounding adds up.
    next_token: u128,
}

/// What happens to a new stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Admit {
    /// It is let in then.
    At(Time),
    /// It is refused now: `ResourceExhausted`.
    Refused,
}

impl Admission {
    /// An idle bucket.
    pub fn new(rate_per_s: u32, wait: Duration) -> Self {
        Self { rate_per_s, wait, next_token: 0 }
    }

    /// A stream comes.
    pub fn admit(&mut self, now: Time) -> Admit {
        if self.rate_per_s == 0 {
            return Admit::At(now);
        }
        let rate = u128::from(self.rate_per_s);
        let now_scaled = u128::from(now.ns()) * rate;
        let token = self.next_token.max(now_scaled);
        let wait_ns = (token - now_scaled).div_ceil(rate);
        if u128::from(self.wait.ns()) < wait_ns {
            return Admit::Refused;
        }
        self.next_token = token + u128::from(NS_PER_S);
        let wait_ns = u64::try_from(wait_ns).expect("no longer than the allowed wait");
        Admit::At(now + Duration::from_ns(wait_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Time {
        Time::ZERO + Duration::from_ms(ms)
    }

    #[test]
    fn a_storm_is_let_in_at_the_rate_for_one_wait_and_refused_beyond_it() {
        let mut admission = Admission::new(20, Duration::from_s(1));
        for n in 0..=20 {
            assert_eq!(admission.admit(ms(0)), Admit::At(ms(50 * n)));
        }
        assert_eq!(admission.admit(ms(0)), Admit::Refused);
        assert_eq!(admission.admit(ms(49)), Admit::Refused);
        assert_eq!(admission.admit(ms(50)), Admit::At(ms(1050)), "a token came free");
    }

    #[test]
    fn a_quiet_time_saves_one_token_and_no_more() {
        let mut admission = Admission::new(10, Duration::from_s(1));
        assert_eq!(admission.admit(ms(60_000)), Admit::At(ms(60_000)));
        assert_eq!(admission.admit(ms(60_000)), Admit::At(ms(60_100)));
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_keeps_its_count() {
        let mut admission = Admission::new(7, Duration::from_s(3600));
        let times: Vec<_> = (0..=7_000).map(|_| admission.admit(Time::ZERO)).collect();
        assert_eq!(times[7_000], Admit::At(ms(1_000_000)));
    }

    #[test]
    fn rate_zero_is_off() {
        let mut admission = Admission::new(0, Duration::ZERO);
        for _ in 0..1000 {
            assert_eq!(admission.admit(ms(3)), Admit::At(ms(3)));
        }
    }
}
