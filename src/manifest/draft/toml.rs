//! Drafts as text: TOML as a person would write it.
//!
//! What is assumed has `# assumed: why` behind it, on a line of its own; sections, services, workloads, routes and
//! filters have a line before them that says where they are declared. Tables are written inline where
//! they are short, else as dotted keys.
//! Source: TOML 1.0; design/contract.md ("every assumed number marked `# assumed`").
//! Left out: the sections that no manifest says (`[scenario]`, `[[event]]`, `[[assert]]`), which come with the head.

use crate::manifest::draft::Draft;
use crate::manifest::draft::value::{Kind, Origin, Table, Value};
use crate::manifest::source::{At, Sources};
use std::fmt::Write as _;

/// Columns up to which a table or a list stays in one line.
const WIDTH_MAX: usize = 96;

/// How deep values are nested at most; no scenario has more than eight levels.
const DEPTH_MAX: usize = 24;

/// Lists whose tables get a `[[section.key]]` each.
const ARRAYS: [&str; 4] = ["subsets", "workload", "route", "filter"];

/// A draft as the text of a scenario file, after a head that is taken as it is.
pub fn text(draft: &Draft<'_>, sources: &Sources, head: &str) -> String {
    let mut root = draft.root();
    if !draft.traffic.is_empty() {
        root.set("traffic", Value::list(draft.traffic.iter().cloned().map(Value::from)));
    }
    of_table(&root, sources, head)
}

/// The sections of a table as text, after a head that is taken as it is.
pub fn of_table(root: &Table, sources: &Sources, head: &str) -> String {
    let mut writer = Writer { sources, out: head.trim_end().to_owned() };
    if !writer.out.is_empty() {
        writer.out.push('\n');
    }
    for (name, value) in root.iter() {
        match &value.kind {
            Kind::Table(table) => writer.section(&key(name), table, None, false),
            Kind::List(items) => writer.sections(&key(name), items),
            _ => {}
        }
    }
    writer.out
}

struct Writer<'s> {
    sources: &'s Sources,
    out: String,
}

impl Writer<'_> {
    /// `[[path]]` for each table of a list.
    fn sections(&mut self, path: &str, items: &[Value]) {
        for item in items {
            if let Kind::Table(table) = &item.kind {
                self.section(path, table, place(item), true);
            }
        }
    }

    fn section(&mut self, path: &str, table: &Table, at: Option<At>, is_array: bool) {
        let is_nested = path.contains('.');
        if !(self.out.is_empty() || is_nested && self.out.ends_with("]]\n")) {
            self.out.push('\n');
        }
        if let Some(at) = at {
            let place = comment(&self.sources.short(at));
            let _ = writeln!(self.out, "# {place}");
        }
        let _ = if is_array {
            writeln!(self.out, "[[{path}]]")
        } else {
            writeln!(self.out, "[{path}]")
        };
        let mut later = Vec::new();
        for (name, value) in table.iter() {
            match &value.kind {
                Kind::List(items) if is_array && !is_nested && is_section(name, items) => {
                    later.push((name, items));
                }
                _ => self.entry(&key(name), value, path == "mesh", 0),
            }
        }
        for (name, items) in later {
            self.sections(&format!("{path}.{}", key(name)), items);
        }
    }

    /// `name = value`, opened to dotted keys and lines of its own where it is long or assumed in part.
    fn entry(&mut self, name: &str, value: &Value, is_opened: bool, depth: usize) {
        let line = format!("{name} = {}", inline(value, depth));
        let is_short = line.chars().count() <= WIDTH_MAX;
        match &value.kind {
            Kind::Table(table)
                if depth < DEPTH_MAX
                    && !table.is_empty()
                    && (is_opened || !is_short || has_assumed_inside(value, depth)) =>
            {
                let told = assumed(value);
                if !told.is_empty() {
                    let _ = writeln!(self.out, "{}", told.trim_start());
                }
                for (own, value) in table.iter() {
                    self.entry(&format!("{name}.{}", key(own)), value, is_opened, depth + 1);
                }
            }
            Kind::List(items)
                if !items.is_empty()
                    && (!is_short || items.iter().any(|item| has_assumed(item, depth))) =>
            {
                let _ = writeln!(self.out, "{name} = [{}", assumed(value));
                for item in items {
                    let told = assumed_inside(item, depth);
                    let _ = writeln!(self.out, "  {},{told}", inline(item, depth));
                }
                self.out.push_str("]\n");
            }
            _ => {
                let _ = writeln!(self.out, "{line}{}", assumed(value));
            }
        }
    }
}

