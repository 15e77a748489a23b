//! A file laid over what manifests say at a time.
//!
//! Source: design/contract.md (`[[manifests]]`); docs/scenarios.md.
//! Left out: nothing.

use super::context::Context;
use super::document::{At, Node};
use super::drafted::{self, Written};
use super::keys::ROOT;
use super::manifests::{File, elements_of, say_assumed};
use super::merge;
use super::schema::Kind;
use super::states::{Drafted, Laid, Templates};
use crate::manifest::change;
use crate::manifest::draft::assumptions::Assumptions;
use crate::manifest::draft::{self, Draft, draft};
use crate::manifest::findings::Findings;
use crate::manifest::loaded::Loaded;
use crate::manifest::meshes::Mesh;
use crate::manifest::object::Id;
use std::collections::BTreeMap;

/// What a document is laid over.
pub(super) struct Set {
    /// The document.
    pub(super) written: Node,
    pub(super) files: Vec<File>,
    pub(super) mesh: Mesh,
}

impl Set {
    /// The document laid over what these manifests are at a time; the source of what is assumed, and what
    /// drafting found.
    pub(super) fn lay(
        &self,
        context: &mut Context<'_>,
        loaded: &Loaded,
    ) -> Option<(Laid, u32, Findings)> {
        let elements = elements_of(&self.written);
        let draft = draft(loaded, self.mesh, &Assumptions::default());
        context.foreign.problems.extend(draft.findings.problems.iter().cloned());
        context.foreign.warnings.extend(draft.findings.warnings.iter().cloned());
        if !draft.findings.problems.is_empty() {
            return None;
        }
        let around = elements[0].get("path").map_or(elements[0].at, |path| path.at);
        let Written { document: mut root, assumed, sources } =
            drafted::write(context, &draft.root(), &loaded.manifests.sources, around);
        // An element speaks for the workloads of its own files.
        let element_of = |at: At| {
            let file = sources.iter().position(|source| *source == at.source);
            let source = file.and_then(|file| loaded.manifests.sources.list.get(file));
            let file = source.and_then(|one| self.files.iter().find(|file| file.name == one.name));
            elements[file.map_or(0, |file| file.element)]
        };
        say_assumed(&mut root, assumed, element_of);
        merge::lay_over(&mut root, self.written.clone(), Kind::Table(ROOT));
        let laid = Laid { root, templates: templates(&draft), drafted: drafted(&draft) };
        Some((laid, assumed, draft.findings))
    }
}

/// What pods of workloads are made from.
fn templates(draft: &Draft<'_>) -> Templates {
    let mut texts = BTreeMap::new();
    for object in &draft.loaded.manifests.objects {
        if let Some(template) = change::template(object) {
            let Id { namespace, name, .. } = &object.id;
            texts.insert((namespace.clone(), name.clone()), template.said());
        }
    }
    let all = draft.services.iter().flat_map(|service| {
        service.workloads.iter().map(move |workload| (&service.name, workload))
    });
    let of = |(service, workload): (&String, &draft::Workload)| {
        let version = workload.version.clone().unwrap_or_default();
        Some(((service.clone(), version), texts.get(&workload.key)?.clone()))
    };
    all.filter_map(of).collect()
}

/// What a draft makes.
fn drafted(draft: &Draft<'_>) -> Drafted {
    let mut made = Drafted::default();
    for service in &draft.services {
        let name = || service.name.clone();
        made.services.insert(name());
        if let Some((namespace, own)) = &service.key {
            made.called.insert(format!("the Service {namespace}/{own}"), name());
        }
        for one in &service.workloads {
            let (namespace, own) = &one.key;
            let version = one.version.as_ref().map_or_else(String::new, |one| format!("/{one}"));
            let called = format!("{}{version}", service.name);
            made.called.insert(format!("the workload {namespace}/{own}"), called);
        }
        let versions = service.workloads.iter().map(|one| one.version.clone().unwrap_or_default());
        made.workloads.extend(versions.map(|version| (name(), version)));
        let subsets = service.subsets.iter().filter_map(|one| match &one.get("name")?.kind {
            draft::value::Kind::Text(subset) => Some((name(), subset.clone())),
            _ => None,
        });
        made.subsets.extend(subsets);
    }
    made
}
