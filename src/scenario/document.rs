//! The document: a scenario file as a tree that remembers where each piece stands.
//!
//! `toml` parses with recovery; the tree is copied out so that base files, `--set` texts and the
//! file itself can be merged and every piece still points into its own source.
//!
//! Source: TOML 1.1; spans are bytes of the source, places are counted in characters.
//! Left out: comments and formatting (a scenario is never written back); columns in lines beyond 64 KiB
//! of manifests that are not ASCII.

use crate::plan::problem::Place;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The name of the text of a setting that was typed.
pub(crate) const SET: &str = "--set";
/// The name of a path of manifests that was typed.
pub(crate) const MANIFESTS: &str = "--manifests";
/// The name of the text that holds what is assumed.
pub(crate) const ASSUMED: &str = "assumed";
/// A longer line is shown cut.
const LINE_SHOWN_MAX: usize = 4_000;
/// In longer lines characters are not counted: a dump may be one line of megabytes.
const LINE_BYTES_MAX: usize = 64 << 10;

/// A stretch of bytes of one source.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct At {
    /// Index into the context's sources.
    pub(crate) source: u32,
    /// First byte.
    pub(crate) start: u32,
    /// The byte after the last.
    pub(crate) end: u32,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) value: Value,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Date(String),
    List(Vec<Node>),
    /// In key order.
    Table(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: At,
    pub(crate) node: Node,
}

impl Node {
    /// The entries, if it is a table.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    /// The elements, if it is a list.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The entry of `key`, if it is a table that has it.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        let entries = self.entries();
        entries.binary_search_by(|entry| entry.key.as_str().cmp(key)).ok().map(|at| &entries[at])
    }

    /// The value of `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The elements of the list `key`.
    pub(crate) fn list(&self, key: &str) -> &[Self] {
        self.get(key).map_or(&[], Self::items)
    }

    /// The text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of `key`.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_text()
    }

    /// Whether it is a table.
    pub(crate) fn is_table(&self) -> bool {
        matches!(self.value, Value::Table(_))
    }

    /// A table as the only one, or those of a list.
    pub(crate) fn one_or_many(&self) -> &[Self] {
        if self.is_table() { std::slice::from_ref(self) } else { self.items() }
    }

    /// Puts `entry` into a table in key order, in place of one of that key. No table: no effect.
    pub(crate) fn put(&mut self, entry: Entry) -> Option<&mut Self> {
        let Value::Table(entries) = &mut self.value else { return None };
        let index = match entries.binary_search_by(|one| one.key.cmp(&entry.key)) {
            Ok(index) => {
                entries[index] = entry;
                index
            }
            Err(index) => {
                entries.insert(index, entry);
                index
            }
        };
        Some(&mut entries[index].node)
    }

    /// What people call this kind of value.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Text(_) => "a text",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Bool(_) => "true or false",
            Value::Date(_) => "a date",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// The value as people would type it.
    pub(crate) fn print(&self) -> String {
        match &self.value {
            Value::Text(text) | Value::Date(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            // Nobody reads three hundred zeros.
            Value::Float(number) if 1e21 <= number.abs() => format!("{number:e}"),
            Value::Float(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::List(items) => {
                format!("[{}]", items.iter().map(Self::print).collect::<Vec<_>>().join(", "))
            }
            Value::Table(entries) => {
                let parts: Vec<_> =
                    entries.iter().map(|e| format!("{} = {}", e.key, e.node.print())).collect();
                format!("{{ {} }}", parts.join(", "))
            }
        }
    }
}

/// A text that values come from: a file, or a `--set`.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The file as the user named it, or `--set`.
    pub(crate) name: String,
    /// Its text.
    pub(crate) text: String,
    line_starts: Vec<usize>,
    is_ascii: bool,
}

impl Source {
    /// Whether it is a file, and neither typed nor assumed.
    pub(crate) fn is_file(&self) -> bool {
        ![SET, MANIFESTS, ASSUMED].contains(&self.name.as_str())
    }

