//! Who sees what of a connection that is opened, by what both sides speak and show: the one table.
//!
//! ```text
//! TLS 1.2  client looks at server ── server looks at client ── up            a refusal is UF
//! TLS 1.3  client looks at server ── up for the client ── server looks at client   its refusal is UC
//! ```
//!
//! Certificates are checked here and nowhere else: open connections outlive them. The client looks at the server's
//! certificate always, the server at the client's unless the session is resumed. Under TLS 1.3 the client
//! believes that it is connected before the server has looked, so that a refusal shows as a connection that ends
//! under the first request: no connect failure, not retried as one, and only the server knows why.
//!
//! Source: measured on Envoy 1.40 (family e08, row by row below); RFC 8446 4.4; Istio's `PeerAuthentication`
//! (the sidecar tells TLS from plaintext by the first bytes and takes what a filter chain is for).
//! Left out: 0-RTT; ALPN; apps that speak TLS themselves.

use super::verification::Flaw;
use crate::plan::tls::TlsVersion;
use crate::vocabulary::outcome::Details;
use crate::vocabulary::transport::TransportFailure;

/// What the client does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Client {
    /// It speaks HTTP in the clear: HTTP/2 at once, HTTP/1.1 with its first request.
    Plaintext {
        /// HTTP/2.
        is_h2: bool,
    },
    /// TLS, for which it has no certificate yet.
    NoSecret,
    /// TLS without a certificate.
    Anonymous,
    /// TLS with one, in which the server finds this.
    Certified(Option<Flaw>),
}

/// What the server does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Server {
    /// It speaks in the clear.
    Plaintext,
    /// TLS, for which it has no certificate yet: a listener without its secret is still warming.
    NoSecret,
    /// TLS.
    Tls {
        /// What the client finds in its certificate.
        flaw: Option<Flaw>,
        /// Whether the client must show one.
        requires_client: bool,
        /// What becomes of plaintext.
        plaintext: Plaintext,
    },
}

/// What a server that speaks TLS does with plaintext.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plaintext {
    /// It takes it, too (PERMISSIVE).
    Taken,
    /// It knows it, and has no filter chain for it (STRICT).
    Unmatched,
    /// It takes it for TLS, which it is not.
    Misread,
}

/// A connection that is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Meeting {
    /// The client's side.
    pub client: Client,
    /// The server's.
    pub server: Server,
    /// The version of TLS; none if they have none in common. Without meaning if a side speaks none.
    pub version: Option<TlsVersion>,
    /// The client has redeemed a ticket of this server.
    pub resumed: bool,
}

/// How a handshake ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum HandshakeResult {
    /// Both speak in the clear.
    Plaintext,
    /// Both sides are content.
    Established,
    /// The client does not connect: UF with these details.
    Failed {
        /// Of the client's proxy.
        details: Details,
        /// What the server's logs.
        logged: Option<TransportFailure>,
    },
    /// The client believes that it is connected; the server closes, and the first request ends UC.
    Rejected {
        /// What the server's proxy logs; nothing if no filter chain was found.
        logged: Option<TransportFailure>,
    },
}

impl HandshakeResult {
    /// Whether requests get through.
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Plaintext | Self::Established)
    }
}

