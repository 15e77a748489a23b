//! A request as rules see it: method, URL and headers; and changes of headers.
//!
//! Source: RFC 9110 section 5 (names of header fields have no case; a repeated field is the same as one
//! with its values joined by commas); RFC 3986 section 3 (URLs).
//! Left out: bodies and trailers; percent-decoding (Envoy matches the path as it is sent).

use serde::Serialize;
use std::fmt;

/// Header fields in their order; names keep their case and are compared without it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Headers(pub Vec<(String, String)>);

/// A request.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Request {
    /// The method, such as `GET`.
    pub method: String,
    /// `http` or `https`.
    pub scheme: String,
    /// The host that is connected to.
    pub host: String,
    /// The port that is connected to.
    pub port: u16,
    /// The `Host` header (`:authority`) without its port.
    pub authority: String,
    /// The path, starting with `/`.
    pub path: String,
    /// The query, without `?`; none if there is no `?`.
    pub query: Option<String>,
    /// The other header fields.
    pub headers: Headers,
}

/// What a filter does to header fields: set, then add, then remove.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct HeaderChanges {
    /// Fields that are overwritten.
    pub set: Vec<(String, String)>,
    /// Values that are added after those that are there.
    pub add: Vec<(String, String)>,
    /// Fields that are taken away.
    pub remove: Vec<String>,
}

impl Headers {
    /// All values of a field, joined by commas; none if it is absent.
    pub fn get(&self, name: &str) -> Option<String> {
        let mut values = self.all(name).peekable();
        values.peek()?;
        Some(values.collect::<Vec<_>>().join(","))
    }

    /// The values of a field, one by one.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fits = move |field: &&(String, String)| field.0.eq_ignore_ascii_case(name);
        self.0.iter().filter(fits).map(|(_, value)| value.as_str())
    }

    /// Puts this value in the place of all others.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.remove(name);
        self.0.push((name.to_owned(), value.into()));
    }

    /// Adds a value after the others.
    pub fn add(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// Takes the field away.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|field| !field.0.eq_ignore_ascii_case(name));
    }

    /// Applies changes.
    pub fn change(&mut self, changes: &HeaderChanges) {
        for (name, value) in &changes.set {
            self.set(name, value.clone());
        }
        for (name, value) in &changes.add {
            self.add(name, value.clone());
        }
        for name in &changes.remove {
            self.remove(name);
        }
    }
}

impl HeaderChanges {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// Adds the changes of another filter after these.
    pub fn then(&mut self, other: &Self) {
        self.set.extend(other.set.iter().cloned());
        self.add.extend(other.add.iter().cloned());
        self.remove.extend(other.remove.iter().cloned());
    }
}

impl Request {
    /// A request for a URL such as `http://web.shop:8080/cart?item=1`; scheme and path may be left out.
    pub fn to(method: &str, url: &str, headers: &[(String, String)]) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let scheme = scheme.to_ascii_lowercase();
        let own_port = match scheme.as_str() {
            "http" | "ws" | "grpc" | "tcp" => 80,
            "https" | "wss" | "tls" => 443,
            _ => return Err(format!("`{scheme}` is no scheme: http or https")),
        };
        let cut = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(cut);
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = split_port(authority)?;
        let target = target.split('#').next().unwrap_or("");
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let path = if path.is_empty() { "/" } else { path };
        let mut request = Self {
            method: method.to_ascii_uppercase(),
            scheme,
            host: host.to_ascii_lowercase(),
            port: port.unwrap_or(own_port),
            authority: host.to_ascii_lowercase(),
            path: path.to_owned(),
            query,
            headers: Headers::default(),
        };
        for (name, value) in headers {
            if name.eq_ignore_ascii_case("host") || name == ":authority" {
                request.authority = split_port(value)?.0.to_ascii_lowercase();
            } else {
                request.headers.add(name, value.clone());
            }
        }
        Ok(request)
    }

    /// The path with its query.
    pub fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// The first value of a query parameter; names have case.
    pub fn query_value(&self, name: &str) -> Option<String> {
        let pairs = self.query.as_deref()?.split('&');
        let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(key, _)| percent_decoded(key) == name).map(|(_, value)| percent_decoded(value))
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}://{}", self.method, self.scheme, self.authority)?;
        if self.port != if self.scheme == "https" { 443 } else { 80 } {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.target())
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), String> {
    if authority.starts_with('[') {
        let end = authority.find(']').ok_or_else(|| format!("`{authority}` has no `]`"))?;
        let port = authority[end + 1..].strip_prefix(':').and_then(|port| port.parse().ok());
        return Ok((&authority[..=end], port));
    }
    match authority.split_once(':') {
        Some((host, port)) => match port.parse() {
            Ok(port) => Ok((host, Some(port))),
            Err(_) => Err(format!("`{port}` is no port")),
        },
        None => Ok((authority, None)),
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let code = match (first, tail) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)).map(|(h, l)| h * 16 + l),
            _ => None,
        };
        if let Some(code) = code.and_then(|code| u8::try_from(code).ok()) {
            bytes.push(code);
            rest = &tail[2..];
        } else {
            bytes.push(if *first == b'+' { b' ' } else { *first });
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let host = [("Host".to_owned(), "other:81".to_owned())];
        let request =
            Request::to("get", "https://Web.shop:8443/a/b?x=1&y=%2F+z#top", &host).unwrap();
        assert_eq!((&*request.method, &*request.scheme, request.port), ("GET", "https", 8443));
        assert_eq!(
            (&*request.host, &*request.authority, &*request.path),
            ("web.shop", "other", "/a/b")
        );
        assert_eq!(request.query_value("y").as_deref(), Some("/ z"));
        assert_eq!(request.query_value("X"), None);
        let short = Request::to("GET", "echo:7070", &[]).unwrap();
        assert_eq!((&*short.host, short.port, &*short.path), ("echo", 7070, "/"));
        assert!(Request::to("GET", "ftp://a/", &[]).is_err());
        assert!(Request::to("GET", "http://a:b/", &[]).is_err());
    }

    #[test]
    fn header_names_have_no_case() {
        let mut headers = Headers(vec![("x-a".into(), "1".into()), ("X-B".into(), "2".into())]);
        headers.change(&HeaderChanges {
            set: vec![("X-C".into(), "3".into())],
            add: vec![("X-A".into(), "4".into())],
            remove: vec!["x-b".into()],
        });
        assert_eq!(headers.get("X-a").as_deref(), Some("1,4"));
        assert_eq!((headers.get("x-b"), headers.get("x-c").as_deref()), (None, Some("3")));
    }
}
