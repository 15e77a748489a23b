//! A mutual TLS 1.3 handshake: who refuses whom, and when a ticket lets the check be skipped.
//!
//! Certificates are checked here and nowhere else. The client checks the server's leaf, always.
//! The server checks the client's leaf after the client believes that it is connected, so its
//! refusal shows as a connection that ends under the first request. A redeemed ticket skips that
//! second check: it hides an expired client from a server.
//!
//! Source: measured on Envoy 1.40 (resumption with shifted clocks); envoy
//! `source/common/tls/client_context_impl.cc` (`newSsl`); boringssl
//! `SSL_DEFAULT_SESSION_PSK_DHE_TIMEOUT` and `SSL_DEFAULT_SESSION_AUTH_TIMEOUT`.
//! Left out: TLS 1.2, the rotation of ticket keys (48 h, the one before still accepted, so the
//! ticket's own 48 h decide), roots and names that do not match.

use super::certificate::Leaf;
use crate::kernel::time::{Duration, Time};
use crate::vocabulary::outcome::Details;

/// A ticket is good for so long; each resumption brings a new one.
const TICKET_LIFE: Duration = Duration::from_s(48 * 3600);
/// But resumptions do not reach further than this from the full handshake.
const CHAIN_LIFE: Duration = Duration::from_s(7 * 86_400);

/// How a handshake ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum HandshakeResult {
    /// Both sides are content.
    Established,
    /// The client does not connect: UF with these details.
    RefusedByClient(Details),
    /// The client believes that it is connected; the server closes, and the first request ends UC.
    RefusedByServer,
}

/// A handshake of two proxies with the leaves that they hold now. `resumed` if the client
/// redeemed a ticket of this server.
pub fn handshake(
    now: Time,
    client: Option<&Leaf>,
    server: Option<&Leaf>,
    resumed: bool,
) -> HandshakeResult {
    let Some(client) = client else {
        return HandshakeResult::RefusedByClient(Details::NoSecret);
    };
    let Some(server) = server else {
        // A listener without its secret is still warming: the port is closed.
        return HandshakeResult::RefusedByClient(Details::ConnectionRefused);
    };
    if !server.is_valid(now) {
        return HandshakeResult::RefusedByClient(Details::ServerCertificateExpired);
    }
    if !resumed && !client.is_valid(now) {
        return HandshakeResult::RefusedByServer;
    }
    HandshakeResult::Established
}

/// The one session ticket that a client proxy keeps for a cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket {
    issued: Time,
    /// The full handshake at the beginning of the chain of resumptions.
    full_handshake_at: Time,
    /// Who issued it, with which leaf: a new leaf is a new TLS context and knows no old tickets.
    endpoint: u32,
    server_generation: u32,
}

impl Ticket {
    /// A connection starts: the ticket is taken out in any case. If this server accepts it, the
    /// time of the full handshake that it goes back to.
    #[must_use]
    pub fn redeem(
        slot: &mut Option<Self>,
        now: Time,
        endpoint: u32,
        server_generation: u32,
    ) -> Option<Time> {
        let ticket = slot.take()?;
        let is_its_own =
            ticket.endpoint == endpoint && ticket.server_generation == server_generation;
        let is_fresh = now.since(ticket.issued) < TICKET_LIFE
            && now.since(ticket.full_handshake_at) < CHAIN_LIFE;
        (is_its_own && is_fresh).then_some(ticket.full_handshake_at)
    }

    /// A handshake succeeded: its ticket replaces the one there was. `full_handshake_at` is now,
    /// or what [`Ticket::redeem`] gave.
    pub fn store(
        slot: &mut Option<Self>,
        now: Time,
        endpoint: u32,
        server_generation: u32,
        full_handshake_at: Time,
    ) {
        *slot = Some(Self { issued: now, full_handshake_at, endpoint, server_generation });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn h(hours: u64) -> Time {
        Time::ZERO + Duration::from_s(3600 * hours)
    }

    fn leaf(end: u64) -> Leaf {
        Leaf { not_after: h(end), renew_at: h(end / 2), generation: 0 }
    }

    #[test]
    fn who_refuses_whom() {
        use Details::{ConnectionRefused, NoSecret, ServerCertificateExpired};
        use HandshakeResult::{Established, RefusedByClient, RefusedByServer};
        let (good, bad) = (Some(leaf(24)), Some(leaf(6)));
        for (client, server, resumed, expected) in [
            (good, good, false, Established),
            (good, good, true, Established),
            (bad, good, false, RefusedByServer),
            (bad, good, true, Established),
            (good, bad, false, RefusedByClient(ServerCertificateExpired)),
            (good, bad, true, RefusedByClient(ServerCertificateExpired)),
            (bad, bad, false, RefusedByClient(ServerCertificateExpired)),
            (None, good, false, RefusedByClient(NoSecret)),
            (None, None, false, RefusedByClient(NoSecret)),
            (good, None, false, RefusedByClient(ConnectionRefused)),
        ] {
            let result = handshake(h(12), client.as_ref(), server.as_ref(), resumed);
            assert_eq!(result, expected, "{client:?} to {server:?}, resumed: {resumed}");
        }
    }

    /// A ticket of endpoint 1, leaf generation 5, from a full handshake at 0.
    fn slot() -> Option<Ticket> {
        let mut slot = None;
        Ticket::store(&mut slot, h(0), 1, 5, h(0));
        slot
    }

    #[test]
    fn a_ticket_is_good_once_and_for_its_issuer_only() {
        for (endpoint, generation, accepted) in [(1, 5, Some(h(0))), (2, 5, None), (1, 6, None)] {
            let mut slot = slot();
            assert_eq!(Ticket::redeem(&mut slot, h(1), endpoint, generation), accepted);
            assert_eq!(slot, None, "gone, accepted or not");
            assert_eq!(Ticket::redeem(&mut slot, h(1), 1, 5), None);
        }
    }

    #[test]
    fn a_ticket_is_good_for_48_hours() {
        assert!(Ticket::redeem(&mut slot(), h(47), 1, 5).is_some());
        assert_eq!(Ticket::redeem(&mut slot(), h(48), 1, 5), None);
    }

    #[test]
    fn a_chain_of_resumptions_ends_seven_days_after_the_full_handshake() {
        // As measured with a shifted clock: steps of 12 h, resumed up to 156 h, refused at 168 h.
        let mut slot = slot();
        for hours in (12..=156).step_by(12) {
            let full = Ticket::redeem(&mut slot, h(hours), 1, 5).expect("resumed");
            Ticket::store(&mut slot, h(hours), 1, 5, full);
        }
        assert_eq!(Ticket::redeem(&mut slot, h(168), 1, 5), None);
    }

    #[test]
    fn round_robin_over_two_endpoints_never_resumes() {
        let mut slot = None;
        for n in 0..20 {
            let (now, endpoint) = (h(u64::from(n)), n % 2);
            assert_eq!(Ticket::redeem(&mut slot, now, endpoint, 0), None);
            Ticket::store(&mut slot, now, endpoint, 0, now);
        }
    }
}