/// The table.
pub fn handshake(meeting: Meeting) -> HandshakeResult {
    let failed = |details, logged| HandshakeResult::Failed { details, logged };
    let Meeting { client, server, version, resumed } = meeting;
    let (flaw, requires_client, plaintext) = match server {
        Server::NoSecret => return failed(Details::ConnectionRefused, None),
        Server::Plaintext => {
            return match client {
                Client::Plaintext { .. } => HandshakeResult::Plaintext,
                Client::NoSecret => failed(Details::NoSecret, None),
                // Its HTTP codec cannot read it and closes; that is no failure of a transport.
                Client::Anonymous | Client::Certified(_) => {
                    failed(Details::WrongVersionNumber, None)
                }
            };
        }
        Server::Tls { flaw, requires_client, plaintext } => (flaw, requires_client, plaintext),
    };
    let found = match client {
        Client::Plaintext { is_h2 } => return in_the_clear(plaintext, is_h2),
        Client::NoSecret => return failed(Details::NoSecret, None),
        Client::Anonymous => requires_client
            .then_some((Details::ClientCertificateMissing, TransportFailure::NoCertificate)),
        Client::Certified(flaw) => flaw.map(|flaw| (refused_client(flaw), flaw.found())),
    };
    let Some(version) = version else {
        return failed(Details::NoCommonVersion, Some(TransportFailure::NoCommonVersion));
    };
    if let Some(flaw) = flaw {
        return failed(refused_server(flaw), Some(flaw.alert()));
    }
    match (found.filter(|_| !resumed), version) {
        (None, _) => HandshakeResult::Established,
        (Some((details, logged)), TlsVersion::Tls12) => failed(details, Some(logged)),
        (Some((_, logged)), TlsVersion::Tls13) => {
            HandshakeResult::Rejected { logged: Some(logged) }
        }
    }
}

/// Plaintext to a port that speaks TLS.
fn in_the_clear(plaintext: Plaintext, is_h2: bool) -> HandshakeResult {
    let logged = match (plaintext, is_h2) {
        (Plaintext::Taken, _) => return HandshakeResult::Plaintext,
        (Plaintext::Unmatched, _) => None,
        // The TLS library knows the usual methods by their first letters.
        (Plaintext::Misread, false) => Some(TransportFailure::HttpRequest),
        (Plaintext::Misread, true) => Some(TransportFailure::WrongVersionNumber),
    };
    HandshakeResult::Rejected { logged }
}

/// The client refuses the server.
const fn refused_server(flaw: Flaw) -> Details {
    match flaw {
        Flaw::Expired => Details::ServerCertificateExpired,
        Flaw::IssuerExpired => Details::ServerIssuerExpired,
        Flaw::NotYetValid => Details::ServerCertificateNotYetValid,
        Flaw::IssuerNotYetValid => Details::ServerIssuerNotYetValid,
        Flaw::UnknownIssuer => Details::ServerCertificateUntrusted,
        Flaw::WrongName => Details::ServerNameMismatch,
    }
}

