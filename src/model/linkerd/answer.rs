//! The answers that Linkerd's proxy makes itself: status, text, gRPC status, and whether it closes the
//! client's connection.
//!
//! A request of gRPC (HTTP/2 with `content-type: application/grpc…`) is answered 200 with the gRPC status. The
//! text is in `l5d-proxy-error`; where the connection is closed there is `l5d-proxy-connection: close`, so
//! that the client's own proxy closes its connection to the app, too. Inbound both are for meshed clients only.
//!
//! Source: linkerd2-proxy linkerd/app/core/src/errors/respond.rs; linkerd/app/outbound/src/http/{server,endpoint}.rs;
//! linkerd/app/inbound/src/http/{server,router}.rs; texts of linkerd/stack/src/{failfast,loadshed}.rs, linkerd/http/stream-timeouts.
//! Left out: what stands before the text ("logical service …: route …: backend …: "); a reset of HTTP/2, which is
//! passed on as one.

use crate::kernel::time::Duration;

/// Why the proxy answers itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It waited when fail-fast began.
    FailFast,
    /// It came during fail-fast, to a full queue, to backends of which none is ready, or as one too many.
    LoadShed,
    /// A route's limit on the whole request.
    RequestTimeout(Duration),
    /// A route's limit on the response.
    ResponseTimeout(Duration),
    /// A limit on an attempt that could have been tried again.
    HeaderTimeout(Duration),
    /// Nothing came for so long.
    IdleTimeout(Duration),
    /// The limit of a `ServiceProfile`'s route.
    ProfileTimeout(Duration),
    /// No connection within its limit.
    ConnectTimeout(Duration),
    /// Refused, reset, closed, or TLS failed, before there was an answer.
    ConnectionError,
    /// The endpoint has another identity than `l5d-require-id` asks for.
    IdentityMismatch,
    /// No route matches: of the client's proxy.
    NoRoute,
    /// No route matches: of the server's proxy.
    NoInboundRoute,
    /// A redirect, with its status.
    Redirect(u16),
    /// A failure that the controller had injected, with its status: 500 for a backend that does not exist,
    /// 403 for an egress that is denied.
    Injected(u16),
    /// No authorization applies.
    Unauthorized,
    /// `HTTPLocalRateLimitPolicy`.
    RateLimited(RateLimited),
    /// A gateway that was asked for itself.
    GatewayLoop,
    /// A policy that the proxy does not understand, and whatever else it does not expect.
    Unexpected,
}

/// Which limit, with its requests per second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RateLimited {
    /// That of all clients.
    Total(u32),
    /// That of each client identity.
    Identity(u32),
    /// That of the client's override.
    Override(u32),
}

impl Answer {
    /// The HTTP status where gRPC is not spoken. `failfast` is the release's status of fail-fast.
    pub const fn status(self, failfast: u16) -> u16 {
        match self {
            Self::FailFast => failfast,
            Self::LoadShed => 503,
            Self::RequestTimeout(_)
            | Self::ResponseTimeout(_)
            | Self::HeaderTimeout(_)
            | Self::IdleTimeout(_)
            | Self::ProfileTimeout(_)
            | Self::ConnectTimeout(_) => 504,
            Self::ConnectionError | Self::IdentityMismatch => 502,
            Self::NoRoute | Self::NoInboundRoute => 404,
            Self::Redirect(status) | Self::Injected(status) => status,
            Self::Unauthorized => 403,
            Self::RateLimited(_) => 429,
            Self::GatewayLoop => 508,
            Self::Unexpected => 500,
        }
    }

    /// The gRPC status where gRPC is spoken.
    pub const fn grpc_status(self, failfast: u16) -> u8 {
        match self {
            Self::FailFast if failfast == 503 => 14,
            Self::FailFast
            | Self::RequestTimeout(_)
            | Self::ResponseTimeout(_)
            | Self::HeaderTimeout(_)
            | Self::IdleTimeout(_)
            | Self::ProfileTimeout(_)
            | Self::ConnectTimeout(_) => 4,
            Self::LoadShed | Self::ConnectionError | Self::IdentityMismatch => 14,
            Self::NoRoute | Self::NoInboundRoute | Self::Redirect(_) => 5,
            Self::Injected(_) => 9,
            Self::Unauthorized => 7,
            Self::RateLimited(_) => 8,
            Self::GatewayLoop => 10,
            Self::Unexpected => 13,
        }
    }

    /// Whether the client's connection is closed after it.
    pub const fn closes_connection(self) -> bool {
        match self {
            Self::FailFast
            | Self::LoadShed
            | Self::ProfileTimeout(_)
            | Self::ConnectTimeout(_)
            | Self::ConnectionError
            | Self::IdentityMismatch
            | Self::GatewayLoop
            | Self::Unexpected => true,
            Self::RequestTimeout(_)
            | Self::ResponseTimeout(_)
            | Self::HeaderTimeout(_)
            | Self::IdleTimeout(_)
            | Self::NoRoute
            | Self::NoInboundRoute
            | Self::Redirect(_)
            | Self::Injected(_)
            | Self::Unauthorized
            | Self::RateLimited(_) => false,
        }
    }

