//! Headers that the answers of apps carry.
//!
//! The plan has a table of them, and an answer's are named by their place there, so that no request
//! carries any.
//!
//! Source: Envoy's router reads `x-envoy-ratelimited` and `grpc-status`, and what a retry policy names.
//! Left out: headers that differ from one answer to the next; trailers; what proxies add to answers.

use std::fmt;

/// Names the headers of some answers: a place in the plan's table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyHeadersId(pub u32);

/// The headers of an answer: names in lower case and in order, with their values.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReplyHeaders(pub Vec<(String, String)>);

/// The greatest status that gRPC has: `unauthenticated`.
pub const GRPC_STATUS_MAX: u8 = 16;

impl ReplyHeaders {
    /// The value of a header, whose name is in lower case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// The status of a gRPC answer without a message, which has it among its headers.
    #[must_use]
    pub fn grpc_status(&self) -> Option<u8> {
        let status = self.get("grpc-status")?.parse().ok()?;
        (status <= GRPC_STATUS_MAX).then_some(status)
    }
}

/// The HTTP status that stands for one of gRPC (Envoy's `Grpc::Utility::grpcToHttpStatus`, after
/// `google/rpc/code.proto`).
#[must_use]
pub const fn http_of_grpc(status: u8) -> u16 {
    match status {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

/// The status of an app's errors, and what headers they have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ErrorStatus {
    /// The HTTP status; 200 for errors that only their headers tell.
    pub code: u16,
    /// Their headers, in place of those that the app's answers have otherwise.
    pub headers: Option<ReplyHeadersId>,
}

impl From<u16> for ErrorStatus {
    fn from(code: u16) -> Self {
        Self { code, headers: None }
    }
}

impl fmt::Debug for ErrorStatus {
    /// The plan's digest is made from this: what is not asked for does not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.headers {
            None => fmt::Debug::fmt(&self.code, f),
            Some(headers) => write!(f, "{} with {headers:?}", self.code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grpc_status_is_one_that_grpc_has() {
        let of =
            |value: &str| ReplyHeaders(vec![("grpc-status".into(), value.into())]).grpc_status();
        assert_eq!((of("14"), of("0")), (Some(14), Some(0)));
        assert_eq!((of("17"), of("unavailable"), of("")), (None, None, None));
        assert_eq!(ReplyHeaders::default().grpc_status(), None);
    }

    #[test]
    fn a_grpc_status_has_its_http_status() {
        let of_http = |wanted: u16| -> Vec<u8> {
            (0..=GRPC_STATUS_MAX).filter(|status| http_of_grpc(*status) == wanted).collect()
        };
        assert_eq!((of_http(200), of_http(503), of_http(504)), (vec![0], vec![14], vec![4]));
        assert_eq!((of_http(500), of_http(501)), (vec![2, 13, 15], vec![12]));
    }

    #[test]
    fn a_status_without_headers_prints_as_a_number() {
        assert_eq!(format!("{:?}", ErrorStatus::from(503)), "503");
        let with = ErrorStatus { code: 200, headers: Some(ReplyHeadersId(0)) };
        assert_ne!(format!("{with:?}"), "200");
    }
}
