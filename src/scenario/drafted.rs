//! Drafts of manifests as documents: every value points at the YAML that says it.
//!
//! The texts of the manifests become sources of the context. What is assumed points into a source of its own,
//! [`ASSUMED`], that holds a line for each such value, so that a diagnostic has a line to show. A value
//! that only follows from what is around it stands where that stands.
//!
//! Source: `manifest::draft`; docs/manifests.md.
//! Left out: nothing.

use super::context::Context;
use super::document::{ASSUMED, At, Entry, Node, Value};
use crate::manifest::draft::value::{self, Kind, Origin, Table};
use crate::manifest::source::{self, Sources};
use std::fmt::Write as _;

/// A draft as a document.
pub(super) struct Written {
    /// What the manifests say.
    pub(super) document: Node,
    /// The source of what is assumed.
    pub(super) assumed: u32,
    /// The sources of the manifests, in their order.
    pub(super) sources: Vec<u32>,
}

/// Writes a draft; `around` is where it is asked for.
pub(super) fn write(
    context: &mut Context<'_>,
    draft: &Table,
    texts: &Sources,
    around: At,
) -> Written {
    let sources: Vec<u32> =
        texts.list.iter().map(|one| context.add_once(&one.name, &one.text)).collect();
    // What is assumed is known when all is written.
    let assumed = context.add(ASSUMED, "");
    let mut writer = Writer { context, sources: &sources, assumed, text: String::new() };
    let document = Node { at: around, value: writer.table(draft, "", around) };
    let text = writer.text;
    context.sources[assumed as usize] = super::document::Source::new(ASSUMED, &text);
    Written { document, assumed, sources }
}

struct Writer<'w, 'f> {
    context: &'w Context<'f>,
    sources: &'w [u32],
    assumed: u32,
    /// What is assumed, a line each.
    text: String,
}

impl Writer<'_, '_> {
    fn table(&mut self, table: &Table, path: &str, around: At) -> Value {
        let mut node = Node { at: around, value: Value::Table(Vec::new()) };
        for (key, value) in table.iter() {
            let dot = if path.is_empty() { "" } else { "." };
            let value = self.value(value, &format!("{path}{dot}{}", quoted_key(key)), around);
            node.put(Entry { key: key.to_owned(), at: value.at, node: value });
        }
        node.value
    }

    fn value(&mut self, value: &value::Value, path: &str, around: At) -> Node {
        let at = match &value.origin {
            Origin::Around => around,
            Origin::Written(at) => self.place(*at, around),
            Origin::Assumed(why) => self.assume(value, path, why),
        };
        let value = match &value.kind {
            Kind::Text(text) => Value::Text(text.clone()),
            Kind::Integer(number) => Value::Integer(*number),
            Kind::Float(number) => Value::Float(*number),
            Kind::Bool(flag) => Value::Bool(*flag),
            Kind::Table(table) => self.table(table, path, at),
            Kind::List(items) => {
                let item = |(index, item)| self.value(item, &element(path, index, item), at);
                Value::List(items.iter().enumerate().map(item).collect())
            }
        };
        Node { at, value }
    }

    /// A place in a manifest.
    fn place(&self, at: source::At, around: At) -> At {
        let Some(source) = self.sources.get(at.source as usize).copied() else { return around };
        let text = &self.context.sources[source as usize];
        let (start, end) = text.stretch(at.line, at.column, at.width);
        At { source, start, end }
    }

    /// A line for what is assumed; the place is that of its value.
    fn assume(&mut self, value: &value::Value, path: &str, why: &str) -> At {
        let byte = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.text += path;
        self.text += " = ";
        let start = byte(&self.text);
        self.text += &inline(value);
        let end = byte(&self.text);
        self.text += " # assumed: ";
        self.text.extend(why.chars().map(|c| if c.is_control() { ' ' } else { c }));
        self.text.push('\n');
        At { source: self.assumed, start, end }
    }
}

/// The path of an element, as `--set` takes it.
fn element(path: &str, index: usize, item: &value::Value) -> String {
    let name = |key| match &item.kind {
        Kind::Table(table) => match table.get(key).map(|value| &value.kind) {
            Some(Kind::Text(text)) => Some(text.as_str()),
            _ => None,
        },
        _ => None,
    };
    if let Some(service) = path.strip_suffix(".workload") {
        return match name("version") {
            Some(version) => format!("{service}.{}", quoted_key(version)),
            None => service.to_owned(),
        };
    }
    match name("name") {
        Some(name) => format!("{path}.{}", quoted_key(name)),
        None => format!("{path}[{index}]"),
    }
}

