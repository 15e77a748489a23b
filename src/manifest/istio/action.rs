//! What a rule of a `VirtualService` does with a request.
//!
//! Weights are relative; of several destinations those with weight 0 get nothing, and a single one
//! gets everything.
//! Source: Istio API `networking/v1/virtual_service.proto`; istio/istio
//! `pkg/config/validation/validation.go` (`validateHTTPRedirect`,
//! `validateWeights`, `validateHTTPRewrite`, cross-origin checks).
//! Left out: proxies' own CORS headers.

use crate::manifest::istio::check;
use crate::manifest::istio::matching::{StringMatch, is_header_name};
use crate::manifest::pattern::Pattern;
use crate::manifest::reader::{Reader, Word};
use crate::manifest::source::At;

/// A destination of a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Destination {
    /// The host as written.
    pub host: Word,
    /// The named subset.
    pub subset: Option<Word>,
    /// The port; none: the only one, or the one that was asked for.
    pub port: Option<u16>,
    /// Where it stands.
    pub at: At,
}

/// A destination with its share.
#[derive(Clone, PartialEq, Debug)]
pub struct Weighted {
    /// Where to.
    pub destination: Destination,
    /// The relative share.
    pub weight: u32,
    /// Whether a weight was written.
    pub weight_at: Option<At>,
    /// Headers that change for this destination only.
    pub headers: Headers,
}

/// Changes of headers on the way in and out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Headers {
    /// Of the request.
    pub request: HeaderChanges,
    /// Of the answer.
    pub response: HeaderChanges,
}

/// Headers that are set, added and removed, in this order of kinds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HeaderChanges {
    /// Replaced.
    pub set: Vec<(String, String)>,
    /// Added besides.
    pub add: Vec<(String, String)>,
    /// Taken away.
    pub remove: Vec<String>,
}

/// A redirect.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Redirect {
    /// The new path; starting with `%PREFIX()%` it replaces the matched prefix.
    pub uri: Option<String>,
    /// The new host.
    pub authority: Option<String>,
    /// The new port.
    pub port: Option<u16>,
    /// Whether the port comes from the request (`FROM_REQUEST_PORT`) instead of the protocol.
    pub request_port: bool,
    /// The new scheme.
    pub scheme: Option<String>,
    /// The status, 301 unless set.
    pub code: u16,
}

/// A fixed answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DirectResponse {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Option<String>,
}

/// Changes of path and host.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Rewrite {
    /// Replaces the matched prefix, or the whole path for exact and regex matches.
    pub uri: Option<String>,
    /// A pattern and its substitution.
    pub regex: Option<(String, String)>,
    /// The new host.
    pub authority: Option<String>,
}

/// A cross-origin policy.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Cors {
    /// Allowed origins.
    pub origins: Vec<StringMatch>,
    /// Allowed methods.
    pub methods: Vec<String>,
    /// Allowed headers.
    pub headers: Vec<String>,
    /// Exposed headers.
    pub expose: Vec<String>,
    /// How long a browser may keep the answer.
    pub max_age_ns: Option<u64>,
    /// Whether credentials are allowed.
    pub credentials: Option<bool>,
    /// Whether preflights of other origins go on to the service.
    pub forward_unmatched: Option<bool>,
}

impl Destination {
    /// Reads a destination.
    pub fn read(reader: &mut Reader<'_, '_>) -> Option<Self> {
        let port = check::port_selector(reader, "port");
        let subset = reader.word("subset").filter(|word| !word.text.is_empty());
        let Some(host) = reader.word("host").filter(|word| !word.text.is_empty()) else {
            reader.missing("host");
            return None;
        };
        if host.text == "*" {
            reader.problem(host.at, "invalid destination host *", "name the service");
        } else {
            check::host(reader, &host, true);
        }
        if let Some(subset) = subset.as_ref().filter(|subset| !check::is_label(&subset.text)) {
            reader.problem(subset.at, format!("subset name is invalid: `{}`", subset.text), "");
        }
        Some(Self { host, subset, port, at: reader.at() })
    }
}

