//! Whole drafts: goldens of small manifests, hostile names, real samples, many objects.

use super::assumptions::Assumptions;
use super::value::{Kind, Origin, Table, Value};
use super::{Draft, draft, toml};
use crate::manifest::loaded::Loaded;
use crate::manifest::meshes::Mesh;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const SHOP: &str = include_str!("shop.yaml");
const ISTIO: &str = include_str!("istio.yaml");
const LINKERD: &str = include_str!("linkerd.yaml");

/// A draft as text, with what was ignored and what became of each object.
fn told(files: &[(&str, &str)], mesh: Mesh) -> String {
    let loaded = Loaded::read(files.iter().map(|(name, text)| (*name, text.as_bytes())));
    let draft = draft(&loaded, mesh, &Assumptions::default());
    let mut told = toml::text(&draft, &loaded.manifests.sources, "# A draft.");
    told.push('\n');
    for line in draft.findings.ignored_lines() {
        let _ = writeln!(told, "# {line}");
    }
    for (id, at, state) in draft.objects() {
        let place = loaded.manifests.sources.short(at);
        let _ = writeln!(told, "# {place}: {id}: {}", state.word());
    }
    told
}

/// Compares with a file beside the tests; `UPDATE=1` writes it.
fn golden(name: &str, told: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manifest/draft/tests").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, told).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(told == wanted, "{name} differs: UPDATE=1 writes it. It is now\n{told}");
}

#[test]
fn a_shop_with_all_that_kubernetes_says() {
    golden("shop.toml", &told(&[("shop.yaml", SHOP), ("istio.yaml", ISTIO)], Mesh::Istio));
}

#[test]
fn linkerds_part_of_the_mesh() {
    golden("linkerd.toml", &told(&[("linkerd.yaml", LINKERD)], Mesh::Linkerd));
}

#[test]
fn the_mesh_of_a_set_is_told_by_its_objects() {
    let mesh = |text: &str| Loaded::read([("a.yaml", text.as_bytes())]).mesh_for_all();
    assert_eq!(mesh(SHOP), Mesh::Istio, "a namespace asks for the sidecar");
    assert_eq!(mesh(LINKERD), Mesh::Linkerd);
    let class = "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: a}\nspec: {controllerName: ";
    assert_eq!(mesh(&format!("{class}istio.io/gateway-controller}}\n")), Mesh::Istio);
    assert_eq!(mesh(&format!("{class}example.com/any}}\n")), Mesh::GatewayApi);
    assert_eq!(mesh(""), Mesh::GatewayApi);
}

fn service(name: &str, namespace: &str, selector: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: '{name}', namespace: '{namespace}'}}\n\
         spec: {{selector: {{{selector}}}, ports: [{{name: http, port: 80}}]}}\n"
    )
}

fn deployment(name: &str, namespace: &str, labels: &str) -> String {
    format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: '{name}', namespace: '{namespace}'}}\n\
         spec: {{selector: {{matchLabels: {{{labels}}}}}, template: {{metadata: {{labels: {{{labels}}}}}, \
         spec: {{containers: [{{name: a, image: a}}]}}}}}}\n"
    )
}

/// `service: versions` of each, with its selector.
fn shape(draft: &Draft<'_>) -> Vec<String> {
    let text = |value: &Value| match &value.kind {
        Kind::Text(text) => text.clone(),
        other => format!("{other:?}"),
    };
    let of = |one: &super::Service| {
        let versions = one.workloads.iter().map(|one| one.version.as_deref().unwrap_or("-"));
        let selector = match one.table.get("selector").map(|value| &value.kind) {
            Some(Kind::Table(table)) => {
                let pairs = table.iter().map(|(key, value)| [" ", key, "=", &text(value)].concat());
                pairs.collect::<Vec<String>>().concat()
            }
            _ => String::new(),
        };
        format!("{}: {}{selector}", one.name, versions.collect::<Vec<_>>().join(" "))
    };
    draft.services.iter().map(of).collect()
}

