//! Hints: what a person says of services and traffic, in YAML.
//!
//! ```yaml
//! services:
//!   cart:
//!     time: {p50: 4ms, p99: 20ms}        # or 5ms
//!     workers: 8
//!     errors: 1%                         # or {share: 1%, status: 503}
//!     calls: [stock, {to: prices, probability: 50%, mode: parallel}]
//! traffic:
//! - {to: web, rate: 100rps, from: ingress, path: /}
//! ```
//!
//! Every value has its place, unknown fields are told with the nearest name.
//! Source: the keys of scenario files that these become (docs/scenarios.md).
//! Left out: all other keys: what is said besides stands in the scenario that the draft becomes.

use super::{Call, Entry, Errors, Graph, Mode, Said, Work};
use crate::manifest::draft::value::Origin;
use crate::manifest::findings::Findings;
use crate::manifest::node::{Entry as Field, Node, Value};
use crate::manifest::reader::Reader;
use crate::manifest::source::{At, Source, Sources};
use crate::manifest::units::DurationForm;
use crate::manifest::yaml;

/// Reads hints. Their text is added to the sources, so that places in it can be told.
pub fn read(name: &str, bytes: &[u8], sources: &mut Sources, findings: &mut Findings) -> Graph {
    let mut graph = Graph { name: name.to_owned(), is_by_hand: true, ..Graph::default() };
    for mut node in documents(name, bytes, sources, findings) {
        for service in fields(&mut node, "services") {
            let texts = [("calls", "to"), ("time", "constant"), ("errors", "share")];
            for field in fields_of(&mut service.value) {
                let short = texts.iter().find(|(key, _)| *key == field.key);
                match (short, &mut field.value.value) {
                    (Some((_, long)), Value::List(items)) => {
                        for item in items {
                            wrap(item, long);
                        }
                    }
                    (Some((_, long)), _) => wrap(&mut field.value, long),
                    (None, _) => {}
                }
            }
        }
        let mut reader = Reader::new(&node, "hints".to_owned(), sources, findings);
        let names = node.get("services");
        let mut services = |name: &str, reader: &mut Reader<'_, '_>| {
            service(name, reader, &mut graph);
            let entry = names.and_then(|names| names.entry(name));
            graph.node(name).at = entry.map(|entry| entry.key_at);
        };
        reader.entries("services", &mut services);
        let entries = reader.list("traffic", entry);
        graph.entries.extend(entries.into_iter().flatten());
        reader.finish();
    }
    graph
}

/// The documents of a text that is added to the sources.
pub(super) fn documents(
    name: &str,
    bytes: &[u8],
    sources: &mut Sources,
    findings: &mut Findings,
) -> Vec<Node> {
    let source = match sources.add(name, bytes) {
        Ok(source) => source,
        Err(problem) => {
            findings.problems.push(problem);
            return Vec::new();
        }
    };
    let mut all = Vec::new();
    for piece in sources.get(source).map_or_else(Vec::new, Source::pieces) {
        let parsed = yaml::parse(source, piece);
        for fault in parsed.faults {
            findings.problem(sources, fault.at, fault.what, fault.hint.as_deref().unwrap_or(""));
        }
        all.extend(parsed.documents);
    }
    all
}

/// Makes a map with one key of anything that is not a map already.
pub(super) fn wrap(node: &mut Node, key: &str) {
    if matches!(node.value, Value::Map(_) | Value::Null) {
        return;
    }
    let at = node.at;
    let value = std::mem::replace(node, Node { at, value: Value::Null });
    node.value = Value::Map(vec![Field { key: key.to_owned(), key_at: at, value }]);
}

pub(super) fn fields_of(node: &mut Node) -> &mut [Field] {
    match &mut node.value {
        Value::Map(entries) => entries,
        _ => &mut [],
    }
}

fn fields<'n>(node: &'n mut Node, key: &str) -> &'n mut [Field] {
    match fields_of(node).iter_mut().find(|field| field.key == key) {
        Some(field) => fields_of(&mut field.value),
        None => &mut [],
    }
}

