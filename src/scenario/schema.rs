//! The kinds of values that keys take, and what a table of keys is.
//!
//! One table of keys (`keys`) serves the parser (`check`), `--set` (`overrides`), the merging of
//! base files (`merge`), `meshsim plan` (`origin`) and the JSON Schema (`json`).
//!
//! Source: ours.
//! Left out: conditions between keys ("not both"); the parser checks those where it lowers.

use super::keys;
use crate::plan::linkerd;
use crate::plan::parameter::{Parameter, TABLE, ValueKind};
use std::borrow::Cow;

/// A key of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: Default,
    pub(crate) meaning: &'static str,
}

/// What holds where a key is not given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Default {
    /// An error.
    Required,
    /// Nothing, or what the meaning says.
    None,
    /// This value.
    Is(&'static str),
    /// A parameter of the mesh.
    Parameter(&'static str),
}

/// What kind of value a key takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Any text but the empty one.
    Text,
    /// `250us`.
    Duration,
    /// `100mbps`.
    Bandwidth,
    /// `200rps`.
    Rate,
    /// `"5%"` or 0..1.
    Share,
    /// A whole number between these.
    Count(i64, i64),
    /// A number of at least 0.
    Number,
    /// `true` or `false`.
    Bool,
    /// One of these.
    Word(&'static [&'static str]),
    /// As the parameter of that name.
    Like(&'static str),
    /// A list of texts.
    Names,
    /// A text, or a list of texts.
    Paths,
    /// A text of one or more lines.
    Yaml,
    /// Such a text or a path, or a list of them.
    Manifests,
    /// A table of free names to texts.
    Labels,
    /// A table of free names to whole numbers.
    Weights,
    /// A weight as Kubernetes writes quantities: `1`, `"500m"`.
    Quantity,
    /// A table of free names to these.
    Quantities,
    /// A distribution of times.
    Distribution,
    /// When requests come.
    Arrivals,
    /// Paths and values, as `--set` takes them.
    Settings,
    /// A table.
    Table(Keys),
    /// An array of tables, told apart by that key if it is not empty.
    Tables(Keys, &'static str),
    /// A table, or an array of tables that are told apart by nothing.
    OneOrMany(Keys),
    /// A table; `true` for all its defaults, `false` for none.
    Switch(Keys),
    /// A table, or just a share.
    ShareOr(Keys),
}

/// The keys of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keys {
    /// These.
    Fixed(&'static [Key]),
    /// The mesh: `profile` and each group of parameters.
    Mesh,
    /// One group of parameters.
    Group(&'static str),
}

impl Keys {
    /// All of them.
    pub(crate) fn list(self) -> Cow<'static, [Key]> {
        match self {
            Self::Fixed(keys) => Cow::Borrowed(keys),
            Self::Mesh => {
                let mut list = vec![
                    keys::PROFILE,
                    keys::security::OF_MESH,
                    keys::identity::CA_OF_MESH,
                    keys::identity::TRUST_OF_MESH,
                    keys::discovery::OF_MESH,
                    keys::traffic::INTERNAL,
                ];
                for row in parameters() {
                    let (name, _) = row.name.split_once('.').expect("group.name");
                    if list.last().is_some_and(|last| last.name != name) {
                        list.push(Key {
                            name,
                            kind: Kind::Table(Self::Group(name)),
                            default: Default::None,
                            meaning: "parameters of the mesh",
                        });
                    }
                }
                Cow::Owned(list)
            }
            Self::Group(group) => {
                let of_group = |row: &'static Parameter| match row.name.split_once('.') {
                    Some((one, name)) if one == group => Some(Key {
                        name,
                        kind: Kind::Like(row.name),
                        default: Default::Parameter(row.name),
                        meaning: row.meaning,
                    }),
                    _ => None,
                };
                Cow::Owned(parameters().filter_map(of_group).collect())
            }
        }
    }

    /// The key of that name.
    pub(crate) fn find(self, name: &str) -> Option<Key> {
        self.list().iter().find(|key| key.name == name).copied()
    }
}

impl Kind {
    /// The keys below, where a path may go on by keys.
    pub(crate) fn keys(self) -> Option<Keys> {
        match self {
            Self::Table(keys)
            | Self::Tables(keys, _)
            | Self::OneOrMany(keys)
            | Self::Switch(keys)
            | Self::ShareOr(keys) => Some(keys),
            _ => None,
        }
    }
}

/// The rows of all parameters.
pub(crate) fn parameters() -> impl Iterator<Item = &'static Parameter> {
    TABLE.iter().chain(linkerd::TABLE)
}

/// The row of a parameter.
pub(crate) fn parameter(name: &str) -> &'static Parameter {
    parameters().find(|row| row.name == name).expect("the key table names parameters that exist")
}

/// What people call a value of this kind.
pub(crate) fn describe(kind: Kind) -> String {
    match kind {
        Kind::Text => "a text".to_owned(),
        Kind::Duration => "a duration such as \"1m30s\"".to_owned(),
        Kind::Rate => "a rate such as \"200rps\"".to_owned(),
        Kind::Bandwidth => "a bandwidth such as \"100mbps\"".to_owned(),
        Kind::Share => "a share such as \"5%\" or 0.05".to_owned(),
        Kind::Count(least, most) => format!("a whole number from {least} to {most}"),
        Kind::Number => "a number of at least 0".to_owned(),
        Kind::Bool => "true or false".to_owned(),
        Kind::Word(words) => format!("one of {}", words.join(", ")),
        Kind::Like(name) => match parameter(name).kind {
            ValueKind::Duration => describe(Kind::Duration),
            ValueKind::Share => describe(Kind::Share),
            ValueKind::Count => describe(Kind::Count(0, i64::from(u32::MAX))),
            ValueKind::Number => describe(Kind::Number),
            ValueKind::Bool => describe(Kind::Bool),
            ValueKind::Rate => "a rate such as \"200rps\" or \"2/h\"".to_owned(),
            ValueKind::Bytes => "a size such as \"512MiB\"".to_owned(),
            ValueKind::Word(words) => describe(Kind::Word(words)),
            ValueKind::RetryOn => "retry conditions such as [\"5xx\", \"reset\"]".to_owned(),
            ValueKind::Statuses => "a list of HTTP statuses".to_owned(),
        },
        Kind::Names => "a list of names".to_owned(),
        Kind::Paths => "a path or a list of paths".to_owned(),
        Kind::Yaml => "a text of YAML or JSON".to_owned(),
        Kind::Manifests => "a path, a list of paths, or a text of YAML".to_owned(),
        Kind::Labels => "a table of texts".to_owned(),
        Kind::Weights => "a table of weights such as { v1 = 90, v2 = 10 }".to_owned(),
        Kind::Quantity => "a weight such as 1 or \"500m\"".to_owned(),
        Kind::Quantities => {
            "a table of weights such as { web-v1 = 1, web-v2 = \"500m\" }".to_owned()
        }
        Kind::Distribution => {
            "a distribution such as \"4ms\" or { exponential = \"2ms\" }".to_owned()
        }
        Kind::Arrivals => "arrivals such as { poisson = \"100rps\" }".to_owned(),
        Kind::Settings => "a table of paths and values".to_owned(),
        Kind::Table(_) => "a table".to_owned(),
        Kind::Tables(..) => "an array of tables".to_owned(),
        Kind::OneOrMany(_) => "a table or an array of tables".to_owned(),
        Kind::Switch(_) => "true, false or a table".to_owned(),
        Kind::ShareOr(_) => "a share or a table".to_owned(),
    }
}
