//! Traces as Jaeger's API and UI give them: `{"data": [{"spans": […], "processes": {…}}]}`.
//!
//! Times are in µs; the service is that of the span's process; the parent is the first reference of the
//! kind `CHILD_OF`. A reference `FOLLOWS_FROM` alone is a message: nobody waits.
//! Source: jaegertracing/jaeger `model/json/model.go` (`Trace`, `Span`, `KeyValue`, …).
//! Left out: logs, flags, warnings; Elasticsearch's own form of documents (`startTimeMillis`).

use super::json::{Facts, Scalar, Text};
use super::span::{Kind, Raw, Spans};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

#[derive(Deserialize)]
struct Dump<'a> {
    #[serde(borrow, default)]
    data: Option<Vec<Trace<'a>>>,
}

#[derive(Deserialize)]
struct Trace<'a> {
    #[serde(borrow, default)]
    spans: Vec<Span<'a>>,
    #[serde(borrow, default)]
    processes: BTreeMap<String, Process<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    #[serde(borrow, default, rename = "traceID")]
    trace: Text<'a>,
    #[serde(borrow, default, rename = "spanID")]
    id: Text<'a>,
    #[serde(borrow, default, rename = "parentSpanID")]
    parent: Text<'a>,
    #[serde(borrow, default)]
    references: Option<Vec<Reference<'a>>>,
    #[serde(borrow, default)]
    start_time: Scalar<'a>,
    #[serde(borrow, default)]
    duration: Scalar<'a>,
    #[serde(borrow, default)]
    tags: Tags<'a>,
    #[serde(borrow, default, rename = "processID")]
    process_id: Text<'a>,
    #[serde(borrow, default)]
    process: Option<Process<'a>>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow, default, rename = "refType")]
    kind: Text<'a>,
    #[serde(borrow, default, rename = "spanID")]
    span: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Process<'a> {
    #[serde(borrow, default)]
    service_name: Text<'a>,
    #[serde(borrow, default)]
    tags: Tags<'a>,
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(borrow, default)]
    key: Text<'a>,
    #[serde(borrow, default)]
    value: Scalar<'a>,
}

#[derive(Default)]
struct Tags<'a>(Facts<'a>);

struct TagsVisitor;

impl<'de> Visitor<'de> for TagsVisitor {
    type Value = Tags<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tags")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Tags::default())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut facts = Facts::default();
        while let Some(tag) = list.next_element::<Tag<'de>>()? {
            facts.take(&tag.key.0, tag.value);
        }
        Ok(Tags(facts))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Tags<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TagsVisitor)
    }
}

/// Adds the traces of a dump; one trace alone is taken too.
pub(super) fn read(text: &str, is_one: bool, spans: &mut Spans) -> Result<(), serde_json::Error> {
    let mut documents = serde_json::Deserializer::from_str(text);
    if is_one {
        for trace in documents.into_iter::<Trace<'_>>() {
            add(trace?, spans);
        }
        return Ok(());
    }
    let dump = Dump::deserialize(&mut documents)?;
    documents.end()?;
    for trace in dump.data.unwrap_or_default() {
        add(trace, spans);
    }
    Ok(())
}

fn add(trace: Trace<'_>, spans: &mut Spans) {
    for span in trace.spans {
        let process = span.process.as_ref().or_else(|| trace.processes.get(&*span.process_id.0));
        let mut facts = span.tags.0;
        if let Some(Tags(more)) = process.map(|process| &process.tags) {
            facts.namespace = facts.namespace.or_else(|| more.namespace.clone());
        }
        let references = span.references.unwrap_or_default();
        let child_of = references.iter().find(|one| one.kind.0 != "FOLLOWS_FROM");
        let parent = child_of.or(references.first());
        if child_of.is_none() && parent.is_some() && facts.kind != Some(Kind::Client) {
            facts.kind = Some(Kind::Consumer);
        }
        let us = |scalar: &Scalar<'_>| scalar.number().map(|us| us.saturating_mul(1_000));
        let start_ns = us(&span.start_time).unwrap_or(0);
        let raw = Raw {
            trace: &span.trace.0,
            id: &span.id.0,
            parent: parent.map_or(&span.parent.0, |one| &one.span.0),
            start_ns,
            end_ns: start_ns.saturating_add(us(&span.duration).unwrap_or(0)),
            service: process.map_or("".into(), |process| process.service_name.0.clone()),
        };
        spans.add(&raw, &facts);
    }
}