/// The server refuses the client within the handshake, and says so by an alert.
const fn refused_client(flaw: Flaw) -> Details {
    match flaw {
        Flaw::Expired | Flaw::IssuerExpired => Details::ClientCertificateExpired,
        Flaw::NotYetValid | Flaw::IssuerNotYetValid => Details::ClientCertificateBad,
        Flaw::UnknownIssuer => Details::ClientCertificateUntrusted,
        Flaw::WrongName => Details::ClientNameMismatch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::proxy::retry::is_retriable;
    use crate::plan::parameter::Parameters;
    use crate::plan::policy::RetryPolicy;
    use crate::vocabulary::outcome::Outcome;

    /// What the two sides do, and what both proxies log. `how` is the version, `+` with a redeemed
    /// ticket; `logs` the client's flag and transport failure reason, then the server's reason.
    /// Rows that end with a name are of that measured case (family e08).
    const ROWS: &str = "
    client       server       how   client logs                 server logs
    good         good         1.2   ok                          -                               rotate_client_cert_h2
    good         good         1.3   ok                          -                               rotate_server_cert_h2
    good         good         1.3+  ok                          -                               client_expired_conn_duration_1s_TLSv1_3_resume
    expired      good         1.2   UF:ALERT_CERTIFICATE_EXPIRED  certificate_has_expired:depth_0  client_expired_new_conn_each_tls12_istio_retry
    expired      good         1.3   UC                          certificate_has_expired:depth_0  client_expired_new_conn_each_h1_tls13_noresume
    expired      good         1.2+  ok                          -                               client_expired_new_conn_each_h1_tls12_resume
    expired      good         1.3+  ok                          -                               client_expired_conn_duration_1s_TLSv1_3_resume
    good         expired      1.2   UF:certificate_has_expired:depth_0  ALERT_CERTIFICATE_EXPIRED   server_expired_conn_duration_1s_TLSv1_2_noresume
    good         expired      1.3   UF:certificate_has_expired:depth_0  ALERT_CERTIFICATE_EXPIRED   server_expired_new_conn_each_h1_tls13_noresume
    good         expired      1.2+  UF:certificate_has_expired:depth_0  ALERT_CERTIFICATE_EXPIRED   server_expired_conn_duration_1s_TLSv1_2_resume
    good         expired      1.3+  UF:certificate_has_expired:depth_0  ALERT_CERTIFICATE_EXPIRED
    root-expired root-expired 1.2   UF:certificate_has_expired:depth_1  ALERT_CERTIFICATE_EXPIRED   ca_expired_conn_duration_1s_TLSv1_2_noresume
    root-expired root-expired 1.3   UF:certificate_has_expired:depth_1  ALERT_CERTIFICATE_EXPIRED   ca_expired_conn_duration_1s_TLSv1_3_noresume
    root-expired root-expired 1.3+  UF:certificate_has_expired:depth_1  ALERT_CERTIFICATE_EXPIRED   ca_expired_conn_duration_1s_TLSv1_3_resume
    root-expired good         1.2   UF:ALERT_CERTIFICATE_EXPIRED  certificate_has_expired:depth_1
    root-expired good         1.3   UC                          certificate_has_expired:depth_1
    expired      expired      1.3   UF:certificate_has_expired:depth_0  ALERT_CERTIFICATE_EXPIRED
    early        good         1.2   UF:ALERT_BAD_CERTIFICATE    certificate_is_not_yet_valid:depth_0
    early        good         1.3   UC                          certificate_is_not_yet_valid:depth_0
    early        good         1.3+  ok                          -
    good         early        1.2   UF:certificate_is_not_yet_valid:depth_0  ALERT_BAD_CERTIFICATE
    good         early        1.3   UF:certificate_is_not_yet_valid:depth_0  ALERT_BAD_CERTIFICATE
    other-name   good         1.2   UF:ALERT_CERTIFICATE_UNKNOWN  SAN_matcher                   wrong_client_san_TLSv1_2
    other-name   good         1.3   UC                          SAN_matcher                     wrong_client_san_TLSv1_3
    good         other-name   1.2   UF:SAN_matcher              ALERT_CERTIFICATE_UNKNOWN       wrong_server_san_TLSv1_2
    good         other-name   1.3   UF:SAN_matcher              ALERT_CERTIFICATE_UNKNOWN       wrong_server_san_TLSv1_3
    other-ca     good         1.2   UF:ALERT_UNKNOWN_CA         unable_to_get_local_issuer_certificate:depth_0  server_trusts_other_ca_TLSv1_2
    other-ca     good         1.3   UC                          unable_to_get_local_issuer_certificate:depth_0  server_trusts_other_ca_TLSv1_3
    good         other-ca     1.2   UF:unable_to_get_local_issuer_certificate:depth_0  ALERT_UNKNOWN_CA  client_trusts_other_ca_TLSv1_2
    good         other-ca     1.3   UF:unable_to_get_local_issuer_certificate:depth_0  ALERT_UNKNOWN_CA  client_trusts_other_ca_TLSv1_3
    none         good         1.2   UF:ALERT_HANDSHAKE_FAILURE  PEER_DID_NOT_RETURN_A_CERTIFICATE
    none         good         1.3   UC                          PEER_DID_NOT_RETURN_A_CERTIFICATE
    none         optional     1.3   ok                          -
    expired      optional     1.3   UC                          certificate_has_expired:depth_0
    good         good         none  UF:ALERT_PROTOCOL_VERSION   UNSUPPORTED_PROTOCOL
    no-secret    good         1.3   UF                          -
    no-secret    no-secret    1.3   UF:connection_refused       -
    good         no-secret    1.3   UF:connection_refused       -
    good         plaintext    1.3   UF:WRONG_VERSION_NUMBER     -                               tls_client_to_plaintext_server_h1
    h1           plaintext    none  plain                       -
    h1           good         none  UC                          HTTP_REQUEST
    h2           good         none  UC                          WRONG_VERSION_NUMBER            plaintext_client_to_tls_server_h2
    h1           strict       none  UC                          -
    h2           strict       none  UC                          -
    h1           permissive   none  plain                       -
    good         permissive   1.3   ok                          -
    expired      permissive   1.3   UC                          certificate_has_expired:depth_0
    good         strict       1.3   ok                          -
    ";

    fn flaw(word: &str) -> Option<Flaw> {
        match word {
            "expired" => Some(Flaw::Expired),
            "root-expired" => Some(Flaw::IssuerExpired),
            "early" => Some(Flaw::NotYetValid),
            "other-name" => Some(Flaw::WrongName),
            "other-ca" => Some(Flaw::UnknownIssuer),
            _ => None,
        }
    }

    fn meeting(client: &str, server: &str, how: &str) -> Meeting {
        let client = match client {
            "h1" | "h2" => Client::Plaintext { is_h2: client == "h2" },
            "no-secret" => Client::NoSecret,
            "none" => Client::Anonymous,
            word => Client::Certified(flaw(word)),
        };
        let server = match server {
            "plaintext" => Server::Plaintext,
            "no-secret" => Server::NoSecret,
            word => Server::Tls {
                flaw: flaw(word),
                requires_client: word != "optional",
                plaintext: match word {
                    "permissive" => Plaintext::Taken,
                    "strict" => Plaintext::Unmatched,
                    _ => Plaintext::Misread,
                },
            },
        };
        let version = match how.trim_end_matches('+') {
            "1.2" => Some(TlsVersion::Tls12),
            "1.3" => Some(TlsVersion::Tls13),
            _ => None,
        };
        Meeting { client, server, version, resumed: how.ends_with('+') }
    }

    /// A reason without the library's prefixes.
    fn short(reason: Option<TransportFailure>) -> String {
        let text = reason.map_or("-", TransportFailure::text);
        let prefixes = ["CERTIFICATE_VERIFY_FAILED:", "SSLV3_", "TLSV1_"];
        prefixes.iter().fold(text, |text, prefix| text.trim_start_matches(prefix)).to_owned()
    }

    fn logs(result: HandshakeResult) -> (String, String) {
        match result {
            HandshakeResult::Plaintext => ("plain".to_owned(), "-".to_owned()),
            HandshakeResult::Established => ("ok".to_owned(), "-".to_owned()),
            HandshakeResult::Rejected { logged } => ("UC".to_owned(), short(logged)),
            HandshakeResult::Failed { details, logged } => {
                let outcome = Outcome::failure(details);
                assert!(details.is_connect_failure(), "{details:?}");
                let reason = details.transport_failure();
                let flag = outcome.flags.to_string();
                let client = reason.map_or(flag.clone(), |_| format!("{flag}:{}", short(reason)));
                (client, short(logged))
            }
        }
    }

    #[test]
    fn who_sees_what() {
        for row in ROWS.lines().map(str::trim).filter(|row| !row.is_empty()).skip(1) {
            let words: Vec<&str> = row.split_whitespace().collect();
            let (client, server) = logs(handshake(meeting(words[0], words[1], words[2])));
            assert_eq!((client.as_str(), server.as_str()), (words[3], words[4]), "{row}");
        }
    }

    #[test]
    fn istios_retries_help_against_what_fails_in_the_handshake_only() {
        let own = Parameters::default().retry;
        let policy = RetryPolicy {
            retries: own.attempts,
            on: own.on,
            statuses: own.statuses,
            per_try_timeout: own.per_try_timeout,
            per_try_idle_timeout: own.per_try_timeout,
            backoff_base: own.backoff_base,
            backoff_max: own.backoff_max,
            previous_hosts: own.previous_hosts,
            previous_priorities: 0,
            hedges: false,
            headers: None,
            host_attempts: own.host_attempts,
        };
        for (version, is_retried) in [("1.2", true), ("1.3", false)] {
            let outcome = match handshake(meeting("expired", "good", version)) {
                HandshakeResult::Failed { details, .. } => Outcome::failure(details),
                _ => Outcome::failure(Details::ConnectionTermination),
            };
            assert_eq!(is_retriable(&policy, outcome, None), is_retried, "{version}");
        }
    }
}
