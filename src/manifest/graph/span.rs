//! Spans: one side's view of a request, as all formats of traces have them.
//!
//! Names, paths and methods are numbers into tables, so that a span is small and a file of millions of
//! them fits.
//! Source: OpenTelemetry trace API (kinds of spans); B3 propagation (a server may share its client's id).
//! Left out: what is in a span besides.

use super::json::Facts;
use super::names;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// No name, no path, no method.
pub const NONE: u32 = u32::MAX;

/// Paths beyond these are not told apart.
const TEXTS_MAX: usize = 200_000;

/// The role of a span. In the order in which those that share an id are nested.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Kind {
    /// Asks and waits for the answer.
    Client,
    /// Sends a message.
    Producer,
    /// Gets a message.
    Consumer,
    /// Answers.
    Server,
    /// Works within a service, or nothing is said.
    #[default]
    Internal,
}

/// One side's view of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "marks that are there or not")]
pub struct Span {
    /// The trace.
    pub trace: u128,
    /// Its id in the trace.
    pub id: u64,
    /// The id of its parent; 0 for none.
    pub parent: u64,
    /// When it began, in ns since 1970.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// Whose it is.
    pub service: u32,
    /// Who is called, as far as the caller knows.
    pub peer: u32,
    /// The path, without its query.
    pub path: u32,
    /// The method.
    pub method: u32,
    /// HTTP's status; 0 if it is not known.
    pub status: u16,
    /// Its role.
    pub kind: Kind,
    /// Whether the request failed.
    pub is_failure: bool,
    /// Whether a proxy made the answer by itself.
    pub is_by_mesh: bool,
    /// Whether a proxy tells of it.
    pub is_proxy: bool,
    /// Whether it is a gateway's.
    pub is_gateway: bool,
}

/// Texts, each with a number.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Texts {
    /// The texts by number.
    pub list: Vec<String>,
    numbers: BTreeMap<String, u32>,
}

/// All spans of a file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Spans {
    /// The spans.
    pub list: Vec<Span>,
    /// Names of services.
    pub services: Texts,
    /// Paths and methods.
    pub words: Texts,
    /// Spans without what every span must have.
    pub unusable: u64,
}

/// A span as a format has it.
#[derive(Debug, Default)]
pub(super) struct Raw<'a> {
    pub trace: &'a str,
    pub id: &'a str,
    pub parent: &'a str,
    pub start_ns: u64,
    pub end_ns: u64,
    pub service: Cow<'a, str>,
}

impl Kind {
    /// By its name, in any of the formats.
    pub(super) fn of(word: &str) -> Option<Self> {
        match word.trim_start_matches("SPAN_KIND_").to_ascii_lowercase().as_str() {
            "client" | "3" => Some(Self::Client),
            "server" | "2" => Some(Self::Server),
            "producer" | "4" => Some(Self::Producer),
            "consumer" | "5" => Some(Self::Consumer),
            "internal" | "1" | "0" | "unspecified" => Some(Self::Internal),
            _ => None,
        }
    }
}

impl Texts {
    /// The number of a text.
    pub fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        if TEXTS_MAX <= self.list.len() {
            return NONE;
        }
        let number = u32::try_from(self.list.len()).unwrap_or(NONE);
        self.list.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    /// The text of a number.
    pub fn get(&self, number: u32) -> Option<&str> {
        self.list.get(number as usize).map(String::as_str)
    }
}

impl Spans {
    /// Adds a span; without an id, a name or a time it is only counted.
    pub(super) fn add(&mut self, raw: &Raw<'_>, facts: &Facts<'_>) {
        let own = if raw.service.is_empty() { facts.service.as_ref() } else { Some(&raw.service) };
        let canonical = facts.canonical.as_ref().filter(|_| facts.is_proxy);
        let name = canonical.or(own).map_or("", |name| name.trim());
        let known = ![raw.trace, raw.id, name].iter().any(|text| text.is_empty());
        if !known || raw.start_ns == 0 || raw.end_ns < raw.start_ns {
            self.unusable += 1;
            return;
        }
        let service = match &facts.namespace {
            Some((_, namespace)) if !name.ends_with(&**namespace) => {
                self.services.number(&format!("{name}.{namespace}"))
            }
            _ => self.services.number(name),
        };
        let peer =
            facts.peer.as_ref().map_or(NONE, |(_, name)| self.services.number(&names::host(name)));
        let word = |words: &mut Texts, text: Option<&str>| match text {
            Some(text) if !text.is_empty() => words.number(text),
            _ => NONE,
        };
        // Requests of gRPC are POSTs to /SERVICE/METHOD.
        let of_rpc = match &facts.rpc {
            [Some(service), Some(method)] => Some(format!("/{service}/{method}")),
            _ => None,
        };
        let is_plain = |method: &&str| method.bytes().all(|byte| byte.is_ascii_uppercase());
        let method = if of_rpc.is_some() { Some("POST") } else { facts.method.as_deref() };
        let method = method.filter(is_plain);
        self.list.push(Span {
            trace: number(raw.trace),
            id: short(number(raw.id)),
            // Some write a parent of zeros for none.
            parent: match raw.parent.trim_start_matches('0') {
                "" => 0,
                parent => short(number(parent)),
            },
            start_ns: raw.start_ns,
            end_ns: raw.end_ns,
            service,
            peer,
            path: word(&mut self.words, of_rpc.as_deref().or(facts.path.as_deref()).and_then(path)),
            method: word(&mut self.words, method),
            status: facts.status.unwrap_or(0),
            kind: facts.role(),
            is_failure: facts.is_failure(),
            is_by_mesh: facts.is_by_mesh,
            is_proxy: facts.is_proxy,
            is_gateway: facts.is_gateway,
        });
    }

    /// Makes one of names that mean one service: `cart`, where there is one `cart.shop`.
    pub(super) fn join_names(&mut self) {
        let mut full: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for (number, name) in (0_u32..).zip(&self.services.list) {
            if let Some((short, _)) = name.split_once('.') {
                full.entry(short).or_default().push(number);
            }
        }
        let mut meant: Vec<u32> = (0_u32..).take(self.services.list.len()).collect();
        for (number, name) in self.services.list.iter().enumerate() {
            if let Some([one]) = full.get(name.as_str()).map(Vec::as_slice) {
                meant[number] = *one;
            }
        }
        for span in &mut self.list {
            span.service = meant[span.service as usize];
            if span.peer != NONE {
                span.peer = meant[span.peer as usize];
            }
        }
    }
}

/// An id as a number: hex as it is, anything else by a hash (FNV-1a).
fn number(text: &str) -> u128 {
    if text.len() <= 32
        && let Ok(number) = u128::from_str_radix(text, 16)
    {
        return number;
    }
    let mut hash = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128;
    for byte in text.bytes() {
        hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    hash
}

/// An id of a span: 64 bits, never 0.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what remains")]
fn short(number: u128) -> u64 {
    (((number >> 64) ^ number) as u64).max(1)
}

/// The path of a URL, without its query; none if it is not one that a scenario takes as it is.
fn path(url: &str) -> Option<&str> {
    let rest = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => url,
    };
    let path = rest.split(['?', '#']).next()?;
    let is_fine = |c: char| c.is_ascii_graphic() && !matches!(c, '{' | '}');
    (path.starts_with('/') && path.chars().all(is_fine)).then_some(path)
}
