//! `[[manifests]]`: a real mesh's YAML is read, drafted as a scenario, and the file laid over that.
//!
//! All manifests of a scenario are read as one set, in the order of their paths. The file's own keys win
//! over what they say, as a file's do over its base; keys that only it has are added. A variant with
//! other manifests is laid over those anew.
//!
//! Source: design/contract.md (`[[manifests]]`, `--manifests`); docs/manifests.md.
//! Left out: nothing; manifests that come or go at a time stand in `states`.

use super::check;
use super::context::{Context, Fault, join};
use super::document::{At, Entry, MANIFESTS, Node, Value};
use super::keys::manifests::{ASSUMED, OF_ROOT, PATH};
use super::laid::Set;
use super::schema::Kind;
use super::states::{self, Laid, States};
use super::units::expected;
use crate::manifest::findings::{Findings, Ignored};
use crate::manifest::loaded::Loaded;
use crate::manifest::meshes::Mesh;
use crate::manifest::object::Labels;
use crate::manifest::route::Origin;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What came from manifests, for whoever reads a result.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FromManifests {
    /// The files, as seen from the folder of the scenario; `-` for stdin.
    pub files: Vec<String>,
    /// How many objects of kinds that are simulated they hold.
    pub objects: usize,
    /// Fields that a mesh reads and that are not simulated.
    pub ignored: Vec<Named>,
    /// Kinds of objects that are not simulated.
    pub not_modelled: Vec<Named>,
    /// How many values of the scenario are assumed, since nothing says them.
    pub assumed: usize,
    /// The same lists for people, with files as they were named.
    #[serde(skip)]
    pub lines: Vec<String>,
}

/// An entry of a list with what it is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// `field` or `kind`.
    pub key: &'static str,
    /// Which one.
    pub name: String,
    /// Its first place, and how often it is there.
    pub entry: Ignored,
}

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(5))?;
        map.serialize_entry(self.key, &self.name)?;
        map.serialize_entry("file", &self.entry.place.file)?;
        map.serialize_entry("line", &self.entry.place.line)?;
        map.serialize_entry("count", &self.entry.count)?;
        map.serialize_entry("why", &self.entry.why)?;
        map.end()
    }
}

/// What came from manifests, before the file was laid over it.
pub(crate) struct Read {
    from: FromManifests,
    /// The source of what is assumed.
    assumed: u32,
    set: Set,
    loaded: Loaded,
    laid: Laid,
    found: Findings,
}

impl Read {
    /// With the count of what is still assumed in the document.
    pub(crate) fn counted(&self, document: &Node) -> Arc<FromManifests> {
        let mut places = BTreeSet::new();
        collect(document, self.assumed, &mut places);
        Arc::new(FromManifests { assumed: places.len(), ..self.from.clone() })
    }

    /// What the manifests are before and after each event of the document, which is as it will be run; none if
    /// something is wrong.
    pub(crate) fn states(
        &mut self,
        context: &mut Context<'_>,
        document: &Node,
        scenario: &str,
    ) -> Option<States> {
        let Self { set, loaded, laid, .. } = self;
        let lay = |context: &mut Context<'_>, one: &Loaded| Some(set.lay(context, one)?.0);
        let states = states::states(context, document, loaded, laid.clone(), lay)?;
        let findings = [&self.loaded.manifests.findings, &self.found, &states.findings];
        let objects = self.from.objects;
        self.from = account(&self.set.files, objects, findings, scenario);
        Some(states)
    }
}

fn collect(node: &Node, source: u32, places: &mut BTreeSet<At>) {
    if node.at.source == source {
        places.insert(node.at);
    }
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| collect(item, source, places)),
        Value::Table(entries) => {
            for entry in entries {
                collect(&entry.node, source, places);
            }
        }
        _ => {}
    }
}

/// Adds paths that were typed, as if the file had them after its own.
pub(crate) fn add(context: &mut Context<'_>, document: &mut Node, paths: &[String]) {
    for path in paths {
        let source = context.add(MANIFESTS, path);
        let at = At { source, start: 0, end: u32::try_from(path.len()).unwrap_or(u32::MAX) };
        let entry = Entry {
            key: "path".to_owned(),
            at,
            node: Node { at, value: Value::Text(path.clone()) },
        };
        let element = Node { at, value: Value::Table(vec![entry]) };
        if document.get(OF_ROOT.name).is_none() {
            let node = Node { at, value: Value::List(Vec::new()) };
            document.put(Entry { key: OF_ROOT.name.to_owned(), at, node });
        }
        let Value::Table(entries) = &mut document.value else { continue };
        let list = entries.iter_mut().find(|entry| entry.key == OF_ROOT.name);
        // What is no list is told by the check.
        if let Some(Entry { node: Node { value: Value::List(items), .. }, .. }) = list {
            items.push(element);
        }
    }
}

