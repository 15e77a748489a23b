//! The lookup of a destination that a proxy does not know yet, and what it does with the two answers.
//!
//! Profile and policy are asked for at the same time, and the connection waits for both: without a limit
//! today, 3 s up to 2.12. A controller that says "not found" to the policy has answered: the proxy goes
//! by the profile. Which of both governs stands in `plan::linkerd::split`.
//!
//! Source: linkerd2-proxy linkerd/app/outbound/src/discover.rs:84-96, `linkerd/app/core/src/disco_cache.rs:64`,
//! linkerd/app/src/dst.rs, linkerd/app/outbound/src/policy/api.rs:120; linkerd2#7868, linkerd2#8274.
//! Left out: destinations by IP that are no service, which go straight to it after the same lookup.

use crate::kernel::time::Time;
use crate::plan::linkerd::LinkerdOutbound;
use crate::plan::linkerd::words::Unknown;

/// Who is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// The destination controller.
    Profile,
    /// The policy controller.
    Policy,
}

/// A lookup under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lookup {
    since: Time,
    profile: bool,
    policy: bool,
}

/// What a stream's failure means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Next {
    /// It is tried again after a back-off.
    Retry,
    /// It is never tried again.
    Terminal,
    /// It is an answer: there is none, and one goes on without.
    GoOnWithout,
}

impl Lookup {
    /// It begins.
    pub const fn new(now: Time) -> Self {
        Self { since: now, profile: false, policy: false }
    }

    /// When it began.
    pub const fn since(&self) -> Time {
        self.since
    }

    /// An answer came; whether both are there now.
    #[must_use]
    pub fn answered(&mut self, by: Asked) -> bool {
        match by {
            Asked::Profile => self.profile = true,
            Asked::Policy => self.policy = true,
        }
        self.profile && self.policy
    }

    /// When connections that wait for it are reset; none if they wait for ever.
    #[must_use]
    pub fn gives_up(&self, rules: &LinkerdOutbound) -> Option<Time> {
        match rules.unknown_destination {
            Unknown::Hang => None,
            Unknown::Reset => Some(self.since.saturating_add(rules.unknown_timeout)),
        }
    }
}

/// What a gRPC status of a stream means.
pub const fn on_status(asked: Asked, code: u8) -> Next {
    const INVALID_ARGUMENT: u8 = 3;
    const NOT_FOUND: u8 = 5;
    const FAILED_PRECONDITION: u8 = 9;
    const UNIMPLEMENTED: u8 = 12;
    match (asked, code) {
        (Asked::Policy, NOT_FOUND | UNIMPLEMENTED) => Next::GoOnWithout,
        (_, INVALID_ARGUMENT | FAILED_PRECONDITION) => Next::Terminal,
        _ => Next::Retry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::time::Duration;
    use crate::plan::linkerd::parameters;

    #[test]
    fn both_controllers_must_answer() {
        let mut lookup = Lookup::new(Time::ZERO);
        assert!(!lookup.answered(Asked::Profile) && !lookup.answered(Asked::Profile));
        assert!(lookup.answered(Asked::Policy));
    }

    #[test]
    fn an_unknown_destination_hangs_today_and_was_reset_up_to_2_12() {
        let now = Time::ZERO + Duration::from_s(100);
        for (release, at) in [("2.10", Some(103)), ("2.12", Some(103)), ("2.13", None), ("", None)]
        {
            let rules = parameters(release).expect("a release").0.linkerd_outbound;
            let expected = at.map(|s| Time::ZERO + Duration::from_s(s));
            assert_eq!(Lookup::new(now).gives_up(&rules), expected, "{release}");
        }
    }

    #[test]
    fn few_statuses_end_a_stream_for_good() {
        assert_eq!(on_status(Asked::Policy, 5), Next::GoOnWithout);
        assert_eq!(on_status(Asked::Policy, 12), Next::GoOnWithout);
        assert_eq!(on_status(Asked::Profile, 5), Next::Retry);
        for asked in [Asked::Profile, Asked::Policy] {
            assert_eq!([3, 9].map(|code| on_status(asked, code)), [Next::Terminal; 2]);
            assert_eq!([0, 2, 13, 14].map(|code| on_status(asked, code)), [Next::Retry; 4]);
        }
    }
}
