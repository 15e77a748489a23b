//! What a rule matches: path, method, headers, query parameters; and which of two matches is better.
//!
//! Source: Gateway API `HTTPRouteMatch`, `GRPCRouteMatch` (a method is the path `/service/method`);
//! precedence: exact path, longest prefix, method, most headers, most query parameters.
//! Left out: regular expressions' place in the order is the implementation's choice; here they come
//! after exact paths and prefixes, as Istio sorts them.

use crate::manifest::pattern::Pattern;
use crate::manifest::reader::Reader;
use crate::manifest::route::request::Request;
use crate::manifest::source::At;
use std::cmp::Ordering;
use std::fmt;

/// One alternative of a rule; all of its conditions must hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Match {
    /// The path.
    pub path: PathMatch,
    /// The method, if told.
    pub method: Option<String>,
    /// Headers, the first of equal names.
    pub headers: Vec<FieldMatch>,
    /// Query parameters, the first of equal names.
    pub query: Vec<FieldMatch>,
    /// Where it is.
    pub at: At,
}

/// A condition on the path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathMatch {
    /// This path.
    Exact(String),
    /// This path and those below it, by path elements; kept without a slash at the end.
    Prefix(String),
    /// Paths that match as a whole.
    Regex(Pattern),
}

/// A condition on a header or a query parameter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldMatch {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: TextMatch,
}

/// A condition on a string.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TextMatch {
    /// This string.
    Exact(String),
    /// Strings that match as a whole.
    Regex(Pattern),
}

impl Match {
    /// A match of everything: what a rule without matches has.
    pub fn any(at: At) -> Self {
        let path = PathMatch::Prefix(String::new());
        Self { path, method: None, headers: Vec::new(), query: Vec::new(), at }
    }

    /// Whether it holds for a request.
    pub fn matches(&self, request: &Request) -> bool {
        let header = |field: &FieldMatch| {
            request.headers.get(&field.name).is_some_and(|value| field.value.matches(&value))
        };
        let query = |field: &FieldMatch| {
            request.query_value(&field.name).is_some_and(|value| field.value.matches(&value))
        };
        self.path.matches(&request.path)
            && self.method.as_ref().is_none_or(|method| *method == request.method)
            && self.headers.iter().all(header)
            && self.query.iter().all(query)
    }

    /// `Less` if this match comes before the other.
    pub fn precedence(&self, other: &Self) -> Ordering {
        let key = |one: &Self| {
            (one.path.rank(), one.method.is_some(), one.headers.len(), one.query.len())
        };
        key(other).cmp(&key(self))
    }

    /// The prefix that is replaced when a path's prefix is.
    pub fn matched_prefix(&self) -> &str {
        match &self.path {
            PathMatch::Exact(path) | PathMatch::Prefix(path) => path,
            PathMatch::Regex(_) => "",
        }
    }
}

impl PathMatch {
    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => {
                let rest = path.strip_prefix(prefix.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Regex(pattern) => pattern.matches(path),
        }
    }

    fn rank(&self) -> (u8, usize) {
        match self {
            Self::Exact(path) => (2, path.len()),
            Self::Prefix(path) => (1, path.len()),
            Self::Regex(pattern) => (0, pattern.text().len()),
        }
    }
}