/// Whether a list has a section for each of its tables.
fn is_section(name: &str, items: &[Value]) -> bool {
    let is_table = |item: &Value| matches!(item.kind, Kind::Table(_));
    ARRAYS.contains(&name) && !items.is_empty() && items.iter().all(is_table)
}

/// Where a table is declared: its own place, else that of its name, else the first place in it.
fn place(value: &Value) -> Option<At> {
    let own = written(value);
    let Kind::Table(table) = &value.kind else { return own };
    let named = || table.get("name").and_then(written);
    own.or_else(named).or_else(|| first_place(value, 0))
}

fn written(value: &Value) -> Option<At> {
    match value.origin {
        Origin::Written(at) => Some(at),
        _ => None,
    }
}

fn first_place(value: &Value, depth: usize) -> Option<At> {
    let below =
        |inner: &Value| (depth < DEPTH_MAX).then(|| first_place(inner, depth + 1)).flatten();
    written(value).or_else(|| match &value.kind {
        Kind::List(items) => items.iter().find_map(below),
        Kind::Table(table) => table.iter().find_map(|(_, value)| below(value)),
        _ => None,
    })
}

/// Whether something in it is assumed, itself included.
fn has_assumed(value: &Value, depth: usize) -> bool {
    matches!(value.origin, Origin::Assumed(_)) || has_assumed_inside(value, depth)
}

/// Whether something in it is assumed, by itself.
fn has_assumed_inside(value: &Value, depth: usize) -> bool {
    let below = |inner: &Value| depth < DEPTH_MAX && has_assumed(inner, depth + 1);
    match &value.kind {
        Kind::List(items) => items.iter().any(below),
        Kind::Table(table) => table.iter().any(|(_, value)| below(value)),
        _ => false,
    }
}

/// ` # assumed: why`, or nothing.
fn assumed(value: &Value) -> String {
    match &value.origin {
        Origin::Assumed(why) => format!(" # assumed: {}", comment(why)),
        _ => String::new(),
    }
}

/// The same for a value in one line of which only a part may be assumed: the comment says which.
fn assumed_inside(value: &Value, depth: usize) -> String {
    let mut told = Vec::new();
    tell(value, "", depth, &mut told);
    if told.is_empty() { String::new() } else { format!(" # assumed: {}", told.join("; ")) }
}

fn tell(value: &Value, path: &str, depth: usize, told: &mut Vec<String>) {
    if let Origin::Assumed(why) = &value.origin {
        let why = comment(why);
        told.push(if path.is_empty() { why } else { format!("{} ({why})", comment(path)) });
        return;
    }
    if DEPTH_MAX <= depth {
        return;
    }
    match &value.kind {
        Kind::List(items) => items.iter().for_each(|item| tell(item, path, depth + 1, told)),
        Kind::Table(table) => {
            for (name, value) in table.iter() {
                let dot = if path.is_empty() { "" } else { "." };
                tell(value, &format!("{path}{dot}{}", key(name)), depth + 1, told);
            }
        }
        _ => {}
    }
}