impl Weighted {
    /// Reads an element of an HTTP rule's `route`.
    pub fn read(reader: &mut Reader<'_, '_>) -> Self {
        let headers = reader.map("headers", Headers::read).unwrap_or_default();
        Self { headers, ..Self::read_l4(reader) }
    }

    /// Reads an element of a TCP or TLS rule's `route`.
    pub fn read_l4(reader: &mut Reader<'_, '_>) -> Self {
        let weight_at = reader.has("weight").then(|| reader.at_field("weight"));
        let weight = reader.int("weight", i64::from(i32::MIN)..=i64::from(i32::MAX)).unwrap_or(0);
        if weight < 0 {
            reader.problem(reader.at_field("weight"), format!("weight {weight} < 0"), "");
        }
        let destination = reader.map("destination", Destination::read);
        if destination.is_none() {
            reader.missing("destination");
        }
        let none = || Destination {
            host: Word { text: String::new(), at: reader.at() },
            subset: None,
            port: None,
            at: reader.at(),
        };
        Self {
            destination: destination.flatten().unwrap_or_else(none),
            weight: u32::try_from(weight).unwrap_or(0),
            weight_at,
            headers: Headers::default(),
        }
    }
}

/// Checks the weights of a rule.
pub fn weights(reader: &mut Reader<'_, '_>, routes: &[Weighted], http: bool) {
    let total: u64 = routes.iter().map(|route| u64::from(route.weight)).sum();
    if routes.len() > 1 && total == 0 {
        let what = "total destination weight = 0";
        let hint = "with several destinations, those without a weight get nothing";
        reader.problem(reader.at_field("route"), what, hint);
    }
    if let (true, [only]) = (http, routes)
        && let Some(at) = only.weight_at.filter(|_| only.weight == 0)
    {
        {
            reader.warning(
                at,
                "a single destination gets everything, its weight does not count",
                "",
            );
        }
    }
}

impl Headers {
    /// Reads `headers`.
    pub fn read(reader: &mut Reader<'_, '_>) -> Self {
        Self {
            request: reader
                .map("request", |changes| HeaderChanges::read(changes, true))
                .unwrap_or_default(),
            response: reader
                .map("response", |changes| HeaderChanges::read(changes, false))
                .unwrap_or_default(),
        }
    }
}

impl HeaderChanges {
    fn read(reader: &mut Reader<'_, '_>, request: bool) -> Self {
        let (set, add) = (reader.labels("set"), reader.labels("add"));
        let remove = reader.texts("remove");
        let changed = set.keys().chain(add.keys()).map(|name| (name, true));
        for (name, writes) in changed.chain(remove.iter().map(|name| (name, false))) {
            let lower = name.to_ascii_lowercase();
            let authority = lower == ":authority" || lower == "host";
            let what = if lower.is_empty() {
                "header name cannot be empty".to_owned()
            } else if (lower.starts_with(':') || lower == "host")
                && !(request && writes && authority)
            {
                format!("`{name}` cannot be set, added or removed: it is the proxy's own")
            } else if !is_header_name(name) {
                format!("`{name}` is no name of a header")
            } else {
                continue;
            };
            reader.problem(reader.at(), what, "");
        }
        let pairs = |map: crate::manifest::object::Labels| map.into_iter().collect();
        Self { set: pairs(set), add: pairs(add), remove }
    }

    /// How often the host is changed.
    pub fn authority_changes(&self) -> usize {
        let is_host = |name: &str| {
            name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority")
        };
        self.set.iter().chain(&self.add).filter(|(name, _)| is_host(name)).count()
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }
}

