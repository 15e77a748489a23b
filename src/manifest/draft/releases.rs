//! The release of a mesh, as a profile.
//!
//! It is told by the tag of istiod's or Linkerd's image, else by that of a proxy that is there already; what is
//! between two profiles has the earlier one.
//! Source: docs/parameters.md and docs/linkerd-parameters.md (the profiles).
//! Left out: ambient profiles; images without a tag.

use crate::manifest::draft::Draft;
use crate::manifest::draft::control_plane::{Role, role};
use crate::manifest::draft::places::{Places, below};
use crate::manifest::draft::value::Value;
use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::meshes::Mesh;
use crate::manifest::node::Node;
use crate::manifest::object::Object;
use crate::manifest::source::At;

/// Releases of Istio that have a profile: minor version and name.
const ISTIO: &[(u32, &str)] = &[(20, "1.20"), (24, "1.24"), (28, "1.28"), (30, "1.30")];

/// Releases of Linkerd that have a profile.
const LINKERD: &[(u32, &str)] = &[(10, "2.10"), (12, "2.12"), (13, "2.13"), (14, "2.14")];

/// The profile of all later ones.
const LINKERD_NEWEST: &str = "edge-26.8";

/// Sets `profile`.
pub(super) fn profile(draft: &mut Draft<'_>, places: &Places<'_>) {
    let loaded = draft.loaded;
    let has_gateways =
        !loaded.gateway_api.gateways.is_empty() || !loaded.tables.services.is_empty();
    let value = match draft.mesh {
        Mesh::GatewayApi if !has_gateways => {
            Value::text("none").assumed("nothing of a mesh is in the manifests")
        }
        Mesh::GatewayApi => Value::text("istio-sidecar@1.30").assumed(
            "no manifest says whose Gateway API this is; Istio is one of those who have it",
        ),
        Mesh::Istio => match image(draft, places, Role::Istiod, "istio-proxy") {
            Some((tag, at)) => release(&tag, at, "istio-sidecar", istio_release(&tag)),
            None => Value::text("istio-sidecar@1.30").assumed("no manifest tells Istio's release"),
        },
        Mesh::Linkerd => match image(draft, places, Role::Linkerd, "linkerd-proxy") {
            Some((tag, at)) => release(&tag, at, "linkerd", linkerd_release(&tag)),
            None => Value::text(format!("linkerd@{LINKERD_NEWEST}"))
                .assumed("no manifest tells Linkerd's release"),
        },
    };
    draft.settings.set("profile", value);
}

/// The profile of a release: written if there is one of it, else assumed.
fn release(tag: &str, at: At, mesh: &str, found: (&str, bool)) -> Value {
    let (release, is_exact) = found;
    let value = Value::text(format!("{mesh}@{release}"));
    if is_exact {
        value.at(at)
    } else {
        value.assumed(format!("the image's tag is {tag}: the nearest that there is"))
    }
}

/// The profile for a tag of Istio, and whether it is of that very minor version.
fn istio_release(tag: &str) -> (&'static str, bool) {
    let minor = version(tag).filter(|(major, _)| *major == 1).map(|(_, minor)| minor);
    nearest(ISTIO, minor.unwrap_or(u32::MAX))
}

/// The same for a tag of Linkerd: `stable-2.14.10`, `edge-24.8.2`, `2.14.0`.
fn linkerd_release(tag: &str) -> (&'static str, bool) {
    let is_edge = tag.starts_with("edge-");
    match version(tag.trim_start_matches("edge-").trim_start_matches("stable-")) {
        // 2.14 is of August 2023.
        Some((year, month)) if is_edge && (year, month) <= (23, 8) => ("2.14", false),
        Some((26, 8)) if is_edge => (LINKERD_NEWEST, true),
        Some((2, minor)) if !is_edge && minor <= 14 => nearest(LINKERD, minor),
        _ => (LINKERD_NEWEST, false),
    }
}

