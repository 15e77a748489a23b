//! Files of traces: which format it is, and the graph that follows.
//!
//! The format is found by itself: a list is Zipkin's, an object is known by its first key that tells.
//! Source: as named in the modules of the formats.
//! Left out: compressed files, and files that hold several formats.

use super::span::Spans;
use super::{Graph, estimate, jaeger, json, otlp, visits, zipkin};
use crate::manifest::source::Sources;
use crate::plan::problem::{Place, Problem};
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use std::fmt;

/// What is told where no format is found.
const FORMATS: &str = "known are Jaeger's JSON ({\"data\": [{\"spans\": …}]}), OTLP's JSON \
                       ({\"resourceSpans\": …}, also one a line) and Zipkin's v2 JSON (a list of spans)";

/// A format of traces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// A dump of Jaeger's API.
    Jaeger,
    /// One trace of Jaeger, or several one after the other.
    JaegerTrace,
    /// OTLP's JSON.
    Otlp,
    /// Zipkin's v2 JSON: a list.
    Zipkin,
    /// The same, a span a line.
    ZipkinLines,
}

/// The graph that the traces of a file show.
pub fn read(name: &str, bytes: &[u8]) -> Result<Graph, Problem> {
    let mut spans = Spans::default();
    add(name, bytes, &mut spans)?;
    Ok(graph(name, spans))
}

/// The graph that several files show together: the spans of one trace may be in several of them.
pub fn read_all<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<Graph, Vec<Problem>> {
    let (mut spans, mut problems, mut names) = (Spans::default(), Vec::new(), Vec::new());
    for (name, bytes) in files {
        problems.extend(add(name, bytes, &mut spans).err());
        names.push(name);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let name = match names.as_slice() {
        [] => "no traces".to_owned(),
        [one] => (*one).to_owned(),
        [first, more @ ..] => format!("{first} and {} more", more.len()),
    };
    Ok(graph(&name, spans))
}

fn graph(name: &str, mut spans: Spans) -> Graph {
    spans.join_names();
    estimate::graph(name, &spans, &visits::visits(&spans))
}

/// Adds the spans of a file; one without any is told.
fn add(name: &str, bytes: &[u8], spans: &mut Spans) -> Result<(), Problem> {
    let text = text(name, bytes)?;
    let format = format(name, text)?;
    let before = (spans.list.len(), spans.unusable);
    let read = match format {
        Format::Jaeger => jaeger::read(text, false, spans),
        Format::JaegerTrace => jaeger::read(text, true, spans),
        Format::Otlp => otlp::read(text, spans),
        Format::Zipkin => zipkin::read(text, false, spans),
        Format::ZipkinLines => zipkin::read(text, true, spans),
    };
    read.map_err(|error| json::broken(name, text, &error))?;
    if spans.list.len() == before.0 {
        let what = match spans.unusable - before.1 {
            0 => "there are no spans in it".to_owned(),
            count => format!("none of its {count} spans has ids, a service and a time"),
        };
        return Err(super::problem(what, FORMATS).at(whole(name)));
    }
    Ok(())
}

fn text<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, Problem> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        // What other encodings look like is known there; a short piece is enough for it.
        let piece = bytes.get(..bytes.len().min(error.valid_up_to() + 8)).unwrap_or(bytes);
        let told = Sources::default().add(name, piece).err();
        told.unwrap_or_else(|| {
            super::problem("the traces are not UTF-8 text", FORMATS).at(whole(name))
        })
    })
}

fn whole(name: &str) -> Place {
    Place { file: name.to_owned(), line: 1, column: 1, width: 1, text: String::new() }
}

/// Which format a text has.
pub fn format(name: &str, text: &str) -> Result<Format, Problem> {
    let start = text.trim_start();
    let unknown = || {
        let first: String = start.lines().next().unwrap_or_default().chars().take(200).collect();
        let line = text.len() - start.len();
        let line = text[..line].matches('\n').count() + 1;
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        let place = Place { line, text: first, ..whole(name) };
        super::problem("this is no format of traces that is known", FORMATS).at(place)
    };
    if start.starts_with('[') {
        return Ok(Format::Zipkin);
    }
    if !start.starts_with('{') {
        return Err(unknown());
    }
    let mut found = Found::default();
    let mut parser = serde_json::Deserializer::from_str(start);
    let read = parser.deserialize_map(&mut found);
    match (found.format(), read) {
        (Some(format), _) => Ok(format),
        (None, Ok(())) => Err(unknown()),
        (None, Err(_)) => match serde_json::from_str::<IgnoredAny>(text) {
            Err(error) => Err(json::broken(name, text, &error)),
            Ok(_) => Err(unknown()),
        },
    }
}

/// The keys that tell.
#[derive(Default)]
struct Found {
    format: Option<Format>,
    has_id: bool,
    has_trace: bool,
}

impl Found {
    fn format(&self) -> Option<Format> {
        self.format.or_else(|| (self.has_id && self.has_trace).then_some(Format::ZipkinLines))
    }
}

impl<'de> Visitor<'de> for &mut Found {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<json::Text<'de>>()? {
            match &*key.0 {
                "data" => self.format = Some(Format::Jaeger),
                "spans" => self.format = Some(Format::JaegerTrace),
                "resourceSpans" | "resource_spans" | "batches" => self.format = Some(Format::Otlp),
                "id" => self.has_id = true,
                "traceId" => self.has_trace = true,
                _ => {}
            }
            if self.format().is_some() {
                return Err(A::Error::custom("found"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}
