//! Conditions of rules (`match`) in the keys of a scenario's route.
//!
//! One condition may become several, of which any must hold: a scenario knows exact methods only, and its
//! inverted header matches nothing where there is no header. What cannot be said never matches, and is
//! named.
//! Source: docs/scenarios.md (`route`, `match`); Istio API `HTTPMatchRequest`; as `istio::rules` decides.
//! Left out: claims of tokens, conditions on `:path`.

use super::places::Places;
use crate::manifest::draft::value::{Table, Value};
use crate::manifest::istio::matching::{HttpMatch, StringMatch};
use crate::manifest::source::At;

/// Methods that requests have.
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];

/// The expression for nothing: no text of a scenario is empty.
const EMPTY: &str = "(?:)";

/// More alternatives of one condition are not written.
const ALTERNATIVES_MAX: usize = 64;

/// What of a request the place decides where it arrives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<'a> {
    /// The host of requests without a `host` header: the name of the scenario's service.
    pub(super) authority: &'a str,
    /// The port.
    pub(super) port: u16,
    /// `http` or `https`.
    pub(super) scheme: &'a str,
}

/// One alternative on its way.
#[derive(Clone, Debug, Default)]
struct Draft {
    table: Table,
    headers: Table,
    header: Vec<Value>,
    parameter: Vec<Value>,
}

impl Draft {
    fn done(self) -> Table {
        let mut table = self.table;
        if !self.headers.is_empty() {
            table.set("headers", self.headers);
        }
        for (key, list) in [("header", self.header), ("parameter", self.parameter)] {
            if !list.is_empty() {
                table.set(key, Value::list(list));
            }
        }
        table
    }
}

/// Alternatives, of which one must hold; none: it never does.
#[derive(Debug)]
struct Alternatives<'a> {
    all: Vec<Draft>,
    places: &'a Places<'a>,
    at: At,
    /// What could not be said: the field and its place.
    unsaid: Vec<(&'static str, At)>,
}

