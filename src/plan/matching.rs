//! What a rule of a route table matches, and whether a request does.
//!
//! All parts of a match must hold. Paths are compared without their query.
//!
//! Source: Envoy's `RouteMatch`, `HeaderMatcher` and `QueryParameterMatcher`: a header that is not
//! there never matches, inverted or not, unless its presence itself is asked for.
//! Left out: ranges, runtime fractions, gRPC and TLS contexts; case-insensitive paths.

use super::pattern::Pattern;
use super::universe::RequestClass;
use std::fmt;

/// How a path is matched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// Its beginning, at segment boundaries or not, as Envoy's plain prefix.
    Prefix(String),
    /// All of it, by a regular expression or a template.
    Pattern(Pattern),
}

/// What a header must be like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeaderMatch {
    /// In lower case.
    pub name: String,
    /// Its value.
    pub value: ValueMatch,
    /// It must not be like that. A header that is not there is like nothing, inverted or not; but
    /// one that must not be present must not be there.
    pub invert: bool,
}

/// What a value must be like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ValueMatch {
    /// Whatever it is.
    Present,
    /// The whole of it.
    Exact(String),
    /// Its beginning.
    Prefix(String),
    /// Its end.
    Suffix(String),
    /// Some of it.
    Contains(String),
    /// All of it, by a regular expression.
    Regex(Pattern),
}

/// A condition on a request. All that is set must hold.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct RouteMatch {
    /// Path.
    pub path: Option<PathMatch>,
    /// Method, in capitals.
    pub method: Option<String>,
    /// Whom the request is for.
    pub authority: Option<String>,
    /// Headers that all must match.
    pub headers: Vec<HeaderMatch>,
    /// Parameters of the query that must have exactly these values.
    pub query: Vec<(String, String)>,
    /// Parameters of the query, and what the first value of each must be like.
    pub parameters: Vec<(String, ValueMatch)>,
}

impl fmt::Debug for RouteMatch {
    /// The plan's digest is made from this: what is not asked for does not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("RouteMatch");
        fields
            .field("path", &self.path)
            .field("method", &self.method)
            .field("authority", &self.authority)
            .field("headers", &self.headers)
            .field("query", &self.query);
        if !self.parameters.is_empty() {
            fields.field("parameters", &self.parameters);
        }
        fields.finish()
    }
}

/// Whether it does; `authority` is whom requests are for that have no `host` header.
#[must_use]
pub fn fits(rule: &RouteMatch, class: &RequestClass, authority: &str) -> bool {
    let (path, query) = class.path.split_once('?').unwrap_or((&class.path, ""));
    let path = match &rule.path {
        Some(PathMatch::Exact(wanted)) => path == wanted,
        Some(PathMatch::Prefix(wanted)) => path.starts_with(wanted.as_str()),
        Some(PathMatch::Pattern(pattern)) => pattern.matches(path),
        None => true,
    };
    let value = |name: &str| {
        let found = class.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    };
    let host = value("host").unwrap_or(authority);
    let has = |(name, wanted): &(String, String)| {
        query.split('&').any(|one| one.split_once('=').unwrap_or((one, "")) == (name, wanted))
    };
    let first_is_like = |(name, wanted): &(String, ValueMatch)| {
        let mut all = query.split('&').map(|one| one.split_once('=').unwrap_or((one, "")));
        let first = all.find(|(parameter, _)| parameter == name);
        first.is_some_and(|(_, value)| value_is_like(wanted, value))
    };
    path && rule.method.as_ref().is_none_or(|method| class.method == *method)
        && rule.authority.as_ref().is_none_or(|wanted| host == wanted)
        && rule.headers.iter().all(|header| is_like(header, value(&header.name)))
        && rule.query.iter().all(has)
        && rule.parameters.iter().all(first_is_like)
}

/// Whether a header that has this value, or is not there, is like that.
#[must_use]
pub fn is_like(wanted: &HeaderMatch, value: Option<&str>) -> bool {
    let Some(value) = value else {
        return wanted.value == ValueMatch::Present && wanted.invert;
    };
    value_is_like(&wanted.value, value) != wanted.invert
}