/// Whether a document names manifests.
pub(crate) fn are_asked_for(document: &Node) -> bool {
    document
        .get(OF_ROOT.name)
        .is_some_and(|node| !matches!(&node.value, Value::List(all) if all.is_empty()))
}

/// The document laid over the manifests that it names, and what came from these; none where so much is
/// wrong with them that names would be missing.
pub(crate) fn lay(
    context: &mut Context<'_>,
    written: Node,
    scenario: &str,
) -> Option<(Node, Option<Read>)> {
    if !are_asked_for(&written) {
        return Some((written, None));
    }
    let elements = elements(context, &written)?;
    let asked = mesh(context, &elements);
    let files = files(context, &elements)?;
    let loaded = Loaded::read(files.iter().map(|file| (file.name.as_str(), file.bytes.as_slice())));
    let mesh = asked.unwrap_or_else(|| mesh_in(&loaded));
    let Findings { problems, warnings, .. } = &loaded.manifests.findings;
    context.foreign.problems.extend(problems.iter().cloned());
    context.foreign.warnings.extend(warnings.iter().cloned());
    if !problems.is_empty() {
        return None;
    }
    let set = Set { written, files, mesh };
    let (laid, assumed, found) = set.lay(context, &loaded)?;
    let findings = [&loaded.manifests.findings, &found];
    let from = account(&set.files, loaded.manifests.objects.len(), findings, scenario);
    let document = laid.root.clone();
    Some((document, Some(Read { from, assumed, set, loaded, laid, found })))
}

pub(super) fn elements_of(written: &Node) -> Vec<&Node> {
    written.list(OF_ROOT.name).iter().filter(|one| one.is_table()).collect()
}

/// The tables of the section; none if one is no table or has no path.
fn elements<'n>(context: &mut Context<'_>, written: &'n Node) -> Option<Vec<&'n Node>> {
    let entry = written.entry(OF_ROOT.name)?;
    let Value::List(all) = &entry.node.value else {
        context.report(check::not_tables(&entry.node, OF_ROOT.kind));
        return None;
    };
    let mut is_whole = true;
    for element in all.iter().filter(|element| element.get("path").is_none()) {
        is_whole = false;
        let fault = if element.is_table() {
            check::missing(element.at, &PATH)
        } else {
            check::no_table(element)
        };
        context.report(fault);
    }
    is_whole.then(|| all.iter().collect())
}

/// A file of manifests, and which element names it first.
pub(super) struct File {
    pub(super) name: String,
    bytes: Vec<u8>,
    pub(super) element: usize,
}

/// All files, each once; none if one cannot be read.
fn files(context: &mut Context<'_>, elements: &[&Node]) -> Option<Vec<File>> {
    let mut files: Vec<File> = Vec::new();
    let mut is_whole = true;
    for (element, table) in elements.iter().enumerate() {
        let paths = table.get("path").map_or(&[][..], |path| match &path.value {
            Value::List(items) => &items[..],
            _ => std::slice::from_ref(path),
        });
        for path in paths {
            let Some(text) = path.as_text() else {
                is_whole = false;
                context.report(expected(path, Kind::Text));
                continue;
            };
            match context.read_manifests(path.at, text) {
                Ok(found) => {
                    for (name, bytes) in found {
                        if files.iter().all(|file| file.name != name) {
                            files.push(File { name, bytes, element });
                        }
                    }
                }
                Err(why) => {
                    is_whole = false;
                    let what = format!("the manifests `{text}` cannot be read: {why}");
                    context.report(Fault::new(path.at, what));
                }
            }
        }
    }
    is_whole.then_some(files)
}

/// Whose rules count, if it is said; the manifests of one scenario are of one mesh.
fn mesh(context: &mut Context<'_>, elements: &[&Node]) -> Option<Mesh> {
    let known = [Mesh::Istio, Mesh::Linkerd, Mesh::GatewayApi];
    let mut said: Option<(Mesh, At)> = None;
    for node in elements.iter().filter_map(|element| element.get("mesh")) {
        let mesh = known.into_iter().find(|mesh| node.as_text() == Some(mesh.word()));
        match (mesh, said) {
            (Some(mesh), Some((first, at))) if mesh != first => {
                let first_at = context.file_and_line(at);
                let what =
                    format!("the manifests are of `{}` and of `{}`", first.word(), mesh.word());
                let hint = format!("all are read as one mesh; the first is said at {first_at}");
                context.report(Fault::new(node.at, what).hint(hint));
            }
            (Some(mesh), None) => said = Some((mesh, node.at)),
            _ => {}
        }
    }
    said.map(|(mesh, _)| mesh)
}

