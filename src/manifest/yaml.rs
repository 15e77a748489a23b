//! YAML (and JSON, its subset) into trees: the one module that calls the YAML library.
//!
//! It walks the parser's events itself, since it wants a place on every key and Kubernetes' own
//! reading of plain scalars ([`crate::manifest::scalar`]). Aliases are copied under a budget, so that
//! a bomb ends at once; depth and the number of values are limited, and each limit says itself.
//! Source: YAML 1.2.2; merge keys <https://yaml.org/type/merge.html>; go-yaml 2.4 as in
//! `sigs.k8s.io/yaml` (duplicate keys are an error when it decodes strictly, as kubectl asks for).
//! Left out: tags other than YAML's core ones (ignored, as go-yaml does); `!!binary` is kept as text.

use crate::manifest::node::{Entry, Node, Value};
use crate::manifest::scalar;
use crate::manifest::source::{At, Piece};
use serde_saphyr::granit_parser::{
    ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput,
};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Deepest nesting of lists and maps; the schemas of real CRDs reach about 50.
pub const DEPTH_MAX: usize = 100;
/// Most values in one document (a dump of 5,000 objects has about 2 million).
pub const VALUES_MAX: usize = 8_000_000;
/// Most values of one document that have an anchor, each counted with all that is in it.
pub const ANCHORED_MAX: usize = 1_000_000;
/// Most values of one document that come from aliases.
pub const ALIASED_MAX: usize = 100_000;

/// Most duplicate keys that are told of one piece.
const DUPLICATES_MAX: usize = 100;

/// Something wrong in the text, before any meaning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Where.
    pub at: At,
    /// What.
    pub what: String,
    /// What would help.
    pub hint: Option<String>,
}

/// What became of one piece of text.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Parsed {
    /// Its documents, empty ones left out; more than one only if a piece holds several.
    pub documents: Vec<Node>,
    /// What is wrong; after a syntax fault the rest of the piece is not read.
    pub faults: Vec<Fault>,
}

/// Parses one piece of a text.
pub fn parse(source: u32, piece: Piece<'_>) -> Parsed {
    let options = serde_saphyr::granit_parser::options! {
        emit_comments: false,
        simple_key_max_lookahead: 1 << 16,
        flow_nesting_limit: DEPTH_MAX + 8,
        block_nesting_limit: DEPTH_MAX + 8,
    };
    let mut builder = Builder {
        parser: Parser::new_from_str_with_options(piece.text, options),
        text: piece.text,
        source,
        lines_before: piece.lines_before,
        anchors: BTreeMap::new(),
        values: 0,
        anchored: 0,
        aliased: 0,
        parsed: Parsed::default(),
    };
    if let Err(fault) = builder.documents() {
        builder.parsed.faults.push(fault);
    }
    builder.parsed
}

/// A value that aliases may copy.
struct Anchor {
    node: Node,
    size: usize,
    height: usize,
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
    source: u32,
    lines_before: u32,
    anchors: BTreeMap<usize, Anchor>,
    values: usize,
    anchored: usize,
    aliased: usize,
    parsed: Parsed,
}

impl<'a> Builder<'a> {
    fn documents(&mut self) -> Result<(), Fault> {
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(..)
                | Event::DocumentEnd => {}
                event => {
                    let node = self.node(event, span, 0)?;
                    if !node.is_null() {
                        self.parsed.documents.push(node);
                    }
                    self.anchors.clear();
                    (self.anchored, self.aliased) = (0, 0);
                }
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Fault> {
        self.parser.next_event().transpose().map_err(|error| self.syntax(&error))
    }

    fn expect(&mut self) -> Result<(Event<'a>, Span), Fault> {
        let end = At { source: self.source, line: self.lines_before + 1, column: 1, width: 1 };
        self.next()?.ok_or_else(|| fault(end, "the document ends too early"))
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Fault> {
        let at = self.at(span);
        if depth > DEPTH_MAX {
            return Err(too_deep(at));
        }
        self.count(at)?;
        let (anchor, node) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let suffix = tag.as_deref().and_then(|tag| tag.core_suffix());
                let resolved = match suffix {
                    Some(suffix) => matches!(suffix, "int" | "float" | "bool" | "null"),
                    None => plain,
                };
                let value =
                    if resolved { scalar::resolve(text) } else { Value::Text(text.into_owned()) };
                (anchor, Node { at, value })
            }
            Event::SequenceStart(_, anchor, _) => (anchor, self.list(at, depth)?),
            Event::MappingStart(_, anchor, _) => (anchor, self.map(at, depth)?),
            Event::Alias(id) => (0, self.alias(id, at, depth)?),
            _ => return Err(fault(at, "a value is expected here")),
        };
        if anchor != 0 {
            self.anchor(anchor, &node)?;
        }
        Ok(node)
    }

