//! Tests of Istio's part of drafts.

mod compare;
mod golden;
mod samples;

use crate::manifest::draft::assumptions::Assumptions;
use crate::manifest::draft::{Draft, draft, toml};
use crate::manifest::loaded::Loaded;
use crate::manifest::meshes::Mesh;

fn drafted(loaded: &Loaded) -> Draft<'_> {
    draft(loaded, Mesh::Istio, &Assumptions::default())
}

/// The text of a draft, with what has no key as comments behind it.
fn text(loaded: &Loaded) -> String {
    let draft = drafted(loaded);
    let mut text = toml::text(&draft, &loaded.manifests.sources, "");
    for line in draft.findings.ignored_lines() {
        text.extend(["# ", &line, "\n"]);
    }
    text
}
