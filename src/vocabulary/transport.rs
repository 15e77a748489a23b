//! Why a TLS connection failed, in the TLS library's words: what Envoy logs as the transport failure
//! reason, on either side.
//!
//! A side that finds something wrong names it and sends an alert; its peer logs the alert.
//!
//! Source: texts measured on Envoy 1.40 (family e08), normalised as there. Not measured, but of the
//! same library: that a certificate is not yet valid (boringssl `ssl_x509.cc`, its table of alerts), that there is none
//! (`handshake_server.cc`, `tls13_both.cc`), versions that do not meet, plain HTTP (`s3_both.cc`).
//! Left out: the numbers of errors, names inside of the texts.

/// A transport failure reason.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TransportFailure {
    /// TCP was refused.
    ConnectionRefused,
    /// The peer's certificate is past its end.
    Expired,
    /// The one that signed it is.
    IssuerExpired,
    /// The peer's certificate is not valid yet.
    NotYetValid,
    /// The one that signed it is not.
    IssuerNotYetValid,
    /// No trusted root has signed the peer's certificate.
    UnknownIssuer,
    /// The peer's certificate has another name than is asked for.
    WrongName,
    /// The peer showed no certificate, and must.
    NoCertificate,
    /// The peer says that the certificate is expired.
    AlertExpired,
    /// The peer says that the certificate is bad.
    AlertBad,
    /// The peer does not know who signed it.
    AlertUnknownCa,
    /// The peer does not like the certificate, for another reason.
    AlertUnknown,
    /// The peer says that there is nothing to agree on.
    AlertHandshake,
    /// The peer does not speak this version.
    AlertVersion,
    /// There is no version that both speak.
    NoCommonVersion,
    /// What came is no TLS.
    WrongVersionNumber,
    /// What came is a request in plain HTTP/1.1.
    HttpRequest,
}

impl TransportFailure {
    /// The normalised text.
    pub const fn text(self) -> &'static str {
        match self {
            Self::ConnectionRefused => "connection_refused",
            Self::Expired => "CERTIFICATE_VERIFY_FAILED:certificate_has_expired:depth_0",
            Self::IssuerExpired => "CERTIFICATE_VERIFY_FAILED:certificate_has_expired:depth_1",
            Self::NotYetValid => "CERTIFICATE_VERIFY_FAILED:certificate_is_not_yet_valid:depth_0",
            Self::IssuerNotYetValid => {
                "CERTIFICATE_VERIFY_FAILED:certificate_is_not_yet_valid:depth_1"
            }
            Self::UnknownIssuer => {
                "CERTIFICATE_VERIFY_FAILED:unable_to_get_local_issuer_certificate:depth_0"
            }
            Self::WrongName => "CERTIFICATE_VERIFY_FAILED:SAN_matcher",
            Self::NoCertificate => "PEER_DID_NOT_RETURN_A_CERTIFICATE",
            Self::AlertExpired => "SSLV3_ALERT_CERTIFICATE_EXPIRED",
            Self::AlertBad => "SSLV3_ALERT_BAD_CERTIFICATE",
            Self::AlertUnknownCa => "TLSV1_ALERT_UNKNOWN_CA",
            Self::AlertUnknown => "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
            Self::AlertHandshake => "SSLV3_ALERT_HANDSHAKE_FAILURE",
            Self::AlertVersion => "TLSV1_ALERT_PROTOCOL_VERSION",
            Self::NoCommonVersion => "UNSUPPORTED_PROTOCOL",
            Self::WrongVersionNumber => "WRONG_VERSION_NUMBER",
            Self::HttpRequest => "HTTP_REQUEST",
        }
    }
}