    fn list(&mut self, at: At, depth: usize) -> Result<Node, Fault> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.expect()?;
            if event == Event::SequenceEnd {
                return Ok(Node { at, value: Value::List(items) });
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn map(&mut self, mut at: At, depth: usize) -> Result<Node, Fault> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut merged: Vec<Node> = Vec::new();
        loop {
            let (event, span) = self.expect()?;
            if event == Event::MappingEnd {
                break;
            }
            let plain_merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key_at = self.at(span);
            let key = self.key(event, span, depth)?;
            if entries.is_empty() && key_at.line == at.line && key_at.column == at.column {
                at.width = key_at.width;
            }
            let (event, span) = self.expect()?;
            let value = self.node(event, span, depth + 1)?;
            if plain_merge {
                merged.push(value);
                continue;
            }
            let value = place_null(key_at, value);
            if let Some(&index) = seen.get(&key) {
                self.duplicate(&entries[index], key_at)?;
                entries[index] = Entry { key, key_at, value };
            } else {
                seen.insert(key.clone(), entries.len());
                entries.push(Entry { key, key_at, value });
            }
        }
        for node in merged {
            merge(&mut entries, &mut seen, node)?;
        }
        Ok(Node { at, value: Value::Map(entries) })
    }

    /// The later of two equal keys counts; a document full of them is not read to its end.
    fn duplicate(&mut self, first: &Entry, at: At) -> Result<(), Fault> {
        if self.parsed.faults.len() >= DUPLICATES_MAX {
            return Err(fault(at, format!("more than {DUPLICATES_MAX} keys are given twice")));
        }
        let (key, line) = (&first.key, first.key_at.line);
        let what = format!("`{key}` is given twice; the first is in line {line}");
        let hint = "kubectl refuses this; without validation the last one counts";
        self.parsed.faults.push(fault(at, what).hint(hint));
        Ok(())
    }

