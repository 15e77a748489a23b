//! Traces in Zipkin's v2 JSON: a list of spans, as it is sent, or a list of traces, as `/api/v2/traces` gives.
//!
//! Times are in µs. A server may share its client's id (B3's shared spans); `localEndpoint` is whose span
//! it is, `remoteEndpoint` the other side. A tag `error` marks a failure, whatever its value is.
//! Source: openzipkin/zipkin-api `zipkin2-api.yaml` (Span, Endpoint, Tags); Zipkin "Instrumenting a
//! library" (shared spans).
//! Left out: v1 (annotations `cs`, `sr`); Thrift and protobuf.

use super::json::{Facts, Scalar, Text};
use super::span::{Kind, Raw, Spans};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    #[serde(borrow, default)]
    trace_id: Text<'a>,
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    parent_id: Text<'a>,
    #[serde(borrow, default)]
    kind: Text<'a>,
    #[serde(borrow, default)]
    timestamp: Scalar<'a>,
    #[serde(borrow, default)]
    duration: Scalar<'a>,
    #[serde(borrow, default)]
    local_endpoint: Option<Endpoint<'a>>,
    #[serde(borrow, default)]
    remote_endpoint: Option<Endpoint<'a>>,
    #[serde(borrow, default)]
    tags: Tags<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Endpoint<'a> {
    #[serde(borrow, default)]
    service_name: Text<'a>,
}

#[derive(Default)]
struct Tags<'a>(Facts<'a>);

struct TagsVisitor;

impl<'de> Visitor<'de> for TagsVisitor {
    type Value = Tags<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tags")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Tags::default())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut facts = Facts::default();
        while let Some((key, value)) = map.next_entry::<Text<'de>, Scalar<'de>>()? {
            match &*key.0 {
                "error" => facts.error = true,
                key => facts.take(key, value),
            }
        }
        Ok(Tags(facts))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Tags<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TagsVisitor)
    }
}

/// A span, or a list of them: a trace.
#[derive(Default)]
struct Group<'a>(Vec<Span<'a>>);

struct GroupVisitor;

impl<'de> Visitor<'de> for GroupVisitor {
    type Value = Group<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a span or a list of spans")
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let span = Span::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
        Ok(Group(vec![span]))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut spans = Vec::new();
        while let Some(span) = list.next_element::<Span<'de>>()? {
            spans.push(span);
        }
        Ok(Group(spans))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Group<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GroupVisitor)
    }
}

/// Adds the spans of a list of spans or of traces, or of spans a line.
pub(super) fn read(text: &str, is_lines: bool, spans: &mut Spans) -> Result<(), serde_json::Error> {
    let documents = serde_json::Deserializer::from_str(text);
    if is_lines {
        for group in documents.into_iter::<Group<'_>>() {
            group?.0.into_iter().for_each(|span| add(span, spans));
        }
        return Ok(());
    }
    for list in documents.into_iter::<Vec<Group<'_>>>() {
        list?.into_iter().flat_map(|group| group.0).for_each(|span| add(span, spans));
    }
    Ok(())
}

fn add(span: Span<'_>, spans: &mut Spans) {
    let mut facts = span.tags.0;
    facts.kind = Kind::of(&span.kind.0);
    facts.peer(0, span.remote_endpoint.map(|one| one.service_name.0));
    let us = |scalar: &Scalar<'_>| scalar.number().map(|us| us.saturating_mul(1_000));
    let start_ns = us(&span.timestamp).unwrap_or(0);
    let raw = Raw {
        trace: &span.trace_id.0,
        id: &span.id.0,
        parent: &span.parent_id.0,
        start_ns,
        end_ns: start_ns.saturating_add(us(&span.duration).unwrap_or(0)),
        service: span.local_endpoint.unwrap_or_default().service_name.0,
    };
    spans.add(&raw, &facts);
}
