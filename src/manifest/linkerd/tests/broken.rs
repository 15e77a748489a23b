//! Broken manifests, one mistake each, and exactly what is said about them (`broken.txt`).
//!
//! The golden file holds both: after `### name` the manifest, after `--` the diagnostics. `UPDATE=1`
//! writes the diagnostics anew.

use super::Mesh;
use crate::manifest::lint;
use std::fmt::Write as _;
use std::path::PathBuf;

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/manifest/linkerd/tests/broken.txt")
}

#[test]
fn each_mistake_is_told_at_its_place() {
    let text = std::fs::read_to_string(golden()).unwrap();
    let mut written = String::new();
    let mut count = 0;
    for case in text.split("### ").skip(1) {
        let (name, rest) = case.split_once('\n').unwrap();
        let manifest = rest.split("\n--\n").next().unwrap().trim_end();
        let mesh = Mesh::of(&[("a.yaml", manifest)]);
        let mut told = mesh.told();
        told.extend(mesh.manifests.findings.ignored_lines());
        assert!(!told.is_empty(), "{name}: nothing is told");
        let _ = writeln!(written, "### {name}\n{manifest}\n--\n{}\n", told.join("\n"));
        count += 1;
    }
    assert!(count >= 40, "{count}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(golden(), &written).unwrap();
        return;
    }
    for (known, now) in text.split("### ").zip(written.split("### ")) {
        assert_eq!(known.trim_end(), now.trim_end(), "UPDATE=1 writes it anew");
    }
}

/// Values that hardly fit anywhere.
const ODD: &[&str] =
    &["", "~", "[]", "{}", "''", "-1", "99999999999", "1.5", "[{a: b}]", "{a: {b: c}}", "é"];

#[test]
fn mutated_manifests_end_in_words_not_in_a_crash() {
    let text = std::fs::read_to_string(golden()).unwrap();
    let mut runs = 0;
    for case in text.split("### ").skip(1) {
        let (_, rest) = case.split_once('\n').unwrap();
        let lines: Vec<&str> = rest.split("\n--\n").next().unwrap().lines().collect();
        for index in 0..lines.len() {
            let key = lines[index].split(':').next().unwrap_or("");
            // Two odd values a line, others for each line, and the line taken away.
            let odd = [ODD[runs % ODD.len()], ODD[(runs + 5) % ODD.len()]];
            let odd = odd.map(|odd| format!("{key}: {odd}"));
            for line in odd.into_iter().chain([String::new()]) {
                let mut mutated: Vec<&str> = lines.clone();
                mutated[index] = &line;
                let manifest = super::shop() + "---\n" + &mutated.join("\n");
                let mesh = Mesh::of(&[("a.yaml", &manifest)]);
                lint::linkerd::linkerd(&mesh.cluster, &mesh.linkerd, &mesh.manifests.sources);
                for request in ["GET http://web/", "POST http://web/a.B/C", "GET https://x.org/"] {
                    mesh.ask("shop/v1", request);
                }
                runs += 1;
            }
        }
    }
    assert!(runs > 900, "{runs}");
}
