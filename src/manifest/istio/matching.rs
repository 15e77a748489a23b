//! Conditions of routing rules: how strings and requests are matched.
//!
//! A regular expression must match the whole value. Header names are compared in lower case. The query
//! is not part of the path. An empty header condition (`{}`) asks only that the header is there.
//! Source: Istio API `networking/v1/virtual_service.proto` (`StringMatch`, `HTTPMatchRequest`,
//! `L4MatchAttributes`, `TLSMatchAttributes`); istio/istio `pilot/pkg/networking/core/route/route.go`
//! (`TranslateRouteMatch`); Envoy `StringMatcher`.
//! Left out: `statPrefix`; header conditions on JWT claims (`@request.auth.claims`), which never hold.

use crate::manifest::istio::check;
use crate::manifest::object::Labels;
use crate::manifest::pattern::Pattern;
use crate::manifest::reader::{Reader, Word};
use crate::manifest::source::At;
use std::collections::BTreeMap;

/// How a string is compared.
#[derive(Clone, Debug)]
pub enum StringMatch {
    /// The whole string.
    Exact(String),
    /// Its beginning.
    Prefix(String),
    /// A regular expression for the whole string; none if it is broken, which matches nothing.
    Regex(String, Option<Pattern>),
    /// Any value.
    Present,
}

impl PartialEq for StringMatch {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b))
            | (Self::Prefix(a), Self::Prefix(b))
            | (Self::Regex(a, _), Self::Regex(b, _)) => a == b,
            (Self::Present, Self::Present) => true,
            _ => false,
        }
    }
}

impl StringMatch {
    /// A regular expression that must match the whole value.
    pub fn regex(text: &str) -> Result<Self, String> {
        // Wrapped in a group, `a)(b` would compile.
        if text.contains(')') {
            let whole = Pattern::new(text)?;
            regex::Regex::new(text).map_err(|_| "unbalanced brackets".to_owned())?;
            return Ok(Self::Regex(text.to_owned(), Some(whole)));
        }
        Ok(Self::Regex(text.to_owned(), Some(Pattern::new(text)?)))
    }

    /// Reads the map that the reader stands on.
    pub fn read(reader: &mut Reader<'_, '_>) -> Self {
        let given = ["exact", "prefix", "regex"].iter().filter(|name| reader.has(name)).count();
        if given > 1 {
            let what = format!("`{}` must have only one of exact, prefix, regex", reader.path());
            reader.problem(reader.at(), what, "keep one of them");
        }
        let (exact, prefix) = (reader.text("exact"), reader.text("prefix"));
        if let Some(word) = reader.word("regex") {
            return Self::regex(&word.text).unwrap_or_else(|why| {
                let what = format!("`{}.regex` is no regular expression: {why}", reader.path());
                reader.problem(word.at, what, "RE2 syntax: no look-ahead, no back-references");
                Self::Regex(word.text, None)
            });
        }
        match (exact, prefix) {
            (Some(exact), _) => Self::Exact(exact),
            (None, Some(prefix)) => Self::Prefix(prefix),
            (None, None) => Self::Present,
        }
    }

    /// Whether a value fits.
    pub fn fits(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => text == value,
            Self::Prefix(text) => value.starts_with(text.as_str()),
            Self::Regex(_, regex) => regex.as_ref().is_some_and(|regex| regex.matches(value)),
            Self::Present => true,
        }
    }

    /// Whether a value fits, with letters of either case; a regular expression stays exact.
    pub fn fits_any_case(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => text.eq_ignore_ascii_case(value),
            Self::Prefix(text) => {
                value.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text))
            }
            _ => self.fits(value),
        }
    }

    /// How it is written, for messages.
    pub fn told(&self) -> String {
        match self {
            Self::Exact(text) => format!("exact {text}"),
            Self::Prefix(text) => format!("prefix {text}"),
            Self::Regex(text, _) => format!("regex {text}"),
            Self::Present => "any value".to_owned(),
        }
    }
}

/// Conditions on a request; all must hold.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct HttpMatch {
    /// Where it stands.
    pub at: At,
    /// Its name; may be empty.
    pub name: String,
    /// On the path.
    pub uri: Option<StringMatch>,
    /// Whether the path's case counts not.
    pub ignore_case: bool,
    /// On the scheme.
    pub scheme: Option<StringMatch>,
    /// On the method.
    pub method: Option<StringMatch>,
    /// On the host that is asked for.
    pub authority: Option<StringMatch>,
    /// On headers, by lower-case name.
    pub headers: BTreeMap<String, StringMatch>,
    /// Headers that must not match, by lower-case name.
    pub without: BTreeMap<String, StringMatch>,
    /// On query parameters, by name.
    pub query: BTreeMap<String, StringMatch>,
    /// On the port of the service or server that is asked.
    pub port: Option<u16>,
    /// Labels of the client's pod.
    pub source_labels: Labels,
    /// The client's namespace.
    pub source_namespace: Option<String>,
    /// Gateways where it counts; empty: those of the virtual service.
    pub gateways: Vec<Word>,
}

/// Conditions on a connection; all must hold.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct L4Match {
    /// Where it stands.
    pub at: At,
    /// Host names of the TLS hello; empty for TCP rules.
    pub sni: Vec<Word>,
    /// Address ranges of the destination.
    pub subnets: Vec<Word>,
    /// On the port.
    pub port: Option<u16>,
    /// Labels of the client's pod.
    pub source_labels: Labels,
    /// The client's namespace.
    pub source_namespace: Option<String>,
    /// Gateways where it counts; empty: those of the virtual service.
    pub gateways: Vec<Word>,
}

