//! Words: what people read for the closed vocabulary, and names from files made harmless.
//!
//! Source: Envoy's response-code details page for what each of them means.
//! Left out: other languages.

use crate::kernel::time::Time;
use crate::report::number::clock;
use crate::vocabulary::cause::{CauseId, Causes};
use crate::vocabulary::outcome::Details;

/// Links of a chain that are told in full; of a longer one the first two and the root are.
const LINKS_MAX: usize = 4;

/// Why a request ended so, as the end of a sentence ("503 UF: …").
pub const fn reason(details: Details) -> &'static str {
    match details {
        Details::ViaUpstream => "the upstream's own answer",
        Details::NoHealthyUpstream => "no healthy endpoint was left",
        Details::ClusterNotFound => "the proxy does not know the cluster that the route names",
        Details::RouteNotFound => "no route matched",
        Details::Overflow => "a circuit breaker was open",
        Details::ConnectionRefused => "the connection was refused",
        Details::ConnectionTimeout => "the connection was not up in time",
        Details::ServerCertificateExpired => "the handshake met an expired certificate",
        Details::ServerCertificateUntrusted => "the handshake met an untrusted certificate",
        Details::NoSecret => "the proxy has no certificate yet",
        Details::WrongVersionNumber => "plaintext met TLS",
        Details::ServerIssuerExpired => "the handshake met an expired authority",
        Details::ServerCertificateNotYetValid => "the handshake met a certificate of the future",
        Details::ServerIssuerNotYetValid => "the handshake met an authority of the future",
        Details::ServerNameMismatch => "the handshake met a certificate of somebody else",
        Details::ClientCertificateExpired => "the server refused an expired certificate",
        Details::ClientCertificateBad => "the server refused a certificate of the future",
        Details::ClientCertificateUntrusted => "the server refused an untrusted certificate",
        Details::ClientNameMismatch => "the server refused a certificate of somebody else",
        Details::ClientCertificateMissing => "the server wants a certificate",
        Details::NoCommonVersion => "both sides speak other versions of TLS",
        Details::HandshakeClosed => "the connection was closed before the handshake was done",
        Details::ConnectionTermination => "the connection was closed before the answer",
        Details::RemoteReset => "the stream was reset before the answer",
        Details::RemoteRefusedStream => "the stream was refused",
        Details::ResponseTimeout => "the answer took longer than the route's timeout",
        Details::PerTryTimeout => "the answer took longer than the timeout of a try",
        Details::DownstreamDisconnect => "the caller left first",
        Details::DownstreamReset => "the caller reset its stream first",
        Details::RemoteResetAfterResponse => {
            "the peer reset the stream in the middle of its answer"
        }
        Details::ResetAfterResponse => "the upstream broke off in the middle of its answer",
        Details::PerTryIdleTimeout => "nothing came for longer than a try may be idle",
        Details::StreamIdleTimeout => "nothing came for longer than a stream may be idle",
        Details::MaxStreamDuration => "the stream lasted longer than the cluster allows",
        Details::MaxDuration => "the request lasted longer than its route allows",
        Details::DirectResponse => "the route itself answered",
        Details::FaultAbort => "a fault was injected",
        Details::DropOverload => "the control plane has a share of requests dropped",
        Details::LocalRateLimited => "the rate limit had no token left",
        Details::RequestRateLimited => "the rate limit service counts too many",
        Details::RateLimiterError => "the rate limit service could not be asked",
        Details::CorsResponse => "the proxy answered a preflight",
        Details::PayloadTooLarge => "the body of the request is too long",
        Details::Overload => "the proxy had too many requests under way",
        Details::AdmissionDenied => "too many requests failed, and a share is refused",
        Details::RbacNoMatch => "no policy lets the request pass",
        Details::RbacMatched => "a policy denies the request",
        Details::ExtAuthzDenied => "the authorization service denied it",
        Details::ExtAuthzError => "the authorization service could not be asked",
        Details::MissingHost => "the request does not say which host it is for",
        Details::HeadersTooLarge => "the headers of the request are too large",
        Details::CodecError => "the request could not be parsed",
        Details::AppOverflow => "the app's queue was full",
        Details::AppError => "the app answered with an error",
        Details::AppGrpcError => "the app answered with a gRPC status that is an error",
        Details::LocalDisconnect => "the proxy ended",
        Details::AppCallFailed => "a call that the app needs failed",
        _ => words_of_linkerd(details),
    }
}