    /// The end of `l5d-proxy-error`.
    pub fn text(self) -> String {
        let headers = "timed out waiting for response headers";
        match self {
            Self::FailFast => "service in fail-fast".to_owned(),
            Self::LoadShed => "service unavailable".to_owned(),
            Self::RequestTimeout(limit) => format!("{headers}: request timeout: {limit}"),
            Self::ResponseTimeout(limit) => format!("{headers}: response stream timeout: {limit}"),
            Self::HeaderTimeout(limit) => format!("{headers}: response header timeout: {limit}"),
            Self::IdleTimeout(limit) => {
                format!("timed out processing response stream: idle timeout: {limit}")
            }
            Self::ProfileTimeout(limit) => format!("HTTP response timeout after {limit}"),
            Self::ConnectTimeout(limit) => format!("connect timed out after {limit}"),
            Self::ConnectionError => "connection error".to_owned(),
            Self::IdentityMismatch => "required identity not found".to_owned(),
            Self::NoRoute => "no route".to_owned(),
            Self::NoInboundRoute => "no route found for request".to_owned(),
            Self::Redirect(_) => "redirected".to_owned(),
            Self::Injected(status) => format!("request configured to fail with {status}"),
            Self::Unauthorized => "unauthorized request on route".to_owned(),
            Self::RateLimited(RateLimited::Total(rps)) => {
                format!("total rate limit exceeded: {rps}rps")
            }
            Self::RateLimited(RateLimited::Identity(rps)) => {
                format!("per-identity rate limit exceeded: {rps}rps")
            }
            Self::RateLimited(RateLimited::Override(rps)) => {
                format!("override rate limit exceeded: {rps}rps")
            }
            Self::GatewayLoop => "gateway loop detected".to_owned(),
            Self::Unexpected => "unexpected error".to_owned(),
        }
    }

    /// The value of the label `error` of the proxy's own metrics, where it counts as an error of its own.
    pub const fn metric_label(self) -> Option<&'static str> {
        match self {
            Self::FailFast => Some("failfast"),
            Self::LoadShed => Some("loadshed"),
            Self::RequestTimeout(_)
            | Self::ResponseTimeout(_)
            | Self::HeaderTimeout(_)
            | Self::IdleTimeout(_)
            | Self::ProfileTimeout(_) => Some("response timeout"),
            Self::IdentityMismatch => Some("identity required"),
            Self::GatewayLoop => Some("gateway loop"),
            Self::Unexpected => Some("unexpected"),
            // The endpoint's metrics show these two, routes and authorizations have their own.
            Self::ConnectTimeout(_)
            | Self::ConnectionError
            | Self::NoRoute
            | Self::NoInboundRoute
            | Self::Redirect(_)
            | Self::Injected(_)
            | Self::Unauthorized
            | Self::RateLimited(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_answers() {
        let second = Duration::from_s(1);
        for (answer, status, grpc, closes, text) in [
            (Answer::FailFast, 504, 4, true, "service in fail-fast"),
            (Answer::LoadShed, 503, 14, true, "service unavailable"),
            (
                Answer::RequestTimeout(second),
                504,
                4,
                false,
                "timed out waiting for response headers: request timeout: 1s",
            ),
            (
                Answer::ResponseTimeout(second),
                504,
                4,
                false,
                "timed out waiting for response headers: response stream timeout: 1s",
            ),
            (
                Answer::HeaderTimeout(second),
                504,
                4,
                false,
                "timed out waiting for response headers: response header timeout: 1s",
            ),
            (
                Answer::IdleTimeout(second),
                504,
                4,
                false,
                "timed out processing response stream: idle timeout: 1s",
            ),
            (Answer::ProfileTimeout(second), 504, 4, true, "HTTP response timeout after 1s"),
            (Answer::ConnectTimeout(second), 504, 4, true, "connect timed out after 1s"),
            (Answer::ConnectionError, 502, 14, true, "connection error"),
            (Answer::IdentityMismatch, 502, 14, true, "required identity not found"),
            (Answer::NoRoute, 404, 5, false, "no route"),
            (Answer::NoInboundRoute, 404, 5, false, "no route found for request"),
            (Answer::Redirect(302), 302, 5, false, "redirected"),
            (Answer::Injected(500), 500, 9, false, "request configured to fail with 500"),
            (Answer::Unauthorized, 403, 7, false, "unauthorized request on route"),
            (
                Answer::RateLimited(RateLimited::Total(9)),
                429,
                8,
                false,
                "total rate limit exceeded: 9rps",
            ),
            (
                Answer::RateLimited(RateLimited::Identity(9)),
                429,
                8,
                false,
                "per-identity rate limit exceeded: 9rps",
            ),
            (
                Answer::RateLimited(RateLimited::Override(9)),
                429,
                8,
                false,
                "override rate limit exceeded: 9rps",
            ),
            (Answer::GatewayLoop, 508, 10, true, "gateway loop detected"),
            (Answer::Unexpected, 500, 13, true, "unexpected error"),
        ] {
            let shown = (answer.status(504), answer.grpc_status(504), answer.closes_connection());
            assert_eq!(shown, (status, grpc, closes), "{answer:?}");
            assert_eq!(answer.text(), text);
        }
    }

    #[test]
    fn in_2_10_fail_fast_was_a_503() {
        assert_eq!((Answer::FailFast.status(503), Answer::FailFast.grpc_status(503)), (503, 14));
        assert_eq!(Answer::LoadShed.status(503), 503);
    }

    #[test]
    fn errors_of_the_proxy_are_told_apart_in_its_metrics() {
        assert_eq!(Answer::FailFast.metric_label(), Some("failfast"));
        assert_eq!(Answer::LoadShed.metric_label(), Some("loadshed"));
        assert_eq!(Answer::ConnectionError.metric_label(), None);
    }
}
