//! Origins: every value of the resolved scenario with where it comes from.
//!
//! Source: the key table, walked along with the document.
//! Left out: keys without a default that are not given.

use super::Origin;
use super::context::Context;
use super::document::{Entry, Node, Value};
use super::keys::ROOT;
use super::schema::{Default, Keys, Kind, parameter};
use crate::plan::Plan;
use crate::plan::profile;

/// Walks the document.
pub(crate) fn origins(context: &Context<'_>, root: &Node, plan: &Plan) -> Vec<Origin> {
    let asked = root.get("mesh").and_then(|mesh| mesh.text("profile"));
    let asked = asked.unwrap_or("istio-sidecar");
    let changed = profile::parameters(asked);
    let mut changed = changed.map_or_else(|_| Vec::new(), |(_, _, changed)| changed);
    changed.extend(profile::own_parameters(asked).into_iter().flat_map(|(_, changed)| changed));
    let mut walk = Walk { context, plan, changed, found: Vec::new() };
    walk.table("", root, ROOT);
    walk.found
}

struct Walk<'w> {
    context: &'w Context<'w>,
    plan: &'w Plan,
    /// Parameters that the profile changes, with the source of each.
    changed: Vec<(&'static str, &'static str)>,
    found: Vec<Origin>,
}

impl Walk<'_> {
    fn table(&mut self, path: &str, table: &Node, keys: Keys) {
        for key in keys.list().iter() {
            let path =
                if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
            match (table.entry(key.name), key.kind) {
                (Some(entry), kind) => self.given(&path, entry, kind),
                // The mesh's parameters hold even where there is no [mesh].
                (None, Kind::Table(keys @ (Keys::Mesh | Keys::Group(_))))
                    if path.starts_with("mesh") =>
                {
                    let value = Value::Table(Vec::new());
                    self.table(&path, &Node { at: table.at, value }, keys);
                }
                (None, _) => self.default(path, key.default),
            }
        }
    }

    fn given(&mut self, path: &str, entry: &Entry, kind: Kind) {
        match (kind, &entry.node.value) {
            (Kind::Tables(keys, identity), Value::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let name = item.text(identity).map(quoted);
                    let path = match (identity, name) {
                        // As in --set: service.reviews.v2, service.reviews.
                        ("version", Some(name)) => {
                            let service = path.trim_end_matches(".workload");
                            format!("{service}.{name}")
                        }
                        ("version", None) => path.trim_end_matches(".workload").to_owned(),
                        (_, Some(name)) => format!("{path}.{name}"),
                        (_, None) => format!("{path}[{index}]"),
                    };
                    self.table(&path, item, keys);
                }
            }
            (
                Kind::Table(keys)
                | Kind::Switch(keys)
                | Kind::ShareOr(keys)
                | Kind::OneOrMany(keys),
                Value::Table(_),
            ) => self.table(path, &entry.node, keys),
            _ => {
                let from = self.context.file_and_line(entry.at);
                let source = self.context.why_assumed(entry.node.at).to_owned();
                let (key, value) = (path.to_owned(), entry.node.print());
                self.found.push(Origin { key, value, from, source });
            }
        }
    }

    fn default(&mut self, key: String, default: Default) {
        let own = |value: &str| (value.to_owned(), "default".to_owned(), "meshsim".to_owned());
        let (value, from, source) = match (default, key.as_str()) {
            (Default::Is(_), "mesh.profile") => own(&self.plan.profile),
            (_, "scenario.interval") => own(&self.plan.interval.to_string()),
            (Default::Is(value), _) => own(value),
            (Default::Parameter(name), _) => {
                let Some(value) = self.plan.parameter(name) else { return };
                if key.strip_prefix("mesh.") != Some(name) {
                    // Of a service: the mesh's value, whose own origin stands there.
                    let (from, source) = (format!("mesh.{name}"), String::new());
                    return self.found.push(Origin { key, value, from, source });
                }
                match self.changed.iter().find(|(changed, _)| *changed == name) {
                    Some((_, source)) => {
                        (value, format!("profile {}", self.plan.profile), (*source).to_owned())
                    }
                    None => (value, "default".to_owned(), parameter(name).source.to_owned()),
                }
            }
            (Default::None | Default::Required, _) => return,
        };
        self.found.push(Origin { key, value, from, source });
    }
}

/// A segment of a path, quoted if it holds a dot.
fn quoted(name: &str) -> String {
    if name.contains(['.', '[']) { format!("\"{name}\"") } else { name.to_owned() }
}
