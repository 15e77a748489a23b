//! The texts of response-code details where a handshake failed.
//!
//! Source: measured on Envoy 1.40 (families e06 and e08).
//! Left out: the others, which stand with `outcome`.

use super::outcome::Details;

impl Details {
    /// The text of a handshake that failed.
    pub(super) const fn text_of_handshake(self) -> &'static str {
        match self {
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
