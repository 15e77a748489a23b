//! How an attempt or a request ended: status, response flags, response-code details.
//!
//! Source: Envoy's response-code details page and the strings measured on Envoy 1.40.
//! Left out: the TLS library's error text inside the braces, beyond what decides a case.

use super::flag::{Flags, ResponseFlag as F};
use super::transport::TransportFailure;

/// Envoy's response-code details: the reason in its own words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Details {
    /// The upstream's own answer.
    ViaUpstream,
    /// No endpoint in any usable priority.
    NoHealthyUpstream,
    /// The route names a cluster that this proxy does not have.
    ClusterNotFound,
    /// No route matched.
    RouteNotFound,
    /// A circuit breaker was open.
    Overflow,
    /// The connection was refused.
    ConnectionRefused,
    /// The connection was not up within the connect timeout.
    ConnectionTimeout,
    /// The server's certificate was refused: past its end.
    ServerCertificateExpired,
    /// The server's certificate was refused: not signed by a trusted root.
    ServerCertificateUntrusted,
    /// This proxy has no certificate yet.
    NoSecret,
    /// The peer speaks plaintext where TLS was expected.
    WrongVersionNumber,
    /// The server's certificate was refused: the one that signed it is past its end.
    ServerIssuerExpired,
    /// The server's certificate was refused: not valid yet.
    ServerCertificateNotYetValid,
    /// The server's certificate was refused: the one that signed it is not valid yet.
    ServerIssuerNotYetValid,
    /// The server's certificate was refused: it has another name.
    ServerNameMismatch,
    /// The server refused this proxy's certificate in the handshake (TLS 1.2): past its end.
    ClientCertificateExpired,
    /// The same: not valid yet.
    ClientCertificateBad,
    /// The same: not signed by a root that the server trusts.
    ClientCertificateUntrusted,
    /// The same: another name than the server asks for.
    ClientNameMismatch,
    /// The same: there is none.
    ClientCertificateMissing,
    /// There is no TLS version that both sides speak.
    NoCommonVersion,
    /// The connection was closed before the answer.
    ConnectionTermination,
    /// The stream was reset by the peer before the answer.
    RemoteReset,
    /// The peer refused the stream.
    RemoteRefusedStream,
    /// The route timeout passed.
    ResponseTimeout,
    /// The per-try timeout passed.
    PerTryTimeout,
    /// The client left first.
    DownstreamDisconnect,
    /// The client reset its HTTP/2 stream first.
    DownstreamReset,
    /// The upstream broke off in the middle of its answer.
    ResetAfterResponse,
    /// The upstream reset its HTTP/2 stream in the middle of its answer.
    RemoteResetAfterResponse,
    /// The per-try idle timeout passed.
    PerTryIdleTimeout,
    /// The stream idle timeout passed.
    StreamIdleTimeout,
    /// The cluster's limit on the duration of a stream passed.
    MaxStreamDuration,
    /// The route itself answered, or redirected.
    DirectResponse,
    /// The fault filter aborted the request.
    FaultAbort,
    /// The local rate limit had no token left.
    LocalRateLimited,
    /// No policy of the RBAC filter lets the request pass.
    RbacNoMatch,
    /// A policy of the RBAC filter denies the request.
    RbacMatched,
    /// The authorization service denied the request.
    ExtAuthzDenied,
    /// The authorization service could not be asked.
    ExtAuthzError,
    /// The request does not say which host it is for.
    MissingHost,
    /// The headers of the request are too large.
    HeadersTooLarge,
    /// The request cannot be parsed.
    CodecError,
    /// The app's queue was full, or it was shedding load.
    AppOverflow,
    /// The app itself answered with an error.
    AppError,
    /// The app itself answered 200 with a gRPC status that is an error.
    AppGrpcError,
    /// The route's limit on the duration of a stream passed.
    MaxDuration,
    /// Linkerd: it waited for an endpoint when fail-fast began.
    LinkerdFailFast,
    /// Linkerd: it came during fail-fast, to a full queue, or as one too many.
    LinkerdLoadShed,
    /// Linkerd: no connection within its limit.
    LinkerdConnectTimeout,
    /// Linkerd: refused, reset, closed, or TLS failed, before there was an answer.
    LinkerdConnectionError,
    /// Linkerd: a limit on the request.
    LinkerdTimeout,
    /// Linkerd: the limit of a `ServiceProfile`'s route.
    LinkerdProfileTimeout,
    /// Linkerd: the limit on an attempt's response.
    LinkerdResponseTimeout,
    /// Linkerd: the limit on the time without a byte.
    LinkerdIdleTimeout,
    /// Linkerd: the backend does not exist.
    LinkerdInjected,
    /// A call below failed and the app passed that on.
    AppCallFailed,
    /// Of the share of requests to the cluster that are dropped.
    DropOverload,
    /// The rate limit service counts too many.
    RequestRateLimited,
    /// The rate limit service could not be asked.
    RateLimiterError,
    /// Admission control refused the request.
    AdmissionDenied,
    /// The CORS filter answered a preflight.
    CorsResponse,
    /// The body of the request is longer than the proxy keeps.
    PayloadTooLarge,
    /// The proxy has too much under way.
    Overload,
    /// The proxy itself ended, and closed the connection of the client.
    LocalDisconnect,
    /// The peer closed the connection before the handshake was done.
    HandshakeClosed,
    /// Linkerd: the proxy panicked while it built the routes of the service.
    LinkerdPanic,
    /// Linkerd: no route matches.
    LinkerdNoRoute,
    /// Linkerd up to 2.12: the control plane did not tell of the destination in time.
    LinkerdUnknown,
    /// Linkerd: no authorization applies.
    LinkerdUnauthorized,
    /// Linkerd: `HTTPLocalRateLimitPolicy`.
    LinkerdRateLimited,
}

