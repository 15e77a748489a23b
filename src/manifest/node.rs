//! A document as a tree, with a place on every value and on every key.
//!
//! This is what YAML and JSON both become, and all that the readers of kinds see.
//! Source: the data model of `sigs.k8s.io/yaml`: YAML is turned into JSON, so values are null,
//! booleans, numbers, strings, lists, and maps with string keys.
//! Left out: comments, tags and anchors (resolved when the tree is built).

use crate::manifest::source::At;

/// A value and where it is.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// Where the value is; of a map or list, where its first element is.
    pub at: At,
    /// The value.
    pub value: Value,
}

/// What a node holds.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Nothing: `null`, `~`, or no value after the colon. Not the same as an empty list or map.
    Null,
    /// `true`, and YAML 1.1's `yes` and `on`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction, or too large for [`Value::Int`].
    Float(f64),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map in the order of the file.
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key is.
    pub key_at: At,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// The entries of a map; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The elements of a list; none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The entry of a map with this key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value at this key, if the node is a map that has it and it is not null.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value).filter(|node| !node.is_null())
    }

    /// The string, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether two trees say the same, wherever they stand and in whatever order their keys are.
    pub fn says(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::List(own), Value::List(theirs)) => {
                own.len() == theirs.len() && own.iter().zip(theirs).all(|(a, b)| a.says(b))
            }
            (Value::Map(own), Value::Map(theirs)) => {
                let says =
                    |one: &Entry| other.entry(&one.key).is_some_and(|it| one.value.says(&it.value));
                own.len() == theirs.len() && own.iter().all(says)
            }
            (own, theirs) => own == theirs,
        }
    }

    /// What it says, as a text that is the same for trees that say the same.
    pub fn said(&self) -> String {
        match &self.value {
            Value::Null => "null".to_owned(),
            Value::Bool(flag) => flag.to_string(),
            Value::Int(number) => number.to_string(),
            Value::Float(number) => format!("{number:?}"),
            Value::Text(text) => format!("{text:?}"),
            Value::List(items) => {
                format!("[{}]", items.iter().map(Self::said).collect::<Vec<_>>().join(", "))
            }
            Value::Map(entries) => {
                let mut parts: Vec<String> = entries
                    .iter()
                    .map(|one| format!("{:?}: {}", one.key, one.value.said()))
                    .collect();
                parts.sort();
                format!("{{{}}}", parts.join(", "))
            }
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// What kind of value it is, with its article, for messages.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}