/// Whose rules count by what the manifests hold.
fn mesh_in(loaded: &Loaded) -> Mesh {
    let (namespace, labels) = (String::new(), Labels::new());
    loaded.mesh_of(&Origin::Mesh { namespace, workload: None, labels })
}

/// What the elements say of their workloads in place of what would be assumed.
pub(super) fn say_assumed<'n>(
    document: &mut Node,
    assumed: u32,
    element_of: impl Fn(At) -> &'n Node,
) {
    for service in list_mut(document, "service") {
        for workload in list_mut(service, "workload") {
            let element = element_of(workload.at);
            for key in ASSUMED {
                let is_open = workload.get(key).is_none_or(|node| node.at.source == assumed);
                if let Some(entry) = element.entry(key).filter(|_| is_open) {
                    workload.put(entry.clone());
                }
            }
        }
    }
}

fn list_mut<'n>(node: &'n mut Node, key: &str) -> &'n mut [Node] {
    let Value::Table(entries) = &mut node.value else { return &mut [] };
    let Some(entry) = entries.iter_mut().find(|entry| entry.key == key) else { return &mut [] };
    match &mut entry.node.value {
        Value::List(items) => items,
        _ => &mut [],
    }
}

/// What is told of the manifests.
fn account<const N: usize>(
    files: &[File],
    objects: usize,
    findings: [&Findings; N],
    scenario: &str,
) -> FromManifests {
    let mut all = Findings::default();
    for one in findings {
        for (list, more) in
            [(&mut all.ignored, &one.ignored), (&mut all.not_modelled, &one.not_modelled)]
        {
            for (name, entry) in more {
                list.entry(name.clone())
                    .and_modify(|known| known.count += entry.count)
                    .or_insert_with(|| entry.clone());
            }
        }
    }
    let lines = all.ignored_lines();
    let named = |key, list: BTreeMap<String, Ignored>| {
        let named = list.into_iter().map(|(name, mut entry)| {
            entry.place.file = seen_from(scenario, &entry.place.file);
            Named { key, name, entry }
        });
        named.collect()
    };
    FromManifests {
        files: files.iter().map(|file| seen_from(scenario, &file.name)).collect(),
        objects,
        ignored: named("field", all.ignored),
        not_modelled: named("kind", all.not_modelled),
        assumed: 0,
        lines,
    }
}

/// A file as seen from the folder of another, so that a result is the same wherever it is made; its name
/// alone if there is no such way.
fn seen_from(scenario: &str, file: &str) -> String {
    let (from, to) = (join("", scenario), join("", file));
    let name = to.rsplit('/').next().unwrap_or_default().to_owned();
    if to == "-" || from.starts_with('/') != to.starts_with('/') {
        return name;
    }
    let from: Vec<&str> = from.split('/').collect();
    let to: Vec<&str> = to.split('/').collect();
    let folders = &from[..from.len() - 1];
    let common = folders.iter().zip(&to[..to.len() - 1]).take_while(|(a, b)| a == b).count();
    let is_far = folders.first() == Some(&"") && common < 2;
    let (up, down) = (&folders[common..], &to[common..]);
    if is_far || up.contains(&"..") {
        return name;
    }
    [vec![".."; up.len()], down.to_vec()].concat().join("/")
}

#[cfg(test)]
mod tests {
    use super::seen_from;

    #[test]
    fn files_are_told_as_seen_from_the_scenario() {
        for (scenario, file, told) in [
            ("s.toml", "k8s/a.yaml", "k8s/a.yaml"),
            ("./a/s.toml", "a/k8s/b.yaml", "k8s/b.yaml"),
            ("a/b/s.toml", "a/k8s.yaml", "../k8s.yaml"),
            ("a/s.toml", "../k8s.yaml", "../../k8s.yaml"),
            ("../a/s.toml", "k8s.yaml", "k8s.yaml"),
            ("a/s.toml", "/of/me/k8s.yaml", "k8s.yaml"),
            ("/of/me/s.toml", "/of/me/k8s/a.yaml", "k8s/a.yaml"),
            ("/of/me/s.toml", "/srv/k8s/a.yaml", "a.yaml"),
            ("a/s.toml", "-", "-"),
        ] {
            assert_eq!(seen_from(scenario, file), told, "{scenario} {file}");
        }
    }
}
