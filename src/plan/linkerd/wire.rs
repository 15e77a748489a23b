//! What the app of a service speaks, and whether bad answers make its endpoints look slow.
//!
//! Source: linkerd2 `policy-controller/core/src/outbound.rs:202-208` for the annotation; a Service's `appProtocol`.
//! Left out: several ports with protocols of their own; requests of HTTP/1 and HTTP/2 to one app.

use super::LinkerdBalancer;

/// What apps speak, their clients and they alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AppProtocol {
    /// HTTP/1.1: a connection for each request under way.
    #[default]
    Http1,
    /// HTTP/2: one connection for all.
    Http2,
    /// gRPC over HTTP/2.
    Grpc,
    /// Something else, whose clients begin: their first bytes tell that it is not HTTP.
    Tcp,
    /// Something else, whose servers begin, as databases and mail do: proxies wait for the client's bytes in vain.
    ServerFirst,
    /// Something else on a port that is marked opaque (`config.linkerd.io/opaque-ports`): nobody looks.
    Opaque,
}

impl AppProtocol {
    /// The name in scenarios.
    pub const ALL: [(&str, Self); 6] = [
        ("http1", Self::Http1),
        ("http2", Self::Http2),
        ("grpc", Self::Grpc),
        ("tcp", Self::Tcp),
        ("server-first", Self::ServerFirst),
        ("opaque", Self::Opaque),
    ];

    /// Whether requests share a connection.
    pub const fn is_h2(self) -> bool {
        matches!(self, Self::Http2 | Self::Grpc)
    }

    /// Whether proxies carry bytes, and know of no requests.
    pub const fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp | Self::ServerFirst | Self::Opaque)
    }
}

/// How a service is spoken to.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Wire {
    /// What its app speaks.
    pub protocol: AppProtocol,
    /// Whether failed answers count as slow ones, and as how slow; as the parameters say if not given.
    pub biaser: Option<LinkerdBalancer>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_scenarios() {
        let shown = AppProtocol::ALL.map(|(name, one)| (name, one.is_h2(), one.is_tcp()));
        let expected = [
            ("http1", false, false),
            ("http2", true, false),
            ("grpc", true, false),
            ("tcp", false, true),
            ("server-first", false, true),
            ("opaque", false, true),
        ];
        assert_eq!(shown, expected);
        assert_eq!(AppProtocol::default(), AppProtocol::ALL[0].1);
    }
}