    /// A source.
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
            line_starts: std::iter::once(0).chain(ends).collect(),
            is_ascii: text.is_ascii(),
        }
    }

    /// The line of a byte, from 1.
    pub(crate) fn line(&self, byte: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= byte)
    }

    /// The bytes of a place that is told by its line and column from 1, and its width in characters.
    pub(crate) fn stretch(&self, line: u32, column: u32, width: u32) -> (u32, u32) {
        let start = self.line_starts.get(line.max(1) as usize - 1).copied();
        let start = start.unwrap_or(self.text.len());
        let rest = &self.text[start..];
        let after = self.line_starts.get(line.max(1) as usize).copied();
        let length = after.map_or(rest.len(), |next| next - 1 - start);
        let skipped = column.max(1) as usize - 1;
        let (from, to) = if self.is_ascii {
            (skipped, skipped + width as usize)
        } else if LINE_BYTES_MAX < length {
            (0, 0)
        } else {
            let at = |skipped: usize| {
                rest[..length].char_indices().nth(skipped).map_or(length, |(byte, _)| byte)
            };
            (at(skipped), at(skipped + width as usize))
        };
        let byte = |byte: usize| u32::try_from(start + byte.min(length)).unwrap_or(u32::MAX);
        (byte(from), byte(to))
    }

    /// The place of a stretch of bytes; a stretch of several lines is cut at the first's end.
    pub(crate) fn place(&self, at: At) -> Place {
        let floor = |byte: usize| {
            let byte = byte.min(self.text.len());
            (0..=byte).rev().find(|byte| self.text.is_char_boundary(*byte)).unwrap_or(0)
        };
        let (start, end) = (floor(at.start as usize), floor(at.end as usize));
        let line = self.line(start);
        let line_start = self.line_starts[line - 1];
        let line_end =
            self.text[line_start..].find('\n').map_or(self.text.len(), |n| line_start + n);
        let text = self.text[line_start..line_end].trim_end_matches('\r');
        let start = start.min(line_start + text.len());
        let end = end.clamp(start, line_start + text.len());
        let count = |range: std::ops::Range<usize>| {
            u32::try_from(self.text[range].chars().count()).unwrap_or(u32::MAX)
        };
        Place {
            file: self.name.clone(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: count(line_start..start) + 1,
            width: count(start..end).max(1),
            text: text.chars().take(LINE_SHOWN_MAX).collect(),
        }
    }
}

/// A syntax error: where, and what in one sentence.
pub(crate) type SyntaxError = (At, String);

/// Parses a whole file; what can be understood comes with what cannot.
pub(crate) fn parse(source: u32, text: &str) -> (Node, Vec<SyntaxError>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let at = |span: std::ops::Range<usize>| at(source, 0, span);
    let errors = errors
        .iter()
        .map(|error| (at(error.span().unwrap_or(0..0)), error.message().replace('\n', "; ")))
        .collect();
    let place = at(table.span());
    (Node { at: place, value: copy_table(source, 0, table.get_ref()) }, errors)
}

/// Parses the value of a `--set` that begins at byte `offset` of its source; what is no TOML value
/// is a text.
pub(crate) fn parse_value(source: u32, offset: usize, text: &str) -> Node {
    match DeValue::parse(text) {
        Ok(value) => copy(source, offset, &value),
        Err(_) => plain_text(source, offset, text),
    }
}

/// The text itself as a value.
pub(crate) fn plain_text(source: u32, offset: usize, text: &str) -> Node {
    Node { at: at(source, offset, 0..text.len()), value: Value::Text(text.trim().to_owned()) }
}

fn at(source: u32, offset: usize, span: std::ops::Range<usize>) -> At {
    let byte = |byte: usize| u32::try_from(offset + byte).unwrap_or(u32::MAX);
    At { source, start: byte(span.start), end: byte(span.end) }
}

fn copy(source: u32, offset: usize, node: &Spanned<DeValue<'_>>) -> Node {
    let value = match node.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(
                |_| Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
                Value::Integer,
            ),
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| copy(source, offset, item)).collect())
        }
        DeValue::Table(table) => copy_table(source, offset, table),
    };
    Node { at: at(source, offset, node.span()), value }
}

fn copy_table(source: u32, offset: usize, table: &DeTable<'_>) -> Value {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, node)| Entry {
            key: key.get_ref().to_string(),
            at: at(source, offset, key.span()),
            node: copy(source, offset, node),
        })
        .collect();
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    Value::Table(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_by_line_and_column_are_bytes() {
        let of = |text: &str, line, column, width| {
            let source = Source::new("a.yaml", text);
            let (start, end) = source.stretch(line, column, width);
            text.get(start as usize..end as usize).map(str::to_owned)
        };
        let is = |found: Option<String>, wanted: &str| assert_eq!(found.as_deref(), Some(wanted));
        is(of("a: 1\nb: 22\n", 2, 4, 2), "22");
        is(of("a: 1\nb: 22", 2, 4, 9), "22");
        is(of("ä: 1\nö: ü2\n", 2, 4, 2), "ü2");
        is(of("a: 1\n", 2, 1, 1), "");
        is(of("a: 1\n", 9, 9, 1), "");
        is(of("", 1, 1, 1), "");
        // In a line of megabytes nobody counts: its begin is shown.
        let long = "é".repeat(LINE_BYTES_MAX);
        is(of(&long, 1, 900, 2), "");
        is(of(&"x".repeat(2 * LINE_BYTES_MAX), 1, 900, 2), "xx");
    }
}
