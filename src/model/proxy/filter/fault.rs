//! Fault injection: whether a request is delayed, and whether it is aborted then.
//!
//! The filter stands before the router: the route's timeout does not cover the delay, and an abort is
//! never tried again. Both are drawn for themselves; with both, the abort follows the delay.
//!
//! Source: Envoy fault filter docs; measured on Envoy 1.40 (family e06).
//! Left out: faults by header; response rate limits.

use crate::kernel::stream::uniform;
use crate::kernel::time::Duration;
use crate::plan::filter::{Abort, Fault};
use crate::vocabulary::flag::{Flags, ResponseFlag};
use crate::vocabulary::outcome::{Details, Outcome};

/// How long a request is delayed while `active` others are; none if it is not.
#[must_use]
pub fn delay(fault: &Fault, active: u32, draw: u64) -> Option<Duration> {
    let has_room = fault.max_active.is_none_or(|max| active < max);
    (has_room && uniform(draw) < fault.delay_share).then_some(fault.delay)
}

/// How a request is aborted while `active` others are delayed; none if it is not.
#[must_use]
pub fn abort(fault: &Fault, active: u32, draw: u64) -> Option<Outcome> {
    let has_room = fault.max_active.is_none_or(|max| active < max);
    let status = match fault.abort {
        Abort::Http(status) => status,
        Abort::Grpc(_) => 200,
    };
    let (flags, details) = (Flags::of(ResponseFlag::FI), Details::FaultAbort);
    (has_room && uniform(draw) < fault.abort_share).then_some(Outcome { status, flags, details })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAULT: Fault = Fault {
        delay: Duration::from_ms(20),
        delay_share: 0.5,
        abort: Abort::Http(500),
        abort_share: 0.2,
        max_active: Some(3),
    };

    #[test]
    fn delay_and_abort_are_shares_and_stop_at_the_limit() {
        // Draws at so many thousandths of all.
        let share = |thousandths: u64| u64::MAX / 1000 * thousandths;
        assert_eq!(delay(&FAULT, 2, share(499)), Some(Duration::from_ms(20)));
        assert_eq!(delay(&FAULT, 2, share(501)), None);
        assert_eq!(delay(&FAULT, 3, 0), None);
        let aborted = abort(&FAULT, 0, share(199)).expect("an abort");
        assert_eq!((aborted.status, aborted.flags.to_string().as_str()), (500, "FI"));
        assert_eq!(abort(&FAULT, 0, share(201)), None);
    }

    #[test]
    fn an_abort_with_a_grpc_status_is_an_http_200() {
        let grpc = Fault { abort: Abort::Grpc(14), abort_share: 1.0, ..FAULT };
        assert_eq!(abort(&grpc, 0, 7).map(|outcome| outcome.status), Some(200));
    }
}
