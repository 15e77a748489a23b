//! When a stream is given up: limits on the whole, on the response, on silence.
//!
//! ```text
//! begin ─────── request sent ───────── header ───────────── end
//! ├─ request ──────────────────────────────────────────────┤   retries included: `begin` is the first one's
//!               ├─ header of an attempt ┤
//!               ├─ response ────────────────────────────────┤  of one attempt
//! ├─ idle ─┤ while bytes of the request come      ├─ idle ─┤ while those of the response do
//! ```
//!
//! Before the header the client gets a 504; after it the stream is reset.
//!
//! Source: linkerd2-proxy linkerd/http/stream-timeouts/src/lib.rs.
//! Left out: trailers; a `ServiceProfile`'s timeout, which is one limit on the whole with an answer of its own.

use super::answer::Answer;
use crate::kernel::time::{Duration, Time};
use crate::plan::linkerd::policy::Timeouts;

/// What has happened on a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// The first attempt began.
    pub begin: Time,
    /// All of this attempt's request was sent.
    pub sent: Option<Time>,
    /// The response's header came.
    pub header: Option<Time>,
    /// The last byte in either direction.
    pub last_byte: Time,
}

/// A limit that ends a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadline {
    /// At this instant.
    pub at: Time,
    /// What the client is answered.
    pub answer: Answer,
    /// Whether there is a header already: then the stream is reset instead.
    pub resets: bool,
}

impl Progress {
    /// The first limit to end the stream if nothing else happens; `header_timeout` is that of the attempt.
    #[must_use]
    pub fn deadline(
        &self,
        timeouts: &Timeouts,
        header_timeout: Option<Duration>,
    ) -> Option<Deadline> {
        let after = |from: Time, limit: Duration, answer: fn(Duration) -> Answer| {
            (!limit.is_zero()).then(|| (from.saturating_add(limit), answer(limit)))
        };
        let whole = after(self.begin, timeouts.request, Answer::RequestTimeout);
        let response = |from| after(from, timeouts.response, Answer::ResponseTimeout);
        let part = match (self.header, self.sent) {
            (Some(header), sent) => response(sent.unwrap_or(header)),
            (None, Some(sent)) => match header_timeout {
                Some(limit) => after(sent, limit, Answer::HeaderTimeout),
                None => response(sent),
            },
            (None, None) => None,
        };
        // While the header is awaited no body is looked at, and so no silence.
        let is_moving = self.header.is_some() || self.sent.is_none();
        let idle = after(self.last_byte, timeouts.idle, Answer::IdleTimeout).filter(|_| is_moving);
        // The whole comes first where two end at once.
        let all = [whole, part, idle].into_iter().flatten();
        let first = all.min_by_key(|(at, _)| *at)?;
        Some(Deadline { at: first.0, answer: first.1, resets: self.header.is_some() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::ZERO + Duration::from_ms(ms)
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_ms(ms)
    }

    fn progress(sent: Option<u64>, header: Option<u64>, last_byte: u64) -> Progress {
        let [sent, header] = [sent, header].map(|one| one.map(at));
        Progress { begin: at(0), sent, header, last_byte: at(last_byte) }
    }

    fn first(progress: Progress, timeouts: &Timeouts, header: Option<Duration>) -> (Time, Answer) {
        let deadline = progress.deadline(timeouts, header).expect("there is a limit");
        assert_eq!(deadline.resets, progress.header.is_some());
        (deadline.at, deadline.answer)
    }

    #[test]
    fn without_limits_nothing_ends_a_stream() {
        assert_eq!(progress(Some(1), Some(2), 3).deadline(&Timeouts::default(), None), None);
    }

    #[test]
    fn the_limit_on_the_whole_counts_from_the_first_attempt() {
        let timeouts = Timeouts { request: ms(1000), response: ms(600), idle: Duration::ZERO };
        let whole = (at(1000), Answer::RequestTimeout(ms(1000)));
        assert_eq!(first(progress(None, None, 0), &timeouts, None), whole);
        let response = (at(610), Answer::ResponseTimeout(ms(600)));
        assert_eq!(first(progress(Some(10), None, 10), &timeouts, None), response);
        // The second attempt was sent at 500: the whole ends first, also where both end at once.
        assert_eq!(first(progress(Some(500), None, 500), &timeouts, None), whole);
        assert_eq!(first(progress(Some(400), None, 400), &timeouts, None), whole);
        // An answer before the request's end: the response counts from its header.
        let early = (at(620), Answer::ResponseTimeout(ms(600)));
        assert_eq!(first(progress(None, Some(20), 20), &timeouts, None), early);
    }

    #[test]
    fn an_attempts_limit_takes_the_place_of_the_responses_until_the_header() {
        let timeouts = Timeouts { response: ms(600), ..Timeouts::default() };
        let header = (at(210), Answer::HeaderTimeout(ms(200)));
        assert_eq!(first(progress(Some(10), None, 10), &timeouts, Some(ms(200))), header);
        let response = (at(610), Answer::ResponseTimeout(ms(600)));
        assert_eq!(first(progress(Some(10), Some(100), 100), &timeouts, Some(ms(200))), response);
    }

    #[test]
    fn silence_counts_while_bytes_are_expected() {
        let timeouts = Timeouts { idle: ms(50), ..Timeouts::default() };
        let idle = |end| (at(end), Answer::IdleTimeout(ms(50)));
        assert_eq!(first(progress(None, None, 30), &timeouts, None), idle(80));
        // The app thinks: that is no silence.
        assert_eq!(progress(Some(30), None, 30).deadline(&timeouts, None), None);
        assert_eq!(first(progress(Some(30), Some(500), 500), &timeouts, None), idle(550));
    }
}
