//! Buffer: a proxy keeps the whole body of a request before it sends it on, and refuses one that is too
//! long.
//!
//! How long a body is stands in `content-length`, of which a range in braces has one number a request.
//! Bodies of this model come with their headers, so that nobody waits for them.
//!
//! Source: Envoy's `buffer_filter.cc` and `ActiveStreamDecoderFilter::requestDataTooLarge` (413,
//! `request_payload_too_large`, no flag); a request without a body is not buffered.
//! Left out: the time in which a body comes; bodies without a length; that what is kept for a retry is cut
//! to the same limit.

use crate::kernel::stream::below;
use crate::model::proxy::hash_policy::range;
use crate::plan::universe::RequestClass;

/// Whether the body of a request is longer than that; `draw` are 64 random bits of the request.
#[must_use]
pub fn is_too_long(max_bytes: u32, class: &RequestClass, draw: u64) -> bool {
    body_bytes(class, draw).is_some_and(|bytes| u64::from(max_bytes) < bytes)
}

/// How long the body of a request is, if it says so.
#[must_use]
pub fn body_bytes(class: &RequestClass, draw: u64) -> Option<u64> {
    let (_, value) = class.headers.iter().find(|(name, _)| name == "content-length")?;
    Some(match range(value) {
        Some(("", first, last, "")) => {
            u64::from(first) + below(draw, (last - first) as usize + 1) as u64
        }
        _ => value.parse().unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(length: Option<&str>) -> RequestClass {
        let header = |value: &str| ("content-length".to_owned(), value.to_owned());
        RequestClass {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            headers: length.map(header).into_iter().collect(),
            defect: None,
        }
    }

    #[test]
    fn a_body_may_be_as_long_as_the_limit() {
        assert!(!is_too_long(1000, &post(Some("1000")), 0));
        assert!(is_too_long(1000, &post(Some("1001")), 0));
        assert!(is_too_long(1000, &post(Some("9999999999")), 0));
        assert!(!is_too_long(1000, &post(None), 0));
        assert!(!is_too_long(0, &post(Some("0")), 0));
    }

    #[test]
    fn of_a_range_each_request_has_its_length() {
        let ranged = post(Some("{900..1100}"));
        assert!(!is_too_long(1000, &ranged, 0));
        assert!(is_too_long(1000, &ranged, u64::MAX));
    }
}