impl Details {
    /// Whether this is the upstream's own answer.
    pub const fn is_of_upstream(self) -> bool {
        matches!(
            self,
            Self::ViaUpstream
                | Self::AppOverflow
                | Self::AppError
                | Self::AppGrpcError
                | Self::AppCallFailed
        )
    }

    /// Whether it says anything of the endpoint that was tried: not who left, nor the limits on streams.
    ///
    /// Source: Envoy's `Filter::onUpstreamMaxStreamDurationReached` and the connection manager's idle
    /// timer, which tell outlier detection nothing.
    pub const fn is_of_endpoint(self) -> bool {
        !matches!(
            self,
            Self::DownstreamDisconnect
                | Self::DownstreamReset
                | Self::LocalDisconnect
                | Self::MaxStreamDuration
                | Self::MaxDuration
                | Self::StreamIdleTimeout
                | Self::LinkerdTimeout
                | Self::LinkerdProfileTimeout
                | Self::LinkerdResponseTimeout
                | Self::LinkerdIdleTimeout
        )
    }

    /// Whether a limit of Linkerd's client proxy ended it.
    pub const fn is_of_linkerds_limits(self) -> bool {
        matches!(
            self,
            Self::LinkerdTimeout
                | Self::LinkerdProfileTimeout
                | Self::LinkerdResponseTimeout
                | Self::LinkerdIdleTimeout
        )
    }

    /// Whether the upstream broke off after its headers.
    pub const fn breaks_off(self) -> bool {
        matches!(self, Self::ResetAfterResponse | Self::RemoteResetAfterResponse)
    }

    /// Whether the connection could not be made.
    pub const fn is_connect_failure(self) -> bool {
        matches!(self, Self::ConnectionTimeout | Self::NoSecret | Self::HandshakeClosed)
            || self.transport_failure().is_some()
    }

    /// Why the transport failed, as this side's proxy logs it.
    pub const fn transport_failure(self) -> Option<TransportFailure> {
        Some(match self {
            Self::ConnectionRefused => TransportFailure::ConnectionRefused,
            Self::ServerCertificateExpired => TransportFailure::Expired,
            Self::ServerIssuerExpired => TransportFailure::IssuerExpired,
            Self::ServerCertificateNotYetValid => TransportFailure::NotYetValid,
            Self::ServerIssuerNotYetValid => TransportFailure::IssuerNotYetValid,
            Self::ServerCertificateUntrusted => TransportFailure::UnknownIssuer,
            Self::ServerNameMismatch => TransportFailure::WrongName,
            Self::ClientCertificateExpired => TransportFailure::AlertExpired,
            Self::ClientCertificateBad => TransportFailure::AlertBad,
            Self::ClientCertificateUntrusted => TransportFailure::AlertUnknownCa,
            Self::ClientNameMismatch => TransportFailure::AlertUnknown,
            Self::ClientCertificateMissing => TransportFailure::AlertHandshake,
            Self::NoCommonVersion => TransportFailure::AlertVersion,
            Self::WrongVersionNumber => TransportFailure::WrongVersionNumber,
            _ => return None,
        })
    }
}

/// Flags of an answer that began well and was broken off.
pub const TRUNCATED: Flags =
    Flags::of(F::UPE).with(F::UR).with(F::UT).with(F::SI).with(F::UMSDR).with(F::DC).with(F::DR);

/// How something ended, as the originator's proxy logs it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Outcome {
    /// HTTP status; 0 where the client left before there was one.
    pub status: u16,
    /// Response flags.
    pub flags: Flags,
    /// Response-code details.
    pub details: Details,
}

impl Outcome {
    /// A complete answer of the upstream with its own `status`.
    pub const fn answer(status: u16) -> Self {
        Self { status, flags: Flags::NONE, details: Details::ViaUpstream }
    }

