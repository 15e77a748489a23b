//! What events ask of manifests: the keys of `apply`, `delete` and `patch`.
//!
//! YAML stands in files, or in the event itself. What is wrong with the latter is told at its line of the
//! scenario: it is read with as many empty lines before it as the file has.
//!
//! Source: docs/scenarios.md.
//! Left out: places in texts with escapes (told by their own lines).

use super::super::context::{Context, Fault};
use super::super::document::{At, Node, Value};
use crate::manifest::change::merge::has_strategic;
use crate::manifest::change::reference::find;
use crate::manifest::change::{Change, Kind, Trouble, read_patch};
use crate::manifest::node;
use crate::manifest::object::{Id, Manifests, Object};

/// What an event asks for.
pub(super) struct Asked {
    /// `apply`, `delete` or `patch`.
    pub(super) does: &'static str,
    /// Where it says what it is about.
    pub(super) at: At,
    what: What,
}

enum What {
    Apply(Vec<Object>),
    /// Objects of files, and those that are named.
    Delete(Vec<Id>, Vec<(At, String)>),
    Patch {
        object: (At, String),
        kind: Option<Kind>,
        patch: node::Node,
    },
}

impl Asked {
    /// The change of a set; or what is wrong with it, and where in the event.
    pub(super) fn change(&self, set: &Manifests) -> Result<Change, (At, Trouble)> {
        let of_name =
            |(at, text): &(At, String)| find(&set.objects, text).map_err(|trouble| (*at, trouble));
        match &self.what {
            What::Apply(objects) => Ok(Change::Apply(objects.clone())),
            What::Delete(ids, names) => {
                let mut all = ids.clone();
                for name in names {
                    all.push(of_name(name)?);
                }
                all.dedup();
                match all.iter().find(|id| set.find(id).is_none()) {
                    Some(id) => {
                        let what = format!("there is no {id} at that time");
                        Err((
                            self.at,
                            Trouble::new(what, "it was never applied, or is gone already"),
                        ))
                    }
                    None => Ok(Change::Delete(all)),
                }
            }
            What::Patch { object, kind, patch } => {
                let id = of_name(object)?;
                let usual = if has_strategic(&id.group) { Kind::Strategic } else { Kind::Merge };
                let (kind, patch) = (kind.unwrap_or(usual), patch.clone());
                Ok(Change::Patch { object: id, kind, patch })
            }
        }
    }
}

/// Reads what an event asks for; none if something is wrong. Its texts are added to those of the set.
pub(super) fn read(context: &mut Context<'_>, set: &mut Manifests, event: &Node) -> Option<Asked> {
    match event.text("do")? {
        "apply" => {
            let node = needed(context, event, "manifests", "manifests = \"canary.yaml\"")?;
            let objects = objects(context, set, node)?;
            Some(Asked { does: "apply", at: node.at, what: What::Apply(objects) })
        }
        "delete" => delete(context, set, event),
        _ => patch(context, set, event),
    }
}

fn needed<'n>(
    context: &mut Context<'_>,
    event: &'n Node,
    key: &str,
    example: &str,
) -> Option<&'n Node> {
    let node = event.get(key);
    if node.is_none() {
        let does = event.text("do").unwrap_or_default();
        context.report(Fault::new(event.at, format!("`{does}` needs `{key}`")).hint(example));
    }
    node
}

fn delete(context: &mut Context<'_>, set: &mut Manifests, event: &Node) -> Option<Asked> {
    let (files, named) = (event.get("manifests"), event.get("objects"));
    let Some(first) = files.or(named) else {
        let hint = "objects = [\"virtualservice/shop/cart\"], or the manifests that applied them";
        let fault = Fault::new(event.at, "`delete` needs `objects` or `manifests`");
        context.report(fault.hint(hint));
        return None;
    };
    let of_files = match files {
        Some(node) => objects(context, set, node)?,
        None => Vec::new(),
    };
    let ids: Vec<Id> = of_files.into_iter().map(|object| object.id).collect();
    let named = named.map_or(&[][..], Node::items);
    let named: Vec<(At, String)> =
        named.iter().filter_map(|node| Some((node.at, node.as_text()?.to_owned()))).collect();
    if ids.is_empty() && named.is_empty() {
        let fault = Fault::new(first.at, "nothing is deleted");
        context.report(fault.hint("objects = [\"virtualservice/shop/cart\"]"));
        return None;
    }
    Some(Asked { does: "delete", at: first.at, what: What::Delete(ids, named) })
}