impl Redirect {
    /// Reads `redirect`.
    pub fn read(reader: &mut Reader<'_, '_>) -> Self {
        check::not_both(reader, "port", "derivePort");
        let code = reader.int("redirectCode", 0..=599).unwrap_or(301);
        if ![0, 301, 302, 303, 307, 308].contains(&code) {
            let what = format!("redirectCode {code} must be one of 301, 302, 303, 307, 308");
            reader.problem(reader.at_field("redirectCode"), what, "");
        }
        let ports = [("FROM_PROTOCOL_DEFAULT", false), ("FROM_REQUEST_PORT", true)];
        let redirect = Self {
            uri: reader.text("uri").filter(|text| !text.is_empty()),
            authority: reader.text("authority").filter(|text| !text.is_empty()),
            port: reader.port("port"),
            request_port: reader.one_of("derivePort", &ports).unwrap_or(false),
            scheme: reader.text("scheme").filter(|text| !text.is_empty()),
            code: u16::try_from(code).ok().filter(|code| *code != 0).unwrap_or(301),
        };
        if let Some(scheme) = redirect.scheme.as_ref().filter(|s| *s != "http" && *s != "https") {
            let what = format!("invalid redirect scheme `{scheme}`, must be `http` or `https`");
            reader.problem(reader.at_field("scheme"), what, "");
        }
        let derives = reader.has("derivePort");
        if redirect.uri.is_none()
            && redirect.authority.is_none()
            && redirect.scheme.is_none()
            && redirect.port.is_none()
            && !derives
        {
            let what = "redirect must specify URI, authority, scheme, or port";
            reader.problem(reader.at(), what, "");
        }
        redirect
    }
}

impl DirectResponse {
    /// Reads `directResponse`.
    pub fn read(reader: &mut Reader<'_, '_>) -> Self {
        if !reader.has("status") {
            reader.missing("status");
        }
        let status = reader.int("status", 200..=599).and_then(|n| u16::try_from(n).ok());
        let body = reader.map("body", |body| body.text("string").or_else(|| body.text("bytes")));
        Self { status: status.unwrap_or(0), body: body.flatten() }
    }
}

impl Rewrite {
    /// Reads `rewrite`.
    pub fn read(reader: &mut Reader<'_, '_>) -> Self {
        check::not_both(reader, "uri", "uriRegexRewrite");
        let rewrite = Self {
            uri: reader.text("uri").filter(|text| !text.is_empty()),
            authority: reader.text("authority").filter(|text| !text.is_empty()),
            regex: reader.map("uriRegexRewrite", regex_rewrite).flatten(),
        };
        if rewrite == Self::default() {
            let what = "rewrite must specify URI, UriRegexRewrite, authority, or both";
            reader.problem(reader.at(), what, "");
        }
        rewrite
    }
}

fn regex_rewrite(reader: &mut Reader<'_, '_>) -> Option<(String, String)> {
    let pattern = reader.word("match").filter(|word| !word.text.is_empty());
    let rewrite = reader.text("rewrite").filter(|text| !text.is_empty());
    let (Some(pattern), Some(rewrite)) = (pattern, rewrite) else {
        let what = "UriRegexRewrite requires both Rewrite and Match fields to be specified";
        reader.problem(reader.at(), what, "");
        return None;
    };
    if Pattern::new(&pattern.text).is_ok() {
        Some((pattern.text, rewrite))
    } else {
        let what = format!("`{}` is no regular expression", pattern.text);
        reader.problem(pattern.at, what, "RE2 syntax");
        None
    }
}

impl Cors {
    /// Reads `corsPolicy`.
    pub fn read(reader: &mut Reader<'_, '_>) -> Self {
        let old = reader.texts("allowOrigin");
        let mut origins = reader.list("allowOrigins", StringMatch::read);
        origins.extend(old.into_iter().map(|origin| match origin.as_str() {
            "*" => StringMatch::Present,
            _ => StringMatch::Exact(origin),
        }));
        let methods = reader.words("allowMethods");
        let known =
            ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"];
        for word in &methods {
            if word.text != "*" && !known.contains(&word.text.as_str()) {
                let what = format!("`{}` is not a supported HTTP method", word.text);
                reader.problem(word.at, what, "in capitals");
            }
        }
        let unmatched = [("UNSPECIFIED", None), ("FORWARD", Some(true)), ("IGNORE", Some(false))];
        Self {
            origins,
            methods: methods.into_iter().map(|word| word.text).collect(),
            headers: reader.texts("allowHeaders"),
            expose: reader.texts("exposeHeaders"),
            max_age_ns: check::duration(reader, "maxAge", 0),
            credentials: reader.bool("allowCredentials"),
            forward_unmatched: reader.one_of("unmatchedPreflights", &unmatched).flatten(),
        }
    }
}