    /// The proxy's own answer for a failure named by its details.
    pub const fn failure(details: Details) -> Self {
        let (status, flags) = match details {
            Details::ViaUpstream
            | Details::DirectResponse
            | Details::CorsResponse
            | Details::AppGrpcError => (200, Flags::NONE),
            Details::PayloadTooLarge => (413, Flags::NONE),
            Details::AppOverflow
            | Details::AdmissionDenied
            | Details::Overload
            | Details::LinkerdLoadShed => (503, Flags::NONE),
            Details::AppError | Details::AppCallFailed | Details::LinkerdInjected => {
                (500, Flags::NONE)
            }
            Details::NoHealthyUpstream => (503, Flags::of(F::UH)),
            Details::ClusterNotFound => (503, Flags::of(F::NC)),
            Details::RouteNotFound => (404, Flags::of(F::NR)),
            Details::Overflow => (503, Flags::of(F::UO)),
            Details::ConnectionRefused
            | Details::ConnectionTimeout
            | Details::ServerCertificateExpired
            | Details::ServerCertificateUntrusted
            | Details::NoSecret
            | Details::WrongVersionNumber
            | Details::ServerIssuerExpired
            | Details::ServerCertificateNotYetValid
            | Details::ServerIssuerNotYetValid
            | Details::ServerNameMismatch
            | Details::ClientCertificateExpired
            | Details::ClientCertificateBad
            | Details::ClientCertificateUntrusted
            | Details::ClientNameMismatch
            | Details::ClientCertificateMissing
            | Details::HandshakeClosed
            | Details::NoCommonVersion => (503, Flags::of(F::UF)),
            Details::ConnectionTermination => (503, Flags::of(F::UC)),
            Details::RemoteReset | Details::RemoteRefusedStream => (503, Flags::of(F::UR)),
            Details::ResponseTimeout | Details::PerTryTimeout | Details::PerTryIdleTimeout => {
                (504, Flags::of(F::UT))
            }
            Details::DownstreamDisconnect | Details::LocalDisconnect => (0, Flags::of(F::DC)),
            Details::DownstreamReset => (0, Flags::of(F::DR)),
            Details::ResetAfterResponse => (200, Flags::of(F::UPE)),
            Details::RemoteResetAfterResponse => (200, Flags::of(F::UR)),
            Details::StreamIdleTimeout => (504, Flags::of(F::SI)),
            Details::MaxStreamDuration => (504, Flags::of(F::UMSDR)),
            Details::MaxDuration
            | Details::LinkerdFailFast
            | Details::LinkerdConnectTimeout
            | Details::LinkerdTimeout
            | Details::LinkerdProfileTimeout
            | Details::LinkerdResponseTimeout
            | Details::LinkerdIdleTimeout => (504, Flags::NONE),
            Details::FaultAbort => (503, Flags::of(F::FI)),
            Details::LocalRateLimited | Details::RequestRateLimited => (429, Flags::of(F::RL)),
            Details::RateLimiterError => (500, Flags::of(F::RLSE)),
            Details::DropOverload => (503, Flags::of(F::DO)),
            Details::RbacNoMatch | Details::RbacMatched | Details::LinkerdUnauthorized => {
                (403, Flags::NONE)
            }
            Details::ExtAuthzDenied | Details::ExtAuthzError => (403, Flags::of(F::UAEX)),
            Details::MissingHost => (400, Flags::NONE),
            Details::HeadersTooLarge => (431, Flags::of(F::DPE)),
            Details::CodecError => (400, Flags::of(F::DPE)),
            // What Linkerd answers itself bears no flags.
            Details::LinkerdConnectionError => (502, Flags::NONE),
            Details::LinkerdNoRoute => (404, Flags::NONE),
            Details::LinkerdRateLimited => (429, Flags::NONE),
            // The connection of the client is reset.
            Details::LinkerdUnknown | Details::LinkerdPanic => (0, Flags::NONE),
        };
        Self { status, flags, details }
    }

    /// This outcome with one more flag.
    #[must_use]
    pub const fn flagged(self, flag: F) -> Self {
        Self { flags: self.flags.with(flag), ..self }
    }

    /// Whether this is a complete answer below 500, and no error of gRPC. A limit that bears no flag may have
    /// cut it.
    pub const fn is_ok(self) -> bool {
        self.has_good_status()
            && !self.flags.has_any(TRUNCATED)
            && !matches!(
                self.details,
                // One comparison, too: they stand side by side.
                Details::AppGrpcError
                    | Details::MaxDuration
                    | Details::LinkerdFailFast
                    | Details::LinkerdLoadShed
                    | Details::LinkerdConnectTimeout
                    | Details::LinkerdConnectionError
                    | Details::LinkerdTimeout
                    | Details::LinkerdProfileTimeout
                    | Details::LinkerdResponseTimeout
                    | Details::LinkerdIdleTimeout
                    | Details::LinkerdInjected
            )
    }

    /// Whether there is a status, and it is below 500.
    pub const fn has_good_status(self) -> bool {
        // One comparison: 0 wraps around to the greatest number.
        self.status.wrapping_sub(1) < 499
    }
}
