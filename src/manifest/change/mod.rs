//! Changes of a set of objects, as `kubectl` makes them: `apply`, `delete`, `patch`.
//!
//! A set is objects with their texts; a change makes another set of it and says what became of each object.
//! `reference` finds the objects that are meant, `merge` and `pointer` have the kinds of patches.
//! Source: `kubectl apply`, `delete` and `patch`; the Kubernetes API's concepts of updates.
//! Left out: three-way merging (`apply` replaces the object: fields that others have set are not kept);
//! finalizers, owners and what is deleted with them.

pub mod merge;
pub mod pointer;
pub mod reference;

use crate::manifest::findings::Findings;
use crate::manifest::node::{Node, Value};
use crate::manifest::object::{Id, Manifests, Object};
use crate::manifest::source::{At, DOCUMENTS_MAX};
use crate::manifest::yaml;
use crate::plan::problem::Problem;

/// A change.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// Objects come, in place of those of the same names.
    Apply(Vec<Object>),
    /// Objects go.
    Delete(Vec<Id>),
    /// A part of an object changes.
    Patch {
        /// The object.
        object: Id,
        /// How the patch is read.
        kind: Kind,
        /// The patch.
        patch: Node,
    },
}

/// Kinds of patches, as `kubectl patch --type` has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// RFC 7386.
    Merge,
    /// RFC 7386 but for lists, whose elements are found by a key.
    Strategic,
    /// RFC 6902.
    Json,
}

/// What becomes of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// It was not there before.
    Added,
    /// It says something else.
    Changed,
    /// It says what it said before.
    Same,
    /// It is gone.
    Removed,
}

/// What is wrong with a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// Where, if it is in a manifest.
    pub at: Option<At>,
    /// What.
    pub what: String,
    /// What would help; may be empty.
    pub hint: String,
}

impl Trouble {
    /// Something wrong with a change as a whole.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { at: None, what: what.into(), hint: hint.into() }
    }

    /// At a place.
    #[must_use]
    pub fn at(mut self, at: At) -> Self {
        self.at = Some(at);
        self
    }
}

/// Makes a change; what becomes of each object, in the order in which the change names them. In trouble nothing changes.
pub fn make(set: &mut Manifests, change: &Change) -> Result<Vec<(Id, Effect)>, Trouble> {
    match change {
        Change::Apply(objects) => Ok(objects.iter().map(|one| apply(set, one)).collect()),
        Change::Delete(ids) => {
            if let Some(missing) = ids.iter().find(|id| set.find(id).is_none()) {
                return Err(not_there(missing));
            }
            set.objects.retain(|one| !ids.contains(&one.id));
            Ok(ids.iter().map(|id| (id.clone(), Effect::Removed)).collect())
        }
        Change::Patch { object, kind, patch } => {
            let effect = patch_one(set, object, *kind, patch)?;
            Ok(vec![(object.clone(), effect)])
        }
    }
}

