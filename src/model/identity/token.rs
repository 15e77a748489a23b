//! The projected service-account token with which an agent shows who it is.
//!
//! ```text
//! written ──────────── rotate_at · ttl ───────── ttl
//!         good         the kubelet writes the    expired: `Unauthenticated`
//!                      next one, if it can
//! ```
//!
//! While kubelet and API server are there, a token's age is a function of time, and nothing is
//! simulated. Once the rotation stands still the token grows old; when it goes on, a token that is due
//! is replaced at the kubelet's next look at the pod.
//!
//! Source: kubernetes `pkg/kubelet/token/token_manager.go` (rotation at 80 % of the life, or 24 h);
//! `pkg/kubelet/pod_workers.go` (a pod is looked at every 60 s times U[1, 1.5)); istio
//! security/pkg/credentialfetcher/plugin/token.go (the file is read for each request).
//! Left out: the kubelet's jitter of up to 10 s; audiences; the grace of old tokens at the API server.

use crate::kernel::time::{Duration, Time};
use crate::plan::parameter::SaToken;

/// However long a token lives, it is rotated at this age.
const AGE_MAX: Duration = Duration::from_s(24 * 3600);

/// When tokens are rotated, and when they end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenLaw {
    /// Above zero, at most the life.
    period: Duration,
    life: Duration,
}

impl TokenLaw {
    /// As configured.
    pub fn new(token: &SaToken) -> Self {
        let life = token.ttl;
        let period = life.scale(token.rotate_at).min(AGE_MAX);
        Self { period: period.max(Duration::from_ns(1)), life }
    }
}

/// A pod's token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token {
    /// The next rotation.
    due: Time,
    /// The end of the one that there is.
    expires: Time,
    stands_still: bool,
}

impl Token {
    /// Written now.
    pub fn fresh(now: Time, law: &TokenLaw) -> Self {
        Self {
            due: now.saturating_add(law.period),
            expires: now.saturating_add(law.life),
            stands_still: false,
        }
    }

    /// One of a pod that has run for long: `share` of the time to its rotation has passed, 0 to 1.
    pub fn aged(law: &TokenLaw, share: f64) -> Self {
        let due = Time::ZERO + law.period.scale(1.0 - share);
        Self { due, expires: due + (law.life - law.period), stands_still: false }
    }

    /// The one that there is now: rotations until now have been made.
    pub fn catch_up(&mut self, now: Time, law: &TokenLaw) {
        if self.stands_still || now < self.due {
            return;
        }
        let made = now.since(self.due).ns() / law.period.ns();
        let last = self.due.saturating_add(law.period * made);
        *self = Self::fresh(last, law);
    }

    /// Nobody rotates it any more.
    pub fn stop(&mut self, now: Time, law: &TokenLaw) {
        self.catch_up(now, law);
        self.stands_still = true;
    }

    /// It is rotated again: one that is due after `wait`.
    pub fn go_on(&mut self, now: Time, wait: Duration) {
        if self.stands_still && self.due <= now {
            self.due = now.saturating_add(wait);
        }
        self.stands_still = false;
    }

    /// Whether nobody rotates it.
    pub const fn stands_still(&self) -> bool {
        self.stands_still
    }

    /// The end of the one that there is, caught up with.
    pub const fn expires(&self) -> Time {
        self.expires
    }

    /// When it is rotated next, unless it stands still.
    pub const fn due(&self) -> Time {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::parameter::Parameters;

    const MINUTE: Duration = Duration::from_s(60);

    fn law() -> TokenLaw {
        TokenLaw::new(&Parameters::default().sa_token)
    }

    fn at(minutes: u64) -> Time {
        Time::ZERO + MINUTE * minutes
    }

    #[test]
    fn in_calm_a_token_is_between_0_and_576_minutes_old() {
        let law = law();
        for (share, minutes) in [(0.0, 576), (0.25, 432), (0.999, 1), (0.5, 288)] {
            let mut token = Token::aged(&law, share);
            assert!(token.due().saturating_since(at(minutes - 1)) <= MINUTE, "{token:?}");
            let mut stepped = token;
            for hour in 1..200 {
                stepped.catch_up(at(60 * hour), &law);
                let left = stepped.expires().since(at(60 * hour));
                assert!(MINUTE * 144 <= left && left <= MINUTE * 720, "{left}");
            }
            token.catch_up(at(60 * 199), &law);
            assert_eq!(token, stepped, "a leap is the same as steps");
        }
    }

    #[test]
    fn an_outage_of_less_than_2_h_24_min_lets_no_token_expire() {
        let law = law();
        for tenth in 0..10 {
            let mut token = Token::aged(&law, f64::from(tenth) / 10.0);
            token.stop(at(5000), &law);
            let left = token.expires().since(at(5000));
            assert!(MINUTE * 144 <= left, "{left}");
            token.go_on(at(5000 + 143), MINUTE);
            token.catch_up(at(5000 + 144), &law);
            assert!(at(5000 + 144) < token.expires());
        }
    }

    #[test]
    fn one_that_stood_still_is_rotated_at_the_next_look_and_then_as_ever() {
        let law = law();
        let mut token = Token::fresh(Time::ZERO, &law);
        token.stop(at(60), &law);
        token.catch_up(at(800), &law);
        assert_eq!(token.expires(), at(720), "nobody rotates it");
        token.go_on(at(800), MINUTE);
        assert_eq!((token.due(), token.expires()), (at(801), at(720)));
        token.catch_up(at(801), &law);
        assert_eq!((token.due(), token.expires()), (at(801 + 576), at(801 + 720)));
        // One that is not due keeps its time.
        token.stop(at(900), &law);
        token.go_on(at(1000), MINUTE);
        assert_eq!(token.due(), at(801 + 576));
    }

    #[test]
    fn a_long_life_is_rotated_every_day() {
        let mut keys = Parameters::default().sa_token;
        keys.ttl = MINUTE * 60 * 24 * 365;
        let token = Token::fresh(Time::ZERO, &TokenLaw::new(&keys));
        assert_eq!(token.due(), at(60 * 24));
    }
}