/// A value in one line.
fn inline(value: &Value, depth: usize) -> String {
    match &value.kind {
        Kind::Text(text) => quoted(text),
        Kind::Integer(number) => number.to_string(),
        Kind::Float(number) if number.is_nan() => "nan".to_owned(),
        Kind::Float(number) => format!("{number:?}"),
        Kind::Bool(flag) => flag.to_string(),
        Kind::List(_) | Kind::Table(_) if DEPTH_MAX <= depth => "{}".to_owned(),
        Kind::List(items) => {
            let items: Vec<String> = items.iter().map(|item| inline(item, depth + 1)).collect();
            format!("[{}]", items.join(", "))
        }
        Kind::Table(table) if table.is_empty() => "{}".to_owned(),
        Kind::Table(table) => {
            let entry = |(name, value)| format!("{} = {}", key(name), inline(value, depth + 1));
            let entries: Vec<String> = table.iter().map(entry).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

/// A key, in quotes where TOML needs them.
fn key(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(is_plain) { name.to_owned() } else { quoted(name) }
}

/// A basic string.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A text that may stand in a comment: in one line, without control characters.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(root: &Table) -> String {
        let mut sources = Sources::default();
        sources.add("shop.yaml", b"a: 1\nb: 2\n").unwrap();
        of_table(root, &sources, "# A shop.\n[scenario]\nduration = \"1m\"\n\n")
    }

    fn at(line: u32) -> At {
        At { source: 0, line, column: 1, width: 1 }
    }

    #[test]
    fn sections_comments_and_assumptions_stand_where_a_person_would_write_them() {
        let mut root = Table::new();
        let mesh = root.below("mesh");
        mesh.set("profile", Value::text("istio-sidecar").assumed("no istiod is there"));
        mesh.below("istiod").set("replicas", Value::integer(2).at(at(1)));
        let mut service = Table::new();
        service.set("name", Value::text("web.shop").at(at(2)));
        service.set("workload", Value::list([]));
        let mut retries = Table::new();
        retries.set("attempts", Value::integer(2)).set("on", Value::list([Value::text("5xx")]));
        service.set("retries", retries);
        service.below("circuit_breaker").set("max_pending", Value::integer(1).assumed("a guess"));
        let mut route = Table::new();
        route.below("weights").set("web/v1", Value::integer(90).at(at(2)));
        service.set("route", Value::list([route.into()]));
        let mut call = Table::new();
        call.set("to", Value::text("db")).set("probability", Value::float(1.0).assumed("all do"));
        let mut workload = Table::new();
        workload.set("version", Value::text("v1")).set("calls", Value::list([call.into()]));
        let mut other = Table::new();
        other.set("name", Value::text("db"));
        other.set("workload", Value::list([workload.into()]));
        root.set("service", Value::list([service.into(), other.into()]));
        let wanted = "\
# A shop.
[scenario]
duration = \"1m\"

[mesh]
profile = \"istio-sidecar\" # assumed: no istiod is there
istiod.replicas = 2

# shop.yaml:2
[[service]]
name = \"web.shop\"
workload = []
retries = { attempts = 2, on = [\"5xx\"] }
circuit_breaker.max_pending = 1 # assumed: a guess

# shop.yaml:2
[[service.route]]
weights = { \"web/v1\" = 90 }

[[service]]
name = \"db\"

[[service.workload]]
version = \"v1\"
calls = [
  { to = \"db\", probability = 1.0 }, # assumed: probability (all do)
]
";
        assert_eq!(text_of(&root), wanted);
    }

    #[test]
    fn hostile_texts_stay_inside_their_quotes_and_comments() {
        assert_eq!(
            quoted("a\"b\\c\nd\te\u{0}\u{7f}\u{85}é"),
            "\"a\\\"b\\\\c\\nd\\te\\u0000\\u007F\\u0085é\""
        );
        assert_eq!(key("a-b_C9"), "a-b_C9");
        assert_eq!(key(""), "\"\"");
        assert_eq!(key("a.b"), "\"a.b\"");
        assert_eq!(key("é = 1\n[x]"), "\"é = 1\\n[x]\"");
        let value = Value::integer(1).assumed("one\n[[event]]\r\u{0}");
        assert_eq!(assumed(&value), " # assumed: one [[event]]  ");
        assert_eq!(inline(&Value::float(1e21), 0), "1e21");
        assert_eq!(inline(&Value::float(f64::NAN), 0), "nan");
        assert_eq!(inline(&Value::float(f64::NEG_INFINITY), 0), "-inf");
    }

    #[test]
    fn values_of_any_depth_end() {
        let mut value = Value::integer(1).assumed("deep");
        for _ in 0..2_000 {
            value = Value::list([value]);
        }
        let mut root = Table::new();
        root.below("mesh").set("deep", value);
        assert!(text_of(&root).len() < 1_000);
        // Dropped by hand: what drops itself would need as many frames as levels.
        std::mem::forget(root);
    }

    #[test]
    fn long_lists_and_tables_take_a_line_an_entry() {
        let mut root = Table::new();
        let mesh = root.below("filter");
        let words = (0..12).map(|n| Value::text(format!("word-number-{n}")));
        mesh.set("all", Value::list(words));
        let long = mesh.below("long");
        for n in 0..9 {
            long.set(format!("x.{n}"), Value::text("a text of some length"));
        }
        let text = text_of(&root);
        assert!(text.contains("all = [\n  \"word-number-0\",\n"), "{text}");
        assert!(text.contains("long.\"x.0\" = \"a text of some length\"\n"), "{text}");
    }
}
