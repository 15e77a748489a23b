//! Cross-origin requests: what the proxy answers to a preflight, and what it adds to answers.
//!
//! Source: Gateway API `HTTPCORSFilter` (GEP-1767); the Fetch standard's CORS protocol. `*` with
//! credentials is answered with what was asked, since browsers refuse `*` then. A preflight of an origin
//! that is not allowed goes to the backend, as in Envoy's filter.
//! Left out: `Vary` headers.

use crate::manifest::gateway_api::filter::{Action, Cors, Filter};
use crate::manifest::route::Direct;
use crate::manifest::route::request::{HeaderChanges, Headers, Request};

/// The proxy's own answer, if the request is a preflight of an allowed origin.
pub fn preflight(filters: &[Filter], request: &Request) -> Option<Direct> {
    let method = request.headers.get("access-control-request-method")?;
    let cors = filters.iter().find_map(|filter| match &filter.action {
        Action::Cors(cors) => Some(cors),
        _ => None,
    })?;
    let origin = request.headers.get("origin")?;
    if request.method != "OPTIONS" || !cors.allows(&origin) {
        return None;
    }
    let mut answer = Direct::new(200, "", "CORS preflight");
    cors.common(&origin, &mut answer.headers);
    let listed = |list: &[String], asked: &str| {
        if list.iter().any(|word| word == "*") {
            if cors.credentials { asked.to_owned() } else { "*".to_owned() }
        } else {
            list.join(", ")
        }
    };
    let asked = request.headers.get("access-control-request-headers").unwrap_or_default();
    let fields = [
        ("access-control-allow-methods", listed(&cors.methods, &method)),
        ("access-control-allow-headers", listed(&cors.headers, &asked)),
    ];
    for (name, value) in fields {
        if !value.is_empty() {
            answer.headers.set(name, value);
        }
    }
    answer.headers.set("access-control-max-age", cors.max_age_s.to_string());
    Some(answer)
}

/// What is added to the answer of a request that is no preflight.
pub fn changes(cors: &Cors, request: &Request) -> HeaderChanges {
    let mut headers = Headers::default();
    if let Some(origin) = request.headers.get("origin").filter(|origin| cors.allows(origin)) {
        cors.common(&origin, &mut headers);
    }
    HeaderChanges { set: headers.0, ..HeaderChanges::default() }
}

impl Cors {
    fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| fits(allowed, origin))
    }

    fn common(&self, origin: &str, headers: &mut Headers) {
        let any = self.origins.iter().any(|allowed| allowed == "*") && !self.credentials;
        headers.set("access-control-allow-origin", if any { "*" } else { origin });
        if self.credentials {
            headers.set("access-control-allow-credentials", "true");
        }
        if !self.expose.is_empty() {
            let all = self.expose.iter().any(|name| name == "*") && self.credentials;
            if !all {
                headers.set("access-control-expose-headers", self.expose.join(", "));
            }
        }
    }
}

/// `https://*.example.com` means any number of labels before the suffix; schemes and ports must agree.
fn fits(allowed: &str, origin: &str) -> bool {
    let (allowed, origin) = (allowed.to_ascii_lowercase(), origin.to_ascii_lowercase());
    match allowed.split_once('*') {
        _ if allowed == "*" => true,
        None => allowed == origin,
        Some((before, after)) => {
            origin.len() > before.len() + after.len()
                && origin.starts_with(before)
                && origin.ends_with(after)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_may_have_one_wildcard() {
        assert!(fits("https://*.bar.com", "https://a.b.bar.com"));
        assert!(!fits("https://*.bar.com", "https://bar.com"));
        assert!(!fits("https://*.bar.com", "http://a.bar.com"));
        assert!(fits("*", "null") && !fits("https://a.com", "https://a.com:8443"));
    }

    #[test]
    fn a_star_is_echoed_only_with_credentials() {
        let headers = [
            ("Origin", "https://a.com"),
            ("Access-Control-Request-Method", "PUT"),
            ("Access-Control-Request-Headers", "x-a, x-b"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let request = Request::to("OPTIONS", "http://b.com/", &headers).unwrap();
        let any = || vec!["*".to_owned()];
        let mut cors = Cors { origins: any(), methods: any(), headers: any(), ..Cors::default() };
        let told = |cors: &Cors| {
            let action = Action::Cors(cors.clone());
            let filter = Filter { action, at: crate::manifest::source::At::default() };
            let headers = preflight(&[filter], &request).unwrap().headers;
            ["origin", "methods", "headers"].map(|name| {
                headers.get(&format!("access-control-allow-{name}")).unwrap_or_default()
            })
        };
        assert_eq!(told(&cors), ["*", "*", "*"]);
        cors.credentials = true;
        assert_eq!(told(&cors), ["https://a.com", "PUT", "x-a, x-b"]);
    }
}