fn service(name: &str, reader: &mut Reader<'_, '_>, graph: &mut Graph) {
    let workers_at = reader.at_field("workers");
    let workers = reader.int("workers", 1..=1_000_000).and_then(|count| u32::try_from(count).ok());
    let time_at = reader.at_field("time");
    let work = reader.map("time", time).flatten();
    let errors_at = reader.at_field("errors");
    let errors = reader.map("errors", |errors| {
        let status = errors.int("status", 100..=599).and_then(|status| u16::try_from(status).ok());
        share(errors, "share").map(|share| Errors { share, status })
    });
    let calls = reader.list_if("calls", |reader| call(name, reader));
    let node = graph.node(name);
    node.work = work.map(|work| Said::at(work, time_at));
    node.workers = workers.map(|count| Said::at(count, workers_at));
    node.errors = errors.flatten().map(|errors| Said::at(errors, errors_at));
    node.says_calls = calls.is_some();
    graph.calls.extend(calls.into_iter().flatten().flatten());
}

fn time(reader: &mut Reader<'_, '_>) -> Option<Work> {
    let at = reader.at();
    let constant = reader.duration_ns("constant", DurationForm::Go);
    let p50 = reader.duration_ns("p50", DurationForm::Go);
    let p99 = reader.duration_ns("p99", DurationForm::Go);
    match (constant, p50, p99) {
        (Some(ns), None, None) => Some(Work::Constant(ns)),
        (None, Some(p50), Some(p99)) if 0 < p50 && p50 < p99 => Some(Work::Lognormal(p50, p99)),
        (None, Some(p50), Some(p99)) if p50 == p99 => Some(Work::Constant(p50)),
        (None, Some(_), Some(_)) => {
            reader.problem(at, "`p99` must be above `p50`, and that above 0", "");
            None
        }
        (None, None, None) if reader.has("constant") => None,
        _ => {
            reader.problem(at, "a time is a duration, or both `p50` and `p99`", "such as 5ms");
            None
        }
    }
}

fn call(from: &str, reader: &mut Reader<'_, '_>) -> Option<Call> {
    let at = if reader.has("to") { reader.at_field("to") } else { reader.at() };
    let to = reader.needed_text("to");
    let probability = share(reader, "probability");
    let words = [("sequential", Mode::Sequential), ("parallel", Mode::Parallel)];
    let mode = reader.one_of("mode", &words).unwrap_or_default();
    let required = reader.bool("required").unwrap_or(true);
    let (path, method) = (reader.text("path"), reader.text("method"));
    let after_ns = reader.duration_ns("after", DurationForm::Go);
    let call = Call::new(from, &to?, Origin::Written(at));
    let probability = probability.unwrap_or(1.0);
    Some(Call { probability, mode, required, path, method, after_ns, ..call })
}

fn entry(reader: &mut Reader<'_, '_>) -> Option<Entry> {
    let at = if reader.has("to") { reader.at_field("to") } else { reader.at() };
    let to = reader.needed_text("to");
    let from = reader.text("from").filter(|from| from != "ingress");
    let rate_per_s = rate(reader, "rate");
    let (path, method) = (reader.text("path"), reader.text("method"));
    Some(Entry { to: to?, from, origin: Origin::Written(at), rate_per_s, path, method })
}

/// `5%`, or a number from 0 to 1.
pub(super) fn share(reader: &mut Reader<'_, '_>, name: &'static str) -> Option<f64> {
    let node = reader.raw(name)?;
    let share = match &node.value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        Value::Text(text) => {
            let percent = text.trim().strip_suffix('%');
            percent.and_then(|text| text.trim().parse::<f64>().ok()).map(|percent| percent / 100.0)
        }
        _ => None,
    };
    let share = share.filter(|share| (0.0..=1.0).contains(share));
    if share.is_none() {
        reader.problem(node.at, format!("`{name}` is no share"), "such as 5% or 0.05");
    }
    share
}

fn rate(reader: &mut Reader<'_, '_>, name: &'static str) -> Option<f64> {
    let node = reader.raw(name)?;
    let number = match &node.value {
        Value::Int(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        _ => None,
    };
    if let Some(number) = number {
        told_rate(reader, node.at, &number);
        return None;
    }
    let word = reader.word(name)?;
    let units = [("rps", 1.0), ("/s", 1.0), ("/min", 60.0), ("/h", 3600.0)];
    let found = units.iter().find_map(|(unit, seconds)| {
        let number: f64 = word.text.strip_suffix(unit)?.trim().parse().ok()?;
        (0.0 < number && number < 1e9).then_some(number / seconds)
    });
    if found.is_none() {
        told_rate(reader, word.at, &word.text);
    }
    found
}

fn told_rate(reader: &mut Reader<'_, '_>, at: At, text: &str) {
    reader.problem(at, format!("`{text}` is no rate"), "such as 100rps, 30/min, 2/h");
}
