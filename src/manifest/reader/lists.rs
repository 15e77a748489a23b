//! The part of [`Reader`] for lists and maps within the map.
//!
//! Source: as in the parent module.
//! Left out: lists of lists, which no field that we read has.

use crate::manifest::node::{Entry, Node, Value};
use crate::manifest::object::Labels;
use crate::manifest::reader::{Reader, Word};

impl<'n> Reader<'n, '_> {
    /// A list of strings; empty if absent.
    pub fn texts(&mut self, name: &'static str) -> Vec<String> {
        self.words(name).into_iter().map(|word| word.text).collect()
    }

    /// A list of strings with their places; empty if absent.
    pub fn words(&mut self, name: &'static str) -> Vec<Word> {
        let Some(items) = self.items(name) else { return Vec::new() };
        let mut words = Vec::with_capacity(items.len());
        for (index, node) in items.iter().enumerate() {
            let path = format!("{}[{index}]", self.sub(name));
            if let Some(text) = self.text_of(node, &path) {
                words.push(Word { text, at: node.at });
            }
        }
        words
    }

    /// A map of strings, such as labels; empty if absent.
    pub fn labels(&mut self, name: &'static str) -> Labels {
        let Some(node) = self.raw(name) else { return Labels::new() };
        let path = self.sub(name);
        if !matches!(node.value, Value::Map(_)) {
            self.problem(node.at, format!("`{path}` must be a map, not {}", node.kind()), "");
        }
        let mut labels = Labels::new();
        for Entry { key, value, .. } in node.entries() {
            if let Some(text) = self.text_of(value, &format!("{path}.{key}")) {
                labels.insert(key.clone(), text);
            }
        }
        labels
    }

    /// A nested map, read by `read`; none if absent.
    pub fn map<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Reader<'_, '_>) -> T,
    ) -> Option<T> {
        let node = self.raw(name)?;
        let path = self.sub(name);
        Some(self.nested(node, path, read))
    }

    /// A list of maps, each read by `read`; empty if absent.
    pub fn list<T>(
        &mut self,
        name: &'static str,
        read: impl FnMut(&mut Reader<'_, '_>) -> T,
    ) -> Vec<T> {
        self.list_if(name, read).unwrap_or_default()
    }

    /// A list of maps; none if absent, which differs from an empty list.
    pub fn list_if<T>(
        &mut self,
        name: &'static str,
        mut read: impl FnMut(&mut Reader<'_, '_>) -> T,
    ) -> Option<Vec<T>> {
        let items = self.items(name)?;
        let mut list = Vec::with_capacity(items.len());
        for (index, node) in items.iter().enumerate() {
            let path = format!("{}[{index}]", self.sub(name));
            list.push(self.nested(node, path, &mut read));
        }
        Some(list)
    }

    /// A map whose keys the user chose (`data`, header names): `read` gets each key and a reader on
    /// each value, which must be a map.
    pub fn entries<T>(
        &mut self,
        name: &'static str,
        mut read: impl FnMut(&str, &mut Reader<'_, '_>) -> T,
    ) -> Vec<T> {
        let Some(node) = self.raw(name) else { return Vec::new() };
        let path = self.sub(name);
        let mut list = Vec::new();
        for Entry { key, value, .. } in node.entries() {
            let path = format!("{path}.{key}");
            list.push(self.nested(value, path, |reader| read(key, reader)));
        }
        list
    }

    /// Notes a problem if a list has more elements than the API allows.
    pub fn at_most(&mut self, name: &str, most: usize) {
        let Some(node) = self.node().get(name) else { return };
        let count = node.items().len();
        if let Some(first) = node.items().get(most) {
            let what =
                format!("`{}` has {count} elements, at most {most} are allowed", self.sub(name));
            self.problem(first.at, what, "the API server refuses this");
        }
    }

    fn nested<T>(
        &mut self,
        node: &Node,
        path: String,
        read: impl FnOnce(&mut Reader<'_, '_>) -> T,
    ) -> T {
        let mut reader = Reader::new(node, path, self.sources, self.findings);
        let value = read(&mut reader);
        reader.finish();
        value
    }

    fn items(&mut self, name: &'static str) -> Option<&'n [Node]> {
        let node = self.raw(name)?;
        if let Value::List(items) = &node.value {
            return Some(items);
        }
        let what = format!("`{}` must be a list, not {}", self.sub(name), node.kind());
        self.problem(node.at, what, "start each element with `- `");
        None
    }
}