/// The alternatives of a condition, and what of it cannot be said, for which there are none.
pub(super) fn alternatives(
    found: &HttpMatch,
    arrival: &Arrival<'_>,
    places: &Places<'_>,
) -> (Vec<Table>, Vec<(&'static str, At)>) {
    let all = vec![Draft::default()];
    let mut made = Alternatives { all, places, at: found.at, unsaid: Vec::new() };
    made.path(found);
    if let Some(method) = &found.method {
        made.method(method, &["method"]);
    }
    if let Some(authority) = &found.authority {
        made.authority(authority, arrival, &["authority"]);
    }
    let is_scheme = |wanted: &StringMatch| wanted.fits(arrival.scheme);
    if found.scheme.as_ref().is_some_and(|wanted| !is_scheme(wanted)) {
        made.all.clear();
    }
    for (name, wanted) in &found.headers {
        match name.as_str() {
            ":authority" | "host" => made.authority(wanted, arrival, &["headers", name]),
            ":method" => made.method(wanted, &["headers", name]),
            ":scheme" if !is_scheme(wanted) => made.all.clear(),
            ":scheme" => {}
            ":path" => made.cannot("headers[:path]", &["headers", name]),
            name if name.starts_with('@') => made.all.clear(),
            name => made.header(name, wanted),
        }
    }
    for (name, wanted) in &found.without {
        if name.starts_with(':') || name == "host" {
            made.cannot("withoutHeaders", &["withoutHeaders", name]);
        } else {
            made.without(name, wanted);
        }
    }
    for (name, wanted) in &found.query {
        made.parameter(name, wanted);
    }
    if ALTERNATIVES_MAX < made.all.len() {
        made.cannot("match", &[]);
    }
    (made.all.into_iter().map(Draft::done).collect(), made.unsaid)
}

/// A table with a name and what its value is like; none if nothing is.
fn like(name: &str, wanted: &StringMatch, at: At) -> Option<Table> {
    let mut table = Table::new();
    table.set("name", Value::text(name).at(at));
    let (key, text) = match wanted {
        StringMatch::Present => return Some(table),
        StringMatch::Prefix(text) if text.is_empty() => return Some(table),
        StringMatch::Exact(text) | StringMatch::Regex(text, Some(_)) if text.is_empty() => {
            table.set("regex", Value::text(EMPTY).at(at));
            return Some(table);
        }
        StringMatch::Exact(text) => ("exact", text),
        StringMatch::Prefix(text) => ("prefix", text),
        StringMatch::Regex(text, Some(_)) => ("regex", text),
        StringMatch::Regex(_, None) => return None,
    };
    table.set(key, Value::text(text).at(at));
    Some(table)
}

/// What a path is matched with: the key, and the text; none if every path fits, an error if none does.
pub(super) fn path_key(found: &HttpMatch) -> Result<Option<(&'static str, String)>, ()> {
    let any_case = |text: &str, rest: &str| format!("(?i:{}){rest}", regex::escape(text));
    let (key, text) = match (&found.uri, found.ignore_case) {
        (None | Some(StringMatch::Present), _) => return Ok(None),
        (Some(StringMatch::Regex(_, None)), _) => return Err(()),
        (Some(StringMatch::Regex(text, _)), _) if text.is_empty() => return Err(()),
        (Some(StringMatch::Regex(text, Some(_))), _) => ("regex", text.clone()),
        (Some(StringMatch::Prefix(text)), _) if text.is_empty() => return Ok(None),
        // A path begins with a slash.
        (Some(StringMatch::Prefix(text) | StringMatch::Exact(text)), _)
            if !text.starts_with('/') =>
        {
            return Err(());
        }
        (Some(StringMatch::Exact(text)), false) => ("path", text.clone()),
        (Some(StringMatch::Prefix(text)), false) => ("prefix", text.clone()),
        (Some(StringMatch::Exact(text)), true) => ("regex", any_case(text, "")),
        (Some(StringMatch::Prefix(text)), true) => ("regex", any_case(text, ".*")),
    };
    Ok(Some((key, text)))
}

impl Alternatives<'_> {
    fn place(&self, path: &[&str]) -> At {
        self.places.field(self.at, path)
    }

    fn cannot(&mut self, field: &'static str, path: &[&str]) {
        self.all.clear();
        self.unsaid.push((field, self.place(path)));
    }

    /// Each alternative so far with each of these changes.
    fn each(&mut self, changes: &[&dyn Fn(&mut Draft)]) {
        let mut made = Vec::new();
        for one in self.all.drain(..) {
            for change in changes {
                let mut more = one.clone();
                change(&mut more);
                made.push(more);
            }
            if 2 * ALTERNATIVES_MAX < made.len() {
                break;
            }
        }
        self.all = made;
    }

    fn path(&mut self, found: &HttpMatch) {
        let at = self.place(&["uri"]);
        match path_key(found) {
            Ok(Some((key, text))) => self.each(&[&|one| {
                one.table.set(key, Value::text(&*text).at(at));
            }]),
            Ok(None) => {}
            Err(()) => self.all.clear(),
        }
    }

    fn method(&mut self, wanted: &StringMatch, path: &[&str]) {
        let at = self.place(path);
        let fits: Vec<&str> = match wanted {
            StringMatch::Present => return,
            StringMatch::Exact(text) if text.is_empty() => Vec::new(),
            StringMatch::Exact(text) => vec![text],
            other => METHODS.into_iter().filter(|method| other.fits(method)).collect(),
        };
        let setters: Vec<_> = fits
            .iter()
            .map(|method| {
                move |one: &mut Draft| {
                    one.table.set("method", Value::text(*method).at(at));
                }
            })
            .collect();
        let setters: Vec<&dyn Fn(&mut Draft)> = setters.iter().map(|one| one as _).collect();
        self.each(&setters);
    }

    /// The host header, or else the name by which the service is called.
    fn authority(&mut self, wanted: &StringMatch, arrival: &Arrival<'_>, path: &[&str]) {
        let at = self.place(path);
        let own = arrival.authority;
        let with_port = format!("{own}:{}", arrival.port);
        let called = |one: &mut Draft| {
            one.table.set("authority", Value::text(own).at(at));
        };
        match wanted {
            StringMatch::Present => {}
            StringMatch::Exact(text) if text.is_empty() => self.all.clear(),
            StringMatch::Exact(text) => {
                let text = text.strip_suffix(&format!(":{}", arrival.port)).unwrap_or(text);
                self.each(&[&|one| {
                    one.table.set("authority", Value::text(text).at(at));
                }]);
            }
            other => {
                let Some(table) = like("host", other, at) else {
                    self.all.clear();
                    return;
                };
                let header = move |one: &mut Draft| one.header.push(table.clone().into());
                if other.fits(own) || other.fits(&with_port) {
                    self.each(&[&called, &header]);
                } else {
                    self.each(&[&header]);
                }
            }
        }
    }

    fn header(&mut self, name: &str, wanted: &StringMatch) {
        let at = self.place(&["headers", name]);
        if let StringMatch::Exact(text) = wanted
            && !text.is_empty()
        {
            self.each(&[&|one| {
                one.headers.set(name, Value::text(text).at(at));
            }]);
            return;
        }
        match like(name, wanted, at) {
            Some(table) => self.each(&[&|one| one.header.push(table.clone().into())]),
            None => self.all.clear(),
        }
    }

    /// A header that must not be like that: it is not there, or it is something else.
    fn without(&mut self, name: &str, wanted: &StringMatch) {
        let at = self.place(&["withoutHeaders", name]);
        let inverted = |wanted: &StringMatch| {
            let mut table = like(name, wanted, at)?;
            table.set("invert", Value::bool(true).at(at));
            Some(Value::from(table))
        };
        let Some(missing) = inverted(&StringMatch::Present) else { return };
        let is_missing = |one: &mut Draft| one.header.push(missing.clone());
        if *wanted == StringMatch::Present {
            self.each(&[&is_missing]);
        } else if let Some(other) = inverted(wanted) {
            self.each(&[&is_missing, &|one| one.header.push(other.clone())]);
        }
    }

    fn parameter(&mut self, name: &str, wanted: &StringMatch) {
        let at = self.place(&["queryParams", name]);
        match like(name, wanted, at) {
            Some(table) => self.each(&[&|one| one.parameter.push(table.clone().into())]),
            None => self.all.clear(),
        }
    }
}
