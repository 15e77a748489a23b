//! CORS: a browser's question whether a page of another origin may ask is answered by the proxy itself.
//!
//! A preflight is an OPTIONS request with an `origin` and an `access-control-request-method`. One of an
//! origin that is allowed is answered, and one of another goes on, unless the filter is told to answer
//! those as well: that answer allows nothing.
//!
//! Source: Envoy's `cors_filter.cc` (200, `cors_response`; the literal matcher `*` allows all).
//! Left out: what the answers' headers say (`allow_methods`, `allow_headers`, `max_age`, …), which only
//! browsers look at; a request without a route, which Envoy does not answer.

use crate::plan::filter::Cors;
use crate::plan::matching::{ValueMatch, value_is_like};
use crate::plan::universe::RequestClass;

/// Whether the proxy answers a request itself.
#[must_use]
pub fn answers(cors: &Cors, class: &RequestClass) -> bool {
    let header = |name: &str| {
        let found = class.headers.iter().find(|(one, _)| one == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    };
    let Some(origin) = header("origin") else { return false };
    if class.method != "OPTIONS" || header("access-control-request-method").is_none() {
        return false;
    }
    is_allowed(cors, origin) || !cors.forward_not_matching_preflights
}

fn is_allowed(cors: &Cors, origin: &str) -> bool {
    let is_all = |allowed: &ValueMatch| *allowed == ValueMatch::Exact("*".to_owned());
    cors.allow_origin.iter().any(|allowed| is_all(allowed) || value_is_like(allowed, origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(method: &str, headers: &[(&str, &str)]) -> RequestClass {
        RequestClass {
            method: method.to_owned(),
            path: "/".to_owned(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            defect: None,
        }
    }

    fn cors(allowed: ValueMatch) -> Cors {
        Cors { allow_origin: vec![allowed], forward_not_matching_preflights: true }
    }

    const SHOP: (&str, &str) = ("origin", "https://shop.example");
    const ASKS: (&str, &str) = ("access-control-request-method", "PUT");

    #[test]
    fn a_preflight_needs_its_method_and_both_headers() {
        let shop = cors(ValueMatch::Exact(SHOP.1.to_owned()));
        assert!(answers(&shop, &class("OPTIONS", &[SHOP, ASKS])));
        assert!(!answers(&shop, &class("GET", &[SHOP, ASKS])));
        assert!(!answers(&shop, &class("OPTIONS", &[SHOP])));
        assert!(!answers(&shop, &class("OPTIONS", &[ASKS])));
        assert!(!answers(&shop, &class("OPTIONS", &[("origin", ""), ASKS])));
    }

    #[test]
    fn another_origin_is_forwarded_or_answered_without_leave() {
        let preflight = class("OPTIONS", &[("origin", "https://other.example"), ASKS]);
        let shop = cors(ValueMatch::Exact(SHOP.1.to_owned()));
        assert!(!answers(&shop, &preflight));
        assert!(answers(&Cors { forward_not_matching_preflights: false, ..shop }, &preflight));
        assert!(answers(&cors(ValueMatch::Exact("*".to_owned())), &preflight));
        assert!(answers(&cors(ValueMatch::Prefix("https://".to_owned())), &preflight));
        assert!(!answers(&cors(ValueMatch::Suffix(".test".to_owned())), &preflight));
    }
}