#[test]
fn every_workload_has_one_service_and_others_select_it() {
    let text = [
        service("web", "a", "app: web"),
        service("all", "a", "tier: back"),
        service("web-v1", "a", "app: web, version: v1"),
        service("front", "a", "app: front-end"),
        service("front-only", "a", "app: front-end, x: one"),
        deployment("web-1", "a", "app: web, version: v1, tier: back"),
        deployment("web-2", "a", "app: web, version: v1, tier: back"),
        deployment("web-3", "a", "app: web, version: v3"),
        deployment("front", "a", "app: front-end, x: one"),
        // The labels of another namespace do not count.
        service("web", "b", "app: web"),
        deployment("web-1", "b", "app: web, version: v1, tier: back"),
    ];
    let text = text.concat();
    let loaded = Loaded::read([("a.yaml", text.as_bytes())]);
    let draft = draft(&loaded, Mesh::Istio, &Assumptions::default());
    let wanted = [
        "all:  services/all=yes",
        "front: -",
        "front-only:  pod/app=front-end x=one",
        "web-v1:  services/all=yes",
        "web.a: 1 2 v3",
        "web.b: v1",
    ];
    assert_eq!(shape(&draft), wanted);
}

#[test]
fn names_of_any_kind_make_a_scenario() {
    let text = [
        service("ingress", "a", "app: ingress"),
        deployment("ingress", "a", "app: ingress"),
        service("web.b", "a", "app: x"),
        service("web", "b", "app: x"),
        service("web", "c", "app: x"),
        service("sp ace/:,(=)<>", "a", "app: why"),
        deployment("why y", "a", "app: why, version: 'v 1/2'"),
        deployment("why z", "a", "app: why, version: 'v 1,2'"),
        // Both would be the workload `reviews-v1`.
        service("reviews", "a", "app: reviews"),
        deployment("reviews", "a", "app: reviews, version: v1"),
        service("reviews-v1", "d", "app: reviews"),
        deployment("reviews-v1", "d", "app: reviews"),
        // No Service selects it, and its name is taken.
        deployment("reviews", "e", "app: reviews"),
    ];
    let text = text.concat();
    let loaded = Loaded::read([("a.yaml", text.as_bytes())]);
    let draft = draft(&loaded, Mesh::Istio, &Assumptions::default());
    let wanted = [
        "ingress.a: -",
        "reviews: v1",
        "reviews-v1: reviews-v1",
        "reviews.e: -",
        "sp_ace________: v_1_2 v_1_2-2",
        "web.b: ",
        "web.b-2: ",
        "web.c: ",
    ];
    assert_eq!(shape(&draft), wanted);
}

#[test]
fn pods_of_a_dump_are_called_by_their_deployment() {
    let pod = |name: &str, set: &str, hash: &str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: a, labels: {{app: web, \
             pod-template-hash: {hash}}}, ownerReferences: [{{kind: ReplicaSet, name: {set}}}]}}\n\
             spec: {{containers: [{{name: a}}, {{name: istio-proxy, image: 'istio/proxyv2:1.24.1'}}]}}\n"
        )
    };
    let text = [
        service("web", "a", "app: web"),
        pod("web-aa-1", "web-aa", "aa"),
        pod("web-aa-2", "web-aa", "aa"),
        pod("web-next-bb-1", "web-next-bb", "bb"),
    ];
    let text = text.concat();
    let loaded = Loaded::read([("a.yaml", text.as_bytes())]);
    let draft = draft(&loaded, Mesh::Istio, &Assumptions::default());
    assert_eq!(shape(&draft), ["web: web next"]);
    let replicas = draft.services[0].workloads[0].table.get("replicas").map(|value| &value.kind);
    assert_eq!(replicas, Some(&Kind::Integer(2)));
    let profile = draft.settings.get("profile").map(|value| &value.kind);
    assert_eq!(profile, Some(&Kind::Text("istio-sidecar@1.24".into())));
}