fn patch(context: &mut Context<'_>, set: &mut Manifests, event: &Node) -> Option<Asked> {
    let node = needed(context, event, "object", "object = \"deployment/shop/cart\"")?;
    let object = (node.at, node.as_text()?.to_owned());
    let kind = event.text("type").map(|word| match word {
        "json" => Kind::Json,
        "strategic" => Kind::Strategic,
        _ => Kind::Merge,
    });
    let (inline, file) = (event.get("patch"), event.get("patch_file"));
    let (name, text) = match (inline, file) {
        (Some(_), Some(file)) => {
            let fault = Fault::new(file.at, "`patch` and `patch_file` exclude each other");
            context.report(fault.hint("keep one of them"));
            return None;
        }
        (Some(inline), None) => written(context, inline)?,
        (None, Some(file)) => {
            let path = file.as_text()?.to_owned();
            match context.read_data(file.at, &path) {
                Ok(text) => (path, text),
                Err(why) => {
                    let what = format!("`{path}` cannot be read: {why}");
                    context.report(Fault::new(file.at, what));
                    return None;
                }
            }
        }
        (None, None) => {
            let fault = Fault::new(event.at, "`patch` needs `patch` or `patch_file`");
            context.report(fault.hint("patch = \"{spec: {replicas: 3}}\""));
            return None;
        }
    };
    let patch = read_patch(set, &name, text.as_bytes())?;
    Some(Asked { does: "patch", at: node.at, what: What::Patch { object, kind, patch } })
}

/// The objects of paths, or of a text that is YAML itself.
fn objects(context: &mut Context<'_>, set: &mut Manifests, node: &Node) -> Option<Vec<Object>> {
    let texts = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let begun = set.findings.problems.len();
    let mut objects: Vec<Object> = Vec::new();
    for one in texts {
        let text = one.as_text()?;
        let files = if is_yaml(text) {
            let (name, text) = written(context, one)?;
            vec![(name, text.into_bytes())]
        } else {
            match context.read_manifests(one.at, text) {
                Ok(files) => files,
                Err(why) => {
                    let what = format!("the manifests `{text}` cannot be read: {why}");
                    context.report(Fault::new(one.at, what));
                    return None;
                }
            }
        };
        for (name, bytes) in files {
            for object in set.read_more(&name, &bytes) {
                objects.retain(|known| known.id != object.id);
                objects.push(object);
            }
        }
    }
    if begun != set.findings.problems.len() {
        return None;
    }
    if objects.is_empty() {
        let fault = Fault::new(node.at, "there is no object of a kind that is simulated in it");
        context.report(fault.hint("docs/manifests.md lists the kinds"));
        return None;
    }
    Some(objects)
}

/// Whether a text is YAML and no path.
fn is_yaml(text: &str) -> bool {
    text.contains('\n') || text.trim_start().starts_with('{') || text.contains(": ")
}

/// A text in an event, so that its places are those of the scenario's file, and the file's name.
fn written(context: &Context<'_>, node: &Node) -> Option<(String, String)> {
    let text = node.as_text()?;
    let name = context.sources[node.at.source as usize].name.clone();
    let Some((line, column)) = context.begin_of_text(node) else {
        return Some((name, text.to_owned()));
    };
    let mut padded = "\n".repeat(line - 1);
    // Spaces before the first of several lines would be a part of what it says.
    if !text.trim_end().contains('\n') {
        padded.push_str(&" ".repeat(column - 1));
    }
    padded.push_str(text);
    Some((name, padded))
}
