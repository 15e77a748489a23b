//! The connection pool of one proxy worker to one endpoint.
//!
//! A request takes a connection with room, newest first; else it waits in order, and a connection
//! is started for it if the breaker allows one. Whichever connection is free first, old or new,
//! serves the first who waits. Over HTTP/1.1 each who waits starts a connection of its own; over
//! HTTP/2 one is enough for all.
//!
//! Source: measured on Envoy 1.40 (families e04, e14).
//! Left out: preconnecting; limits of bytes.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use crate::kernel::bytes::Bytes as _;
use crate::plan::policy::{ConnectionPool, Protocol};
use std::collections::VecDeque;

/// What a request gets from the pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Checkout<C> {
    /// This connection, which has room.
    Ready(C),
    /// Nothing yet: it must wait, and whether a connection should be started for it.
    Wait {
        /// Start one, if the breaker allows.
        open: bool,
    },
}

/// Connections and those who wait for one. `C` names a connection, `A` an attempt.
#[derive(Clone, Debug)]
pub struct Pool<C, A> {
    /// Connections with room for one more request, the last used at the end.
    ready: Vec<C>,
    /// Attempts that wait, first come first served.
    waiting: VecDeque<A>,
    /// Connections that are being opened.
    pub opening: u32,
    /// Connections open or being opened.
    pub connections: u32,
}

impl<C, A> Default for Pool<C, A> {
    fn default() -> Self {
        Self { ready: Vec::new(), waiting: VecDeque::new(), opening: 0, connections: 0 }
    }
}

impl<C: Copy + PartialEq, A: Copy + PartialEq> Pool<C, A> {
    /// A connection for one more request.
    #[inline(always)]
    pub fn checkout(&self, policy: &ConnectionPool) -> Checkout<C> {
        match self.ready.last() {
            Some(connection) => Checkout::Ready(*connection),
            None => Checkout::Wait { open: self.lacks(policy, 1) },
        }
    }

    /// Whether those who wait, and `more`, are more than the connections being opened can take.
    pub fn lacks(&self, policy: &ConnectionPool, more: u32) -> bool {
        let streams = match policy.protocol {
            Protocol::Http1 => 1,
            Protocol::Http2 => u64::from(policy.max_streams.max(1)),
        };
        u64::from(self.opening) * streams < self.waiting.len() as u64 + u64::from(more)
    }

    /// Bytes held beside the pool itself.
    pub fn bytes(&self) -> usize {
        self.ready.bytes() + self.waiting.bytes()
    }

    /// The attempt waits.
    pub fn wait(&mut self, attempt: A) {
        self.waiting.push_back(attempt);
    }

    /// The attempt no longer waits; whether it did.
    pub fn forget(&mut self, attempt: A) -> bool {
        let place = self.waiting.iter().position(|one| *one == attempt);
        place.is_some_and(|place| self.waiting.remove(place).is_some())
    }

    /// The first who waits.
    pub fn next_waiting(&mut self) -> Option<A> {
        self.waiting.pop_front()
    }

    /// Attempts that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The connection has room.
    #[inline(always)]
    pub fn offer(&mut self, connection: C) {
        debug_assert!(!self.ready.contains(&connection), "offered twice");
        self.ready.push(connection);
    }

    /// The connection has no more room, or is gone.
    #[inline(always)]
    pub fn withdraw(&mut self, connection: C) {
        // The one in use is nearly always the last.
        if self.ready.last() == Some(&connection) {
            self.ready.pop();
        } else if let Some(place) = self.ready.iter().rposition(|one| *one == connection) {
            self.ready.remove(place);
        }
    }

    /// Connections with room.
    pub fn ready(&self) -> &[C] {
        &self.ready
    }

    /// Whether nothing is left of the pool.
    pub fn is_empty(&self) -> bool {
        self.connections == 0 && self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::time::Duration;

    fn policy(protocol: Protocol) -> ConnectionPool {
        ConnectionPool {
            protocol,
            connect_timeout: Duration::from_s(10),
            idle_timeout: Duration::from_s(3600),
            max_requests: 0,
            max_streams: 1024,
            max_stream_duration: Duration::ZERO,
            churn_per_s: 0.0,
            max_duration: Duration::ZERO,
        }
    }

    #[test]
    fn http1_starts_a_connection_for_each_who_waits_and_http2_one_for_all() {
        let mut pool = Pool::<u32, u32>::default();
        assert_eq!(pool.checkout(&policy(Protocol::Http1)), Checkout::Wait { open: true });
        pool.opening = 1;
        pool.wait(1);
        assert_eq!(pool.checkout(&policy(Protocol::Http1)), Checkout::Wait { open: true });
        assert_eq!(pool.checkout(&policy(Protocol::Http2)), Checkout::Wait { open: false });
        // Envoy's `shouldConnect`: those who wait against the capacity of what is being opened.
        pool.opening = 2;
        assert_eq!(pool.checkout(&policy(Protocol::Http1)), Checkout::Wait { open: false });
        let few = ConnectionPool { max_streams: 1, ..policy(Protocol::Http2) };
        pool.wait(2);
        assert_eq!(pool.checkout(&few), Checkout::Wait { open: true });
    }

    #[test]
    fn those_who_wait_are_served_in_order_and_the_newest_connection_first() {
        let mut pool = Pool::<u32, u32>::default();
        pool.wait(1);
        pool.wait(2);
        pool.wait(3);
        assert!(pool.forget(2) && !pool.forget(2));
        assert_eq!((pool.next_waiting(), pool.next_waiting()), (Some(1), Some(3)));
        pool.offer(10);
        pool.offer(11);
        assert_eq!(pool.checkout(&policy(Protocol::Http1)), Checkout::Ready(11));
        pool.withdraw(11);
        assert_eq!(pool.checkout(&policy(Protocol::Http1)), Checkout::Ready(10));
    }
}
