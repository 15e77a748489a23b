//! What drafts say, each value with the line that says it: golden texts, which `UPDATE=1` writes anew.

use super::drafted;
use crate::manifest::draft::value::{Kind, Origin, Value};
use crate::manifest::draft::{Draft, Service};
use crate::manifest::loaded::Loaded;

/// One line a value: its path, what it is, and where that is written.
fn lines(path: &str, value: &Value, out: &mut Vec<String>) {
    let origin = match &value.origin {
        Origin::Written(at) => format!("  # line {}", at.line),
        Origin::Assumed(_) => "  # assumed".to_owned(),
        Origin::Around => String::new(),
    };
    match &value.kind {
        Kind::Table(table) => {
            if table.is_empty() {
                out.push(format!("{path} = {{}}{origin}"));
            }
            for (key, value) in table.iter() {
                lines(&format!("{path}.{key}"), value, out);
            }
        }
        Kind::List(items) if items.iter().any(|item| matches!(item.kind, Kind::Table(_))) => {
            for (number, item) in items.iter().enumerate() {
                lines(&format!("{path}[{number}]"), item, out);
            }
        }
        Kind::List(items) => {
            let items: Vec<String> = items.iter().map(|item| told(&item.kind)).collect();
            out.push(format!("{path} = [{}]{origin}", items.join(", ")));
        }
        kind => out.push(format!("{path} = {}{origin}", told(kind))),
    }
}

fn told(kind: &Kind) -> String {
    match kind {
        Kind::Text(text) => format!("{text:?}"),
        Kind::Integer(number) => number.to_string(),
        Kind::Float(number) => number.to_string(),
        Kind::Bool(flag) => flag.to_string(),
        other => format!("{other:?}"),
    }
}

/// All of a draft but what is assumed, and what it names as ignored.
fn dump(draft: &Draft<'_>) -> String {
    let mut out = Vec::new();
    for (key, value) in draft.settings.iter().filter(|(key, _)| *key != "profile") {
        lines(&format!("mesh.{key}"), value, &mut out);
    }
    for service in &draft.services {
        let whole: &Service = service;
        lines(&service.name, &Value::from(whole.whole()), &mut out);
    }
    for (number, filter) in draft.filters.iter().enumerate() {
        lines(&format!("filter[{number}]"), &Value::from(filter.clone()), &mut out);
    }
    out.retain(|line| !line.ends_with("# assumed"));
    out.extend(draft.findings.ignored_lines());
    out.push(String::new());
    out.join("\n")
}

fn golden(name: &str, text: &str, known: &str) {
    let loaded = Loaded::read([(name, text.as_bytes())]);
    assert_eq!(loaded.manifests.findings.problems, []);
    let now = dump(&drafted(&loaded));
    if std::env::var_os("UPDATE").is_some() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/manifest/draft/istio/tests/");
        let file = name.replace(".yaml", ".txt");
        std::fs::write(format!("{folder}{file}"), now).unwrap();
    } else {
        assert_eq!(known, now, "UPDATE=1 writes it anew");
    }
}

#[test]
fn routes_say_where_each_value_is_written() {
    golden("shop.yaml", include_str!("shop.yaml"), include_str!("shop.txt"));
}

#[test]
fn policies_and_security_say_where_each_value_is_written() {
    golden("policies.yaml", include_str!("policies.yaml"), include_str!("policies.txt"));
}

#[test]
fn views_that_differ_are_named() {
    golden("views.yaml", include_str!("views.yaml"), include_str!("views.txt"));
}

#[test]
fn what_all_rules_of_gateways_say_is_a_filter() {
    golden("front.yaml", include_str!("front.yaml"), include_str!("front.txt"));
}