/// What stands in an object where another one of its name would replace it: what the pods of a workload are
/// made from.
pub fn template(object: &Object) -> Option<&Node> {
    let has_pods = matches!(object.id.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet");
    let spec = object.node.get("spec").filter(|_| object.id.group == "apps" && has_pods);
    spec?.get("template")
}

/// Reads a patch: one document, YAML or JSON. What is wrong with it is among the findings.
pub fn read_patch(set: &mut Manifests, name: &str, bytes: &[u8]) -> Option<Node> {
    let Manifests { sources, findings, .. } = set;
    let source = match sources.add(name, bytes) {
        Ok(source) => source,
        Err(problem) => {
            findings.problems.push(problem);
            return None;
        }
    };
    let pieces = sources.get(source)?.pieces();
    let parsed: Vec<_> =
        pieces.into_iter().take(DOCUMENTS_MAX).map(|piece| yaml::parse(source, piece)).collect();
    let mut documents = Vec::new();
    let mut is_broken = false;
    for piece in parsed {
        for fault in piece.faults {
            is_broken = true;
            findings.problem(sources, fault.at, fault.what, &fault.hint.unwrap_or_default());
        }
        documents.extend(piece.documents);
    }
    let begin = At { source, line: 1, column: 1, width: 1 };
    match (documents.len(), is_broken) {
        (_, true) => None,
        (1, _) => documents.pop(),
        (0, _) => {
            findings.problem(sources, begin, "the patch is empty", "such as {spec: {replicas: 3}}");
            None
        }
        (more, _) => {
            let at = documents[1].at;
            findings.problem(
                sources,
                at,
                format!("{more} documents in one patch"),
                "one patch an event",
            );
            None
        }
    }
}

/// What one set has in its findings and another has not.
pub fn news(findings: &Findings, known: &Findings) -> Findings {
    let new = |all: &[Problem], old: &[Problem]| -> Vec<Problem> {
        all.iter().filter(|one| !old.contains(one)).cloned().collect()
    };
    let mut ignored = findings.ignored.clone();
    ignored.retain(|field, _| !known.ignored.contains_key(field));
    let mut not_modelled = findings.not_modelled.clone();
    not_modelled.retain(|kind, _| !known.not_modelled.contains_key(kind));
    Findings {
        problems: new(&findings.problems, &known.problems),
        warnings: new(&findings.warnings, &known.warnings),
        ignored,
        not_modelled,
    }
}

fn not_there(id: &Id) -> Trouble {
    Trouble::new(format!("there is no {id} at that time"), "it must have been applied before")
}

fn apply(set: &mut Manifests, object: &Object) -> (Id, Effect) {
    let Some(old) = set.objects.iter_mut().find(|one| one.id == object.id) else {
        set.objects.push(object.clone());
        return (object.id.clone(), Effect::Added);
    };
    let effect = if old.node.says(&object.node) { Effect::Same } else { Effect::Changed };
    let created = old.created.take();
    *old = object.clone();
    // It keeps its age, by which meshes sort.
    old.created = old.created.take().or(created);
    (object.id.clone(), effect)
}

fn patch_one(set: &mut Manifests, id: &Id, kind: Kind, patch: &Node) -> Result<Effect, Trouble> {
    let Some(place) = set.objects.iter().position(|one| one.id == *id) else {
        return Err(not_there(id));
    };
    let old = &set.objects[place];
    let mut node = old.node.clone();
    match kind {
        Kind::Json => pointer::patch(&mut node, patch)?,
        Kind::Merge | Kind::Strategic if !matches!(patch.value, Value::Map(_)) => {
            let what = format!("a patch of an object is a map, this is {}", patch.kind());
            let hint = match patch.value {
                Value::List(_) => "type = \"json\" reads a list of operations",
                _ => "such as {spec: {replicas: 3}}",
            };
            return Err(Trouble::new(what, hint).at(patch.at));
        }
        Kind::Merge => merge::merge(&mut node, patch),
        Kind::Strategic => {
            if !merge::has_strategic(&id.group) {
                let what = format!("a strategic patch of {id}: Kubernetes refuses it");
                let hint =
                    "it has no merge keys for custom resources; type = \"merge\" or \"json\"";
                return Err(Trouble::new(what, hint).at(patch.at));
            }
            merge::strategic(&mut node, patch)?;
        }
    }
    if node.says(&old.node) {
        return Ok(Effect::Same);
    }
    let begun = set.findings.problems.len();
    let created = old.created.clone();
    let object = set.object_of(node);
    let Some(mut object) = object else {
        let said = set.findings.problems.drain(begun..).next();
        let why = said.map_or_else(String::new, |problem| format!(": {}", problem.what));
        return Err(Trouble::new(format!("the patch leaves no object{why}"), "").at(patch.at));
    };
    if object.id != *id {
        let what = format!("the patch makes {} of {id}", object.id);
        let hint = "kind, name and namespace of an object never change";
        return Err(Trouble::new(what, hint).at(patch.at));
    }
    object.created = object.created.or(created);
    set.objects[place] = object;
    Ok(Effect::Changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::change::reference::find;

    const SHOP: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: cart}}
    spec:
      containers:
      - {name: app, image: 'cart:1', env: [{name: A, value: '1'}]}
      - {name: side, image: 'side:1'}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{port: 80, name: http}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec: {hosts: [cart], http: [{route: [{destination: {host: cart}}]}]}
";

    fn shop() -> Manifests {
        Manifests::read([("shop.yaml", SHOP.as_bytes())])
    }

    fn patched(what: &str, kind: Kind, text: &str) -> Result<(Manifests, Effect), Trouble> {
        let mut set = shop();
        let object = find(&set.objects, what)?;
        let patch = read_patch(&mut set, "patch", text.as_bytes()).expect("a document");
        let effects = make(&mut set, &Change::Patch { object, kind, patch })?;
        Ok((set, effects[0].1))
    }

    fn text_at(set: &Manifests, kind: &str, path: &[&str]) -> Option<String> {
        let object = set.objects.iter().find(|one| one.id.kind == kind)?;
        let mut node = &object.node;
        for step in path {
            node = match step.parse::<usize>() {
                Ok(place) => node.items().get(place)?,
                Err(_) => node.get(step)?,
            };
        }
        Some(match &node.value {
            Value::Int(number) => number.to_string(),
            Value::List(items) => format!("{} items", items.len()),
            _ => node.text().unwrap_or("?").to_owned(),
        })
    }

    #[test]
    fn what_is_applied_comes_in_the_place_of_what_had_its_name() {
        let mut set = shop();
        let new = "apiVersion: v1\nkind: Service\nmetadata: {name: cart, namespace: shop}\nspec: {}\n\
                   ---\napiVersion: v1\nkind: Service\nmetadata: {name: new, namespace: shop}\n";
        let objects = set.read_more("new.yaml", new.as_bytes());
        assert_eq!(set.objects.len(), 3);
        let effects = make(&mut set, &Change::Apply(objects)).expect("nothing to go wrong");
        let effects: Vec<Effect> = effects.into_iter().map(|(_, effect)| effect).collect();
        assert_eq!(effects, [Effect::Changed, Effect::Added]);
        assert_eq!((set.objects.len(), set.objects[1].id.kind.as_str()), (4, "Service"));
        let again = set.read_more("again.yaml", new.as_bytes());
        let effects = make(&mut set, &Change::Apply(again)).expect("nothing to go wrong");
        assert!(effects.iter().all(|(_, effect)| *effect == Effect::Same));
        assert_eq!(set.findings.problems, []);
    }

    #[test]
    fn what_is_deleted_must_be_there() {
        let mut set = shop();
        let id = find(&set.objects, "virtualservice/shop/cart").expect("it is there");
        let delete = Change::Delete(vec![id]);
        assert_eq!(make(&mut set, &delete).expect("it is there")[0].1, Effect::Removed);
        assert_eq!(set.objects.len(), 2);
        let trouble = make(&mut set, &delete).expect_err("it is gone");
        assert!(trouble.what.contains("no VirtualService shop/cart"), "{trouble:?}");
    }

    #[test]
    fn a_merge_replaces_lists_and_a_strategic_patch_finds_their_elements() {
        let patch = "{spec: {template: {spec: {containers: [{name: app, image: 'cart:2'}]}}}}";
        let containers = ["spec", "template", "spec", "containers"];
        let image = |place| [&containers[..], &[place, "image"]].concat();
        let (set, _) = patched("deployment/cart", Kind::Merge, patch).expect("a patch");
        assert_eq!(text_at(&set, "Deployment", &containers).as_deref(), Some("1 items"));
        let (set, effect) = patched("deploy/cart", Kind::Strategic, patch).expect("a patch");
        assert_eq!(effect, Effect::Changed);
        assert_eq!(text_at(&set, "Deployment", &containers).as_deref(), Some("2 items"));
        assert_eq!(text_at(&set, "Deployment", &image("0")).as_deref(), Some("cart:2"));
        assert_eq!(text_at(&set, "Deployment", &image("1")).as_deref(), Some("side:1"));
        let env = [&containers[..], &["0", "env", "0", "value"]].concat();
        assert_eq!(text_at(&set, "Deployment", &env).as_deref(), Some("1"));
        let patch = "{spec: {ports: [{port: 81}, {port: 80, $patch: delete}]}}";
        let (set, _) = patched("service/cart", Kind::Strategic, patch).expect("a patch");
        assert_eq!(text_at(&set, "Service", &["spec", "ports"]).as_deref(), Some("1 items"));
        let (set, effect) =
            patched("deployment/cart", Kind::Merge, "{spec: {replicas: null}}").expect("a patch");
        assert_eq!(
            (text_at(&set, "Deployment", &["spec", "replicas"]), effect),
            (None, Effect::Changed)
        );
        let (_, effect) =
            patched("deployment/cart", Kind::Merge, "{spec: {replicas: 2}}").expect("a patch");
        assert_eq!(effect, Effect::Same);
    }

    #[test]
    fn what_kubernetes_refuses_is_told() {
        let told = |what: &str, kind, text: &str| patched(what, kind, text).expect_err(text).what;
        let spec = "{spec: {hosts: [a]}}";
        assert!(told("vs/cart", Kind::Strategic, spec).contains("Kubernetes refuses it"));
        assert!(told("vs/cart", Kind::Merge, "[1]").contains("is a map, this is a list"));
        assert!(
            told("vs/cart", Kind::Merge, "{metadata: {name: b}}").contains("makes VirtualService")
        );
        assert!(told("vs/cart", Kind::Merge, "{metadata: null}").contains("leaves no object"));
        let missing = "[{op: remove, path: /spec/tls}]";
        assert!(told("vs/cart", Kind::Json, missing).contains("`/spec/tls`"));
    }

    #[test]
    fn a_patch_is_one_document() {
        let mut set = shop();
        for (text, what) in [("# nothing\n", "empty"), ("a: 1\n---\nb: 2\n", "2 documents")] {
            assert_eq!(read_patch(&mut set, "p", text.as_bytes()), None);
            assert!(set.findings.problems.last().is_some_and(|one| one.what.contains(what)));
        }
        assert_eq!(read_patch(&mut set, "p", b"{a: [1"), None);
    }
}
