//! Traces in OTLP's JSON: `{"resourceSpans": [{"resource": {…}, "scopeSpans": [{"spans": […]}]}]}`.
//!
//! One document, or one a line as the collector's file exporter writes them. Ids are hex, of either case
//! (base64 ids, of exporters that follow protobuf's own mapping, are told apart by their text as well);
//! 64-bit numbers are texts or numbers; kinds and codes are numbers (names are taken too).
//! Source: opentelemetry.io "OTLP Specification", JSON Protobuf Encoding; `trace.proto`;
//! `examples/trace.json` of open-telemetry/opentelemetry-proto; Tempo's `batches` in place of
//! `resourceSpans`, and `instrumentationLibrarySpans` of before 0.19.
//! Left out: the binary encoding; events and links.

use super::json::{Facts, Scalar, Text};
use super::span::{Kind, Raw, Spans};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use std::fmt;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(borrow, default, alias = "batches", alias = "resource_spans")]
    resource_spans: Option<Vec<OfResource<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfResource<'a> {
    #[serde(borrow, default)]
    resource: Option<Resource<'a>>,
    #[serde(borrow, default, alias = "instrumentationLibrarySpans", alias = "scope_spans")]
    scope_spans: Option<Vec<OfScope<'a>>>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow, default)]
    attributes: Attributes<'a>,
}

#[derive(Deserialize)]
struct OfScope<'a> {
    #[serde(borrow, default)]
    spans: Option<Vec<Span<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    #[serde(borrow, default, rename = "traceId", alias = "trace_id")]
    trace: Text<'a>,
    #[serde(borrow, default, rename = "spanId", alias = "span_id")]
    id: Text<'a>,
    #[serde(borrow, default, rename = "parentSpanId", alias = "parent_span_id")]
    parent: Text<'a>,
    #[serde(borrow, default)]
    kind: Text<'a>,
    #[serde(borrow, default, alias = "start_time_unix_nano")]
    start_time_unix_nano: Scalar<'a>,
    #[serde(borrow, default, alias = "end_time_unix_nano")]
    end_time_unix_nano: Scalar<'a>,
    #[serde(borrow, default)]
    attributes: Attributes<'a>,
    #[serde(borrow, default)]
    status: Option<Status<'a>>,
}

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(borrow, default)]
    code: Text<'a>,
}

#[derive(Deserialize)]
struct Attribute<'a> {
    #[serde(borrow, default)]
    key: Text<'a>,
    #[serde(borrow, default)]
    value: Option<AnyValue<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyValue<'a> {
    #[serde(
        borrow,
        default,
        alias = "intValue",
        alias = "boolValue",
        alias = "doubleValue",
        alias = "arrayValue",
        alias = "kvlistValue",
        alias = "bytesValue"
    )]
    string_value: Scalar<'a>,
}

#[derive(Default)]
struct Attributes<'a>(Facts<'a>);

struct AttributesVisitor;

impl<'de> Visitor<'de> for AttributesVisitor {
    type Value = Attributes<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of attributes")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Attributes::default())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut facts = Facts::default();
        while let Some(one) = list.next_element::<Attribute<'de>>()? {
            let value = one.value.map_or(Scalar::Other, |value| value.string_value);
            facts.take(&one.key.0, value);
        }
        Ok(Attributes(facts))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Attributes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AttributesVisitor)
    }
}

/// Adds the spans of all documents of a text.
pub(super) fn read(text: &str, spans: &mut Spans) -> Result<(), serde_json::Error> {
    for document in serde_json::Deserializer::from_str(text).into_iter::<Document<'_>>() {
        for of_resource in document?.resource_spans.unwrap_or_default() {
            let resource = of_resource.resource.map_or_else(Facts::default, |one| one.attributes.0);
            for scope in of_resource.scope_spans.unwrap_or_default() {
                for span in scope.spans.unwrap_or_default() {
                    add(span, &resource, spans);
                }
            }
        }
    }
    Ok(())
}

fn add<'a>(span: Span<'a>, resource: &Facts<'a>, spans: &mut Spans) {
    let mut facts = span.attributes.0;
    facts.kind = Kind::of(&span.kind.0).or(facts.kind);
    facts.error |= span.status.is_some_and(|status| {
        matches!(&*status.code.0, "2" | "STATUS_CODE_ERROR" | "ERROR" | "Error")
    });
    if facts.namespace.is_none() {
        facts.namespace.clone_from(&resource.namespace);
    }
    facts.is_gateway |= resource.is_gateway;
    let raw = Raw {
        trace: &span.trace.0,
        id: &span.id.0,
        parent: &span.parent.0,
        start_ns: span.start_time_unix_nano.number().unwrap_or(0),
        end_ns: span.end_time_unix_nano.number().unwrap_or(0),
        service: resource.service.clone().unwrap_or_default(),
    };
    spans.add(&raw, &facts);
}
