//! Fault injection: whether a request is delayed, and whether it is aborted then.
//!
//! The filter stands before the router: the route's timeout does not cover the delay, and an abort is
//! never tried again. Both are drawn for themselves; with both, the abort follows the delay. While as many
//! requests as may be have a fault, others pass without: one that is delayed has it until its end, and is
//! aborted after its delay whatever happens meanwhile.
//!
//! Source: Envoy's `fault_filter.cc` (`faultOverflow`, `maybeIncActiveFaults`, `onDestroy`); measured on Envoy 1.40 (family e06).
//! Left out: faults by header; response rate limits.

use crate::kernel::stream::uniform;
use crate::kernel::time::Duration;
use crate::plan::filter::{Abort, Fault};
use crate::vocabulary::flag::{Flags, ResponseFlag};
use crate::vocabulary::outcome::{Details, Outcome};

/// How long a request is delayed; none if it is not.
#[must_use]
pub fn delay(fault: &Fault, draw: u64) -> Option<Duration> {
    (uniform(draw) < fault.delay_share).then_some(fault.delay)
}

/// How a request is aborted; none if it is not.
#[must_use]
pub fn abort(fault: &Fault, draw: u64) -> Option<Outcome> {
    let status = match fault.abort {
        Abort::Http(status) => status,
        Abort::Grpc(_) => 200,
    };
    let (flags, details) = (Flags::of(ResponseFlag::FI), Details::FaultAbort);
    (uniform(draw) < fault.abort_share).then_some(Outcome { status, flags, details })
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
    fn delay_and_abort_are_shares() {
        // Draws at so many thousandths of all.
        let share = |thousandths: u64| u64::MAX / 1000 * thousandths;
        assert_eq!(delay(&FAULT, share(499)), Some(Duration::from_ms(20)));
        assert_eq!(delay(&FAULT, share(501)), None);
        let aborted = abort(&FAULT, share(199)).expect("an abort");
        assert_eq!((aborted.status, aborted.flags.to_string().as_str()), (500, "FI"));
        assert_eq!(abort(&FAULT, share(201)), None);
    }

    #[test]
    fn an_abort_with_a_grpc_status_is_an_http_200() {
        let grpc = Fault { abort: Abort::Grpc(14), abort_share: 1.0, ..FAULT };
        assert_eq!(abort(&grpc, 7).map(|outcome| outcome.status), Some(200));
    }
}