impl TextMatch {
    /// Whether a whole text fits.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => text == exact,
            Self::Regex(pattern) => pattern.matches(text),
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            PathMatch::Exact(path) => write!(f, "path = {path}")?,
            PathMatch::Prefix(path) if path.is_empty() => f.write_str("path /*")?,
            PathMatch::Prefix(path) => write!(f, "path {path}/*")?,
            PathMatch::Regex(pattern) => write!(f, "path ~ {}", pattern.text())?,
        }
        if let Some(method) = &self.method {
            write!(f, ", method {method}")?;
        }
        for (kind, fields) in [("header", &self.headers), ("query", &self.query)] {
            for field in fields {
                match &field.value {
                    TextMatch::Exact(value) => write!(f, ", {kind} {} = {value}", field.name)?,
                    TextMatch::Regex(value) => {
                        write!(f, ", {kind} {} ~ {}", field.name, value.text())?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Reads a match of an `HTTPRoute`.
pub fn read_http(reader: &mut Reader<'_, '_>) -> Match {
    let path = reader.map("path", read_path).flatten();
    let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    let method = reader.one_of("method", &methods.map(|method| (method, method)));
    Match {
        path: path.unwrap_or(PathMatch::Prefix(String::new())),
        method: method.map(str::to_owned),
        headers: read_fields(reader, "headers", true),
        query: read_fields(reader, "queryParams", false),
        at: reader.at(),
    }
}

/// Reads a match of a `GRPCRoute`: service and method make the path.
pub fn read_grpc(reader: &mut Reader<'_, '_>) -> Match {
    let path = reader.map("method", |method| {
        let is_regex = method.one_of("type", &[("Exact", false), ("RegularExpression", true)]);
        let (service, name) = (method.text("service"), method.text("method"));
        if service.is_none() && name.is_none() {
            let what = "a method match needs a service, a method or both";
            method.problem(method.at(), what, "the API server refuses this");
        }
        let at = method.at();
        if is_regex.unwrap_or(false) {
            let any = || "[^/]+".to_owned();
            let text = format!("/{}/{}", service.unwrap_or_else(any), name.unwrap_or_else(any));
            return pattern(method, at, &text).map(PathMatch::Regex);
        }
        match (service, name) {
            (Some(service), Some(name)) => Some(PathMatch::Exact(format!("/{service}/{name}"))),
            (Some(service), None) => Some(PathMatch::Prefix(format!("/{service}"))),
            (None, Some(name)) => {
                let text = format!("/[^/]+/{}", regex::escape(&name));
                pattern(method, at, &text).map(PathMatch::Regex)
            }
            (None, None) => None,
        }
    });
    Match {
        path: path.flatten().unwrap_or(PathMatch::Prefix(String::new())),
        method: None,
        headers: read_fields(reader, "headers", true),
        query: Vec::new(),
        at: reader.at(),
    }
}

fn read_path(reader: &mut Reader<'_, '_>) -> Option<PathMatch> {
    let kinds = [("Exact", 0), ("PathPrefix", 1), ("RegularExpression", 2)];
    let kind = if reader.has("type") { reader.one_of("type", &kinds)? } else { 1 };
    reader.pass(&["type"]);
    let value = reader.word("value");
    let (value, at) = value.map_or(("/".to_owned(), reader.at()), |word| (word.text, word.at));
    if kind == 2 {
        return pattern(reader, at, &value).map(PathMatch::Regex);
    }
    if !value.starts_with('/') {
        let what = format!("the path `{value}` does not start with `/`");
        reader.problem(at, what, "the API server refuses this");
    } else if let Some(wrong) =
        ["//", "/./", "/../", "%2f", "%2F", "#"].iter().find(|w| value.contains(**w))
    {
        reader.problem(
            at,
            format!("the path `{value}` holds `{wrong}`"),
            "the API server refuses this",
        );
    }
    if kind == 0 {
        return Some(PathMatch::Exact(value));
    }
    Some(PathMatch::Prefix(value.trim_end_matches('/').to_owned()))
}

/// Headers or query parameters; of equal names only the first counts.
fn read_fields(
    reader: &mut Reader<'_, '_>,
    name: &'static str,
    is_header: bool,
) -> Vec<FieldMatch> {
    let fields = reader.list(name, |field| {
        let is_regex = field.one_of("type", &[("Exact", false), ("RegularExpression", true)]);
        let key = field.needed_text("name")?;
        let at = field.at_field("value");
        let value = field.needed_text("value")?;
        let value = if is_regex.unwrap_or(false) {
            TextMatch::Regex(pattern(field, at, &value)?)
        } else {
            TextMatch::Exact(value)
        };
        Some(FieldMatch { name: key, value })
    });
    let mut first: Vec<FieldMatch> = Vec::new();
    for field in fields.into_iter().flatten() {
        let same = |other: &FieldMatch| {
            other.name == field.name || is_header && other.name.eq_ignore_ascii_case(&field.name)
        };
        if first.iter().any(same) {
            let what = format!("`{}` is matched twice; only the first counts", field.name);
            reader.warning(reader.at_field(name), what, "");
        } else {
            first.push(field);
        }
    }
    first
}

fn pattern(reader: &mut Reader<'_, '_>, at: At, text: &str) -> Option<Pattern> {
    match Pattern::new(text) {
        Ok(pattern) => Some(pattern),
        Err(why) => {
            reader.problem(at, format!("`{text}` is no regular expression: {why}"), "");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: PathMatch) -> Match {
        Match { path, ..Match::any(At::default()) }
    }

    fn request(target: &str) -> Request {
        Request::to("GET", &format!("http://a{target}"), &[]).unwrap()
    }

    #[test]
    fn prefixes_go_by_path_elements() {
        let v2 = path(PathMatch::Prefix("/v2".into()));
        assert!(v2.matches(&request("/v2")) && v2.matches(&request("/v2/x")));
        assert!(v2.matches(&request("/v2/")) && !v2.matches(&request("/v2example")));
        assert!(!v2.matches(&request("/V2")), "paths have case");
        assert!(path(PathMatch::Prefix(String::new())).matches(&request("/")));
        assert!(!path(PathMatch::Exact("/one".into())).matches(&request("/one/")));
    }

    #[test]
    fn better_matches_come_first() {
        let header = |n: usize| {
            (0..n)
                .map(|i| FieldMatch { name: i.to_string(), value: TextMatch::Exact(String::new()) })
        };
        let any = || Match::any(At::default());
        let ordered = [
            path(PathMatch::Exact("/a".into())),
            path(PathMatch::Prefix("/longer".into())),
            Match { method: Some("GET".into()), ..path(PathMatch::Prefix("/b".into())) },
            Match { headers: header(2).collect(), ..path(PathMatch::Prefix("/c".into())) },
            Match {
                headers: header(1).collect(),
                query: header(3).collect(),
                ..path(PathMatch::Prefix("/d".into()))
            },
            Match { query: header(1).collect(), ..path(PathMatch::Prefix("/e".into())) },
            path(PathMatch::Prefix("/f".into())),
            any(),
            path(PathMatch::Regex(Pattern::new("/.*").unwrap())),
        ];
        for pair in ordered.windows(2) {
            assert_eq!(pair[0].precedence(&pair[1]), Ordering::Less, "{} {}", pair[0], pair[1]);
        }
        assert_eq!(any().precedence(&any()), Ordering::Equal);
    }

    #[test]
    fn names_of_headers_have_no_case_but_those_of_parameters_do() {
        let field =
            |name: &str| FieldMatch { name: name.into(), value: TextMatch::Exact("1".into()) };
        let mut both = Match::any(At::default());
        both.headers = vec![field("Version")];
        both.query = vec![field("animal")];
        let headers = [("VERSION".to_owned(), "1".to_owned())];
        let sent = |target: &str| Request::to("GET", target, &headers).unwrap();
        assert!(both.matches(&sent("http://a/?animal=1")));
        assert!(!both.matches(&sent("http://a/?ANIMAL=1")));
        assert!(!both.matches(&sent("http://a/")));
    }
}
