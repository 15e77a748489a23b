//! The JSON Schema and the parser say the same.

use super::super::check;
use super::super::context::Context;
use super::super::document::{Entry, Node, Value as V};
use super::super::keys::ROOT;
use super::super::merge::BEGIN;
use super::super::{TEMPLATES, schema, template};
use super::good::RICH;
use super::{NORMATIVE, files, print};
use serde_json::{Value, json};

/// What the parser says about the structure of a document.
fn said(document: &Value) -> Vec<String> {
    let files = files(&[]);
    let mut context = Context::new(&files);
    context.add("json", "");
    check::table(&mut context, &node(document), ROOT, BEGIN, false);
    context.faults.iter().map(|fault| fault.what.clone()).collect()
}

fn node(json: &Value) -> Node {
    let value = match json {
        Value::String(text) => V::Text(text.clone()),
        Value::Bool(value) => V::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => V::Integer(number),
            None => V::Float(number.as_f64().expect("a number")),
        },
        Value::Array(items) => V::List(items.iter().map(node).collect()),
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| Entry {
                key: key.clone(),
                at: BEGIN,
                node: node(value),
            };
            let mut entries: Vec<Entry> = map.iter().map(entry).collect();
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            V::Table(entries)
        }
        Value::Null => panic!("no null in TOML"),
    };
    Node { at: BEGIN, value }
}

fn to_json(node: &Node) -> Value {
    match &node.value {
        V::Text(text) | V::Date(text) => json!(text),
        V::Integer(number) => json!(number),
        V::Float(number) => json!(number),
        V::Bool(value) => json!(value),
        V::List(items) => Value::Array(items.iter().map(to_json).collect()),
        V::Table(entries) => {
            Value::Object(entries.iter().map(|e| (e.key.clone(), to_json(&e.node))).collect())
        }
    }
}

/// Values that fit a schema, one key at a time; with `odd`, tables with a key that is not listed.
fn samples(schema: &Value, odd: bool, path: &str, all: &mut Vec<(String, Value)>) {
    if let Some(examples) = schema["examples"].as_array() {
        all.extend(examples.iter().filter(|_| !odd).map(|one| (path.to_owned(), one.clone())));
    } else if let Some(properties) = schema["properties"].as_object() {
        if odd {
            assert_eq!(schema["additionalProperties"], false, "{path}");
            all.push((path.to_owned(), json!({"no-such-key": 1})));
        }
        for (key, value) in properties {
            let mut below = Vec::new();
            samples(value, odd, &format!("{path}.{key}"), &mut below);
            all.extend(below.into_iter().map(|(path, value)| (path, json!({ key: value }))));
        }
    } else if let Some(items) = schema.get("items") {
        let mut below = Vec::new();
        samples(items, odd, &format!("{path}[]"), &mut below);
        all.extend(below.into_iter().map(|(path, value)| (path, json!([value]))));
    } else {
        for one in schema["anyOf"].as_array().unwrap_or_else(|| panic!("{path}: {schema}")) {
            match one["type"].as_str() {
                Some("boolean") if !odd => all.push((path.to_owned(), json!(true))),
                Some("boolean") => {}
                _ => samples(one, odd, path, all),
            }
        }
    }
}

#[test]
fn every_listed_key_is_accepted() {
    let mut all = Vec::new();
    samples(&schema(), false, "", &mut all);
    assert!(250 < all.len(), "{} samples", all.len());
    for (path, document) in all {
        assert_eq!(said(&document), Vec::<String>::new(), "{path}: {document}");
    }
}

#[test]
fn an_unlisted_key_is_refused_in_every_table() {
    let mut all = Vec::new();
    samples(&schema(), true, "", &mut all);
    assert!(40 < all.len(), "{} tables", all.len());
    for (path, document) in all {
        assert_eq!(said(&document), ["there is no key `no-such-key` here"], "{path}: {document}");
    }
}

/// The part of JSON Schema that ours uses, but patterns.
fn validate(schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    let fail = |why: String| Err(format!("{path}: {why}"));
    if let Some(any) = schema["anyOf"].as_array()
        && !any.iter().any(|one| validate(one, value, path).is_ok())
    {
        return fail(format!("{value} fits none of {}", schema["anyOf"]));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return fail(format!("{value} is none of {words:?}"));
    }
    if let Some(only) = schema.get("const")
        && only != value
    {
        return fail(format!("{value} is not {only}"));
    }
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        _ => true,
    };
    let least = schema["minimum"].as_f64().unwrap_or(f64::MIN);
    let most = schema["maximum"].as_f64().unwrap_or(f64::MAX);
    if !fits || value.as_f64().is_some_and(|number| number < least || most < number) {
        return fail(format!("{value} is no {schema}"));
    }
    for item in value.as_array().into_iter().flatten() {
        validate(schema.get("items").unwrap_or(&json!({})), item, &format!("{path}[]"))?;
    }
    for (key, below) in value.as_object().into_iter().flatten() {
        let of = schema["properties"].get(key).or(schema.get("additionalProperties"));
        match of {
            Some(Value::Bool(false)) => return fail(format!("no key {key}")),
            Some(of) => validate(of, below, &format!("{path}.{key}"))?,
            None => {}
        }
    }
    let required = schema["required"].as_array().into_iter().flatten();
    for key in required.filter_map(Value::as_str).filter(|_| value.is_object()) {
        if value.get(key).is_none() {
            return fail(format!("{key} is missing"));
        }
    }
    Ok(())
}

#[test]
fn shipped_scenarios_fit_the_schema() {
    let schema = schema();
    let templates = TEMPLATES.iter().filter_map(|(name, _)| template(name));
    for text in templates.chain([NORMATIVE, RICH]) {
        let (document, errors) = super::super::document::parse(0, text);
        assert!(errors.is_empty());
        validate(&schema, &to_json(&document), "").unwrap_or_else(|why| panic!("{why}"));
    }
    assert!(validate(&schema, &json!({"scenario": {"duration": 5}}), "").is_err());
    assert!(validate(&schema, &json!({"scenario": {"duration": "1h", "x": 5}}), "").is_err());
}

#[test]
fn every_action_of_the_key_table_is_read() {
    for action in super::super::keys::ACTIONS {
        let text = NORMATIVE.replace("do = \"fail\"", &format!("do = \"{action}\""));
        let problems = super::read(&text).err().unwrap_or_default();
        let said = print(&problems);
        assert!(!said.contains("none of the words"), "{action}: {said}");
        let acts = ["fail", "freeze", "push"].contains(action);
        assert!(acts || !problems.is_empty(), "{action} on istiod is refused");
    }
}
