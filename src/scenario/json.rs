//! The JSON Schema (draft 2020-12) of scenario files, from the key table.
//!
//! Source: the same table that the parser uses.
//! Left out: conditions between keys; what a base file or manifests give counts as missing; patterns are looser than the parser.

use super::keys::ROOT;
use super::schema::{Default, Keys, Kind, parameter};
use super::values::{ARRIVALS, FAMILIES};
use crate::plan::linkerd::split::WEIGHT_MAX;
use crate::plan::parameter::ValueKind;
use crate::plan::policy::RetryOn;
use serde_json::{Map, Value, json};

/// The JSON Schema of scenario files.
pub(crate) fn schema() -> Value {
    let mut root = table(ROOT);
    if let Value::Object(map) = &mut root {
        map.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
        map.insert("title".into(), json!("meshsim scenario"));
    }
    root
}

fn table(keys: Keys) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in keys.list().iter() {
        let mut value = of(key.kind);
        if let Value::Object(map) = &mut value {
            map.insert("description".into(), json!(key.meaning.trim()));
            match key.default {
                Default::Is(text) => drop(map.insert("default".into(), json!(text))),
                Default::Parameter(name) => {
                    let text = json!(format!("mesh parameter {name}"));
                    map.insert("$comment".into(), text);
                }
                Default::Required => required.push(json!(key.name)),
                Default::None => {}
            }
        }
        properties.insert(key.name.to_owned(), value);
    }
    let mut schema = json!({
        "type": "object", "properties": properties, "additionalProperties": false
    });
    if !required.is_empty() {
        schema["required"] = Value::Array(required);
    }
    schema
}

fn of(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({"type": "string", "minLength": 1, "examples": ["name"]}),
        Kind::Duration => duration(),
        Kind::Rate => rate(),
        Kind::Bandwidth => {
            json!({"type": "string", "pattern": "^[0-9.]+ ?[gmk]?bps$", "examples": ["100mbps"]})
        }
        Kind::Share => share(),
        Kind::Count(least, most) => {
            json!({"type": "integer", "minimum": least, "maximum": most, "examples": [least.max(1)]})
        }
        Kind::Number => json!({"type": "number", "minimum": 0, "examples": [2.5]}),
        Kind::Bool => json!({"type": "boolean", "examples": [true]}),
        Kind::Word(words) => json!({"enum": words, "examples": [words[0]]}),
        Kind::Like(name) => parameter_schema(name),
        Kind::Names => {
            json!({"type": "array", "items": {"type": "string"}, "examples": [["a", "b"]]})
        }
        Kind::Paths => json!({
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}}
            ],
            "examples": ["k8s/*.yaml", ["k8s", "more.yaml"]]
        }),
        Kind::Yaml => {
            json!({"type": "string", "minLength": 1, "examples": ["{spec: {replicas: 3}}"]})
        }
        Kind::Manifests => json!({
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}}
            ],
            "examples": ["canary.yaml", ["a.yaml", "b.yaml"]]
        }),
        Kind::Labels => json!({
            "type": "object", "additionalProperties": {"type": "string"}, "examples": [{"app": "x"}]
        }),
        Kind::Weights => json!({
            "type": "object", "additionalProperties": {"type": "integer", "minimum": 0},
            "examples": [{"v1": 90, "v2": 10}]
        }),
        Kind::Quantity => json!({
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": WEIGHT_MAX},
                {"type": "string", "pattern": "^[0-9]{1,6}(\\.[0-9]+)?$|^[0-9]{1,8}(\\.[0-9]+)?m$"}
            ],
            "examples": [1, "500m"]
        }),
        Kind::Quantities => json!({
            "type": "object", "additionalProperties": of(Kind::Quantity),
            "examples": [{"web-v1": 1, "web-v2": "500m"}]
        }),
        Kind::Distribution => json!({
            "anyOf": [duration(), one_of(&FAMILIES)], "examples": ["4ms", {"exponential": "2ms"}]
        }),
        Kind::Arrivals => {
            let mut schema = one_of(&ARRIVALS);
            schema["examples"] = json!([{"poisson": "100rps"}]);
            schema
        }
        Kind::Settings => json!({"type": "object", "examples": [{"scenario.duration": "1h"}]}),
        Kind::Table(keys) => table(keys),
        Kind::Tables(keys, _) => json!({"type": "array", "items": table(keys)}),
        Kind::OneOrMany(keys) => {
            json!({"anyOf": [table(keys), {"type": "array", "items": table(keys)}]})
        }
        Kind::Switch(keys) => json!({"anyOf": [{"type": "boolean"}, table(keys)]}),
        Kind::ShareOr(keys) => json!({"anyOf": [share(), table(keys)]}),
    }
}

fn parameter_schema(name: &str) -> Value {
    let row = parameter(name);
    let mut schema = match row.kind {
        ValueKind::Duration => duration(),
        ValueKind::Share => share(),
        ValueKind::Count => of(Kind::Count(0, i64::from(u32::MAX))),
        ValueKind::Number => of(Kind::Number),
        ValueKind::Bool => of(Kind::Bool),
        ValueKind::Rate => rate(),
        ValueKind::Bytes => json!({
            "anyOf": [
                {"type": "string", "pattern": "^ *[0-9]+(\\.[0-9]+)? *(KiB|MiB|GiB)$|^0$"},
                {"const": 0}
            ],
            "examples": ["512MiB"]
        }),
        ValueKind::Word(words) => of(Kind::Word(words)),
        ValueKind::RetryOn => {
            let names: Vec<_> = RetryOn::ALL.iter().map(|(_, name)| *name).collect();
            json!({
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"enum": names}}],
                "examples": [["5xx", "reset"], "5xx,reset"]
            })
        }
        ValueKind::Statuses => json!({
            "anyOf": [
                {"type": "array", "items": {"type": "integer", "minimum": 100, "maximum": 599}},
                {"type": "string"}
            ],
            "examples": [[503]]
        }),
    };
    schema["$comment"] = json!(format!("default {}: {}", row.default, row.source));
    schema
}

fn duration() -> Value {
    json!({
        "anyOf": [
            {"type": "string", "pattern": "^\\s*(0|([0-9.]+(ns|us|ms|s|m|h|d))+)\\s*$"}, {"const": 0}
        ],
        "examples": ["1m30s", "250us"]
    })
}

fn rate() -> Value {
    json!({"anyOf": [{"type": "string"}, {"const": 0}], "examples": ["2/h", "200rps"]})
}

fn share() -> Value {
    json!({
        "anyOf": [
            {"type": "number", "minimum": 0, "maximum": 1},
            {"type": "string", "pattern": "^\\s*[0-9.]+\\s*%?\\s*$"}
        ],
        "examples": ["5%", 0.05]
    })
}

fn one_of(names: &[&str]) -> Value {
    let properties: Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
    json!({
        "type": "object", "properties": properties, "additionalProperties": false,
        "minProperties": 1, "maxProperties": 1
    })
}
