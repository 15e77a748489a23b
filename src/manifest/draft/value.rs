//! Values of a draft: those of a scenario file, each with where it comes from.
//!
//! Source: TOML 1.0 (kinds of values); design/contract.md ("every assumed number marked `# assumed`").
//! Left out: dates, which no key of a scenario has.

use crate::manifest::source::At;
use std::borrow::Cow;

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Origin {
    /// It follows from what stands around it, and has no place of its own.
    #[default]
    Around,
    /// It is written in a manifest.
    Written(At),
    /// No manifest says it: why this value, in a few words.
    Assumed(Cow<'static, str>),
}

/// A value with its origin.
#[derive(Clone, PartialEq, Debug)]
pub struct Value {
    /// What it is.
    pub kind: Kind,
    /// Where it comes from.
    pub origin: Origin,
}

/// What a value is.
#[derive(Clone, PartialEq, Debug)]
pub enum Kind {
    /// A text; durations, rates and shares are texts with their unit.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// A list.
    List(Vec<Value>),
    /// A table.
    Table(Table),
}

/// Keys with values, in the order in which they were set.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Table {
    entries: Vec<(String, Value)>,
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Kind::Text(text.into()).into()
    }

    /// A whole number.
    pub fn integer(number: impl Into<i64>) -> Self {
        Kind::Integer(number.into()).into()
    }

    /// A number.
    pub fn float(number: f64) -> Self {
        Kind::Float(number).into()
    }

    /// `true` or `false`.
    pub fn bool(flag: bool) -> Self {
        Kind::Bool(flag).into()
    }

    /// A list.
    pub fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Kind::List(items.into_iter().collect()).into()
    }

    /// A duration in ns, with the greatest unit in which it is a whole number: `"1500ms"`, `"2s"`.
    pub fn duration(ns: u64) -> Self {
        let units = [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000)];
        let small = [("ms", 1_000_000), ("us", 1_000)];
        let mut all = units.into_iter().chain(small);
        let fitting = all.find(|(_, unit)| ns.is_multiple_of(*unit) && ns != 0);
        let (unit, count) = match (ns, fitting) {
            (0, _) => ("s", 0),
            (_, Some((unit, size))) => (unit, ns / size),
            (_, None) => ("ns", ns),
        };
        Self::text(format!("{count}{unit}"))
    }

    /// Written at a place in a manifest.
    #[must_use]
    pub fn at(mut self, at: At) -> Self {
        self.origin = Origin::Written(at);
        self
    }

    /// Written at a place if there is one.
    #[must_use]
    pub fn at_some(self, at: Option<At>) -> Self {
        match at {
            Some(at) => self.at(at),
            None => self,
        }
    }

    /// Assumed, and why.
    #[must_use]
    pub fn assumed(mut self, why: impl Into<Cow<'static, str>>) -> Self {
        self.origin = Origin::Assumed(why.into());
        self
    }
}

impl From<Kind> for Value {
    fn from(kind: Kind) -> Self {
        Self { kind, origin: Origin::Around }
    }
}

impl From<Table> for Value {
    fn from(table: Table) -> Self {
        Kind::Table(table).into()
    }
}

impl Table {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key, in place of one of that name.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<Value>) -> &mut Self {
        let (key, value) = (key.into(), value.into());
        match self.entries.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.entries.push((key, value)),
        }
        self
    }

    /// Sets a key if there is something to set.
    pub fn set_some(&mut self, key: &str, value: Option<Value>) -> &mut Self {
        if let Some(value) = value {
            self.set(key, value);
        }
        self
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The table below a key, made if there is none (and in place of anything else).
    pub fn below(&mut self, key: &str) -> &mut Self {
        let is_table = |value: &Value| matches!(value.kind, Kind::Table(_));
        let known = self.entries.iter().position(|(known, _)| known == key);
        let at = known.unwrap_or_else(|| {
            self.entries.push((key.to_owned(), Self::new().into()));
            self.entries.len() - 1
        });
        let value = &mut self.entries[at].1;
        if !is_table(value) {
            *value = Self::new().into();
        }
        match &mut value.kind {
            Kind::Table(table) => table,
            _ => unreachable!("it was made a table"),
        }
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_greatest_whole_unit() {
        let text = |ns| Value::duration(ns).kind;
        let is = |ns, wanted: &str| assert_eq!(text(ns), Kind::Text(wanted.to_owned()));
        is(0, "0s");
        is(1, "1ns");
        is(1_500_000_000, "1500ms");
        is(90_000_000_000, "90s");
        is(7_200_000_000_000, "2h");
    }

    #[test]
    fn keys_keep_their_order_and_are_there_once() {
        let mut table = Table::new();
        table.set("b", Value::integer(1)).set("a", Value::integer(2)).set("b", Value::integer(3));
        table.below("c").set("d", Value::bool(true));
        table.below("a").set("e", Value::bool(true));
        let keys: Vec<&str> = table.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["b", "a", "c"]);
        assert_eq!(table.get("b"), Some(&Value::integer(3)));
    }
}