/// The same of what only Linkerd says.
const fn words_of_linkerd(details: Details) -> &'static str {
    match details {
        Details::LinkerdFailFast => "no endpoint was ready when fail-fast began",
        Details::LinkerdLoadShed => "no endpoint was ready, or too much waited or was under way",
        Details::LinkerdConnectTimeout => "the connection was not up in time",
        Details::LinkerdConnectionError => "the connection broke before the answer",
        Details::LinkerdTimeout => "the answer took longer than the limit on the request",
        Details::LinkerdProfileTimeout => "the answer took longer than the service profile allows",
        Details::LinkerdResponseTimeout => "the response took longer than its limit",
        Details::LinkerdIdleTimeout => "nothing came for longer than the limit on silence",
        Details::LinkerdPanic => "the client's proxy panicked: all backends have weight 0",
        Details::LinkerdNoRoute => "no route matched",
        Details::LinkerdInjected => "the backend does not exist",
        Details::LinkerdUnauthorized => "no authorization applies",
        Details::LinkerdRateLimited => "the rate limit is exceeded",
        Details::LinkerdUnknown => "the control plane did not tell of the destination in time",
        _ => "",
    }
}

/// The chain of a cause: "its renewal failed at 13h04m, because istiod fails at 1h".
pub fn chain(causes: &Causes, id: CauseId) -> String {
    let links: Vec<_> = causes
        .chain(id)
        .into_iter()
        .map(|id| {
            let cause = causes.get(id);
            format!("{} at {}", harmless(&cause.what), clock(cause.at))
        })
        .collect();
    match &links[..] {
        [first, second, .., root] if LINKS_MAX < links.len() => {
            format!("{first}, because {second}, … because {root}")
        }
        _ => links.join(", because "),
    }
}

/// `from – to`.
pub fn span(from: Time, to: Time) -> String {
    format!("{} – {}", clock(from), clock(to))
}

/// `1 pod`, `2 pods`.
pub fn plural(number: u64, one: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{} {one}{end}", super::number::count(number))
}

/// A name as a terminal may see it: each character that a terminal would obey, or that turns the
/// direction of text, becomes a picture of itself.
pub fn harmless(name: &str) -> String {
    let picture = |letter: char| match u32::from(letter) {
        code @ 0..0x20 => char::from_u32(0x2400 + code).unwrap_or(char::REPLACEMENT_CHARACTER),
        0x7f => '\u{2421}',
        0x80..=0x9f | 0x200e..=0x200f | 0x2028..=0x202e | 0x2066..=0x2069 | 0x61c => {
            char::REPLACEMENT_CHARACTER
        }
        _ => letter,
    };
    name.chars().map(picture).collect()
}

/// [`harmless`], and cut to `columns` characters with an ellipsis.
pub fn short(name: &str, columns: usize) -> String {
    let name = harmless(name);
    if name.chars().count() <= columns {
        return name;
    }
    name.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::cause::{Cause, CauseKind};

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        assert_eq!(harmless("a\u{1b}[31mb\r\nc"), "a␛[31mb␍␊c");
        assert_eq!(harmless("a\u{9b}b\u{202e}c\u{7f}"), "a\u{fffd}b\u{fffd}c␡");
        assert_eq!(harmless("señor"), "señor");
        assert_eq!((short("abcdef", 4), short("abcd", 4)), ("abc…".to_owned(), "abcd".to_owned()));
    }

    #[test]
    fn a_long_chain_keeps_its_ends() {
        let mut causes = Causes::default();
        let mut because = None;
        for what in ["a", "b", "c", "d", "e"] {
            because = Some(causes.add(Cause {
                kind: CauseKind::Unreachable,
                at: Time::ZERO,
                what: what.to_owned(),
                because,
            }));
        }
        let id = because.expect("five were added");
        assert_eq!(chain(&causes, id), "e at 0s, because d at 0s, … because a at 0s");
        assert_eq!(chain(&causes, CauseId(1)), "b at 0s, because a at 0s");
    }
}
