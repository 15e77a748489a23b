//! The proxy's client of a controller that was away: when it is connected again, and when a call goes through.
//!
//! ```text
//! lost ── connects after 100 ms, doubling to 60 s ──────────────────────────── up
//! call ── waits ──┬ 30 s after the first that waits: all fail, and who comes fails at once
//!                 └ a lookup that failed is tried again after 100 ms, doubling to 60 s: the first try after "up"
//! ```
//!
//! Both back-offs are felt one after the other: who asked during a long outage is answered up to two minutes
//! after its end, though the controller has been there all the time.
//!
//! Source: linkerd2-proxy linkerd/app/core/src/control.rs:45-80 (its stack: balancer, queue, reconnect),
//! linkerd/app/src/dst.rs and linkerd/tonic-watch/src/lib.rs for the tries of a lookup.
//! Left out: the controllers' DNS, whose new addresses are connected to at once.

use super::backoff::{base, wait};
use crate::kernel::time::{Duration, Time};
use crate::plan::linkerd::policy::Backoff;

/// After so many waits the longest is reached, whose jitter has no room.
const GROWN: u32 = 64;

/// The first try of a loop at `until` or later. `first` is when the wait before the first try begins; each try takes
/// `held` until it has failed.
#[must_use]
pub fn first_try_after(
    backoff: &Backoff,
    first: Time,
    held: Duration,
    until: Time,
    draw: impl Fn(u32) -> u64,
) -> Time {
    let mut at = first;
    for number in 0..GROWN {
        at = at.saturating_add(wait(backoff, number, draw(number)));
        if until <= at {
            return at;
        }
        at = at.saturating_add(held);
    }
    let every = (base(backoff, GROWN) + held).ns().max(1);
    let tries = until.saturating_add(held).saturating_since(at).ns().div_ceil(every).max(1);
    at.saturating_add(Duration::from_ns(every.saturating_mul(tries)).saturating_sub(held))
}

/// When a call that is made at `since` reaches its controller, if it is tried again until then. Who waits at
/// `failing` fails, as does whoever comes later, until the client is `up`.
#[must_use]
pub fn goes_through(
    backoff: &Backoff,
    since: Time,
    failing: Time,
    up: Time,
    draw: impl Fn(u32) -> u64,
) -> Time {
    if up <= since || (since < failing && up <= failing) {
        return since.max(up);
    }
    first_try_after(backoff, since.max(failing), Duration::ZERO, up, draw)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { min: Duration::from_ms(100), max: Duration::from_s(60), jitter: 0.1 };

    fn at(s: f64) -> Time {
        Time::ZERO + Duration::from_s_f64(s)
    }

    fn up(lost: f64, held: f64, back: f64) -> f64 {
        let held = Duration::from_s_f64(held);
        first_try_after(&BACKOFF, at(lost), held, at(back), |_| 0).as_s()
    }

    fn through(since: f64, failing: f64, up: f64) -> f64 {
        goes_through(&BACKOFF, at(since), at(failing), at(up), |_| 0).as_s()
    }

    #[test]
    fn a_client_connects_again_as_its_back_off_says() {
        let near = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-6, "{value}");
        near(up(10.0, 0.0, 10.05), 10.1);
        near(up(10.0, 0.0, 10.2), 10.3);
        near(up(10.0, 0.0, 30.0), 35.5);
        // 51.2 s is the last that doubles: then one every minute, whatever is drawn.
        near(up(0.0, 0.0, 200.0), 222.3);
        near(up(0.0, 0.0, 100_000.0), 102.3 + 60.0 * 1665.0);
        // Where packets vanish each try takes its second.
        near(up(0.0, 1.0, 0.5), 1.3);
    }

    /// Stepped and counted off come to the same.
    #[test]
    fn a_long_outage_is_counted_off() {
        for held in [0.0, 1.0] {
            let mut t = 0.0;
            let mut tries = Vec::new();
            for number in 0..2000 {
                t += wait(&BACKOFF, number, u64::from(number) << 50).as_s();
                tries.push(t);
                t += held;
            }
            let held = Duration::from_s_f64(held);
            for back in [3.0, 70.0, 4000.0, 5000.5, 60_000.0] {
                let found =
                    first_try_after(&BACKOFF, at(0.0), held, at(back), |n| u64::from(n) << 50);
                let expected = tries.iter().find(|one| back <= **one).expect("one of them");
                assert!((found.as_s() - expected).abs() < 1e-3, "{back}: {found} {expected}");
            }
        }
    }

    #[test]
    fn who_waits_goes_through_when_the_client_is_up_and_who_failed_at_its_next_try() {
        let near = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-6, "{value}");
        near(through(5.0, 40.0, 3.0), 5.0);
        near(through(12.0, 40.0, 35.5), 35.5);
        // It fails at 40, and tries at 40.1, 40.3, 40.7 …
        near(through(12.0, 40.0, 40.2), 40.3);
        near(through(12.0, 40.0, 90.0), 91.1);
        // Who comes in fail-fast fails at once.
        near(through(60.0, 40.0, 61.0), 61.5);
    }
}
