//! What rules do to a request: replaced paths, redirects.
//!
//! Source: Gateway API `HTTPPathModifier` (its table of prefix replacements), `HTTPRequestRedirectFilter`
//! (which port a redirect names); Envoy `prefix_rewrite` for plain prefixes.
//! Left out: rewrites by regular expressions (Istio's `uriRegexRewrite`), which its resolver does.

use crate::manifest::route::request::Request;
use crate::manifest::route::{Direct, Location};

/// How a path is replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathChange {
    /// All of it.
    Full(String),
    /// The prefix that the rule matched, by path elements.
    Prefix(String),
}

/// The path after a change; `matched` is the prefix that the rule matched.
pub fn changed_path(path: &str, matched: &str, change: &PathChange) -> String {
    match change {
        PathChange::Full(full) => full.clone(),
        PathChange::Prefix(new) => {
            let matched = matched.trim_end_matches('/');
            let rest = path.strip_prefix(matched).unwrap_or("");
            let new = new.trim_end_matches('/');
            match (new, rest.trim_start_matches('/')) {
                ("", "") => "/".to_owned(),
                (new, "") if rest.is_empty() || rest == "/" => {
                    if rest == "/" {
                        format!("{new}/")
                    } else {
                        new.to_owned()
                    }
                }
                (new, rest) => format!("{new}/{rest}"),
            }
        }
    }
}

/// What a redirect says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Redirect {
    /// The new scheme.
    pub scheme: Option<String>,
    /// The new host.
    pub host: Option<String>,
    /// The new port.
    pub port: Option<u16>,
    /// The new path.
    pub path: Option<PathChange>,
    /// The status.
    pub status: u16,
}

impl Redirect {
    /// The proxy's answer. Without a port of its own, a redirect goes to its new scheme's port, and
    /// without a new scheme to the port where the request came in; 80 and 443 are not written out.
    pub fn answer(&self, request: &Request, matched: &str, listener_port: u16) -> Direct {
        let scheme = self.scheme.clone().unwrap_or_else(|| request.scheme.clone());
        let own_port = if scheme == "https" { 443 } else { 80 };
        let port = match (self.port, &self.scheme) {
            (Some(port), _) => port,
            (None, Some(_)) => own_port,
            (None, None) => listener_port,
        };
        let host = self.host.clone().unwrap_or_else(|| request.authority.clone());
        let mut path = match &self.path {
            Some(change) => changed_path(&request.path, matched, change),
            None => request.path.clone(),
        };
        if let Some(query) = &request.query {
            path = format!("{path}?{query}");
        }
        let port = Some(port).filter(|port| *port != own_port);
        let written = port.map_or(String::new(), |port| format!(":{port}"));
        let url = format!("{scheme}://{host}{written}{path}");
        let mut direct = Direct::new(self.status, "", "redirected");
        direct.headers.set("location", url.clone());
        direct.location = Some(Location { scheme, host, port, path, url });
        direct
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of `ReplacePrefixMatch` in the Gateway API's `httproute_types.go`.
    #[test]
    fn prefixes_are_replaced_by_path_elements() {
        let table = [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/a/b", "/", "/x", "/x/a/b"),
        ];
        for (path, matched, new, expected) in table {
            let change = PathChange::Prefix(new.to_owned());
            assert_eq!(changed_path(path, matched, &change), expected, "{path} {matched} {new}");
        }
    }

    #[test]
    fn the_port_of_a_redirect_follows_its_scheme_then_the_listener() {
        let request = Request::to("GET", "http://a.example:8080/x?q=1", &[]).unwrap();
        let location =
            |redirect: Redirect| redirect.answer(&request, "/", 8080).location.unwrap().url;
        let plain = Redirect { status: 302, ..Redirect::default() };
        assert_eq!(location(plain.clone()), "http://a.example:8080/x?q=1");
        let https = Redirect { scheme: Some("https".into()), ..plain.clone() };
        assert_eq!(location(https), "https://a.example/x?q=1");
        let port = Redirect { port: Some(80), ..plain };
        assert_eq!(location(port), "http://a.example/x?q=1");
    }
}
