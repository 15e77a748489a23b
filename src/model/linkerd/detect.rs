//! Which protocol a connection speaks, and how long it takes to find out.
//!
//! A proxy waits for the client's first bytes. Where the server speaks first (databases, mail) none come: after
//! 10 s the connection is opaque TCP, and goes on; each one waits so. Ports that are marked opaque are
//! not looked at.
//!
//! Source: linkerd2-proxy linkerd/app/src/env.rs:292,302 and linkerd/detect; linkerd2 values.yaml opaquePorts.
//! Left out: a first line of HTTP that comes in parts; detection of TLS before it, which has the same limit.

use crate::kernel::time::Duration;
use crate::plan::linkerd::authorization::PortProtocol;

/// What a client does on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speaks {
    /// HTTP, its first bytes so long after the connection is up.
    Http(Duration),
    /// Something else, likewise.
    Other(Duration),
    /// It waits for the server.
    Nothing,
}

/// As what a connection goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carried {
    /// By requests.
    Http,
    /// By bytes.
    Opaque,
    /// It is closed: the port speaks HTTP only.
    Refused,
}

/// How a connection to such a port goes on, and after how long.
#[must_use]
pub fn detect(port: PortProtocol, timeout: Duration, speaks: Speaks) -> (Duration, Carried) {
    match (port, speaks) {
        (PortProtocol::Opaque | PortProtocol::Tls, _) => (Duration::ZERO, Carried::Opaque),
        (PortProtocol::Http, Speaks::Http(after)) => (after, Carried::Http),
        (PortProtocol::Http, Speaks::Other(after)) => (after, Carried::Refused),
        // It is HTTP's own server that waits then.
        (PortProtocol::Http, Speaks::Nothing) => (Duration::MAX, Carried::Http),
        (PortProtocol::Unknown, Speaks::Http(after)) if after < timeout => (after, Carried::Http),
        (PortProtocol::Unknown, Speaks::Other(after)) if after < timeout => {
            (after, Carried::Opaque)
        }
        (PortProtocol::Unknown, _) => (timeout, Carried::Opaque),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_speaks_first_costs_ten_seconds_unless_its_port_is_opaque() {
        let ten = Duration::from_s(10);
        let soon = Duration::from_ms(1);
        for (port, speaks, after, carried) in [
            (PortProtocol::Unknown, Speaks::Http(soon), soon, Carried::Http),
            (PortProtocol::Unknown, Speaks::Other(soon), soon, Carried::Opaque),
            (PortProtocol::Unknown, Speaks::Nothing, ten, Carried::Opaque),
            (PortProtocol::Unknown, Speaks::Http(ten), ten, Carried::Opaque),
            (PortProtocol::Opaque, Speaks::Nothing, Duration::ZERO, Carried::Opaque),
            (PortProtocol::Opaque, Speaks::Http(soon), Duration::ZERO, Carried::Opaque),
            (PortProtocol::Tls, Speaks::Nothing, Duration::ZERO, Carried::Opaque),
            (PortProtocol::Http, Speaks::Http(ten), ten, Carried::Http),
            (PortProtocol::Http, Speaks::Other(soon), soon, Carried::Refused),
        ] {
            assert_eq!(detect(port, ten, speaks), (after, carried), "{port:?} {speaks:?}");
        }
    }
}