    /// A key as JSON has it: always a string, `true` for a plain `on`, `1` for a 1.
    fn key(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<String, Fault> {
        let node = self.node(event, span, depth + 1)?;
        match node.value {
            Value::Text(text) => Ok(text),
            Value::Bool(value) => Ok(value.to_string()),
            Value::Int(value) => Ok(value.to_string()),
            Value::Float(value) => Ok(value.to_string()),
            Value::Null => Ok("null".to_owned()),
            Value::List(_) | Value::Map(_) => {
                let mut wrong =
                    fault(node.at, format!("a key must be a string, not {}", node.kind()));
                if self.line_text(node.at).contains("{{") {
                    wrong.hint =
                        Some("this is a Helm template: render it first (helm template)".into());
                }
                Err(wrong)
            }
        }
    }

    fn anchor(&mut self, id: usize, node: &Node) -> Result<(), Fault> {
        let (size, height) = measure(node);
        self.anchored += size;
        if self.anchored > ANCHORED_MAX {
            return Err(fault(node.at, format!("anchors hold more than {ANCHORED_MAX} values")));
        }
        self.anchors.insert(id, Anchor { node: node.clone(), size, height });
        Ok(())
    }

    fn alias(&mut self, id: usize, at: At, depth: usize) -> Result<Node, Fault> {
        let Some(anchor) = self.anchors.get(&id) else {
            return Err(fault(at, "an alias inside of its own anchor"));
        };
        if depth + anchor.height > DEPTH_MAX {
            return Err(too_deep(at));
        }
        self.aliased += anchor.size;
        if self.aliased > ALIASED_MAX {
            return Err(fault(at, format!("aliases expand to more than {ALIASED_MAX} values"))
                .hint("this looks like an alias bomb; write the values out"));
        }
        Ok(anchor.node.clone())
    }

    fn count(&mut self, at: At) -> Result<(), Fault> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(fault(at, format!("more than {VALUES_MAX} values in one document")));
        }
        Ok(())
    }

    fn at(&self, span: Span) -> At {
        let width = if span.end.line() == span.start.line() {
            span.end.col().saturating_sub(span.start.col())
        } else {
            self.rest_of_line(&span.start)
        };
        self.marked(&span.start, width)
    }

    fn marked(&self, start: &Marker, width: usize) -> At {
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        At {
            source: self.source,
            line: self.lines_before.saturating_add(small(start.line().max(1))),
            column: small(start.col() + 1),
            width: small(width.max(1)),
        }
    }

    fn rest_of_line(&self, start: &Marker) -> usize {
        let rest = start.byte_offset().and_then(|offset| self.text.get(offset..)).unwrap_or("");
        rest.split('\n').next().unwrap_or("").trim_end().chars().take(200).count()
    }

    fn line_text(&self, at: At) -> &'a str {
        let line = at.line.saturating_sub(self.lines_before + 1);
        self.text.split('\n').nth(line as usize).unwrap_or("")
    }

    fn syntax(&self, error: &ScanError) -> Fault {
        let at = self.marked(error.marker(), 1);
        let line = self.line_text(at);
        let indent: Cow<'_, str> =
            line.chars().take_while(|character| character.is_whitespace()).collect();
        if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
            return too_deep(at);
        }
        let mut wrong = fault(at, format!("this is no YAML: {}", error.info()));
        wrong.hint = if let Some(tab) = indent.chars().position(|character| character == '\t') {
            wrong.at.column = u32::try_from(tab + 1).unwrap_or(1);
            Some("YAML is indented with spaces, not with tabs".to_owned())
        } else if line.contains("{{") {
            Some("this is a Helm template: render it first (helm template)".to_owned())
        } else if line.starts_with("<<<<<<<") || line.starts_with(">>>>>>>") {
            Some("this is a conflict mark of git".to_owned())
        } else {
            None
        };
        wrong
    }
}

/// A value that is not there is shown at its key.
fn place_null(key_at: At, mut value: Node) -> Node {
    if value.is_null() && value.at.line != key_at.line {
        value.at = key_at;
    }
    value
}

fn merge(
    entries: &mut Vec<Entry>,
    seen: &mut BTreeMap<String, usize>,
    node: Node,
) -> Result<(), Fault> {
    let maps = match node.value {
        Value::List(items) => items,
        _ => vec![node],
    };
    for map in maps {
        let Value::Map(merged) = map.value else {
            return Err(fault(map.at, format!("`<<` merges maps, this is {}", map.kind())));
        };
        for entry in merged {
            if !seen.contains_key(&entry.key) {
                seen.insert(entry.key.clone(), entries.len());
                entries.push(entry);
            }
        }
    }
    Ok(())
}

/// How many values a tree holds and how deep it is, which is never deeper than [`DEPTH_MAX`].
fn measure(node: &Node) -> (usize, usize) {
    let children: Vec<&Node> = match &node.value {
        Value::List(items) => items.iter().collect(),
        Value::Map(entries) => entries.iter().map(|entry| &entry.value).collect(),
        _ => return (1, 0),
    };
    let measured = children.into_iter().map(measure);
    measured.fold((1, 1), |(size, height), (inner, below)| (size + inner, height.max(below + 1)))
}

fn too_deep(at: At) -> Fault {
    fault(at, format!("nested deeper than {DEPTH_MAX} levels"))
        .hint("no manifest is that deep: is this one?")
}

fn fault(at: At, what: impl Into<String>) -> Fault {
    Fault { at, what: what.into(), hint: None }
}

impl Fault {
    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Parsed {
        parse(0, Piece { text, lines_before: 0 })
    }

    fn first(text: &str) -> Node {
        let parsed = read(text);
        assert_eq!(parsed.faults, [], "{text}");
        parsed.documents.into_iter().next().unwrap()
    }

    fn fault_of(text: &str) -> (String, u32, u32) {
        let parsed = read(text);
        let fault = parsed.faults.first().unwrap_or_else(|| panic!("no fault: {text:?}"));
        (fault.what.clone(), fault.at.line, fault.at.column)
    }