/// A value in one line, as TOML has it.
fn inline(value: &value::Value) -> String {
    match &value.kind {
        Kind::Text(text) => quoted(text),
        Kind::Integer(number) => number.to_string(),
        Kind::Float(number) => format!("{number:?}").to_lowercase(),
        Kind::Bool(flag) => flag.to_string(),
        Kind::List(items) => {
            format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Kind::Table(table) if table.is_empty() => "{}".to_owned(),
        Kind::Table(table) => {
            let entry = |(key, value)| format!("{} = {}", quoted_key(key), inline(value));
            format!("{{ {} }}", table.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A key, in quotes where TOML needs them.
fn quoted_key(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(is_plain) { name.to_owned() } else { quoted(name) }
}

/// A basic string in one line.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\n' => out += "\\n",
            '\t' => out += "\\t",
            letter if letter.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::super::Files;
    use super::super::context::Fault;
    use super::*;

    struct Nothing;

    impl Files for Nothing {
        fn read(&self, _path: &str) -> Result<String, String> {
            Err("no such file".to_owned())
        }
    }

    /// `file:line:column [what is meant]` and the line.
    fn shown(context: &mut Context<'_>, at: At) -> String {
        context.faults = vec![Fault::new(at, "odd")];
        let place = context.problems().remove(0).place.expect("a place");
        let skipped = place.column as usize - 1;
        let meant: String = place.text.chars().skip(skipped).take(place.width as usize).collect();
        format!("{}:{}:{} [{meant}] {}", place.file, place.line, place.column, place.text)
    }

    #[test]
    fn each_value_points_at_what_says_it_or_at_the_line_that_is_assumed() {
        let mut texts = Sources::default();
        texts.add("é.yaml", "# é\nä: {ö: 3}\n".as_bytes()).expect("a text");
        let written = source::At { source: 0, line: 2, column: 8, width: 1 };
        let mut workload = Table::new();
        workload.set("version", value::Value::text("v 1"));
        workload.set("replicas", value::Value::integer(3).at(written));
        let mut time = Table::new();
        time.set("p50", value::Value::text("4ms"));
        let mut lognormal = Table::new();
        lognormal.set("lognormal", time);
        workload.set("time", value::Value::from(lognormal).assumed("a guess,\nno more: 4 ms"));
        let mut service = Table::new();
        service.set("name", value::Value::text("web.shop").at(written));
        service.set("workload", value::Value::list([workload.into()]));
        let mut root = Table::new();
        root.below("mesh").set("profile", value::Value::text("none").assumed("no mesh"));
        root.set("service", value::Value::list([service.into()]));

        let mut context = Context::new(&Nothing);
        let file = context.add("s.toml", "[[manifests]]\npath = \"é.yaml\"\n");
        let around = At { source: file, start: 14, end: 18 };
        let Written { document, assumed, sources } = write(&mut context, &root, &texts, around);
        assert_eq!((assumed, &sources[..]), (2, &[1][..]));
        let service = &document.list("service")[0];
        let workload = &service.list("workload")[0];
        let at = |key: &str| workload.get(key).expect("a key").at;
        assert_eq!(shown(&mut context, at("replicas")), "é.yaml:2:8 [3] ä: {ö: 3}");
        assert_eq!(
            shown(&mut context, at("time")),
            "assumed:2:33 [{ lognormal = { p50 = \"4ms\" } }] service.\"web.shop\".\"v 1\".time = \
             { lognormal = { p50 = \"4ms\" } } # assumed: a guess, no more: 4 ms"
        );
        let inner = workload.get("time").and_then(|time| time.get("lognormal")).expect("a table");
        assert_eq!(inner.at, at("time"), "what follows stands where that stands");
        assert_eq!(context.why_assumed(inner.at), "a guess, no more: 4 ms");
        assert_eq!(context.file_and_line(inner.at), "assumed");
        assert_eq!(shown(&mut context, service.at), "s.toml:2:1 [path] path = \"é.yaml\"");
        assert_eq!(context.why_assumed(service.at), "");
    }
}