#[test]
fn strategies_that_the_engine_would_refuse_are_left_out() {
    let told = |strategy: &str| {
        let text = deployment("web", "a", "app: web");
        let text =
            text.replace("spec: {selector", &format!("spec: {{strategy: {strategy}, selector"));
        told(&[("a.yaml", &text)], Mesh::Istio)
    };
    let none = told("{rollingUpdate: {maxSurge: 0, maxUnavailable: 0%}}");
    assert!(!none.contains("rollout"), "{none}");
    let all = told("{type: Recreate}");
    assert!(all.contains(r#"rollout = { max_surge = "0%", max_unavailable = "100%" }"#), "{all}");
}

#[test]
fn gateways_without_mesh_rules_stand_before_pods_without_proxies() {
    let gateway = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge}\n\
                   spec: {gatewayClassName: any, listeners: [{name: a, port: 80, protocol: HTTP}]}\n";
    let text = [service("web", "a", "app: web"), deployment("web", "a", "app: web")].concat();
    let told = |text: &str| told(&[("a.yaml", text)], Mesh::GatewayApi);
    let with = told(&(text.clone() + gateway));
    assert!(with.contains("profile = \"istio-sidecar@1.30\" # assumed: "), "{with}");
    assert!(with.contains("meshed = false # assumed: no rule is for clients in a mesh"), "{with}");
    let without = told(&text);
    assert!(without.contains("profile = \"none\" # assumed: "), "{without}");
    assert!(!without.contains("meshed"), "{without}");
}

/// Each `Written` place must exist in the texts.
fn check_places(draft: &Draft<'_>, value: &Value, depth: usize) {
    if let Origin::Written(at) = value.origin {
        let source = draft.loaded.manifests.sources.get(at.source);
        assert!(source.is_some_and(|_| 0 < at.line), "{value:?}");
    }
    assert!(depth < 16);
    match &value.kind {
        Kind::List(items) => items.iter().for_each(|item| check_places(draft, item, depth + 1)),
        Kind::Table(table) => {
            table.iter().for_each(|(_, value)| check_places(draft, value, depth + 1));
        }
        _ => {}
    }
}

/// What the engine refuses: names that come twice, services without workload or selector.
fn check_names(draft: &Draft<'_>) {
    let mut pods = std::collections::BTreeSet::new();
    let mut names = std::collections::BTreeSet::new();
    for one in &draft.services {
        assert!(names.insert(&one.name), "{} comes twice", one.name);
        assert_ne!(one.name, "ingress");
        for own in &one.workloads {
            let version = own.version.as_ref().map(|version| format!("-{version}"));
            let name = format!("{}{}", one.name, version.unwrap_or_default());
            assert!(pods.insert(name.clone()), "{name} comes twice");
            assert!(own.table.get("time").is_some());
        }
        let whole: Table = one.whole();
        assert!(whole.get("workload").is_some() || whole.get("selector").is_some());
    }
}

fn yaml_below(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            yaml_below(&path, files);
        } else if path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml") {
            files.push(path);
        }
    }
    files.sort();
}

#[test]
fn every_sample_makes_a_draft_by_each_mesh() {
    let Some(inputs) = crate::manifest::tests::inputs("") else { return };
    let mut files = Vec::new();
    yaml_below(&inputs, &mut files);
    for file in files {
        let Ok(bytes) = std::fs::read(&file) else { continue };
        let name = file.display().to_string();
        let loaded = Loaded::read([(name.as_str(), bytes.as_slice())]);
        for mesh in [Mesh::Istio, Mesh::Linkerd, Mesh::GatewayApi] {
            let draft = draft(&loaded, mesh, &Assumptions::default());
            check_places(&draft, &draft.root().into(), 0);
            check_names(&draft);
            assert_eq!(draft.objects().len(), loaded.manifests.objects.len());
            let text = toml::text(&draft, &loaded.manifests.sources, "");
            assert!(text.starts_with("[mesh]\n"), "{name}");
        }
    }
}