    #[test]
    fn keys_and_values_know_their_place() {
        let node = first("spec:\n  hosts:\n  - reviews\n  port: 9080\n");
        let spec = node.entry("spec").unwrap();
        assert_eq!((spec.key_at.line, spec.key_at.column, spec.key_at.width), (1, 1, 4));
        let hosts = spec.value.get("hosts").unwrap();
        assert_eq!((hosts.items()[0].at.line, hosts.items()[0].at.column), (3, 5));
        let port = spec.value.entry("port").unwrap();
        assert_eq!((port.key_at.line, port.value.at.column, port.value.at.width), (4, 9, 4));
        assert_eq!(port.value.value, Value::Int(9080));
    }

    #[test]
    fn json_is_read_as_well() {
        let node =
            first("{\n\t\"kind\": \"List\", \"n\": 1.5e3, \"s\": \"a\\/\\u00e9\",\n \"l\": []}");
        assert_eq!(node.get("kind").unwrap().text(), Some("List"));
        assert_eq!(node.get("n").unwrap().value, Value::Float(1500.0));
        assert_eq!(node.get("s").unwrap().text(), Some("a/é"));
        assert_eq!(node.get("l").unwrap().items(), []);
    }

    #[test]
    fn line_ends_of_windows_and_control_characters_are_read_or_told() {
        let node = first("a: 1\r\nb:\r\n- x\r\n");
        assert_eq!(node.get("b").unwrap().items()[0].text(), Some("x"));
        assert_eq!(node.get("b").unwrap().items()[0].at.line, 3);
        assert!(!read("a: \u{0}\n").faults.is_empty() || !read("a: \u{0}\n").documents.is_empty());
    }

    #[test]
    fn null_is_not_empty() {
        let node = first("a:\nb: {}\nc: []\nd: ~\n");
        assert!(
            node.entry("a").unwrap().value.is_null() && node.entry("d").unwrap().value.is_null()
        );
        assert_eq!(node.entry("a").unwrap().value.at.line, 1);
        assert_eq!(node.get("b").unwrap().kind(), "a map");
        assert_eq!(node.get("c").unwrap().kind(), "a list");
    }

    #[test]
    fn anchors_and_merge_keys_are_resolved() {
        let node = first("base: &b {x: 1, z: 2}\none:\n  <<: *b\n  z: 3\ntwo: *b\n");
        let one = node.get("one").unwrap();
        assert_eq!(one.get("x").unwrap().value, Value::Int(1));
        assert_eq!(one.get("z").unwrap().value, Value::Int(3));
        assert_eq!(node.get("two").unwrap().get("z").unwrap().value, Value::Int(2));
    }

    #[test]
    fn bombs_and_depth_end_at_once() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..30 {
            let before = format!("*a{},", level - 1).repeat(9);
            bomb.extend([
                "a",
                &level.to_string(),
                ": &a",
                &level.to_string(),
                " [",
                &before,
                "]\n",
            ]);
        }
        assert!(fault_of(&bomb).0.contains("alias"), "{:?}", fault_of(&bomb));
        let deep = fault_of(&format!("a: {}", "[".repeat(100_000)));
        assert!(deep.0.contains("deeper"), "{deep:?}");
        let lines: Vec<String> = (0..300).map(|n| " ".repeat(n) + "a:\n").collect();
        let block = lines.concat();
        assert!(fault_of(&block).0.contains("deeper"));
    }

    #[test]
    fn duplicates_tabs_and_templates_are_told() {
        let (what, line, column) = fault_of("a:\n  b: 1\n  c: 2\n  b: 3\n");
        assert!(what.contains("`b` is given twice") && (line, column) == (4, 3), "{what}");
        let tab = read("a:\n\tb: 1\n").faults.remove(0);
        assert!(tab.hint.unwrap().contains("tabs") && tab.at.line == 2);
        let helm = read("a: {{ .Values.x }}\n").faults.remove(0);
        assert!(helm.hint.clone().unwrap().contains("Helm"), "{helm:?}");
        let open = fault_of("a: \"never closed\nb: 1\n");
        assert!(open.0.contains("YAML"), "{open:?}");
    }
}