/// Whether a value is what is wanted.
#[must_use]
pub fn value_is_like(wanted: &ValueMatch, value: &str) -> bool {
    match wanted {
        ValueMatch::Present => true,
        ValueMatch::Exact(text) => value == text,
        ValueMatch::Prefix(text) => value.starts_with(text.as_str()),
        ValueMatch::Suffix(text) => value.ends_with(text.as_str()),
        ValueMatch::Contains(text) => value.contains(text.as_str()),
        ValueMatch::Regex(pattern) => pattern.matches(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(path: &str, headers: &[(&str, &str)]) -> RequestClass {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        RequestClass {
            method: "GET".into(),
            path: path.into(),
            headers: headers.collect(),
            defect: None,
        }
    }

    fn by_path(path: PathMatch, asked: &str) -> bool {
        fits(&RouteMatch { path: Some(path), ..RouteMatch::default() }, &class(asked, &[]), "cart")
    }

    #[test]
    fn paths_are_compared_without_their_query() {
        assert!(by_path(PathMatch::Exact("/cart".into()), "/cart?user=1"));
        assert!(!by_path(PathMatch::Exact("/cart".into()), "/cart/"));
        assert!(by_path(PathMatch::Prefix("/ca".into()), "/cart?user=1"));
        let pattern = Pattern::regex("/c.*t").expect("a pattern");
        assert!(by_path(PathMatch::Pattern(pattern.clone()), "/cart?user=1"));
        assert!(!by_path(PathMatch::Pattern(pattern), "/cart/1"));
    }

    #[test]
    fn a_header_that_is_not_there_matches_only_where_its_absence_is_asked_for() {
        let of = |value: ValueMatch, invert, headers: &[(&str, &str)]| {
            let header = HeaderMatch { name: "x-user".into(), value, invert };
            let rule = RouteMatch { headers: vec![header], ..RouteMatch::default() };
            fits(&rule, &class("/", headers), "cart")
        };
        let anna = &[("x-user", "anna")][..];
        let exact = || ValueMatch::Exact("anna".into());
        assert!(of(exact(), false, anna) && !of(exact(), true, anna));
        assert!(!of(exact(), false, &[]) && !of(exact(), true, &[]));
        assert!(of(exact(), true, &[("x-user", "otto")]));
        assert!(of(ValueMatch::Present, false, anna) && of(ValueMatch::Present, true, &[]));
        assert!(!of(ValueMatch::Present, true, anna));
        assert!(of(ValueMatch::Prefix("an".into()), false, anna));
        assert!(of(ValueMatch::Suffix("na".into()), false, anna));
        assert!(of(ValueMatch::Contains("nn".into()), false, anna));
        let regex = ValueMatch::Regex(Pattern::regex("a.*").expect("a pattern"));
        assert!(of(regex.clone(), false, anna) && !of(regex, false, &[("x-user", "hanna")]));
    }

    #[test]
    fn a_parameter_is_compared_by_its_first_value_or_must_be_there() {
        let of = |wanted: ValueMatch, path: &str| {
            let parameters = vec![("page".into(), wanted)];
            let rule = RouteMatch { parameters, ..RouteMatch::default() };
            fits(&rule, &class(path, &[]), "cart")
        };
        assert!(of(ValueMatch::Present, "/?page") && of(ValueMatch::Present, "/?a=1&page=2"));
        assert!(!of(ValueMatch::Present, "/?pages=2") && !of(ValueMatch::Present, "/page"));
        let prefix = ValueMatch::Prefix("2".into());
        assert!(of(prefix.clone(), "/?page=22") && !of(prefix, "/?page=1&page=2"));
        let regex = ValueMatch::Regex(Pattern::regex("[0-9]+").expect("a pattern"));
        assert!(of(regex.clone(), "/?page=7") && !of(regex, "/?page=7b"));
    }

    #[test]
    fn authority_and_query_are_compared_whole() {
        let rule = RouteMatch {
            authority: Some("shop.example".into()),
            query: vec![("page".into(), "2".into())],
            ..RouteMatch::default()
        };
        let of = |path: &str, host: &str| fits(&rule, &class(path, &[("host", host)]), "cart");
        assert!(of("/?page=2&user=1", "shop.example"));
        assert!(!of("/?page=22", "shop.example") && !of("/", "shop.example"));
        assert!(!of("/?page=2", "other.example"));
        let own = RouteMatch { authority: Some("cart".into()), ..RouteMatch::default() };
        assert!(fits(&own, &class("/", &[]), "cart"), "without a host header it is the service");
    }
}
