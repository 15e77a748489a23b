//! Traces, graphs and hints into drafts. Small inputs with answers computed by hand, and golden texts
//! (`UPDATE=1` rewrites them).

#![expect(clippy::format_push_string, reason = "inputs of tests are put together")]

mod drafts;
mod fuzz;
mod spans;

use crate::manifest::draft::value::{Kind, Origin, Table, Value};
use crate::manifest::draft::{Draft, Service, Workload};
use crate::manifest::loaded::Loaded;
use crate::manifest::object::Labels;
use crate::manifest::source::Sources;
use std::fmt::Write as _;

/// A format that [`render`] writes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Written {
    Jaeger,
    Otlp,
    Zipkin,
}

/// Lines `trace id parent service kind start_us duration_us key=value…` as a file of a format. A `-` is
/// nothing; ids are hex.
pub(super) fn render(lines: &str, format: Written) -> String {
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    let spans: Vec<String> = lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            match format {
                Written::Jaeger => jaeger(&words),
                Written::Otlp => otlp(&words),
                Written::Zipkin => zipkin(&words),
            }
        })
        .collect();
    match format {
        Written::Jaeger => format!("{{\"data\":[\n{}\n]}}\n", spans.join(",\n")),
        Written::Otlp => spans.join("\n") + "\n",
        Written::Zipkin => format!("[\n{}\n]\n", spans.join(",\n")),
    }
}

/// Begin and length in µs.
fn times(words: &[&str]) -> (u64, u64) {
    (1_000_000 + words[5].parse::<u64>().unwrap(), words[6].parse().unwrap())
}

/// The tags, each by a pattern with @k and @v.
fn tags(words: &[&str], pattern: &str) -> Vec<String> {
    let pairs = words[7..].iter().map(|tag| tag.split_once('=').unwrap());
    pairs.map(|(key, value)| pattern.replace("@k", key).replace("@v", value)).collect()
}

fn jaeger(words: &[&str]) -> String {
    let [trace, id, parent, service, kind] = words[..5] else { panic!("{words:?}") };
    let (start, length) = times(words);
    let mut tags = tags(words, r#"{"key":"@k","type":"string","value":"@v"}"#);
    tags.push(format!(r#"{{"key":"span.kind","type":"string","value":"{kind}"}}"#));
    let reference = match parent {
        "-" => String::new(),
        id => format!(r#"{{"refType":"CHILD_OF","traceID":"{trace}","spanID":"{id}"}}"#),
    };
    format!(
        r#"{{"spans":[{{"traceID":"{trace}","spanID":"{id}","references":[{reference}],"startTime":{start},"duration":{length},"tags":[{}],"process":{{"serviceName":"{service}"}}}}],"processes":{{}}}}"#,
        tags.join(",")
    )
}

fn otlp(words: &[&str]) -> String {
    let [trace, id, parent, service, kind] = words[..5] else { panic!("{words:?}") };
    let (start, length) = times(words);
    let parent = parent.trim_matches('-');
    let tags = tags(words, r#"{"key":"@k","value":{"stringValue":"@v"}}"#);
    let kinds = ["-", "internal", "server", "client", "producer", "consumer"];
    let kind = kinds.iter().position(|one| *one == kind).unwrap();
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}}]}},"scopeSpans":[{{"spans":[{{"traceId":"{trace}","spanId":"{id}","parentSpanId":"{parent}","kind":{kind},"startTimeUnixNano":"{start}000","endTimeUnixNano":"{}000","attributes":[{}]}}]}}]}}]}}"#,
        start + length,
        tags.join(",")
    )
}