#[test]
fn bookinfo_has_its_services_and_versions() {
    let Some(inputs) = crate::manifest::tests::inputs("istio-samples") else { return };
    let kube = inputs.join("samples/bookinfo/platform/kube");
    let files = ["bookinfo.yaml", "bookinfo-versions.yaml"].map(|name| kube.join(name));
    let read: Vec<(&str, Vec<u8>)> = files
        .iter()
        .filter_map(|path| Some((path.file_name()?.to_str()?, std::fs::read(path).ok()?)))
        .collect();
    if read.len() < files.len() {
        return;
    }
    let loaded = Loaded::read(read.iter().map(|(name, bytes)| (*name, bytes.as_slice())));
    let draft = draft(&loaded, Mesh::Istio, &Assumptions::default());
    let shape = shape(&draft);
    assert!(shape.contains(&"reviews: v1 v2 v3".to_owned()), "{shape:?}");
    assert!(shape.contains(&"reviews-v2:  app=reviews version=v2".to_owned()), "{shape:?}");
    assert_eq!(
        draft.names.workloads[&("default".into(), "reviews-v3".into())].1.as_deref(),
        Some("v3")
    );
}

#[test]
fn a_draft_of_five_thousand_objects_is_no_longer_than_they_are() {
    let mut text = String::new();
    for n in 0..1_250 {
        let namespace = n % 7;
        text += &service(&format!("s{n}"), &format!("n{namespace}"), &format!("app: s{n}"));
        text += &service(&format!("t{n}"), &format!("n{namespace}"), "tier: back");
        for version in ["v1", "v2"] {
            let labels = format!("app: s{n}, version: {version}, tier: back");
            text += &deployment(&format!("s{n}-{version}"), &format!("n{namespace}"), &labels);
        }
    }
    let loaded = Loaded::read([("a.yaml", text.as_bytes())]);
    assert_eq!(loaded.manifests.objects.len(), 5_000);
    let draft = draft(&loaded, Mesh::Istio, &Assumptions::default());
    let written = toml::text(&draft, &loaded.manifests.sources, "");
    assert_eq!(draft.objects().len(), 5_000);
    check_names(&draft);
    assert!(written.len() < 3 * text.len(), "{} for {}", written.len(), text.len());
}

/// A small generator (`SplitMix64`): the rounds are the same on every machine.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((word ^ (word >> 31)) % limit.max(1) as u64).unwrap_or(0)
    }
}

#[test]
fn no_mutation_panics_or_makes_names_twice() {
    let pieces = [
        "null",
        "[]",
        "{}",
        "-1",
        "4294967296",
        "'200%'",
        "\"\"",
        "'*'",
        "0",
        "é☃ /",
        "---",
        "web",
    ];
    let lines: Vec<&str> =
        [SHOP, "---\n", ISTIO, "---\n", LINKERD].iter().flat_map(|t| t.lines()).collect();
    for round in 0..50 {
        let mut draw = Draw(round);
        let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        for _ in 0..=draw.below(6) {
            let at = draw.below(lines.len());
            let piece = pieces[draw.below(pieces.len())];
            let words: Vec<&str> = lines[at].split(": ").collect();
            let chosen = draw.below(words.len());
            let swapped =
                words.iter().enumerate().map(|(index, word)| match word.split_once([',', '}']) {
                    Some((value, rest)) if index == chosen => {
                        [piece, &word[value.len()..word.len() - rest.len()], rest].concat()
                    }
                    None if index == chosen && 0 < index => piece.to_owned(),
                    _ => (*word).to_owned(),
                });
            let swapped = swapped.collect::<Vec<String>>().join(": ");
            match draw.below(4) {
                0 => drop(lines.remove(at)),
                1 => lines.insert(at, lines[at].clone()),
                _ => lines[at] = swapped,
            }
        }
        let text = lines.join("\n");
        let loaded = Loaded::read([("m.yaml", text.as_bytes())]);
        for mesh in [Mesh::Istio, Mesh::Linkerd, Mesh::GatewayApi] {
            let draft = draft(&loaded, mesh, &Assumptions::default());
            check_places(&draft, &draft.root().into(), 0);
            check_names(&draft);
            assert_eq!(draft.objects().len(), loaded.manifests.objects.len());
        }
    }
}
