//! How an access log spells the details of an outcome (`RESPONSE_CODE_DETAILS`).
//!
//! Source: measured on Envoy 1.40; filters by Envoy's sources.
//! Left out: what a text says beyond its reason, such as the name of a policy.

use super::outcome::Details;

impl Details {
    /// The text of the access log.
    pub const fn text(self) -> &'static str {
        match self {
            Self::ViaUpstream
            | Self::AppOverflow
            | Self::AppError
            | Self::AppGrpcError
            | Self::AppCallFailed => "via_upstream",
            Self::NoHealthyUpstream => "no_healthy_upstream",
            Self::ClusterNotFound => "cluster_not_found",
            Self::RouteNotFound => "route_not_found",
            Self::Overflow => "upstream_reset_before_response_started{overflow}",
            Self::ConnectionRefused => {
                "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"
            }
            Self::HandshakeClosed => {
                "upstream_reset_before_response_started{remote_connection_failure}"
            }
            Self::ConnectionTimeout => "upstream_reset_before_response_started{connection_timeout}",
            Self::ServerCertificateExpired => {
                "upstream_reset_before_response_started{remote_connection_failure|TLS_error:CERTIFICATE_VERIFY_FAILED:certificate_has_expired}"
            }
            Self::ServerCertificateUntrusted => {
                "upstream_reset_before_response_started{remote_connection_failure|TLS_error:CERTIFICATE_VERIFY_FAILED}"
            }
            Self::NoSecret => {
                "upstream_reset_before_response_started{remote_connection_failure|TLS_error:Secret_is_not_supplied_by_SDS}"
            }
            Self::WrongVersionNumber => {
                "upstream_reset_before_response_started{remote_connection_failure|TLS_error:WRONG_VERSION_NUMBER}"
            }
            Self::ServerIssuerExpired
            | Self::ServerCertificateNotYetValid
            | Self::ServerIssuerNotYetValid
            | Self::ServerNameMismatch
            | Self::ClientCertificateExpired
            | Self::ClientCertificateBad
            | Self::ClientCertificateUntrusted
            | Self::ClientNameMismatch
            | Self::ClientCertificateMissing
            | Self::NoCommonVersion => self.text_of_handshake(),
            Self::ConnectionTermination => {
                "upstream_reset_before_response_started{connection_termination}"
            }
            Self::RemoteReset => "upstream_reset_before_response_started{remote_reset}",
            Self::RemoteRefusedStream => {
                "upstream_reset_before_response_started{remote_refused_stream_reset}"
            }
            Self::ResponseTimeout => "response_timeout",
            Self::PerTryTimeout => "upstream_per_try_timeout",
            Self::DownstreamDisconnect => "downstream_remote_disconnect",
            Self::DownstreamReset => "http2.remote_reset",
            Self::ResetAfterResponse => "upstream_reset_after_response_started{protocol_error}",
            Self::RemoteResetAfterResponse => "upstream_reset_after_response_started{remote_reset}",
            Self::PerTryIdleTimeout => "upstream_per_try_idle_timeout",
            Self::StreamIdleTimeout => "stream_idle_timeout",
            Self::MaxStreamDuration => "upstream_max_stream_duration_reached",
            Self::MaxDuration => "max_duration_timeout",
            Self::DirectResponse => "direct_response",
            _ => self.text_of_this_side(),
        }
    }

    /// The text of what filters, the codec or the end of this proxy decided.
    const fn text_of_this_side(self) -> &'static str {
        match self {
            Self::FaultAbort => "fault_filter_abort",
            Self::LocalRateLimited => "local_rate_limited",
            Self::DropOverload => "drop_overload",
            Self::RequestRateLimited => "request_rate_limited",
            Self::RateLimiterError => "rate_limiter_error",
            Self::AdmissionDenied => "denied_by_admission_control",
            Self::CorsResponse => "cors_response",
            Self::PayloadTooLarge => "request_payload_too_large",
            Self::Overload => "overload",
            Self::LocalDisconnect => {
                "downstream_local_disconnect(purging_socket_that_have_not_progressed_to_connections)"
            }
            Self::RbacNoMatch => "rbac_access_denied_matched_policy[none]",
            Self::RbacMatched => "rbac_access_denied_matched_policy",
            Self::ExtAuthzDenied => "ext_authz_denied",
            Self::ExtAuthzError => "ext_authz_error",
            Self::MissingHost => "missing_host_header",
            Self::HeadersTooLarge => "http1.headers_too_large",
            Self::CodecError => "http1.codec_error",
            _ => self.text_of_linkerd(),
        }
    }

    /// The end of `l5d-proxy-error`, without the limit that it names.
    const fn text_of_linkerd(self) -> &'static str {
        match self {
            Self::LinkerdFailFast => "service in fail-fast",
            Self::LinkerdLoadShed => "service unavailable",
            Self::LinkerdConnectTimeout => "connect timed out",
            Self::LinkerdConnectionError => "connection error",
            Self::LinkerdTimeout => "timed out waiting for response headers",
            Self::LinkerdProfileTimeout => "HTTP response timeout",
            Self::LinkerdResponseTimeout => "response stream timeout",
            Self::LinkerdIdleTimeout => "idle timeout",
            Self::LinkerdPanic => "distribution must be valid",
            Self::LinkerdNoRoute => "no route",
            Self::LinkerdInjected => "request configured to fail",
            Self::LinkerdUnknown => "connection reset",
            Self::LinkerdUnauthorized => "unauthorized request on route",
            Self::LinkerdRateLimited => "rate limit exceeded",
            _ => "",
        }
    }

    /// The text of a handshake that failed for less usual reasons.
    const fn text_of_handshake(self) -> &'static str {
        match self {
            Self::ServerIssuerExpired => {
                "upstream_reset_before_response_started{remote_connection_failure|TLS_error:CERTIFICATE_VERIFY_FAILED:certificate_has_expired:depth_1}"
            }
            Self::ServerCertificateNotYetValid => {
                "upstream_reset_before_response_started{remote_connection_failure|TLS_error:CERTIFICATE_VERIFY_FAILED:certificate_is_not_yet_valid}"
            }
            Self::ServerIssuerNotYetValid => {
                "upstream_reset_before_response_started{remote_connection_failure|TLS_error:CERTIFICATE_VERIFY_FAILED:certificate_is_not_yet_valid:depth_1}"
            }
            Self::ServerNameMismatch => {
                "upstream_reset_before_response_started{remote_connection_failure|TLS_error:CERTIFICATE_VERIFY_FAILED:SAN_matcher}"
            }
            Self::ClientCertificateExpired => {
                "upstream_reset_before_response_started{remote_connection_failure|TLS_error:SSLV3_ALERT_CERTIFICATE_EXPIRED}"
            }
            Self::ClientCertificateBad => {
                "upstream_reset_before_response_started{remote_connection_failure|TLS_error:SSLV3_ALERT_BAD_CERTIFICATE}"
            }
            Self::ClientCertificateUntrusted => {
                "upstream_reset_before_response_started{remote_connection_failure|TLS_error:TLSV1_ALERT_UNKNOWN_CA}"
            }
            Self::ClientNameMismatch => {
                "upstream_reset_before_response_started{remote_connection_failure|TLS_error:SSLV3_ALERT_CERTIFICATE_UNKNOWN}"
            }
            Self::ClientCertificateMissing => {
                "upstream_reset_before_response_started{remote_connection_failure|TLS_error:SSLV3_ALERT_HANDSHAKE_FAILURE}"
            }
            Self::NoCommonVersion => {
                "upstream_reset_before_response_started{remote_connection_failure|TLS_error:TLSV1_ALERT_PROTOCOL_VERSION}"
            }
            // All others have a text of their own.
            _ => "-",
        }
    }
}
