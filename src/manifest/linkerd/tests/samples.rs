//! All real inputs: each file reads without a crash, and no object is lost without a word.

use super::Mesh;
use super::docs::{block, samples};
use crate::manifest::kinds::{self, Use};
use crate::manifest::lint;
use std::path::{Path, PathBuf};

fn files(folder: &Path, found: &mut Vec<PathBuf>, depth: usize) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        if path.is_dir() && depth < 4 {
            files(&path, found, depth + 1);
        } else if is_yaml {
            found.push(path);
        }
    }
}

#[test]
fn every_sample_is_read_and_every_object_accounted_for() {
    let Some(folder) = samples() else {
        return super::skipped();
    };
    let mut found = Vec::new();
    files(&folder, &mut found, 0);
    assert!(found.len() > 80, "{}", found.len());
    let mut modelled = 0;
    for path in found {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_block = path.parent().is_some_and(|parent| parent.ends_with("docs"));
        let text = if is_block { block(&name) } else { std::fs::read_to_string(&path).ok() };
        let text = text.unwrap_or_default();
        let mesh = Mesh::of(&[(&name, &text)]);
        let told = mesh.told();
        // A template; two documents run into one; a backslash for the shell.
        let broken = [
            "ipfamilies-policy.yml",
            "2-edge_adding-non-kubernetes-workloads_2.yaml",
            "2-edge_books_1.yaml",
        ];
        let is_broken = broken.contains(&name.as_str());
        let documents = text.lines().filter(|line| line.starts_with("apiVersion:")).count();
        let named: u32 = mesh.manifests.findings.not_modelled.values().map(|kind| kind.count).sum();
        let read = mesh.manifests.objects.len() + named as usize;
        assert!(read >= documents || is_broken, "{name}: {read} of {documents}");
        let problems = &mesh.manifests.findings.problems;
        assert!(problems.is_empty() || is_broken, "{name}: {told:#?}");
        // The linter takes whatever there is.
        lint::linkerd::linkerd(&mesh.cluster, &mesh.linkerd, &mesh.manifests.sources);
        for object in &mesh.manifests.objects {
            let id = &object.id;
            assert_eq!(kinds::what(&id.group, &id.kind), Use::Modelled, "{name}: {id}");
            assert!(is_known(&mesh, object), "{name}: {id} was read by nobody");
            modelled += 1;
        }
    }
    assert!(modelled > 170, "{modelled}");
}

/// Whether an object of Linkerd's or SMI's is in the model.
fn is_known(mesh: &Mesh, object: &crate::manifest::object::Object) -> bool {
    let (id, linkerd) = (&object.id, &mesh.linkerd);
    let name = (id.namespace.clone(), id.name.clone());
    match id.kind.as_str() {
        "ServiceProfile" => linkerd.profiles.contains_key(&name),
        "Server" => linkerd.servers.contains_key(&name),
        "MeshTLSAuthentication" => linkerd.mesh_tls.contains_key(&name),
        "NetworkAuthentication" => linkerd.networks.contains_key(&name),
        "HTTPLocalRateLimitPolicy" => linkerd.limits.contains_key(&name),
        "EgressNetwork" => linkerd.egress.iter().any(|(egress, _)| egress.name == id.name),
        "AuthorizationPolicy" => linkerd.policies.iter().any(|policy| policy.name == id.name),
        "ServerAuthorization" => {
            linkerd.server_authorizations.iter().any(|authorization| authorization.name == id.name)
        }
        "HTTPRoute" | "GRPCRoute" => {
            linkerd.routes.http.iter().any(|route| route.route.name == id.name)
        }
        "TrafficSplit" => linkerd.smi.splits.iter().any(|split| split.name == id.name),
        "HTTPRouteGroup" => linkerd.smi.groups.contains_key(&name),
        "TrafficTarget" => linkerd.smi.targets.iter().any(|target| target.name == id.name),
        _ => true,
    }
}

#[test]
fn emojivoto_with_its_policy_lets_the_web_vote_and_nobody_else() {
    let Some(folder) = samples() else {
        return super::skipped();
    };
    let read = |name: &str| {
        std::fs::read_to_string(folder.join("emojivoto").join(name)).unwrap_or_default()
    };
    let (app, policy) = (read("emojivoto.yml"), read("emojivoto-policy.yml"));
    let inject = "apiVersion: v1\nkind: Namespace\nmetadata: {name: emojivoto, annotations: {linkerd.io/inject: enabled}}\n";
    let mesh = Mesh::of(&[("app.yml", &app), ("policy.yml", &policy), ("inject.yml", inject)]);
    let status = |from: &str, url: &str| {
        let answer = mesh.ask(&format!("emojivoto/{from}"), url);
        answer.destinations[0].failure.as_ref().map_or(0, |failure| failure.status)
    };
    let vote = "POST http://voting-svc:8080/emojivoto.v1.VotingService/VoteDoughnut";
    assert_eq!((status("web", vote), status("vote-bot", vote)), (0, 403));
    assert_eq!(status("vote-bot", "GET http://web-svc/"), 0, "the front door is open");
    let prom = "GET http://voting-svc:8801/metrics";
    assert_eq!(status("vote-bot", prom), 0, "metrics are open to all");
}
