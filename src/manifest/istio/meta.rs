//! What all of Istio's kinds share: the head of an object, `exportTo`, and who is older.
//!
//! Source: istio/istio `pilot/pkg/model/config.go` (`sortConfigByCreationTime`: creation time, then
//! name, then namespace; an object without a time counts as oldest), `pkg/config/visibility`.
//! Left out: revisions (`istio.io/rev` labels): all objects are taken to belong to one control plane.

use crate::manifest::object::{Labels, Object};
use crate::manifest::reader::{Reader, Word};
use crate::manifest::source::At;
use std::cmp::Ordering;

/// Who an object is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Head {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// When it was made, RFC 3339.
    pub created: Option<String>,
    /// Where its name is.
    pub at: At,
}

impl Head {
    /// The head of an object.
    pub fn of(object: &Object) -> Self {
        Self {
            namespace: object.id.namespace.clone(),
            name: object.id.name.clone(),
            labels: object.labels.clone(),
            annotations: object.annotations.clone(),
            created: object.created.clone(),
            at: object.name_at,
        }
    }

    /// `namespace/name`.
    pub fn full(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The order in which Istio takes objects: by age, then name, then namespace.
    pub fn age_order(&self, other: &Self) -> Ordering {
        (&self.created, &self.name, &self.namespace).cmp(&(
            &other.created,
            &other.name,
            &other.namespace,
        ))
    }
}

/// To which namespaces an object is visible.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExportTo {
    /// `*`, `.`, `~` or names of namespaces; empty: the mesh's default.
    pub list: Vec<Word>,
}

impl ExportTo {
    /// Reads `exportTo` with its rules.
    pub fn read(reader: &mut Reader<'_, '_>, owner: &str) -> Self {
        let list = reader.words("exportTo");
        let wide = list.iter().any(|word| word.text == "*");
        let none = list.iter().any(|word| word.text == "~");
        if list.len() > 1 && (wide || none) {
            let at = list[0].at;
            let what = "`exportTo` has `*` or `~` besides others; it must stand alone";
            reader.problem(at, what, "keep only one of them");
        }
        for (index, word) in list.iter().enumerate() {
            let special = matches!(word.text.as_str(), "*" | "." | "~");
            if !special && !super::check::is_label(&word.text) {
                let what = format!("`exportTo` has `{}`, which is no namespace", word.text);
                reader.problem(word.at, what, "`*`, `.` or the name of a namespace");
            }
            let same = |other: &Word| {
                other.text == word.text
                    || (word.text == "." && other.text == owner)
                    || (word.text == owner && other.text == ".")
            };
            if list[..index].iter().any(same) {
                let what = format!("`exportTo` names `{}` twice", word.text);
                reader.problem(word.at, what, "");
            }
        }
        Self { list }
    }

    /// Whether an object of the namespace `owner` is visible in `client`.
    pub fn reaches(&self, owner: &str, client: &str, default: &[String]) -> bool {
        let reaches = |text: &str| match text {
            "*" => true,
            "." => owner == client,
            "~" => false,
            name => name == client,
        };
        if self.list.is_empty() {
            return default.is_empty() || default.iter().any(|text| reaches(text));
        }
        self.list.iter().any(|word| reaches(&word.text))
    }

    /// Whether it is visible in every namespace.
    pub fn is_public(&self) -> bool {
        self.list.is_empty() || self.list.iter().any(|word| word.text == "*")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(texts: &[&str]) -> ExportTo {
        let word = |text: &&str| Word { text: (*text).to_owned(), at: At::default() };
        ExportTo { list: texts.iter().map(word).collect() }
    }

    #[test]
    fn export_to_says_who_sees_it() {
        assert!(export(&[]).reaches("a", "b", &[]));
        assert!(!export(&[]).reaches("a", "b", &[".".to_owned()]));
        assert!(export(&["."]).reaches("a", "a", &[]) && !export(&["."]).reaches("a", "b", &[]));
        assert!(export(&["b", "c"]).reaches("a", "c", &[]));
        assert!(!export(&["~"]).reaches("a", "a", &[]));
        assert!(export(&["*"]).is_public() && !export(&["b"]).is_public());
    }

    #[test]
    fn the_older_comes_first_and_names_break_ties() {
        let head = |created: Option<&str>, name: &str| Head {
            created: created.map(str::to_owned),
            name: name.to_owned(),
            ..Head::default()
        };
        let mut heads = [
            head(Some("2024-01-02T00:00:00Z"), "a"),
            head(Some("2024-01-01T00:00:00Z"), "z"),
            head(None, "c"),
            head(Some("2024-01-01T00:00:00Z"), "b"),
        ];
        heads.sort_by(Head::age_order);
        let names: Vec<&str> = heads.iter().map(|head| head.name.as_str()).collect();
        assert_eq!(names, ["c", "b", "z", "a"]);
    }
}