/// The last release up to a minor version; the first if all are later.
fn nearest(releases: &[(u32, &'static str)], minor: u32) -> (&'static str, bool) {
    let before = releases.iter().rfind(|(own, _)| *own <= minor).or(releases.first());
    before.map_or(("", false), |(own, name)| (*name, *own == minor))
}

/// Major and minor version at the start of a tag.
fn version(tag: &str) -> Option<(u32, u32)> {
    let mut parts = tag.trim_start_matches('v').split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The tag of the control plane's image, else of a proxy that is there.
fn image(draft: &Draft<'_>, places: &Places<'_>, of: Role, proxy: &str) -> Option<(String, At)> {
    let loaded = draft.loaded;
    let control = loaded.cluster.workloads.iter().filter(|one| role(loaded, one) == of);
    let own = control.filter_map(|one| containers(places, one).find_map(|(_, node)| tag(node)));
    let beside = |object: &Object| {
        let lists = ["containers", "initContainers"].into_iter();
        let mut all = lists.flat_map(|list| named(&object.node, list));
        all.find(|(name, _)| *name == proxy).and_then(|(_, node)| tag(node))
    };
    own.chain(places.all().filter_map(beside)).next()
}

/// Name and tree of a workload's containers.
pub(super) fn containers<'l>(
    places: &Places<'l>,
    workload: &Workload,
) -> impl Iterator<Item = (&'l str, &'l Node)> + use<'l> {
    places.of(workload).into_iter().flat_map(|object| named(&object.node, "containers"))
}

/// The same of one of the lists in an object's pods.
fn named<'l>(object: &'l Node, list: &str) -> impl Iterator<Item = (&'l str, &'l Node)> + use<'l> {
    let template = below(object, &["spec", "template", "spec", list]);
    let items = template.or_else(|| below(object, &["spec", list])).map_or(&[][..], Node::items);
    items.iter().filter_map(|item| Some((item.get("name")?.text()?, item)))
}

/// What stands behind the last colon of a container's image.
fn tag(container: &Node) -> Option<(String, At)> {
    let image = container.get("image")?;
    let name = image.text()?.split('@').next()?;
    let (_, tag) = name.rsplit('/').next()?.rsplit_once(':')?;
    Some((tag.to_owned(), image.at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::linkerd;
    use crate::plan::profile::PROFILES;

    /// A release that gets a profile of its own is told by its image, too.
    #[test]
    fn all_releases_with_a_profile_are_known() {
        let of = |mesh: &str| {
            let found = PROFILES.iter().find(|profile| profile.mesh == mesh);
            found.map_or(&[][..], |profile| profile.releases).to_vec()
        };
        let sorted = |mut names: Vec<&'static str>| {
            names.sort_unstable();
            names
        };
        let names = |list: &[(u32, &'static str)]| list.iter().map(|(_, name)| *name).collect();
        assert_eq!(sorted(names(ISTIO)), sorted(of("istio-sidecar")));
        let mut linkerd: Vec<&str> = names(LINKERD);
        linkerd.push(LINKERD_NEWEST);
        assert_eq!(sorted(linkerd), sorted(linkerd::RELEASES.to_vec()));
    }

    #[test]
    fn a_release_has_the_profile_of_the_one_before() {
        assert_eq!(istio_release("1.28.3"), ("1.28", true));
        assert_eq!(istio_release("1.26.0-distroless"), ("1.24", false));
        assert_eq!(istio_release("1.9"), ("1.20", false));
        assert_eq!(istio_release("1.99"), ("1.30", false));
        assert_eq!(istio_release("latest"), ("1.30", false));
        assert_eq!(linkerd_release("stable-2.14.10"), ("2.14", true));
        assert_eq!(linkerd_release("stable-2.11.1"), ("2.10", false));
        assert_eq!(linkerd_release("edge-22.1.3"), ("2.14", false));
        assert_eq!(linkerd_release("edge-24.8.2"), ("edge-26.8", false));
        assert_eq!(linkerd_release("edge-26.8.1"), ("edge-26.8", true));
        assert_eq!(linkerd_release("2.18.0"), ("edge-26.8", false));
        assert_eq!(linkerd_release("x"), ("edge-26.8", false));
    }
}