fn zipkin(words: &[&str]) -> String {
    let [trace, id, parent, service, kind] = words[..5] else { panic!("{words:?}") };
    let (start, length) = times(words);
    let tags = tags(words, r#""@k":"@v""#);
    let parent = match parent {
        "-" => String::new(),
        id => format!(r#""parentId":"{id}","#),
    };
    let kind = match kind {
        "internal" => String::new(),
        kind => format!(r#""kind":"{}","#, kind.to_uppercase()),
    };
    format!(
        r#"{{"traceId":"{trace}","id":"{id}",{parent}{kind}"timestamp":{start},"duration":{length},"localEndpoint":{{"serviceName":"{service}"}},"tags":{{{}}}}}"#,
        tags.join(",")
    )
}

/// A draft with services, each `namespace/name: workload…`, of which `name-v1` has the version v1.
pub(super) fn draft<'l>(loaded: &'l Loaded, services: &[&str]) -> Draft<'l> {
    let mut draft = Draft::new(loaded, crate::manifest::meshes::Mesh::Istio);
    for line in services {
        let (key, pods) = line.split_once(": ").unwrap();
        let (namespace, name) = key.split_once('/').unwrap();
        let key = (namespace.to_owned(), name.to_owned());
        let is_twice =
            services.iter().filter(|line| line.contains(&format!("/{name}: "))).count() > 1;
        let called = if is_twice { format!("{name}.{namespace}") } else { name.to_owned() };
        draft.names.services.insert(key.clone(), called.clone());
        let mut service = Service::new(&called, Some(key), None);
        for pod in pods.split(' ') {
            let version = pod.rsplit_once("-v").map(|(_, version)| format!("v{version}"));
            service.workloads.push(Workload {
                key: (namespace.to_owned(), pod.to_owned()),
                at: None,
                version,
                labels: Labels::new(),
                table: Table::new(),
            });
        }
        draft.services.push(service);
    }
    draft
}

/// A draft's services and traffic as TOML, with where values come from.
pub(super) fn toml(draft: &Draft<'_>) -> String {
    let mut text = String::new();
    let sources = &draft.loaded.manifests.sources;
    for service in &draft.services {
        let _ = writeln!(text, "[[service]]\nname = {:?}", service.name);
        lines(&mut text, &service.table, sources);
        if service.workloads.is_empty() {
            text.push_str("workload = []\n");
        }
        for route in &service.routes {
            text.push_str("[[service.route]]\n");
            lines(&mut text, route, sources);
        }
        for pod in &service.workloads {
            text.push_str("[[service.workload]]\n");
            if let Some(version) = &pod.version {
                let _ = writeln!(text, "version = {version:?}");
            }
            lines(&mut text, &pod.table, sources);
        }
    }
    for source in &draft.traffic {
        text.push_str("[[traffic]]\n");
        lines(&mut text, source, sources);
    }
    text
}

fn lines(text: &mut String, table: &Table, sources: &Sources) {
    for (key, value) in table.iter() {
        match &value.kind {
            Kind::List(items) => {
                let _ = writeln!(text, "{key} = [");
                for item in items {
                    let _ = writeln!(text, "  {},{}", inline(item), comment(item, sources));
                }
                text.push_str("]\n");
            }
            _ => {
                let _ = writeln!(text, "{key} = {}{}", inline(value), comment(value, sources));
            }
        }
    }
}

fn comment(value: &Value, sources: &Sources) -> String {
    match &value.origin {
        Origin::Around => String::new(),
        Origin::Written(at) => format!(" # {}:{}", sources.short(*at), at.column),
        Origin::Assumed(why) => format!(" # assumed: {why}"),
    }
}

fn inline(value: &Value) -> String {
    match &value.kind {
        Kind::Text(text) => format!("{text:?}"),
        Kind::Integer(number) => number.to_string(),
        Kind::Float(number) => number.to_string(),
        Kind::Bool(flag) => flag.to_string(),
        Kind::List(items) => {
            format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Kind::Table(table) => {
            let fields: Vec<String> = table
                .iter()
                .map(|(key, value)| format!("{} = {}", bare(key), inline(value)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
    }
}

fn bare(key: &str) -> String {
    if key.contains('/') { format!("{key:?}") } else { key.to_owned() }
}

/// Compares with a golden text beside the tests, or writes it.
pub(super) fn golden(name: &str, text: &str) {
    let path = format!("{}/src/manifest/graph/tests/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, known, "{name}: UPDATE=1 rewrites it");
}