impl HttpMatch {
    /// Reads one element of `match`.
    pub fn read(reader: &mut Reader<'_, '_>) -> Self {
        reader.pass(&["statPrefix"]);
        let (headers, without) = (headers(reader, "headers"), headers(reader, "withoutHeaders"));
        let query = reader
            .entries("queryParams", |name, value| (name.to_owned(), StringMatch::read(value)));
        Self {
            at: reader.at(),
            name: reader.text("name").unwrap_or_default(),
            uri: reader.map("uri", StringMatch::read),
            ignore_case: reader.bool("ignoreUriCase").unwrap_or(false),
            scheme: reader.map("scheme", StringMatch::read),
            method: reader.map("method", StringMatch::read),
            authority: reader.map("authority", StringMatch::read),
            headers,
            without,
            query: query.into_iter().collect(),
            port: reader.port("port"),
            source_labels: reader.labels("sourceLabels"),
            source_namespace: source_namespace(reader),
            gateways: reader.words("gateways"),
        }
    }

    /// Whether it asks for nothing of the request itself.
    pub fn is_catch_all(&self) -> bool {
        let any_path = match &self.uri {
            None | Some(StringMatch::Present) => true,
            Some(StringMatch::Prefix(prefix)) => prefix == "/",
            Some(StringMatch::Regex(regex, _)) => regex == "*" || regex == ".*",
            Some(StringMatch::Exact(_)) => false,
        };
        any_path
            && self.headers.is_empty()
            && self.without.is_empty()
            && self.query.is_empty()
            && self.method.is_none()
            && self.scheme.is_none()
            && self.authority.is_none()
            && self.source_labels.is_empty()
            && self.source_namespace.is_none()
            && self.gateways.is_empty()
    }
}

impl L4Match {
    /// Reads one element of `match` of a TCP or, with `tls`, of a TLS rule.
    pub fn read(reader: &mut Reader<'_, '_>, tls: bool) -> Self {
        let sni = if tls { reader.words("sniHosts") } else { Vec::new() };
        if tls && sni.is_empty() {
            let what = format!("`{}` must have at least one SNI host", reader.path());
            reader.problem(reader.at(), what, "sniHosts: [\"host\"]");
        }
        for word in &sni {
            check::host(reader, word, true);
        }
        let subnets = reader.words("destinationSubnets");
        for word in &subnets {
            if !check::is_subnet(&word.text) {
                let what = format!("`{}` is no address range", word.text);
                reader.problem(word.at, what, "such as 10.0.0.0/8");
            }
        }
        if !tls {
            reader.ignore(&["sourceSubnet"], "addresses of clients are not simulated");
        }
        Self {
            at: reader.at(),
            sni,
            subnets,
            port: reader.port("port"),
            source_labels: reader.labels("sourceLabels"),
            source_namespace: source_namespace(reader),
            gateways: reader.words("gateways"),
        }
    }
}

fn source_namespace(reader: &mut Reader<'_, '_>) -> Option<String> {
    let word = reader.word("sourceNamespace").filter(|word| !word.text.is_empty())?;
    if !check::is_label(&word.text) {
        reader.problem(word.at, format!("`{}` is no namespace", word.text), "");
    }
    Some(word.text)
}

fn headers(reader: &mut Reader<'_, '_>, name: &'static str) -> BTreeMap<String, StringMatch> {
    let at = reader.at_field(name);
    let list = reader.entries(name, |key, value| {
        (key.to_ascii_lowercase(), key.to_owned(), value.at(), StringMatch::read(value))
    });
    let mut found = BTreeMap::new();
    for (lower, key, key_at, value) in list {
        if key.is_empty() {
            reader.problem(at, "a header's name must not be empty", "");
        } else if key.starts_with("@request.auth.claims") {
            let why = "claims of tokens are not simulated: the rule never matches";
            reader.warning(key_at, format!("`{key}`: {why}"), "");
        } else if !is_header_name(&key) {
            let what = format!("`{key}` is no name of a header");
            reader.problem(key_at, what, "letters, digits, dashes and underscores");
        }
        found.insert(lower, value);
    }
    found
}

/// Whether it is a name of a header that a rule may match.
pub fn is_header_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let name = name.strip_prefix(':').unwrap_or(name);
    !name.is_empty() && name.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_matched_whole_by_start_or_by_expression() {
        let regex = StringMatch::regex("/a(/.*)?").unwrap();
        assert!(regex.fits("/a") && regex.fits("/a/b") && !regex.fits("/ab"));
        assert!(StringMatch::Prefix("/a".into()).fits("/ab"));
        assert!(StringMatch::Exact("/A".into()).fits_any_case("/a"));
        assert!(StringMatch::Prefix("/A".into()).fits_any_case("/ab"));
        assert!(StringMatch::Present.fits(""));
        let alternatives = StringMatch::regex("a|b").unwrap();
        assert!(alternatives.fits("b") && !alternatives.fits("ab"));
    }

    #[test]
    fn look_ahead_is_refused() {
        let why = StringMatch::regex("(?!x)").unwrap_err();
        assert!(why.contains("look-around"), "{why}");
        assert!(StringMatch::regex("a)(b").is_err());
        assert!(StringMatch::regex("*").is_err());
    }
}
